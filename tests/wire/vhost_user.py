# SPDX-License-Identifier: GPL-2.0-or-later
"""The master's side of the vhost-user socket: framing, descriptors, one method for each message.

Two layers. Connection.send() and send_bytes() put anything on the wire: tests lie in every field with them.
The methods named after messages are what an honest VMM sends. When REPLY_ACK is negotiated, messages without
a reply of their own ask for an acknowledgement and return it (0: done); otherwise they return None.
"""
import array
import enum
import os
import select
import socket
import struct
import time

from patience import PATIENCE_S

HEADER = struct.Struct("<3I")          # request, flags, payload bytes
VERSION = 1
FLAG_REPLY = 1 << 2
FLAG_NEED_REPLY = 1 << 3
INFLIGHT = struct.Struct("<2Q2H4x")    # size, offset, queues, queue size; padded to 24 bytes as compilers do for QEMU
NO_FD = 1 << 8                         # in the u64 of SET_VRING_KICK/CALL/ERR: no descriptor comes with it
FDS_MAX = 253                          # the kernel's ceiling for one message


class Request(enum.IntEnum):
    GET_FEATURES = 1
    SET_FEATURES = 2
    SET_OWNER = 3
    RESET_OWNER = 4
    SET_MEM_TABLE = 5
    SET_LOG_BASE = 6
    SET_LOG_FD = 7
    SET_VRING_NUM = 8
    SET_VRING_ADDR = 9
    SET_VRING_BASE = 10
    GET_VRING_BASE = 11
    SET_VRING_KICK = 12
    SET_VRING_CALL = 13
    SET_VRING_ERR = 14
    GET_PROTOCOL_FEATURES = 15
    SET_PROTOCOL_FEATURES = 16
    GET_QUEUE_NUM = 17
    SET_VRING_ENABLE = 18
    SEND_RARP = 19
    NET_SET_MTU = 20
    SET_BACKEND_REQ_FD = 21
    IOTLB_MSG = 22
    SET_VRING_ENDIAN = 23
    GET_CONFIG = 24
    SET_CONFIG = 25
    CREATE_CRYPTO_SESSION = 26
    CLOSE_CRYPTO_SESSION = 27
    POSTCOPY_ADVISE = 28
    POSTCOPY_LISTEN = 29
    POSTCOPY_END = 30
    GET_INFLIGHT_FD = 31
    SET_INFLIGHT_FD = 32
    GPU_SET_SOCKET = 33
    RESET_DEVICE = 34
    VRING_KICK = 35
    GET_MAX_MEM_SLOTS = 36
    ADD_MEM_REG = 37
    REM_MEM_REG = 38
    SET_STATUS = 39
    GET_STATUS = 40
    GET_SHARED_OBJECT = 41
    SET_DEVICE_STATE_FD = 42
    CHECK_DEVICE_STATE = 43


# Back end to front end, on the socket of SET_BACKEND_REQ_FD.
BACKEND_CONFIG_CHANGE = 2


class Protocol(enum.IntFlag):
    MQ = 1 << 0
    LOG_SHMFD = 1 << 1
    RARP = 1 << 2
    REPLY_ACK = 1 << 3
    MTU = 1 << 4
    BACKEND_REQ = 1 << 5
    PAGEFAULT = 1 << 8
    CONFIG = 1 << 9
    BACKEND_SEND_FD = 1 << 10
    INFLIGHT_SHMFD = 1 << 12
    RESET_DEVICE = 1 << 13
    INBAND_NOTIFICATIONS = 1 << 14
    CONFIGURE_MEM_SLOTS = 1 << 15
    STATUS = 1 << 16
    DEVICE_STATE = 1 << 19


# What this front end understands; tests ask for less where that is the point.
PROTOCOL_WANTED = (Protocol.MQ | Protocol.LOG_SHMFD | Protocol.REPLY_ACK | Protocol.BACKEND_REQ | Protocol.CONFIG
                   | Protocol.INFLIGHT_SHMFD | Protocol.RESET_DEVICE | Protocol.CONFIGURE_MEM_SLOTS | Protocol.STATUS
                   | Protocol.DEVICE_STATE)

# Messages that the back end always answers with a payload of their own.
ANSWERED = {Request.GET_FEATURES, Request.GET_PROTOCOL_FEATURES, Request.GET_QUEUE_NUM, Request.GET_VRING_BASE,
            Request.GET_CONFIG, Request.GET_INFLIGHT_FD, Request.GET_MAX_MEM_SLOTS, Request.GET_STATUS,
            Request.SET_LOG_BASE}


class Closed(Exception):
    """The back end closed the connection."""


