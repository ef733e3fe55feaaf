# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk as an NVMe controller over vfio-user, as honest VMMs and drivers use it (model = nvme)."""
import concurrent.futures
import contextlib
import errno
import os
import signal
import struct

import pytest

import nvme
from daemon import Daemon
from frontend import FrontEnd, Setup
from guest_memory import PAGE, GuestMemory, Region
from load import Load
from nvme import CC, CSTS, CSTS_FATAL, CSTS_READY, MSIX_PENDING, READ, WRITE, Controller, NvmeLoad, blocks, sgl
from patience import NOTHING_S, wait_until
from vfio_user import (ACCESS, BAR0, CONFIG, FLAG_NO_REPLY, INTX, IRQ_AUTOMASKED, IRQ_BOOL, IRQ_EVENTFD, IRQ_FDS, IRQ_INFO,
                       IRQ_MASK, IRQ_MASKABLE, IRQ_NONE, IRQ_TRIGGER, IRQ_UNMASK, IRQS, MSI, MSIX, REGION_INFO, REGIONS, ROM,
                       VGA, Command, Connection, Refused, eventfds, heard, text)
from virtio import fence

MIB = 1 << 20
TAKEOVERS = int(os.environ.get("VIADUCT_TAKEOVERS", "5"))
NAMESPACE_CHANGED = 4 << 16 | 2             # log page, kind of event
DISK_BYTES = 16 * MIB


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    folder = tmp_path_factory.mktemp("viaduct")
    (folder / "whole.raw").write_bytes(bytes(8 * MIB))
    model = {"pool": "main", "size": "16M", "model": "nvme"}
    instance = Daemon({
        "daemon": {"sandbox": "yes"},
        "pool main": {"path": folder / "main.pool", "size": "512M"},
        "guest alice": {}, "disk alice/root": {**model, "serial": "alice-serial", "queues": 4},
        "disk alice/virtio": {"pool": "main", "size": "16M"},
        "disk alice/whole": {"path": folder / "whole.raw", "model": "nvme"},
        "guest bob": {}, "disk bob/root": model, "disk bob/fixed": {**model, "read_only": "yes"},
        "disk bob/large-sectors": {**model, "sector": 4096},
    }, folder)
    try:
        instance.start()
        yield instance
    finally:
        instance.finish()


def roundtrip(controller, first=0, queue=0):
    data = os.urandom(4096)
    controller.write(first, data, queue)
    assert controller.read(first, 8, queue) == data


