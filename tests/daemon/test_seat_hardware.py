# SPDX-License-Identifier: GPL-2.0-or-later
"""A seat's screen and input devices, as the configuration names them; tests/guests/test_screen.py has real ones."""
import subprocess

import pytest

import rfb
from test_refusals import expect_refused, line_of
from test_seat import door, seat, sections

NO_SCREEN = "is no screen of the host's; use for example /dev/dri/card0, /dev/dri/card0:HDMI-A-1, or none"
NO_LIST = ("is no list of devices; use none, all, or paths with commas between them, for example /dev/input/event3")
OTHER_CARD = "is on a card that another seat has; a card is one seat's"
OTHER_DEVICE = "has a device that another seat has; a device is one seat's"


@pytest.mark.parametrize("key, value, message", [
    ("screen", "card0", NO_SCREEN),
    ("screen", "HDMI-A-1", NO_SCREEN),
    ("screen", "/", NO_SCREEN),
    ("screen", "/dev/dri/card0:", NO_SCREEN),
    ("screen", "/dev/" + "x" * 110, NO_SCREEN),
    ("input", "event3", NO_LIST),
    ("input", "/dev/input/event3, all", NO_LIST),
    ("input", ",", "names no device; use none, all, or for example /dev/input/event3"),
    ("input", "/dev/" + "x" * 110, "has a path that is longer than 106 bytes"),
    ("input", ",".join(["/dev/null"] * 33), "has more than 32 devices"),
])
def test_what_is_no_device(make_daemon, key, value, message):
    daemon = make_daemon(sections(**{key: value}), start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, 'seat desk', key)}: {key} = {value} {message}")


@pytest.mark.parametrize("key, one, other, message", [
    ("screen", "/dev/dri/card0:DP-1", "/dev/dri/card0:HDMI-A-2", OTHER_CARD),
    ("input", "/dev/input/event3,/dev/input/event4", "/dev/input/event5, /dev/input/event4", OTHER_DEVICE),
    ("input", "/dev/input/event3", "all", OTHER_DEVICE),
])
def test_two_seats_with_one_device(make_daemon, key, one, other, message):
    daemon = make_daemon({"seat bench": {key: one}, **sections(**{key: other})}, start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, 'seat desk', key)}: {key} = {other} {message}")


def test_check_says_what_cannot_be_opened(make_daemon, tmp_path):
    (tmp_path / "card").touch()
    card = f"{tmp_path}/card"
    daemon = make_daemon({"seat desk": {"screen": f"{card}:DP-1", "input": "/no/keyboard, /no/mouse"}}, start=False)
    done = subprocess.run(daemon.command("--check"), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-3:] == [
        "seat desk: a screen of the monitor's size, for viewers at its socket",
        f"seat desk: show it on the host's screen, {card}, connector DP-1",
        "seat desk: take the host's input devices, /no/keyboard, /no/mouse, for itself"]
    where = f"{daemon.config}:{line_of(daemon, 'seat desk', 'input')}: input ="
    assert done.stderr.splitlines() == [f"{where} /no/keyboard cannot be opened: No such file or directory",
                                        f"{where} /no/mouse cannot be opened: No such file or directory"]


@pytest.mark.parametrize("screen, why", [
    ("/no/card", "No such file or directory"),
    ("/dev/null:DP-1", "/dev/null has no monitors; use a card such as /dev/dri/card0"),
    ("/dev/bus/pci-0000:00:02.0-card", "/dev/bus/pci-0000:00:02.0-card: No such file or directory"),
])
def test_a_seat_does_without(make_daemon, screen, why):
    """What cannot be opened is told, and viewers see and steer."""
    daemon = make_daemon(sections(screen=screen, input="/no/keyboard, /dev/null"))
    assert f"seat desk: screen = {screen}: " in daemon.text() and why in daemon.text()
    assert "seat desk: cannot use /no/keyboard: No such file or directory" in daemon.text()
    assert "seat desk: cannot use /dev/null: No such device; it is neither a keyboard nor a pointer" in daemon.text()
    told = seat(daemon)
    assert told["screen"] == {"card": screen.partition(":DP")[0], "state": "closed", "frames": 0, "copied_pixels": 0}
    assert told["input"] == {"devices": [], "leds": [], "events": 0, "dropped": 0}
    metrics = daemon.api("GET", "/metrics", raw=True)[1].decode()
    assert 'viaduct_seat_screen_frames_total{seat="desk"} 0' in metrics
    assert 'viaduct_seat_input_dropped_total{seat="desk"} 0' in metrics
    with rfb.Viewer(door(daemon)) as viewer:
        assert (viewer.width, viewer.height) == (320, 200)
    daemon.stop()
