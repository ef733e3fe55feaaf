# SPDX-License-Identifier: GPL-2.0-or-later
"""Work that a peer makes for the daemon by starting and stopping rings, and by messages that ask for nothing."""
import mmap
import os
import struct

import blk
import virtio
from hostile import write_table
from vhost_user import VERSION, Connection, Request

DESCRIPTORS = 250               # of a chain: about as many as there may be


def stop_and_start(front):
    """All rings, which do nothing else."""
    for queue in front.queues:
        front.start_queue(queue.index, base=front.stop_queue(queue.index))


class Claims:
    """Records that claim every head of every ring to be in flight, each of them a long chain. Owns the record.

    `front` has connected, and no rings yet. `kind`: of the request in each chain.
    """

    def __init__(self, front, kind=blk.GET_ID):
        self.front, self.kind = front, kind
        self.queues, self.size = front.setup.queues, front.setup.size
        self.fd, self.bytes, self.offset = front.connection.get_inflight_fd(self.queues, self.size)
        self.view = mmap.mmap(self.fd, self.bytes)
        for index in range(self.queues):
            front.queues.append(virtio.Queue(front.make_ring(), index))
        self._prepare()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.view.close()
        os.close(self.fd)

    def _prepare(self):
        """A table that all heads share: a request with many descriptors."""
        memory = self.front.memory
        header, data, table = memory.allocate(32), memory.allocate(4096, 4096), memory.allocate(16 * 260, 64)
        memory.write(header, struct.pack("<IIQ", self.kind, 0, 0))
        entries = [(header, 16, virtio.NEXT), *[(data, 4096, virtio.NEXT | virtio.WRITE)] * DESCRIPTORS,
                   (header + 16, 1, virtio.WRITE)]
        write_table(self.front.queues[0].ring, table, entries)
        for queue in self.front.queues:
            for head in range(self.size):
                queue.ring.put(head, table, 16 * len(entries), virtio.INDIRECT)
        self.claimed = b"".join(struct.pack("<B5xHQ", 1, 0, head) for head in range(self.size))

    def claim(self):
        """As a predecessor leaves it that used none of them."""
        for queue in self.front.queues:
            at = self.offset + queue.index * (self.bytes // self.queues)
            struct.pack_into("<QHHHH", self.view, at, 0, 1, self.size, 0, 0)
            self.view[at + 16:at + 16 + len(self.claimed)] = self.claimed
            self.front.memory.put16(queue.ring.used + 2, 0)

    def resubmit(self):
        """All of it again: a front end that starts its rings (never enabled), is gone, and connects once more."""
        front, connection = self.front, self.front.connection
        connection.set_inflight_fd(self.fd, self.bytes, self.offset, self.queues, self.size)
        front.tell_memory()
        for queue in front.queues:
            connection.set_vring_num(queue.index, self.size)
            connection.set_vring_base(queue.index, 0)
            connection.set_vring_addr(queue.index, *(front.memory.user(at) for at in queue.ring.addresses()))
            connection.set_vring_kick(queue.index, queue.kick_fd)
        front.disconnect()
        front.handshake(Connection.open(front.path))


QUESTIONS = 64


def ask_often(connection):
    """Messages without a pause between them."""
    connection.send_bytes(struct.pack("<3I", Request.GET_FEATURES, VERSION, 0) * QUESTIONS)
    for _ in range(QUESTIONS):
        connection.reply(Request.GET_FEATURES)
