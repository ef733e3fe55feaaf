# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtio display of several scanouts: each is a window of its own on the seat."""
import struct
import subprocess

import pytest

import gpu
import rfb
from daemon import build_directory
from patience import PATIENCE_S, wait_until
from test_refusals import expect_refused, line_of
from test_reload import reload
from test_seat import door, picture
from test_seat_virtio import ABS_X, ABS_Y, AXIS_MAX, HEIGHT, KEY_A, WIDTH, display, pattern, socket_of
from test_takeover import take_over

SCANOUTS = 3


def sections(scanouts=SCANOUTS):
    return {"seat desk": {"size": "1000x800"}, "guest alice": {}, "keyboard alice/0": {}, "tablet alice/0": {},
            "display alice/0": {"seat": "desk", "source": "virtio", "size": f"{WIDTH}x{HEIGHT}", "scanouts": scanouts}}


@pytest.fixture
def daemon(make_daemon):
    return make_daemon(sections())


def name_of(scanout):
    return f"alice/0:{scanout}" if scanout else "alice/0"


def windows(daemon):
    return {one["display"]: one for one in daemon.api("GET", "/v1/seats/desk")[1]["displays"]}


def window(daemon, scanout):
    return windows(daemon)[name_of(scanout)]


def expect_shown(daemon, rows, scanout):
    wait_until(lambda: picture(daemon, f"/v1/displays/{name_of(scanout)}/picture") == rows, f"the picture of {name_of(scanout)}")


def start(one, scanout, size=(WIDTH, HEIGHT), seed=0):
    """Shows a picture of its own on a scanout; returns it."""
    rows = pattern(*size, 100 * seed + scanout)
    number = 100 * seed + 10 + scanout
    one.create(number, *size)
    one.write(number, rows)
    one.transfer(number, 0, 0, *size)
    one.show(number, scanout)
    one.flush(number, 0, 0, *size)
    return rows


def test_each_is_a_window(daemon):
    """With its own monitor, picture and darkness; the seat's screen shows all of them."""
    assert list(windows(daemon)) == [name_of(scanout) for scanout in range(SCANOUTS)]
    with display(daemon) as one:
        assert one.modes()[:SCANOUTS + 1] == [(WIDTH, HEIGHT, True)] * SCANOUTS + [(0, 0, False)]
        serials = set()
        for scanout in range(SCANOUTS):
            kind, body = one.command(gpu.GET_EDID, struct.pack("<II", scanout, 0))
            assert kind == gpu.OK_EDID
            serials.add(bytes(body[8:8 + 128]))
        assert len(serials) == SCANOUTS
        rows = start(one, 1)
        expect_shown(daemon, rows, 1)
        assert [one["shown"] for one in windows(daemon).values()] == [False, True, False]
        everything = {1: rows, 0: start(one, 0), 2: start(one, 2, (150, 90))}
        for scanout, expected in everything.items():
            expect_shown(daemon, expected, scanout)
        screen = picture(daemon, "/v1/seats/desk/picture")
        for scanout, expected in everything.items():
            where = window(daemon, scanout)["picture"]
            assert [row[where["x"] * 3:(where["x"] + where["width"]) * 3]
                    for row in screen[where["y"]:where["y"] + where["height"]]] == expected
        device = daemon.api("GET", "/v1/status")[1]["devices"]
        told = next(one for one in device if one["kind"] == "display")
        assert told["scanouts"] == SCANOUTS and [one["display"] for one in told["windows"]] == list(windows(daemon))
        one.show(0, 1)
        expect_shown(daemon, [bytes(WIDTH * 3)] * HEIGHT, 1)
        expect_shown(daemon, everything[0], 0)
    wait_until(lambda: not any(one["shown"] for one in windows(daemon).values()), "the windows have gone with their VMM")


def test_parts_of_one_resource(daemon):
    """As an X server shows them: one large picture, of which each scanout has a part."""
    rows = pattern(WIDTH * SCANOUTS, HEIGHT)

    def part(scanout):
        return [row[scanout * WIDTH * 3:(scanout + 1) * WIDTH * 3] for row in rows]

    with display(daemon) as one:
        one.create(1, WIDTH * SCANOUTS, HEIGHT)
        one.draw(1, rows)
        for scanout in range(SCANOUTS):
            one.show(1, scanout, (scanout * WIDTH, 0), (WIDTH, HEIGHT))
        for scanout in range(SCANOUTS):
            expect_shown(daemon, part(scanout), scanout)
        # Across the border of two of them.
        patch = pattern(40, 30, 5)
        one.draw(1, patch, WIDTH - 20, 10)
        for line, row in enumerate(patch):
            rows[10 + line] = rows[10 + line][:(WIDTH - 20) * 3] + row + rows[10 + line][(WIDTH + 20) * 3:]
        for scanout in range(SCANOUTS):
            expect_shown(daemon, part(scanout), scanout)


