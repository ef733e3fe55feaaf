# SPDX-License-Identifier: GPL-2.0-or-later
"""Row E11: guest memory that makes a worker wait, because its VMM is punching a hole into it.

The kernel holds whoever touches a page of the hole until all of it is punched. The neighbour waits with the worker once;
from then on the guest is served apart, and its requests are answered as if nothing had happened.
"""
import contextlib
import os
import struct
import threading
import time

import pytest

import blk
from conftest import sections
from daemon import Daemon
from frontend import Setup
from fuse_disk import FuseDisk
from guest_memory import GuestMemory, Region, memory_file
from hostile import Attacks
from mallory import Mallory
from patience import PATIENCE_S, wait_until
from stuck import KEEP_SIZE, PUNCH_HOLE, fallocate
from victim_process import VictimProcess
from virtio import Buffer

attack = Attacks()
MIB = 1 << 20
HOLE_BYTES = 512 * MIB              # takes a tenth of a second and more
SMALL_BYTES = 4 * MIB
LARGE_BYTES = 128 << 10           # of a request that fills a small disk
IN_FLIGHT = 24
TRIES = 60
BRIEF_S = 0.007


class Guest:
    """A front end whose memory is a small file, and the beginning of a large one that holes are punched into.

    Requests are in flight all the time. `where`: what of them lies in the large file, "headers" (and statuses), "data", or
    "last", which is the last one's header.
    """

    def __init__(self, mallory, setup, where, bytes_each=4096):
        self.file = memory_file(HOLE_BYTES)
        memory = GuestMemory(Region(0x10_0000, SMALL_BYTES), Region(0x1000_0000, SMALL_BYTES, os.dup(self.file)))
        self.front = mallory.start(setup, memory)
        self.memory, self.queue, self.where = memory, self.front.queues[0], where
        headers = [where == "headers" or (where == "last" and number == IN_FLIGHT - 1) for number in range(IN_FLIGHT)]
        self.headers = [memory.allocate(32, 16, int(large)) for large in headers]
        self.data = [memory.allocate(bytes_each, 4096, int(where == "data")) for _ in range(IN_FLIGHT)]
        self.chains, self.bytes_each, self.hole_bytes = [], bytes_each, HOLE_BYTES

    def close(self):
        os.close(self.file)

    def offer(self, first=0, end=IN_FLIGHT):
        """These reads. The device does not see them yet."""
        del self.chains[first:]
        for number in range(first, end):
            header, data = self.headers[number], self.data[number]
            self.memory.write(header, struct.pack("<IIQ", blk.IN, 0, 8 * number))
            self.memory.write(header + 16, bytes([blk.UNTOUCHED]))
            self.chains.append(self.queue.ring.add([Buffer(header, 16, False), Buffer(data, self.bytes_each, True),
                                                    Buffer(header + 16, 1, True)]))

    def take(self):
        """Each is answered once."""
        for chain, header in zip(self.chains, self.headers):
            self.queue.wait(chain, PATIENCE_S)
            # In a hole there is nothing, which means OK.
            assert self.memory.read(header + 16, 1)[0] == blk.OK

    def publish(self):
        self.queue.ring.publish()
        self.queue.kick()

    @contextlib.contextmanager
    def punching(self, first=0):
        """A hole as large as the file, by a thread, and requests that come when it has begun, those from `first` on. What
        is done in the block must not touch the large file, or it waits, too."""
        os.posix_fallocate(self.file, 0, self.hole_bytes)
        self.offer(first)
        blocks = os.fstat(self.file).st_blocks
        thread = threading.Thread(target=fallocate, args=(self.file, PUNCH_HOLE | KEEP_SIZE, self.hole_bytes))
        thread.start()
        wait_until(lambda: os.fstat(self.file).st_blocks < blocks, "the hole has begun")
        self.publish()
        try:
            yield thread
        finally:
            thread.join()
        self.take()


def is_apart(mallory):
    return mallory.daemon.api("GET", f"/v1/guests/{mallory.guest}")[1].get("quarantine") is not None


def until_apart(mallory, guest, tries=TRIES):
    for _ in range(tries):
        with guest.punching():
            pass
        if is_apart(mallory):
            return
    pytest.fail(f"{tries} holes were punched under its requests, and it is still served with the others")


def neighbour_goes_on(mallory, guest):
    """While a hole is being punched."""
    for _ in range(TRIES):
        with guest.punching() as thread:
            mallory.victim.progress(2)
            went_on = thread.is_alive()
        if went_on:
            return
    pytest.fail("the neighbour got nothing done while a hole was being punched")


def written(front):
    """Writes a pattern of its own to each sector that is read below."""
    disk = front.disk()
    for number in range(IN_FLIGHT):
        disk.write(8 * number, bytes([number % 250 + 1]) * 4096)


