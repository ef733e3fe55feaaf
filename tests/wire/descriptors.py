# SPDX-License-Identifier: GPL-2.0-or-later
"""File descriptors of every kind that is not what a message wants (row B7): name -> context manager."""
import contextlib
import ctypes
import os
import select
import socket
import tempfile

IO_URING_SETUP = 425            # system call number, the same on all architectures


@contextlib.contextmanager
def closing(*fds):
    """Lends the first of the descriptors."""
    try:
        yield fds[0]
    finally:
        for fd in fds:
            os.close(fd)


def opened(path, flags):
    return lambda: closing(os.open(path, flags | os.O_CLOEXEC))


def a_socket():
    return closing(*(end.detach() for end in socket.socketpair()))


def listening_socket():
    sock = socket.socket(socket.AF_UNIX)
    sock.bind("")               # an abstract name that the kernel chooses
    sock.listen(1)
    return closing(sock.detach())


def io_uring():
    parameters = ctypes.create_string_buffer(120)
    fd = ctypes.CDLL(None, use_errno=True).syscall(IO_URING_SETUP, 4, parameters)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "io_uring_setup")
    return closing(fd)


def deleted_file():
    """A regular file, but on a disk's file system: whoever touches its pages may wait for the disk."""
    file = tempfile.TemporaryFile(dir="/var/tmp")
    file.truncate(1 << 20)
    fd = os.dup(file.fileno())
    file.close()
    return closing(fd)


def epoll():
    poller = select.epoll()
    fd = os.dup(poller.fileno())
    poller.close()
    return closing(fd)


KINDS = {
    "pipe": lambda: closing(*os.pipe()),
    "socket": a_socket,
    "listening-socket": listening_socket,
    "epoll": epoll,
    "eventfd": lambda: closing(os.eventfd(0)),
    "directory": opened("/", os.O_RDONLY | os.O_DIRECTORY),
    "dev-zero": opened("/dev/zero", os.O_RDWR),
    "dev-null": opened("/dev/null", os.O_RDWR),
    "path-only": opened("/dev/shm", os.O_PATH),
    "io-uring": io_uring,
    "disk-file": deleted_file,
}
