# SPDX-License-Identifier: GPL-2.0-or-later
"""The console of one guest in a browser, without a browser: who may open it, what it shows, and what it cannot do."""
import concurrent.futures
import json
import pathlib

import pytest

import rfb
import web
from patience import wait_until
from test_seat import VIEWERS_MAX, door, free_port, seat
from test_seat_own import KEY_A, KEY_B, expect_seen, heard, keyboard, own_door, stroke
from test_seat_virtio import WIDTH, display, expect_shown, focus, pattern, sections, start, window
from test_takeover import take_over
from test_web import other_token


class Console:
    """A daemon with two guests, whose seat has a console; their displays have no sockets of their own."""

    def __init__(self, make_daemon, **keys):
        self.port = free_port()
        made = sections()
        made["seat desk"] |= {"web": f"127.0.0.1:{self.port}", **keys}
        self.daemon = make_daemon(made)
        self.token = (self.daemon.runtime / "seat-desk.token").read_text().strip()

    def socket(self, guest="alice/0", token=None):
        return web.WebSocket(self.port, token or self.token, path=f"/console/{guest}" if guest else "/console")

    def viewer(self, guest="alice/0"):
        return rfb.Viewer(self.socket(guest))

    def told(self, guest="alice/0"):
        """What the page is told of the guest."""
        status, _, body = web.ask(self.port, "/state", Authorization=f"Bearer {self.token}")
        assert status == 200
        return next(one for one in json.loads(body)["displays"] if one["display"] == guest)


@pytest.fixture
def console(make_daemon):
    return Console(make_daemon)


def test_it_shows_and_steers_one_guest(console):
    daemon = console.daemon
    with display(daemon) as one, display(daemon, "bob") as other, keyboard(daemon) as alice, keyboard(daemon, "bob") as bob, \
            console.viewer() as viewer:
        assert viewer.name == "alice/0"
        rows = start(one, 1)
        start(other, 2)
        expect_seen(viewer, rows)
        focus(daemon, "bob")
        rows[3] = pattern(WIDTH, 1, 9)[0]
        one.draw(1, [rows[3]], 0, 3)
        expect_seen(viewer, rows)
        stroke(viewer, KEY_A)
        assert alice.hear(2) == heard(KEY_A) and not bob.events()
        assert (window(daemon)["viewers"], seat(daemon)["viewers"]) == (1, 0)
        assert not own_door(daemon).exists()
        with console.viewer("") as whole:
            stroke(whole, KEY_B)
            assert bob.hear(2) == heard(KEY_B) and not alice.events()
            assert seat(daemon)["viewers"] == 1
    wait_until(lambda: window(daemon)["viewers"] == 0, "the viewer has left")


def test_it_has_no_say_on_the_seat(console):
    """A wish for the keyboard is for those who see the seat."""
    daemon = console.daemon
    with display(daemon) as one, display(daemon, "bob") as other, keyboard(daemon) as alice, console.socket() as opened:
        start(one), start(other)
        wait_until(lambda: window(daemon)["shown"] and window(daemon, "bob")["shown"], "both are shown")
        viewer = rfb.Viewer(opened)
        opened.send_frame(web.TEXT, b"focus bob/0")
        stroke(viewer, KEY_A)
        assert alice.hear(2) == heard(KEY_A)
        assert not window(daemon)["focus"] and not window(daemon, "bob")["focus"]


@pytest.mark.parametrize("guest", ["eve/0", "alice", "alice/1", "alice/0/", "alice/0/0", "x" * 100, "x" * 127, "x" * 128, "x" * 1000, "/",
                                   "alice%2f1", ".."])
def test_guests_that_there_are_not(console, guest):
    with pytest.raises(web.Refused, match="404"):
        console.socket(guest)
    with console.viewer() as viewer:
        assert viewer.name == "alice/0"


