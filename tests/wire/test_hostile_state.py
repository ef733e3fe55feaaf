# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows B, second half: files that shrink, records that lie, resets and storms, messages that were never offered."""
import contextlib
import os
import random
import socket
import struct
import time

import pytest

import blk
import inflight
import virtio
from frontend import FrontEnd, Setup
from fuse_disk import FuseDisk
from guest_memory import USER_OFFSET, GuestMemory, Region, memory_file
from hostile import ANY, PACKED, SPLIT, Attacks, refused_or_closed, scribbler
from vhost_user import Closed, Connection, Protocol, Request

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
        deadline = time.monotonic() + 5
        while not queue.wait_for(lambda: request.chain in queue.done, 0.01) and not front.needs_reset(0):
            assert time.monotonic() < deadline, "neither a completion nor NEEDS_RESET"
        if request.chain in queue.done:
            queue.done.pop(request.chain)
            # a block that was never written reads as zeroes without a look at the buffer's old pages
            assert kind == blk.IN or disk.collect(request)[0] == blk.IOERR, "data from nowhere were written"
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
    for _ in range(10):
        front.queues[0].kick()
        time.sleep(0.01)
    assert front.needs_reset(), "the device did not stop"
    os.ftruncate(memory.regions[0].fd, MIB)
    mallory.close()
    mallory.expect_welcome()


@attack("B24", "fuse", ANY)
def _(mallory, setup):
    """A file whose pages are served by the guest's own process, which never answers."""
    front = mallory.connect(setup)
    with FuseDisk(MIB) as disk:
        fd = os.open(disk.path, os.O_RDWR)
        disk.tell("hang")
        payload = struct.pack("<2I4Q", 1, 0, 0x10_0000, MIB, 0x10_0000 + USER_OFFSET, 0)
        try:
            refused_or_closed(mallory, front.connection.tell, Request.SET_MEM_TABLE, payload, [fd])
        finally:
            disk.tell("ok")
            os.close(fd)


@attack("B24", "as-record", ANY)
def _(mallory, setup):
    front = mallory.connect(setup)
    with FuseDisk(MIB) as disk:
        fd = os.open(disk.path, os.O_RDWR)
        disk.tell("hang")
        try:
            refused_or_closed(mallory, front.connection.set_inflight_fd, fd, 65536, 0, 1, 64)
        finally:
            disk.tell("ok")
            os.close(fd)


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
        deadline = time.monotonic() + 5
        while not front.queues[0].wait_for(lambda: request.chain in front.queues[0].done, 0.01):
            if front.needs_reset(0):
                break
            assert time.monotonic() < deadline
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
    assert mallory.daemon.fd_count() <= fds + 2
    assert mallory.daemon.resident_bytes() < resident + (4 << 20)


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
            time.sleep(0.05)
            if not any(answers) and not front.needs_reset(0.1):
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


# ---- B29–B31: features and configuration ----

@attack("B29", "never-offered", ANY)
def _(mallory, setup):
    """Each bit that the device did not offer."""
    front = mallory.connect(setup)
    offered = front.connection.get_features()
    for number in range(64):
        if not virtio.bit(offered, number):
            if mallory.front is None:
                front = mallory.connect(setup)
            refused_or_closed(mallory, front.connection.set_features, 1 << virtio.F_VERSION_1 | 1 << number)


@attack("B29", "protocol-never-offered", ANY)
def _(mallory, setup):
    front = mallory.connect(setup)
    offered = front.connection.get_protocol_features()
    for number in range(64):
        if not virtio.bit(offered, number):
            if mallory.front is None:
                front = mallory.connect(setup)
            refused_or_closed(mallory, front.connection.set_protocol_features,
                              int(Protocol.REPLY_ACK) | 1 << number)


@attack("B29", "changed-while-running")
def _(mallory, setup):
    """Another kind of ring, or another rule for it, while it runs."""
    front = mallory.start(setup)
    for number in (virtio.F_PACKED, virtio.F_EVENT_IDX, virtio.F_INDIRECT, virtio.F_VERSION_1):
        if mallory.front is None:
            front = mallory.start(setup)
        refused_or_closed(mallory, front.connection.set_features, front.features ^ 1 << number)
    if mallory.front:
        mallory.expect_working()


@attack("B30", "", ANY)
def _(mallory, setup):
    """Beyond the space, numbers that wrap, fields that are read-only."""
    front = mallory.connect(setup)
    before = front.connection.get_config(0, 60)
    for offset, data in ((0, bytes(8)), (20, b"\1\2\3\4"), (60, b"x"), (256, b"x"), (0xFFFF_FFFF, b"xx"),
                         (0xFFFF_FF00, bytes(256)), (0, bytes(256)), (31, b"\0\0"), (32, b"\0\0")):
        if mallory.front is None:
            front = mallory.connect(setup)
        refused_or_closed(mallory, front.connection.set_config, offset, data)
    if mallory.front is None:
        front = mallory.connect(setup)
    assert front.connection.get_config(0, 60) == before