def while_going(steps, action):
    """Runs action() in a thread, and the steps in this one until it is done."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(action)
        try:
            while not future.done():
                steps()
        finally:
            concurrent.futures.wait([future])
        return future.result()


# ---- the version ----

@pytest.mark.parametrize("minor, agreed", [(0, 0), (1, 1), (2, 1), (0xFFFF, 1)])
def test_the_smaller_minor_version_is_agreed_on(alice, minor, agreed):
    with Connection.open(alice) as connection:
        major, got, capabilities = connection.version(0, minor)
        assert (major, got) == (0, agreed)
        assert capabilities["max_data_xfer_size"] >= 256 and capabilities["max_msg_fds"] >= 1
        assert connection.get_info()[2:] == (REGIONS, IRQS)


def test_version_without_capabilities(alice):
    with Connection.open(alice) as connection:
        assert connection.version(capabilities=b"")[:2] == (0, 1)


BAD_VERSIONS = {
    "major-1": struct.pack("<2H", 1, 0) + text({}),
    "major-65535": struct.pack("<2H", 0xFFFF, 0) + text({}),
    "no-json": struct.pack("<2H", 0, 1) + b"hello\0",
    "json-cut-off": struct.pack("<2H", 0, 1) + b'{"capabilities":\0',
    "no-object": struct.pack("<2H", 0, 1) + b"[1]\0",
    "no-final-nul": struct.pack("<2H", 0, 1) + b"{}",
    "nul-inside": struct.pack("<2H", 0, 1) + b"{\0}\0",
    "deep": struct.pack("<2H", 0, 1) + b"[" * 4000 + b"\0",
}


@pytest.mark.parametrize("payload", BAD_VERSIONS.values(), ids=BAD_VERSIONS)
def test_a_version_is_refused(alice, payload):
    """Nothing is agreed on; a right one may follow."""
    with Connection.open(alice) as connection:
        assert connection.refusal(Command.VERSION, payload) == errno.EINVAL
        assert connection.refusal(Command.GET_INFO, bytes(16)) == errno.EINVAL
        connection.version()
        connection.get_info()


def test_the_version_is_agreed_on_once(alice):
    with Controller.connect(alice) as controller:
        assert controller.connection.refusal(Command.VERSION, struct.pack("<2H", 0, 1)) == errno.EINVAL
        controller.connection.get_info()


# ---- what the device is ----

def test_regions(alice):
    with Controller.connect(alice) as controller:
        sizes = {}
        for index in range(REGIONS):
            argsz, flags, got, capability, size, offset = controller.connection.get_region_info(index)
            assert (argsz, got, capability, offset) == (REGION_INFO.size, index, 0, 0)
            # never to be mapped: a VMM waits for the end of every write to a device with one such region
            assert flags == (3 if size else 0)
            sizes[index] = size
        assert sizes.pop(BAR0) == nvme.BAR_BYTES and sizes.pop(CONFIG) == 256
        assert not any(sizes.values()), sizes
        question = REGION_INFO.pack(REGION_INFO.size, 0, REGIONS, 0, 0, 0)
        assert controller.connection.refusal(Command.GET_REGION_INFO, question) == errno.EINVAL


def test_interrupts(alice):
    with Controller.connect(alice) as controller:
        told = {index: controller.connection.get_irq_info(index) for index in range(IRQS)}
        assert all(told[index][0] == IRQ_INFO.size and told[index][2] == index for index in told)
        assert (told[INTX][1], told[INTX][3]) == (IRQ_EVENTFD | IRQ_MASKABLE | IRQ_AUTOMASKED, 1)
        assert told[MSIX][1] == IRQ_EVENTFD and told[MSIX][3] == 64
        assert all(told[index][3] == 0 for index in told if index not in (INTX, MSIX))
        assert controller.connection.refusal(Command.GET_IRQ_INFO, IRQ_INFO.pack(16, 0, IRQS, 0)) == errno.EINVAL


def test_commands_that_are_not_offered(alice):
    with Controller.connect(alice) as controller:
        for command in (0, Command.GET_REGION_IO_FDS, Command.DMA_READ, Command.DMA_WRITE, Command.DIRTY_PAGES,
                        Command.DEVICE_FEATURE, Command.MIG_DATA_READ):
            number = controller.connection.send(command, bytes(16))
            got, _, flags, error, _ = controller.connection.receive()
            assert (got, flags & 0x20, error) == (number, 0x20, errno.ENOTSUP)


# ---- configuration space ----

def config(controller, offset, size):
    return int.from_bytes(controller.connection.region_read(CONFIG, offset, size), "little")


def test_configuration_space(alice):
    with Controller.connect(alice) as controller:
        whole = controller.connection.region_read(CONFIG, 0, 256)
        assert struct.unpack_from("<2H", whole) == (0x1B36, 0x0010)
        assert whole[9:12] == bytes([2, 8, 1]), "class: mass storage, NVMe"
        assert whole[0x3D] == 1, "it has a pin"
        # by bytes, words and longs the same
        for size in (1, 2, 4):
            pieces = [controller.connection.region_read(CONFIG, at, size) for at in range(0, 256, size)]
            assert b"".join(pieces) == whole
        controller.connection.region_write(CONFIG, 0, b"\xFF" * 4)
        assert controller.connection.region_read(CONFIG, 0, 4) == whole[:4]


def test_sizes_of_bars(alice):
    """All ones tell which bits are an address's."""
    with Controller.connect(alice) as controller:
        for index in range(6):
            controller.connection.write32(CONFIG, nvme.BAR + 4 * index, 0xFFFF_FFFF)
        low, high, *others = [config(controller, nvme.BAR + 4 * index, 4) for index in range(6)]
        assert (low, high) == (0xFFFF_FFFF & ~(nvme.BAR_BYTES - 1) | 4, 0xFFFF_FFFF) and not any(others)
        controller.connection.write32(CONFIG, nvme.BAR, 0xFEB0_0000)
        assert config(controller, nvme.BAR, 4) == 0xFEB0_0004
        controller.connection.write32(CONFIG, 0x30, 0xFFFF_FFFF)
        assert config(controller, 0x30, 4) == 0, "there is no ROM"


