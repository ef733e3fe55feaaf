# SPDX-License-Identifier: GPL-2.0-or-later
"""Row C19: an NVMe driver that lies: doorbells, queues, and switches.

Reactions: an error status, an event, or CSTS.CFS.
"""
import random
import struct

import pytest

import nvme
from guest_memory import PAGE, GuestMemory, Region
from hostile import scribbler
from nvme import CC, CC_ENABLE, CC_ENTRIES, CSTS, CSTS_FATAL, CSTS_READY, READ, WRITE, blocks, sgl
from nvme_mallory import NvmeAttacks, hostile_daemon, make_mallory, run
from patience import wait_until, watch_nothing
from vfio_user import BAR0

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


def statuses(queue, count):
    """Of so many completions, by whatever identifiers; they are taken."""
    found = []

    def look():
        while queue.memory.get32(queue.cq + 16 * queue.head + 12) >> 16 & 1 == queue.phase:
            found.append(nvme.Completion(queue.memory.read(queue.cq + 16 * queue.head, 16)).status)
            queue.head = (queue.head + 1) % queue.size
            queue.phase ^= queue.head == 0
            queue.controller.post32(queue.doorbell(True), queue.head)
        return len(found) >= count

    wait_until(look, lambda: f"{count} answers, of which there are {len(found)}")
    queue.flying.clear()
    return found


def refused(completion, *allowed):
    assert completion.status in allowed, f"{completion}, expected {[hex(status) for status in allowed]}"
    assert completion.do_not_retry or completion.status == nvme.DATA_TRANSFER_ERROR


# ---- doorbells ----

@attack("C19", "doorbells-of-no-queue")
def _(mallory):
    """All that there are, with every kind of value: an event, and nothing else."""
    controller = mallory.start()
    waiting = controller.admin.submit(nvme.ASYNC_EVENT)
    before = mallory.daemon.violations(mallory.guest)
    for offset in range(nvme.DOORBELLS + 8 * 3, nvme.MSIX_TABLE, 4):
        for value in (0, 1, 0xFFFF_FFFF):
            controller.post32(offset, value)
    assert controller.admin.wait(waiting).result == 1 << 16, "error, invalid register, the error log"
    assert mallory.daemon.violations(mallory.guest) > before
    mallory.expect_working()


