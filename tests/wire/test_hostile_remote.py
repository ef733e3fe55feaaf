# SPDX-License-Identifier: GPL-2.0-or-later
"""Row C23: a VMM that is asked for its guest's memory, and lies, says nothing, or says it again.

Reactions: the command has an error, or the connection ends. Each time a VMM is welcome afterwards.
"""
import os
import random
import struct
import threading

import pytest

import nvme
from guest_memory import PAGE
from nvme import CC, CSTS, CSTS_FATAL, CSTS_READY, READ, WRITE, blocks
from nvme_mallory import NvmeAttacks, hostile_daemon, make_mallory, run
from patience import wait_until
from remote import DMA, RemoteController
from vfio_user import BAR0, CONFIG, FLAG_ERROR, FLAG_NO_REPLY, HEADER, MESSAGE_MAX, TYPE_REPLY, Closed, Command, eventfds

attack = NvmeAttacks()
MIB = 1 << 20
SEED = 31


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with hostile_daemon(tmp_path_factory.mktemp("viaduct")) as instance:
        yield instance


@pytest.fixture
def mallory(daemon, victim, hostile_guests):
    yield from make_mallory(daemon, victim, hostile_guests)


def start(mallory, queues=2, **more):
    mallory.controller = RemoteController.start(mallory.path, queues=queues, **more)
    return mallory.controller


def closed_with_a_reason(mallory, reason):
    """The connection ends, and the log says why."""
    mallory.expect_closed(line=False)
    wait_until(lambda: [line for line in mallory.daemon.lines_about(f"{mallory.guest}/", mallory.lines_before)
                        if f"VMM: {reason}" in line and "to itself" not in line], f"the reason: {reason}")


# ---- answers that are none ----

def answer_with(payload=None, **header):
    """What is said in place of the honest answer: payload(asked), and fields of the header, each a value or a function."""
    def lie(connection, asked):
        fields = {name: value(asked) if callable(value) else value for name, value in header.items()}
        data = payload(asked) if payload else (DMA.pack(asked.address, asked.count) + bytes(asked.count)
                                               if asked.command == Command.DMA_READ else b"")
        connection.say(asked, data, **fields)
    return lie


def read_lie(address=0, count=0, more=0):
    return answer_with(lambda asked: DMA.pack((asked.address + address) % (1 << 64), (asked.count + count) % (1 << 64))
                       + bytes(asked.count + more))


READ_LIES = {
    "another-address": read_lie(address=4), "address-wraps": read_lie(address=-1 << 40),
    "counts-more": read_lie(count=1), "counts-a-lot-more": read_lie(count=1 << 63), "counts-less": read_lie(count=-1),
    "one-byte-more": read_lie(more=1), "one-byte-less": read_lie(more=-1),
    "both-more": read_lie(count=16, more=16), "both-less": read_lie(count=-16, more=-16),
    "as-much-as-fits": answer_with(lambda asked: DMA.pack(asked.address, asked.count) + bytes(MESSAGE_MAX - 32)),
    "no-payload": answer_with(lambda asked: b""), "half-a-payload": answer_with(lambda asked: bytes(8)),
    "as-a-write": answer_with(lambda asked: b"", command=Command.DMA_WRITE),
    "header-says-less": answer_with(size=lambda asked: 32 + asked.count - 1),
    "header-alone": answer_with(size=16), "shorter-than-its-header": answer_with(size=15),
    "longer-than-any": answer_with(size=MESSAGE_MAX + 1), "of-4-gigabytes": answer_with(size=0xFFFF_FFFF),
    "another-number": answer_with(number=lambda asked: asked.number + 1000 & 0xFFFF),
    "as-an-answer-to-us": answer_with(command=Command.REGION_READ),
}
WRITE_LIES = {
    "write-another-address": answer_with(lambda asked: DMA.pack(asked.address + 4, asked.count)),
    "write-counts-less": answer_with(lambda asked: DMA.pack(asked.address, asked.count - 1)),
    "write-with-data": answer_with(lambda asked: DMA.pack(asked.address, asked.count) + asked.data),
    "write-half-a-payload": answer_with(lambda asked: bytes(8)),
    "write-as-a-read": answer_with(lambda asked: DMA.pack(asked.address, asked.count) + asked.data, command=Command.DMA_READ),
}


