# SPDX-License-Identifier: GPL-2.0-or-later
"""An NVMe disk in a guest whose VMM keeps the memory to itself: all of it goes by messages."""
import os
import struct
import threading

import pytest

import nvme
from guest_memory import PAGE, GuestMemory, Region
from nvme import CSTS, CSTS_FATAL, CSTS_READY, READ, SGL_SEGMENT, SGL_LAST_SEGMENT, WRITE, NvmeLoad, blocks, sgl
from nvme_daemon import nvme_daemon
from patience import NOTHING_S, wait_until, watch_nothing
from remote import RemoteController
from vfio_user import Command, heard, text

MIB = 1 << 20
BYTES_MAX = 4096            # of a message
MESSAGES_MAX = 16           # that wait for answers


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with nvme_daemon(tmp_path_factory.mktemp("viaduct")) as instance:
        yield instance


def is_read_of(first, size):
    return lambda asked: asked.command == Command.DMA_READ and first <= asked.address < first + size


def is_write_to(first, size):
    return lambda asked: asked.command == Command.DMA_WRITE and first <= asked.address < first + size


# ---- use ----

def test_all_kinds_of_commands(alice):
    with RemoteController.start(alice, queues=2) as controller:
        assert controller.identify(1)[4:24] == b"alice-serial".ljust(20)
        assert controller.size_blocks() * 512 == 16 * MIB
        at = controller.memory.allocate(PAGE, PAGE)
        controller.memory.fill(at, PAGE, 0xEE)
        controller.expect(controller.admin.do(nvme.GET_LOG_PAGE, prp1=at, words=[2 | 127 << 16]))
        assert controller.memory.read(at, 1) == b"\0" and controller.memory.read(at + 512, 8) == b"\xEE" * 8
        data = os.urandom(MIB)
        controller.write(0, data)
        assert controller.read(0, 2048) == data
        controller.write_zeroes(8, 8)
        controller.expect(controller.trim((16, 8), (32, 8)))
        data = data[:4096] + bytes(4096) + bytes(4096) + data[12288:16384] + bytes(4096) + data[20480:]
        assert controller.read(0, 2048) == data
        controller.expect(controller.queues[1].do(nvme.FLUSH, namespace=1))
        assert all(asked.count <= BYTES_MAX for asked in controller.connection.asked)


