# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own kernel on virtio displays, keyboards and tablets of the daemon's, in a QEMU that can attach them."""
import base64
import struct

import pytest

import guest_image
import qemu
from viaductd import build_folder
from test_seat import display, draw, expect_typed, give_focus, listen, picture, type_line, viewer, wait_until

WIDTH, HEIGHT = 640, 400
MODULES = ("virtio_gpu", "virtio_input", "evdev")


@pytest.fixture
def seat(viaductd, machine, program):
    """seat(*guests) -> the daemon, and the guests, which begin with a picture of the console's."""
    def start(*names):
        sections = {"seat desk": {"size": "1280x800"}}
        for name in names:
            sections |= {f"guest {name}": {}, f"keyboard {name}/0": {}, f"tablet {name}/0": {},
                         f"display {name}/0": {"seat": "desk", "source": "virtio", "size": f"{WIDTH}x{HEIGHT}"}}
        daemon = viaductd(sections)
        guests = []
        for name in names:
            sockets = (daemon.socket(f"{name}/0", kind) for kind in ("display", "keyboard", "tablet"))
            guests.append(machine([qemu.VirtioSeat(*sockets)], name=name, kernel="generic", program=program,
                                  initramfs=guest_image.initramfs("generic", *MODULES)))
        return daemon, *guests

    return start


def of_guest(daemon, name="alice"):
    return picture(daemon, f"/v1/displays/{name}/0/picture")


def screenshot(guest, monitor=0):
    """QEMU's own: rows of three bytes a pixel."""
    path = guest.path("ppm")
    guest.monitor.command("screendump", filename=str(path), device="gpu", head=monitor)
    body = path.read_bytes()
    width, height = map(int, body.split(maxsplit=3)[1:3])
    pixels = body[-width * height * 3:]
    return [pixels[at:at + width * 3] for at in range(0, len(pixels), width * 3)]


def expect_at_qemu(daemon, guest, wanted):
    """QEMU shows what the guest's window shows. When it does not, which rows of each are other ones?"""
    try:
        wait_until(lambda: screenshot(guest) == wanted, "QEMU's picture")
    except AssertionError as error:
        rows = {name: [at for at, (one, other) in enumerate(zip(got, wanted)) if one != other]
                for name, got in (("QEMU's", screenshot(guest)), ("the window's", of_guest(daemon)))}
        said = guest.path("log").read_text(errors="replace")[:1000]
        raise AssertionError(f"{error}; rows that differ: {rows}\nQEMU said first: {said}\n{daemon.text()[-2000:]}") from None


