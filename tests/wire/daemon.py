# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon under test: a configuration in a folder of its own, the process, and what can be seen of it from outside."""
import contextlib
import http.client
import json
import os
import pathlib
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import time

from patience import PATIENCE_S, wait_until

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SANITIZER_MARKS = ("AddressSanitizer", "LeakSanitizer", "runtime error:", "UndefinedBehavior", "Assertion", "stack smashing")
# What a sanitizer writes goes to stderr, where every test looks; a small quarantine keeps resident memory comparable.
SANITIZER_ENVIRONMENT = {
    "ASAN_OPTIONS": "quarantine_size_mb=4:detect_leaks=1:handle_sigbus=0:allow_user_segv_handler=1:abort_on_error=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:abort_on_error=1",
}


def build_directory():
    """VIADUCT_BUILD, or the build with sanitizers when there is one, or build/."""
    if "VIADUCT_BUILD" in os.environ:
        return pathlib.Path(os.environ["VIADUCT_BUILD"]).resolve()
    for name in ("build-asan", "build"):
        if (SOURCE / name / "src/daemon/viaductd").exists():
            return SOURCE / name
    raise FileNotFoundError("no build with viaductd: run ninja, or set VIADUCT_BUILD")


def program():
    return build_directory() / "src/daemon/viaductd"


def capacity(name, keys):
    """A physical disk's: more than any here has, so that nothing but weights and limits decides."""
    physical = name.startswith("pool ") or "path" in keys
    return {"capacity_iops": 1000000, "capacity_bandwidth": "8G"} if physical else {}


# An idle daemon sleeps: at each of these looks, and it wakes a few times at most in all of them.
IDLE_LOOKS, IDLE_LOOK_S, IDLE_WAKES_MAX = 20, 0.01, 10


