# SPDX-License-Identifier: GPL-2.0-or-later
"""Configurations that cannot be served as they are written: refused with file and line, by --check, start and reload."""
import subprocess

import pytest

from conftest import basic
from frontend import FrontEnd

MIB = 1 << 20


def line_of(daemon, section, key):
    """The number of the line of a key in a section of the configuration."""
    inside = False
    for number, line in enumerate(daemon.config.read_text().splitlines(), 1):
        if line.startswith("["):
            inside = line == f"[{section}]"
            if inside and not key:
                return number
        elif inside and line.startswith(f"{key} = "):
            return number
    raise KeyError(f"{section} {key}")


def run(daemon, *arguments):
    return subprocess.run(daemon.command(*arguments), capture_output=True, text=True, timeout=60)


def expect_refused(daemon, message):
    """By --check and by a start, which writes nothing."""
    before = {path: path.stat().st_size for path in daemon.folder.rglob("*.pool")}
    for arguments in ["--check"], []:
        done = run(daemon, *arguments)
        said = [line.removeprefix("viaductd: error: ") for line in done.stderr.splitlines()]
        assert done.returncode == 1 and message in said, done.stderr
    assert {path: path.stat().st_size for path in daemon.folder.rglob("*.pool")} == before


def expect_reload_refused(daemon, message):
    daemon.write_config()
    status, answer = daemon.api("POST", "/v1/reload")
    assert status == 422 and message in answer["errors"], answer


@pytest.mark.parametrize("socket", ["{}/run/bob/disk-root.sock", "{}/run/../run/bob/disk-root.sock", "{}/link/bob/disk-root.sock"])
def test_socket_is_the_default_of_another(make_daemon, tmp_path, socket):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    sections = basic(tmp_path)
    sections["guest bob"] = {}
    sections["disk bob/root"] = {"pool": "main", "size": "1M"}
    sections["disk alice/root"]["socket"] = socket.format(tmp_path)
    daemon = make_daemon(sections, start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, 'disk alice/root', 'socket')}: socket "
                           f"{tmp_path}/run/bob/disk-root.sock is that of [disk bob/root] at "
                           f"{daemon.config}:{line_of(daemon, 'disk bob/root', '')} already; give each device its own")
    del sections["disk alice/root"]["socket"]
    daemon.write_config()
    daemon.start()
    sections["disk alice/root"]["socket"] = socket.format(tmp_path)
    daemon.write_config()
    expect_reload_refused(daemon, f"{daemon.config}:{line_of(daemon, 'disk alice/root', 'socket')}: socket "
                                  f"{tmp_path}/run/bob/disk-root.sock is that of [disk bob/root] at "
                                  f"{daemon.config}:{line_of(daemon, 'disk bob/root', '')} already; give each device its own")


def test_socket_is_the_daemons_own(make_daemon, tmp_path):
    sections = basic(tmp_path)
    sections["disk alice/root"]["socket"] = f"{tmp_path}/run/api.sock"
    daemon = make_daemon(sections, start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, 'disk alice/root', 'socket')}: socket "
                           f"{tmp_path}/run/api.sock is the daemon's own; give the device another one")


def test_socket_of_an_undeclared_disk(make_daemon, tmp_path):
    sections = basic(tmp_path)
    sections["disk alice/root"]["socket"] = f"{tmp_path}/run/alice/disk-more.sock"
    daemon = make_daemon(sections)
    status, answer = daemon.api("POST", "/v1/disks", {"name": "alice/more", "pool": "main", "size_bytes": MIB})
    assert status >= 400 and "disk-more.sock is that of alice/root" in answer["error"], answer
    assert "error" not in daemon.api("GET", "/v1/disks/alice/root")[1]


def test_path_beside_a_disk_of_the_same_name(make_daemon, tmp_path):
    sections = basic(tmp_path)
    daemon = make_daemon(sections)
    assert daemon.stop() == 0
    (tmp_path / "own.raw").write_bytes(bytes(MIB))
    sections["disk alice/root"] = {"path": tmp_path / "own.raw"}
    daemon.write_config()
    message = (f"{daemon.config}:{line_of(daemon, 'disk alice/root', 'path')}: [disk alice/root] has a path, but pool main "
               "holds a disk of that name; write pool = main to use it, or rename either")
    expect_refused(daemon, message)

    sections["disk alice/root"] = {"pool": "main", "size": "8M"}
    daemon.write_config()
    daemon.start()
    sections["disk alice/root"] = {"path": tmp_path / "own.raw"}
    expect_reload_refused(daemon, message)
    # Nor may a name that the configuration gives to a path become that of a disk in a pool.
    del sections["disk alice/root"]
    sections["disk alice/own"] = {"path": tmp_path / "own.raw"}
    daemon.write_config()
    assert daemon.api("POST", "/v1/reload")[0] == 200
    for method, url, body in (("POST", "/v1/disks", {"name": "alice/own", "pool": "main", "size_bytes": MIB}),
                              ("PATCH", "/v1/disks/alice/root", {"name": "alice/own"})):
        assert daemon.api(method, url, body)[0] == 409


