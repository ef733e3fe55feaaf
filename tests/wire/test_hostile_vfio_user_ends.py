# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows C23, E11: takeovers of connections that are in the middle of something, and memory that makes the worker wait."""
import contextlib
import os
import threading
import time

import pytest

import nvme
from guest_memory import PAGE, GuestMemory, Region, memory_file
from nvme_mallory import NvmeAttacks, hostile_daemon, make_mallory, run
from patience import wait_until
from stuck import KEEP_SIZE, PUNCH_HOLE, fallocate
from vfio_user import HEADER, IRQ_FDS, IRQ_SET, IRQ_TRIGGER, MSIX, Closed, Command, eventfds, heard

attack = NvmeAttacks()
MIB = 1 << 20
HOLE_BYTES = 512 * MIB              # takes a tenth of a second and more


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with hostile_daemon(tmp_path_factory.mktemp("viaduct")) as instance:
        yield instance


@pytest.fixture
def mallory(daemon, victim, hostile_guests):
    yield from make_mallory(daemon, victim, hostile_guests)


# ---- takeover ----

@attack("C23", "takeover-inside-a-message-with-descriptors")
def _(mallory):
    """A part of it is here, a part with the doorman, and a part nowhere yet."""
    controller = mallory.start(interrupts="none")
    connection = controller.connection
    with eventfds(2) as fds:
        data = connection.message(Command.SET_IRQS, IRQ_SET.pack(20, IRQ_FDS | IRQ_TRIGGER, MSIX, 1, 2), number=4)
        for cut in (1, 15, 16, 17, 35):
            connection.send_bytes(data[:cut], fds)
            mallory.daemon.take_over()
            connection.send_bytes(data[cut:])
            connection.reply(4, Command.SET_IRQS)
            for number, fd in enumerate(fds):
                controller.ask_queue(number)
                assert heard(fd)
                controller.take(number)


@attack("C23", "takeover-with-full-eventfds")
def _(mallory):
    """It does not wait for their reader."""
    controller = mallory.start(interrupts="none")
    with eventfds(3, 0) as fds:
        for fd in fds:
            os.eventfd_write(fd, (1 << 64) - 2)
        controller.connection.set_eventfds(MSIX, 0, fds)
        mallory.expect_working()
        mallory.daemon.take_over()
        mallory.expect_working()
        assert os.eventfd_read(fds[1]) >= (1 << 64) - 2
        controller.ask_queue(0)
        assert heard(fds[1])
        controller.take(0)


@attack("C23", "takeover-in-the-middle-of-everything")
def _(mallory):
    """Commands in flight, a queue being deleted, a shutdown, a reset: each is finished by one of the two processes."""
    controller = mallory.start()
    connection = controller.connection
    on = nvme.CC_ENTRIES | nvme.CC_ENABLE
    for number in range(6):
        controller.ask_queue(0, 50)
        controller.ask_queue(1, 50)
        if number == 0:
            deleted = controller.admin.submit(nvme.DELETE_SQ, words=[1])
        elif number == 1:
            controller.post32(nvme.CC, on | nvme.CC_SHUTDOWN)
        elif number == 2:
            controller.post32(nvme.CC, 0)
        elif number == 3:
            sent = connection.send(Command.RESET)
        elif number == 4:
            controller.set_command(nvme.COMMAND_MEMORY)
        mallory.daemon.take_over()
        if number == 0:
            controller.expect(controller.admin.wait(deleted))
        elif number == 1:
            controller.wait_status(nvme.CSTS_SHUT_DOWN, nvme.CSTS_SHUTDOWN)
        elif number == 2:
            controller.wait_status(0, nvme.CSTS_READY)
        elif number == 3:
            connection.reply(sent, Command.RESET)
        mallory.expect_recovers()


@attack("C23", "takeover-before-the-version-and-of-a-failed-controller")
def _(mallory):
    connection = mallory.knock()
    mallory.daemon.take_over()
    connection.version()
    controller = mallory.controller
    controller.bring_up(2)
    controller.disable()
    controller.put(nvme.CC, nvme.CC_ENTRIES | nvme.CC_ENABLE | 1 << 7)
    mallory.expect_fatal()
    mallory.daemon.take_over()
    mallory.expect_fatal()
    mallory.expect_recovers()


@attack("C23", "takeover-of-many-maps")
def _(mallory):
    """As many as there may be, in pieces."""
    controller = mallory.start()
    region, connection = controller.memory.regions[0], controller.connection
    connection.dma_map(0x1_0000_0000, region.size, region.fd)
    for number in range(400):
        connection.dma_unmap(0x1_0000_0000 + PAGE * (1 + 2 * number), PAGE)
    mallory.daemon.take_over()
    mallory.expect_working()
    controller.write(0, b"\x39" * 4096)
    controller.expect(controller.transfer(nvme.READ, 0, 8, prp1=0x1_0000_0000 + 2 * PAGE))
    assert controller.memory.read(region.guest_address + 2 * PAGE, PAGE) == b"\x39" * PAGE
    controller.expect(controller.transfer(nvme.READ, 0, 8, prp1=0x1_0000_0000 + PAGE), nvme.DATA_TRANSFER_ERROR)


@attack("C23", "takeover-beside-half-a-header")
def _(mallory):
    """Of a message that then never ends: its time is up in the successor, too."""
    connection = mallory.connect()
    connection.send_bytes(HEADER.pack(1, Command.REGION_READ, 32, 0, 0)[:9])
    mallory.daemon.take_over()
    assert connection.wait_closed()
    mallory.close()


# ---- memory that makes the worker wait ----

def punched(name, in_hole):
    @attack("E11", f"nvme-{name}")
    def _(mallory):
        """Holes are punched into the queues' or the data's file: every command is answered once all the same."""
        file = memory_file(HOLE_BYTES)
        small, large = Region(0x10_0000, 4 * MIB), Region(0x1000_0000, 4 * MIB, os.dup(file))
        controller = mallory.start(memory=GuestMemory(*((large, small) if in_hole == "queues" else (small, large))))
        at = controller.memory.allocate(16 * PAGE, PAGE, region=1)
        for _ in range(3):
            fallocate(file, 0, HOLE_BYTES)
            puncher = threading.Thread(target=fallocate, args=(file, PUNCH_HOLE | KEEP_SIZE, HOLE_BYTES))
            puncher.start()
            with contextlib.suppress(Closed):
                while puncher.is_alive():
                    if in_hole == "data":
                        identifiers = [queue.submit(nvme.READ, namespace=1, prp1=at + PAGE * i, words=nvme.blocks(0, 8))
                                       for queue in controller.queues for i in range(10)]
                        for queue in controller.queues:
                            for identifier in identifiers:
                                if identifier in queue.flying | set(queue.done):
                                    assert queue.wait(identifier).status in (nvme.SUCCESS, nvme.DATA_TRANSFER_ERROR)
                    else:
                        for queue in controller.queues:
                            controller.post32(queue.doorbell(), int(time.monotonic() * 1000) % queue.size)
                        controller.get(nvme.CSTS)
            puncher.join()
            mallory.expect_others_served()
            mallory.expect_recovers()
        os.close(file)
        wait_until(lambda: mallory.daemon.api("GET", "/v1/status")[0] == 200, "the API answers")


punched("data", "data")
punched("queues", "queues")


@pytest.mark.parametrize("attack", attack.parameters)
def test_hostile(mallory, attack):
    run(mallory, attack)
