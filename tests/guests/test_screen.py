# SPDX-License-Identifier: GPL-2.0-or-later
"""A host's own screen, keyboard and pointer: Debian's kernel drives them in an emulated machine, in which viaductd runs."""
import pytest

import screen_host

WIDTH, HEIGHT = 1280, 800
PICTURE = 400, 300
TITLE, FRAME = 22, 3
ARROW = 11, 17          # of the pointer
HOST = """
[daemon]
state_dir = /tmp/state
user = viaduct
[seat desk]
screen = /dev/dri/card0
input = all
[guest alice]
[display alice/0]
seat = desk
"""
OTHER = """
[daemon]
state_dir = /tmp/other-state
user = viaduct
[seat desk]
screen = /tmp/card:Virtual-1
size = 1024x768
"""
BAR, LINE, NOBODY, BACKGROUND = 24, 2, 0x505860, 0x202428


@pytest.fixture
def host(machine, tmp_path):
    """A machine with a card, a keyboard, a tablet and a mouse, whose daemon shows alice's picture."""
    image = screen_host.initramfs(tmp_path, host=HOST, other=OTHER)
    devices = screen_host.Devices("virtio-gpu-pci", "virtio-keyboard-pci", "virtio-tablet-pci", "virtio-mouse-pci")
    made = screen_host.Host(machine([devices], name="host", kernel="generic", memory_mib=512, initramfs=image))
    made.guest.run("chmod 755 /")       # for the daemon's user
    # Nothing is drawn on the console by itself, and what is typed at it goes into a file.
    made.guest.run("printf '\\033[9;0]\\033[?25l' >/dev/tty1; echo 0 >/sys/class/graphics/fbcon/cursor_blink")
    made.guest.run("(setsid cat /dev/tty1 >/tmp/console 2>/dev/null &)")
    made.guest.run("until ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /dev/tty1; do sleep 0.1; done")
    made.console = made.screen()
    made.start_daemon()
    made.wait_ready()
    made.play_display("alice", *PICTURE)
    return made


def alice_picture():
    width, height = PICTURE
    return [bytes(value & 0xff for x in range(width) for value in (5 * x + y, x ^ y, 3 * y)) for y in range(height)]


def colour(rgb):
    return rgb.to_bytes(3, "big")


def expected(host):
    """The seat as it must be: alice's window, without a name because the machine has no font, and the bar."""
    alice = host.seat()["displays"][0]
    own = colour(int(alice["colour"], 16))
    rows = [colour(BACKGROUND) * WIDTH for _ in range(HEIGHT)]
    rows[:BAR - LINE] = [(own if alice["focus"] else colour(NOBODY)) * WIDTH for _ in range(BAR - LINE)]
    frame = alice["frame"]
    window = [own * frame["width"] for _ in range(TITLE)]
    window += [own * FRAME + line + own * FRAME for line in alice_picture()]
    window += [own * frame["width"] for _ in range(FRAME)]
    assert (len(window), len(window[-1])) == (frame["height"], frame["width"] * 3)
    for at, line in enumerate(window, frame["y"]):
        rows[at] = rows[at][:frame["x"] * 3] + line + rows[at][(frame["x"] + frame["width"]) * 3:]
    return rows


def cut(rows, x, y, width, height):
    return [row[x * 3:(x + width) * 3] for row in rows[y:y + height]]


def put_out(rows, x, y, width, height):
    """The same without what is there."""
    return [row[:x * 3] + row[(x + width) * 3:] if y <= at < y + height else row for at, row in enumerate(rows)]


def arrow_on(host, wanted):
    """Waits until the screen shows the seat with the pointer there, and nothing else."""
    x, y = wanted

    def is_there():
        screen, seat = host.screen(), expected(host)
        own = cut(screen, x, y, *ARROW)
        return (put_out(screen, x, y, *ARROW) == put_out(seat, x, y, *ARROW) and own != cut(seat, x, y, *ARROW) and
                own[0][:3] == b"\xff\xff\xff" and (len(own) < 5 or own[4][3:9] == bytes(6)))

    host.wait(is_there, f"the pointer is at {x}, {y} of the screen")


