# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of the `viaduct` command: against a fake API here, against the real daemon in test_import_export.py."""

import os
import pathlib
import subprocess
import tempfile

import pytest

from fake_api import FakeApi
from real_daemon import Daemon

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("VIADUCT_BUILD", ROOT / "build"))


class Result:
    def __init__(self, process):
        self.code = process.returncode
        self.out = process.stdout
        self.err = process.stderr


class Viaduct:
    """Runs the command with a runtime directory."""

    def __init__(self, runtime_dir):
        self.program = BUILD / "src/cli/viaduct"
        self.runtime_dir = pathlib.Path(runtime_dir)

    def __call__(self, *arguments, **options):
        return Result(subprocess.run([str(self.program), "--runtime-dir", str(self.runtime_dir), *map(str, arguments)],
                                     capture_output=True, text=True, timeout=600, check=False, **options))


@pytest.fixture
def short_dir():
    """A directory whose name leaves room for sockets (108 bytes)."""
    with tempfile.TemporaryDirectory(prefix="viaduct-cli-") as directory:
        yield pathlib.Path(directory)


@pytest.fixture
def viaduct(short_dir):
    return Viaduct(short_dir)


@pytest.fixture
def api(short_dir):
    with FakeApi(short_dir / "api.sock") as fake:
        yield fake


@pytest.fixture
def daemon(short_dir):
    """The real one, with a guest without disks."""
    daemon = Daemon(BUILD / "src/daemon/viaductd", short_dir, extra="[guest alice]\n").start()
    yield daemon
    daemon.stop()