def test_command_register(alice):
    with Controller.connect(alice) as controller:
        assert controller.get_command() == 0
        controller.set_command(0xFFFF)
        assert controller.get_command() & 0x407 == 0x407
        controller.set_command(0)
        assert controller.get_command() == 0


def test_vectors_capability(alice):
    with Controller.connect(alice) as controller:
        assert config(controller, nvme.STATUS, 2) & 1 << 4
        at = config(controller, 0x34, 1)
        kind, following, control, table, pending = struct.unpack("<BBHII", controller.connection.region_read(CONFIG, at, 12))
        assert (kind, following, control & 0x7FF) == (0x11, 0, 63)
        assert (table, pending) == (nvme.MSIX_TABLE, nvme.MSIX_PENDING)
        controller.connection.region_write(CONFIG, at + 2, b"\xFF\xFF")
        assert config(controller, at + 2, 2) == 0xC03F


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
        roundtrip(controller)
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
        roundtrip(controller)
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


# ---- posted writes ----

def test_posted_writes_are_done_in_order(alice):
    """None is answered, and a read behind them sees all of them."""
    with Controller.connect(alice) as controller:
        for value in range(500):
            controller.post32(nvme.ASQ, value << 12)
            if value % 50 == 49:
                assert controller.get(nvme.ASQ) == value << 12
        controller.connection.send(Command.GET_INFO, bytes(16), flags=FLAG_NO_REPLY)
        controller.connection.post_write(BAR0, nvme.BAR_BYTES, bytes(4))        # outside: no answer either
        controller.connection.get_info()


def test_doorbells_are_done_in_order(alice):
    """One for each command, one behind the other."""
    with Controller.start(alice) as controller:
        queue, at = controller.queues[0], controller.scratch(4096)
        identifiers = [queue.put(READ, namespace=1, prp1=at, words=blocks(0, 8)) for _ in range(20)]
        fence()
        for tail in range(1, 21):
            controller.post32(queue.doorbell(), tail)
        assert {queue.wait(identifier).status for identifier in identifiers} == {nvme.SUCCESS}


def test_write_multi(alice):
    with Controller.start(alice) as controller:
        queue, at = controller.queues[0], controller.scratch(4096)
        identifiers = [queue.put(READ, namespace=1, prp1=at, words=blocks(0, 8)) for _ in range(3)]
        fence()
        tail = struct.pack("<I", queue.tail)
        controller.connection.write_multi((BAR0, nvme.INTMS, b"\x02\0\0\0"), (CONFIG, 0x3C, b"\x0B"), (BAR0, queue.doorbell(), tail),
                                          (BAR0, nvme.INTMC, b"\xFD\xFF\xFF\xFF"))
        assert {queue.wait(identifier).status for identifier in identifiers} == {nvme.SUCCESS}
        assert controller.get(nvme.INTMS) == 2 and config(controller, 0x3C, 1) == 0x0B
        payload = controller.connection.writes((BAR0, nvme.INTMC, b"\xFF" * 4))
        controller.connection.send(Command.REGION_WRITE_MULTI, payload, flags=FLAG_NO_REPLY)
        assert controller.get(nvme.INTMS) == 0
        controller.connection.write_multi()


# ---- interrupts ----

