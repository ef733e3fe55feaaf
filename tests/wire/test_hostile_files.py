# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows B22–B27: files that shrink or never answer, logs and records that lie.
"""
import contextlib
import os
import random
import struct

import pytest

import blk
import inflight
import virtio
from frontend import Setup
from fuse_disk import silent_file
from guest_memory import USER_OFFSET, GuestMemory, Region, memory_file
from hostile import ANY, PACKED, SPLIT, Attacks, outcome, refused_or_closed
from patience import wait_until, watch_nothing
from vhost_user import Closed, Connection, Request

attack = Attacks()
MIB = 1 << 20


# ---- B22, B24: files whose pages go away or never come ----

@contextlib.contextmanager
def tmpfs_file(size):
    """A file that cannot be sealed; yields its descriptor."""
    path = f"/dev/shm/viaduct-wire-{os.getpid()}-{random.getrandbits(32):08x}"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(path)
    os.ftruncate(fd, size)
    yield fd
    # the region that was made of it closes the descriptor


@attack("B22", "sealed", ANY)
def _(mallory, setup):
    """A file that can be sealed is sealed: it does not shrink any more."""
    front = mallory.start(setup)
    with pytest.raises(PermissionError):
        os.ftruncate(front.memory.regions[0].fd, 4096)
    mallory.expect_working()


@attack("B22", "data")
def _(mallory, setup):
    """Buffers whose pages are gone: an error for the request or the device stops; the daemon lives."""
    with tmpfs_file(MIB) as fd:
        memory = GuestMemory(Region(0x10_0000, 2 * MIB), Region(0x4000_0000, MIB, fd))
    front = mallory.start(setup, memory)
    disk, queue = front.disk(), front.queues[0]
    os.ftruncate(memory.regions[1].fd, 0)
    for kind, writable in ((blk.IN, True), (blk.OUT, False)):
        request = disk.prepare(kind, 0, b"")
        request.chain = queue.submit([virtio.Buffer(request.header, 16, False),
                                      virtio.Buffer(0x4000_0000, 4096, writable),
                                      virtio.Buffer(request.status, 1, True)])
        status = outcome(front, request)
        if status is not None:
            # a block that was never written reads as zeroes without a look at the buffer's old pages
            assert kind == blk.IN or status == blk.IOERR, "data from nowhere were written"
        else:
            front.reset("reconnect")
            disk, queue = front.disk(), front.queues[0]
    os.ftruncate(memory.regions[1].fd, MIB)
    mallory.close()
    mallory.expect_welcome()


@attack("B22", "rings")
def _(mallory, setup):
    """The ring's own pages are gone under a busy device: it stops."""
    with tmpfs_file(MIB) as fd:
        memory = GuestMemory(Region(0x4000_0000, MIB, fd), Region(0x10_0000, 2 * MIB))
    front = mallory.start(setup, memory)
    front.disk().read(0, 1)
    os.ftruncate(memory.regions[0].fd, 0)      # from here on, a touch of region 0 would end this process
    front.queues[0].kick()
    assert front.needs_reset(), "the device did not stop"
    os.ftruncate(memory.regions[0].fd, MIB)
    mallory.close()
    mallory.expect_welcome()


@attack("B24", "fuse", ANY)
def _(mallory, setup):
    """A file whose pages are served by the guest's own process, which never answers."""
    front = mallory.connect(setup)
    with silent_file() as fd:
        payload = struct.pack("<2I4Q", 1, 0, 0x10_0000, MIB, 0x10_0000 + USER_OFFSET, 0)
        refused_or_closed(mallory, front.connection.tell, Request.SET_MEM_TABLE, payload, [fd])


@attack("B24", "as-record", ANY)
def _(mallory, setup):
    front = mallory.connect(setup)
    with silent_file() as fd:
        refused_or_closed(mallory, front.connection.set_inflight_fd, fd, 65536, 0, 1, 64)


@attack("B24", "unasked", ANY)
def _(mallory, setup):
    """On a message that has no descriptors: all there is to do is close it."""
    front = mallory.connect(setup)
    with silent_file() as fd:
        refused_or_closed(mallory, front.connection.tell, Request.SET_OWNER, b"", [fd])


@attack("B24", "too-many", ANY)
def _(mallory, setup):
    front = mallory.connect(setup)
    with silent_file() as fd:
        refused_or_closed(mallory, front.connection.tell, Request.SET_OWNER, b"", [fd] * 9)


# ---- B25: dirty log ----

def bad_log(size, offset, file_size=4096):
    def run(mallory, setup):
        front = mallory.start(setup)
        fd = memory_file(file_size)
        try:
            answer = front.connection.set_log_base(fd, size, offset)
            assert struct.unpack("<Q", answer)[0] != 0, "the log was accepted"
            mallory.expect_working()
        except Closed:
            mallory.close()
            mallory.expect_welcome()
        finally:
            os.close(fd)
    return run