def lying(name, command, lie):
    """The command's first message of this kind is answered so."""
    @attack("C23", f"answer-{name}")
    def _(mallory):
        controller = start(mallory)
        connection = controller.connection
        honest = connection.answer
        connection.answer = lambda asked: (lie(connection, asked) if asked.command == command else honest(asked))
        controller.ask_queue(0)
        closed_with_a_reason(mallory, "")


for _lies, _command in ((READ_LIES, Command.DMA_READ), (WRITE_LIES, Command.DMA_WRITE)):
    for _name, _lie in _lies.items():
        lying(_name, _command, _lie)


@attack("C23", "answer-to-nothing")
def _(mallory):
    for command in (Command.DMA_READ, Command.DMA_WRITE):
        for number in (0, 1, 0xFFFF):
            controller = start(mallory)
            controller.connection.send_bytes(HEADER.pack(number, command, 16, TYPE_REPLY, 0))
            assert controller.connection.wait_closed()
            mallory.close()


@attack("C23", "answer-twice")
def _(mallory):
    controller = start(mallory)
    connection = controller.connection
    honest = connection.answer

    def twice(asked):
        honest(asked)
        honest(asked)

    connection.answer = twice
    controller.ask_queue(0)
    closed_with_a_reason(mallory, "memory: an answer that was not asked for")


@attack("C23", "answer-with-descriptors")
def _(mallory):
    with eventfds(2) as fds:
        controller = start(mallory)
        connection = controller.connection
        connection.answer = lambda asked: connection.send_bytes(connection.message(
            asked.command, DMA.pack(asked.address, asked.count) + bytes(asked.count), flags=TYPE_REPLY, number=asked.number), fds)
        controller.ask_queue(0)
        closed_with_a_reason(mallory, "memory: an answer with descriptors")


@attack("C23", "answer-in-pieces-and-out-of-order")
def _(mallory):
    """That is allowed: every byte comes alone, and the last message's answer first."""
    controller = start(mallory)
    connection = controller.connection
    at = controller.memory.allocate(MIB, PAGE)
    data = os.urandom(16 * PAGE)
    controller.memory.write(at, data)
    connection.hold(lambda asked: asked.command == Command.DMA_READ and at <= asked.address < at + MIB)
    identifier = controller.queues[0].submit(WRITE, namespace=1, words=blocks(0, 128), **controller.prps(at, 16 * PAGE))
    for asked in reversed(connection.wait_asked(16)):
        whole = connection.message(asked.command, DMA.pack(asked.address, asked.count)
                                   + controller.memory.read(asked.address, asked.count), flags=TYPE_REPLY, number=asked.number)
        for piece in (whole[:1], whole[1:16], whole[16:40], whole[40:-1], whole[-1:]):
            connection.send_bytes(piece)
    connection.hold(lambda asked: False)
    controller.expect(controller.queues[0].wait(identifier))
    assert controller.read(0, 128) == data


@attack("C23", "answers-with-errors")
def _(mallory):
    """Whatever payload they have; to all messages, or to some."""
    dice = random.Random(SEED)
    controller = start(mallory)
    connection = controller.connection
    honest = connection.answer
    for _ in range(30):
        chance = dice.choice((0.01, 0.1, 1))
        connection.answer = lambda asked, chance=chance: connection.say(
            asked, bytes(dice.randrange(64)), flags=TYPE_REPLY | FLAG_ERROR | dice.choice((0, FLAG_NO_REPLY)),
            error=dice.choice((0, 5, 14, 0xFFFF_FFFF))) if dice.random() < chance else honest(asked)
        for _ in range(20):
            controller.ask_queue(dice.randrange(2))
        controller.connection.get_info()
        connection.answer = honest
        controller.connection.reset()
        controller.set_command()
        controller.start_again(2)
        controller.roundtrip()


