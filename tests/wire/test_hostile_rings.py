# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows A: broken rings and descriptors. The device stops (N), the guest resets it and goes on; nobody else notices.

Two rows must work: buffers and indirect tables across adjacent regions. Descriptors in a packed ring
have no `next`, so loops exist only as chains that never end.
"""
import fcntl
import os
import struct
import time

import pytest

import blk
import virtio
from frontend import FrontEnd, Setup
from guest_memory import USER_OFFSET, GuestMemory, Region, memory_file
from hostile import PACKED, SPLIT, Attacks, honest_entries, offer_chain, refused_or_closed, scribbler, write_table
from vhost_user import Closed, Request
from virtio import INDIRECT, NEXT, WRITE

attack = Attacks()
RECOVERIES = ("status", "reset_device", "reconnect", "stop")


def start(mallory, setup, memory=None):
    """Returns the pieces that attacks work with."""
    front = mallory.start(setup, memory)
    return front, front.queues[0], front.queues[0].ring, front.memory


# ---- A1, A2: loops ----

@attack("A1", "direct", SPLIT)
def _(mallory, setup):
    _, queue, ring, memory = start(mallory, setup)
    ring.put(3, memory.allocate(16), 16, NEXT, 3)
    ring.offer(3)
    queue.kick()
    mallory.expect_stopped()


@attack("A1", "in-table", SPLIT)
def _(mallory, setup):
    _, queue, ring, memory = start(mallory, setup)
    table = memory.allocate(64)
    memory.write(table, ring.entry(memory.allocate(16), 16, NEXT, 0))
    ring.put(0, table, 64, INDIRECT)
    ring.offer(0)
    queue.kick()
    mallory.expect_stopped()


def loop(mallory, setup, length):
    _, queue, ring, memory = start(mallory, setup)
    buffer = memory.allocate(512)
    for index in range(length):
        ring.put(index, buffer, 16, NEXT, (index + 1) % length)
    ring.offer(0)
    queue.kick()
    mallory.expect_stopped("reconnect")


@attack("A2", "of-2", SPLIT)
def _(mallory, setup):
    loop(mallory, setup, 2)


@attack("A2", "of-queue-size", SPLIT)
def _(mallory, setup):
    loop(mallory, setup, setup.size)


@attack("A2", "in-table", SPLIT)
def _(mallory, setup):
    _, queue, ring, memory = start(mallory, setup)
    table = memory.allocate(64)
    for index in range(4):
        memory.write(table + 16 * index, ring.entry(memory.allocate(16), 16, NEXT, (index + 1) % 4))
    ring.put(0, table, 64, INDIRECT)
    ring.offer(0)
    queue.kick()
    mallory.expect_stopped("reset_device")


@attack("A2", "chain-without-end", PACKED, size=16)
def _(mallory, setup):
    """Every descriptor of the ring says NEXT."""
    _, queue, ring, memory = start(mallory, setup)
    offer_chain(queue, [(memory.allocate(512), 16, NEXT)] * ring.size)
    mallory.expect_stopped()


# ---- A3–A6: lengths and indices ----

@attack("A3", "direct-then-table", SPLIT, size=8)
def _(mallory, setup):
    _, queue, ring, memory = start(mallory, setup)
    table, entries = memory.allocate(16 * 2000), 2000
    request = memory.allocate(512)
    write_table(ring, table, [(request, 1, NEXT | WRITE)] * (entries - 1) + [(request, 1, WRITE)])
    offer_chain(queue, [(request, 16, NEXT)] * 7 + [(table, 16 * entries, INDIRECT)])
    mallory.expect_stopped()


@attack("A3", "table-too-long", size=8)
def _(mallory, setup):
    """More entries than any segment limit that the device tells, plus header and status."""
    _, queue, ring, memory = start(mallory, setup)
    entries = 5000
    table, data = memory.allocate(16 * entries), memory.allocate(512)
    write_table(ring, table, [(data, 16, NEXT)] * (entries - 1) + [(data, 1, WRITE)])
    offer_chain(queue, [(table, 16 * entries, INDIRECT)])
    mallory.expect_stopped()


@attack("A4", "one-beyond", SPLIT)
def _(mallory, setup):
    _, queue, ring, memory = start(mallory, setup)
    ring.put(0, memory.allocate(16), 16, NEXT, ring.size)
    ring.offer(0)
    queue.kick()
    mallory.expect_stopped()


@attack("A4", "far-beyond", SPLIT)
def _(mallory, setup):
    _, queue, ring, memory = start(mallory, setup)
    ring.put(0, memory.allocate(16), 16, NEXT, 0xFFFF)
    ring.offer(0)
    queue.kick()
    mallory.expect_stopped()


@attack("A4", "in-table", SPLIT)
def _(mallory, setup):
    _, queue, ring, memory = start(mallory, setup)
    table = memory.allocate(48)
    memory.write(table, ring.entry(memory.allocate(16), 16, NEXT, 3))
    ring.put(0, table, 48, INDIRECT)
    ring.offer(0)
    queue.kick()
    mallory.expect_stopped()


@attack("A5", "one-beyond", SPLIT)
def _(mallory, setup):
    _, queue, ring, _ = start(mallory, setup)
    ring.offer(ring.size)
    queue.kick()
    mallory.expect_stopped()


@attack("A5", "far-beyond", SPLIT)
def _(mallory, setup):
    _, queue, ring, _ = start(mallory, setup)
    ring.offer(0xFFFF)
    queue.kick()
    mallory.expect_stopped()


@attack("A5", "offered-twice")
def _(mallory, setup):
    """A head (or id) that is still in flight is offered again in the same breath."""
    front, queue, ring, _ = start(mallory, setup)
    request = front.disk().prepare(blk.OUT, 0, os.urandom(65536))
    entries = honest_entries(request, True)
    if ring.packed:
        offer_chain(queue, entries, kick=False)
        offer_chain(queue, entries)
    else:
        for index, (address, length, flags) in enumerate(entries):
            ring.put(index, address, length, flags, index + 1)
        ring.put_available(0, 0)
        ring.put_available(1, 0)
        ring.put_available_idx(2)
        queue.kick()
    mallory.expect_stopped()


@attack("A6", "one-too-far", SPLIT)
def _(mallory, setup):
    _, queue, ring, _ = start(mallory, setup)
    ring.put_available_idx(ring.size + 1)
    queue.kick()
    mallory.expect_stopped()


@attack("A6", "half-way-round", SPLIT)
def _(mallory, setup):
    _, queue, ring, _ = start(mallory, setup)
    ring.put_available_idx(0x8000)
    queue.kick()
    mallory.expect_stopped()


@attack("A6", "backwards", SPLIT)
def _(mallory, setup):
    front, queue, ring, _ = start(mallory, setup)
    front.disk().read(0, 1)
    ring.put_available_idx(0)
    queue.kick()
    mallory.expect_stopped()


# ---- A9–A14: addresses and lengths ----

@attack("A9", "data")
def _(mallory, setup):
    """An empty data descriptor is skipped."""
    front, queue, _, memory = start(mallory, setup)
    data = os.urandom(1024)
    disk = front.disk()
    assert disk.do(blk.OUT, 0, data, split=(512, 0, 512))[0] == blk.OK
    assert disk.read(0, 2) == data


@attack("A9", "header")
def _(mallory, setup):
    front, queue, _, memory = start(mallory, setup)
    request = front.disk().prepare(blk.IN, 0, 512)
    offer_chain(queue, [(request.header, 0, NEXT), (request.data, 512, NEXT | WRITE), (request.status, 1, WRITE)])
    expect_error_or_stop(mallory, request)


@attack("A9", "status")
def _(mallory, setup):
    """No room for a status: the chain ends without a success that nobody could see."""
    front, queue, _, memory = start(mallory, setup)
    request = front.disk().prepare(blk.OUT, 0, b"\x77" * 512)
    offer_chain(queue, [(request.header, 16, NEXT), (request.data, 512, NEXT), (request.status, 0, WRITE)])
    expect_dropped_or_stop(mallory)


def completion(front, timeout=5.0):
    """The first used entry's length, or None when the device stopped instead."""
    ring, deadline = front.queues[0].ring, time.monotonic() + timeout
    while time.monotonic() < deadline:
        if ring.packed:
            flags = ring.memory.get16(ring.descriptors + 14)
            if flags & virtio.USED and flags & virtio.AVAIL:
                return ring.memory.get32(ring.descriptors + 8)
        elif ring.used_idx() != 0:
            return ring.memory.get32(ring.used + 8)
        if front.needs_reset(0):
            return None
        time.sleep(0.002)
    raise TimeoutError("neither a completion nor NEEDS_RESET")


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
        assert mallory.front.disk().read(0, 1) == bytes(512), "a request without a status was carried out"
        mallory.expect_working()


