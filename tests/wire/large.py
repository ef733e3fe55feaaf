# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests as large as they may be: they name the same few megabytes again and again."""
import blk
import virtio

MIB = 1 << 20
PIECE_MIB = 4


class LargeRequests:
    """Of a front end with 16 MiB of memory and rings of 1024."""

    def __init__(self, front, piece_mib=PIECE_MIB):
        self.front, self.piece_mib = front, piece_mib
        self.at = front.memory.allocate(piece_mib * MIB, 4096)

    def submit(self, kind, mebibytes, sector=0, index=0):
        """A request on queue `index`, to be finished."""
        request = self.front.disk(index).prepare(kind, sector, b"")
        data = [virtio.Buffer(self.at, self.piece_mib * MIB, kind == blk.IN)] * (mebibytes // self.piece_mib)
        request.chain = self.front.queues[index].submit([virtio.Buffer(request.header, 16, False), *data,
                                                         virtio.Buffer(request.status, 1, True)], indirect=True)
        return request

    def finish(self, request, index=0):
        """Its status."""
        self.front.queues[index].wait(request.chain)
        return self.front.disk(index).collect(request)[0]

    def do(self, kind, mebibytes, sector=0):
        return self.finish(self.submit(kind, mebibytes, sector))