for _name, _arguments in {
        "empty": (0, 0), "larger-than-file": (8192, 0), "offset-beyond": (4096, 4096), "sum-wraps": (4096, -4096 & (1 << 64) - 1),
        "offset-wraps": ((1 << 64) - 1, 1), "huge": (1 << 63, 0)}.items():
    attack("B25", _name, ANY)(bad_log(*_arguments))


@attack("B25", "tiny")
def _(mallory, setup):
    """A log too small for the memory: pages beyond it are not marked, and nothing else happens."""
    front = mallory.start(Setup(packed=setup.packed))
    fd = memory_file(4096)
    assert struct.unpack("<Q", front.connection.set_log_base(fd, 8))[0] == 0
    assert not front.connection.set_features(front.features | 1 << virtio.F_LOG_ALL)
    mallory.expect_working()
    os.close(fd)


@attack("B25", "truncated")
def _(mallory, setup):
    front = mallory.start(setup)
    with tmpfs_file(65536) as fd:
        assert struct.unpack("<Q", front.connection.set_log_base(fd, 65536))[0] == 0
        assert not front.connection.set_features(front.features | 1 << virtio.F_LOG_ALL)
        mallory.expect_working()
        os.ftruncate(fd, 0)
        request = front.disk().submit(blk.IN, 0, 4096)
        outcome(front, request)
        os.close(fd)
    mallory.close()
    mallory.expect_welcome()


# ---- B26, B27: the record of requests in flight ----

@attack("B26", "repeated", ANY)
def _(mallory, setup):
    """The record is the front end's: asking for many costs the daemon nothing that stays."""
    front = mallory.connect(setup)
    fds, resident = mallory.daemon.fd_count(), mallory.daemon.resident_bytes()
    for _ in range(2000):
        fd, _, _ = front.connection.get_inflight_fd(1, 1024)
        os.close(fd)
    wait_until(lambda: mallory.daemon.fd_count() <= fds + 2, "the descriptors are closed")
    wait_until(lambda: mallory.daemon.resident_bytes() < resident + (4 << 20), "the memory is given back")


def absurd_inflight(queues, size):
    def run(mallory, setup):
        front = mallory.connect(setup)
        try:
            fd, _, _ = front.connection.get_inflight_fd(queues, size)
            assert fd is None, f"a record for {queues} queues of {size}"
            mallory.expect_connected()
        except Closed:
            mallory.close()
            mallory.expect_welcome()
    return run


for _queues, _size in ((65535, 128), (0, 128), (1, 0), (65535, 65535), (1, 65535)):
    attack("B26", f"{_queues}-queues-of-{_size}", ANY)(absurd_inflight(_queues, _size))


def tampered(row_name, rings, change, refused=False):
    """A record that was changed before it is given back. The device goes on, or stops; it always can be reset."""
    @attack("B27", row_name, rings, inflight=True, size=64)
    def run(mallory, setup):
        front = mallory.start(setup)
        disk = front.disk()
        for i in range(5):
            disk.write(8 * i, bytes([i + 1]) * 4096)
        base = front.queues[0].ring.base()
        front.disconnect()
        fd, size, offset = front.inflight
        with inflight.opened(fd, size, offset) as view:
            change(view, setup.size)
        front.handshake(Connection.open(mallory.path))
        try:
            answers = [front.connection.set_inflight_fd(fd, size, offset, 1, setup.size)]
            front.tell_memory()
            front.tell_ring(0, base)
            answers += [front.connection.set_vring_kick(0, front.queues[0].kick_fd),
                        front.connection.set_vring_call(0, front.queues[0].call_fd),
                        front.connection.set_vring_err(0, front.queues[0].err_fd),
                        front.connection.set_vring_enable(0)]
            front.queues[0].kick()
            watch_nothing()
            if not any(answers) and not front.needs_reset(0):
                # it was taken for what it could mean: nothing must be completed that is not in flight
                front.queues[0].ring.take()
        except Closed:
            pass
        # a record once spoiled is not given back: a front end asks for a new one when it resets the device
        os.close(fd)
        front.inflight = None
        front.reset("reconnect")
        mallory.expect_working()
        for i in range(5):
            assert front.disk().read(8 * i, 8) == bytes([i + 1]) * 4096, "a request was invented from the record"
    return run


tampered("split-version", SPLIT, lambda view, size: inflight.split_header(view, version=7))
tampered("split-desc-num", SPLIT, lambda view, size: inflight.split_header(view, desc_num=0xFFFF))
tampered("split-batch-head", SPLIT, lambda view, size: inflight.split_header(view, last_batch_head=0xFFFF, used_idx=0))
tampered("split-used-idx", SPLIT, lambda view, size: inflight.split_header(view, used_idx=0x8000))
tampered("split-next-loop", SPLIT, lambda view, size: (
    [inflight.split_entry(view, i, 1, next=i, counter=i) for i in range(size)],
    inflight.split_header(view, used_idx=0, last_batch_head=3)))
