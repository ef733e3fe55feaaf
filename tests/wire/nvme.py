# SPDX-License-Identifier: GPL-2.0-or-later
"""A small NVMe driver over vfio-user (NVMe base 1.4): registers, queues, commands, PRPs and SGLs.

    with Controller.start(path, queues=2) as nvme:
        nvme.write(0, b"...")

Controller.connect() stops after the version, for tests that go on by hand. Doorbells are posted, as QEMU posts them.
"""
import os
import random
import struct
import time

from guest_memory import PAGE, GuestMemory
from patience import LOOK_AGAIN_S, PATIENCE_S, wait_until
from vfio_user import BAR0, CONFIG, INTX, IRQ_NONE, IRQ_UNMASK, MSIX, Connection
from virtio import fence

# Registers (3.1).
CAP, VS, INTMS, INTMC, CC, CSTS, AQA, ASQ, ACQ, DOORBELLS = 0, 8, 0xC, 0x10, 0x14, 0x1C, 0x24, 0x28, 0x30, 0x1000
MSIX_TABLE, MSIX_PENDING, BAR_BYTES = 0x2000, 0x3000, 0x4000
CC_ENABLE, CC_ENTRIES = 1, 6 << 16 | 4 << 20
CC_SHUTDOWN = 1 << 14
CSTS_READY, CSTS_FATAL, CSTS_SHUTDOWN, CSTS_SHUT_DOWN = 1, 2, 3 << 2, 2 << 2
# Configuration space.
COMMAND, STATUS, BAR = 0x04, 0x06, 0x10
COMMAND_MEMORY, COMMAND_MASTER, COMMAND_PIN_OFF = 1 << 1, 1 << 2, 1 << 10
STATUS_PIN = 1 << 3

DELETE_SQ, CREATE_SQ, GET_LOG_PAGE, DELETE_CQ, CREATE_CQ, IDENTIFY, ABORT = 0, 1, 2, 4, 5, 6, 8
SET_FEATURES, GET_FEATURES, ASYNC_EVENT, DOORBELL_BUFFER_CONFIG = 9, 0xA, 0xC, 0x7C
FLUSH, WRITE, READ, WRITE_ZEROES, DATASET_MANAGEMENT = 0, 1, 2, 8, 9
DEALLOCATE = 1 << 2
FORCE_UNIT_ACCESS = 1 << 30

# Statuses (4.6.1), without "do not retry".
SUCCESS, INVALID_OPCODE, INVALID_FIELD, DATA_TRANSFER_ERROR = 0, 1, 2, 4
INVALID_NAMESPACE, COMMAND_SEQUENCE, INVALID_SGL_SEGMENT, INVALID_SGL_COUNT = 0xB, 0xC, 0xD, 0xE
SGL_LENGTH_INVALID, SGL_TYPE_INVALID, PRP_OFFSET_INVALID, WRITE_PROTECTED = 0xF, 0x11, 0x13, 0x20
LBA_OUT_OF_RANGE = 0x80
CQ_INVALID, INVALID_QUEUE_ID, INVALID_QUEUE_SIZE, TOO_MANY_EVENTS = 0x100, 0x101, 0x102, 0x105
INVALID_VECTOR, INVALID_LOG_PAGE, INVALID_QUEUE_DELETION = 0x108, 0x109, 0x10C

SGL_DATA, SGL_BIT_BUCKET, SGL_SEGMENT, SGL_LAST_SEGMENT = 0x00, 0x10, 0x20, 0x30
PSDT_SGL = 1 << 6

BLOCK = 512
SQE, CQE = 64, 16


def command(opcode, identifier=0, namespace=0, flags=0, prp1=0, prp2=0, sgl=None, words=()):
    """The 64 bytes of a command. sgl: 16 bytes in the place of the PRPs. words: CDW10 and on."""
    words = [*words, *[0] * (6 - len(words))]
    data = sgl if sgl is not None else struct.pack("<2Q", prp1, prp2)
    return (struct.pack("<BBHI8xQ", opcode, flags | (PSDT_SGL if sgl is not None else 0), identifier, namespace, 0) + data
            + struct.pack("<6I", *words))


