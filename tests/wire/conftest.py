# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures: the daemon under test, the honest victim, and hostile guests that are fresh for each test.

What holds for every test that uses `daemon` is checked in one place, at its end (see check_after):
the process lives, no sanitizer spoke, descriptors, threads and memory are back to what they were.
"""
import itertools
import json
import subprocess
import sys
import time

import pytest

import virtio
from daemon import Daemon
from frontend import FrontEnd, Setup
from guest_memory import GuestMemory

HOSTILE_GUESTS = 48             # each is used again only after a second: log lines are limited to one a second a device
VICTIM_LATENCY_BOUND = 20.0     # p99 beside a hostile guest / p99 beside a polite one; the strict bound is a benchmark's
VICTIM_LATENCY_FLOOR_US = 20_000
VICTIM_OPERATIONS_MIN = 250     # with fewer, one stall of the machine is the p99
VICTIM_NOISE_FACTOR = 10.0      # a machine so busy that a plain sleep ends this much too late says nothing about the daemon
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
    # connections of the test before may still be on their way out
    settle(daemon, None)
    before = Holdings(daemon)
    yield
    daemon.check_alive()
    settle(daemon, before)


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


def settle(daemon, base, timeout=5.0):
    """Waits until the daemon holds no more than `base` (None: until its descriptors stay the same for a moment)."""
    deadline = time.monotonic() + timeout
    while True:
        now = Holdings(daemon)
        if base is None:
            time.sleep(0.02)
            if daemon.fd_count() == now.fds or time.monotonic() > deadline:
                return
        elif not now.exceeds(base):
            return
        else:
            more = [fd for fd in now.list if fd not in base.list]
            assert time.monotonic() < deadline, f"the daemon had {base}, now holds {now}; new: {more}"
            time.sleep(0.02)


# ---- the honest victim ----

class VictimProcess:
    """victim.py, driven over its pipes."""

    def __init__(self, socket, *arguments):
        script = __file__.replace("conftest.py", "victim.py")
        self.process = subprocess.Popen([sys.executable, script, str(socket), *arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        assert json.loads(self.process.stdout.readline() or "{}").get("ready"), "the victim did not start"

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the victim ended with {self.process.poll()}"
        return json.loads(answer)

    def check(self, report):
        """No error, no wrong byte, and it was not left standing."""
        assert not report["errors"], f"the honest guest saw: {report['errors']}"
        assert report["operations"] > 0 or report["verified"] > 0, "the honest guest did nothing"

    def finish(self):
        try:
            self.check(self.ask("quit"))
        finally:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def victim_process(daemon):
    """One victim for a module, with its p99 beside a polite neighbour in .baseline_us."""
    victim = VictimProcess(daemon.socket("victim/root"))
    try:
        with FrontEnd.start(daemon.socket("polite/root"), Setup()) as polite:
            disk = polite.disk()
            victim.ask("begin")
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                disk.read(0, 8)
                time.sleep(0.002)
        report = victim.ask("report")
        victim.check(report)
        victim.baseline_us = report["p99_us"]
        yield victim
        victim.finish()
    finally:
        victim.process.kill()
        victim.process.wait()


@pytest.fixture
def victim(victim_process, request):
    """Verified I/O of an honest guest during the test; any error, wrong byte or standstill fails the test."""
    victim_process.ask("begin")
    yield victim_process
    report = victim_process.ask("report")
    deadline = time.monotonic() + 5
    while report["operations"] < VICTIM_OPERATIONS_MIN and time.monotonic() < deadline:
        time.sleep(0.3)         # too few for a p99: a little more of the same
        report = victim_process.ask("report")
    victim_process.check(report)
    ratio = report["p99_us"] / victim_process.baseline_us
    text = (f"victim: {report['operations']} operations, p99 {report['p99_us']:.0f} us, {ratio:.2f} x polite, "
            f"machine's own noise {report['noise_us']:.0f} us")
    print(text)
    bound = max(VICTIM_LATENCY_BOUND * victim_process.baseline_us, VICTIM_LATENCY_FLOOR_US,
                VICTIM_NOISE_FACTOR * report["noise_us"])
    assert report["p99_us"] < bound, text


# ---- hostile guests ----

class Mallory:
    """A hostile guest's device, and how the daemon must react to it (names as in the table of hostile inputs)."""

    def __init__(self, daemon, number):
        self.daemon, self.guest = daemon, f"mallory{number:02}"
        self.path = daemon.socket(f"{self.guest}/root")
        self.lines_before = len(daemon.lines)
        self.front = None

    def start(self, setup=Setup(), memory=None):
        self.front = FrontEnd.start(self.path, setup, memory)
        return self.front

    def connect(self, setup=Setup(), memory=None):
        self.front = FrontEnd.connect(self.path, setup, memory)
        return self.front

    def close(self):
        if self.front:
            self.front.close()
            self.front = None

    # ---- reactions ----

    def expect_stopped(self, recover="status"):
        """N: the device stops and says so; kicks are ignored; one line in the log; after a reset it works."""
        assert self.front.needs_reset(), "the device did not ask for a reset"
        # The kernel carries out the write to it in its own time.
        deadline = time.monotonic() + 5
        while not any(virtio.drain(queue.err_fd) for queue in self.front.queues):
            assert time.monotonic() < deadline, "the error descriptor is silent"
            time.sleep(0.01)
        self.expect_one_line()
        completed = [queue.ring.used_idx() for queue in self.front.queues if not queue.ring.packed]
        for queue in self.front.queues:
            queue.kick()
        time.sleep(0.02)
        assert completed == [q.ring.used_idx() for q in self.front.queues if not q.ring.packed], "a stopped ring went on"
        self.front.reset(recover)
        self.expect_working()

    def expect_working(self):
        """An honest request on every queue succeeds, with the right bytes."""
        for index in range(len(self.front.queues)):
            disk = self.front.disk(index)
            data = bytes([0x40 + index]) * 4096
            disk.write(64 + 8 * index, data)
            assert disk.read(64 + 8 * index, 8) == data

    def expect_refused(self, acknowledgement):
        """K: a non-zero acknowledgement, and the connection goes on."""
        assert acknowledgement not in (None, 0), "the message was accepted"
        self.expect_connected()

    def expect_connected(self):
        assert self.front.connection.get_features()

    def expect_closed(self, timeout=5.0, line=True):
        """C: the connection ends; the device is free for the next front end."""
        assert self.front.connection.wait_closed(timeout), "the connection is still open"
        self.close()
        if line:
            self.expect_one_line()
        self.expect_welcome()

    def expect_welcome(self):
        """A new front end is served."""
        with FrontEnd.start(self.path, Setup()) as front:
            front.disk().write(0, b"\x55" * 512)
            assert front.disk().read(0, 1) == b"\x55" * 512

    def expect_one_line(self):
        """Exactly one line of the log is about this guest's misdeed."""
        name = self.guest + "/"
        assert self.daemon.wait_line(name, self.lines_before), "nothing in the log"
        time.sleep(0.01)
        lines = [line for line in self.daemon.lines_about(name, self.lines_before) if "warning" in line or "error" in line]
        assert len(lines) == 1, "log lines about one violation:\n" + "\n".join(lines)


_numbers = itertools.count()


@pytest.fixture
def mallory(daemon, victim):
    """Makes hostile guests: each call gives another one. All are closed at the end."""
    made = []

    def make():
        made.append(Mallory(daemon, next(_numbers) % HOSTILE_GUESTS))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def alice(daemon):
    """The socket of an honest guest's disk of 16 MiB."""
    return daemon.socket("alice/root")


@pytest.fixture
def memory():
    """Two adjacent regions in files of their own."""
    return GuestMemory.adjacent(2)
