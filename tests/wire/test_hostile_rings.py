# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows A, chains and indices: broken rings. The device stops (N), the guest resets it and goes on.

Descriptors in a packed ring have no `next`, so loops exist there only as chains that never end. An indirect
table across adjacent regions must work.
"""
import os

import pytest

import blk
from frontend import FrontEnd, Setup
from guest_memory import GuestMemory
from hostile import (NOWHERE, PACKED, SPLIT, Attacks, expect_dropped_or_stop, expect_error_or_stop, honest_entries,
                     offer_chain, start, table_of_request, write_table)
from virtio import INDIRECT, NEXT, WRITE

attack = Attacks()


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


# ---- A15–A19: indirect tables ----

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


@pytest.mark.parametrize("attack, setup", attack.parameters)
def test_hostile(mallory, attack, setup):
    attack(mallory(), setup)


RECOVERIES = ("status", "reset_device", "reconnect", "stop")


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
