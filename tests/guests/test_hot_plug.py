# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices made of registers come and go, again and again, and the daemon keeps nothing of them.

QEMU 11.1 ends with an assertion when a vfio-user device with MSI-X is unplugged (see test_nvme.py). So it is a display that a
running guest loses; a disk and a card come by device_add, and go with their machine, which has not run yet.
"""
import subprocess

import pytest

import guest_image
import qemu
from test_seat import wait_until

TURNS = 10


@pytest.fixture
def daemon(viaductd):
    return viaductd({"pool main": {"path": "FOLDER/main.pool", "size": "64M"}, "switch lan": {}, "seat desk": {"size": "640x480"},
                     "guest alice": {}, "disk alice/root": {"pool": "main", "size": "16M", "model": "nvme"},
                     "nic alice/eth0": {"switch": "lan", "model": "e1000e"},
                     "display alice/0": {"seat": "desk", "source": "bochs", "size": "640x480"}})


class Ports:
    """Root ports that are empty at first."""

    def arguments(self, index):
        return [word for number in range(2)
                for word in ("-device", f"pcie-root-port,id=port{number},chassis={number + 1},slot={number + 1}")]


def expect_nothing_kept(daemon, files, *devices):
    """No more descriptors than before, and each device has had as many peers as there were turns."""
    wait_until(lambda: daemon.open_files() <= files, "that the daemon has no more descriptors than before")
    for name, kind in devices:
        assert daemon.device(name, kind)["connects"] == TURNS
        assert not daemon.device(name, kind)["connected"]


def test_a_running_guest(daemon, machine, program):
    guest = machine([Ports()], program=program, kernel="generic", initramfs=guest_image.initramfs("generic"))
    display = qemu.Function(daemon.socket("alice/0", "display"), name="display", bus="port0")
    files = daemon.open_files()
    for _ in range(TURNS):
        guest.monitor.command("device_add", **display.device())
        # It answers: this is read from its configuration space.
        guest.run("until grep -q 0x1234 /sys/bus/pci/devices/0000:01:00.0/vendor; do usleep 20000; done 2>/dev/null")
        guest.monitor.command("device_del", id=display.name)
        guest.monitor.wait_event("DEVICE_DELETED")
        wait_until(lambda: not daemon.device("alice/0", "display")["connected"], "that the daemon has seen it go")
    expect_nothing_kept(daemon, files, ("alice/0", "display"))
    assert guest.run("ls /sys/bus/pci/devices | grep -c '^0000:01' || true") == "0"


def test_machines_that_have_not_run(daemon, program, tmp_path):
    functions = [qemu.Function(daemon.socket("alice/root"), name="disk", bus="port0"),
                 qemu.Function(daemon.socket("alice/eth0", "nic"), name="card", bus="port1")]
    devices = ("alice/root", "disk"), ("alice/eth0", "nic")
    files = daemon.open_files()
    for turn in range(TURNS):
        monitor = tmp_path / f"qmp{turn}"
        process = subprocess.Popen([*program, "-S", "-accel", "tcg", "-M", "q35", "-m", "64M", "-object",
                                    "memory-backend-memfd,id=memory,size=64M,share=on", "-machine", "memory-backend=memory",
                                    "-nodefaults", "-no-user-config", "-display", "none", *Ports().arguments(0),
                                    "-qmp", f"unix:{monitor},server=on,wait=off"], stdin=subprocess.DEVNULL)
        try:
            connection = qemu.Monitor(monitor)
            for function in functions:
                connection.command("device_add", **function.device())
            assert all(daemon.device(*device)["connected"] for device in devices)
        finally:
            process.kill()
            process.wait()
        wait_until(lambda: not any(daemon.device(*device)["connected"] for device in devices), "that the daemon has seen them go")
    expect_nothing_kept(daemon, files, *devices)
