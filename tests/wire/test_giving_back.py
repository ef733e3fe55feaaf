# SPDX-License-Identifier: GPL-2.0-or-later
"""Row E12: memory of a guest that went, of which the daemon is the last to hold the file: the kernel frees the pages while
it unmaps them, and no thread that serves others may do that.
"""
import os
import pathlib

import pytest

from guest_memory import GuestMemory, Region, memory_file
from hostile import ANY, Attacks
from patience import wait_until
from stuck import fallocate

attack = Attacks()
LARGE_BYTES = 512 << 20
KEPT = 1024                         # as many descriptors a doorman keeps, to be the last who closes them


def cpu_ns(daemon):
    """{thread's name: the CPU time that it has used}"""
    tasks = pathlib.Path(f"/proc/{daemon.pid}/task").iterdir()
    return {(task / "comm").read_text().strip(): int((task / "schedstat").read_text().split()[0]) for task in tasks}


def shared_bytes():
    """Of all memory files of this machine."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("Shmem:")) << 10


@attack("E12", rings=ANY)
def freed_last_by_the_daemon(mallory, setup):
    """The doorman is made to give the file up before."""
    large = memory_file(LARGE_BYTES)
    assert fallocate(large, 0, LARGE_BYTES) == 0
    with_pages = shared_bytes()
    front = mallory.start(setup, GuestMemory(Region(0x10_0000, setup.memory_bytes), Region(0x1000_0000, LARGE_BYTES, large)))
    for _ in range(KEPT):
        fd = os.eventfd(0)
        front.connection.set_vring_err(0, fd)
        os.close(fd)
    with mallory.victim.held():
        mallory.daemon.wait_idle()
        before = cpu_ns(mallory.daemon)
        mallory.close()
        wait_until(lambda: shared_bytes() < with_pages - LARGE_BYTES / 2, "the pages are free")
        mallory.daemon.wait_idle()
        used = {name: ns - before[name] for name, ns in cpu_ns(mallory.daemon).items()}
    assert used["reaper"] > sum(ns for name, ns in used.items() if name != "reaper"), used


@pytest.mark.parametrize("attack, setup", attack.parameters)
def test_hostile(mallory, attack, setup):
    attack(mallory(), setup)