@attack("C19", "doorbells-beyond-queues")
def _(mallory):
    """Tails that a queue does not have, heads that are not reached."""
    controller = mallory.start()
    waiting = controller.admin.submit(nvme.ASYNC_EVENT)
    for queue in (controller.admin, *controller.queues):
        for value in (queue.size, queue.size + 1, 0x7FFF, 0xFFFF, 0x1_FFFF, 0xFFFF_FFFF):
            controller.post32(queue.doorbell(), value)
            controller.post32(queue.doorbell(True), value)
        for value in (queue.head + 1, queue.head + queue.size // 2, queue.head - 1):
            controller.post32(queue.doorbell(True), value % queue.size)
    assert controller.admin.wait(waiting).result == 1 << 16 | 1 << 8
    assert not controller.get(CSTS) & CSTS_FATAL
    mallory.expect_working()


@attack("C19", "doorbells-in-memory-of-any-value")
def _(mallory):
    """Another CPU of the guest writes anything over both pages, while commands are under way."""
    controller = mallory.start(shadows=True)
    queue, at = controller.queues[0], controller.scratch(4096)
    chance = random.Random(SEED)

    def step():
        for page in controller.shadows:
            controller.memory.write(page + 8, struct.pack("<4I", *(chance.choice([chance.randrange(80), chance.randrange(1 << 32)])
                                                                   for _ in range(4))))

    with scribbler(step):
        for number in range(400):
            controller.memory.write(queue.sq + 64 * (number % queue.size), nvme.command(READ, number, 1, prp1=at, words=blocks(0, 8)))
            controller.post32(queue.doorbell(), number % queue.size)
            if number % 20 == 0:
                controller.get(CSTS)
                mallory.expect_others_served()
    mallory.expect_recovers()


@attack("C19", "doorbells-in-queues-and-in-nothing")
def _(mallory):
    """The pages are a queue's, each other, and memory that goes away."""
    controller = mallory.start(shadows=True)
    config, queue = nvme.DOORBELL_BUFFER_CONFIG, controller.queues[0]
    for shadow, events in ((NOWHERE, queue.sq), (queue.sq, NOWHERE), (0, 0), (queue.sq + 4, queue.cq), (2 ** 64 - PAGE, queue.cq)):
        refused(controller.admin.do(config, prp1=shadow, prp2=events), nvme.INVALID_FIELD, nvme.PRP_OFFSET_INVALID)
    mallory.expect_working()
    for shadow, events in ((queue.sq, queue.cq), (queue.cq, queue.sq), (queue.sq, queue.sq), (controller.admin.cq, controller.admin.sq)):
        controller.admin.submit(config, prp1=shadow, prp2=events)
        for value in range(queue.size):
            controller.post32(queue.doorbell(), value)
        controller.get(CSTS)
        mallory.expect_recovers()
        controller.share_doorbells()
    controller.connection.unmap_all()
    for value in range(queue.size):
        controller.post32(queue.doorbell(), value)
    controller.get(CSTS)
    mallory.expect_recovers()


@attack("C19", "doorbells-of-other-sizes")
def _(mallory):
    """Of bytes, words, both at once, and beside the register."""
    controller = mallory.start()
    for offset in range(nvme.DOORBELLS, nvme.DOORBELLS + 40):
        for size in (1, 2, 3, 5, 7, 8, 16):
            if (offset, size) not in ((offset & ~7, 8), (offset & ~7, 16)):
                controller.connection.region_write(BAR0, offset, b"\xFF" * size)
    mallory.expect_working()
    # A whole queue of whatever lies there.
    for queue in controller.queues:
        controller.connection.region_write(BAR0, queue.doorbell(), struct.pack("<II", queue.size - 1, 0))
    mallory.expect_recovers()


@attack("C19", "doorbells-while-it-is-off")
def _(mallory):
    controller = mallory.start()
    controller.disable()
    for offset in range(nvme.DOORBELLS, nvme.DOORBELLS + 64, 4):
        controller.put(offset, 1)
    assert controller.get(CSTS) == 0
    controller.start_again(2)
    mallory.expect_working()


@attack("C19", "tail-in-circles")
def _(mallory):
    """Rung again and again behind commands that are under way: none is done twice at the same time, all are answered."""
    controller = mallory.start()
    queue, at = controller.queues[0], controller.scratch(4096)
    for _ in range(queue.size):
        queue.put(READ, namespace=1, prp1=at, words=blocks(0, 8))
    for number in range(500):
        controller.post32(queue.doorbell(), number * 7 % queue.size)
    controller.connection.get_info()
    mallory.expect_recovers()


@attack("C19", "answers-that-nobody-takes")
def _(mallory):
    """A full completion queue stops its submission queue, and no other; it goes on when there is room."""
    controller = mallory.start()
    queue, at = controller.queues[0], controller.scratch(4096)
    for _ in range(queue.size - 1):
        queue.submit(READ, namespace=1, prp1=at, words=blocks(0, 8))
    taken = 0

    def all_taken():
        nonlocal taken
        taken += queue.poll(tell=False)
        return taken == queue.size - 1

    wait_until(all_taken, "the queue is full")
    identifiers = [queue.submit(READ, namespace=1, prp1=at, words=blocks(0, 8)) for _ in range(20)]
    controller.roundtrip(queue=1)
    watch_nothing()
    assert not queue.poll(tell=False)
    controller.post32(queue.doorbell(True), queue.head)
    for identifier in identifiers:
        controller.expect(queue.wait(identifier))


@attack("C19", "one-identifier-for-all")
def _(mallory):
    controller = mallory.start()
    queue, at = controller.queues[0], controller.scratch(4096)
    for _ in range(10):
        for _ in range(queue.size - 1):
            queue.put(READ, identifier=7, namespace=1, prp1=at, words=blocks(0, 8))
        queue.ring()
        assert set(statuses(queue, queue.size - 1)) == {nvme.SUCCESS}


# ---- queues ----

@attack("C19", "queues-that-cannot-be")
def _(mallory):
    controller = mallory.start()
    at = controller.memory.allocate(4 * PAGE, PAGE)
    last = controller.memory.regions[0].guest_address + controller.memory.regions[0].size
    bad = nvme.INVALID_QUEUE_ID, nvme.INVALID_QUEUE_SIZE, nvme.INVALID_FIELD, nvme.PRP_OFFSET_INVALID
    for make in (lambda number, *more: controller.create_cq(number, *more), lambda number, address, size, *more:
                 controller.create_sq(number, address, size, 1, *more)):
        for number in (0, 1, 2, 5, 63, 64, 255, 0xFFFF):
            refused(make(number, at, 16), nvme.INVALID_QUEUE_ID)
        for size in (1, 1025, 4096, 0x1_0000):
            refused(make(3, at, size), nvme.INVALID_QUEUE_SIZE)
        for address in (at + 1, at + 16, at + 2048, PAGE - 1):
            refused(make(3, address, 16), nvme.PRP_OFFSET_INVALID)
        for address, size in ((0, 16), (NOWHERE, 16), (last - PAGE, 512), (last, 2), (1 << 63, 1024), ((1 << 64) - PAGE, 1024),
                              (0xFEB0_0000, 16)):
            refused(make(3, address, size), *bad)
    for vector in (64, 255, 0xFFFF):
        refused(controller.create_cq(3, at, 16, vector), nvme.INVALID_VECTOR)
    refused(controller.create_cq(3, at, 16, 0, flags=2), nvme.INVALID_FIELD)
    refused(controller.create_sq(3, at, 16, 1, flags=0), nvme.INVALID_FIELD)
    for cq in (0, 3, 4, 5, 64, 0xFFFF):
        refused(controller.create_sq(3, at, 16, cq), nvme.CQ_INVALID)
    for number in (0, 3, 4, 64, 0x8000, 0xFFFF):
        refused(controller.delete_sq(number), nvme.INVALID_QUEUE_ID)
        refused(controller.delete_cq(number), nvme.INVALID_QUEUE_ID)
    mallory.expect_working()


@attack("C19", "completion-queue-with-users-deleted")
def _(mallory):
    """Two submission queues have one completion queue, with commands in flight; it goes after both of them."""
    controller = mallory.start()
    memory, shared = controller.memory, controller.queues[0]
    others = []
    for number in (3, 4):
        other = nvme.Queue(controller, number, 64)
        controller.expect(controller.create_sq(number, other.sq, 64, 1))
        others.append(other)
    at = controller.scratch(4096)
    for _ in range(15):
        for queue in (shared, *others):
            memory.write(queue.sq + 64 * queue.tail, nvme.command(READ, 1, namespace=1, prp1=at, words=blocks(0, 8)))
            queue.tail = (queue.tail + 1) % 64
            queue.ring()
    refused(controller.delete_cq(1), nvme.INVALID_QUEUE_DELETION)
    for number in (3, 1, 4):
        controller.expect(controller.delete_sq(number))
        if number != 4:
            refused(controller.delete_cq(1), nvme.INVALID_QUEUE_DELETION)
    controller.expect(controller.delete_cq(1))
    refused(controller.delete_cq(1), nvme.INVALID_QUEUE_ID)
    controller.post32(shared.doorbell(True), 5)
    controller.roundtrip(queue=1)
    mallory.expect_recovers()


@attack("C19", "queues-deleted-twice-in-flight")
def _(mallory):
    """Both deletions are put before either is answered; one of them succeeds."""
    controller = mallory.start()
    admin = controller.admin
    for _ in range(30):
        controller.ask_queue(0, 50)
        identifiers = [admin.put(nvme.DELETE_SQ, words=[1]) for _ in range(3)] + [admin.put(nvme.DELETE_CQ, words=[1])]
        admin.ring()
        found = [admin.wait(identifier).status for identifier in identifiers]
        assert sorted(found[:3]) == [nvme.SUCCESS, nvme.INVALID_QUEUE_ID, nvme.INVALID_QUEUE_ID]
        assert found[3] in (nvme.SUCCESS, nvme.INVALID_QUEUE_DELETION)
        if found[3]:
            controller.expect(controller.delete_cq(1))
        controller.queues[0].clear()
        controller.create_pair(controller.queues[0])
        controller.roundtrip()


@attack("C19", "queues-in-the-same-memory")
def _(mallory):
    """A submission queue that is its completion queue, and the admin queue's."""
    controller = mallory.start()
    at = controller.memory.allocate(PAGE, PAGE)
    controller.expect(controller.create_cq(3, at, 64, 1))
    controller.expect(controller.create_sq(3, at, 64, 3))
    controller.expect(controller.create_cq(4, controller.admin.sq, 64, 1))
    controller.expect(controller.create_sq(4, controller.admin.sq, 64, 4))
    for number in (3, 4):
        for tail in range(1, 64):
            controller.post32(nvme.DOORBELLS + 8 * number, tail)
            controller.post32(nvme.DOORBELLS + 8 * number + 4, tail)
    controller.connection.get_info()
    mallory.expect_recovers()


@attack("C19", "data-into-its-own-queues")
def _(mallory):
    """Reads whose pages are the queues."""
    controller = mallory.start()
    for number in range(10):
        controller.write(0, random.Random(number).randbytes(4096))
        for target in (controller.queues[0].sq, controller.queues[0].cq, controller.admin.sq, controller.admin.cq):
            controller.queues[1].submit(READ, namespace=1, prp1=target, words=blocks(0, 8))
        for _ in range(20):
            controller.post32(controller.queues[0].doorbell(), random.Random(number).randrange(64))
            controller.post32(controller.admin.doorbell(), random.Random(number).randrange(64))
        controller.connection.get_info()
        mallory.expect_recovers()


@attack("C19", "commands-changed-while-they-are-read")
def _(mallory):
    """Another CPU of the guest writes over the queue all the time."""
    controller = mallory.start()
    queue, at = controller.queues[0], controller.scratch(4096)
    region, offset = controller.memory.find(queue.sq)
    good = nvme.command(READ, 1, 1, prp1=at, prp2=at, words=blocks(0, 16))
    evil = nvme.command(WRITE, 2, 0xFFFF_FFFF, flags=0xC3, prp1=NOWHERE + 3, prp2=1, words=[0xFFFF_FFFF] * 3)

    def step():
        region.bytes[offset:offset + 64 * queue.size] = (good + evil) * (queue.size // 2)
        region.bytes[offset:offset + 64 * queue.size] = (evil + good) * (queue.size // 2)

    with scribbler(step):
        for number in range(1, 600):
            controller.post32(queue.doorbell(), number % queue.size)
            if number % 20 == 0:
                controller.get(CSTS)
                statuses(queue, 0)
        mallory.expect_others_served()
    mallory.expect_recovers()


# ---- the controller's life ----

@attack("C19", "switched-with-commands-in-flight")
def _(mallory):
    """Off and on, shut down and reset, without a look at CSTS between."""
    controller = mallory.start()
    on = CC_ENTRIES | CC_ENABLE
    for number in range(60):
        controller.ask_queue(0, 50)
        controller.ask_queue(1, 50)
        steps = ([0], [0, on], [0, on, 0, on], [on | 1 << 14, 0], [on | 1 << 14, on | 2 << 14, 0, on], [1 << 14], [on | 3 << 14, on, on | 1 << 14])
        for value in steps[number % len(steps)]:
            controller.post32(CC, value)
        if number % 3 == 0:
            controller.connection.reset()
            controller.set_command()
        controller.wait_status(0, CSTS_READY) if not controller.get(CC) & CC_ENABLE else controller.disable()
        controller.start_again(2)
    mallory.expect_working()


@attack("C19", "rubbish-in-the-control-register")
def _(mallory):
    """Settings that there are not are fatal; afterwards it works."""
    controller = mallory.start()
    numbers = random.Random(SEED)
    for bits in (1 << 4, 7 << 4, 1 << 7, 0xF << 7, 1 << 11, 7 << 11):
        controller.disable()
        controller.put(CC, CC_ENTRIES | CC_ENABLE | bits)
        mallory.expect_fatal()
        assert not controller.get(CSTS) & CSTS_READY
    for value in (0xFFFF_FFFF, 0xFFFF_FFFE, *(numbers.getrandbits(32) for _ in range(200))):
        controller.put(CC, value)
        controller.get(CSTS)
    mallory.expect_recovers()
    # entries of another size than there are
    controller.disable()
    controller.set_admin_queue()
    controller.put(CC, 3 << 16 | 2 << 20 | CC_ENABLE)
    controller.wait_status(CSTS_READY, CSTS_READY)
    at = controller.memory.allocate(PAGE, PAGE)
    controller.expect(controller.create_cq(1, at, 16))
    refused(controller.create_sq(1, at, 16, 1), nvme.INVALID_QUEUE_SIZE)
    mallory.expect_recovers()


@attack("C19", "admin-queues-that-cannot-be")
def _(mallory):
    controller = mallory.start()
    at, last = controller.memory.allocate(2 * PAGE, PAGE), controller.memory.regions[0].guest_address + controller.memory.regions[0].size
    for asq, acq, aqa in ((NOWHERE, at, 0x3F003F), (at, NOWHERE, 0x3F003F), (0, 0, 0x3F003F), (at + 64, at, 0x3F003F),
                          (at, at + 16, 0x3F003F), (at, at, 0), (at, at, 0x3F), (at, at, 0x3F0000), (last - PAGE, at, 0xFFF0FFF),
                          ((1 << 64) - PAGE, at, 0xFFF0FFF), (last, at, 0x10001), (at, 0xFEB0_0000, 0x3F003F)):
        controller.disable()
        controller.put(nvme.AQA, aqa)
        controller.put(nvme.ASQ, asq, 8)
        controller.put(nvme.ACQ, acq, 8)
        controller.put(CC, CC_ENTRIES | CC_ENABLE)
        mallory.expect_fatal()
        controller.post32(nvme.DOORBELLS, 1)
        controller.post32(nvme.DOORBELLS + 4, 1)
    mallory.expect_recovers()


@attack("C19", "admin-queue-changed-while-it-is-on")
def _(mallory):
    controller = mallory.start()
    for register in (nvme.AQA, nvme.ASQ, nvme.ASQ + 4, nvme.ACQ, nvme.ACQ + 4, CSTS, nvme.VS, nvme.CAP):
        controller.put(register, 0xFFFF_FFFF)
    assert controller.get(nvme.ASQ, 8) == controller.admin.sq
    mallory.expect_working()
    controller.identify(1)


@attack("C19", "shut-down-again-and-again")
def _(mallory):
    controller = mallory.start()
    for number in range(100):
        controller.ask_queue(0, 3)
        controller.post32(CC, CC_ENTRIES | CC_ENABLE | (number % 4) << 14)
        controller.take()
    controller.shut_down()
    mallory.expect_recovers()


@attack("C19", "bus-master-off-in-flight")
def _(mallory):
    """What is under way ends as it must; then the controller has failed, or goes on."""
    controller = mallory.start()
    for _ in range(40):
        controller.ask_queue(0, 50)
        controller.set_command(nvme.COMMAND_MEMORY)
        controller.ask_queue(1, 5)
        controller.set_command()
        controller.connection.get_info()
        mallory.expect_recovers()


@attack("C19", "rings-across-regions")
def _(mallory):
    """A queue in two adjacent regions is in no piece of memory; data may lie there."""
    memory = GuestMemory(Region(0x10_0000, 2 << 20), Region(0x30_0000, 2 << 20))
    controller = mallory.start(memory=memory)
    at = 0x30_0000 - PAGE
    refused(controller.create_cq(3, at, 512), nvme.INVALID_FIELD)
    controller.write(0, b"\x3C" * 8192)
    controller.expect(controller.transfer(READ, 0, 16, prp1=at, prp2=at + PAGE))
    assert memory.read(at, 2 * PAGE) == b"\x3C" * 8192
    controller.expect(controller.transfer(READ, 0, 16, sgl=sgl(at + 7, 8192 - 0)))
    assert memory.read(at + 7, 8192) == b"\x3C" * 8192
    mallory.expect_working()


@pytest.mark.parametrize("attack", attack.parameters)
def test_hostile(mallory, attack):
    run(mallory, attack)
