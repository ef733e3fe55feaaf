# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own kernels use a Viaduct disk as an NVMe controller, through QEMU's vfio-user client."""
import pytest

import foreign
import qemu


@pytest.fixture
def nvme_guest(machine):
    """Makes guests of the newer QEMU: nvme_guest(disks, **options)."""
    try:
        program = foreign.qemu()
    except foreign.Unavailable as reason:
        pytest.skip(str(reason))

    def make(disks, **options):
        return machine(disks, program=program, **options)

    return make


@pytest.fixture
def nvme_disk(viaductd):
    return viaductd({
        "pool main": {"path": "FOLDER/main.pool", "size": "1G"},
        "guest alice": {},
        "disk alice/root": {"pool": "main", "size": "256M", "model": "nvme"},
    })


@pytest.mark.parametrize("kernel, cpus", [("cloud", 2), ("generic", 1)])
def test_file_system(nvme_disk, nvme_guest, kernel, cpus):
    guest = nvme_guest([qemu.Nvme(nvme_disk.socket("alice/root"))], kernel=kernel, cpus=cpus)
    assert guest.run("blockdev --getsize64 /dev/nvme0n1") == str(256 << 20)
    assert guest.run("cat /sys/class/nvme/nvme0/model").strip() == "Viaduct NVMe disk"
    assert guest.run("cat /sys/class/nvme/nvme0/serial").strip() == "alice/root"
    assert guest.run("cat /sys/block/nvme0n1/queue/write_cache") == "write back"
    assert len(guest.run("ls /sys/block/nvme0n1/mq").split()) == cpus
    guest.run("mkfs.ext4 -q /dev/nvme0n1 && mount /dev/nvme0n1 /mnt")
    guest.run("cd /mnt; for n in $(seq 0 %d); do taskset $(printf %%x $((1 << n))) "
              "dd if=/dev/urandom of=file$n bs=256k count=16 2>/dev/null & done; wait; sync" % (cpus - 1))
    before = guest.run("cd /mnt; sha256sum file*")
    guest.run("umount /mnt; echo 3 >/proc/sys/vm/drop_caches; mount /dev/nvme0n1 /mnt")
    assert guest.run("cd /mnt; sha256sum file*") == before
    guest.run("umount /mnt; e2fsck -fn /dev/nvme0n1 2>&1")
    assert guest.disk_errors() == ""
    assert "nvme0q1" in guest.run("cat /proc/interrupts")
