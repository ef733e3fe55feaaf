# SPDX-License-Identifier: GPL-2.0-or-later
"""`viaduct seat` and `viaduct screenshot` against what an API answers; tests/guests/test_seat.py has real guests."""
import pathlib
import random
import struct
import subprocess
import zlib

import pytest

RECT = {"x": 0, "y": 24, "width": 726, "height": 425}


def display(name, **more):
    return {"display": name, "seat": "desk", "source": "vmm", "colour": "c8102e", "colour_name": "red", "shown": True, "focus": False,
            "full_screen": False, "scale": "100%", "frame": RECT, "picture": {**RECT, "width": 720, "height": 400}, **more}


BOB = {**display("bob/0", shown=False, colour="123456")}
del BOB["colour_name"]


def desk(**more):
    return {"name": "desk", "width": 1280, "height": 800, "viewers": 2, "frames": 1, "drawn_pixels": 1, "typing": 0, "typed": 0,
            "dropped": 0, "displays": [display("alice/0", focus=True), BOB,
                                       display("carol/0"), display("carol/1")], **more}


@pytest.fixture
def seat(api):
    api.answer("GET", "/v1/seats", {"seats": [desk()]})
    api.answer("GET", "/v1/seats/desk", desk())
    return api


def test_list_and_show(viaduct, seat):
    result = viaduct("seat", "list")
    assert result.code == 0 and result.out.splitlines()[1].split() == ["desk", "1280x800", "3", "2", "alice/0"]
    lines = viaduct("seat", "show", "desk").out.splitlines()
    assert lines[0] == "desk: 1280 x 800 pixels, 2 viewers"
    assert lines[3].split() == ["alice/0", "red", "yes", "yes", "720x400", "100%", "0,24"]
    assert lines[4].split() == ["bob/0", "123456", "no", "720x400", "100%", "0,24"]


def test_scale_of_what_fills_the_screen(viaduct, api):
    """The scale that a window has is not that at which it is shown then."""
    api.answer("GET", "/v1/seats/desk", desk(displays=[display("alice/0", focus=True, full_screen=True)]))
    assert "KEYBOARD" in viaduct("seat", "show", "desk").out
    assert " full screen " in viaduct("seat", "show", "desk").out and "100%" not in viaduct("seat", "show", "desk").out
    api.answer("GET", "/v1/seats/desk", desk(overview=True, displays=[display("alice/0", full_screen=True)]))
    assert " overview " in viaduct("seat", "show", "desk").out.splitlines()[-1]


def test_what_is_not_served(viaduct, api):
    api.answer("GET", "/v1/seats/desk", desk(not_served=["web = 127.0.0.1:6080: Address already in use", "vnc = x"]))
    lines = viaduct("seat", "show", "desk").out.splitlines()
    assert lines[2:5] == ["console: not served: web = 127.0.0.1:6080: Address already in use", "", "not served: vnc = x"]


def test_viewers_of_one_guest(viaduct, api):
    """Where there is a socket for them, or one of them."""
    displays = [display("alice/0", viewers=2, vnc="/run/viaduct/display-alice-0.vnc"), display("bob/0", viewers=1),
                display("carol/0", viewers=0)]
    api.answer("GET", "/v1/seats/desk", desk(displays=displays))
    lines = viaduct("seat", "show", "desk").out.splitlines()
    assert lines[2:5] == ["alice/0 alone: /run/viaduct/display-alice-0.vnc, 2 viewers", "bob/0 alone: 1 viewers", ""]


@pytest.mark.parametrize("screen, line", [
    ({"state": "on", "connector": "DP-1", "width": 1280, "height": 800, "refresh_hz": 60},
     "screen: DP-1 on /dev/dri/card0, 1280x800 at 60 Hz"),
    ({"state": "off"}, "screen: /dev/dri/card0, without a monitor"),
    ({"state": "lost"}, "screen: /dev/dri/card0, which another program has"),
    ({"state": "closed"}, "screen: /dev/dri/card0, which cannot be opened"),
])
def test_the_host_s_own_screen_and_devices(viaduct, api, screen, line):
    devices = [{"path": "/dev/input/event3", "name": "A board", "kind": "keyboard"}]
    api.answer("GET", "/v1/seats/desk", desk(screen={"card": "/dev/dri/card0", "frames": 1, "copied_pixels": 1, **screen},
                                             input={"devices": devices, "events": 1, "dropped": 0}))
    lines = viaduct("seat", "show", "desk").out.splitlines()
    assert lines[2:5] == [line, "keyboard: /dev/input/event3, A board", ""]
    api.answer("GET", "/v1/seats/desk", desk(input={"devices": [], "events": 0, "dropped": 0}))
    assert viaduct("seat", "show", "desk").out.splitlines()[2:4] == ["input: no device", ""]


