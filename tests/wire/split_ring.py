# SPDX-License-Identifier: GPL-2.0-or-later
"""A split virtqueue, driver's side (virtio 1.2, 2.7)."""
import collections
import struct

from virtio import INDIRECT, NEXT, WRITE, fence

NO_INTERRUPT = 1
NO_NOTIFY = 1


class SplitRing:
    """Descriptor table, available ring and used ring of `size` entries, in guest memory.

    at: guest addresses of the three parts, when they are not to be allocated.
    """
    packed = False

    def __init__(self, memory, size, event_idx=False, indirect=False, in_order=False, at=None):
        self.memory, self.size = memory, size
        self.event_idx, self.indirect, self.in_order = event_idx, indirect, in_order
        self.descriptors, self.available, self.used = at or (
            memory.allocate(16 * size, 16), memory.allocate(6 + 2 * size, 64), memory.allocate(6 + 8 * size, 64))
        self.clear()

    def clear(self):
        """As after a reset: all zero, all descriptors free."""
        self.memory.fill(self.descriptors, 16 * self.size)
        self.memory.fill(self.available, 6 + 2 * self.size)
        self.memory.fill(self.used, 6 + 8 * self.size)
        self.free = collections.deque(range(self.size))     # first in, first out: what IN_ORDER demands
        self.chains = {}        # head -> its descriptors
        self.order = []         # heads in order of submission
        self.tables = {}
        self.next_available = self.published = self.next_used = 0

    # ---- low level ----

    def put(self, index, address, length, flags=0, next=0):
        """Writes descriptor `index` of the table."""
        self.memory.write(self.descriptors + 16 * index, self.entry(address, length, flags, next))

    @staticmethod
    def entry(address, length, flags=0, next=0):
        return struct.pack("<QIHH", address & (1 << 64) - 1, length, flags, next)

    def put_available(self, position, head):
        self.memory.put16(self.available + 4 + 2 * (position % self.size), head)

    def put_available_idx(self, idx):
        self.memory.put16(self.available + 2, idx)

    def offer(self, head):
        """Makes `head` available, whatever it is, and publishes."""
        self.put_available(self.next_available, head)
        self.next_available = self.next_available + 1 & 0xFFFF
        self.put_available_idx(self.next_available)
        self.published = self.next_available

    def used_idx(self):
        return self.memory.get16(self.used + 2)

    def set_used_event(self, value):
        self.memory.put16(self.available + 4 + 2 * self.size, value)

    def available_event(self):
        return self.memory.get16(self.used + 4 + 8 * self.size)

    # ---- high level ----

    def add(self, buffers, indirect=None):
        """A chain of Buffers; returns its id (the head). Not yet published."""
        indirect = self.indirect and len(buffers) > 1 if indirect is None else indirect
        if len(self.free) < (1 if indirect else len(buffers)):
            raise BufferError("ring is full")
        if indirect:
            slots = [self.free.popleft()]
            self._add_indirect(slots[0], buffers)
        else:
            slots = [self.free.popleft() for _ in buffers]
            for i, (slot, buffer) in enumerate(zip(slots, buffers)):
                more = i + 1 < len(slots)
                self.put(slot, buffer.address, buffer.length,
                         (NEXT if more else 0) | (WRITE if buffer.writable else 0), slots[i + 1] if more else 0)
        self.chains[slots[0]] = slots
        self.order.append(slots[0])
        self.put_available(self.next_available, slots[0])
        self.next_available = self.next_available + 1 & 0xFFFF
        return slots[0]

    def _add_indirect(self, slot, buffers):
        table = self.table(slot, len(buffers))
        for i, buffer in enumerate(buffers):
            more = i + 1 < len(buffers)
            self.memory.write(table + 16 * i, self.entry(
                buffer.address, buffer.length, (NEXT if more else 0) | (WRITE if buffer.writable else 0),
                i + 1 if more else 0))
        self.put(slot, table, 16 * len(buffers), INDIRECT)

    def table(self, slot, entries):
        """Room for an indirect table that belongs to `slot`."""
        have, address = self.tables.get(slot, (0, 0))
        if have < entries:
            address = self.memory.allocate(16 * entries, 16)
            self.tables[slot] = entries, address
        return address

    def publish(self):
        """Shows the device what was added; returns whether it wants a kick."""
        old, new = self.published, self.next_available
        self.put_available_idx(new)
        self.published = new
        fence()
        if self.event_idx:
            return (new - self.available_event() - 1) & 0xFFFF < (new - old) & 0xFFFF
        return not self.memory.get16(self.used) & NO_NOTIFY

    def take(self):
        """All completions: [(id, bytes written)]."""
        result = []
        while self.next_used != self.used_idx():
            entry = self.used + 4 + 8 * (self.next_used % self.size)
            head, written = self.memory.get32(entry), self.memory.get32(entry + 4)
            assert head in self.chains, f"device completed {head}, which is not in flight"
            # IN_ORDER: one used entry may stand for all chains up to it
            finished = self.order[:self.order.index(head) + 1] if self.in_order else [head]
            for done in finished:
                self.order.remove(done)
                self.free += self.chains.pop(done)
                result.append((done, written if done == head else None))
            self.next_used = self.next_used + len(finished) & 0xFFFF
        return result

    def enable_calls(self, enable=True):
        """Asks for an interrupt at the next completion, or for none. Returns True."""
        if self.event_idx:
            self.set_used_event(self.next_used if enable else self.next_used - 1)
        else:
            self.memory.put16(self.available, 0 if enable else NO_INTERRUPT)
        fence()
        return True

    # ---- vhost-user ----

    def base(self):
        """For SET_VRING_BASE at a start or after a lost connection: what the device has completed."""
        return self.next_used

    def addresses(self):
        """Guest addresses: descriptors, used, available."""
        return self.descriptors, self.used, self.available
