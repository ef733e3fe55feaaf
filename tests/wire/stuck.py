# SPDX-License-Identifier: GPL-2.0-or-later
"""Descriptors with which a peer makes the kernel wait: when they are closed, sealed or written to (rows E1–E5), or when the
memory behind them is touched.
"""
import contextlib
import ctypes
import fcntl
import os
import resource
import select
import socket
import struct
import threading
import time

from guest_memory import USER_OFFSET, memory_file
from hostile import scribbler
from vhost_user import Closed, Connection, Request

MIB = 1 << 20
LINGER_S = 60                   # for which the close of a lingering socket waits
KEEP_SIZE, PUNCH_HOLE = 1, 2    # of fallocate()
libc = ctypes.CDLL(None, use_errno=True)


def knock(path, timeout=0.2):
    """A connection, or None when it is not taken into the backlog at once: an attack does not wait there."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.connect(str(path))
    except OSError:
        sock.close()
        return None
    return Connection(sock, timeout)


# ---- slow to close ----

@contextlib.contextmanager
def lingering_socket():
    """A TCP socket whose last close waits for a peer that does not read."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    given = socket.socket()
    given.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
    given.connect(listening.getsockname())
    silent, _ = listening.accept()
    given.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            given.send(bytes(4096))
    given.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER_S))
    try:
        yield given
    finally:
        given.close()
        silent.close()          # unread data: a reset, which ends what still lingers
        listening.close()


def let_go(given):
    """Closes it without waiting."""
    given.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    given.close()


def give_away(sock, given):
    """The receiver has the last reference then. One that could not be sent is closed without waiting."""
    try:
        socket.send_fds(sock, [b"x"], [given.fileno()])
        given.close()
    except OSError:
        let_go(given)


def hidden(fd):
    """A stream socket in which the descriptor waits to be read."""
    outer, inner = socket.socketpair()
    socket.send_fds(outer, [b"x"], [fd])
    outer.close()
    return inner


# ---- how such a descriptor is sent ----

def send_unasked(connection, fd):
    """With a message that is refused, while the connection goes on."""
    connection.send(Request.SEND_RARP, b"", [fd])
    assert connection.get_features()


def send_as_kick(connection, fd):
    """With a message that breaks the connection."""
    connection.send(Request.SET_VRING_KICK, struct.pack("<Q", 0), [fd])
    assert connection.wait_closed(connection.sock.gettimeout())


def send_hidden(connection, fd):
    """Inside of a socket that the daemon is to take for a back-end channel."""
    with hidden(fd) as inner:
        connection.send(Request.SET_BACKEND_REQ_FD, b"", [inner.fileno()])
    assert connection.get_features()


def leave_unread(connection, fd):
    """Behind a message that breaks the connection, if that has not broken yet."""
    connection.send_bytes(struct.pack("<3I", 1, 0x77, 0))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        socket.send_fds(connection.sock, [b"x" * 12], [fd])


SENDERS = (send_unasked, send_as_kick, send_hidden, leave_unread)


def flood(connection, fds, messages, wait_s=1):
    """Messages that are refused, each with these descriptors; ends early when nobody reads them for `wait_s`."""
    connection.sock.settimeout(wait_s)
    with contextlib.suppress(OSError, Closed):
        for _ in range(messages):
            connection.send(Request.SEND_RARP, b"", fds)


# ---- slow to seal ----

def fallocate(fd, mode, size):
    return libc.fallocate(fd, mode, ctypes.c_long(0), ctypes.c_long(size))


@contextlib.contextmanager
def growing_file(size):
    """A memory file that another process fills and empties all the time, which holds its lock."""
    fd = memory_file(size)

    def grow():
        fallocate(fd, 0, size)
        fallocate(fd, PUNCH_HOLE | KEEP_SIZE, size)

    try:
        with scribbler(grow):
            yield fd
    finally:
        os.close(fd)


def as_memory(connection, fd):
    connection.send(Request.SET_MEM_TABLE, struct.pack("<2I4Q", 1, 0, 0x10_0000, MIB, 0x10_0000 + USER_OFFSET, 0), [fd])


def as_record(connection, fd):
    connection.send(Request.SET_INFLIGHT_FD, struct.pack("<2Q2H", 65536, 0, 1, 64), [fd])


# ---- slow to touch ----

def punch(queue, fd, size):
    """A hole is punched where the ring lies: who touches it waits for the end of that. The ring is empty afterwards."""
    fallocate(fd, 0, size)
    puncher = threading.Thread(target=fallocate, args=(fd, PUNCH_HOLE | KEEP_SIZE, size))
    puncher.start()
    while puncher.is_alive():
        queue.kick()
        time.sleep(0.001)
    puncher.join()


# ---- slow to write to ----

@contextlib.contextmanager
def switched_eventfd():
    """Its counter is full, and another process switches O_NONBLOCK all the time."""
    fd = os.eventfd(0, 0)
    os.eventfd_write(fd, (1 << 64) - 2)

    def switch():
        for _ in range(1000):
            fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK)
            fcntl.fcntl(fd, fcntl.F_SETFL, 0)

    with scribbler(switch):
        yield fd
    os.close(fd)


def watches_max():
    """How many waiters a user may have in all epolls; half of them."""
    with open("/proc/sys/fs/epoll/max_user_watches", encoding="ascii") as file:
        return int(file.read()) // 2


@contextlib.contextmanager
def crowded_eventfd(waiters):
    """Yields (descriptor, number of waiters): each write wakes them one by one, which nothing can interrupt.

    An epoll has a waiter for each descriptor of a file, so that few descriptors make many: copies times epolls.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    waiters = min(waiters, watches_max())
    copies = [os.eventfd(0, os.EFD_NONBLOCK)]
    epolls = []
    try:
        copies += [os.dup(copies[0]) for _ in range(min(999, hard // 4))]
        for _ in range(min(waiters // len(copies), hard // 2)):
            epolls.append(select.epoll())
            for fd in copies:
                epolls[-1].register(fd, select.EPOLLIN)
        yield copies[0], len(copies) * len(epolls)
    finally:
        for poller in epolls:
            poller.close()
        for fd in copies:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
