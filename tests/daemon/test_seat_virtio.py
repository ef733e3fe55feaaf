# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtio displays, keyboards and tablets on a seat: pixels and keys of two guests, pauses, resets, takeovers."""
import random
import struct

import pytest

import gpu
import rfb
from patience import wait_until
from test_refusals import expect_refused, line_of
from test_reload import reload
from test_seat import door, picture
from test_takeover import take_over

KEY_A, KEY_LEFTSHIFT, BTN_LEFT, BTN_RIGHT = 30, 42, 0x110, 0x111
REL_WHEEL, ABS_X, ABS_Y = 8, 0, 1
AXIS_MAX = 32767
WIDTH, HEIGHT = 200, 120


def sections():
    made = {"seat desk": {"size": "800x600"}}
    for guest in "alice", "bob":
        made[f"guest {guest}"] = {}
        made[f"display {guest}/0"] = {"seat": "desk", "source": "virtio", "size": f"{WIDTH}x{HEIGHT}"}
        made[f"keyboard {guest}/0"] = {}
        made[f"tablet {guest}/0"] = {}
    return made


@pytest.fixture
def daemon(make_daemon):
    return make_daemon(sections())


def socket_of(daemon, guest, kind="display"):
    return daemon.runtime / guest / f"{kind}-0.sock"


def display(daemon, guest="alice", packed=False):
    return gpu.Display(socket_of(daemon, guest), packed)


def pattern(width, height, seed=0):
    return [random.Random(seed * 10000 + y).randbytes(width * 3) for y in range(height)]


def shown(daemon, guest="alice"):
    return picture(daemon, f"/v1/displays/{guest}/0/picture")


def window(daemon, guest="alice"):
    displays = daemon.api("GET", "/v1/seats/desk")[1]["displays"]
    return next(one for one in displays if one["display"] == f"{guest}/0")


def expect_shown(daemon, rows, guest="alice"):
    wait_until(lambda: shown(daemon, guest) == rows, "the picture is shown")


def focus(daemon, guest):
    display_name = f"{guest}/0" if guest else None
    assert daemon.api("PATCH", "/v1/seats/desk", {"focus": display_name})[0] == 200


def start(one, seed=0, width=WIDTH, height=HEIGHT, number=1):
    """As a driver begins; returns what is to be seen."""
    rows = pattern(width, height, seed)
    one.create(number, width, height)
    one.write(number, rows)
    one.transfer(number, 0, 0, width, height)
    one.show(number)
    one.flush(number, 0, 0, width, height)
    return rows


# ---- pixels ----

@pytest.mark.parametrize("packed", [False, True])
def test_every_pixel(daemon, packed):
    with display(daemon, packed=packed) as one:
        assert one.modes()[0] == (WIDTH, HEIGHT, True) and not one.modes()[1][2]
        assert not window(daemon)["shown"]
        rows = start(one)
        expect_shown(daemon, rows)
        assert window(daemon)["shown"]
        where = window(daemon)["picture"]
        screen = picture(daemon, "/v1/seats/desk/picture")
        assert [row[where["x"] * 3:(where["x"] + WIDTH) * 3] for row in screen[where["y"]:where["y"] + HEIGHT]] == rows
        # What is transferred and not flushed may be seen or not; what is flushed is seen.
        for x, y, width, height in (0, 0, 1, 1), (WIDTH - 1, HEIGHT - 1, 1, 1), (17, 5, 100, 3), (3, 40, 9, 80):
            patch = pattern(width, height, x + y)
            one.draw(1, patch, x, y)
            for line, row in enumerate(patch):
                rows[y + line] = rows[y + line][:x * 3] + row + rows[y + line][(x + width) * 3:]
        expect_shown(daemon, rows)
    wait_until(lambda: not window(daemon)["shown"], "the window has gone with its VMM")


def test_another_picture(daemon):
    """Two of one size in turn, another size, and none: the window stays where it is, and dark is black."""
    with display(daemon) as one:
        first = start(one)
        expect_shown(daemon, first)
        focus(daemon, "alice")
        second = start(one, 1, number=2)
        expect_shown(daemon, second)
        one.show(1)
        expect_shown(daemon, first)
        larger = start(one, 2, 320, 240, 3)
        expect_shown(daemon, larger)
        one.show(0)
        expect_shown(daemon, [bytes(320 * 3)] * 240)
        assert window(daemon)["focus"]
        one.show(2)
        expect_shown(daemon, second)
        one.must(gpu.UNREF, struct.pack("<II", 2, 0))
        expect_shown(daemon, [bytes(WIDTH * 3)] * HEIGHT)