def test_a_refused_successor_leaves_the_guests_alone(daemon, tmp_path):
    (tmp_path / "own.raw").write_bytes(bytes(MIB))
    with FrontEnd.start(daemon.socket("alice/root")) as front:
        front.disk().write(0, b"a" * 4096)
        daemon.sections["disk alice/root"] = {"path": tmp_path / "own.raw"}
        daemon.write_config()
        done = run(daemon, "--takeover")
        assert done.returncode == 1 and "holds a disk of that name" in done.stderr, done.stderr
        assert front.disk().read(0, 8) == b"a" * 4096
    assert (daemon.runtime / "daemon.lock").exists()
    assert "another viaductd serves" in run(daemon).stderr


def test_path_beside_a_disk_of_a_pool_that_comes_later(make_daemon, tmp_path):
    sections = basic(tmp_path)
    daemon = make_daemon(sections)
    assert daemon.stop() == 0
    (tmp_path / "own.raw").write_bytes(bytes(MIB))
    del sections["pool main"]
    sections["disk alice/root"] = {"path": tmp_path / "own.raw"}
    daemon.write_config()
    daemon.start()
    sections["pool main"] = {"path": tmp_path / "main.pool", "size": "64M"}
    daemon.write_config()
    answer = daemon.api("POST", "/v1/reload")[1]
    assert answer["refused"] == [
        f"{daemon.config}:{line_of(daemon, 'disk alice/root', 'path')}: [disk alice/root] has a path, but pool main holds a "
        "disk of that name; write pool = main to use it, or rename either"]
    disk, = daemon.api("GET", "/v1/disks")[1]["disks"]
    assert disk["size_bytes"] == MIB


@pytest.mark.parametrize("size", ["64M", "1T"])
def test_disk_larger_than_its_pool(make_daemon, tmp_path, size):
    sections = basic(tmp_path)
    sections["disk alice/root"]["size"] = size
    daemon = make_daemon(sections, start=False)
    message = (f"{daemon.config}:{line_of(daemon, 'disk alice/root', 'size')}: size = {size} of [disk alice/root] is larger than "
               f"[pool main] at {daemon.config}:{line_of(daemon, 'pool main', '')}, which has room for 63M; make the disk "
               "smaller or the pool larger")
    expect_refused(daemon, message)
    sections["disk alice/root"]["size"] = "8M"
    daemon.write_config()
    daemon.start()
    sections["disk alice/root"]["size"] = size
    expect_reload_refused(daemon, message)


def test_the_real_size_of_a_pool_counts(make_daemon, tmp_path):
    """A pool is never shrunk, so that a disk may be larger than the size in the configuration; and all of it is used."""
    sections = basic(tmp_path)
    daemon = make_daemon(sections)
    sections["pool main"]["size"] = "200M"
    daemon.write_config()
    assert daemon.api("POST", "/v1/reload")[0] == 200
    room = daemon.api("GET", "/v1/pools/main")[1]["free_bytes"] + 8 * MIB
    sections["disk alice/root"]["size"] = room
    daemon.write_config()
    assert daemon.api("POST", "/v1/reload")[1]["changes"] == ["disk alice/root: grew"]
    assert daemon.stop() == 0
    sections["pool main"]["size"] = "64M"
    daemon.write_config()
    assert run(daemon, "--check").returncode == 0
    daemon.start()
    assert daemon.api("GET", "/v1/disks/alice/root")[1]["size_bytes"] == room
    assert daemon.stop() == 0
    sections["disk alice/root"]["size"] = room + 1
    daemon.write_config()
    done = run(daemon, "--check")
    assert done.returncode == 1 and f"{daemon.config}:{line_of(daemon, 'disk alice/root', 'size')}: size = " in done.stderr


def test_check_names_what_a_format_would_destroy(make_daemon, tmp_path):
    (tmp_path / "main.pool").write_bytes(b"QFI\xfb" + bytes(64 * MIB))
    daemon = make_daemon(start=False)
    done = run(daemon, "--check")
    assert done.returncode == 1
    assert done.stderr == (f"{daemon.config}:{line_of(daemon, 'pool main', '')}: pool main: {tmp_path}/main.pool holds a qcow2 disk "
                           "image; name another path, or use --force-format main if that may be lost\n")
    done = run(daemon, "--check", "--force-format", "main")
    assert done.returncode == 0
    assert f"pool main: format {tmp_path}/main.pool, which destroys a qcow2 disk image\n" in done.stdout
    (tmp_path / "main.pool").write_bytes(bytes(64 * MIB))
    assert f"pool main: format {tmp_path}/main.pool, which is blank\n" in run(daemon, "--check").stdout
