# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest memory over vfio-user: ranges that come, go, overlap and cannot be reached, with commands in flight."""
import os

import pytest

import nvme
from guest_memory import PAGE, GuestMemory, Region
from nvme import CC, CSTS, CSTS_FATAL, CSTS_READY, READ, WRITE, Controller, NvmeLoad, blocks
from nvme_daemon import nvme_daemon
from vfio_user import Refused

MIB = 1 << 20

@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with nvme_daemon(tmp_path_factory.mktemp("viaduct")) as instance:
        yield instance


DATA = 0x4000_0000


@pytest.fixture
def two_regions():
    """Queues lie in the first region, data in the second."""
    return GuestMemory(Region(0x10_0000, 4 * MIB), Region(DATA, 4 * MIB))


def test_memory_goes_while_commands_are_in_flight(alice, two_regions):
    """Each is done or refused, none is lost, and the memory comes back."""
    with Controller.start(alice, memory=two_regions, queues=2) as controller:
        statuses = set()
        at = two_regions.allocate(64 * PAGE, PAGE, region=1)
        for number in range(40):
            identifiers = [(queue, queue.submit(READ, namespace=1, prp1=at + PAGE * i, words=blocks(8 * i, 8)))
                           for queue in controller.queues for i in range(30)]
            controller.connection.dma_unmap(DATA, 4 * MIB)
            if number % 2:
                controller.connection.map_region(two_regions.regions[1])
            statuses |= {queue.wait(identifier).status for queue, identifier in identifiers}
            if number % 2 == 0:
                controller.expect(controller.transfer(READ, 0, 8, prp1=at), nvme.DATA_TRANSFER_ERROR)
                controller.connection.map_region(two_regions.regions[1])
            controller.expect(controller.transfer(READ, 0, 8, prp1=at))
        assert statuses <= {nvme.SUCCESS, nvme.DATA_TRANSFER_ERROR}


def test_regions_come_and_go_under_load(alice):
    with Controller.start(alice, queues=2) as controller:
        load = NvmeLoad(controller, seed=6)
        for number in range(60):
            load.step()
            extra = Region(0x8000_0000 + (number << 24), MIB)
            controller.connection.map_region(extra)
            load.step()
            controller.connection.dma_unmap(extra.guest_address, MIB)
            extra.close()
        load.finish()


def test_ranges_take_the_place_of_older_ones(alice):
    """As after the reboot of a PC: shadows of the firmware are mapped over memory, and memory over them."""
    with Controller.start(alice, queues=2) as controller:
        region, connection = controller.memory.regions[0], controller.connection
        load = NvmeLoad(controller, seed=7)
        at = controller.memory.allocate(16 * PAGE, 16 * PAGE)
        offset = at - region.guest_address
        for number in range(20):
            load.step()
            connection.dma_map(at, 4 * PAGE, flags=1)                   # a ROM, without a file
            controller.expect(controller.transfer(READ, 0, 8, prp1=at + PAGE), nvme.DATA_TRANSFER_ERROR)
            controller.expect(controller.transfer(READ, 0, 8, prp1=at + 4 * PAGE))
            connection.dma_unmap(at + PAGE, 2 * PAGE)                   # a part of it
            load.step()
            connection.dma_map(at, 8 * PAGE, region.fd, offset)         # memory over what is left
            controller.memory.fill(at + PAGE, PAGE, 0xEE)
            controller.expect(controller.transfer(READ, 0, 8, prp1=at + PAGE))
            assert controller.memory.read(at + PAGE, PAGE) == controller.read(0, 8)
            connection.map_region(region)                               # all of it, over everything
            if number % 2:
                connection.map_region(region)
        load.finish()


def test_the_last_mapping_counts(alice):
    """Another file over a part: its bytes, and not those of the file below."""
    with Controller.start(alice) as controller:
        at = controller.memory.allocate(4 * PAGE, PAGE)
        other = Region(at + PAGE, PAGE, file_offset=2 * PAGE)
        controller.write(0, b"\x5A" * 8192)
        controller.memory.fill(at, 4 * PAGE, 0x11)
        controller.connection.map_region(other)
        controller.expect(controller.transfer(READ, 0, 16, prp1=at, prp2=at + PAGE))
        assert controller.memory.read(at, 2 * PAGE) == b"\x5A" * PAGE + b"\x11" * PAGE
        assert bytes(other.bytes) == b"\x5A" * PAGE
        controller.connection.dma_unmap(at + PAGE, PAGE)
        controller.expect(controller.transfer(READ, 0, 16, prp1=at, prp2=at + PAGE), nvme.DATA_TRANSFER_ERROR)
        controller.expect(controller.transfer(READ, 0, 16, prp1=at + 2 * PAGE, prp2=at + 3 * PAGE))
        assert controller.memory.read(at + 2 * PAGE, 2 * PAGE) == b"\x5A" * 8192
        other.close()


