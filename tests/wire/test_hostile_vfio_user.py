# SPDX-License-Identifier: GPL-2.0-or-later
"""Row C23: messages of vfio-user that lie, come in pieces, never end, or have descriptors where none belong.

Reactions: an answer with an error, and the connection goes on; or the connection ends. Each time a VMM is welcome afterwards.
"""
import contextlib
import errno
import struct
import time

import pytest

from guest_memory import PAGE
from nvme_mallory import NvmeAttacks, hostile_daemon, make_mallory, run
from patience import wait_until
from vfio_user import (ACCESS, ASK_INFO, BAR0, DEVICE_INFO, FLAG_NO_REPLY, HEADER, IRQ_FDS, IRQ_INFO, IRQ_NONE, IRQ_SET,
                       IRQ_TRIGGER, MAP, MESSAGE_MAX, MSIX, UNMAP, Closed, Command, Refused, eventfds, text)

attack = NvmeAttacks()
MESSAGE_S = 10                  # what a VMM has for one message, and for the first
VERSION = struct.pack("<2H", 0, 1) + text({})


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with hostile_daemon(tmp_path_factory.mktemp("viaduct")) as instance:
        yield instance


@pytest.fixture
def mallory(daemon, victim, hostile_guests):
    yield from make_mallory(daemon, victim, hostile_guests)


def refused_or_closed(mallory, connection, command, payload=b"", fds=()):
    """Returns whether the connection goes on."""
    try:
        connection.refusal(command, payload, fds)
    except Closed:
        mallory.close()
        return False
    connection.get_info()
    return True


# ---- headers ----

def breaking(name, data):
    for when, begin in (("first", lambda mallory: mallory.knock()), ("later", lambda mallory: mallory.connect())):
        @attack("C23", f"{name}-{when}")
        def _(mallory, begin=begin):
            begin(mallory).send_bytes(data)
            mallory.expect_closed()


for _name, _header in {
        "shorter-than-its-header": (1, Command.GET_INFO, 15, 0, 0), "of-no-size": (1, Command.GET_INFO, 0, 0, 0),
        "longer-than-any": (1, Command.GET_INFO, MESSAGE_MAX + 1, 0, 0), "of-4-gigabytes": (1, Command.VERSION, 0xFFFF_FFFF, 0, 0),
        "reply-to-nothing": (1, Command.DMA_READ, 16, 1, 0), "reply-with-an-error": (1, Command.DMA_WRITE, 16, 0x21, 5),
        "no-type": (1, Command.GET_INFO, 32, 0xF, 0), "all-flags": (0xFFFF, 0xFFFF, 32, 0xFFFF_FFFF, 0xFFFF_FFFF)}.items():
    breaking(_name, HEADER.pack(*_header) + bytes(16))


@attack("C23", "before-the-version")
def _(mallory):
    """The answer is an error, and the connection ends."""
    for command in Command:
        if command != Command.VERSION:
            with mallory.knock() as connection:
                assert connection.refusal(command, bytes(32)) in (errno.EINVAL, errno.ENOTSUP)
                assert connection.wait_closed()
            mallory.close()


@attack("C23", "payloads-of-every-size")
def _(mallory):
    """What does not fit is refused; what may be of several sizes is anything but a crash."""
    connection = mallory.connect()
    exact = {Command.DMA_MAP: MAP.size, Command.DMA_UNMAP: UNMAP.size, Command.GET_INFO: DEVICE_INFO.size,
             Command.GET_IRQ_INFO: IRQ_INFO.size, Command.REGION_READ: ACCESS.size, Command.RESET: 0}
    for command in Command:
        for size in (*range(0, 48), 100, 1000, 4095, 4096, 4112):
            if exact.get(command) == size:
                continue
            try:
                connection.ask(command, b"\xFF" * size)
                assert command not in exact
            except Refused as refusal:
                assert refusal.error in (errno.EINVAL, errno.ENOTSUP)
    connection.get_info()


@attack("C23", "unknown-commands")
def _(mallory):
    connection = mallory.connect()
    for command in (0, *range(14, 300), 0x7FFF, 0xFFFF):
        if command in (Command.REGION_WRITE_MULTI,):
            continue
        number = connection.send(command, bytes(24))
        assert connection.receive()[:4] == (number, command, 0x21, errno.ENOTSUP)
    connection.get_info()