@pytest.mark.parametrize("packed", [False, True])
def test_blobs(daemon, packed):
    """Pictures that are guest memory: seen when they are shown and flushed, also after a takeover; and they take turns with others."""
    with display(daemon, packed=packed) as one:
        rows = pattern(WIDTH, HEIGHT, 3)
        one.create_blob(7, WIDTH, HEIGHT)
        one.write(7, rows)
        one.show_blob(7)
        expect_shown(daemon, rows)
        other = start(one, 4, number=8)
        expect_shown(daemon, other)
        one.show_blob(7)
        expect_shown(daemon, rows)
        for turn in range(3):
            patch = pattern(50, 20, turn)
            one.write(7, patch, 9, 11)
            for line, row in enumerate(patch):
                rows[11 + line] = rows[11 + line][:9 * 3] + row + rows[11 + line][(9 + 50) * 3:]
            if turn == 1:
                take_over(daemon)
            one.flush(7, 9, 11, 50, 20)
            expect_shown(daemon, rows)
        one.must(gpu.UNREF, struct.pack("<II", 7, 0))
        expect_shown(daemon, [bytes(WIDTH * 3)] * HEIGHT)


def test_two_guests(daemon):
    with display(daemon) as alice, display(daemon, "bob") as bob:
        rows = start(alice, 1), start(bob, 2)
        expect_shown(daemon, rows[0], "alice")
        expect_shown(daemon, rows[1], "bob")
        with rfb.Viewer(door(daemon)) as viewer:
            for guest, expected in zip(("alice", "bob"), rows):
                where = window(daemon, guest)["picture"]
                assert viewer.rows(where["x"], where["y"], WIDTH, HEIGHT) == expected


def test_a_storm_of_flushes(daemon):
    """Costs what is shown of it: the guest is answered meanwhile, and the last picture is seen."""
    with display(daemon) as one:
        rows = start(one)
        expect_shown(daemon, rows)
        before = daemon.api("GET", "/v1/seats/desk")[1]["drawn_pixels"]
        for _ in range(3000):
            one.flush(1, 0, 0, WIDTH, HEIGHT)
        rows[7] = pattern(WIDTH, 1, 9)[0]
        one.draw(1, rows)
        expect_shown(daemon, rows)
        frames = (daemon.api("GET", "/v1/seats/desk")[1]["drawn_pixels"] - before) / (WIDTH * HEIGHT)
        assert frames < 1500, f"{frames} pictures were drawn for 3000 flushes"
        told = window(daemon)
        assert (told["pictures"], told["flushes"]) == (1, 3002) and told["drawn_pixels"] < 1500 * WIDTH * HEIGHT
    daemon.wait_idle()


# ---- pauses and resets ----

def test_a_pause_loses_nothing(daemon):
    """QEMU says status 0 for it, and stops the rings; what the driver made is there when it goes on."""
    with display(daemon) as one, gpu.Input(socket_of(daemon, "alice", "keyboard")) as keyboard:
        rows = start(one)
        expect_shown(daemon, rows)
        with rfb.Viewer(door(daemon)) as viewer:
            focus(daemon, "alice")
            viewer.key(KEY_A, True)
            assert keyboard.hear(1) == [(gpu.EV_KEY, KEY_A, 1)]
            for front in one.front, keyboard.front:
                bases = [front.stop_queue(queue.index) for queue in front.queues]
                front.connection.set_status(0)
                front.renegotiate()
                for queue, base in zip(front.queues, bases):
                    front.start_queue(queue.index, base)
                front.driver_ok()
            rows[3] = pattern(WIDTH, 1, 5)[0]
            one.draw(1, [rows[3]], 0, 3)
            expect_shown(daemon, rows)
            assert window(daemon)["focus"]
            viewer.key(KEY_A, False)
            assert keyboard.hear(1) == [(gpu.EV_KEY, KEY_A, 0)]


