# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon that serves the guests: a configuration and a runtime folder of its own, and the command."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 120          # only a hang reaches it


def build_folder():
    """VIADUCT_BUILD, or build/."""
    return pathlib.Path(os.environ.get("VIADUCT_BUILD", TOP / "build"))


class Viaductd:
    """One viaductd. `sections` is its configuration: {"disk alice/root": {"pool": "main", "size": "64M"}}.

    FOLDER in a value stands for the daemon's own folder.
    """

    def __init__(self, sections, files=None, wrapper=(), build=None):
        self._wrapper = wrapper
        self._build = build or build_folder()
        # Not pytest's tmp_path: a socket's path has at most 107 characters.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="viaduct-"))
        for name, content in (files or {}).items():
            (self.folder / name).write_bytes(content)
        self.runtime = self.folder / "run"
        self.config = self.folder / "viaduct.conf"
        self.log = self.folder / "log"
        self.process = None
        self.configure(sections)

    def configure(self, sections):
        """Writes the configuration; a running daemon reads it at the next start or reload."""
        lines = []
        # A state of its own, and no time for measuring disks.
        sections = {"daemon": {"state_dir": "FOLDER/state"}, **sections}
        for title, keys in sections.items():
            if title.startswith("pool ") or "path" in keys:
                keys = {"capacity_iops": 1000000, "capacity_bandwidth": "8G", **keys}
            lines += [f"[{title}]", *(f"{key} = {value}" for key, value in keys.items()), ""]
        self.config.write_text("\n".join(lines).replace("FOLDER", str(self.folder)))

    def spawn(self, *more):
        program = self._build / "src/daemon/viaductd"
        with open(self.log, "ab") as log:
            return subprocess.Popen([*self._wrapper, program, "--config", self.config, "--runtime-dir", self.runtime, *more],
                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def start(self):
        self.process = self.spawn()
        return self.wait_ready()

    def take_over(self):
        """A successor goes on where this process stands."""
        old = self.process
        self.process = self.spawn("--takeover")
        assert old.wait(PATIENCE_SECONDS) == 0, self.text()
        return self.wait_ready()

    def wait_ready(self):
        """Until the API answers."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.command("status", "--json", check=False).returncode != 0:
            ended = self.process.poll()
            assert ended is None, f"viaductd ended with {ended}:\n{self.text()}"
            assert time.monotonic() < deadline, f"viaductd is not ready:\n{self.text()}"
            time.sleep(0.01)
        return self

    def command(self, *words, check=True):
        """Runs `viaduct WORDS` against this daemon."""
        program = self._build / "src/cli/viaduct"
        done = subprocess.run([program, "--runtime-dir", self.runtime, *words], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
        assert not check or done.returncode == 0, f"viaduct {' '.join(words)}: {done.stdout}{done.stderr}"
        return done

    def status(self):
        return json.loads(self.command("status", "--json").stdout)

    def socket(self, device, kind="disk"):
        """Socket of "guest/disk", or of a device of another kind."""
        guest, name = device.split("/")
        return self.runtime / guest / f"{kind}-{name}.sock"

    def device(self, name, kind):
        """What the status tells of a device."""
        return next(one for one in self.status()["devices"] if (one["kind"], one["name"]) == (kind, name))

    def text(self):
        return self.log.read_text(errors="replace")

    def open_files(self):
        """How many descriptors the daemon has."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9, as a crash."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """SIGTERM; the daemon must end well and soon, however its guests ended."""
        if not self.alive():
            return
        self.process.terminate()
        try:
            status = self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"viaductd does not end:\n{self.text()}") from None
        assert status == 0, f"viaductd ended with {status}:\n{self.text()}"

    def remove(self):
        if self.alive():
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
