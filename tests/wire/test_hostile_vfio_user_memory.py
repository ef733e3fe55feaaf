# SPDX-License-Identifier: GPL-2.0-or-later
"""Row C23: memory that is mapped over vfio-user and is none, is too much, or goes while it is used."""
import contextlib
import errno
import os
import tempfile
import time

import pytest

import nvme
from descriptors import KINDS
from fuse_disk import silent_file
from guest_memory import PAGE, GuestMemory, Region
from nvme_mallory import NvmeAttacks, hostile_daemon, make_mallory, run
from patience import PATIENCE_S
from stuck import growing_file, switched_eventfd
from vfio_user import (INTX, IRQ_NONE, IRQ_TRIGGER, MAP, MSIX, UNMAP, Closed, Command, Refused, eventfds, heard)

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


# ---- memory ----

def maps(*numbers):
    """Payloads of DMA_MAP: (flags, offset, address, size)."""
    return [MAP.pack(MAP.size, *four) for four in numbers]


@attack("C23", "map-of-no-size-and-wrapping")
def _(mallory):
    controller = mallory.start()
    refused(controller.connection, Command.DMA_MAP, maps(
        (3, 0, 0, 0), (3, 0, TOP, 0), (3, 0, TOP, 1), (3, 0, TOP, 2), (3, 0, 0x1000, TOP), (3, 0, 1 << 63, 1 << 63),
        (3, TOP, 0, 0x1000), (3, 1 << 63, 0, 1 << 63), (3, 0, TOP - PAGE + 1, PAGE),
        (4, 0, 0, PAGE), (0xFFFF_FFFF, 0, 0, PAGE)))
    # the same with a file
    region = controller.memory.regions[0]
    for payload in maps((3, 0, 0, 0), (3, 0, TOP, 2), (3, TOP, 0, PAGE), (3, 0, 0x4000_0000, 1 << 62),
                        (3, region.size, 0x4000_0000, PAGE), (3, region.size - 1, 0x4000_0000, PAGE)):
        assert controller.connection.refusal(Command.DMA_MAP, payload, [region.fd])
    mallory.expect_working()


@attack("C23", "map-beside-pages")
def _(mallory):
    """Addresses, sizes and offsets that are no multiples of pages."""
    controller = mallory.start()
    region, connection = controller.memory.regions[0], controller.connection
    for fds in ([], [region.fd]):
        for offset, address, size in ((0, 0x4000_0001, PAGE), (0, 0x4000_0000, PAGE - 1), (0, 0x4000_0200, 512), (0, 0x4000_0000, 1),
                                      (1, 0x4000_0000, PAGE), (512, 0x4000_0000, PAGE)):
            assert connection.refusal(Command.DMA_MAP, maps((3, offset, address, size))[0], fds) == errno.EINVAL
    refused(connection, Command.DMA_UNMAP, [UNMAP.pack(24, 0, region.guest_address + at, size)
                                            for at, size in ((1, PAGE), (0, PAGE - 1), (512, 512))])
    mallory.expect_working()


@attack("C23", "more-maps-than-there-may-be")
def _(mallory):
    controller = mallory.start()
    region, connection = controller.memory.regions[0], controller.connection
    for with_file in (True, False):
        count = 0
        with contextlib.suppress(Refused):
            while count < 5000:
                connection.dma_map(0x1_0000_0000 + 2 * PAGE * count, PAGE, region.fd if with_file else None)
                count += 1
        assert 256 <= count <= 512, f"{count} maps were accepted"
        mallory.expect_working()
        mallory.expect_others_served()
        connection.unmap_all()
        connection.map_region(region)


@attack("C23", "a-map-in-pieces")
def _(mallory):
    """Every second page is unmapped until there are too many pieces; then all of them at once."""
    controller = mallory.start()
    region, connection = controller.memory.regions[0], controller.connection
    connection.dma_map(0x1_0000_0000, region.size, region.fd)
    count = 0
    with contextlib.suppress(Refused):
        while count < 2000:
            connection.dma_unmap(0x1_0000_0000 + PAGE * (1 + 2 * count), PAGE)
            count += 1
    assert 256 <= count <= 512, f"{count} holes were made"
    mallory.expect_working()
    connection.dma_unmap(0x1_0000_0000, region.size)
    controller.expect(controller.transfer(nvme.READ, 0, 8, prp1=0x1_0000_0000), nvme.DATA_TRANSFER_ERROR)
    mallory.expect_working()


