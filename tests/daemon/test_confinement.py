# SPDX-License-Identifier: GPL-2.0-or-later
"""What a bug in the daemon could reach: its rings and system calls, and that what it needs later is there from the start."""
import contextlib
import os
import pathlib

from conftest import basic
from test_reload import reload
from test_takeover import take_over

MIB = 1 << 20


def rings(daemon):
    """How many io_urings it has. They are closed on exec, so none is anybody else's."""
    folder = pathlib.Path(f"/proc/{daemon.pid}/fd")
    count = 0
    for fd in folder.iterdir():
        with contextlib.suppress(OSError):
            count += os.readlink(fd) == "anon_inode:[io_uring]"
    return count


def test_no_ring_is_made_after_the_start(make_daemon, tmp_path):
    daemon = make_daemon({**basic(tmp_path), "daemon": {"workers": 2}})
    made = rings(daemon)
    assert made == 1 + 2 + 1, "the control loop's, the workers', and that of measurements"
    add_measured_pool(daemon, tmp_path, "second")
    assert rings(daemon) == made
    take_over(daemon)
    assert rings(daemon) == made


def add_measured_pool(daemon, tmp_path, name):
    """A pool whose disk nobody knows the speed of: it is measured by the reload that brings it."""
    path = tmp_path / f"{name}.pool"
    path.write_bytes(bytes(64 * MIB))       # no holes, which would tell nothing of the disk
    daemon.sections[f"pool {name}"] = {"path": path, "size": "64M", "capacity_iops": None, "capacity_bandwidth": None}
    since = len(daemon.lines)
    assert reload(daemon)[1] == []
    daemon.wait_line(f"{path}: measured ", since)


def test_a_reload_measures_disks(daemon, tmp_path):
    """Also behind the filter, by which no new ring can be had, and in a successor."""
    add_measured_pool(daemon, tmp_path, "second")
    add_measured_pool(daemon, tmp_path, "third")
    take_over(daemon)
    add_measured_pool(daemon, tmp_path, "fourth")
