#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures a seat with guests and a VNC viewer on this machine, and compares it with QEMU's own VNC server.

Guests are a program of ours that plays VMMs with QEMU's D-Bus display (viaduct-seat-bench), as an emulated guest
cannot draw fast; but for the comparison, where two QEMUs run the same guest, which fills its screen all the time. The
same program is the viewer of all. Each round measures everything once; what is printed is the median over the rounds,
and for ratios the median of the ratios within a round. Nothing fails for a figure.
"""
import argparse
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile

import drawing_guest
from seats import TOP, Bench, BenchError, Cpu, Seat, screen_for

sys.path.append(str(TOP / "bench"))

from report import align, number, target_table  # noqa: E402

# One guest whose window is as large as the reach says; or two beside each other, which fill a screen of that size.
PICTURE, SCREEN, HALF = (1280, 800), (1280, 800), (634, 751)
# More often than a seat draws: each of its pictures shows something new.
ALWAYS, STEADY = "frames,75", "frames,60"
ENCODINGS = ("raw", "ZRLE")


def parse(arguments):
    parser = argparse.ArgumentParser(prog="run bench-seat", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=TOP / "build", help="build folder (default: build)")
    parser.add_argument("--quick", action="store_true", help="1 round of 2 s instead of 5 rounds of 4 s")
    parser.add_argument("--rounds", type=int, help="starts of everything")
    parser.add_argument("--seconds", type=float, help="measured seconds of each sample")
    parser.add_argument("--no-qemu", action="store_true", help="without the comparison with QEMU's VNC server")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write every sample to FILE")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (2.0 if options.quick else 4.0)
    options.build = options.build.resolve()
    return options


# ---- samples ----

def seat_sample(options, size, roles, *, zrle=False, keys=False):
    """What a viewer saw of guests in their roles, and what the daemon and its processes cost meanwhile."""
    with tempfile.TemporaryDirectory(prefix="viaduct-seat-") as folder, \
            Seat(pathlib.Path(folder), options.build, size, list(roles)) as seat, \
            Bench(options.build, seat.door, lambda: [seat.corner(guest, role[:2]) for guest, role in roles.items()], roles=roles,
                  sockets=seat.socket, zrle=zrle, keys=keys) as bench:
        return bench.sample(options.seconds, lambda: Cpu([seat.process.pid]))


def one(options, role, **more):
    return seat_sample(options, screen_for(*PICTURE), {"alice": (*PICTURE, role)}, **more)


def two(options, alice, bob, **more):
    return seat_sample(options, SCREEN, {"alice": (*HALF, alice), "bob": (*HALF, bob)}, **more)


def drawing_sample(options, pids, door, watches, zrle):
    """Of a QEMU's guest that draws, but for the time of the guest itself."""
    with Bench(options.build, door, watches, zrle=zrle) as bench:
        return bench.sample(options.seconds, lambda: Cpu(pids, drawing_guest.GUEST_THREAD), warm_up=1.0)


def viaduct_sample(options, zrle):
    with tempfile.TemporaryDirectory(prefix="viaduct-seat-") as name:
        folder = pathlib.Path(name)
        with Seat(folder, options.build, screen_for(*PICTURE), ["alice"]) as seat, \
                drawing_guest.on_seat(folder, seat.socket("alice")) as guest:
            return drawing_sample(options, [seat.process.pid, guest.process.pid], seat.door,
                                  lambda: [seat.corner("alice", PICTURE)], zrle)


def qemu_sample(options, zrle):
    with tempfile.TemporaryDirectory(prefix="viaduct-seat-") as name:
        folder = pathlib.Path(name)
        with drawing_guest.on_vnc(folder, folder / "vnc") as guest:
            return drawing_sample(options, [guest.process.pid], folder / "vnc", lambda: [(PICTURE[0] - 1, PICTURE[1] - 1)], zrle)


SAMPLES = {
    "keys": lambda options: one(options, "still", keys=True),
    "flushes, raw": lambda options: one(options, "pulse"),
    "flushes, ZRLE": lambda options: one(options, "pulse", zrle=True),
    "two guests, raw": lambda options: two(options, ALWAYS, ALWAYS),
    "two guests, ZRLE": lambda options: two(options, ALWAYS, ALWAYS, zrle=True),
    "cursor": lambda options: one(options, "blink,2"),
    "idle": lambda options: one(options, "still"),
    "alone": lambda options: two(options, STEADY, "still"),
    "beside a storm": lambda options: two(options, STEADY, "storm"),
}
QEMU_SAMPLES = {
    "Viaduct, raw": lambda options: viaduct_sample(options, False),
    "QEMU, raw": lambda options: qemu_sample(options, False),
    "Viaduct, ZRLE": lambda options: viaduct_sample(options, True),
    "QEMU, ZRLE": lambda options: qemu_sample(options, True),
}


