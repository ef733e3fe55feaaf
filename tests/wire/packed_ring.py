# SPDX-License-Identifier: GPL-2.0-or-later
"""A packed virtqueue, driver's side (virtio 1.2, 2.8)."""
import collections
import struct

from virtio import AVAIL, INDIRECT, NEXT, USED, WRITE, fence

EVENT_ENABLE, EVENT_DISABLE, EVENT_DESC = 0, 1, 2


class PackedRing:
    """Descriptor ring of `size` entries and the two event suppression structures, in guest memory.

    A chain's first descriptor becomes available last, by one 16-bit store of its flags.
    """
    packed = True

    def __init__(self, memory, size, event_idx=False, indirect=False, in_order=False, at=None):
        self.memory, self.size = memory, size
        self.event_idx, self.indirect, self.in_order = event_idx, indirect, in_order
        self.descriptors, self.driver_event, self.device_event = at or (
            memory.allocate(16 * size, 16), memory.allocate(4, 64), memory.allocate(4, 64))
        self.clear()

    def clear(self):
        """As after a reset."""
        self.memory.fill(self.descriptors, 16 * self.size)
        self.memory.fill(self.driver_event, 4)
        self.memory.fill(self.device_event, 4)
        self.free_ids = collections.deque(range(self.size))
        self.free_count = self.size
        self.chains = {}        # id -> descriptors it takes in the ring
        self.order = []         # ids in order of submission: what IN_ORDER completes
        self.tables = {}
        self.next_available, self.available_wrap = 0, 1
        self.next_used, self.used_wrap = 0, 1
        self.pending = []       # (index, flags) of chain heads not yet published
        self.published = (0, 1)

    # ---- low level ----

    def put(self, index, address, length, id, flags):
        """Writes descriptor `index`; `flags` as they are, with AVAIL and USED. Flags are stored last."""
        at = self.descriptors + 16 * index
        self.memory.write(at, struct.pack("<QIH", address & (1 << 64) - 1, length, id))
        self.memory.put16(at + 14, flags)

    @staticmethod
    def entry(address, length, flags=0, id=0):
        return struct.pack("<QIHH", address & (1 << 64) - 1, length, id, flags)

    def flags_available(self, wrap=None):
        """AVAIL and USED as the driver sets them in the current (or given) round."""
        wrap = self.available_wrap if wrap is None else wrap
        return AVAIL if wrap else USED

    def advance(self, count=1):
        """Moves the driver's position as if `count` descriptors had been made available."""
        self.next_available += count
        if self.next_available >= self.size:
            self.next_available -= self.size
            self.available_wrap ^= 1

    # ---- high level ----

    def add(self, buffers, indirect=None):
        """A chain of Buffers; returns its id. Not yet published."""
        indirect = self.indirect and len(buffers) > 1 if indirect is None else indirect
        count = 1 if indirect else len(buffers)
        if self.free_count < count or not self.free_ids:
            raise BufferError("ring is full")
        id = self.free_ids.popleft()
        if indirect:
            table = self.table(id, len(buffers))
            for i, buffer in enumerate(buffers):
                self.memory.write(table + 16 * i, self.entry(buffer.address, buffer.length,
                                                             WRITE if buffer.writable else 0))
            self._place(table, 16 * len(buffers), id, INDIRECT, first=True)
        else:
            for i, buffer in enumerate(buffers):
                more = i + 1 < len(buffers)
                self._place(buffer.address, buffer.length, id,
                            (NEXT if more else 0) | (WRITE if buffer.writable else 0), first=i == 0)
        self.free_count -= count
        self.chains[id] = count
        self.order.append(id)
        return id

    def _place(self, address, length, id, flags, first):
        flags |= self.flags_available()
        if first:
            # the flags of the ring's last round stay until publish(): not yet available
            at = self.descriptors + 16 * self.next_available
            self.memory.write(at, struct.pack("<QIH", address, length, id))
            self.pending.append((self.next_available, flags))
        else:
            self.put(self.next_available, address, length, id, flags)
        self.advance()

    def table(self, slot, entries):
        """Room for an indirect table that belongs to id `slot`."""
        have, address = self.tables.get(slot, (0, 0))
        if have < entries:
            address = self.memory.allocate(16 * entries, 16)
            self.tables[slot] = entries, address
        return address

    def publish(self):
        """Shows the device what was added; returns whether it wants a kick."""
        for index, flags in self.pending:
            self.memory.put16(self.descriptors + 16 * index + 14, flags)
        self.pending = []
        old, self.published = self.published, (self.next_available, self.available_wrap)
        fence()
        value = self.memory.get32(self.device_event)
        offset_wrap, mode = value & 0xFFFF, value >> 16 & 3
        if mode != EVENT_DESC:
            return mode != EVENT_DISABLE
        # distances are counted on a line of two rounds, so that the wrap needs no special case
        event = self._line(offset_wrap & 0x7FFF, offset_wrap >> 15)
        start, end = self._line(*old), self._line(*self.published)
        return (event - start) % (2 * self.size) < (end - start) % (2 * self.size)

    def _line(self, offset, wrap):
        return offset + (0 if wrap else self.size)

    def take(self):
        """All completions: [(id, bytes written)]."""
        result = []
        while True:
            at = self.descriptors + 16 * self.next_used
            flags = self.memory.get16(at + 14)
            if bool(flags & AVAIL) != bool(self.used_wrap) or bool(flags & USED) != bool(self.used_wrap):
                return result
            id = self.memory.get16(at + 12)
            assert id in self.chains, f"device completed id {id}, which is not in flight"
            # IN_ORDER: one used descriptor may stand for all chains up to it
            finished = self.order[:self.order.index(id) + 1] if self.in_order else [id]
            for done in finished:
                self.order.remove(done)
                count = self.chains.pop(done)
                self.free_ids.append(done)
                self.free_count += count
                self.next_used += count
                if self.next_used >= self.size:
                    self.next_used -= self.size
                    self.used_wrap ^= 1
                result.append((done, self.memory.get32(at + 8) if done == id else None))

    def enable_calls(self, enable=True):
        """Asks for an interrupt at the next completion, or for none. Returns True."""
        if not enable:
            self.memory.put32(self.driver_event, EVENT_DISABLE << 16)
        elif self.event_idx:
            self.memory.put32(self.driver_event, self.next_used | self.used_wrap << 15 | EVENT_DESC << 16)
        else:
            self.memory.put32(self.driver_event, EVENT_ENABLE << 16)
        fence()
        return True

    # ---- vhost-user ----

    def base(self):
        """For SET_VRING_BASE at a start or after a lost connection: available = used = what was completed."""
        position = self.next_used | self.used_wrap << 15
        return position | position << 16

    def addresses(self):
        """Guest addresses in SET_VRING_ADDR's order: descriptors, used (device event), available (driver event)."""
        return self.descriptors, self.device_event, self.driver_event
