# SPDX-License-Identifier: GPL-2.0-or-later
"""A small driver of Intel's 82574L over vfio-user: registers, rings with extended receive descriptors, messages.

    with Card82574.start(path) as card:
        card.transmit(frame(BROADCAST, card.address, b"..."))
"""
import os
import struct

from guest_memory import PAGE, GuestMemory
from patience import PATIENCE_S, wait_until
from vfio_user import CONFIG, MSIX, Connection, heard
from virtio import fence

REGISTERS, PORTS, MSIX_BAR = 0, 2, 3            # BARs
CTRL, STATUS, EERD, CTRL_EXT = 0x0, 0x8, 0x14, 0x18
ICR, ICS, IMS, IMC, EIAC, IVAR = 0xC0, 0xC8, 0xD0, 0xD8, 0xDC, 0xE4
RCTL, TCTL, RXCSUM, RFCTL, RAL = 0x100, 0x400, 0x5000, 0x5008, 0x5400
RX, TX = 0x2800, 0x3800
BAL, BAH, LEN, HEAD, TAIL = 0x0, 0x4, 0x8, 0x10, 0x18     # of a queue
CTRL_RESET, STATUS_LINK = 1 << 26, 1 << 1
RXQ0, TXQ0, OTHER, LSC = 1 << 20, 1 << 22, 1 << 24, 1 << 2
RCTL_USUAL = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 15 | 1 << 26      # on, multicast, long, broadcast, without FCS
EXTENDED, TRANSPORT_SUM = 1 << 15, 1 << 9
EOP, RS, DEXT, DATA, TSE = 1 << 24, 1 << 27, 1 << 29, 1 << 20, 1 << 26
IXSM, TXSM = 1 << 8, 1 << 9
DONE, RX_EOP = 1, 2
VECTOR_RX, VECTOR_TX, VECTOR_OTHER, VECTORS = 0, 1, 2, 5
COMMAND, COMMAND_ALL = 0x04, 0x07               # I/O, memory, bus master

BUFFER = 2048
DESCRIPTOR = struct.Struct("<QII")
WRITTEN = struct.Struct("<IIIHH")               # queue, hash, status, length, tag


class Card82574:
    """One guest's card."""

    def __init__(self, connection, entries=64):
        self.connection, self.entries = connection, entries
        self.memory = GuestMemory.simple(4 << 20)
        self.events = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(VECTORS)]
        self.tx, self.rx = (self.memory.allocate(16 * entries, PAGE) for _ in range(2))
        self.buffers = [self.memory.allocate(BUFFER, BUFFER) for _ in range(entries)]
        self.sent = self.memory.allocate(1 << 17, PAGE)
        self.address = None

    @classmethod
    def start(cls, path, **options):
        card = cls(Connection.open(path), **options)
        card.connection.version()
        for region in card.memory.regions:
            card.connection.map_region(region)
        card.connection.set_eventfds(MSIX, 0, card.events)
        card.connection.region_write(CONFIG, COMMAND, struct.pack("<H", COMMAND_ALL))
        card.set_up()
        return card

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.connection.close()
        self.memory.close()
        for event in self.events:
            os.close(event)

    # ---- registers ----

    def get(self, register):
        return self.connection.read32(REGISTERS, register)

    def set(self, register, value):
        self.connection.write32(REGISTERS, register, value)

    def post32(self, register, value):
        self.connection.post_write(REGISTERS, register, struct.pack("<I", value))

    def nvm(self, word):
        self.set(EERD, word << 2 | 1)
        value = self.get(EERD)
        assert value & 2
        return value >> 16

    def set_up(self):
        """From a reset to frames."""
        self.set(IMC, 0xFFFF_FFFF)
        self.set(CTRL, CTRL_RESET)
        self.get(ICR)
        self.address = struct.pack("<IH", self.get(RAL), self.get(RAL + 4) & 0xFFFF)
        for queue, ring in ((TX, self.tx), (RX, self.rx)):
            self.set(queue + BAL, ring)
            self.set(queue + BAH, 0)
            self.set(queue + LEN, 16 * self.entries)
        self.tail = self.rx_tail = self.rx_next = 0
        self.set(IVAR, 8 | VECTOR_RX | (8 | VECTOR_TX) << 8 | (8 | VECTOR_OTHER) << 16)
        self.set(EIAC, RXQ0 | TXQ0)
        self.set(IMS, RXQ0 | TXQ0 | OTHER | LSC)
        self.set(RFCTL, EXTENDED)
        self.set(RXCSUM, TRANSPORT_SUM)
        self.set(TCTL, 1 << 1 | 1 << 3)
        self.set(RCTL, RCTL_USUAL)
        self.post(self.entries - 1)

    # ---- transmitting ----

    def put(self, first, command, status=0):
        """Puts a transmit descriptor at the tail, and tells nobody. Returns its address."""
        at = self.tx + 16 * self.tail
        self.memory.write(at, DESCRIPTOR.pack(first, command, status))
        self.tail = (self.tail + 1) % self.entries
        return at

    def ring(self):
        fence()
        self.post32(TX + TAIL, self.tail)

    def wait_sent(self, at):
        wait_until(lambda: self.memory.get32(at + 12) & DONE, "a descriptor is done with")

    def transmit(self, data):
        self.memory.write(self.sent, data)
        at = self.put(self.sent, len(data) | EOP | RS)
        self.ring()
        self.wait_sent(at)

    def transmit_tcp(self, data, header, mss):
        """IPv4 and TCP of `header` bytes, with 20 bytes of IP, to be cut."""
        self.memory.write(self.sent, data)
        self.put(24 << 8 | 14 | 33 << 16 | 34 << 32 | 50 << 40, 3 << 24 | DEXT | len(data) - header, header << 8 | mss << 16)
        at = self.put(self.sent, len(data) | EOP | RS | DEXT | DATA | TSE, IXSM | TXSM)
        self.ring()
        self.wait_sent(at)

    # ---- receiving ----

    def post(self, count):
        for _ in range(count):
            self.memory.write(self.rx + 16 * self.rx_tail, struct.pack("<QQ", self.buffers[self.rx_tail], 0))
            self.rx_tail = (self.rx_tail + 1) % self.entries
        fence()
        self.post32(RX + TAIL, self.rx_tail)

    def take(self):
        """The next frame, or None."""
        at = self.rx + 16 * self.rx_next
        if not self.memory.get32(at + 8) & DONE:
            return None
        fence()
        _, _, status, length, _ = WRITTEN.unpack(self.memory.read(at, 16))
        assert status & RX_EOP, "a frame in several buffers"
        data = self.memory.read(self.buffers[self.rx_next], length)
        self.rx_next = (self.rx_next + 1) % self.entries
        self.post(1)
        return data

    def receive(self):
        return wait_until(self.take, "a frame came")

    def heard(self, vector, timeout=PATIENCE_S):
        return heard(self.events[vector], timeout)
