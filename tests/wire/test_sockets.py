# SPDX-License-Identifier: GPL-2.0-or-later
"""Where connections come from: sockets of our own, inherited ones, and client mode. Each test has its own daemon."""
import os
import socket
import stat
import time

import pytest

from daemon import Daemon
from frontend import FrontEnd, Setup
from patience import PATIENCE_S
from vhost_user import Connection


def sections(folder, **disk):
    return {"pool main": {"path": folder / "main.pool", "size": "64M"},
            "guest alice": {}, "disk alice/root": {"pool": "main", "size": "4M", **disk}}


def exchange(front):
    front.disk().write(0, b"\x71" * 4096)
    assert front.disk().read(0, 8) == b"\x71" * 4096


@pytest.fixture
def run(tmp_path):
    """Starts a daemon in tmp_path; it is ended and checked afterwards."""
    started = []

    def start(keys, **options):
        started.append(Daemon(keys, tmp_path, **options))
        return started[-1].start()

    yield start
    for daemon in started:
        daemon.finish()


def test_inherited_listening_socket(run, tmp_path):
    """As a service manager passes it: descriptor 3, named after the disk."""
    path = tmp_path / "inherited.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(4)
    daemon = run(sections(tmp_path), preexec=lambda: os.dup2(listener.fileno(), 3), pass_fds=(3, listener.fileno()),
                 wrapper=["/bin/sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=alice/disk-root exec "$@"', "sh"])
    listener.close()
    # where it is, and not where it would be
    daemon.wait_line(f"alice/disk-root: listening on {path}")
    assert daemon.api("GET", "/v1/disks/alice/root")[1]["socket"] == str(path)
    for _ in range(2):
        with FrontEnd.start(path) as front:
            exchange(front)


def test_client_mode(run, tmp_path):
    """We connect to the VMM's socket, wait when it is not there yet, and come back when it went away."""
    path = tmp_path / "vmm.sock"
    run(sections(tmp_path, connect=path))
    time.sleep(0.15)            # it was not there when the daemon tried first
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    listener.settimeout(PATIENCE_S)
    for _ in range(2):
        sock, _ = listener.accept()
        with FrontEnd.start(path, Setup(), sock=sock) as front:
            exchange(front)
    listener.close()


def test_socket_of_ones_own(run, tmp_path):
    path = tmp_path / "own.sock"
    run(sections(tmp_path, socket=path))
    with FrontEnd.start(path) as front:
        exchange(front)


def test_permissions(run, tmp_path):
    """Nobody else may connect, unless the configuration says so."""
    keys = sections(tmp_path)
    keys["guest bob"] = {"socket_mode": "0660"}
    keys["disk bob/root"] = {"pool": "main", "size": "4M"}
    daemon = run(keys)
    assert stat.S_IMODE(os.stat(daemon.socket("alice/root")).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(daemon.socket("bob/root")).st_mode) == 0o660


def test_stale_socket_is_replaced(run, tmp_path):
    """Left by a daemon that was killed."""
    daemon = run(sections(tmp_path))
    daemon.restart()
    with FrontEnd.start(daemon.socket("alice/root")) as front:
        exchange(front)


def test_socket_in_use_is_left_alone(tmp_path):
    """A second daemon does not take a running one's place."""
    first = Daemon(sections(tmp_path), tmp_path).start()
    try:
        second = first.spawn()
        second.wait(PATIENCE_S)
        assert second.returncode not in (0, None)
        assert second.stderr.read(), "no reason given"
        with FrontEnd.start(first.socket("alice/root")) as front:
            exchange(front)
    finally:
        first.finish()


def test_end_removes_sockets(run, tmp_path):
    daemon = run(sections(tmp_path))
    path = daemon.socket("alice/root")
    connection = Connection.open(path)
    assert daemon.stop() == 0
    assert connection.wait_closed()
    connection.close()
    assert not path.exists()
