# SPDX-License-Identifier: GPL-2.0-or-later
"""What guests boot from: a thin wrapper of tests/guests/image."""
import functools
import pathlib
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent


def _ask(*words):
    done = subprocess.run([HERE / "image", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"image {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


@functools.lru_cache(maxsize=None)
def kernel(flavour):
    """Path of the kernel; flavour is "cloud" or "generic"."""
    return pathlib.Path(_ask("kernel", flavour))


@functools.lru_cache(maxsize=None)
def initramfs(flavour, *modules):
    """Path of the initramfs for that kernel, with these modules besides."""
    return pathlib.Path(_ask("initramfs", flavour, *modules))


def with_programs(image, programs, folder):
    """A copy of an initramfs in that folder, with programs that need no libraries besides: {name: path}."""
    tree = folder / "tree"
    (tree / "bin").mkdir(parents=True)
    for name, path in programs.items():
        shutil.copy(path, tree / "bin" / name)
    names = "".join(f"bin/{name}\n" for name in programs)
    more = subprocess.run(["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"], cwd=tree, input=names.encode(),
                          stdout=subprocess.PIPE, check=True).stdout
    made = folder / "initramfs.cpio"
    # The kernel unpacks one archive after the other.
    made.write_bytes(image.read_bytes() + more)
    return made


@functools.lru_cache(maxsize=None)
def accel():
    """"kvm" where a guest really starts with it, else "tcg"."""
    return _ask("accel")
