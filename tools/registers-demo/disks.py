# SPDX-License-Identifier: GPL-2.0-or-later
"""What both guests of the demo boot from: a disk with a boot loader, Debian's kernel and an initramfs, for a PC's firmware."""
import gzip
import subprocess

import guest_image
import qemu

MODULES = ("nvme", "e1000e", "bochs", "xhci_pci", "usbhid", "hid_generic", "evdev", "virtio_gpu", "virtio_input")
MIB = 1 << 20
CONFIG = """SERIAL 0 115200
DEFAULT linux
LABEL linux
KERNEL vmlinuz
INITRD initrd.gz
APPEND console=ttyS0 quiet loglevel=1 panic=-1 tsc=reliable no_timer_check
"""


def make_boot_disk(folder, size_mib):
    """A file system of that size with SYSLINUX, in a file."""
    image = folder / "boot.raw"
    files = {"vmlinuz": guest_image.kernel("generic").read_bytes(), "syslinux.cfg": CONFIG.encode(),
             "initrd.gz": gzip.compress(guest_image.initramfs("generic", *MODULES).read_bytes(), 1)}
    run("mformat", "-C", "-i", image, "-T", size_mib * MIB // 512, "::")
    run("syslinux", "--install", image)
    for name, content in files.items():
        (folder / name).write_bytes(content)
        run("mcopy", "-i", image, folder / name, f"::{name}")
    return image


def run(*words):
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{words[0]}: {done.stdout}{done.stderr}")


class Guest(qemu.Guest):
    """A guest whose firmware finds its kernel on its disk."""

    def _arguments(self):
        arguments = super()._arguments()
        for option in ("-kernel", "-initrd", "-append"):
            at = arguments.index(option)
            del arguments[at:at + 2]
        # Newer QEMUs know milliseconds only.
        return [word.replace(",reconnect=1", ",reconnect-ms=1000") for word in arguments]