@pytest.mark.parametrize("how", ["stop", "status", "reset_device", "reconnect"])
def test_a_new_driver_begins_anew(daemon, how):
    """It may name its resources as the one before did."""
    with display(daemon) as one:
        expect_shown(daemon, start(one, 1))
        one.front.reset(how)
        assert one.command(gpu.FLUSH, struct.pack("<6I", 0, 0, 1, 1, 1, 0))[0] != gpu.OK_NODATA
        expect_shown(daemon, start(one, 2))


def go_around(one):
    """Commands until a packed ring stands where a new one begins: after two rounds, or four, of descriptors."""
    rounds = 2 * one.front.queues[0].ring.size
    for _ in range(rounds - one.commands % rounds):
        one.flush(1, 0, 0, 1, 1)


def test_a_ring_that_ends_where_one_begins(daemon):
    """Paused there, it goes on with what it had; a new driver there finds nothing."""
    with display(daemon, packed=True) as one:
        rows = start(one, 1)
        expect_shown(daemon, rows)
        go_around(one)
        base = one.front.stop_queue(0)
        assert base == 0x80008000
        one.front.start_queue(0, base)
        rows[2] = pattern(WIDTH, 1, 8)[0]
        one.draw(1, [rows[2]], 0, 2)
        expect_shown(daemon, rows)
        go_around(one)
        one.front.reset("stop")
        assert one.command(gpu.FLUSH, struct.pack("<6I", 0, 0, 1, 1, 1, 0))[0] != gpu.OK_NODATA
        expect_shown(daemon, start(one, 2))


# ---- takeover ----

@pytest.mark.parametrize("packed", [False, True])
def test_takeover(daemon, packed):
    """Pictures, backings and keys that are down stay; the window has the focus that it had, and viewers see no change."""
    with display(daemon, packed=packed) as one, gpu.Input(socket_of(daemon, "alice", "keyboard"), packed) as keyboard, \
            rfb.Viewer(door(daemon)) as viewer:
        rows = start(one)
        hidden = pattern(WIDTH, HEIGHT, 7)
        one.create(2, WIDTH, HEIGHT)
        one.write(2, hidden)
        one.transfer(2, 0, 0, WIDTH, HEIGHT)
        expect_shown(daemon, rows)
        focus(daemon, "alice")
        for turn in range(3):
            take_over(daemon)
            expect_shown(daemon, rows)
            assert window(daemon)["shown"] and window(daemon)["focus"]
            rows[turn] = pattern(WIDTH, 1, 20 + turn)[0]
            one.draw(1, [rows[turn]], 0, turn)
            expect_shown(daemon, rows)
            viewer.key(KEY_A, True)
            assert keyboard.hear(1) == [(gpu.EV_KEY, KEY_A, 1)]
            viewer.key(KEY_A, False)
            assert keyboard.hear(1) == [(gpu.EV_KEY, KEY_A, 0)]
        one.show(2)
        expect_shown(daemon, hidden)


# ---- what the VMM sees of it ----

