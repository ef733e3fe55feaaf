# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's generic kernel on displays, keyboards and tablets made of registers, through QEMU's vfio-user client."""
import base64
import struct

import pytest

import guest_image
import qemu
from test_seat import display, draw, expect_typed, give_focus, listen, type_line, viewer, wait_until
from test_seat_virtio import HEIGHT, WIDTH, of_guest

INPUT_EVENT = struct.Struct("<qqHHi")
EV_KEY, EV_ABS = 1, 3
BTN_LEFT = 0x110


@pytest.fixture
def seat(viaductd, machine, program):
    """seat(arguments of the kernel) -> the daemon, and alice, whose keyboard and tablet are USB devices."""
    def start(append=""):
        daemon = viaductd({"seat desk": {"size": "1280x800"}, "guest alice": {},
                           "keyboard alice/0": {"model": "xhci"}, "tablet alice/0": {"model": "xhci"},
                           "display alice/0": {"seat": "desk", "source": "bochs", "size": f"{WIDTH}x{HEIGHT}"}})
        functions = [qemu.Function(daemon.socket("alice/0", kind), name=kind) for kind in ("display", "keyboard", "tablet")]
        alice = machine(functions, name="alice", kernel="generic", program=program, append=append,
                        initramfs=guest_image.initramfs("generic", "bochs", "xhci_pci", "usbhid", "hid_generic", "evdev"))
        begin_to_listen(alice)
        return daemon, alice

    return start


def begin_to_listen(alice):
    # The PC has a keyboard of QEMU's, too.
    alice.run("until [ $(grep -c Viaduct /proc/bus/input/devices) = 2 ]; do sleep 0.1; done")
    listen(alice)


def type_and_expect(daemon, view, alice, line, before=""):
    """Returns all that the guest has heard then."""
    give_focus(daemon, view, "alice", 2)
    type_line(view, line)
    expect_typed(alice, before + line + "\n")
    return before + line + "\n"


def expect_no_complaint(daemon):
    """An honest guest has broken no rule, and its VMM neither."""
    for device in daemon.status()["devices"]:
        assert not any(device["violations"].values()) and device["protocol_errors"] == 0, device
    assert "VMM:" not in daemon.text() and "driver:" not in daemon.text()


def test_every_pixel_is_as_the_guest_drew_it(seat):
    """In its window, where nobody but the daemon says that there is something new; and after the daemon is another. Keys come
    by the pin: the guest uses no messages for interrupts."""
    daemon, alice = seat("pci=nomsi")
    assert "xhci" in alice.run("grep IO-APIC /proc/interrupts")
    with viewer(daemon) as view:
        type_and_expect(daemon, view, alice, "ab")
    wanted, width, height = draw(alice)
    assert (width, height) == (WIDTH, HEIGHT)
    for turn in range(2):
        wait_until(lambda: of_guest(daemon) == wanted, "the guest's picture")
        if turn == 0:
            daemon.take_over()
        alice.run("printf '\\377\\0\\1\\0' | dd of=/dev/fb0 bs=4 seek=1000 conv=notrunc 2>/dev/null")
        line = wanted[1000 // WIDTH]
        wanted[1000 // WIDTH] = line[:(1000 % WIDTH) * 3] + b"\1\0\xff" + line[(1000 % WIDTH + 1) * 3:]
    wait_until(lambda: of_guest(daemon) == wanted, "the guest's picture after the takeover")
    # Its driver is taken off and put back: dark, and a picture again.
    alice.run("cd /sys/bus/pci/drivers/bochs-drm; echo $(ls | grep 0000) >/tmp/card; echo 0 >/sys/class/vtconsole/vtcon1/bind; "
              "cat /tmp/card >unbind; cat /tmp/card >bind")
    wait_until(lambda: of_guest(daemon) != wanted, "another picture")
    assert daemon.device("alice/0", "display")["connects"] == 1
    expect_no_complaint(daemon)


# ---- keys and the pointer ----

def click(alice, view, x, y):
    """What the tablet's driver says of a click, to its end: (type, code, value)."""
    alice.run("tablet=$(grep -l 'ablet' /sys/class/input/event*/device/name | head -n 1); tablet=${tablet#/sys/class/input/}; "
              ": >/tmp/tablet; (cat /dev/input/${tablet%%/*} >/tmp/tablet & echo $! >/tmp/reader)")
    alice.run("until ls -l /proc/$(cat /tmp/reader)/fd 2>/dev/null | grep -q /dev/input; do sleep 0.1; done")
    view.click(x, y)

    def events():
        heard = base64.b64decode(alice.run("base64 /tmp/tablet"))
        whole = heard[:len(heard) // INPUT_EVENT.size * INPUT_EVENT.size]
        return [event[2:] for event in INPUT_EVENT.iter_unpack(whole)]

    wait_until(lambda: (EV_KEY, BTN_LEFT, 0) in events(), "the button is let go")
    alice.run("kill $(cat /tmp/reader)")
    return events()


def test_keys_and_the_pointer(seat):
    """From the seat to a program; through a takeover, and a reset of the guest."""
    daemon, alice = seat()
    assert "xhci" not in alice.run("grep IO-APIC /proc/interrupts")
    heard = ""
    with viewer(daemon) as view:
        for turn, line in enumerate(("ab", "12", "cd", "34")):
            heard = type_and_expect(daemon, view, alice, line, heard)
            if turn == 1:
                daemon.take_over()
        # In the middle: its place on both axes, and the button.
        where = display(daemon, "alice")["picture"]
        events = click(alice, view, where["x"] + WIDTH // 2, where["y"] + HEIGHT // 2)
        assert (EV_ABS, 0, WIDTH // 2 * 32767 // (WIDTH - 1)) in events
        assert (EV_ABS, 1, HEIGHT // 2 * 32767 // (HEIGHT - 1)) in events
        assert [event for event in events if event[:2] == (EV_KEY, BTN_LEFT)] == [(EV_KEY, BTN_LEFT, 1), (EV_KEY, BTN_LEFT, 0)]
        alice.reset()
        begin_to_listen(alice)
        wait_until(lambda: display(daemon, "alice")["shown"], "a window")
        type_and_expect(daemon, view, alice, "ef")
    expect_no_complaint(daemon)
