# SPDX-License-Identifier: GPL-2.0-or-later
"""Captures of a card's frames: tshark, which knows nothing of ours, reads them, and nobody pays for a slow reader."""
import collections
import random
import re
import signal
import struct
import subprocess

import pytest

from daemon import UnixHttp, build_directory
from nic import BROADCAST, HEADER, NEEDS_CSUM, OFFLOADS, Card, frame
from patience import PATIENCE_S, wait_until
from test_cut_frames import GOOD, OPTIONS
from test_nic import ALICE, BOB, CAROL, NicDaemon, sections, tcp_frame

FIELDS = {"number": "frame.number", "length": "frame.len", "kept": "frame.cap_len", "source": "eth.src", "to": "eth.dst",
          "comment": "frame.comment", "interface": "frame.interface_name", "flags": "frame.packet_flags_direction",
          "tcp": "tcp.checksum.status", "ip": "ip.checksum.status", "time": "frame.time_epoch"}
IN, OUT = "0x00000001", "0x00000002"
Seen = collections.namedtuple("Seen", FIELDS)


def judge(path):
    """What tshark says of each frame of a capture."""
    words = [word for field in FIELDS.values() for word in ("-e", field)]
    answer = subprocess.run(["tshark", "-r", path, *OPTIONS, "-T", "fields", *words], capture_output=True, text=True,
                            check=True)
    return [Seen(*line.split("\t")) for line in answer.stdout.splitlines()]


