# SPDX-License-Identifier: GPL-2.0-or-later
"""A real guest's console: what firmware and kernel said before anybody attached is there, and a command is typed."""
import json
import subprocess
import time

import pytest

import guest_image
import viaductd as viaductd_module

BOOT_SECONDS, PATIENCE_SECONDS = 600, 120
SHELL = "Leave with 'poweroff -f'."      # tests/guests/init, when it starts a shell


class Console:
    """`viaduct console alice`, spoken to through pipes."""

    def __init__(self, daemon):
        program = viaductd_module.build_folder() / "src/cli/viaduct"
        self.process = subprocess.Popen([program, "--runtime-dir", daemon.runtime, "console", "alice", "--linger", "0.5"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.text = ""

    def wait(self, text, seconds=PATIENCE_SECONDS):
        """Until the guest has said this."""
        deadline = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < deadline, self.text[-2000:]
            piece = self.process.stdout.read(65536)
            assert piece, f"the command ended:\n{self.text[-2000:]}"
            self.text += piece.decode(errors="replace")

    def type(self, text):
        self.process.stdin.write(text.encode())

    def detach(self):
        self.process.stdin.close()
        assert self.process.wait(PATIENCE_SECONDS) == 0
        self.process.stdout.close()


@pytest.fixture
def daemon(viaductd):
    return viaductd({"guest alice": {"memory": "256M"}, "console alice/0": {"scrollback": "256K"}})


@pytest.fixture
def guest(daemon):
    """A guest as `viaduct run` starts it, with a shell on its console."""
    program = viaductd_module.build_folder() / "src/cli/viaduct"
    with open(daemon.folder / "qemu.log", "wb") as log:
        process = subprocess.Popen(
            [program, "--runtime-dir", daemon.runtime, "run", "alice", "--accel", guest_image.accel(), "--kernel",
             guest_image.kernel("cloud"), "--initrd", guest_image.initramfs("cloud"),
             "--append", "console=ttyS0 panic=-1 tsc=reliable no_timer_check viaduct=shell"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def console(daemon):
    return json.loads(daemon.command("console", "--json").stdout)["devices"][0]


def wait_booted(daemon, guest):
    """Nobody is attached: only the daemon hears what the guest says, until it asks for a command."""
    deadline = time.monotonic() + BOOT_SECONDS
    while SHELL not in daemon.command("console", "alice", "--linger", "0").stdout:
        assert time.monotonic() < deadline and guest.poll() is None, (daemon.folder / "qemu.log").read_text()
        time.sleep(0.2)


def test_boot_text_and_a_command(daemon, guest):
    wait_booted(daemon, guest)
    assert console(daemon)["connected"] and console(daemon)["readers"] == 0
    first = Console(daemon)
    first.wait(SHELL)
    assert "SeaBIOS" in first.text and "Linux version" in first.text and "Command line:" in first.text
    first.type("echo result $((6 * 7))\n")
    first.wait("result 42")
    second = Console(daemon)
    second.wait("result 42")
    second.type("uname -r; echo seen by $((1 + 1))\n")
    for one in first, second:
        one.wait("seen by 2")
    daemon.take_over()
    second.type("echo after $((3 + 4))\n")
    for one in first, second:
        one.wait("after 7")
        one.detach()
        assert one.text.count("after 7") == 1
    assert console(daemon)["missed_bytes"] == 0


def test_guest_that_floods(daemon, guest):
    """It is heard as fast as its port goes, attached or not, and does not wait for a reader that stands still."""
    wait_booted(daemon, guest)
    stuck = Console(daemon)
    stuck.wait(SHELL)
    talker = Console(daemon)
    talker.wait(SHELL)
    talker.type("yes | head -c 60000; echo flooded $((4 + 5))\n")
    talker.wait("flooded 9", BOOT_SECONDS)
    stuck.process.kill()
    stuck.process.wait()
    assert console(daemon)["output_bytes"] > 60000
    talker.detach()
