# SPDX-License-Identifier: GPL-2.0-or-later
"""Cards whose guests have to wait for their turn: the frames stay in the ring, and none is lost, doubled or overtaken."""
import pytest

from nic import HEADER, NO_OFFLOAD, TRANSMIT, Card, frame
from patience import wait_until
from test_nic import ALICE, BOB, CAROL, NicDaemon, sections
from virtio import Buffer

FRAMES = 40


@pytest.fixture
def network(tmp_path):
    instance = NicDaemon(sections(), tmp_path)
    yield instance.start()
    instance.finish()


def share(network, guest, **settings):
    status, answer = network.api("PATCH", f"/v1/nics/{guest}/eth0", settings)
    assert status == 200, answer
    return answer["share"]


def put(card, to, numbers):
    """Frames in the transmit ring; nothing is waited for."""
    queue, sent = card.front.queues[TRANSMIT], []
    for number in numbers:
        data = frame(to, card.address, bytes([number]) * 50)
        address = card.memory.allocate(HEADER.size + len(data), 16)
        card.memory.write(address, NO_OFFLOAD + data)
        queue.submit([Buffer(address, HEADER.size + len(data), False)])
        sent.append(data)
    return sent


def done(card):
    queue = card.front.queues[TRANSMIT]
    queue.poll()
    return len(queue.done)


def hold(network, card, to):
    """The card may send one frame a second at most, and has sent that: what it puts into the ring now is held."""
    share(network, "alice", max_pps=1, burst=0)
    sent = put(card, to, range(FRAMES))
    wait_until(lambda: network.nic("alice")["time"]["waiting"] == 1, "the card is held")
    assert done(card) > 0, "the first frame was not sent"
    return sent


def let_go(network):
    share(network, "alice", max_pps=None, burst=None)


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_held_frames_wait_in_the_ring(network, packed):
    with Card(network.socket("alice/eth0"), ALICE, packed=packed) as alice, \
            Card(network.socket("bob/eth0"), BOB, packed=packed) as bob, \
            Card(network.socket("carol/eth0"), CAROL) as carol:
        for card in (bob, carol):
            card.post(FRAMES + 4, kick=True)
        sent = hold(network, alice, BOB)
        # Whatever alice waits for, the others do not.
        aside, received = carol.send(bob, b"by the way"), []
        while aside not in received:
            received.append(bob.receive())
        assert done(alice) < FRAMES and len(received) <= FRAMES
        let_go(network)
        while len(received) < FRAMES + 1:
            received.append(bob.receive())
        assert [data for data in received if data != aside] == sent
        wait_until(lambda: done(alice) == FRAMES, "all buffers are back")
        assert bob.is_empty()
        time = network.nic("alice")["time"]
        assert time["throttled_ns"] > 0 and time["device_ns"] == 0 and time["waiting"] == 0
        assert network.dropped("alice") == network.dropped("bob") == {}


@pytest.mark.parametrize("how", ["stop", "status", "reconnect"])
def test_a_queue_ends_while_it_waits(network, how):
    """Nothing is waited for: what was held is not sent, and the ring goes on from where it was told to."""
    with Card(network.socket("alice/eth0"), ALICE) as alice, Card(network.socket("bob/eth0"), BOB) as bob:
        bob.post(FRAMES, kick=True)
        hold(network, alice, BOB)
        received = 1
        alice.front.reset(how)
        let_go(network)
        last = alice.send(bob, b"after the reset")
        while bob.receive() != last:
            received += 1
        assert received < FRAMES, "frames of before the reset were sent after it"


def test_a_queue_stops_and_goes_on(network):
    """GET_VRING_BASE tells the first frame that was not sent, as for a migration."""
    with Card(network.socket("alice/eth0"), ALICE) as alice, Card(network.socket("bob/eth0"), BOB) as bob:
        bob.post(FRAMES, kick=True)
        sent = hold(network, alice, BOB)
        base = alice.front.stop_queue(TRANSMIT)
        assert base == done(alice) < FRAMES
        let_go(network)
        alice.front.start_queue(TRANSMIT, base)
        assert [bob.receive() for _ in range(FRAMES)] == sent
        assert bob.is_empty()


def test_a_takeover_while_frames_wait(network):
    with Card(network.socket("alice/eth0"), ALICE) as alice, Card(network.socket("bob/eth0"), BOB) as bob:
        bob.post(FRAMES, kick=True)
        sent = hold(network, alice, BOB)
        before = network.process
        network.process = network.spawn("--takeover")
        network.wait_ready()
        assert before.wait(timeout=60) == 0
        let_go(network)
        assert [bob.receive() for _ in range(FRAMES)] == sent
        assert bob.is_empty()


@pytest.mark.parametrize("event_idx", [False, True], ids=["flag", "event-idx"])
def test_a_held_queue_asks_for_no_kicks(network, event_idx):
    """A guest that floods while it is held costs no wake-ups: it is told not to kick."""
    with Card(network.socket("alice/eth0"), ALICE, event_idx=event_idx) as alice, \
            Card(network.socket("bob/eth0"), BOB) as bob:
        bob.post(FRAMES + 1, kick=True)
        hold(network, alice, BOB)
        queue, address = alice.front.queues[TRANSMIT], alice.memory.allocate(2048, 16)
        alice.memory.write(address, NO_OFFLOAD + frame(BOB, ALICE, b"one more"))
        queue.ring.add([Buffer(address, HEADER.size + 60, False)])
        assert not queue.ring.publish()
        let_go(network)
        received = [bob.receive() for _ in range(FRAMES + 1)]
        assert b"one more" in received[-1]


def test_guest_and_group_limits(network):
    """The limit of a guest holds for all of its cards together, and says so in its status."""
    network.sections["group slow"] = {"nic_max_pps": 1, "nic_burst": 0}
    network.sections["guest alice"]["group"] = "slow"
    network.reload()
    with Card(network.socket("alice/eth0"), ALICE) as alice, Card(network.socket("bob/eth0"), BOB) as bob:
        bob.post(FRAMES, kick=True)
        sent = put(alice, BOB, range(FRAMES))
        assert bob.receive() == sent[0]
        wait_until(lambda: network.nic("alice")["time"]["waiting"] == 1, "the card is held")
        assert done(alice) < FRAMES
        status, answer = network.api("PATCH", "/v1/groups/slow", {"nic_max_pps": 0})
        assert status == 200 and answer["share"]["nic_max_pps"] == 0
        assert [bob.receive() for _ in range(FRAMES - 1)] == sent[1:]
