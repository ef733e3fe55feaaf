# SPDX-License-Identifier: GPL-2.0-or-later
"""A driver of virtio-pci devices over vfio-user (virtio 1.2, 4.1): capabilities, registers, queues.

    with Function.start(path, queues=2) as function:
        function.disk().write(0, b"...")

Function.connect() stops after the capabilities are read, for tests that go on by hand. Notifications are posted, as QEMU posts
them.
"""
import os
import struct

import virtio
from blk import Disk
from guest_memory import GuestMemory
from packed_ring import PackedRing
from patience import wait_until
from split_ring import SplitRing
from vfio_user import BAR0, CONFIG, INTX, IRQ_NONE, IRQ_UNMASK, MSIX, Connection

# The configuration space of PCI.
COMMAND, STATUS, BAR, CAPABILITIES = 0x04, 0x06, 0x10, 0x34
COMMAND_MEMORY, COMMAND_MASTER = 1 << 1, 1 << 2
VENDOR_SPECIFIC = 9
# Kinds of capabilities.
COMMON, NOTIFY, ISR, DEVICE, WINDOW = 1, 2, 3, 4, 5
# Registers of the common configuration: offset, bytes.
DEVICE_FEATURE_SELECT, DEVICE_FEATURE, DRIVER_FEATURE_SELECT, DRIVER_FEATURE = (0, 4), (4, 4), (8, 4), (12, 4)
CONFIG_VECTOR, QUEUE_COUNT, DEVICE_STATUS, GENERATION = (16, 2), (18, 2), (20, 1), (21, 1)
QUEUE_SELECT, QUEUE_SIZE, QUEUE_VECTOR, QUEUE_ENABLE, QUEUE_NOTIFY = (22, 2), (24, 2), (26, 2), (28, 2), (30, 2)
QUEUE_DESCRIPTORS, QUEUE_DRIVER, QUEUE_DEVICE = (32, 8), (40, 8), (48, 8)
COMMON_BYTES = 56
NO_VECTOR = 0xFFFF
ISR_QUEUE, ISR_CONFIG = 1, 2
WANTED = 1 << virtio.F_VERSION_1 | 1 << virtio.F_INDIRECT | 1 << virtio.F_EVENT_IDX


class Queue(virtio.Queue):
    """Its kicks are stores to a register, its calls interrupts."""

    def __init__(self, function, ring, index):
        super().__init__(ring, index)
        self.function = function

    def kick(self):
        self.kicks += 1
        self.function.notify(self.index)


