# SPDX-License-Identifier: GPL-2.0-or-later
"""A browser that does as it is told: one HTTP request on a connection of its own, and WebSockets (RFC 6455)."""
import base64
import os
import socket
import struct

PATIENCE_S = 120        # only a hang reaches it
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def connect(port):
    made = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    return made


def request_bytes(port, path, method="GET", **headers):
    """Names of headers have _ for -; None leaves one out."""
    lines = {"Host": f"127.0.0.1:{port}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return "".join([f"{method} {path} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None),
                    "\r\n"]).encode()


def read_head(stream):
    """The status, the headers with names in lower case, and what came after them."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = stream.recv(65536)
        if not piece:
            raise ConnectionError(f"the connection was closed after {received!r}")
        received += piece
    head, rest = received.split(b"\r\n\r\n", 1)
    first, *lines = head.decode().split("\r\n")
    assert first.startswith("HTTP/1."), first
    return int(first.split()[1]), {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, rest


def ask(port, path, method="GET", **headers):
    """Status, headers, body."""
    with connect(port) as stream:
        stream.sendall(request_bytes(port, path, method, **headers))
        status, told, body = read_head(stream)
        length = 0 if method == "HEAD" or status == 304 else int(told["content-length"])
        while len(body) < length:
            piece = stream.recv(65536)
            if not piece:
                raise ConnectionError(f"{len(body)} bytes of {length} came")
            body += piece
        assert len(body) == length
        return status, told, body


class Refused(Exception):
    """A WebSocket that was not opened; its argument is the status."""


class WebSocket:
    """Sends and receives bytes in binary frames, as a socket would."""

    def __init__(self, port, token, piece_bytes=65536, path="/console", **headers):
        """piece_bytes: of what is sent at once, the most in one frame."""
        self.stream = connect(port)
        self.piece_bytes = piece_bytes
        self.frames = 0         # received
        self.code = None        # with which the other end closed
        offer = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13",
                 "Sec_WebSocket_Key": base64.b64encode(os.urandom(16)).decode(), "Origin": f"http://127.0.0.1:{port}",
                 "Sec_WebSocket_Protocol": f"binary, token.{token}", **headers}
        self.stream.sendall(request_bytes(port, path, **offer))
        try:
            status, told, self._received = read_head(self.stream)
        except BaseException:
            self.stream.close()
            raise
        if status != 101:
            self.stream.close()
            raise Refused(status)
        assert told["sec-websocket-protocol"] == "binary", told
        self._bytes = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.stream.close()

    def settimeout(self, seconds):
        self.stream.settimeout(seconds)

    # ---- frames ----

    @staticmethod
    def frame(kind, content, final=True, masked=True):
        length = len(content)
        head = bytes([kind | (0x80 if final else 0)])
        mark = 0x80 if masked else 0
        if length < 126:
            head += bytes([mark | length])
        elif length < 65536:
            head += struct.pack(">BH", mark | 126, length)
        else:
            head += struct.pack(">BQ", mark | 127, length)
        if not masked:
            return head + content
        mask = os.urandom(4)
        return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(content))

    def send_frame(self, kind, content, **how):
        self.stream.sendall(self.frame(kind, content, **how))

    def _take(self, count):
        while len(self._received) < count:
            piece = self.stream.recv(65536)
            if not piece:
                raise ConnectionError("the WebSocket's connection was closed")
            self._received += piece
        taken, self._received = self._received[:count], self._received[count:]
        return taken

    def receive_frame(self):
        """Kind and content."""
        first, length = self._take(2)
        if length == 126:
            length = struct.unpack(">H", self._take(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self._take(8))[0]
        return first & 15, self._take(length)

    # ---- as a socket ----

    def sendall(self, content):
        for at in range(0, len(content), self.piece_bytes):
            self.send_frame(BINARY, content[at:at + self.piece_bytes])

    def recv(self, count):
        while not self._bytes:
            kind, content = self.receive_frame()
            if kind == CLOSE:
                self.code = struct.unpack(">H", content[:2])[0] if content else 1005
                return b""
            if kind == PING:
                self.send_frame(PONG, content)
            elif kind != PONG:
                assert kind in (BINARY, 0), kind
                self.frames += 1
                self._bytes = content
        taken, self._bytes = self._bytes[:count], self._bytes[count:]
        return taken