def test_what_users_do(daemon):
    """Focus, size and scale are a window's; keys of any go to the guest; the pointer is where it points."""
    with display(daemon) as one, gpu.Input(socket_of(daemon, "alice", "keyboard")) as keyboard, \
            gpu.Input(socket_of(daemon, "alice", "tablet")) as tablet, rfb.Viewer(door(daemon)) as viewer:
        for scanout in range(SCANOUTS):
            expect_shown(daemon, start(one, scanout), scanout)
        for scanout in range(SCANOUTS):
            assert daemon.api("PATCH", "/v1/seats/desk", {"focus": name_of(scanout)})[0] == 200
            assert [one["focus"] for one in windows(daemon).values()] == [at == scanout for at in range(SCANOUTS)]
            viewer.key(KEY_A, True)
            viewer.key(KEY_A, False)
            assert keyboard.hear(2) == [(gpu.EV_KEY, KEY_A, 1), (gpu.EV_KEY, KEY_A, 0)]
            where = window(daemon, scanout)["picture"]
            viewer.pointer(where["x"] + 50, where["y"] + HEIGHT - 1, 0)
            # Pictures lie side by side on the axes.
            expected = (scanout * WIDTH + 50) * AXIS_MAX // (SCANOUTS * WIDTH - 1)
            assert tablet.hear(2) == [(gpu.EV_ABS, ABS_X, expected), (gpu.EV_ABS, ABS_Y, AXIS_MAX)]
        code, told = daemon.api("PATCH", "/v1/seats/desk", {"size": {"alice/0:2": "320x240"}, "scale": {"alice/0:1": "50%"}})
        assert code == 200
        assert [one["scale"] for one in told["displays"]] == ["100%", "50%", "100%"]
        wait_until(lambda: one.modes()[2] == (320, 240, True), "the third monitor has another size")
        assert one.modes()[:2] == [(WIDTH, HEIGHT, True)] * 2
        for name in "alice/0:3", "alice/0:0", "alice/0:", "alice/0:1x":
            assert daemon.api("PATCH", "/v1/seats/desk", {"focus": name})[0] == 404
            assert daemon.api("POST", f"/v1/displays/{name}/picture")[0] == 404


def test_commands(daemon, tmp_path):
    """A window is called as `viaduct seat show` lists it."""
    def viaduct(*words):
        return subprocess.run([build_directory() / "src/cli/viaduct", "--runtime-dir", daemon.runtime, *words],
                              capture_output=True, text=True, check=False, timeout=PATIENCE_S)

    with display(daemon) as one:
        rows = [start(one, scanout) for scanout in range(SCANOUTS)]
        for scanout in range(SCANOUTS):
            expect_shown(daemon, rows[scanout], scanout)
        shown = viaduct("seat", "show", "desk").stdout.splitlines()
        assert [line.split()[0] for line in shown[-SCANOUTS:]] == [name_of(scanout) for scanout in range(SCANOUTS)]
        assert viaduct("seat", "focus", "desk", "alice/0:2").returncode == 0 and window(daemon, 2)["focus"]
        assert viaduct("seat", "scale", "desk", "alice/0:1", "50%").returncode == 0 and window(daemon, 1)["scale"] == "50%"
        which = viaduct("seat", "focus", "desk", "alice")
        assert which.returncode == 1 and "alice has 3 displays on desk; name one of them, as alice/0" in which.stderr
        shots = []
        for name in "alice/0", "alice/0:1":
            path = tmp_path / "shot.png"
            assert viaduct("screenshot", name, "-o", str(path)).returncode == 0
            shots.append(path.read_bytes())
        assert shots[0] != shots[1]


def test_takeover(daemon):
    """Pictures, places, scales and the focus of each window stay."""
    with display(daemon) as one, gpu.Screen(one) as screen:
        shown = [start(one, scanout, (100 + scanout, 90)) for scanout in range(SCANOUTS)]
        for scanout, rows in enumerate(shown):
            expect_shown(daemon, rows, scanout)
            screen.expect(rows, scanout)
        body = {"focus": "alice/0:1", "scale": {"alice/0:2": "200%"}}
        assert daemon.api("PATCH", "/v1/seats/desk", body)[0] == 200
        before = windows(daemon)
        for turn in range(2):
            take_over(daemon)
            for scanout, rows in enumerate(shown):
                expect_shown(daemon, rows, scanout)
            for name, told in windows(daemon).items():
                assert all(told[key] == before[name][key] for key in ("focus", "scale", "frame", "picture")), name
            for scanout, rows in enumerate(shown):
                rows[turn] = pattern(len(rows[0]) // 3, 1, 7 + turn)[0]
                one.draw(10 + scanout, [rows[turn]], 0, turn)
                expect_shown(daemon, rows, scanout)
                screen.expect(rows, scanout)


def test_another_number(daemon):
    """After a reload with no front end: the windows are as many as the section says."""
    for scanouts in 1, 16:
        daemon.sections["display alice/0"]["scanouts"] = scanouts
        reload(daemon)
        assert list(windows(daemon)) == [name_of(scanout) for scanout in range(scanouts)]
        with display(daemon) as one:
            assert [mode[2] for mode in one.modes()] == [True] * scanouts + [False] * (16 - scanouts)
            expect_shown(daemon, start(one, scanouts - 1), scanouts - 1)


@pytest.mark.parametrize("settings, message", [
    ({"source": "virtio", "scanouts": "17"}, "scanouts = 17 is out of range: give a number from 1 to 16"),
    ({"source": "virtio", "scanouts": "0"}, "scanouts = 0 is out of range: give a number from 1 to 16"),
    ({"scanouts": "2"}, "scanouts = 2 is for a display with source = virtio; a VMM's own is one window"),
])
def test_bad_values(make_daemon, settings, message):
    made = {"seat desk": {}, "guest alice": {}, "display alice/0": {"seat": "desk", **settings}}
    daemon = make_daemon(made, start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, 'display alice/0', 'scanouts')}: {message}")
