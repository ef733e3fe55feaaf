# SPDX-License-Identifier: GPL-2.0-or-later
"""Queues of one NVMe controller on two workers, under load on all of them: queues come and go, interrupts and memory
change, the controller ends, and a guest that storms one queue has a neighbour on that worker.
"""
import os
import threading

import pytest

import nvme
from guest_memory import PAGE, GuestMemory, Region, memory_file
from hostile import scribbler
from nvme import CSTS, CSTS_FATAL, CSTS_READY, READ, Controller, NvmeLoad, blocks
from patience import wait_until
from stuck import KEEP_SIZE, PUNCH_HOLE, fallocate
from two_workers import expect_both_to_serve, two_workers
from vfio_user import INTX, IRQ_NONE, IRQ_TRIGGER, MSIX, eventfds, heard
from victim_process import VictimProcess

MIB = 1 << 20
HOLE_BYTES = 512 * MIB      # takes a tenth of a second and more
TRIES = 60
QUEUES = 4                  # 1 and 3 are served at home, 2 and 4 by the other worker


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with two_workers(tmp_path_factory.mktemp("viaduct"),
                     {"pool": "main", "size": "16M", "model": "nvme", "queues": QUEUES}) as instance:
        yield instance


@pytest.fixture
def alice(daemon):
    return daemon.socket("alice/root")


@pytest.fixture(params=[False, True], ids=["doorbells", "doorbells-in-memory"])
def loaded(request, alice):
    with Controller.start(alice, queues=QUEUES, shadows=request.param) as controller:
        yield controller, NvmeLoad(controller, seed=21, depth=24)


def go_on(load, count=40):
    """So many commands more are answered."""
    goal = load.completed + count
    wait_until(lambda: load.step() or load.completed >= goal, "the load goes on")


def test_both_workers_serve(daemon, alice):
    with Controller.start(alice, queues=QUEUES, shadows=True) as controller:
        def ask(index):
            controller.ask_queue(index, count=8)
            controller.take(index)

        expect_both_to_serve(daemon, ask)


def test_queues_come_and_go(loaded):
    """Of either worker, with commands of their own under way, while all others go on."""
    controller, load = loaded
    queues = list(controller.queues)
    for number in range(24):
        queue = queues[number % QUEUES]
        load.drain()
        controller.queues.remove(queue)
        load.fill()
        at = controller.scratch(4096)
        for _ in range(20):
            queue.submit(READ, namespace=1, prp1=at, words=blocks(0, 8))
        controller.expect(controller.delete_cq(queue.number), nvme.INVALID_QUEUE_DELETION)
        controller.expect(controller.delete_sq(queue.number))
        controller.expect(controller.delete_cq(queue.number))
        go_on(load, 10)
        queue.clear()
        if controller.shadows:
            for is_completion in (False, True):
                controller.memory.put32(controller.shadows[0] + queue.doorbell(is_completion) - nvme.DOORBELLS, 0)
        controller.create_pair(queue)
        controller.queues.append(queue)
        go_on(load, 10)
    load.finish()


def test_interrupts_are_others(loaded):
    """A VMM gives other eventfds again and again. None is lost: each answer is told of by an eventfd that is there."""
    controller, _ = loaded
    at = [controller.memory.allocate(4096, PAGE) for _ in range(QUEUES)]
    for _ in range(50):
        with eventfds(QUEUES + 1) as fds:
            for queue in controller.queues:
                queue.submit(READ, namespace=1, prp1=at[queue.number - 1], words=blocks(0, 8))
            controller.connection.set_eventfds(MSIX, 0, fds)
            for queue in controller.queues:
                queue.submit(READ, namespace=1, prp1=at[queue.number - 1], words=blocks(0, 8))
            for queue in controller.queues:
                while queue.flying:
                    assert heard(fds[queue.number]) or not queue.poll(), f"nobody told of an answer of queue {queue.number}"
                    queue.poll()
                queue.done.clear()


