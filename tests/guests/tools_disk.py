# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk with programs of this machine and their libraries, for guests whose initramfs has BusyBox alone."""
import pathlib
import re
import shutil
import subprocess

PROGRAMS = ("nvme", "fio")
LOADER = "ld-linux-x86-64.so.2"
IMAGE_MIB = 160


def libraries(program):
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", listed)


def make(folder):
    """A raw image with an ext4 file system: bin/, lib/, and run, which starts one of PROGRAMS."""
    tree = folder / "tools"
    for name in ("bin", "lib"):
        (tree / name).mkdir(parents=True)
    for name in PROGRAMS:
        program = shutil.which(name, path="/usr/sbin:/usr/bin")
        shutil.copy(program, tree / "bin" / name)
        for library in libraries(program):
            shutil.copy(library, tree / "lib" / pathlib.Path(library).name)
    run = tree / "run"
    run.write_text("#!/bin/sh\nprogram=$1\nshift\n"
                   f'exec /tools/lib/{LOADER} --library-path /tools/lib /tools/bin/$program "$@"\n')
    run.chmod(0o755)
    image = folder / "tools.raw"
    subprocess.run(["/usr/sbin/mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", tree, image, f"{IMAGE_MIB}M"], check=True,
                   stdin=subprocess.DEVNULL)
    return image