@attack("C23", "flags-and-errors-of-a-command")
def _(mallory):
    """Reserved bits, and an error in a command, mean nothing."""
    connection = mallory.connect()
    for flags in (0x20, 0x40, 0x8000_0000, 0xFFFF_FFC0):
        number = connection.send(Command.GET_INFO, ASK_INFO, flags=flags, error=7)
        connection.reply(number, Command.GET_INFO)
    for flags in (0x10, 0x30, 0xFFFF_FFF0):
        connection.send(Command.GET_INFO, ASK_INFO, flags=flags)
        connection.send(Command.REGION_READ, bytes(16), flags=flags)
        connection.send(0xFFFF, bytes(16), flags=flags)
    connection.get_info()


@attack("C23", "one-number-for-all-messages")
def _(mallory):
    """Answers come in order, so that numbers need not differ."""
    connection = mallory.connect()
    for _ in range(10):
        data = [connection.message(Command.REGION_READ, ACCESS.pack(at, BAR0, 4), number=5) for at in range(0, 64, 4)]
        connection.send_bytes(b"".join(data))
        answers = [connection.reply(5, Command.REGION_READ) for _ in data]
        assert [ACCESS.unpack_from(answer)[0] for answer in answers] == list(range(0, 64, 4))


@attack("C23", "many-messages-in-one-write")
def _(mallory):
    connection = mallory.connect()
    one = connection.message(Command.GET_INFO, ASK_INFO, number=9)
    for _ in range(20):
        connection.send_bytes(one * 100)
        for _ in range(100):
            connection.reply(9, Command.GET_INFO)


# ---- pieces ----

@attack("C23", "byte-by-byte")
def _(mallory):
    """Legal, if it does not take too long; descriptors come with the first byte."""
    connection = mallory.knock()
    controller = mallory.controller
    region = controller.memory.regions[0]
    map_payload = MAP.pack(32, 3, 0, region.guest_address, region.size)
    with eventfds(3) as fds:
        irqs = IRQ_SET.pack(20, IRQ_FDS | IRQ_TRIGGER, MSIX, 0, 3)
        for command, payload, sent in ((Command.VERSION, VERSION, ()), (Command.DMA_MAP, map_payload, [region.fd]),
                                       (Command.SET_IRQS, irqs, fds), (Command.GET_INFO, ASK_INFO, ())):
            data = connection.message(command, payload, number=3)
            connection.send_bytes(data[:1], sent)
            for byte in data[1:]:
                time.sleep(0.0005)          # most of them are read alone
                connection.send_bytes(bytes([byte]))
            connection.reply(3, command)
        controller.bring_up(1, "none")
        mallory.expect_working()


@attack("C23", "cut-anywhere")
def _(mallory):
    """Two messages, of which the second has a descriptor, in two pieces."""
    connection = mallory.connect()
    region = mallory.controller.memory.regions[0]
    first = connection.message(Command.REGION_READ, ACCESS.pack(0, BAR0, 8), number=1)
    second = connection.message(Command.DMA_MAP, MAP.pack(32, 3, 0, region.guest_address, region.size), number=2)
    for cut in range(1, len(first)):
        connection.send_bytes(first[:cut])
        connection.send_bytes(first[cut:])
        connection.send_bytes(second[:cut], [region.fd])
        connection.send_bytes(second[cut:] + first)
        connection.reply(1, Command.REGION_READ)
        connection.reply(2, Command.DMA_MAP)
        connection.reply(1, Command.REGION_READ)


def test_hostile_messages_without_end(mallory):
    """Half a header, half a payload, a descriptor with half a message, a byte now and then, and nothing at all: each
    connection ends after the time for one message, not before.
    """
    half = HEADER.pack(1, Command.DMA_MAP, 48, 0, 0) + bytes(16)
    start = time.monotonic()
    with eventfds(1) as fds:
        silent = mallory()
        silent.knock()
        waiting = [silent]
        for data, sent in ((half[:7], ()), (half, ()), (half, fds), (half[:1], ()), (half[:16], fds)):
            one = mallory()
            one.connect().send_bytes(data, sent)
            waiting.append(one)
        slow = mallory()
        connection = slow.connect()
        connection.send_bytes(HEADER.pack(1, Command.VERSION, MESSAGE_MAX, 0, 0))
        with contextlib.suppress(Closed):
            while time.monotonic() < start + 6 * MESSAGE_S:
                connection.send_bytes(b"\0")
                time.sleep(0.2)
        waiting.append(slow)
    for one in waiting:
        assert one.controller.connection.wait_closed(), "still open"
        one.close()
        one.expect_welcome()
    assert MESSAGE_S / 2 <= time.monotonic() - start
    waiting[0].expect_others_served()


