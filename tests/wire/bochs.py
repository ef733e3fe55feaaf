# SPDX-License-Identifier: GPL-2.0-or-later
"""A driver of bochs-display, as naive as can be: it maps the memory, sets a mode, and stores pixels."""
import mmap
import os
import struct

from vfio_user import CONFIG, Connection

MEMORY, REGISTERS = 0, 2                # BARs
MEMORY_BYTES = 16 << 20
MODE_AT = 0x500
ID, WIDTH, HEIGHT, DEPTH, ENABLE, BANK, VIRTUAL_WIDTH, VIRTUAL_HEIGHT, X, Y, MEMORY_64K = range(11)
SHOW = 0x41


class BochsDisplay:
    """Owns its connection and the mapping."""

    def __init__(self, path):
        self.connection = Connection.open(path)
        self.connection.version()
        self.connection.region_write(CONFIG, 4, struct.pack("<H", 2))
        info, _, fd = self.connection.get_region_memory(MEMORY)
        self.memory = mmap.mmap(fd, info[4])
        os.close(fd)
        self.stride = 0

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self.memory.close()
        self.connection.close()

    def get(self, index):
        return struct.unpack("<H", self.connection.region_read(REGISTERS, MODE_AT + 2 * index, 2))[0]

    def set(self, index, value):
        self.connection.region_write(REGISTERS, MODE_AT + 2 * index, struct.pack("<H", value))

    def set_mode(self, width, height, depth=32, virtual_width=0, x=0, y=0):
        for index, value in ((ENABLE, 0), (WIDTH, width), (HEIGHT, height), (DEPTH, depth), (VIRTUAL_WIDTH, virtual_width),
                             (X, x), (Y, y), (ENABLE, SHOW)):
            self.set(index, value)
        self.stride = max(width, virtual_width)

    def draw(self, rows, x=0, y=0):
        """Rows of three bytes a pixel, red first; by the mapping, as a guest does."""
        for line, row in enumerate(rows):
            pixels = b"".join(bytes((row[at + 2], row[at + 1], row[at], 0xFF)) for at in range(0, len(row), 3))
            start = ((y + line) * self.stride + x) * 4
            self.memory[start:start + len(pixels)] = pixels

    def edid(self):
        return self.connection.region_read(REGISTERS, 0, 256)