def hole(name, where, rings, **setup):
    @attack("E11", name, rings, **setup)
    def _(mallory, setup):
        guest = Guest(mallory, setup, where)
        with contextlib.closing(guest):
            written(guest.front)
            until_apart(mallory, guest)
            mallory.daemon.wait_line("served apart", mallory.lines_before)
            mallory.expect_others_served()
            neighbour_goes_on(mallory, guest)
            disk = guest.front.disk()
            for number in range(IN_FLIGHT):
                assert disk.read(8 * number, 8) == bytes([number % 250 + 1]) * 4096
            mallory.expect_working()


hole("headers", "headers", ("split", "packed"), inflight=True)
hole("headers-without-record", "headers", ("split",))
hole("data", "data", ("split", "packed"), inflight=True)
hole("data-without-record", "data", ("split",))


@pytest.mark.parametrize("attack, setup", attack.parameters)
def test_hostile(attack, setup, mallory):
    attack(mallory(), setup)


def test_brief_waits_add_up(mallory):
    """Holes that are done before a wait is long enough to be held against the guest by itself."""
    one = mallory()
    guest = Guest(one, Setup(), "headers")
    with contextlib.closing(guest):
        guest.hole_bytes, took_s = 4 * MIB, 0
        while took_s < BRIEF_S and guest.hole_bytes < HOLE_BYTES:
            guest.hole_bytes *= 2
            os.posix_fallocate(guest.file, 0, guest.hole_bytes)
            begin = time.monotonic()
            fallocate(guest.file, PUNCH_HOLE | KEEP_SIZE, guest.hole_bytes)
            took_s = time.monotonic() - begin
        until_apart(one, guest, 20 * TRIES)
        one.expect_others_served()
        one.expect_working()


def test_it_comes_back(mallory):
    """A guest that starts anew some time after it made others wait is served with them again."""
    one = mallory()
    guest = Guest(one, Setup(), "headers")
    with contextlib.closing(guest):
        until_apart(one, guest)
        one.front.disconnect()
        # It stays apart for ten seconds, however often it starts anew.
        one.close()
        one.expect_welcome()
        assert is_apart(one)

        def starts_anew():
            one.expect_welcome()
            return not is_apart(one)

        wait_until(starts_anew, "it is served with the others again")


def test_a_worker_of_its_own(tmp_path):
    """A guest that has one makes nobody else wait, not even once, and so is never put apart."""
    keys = sections(tmp_path)
    keys["guest mallory00"] = {"own_worker": "yes"}
    daemon = Daemon(keys, tmp_path)
    with contextlib.ExitStack() as stack:
        stack.callback(daemon.finish)
        daemon.start()
        assert [daemon.api("GET", f"/v1/guests/{name}")[1]["own_worker"] for name in ("mallory00", "victim")] == [True, False]
        victim = VictimProcess(daemon.socket("victim/root"))
        stack.callback(victim.kill)
        one = Mallory(daemon, victim, 0)
        stack.callback(one.close)
        guest = Guest(one, Setup(), "headers")
        stack.callback(guest.close)
        written(one.front)
        for _ in range(5):
            neighbour_goes_on(one, guest)
        assert not is_apart(one)
        one.expect_working()
        victim.finish()
        keys["guest mallory00"]["own_worker"] = "no"
        daemon.write_config()
        assert "guest mallory00: own_worker changes at the next restart" in str(daemon.api("POST", "/v1/reload")[1])


@pytest.fixture
def small_disk(tmp_path):
    """A daemon whose pool lies on storage that waits when it is told to, and serves 16 of the requests below at a time."""
    with FuseDisk(512 * MIB) as disk:
        keys = sections(tmp_path)
        keys["pool main"] |= {"path": disk.path, "capacity_iops": 500, "capacity_bandwidth": "50M"}
        daemon = Daemon(keys, tmp_path)
        try:
            daemon.start()
            yield disk, daemon
        finally:
            daemon.finish()


def fill(guest, disk, mallory):
    """All requests but the last are taken by the daemon, and none is answered."""
    in_flight = f'viaduct_disk_in_flight{{guest="{mallory.guest}",disk="root"}}'
    disk.tell("hang")
    guest.offer(0, IN_FLIGHT - 1)
    guest.publish()
    wait_until(lambda: mallory.daemon.metrics()[in_flight] == IN_FLIGHT - 1, "the requests are taken")


def test_a_small_disk_goes_on(small_disk):
    """All the room in a disk is the hostile guest's, and its worker waits for a hole instead of taking what is done: the
    neighbour's requests enter all the same.
    """
    disk, daemon = small_disk
    victim = VictimProcess(daemon.socket("victim/root"))
    one = Mallory(daemon, victim, 0)
    guest = Guest(one, Setup(), "last", LARGE_BYTES)
    with contextlib.ExitStack() as stack:
        for end in (victim.kill, one.close, guest.close):
            stack.callback(end)
        written(one.front)
        until_apart(one, guest)
        for _ in range(TRIES):
            with victim.held():
                fill(guest, disk, one)
                with guest.punching(IN_FLIGHT - 1) as thread:
                    disk.tell("ok")
                    victim.progress(2)
                    went_on = thread.is_alive()
            if went_on:
                break
        else:
            pytest.fail("the neighbour's requests waited for one that another worker does not take")
        one.expect_working()
        victim.finish()
