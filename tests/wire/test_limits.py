# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest whose requests wait behind its limit: an action that needs their end does not wait for the limit.

The reads of these tests, at one a second, would take longer than any test waits (see patience.py). So an action that
waited for the limit counts as one that hangs; and a guest that stops its rings again and again gets no more for that than
its limit in the long run.
"""
import struct

import pytest

import blk
from daemon import Daemon
from frontend import FrontEnd, Setup
from patience import PATIENCE_S, wait_until, watch_nothing
from vhost_user import Closed

READS = 500
RING = 1024
assert READS > 2 * PATIENCE_S
DISKS = ("base-split", "base-packed", "status", "device", "memory", "gone", "twice", "kill", "kill-at-once", "takeover", "stop", "forgets")


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """The daemon. Not for check_after(): what a guest owes keeps its connection after a test, too."""
    folder = tmp_path_factory.mktemp("viaduct")
    sections = {"daemon": {"workers": 2}, "pool main": {"path": folder / "main.pool", "size": "256M"}, "guest slow": {},
                "guest honest": {}, "disk honest/root": {"pool": "main", "size": "8M"}}
    sections |= {f"disk slow/{name}": {"pool": "main", "size": "8M", "max_iops": 1} for name in DISKS}
    instance = Daemon(sections, folder)
    try:
        instance.start()
        yield instance
    finally:
        instance.finish()


def answered(front):
    """How many were answered since it was asked last."""
    queue = front.queues[0]
    queue.poll()
    count = len(queue.done)
    queue.done.clear()
    return count


def wait_answered(front):
    """All reads are answered, once each: those before the action, and the others some time after it."""
    left = READS - front.early
    assert front.queues[0].wait_for(lambda: len(front.queues[0].done) >= left), "reads that were let past are lost"
    watch_nothing()
    assert answered(front) == left


def offer_reads(front, count=READS):
    """
    Reads of written space, because blank space never waits. The daemon takes all of them; returns how many it answered at
    once.
    """
    disk, before = front.disk(), front.taken()
    for _ in range(count):
        disk.submit(blk.IN, 0, 512)
    wait_until(lambda: front.taken() == before + count, "the reads are taken")
    watch_nothing()
    return answered(front)


def start_waiting(limited, name, **setup):
    front = FrontEnd.start(limited.socket(f"slow/{name}"), Setup(size=RING, **setup))
    front.taken = lambda: limited.api("GET", f"/v1/disks/slow/{name}")[1]["chains"]
    front.disk().write(0, b"x" * 4096)
    front.early = offer_reads(front)
    assert front.early < READS / 2, "the limit does not hold"
    return front


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_base(limited, packed):
    """GET_VRING_BASE: all that was taken is answered. What passed is owed."""
    with start_waiting(limited, "base-packed" if packed else "base-split", packed=packed) as front:
        base = front.stop_queue(0)
        assert front.early + answered(front) == READS
        front.start_queue(0, base=base)
        assert offer_reads(front, 5) == 0, "what passed the limit was not charged"


@pytest.mark.parametrize("how", ["status", "device"])
def test_reset(limited, how):
    with start_waiting(limited, how) as front:
        front.reset("status" if how == "status" else "reset_device")


def test_memory_removed(limited):
    """Another table without the old regions: the requests that use them end, those that come later wait."""
    with start_waiting(limited, "memory") as front:
        front.tell_memory()
        wait_answered(front)
        assert offer_reads(front, 10) == 0, "the limit does not hold any more"


def test_disconnected(limited):
    """The reads end, and the guest may come back. Where its rings are is certain only then, as it has no record."""
    with start_waiting(limited, "gone") as front:
        front.disconnect()
        wait_answered(front)
        front.reconnect()
        assert offer_reads(front, 5) == 0, "what passed the limit was not charged"


def test_stopped_twice(limited):
    """What it owes from the first time keeps it waiting the second time, and no other guest."""
    with start_waiting(limited, "twice") as front, FrontEnd.start(limited.socket("honest/root")) as honest:
        front.start_queue(0, base=front.stop_queue(0))
        offer_reads(front, 10)
        front.connection.sock.settimeout(0.3)
        with pytest.raises((TimeoutError, Closed, OSError)):
            front.stop_queue(0)
        honest.disk().write(0, b"y" * 4096)
        honest.stop_queue(0)


def replaced(limited):
    old = limited.process
    limited.process = limited.spawn("--takeover")
    limited._follow(limited.process)
    old.wait(PATIENCE_S)
    assert old.returncode == 0, limited.text()
    limited.wait_ready()


def test_takeover(limited):
    """Also of a guest that owes too much to be let past its limit."""
    with start_waiting(limited, "takeover") as front, FrontEnd.start(limited.socket("honest/root")) as honest:
        front.start_queue(0, base=front.stop_queue(0))
        front.early += offer_reads(front, 10) - 10
        replaced(limited)
        honest.disk().write(0, b"z" * 4096)
        wait_answered(front)
        assert offer_reads(front, READS // 2) < READS / 4, "the successor knows no limit"


@pytest.mark.parametrize("name, at_once", [("kill", False), ("kill-at-once", True)])
def test_killed(limited, name, at_once):
    """What waited is recorded in INFLIGHT, and is answered once, also by a ring that is stopped before its first turn."""
    with start_waiting(limited, name, inflight=True) as front:
        limited.restart()
        front.reconnect()
        if not at_once:
            watch_nothing()
        front.early += answered(front)
        assert front.early < READS / 2, "the limit does not hold any more"
        front.stop_queue(0)
        assert front.early + answered(front) == READS


def test_end_of_the_daemon(limited):
    with start_waiting(limited, "stop"):
        limited.stop()
        limited.start()


def test_what_is_forgotten_moves_no_bytes(limited, tmp_path):
    """max_bandwidth does not count discards and write-zeroes, which would take hours here; max_iops counts each as one."""
    daemon = Daemon({"pool main": {"path": tmp_path / "main.pool", "size": "64M"}, "guest alice": {},
                     "disk alice/root": {"pool": "main", "size": "32M", "max_bandwidth": "4K"}}, tmp_path)
    try:
        with FrontEnd.start(daemon.start().socket("alice/root"), Setup()) as front:
            for sector in range(0, 16, 8):
                front.disk().write(sector, b"x" * 4096)
            for _ in range(3):
                assert front.disk().discard((0, 65536)) == blk.OK
                assert front.disk().write_zeroes((0, 65536)) == blk.OK
    finally:
        daemon.finish()
    with FrontEnd.start(limited.socket("slow/forgets"), Setup(size=RING)) as front:
        disk = front.disk()
        disk.write(0, b"x" * 4096)
        for _ in range(READS):
            disk.submit(blk.WRITE_ZEROES, 0, struct.pack("<QII", 0, 8, 0))
        watch_nothing()
        assert answered(front) < READS / 2, "the limit does not hold"
        front.disconnect()
