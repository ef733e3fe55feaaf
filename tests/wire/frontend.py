# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole front end: connection, memory and queues, brought up in the orders of the VMMs and libraries we know.

    with FrontEnd.start(path, Setup(packed=True, queues=2)) as front:
        front.disk().write(0, b"...")

FrontEnd.connect() stops after the handshake, for tests that go on by hand.
"""
import contextlib
import dataclasses
import os
import struct
import time

import virtio
from blk import Disk
from guest_memory import GuestMemory
from packed_ring import PackedRing
from patience import LOOK_AGAIN_S, PATIENCE_S
from split_ring import SplitRing
from vhost_user import PROTOCOL_WANTED, BackendChannel, Closed, Connection, Protocol


# Device features that every start asks for when they are offered: flush, discard, write zeroes, config wce, queues.
BLOCK_FEATURES = 1 << 9 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a front end wants. Features that the back end does not offer are an error: tests ask on purpose."""
    packed: bool = False
    indirect: bool = True
    event_idx: bool = True
    in_order: bool = False
    queues: int = 1
    size: int = 128
    style: str = "qemu"                 # qemu | libblkio | spdk: order of messages, and how memory is told
    inflight: bool = False
    features: int = 0                   # device features wanted besides the ring's
    asks: int = BLOCK_FEATURES          # wanted if they are offered
    protocol: int = int(PROTOCOL_WANTED)
    memory_bytes: int = 4 << 20

    def ring_features(self):
        wanted = 1 << virtio.F_VERSION_1
        for on, number in ((self.packed, virtio.F_PACKED), (self.indirect, virtio.F_INDIRECT),
                           (self.event_idx, virtio.F_EVENT_IDX), (self.in_order, virtio.F_IN_ORDER)):
            wanted |= int(on) << number
        return wanted


