# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows C1–C5: block requests that ask for what is not theirs. The request fails (E), the ring goes on."""
import os

import pytest

import blk
import virtio
from frontend import FrontEnd, Setup
from hostile import Attacks, outcome
from rows import row_id

attack = Attacks()


def start(mallory, setup):
    front = mallory.start(setup)
    disk = front.disk()
    capacity = blk.Config(front.connection.get_config(0, 60)).capacity
    return front, disk, capacity


def refused(disk, kind, sector, data=b""):
    """The request fails, and what it would have read stays untouched."""
    status, got = disk.do(kind, sector, data)
    assert status in (blk.IOERR, blk.UNSUPP), f"type {kind} at sector {sector:#x}: status {status}"
    return status, got


OUTSIDE = {
    "at-the-end": lambda capacity: capacity,
    "far-beyond": lambda capacity: capacity * 1000,
    "product-wraps": lambda capacity: 1 << 55,
    "product-wraps-to-0": lambda capacity: 1 << 56,
    "sum-wraps": lambda capacity: (1 << 64) - 1,
    "signed": lambda capacity: 1 << 63,
    "wraps-to-inside": lambda capacity: (1 << 55) + 8,
}


def outside(sector_of):
    def run(mallory, setup):
        front, disk, capacity = start(mallory, setup)
        sector = sector_of(capacity)
        refused(disk, blk.IN, sector, 512)
        refused(disk, blk.IN, sector, 65536)
        refused(disk, blk.OUT, sector, b"\x99" * 512)
        assert disk.discard((sector, 8)) != blk.OK
        assert disk.write_zeroes((sector, 8)) != blk.OK
        mallory.expect_working()
    return run


for _name, _sector in OUTSIDE.items():
    attack("C1", _name)(outside(_sector))


@attack("C1", "across-the-end")
def _(mallory, setup):
    """The first sector is inside: nothing is written, not even that."""
    front, disk, capacity = start(mallory, setup)
    disk.write(capacity - 1, b"\x12" * 512)
    refused(disk, blk.OUT, capacity - 1, b"\x99" * 1024)
    refused(disk, blk.IN, capacity - 1, 1024)
    assert disk.write_zeroes((capacity - 1, 2)) != blk.OK
    assert disk.discard((capacity - 1, 2)) != blk.OK
    assert disk.read(capacity - 1, 1) == b"\x12" * 512
    mallory.expect_working()


@attack("C1", "odd-length")
def _(mallory, setup):
    front, disk, capacity = start(mallory, setup)
    disk.write(0, b"\x13" * 4096)
    for size in (1, 511, 513, 4095):
        refused(disk, blk.IN, 0, size)
        refused(disk, blk.OUT, 0, b"\x99" * size)
    assert disk.read(0, 8) == b"\x13" * 4096


@attack("C1", "no-data")
def _(mallory, setup):
    """A read or write of nothing: done, or refused; never anything else."""
    front, disk, _ = start(mallory, setup)
    for kind in (blk.IN, blk.OUT):
        assert disk.do(kind, 0, b"")[0] in (blk.OK, blk.IOERR)
    mallory.expect_working()


