# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's CPU time is shared: what a hostile guest's storm costs, that guest pays, and an honest guest on the same
worker goes on. How long the honest guest waits is measured by `./run bench-hostile`.
"""
import mmap
import pathlib
import struct

import pytest

import blk
import storms
import virtio
from daemon import Daemon
from frontend import FrontEnd, Setup
from hostile import scribbler, write_table
from patience import wait_until
from vhost_user import Connection
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


# ---- starts and stops ----

RECORDS = 256                   # chains that each ring's record claims to be in flight
CYCLES = 12


def worker_cpu_seconds(daemon):
    """CPU time of the daemon's threads."""
    tasks = pathlib.Path(f"/proc/{daemon.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def claim_all(front, view, offset, stride):
    """Records of a predecessor that had every head in flight, and used none."""
    for queue in front.queues:
        at = offset + queue.index * stride
        struct.pack_into("<QHHHH", view, at, 0, 1, RECORDS, 0, 0)
        for head in range(RECORDS):
            struct.pack_into("<B5xHQ", view, at + 16 + 16 * head, 1, 0, head)
        front.memory.put16(queue.ring.used + 2, 0)


def long_request(front):
    """A table that all heads share: an identifier with as many descriptors as there may be."""
    memory = front.memory
    header, data, table = memory.allocate(32), memory.allocate(4096, 4096), memory.allocate(16 * 260, 64)
    memory.write(header, struct.pack("<IIQ", blk.GET_ID, 0, 0))
    entries = [(header, 16, virtio.NEXT), *[(data, 4096, virtio.NEXT | virtio.WRITE)] * 250, (header + 16, 1, virtio.WRITE)]
    write_table(front.queues[0].ring, table, entries)
    for queue in front.queues:
        for head in range(RECORDS):
            queue.ring.put(head, table, 16 * len(entries), virtio.INDIRECT)


def resubmit(daemon, front, inflight):
    """All of it again: a front end that connects, starts its rings (never enabled) and is gone."""
    connection, (fd, size, offset) = front.connection, inflight
    connection.set_inflight_fd(fd, size, offset, storms.QUEUES, RECORDS)
    front.tell_memory()
    for queue in front.queues:
        connection.set_vring_num(queue.index, RECORDS)
        connection.set_vring_base(queue.index, 0)
        connection.set_vring_addr(queue.index, *(front.memory.user(at) for at in queue.ring.addresses()))
        connection.set_vring_kick(queue.index, queue.kick_fd)
    front.disconnect()
    front.handshake(Connection.open(daemon.socket("mallory/root")))


def test_resubmission_is_paid(daemon, honest):
    """Chains that a record claims to be in flight cost what others cost, and wait for their turn like others."""
    setup = Setup(queues=storms.QUEUES, size=RECORDS, inflight=True, memory_bytes=16 << 20)
    with FrontEnd.connect(daemon.socket("mallory/root"), setup) as front:
        inflight = front.connection.get_inflight_fd(storms.QUEUES, RECORDS)
        fd, size, offset = inflight
        for index in range(storms.QUEUES):
            front.queues.append(virtio.Queue(front.make_ring(), index))
        long_request(front)
        with mmap.mmap(fd, size) as view, honest.held():
            chains, paid, used = counted(daemon, "chains"), counted(daemon, "cpu_seconds"), worker_cpu_seconds(daemon)
            for cycle in range(CYCLES):
                claim_all(front, view, offset, size // storms.QUEUES)
                resubmit(daemon, front, inflight)
                goal = chains + (cycle + 1) * storms.QUEUES * RECORDS
                wait_until(lambda: counted(daemon, "chains") >= goal, lambda: f"all chains are answered in cycle {cycle}")
            paid, used = counted(daemon, "cpu_seconds") - paid, worker_cpu_seconds(daemon) - used
        # the rest: connections that come, the API's answers to this test
        assert paid > used / 3, f"the guest paid {paid:.3f} s of {used:.3f} s"
    honest.progress()


def test_starts_and_stops_are_paid(daemon, honest):
    """Rings that start and stop and do nothing else."""
    with FrontEnd.start(daemon.socket("mallory/root"), Setup(queues=storms.QUEUES, size=1024)) as front:
        with honest.held():
            paid, used = counted(daemon, "cpu_seconds"), worker_cpu_seconds(daemon)
            for _ in range(40):
                for queue in front.queues:
                    front.start_queue(queue.index, base=front.stop_queue(queue.index))
            paid, used = counted(daemon, "cpu_seconds") - paid, worker_cpu_seconds(daemon) - used
        assert paid > used / 3, f"the guest paid {paid:.3f} s of {used:.3f} s"
        assert front.disk().read(0, 8) == bytes(4096)
    honest.progress()
