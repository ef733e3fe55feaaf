# SPDX-License-Identifier: GPL-2.0-or-later
"""The console of a seat in Chromium, without a window: what a person sees and does."""
import base64

import pytest

from browser import Browser
from patience import wait_until
from test_seat import HEIGHT, WIDTH, empty_seat, seat
from test_web import Console, other_token

# What the canvas holds: rows of three bytes a pixel, in hexadecimal digits.
CANVAS = """
const canvas = document.querySelector('#screen canvas');
const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
const rows = [];
for (let y = 0; y < canvas.height; y++) {
    let row = '';
    for (let x = 0; x < canvas.width; x++) {
        const at = (y * canvas.width + x) * 4;
        row += ((1 << 24) | (pixels[at] << 16) | (pixels[at + 1] << 8) | pixels[at + 2]).toString(16).slice(1);
    }
    rows.push(row);
}
return rows;
"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture
def console(make_daemon):
    return Console(make_daemon)


def address(console):
    return seat(console.daemon)["console"]


def is_connected(chromium):
    return chromium.run("return document.body.dataset.connected === 'yes'")


def has_drawn(chromium):
    """The canvas has the seat's size, and is not blank."""
    return chromium.run("""
        const canvas = document.querySelector('#screen canvas');
        return canvas !== null && canvas.getContext('2d').getImageData(0, 0, 1, 1).data[3] !== 0
            && canvas.getContext('2d').getImageData(0, 0, 1, 1).data[0] !== 0;""")


def open_console(chromium, console):
    chromium.go("about:blank")
    chromium.go(address(console))
    wait_until(lambda: is_connected(chromium), "the console is connected")
    wait_until(lambda: has_drawn(chromium), "the console shows the seat")


def canvas(chromium):
    return [bytes.fromhex(row) for row in chromium.run(CANVAS)]


def test_the_console_shows_the_seat_exactly(chromium, console):
    open_console(chromium, console)
    assert canvas(chromium) == empty_seat()
    assert chromium.run("return [document.title, document.getElementById('seat').textContent]") == ["desk – Viaduct", "desk"]
    assert seat(console.daemon)["viewers"] == 1
    # The guest that is there, but shows nothing.
    assert chromium.run("return [...document.querySelectorAll('#guests button')].map(b => [b.textContent, b.disabled, b.style.borderLeftColor])") \
        == [["alice/0", True, "rgb(200, 16, 46)"]]
    chromium.go("about:blank")
    wait_until(lambda: seat(console.daemon)["viewers"] == 0, "the viewer has left")
    assert chromium.complaints() == []


def test_real_size_and_back(chromium, console):
    open_console(chromium, console)
    width = "return document.querySelector('#screen canvas').getBoundingClientRect().width"
    scaled = chromium.run(width)
    assert scaled > WIDTH           # it fills the window
    chromium.click("#real")
    wait_until(lambda: chromium.run(width) == WIDTH, "a pixel is a pixel")
    chromium.click("#real")
    wait_until(lambda: chromium.run(width) == scaled, "the picture fills the window")


def test_a_wrong_token_shows_help(chromium, console):
    for token in other_token(console.token), "":
        chromium.go("about:blank")
        chromium.go(f"http://127.0.0.1:{console.port}/#token={token}")
        wait_until(lambda: chromium.run("return !document.getElementById('help').hidden"), "the page helps")
        text = chromium.run("return document.getElementById('help').innerText")
        assert "viaduct seat show SEAT" in text and f"http://127.0.0.1:{console.port}/#token=" in text
    assert seat(console.daemon)["viewers"] == 0


def test_the_console_comes_back(chromium, console):
    """After a takeover it has not been away; after a restart it connects again by itself."""
    open_console(chromium, console)
    console.daemon.stop()
    wait_until(lambda: not is_connected(chromium), "the page notices")
    wait_until(lambda: "trying again" in chromium.run("return document.getElementById('said').textContent"), "the page says so")
    console.daemon.start()
    wait_until(lambda: is_connected(chromium), "the console is connected again")
    wait_until(lambda: has_drawn(chromium), "the console shows the seat again")
    assert canvas(chromium) == empty_seat()


def test_keys_and_the_pointer_arrive(chromium, console):
    """Of the viewer that steers; others' are not heard, so that a second viewer can tell."""
    open_console(chromium, console)
    before = events(console)
    chromium.click("#screen canvas")
    chromium.keys("abc")
    wait_until(lambda: events(console) >= before + 2 + 6, "a click and three keys")


def test_a_text_is_typed(chromium, console):
    """Each character as the keys that make it, with Shift where it needs it; what has no key is told."""
    open_console(chromium, console)
    chromium.click("#paste")
    chromium.run("const text = document.getElementById('text'); text.value = 'Hi!\\n'; text.dispatchEvent(new Event('input'))")
    assert chromium.run("return document.getElementById('untyped').textContent") == ""
    before = events(console)
    chromium.click("#type")
    # H and ! are two keys each.
    wait_until(lambda: events(console) >= before + 2 * (2 + 1 + 2 + 1), "keys")
    chromium.click("#paste")
    chromium.run("const text = document.getElementById('text'); text.value = 'aé€'; text.dispatchEvent(new Event('input'))")
    assert chromium.run("return document.getElementById('untyped').textContent") == "There is no key for: é €"


def test_what_was_copied_is_pasted(chromium, console):
    """By the key that is the seat's own: three go down, and come up."""
    open_console(chromium, console)
    before = events(console)
    chromium.click("#copied")
    wait_until(lambda: events(console) == before + 6, "keys")
    assert chromium.run("return document.activeElement.tagName") == "CANVAS"


def test_a_screenshot_is_the_picture(chromium, console):
    open_console(chromium, console)
    chromium.run("""
        window.shot = null;
        HTMLAnchorElement.prototype.click = function() {
            window.shotName = this.download;
            fetch(this.href).catch(() => 0);
        };
        const make = URL.createObjectURL;
        URL.createObjectURL = blob => {
            const reader = new FileReader();
            reader.onload = () => { window.shot = reader.result; };
            reader.readAsDataURL(blob);
            return make(blob);
        };""")
    chromium.click("#shot")
    wait_until(lambda: chromium.run("return window.shot !== null"), "the picture is saved")
    assert chromium.run("return window.shotName") == "desk.png"
    png = base64.b64decode(chromium.run("return window.shot").split(",")[1])
    assert png.startswith(b"\x89PNG\r\n") and int.from_bytes(png[16:20], "big") == WIDTH and int.from_bytes(png[20:24], "big") == HEIGHT


def events(console):
    """Keys and moves of viewers that the seat has heard."""
    return seat(console.daemon)["events"]
