# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's CPU time is shared: what a hostile guest's storm costs, that guest pays, and an honest guest on the same
worker goes on. How long the honest guest waits is measured by `./run bench-hostile`.
"""
import pytest

import blk
import storms
import virtio
from daemon import Daemon
from frontend import FrontEnd, Setup
from hostile import scribbler
from patience import wait_until
from victim_process import VictimProcess

ROUNDS = 20                     # of all rings of the storm; the honest guest goes on in each
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """One worker for all guests."""
    folder = tmp_path_factory.mktemp("viaduct")
    instance = Daemon({
        "daemon": {"workers": 1},
        "pool main": {"path": folder / "main.pool", "size": "256M"},
        "pool large": {"path": folder / "large.pool", "size": "1300M"},
        "guest honest": {}, "disk honest/root": {"pool": "main", "size": "8M"},
        "disk mallory/large": {"pool": "large", "size": "1200M", "queues": storms.QUEUES},
        "guest mallory": {}, "disk mallory/root": {"pool": "main", "size": "64M", "queues": storms.QUEUES},
    }, folder)
    try:
        instance.start()
        yield instance
    finally:
        instance.finish()


@pytest.fixture(scope="module")
def honest(daemon):
    victim = VictimProcess(daemon.socket("honest/root"), "--no-event-idx")
    try:
        yield victim
        victim.finish()
    finally:
        victim.kill()


def counted(daemon, what):
    """A counter of the hostile guest's disk."""
    return daemon.metrics()[f'viaduct_device_{what}_total{{guest="mallory",device="root",kind="disk"}}']


@pytest.mark.parametrize("storm", storms.KINDS)
def test_storm(daemon, honest, storm):
    """Both go on: neither the honest guest nor the storm waits for the end of the other."""
    with FrontEnd.start(daemon.socket("mallory/root"), storms.SETUP) as front:
        storms.fill_rings(front, storm)
        paid, chains = counted(daemon, "cpu_seconds"), counted(daemon, "chains")
        with scribbler(lambda: storms.refill(front)):
            for number in range(ROUNDS):
                honest.progress()
                goal = chains + number * storms.RING
                wait_until(lambda: counted(daemon, "chains") >= goal, "the storm goes on")
        assert counted(daemon, "cpu_seconds") > paid, "the storm costs its guest nothing"
        # The stores of the other process are not known here.
        front.queues[0].ring.next_available = front.queues[0].ring.used_idx()
    honest.progress()


def test_kick_storm(daemon, honest):
    """A kick is worth a look at an empty ring, and no more."""
    with FrontEnd.start(daemon.socket("mallory/root"), storms.SETUP) as front:
        before = counted(daemon, "kicks")
        with scribbler(lambda: storms.kick(front)):
            for _ in range(ROUNDS):
                honest.progress()
            wait_until(lambda: counted(daemon, "kicks") > before, "kicks are heard")
            # A ring that is stormed is served like any other.
            assert front.disk(1).read(0, 8) == bytes(4096)


# (type, how many at the same time, MiB)
LARGE = {
    "a-read": (blk.IN, 1, 1000),
    "reads-on-all-queues": (blk.IN, storms.QUEUES, 250),
    "writes": (blk.OUT, 2, 100),
}


@pytest.mark.parametrize("what", LARGE)
def test_large_requests(daemon, honest, what):
    """While one request copies a gigabyte, an honest guest has many turns."""
    kind, count, mebibytes = LARGE[what]
    with FrontEnd.start(daemon.socket("mallory/large"), Setup(queues=count, size=1024, memory_bytes=16 << 20)) as front:
        at = front.memory.allocate(4 * MEGABYTE, 4096)
        data = [virtio.Buffer(at, 4 * MEGABYTE, kind == blk.IN)] * (mebibytes // 4)
        requests = []
        honest.ask("begin")
        for index in range(count):
            request = front.disk(index).prepare(kind, 0, b"")
            request.chain = front.queues[index].submit([virtio.Buffer(request.header, 16, False), *data,
                                                        virtio.Buffer(request.status, 1, True)], indirect=True)
            requests.append(request)
        for index, request in enumerate(requests):
            front.queues[index].wait(request.chain)
        had = honest.ask("report")["operations"]
        assert [front.memory.read(request.status, 1)[0] for request in requests] == [blk.OK] * count
        assert had >= 10, f"an honest guest had {had} requests meanwhile"
        assert front.disk().read(0, 8) == bytes(4096)
    honest.progress()


def test_requests_larger_than_any_driver_sends(daemon, honest):
    """More than 1 GiB is refused, although the disk has it; the ring goes on."""
    with FrontEnd.start(daemon.socket("mallory/large"), Setup(size=1024, memory_bytes=32 << 20)) as front:
        at = front.memory.allocate(8 * MEGABYTE, 4096)
        for kind in (blk.IN, blk.OUT):
            request = front.disk().prepare(kind, 0, b"")
            data = [virtio.Buffer(at, 8 * MEGABYTE, kind == blk.IN)] * 129
            chain = front.queues[0].submit([virtio.Buffer(request.header, 16, False), *data,
                                            virtio.Buffer(request.status, 1, True)], indirect=True)
            front.queues[0].wait(chain)
            assert front.memory.read(request.status, 1)[0] == blk.IOERR
        assert len(front.disk().read(0, 8)) == 4096