NOWHERE = 0x4000_0000_0000


@attack("A10", "data")
def _(mallory, setup):
    front, queue, _, _ = start(mallory, setup)
    request = front.disk().prepare(blk.IN, 0, 512)
    offer_chain(queue, [(request.header, 16, NEXT), (NOWHERE, 512, NEXT | WRITE), (request.status, 1, WRITE)])
    expect_error_or_stop(mallory, request)


@attack("A10", "header")
def _(mallory, setup):
    front, queue, _, _ = start(mallory, setup)
    request = front.disk().prepare(blk.IN, 0, 512)
    offer_chain(queue, [(NOWHERE, 16, NEXT), (request.data, 512, NEXT | WRITE), (request.status, 1, WRITE)])
    mallory.expect_stopped()


@attack("A10", "indirect-table")
def _(mallory, setup):
    _, queue, _, _ = start(mallory, setup)
    offer_chain(queue, [(NOWHERE, 48, INDIRECT)])
    mallory.expect_stopped()


@attack("A10", "user-address")
def _(mallory, setup):
    """The VMM's own address of a buffer is not a guest address."""
    front, queue, _, memory = start(mallory, setup)
    request = front.disk().prepare(blk.IN, 0, 512)
    offer_chain(queue, [(request.header + USER_OFFSET, 16, NEXT), (request.data, 512, NEXT | WRITE),
                        (request.status, 1, WRITE)])
    mallory.expect_stopped()


