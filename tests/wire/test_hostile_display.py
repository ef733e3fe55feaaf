# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile drivers of virtio displays, beside an honest guest whose window an honest viewer looks at."""
import random
import struct

import pytest

import gpu
import rfb
from daemon import Daemon
from hostile import Attacks
from patience import PATIENCE_S, wait_until
from virtio import Buffer

WIDTH, HEIGHT = 64, 48
FIRST, HIGHEST, SIDE_MAX = 0x1200, 0x1205, 8192
NO_ID, NO_SCANOUT, NO_PARAMETER, NO_MEMORY = 0x1203, 0x1202, 0x1205, 0x1201
U32, U64 = 0xffffffff, 0xffffffffffffffff
MEMORY = 0x10_0000          # where the guest's memory begins

attack = Attacks()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    folder = tmp_path_factory.mktemp("viaduct")
    made = {"daemon": {"sandbox": "yes"}, "seat desk": {"size": "640x480"}}
    for guest in "honest", "mallory":
        made |= {f"guest {guest}": {}, f"display {guest}/0": {"seat": "desk", "source": "virtio"}}
    instance = Daemon(made, folder)
    try:
        instance.start()
        yield instance
    finally:
        instance.finish()


def socket_of(daemon, guest):
    return daemon.runtime / guest / "display-0.sock"


class Honest:
    """A guest that draws, and one who sees it."""

    def __init__(self, daemon):
        self.display = gpu.Display(socket_of(daemon, "honest"))
        self.display.create(1, WIDTH, HEIGHT)
        self.display.show(1)
        self.seed = 0
        self.viewer = rfb.Viewer(daemon.runtime / "seat-desk.vnc")
        wait_until(lambda: self.window(daemon)["shown"], "the honest guest's window")
        self.daemon = daemon

    @staticmethod
    def window(daemon, guest="honest"):
        return next(one for one in daemon.api("GET", "/v1/seats/desk")[1]["displays"] if one["display"] == f"{guest}/0")

    def expect_progress(self):
        """What it draws now is seen, above all others."""
        self.seed += 1
        rows = [random.Random(self.seed * 1000 + y).randbytes(WIDTH * 3) for y in range(HEIGHT)]
        self.display.draw(1, rows)
        assert self.daemon.api("PATCH", "/v1/seats/desk", {"focus": "honest/0"})[0] == 200
        where = self.window(self.daemon)["picture"]
        self.viewer.wait(lambda seen: seen.rows(where["x"], where["y"], WIDTH, HEIGHT) == rows, "the honest guest's picture")

    def close(self):
        self.viewer.close()
        self.display.front.close()


@pytest.fixture
def honest(daemon):
    one = Honest(daemon)
    one.expect_progress()
    yield one
    one.close()


@pytest.fixture
def mallory(daemon):
    """Makes a hostile display, one at a time; all end with the test."""
    made = []

    def make(setup):
        made.append(gpu.Display(socket_of(daemon, "mallory"), setup.packed))
        return made[-1]

    yield make
    for one in made:
        one.front.close()


def create(one, number, width, height, kind=gpu.B8G8R8X8):
    return one.command(gpu.CREATE_2D, struct.pack("<4I", number, kind, width, height))[0]


def attach(one, number, entries, said=None):
    body = struct.pack("<II", number, len(entries) if said is None else said)
    return one.command(gpu.ATTACH, body + b"".join(struct.pack("<QII", *entry, 0) for entry in entries))[0]


def transfer(one, number, x, y, width, height, offset=0):
    return one.command(gpu.TRANSFER, struct.pack("<4IQII", x, y, width, height, offset, number, 0))[0]


def show(one, number, x, y, width, height, scanout=0):
    return one.command(gpu.SET_SCANOUT, struct.pack("<6I", x, y, width, height, scanout, number))[0]


def flush(one, number, x, y, width, height):
    return one.command(gpu.FLUSH, struct.pack("<6I", x, y, width, height, number, 0))[0]


def unref(one, number):
    return one.command(gpu.UNREF, struct.pack("<II", number, 0))[0]


