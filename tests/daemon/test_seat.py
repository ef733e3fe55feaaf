# SPDX-License-Identifier: GPL-2.0-or-later
"""Seats without guests: where viewers find them, what they see, how many there may be, and takeovers under their eyes."""
import os
import socket
import struct
import subprocess

import pytest

import rfb
from patience import wait_until
from test_refusals import expect_refused, line_of
from test_reload import reload
from test_takeover import take_over

WIDTH, HEIGHT, BAR, LINE = 320, 200, 24, 2
NOBODY, BACKGROUND = 0x505860, 0x202428
NO_FOCUS = {"error": "no display has the focus; `viaduct seat focus desk GUEST` gives it to one"}
VIEWERS_MAX = 16


def sections(**seat):
    return {"seat desk": {"size": f"{WIDTH}x{HEIGHT}", **seat}, "guest alice": {}, "display alice/0": {"seat": "desk"}}


def door(daemon):
    return daemon.runtime / "seat-desk.vnc"


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class EmptySeat:
    """Rows of the screen without windows, whatever letters are in its bar. The bar's lower edge is a line."""

    def __eq__(self, rows):
        nobody, background = (bytes.fromhex(f"{colour:06x}") * WIDTH for colour in (NOBODY, BACKGROUND))
        margin = 8 * 3
        return len(rows) == HEIGHT and rows[0] == nobody and rows[BAR - LINE:] == [background] * (HEIGHT - BAR + LINE) and all(
            row[:margin] == nobody[:margin] and row[-margin:] == nobody[-margin:] for row in rows[:BAR - LINE])

    def __repr__(self):
        return "a seat without windows"


def empty_seat():
    return EmptySeat()


def picture(daemon, path):
    """A picture of the API's: rows of three bytes a pixel."""
    status, body = daemon.api("POST", path, raw=True)
    assert status == 200, body
    kind, width, height, depth = body.split(maxsplit=4)[:4]
    assert (kind, depth) == (b"P6", b"255")
    pixels = body[len(b"P6\n%b %b\n255\n" % (width, height)):]
    assert len(pixels) == int(width) * int(height) * 3
    return [pixels[at:at + int(width) * 3] for at in range(0, len(pixels), int(width) * 3)]


def seat(daemon):
    return daemon.api("GET", "/v1/seats/desk")[1]


@pytest.fixture
def desk(make_daemon):
    return make_daemon(sections())


# ---- viewers ----

def test_viewers_see_the_screen(make_daemon):
    port = free_port()
    daemon = make_daemon(sections(vnc=f"127.0.0.1:{port}"))
    with rfb.Viewer(door(daemon)) as one, rfb.Viewer(("127.0.0.1", port)) as other:
        assert (one.width, one.height, one.name) == (WIDTH, HEIGHT, "desk")
        assert one.rows(0, 0, WIDTH, HEIGHT) == other.rows(0, 0, WIDTH, HEIGHT) == empty_seat()
        assert seat(daemon)["viewers"] == 2
    wait_until(lambda: seat(daemon)["viewers"] == 0, "viewers have left")
    assert picture(daemon, "/v1/seats/desk/picture") == empty_seat()
    assert picture(daemon, "/v1/displays/alice/0/picture") == [bytes(640 * 3)] * 480


def test_sockets_are_the_daemon_s_users(desk):
    assert door(desk).stat().st_mode & 0o777 == 0o600
    desk.stop()
    assert not door(desk).exists()


def test_so_many_viewers_and_no_more(desk):
    """One more is told so by the end of its connection, and has its place when another leaves."""
    viewers = [rfb.Viewer(door(desk)) for _ in range(VIEWERS_MAX)]
    assert seat(desk)["viewers"] == VIEWERS_MAX
    with pytest.raises(OSError):
        late = socket.socket(socket.AF_UNIX)
        late.settimeout(1)
        late.connect(str(door(desk)))
        assert late.recv(1) == b""
        raise ConnectionError
    late.close()
    viewers.pop().close()
    wait_until(lambda: seat(desk)["viewers"] < VIEWERS_MAX, "a viewer has left")
    with rfb.Viewer(door(desk)) as viewer:
        assert viewer.rows(0, 0, WIDTH, HEIGHT) == empty_seat()
    for viewer in viewers:
        viewer.close()


