# SPDX-License-Identifier: GPL-2.0-or-later
"""The rows: what a hostile guest does in a slice, and what a polite guest does in its place.

The attacks on rings, sockets and disks are those of the wire tests, which also check how the daemon answers them.
"""
import contextlib
import dataclasses
import importlib
import itertools
import pathlib
import time

import blk
import rows as wire_rows
import storms
from daemon import Daemon
from frontend import FrontEnd, Setup
from fuse_disk import FuseDisk
from hostile import scribbler
from mallory import Mallory
from patience import PATIENCE_S
from scene import GUESTS, Row, Scene, guests, sleep_until

MODULES = ("rings", "addresses", "races", "socket", "setup", "files", "state", "disk")
# It does nothing but wait for the end of the ten seconds that a front end has for a message.
LEFT_OUT = ("B2-message-in-pieces-never-finished",)
MIB = 1 << 20


# ---- attacks of the wire tests ----

class QuietMallory(Mallory):
    """Does not look into the log, which limits its lines, and leaves the victim alone."""

    def expect_one_line(self):
        pass

    def expect_others_served(self):
        time.sleep(0.02)

    def expect_idle(self):
        pass


class AttackRow(Row):
    """The vectors of a row in turn, each by a guest that connects for it."""

    def __init__(self, scene, name, vectors):
        super().__init__(scene, name, wire_rows.ALL[name])
        self.vectors = itertools.cycle(vectors)
        self.numbers = itertools.cycle(range(GUESTS))

    def guest(self):
        return contextlib.closing(QuietMallory(self.scene.daemon, self.scene.victim, next(self.numbers)))

    def hostile(self, seconds):
        end = time.monotonic() + seconds
        for count in itertools.count(1):
            attack, setup = next(self.vectors)
            with self.guest() as mallory:
                attack(mallory, setup)
            if time.monotonic() > end:
                return count

    def polite(self, seconds, actions):
        begin = time.monotonic()
        for number in range(actions):
            with self.guest() as guest:
                guest.start()
                guest.expect_working()
            sleep_until(begin + seconds * (number + 1) / actions)


def wire_attacks():
    """{row: [(attack, setup)]}"""
    found = {}
    for name in MODULES:
        for parameter in importlib.import_module(f"test_hostile_{name}").attack.parameters:
            if parameter.id not in LEFT_OUT:
                found.setdefault(parameter.id.split("-")[0], []).append(parameter.values)
    return found


# ---- storms that cost the daemon's CPU time ----

class StormRow(Row):
    """Whole rings at once; the polite guest asks for the same one by one."""

    def __init__(self, scene, storm):
        super().__init__(scene, f"storm-{storm.__name__.split('_')[0]}", storm.__name__.replace("_", "-"))
        self.storm, self.shares = storm, []

    def connect(self):
        return FrontEnd.start(self.scene.path(), storms.SETUP)

    def step(self, front):
        storms.refill(front)

    def hostile(self, seconds):
        with self.connect() as front:
            storms.fill_rings(front, self.storm)
            before = self.times()
            with scribbler(lambda: self.step(front)):
                time.sleep(seconds)
                used, paid = (now - then for now, then in zip(self.times(), before))
            # On a busy machine a short storm may come to an end before the worker has had the CPU.
            self.shares += [paid / used] if used > 0 else []
            front.queues[0].ring.next_available = front.queues[0].ring.used_idx()
        return 1

    def polite(self, seconds, actions):
        end = time.monotonic() + seconds
        with self.connect() as front:
            storms.fill_rings(front, self.storm)
            while time.monotonic() < end:
                storms.offer(front.queues[0], 1)
                time.sleep(0.002)

    def times(self):
        """CPU time (s) of the only worker, and what of it the hostile guest has paid."""
        paid = self.scene.daemon.metrics()['viaduct_device_cpu_seconds_total{guest="mallory00",device="root",kind="disk"}']
        for task in pathlib.Path(f"/proc/{self.scene.daemon.pid}/task").iterdir():
            if (task / "comm").read_text().strip() == "worker-0":
                return int((task / "schedstat").read_text().split()[0]) / 1e9, paid
        raise RuntimeError("no worker")

    def note(self):
        if not self.shares:
            return "the worker had no CPU time meanwhile"
        return f"pays {sorted(self.shares)[len(self.shares) // 2]:.2f} of the worker's CPU time"


class KickRow(StormRow):
    """Kicks without work; the polite guest's kicks have a request each."""

    def __init__(self, scene):
        super().__init__(scene, storms.tiny_reads)
        self.name, self.title = "storm-kicks", "kicks"

    def step(self, front):
        storms.kick(front)


class LoggedRow(StormRow):
    """In a migration: what a request marks in the log is what it wrote, and not what it could have written."""

    def __init__(self, scene):
        super().__init__(scene, storms.long_identifiers)
        self.name, self.title = "migrated", "logged identifiers of 4 GiB"

    @contextlib.contextmanager
    def connect(self):
        with FrontEnd.start(self.scene.path(), dataclasses.replace(storms.SETUP, memory_bytes=32 * MIB)) as front:
            with storms.logged(front):
                yield front


# ---- a host that fails ----

class HangRow(Row):
    """A physical disk that does not answer, with requests of another guest in flight."""

    def __init__(self):
        self.physical = None
        super().__init__(Scene({"guest alice": {}}), "D4", wire_rows.ALL["D4"])

    @contextlib.contextmanager
    def prepared(self):
        with FuseDisk(8 * MIB) as self.physical:
            self.scene.sections["disk alice/root"] = {"path": self.physical.path}
            try:
                with super().prepared():
                    yield
            finally:
                self.scene.close()

    def connect(self):
        return FrontEnd.start(self.scene.daemon.socket("alice/root"), Setup())

    def submit(self, disk):
        return [disk.submit(blk.IN, 8 * number, 4096) for number in range(8)]

    def hostile(self, seconds):
        with self.connect() as front:
            with self.physical.told("hang"):
                requests = self.submit(front.disk())
                time.sleep(seconds)
            for request in requests:
                front.disk().finish(request)
        return 1

    def polite(self, seconds, actions):
        end = time.monotonic() + seconds
        with self.connect() as front:
            while time.monotonic() < end:
                for request in self.submit(front.disk()):
                    front.disk().finish(request)


class RestartRow(Row):
    """The daemon goes and comes back once a slice; its figure is the longest pause."""

    def __init__(self, scene, name, title, action, limit_ms):
        super().__init__(scene, name, title)
        self.action, self.pause_ms, self.api_ms = action, limit_ms, max(limit_ms, Row.api_ms)

    def hostile(self, seconds):
        time.sleep(seconds / 2)
        self.action(self.scene.daemon)
        time.sleep(seconds / 2)
        return 1

    def polite(self, seconds, actions):
        time.sleep(seconds)


def take_over(daemon):
    old = daemon.process
    daemon.process = daemon.spawn("--takeover")
    daemon._follow(daemon.process)
    old.wait(PATIENCE_S)
    daemon.wait_ready()


# ---- all ----

def wire_rows_of(scene):
    attacks = wire_attacks()
    return [AttackRow(scene, name, attacks[name]) for name in wire_rows.ALL if name in attacks]


def storm_rows(scene):
    return [*(StormRow(scene, storm) for storm in storms.KINDS), KickRow(scene), LoggedRow(scene)]


def host_rows(restarted):
    return [HangRow(), RestartRow(restarted, "D11", "killed-and-started", Daemon.restart, 1000),
            RestartRow(restarted, "takeover", "takeover", take_over, 20)]