def sgl(address, size, kind=SGL_DATA):
    return struct.pack("<QI3xB", address, size, kind)


def blocks(first, count):
    """CDW10 to 12 of a read or write."""
    return [first & 0xFFFF_FFFF, first >> 32, count - 1]


class Completion:
    LAYOUT = struct.Struct("<2I4H")

    def __init__(self, data):
        self.result, _, self.sq_head, self.sq, self.identifier, status = self.LAYOUT.unpack(data)
        self.status = status >> 1 & 0x7FF           # type and code
        self.do_not_retry = bool(status >> 15)

    def __repr__(self):
        return f"status {self.status:#x} result {self.result:#x} of command {self.identifier} of queue {self.sq}"


class Queue:
    """A pair of queues in guest memory, and what was put there and not yet answered."""

    def __init__(self, controller, number, size):
        self.controller, self.number, self.size = controller, number, size
        self.memory = controller.memory
        self.sq = self.memory.allocate(size * SQE, PAGE)
        self.cq = self.memory.allocate(size * CQE, PAGE)
        self.next_identifier = 0
        self.clear()

    def clear(self):
        """As new."""
        self.memory.fill(self.sq, self.size * SQE)
        self.memory.fill(self.cq, self.size * CQE)
        self.tail = self.head = 0
        self.phase = 1
        self.flying, self.done = set(), {}

    def doorbell(self, is_completion=False):
        return DOORBELLS + 8 * self.number + 4 * is_completion

    def is_full(self):
        return len(self.flying) + len(self.done) >= self.size - 1

    def put(self, opcode, identifier=None, **fields):
        """Puts a command at the tail; no doorbell is rung. Returns its identifier."""
        if identifier is None:
            identifier = self.next_identifier
            self.next_identifier = self.next_identifier + 1 & 0x7FFF
        self.memory.write(self.sq + SQE * self.tail, command(opcode, identifier, **fields))
        self.tail = (self.tail + 1) % self.size
        self.flying.add(identifier)
        return identifier

    def tell(self, is_completion, value):
        """By the doorbell; or into memory, and by the doorbell when that passes the controller's event (annex B.5)."""
        shadow, events = self.controller.shadows or (None, None)
        if shadow and self.number > 0:
            at = self.doorbell(is_completion) - DOORBELLS
            before = self.memory.get32(shadow + at)
            self.memory.put32(shadow + at, value)
            fence()
            if (value - self.memory.get32(events + at) - 1) & 0xFFFF >= (value - before) & 0xFFFF:
                return
        self.controller.post32(self.doorbell(is_completion), value)
        self.controller.rung += 1

    def ring(self):
        fence()
        self.tell(False, self.tail)

    def submit(self, opcode, **fields):
        identifier = self.put(opcode, **fields)
        self.ring()
        return identifier

    def poll(self, tell=True):
        """Takes what is complete into `done`; returns how many."""
        taken = 0
        while self.memory.get32(self.cq + CQE * self.head + 12) >> 16 & 1 == self.phase:
            fence()
            completion = Completion(self.memory.read(self.cq + CQE * self.head, CQE))
            assert completion.sq == self.number and completion.identifier in self.flying, f"an answer to nothing: {completion}"
            self.flying.remove(completion.identifier)
            self.done[completion.identifier] = completion
            self.head = (self.head + 1) % self.size
            self.phase ^= self.head == 0
            taken += 1
        if taken and tell:
            self.tell(True, self.head)
        return taken

    def wait(self, identifier, timeout=PATIENCE_S):
        """The command's completion."""
        deadline = time.monotonic() + timeout
        while identifier not in self.done:
            if not self.poll():
                assert time.monotonic() < deadline, f"command {identifier} of queue {self.number} was never answered"
                time.sleep(LOOK_AGAIN_S / 10)
        return self.done.pop(identifier)

    def do(self, opcode, **fields):
        return self.wait(self.submit(opcode, **fields))