def test_a_wrong_token(console):
    for guest in "alice/0", "eve/0":
        with pytest.raises(web.Refused, match="403"):
            console.socket(guest, other_token(console.token))
    assert window(console.daemon)["viewers"] == 0


def test_places(console):
    """Those of the seat and of each guest are counted apart."""
    daemon = console.daemon
    with rfb.Viewer(door(daemon)):
        viewers = [console.viewer() for _ in range(VIEWERS_MAX - 2)]
        assert window(daemon)["viewers"] == VIEWERS_MAX - 2
        for viewer in viewers:
            viewer.close()
        wait_until(lambda: window(daemon)["viewers"] == 0, "they have left")
    seats = [rfb.Viewer(door(daemon)) for _ in range(VIEWERS_MAX)]
    with pytest.raises(web.Refused, match="503"):
        console.socket("")
    with console.viewer():
        assert window(daemon)["viewers"] == 1
    for viewer in seats:
        viewer.close()


def parent_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def wakers(daemon):
    """Of each process of the daemon that serves a browser: the eventfds by which it wakes itself."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text() == "viaduct-web\n" and parent_of(parent_of(process.name)) == daemon.process.pid:
                told = [fdinfo.read_text() for fdinfo in (process / "fdinfo").iterdir()]
                found.append([int(line.split()[1]) for one in told for line in one.splitlines()
                              if line.startswith("eventfd-id:")])
        except (FileNotFoundError, ProcessLookupError):
            pass                                    # it has ended
    return found


def test_each_wakes_itself(console):
    """One that others could wake would take their words for the library's, or lose its own."""
    with console.viewer(), console.viewer(), console.viewer("bob/0"), console.viewer(""):
        now = wakers(console.daemon)
    assert [len(own) for own in now] == [1] * 4 and len({own[0] for own in now}) == 4, now


def test_all_at_once(console):
    """Consoles that open, and are used, while others open."""
    def use(guest):
        for _ in range(4):
            with console.viewer(guest) as viewer:
                assert viewer.name == (guest or "desk")

    with concurrent.futures.ThreadPoolExecutor() as pool:
        for used in [pool.submit(use, guest) for guest in ["alice/0", "bob/0", ""] * 4]:
            used.result()
    assert not [line for line in console.daemon.lines if "BUG" in line[1]]


def test_takeovers(console):
    daemon = console.daemon
    with display(daemon) as one, keyboard(daemon) as alice, console.viewer() as viewer:
        rows = start(one)
        expect_seen(viewer, rows)
        resizes = viewer.resizes
        for turn in range(2):
            take_over(daemon)
            rows[turn] = pattern(WIDTH, 1, 20 + turn)[0]
            one.draw(1, [rows[turn]], 0, turn)
            expect_seen(viewer, rows)
            stroke(viewer, KEY_A)
            assert alice.hear(2) == heard(KEY_A)
            assert window(daemon)["viewers"] == 1 and viewer.resizes == resizes


def test_what_is_told_of_a_guest(console):
    daemon = console.daemon
    assert console.told()["state"] == "gone"
    with display(daemon) as one:
        wait_until(lambda: console.told()["state"] == "dark", "a guest without a picture")
        expect_shown(daemon, start(one))
        assert console.told() == {"display": "alice/0", "colour": "#1a5fb4", "shown": True, "focus": False, "state": "running",
                                  "viewers": 0}
        bases = [one.front.stop_queue(queue.index) for queue in one.front.queues]
        wait_until(lambda: console.told()["state"] == "paused", "a guest whose VMM has stopped it")
        for queue, base in zip(one.front.queues, bases):
            one.front.start_queue(queue.index, base)
        wait_until(lambda: console.told()["state"] == "running", "it goes on")
        with console.viewer():
            assert console.told()["viewers"] == 1
        focus(daemon, "alice")
        assert console.told()["focus"]
    wait_until(lambda: console.told()["state"] == "gone", "it has gone")