class Connection:
    """One socket. Owns it."""

    def __init__(self, sock, timeout=PATIENCE_S):
        self.sock = sock
        self.sock.settimeout(timeout)
        self.reply_ack = False

    @classmethod
    def open(cls, path, timeout=PATIENCE_S, wait=PATIENCE_S):
        """Connects; tries again for `wait` seconds while nothing listens (a restart, a back-off)."""
        deadline = time.monotonic() + wait
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.connect(str(path))
                return cls(sock, timeout)
            except (ConnectionRefusedError, FileNotFoundError):
                sock.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def close(self):
        self.sock.close()

    # ---- anything goes ----

    def send_bytes(self, data, fds=()):
        """Raw bytes; descriptors go with the first of them."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            sent = self.sock.sendmsg([data], ancillary)
            if sent < len(data):
                self.sock.sendall(data[sent:])
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed(str(error)) from error

    def send(self, request, payload=b"", fds=(), flags=VERSION, size=None):
        """One message; `size` and `flags` may lie."""
        header = HEADER.pack(request, flags, len(payload) if size is None else size)
        self.send_bytes(header + payload, fds)

    def _receive_exactly(self, size):
        data, fds = b"", []
        while len(data) < size:
            try:
                piece, ancillary, _, _ = self.sock.recvmsg(size - len(data), socket.CMSG_SPACE(4 * 16))
            except ConnectionResetError as error:
                raise Closed(str(error)) from error
            for level, kind, blob in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds += array.array("i", blob[:len(blob) - len(blob) % 4])
            if not piece:
                for fd in fds:
                    os.close(fd)
                raise Closed("end of stream")
            data += piece
        return data, fds

    def receive(self):
        """One message: (request, flags, payload, descriptors). Raises Closed or TimeoutError."""
        header, fds = self._receive_exactly(HEADER.size)
        request, flags, size = HEADER.unpack(header)
        payload, more = self._receive_exactly(size) if size else (b"", [])
        return request, flags, payload, fds + more

    def reply(self, request):
        """The answer to `request`: (payload, descriptors). Asserts that it is one."""
        got, flags, payload, fds = self.receive()
        assert got == request, f"answer to {got}, expected one to {request!r}"
        assert flags & FLAG_REPLY and flags & 3 == VERSION, f"flags {flags:#x} of an answer"
        return payload, fds

    def wait_closed(self, timeout=PATIENCE_S):
        """True when the back end closes the connection within `timeout` seconds; what it says before is dropped."""
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            readable, _, _ = select.select([self.sock], [], [], max(0, left))
            if not readable:
                return False
            try:
                _, _, _, fds = self.receive()
            except (Closed, OSError):
                return True
            for fd in fds:
                os.close(fd)

    # ---- honest messages ----

    def ask(self, request, payload=b"", fds=()):
        """A message with a reply of its own: returns its payload."""
        self.send(request, payload, fds)
        answer, received = self.reply(request)
        for fd in received:
            os.close(fd)
        return answer

    def tell(self, request, payload=b"", fds=()):
        """A message without a reply of its own: returns the acknowledgement, or None when not negotiated."""
        if not self.reply_ack:
            self.send(request, payload, fds)
            return None
        self.send(request, payload, fds, VERSION | FLAG_NEED_REPLY)
        answer, _ = self.reply(request)
        return struct.unpack("<Q", answer)[0]

    def ask_u64(self, request):
        return struct.unpack("<Q", self.ask(request))[0]

    def tell_u64(self, request, value, fds=()):
        return self.tell(request, struct.pack("<Q", value), fds)

    def get_features(self):
        return self.ask_u64(Request.GET_FEATURES)

    def set_features(self, features):
        return self.tell_u64(Request.SET_FEATURES, features)

    def get_protocol_features(self):
        return self.ask_u64(Request.GET_PROTOCOL_FEATURES)

    def set_protocol_features(self, features):
        """From here on, messages ask for acknowledgements when REPLY_ACK is in `features`."""
        result = self.tell_u64(Request.SET_PROTOCOL_FEATURES, features)
        self.reply_ack = bool(features & Protocol.REPLY_ACK)
        return result

    def set_owner(self):
        return self.tell(Request.SET_OWNER)

    def get_queue_num(self):
        return self.ask_u64(Request.GET_QUEUE_NUM)

    def get_max_mem_slots(self):
        return self.ask_u64(Request.GET_MAX_MEM_SLOTS)

    def get_status(self):
        return self.ask_u64(Request.GET_STATUS)

    def set_status(self, status):
        return self.tell_u64(Request.SET_STATUS, status)

    def reset_device(self):
        return self.tell(Request.RESET_DEVICE)

    def set_mem_table(self, regions):
        payload = struct.pack("<2I", len(regions), 0) + b"".join(r.description() for r in regions)
        return self.tell(Request.SET_MEM_TABLE, payload, [r.fd for r in regions])

    def add_mem_reg(self, region):
        return self.tell(Request.ADD_MEM_REG, struct.pack("<Q", 0) + region.description(), [region.fd])

    def rem_mem_reg(self, region):
        return self.tell(Request.REM_MEM_REG, struct.pack("<Q", 0) + region.description())

    def vring_state(self, request, index, number):
        return self.tell(request, struct.pack("<2I", index, number))

    def set_vring_num(self, index, size):
        return self.vring_state(Request.SET_VRING_NUM, index, size)

    def set_vring_base(self, index, base):
        return self.vring_state(Request.SET_VRING_BASE, index, base)

    def set_vring_enable(self, index, enable=1):
        return self.vring_state(Request.SET_VRING_ENABLE, index, enable)

    def get_vring_base(self, index):
        """Stops the ring; returns the position to go on from."""
        answer = self.ask(Request.GET_VRING_BASE, struct.pack("<2I", index, 0))
        answered, base = struct.unpack("<2I", answer)
        assert answered == index
        return base

    def set_vring_addr(self, index, descriptors, used, available, log=0, flags=0):
        """User addresses; `log` is the used ring's guest address, logged when bit 0 of flags is set."""
        return self.tell(Request.SET_VRING_ADDR,
                         struct.pack("<2I4Q", index, flags, descriptors, used, available, log))

    def vring_fd(self, request, index, fd):
        """fd None: none comes with it (bit 8)."""
        return self.tell_u64(request, index | (NO_FD if fd is None else 0), [] if fd is None else [fd])

    def set_vring_kick(self, index, fd):
        return self.vring_fd(Request.SET_VRING_KICK, index, fd)

    def set_vring_call(self, index, fd):
        return self.vring_fd(Request.SET_VRING_CALL, index, fd)

    def set_vring_err(self, index, fd):
        return self.vring_fd(Request.SET_VRING_ERR, index, fd)

    def get_config(self, offset, size, flags=0):
        """Bytes of the configuration space, or None when the back end refuses (an answer without payload)."""
        answer = self.ask(Request.GET_CONFIG, struct.pack("<3I", offset, size, flags) + bytes(size))
        if not answer:
            return None
        got_offset, got_size, _ = struct.unpack_from("<3I", answer)
        assert (got_offset, got_size) == (offset, size), f"config answer names {got_offset}+{got_size}"
        return answer[12:]

    def set_config(self, offset, data, flags=0):
        return self.tell(Request.SET_CONFIG, struct.pack("<3I", offset, len(data), flags) + data)

    def set_backend_req_fd(self, fd):
        return self.tell(Request.SET_BACKEND_REQ_FD, b"", [fd])

    def get_inflight_fd(self, queues, queue_size):
        """Returns (fd, size, offset): the record of requests in flight; the fd is the caller's. fd None: refused."""
        self.send(Request.GET_INFLIGHT_FD, INFLIGHT.pack(0, 0, queues, queue_size))
        answer, fds = self.reply(Request.GET_INFLIGHT_FD)
        assert len(fds) <= 1
        size, offset, _, _ = INFLIGHT.unpack(answer) if fds else (0, 0, 0, 0)
        return (fds[0] if fds else None), size, offset

    def set_inflight_fd(self, fd, size, offset, queues, queue_size):
        return self.tell(Request.SET_INFLIGHT_FD, INFLIGHT.pack(size, offset, queues, queue_size), [fd])

    def set_log_base(self, fd, size, offset=0):
        return self.ask(Request.SET_LOG_BASE, struct.pack("<2Q", size, offset), [fd])


class BackendChannel:
    """Our end of the socket pair of SET_BACKEND_REQ_FD: messages that the back end starts."""

    def __init__(self):
        ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection = Connection(ours)

    def wait_config_change(self, timeout=PATIENCE_S):
        """True when a configuration change arrives; it is acknowledged when the back end wants that."""
        readable, _, _ = select.select([self.connection.sock], [], [], timeout)
        if not readable:
            return False
        request, flags, _, _ = self.connection.receive()
        if flags & FLAG_NEED_REPLY:
            self.connection.send(request, struct.pack("<Q", 0), flags=VERSION | FLAG_REPLY)
        return request == BACKEND_CONFIG_CHANGE

    def close(self):
        self.connection.close()
        self.theirs.close()
