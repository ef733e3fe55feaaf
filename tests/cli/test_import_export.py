# SPDX-License-Identifier: GPL-2.0-or-later
"""Import and export through the real daemon: bytes, holes, sizes, interruption."""

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import time

import pytest

from real_daemon import PATIENCE

MIB = 1 << 20
SLOW_BYTES = 64 * MIB


@pytest.fixture
def slow_down(viaduct):
    """Makes alice's disks so slow that SLOW_BYTES take 16 s: a signal finds them being copied."""
    def limit():
        assert viaduct("guest", "set", "alice", "max_bandwidth=4M").code == 0

    return limit


def sparse_image(path, size, pieces, seed=1):
    """A file of `size` bytes with random data at `pieces` (offset, length); the rest are holes."""
    block = random.Random(seed).randbytes(MIB)
    with open(path, "wb") as image:
        image.truncate(size)
        for offset, length in pieces:
            image.seek(offset)
            for at in range(0, length, MIB):
                image.write(block[:length - at])
    return path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def disks(viaduct):
    return {disk["name"]: disk for disk in json.loads(viaduct("disk", "list", "--json").out)["disks"]}


def writing(daemon, name):
    """Has something been written yet? Asks the API itself: a process for each look would take too long here."""
    with socket.socket(socket.AF_UNIX) as api:
        api.connect(str(daemon.directory / "api.sock"))
        api.sendall(f"GET /v1/disks/{name} HTTP/1.0\r\n\r\n".encode())
        answer = b""
        while chunk := api.recv(65536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    return b" 200 " in head and json.loads(body)["operations"]["write"]["operations"] > 0


PIECES = [(0, 512), (5 * MIB - 100, 3 * MIB), (20 * MIB, 1), (33 * MIB - 4096, 4096)]


def test_round_trip_is_exact_and_sparse(viaduct, daemon, tmp_path):
    image = sparse_image(tmp_path / "a.raw", 33 * MIB, PIECES)
    result = viaduct("disk", "import", "alice/root", image)
    assert result.code == 0, result.err
    assert "empty, not copied" in result.err and "/s" in result.err
    assert disks(viaduct)["alice/root"]["size_bytes"] == 33 * MIB
    out = tmp_path / "b.raw"
    result = viaduct("disk", "export", "alice/root", out)
    assert result.code == 0, result.err
    assert digest(out) == digest(image)
    assert os.stat(out).st_blocks * 512 < 8 * MIB
    assert sorted(os.listdir(tmp_path)) == ["a.raw", "b.raw"]


def test_holes_are_not_written(viaduct, daemon, tmp_path):
    image = sparse_image(tmp_path / "a.raw", 256 * MIB, [(100 * MIB, MIB)])
    with open(image, "r+b") as file:   # zeroes that are no hole
        file.seek(10 * MIB)
        file.write(bytes(20 * MIB))
    assert viaduct("disk", "import", "alice/root", image).code == 0
    written = disks(viaduct)["alice/root"]["operations"]["write"]["bytes"]
    assert MIB <= written <= 2 * MIB


def test_odd_sizes(viaduct, daemon, tmp_path):
    for number, size in enumerate((1, 511, 513, 4097, MIB + 1, 3 * MIB - 1)):
        image = sparse_image(tmp_path / f"{number}.raw", size, [(0, size)], seed=number)
        out = tmp_path / f"{number}.out"
        assert viaduct("disk", "import", f"alice/d{number}", image).code == 0
        assert viaduct("disk", "export", f"alice/d{number}", out).code == 0
        data = out.read_bytes()
        assert data[:size] == image.read_bytes() and not any(data[size:])
        assert len(data) == -(-size // 4096) * 4096


def test_larger_disk_and_overwrite_clears_the_rest(viaduct, daemon, tmp_path):
    first = sparse_image(tmp_path / "a.raw", 16 * MIB, [(0, 16 * MIB)])
    second = sparse_image(tmp_path / "b.raw", 5 * MIB, [(MIB, 4096)], seed=2)
    assert viaduct("disk", "import", "alice/root", first, "--size", "24M").code == 0
    result = viaduct("disk", "import", "alice/root", second)
    assert result.code == 1 and "alice/root" in result.err
    assert viaduct("disk", "import", "alice/root", second, "--overwrite").code == 0
    out = tmp_path / "c.raw"
    assert viaduct("disk", "export", "alice/root", out).code == 0
    data = out.read_bytes()
    assert len(data) == 24 * MIB and data[:5 * MIB] == second.read_bytes() and not any(data[5 * MIB:])


def test_refusals(viaduct, daemon, tmp_path):
    image = sparse_image(tmp_path / "a.raw", 2 * MIB, [(0, MIB)])
    assert viaduct("disk", "import", "alice/root", tmp_path / "none").code == 1
    (tmp_path / "empty").touch()
    assert "is empty" in viaduct("disk", "import", "alice/root", tmp_path / "empty").err
    assert viaduct("disk", "import", "alice/root", image, "--size", "1M").code == 2
    assert viaduct("disk", "import", "alice/root", image, "--pool", "nosuch").code == 1
    huge = sparse_image(tmp_path / "huge.raw", 4096 * MIB, [])
    assert viaduct("disk", "import", "alice/huge", huge).code == 1
    assert disks(viaduct) == {}
    assert viaduct("disk", "import", "alice/root", image).code == 0
    out = tmp_path / "out"
    out.write_text("precious")
    assert "--overwrite" in viaduct("disk", "export", "alice/root", out).err
    assert out.read_text() == "precious"
    assert viaduct("disk", "export", "alice/nosuch", tmp_path / "x").code == 1
    assert viaduct("disk", "export", "alice/root", tmp_path / "no/dir/x").code == 1
    larger = sparse_image(tmp_path / "l.raw", 3 * MIB, [])
    result = viaduct("disk", "import", "alice/root", larger, "--overwrite")
    assert result.code == 1 and "resize" in result.err


def interrupt(viaduct, arguments, ready, number):
    """Starts the command, sends the signal once `ready` says so, and returns (exit code, stderr)."""
    process = subprocess.Popen([str(viaduct.program), "--runtime-dir", str(viaduct.runtime_dir), *map(str, arguments)],
                               stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while not ready() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    return process.returncode, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_import_leaves_nothing(viaduct, daemon, tmp_path, slow_down, number):
    image = sparse_image(tmp_path / "a.raw", SLOW_BYTES, [(0, SLOW_BYTES)])
    slow_down()
    code, err = interrupt(viaduct, ["disk", "import", "alice/root", image],
                          lambda: writing(daemon, "alice/root"), number)
    assert code == 1 and "interrupted" in err and "deleted again" in err
    assert disks(viaduct) == {}


def test_interrupted_export_leaves_nothing(viaduct, daemon, tmp_path, slow_down):
    image = sparse_image(tmp_path / "a.raw", SLOW_BYTES, [(0, SLOW_BYTES)])
    assert viaduct("disk", "import", "alice/root", image).code == 0
    slow_down()
    out = tmp_path / "out"
    out.mkdir()
    code, err = interrupt(viaduct, ["disk", "export", "alice/root", out / "b.raw"], lambda: any(out.iterdir()),
                          signal.SIGINT)
    assert code == 1 and "interrupted" in err and "was not written" in err
    assert list(out.iterdir()) == []


def test_daemon_killed_during_import(viaduct, daemon, tmp_path, slow_down):
    image = sparse_image(tmp_path / "a.raw", SLOW_BYTES, [(0, SLOW_BYTES)])
    slow_down()
    process = subprocess.Popen([str(viaduct.program), "--runtime-dir", str(viaduct.runtime_dir), "disk", "import",
                                "alice/root", str(image)], stderr=subprocess.PIPE, text=True)
    while not writing(daemon, "alice/root") and process.poll() is None:
        time.sleep(0.001)
    daemon.kill()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "daemon is gone" in err and "could not be deleted" in err
    daemon.start()


def test_qcow2_both_ways(viaduct, daemon, tmp_path):
    raw = sparse_image(tmp_path / "a.raw", 33 * MIB, PIECES)
    qcow2 = tmp_path / "a.img"      # known by its first bytes, not by its name
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, qcow2], check=True)
    assert viaduct("disk", "import", "alice/root", qcow2).code == 0
    assert viaduct("disk", "export", "alice/root", tmp_path / "b.qcow2").code == 0
    subprocess.run(["qemu-img", "compare", raw, tmp_path / "b.qcow2"], check=True, stdout=subprocess.DEVNULL)
    assert json.loads(subprocess.run(["qemu-img", "info", "--output=json", tmp_path / "b.qcow2"], check=True,
                                     capture_output=True).stdout)["format"] == "qcow2"
    assert len(list(tmp_path.iterdir())) == 3


def test_qcow2_without_qemu_img(viaduct, daemon, tmp_path):
    qcow2 = tmp_path / "a.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", qcow2, "1M"], check=True)
    result = viaduct("disk", "import", "alice/root", qcow2, env={"PATH": "/nonexistent"})
    assert result.code == 1 and "apt install qemu-utils" in result.err
    assert disks(viaduct) == {}