def ask_queue(controller, number=0, count=1):
    """Reads whose answers nobody takes yet."""
    queue, at = controller.queues[number], controller.scratch(4096)
    for _ in range(count):
        queue.submit(READ, namespace=1, prp1=at, words=blocks(0, 8))


def take(controller, number=0):
    """Takes all answers that there will be."""
    queue = controller.queues[number]
    wait_until(lambda: queue.poll() or not queue.flying, "the answers")
    queue.done.clear()


def test_each_queue_has_its_vector(alice):
    """Eventfds are given in parts, from any vector on."""
    with Controller.start(alice, queues=4, interrupts="none") as controller, eventfds(5) as fds:
        controller.connection.set_eventfds(MSIX, 3, fds[3:])
        controller.connection.set_eventfds(MSIX, 0, fds[:1])
        controller.connection.set_eventfds(MSIX, 1, fds[1:3])
        for number in (2, 0, 3, 1):
            ask_queue(controller, number)
            assert heard(fds[number + 1]) == 1
            take(controller, number)
        controller.admin.do(nvme.GET_FEATURES, words=[6])
        assert heard(fds[0]) == 1
        assert not any(heard(fd, 0) for fd in fds), "an interrupt of another queue"


def test_vectors_taken_back_are_pending(alice):
    with Controller.start(alice, queues=2) as controller:
        controller.connection.set_irqs(IRQ_FDS | IRQ_TRIGGER, MSIX, 1, 1)
        heard(controller.vectors[1], 0)
        ask_queue(controller, 0)
        take(controller, 0)
        wait_until(lambda: controller.get(MSIX_PENDING, 8) == 2, "the message waits")
        assert not heard(controller.vectors[1], NOTHING_S)
        controller.connection.set_eventfds(MSIX, 1, controller.vectors[1:2])
        assert heard(controller.vectors[1]) == 1 and controller.get(MSIX_PENDING, 8) == 0
        # all of them, twice: as VMMs do when they reset
        for _ in range(2):
            controller.connection.set_irqs(IRQ_NONE | IRQ_TRIGGER, MSIX, 0, 0)
        ask_queue(controller, 1)
        take(controller, 1)
        assert not any(heard(fd, NOTHING_S) for fd in controller.vectors[1:])
        controller.connection.set_irqs(IRQ_NONE | IRQ_TRIGGER, MSI, 0, 0)


def test_the_vmm_triggers(alice):
    with Controller.start(alice, queues=2) as controller:
        for fd in controller.vectors:
            heard(fd, NOTHING_S)
        controller.connection.set_irqs(IRQ_BOOL | IRQ_TRIGGER, MSIX, 1, 2, b"\0\1")
        assert heard(controller.vectors[2]) == 1 and not heard(controller.vectors[1], NOTHING_S)
        controller.connection.set_irqs(IRQ_NONE | IRQ_TRIGGER, MSIX, 0, 2)
        assert heard(controller.vectors[0]) == 1 and heard(controller.vectors[1]) == 1


def unmask(controller):
    controller.connection.set_irqs(IRQ_NONE | IRQ_UNMASK, INTX, 0, 1)


def test_the_pin_masks_itself(alice):
    with Controller.start(alice, interrupts="intx") as controller:
        pin = controller.pin
        assert heard(pin) == 1, "of all the answers while it was brought up"
        unmask(controller)
        assert not controller.pin_is_pending() and not heard(pin, NOTHING_S)
        ask_queue(controller, count=3)
        assert heard(pin) == 1
        wait_until(controller.pin_is_pending, "bit 3 of the status")
        unmask(controller)
        assert heard(pin) == 1, "it is asserted again while answers are unread"
        take(controller)
        assert not controller.pin_is_pending()
        unmask(controller)
        assert not heard(pin, NOTHING_S)
        # masked by the VMM
        controller.connection.set_irqs(IRQ_NONE | IRQ_MASK, INTX, 0, 1)
        ask_queue(controller)
        wait_until(controller.pin_is_pending, "bit 3 of the status")
        assert not heard(pin, NOTHING_S)
        controller.connection.set_irqs(IRQ_BOOL | IRQ_UNMASK, INTX, 0, 1, b"\0")
        assert not heard(pin, NOTHING_S)
        controller.connection.set_irqs(IRQ_BOOL | IRQ_UNMASK, INTX, 0, 1, b"\1")
        assert heard(pin) == 1
        take(controller)


