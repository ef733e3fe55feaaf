# SPDX-License-Identifier: GPL-2.0-or-later
"""The client's side of the vfio-user socket: framing, descriptors, one method for each message.

Two layers. Connection.send() and send_bytes() put anything on the wire: tests lie in every field with them.
The methods named after messages are what an honest VMM sends; an answer with an error raises Refused.
"""
import array
import contextlib
import enum
import errno
import json
import os
import select
import socket
import struct
import time

from patience import PATIENCE_S

HEADER = struct.Struct("<HHIII")        # id, command, bytes with the header, flags, error
TYPE_COMMAND, TYPE_REPLY = 0, 1
FLAG_NO_REPLY = 0x10
FLAG_ERROR = 0x20
DATA_MAX = 4096                         # of a register access, as the server says
WRITES_MAX = 200                        # of one WRITE_MULTI
MESSAGE_MAX = 16 + 8 + WRITES_MAX * 24
FDS_MAX = 16
MAPS_MAX = 512
KERNEL_FDS_MAX = 253                    # the kernel's ceiling for one message


class Command(enum.IntEnum):
    VERSION = 1
    DMA_MAP = 2
    DMA_UNMAP = 3
    GET_INFO = 4
    GET_REGION_INFO = 5
    GET_REGION_IO_FDS = 6
    GET_IRQ_INFO = 7
    SET_IRQS = 8
    REGION_READ = 9
    REGION_WRITE = 10
    DMA_READ = 11
    DMA_WRITE = 12
    RESET = 13
    DIRTY_PAGES = 14
    REGION_WRITE_MULTI = 15
    DEVICE_FEATURE = 16
    MIG_DATA_READ = 17
    MIG_DATA_WRITE = 18


BAR0, ROM, CONFIG, VGA, REGIONS = 0, 6, 7, 8, 9
INTX, MSI, MSIX, IRQS = 0, 1, 2, 5

DMA_READ, DMA_WRITE = 1, 2
UNMAP_ALL = 2

IRQ_NONE, IRQ_BOOL, IRQ_FDS, IRQ_MASK, IRQ_UNMASK, IRQ_TRIGGER = 1, 2, 4, 8, 16, 32
IRQ_EVENTFD, IRQ_MASKABLE, IRQ_AUTOMASKED = 1, 2, 4

# What a message's payload begins with.
MAP = struct.Struct("<IIQQQ")           # argsz, flags, offset, address, size
UNMAP = struct.Struct("<IIQQ")          # argsz, flags, address, size
DEVICE_INFO = struct.Struct("<4I")      # argsz, flags, regions, kinds of interrupts
ASK_INFO = DEVICE_INFO.pack(DEVICE_INFO.size, 0, 0, 0)
REGION_INFO = struct.Struct("<4I2Q")    # argsz, flags, index, offset of capabilities, size, offset
IRQ_INFO = struct.Struct("<4I")         # argsz, flags, index, count
IRQ_SET = struct.Struct("<5I")          # argsz, flags, index, start, count
ACCESS = struct.Struct("<QII")          # offset, region, bytes
CAPABILITIES = {"capabilities": {"max_msg_fds": 16, "max_data_xfer_size": 1 << 20, "max_dma_maps": 65535, "pgsizes": 4096,
                                 "write_multiple": True}}        # as QEMU says them


class Closed(Exception):
    """The server closed the connection."""


class Refused(Exception):
    """An answer with an error."""

    def __init__(self, command, error):
        super().__init__(f"{Command(command).name}: {errno.errorcode.get(error, error)}")
        self.error = error


def text(capabilities):
    return json.dumps(capabilities).encode() + b"\0"


