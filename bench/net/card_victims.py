# SPDX-License-Identifier: GPL-2.0-or-later
"""How long an honest guest's frames take, alone and beside a storm of another guest (Q12).

Alice sends Bob one frame at a time, which he sends back; Mallory's storm goes to Eve, or to all. Beside no storm, Mallory and
Eve are connected and silent.
"""
from cards import Cards

HONEST = {"alice": "ping,bob", "bob": "echo,alice"}
STORMS = {
    "a flood of 64 B": "flood,eve,64",
    "kicks without frames": "kicks",
    "broadcasts": "broadcasts",
    "spoofed frames": "spoofed,eve,64",
    "GSO frames of 8 B segments": "gso,eve",
}
ROWS = {
    "one way, 64 B, p50": ("us", "<= 2 us"),
    "one way, 64 B, p99": ("us", ""),
    **{f"round trip, p99, beside {storm}": ("us", "<= 1.5 x") for storm in STORMS},
}


def run(cards, mallory, seconds):
    return cards.run({**HONEST, "mallory": mallory, "eve": "sink"}, seconds)


def core_note(*reports):
    """Guests poll all the time: what they had less than a whole core went to other programs."""
    return f"guests had {min(report['cpu_share'] for report in reports):.0%} of their core"


def compared(guest, beside, alone):
    """A sample of the round trips of a guest that pings."""
    here, there = beside["guests"][guest], alone["guests"][guest]
    return {"value": here["p99_us"], "alone": there["p99_us"],
            "note": f"p50 {here['p50_us']:.3g} : {there['p50_us']:.3g} us; {core_note(beside, alone)}"}


def both(cards, storm, seconds, swapped):
    """The honest guest's p99 alone and beside a storm; `swapped`: in the other order."""
    found = {}
    for role in sorted(("sink", storm), key=lambda role: (role != "sink") != swapped):
        found[role] = run(cards, role, seconds)
    return compared("alice", found[storm], found["sink"])


def measure(build, seconds, swapped):
    """One round: {row: {"value": …, "alone": …, "note": …}}"""
    with Cards(build) as cards:
        report = run(cards, "sink", seconds)
        results = {f"one way, 64 B, {name}": {"value": report["guests"]["bob"][f"{name}_us"], "note": core_note(report)}
                   for name in ("p50", "p99")}
        for name, storm in STORMS.items():
            results[f"round trip, p99, beside {name}"] = both(cards, storm, seconds, swapped)
    return results