def test_the_driver_masks_the_pin(alice):
    """By INTMS, and by the command register."""
    with Controller.start(alice, interrupts="intx") as controller:
        heard(controller.pin)
        unmask(controller)
        controller.put(nvme.INTMS, 1 << 1)
        ask_queue(controller)
        take_later = controller.queues[0]
        wait_until(lambda: controller.memory.get32(take_later.cq + 16 * take_later.head + 12) >> 16 & 1 == take_later.phase,
                   "an answer")
        assert not controller.pin_is_pending() and not heard(controller.pin, NOTHING_S)
        controller.put(nvme.INTMC, 1 << 1)
        assert heard(controller.pin) == 1
        take(controller)
        controller.set_command(nvme.COMMAND_MEMORY | nvme.COMMAND_MASTER | nvme.COMMAND_PIN_OFF)
        unmask(controller)
        ask_queue(controller)
        wait_until(controller.pin_is_pending, "bit 3 of the status, which the pin's absence does not change")
        assert not heard(controller.pin, NOTHING_S)
        controller.set_command()
        assert heard(controller.pin) == 1
        take(controller)


def test_from_the_pin_to_vectors_and_back(alice):
    """A firmware's driver uses the pin, the kernel's vectors; a pin that had a reason has none any more."""
    with Controller.start(alice, interrupts="intx") as controller, eventfds(2) as fds:
        heard(controller.pin)
        unmask(controller)
        ask_queue(controller)
        assert heard(controller.pin) == 1
        controller.connection.set_eventfds(MSIX, 0, fds)
        assert not controller.pin_is_pending()
        unmask(controller)
        assert not heard(controller.pin, NOTHING_S)
        take(controller)
        ask_queue(controller)
        assert heard(fds[1]) == 1 and not heard(controller.pin, NOTHING_S)
        controller.connection.set_irqs(IRQ_NONE | IRQ_TRIGGER, MSIX, 0, 0)
        assert heard(controller.pin) == 1, "answers are unread"
        take(controller)


# ---- memory ----

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
            connection.dma_map(at, 4 * PAGE)                            # a ROM, without a file
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


def test_a_refused_mapping_changes_nothing(alice):
    """A file that is too short, over memory in use."""
    with Controller.start(alice) as controller:
        load = NvmeLoad(controller, seed=8)
        region = controller.memory.regions[0]
        short = os.memfd_create("short")
        for _ in range(10):
            load.step()
            with pytest.raises(Refused):
                controller.connection.dma_map(region.guest_address, region.size, short)
        load.finish()
        os.close(short)


def test_unmap_all_and_map_again(alice):
    with Controller.start(alice) as controller:
        controller.connection.dma_map(0xC_0000, 0x2_0000)
        controller.connection.unmap_all()
        controller.connection.unmap_all()
        assert not controller.get(CSTS) & CSTS_FATAL
        controller.map_memory()
        roundtrip(controller)


def test_unknown_ranges_can_be_unmapped(alice):
    with Controller.start(alice) as controller:
        controller.connection.dma_unmap(0x7000_0000_0000, MIB)
        controller.connection.dma_unmap(0xFFFF_FFFF_FFFF_0000, 0xF000)
        roundtrip(controller)


