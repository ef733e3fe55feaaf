# SPDX-License-Identifier: GPL-2.0-or-later
"""Row C19: NVMe commands whose data lies nowhere, in loops, or in a register, and whose blocks are not there.

A BAR is never memory, so a device cannot write to its own registers.
"""
import contextlib
import random
import struct

import pytest

import nvme
from guest_memory import PAGE
from nvme import CSTS, CSTS_READY, READ, WRITE, blocks, sgl
from nvme_mallory import NvmeAttacks, hostile_daemon, make_mallory, run
from vfio_user import CONFIG, Refused

attack = NvmeAttacks()
NOWHERE = 0x4000_0000_0000          # a guest address in no region
SEED = 19


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with hostile_daemon(tmp_path_factory.mktemp("viaduct")) as instance:
        yield instance


@pytest.fixture
def mallory(daemon, victim, hostile_guests):
    yield from make_mallory(daemon, victim, hostile_guests)


def refused(completion, *allowed):
    assert completion.status in allowed, f"{completion}, expected {[hex(status) for status in allowed]}"
    assert completion.do_not_retry or completion.status == nvme.DATA_TRANSFER_ERROR


# ---- where data lies ----

def lists(memory):
    """{name: (blocks, prp1, prp2, statuses)} of PRPs that are wrong."""
    page, at = memory.allocate(PAGE, PAGE), memory.allocate(4 * PAGE, PAGE)
    loop, odd, outside, mixed = (memory.allocate(PAGE, PAGE) for _ in range(4))
    memory.write(loop, struct.pack("<512Q", *[loop] * 512))
    memory.write(odd, struct.pack("<512Q", *[at, at + 1] * 256))
    memory.write(outside, struct.pack("<512Q", *[at, NOWHERE] * 256))
    memory.write(mixed, struct.pack("<512Q", *[at] * 511, NOWHERE))
    last = memory.regions[0].guest_address + memory.regions[0].size
    offset, transfer = nvme.PRP_OFFSET_INVALID, nvme.DATA_TRANSFER_ERROR
    return {
        "first-misaligned": (8, at + 1, at, (offset,)), "second-misaligned": (16, at, at + 512, (offset,)),
        "list-misaligned": (64, at, loop + 4, (offset,)), "entry-misaligned": (64, at, odd, (offset,)),
        "first-outside": (8, NOWHERE, 0, (transfer,)), "second-outside": (16, at, NOWHERE, (transfer,)),
        "list-outside": (64, at, NOWHERE, (transfer,)), "entry-outside": (64, at, outside, (transfer,)),
        "zero": (8, 0, 0, (transfer,)), "wraps": (16, (1 << 64) - PAGE, 0, (transfer,)),
        "highest": (8, (1 << 64) - 4, 0, (transfer, offset)), "beyond-the-end": (16, last - PAGE, last, (transfer,)),
        "list-beyond-the-end": (64, at, last, (transfer,)),
        "list-without-room": (2048, page, mixed + PAGE - 8, (offset,)),
        "list-goes-on-nowhere": (2048, page, mixed + PAGE - 16, (transfer,)),
    }


@attack("C19", "pages-that-are-none")
def _(mallory):
    controller = mallory.start()
    for name, (count, prp1, prp2, allowed) in lists(controller.memory).items():
        for opcode in (READ, WRITE):
            completion = controller.transfer(opcode, 0, count, prp1=prp1, prp2=prp2)
            assert completion.status in allowed, f"{name}: {completion}"
        completion = controller.admin.do(nvme.IDENTIFY, prp1=prp1, prp2=prp2, words=[1])
        if count == 8:
            assert completion.status in allowed, f"{name}: {completion}"
    mallory.expect_working()


