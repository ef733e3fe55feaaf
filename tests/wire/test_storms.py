# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's CPU time is shared: what a hostile guest's storm costs, that guest pays, and an honest guest on the same
worker goes on. How long the honest guest waits is measured by `./run bench-hostile`.
"""
import pathlib

import pytest

import blk
import storms
from daemon import Daemon
from frontend import FrontEnd, Setup
from hostile import scribbler
from large import LargeRequests
from patience import wait_until
from rows import row_id
from starts import Claims, stop_and_start
from victim_process import VictimProcess

ROUNDS = 20                     # of all rings of the storm; the honest guest goes on in each


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


@pytest.mark.parametrize("kind, count, mebibytes", LARGE.values(), ids=[row_id("E8", what) for what in LARGE])
def test_storm_of_large_requests(daemon, honest, kind, count, mebibytes):
    """While one request copies a gigabyte, an honest guest has many turns."""
    with FrontEnd.start(daemon.socket("mallory/large"), Setup(queues=count, size=1024, memory_bytes=16 << 20)) as front:
        large = LargeRequests(front)
        honest.ask("begin")
        requests = [large.submit(kind, mebibytes, index=index) for index in range(count)]
        statuses = [large.finish(request, index) for index, request in enumerate(requests)]
        had = honest.ask("report")["operations"]
        assert statuses == [blk.OK] * count
        assert had >= 10, f"an honest guest had {had} requests meanwhile"
        assert front.disk().read(0, 8) == bytes(4096)
    honest.progress()


@pytest.mark.parametrize("kind", [blk.IN, blk.OUT], ids=[row_id("E9", what) for what in ("read", "write")])
def test_storm_of_requests_larger_than_any(daemon, honest, kind):
    """More than 1 GiB is refused, although the disk has it; the ring goes on."""
    with FrontEnd.start(daemon.socket("mallory/large"), Setup(size=1024, memory_bytes=32 << 20)) as front:
        assert LargeRequests(front, piece_mib=8).do(kind, 8 * 129) == blk.IOERR
        assert len(front.disk().read(0, 8)) == 4096


# ---- starts and stops ----

RECORDS = 256                   # chains that each ring's record claims to be in flight
CYCLES = 12


def worker_cpu_seconds(daemon):
    """CPU time of the daemon's threads."""
    tasks = pathlib.Path(f"/proc/{daemon.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


@pytest.mark.parametrize("kind", [blk.GET_ID, blk.IN], ids=[row_id("E7", what) for what in ("identifiers", "reads")])
def test_storm_of_resubmission_is_paid(daemon, honest, kind):
    """Chains that a record claims to be in flight cost what others cost, and wait for their turn like others."""
    setup = Setup(queues=storms.QUEUES, size=RECORDS, inflight=True, memory_bytes=16 << 20)
    with FrontEnd.connect(daemon.socket("mallory/root"), setup) as front:
        with Claims(front, kind) as claims, honest.held():
            chains, paid, used = counted(daemon, "chains"), counted(daemon, "cpu_seconds"), worker_cpu_seconds(daemon)
            for cycle in range(CYCLES):
                claims.claim()
                claims.resubmit()
                goal = chains + (cycle + 1) * storms.QUEUES * RECORDS
                wait_until(lambda: counted(daemon, "chains") >= goal, lambda: f"all chains are answered in cycle {cycle}")
            paid, used = counted(daemon, "cpu_seconds") - paid, worker_cpu_seconds(daemon) - used
        # the rest: connections that come, the API's answers to this test
        assert paid > used / 3, f"the guest paid {paid:.3f} s of {used:.3f} s"
    honest.progress()


@pytest.mark.parametrize("queues", [1, storms.QUEUES], ids=[row_id("E6", what) for what in ("one", "all")])
def test_storm_of_starts_is_paid(daemon, honest, queues):
    """Rings that start and stop and do nothing else."""
    with FrontEnd.start(daemon.socket("mallory/root"), Setup(queues=queues, size=1024)) as front:
        with honest.held():
            paid, used = counted(daemon, "cpu_seconds"), worker_cpu_seconds(daemon)
            for _ in range(160 // queues):
                stop_and_start(front)
            paid, used = counted(daemon, "cpu_seconds") - paid, worker_cpu_seconds(daemon) - used
        assert paid > used / 3, f"the guest paid {paid:.3f} s of {used:.3f} s"
        assert front.disk().read(0, 8) == bytes(4096)
    honest.progress()
