# SPDX-License-Identifier: GPL-2.0-or-later
"""`mirror = PATH` of a card: into files and named pipes, which may be full, missing, of another kind, or not read."""
import os
import re
import resource
import signal
import stat
import subprocess

import pytest

from nic import Card
from patience import wait_until
from test_capture import judge
from test_nic import ALICE, BOB, NicDaemon, sections


@pytest.fixture
def path(tmp_path):
    return tmp_path / "alice.pcapng"


@pytest.fixture
def network(tmp_path, path):
    instance = NicDaemon({**sections(), "nic alice/eth0": {**sections()["nic alice/eth0"], "mirror": path}}, tmp_path)
    yield instance
    instance.finish()


@pytest.fixture
def pair(network):
    """Alice's card and Bob's; the daemon has started unless the test does so."""
    if not network.process:
        network.start()
    with Card(network.socket("alice/eth0"), ALICE) as alice, Card(network.socket("bob/eth0"), BOB) as bob:
        bob.post(32)
        yield alice, bob


def send(alice, bob, payload):
    data = alice.send(bob, payload)
    assert bob.receive() == data


def wait_frames(path, count):
    """Until the file has so many whole frames; returns them."""
    def frames():
        done = subprocess.run(["tshark", "-r", path, "-T", "fields", "-e", "frame.number"], capture_output=True, text=True,
                              check=False) if path.exists() and path.stat().st_size else None
        return done and done.returncode == 0 and len(done.stdout.split()) >= count
    wait_until(frames, f"{count} frames in {path}")
    found = judge(path)
    assert len(found) == count
    return found


def test_file(network, pair, path):
    alice, bob = pair
    network.wait_line("mirror " + str(path) + ": begins")
    for size in (60, 600, 1400):
        send(alice, bob, bytes(size))
    assert [one.length for one in wait_frames(path, 3)] == ["74", "614", "1414"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    network.wait_idle()


def test_file_is_appended_to(network, pair, path):
    """By the next daemon, behind what the one before has written; also when that was killed."""
    alice, bob = pair
    network.wait_line(": begins")
    for turn in range(3):
        send(alice, bob, bytes(100))
        wait_frames(path, turn + 1)
        network.kill()
        since = len(network.lines)
        network.restart()
        network.wait_line(": begins", since)
        for card in pair:
            card.front.reconnect()
    assert not os.path.exists(f"{path}.1")


def test_what_was_captured_is_written_at_the_end(network, pair, path):
    alice, bob = pair
    network.wait_line(": begins")
    for _ in range(500):
        send(alice, bob, bytes(1400))
    assert network.stop() == 0
    assert len(judge(path)) == 500
    assert network.wait_line("ends after 500 frames, 0 lost")


def test_change_while_frames_pass(network, pair, path, tmp_path):
    alice, bob = pair
    network.wait_line(": begins")
    send(alice, bob, b"first")
    other = tmp_path / "other.pcapng"
    network.sections["nic alice/eth0"]["mirror"] = other
    assert network.reload()["changes"] == ["nic alice/eth0: its mirror was changed"]
    network.wait_line(f"mirror {other}: begins")
    send(alice, bob, b"second")
    wait_frames(other, 1)
    wait_frames(path, 1)
    network.sections["nic alice/eth0"]["mirror"] = None
    assert network.reload()["changes"] == ["nic alice/eth0: its mirror was changed"]
    network.wait_line(f"mirror {other}: ends")
    send(alice, bob, b"third")
    assert len(judge(other)) == 1
    assert network.reload()["changes"] == []


def test_full_file_is_kept_and_replaced(network, pair, path):
    alice, bob = pair
    network.sections["nic alice/eth0"]["mirror_limit"] = "1M"
    network.reload()
    kept = path.with_name(path.name + ".1")
    numbers = []
    for number in range(2000):
        send(alice, bob, number.to_bytes(4, "big") * 350)
        if number % 100 == 0:
            wait_until(lambda: path.exists() and path.stat().st_size + (kept.stat().st_size if kept.exists() else 0) > 0,
                       "frames are written")
    assert network.stop() == 0
    for one in kept, path:
        assert 0 < one.stat().st_size < 2 << 20
        shown = subprocess.run(["tshark", "-r", one, "-T", "fields", "-e", "data.data"], capture_output=True, text=True,
                               check=True).stdout.split()
        numbers += [int(data[:8], 16) for data in shown]
    # The newest, without a hole.
    assert numbers == list(range(numbers[0], 2000)) and len(numbers) > 700


# ---- what is there already ----

@pytest.mark.parametrize("content, kept", [
    (b"\n\r\r\n" + bytes(100), True), (b"", False), (b"\n\r\r\n\x1c\0\0\0M<+\x1a" + b"\0" * 12 + b"\x1c\0\0\0", False),
])
def test_file_with_half_a_block_is_kept(network, path, content, kept):
    path.write_bytes(content)
    network.start()
    network.wait_line(": begins")
    wait_until(lambda: path.stat().st_size > len(content) or kept, "the new section")
    assert os.path.exists(f"{path}.1") == kept
    assert not kept or path.with_name(path.name + ".1").read_bytes() == content


def make_link(path):
    path.with_name("target").write_bytes(b"")
    path.symlink_to("target")


@pytest.mark.parametrize("make, sentence", [
    (lambda path: path.write_bytes(b"something precious"), "is there already and is no capture; move it away"),
    (lambda path: path.write_bytes(b"abc"), "is there already and is no capture"),
    (make_link, "is a symbolic link"), (os.mkdir, "is neither a file nor a named pipe"),
    (lambda path: os.mknod(path, stat.S_IFSOCK | 0o600), "is neither a file nor a named pipe"),
], ids=["text", "short", "link", "directory", "socket"])
def test_what_must_not_be_touched(network, path, make, sentence):
    make(path)
    before = path.read_bytes() if path.is_file() else None
    network.start()
    network.wait_line(sentence)
    assert not path.is_file() or path.read_bytes() == before
    assert not os.path.exists(f"{path}.1")


def test_folder_that_comes_later(network, path, tmp_path):
    """It is told once, and tried again."""
    later = tmp_path / "later" / "alice.pcapng"
    network.sections["nic alice/eth0"]["mirror"] = later
    network.write_config()
    network.start()
    network.wait_line("No such file or directory; it is tried again")
    later.parent.mkdir()
    wait_until(later.exists, "the second try")
    assert len(network.lines_about("No such file")) == 1


def limit_size():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50000, resource.RLIM_INFINITY))


