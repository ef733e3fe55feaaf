# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own kernels use a Viaduct disk: file system, data, queues, ring format."""
import tempfile

import pytest

import qemu

RING_PACKED = 34  # virtio 1.2, 6: feature bit


@pytest.mark.parametrize("kernel, packed, queues", [
    ("generic", False, 1), ("cloud", True, 1), ("generic", True, 4), ("cloud", False, 4), *qemu.long_only(
        ("cloud", False, 1), ("cloud", True, 4)),
])
def test_file_system(one_disk, machine, kernel, packed, queues):
    guest = machine([qemu.Disk(one_disk.socket("alice/root"), packed=packed, queues=queues)], kernel=kernel, cpus=queues)

    assert guest.run("blockdev --getsize64 /dev/vda") == str(256 << 20)
    assert guest.run("cat /sys/block/vda/device/features")[RING_PACKED] == ("1" if packed else "0")
    assert len(guest.run("ls /sys/block/vda/mq").split()) == queues
    assert guest.run("cat /sys/block/vda/queue/write_cache") == "write back"

    guest.run("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt")
    # One writer a CPU, so that every queue carries data.
    guest.run("cd /mnt; for n in $(seq 0 %d); do taskset $(printf %%x $((1 << n))) "
              "dd if=/dev/urandom of=file$n bs=256k count=16 2>/dev/null & done; wait; sync" % (queues - 1))
    before = guest.run("cd /mnt; sha256sum file*")
    guest.run("umount /mnt; echo 3 >/proc/sys/vm/drop_caches; mount /dev/vda /mnt")
    assert guest.run("cd /mnt; sha256sum file*") == before
    guest.run("umount /mnt; e2fsck -fn /dev/vda 2>&1")
    assert guest.disk_errors() == ""


def test_new_disk_reads_as_zeroes(one_disk, machine):
    guest = machine([qemu.Disk(one_disk.socket("alice/root"))])
    for megabyte in (0, 128, 248):
        assert guest.run(f"dd if=/dev/vda bs=1M skip={megabyte} count=8 2>/dev/null | tr -d '\\000' | wc -c") == "0"


def test_discard_and_write_zeroes(one_disk, machine):
    guest = machine([qemu.Disk(one_disk.socket("alice/root"))])
    guest.run("tr '\\000' '\\252' </dev/zero | dd of=/dev/vda bs=64k count=160 iflag=fullblock conv=fsync 2>/dev/null")
    guest.run("blkdiscard -o 1048576 -l 4194304 /dev/vda && echo 3 >/proc/sys/vm/drop_caches")
    assert guest.run("dd if=/dev/vda bs=1M skip=1 count=4 2>/dev/null | tr -d '\\000' | wc -c") == "0"
    assert guest.run("dd if=/dev/vda bs=1M skip=5 count=5 2>/dev/null | tr -d '\\252' | wc -c") == "0"
    assert guest.run("dd if=/dev/vda bs=1M count=1 2>/dev/null | tr -d '\\252' | wc -c") == "0"
    assert guest.disk_errors() == ""


def test_two_guests_share_one_pool(viaductd, machine):
    """Each guest's bytes stay its own, while both write all of their disks."""
    daemon = viaductd({
        "pool main": {"path": "FOLDER/main.pool", "size": "256M"},
        "guest alice": {}, "guest bob": {},
        "disk alice/root": {"pool": "main", "size": "16M"},
        "disk bob/root": {"pool": "main", "size": "16M"},
    })
    guests = {name: machine([qemu.Disk(daemon.socket(f"{name}/root"))], name=name) for name in ("alice", "bob")}
    bytes_of = {"alice": "141", "bob": "142"}  # octal: a, b
    for name, guest in guests.items():
        guest.begin(f"tr '\\000' '\\{bytes_of[name]}' </dev/zero | "
                    "dd of=/dev/vda bs=64k count=256 iflag=fullblock conv=fsync 2>/dev/null")
    for guest in guests.values():
        assert guest.finish()[0] == 0
    for name, guest in guests.items():
        guest.run("echo 3 >/proc/sys/vm/drop_caches")
        assert guest.run(f"tr -d '\\{bytes_of[name]}' </dev/vda | wc -c") == "0"
        assert guest.run("wc -c </dev/vda") == str(16 << 20)


def test_read_only_disk(viaductd, machine):
    daemon = viaductd({
        "guest alice": {},
        "disk alice/root": {"path": "FOLDER/image", "read_only": "yes"},
    }, files={"image": b"viaduct " * 65536})
    guest = machine([qemu.Disk(daemon.socket("alice/root"))])
    assert guest.run("blockdev --getro /dev/vda") == "1"
    assert guest.run("dd if=/dev/vda bs=8 count=1 2>/dev/null") == "viaduct "
    status, _ = guest.try_run("dd if=/dev/zero of=/dev/vda bs=4k count=1 conv=fsync")
    assert status != 0
    assert (daemon.folder / "image").read_bytes() == b"viaduct " * 65536


def test_whole_file_as_disk(viaductd, machine):
    """A raw image that exists is used as it is."""
    daemon = viaductd({"guest alice": {}, "disk alice/root": {"path": "FOLDER/image"}},
                      files={"image": b"viaduct " * (1 << 20)})
    guest = machine([qemu.Disk(daemon.socket("alice/root"))])
    assert guest.run("dd if=/dev/vda bs=8 skip=1000 count=1 2>/dev/null") == "viaduct "
    guest.run("printf changed. | dd of=/dev/vda bs=8 seek=1 conv=notrunc,fsync 2>/dev/null")
    assert (daemon.folder / "image").read_bytes()[:24] == b"viaduct changed.viaduct "


def test_nvdimm(one_disk, machine):
    """The guest has persistent memory in a file on a disk, which is no memory of the disk's: it boots and works beside it."""
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
        file.truncate(64 << 20)
        nvdimm = ["-M", "q35,nvdimm=on", "-m", "slots=2,maxmem=1G",
                  "-object", f"memory-backend-file,id=nvdimm,share=on,mem-path={file.name},size=64M",
                  "-device", "nvdimm,memdev=nvdimm"]
        guest = machine([qemu.Disk(one_disk.socket("alice/root"))], program=(qemu.QEMU, *nvdimm))
        guest.run("dd if=/dev/urandom of=/dev/vda bs=64k count=64 conv=fsync 2>/dev/null")
        assert guest.run("dd if=/dev/vda bs=64k count=64 2>/dev/null | wc -c") == str(4 << 20)
        assert "is in a file on a disk and left out" in one_disk.text()
        assert guest.disk_errors() == ""
