# SPDX-License-Identifier: GPL-2.0-or-later
"""Import and export through the real daemon: bytes, holes, sizes, interruption."""

import contextlib
import hashlib
import json
import os
import pathlib
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


def test_a_new_disk_is_told(viaduct, daemon, tmp_path):
    """A name that was mistyped makes one, too; of an undeclared guest nothing stays behind."""
    image = sparse_image(tmp_path / "image", MIB, [])
    done = viaduct("disk", "import", "alcie/root", image)
    assert done.code == 0
    assert "made disk alcie/root (1 MiB) in pool main; guest alcie is not declared; did you mean alice?\n" in done.err
    done = viaduct("disk", "import", "alice/root", image)
    assert done.code == 0 and "made disk alice/root (1 MiB) in pool main\n" in done.err
    done = viaduct("disk", "import", "alice/root", image)
    assert done.code == 1 and "--overwrite fills the disk that is there" in done.err
    daemon.stop()
    assert not (daemon.directory / "alcie").exists()


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


@pytest.mark.parametrize("name", ["json:x.qcow2", "nbd:it's a,b größe=12:30:00.qcow2"])
def test_names_are_names(viaduct, daemon, tmp_path, name):
    """Of images, and of the folder for what is unpacked: a colon is no protocol, a comma no option."""
    raw = sparse_image(tmp_path / "a.raw", MIB, [(4096, 8192)])
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, tmp_path / "a.img"], check=True)
    (tmp_path / "a.img").rename(tmp_path / name)
    (tmp_path / "t:x").mkdir()
    result = viaduct("disk", "import", "alice/root", name, cwd=tmp_path, env={**os.environ, "TMPDIR": "t:x"})
    assert result.code == 0, result.err
    (tmp_path / name).unlink()
    result = viaduct("disk", "export", "alice/root", name, cwd=tmp_path)
    assert result.code == 0, result.err
    (tmp_path / name).rename(tmp_path / "b.img")
    subprocess.run(["qemu-img", "compare", "-F", "qcow2", raw, tmp_path / "b.img"], check=True, stdout=subprocess.DEVNULL)
    assert sorted(os.listdir(tmp_path)) == ["a.raw", "b.img", "t:x"]


# ---- exporting onto something ----

@pytest.fixture
def filled(viaduct, daemon, tmp_path):
    """alice/root: data, zeroes, data. Its bytes."""
    image = sparse_image(tmp_path / "filled", 4 * MIB, [(0, MIB), (3 * MIB - 4096, 8192)])
    assert viaduct("disk", "import", "alice/root", image).code == 0
    return image.read_bytes()


@contextlib.contextmanager
def block_device(tmp_path, size):
    """Needs root."""
    backing = tmp_path / "backing"
    backing.write_bytes(b"\xEE" * size)
    done = subprocess.run(["losetup", "-f", "--show", str(backing)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no loop device: {done.stderr.strip()}")
    try:
        yield pathlib.Path(done.stdout.strip()), backing
    finally:
        subprocess.run(["losetup", "-d", done.stdout.strip()], check=True)


@pytest.mark.parametrize("way", ["device", "link"])
def test_export_onto_a_block_device(viaduct, filled, tmp_path, way):
    """The device gets the disk, zeroes included, and nothing behind it; its name stays what it was."""
    with block_device(tmp_path, 6 * MIB) as (device, backing):
        target = device
        if way == "link":               # as LVM names its volumes
            target = tmp_path / "volume"
            target.symlink_to(device)
        assert "writes over what it holds" in viaduct("disk", "export", "alice/root", target).err
        assert backing.read_bytes() == b"\xEE" * (6 * MIB)
        result = viaduct("disk", "export", "alice/root", target, "--overwrite", "--format", "qcow2")
        assert result.code == 1 and "as raw only" in result.err
        result = viaduct("disk", "export", "alice/root", target, "--overwrite")
        assert result.code == 0, result.err
        assert device.is_block_device() and (way == "device" or target.is_symlink())
        assert backing.read_bytes() == filled + b"\xEE" * (2 * MIB)


def test_export_onto_a_device_that_is_too_small_or_in_use(viaduct, filled, tmp_path):
    with block_device(tmp_path, 2 * MIB) as (device, backing):
        result = viaduct("disk", "export", "alice/root", device, "--overwrite")
        assert result.code == 1 and "has 2 MiB, the disk 4 MiB" in result.err
        assert backing.read_bytes() == b"\xEE" * (2 * MIB)
        holder = os.open(device, os.O_RDONLY | os.O_EXCL)       # as a mount does
        try:
            assert "in use by the host" in viaduct("disk", "export", "alice/root", device, "--overwrite").err
        finally:
            os.close(holder)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_export_replaces_nothing_but_files(viaduct, filled, tmp_path, options):
    """A FIFO, a device, a socket, a folder, a link to a file or to nothing: each is refused at once and stays."""
    folder = tmp_path / "targets"
    folder.mkdir()
    os.mkfifo(folder / "fifo")
    (folder / "folder").mkdir()
    (folder / "file").write_text("precious")
    (folder / "to-file").symlink_to("file")
    (folder / "to-nothing").symlink_to("nothing")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
    before = {path.name: os.lstat(path)[:2] for path in folder.iterdir()}
    for name in ("fifo", "folder", "to-file", "to-nothing", "socket"):
        result = viaduct("disk", "export", "alice/root", folder / name, *options)
        assert result.code == 1 and name in result.err, result.err
    assert viaduct("disk", "export", "alice/root", "/dev/null", *options).code == 1
    assert viaduct("disk", "export", "alice/root", "/dev/stdout", *options).code == 1
    assert {path.name: os.lstat(path)[:2] for path in folder.iterdir()} == before
    assert (folder / "file").read_text() == "precious"


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
