# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtio-net driver (virtio 1.2, 5.1) on the queues of a FrontEnd: transmits frames, posts buffers, receives."""
import struct

from frontend import FrontEnd, Setup
from virtio import Buffer

RECEIVE, TRANSMIT = 0, 1
F_CSUM, F_GUEST_CSUM, F_MTU, F_MAC = 0, 1, 3, 5
F_GUEST_TSO4, F_GUEST_TSO6, F_GUEST_ECN = 7, 8, 9
F_HOST_TSO4, F_HOST_TSO6, F_HOST_ECN = 11, 12, 13
F_MRG_RXBUF, F_STATUS, F_CTRL_VQ, F_MQ = 15, 16, 17, 22
OFFLOADS = sum(1 << bit for bit in (F_CSUM, F_GUEST_CSUM, F_GUEST_TSO4, F_GUEST_TSO6, F_HOST_TSO4, F_HOST_TSO6))
HEADER = struct.Struct("<BBHHHHH")      # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers
NEEDS_CSUM, DATA_VALID = 1, 2
NO_OFFLOAD = HEADER.pack(0, 0, 0, 0, 0, 0, 0)
BROADCAST = bytes([255] * 6)


def mac(text):
    return bytes(int(part, 16) for part in text.split(":"))


def frame(destination, source, payload, kind=0x88b5):
    """An Ethernet frame of an experimental type, at least 60 bytes."""
    return (destination + source + struct.pack(">H", kind) + payload).ljust(60, b"\0")


class Card:
    """One guest's network card. `address` is what its frames come from."""

    def __init__(self, path, address, offloads=0, mergeable=True, front=None, **setup):
        """front: a device that is attached otherwise."""
        features = offloads | int(mergeable) << F_MRG_RXBUF
        self.front = front or FrontEnd.start(path, Setup(queues=2, features=features, asks=0, **setup))
        self.address, self.memory = address, self.front.memory
        self.mergeable = mergeable
        self.posted = {}
        self.headers = []               # of what was received
        self.free = []                  # transmit buffers

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.front.close()

    def post(self, count, size=1536, kick=False):
        """Posts receive buffers. The device is told of them only with `kick`."""
        queue = self.front.queues[RECEIVE]
        for _ in range(count):
            address = self.memory.allocate(size, 16)
            self.posted[queue.ring.add([Buffer(address, size, True)])] = address, size
        if queue.ring.publish() and kick:
            queue.kick()

    def transmit_chain(self, *buffers):
        queue = self.front.queues[TRANSMIT]
        assert queue.wait(queue.submit(list(buffers))) == 0

    def transmit(self, data, header=NO_OFFLOAD):
        """One frame in one chain of header and data; returns when the device is done with it."""
        whole = header + data
        if not self.free or self.free[-1][1] < len(whole):
            self.free.append((self.memory.allocate(max(len(whole), 2048), 16), max(len(whole), 2048)))
        address, _ = self.free[-1]
        self.memory.write(address, whole)
        self.transmit_chain(Buffer(address, len(header), False), Buffer(address + len(header), len(data), False))

    def send(self, to, payload, **more):
        data = frame(to.address if isinstance(to, Card) else to, self.address, payload)
        self.transmit(data, **more)
        return data

    def take_chain(self):
        """The next buffer that holds something, posted again."""
        queue = self.front.queues[RECEIVE]
        assert queue.wait_for(lambda: queue.done), "no frame came"
        chain = min(queue.done, key=list(queue.done).index)
        written = queue.done.pop(chain)
        address, size = self.posted.pop(chain)
        data = bytes(self.memory.read(address, written))
        self.posted[queue.ring.add([Buffer(address, size, True)])] = address, size
        if queue.ring.publish():
            queue.kick()
        return data

    def receive(self):
        """The next frame; its header is the last of self.headers."""
        data = self.take_chain()
        header = HEADER.unpack_from(data)
        for _ in range(header[-1] - 1 if self.mergeable else 0):
            data += self.take_chain()
        self.headers.append(header)
        return data[HEADER.size:]

    def is_empty(self):
        """Nothing was received that receive() has not returned."""
        queue = self.front.queues[RECEIVE]
        queue.poll()
        return not queue.done