@pytest.mark.parametrize("words, body", [
    (["alice"], {"focus": "alice/0"}),
    (["carol/1", "--full-screen"], {"focus": "carol/1", "full_screen": "carol/1"}),
    (["none"], {"focus": None}),
    (["alice", "--window"], {"focus": "alice/0", "full_screen": None}),
])
def test_focus(viaduct, seat, words, body):
    seat.answer("PATCH", "/v1/seats/desk", desk())
    assert viaduct("seat", "focus", "desk", *words).code == 0
    assert seat.requests[-1] == ("PATCH", "/v1/seats/desk", body)


@pytest.mark.parametrize("words, body", [([], {}), (["--to", "alice"], {"display": "alice/0"})])
def test_paste(viaduct, seat, words, body):
    seat.answer("POST", "/v1/seats/desk/paste", desk())
    assert viaduct("seat", "paste", "desk", *words).code == 0
    assert seat.requests[-1] == ("POST", "/v1/seats/desk/paste", body)


@pytest.mark.parametrize("words, message", [
    (["carol"], "carol has 2 displays on desk; name one of them, as carol/0"),
    (["eve"], "desk has no display of eve; `viaduct seat show desk` lists them"),
    (["ali"], "desk has no display of ali; `viaduct seat show desk` lists them"),
])
def test_focus_of_what_is_not_there(viaduct, seat, words, message):
    result = viaduct("seat", "focus", "desk", *words)
    assert (result.code, result.err) == (1, f"viaduct seat focus: {message}\n")
    assert viaduct("seat", "focus", "desk", "alice", "--window", "--full-screen").code == 2


def test_scale_and_size(viaduct, seat):
    seat.answer("PATCH", "/v1/seats/desk", desk())
    assert viaduct("seat", "scale", "desk", "alice", "50%").code == 0
    assert seat.requests[-1] == ("PATCH", "/v1/seats/desk", {"scale": {"alice/0": "50%"}})
    assert viaduct("seat", "resize", "desk", "carol/1", "1024x768").code == 0
    assert seat.requests[-1] == ("PATCH", "/v1/seats/desk", {"size": {"carol/1": "1024x768"}})
    assert viaduct("seat", "scale", "desk", "eve", "fit").code == 1
    assert viaduct("seat", "scale", "desk", "none", "fit").code == 2


@pytest.mark.parametrize("words, overview", [([], True), (["on"], True), (["off"], False)])
def test_overview(viaduct, seat, words, overview):
    seat.answer("PATCH", "/v1/seats/desk", desk(overview=overview))
    result = viaduct("seat", "overview", "desk", *words)
    assert result.code == 0 and ("side by side" in result.out) == overview
    assert seat.requests[-1] == ("PATCH", "/v1/seats/desk", {"overview": overview})
    assert viaduct("seat", "overview", "desk", "perhaps").code == 2


# ---- pictures ----

