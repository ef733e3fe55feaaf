# SPDX-License-Identifier: GPL-2.0-or-later
"""Two guests' cards, an e1000e with a weight of 1 and a virtio card with 3, both floods of one uplink.

The uplink is that of bench/net/card_shares.py, which is not a bottleneck by itself: it is said to carry so much, little
enough that either guest could fill it alone.
"""
import pathlib
import statistics
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "bench/net"))

from card_shares import vxlan  # noqa: E402
from cards import Cards  # noqa: E402
from plain import BenchError, print_share  # noqa: E402
from switches import CLIENT_CPU, pin  # noqa: E402

# Bytes a second, of which a frame of 1500 bytes has no more than it is long.
CAPACITY = 20_000_000
REGISTERS, RING = "alice", "bob"
WEIGHTS = {REGISTERS: 100, RING: 300}
RISE_S = 0.5
FRAME_BYTES = 1500


def sent(cards):
    return {guest: cards.card(guest)["sent"]["bytes"] for guest in WEIGHTS}


def flood(cards, build, seconds):
    """{guest: bytes a second} while both want all of the uplink."""
    command = [build / "bench/viaduct-registers", "--card", cards.socket(REGISTERS), "--seconds", str(3 * RISE_S + seconds)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=pin(CLIENT_CPU), text=True) as client, \
            cards.guests({RING: f"flood,world,{FRAME_BYTES}"}):
        time.sleep(RISE_S)
        before, since = sent(cards), time.monotonic()
        time.sleep(seconds)
        after, passed = sent(cards), time.monotonic() - since
        if client.poll() is not None:
            raise BenchError(client.stderr.read().strip() or "the flood of the e1000e ended early")
        client.terminate()
    return {guest: (after[guest] - before[guest]) / passed for guest in WEIGHTS}


def measure(options):
    cards = {guest: {"weight": weight, "model": "e1000e" if guest == REGISTERS else "virtio"} for guest, weight in WEIGHTS.items()}
    with vxlan() as keys, Cards(options.build, {**keys, "capacity_bandwidth": CAPACITY}, cards) as daemon:
        return [flood(daemon, options.build, options.seconds) for _ in range(options.rounds)]


def report(floods):
    used = statistics.median(sum(one.values()) for one in floods)
    print_share("uplink", "an e1000e", "a virtio card", WEIGHTS[REGISTERS], WEIGHTS[RING], floods, REGISTERS, f"{used / 1e6:.1f} MB/s")
