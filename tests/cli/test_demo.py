# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo holds, and each of its checks can fail: bounds are broken on purpose and must be noticed."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
import urllib.request

import pytest

from conftest import BUILD

MIB = 1 << 20


def run_demo(directory, *arguments, timeout=900):
    return subprocess.run([str(BUILD / "src/cli/viaduct"), "demo", *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, env={**os.environ, "TMPDIR": str(directory)}, check=False)


def line(guest, token="0123456789abcdef", number=1):
    text = f"@viaduct-demo:{token}.guest={guest}.round={number:06d}."
    return text.ljust(63, ".").encode() + b"\n"


def run_of(offset, length, owner):
    return {"offset_bytes": offset, "length_bytes": length, "owner": owner, "disk_offset_bytes": 0, "written_bytes": length}


# ---- the last check alone ----

@pytest.fixture
def pool(tmp_path):
    """A pool file with patterns at home, and its map: (file, map, map's path)."""
    file = tmp_path / "pool"
    with open(file, "wb") as out:
        out.truncate(16 * MIB)
        for guest, offset in (("alice", 4 * MIB), ("bob", 8 * MIB)):
            out.seek(offset)
            out.write(line(guest) * 1000)
    runs = [run_of(4 * MIB, 4 * MIB, "alice/root"), run_of(8 * MIB, 4 * MIB, "bob/root"),
            {"offset_bytes": 12 * MIB, "length_bytes": 4 * MIB, "owner": None}]
    return file, runs, tmp_path / "map.json"


def check(pool):
    file, runs, path = pool
    path.write_text(json.dumps({"name": "main", "map": runs}))
    return run_demo(path.parent, "--check-pool", file, path)


def plant(file, offset, data):
    with open(file, "r+b") as out:
        out.seek(offset)
        out.write(data)


def test_everything_at_home_is_ok(pool):
    result = check(pool)
    assert result.returncode == 0 and "FAILED" not in result.stdout
    assert "all 1 000 lines of alice's pattern lie in alice's own extents" in result.stdout


@pytest.mark.parametrize("guest, offset, owner", [
    ("alice", 8 * MIB + 512 * 1000, "bob/root"), ("bob", 4 * MIB, "alice/root"), ("bob", 8 * MIB - 32, "alice/root"),
    ("alice", 15 * MIB, "nobody"), ("alice", 0, "nobody"), ("mallory", 9 * MIB, "bob/root"),
])
def test_planted_line_is_caught(pool, guest, offset, owner):
    plant(pool[0], offset, line(guest))
    result = check(pool)
    assert result.returncode == 1
    failed = [text for text in result.stdout.splitlines() if "FAILED" in text]
    assert len(failed) == 1 and f"{offset:#x}".replace("0x0", "0") in failed[0] and owner in failed[0]


def test_swapped_map_is_caught(pool):
    pool[1][0]["owner"], pool[1][1]["owner"] = "bob/root", "alice/root"
    result = check(pool)
    assert result.returncode == 1 and result.stdout.count("FAILED") == 2


def test_overlapping_extents_are_caught(pool):
    pool[1].append(run_of(11 * MIB, 2 * MIB, "mallory/root"))
    result = check(pool)
    assert result.returncode == 1 and "belongs to two disks" in result.stdout


def test_pool_without_patterns_proves_nothing(pool, tmp_path):
    with open(pool[0], "wb") as out:
        out.truncate(16 * MIB)
    result = check(pool)
    assert result.returncode == 1 and "patterns of 0 guests" in result.stdout


def test_missing_files(pool):
    file, runs, path = pool
    assert run_demo(path.parent, "--check-pool", file, path).returncode == 1
    path.write_text("{")
    assert run_demo(path.parent, "--check-pool", file, path).returncode == 1
    path.write_text(json.dumps({"map": runs}))
    assert run_demo(path.parent, "--check-pool", path.parent / "none", path).returncode == 1


# ---- the whole ----

# Lines of the network's steps, besides those of the captures and of the shared uplink.
NETWORK = (
    r"ping: alice to bob, 10 of 10 came back, on average after [\d.]+ ms",
    r"ping: bob to the gateway, 10 of 10 came back, on average after [\d.]+ ms",
    r"60 frames from another's Ethernet address were sent by mallory's card, the daemon counted 60 dropped: source",
    r"60 frames from another's IP address were sent by mallory's card, the daemon counted 60 dropped: guard",
    r"TCP: alice sent bob 4 MiB in \d+ ms; its MD5 sum is ([0-9a-f]{8}), that of what bob received \1",
    r"HTTP: the host fetched 282.1 KiB of bob's from 127.0.0.1:\d+ in .*, all as expected",
    r"HTTP: alice fetched 282.1 KiB of the host's from 10.0.2.2:\d+ in \d+ ms; MD5 sum ([0-9a-f]{8}), expected \1",
    r"captured at mallory's card: 120 dropped frames, with the reason, and 120 that passed",
    r"captured at alice's card: 120 frames of mallory's, which sent 120 honest ones",
    r"mallory's card received [1-9]\d* frames, of which 0 were for another card",
)
# Of the shared uplink, with the numbers that must be within bounds: (pattern, least, most).
RATIO = (2.91, 3.09)
UPLINK = (
    (r"uplink of 4 MiB/s, weights 100 and 300: carol sent [\d.]+ [KM]iB in [\d.]+ s, dave [\d.]+ MiB: "
     r"1 : ([\d.]+) in the median of 5 windows \(within 3 %\)", *RATIO),
    (r"erin, weight 100: (\d+) of \1 pings came back meanwhile, the median after [\d.]+ [um]?s, p99 [\d.]+ [um]?s; "
     r"a frame of carol's flood waits [\d.]+ m?s", 5, 10**6),
    (r"`viaduct nic set carol/eth0 weight=900`: then carol sent [\d.]+ MiB in [\d.]+ s, dave [\d.]+ [KM]iB: "
     r"([\d.]+) : 1", *RATIO),
    (r"`viaduct nic set dave/eth0 max_bandwidth=512K`: then dave sent ([\d.]+) MiB/s, and carol, with the rest, "
     r"[\d.]+ MiB/s", 0.01, 0.52),
)
LOST = (r"carol, dave and erin sent ([\d ]+) frames, the switch let through \1 and dropped 0; 0 found the uplink full")
TIMED = ("weights 100 and 300: carol was served", "weights 100 and 300: the daemon charged", "erin, weight 100, 4 KiB at a time", "carol disk_weight=900")


def outcome(result):
    """(number of checks that held, lines of those that failed); the exit code agrees with them."""
    failed = [text for text in result.stdout.splitlines() if "FAILED" in text]
    counted = re.search(r"(\d+) checks hold, (\d+) failed", result.stdout)
    assert counted and int(counted.group(2)) == len(failed), result.stdout + result.stderr
    assert result.returncode == int(bool(failed)), result.stdout + result.stderr
    return int(counted.group(1)), failed


def check_network(output):
    for words in NETWORK:
        assert re.search(rf"^  ok     {words}$", output, re.MULTILINE), (words, output)
    assert re.search(r"^mallory/eth0 .* source 60, guard 60 +-$", output, re.MULTILINE), output


def check_uplink(output):
    for words, least, most in UPLINK:
        found = re.search(rf"^  ok     {words}$", output, re.MULTILINE)
        assert found and least <= float(found.group(1)) <= most, (words, output)
    assert re.search(rf"^  ok     {LOST}$", output, re.MULTILINE), output


def check_capture(output, file, guest):
    """What the demo tells of its capture is what tshark finds in the file."""
    told = re.search(rf"^  ok     `viaduct capture {guest}/eth0`: ([\d ]+) frames, .*, where the card counted ([\d ]+): (.*)$",
                     output, re.MULTILINE)
    assert told, output
    frames, counted = (int(number.replace(" ", "")) for number in told.group(1, 2))
    rows = subprocess.run(["tshark", "-r", file, "-T", "fields", "-e", "frame.protocols"], capture_output=True, text=True,
                          check=True).stdout.splitlines()
    assert frames == len(rows) >= counted
    protocols = dict(re.findall(r"(\w+) ([\d ]*\d)", told.group(3)))
    for name, layer in (("ARP", "arp"), ("ICMP", "icmp"), ("TCP", "tcp"), ("UDP", "udp")):
        found = sum(layer in row.split(":") for row in rows)
        assert int(protocols.get(name, "0").replace(" ", "")) == found, (name, told.group(0))
    return protocols


def test_demo_holds_and_its_last_check_bites(short_dir):
    result = run_demo(short_dir, "--keep", "--seconds", 800)
    held, failed = outcome(result)
    # What is compared in time may be short on a busy machine.
    assert all(any(re.search(timed, text) for timed in TIMED) for text in failed), result.stdout + result.stderr
    assert held + len(failed) >= 47 and "\033" not in result.stdout
    for word in ("Who owns which part", "Counters of each guest", "Refused requests", "Pause seen by", "kill -9",
                 "takeover: the connection stayed open", "pool check", "weights 100 and 300", "next to both floods",
                 "weight=900"):
        assert word in result.stdout
    assert re.search(r"^\+ dave .* [#\[]+[.\]]* ", result.stdout, re.MULTILINE)
    assert re.search(r"^\+ carol .* [#\[]+[.\]]+ ", result.stdout, re.MULTILINE)
    check_network(result.stdout)
    check_uplink(result.stdout)
    kept, = short_dir.iterdir()
    alice = check_capture(result.stdout, kept / "alice.pcapng", "alice")
    assert alice["ICMP"] == "20" and "TCP" in alice
    check_capture(result.stdout, kept / "mallory.pcapng", "mallory")
    pool, map_path = kept / "main.pool", kept / "map.json"
    assert run_demo(short_dir, "--check-pool", pool, map_path).returncode == 0
    token = re.search(rb"@viaduct-demo:([0-9a-f]+)\.", subprocess.run(
        ["grep", "-a", "-o", "-m1", "@viaduct-demo:[0-9a-f]*\\.", pool], capture_output=True, check=True).stdout).group(1)
    bob = next(run for run in json.loads(map_path.read_text())["map"] if run["owner"] == "bob/root")
    plant(pool, bob["offset_bytes"] + bob["length_bytes"] - 4096, line("alice", token.decode()))
    result = run_demo(short_dir, "--check-pool", pool, map_path)
    assert result.returncode == 1 and "belongs to bob/root" in result.stdout


def test_what_does_not_hold_is_noticed(short_dir):
    """
    The hostile guest takes its disk for half as large as it is: what it asks for beyond is served. The floods have
    equal weights, which are not changed, and the cards get no limit. The victim's limits are noticed when the machine is
    not as slow as they are.
    Mallory's card may use IP addresses as it likes, and Ethernet addresses that no card has.
    """
    result = run_demo(short_dir, "--without-guests", "--break-bound", "--break-shares", "--break-guard", "--seconds", 800)
    _, failed = outcome(result)
    failed = [text for text in failed if "erin, weight 100" not in text]
    for words in ("before the kill: .* requests outside mallory's disk were sent", "before the takeover: .* were sent",
                  "at the end: .* were sent", "requests outside its disk were refused", "no refused read changed a byte",
                  "weights 100 and 300: carol was served", "weights 100 and 300: the daemon charged",
                  "carol disk_weight=900.* did not follow", "from another's Ethernet address .* counted 40 dropped",
                  "from another's IP address .* counted 0 dropped", "captured at mallory's card: 40 .* 200 that passed"):
        assert sum(bool(re.search(words, text)) for text in failed) == 1, words + "\n" + result.stdout + result.stderr
    assert len(failed) == 14, failed
    assert list(short_dir.iterdir()) == []


def test_a_machine_that_is_too_slow(short_dir):
    """It is the time that was not enough, and not what was just looked at that failed."""
    result = run_demo(short_dir, "--without-guests", "--seconds", 1)
    assert result.returncode == 1
    assert "viaduct demo: not within 1 s: this machine is slow, or busy; give it more with --seconds\n" in result.stderr
    assert list(short_dir.iterdir()) == []


# ---- for a person ----

def read_until(terminal, pattern, text=b"", patience_s=600):
    """What a program says at its terminal, until it matches or ends."""
    deadline = time.monotonic() + patience_s
    while not (found := re.search(pattern, text)):
        assert select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0], text.decode(errors="replace")
        try:
            text += os.read(terminal, 65536)
        except OSError:         # it has ended
            break
    return text, found


