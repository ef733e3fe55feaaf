# SPDX-License-Identifier: GPL-2.0-or-later
"""Row D1, metadata: a guest fills the file system that holds the pool's file. Changes of disks need none of its room; pools
whose metadata has no space of its own refuse them until there is room, and nobody else notices. Needs root."""
import contextlib
import os
import subprocess

import pytest

import blk
from daemon import Daemon
from frontend import FrontEnd, Setup
from patience import wait_until
from rows import row_id
from test_environment import mounted

MIB = 1 << 20


def vector(name):
    """Makes the row's name the test's id."""
    return pytest.mark.parametrize("row", [row_id("D1", "metadata", name)], ids=[row_id("D1", "metadata", name)])


@contextlib.contextmanager
def loop_mounted(folder, image, *options):
    """ext4 with `options` on a loop device: without extents it has no fallocate()."""
    with open(image, "wb") as file:
        file.truncate(48 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", *options, str(image)], check=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no loop device: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(params=["tmpfs", "ext4", "without-fallocate"])
def small(request, tmp_path):
    """A small file system; requested before `start`."""
    folder = tmp_path / "small"
    folder.mkdir()
    if request.param == "tmpfs":
        file_system = mounted("tmpfs", folder, "size=48m")
    else:
        options = ["-O", "^extent,^64bit"] if request.param == "without-fallocate" else []
        file_system = loop_mounted(folder, tmp_path / "image", *options)
    with file_system:
        yield folder


@pytest.fixture
def start(tmp_path):
    """start(more sections): a daemon that also has a healthy pool."""
    with contextlib.ExitStack() as stack:
        def run(more):
            daemon = Daemon({"pool good": {"path": tmp_path / "good.pool", "size": "64M"},
                             "guest victim": {}, "disk victim/root": {"pool": "good", "size": "8M"}, **more}, tmp_path)
            stack.callback(daemon.finish)
            return daemon.start()
        yield run


def fill(folder):
    """Takes all room of a file system with a file that is returned."""
    path = folder / "fills"
    with open(path, "ab", buffering=0) as file:
        for size in (MIB, 4096):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\xF1" * size)
        os.fsync(file.fileno())
    return path


def thin(folder):
    return {"pool thin": {"path": folder / "thin.pool", "size": "16G"},
            "disk alice/root": {"pool": "thin", "size": "96M"},
            "guest alice": {}, "guest bob": {}, "disk bob/root": {"pool": "thin", "size": "16M"}}


def create(daemon, name):
    return daemon.api("POST", "/v1/disks", {"name": name, "pool": "thin", "size_bytes": MIB + 4096})


def names(daemon):
    return {disk["name"] for disk in daemon.api("GET", "/v1/disks")[1]["disks"]}


def write_until_full(disk):
    for step in range(96):
        if disk.do(blk.OUT, step * 2048, b"\xA1" * MIB)[0] != blk.OK:
            return
    pytest.fail("the file system did not fill up")


def rewrite(daemon, byte):
    """Bob, who has space, and a guest of another pool write, flush and read."""
    for name in ("bob/root", "victim/root"):
        with FrontEnd.start(daemon.socket(name), Setup()) as front:
            front.disk().write(0, byte * 4096)
            front.disk().flush()
            assert front.disk().read(0, 8) == byte * 4096


@vector("has-space-from-the-start")
def test_environment_metadata_has_space(small, start, row):
    """The pool's metadata needs no room: disks are made, grown and deleted while there is none."""
    daemon = start(thin(small))
    rewrite(daemon, b"\xB0")
    with FrontEnd.start(daemon.socket("alice/root"), Setup()) as front:
        write_until_full(front.disk())
        fill(small)
        rewrite(daemon, b"\xB1")
        for turn in range(120):         # more than the log holds without a checkpoint
            status, answer = create(daemon, "bob/two")
            assert status == 201, answer
            status, answer = daemon.api("PATCH", "/v1/disks/bob/two", {"size_bytes": 3 * MIB})
            assert status == 200, answer
            status, answer = daemon.api("DELETE", "/v1/disks/bob/two")
            assert status in (200, 202, 204), answer
            wait_until(lambda: "bob/two" not in names(daemon), "the disk is deleted")
        rewrite(daemon, b"\xB2")
        # what is given back can be written again
        assert front.disk().discard((0, 2048)) == blk.OK
        assert front.disk().do(blk.OUT, 8, b"\xA2" * 4096)[0] == blk.OK
    assert create(daemon, "bob/four")[0] == 201
    daemon.restart()
    assert {"alice/root", "bob/root", "bob/four"} <= names(daemon)


@vector("without-space")
def test_environment_metadata_without_space(small, start, row):
    """A pool that never had the space: changes are refused with what to do, and made when there is room."""
    daemon = start(thin(small))
    rewrite(daemon, b"\xB0")
    daemon.stop()
    # zeroes become holes, as if the pool had been made without
    subprocess.run(["fallocate", "--dig-holes", "-o", "0", "-l", str(24 * MIB), str(small / "thin.pool")], check=True)
    filler = fill(small)
    daemon.start()
    daemon.wait_line("cannot be reserved for the pool's metadata: No space left on device")
    before = len(daemon.lines)
    for turn in range(3):
        status, answer = create(daemon, "bob/two")
        assert status == 507 and "make room there and try again" in answer["error"], answer
        rewrite(daemon, bytes([turn + 1]))
        assert "bob/two" not in names(daemon)
    assert len(daemon.lines_about("no room for the pool's metadata", before)) == 1
    filler.unlink()
    assert create(daemon, "bob/two")[0] == 201
    daemon.wait_line("there is room for the pool's metadata again", before)
    fill(small)
    assert create(daemon, "bob/three")[0] == 201, "the space was not reserved when there was some"
    rewrite(daemon, b"\xB3")
    daemon.restart()
    assert {"bob/root", "bob/two", "bob/three"} <= names(daemon)


@pytest.mark.parametrize("row", [row_id("D1", "metadata", "new-pool")], ids=[row_id("D1", "metadata", "new-pool")])
def test_environment_new_pool_without_room(tmp_path, start, row):
    """A pool is made with its space or not at all, and made when there is room."""
    folder = tmp_path / "small"
    folder.mkdir()
    with mounted("tmpfs", folder, "size=4m"):
        daemon = start({"pool thin": {"path": folder / "thin.pool", "size": "16G"}, "guest alice": {}})
        status, answer = create(daemon, "alice/two")
        assert status == 503 and "has no room for the pool's metadata" in answer["error"], answer
        subprocess.run(["mount", "-o", "remount,size=16m", str(folder)], check=True)
        assert daemon.api("POST", "/v1/reload")[0] == 200
        assert create(daemon, "alice/two")[0] == 201
        daemon.stop()