@attack("A10", "end-of-region")
def _(mallory, setup):
    """The last bytes of memory and one more."""
    front, queue, _, memory = start(mallory, setup)
    region = memory.regions[-1]
    request = front.disk().prepare(blk.IN, 0, 512)
    offer_chain(queue, [(request.header, 16, NEXT), (region.guest_address + region.size - 511, 512, NEXT | WRITE),
                        (request.status, 1, WRITE)])
    expect_error_or_stop(mallory, request)


@attack("A11", "header")
def _(mallory, setup):
    front, queue, _, _ = start(mallory, setup)
    request = front.disk().prepare(blk.IN, 0, 512)
    offer_chain(queue, [((1 << 64) - 8, 16, NEXT), (request.data, 512, NEXT | WRITE), (request.status, 1, WRITE)])
    mallory.expect_stopped()


@attack("A11", "data")
def _(mallory, setup):
    front, queue, _, memory = start(mallory, setup)
    request = front.disk().prepare(blk.IN, 0, 512)
    # wraps to an address inside memory
    length = 0xFFFF_FFFF
    address = (1 << 64) - length + memory.regions[0].guest_address + 4096
    offer_chain(queue, [(request.header, 16, NEXT), (address, length, NEXT | WRITE), (request.status, 1, WRITE)])
    expect_error_or_stop(mallory, request)


@attack("A11", "table")
def _(mallory, setup):
    _, queue, _, _ = start(mallory, setup)
    offer_chain(queue, [((1 << 64) - 16, 48, INDIRECT)])
    mallory.expect_stopped()