def test_the_host_s_own_screen_keyboard_and_pointer(host):
    """Pixels are the seat's, keys are the guest's and not the console's, and all is given back at the end."""
    frame = host.seat()["displays"][0]["frame"]
    x, y = frame["x"] + FRAME, frame["y"] + TITLE
    host.wait(lambda: host.screen() == expected(host), "the screen shows the seat, and no pointer")
    seat = host.seat()
    assert (seat["width"], seat["height"]) == (WIDTH, HEIGHT)
    assert {key: seat["screen"][key] for key in ("card", "state", "connector", "width", "height")} == {
        "card": "/dev/dri/card0", "state": "on", "connector": "Virtual-1", "width": WIDTH, "height": HEIGHT}
    kinds = {device["name"]: device["kind"] for device in seat["input"]["devices"]}
    assert {"QEMU Virtio Keyboard": "keyboard", "QEMU Virtio Tablet": "tablet", "QEMU Virtio Mouse": "mouse"}.items() <= kinds.items()
    text = host.command("seat", "show", "desk")
    assert "screen: Virtual-1 on /dev/dri/card0, 1280x800 at" in text and ", QEMU Virtio Tablet" in text

    check_pointer(host, x, y)
    check_keys(host)
    check_lights(host)
    check_lost_events(host)
    check_takeover(host, x, y)
    check_unplugging(host)
    other = check_another_program(host)
    other.stop_daemon()
    host.wait(lambda: host.screen() == host.console, "the console has its screen again")
    assert caps_light(host) == "0"
    host.press("x")
    host.press("ret")
    host.wait(lambda: host.guest.run("cat /tmp/console") == "x", "the console has its keyboard again, and heard nothing before")


def check_another_program(host):
    """A second daemon, whose card comes late, wants it: nothing changes, and nothing is shown, until the first ends."""
    host.guest.run("chmod a+rw /dev/dri/card0")
    other = screen_host.Host(host.guest, "other")
    frames = host.seat()["screen"]["frames"]
    other.start_daemon()
    other.wait_ready()
    assert other.seat()["screen"]["state"] == "closed" and "/tmp/card: No such file or directory" in other.log()
    host.guest.run("ln -s /dev/dri/card0 /tmp/card")
    other.wait(lambda: other.seat()["screen"]["state"] == "lost", "the other daemon sees the card")
    assert "another program" in other.log()
    host.guest.run("sleep 1")
    assert (host.seat()["screen"]["frames"], host.seat()["screen"]["state"]) == (frames, "on")
    host.stop_daemon()
    other.wait(lambda: other.seat()["screen"]["state"] == "on", "the other daemon has the screen")
    other.wait(lambda: other.screen() == [colour(NOBODY if y < BAR - LINE else BACKGROUND) * 1024 for y in range(768)],
               "the other's seat is on the screen, which has a mode of its size")
    return other