def test_disk_is_full_for_a_while(network, path):
    """The file keeps whole blocks; the guests go on; so does the mirror when there is room again."""
    network.preexec = limit_size
    network.start()
    network.wait_line(": begins")
    with Card(network.socket("alice/eth0"), ALICE) as alice, Card(network.socket("bob/eth0"), BOB) as bob:
        bob.post(32)
        for _ in range(60):
            send(alice, bob, bytes(1400))
        network.wait_line("File too large; it is tried again")
        full = len(judge(path))
        assert 0 < full < 60 and path.stat().st_size <= 50000
        for _ in range(60):
            send(alice, bob, bytes(1400))
        resource.prlimit(network.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        wait_until(lambda: (send(alice, bob, b"again"), network.lines_about(": goes on"))[1], "it goes on")
        assert len(network.lines_about("File too large")) == 1
    assert len(judge(path)) > full


# ---- pipes ----

@pytest.fixture
def pipe(network, path):
    os.mkfifo(path)
    network.start()
    network.wait_line("has no reader; it is tried again")
    return path


def test_pipe_whose_readers_come_and_go(network, pipe, pair):
    alice, bob = pair
    for turn in range(2):
        send(alice, bob, b"nobody sees it")
        with open(pipe, "rb", buffering=0) as reader:
            tshark = subprocess.Popen(["tshark", "-l", "-r", "-", "-T", "fields", "-e", "frame.len"], stdin=reader,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        os.set_blocking(tshark.stdout.fileno(), False)
        said = b""
        while b"514" not in said:
            send(alice, bob, bytes(500))
            said += tshark.stdout.read() or b""
        since = len(network.lines)
        tshark.kill()
        tshark.wait()
        tshark.stdout.close()
        wait_until(lambda: (send(alice, bob, bytes(500)), network.lines_about("has lost its reader", since))[1],
                   lambda: f"reader {turn} is gone:\n{network.text()}")


def test_hostile_flood_into_a_pipe_that_is_not_read(network, pipe, pair):
    """What the pipe and the mirror have no room for is lost and counted; the daemon ends at once all the same."""
    alice, bob = pair
    with open(pipe, "rb", buffering=0) as reader:
        wait_until(lambda: reader.read(4) == b"\n\r\r\n", "the section")
        since = len(network.lines)
        for turn in range(5000):
            send(alice, bob, turn.to_bytes(4, "big") * 350)
        assert network.dropped("alice") == {} and network.dropped("bob") == {}
        assert network.api("GET", "/v1/status")[0] == 200
        assert network.stop() == 0
        frames, lost = map(int, re.search(r"after (\d+) frames, (\d+) lost", network.wait_line(": ends", since)).groups())
        assert frames > 0 and lost > 1000
        assert not network.lines_about("the end is not written")
