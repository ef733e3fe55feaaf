# SPDX-License-Identifier: GPL-2.0-or-later
"""A hostile guest with an NVMe disk beside an honest one with a virtio disk; both have the same worker."""
import contextlib

import pytest

from conftest import HOSTILE_GUESTS
from daemon import Daemon
from nvme import CSTS_FATAL, Controller
from patience import wait_until, watch_nothing
from rows import row_id
from vfio_user import Closed, Connection


@contextlib.contextmanager
def hostile_daemon(folder):
    """One worker for all guests."""
    sections = {
        "daemon": {"workers": 1},
        "pool main": {"path": folder / "main.pool", "size": "512M"},
        "guest victim": {}, "disk victim/root": {"pool": "main", "size": "8M"},
        "guest polite": {}, "disk polite/root": {"pool": "main", "size": "4M", "model": "nvme"},
    }
    for number in range(HOSTILE_GUESTS):
        sections[f"guest mallory{number:02}"] = {}
        sections[f"disk mallory{number:02}/root"] = {"pool": "main", "size": "4M", "model": "nvme", "queues": 4}
    instance = Daemon(sections, folder)
    try:
        instance.start()
        yield instance
    finally:
        instance.finish()


class NvmeMallory:
    """One hostile guest. Owns its controller."""

    def __init__(self, daemon, victim, number):
        self.daemon, self.victim, self.guest = daemon, victim, f"mallory{number:02}"
        self.path = daemon.socket(f"{self.guest}/root")
        self.lines_before = len(daemon.lines)
        self.controller = None

    def start(self, queues=2, **more):
        self.controller = Controller.start(self.path, queues=queues, **more)
        return self.controller

    def connect(self, **more):
        """The version is agreed on."""
        self.controller = Controller.connect(self.path, **more)
        return self.controller.connection

    def knock(self):
        """Nothing is said yet."""
        self.controller = Controller(self.path)
        self.controller.connection = Connection.open(self.path)
        return self.controller.connection

    def close(self):
        if self.controller:
            self.controller.close()
            self.controller = None

    # ---- reactions ----

    def expect_connected(self):
        self.controller.connection.get_info()

    def expect_working(self):
        """An honest request on every queue succeeds, with the right bytes."""
        for index in range(len(self.controller.queues)):
            self.controller.roundtrip(64 + 8 * index, index)

    def expect_recovers(self):
        """Whatever became of the controller, after a reset of the device it works."""
        controller, queues = self.controller, len(self.controller.queues)
        controller.connection.reset()
        controller.set_command()
        controller.connection.unmap_all()
        controller.map_memory()
        controller.start_again(queues)
        self.expect_working()

    def expect_fatal(self):
        self.controller.wait_status(CSTS_FATAL, CSTS_FATAL)

    def expect_closed(self, line=True):
        """The connection ends; the device is free for the next VMM."""
        assert self.controller.connection.wait_closed(), "the connection is still open"
        self.close()
        if line:
            self.expect_one_line()

    def expect_welcome(self):
        with Controller.start(self.path, queues=2) as controller:
            controller.roundtrip(0, 0)
            controller.roundtrip(8, 1)

    def expect_welcome_again(self):
        """The same, as soon as the connections before have gone: one may be in, and one may wait."""
        wait_until(self.is_welcome, "a new VMM is served")

    def is_welcome(self):
        with contextlib.suppress(Closed):
            self.expect_welcome()
            return True
        return False

    def expect_one_line(self):
        """Exactly one line of the log is about this guest's misdeed."""
        name = self.guest + "/"
        self.daemon.wait_line(name, self.lines_before)
        watch_nothing()
        lines = [line for line in self.daemon.lines_about(name, self.lines_before) if "warning" in line or "error" in line]
        assert len(lines) == 1, "log lines about one violation:\n" + "\n".join(lines)

    def expect_others_served(self):
        self.victim.progress()


class NvmeAttacks:
    """The attacks of one module: a decorator that registers, and the parameters of its test_hostile()."""

    def __init__(self):
        self.parameters = []

    def __call__(self, row, name):
        def register(attack):
            self.parameters.append(pytest.param(attack, id=row_id(row, name)))
            return attack
        return register


def run(mallory, attack):
    """Afterwards a well-behaved VMM is served on the same socket, and the honest guest goes on."""
    one = mallory()
    attack(one)
    one.close()
    one.expect_welcome()
    one.expect_others_served()


def make_mallory(daemon, victim, hostile_guests):
    """For a fixture: makes hostile guests, each another one; all are closed at the end."""
    made = {}

    def make():
        number = hostile_guests.take()
        made[number] = NvmeMallory(daemon, victim, number)
        return made[number]

    yield make
    for number, one in made.items():
        one.close()
        hostile_guests.give_back(number)
