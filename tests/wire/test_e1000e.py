# SPDX-License-Identifier: GPL-2.0-or-later
"""A card as Intel's 82574L (model = e1000e): frames to cards of its kind and of virtio, its link, and takeover."""
import os
import random
import struct

import pytest

from daemon import Daemon
from e1000e import (CTRL, DEXT, DATA, EOP, ICR, LSC, REGISTERS, RS, RX, STATUS, STATUS_LINK, TAIL, TX, VECTOR_OTHER, VECTOR_RX, VECTOR_TX,
                    Card82574)
from nic import BROADCAST, Card, frame, mac
from patience import wait_until

ALICE, BOB, CAROL = (mac(f"52:54:00:00:00:0{number}") for number in (1, 2, 3))
TAKEOVERS = int(os.environ.get("VIADUCT_TAKEOVERS", "5"))


class NicDaemon(Daemon):
    def socket(self, nic):
        guest, name = nic.split("/")
        return self.runtime / guest / f"nic-{name}.sock"

    def nic(self, guest):
        status, answer = self.api("GET", f"/v1/devices/nic/{guest}/eth0")
        assert status == 200
        return answer

    def reload(self):
        self.write_config()
        assert self.api("POST", "/v1/reload")[0] == 200


@pytest.fixture
def network(tmp_path):
    card = {"switch": "lan", "mtu": 9000, "model": "e1000e"}
    instance = NicDaemon({
        "daemon": {"workers": 1}, "switch lan": {},
        "guest alice": {}, "nic alice/eth0": {**card, "mac": "52:54:00:00:00:01"},
        "guest bob": {}, "nic bob/eth0": {**card, "mac": "52:54:00:00:00:02"},
        "guest carol": {}, "nic carol/eth0": {"switch": "lan", "mac": "52:54:00:00:00:03"}}, tmp_path)
    yield instance.start()
    instance.finish()


@pytest.fixture
def pair(network):
    with Card82574.start(network.socket("alice/eth0")) as alice, Card82574.start(network.socket("bob/eth0")) as bob:
        yield alice, bob


def test_address_and_report(network, pair):
    alice, _ = pair
    assert alice.address == ALICE
    assert b"".join(struct.pack("<H", alice.nvm(word)) for word in range(3)) == ALICE
    assert sum(alice.nvm(word) for word in range(64)) & 0xFFFF == 0xBABA
    assert network.nic("alice")["model"] == "e1000e" and network.nic("carol")["model"] == "virtio"
    assert alice.get(STATUS) & STATUS_LINK


def test_frames_each_way(network, pair):
    alice, bob = pair
    for number in range(300):
        data = frame(BOB, ALICE, os.urandom(random.randrange(1, 1400)))
        alice.transmit(data)
        assert bob.receive() == data
        bob.transmit(frame(ALICE, BOB, bytes([number & 255])))
        assert alice.receive() == frame(ALICE, BOB, bytes([number & 255]))
    assert bob.heard(VECTOR_RX) and alice.heard(VECTOR_TX)
    alice.transmit(frame(BROADCAST, ALICE, b"all"))
    assert bob.receive() == frame(BROADCAST, ALICE, b"all")
    assert not any(network.nic("alice")["violations"].values())


def test_with_a_virtio_card(network, pair):
    alice, _ = pair
    with Card(network.socket("carol/eth0"), CAROL) as carol:
        carol.post(64)
        data = frame(CAROL, ALICE, os.urandom(900))
        alice.transmit(data)
        assert carol.receive() == data
        carol.transmit(frame(ALICE, CAROL, b"answer"))
        assert alice.receive() == frame(ALICE, CAROL, b"answer")


def tcp(payload):
    """From Alice to Bob, as a driver leaves it to the card: without lengths."""
    addresses = bytes([10, 0, 0, 1, 10, 0, 0, 2])
    pseudo = sum(struct.unpack(">4H", addresses)) + 6
    pseudo = (pseudo & 0xFFFF) + (pseudo >> 16)
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 0, 7, 0, 64, 6, 0) + addresses
    return BOB + ALICE + b"\x08\x00" + ip + struct.pack(">HHIIBBHHH", 1, 2, 1000, 0, 0x50, 0x10, 512, pseudo, 0) + payload


def checksum_is_right(data):
    while len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF


def test_segments(pair):
    alice, bob = pair
    payload, got = os.urandom(40000), b""
    alice.transmit_tcp(tcp(payload), 54, 1448)
    while len(got) < len(payload):
        data = bob.receive()
        assert struct.unpack(">I", data[38:42])[0] == 1000 + len(got)
        assert checksum_is_right(data[14:34])
        assert checksum_is_right(data[26:34] + struct.pack(">HH", 6, len(data) - 34) + data[34:])
        got += data[54:]
    assert got == payload


def test_link(network, pair):
    alice, _ = pair
    while alice.heard(VECTOR_OTHER, 0):
        pass
    alice.get(ICR)
    for link in ("no", "yes"):
        network.sections["nic alice/eth0"]["link"] = link
        network.reload()
        assert alice.heard(VECTOR_OTHER)
        assert alice.get(ICR) & LSC
        assert bool(alice.get(STATUS) & STATUS_LINK) == (link == "yes")


def test_takeover(network, pair):
    alice, bob = pair
    for number in range(TAKEOVERS):
        # Half of a frame is in the ring.
        data = frame(BOB, ALICE, os.urandom(1000))
        alice.memory.write(alice.sent, data)
        alice.put(alice.sent, 500 | DEXT | DATA)
        alice.ring()
        alice.get(STATUS)
        network.take_over()
        at = alice.put(alice.sent + 500, len(data) - 500 | EOP | RS | DEXT | DATA)
        alice.ring()
        alice.wait_sent(at)
        assert bob.receive() == data
        bob.transmit(frame(ALICE, BOB, bytes([number])))
        assert alice.receive() == frame(ALICE, BOB, bytes([number]))
        assert alice.heard(VECTOR_RX)


def test_hostile_neighbour(network, pair):
    """Whatever Alice's registers are, Bob's frames come; and Alice is counted."""
    alice, bob = pair
    chance = random.Random(1)
    with Card(network.socket("carol/eth0"), CAROL) as carol:
        for number in range(50):
            for _ in range(60):
                queue = chance.choice((TX, RX))
                alice.post32(queue + chance.choice((0, 4, 8, 0x10, 0x18)), chance.getrandbits(chance.randrange(1, 33)))
            data = frame(BOB, CAROL, bytes([number]))
            carol.transmit(data)
            assert bob.receive() == data
        alice.set(TX + 4, 0xFFFF)
        alice.set(TX + 8, 128)
        alice.set(TX + 0x10, 0)
        alice.set(TX + TAIL, 5)
        wait_until(lambda: network.nic("alice")["violations"].get("ring-memory"), "the violation was counted")
        alice.set_up()
        alice.transmit(frame(BOB, ALICE, b"again"))
        assert bob.receive() == frame(BOB, ALICE, b"again")


def test_accesses_of_any_size(pair):
    alice, _ = pair
    for size in (1, 2, 4, 8):
        for offset in (0, 1, 3, 5, 0x3818, 0x1FFF8):
            alice.connection.region_read(REGISTERS, offset, size)
            if offset != CTRL:
                alice.connection.region_write(REGISTERS, offset, bytes(size))
    assert alice.get(STATUS) & STATUS_LINK
