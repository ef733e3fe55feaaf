# SPDX-License-Identifier: GPL-2.0-or-later
"""Plain clients (viaduct-registers) on disks of one daemon: accesses to registers, 4 KiB reads and what they cost, floods.

The floor is a ping-pong between two processes over a UNIX socket, on the same cores.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "bench"))

from backends import CLIENT_CPU, backend_cpu  # noqa: E402
from report import align, number  # noqa: E402

DISK_BYTES = 64 << 20
START_SECONDS = 20
ROWS = ("ping-pong", "load", "posted store", "nvme 4K QD1", "virtio 4K QD1", "nvme 4K QD32", "virtio 4K QD32")
LOAD_REACH = 1.2
# The same read by each interface: what it is called, and the client's row of it at each depth.
INTERFACES = {"system call (pread of the host's file)": "pread", "virtio-blk over vhost-user": "virtio",
              "NVMe over vfio-user, doorbells in memory": "nvme", "NVMe over vfio-user, each doorbell rung": "nvme rung"}
COSTS = {"p50 us": ("p50_us", 1), "daemon, CPU us": ("daemon_us", 2), "client, CPU us": ("client_us", 2),
         "instructions": ("instructions", 0), "accesses or kicks": ("notices", 2), "daemon slept": ("wakes", 2),
         "client notified": ("interrupts", 2)}
# Of the disk that both flood: the page cache is no bottleneck, so that there is less of it for both together.
SHARED_IOPS = 2000
WEIGHTS = {"nvme": 100, "virtio": 300}
SHARE_REACH = 0.05
FLOOD_RISE_SECONDS = 0.5


class BenchError(Exception):
    """Something could not be measured; the text says what."""


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
        for model, weight in WEIGHTS.items():
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
        command = [self.options.build / "bench/viaduct-registers", *arguments, "--seconds", self.options.seconds]
        return subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, {CLIENT_CPU}))

    def sample(self):
        return said(self.client("--nvme", self.socket("nvme"), "--virtio", self.socket("virtio"), "--file", self.folder / "nvme",
                                "--peer-cpu", backend_cpu(), "--watch", self.process.pid))

    def flood(self):
        """What each of two guests gets while both want all."""
        begin = time.monotonic() + FLOOD_RISE_SECONDS
        clients = {model: self.client("--flood-from", begin, f"--{model}", self.socket(model, model)) for model in WEIGHTS}
        return {model: said(client)[f"{model} 4K QD32"]["per_second"] for model, client in clients.items()}


def said(client):
    out, err = client.communicate()
    if client.returncode != 0:
        raise BenchError(err.strip())
    return json.loads(out)


def measure(options, folder):
    """(samples, floods), one of each a round."""
    with Daemon(options, folder) as daemon:
        return [daemon.sample() for _ in range(options.rounds)], [daemon.flood() for _ in range(options.rounds)]


# ---- telling ----

def median(rounds, row, field):
    return statistics.median(one[row][field] for one in rounds)


def ratio(rounds, row, other, field):
    return statistics.median(one[row][field] / one[other][field] for one in rounds)


def judged(text, value, reach, at_least):
    """A line of a figure with its goal."""
    reached = value >= reach if at_least else value <= reach
    return f"{text}: {value:.2f}, {'>=' if at_least else '<='} {reach} wanted: {'reached' if reached else 'SHORT'}"


def table(rounds, rows):
    lines = [["case", "", "", "p50 us", "p99 us", "thousands a second"]]
    for row in rows:
        times = [number(median(rounds, row, field)) if median(rounds, row, field) else "-" for field in ("p50_us", "p99_us")]
        lines.append([row, "", "", *times, number(median(rounds, row, "per_second") / 1000, 1)])
    return align(lines)


def report(rounds):
    print(table(rounds, ROWS))
    print("\n" + judged("a load, p50 against a ping-pong", ratio(rounds, "load", "ping-pong", "p50_us"), LOAD_REACH, False))
    for depth in ("QD1", "QD32"):
        print(f"NVMe against virtio, 4 KiB reads a second at {depth}: "
              f"{ratio(rounds, f'nvme 4K {depth}', f'virtio 4K {depth}', 'per_second'):.2f}")


def report_costs(rounds):
    """A row for each interface and depth; "-": nothing of the kind, or not to be counted on this machine."""
    lines = [["a read of 4 KiB", "depth", "", *COSTS]]
    for title, row in INTERFACES.items():
        for depth in ("QD1", "QD32"):
            name = f"{row} 4K {depth}"
            if name in rounds[0]:
                lines.append([title, depth[2:], "", *(number(median(rounds, name, field), digits) if field in rounds[0][name] else "-"
                                                      for field, digits in COSTS.values())])
    print("Of each read, on the average; instructions are the daemon's in user space"
          + ("." if "instructions" in rounds[0]["nvme 4K QD1"] else ", which this machine does not count."))
    print(align(lines))


def report_shares(floods):
    """Each guest's part of all, against the part of its weight."""
    rate = statistics.median(sum(one.values()) for one in floods)
    print_share("disk", "NVMe", "virtio-blk", WEIGHTS["nvme"], WEIGHTS["virtio"], floods, "nvme", f"{rate:.0f} requests a second")


def print_share(device, one, other, weight, other_weight, floods, key, amount):
    part = statistics.median(flood[key] / sum(flood.values()) for flood in floods)
    wanted = weight / (weight + other_weight)
    print(f"{one} with a weight of {weight} beside {other} with {other_weight}, both floods of one {device}: {part:.1%} of {amount}, "
          f"{wanted:.0%} wanted: {'reached' if abs(part - wanted) <= SHARE_REACH * wanted else 'SHORT'}")
