#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""TCP between an emulated guest and its host, or another guest: Viaduct beside QEMU's own network cards and passt.

Each round starts every way anew, one at a time, and measures a stream in each direction; the guest connects. Printed
are medians over the rounds, and for ratios the median of the ratios within a round. Nothing fails for a figure.
"""
import argparse
import collections
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import guest_paths as paths
from switches import BenchError, cpu_seconds

TOP = pathlib.Path(__file__).resolve().parents[2]
WARM_UP_S = 0.5
# What the guest is told to do: it sends, or it receives.
DIRECTIONS = {"push": "guest to host", "pull": "host to guest"}
# A stream lasts so many times as long as a sample of frames: an emulated guest is slow to get going.
STREAM_SAMPLES = 3
# GuestError is an AssertionError.
FAILURES = (BenchError, AssertionError, OSError, subprocess.SubprocessError)


@dataclasses.dataclass
class Case:
    """What is compared: a way of Viaduct's, with others and what the ratio should be at least (None: only shown)."""
    title: str
    own: type
    peers: dict
    directions: dict = dataclasses.field(default_factory=lambda: DIRECTIONS)


CASES = {
    "tap": Case("tap", paths.ViaductTap, {paths.QemuTap: 1.0}),
    "user": Case("user", paths.ViaductUser, {paths.QemuUser: 1.5, paths.Passt: 1.0}),
    "jumbo": Case("user, MTU 65520", paths.ViaductUserJumbo, {paths.PasstJumbo: None}),
    "guests": Case("two guests", paths.ViaductGuests, {paths.ViaductTap: 1.0},
                   {"push": "alice to bob", "pull": "bob to alice"}),
}
# Those of ./run bench-registers.
REGISTER_CASES = {"e1000e": Case("e1000e, tap", paths.ViaductE1000e, {paths.QemuE1000e: 1.0, paths.ViaductTapNewer: None})}
ALL_CASES = CASES | REGISTER_CASES


def ways_of(cases):
    """Every way once, Viaduct's first."""
    return list(dict.fromkeys([ALL_CASES[name].own for name in cases] + [peer for name in cases for peer in ALL_CASES[name].peers]))


# ---- measuring ----

def stream(path, direction, seconds):
    """Bits a second as the receiver counts them, and the CPUs that the processes had meanwhile."""
    path.caller.begin(f"viaduct-stream {direction} {path.address} {paths.PORT} {int(WARM_UP_S * 1000)} {int(seconds * 1000)}")
    time.sleep(WARM_UP_S)
    used, since = {name: cpu_seconds(pid) for name, pid in path.processes.items()}, time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - since
    cpu = {name: (cpu_seconds(pid) - used[name]) / passed for name, pid in path.processes.items()}
    status, output = path.caller.finish()
    if status != 0:
        raise BenchError(f"{path.name}, {direction}: {output}")
    count, nanoseconds = map(int, output.split())
    back_end = cpu.pop(paths.BACK_END, 0.0)
    return {"gbits": count * 8 / nanoseconds, "back_end_cpu": back_end, "qemu_cpu": sum(cpu.values())}


def measure_way(way, host, seconds):
    """{direction: sample} of one start."""
    with tempfile.TemporaryDirectory(prefix="viaduct-net-") as folder, way(host, pathlib.Path(folder)) as path:
        return {direction: stream(path, direction, seconds) for direction in DIRECTIONS}


def one_round(ways, host, seconds, samples, reasons):
    for way in ways:
        if way in reasons:
            continue
        try:
            result = measure_way(way, host, seconds)
        except FAILURES as error:
            if issubclass(way, paths.ViaductPath):
                raise BenchError(f"{way.name}: {error}") from error
            reasons[way] = f"it does not work here: {str(error).strip().splitlines()[0]}"
            continue
        for direction, sample in result.items():
            samples[way][direction].append(sample)


def measure_on(host, options, samples, reasons):
    ways = ways_of(options.only)
    reasons |= {way: way.missing() for way in ways if way.missing()}
    for number in range(options.rounds):
        print(f"guests: round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
        one_round(ways[::-1] if number % 2 else ways, host, options.seconds * STREAM_SAMPLES, samples, reasons)


def measure(options):
    """Samples by way and direction, and a reason for each way that has none. `options`: only, build, rounds, seconds."""
    samples = collections.defaultdict(lambda: collections.defaultdict(list))
    reasons = {}
    with tempfile.TemporaryDirectory(prefix="viaduct-net-") as folder, \
            paths.Host(pathlib.Path(folder), options.build.resolve()) as host:
        measure_on(host, options, samples, reasons)
    return samples, reasons


# ---- telling ----

def median(samples, key):
    return statistics.median(sample[key] for sample in samples)


def figures(samples):
    return (f"{median(samples, 'gbits'):.2f} Gbit/s | "
            f"{median(samples, 'back_end_cpu'):.2f} + {median(samples, 'qemu_cpu'):.2f}")


def ratio(own, peer):
    return statistics.median(a["gbits"] / b["gbits"] for a, b in zip(own, peer, strict=True))


def case_rows(case, samples, reasons):
    """A line for each direction and peer."""
    for direction, title in case.directions.items():
        own = samples[case.own][direction]
        for peer, target in case.peers.items():
            if case.own in reasons or peer in reasons:
                continue
            other = samples[peer][direction]
            yield " | ".join([f"{case.title}, {title}", figures(own), peer.name, figures(other), f"{ratio(own, other):.2f}",
                              f">= {target}" if target else ""])


def report(options, samples, reasons):
    lines = [f"TCP of guests ({paths.guest_image.accel()}), load {os.getloadavg()[0]:.2f}; median of {options.rounds} starts, "
             f"{options.seconds * STREAM_SAMPLES:g} s each",
             "row | viaduct | its CPU + QEMU's | beside | | its CPU + QEMU's | ratio | target"]
    for name in options.only:
        lines += case_rows(ALL_CASES[name], samples, reasons)
    return "\n".join(lines + [f"left out: {way.name}: {reason}" for way, reason in reasons.items()])


def rows_of(samples):
    """What --json writes."""
    return {way.name: {direction: list(found) for direction, found in rows.items()} for way, rows in samples.items()}


def run(options):
    """The benchmark's part with guests, printed. Returns the exit status and every sample."""
    if not hasattr(options, "only"):
        options.only = list(CASES)
    try:
        samples, reasons = measure(options)
    except paths.Unable as reason:
        print(f"TCP of guests: left out: {reason}")
        return 0, {}
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        print(f"run bench-net: guests: {error}", file=sys.stderr)
        return 1, {}
    print(report(options, samples, reasons))
    return 0, rows_of(samples)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=TOP / "build", help="build folder (default: build)")
    parser.add_argument("--only", action="append", choices=ALL_CASES, help="this case (may be given several times)")
    parser.add_argument("--rounds", type=int, default=5, help="starts of each way")
    parser.add_argument("--seconds", type=float, default=1.0, help=f"a stream lasts {STREAM_SAMPLES} times as long")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write every sample to FILE")
    options = parser.parse_args(arguments)
    options.only = options.only or list(CASES)
    return options


def main(arguments=None):
    options = parse(arguments)
    status, rows = run(options)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
