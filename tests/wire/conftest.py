# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures: the daemon under test, the honest victim, and hostile guests that are fresh for each test.

What holds for every test that uses `daemon` is checked in one place, at its end (see check_after):
the process lives, no sanitizer spoke, descriptors, threads and memory are back to what they were.
"""
import itertools
import pathlib
import sys
import time

import pytest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from daemon import Daemon
from guest_memory import GuestMemory
from mallory import Mallory
from patience import wait_until
from victim_process import VictimProcess

HOSTILE_GUESTS = 48
LINE_EVERY_S = 1.1              # a device has one log line a second
RESIDENT_SLACK = 32 << 20


def sections(folder):
    """The configuration that most tests share: one pool with many guests, and a whole file."""
    disk = {"pool": "main", "size": "4M"}
    result = {
        "daemon": {"sandbox": "yes"},
        "pool main": {"path": folder / "main.pool", "size": "512M"},
        "guest victim": {}, "disk victim/root": {**disk, "size": "8M"},
        "guest polite": {}, "disk polite/root": disk,
        "guest alice": {}, "disk alice/root": {**disk, "size": "16M", "serial": "alice-serial"},
        "guest bob": {}, "disk bob/root": {**disk, "size": "16M"},
        "disk bob/fixed": {**disk, "read_only": "yes"},
        "disk bob/whole": {"path": folder / "whole.raw"},
    }
    for number in range(HOSTILE_GUESTS):
        result[f"guest mallory{number:02}"] = {}
        result[f"disk mallory{number:02}/root"] = disk
    return result


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """A daemon for a module's tests; it must end with exit code 0 and without a leak."""
    folder = tmp_path_factory.mktemp("viaduct")
    (folder / "whole.raw").write_bytes(bytes(8 << 20))
    instance = Daemon(sections(folder), folder)
    try:
        instance.start()
        yield instance
    finally:
        instance.finish()


@pytest.fixture(autouse=True)
def check_after(request):
    """At the end of each test with a daemon: it lives, and holds no more than before."""
    if "daemon" not in request.fixturenames:
        yield
        return
    daemon = request.getfixturevalue("daemon")
    before = Holdings(daemon)
    yield
    daemon.check_alive()
    # The daemon closes what a test leaves behind in its own time.
    wait_until(lambda: not exceeding(daemon, before), lambda: f"it holds no more than before: {exceeding(daemon, before)}")


class Holdings:
    """What the daemon holds: descriptors, threads, private memory."""

    def __init__(self, daemon):
        self.fds, self.threads = daemon.fd_count(), daemon.thread_count()
        self.resident = daemon.resident_bytes()
        self.list = daemon.fds()

    def exceeds(self, base):
        return (self.fds > base.fds or self.threads > base.threads
                or self.resident > base.resident + RESIDENT_SLACK)

    def __str__(self):
        return f"{self.fds} fds, {self.threads} threads, {self.resident >> 10} KiB"


def exceeding(daemon, base):
    """What the daemon holds more than `base`, as text; empty when there is nothing."""
    now = Holdings(daemon)
    if not now.exceeds(base):
        return ""
    return f"the daemon had {base}, now holds {now}; new: {[fd for fd in now.list if fd not in base.list]}"


# ---- the honest victim ----

@pytest.fixture(scope="module")
def victim_process(daemon):
    """One victim for a module."""
    victim = VictimProcess(daemon.socket("victim/root"))
    try:
        yield victim
        victim.finish()
    finally:
        victim.kill()


@pytest.fixture
def victim(victim_process):
    """Verified I/O of an honest guest during the test; an error or a wrong byte fails it, and so does a standstill."""
    victim_process.progress()
    yield victim_process
    victim_process.progress()


# ---- hostile guests ----

class HostileGuests:
    """Numbers of hostile guests, one after the other. A device's log lines are limited to one a second, so a guest is
    used again only when the second after its last use is over.
    """

    def __init__(self):
        self.numbers, self.ended = itertools.cycle(range(HOSTILE_GUESTS)), {}

    def take(self):
        number = next(self.numbers)
        time.sleep(max(0.0, self.ended.get(number, 0.0) + LINE_EVERY_S - time.monotonic()))
        return number

    def give_back(self, number):
        self.ended[number] = time.monotonic()


@pytest.fixture(scope="module")
def hostile_guests():
    return HostileGuests()


@pytest.fixture
def mallory(daemon, victim, hostile_guests):
    """Makes hostile guests: each call gives another one. All are closed at the end."""
    made = {}

    def make():
        number = hostile_guests.take()
        made[number] = Mallory(daemon, victim, number)
        return made[number]

    yield make
    for number, one in made.items():
        one.close()
        hostile_guests.give_back(number)


@pytest.fixture
def alice(daemon):
    """The socket of an honest guest's disk of 16 MiB."""
    return daemon.socket("alice/root")


@pytest.fixture
def memory():
    """Two adjacent regions in files of their own."""
    return GuestMemory.adjacent(2)
