# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-blk requests over one queue (virtio 1.2, 5.2.6), and the device's configuration space."""
import struct

from patience import PATIENCE_S
from virtio import Buffer

SECTOR = 512
IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES = 0, 1, 4, 8, 11, 13
OK, IOERR, UNSUPP = 0, 1, 2
UNTOUCHED = 0xEE                        # what a status byte holds before the device writes it

F_SIZE_MAX, F_SEG_MAX, F_RO, F_BLK_SIZE, F_FLUSH, F_TOPOLOGY = 1, 2, 5, 6, 9, 10
F_CONFIG_WCE, F_MQ, F_DISCARD, F_WRITE_ZEROES = 11, 12, 13, 14


class Config:
    """The configuration space, unpacked (virtio 1.2, 5.2.4)."""
    LAYOUT = struct.Struct("<QII HBB I BBHI BBH IIIIIB3x")
    NAMES = ("capacity", "size_max", "seg_max", "cylinders", "heads", "sectors", "blk_size",
             "physical_block_exp", "alignment_offset", "min_io_size", "opt_io_size", "writeback", "unused0",
             "num_queues", "max_discard_sectors", "max_discard_seg", "discard_sector_alignment",
             "max_write_zeroes_sectors", "max_write_zeroes_seg", "write_zeroes_may_unmap")
    WCE_OFFSET = 32

    def __init__(self, data):
        self.__dict__.update(zip(self.NAMES, self.LAYOUT.unpack_from(data)))


class Request:
    """One request in flight: where its header, data and status lie, and its chain's id."""

    def __init__(self, header, data, size, status, chain=None):
        self.header, self.data, self.size, self.status, self.chain = header, data, size, status, chain


class Disk:
    """A driver's view of the disk behind one queue. Buffers are taken from guest memory and used again."""

    def __init__(self, queue, memory):
        self.queue, self.memory = queue, memory
        self._spare = {}

    # ---- one after another ----

    def read(self, sector, count, timeout=PATIENCE_S):
        """`count` sectors; asserts that the device says OK."""
        status, data = self.do(IN, sector, count * SECTOR, timeout=timeout)
        assert status == OK, f"read of {count} sectors at {sector}: status {status}"
        return data

    def write(self, sector, data, timeout=PATIENCE_S):
        status, _ = self.do(OUT, sector, data, timeout=timeout)
        assert status == OK, f"write of {len(data)} bytes at sector {sector}: status {status}"

    def flush(self, timeout=PATIENCE_S):
        status, _ = self.do(FLUSH, 0, timeout=timeout)
        assert status == OK, f"flush: status {status}"

    def get_id(self, size=20):
        """(status, text)"""
        status, data = self.do(GET_ID, 0, size)
        return status, data.split(b"\0")[0].decode()

    def discard(self, *ranges, flags=0):
        """ranges: (sector, count). Returns the status."""
        return self.do(DISCARD, 0, self.segments(ranges, flags))[0]

    def write_zeroes(self, *ranges, unmap=False):
        return self.do(WRITE_ZEROES, 0, self.segments(ranges, int(unmap)))[0]

    @staticmethod
    def segments(ranges, flags=0):
        return b"".join(struct.pack("<QII", sector, count, flags) for sector, count in ranges)

    def do(self, kind, sector, data=b"", timeout=PATIENCE_S, split=None):
        """Submits one request and waits. `data`: bytes to send, or the number of bytes to receive."""
        request = self.submit(kind, sector, data, split)
        return self.finish(request, timeout)

    # ---- several in flight ----

    def submit(self, kind, sector, data=b"", split=None):
        """Returns a Request. split: lengths into which the data is cut, one descriptor each."""
        request = self.prepare(kind, sector, data)
        request.chain = self.queue.submit(self.buffers(request, not isinstance(data, int), split))
        return request

    def prepare(self, kind, sector, data=b""):
        """Writes header, data and status into guest memory; nothing is put on the ring."""
        size = data if isinstance(data, int) else len(data)
        spare = self._spare.setdefault(size, [])
        if spare:
            header = spare.pop()
        else:
            header = self.memory.allocate(32 + size, 512 if size >= 512 else 16)
        request = Request(header, header + 32, size, header + 16)
        self.memory.write(header, struct.pack("<IIQ", kind, 0, sector))
        self.memory.write(request.status, bytes([UNTOUCHED]))
        if not isinstance(data, int):
            self.memory.write(request.data, data)
        return request

    @staticmethod
    def buffers(request, sends, split=None):
        """The chain of an honest request: header, data, status."""
        chain, at = [Buffer(request.header, 16, False)], request.data
        for length in split or ([request.size] if request.size else []):
            chain.append(Buffer(at, length, not sends))
            at += length
        return chain + [Buffer(request.status, 1, True)]

    def finish(self, request, timeout=PATIENCE_S):
        """Waits; returns (status, the data area's bytes). The request's memory is used again afterwards."""
        self.queue.wait(request.chain, timeout)
        return self.collect(request)

    def collect(self, request):
        """Of a request whose completion was taken: (status, the data area's bytes)."""
        status = self.memory.read(request.status, 1)[0]
        data = self.memory.read(request.data, request.size)
        self._spare[request.size].append(request.header)
        return status, data