@attack("C12")
def _(one):
    """Sizes that overflow any product, formats that there are not, names that are taken."""
    for width, height in (0, 1), (1, 0), (U32, U32), (1 << 31, 2), (2, 1 << 31), (1 << 16, 1 << 16), (SIDE_MAX + 1, 1), (1, SIDE_MAX + 1):
        assert create(one, 1, width, height) == NO_PARAMETER
    for kind in 0, 5, 66, 1 << 31, U32:
        assert create(one, 1, 1, 1, kind) == NO_PARAMETER
    assert create(one, 0, 1, 1) == NO_ID
    assert create(one, U32, 1, 1) == gpu.OK_NODATA
    assert create(one, U32, 1, 1) == NO_ID
    # All of the memory for pictures, and all names.
    assert create(one, 7, SIDE_MAX, SIDE_MAX) == NO_MEMORY
    assert unref(one, U32) == gpu.OK_NODATA
    assert create(one, 7, SIDE_MAX, SIDE_MAX) == gpu.OK_NODATA
    assert create(one, 8, 1, 1) == NO_MEMORY
    assert unref(one, 7) == gpu.OK_NODATA
    answers = [create(one, number, 1, 1) for number in range(1, 4200)]
    assert answers == [gpu.OK_NODATA] * 4096 + [NO_MEMORY] * 103


@attack("C12", "malformed")
def _(one):
    """Commands of any length and kind, with room for any answer or none."""
    for kind in [*range(0xfe, 0x112), 0x200, 0x300, 0x301, 0x302, 0, U32]:
        for length in 0, 1, 3, 4, 7, 8, 15, 31, 63:
            answer = one.command(kind, bytes(length))[0]
            # Zeroes make three commands whole: two questions, and a scanout that is to be dark.
            fine = kind in (gpu.GET_DISPLAY_INFO, gpu.GET_EDID) or kind == gpu.SET_SCANOUT and length >= 24
            assert FIRST <= answer <= HIGHEST or fine
    for room in 24, 25, 47, 100, 407, 2048:
        one.command(gpu.GET_DISPLAY_INFO, b"", room=room)
        one.command(gpu.GET_EDID, bytes(8), room=room)
    for kind in gpu.UPDATE_CURSOR, gpu.MOVE_CURSOR, gpu.CREATE_2D, U32:
        for body in b"", bytes(8), b"\xff" * 32:
            one.command(kind, body, queue=1)
    # Without room for a header's answer the device stops, for this driver alone.
    one.submit(gpu.GET_DISPLAY_INFO, b"", room=23)
    one.front.queues[0].wait_for(one.front.needs_reset, PATIENCE_S)
    assert one.front.needs_reset()


@attack("C14")
def _(one):
    """Backings of too many pieces, that lie nowhere, that wrap around, or are there already."""
    assert create(one, 1, 16, 16) == gpu.OK_NODATA
    for said in 0, 2, 16385, 1 << 31, U32:
        assert attach(one, 1, [(MEMORY, 4096)], said) == NO_PARAMETER
    assert attach(one, 1, [(U64, 2)]) == NO_PARAMETER
    assert attach(one, 2, [(MEMORY, 4096)]) == NO_ID
    for entries in [(0, 4096)], [(1 << 63, 4096)], [(MEMORY + (32 << 20) - 8, 4096)], [(MEMORY, 0)], [(MEMORY, 8)]:
        assert attach(one, 1, entries) == gpu.OK_NODATA
        assert FIRST <= transfer(one, 1, 0, 0, 16, 16) <= HIGHEST
        assert attach(one, 1, [(MEMORY, 4096)]) != gpu.OK_NODATA
        assert one.command(gpu.DETACH, struct.pack("<II", 1, 0))[0] == gpu.OK_NODATA
    assert one.command(gpu.DETACH, struct.pack("<II", 1, 0))[0] != gpu.OK_NODATA
    # All the pieces that a guest may have, and one more.
    address = one.memory.allocate(16384 * 16 + 32, 16)
    one.memory.write(address + 32, struct.pack("<QII", MEMORY, 1, 0) * 16384)
    answers = []
    for number in range(10, 19):
        assert create(one, number, 1, 1) == gpu.OK_NODATA
        one.memory.write(address, struct.pack("<IIQIB3xII", gpu.ATTACH, 0, 0, 0, 0, number, 16384))
        chain = one.front.queues[0].submit([Buffer(address, 32 + 16384 * 16, False), Buffer(one.page + 4096, 24, True)])
        one.front.queues[0].wait(chain, PATIENCE_S)
        answers.append(struct.unpack("<I", bytes(one.memory.read(one.page + 4096, 4)))[0])
    assert answers == [gpu.OK_NODATA] * 8 + [NO_MEMORY]


