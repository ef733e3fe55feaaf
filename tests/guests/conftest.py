# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the tests with real guests."""
import pathlib
import sys
import tempfile

import pytest

import foreign
import qemu
import viaductd as viaductd_module

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))


@pytest.fixture
def viaductd():
    """Makes daemons: viaductd(sections) is running when it returns; the test's end stops and checks it."""
    made = []

    def make(sections, **options):
        daemon = viaductd_module.Viaductd(sections, **options)
        made.append(daemon)
        return daemon.start()

    yield make
    try:
        for daemon in made:
            # A daemon that died by itself is a failure, whatever the test looked at.
            assert daemon.process.poll() is None, f"viaductd ended with {daemon.process.returncode}:\n{daemon.text()}"
            daemon.stop()
    finally:
        for daemon in made:
            daemon.remove()


@pytest.fixture
def program():
    """A newer QEMU than Debian 12's."""
    try:
        return foreign.qemu()
    except foreign.Unavailable as reason:
        pytest.skip(str(reason))
    raise AssertionError("skip() raises")


@pytest.fixture
def machine():
    """Makes guests: machine(disks, **options) is up when it returns (unless incoming); all end with the test."""
    made = []
    with tempfile.TemporaryDirectory(prefix="viaduct-guest-") as folder:

        def make(disks, **options):
            options.setdefault("name", f"guest{len(made)}")
            guest = qemu.Guest(pathlib.Path(folder), disks, **options)
            made.append(guest)
            return guest.start()

        yield make
        for guest in made:
            guest.stop()


@pytest.fixture
def one_disk(viaductd):
    """A daemon with a pool and one 256 MiB disk, alice/root."""
    return viaductd({
        "pool main": {"path": "FOLDER/main.pool", "size": "1G"},
        "guest alice": {},
        "disk alice/root": {"pool": "main", "size": "256M"},
    })
