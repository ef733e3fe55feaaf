# SPDX-License-Identifier: GPL-2.0-or-later
"""Viewers that see one guest alone: its pixels and no others, keys to it and to no other, whatever the seat shows."""
import socket
import struct

import pytest

import gpu
import rfb
from patience import wait_until
from test_refusals import expect_refused, line_of
from test_reload import reload
from test_seat import BACKGROUND, door
from test_seat_virtio import (AXIS_MAX, BTN_LEFT, BTN_RIGHT, HEIGHT, KEY_A, KEY_LEFTSHIFT, REL_WHEEL, WIDTH, display,
                              expect_shown, focus, pattern, sections, socket_of, start, window)
from test_takeover import take_over

KEY_ESC, KEY_TAB, KEY_LEFTCTRL, KEY_LEFTALT, KEY_B, KEY_V, KEY_ENTER, KEY_0, KEY_SPACE = 1, 15, 29, 56, 48, 47, 28, 11, 57
VIEWERS_MAX = 16


def own_sections():
    made = sections()
    for guest in "alice", "bob":
        made[f"display {guest}/0"]["vnc"] = "own"
    return made


@pytest.fixture
def daemon(make_daemon):
    return make_daemon(own_sections())


def own_door(daemon, guest="alice"):
    return daemon.runtime / f"display-{guest}-0.vnc"


def keyboard(daemon, guest="alice"):
    return gpu.Input(socket_of(daemon, guest, "keyboard"))


def tablet(daemon, guest="alice"):
    return gpu.Input(socket_of(daemon, guest, "tablet"))


def all_of(viewer):
    return viewer.rows(0, 0, viewer.width, viewer.height)


