# SPDX-License-Identifier: GPL-2.0-or-later
"""The console of a seat in Chromium, without a window: what a person sees and does."""
import base64

import pytest

from browser import ALT, CONTROL, ESCAPE, Browser
from patience import wait_until
from test_seat import HEIGHT, WIDTH, empty_seat, seat
from test_seat_own import KEY_A, KEY_B, heard, keyboard
from test_seat_virtio import HEIGHT as GUEST_HEIGHT, WIDTH as GUEST_WIDTH, display, expect_shown, focus, window
from test_takeover import take_over
from test_web import Console, other_token
from test_web_own import Console as Guests

KEY_E, KEY_D, KEY_RIGHTALT = 18, 32, 100

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
        == [["alice/0 gone", True, "rgb(26, 95, 180)"]]
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


# ---- one guest alone, and what is told of guests ----

@pytest.fixture
def guests(make_daemon):
    return Guests(make_daemon)


def stripes(seed, height=GUEST_HEIGHT):
    """A picture of few colours: what has many, noVNC is sent by JPEG."""
    colours = b"\xff\0\0", b"\0\xff\0", b"\0\0\xff", b"\xff\xff\0"
    return [b"".join(colours[(x // 10 + y // 7 + seed) % 4] for x in range(GUEST_WIDTH)) for y in range(height)]


def begin(one, seed=0):
    """As a driver begins; returns what is to be seen."""
    rows = stripes(seed)
    one.create(1, GUEST_WIDTH, GUEST_HEIGHT)
    one.write(1, rows)
    one.transfer(1, 0, 0, GUEST_WIDTH, GUEST_HEIGHT)
    one.show(1)
    one.flush(1, 0, 0, GUEST_WIDTH, GUEST_HEIGHT)
    return rows


def open_guest(chromium, guests, query):
    chromium.go("about:blank")
    chromium.go(f"http://127.0.0.1:{guests.port}/{query}#token={guests.token}")
    wait_until(lambda: is_connected(chromium), "the console is connected")


def buttons(chromium):
    return chromium.run("return [...document.querySelectorAll('#guests button')].map(b => b.textContent)")


def has_focus(chromium, what):
    return chromium.run("return document.activeElement.id || document.activeElement.tagName") == what


def test_one_guest_alone(chromium, guests):
    """Its picture exactly, keys to it, and from there to another and to the whole seat."""
    daemon = guests.daemon
    chromium.go("about:blank")
    chromium.complaints()           # of the page before
    with display(daemon) as one, display(daemon, "bob") as other, keyboard(daemon) as alice, keyboard(daemon, "bob") as bob:
        rows = begin(one, 1)
        bobs = begin(other, 2)
        expect_shown(daemon, bobs, "bob")
        focus(daemon, "bob")
        open_guest(chromium, guests, "?guest=alice")
        wait_until(lambda: canvas(chromium) == rows, "alice's picture")
        assert chromium.run("return document.title") == "alice/0 \u2013 Viaduct"
        rows[7] = stripes(2, 1)[0]
        one.draw(1, [rows[7]], 0, 7)
        wait_until(lambda: canvas(chromium) == rows, "what alice draws")
        chromium.click("#screen canvas")
        chromium.keys("a")
        assert alice.hear(2) == heard(KEY_A) and not bob.events()
        assert window(daemon)["viewers"] == 1 and window(daemon, "bob")["focus"]
        wait_until(lambda: buttons(chromium) == ["alice/0 running, 1 alone", "bob/0 running, keyboard"], "their states")
        assert chromium.complaints() == []
        take_over(daemon)
        rows[8] = stripes(3, 1)[0]
        one.draw(1, [rows[8]], 0, 8)
        wait_until(lambda: canvas(chromium) == rows, "what alice draws after a takeover")
        chromium.click("#guests [data-display='bob/0']")
        wait_until(lambda: is_connected(chromium) and canvas(chromium) == bobs, "bob's picture")
        chromium.run("const view = document.getElementById('view'); view.value = ''; view.dispatchEvent(new Event('change'))")
        wait_until(lambda: is_connected(chromium) and chromium.run("return document.title") == "desk \u2013 Viaduct", "the seat")


def test_a_guest_that_there_is_not(chromium, guests):
    chromium.go("about:blank")
    chromium.go(f"http://127.0.0.1:{guests.port}/?guest=eve#token={guests.token}")
    wait_until(lambda: not chromium.run("return document.getElementById('absent').hidden"), "the page says so")
    assert "There is no guest eve on the seat desk" in chromium.run("return document.getElementById('absent').innerText")
    assert chromium.run("return [...document.querySelectorAll('#present a')].map(a => [a.textContent, a.search])") \
        == [["the whole seat", ""], ["alice/0", "?guest=alice/0"], ["bob/0", "?guest=bob/0"]]
    chromium.click("#present li:nth-child(3) a")
    wait_until(lambda: is_connected(chromium) and chromium.run("return document.title") == "bob/0 \u2013 Viaduct", "bob alone")


def test_a_text_for_the_clipboard_of_the_seat(chromium, make_daemon):
    """It has any characters, and no guest hears of it until it is pasted."""
    guests = Guests(make_daemon, layout="de")
    daemon = guests.daemon
    with display(daemon) as one, keyboard(daemon) as alice:
        expect_shown(daemon, begin(one))
        focus(daemon, "alice")
        refused = daemon.api("POST", "/v1/seats/desk/paste", {})[1]["error"]
        assert "has copied a text" in refused
        open_guest(chromium, guests, "")
        chromium.click("#paste")
        assert chromium.run("return document.getElementById('keep').disabled")
        chromium.run("const text = document.getElementById('text'); text.value = 'b\u20acd'; text.dispatchEvent(new Event('input'))")
        assert not chromium.run("return document.getElementById('keep').disabled")
        chromium.run("document.getElementById('keep').click()")
        wait_until(lambda: daemon.api("POST", "/v1/seats/desk/paste", {})[0] == 200, "the seat has the text")
        assert alice.hear(8) == heard(KEY_B) + heard(KEY_RIGHTALT, KEY_E) + heard(KEY_D)
        assert events(guests) == 0


def test_the_guest_follows_the_page(chromium, guests):
    daemon = guests.daemon
    with display(daemon) as one:
        rows = begin(one)
        open_guest(chromium, guests, "?guest=alice/0")
        wait_until(lambda: canvas(chromium) == rows, "alice's picture")
        chromium.click("#follow")
        size = chromium.run("const box = document.getElementById('screen').getBoundingClientRect(); return [box.width, box.height]")
        wait_until(lambda: one.modes()[0][:2] != (GUEST_WIDTH, len(rows)), "the guest is asked")
        assert all(abs(asked - there) <= 1 for asked, there in zip(one.modes()[0][:2], size))


def test_the_bar_by_keys(chromium, guests):
    """Ctrl-Alt-M leads there, and no guest hears of the M; Esc leads back."""
    daemon = guests.daemon
    with display(daemon) as one, keyboard(daemon) as alice:
        rows = begin(one)
        open_guest(chromium, guests, "?guest=alice")
        wait_until(lambda: canvas(chromium) == rows, "alice's picture")
        chromium.run("document.querySelector('#screen canvas').focus()")
        chromium.chord(CONTROL, ALT, "m")
        wait_until(lambda: has_focus(chromium, "view"), "the bar")
        assert [event[1:] for event in alice.hear(4)] == [(29, 1), (56, 1), (56, 0), (29, 0)]
        chromium.keys(ESCAPE)
        wait_until(lambda: has_focus(chromium, "CANVAS"), "the guest")
        chromium.keys("a")
        assert alice.hear(2) == heard(KEY_A)


def test_overview_and_fit(chromium, guests):
    daemon = guests.daemon
    with display(daemon) as one:
        expect_shown(daemon, begin(one))
        focus(daemon, "alice")
        open_guest(chromium, guests, "")
        assert chromium.run("return getComputedStyle(document.getElementById('follow')).display") == "none"
        chromium.click("#fit")
        wait_until(lambda: window(daemon)["scale"] == "fit", "the window fits")
        chromium.click("#overview")
        wait_until(lambda: seat(daemon)["overview"], "the overview")
        chromium.click("#overview")
        wait_until(lambda: not seat(daemon)["overview"] and window(daemon)["focus"], "the seat as it was")


def events(console):
    """Keys and moves of viewers that the seat has heard."""
    return seat(console.daemon)["events"]
