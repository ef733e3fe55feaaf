# SPDX-License-Identifier: GPL-2.0-or-later
"""Who pays for what is drawn on a seat: the guest whose pixels are painted, and the seat for the rest."""
import sys

import pytest

from daemon import SOURCE, build_directory
from patience import wait_until
from test_seat_virtio import display, expect_shown, start

sys.path.append(str(SOURCE / "bench/seat"))

from seats import Bench  # noqa: E402

SIZE = 320, 240
GUESTS = ("alice", "bob")


def sections(source):
    made = {"seat desk": {"size": "700x400"}}
    for guest in GUESTS:
        made |= {f"guest {guest}": {}, f"display {guest}/0": {"seat": "desk", "source": source}}
    return made


@pytest.fixture
def desk(make_daemon):
    return make_daemon(sections("vmm"))


def corner(daemon, guest):
    """Of its picture, which is on the screen."""
    def shown():
        display = daemon.api("GET", f"/v1/devices/display/{guest}/0")[1]
        return (display["picture"]["width"], display["picture"]["height"]) == SIZE and display["shown"] and display

    at = wait_until(shown, f"{guest}'s picture")["picture"]
    return at["x"] + SIZE[0] - 1, at["y"] + SIZE[1] - 1


def looked_at(daemon, **roles):
    """Guests in these roles, and a viewer that sees them."""
    return Bench(build_directory(), daemon.runtime / "seat-desk.vnc", lambda: [corner(daemon, guest) for guest in roles],
                 roles={guest: (*SIZE, role) for guest, role in roles.items()},
                 sockets=lambda guest: daemon.runtime / guest / "display-0.sock")


def paid(daemon):
    """{guest, or "seat": seconds of the seats' thread}, and how many pictures were drawn."""
    metrics = daemon.metrics()
    seconds = {guest: metrics[f'viaduct_device_cpu_seconds_total{{guest="{guest}",device="0",kind="display"}}'] for guest in GUESTS}
    return seconds | {"seat": metrics['viaduct_seat_cpu_seconds_total{seat="desk"}']}, metrics['viaduct_seat_frames_total{seat="desk"}']


def enlarge(daemon, display):
    """All of the screen is its, or no display's; and drawn."""
    before = paid(daemon)[1]
    assert daemon.api("PATCH", "/v1/seats/desk", {"full_screen": display})[0] == 200
    wait_until(lambda: paid(daemon)[1] > before, "the screen is drawn")
    # A picture is counted at its beginning; this is answered by the seats' thread, after its end.
    daemon.api("GET", "/v1/devices/display/alice/0")


def test_who_draws_pays(desk):
    with looked_at(desk, alice="frames,100", bob="still") as bench:
        (before, drawn), _ = paid(desk), bench.begin()
        wait_until(lambda: bench.report()["watches"][0]["frames"] > 10, "the guest's frames")
        after, drawn_after = paid(desk)
    assert drawn_after > drawn + 5
    assert after["alice"] > before["alice"] and after["seat"] > before["seat"]
    assert after["bob"] == before["bob"]


def test_whose_pixels_are_painted_pays(desk):
    """For whatever reason: here the guests draw nothing."""
    with looked_at(desk, alice="still", bob="still"):
        enlarge(desk, "alice/0")
        before, _ = paid(desk)
        enlarge(desk, "bob/0")
        enlarged, _ = paid(desk)
        enlarge(desk, None)
        after, _ = paid(desk)
    assert enlarged["bob"] > before["bob"] and enlarged["alice"] == before["alice"]
    assert all(after[payer] > enlarged[payer] for payer in after)


def growth(daemon, enlarged):
    """What each has paid while all of the screen became a guest's."""
    before, _ = paid(daemon)
    enlarge(daemon, f"{enlarged}/0")
    after, _ = paid(daemon)
    return {payer: after[payer] - before[payer] for payer in after}


def test_virtio_displays(make_daemon):
    """Theirs is painted by the same thread, which is not that of their queues."""
    daemon = make_daemon(sections("virtio"))
    with display(daemon, "alice") as alice, display(daemon, "bob") as bob:
        for guest, one in ("alice", alice), ("bob", bob):
            expect_shown(daemon, start(one), guest)
        enlarge(daemon, "bob/0")
        # What is left of the beginning is over when one that is not painted pays nothing.
        while growth(daemon, "alice")["bob"] > 0:
            enlarge(daemon, "bob/0")
        assert growth(daemon, "bob")["bob"] > 0
