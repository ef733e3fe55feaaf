# SPDX-License-Identifier: GPL-2.0-or-later
"""OVMF, the UEFI firmware of virtual machines, starts Debian's kernel from an NVMe controller."""
import subprocess

import pytest

import guest_image
import qemu

FIRMWARE = "/usr/share/ovmf/OVMF.fd"
STUB = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
DISK_MIB = 64


def unified_image(folder):
    """A kernel, its arguments and its initramfs as one program that firmware starts."""
    (folder / "words").write_text(f"{qemu.KERNEL_WORDS}\n")
    (folder / "release").write_text("ID=viaduct-test\n")
    # Behind the stub, far enough from each other.
    parts = {".osrel": (folder / "release", 0x20000), ".cmdline": (folder / "words", 0x30000),
             ".linux": (guest_image.kernel("cloud"), 0x2000000), ".initrd": (guest_image.initramfs("cloud", "nvme"), 0x4000000)}
    words = []
    for name, (path, address) in parts.items():
        words += ["--add-section", f"{name}={path}", "--change-section-vma", f"{name}={address:#x}"]
    image = folder / "unified.efi"
    subprocess.run(["objcopy", *words, STUB, image], check=True)
    return image


def system_disk(folder):
    """A raw disk whose FAT file system has the kernel where firmware looks for it."""
    disk = folder / "system.raw"
    disk.write_bytes(bytes(DISK_MIB << 20))
    for words in (["mformat", "-i", disk, "-F", "::"], ["mmd", "-i", disk, "::/EFI", "::/EFI/BOOT"],
                  ["mcopy", "-i", disk, unified_image(folder), "::/EFI/BOOT/BOOTX64.EFI"]):
        subprocess.run(words, check=True)
    return disk


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "private"])
def test_ovmf_starts_a_kernel(viaductd, machine, program, tmp_path, shared):
    daemon = viaductd({"pool main": {"path": "FOLDER/main.pool", "size": "256M"}, "guest alice": {},
                       "disk alice/root": {"pool": "main", "size": f"{DISK_MIB}M", "model": "nvme"}})
    disk = system_disk(tmp_path)
    daemon.command("disk", "import", "alice/root", str(disk), "--format", "raw", "--overwrite")
    guest = machine([qemu.Function(daemon.socket("alice/root"), boot=1)], program=program, firmware=FIRMWARE, memory_mib=384,
                    share_memory=shared)
    assert guest.run("ls /sys/firmware/efi") != ""
    # What the firmware read is what the kernel reads.
    read = guest.run("sha256sum </dev/nvme0n1").split()[0]
    assert read == subprocess.run(["sha256sum", disk], capture_output=True, text=True, check=True).stdout.split()[0]
    assert guest.disk_errors() == ""
