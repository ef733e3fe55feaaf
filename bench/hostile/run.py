#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures how long an honest guest waits beside each row of hostile inputs (docs/threat-model.md).

The honest guest, the victim, reads and writes all the time, and a client asks the API. Each round has a slice in which a
hostile guest attacks, and a slice in which a polite guest does the same without the attack. Printed are medians over
the rounds, and for ratios (hostile : polite) the medians of the rounds' ratios. "pause" is the victim's longest wait in all
hostile slices (in all polite ones), "API" the longest answer. Targets: a pause of 20 ms beyond the polite one, an answer
in 0.2 s; a row that is short of one is measured twice more, and the middle one counts. Of rows with descriptors that the
kernel waits for, it is measured too how long the daemon takes to end on SIGTERM (2 s), and from kill -9 until the victim is
served by the next (1 s), while the attack goes on. Nothing fails for a figure.
"""
import argparse
import contextlib
import json
import os
import pathlib
import platform
import sys
import time

import table

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "tests" / "wire"))
# Where much is short, as on a machine that does other things, rows of the last minutes are measured once.
AGAIN_S = 540


def parse(arguments):
    parser = argparse.ArgumentParser(prog="run bench-hostile", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=TOP / "build", help="build folder (default: build)")
    parser.add_argument("--only", action="append", metavar="ROW", help="only this row, as A1 (may be repeated)")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 0.3 s slices instead of 5 of 0.5 s, none again")
    parser.add_argument("--rounds", type=int, metavar="N", help="so many rounds")
    parser.add_argument("--seconds", type=float, metavar="S", help="slices of S seconds")
    parser.add_argument("--list", action="store_true", help="print the rows")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write every slice to FILE")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (0.3 if options.quick else 0.5)
    options.again_until = time.monotonic() + (0 if options.quick else AGAIN_S)
    return options


def measured(row, slice_of):
    """Runs one slice; returns what slice_of() returned and the victim's report, with what the API's client saw."""
    victim, asker = row.scene.victim, row.scene.asker
    asker.ask("begin")
    victim.ask("begin")
    result = slice_of()
    # The request that is in flight when the slice ends belongs to it.
    report = victim.progress(1)
    return result, {**report, "api_max_us": asker.ask("report")["max_us"]}


def measure_round(row, seconds, number, actions):
    """Both slices, each time in the other order. `actions`: of the round before."""
    polite = None
    if number % 2 == 1:
        polite = measured(row, lambda: row.polite(seconds, actions))[1]
    actions, hostile = measured(row, lambda: row.hostile(seconds))
    if polite is None:
        polite = measured(row, lambda: row.polite(seconds, actions))[1]
    return {"actions": actions, "hostile": hostile, "polite": polite}


def measure_once(row, options):
    rounds, actions = [], 1
    with row.prepared():
        for number in range(min(options.rounds, row.rounds_max)):
            rounds.append(measure_round(row, options.seconds, number, actions))
            actions = rounds[-1]["actions"]
        return {"row": row.name, "title": row.title, "rounds": rounds, "note": row.note(),
                "limits": {"pause_ms": row.pause_ms, "api_ms": row.api_ms}}


def measure(row, options):
    results = [measure_once(row, options)]
    if table.short(results[0]) and time.monotonic() < options.again_until:
        results += [measure_once(row, options) for _ in range(2)]
    return table.middle(results)


def describe(options):
    return (f"{platform.release()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.2f}; {options.rounds} rounds, slices of "
            f"{options.seconds:g} s; machine x: how much later a sleeping process was woken")


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def choose(rows, options):
    unknown = set(options.only or ()) - {row.name for row in rows}
    if unknown:
        sys.exit(f"run bench-hostile: no such row: {' '.join(sorted(unknown))} (see --list)")
    return [row for row in rows if not options.only or row.name in options.only]


def measure_all(rows, measure_row, failures):
    """Results; sentences about rows that could not run are added to `failures`."""
    results = []
    for row, following in zip(rows, [*rows[1:], None]):
        progress(f"{row.name} {row.title}")
        try:
            results.append(measure_row(row))
            # Its honest guest goes on all the time, and is not to disturb others.
            if not following or following.scene is not row.scene:
                row.scene.close()
        except Exception as error:          # the next row has a daemon of its own then
            failures.append(f"{row.name}: {type(error).__name__}: {error}")
            with contextlib.suppress(AssertionError):
                row.scene.close()
    progress("")
    return results


def main(arguments=None):
    options = parse(arguments)
    os.environ["VIADUCT_BUILD"] = str(options.build.resolve())
    if not (options.build / "src/daemon/viaductd").exists():
        sys.exit(f"run bench-hostile: {options.build} holds no viaductd: build first")
    import catalogue                        # both need the build's name
    import ends
    failures = []
    with contextlib.ExitStack() as stack:
        rows, ended = catalogue.catalogue(stack)
        rows = choose(rows, options)
        if options.list:
            print("\n".join(f"{row.name:<14}{row.title}" for row in rows))
            return 0
        host = describe(options)
        results = measure_all(rows, lambda row: measure(row, options), failures)
        of_ends = measure_all([row for row in rows if row.ends], lambda row: ends.measure(row, ended), failures)
    if results:
        print(host, table.waits(results), sep="\n\n")
    if of_ends:
        print("", "ends, while the attack goes on:", table.of_ends(of_ends), sep="\n")
    if options.json:
        options.json.write_text(json.dumps({"host": host, "rows": results, "ends": of_ends, "failures": failures}, indent=1) + "\n")
    for failure in failures:
        print(f"run bench-hostile: could not run {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
