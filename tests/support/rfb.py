# SPDX-License-Identifier: GPL-2.0-or-later
"""A VNC viewer (RFB 3.8, RFC 6143): raw pixels, QEMU's extended key events, one thread; VeNCrypt with X509Plain."""
import socket
import ssl
import struct
import time
import zlib

PATIENCE_S = 120        # only a hang reaches it
RAW, DESKTOP_SIZE, EXTENDED_KEY, EXTENDED_SIZE = 0, -223, -258, -308
EXTENDED_PROVIDE = 0x10000001     # a text, by the Extended Clipboard
VENCRYPT, X509_PLAIN = 19, 262


class WrongPassword(Exception):
    """With the server's words."""


def take(connection, count):
    pieces = []
    while count > 0:
        piece = connection.recv(min(count, 1 << 20))
        if not piece:
            raise ConnectionError("the viewer's connection was closed")
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def choose_tls(connection):
    """All that comes before TLS."""
    assert take(connection, 12) == b"RFB 003.008\n"
    connection.sendall(b"RFB 003.008\n")
    assert take(connection, 2) == bytes([1, VENCRYPT])      # and nothing else is offered
    connection.sendall(bytes([VENCRYPT]))
    assert take(connection, 2) == b"\0\2"
    connection.sendall(b"\0\2")
    assert take(connection, 6) == struct.pack(">BBI", 0, 1, X509_PLAIN)
    connection.sendall(struct.pack(">I", X509_PLAIN))
    assert take(connection, 1) == b"\1"


def begin_tls(address, certificate):
    """certificate: a file, the one that the server is known by."""
    connection = socket.create_connection(address)
    connection.settimeout(PATIENCE_S)
    try:
        choose_tls(connection)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(certificate)
        return context.wrap_socket(connection)
    except BaseException:
        connection.close()
        raise


def prove_password(connection, password, name=b"anna"):
    connection.sendall(struct.pack(">II", len(name), len(password)) + name + password)
    if take(connection, 4) != b"\0\0\0\0":
        raise WrongPassword(take(connection, *struct.unpack(">I", take(connection, 4))).decode())


def connect_by_tls(address, certificate, password):
    """A connection for a Viewer whose server has been satisfied."""
    connection = begin_tls(address, certificate)
    try:
        prove_password(connection, password)
    except BaseException:
        connection.close()
        raise
    return connection