def decode_png(data):
    """Rows of three bytes a pixel, of a PNG without interlacing (PNG, 2nd edition)."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed, width, height = 8, b"", 0, 0
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
            assert (depth, colour, interlace) == (8, 2, 0)
        elif kind == b"IDAT":
            packed += body
        at += 12 + length
    raw, rows, above = zlib.decompress(packed), [], bytes(width * 3)
    for line in range(height):
        kind, row = raw[line * (width * 3 + 1)], bytearray(raw[line * (width * 3 + 1) + 1:(line + 1) * (width * 3 + 1)])
        for i in range(len(row)):
            left = row[i - 3] if i >= 3 else 0
            corner = above[i - 3] if i >= 3 else 0
            guess = left + above[i] - corner
            distances = [(abs(guess - value), order, value) for order, value in enumerate((left, above[i], corner))]
            row[i] = (row[i] + (0, left, above[i], (left + above[i]) // 2, min(distances)[2])[kind]) & 255
        rows.append(bytes(row))
        above = row
    return rows


@pytest.mark.parametrize("name, path, file", [("desk", "/v1/seats/desk/picture", "desk.png"),
                                              ("alice", "/v1/displays/alice/0/picture", "alice.png"),
                                              ("carol/1", "/v1/displays/carol/1/picture", "carol-1.png")])
def test_screenshot(viaduct, seat, short_dir, name, path, file):
    pixels = random.Random(3).randbytes(31 * 17 * 3)
    seat.answer("POST", path, b"P6\n31 17\n255\n" + pixels)
    rows = [pixels[at:at + 31 * 3] for at in range(0, len(pixels), 31 * 3)]
    done = subprocess.run([viaduct.program, "--runtime-dir", viaduct.runtime_dir, "screenshot", name], cwd=short_dir,
                          capture_output=True, text=True, check=True)
    assert done.stdout == f"{file}: 31 x 17 pixels\n"
    assert decode_png((short_dir / file).read_bytes()) == rows
    done = subprocess.run([viaduct.program, "--runtime-dir", viaduct.runtime_dir, "screenshot", name, "-o", "-"],
                          capture_output=True, check=True)
    assert decode_png(done.stdout) == rows


def test_screenshot_of_what_is_not_shown(viaduct, seat, short_dir):
    """What it showed last may be what is wanted, but has to be told from what is there now."""
    seat.answer("POST", "/v1/displays/bob/0/picture", b"P6\n1 1\n255\nabc")
    result = viaduct("screenshot", "bob", "-o", short_dir / "bob.png")
    assert result.code == 0 and "bob shows nothing now; this is what it showed last, if ever" in result.err
    seat.answer("POST", "/v1/displays/alice/0/picture", b"P6\n1 1\n255\nabc")
    assert viaduct("screenshot", "alice", "-o", short_dir / "alice.png").err == ""


@pytest.mark.parametrize("answer", [b"", b"{}", b"P6\n", b"P6\n1 1\n255\n12", b"P6\n1 1\n255\n1234", b"P6\n0 9\n255\n",
                                    b"P6\n99999 1\n255\n", b"P5\n1 1\n255\n1", b"P6" + b" " * 1000])
def test_answers_that_are_no_picture(viaduct, seat, short_dir, answer):
    seat.answer("POST", "/v1/seats/desk/picture", answer)
    result = viaduct("screenshot", "desk", "-o", short_dir / "no.png")
    assert (result.code, result.err) == (1, "viaduct screenshot: the daemon's answer is no picture\n")
    assert not (short_dir / "no.png").exists()


def test_files_that_cannot_be_written(viaduct, seat, short_dir):
    seat.answer("POST", "/v1/seats/desk/picture", b"P6\n1 1\n255\n123")
    assert "no/such.png: No such file or directory" in viaduct("screenshot", "desk", "-o", short_dir / "no/such.png").err
    result = viaduct("screenshot", "desk", "-o", "/dev/full")
    assert result.code == 1 and result.err.startswith("viaduct screenshot: /dev/full: ")
    assert pathlib.Path("/dev/full").is_char_device()
    assert "there is no seat eve, and no guest of that name" in viaduct("screenshot", "eve").err


# ---- typing ----

def test_text_is_waited_for(viaduct, seat):
    """Until all of it is typed; and it is said when that does not come."""
    left = [3, 2, 0]
    seat.answer("POST", "/v1/seats/desk/type", desk(typing=4))
    seat.answer("GET", "/v1/seats/desk", lambda body: (200, desk(typing=left.pop(0))))
    assert viaduct("seat", "type", "desk", "héllo", "--enter").code == 0
    assert left == [] and seat.requests[0] == ("POST", "/v1/seats/desk/type", {"text": "héllo\n"})
    seat.answer("GET", "/v1/seats/desk", lambda body: (200, desk(dropped=7)))
    result = viaduct("seat", "type", "desk", "x")
    assert (result.code, result.err) == (1, "viaduct seat type: the keyboard went to another: 7 strokes were not typed\n")


def test_text_of_standard_input_for_one_guest(viaduct, seat):
    seat.answer("POST", "/v1/seats/desk/type", desk())
    command = [viaduct.program, "--runtime-dir", viaduct.runtime_dir, "seat", "type", "desk", "-", "--to", "alice"]
    subprocess.run(command, input=b"two\nlines\n", check=True)
    assert seat.requests[-1] == ("POST", "/v1/seats/desk/type", {"text": "two\nlines\n", "display": "alice/0"})
    for text, message in (b"x" * 30001, b"more than 30000 bytes"), (b"a\0b", b"not a text"), (b"\xff", b"the text is not UTF-8"):
        done = subprocess.run(command, input=text, capture_output=True, check=False)
        assert done.returncode == 1 and message in done.stderr
