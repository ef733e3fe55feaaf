# SPDX-License-Identifier: GPL-2.0-or-later
"""The real daemon, with one pool."""

import pathlib
import subprocess
import time


class Daemon:
    def __init__(self, program, directory, pool_size="1G", extra=""):
        self.directory = pathlib.Path(directory)
        self.pool = self.directory / "main.pool"
        self.config = self.directory / "viaduct.conf"
        self.config.write_text(f"[daemon]\nstate_dir = {self.directory}/state\n[pool main]\npath = {self.pool}\nsize = {pool_size}\n"
                               f"capacity_iops = 1000000\ncapacity_bandwidth = 8G\n{extra}")
        self._program = program
        self._process = None

    def start(self):
        with open(self.directory / "viaductd.log", "ab") as log:
            self._process = subprocess.Popen([str(self._program), "--config", str(self.config), "--runtime-dir",
                                              str(self.directory)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(500):
            if (self.directory / "api.sock").exists():
                return self
            assert self._process.poll() is None, (self.directory / "viaductd.log").read_text()
            time.sleep(0.02)
        raise TimeoutError("viaductd does not come up")

    def kill(self):
        self._process.kill()
        self._process.wait()

    def stop(self):
        if self._process.poll() is None:
            self._process.terminate()
        assert self._process.wait(20) is not None
