# SPDX-License-Identifier: GPL-2.0-or-later
"""`viaduct top`: once for scripts, and live on a terminal. What a screen looks like is in tests/unit/cli/top/test_top_screen.c."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from conftest import BUILD, ROOT
from pty_screen import ENTER, LEAVE, PATIENCE, PtyScreen
from real_daemon import Daemon

sys.path.append(str(ROOT / "tests/wire"))
from nic import Card, mac  # noqa: E402


def disk(name, operations, device_ns, waiting=0, **more):
    return {"name": name, "kind": "disk", "guest": name.split("/")[0], "pool": "main", "connected": operations > 0,
            "share": {"weight": 100}, "time": {"device_ns": device_ns, "waiting": waiting},
            "operations": {"read": {"operations": operations, "bytes": operations * 4096,
                                    "latency_ns": {"sum": operations * 1000, "buckets": [[2048, operations]]}}}, **more}


def nic(name, frames, device_ns, **more):
    return {"name": name, "kind": "nic", "guest": name.split("/")[0], "switch": "lan", "connected": frames > 0,
            "share": {"weight": 100}, "time": {"device_ns": device_ns}, "sent": {"frames": frames, "bytes": 1000 * frames},
            "received": {"frames": frames // 2, "bytes": 50 * frames}, "dropped": {"full": frames // 100, "guard": 0}, **more}


class Model:
    """A daemon whose clock goes on by a second with each look."""

    def __init__(self, disks=2):
        self.looks, self.disks, self.pid = 0, disks, 1
        self.hang, self.hanging = None, threading.Event()

    def status(self, body):
        if self.hang:
            self.hanging.set()
            self.hang.wait()
        self.looks += 1
        disks = [disk(f"guest{i}/root", 1000 * (i + 1) * self.looks, 10**8 * (i + 1) * self.looks) for i in range(self.disks)]
        nics = [nic(f"guest{i}/eth0", 2000 * (i + 1) * self.looks, 10**8 * (i + 2) * self.looks) for i in range(2)]
        uplink = {"kind": "tap", "interface": "vtap0", "link": True, "sent": {"frames": 3000 * self.looks, "bytes": 0},
                  "received": {"frames": 6000 * self.looks, "bytes": 6000000 * self.looks}}
        return 200, {"pid": self.pid, "now_ns": self.looks * 10**9, "devices": disks + nics, "groups": [{"name": "gold"}],
                     "guests": [{"name": "guest0", "group": "gold", "share": {"disk_weight": 300, "nic_weight": 400}}],
                     "switches": [{"name": "lan", "capacity_bandwidth": 125000000, "uplink": uplink}],
                     "pools": [{"name": "main", "capacity": {"iops": 10000, "bandwidth": 10**9, "rate": 1}}]}


@pytest.fixture
def model(api):
    model = Model()
    api.answer("GET", "/v1/status", model.status)
    return model


@pytest.fixture
def top(viaduct, model):
    """top(*arguments, …) runs it on a terminal."""
    screens = []

    def run(*arguments, **options):
        screens.append(PtyScreen([str(viaduct.program), "--runtime-dir", viaduct.runtime_dir, "top", "--interval", "0.1",
                                  *arguments], **options))
        return screens[-1]

    yield run
    for screen in screens:
        screen.close()


# ---- once ----

def test_once_prints_one_interval(viaduct, model):
    result = viaduct("top", "--once", "--interval", "0.1")
    assert result.code == 0 and "\033" not in result.out and model.looks == 2
    lines = result.out.splitlines()
    assert lines[0].startswith("viaduct top  2 disks, 2 connected") and lines[1].split()[:3] == ["main", "30%", "busy"]
    assert lines[3].split()[:5] == ["+", "guest1/root", "2000", "8.2", "20"]
    assert lines[4].split()[:5] == ["+", "guest0/root", "1000", "4.1", "10"]
    assert "quit" not in result.out


def test_once_sorts_and_shows_guests_and_groups(viaduct, model):
    lines = viaduct("top", "--once", "--interval", "0.1", "--sort", "name").out.splitlines()
    assert lines[3].startswith("+ guest0/root")
    lines = viaduct("top", "--once", "--interval", "0.1", "--guests").out.splitlines()
    assert lines[2].startswith("  GUEST") and lines[3].startswith("+ guest1 ")
    lines = viaduct("top", "--once", "--interval", "0.1", "--groups").out.splitlines()
    assert lines[2].startswith("  GROUP") and lines[3].split()[:3] == ["+", "gold", "1000"] and len(lines) == 4


def test_once_shows_network_cards(viaduct, model):
    lines = viaduct("top", "--once", "--interval", "0.1", "--nics").out.splitlines()
    assert lines[0].startswith("viaduct top  2 cards, 2 connected") and lines[1].split()[:3] == ["lan", "50%", "busy"]
    assert "  up  out 6000/s 6.0 MB/s  in 3000/s 0.0 MB/s  of 125 MB/s  tap:vtap0" in lines[1]
    assert lines[2].split()[:5] == ["CARD", "TX/s", "RX/s", "TX", "MB"]
    assert lines[3].split()[:7] == ["+", "guest1/eth0", "4000", "2000", "4.0", "0.2", "30"]
    assert lines[4].split()[:7] == ["+", "guest0/eth0", "2000", "1000", "2.0", "0.1", "20"]
    lines = viaduct("top", "--once", "--interval", "0.1", "--nics", "--groups", "--sort", "drop").out.splitlines()
    assert lines[2].startswith("  GROUP  ") and lines[3].split()[:3] == ["+", "gold", "2000"] and len(lines) == 4


def test_json(viaduct, model):
    answer = json.loads(viaduct("top", "--once", "--json", "--interval", "0.1").out)
    first = answer["disks"][0]
    assert answer["seconds"] == 1 and answer["devices"][0]["busy_part"] == pytest.approx(0.3)
    assert first["name"] == "guest0/root" and first["iops"] == 1000 and first["read_bandwidth"] == 4096000
    assert first["device_part"] == pytest.approx(0.1) and first["got_part"] == pytest.approx(1 / 3)
    assert first["due_part"] == pytest.approx(0.5) and first["p99_ns"] == 2048  # gold 100, guest1 100
    assert [row["name"] for row in answer["guests"]] == ["guest0", "guest1"] and answer["guests"][0]["weight"] == 300
    assert [row["name"] for row in answer["groups"]] == ["gold"]
    card = answer["nics"][1]
    assert card["name"] == "guest1/eth0" and card["sent_pps"] == 4000 and card["sent_bandwidth"] == 4000000
    assert card["received_pps"] == 2000 and card["dropped_pps"] == 40 and card["got_part"] == pytest.approx(0.6)
    assert answer["switches"][0]["link"] == "up" and answer["switches"][0]["to_uplink_bandwidth"] == 6000000
    assert answer["nic_guests"][0]["weight"] == 400 and [row["name"] for row in answer["nic_groups"]] == ["gold"]


@pytest.mark.parametrize("answer", [{}, [], 5, None, {"devices": 5}, {"devices": [None, 3, {}], "pools": [[]], "guests": 1},
                                    {"switches": [None, 5, {"uplink": []}], "devices": [{"kind": "nic", "sent": 1, "dropped": []}]}])
def test_odd_answers(viaduct, api, answer):
    api.answer("GET", "/v1/status", answer)
    for arguments in (), ("--json",), ("--guests",), ("--nics",), ("--nics", "--groups"):
        assert viaduct("top", "--once", "--interval", "0.1", *arguments).code == 0


def test_no_json(viaduct, api):
    api.answer("GET", "/v1/status", b"<html>")
    result = viaduct("top", "--once")
    assert result.code == 1 and "no JSON" in result.err


@pytest.mark.parametrize("words, sentence", [
    (["--interval", "0"], "from 0.1 to 3600"), (["--interval", "nan"], "from 0.1 to 3600"),
    (["--interval", "1s"], "no number of seconds"), (["--sort", "cpus"], "did you mean cpu"),
    (["--sort", "colour"], "there is no column"), (["--nics", "--sort", "iops"], "there is no column"),
    (["--nics", "--sort", "txmn"], "did you mean txmb"), (["--sort", "txmb"], "there is no column"),
    (["x"], "one argument too many"), ([], "--once prints"),
])
def test_usage_errors(viaduct, model, words, sentence):
    result = viaduct("top", *words)
    assert result.code == 2 and sentence in result.err and result.out == ""


def test_without_a_daemon(viaduct):
    result = viaduct("top", "--once")
    assert result.code == 1 and "viaductd is not running" in result.err


def test_every_column_is_documented(viaduct):
    named = re.search(r"KEY is a column: (.*?)\.", viaduct("help", "top").out, re.S).group(1)
    named = re.sub(r";\s+of\s+(disks|network\s+cards)\s+also\s+", ", ", named)
    keys = set(re.split(r",\s+|\s+or\s+", named))
    assert {"dev", "iops", "pps"} <= keys and len(keys) == 26
    page = (ROOT / "docs/top.md").read_text()
    manual = (ROOT / "docs/man/viaduct.1").read_text()
    for key in keys - {"name"}:
        assert f"`{key}`" in page, key
        assert re.search(rf"[(,] ?{key}[,)]", manual), key


# ---- live ----

def test_keys_and_the_way_back(top):
    screen = top("--no-color")
    lines = screen.until("guest1/root  2000")
    assert len(lines) == 24 and all(len(line) <= 80 for line in lines) and lines[-1].startswith("q quit")
    screen.type("g")
    screen.until("  GUEST ")
    screen.type("g")
    screen.until("  GROUP ")
    screen.type("g\033[C")
    screen.until("by got")
    screen.type("\033[D\033[D")
    screen.until("by mbs")
    screen.type("r")
    assert screen.until("by mbs reversed")[3].startswith("+ guest0")
    screen.type("+")
    screen.until("every 0.2 s")
    screen.type("--p")
    screen.until("every 0.1 s  by mbs reversed  paused")
    screen.type("n")
    assert screen.until("  CARD ")[0].endswith("by dev reversed  paused")     # cards have no column mbs
    screen.type("gs")
    screen.until("  GUEST       TX/s")
    assert screen.until("by got")[0].endswith("by got reversed  paused")
    screen.type("n")
    assert screen.until("  GUEST       IOPS")[0].endswith("by got reversed  paused")
    screen.type("\001\033[99;99Zq")     # nothing, nothing, quit
    assert screen.end() == 0 and screen.is_as_found()
    assert b"\033[1m" not in screen.written and b"\033[32m" not in screen.written


def test_pause_stops_looking(top, model):
    screen = top()
    screen.until("guest0/root")
    screen.type("p")
    screen.until("paused")
    looks = model.looks
    screen.type("ggggn")
    screen.until("  GUEST       TX/s")
    assert model.looks == looks
    screen.type("p")
    screen.until(lambda text: "paused" not in text and model.looks > looks + 1)


def test_scrolling_and_resizing(top, model):
    model.disks = 64
    screen = top("--sort", "name", lines=14)
    assert screen.until("1-10 of 64")[3].startswith("+ guest0/root")
    screen.type("\033[6~")
    screen.until("11-20 of 64")
    screen.type("\033[A")
    screen.until("10-19 of 64")
    screen.type("\033[F")
    screen.until("55-64 of 64")
    screen.resize(132, 30)
    lines = screen.until("39-64 of 64")
    assert len(lines) == 30 and "WEIGHT" in lines[2]
    screen.resize(60, 3)
    assert all(len(line) <= 60 for line in screen.until(lambda text: text.count("\n") == 2))


def test_colours_only_when_wanted(top):
    screen = top()
    screen.until("guest0/root")
    assert b"\033[1m" in screen.written
    screen = top(env={"NO_COLOR": "1"})
    screen.until("guest0/root")
    assert b"\033[1m" not in screen.written and b"\033[32m" not in screen.written


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT, signal.SIGSEGV])
def test_every_end_gives_the_terminal_back(top, number):
    screen = top()
    screen.until("guest0/root")
    os.kill(screen.pid, number)
    status = screen.end()
    # A sanitizer ends in its own way.
    assert os.waitstatus_to_exitcode(status) == -number or (number == signal.SIGSEGV and status != 0)
    assert screen.is_as_found()


def test_interrupt_from_the_keyboard_is_no_failure(top):
    screen = top()
    screen.until("guest0/root")
    screen.type("\003")
    assert screen.end() == 0 and screen.is_as_found()


def test_stop_and_continue(top):
    screen = top()
    screen.until("guest0/root")
    screen.type("\032")
    assert os.WIFSTOPPED(os.waitpid(screen.pid, os.WUNTRACED)[1])
    screen.wait_written(LEAVE)
    assert screen.is_as_found()
    os.kill(screen.pid, signal.SIGCONT)
    screen.wait_written(ENTER, 2)
    screen.type("g")
    screen.until("  GUEST ")
    screen.type("q")
    assert screen.end() == 0 and screen.is_as_found()


def test_a_daemon_that_restarts(top, api, model):
    screen = top()
    screen.until("guest0/root")
    api.__exit__()
    try:
        lines = screen.until("reconnecting: viaductd is not running")
        assert any(line.startswith("+ guest0/root") for line in lines)   # the last figures stay
    finally:
        api.__enter__()
    model.pid, model.looks = 2, 0
    screen.until(lambda text: "reconnecting" not in text and "guest1/root  2000" in text)
    assert b"  measuring" in screen.written[screen.written.rfind(b"reconnecting"):]
    screen.type("q")
    assert screen.end() == 0 and screen.is_as_found()


def test_a_daemon_that_hangs_does_not_hold_us(top, model):
    screen = top()
    screen.until("guest0/root")
    model.hang = threading.Event()
    try:
        assert model.hanging.wait(PATIENCE)
        screen.type("q")
        assert screen.end() == 0 and screen.is_as_found()
        assert b"reconnecting" not in screen.written, "it obeyed only after it gave the answer up"
    finally:
        model.hang.set()


# ---- the real daemon ----

CONFIGURATION = """
[guest alice]
disk_weight = 300
[guest bob]
[disk alice/root]
pool = main
size = 16M
[disk bob/root]
pool = main
size = 16M
max_iops = 50
[switch lan]
[switch world]
uplink = user
[nic alice/eth0]
switch = lan
mac = 52:54:00:00:00:01
[nic bob/eth0]
switch = lan
mac = 52:54:00:00:00:02
[nic bob/eth1]
switch = world
"""


@pytest.fixture
def daemon(short_dir):
    daemon = Daemon(BUILD / "src/daemon/viaductd", short_dir, pool_size="64M", extra=CONFIGURATION).start()
    yield daemon
    daemon.stop()


@pytest.fixture
def loads(daemon):
    """Both disks are read from all the time."""
    sockets = [daemon.directory / name / "disk-root.sock" for name in ("alice", "bob")]
    loads = [subprocess.Popen([str(BUILD / "bench/viaduct-load"), "--socket", str(socket), "--depth", "8", "--seconds", "600"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for socket in sockets]
    yield loads
    for load in loads:
        load.kill()
        load.wait()


def test_real_daemon_under_load(viaduct, loads):
    deadline = time.monotonic() + PATIENCE
    while True:             # the first requests take their time
        answer = json.loads(viaduct("top", "--json", "--interval", "0.5").out)
        alice, bob = answer["disks"]
        if alice["iops"] > 0 and bob["iops"] > 0:
            break
        assert time.monotonic() < deadline, answer
    assert alice["name"] == "alice/root" and alice["state"] == "connected" and alice["p99_ns"] > 1000
    assert answer["devices"][0]["name"] == "main" and 0 < answer["devices"][0]["busy_part"] <= 1
    assert alice["got_part"] + bob["got_part"] == pytest.approx(1)
    assert alice["due_part"] == pytest.approx(0.75) and bob["due_part"] == pytest.approx(0.25)
    assert bob["throttled_part"] > 0 and bob["limit_part"] > 0
    text = viaduct("top", "--once", "--interval", "0.2").out
    assert "+ alice/root" in text and "+ bob/root" in text


@pytest.fixture
def traffic(daemon):
    """Alice's card sends to bob's all the time; bob's has room for four frames only, so that the others are dropped."""
    paths = [daemon.directory / name / "nic-eth0.sock" for name in ("alice", "bob")]
    over = threading.Event()
    with Card(paths[0], mac("52:54:00:00:00:01")) as alice, Card(paths[1], mac("52:54:00:00:00:02")) as bob:
        bob.post(4)

        def send():
            while not over.is_set():
                alice.send(bob, b"x" * 986)

        sender = threading.Thread(target=send)
        sender.start()
        yield
        over.set()
        sender.join()


def test_real_daemon_under_traffic(viaduct, traffic):
    deadline = time.monotonic() + PATIENCE
    while True:             # the first frames take their time
        answer = json.loads(viaduct("top", "--json", "--interval", "0.5").out)
        alice, bob, other = answer["nics"]
        if alice["sent_pps"] > 0 and bob["dropped_pps"] > 0:
            break
        assert time.monotonic() < deadline, answer
    assert [row["name"] for row in answer["nics"]] == ["alice/eth0", "bob/eth0", "bob/eth1"]
    assert [row["state"] for row in answer["nics"]] == ["connected", "connected", "idle"]
    assert alice["sent_bandwidth"] == pytest.approx(1000 * alice["sent_pps"]) and bob["sent_pps"] == other["sent_pps"] == 0
    links = {row["name"]: (row["uplink"], row["link"]) for row in answer["switches"]}
    assert links == {"lan": ("none", "none"), "world": ("user", "up")}
    text = viaduct("top", "--once", "--interval", "0.2", "--nics", "--sort", "name").out.splitlines()
    assert text[0].startswith("viaduct top  3 cards, 2 connected")
    assert text[4].startswith("+ alice/eth0") and text[5].startswith("+ bob/eth0") and text[6].startswith("- bob/eth1")
