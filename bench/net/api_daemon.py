# SPDX-License-Identifier: GPL-2.0-or-later
"""A start of viaductd that a benchmark asks over its API."""
import http.client
import json
import socket

from switches import BenchError, Switch


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


class ApiDaemon(Switch):
    """Its runtime directory is `run` in its folder."""
    name = "viaduct"

    def get(self, path):
        connection = Connection(self.folder / "run/api.sock")
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def answers(self):
        if self.process.poll() is not None:
            raise BenchError(f"{self.name}: it ended with {self.process.returncode}")
        try:
            return "pid" in self.get("/v1/status")
        except OSError:
            return False
