# SPDX-License-Identifier: GPL-2.0-or-later
"""Row D4, metadata: a pool's disk hangs while disks are to be made, grown, renamed or deleted there. That is refused, and shown,
until it answers again; other pools and their guests notice nothing. Needs root."""
import contextlib
import os
import subprocess
import threading

import pytest

import blk
from daemon import Daemon, build_directory
from frontend import FrontEnd, Setup
from fuse_disk import FuseDisk
from patience import PATIENCE_S, wait_until
from rows import row_id
from test_full_file_system import loop_mounted

MIB = 1 << 20


class Frozen:
    """A file system of its own that fsfreeze(8) stops."""

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "far.pool"
        self.frozen = False

    def hang(self):
        subprocess.run(["fsfreeze", "-f", str(self.folder)], check=True)
        self.frozen = True

    def go_on(self):
        if self.frozen:
            subprocess.run(["fsfreeze", "-u", str(self.folder)], check=True)
        self.frozen = False


class Mute:
    """A disk whose server answers no transfer."""

    def __init__(self, disk):
        self.disk, self.path = disk, disk.path

    def hang(self):
        self.disk.tell("hang")

    def go_on(self):
        self.disk.tell("ok")


@pytest.fixture(params=["frozen", "mute"])
def far(request, tmp_path):
    """A physical disk that can be told to hang; requested before the daemon, which it outlives."""
    with contextlib.ExitStack() as stack:
        if request.param == "frozen":
            folder = tmp_path / "far"
            folder.mkdir()
            stack.enter_context(loop_mounted(folder, tmp_path / "image"))
            disk = Frozen(folder)
        else:
            disk = Mute(stack.enter_context(FuseDisk(32 * MIB)))
        stack.callback(disk.go_on)
        yield disk


@pytest.fixture
def daemon(far, tmp_path):
    sections = {"pool near": {"path": tmp_path / "near.pool", "size": "64M"}, "pool far": {"path": far.path, "size": "32M"},
                "guest victim": {}, "disk victim/root": {"pool": "near", "size": "8M"}, "guest alice": {}}
    result = Daemon(sections, tmp_path)
    result.start()
    assert create(result, "alice/data", "far")[0] == 201
    yield result
    far.go_on()
    result.finish()


def create(daemon, name, pool):
    return daemon.api("POST", "/v1/disks", {"name": name, "pool": pool, "size_bytes": 4 * MIB})


def pool(daemon, name):
    return daemon.api("GET", f"/v1/pools/{name}")[1]


def viaduct(daemon, *words):
    done = subprocess.run([build_directory() / "src/cli/viaduct", "--runtime-dir", daemon.runtime, *words],
                          capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    return done.stdout + done.stderr


@pytest.mark.parametrize("row", [row_id("D4", "metadata")], ids=[row_id("D4", "metadata")])
def test_environment_metadata_of_a_disk_that_hangs(far, daemon, row):
    assert "silent_ns" not in pool(daemon, "far")
    far.hang()
    changes = [("POST", "/v1/disks", {"name": "alice/more", "pool": "far", "size_bytes": 4 * MIB}),
               ("PATCH", "/v1/disks/alice/data", {"size_bytes": 6 * MIB}),
               ("PATCH", "/v1/disks/alice/data", {"name": "alice/other"}), ("DELETE", "/v1/disks/alice/data", None)]
    for method, path, body in changes:
        status, answer = daemon.api(method, path, body)
        assert status == 503 and "has not answered for" in answer["error"] and "try again" in answer["error"]
    assert [disk["name"] for disk in daemon.api("GET", "/v1/disks")[1]["disks"]] == ["victim/root", "alice/data"]
    assert len(daemon.lines_about("until it does, disks there cannot be made")) == 1
    # It is shown, and it is nobody else's trouble.
    assert pool(daemon, "far")["silent_ns"] > 1e9 and "silent_ns" not in pool(daemon, "near")
    assert daemon.metrics()['viaduct_pool_silent_seconds{pool="far"}'] > 1
    assert f"{far.path}: has not answered for" in viaduct(daemon, "pool", "list")
    assert "the disk has not answered for" in viaduct(daemon, "pool", "show", "far")
    assert create(daemon, "victim/more", "near")[0] == 201
    with FrontEnd.start(daemon.socket("victim/more"), Setup()) as front:
        data = os.urandom(4096)
        front.disk().write(0, data)
        assert front.disk().submit(blk.FLUSH, 0) and front.disk().read(0, 8) == data
    # What was refused is tried again.
    far.go_on()
    wait_until(lambda: "silent_ns" not in pool(daemon, "far"), "the disk answers again")
    assert daemon.wait_line("answers again, after")
    for method, path, body in changes[:3]:
        assert daemon.api(method, path, body)[0] in (200, 201, 202)
    wait_until(lambda: daemon.api("GET", "/v1/disks/alice/other")[0] == 200, "the disk has its new name")
    for name in "alice/more", "victim/more":
        wait_until(lambda name=name: daemon.api("DELETE", f"/v1/disks/{name}")[0] == 404, f"{name} is gone")


class Asked:
    """A request that waits for its answer while others are made."""

    def __init__(self, call, *arguments):
        self.answer = None
        self.thread = threading.Thread(target=lambda: setattr(self, "answer", call(*arguments)))
        self.thread.start()

    def waits(self):
        return self.thread.is_alive()

    def status(self):
        self.thread.join(PATIENCE_S)
        assert not self.waits()
        return self.answer[0]


@pytest.mark.parametrize("row", [row_id("D4", "waiting")], ids=[row_id("D4", "waiting")])
def test_environment_others_ask_while_a_disk_hangs(far, daemon, row):
    """A change waits for its disk, and the API for nobody."""
    far.hang()
    asked = [Asked(create, daemon, f"alice/more{number}", "far") for number in range(3)]
    for number in range(3):
        assert create(daemon, f"victim/more{number}", "near")[0] == 201
    assert all(one.waits() for one in asked)
    # The disk answers in time.
    far.go_on()
    assert [one.status() for one in asked] == [201] * 3
    far.hang()
    asked = Asked(daemon.api, "DELETE", "/v1/disks/alice/more0", None)
    assert daemon.api("GET", "/v1/status")[0] == 200
    assert asked.waits() and asked.status() == 503
    far.go_on()
    wait_until(lambda: "silent_ns" not in pool(daemon, "far"), "the disk answers again")
    for name in [f"{guest}/more{number}" for guest in ("alice", "victim") for number in range(3)]:
        assert daemon.api("DELETE", f"/v1/disks/{name}")[0] in (200, 202)
