# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the pictures of the documents: two guests on a seat, in a browser, and one of them alone. Argument: their folder."""
import base64
import contextlib
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/guests"), str(TOP / "tests/support")]

import palette  # noqa: E402
import qemu  # noqa: E402
import rfb  # noqa: E402
from browser import Browser  # noqa: E402
from viaductd import Viaductd  # noqa: E402

PATIENCE_S = 120
# Two consoles of 720 to 400 pixels, one above a corner of the other, and the page around them.
SEAT_SIZE, WINDOW_SIZE = "1180x620", (1180, 790)
BOB_AT = 440, 185       # so that both titles and texts are seen
# What each has on its console. Bob draws himself a window of alice's, title and all: it lies in his frame.
SHOWS = {
    "alice": "uname -srm; echo; free -m; echo; cat /proc/loadavg",
    "bob": "echo; printf '  \\033[44;97m alice %50s\\033[0m\\n' ''; for line in 1 2 3 4 5; do"
           " [ $line = 2 ] && text='alice login: root' || text=; [ $line = 3 ] && text='Password: ';"
           " printf '  \\033[44m \\033[0m %-54s\\033[44m \\033[0m\\n' \"$text\"; done;"
           " printf '  \\033[44m%57s\\033[0m\\n\\033[5;15H' ''",
}
# Of the Linux console: none, and a block that does not blink (Documentation/admin-guide/vga-softcursor.rst).
CURSOR_OFF, CURSOR_ON = "\\033[?25l", "\\033[?17;0;64c"


def wait_until(true, what):
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.05)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def sections():
    made = {"seat desk": {"size": SEAT_SIZE, "web": f"127.0.0.1:{free_port()}"}}
    for name, colour in (("alice", "blue"), ("bob", "orange")):
        made |= {f"guest {name}": {}, f"display {name}/0": {"seat": "desk", "colour": colour}}
    return made


def api(daemon, method, path):
    return subprocess.run(["curl", "-sS", "--fail", "--unix-socket", daemon.runtime / "api.sock", "-X", method,
                           f"http://viaduct{path}"], capture_output=True, check=True).stdout


def screen(daemon):
    """Rows of three bytes a pixel."""
    body = api(daemon, "POST", "/v1/seats/desk/picture")
    width, height = map(int, body.split(maxsplit=3)[1:3])
    pixels = body[-width * height * 3:]
    return [pixels[at:at + width * 3] for at in range(0, len(pixels), width * 3)]


def settled(daemon):
    """The screen, when it has been the same for a second."""
    before = None
    while (now := screen(daemon)) != before:
        before = now
        time.sleep(1)
    return now


def show(guest):
    """Its own text on a blank console. The only cursor is that of the guest with the keyboard."""
    cursor = CURSOR_ON if guest.name == "bob" else CURSOR_OFF
    guest.run(f"echo 0 >/proc/sys/kernel/printk; printf '\\033[9;0]\\033[2J\\033[H{cursor}' >/dev/tty1")
    guest.run(f"({SHOWS[guest.name]}) >/dev/tty1 2>&1")


def drag(daemon, name, x, y):
    """By the title of its window, which is above the others then and has the keyboard."""
    daemon.command("seat", "focus", "desk", name)
    frame = daemon.device(f"{name}/0", "display")["frame"]
    with rfb.Viewer(daemon.runtime / "seat-desk.vnc") as viewer:
        viewer.pointer(frame["x"] + 10, frame["y"] + 10)
        viewer.pointer(frame["x"] + 10, frame["y"] + 10, 1)
        viewer.pointer(x + 10, y + 10, 1)
        viewer.pointer(x + 10, y + 10)
        wait_until(lambda: daemon.device(f"{name}/0", "display")["frame"]["x"] == x, "the window has moved")


def type_at_the_seat(daemon, guest):
    """What is typed is seen at the guest with the keyboard alone."""
    guest.run("(setsid cat /dev/tty1 >/dev/null 2>&1 &)")
    guest.run("until ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /dev/tty1; do sleep 0.1; done; stty -F /dev/tty1 sane")
    daemon.command("seat", "type", "desk", "secret", "--to", guest.name)


def photograph_console(daemon, folder):
    """The page, with what noVNC has drawn into it."""
    with tempfile.TemporaryDirectory() as profile, Browser(profile) as browser:
        browser.resize(*WINDOW_SIZE)
        browser.go(json.loads(api(daemon, "GET", "/v1/seats/desk"))["console"])
        wait_until(lambda: browser.run("return document.body.dataset.connected === 'yes' && document.querySelectorAll("
                                       "'#guests button').length === 2"), "the page is connected")
        time.sleep(2)           # for the picture, and what the page asks of the seat
        palette.write(folder / "console.png", palette.read(base64.b64decode(browser.photograph())))


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        daemon = Viaductd(sections())
        stack.callback(daemon.remove)
        daemon.start()
        stack.callback(daemon.stop)
        run = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="viaduct-guest-")))
        guests = []
        for name in SHOWS:
            display = qemu.Display(daemon.socket(f"{name}/0", "display"))
            guests.append(qemu.Guest(run, [display], name=name, kernel="generic"))
            stack.callback(guests[-1].stop)
            guests[-1].start()
        for guest in guests:
            show(guest)
        drag(daemon, "bob", *BOB_AT)
        type_at_the_seat(daemon, guests[1])
        palette.write(folder / "seat.png", settled(daemon))
        photograph_console(daemon, folder)
        daemon.command("seat", "focus", "desk", "bob", "--full-screen")
        palette.write(folder / "full_screen.png", settled(daemon))


main(pathlib.Path(sys.argv[1]))