def test_a_refused_mapping(alice):
    """A file that is too short, over memory in use: that may be gone then, until it is mapped again."""
    with Controller.start(alice, queues=2) as controller:
        region = controller.memory.regions[0]
        short = os.memfd_create("short")
        for _ in range(10):
            controller.ask_queue(0, 20)
            with pytest.raises(Refused):
                controller.connection.dma_map(region.guest_address, region.size, short)
            controller.ask_queue(1, 20)
            controller.connection.map_region(region)
            controller.connection.reset()
            controller.set_command()
            controller.start_again(2)
            controller.roundtrip()
        os.close(short)


def test_unmap_all_and_map_again(alice):
    with Controller.start(alice) as controller:
        controller.connection.dma_map(0xC_0000, 0x2_0000)
        controller.connection.unmap_all()
        controller.connection.unmap_all()
        assert not controller.get(CSTS) & CSTS_FATAL
        controller.map_memory()
        controller.roundtrip()


def test_unknown_ranges_can_be_unmapped(alice):
    with Controller.start(alice) as controller:
        controller.connection.dma_unmap(0x7000_0000_0000, MIB)
        controller.connection.dma_unmap(0xFFFF_FFFF_FFFF_0000, 0xF000)
        controller.roundtrip()


def test_ranges_that_cannot_be_reached(alice, two_regions):
    """Without a file, or that may only be read: an error of the command that names them, and not more."""
    with Controller.start(alice, memory=two_regions) as controller:
        at, connection = two_regions.allocate(PAGE, PAGE, region=1), controller.connection
        for how in ({"flags": 1}, {"flags": 2}, {"fd": two_regions.regions[1].fd, "flags": 1}, {"fd": two_regions.regions[1].fd, "flags": 2}):
            connection.dma_map(DATA, 4 * MIB, **how)
            for opcode in (READ, WRITE):
                controller.expect(controller.transfer(opcode, 0, 8, prp1=at), nvme.DATA_TRANSFER_ERROR)
            completion = controller.admin.do(nvme.IDENTIFY, prp1=at, words=[1])
            controller.expect(completion, nvme.DATA_TRANSFER_ERROR)
            controller.expect(controller.create_cq(2, at, 16), nvme.INVALID_FIELD)
            controller.roundtrip()


def test_memory_in_a_file_on_a_disk_is_left_out(alice, two_regions):
    """An NVDIMM's: the guest runs, and what names it fails."""
    fd = os.open("/var/tmp", os.O_RDWR | os.O_TMPFILE, 0o600)
    os.ftruncate(fd, MIB)
    with Controller.start(alice, memory=two_regions) as controller:
        controller.connection.dma_map(0x1_0000_0000, MIB, fd)
        controller.expect(controller.transfer(READ, 0, 8, prp1=0x1_0000_0000), nvme.DATA_TRANSFER_ERROR)
        controller.roundtrip()
        controller.connection.dma_unmap(0x1_0000_0000, MIB)
    os.close(fd)


def test_memory_that_is_kept_from_the_device(daemon, alice):
    """That is said of a VMM that shares none, and not of one that has none for a moment: QEMU unmaps all that changes first."""
    since = len(daemon.lines)
    with Controller.start(alice) as controller:
        region, connection = controller.memory.regions[0], controller.connection
        for _ in range(3):
            connection.dma_map(0xFFFC_0000, 0x4_0000, flags=1)          # the firmware's ROM, without a file
            connection.unmap_all()
            connection.dma_map(0xC_0000, 0x2_0000, flags=1)
            connection.map_region(region)
            controller.roundtrip()
    with Controller.start(daemon.socket("bob/root")) as controller:
        connection = controller.connection
        connection.unmap_all()
        connection.dma_map(0, MIB)
        assert connection.get_info()
        daemon.wait_line("bob/disk-root: VMM: it keeps its guest's memory to itself", since)
    assert not [line for line in daemon.lines_about("to itself", since) if "alice/" in line]


def test_a_disk_that_is_no_bus_master(alice):
    """It reads no queue until it is one again."""
    with Controller.start(alice) as controller:
        controller.set_command(nvme.COMMAND_MEMORY)
        queue, at = controller.queues[0], controller.scratch(4096)
        identifier = queue.submit(READ, namespace=1, prp1=at, words=blocks(0, 8))
        assert controller.get(CSTS) & 3 == CSTS_READY
        assert not queue.poll()
        controller.set_command()
        controller.expect(queue.wait(identifier))
        controller.roundtrip()
        controller.disable()
        controller.set_command(nvme.COMMAND_MEMORY)
        controller.put(CC, nvme.CC_ENTRIES | nvme.CC_ENABLE)
        controller.wait_status(CSTS_FATAL, CSTS_FATAL | CSTS_READY)
        controller.set_command()
        controller.disable()
        controller.start_again()
        controller.roundtrip()
