# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to a guest and its machine: reboot, crash, unplug, growth, migration."""
import time

import pytest

import load
import qemu


def write_and_remember(guest):
    guest.run("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt && dd if=/dev/urandom of=/mnt/file bs=256k count=16 "
              "2>/dev/null && sync")
    return guest.run("sha256sum /mnt/file")


def check_remembered(guest, remembered):
    guest.run("mount /dev/vda /mnt")
    assert guest.run("sha256sum /mnt/file") == remembered
    guest.run("umount /mnt && e2fsck -fn /dev/vda 2>&1")
    assert guest.disk_errors() == ""


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_reboot(one_disk, machine, packed):
    guest = machine([qemu.Disk(one_disk.socket("alice/root"), packed=packed)])
    remembered = write_and_remember(guest)
    for _ in range(2):
        guest.reset()
        check_remembered(guest, remembered)


def test_reset_under_load(one_disk, machine):
    """The reset button with requests in flight: the next boot finds a working disk."""
    guest = machine([qemu.Disk(one_disk.socket("alice/root"), queues=2)], cpus=2)
    load.Load(guest).start()
    guest.reset()
    load.Load(guest).start().finish()


def test_killed_machine(one_disk, machine):
    """kill -9 of QEMU: what was synced is there for the next machine on the same disk."""
    disk = qemu.Disk(one_disk.socket("alice/root"))
    guest = machine([disk])
    remembered = write_and_remember(guest)
    guest.run("dd if=/dev/zero of=/mnt/busy bs=64k count=1000 2>/dev/null &")
    guest.kill()
    check_remembered(machine([disk]), remembered)


def test_killed_many_times(one_disk, machine):
    """A VMM that dies under load leaves nothing behind that grows."""
    disk = qemu.Disk(one_disk.socket("alice/root"))
    before = one_disk.open_files()
    for _ in range(3):
        guest = machine([disk])
        load.Load(guest).start()
        guest.kill()
        deadline = time.monotonic() + qemu.PATIENCE_SECONDS
        while one_disk.open_files() > before:       # they are closed when the last request is done
            assert time.monotonic() < deadline, f"{before} open files became {one_disk.open_files()}"
            time.sleep(0.01)


def test_hot_unplug(one_disk, machine):
    disk = qemu.Disk(one_disk.socket("alice/root"))
    guest = machine([disk])
    remembered = write_and_remember(guest)
    guest.run("umount /mnt")
    guest.unplug("disk0")
    assert guest.run("ls /sys/block") == ""
    check_remembered(machine([disk]), remembered)


def test_hot_unplug_under_load(one_disk, machine):
    """The surprise: a disk in use goes. The guest sees errors, the daemon none, and the disk is free again."""
    disk = qemu.Disk(one_disk.socket("alice/root"))
    guest = machine([disk])
    load.Load(guest).start()
    guest.unplug("disk0")
    second = machine([disk])
    load.Load(second).start().finish()


def test_online_grow(one_disk, machine):
    guest = machine([qemu.Disk(one_disk.socket("alice/root"))])
    remembered = write_and_remember(guest)
    one_disk.command("disk", "resize", "alice/root", "--size", "320M")
    deadline = time.monotonic() + qemu.COMMAND_SECONDS
    while guest.run("blockdev --getsize64 /dev/vda") != str(320 << 20):
        assert time.monotonic() < deadline, "the guest does not see the new size"
        time.sleep(0.02)
    guest.run("dd if=/dev/urandom of=/tmp/new bs=64k count=16 2>/dev/null && "
              "dd if=/tmp/new of=/dev/vda bs=64k seek=$((300 * 16)) conv=fsync 2>/dev/null && "
              "echo 3 >/proc/sys/vm/drop_caches && "
              "dd if=/dev/vda bs=64k skip=$((300 * 16)) count=16 2>/dev/null | cmp - /tmp/new")
    guest.run("umount /mnt")
    check_remembered(guest, remembered)


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_live_migration(one_disk, machine, packed):
    """A guest moves to another QEMU on the same disk while it writes; then the first machine goes."""
    disk = qemu.Disk(one_disk.socket("alice/root"), packed=packed, queues=2)
    source = machine([disk], name="source", cpus=2)
    writers = load.Load(source).start()
    uri = f"unix:{source.path('migration')}"
    target = machine([disk], name="target", cpus=2, incoming=uri)
    source.migrate_to(uri)
    target.number = source.number  # the guest's shell goes on counting
    source.stop()
    writers.guest = target
    writers.wait_progress(blocks=5)
    writers.finish()