def test_it_stays_for_a_person(short_dir):
    """At a terminal, whose Ctrl-C goes to all processes of the demo: it is the end of the stay, and of nothing else."""
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.environ["TMPDIR"] = str(short_dir)
        os.execv(BUILD / "src/cli/viaduct", ["viaduct", "demo", "--without-guests", "--interactive", "--seconds", "800"])
    text, found = read_until(terminal, rb"http://127\.0\.0\.1:(\d+)/#token=(\S+)")
    assert found, text.decode(errors="replace")
    request = urllib.request.Request(f"http://127.0.0.1:{int(found[1])}/state",
                                     headers={"Authorization": f"Bearer {found[2].decode()}"})
    state = json.load(urllib.request.urlopen(request, timeout=60))
    assert state["seat"] == "desk" and [one["display"] for one in state["displays"]] == ["alice/0", "bob/0"]
    os.write(terminal, b"\x03")
    text, _ = read_until(terminal, rb"\A\0", text)
    said = text.decode(errors="replace")
    failed = [line for line in said.splitlines() if "FAILED" in line]
    # What is compared in time may be short on a busy machine.
    assert all(any(re.search(timed, line) for timed in TIMED) for line in failed), said
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == int(bool(failed)) and "checks hold" in said, said
    assert list(short_dir.iterdir()) == []
