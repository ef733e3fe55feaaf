# SPDX-License-Identifier: GPL-2.0-or-later
"""A viaductd with network cards, and guests of our own (viaduct-net-client) on them."""
import json
import pathlib
import signal
import subprocess
import tempfile

from api_daemon import ApiDaemon
from switches import CLIENT_CPU, START_S, BenchError, pin

GUESTS = ("alice", "bob", "carol", "dave", "mallory", "eve")
MACS = {guest: f"52:54:00:00:00:{number:02x}" for number, guest in enumerate(GUESTS, 1)}


class Cards(ApiDaemon):
    """One start of viaductd with a card for each guest. `switch`: its keys; `cards`: {guest: keys of its card}."""

    def __init__(self, build, switch=None, cards=None):
        self.own = tempfile.TemporaryDirectory(prefix="viaduct-net-")
        super().__init__(pathlib.Path(self.own.name))
        self.build, self.switch, self.cards = build, switch or {}, cards or {}

    def write_config(self):
        lines = ["[daemon]", "workers = 1", f"state_dir = {self.folder}/state", "[switch lan]"]
        lines += [f"{key} = {value}" for key, value in self.switch.items()]
        for guest, mac in MACS.items():
            lines += [f"[guest {guest}]", f"[nic {guest}/eth0]", "switch = lan", f"mac = {mac}", f"socket = {self.socket(guest)}"]
            lines += [f"{key} = {value}" for key, value in self.cards.get(guest, {}).items()]
        path = self.folder / "viaduct.conf"
        path.write_text("\n".join(lines) + "\n", encoding="ascii")
        return path

    def __enter__(self):
        self.process = self.spawn([self.build / "src/daemon/viaductd", "--config", self.write_config(),
                                   "--runtime-dir", self.folder / "run"])
        try:
            self.wait(self.answers, "it does not start")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        self.end(self.process)
        self.own.cleanup()

    def card(self, guest):
        """What the daemon tells of a guest's card."""
        return self.get(f"/v1/devices/nic/{guest}/eth0")

    def guests(self, roles, seconds=600.0, frames=0):
        """Guests in their roles: {guest: "flood,carol,64"}. See net_client.c."""
        return Client(self, roles, ["--seconds", f"{seconds:g}", "--frames", str(frames)])

    def run(self, roles, seconds=600.0, frames=0):
        """What the guests report at their end."""
        with self.guests(roles, seconds, frames) as client:
            return client.report()


class Client:
    """The process that all guests are in, beyond its beginning."""

    def __init__(self, cards, roles, options):
        words = [f"{guest},{cards.socket(guest)},{MACS[guest]},{role}" for guest, role in roles.items()]
        self.process = subprocess.Popen([cards.build / "bench/viaduct-net-client", *options, *words], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=pin(CLIENT_CPU), text=True)

    def __enter__(self):
        if self.process.stdout.readline() != "running\n":
            raise BenchError(self.process.communicate()[1].strip())
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.communicate(timeout=START_S)

    def report(self):
        out, err = self.process.communicate()
        if self.process.returncode != 0:
            raise BenchError(err.strip())
        return json.loads(out)