@attack("C23", "no-answers-and-leaving")
def _(mallory):
    """Again and again: nothing of it stays."""
    before = mallory.daemon.fd_count()
    for _ in range(20):
        controller = start(mallory)
        controller.connection.hold()
        controller.ask_queue(0, 30)
        controller.connection.wait_asked()
        mallory.close()
    wait_until(lambda: mallory.daemon.fd_count() <= before + 4, "the descriptors are closed")


@attack("C23", "answers-are-not-read-for")
def _(mallory):
    """It asks for registers without end, and reads nothing: neither answers nor messages."""
    controller = start(mallory)
    connection = controller.connection
    stop = threading.Event()
    honest = connection.answer
    connection.answer = lambda asked: stop.wait(60) and honest(asked)      # the thread stands still, and reads no more
    controller.ask_queue(0, 30)
    with pytest.raises(Closed):
        while True:
            connection.send(Command.GET_INFO, struct.pack("<4I", 16, 0, 0, 0))
    stop.set()
    closed_with_a_reason(mallory, "")


# ---- memory that is not what it was said to be ----

@attack("C23", "lists-change-between-two-looks")
def _(mallory):
    """Each part of a list is another one whenever it is read, and names itself."""
    dice = random.Random(SEED)
    controller = start(mallory)
    memory, connection = controller.memory, controller.connection
    lists = memory.allocate(8 * PAGE, PAGE)
    honest = connection.answer

    def answer(asked):
        if asked.command == Command.DMA_READ and lists <= asked.address < lists + 8 * PAGE:
            for at in range(asked.address, asked.address + asked.count - 15, 16):
                memory.write(at, nvme.sgl(lists + dice.randrange(8 * PAGE) // 16 * 16, dice.choice((16, 32, 4096, 0xFFFF_FFFF)),
                                          dice.choice((0x00, 0x20, 0x30))))
        honest(asked)

    connection.answer = answer
    for number in range(60):
        kind = (nvme.SGL_SEGMENT, nvme.SGL_LAST_SEGMENT)[number % 2]
        head = nvme.sgl(lists + PAGE * (number % 8), dice.choice((16, 64, 4096, 8192)), kind)
        identifier = controller.queues[number % 2].submit(READ, namespace=1, words=blocks(0, 8), sgl=head)
        controller.queues[number % 2].wait(identifier)
        identifier = controller.queues[number % 2].submit(READ, namespace=1, words=blocks(0, 2048), prp1=lists,
                                                          prp2=lists + 8 * dice.randrange(1024))
        controller.queues[number % 2].wait(identifier)
    connection.answer = honest
    mallory.expect_working()


@attack("C23", "reads-into-its-own-queues")
def _(mallory):
    """A command's data go to where commands and answers are: the guest's own, who gets what it asked for."""
    controller = start(mallory)
    controller.write(0, os.urandom(16 * PAGE))
    for queue in (controller.admin, *controller.queues):
        for at in (queue.sq, queue.cq):
            controller.queues[1].submit(READ, namespace=1, prp1=at, words=blocks(0, 8))
            controller.connection.get_info()
    controller.connection.reset()
    controller.set_command()
    controller.admin, controller.queues = None, []
    controller.start_again(2)
    mallory.expect_working()


@attack("C23", "its-own-registers-as-memory")
def _(mallory):
    """A BAR is mapped without a file; what is written there comes back to us as stores to registers."""
    controller = start(mallory)
    connection, bar = controller.connection, 0xFEB0_0000
    honest = connection.answer

    def answer(asked):
        if not bar <= asked.address < bar + nvme.BAR_BYTES:
            honest(asked)
        elif asked.command == Command.DMA_WRITE:
            for offset in range(0, asked.count, 8):
                connection.post_write(BAR0, asked.address - bar + offset, asked.data[offset:offset + 8])
            connection.say(asked)
        else:
            connection.say(asked, DMA.pack(asked.address, asked.count) + bytes(asked.count))

    connection.answer = answer
    connection.region_write(CONFIG, nvme.BAR, struct.pack("<Q", bar | 4))
    connection.dma_map(bar, nvme.BAR_BYTES)
    controller.write(0, struct.pack("<2I", 1, 0xFFFF_FFFF) * 512)
    for at in (nvme.DOORBELLS, nvme.MSIX_TABLE, 0):
        controller.queues[0].submit(READ, namespace=1, prp1=bar + at, words=blocks(0, 8))
        connection.get_info()
    connection.dma_unmap(bar, nvme.BAR_BYTES)
    mallory.expect_recovers()


