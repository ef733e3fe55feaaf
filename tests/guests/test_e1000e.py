# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's generic kernel, and iPXE, use a card of the switch as an Intel 82574L, through QEMU's vfio-user client."""
import json
import subprocess
import time

import pytest

import guest_image
import qemu
from test_nic import ADDRESSES, MACS, ping, reach, send_file, set_address
from viaductd import PATIENCE_SECONDS


@pytest.fixture
def boot(viaductd, machine, program):
    """boot(mtu, append) -> the daemon; Alice, who has an e1000e; and Bob, who has a virtio card."""
    def start(mtu=1500, append=""):
        daemon = viaductd({"switch lan": {}, "guest alice": {}, "guest bob": {},
                           "nic alice/eth0": {"switch": "lan", "mac": MACS["alice"], "mtu": mtu, "model": "e1000e"},
                           "nic bob/eth0": {"switch": "lan", "mac": MACS["bob"], "mtu": mtu}})
        alice = machine([qemu.Function(daemon.socket("alice/eth0", "nic"))], name="alice", kernel="generic", program=program,
                        append=append, initramfs=guest_image.initramfs("generic", "e1000e"))
        bob = machine([qemu.Nic(daemon.socket("bob/eth0", "nic"), MACS["bob"], mtu=mtu)], name="bob")
        alice.run(f"ip link set eth0 mtu {mtu}")
        for guest in alice, bob:
            set_address(guest)
        return daemon, alice, bob

    return start


def errors(guest):
    """What the card's statistics say went wrong."""
    return guest.run("cd /sys/class/net/eth0/statistics; grep -v ^0 *_errors || true")


@pytest.mark.parametrize("mtu, append", [(1500, ""), (9000, ""), (1500, "pci=nomsi")], ids=["vectors", "jumbo", "pin"])
def test_beside_a_virtio_card(boot, mtu, append):
    daemon, alice, bob = boot(mtu, append)
    assert alice.run("cat /sys/class/net/eth0/address") == MACS["alice"]
    assert alice.run("cat /sys/class/net/eth0/carrier") == "1"
    reach(alice, "bob")
    assert "0% packet loss" in ping(bob, "alice")
    if mtu > 1500:
        assert "0% packet loss" in alice.run(f"ping -s 8000 -q -c 3 -W 60 {ADDRESSES['bob']}")
    assert send_file(alice, bob, 8) and send_file(bob, alice, 8)
    daemon.take_over()
    assert "0% packet loss" in ping(alice, "bob")
    assert errors(alice) == ""
    assert daemon.device("alice/eth0", "nic")["connects"] == 1


def test_driver_comes_and_goes(boot):
    """Its driver is taken off and put back, its link goes down and up, and the cable is pulled at the switch."""
    daemon, alice, _ = boot()
    alice.run("cd /sys/bus/pci/drivers/e1000e; card=$(ls | grep 0000); echo $card >unbind; echo $card >bind; sleep 1")
    set_address(alice)
    reach(alice, "bob")
    alice.run("ip link set eth0 down; ip link set eth0 up")
    reach(alice, "bob")
    for link, carrier in ("down", "0"), ("up", "1"):
        daemon.command("nic", "link", "alice/eth0", link)
        alice.run(f"until [ $(cat /sys/class/net/eth0/carrier) = {carrier} ]; do sleep 0.1; done")
    reach(alice, "bob")


def test_ipxe_boots_by_network(viaductd, program, tmp_path):
    """The firmware's own driver for the card gets an address, and asks for what to boot."""
    daemon = viaductd({"switch lan": {"uplink": "user"}, "guest alice": {}, "nic alice/eth0": {"switch": "lan", "model": "e1000e"}})
    device = {**qemu.Function(daemon.socket("alice/eth0", "nic"), boot=1).device(), "romfile": "pxe-e1000e.rom"}
    serial = tmp_path / "serial"
    process = subprocess.Popen(
        [*program, "-accel", "tcg", "-M", "q35,graphics=off", "-cpu", "max", "-m", "128M",
         "-object", "memory-backend-memfd,id=memory,size=128M,share=on", "-machine", "memory-backend=memory", "-nodefaults",
         "-no-user-config", "-display", "none", "-device", json.dumps(device), "-serial", f"file:{serial}"],
        stdin=subprocess.DEVNULL)

    def said():
        return serial.read_text(errors="replace") if serial.exists() else ""

    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "Nothing to boot" not in said() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    assert "using 82574l" in said() and "net0: 10.0.2.15/255.255.255.0 gw 10.0.2.2" in said(), said()