def test_ranges_that_cannot_be_reached(alice, two_regions):
    """Without a file, or that may only be read: an error of the command that names them, and not more."""
    with Controller.start(alice, memory=two_regions) as controller:
        at, connection = two_regions.allocate(PAGE, PAGE, region=1), controller.connection
        for how in ({}, {"fd": two_regions.regions[1].fd, "flags": 1}, {"fd": two_regions.regions[1].fd, "flags": 2}):
            connection.dma_map(DATA, 4 * MIB, **how)
            for opcode in (READ, WRITE):
                controller.expect(controller.transfer(opcode, 0, 8, prp1=at), nvme.DATA_TRANSFER_ERROR)
            completion = controller.admin.do(nvme.IDENTIFY, prp1=at, words=[1])
            controller.expect(completion, nvme.DATA_TRANSFER_ERROR)
            controller.expect(controller.create_cq(2, at, 16), nvme.INVALID_FIELD)
            roundtrip(controller)


def test_memory_in_a_file_on_a_disk_is_left_out(alice, two_regions):
    """An NVDIMM's: the guest runs, and what names it fails."""
    fd = os.open("/var/tmp", os.O_RDWR | os.O_TMPFILE, 0o600)
    os.ftruncate(fd, MIB)
    with Controller.start(alice, memory=two_regions) as controller:
        controller.connection.dma_map(0x1_0000_0000, MIB, fd)
        controller.expect(controller.transfer(READ, 0, 8, prp1=0x1_0000_0000), nvme.DATA_TRANSFER_ERROR)
        roundtrip(controller)
        controller.connection.dma_unmap(0x1_0000_0000, MIB)
    os.close(fd)


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
        roundtrip(controller)
        controller.disable()
        controller.set_command(nvme.COMMAND_MEMORY)
        controller.put(CC, nvme.CC_ENTRIES | nvme.CC_ENABLE)
        controller.wait_status(CSTS_FATAL, CSTS_FATAL | CSTS_READY)
        controller.set_command()
        controller.disable()
        controller.start_again()
        roundtrip(controller)


# ---- the controller's life ----

def assert_off(controller):
    for register in (nvme.INTMS, CC, CSTS, nvme.AQA, nvme.ASQ, nvme.ACQ):
        assert controller.get(register) == 0, f"register {register:#x}"
    assert controller.get_command() == 0


def test_disable_and_enable(alice):
    with Controller.start(alice, queues=2) as controller:
        for _ in range(5):
            roundtrip(controller, queue=1)
            controller.disable()
            assert controller.get(nvme.ASQ, 8) == controller.admin.sq, "a controller reset keeps the admin queues"
            controller.start_again(2)
        controller.shut_down()
        controller.disable()
        controller.start_again(2)
        roundtrip(controller)


def test_shutdown_makes_durable(daemon):
    with Controller.start(daemon.socket("alice/whole")) as controller:
        data = os.urandom(4096)
        controller.write(64, data)
        controller.shut_down()
        assert daemon.path("whole.raw").read_bytes()[64 * 512:72 * 512] == data


def test_queues_are_deleted_and_made_again(alice):
    with Controller.start(alice, queues=2) as controller:
        queue = controller.queues[1]
        for _ in range(10):
            ask_queue(controller, 1, count=20)
            controller.expect(controller.delete_cq(2), nvme.INVALID_QUEUE_DELETION)
            controller.expect(controller.delete_sq(2))
            controller.expect(controller.delete_cq(2))
            queue.clear()
            controller.create_pair(queue)
            roundtrip(controller, queue=1)


@pytest.mark.parametrize("flying", [0, 30])
def test_reset(alice, flying):
    """Registers are as after power-on, the memory's map stays, and nothing is written any more."""
    with Controller.start(alice, queues=2) as controller:
        for _ in range(10):
            if flying:
                ask_queue(controller, 0, flying)
                ask_queue(controller, 1, flying)
            controller.connection.reset()
            assert_off(controller)
            for queue in controller.queues:
                queue.clear()
            controller.memory.fill(controller.scratch(4096), 4096, 0x33)
            controller.set_command()
            controller.start_again(2)
            assert controller.memory.read(controller.scratch(4096), 4096) == b"\x33" * 4096
            roundtrip(controller, queue=1)


def test_reset_before_anything(alice):
    """Cloud Hypervisor begins with one."""
    with Controller.connect(alice) as controller:
        controller.connection.reset()
        controller.connection.reset()
        assert_off(controller)
        controller.bring_up()
        roundtrip(controller)