@attack("A12", "data")
def _(mallory, setup):
    """Legal: regions that follow each other for the guest lie apart here."""
    memory = GuestMemory.adjacent(3)
    front, queue, _, _ = start(mallory, setup, memory)
    disk, data = front.disk(), os.urandom(8192)
    border = memory.regions[1].guest_address
    for size, before in ((8192, 4096), (8192, 1), (512, 511), (4096, 3)):
        memory.write(border - before, data[:size])
        request = disk.prepare(blk.OUT, 16, size)
        queue.wait(queue.submit([virtio.Buffer(request.header, 16, False),
                                 virtio.Buffer(border - before, size, False),
                                 virtio.Buffer(request.status, 1, True)]))
        assert disk.collect(request)[0] == blk.OK
        memory.fill(border - before, size)
        request = disk.prepare(blk.IN, 16, size)
        queue.wait(queue.submit([virtio.Buffer(request.header, 16, False),
                                 virtio.Buffer(border - before, size, True),
                                 virtio.Buffer(request.status, 1, True)]))
        assert disk.collect(request)[0] == blk.OK
        assert memory.read(border - before, size) == data[:size]


@attack("A12", "header")
def _(mallory, setup):
    memory = GuestMemory.adjacent(2)
    front, queue, _, _ = start(mallory, setup, memory)
    border = memory.regions[1].guest_address
    for before in (1, 7, 8, 15):
        data = os.urandom(512)
        memory.write(border - before, struct.pack("<IIQ", blk.OUT, 0, 40))
        request = front.disk().prepare(blk.OUT, 0, data)
        queue.wait(queue.submit([virtio.Buffer(border - before, 16, False), virtio.Buffer(request.data, 512, False),
                                 virtio.Buffer(request.status, 1, True)]))
        assert front.disk().collect(request)[0] == blk.OK
        assert front.disk().read(40, 1) == data


@attack("A12", "whole-region-between")
def _(mallory, setup):
    """A buffer over three regions."""
    base = 0x10_0000
    memory = GuestMemory(Region(base, 2 << 20), Region(base + (2 << 20), 4096), Region(base + (2 << 20) + 4096, 1 << 20))
    front, queue, _, _ = start(mallory, setup, memory)
    at, data = memory.regions[1].guest_address - 4096, os.urandom(12288)
    memory.write(at, data)
    request = front.disk().prepare(blk.OUT, 80, b"")
    queue.wait(queue.submit([virtio.Buffer(request.header, 16, False), virtio.Buffer(at, 12288, False),
                             virtio.Buffer(request.status, 1, True)]))
    assert front.disk().collect(request)[0] == blk.OK
    assert front.disk().read(80, 24) == data


def overflow(mallory, setup, lengths):
    """Data descriptors that all lie in one large region, one over the other."""
    memory = GuestMemory(Region(0x10_0000, 4 << 20), Region(0x1_0000_0000, 1 << 30))
    front, queue, _, _ = start(mallory, setup, memory)
    request = front.disk().prepare(blk.IN, 0, b"")
    data = [(0x1_0000_0000, length, NEXT | WRITE) for length in lengths]
    offer_chain(queue, [(request.header, 16, NEXT), *data, (request.status, 1, WRITE)])
    mallory.expect_stopped()


@attack("A14", "more-than-4G")
def _(mallory, setup):
    overflow(mallory, setup, [1 << 30] * 5)


@attack("A14", "wraps-to-one-sector")
def _(mallory, setup):
    """As 32-bit numbers these add up to 511, and 512 with the status."""
    overflow(mallory, setup, [1 << 30] * 4 + [511])


# ---- A15–A19: indirect tables ----

def table_of_request(front, request, sends=False):
    ring = front.queues[0].ring
    table = front.memory.allocate(64)
    write_table(ring, table, honest_entries(request, sends))
    return table


@attack("A15")
def _(mallory, setup):
    front, queue, _, memory = start(mallory, setup)
    request = front.disk().prepare(blk.IN, 0, 512)
    offer_chain(queue, [(table_of_request(front, request), 48, INDIRECT | NEXT), (memory.allocate(16), 1, WRITE)])
    mallory.expect_stopped()


@attack("A16", "first")
def _(mallory, setup):
    front, queue, ring, memory = start(mallory, setup)
    inner = table_of_request(front, front.disk().prepare(blk.IN, 0, 512))
    outer = memory.allocate(16)
    write_table(ring, outer, [(inner, 48, INDIRECT)])
    offer_chain(queue, [(outer, 16, INDIRECT)])
    mallory.expect_stopped()