class Capture:
    """`viaduct capture` at work."""

    def __init__(self, network, *words):
        since = len(network.lines)
        self.process = subprocess.Popen(
            [build_directory() / "src/cli/viaduct", "--runtime-dir", network.runtime, "capture", *map(str, words)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: network.lines_about("a capture begins", since) or self.process.poll() is not None, "it begins")

    def end(self, with_signal=None):
        """(exit code, standard output, standard error)"""
        if with_signal:
            self.process.send_signal(with_signal)
        out, errors = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, errors


@pytest.fixture
def network(tmp_path):
    instance = NicDaemon(sections(), tmp_path)
    yield instance.start()
    instance.finish()


@pytest.fixture
def pair(network):
    """Alice's card and Bob's, who has buffers."""
    with Card(network.socket("alice/eth0"), ALICE) as alice, Card(network.socket("bob/eth0"), BOB) as bob:
        bob.post(32)
        alice.post(32)
        yield alice, bob


def test_tshark_reads_both_directions(network, pair, tmp_path):
    alice, bob = pair
    path = tmp_path / "alice.pcapng"
    capture = Capture(network, "alice/eth0", "-w", path, "-c", "4")
    alice.send(bob, b"to Bob")
    bob.send(alice, b"to Alice" * 100)
    alice.send(BROADCAST, b"to all")
    bob.send(BROADCAST, b"to all, from Bob")
    assert capture.end() == (0, "", "4 frames captured, 0 lost because the reader was too slow\n")
    frames = judge(path)
    alice_text, bob_text, all_text = "52:54:00:00:00:01", "52:54:00:00:00:02", "ff:ff:ff:ff:ff:ff"
    assert [(one.source, one.to, one.flags, one.length) for one in frames] == [
        (alice_text, bob_text, OUT, "60"), (bob_text, alice_text, IN, "814"), (alice_text, all_text, OUT, "60"),
        (bob_text, all_text, IN, "60")]
    assert {one.interface for one in frames} == {"alice/eth0"} and {one.comment for one in frames} == {""}
    assert [one.time for one in frames] == sorted(one.time for one in frames)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "Packets dropped" not in subprocess.run(["capinfos", path], capture_output=True, text=True, check=True).stderr


def test_bytes_are_the_frames(network, pair, tmp_path):
    alice, bob = pair
    path = tmp_path / "alice.pcapng"
    generator = random.Random(5)
    capture = Capture(network, "bob/eth0", "-w", path, "-c", "20")
    sent = [alice.send(bob, generator.randbytes(generator.randrange(50, 1400))) for _ in range(20)]
    assert capture.end()[0] == 0
    shown = subprocess.run(["tshark", "-r", path, "-T", "fields", "-e", "data.data"], capture_output=True, text=True,
                           check=True).stdout.split()
    assert shown == [data[14:].hex() for data in sent]


def test_what_is_refused_is_shown_with_the_reason(network, pair, tmp_path):
    alice, bob = pair
    path = tmp_path / "alice.pcapng"
    capture = Capture(network, "alice/eth0", "-w", path, "-c", "3")
    alice.transmit(frame(BOB, CAROL, b"not from Alice"))
    alice.transmit((BOB + ALICE + b"\x81\x00\x00\x05\x88\xb5").ljust(64, b"\1"))
    alice.send(bob, b"honest")
    assert capture.end()[0] == 0
    assert [one.comment for one in judge(path)] == ["dropped: source", "dropped: vlan", ""]


def test_open_checksums_are_filled_in_and_large_frames_are_whole(network, tmp_path):
    path = tmp_path / "alice.pcapng"
    with Card(network.socket("alice/eth0"), ALICE, offloads=OFFLOADS) as alice, \
            Card(network.socket("bob/eth0"), BOB, offloads=OFFLOADS) as bob:
        bob.post(32)
        capture = Capture(network, "alice/eth0", "-w", path, "-c", "2")
        alice.transmit(tcp_frame(b"small", BOB, ALICE), header=HEADER.pack(NEEDS_CSUM, 0, 0, 0, 34, 16, 0))
        alice.transmit(tcp_frame(random.Random(7).randbytes(20001), BOB, ALICE),
                       header=HEADER.pack(NEEDS_CSUM, 1, 54, 1448, 34, 16, 0))
        assert capture.end()[0] == 0
    frames = judge(path)
    assert [(one.length, one.tcp, one.ip) for one in frames] == [("59", GOOD, GOOD), ("20055", GOOD, GOOD)]


def test_snap_length(network, pair, tmp_path):
    alice, bob = pair
    path = tmp_path / "alice.pcapng"
    capture = Capture(network, "alice/eth0", "--write", path, "--count", "1", "--snap", "40")
    alice.send(bob, bytes(1000))
    assert capture.end()[0] == 0
    assert [(one.length, one.kept) for one in judge(path)] == [("1014", "40")]


def test_end_by_a_signal_leaves_a_whole_file(network, pair, tmp_path):
    alice, bob = pair
    path = tmp_path / "alice.pcapng"
    for which in signal.SIGINT, signal.SIGTERM:
        capture = Capture(network, "alice/eth0", "-w", path)
        alice.send(bob, bytes(100))
        wait_until(lambda: path.exists() and path.stat().st_size > 200, "the frame is written")
        assert capture.end(which) == (0, "", "1 frames captured, 0 lost because the reader was too slow\n")
        assert len(judge(path)) == 1
        wait_until(lambda: network.lines_about("alice/eth0: the capture is over: "), "the daemon knows")
        path.unlink()


def test_lines(network, pair):
    alice, bob = pair
    capture = Capture(network, "alice/eth0", "-c", "3")
    alice.transmit(tcp_frame(b"hello", BOB, ALICE))
    alice.transmit(frame(BOB, CAROL, b"not from Alice"))
    bob.send(alice, b"of no known type")
    code, out, _ = capture.end()
    lines = out.splitlines()
    assert code == 0 and len(lines) == 3
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{6} out +59 52:54:00:00:00:01 > 52:54:00:00:00:02 "
                        r"IPv4 10\.0\.0\.1:1000 > 10\.0\.0\.2:2000 TCP", lines[0])
    assert lines[1].endswith("52:54:00:00:00:03 > 52:54:00:00:00:02 type 88b5 (dropped: source)")
    assert re.search(r" in +60 52:54:00:00:00:02 > 52:54:00:00:00:01 type 88b5$", lines[2])