@attack("C1", "too-many-segments", size=1024)
def _(mallory, setup):
    """One segment more than the device told; it may still be served, but correctly."""
    front = mallory.start(setup)
    config = blk.Config(front.connection.get_config(0, 60))
    disk = front.disk()
    count = config.seg_max + 1
    if count + 2 > setup.size:
        count = setup.size - 2
    data = os.urandom(512 * count)
    request = disk.prepare(blk.OUT, 0, data)
    buffers = disk.buffers(request, True, [512] * count)
    queue = front.queues[0]
    request.chain = queue.submit(buffers, indirect=True)
    status = outcome(front, request)
    if status is not None:
        assert status in (blk.OK, blk.IOERR, blk.UNSUPP)
        if status == blk.OK:
            assert b"".join(disk.read(i, 64) for i in range(0, count // 64 * 64, 64)) == data[:count // 64 * 64 * 512]
    else:
        front.reset()
    mallory.expect_working()


@attack("C1", "discard-segments")
def _(mallory, setup):
    """Too many ranges, ranges that are too long, an empty list, half a range, unknown flags."""
    front = mallory.start(setup)
    config = blk.Config(front.connection.get_config(0, 60))
    disk = front.disk()
    disk.write(0, b"\x31" * 4096)
    for kind, most, longest in ((blk.DISCARD, config.max_discard_seg, config.max_discard_sectors),
                                (blk.WRITE_ZEROES, config.max_write_zeroes_seg, config.max_write_zeroes_sectors)):
        refused(disk, kind, 0, disk.segments([(1 << 40, 8)] * (most + 1)))
        if longest < 0xFFFF_FFFF:
            refused(disk, kind, 0, disk.segments([(1 << 40, longest + 1)]))
        refused(disk, kind, 0, disk.segments([(0, 0xFFFF_FFFF)]))
        refused(disk, kind, 0, disk.segments([(0, 8)])[:12])
        refused(disk, kind, 0, disk.segments([(0, 8)]) + b"x")
        assert refused(disk, kind, 0, disk.segments([(0, 8)], 2))[0] == blk.UNSUPP
        assert refused(disk, kind, 0, disk.segments([(0, 8)], 1 << 31))[0] == blk.UNSUPP
        assert disk.do(kind, 0, b"")[0] in (blk.OK, blk.IOERR, blk.UNSUPP)
        # ranges inside the disk before one outside: nothing or only the former is done
        refused(disk, kind, 0, disk.segments([(64, 8), (1 << 40, 8)]))
    # DISCARD has no unmap flag (virtio 1.2, 5.2.6.2)
    assert refused(disk, blk.DISCARD, 0, disk.segments([(0, 8)], 1))[0] == blk.UNSUPP
    assert disk.read(0, 8) == b"\x31" * 4096
    mallory.expect_working()


@attack("C1", "header-short")
def _(mallory, setup):
    """Fifteen bytes of header."""
    front = mallory.start(setup)
    request = front.disk().prepare(blk.IN, 0, 512)
    request.chain = front.queues[0].submit([virtio.Buffer(request.header, 15, False),
                                            virtio.Buffer(request.data, 512, True),
                                            virtio.Buffer(request.status, 1, True)])
    status = outcome(front, request)
    if status is None:
        front.reset()
    else:
        assert status in (blk.IOERR, blk.UNSUPP)
    mallory.expect_working()


@attack("C1", "neighbours-bytes")
def _(mallory, setup):
    """Every sector around the end of the disk, where the next guest's part of the pool may begin."""
    front, disk, capacity = start(mallory, setup)
    for sector in range(capacity, capacity + 4096, 256):
        status, got = refused(disk, blk.IN, sector, 512)
        assert not any(got), "bytes came from beyond the disk"
    mallory.expect_working()


@attack("C3", "unknown-type")
def _(mallory, setup):
    front, disk, _ = start(mallory, setup)
    disk.write(0, b"\x21" * 512)
    for kind in (2, 3, 5, 6, 7, 9, 10, 12, 14, 15, 16, 18, 20, 22, 24, 26, 0x7F, 0x8000_0000, 0x8000_0001, 0xFFFF_FFFF):
        assert refused(disk, kind, 0, b"\x99" * 512)[0] == blk.UNSUPP, f"type {kind:#x}"
        assert refused(disk, kind, 0, 512)[0] == blk.UNSUPP, f"type {kind:#x}"
    assert disk.read(0, 1) == b"\x21" * 512
    mallory.expect_working()


@attack("C3", "get-id-sizes")
def _(mallory, setup):
    """20 bytes are the rule; a smaller buffer is refused or filled as far as it goes, never beyond."""
    front, disk, _ = start(mallory, setup)
    whole = disk.do(blk.GET_ID, 0, 20)
    assert whole[0] == blk.OK and any(whole[1])
    for size in (0, 1, 19, 21, 4096):
        request = disk.prepare(blk.GET_ID, 0, size)
        guard = request.data + size
        request.chain = front.queues[0].submit(disk.buffers(request, False))
        status, got = disk.finish(request)
        assert status in (blk.OK, blk.IOERR, blk.UNSUPP)
        assert got[:20] in (whole[1][:size], bytes(min(size, 20)))
        assert not any(got[20:])
    mallory.expect_working()


@attack("C3", "wrong-direction")
def _(mallory, setup):
    """A read whose data the device cannot write; a write without data to read."""
    front, disk, _ = start(mallory, setup)
    disk.write(0, b"\x41" * 512)
    for kind, sends in ((blk.IN, True), (blk.OUT, False)):
        request = disk.prepare(kind, 0, b"\x42" * 512)
        request.chain = front.queues[0].submit(disk.buffers(request, sends))
        assert disk.finish(request)[0] in ((blk.IOERR, blk.UNSUPP) if kind == blk.OUT else (blk.OK, blk.IOERR, blk.UNSUPP))
    assert disk.read(0, 1) == b"\x41" * 512
    mallory.expect_working()


@pytest.mark.parametrize("packed", [False, True], ids=[row_id("C3", "read-only-split"),
                                                        row_id("C3", "read-only-packed")])
def test_hostile_read_only(daemon, victim, packed):
    """Nothing that changes a read-only disk is done; FLUSH has nothing to do."""
    with FrontEnd.start(daemon.socket("bob/fixed"), Setup(packed=packed)) as front:
        disk = front.disk()
        assert virtio.bit(front.connection.get_features(), blk.F_RO)
        refused(disk, blk.OUT, 0, b"\x99" * 512)
        assert disk.discard((0, 8)) != blk.OK
        assert disk.write_zeroes((0, 8)) != blk.OK
        assert disk.do(blk.FLUSH, 0)[0] in (blk.OK, blk.IOERR, blk.UNSUPP)
        assert disk.read(0, 8) == bytes(4096)


FLOOD = 100


def flood(mallory, setup, kind, data):
    """The ring full of one kind of request, FLOOD times. The victim goes on meanwhile."""
    front = mallory.start(setup)
    disk, queue = front.disk(), front.queues[0]
    template = disk.prepare(kind, 0, data)
    chain = disk.buffers(template, sends=True)
    done = 0
    for step in range(FLOOD):
        try:
            while True:
                queue.ring.add(chain)
        except BufferError:
            pass
        if queue.ring.publish():
            queue.kick()
        assert queue.wait_for(lambda: queue.done), "the flood stands still"
        done += len(queue.done)
        queue.done.clear()
        if step % 10 == 0:
            mallory.expect_others_served()
    assert queue.wait_for(lambda: not queue.ring.chains), "requests of the flood are lost"
    assert front.memory.read(template.status, 1)[0] == blk.OK and done > 0
    queue.done.clear()
    mallory.expect_working()


@attack("C5", "flushes", size=256)
def _(mallory, setup):
    flood(mallory, setup, blk.FLUSH, b"")


@attack("C5", "one-hot-sector", size=256)
def _(mallory, setup):
    flood(mallory, setup, blk.OUT, b"\x51" * 512)


@pytest.mark.parametrize("attack, setup", attack.parameters)
def test_hostile(mallory, attack, setup):
    attack(mallory(), setup)
