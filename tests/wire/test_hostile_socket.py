# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows B1–B9: messages that lie, connections that say nothing, descriptors of the wrong kind.

Reactions: K, a non-zero acknowledgement and nothing changed; or C, the connection ends and the next one is served.
"""
import errno
import os
import socket
import struct
import time

import pytest

import blk
import virtio
from descriptors import KINDS
from hostile import ANY, Attacks, refused_or_closed
from patience import wait_until, watch_nothing
from vhost_user import FLAG_NEED_REPLY, FLAG_REPLY, INFLIGHT, VERSION, Connection, Request

attack = Attacks()
MESSAGE_S = 10                  # what a front end has for one message, and for the first


def send(mallory, request, payload=b"", fds=(), flags=VERSION, size=None):
    mallory.front.connection.send(request, payload, fds, flags, size)


# ---- B1–B4: framing ----

def lying_size(request, payload, size):
    def run(mallory, setup):
        mallory.connect(setup)
        send(mallory, request, payload, size=size)
        mallory.expect_closed()
    return run


for _name, _arguments in {
        "more-than-any-message": (Request.SET_OWNER, b"", 0xFFFF_FFFF),
        "one-more-than-the-largest": (Request.SET_OWNER, b"", 1 << 20),
        "smaller-than-payload": (Request.SET_VRING_NUM, struct.pack("<I", 0), 4),
        "empty": (Request.SET_VRING_ADDR, b"", 0),
        "larger-than-payload": (Request.SET_VRING_NUM, struct.pack("<4I", 0, 128, 0, 0), 16),
        "payload-where-none-belongs": (Request.GET_FEATURES, bytes(8), 8),
        "table-count-larger": (Request.SET_MEM_TABLE, struct.pack("<2I4Q", 8, 0, 0, 4096, 0, 0), 40),
        "config-size-larger": (Request.SET_CONFIG, struct.pack("<3I", 0, 200, 0) + bytes(4), 16),
}.items():
    attack("B1", _name, ANY)(lying_size(*_arguments))


@attack("B1", "two-messages-in-one-write", ANY)
def _(mallory, setup):
    """Legal: a stream has no borders."""
    mallory.connect(setup)
    one = struct.pack("<3I", Request.GET_FEATURES, VERSION, 0)
    mallory.front.connection.send_bytes(one * 3)
    answers = {mallory.front.connection.reply(Request.GET_FEATURES)[0] for _ in range(3)}
    assert len(answers) == 1


@attack("B2", "byte-by-byte", ANY)
def _(mallory, setup):
    """Legal, if it does not take too long."""
    mallory.connect(setup)
    for byte in struct.pack("<3I2I", Request.SET_VRING_NUM, VERSION | FLAG_NEED_REPLY, 8, 0, 64):
        mallory.front.connection.send_bytes(bytes([byte]))
        time.sleep(0.001)           # most of them are read alone
    answer, _ = mallory.front.connection.reply(Request.SET_VRING_NUM)
    assert struct.unpack("<Q", answer)[0] == 0


@attack("B2", "never-finished", ANY)
def _(mallory, setup):
    """
    Half a header, half a payload: the connection ends after the time for one message, not before. So does one that
    never says anything (B3).
    """
    begin = time.monotonic()
    mallory.connect(setup)
    send(mallory, Request.SET_VRING_NUM, struct.pack("<I", 0), size=8)
    second = Connection.open(mallory.path)
    second.send_bytes(struct.pack("<2I", Request.GET_FEATURES, VERSION))
    silent = Connection.open(mallory.path)
    for connection in (mallory.front.connection, second, silent):
        assert connection.wait_closed(), "still open"
        assert time.monotonic() - begin >= MESSAGE_S / 2, "closed long before the time for a message was over"
    second.close()
    silent.close()
    mallory.expect_closed(line=False)


@attack("B3", "silent", ANY)
def _(mallory, setup):
    """More connections than any guest needs, none of which speaks: few are held, and the API answers."""
    sockets = []
    before = mallory.daemon.fd_count()
    try:
        for _ in range(1500):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            sockets.append(sock)
            try:
                sock.connect(str(mallory.path))
            except BlockingIOError:
                break           # the backlog is full: what the daemon does not take costs it nothing
        for _ in range(5):
            watch_nothing()
            held = mallory.daemon.fd_count() - before
            assert held <= 256, f"the daemon holds {held} descriptors for connections that say nothing"
            status, _ = mallory.daemon.api("GET", "/metrics", raw=True)
            assert status == 200
        mallory.expect_others_served()
    finally:
        for sock in sockets:
            sock.close()
    wait_until(lambda: mallory.daemon.fd_count() <= before, "the connections are closed")
    mallory.expect_welcome()


@attack("B4", "unknown-request", ANY)
def _(mallory, setup):
    for number in (0, 44, 99, 1000, 0x7FFF_FFFF, 0xFFFF_FFFF):
        mallory.connect(setup)
        refused_or_closed(mallory, mallory.front.connection.tell, number)
        mallory.close()


@attack("B4", "version", ANY)
def _(mallory, setup):
    for version in (0, 2, 3):
        mallory.connect(setup)
        send(mallory, Request.GET_FEATURES, flags=version)
        mallory.expect_closed(line=False)


@attack("B4", "reserved-flags", ANY)
def _(mallory, setup):
    mallory.connect(setup)
    send(mallory, Request.GET_FEATURES, flags=VERSION | 1 << 8)
    mallory.expect_closed()


@attack("B4", "reply-flag", ANY)
def _(mallory, setup):
    """An answer to a question that nobody asked."""
    mallory.connect(setup)
    send(mallory, Request.GET_FEATURES, flags=VERSION | FLAG_REPLY)
    mallory.expect_closed()


# ---- B6, B7: descriptors ----

# Messages that carry none, with an honest payload.
WITHOUT = {
    Request.GET_FEATURES: b"", Request.SET_OWNER: b"", Request.GET_QUEUE_NUM: b"",
    Request.SET_FEATURES: struct.pack("<Q", 1 << virtio.F_VERSION_1),
    Request.SET_VRING_NUM: struct.pack("<2I", 0, 64), Request.SET_VRING_BASE: struct.pack("<2I", 0, 0),
    Request.SET_VRING_ENABLE: struct.pack("<2I", 0, 1), Request.GET_CONFIG: struct.pack("<3I", 0, 8, 0) + bytes(8),
    Request.GET_INFLIGHT_FD: INFLIGHT.pack(0, 0, 1, 64), Request.GET_STATUS: b"",
    Request.SET_STATUS: struct.pack("<Q", 1), Request.RESET_DEVICE: b"", Request.GET_MAX_MEM_SLOTS: b"",
}


def with_descriptors(request, payload, count):
    def run(mallory, setup):
        mallory.connect(setup)
        fds = [os.eventfd(0) for _ in range(count)]
        try:
            send(mallory, request, payload, fds)
            mallory.expect_closed()
        finally:
            for fd in fds:
                os.close(fd)
    return run


for _request, _payload in WITHOUT.items():
    for _count in (1, 8):
        attack("B6", f"{_request.name.lower()}-with-{_count}", ANY)(with_descriptors(_request, _payload, _count))

_region = struct.pack("<4Q", 0x10_0000, 4096, 0x7F00_0000_0000, 0)
_table = struct.pack("<2I", 1, 0) + _region
_kick = struct.pack("<Q", 0)
for _request, _payload, _count in (
        (Request.SET_MEM_TABLE, _table, 0), (Request.SET_MEM_TABLE, _table, 2), (Request.SET_MEM_TABLE, _table, 8),
        (Request.SET_MEM_TABLE, _table, 253), (Request.ADD_MEM_REG, bytes(8) + _region, 0),
        (Request.ADD_MEM_REG, bytes(8) + _region, 2), (Request.SET_VRING_KICK, _kick, 0),
        (Request.SET_VRING_KICK, _kick, 2), (Request.SET_VRING_CALL, _kick, 2), (Request.SET_VRING_ERR, _kick, 9),
        (Request.SET_VRING_KICK, struct.pack("<Q", 0x100), 1), (Request.SET_BACKEND_REQ_FD, b"", 0),
        (Request.SET_BACKEND_REQ_FD, b"", 2), (Request.SET_INFLIGHT_FD, INFLIGHT.pack(4096, 0, 1, 64), 0),
        (Request.SET_INFLIGHT_FD, INFLIGHT.pack(4096, 0, 1, 64), 2),
        (Request.SET_LOG_BASE, struct.pack("<2Q", 4096, 0), 0), (Request.SET_LOG_BASE, struct.pack("<2Q", 4096, 0), 3)):
    _no_fd = "-despite-flag" if _payload == struct.pack("<Q", 0x100) else ""
    attack("B6", f"{_request.name.lower()}-with-{_count}{_no_fd}", ANY)(with_descriptors(_request, _payload, _count))


@attack("B6", "on-the-second-byte", ANY)
def _(mallory, setup):
    """Descriptors come with a message's first byte or not at all."""
    mallory.connect(setup)
    message = struct.pack("<3I", Request.GET_FEATURES, VERSION, 0)
    mallory.front.connection.send_bytes(message[:4])
    time.sleep(0.02)                # the daemon has most likely read it; when not, the kernel keeps the two apart
    fd = os.eventfd(0)
    mallory.front.connection.send_bytes(message[4:], [fd])
    os.close(fd)
    mallory.expect_closed()