tampered("split-next-beyond", SPLIT, lambda view, size: (
    [inflight.split_entry(view, i, 0, next=0xFFFF) for i in range(size)],
    inflight.split_header(view, used_idx=0, last_batch_head=1)))
tampered("split-all-in-flight", SPLIT, lambda view, size: [
    inflight.split_entry(view, i, 1, counter=i) for i in range(size)])
tampered("split-equal-counters", SPLIT, lambda view, size: [
    inflight.split_entry(view, i, 1, counter=5) for i in range(size)])
tampered("split-counter-at-end", SPLIT, lambda view, size: inflight.split_entry(view, 9, 1, counter=(1 << 64) - 1))
tampered("split-flag-values", SPLIT, lambda view, size: [
    inflight.split_entry(view, i, 0xFF) for i in range(size)])
tampered("packed-version", PACKED, lambda view, size: inflight.packed_header(view, version=7))
tampered("packed-desc-num", PACKED, lambda view, size: inflight.packed_header(view, desc_num=0xFFFF))
tampered("packed-free-head", PACKED, lambda view, size: inflight.packed_header(
    view, free_head=0xFFFF, old_free_head=0xFFFF))
tampered("packed-used-idx", PACKED, lambda view, size: inflight.packed_header(
    view, used_idx=0xFFFF, old_used_idx=0xFFFF))
tampered("packed-old-used-idx", PACKED, lambda view, size: inflight.packed_header(view, old_used_idx=size))
tampered("packed-wrap-counters", PACKED, lambda view, size: inflight.packed_header(
    view, used_wrap_counter=0xFF, old_used_wrap_counter=7))
tampered("packed-free-list-loop", PACKED, lambda view, size: (
    [inflight.packed_entry(view, i, next=i) for i in range(size)], inflight.packed_header(view, free_head=1, old_free_head=1)))
tampered("packed-next-beyond", PACKED, lambda view, size: [
    inflight.packed_entry(view, i, 1, next=0xFFFF, last=0xFFFF, num=0xFFFF, id=0xFFFF) for i in range(size)])
tampered("packed-all-in-flight", PACKED, lambda view, size: [
    inflight.packed_entry(view, i, 1, next=(i + 1) % size, last=i, num=1, counter=i, id=i, flags=virtio.NEXT,
                          length=16, address=0x10_0000) for i in range(size)])
tampered("packed-equal-ids", PACKED, lambda view, size: [
    inflight.packed_entry(view, i, 1, next=i, last=i, num=1, counter=3, id=2, length=16, address=0x10_0000)
    for i in range(size)])


def random_bytes(seed):
    def change(view, _size):
        view[:] = random.Random(seed).randbytes(len(view))
    return change


for _seed in range(4):
    tampered(f"random-{_seed}", ("split", "packed"), random_bytes(_seed))
tampered("all-ones", ("split", "packed"), lambda view, size: view.__setitem__(slice(None), b"\xFF" * len(view)))


@attack("B27", "smaller-file", inflight=True)
def _(mallory, setup):
    front = mallory.connect(setup)
    fd = memory_file(4096)
    try:
        refused_or_closed(mallory, front.connection.set_inflight_fd, fd, 1 << 20, 0, 1, setup.size)
    finally:
        os.close(fd)


@attack("B27", "offset-wraps", ANY)
def _(mallory, setup):
    for size, offset in ((4096, (1 << 64) - 4096), ((1 << 64) - 1, 0), (0, 0), (4096, 1)):
        front = mallory.connect(setup)
        fd = memory_file(65536)
        try:
            refused_or_closed(mallory, front.connection.set_inflight_fd, fd, size, offset, 1, 64)
        finally:
            os.close(fd)
            mallory.close()


@attack("B27", "truncated-while-running", inflight=True)
def _(mallory, setup):
    """The record's file shrinks under a running ring: sealed, or the device stops."""
    front = mallory.start(setup)
    front.disk().read(0, 1)
    with contextlib.suppress(PermissionError):
        os.ftruncate(front.inflight[0], 0)
        front.disk().submit(blk.IN, 0, 512)
        assert front.needs_reset(), "the device did not stop"
        os.ftruncate(front.inflight[0], front.inflight[1])
        mallory.close()
        mallory.expect_welcome()
        return
    mallory.expect_working()


@pytest.mark.parametrize("attack, setup", attack.parameters)
def test_hostile(mallory, attack, setup):
    attack(mallory(), setup)
