# SPDX-License-Identifier: GPL-2.0-or-later
"""A VMM that keeps its guest's memory to itself: the device asks it for each byte, and it answers.

    with RemoteController.start(path, queues=2) as nvme:
        nvme.write(0, b"...")

A thread reads the socket and answers, as QEMU's main loop does; what the test asked for comes to the test. `held` makes
it keep its answers, as a VMM that is busy, and answer() can be replaced by one that lies.
"""
import queue as queues
import struct
import threading

from nvme import Controller
from patience import PATIENCE_S, wait_until
from vfio_user import FLAG_ERROR, HEADER, TYPE_COMMAND, TYPE_REPLY, Closed, Command, Connection

DMA = struct.Struct("<QQ")              # address, bytes
EFAULT = 14


class Asked:
    """A message of the device's."""

    def __init__(self, number, command, payload):
        self.number, self.command = number, Command(command)
        self.address, self.count = DMA.unpack_from(payload)
        self.data = payload[DMA.size:]

    def __repr__(self):
        return f"{self.command.name} {self.number} of {self.count} bytes at {self.address:#x}"


class RemoteConnection(Connection):
    """Connection.open() makes one; `memory` is given before memory is mapped."""

    def __init__(self, sock, timeout=PATIENCE_S):
        super().__init__(sock, timeout)
        self.memory = None
        self.asked = []                 # all messages of the device's
        self.waiting = []               # those of them that are held
        self.held = lambda asked: False
        self.lock = threading.Lock()    # of what is sent, and of what waits
        self.replies = queues.Queue()
        self.ended = threading.Event()
        self.failure = None             # of the thread
        sock.settimeout(None)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    # ---- the thread ----

    def _serve(self):
        try:
            while True:
                message = Connection.receive(self)
                number, command, flags, error, payload = message
                if flags & 0xF == TYPE_COMMAND:
                    assert error == 0 and flags == 0
                    self._handle(Asked(number, command, payload))
                else:
                    self.replies.put(message)
        except (Closed, OSError):
            pass
        except BaseException as failure:        # pylint: disable=broad-exception-caught
            self.failure = failure
        finally:
            self.ended.set()
            self.replies.put(None)

    def _handle(self, asked):
        with self.lock:
            self.asked.append(asked)
            if self.held(asked):
                self.waiting.append(asked)
                return
        self.answer(asked)

    # ---- the answers ----

    def answer(self, asked):
        """As an honest VMM does."""
        try:
            if asked.command == Command.DMA_READ:
                self.say(asked, DMA.pack(asked.address, asked.count) + self.memory.read(asked.address, asked.count))
            else:
                assert len(asked.data) == asked.count
                self.memory.write(asked.address, asked.data)
                self.say(asked)
        except ValueError:
            self.refuse(asked)

    def say(self, asked, payload=b"", flags=TYPE_REPLY, **header):
        header = {"number": asked.number, **header}
        self.send_bytes(self.message(header.pop("command", asked.command), payload, flags=flags, **header))

    def refuse(self, asked, error=EFAULT):
        self.say(asked, flags=TYPE_REPLY | FLAG_ERROR, error=error)

    def hold(self, which=lambda asked: True):
        """From now on the VMM is busy, as far as these messages are concerned."""
        with self.lock:
            self.held = which

    def release(self):
        """It answers all that it was asked, in order."""
        with self.lock:
            self.held = lambda asked: False
            waiting, self.waiting = self.waiting, []
        for asked in waiting:
            self.answer(asked)

    def wait_asked(self, count=1):
        """Until so many messages wait for their answers; returns them."""
        wait_until(lambda: len(self.waiting) >= count, lambda: f"{count} messages, of which there are {len(self.waiting)}")
        with self.lock:
            return list(self.waiting)

    # ---- the test's side ----

    def send_bytes(self, data, fds=()):
        with self.sending:
            super().send_bytes(data, fds)

    @property
    def sending(self):
        return self.__dict__.setdefault("_sending", threading.Lock())

    def receive(self):
        message = self.replies.get(timeout=PATIENCE_S)
        if message is None:
            self.replies.put(None)
            assert self.failure is None, self.failure
            raise Closed("end of stream")
        return message

    def wait_closed(self, timeout=PATIENCE_S):
        return self.ended.wait(timeout)

    def close(self):
        try:
            self.sock.shutdown(2)
        except OSError:
            pass
        self.thread.join(PATIENCE_S)
        super().close()
        assert self.failure is None, self.failure


class RemoteController(Controller):
    """A driver of NVMe in such a guest. shared: numbers of regions that are shared all the same."""

    def __init__(self, path, shared=(), capabilities=None, **more):
        super().__init__(path, **more)
        self.shared, self.capabilities = shared, capabilities

    def open(self):
        self.connection = RemoteConnection.open(self.path)
        self.connection.memory = self.memory
        self.connection.version(capabilities=self.capabilities)

    def map_memory(self):
        for number, region in enumerate(self.memory.regions):
            if number in self.shared:
                self.connection.map_region(region)
            else:
                self.connection.dma_map(region.guest_address, region.size)


def header_of(data):
    return HEADER.unpack_from(data)
