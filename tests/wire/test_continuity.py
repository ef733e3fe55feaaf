# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests go on while the daemon is killed, started again and replaced; and the stop, start and move of rings.

VIADUCT_KILLS and VIADUCT_TAKEOVERS set how often (default 10 and 5 in a row for each kind of ring).
"""
import os
import random
import re
import struct
import threading
import time

import pytest

import blk
import inflight
import virtio
from frontend import FrontEnd, Setup
from guest_memory import GuestMemory, Region
from load import Load
from patience import PATIENCE_S, wait_until
from rows import row_id
from vhost_user import Connection

PROGRESS = 8                    # requests of a load between two kills
KILLS = int(os.environ.get("VIADUCT_KILLS", "10"))
TAKEOVERS = int(os.environ.get("VIADUCT_TAKEOVERS", "5"))
SPLIT_AND_PACKED = pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])


def inflight_setup(packed, **more):
    return Setup(packed=packed, inflight=True, size=64, **more)


# ---- positions ----

@SPLIT_AND_PACKED
def test_stop_and_start(alice, packed):
    """GET_VRING_BASE and a start at that base, again and again under load: every request completes once."""
    with FrontEnd.start(alice, Setup(packed=packed, size=64)) as front:
        load = Load(front, seed=3)
        for _ in range(30):
            for _ in range(3):
                load.step()
            load.fill()
            front.start_queue(0, base=front.stop_queue(0))
            front.queues[0].kick()
        load.finish()


@SPLIT_AND_PACKED
def test_base_goes_on_in_another_connection(alice, packed):
    """What a migration does: stop here, start there with the same memory and base."""
    with FrontEnd.start(alice, Setup(packed=packed, size=64)) as front:
        load = Load(front, seed=4)
        for _ in range(10):
            for _ in range(3):
                load.step()
            load.fill()
            base = front.stop_queue(0)
            front.disconnect()
            front.handshake(Connection.open(alice))
            front.tell_memory()
            front.start_queue(0, base=base)
            front.driver_ok()
            front.queues[0].kick()
        load.finish()


@SPLIT_AND_PACKED
def test_memory_table_changes_while_running(alice, packed):
    """Another set of regions with the same memory in it: the rings go on."""
    with FrontEnd.start(alice, Setup(packed=packed, size=64)) as front:
        load = Load(front, seed=5)
        for round in range(20):
            load.step()
            extra = [Region(0x8000_0000 + (round << 24), 1 << 20)]
            load.fill()
            assert not front.connection.set_mem_table(front.memory.regions + extra)
            extra[0].close()
        load.finish()


@SPLIT_AND_PACKED
def test_regions_come_and_go_under_load(alice, packed):
    with FrontEnd.start(alice, Setup(packed=packed, size=64, style="libblkio")) as front:
        load = Load(front, seed=6)
        for round in range(40):
            load.step()
            load.fill()
            extra = Region(0x8000_0000 + (round << 24), 1 << 20)
            assert not front.connection.add_mem_reg(extra)
            load.fill()
            assert not front.connection.rem_mem_reg(extra)
            extra.close()
        load.finish()


# ---- the dirty log ----

def marked_pages(log):
    return {8 * i + b for i, byte in enumerate(log.bytes) for b in range(8) if byte >> b & 1}


class Logged:
    """A front end that migrates: a ring, buffers and a log in pages of their own."""

    def __init__(self, socket, packed):
        self.memory = memory = GuestMemory.simple()
        self.front = FrontEnd.connect(socket, Setup(packed=packed, indirect=False), memory)
        self.front.tell_memory()
        ring = self.front.make_ring(at=tuple(memory.allocate(8192, 4096) for _ in range(3)))
        self.front.queues.append(virtio.Queue(ring, 0))
        self.front.start_queue(0)
        self.front.driver_ok()
        self.disk = self.front.disk()
        self.addresses = descriptors, used, _ = ring.addresses()
        # the device's own event fields are written too
        self.always, self.perhaps = {(descriptors if packed else used) >> 12}, {used >> 12}
        self.pages = {name: memory.allocate(16384, 4096) for name in ("header", "in", "out", "status")}
        self.log = Region(0, 4096)

    def switch(self, on):
        """0 when the front end may not."""
        connection, used = self.front.connection, self.addresses[1]
        assert not connection.set_features(self.front.features | (1 << virtio.F_LOG_ALL if on else 0))
        users = [self.memory.user(address) for address in self.addresses]
        assert not connection.set_vring_addr(0, *users, **({"log": used, "flags": 1} if on else {}))

    def begin(self):
        assert self.front.connection.set_log_base(self.log.fd, 4096)[:8] == bytes(8)
        self.switch(True)

    def ask(self, kind, sector, buffers):
        """Sends a request whose data are `buffers`; returns its status. The log begins with it."""
        self.log.bytes[:] = bytes(4096)
        request = self.disk.prepare(kind, sector, b"")
        self.memory.write(self.pages["header"], self.memory.read(request.header, 16))
        self.disk.queue.wait(self.disk.queue.submit([virtio.Buffer(self.pages["header"], 16, False), *buffers,
                                                     virtio.Buffer(self.pages["status"], 1, True)]))
        return self.memory.read(self.pages["status"], 1)[0]

    def assert_marked(self, data):
        """Of the data's pages exactly these, the status and the answer."""
        must = {self.pages["status"] >> 12} | self.always | data
        may = must | self.perhaps
        wait_until(lambda: must <= marked_pages(self.log), f"pages {sorted(must)} are marked")
        marked = marked_pages(self.log)
        assert marked <= may, f"marked {sorted(marked)}, must {sorted(must)}, may {sorted(may)}"

    def close(self):
        self.front.close()
        self.log.close()


