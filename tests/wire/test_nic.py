# SPDX-License-Identifier: GPL-2.0-or-later
"""Network cards on a switch without an uplink: frames between guests, and what a guest may not do."""
import random
import struct

import pytest

from daemon import Daemon
from nic import BROADCAST, F_CTRL_VQ, F_GUEST_CSUM, HEADER, NEEDS_CSUM, NO_OFFLOAD, OFFLOADS, RECEIVE, Card, frame, mac
from patience import wait_until
from vhost_user import Protocol, Request
from virtio import Buffer

ALICE, BOB, CAROL = (mac(f"52:54:00:00:00:0{number}") for number in (1, 2, 3))


class NicDaemon(Daemon):
    def socket(self, disk):
        guest, name = disk.split("/")
        return self.runtime / guest / f"nic-{name}.sock"

    def nic(self, guest):
        status, answer = self.api("GET", f"/v1/devices/nic/{guest}/eth0")
        assert status == 200
        return answer

    def dropped(self, guest):
        return {reason: count for reason, count in self.nic(guest)["dropped"].items() if count}

    def reload(self):
        self.write_config()
        status, answer = self.api("POST", "/v1/reload")
        assert status == 200
        return answer


def sections():
    result = {"daemon": {"workers": 1}, "switch lan": {}}
    for number, guest in enumerate(("alice", "bob", "carol"), 1):
        result[f"guest {guest}"] = {}
        result[f"nic {guest}/eth0"] = {"switch": "lan", "mac": f"52:54:00:00:00:0{number}", "mtu": 9000}
    return result


@pytest.fixture
def network(tmp_path):
    instance = NicDaemon(sections(), tmp_path)
    yield instance.start()
    instance.finish()


@pytest.fixture
def pair(network):
    """Alice's card and Bob's, who has buffers."""
    with Card(network.socket("alice/eth0"), ALICE) as alice, Card(network.socket("bob/eth0"), BOB) as bob:
        bob.post(32)
        yield alice, bob


