# SPDX-License-Identifier: GPL-2.0-or-later
"""What guests boot from: a thin wrapper of tests/guests/image."""
import functools
import pathlib
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


@functools.lru_cache(maxsize=None)
def accel():
    """"kvm" where a guest really starts with it, else "tcg"."""
    return _ask("accel")