def test_vectors_go_and_come(alice):
    """Without vectors all queues are told of by the pin, and served by one worker; commands are under way all the time."""
    with Controller.start(alice, queues=QUEUES) as controller:
        controller.pin = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        controller.connection.set_eventfds(INTX, 0, [controller.pin])
        load = NvmeLoad(controller, seed=22, depth=24)
        for _ in range(20):
            controller.connection.set_irqs(IRQ_NONE | IRQ_TRIGGER, MSIX, 0, 0)
            go_on(load)
            load.drain()
            wait_until(lambda: not controller.pin_is_pending(), "all is read")
            controller.unmask()
            heard(controller.pin, 0)
            controller.ask_queue(1)
            assert heard(controller.pin), "the pin tells of a queue that was another worker's"
            controller.take(1)
            controller.connection.set_eventfds(MSIX, 0, controller.vectors)
            go_on(load)
        load.finish()


def test_memory_comes_and_goes(loaded):
    """What is unmapped is not touched any more once the VMM has its answer, by none of the workers."""
    controller, load = loaded
    load.step()
    for number in range(40):
        extra = Region(0x8000_0000, MIB)
        controller.connection.map_region(extra)
        at = extra.guest_address
        for queue in controller.queues:
            for block in range(4):
                queue.submit(READ, namespace=1, prp1=at + PAGE * (4 * queue.number + block), words=blocks(0, 8))
        if number % 2:
            go_on(load, 5)
        controller.connection.dma_unmap(at, MIB)
        # What is fetched from now on finds no memory there; what was under way may still write, and is waited for.
        for queue in controller.queues:
            wait_until(lambda queue=queue: load.collect() or not queue.flying, "all are answered")
            later = queue.do(READ, namespace=1, prp1=at, words=blocks(0, 8))
            assert later.status == nvme.DATA_TRANSFER_ERROR
            queue.done.clear()
        extra.close()
    load.finish()


def test_rings_come_and_go(alice):
    """The memory of the queues themselves is taken away and given back under load."""
    with Controller.start(alice, queues=QUEUES) as controller:
        load = NvmeLoad(controller, seed=23, depth=24)
        region = controller.memory.regions[0]
        for _ in range(40):
            go_on(load, 10)
            load.drain()
            controller.connection.dma_unmap(region.guest_address, region.size)
            for queue in controller.queues:
                queue.ring()
            controller.connection.map_region(region)
            assert controller.get(CSTS) & (CSTS_READY | CSTS_FATAL) == CSTS_READY
        load.finish()


@pytest.mark.parametrize("end", ["disable", "shut-down", "reset", "disconnect"])
def test_the_end_under_load(daemon, alice, end):
    """With commands of all queues under way; afterwards nothing is written any more."""
    for _ in range(8):
        controller = Controller.start(alice, queues=QUEUES)
        with controller:
            for number in range(QUEUES):
                controller.ask_queue(number, 40)
            if end == "disable":
                controller.disable()
            elif end == "shut-down":
                controller.shut_down()
                controller.disable()
            elif end == "reset":
                controller.connection.reset()
                controller.set_command()
            else:
                controller.connect_again(QUEUES)
                controller.disable()
            region = controller.memory.regions[0]
            before = controller.memory.read(region.guest_address, region.size)
            assert controller.memory.read(region.guest_address, region.size) == before
            controller.start_again(QUEUES)
            for number in range(QUEUES):
                controller.roundtrip(64 + 8 * number, number)


# ---- hostile ----

@pytest.fixture(scope="module")
def victims(daemon):
    """An honest guest on each worker."""
    made = [VictimProcess(daemon.socket(f"{name}/root")) for name in ("victim", "victim2")]
    try:
        yield made
        for victim in made:
            victim.finish()
    finally:
        for victim in made:
            victim.kill()