@pytest.fixture(name="logged", params=[False, True], ids=["split", "packed"])
def _logged(alice, request):
    logged = Logged(alice, request.param)
    yield logged
    logged.close()


def test_dirty_log_marks_written_pages(logged):
    """Exactly the pages that the device wrote: data of reads, status bytes, used entries; not data of writes."""
    logged.disk.write(0, os.urandom(16384))
    logged.begin()
    for kind, name in ((blk.IN, "in"), (blk.OUT, "out")):
        at = logged.pages[name]
        assert logged.ask(kind, 0, [virtio.Buffer(at, 12288, kind == blk.IN)]) == blk.OK
        logged.assert_marked({(at >> 12) + i for i in range(3)} if kind == blk.IN else set())
    # switched off again: nothing is marked any more
    logged.switch(False)
    logged.log.bytes[:] = bytes(4096)
    logged.disk.read(0, 8)
    assert not any(logged.log.bytes)


# name: (type, sector, data readable first, status, pages of the writable data that are marked)
NOT_ALL_WRITTEN = {
    "identifier": (blk.GET_ID, 0, False, blk.OK, 1),
    "read beyond the end": (blk.IN, 1 << 40, False, blk.IOERR, 0),
    "read of a part of a sector": (blk.IN, 0, False, blk.IOERR, 0),
    "unknown type": (99, 0, False, blk.UNSUPP, 0),
    "flush": (blk.FLUSH, 0, False, blk.OK, 0),
    "write with room for an answer": (blk.OUT, 0, True, blk.OK, 0),
    "discard with room for an answer": (blk.DISCARD, 0, True, blk.IOERR, 0),
}


@pytest.mark.parametrize("what", NOT_ALL_WRITTEN)
def test_dirty_log_does_not_mark_what_might_have_been_written(logged, what):
    """Of what a request offers to be written, only what was written: or each costs the migration all of it."""
    kind, sector, out, status, pages = NOT_ALL_WRITTEN[what]
    at, length = logged.pages["in"], 16384 - (100 if "part" in what else 0)
    logged.begin()
    buffers = [virtio.Buffer(logged.pages["out"], 512, False)] if out else []
    assert logged.ask(kind, sector, buffers + [virtio.Buffer(at, length, True)]) == status
    logged.assert_marked({(at >> 12) + i for i in range(pages)})


def test_dirty_log_marks_an_identifier_across_pages(logged):
    """20 bytes, of which the last ones lie in another page."""
    at = logged.pages["in"]
    logged.begin()
    assert logged.ask(blk.GET_ID, 0, [virtio.Buffer(at + 4090, 10, True), virtio.Buffer(at + 8192, 8192, True)]) == blk.OK
    logged.assert_marked({(at >> 12) + i for i in range(3)})


# ---- the record of requests in flight ----

@SPLIT_AND_PACKED
def test_record_is_empty_when_idle(alice, packed):
    with FrontEnd.start(alice, inflight_setup(packed)) as front:
        for i in range(10):
            front.disk().write(8 * i, bytes(4096))
        read_entries = inflight.packed_entries if packed else inflight.split_entries
        with inflight.opened(*front.inflight) as view:
            wait_until(lambda: not any(entry[0] for entry in read_entries(view, 64)), "the record is empty")


