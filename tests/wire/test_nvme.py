# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk as an NVMe controller (model = nvme): registers, what it says of itself, and its data."""
import os
import struct

import pytest

import nvme
from frontend import FrontEnd, Setup
from guest_memory import PAGE
from load import Load
from nvme import CC, CSTS, READ, WRITE, Controller, NvmeLoad, sgl
from nvme_daemon import DISK_BYTES, nvme_daemon
from patience import wait_until
from vfio_user import BAR0

MIB = 1 << 20


@pytest.fixture(scope="module", params=[1, 2], ids=["one-worker", "two-workers"])
def daemon(request, tmp_path_factory):
    with nvme_daemon(tmp_path_factory.mktemp("viaduct"), request.param) as instance:
        yield instance


# ---- registers ----

def test_registers_after_power_on(alice):
    with Controller.connect(alice) as controller:
        capabilities = controller.get(nvme.CAP, 8)
        assert capabilities == controller.get(nvme.CAP) | controller.get(nvme.CAP + 4) << 32
        assert capabilities & 0xFFFF == 1023 and capabilities >> 16 & 1 and capabilities >> 37 & 1
        assert controller.get(nvme.VS) == 0x10400
        for register in (nvme.INTMS, nvme.INTMC, CC, CSTS, nvme.AQA, nvme.ASQ, nvme.ASQ + 4, nvme.ACQ, nvme.ACQ + 4):
            assert controller.get(register) == 0
        whole = controller.connection.region_read(BAR0, 0, 4096)
        assert struct.unpack_from("<Q", whole)[0] == capabilities and not any(whole[0x40:])
        controller.put(nvme.CAP, 0)
        assert controller.get(nvme.CAP, 8) == capabilities


