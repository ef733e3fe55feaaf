# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own kernels on a seat, from firmware to shell: what they show, who hears which key, and what daemons that end cost."""
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import threading
import time

import pytest

import qemu
import rfb

TAKEOVERS = int(os.environ.get("VIADUCT_TAKEOVERS", "6"))
STROKES = 100000 if "VIADUCT_LONG" in os.environ else 600
LINES_MAX = 20 if "VIADUCT_LONG" in os.environ else 2     # typed between two changes of the focus
STALL_EVERY = 10                                            # so often one of them is typed while the guest stands still
PATIENCE_S = 120        # only a hang reaches it
WIDTH, HEIGHT = 1280, 800
TITLE, FRAME = 22, 3

# Scancodes of a US keyboard.
CODES = {letter: code for row, code in (("qwertyuiop", 16), ("asdfghjkl", 30), ("zxcvbnm", 44))
         for code, letter in enumerate(row, code)}
CODES |= {digit: code for code, digit in enumerate("1234567890", 2)} | {"\n": 28, " ": 57, "\t": 15}
CTRL, ALT, SHIFT, TAB, ESCAPE, CAPS_LOCK = 29, 56, 42, 15, 1, 58


def sections(*names, **seat):
    made = {"seat desk": {"size": f"{WIDTH}x{HEIGHT}", **seat}}
    for name in names:
        made |= {f"guest {name}": {}, f"display {name}/0": {"seat": "desk"}}
    return made


@pytest.fixture
def seat(viaductd, machine):
    """seat(*guests, **options of the machines) -> the daemon, and the guests, with a window each."""
    def start(*names, **options):
        daemon = viaductd(sections(*names))
        return daemon, *(machine([qemu.Display(daemon.socket(f"{name}/0", "display"))], name=name, kernel="generic", **options)
                         for name in names)

    return start


def viewer(daemon):
    return rfb.Viewer(daemon.runtime / "seat-desk.vnc")


def display(daemon, name):
    return daemon.device(f"{name}/0", "display")


def wait_until(true, what):
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.02)


def picture(daemon, path):
    """One of the API's: rows of three bytes a pixel."""
    body = subprocess.run(["curl", "-sS", "--fail", "--unix-socket", daemon.runtime / "api.sock", "-X", "POST",
                           f"http://viaduct{path}"], capture_output=True, check=True).stdout
    width, height = map(int, body.split(maxsplit=3)[1:3])
    pixels = body[-width * height * 3:]
    return [pixels[at:at + width * 3] for at in range(0, len(pixels), width * 3)]


def listen(guest):
    """Lines that are typed at the guest's first terminal go into a file. What is typed while none has it open is lost."""
    guest.run("until grep -q keyboard /proc/bus/input/devices; do sleep 0.1; done")
    guest.run("(setsid cat /dev/tty1 >/tmp/typed 2>/dev/null &)")
    guest.run("until ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /dev/tty1; do sleep 0.1; done; stty -F /dev/tty1 sane")


def type_line(view, line):
    """At most three keys: QEMU's keyboard holds sixteen bytes, and a key has three."""
    assert len(line) <= 2
    for letter in line + "\n":
        view.stroke(CODES[letter])


def expect_typed(guest, text):
    deadline = time.monotonic() + PATIENCE_S
    while (heard := guest.run("cat /tmp/typed")) != text.strip("\n"):
        assert time.monotonic() < deadline, f"{guest.name} heard {heard!r}, not {text!r}"


def frame_corner(daemon, name):
    frame = display(daemon, name)["frame"]
    return frame["x"], frame["y"]


# ---- pixels ----