def wrong_kind(send_it, kind):
    def run(mallory, setup):
        mallory.connect(setup)
        with KINDS[kind]() as fd:
            try:
                refused_or_closed(mallory, send_it, mallory, fd)
            except OSError as error:
                # the kernel itself does not let an io_uring descriptor travel (Linux 6.7 and later)
                assert kind == "io-uring" and error.errno == errno.EINVAL
                mallory.expect_connected()
    return run


def as_memory(mallory, fd):
    payload = struct.pack("<2I4Q", 1, 0, 0x10_0000, 4096, 0x7F00_0000_0000, 0)
    return mallory.front.connection.tell(Request.SET_MEM_TABLE, payload, [fd])


def as_added_memory(mallory, fd):
    payload = struct.pack("<Q4Q", 0, 0x10_0000, 4096, 0x7F00_0000_0000, 0)
    return mallory.front.connection.tell(Request.ADD_MEM_REG, payload, [fd])


def as_kick(mallory, fd):
    return mallory.front.connection.set_vring_kick(0, fd)


def as_call(mallory, fd):
    return mallory.front.connection.set_vring_call(0, fd)


def as_inflight(mallory, fd):
    return mallory.front.connection.set_inflight_fd(fd, 4096, 0, 1, 64)


def as_log(mallory, fd):
    return struct.unpack("<Q", mallory.front.connection.set_log_base(fd, 4096)[:8])[0]


