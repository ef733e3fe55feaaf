#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares Viaduct with the bare host and with qemu-storage-daemon, side by side on this machine.

Each round measures every engine of a case one after the other; what is printed is the median over the rounds, and
for ratios the median of the ratios within a round. The same load generator is the client of all.
"""
import argparse
import json
import os
import pathlib
import platform
import shutil
import sys
import tempfile

from backends import (BenchError, DISK_BYTES, backend_cpu, idle, load, make_disk, ring_cost, storage_daemon, viaduct,
                      warm_up)
from report import Samples, table, target_table, targets

# name: arguments of the load generator
CELLS = {
    "randread 4K QD1": ("--rw", "randread", "--bs", "4K", "--depth", "1"),
    "randread 4K QD32": ("--rw", "randread", "--bs", "4K", "--depth", "32"),
    "randwrite 4K QD1": ("--rw", "randwrite", "--bs", "4K", "--depth", "1"),
    "randwrite 4K QD32": ("--rw", "randwrite", "--bs", "4K", "--depth", "32"),
    "seqread 128K QD1": ("--rw", "seqread", "--bs", "128K", "--depth", "1"),
    "seqread 128K QD32": ("--rw", "seqread", "--bs", "128K", "--depth", "32"),
}
MODES = ("null", "cache", "direct")
HOST_MODE = {"null": "--null", "cache": "--buffered", "direct": "--direct"}
IDLE_GUESTS = (2, 64)
# Where nothing but the path itself is measured, the client that polls shows it best.
POLLED = ("null",)


def parse(arguments):
    parser = argparse.ArgumentParser(prog="run bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[1] / "build",
                        help="build folder (default: build)")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 0.3 s instead of 5 rounds of 1 s")
    parser.add_argument("--rounds", type=int, help="rounds")
    parser.add_argument("--seconds", type=float, help="measured seconds of each sample")
    parser.add_argument("--mode", action="append", choices=MODES, help="only this mode (may be repeated)")
    parser.add_argument("--poll-us", type=int, default=32, help="Viaduct's longest busy wait (default: %(default)s, as the daemon's)")
    parser.add_argument("--folder", type=pathlib.Path, help="where the test disk (1 GiB) lies (default: beside the build)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write every sample to FILE")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (0.3 if options.quick else 1.0)
    options.mode = options.mode or list(MODES)
    options.build = options.build.resolve()
    return options


def engine_arguments(mode, engine, backend, disk):
    if engine == "host":
        return ["--host", disk, HOST_MODE[mode]]
    # The driver asks for write-back caching everywhere: one back end has it from the start, the other not.
    return ["--socket", backend.socket, "--watch", backend.process.pid, "--write-back"]


def measure_round(options, samples, mode, backends, disk):
    for cell, arguments in CELLS.items():
        for client in ("event", "poll") if mode in POLLED else ("event",):
            for engine in ("host", "viaduct", "qsd"):
                if engine not in backends or (engine == "host" and client == "poll"):
                    continue
                words = [*engine_arguments(mode, engine, backends[engine], disk), *arguments, "--seconds", options.seconds]
                if client == "poll":
                    words.append("--poll")
                samples.add(mode, cell, client, engine, load(options.build, words))


def measure_mode(options, samples, mode, folder, disk):
    backends = {"host": None, "viaduct": viaduct(options.build, folder, mode, disk, options.poll_us)}
    peer = storage_daemon(folder, mode, disk)
    if peer:
        backends["qsd"] = peer
    try:
        for backend in backends.values():
            if backend:
                backend.start()
        if mode == "cache":
            warm_up(disk)
        for number in range(options.rounds):
            progress(f"{mode}: round {number + 1} of {options.rounds}")
            measure_round(options, samples, mode, backends, disk)
    finally:
        for backend in backends.values():
            if backend:
                backend.stop()


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="" if text else "\r", file=sys.stderr, flush=True)


def rows(options):
    return [(mode, cell, client) for mode in options.mode for cell in CELLS
            for client in (("event", "poll") if mode in POLLED else ("event",))]


def measure_idle(options, folder, guests):
    progress(f"idle daemon, {guests} guests")
    try:
        return idle(options.build, folder, 2.0 if options.quick else 5.0, guests)
    except BenchError as error:
        print(f"idle daemon: {error}", file=sys.stderr)
        return None


def describe(options):
    peer = "qemu-storage-daemon" if shutil.which("qemu-storage-daemon") else "qemu-storage-daemon is not installed"
    return (f"{platform.release()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.2f}; client on CPU 0, back ends on CPU "
            f"{backend_cpu()}; {peer}; Viaduct spins at most {options.poll_us} us; "
            f"median of {options.rounds} rounds of {options.seconds:g} s")


def main(arguments=None):
    options = parse(arguments)
    if not (options.build / "bench" / "viaduct-load").exists():
        print(f"run bench: {options.build} holds no viaduct-load: build first", file=sys.stderr)
        return 1
    samples = Samples()
    place = options.folder or options.build
    with tempfile.TemporaryDirectory(prefix="bench-", dir=place) as name:
        folder = pathlib.Path(name)
        disk = folder / "disk.raw"
        if set(options.mode) - {"null"}:
            progress(f"writing a disk of {DISK_BYTES >> 30} GiB")
            make_disk(disk)
        try:
            progress("ring code")
            ring = ring_cost(options.build)
            for mode in options.mode:
                measure_mode(options, samples, mode, folder, disk)
        except BenchError as error:
            progress("")
            print(f"run bench: {error}", file=sys.stderr)
            return 1
        idle_results = {guests: measure_idle(options, folder, guests) for guests in IDLE_GUESTS}
    progress("")
    goals = targets(samples, idle_results, ring)
    print(describe(options), table(samples, rows(options)), target_table(goals), sep="\n\n")
    if options.json:
        options.json.write_text(json.dumps({"host": describe(options), "samples": samples.as_json(), "idle": idle_results, "ring": ring,
                                            "targets": goals}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
