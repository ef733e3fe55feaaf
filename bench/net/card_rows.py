#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Latency, fairness and hostility of the switch, with guests of our own on its cards.

Each round starts viaductd anew for each row, with one worker on CPU 0 and all guests on CPU 1. Printed are medians over the
rounds, and for ratios (beside : alone) the medians of the rounds' ratios. Nothing fails for a figure; a frame that was leaked,
spoofed, duplicated, reordered or damaged, or lost without being counted, fails.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import sys

import card_attack
import card_shares
import card_victims
from switches import BenchError

TOP = pathlib.Path(__file__).resolve().parents[2]
ROWS = {**card_victims.ROWS, **card_shares.ROWS, **card_attack.ROWS}
FRAMES, QUICK_FRAMES = 10_000_000, 100_000


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=TOP / "build", help="build folder (default: build)")
    parser.add_argument("--quick", action="store_true", help=f"2 rounds of 0.2 s and {QUICK_FRAMES} numbered frames")
    parser.add_argument("--rounds", type=int, help="starts of each row")
    parser.add_argument("--seconds", type=float, help="measured seconds of each sample")
    parser.add_argument("--frames", type=int, help=f"numbered frames beside the hostile guest (default: {FRAMES})")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write every sample to FILE")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (0.2 if options.quick else 1.0)
    return options


def measure(options, frames):
    """({row: [sample of each round]}, tally of the hostile guest)"""
    build, samples, tally = options.build.resolve(), {row: [] for row in ROWS}, card_attack.Tally()
    for number in range(options.rounds):
        print(f"cards: round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
        swapped = number % 2 == 1
        for row, sample in {**card_victims.measure(build, options.seconds, swapped),
                            **card_shares.measure(build, options.seconds),
                            **card_attack.measure(build, -(-frames // options.rounds), swapped, tally)}.items():
            samples[row].append(sample)
    return samples, tally


def line_of(row, samples):
    unit, target = ROWS[row]
    cells = [row, f"{statistics.median(one['value'] for one in samples):.3g} {unit}", "", ""]
    pairs = [(one["value"], one["alone"]) for one in samples if one.get("alone")]
    if pairs:
        cells[2] = f"{statistics.median(alone for _, alone in pairs):.3g} {unit}"
        cells[3] = f"{statistics.median(value / alone for value, alone in pairs):.2f}"
    # Of the round that the median is of, or nearly so.
    middle = sorted(samples, key=lambda one: one["value"])[len(samples) // 2]
    return " | ".join([*cells, middle.get("note", ""), target])


def table(samples):
    return "\n".join(["row | measured | alone | ratio | in one of the rounds | target", *(line_of(row, samples[row]) for row in ROWS)])


def report(options, json_file, frames=None):
    """Measures and prints; the exit code of a program. `options` are those of parse(), or of run.py."""
    try:
        samples, tally = measure(options, frames or (QUICK_FRAMES if options.quick else FRAMES))
    except BenchError as error:
        print(f"run bench-net: {error}", file=sys.stderr)
        return 1
    print(f"guests of our own, {platform.release()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.2f}; "
          f"median of {options.rounds} rounds, {options.seconds:g} s each")
    print(table(samples))
    print(tally.text())
    violations = tally.violations()
    for text in violations:
        print(f"run bench-net: {text}", file=sys.stderr)
    if json_file:
        json_file.write_text(json.dumps({"samples": samples, "attack": vars(tally), "violations": violations}, indent=1) + "\n")
    return 1 if violations else 0


def main(arguments=None):
    options = parse(arguments)
    return report(options, options.json, options.frames)


if __name__ == "__main__":
    sys.exit(main())