def as_backend_channel(mallory, fd):
    return mallory.front.connection.set_backend_req_fd(fd)


for _kind in KINDS:
    for _use in (as_memory, as_added_memory, as_kick, as_call, as_inflight, as_log, as_backend_channel):
        if (_kind == "eventfd" and _use in (as_kick, as_call)) or (
                _kind in ("socket",) and _use is as_backend_channel) or (
                _kind == "disk-file" and _use in (as_memory, as_added_memory)):
            continue            # the right kind, or left out: test_memory_on_disk.py
        attack("B7", f"{_kind}-{_use.__name__}", ANY)(wrong_kind(_use, _kind))


@attack("B9", "blocking")
def _(mallory, setup):
    """The counter of a blocking eventfd is full: the daemon must not wait for its reader."""
    front = mallory.start(setup)
    queue = front.queues[0]
    full = os.eventfd(0)
    os.eventfd_write(full, (1 << 64) - 2)
    try:
        assert not front.connection.set_vring_call(0, full)
        disk = front.disk()
        for _ in range(20):
            queue.ring.enable_calls()
            request = disk.submit(blk.IN, 0, 512)
            wait_until(lambda: queue.has(request.chain), "a completion although the counter is full")
            queue.done.pop(request.chain)
            assert disk.collect(request)[0] == blk.OK
        assert front.connection.get_features()
    finally:
        assert not front.connection.set_vring_call(0, queue.call_fd)
        os.close(full)


@pytest.mark.parametrize("attack, setup", attack.parameters)
def test_hostile(mallory, attack, setup):
    attack(mallory(), setup)
