# SPDX-License-Identifier: GPL-2.0-or-later
"""Uplinks that cannot be opened are tried again, and interfaces that are gone are looked for."""
import subprocess

import pytest

from ip_host import IpHost
from net_namespace import NetNamespace
from patience import wait_until
from test_takeover import take_over
from test_uplink import card, keep_rights, link, sections, switch


@pytest.fixture
def net():
    with NetNamespace() as namespace:
        yield namespace


@pytest.fixture
def make(make_daemon, net):
    return lambda uplink, **more: make_daemon(sections(uplink, **more), wrapper=net.wrapper)


def cable(net, peer):
    """`card0` in the namespace, whose other end is the peer's and has the address 10.9.0.1."""
    net.run("ip", "link", "add", "card0", "type", "veth", "peer", "name", "wire0", "netns", str(peer.pid))
    net.run("ip", "link", "set", "card0", "up")
    peer.address("wire0", "10.9.0.1/24")


def test_tap_that_is_taken(make, net):
    net.run("ip", "link", "add", "guests", "type", "bridge")
    daemon = make("tap:guests")
    keep_rights(daemon)
    failed = switch(daemon)["uplink"]
    assert "is no tap" in failed["error"] and failed["retry_s"] >= 1
    daemon.wait_line("is no tap")
    net.run("ip", "link", "delete", "guests")
    wait_until(lambda: net.link("guests"), "the tap is made when it is tried again")
    wait_until(lambda: link(daemon), "it has a link")
    assert not {"error", "retry_s"} & switch(daemon)["uplink"].keys()


def test_interface_that_comes_later(make, net):
    """It is the uplink from when it is there, also with the rights given up and the sandbox on, and again after it went."""
    daemon = make("packet:card0")
    failed = switch(daemon)["uplink"]
    assert "there is no such interface" in failed["error"] and failed["retry_s"] >= 1 and not failed.get("link")
    with NetNamespace() as peer, card(daemon) as guest:
        host = IpHost(guest, "10.9.0.5")
        for _ in range(2):
            cable(net, peer)
            wait_until(lambda: switch(daemon)["uplink"].get("link"), "the uplink is there")
            assert not {"error", "retry_s"} & switch(daemon)["uplink"].keys()
            host.neighbours.clear()
            host.ping("10.9.0.1")
            net.run("ip", "link", "delete", "card0")
            wait_until(lambda: not link(daemon), "the link is down")


def test_takeover_of_an_uplink_that_is_missing(make, net):
    """Another daemon looks for it then; one that goes on after a takeover that failed has what it had."""
    with NetNamespace() as peer:
        cable(net, peer)
        daemon = make("packet:card0")
        net.run("ip", "link", "set", "card0", "name", "away0")
        daemon.wait_line("looking for it")
        take_over(daemon)
        net.run("ip", "link", "set", "away0", "name", "card0")
        net.run("ip", "link", "set", "card0", "up")
        wait_until(lambda: switch(daemon)["uplink"].get("link"), "the successor has it")
        daemon.sections["switch lan"]["uplink"] = "packet:card9"
        daemon.write_config()
        successor = daemon.spawn("--takeover", stderr=subprocess.PIPE)
        assert "the predecessor has an uplink" in successor.communicate()[1].decode()
        daemon.wait_line("going on")
        with card(daemon) as guest:
            IpHost(guest, "10.9.0.5").ping("10.9.0.1")


def test_vxlan_whose_address_comes_later(make, net):
    daemon = make("vxlan", vni=42, peers="192.0.2.2", local="192.0.2.77")
    assert "does not have the address 192.0.2.77" in switch(daemon)["uplink"]["error"]
    net.run("ip", "address", "add", "192.0.2.77/32", "dev", "lo")
    wait_until(lambda: switch(daemon)["uplink"].get("link"), "the uplink is there")


def test_card_with_more_than_the_uplink_carries(make, net):
    net.run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")
    daemon = make("vxlan", vni=42, peers="192.0.2.2", local="192.0.2.1")
    daemon.wait_line("nic alice/eth0: its mtu of 1500 is more than the uplink of switch lan carries")
    assert "set mtu = 1450" in daemon.text()