@attack("A16", "itself")
def _(mallory, setup):
    front, queue, ring, memory = start(mallory, setup)
    table = memory.allocate(32)
    write_table(ring, table, [(memory.allocate(16), 16, NEXT), (table, 32, INDIRECT)])
    offer_chain(queue, [(table, 32, INDIRECT)])
    mallory.expect_stopped()


def bad_table_length(length):
    def run(mallory, setup):
        front, queue, _, _ = start(mallory, setup)
        request = front.disk().prepare(blk.IN, 0, 512)
        offer_chain(queue, [(table_of_request(front, request), length, INDIRECT)])
        mallory.expect_stopped()
    return run


for _length in (0, 15, 17, 47, 16 * 32769, 0xFFFF_FFF0):
    attack("A17", f"{_length:#x}")(bad_table_length(_length))


@attack("A18")
def _(mallory, setup):
    """Legal: a table whose entries lie in two regions."""
    memory = GuestMemory.adjacent(2)
    front, queue, ring, _ = start(mallory, setup, memory)
    border = memory.regions[1].guest_address
    for before in (16, 8, 32, 1):       # between and inside entries
        data = os.urandom(512)
        request = front.disk().prepare(blk.OUT, 24, data)
        table = border - before
        ring.tables.clear()
        chain = ring.add(front.disk().buffers(request, True), indirect=True)
        write_table(ring, table, honest_entries(request, True))
        if ring.packed:
            index = (ring.next_available - 1) % ring.size
            ring.memory.put64(ring.descriptors + 16 * index, table)
        else:
            ring.put(chain, table, 48, INDIRECT)
        ring.publish()
        queue.kick()
        queue.wait(chain)
        assert front.disk().collect(request)[0] == blk.OK
        assert front.disk().read(24, 1) == data


@attack("A19", indirect=False)
def _(mallory, setup):
    front, queue, _, _ = start(mallory, setup)
    request = front.disk().prepare(blk.IN, 0, 512)
    offer_chain(queue, [(table_of_request(front, request), 48, INDIRECT)])
    mallory.expect_stopped()


# ---- A20: order ----

@attack("A20", "writable-first")
def _(mallory, setup):
    front, queue, _, _ = start(mallory, setup)
    request = front.disk().prepare(blk.IN, 0, 512)
    offer_chain(queue, [(request.data, 512, NEXT | WRITE), (request.header, 16, NEXT), (request.status, 1, WRITE)])
    mallory.expect_stopped()


@attack("A20", "status-not-writable")
def _(mallory, setup):
    front, queue, _, _ = start(mallory, setup)
    request = front.disk().prepare(blk.OUT, 0, b"\x77" * 512)
    offer_chain(queue, [(request.header, 16, NEXT), (request.data, 512, NEXT), (request.status, 1, 0)])
    expect_dropped_or_stop(mallory)


@attack("A20", "header-writable")
def _(mallory, setup):
    front, queue, _, _ = start(mallory, setup)
    request = front.disk().prepare(blk.IN, 0, 512)
    offer_chain(queue, [(request.header, 16, NEXT | WRITE), (request.data, 512, NEXT | WRITE),
                        (request.status, 1, WRITE)])
    # without a readable byte there is no request: its last byte is the only place for an answer
    expect_error_or_stop(mallory, request)


# ---- A21, A22: memory that changes under the device's eyes ----

def answered(front, request, timeout=5.0):
    """Status of a request on a ring that a scribbler damages, or None when the device stopped."""
    queue, deadline = front.queues[0], time.monotonic() + timeout
    while not queue.wait_for(lambda: request.chain in queue.done, 0.01):
        if front.needs_reset(0):
            front.reset()
            return None
        assert time.monotonic() < deadline, "neither a completion nor NEEDS_RESET"
    queue.done.pop(request.chain)
    return front.memory.read(request.status, 1)[0]


