# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's drivers of a virtio display, keyboard and tablet, in Python (virtio 1.2, 5.7 and 5.8)."""
import socket
import struct

from frontend import FrontEnd, Setup
from guest_memory import GuestMemory
from patience import PATIENCE_S
from virtio import Buffer

GET_DISPLAY_INFO, CREATE_2D, UNREF, SET_SCANOUT, FLUSH, TRANSFER, ATTACH, DETACH = range(0x100, 0x108)
GET_EDID, CREATE_BLOB, SET_SCANOUT_BLOB = 0x10a, 0x10c, 0x10d
UPDATE_CURSOR, MOVE_CURSOR = 0x300, 0x301
OK_NODATA, OK_DISPLAY_INFO, OK_EDID = 0x1100, 0x1101, 0x1104
B8G8R8X8 = 2
F_EDID, F_RESOURCE_BLOB = 1, 3
EV_SYN, EV_KEY, EV_REL, EV_ABS = 0, 1, 2, 3


class Display:
    """Commands in their order; each is answered before the next."""

    def __init__(self, path, packed=False, memory_bytes=32 << 20, front=None):
        """front: a device that is attached otherwise."""
        self.front = front or FrontEnd.start(path, Setup(packed=packed, queues=2, features=1 << F_EDID | 1 << F_RESOURCE_BLOB),
                                             GuestMemory.simple(memory_bytes))
        self.memory = self.front.memory
        self.page = self.memory.allocate(8192, 16)
        self.backing = {}               # of a resource: (address, width, height)
        self.commands = 0               # on the control queue

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.front.close()

    def submit(self, kind, body=b"", queue=0, room=2048):
        """Posts a command without waiting; returns its chain."""
        command = struct.pack("<IIQIB3x", kind, 0, 0, 0, 0) + body
        self.commands += queue == 0
        self.memory.write(self.page, command)
        answer = [Buffer(self.page + 4096, room, True)] if room else []
        return self.front.queues[queue].submit([Buffer(self.page, len(command), False), *answer])

    def command(self, kind, body=b"", queue=0, room=2048):
        """The type of the answer, and what stands behind its header."""
        written = self.front.queues[queue].wait(self.submit(kind, body, queue, room), PATIENCE_S)
        answer = bytes(self.memory.read(self.page + 4096, written))
        return struct.unpack_from("<I", answer)[0], answer[24:]

    def must(self, kind, body=b"", queue=0):
        answer, _rest = self.command(kind, body, queue)
        assert answer == OK_NODATA, f"command {kind:#x}: {answer:#x}"

    def modes(self):
        """(width, height, enabled) of each scanout."""
        kind, body = self.command(GET_DISPLAY_INFO)
        assert kind == OK_DISPLAY_INFO
        return [(w, h, bool(enabled)) for _x, _y, w, h, enabled, _flags in struct.iter_unpack("<6I", body)]

    def create(self, number, width, height):
        """A resource with backing; its pixels are written by draw()."""
        self.must(CREATE_2D, struct.pack("<4I", number, B8G8R8X8, width, height))
        address = self.memory.allocate(width * height * 4, 4096)
        self.must(ATTACH, struct.pack("<IIQII", number, 1, address, width * height * 4, 0))
        self.backing[number] = address, width, height

    def show(self, number, scanout=0, corner=(0, 0), size=None):
        """All of the resource, or a part of it."""
        width, height = size or (self.backing[number][1:] if number else (0, 0))
        self.must(SET_SCANOUT, struct.pack("<6I", *corner, width, height, scanout, number))

    def create_blob(self, number, width, height):
        """A resource that is guest memory; its pixels are written by write()."""
        size = width * height * 4
        address = self.memory.allocate(size, 4096)
        self.must(CREATE_BLOB, struct.pack("<4I2Q", number, 1, 2, 1, 0, size) + struct.pack("<QII", address, size, 0))
        self.backing[number] = address, width, height

    def show_blob(self, number, scanout=0):
        width, height = self.backing[number][1:]
        self.must(SET_SCANOUT_BLOB, struct.pack("<10I8I", 0, 0, width, height, scanout, number, width, height, B8G8R8X8, 0,
                                                width * 4, 0, 0, 0, 0, 0, 0, 0))

    def write(self, number, rows, x=0, y=0):
        """Rows of (red, green, blue, …) bytes into the backing, from that corner on."""
        address, width, _height = self.backing[number]
        for line, row in enumerate(rows):
            pixels = b"".join(struct.pack("<I", int.from_bytes(row[at:at + 3], "big")) for at in range(0, len(row), 3))
            self.memory.write(address + ((y + line) * width + x) * 4, pixels)

    def transfer(self, number, x, y, width, height):
        offset = (y * self.backing[number][1] + x) * 4
        self.must(TRANSFER, struct.pack("<4IQII", x, y, width, height, offset, number, 0))

    def flush(self, number, x, y, width, height):
        self.must(FLUSH, struct.pack("<6I", x, y, width, height, number, 0))

    def draw(self, number, rows, x=0, y=0):
        self.write(number, rows, x, y)
        self.transfer(number, x, y, len(rows[0]) // 3, len(rows))
        self.flush(number, x, y, len(rows[0]) // 3, len(rows))


class Screen:
    """A VMM's own picture of a virtio display, as the daemon tells it over a socket of the VMM's (vhost-user-gpu protocol)."""

    SET_SOCKET, SCANOUT, UPDATE = 33, 7, 8

    def __init__(self, display):
        self.socket, theirs = socket.socketpair()
        with theirs:
            display.front.connection.tell(self.SET_SOCKET, b"", [theirs.fileno()])
        self.socket.settimeout(PATIENCE_S)
        self.shown = {0: []}            # of each scanout: rows

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _take(self, count):
        pieces = bytearray()
        while len(pieces) < count:
            piece = self.socket.recv(count - len(pieces))
            assert piece, "the daemon closed the screen's socket"
            pieces += piece
        return bytes(pieces)

    def update(self):
        """Waits for one message."""
        kind, _flags, size = struct.unpack("<3I", self._take(12))
        body = self._take(size)
        if kind == self.SCANOUT:
            scanout, width, height = struct.unpack("<3I", body)
            self.shown[scanout] = [bytes(width * 3)] * height
            return
        assert kind == self.UPDATE
        scanout, x, y, width, height = struct.unpack_from("<5I", body)
        for line in range(height):
            pixels = body[20 + line * width * 4:20 + (line + 1) * width * 4]
            row = bytearray(width * 3)
            row[0::3], row[1::3], row[2::3] = pixels[2::4], pixels[1::4], pixels[0::4]
            before = self.shown[scanout][y + line]
            self.shown[scanout][y + line] = before[:x * 3] + bytes(row) + before[(x + width) * 3:]

    def expect(self, rows, scanout=0):
        while self.shown.get(scanout) != rows:
            self.update()


class Input:
    """Posts buffers and hears events."""

    def __init__(self, path, packed=False, buffers=4, front=None):
        self.front = front or FrontEnd.start(path, Setup(packed=packed, queues=2, size=4))
        self.addresses, self.heard = {}, []
        for _ in range(buffers):
            self.post(self.front.memory.allocate(8, 8))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.front.close()

    def post(self, address):
        self.addresses[self.front.queues[0].submit([Buffer(address, 8, True)])] = address

    def listen(self):
        queue = self.front.queues[0]
        queue.poll()
        for chain in list(queue.done):
            assert queue.done.pop(chain) == 8
            address = self.addresses.pop(chain)
            self.heard.append(struct.unpack("<HHI", self.front.memory.read(address, 8)))
            self.post(address)

    def events(self):
        """What came and was not asked for yet, without the ends of reports: (type, code, value)."""
        self.listen()
        return [event for event in self.heard if event[0] != EV_SYN]

    def hear(self, count):
        """The next events; there must be so many."""
        assert self.front.queues[0].wait_for(lambda: len(self.events()) >= count, PATIENCE_S), self.heard
        events = self.events()
        self.heard = []
        assert len(events) == count, events
        return events

    def light(self, led, value):
        """What a driver sets."""
        address = self.front.memory.allocate(8, 8)
        self.front.memory.write(address, struct.pack("<HHI", 0x11, led, value))
        queue = self.front.queues[1]
        assert queue.wait(queue.submit([Buffer(address, 8, False)]), PATIENCE_S) == 0

    def select(self, select, subsel=0):
        """What the configuration space says then."""
        connection = self.front.connection
        assert not connection.set_config(0, bytes([select, subsel]))
        answer = connection.get_config(0, 136)
        return answer[8:8 + answer[2]]
