# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's memory, as a VMM would share it: regions of memory files, mapped here and sent to the back end.

Three address spaces meet in vhost-user and a test must be able to confuse the back end with each:
  guest physical   what descriptors carry
  user             the VMM's own addresses: what SET_VRING_ADDR carries (here USER_OFFSET above guest physical,
                   so that a back end that mixes the two is found out)
  file offset      where the region starts in the file that was sent
"""
import mmap
import os
import struct

PAGE = 4096
USER_OFFSET = 0x7F00_0000_0000


def memory_file(size, sealable=True):
    """A memfd of `size` bytes, zeroed."""
    fd = os.memfd_create("guest", os.MFD_CLOEXEC | (os.MFD_ALLOW_SEALING if sealable else 0))
    os.ftruncate(fd, size)
    return fd


class Region:
    """One mapping. Owns `fd` and the mapping; aligned loads and stores of 16, 32 and 64 bits are single accesses."""

    def __init__(self, guest_address, size, fd=None, file_offset=0, user_address=None):
        self.guest_address = guest_address
        self.size = size
        self.fd = memory_file(file_offset + size) if fd is None else fd
        self.file_offset = file_offset
        self.user_address = guest_address + USER_OFFSET if user_address is None else user_address
        self.map = mmap.mmap(self.fd, size, mmap.MAP_SHARED, offset=file_offset)
        self.bytes = memoryview(self.map)
        self.u16 = self.bytes.cast("H")
        self.u32 = self.bytes.cast("I")
        self.u64 = self.bytes.cast("Q")

    def description(self):
        """As the messages carry it: guest address, size, user address, file offset."""
        return struct.pack("<4Q", self.guest_address, self.size, self.user_address, self.file_offset)

    def close(self):
        for view in (self.u64, self.u32, self.u16, self.bytes):
            view.release()
        self.map.close()
        os.close(self.fd)


class GuestMemory:
    """Regions and a bump allocator over them. Every address below is guest physical."""

    def __init__(self, *regions):
        self.regions = list(regions)
        self._free = {}

    @classmethod
    def simple(cls, size=4 << 20, guest_address=0x10_0000):
        return cls(Region(guest_address, size))

    @classmethod
    def adjacent(cls, count=2, size=2 << 20, guest_address=0x10_0000):
        """`count` regions without gaps between them, each in a file of its own (so not adjacent for the back end)."""
        return cls(*(Region(guest_address + i * size, size) for i in range(count)))

    def close(self):
        for region in self.regions:
            region.close()
        self.regions = []

    def find(self, address):
        for region in self.regions:
            if region.guest_address <= address < region.guest_address + region.size:
                return region, address - region.guest_address
        raise ValueError(f"guest address {address:#x} lies in no region")

    def user(self, address):
        """The VMM's address of a guest physical one."""
        region, offset = self.find(address)
        return region.user_address + offset

    def allocate(self, size, align=16, region=0):
        """Bytes from region number `region`, zeroed when the file was new; never given back."""
        home = self.regions[region]
        # the first page stays unused, so that nothing lies at a region's first address by chance
        start = self._free.get(region, PAGE)
        start = (start + align - 1) // align * align
        if start + size > home.size:
            raise MemoryError(f"guest region {region} is full")
        self._free[region] = start + size
        return home.guest_address + start

    def free_bytes(self, region=0):
        return self.regions[region].size - self._free.get(region, PAGE)

    def read(self, address, size):
        out = bytearray()
        while size > 0:
            region, offset = self.find(address)
            piece = min(size, region.size - offset)
            out += region.bytes[offset:offset + piece]
            address, size = address + piece, size - piece
        return bytes(out)

    def write(self, address, data):
        data = memoryview(data)
        while len(data) > 0:
            region, offset = self.find(address)
            piece = min(len(data), region.size - offset)
            region.bytes[offset:offset + piece] = data[:piece]
            address, data = address + piece, data[piece:]

    def fill(self, address, size, value=0):
        self.write(address, bytes([value]) * size)

    def get16(self, address):
        region, offset = self.find(address)
        return region.u16[offset >> 1]

    def put16(self, address, value):
        region, offset = self.find(address)
        region.u16[offset >> 1] = value & 0xFFFF

    def get32(self, address):
        region, offset = self.find(address)
        return region.u32[offset >> 2]

    def put32(self, address, value):
        region, offset = self.find(address)
        region.u32[offset >> 2] = value & 0xFFFF_FFFF

    def put64(self, address, value):
        region, offset = self.find(address)
        region.u64[offset >> 3] = value & 0xFFFF_FFFF_FFFF_FFFF