HOSTILE = {
    "nothing": b"",
    "another version": b"RFB 000.000\n",
    "noise": os.urandom(4096),
    "half a handshake": b"RFB 003.008\n\1",
    "a kind of access that there is not": b"RFB 003.008\n\x7f",
    "a message that there is not": b"RFB 003.008\n\1\1\xc8" + bytes(1000),
    "a text of 4 GiB": b"RFB 003.008\n\1\1" + struct.pack(">B3xI", 6, 0xffffffff) + bytes(65536),
    "all encodings": b"RFB 003.008\n\1\1" + struct.pack(">BxH", 2, 0xffff) + bytes(range(256)) * 1024,
    "an update of nothing, often": b"RFB 003.008\n\1\1" + struct.pack(">BBHHHH", 3, 0, 0xffff, 0xffff, 0xffff, 0xffff) * 10000,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_viewers_harm_nobody(desk, what):
    with rfb.Viewer(door(desk)) as honest:
        for shut in False, True:
            with socket.socket(socket.AF_UNIX) as hostile:
                hostile.connect(str(door(desk)))
                hostile.settimeout(5)
                try:
                    hostile.sendall(HOSTILE[what])
                    if shut:
                        hostile.shutdown(socket.SHUT_WR)
                        while hostile.recv(65536):
                            pass
                except OSError:
                    pass
        honest.request(incremental=False)
        honest.update()
        assert honest.rows(0, 0, WIDTH, HEIGHT) == empty_seat()
    wait_until(lambda: seat(desk)["viewers"] == 0, "viewers have left")


def test_a_viewer_that_never_reads(desk):
    """It holds up nobody, and the daemon's end."""
    with socket.socket(socket.AF_UNIX) as deaf, rfb.Viewer(door(desk)) as viewer:
        deaf.connect(str(door(desk)))
        deaf.sendall(b"RFB 003.008\n\1\1" + struct.pack(">BBHHHH", 3, 0, 0, 0, WIDTH, HEIGHT) * 1000)
        assert viewer.rows(0, 0, WIDTH, HEIGHT) == empty_seat()
        desk.stop()


# ---- takeover ----

def test_viewers_do_not_notice_a_takeover(desk):
    with rfb.Viewer(door(desk)) as viewer:
        for _ in range(3):
            take_over(desk)
            assert seat(desk)["viewers"] == 1
            viewer.request(incremental=False)
            viewer.update()
            assert viewer.rows(0, 0, WIDTH, HEIGHT) == empty_seat() and viewer.resizes == 0
        with rfb.Viewer(door(desk)) as new:
            assert new.rows(0, 0, WIDTH, HEIGHT) == empty_seat()
    desk.stop()
    assert not door(desk).exists()


def test_scales_stay_at_a_takeover(desk):
    """Also of a window that shows nothing. The overview ends."""
    for scale in "25%", "fit":
        assert desk.api("PATCH", "/v1/seats/desk", {"scale": {"alice/0": scale}, "overview": True})[0] == 200
        take_over(desk)
        assert seat(desk)["displays"][0]["scale"] == scale and not seat(desk)["overview"]


# ---- configuration ----

WRONG = [
    ("seat desk", "size", "1280", "is no size of a screen, for example 1280x800; 64x64 to 8192x8192"),
    ("seat desk", "size", "63x64", "is no size of a screen, for example 1280x800; 64x64 to 8192x8192"),
    ("seat desk", "size", "99999999999999999999x64", "is no size of a screen, for example 1280x800; 64x64 to 8192x8192"),
    ("seat desk", "vnc", "5900", "is no address and port, for example 127.0.0.1:5900 or [::1]:5900, and not none"),
    ("seat desk", "vnc", "127.0.0.1:0", "is no address and port, for example 127.0.0.1:5900 or [::1]:5900, and not none"),
    ("seat desk", "vnc", "::1:5900", "is no address and port, for example 127.0.0.1:5900 or [::1]:5900, and not none"),
    ("seat desk", "vnc", "0.0.0.0:5900", "is not a loopback address: all who reach it would see all guests and type into "
     "them, without a password; add vnc_certificate, vnc_key and vnc_password_file, or use 127.0.0.1, and a tunnel (ssh -L) "
     "from elsewhere"),
    ("seat desk", "layout", "../us", "is no name of a layout, for example us or de:nodeadkeys"),
    ("seat desk", "layout", "klingon", "is no keyboard layout of this host; use for example us, de, fr or de:nodeadkeys "
     "(`man xkeyboard-config` lists them)"),
    ("display alice/0", "seat", "deks", "is not declared; did you mean desk?"),
    ("display alice/0", "seat", "chair", "is not declared; add a section [seat NAME]"),
    ("display alice/0", "colour", "12345", "is no colour; use red, green, blue, orange, purple, yellow, cyan, pink, or RRGGBB"),
]


@pytest.mark.parametrize("section, key, value, message", WRONG)
def test_mistakes(make_daemon, section, key, value, message):
    wrong = sections()
    wrong[section][key] = value
    daemon = make_daemon(wrong, start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, section, key)}: {key} = {value} {message}")


