# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that hold guests' data are for their owner only, whatever the umask is."""

import os
import stat

import pytest

MIB = 1 << 20


@pytest.fixture(autouse=True)
def open_umask():
    """Forbids nothing: each mode is the program's own choice."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def disk(viaduct, daemon):
    assert viaduct("disk", "create", "alice/root", "--pool", "main", "--size", "1M").code == 0
    return "alice/root"


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("name", ["out", "out.qcow2"])
def test_new_export_is_private(viaduct, disk, tmp_path, name):
    out = tmp_path / name
    assert viaduct("disk", "export", disk, out).code == 0
    assert mode(out) == 0o600
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["out", "out.qcow2"])
def test_link_is_neither_replaced_nor_followed(viaduct, disk, tmp_path, name):
    out, victim = tmp_path / name, tmp_path / "victim"
    victim.write_text("precious")
    out.symlink_to(victim)
    refused = viaduct("disk", "export", disk, out, "--overwrite")
    assert refused.code == 1 and "name the file that it leads to" in refused.err
    assert out.is_symlink()
    assert victim.read_text() == "precious" and mode(victim) == 0o666


@pytest.mark.parametrize("name", ["out", "out.qcow2"])
@pytest.mark.parametrize("old_mode", [0o644, 0o640, 0o600, 0o400])
def test_replaced_file_hands_its_mode_on(viaduct, disk, tmp_path, name, old_mode):
    out = tmp_path / name
    out.write_text("old")
    out.chmod(old_mode)
    if os.geteuid() == 0:
        os.chown(out, 1234, 2345)
    before = out.stat()
    assert viaduct("disk", "export", disk, out, "--overwrite").code == 0
    after = out.stat()
    assert after.st_ino != before.st_ino and after.st_size >= 3
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_pool_and_state_are_private(viaduct, daemon, disk):
    assert viaduct("disk", "set", disk, "weight=200").code == 0
    assert mode(daemon.pool) == 0o600
    files = [path for path in (daemon.directory / "state").rglob("*") if path.is_file()]
    assert files and {mode(path) for path in files} == {0o600}


def test_capture_is_private(viaduct, api, short_dir):
    api.answer("POST", "/v1/nics/alice/eth0/capture", b"\n\r\r\n\x1c\0\0\0\x4d\x3c\x2b\x1a\1\0\0\0" + b"\xff" * 8 + b"\x1c\0\0\0")
    viaduct("capture", "alice/eth0", "-w", short_dir / "file")
    assert mode(short_dir / "file") == 0o600
