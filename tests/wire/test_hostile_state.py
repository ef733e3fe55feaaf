# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows B29–B39: features and channels, coming and going, messages that were never offered, storms.
"""
import contextlib
import os
import socket
import struct

import pytest

import blk
import virtio
from frontend import FrontEnd, Setup
from hostile import ANY, SPLIT, Attacks, refused_or_closed, scribbler
from patience import wait_until, watch_nothing
from vhost_user import BACKEND_CONFIG_CHANGE, FLAG_REPLY, VERSION, Closed, Connection, Protocol, Request

attack = Attacks()
MIB = 1 << 20


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
    """Beyond the space, numbers that wrap; fields that are read-only, or lie behind those there are, are ignored."""
    front = mallory.connect(setup)
    before = front.connection.get_config(0, 60)
    for offset, data in ((0, bytes(8)), (20, b"\1\2\3\4"), (60, b"x"), (255, b"x"), (0, bytes(256)), (31, b"\0\0"), (32, b"\0\0")):
        assert front.connection.set_config(offset, data) == 0, "a front end may end when its driver's write fails"
    for offset, data in ((256, b"x"), (0xFFFF_FFFF, b"xx"), (0xFFFF_FF00, bytes(256)), (1, bytes(256))):
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
    wait_until(lambda: mallory.daemon.fd_count() <= before + 1, "the channels that were replaced are closed")
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


@attack("B32", "lying-answers", ANY)
def _(mallory, setup):
    """Answers to nothing, one and a flood: the channel ends, and nothing else does."""
    front = mallory.start(setup)
    answer = struct.pack("<3IQ", BACKEND_CONFIG_CHANGE, VERSION | FLAG_REPLY, 8, 0)
    for sent in (b"\0", answer, answer * 5000):
        ours, theirs = socket.socketpair()
        assert not front.connection.set_backend_req_fd(theirs.fileno())
        theirs.close()
        ours.settimeout(60)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            ours.sendall(sent)
            assert ours.recv(1) == b"", "the daemon keeps the channel"
        ours.close()
    mallory.expect_working()


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

# Only while no ring runs. test_vhost_user_model.c says what comes of it then.
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
    before = mallory.daemon.fd_count()
    for _ in range(500):
        # A full backlog costs the daemon nothing.
        with contextlib.suppress(BlockingIOError), socket.socket(socket.AF_UNIX) as sock:
            sock.setblocking(False)
            sock.connect(str(mallory.path))
    mallory.expect_others_served()
    wait_until(lambda: mallory.daemon.fd_count() <= before, "the connections are closed")
    mallory.expect_welcome_again()


@attack("B37", "second-runs")
def _(mallory, setup):
    """While one front end's rings run, another one's do not start: it is told so, after the time that a front end that went
    may take to be seen going, and is served when the first has ended.
    """
    front = mallory.start(setup)
    front.disk().write(0, b"\x66" * 512)
    second = FrontEnd.connect(mallory.path, setup)
    try:
        second.tell_memory()
        second.queues.append(virtio.Queue(second.make_ring(), 0))
        with pytest.raises(AssertionError):
            second.start_queue(0)
        request = second.disk().submit(blk.OUT, 0, b"\x99" * 512)
        second.queues[0].kick()
        watch_nothing()
        second.queues[0].poll()
        assert request.chain not in second.queues[0].done, "two front ends run on one disk"
        assert second.connection.get_features()
        assert front.disk().read(0, 1) == b"\x66" * 512
        mallory.close()
        second.start_queue(0)
        second.driver_ok()
        second.queues[0].wait(request.chain)
        assert second.disk().read(0, 1) == b"\x99" * 512
    finally:
        second.close()


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
        for _ in range(20):
            mallory.expect_working()
            mallory.expect_others_served()
    mallory.expect_working()


@attack("B39", "broken-ring", SPLIT)
def _(mallory, setup):
    """The same at a device that has stopped: kicks are ignored."""
    front = mallory.start(setup)
    front.queues[0].ring.offer(0xFFFF)
    front.queues[0].kick()
    assert front.needs_reset()
    fd = front.queues[0].kick_fd
    before = mallory.kicks()
    with scribbler(lambda: os.eventfd_write(fd, 1)):
        for _ in range(20):
            mallory.expect_others_served()
        mallory.expect_idle()
    assert mallory.kicks() == before, "a stopped ring listens to kicks"
    front.reset()
    mallory.expect_working()


@pytest.mark.parametrize("attack, setup", attack.parameters)
def test_hostile(mallory, attack, setup):
    attack(mallory(), setup)
