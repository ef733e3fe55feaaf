# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows B10–B21: rings and memory that are told wrongly, too early, again, or while they are in use.
"""
import os
import struct

import pytest

import blk
import virtio
from frontend import FrontEnd, Setup
from guest_memory import GuestMemory, Region, memory_file
from hostile import ANY, Attacks, refused_or_closed
from patience import wait_until, watch_nothing
from vhost_user import VERSION, Closed, Request

attack = Attacks()


# ---- B10–B16: rings by message ----

BAD_INDEX = (16, 64, 255, 0xFFFF, 0x1_0000, 0xFFFF_0000, 0xFFFF_FFFF)


def ring_message(send_it):
    def run(mallory, setup):
        """Each index in turn, on the same connection: nothing is changed by a refusal."""
        front = mallory.start(setup)
        maximum = front.connection.get_queue_num()
        for index in (maximum, *(i for i in BAD_INDEX if i >= maximum)):
            if mallory.front is None:
                front = mallory.start(setup)
            refused_or_closed(mallory, send_it, front.connection, index)
        if mallory.front:
            mallory.expect_working()
    return run


for _name, _send in {
        "num": lambda c, i: c.set_vring_num(i, 64), "base": lambda c, i: c.set_vring_base(i, 0),
        "enable": lambda c, i: c.set_vring_enable(i), "addr": lambda c, i: c.set_vring_addr(i, 0, 0, 0)}.items():
    attack("B10", _name, ANY)(ring_message(_send))


@attack("B10", "kick", ANY)
def _(mallory, setup):
    """Its index has 8 bits; the reserved ones above bit 8 are not part of it."""
    for request in (Request.SET_VRING_KICK, Request.SET_VRING_CALL, Request.SET_VRING_ERR):
        for value in (64, 255, 0x1_0000, 1 << 32):
            mallory.connect(setup)
            fd = os.eventfd(0)
            try:
                refused_or_closed(mallory, mallory.front.connection.tell_u64, request, value, [fd])
            finally:
                os.close(fd)
                mallory.close()


@attack("B10", "get-vring-base", ANY)
def _(mallory, setup):
    """Its answer has no room for an error: the connection ends, or the answer is a refusal."""
    mallory.start(setup)
    mallory.front.connection.send(Request.GET_VRING_BASE, struct.pack("<2I", 0xFFFF_0000, 0))
    try:
        mallory.front.connection.reply(Request.GET_VRING_BASE)
        mallory.expect_working()
    except Closed:
        mallory.close()
        mallory.expect_welcome()


@attack("B11", "stopped")
def _(mallory, setup):
    mallory.connect(setup)
    for size in (0, 32769, 65535, 0x8000_0000, 0xFFFF_FFFF):
        mallory.expect_refused(mallory.front.connection.set_vring_num(0, size))


@attack("B11", "not-a-power-of-two", ANY)
def _(mallory, setup):
    """Wrong for a split ring: refused at once or when the ring is told to start."""
    front = mallory.connect(setup)
    front.tell_memory()
    c, memory = front.connection, front.memory
    front.queues.append(virtio.Queue(front.make_ring(), 0))
    addresses = [memory.user(a) for a in front.queues[0].ring.addresses()]
    answers = [c.set_vring_num(0, 3), c.set_vring_base(0, 0), c.set_vring_addr(0, *addresses),
               c.set_vring_kick(0, front.queues[0].kick_fd), c.set_vring_enable(0)]
    assert any(answers), "a split ring of 3 entries was accepted"
    mallory.expect_connected()
    front.reset()
    mallory.expect_working()


@attack("B11", "running")
def _(mallory, setup):
    front = mallory.start(setup)
    for size in (setup.size // 2, setup.size * 2, 0):
        mallory.expect_refused(front.connection.set_vring_num(0, size))
    mallory.expect_working()


@attack("B12", "", ANY)
def _(mallory, setup):
    mallory.connect(setup)
    c = mallory.front.connection
    before = mallory.daemon.resident_bytes()
    message = struct.pack("<3I2I", Request.SET_VRING_NUM, VERSION, 8, 0, 64)
    for _ in range(500):
        c.send_bytes(message * 100)
    assert c.get_features()
    wait_until(lambda: mallory.daemon.resident_bytes() < before + (2 << 20), "50000 messages leave no memory behind")


@attack("B14")
def _(mallory, setup):
    """Another place for a running ring: refused, or the ring goes on there."""
    front = mallory.start(setup)
    mallory.expect_working()
    queue = front.queues[0]
    other = front.make_ring()
    for name in ("next_available", "published", "next_used", "free", "free_ids", "available_wrap", "used_wrap"):
        if hasattr(other, name):
            setattr(other, name, getattr(queue.ring, name))
    for own, new in zip(queue.ring.addresses(), other.addresses()):
        size = 16 * setup.size if own == queue.ring.descriptors else 4 if other.packed else 4 + 2 * setup.size
        front.memory.write(new, front.memory.read(own, size))
    if not other.packed:
        front.memory.write(other.used, front.memory.read(queue.ring.used, 6 + 8 * setup.size))
    answer = front.connection.set_vring_addr(0, *(front.memory.user(a) for a in other.addresses()))
    if answer == 0:
        queue.ring = other
    mallory.expect_working()


@attack("B14", "to-nowhere")
def _(mallory, setup):
    front = mallory.start(setup)
    mallory.expect_refused(front.connection.set_vring_addr(0, 0x1000, 0x2000, 0x3000))
    mallory.expect_working()


@attack("B15", "kick-first", ANY)
def _(mallory, setup):
    """Descriptors, enabling and kicks before there is a ring: nothing happens, and a proper start still works."""
    front = mallory.connect(setup)
    fd = os.eventfd(1, os.EFD_NONBLOCK)
    front.connection.set_vring_kick(0, fd)
    front.connection.set_vring_enable(0)
    os.eventfd_write(fd, 1)
    watch_nothing()
    mallory.expect_connected()
    front.reset()
    front.tell_memory()
    front.queues.append(virtio.Queue(front.make_ring(), 0))
    front.start_queue(0)
    front.driver_ok()
    mallory.expect_working()
    os.close(fd)


@attack("B15", "some-queues", ANY)
def _(mallory, setup):
    """Firmware sets up one queue of four, the kernel then all of them."""
    with FrontEnd.start(mallory.path, Setup(queues=1)) as firmware:
        assert firmware.disk().read(0, 1)
        for index in range(4):
            firmware.stop_queue(index)
    front = mallory.start(Setup(queues=4))
    mallory.expect_working()
    assert front.stop_queue(3) > 0


@attack("B15", "enable-toggled", ANY)
def _(mallory, setup):
    """A disabled ring takes nothing; enabled again, it goes on without a new kick."""
    front = mallory.start(setup)
    assert not front.connection.set_vring_enable(0, 0)
    request = front.disk().submit(blk.IN, 0, 512)
    watch_nothing()
    front.queues[0].poll()
    assert request.chain not in front.queues[0].done, "a disabled ring was served"
    assert not front.connection.set_vring_enable(0, 1)
    assert front.disk().finish(request)[0] == blk.OK


@attack("B16", "in-flight")
def _(mallory, setup):
    """The position is told when everything taken has completed; nothing is taken after it."""
    front = mallory.start(setup)
    disk, queue = front.disk(), front.queues[0]
    for round in range(5):
        requests = [disk.submit(blk.OUT, 8 * i, bytes([round + 1]) * 4096) for i in range(24)]
        base = front.stop_queue(0)
        queue.poll()
        taken = [request for request in requests if request.chain in queue.done]
        watch_nothing()
        assert queue.poll() == 0, "a completion after the ring was stopped"
        if setup.packed:
            assert base >> 16 == base & 0xFFFF, "available and used differ after a drain"
            assert base & 0xFFFF == queue.ring.next_used | queue.ring.used_wrap << 15
        else:
            assert base == queue.ring.used_idx() == queue.ring.next_used
        front.start_queue(0, base=base)
        for request in requests:
            if request not in taken:
                queue.wait(request.chain)
            queue.done.pop(request.chain, None)
            assert disk.collect(request)[0] == blk.OK
    assert disk.read(0, 8) == bytes([5]) * 4096


@attack("B16", "never-started", ANY)
def _(mallory, setup):
    front = mallory.connect(setup)
    assert front.stop_queue(0) == 0
    assert front.stop_queue(1) == 0


# ---- B17–B21: memory ----

def table(*regions, count=None):
    """A SET_MEM_TABLE with regions (guest, size, user, offset), one file for each."""
    def run(mallory, setup):
        mallory.connect(setup)
        files = [memory_file(1 << 20) for _ in regions]
        payload = struct.pack("<2I", len(regions) if count is None else count, 0)
        payload += b"".join(struct.pack("<4Q", *(value & (1 << 64) - 1 for value in region)) for region in regions)
        try:
            refused_or_closed(mallory, mallory.front.connection.tell, Request.SET_MEM_TABLE, payload, files)
        finally:
            for file in files:
                os.close(file)
    return run


MIB = 1 << 20
U = 0x7F00_0000_0000
for _name, _run in {
        "nine-regions": table(*[(i * MIB, MIB, U + i * MIB, 0) for i in range(9)]),
        "overlap-guest": table((0, MIB, U, 0), (MIB // 2, MIB, U + 4 * MIB, 0)),
        "overlap-user": table((0, MIB, U, 0), (4 * MIB, MIB, U + MIB // 2, 0)),
        "same-twice": table((0, MIB, U, 0), (0, MIB, U, 0)),
        "empty-region": table((0, 0, U, 0)),
        "half-the-world": table((0, 1 << 63, U, 0)),
        "whole-world": table((0, -1, 0, 0)),
        "guest-wraps": table((-4096, 8192, U, 0)),
        "user-wraps": table((0, 8192, -4096, 0)),
        "offset-wraps": table((0, MIB, U, -4096)),
        "beyond-file": table((0, MIB + 4096, U, 0)),
        "offset-beyond-file": table((0, MIB, U, 4096)),
}.items():
    attack("B17", _name, ANY)(_run)


@attack("B17", "no-region", ANY)
def _(mallory, setup):
    """No memory at all: refused, or taken as such; no ring runs in it."""
    front = mallory.connect(setup)
    try:
        front.connection.tell(Request.SET_MEM_TABLE, struct.pack("<2I", 0, 0))
        front.queues.append(virtio.Queue(front.make_ring(), 0))
        c = front.connection
        answers = [c.set_vring_num(0, 128), c.set_vring_base(0, 0),
                   c.set_vring_addr(0, *(front.memory.user(a) for a in front.queues[0].ring.addresses())),
                   c.set_vring_kick(0, front.queues[0].kick_fd), c.set_vring_enable(0)]
        running = mallory.daemon.api("GET", f"/v1/disks/{mallory.guest}/root")[1]["queues_running"]
        assert any(answers) or running == 0, "a ring started without memory"
    except Closed:
        mallory.close()
        mallory.expect_welcome()


@attack("B19", "table")
def _(mallory, setup):
    """The same memory mapped anew, again and again, while requests fly."""
    front = mallory.start(setup)
    disk = front.disk()
    for round in range(30):
        requests = [disk.submit(blk.OUT, 64 * i, bytes([round + i & 0xFF]) * 32768) for i in range(8)]
        assert not front.connection.set_mem_table(front.memory.regions)
        for request in requests:
            assert disk.finish(request)[0] == blk.OK
    for i in range(8):
        assert disk.read(64 * i, 64) == bytes([29 + i]) * 32768


@attack("B19", "region")
def _(mallory, setup):
    """The region of requests in flight is removed: the answer comes when the last of them is done."""
    memory = GuestMemory.simple()
    front = mallory.start(Setup(packed=setup.packed, style="libblkio"), memory)
    for round in range(20):
        extra = Region(0x8000_0000, 1 << 20)
        assert not front.connection.add_mem_reg(extra)
        memory.regions.append(extra)
        disk, queue = front.disk(), front.queues[0]
        requests = []
        for i in range(8):
            request = disk.prepare(blk.OUT, 64 * i, b"")
            memory.fill(0x8000_0000 + 65536 * i, 32768, round * 8 + i & 0xFF)
            request.chain = queue.submit([virtio.Buffer(request.header, 16, False),
                                          virtio.Buffer(0x8000_0000 + 65536 * i, 32768, False),
                                          virtio.Buffer(request.status, 1, True)])
            requests.append(request)
        removed = front.connection.rem_mem_reg(extra)
        memory.regions.remove(extra)
        assert not removed
        outcomes = set()
        for request in requests:
            if not queue.wait_for(lambda: request.chain in queue.done, 0.5) and front.needs_reset(0):
                break           # taken after the removal: its buffer lies nowhere now
            queue.wait(request.chain)
            outcomes.add(disk.collect(request)[0])
        assert outcomes <= {blk.OK, blk.IOERR}
        extra.close()
        if front.needs_reset(0):
            front.reset()
    front.reset()
    mallory.expect_working()


@attack("B20", "", ANY)
def _(mallory, setup):
    """Regions without end: the maximum that was told is kept, what is more is refused."""
    front = mallory.connect(setup)
    maximum, added = front.connection.get_max_mem_slots(), 0
    file = memory_file(4096)
    for index in range(10_000):
        payload = struct.pack("<5Q", 0, index * 8192, 4096, 0x7F00_0000_0000 + index * 8192, 0)
        if front.connection.tell(Request.ADD_MEM_REG, payload, [file]):
            break
        added += 1
    os.close(file)
    assert 509 <= added <= maximum, f"{added} regions taken, {maximum} told"
    mallory.expect_connected()
    refusals = [front.connection.get_features() for _ in range(3)]
    assert all(refusals)


def unknown_region(guest, size, user):
    def run(mallory, setup):
        front = mallory.start(setup)
        region = front.memory.regions[0]
        payload = struct.pack("<5Q", 0, region.guest_address + guest, region.size + size, region.user_address + user, 0)
        mallory.expect_refused(front.connection.tell(Request.REM_MEM_REG, payload))
        mallory.expect_working()
    return run


for _name, _difference in {"guest": (4096, 0, 0), "size": (0, -4096, 0), "user": (0, 0, 4096),
                           "elsewhere": (1 << 40, 0, 1 << 40)}.items():
    attack("B21", _name, ANY)(unknown_region(*_difference))


@pytest.mark.parametrize("attack, setup", attack.parameters)
def test_hostile(mallory, attack, setup):
    attack(mallory(), setup)