@attack("C19", "lists-in-loops")
def _(mallory):
    """A list of pages that names itself ends with the data; it is data, too."""
    controller = mallory.start()
    memory = controller.memory
    at, loop = memory.allocate(PAGE, PAGE), memory.allocate(PAGE, PAGE)
    for start in (0, PAGE - 16, PAGE - 24, PAGE // 2):
        for opcode in (WRITE, READ):
            memory.write(loop, struct.pack("<512Q", *[loop + start] * 512))
            completion = controller.transfer(opcode, 0, 2048, prp1=at, prp2=loop + start)
            assert completion.status in (nvme.SUCCESS, nvme.PRP_OFFSET_INVALID, nvme.DATA_TRANSFER_ERROR)
    mallory.expect_others_served()
    mallory.expect_working()


@attack("C19", "scatter-gather-lists-that-are-none")
def _(mallory):
    controller = mallory.start()
    memory = controller.memory
    at, listed = memory.allocate(PAGE, PAGE), memory.allocate(64 * PAGE, PAGE)
    data, segment, last = sgl(at, 4096), nvme.SGL_SEGMENT, nvme.SGL_LAST_SEGMENT
    length, kind, bad, count, transfer = (nvme.SGL_LENGTH_INVALID, nvme.SGL_TYPE_INVALID, nvme.INVALID_SGL_SEGMENT,
                                          nvme.INVALID_SGL_COUNT, nvme.DATA_TRANSFER_ERROR)
    cases = [
        # (what is in the list, the command's descriptor, statuses)
        (b"", sgl(at, 0), (length,)), (b"", sgl(at, 4095), (length,)), (b"", sgl(at, 0xFFFF_FFFF), (length,)),
        (b"", sgl(NOWHERE, 4096), (transfer,)), (b"", sgl((1 << 64) - 1, 4096), (transfer,)),
        *[(b"", sgl(at, 4096, wrong), (kind,)) for wrong in (0x01, 0x0F, 0x10, 0x40, 0x50, 0xF0, 0xFF)],
        *[(data, sgl(listed, 16, wrong), (kind, bad)) for wrong in (0x21, 0x31, 0x2F)],
        *[(data, sgl(listed, size, which), (bad,)) for size in (0, 1, 15, 17, 24) for which in (segment, last)],
        (b"", sgl(NOWHERE, 16, last), (transfer,)), (b"", sgl((1 << 64) - 16, 64, last), (transfer,)),
        (b"", sgl((1 << 64) - 8, 16, last), (transfer,)), (data, sgl(listed, 0xFFFF_FFF0, last), (length, count, kind, transfer)),
        # segments in segments
        (sgl(listed, 16, segment), sgl(listed, 16, segment), (count,)),
        (sgl(listed, 16, last), sgl(listed, 16, segment), (bad,)), (sgl(listed, 16, segment), sgl(listed, 16, last), (bad,)),
        (sgl(listed, 16, segment) + data, sgl(listed, 32, segment), (bad,)),
        (sgl(listed, 0, segment), sgl(listed, 16, segment), (bad,)),
        # descriptors of nothing, and very many of little
        (sgl(at, 0) * 4096, sgl(listed, 65536, last), (count,)), (sgl(at, 1) * 4096, sgl(listed, 65536, last), (count,)),
        (sgl(at, 0) * 4095 + sgl(listed, 65536, segment), sgl(listed, 65536, segment), (count,)),
        (sgl(at, 4096) + sgl(at, 1), sgl(listed, 32, last), (length,)), (sgl(at, 4095), sgl(listed, 16, last), (length,)),
        (sgl(at, 4096, 0x10), sgl(listed, 16, last), (kind,)), (sgl(NOWHERE, 4096), sgl(listed, 16, last), (transfer,)),
    ]
    for content, descriptor, allowed in cases:
        memory.write(listed, content)
        for opcode in (READ, WRITE):
            completion = controller.transfer(opcode, 0, 8, sgl=descriptor)
            assert completion.status in allowed, f"{descriptor.hex()} {content[:32].hex()}: {completion}"
        controller.admin.do(nvme.IDENTIFY, sgl=descriptor, words=[1])
        controller.queues[0].do(nvme.DATASET_MANAGEMENT, namespace=1, sgl=descriptor, words=[255, 4])
    refused(controller.transfer(READ, 0, 8, prp1=at, flags=3 << 6), nvme.INVALID_FIELD)
    mallory.expect_working()


@attack("C19", "data-in-its-own-registers")
def _(mallory):
    """At the BAR's address there is no memory, or the guest's own: no register is ever written by a command."""
    controller = mallory.start()
    memory = controller.memory
    controller.write(0, b"\xFF" * 4096)
    for bar in (0xFEB0_0000, memory.allocate(8 * PAGE, 4 * PAGE)):
        controller.connection.region_write(CONFIG, nvme.BAR, struct.pack("<Q", bar | 4))
        inside = bar < 0xFEB0_0000
        for at in (bar, bar + nvme.DOORBELLS, bar + nvme.MSIX_TABLE, bar + nvme.MSIX_PENDING):
            controller.expect(controller.transfer(READ, 0, 8, prp1=at), nvme.SUCCESS if inside else nvme.DATA_TRANSFER_ERROR)
            assert not inside or memory.read(at, PAGE) == b"\xFF" * PAGE
        assert controller.get(CSTS) & 3 == CSTS_READY and controller.get(nvme.INTMS) == 0
    # as peer-to-peer memory, which a VMM maps without a file
    with contextlib.suppress(Refused):
        controller.connection.dma_map(0xFEB0_0000, nvme.BAR_BYTES, flags=1)
    controller.expect(controller.transfer(READ, 0, 8, prp1=0xFEB0_1000), nvme.DATA_TRANSFER_ERROR)
    mallory.expect_working()


# ---- commands ----

@attack("C19", "blocks-outside")
def _(mallory):
    controller = mallory.start()
    memory, size = controller.memory, controller.size_blocks()
    at = memory.allocate(1 << 20, PAGE)
    fields = controller.prps(at, 1 << 20)
    outside = [(size, 1), (size - 1, 2), (size - 2047, 2048), (1 << 32, 1), (1 << 54, 8), ((1 << 55) - 1, 8), (1 << 55, 8),
               ((1 << 64) - 1, 1), ((1 << 64) - 1, 2048), ((1 << 64) - 8, 8), (1 << 63, 1)]
    for first, count in outside:
        for opcode in (READ, WRITE, nvme.WRITE_ZEROES):
            refused(controller.transfer(opcode, first, count, **fields), nvme.LBA_OUT_OF_RANGE)
        refused(controller.trim((first, count)), nvme.LBA_OUT_OF_RANGE)
    refused(controller.trim((0, 0xFFFF_FFFF)), nvme.LBA_OUT_OF_RANGE)
    refused(controller.trim(((1 << 64) - 1, 0xFFFF_FFFF)), nvme.LBA_OUT_OF_RANGE)
    # larger than MDTS
    for count in (2049, 4096, 65536):
        refused(controller.transfer(READ, 0, count, **fields), nvme.INVALID_FIELD)
    refused(controller.write_zeroes(0, 65536), nvme.LBA_OUT_OF_RANGE)
    mallory.expect_working()


@attack("C19", "namespaces-that-are-none")
def _(mallory):
    controller = mallory.start()
    at = controller.scratch(4096)
    for namespace in (0, 2, 0x8000_0001, 0xFFFF_FFFE, 0xFFFF_FFFF):
        for opcode in (READ, WRITE, nvme.WRITE_ZEROES, nvme.DATASET_MANAGEMENT):
            refused(controller.queues[0].do(opcode, namespace=namespace, prp1=at, words=blocks(0, 8)), nvme.INVALID_NAMESPACE)
    refused(controller.queues[0].do(nvme.FLUSH, namespace=2), nvme.INVALID_NAMESPACE)
    for fused in (1, 2, 3):
        refused(controller.transfer(READ, 0, 8, prp1=at, flags=fused), nvme.INVALID_FIELD)
    mallory.expect_working()


@attack("C19", "commands-of-all-kinds")
def _(mallory):
    """Every opcode with random fields, on every queue: each is answered once."""
    controller = mallory.start()
    numbers = random.Random(SEED)
    at = controller.memory.allocate(4 * PAGE, PAGE)

    def word():
        return numbers.choice((0, 1, 2, 3, 0xFF, 0x100, 0xFFFF, 0x1_0000, 0x7FFF_FFFF, 0xFFFF_FFFF, numbers.getrandbits(32)))

    for number in range(3000):
        queue = numbers.choice((controller.admin, *controller.queues))
        opcode = numbers.randrange(256) if number % 2 else numbers.randrange(16)
        words = [word() for _ in range(6)]
        if queue is controller.admin and (opcode == nvme.ASYNC_EVENT or opcode in (0, 1, 4, 5) and words[0] & 0xFFFF < 3):
            continue
        queue.do(opcode, namespace=numbers.choice((0, 1, 1, 0xFFFF_FFFF)), flags=numbers.choice((0, 0, 0, 0x40, 0xFF)),
                 prp1=numbers.choice((at, at + 4, 0, NOWHERE)), prp2=numbers.choice((at, at + 8, 0, NOWHERE)), words=words)
    controller.memory.fill(at, 4 * PAGE)
    mallory.expect_recovers()


@attack("C19", "log-pages-beyond-their-end")
def _(mallory):
    controller = mallory.start()
    at = controller.memory.allocate(4 * PAGE, PAGE)
    for log in (1, 2, 3, 4):
        for low, high in ((PAGE, 0), (PAGE - 4, 0), (PAGE + 4, 0), (0xFFFF_FFFC, 0xFFFF_FFFF), (0, 1), (1, 0), (3, 0)):
            controller.memory.fill(at, 4 * PAGE, 0x11)
            controller.admin.do(nvme.GET_LOG_PAGE, prp1=at, prp2=at + PAGE, words=[1023 << 16 | log, 0, low, high])
            assert controller.memory.read(at + PAGE, 3 * PAGE) == b"\x11" * 3 * PAGE
        refused(controller.admin.do(nvme.GET_LOG_PAGE, prp1=at, prp2=at + PAGE, words=[0xFFFF_0000 | log, 0xFFFF]), nvme.INVALID_FIELD)
    mallory.expect_working()


@attack("C19", "requests-for-events-and-no-room")
def _(mallory):
    """In the smallest admin queues, whose answers nobody takes."""
    controller = mallory.start(size=4)
    for round in range(20):
        for _ in range(3):
            controller.admin.put(nvme.ASYNC_EVENT)
        controller.admin.ring()
        for value in range(8):
            controller.post32(nvme.DOORBELLS + 0x100, value)
            controller.post32(controller.queues[0].doorbell(), 0xFFFF)
            controller.post32(controller.admin.doorbell(), value % 4)
        controller.get(CSTS)
        if round % 2:
            mallory.expect_recovers()
    mallory.expect_recovers()


@pytest.mark.parametrize("attack", attack.parameters)
def test_hostile(mallory, attack):
    run(mallory, attack)
