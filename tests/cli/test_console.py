# SPDX-License-Identifier: GPL-2.0-or-later
"""`viaduct console` against the real daemon, on a terminal and without one. The test is the VMM."""

import json
import os
import signal
import socket
import subprocess
import termios
import time

import pytest

from conftest import BUILD
from pty_screen import PATIENCE, PtyScreen
from real_daemon import Daemon

DETACH = "\x1d"


class Vmm:
    def __init__(self, directory, name="console-0"):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(directory / "alice" / f"{name}.sock"))
        self.socket.settimeout(PATIENCE)

    def say(self, data):
        self.socket.sendall(data)

    def wait(self, data):
        """Until this was typed."""
        got = b""
        while data not in got:
            piece = self.socket.recv(4096)
            assert piece, got
            got += piece


@pytest.fixture
def daemon(short_dir):
    daemon = Daemon(BUILD / "src/daemon/viaductd", short_dir, extra="[guest alice]\n[console alice/0]\n[guest bob]\n")
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture
def vmm(daemon, short_dir):
    vmm = Vmm(short_dir)
    yield vmm
    vmm.socket.close()


@pytest.fixture
def console(viaduct):
    """console(*arguments) runs it on a terminal."""
    screens = []

    def run(*arguments):
        screens.append(PtyScreen([str(viaduct.program), "--runtime-dir", viaduct.runtime_dir, "console", *arguments]))
        return screens[-1]

    yield run
    for screen in screens:
        screen.close()


def is_raw(screen):
    return not termios.tcgetattr(screen.master)[3] & termios.ICANON


def ended_well(screen):
    assert os.waitstatus_to_exitcode(screen.end()) == 0, screen.written
    assert termios.tcgetattr(screen.master) == screen.attributes


# ---- on a terminal ----

def test_a_session(vmm, console):
    """What was said before; keys, those that mean something to a terminal too; the key that detaches."""
    vmm.say(b"BIOS\r\nlogin: ")
    screen = console("alice")
    screen.wait_written(b"login: ")
    assert b"alice/0; Ctrl-] detaches" in screen.written and is_raw(screen)
    screen.type("root\r")
    vmm.wait(b"root\r")
    screen.type("\x03\x1a\x04\x1c")
    vmm.wait(b"\x03\x1a\x04\x1c")
    vmm.say(b"\r\n# ")
    screen.wait_written(b"\r\n# ")
    screen.type("x" + DETACH)
    ended_well(screen)
    vmm.wait(b"x")
    assert screen.written.endswith(b"[viaduct: detached]\r\n")


def test_another_key_and_no_scrollback(vmm, console, viaduct):
    vmm.say(b"before")
    screen = console("alice/0", "--escape", "^a", "--no-scrollback")
    screen.wait_written(b"Ctrl-A detaches")
    while json.loads(viaduct("console", "--json").out)["devices"][0]["readers"] == 0:
        time.sleep(0.01)
    vmm.say(b"after")
    screen.wait_written(b"after")
    screen.type(DETACH)
    vmm.wait(b"\x1d")
    screen.type("\x01")
    ended_well(screen)
    assert b"before" not in screen.written


def test_two_type(vmm, console):
    screens = console("alice"), console("alice")
    vmm.say(b"hello")
    for index, screen in enumerate(screens):
        screen.wait_written(b"hello")
        screen.type(f"key {index}")
        vmm.wait(b"key %d" % index)
    vmm.say(b"both")
    for screen in screens:
        screen.wait_written(b"both")
        screen.type(DETACH)
        ended_well(screen)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT, signal.SIGSEGV])
def test_signals_give_the_terminal_back(vmm, console, number):
    vmm.say(b"up")
    screen = console("alice")
    screen.wait_written(b"up")
    os.kill(screen.pid, number)
    status = screen.end()
    if number == signal.SIGINT:
        assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
    elif not (os.WIFEXITED(status) and number in (signal.SIGABRT, signal.SIGSEGV)):     # a sanitizer exits
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == number
    assert termios.tcgetattr(screen.master) == screen.attributes


