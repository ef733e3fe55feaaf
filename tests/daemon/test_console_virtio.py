# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtio console over vhost-user: said, typed, resized, handed over; a driver that says more than it may."""
import pytest

from frontend import FrontEnd, Setup
from patience import PATIENCE_S, wait_until
from test_console import Reader, path_of, said, status, type_, type_all
from test_takeover import take_over
from virtio import Buffer

RECEIVE, TRANSMIT = 0, 1


@pytest.fixture
def daemon(make_daemon):
    return make_daemon({"guest alice": {}, "console alice/0": {"source": "virtio"}})


class Driver:
    """A guest's driver of one port."""

    def __init__(self, front):
        self.front, self.memory = front, front.memory
        self.page = self.memory.allocate(65536, 16)
        self.posted = {}

    def say(self, data):
        self.memory.write(self.page, data)
        queue = self.front.queues[TRANSMIT]
        assert queue.wait(queue.submit([Buffer(self.page, len(data), False)]), PATIENCE_S) == 0

    def post(self, length):
        address = self.memory.allocate(length, 16)
        self.posted[self.front.queues[RECEIVE].submit([Buffer(address, length, True)])] = address

    def hear(self):
        """What the next buffer holds."""
        queue = self.front.queues[RECEIVE]
        assert queue.wait_for(lambda: queue.done, PATIENCE_S)
        chain, written = queue.done.popitem()
        return bytes(self.memory.read(self.posted.pop(chain), written))


def connect(daemon, packed=False):
    return FrontEnd.start(path_of(daemon), Setup(packed=packed, queues=2))


def wait_gone(daemon):
    wait_until(lambda: not status(daemon)["connected"], lambda: "the front end is gone")


@pytest.mark.parametrize("packed", [False, True])
def test_both_ways(daemon, packed):
    assert type_(daemon, b"x")[0] == 409
    with connect(daemon, packed) as front, Reader(daemon) as reader:
        driver = Driver(front)
        driver.say(b"hvc0 login: ")
        assert reader.read(12) == b"hvc0 login: "
        for turn in range(5):
            driver.post(100)
            type_all(daemon, b"key %d" % turn)
            assert driver.hear() == b"key %d" % turn
        assert type_(daemon, b"early") == (200, {"accepted": 5})
        driver.post(100)
        assert driver.hear() == b"early"
        now = status(daemon)
        assert (now["source"], now["connected"], now["output_bytes"], now["input_bytes"]) == ("virtio", True, 12, 30)
    wait_gone(daemon)
    assert type_(daemon, b"x")[0] == 409


@pytest.mark.parametrize("packed", [False, True])
def test_takeover(daemon, packed):
    with connect(daemon, packed) as front:
        driver = Driver(front)
        for turn in range(3):
            driver.post(100)
            driver.say(b"turn %d" % turn)
            take_over(daemon)
            type_all(daemon, b"key %d" % turn)
            assert driver.hear() == b"key %d" % turn
        with Reader(daemon) as reader:
            assert reader.position == 0 and reader.read(18) == b"turn 0turn 1turn 2"


def test_a_console_of_another_source(daemon):
    """A successor that is to serve it otherwise does not fall over the handover, and a reload serves it."""
    with connect(daemon) as front:
        Driver(front).say(b"kept")
        said(daemon, 4)
        daemon.sections["console alice/0"]["source"] = "vmm"
        daemon.write_config()
        take_over(daemon)
    wait_gone(daemon)
    assert daemon.api("POST", "/v1/reload")[0] == 200
    assert status(daemon)["source"] == "vmm" and "error" not in status(daemon)
    with Reader(daemon) as reader:
        assert reader.read(4) == b"kept"


def test_size(daemon):
    path = "/v1/consoles/alice/0"
    with connect(daemon) as front:
        assert daemon.api("PATCH", path, {"columns": 132, "rows": 43})[0] == 200
        assert front.connection.get_config(0, 12) == b"\x84\0\x2b\0\1\0\0\0\0\0\0\0"
    assert daemon.api("PATCH", path, {"columns": 0, "rows": 43})[0] == 400
    assert daemon.api("PATCH", path, {"columns": 80})[0] == 400
    wait_gone(daemon)
    daemon.sections["console alice/0"]["source"] = "vmm"
    daemon.write_config()
    assert daemon.api("POST", "/v1/reload")[0] == 200
    assert daemon.api("PATCH", path, {"columns": 80, "rows": 24})[0] == 409


def test_a_flood(daemon):
    """All of the ring, again and again: readers miss bytes, the daemon and the guest go on."""
    with connect(daemon) as front:
        driver = Driver(front)
        driver.memory.write(driver.page, b"f" * 65536)
        stuck = Reader(daemon)
        queue = front.queues[TRANSMIT]
        for _ in range(50):
            for chain in [queue.submit([Buffer(driver.page, 65536, False)]) for _ in range(16)]:
                assert queue.wait(chain, PATIENCE_S) == 0
        assert status(daemon)["output_bytes"] == 50 * 16 * 65536
        rest = stuck.read_end()
        assert set(rest) <= {ord("f")} and len(rest) < 50 * 16 * 65536
        stuck.close()
    daemon.wait_idle()


@pytest.mark.parametrize("buffer", [Buffer(0xdead0000, 4096, True), Buffer(0, 100, False), Buffer(1 << 63, 0xffffffff, True)])
def test_buffers_that_are_none(daemon, buffer):
    """The device stops for its driver, and is there for the next one."""
    with connect(daemon) as front:
        front.queues[RECEIVE].submit([buffer])
        type_(daemon, b"x")
        front.queues[RECEIVE].wait_for(lambda: status(daemon)["broken"], PATIENCE_S)
        assert status(daemon)["broken"]
    with connect(daemon) as front:
        Driver(front).say(b"again")
        said(daemon, 5)
