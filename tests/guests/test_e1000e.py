# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's generic kernel, and iPXE, use a card of the switch as an Intel 82574L, through QEMU's vfio-user client."""
import os
import shlex
import subprocess

import pytest

import guest_image
import qemu
import viaductd as viaductd_module
from test_nic import ADDRESSES, MACS, ping, reach, send_file, set_address
from test_seat import wait_until
from test_seat_virtio import of_guest

TEXT_LINE = 16          # pixels of the VGA BIOS's letters


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
    """As `viaduct run` starts a guest without a disk: the firmware finds what is in the ROMs of its card and its display. The
    card's driver gets an address, and asks for what to boot, which all is in the display's window, too."""
    daemon = viaductd({"switch lan": {"uplink": "user"}, "seat desk": {"size": "1280x800"}, "guest alice": {"memory": "128M"},
                       "nic alice/eth0": {"switch": "lan", "model": "e1000e"},
                       "display alice/0": {"seat": "desk", "source": "bochs"}})
    newer = tmp_path / "qemu-system-x86_64"
    newer.write_text(f"#!/bin/sh\nexec {shlex.join(program)} \"$@\"\n")
    newer.chmod(0o755)
    serial = tmp_path / "serial"
    with open(serial, "wb") as output:
        process = subprocess.Popen(
            [viaductd_module.build_folder() / "src/cli/viaduct", "--runtime-dir", daemon.runtime, "run", "alice", "--accel", "tcg",
             "--", "-no-user-config", "-machine", "graphics=off"],
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True)

    def said():
        return serial.read_text(errors="replace")

    def lines_in_window():
        """Of text: those that have a light pixel."""
        rows = of_guest(daemon)
        return sum(any(max(row) > 0x80 for row in rows[at:at + TEXT_LINE]) for at in range(0, len(rows), TEXT_LINE))

    try:
        wait_until(lambda: "Nothing to boot" in said() or process.poll() is not None, "the end of the attempt")
        assert "using 82574l" in said() and "net0: 10.0.2.15/255.255.255.0 gw 10.0.2.2" in said() and "net1" not in said(), said()
        wait_until(lambda: lines_in_window() > 8, "the firmware's text")
    finally:
        process.kill()
        process.wait()