def expect_seen(viewer, rows):
    viewer.wait(lambda seen: (seen.width, seen.height) == (len(rows[0]) // 3, len(rows)) and all_of(seen) == rows,
                "the guest's picture")


def nothing(width=640, height=480):
    return [bytes.fromhex(f"{BACKGROUND:06x}") * width] * height


def seat(daemon):
    return daemon.api("GET", "/v1/seats/desk")[1]


# ---- pixels ----

def test_it_is_the_guest_s_picture(daemon):
    """From the first to the last pixel, and nothing but it: at its own size, when it changes, and when it goes."""
    with display(daemon) as one, rfb.Viewer(own_door(daemon)) as viewer:
        assert viewer.name == "alice/0" and all_of(viewer) == nothing()
        rows = start(one)
        expect_seen(viewer, rows)
        rows[5] = pattern(WIDTH, 1, 3)[0]
        one.draw(1, [rows[5]], 0, 5)
        expect_seen(viewer, rows)
        larger = start(one, 2, 900, 700, 2)         # than the seat's screen
        expect_seen(viewer, larger)
        expect_seen(viewer, larger)
        smaller = start(one, 3, 33, 17, 3)
        expect_seen(viewer, smaller)
        one.show(0)
        expect_seen(viewer, [bytes(33 * 3)] * 17)
        one.show(3)
        expect_seen(viewer, smaller)
        one.front.close()
        expect_seen(viewer, nothing(33, 17))


def test_of_another_guest_nothing_is_seen(daemon):
    """Whatever covers the window on the seat, and however it is shown there."""
    with display(daemon) as alice, display(daemon, "bob") as bob, rfb.Viewer(own_door(daemon)) as viewer, \
            rfb.Viewer(own_door(daemon, "bob")) as other:
        rows = start(alice, 1)
        expect_seen(viewer, rows)
        bobs = start(bob, 2, 800, 600)
        expect_shown(daemon, bobs, "bob")
        for change in {"full_screen": "bob/0"}, {"overview": True}, {"scale": {"alice/0": "30%"}}, {"full_screen": "alice/0"}:
            assert daemon.api("PATCH", "/v1/seats/desk", change)[0] == 200
            rows[9] = pattern(WIDTH, 1, len(str(change)))[0]
            bobs[9] = pattern(800, 1, len(str(change)))[0]
            alice.draw(1, [rows[9]], 0, 9)
            bob.draw(1, [bobs[9]], 0, 9)
            expect_seen(viewer, rows)
            expect_seen(other, bobs)
        assert viewer.resizes == 1 and other.resizes == 1


def test_the_cursor_is_the_guest_s(daemon):
    """Over its picture, as on the seat."""
    with display(daemon) as one, rfb.Viewer(own_door(daemon)) as viewer:
        rows = start(one)
        expect_seen(viewer, rows)
        one.create(9, 64, 64)
        one.write(9, [b"\xff\0\0" * 64] * 64)
        one.transfer(9, 0, 0, 64, 64)
        address = one.backing[9][0]
        for at in range(64 * 64):
            one.memory.write(address + at * 4 + 3, b"\xff")         # opaque
        one.transfer(9, 0, 0, 64, 64)
        one.submit(0x300, struct.pack("<4I4I", 0, 20, 10, 0, 9, 0, 0, 0), queue=1, room=0)
        for y in range(10, 74):
            rows[y] = rows[y][:20 * 3] + b"\xff\0\0" * 64 + rows[y][84 * 3:]
        expect_seen(viewer, rows)


# ---- keys and the pointer ----

def stroke(viewer, *codes):
    for code in codes:
        viewer.key(code, True)
    for code in reversed(codes):
        viewer.key(code, False)


def heard(*codes):
    return [(gpu.EV_KEY, code, 1) for code in codes] + [(gpu.EV_KEY, code, 0) for code in reversed(codes)]


def arrangement(daemon):
    told = seat(daemon)
    return told["overview"], [[one[key] for key in ("focus", "full_screen", "scale", "frame")] for one in told["displays"]]


def test_keys_go_to_that_guest(daemon):
    """Whatever has the focus. What the seat keeps for itself is the guest's here, and changes nothing on the seat."""
    with display(daemon) as one, display(daemon, "bob") as other, keyboard(daemon) as alice, keyboard(daemon, "bob") as bob:
        start(one), start(other)
        wait_until(lambda: window(daemon)["shown"] and window(daemon, "bob")["shown"], "both are shown")
        with rfb.Viewer(own_door(daemon)) as viewer, rfb.Viewer(own_door(daemon, "bob")) as bobs:
            for focused in None, "bob", "alice":
                focus(daemon, focused)
                before = arrangement(daemon)
                for code in KEY_TAB, KEY_ESC, KEY_ENTER, KEY_0, KEY_SPACE:
                    stroke(viewer, KEY_LEFTCTRL, KEY_LEFTALT, code)
                    assert alice.hear(6) == heard(KEY_LEFTCTRL, KEY_LEFTALT, code)
                stroke(bobs, KEY_B)
                assert bob.hear(2) == heard(KEY_B) and not alice.events()
                assert arrangement(daemon) == before


def test_keys_come_up_when_the_viewer_goes(daemon):
    with display(daemon) as one, keyboard(daemon) as keys, tablet(daemon) as pointer:
        start(one)
        with rfb.Viewer(own_door(daemon)) as viewer:
            wait_until(lambda: window(daemon)["shown"], "it is shown")
            viewer.wait(lambda seen: seen.width == WIDTH, "the guest's picture")
            viewer.key(KEY_LEFTSHIFT, True)
            viewer.pointer(3, 3, 1)
            assert keys.hear(1) == [(gpu.EV_KEY, KEY_LEFTSHIFT, 1)]
            assert pointer.hear(3)[2] == (gpu.EV_KEY, BTN_LEFT, 1)
        assert keys.hear(1) == [(gpu.EV_KEY, KEY_LEFTSHIFT, 0)]
        assert pointer.hear(3)[2] == (gpu.EV_KEY, BTN_LEFT, 0)


def test_one_of_them_steers(daemon):
    """As on the seat: who presses first, until it is quiet. The seat's viewers are not held up by that."""
    with display(daemon) as one, keyboard(daemon) as keys:
        start(one)
        wait_until(lambda: window(daemon)["shown"], "it is shown")
        with rfb.Viewer(own_door(daemon)) as first, rfb.Viewer(own_door(daemon)) as second, rfb.Viewer(door(daemon)) as third:
            focus(daemon, "alice")
            first.key(KEY_A, True)
            assert keys.hear(1) == [(gpu.EV_KEY, KEY_A, 1)]
            stroke(second, KEY_B)
            stroke(third, KEY_V)
            assert keys.hear(2) == heard(KEY_V)
            first.key(KEY_A, False)
            assert keys.hear(1) == [(gpu.EV_KEY, KEY_A, 0)]


def test_two_hold_one_key(daemon):
    """The seat and the guest's own viewer: it is down from the first press to the last release, and so is a button."""
    with display(daemon) as one, keyboard(daemon) as keys, tablet(daemon) as pointer:
        start(one)
        wait_until(lambda: window(daemon)["shown"], "it is shown")
        with rfb.Viewer(door(daemon)) as seats, rfb.Viewer(own_door(daemon)) as own:
            own.wait(lambda seen: seen.width == WIDTH, "the guest's picture")
            where = window(daemon)["picture"]
            for first, last in (seats, own), (own, seats):
                focus(daemon, "alice")
                first.key(KEY_A, True)
                assert keys.hear(1) == [(gpu.EV_KEY, KEY_A, 1)]
                last.key(KEY_A, True)
                stroke(last, KEY_B)
                assert keys.hear(2) == heard(KEY_B)
                first.key(KEY_A, False)
                stroke(first, KEY_B)
                assert keys.hear(2) == heard(KEY_B)
                last.key(KEY_A, False)
                assert keys.hear(1) == [(gpu.EV_KEY, KEY_A, 0)]
            # The focus goes, and only what the seat alone held comes up.
            seats.key(KEY_A, True)
            seats.key(KEY_B, True)
            assert keys.hear(2) == [(gpu.EV_KEY, KEY_A, 1), (gpu.EV_KEY, KEY_B, 1)]
            own.key(KEY_A, True)
            stroke(own, KEY_V)
            assert keys.hear(2) == heard(KEY_V)
            focus(daemon, None)
            assert keys.hear(1) == [(gpu.EV_KEY, KEY_B, 0)]
            own.key(KEY_A, False)
            assert keys.hear(1) == [(gpu.EV_KEY, KEY_A, 0)]
            seats.key(KEY_A, False)
            seats.key(KEY_B, False)
            # Buttons.
            seats.pointer(where["x"] + 10, where["y"] + 10, 1)
            assert pointer.hear(3)[2] == (gpu.EV_KEY, BTN_LEFT, 1)
            own.pointer(20, 20, 1)
            assert [event[0] for event in pointer.hear(2)] == [gpu.EV_ABS] * 2
            own.pointer(20, 20, 5)
            assert pointer.hear(3)[2] == (gpu.EV_KEY, BTN_RIGHT, 1)
            seats.pointer(where["x"] + 10, where["y"] + 10, 0)
            assert [event[0] for event in pointer.hear(2)] == [gpu.EV_ABS] * 2
            own.pointer(20, 20, 0)
            assert sorted(pointer.hear(4)[2:]) == [(gpu.EV_KEY, BTN_LEFT, 0), (gpu.EV_KEY, BTN_RIGHT, 0)]


def test_pointer(daemon):
    """From the first pixel to the last of the picture, of whatever size, wherever its window is."""
    with display(daemon) as one, tablet(daemon) as pointer, rfb.Viewer(own_door(daemon)) as viewer:
        start(one, width=900, height=700)
        viewer.wait(lambda seen: seen.width == 900, "the guest's picture")
        viewer.pointer(899, 699)
        assert pointer.hear(2) == [(gpu.EV_ABS, 0, AXIS_MAX), (gpu.EV_ABS, 1, AXIS_MAX)]
        viewer.pointer(0, 0, 8)
        assert sorted(pointer.hear(3)) == [(gpu.EV_REL, REL_WHEEL, 1), (gpu.EV_ABS, 0, 0), (gpu.EV_ABS, 1, 0)]


def test_what_its_viewer_copied_is_pasted_there(daemon):
    """And nowhere else: neither the seat nor another guest's viewer has it."""
    with display(daemon) as one, display(daemon, "bob") as other, keyboard(daemon) as alice, keyboard(daemon, "bob") as bob:
        start(one), start(other)
        wait_until(lambda: window(daemon)["shown"] and window(daemon, "bob")["shown"], "both are shown")
        focus(daemon, "bob")
        with rfb.Viewer(own_door(daemon)) as viewer, rfb.Viewer(own_door(daemon, "bob")) as bobs, rfb.Viewer(door(daemon)) as whole:
            viewer.cut(b"a")
            for one in bobs, whole:
                stroke(one, KEY_LEFTCTRL, KEY_LEFTALT, KEY_V)
                assert [event for event in bob.hear(4) if event[1] == KEY_V] == []
            assert daemon.api("POST", "/v1/seats/desk/paste", {})[0] == 409
            stroke(viewer, KEY_LEFTCTRL, KEY_LEFTALT, KEY_V)
            assert sorted(alice.hear(6)) == sorted(heard(KEY_LEFTCTRL, KEY_LEFTALT) + heard(KEY_A))
            assert not bob.events()


# ---- the size ----

def resizable(daemon, guest="alice"):
    return rfb.Viewer(own_door(daemon, guest), (rfb.RAW, rfb.EXTENDED_SIZE, rfb.EXTENDED_KEY))


def test_the_viewer_asks_for_another_size(daemon):
    """The guest is asked, and when it follows, that is the answer; a guest that does not is waited for a second, no longer."""
    with display(daemon) as one, resizable(daemon) as viewer:
        start(one)
        viewer.wait(lambda seen: seen.width == WIDTH, "the guest's picture")
        viewer.set_size(400, 300)
        wait_until(lambda: one.modes()[0][:2] == (400, 300), "the guest is asked")
        expect_seen(viewer, start(one, 3, 400, 300, 2))
        assert viewer.size_answers == [0]
        viewer.set_size(500, 400)
        viewer.wait(lambda seen: len(seen.size_answers) == 2, "an answer")
        assert viewer.size_answers[1] == 1 and (viewer.width, viewer.height) == (400, 300)
        assert one.modes()[0][:2] == (500, 400)
        viewer.set_size(20, 20)
        viewer.wait(lambda seen: len(seen.size_answers) == 3, "an answer")
        assert viewer.size_answers[2] == 1 and one.modes()[0][:2] == (500, 400)


def test_one_that_does_not_steer_asks_for_nothing(daemon):
    with display(daemon) as one, rfb.Viewer(own_door(daemon)) as steers, resizable(daemon) as viewer:
        start(one)
        viewer.wait(lambda seen: seen.width == WIDTH, "the guest's picture")
        steers.key(KEY_A, True)
        wait_until(lambda: window(daemon)["keys"] + window(daemon)["lost_events"] > 0, "it steers")
        viewer.set_size(400, 300)
        viewer.wait(lambda seen: seen.size_answers == [1], "an answer")
        assert one.modes()[0][:2] == (WIDTH, HEIGHT)


# ---- how many, and hostile ones ----

def test_they_take_no_place_of_the_seat_s(daemon):
    own = [rfb.Viewer(own_door(daemon)) for _ in range(VIEWERS_MAX)]
    assert seat(daemon)["viewers"] == 0 and window(daemon)["viewers"] == VIEWERS_MAX
    with socket.socket(socket.AF_UNIX) as late:
        late.settimeout(1)
        late.connect(str(own_door(daemon)))
        with pytest.raises(OSError):
            assert late.recv(1) == b""
            raise ConnectionError
    with rfb.Viewer(door(daemon)), rfb.Viewer(own_door(daemon, "bob")):
        assert seat(daemon)["viewers"] == 1 and window(daemon, "bob")["viewers"] == 1
    for viewer in own:
        viewer.close()
    wait_until(lambda: window(daemon)["viewers"] == 0, "they have left")


def flood(kind):
    begin = b"RFB 003.008\n\1\1"
    if kind == "deaf":
        return begin + struct.pack(">BBHHHH", 3, 0, 0, 0, 8192, 8192) * 5000
    if kind == "keys":
        return begin + b"".join(struct.pack(">BBxxI", 4, down, 0x61) for down in (1, 0)) * 30000
    if kind == "sizes":
        return begin + struct.pack(">BxHi", 2, 1, rfb.EXTENDED_SIZE) \
            + b"".join(struct.pack(">BxHHBxIHHHHI", 251, side, side, 1, 0, 0, 0, side, side, 0) for side in range(64, 1064)) * 5
    return begin + struct.pack(">BxxxI", 6, 4) + b"abcd" + b"\xc8" * 1000


@pytest.mark.parametrize("kind", ["deaf", "keys", "sizes", "nonsense"])
def test_hostile_ones_harm_nobody(daemon, kind):
    """The seat's viewer sees each picture and steers the other guest, while some of the first guest's viewers do that."""
    with display(daemon) as one, display(daemon, "bob") as other, keyboard(daemon, "bob") as bob, \
            rfb.Viewer(door(daemon)) as viewer:
        start(one, 1)
        rows = start(other, 2)
        expect_shown(daemon, rows, "bob")
        focus(daemon, "bob")
        hostile = []
        for _ in range(4):
            peer = socket.socket(socket.AF_UNIX)
            peer.setblocking(False)
            peer.connect(str(own_door(daemon)))
            hostile.append([peer, memoryview(flood(kind))])
        where = window(daemon, "bob")["picture"]
        for turn in range(20):
            for each in hostile:
                try:
                    each[1] = each[1][each[0].send(each[1]):]
                except OSError:
                    pass
            rows[turn] = pattern(WIDTH, 1, 50 + turn)[0]
            other.draw(1, [rows[turn]], 0, turn)
            one.draw(1, pattern(WIDTH, 3, turn))
            viewer.wait(lambda seen: seen.rows(where["x"], where["y"], WIDTH, HEIGHT) == rows, "bob's picture")
            stroke(viewer, KEY_B)
            assert bob.hear(2) == heard(KEY_B)
        for peer, _rest in hostile:
            peer.close()
        wait_until(lambda: window(daemon)["viewers"] == 0, "they have gone")
        with rfb.Viewer(own_door(daemon)) as honest:
            honest.wait(lambda seen: seen.width == WIDTH, "the guest's picture")


# ---- life ----

def test_takeover(daemon):
    """It sees no change, and steers on; so does one that comes after it."""
    with display(daemon) as one, keyboard(daemon) as keys, rfb.Viewer(own_door(daemon)) as viewer:
        rows = start(one)
        expect_seen(viewer, rows)
        resizes = viewer.resizes
        for turn in range(3):
            take_over(daemon)
            assert window(daemon)["viewers"] == 1 and seat(daemon)["viewers"] == 0
            rows[turn] = pattern(WIDTH, 1, 20 + turn)[0]
            one.draw(1, [rows[turn]], 0, turn)
            expect_seen(viewer, rows)
            stroke(viewer, KEY_A)
            assert keys.hear(2) == heard(KEY_A)
        assert viewer.resizes == resizes
        with rfb.Viewer(own_door(daemon)) as new:
            expect_seen(new, rows)
            stroke(new, KEY_B)
    daemon.stop()
    assert not own_door(daemon).exists()


def test_the_socket_is_the_daemon_s_user_s(daemon):
    assert own_door(daemon).stat().st_mode & 0o777 == 0o600
    assert window(daemon)["vnc"] == str(own_door(daemon))


def test_reload(daemon):
    """A display that goes takes its viewers with it; one that is to have viewers has them, and no longer."""
    with rfb.Viewer(own_door(daemon)) as viewer, rfb.Viewer(door(daemon)) as whole:
        for kind in "display", "keyboard", "tablet":
            del daemon.sections[f"{kind} alice/0"]
        reload(daemon)
        with pytest.raises(ConnectionError):
            while True:
                viewer.request(incremental=False)
                viewer.update()
        assert not own_door(daemon).exists() and seat(daemon)["viewers"] == 1
        whole.request(incremental=False)
        whole.update()
    daemon.sections["display bob/0"]["vnc"] = "none"
    reload(daemon)
    assert not own_door(daemon, "bob").exists() and "vnc" not in window(daemon, "bob")
    daemon.sections["display bob/0"]["vnc"] = "own"
    reload(daemon)
    with rfb.Viewer(own_door(daemon, "bob")):
        assert window(daemon, "bob")["viewers"] == 1


def test_two_displays_with_one_socket(make_daemon):
    made = {"seat desk": {"size": "800x600"}, "guest a": {}, "guest a-b": {},
            "display a/b-0": {"seat": "desk", "vnc": "own"}, "display a-b/0": {"seat": "desk", "vnc": "own"}}
    daemon = make_daemon(made, start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, 'display a-b/0', 'vnc')}: vnc = own is the socket of another "
                           "display; name one of the two otherwise")


def test_without_the_setting_there_is_none(make_daemon):
    daemon = make_daemon(sections())
    assert not own_door(daemon).exists() and window(daemon)["viewers"] == 0 and "vnc" not in window(daemon)