@attack("C23", "ranges-without-a-file-and-without-end")
def _(mallory):
    """As large as addresses go, and as many as there may be: what cannot be had is out of reach, and that is all."""
    controller = start(mallory)
    connection = controller.connection
    for size in (1 << 40, 1 << 46, 1 << 47, 1 << 50, 1 << 62):
        connection.dma_map(1 << 62, size)
        controller.queues[0].do(READ, namespace=1, prp1=(1 << 62) + size - PAGE, words=blocks(0, 8))
        connection.dma_unmap(1 << 62, size)
    for number in range(500):
        connection.dma_map((1 << 40) + (number << 33), 1 << 32)
    controller.roundtrip()
    connection.dma_unmap(1 << 40, 1 << 44)
    mallory.expect_working()


@attack("C23", "queues-in-one-place-after-the-other")
def _(mallory):
    """Copies of queues are given back, too."""
    controller = start(mallory, memory_bytes=80 * MIB)
    before, most = mallory.daemon.resident_bytes(), 0
    for _ in range(60):
        controller.expect(controller.delete_sq(2))
        controller.expect(controller.delete_cq(2))
        queue = nvme.Queue(controller, 2, 1024)
        controller.queues[1] = queue
        controller.create_pair(queue)
        for _ in range(4):
            controller.ask_queue(1, 250)
            controller.take(1)
        most = max(most, mallory.daemon.resident_bytes() - before)
    assert most < 24 * MIB, f"{most} bytes"
    mallory.expect_working()


@attack("C23", "bus-mastering-switched-under-way")
def _(mallory):
    controller = start(mallory, memory_bytes=80 * MIB)
    before = mallory.daemon.resident_bytes()
    for number in range(40):
        at = controller.memory.allocate(MIB, PAGE)
        fields = controller.prps(at, MIB)
        controller.queues[0].submit(READ, namespace=1, words=blocks(0, 2048), **fields)
        controller.connection.get_info()
        controller.set_command(nvme.COMMAND_MEMORY)
        controller.set_command()
        if number % 4 == 0:
            mallory.expect_recovers()
        elif controller.get(CSTS) & (CSTS_FATAL | CSTS_READY) == CSTS_READY:
            controller.put(CC, 0)
            controller.wait_status(0, CSTS_READY)
            controller.start_again(2)
    mallory.expect_recovers()
    wait_until(lambda: mallory.daemon.resident_bytes() - before < 24 * MIB, "copies are given back")


@attack("C23", "storm-of-large-commands")
def _(mallory):
    """Many at a time, of the largest size, until others have made progress beside them."""
    controller = start(mallory, memory_bytes=40 * MIB)
    at = controller.memory.allocate(32 * MIB, PAGE)
    fields = [controller.prps(at + MIB * i, MIB) for i in range(32)]
    stop = threading.Event()

    def storm():
        number = 0
        while not stop.is_set():
            for queue in controller.queues:
                if not queue.is_full():
                    queue.submit((READ, WRITE)[number % 2], namespace=1, words=blocks(0, 2048), **fields[number % 32])
                    number += 1
                queue.poll()
                queue.done.clear()

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        for _ in range(3):
            mallory.expect_others_served()
    finally:
        stop.set()
        thread.join()
    for number in range(len(controller.queues)):
        controller.take(number)
    mallory.expect_working()


@pytest.mark.parametrize("attack", attack.parameters)
def test_hostile(mallory, attack):      # pylint: disable=redefined-outer-name
    run(mallory, attack)
