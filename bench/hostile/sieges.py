# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows in which one attack goes on for the whole slice: descriptors that are slow, messages, starts, sizes, clients of the API.

A siege is a context that takes the row's scene, prepares the attack and yields step(), which attacks once more and is
called until the slice ends. Descriptors on a file system that does not answer are slow to close for processes made meanwhile,
too: sieges with them make none.
"""
import collections
import contextlib
import os
import threading
import time

import blk
import host_peers
import stuck
from frontend import FrontEnd, Setup
from fuse_disk import silent_file
from guest_memory import GuestMemory, Region, memory_file
from large import MIB, LargeRequests
from patience import PATIENCE_S
from scene import Row
from starts import Claims, ask_often, stop_and_start
from vhost_user import Closed

RINGS, RING = 16, 1024
LOST = (Closed, OSError, AssertionError)    # the daemon ended the connection, or is away
PUNCHED_BYTES = 1 << 30
GROWING_BYTES = 512 * MIB
LEFT_BYTES = 512 * MIB
KEPT = 1024                                 # as many descriptors a doorman keeps
WAITERS = 500000
STUCK_MAX = 32                              # descriptors and connections of an attack at a time


class SiegeRow(Row):
    """`ends`: the daemon is also stopped, killed and started during the attack (ends.py)."""

    def __init__(self, scene, name, title, siege, ends=False, **limits):
        super().__init__(scene, name, title)
        self.siege, self.ends = siege, ends
        self.__dict__.update(limits)

    def hostile(self, seconds):
        count = 0
        with self.siege(self.scene) as step:
            end = time.monotonic() + seconds
            while count == 0 or time.monotonic() < end:
                step()
                count += 1
        return count


class Kept:
    """The youngest of what an attack has open, each closed by a function."""

    def __init__(self):
        self.closers = collections.deque()

    def add(self, close):
        self.closers.append(close)
        if len(self.closers) > STUCK_MAX:
            self.closers.popleft()()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for close in self.closers:
            close()


# ---- descriptors ----

@contextlib.contextmanager
def exits(scene):
    """Files that never answer, sent in each way."""
    with silent_file() as fd, Kept() as kept:
        senders = collections.deque(stuck.SENDERS)

        def step():
            senders.rotate()
            connection = stuck.knock(scene.path())
            if connection:
                kept.add(connection.close)
                with contextlib.suppress(*LOST):
                    senders[0](connection, fd)
            time.sleep(0.005)

        yield step


@contextlib.contextmanager
def adoptions(scene):
    """More connections than are served, each with a socket that lingers in a message that nobody reads."""
    with Kept() as kept, contextlib.ExitStack() as idle:
        for connection in filter(None, (stuck.knock(scene.path()) for _ in range(8))):
            idle.callback(connection.close)

        def step():
            lingering = contextlib.ExitStack()
            given = lingering.enter_context(stuck.lingering_socket())
            kept.add(lingering.close)
            late = stuck.knock(scene.path())
            if late:
                stuck.give_away(late.sock, given)
                late.close()
            else:
                stuck.let_go(given)
            time.sleep(0.005)

        yield step


@contextlib.contextmanager
def descriptor_floods(scene):
    """Eight files that never answer in each of as many messages as are read."""
    with silent_file() as fd, contextlib.ExitStack() as stack:
        connections = []

        def step():
            if len(connections) < 7:
                connection = stuck.knock(scene.path())
                if connection:
                    stack.callback(connection.close)
                    connections.append(connection)
            for connection in connections:
                stuck.flood(connection, [fd] * 8, 16, 0.002)
            time.sleep(0.001)

        yield step


@contextlib.contextmanager
def seals(scene):
    """A memory file whose lock is held nearly all the time, as memory and as a record."""
    with stuck.growing_file(GROWING_BYTES) as fd, Kept() as kept:
        shares = collections.deque((stuck.as_memory, stuck.as_record))

        def step():
            shares.rotate()
            connection = stuck.knock(scene.path())
            if connection:
                kept.add(connection.close)
                with contextlib.suppress(*LOST):
                    connection.set_protocol_features(connection.get_protocol_features())
                    shares[0](connection, fd)
            time.sleep(0.01)

        yield step


class Caller:
    """A front end of one hostile guest after the other, whose call descriptor is written to again and again."""

    def __init__(self, scene, fd):
        self.scene, self.fd, self.front = scene, fd, None

    def step(self, act):
        try:
            if not self.front:
                self.front = FrontEnd.start(self.scene.next_path(), Setup())
                self.front.connection.sock.settimeout(PATIENCE_S)
            self.front.connection.set_vring_call(0, self.fd)
            act(self.front)
        except LOST:
            self.close()

    def close(self):
        front, self.front = self.front, None
        if front:
            front.close()


@contextlib.contextmanager
def switched(scene):
    """A full eventfd whose O_NONBLOCK is switched."""
    with stuck.switched_eventfd() as fd, contextlib.closing(Caller(scene, fd)) as caller:
        yield lambda: caller.step(lambda front: None)


@contextlib.contextmanager
def crowded(scene):
    """An eventfd that so many epolls wait for that a write to it takes milliseconds."""
    def ask(front):
        request = front.disk().submit(blk.IN, 0, 4096)
        deadline = time.monotonic() + 1
        while not front.queues[0].has(request.chain):
            if time.monotonic() > deadline:
                raise Closed("the ring stands still")
            time.sleep(0.001)
        front.queues[0].done.pop(request.chain)
        front.disk().collect(request)

    with stuck.crowded_eventfd(WAITERS) as (fd, _), contextlib.closing(Caller(scene, fd)) as caller:
        yield lambda: caller.step(ask)


@contextlib.contextmanager
def crowded_alone(scene):
    """The same eventfd, written to by its owner: what the kernel lets any process do, without the daemon."""
    with stuck.crowded_eventfd(WAITERS) as (fd, _):
        def step():
            os.eventfd_write(fd, 1)
            time.sleep(0.05)

        yield step


@contextlib.contextmanager
def punches(scene):
    """A hole of a gigabyte under a ring, again and again."""
    fd = memory_file(PUNCHED_BYTES)

    def step():
        memory = GuestMemory(Region(0x10_0000, 4 * MIB, os.dup(fd)))
        with contextlib.suppress(*LOST):
            with FrontEnd.start(scene.next_path(), Setup(), memory) as front:
                front.disk().read(0, 1)
                stuck.punch(front.queues[0], fd, PUNCHED_BYTES)

    yield step
    os.close(fd)


@contextlib.contextmanager
def holes_apart(scene):
    """Of a guest that is served apart, a hole behind another: the kernel keeps the lock of the daemon's memory in the second.
    Beside it, a guest that is told of memory again and again wants that lock, too.
    """
    fd = memory_file(PUNCHED_BYTES)
    halves = PUNCHED_BYTES // 2, PUNCHED_BYTES
    memory = GuestMemory(Region(0x10_0000, 4 * MIB, os.dup(fd)))
    stopping = threading.Event()
    with FrontEnd.start(scene.path(), Setup(), memory) as front, \
            FrontEnd.connect(scene.next_path(), Setup(), GuestMemory.adjacent(8)) as teller:
        def tell():
            while not stopping.is_set():
                teller.tell_memory()

        def step():
            stuck.fallocate(fd, 0, PUNCHED_BYTES)
            punchers = [threading.Thread(target=stuck.fallocate, args=(fd, stuck.PUNCH_HOLE | stuck.KEEP_SIZE, half))
                        for half in halves]
            for puncher in punchers:
                puncher.start()
            while any(puncher.is_alive() for puncher in punchers):
                front.queues[0].kick()
                time.sleep(0.001)

        for _ in range(2):
            step()
        thread = threading.Thread(target=tell)
        thread.start()
        try:
            yield step
        finally:
            stopping.set()
            thread.join()
    os.close(fd)


@contextlib.contextmanager
def leavings(scene):
    """Memory with pages, of which the daemon is the last to hold the file: the doorman is made to give it up before."""
    def step():
        fd, event = memory_file(LEFT_BYTES), os.eventfd(0)
        stuck.fallocate(fd, 0, LEFT_BYTES)
        memory = GuestMemory(Region(0x10_0000, 4 * MIB), Region(0x1000_0000, LEFT_BYTES, fd))
        with contextlib.suppress(*LOST):
            with FrontEnd.start(scene.next_path(), Setup(), memory) as front:
                for _ in range(KEPT):
                    front.connection.set_vring_err(0, event)
        os.close(event)

    yield step


# ---- messages, starts and sizes ----

@contextlib.contextmanager
def messages(scene):
    with FrontEnd.connect(scene.path(), Setup()) as front:
        yield lambda: ask_often(front.connection)


@contextlib.contextmanager
def tables(scene):
    """Memory of eight regions, told again and again."""
    with FrontEnd.connect(scene.path(), Setup(), GuestMemory.adjacent(8)) as front:
        yield front.tell_memory


@contextlib.contextmanager
def starts(scene):
    with FrontEnd.start(scene.path(), Setup(queues=RINGS, size=RING, memory_bytes=16 * MIB)) as front:
        yield lambda: stop_and_start(front)


@contextlib.contextmanager
def resubmissions(scene):
    setup = Setup(queues=RINGS, size=RING, inflight=True, memory_bytes=16 * MIB)
    with FrontEnd.connect(scene.path(), setup) as front, Claims(front) as claims:
        def step():
            claims.claim()
            claims.resubmit()

        yield step


@contextlib.contextmanager
def large(scene):
    """Two reads of 1000 MiB, a part of it out of the page cache and the rest blank, in the same 4 MiB of memory."""
    with FrontEnd.start(scene.path("mallory00/large"), Setup(queues=2, size=RING, memory_bytes=16 * MIB)) as front:
        requests = LargeRequests(front)
        requests.do(blk.OUT, 256)

        def step():
            for index, request in enumerate([requests.submit(blk.IN, 1000, index=index) for index in range(2)]):
                requests.finish(request, index)

        yield step


@contextlib.contextmanager
def discards(scene):
    """A gigabyte at a time, after something was written there."""
    with FrontEnd.start(scene.path("mallory00/large"), Setup(size=RING, memory_bytes=16 * MIB)) as front:
        requests = LargeRequests(front)

        def step():
            requests.do(blk.OUT, 64)
            front.disk().discard((0, 1 << 21))

        yield step


# ---- clients of the API, and the socket of successors ----

@contextlib.contextmanager
def slow_clients(scene):
    with contextlib.ExitStack() as stack:
        for sent in host_peers.SLOW.values():
            stack.enter_context(host_peers.Crowd(scene.daemon, host_peers.MANY, sent))
        yield lambda: time.sleep(0.01)


def api_flood(kind):
    @contextlib.contextmanager
    def flood(scene):
        with host_peers.Flood(scene.daemon, kind):
            yield lambda: time.sleep(0.01)
    return flood


@contextlib.contextmanager
def silent_successors(scene):
    """Until the daemon gives them up."""
    def step():
        since = len(scene.daemon.lines)
        with host_peers.silent_successor(scene.daemon, says=b""):
            scene.daemon.wait_line("going on", since)

    yield step


def peer_rows(scene):
    """Beside a daemon with many hostile guests."""
    return [
        SiegeRow(scene, "E1", "exit: silent files", exits, ends=True),
        SiegeRow(scene, "E2", "adopt: unread sockets that linger", adoptions, ends=True),
        SiegeRow(scene, "E3", "fds: descriptors without end", descriptor_floods, ends=True),
        SiegeRow(scene, "E4", "seal: memory file locked", seals, ends=True),
        SiegeRow(scene, "E5", "nonblock: eventfd switched", switched, ends=True),
        SiegeRow(scene, "E10", "epoll: eventfd with many waiters", crowded, ends=True),
        SiegeRow(scene, "punch", "hole under the ring", punches, ends=True),
        SiegeRow(scene, "apart", "holes of a guest served apart", holes_apart),
        SiegeRow(scene, "E12", "memory that the daemon frees", leavings),
        SiegeRow(scene, "messages", "flood of messages", messages),
        SiegeRow(scene, "tables", "flood of memory tables", tables),
        SiegeRow(scene, "api-slow", "slow clients of the API", slow_clients),
        *(SiegeRow(scene, f"api-{kind}", f"API: {kind} without a pause", api_flood(kind)) for kind in host_peers.FLOODS),
        SiegeRow(scene, "successor", "a successor that never reads", silent_successors, rounds_max=1),
    ]


def own_worker_rows(scene):
    """What makes a worker wait, of guests that have one of their own."""
    return [
        SiegeRow(scene, "E10-self", "epoll, written to by the guest's VMM", crowded_alone),
        SiegeRow(scene, "E10-own", "epoll, a worker of its own", crowded),
        SiegeRow(scene, "punch-own", "hole, a worker of its own", punches),
    ]


def size_rows(scene):
    """Of a guest with 16 queues, and a large disk."""
    return [
        SiegeRow(scene, "E6", "starts and stops of 16 rings", starts),
        SiegeRow(scene, "E7", "resubmit: records of 16 rings", resubmissions),
        SiegeRow(scene, "E8", "big: reads of 1000 MiB", large),
        SiegeRow(scene, "discard", "discards of 1 GiB", discards),
    ]