class UnixHttp(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path, timeout=PATIENCE_S):
        super().__init__("viaduct", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Daemon:
    """One viaductd. `sections` is the configuration: {"disk alice/root": {"pool": "main", "size": "8M"}, …}.

    The folder has the configuration, the pool files and RUNTIME; stderr is read by a thread into `lines`.
    """

    def __init__(self, sections, folder=None, arguments=(), wrapper=(), environment=None, pass_fds=(), preexec=None):
        self._own = tempfile.TemporaryDirectory(prefix="viaduct-wire-") if folder is None else None
        self.folder = pathlib.Path(self._own.name if self._own else folder)
        self.runtime = self.folder / "run"
        self.config = self.folder / "viaduct.conf"
        self.sections = sections
        self.arguments, self.wrapper = list(arguments), list(wrapper)
        self.environment, self.pass_fds, self.preexec = environment or {}, pass_fds, preexec
        self.lines = []             # (time, text) of stderr
        self.process = None
        self._reader = None
        self.write_config()

    # ---- configuration ----

    def write_config(self):
        """Unless a test says otherwise, the state is the test's own, and no time goes into measuring disks."""
        sections = {name: {**capacity(name, keys), **keys} for name, keys in self.sections.items()}
        sections["daemon"] = {"state_dir": self.folder / "state", **sections.pop("daemon", {})}
        text = "".join(f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items() if value is not None) + "\n"
                       for name, keys in sections.items())
        self.config.write_text(text)

    def path(self, name):
        """A file in the daemon's folder."""
        return self.folder / name

    def socket(self, disk):
        """The socket of "guest/disk"."""
        guest, name = disk.split("/")
        return self.runtime / guest / f"disk-{name}.sock"

    # ---- the process ----

    def command(self, *more):
        return [*self.wrapper, str(program()), "--config", str(self.config), "--runtime-dir", str(self.runtime),
                *self.arguments, *more]

    def spawn(self, *more, stderr=subprocess.PIPE):
        return subprocess.Popen(self.command(*more), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
                                env={**os.environ, **SANITIZER_ENVIRONMENT, **self.environment},
                                pass_fds=self.pass_fds, preexec_fn=self.preexec)

    def launch(self):
        """Without waiting for anything."""
        self.process = self.spawn()
        self._follow(self.process)

    def start(self):
        self.launch()
        self.wait_ready()
        return self

    def _follow(self, process):
        self._reader = threading.Thread(target=self._read, args=(process.stderr,), daemon=True)
        self._reader.start()

    def _read(self, stream):
        for line in stream:
            self.lines.append((time.monotonic(), line.decode(errors="replace").rstrip("\n")))

    def wait_ready(self):
        """Until the API answers."""
        wait_until(self.is_ready, lambda: f"viaductd is ready:\n{self.text()}")

    def is_ready(self):
        assert self.process.poll() is None, f"viaductd ended with {self.process.returncode}:\n{self.text()}"
        try:
            return self.api("GET", "/metrics", raw=True)[0] == 200
        except OSError:
            return False

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE_S)

    def restart(self):
        """kill -9 and start again."""
        self.kill()
        self.start()

    def take_over(self):
        """A successor takes over from the process (--takeover), which ends."""
        old = self.process
        self.process = self.spawn("--takeover")
        self._follow(self.process)
        old.wait(PATIENCE_S)
        assert old.returncode == 0, f"the predecessor ended with {old.returncode}:\n{self.text()}"
        self.wait_ready()

    def stop(self):
        """SIGTERM; returns the exit code. Asserts nothing about it: check_exit() does."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"viaductd did not end within {PATIENCE_S:g} s of SIGTERM:\n{self.text()}") from None
            self._reader.join(PATIENCE_S)
        return self.process.returncode if self.process else None

    def finish(self):
        """Ends the process, checks how it ended, removes the folder."""
        try:
            code = self.stop()
            self.check_sanitizers()
            assert code in (None, 0), f"viaductd ended with {code}:\n{self.text()}"
        finally:
            if self.process and self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            if self._own:
                self._own.cleanup()

    # ---- what it says ----

    def text(self, since=0):
        return "\n".join(line for _, line in self.lines[since:][-60:])

    def lines_about(self, name, since=0):
        """Lines of stderr that name an object, from line number `since` on."""
        return [line for _, line in self.lines[since:] if name in line]

    def wait_line(self, text, since=0):
        """The first line that holds `text`."""
        return wait_until(lambda: self.lines_about(text, since), lambda: f"a line with '{text}':\n{self.text()}")[0]

    def check_sanitizers(self):
        for _, line in self.lines:
            assert not any(mark in line for mark in SANITIZER_MARKS), "sanitizer report:\n" + self.text()

    def check_alive(self):
        assert self.process.poll() is None, f"viaductd ended with {self.process.returncode}:\n{self.text()}"
        self.check_sanitizers()

    # ---- what it holds ----

    @property
    def pid(self):
        return self.process.pid

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def fds(self):
        """What each descriptor is, for messages."""
        result = []
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                result.append(os.readlink(f"/proc/{self.pid}/fd/{fd}"))
            except OSError:
                pass
        return sorted(result)

    def thread_count(self):
        """Threads of the program; the kernel's io_uring workers ("iou-…") come and go as they like."""
        count = 0
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                count += not (task / "comm").read_text().startswith("iou-")
        return count

    def resident_bytes(self):
        for line in open(f"/proc/{self.pid}/status", encoding="ascii"):
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no RssAnon")

    def work(self):
        """(wake-ups so far, is a thread at work now), of all threads."""
        wakes, busy = 0, False
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                fields = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
                wakes += int(fields["voluntary_ctxt_switches"])
                busy = busy or not fields["State"].startswith("S")
        return wakes, busy

    def is_idle(self):
        """Does it sleep, but for IDLE_WAKES_MAX wake-ups while it is looked at?"""
        before, busy = self.work()
        for _ in range(IDLE_LOOKS):
            time.sleep(IDLE_LOOK_S)
            wakes, busy_now = self.work()
            busy = busy or busy_now
        return not busy and wakes - before <= IDLE_WAKES_MAX

    def wait_idle(self):
        """Until it has nothing to do: what spins, or wakes again and again, never comes there."""
        wait_until(self.is_idle, lambda: f"viaductd becomes idle (wake-ups, busy: {self.work()})")

    # ---- control API ----

    def api(self, method, path, body=None, raw=False):
        """(status, parsed answer)"""
        connection = UnixHttp(self.runtime / "api.sock")
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None,
                               {"Content-Type": "application/json"} if body is not None else {})
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, data if raw else json.loads(data) if data else None
        finally:
            connection.close()

    def metrics(self):
        """{name{labels}: value}"""
        status, text = self.api("GET", "/metrics", raw=True)
        assert status == 200
        result = {}
        for line in text.decode().splitlines():
            if line and not line.startswith("#"):
                key, value = line.rsplit(" ", 1)
                result[key] = float(value)
        return result

    def violations(self, guest):
        """Sum of the violation counters of a guest."""
        return sum(value for key, value in self.metrics().items()
                   if "violations_total" in key and f'guest="{guest}"' in key)


class HeldBack(Daemon):
    """A daemon whose process is there already, and begins at go()."""

    def __init__(self, sections, folder):
        self.gate = pathlib.Path(folder) / f"go-{time.monotonic_ns()}"
        os.mkfifo(self.gate)
        super().__init__(sections, folder, wrapper=["sh", "-c", f'read line < {self.gate}; exec "$@"', "sh"])
        self.launch()

    def go(self):
        self.gate.write_text("go\n")


def limit_files(count):
    """For Daemon(preexec=…): a limit of open files."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