class FrontEnd:
    """One guest's device. Owns everything it made; close() (or leaving a with block) frees it."""

    def __init__(self, path, setup=Setup(), memory=None):
        self.path, self.setup = path, setup
        self.memory = memory or GuestMemory.simple(setup.memory_bytes)
        self.connection = None
        self.backend = None
        self.queues = []
        self.disks = {}                 # by queue, so that each uses its request memory again
        self.features = self.protocol = 0
        self.inflight = None            # (fd, size, offset)

    @classmethod
    def connect(cls, path, setup=Setup(), memory=None, sock=None):
        """Connected and negotiated; no memory told, no queue started."""
        front = cls(path, setup, memory)
        try:
            front.handshake(Connection.open(path) if sock is None else Connection(sock))
        except BaseException:
            front.close()
            raise
        return front

    @classmethod
    def start(cls, path, setup=Setup(), memory=None, sock=None):
        """Ready for requests."""
        front = cls.connect(path, setup, memory, sock)
        try:
            front.run()
        except BaseException:
            front.close()
            raise
        return front

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self.disconnect()
        for queue in self.queues:
            queue.close()
        self.queues = []
        if self.inflight:
            with contextlib.suppress(OSError):
                os.close(self.inflight[0])
            self.inflight = None
        self.memory.close()

    def disconnect(self):
        if self.connection:
            self.connection.close()
            self.connection = None
        if self.backend:
            self.backend.close()
            self.backend = None

    # ---- bringing up ----

    def handshake(self, connection):
        """Up to SET_FEATURES, in the order of the style."""
        self.connection = c = connection
        c.reply_ack = False
        if self.setup.style != "qemu":
            c.set_owner()
        offered = c.get_features()
        if virtio.bit(offered, virtio.F_PROTOCOL):
            self.protocol = c.get_protocol_features() & self.setup.protocol
            c.set_protocol_features(self.protocol)
        if self.protocol & Protocol.MQ:
            assert c.get_queue_num() >= self.setup.queues
        if self.protocol & Protocol.BACKEND_REQ and self.setup.style == "qemu":
            self.backend = BackendChannel()
            c.set_backend_req_fd(self.backend.theirs.fileno())
        if self.setup.style == "qemu":
            if self.protocol & Protocol.CONFIGURE_MEM_SLOTS:
                c.get_max_mem_slots()
            c.set_owner()
        wanted = self.setup.ring_features() | self.setup.features
        assert wanted & ~offered == 0, f"back end offers {offered:#x}, test wants {wanted:#x}"
        self.features = wanted | offered & (self.setup.asks | 1 << virtio.F_PROTOCOL)
        if self.setup.style == "spdk":
            assert c.get_config(0, 256) is not None
        if self.protocol & Protocol.STATUS:
            c.set_status(0)
            c.set_status(virtio.STATUS_ACKNOWLEDGE | virtio.STATUS_DRIVER)
        assert not c.set_features(self.features)
        if self.protocol & Protocol.STATUS:
            c.set_status(c.get_status() | virtio.STATUS_FEATURES_OK)
            assert c.get_status() & virtio.STATUS_FEATURES_OK

    def run(self):
        """Memory, rings, DRIVER_OK."""
        if self.setup.inflight:
            self.fetch_inflight()
        self.tell_memory()
        for index in range(self.setup.queues):
            self.queues.append(virtio.Queue(self.make_ring(), index))
            self.start_queue(index)
        self.driver_ok()

    def driver_ok(self):
        if self.protocol & Protocol.STATUS:
            self.connection.set_status(self.connection.get_status() | virtio.STATUS_DRIVER_OK)

    def fetch_inflight(self):
        """A record of requests in flight from the back end, given back at once, as QEMU does."""
        fd, size, offset = self.connection.get_inflight_fd(self.setup.queues, self.setup.size)
        assert fd is not None, "no INFLIGHT buffer"
        self.inflight = fd, size, offset
        self.give_inflight()

    def give_inflight(self):
        assert not self.connection.set_inflight_fd(*self.inflight, self.setup.queues, self.setup.size)

    def tell_memory(self):
        if self.setup.style == "libblkio" or len(self.memory.regions) > 8:
            for region in self.memory.regions:
                assert not self.connection.add_mem_reg(region)
        else:
            assert not self.connection.set_mem_table(self.memory.regions)

    def make_ring(self, size=None, **more):
        kind = PackedRing if self.setup.packed else SplitRing
        return kind(self.memory, size or self.setup.size, event_idx=self.setup.event_idx,
                    indirect=self.setup.indirect, in_order=self.setup.in_order, **more)

    def tell_ring(self, index, base=None):
        """Everything about a ring but its descriptors of events."""
        ring, c = self.queues[index].ring, self.connection
        assert not c.set_vring_num(index, ring.size)
        assert not c.set_vring_base(index, ring.base() if base is None else base)
        assert not c.set_vring_addr(index, *(self.memory.user(a) for a in ring.addresses()))

    def start_queue(self, index, base=None, enable=True):
        queue, c = self.queues[index], self.connection
        self.tell_ring(index, base)
        if self.setup.style == "spdk":
            assert not c.set_vring_call(index, queue.call_fd)
        assert not c.set_vring_err(index, queue.err_fd)
        assert not c.set_vring_kick(index, queue.kick_fd)
        if self.setup.style != "spdk":
            assert not c.set_vring_call(index, queue.call_fd)
        if enable:
            assert not c.set_vring_enable(index)

    def stop_queue(self, index):
        """Returns the position to start again from."""
        return self.connection.get_vring_base(index)

    # ---- afterwards ----

    def disk(self, index=0):
        if index not in self.disks:
            self.disks[index] = Disk(self.queues[index], self.memory)
        return self.disks[index]

    def needs_reset(self, timeout=PATIENCE_S):
        """Waits for the device to say NEEDS_RESET; False when it does not."""
        deadline = time.monotonic() + timeout
        while not self.connection.get_status() & virtio.STATUS_NEEDS_RESET:
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_AGAIN_S)
        return True

    def reset(self, how="status"):
        """Resets the device as a driver does, and starts it again with empty rings.

        how: status (SET_STATUS 0), reset_device (RESET_DEVICE), stop (GET_VRING_BASE) or reconnect.
        """
        if how == "reconnect":
            self.disconnect()
            self.handshake(Connection.open(self.path))
        elif how == "stop":
            for queue in self.queues:
                self.stop_queue(queue.index)
            if self.protocol & Protocol.STATUS:
                self.connection.set_status(0)
        else:
            assert not (self.connection.set_status(0) if how == "status" else self.connection.reset_device())
        if how != "reconnect":
            self.renegotiate()
        # a reset ends the rings, not the memory: regions that were added one by one are still there
        if how == "reconnect" or self.setup.style != "libblkio":
            self.tell_memory()
        for queue in self.queues:
            queue.ring.clear()
            queue.done.clear()
            for fd in (queue.kick_fd, queue.call_fd, queue.err_fd):
                virtio.drain(fd)
            self.start_queue(queue.index)
        self.driver_ok()

    def renegotiate(self):
        if self.protocol & Protocol.STATUS:
            self.connection.set_status(virtio.STATUS_ACKNOWLEDGE | virtio.STATUS_DRIVER)
        assert not self.connection.set_features(self.features)
        if self.protocol & Protocol.STATUS:
            self.connection.set_status(self.connection.get_status() | virtio.STATUS_FEATURES_OK)

    def reconnect(self, wait=PATIENCE_S):
        """The connection was lost with requests in flight: connects again, gives back memory, INFLIGHT and rings.

        The back end may die again on the way: it is tried until `wait` seconds have passed.
        """
        deadline = time.monotonic() + wait
        while True:
            self.disconnect()
            try:
                self.handshake(Connection.open(self.path, wait=max(0.1, deadline - time.monotonic())))
                if self.inflight:
                    self.give_inflight()
                self.tell_memory()
                for queue in self.queues:
                    queue.poll()
                    self.start_queue(queue.index)
                self.driver_ok()
                return
            except (Closed, OSError, struct.error):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