@attack("B31", "", ANY)
def _(mallory, setup):
    """Refused by an answer without payload."""
    front = mallory.connect(setup)
    for offset, size in ((0, 0), (0, 257), (256, 1), (200, 100), (0xFFFF_FFFF, 2), (0xFFFF_FFFF, 0xFFFF_FFFF)):
        if mallory.front is None:
            front = mallory.connect(setup)
        front.connection.send(Request.GET_CONFIG, struct.pack("<3I", offset, size, 0) + bytes(min(size, 257)))
        try:
            answer, _ = front.connection.reply(Request.GET_CONFIG)
            assert answer == b"" or struct.unpack_from("<2I", answer)[1] == 0, f"{offset}+{size} was answered"
            mallory.expect_connected()
        except Closed:
            mallory.close()


# ---- B32–B35: channels ----

@attack("B32", "twice", ANY)
def _(mallory, setup):
    """The second channel replaces the first; nothing is kept of that."""
    front = mallory.start(setup)
    before = mallory.daemon.fd_count()
    pairs = [socket.socketpair() for _ in range(50)]
    for _, theirs in pairs:
        assert not front.connection.set_backend_req_fd(theirs.fileno())
    for ours, theirs in pairs:
        ours.close()
        theirs.close()
    assert mallory.daemon.fd_count() <= before + 1
    mallory.expect_working()


@attack("B32", "never-read", ANY)
def _(mallory, setup):
    """A channel that is full: the daemon neither waits nor collects messages."""
    front = mallory.start(setup)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            theirs.send(b"\0" * 4096)
    theirs.setblocking(True)
    assert not front.connection.set_backend_req_fd(theirs.fileno())
    for i in range(10):             # each growth wants to be told
        grow(mallory.daemon, f"{mallory.guest}/root", i)
    mallory.expect_working()
    ours.close()
    theirs.close()


def grow(daemon, disk, step):
    """Makes the disk one MiB larger."""
    status, answer = daemon.api("GET", f"/v1/disks/{disk}")
    assert status == 200, answer
    status, answer = daemon.api("PATCH", f"/v1/disks/{disk}", {"size_bytes": answer["size_bytes"] + MIB})
    assert status == 200, answer


def not_offered(request, payload=b"", fds=0):
    def run(mallory, setup):
        front = mallory.start(setup)
        files = [os.eventfd(0) for _ in range(fds)]
        try:
            outcome = refused_or_closed(mallory, front.connection.tell, request, payload, files)
        finally:
            for file in files:
                os.close(file)
        if outcome == "refused":
            mallory.expect_working()
    return run


for _name, _payload in {
        "update": struct.pack("<3QBB6x", 0, 4096, 0x7F00_0000_0000, 3, 2),
        "invalidate": struct.pack("<3QBB6x", 0, (1 << 64) - 1, 0, 0, 3),
        "empty": b""}.items():
    attack("B34", _name, ANY)(not_offered(Request.IOTLB_MSG, _payload))

attack("B35", "set", ANY)(not_offered(Request.SET_DEVICE_STATE_FD, struct.pack("<2I", 0, 0), 1))
attack("B35", "check", ANY)(not_offered(Request.CHECK_DEVICE_STATE))


# ---- B36, B37: coming and going ----

@attack("B36", "reset-under-load")
def _(mallory, setup):
    """Each reset finds requests in flight."""
    front = mallory.start(setup)
    for round in range(60):
        disk = front.disk()
        for i in range(16):
            disk.submit(blk.OUT, 8 * i, bytes([round]) * 4096)
        front.reset(("status", "reset_device", "stop")[round % 3])
        front.disks.clear()
        if front.memory.free_bytes() < MIB:
            front.memory._free.clear()
            mallory.close()
            front = mallory.start(setup)
    mallory.expect_working()


@attack("B36", "disconnect-under-load")
def _(mallory, setup):
    for round in range(40):
        front = mallory.start(setup)
        for i in range(32):
            front.disk().submit(blk.OUT, 64 * i, bytes([round]) * 32768)
        mallory.close()
    mallory.expect_welcome()