@pytest.mark.parametrize("queue", range(1, QUEUES + 1))
def test_doorbell_storm(alice, victims, queue):
    """For a queue of either worker: honest guests go on, and so do the controller's other queues."""
    with Controller.start(alice, queues=QUEUES) as controller:
        stormed, other = controller.queues[queue - 1], controller.queues[queue % QUEUES]

        def storm():
            for value in (0, 5, 0xFFFF, 63):
                controller.post32(stormed.doorbell(), value)
                controller.post32(stormed.doorbell(True), value)

        with scribbler(storm):
            for _ in range(5):
                for victim in victims:
                    victim.progress()
        controller.connection.get_info()
        if controller.get(CSTS) & CSTS_FATAL == 0:
            controller.roundtrip(0, other.number - 1)
        controller.connection.reset()
        controller.set_command()
        controller.start_again(QUEUES)
        controller.roundtrip(0, queue - 1)


def test_one_vector_for_all(alice):
    """A driver may share a vector among queues of both workers."""
    with Controller.start(alice, queues=QUEUES) as controller:
        for queue in controller.queues:
            controller.expect(controller.delete_sq(queue.number))
            controller.expect(controller.delete_cq(queue.number))
            queue.clear()
            controller.expect(controller.create_cq(queue.number, queue.cq, queue.size, vector=1))
            controller.expect(controller.create_sq(queue.number, queue.sq, queue.size, queue.number))
        for _ in range(50):
            heard(controller.vectors[1], 0)
            for number in range(QUEUES):
                controller.ask_queue(number)
            flying = QUEUES
            while flying:
                assert heard(controller.vectors[1]), "nobody told of an answer"
                flying -= sum(queue.poll() for queue in controller.queues)
            for queue in controller.queues:
                queue.done.clear()


def is_apart(daemon, guest):
    return daemon.api("GET", f"/v1/guests/{guest}")[1].get("quarantine") is not None


def punch_under(controller, file, at, number):
    """Commands of a queue whose lists lie in a hole while it is punched. Each is answered once."""
    queue = controller.queues[number - 1]
    os.posix_fallocate(file, 0, HOLE_BYTES)
    whole = os.fstat(file).st_blocks
    thread = threading.Thread(target=fallocate, args=(file, PUNCH_HOLE | KEEP_SIZE, HOLE_BYTES))
    thread.start()
    wait_until(lambda: os.fstat(file).st_blocks < whole, "the hole has begun")
    for index in range(24):
        queue.submit(READ, namespace=1, prp1=controller.scratch(4096), prp2=at + PAGE * index, words=blocks(0, 24))
    thread.join()
    wait_until(lambda: queue.poll() or not queue.flying, "all are answered")
    queue.done.clear()


@pytest.mark.parametrize("number", [1, 2])
def test_memory_that_makes_a_worker_wait(daemon, victims, number):
    """Whichever worker it was: the guest goes with all its queues, and neither neighbour waits for it any more."""
    file, guest = memory_file(HOLE_BYTES), f"mallory{number}"
    large = Region(0x1_0000_0000, HOLE_BYTES, os.dup(file))
    memory = GuestMemory(Region(0x10_0000, 8 * MIB), large)
    with Controller.start(daemon.socket(f"{guest}/root"), queues=QUEUES, memory=memory) as controller:
        data = os.urandom(4096)
        controller.write(8, data)
        assert not is_apart(daemon, guest)
        for _ in range(TRIES):
            punch_under(controller, file, large.guest_address, number)
            if is_apart(daemon, guest):
                break
        assert is_apart(daemon, guest), f"{TRIES} holes were punched under its requests, and it is still served with the others"
        for victim in victims:
            victim.progress()
        for other in range(QUEUES):
            assert controller.read(8, 8, queue=other) == data
            controller.roundtrip(64 + 8 * other, other)
        punch_under(controller, file, large.guest_address, number)
    os.close(file)
