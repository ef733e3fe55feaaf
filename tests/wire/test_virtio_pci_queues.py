# SPDX-License-Identifier: GPL-2.0-or-later
"""Rings of one virtio device made of registers on two workers, under load on all of them."""
import contextlib
import os
import threading

import pytest

import blk
from guest_memory import GuestMemory, Region, memory_file
from hostile import scribbler
from load import Load
from patience import wait_until
from stuck import KEEP_SIZE, PUNCH_HOLE, fallocate
from two_workers import expect_both_to_serve, two_workers
from vfio_user import INTX, IRQ_NONE, IRQ_TRIGGER, MSIX, heard
from victim_process import VictimProcess
from virtio import Buffer
from virtio_pci import Function

MIB = 1 << 20
HOLE_BYTES = 512 * MIB              # takes a tenth of a second and more
TRIES = 60
QUEUES = 4                          # 0 and 2 run at home, 1 and 3 on the other worker


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with two_workers(tmp_path_factory.mktemp("viaduct"),
                     {"pool": "main", "size": "16M", "interface": "vfio-user", "queues": QUEUES}) as instance:
        yield instance


class OneQueue:
    """As Load wants a front end: the disk by one of its queues."""

    def __init__(self, function, index):
        self.function, self.index, self.connection = function, index, function.connection

    def disk(self):
        return self.function.disk(self.index)


class Loads:
    """One for each queue, on blocks of its own."""

    def __init__(self, function):
        self.each = [Load(OneQueue(function, index), seed=31 + index, blocks=64, first_block=64 * index) for index in range(QUEUES)]

    def go_on(self, count=20):
        """Each gets so much more done."""
        goals = [load.completed + count for load in self.each]
        for load, goal in zip(self.each, goals):
            load.fill()
            load.run(lambda load=load, goal=goal: load.completed >= goal)

    def finish(self):
        for load in self.each:
            load.finish()


@pytest.fixture(params=[False, True], ids=["split", "packed"])
def loaded(request, daemon):
    with Function.start(daemon.socket("alice/root"), queues=QUEUES, packed=request.param) as function:
        yield function, Loads(function)


def test_both_workers_serve(daemon):
    with Function.start(daemon.socket("alice/root"), queues=QUEUES) as function:
        expect_both_to_serve(daemon, lambda index: function.disk(index).read(0, 64))


def test_resets_under_load(loaded):
    """By the driver and by the VMM, with requests of all queues under way; what was acknowledged is there."""
    function, _ = loaded
    for number in range(10):
        for index in range(QUEUES):
            for block in range(20):
                function.disk(index).submit(blk.IN, 64 * block, 4096)
        if number % 2:
            function.reset()
        else:
            function.connection.reset()
            function.set_command()
        function.disks = {}
        for queue in function.queues:
            queue.done.clear()
        function.again(QUEUES)
        for index in range(QUEUES):
            data = os.urandom(512)
            function.disk(index).write(index, data)
            assert function.disk(QUEUES - 1 - index).read(index, 1) == data


def test_memory_comes_and_goes(loaded):
    """Whatever is mapped and unmapped meanwhile, all requests are answered with the right bytes."""
    function, loads = loaded
    for _ in range(30):
        loads.go_on(4)
        extra = Region(0x8000_0000, MIB)
        function.connection.map_region(extra)
        loads.go_on(2)
        function.connection.dma_unmap(extra.guest_address, MIB)
        extra.close()
    loads.finish()


def test_rings_come_and_go(loaded):
    """The memory of the rings is taken away and given back, and what was posted meanwhile is done."""
    function, loads = loaded
    region = function.memory.regions[0]
    for _ in range(30):
        loads.go_on(4)
        for load in loads.each:
            load.fill()
        function.connection.dma_unmap(region.guest_address, region.size)
        function.connection.map_region(region)
    loads.finish()


def test_vectors_go_and_come(daemon):
    """Each answer is told of in the way in which the driver listens: by the pin, or by messages."""
    with Function.start(daemon.socket("alice/root"), queues=QUEUES) as function:
        pin = function.queues[0].call_fd

        def told(fd, index):
            heard(fd, 0)
            function.queues[index].ring.enable_calls()
            request = function.disk(index).submit(blk.FLUSH, 0)
            assert heard(fd), f"nobody told of an answer of queue {index}"
            wait_until(lambda: function.queues[index].has(request.chain), "the flush")
            del function.queues[index].done[request.chain]
            assert function.disk(index).collect(request)[0] == blk.OK

        for _ in range(10):
            function.connection.set_irqs(IRQ_NONE | IRQ_TRIGGER, MSIX, 0, 0)
            function.connection.set_eventfds(INTX, 0, [pin])
            for index in range(QUEUES):
                function.get_isr()
                function.unmask()
                told(pin, index)
            function.get_isr()
            function.set_interrupts("msix")
            for index in range(QUEUES):
                told(function.queues[index].call_fd, index)


def test_takeover_under_load(daemon, loaded):
    function, loads = loaded
    for _ in range(3):
        loads.go_on()
        for load in loads.each:
            load.fill()
        daemon.take_over()
    loads.finish()


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


@pytest.mark.parametrize("index", range(2))
def test_kick_storm(daemon, victims, index):
    with Function.start(daemon.socket("alice/root"), queues=QUEUES) as function:
        with scribbler(lambda: function.notify(index)):
            for _ in range(5):
                for victim in victims:
                    victim.progress()
        for number in range(QUEUES):
            function.disk(number).flush()


def is_apart(daemon, guest):
    return daemon.api("GET", f"/v1/guests/{guest}")[1].get("quarantine") is not None


def punch_under(function, file, place, index):
    """Requests whose headers lie in a hole while it is punched: zeroes, which are reads. Each is answered once."""
    queue = function.queues[index]
    os.posix_fallocate(file, 0, HOLE_BYTES)
    whole = os.fstat(file).st_blocks
    thread = threading.Thread(target=fallocate, args=(file, PUNCH_HOLE | KEEP_SIZE, HOLE_BYTES))
    thread.start()
    wait_until(lambda: os.fstat(file).st_blocks < whole, "the hole has begun")
    chains = [queue.submit([Buffer(place + 32 * number, 16, False), Buffer(place + (1 << 20) + 512 * number, 512, True),
                            Buffer(place + 32 * number + 16, 1, True)]) for number in range(20)]
    thread.join()
    for chain in chains:
        queue.wait(chain)


@pytest.mark.parametrize("index", [0, 1])
def test_memory_that_makes_a_worker_wait(daemon, victims, index):
    """Whichever worker it was: the guest goes with all its rings, and neither neighbour waits for it any more."""
    file, guest = memory_file(HOLE_BYTES), f"mallory{index + 1}"
    with contextlib.closing(os.fdopen(file, "rb", closefd=True)):
        large = Region(0x1_0000_0000, HOLE_BYTES, os.dup(file))
        memory = GuestMemory(Region(0x10_0000, 8 * MIB), large)
        with Function.start(daemon.socket(f"{guest}/root"), queues=QUEUES, memory=memory) as function:
            data = os.urandom(512)
            function.disk(0).write(8, data)
            assert not is_apart(daemon, guest)
            for _ in range(TRIES):
                punch_under(function, file, large.guest_address, index)
                if is_apart(daemon, guest):
                    break
            assert is_apart(daemon, guest), f"{TRIES} holes were punched under its requests, and it is served with the others"
            for victim in victims:
                victim.progress()
            for number in range(QUEUES):
                assert function.disk(number).read(8, 1) == data
            punch_under(function, file, large.guest_address, index)
