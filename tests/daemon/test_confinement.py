# SPDX-License-Identifier: GPL-2.0-or-later
"""What a bug in the daemon could reach: its rings, system calls and files, and that what it needs later is there from the
start."""
import contextlib
import os
import pathlib

import pytest

from conftest import basic
from daemon import Daemon
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
    assert made == 1 + 2 + 4, "the control loop's, the workers', and the spare workers'"
    add_pool(daemon, tmp_path, "second")
    assert rings(daemon) == made
    take_over(daemon)
    assert rings(daemon) == made


def add_pool(daemon, tmp_path, name):
    daemon.sections[f"pool {name}"] = {"path": tmp_path / f"{name}.pool", "size": "64M"}
    assert reload(daemon) == ([f"pool {name}: opened {tmp_path}/{name}.pool"], [])


# ---- files ----

REFUSAL = "is in a directory that the sandbox of this start does not reach; restart, or take over with viaductd --takeover"


@pytest.fixture
def elsewhere(tmp_path_factory):
    """A directory that no path of the configuration is in; with a disk's file."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "whole.raw").write_bytes(bytes(MIB))
    return folder


def need_landlock(daemon):
    if "no Landlock" in daemon.text():
        pytest.skip("this kernel has no Landlock")


def ask_for_new_places(daemon, elsewhere):
    """Everything of a configuration that has a path, in a directory that is new to it."""
    daemon.sections["pool far"] = {"path": elsewhere / "far.pool", "size": "64M"}
    daemon.sections["guest bob"] = {}
    daemon.sections["disk bob/whole"] = {"path": elsewhere / "whole.raw"}
    daemon.sections["disk bob/near"] = {"pool": "main", "size": "1M", "socket": elsewhere / "near.sock"}
    daemon.sections["nic bob/eth0"] = {"switch": "lan", "mirror": elsewhere / "eth0.pcapng"}


NEW_PLACES = ("pool far", "far.pool"), ("disk bob/whole", "whole.raw"), ("disk bob/near", "near.sock"), ("nic bob/eth0", "eth0.pcapng")


def check_refused(daemon, elsewhere):
    refused = reload(daemon)[1]
    for subject, name in NEW_PLACES:
        lines = [line for line in refused if line.startswith(subject) and f"{elsewhere / name} {REFUSAL}" in line]
        assert len(lines) == 1, (subject, refused)
    assert [path.name for path in elsewhere.iterdir()] == ["whole.raw"]


def check_served(daemon, elsewhere):
    assert daemon.api("GET", "/v1/pools/far")[1]["available"]
    assert daemon.socket("bob/whole").is_socket() and (elsewhere / "near.sock").is_socket()
    daemon.wait_line(f"mirror {elsewhere}/eth0.pcapng: begins")


@pytest.mark.parametrize("again", [Daemon.restart, take_over], ids=["restart", "takeover"])
def test_a_reload_reaches_no_new_directory(make_daemon, tmp_path, elsewhere, again):
    """It says what would; root may open each of these files."""
    daemon = make_daemon({**basic(tmp_path), "switch lan": {"uplink": "none"}})
    need_landlock(daemon)
    ask_for_new_places(daemon, elsewhere)
    check_refused(daemon, elsewhere)
    daemon.sections["disk alice/root"]["socket"] = elsewhere / "root.sock"
    assert f"disk alice/root: {elsewhere}/root.sock {REFUSAL}" in reload(daemon)[1]
    assert daemon.socket("alice/root").is_socket(), "it stays where it was"
    again(daemon)
    check_served(daemon, elsewhere)


def test_a_reload_reads_no_new_directory(daemon, tmp_path, elsewhere):
    need_landlock(daemon)
    (elsewhere / "bob.conf").write_text("[guest bob]\n")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/bob.conf").symlink_to(elsewhere / "bob.conf")
    status, answer = daemon.api("POST", "/v1/reload")
    assert status != 200 and "conf.d/bob.conf" in str(answer) and "a reload reads only where files were at the start" in str(answer)
    daemon.restart()
    assert reload(daemon) == ([], [])


def test_without_the_sandbox_a_reload_reaches_everything(make_daemon, tmp_path, elsewhere):
    daemon = make_daemon({**basic(tmp_path), "switch lan": {"uplink": "none"}, "daemon": {"sandbox": "no"}})
    ask_for_new_places(daemon, elsewhere)
    assert reload(daemon)[1] == []
    check_served(daemon, elsewhere)


def test_a_successor_started_by_anybody_takes_the_files_over(make_daemon, tmp_path, elsewhere):
    """What the predecessor has open needs no rule."""
    daemon = make_daemon({**basic(tmp_path), "disk alice/whole": {"path": elsewhere / "whole.raw"}})
    elsewhere.chmod(0)
    try:
        take_over(daemon)
        assert daemon.socket("alice/whole").is_socket()
    finally:
        elsewhere.chmod(0o700)


def test_threads_have_names(make_daemon, tmp_path):
    """They are seen in top(1), and give themselves their names: /proc is not to be written to."""
    daemon = make_daemon({**basic(tmp_path), "daemon": {"workers": 2, "sandbox": "yes"}, "guest alice": {"own_worker": "yes"}})
    names = {(task / "comm").read_text().strip() for task in pathlib.Path(f"/proc/{daemon.pid}/task").iterdir()}
    assert names >= {"worker-0", "worker-1", "own-0", "quarantine-0", "reaper", "rescue", "pool-journal"}
