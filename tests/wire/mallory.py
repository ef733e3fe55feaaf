# SPDX-License-Identifier: GPL-2.0-or-later
"""A hostile guest's device, and how the daemon must react to it: the names are those of the table of hostile inputs."""
import contextlib

import virtio
from frontend import FrontEnd, Setup
from patience import wait_until, watch_nothing
from vhost_user import Closed


class Mallory:
    """One hostile guest beside an honest one, the victim. Owns its front end."""

    def __init__(self, daemon, victim, number):
        self.daemon, self.victim, self.guest = daemon, victim, f"mallory{number:02}"
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
        wait_until(lambda: any(virtio.drain(queue.err_fd) for queue in self.front.queues), "the error descriptor speaks")
        self.expect_one_line()
        completed = [queue.ring.used_idx() for queue in self.front.queues if not queue.ring.packed]
        for queue in self.front.queues:
            queue.kick()
        watch_nothing()
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

    def expect_closed(self, line=True):
        """C: the connection ends; the device is free for the next front end."""
        assert self.front.connection.wait_closed(), "the connection is still open"
        self.close()
        if line:
            self.expect_one_line()
        self.expect_welcome()

    def expect_welcome(self):
        """A new front end is served."""
        with FrontEnd.start(self.path, Setup()) as front:
            front.disk().write(0, b"\x55" * 512)
            assert front.disk().read(0, 1) == b"\x55" * 512

    def expect_welcome_again(self):
        """The same, as soon as the doormen have come back who had something to close that took long: the device has as many
        as it may have, and ends a new connection at once."""
        wait_until(self.is_welcome, "a new front end is served")

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
        """The victim goes on, whatever this guest does meanwhile."""
        self.victim.progress()

    def expect_idle(self):
        """With the victim held, the daemon has nothing to do: this guest does not keep it busy."""
        with self.victim.held():
            self.daemon.wait_idle()

    def kicks(self):
        """How many of this guest's kicks were heard."""
        return self.daemon.metrics()[f'viaduct_device_kicks_total{{guest="{self.guest}",device="root",kind="disk"}}']