def flipped_descriptor(mallory, setup, offset, values, width="u64"):
    """A second CPU flips a field of the data descriptor of each write while the device reads it."""
    front, queue, ring, memory = start(mallory, setup)
    disk = front.disk()
    data = [memory.allocate(4096, 4096), memory.allocate(4096, 4096)]
    memory.fill(data[0], 4096, 0xAA)
    memory.fill(data[1], 4096, 0xBB)
    table = memory.allocate(48, 64)
    region, start_offset = memory.find(table)
    view = getattr(region, width)
    index = (start_offset + 16 + offset) // view.itemsize
    first, second = values(data)

    def flip():
        for _ in range(1000):
            view[index] = second
            view[index] = first

    outcomes = set()
    with scribbler(flip):
        for _ in range(100):
            request = disk.prepare(blk.OUT, 8, 4096)
            write_table(ring, table, [(request.header, 16, NEXT), (data[0], 4096, NEXT), (request.status, 1, WRITE)])
            ring.tables = dict.fromkeys(range(ring.size), (3, table))
            buffers = [virtio.Buffer(request.header, 16, False), virtio.Buffer(data[0], 4096, False),
                       virtio.Buffer(request.status, 1, True)]
            request.chain = queue.submit(buffers, indirect=True)
            outcomes.add(answered(front, request))
    assert outcomes <= {blk.OK, blk.IOERR, None}, f"answers {outcomes}"
    front.reset()
    content = disk.read(8, 8)
    return {content[i:i + 512] for i in range(0, 4096, 512)}


@attack("A21", "address")
def _(mallory, setup):
    """Between two buffers: whatever the device took, it took one of them and not parts of both."""
    content = flipped_descriptor(mallory, setup, 0, lambda data: (data[0], data[1]))
    assert content in ({b"\xAA" * 512}, {b"\xBB" * 512}), "a mixture of two buffers was written"
    mallory.expect_working()


@attack("A21", "address-out-of-memory")
def _(mallory, setup):
    content = flipped_descriptor(mallory, setup, 0, lambda data: (data[0], NOWHERE))
    assert content <= {b"\xAA" * 512, bytes(512)}
    mallory.expect_working()


@attack("A21", "length")
def _(mallory, setup):
    content = flipped_descriptor(mallory, setup, 8, lambda data: (4096, 0xFFFF_FFFF), "u32")
    assert content <= {b"\xAA" * 512, bytes(512)}
    mallory.expect_working()


@attack("A21", "flags-and-next")
def _(mallory, setup):
    """NEXT with its target, and INDIRECT, in one 32-bit store."""
    content = flipped_descriptor(mallory, setup, 12, lambda data: (NEXT | 2 << 16, INDIRECT | 0xFFFF << 16), "u32")
    assert content <= {b"\xAA" * 512, bytes(512)}
    mallory.expect_working()


def flipped_header(mallory, setup, offset, first, second, width):
    """A second CPU flips a field of the request's header. Returns the statuses seen."""
    front, _, _, memory = start(mallory, setup)
    disk = front.disk()
    disk.write(2048, b"\x11" * 512)
    request = disk.prepare(blk.OUT, 2048, b"\x22" * 512)
    region, at = memory.find(request.header)
    view = getattr(region, width)
    index = (at + offset) // view.itemsize

    def flip():
        for _ in range(1000):
            view[index] = second
            view[index] = first

    outcomes = set()
    with scribbler(flip):
        for _ in range(150):
            memory.write(request.status, bytes([blk.UNTOUCHED]))
            request.chain = disk.queue.submit(disk.buffers(request, True))
            outcomes.add(answered(front, request))
    return outcomes


@attack("A22", "sector")
def _(mallory, setup):
    """Between a sector of the disk and one far outside: written or refused, never somewhere else."""
    outcomes = flipped_header(mallory, setup, 8, 2048, 1 << 54, "u64")
    assert outcomes <= {blk.OK, blk.IOERR}
    mallory.expect_working()


@attack("A22", "type")
def _(mallory, setup):
    """Between a write and a type that does not exist."""
    outcomes = flipped_header(mallory, setup, 0, blk.OUT, 0x7777, "u32")
    assert outcomes <= {blk.OK, blk.IOERR, blk.UNSUPP}
    mallory.expect_working()


# ---- A24, A26: memory and rings that cannot be ----