@SPLIT_AND_PACKED
def test_recorded_request_is_done_again(alice, packed):
    """What the record says was taken and not answered is carried out by the next connection, once answered."""
    with FrontEnd.start(alice, inflight_setup(packed)) as front:
        disk, queue = front.disk(), front.queues[0]
        disk.write(0, b"\x01" * 4096)
        front.stop_queue(0)
        front.disconnect()
        request = disk.prepare(blk.OUT, 0, b"\x02" * 4096)
        request.chain = queue.ring.add(disk.buffers(request, True), indirect=False)
        queue.ring.publish()
        fd, size, offset = front.inflight
        with inflight.opened(fd, size, offset) as view:
            # as a daemon leaves it that dies after taking the chain and before answering
            if packed:
                record_taken_packed(view, queue.ring, front.memory)
            else:
                inflight.split_entry(view, request.chain, 1, counter=7)
        front.reconnect()
        assert disk.finish(request)[0] == blk.OK
        assert disk.read(0, 8) == b"\x02" * 4096
        assert queue.poll() == 0


def record_taken_packed(view, ring, memory):
    """Records the chain of three descriptors at the used position, as the protocol's steps of a fetch do."""
    names = ("features", "version", "desc_num", "free_head", "old_free_head")
    values = dict(zip(names, inflight.PACKED_HEADER.unpack_from(view)))
    head = index = values["free_head"]
    for i in range(3):
        address, length, id, flags = struct.unpack(
            "<QIHH", memory.read(ring.descriptors + 16 * ((ring.next_used + i) % ring.size), 16))
        old = inflight.packed_entries(view, 64)[index]
        last = index
        inflight.packed_entry(view, index, int(i == 0), next=old[1], last=old[2], num=old[3], counter=7 if i == 0 else 0,
                              id=id, flags=flags, length=length, address=address)
        index = old[1]
    fields = list(inflight.packed_entries(view, 64)[head])
    fields[2], fields[3] = last, 3
    inflight.packed_entry(view, head, *fields)
    inflight.packed_header(view, free_head=index, old_free_head=index)


# ---- kill -9 ----

class Killer(threading.Thread):
    """Calls action() `count` times, each time when every load has completed requests since the last, and a moment more."""

    def __init__(self, loads, count, seed, action):
        super().__init__(daemon=True)
        self.loads, self.count, self.random, self.error = loads, count, random.Random(seed), None
        self.action = action

    def run(self):
        try:
            for _ in range(self.count):
                before = [load.completed for load in self.loads]
                wait_until(lambda: all(load.completed >= completed + PROGRESS for load, completed in zip(self.loads, before)),
                           "the loads go on")
                time.sleep(self.random.uniform(0, 0.03))
                self.action()
        except BaseException as error:          # handed to the test's thread
            self.error = error


def under_load(daemon, packed, count, action, seed):
    """Runs verified load on two guests while action() happens `count` times. Returns the loads."""
    with FrontEnd.start(daemon.socket("alice/root"), inflight_setup(packed)) as one, \
         FrontEnd.start(daemon.socket("bob/root"), inflight_setup(not packed)) as other:
        loads = [Load(one, seed), Load(other, seed + 1)]
        killer = Killer(loads, count, seed, action)
        killer.start()
        try:
            while killer.is_alive():
                for load in loads:
                    load.step()
        finally:
            killer.join(PATIENCE_S)
            if killer.error:            # the cause of what the load met
                raise killer.error
        for load in loads:
            load.finish()
        return loads


@pytest.mark.parametrize("packed", [False, True], ids=[row_id("D11", "split"), row_id("D11", "packed")])
def test_kill_under_load(daemon, packed):
    """kill -9 again and again: no error, no lost byte, no foreign byte, every request answered."""
    seed = random.randrange(1 << 16)
    print(f"seed {seed}")
    loads = under_load(daemon, packed, KILLS, daemon.restart, seed)
    assert all(load.reconnects >= KILLS for load in loads), "the load did not meet every kill"
    print(f"{KILLS} kills, {sum(load.completed for load in loads)} requests, longest pause "
          f"{max(load.longest for load in loads) * 1000:.0f} ms")


@SPLIT_AND_PACKED
def test_takeover_under_load(daemon, packed):
    """viaductd --takeover: the connections live on, no guest reconnects, nothing is lost."""
    seed, since = random.randrange(1 << 16), len(daemon.lines)
    print(f"seed {seed}")
    loads = under_load(daemon, packed, TAKEOVERS, daemon.take_over, seed)
    assert all(load.reconnects == 0 for load in loads), "a takeover cost a connection"

    def pauses_told():
        lines = "\n".join(daemon.lines_about("took over", since))
        return sorted(float(pause) for pause in re.findall(r"took over .* pause ([\d.]+) ms", lines))

    wait_until(lambda: len(pauses_told()) == TAKEOVERS, "each successor says how long the pause was")
    pauses = pauses_told()
    print(f"{TAKEOVERS} takeovers, pause p50 {pauses[len(pauses) // 2]} ms, max {pauses[-1]} ms; longest time without a "
          f"completion {max(load.longest for load in loads) * 1000:.0f} ms")
