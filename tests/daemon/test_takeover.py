# SPDX-License-Identifier: GPL-2.0-or-later
"""viaductd --takeover: a new process goes on where the old one stood."""
import re
import socket
import struct
import subprocess

import pytest

from daemon import Daemon
from frontend import FrontEnd, Setup
from guest_memory import Region
from host_peers import silent_successor
from patience import PATIENCE_S


def take_over(daemon, *more):
    """Starts the successor; returns the pause in ms. `daemon` stands for it afterwards."""
    old = daemon.process
    since = len(daemon.lines)
    daemon.process = daemon.spawn("--takeover", *more)
    daemon._follow(daemon.process)
    assert old.wait(PATIENCE_S) == 0, daemon.text()
    line = daemon.wait_line(", pause ", since)
    daemon.wait_ready()
    return float(re.search(r"pause ([\d.]+) ms", line)[1])


def test_idle(daemon):
    pid = daemon.pid
    take_over(daemon)
    assert daemon.pid != pid
    status = daemon.api("GET", "/v1/status")[1]
    assert status["pid"] == daemon.pid and "took over 1 endpoint" in status["takeover"]
    with FrontEnd.start(daemon.socket("alice/root")) as front:
        front.disk().write(0, b"z" * 512)


def test_connected_guests_go_on(daemon):
    for packed in False, True:
        with FrontEnd.start(daemon.socket("alice/root"), Setup(packed=packed)) as front:
            for turn in range(5):
                data = bytes([turn + 1]) * 4096
                front.disk().write(turn * 8, data)
                take_over(daemon)
                assert front.disk().read(turn * 8, 8) == data
            assert daemon.api("GET", "/v1/disks/alice/root")[1]["connected"]


def test_a_region_that_was_added_twice(daemon):
    """The successor keeps it, too, until it was removed as often."""
    with FrontEnd.start(daemon.socket("alice/root"), Setup(style="libblkio")) as front:
        extra = Region(0x8000_0000, 1 << 20)
        for _ in range(2):
            assert front.connection.add_mem_reg(extra) == 0
        take_over(daemon)
        assert [front.connection.rem_mem_reg(extra) for _ in range(3)][:2] == [0, 0]
        assert front.connection.add_mem_reg(extra) == 0
        extra.close()


def test_the_new_configuration_counts(daemon):
    daemon.sections["disk alice/root"]["size"] = "16M"
    daemon.sections["guest bob"] = {}
    daemon.sections["disk bob/root"] = {"pool": "main", "size": "4M"}
    daemon.write_config()
    take_over(daemon)
    assert daemon.api("GET", "/v1/disks/alice/root")[1]["size_bytes"] == 16 << 20
    assert daemon.socket("bob/root").is_socket()


def test_nothing_to_take_over_from(daemon):
    assert daemon.stop() == 0
    result = subprocess.run(daemon.command("--takeover"), capture_output=True, text=True, timeout=PATIENCE_S)
    assert result.returncode == 1 and "no viaductd to take over from" in result.stderr


def test_a_mistake_does_not_disturb(daemon):
    good = daemon.config.read_text()
    daemon.config.write_text(good + "[gest bob]\n")
    with FrontEnd.start(daemon.socket("alice/root")) as front:
        result = subprocess.run(daemon.command("--takeover"), capture_output=True, text=True, timeout=PATIENCE_S)
        assert result.returncode == 1 and "unknown section [gest bob]" in result.stderr
        front.disk().write(0, b"q" * 512)
    assert "takeover" not in daemon.text()
    daemon.config.write_text(good)


def receive_offer(client):
    """Reads and drops what the predecessor sends, descriptors too; its end is that nothing more comes for a while."""
    client.settimeout(PATIENCE_S)
    total = 0
    try:
        while True:
            data, ancillary, _, _ = client.recvmsg(65536, socket.CMSG_SPACE(253 * 4))
            for _, _, fds in ancillary:
                for fd, in struct.iter_unpack("i", fds[:len(fds) // 4 * 4]):
                    socket.close(fd)
            if not data:
                break
            total += len(data)
            client.settimeout(0.3)
    except TimeoutError:
        pass
    return total


def test_a_successor_that_dies_is_forgotten(daemon):
    """At each point of the conversation before GO, the old daemon goes on with its guests."""
    with FrontEnd.start(daemon.socket("alice/root")) as front:
        front.disk().write(0, b"1" * 4096)
        for receive in False, True:
            since = len(daemon.lines)
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(daemon.runtime / "takeover.sock"))
            if receive:
                client.sendall(b"H")
                assert receive_offer(client) > 0
                assert daemon.api("GET", "/v1/status")[0] == 503
            client.close()
            assert daemon.wait_line("going on", since), daemon.text()
            assert front.disk().read(0, 8) == b"1" * 4096
            front.disk().write(0, b"1" * 4096)
    assert daemon.api("POST", "/v1/disks", {"name": "bob/a", "pool": "main", "size_bytes": 4096})[0] == 201
    assert daemon.api("GET", "/v1/pools/main")[1]["used_bytes"] == 9 << 20


def test_a_successor_that_says_nothing(daemon):
    """Nobody stands still for it, and another one does not wait for it."""
    with FrontEnd.start(daemon.socket("alice/root")) as front, silent_successor(daemon, says=b""):
        since = len(daemon.lines)
        front.disk().write(0, b"1" * 4096)
        assert daemon.api("POST", "/v1/disks", {"name": "bob/a", "pool": "main", "size_bytes": 4096})[0] == 201
        with silent_successor(daemon, says=b""):
            assert daemon.wait_line("another successor came", since), daemon.text()
            assert front.disk().read(0, 8) == b"1" * 4096
            assert not daemon.lines_about("takes over", since) and not daemon.lines_about("stood still", since)
            take_over(daemon)
        assert front.disk().read(0, 8) == b"1" * 4096


@pytest.mark.parametrize("reads", [0, 12, 100000], ids=["nothing", "a-header", "a-part"])
def test_a_successor_that_does_not_read(tmp_path, reads):
    """Guests stand still until a deadline that is the daemon's, not for as long as the successor lives."""
    sections = {}
    for number in range(150):
        sections[f"guest g{number}"] = {}
        sections[f"disk g{number}/root"] = {"pool": "main", "size": "1M"}
    daemon = Daemon({"pool main": {"path": tmp_path / "main.pool", "size": "512M"}, **sections}, tmp_path)
    daemon.start()
    try:
        with FrontEnd.start(daemon.socket("g0/root")) as front, silent_successor(daemon, reads):
            daemon.wait_line("going on")
            front.disk().write(0, b"1" * 4096)
            assert front.disk().read(0, 8) == b"1" * 4096
            assert daemon.api("GET", "/v1/status")[0] == 200
    finally:
        daemon.finish()


def test_sigterm_during_a_takeover(daemon):
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(daemon.runtime / "takeover.sock"))
    client.sendall(b"H")
    receive_offer(client)
    daemon.process.terminate()
    assert daemon.process.wait(PATIENCE_S) == 0
    client.close()