class Function:
    """One guest's device. Owns what it made; close() (or leaving a with block) frees it."""

    def __init__(self, path, memory=None, memory_bytes=8 << 20):
        self.path = path
        self.memory = memory or GuestMemory.simple(memory_bytes)
        self.connection = None
        self.queues, self.disks = [], {}
        self.config_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.features = 0

    @classmethod
    def connect(cls, path, **more):
        function = cls(path, **more)
        try:
            function.open()
        except BaseException:
            function.close()
            raise
        return function

    @classmethod
    def start(cls, path, queues=1, packed=False, size=64, features=0, interrupts="msix", **more):
        """Ready for requests."""
        function = cls.connect(path, **more)
        try:
            function.map_memory()
            function.set_command()
            function.run(queues, packed, size, features, interrupts)
        except BaseException:
            function.close()
            raise
        return function

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self.disconnect()
        for queue in self.queues:
            queue.close()
        self.queues = []
        os.close(self.config_fd)
        self.memory.close()

    def disconnect(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    # ---- finding it ----

    def open(self):
        self.connection = Connection.open(self.path)
        self.connection.version()
        self.config = self.connection.region_read(CONFIG, 0, 256)
        self.vendor, self.device = struct.unpack_from("<2H", self.config)
        self.places, self.notify_step = {}, 0
        at = self.config[CAPABILITIES]
        while at:
            if self.config[at] == VENDOR_SPECIFIC:
                kind, bar, offset, length = struct.unpack_from("<2B3x2I", self.config, at + 3)
                self.places[kind] = (at, bar, offset, length)
                if kind == NOTIFY:
                    self.notify_step = struct.unpack_from("<I", self.config, at + 16)[0]
            at = self.config[at + 1]

    def map_memory(self):
        for region in self.memory.regions:
            self.connection.map_region(region)

    def set_command(self, value=COMMAND_MEMORY | COMMAND_MASTER):
        self.connection.region_write(CONFIG, COMMAND, struct.pack("<H", value))

    # ---- registers ----

    def get(self, register):
        return int.from_bytes(self.connection.region_read(BAR0, self.places[COMMON][2] + register[0], register[1]), "little")

    def put(self, register, value):
        self.connection.region_write(BAR0, self.places[COMMON][2] + register[0], value.to_bytes(register[1], "little"))

    def get_config(self, offset, count):
        return self.connection.region_read(BAR0, self.places[DEVICE][2] + offset, count)

    def set_config(self, offset, data):
        self.connection.region_write(BAR0, self.places[DEVICE][2] + offset, data)

    def get_isr(self):
        return self.connection.region_read(BAR0, self.places[ISR][2], 1)[0]

    def notify(self, index):
        self.connection.post_write(BAR0, self.places[NOTIFY][2] + self.notify_step * index, struct.pack("<H", index))

    def add_status(self, bits):
        self.put(DEVICE_STATUS, self.get(DEVICE_STATUS) | bits)

    def offered(self):
        low, high = (self._feature_part(number) for number in (0, 1))
        return low | high << 32

    def _feature_part(self, number):
        self.put(DEVICE_FEATURE_SELECT, number)
        return self.get(DEVICE_FEATURE)

    def set_features(self, features):
        for number in (0, 1):
            self.put(DRIVER_FEATURE_SELECT, number)
            self.put(DRIVER_FEATURE, features >> 32 * number & 0xFFFF_FFFF)

    # ---- bringing up ----

    def reset(self):
        """As Linux does it: until the status reads as 0."""
        self.put(DEVICE_STATUS, 0)
        wait_until(lambda: self.get(DEVICE_STATUS) == 0, "the end of the reset")

    def negotiate(self, features=0, packed=False):
        self.reset()
        self.add_status(virtio.STATUS_ACKNOWLEDGE)
        self.add_status(virtio.STATUS_DRIVER)
        wanted, offered = WANTED | features | int(packed) << virtio.F_PACKED, self.offered()
        assert wanted & ~offered == 0, f"the device offers {offered:#x}, the test wants {wanted:#x}"
        self.features = wanted
        self.set_features(wanted)
        self.add_status(virtio.STATUS_FEATURES_OK)
        assert self.get(DEVICE_STATUS) & virtio.STATUS_FEATURES_OK

    def run(self, queues=1, packed=False, size=64, features=0, interrupts="msix"):
        self.negotiate(features, packed)
        self.packed = packed
        kind = PackedRing if packed else SplitRing
        for index in range(queues):
            if index < len(self.queues):
                self.queues[index].ring.clear()
            else:
                ring = kind(self.memory, size, event_idx=True, indirect=True)
                self.queues.append(Queue(self, ring, index))
        self.set_interrupts(interrupts)
        for queue in self.queues[:queues]:
            self.set_up(queue, queue.index + 1 if interrupts == "msix" else NO_VECTOR)
        self.add_status(virtio.STATUS_DRIVER_OK)

    def set_interrupts(self, interrupts):
        if interrupts == "msix":
            self.connection.set_eventfds(MSIX, 0, [self.config_fd] + [queue.call_fd for queue in self.queues])
            self.put(CONFIG_VECTOR, 0)
        elif interrupts == "pin":
            self.connection.set_eventfds(INTX, 0, [self.queues[0].call_fd])

    def unmask(self):
        """What a VMM does when the driver has looked why the pin is asserted."""
        self.connection.set_irqs(IRQ_NONE | IRQ_UNMASK, INTX, 0, 1)

    def set_up(self, queue, vector, enable=True):
        descriptors, device, driver = queue.ring.addresses()
        self.put(QUEUE_SELECT, queue.index)
        self.put(QUEUE_SIZE, queue.ring.size)
        self.put(QUEUE_VECTOR, vector)
        self.put(QUEUE_DESCRIPTORS, descriptors)
        self.put(QUEUE_DRIVER, driver)
        self.put(QUEUE_DEVICE, device)
        if enable:
            self.put(QUEUE_ENABLE, 1)

    def again(self, queues=1, interrupts="msix"):
        """After a reset, with the same rings."""
        self.run(queues, self.packed, interrupts=interrupts)

    # ---- use ----

    def disk(self, index=0):
        if index not in self.disks:
            self.disks[index] = Disk(self.queues[index], self.memory)
        return self.disks[index]