@attack("C23", "all-addresses-there-are")
def _(mallory):
    """Files that hold nothing, each of a terabyte: the daemon keeps addresses for others."""
    controller = mallory.start()
    fd = os.memfd_create("large")
    os.ftruncate(fd, 1 << 43)
    with contextlib.suppress(Refused):
        for number in range(500):
            controller.connection.dma_map(1 << 50 | number << 43, 1 << 43, fd)
    with nvme.Controller.start(mallory.daemon.socket("polite/root")) as other:
        other.roundtrip()
    mallory.expect_working()
    os.close(fd)


@attack("C23", "unmap-that-lies")
def _(mallory):
    connection = mallory.start().connection
    refused(connection, Command.DMA_UNMAP, [UNMAP.pack(24, *three) for three in (
        (0, 0, 0), (0, 0x1000, 0), (0, TOP, 2), (0, 0x1000, TOP), (1, 0, PAGE), (3, 0, 0), (0xFFFF_FFFF, 0, 0))])
    mallory.expect_working()


@attack("C23", "unmap-in-flight")
def _(mallory):
    """Of the queues and the data of commands under way; then the controller has failed, or goes on."""
    controller = mallory.start()
    region = controller.memory.regions[0]
    for number in range(30):
        controller.ask_queue(number % 2, 40)
        if number % 3 == 0:
            controller.connection.unmap_all()
        elif number % 3 == 1:
            controller.connection.dma_unmap(region.guest_address, region.size)
        else:
            controller.connection.dma_map(region.guest_address, region.size, flags=1)
        controller.connection.map_region(region)
        mallory.expect_recovers()


@attack("C23", "files-under-the-memory-exchanged")
def _(mallory):
    """Two files in turn below the running queues."""
    controller = mallory.start()
    region = controller.memory.regions[0]
    fd = os.memfd_create("other")
    os.ftruncate(fd, region.size)
    for _ in range(50):
        controller.ask_queue(0, 30)
        controller.connection.dma_map(region.guest_address, region.size, fd)
        controller.ask_queue(1, 5)
        controller.connection.map_region(region)
        controller.connection.get_info()
        mallory.expect_recovers()
    os.close(fd)


# ---- files ----

def kind(name):
    @attack("C23", f"map-of-{name}")
    def _(mallory):
        """Refused, or left out; more often than a doorman takes strangers."""
        controller = mallory.start()
        with KINDS[name]() as fd, contextlib.suppress(Closed):
            for number in range(50):
                try:
                    controller.connection.dma_map(0x4000_0000, PAGE, fd)
                    assert name == "disk-file", "it was mapped"
                except Refused as refusal:
                    assert refusal.error == errno.EBADF
                if number == 10:
                    mallory.expect_working()
            mallory.expect_working()


for _name in KINDS:
    if _name != "io-uring":         # which the kernel does not let anybody send
        kind(_name)


@attack("C23", "map-of-a-silent-file")
def _(mallory):
    """Of a file system that answers nothing: nobody asks it, and nobody waits."""
    controller = mallory.start()
    with silent_file() as fd:
        for _ in range(20):
            with contextlib.suppress(Refused):
                controller.connection.dma_map(0x4000_0000, PAGE, fd)
            controller.connection.get_info()
        mallory.expect_others_served()
        mallory.expect_working()
        assert mallory.daemon.api("GET", "/v1/status")[0] == 200


@attack("C23", "map-of-a-file-being-filled")
def _(mallory):
    """The file's lock is held all the time, for which a seal waits."""
    controller = mallory.start()
    with growing_file(64 << 20) as fd:
        number = controller.connection.send(Command.DMA_MAP, MAP.pack(32, 3, 0, 0x4000_0000, PAGE), [fd])
        mallory.expect_others_served()
        assert mallory.daemon.api("GET", "/v1/status")[0] == 200
    with contextlib.suppress(Refused):
        controller.connection.reply(number, Command.DMA_MAP)
    mallory.expect_working()


