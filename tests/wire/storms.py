# SPDX-License-Identifier: GPL-2.0-or-later
"""Storms of a hostile guest: work for the daemon's CPU that costs the guest next to nothing.

Whole rings are prepared, so that a few stores of a slow program keep a worker busy for milliseconds.
"""
import contextlib
import os
import struct

import blk
from frontend import Setup
from guest_memory import memory_file
from hostile import write_table
from virtio import F_LOG_ALL, INDIRECT, NEXT, WRITE

QUEUES = 4
RING = 64
SETUP = Setup(queues=QUEUES, size=RING, event_idx=False)
MEGABYTE = 1 << 20


# ---- what a chain of the storm asks for: (type, descriptors (address, length, flags) behind the header) ----

def blank_reads(memory):
    """The daemon itself fills a megabyte with zeroes."""
    return blk.IN, [(memory.allocate(MEGABYTE, 4096), MEGABYTE, NEXT | WRITE)]


def tiny_reads(memory):
    return blk.IN, [(memory.allocate(512, 512), 512, NEXT | WRITE)]


def long_chains(memory):
    """As many descriptors as a request may have."""
    return blk.IN, [(memory.allocate(512, 512), 512, NEXT | WRITE)] * 254


def flushes(_):
    return blk.FLUSH, []


def large_reads(memory):
    """16 MiB in one request, into the same megabyte again and again: copied out of the page cache."""
    return blk.IN, [(memory.allocate(MEGABYTE, 4096), MEGABYTE, NEXT | WRITE)] * 16


def discards(memory):
    """All of the disk."""
    ranges = memory.allocate(16, 16)
    memory.write(ranges, struct.pack("<QII", 0, 64 * MEGABYTE // 512, 0))
    return blk.DISCARD, [(ranges, 16, NEXT)]


def long_identifiers(memory):
    """An identifier of 20 bytes, in 4 GiB of writable memory (the same 16 MiB again and again)."""
    return blk.GET_ID, [(memory.allocate(16 * MEGABYTE, 4096), 16 * MEGABYTE, NEXT | WRITE)] * 254


KINDS = (blank_reads, tiny_reads, long_chains, flushes, large_reads, discards)


@contextlib.contextmanager
def logged(front):
    """A migration is under way: the device marks what it writes in a log."""
    last = front.memory.regions[-1]
    size = (last.guest_address + last.size) // 4096 // 8 + 1
    fd = memory_file(size)
    try:
        front.connection.set_log_base(fd, size)
        assert not front.connection.set_features(front.features | 1 << F_LOG_ALL)
        yield
    finally:
        os.close(fd)


def fill_rings(front, storm):
    """Every head of every ring is the same chain, so that moving the available index offers all of them."""
    memory = front.memory
    kind, data = storm(memory)
    header = memory.allocate(32)
    memory.write(header, struct.pack("<IIQ", kind, 0, 0))
    entries = [(header, 16, NEXT), *data, (header + 16, 1, WRITE)]
    table = memory.allocate(16 * len(entries), 16)
    write_table(front.queues[0].ring, table, entries)
    for queue in front.queues:
        for head in range(RING):
            queue.ring.put(head, table, 16 * len(entries), INDIRECT)
            queue.ring.put_available(head, head)


def offer(queue, count=RING):
    """Offers so many chains more, when those before are done."""
    ring = queue.ring
    if ring.used_idx() == ring.next_available:
        ring.next_available = ring.next_available + count & 0xFFFF
        ring.put_available_idx(ring.next_available)
        os.eventfd_write(queue.kick_fd, 1)


def refill(front):
    """Offers whole rings again when they are done: the step of a scribbler."""
    for queue in front.queues:
        offer(queue)


def kick(front):
    """Kicks without work: the step of a scribbler."""
    for queue in front.queues:
        for _ in range(100):
            os.eventfd_write(queue.kick_fd, 1)
