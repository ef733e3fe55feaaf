# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames that the switch has cut, judged by a program that knows nothing of ours: tshark finds all of them sound."""
import collections
import subprocess

import pytest

from daemon import build_directory

GOOD, BAD = "1", "0"        # how tshark tells the state of a checksum
FIELDS = {"ip": "ip.checksum.status", "tcp": "tcp.checksum.status", "udp": "udp.checksum.status", "seq": "tcp.seq_raw",
          "len": "tcp.len", "psh": "tcp.flags.push", "malformed": "_ws.malformed", "protocols": "frame.protocols"}
OPTIONS = [*(word for name in ("ip", "tcp", "udp") for word in ("-o", f"{name}.check_checksum:TRUE")),
           # The payload is nobody's protocol.
           *(word for name in ("tcp", "udp") for word in ("-d", f"{name}.port==5001,data"))]

Seen = collections.namedtuple("Seen", FIELDS)


def judge(path):
    """What tshark says of each frame of a capture."""
    words = [word for field in FIELDS.values() for word in ("-e", field)]
    answer = subprocess.run(["tshark", "-r", path, *OPTIONS, "-T", "fields", *words], capture_output=True, text=True,
                            check=True)
    return [Seen(*line.split("\t")) for line in answer.stdout.splitlines()]


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    path = tmp_path_factory.mktemp("capture") / "cut.pcap"
    program = build_directory() / "tests" / "wire" / "cut_frames"
    with open(path, "wb") as file:
        subprocess.run([program], stdout=file, check=True)
    return path


def test_every_checksum_is_good(capture):
    frames = judge(capture)
    kinds = collections.Counter()
    for number, frame in enumerate(frames, 1):
        assert not frame.malformed, f"frame {number} is malformed: {frame}"
        ipv4 = "ipv6" not in frame.protocols
        assert frame.ip == (GOOD if ipv4 else ""), f"frame {number}, IP header: {frame}"
        assert frame.tcp + frame.udp == GOOD, f"frame {number}, TCP or UDP: {frame}"
        kinds["tcp" if frame.tcp else "udp", ipv4] += 1
    assert len(kinds) == 4 and min(kinds.values()) > 500, kinds


def test_segments_follow_each_other(capture):
    """The sequence numbers of TCP leave no hole: from the frame behind a PSH to the next PSH."""
    expected = None
    segments = [frame for frame in judge(capture) if frame.tcp]
    for number, frame in enumerate(segments):
        sequence, payload = int(frame.seq), int(frame.len)
        assert expected in (None, sequence), f"segment {number}: {frame}, expected {expected}"
        expected = None if frame.psh == "1" else (sequence + payload) % (1 << 32)
    assert expected is None and len(segments) > 1000


def test_a_wrong_byte_is_seen(capture, tmp_path):
    """The judge looks: one bit of the last frame's payload is another, and its checksum is bad."""
    damaged = bytearray(capture.read_bytes())
    damaged[-1] ^= 1
    path = tmp_path / "damaged.pcap"
    path.write_bytes(damaged)
    frames = judge(path)
    assert frames[-1].tcp + frames[-1].udp == BAD and frames[-2].tcp + frames[-2].udp == GOOD
