# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows A, memory that changes under the device's eyes, and fields that make no sense."""
import os

import pytest

import blk
import virtio
from hostile import (NOWHERE, PACKED, Attacks, honest_entries, outcome, scribbler, start, table_of_request,
                     write_table)
from patience import wait_until, watch_nothing
from virtio import INDIRECT, NEXT, WRITE

attack = Attacks()


# ---- A21, A22: memory that changes under the device's eyes ----

def answered(front, request):
    """Status of a request on a ring that a scribbler damages, or None when the device stopped. The ring works again."""
    status = outcome(front, request)
    if status is None:
        front.reset()
    return status


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
        wait_until(lambda: queue.has(request.chain), f"a completion with event {value:#x}")
        queue.done.pop(request.chain)
        assert disk.collect(request)[0] == blk.OK
    mallory.expect_idle()
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
            front.connection.get_features()     # a moment in which the bits turn
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
    watch_nothing()
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
    wait_until(lambda: memory.read(request.status, 1)[0] != blk.UNTOUCHED or front.needs_reset(0), "a status or NEEDS_RESET")
    front.reset("reconnect")
    mallory.expect_working()


@pytest.mark.parametrize("attack, setup", attack.parameters)
def test_hostile(mallory, attack, setup):
    attack(mallory(), setup)
