# SPDX-License-Identifier: GPL-2.0-or-later
"""A network namespace for a daemon and its peers, in which a test may make interfaces; nothing of it is left behind."""
import os
import subprocess

import pytest

from patience import wait_until


def needs_namespaces():
    """Why a test cannot have one, or None."""
    done = subprocess.run(["unshare", "--net", "true"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return None if done.returncode == 0 else f"no right to make a network namespace: {done.stderr.strip()}"


class NetNamespace:
    def __init__(self):
        self._holder = None

    def __enter__(self):
        reason = needs_namespaces()
        if reason:
            pytest.skip(reason)
        self._holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        own = os.readlink("/proc/self/ns/net")
        wait_until(lambda: os.readlink(self.path) != own, "the network namespace is there")
        self.run("ip", "link", "set", "lo", "up")
        return self

    def __exit__(self, *exception):
        self._holder.stdin.close()
        self._holder.wait()

    @property
    def path(self):
        return f"/proc/{self._holder.pid}/ns/net"

    @property
    def pid(self):
        return self._holder.pid

    @property
    def wrapper(self):
        """What to put before a command that is to run here."""
        return ["nsenter", f"--net={self.path}"]

    def run(self, *command, check=True):
        return subprocess.run([*self.wrapper, *command], stdin=subprocess.DEVNULL, check=check,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def link(self, name):
        """What the kernel says of an interface; "" when there is none."""
        done = self.run("ip", "-o", "link", "show", "dev", name, check=False)
        return done.stdout if done.returncode == 0 else ""