@pytest.mark.parametrize("flying", [0, 30])
def test_disconnect_and_another_connection(alice, flying):
    """Nothing is left of the last one: registers, memory, queues."""
    old = Controller.start(alice, queues=2)
    if flying:
        ask_queue(old, 0, flying)
        ask_queue(old, 1, flying)
    old.put(nvme.INTMS, 0xF0)
    old.disconnect()
    with Controller.connect(alice) as new:
        # What was in flight is over: a connection begins when the last one has gone.
        assert_off(new)
        before = old.memory.read(old.memory.regions[0].guest_address, old.memory.regions[0].size)
        new.set_command()
        new.put(nvme.AQA, 0x3F003F)
        new.put(nvme.ASQ, old.admin.sq, 8)
        new.put(nvme.ACQ, old.admin.cq, 8)
        new.put(CC, nvme.CC_ENTRIES | nvme.CC_ENABLE)
        new.wait_status(CSTS_FATAL, CSTS_FATAL | CSTS_READY)
        new.disable()
        new.bring_up(2)
        roundtrip(new)
        NvmeLoad(new).finish()
        assert before == old.memory.read(old.memory.regions[0].guest_address, old.memory.regions[0].size)
    old.close()


def test_a_second_vmm_is_refused(alice):
    with Controller.start(alice) as controller:
        second = Connection.open(alice)
        second.send(Command.VERSION, struct.pack("<2H", 0, 1))
        assert second.wait_closed()
        second.close()
        roundtrip(controller)
    with Controller.start(alice) as controller:
        roundtrip(controller)


def test_a_vmm_after_a_killed_one(alice):
    """Killed with commands in flight, and the next one comes at once."""
    for number in range(5):
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                load = NvmeLoad(Controller.start(alice, queues=2), seed=number)
                while True:
                    load.step()
                    if load.completed > 50:
                        os.write(theirs, b"x")
            os._exit(1)
        os.close(theirs)
        assert os.read(ours, 1) == b"x"
        os.kill(child, signal.SIGKILL)
        with Controller.start(alice) as controller:
            roundtrip(controller)
        os.waitpid(child, 0)
        os.close(ours)


# ---- events ----

def event(controller):
    """A request for an event, which waits for one."""
    return controller.admin.submit(nvme.ASYNC_EVENT)


def grow(daemon, disk, size):
    status, answer = daemon.api("PATCH", f"/v1/disks/{disk}", {"size_bytes": size})
    assert status == 200, answer


def read_log(controller, log):
    at = controller.memory.allocate(PAGE, PAGE)
    controller.expect(controller.admin.do(nvme.GET_LOG_PAGE, namespace=0xFFFF_FFFF, prp1=at, words=[1023 << 16 | log]))
    return controller.memory.read(at, PAGE)


def test_growth_is_told(daemon):
    with Controller.start(daemon.socket("bob/root")) as controller:
        controller.expect(controller.admin.do(nvme.SET_FEATURES, words=[0xB, 1 << 8]))
        size = controller.size_blocks() * 512
        waiting = event(controller)
        controller.identify(1)
        assert not controller.admin.poll()
        grow(daemon, "bob/root", size + 4 * MIB)
        completion = controller.expect(controller.admin.wait(waiting))
        assert completion.result == NAMESPACE_CHANGED
        assert controller.size_blocks() * 512 == size + 4 * MIB
        # told once until the log was read, and not lost meanwhile
        waiting = event(controller)
        grow(daemon, "bob/root", size + 8 * MIB)
        wait_until(lambda: controller.size_blocks() * 512 == size + 8 * MIB, "it grows")
        assert waiting in controller.admin.flying
        assert struct.unpack_from("<2I", read_log(controller, 4)) == (1, 0)
        assert controller.admin.wait(waiting).result == NAMESPACE_CHANGED
        assert not any(read_log(controller, 4)), "the log told of both"
        last = (size + 8 * MIB) // 512 - 8
        assert controller.read(last, 8) == bytes(4096)
        roundtrip(controller, last)