@pytest.mark.parametrize("size", [512, PAGE, 3 * PAGE, MIB])
def test_lists_of_lists(alice, size):
    """SGL segments that name each other, and pieces at odd places."""
    with RemoteController.start(alice) as controller:
        memory = controller.memory
        data, at = os.urandom(size), memory.allocate(2 * MIB, PAGE)
        pieces, left, place = [], len(data), at + 4
        while left:
            piece = min(left, max(4, len(data) // 40 & ~3))
            pieces.append((place, piece))
            left, place = left - piece, place + piece + 8
        segments = [pieces[i:i + 7] for i in range(0, len(pieces), 7)]
        tables = [memory.allocate(8 * 16, 16) for _ in segments]
        for number, segment in enumerate(segments):
            table = b"".join(sgl(*piece) for piece in segment)
            if number + 1 < len(segments):
                last = number + 2 == len(segments)
                size_next = 16 * (len(segments[number + 1]) + (not last))
                table += sgl(tables[number + 1], size_next, SGL_LAST_SEGMENT if last else SGL_SEGMENT)
            memory.write(tables[number], table)
        head = sgl(tables[0], 16 * (len(segments[0]) + (len(segments) > 1)),
                   SGL_SEGMENT if len(segments) > 1 else SGL_LAST_SEGMENT)
        count, offset = len(data) // 512, 0
        for place, piece in pieces:
            memory.write(place, data[offset:offset + piece])
            offset += piece
        controller.expect(controller.transfer(WRITE, 0, count, sgl=head))
        for place, piece in pieces:
            memory.fill(place, piece, 0)
        controller.expect(controller.transfer(READ, 0, count, sgl=head))
        assert b"".join(memory.read(*piece) for piece in pieces) == data
        assert memory.read(pieces[0][0] + pieces[0][1], 8) == bytes(8), "what lies between the pieces is untouched"


def test_list_over_three_regions(alice):
    """Of a page each, if need be: every descriptor is fetched."""
    base = 0x10_0000
    memory = GuestMemory(Region(base, 2 * MIB), Region(base + 2 * MIB, PAGE), Region(base + 2 * MIB + PAGE, 2 * MIB))
    with RemoteController.start(alice, memory=memory) as controller:
        at, data = memory.allocate(257 * 32, PAGE), os.urandom(4096)
        for number in range(256):
            memory.write(at + 32 * number, data[16 * number:16 * number + 16])
        table = sgl(at, 0) + b"".join(sgl(at + 32 * number, 16) for number in range(256))
        memory.write(base + 2 * MIB - 8, table)
        head = sgl(base + 2 * MIB - 8, len(table), SGL_LAST_SEGMENT)
        controller.expect(controller.transfer(WRITE, 0, 8, sgl=head))
        assert controller.read(0, 8) == data


def test_many_commands_at_once(alice):
    with RemoteController.start(alice, queues=4) as controller:
        load = NvmeLoad(controller, seed=3)
        while load.completed < 600:
            load.step()
        load.finish()
        assert heard(controller.vectors[1])


def test_shared_and_private_memory_in_one_guest(alice):
    """Queues here and data there, the other way round, and data that cross the border."""
    for shared in ((0,), (1,)):
        memory = GuestMemory.adjacent(size=2 * MIB)
        with RemoteController.start(alice, memory=memory, shared=shared, queues=2) as controller:
            border = memory.regions[1].guest_address
            data = os.urandom(4 * PAGE)
            memory.write(border - 2 * PAGE, data)
            for at in (border - 2 * PAGE, memory.allocate(4 * PAGE, PAGE), memory.allocate(4 * PAGE, PAGE, region=1)):
                memory.write(at, data)
                controller.expect(controller.transfer(WRITE, 0, 32, **controller.prps(at, 4 * PAGE)))
                memory.fill(at, 4 * PAGE)
                controller.expect(controller.transfer(READ, 0, 32, **controller.prps(at, 4 * PAGE)))
                assert memory.read(at, 4 * PAGE) == data
            home = memory.regions[shared[0]]
            assert not [asked for asked in controller.connection.asked
                        if home.guest_address <= asked.address < home.guest_address + home.size], "what is shared is not asked for"


def test_doorbells_in_memory_are_not_offered(alice):
    with RemoteController.start(alice) as controller:
        assert not struct.unpack_from("<H", controller.identify(1), 256)[0] & 1 << 8
        pages = [controller.memory.allocate(PAGE, PAGE) for _ in range(2)]
        controller.expect(controller.admin.do(nvme.DOORBELL_BUFFER_CONFIG, prp1=pages[0], prp2=pages[1]), nvme.INVALID_FIELD)
        controller.roundtrip()


def test_messages_as_small_as_the_vmm_wants_them(alice):
    capabilities = text({"capabilities": {"max_data_xfer_size": 100}})
    with RemoteController.start(alice, capabilities=capabilities) as controller:
        controller.roundtrip()
        assert max(asked.count for asked in controller.connection.asked) == 100


# ---- what is fresh, and in which order ----

def test_nothing_old_is_used(alice):
    """The next command sees what the guest has written since, in lists and in data."""
    with RemoteController.start(alice) as controller:
        memory = controller.memory
        at, other = memory.allocate(4 * PAGE, PAGE), memory.allocate(4 * PAGE, PAGE)
        fields = controller.prps(at, 4 * PAGE)
        for number in range(20):
            data = os.urandom(4 * PAGE)
            place = (at, other)[number % 2]
            memory.write(place, data)
            memory.write(fields["prp2"], struct.pack("<3Q", *(place + PAGE * i for i in (1, 2, 3))))
            controller.expect(controller.transfer(WRITE, 0, 32, prp1=place, prp2=fields["prp2"]))
            assert controller.read(0, 32) == data


def test_no_more_messages_than_the_socket_has_room_for(alice):
    with RemoteController.start(alice) as controller:
        at = controller.memory.allocate(MIB, PAGE)
        fields = controller.prps(at, MIB)
        controller.connection.hold(is_read_of(at, MIB))
        identifier = controller.queues[0].submit(WRITE, namespace=1, words=blocks(0, 2048), **fields)
        controller.connection.wait_asked(MESSAGES_MAX)
        watch_nothing()
        assert len(controller.connection.waiting) == MESSAGES_MAX
        assert controller.get(CSTS) & 3 == CSTS_READY, "registers are answered meanwhile"
        controller.connection.release()
        controller.expect(controller.queues[0].wait(identifier))


def test_interrupts_come_behind_the_answer(alice):
    """The VMM has data and completion before the guest hears of them."""
    with RemoteController.start(alice) as controller:
        queue, at = controller.queues[0], controller.memory.allocate(PAGE, PAGE)
        heard(controller.vectors[1], NOTHING_S)
        connection = controller.connection
        connection.hold(is_write_to(at, PAGE))
        queue.submit(READ, namespace=1, prp1=at, words=blocks(0, 8))
        connection.wait_asked()
        watch_nothing()
        assert not [asked for asked in connection.asked if is_write_to(queue.cq, 1024)(asked)], "no completion before the data"
        connection.hold(is_write_to(queue.cq, 1024))
        connection.answer(connection.waiting.pop())
        connection.wait_asked()
        assert heard(controller.vectors[1], NOTHING_S) == 0, "no interrupt before the VMM has the completion"
        connection.release()
        assert heard(controller.vectors[1])
        assert queue.poll() == 1


# ---- refused ----

def test_what_the_vmm_refuses(alice):
    """Data: an error of the command, which may be tried again. The queues themselves: the controller has failed."""
    with RemoteController.start(alice, queues=2) as controller:
        at, connection = controller.memory.allocate(PAGE, PAGE), controller.connection
        honest = connection.answer

        def refuse(which):
            connection.answer = lambda asked: connection.refuse(asked) if which(asked) else honest(asked)

        refuse(is_read_of(at, PAGE))
        completion = controller.expect(controller.transfer(WRITE, 0, 8, prp1=at), nvme.DATA_TRANSFER_ERROR)
        assert not completion.do_not_retry
        refuse(is_write_to(at, PAGE))
        controller.expect(controller.transfer(READ, 0, 8, prp1=at), nvme.DATA_TRANSFER_ERROR)
        controller.expect(controller.admin.do(nvme.IDENTIFY, prp1=at, words=[1]), nvme.DATA_TRANSFER_ERROR)
        controller.roundtrip()
        for queue in (controller.queues[0].sq, controller.queues[1].cq):
            refuse(lambda asked, queue=queue: queue <= asked.address < queue + PAGE)
            controller.ask_queue(0 if queue == controller.queues[0].sq else 1)
            controller.wait_status(CSTS_FATAL, CSTS_FATAL)
            connection.answer = honest
            controller.disable()
            controller.start_again(2)
            controller.roundtrip()


def test_memory_goes_with_messages_under_way(alice):
    """Each command is done or refused, and the memory comes back."""
    memory = GuestMemory(Region(0x10_0000, 4 * MIB), Region(0x4000_0000, 4 * MIB))
    with RemoteController.start(alice, memory=memory, queues=2) as controller:
        at, connection = memory.allocate(64 * PAGE, PAGE, region=1), controller.connection
        region, statuses = memory.regions[1], set()
        for number in range(20):
            connection.hold(is_read_of(at, 64 * PAGE))
            identifiers = [(queue, queue.submit(WRITE, namespace=1, prp1=at + PAGE * i, words=blocks(8 * i, 8)))
                           for queue in controller.queues for i in range(20)]
            connection.wait_asked(number % MESSAGES_MAX + 1)
            connection.dma_unmap(region.guest_address, region.size)
            if number % 2:
                connection.dma_map(region.guest_address, region.size)
            connection.release()
            statuses |= {queue.wait(identifier).status for queue, identifier in identifiers}
            if number % 2 == 0:
                controller.expect(controller.transfer(READ, 0, 8, prp1=at), nvme.DATA_TRANSFER_ERROR)
                connection.dma_map(region.guest_address, region.size)
            controller.expect(controller.transfer(READ, 0, 8, prp1=at))
        assert statuses <= {nvme.SUCCESS, nvme.DATA_TRANSFER_ERROR}


def test_queues_move_under_load(alice):
    """The range that has them is mapped again and again: no answer is lost."""
    with RemoteController.start(alice, queues=2) as controller:
        load, region = NvmeLoad(controller, seed=9), controller.memory.regions[0]
        for _ in range(80):
            load.step()
            controller.connection.dma_map(region.guest_address, region.size)
        load.finish()


# ---- rest ----

@pytest.mark.parametrize("which", [Command.DMA_READ, Command.DMA_WRITE])
def test_reset_does_not_wait_for_the_vmm(alice, which):
    """Its main loop waits for us. What it answers later is answered to nobody."""
    with RemoteController.start(alice, queues=2) as controller:
        for _ in range(10):
            controller.connection.hold(lambda asked: asked.command == which)
            controller.ask_queue(0, 20)
            controller.ask_queue(1, 20)
            controller.connection.wait_asked()
            controller.connection.reset()
            controller.connection.release()
            controller.set_command()
            controller.start_again(2)
            controller.roundtrip()


def test_disable_waits_for_answers(alice):
    with RemoteController.start(alice, queues=2) as controller:
        at = controller.memory.allocate(PAGE, PAGE)
        controller.connection.hold(is_write_to(at, PAGE))
        controller.queues[0].submit(READ, namespace=1, prp1=at, words=blocks(0, 8))
        controller.connection.wait_asked()
        controller.put(nvme.CC, 0)
        assert controller.get(CSTS) & CSTS_READY
        controller.connection.release()
        controller.wait_status(0, CSTS_READY)
        controller.start_again(2)
        controller.roundtrip()


def test_leaving_with_messages_under_way(alice):
    for which in (Command.DMA_READ, Command.DMA_WRITE):
        controller = RemoteController.start(alice, queues=2)
        controller.connection.hold(lambda asked, which=which: asked.command == which)
        controller.ask_queue(0, 30)
        controller.connection.wait_asked()
        controller.close()
    with RemoteController.start(alice) as controller:
        controller.roundtrip()


def test_takeovers_under_load(tmp_path):
    """With answers that come late, and data that are verified."""
    with nvme_daemon(tmp_path) as daemon, RemoteController.start(daemon.socket("alice/root"), queues=2) as controller:
        load = NvmeLoad(controller, seed=5)
        for _ in range(5):
            controller.connection.hold()
            load.step()
            late = threading.Timer(0.05, controller.connection.release)
            late.start()
            daemon.take_over()
            late.join()
            goal = load.completed + 20
            while load.completed < goal:
                load.step()
        load.finish()
        assert not controller.connection.ended.is_set()


def test_takeover_beside_a_vmm_that_does_not_answer(tmp_path):
    """That one is let go, and the others go on."""
    with nvme_daemon(tmp_path) as daemon, RemoteController.start(daemon.socket("bob/root")) as other, \
            RemoteController.start(daemon.socket("alice/root")) as controller:
        controller.connection.hold()
        controller.ask_queue(0, 4)
        controller.connection.wait_asked()
        daemon.take_over()
        assert controller.connection.wait_closed()
        daemon.wait_line("alice/disk-root: VMM: memory: messages are not answered")
        other.roundtrip()
        with RemoteController.start(daemon.socket("alice/root")) as next_one:
            next_one.roundtrip()


# ---- bounds ----

def test_copies_are_bounded_and_given_back(daemon, alice):
    memory = GuestMemory.simple(96 * MIB)
    with RemoteController.start(alice, memory=memory, queues=4) as controller:
        before = daemon.resident_bytes()
        most = 0
        places = [memory.allocate(MIB, PAGE) for _ in range(64)]
        fields = [controller.prps(at, MIB) for at in places]
        for first in range(0, 64, 16):
            identifiers = [(controller.queues[i % 4], controller.queues[i % 4].submit(
                READ, namespace=1, words=blocks(0, 2048), **fields[i])) for i in range(first, first + 16)]
            for queue, identifier in identifiers:
                controller.expect(queue.wait(identifier))
                most = max(most, daemon.resident_bytes() - before)
        assert MIB < most < 12 * MIB, f"{most} bytes"
        wait_until(lambda: daemon.resident_bytes() - before < MIB, "the copies are given back")