@attack("C15")
def _(one):
    """Scanouts and rectangles that there are not; what is shown goes, under a viewer's eyes."""
    one.create(1, 16, 16)
    for scanout in 1, 15, 16, 1 << 31, U32:
        assert show(one, 1, 0, 0, 16, 16, scanout) == NO_SCANOUT
        assert one.command(gpu.GET_EDID, struct.pack("<II", scanout, 0))[0] == NO_SCANOUT
    wrong = [(0, 0, 17, 1), (16, 0, 1, 1), (U32, 0, 2, 1), (0, U32, 1, U32), (1, 1, U32, U32), (0, 0, U32, 1), (1 << 31, 1 << 31, 1 << 31, 1 << 31)]
    for rect in wrong:
        assert show(one, 1, *rect) == flush(one, 1, *rect) == transfer(one, 1, *rect) == NO_PARAMETER
    assert show(one, 1, 0, 0, 0, 0) == NO_PARAMETER
    for offset in 16 * 16 * 4, U64, U64 - 3, 1 << 63, 16 * 16 * 4 - 4:
        assert FIRST <= transfer(one, 1, 0, 0, 2, 2, offset) <= HIGHEST
    for _ in range(300):
        assert show(one, 1, 0, 0, 16, 16) == flush(one, 1, 0, 0, 16, 16) == unref(one, 1) == gpu.OK_NODATA
        assert flush(one, 1, 0, 0, 16, 16) == NO_ID
        assert create(one, 1, 16, 16) == gpu.OK_NODATA
    # A cursor of a picture that is none of a cursor's size, and then goes.
    body = struct.pack("<8I", 0, 0, 0, 0, 1, 0, 0, 0)
    assert FIRST <= one.command(gpu.UPDATE_CURSOR, body, queue=1)[0] <= HIGHEST
    assert create(one, 2, 64, 64) == gpu.OK_NODATA
    for hot_x, hot_y, x, y in (0, 0, U32, U32), (63, 63, 1 << 31, 0), (64, 0, 0, 0), (U32, U32, 0, 0):
        one.command(gpu.UPDATE_CURSOR, struct.pack("<8I", 0, x, y, 0, 2, hot_x, hot_y, 0), queue=1)
    assert unref(one, 2) == gpu.OK_NODATA


def create_blob(one, number, size, entries, said=None, memory=1, flags=0):
    body = struct.pack("<4I2Q", number, memory, flags, len(entries) if said is None else said, 0, size)
    return one.command(gpu.CREATE_BLOB, body + b"".join(struct.pack("<QII", *entry, 0) for entry in entries))[0]


def show_blob(one, number, width, height, stride, offset=0, rect=None, scanout=0, kind=gpu.B8G8R8X8):
    body = struct.pack("<10I8I", *(rect or (0, 0, width, height)), scanout, number, width, height, kind, 0,
                       stride, U32, U32, U32, offset, U32, U32, U32)
    return one.command(gpu.SET_SCANOUT_BLOB, body)[0]


