# SPDX-License-Identifier: GPL-2.0-or-later
"""A second kind of device (tests/toy) in the real daemon: served, told of, reloaded, handed over and stopped.

The toy is shaped like a network card: what the driver transmits comes back on its receive queue, each byte XOR mask.
"""
import pytest

from daemon import Daemon, build_directory
from frontend import FrontEnd, Setup
from test_reload import reload
from test_takeover import take_over
from virtio import Buffer

RECEIVE, TRANSMIT = 0, 1
LABELS = 'guest="alice",device="0",kind="echo"'


class ToyDaemon(Daemon):
    """viaductd with one row more in its tables."""

    def command(self, *more):
        command = super().command(*more)
        command[len(self.wrapper)] = str(build_directory() / "tests/toy/viaductd-toy")
        return command

    def socket(self, disk):
        kind, _, name = disk.rpartition(":")
        guest, name = name.split("/")
        return self.runtime / guest / f"{kind or 'disk'}-{name}.sock"


@pytest.fixture
def toy(tmp_path):
    instance = ToyDaemon({
        "daemon": {"workers": 1}, "pool main": {"path": tmp_path / "main.pool", "size": "64M"}, "guest alice": {},
        "disk alice/0": {"pool": "main", "size": "8M"}, "echo alice/0": {"mask": 0},
    }, tmp_path)
    yield instance.start()
    instance.finish()


class Card:
    """The toy's driver."""

    def __init__(self, front):
        self.front, self.memory = front, front.memory
        self.sent = self.memory.allocate(2048, 16)

    def post(self, count):
        """Posts receive buffers, and kicks for none of them. Returns {chain: address}."""
        posted = {}
        for _ in range(count):
            address = self.memory.allocate(2048, 16)
            posted[self.front.queues[RECEIVE].ring.add([Buffer(address, 2048, True)])] = address
        self.front.queues[RECEIVE].ring.publish()
        return posted

    def transmit(self, data):
        self.memory.write(self.sent, data)
        queue = self.front.queues[TRANSMIT]
        assert queue.wait(queue.submit([Buffer(self.sent, len(data), False)]), 60) == 0

    def receive(self, posted, bytes_):
        """The next frame; takes its buffer off `posted`."""
        queue = self.front.queues[RECEIVE]
        assert queue.wait_for(lambda: queue.done, 60)
        chain, written = queue.done.popitem()
        assert written == bytes_
        return bytes(self.memory.read(posted.pop(chain), written))


def connect(toy, packed=False):
    setup = Setup(packed=packed, queues=2)
    return FrontEnd.start(toy.socket("echo:alice/0"), setup)


@pytest.mark.parametrize("packed", [False, True])
def test_it_is_served(toy, packed):
    with connect(toy, packed) as front:
        card = Card(front)
        posted = card.post(4)
        for turn in range(4):
            card.transmit(bytes([turn]) * 60)
            assert card.receive(posted, 60) == bytes([turn]) * 60
        card.transmit(b"no buffer")
        status, device = toy.api("GET", "/v1/devices/echo/alice/0")
        assert status == 200
        assert (device["echoed"], device["dropped"], device["connected"], device["kind"]) == (4, 1, True, "echo")


def test_it_is_told_of(toy):
    answer = toy.api("GET", "/v1/status")[1]
    assert [(device["kind"], device["name"]) for device in answer["devices"]] == [("disk", "alice/0"), ("echo", "alice/0")]
    assert [device["kind"] for device in toy.api("GET", "/v1/guests/alice")[1]["devices"]] == ["disk", "echo"]
    assert [device["name"] for device in toy.api("GET", "/v1/disks")[1]["disks"]] == ["alice/0"]
    assert toy.api("GET", "/v1/devices/echo/alice/1")[0] == toy.api("GET", "/v1/devices/nic/alice/0")[0] == 404
    with connect(toy) as front:
        card = Card(front)
        posted = card.post(1)
        card.transmit(b"x")
        card.receive(posted, 1)
        metrics = toy.metrics()
        assert metrics[f"viaduct_device_connections{{{LABELS}}}"] == 1
        assert metrics[f"viaduct_device_chains_total{{{LABELS}}}"] >= 2
        assert metrics['viaduct_echo_frames_total{guest="alice",echo="0"}'] == 1
    assert toy.wait_line("alice/echo-0")


def test_a_reload_changes_it(toy):
    toy.sections["echo alice/0"]["mask"] = 255
    toy.sections["echo alice/1"] = {"mask": 1}
    changes, refused = reload(toy)
    assert sorted(changes) == ["echo alice/0: served anew with its new attributes", "echo alice/1: added"]
    assert refused == []
    with connect(toy) as front:
        card = Card(front)
        posted = card.post(1)
        card.transmit(b"\x00\x0f")
        assert card.receive(posted, 2) == b"\xff\xf0"
        toy.sections["echo alice/0"]["mask"] = 3
        del toy.sections["echo alice/1"]
        changes, refused = reload(toy)
        assert changes == ["echo alice/1: removed"] and len(refused) == 1
        assert refused[0].startswith("echo alice/0: is connected; its new attributes apply after")
    assert not toy.socket("echo:alice/1").exists()


@pytest.mark.parametrize("packed", [False, True])
def test_a_takeover_waits_for_no_posted_buffer(toy, packed):
    with connect(toy, packed) as front, FrontEnd.start(toy.socket("alice/0")) as disk:
        card = Card(front)
        posted = card.post(100)
        for turn in range(10):
            card.transmit(bytes([turn]) * 9)
            assert card.receive(posted, 9) == bytes([turn]) * 9
            take_over(toy)
            disk.disk().write(turn, bytes([turn]) * 512)
        assert len(posted) == 90
        assert toy.api("GET", "/v1/devices/echo/alice/0")[1]["connected"]


def test_get_vring_base_and_memory_wait_for_no_posted_buffer(toy):
    with connect(toy) as front:
        card = Card(front)
        posted = card.post(50)
        front.tell_memory()
        base = front.stop_queue(RECEIVE)
        assert base == 0
        front.start_queue(RECEIVE, base)
        card.transmit(b"after")
        assert card.receive(posted, 5) == b"after" and len(posted) == 49


def test_mistakes_name_the_kind(toy):
    toy.sections["echo alice/0"]["mask"] = 256
    toy.write_config()
    status, answer = toy.api("POST", "/v1/reload")
    assert status == 422 and "mask" in answer["error"] and "255" in answer["error"]
    toy.sections["echo alice/0"]["mask"] = 0
    toy.sections["echo bob/0"] = {}
    toy.write_config()
    status, answer = toy.api("POST", "/v1/reload")
    assert status == 422 and "the guest 'bob' of [echo bob/0] is not declared" in answer["error"]
