# SPDX-License-Identifier: GPL-2.0-or-later
"""What guests boot from: a thin wrapper of tools/guest-image, which the demo uses too."""
import functools
import pathlib
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[2]


def _ask(*words):
    done = subprocess.run([TOP / "tools/guest-image", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"guest-image {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


@functools.lru_cache(maxsize=None)
def kernel(flavour):
    """Path of the kernel; flavour is "cloud" or "generic"."""
    return pathlib.Path(_ask("kernel", flavour))


@functools.lru_cache(maxsize=None)
def initramfs(flavour):
    """Path of the initramfs for that kernel."""
    return pathlib.Path(_ask("initramfs", flavour))


@functools.lru_cache(maxsize=None)
def accel():
    """"kvm" where a guest really starts with it, else "tcg"."""
    return _ask("accel")
