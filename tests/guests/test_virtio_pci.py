# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own kernels, and firmware, use virtio devices over PCI, through QEMU's vfio-user client."""
import pytest

import foreign
import load
import qemu


@pytest.fixture
def pci_guest(machine):
    """Makes guests of the newer QEMU: pci_guest(devices, **options)."""
    try:
        program = foreign.qemu()
    except foreign.Unavailable as reason:
        pytest.skip(str(reason))

    def make(devices, kernel="generic", **options):
        return machine(devices, program=program, kernel=kernel, **options)

    return make


@pytest.fixture
def pci_disk(viaductd):
    return viaductd({
        "pool main": {"path": "FOLDER/main.pool", "size": "1G"},
        "guest alice": {},
        "disk alice/root": {"pool": "main", "size": "256M", "interface": "vfio-user"},
    })


def test_disk(pci_disk, pci_guest):
    """A file system, a larger size, takeovers under load: all in one life of a guest."""
    guest = pci_guest([qemu.Function(pci_disk.socket("alice/root"))], cpus=2)
    assert guest.run("cat /sys/block/vda/serial /sys/block/vda/queue/write_cache").split("\n") == ["alice/root", "write back"]
    guest.run("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt && dd if=/dev/urandom of=/mnt/file bs=256k count=16 2>/dev/null && sync")
    remembered = guest.run("sha256sum /mnt/file")
    guest.run("umount /mnt; echo 3 >/proc/sys/vm/drop_caches; mount /dev/vda /mnt")
    assert guest.run("sha256sum /mnt/file") == remembered
    guest.run("umount /mnt && e2fsck -fn /dev/vda 2>&1")
    assert "MSI" in guest.run("grep virtio /proc/interrupts")
    pci_disk.command("disk", "resize", "alice/root", "--size", "320M")
    guest.run(f"until [ $(blockdev --getsize64 /dev/vda) = {320 << 20} ]; do usleep 20000; done")
    writers = load.Load(guest).start()
    for _ in range(2):
        pci_disk.take_over()
        writers.wait_progress()
    assert writers.finish() > 0
    assert guest.disk_errors() == ""
    assert pci_disk.device("alice/root", "disk")["connects"] == 1