class Viewer:
    """Connects, and has the whole picture when it is made."""

    def __init__(self, address, encodings=(RAW, DESKTOP_SIZE, EXTENDED_KEY), proven=False):
        """
        address: the path of a UNIX socket, or (host, port), or something connected that sends and receives; proven: by
        which the server has been satisfied.
        """
        if hasattr(address, "recv"):
            self.socket = address
        else:
            self.socket = socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX)
            self.socket.settimeout(PATIENCE_S)
            self.socket.connect(address if isinstance(address, tuple) else str(address))
        self.has_extended_keys = False
        self.resizes = 0
        self.size_answers = []  # to set_size(): 0, it is done; else why not
        if not proven:
            self._prove_nothing()
        self._begin(encodings)
        self.drawn = 0          # pixels that came
        self.request(incremental=False)
        while self.drawn < self.width * self.height:
            self.update()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    # ---- the protocol ----

    def _take(self, count):
        return take(self.socket, count)

    def _unpack(self, layout):
        return struct.unpack(layout, self._take(struct.calcsize(layout)))

    def _prove_nothing(self):
        version = self._take(12)
        assert version.startswith(b"RFB 003.00"), version
        self.socket.sendall(b"RFB 003.008\n")
        kinds = self._take(self._take(1)[0])
        assert 1 in kinds, kinds
        self.socket.sendall(b"\1")
        assert self._unpack(">I") == (0,)

    def _begin(self, encodings):
        self.socket.sendall(b"\1")          # shared
        self.width, self.height = self._unpack(">HH")
        self._take(16)
        self.name = self._take(self._unpack(">I")[0]).decode()
        self.pixels = bytearray(self.width * self.height * 4)
        # 32 bits a pixel, 0x00RRGGBB, little endian.
        self.socket.sendall(b"\0\0\0\0" + struct.pack(">BBBBHHHBBB3x", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0))
        self.socket.sendall(struct.pack(f">BxH{len(encodings)}i", 2, len(encodings), *encodings))

    def request(self, incremental=True):
        self.socket.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def _rectangle(self):
        x, y, width, height, encoding = self._unpack(">HHHHi")
        if encoding in (DESKTOP_SIZE, EXTENDED_SIZE):
            if encoding == EXTENDED_SIZE:
                self._take(16 * self._unpack(">Bxxx")[0])
                if x == 1:
                    self.size_answers.append(y)
            self.width, self.height = width, height
            self.resizes += 1
            self.pixels = bytearray(width * height * 4)
        elif encoding == EXTENDED_KEY:
            self.has_extended_keys = True
        else:
            assert encoding == RAW, encoding
            self.drawn += width * height
            lines = self._take(width * height * 4)
            for line in range(height):
                at = ((y + line) * self.width + x) * 4
                self.pixels[at:at + width * 4] = lines[line * width * 4:(line + 1) * width * 4]

    def update(self):
        """Takes one update, and asks for what changes after it."""
        while True:
            kind = self._take(1)[0]
            if kind == 0:
                break
            assert kind in (2, 3), kind         # a bell, or text that was cut
            if kind == 3:
                self._take(self._unpack(">3xI")[0])
        for _ in range(self._unpack(">xH")[0]):
            self._rectangle()
        self.request()

    def wait(self, wanted, what):
        """Takes updates until wanted(self) is true."""
        deadline = time.monotonic() + PATIENCE_S
        while not wanted(self):
            assert time.monotonic() < deadline, f"the viewer does not see {what}"
            self.update()

    # ---- the picture ----

    def pixel(self, x, y):
        """0xRRGGBB."""
        return int.from_bytes(self.pixels[(y * self.width + x) * 4:][:3], "little")

    def rows(self, x, y, width, height):
        """Of a rectangle: three bytes a pixel, red first."""
        rows = []
        for line in range(y, y + height):
            at = (line * self.width + x) * 4
            row = self.pixels[at:at + width * 4]
            rgb = bytearray(width * 3)
            rgb[0::3], rgb[1::3], rgb[2::3] = row[2::4], row[1::4], row[0::4]
            rows.append(bytes(rgb))
        return rows

    # ---- what it does ----

    def keysym(self, keysym, down):
        self.socket.sendall(struct.pack(">BBxxI", 4, down, keysym))

    def key(self, code, down):
        """An XT scancode; those with 0xE0 have bit 7 set."""
        assert self.has_extended_keys
        self.socket.sendall(struct.pack(">BBHII", 255, 0, down, 0, code))

    def stroke(self, code):
        self.key(code, True)
        self.key(code, False)

    def set_size(self, width, height):
        """One that was made with EXTENDED_SIZE asks for a screen of this size (SetDesktopSize)."""
        self.socket.sendall(struct.pack(">BxHHBxIHHHHI", 251, width, height, 1, 0, 0, 0, width, height, 0))

    def cut(self, text):
        """Has copied a text: Latin-1, in bytes."""
        self.socket.sendall(struct.pack(">BxxxI", 6, len(text)) + text)

    def provide(self, text):
        """Has copied a text of any characters, by the Extended Clipboard."""
        encoded = text.encode() + b"\0"
        packed = struct.pack(">I", EXTENDED_PROVIDE) + zlib.compress(struct.pack(">I", len(encoded)) + encoded)
        self.socket.sendall(struct.pack(">Bxxxi", 6, -len(packed)) + packed)

    def pointer(self, x, y, buttons=0):
        self.socket.sendall(struct.pack(">BBHH", 5, buttons, x, y))

    def click(self, x, y):
        self.pointer(x, y, 1)
        self.pointer(x, y, 0)