class Connection:
    """One socket. Owns it."""

    def __init__(self, sock, timeout=PATIENCE_S):
        self.sock = sock
        self.sock.settimeout(timeout)
        self.next_id = 1
        self.fds = None         # a list: descriptors may come, and go there

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

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

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

    def message(self, command, payload=b"", flags=TYPE_COMMAND, size=None, number=None, error=0):
        """The bytes of a message; all of its header may lie."""
        if number is None:
            number = self.next_id
            self.next_id = self.next_id + 1 & 0xFFFF
        return HEADER.pack(number, command, HEADER.size + len(payload) if size is None else size, flags, error) + payload

    def send(self, command, payload=b"", fds=(), **header):
        """One message. Returns its number."""
        data = self.message(command, payload, **header)
        self.send_bytes(data, fds)
        return HEADER.unpack_from(data)[0]

    def _receive_exactly(self, size):
        data = b""
        while len(data) < size:
            try:
                piece, ancillary, _, _ = self.sock.recvmsg(size - len(data), socket.CMSG_SPACE(4 * 16))
            except ConnectionResetError as error:
                raise Closed(str(error)) from error
            for _, _, data_of_fds in ancillary:
                assert self.fds is not None, "the server sent descriptors"
                self.fds += array.array("i", data_of_fds)
            if not piece:
                raise Closed("end of stream")
            data += piece
        return data

    def receive(self):
        """One message: (number, command, flags, error, payload). Raises Closed or TimeoutError."""
        number, command, size, flags, error = HEADER.unpack(self._receive_exactly(HEADER.size))
        assert HEADER.size <= size <= MESSAGE_MAX, f"an answer of {size} bytes"
        return number, command, flags, error, self._receive_exactly(size - HEADER.size)

    def reply(self, number, command):
        """The answer to that message: its payload. Asserts that it is one; raises Refused."""
        got_number, got, flags, error, payload = self.receive()
        assert (got_number, got) == (number, command), f"answer to {got} number {got_number}, not {command} number {number}"
        assert flags & ~FLAG_ERROR == TYPE_REPLY, f"flags {flags:#x} of an answer"
        if flags & FLAG_ERROR:
            assert error and not payload
            raise Refused(command, error)
        assert error == 0
        return payload

    def wait_closed(self, timeout=PATIENCE_S):
        """True when the server closes the connection within `timeout` seconds; what it says before is dropped."""
        deadline = time.monotonic() + timeout
        while True:
            readable, _, _ = select.select([self.sock], [], [], max(0, deadline - time.monotonic()))
            if not readable:
                return False
            try:
                if not self.sock.recv(65536):
                    return True
            except OSError:
                return True

    # ---- honest messages ----

    def ask(self, command, payload=b"", fds=(), **header):
        """A message and its answer's payload."""
        return self.reply(self.send(command, payload, fds, **header), command)

    def refusal(self, command, payload=b"", fds=(), **header):
        """The error of a message that must be refused."""
        try:
            self.ask(command, payload, fds, **header)
        except Refused as refused:
            return refused.error
        raise AssertionError(f"{Command(command).name} was accepted")

    def version(self, major=0, minor=1, capabilities=None):
        """Returns (major, minor, capabilities)."""
        data = text(CAPABILITIES) if capabilities is None else capabilities
        answer = self.ask(Command.VERSION, struct.pack("<2H", major, minor) + data)
        assert answer[-1:] == b"\0"
        return *struct.unpack_from("<2H", answer), json.loads(answer[4:-1])["capabilities"]

    def dma_map(self, address, size, fd=None, offset=0, flags=DMA_READ | DMA_WRITE):
        answer = self.ask(Command.DMA_MAP, MAP.pack(MAP.size, flags, offset, address, size), [] if fd is None else [fd])
        assert not answer

    def map_region(self, region):
        """Of guest_memory.py."""
        self.dma_map(region.guest_address, region.size, region.fd, region.file_offset)

    def dma_unmap(self, address, size, flags=0):
        answer = self.ask(Command.DMA_UNMAP, UNMAP.pack(UNMAP.size, flags, address, size))
        assert UNMAP.unpack(answer)[2:] == (address, size)

    def unmap_all(self):
        self.dma_unmap(0, 0, UNMAP_ALL)

    def get_info(self):
        return DEVICE_INFO.unpack(self.ask(Command.GET_INFO, ASK_INFO))

    def get_region_info(self, index):
        return REGION_INFO.unpack(self.ask(Command.GET_REGION_INFO, REGION_INFO.pack(REGION_INFO.size, 0, index, 0, 0, 0)))

    def get_region_memory(self, index, argsz=REGION_INFO.size):
        """(what is said of the region, capabilities behind that, the descriptor of its memory or None)"""
        self.fds = []
        answer = self.ask(Command.GET_REGION_INFO, REGION_INFO.pack(argsz, 0, index, 0, 0, 0))
        fds, self.fds = self.fds, None
        assert len(fds) <= 1
        return REGION_INFO.unpack_from(answer), answer[REGION_INFO.size:], fds[0] if fds else None

    def get_irq_info(self, index):
        return IRQ_INFO.unpack(self.ask(Command.GET_IRQ_INFO, IRQ_INFO.pack(IRQ_INFO.size, 0, index, 0)))

    def set_irqs(self, flags, index, start, count, data=b"", fds=()):
        assert not self.ask(Command.SET_IRQS, IRQ_SET.pack(IRQ_SET.size + len(data), flags, index, start, count) + data, fds)

    def set_eventfds(self, index, start, fds):
        self.set_irqs(IRQ_FDS | IRQ_TRIGGER, index, start, len(fds), fds=fds)

    def region_read(self, region, offset, count):
        answer = self.ask(Command.REGION_READ, ACCESS.pack(offset, region, count))
        assert ACCESS.unpack_from(answer) == (offset, region, count) and len(answer) == ACCESS.size + count
        return answer[ACCESS.size:]

    def region_write(self, region, offset, data):
        answer = self.ask(Command.REGION_WRITE, ACCESS.pack(offset, region, len(data)) + data)
        assert ACCESS.unpack(answer) == (offset, region, len(data))

    def post_write(self, region, offset, data):
        """A write without an answer."""
        self.send(Command.REGION_WRITE, ACCESS.pack(offset, region, len(data)) + data, flags=FLAG_NO_REPLY)

    @staticmethod
    def writes(*writes):
        """The payload of a REGION_WRITE_MULTI: each is (region, offset, data)."""
        return struct.pack("<Q", len(writes)) + b"".join(ACCESS.pack(offset, region, len(data)) + data.ljust(8, b"\0")
                                                         for region, offset, data in writes)

    def write_multi(self, *writes):
        answer = self.ask(Command.REGION_WRITE_MULTI, self.writes(*writes))
        assert struct.unpack("<Q", answer)[0] == len(writes)

    def reset(self):
        assert not self.ask(Command.RESET)

    def read32(self, region, offset):
        return struct.unpack("<I", self.region_read(region, offset, 4))[0]

    def write32(self, region, offset, value):
        self.region_write(region, offset, struct.pack("<I", value))


@contextlib.contextmanager
def eventfds(count, flags=os.EFD_NONBLOCK):
    fds = [os.eventfd(0, flags | os.EFD_CLOEXEC) for _ in range(count)]
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def heard(fd, timeout=PATIENCE_S):
    """How often an eventfd was written to, when it is; 0 after `timeout`."""
    if not select.select([fd], [], [], timeout)[0]:
        return 0
    return os.eventfd_read(fd)