def test_stopped_and_continued(vmm, console):
    """It gives the terminal back while it is stopped."""
    vmm.say(b"up")
    screen = console("alice")
    screen.wait_written(b"up")
    os.kill(screen.pid, signal.SIGTSTP)
    assert os.WIFSTOPPED(os.waitpid(screen.pid, os.WUNTRACED)[1])
    assert termios.tcgetattr(screen.master) == screen.attributes
    vmm.say(b"meanwhile")
    os.kill(screen.pid, signal.SIGCONT)
    screen.wait_written(b"meanwhile")
    screen.type("k")
    vmm.wait(b"k")
    assert is_raw(screen)
    screen.type(DETACH)
    ended_well(screen)


def test_detaches_from_a_guest_that_reads_nothing(vmm, console):
    vmm.say(b"busy")
    screen = console("alice")
    screen.wait_written(b"busy")
    deadline = time.monotonic() + PATIENCE
    vmm.socket.setblocking(False)
    for _ in range(100):
        screen.type("k" * 1000)
        screen.read(0)
        assert time.monotonic() < deadline
    screen.type(DETACH)
    ended_well(screen)


def test_no_vmm(daemon, console):
    screen = console("alice")
    screen.wait_written(b"detaches")
    screen.type("lost")
    screen.wait_written(b"no VMM is connected: what you type is dropped")
    vmm = Vmm(daemon.directory)
    vmm.say(b"here")
    screen.wait_written(b"here")
    screen.type("kept")
    assert vmm.socket.recv(100) == b"kept"
    screen.type(DETACH)
    ended_well(screen)
    vmm.socket.close()


# ---- the daemon goes ----

def test_takeover_while_attached(daemon, vmm, console):
    """It attaches again by itself; nothing is missed, nothing comes twice."""
    screen = console("alice")
    screen.wait_written(b"detaches")
    for turn in range(3):
        vmm.say(b"<turn %d>" % turn)
        screen.wait_written(b"<turn %d>" % turn)
        daemon.take_over()
        vmm.say(b"<after %d>" % turn)
        screen.wait_written(b"<after %d>" % turn)
        screen.type(f"key {turn}\r")
        vmm.wait(b"key %d\r" % turn)
    screen.type(DETACH)
    ended_well(screen)
    assert all(screen.written.count(b"<%s %d>" % (word, turn)) == 1 for word in (b"turn", b"after") for turn in range(3))
    assert b"missed" not in screen.written


def test_killed_daemon(daemon, vmm, console):
    """A daemon that is started again begins anew; who was attached is again."""
    vmm.say(b"old life")
    screen = console("alice")
    screen.wait_written(b"old life")
    daemon.kill()
    daemon.start()
    anew = Vmm(daemon.directory)
    anew.say(b"new life")
    screen.wait_written(b"new life")
    screen.type("k")
    anew.wait(b"k")
    screen.type(DETACH)
    ended_well(screen)
    anew.socket.close()


def test_console_that_is_removed(daemon, console, viaduct):
    screen = console("alice")
    screen.wait_written(b"detaches")
    daemon.config.write_text(daemon.config.read_text().replace("[console alice/0]\n", ""))
    assert viaduct("reload").code == 0
    assert os.waitstatus_to_exitcode(screen.end()) == 1 and b"there is no console 'alice/0'" in screen.written
    assert termios.tcgetattr(screen.master) == screen.attributes


# ---- without a terminal ----

def test_scripts(vmm, viaduct):
    vmm.say(b"what was said\r\n")
    done = viaduct("console", "alice", "--linger", "0.2", stdin=subprocess.DEVNULL)
    assert (done.code, done.out.encode(), done.err) == (0, b"what was said\n", "")     # read as text
    done = viaduct("console", "alice", "--linger", "0", input="reboot\n" + DETACH)
    assert done.code == 0
    vmm.wait(b"reboot\n\x1d")


def test_output_into_a_pipe_that_closes(vmm, viaduct):
    vmm.say(b"line\n" * 1000)
    line = f"{viaduct.program} --runtime-dir {viaduct.runtime_dir} console alice </dev/null"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", f"{line} | head -n 1"], capture_output=True, check=False, timeout=PATIENCE)
    assert done.stdout == b"line\n" and done.returncode == 0 and done.stderr == b""


