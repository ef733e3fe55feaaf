# SPDX-License-Identifier: GPL-2.0-or-later
"""What a disk promises its guest: every kind of request, isolation, zeroes, growth, durability modes."""
import os

import pytest

import blk
from frontend import FrontEnd, Setup
from patience import wait_until

MIB = 1 << 20
SPLIT_AND_PACKED = pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])


@SPLIT_AND_PACKED
def test_read_write_flush(alice, packed):
    with FrontEnd.start(alice, Setup(packed=packed)) as front:
        disk = front.disk()
        for sector, size in ((0, 512), (7, 4096), (100, 65536), (1000, 512 * 127), (32767, 512)):
            data = os.urandom(size)
            disk.write(sector, data)
            assert disk.read(sector, size // 512) == data
        disk.flush()


@SPLIT_AND_PACKED
def test_content_survives_reconnect(alice, packed):
    data = os.urandom(8192)
    with FrontEnd.start(alice, Setup(packed=packed)) as front:
        front.disk().write(2000, data)
    with FrontEnd.start(alice, Setup(packed=not packed)) as front:
        assert front.disk().read(2000, 16) == data


@SPLIT_AND_PACKED
@pytest.mark.parametrize("kind", ["discard", "write-zeroes", "write-zeroes-unmap"])
@pytest.mark.parametrize("disk_name", ["alice/root", "bob/whole"])
def test_zeroes(daemon, packed, kind, disk_name):
    """Zeroes in the range, and every byte around it as before; ranges of grains, blocks and single sectors."""
    with FrontEnd.start(daemon.socket(disk_name), Setup(packed=packed, memory_bytes=8 << 20)) as front:
        disk = front.disk()
        for first, count in ((0, 2048), (5, 3), (8, 8), (100, 300), (255, 514)):
            data = bytearray(os.urandom(2 * MIB))
            for at in range(0, len(data), 65536):
                disk.write(at // 512, bytes(data[at:at + 65536]))
            if kind == "discard":
                status = disk.discard((first, count))
            else:
                status = disk.write_zeroes((first, count), unmap=kind.endswith("unmap"))
            assert status == blk.OK
            got = b"".join(disk.read(at // 512, 128) for at in range(0, len(data), 65536))
            start, end = first * 512, (first + count) * 512
            assert got[:start] == data[:start] and got[end:] == data[end:], "bytes outside the range changed"
            if kind == "discard":
                # discarded blocks of a pool read as zeroes; a plain file may keep parts of a block
                assert disk_name != "alice/root" or not any(got[start:end]) or got[start:end] == data[start:end] \
                    or count % 8, "discarded space shows something else than zeroes"
            else:
                assert not any(got[start:end]), "zeroes were promised"


def test_discarded_pool_space_reads_zero(alice):
    """Whole blocks of a pool disk: always zeroes afterwards, never old bytes."""
    with FrontEnd.start(alice, Setup()) as front:
        disk = front.disk()
        for sector in range(0, 4096, 128):
            disk.write(sector, b"\xD1" * 65536)
        assert disk.discard((0, 4096)) == blk.OK
        disk.flush()
        for sector in range(0, 4096, 128):
            assert disk.read(sector, 128) == bytes(65536)


def test_new_disk_reads_zero(daemon):
    """Nobody wrote here yet."""
    with FrontEnd.start(daemon.socket("polite/root"), Setup()) as front:
        for sector in range(0, 8192, 128):
            assert front.disk().read(sector, 128) == bytes(65536)


def test_two_disks_are_two(daemon):
    """The same sectors of two disks, written at the same time, each with its own pattern."""
    with FrontEnd.start(daemon.socket("alice/root"), Setup()) as one, \
         FrontEnd.start(daemon.socket("bob/root"), Setup(packed=True)) as other:
        flying = []
        for block in range(0, 512, 8):
            for front, byte in ((one, 0xA1), (other, 0xB0)):
                flying.append((front.disk(), front.disk().submit(blk.OUT, block, bytes([byte]) * 4096)))
            while len(flying) > 30:
                disk, request = flying.pop(0)
                assert disk.finish(request)[0] == blk.OK
        for disk, request in flying:
            assert disk.finish(request)[0] == blk.OK
        one.disk().flush()
        other.disk().flush()
        for block in range(0, 512, 8):
            assert one.disk().read(block, 8) == b"\xA1" * 4096
            assert other.disk().read(block, 8) == b"\xB0" * 4096


def data_of(path):
    """(offset, bytes) of each part of a sparse file that is not a hole."""
    with open(path, "rb") as file:
        size, at = os.fstat(file.fileno()).st_size, 0
        while at < size:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:             # no data any more
                return
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            yield start, os.pread(file.fileno(), at - start, start)


def test_pool_file_holds_each_pattern_once(daemon):
    """Seen from outside, on the physical disk: what two guests wrote lies there, once each and apart."""
    marks = {"alice/root": b"ALICE-OWNS-THIS-", "bob/root": b"BOB-OWNS-THIS---"}
    for disk, mark in marks.items():
        with FrontEnd.start(daemon.socket(disk), Setup()) as front:
            front.disk().write(8000, mark * 256)
            front.disk().flush()
    pieces = list(data_of(daemon.path("main.pool")))
    for disk, mark in marks.items():
        places = [start + data.index(mark) for start, data in pieces if mark in data]
        assert len(places) == 1 and places[0] % 512 == 0, f"{disk}'s pattern lies at {places}"
        assert sum(data.count(mark) for _, data in pieces) == 256


@SPLIT_AND_PACKED
def test_write_through(alice, packed):
    """CONFIG_WCE: write-back unless the driver asks for write-through, and back; front ends cache what it said last."""
    with FrontEnd.start(alice, Setup(packed=packed)) as front:
        c, disk = front.connection, front.disk()
        assert blk.Config(c.get_config(0, 60)).writeback == 1
        for mode in (0, 1, 0):
            assert c.set_config(blk.Config.WCE_OFFSET, bytes([mode])) == 0
            assert blk.Config(c.get_config(0, 60)).writeback == mode
            data = os.urandom(4096)
            disk.write(3000, data)
            assert disk.read(3000, 8) == data
    with FrontEnd.start(alice, Setup()) as front:
        assert blk.Config(front.connection.get_config(0, 60)).writeback == 0, "a driver's choice was forgotten"
        assert front.connection.set_config(blk.Config.WCE_OFFSET, bytes([1])) == 0


def size_of(front):
    return blk.Config(front.connection.get_config(0, 60)).capacity * 512


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_resize_is_told(daemon, packed):
    """Growth by the API reaches the running driver, and the new space works and is empty."""
    with FrontEnd.start(daemon.socket("bob/root"), Setup(packed=packed)) as front:
        old = size_of(front)
        status, answer = daemon.api("PATCH", "/v1/disks/bob/root", {"size_bytes": old + 4 * MIB})
        assert status == 200, answer
        assert front.backend.wait_config_change(), "no notification"
        assert size_of(front) == old + 4 * MIB
        last = size_of(front) // 512 - 8
        assert front.disk().read(last, 8) == bytes(4096)
        front.disk().write(last, b"\x81" * 4096)
        assert front.disk().read(last, 8) == b"\x81" * 4096


def test_shrinking_is_refused(daemon):
    with FrontEnd.start(daemon.socket("bob/root"), Setup()) as front:
        old = size_of(front)
        status, answer = daemon.api("PATCH", "/v1/disks/bob/root", {"size_bytes": old - MIB})
        assert 400 <= status < 500 and "error" in answer
        assert size_of(front) == old


def test_recreated_disk_shows_no_old_byte(daemon):
    """A disk is written full, deleted and made again (twice as others'), and reads as zeroes every time."""
    path, name = "/v1/disks", "alice/scratch"
    size = 8 * MIB
    for round in range(3):
        status, answer = daemon.api("POST", path, {"name": name, "pool": "main", "size_bytes": size})
        assert status in (200, 201), answer
        with FrontEnd.start(daemon.socket(name), Setup(packed=round % 2 == 1)) as front:
            disk = front.disk()
            for sector in range(0, size // 512, 128):
                assert disk.read(sector, 128) == bytes(65536), f"old bytes at sector {sector} (round {round})"
            for sector in range(0, size // 512, 128):
                disk.write(sector, b"SECRET-OF-BEFORE" * 4096)
            disk.flush()
            status, answer = daemon.api("DELETE", f"{path}/{name}")
            assert 400 <= status < 500, "a connected disk was deleted"
            disk.read(0, 1)
        wait_until(lambda: daemon.api("DELETE", f"{path}/{name}")[0] in (200, 202), "the disk is deleted")