@pytest.mark.parametrize("in_order", [False, True], ids=["any-order", "in-order"])
@pytest.mark.parametrize("mergeable", [False, True], ids=["whole", "mergeable"])
@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_frames_of_all_sizes(network, packed, mergeable, in_order):
    setup = {"packed": packed, "mergeable": mergeable, "in_order": in_order}
    generator = random.Random(f"{packed}{mergeable}{in_order}")
    with Card(network.socket("alice/eth0"), ALICE, **setup) as alice, \
            Card(network.socket("bob/eth0"), BOB, **setup) as bob:
        bob.post(64, 1536 if mergeable else 9100)
        alice.post(16, 1536 if mergeable else 9100)
        for size in (60, 64, 128, 256, 512, 1024, 1500, 4000, 9000):
            data = alice.send(bob, generator.randbytes(size))
            assert bob.receive() == data
            assert bob.headers[-1][:6] == HEADER.unpack(NO_OFFLOAD)[:6]
            assert bob.headers[-1][6] == (max(1, -(-(len(data) + 12) // 1536)) if mergeable else 1)
            assert alice.is_empty()
            back = bob.send(alice, generator.randbytes(size))
            assert alice.receive() == back


def test_without_event_index_and_indirect(network):
    with Card(network.socket("alice/eth0"), ALICE, event_idx=False, indirect=False) as alice, \
            Card(network.socket("bob/eth0"), BOB, event_idx=False, indirect=False) as bob:
        bob.post(8)
        for turn in range(20):
            assert alice.send(bob, bytes([turn]) * 99) == bob.receive()


def test_broadcast_reaches_all_but_the_sender(network, pair):
    alice, bob = pair
    with Card(network.socket("carol/eth0"), CAROL) as carol:
        carol.post(4)
        alice.post(4)
        data = alice.send(BROADCAST, b"who has it?")
        assert bob.receive() == carol.receive() == data
        assert alice.is_empty()


def test_unicast_is_seen_by_its_receiver_only(network, pair):
    alice, bob = pair
    with Card(network.socket("carol/eth0"), CAROL) as carol:
        carol.post(4)
        alice.send(bob, b"for Bob")
        bob.receive()
        alice.send(mac("52:54:00:00:00:99"), b"for nobody")
        alice.send(carol, b"for Carol")
        assert b"for Carol" in carol.receive()
        assert carol.is_empty() and bob.is_empty()
        assert network.dropped("alice") == {"unknown": 1}


def test_it_is_told_of(network, pair):
    alice, bob = pair
    for _ in range(3):
        alice.send(bob, b"x")
        bob.receive()
    card = network.nic("alice")
    assert (card["kind"], card["switch"], card["mac"], card["mtu"], card["link"]) == (
        "nic", "lan", "52:54:00:00:00:01", 9000, True)
    assert card["sent"] == {"frames": 3, "bytes": 180} == network.nic("bob")["received"]
    metrics = network.metrics()
    labels = 'guest="alice",nic="eth0",switch="lan"'
    assert metrics[f"viaduct_nic_sent_frames_total{{{labels}}}"] == 3
    assert metrics[f'viaduct_nic_dropped_frames_total{{{labels},reason="source"}}'] == 0
    assert metrics['viaduct_device_connections{guest="alice",device="eth0",kind="nic"}'] == 1


def test_configuration_space(network):
    with Card(network.socket("alice/eth0"), ALICE) as alice:
        space = alice.front.connection.get_config(0, 12)
        assert struct.unpack("<6sHHH", space[:12]) == (ALICE, 1, 1, 9000)


# ---- what a front end may do ----

def test_front_end_adds_features_of_its_own(network):
    """Cloud Hypervisor before 53 acknowledges what its own control queue stands for."""
    with Card(network.socket("alice/eth0"), ALICE) as alice:
        connection = alice.front.connection
        for queue in alice.front.queues:
            alice.front.stop_queue(queue.index)
        assert not connection.set_features(alice.front.features | 1 << F_CTRL_VQ | 1 << 21 | 1 << 23)
        assert connection.set_features(alice.front.features | 1 << 50)


def test_buffers_without_a_kick(network, pair):
    """A receive queue is looked at when there is a frame for it, whether or not it was ever kicked."""
    alice, bob = pair
    with Card(network.socket("carol/eth0"), CAROL) as carol:
        alice.send(carol, b"early")
        assert network.nic("carol")["received"]["frames"] == 0
        carol.post(1, kick=True)
        assert b"early" in carol.receive()
        for turn in range(5):
            data = alice.send(carol, bytes([turn]) * 64)
            assert carol.receive() == data
        assert carol.front.queues[RECEIVE].kicks <= 1


# ---- what a guest may not do ----

def test_hostile_source_address(network, pair):
    alice, bob = pair
    for source in (BOB, CAROL, BROADCAST, bytes(6), mac("52:54:00:00:00:77")):
        alice.transmit(frame(BOB, source, b"not from Alice"))
    alice.send(bob, b"from Alice")
    assert b"from Alice" in bob.receive()
    assert bob.is_empty()
    assert network.dropped("alice") == {"source": 5}


def test_hostile_tags(network, pair):
    alice, bob = pair
    for tag in (b"\x81\x00\x00\x05", b"\x81\x00\x00\x05\x81\x00\x00\x06", b"\x88\xa8\x00\x05"):
        alice.transmit((BOB + ALICE + tag + b"\x88\xb5").ljust(64, b"\1"))
    alice.send(bob, b"untagged")
    assert b"untagged" in bob.receive()
    assert bob.is_empty()
    assert network.dropped("alice") == {"vlan": 3}


def test_hostile_headers_in_pieces(network, pair):
    """The header over three descriptors is fine; a chain shorter than header and addresses is dropped."""
    alice, bob = pair
    data = frame(BOB, ALICE, b"in pieces")
    at = alice.memory.allocate(256, 16)
    alice.memory.write(at, NO_OFFLOAD + data)
    alice.transmit_chain(Buffer(at, 5, False), Buffer(at + 5, 5, False), Buffer(at + 10, 7, False),
                         Buffer(at + 17, 12 + len(data) - 17, False))
    assert bob.receive() == data
    for length in (1, 9, 11, 12, 13, 25):
        alice.transmit_chain(Buffer(at, length, False))
    alice.transmit_chain(Buffer(at, 64, True))
    alice.send(bob, b"after")
    assert b"after" in bob.receive()
    assert network.dropped("alice") == {"malformed": 7}


@pytest.mark.parametrize("header", [
    HEADER.pack(NEEDS_CSUM, 0, 0, 0, 60, 0, 0), HEADER.pack(NEEDS_CSUM, 0, 0, 0, 65535, 65535, 0),
    HEADER.pack(NEEDS_CSUM, 0, 0, 0, 0, 0, 0), HEADER.pack(NEEDS_CSUM, 1, 54, 0, 34, 16, 0),
    HEADER.pack(NEEDS_CSUM, 1, 65535, 65535, 34, 16, 0), HEADER.pack(0, 1, 54, 1448, 0, 0, 0),
    HEADER.pack(NEEDS_CSUM, 3, 54, 1448, 34, 16, 0), HEADER.pack(NEEDS_CSUM, 0x7f, 54, 1448, 34, 16, 0),
    HEADER.pack(0, 0x80, 0, 0, 0, 0, 0),
])
def test_hostile_offload_headers(network, header):
    with Card(network.socket("alice/eth0"), ALICE, offloads=OFFLOADS) as alice, \
            Card(network.socket("bob/eth0"), BOB) as bob:
        bob.post(8)
        alice.transmit(frame(BOB, ALICE, b"a frame of no known type"), header=header)
        alice.send(bob, b"an honest one")
        assert b"an honest one" in bob.receive()
        assert bob.is_empty()
        assert network.dropped("alice") == {"malformed": 1}


def test_hostile_offload_that_was_not_negotiated(network, pair):
    alice, bob = pair
    alice.transmit(frame(BOB, ALICE, bytes(64)), header=HEADER.pack(NEEDS_CSUM, 0, 0, 0, 34, 16, 0))
    assert network.dropped("alice") == {"malformed": 1}


def test_hostile_guest_that_posts_no_buffers(network, pair):
    """What it is sent waits in bounded memory and is then lost; the others notice nothing."""
    alice, bob = pair
    with Card(network.socket("carol/eth0"), CAROL) as carol:
        for turn in range(1200):
            alice.send(carol, bytes([turn % 256]) * 1400)
            if turn % 100 == 0:
                data = alice.send(bob, b"meanwhile")
                assert bob.receive() == data
        lost = network.dropped("carol")["full"]
        assert 300 < lost < 600
        carol.post(32, kick=True)
        for turn in range(1200 - lost):
            assert carol.receive()[14] == turn % 256
        data = alice.send(carol, b"again")
        assert carol.receive() == data


def test_hostile_buffers_of_a_byte(network, pair):
    """Buffers too small for any frame are given back, and count as the receiver's own loss."""
    alice, bob = pair
    with Card(network.socket("carol/eth0"), CAROL) as carol:
        carol.post(128, size=1)
        alice.send(carol, bytes(1400))
        wait_until(lambda: network.dropped("carol").get("too_large") == 1, "a frame that fits no buffer")
        data = alice.send(bob, b"meanwhile")
        assert bob.receive() == data


# ---- offloads ----

def ip_sum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def tcp_frame(payload, to, source):
    """TCP over IPv4 with the pseudo header's sum where the checksum is to be."""
    length = 20 + len(payload)
    addresses = bytes([10, 0, 0, 1]) + bytes([10, 0, 0, 2])
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + length, 7, 0, 64, 6, 0) + addresses
    ip = ip[:10] + struct.pack(">H", ip_sum(ip) ^ 0xffff) + ip[12:]
    pseudo = ip_sum(addresses + struct.pack(">HH", 6, length))
    tcp = struct.pack(">HHIIBBHHH", 1000, 2000, 100, 0, 0x50, 0x18, 1000, pseudo, 0)
    return to + source + b"\x08\x00" + ip + tcp + payload


def assert_sums(data):
    """Both checksums of a TCP frame are right."""
    assert ip_sum(data[14:34]) == 0xffff
    total, = struct.unpack_from(">H", data, 16)
    assert total == len(data) - 14
    assert ip_sum(data[26:34] + struct.pack(">HH", 6, total - 20) + data[34:]) == 0xffff


def test_checksum_is_left_open_between_those_who_can(network):
    with Card(network.socket("alice/eth0"), ALICE, offloads=OFFLOADS) as alice, \
            Card(network.socket("bob/eth0"), BOB, offloads=1 << F_GUEST_CSUM) as bob, \
            Card(network.socket("carol/eth0"), CAROL) as carol:
        bob.post(4)
        carol.post(4)
        header = HEADER.pack(NEEDS_CSUM, 0, 0, 0, 34, 16, 0)
        data = tcp_frame(b"hello" * 100, BOB, ALICE)
        alice.transmit(data, header=header)
        assert bob.receive() == data
        assert bob.headers[-1] == (NEEDS_CSUM, 0, bob.headers[-1][2], 0, 34, 16, 1)
        alice.transmit(tcp_frame(b"hello" * 100, CAROL, ALICE), header=header)
        data = carol.receive()
        assert carol.headers[-1][0] == 0
        assert_sums(data)


def test_segments_for_a_receiver_that_takes_no_large_frames(network):
    payload = random.Random(7).randbytes(20000)
    with Card(network.socket("alice/eth0"), ALICE, offloads=OFFLOADS) as alice, \
            Card(network.socket("bob/eth0"), BOB, offloads=OFFLOADS) as bob, \
            Card(network.socket("carol/eth0"), CAROL) as carol:
        bob.post(32)
        carol.post(32)
        header = HEADER.pack(NEEDS_CSUM, 1, 54, 1448, 34, 16, 0)
        data = tcp_frame(payload, BOB, ALICE)
        alice.transmit(data, header=header)
        assert bob.receive() == data
        assert bob.headers[-1][1:4] == (1, 54, 1448)
        alice.transmit(tcp_frame(payload, CAROL, ALICE), header=header)
        got = b""
        while len(got) < len(payload):
            data = carol.receive()
            assert_sums(data)
            assert struct.unpack_from(">I", data, 38)[0] == 100 + len(got)
            got += data[54:]
        assert got == payload


# ---- changes ----

def test_link_goes_down_and_up(network, pair):
    alice, bob = pair
    network.sections["nic bob/eth0"]["link"] = "no"
    assert network.reload()["changes"] == ["nic bob/eth0: its port was changed"]
    assert struct.unpack("<H", bob.front.connection.get_config(6, 2)[:2]) == (0,)
    alice.send(bob, b"lost")
    assert network.dropped("alice") == {"link": 1}
    network.sections["nic bob/eth0"]["link"] = "yes"
    network.reload()
    data = alice.send(bob, b"there")
    assert bob.receive() == data


def test_daemon_is_killed_and_started_again(network, pair):
    """What was in flight may be lost, as on a wire; both cards go on on the rings that they had."""
    alice, bob = pair
    bob.receive() if not bob.is_empty() else None
    for turn in range(3):
        network.kill()
        network.restart()
        for card in (alice, bob):
            card.front.reconnect()
        data = alice.send(bob, bytes([turn]) * 200)
        assert bob.receive() == data
        data = bob.send(alice, bytes([turn]) * 200)
    assert network.nic("bob")["sent"]["frames"] == 1


def test_cards_come_and_go(network, pair):
    alice, bob = pair
    network.sections["guest dave"] = {}
    network.sections["nic dave/eth0"] = {"switch": "lan"}
    assert "nic dave/eth0: added" in network.reload()["changes"]
    address = mac(network.nic("dave")["mac"])
    assert address[0] == 2
    with Card(network.socket("dave/eth0"), address) as dave:
        dave.post(4)
        data = alice.send(dave, b"welcome")
        assert dave.receive() == data
    wait_until(lambda: not network.nic("dave")["connected"], "Dave has left")
    del network.sections["nic dave/eth0"]
    assert network.reload()["changes"] == ["nic dave/eth0: removed"]
    alice.send(address, b"gone")
    assert network.dropped("alice") == {"unknown": 1}


def test_a_guest_that_moved_here_is_announced(network):
    """A front end that says so makes the switch tell all others, from the card's own address and no other."""
    wanted = Protocol.RARP | Protocol.MTU | Protocol.REPLY_ACK | Protocol.MQ
    with Card(network.socket("alice/eth0"), ALICE, protocol=int(wanted)) as alice, \
            Card(network.socket("bob/eth0"), BOB) as bob:
        bob.post(4)
        assert alice.front.protocol == wanted
        assert alice.front.connection.tell_u64(Request.SEND_RARP, int.from_bytes(ALICE, "little")) == 0
        told = bob.receive()
        assert told[:14] == BROADCAST + ALICE + b"\x80\x35"
        assert told[14:] == b"\0\1\x08\0\6\4\0\3" + (ALICE + bytes(4)) * 2 + bytes(18)
        for message, number in (Request.SEND_RARP, int.from_bytes(BOB, "little")), (Request.NET_SET_MTU, 9001):
            assert alice.front.connection.tell_u64(message, number) != 0
        assert alice.front.connection.tell_u64(Request.NET_SET_MTU, 9000) == 0
        alice.send(bob, b"still here")
        assert bob.receive()[14:24] == b"still here"
        assert bob.is_empty()
