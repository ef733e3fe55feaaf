# SPDX-License-Identifier: GPL-2.0-or-later
"""Row C23: registers and interrupts over vfio-user: accesses outside, sizes that lie, resets and ends in flight, storms."""
import contextlib
import errno
import struct
import time

import pytest

import nvme
from guest_memory import PAGE
from hostile import scribbler
from nvme_mallory import NvmeAttacks, hostile_daemon, make_mallory, run
from patience import wait_until, watch_nothing
from vfio_user import (ACCESS, BAR0, CONFIG, DEVICE_INFO, FLAG_NO_REPLY, IRQ_BOOL, IRQ_FDS, IRQ_INFO, IRQ_MASK, IRQ_NONE,
                       IRQ_SET, IRQ_TRIGGER, IRQ_UNMASK, MAP, MSIX, REGION_INFO, UNMAP, Closed, Command, Connection,
                       Refused, eventfds)

attack = NvmeAttacks()
TOP = (1 << 64) - 1


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with hostile_daemon(tmp_path_factory.mktemp("viaduct")) as instance:
        yield instance


@pytest.fixture
def mallory(daemon, victim, hostile_guests):
    yield from make_mallory(daemon, victim, hostile_guests)


def refused(connection, command, payloads, error=errno.EINVAL):
    """Each is refused, and the connection goes on."""
    for payload in payloads:
        assert connection.refusal(command, payload) == error, f"{Command(command).name} {payload[:32].hex()}"
    connection.get_info()


# ---- regions ----

@attack("C23", "accesses-outside")
def _(mallory):
    connection = mallory.start().connection
    outside = [(offset, region, count) for region, size in ((BAR0, nvme.BAR_BYTES), (CONFIG, 256)) for offset, count in (
        (size, 1), (size - 1, 2), (size - 3, 4), (0, 0), (size, 0), (TOP, 1), (TOP, 4096), (TOP - 4095, 4096), (1 << 32, 4), (1 << 63, 8))]
    outside += [(0, BAR0, 4097), (0, BAR0, 0xFFFF_FFFF), (TOP, BAR0, 0xFFFF_FFFF), (0, CONFIG, 257)]
    outside += [(0, region, 4) for region in (1, 2, 3, 4, 5, 6, 8, 9, 10, 255, 0x8000_0000, 0xFFFF_FFFF)]
    refused(connection, Command.REGION_READ, [ACCESS.pack(*access) for access in outside])
    refused(connection, Command.REGION_WRITE, [ACCESS.pack(*access) + bytes(min(access[2], 4096)) for access in outside])
    for access in outside:
        connection.send(Command.REGION_WRITE, ACCESS.pack(*access) + bytes(min(access[2], 4096)), flags=FLAG_NO_REPLY)
        connection.send(Command.REGION_READ, ACCESS.pack(*access), flags=FLAG_NO_REPLY)
    mallory.expect_working()


@attack("C23", "writes-of-another-size")
def _(mallory):
    """The count is not the number of bytes that follow."""
    connection = mallory.start().connection
    refused(connection, Command.REGION_WRITE, [ACCESS.pack(0, BAR0, count) + bytes(size) for count, size in (
        (4, 0), (4, 3), (4, 5), (4, 4096), (4096, 4), (0, 4), (0xFFFF_FFFF, 4), (1, 2), (4096, 4095))])
    mallory.expect_working()


@attack("C23", "accesses-of-every-size")
def _(mallory):
    """Reads, and writes of ones, of the whole configuration space and BAR, at all offsets."""
    controller = mallory.start()
    connection = controller.connection
    for region, size in ((CONFIG, 256), (BAR0, nvme.BAR_BYTES)):
        for count in (1, 2, 3, 4, 5, 7, 8, 9, 16, 255, 256, 4095, 4096):
            for offset in (0, 1, 2, 3, 4, 0x14, 0x1C, 0x24, 0x28, 0x3F, 0xFF8, 0x1000, 0x1004, 0x11FF, 0x1FFD, 0x1FFF, 0x2000,
                           0x23FD, 0x2FFF, 0x3000, 0x3004, 0x3007, 0x3FFF):
                if offset + count <= size:
                    connection.region_read(region, offset, count)
                    connection.region_write(region, offset, b"\xFF" * count)
                    connection.region_write(region, offset, bytes(count))
    mallory.expect_recovers()


