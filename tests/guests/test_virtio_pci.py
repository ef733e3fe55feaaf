# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's generic kernel uses virtio devices of all kinds over PCI, through QEMU's vfio-user client."""
import pytest

import guest_image
import load
import qemu
from test_seat import draw, expect_typed, listen, wait_until
from test_seat_virtio import HEIGHT, WIDTH, of_guest

BY_REGISTERS = {"interface": "vfio-user"}
MODULES = ("virtio_gpu", "virtio_input", "evdev", "virtio_console")
DEVICES = {"disk": "root", "nic": "eth0", "display": "0", "keyboard": "0", "tablet": "0", "console": "0"}


@pytest.fixture
def alice(viaductd, machine, program):
    """The daemon, and a guest with one device of each kind, whose queues are on two workers."""
    daemon = viaductd({
        "daemon": {"state_dir": "FOLDER/state", "workers": 2},
        "pool main": {"path": "FOLDER/main.pool", "size": "1G"}, "switch lan": {"uplink": "user"}, "seat desk": {"size": "1280x800"},
        "guest alice": {},
        "disk alice/root": {"pool": "main", "size": "256M", **BY_REGISTERS},
        "nic alice/eth0": {"switch": "lan", **BY_REGISTERS},
        "display alice/0": {"seat": "desk", "source": "virtio", "size": f"{WIDTH}x{HEIGHT}", **BY_REGISTERS},
        "keyboard alice/0": BY_REGISTERS, "tablet alice/0": BY_REGISTERS,
        "console alice/0": {"source": "virtio", **BY_REGISTERS},
    })
    devices = [qemu.Function(daemon.socket(f"alice/{name}", kind), name=kind) for kind, name in DEVICES.items()]
    return daemon, machine(devices, program=program, kernel="generic", cpus=2, memory_mib=256,
                           initramfs=guest_image.initramfs("generic", *MODULES))


def use_disk(daemon, guest):
    assert guest.run("cat /sys/block/vda/serial; echo; cat /sys/block/vda/queue/write_cache").split() == ["alice/root", "write", "back"]
    guest.run("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt && dd if=/dev/urandom of=/mnt/file bs=256k count=16 2>/dev/null && sync")
    remembered = guest.run("sha256sum /mnt/file")
    guest.run("umount /mnt; echo 3 >/proc/sys/vm/drop_caches; mount /dev/vda /mnt")
    assert guest.run("sha256sum /mnt/file") == remembered
    guest.run("umount /mnt && e2fsck -fn /dev/vda 2>&1")
    daemon.command("disk", "resize", "alice/root", "--size", "320M")
    guest.run(f"until [ $(blockdev --getsize64 /dev/vda) = {320 << 20} ]; do usleep 20000; done")


def ping(guest):
    return guest.run("ping -q -c 3 -W 60 10.0.2.2")


def test_one_of_each(alice):
    """Used, and used again when the daemon is another, under load: one life of a guest."""
    daemon, guest = alice
    assert "MSI" in guest.run("grep virtio /proc/interrupts")
    use_disk(daemon, guest)
    guest.run("ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up")
    wanted, width, height = draw(guest)
    assert (width, height) == (WIDTH, HEIGHT)
    writers = load.Load(guest).start()
    for turn in range(2):
        assert "0% packet loss" in ping(guest)
        wait_until(lambda: of_guest(daemon) == wanted, "the guest's picture")
        guest.run("echo said >/dev/hvc0")
        if turn == 0:
            daemon.take_over()
        writers.wait_progress()
    assert writers.finish() > 0
    assert guest.disk_errors() == ""
    listen(guest)
    daemon.command("seat", "focus", "desk", "alice/0")
    daemon.command("seat", "type", "desk", "ab", "--enter", "--to", "alice/0")
    expect_typed(guest, "ab\n")
    for kind, name in DEVICES.items():
        assert daemon.device(f"alice/{name}", kind)["connects"] == 1