def test_growth_without_a_request(daemon):
    """It waits for one; a driver that did not ask for events is told nothing."""
    with Controller.start(daemon.socket("bob/root")) as controller:
        size = controller.size_blocks() * 512
        waiting = event(controller)
        grow(daemon, "bob/root", size + MIB)
        wait_until(lambda: controller.size_blocks() * 512 == size + MIB, "it grows")
        assert waiting in controller.admin.flying
        read_log(controller, 4)
        controller.disable()
        controller.start_again()
        controller.expect(controller.admin.do(nvme.SET_FEATURES, words=[0xB, 1 << 8]))
        grow(daemon, "bob/root", size + 2 * MIB)
        wait_until(lambda: controller.size_blocks() * 512 == size + 2 * MIB, "it grows")
        assert controller.admin.wait(event(controller)).result == NAMESPACE_CHANGED


def test_requests_for_events_have_an_end(alice):
    with Controller.start(alice) as controller:
        limit = controller.identify(1)[259] + 1
        for _ in range(limit):
            event(controller)
        controller.expect(controller.admin.do(nvme.ASYNC_EVENT), nvme.TOO_MANY_EVENTS)
        roundtrip(controller)


# ---- takeover ----

def test_takeover_under_load(daemon, alice):
    """The connection lives on: a VMM does not connect again. No command is lost, none is done twice."""
    with Controller.start(alice, queues=4) as controller:
        load = NvmeLoad(controller, seed=9)

        def take_over():
            for _ in range(TAKEOVERS):
                completed = load.completed
                wait_until(lambda: load.completed > completed + 50, "the load goes on")
                daemon.take_over()

        while_going(load.step, take_over)
        load.finish()
        for number in range(4):
            heard(controller.vectors[number + 1], 0)
            ask_queue(controller, number)
            assert heard(controller.vectors[number + 1]), "its interrupts go on"
            take(controller, number)


def test_takeover_keeps_what_waits(daemon):
    """Requests for events, features, masks, and half a message."""
    with Controller.start(daemon.socket("bob/root"), interrupts="intx") as controller:
        connection = controller.connection
        controller.expect(controller.admin.do(nvme.SET_FEATURES, words=[0xB, 1 << 8]))
        controller.expect(controller.admin.do(nvme.SET_FEATURES, words=[6, 0]))
        waiting, size = event(controller), controller.size_blocks() * 512
        heard(controller.pin)
        ask_queue(controller)
        wait_until(controller.pin_is_pending, "an answer nobody takes")
        data = connection.message(Command.REGION_READ, ACCESS.pack(nvme.VS, BAR0, 4), number=77)
        connection.send_bytes(data[:21])
        daemon.take_over()
        connection.send_bytes(data[21:])
        assert connection.reply(77, Command.REGION_READ)[ACCESS.size:] == struct.pack("<I", 0x10400)
        assert controller.pin_is_pending()
        unmask(controller)
        assert heard(controller.pin) == 1
        take(controller)
        assert controller.admin.do(nvme.GET_FEATURES, words=[6]).result == 0
        grow(daemon, "bob/root", size + MIB)
        assert controller.admin.wait(waiting).result == NAMESPACE_CHANGED
        # its door is still there
        extra = Region(0x8000_0000, MIB)
        connection.map_region(extra)
        controller.expect(controller.transfer(READ, 0, 8, prp1=0x8000_0000))
        connection.reset()
        controller.set_command()
        controller.start_again()
        roundtrip(controller)
        extra.close()


def test_takeover_without_a_vmm_and_before_the_version(daemon, alice):
    daemon.take_over()
    with Connection.open(alice) as connection:
        connection.send_bytes(b"\1")
        daemon.take_over()
        connection.send_bytes(connection.message(Command.VERSION, struct.pack("<2H", 0, 1), number=1)[1:])
        assert connection.reply(1, Command.VERSION)
    with Controller.start(alice) as controller:
        roundtrip(controller)
