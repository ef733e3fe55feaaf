#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures how long an honest guest waits beside each row of hostile inputs (docs/threat-model.md).

The honest guest, the victim, reads and writes all the time. Each round has a slice in which a hostile guest attacks, and a
slice in which a polite guest does the same without the attack; what is printed are medians over the rounds, and for
ratios (hostile : polite) the medians of the rounds' ratios. Nothing fails for a figure.
"""
import argparse
import contextlib
import json
import os
import pathlib
import platform
import statistics
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "tests" / "wire"))

FIGURES = {"p50": "p50_us", "p99": "p99_us", "longest": "max_us", "machine": "noise_us"}


def parse(arguments):
    parser = argparse.ArgumentParser(prog="run bench-hostile", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=TOP / "build", help="build folder (default: build)")
    parser.add_argument("--only", action="append", metavar="ROW", help="only this row, as A1 (may be repeated)")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 0.3 s slices instead of 7 of 0.5 s")
    parser.add_argument("--list", action="store_true", help="print the rows")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write every slice to FILE")
    options = parser.parse_args(arguments)
    options.rounds, options.seconds = (3, 0.3) if options.quick else (7, 0.5)
    return options


def measured(row, slice_of):
    """Runs one slice; returns what slice_of() returned and the victim's report."""
    victim = row.scene.victim
    victim.ask("begin")
    result = slice_of()
    # The request that is in flight when the slice ends belongs to it.
    return result, victim.progress(1)


def measure_round(row, seconds, number, actions):
    """Both slices, each time in the other order. `actions`: of the round before."""
    polite = None
    if number % 2 == 1:
        polite = measured(row, lambda: row.polite(seconds, actions))[1]
    actions, hostile = measured(row, lambda: row.hostile(seconds))
    if polite is None:
        polite = measured(row, lambda: row.polite(seconds, actions))[1]
    return {"actions": actions, "hostile": hostile, "polite": polite}


def measure(row, options):
    rounds, actions = [], 1
    with row.prepared():
        for number in range(options.rounds):
            rounds.append(measure_round(row, options.seconds, number, actions))
            actions = rounds[-1]["actions"]
        return {"row": row.name, "title": row.title, "rounds": rounds, "note": row.note()}


# ---- what is printed ----

def median(rounds, side, field):
    return statistics.median(each[side][field] for each in rounds)


def ratio(rounds, field):
    ratios = [each["hostile"][field] / each["polite"][field] for each in rounds if each["polite"][field] > 0]
    return statistics.median(ratios) if ratios else float("nan")


def line_of(result):
    rounds = result["rounds"]
    words = [result["row"], result["title"], str(sum(each["actions"] for each in rounds))]
    words += [f"{ratio(rounds, field):.2f}" for field in FIGURES.values()]
    for side in ("polite", "hostile"):
        words.append(" / ".join(f"{median(rounds, side, field):.0f}" for field in ("p50_us", "p99_us", "max_us")))
    return words + [result["note"]]


def table(results):
    header = ["row", "what", "attacks", "p50 x", "p99 x", "longest x", "machine x", "polite p50/p99/longest us",
              "hostile p50/p99/longest us", ""]
    lines = [header, *map(line_of, results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip() for line in lines)


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


def measure_all(rows, options):
    """(results, sentences about rows that could not run)"""
    results, failures = [], []
    for row in rows:
        progress(f"{row.name} {row.title}")
        try:
            results.append(measure(row, options))
        except Exception as error:          # the next row has a daemon of its own then
            failures.append(f"{row.name}: {type(error).__name__}: {error}")
            row.scene.close()
    progress("")
    return results, failures


def main(arguments=None):
    options = parse(arguments)
    os.environ["VIADUCT_BUILD"] = str(options.build.resolve())
    if not (options.build / "src/daemon/viaductd").exists():
        sys.exit(f"run bench-hostile: {options.build} holds no viaductd: build first")
    import attacks                          # needs the build's name
    with contextlib.ExitStack() as stack:
        rows = choose(attacks.all_rows(stack), options)
        if options.list:
            print("\n".join(f"{row.name:<12}{row.title}" for row in rows))
            return 0
        results, failures = measure_all(rows, options)
    if results:
        print(describe(options), table(results), sep="\n\n")
    if options.json:
        options.json.write_text(json.dumps({"host": describe(options), "rows": results, "failures": failures}, indent=1) + "\n")
    for failure in failures:
        print(f"run bench-hostile: could not run {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
