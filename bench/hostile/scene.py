# SPDX-License-Identifier: GPL-2.0-or-later
"""What all rows share: a daemon with an honest guest beside hostile ones, and how a row attacks it."""
import contextlib
import itertools
import pathlib
import time

from daemon import Daemon
from frontend import FrontEnd, Setup
from victim_process import VictimProcess

GUESTS = 48
# What a polite guest does in a slice: visits beyond so many tell nothing more.
VISITS_MAX = 16


class Asker(VictimProcess):
    """The process that asks the API; driven like the victim."""
    SCRIPT = pathlib.Path(__file__).with_name("asker.py")


class Scene:
    """A daemon with an honest guest, and somebody who asks its API; started when a row needs it first. Owns all."""

    def __init__(self, sections, *victim_arguments):
        self.sections, self.victim_arguments = sections, victim_arguments
        self.daemon = self.victim = self.asker = None
        self.numbers = itertools.cycle(range(len([name for name in sections if name.startswith("guest mallory")]) or 1))

    def open(self):
        if self.daemon:
            return
        self.daemon = Daemon({"pool main": {"path": "", "size": "16G"}, "guest victim": {}, "guest polite": {},
                              "disk victim/root": {"pool": "main", "size": "8M"},
                              "disk polite/root": {"pool": "main", "size": "4M"}, **self.sections})
        self.daemon.sections["pool main"]["path"] = self.daemon.path("main.pool")
        self.daemon.write_config()
        self.daemon.start()
        self.victim = VictimProcess(self.daemon.socket("victim/root"), *self.victim_arguments)
        self.victim.progress()
        self.asker = Asker(self.daemon.runtime / "api.sock")

    def close(self):
        daemon, processes = self.daemon, (self.victim, self.asker)
        self.daemon = self.victim = self.asker = None
        for process in processes:
            if process:
                process.kill()
        if daemon:
            daemon.finish()

    def path(self, disk="mallory00/root"):
        return self.daemon.socket(disk)

    def next_path(self):
        """Of the next hostile guest: one whose device rests is given time."""
        return self.path(f"mallory{next(self.numbers):02}/root")


def guests(count, **disk):
    """Sections of hostile guests with a disk each."""
    sections = {}
    for number in range(count):
        sections[f"guest mallory{number:02}"] = {}
        sections[f"disk mallory{number:02}/root"] = {"pool": "main", "size": "4M", **disk}
    return sections


def sleep_until(moment):
    time.sleep(max(0.0, moment - time.monotonic()))


class Row:
    """Base of all rows. hostile() and polite() last for `seconds`, or a little longer."""
    # What the honest guest may wait longer than beside a polite guest, and the API's client at all; None: as it comes.
    pause_ms, api_ms = 20, 200
    # Rounds that are enough where a slice takes as long as it takes.
    rounds_max = 100
    # ends(): a context of an attack that goes on while the daemon is stopped, killed and started; yields step().
    ends = None

    def __init__(self, scene, name, title):
        self.scene, self.name, self.title = scene, name, title

    @contextlib.contextmanager
    def prepared(self):
        self.scene.open()
        yield

    def hostile(self, seconds):
        """Attacks; returns how often."""
        raise NotImplementedError

    def polite(self, seconds, actions):
        """The same without the attack, so often."""
        begin, actions = time.monotonic(), min(actions, VISITS_MAX)
        for number in range(actions):
            with FrontEnd.start(self.scene.path("polite/root"), Setup()) as guest:
                guest.disk().write(8 * number, bytes(4096))
                guest.disk().read(8 * number, 8)
            sleep_until(begin + seconds * (number + 1) / actions)

    def note(self):
        return ""
