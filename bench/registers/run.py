#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures devices made of registers beside devices made of rings, and beside QEMU's own.

Plain clients: accesses to registers, 4 KiB reads by NVMe and by virtio-blk from the page cache, and what each takes of the
processor. Then what two guests get who flood one disk, and one uplink, the one by registers with a weight of 1, the other by
a ring with 3. Then emulated guests: 4 KiB reads by NVMe beside QEMU's own NVMe, and TCP by e1000e beside QEMU's own e1000e.

Each round measures everything of a part once; what is printed is the median over the rounds, and for ratios the median of the
ratios within a round. Nothing fails for a figure.
"""
import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(TOP / folder) for folder in ("bench", "bench/net", "tests/guests")]

import card_floods  # noqa: E402
import foreign  # noqa: E402
import guest_disks  # noqa: E402
import guests  # noqa: E402
import plain  # noqa: E402
import switches  # noqa: E402

# An emulated guest takes its time: a sample of its reads lasts so many times as long as one of plain clients.
GUEST_SAMPLES = 2
PARTS = ("plain", "shares", "guest-disks", "guest-cards")
# GuestError is an AssertionError.
FAILURES = (plain.BenchError, switches.BenchError, AssertionError, OSError, subprocess.SubprocessError, RuntimeError)


def parse(arguments):
    parser = argparse.ArgumentParser(prog="run bench-registers", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=TOP / "build", help="build folder (default: build)")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 0.3 s instead of 7 rounds of 1 s")
    parser.add_argument("--rounds", type=int, help="rounds; of starts of guests with network cards, at most 5")
    parser.add_argument("--seconds", type=float, help="measured seconds of each sample")
    parser.add_argument("--poll-us", type=int, default=32, help="the daemon's longest busy wait (default: 32, its own default)")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part (may be given several times)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write every sample to FILE")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.seconds = options.seconds or (0.3 if options.quick else 1.0)
    options.build = options.build.resolve()
    options.only = options.only or PARTS
    return options


def heading(text):
    print(f"\n== {text}\n", flush=True)


def plain_clients(options, folder):
    heading("plain clients, disks in the page cache")
    rounds, floods = plain.measure(options, folder)
    plain.report(rounds)
    heading("what a read costs by each interface")
    plain.report_costs(rounds)
    return {"rounds": rounds, "floods": floods}


def shares(options, disk_floods):
    heading("shares")
    plain.report_shares(disk_floods)
    card_rounds = card_floods.measure(options)
    card_floods.report(card_rounds)
    return card_rounds


def disks_of_guests(options):
    heading(f"4 KiB reads of a guest ({guest_disks.guest_image.accel()})")
    try:
        rounds = guest_disks.measure(options, options.seconds * GUEST_SAMPLES)
    except foreign.Unavailable as reason:
        print(f"left out: {reason}")
        return []
    guest_disks.report(rounds)
    return rounds


def cards_of_guests(options):
    heading("TCP of guests")
    options = argparse.Namespace(build=options.build, only=list(guests.REGISTER_CASES), rounds=min(options.rounds, 5),
                                 seconds=options.seconds)
    status, samples = guests.run(options)
    if status:
        raise plain.BenchError("TCP of guests was not measured")
    return samples


def measure(options):
    found = {}
    if "plain" in options.only or "shares" in options.only:
        with tempfile.TemporaryDirectory(prefix="viaduct-registers-") as folder:
            found["plain"] = plain_clients(options, folder)
    if "shares" in options.only:
        found["card floods"] = shares(options, found["plain"]["floods"])
    if "guest-disks" in options.only:
        found["guest disks"] = disks_of_guests(options)
    if "guest-cards" in options.only:
        found["guest cards"] = cards_of_guests(options)
    return found


def main(arguments):
    options = parse(arguments)
    if not (options.build / "bench/viaduct-registers").exists():
        print(f"run bench-registers: {options.build} holds no viaduct-registers: build first", file=sys.stderr)
        return 2
    print(f"{platform.release()}, {len(os.sched_getaffinity(0))} CPUs, load {os.getloadavg()[0]:.2f}; Viaduct spins at most "
          f"{options.poll_us} us; median of {options.rounds} rounds of {options.seconds:g} s")
    try:
        found = measure(options)
    except FAILURES as error:
        print(f"run bench-registers: {error}", file=sys.stderr)
        return 1
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
