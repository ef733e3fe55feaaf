#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures what accesses to registers cost a plain client of vfio-user, and 4 KiB reads by NVMe and by virtio-blk.

Both disks are files of one daemon, in the page cache. The floor is a ping-pong between two processes over a UNIX
socket, on the same cores. Each round measures everything once; what is printed is the median over the rounds, and for ratios the median
of the ratios within a round. At its end two guests flood one physical disk, one by NVMe with a weight of 1, one by virtio-blk with 3.
Nothing fails for a figure.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "bench"))

from backends import CLIENT_CPU, backend_cpu  # noqa: E402
from report import align, number  # noqa: E402

DISK_BYTES = 64 << 20
START_SECONDS = 20
ROWS = ("ping-pong", "load", "posted store", "nvme 4K QD1", "virtio 4K QD1", "nvme 4K QD32", "virtio 4K QD32")
LOAD_REACH = 1.2
# Of the disk that both flood: the page cache is no bottleneck, so that there is less of it for both together.
SHARED_IOPS = 2000
SHARED_WEIGHTS = {"nvme": 100, "virtio": 300}
SHARE_REACH = 0.05
FLOOD_RISE_SECONDS = 0.5


class BenchError(Exception):
    """Something could not be measured; the text says what."""


def parse(arguments):
    parser = argparse.ArgumentParser(prog="run bench-registers", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=TOP / "build", help="build folder (default: build)")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 0.3 s instead of 7 rounds of 1 s")
    parser.add_argument("--rounds", type=int, help="rounds")
    parser.add_argument("--seconds", type=float, help="measured seconds of each sample")
    parser.add_argument("--poll-us", type=int, default=32, help="the daemon's longest busy wait (default: 32, its own default)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write every sample to FILE")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.seconds = options.seconds or (0.3 if options.quick else 1.0)
    options.build = options.build.resolve()
    return options


class Daemon:
    """viaductd with a disk of each model."""

    def __init__(self, options, folder):
        self.options, self.folder, self.process = options, pathlib.Path(folder), None

    def socket(self, model, guest="bench"):
        return self.folder / "run" / guest / f"disk-{model}.sock"

    def __enter__(self):
        sections = ["[daemon]", f"state_dir = {self.folder}/state", f"poll_us = {self.options.poll_us}", "[guest bench]"]
        for model in ("nvme", "virtio"):
            path = self.folder / model
            path.write_bytes(os.urandom(DISK_BYTES))
            sections += [f"[disk bench/{model}]", f"path = {path}", "cache = buffered", f"model = {model}",
                         "capacity_iops = 1000000", "capacity_bandwidth = 8G"]
        sections += ["[pool shared]", f"path = {self.folder}/shared", "size = 256M", "cache = buffered",
                     "capacity_iops = 1000000", "capacity_bandwidth = 8G", "[group both]", f"disk_max_iops = {SHARED_IOPS}"]
        for model, weight in SHARED_WEIGHTS.items():
            sections += [f"[guest {model}]", "group = both", f"[disk {model}/{model}]", "pool = shared", "size = 64M",
                         f"model = {model}", f"weight = {weight}"]
        config = self.folder / "viaduct.conf"
        config.write_text("\n".join(sections) + "\n")
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen([self.options.build / "src/daemon/viaductd", "--config", config, "--runtime-dir",
                                             self.folder / "run"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=lambda: os.sched_setaffinity(0, {backend_cpu()}))
        deadline = time.monotonic() + START_SECONDS
        while not (self.socket("nvme").exists() and self.socket("virtio").exists()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"viaductd does not start: {(self.folder / 'log').read_text(errors='replace')}")
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def client(self, *arguments):
        return subprocess.Popen([self.options.build / "bench/viaduct-registers", *arguments, "--seconds", str(self.options.seconds)],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                preexec_fn=lambda: os.sched_setaffinity(0, {CLIENT_CPU}))

    def sample(self):
        return said(self.client("--nvme", self.socket("nvme"), "--virtio", self.socket("virtio"), "--peer-cpu", str(backend_cpu())))

    def flood(self):
        """What each of two guests gets while both want all."""
        begin = str(time.monotonic() + FLOOD_RISE_SECONDS)
        clients = {model: self.client("--flood-from", begin, f"--{model}", self.socket(model, model)) for model in SHARED_WEIGHTS}
        return {model: said(client)[f"{model} 4K QD32"]["per_second"] for model, client in clients.items()}


def said(client):
    out, err = client.communicate()
    if client.returncode != 0:
        raise BenchError(err.strip())
    return json.loads(out)


def median(rounds, row, field):
    return statistics.median(one[row][field] for one in rounds)


def ratio(rounds, row, other, field):
    return statistics.median(one[row][field] / one[other][field] for one in rounds)


def report_shares(floods):
    """Each guest's part of all, against the part of its weight."""
    nvme, all_weights = SHARED_WEIGHTS["nvme"], sum(SHARED_WEIGHTS.values())
    part = statistics.median(one["nvme"] / sum(one.values()) for one in floods)
    rate = statistics.median(sum(one.values()) for one in floods)
    wanted = nvme / all_weights
    print(f"NVMe with a weight of {nvme} beside virtio with {SHARED_WEIGHTS['virtio']}, both floods of one disk: {part:.1%} of "
          f"{rate:.0f} requests a second, {wanted:.0%} wanted: {'reached' if abs(part - wanted) <= SHARE_REACH * wanted else 'SHORT'}")


def report(options, rounds):
    print(f"{platform.release()}, {len(os.sched_getaffinity(0))} CPUs, load {os.getloadavg()[0]:.2f}; Viaduct spins at most "
          f"{options.poll_us} us; median of {options.rounds} rounds of {options.seconds:g} s\n")
    lines = [["case", "", "", "p50 us", "p99 us", "thousands a second"]]
    for row in ROWS:
        times = [number(median(rounds, row, field)) if median(rounds, row, field) else "-" for field in ("p50_us", "p99_us")]
        lines.append([row, "", "", *times, number(median(rounds, row, "per_second") / 1000, 1)])
    print(align(lines))
    load = ratio(rounds, "load", "ping-pong", "p50_us")
    print(f"\na load, p50 against a ping-pong: {load:.2f}, <= {LOAD_REACH} wanted: {'reached' if load <= LOAD_REACH else 'SHORT'}")
    for depth in ("QD1", "QD32"):
        print(f"NVMe against virtio, 4 KiB reads a second at {depth}: "
              f"{ratio(rounds, f'nvme 4K {depth}', f'virtio 4K {depth}', 'per_second'):.2f}")


def main(arguments):
    options = parse(arguments)
    if not (options.build / "bench/viaduct-registers").exists():
        print(f"run bench-registers: {options.build} holds no viaduct-registers: build first", file=sys.stderr)
        return 2
    try:
        with tempfile.TemporaryDirectory(prefix="viaduct-registers-") as folder, Daemon(options, folder) as daemon:
            rounds = [daemon.sample() for _ in range(options.rounds)]
            floods = [daemon.flood() for _ in range(options.rounds)]
    except BenchError as error:
        print(f"run bench-registers: {error}", file=sys.stderr)
        return 1
    report(options, rounds)
    report_shares(floods)
    if options.json:
        options.json.write_text(json.dumps({"rounds": rounds, "floods": floods}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
