# SPDX-License-Identifier: GPL-2.0-or-later
"""Sectors of 512 bytes for guests, whatever the physical disk has (512e). Needs root: a loop device with blocks of 4096 bytes."""
import contextlib
import os
import random
import subprocess

import pytest

import blk
from daemon import Daemon
from frontend import FrontEnd, Setup
from test_environment import mounted

MIB = 1 << 20
SECTOR = 512


@contextlib.contextmanager
def large_blocks(folder, name, size):
    """A block device with blocks of 4096 bytes."""
    image = folder / name
    with open(image, "wb") as file:
        file.truncate(size)
    done = subprocess.run(["losetup", "--sector-size", "4096", "-f", "--show", str(image)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no loop device: {done.stderr.strip()}")
    device = done.stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


@pytest.fixture(scope="module", params=["auto", "buffered"])
def daemon(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sectors")
    with large_blocks(folder, "pool", 64 * MIB) as pool, large_blocks(folder, "whole", 8 * MIB) as whole:
        daemon = Daemon({"pool main": {"path": pool, "cache": request.param}, "guest alice": {},
                         "disk alice/root": {"pool": "main", "size": "8M"},
                         "disk alice/large": {"pool": "main", "size": "8M", "sector": 4096},
                         "disk alice/whole": {"path": whole, "cache": request.param}}, folder).start()
        try:
            yield daemon
        finally:
            daemon.finish()


def geometry(daemon, name):
    with FrontEnd.connect(daemon.socket(name)) as front:
        config = blk.Config(front.connection.get_config(0, 60))
        return config.blk_size, config.blk_size << config.physical_block_exp


def test_what_guests_see(daemon):
    assert geometry(daemon, "alice/root") == geometry(daemon, "alice/whole") == (512, 4096)
    assert geometry(daemon, "alice/large") == (4096, 4096)
    with FrontEnd.start(daemon.socket("alice/large"), Setup()) as front:
        assert front.disk().do(blk.OUT, 1, bytes(512))[0] == blk.IOERR
        front.disk().write(8, b"\x44" * 4096)
        assert front.disk().read(8, 8) == b"\x44" * 4096


def steps(count, sectors):
    """Random requests of random length: single sectors, parts of blocks, many blocks."""
    for _ in range(count):
        length = random.choice((1, 1, 2, 7, 8, 9, 31, 100, 300, 600))
        yield random.choice(("write", "write", "write", "zeroes", "discard")), random.randrange(sectors - length), length


def read_all(disk, sectors):
    return b"".join(disk.read(at, min(128, sectors - at)) for at in range(0, sectors, 128))


@pytest.mark.parametrize("name", ["alice/root", "alice/whole"])
def test_model(daemon, name):
    """Every byte is what a plain array says, after writes, zeroes and discards of any sectors."""
    random.seed(7)
    sectors = 2048
    with FrontEnd.start(daemon.socket(name), Setup(memory_bytes=8 * MIB)) as front:
        disk = front.disk()
        assert disk.write_zeroes((0, sectors)) == blk.OK
        model = bytearray(sectors * SECTOR)
        for kind, first, length in steps(150, sectors):
            data = os.urandom(length * SECTOR) if kind == "write" else bytes(length * SECTOR)
            if kind == "write":
                disk.write(first, data)
            elif kind == "zeroes":
                assert disk.write_zeroes((first, length)) == blk.OK
            else:
                assert disk.discard((first, length)) == blk.OK
            model[first * SECTOR:(first + length) * SECTOR] = data
            check = max(0, first - 16), min(sectors, first + length + 16)
            assert disk.read(check[0], check[1] - check[0]) == model[check[0] * SECTOR:check[1] * SECTOR], (kind, first, length)
        disk.flush()
        assert read_all(disk, sectors) == model


@pytest.mark.parametrize("name", ["alice/root", "alice/whole"])
def test_neighbours_in_one_block(daemon, name):
    """Sectors of the same blocks, written at the same time through four queues: none is written back as it was before."""
    sectors = 512
    with FrontEnd.start(daemon.socket(name), Setup(queues=4, memory_bytes=16 * MIB)) as front:
        disks = [front.disk(queue) for queue in range(4)]
        for turn in range(6):
            model = bytearray(sectors * SECTOR)
            flying = []
            for sector in range(sectors):
                data = bytes([turn + 1, sector % 251]) * 256
                model[sector * SECTOR:(sector + 1) * SECTOR] = data
                disk = disks[sector % 4]
                flying.append((disk, disk.submit(blk.OUT, sector, data)))
                while len(flying) > 48:
                    first, request = flying.pop(0)
                    assert first.finish(request)[0] == blk.OK
            for disk, request in flying:
                assert disk.finish(request)[0] == blk.OK
            assert read_all(disks[0], sectors) == model, f"turn {turn}"


def test_huge_pages_are_no_sectors(tmp_path):
    """What a file system would like best (2 MiB here) is not what a guest lays out its partitions by."""
    folder = tmp_path / "huge"
    folder.mkdir()
    with mounted("tmpfs", folder, "size=64m,huge=always"):
        (folder / "look").touch()
        if os.stat(folder / "look").st_blksize <= 4096:
            pytest.skip("no file system with huge pages")
        daemon = Daemon({"guest alice": {}, "pool main": {"path": folder / "main.pool", "size": "16M"},
                         "disk alice/root": {"pool": "main", "size": "1M"}}, tmp_path).start()
        try:
            assert geometry(daemon, "alice/root") == (512, 4096)
        finally:
            daemon.finish()