def test_a_display_needs_a_seat(make_daemon):
    wrong = sections()
    wrong["display alice/0"] = {}
    daemon = make_daemon(wrong, start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, 'display alice/0', '')}: [display alice/0] has no seat; "
                           "add for example seat = desk")


def test_a_guest_has_one_display(make_daemon):
    wrong = sections()
    wrong["display alice/1"] = {"seat": "desk"}
    daemon = make_daemon(wrong, start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, 'display alice/1', '')}: [display alice/1] is the second display "
                           "of its guest; a guest has one")


def test_check_says_what_there_will_be(make_daemon):
    daemon = make_daemon(sections(vnc="127.0.0.1:5999"), start=False)
    done = subprocess.run(daemon.command("--check"), capture_output=True, text=True, check=True)
    assert f"seat desk: a screen of {WIDTH}x{HEIGHT}, for viewers at its socket and at 127.0.0.1:5999" in done.stdout.splitlines()


def test_two_displays_of_one_colour(make_daemon):
    """It is allowed, and told."""
    both = sections() | {"guest bob": {}, "display bob/0": {"seat": "desk", "colour": "1a5fb4"}}
    daemon = make_daemon(both, start=False)
    said = "display bob/0: its frame has the colour of alice/0; give it another with colour ="
    done = subprocess.run(daemon.command("--check"), capture_output=True, text=True, check=True)
    assert said in done.stdout.splitlines()
    daemon.start().wait_line(said)


def test_a_port_that_another_has(make_daemon):
    """The rest is served."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        daemon = make_daemon(sections(vnc=f"127.0.0.1:{port}"))
        said = f"vnc = 127.0.0.1:{port}: Address already in use; another program has this port: give the seat another one"
        daemon.wait_line(f"seat desk: {said}")
        daemon.wait_line("ready: 1 device served, others are not: see above")
        with rfb.Viewer(door(daemon)):
            assert seat(daemon)["viewers"] == 1
        assert seat(daemon)["not_served"] == [said]


def test_a_font_that_is_none(make_daemon, tmp_path):
    daemon = make_daemon(sections(font=tmp_path / "none.ttf"))
    daemon.wait_line(f"seat desk: cannot read the font {tmp_path}/none.ttf")
    assert daemon.api("GET", "/v1/seats")[1] == {"seats": []}
    assert daemon.api("GET", "/v1/seats/desk") == (
        404, {"error": f"the seat desk is not served: cannot read the font {tmp_path}/none.ttf"})
    assert f"there is no seat desk: cannot read the font {tmp_path}/none.ttf" in daemon.api("GET", "/v1/devices/display/alice/0")[1]["error"]


def test_reload_refuses_a_layout_that_is_none(desk):
    desk.sections["seat desk"]["layout"] = "german"
    desk.write_config()
    status, answer = desk.api("POST", "/v1/reload")
    assert status == 422 and f"{desk.config}:{line_of(desk, 'seat desk', 'layout')}: layout = german is no keyboard" in \
        answer["errors"][0]


def test_reload(desk):
    """Displays come and go; a seat's own attributes wait for a restart, and a takeover is one."""
    desk.sections["guest bob"] = {}
    desk.sections["display bob/0"] = {"seat": "desk", "colour": "123456"}
    assert reload(desk) == (["guest bob: added", "display bob/0: added"], [])
    assert [one["display"] for one in seat(desk)["displays"]] == ["alice/0", "bob/0"]
    assert seat(desk)["displays"][1]["colour"] == "123456"
    desk.sections["seat desk"]["size"] = "640x480"
    later = "at the next restart; viaductd --takeover does that without a break"
    assert reload(desk) == ([], [f"seat desk: changes {later}"])
    del desk.sections["display bob/0"]
    assert reload(desk) == (["display bob/0: removed"], [])
    with rfb.Viewer(door(desk)) as viewer:
        take_over(desk)
        viewer.wait(lambda seen: (seen.width, seen.height) == (640, 480), "the larger screen")


