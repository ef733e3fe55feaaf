# SPDX-License-Identifier: GPL-2.0-or-later
"""The life of an NVMe controller: switched on and off, reset, left by its VMM, grown, taken over."""
import concurrent.futures
import contextlib
import os
import signal
import struct

import pytest

import nvme
from daemon import Daemon
from fuse_disk import FuseDisk
from guest_memory import PAGE, Region
from nvme import CC, CSTS, CSTS_FATAL, CSTS_READY, READ, WRITE, Controller, NvmeLoad, blocks
from nvme_daemon import nvme_daemon
from patience import wait_until
from vfio_user import ACCESS, BAR0, Command, Connection, heard

MIB = 1 << 20
TAKEOVERS = int(os.environ.get("VIADUCT_TAKEOVERS", "5"))
NAMESPACE_CHANGED = 4 << 16 | 2             # log page, kind of event


@pytest.fixture(scope="module", params=[1, 2], ids=["one-worker", "two-workers"])
def daemon(request, tmp_path_factory):
    with nvme_daemon(tmp_path_factory.mktemp("viaduct"), request.param) as instance:
        yield instance


# ---- the controller's life ----

def assert_off(controller):
    for register in (nvme.INTMS, CC, CSTS, nvme.AQA, nvme.ASQ, nvme.ACQ):
        assert controller.get(register) == 0, f"register {register:#x}"
    assert controller.get_command() == 0


def test_disable_and_enable(alice):
    with Controller.start(alice, queues=2) as controller:
        for _ in range(5):
            controller.roundtrip(queue=1)
            controller.disable()
            assert controller.get(nvme.ASQ, 8) == controller.admin.sq, "a controller reset keeps the admin queues"
            controller.start_again(2)
        controller.shut_down()
        controller.disable()
        controller.start_again(2)
        controller.roundtrip()


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
            controller.ask_queue(1, count=20)
            controller.expect(controller.delete_cq(2), nvme.INVALID_QUEUE_DELETION)
            controller.expect(controller.delete_sq(2))
            controller.expect(controller.delete_cq(2))
            queue.clear()
            controller.create_pair(queue)
            controller.roundtrip(queue=1)


@pytest.mark.parametrize("flying", [0, 30])
def test_reset(alice, flying):
    """Registers are as after power-on, the memory's map stays, and nothing is written any more."""
    with Controller.start(alice, queues=2) as controller:
        for _ in range(10):
            if flying:
                controller.ask_queue(0, flying)
                controller.ask_queue(1, flying)
            controller.connection.reset()
            assert_off(controller)
            for queue in controller.queues:
                queue.clear()
            controller.memory.fill(controller.scratch(4096), 4096, 0x33)
            controller.set_command()
            controller.start_again(2)
            assert controller.memory.read(controller.scratch(4096), 4096) == b"\x33" * 4096
            controller.roundtrip(queue=1)


def test_reset_before_anything(alice):
    """Cloud Hypervisor begins with one."""
    with Controller.connect(alice) as controller:
        controller.connection.reset()
        controller.connection.reset()
        assert_off(controller)
        controller.bring_up()
        controller.roundtrip()


@pytest.mark.parametrize("flying", [0, 30])
def test_disconnect_and_another_connection(alice, flying):
    """Nothing is left of the last one: registers, memory, queues."""
    old = Controller.start(alice, queues=2)
    if flying:
        old.ask_queue(0, flying)
        old.ask_queue(1, flying)
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
        new.roundtrip()
        NvmeLoad(new).finish()
        assert before == old.memory.read(old.memory.regions[0].guest_address, old.memory.regions[0].size)
    old.close()


def test_a_second_vmm_is_refused(alice):
    with Controller.start(alice) as controller:
        second = Connection.open(alice)
        second.send(Command.VERSION, struct.pack("<2H", 0, 1))
        assert second.wait_closed()
        second.close()
        controller.roundtrip()
    with Controller.start(alice) as controller:
        controller.roundtrip()


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
            controller.roundtrip()
        os.waitpid(child, 0)
        os.close(ours)