@attack("C14", "blob")
def _(one):
    """Blobs of no size and of any, in memory that is none; views beyond their ends; memory that goes while it is shown."""
    for size in 0, 4097, 1 << 63, U64:
        assert create_blob(one, 1, size, [(MEMORY, 4096)]) == NO_PARAMETER
    for said in 0, 2, 16385, 1 << 31, U32:
        assert create_blob(one, 1, 4096, [(MEMORY, 4096)], said) == NO_PARAMETER
    for memory, flags in (0, 0), (2, 0), (3, 0), (U32, 0), (1, 8), (1, U32):
        assert create_blob(one, 1, 4096, [(MEMORY, 4096)], memory=memory, flags=flags) == NO_PARAMETER
    assert create_blob(one, 1, 1, [(U64, 2)]) == NO_PARAMETER
    assert create_blob(one, 0, 4096, [(MEMORY, 4096)]) == NO_ID
    # Memory that lies nowhere, and the same memory many times.
    for entries in [(0, 4096)], [(1 << 63, 4096)], [(MEMORY + (32 << 20) - 8, 4096)]:
        assert create_blob(one, 1, 4096, entries) == gpu.OK_NODATA
        assert create_blob(one, 1, 4096, entries) == NO_ID
        assert FIRST <= show_blob(one, 1, 32, 32, 128) <= HIGHEST
        assert one.command(gpu.UPDATE_CURSOR, struct.pack("<8I", 0, 0, 0, 0, 1, 0, 0, 0), queue=1)[0] == NO_PARAMETER
        assert unref(one, 1) == gpu.OK_NODATA
    assert create_blob(one, 1, 64 * 64 * 4, [(MEMORY, 128)] * 128) == gpu.OK_NODATA
    wrong = [(64, 64, 255, 0), (64, 64, 0, 0), (64, 65, 256, 0), (64, 64, 256, 1), (64, 64, 257, 0), (64, 64, U32, 0),
             (0, 0, 256, 0), (U32, U32, U32, U32), (8193, 1, U32, 0), (1, 8193, 4, 0), (1, 1, 4, U32), (1 << 30, 4, 0, 0)]
    for width, height, stride, offset in wrong:
        assert show_blob(one, 1, width, height, stride, offset) == NO_PARAMETER
    for rect in (0, 0, 65, 1), (64, 0, 1, 1), (U32, 0, 2, 1), (0, U32, 1, U32), (0, 0, 0, 0), (1, 1, U32, U32):
        assert show_blob(one, 1, 64, 64, 256, rect=rect) == NO_PARAMETER
    assert show_blob(one, 1, 64, 64, 256, kind=5) == NO_PARAMETER
    assert show_blob(one, 1, 64, 64, 256, scanout=1) == NO_SCANOUT
    assert show(one, 1, 0, 0, 1, 1) != gpu.OK_NODATA
    for _ in range(100):
        assert show_blob(one, 1, 64, 64, 256) == flush(one, 1, 0, 0, 64, 64) == gpu.OK_NODATA
        assert one.command(gpu.DETACH, struct.pack("<II", 1, 0))[0] == gpu.OK_NODATA
        assert FIRST <= flush(one, 1, 0, 0, 64, 64) <= HIGHEST
        assert attach(one, 1, [(MEMORY, 16)]) == gpu.OK_NODATA
        assert FIRST <= flush(one, 1, 0, 0, 64, 64) <= HIGHEST
        assert unref(one, 1) == gpu.OK_NODATA
        assert create_blob(one, 1, 64 * 64 * 4, [(MEMORY, 64 * 64 * 4)]) == gpu.OK_NODATA
    # As large a picture as there is, of one page that is all of it: the copy has the limit of all pixels.
    assert create_blob(one, 2, 16384 * 4096, [(MEMORY, 4096)] * 64) == NO_PARAMETER
    assert show_blob(one, 1, 64, 64, 256) == gpu.OK_NODATA


@attack("C17")
def _(one):
    """Flushes as fast as the ring takes them."""
    one.create(1, 256, 256)
    one.show(1)
    queue = one.front.queues[0]
    body = struct.pack("<IIQIB3x6I", gpu.FLUSH, 0, 0, 0, 0, 0, 0, 256, 256, 1, 0)[:48]
    one.memory.write(one.page, struct.pack("<IIQIB3x", gpu.FLUSH, 0, 0, 0, 0) + struct.pack("<6I", 0, 0, 256, 256, 1, 0))
    for _ in range(400):
        chains = [queue.submit([Buffer(one.page, len(body), False), Buffer(one.page + 4096, 24, True)]) for _ in range(32)]
        for chain in chains:
            assert queue.wait(chain, PATIENCE_S) == 24


@pytest.mark.parametrize("run, setup", attack.parameters)
def test_hostile(daemon, honest, mallory, run, setup):
    one = mallory(setup)
    run(one)
    honest.expect_progress()
    one.front.close()
    # Its window goes, and the next driver is served.
    wait_until(lambda: not honest.window(daemon, "mallory")["shown"], "the window has gone")
    again = mallory(setup)
    again.create(1, WIDTH, HEIGHT)
    again.show(1)
    wait_until(lambda: honest.window(daemon, "mallory")["shown"], "the next driver's window")
    honest.expect_progress()