def read_only_memory(mallory, setup, fd):
    """Tells the region of an honest guest, with another file."""
    front = mallory.connect(setup)
    payload = struct.pack("<2I", 1, 0) + front.memory.regions[0].description()
    try:
        refused_or_closed(mallory, front.connection.tell, Request.SET_MEM_TABLE, payload, [fd])
    finally:
        os.close(fd)


@attack("A24", "opened-read-only", SPLIT)
def _(mallory, setup):
    file = memory_file(4 << 20)
    fd = os.open(f"/proc/self/fd/{file}", os.O_RDONLY)
    os.close(file)
    read_only_memory(mallory, setup, fd)


@attack("A24", "sealed-against-writing", SPLIT)
def _(mallory, setup):
    file = memory_file(4 << 20)
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    read_only_memory(mallory, setup, file)


def ring_at(place):
    """Starts a ring whose part lies where `place` says; some message on the way must be refused."""
    def run(mallory, setup):
        front = mallory.connect(setup)
        front.tell_memory()
        c = front.connection
        front.queues.append(virtio.Queue(front.make_ring(), 0))
        parts = [front.memory.user(a) for a in front.queues[0].ring.addresses()]
        region = front.memory.regions[0]
        end = region.user_address + region.size
        try:
            answers = [c.set_vring_num(0, setup.size), c.set_vring_base(0, front.queues[0].ring.base()),
                       c.set_vring_addr(0, *place(parts, end)), c.set_vring_kick(0, front.queues[0].kick_fd),
                       c.set_vring_enable(0)]
        except Closed:
            mallory.close()
            mallory.expect_welcome()
            return
        assert any(answers), "a ring outside memory was accepted"
        mallory.expect_connected()
        front.reset("status")
        mallory.expect_working()
    return run


for _name, _place in {
        "descriptors": lambda parts, end: (end - 16, parts[1], parts[2]),
        "used": lambda parts, end: (parts[0], end - 2, parts[2]),
        "available": lambda parts, end: (parts[0], parts[1], end - 2),
        "nowhere": lambda parts, end: (end + (1 << 30), parts[1], parts[2]),
        "wraps": lambda parts, end: ((1 << 64) - 16, parts[1], parts[2]),
        "misaligned": lambda parts, end: (parts[0] + 1, parts[1], parts[2]),
        "guest-address": lambda parts, end: tuple(part - USER_OFFSET for part in parts),
}.items():
    attack("A26", _name)(ring_at(_place))


# ---- A27, A28, A30 ----

@attack("A27", "used-event")
def _(mallory, setup):
    """Any value for "interrupt me at": requests complete, and the daemon does not spin."""
    front, queue, ring, memory = start(mallory, setup)
    disk = front.disk()
    for value in (1, 0x7FFF, 0x8000, 0xFFFF, ring.size, ring.size * 2):
        request = disk.submit(blk.IN, 0, 512)
        if ring.packed:
            memory.put32(ring.driver_event, value | virtio_event(value))
        else:
            ring.set_used_event(value)
        deadline = time.monotonic() + 5
        while request.chain not in queue.done:
            queue.poll()
            assert time.monotonic() < deadline, f"no completion with event {value:#x}"
        queue.done.pop(request.chain)
        assert disk.collect(request)[0] == blk.OK
    before, begin = mallory.daemon.cpu_seconds(), time.monotonic()
    time.sleep(0.5)
    assert mallory.daemon.cpu_seconds() - before < 0.8 * (time.monotonic() - begin), "the daemon spins"
    mallory.expect_working()


def virtio_event(value):
    """Upper half of a packed ring's event structure: every flag value, also the reserved one."""
    return (value & 3) << 16


@attack("A28", "id-beyond-queue", PACKED)
def _(mallory, setup):
    front, queue, ring, _ = start(mallory, setup)
    request = front.disk().prepare(blk.IN, 0, 512)
    for index, (address, length, flags) in reversed(list(enumerate(honest_entries(request, False)))):
        ring.put(index, address, length, ring.size, flags | ring.flags_available())
    queue.kick()
    mallory.expect_stopped()


@attack("A28", "id-far-beyond", PACKED)
def _(mallory, setup):
    front, queue, ring, _ = start(mallory, setup)
    table = table_of_request(front, front.disk().prepare(blk.IN, 0, 512))
    ring.put(0, table, 48, 0xFFFF, INDIRECT | ring.flags_available())
    queue.kick()
    mallory.expect_stopped()