def test_disks_by_the_real_daemon(viaduct, daemon):
    assert viaduct("disk", "create", "alice/root", "--pool", "main", "--size", "64M").code == 0
    assert viaduct("disk", "resize", "alice/root", "--size", "+64M").out == "grown: alice/root (128 MiB)\n"
    result = viaduct("disk", "resize", "alice/root", "--size", "1M")
    assert result.code == 1 and result.err
    assert viaduct("disk", "rename", "alice/root", "bob/data").code == 0
    assert list(disks(viaduct)) == ["bob/data"]
    assert "b" not in viaduct("pool", "show", "main").out.split("[")[1].split("]")[0]
    assert "bob/data" in viaduct("pool", "show", "main").out
    assert str(daemon.directory) in viaduct("qemu-args", "bob").out
    assert viaduct("disk", "delete", "bob/data", "--yes").code == 0
    assert disks(viaduct) == {}
    assert viaduct("reload").code == 0


def test_pool_check_refuses_a_pool_in_use_and_finds_damage(viaduct, daemon):
    result = viaduct("pool", "check", daemon.pool)
    assert result.code == 1 and "in use" in result.err
    daemon.stop()
    result = viaduct("pool", "check", "main", "--config", daemon.config)
    assert result.code == 0 and "0 problems" in result.out, result.out + result.err
    subprocess.run(["cp", "--sparse=always", daemon.pool, daemon.directory / "damaged"], check=True)
    with open(daemon.directory / "damaged", "r+b") as pool:
        pool.write(b"x" * 8192)
    result = viaduct("pool", "check", daemon.directory / "damaged")
    assert result.code == 1 and "0 problems" not in result.out and result.out
