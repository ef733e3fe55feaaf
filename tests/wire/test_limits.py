# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest whose requests wait behind its limit: whoever waits for their end does not wait for the limit.

Forty reads at one a second would take most of a minute. Whatever asks for their end has it within a few seconds, and a
guest that stops its rings again and again gets no more for that than its limit in the long run.
"""
import time

import pytest

import blk
from daemon import Daemon
from frontend import FrontEnd, Setup
from vhost_user import Closed

READS = 40
SOON_S = 5.0                    # a machine that is busy included; far below READS seconds
DISKS = ("base-split", "base-packed", "status", "device", "memory", "gone", "twice", "kill", "kill-at-once", "takeover", "stop")


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


def offer_reads(front, count=READS):
    """Reads of written space, because blank space never waits. Returns how many were answered at once."""
    disk = front.disk()
    for _ in range(count):
        disk.submit(blk.IN, 0, 4096)
    time.sleep(0.2)
    return answered(front)


def start_waiting(limited, name, **setup):
    front = FrontEnd.start(limited.socket(f"slow/{name}"), Setup(size=256, **setup))
    front.disk().write(0, b"x" * 4096)
    front.early = offer_reads(front)
    assert front.early < 5, "the limit does not hold"
    return front


def soon(action, *arguments):
    begin = time.monotonic()
    result = action(*arguments)
    assert time.monotonic() - begin < SOON_S, f"{action.__name__} waited for the limit"
    return result


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_base(limited, packed):
    """GET_VRING_BASE: all that was taken is answered. What passed is owed."""
    with start_waiting(limited, "base-packed" if packed else "base-split", packed=packed) as front:
        base = soon(front.stop_queue, 0)
        assert front.early + answered(front) == READS
        front.start_queue(0, base=base)
        assert offer_reads(front, 5) == 0, "what passed the limit was not charged"


@pytest.mark.parametrize("how", ["status", "device"])
def test_reset(limited, how):
    with start_waiting(limited, how) as front:
        soon(front.reset, "status" if how == "status" else "reset_device")


def test_memory_removed(limited):
    """Another table without the old regions: the requests that use them end, those that come later wait."""
    with start_waiting(limited, "memory") as front:
        soon(front.tell_memory)
        soon(front.connection.get_features)
        assert front.early + answered(front) == READS
        assert offer_reads(front, 10) == 0, "the limit does not hold any more"


def test_disconnected(limited):
    """The same guest comes back at once."""
    with start_waiting(limited, "gone") as front:
        front.disconnect()
        soon(front.reconnect)
        assert front.early + answered(front) == READS


def test_stopped_twice(limited):
    """What it owes from the first time keeps it waiting the second time, and nobody else."""
    with start_waiting(limited, "twice") as front, FrontEnd.start(limited.socket("honest/root")) as honest:
        front.start_queue(0, base=soon(front.stop_queue, 0))
        offer_reads(front, 10)
        front.connection.sock.settimeout(2)
        with pytest.raises((TimeoutError, Closed, OSError)):
            front.stop_queue(0)
        honest.disk().write(0, b"y" * 4096)
        soon(honest.stop_queue, 0)


def replaced(limited):
    old = limited.process
    limited.process = limited.spawn("--takeover")
    limited._follow(limited.process)
    old.wait(20)
    assert old.returncode == 0, limited.text()
    limited.wait_ready()


def test_takeover(limited):
    """Also of a guest that owes too much to be let past its limit."""
    with start_waiting(limited, "takeover") as front, FrontEnd.start(limited.socket("honest/root")) as honest:
        front.start_queue(0, base=soon(front.stop_queue, 0))
        front.early += offer_reads(front, 10) - 10
        soon(replaced, limited)
        honest.disk().write(0, b"z" * 4096)
        assert front.early + answered(front) == READS
        assert offer_reads(front, 10) < 5, "the successor knows no limit"


@pytest.mark.parametrize("name, wait_s", [("kill", 0.2), ("kill-at-once", 0)])
def test_killed(limited, name, wait_s):
    """What waited is recorded in INFLIGHT, and is answered once, also by a ring that is stopped before its first turn."""
    with start_waiting(limited, name, inflight=True) as front:
        soon(limited.restart)
        soon(front.reconnect)
        time.sleep(wait_s)
        front.early += answered(front)
        assert front.early < READS / 2, "the limit does not hold any more"
        soon(front.stop_queue, 0)
        assert front.early + answered(front) == READS


def test_end_of_the_daemon(limited):
    with start_waiting(limited, "stop"):
        soon(limited.stop)
        limited.start()
