# SPDX-License-Identifier: GPL-2.0-or-later
"""A network namespace for a daemon and its peers, in which a test may make interfaces; nothing of it is left behind."""
import subprocess


class NetNamespace:
    def __init__(self):
        self._holder = None

    def refused(self, reason):
        """Does not return. A program that is no test does something else here."""
        import pytest  # pylint: disable=import-outside-toplevel
        pytest.skip(f"no right to make a network namespace: {reason}")

    def __enter__(self):
        self._holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo ready; exec cat"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if self._holder.stdout.readline() != b"ready\n":
            self.refused(self._holder.communicate()[1].decode().strip())
        self.run("ip", "link", "set", "lo", "up")
        return self

    def __exit__(self, *exception):
        self._holder.communicate()

    @property
    def pid(self):
        return self._holder.pid

    @property
    def wrapper(self):
        """What to put before a command that is to run here."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net"]

    def run(self, *command, check=True):
        done = subprocess.run([*self.wrapper, *command], stdin=subprocess.DEVNULL, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}, {done.stdout.strip()}")
        return done

    def link(self, name):
        """What the kernel says of an interface; "" when there is none."""
        done = self.run("ip", "-o", "link", "show", "dev", name, check=False)
        return done.stdout if done.returncode == 0 else ""

    def address(self, interface, address):
        """Gives an interface an address, as "10.9.0.1/24", and sets it up."""
        self.run("ip", "address", "add", address, "dev", interface)
        self.run("ip", "link", "set", interface, "up")