def check_pointer(host, x, y):
    """At the place that the tablet tells, and by as much as the mouse moves; a click gives alice the focus."""
    host.move("abs", 0x4000, 0x4000)
    arrow_on(host, (WIDTH // 2, HEIGHT // 2))
    place = round((x + 50) * 0x7fff / (WIDTH - 1)), round((y + 40) * 0x7fff / (HEIGHT - 1))
    host.move("abs", *place)
    arrow_on(host, (x + 50, y + 40))
    assert not host.seat()["displays"][0]["focus"]
    host.button("left", True)
    host.button("left", False)
    host.wait(lambda: "Press 0" in " ".join(host.heard()) and "Release 0" in " ".join(host.heard()), "alice hears the click")
    assert "SetAbsPosition 50 40" in host.heard() and host.seat()["displays"][0]["focus"]
    arrow_on(host, (x + 50, y + 40))
    host.move("rel", -7, 12)
    arrow_on(host, (x + 43, y + 52))
    host.move("rel", -4000, 4000)
    arrow_on(host, (0, HEIGHT - 1))


def check_keys(host):
    """Only alice hears them; those that are the seat's, nobody."""
    host.forget_heard()
    host.press("a")
    host.press("shift", "b")
    host.wait_heard("Press 30", "Release 30", "Press 42", "Press 48", "Release 48", "Release 42")
    host.press("ctrl", "alt", "esc")
    host.wait(lambda: not host.seat()["displays"][0]["focus"], "no guest has the focus")
    host.press("a")
    host.press("ctrl", "alt", "tab")
    host.wait(lambda: host.seat()["displays"][0]["focus"], "alice has the focus again")
    host.forget_heard()
    host.press("b")
    host.wait_heard("Press 48", "Release 48")


def caps_light(host):
    """Of the machine's keyboard."""
    return host.guest.run("cat /sys/bus/virtio/drivers/virtio_input/virtio*/input/input*/input*::capslock/brightness")


def check_lights(host):
    """The keyboard has that of the guest that it types for; and it stays on from here."""
    assert caps_light(host) == "0" and host.seat()["input"]["leds"] == []
    host.press("caps_lock")
    host.wait(lambda: caps_light(host) == "1", "alice has lit it")
    assert host.seat()["input"]["leds"] == host.seat()["displays"][0]["leds"] == ["caps"]
    host.press("ctrl", "alt", "esc")
    host.wait(lambda: caps_light(host) == "0", "no guest has the keyboard")
    host.press("ctrl", "alt", "tab")
    host.wait(lambda: caps_light(host) == "1", "alice has it again")


def check_lost_events(host):
    """More events than the kernel keeps: what is held after that is held, and what has come up is up."""
    before = host.seat()["input"]["dropped"]
    host.forget_heard()
    host.key(True, "a")
    host.wait_heard("Press 30")
    host.signal("STOP")
    host.key(False, "a")
    for at in range(100):
        host.press("c")
        # QEMU's queue holds 64 events, and the kernel takes them out only when the machine's turn comes.
        if at % 8 == 7:
            host.guest.run("true")
    host.key(True, "b")
    host.guest.run("true")
    host.signal("CONT")
    host.wait(lambda: "Keyboard Press 48" in host.heard(), "b is down")
    assert host.heard() == ["Keyboard Press 30", "Keyboard Release 30", "Keyboard Press 48"]
    assert host.seat()["input"]["dropped"] > before
    host.key(False, "b")
    host.wait(lambda: host.heard()[-1] == "Keyboard Release 48", "b is up")


def check_takeover(host, x, y):
    """The screen never shows anything else, and keys go on at the guest that had them."""
    seen = []
    host.take_over(lambda: seen.append(cut(host.screen(), x, y, *PICTURE)))
    assert seen and all(picture == alice_picture() for picture in seen)
    host.wait(lambda: "frames" in host.seat()["screen"], "the successor serves")
    # The pointer as well.
    arrow_on(host, (0, HEIGHT - 1))
    host.move("rel", 30, -40)
    arrow_on(host, (30, HEIGHT - 41))
    host.forget_heard()
    host.press("a")
    host.wait_heard("Press 30", "Release 30")
    host.wait(lambda: caps_light(host) == "1", "the keyboard has alice's light")


def check_unplugging(host):
    """A key that is held by a keyboard that goes comes up; and the keyboard is heard when it comes again."""
    name = "QEMU Virtio Keyboard"
    driver = "/sys/bus/virtio/drivers/virtio_input"
    device = host.guest.run(f"basename $(readlink -f /sys/class/input/{host.device(name)}/device/device)")
    host.forget_heard()
    host.key(True, "a")
    host.wait_heard("Press 30")
    host.guest.run(f"echo {device} >{driver}/unbind")
    host.wait_heard("Press 30", "Release 30")
    host.wait(lambda: not host.device(name), "the keyboard is gone")
    # As udev does it for a user of the group input.
    host.guest.run(f"echo {device} >{driver}/bind && chmod a+rw /dev/input/event*")
    host.wait(lambda: host.device(name), "the keyboard is there again")
    host.wait(lambda: caps_light(host) == "1", "and has alice's light")
    host.forget_heard()
    host.press("b")
    host.wait_heard("Press 48", "Release 48")