@attack("C23", "file-that-is-too-short-or-not-to-be-written")
def _(mallory):
    controller = mallory.start()
    fd = os.memfd_create("small")
    os.ftruncate(fd, 2 * PAGE)
    for size, offset in ((3 * PAGE, 0), (2 * PAGE, PAGE), (PAGE, 2 * PAGE), (1 << 40, 0)):
        payload, = maps((3, offset, 0x4000_0000, size))
        assert controller.connection.refusal(Command.DMA_MAP, payload, [fd]) == errno.ERANGE
    only = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    assert controller.connection.refusal(Command.DMA_MAP, maps((3, 0, 0x4000_0000, PAGE))[0], [only])
    os.close(fd)
    os.close(only)
    mallory.expect_working()


def shrinking(name, regions_of):
    @attack("C23", f"{name}-in-a-file-that-shrinks")
    def _(mallory):
        """A file of tmpfs cannot be sealed: what is gone reads as zeroes, is an error, or ends the connection."""
        with tempfile.TemporaryFile(dir="/dev/shm") as file:
            file.truncate(4 << 20)
            large = Region(0x10_0000, 4 << 20)
            small = Region(0x4000_0000, 4 << 20, os.dup(file.fileno()))
            controller = mallory.start(memory=GuestMemory(*regions_of(large, small)))
            at = controller.memory.allocate(64 * PAGE, PAGE, region=1)
            for queue in controller.queues * 30:
                queue.submit(nvme.READ, namespace=1, prp1=at, words=nvme.blocks(0, 8))
            file.truncate(0)
            with contextlib.suppress(Closed):
                for _ in range(100):
                    controller.post32(controller.queues[0].doorbell(), 5)
                    controller.post32(controller.queues[1].doorbell(), 9)
                    controller.post32(controller.admin.doorbell(), 7)
                controller.connection.get_info()
                controller.connection.reset()
                controller.connection.get_info()
            mallory.expect_others_served()
            # The test's own mapping has pages again.
            file.truncate(4 << 20)


shrinking("data", lambda large, small: (large, small))
shrinking("queues", lambda large, small: (small, large))


# ---- eventfds ----

def full(name, flags):
    @attack("C23", f"full-eventfd-{name}")
    def _(mallory):
        """Nobody waits for its reader: commands go on, and so do a reset and the end."""
        controller = mallory.start(interrupts="none")
        connection = controller.connection
        with eventfds(3, flags) as fds, eventfds(1, flags) as pins:
            for fd in fds + pins:
                os.eventfd_write(fd, (1 << 64) - 2)
            connection.set_eventfds(MSIX, 0, fds)
            for _ in range(30):
                mallory.expect_working()
            mallory.expect_others_served()
            connection.reset()
            controller.set_command()
            controller.start_again(2)
            mallory.expect_working()
            connection.set_irqs(IRQ_NONE | IRQ_TRIGGER, MSIX, 0, 0)
            connection.set_eventfds(INTX, 0, pins)
            mallory.expect_working()
            connection.reset()
            # Another in its place is heard at once.
            with eventfds(3) as others:
                controller.set_command()
                connection.set_eventfds(MSIX, 0, fds)
                controller.start_again(2)
                controller.roundtrip()
                connection.set_eventfds(MSIX, 0, others)
                controller.roundtrip()
                assert heard(others[1])
            connection.set_eventfds(MSIX, 0, fds)
            controller.roundtrip()
            # The connection ends while writes wait.
            mallory.close()
            mallory.expect_welcome()


full("that-does-not-wait", os.EFD_NONBLOCK)
full("that-waits", 0)


@attack("E5", "vector")
def _(mallory):
    """The worker is made to wait, once: then the connection ends."""
    controller = mallory.start(interrupts="none")
    deadline = time.monotonic() + 5 * PATIENCE_S
    with switched_eventfd() as fd, pytest.raises(Closed):
        while time.monotonic() < deadline:
            controller.connection.set_eventfds(MSIX, 0, [fd])
            controller.connection.set_irqs(IRQ_NONE | IRQ_TRIGGER, MSIX, 0, 1)
    mallory.daemon.wait_line("it made the worker wait", mallory.lines_before)
    mallory.expect_others_served()
    mallory.close()


@pytest.mark.parametrize("attack", attack.parameters)
def test_hostile(mallory, attack):
    run(mallory, attack)
