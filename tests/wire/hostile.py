# SPDX-License-Identifier: GPL-2.0-or-later
"""What the hostile tests share: the register of attacks, raw chains, and a second process that scribbles."""
import contextlib
import os
import signal

import pytest

import blk
import virtio
from blk import Disk
from frontend import Setup
from patience import wait_until
from rows import row_id
from vhost_user import Closed


class Attacks:
    """The attacks of one module: a decorator that registers, and the parameters of its test_hostile()."""

    def __init__(self):
        self.parameters = []

    def __call__(self, row, name="", rings=("split", "packed"), **setup):
        """Registers a function(mallory, setup) as a test of `row`, once for each kind of ring."""
        def register(attack):
            for ring in rings:
                vector = [part for part in (name, ring if len(rings) > 1 else "") if part]
                self.parameters.append(pytest.param(attack, Setup(packed=ring == "packed", **setup),
                                                    id=row_id(row, *vector)))
            return attack
        return register


SPLIT = ("split",)
PACKED = ("packed",)
ANY = ("split",)        # for attacks on the socket: the kind of ring does not matter


def offer_chain(queue, entries, kick=True):
    """Puts a chain on the ring as it is: entries are (address, length, flags), NEXT only where given.

    On a split ring descriptors 0, 1, … are used, each linked to the one after it.
    """
    ring = queue.ring
    if ring.packed:
        at = [(ring.next_available + i) % ring.size for i in range(len(entries))]
        flags = []
        for _ in entries:
            flags.append(ring.flags_available())
            ring.advance()
        for index, (address, length, own), available in reversed(list(zip(at, entries, flags))):
            ring.put(index, address, length, 0, own | available)
    else:
        for index, (address, length, flags) in enumerate(entries):
            ring.put(index, address, length, flags, index + 1)
        ring.offer(0)
    if kick:
        queue.kick()


def write_table(ring, table, entries):
    """An indirect table: entries are (address, length, flags), linked one to the next on split rings."""
    for index, (address, length, flags) in enumerate(entries):
        if ring.packed:
            data = ring.entry(address, length, flags)
        else:
            data = ring.entry(address, length, flags, index + 1)
        ring.memory.write(table + 16 * index, data)


def honest_entries(request, sends, indirect=False):
    """(address, length, flags) of a Request's chain, linked with NEXT."""
    buffers = Disk.buffers(request, sends)
    return [(b.address, b.length, (virtio.NEXT if i + 1 < len(buffers) else 0) | (virtio.WRITE if b.writable else 0))
            for i, b in enumerate(buffers)]


def refused_or_closed(mallory, message, *arguments):
    """K or C: the message is answered with an error, or the connection ends. Returns what happened."""
    try:
        answer = message(*arguments)
    except Closed:
        mallory.close()
        mallory.expect_welcome()
        return "closed"
    assert answer not in (None, 0), "the message was accepted"
    mallory.expect_connected()
    return "refused"


@contextlib.contextmanager
def scribbler(step):
    """A process that calls step() again and again while the block runs: another CPU of the hostile guest."""
    child = os.fork()
    if child == 0:
        try:
            while os.getppid() != 1:
                step()
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


# ---- what attacks on rings share ----

NOWHERE = 0x4000_0000_0000          # a guest address in no region


def start(mallory, setup, memory=None):
    """Returns the pieces that attacks work with."""
    front = mallory.start(setup, memory)
    return front, front.queues[0], front.queues[0].ring, front.memory


def table_of_request(front, request, sends=False):
    ring = front.queues[0].ring
    table = front.memory.allocate(64)
    write_table(ring, table, honest_entries(request, sends))
    return table


def first_used(ring):
    """The first used entry's length; None while there is none."""
    if ring.packed:
        flags = ring.memory.get16(ring.descriptors + 14)
        if flags & virtio.USED and flags & virtio.AVAIL:
            return ring.memory.get32(ring.descriptors + 8)
    elif ring.used_idx() != 0:
        return ring.memory.get32(ring.used + 8)
    return None


def completion(front):
    """The first used entry's length, or None when the device stopped instead."""
    ring = front.queues[0].ring
    wait_until(lambda: first_used(ring) is not None or front.needs_reset(0), "a completion or NEEDS_RESET")
    return first_used(ring)


def outcome(front, request):
    """The request's status, or None when the device stopped instead. Its completion is taken."""
    queue = front.queues[0]
    wait_until(lambda: queue.wait_for(lambda: request.chain in queue.done, 0.01) or front.needs_reset(0),
               "a completion or NEEDS_RESET")
    if request.chain not in queue.done:
        return None
    queue.done.pop(request.chain)
    return front.memory.read(request.status, 1)[0]


def expect_error_or_stop(mallory, request):
    """E or N: an error status, or the device stops. Afterwards the guest goes on."""
    if completion(mallory.front) is None:
        mallory.expect_stopped()
    else:
        assert mallory.front.memory.read(request.status, 1)[0] in (blk.IOERR, blk.UNSUPP)
        mallory.front.reset()
        mallory.expect_working()


def expect_dropped_or_stop(mallory):
    """A chain that cannot carry a status: it comes back with nothing written, or the device stops."""
    written = completion(mallory.front)
    if written is None:
        mallory.expect_stopped()
    else:
        assert written == 0
        mallory.front.reset()
        assert mallory.front.disk().read(0, 1) != b"\x77" * 512, "a request without a status was carried out"
        mallory.expect_working()
