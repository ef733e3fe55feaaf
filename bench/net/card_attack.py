# SPDX-License-Identifier: GPL-2.0-or-later
"""A hostile guest beside honest ones: what reaches whom, and what it costs them.

Alice and Bob send each other numbered frames that each of them knows to the last byte, Carol sends Dave one frame at a time,
and Mallory sends whatever a guest must not (mallory.c). Each guest judges all that it receives.
"""
from card_victims import compared
from cards import Cards

HONEST = {"alice": "exchange,bob", "bob": "exchange,alice", "carol": "ping,dave", "dave": "echo,carol"}
FLOW = ("alice", "bob")
BROKEN = ("leaked", "spoofed", "duplicated", "reordered", "damaged")
LIMIT_S = 600
ROWS = {"round trip, p99, beside a hostile guest and 2 busy ones": ("us", "<= 1.5 x")}
ROW = next(iter(ROWS))


class Tally:
    """What became of the honest guests' frames, over all rounds."""

    def __init__(self):
        self.frames = self.attacks = 0      # beside the hostile guest
        self.lost = self.told = 0
        self.broken = dict.fromkeys(BROKEN, 0)
        self.faults = []

    def add(self, report, cards, attacked):
        if not all(report["guests"][guest]["finished"] for guest in FLOW):
            self.faults.append(f"the exchange did not end within {LIMIT_S} s")
        self.lost += sum(report["guests"][guest]["expected"] - report["guests"][guest]["received"] for guest in FLOW)
        for what in BROKEN:
            self.broken[what] += report["verdict"][what]
        self.told += sum(sum(cards.card(guest)["dropped"].values()) for guest in FLOW)
        if attacked:
            card = cards.card("mallory")
            self.attacks += card["sent"]["frames"] + sum(card["dropped"].values())
            self.frames += sum(report["guests"][guest]["received"] for guest in FLOW)

    def violations(self):
        """Sentences about what must not have happened."""
        found = [f"{count} frames were {what}" for what, count in self.broken.items() if count]
        if self.lost > self.told:
            found.append(f"{self.lost} frames were lost, of which the counters of drops tell {self.told} at most")
        return found + self.faults

    def text(self):
        return (f"hostile guest: {self.frames} numbered frames came beside {self.attacks} of its own; "
                + ", ".join(f"{count} {what}" for what, count in self.broken.items())
                + f", {self.lost} lost" + (f" (the receivers' counters tell of {self.told} drops)" if self.lost else ""))


def measure(build, frames, swapped, tally):
    """One round with so many numbered frames: {row: {"value": …, "alone": …, "note": …}}"""
    found = {}
    for role in sorted(("sink", "mallory,bob"), key=lambda role: (role != "sink") != swapped):
        with Cards(build) as cards:
            report = cards.run({**HONEST, "mallory": role}, LIMIT_S, -(-frames // len(FLOW)))
            tally.add(report, cards, role != "sink")
        found[role] = report
    return {ROW: compared("carol", found["mallory,bob"], found["sink"])}
