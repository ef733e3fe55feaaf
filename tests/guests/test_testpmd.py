# SPDX-License-Identifier: GPL-2.0-or-later
"""A foreign driver of network cards: DPDK's virtio-user on a switch, in every form of ring that it has."""
import pathlib
import random
import sys

import pytest

from testpmd import Port, Testpmd

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "wire"))

from nic import Card, frame, mac  # noqa: E402

SIZES = (60, 64, 128, 256, 512, 1024, 1500, 9000)
MACS = {"alice": "52:54:00:00:00:01", "bob": "52:54:00:00:00:02", "carol": "52:54:00:00:00:03"}
BURSTS, BURST_FRAMES = 1, 32
# Of both ports. All may come to one of them at once, whose backlog has room for them: 1 MiB.
WINDOW = 2 * BURSTS * BURST_FRAMES


@pytest.fixture
def network(viaductd):
    """network() -> a daemon with three cards on a switch. With server=True it connects to the sockets of the guests."""
    def start(server=False):
        sections = {"switch lan": {}}
        for guest, address in MACS.items():
            connect = {"connect": f"FOLDER/{guest}.sock"} if server else {}
            sections |= {f"guest {guest}": {}, f"nic {guest}/eth0": {"switch": "lan", "mac": address, "mtu": 9000, **connect}}
        return viaductd(sections)

    return start


def ports(daemon, server=False, **kind):
    """Alice and Bob, who send to each other."""
    sockets = {guest: daemon.folder / f"{guest}.sock" if server else daemon.socket(f"{guest}/eth0", "nic") for guest in MACS}
    return [Port(sockets[guest], MACS[guest], MACS[peer], server=server, **kind)
            for guest, peer in (("alice", "bob"), ("bob", "alice"))]


def card(daemon, guest):
    return daemon.device(f"{guest}/eth0", "nic")


def dropped(daemon):
    return {guest: lost for guest in MACS
            if (lost := {reason: count for reason, count in card(daemon, guest)["dropped"].items() if count})}


def flow(pmd, frames=1000):
    """Until so many more frames have come."""
    before = pmd.received()
    pmd.wait(lambda: pmd.received() >= before + frames, "frames")


def collect(pmd):
    """Takes what is still on the way; returns how many that were."""
    pmd.forward("rxonly")
    before = pmd.received()
    pmd.start()
    pmd.wait(lambda: pmd.received() == pmd.sent(), "the last frame")
    pmd.stop()
    pmd.forward("macswap")
    return pmd.received() - before


def exchange(pmd, size):
    """Frames go round between the two ports; each that was put in is there at the end."""
    pmd.set_size(size)
    before = pmd.received(), pmd.sent()
    assert before[0] == before[1]
    pmd.start(BURSTS)
    flow(pmd)
    pmd.stop()
    taken = pmd.sent() - pmd.received()
    assert taken == collect(pmd) == WINDOW


def assert_agreement(daemon, pmd):
    """Both sides have counted the same."""
    (alice_received, alice_sent, _), (bob_received, bob_sent, _) = pmd.counts()
    assert (alice_sent, bob_sent) == (bob_received, alice_received)
    for guest, received, sent in (("alice", alice_received, alice_sent), ("bob", bob_received, bob_sent)):
        status = card(daemon, guest)
        assert (status["received"]["frames"], status["sent"]["frames"]) == (received, sent)
    assert dropped(daemon) == {}


def echo(pmd, daemon, kind):
    """Frames of every size come back from testpmd as they were sent, but for the addresses."""
    generator = random.Random(str(kind))
    whole = not kind["mergeable"]
    pmd.start()
    with Card(daemon.socket("carol/eth0", "nic"), mac(MACS["carol"]), **kind) as carol:
        carol.post(32, 9100 if whole else 1536)
        for size in SIZES:
            for to in ("alice", "bob"):
                payload = generator.randbytes(size - 14)
                carol.send(mac(MACS[to]), payload)
                assert carol.receive() == frame(carol.address, mac(MACS[to]), payload)
    pmd.stop()


@pytest.mark.parametrize("in_order", [False, True], ids=["any-order", "in-order"])
@pytest.mark.parametrize("mergeable", [False, True], ids=["whole", "mergeable"])
@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_every_ring_and_size(network, packed, mergeable, in_order):
    daemon = network()
    kind = {"packed": packed, "mergeable": mergeable, "in_order": in_order}
    with Testpmd(ports(daemon, **kind), mtu=9000) as pmd:
        features = int(card(daemon, "alice")["features"], 16)
        assert (features >> 34 & 1, features >> 15 & 1, features >> 35 & 1) == (packed, mergeable, in_order)
        for size in SIZES:
            exchange(pmd, size)
        assert_agreement(daemon, pmd)
        echo(pmd, daemon, kind)
        pmd.quit()
    assert dropped(daemon) == {}


def test_ports_restart(network):
    """A port stops and starts under traffic, and one goes away and comes back on a new connection."""
    daemon = network()
    made = ports(daemon)
    with Testpmd(made) as pmd:
        for _ in range(3):
            pmd.start(BURSTS)
            flow(pmd)
            pmd.stop()
            pmd.command("port stop all")
            assert "Done" in pmd.command("port start all")
        pmd.command("port stop 1")
        pmd.command("port close 1")
        pmd.wait(lambda: not card(daemon, "bob")["connected"], "Bob's card has gone")
        assert "is attached" in pmd.command(f"port attach {made[1].device(2)}")
        assert "Done" in pmd.command("port start all")
        pmd.start(BURSTS)
        flow(pmd)
        pmd.stop()
        pmd.quit()
    assert set(dropped(daemon)) <= {"bob"}      # frames to a card that is not there


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_takeover_under_traffic(network, packed):
    """A new daemon goes on with the rings as they are. What one card had sent while the other stood still is lost."""
    daemon = network()
    with Testpmd(ports(daemon, packed=packed)) as pmd:
        pmd.start(BURSTS)
        for _ in range(3):
            flow(pmd)
            daemon.take_over()
            pmd.stop()
            pmd.start(1)        # some that go round whatever was lost
        flow(pmd)
        pmd.stop()
        pmd.quit()
    assert all(set(reasons) == {"full"} for reasons in dropped(daemon).values())


def connected(pmd, daemon):
    """Until the rings of both cards run."""
    for guest in ("alice", "bob"):
        pmd.wait(lambda name=guest: card(daemon, name)["queues_running"] == 2, f"{guest}'s connection")


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_server_and_a_killed_daemon(network, packed):
    """virtio-user listens, the daemon connects, is killed under traffic, and connects again."""
    daemon = network(server=True)
    with Testpmd(ports(daemon, server=True, packed=packed)) as pmd:
        connected(pmd, daemon)
        exchange(pmd, 64)
        assert_agreement(daemon, pmd)
        for _ in range(3):
            pmd.start(BURSTS)
            flow(pmd)
            daemon.kill()
            # virtio-user begins packed rings anew when somebody connects, a millisecond after it told the forwarding thread to
            # leave them (virtio_user_dev_reset_queues_packed()). On a busy machine the thread may still be there.
            if packed:
                pmd.stop()
            daemon.start()
            connected(pmd, daemon)
            # What was on the way may be lost, so that nothing goes round any more.
            if not packed:
                pmd.stop()
            pmd.start(BURSTS)
            flow(pmd)
            pmd.stop()
        pmd.quit()