# ---- the API ----

def test_what_is_asked_of_seats(desk):
    status, answer = desk.api("GET", "/v1/seats")
    assert status == 200 and [one["name"] for one in answer["seats"]] == ["desk"]
    assert desk.api("GET", "/v1/seats/chair") == (404, {"error": "there is no seat 'chair'"})
    assert desk.api("POST", "/v1/displays/bob/0/picture")[0] == 404
    assert desk.api("PATCH", "/v1/seats/desk", {}) == (400, {"error": "give focus or full_screen: a display, or null; scale or size: by display; or overview"})
    assert desk.api("PATCH", "/v1/seats/desk", {"focus": "bob/0"}) == (404, {"error": "the seat desk has no display 'bob/0'"})
    # A display that no VMM shows has no focus.
    refused = (409, {"error": "alice/0 shows nothing now, so it cannot have the keyboard or the screen"})
    assert desk.api("PATCH", "/v1/seats/desk", {"focus": "alice/0", "full_screen": None}) == refused
    assert desk.api("PATCH", "/v1/seats/desk", {"full_screen": "alice/0"}) == refused
    status, answer = desk.api("PATCH", "/v1/seats/desk", {"focus": None, "full_screen": None})
    assert status == 200 and not answer["displays"][0]["focus"]
    wrong = {"error": 'the scale of alice/0 must be "fit", or "10%" to "400%"'}
    for scale in "9%", "401%", "50", "%", "", "1e2%", "-50%", "fits", "99999999999%", 50, None, {}:
        assert desk.api("PATCH", "/v1/seats/desk", {"scale": {"alice/0": scale}}) == (400, wrong)
    assert desk.api("PATCH", "/v1/seats/desk", {"scale": "fit"}) == (400, {"error": "scale must be an object"})
    assert desk.api("PATCH", "/v1/seats/desk", {"scale": {"alice/0": "50%", "bob/0": "fit"}})[0] == 404
    for scale in "50%", "fit":
        status, answer = desk.api("PATCH", "/v1/seats/desk", {"scale": {"alice/0": scale}})
        assert status == 200 and answer["displays"][0]["scale"] == scale
    assert answer["displays"][0]["frame"]["height"] <= HEIGHT - BAR
    wrong = {"error": 'the size of alice/0 must be for example "1280x800"; 64x64 to 8192x8192'}
    for size in "63x64", "1280", "", "8193x64", "1280x800x1", 7:
        assert desk.api("PATCH", "/v1/seats/desk", {"size": {"alice/0": size}}) == (400, wrong)
    assert desk.api("PATCH", "/v1/seats/desk", {"size": {"alice/0": "640x480"}}) == (
        409, {"error": "alice/0 shows nothing whose guest could be asked for a size"})
    for overview in True, False:
        status, answer = desk.api("PATCH", "/v1/seats/desk", {"overview": overview})
        assert status == 200 and answer["overview"] == overview
    assert desk.api("POST", "/v1/seats/desk/type", {"text": "x"}) == (409, NO_FOCUS)
    assert desk.api("POST", "/v1/seats/desk/type", {"text": "x", "display": "alice/0"}) == (
        409, {"error": "another display, or none, has the focus"})
    nothing = 409, {"error": "no viewer of the seat has copied a text since the last was pasted"}
    assert desk.api("POST", "/v1/seats/desk/paste", {}) == nothing
    with rfb.Viewer(door(desk)) as viewer:
        viewer.cut(b"copied")
        wait_until(lambda: desk.api("POST", "/v1/seats/desk/paste", {}) == (409, NO_FOCUS), "a text")
        viewer.cut(b"")
        wait_until(lambda: desk.api("POST", "/v1/seats/desk/paste", {}) == nothing, "none again")
        viewer.provide("100 \N{EURO SIGN}")
        wait_until(lambda: desk.api("POST", "/v1/seats/desk/paste", {}) == (409, NO_FOCUS), "a text")
        viewer.provide("")
        wait_until(lambda: desk.api("POST", "/v1/seats/desk/paste", {}) == nothing, "none again")
    assert desk.api("POST", "/v1/seats/desk/paste", {"text": "x"})[0] == 400
    wait_until(lambda: 'viaduct_seat_viewers{seat="desk"} 0' in desk.api("GET", "/metrics", raw=True)[1].decode(),
               "the viewer has left")