def test_identify(alice):
    with Controller.start(alice) as controller:
        answer = controller.identify(1)
        assert answer[4:24] == b"alice-serial".ljust(20) and answer[24:64] == b"Viaduct NVMe disk".ljust(40)
        assert answer[111] == 1 and answer[512:514] == bytes([0x66, 0x44])
        assert struct.unpack_from("<I", answer, 516)[0] == 1
        namespace = controller.identify(0, 1)
        assert struct.unpack_from("<3Q", namespace) == (DISK_BYTES // 512,) * 3 and namespace[130] == 9
        assert struct.unpack_from("<2I", controller.identify(2)) == (1, 0)
        assert controller.identify(3, 1)[:2] == bytes([3, 16])
        at = controller.memory.allocate(PAGE, PAGE)
        # Linux asks for what later versions have
        completion = controller.admin.do(nvme.IDENTIFY, namespace=1, prp1=at, words=[6])
        assert completion.status == nvme.INVALID_FIELD
        for namespace in (0, 2, 0xFFFF_FFFE):
            completion = controller.admin.do(nvme.IDENTIFY, namespace=namespace, prp1=at, words=[0])
            assert completion.status == nvme.INVALID_NAMESPACE


def test_log_pages(alice):
    with Controller.start(alice) as controller:
        controller.roundtrip()
        at = controller.memory.allocate(PAGE, PAGE)
        for log in (1, 2, 3, 4):
            controller.expect(controller.admin.do(nvme.GET_LOG_PAGE, namespace=0xFFFF_FFFF, prp1=at, words=[127 << 16 | log]))
        controller.expect(controller.admin.do(nvme.GET_LOG_PAGE, namespace=0xFFFF_FFFF, prp1=at, words=[127 << 16 | 2]))
        health = controller.memory.read(at, 512)
        assert struct.unpack_from("<H", health, 1)[0] == 300
        assert struct.unpack_from("<Q", health, 64)[0] == 1 and struct.unpack_from("<Q", health, 80)[0] == 1
        controller.expect(controller.admin.do(nvme.GET_LOG_PAGE, prp1=at, words=[127 << 16 | 0x55]), nvme.INVALID_LOG_PAGE)


def test_features(alice):
    with Controller.start(alice) as controller:
        assert controller.admin.do(nvme.GET_FEATURES, words=[7]).result == 3 << 16 | 3
        # after the queues were made
        controller.expect(controller.admin.do(nvme.SET_FEATURES, words=[7, 0]), nvme.COMMAND_SEQUENCE)
        assert controller.admin.do(nvme.GET_FEATURES, words=[6]).result == 1
        controller.expect(controller.admin.do(nvme.SET_FEATURES, words=[6, 0]))
        assert controller.admin.do(nvme.GET_FEATURES, words=[6]).result == 0
        assert controller.admin.do(nvme.GET_FEATURES, words=[1 << 8 | 6]).result == 1, "as it was at first"
        controller.roundtrip()
        controller.expect(controller.admin.do(nvme.GET_FEATURES, words=[0x7F]), nvme.INVALID_FIELD)


# ---- data ----

def test_data_lies_in_the_file(daemon):
    with Controller.start(daemon.socket("alice/whole")) as controller:
        data = {0: os.urandom(512), 7: os.urandom(4096), 100: os.urandom(65536), 1000: os.urandom(512 * 127),
                16383: os.urandom(512)}
        for first, content in data.items():
            controller.write(first, content)
        controller.flush()
        whole = daemon.path("whole.raw").read_bytes()
        for first, content in data.items():
            assert whole[512 * first:512 * first + len(content)] == content
            assert controller.read(first, len(content) // 512) == content
        assert len(whole) == 512 * controller.size_blocks()
        controller.flush(namespace=0xFFFF_FFFF)
        controller.write(0, bytes([0x77]) * 512, force=True)
        assert daemon.path("whole.raw").read_bytes()[:512] == bytes([0x77]) * 512


@pytest.mark.parametrize("what", ["trim", "write-zeroes"])
def test_zeroes(alice, what):
    """Zeroes in the range, and every byte around it as before."""
    with Controller.start(alice) as controller:
        for first, count in ((0, 2048), (8, 8), (64, 256), (5, 3), (255, 514)):
            data = os.urandom(2 * MIB)
            for at in range(0, len(data), 65536):
                controller.write(at // 512, data[at:at + 65536])
            completion = controller.trim((first, count)) if what == "trim" else controller.write_zeroes(first, count)
            controller.expect(completion)
            got = b"".join(controller.read(at // 512, 128) for at in range(0, len(data), 65536))
            start, end = first * 512, (first + count) * 512
            assert got[:start] == data[:start] and got[end:] == data[end:], "bytes outside the range changed"
            whole_blocks = first % 8 == 0 and count % 8 == 0
            if what == "write-zeroes" or whole_blocks:
                assert not any(got[start:end]), "zeroes were promised"


def test_many_ranges_are_trimmed(alice):
    with Controller.start(alice) as controller:
        for block in range(0, 64):
            controller.write(8 * block, b"\xD1" * 4096)
        controller.expect(controller.trim(*((16 * i, 8 if i % 3 else 0) for i in range(32))))
        for block in range(0, 64):
            trimmed = block % 2 == 0 and block // 2 % 3 != 0
            assert controller.read(8 * block, 8) == (bytes(4096) if trimmed else b"\xD1" * 4096)


def test_a_range_outside_trims_nothing(alice):
    with Controller.start(alice) as controller:
        controller.write(0, b"\xD2" * 4096)
        controller.expect(controller.trim((0, 8), (DISK_BYTES // 512 - 4, 8)), nvme.LBA_OUT_OF_RANGE)
        assert controller.read(0, 8) == b"\xD2" * 4096


@pytest.mark.parametrize("size", [4096, 8192, 12288, MIB])
@pytest.mark.parametrize("offset", [0, 512, 4092])
def test_pages_anywhere(alice, size, offset):
    """PRPs in no order, the first with an offset; lists over several pages."""
    with Controller.start(alice, memory_bytes=16 * MIB) as controller:
        memory, data = controller.memory, os.urandom(size)
        count = (size + offset + PAGE - 1) // PAGE
        pages = [memory.allocate(PAGE, PAGE) for _ in range(count)]
        pages = pages[1::2] + pages[::2]
        entries, at = [pages[0] + offset, *pages[1:]], 0
        for entry in entries:
            piece = data[at:at + PAGE - entry % PAGE]
            memory.write(entry, piece)
            at += len(piece)
        if count <= 2:
            second = entries[1] if count == 2 else 0
        else:
            # The list begins near its page's end, so that it goes on in another.
            home, rest = memory.allocate(PAGE, PAGE), memory.allocate(PAGE, PAGE)
            second = home + PAGE - 16
            listed = entries[1:]
            memory.write(second, struct.pack("<2Q", listed[0], listed[1] if len(listed) == 2 else rest))
            memory.write(rest, struct.pack(f"<{len(listed) - 1}Q", *listed[1:]))
        controller.expect(controller.transfer(WRITE, 8, size // 512, prp1=entries[0], prp2=second))
        assert controller.read(8, size // 512) == data
        for page in pages:
            memory.fill(page, PAGE)
        controller.expect(controller.transfer(READ, 8, size // 512, prp1=entries[0], prp2=second))
        assert b"".join(memory.read(entry, PAGE - entry % PAGE) for entry in entries)[:size] == data


def test_scatter_gather_lists(alice):
    """Data at any address; one descriptor, a list, and segments one behind the other."""
    with Controller.start(alice) as controller:
        memory, data = controller.memory, os.urandom(4096)
        at = memory.allocate(8192, PAGE)
        memory.write(at + 3, data)
        controller.expect(controller.transfer(WRITE, 0, 8, sgl=sgl(at + 3, 4096)))
        assert controller.read(0, 8) == data
        places, list_at, next_at = [(at + 5000, 1), (at + 1, 2047), (at + 2500, 2048)], memory.allocate(64), memory.allocate(64)
        memory.write(list_at, sgl(*places[0]) + sgl(0, 0) + sgl(next_at, 32, nvme.SGL_LAST_SEGMENT))
        memory.write(next_at, sgl(*places[1]) + sgl(*places[2]))
        memory.fill(at, 8192)
        controller.expect(controller.transfer(READ, 0, 8, sgl=sgl(list_at, 48, nvme.SGL_SEGMENT)))
        assert b"".join(memory.read(*place) for place in places) == data
        controller.expect(controller.transfer(READ, 0, 8, sgl=sgl(at, 4095)), nvme.SGL_LENGTH_INVALID)
        controller.expect(controller.transfer(READ, 0, 8, sgl=sgl(at, 4097)), nvme.SGL_LENGTH_INVALID)


def test_read_only(daemon):
    with Controller.start(daemon.socket("bob/fixed")) as controller:
        assert controller.identify(0, 1)[99] == 1
        assert controller.read(0, 8) == bytes(4096)
        at = controller.scratch(4096)
        controller.expect(controller.transfer(WRITE, 0, 8, prp1=at), nvme.WRITE_PROTECTED)
        controller.expect(controller.write_zeroes(0, 8), nvme.WRITE_PROTECTED)
        controller.expect(controller.trim((0, 8)), nvme.WRITE_PROTECTED)
        assert controller.read(0, 8) == bytes(4096)


def test_sectors_of_4096_bytes(daemon):
    with Controller.start(daemon.socket("bob/large-sectors")) as controller:
        namespace = controller.identify(0, 1)
        assert struct.unpack_from("<Q", namespace)[0] == DISK_BYTES // 4096 and namespace[130] == 12
        controller.block = 4096
        data = os.urandom(8192)
        controller.write(DISK_BYTES // 4096 - 2, data)
        assert controller.read(DISK_BYTES // 4096 - 2, 2) == data
        at = controller.scratch(8192)
        controller.expect(controller.transfer(READ, DISK_BYTES // 4096 - 1, 2, **controller.prps(at, 8192)),
                          nvme.LBA_OUT_OF_RANGE)


@pytest.mark.parametrize("interrupts", ["msix", "intx", "none"])
@pytest.mark.parametrize("queues", [1, 4])
def test_load(alice, queues, interrupts):
    with Controller.start(alice, queues=queues, interrupts=interrupts) as controller:
        load = NvmeLoad(controller, seed=queues)
        wait_until(lambda: load.step() or load.completed >= 600, "the load goes on")
        load.finish()


@pytest.mark.parametrize("interrupts", ["msix", "intx"])
def test_load_with_doorbells_in_memory(alice, interrupts):
    """They are rung for far fewer commands than there are; none waits for ever. An answer that is waited for may need its own."""
    with Controller.start(alice, queues=4, interrupts=interrupts, shadows=True) as controller:
        load = NvmeLoad(controller, seed=7)
        wait_until(lambda: load.step() or load.completed >= 600, "the load goes on")
        load.finish()
        print(f"{controller.rung} doorbells for {load.completed} commands")
        assert controller.rung < 2 * load.completed
        controller.disable()
        controller.start_again(4)
        for queue in range(4):
            controller.roundtrip(8 * queue, queue)


def test_content_survives_reconnect(alice):
    data = os.urandom(8192)
    with Controller.start(alice) as controller:
        controller.write(2000, data)
    with Controller.start(alice) as controller:
        assert controller.read(2000, 16) == data


def test_beside_a_virtio_disk_of_the_pool(daemon, alice):
    with Controller.start(alice, queues=2) as controller, FrontEnd.start(daemon.socket("alice/virtio"), Setup()) as front:
        load, other = NvmeLoad(controller, seed=1), Load(front, seed=2)
        while load.completed < 300 or other.completed < 300:
            load.step()
            other.step()
        load.finish()
        other.finish()
