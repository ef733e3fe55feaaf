# SPDX-License-Identifier: GPL-2.0-or-later
"""Displays made of registers on a seat: pixels, keys, sizes, takeovers, and what the configuration says."""
import pytest

import gpu
import rfb
from bochs import ENABLE, ID, MEMORY_64K, MEMORY_BYTES, SHOW, Y, BochsDisplay
from patience import wait_until
from test_refusals import expect_refused, line_of
from test_reload import reload
from test_seat import door
from test_seat_virtio import KEY_A, expect_shown, focus, pattern, shown, socket_of, window
from test_takeover import take_over

WIDTH, HEIGHT = 200, 120


def sections(**more):
    made = {"seat desk": {"size": "800x600"}, "guest alice": {}, "keyboard alice/0": {}, "tablet alice/0": {}}
    made["display alice/0"] = {"seat": "desk", "source": "bochs", "size": f"{WIDTH}x{HEIGHT}", **more}
    return made


@pytest.fixture
def daemon(make_daemon):
    return make_daemon(sections())


def patched(rows, patch, x, y):
    rows = list(rows)
    for line, row in enumerate(patch):
        rows[y + line] = rows[y + line][:x * 3] + row + rows[y + line][x * 3 + len(row):]
    return rows


def start(one, seed=0, width=WIDTH, height=HEIGHT):
    one.set_mode(width, height)
    rows = pattern(width, height, seed)
    one.draw(rows)
    return rows


def described(daemon):
    """All that is told of the display."""
    guest = next(one for one in daemon.api("GET", "/v1/status")[1]["guests"] if one["name"] == "alice")
    return next(device for device in guest["devices"] if device["kind"] == "display")


def size_of(edid):
    """The preferred timing's."""
    return edid[56] | (edid[58] & 0xF0) << 4, edid[59] | (edid[61] & 0xF0) << 4


def test_every_pixel(daemon):
    with BochsDisplay(socket_of(daemon, "alice")) as one:
        assert one.get(ID) == 0xB0C5 and one.get(MEMORY_64K) == MEMORY_BYTES >> 16
        assert not window(daemon)["shown"]
        rows = start(one)
        expect_shown(daemon, rows)
        assert window(daemon)["shown"]
        for x, y, width, height in (0, 0, 1, 1), (WIDTH - 1, HEIGHT - 1, 1, 1), (17, 5, 100, 3), (3, 40, 9, 80):
            patch = pattern(width, height, x + y)
            one.draw(patch, x, y)
            rows = patched(rows, patch, x, y)
            expect_shown(daemon, rows)
    wait_until(lambda: not window(daemon)["shown"], "the window has gone with its VMM")


def test_viewers_see_it(daemon):
    """The same pixels at a viewer of the seat."""
    with BochsDisplay(socket_of(daemon, "alice")) as one, rfb.Viewer(door(daemon)):
        rows = start(one, 5)
        expect_shown(daemon, rows)
        one.draw(pattern(20, 10, 6), 30, 40)
        expect_shown(daemon, patched(rows, pattern(20, 10, 6), 30, 40))


def test_modes(daemon):
    """Two pictures in turn, another size, a mode that cannot be, and off: black, and the window stays."""
    with BochsDisplay(socket_of(daemon, "alice")) as one:
        first = start(one)
        expect_shown(daemon, first)
        second = pattern(WIDTH, HEIGHT, 1)
        one.draw(second, 0, HEIGHT)
        for turn in range(4):
            one.set(Y, 0 if turn % 2 else HEIGHT)
            expect_shown(daemon, first if turn % 2 else second)
        larger = start(one, 2, 320, 240)
        expect_shown(daemon, larger)
        one.set(ENABLE, 0)
        expect_shown(daemon, [bytes(320 * 3)] * 240)
        assert window(daemon)["shown"]
        one.set(ENABLE, SHOW)
        expect_shown(daemon, larger)
        one.set_mode(320, 240, depth=16)
        expect_shown(daemon, [bytes(320 * 3)] * 240)
        daemon.wait_line("alice/display-0: driver: mode")
        one.set_mode(320, 240)
        expect_shown(daemon, larger)
        one.connection.reset()
        wait_until(lambda: not window(daemon)["shown"], "a reset device shows nothing")


def test_the_monitor(daemon):
    with BochsDisplay(socket_of(daemon, "alice")) as one:
        start(one)
        wait_until(lambda: window(daemon)["shown"], "the window is there")
        assert size_of(one.edid()) == (WIDTH, HEIGHT)
        assert daemon.api("PATCH", "/v1/seats/desk", {"size": {"alice/0": "640x480"}})[0] == 200
        wait_until(lambda: size_of(one.edid()) == (640, 480), "the driver sees the size that the user wants")


def test_keys(daemon):
    with BochsDisplay(socket_of(daemon, "alice")) as one, gpu.Input(socket_of(daemon, "alice", "keyboard")) as keyboard, \
            rfb.Viewer(door(daemon)) as viewer:
        start(one)
        wait_until(lambda: window(daemon)["shown"], "the window is there")
        focus(daemon, "alice")
        viewer.key(KEY_A, True)
        viewer.key(KEY_A, False)
        assert keyboard.hear(2) == [(gpu.EV_KEY, KEY_A, 1), (gpu.EV_KEY, KEY_A, 0)]


def test_takeover(daemon):
    """The guest draws on in the memory that it has mapped."""
    with BochsDisplay(socket_of(daemon, "alice")) as one:
        rows = start(one, 3)
        expect_shown(daemon, rows)
        for turn in range(3):
            take_over(daemon)
            expect_shown(daemon, rows)
            patch = pattern(50, 20, turn)
            one.draw(patch, 9, 11)
            rows = patched(rows, patch, 9, 11)
            expect_shown(daemon, rows)
            assert one.get(1) == WIDTH
        one.set(ENABLE, 0)
        expect_shown(daemon, [bytes(WIDTH * 3)] * HEIGHT)


def test_a_vmm_after_another(daemon):
    """Nothing is left of the last one's picture."""
    for seed in range(5):
        with BochsDisplay(socket_of(daemon, "alice")) as one:
            assert one.memory[:4096] == bytes(4096) and one.get(ENABLE) == 0
            rows = start(one, seed)
            expect_shown(daemon, rows)


def test_status(daemon):
    with BochsDisplay(socket_of(daemon, "alice")) as one:
        rows = start(one)
        expect_shown(daemon, rows)
        told = window(daemon)
        assert described(daemon)["source"] == "bochs"
        assert told["pictures"] == 1 and told["drawn_pixels"] >= WIDTH * HEIGHT


def test_another_source(daemon):
    """A reload makes it a virtio display, and back."""
    for source in "virtio", "bochs":
        daemon.sections["display alice/0"]["source"] = source
        reload(daemon)
        assert described(daemon)["source"] == source
    with BochsDisplay(socket_of(daemon, "alice")) as one:
        expect_shown(daemon, start(one))
        assert shown(daemon)


def test_memory_for_large_monitors(make_daemon):
    daemon = make_daemon(sections(size="3840x2160"))
    with BochsDisplay(socket_of(daemon, "alice")) as one:
        assert len(one.memory) == 64 << 20 and one.get(MEMORY_64K) == 1024


def test_one_monitor(make_daemon):
    daemon = make_daemon(sections(scanouts=2), start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, 'display alice/0', 'scanouts')}: scanouts = 2 "
                           "is for a display with source = virtio; a bochs-display has one monitor")