def test_the_vmm_sees_the_same(daemon):
    """At each socket that it brings; pictures larger than a message, through takeovers at any moment."""
    with display(daemon) as one:
        rows = start(one)
        for turn in range(6):
            with gpu.Screen(one) as screen:
                # The socket may have come, or be on its way, or have been told some of a picture.
                for _ in range(turn // 2):
                    screen.update()
                take_over(daemon)
                screen.expect(rows)
                rows[turn] = pattern(WIDTH, 1, 40 + turn)[0]
                one.draw(1, [rows[turn]], 0, turn)
                screen.expect(rows)
        with gpu.Screen(one) as screen:
            large = start(one, 5, 700, 500, 2)
            screen.expect(large)
            take_over(daemon)
            one.show(0)
            screen.expect([])


# ---- keys and the pointer ----

def test_keys_go_where_the_focus_is(daemon):
    with display(daemon) as one, display(daemon, "bob") as other, \
            gpu.Input(socket_of(daemon, "alice", "keyboard")) as alice, \
            gpu.Input(socket_of(daemon, "bob", "keyboard"), packed=True) as bob, rfb.Viewer(door(daemon)) as viewer:
        start(one), start(other)
        wait_until(lambda: window(daemon)["shown"] and window(daemon, "bob")["shown"], "both are shown")
        strokes = window(daemon)["keys"], window(daemon, "bob")["keys"]
        for guest, hears, deaf in ("alice", alice, bob), ("bob", bob, alice), ("alice", alice, bob):
            focus(daemon, guest)
            for code in KEY_A, KEY_LEFTSHIFT, 57:
                viewer.key(code, True)
                viewer.key(code, False)
            assert hears.hear(6) == [(gpu.EV_KEY, code, down) for code in (KEY_A, KEY_LEFTSHIFT, 57) for down in (1, 0)]
            assert not deaf.events()
        assert (window(daemon)["keys"] - strokes[0], window(daemon, "bob")["keys"] - strokes[1]) == (12, 6)
        # A key that is held when the focus goes comes up at the guest, and the next one does not hear of it.
        viewer.key(KEY_A, True)
        assert alice.hear(1) == [(gpu.EV_KEY, KEY_A, 1)]
        focus(daemon, "bob")
        assert alice.hear(1) == [(gpu.EV_KEY, KEY_A, 0)]
        viewer.key(KEY_A, False)
        viewer.key(57, True)
        assert bob.hear(1) == [(gpu.EV_KEY, 57, 1)]


def test_typed_text(daemon):
    with display(daemon) as one, gpu.Input(socket_of(daemon, "alice", "keyboard")) as keyboard:
        expect_shown(daemon, start(one))
        focus(daemon, "alice")
        assert daemon.api("POST", "/v1/seats/desk/type", {"text": "aA" * 100})[0] == 200
        down = [code for kind, code, value in keyboard.hear(800 - 200) if value]
        assert down == [KEY_A, KEY_LEFTSHIFT, KEY_A] * 100


def test_pointer(daemon):
    """From the first pixel to the last, whatever the picture's size; three buttons, and a wheel."""
    with display(daemon) as one, gpu.Input(socket_of(daemon, "alice", "tablet")) as tablet, rfb.Viewer(door(daemon)) as viewer:
        expect_shown(daemon, start(one))
        where = window(daemon)["picture"]
        focus(daemon, "alice")

        def point(x, y, buttons=0):
            viewer.pointer(where["x"] + x, where["y"] + y, buttons)

        point(0, 0)
        assert tablet.hear(2) == [(gpu.EV_ABS, ABS_X, 0), (gpu.EV_ABS, ABS_Y, 0)]
        point(WIDTH - 1, HEIGHT - 1)
        assert tablet.hear(2) == [(gpu.EV_ABS, ABS_X, AXIS_MAX), (gpu.EV_ABS, ABS_Y, AXIS_MAX)]
        point(WIDTH - 1, HEIGHT - 1, 1)
        assert tablet.hear(3)[2] == (gpu.EV_KEY, BTN_LEFT, 1)
        point(WIDTH - 1, HEIGHT - 1, 4)
        assert sorted(tablet.hear(4)[2:]) == [(gpu.EV_KEY, BTN_LEFT, 0), (gpu.EV_KEY, BTN_RIGHT, 1)]
        point(WIDTH - 1, HEIGHT - 1, 4 | 8)
        assert tablet.hear(3)[2] == (gpu.EV_REL, REL_WHEEL, 1)


LED_NUML, LED_CAPSL = range(2)


def test_lights_of_a_keyboard(daemon):
    """The window has those that its guest's driver has lit, also after a takeover, until another driver comes."""
    def leds(guest="alice"):
        devices = daemon.api("GET", "/v1/status")[1]["devices"]
        told = {one["kind"]: one["leds"] for one in devices if one["name"] == f"{guest}/0" and "leds" in one}
        assert set(told) == {"keyboard", "display"}
        return told["display"] if told["display"] == told["keyboard"] else None

    with display(daemon) as one, gpu.Input(socket_of(daemon, "alice", "keyboard")) as keyboard:
        start(one)
        keyboard.light(LED_CAPSL, 1)
        wait_until(lambda: leds() == ["caps"], "one is on")
        take_over(daemon)
        assert leds() == ["caps"]
        # The driver tells what changes.
        keyboard.light(LED_NUML, 1)
        wait_until(lambda: leds() == ["num", "caps"], "the other is on, too")
        # However often that is, the last counts.
        for turn in range(1000):
            keyboard.light(LED_CAPSL, turn % 2)
        keyboard.light(LED_NUML, 0)
        wait_until(lambda: leds() == ["caps"], "as the driver set them last")
        assert leds("bob") == []
    with gpu.Input(socket_of(daemon, "alice", "keyboard")):
        wait_until(lambda: leds() == [], "another driver has lit none")


def test_what_a_driver_asks(daemon):
    with gpu.Input(socket_of(daemon, "alice", "keyboard")) as keyboard, \
            gpu.Input(socket_of(daemon, "alice", "tablet")) as tablet:
        assert b"eyboard" in keyboard.select(1) and keyboard.select(1) != tablet.select(1)
        assert keyboard.select(0x11, gpu.EV_KEY)[KEY_A // 8] >> KEY_A % 8 & 1
        assert struct.unpack("<5I", tablet.select(0x12, ABS_X))[:2] == (0, AXIS_MAX)
        keyboard.light(1, 1)

        def leds():
            devices = daemon.api("GET", "/v1/status")[1]["devices"]
            return next(one for one in devices if one["kind"] == "keyboard" and one["name"] == "alice/0")["leds"]
        wait_until(lambda: leds() == ["caps"], "the LED is known")
        keyboard.light(1, 0)
        wait_until(lambda: leds() == [], "the LED is out")


# ---- what users would like ----

def test_the_user_asks_for_another_size(daemon):
    """The driver hears of it, and draws so; scaled, the pointer is still where it points."""
    with display(daemon) as one, gpu.Input(socket_of(daemon, "alice", "tablet")) as tablet, rfb.Viewer(door(daemon)) as viewer:
        expect_shown(daemon, start(one))
        assert daemon.api("PATCH", "/v1/seats/desk", {"size": {"alice/0": "400x300"}})[0] == 200
        wait_until(lambda: one.modes()[0][:2] == (400, 300), "the display has another size")
        # An event that the driver asks for, and clears.
        assert one.front.connection.get_config(0, 16)[:4] == b"\1\0\0\0"
        assert not one.front.connection.set_config(4, b"\1\0\0\0")
        assert one.front.connection.get_config(0, 16)[:4] == bytes(4)
        expect_shown(daemon, start(one, 3, 400, 300, 2))
        assert daemon.api("PATCH", "/v1/seats/desk", {"scale": {"alice/0": "50%"}, "focus": "alice/0"})[0] == 200
        where = window(daemon)["picture"]
        assert (where["width"], where["height"]) == (200, 150)
        viewer.pointer(where["x"] + 100, where["y"] + 75)
        (kind, axis, x), (other_kind, other_axis, y) = tablet.hear(2)
        assert (kind, axis, other_kind, other_axis) == (gpu.EV_ABS, ABS_X, gpu.EV_ABS, ABS_Y)
        assert abs(x - AXIS_MAX // 2) < AXIS_MAX / 100 and abs(y - AXIS_MAX // 2) < AXIS_MAX / 100


# ---- settings ----

@pytest.mark.parametrize("section, key, value, message", [
    ("display alice/0", "size", "20x20", "size = 20x20 is no size of a display, for example 1024x768; 64x64 to 8192x8192"),
    ("display alice/0", "source", "screen", "source = screen is none of: vmm, virtio, bochs"),
])
def test_bad_values(make_daemon, section, key, value, message):
    made = sections()
    made[section][key] = value
    daemon = make_daemon(made, start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, section, key)}: {message}")


def test_bad_sections(make_daemon):
    made = sections()
    made["display alice/0"] = {"seat": "desk"}
    del made["tablet alice/0"]
    daemon = make_daemon(made, start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, 'keyboard alice/0', '')}: [keyboard alice/0]: the guest's display "
                           "is the VMM's own, which has a keyboard and a pointer; give it source = virtio or bochs, or leave this out")


def test_reload(daemon):
    """A display becomes the VMM's own and back; a keyboard that is left follows its window again."""
    daemon.sections["display alice/0"]["size"] = "300x200"
    reload(daemon)
    with display(daemon) as one, gpu.Input(socket_of(daemon, "alice", "keyboard")) as keyboard, \
            rfb.Viewer(door(daemon)) as viewer:
        assert one.modes()[0][:2] == (300, 200)
        expect_shown(daemon, start(one))
        focus(daemon, "alice")
        viewer.key(KEY_A, True)
        assert keyboard.hear(1) == [(gpu.EV_KEY, KEY_A, 1)]
