# SPDX-License-Identifier: GPL-2.0-or-later
"""Consoles: what a guest says is kept and passed on, what is typed is passed to it; guests and readers that behave badly."""
import http.client
import json
import os
import socket
import time

import pytest

from daemon import UnixHttp
from patience import PATIENCE_S, wait_until
from test_reload import reload
from test_takeover import take_over

CONSOLE = "/v1/devices/console/alice/0"


def sections(**keys):
    return {"guest alice": {}, "console alice/0": keys, "guest bob": {}, "console bob/0": {}}


@pytest.fixture
def daemon(make_daemon):
    return make_daemon(sections())


def path_of(daemon, name="alice/0"):
    guest, console = name.split("/")
    return daemon.runtime / guest / f"console-{console}.sock"


class Vmm:
    """The other end of a guest's serial port."""

    def __init__(self, daemon, name="alice/0"):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path_of(daemon, name)))     # waits while others do
        self.socket.settimeout(PATIENCE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def say(self, data):
        self.socket.sendall(data)

    def read(self, count):
        got = b""
        while len(got) < count:
            piece = self.socket.recv(count - len(got))
            assert piece, "the daemon hung up"
            got += piece
        return got


class Reader:
    """An attached client."""

    def __init__(self, daemon, name="alice/0", **body):
        self.connection = UnixHttp(daemon.runtime / "api.sock")
        self.connection.request("POST", f"/v1/consoles/{name}/attach", json.dumps(body))
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200, self.answer.read()
        position, self.life = self.answer.getheader("Viaduct-Position").split("; life=")
        self.position = int(position)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.connection.sock and self.connection.sock.close()
        self.answer.close()
        self.connection.close()

    def read(self, count):
        got = b""
        while len(got) < count:
            piece = self.answer.read1(count - len(got))
            assert piece, f"the stream ended behind {got!r}"
            got += piece
        return got

    def read_end(self):
        """The rest, up to an orderly end."""
        return self.answer.read()


def status(daemon):
    return daemon.api("GET", CONSOLE)[1]


def said(daemon, count):
    wait_until(lambda: status(daemon)["output_bytes"] == count, lambda: f"{count} bytes: {status(daemon)}")


def type_(daemon, data, name="alice/0"):
    connection = UnixHttp(daemon.runtime / "api.sock")
    try:
        connection.request("POST", f"/v1/consoles/{name}/input", data)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def type_all(daemon, data):
    """As a client does it: what was not accepted again."""
    deadline = time.monotonic() + PATIENCE_S
    while data:
        code, answer = type_(daemon, data)
        assert code == 200 and time.monotonic() < deadline
        data = data[answer["accepted"]:]


# ---- friendly ----

def test_both_ways(daemon):
    with Vmm(daemon) as vmm:
        vmm.say(b"BIOS\r\n")
        said(daemon, 6)
        with Reader(daemon) as reader:
            assert reader.position == 0 and reader.read(6) == b"BIOS\r\n"
            vmm.say(b"login: ")
            assert reader.read(7) == b"login: "
            assert type_(daemon, b"root\n\x00\xff") == (200, {"accepted": 7})
            assert vmm.read(7) == b"root\n\x00\xff"
            assert status(daemon)["readers"] == 1
    wait_until(lambda: not status(daemon)["connected"], lambda: "the VMM is gone")
    now = status(daemon)
    assert (now["output_bytes"], now["input_bytes"], now["refused_bytes"]) == (13, 7, 0)


def test_readers_and_their_places(daemon):
    """All hear the same, from where they want to."""
    with Vmm(daemon) as vmm, Reader(daemon) as first:
        vmm.say(b"0123456789")
        assert first.read(10) == b"0123456789"
        with Reader(daemon, scrollback=False) as late, Reader(daemon, **{"from": 4}) as again:
            assert (late.position, again.position) == (10, 4)
            vmm.say(b"ab")
            assert late.read(2) == first.read(2) == b"ab"
            assert again.read(8) == b"456789ab"
        with Reader(daemon, **{"from": 1 << 60}) as other_life:
            assert other_life.position == 0 and other_life.read(12) == b"0123456789ab"
        wait_until(lambda: status(daemon)["readers"] == 1, lambda: "those that left are noticed while nothing is said")


def test_the_memory_outlives_guests_and_is_bounded(daemon):
    with Vmm(daemon) as vmm:
        vmm.say(b"x" * 1000)
        said(daemon, 1000)
    with Vmm(daemon) as vmm:
        vmm.say(b"y" * 65536)
        said(daemon, 66536)
        with Reader(daemon) as reader:
            assert reader.position == 1000 and reader.read(65536) == b"y" * 65536


def test_refusals(daemon):
    assert type_(daemon, b"x") == (409, {"error": "no VMM is connected to the console 'alice/0'"})
    assert type_(daemon, b"x", "alice/1")[0] == 404
    assert daemon.api("POST", "/v1/consoles/alice/1/attach", {})[0] == 404
    assert daemon.api("POST", "/v1/consoles/alice/0/attach", {"from": -1})[0] == 400
    assert daemon.api("POST", "/v1/consoles/alice/0/attach", {"to": 1})[0] == 400
    assert daemon.api("GET", "/v1/consoles/alice/0/attach")[0] == 405
    assert status(daemon)["refused_bytes"] == 1


def test_reload(daemon):
    with Vmm(daemon) as vmm:
        vmm.say(b"".join(b"%07d\n" % number for number in range(8192)))
        said(daemon, 65536)
        daemon.sections["console alice/0"]["scrollback"] = "8K"
        daemon.sections["console alice/1"] = {}
        assert sorted(reload(daemon)[0]) == ["console alice/0: its scrollback was changed", "console alice/1: added"]
        with Reader(daemon) as reader:
            assert reader.position == 65536 - 8192 and reader.read(8) == b"0007168\n"
        del daemon.sections["console alice/0"]
        assert "is connected" in reload(daemon)[1][0]
        del daemon.sections["console alice/1"]
        with Reader(daemon, "alice/1") as gone:
            assert reload(daemon)[0] == ["console alice/1: removed"]
            assert gone.read_end() == b""
    for size in "4095", "17M":
        daemon.sections["console alice/0"] = {"scrollback": size}
        daemon.write_config()
        assert daemon.api("POST", "/v1/reload")[0] == 422


def test_metrics(daemon):
    with Vmm(daemon) as vmm, Reader(daemon) as reader:
        vmm.say(b"abc")
        reader.read(3)
        type_(daemon, b"de")
        metrics, labels = daemon.metrics(), '{guest="alice",console="0"}'
        assert metrics[f"viaduct_console_output_bytes_total{labels}"] == 3
        assert metrics[f"viaduct_console_input_bytes_total{labels}"] == 2
        assert metrics[f"viaduct_console_readers{labels}"] == 1


def test_another_life(daemon):
    """A position of a daemon that was killed is none of the next one's, whatever was said since."""
    with Vmm(daemon) as vmm, Reader(daemon) as old:
        vmm.say(b"old life")
        assert old.read(8) == b"old life"
    daemon.restart()
    with Vmm(daemon) as vmm:
        vmm.say(b"new life")
        said(daemon, 8)
        with Reader(daemon, **{"from": 8, "life": int(old.life)}) as new:
            assert new.position == 0 and new.read(8) == b"new life" and new.life != old.life


# ---- takeover ----

def test_takeover(daemon):
    """The guest and its VMM notice nothing; a reader goes on where it was cut off."""
    with Vmm(daemon) as vmm:
        reader = Reader(daemon)
        for turn in range(3):
            vmm.say(b"turn %d" % turn)
            reader.read(6)
            position = reader.position + 6
            take_over(daemon)
            with pytest.raises((http.client.IncompleteRead, ConnectionError, AssertionError)):
                reader.read(1)
            reader.close()
            life = int(reader.life)
            reader = Reader(daemon, **{"from": position, "life": life})
            assert (reader.position, int(reader.life)) == (position, life)
            type_all(daemon, b"key %d" % turn)
            assert vmm.read(5) == b"key %d" % turn
        with Reader(daemon) as all_of_it:
            assert all_of_it.position == 0 and all_of_it.read(18) == b"turn 0turn 1turn 2"
        reader.close()
        assert status(daemon)["connected"] and status(daemon)["connects"] == 1


def test_takeover_with_another_scrollback(daemon):
    with Vmm(daemon) as vmm:
        vmm.say(bytes(range(256)) * 64)
        said(daemon, 16384)
        daemon.sections["console alice/0"]["scrollback"] = "4K"
        daemon.write_config()
        take_over(daemon)
        with Reader(daemon) as reader:
            assert reader.position == 12288 and reader.read(4096) == bytes(range(256)) * 16
        vmm.say(b"on")
        said(daemon, 16386)


# ---- hostile ----

def test_a_flood_harms_nobody(daemon):
    """A guest that never stops; another one, and the API, go on."""
    with Vmm(daemon) as flood, Vmm(daemon, "bob/0") as bob, Reader(daemon, "bob/0") as reader:
        flood.socket.setblocking(False)
        block = b"f" * (1 << 20)
        for turn in range(200):
            for _ in range(4):
                try:
                    flood.socket.send(block)
                except BlockingIOError:
                    pass
            word = b"bob %03d" % turn
            bob.say(word)
            assert reader.read(7) == word
        # So much waits in the VMM's socket, and is taken bit by bit.
        wait_until(lambda: status(daemon)["output_bytes"] > 65536, lambda: f"{status(daemon)}")
        # An attached reader gets the whole of what is remembered, however fast the guest is.
        with Reader(daemon) as slow:
            assert slow.position <= status(daemon)["output_bytes"] and slow.read(65536) == b"f" * 65536
    daemon.check_alive()


def test_a_reader_that_does_not_read(daemon):
    """It is cut off, and told by its next position what it has missed; others miss nothing."""
    with Vmm(daemon) as vmm, Reader(daemon) as good:
        stuck = Reader(daemon)
        for turn in range(100):
            piece = bytes([turn]) * 60000
            vmm.say(piece)
            assert good.read(60000) == piece
        rest = stuck.read_end()
        assert 0 < len(rest) < 100 * 60000 and set(rest) <= set(range(100))
        again = Reader(daemon, **{"from": len(rest)})
        assert again.position == 6000000 - 65536 and again.read(65536) == bytes([98]) * 5536 + bytes([99]) * 60000
        assert status(daemon)["missed_bytes"] > 0
        stuck.close()
        again.close()


def test_a_vmm_that_does_not_read(daemon):
    """What is typed is refused when there is no more room, and the guest's output is heard all the same."""
    with Vmm(daemon) as vmm:
        vmm.say(b"up ")
        said(daemon, 3)
        total = 0
        while True:
            code, answer = type_(daemon, b"k" * 16384)
            assert code == 200 and total < 8 << 20
            total += answer["accepted"]
            if answer["accepted"] == 0:
                break
        vmm.say(b"hello")
        said(daemon, 8)
        assert status(daemon)["refused_bytes"] > 0
        assert vmm.read(total) == b"k" * total
        type_all(daemon, b"now")
        assert vmm.read(3) == b"now"


def test_descriptors_do_not_reach_the_daemon(daemon):
    with Vmm(daemon) as vmm:
        read_end, write_end = os.pipe()
        for _ in range(10):
            socket.send_fds(vmm.socket, [b"d"], [write_end])
        said(daemon, 10)
        assert os.readlink(f"/proc/self/fd/{write_end}") not in daemon.fds()
        os.close(write_end)
        os.set_blocking(read_end, False)
        with pytest.raises(BlockingIOError):        # the doorman has them
            os.read(read_end, 1)
    wait_until(lambda: not status(daemon)["connected"], lambda: "the VMM is gone")
    os.set_blocking(read_end, True)
    assert os.read(read_end, 1) == b""              # and it has gone with its peer
    os.close(read_end)


def test_many_readers(daemon):
    """There are so many streams; one that leaves makes room, also while the guest is silent."""
    readers = [Reader(daemon) for _ in range(15)]
    last = Reader(daemon)
    assert daemon.api("POST", "/v1/consoles/alice/0/attach", {})[0] == 503
    last.close()
    wait_until(lambda: status(daemon)["readers"] == 15, lambda: f"{status(daemon)}")
    last = Reader(daemon)
    with Vmm(daemon) as vmm:
        vmm.say(b"all")
        assert all(reader.read(3) == b"all" for reader in [*readers, last])
    for reader in [*readers, last]:
        reader.close()


def test_storms_of_vmms(daemon):
    """VMMs that come and go as fast as they can: the console is there for the one that stays."""
    for _ in range(200):
        Vmm(daemon).socket.close()
    with Vmm(daemon) as vmm:
        vmm.say(b"stayed")
        with Reader(daemon) as reader:
            assert reader.read(6) == b"stayed"
    daemon.wait_idle()
