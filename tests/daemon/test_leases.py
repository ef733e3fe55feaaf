# SPDX-License-Identifier: GPL-2.0-or-later
"""Uplink `user`: each card has an address of DHCP that it keeps, whichever guest asks first."""
import struct

import pytest

from ip_host import IPV4, UDP, ethernet, ipv4, udp
from nic import BROADCAST, Card, mac
from test_reload import reload
from test_takeover import take_over

NUMBERS = {"alice": 1, "bob": 2, "carol": 3, "dave": 4}
ANY, EVERYBODY = bytes(4), b"\xff" * 4
DISCOVER, OFFER, COOKIE = 1, 2, b"\x63\x82\x53\x63"


def sections(*guests):
    result = {"daemon": {"workers": 1}, "switch lan": {"uplink": "user"}}
    for guest in guests:
        result |= {f"guest {guest}": {}, f"nic {guest}/eth0": {"switch": "lan", "mac": f"52:54:00:00:00:0{NUMBERS[guest]}"}}
    return result


def addresses(daemon):
    """The last number of each guest's."""
    return {name.split("/")[0]: int(address.removeprefix("10.0.2."))
            for name, address in ((device["name"], device["dhcp_address"])
                                  for device in daemon.api("GET", "/v1/devices")[1]["devices"])}


def offered(daemon, guest):
    """What DHCP offers a guest that has no wish."""
    with Card(daemon.runtime / guest / "nic-eth0.sock", mac(f"52:54:00:00:00:0{NUMBERS[guest]}")) as card:
        card.post(64, kick=True)
        question = (struct.pack(">BBBBI20x", 1, 1, 6, 0, 7) + card.address.ljust(16, b"\0") + bytes(192) + COOKIE
                    + bytes([53, 1, DISCOVER, 255])).ljust(548, b"\0")
        card.transmit(ethernet(BROADCAST, card.address, IPV4, ipv4(UDP, ANY, EVERYBODY, udp(68, 67, question))))
        while True:
            frame = card.receive()
            if frame[12:14] == b"\x08\x00" and frame[23] == UDP and frame[36:38] == b"\0\x44":
                answer = frame[42:]
                assert answer[28:34] == card.address and answer[240:243] == bytes([53, 1, OFFER])
                return answer[19]


@pytest.fixture
def daemon(make_daemon):
    return make_daemon(sections("alice", "bob", "carol"))


def test_whoever_asks_first(daemon):
    assert addresses(daemon) == {"alice": 15, "bob": 16, "carol": 17}
    for guest in ("carol", "bob", "alice"):
        assert offered(daemon, guest) == addresses(daemon)[guest]


def test_cards_keep_theirs(daemon):
    daemon.sections = sections("dave", "carol", "alice")
    reload(daemon)
    assert addresses(daemon) == {"alice": 15, "carol": 17, "dave": 18}
    assert offered(daemon, "dave") == 18
    take_over(daemon)
    assert addresses(daemon) == {"alice": 15, "carol": 17, "dave": 18}
    # What nobody has is given to no guest that asks for any.
    assert [offered(daemon, guest) for guest in ("dave", "carol", "alice")] == [18, 17, 15]
    daemon.sections = sections("bob", "dave", "carol", "alice")
    daemon.write_config()
    daemon.restart()
    assert addresses(daemon) == {"alice": 15, "bob": 16, "carol": 17, "dave": 18}
    assert offered(daemon, "bob") == 16


def test_more_cards_than_addresses(make_daemon):
    made = {"daemon": {"workers": 1}, "switch lan": {"uplink": "user"}, "guest alice": {}}
    daemon = make_daemon(made | {f"nic alice/eth{i}": {"switch": "lan"} for i in range(18)})
    devices = daemon.api("GET", "/v1/devices")[1]["devices"]
    assert [device["dhcp_address"] for device in devices[:16]] == [f"10.0.2.{i}" for i in range(15, 31)]
    assert not any("dhcp_address" in device for device in devices[16:])
    daemon.wait_line("none for alice/eth16")
    daemon.wait_line("none for alice/eth17")
