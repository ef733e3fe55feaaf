# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of a newer Debian: qemu-img and qemu-io with libblkio, as clients without a VM, and a QEMU that attaches displays
and keyboards over vhost-user to guests that it emulates, and has a client for vfio-user. Debian 12 lacks all of them.

Made once by mmdebstrap and kept in the cache folder. Packages are only unpacked; the programs run with their own
loader and libraries, so that neither a chroot nor mounts are needed.
"""
import os
import pathlib
import shutil
import subprocess
import tempfile
import zlib

SUITE = "forky"
PACKAGES = "base-files,qemu-utils,qemu-block-extra,qemu-system-x86,qemu-system-modules-opengl"    # the last for the D-Bus display
MULTIARCH = "usr/lib/x86_64-linux-gnu"


class Unavailable(Exception):
    """The root cannot be made here; the text says why."""


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.environ.get("HOME", "/nonexistent"), ".cache")
    folder = pathlib.Path(base) / "viaduct"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = pathlib.Path(__file__).resolve().parents[2] / "build" / "cache"
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def mirror():
    """Where this machine gets Debian from, so that no host is named here; empty: mmdebstrap's own default."""
    listed = subprocess.run(["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"],
                            capture_output=True, text=True, check=False).stdout
    for line in listed.splitlines():
        origin, _, uri = line.partition(" ")
        if origin == "Debian" and "security" not in uri:
            return uri
    return ""


def root():
    """The unpacked root; made if it is not there yet."""
    # By what is in it: one that was made for other packages is not taken.
    folder = cache_folder() / f"foreign-{SUITE}-{zlib.crc32(PACKAGES.encode()):08x}"
    if folder.exists():
        return folder
    if os.geteuid() != 0 and not can_unshare():
        raise Unavailable("unpacking a newer Debian needs root, or user namespaces")
    work = pathlib.Path(tempfile.mkdtemp(prefix="foreign.", dir=folder.parent))
    try:
        # A suite that is still worked on has a date by which a mirror is to have a newer one, which some mirrors miss.
        command = ["mmdebstrap", "--quiet", "--variant=extract", '--aptopt=Acquire::Check-Valid-Until "false"',
                   f"--include={PACKAGES}", SUITE, work / "root"]
        if mirror():
            command.append(mirror())
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"mmdebstrap: {done.stderr[-2000:]}")
        os.rename(work / "root", folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def can_unshare():
    return subprocess.run(["unshare", "--user", "true"], capture_output=True, check=False).returncode == 0


def command(program):
    """What starts one of the root's programs, to be followed by its arguments."""
    top = root()
    return ["env", f"QEMU_MODULE_DIR={top / MULTIARCH / 'qemu'}", str(top / "usr/lib64/ld-linux-x86-64.so.2"), "--library-path",
            str(top / MULTIARCH), str(top / "usr/bin" / program)]


def qemu():
    """The same for the emulator of whole machines, with its firmware."""
    share = root() / "usr/share"
    return [*command("qemu-system-x86_64"), "-L", str(share / "qemu"), "-L", str(share / "seabios")]


def run(program, *arguments, timeout=600):
    """Runs one of the root's programs; returns the finished process with its output as text."""
    return subprocess.run([*command(program), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout, check=False)