def measure(options, makers):
    """{name: [sample of each round]}"""
    samples = {name: [] for name in makers}
    for index in range(options.rounds):
        print(f"round {index + 1} of {options.rounds}", file=sys.stderr, flush=True)
        for name in list(makers)[::-1] if index % 2 else makers:
            samples[name].append(makers[name](options))
    return samples


# ---- figures ----

def rate(sample, watch=0):
    return sample["watches"][watch]["frames"] / sample["seconds"]


def slower(sample):
    """The frames a second of the guest that has fewer."""
    return min(rate(sample, watch) for watch in range(len(sample["watches"])))


def latency_ms(sample, figure):
    """Of keys, or else of flushes; None: none was seen."""
    found = sample["keys"] if sample["keys"]["count"] else sample["watches"][0]["latency"]
    return found[figure] / 1000 if found["count"] else None


def cpu(sample):
    return sample["cpu_percent"]


def cpu_ms(sample):
    """Of each frame of any guest; None: there was none."""
    frames = sum(rate(sample, watch) for watch in range(len(sample["watches"])))
    return 10 * cpu(sample) / frames if frames else None


def median(samples, of):
    values = [value for value in map(of, samples) if value is not None]
    return statistics.median(values) if values else None


def ratio(own, other, of):
    """As it is printed: what differs by less is the same."""
    found = median(zip(own, other, strict=True), lambda pair: of(pair[0]) / of(pair[1]) if of(pair[0]) and of(pair[1]) else None)
    return None if found is None else round(found, 2)


def targets(samples):
    """Lines of report.target_table()."""
    lines = []

    def target(case, value, reach, at_least=False):
        reached = None if value is None else (value >= reach if at_least else value <= reach)
        lines.append({"case": case, "value": value, "reach": reach, "at_least": at_least, "reached": reached})

    for figure, reach in ("p50", 1.0), ("p99", 5.0):
        target(f"key at the viewer to the VMM, {figure} ms", median(samples["keys"], lambda one, f=figure: latency_ms(one, f"{f}_us")), reach)
    for encoding in ENCODINGS:
        target(f"flush of 1280x800 to pixels at the viewer, p50 ms, {encoding}",
               median(samples[f"flushes, {encoding}"], lambda one: latency_ms(one, "p50_us")), 16.0)
    for encoding in ENCODINGS:
        target(f"frames a second, each of two guests of 634x751, {encoding}", median(samples[f"two guests, {encoding}"], slower), 60.0,
               True)
    target("CPU, one guest with a blinking cursor, % of a core", median(samples["cursor"], cpu), 1.0)
    target("CPU, idle seat with a viewer, % of a core", median(samples["idle"], cpu), 0.2)
    target("frame rate beside a storm of flushes, of that alone", ratio(samples["beside a storm"], samples["alone"], rate), 0.95, True)
    if "QEMU, raw" in samples:
        for encoding in ENCODINGS:
            pair = samples[f"Viaduct, {encoding}"], samples[f"QEMU, {encoding}"]
            target(f"frame rate against QEMU's VNC server, {encoding}", ratio(*pair, rate), 1.0, True)
            target(f"CPU of a frame against QEMU's VNC server, {encoding}", ratio(*pair, cpu_ms), 1.0)
    return lines


def table(samples):
    """What is behind the ratios: medians of frames, CPU and bytes."""
    lines = [["sample", "", "", "frames/s", "the other's", "CPU %", "CPU ms/frame", "MB/s"]]
    for name, found in samples.items():
        other = median(found, lambda one: rate(one, 1)) if len(found[0]["watches"]) > 1 else None
        lines.append([name, "", "", f"{median(found, rate):.1f}", number(other, 1), f"{median(found, cpu):.2f}",
                      number(median(found, cpu_ms)), f"{median(found, lambda one: one['bytes'] / one['seconds']) / 1e6:.1f}"])
    return align(lines)


def describe(options, reason):
    return (f"{platform.release()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.2f}; median of {options.rounds} rounds of "
            f"{options.seconds:g} s; QEMU's VNC server: {reason or 'measured; CPU is without that of the guest itself'}")


def main(arguments=None):
    options = parse(arguments)
    if not (options.build / "bench/viaduct-seat-bench").exists():
        print(f"run bench-seat: {options.build} holds no viaduct-seat-bench: build first", file=sys.stderr)
        return 1
    reason = "not asked for" if options.no_qemu else "" if shutil.which(drawing_guest.QEMU) else f"{drawing_guest.QEMU} is not installed"
    try:
        samples = measure(options, SAMPLES | ({} if reason else QEMU_SAMPLES))
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        print(f"run bench-seat: {error}", file=sys.stderr)
        return 1
    goals = targets(samples)
    print(describe(options, reason), table(samples), target_table(goals), sep="\n\n")
    if options.json:
        options.json.write_text(json.dumps({"samples": samples, "targets": goals}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