# ---- a disk that fails ----

WRITE_FAULT, UNRECOVERED_READ = 0x280, 0x281


def test_errors_of_the_disk(tmp_path):
    """Each becomes a status. A write that must be durable fails with the disk's cache, and so do flushes, from then on."""
    with FuseDisk(8 << 20) as disk:
        daemon = Daemon({"guest alice": {}, "disk alice/root": {"path": disk.path, "model": "nvme"}}, tmp_path)
        daemon.start()
        try:
            with Controller.start(daemon.socket("alice/root")) as controller:
                at = controller.scratch(4096)
                words = blocks(0, 8)
                forced = [*words[:2], words[2] | nvme.FORCE_UNIT_ACCESS]

                def do(opcode, words=words):
                    return controller.queues[0].do(opcode, namespace=1, prp1=at, words=words).status

                assert (do(WRITE, forced), do(nvme.FLUSH)) == (nvme.SUCCESS, nvme.SUCCESS)
                with disk.told("eio read"):
                    assert (do(READ), do(WRITE)) == (UNRECOVERED_READ, nvme.SUCCESS)
                with disk.told("eio write"):
                    assert (do(READ), do(WRITE)) == (nvme.SUCCESS, WRITE_FAULT)
                with disk.told("eio fsync"):
                    assert (do(WRITE), do(WRITE, forced), do(nvme.FLUSH)) == (nvme.SUCCESS, WRITE_FAULT, WRITE_FAULT)
                    controller.expect(controller.admin.do(nvme.SET_FEATURES, words=[6, 0]))
                    assert do(WRITE) == WRITE_FAULT, "without a write cache every write is durable"
                    controller.shut_down()
                controller.disable()
                controller.start_again()
                controller.roundtrip()
        finally:
            daemon.finish()


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
        controller.roundtrip(last)


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
        controller.roundtrip()


# ---- takeover ----

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


@pytest.mark.parametrize("shadows", [False, True], ids=["doorbells", "doorbells-in-memory"])
def test_takeover_under_load(daemon, alice, shadows):
    """The connection lives on: a VMM does not connect again. No command is lost, none is done twice."""
    with Controller.start(alice, queues=4, shadows=shadows) as controller:
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
            controller.ask_queue(number)
            assert heard(controller.vectors[number + 1]), "its interrupts go on"
            controller.take(number)


def test_takeover_keeps_what_waits(daemon):
    """Requests for events, features, masks, and half a message."""
    with Controller.start(daemon.socket("bob/root"), interrupts="intx") as controller:
        connection = controller.connection
        controller.expect(controller.admin.do(nvme.SET_FEATURES, words=[0xB, 1 << 8]))
        controller.expect(controller.admin.do(nvme.SET_FEATURES, words=[6, 0]))
        waiting, size = event(controller), controller.size_blocks() * 512
        heard(controller.pin)
        controller.ask_queue()
        wait_until(controller.pin_is_pending, "an answer nobody takes")
        data = connection.message(Command.REGION_READ, ACCESS.pack(nvme.VS, BAR0, 4), number=77)
        connection.send_bytes(data[:21])
        daemon.take_over()
        connection.send_bytes(data[21:])
        assert connection.reply(77, Command.REGION_READ)[ACCESS.size:] == struct.pack("<I", 0x10400)
        assert controller.pin_is_pending()
        controller.unmask()
        assert heard(controller.pin) == 1
        controller.take()
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
        controller.roundtrip()
        extra.close()


def test_takeover_without_a_vmm_and_before_the_version(daemon, alice):
    daemon.take_over()
    with Connection.open(alice) as connection:
        connection.send_bytes(b"\1")
        daemon.take_over()
        connection.send_bytes(connection.message(Command.VERSION, struct.pack("<2H", 0, 1), number=1)[1:])
        assert connection.reply(1, Command.VERSION)
    with Controller.start(alice) as controller:
        controller.roundtrip()