def test_every_pixel_is_as_the_guest_drew_it(seat):
    """In its window, and in QEMU's own screenshot; after a pause, and after the daemon is another."""
    daemon, alice = seat("alice")
    wanted, width, height = draw(alice)
    assert (width, height) == (WIDTH, HEIGHT)
    for turn in range(2):
        wait_until(lambda: of_guest(daemon) == wanted, "the guest's picture")
        expect_at_qemu(daemon, alice, wanted)
        if turn == 0:
            alice.monitor.command("stop")
            alice.monitor.command("cont")
            daemon.take_over()
        # It goes on drawing where it was.
        alice.run("printf '\\377\\0\\1\\0' | dd of=/dev/fb0 bs=4 seek=1000 conv=notrunc 2>/dev/null")
        line = wanted[1000 // WIDTH]
        wanted[1000 // WIDTH] = line[:(1000 % WIDTH) * 3] + b"\1\0\xff" + line[(1000 % WIDTH + 1) * 3:]
    wait_until(lambda: of_guest(daemon) == wanted, "the guest's picture after the takeover")


def test_keys_and_the_pointer(seat):
    """Of the guest with the focus only; through a takeover, a pause and a reset of the guest."""
    daemon, alice, bob = seat("alice", "bob")
    heard = {"alice": "", "bob": ""}

    def begin(guest):
        listen(guest)
        heard[guest.name] = ""

    def type_at(view, guest, line):
        give_focus(daemon, view, guest.name, 2)
        type_line(view, line)
        heard[guest.name] += line + "\n"
        for one in alice, bob:
            expect_typed(one, heard[one.name])

    with viewer(daemon) as view:
        begin(alice)
        begin(bob)
        for turn, guest in enumerate((alice, bob, alice, bob)):
            type_at(view, guest, f"a{turn}")
        daemon.take_over()
        for turn, guest in enumerate((alice, bob)):
            type_at(view, guest, f"b{turn}")
        bob.monitor.command("stop")
        bob.monitor.command("cont")
        for turn, guest in enumerate((alice, bob)):
            type_at(view, guest, f"c{turn}")
        wait_until(lambda: display(daemon, "alice")["shown"], "a window")
        alice.reset()
        begin(alice)
        for turn, guest in enumerate((bob, alice)):
            type_at(view, guest, f"d{turn}")
        # A click in the middle: its place on both axes, and the button.
        give_focus(daemon, view, "alice", 2)
        where = display(daemon, "alice")["picture"]
        alice.run("tablet=$(grep -l 'ablet' /sys/class/input/event*/device/name | head -n 1); tablet=${tablet#/sys/class/input/}; "
                  "(dd if=/dev/input/${tablet%%/*} of=/tmp/tablet bs=24 count=6 2>/dev/null &)")
        alice.run("until ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /tmp/tablet; do sleep 0.1; done")
        view.click(where["x"] + WIDTH // 2, where["y"] + HEIGHT // 2)
        alice.run("until [ $(wc -c </tmp/tablet) -ge 144 ]; do sleep 0.1; done")
        kinds = [event[2:] for event in struct.iter_unpack("<qqHHi", base64.b64decode(alice.run("base64 /tmp/tablet")))]
        assert (3, 0, WIDTH // 2 * 32767 // (WIDTH - 1)) in kinds and (3, 1, HEIGHT // 2 * 32767 // (HEIGHT - 1)) in kinds
        assert [event for event in kinds if event[0] == 1][0] == (1, 0x110, 1)


# ---- a program of the guest's that draws by DRM ----

class Painter:
    """tests/guests/screen_painter.c in a guest."""

    def __init__(self, guest, *words):
        self.guest = guest
        self.times = 0
        guest.run("mkfifo /tmp/paint; (screen-painter " + " ".join(words) + " </tmp/paint >/tmp/painted 2>&1 &)")
        guest.run("(sleep 100000 >/tmp/paint &)")
        self.sizes = [tuple(map(int, size.split("x"))) for size in self.wait().split()[1:]]

    def wait(self):
        return self.guest.run(f"until [ $(wc -l </tmp/painted) -gt {self.times} ]; do sleep 0.1; done; tail -n 1 /tmp/painted")

    def paint(self):
        self.guest.run("echo >/tmp/paint")
        self.times += 1
        assert self.wait().startswith("painted"), self.guest.run("cat /tmp/painted")

    def rows(self, monitor):
        width, height = self.sizes[monitor]
        return [b"".join(bytes(((7 * x + self.times) & 255, (5 * y + 40 * monitor) & 255, (x ^ y) & 255)) for x in range(width))
                for y in range(height)]


def with_painter(folder, kernel):
    image = guest_image.initramfs(kernel, *MODULES)
    return guest_image.with_programs(image, {"screen-painter": build_folder() / "tests/guests/screen-painter"}, folder)


# Newer kernels have no other driver; their fetching takes longer than a check should.
@pytest.mark.parametrize("kernel", ["generic", *qemu.long_only("trixie")])
def test_a_program_with_two_monitors(viaductd, machine, program, tmp_path, kernel):
    """What it paints on each is seen in that one's window and in QEMU's screenshot of it, also after a takeover."""
    daemon = viaductd({"seat desk": {"size": "1600x900"}, "guest alice": {}, "keyboard alice/0": {}, "tablet alice/0": {},
                       "display alice/0": {"seat": "desk", "source": "virtio", "size": f"{WIDTH}x{HEIGHT}", "scanouts": 2}})
    sockets = (daemon.socket("alice/0", kind) for kind in ("display", "keyboard", "tablet"))
    alice = machine([qemu.VirtioSeat(*sockets, monitors=2)], name="alice", kernel=kernel, program=program,
                    initramfs=with_painter(tmp_path, kernel))
    painter = Painter(alice)
    assert painter.sizes == [(WIDTH, HEIGHT)] * 2
    for turn in range(3):
        for monitor, name in enumerate(("0", "0:1")):
            wait_until(lambda name=name, monitor=monitor:
                       picture(daemon, f"/v1/displays/alice/{name}/picture") == painter.rows(monitor), f"window {name}, turn {turn}")
            wait_until(lambda monitor=monitor: screenshot(alice, monitor) == painter.rows(monitor), "QEMU's picture")
        if turn == 1:
            daemon.take_over()
        painter.paint()
