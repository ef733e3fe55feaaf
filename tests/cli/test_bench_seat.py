# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark of seats runs, and its rows are there. The figures are its own to judge."""
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("VIADUCT_BUILD", TOP / "build")).resolve()
RUN = TOP / "bench/seat/run.py"
sys.path.append(str(TOP / "bench/seat"))

import drawing_guest  # noqa: E402
from seats import Bench, BenchError, Cpu, Seat  # noqa: E402

SIZE = (320, 240)
PATIENCE_S = 120        # only a hang reaches it


def until(bench, holds):
    """The first report of which that holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds(report := bench.report()):
        assert time.monotonic() < deadline, report
        time.sleep(0.01)
    return report


def test_rows(tmp_path):
    """Each sample, and each reach beside what was measured; nothing is short without a figure that says so."""
    out = tmp_path / "samples.json"
    done = subprocess.run([sys.executable, RUN, "--build", BUILD, "--rounds", "1", "--seconds", "0.3", "--no-qemu", "--json", out],
                          capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    for name, (sample,) in result["samples"].items():
        assert f"\n{name} " in done.stdout
        assert sample["seconds"] > 0 and sample["cpu_percent"] >= 0 and sample["width"] > 0
    assert {"keys", "cursor", "idle", "alone", "beside a storm"} < set(result["samples"])
    for line in result["targets"]:
        row = next(row for row in done.stdout.splitlines() if row.startswith(line["case"]))
        reached = {None: "not measured", True: "reached", False: "SHORT"}[line["reached"]]
        assert row.endswith(reached) and f"{'>=' if line['at_least'] else '<='} {line['reach']:g} " in row


@pytest.mark.parametrize("zrle", [False, True], ids=["raw", "ZRLE"])
def test_what_is_counted(tmp_path, zrle):
    """Frames are those of the guest that draws; keys are heard by the first; time is that of the daemon and its children."""
    roles = {"alice": (*SIZE, "frames,30"), "bob": (*SIZE, "still")}
    with Seat(tmp_path, BUILD, (700, 400), list(roles)) as seat, \
            Bench(BUILD, seat.door, lambda: [seat.corner(guest, SIZE) for guest in roles], roles=roles, sockets=seat.socket, zrle=zrle,
                  keys=True) as bench:
        used = Cpu([seat.process.pid])
        bench.begin()
        report = until(bench, lambda report: report["watches"][0]["frames"] > 3 and report["keys"]["count"] > 3)
        assert used.percent() > 0
    alice, bob = report["watches"]
    # Some were on their way at the beginning.
    assert alice["frames"] <= alice["flushes"] + 2
    assert (bob["frames"], bob["flushes"]) == (0, 0)
    assert 0 < report["keys"]["p50_us"] <= report["keys"]["p99_us"] <= report["keys"]["max_us"] * 1.02
    assert report["bytes"] > 0


def test_pulses(tmp_path):
    """Each picture was seen before the next is drawn, and later than it was drawn."""
    with Seat(tmp_path, BUILD, (700, 400), ["alice"]) as seat, \
            Bench(BUILD, seat.door, lambda: [seat.corner("alice", SIZE)], roles={"alice": (*SIZE, "pulse")}, sockets=seat.socket) as bench:
        bench.begin()
        alice, = until(bench, lambda report: report["watches"][0]["latency"]["count"] > 3)["watches"]
    assert abs(alice["frames"] - alice["flushes"]) <= 1 and alice["frames"] == alice["latency"]["count"]
    assert 0 < alice["latency"]["p50_us"] <= alice["latency"]["max_us"] * 1.02


def test_a_guest_that_is_not_let_in(tmp_path):
    with Seat(tmp_path, BUILD, SIZE, ["alice"]) as seat, pytest.raises(BenchError, match="cannot connect"):
        Bench(BUILD, seat.door, list, roles={"alice": (*SIZE, "still")}, sockets=lambda guest: tmp_path / "none").__enter__()


def test_the_drawing_guest(tmp_path):
    """A QEMU with its own VNC server, whose guest fills its screen."""
    corner = drawing_guest.WIDTH - 1, drawing_guest.HEIGHT - 1
    assert len(drawing_guest.boot_sector()) == 512
    with drawing_guest.on_vnc(tmp_path, tmp_path / "vnc"), Bench(BUILD, tmp_path / "vnc", lambda: [corner]) as bench:
        report = until(bench, lambda report: report["watches"][0]["frames"] > 3)
    assert (report["width"], report["height"]) == (drawing_guest.WIDTH, drawing_guest.HEIGHT)