def test_a_pipe_into_tshark(network, pair):
    """Live, as one looks on: a line comes for each frame while the capture goes on."""
    alice, bob = pair
    capture = Capture(network, "alice/eth0", "-w", "-")
    tshark = subprocess.Popen(["tshark", "-l", "-r", "-", "-T", "fields", "-e", "frame.len"], stdin=capture.process.stdout,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for size in (100, 200, 300):
        alice.send(bob, bytes(size))
        assert tshark.stdout.readline() == f"{size + 14}\n"
    # A reader that has seen enough: the next frame finds it gone.
    tshark.kill()
    tshark.communicate()
    capture.process.stdout.close()
    wait_until(lambda: alice.send(bob, bytes(60)) and capture.process.poll() is not None, "the capture ends")
    assert capture.process.returncode == 0
    capture.process.stderr.close()


def test_the_card_goes(network, pair, tmp_path):
    """Its capture ends, complete."""
    alice, bob = pair
    network.sections["guest dave"] = {}
    network.sections["nic dave/eth0"] = {"switch": "lan", "mac": "52:54:00:00:00:04"}
    network.reload()
    path = tmp_path / "dave.pcapng"
    capture = Capture(network, "dave/eth0", "-w", path)
    with Card(network.socket("dave/eth0"), bytes.fromhex("525400000004")) as dave:
        dave.send(bob, b"good-bye")
    wait_until(lambda: not network.nic("dave")["connected"], "Dave has left")
    del network.sections["nic dave/eth0"]
    network.reload()
    assert capture.end() == (0, "", "dave/eth0 does not exist any more\n"
                                    "1 frames captured, 0 lost because the reader was too slow\n")
    assert len(judge(path)) == 1


def test_the_daemon_goes(network, pair, tmp_path):
    alice, bob = pair
    path = tmp_path / "alice.pcapng"
    capture = Capture(network, "alice/eth0", "-w", path)
    alice.send(bob, b"last")
    wait_until(lambda: path.exists() and path.stat().st_size > 200, "the frame is written")
    network.kill()
    code, out, errors = capture.end()
    assert code == 1 and out == "" and "the daemon broke off" in errors and "1 frames captured" in errors
    assert len(judge(path)) == 1
    network.start()


def test_the_daemon_ends_cleanly_under_captures(network, pair, tmp_path):
    """Idle ones and one with frames; the fixture looks at how it ended."""
    alice, bob = pair
    captures = [Capture(network, f"{guest}/eth0", "-w", tmp_path / guest) for guest in ("alice", "bob", "carol")]
    alice.send(bob, b"x")
    assert network.stop() == 0
    for capture in captures:
        assert "captured" in capture.end()[2]


@pytest.mark.parametrize("name, sentence", [
    ("alice/eth9", "there is no nic 'alice/eth9'"), ("wan", "there is no switch 'wan'"),
    ("lan", "switch lan has no uplink to capture; name a card, GUEST/NAME"), ("a/b/c", "there is nothing at"),
])
def test_what_is_not_there(network, name, sentence):
    code, out, errors = Capture(network, name).end()
    assert code == 1 and out == "" and sentence in errors and "captured" not in errors


@pytest.fixture
def connected(tmp_path):
    """A network with a NAT to the world."""
    instance = NicDaemon({**sections(), "switch lan": {"uplink": "user"}}, tmp_path)
    yield instance.start()
    instance.finish()


def test_uplink(connected, tmp_path):
    """What goes to the world is outbound, its answer inbound; frames between guests are not the uplink's."""
    path = tmp_path / "lan.pcapng"
    with Card(connected.socket("alice/eth0"), ALICE) as alice, Card(connected.socket("bob/eth0"), BOB) as bob:
        alice.post(4)
        bob.post(4)
        capture = Capture(connected, "lan", "-w", path, "-c", "2")
        alice.send(bob, b"not for the world")
        request = struct.pack(">HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, ALICE, bytes([10, 0, 2, 15]), bytes(6), bytes([10, 0, 2, 2]))
        alice.transmit(frame(BROADCAST, ALICE, request, kind=0x0806))
        assert alice.receive()[12:14] == b"\x08\x06"
        assert capture.end()[0] == 0
    assert [(one.flags, one.interface) for one in judge(path)] == [(OUT, "lan"), (IN, "lan")]


# ---- the API itself ----

def stream(network, body=None):
    """A connection whose answer is a capture of Alice's card."""
    connection = UnixHttp(network.runtime / "api.sock")
    connection.request("POST", "/v1/nics/alice/eth0/capture", body)
    return connection, connection.getresponse()


def test_any_client_gets_pcapng(network, pair, tmp_path):
    alice, bob = pair
    connection, answer = stream(network)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-pcapng")
    alice.send(bob, b"hello")
    path = tmp_path / "raw.pcapng"
    data = b""
    while b"hello" not in data:
        data += answer.read1(65536)
    path.write_bytes(data[:data.rindex(b"hello") // 4 * 4 + 1000])
    connection.close()
    assert len(judge(path)) == 1


@pytest.mark.parametrize("body, sentence", [
    ('{"snap_bytes": -1}', "snap_bytes is from 0"), ('{"snap_bytes": 300000}', "snap_bytes is from 0"),
    ('{"snap_bytes": "all"}', "a whole number"), ('{"filter": 1}', "unknown field 'filter'"), ("[", "not JSON"),
])
def test_bodies_that_make_no_sense(network, body, sentence):
    connection, answer = stream(network, body)
    assert answer.status == 400 and sentence in answer.read().decode()
    connection.close()


def test_number_of_captures_is_limited(network, pair):
    alice, bob = pair
    open_ones = [stream(network) for _ in range(16)]
    assert {answer.status for _, answer in open_ones} == {200}
    connection, answer = stream(network)
    assert answer.status == 503 and "16 captures and attached consoles already" in answer.read().decode()
    connection.close()
    assert network.api("GET", "/v1/status")[0] == 200
    for one, _ in open_ones:
        one.close()
    # Those that have left are noticed when there is something for them.
    alice.send(bob, b"x")
    wait_until(lambda: len(network.lines_about("the capture is over")) == 17, "all are over")
    connection, answer = stream(network)
    assert answer.status == 200
    connection.close()


def test_client_that_leaves_an_idle_card_is_noticed(network):
    connection, answer = stream(network)
    assert answer.status == 200
    answer.read1(65536)
    connection.close()
    network.wait_line("the capture is over: 0 frames, 0 lost")


def test_an_idle_capture_wakes_nobody(network, pair):
    connection, answer = stream(network)
    assert answer.status == 200
    network.wait_idle()
    connection.close()


# ---- a reader that does not read ----

def test_hostile_flood_under_a_capture_that_is_not_read(network, pair):
    """The mirror fills up and loses frames, counted; Bob, Carol and the API notice nothing."""
    alice, bob = pair
    connection, answer = stream(network)
    with Card(network.socket("carol/eth0"), CAROL) as carol:
        carol.post(8)
        sent = 6000
        for turn in range(sent):
            data = alice.send(bob, turn.to_bytes(4, "big") * 350)
            assert bob.receive() == data
            if turn % 500 == 0:
                data = bob.send(carol, b"meanwhile")
                assert carol.receive() == data
                assert network.nic("carol")["dropped"]["full"] == 0
    assert network.dropped("alice") == {} and network.dropped("bob") == {}
    # Now it reads: there is room again, and what was kept comes in order before what comes now.
    found, taken = b"", 0
    while taken < 1 << 20:
        taken += len(answer.read1(65536))
    alice.send(bob, b"the last one")
    while b"the last one" not in found:
        found = found[-2000:] + answer.read1(65536)
    connection.close()
    line = network.wait_line("the capture is over")
    frames, lost = map(int, re.search(r"over: (\d+) frames, (\d+) lost", line).groups())
    assert frames + lost == sent + 1 and lost > 1000 and frames > 1000


def test_lost_frames_are_told_where_they_were_lost(network, pair, tmp_path):
    alice, bob = pair
    path = tmp_path / "alice.pcapng"
    capture = Capture(network, "alice/eth0", "-w", path)
    capture.process.send_signal(signal.SIGSTOP)
    while network.nic("alice")["sent"]["frames"] < 6000:
        alice.send(bob, bytes(1400))
        bob.receive()
    capture.process.send_signal(signal.SIGCONT)
    wait_until(lambda: (alice.send(bob, b"the last one"), path.exists() and b"the last one" in path.read_bytes()[-4000:])[1],
               "the reader has caught up")
    code, _, errors = capture.end(signal.SIGINT)
    frames, lost = map(int, re.search(r"^(\d+) frames captured, (\d+) lost because", errors).groups())
    assert code == 0 and lost > 1000
    assert len(judge(path)) == frames
