# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows A, addresses and lengths: buffers, rings and memory that are not where they are said to be.

A buffer across adjacent regions must work.
"""
import fcntl
import os
import struct

import pytest

import blk
import virtio
from guest_memory import USER_OFFSET, GuestMemory, Region, memory_file
from hostile import (NOWHERE, SPLIT, Attacks, expect_dropped_or_stop, expect_error_or_stop, offer_chain,
                     refused_or_closed, start)
from vhost_user import Closed, Request
from virtio import INDIRECT, NEXT, WRITE

attack = Attacks()


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


@pytest.mark.parametrize("attack, setup", attack.parameters)
def test_hostile(mallory, attack, setup):
    attack(mallory(), setup)
