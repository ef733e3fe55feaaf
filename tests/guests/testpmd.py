# SPDX-License-Identifier: GPL-2.0-or-later
"""DPDK's testpmd with virtio-user: network cards of a foreign driver, without a VM and without huge pages.

    with Testpmd([Port(socket, "52:54:00:00:00:01", peer="52:54:00:00:00:02"), …], mtu=1500) as pmd:
        pmd.command("start tx_first 2")
"""
import dataclasses
import os
import pty
import re
import select
import shutil
import subprocess
import time

PROGRAM = "dpdk-testpmd"
# What other threads of it say comes between two letters of the prompt, too: in whole lines, and empty ones.
ASIDE = re.compile(r"v(?:host|irtio)_user\w*\(\): .*\n|Port \d+: .* event\n")
PROMPT = re.compile("\n*".join("testpmd> "))
PATIENCE_S = 120                # only a hang reaches it
LOOK_AGAIN_S = 0.01
TEXT_MAX = 4 << 20              # characters
QUEUE_SIZE = 256
MEMORY_MIB = 256
BUFFERS = 8192
HEADROOM, OVERHEAD = 128, 30    # in front of a frame in a buffer; what testpmd adds to an MTU (headers, a tag, the FCS)
SMALL_BUFFER = 2176             # testpmd's default: a frame of 1500 bytes


@dataclasses.dataclass(frozen=True)
class Port:
    """A virtio-user device. `peer`: where the frames go that it makes itself."""
    socket: object
    mac: str
    peer: str = "52:54:00:00:00:fe"
    packed: bool = False
    mergeable: bool = True
    in_order: bool = True
    server: bool = False        # it listens on the socket

    def device(self, number):
        flags = {"packed_vq": self.packed, "mrg_rxbuf": self.mergeable, "in_order": self.in_order, "server": self.server}
        return f"net_virtio_user{number},path={self.socket},queues=1,queue_size={QUEUE_SIZE},mac={self.mac}," + ",".join(
            f"{name}={int(on)}" for name, on in flags.items())


class Testpmd:
    """A running testpmd at its prompt. It forwards nothing before it is told to."""
    __test__ = False            # no class of tests, pytest

    def __init__(self, ports, mtu=1500, forward="macswap", cpus=None):
        self.ports, self.text = ports, ""
        self.terminal, theirs = pty.openpty()
        # A pty, because testpmd holds back what it writes to anything else.
        try:
            self.process = subprocess.Popen(self._words(mtu, cpus), stdin=theirs, stdout=theirs, stderr=theirs)
        finally:
            os.close(theirs)
        try:
            self._read_to_prompt("start")
            # A full ring is waited for, however slow the machine is.
            self.command("set burst tx delay 100 retry 1200000")
            self.forward(forward)
        except BaseException:
            self.close()
            raise

    def _words(self, mtu, cpus):
        assert shutil.which(PROGRAM), f"{PROGRAM} is not installed: package dpdk-dev"
        places = "(" + ",".join(str(cpu) for cpu in sorted(cpus or os.sched_getaffinity(0))) + ")"
        large = mtu + HEADROOM + OVERHEAD > SMALL_BUFFER
        # A frame lies in one buffer, or is spread over small ones. Packed rings: what it sends in pieces from slot 1 it
        # marks as writable by the device (virtqueue_enqueue_xmit_packed() leaves the table's flags as they were made).
        whole = large and any(port.packed or not port.mergeable for port in self.ports)
        words = [PROGRAM, "--lcores", f"0@{places},1@{places}", "--no-pci", "--no-telemetry", "--no-shconf", "--no-huge",
                 "-m", str(MEMORY_MIB)]
        for number, port in enumerate(self.ports):
            words += ["--vdev", port.device(number)]
        words += ["--", "-i", "--port-topology=loop", "--no-flush-rx",
                  f"--total-num-mbufs={BUFFERS}", f"--max-pkt-len={mtu + OVERHEAD}"]
        words += [f"--mbuf-size={mtu + HEADROOM + OVERHEAD}"] if whole else ["--enable-scatter"] if large else []
        words += [f"--eth-peer={number},{port.peer}" for number, port in enumerate(self.ports)]
        self.segment = mtu + OVERHEAD if whole else SMALL_BUFFER - HEADROOM
        return words

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.terminal)

    def quit(self):
        """Closes the ports and ends, as a driver in good order."""
        os.write(self.terminal, b"quit\n")
        # It ends only when all that it says is read.
        self.wait(lambda: not self._read_some(LOOK_AGAIN_S) and self.process.poll() is not None, "the end")
        assert self.process.returncode == 0, f"testpmd ended with {self.process.returncode}:\n{self.text[-4000:]}"

    # ---- the prompt ----

    def _read_some(self, seconds=0):
        """Reads what testpmd has said. False: nothing came."""
        if not select.select([self.terminal], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.terminal, 65536)
        except OSError:         # the other end is closed
            data = b""
        self.text += data.decode(errors="replace").replace("\r\n", "\n")
        assert len(self.text) < TEXT_MAX, f"testpmd talks without an end:\n{self.text[-4000:]}"
        return bool(data)

    def _read_to_prompt(self, doing, since=0):
        deadline = time.monotonic() + PATIENCE_S
        # What it logs may come behind the prompt.
        while not PROMPT.search(text := ASIDE.sub("", self.text[since:])):
            came = self._read_some(max(0, deadline - time.monotonic()))
            ended = self.process.poll() is not None
            assert came, f"testpmd, {doing}: {'it ended' if ended else 'no answer'}\n{self.text[-4000:]}"
        return text

    def command(self, line):
        """Gives a command; returns what testpmd says to it."""
        since = len(self.text)
        os.write(self.terminal, line.encode() + b"\n")
        return self._read_to_prompt(line, since)

    def wait(self, holds, what):
        """Returns the first true value of holds()."""
        deadline = time.monotonic() + PATIENCE_S
        while not (value := holds()):
            assert time.monotonic() < deadline, f"testpmd, {what} never came:\n{self.text[-4000:]}"
            time.sleep(LOOK_AGAIN_S)
        return value

    # ---- ports ----

    def counts(self):
        """[(received, sent, no buffer)] of the ports."""
        text = self.command("show port stats all")
        numbers = [[int(number) for number in re.findall(rf"{name}:\s*(\d+)", text)]
                   for name in ("RX-packets", "TX-packets", "RX-nombuf")]
        result = list(zip(*numbers, strict=True))
        assert len(result) == len(self.ports), text
        return result

    def received(self):
        return sum(count[0] for count in self.counts())

    def sent(self):
        return sum(count[1] for count in self.counts())

    def set_size(self, size):
        """Size of the frames that it makes itself."""
        whole, rest = divmod(size, self.segment)
        pieces = ",".join(str(piece) for piece in [self.segment] * whole + [rest] * (rest > 0))
        self.command(f"set txpkts {pieces}")
        assert f"Segment sizes: {pieces}\n" in self.command("show config txpkts")

    def forward(self, how):
        """What it does with frames: macswap, rxonly, …"""
        retry = "" if how == "rxonly" else " retry"
        assert f"Set {how} packet forwarding mode" in self.command(f"set fwd {how}{retry}")

    def start(self, bursts=0):
        """Forwards from now on; before, each port sends `bursts` times 32 frames of its own to its peer."""
        self.command(f"start tx_first {bursts}" if bursts else "start")

    def stop(self):
        """Forwards no more. Frames that it got and could not send would be gone: there are none."""
        text = self.command("stop")
        assert not re.search(r"TX-dropped: [1-9]", text), text
