# SPDX-License-Identifier: GPL-2.0-or-later
"""A program on a terminal of its own: what it shows, and how it leaves the terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

PICTURE, PICTURE_END = b"\033[?2026h", b"\033[?2026l"
ENTER, LEAVE = b"\033[?1049h", b"\033[?1049l"
PATIENCE = 120         # seconds; only a hang reaches it


class PtyScreen:
    """Reads what `viaduct top` writes: whole pictures, each from the upper left corner, of whole lines."""

    def __init__(self, command, columns=80, lines=24, env=None):
        self.written = b""
        self.status = None
        go, set_go = os.pipe()
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.read(go, 1)      # the parent has seen how the terminal was
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)   # whatever the tests themselves were started with
            self._resize(0, columns, lines)
            os.execve(command[0], [str(word) for word in command],
                      {"PATH": "/usr/bin", "LC_ALL": "C.UTF-8", "TERM": "xterm", **(env or {})})
        self.attributes = termios.tcgetattr(self.master)
        os.write(set_go, b"x")
        os.close(go)
        os.close(set_go)

    @staticmethod
    def _resize(descriptor, columns, lines):
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns, lines):
        self._resize(self.master, columns, lines)

    def type(self, keys):
        os.write(self.master, keys.encode())

    def read(self, wait):
        """Whether there was something."""
        if not select.select([self.master], [], [], wait)[0]:
            return False
        try:
            chunk = os.read(self.master, 65536)
        except OSError:     # nobody has the other end open any more
            chunk = b""
        self.written += chunk
        return bool(chunk)

    def lines(self):
        """Those of the last whole picture, without colours."""
        whole = self.written[:self.written.rfind(PICTURE_END) + 1]
        picture = whole[whole.rfind(PICTURE):-1] if PICTURE in whole else b""
        return re.sub(r"\033\[[0-9;?]*[A-Za-z]|\r", "", picture.decode()).split("\n")

    def until(self, holds):
        """Waits for a picture for whose text `holds` is in it, or is true of it. Returns its lines."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            lines = self.lines()
            if holds("\n".join(lines)) if callable(holds) else holds in "\n".join(lines):
                return lines
            self.read(0.02)
        raise TimeoutError(f"not seen: {holds}\n" + "\n".join(self.lines()))

    def wait_written(self, sequence, count=1):
        deadline = time.monotonic() + PATIENCE
        while self.written.count(sequence) < count:
            assert time.monotonic() < deadline, self.written[-2000:]
            self.read(0.02)

    def end(self):
        """Waits for the program's end; returns its wait status."""
        deadline = time.monotonic() + PATIENCE
        while self.status is None:
            assert time.monotonic() < deadline, "it does not end"
            self.read(0.02)
            done, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if done else None
        while self.read(0):
            pass
        return self.status

    def is_as_found(self):
        """The screen, the cursor and the line discipline are as before."""
        after = self.written[self.written.rfind(LEAVE):]
        return after.startswith(LEAVE) and self.written.count(ENTER) == self.written.count(LEAVE) and (
            self.written.rfind(b"\033[?25h") > self.written.rfind(b"\033[?25l")) and (
            termios.tcgetattr(self.master) == self.attributes)

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.master)