class Controller:
    """One guest's device. Owns what it made; close() (or leaving a with block) frees it."""

    def __init__(self, path, memory=None, size=64, memory_bytes=8 << 20):
        self.path, self.size = path, size
        self.memory = memory or GuestMemory.simple(memory_bytes)
        self.connection = None
        self.admin, self.queues = None, []
        self.vectors, self.pin = [], None
        self.shadows, self.rung = None, 0           # the pages of doorbells in memory; doorbells that were rung
        self.block = BLOCK
        self.lists, self._scratch = {}, (0, 0)      # (address, pages) -> PRP list; memory that is used again

    @classmethod
    def connect(cls, path, **more):
        """Connected, and the version agreed on."""
        controller = cls(path, **more)
        try:
            controller.open()
        except BaseException:
            controller.close()
            raise
        return controller

    @classmethod
    def start(cls, path, queues=1, interrupts="msix", shadows=False, **more):
        """Ready for reads and writes. shadows: doorbells are in memory."""
        controller = cls.connect(path, **more)
        try:
            controller.bring_up(queues, interrupts)
            if shadows:
                controller.share_doorbells()
        except BaseException:
            controller.close()
            raise
        return controller

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self.disconnect()
        for fd in self.vectors + ([] if self.pin is None else [self.pin]):
            os.close(fd)
        self.vectors, self.pin = [], None
        self.memory.close()

    def disconnect(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def open(self):
        self.connection = Connection.open(self.path)
        self.connection.version()

    # ---- registers ----

    def get(self, offset, size=4):
        return int.from_bytes(self.connection.region_read(BAR0, offset, size), "little")

    def put(self, offset, value, size=4):
        self.connection.region_write(BAR0, offset, value.to_bytes(size, "little"))

    def post32(self, offset, value):
        self.connection.post_write(BAR0, offset, struct.pack("<I", value))

    def get_command(self):
        return int.from_bytes(self.connection.region_read(CONFIG, COMMAND, 2), "little")

    def set_command(self, value=COMMAND_MEMORY | COMMAND_MASTER):
        self.connection.region_write(CONFIG, COMMAND, struct.pack("<H", value))

    def pin_is_pending(self):
        return bool(self.connection.region_read(CONFIG, STATUS, 1)[0] & STATUS_PIN)

    def wait_status(self, bits, mask):
        """Until CSTS & mask is `bits`."""
        wait_until(lambda: self.get(CSTS) & mask == bits, lambda: f"CSTS {self.get(CSTS):#x} & {mask:#x} is {bits:#x}")

    # ---- bringing up ----

    def bring_up(self, queues=1, interrupts="msix"):
        self.map_memory()
        self.set_command()
        self.set_interrupts(queues, interrupts)
        self.enable()
        self.create_queues(queues)

    def map_memory(self):
        for region in self.memory.regions:
            self.connection.map_region(region)

    def set_interrupts(self, queues=1, interrupts="msix"):
        """interrupts: msix, a vector for each queue; intx; or none."""
        if interrupts == "msix":
            while len(self.vectors) < queues + 1:
                self.vectors.append(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
            self.connection.set_eventfds(MSIX, 0, self.vectors[:queues + 1])
        elif interrupts == "intx":
            self.pin = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self.connection.set_eventfds(INTX, 0, [self.pin])

    def share_doorbells(self):
        shadows = [self.memory.allocate(PAGE, PAGE) for _ in range(2)]
        self.expect(self.admin.do(DOORBELL_BUFFER_CONFIG, prp1=shadows[0], prp2=shadows[1]))
        self.shadows = shadows

    def set_admin_queue(self):
        self.shadows = None                         # a controller that is off has none
        if self.admin:
            self.admin.clear()
        else:
            self.admin = Queue(self, 0, self.size)
        self.put(AQA, (self.size - 1) << 16 | self.size - 1)
        self.put(ASQ, self.admin.sq, 8)
        self.put(ACQ, self.admin.cq, 8)

    def enable(self):
        self.set_admin_queue()
        self.put(CC, CC_ENTRIES | CC_ENABLE)
        self.wait_status(CSTS_READY, CSTS_READY | CSTS_FATAL)

    def disable(self):
        self.put(CC, 0)
        self.wait_status(0, CSTS_READY)

    def shut_down(self):
        self.put(CC, CC_ENTRIES | CC_ENABLE | CC_SHUTDOWN)
        self.wait_status(CSTS_SHUT_DOWN, CSTS_SHUTDOWN)

    def create_queues(self, count):
        self.expect(self.admin.do(SET_FEATURES, words=[7, count - 1 << 16 | count - 1]))
        for number in range(1, count + 1):
            queue = next((queue for queue in self.queues if queue.number == number), None)
            if queue:
                queue.clear()
            else:
                queue = Queue(self, number, self.size)
                self.queues.append(queue)
            self.create_pair(queue)

    def create_cq(self, number, address, size, vector=0, flags=3):
        return self.admin.do(CREATE_CQ, prp1=address, words=[size - 1 << 16 | number, vector << 16 | flags])

    def create_sq(self, number, address, size, cq, flags=1):
        return self.admin.do(CREATE_SQ, prp1=address, words=[size - 1 << 16 | number, cq << 16 | flags])

    def create_pair(self, queue):
        self.expect(self.create_cq(queue.number, queue.cq, queue.size, queue.number))
        self.expect(self.create_sq(queue.number, queue.sq, queue.size, queue.number))

    def delete_sq(self, number):
        return self.admin.do(DELETE_SQ, words=[number])

    def delete_cq(self, number):
        return self.admin.do(DELETE_CQ, words=[number])

    def start_again(self, queues=1):
        """Enables a controller that is as after power-on, or disabled: its queues are new."""
        self.enable()
        self.create_queues(queues)

    def connect_again(self, queues=1):
        """Another connection with the same memory, and everything from the beginning."""
        self.disconnect()
        self.open()
        self.vectors, old = [], self.vectors
        for fd in old:
            os.close(fd)
        self.bring_up(queues)

    @staticmethod
    def expect(completion, status=SUCCESS):
        assert completion.status == status, f"{completion}, expected status {status:#x}"
        return completion

    # ---- commands ----

    def prps(self, address, size):
        """The two fields for data at a page's beginning."""
        pages = (size + PAGE - 1) // PAGE
        if pages <= 2:
            return {"prp1": address, "prp2": address + PAGE if pages == 2 else 0}
        if (address, pages) in self.lists:
            return {"prp1": address, "prp2": self.lists[address, pages]}
        at = self.lists[address, pages] = self.memory.allocate(PAGE * ((pages + 510) // 511), PAGE)
        entries, page = [address + PAGE * i for i in range(1, pages)], at
        while len(entries) > 512:
            self.memory.write(page, struct.pack("<512Q", *entries[:511], page + PAGE))
            entries, page = entries[511:], page + PAGE
        self.memory.write(page, struct.pack(f"<{len(entries)}Q", *entries))
        return {"prp1": address, "prp2": at}

    def identify(self, what, namespace=0):
        at = self.memory.allocate(PAGE, PAGE)
        self.expect(self.admin.do(IDENTIFY, namespace=namespace, prp1=at, words=[what]))
        return self.memory.read(at, PAGE)

    def size_blocks(self):
        return struct.unpack_from("<Q", self.identify(0, 1))[0]

    def transfer(self, opcode, first, count, queue=0, **fields):
        """`fields` say where the data lies."""
        return self.queues[queue].do(opcode, namespace=1, words=blocks(first, count), **fields)

    def scratch(self, size):
        """Memory of at least so many bytes, which is used again by whoever asks next."""
        if self._scratch[1] < size:
            self._scratch = self.memory.allocate(max(size, 128 << 10), PAGE), max(size, 128 << 10)
        return self._scratch[0]

    def write(self, first, data, queue=0, force=False):
        at = self.scratch(len(data))
        self.memory.write(at, data)
        words = blocks(first, len(data) // self.block)
        words[2] |= FORCE_UNIT_ACCESS if force else 0
        self.expect(self.queues[queue].do(WRITE, namespace=1, words=words, **self.prps(at, len(data))))

    def read(self, first, count, queue=0):
        size = count * self.block
        at = self.scratch(size)
        self.memory.fill(at, size, 0xEE)
        self.expect(self.transfer(READ, first, count, queue, **self.prps(at, size)))
        return self.memory.read(at, size)

    def flush(self, namespace=1):
        self.expect(self.queues[0].do(FLUSH, namespace=namespace))

    def write_zeroes(self, first, count):
        return self.queues[0].do(WRITE_ZEROES, namespace=1, words=blocks(first, count))

    def trim(self, *ranges):
        """Each (first, count)."""
        at = self.memory.allocate(PAGE, PAGE)
        self.memory.write(at, b"".join(struct.pack("<IIQ", 0, count, first) for first, count in ranges))
        return self.queues[0].do(DATASET_MANAGEMENT, namespace=1, prp1=at, words=[len(ranges) - 1, DEALLOCATE])


    def roundtrip(self, first=0, queue=0):
        data = os.urandom(4096)
        self.write(first, data, queue)
        assert self.read(first, 8, queue) == data

    # ---- answers that wait ----

    def ask_queue(self, number=0, count=1):
        """Reads whose answers nobody takes yet."""
        at = self.scratch(4096)
        for _ in range(count):
            self.queues[number].submit(READ, namespace=1, prp1=at, words=blocks(0, 8))

    def take(self, number=0):
        """Takes the answers to all that was asked."""
        queue = self.queues[number]

        def all_taken():
            queue.poll()
            return not queue.flying

        wait_until(all_taken, "the answers")
        queue.done.clear()

    def unmask(self):
        """The pin."""
        self.connection.set_irqs(IRQ_NONE | IRQ_UNMASK, INTX, 0, 1)


class NvmeLoad:
    """Verified writes and reads, many in flight over all queues, at most one on each block."""
    BLOCKS = 8

    def __init__(self, controller, seed=1, count=128, depth=12, first=0):
        self.controller, self.seed, self.count, self.depth, self.first = controller, seed, count, depth, first
        self.random = random.Random(seed)
        self.bytes = self.BLOCKS * controller.block
        self.at = [controller.memory.allocate(self.bytes, PAGE) for _ in range(depth)]
        self.spare = list(range(depth))
        self.generation = [None] * count
        self.flying = {}                # (queue, identifier) -> (kind, block, generation, slot)
        self.completed = 0

    def pattern(self, block, generation):
        return struct.pack("<IIQ", self.seed, block, generation) * (self.bytes // 16)

    def fill(self):
        busy = {block for _, block, _, _ in self.flying.values()}
        while self.spare:
            block = self.random.randrange(self.count)
            if block in busy:
                continue
            busy.add(block)
            queue = self.random.choice(self.controller.queues)
            slot = self.spare.pop()
            writes = self.generation[block] is None or self.random.random() < 0.5
            generation = (self.generation[block] or 0) + writes
            self.controller.memory.write(self.at[slot], self.pattern(block, generation) if writes else bytes(self.bytes))
            identifier = queue.submit(WRITE if writes else READ, namespace=1, prp1=self.at[slot],
                                      words=blocks(self.first + block * self.BLOCKS, self.BLOCKS))
            self.flying[queue, identifier] = WRITE if writes else READ, block, generation, slot

    def collect(self):
        for queue in self.controller.queues:
            queue.poll()
        for key in [key for key in self.flying if key[1] in key[0].done]:
            kind, block, generation, slot = self.flying.pop(key)
            Controller.expect(key[0].done.pop(key[1]))
            if kind == READ:
                self.compare(block, self.controller.memory.read(self.at[slot], self.bytes))
            else:
                self.generation[block] = generation
            self.spare.append(slot)
            self.completed += 1

    def compare(self, block, data):
        assert data == self.pattern(block, self.generation[block]), \
            f"block {block}: expected generation {self.generation[block]}, got {data[:16].hex()} (seed {self.seed})"

    def step(self):
        self.fill()
        self.collect()

    def drain(self):
        """Every command in flight is answered."""
        wait_until(lambda: self.collect() or not self.flying, lambda: f"{len(self.flying)} commands are answered")

    def finish(self):
        """Every block holds what was last acknowledged."""
        self.drain()
        for block, generation in enumerate(self.generation):
            if generation is not None:
                self.compare(block, self.controller.read(self.first + block * self.BLOCKS, self.BLOCKS))