@attack("A28", "wrap-bits-flap", PACKED, size=16)
def _(mallory, setup):
    """A second CPU turns AVAIL and USED of every descriptor over and over while the ring is kicked."""
    front, queue, ring, memory = start(mallory, setup)
    request = front.disk().prepare(blk.IN, 0, 512)
    for index in range(ring.size):
        ring.put(index, request.header, 16, index, 0)
    region, at = memory.find(ring.descriptors)
    places = [(at + 16 * i + 14) // 2 for i in range(ring.size)]

    def flip():
        for place in places:
            for flags in (virtio.AVAIL, virtio.USED, virtio.AVAIL | virtio.USED, 0, virtio.AVAIL | NEXT):
                region.u16[place] = flags

    with scribbler(flip):
        for _ in range(100):
            queue.kick()
            time.sleep(0.002)
    front.reset("reconnect")
    mallory.expect_working()


@attack("A28", "chain-crosses-wrap-with-old-bits", PACKED, size=8)
def _(mallory, setup):
    """A chain over the end of the ring whose descriptors after the wrap carry the old round's bits."""
    front, queue, ring, _ = start(mallory, setup)
    disk = front.disk()
    for _ in range(2):                  # positions 0–5 go by; the next chain covers 6, 7, 0
        disk.queue.wait(disk.queue.submit(disk.buffers(request := disk.prepare(blk.IN, 0, 512), False), indirect=False))
        assert disk.collect(request)[0] == blk.OK
    request = disk.prepare(blk.IN, 0, 512)
    entries = honest_entries(request, False)
    old = ring.flags_available()
    for index, (address, length, flags) in reversed(list(zip((6, 7, 0), entries))):
        ring.put(index, address, length, 5, flags | old)
    queue.kick()
    time.sleep(0.1)
    # whether it is taken (the first descriptor decides) or refused: no other request suffers and a reset helps
    front.reset("reconnect")
    mallory.expect_working()


@attack("A30")
def _(mallory, setup):
    """The device is told to read disk data over its own used ring."""
    front, queue, ring, memory = start(mallory, setup)
    disk = front.disk()
    disk.write(0, os.urandom(4096))
    target = ring.descriptors if ring.packed else ring.used
    request = disk.prepare(blk.IN, 0, 512)
    ring.add([virtio.Buffer(request.header, 16, False), virtio.Buffer(target, 512, True),
              virtio.Buffer(request.status, 1, True)], indirect=False)
    ring.publish()
    queue.kick()
    deadline = time.monotonic() + 5
    while memory.read(request.status, 1)[0] == blk.UNTOUCHED and not front.needs_reset(0):
        assert time.monotonic() < deadline, "neither a status nor NEEDS_RESET"
        time.sleep(0.002)
    front.reset("reconnect")
    mallory.expect_working()


@pytest.mark.parametrize("attack, setup", attack.parameters)
def test_hostile(mallory, attack, setup):
    attack(mallory(), setup)


@pytest.mark.parametrize("how", RECOVERIES)
@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_recovery(mallory, how, packed):
    """After a violation every way to reset a device brings it back, on all of its queues."""
    hostile = mallory()
    front = hostile.start(Setup(packed=packed, queues=2))
    front.disk(1).write(0, b"\x33" * 512)
    offer_chain(front.queues[0], [(NOWHERE, 16, 0)])
    hostile.expect_stopped(how)
    assert front.disk(1).read(0, 1) == b"\x33" * 512


def test_other_disk_of_the_same_guest_goes_on(daemon, victim):
    """A violation stops one device, not the guest's others."""
    with FrontEnd.start(daemon.socket("bob/root"), Setup()) as bad, \
         FrontEnd.start(daemon.socket("bob/whole"), Setup()) as good:
        offer_chain(bad.queues[0], [(NOWHERE, 16, 0)])
        assert bad.needs_reset()
        good.disk().write(0, b"\x44" * 512)
        assert good.disk().read(0, 1) == b"\x44" * 512