def test_a_large_file_is_typed(vmm, viaduct, short_dir):
    """However slowly the guest takes it."""
    data = b"".join(b"%07d\n" % number for number in range(30000))
    (short_dir / "typed").write_bytes(data)
    with open(short_dir / "typed", "rb") as typed, subprocess.Popen(
            [viaduct.program, "--runtime-dir", viaduct.runtime_dir, "console", "alice", "--linger", "0"], stdin=typed,
            stdout=subprocess.DEVNULL) as process:
        got = b""
        while len(got) < len(data):
            got += vmm.socket.recv(65536)
        assert got == data and process.wait(PATIENCE) == 0


def test_flood_is_told_as_missed(daemon, vmm, viaduct):
    """A reader that is slower than the guest: it says how much it has missed, and the guest has not waited."""
    with subprocess.Popen([viaduct.program, "--runtime-dir", viaduct.runtime_dir, "console", "alice"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        vmm.say(b"begin")
        assert process.stdout.read(5) == b"begin"
        for _ in range(100):
            vmm.say(b"f" * 65536)       # nobody reads the command's output
        process.stdin.close()
        out, err = process.stdout.read(), process.stderr.read()
        assert process.wait(PATIENCE) == 0
    missed = sum(int(line.split()[1]) for line in err.decode().splitlines() if line.endswith("bytes missed]"))
    assert missed > 0 and len(out) + missed == 100 * 65536


# ---- names ----

def test_names_and_the_list(daemon, viaduct):
    assert viaduct("console").out.splitlines()[1].split()[:2] == ["alice/0", "waiting"]
    assert json.loads(viaduct("console", "--json").out)["devices"][0]["name"] == "alice/0"
    done = viaduct("console", "bob")
    assert done.code == 1 and "guest bob has no console; [console bob/0] in the configuration makes one" in done.err
    done = viaduct("console", "alice/7", stdin=subprocess.DEVNULL)
    assert done.code == 1 and "there is no console 'alice/7'" in done.err
    daemon.config.write_text(daemon.config.read_text() + "[console alice/1]\n")
    assert viaduct("reload").code == 0
    done = viaduct("console", "alice")
    assert done.code == 1 and "guest alice has 2 consoles; name one: alice/0, alice/1" in done.err
    assert viaduct("console", "alice/0", "--escape", "ab").code == 2
    assert viaduct("console", "alice/0", "--linger", "-1").code == 2
    assert viaduct("console", "alice/0", "--json").code == 2


def test_vmm_arguments(daemon, viaduct):
    """The first serial ports, and nothing on the terminal."""
    path = daemon.directory / "alice/console-0.sock"
    port = f"-chardev socket,id=viaduct-console0,path={path},reconnect=1"
    words = " ".join(viaduct("qemu-args", "alice").out.split(" \\\n"))
    assert f"{port} -serial chardev:viaduct-console0" in words
    words = " ".join(viaduct("run", "alice", "--accel", "tcg", "--print").out.split(" \\\n"))
    assert f"{port} -serial chardev:viaduct-console0 -display none -monitor none -machine graphics=off" in words and "-nographic" not in words
    words = " ".join(viaduct("run", "alice", "--accel", "tcg", "--print", "--", "-nographic").out.split(" \\\n"))
    assert port in words and "-display" not in words
    assert f"<source mode='connect' path='{path}'>" in viaduct("libvirt-xml", "alice").out
    done = viaduct("ch-args", "alice")
    assert "--serial" not in done.out and "console 0 is left out" in done.err


def test_vmm_arguments_of_a_virtio_console(daemon, viaduct):
    daemon.config.write_text(daemon.config.read_text().replace("[console alice/0]", "[console alice/0]\nsource = virtio"))
    assert viaduct("reload").code == 0
    words = " ".join(viaduct("run", "alice", "--accel", "tcg", "--print").out.split(" \\\n"))
    assert "-device vhost-user-test-device-pci,chardev=viaduct-console0,id=console-0,virtio-id=3,num_vqs=2,config_size=12" in words
    assert "-nographic" in words and "-serial" not in words
    assert "libvirt has no virtio console" in viaduct("libvirt-xml", "alice").out
    assert "it is a virtio console" in viaduct("ch-args", "alice").err
