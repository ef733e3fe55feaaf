# SPDX-License-Identifier: GPL-2.0-or-later
"""How well the uplink and the worker's CPU time are shared (Q11): two floods, one of 64 B and one of 1500 B frames.

The uplink is a VXLAN whose peer is a UDP socket of ours that nothing is read from: it costs the worker what a real one does
on the way to the kernel, and needs no rights. It is said to carry 10 Gbit/s, or so much less that the worker is busy for half
of its time when both guests get the same bytes: then bytes are what is scarce, and not the worker.
"""
import contextlib
import socket
import time

from cards import Cards

WARM_S = 0.2
CAPACITY = 1_250_000_000
SIZES = {"alice": 64, "bob": 1500}
WEIGHTS = {"1:1": {"alice": 100, "bob": 100}, "1:3": {"alice": 100, "bob": 300}}
ROWS = {
    **{f"uplink, bytes of 64 B and 1500 B, weights {name}": ("% off", "<= 3 %") for name in WEIGHTS},
    **{f"worker, CPU time of 64 B and 1500 B, weights {name}": ("% off", "<= 3 %") for name in WEIGHTS},
}


@contextlib.contextmanager
def vxlan():
    """Keys of a switch whose uplink leads to a socket that is not read."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        peer.bind(("127.0.0.2", 0))
        yield {"uplink": "vxlan", "vni": 1, "local": "127.0.0.1", "peers": "127.0.0.2", "port": peer.getsockname()[1], "mtu": 1500}


def rates(cards, senders, peer, seconds):
    """What each sender has a second: {guest: (bytes, CPU time in ns)}."""
    roles = {guest: f"flood,{peer},{SIZES[guest]}" for guest in senders}
    with cards.guests({**roles, **({} if peer == "world" else {peer: "sink"})}):
        time.sleep(WARM_S)
        before, since = {guest: cards.card(guest) for guest in senders}, time.monotonic()
        time.sleep(seconds)
        after, passed = {guest: cards.card(guest) for guest in senders}, time.monotonic() - since
    return {guest: ((after[guest]["sent"]["bytes"] - before[guest]["sent"]["bytes"]) / passed,
                    (after[guest]["time"]["cpu_ns"] - before[guest]["time"]["cpu_ns"]) / passed) for guest in senders}


def error_percent(had, weights):
    """The largest error of a guest's share, in percent of the share that its weight stands for."""
    total = sum(had.values()) or 1
    return max(abs(had[guest] / total * sum(weights.values()) / weights[guest] - 1) for guest in had) * 100


def weighed(weights):
    return {guest: {"weight": weight} for guest, weight in weights.items()}


def capacity(build, keys, seconds):
    with Cards(build, keys) as cards:
        alone = [rates(cards, [guest], "world", seconds)[guest][0] for guest in SIZES]
    return int(max(1e6, min(CAPACITY, 1 / sum(1 / max(rate, 1) for rate in alone))))


def measure(build, seconds):
    """One round: {row: {"value": …, "note": …}}"""
    results = {}
    with vxlan() as keys:
        carries = capacity(build, keys, seconds / 2)
        for name, weights in WEIGHTS.items():
            with Cards(build, {**keys, "capacity_bandwidth": carries}, weighed(weights)) as cards:
                had = rates(cards, SIZES, "world", seconds)
            sent = {guest: had[guest][0] for guest in SIZES}
            results[f"uplink, bytes of 64 B and 1500 B, weights {name}"] = {
                "value": error_percent(sent, weights),
                "note": f"of {carries * 8 / 1e9:.2f} Gbit/s {sum(sent.values()) / carries:.0%} used"}
    for name, weights in WEIGHTS.items():
        with Cards(build, cards=weighed(weights)) as cards:
            had = rates(cards, SIZES, "carol", seconds)
        busy = {guest: had[guest][1] for guest in SIZES}
        results[f"worker, CPU time of 64 B and 1500 B, weights {name}"] = {
            "value": error_percent(busy, weights), "note": f"{sum(busy.values()) / 1e9:.0%} of a CPU"}
    return results