def draw(guest):
    """A pattern that repeats itself in no line: returns its pixels, red first, and the width and height."""
    width, height = map(int, guest.run("cat /sys/class/graphics/fb0/virtual_size").split(","))
    depth, stride = map(int, guest.run("cat /sys/class/graphics/fb0/bits_per_pixel /sys/class/graphics/fb0/stride").split())
    assert (depth, stride) == (32, width * 4)
    chance = random.Random(1)
    block = bytes(chance.randrange(256) if at % 4 < 3 else 0 for at in range(4 * 1021))
    guest.put_bytes("/tmp/block", block)
    # Nothing else is drawn meanwhile: neither a cursor nor the end of a blank time.
    guest.run("echo 0 >/sys/class/graphics/fbcon/cursor_blink; printf '\\033[9;0]\\033[?25l' >/dev/tty1")
    guest.run(f"i=0; while [ $i -lt {width * height // 1021 + 1} ]; do cat /tmp/block; i=$((i+1)); done | "
              f"head -c {width * height * 4} >/dev/fb0")
    blue, green, red = block[0::4], block[1::4], block[2::4]
    line = b"".join(bytes(pixel) for pixel in zip(red, green, blue))
    whole = line * (width * height // 1021 + 1)
    return [whole[at:at + width * 3] for at in range(0, width * height * 3, width * 3)], width, height


def test_every_pixel_is_as_the_guest_drew_it(seat):
    """In the guest's own picture, on the seat's screen, and at a viewer."""
    daemon, alice = seat("alice", append="vga=0x343")
    wanted, width, height = draw(alice)
    assert (width, height) == (800, 600)
    wait_until(lambda: picture(daemon, "/v1/displays/alice/0/picture") == wanted, "the guest's picture")
    x, y = frame_corner(daemon, "alice")
    x, y = x + FRAME, y + TITLE
    shown = [row[x * 3:(x + width) * 3] for row in picture(daemon, "/v1/seats/desk/picture")[y:y + height]]
    assert shown == wanted
    with viewer(daemon) as view:
        assert view.rows(x, y, width, height) == wanted
        daemon.take_over()
        view.wait(lambda seen: seen.rows(x, y, width, height) == wanted, "the picture after a takeover")
        assert view.resizes == 0


# ---- keys ----

def test_keys_reach_the_guest_with_the_focus_only(seat):
    """By whatever way it gets the focus; and none sticks at the guest that loses it."""
    daemon, *guests = seat("alice", "bob")
    heard = {guest.name: "" for guest in guests}
    chance = random.Random(2)
    with viewer(daemon) as view:
        for guest in guests:
            listen(guest)
        for turn in range(24):
            guest = guests[chance.randrange(2)]
            give_focus(daemon, view, guest.name, turn % 3)
            line = "".join(chance.choice("qwertyuiopasdfghjklzxcvbnm1234567890") for _ in range(2))
            # Shift is held, and belongs to the guest before.
            other = guests[0] if guest is guests[1] else guests[1]
            if turn % 4 == 0:
                give_focus(daemon, view, other.name, 2)
                view.key(SHIFT, True)
                give_focus(daemon, view, guest.name, 2)
            type_line(view, line)
            view.key(SHIFT, False)
            heard[guest.name] += line + "\n"
            expect_typed(guest, heard[guest.name])
        for guest in guests:
            expect_typed(guest, heard[guest.name])
        # Of none: nobody hears it.
        for code in CTRL, ALT, ESCAPE:
            view.key(code, True)
        for code in ESCAPE, ALT, CTRL:
            view.key(code, False)
        wait_until(lambda: not any(display(daemon, guest.name)["focus"] for guest in guests), "no guest has the focus")
        type_line(view, "xx")
        for guest in guests:
            give_focus(daemon, view, guest.name, 2)
            type_line(view, "ok")
            expect_typed(guest, heard[guest.name] + "ok\n")
        check_lights(daemon, view)


def check_lights(daemon, view):
    """A guest's keyboard has lights of its own."""
    for guest, lights in (("alice", ["caps"]), ("bob", ["caps"]), ("alice", [])):
        other = "bob" if guest == "alice" else "alice"
        before = display(daemon, other)["leds"]
        give_focus(daemon, view, guest, 2)
        view.stroke(CAPS_LOCK)
        wait_until(lambda guest=guest, lights=lights: display(daemon, guest)["leds"] == lights, f"{guest} lights {lights}")
        assert display(daemon, other)["leds"] == before


def test_text_is_typed(seat):
    """As by hand, and for nobody else; what cannot be typed with the layout types nothing."""
    daemon, alice = seat("alice")
    listen(alice)
    daemon.command("seat", "focus", "desk", "alice")
    text = "Hello, World! ~`@#$%^&*()_+-=[]{}|;':<>?/ 0123456789"
    daemon.command("seat", "type", "desk", text, "--to", "alice", "--enter")
    expect_typed(alice, text + "\n")
    failed = daemon.command("seat", "type", "desk", "some\N{EURO SIGN}", check=False)
    assert failed.returncode == 1 and "byte 5" in failed.stderr
    daemon.command("seat", "focus", "desk", "none")
    assert "no display has the focus" in daemon.command("seat", "type", "desk", "x", check=False).stderr
    expect_typed(alice, text + "\n")
    # QEMU's keyboard holds five strokes, and drops what comes when it is full.
    daemon.command("seat", "focus", "desk", "alice")
    lines = "".join(f"{number}: the quick brown fox jumps over the lazy dog\n" for number in range(8))
    with standing_still_often(alice):
        daemon.command("seat", "type", "desk", lines, "--to", "alice")
    expect_typed(alice, text + "\n" + lines)
    assert display(daemon, "alice")["lost_keys"] == 0


@contextlib.contextmanager
def standing_still_often(guest):
    """Neither the guest nor QEMU does anything for two thirds of the time, as on a busy host."""
    over = threading.Event()

    def stand_still():
        while not over.wait(0.1):
            guest.process.send_signal(signal.SIGSTOP)
            time.sleep(0.2)
            guest.process.send_signal(signal.SIGCONT)

    thread = threading.Thread(target=stand_still)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_what_was_copied_goes_where_the_user_pastes_it(seat):
    """Once, to the guest with the keyboard, and to no other; and before that to none."""
    daemon, *guests = seat("alice", "bob")
    alice, bob = guests
    for guest in guests:
        listen(guest)
    with viewer(daemon) as view:
        give_focus(daemon, view, "bob", 2)
        view.cut(b"For alice: {1} & \"2\"\r\nand more\n")
        # Bob has the keyboard, and hears all that is typed, but nothing that was copied.
        type_line(view, "no")
        expect_typed(bob, "no\n")
        give_focus(daemon, view, "alice", 2)
        paste(view)
        expect_typed(alice, "For alice: {1} & \"2\"\nand more\n")
        # It is gone.
        assert "no viewer of the seat has copied a text" in daemon.command("seat", "paste", "desk", check=False).stderr
        give_focus(daemon, view, "bob", 2)
        paste(view)
        type_line(view, "ne")
        expect_typed(bob, "no\nne\n")
        # The layout has no key for it: that is said, and nothing is typed.
        view.provide("100 \N{EURO SIGN}\n")
        wait_until(lambda: daemon.command("seat", "paste", "desk", check=False).stderr.count("byte 5"), "the text is there")
        paste(view)
        wait_until(lambda: "the character at byte 5 of what was copied cannot be typed" in daemon.text(), "it is logged")
        # By command, and only to whom it is meant for.
        view.cut(b"bob\n")
        wait_until(lambda: daemon.command("seat", "paste", "desk", "--to", "alice", check=False).returncode == 1, "alice gets none")
        daemon.command("seat", "paste", "desk", "--to", "bob")
        expect_typed(bob, "no\nne\nbob\n")
        expect_typed(alice, "For alice: {1} & \"2\"\nand more\n")


def paste(view):
    for code in CTRL, ALT, CODES["v"]:
        view.key(code, True)
    for code in CODES["v"], ALT, CTRL:
        view.key(code, False)


def test_no_stroke_is_lost_or_heard_by_another(seat):
    """As many as are typed while the keyboard goes from guest to guest are read by a program in each."""
    daemon, *guests = seat("alice", "bob")
    chance = random.Random(3)
    heard = {guest.name: [] for guest in guests}
    for guest in guests:
        listen(guest)
    strokes = turn = 0
    while strokes < STROKES:
        guest = chance.choice(guests)
        lines = "".join(random_line(chance) for _ in range(chance.randrange(1, LINES_MAX + 1)))
        daemon.command("seat", "focus", "desk", guest.name)
        # QEMU's keyboard holds five strokes: a busy host made it lose some, until keys waited for the guest.
        with standing_still_often(guest) if turn % STALL_EVERY == 0 else contextlib.nullcontext():
            daemon.command("seat", "type", "desk", lines, "--to", guest.name)
        turn += 1
        heard[guest.name].append(lines)
        strokes += len(lines)
    for guest in guests:
        text = "".join(heard[guest.name]).encode()
        deadline = time.monotonic() + PATIENCE_S
        while guest.run("md5sum </tmp/typed").split()[0] != hashlib.md5(text).hexdigest():
            assert time.monotonic() < deadline, what_went_wrong(daemon, guest, text)
            time.sleep(0.1)
        assert display(daemon, guest.name)["lost_keys"] == 0


def random_line(chance):
    return "x" + "".join(chance.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,;-+*/!?()")
                         for _ in range(chance.randrange(60))) + "\n"


def what_went_wrong(daemon, guest, text):
    """Where what the guest heard is not `text`, and what each stage on the way to it counted."""
    size = int(guest.run("stat -c %s /tmp/typed"))
    low, high = 0, min(size, len(text))
    while low < high:       # so many bytes are the same
        middle = (low + high + 1) // 2
        same = guest.run(f"head -c {middle} /tmp/typed | md5sum").split()[0] == hashlib.md5(text[:middle]).hexdigest()
        low, high = (middle, high) if same else (low, middle - 1)
    after = guest.run(f"tail -c +{max(low - 20, 0) + 1} /tmp/typed | head -c 60")
    seat = json.loads(daemon.command("seat", "list", "--json").stdout)
    stages = {key: display(daemon, guest.name).get(key) for key in ("keys", "lost_keys")}
    return (f"{guest.name} heard {size} bytes of {len(text)}; from byte {low} on {after!r} instead of "
            f"{text[max(low - 20, 0):low + 40]!r}; the display: {stages}; the seat: {seat}")


# The seat's layout, a keymap of Linux for the guest's console, and what is on the keys of both.
LAYOUTS = {
    "us": ("us", "~`!@#$%^&*()_+-={}[]|\\:;\"'<>,.?/ Quick 0123456789"),
    "de:nodeadkeys": ("de-latin1-nodeadkeys", "ÄÖÜäöüß @{[]}\\~|µ²³ §$%&/()=? #'+*<>,;.:-_ zyZY ^` 0123456789"),
    "fr": ("fr-latin1", "éèçàù @#{[|\\]} &\"'(-_)= ,;:! azAZqwQWmM ?./§ %*$£ <> 0123456789"),
}


def test_layouts(seat):
    """What is typed with a seat's layout is what a guest reads that has the same, AltGr and all."""
    daemon, alice = seat("alice")
    listen(alice)
    heard = ""
    for layout, (keymap, text) in LAYOUTS.items():
        made = subprocess.run(["loadkeys", "--bkeymap", keymap], capture_output=True, check=True).stdout
        alice.put_bytes("/tmp/keymap", made)
        alice.run("loadkmap </tmp/keymap")
        daemon.configure(sections("alice", layout=layout))
        daemon.take_over()
        daemon.command("seat", "focus", "desk", "alice")
        daemon.command("seat", "type", "desk", text, "--to", "alice", "--enter")
        heard += text + "\n"
        expect_typed(alice, heard)


def give_focus(daemon, view, name, how):
    if how == 0:
        # The windows overlap: the upper left corner of one is free, and the lower right one of the other.
        frame = display(daemon, name)["frame"]
        first = frame["x"] == 0
        view.click(frame["x"] + (1 if first else frame["width"] - 2), frame["y"] + (1 if first else frame["height"] - 2))
    elif how == 1 and not display(daemon, name)["focus"]:
        for code in CTRL, ALT, TAB:
            view.key(code, True)
        for code in TAB, ALT, CTRL:
            view.key(code, False)
    else:
        daemon.command("seat", "focus", "desk", name)
    wait_until(lambda: display(daemon, name)["focus"], f"{name} has the focus")


# ---- what ends and begins again ----

def test_guests_and_daemons_come_and_go(seat):
    daemon, alice, bob = seat("alice", "bob")
    listen(alice)
    heard = ""
    daemon.command("seat", "focus", "desk", "alice")
    with viewer(daemon) as view:
        for _ in range(TAKEOVERS):
            daemon.take_over()
            assert display(daemon, "alice")["focus"] and display(daemon, "bob")["shown"]
            type_line(view, "ab")
            heard += "ab\n"
            expect_typed(alice, heard)
        # QEMU connects again by itself.
        daemon.kill()
        daemon.start()
        wait_until(lambda: display(daemon, "alice")["shown"] and display(daemon, "bob")["shown"], "both are shown again")
    with viewer(daemon) as view:
        daemon.command("seat", "focus", "desk", "alice")
        type_line(view, "cd")
        heard += "cd\n"
        expect_typed(alice, heard)
        # The window stays, through firmware and boot.
        alice.reset()
        assert display(daemon, "alice")["focus"] and display(daemon, "alice")["shown"]
        bob.kill()
        wait_until(lambda: not display(daemon, "bob")["shown"], "a window whose VMM has gone is hidden")
        listen(alice)
        type_line(view, "ef")
        expect_typed(alice, "ef\n")
