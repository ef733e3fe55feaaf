# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtqueues from the driver's side: what split and packed rings share, and a queue with its event descriptors.

A ring object has a low level (put any bytes into any descriptor) for tests that lie, and a high level
(add, publish, take) that follows virtio 1.2, 2.7 and 2.8 to the letter.

Stores reach the device in program order on x86; the one place where the specification needs more (publish,
then look whether the device wants a kick) calls fence().
"""
import collections
import os
import select
import threading
import time

from patience import PATIENCE_S

F_NOTIFY_ON_EMPTY = 24
F_LOG_ALL = 26
F_INDIRECT = 28
F_EVENT_IDX = 29
F_PROTOCOL = 30
F_VERSION_1 = 32
F_ACCESS_PLATFORM = 33
F_PACKED = 34
F_IN_ORDER = 35
F_RING_RESET = 40

NEXT = 1
WRITE = 2
INDIRECT = 4
AVAIL = 1 << 7
USED = 1 << 15

STATUS_ACKNOWLEDGE = 1
STATUS_DRIVER = 2
STATUS_DRIVER_OK = 4
STATUS_FEATURES_OK = 8
STATUS_NEEDS_RESET = 64

# One element of a request: address in guest memory, length, does the device write it?
Buffer = collections.namedtuple("Buffer", "address length writable")

_barrier = threading.Lock()


def fence():
    """A full memory barrier: taking a lock is a locked instruction."""
    with _barrier:
        pass


def bit(features, number):
    return bool(features >> number & 1)


class Queue:
    """A ring with its kick, call and error descriptors. Owns the descriptors."""

    def __init__(self, ring, index):
        self.ring = ring
        self.index = index
        self.kick_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.call_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.err_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.kicks = 0
        self.done = {}

    def close(self):
        for fd in (self.kick_fd, self.call_fd, self.err_fd):
            os.close(fd)

    def kick(self):
        self.kicks += 1
        os.eventfd_write(self.kick_fd, 1)

    def submit(self, buffers, indirect=None):
        """Adds a chain, publishes it, kicks when the device asks for it. Returns its id."""
        chain = self.ring.add(buffers, indirect)
        if self.ring.publish():
            self.kick()
        return chain

    def poll(self):
        """Moves completions into self.done (id -> bytes written); returns how many came."""
        taken = self.ring.take()
        for chain, written in taken:
            assert chain not in self.done, f"chain {chain} completed twice"
            self.done[chain] = written
        return len(taken)

    def wait(self, chain, timeout=PATIENCE_S):
        """Waits for one chain by the call descriptor, as a driver sleeps; returns the bytes written."""
        if not self.wait_for(lambda: chain in self.done, timeout):
            raise TimeoutError(f"queue {self.index}: no completion of chain {chain} within {timeout:g} s")
        return self.done.pop(chain)

    def wait_for(self, condition, timeout=PATIENCE_S):
        """Takes completions until condition() holds; False when it does not within `timeout` seconds."""
        poller = select.poll()
        poller.register(self.call_fd, select.POLLIN)
        deadline = time.monotonic() + timeout
        while True:
            self.poll()
            if condition():
                return True
            # Ask for an interrupt, then look once more: a completion in between would be slept over.
            if self.ring.enable_calls() and self.poll():
                continue
            left = deadline - time.monotonic()
            if left <= 0:
                return condition()
            if poller.poll(left * 1000):
                self.drain_call()

    def has(self, chain):
        """Is the chain complete? Looks at the ring, and asks for no interrupt."""
        self.poll()
        return chain in self.done

    def drain_call(self):
        """Returns how often the device signalled since the last time."""
        return drain(self.call_fd)


def drain(fd):
    """The count of an eventfd, which becomes 0."""
    try:
        return os.eventfd_read(fd)
    except BlockingIOError:
        return 0