@attack("C23", "many-writes-that-lie")
def _(mallory):
    """WRITE_MULTI: a count that is none, and single writes that are none."""
    connection = mallory.start().connection
    one = ACCESS.pack(nvme.INTMS, BAR0, 4) + bytes(8)
    refused(connection, Command.REGION_WRITE_MULTI, [struct.pack("<Q", count) + one * here for count, here in (
        (1, 0), (2, 1), (0, 1), (TOP, 1), (1 << 61, 1), (TOP // 24 + 1, 1), (TOP // 24 + 2, 1), (1 << 63, 0), (172, 170))])
    bad = [ACCESS.pack(*access) + b"\xFF" * 8 for access in (
        (0, BAR0, 0), (0, BAR0, 9), (0, BAR0, 0xFFFF_FFFF), (nvme.BAR_BYTES - 4, BAR0, 8), (TOP, BAR0, 8), (0, 9, 4), (0, 0xFFFF_FFFF, 4))]
    connection.ask(Command.REGION_WRITE_MULTI, struct.pack("<Q", len(bad)) + b"".join(bad))
    connection.ask(Command.REGION_WRITE_MULTI, struct.pack("<Q", 170) + one * 170)
    mallory.expect_working()


# ---- sizes of structures ----

@attack("C23", "argsz-lies")
def _(mallory):
    """Nothing is read or written by it, and no answer is longer than it says."""
    controller = mallory.start()
    connection, region = controller.connection, controller.memory.regions[0]
    for argsz in (0, 1, 15):
        refused(connection, Command.GET_INFO, [DEVICE_INFO.pack(argsz, 0, 0, 0)])
        refused(connection, Command.GET_REGION_INFO, [REGION_INFO.pack(argsz + 16, 0, 0, 0, 0, 0)])
        refused(connection, Command.GET_IRQ_INFO, [IRQ_INFO.pack(argsz, 0, 2, 0)])
        refused(connection, Command.DMA_UNMAP, [UNMAP.pack(argsz + 8, 0, 1 << 60, PAGE)])
        connection.ask(Command.SET_IRQS, IRQ_SET.pack(argsz, IRQ_NONE | IRQ_TRIGGER, MSIX, 0, 1))
        connection.ask(Command.DMA_MAP, MAP.pack(argsz, 3, 0, region.guest_address, region.size), [region.fd])
    for argsz in (32, 33, 4096, 0x7FFF_FFFF, 0xFFFF_FFFF):
        assert DEVICE_INFO.unpack(connection.ask(Command.GET_INFO, DEVICE_INFO.pack(argsz, TOP & 0xFFFF_FFFF, 0, 0)))[0] == 16
        assert REGION_INFO.unpack(connection.ask(Command.GET_REGION_INFO, REGION_INFO.pack(argsz, 7, 0, 1, 2, 3)))[0] == 32
        assert IRQ_INFO.unpack(connection.ask(Command.GET_IRQ_INFO, IRQ_INFO.pack(argsz, 7, 2, 9)))[0] == 16
        connection.ask(Command.DMA_MAP, MAP.pack(argsz, 3, 0, region.guest_address, region.size), [region.fd])
        connection.ask(Command.DMA_UNMAP, UNMAP.pack(argsz, 0, 1 << 60, PAGE))
        connection.ask(Command.SET_IRQS, IRQ_SET.pack(argsz, IRQ_NONE | IRQ_TRIGGER, MSIX, 0, 1))
    refused(connection, Command.GET_REGION_INFO, [REGION_INFO.pack(32, 0, index, 0, 0, 0) for index in (9, 10, 0x8000_0000, 0xFFFF_FFFF)])
    refused(connection, Command.GET_IRQ_INFO, [IRQ_INFO.pack(16, 0, index, 0) for index in (5, 6, 0x8000_0000, 0xFFFF_FFFF)])
    mallory.expect_working()


# ---- interrupts ----

@attack("C23", "interrupts-outside")
def _(mallory):
    controller = mallory.start()
    connection = controller.connection
    ranges = ((0, 65), (64, 1), (63, 2), (1, 64), (0xFFFF_FFFF, 1), (0xFFFF_FFFF, 2), (2, 0xFFFF_FFFF), (1, 0xFFFF_FFFF),
              (0x8000_0000, 0x8000_0000), (0, 0xFFFF_FFFF))
    refused(connection, Command.SET_IRQS, [IRQ_SET.pack(20, flags | IRQ_TRIGGER, MSIX, start, count) + data
                                           for start, count in ranges for flags, data in (
                                               (IRQ_NONE, b""), (IRQ_BOOL, bytes(4076)), (IRQ_FDS, b""))])
    refused(connection, Command.SET_IRQS, [IRQ_SET.pack(20, IRQ_NONE | action, 0, start, count)
                                           for action in (IRQ_MASK, IRQ_UNMASK, IRQ_TRIGGER) for start, count in ((1, 1), (0, 2), (TOP & 0xFFFF_FFFF, 2))])
    # bytes that are not there
    refused(connection, Command.SET_IRQS, [IRQ_SET.pack(4096, IRQ_BOOL | IRQ_TRIGGER, MSIX, 0, count) + bytes(here)
                                           for count, here in ((1, 0), (64, 63), (64, 0), (16, 15))])
    refused(connection, Command.SET_IRQS, [IRQ_SET.pack(20, IRQ_NONE | IRQ_TRIGGER, index, 0, 0) for index in (5, 255, 0xFFFF_FFFF)])
    refused(connection, Command.SET_IRQS, [IRQ_SET.pack(20, IRQ_NONE | IRQ_TRIGGER, index, 0, 1) for index in (1, 3, 4)])
    mallory.expect_working()


@attack("C23", "interrupts-with-all-flags")
def _(mallory):
    """Every combination, with and without descriptors, for every kind."""
    controller = mallory.start(interrupts="none")
    with eventfds(2) as fds:
        for flags in (*range(128), 0x8000_0000, 0xFFFF_FFFF):
            for index in range(6):
                for count, sent in ((0, []), (1, []), (2, []), (1, fds[:1]), (2, fds), (1, fds)):
                    with contextlib.suppress(Refused):
                        controller.connection.set_irqs(flags, index, 0, count, bytes(2), sent)
        controller.connection.set_irqs(IRQ_NONE | IRQ_TRIGGER, MSIX, 0, 0)
        controller.connection.set_irqs(IRQ_NONE | IRQ_TRIGGER, 0, 0, 0)
    mallory.expect_working()


# ---- resets and ends ----

@attack("C23", "reset-in-flight")
def _(mallory):
    """With messages right behind it, which are done after it."""
    controller = mallory.start()
    connection = controller.connection
    for _ in range(60):
        controller.ask_queue(0, 40)
        controller.ask_queue(1, 40)
        number = connection.send(Command.RESET)
        other = connection.send(Command.REGION_READ, ACCESS.pack(nvme.CC, BAR0, 4))
        again = connection.send(Command.RESET)
        connection.reply(number, Command.RESET)
        assert connection.reply(other, Command.REGION_READ)[ACCESS.size:] == bytes(4)
        connection.reply(again, Command.RESET)
        controller.set_command()
        controller.start_again(2)
    mallory.expect_working()


@attack("C23", "disconnect-in-flight")
def _(mallory):
    for number in range(25):
        controller = mallory.start()
        controller.ask_queue(0, 40)
        controller.ask_queue(1, 40)
        if number % 3 == 0:
            controller.connection.send(Command.RESET)
        elif number % 3 == 1:
            controller.post32(nvme.CC, 0)
        mallory.close()


@attack("C23", "many-resets-at-once")
def _(mallory):
    controller = mallory.start()
    connection = controller.connection
    data = connection.message(Command.RESET, flags=FLAG_NO_REPLY) * 200
    for _ in range(20):
        connection.send_bytes(data)
        mallory.expect_others_served()
    connection.get_info()
    mallory.expect_recovers()


@attack("C23", "connections-in-a-loop")
def _(mallory):
    """More than one at a time, each with half of something."""
    for number in range(60):
        connections = [Connection.open(mallory.path) for _ in range(3)]
        for connection in connections:
            with contextlib.suppress(Closed):
                connection.send_bytes(connection.message(Command.VERSION, struct.pack("<2H", 0, 1) + bytes(60))[:number])
        for connection in connections:
            connection.close()
    mallory.expect_others_served()
    mallory.expect_welcome_again()


# ---- storms ----

def storm(name, make):
    @attack("C23", f"storm-of-{name}")
    def _(mallory):
        """Both go on, on the same worker; what is right of the honest guest's requests its own process verifies."""
        controller = mallory.start()
        connection = controller.connection
        data = make(connection) * 200
        accesses = f'viaduct_device_kicks_total{{guest="{mallory.guest}",device="root",kind="disk"}}'
        before = mallory.daemon.metrics()[accesses]

        def step():
            connection.send_bytes(data)

        with scribbler(step):
            for number in range(10):
                mallory.expect_others_served()
                wait_until(lambda: mallory.daemon.metrics()[accesses] > before + 100 * number, "the storm goes on")
        mallory.close()


def post(connection, offset, data, region=BAR0):
    return connection.message(Command.REGION_WRITE, ACCESS.pack(offset, region, len(data)) + data, flags=FLAG_NO_REPLY)


storm("posted-writes", lambda connection: post(connection, nvme.INTMS, b"\1\0\0\0"))
storm("doorbells", lambda connection: post(connection, nvme.DOORBELLS + 8, b"\5\0\0\0") + post(connection, nvme.DOORBELLS + 8, b"\6\0\0\0"))
storm("wrong-doorbells", lambda connection: post(connection, nvme.DOORBELLS + 0x100, b"\xFF" * 4))
storm("switches", lambda connection: post(connection, nvme.CC, struct.pack("<I", nvme.CC_ENTRIES | 1)) + post(connection, nvme.CC, bytes(4)))
storm("bus-mastery", lambda connection: post(connection, nvme.COMMAND, b"\6\0", CONFIG) + post(connection, nvme.COMMAND, b"\2\0", CONFIG))
storm("large-writes", lambda connection: post(connection, 0x1000, bytes(4096)))
storm("many-writes", lambda connection: connection.message(
    Command.REGION_WRITE_MULTI, connection.writes(*[(BAR0, nvme.INTMS, b"\1\0\0\0")] * 170), flags=FLAG_NO_REPLY))


@attack("C23", "storm-of-refused-messages")
def _(mallory):
    """Each is worth a log line at most once a second."""
    controller = mallory.start()
    connection = controller.connection
    data = connection.message(Command.REGION_READ, ACCESS.pack(TOP, 9, 4), flags=FLAG_NO_REPLY) * 500
    begin = time.monotonic()
    with scribbler(lambda: connection.send_bytes(data)):
        for _ in range(10):
            mallory.expect_others_served()
    watch_nothing()
    lines = mallory.daemon.lines_about(mallory.guest, mallory.lines_before)
    assert lines and len(lines) <= 2 + 2 * (time.monotonic() - begin)
    mallory.close()


@pytest.mark.parametrize("attack", attack.parameters)
def test_hostile(mallory, attack):
    run(mallory, attack)