@attack("B36", "disconnect-at-every-step", ANY)
def _(mallory, setup):
    """A session cut off after each of its messages, and in the middle of them."""
    class Cut(Exception):
        pass

    def run(limit, half):
        front = FrontEnd(mallory.path, Setup(queues=2))
        connection = Connection.open(mallory.path)
        plain, left = connection.send_bytes, [limit]

        def send_bytes(data, fds=()):
            if left[0] == 0:
                if half:
                    plain(data[:max(1, len(data) // 2)], fds)
                raise Cut
            left[0] -= 1
            plain(data, fds)

        connection.send_bytes = send_bytes
        try:
            front.handshake(connection)
            front.run()
            return True
        except Cut:
            return False
        finally:
            front.close()

    step = 0
    while True:
        run(step, half=True)
        if run(step, half=False):
            break
        step += 1
    assert step > 20
    mallory.expect_welcome()


@attack("B36", "connection-storm", ANY)
def _(mallory, setup):
    """Connections that come and go as fast as they can."""
    end, count = time.monotonic() + 1.5, 0
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(0.2)
            sock.connect(str(mallory.path))
            count += 1
    assert count > 100
    time.sleep(0.1)
    mallory.expect_welcome()


@attack("B37", "second-runs")
def _(mallory, setup):
    """While one front end's rings run, another one's do not start; it may wait, and is served when the first ends."""
    front = mallory.start(setup)
    front.disk().write(0, b"\x66" * 512)
    waiting = FrontEnd.connect(mallory.path, setup)
    try:
        waiting.tell_memory()
        waiting.queues.append(virtio.Queue(waiting.make_ring(), 0))
        try:
            waiting.start_queue(0)
            refused = False
        except (AssertionError, Closed):
            refused = True
        if not refused:
            request = waiting.disk().submit(blk.OUT, 0, b"\x99" * 512)
            waiting.queues[0].kick()
            assert not waiting.queues[0].wait_for(lambda: request.chain in waiting.queues[0].done, 0.3), \
                "two front ends run on one disk"
        assert front.disk().read(0, 1) == b"\x66" * 512
    finally:
        waiting.close()
    mallory.expect_working()


@attack("B37", "second-waits", ANY)
def _(mallory, setup):
    """The target of a live migration: connected and negotiated beside its source, then it takes over."""
    front = mallory.start(setup)
    front.disk().write(0, b"\x67" * 512)
    target = FrontEnd.connect(mallory.path, setup)
    try:
        target.tell_memory()
        front.stop_queue(0)
        target.queues.append(virtio.Queue(target.make_ring(), 0))
        target.start_queue(0)
        target.driver_ok()
        assert target.disk().read(0, 1) == b"\x67" * 512
    finally:
        target.close()


# ---- B38, B39 ----

for _request, _payload in {
        Request.SEND_RARP: bytes(8), Request.NET_SET_MTU: struct.pack("<Q", 65535),
        Request.SET_VRING_ENDIAN: struct.pack("<2I", 0, 1), Request.CREATE_CRYPTO_SESSION: bytes(8),
        Request.POSTCOPY_ADVISE: b"", Request.POSTCOPY_LISTEN: b"", Request.POSTCOPY_END: b"",
        Request.VRING_KICK: struct.pack("<2I", 0, 0), Request.GET_SHARED_OBJECT: bytes(16),
        Request.GPU_SET_SOCKET: b""}.items():
    attack("B38", _request.name.lower(), ANY)(not_offered(_request, _payload))


@attack("B38", "reset-owner", ANY)
def _(mallory, setup):
    """Deprecated: ignored, refused or taken as "stop all rings", but the device stays usable."""
    front = mallory.start(setup)
    front.connection.tell(Request.RESET_OWNER)
    front.reset("stop")
    mallory.expect_working()


@attack("B38", "without-negotiation", ANY)
def _(mallory, setup):
    """Messages of protocol features that were offered but not taken."""
    for request, payload in ((Request.GET_STATUS, b""), (Request.RESET_DEVICE, b""), (Request.GET_MAX_MEM_SLOTS, b""),
                             (Request.GET_CONFIG, struct.pack("<3I", 0, 8, 0) + bytes(8))):
        mallory.connect(Setup(protocol=int(Protocol.REPLY_ACK | Protocol.MQ)))
        refused_or_closed(mallory, mallory.front.connection.tell, request, payload)
        mallory.close()


@attack("B39", "running")
def _(mallory, setup):
    """Kicks without work as fast as a CPU can: one wake-up stands for many, and others are served."""
    front = mallory.start(setup)
    fd = front.queues[0].kick_fd

    def kick():
        for _ in range(1000):
            with contextlib.suppress(BlockingIOError):
                os.eventfd_write(fd, 1)

    with scribbler(kick):
        time.sleep(1)
        mallory.expect_working()
    mallory.expect_working()


@attack("B39", "broken-ring", SPLIT)
def _(mallory, setup):
    """The same at a device that has stopped: kicks are ignored."""
    front = mallory.start(setup)
    front.queues[0].ring.offer(0xFFFF)
    front.queues[0].kick()
    assert front.needs_reset()
    fd = front.queues[0].kick_fd
    with scribbler(lambda: os.eventfd_write(fd, 1)):
        time.sleep(0.3)
        before, begin = mallory.daemon.cpu_seconds(), time.monotonic()
        time.sleep(0.7)
        assert mallory.daemon.cpu_seconds() - before < 0.8 * (time.monotonic() - begin), "a stopped ring costs a CPU"
    front.reset()
    mallory.expect_working()


@pytest.mark.parametrize("attack, setup", attack.parameters)
def test_hostile(mallory, attack, setup):
    attack(mallory(), setup)