@attack("C23", "replies-are-not-read")
def _(mallory):
    """The connection ends when there is no room for them; nobody waits."""
    connection = mallory.connect()
    question = connection.message(Command.REGION_READ, ACCESS.pack(0, BAR0, 4096)) * 64
    connection.sock.settimeout(5)
    with contextlib.suppress(Closed, TimeoutError):
        for _ in range(1000):
            connection.send_bytes(question)
    mallory.expect_others_served()
    mallory.expect_closed()


# ---- descriptors ----

@attack("C23", "descriptors-with-every-message")
def _(mallory):
    """Where none belongs they are closed, and the message refused."""
    connection = mallory.connect()
    before = mallory.daemon.fd_count()
    with eventfds(2) as fds:
        for _ in range(20):
            for command in Command:
                if command in (Command.VERSION, Command.DMA_MAP, Command.SET_IRQS):
                    continue
                assert connection.refusal(command, bytes(DEVICE_INFO.size), fds) in (errno.EINVAL, errno.ENOTSUP)
        assert connection.refusal(Command.DMA_MAP, MAP.pack(32, 3, 0, 0, PAGE), fds) == errno.EINVAL
        connection.send(Command.GET_INFO, ASK_INFO, fds, flags=FLAG_NO_REPLY)
    connection.get_info()
    wait_until(lambda: mallory.daemon.fd_count() <= before, "the daemon keeps none")


@attack("C23", "descriptor-with-the-version")
def _(mallory):
    connection = mallory.knock()
    with eventfds(1) as fds:
        assert connection.refusal(Command.VERSION, VERSION, fds) == errno.EINVAL
    assert connection.wait_closed()


@attack("C23", "sixteen-descriptors")
def _(mallory):
    """As many as a message may have."""
    controller = mallory.start(interrupts="none")
    with eventfds(16) as fds:
        for start in (0, 48, 1, 17):
            controller.connection.set_eventfds(MSIX, start, fds)
        mallory.expect_working()
        controller.connection.set_irqs(IRQ_NONE | IRQ_TRIGGER, MSIX, 0, 0)


def too_many(count):
    @attack("C23", f"{count}-descriptors")
    def _(mallory):
        before = mallory.daemon.fd_count()
        connection = mallory.connect()
        with eventfds(1) as fds:
            payload = IRQ_SET.pack(20, IRQ_FDS | IRQ_TRIGGER, MSIX, 0, count)
            refused_or_closed(mallory, connection, Command.SET_IRQS, payload, fds * count)
        mallory.close()
        wait_until(lambda: mallory.daemon.fd_count() <= before, "the daemon keeps none")


for _count in (17, 18, 64, 253):
    too_many(_count)


@attack("C23", "descriptors-inside-a-message")
def _(mallory):
    """Behind its first byte: the connection ends, or the message is treated as if they had come with it."""
    with eventfds(2) as fds:
        for cut in (1, 8, 15, 16, 17, 30, 35):
            connection = mallory.connect()
            data = connection.message(Command.SET_IRQS, IRQ_SET.pack(20, IRQ_FDS | IRQ_TRIGGER, MSIX, 0, 2), number=4)
            with contextlib.suppress(Closed, Refused):
                connection.send_bytes(data[:cut])
                connection.send_bytes(data[cut:], fds)
                connection.reply(4, Command.SET_IRQS)
                connection.get_info()
            mallory.close()
    mallory.expect_welcome()


@attack("C23", "descriptors-with-every-byte")
def _(mallory):
    """Of a message that may have 16."""
    with eventfds(1) as fds:
        connection = mallory.connect()
        before = mallory.daemon.fd_count()
        data = connection.message(Command.SET_IRQS, IRQ_SET.pack(20, IRQ_FDS | IRQ_TRIGGER, MSIX, 0, 16), number=4)
        with contextlib.suppress(Closed, Refused):
            for byte in data:
                connection.send_bytes(bytes([byte]), fds * 8)
            connection.reply(4, Command.SET_IRQS)
        assert mallory.daemon.fd_count() - before <= 64


@attack("C23", "descriptors-without-end")
def _(mallory):
    """Refused ones, accepted ones, exchanged ones: few are held."""
    connection = mallory.connect()
    before = mallory.daemon.fd_count()
    region = mallory.controller.memory.regions[0]
    with eventfds(16) as fds:
        for _ in range(300):
            connection.set_eventfds(MSIX, 0, fds)
            connection.refusal(Command.RESET, b"", fds)
            connection.map_region(region)
            assert mallory.daemon.fd_count() - before <= 64
    connection.get_info()


@pytest.mark.parametrize("attack", attack.parameters)
def test_hostile(mallory, attack):
    run(mallory, attack)
