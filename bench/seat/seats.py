# SPDX-License-Identifier: GPL-2.0-or-later
"""A viaductd with a seat, guests that play VMMs and a viewer (viaduct-seat-bench) at it, and what processes cost."""
import json
import pathlib
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "bench/net"))

from api_daemon import ApiDaemon  # noqa: E402
from switches import START_S, BenchError  # noqa: E402

# Around a window's picture, and above all windows.
FRAME, TITLE, BAR = 3, 22, 24
NS_PER_S = 1e9


# ---- what processes cost ----

def ancestors():
    """{process: its parent} of all that there are."""
    parents = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            pass        # it has ended meanwhile
    return parents


def family(pid):
    """A process, and those that it has made."""
    parents, found = ancestors(), {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def thread_seconds(pid, left_out):
    """{thread: seconds of CPU}, but for threads whose name begins with left_out."""
    seconds = {}
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        try:
            if not left_out or not (task / "comm").read_text().startswith(left_out):
                seconds[task.name] = int((task / "schedstat").read_text().split()[0]) / NS_PER_S
        except OSError:
            pass
    return seconds


class Cpu:
    """Seconds that families of processes have had of all CPUs since it was made. left_out: threads that do not count."""

    def __init__(self, pids, left_out=None):
        self.pids, self.left_out = pids, left_out
        self.before, self.since = self._read(), time.monotonic()

    def _read(self):
        return {pid: thread_seconds(pid, self.left_out) for top in self.pids for pid in family(top)}

    def percent(self):
        """Of a core."""
        passed, now = time.monotonic() - self.since, self._read()
        return 100 * sum(seconds - self.before.get(pid, {}).get(thread, 0)
                         for pid, threads in now.items() for thread, seconds in threads.items()) / passed


# ---- the daemon ----

def screen_for(width, height, windows=1):
    """The screen on which so many windows with pictures of this size lie side by side."""
    return windows * (width + 2 * FRAME), height + BAR + TITLE + FRAME


class Seat(ApiDaemon):
    """One start of viaductd with a screen of this size (width, height), and a display for each guest."""

    def __init__(self, folder, build, size, guests):
        super().__init__(folder)
        self.build, self.size, self.guests = build, size, guests

    def __enter__(self):
        config = self.folder / "viaduct.conf"
        lines = ["[daemon]", "workers = 1", f"state_dir = {self.folder}/state", "[seat desk]", "size = {}x{}".format(*self.size)]
        for guest in self.guests:
            lines += [f"[guest {guest}]", f"[display {guest}/0]", "seat = desk", f"socket = {self.socket(guest)}"]
        config.write_text("\n".join(lines) + "\n", encoding="ascii")
        self.process = self.spawn([self.build / "src/daemon/viaductd", "--config", config, "--runtime-dir", self.folder / "run"])
        try:
            self.wait(self.answers, "it does not start")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        self.end(self.process)

    def spawn(self, command, cpu=None, **more):
        with open(self.folder / f"{pathlib.Path(command[0]).name}.log", "ab") as log:
            return subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more)

    @property
    def door(self):
        """Where viewers arrive."""
        return self.folder / "run/seat-desk.vnc"

    def shows(self, guest, size):
        """Is a picture of this size on the screen?"""
        display = self.get(f"/v1/devices/display/{guest}/0")
        return display["shown"] and (display["picture"]["width"], display["picture"]["height"]) == size

    def corner(self, guest, size):
        """The last pixel of a guest's picture, once that is on the screen, of which it has to be a part."""
        self.wait(lambda: self.shows(guest, size), f"{guest} shows no picture of {size}")
        at = self.get(f"/v1/devices/display/{guest}/0")["picture"]
        x, y = at["x"] + at["width"] - 1, at["y"] + at["height"] - 1
        if not (0 <= x < self.size[0] and 0 <= y < self.size[1]):
            raise BenchError(f"{guest}'s window is not on the screen as a whole: its picture is at {at}")
        return x, y


# ---- guests and a viewer ----

class Bench:
    """viaduct-seat-bench, from its viewer's first picture on. roles: {guest: (width, height, role)}; watches: () -> [(x, y)]"""

    def __init__(self, build, door, watches, *, roles=None, sockets=None, zrle=False, keys=False):
        self.watches = watches
        words = [f"{sockets(guest)},{width}x{height},{role}" for guest, (width, height, role) in (roles or {}).items()]
        options = ["--zrle"] * zrle + ["--keys"] * keys
        self.process = subprocess.Popen([build / "bench/viaduct-seat-bench", *options, door, *words], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        try:
            self._expect("shown")
            self._say(" ".join(f"{x},{y}" for x, y in self.watches()))
            self._expect("running")
        except BaseException as error:
            self.__exit__(error)
            raise
        return self

    def __exit__(self, *exception):
        if any(exception) and self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=START_S)

    def _line(self):
        line = self.process.stdout.readline().strip()
        if not line:
            raise BenchError(self.process.communicate(timeout=START_S)[1].strip())
        return line

    def _expect(self, word):
        if (line := self._line()) != word:
            raise BenchError(f"viaduct-seat-bench says {line!r}, not {word!r}")

    def _say(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except OSError as error:
            raise BenchError(self.process.communicate(timeout=START_S)[1].strip()) from error

    def begin(self):
        """Forgets what was measured."""
        self._say("begin")

    def report(self):
        """What was measured since."""
        self._say("report")
        return json.loads(self._line())

    def sample(self, seconds, cpu, warm_up=None):
        """The report on so many seconds, after some more; cpu: () -> Cpu, of what is measured meanwhile."""
        time.sleep(seconds / 4 if warm_up is None else warm_up)
        used = cpu()
        self.begin()
        time.sleep(seconds)
        return self.report() | {"cpu_percent": used.percent()}
