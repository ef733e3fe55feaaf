# SPDX-License-Identifier: GPL-2.0-or-later
"""The real daemon, with one pool."""

import pathlib
import socket
import subprocess
import time

PATIENCE = 120         # seconds; only a hang reaches it


class Daemon:
    def __init__(self, program, directory, pool_size="1G", extra=""):
        self.directory = pathlib.Path(directory)
        self.pool = self.directory / "main.pool"
        self.config = self.directory / "viaduct.conf"
        self.config.write_text(f"[daemon]\nstate_dir = {self.directory}/state\n[pool main]\npath = {self.pool}\nsize = {pool_size}\n"
                               f"capacity_iops = 1000000\ncapacity_bandwidth = 8G\n{extra}")
        self._program = program
        self._process = None

    def start(self, *more):
        with open(self.directory / "viaductd.log", "ab") as log:
            self._process = subprocess.Popen([str(self._program), "--config", str(self.config), "--runtime-dir",
                                              str(self.directory), *more], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while not self.is_ready():
            assert self._process.poll() is None, (self.directory / "viaductd.log").read_text()
            assert time.monotonic() < deadline, "viaductd does not come up"
            time.sleep(0.005)
        return self

    def take_over(self):
        """A successor goes on where this process stands."""
        old = self._process
        self.start("--takeover")
        assert old.wait(PATIENCE) == 0, (self.directory / "viaductd.log").read_text()
        return self

    def is_ready(self):
        """Does the API answer? A socket file may still be the one of a daemon that was killed."""
        with socket.socket(socket.AF_UNIX) as api:
            try:
                api.connect(str(self.directory / "api.sock"))
                api.sendall(b"GET /v1/status HTTP/1.0\r\n\r\n")
                return api.recv(64).startswith(b"HTTP/1.") and self._process.poll() is None
            except OSError:
                return False

    def kill(self):
        self._process.kill()
        self._process.wait()

    def stop(self):
        if self._process.poll() is None:
            self._process.terminate()
        assert self._process.wait(PATIENCE) is not None
