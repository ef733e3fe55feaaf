#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares Viaduct's switch with OVS-DPDK, side by side on this machine.

Two virtio-user clients in one testpmd, on one core, send each other a fixed number of frames, which go round; the
switch has one worker on the other core. Each round starts every switch anew and measures all rows; printed are medians
over the rounds, and for ratios the median of the ratios within a round. Nothing fails for a figure. Then come streams
of emulated guests (guests.py), and latency, fairness and hostility (card_rows.py).
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "tests" / "guests"))

import card_rows  # noqa: E402
import guests  # noqa: E402
from switches import CLIENT_CPU, MACS, BenchError, OpenVswitch, Viaduct, cpu_seconds, have_client  # noqa: E402
from testpmd import Port, Testpmd  # noqa: E402

BURST = 32
# name: (frame size, frames in a burst, bursts of each port that go round, what is printed)
CLIENT_ROWS = {
    "64 B, two clients": (64, BURST, 4, "Mpps"),
    "1500 B, two clients": (1500, BURST, 4, "Mpps"),
    "64 B, one frame each way": (64, 1, 1, "us"),
}
TARGETS = {"64 B, two clients": 1.0, "1500 B, two clients": 1.2}


def parse(arguments):
    parser = argparse.ArgumentParser(prog="run bench-net", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=TOP / "build", help="build folder (default: build)")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 0.3 s instead of 5 rounds of 1 s")
    parser.add_argument("--rounds", type=int, help="starts of each switch")
    parser.add_argument("--seconds", type=float, help="measured seconds of each sample")
    parser.add_argument("--against", type=pathlib.Path, metavar="BUILD", help="another build of Viaduct as a peer")
    parser.add_argument("--no-ovs", action="store_true", help="without OVS-DPDK")
    parser.add_argument("--no-guests", action="store_true", help="without the streams of emulated guests")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write every sample to FILE")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (0.3 if options.quick else 1.0)
    return options


def ports(switch):
    return [Port(switch.socket(guest), MACS[guest], MACS[peer], server=switch.server)
            for guest, peer in (("alice", "bob"), ("bob", "alice"))]


def sample(switch, client, seconds):
    """Frames a second, and what both sides had of their CPUs."""
    pids = {"switch": switch.process.pid, "client": client.process.pid}
    before, used, since = client.received(), {side: cpu_seconds(pid) for side, pid in pids.items()}, time.monotonic()
    time.sleep(seconds)
    frames, passed = client.received() - before, time.monotonic() - since
    cpu = {side: (cpu_seconds(pid) - used[side]) / passed for side, pid in pids.items()}
    return {"rate": frames / passed, "cpu": cpu}


def empty(client):
    """Takes what still goes round, until no more comes."""
    client.forward("rxonly")
    client.start()
    before = -1
    while before != (before := client.received()):
        time.sleep(0.05)
    client.stop()
    client.forward("macswap")


def measure_clients(switch, seconds):
    """Every row of one start of a switch."""
    results = {}
    with Testpmd(ports(switch), cpus={CLIENT_CPU}) as client:
        client.command("port stop all")         # with server mode: reconnects with the switch's features
        client.command("port start all")
        for row, (size, burst, bursts, unit) in CLIENT_ROWS.items():
            client.set_size(size)
            client.command(f"set burst {burst}")
            client.start(bursts)
            client.wait(client.received, f"{switch.name}: frames")
            time.sleep(seconds / 4)
            result = sample(switch, client, seconds)
            if result["rate"] == 0:
                raise BenchError(f"{switch.name}, {row}: nothing goes round any more")
            # So many frames are on their way at any time: how long one of them takes follows (Little).
            result["value"] = result["rate"] / 1e6 if unit == "Mpps" else 2 * burst * bursts / result["rate"] * 1e6
            results[row] = result
            client.stop()
            empty(client)
        client.quit()
    return results


def measure_idle(switch, seconds):
    """Percent of a core with two clients that do nothing."""
    with Testpmd(ports(switch), cpus={CLIENT_CPU}) as client:
        time.sleep(0.5)
        before = cpu_seconds(switch.process.pid)
        time.sleep(seconds)
        used = cpu_seconds(switch.process.pid) - before
        client.quit()
    return 100 * used / seconds


def started(make, measure):
    with tempfile.TemporaryDirectory(prefix="viaduct-net-") as name:
        switch = make(pathlib.Path(name))
        try:
            switch.start()
            return measure(switch)
        finally:
            switch.stop()


def progress(text):
    print(text, file=sys.stderr, flush=True)


def measure(options, makers):
    """{switch: {row: [sample of each round]}}"""
    samples = {name: {row: [] for row in CLIENT_ROWS} for name in makers}
    for number in range(options.rounds):
        progress(f"round {number + 1} of {options.rounds}")
        for name in sorted(makers, reverse=number % 2 == 1):
            for row, result in started(makers[name], lambda switch: measure_clients(switch, options.seconds)).items():
                samples[name][row].append(result)
    return samples


def median(samples, of):
    return statistics.median(of(one) for one in samples)


def table(samples):
    peers = [name for name in samples if name != "viaduct"]
    lines = ["row | viaduct | its CPU | client's CPU | " + " | ".join(f"{peer} | ratio" for peer in peers) + " | target"]
    for row, (_, _, _, unit) in CLIENT_ROWS.items():
        own = samples["viaduct"][row]
        cells = [row, f"{median(own, lambda one: one['value']):.3g} {unit}",
                 *(f"{median(own, lambda one, side=side: one['cpu'][side]):.2f}" for side in ("switch", "client"))]
        for peer in peers:
            ratio = statistics.median(a["rate"] / b["rate"] for a, b in zip(own, samples[peer][row], strict=True))
            cells += [f"{median(samples[peer][row], lambda one: one['value']):.3g} {unit}", f"{ratio:.2f}"]
        lines.append(" | ".join([*cells, f">= {TARGETS[row]}" if row in TARGETS else ""]))
    return "\n".join(lines)


def main(arguments=None):
    options = parse(arguments)
    if not have_client():
        print("run bench-net: dpdk-testpmd is not installed (package dpdk-dev)", file=sys.stderr)
        return 1
    if os.cpu_count() < 2:
        print("run bench-net: needs two CPUs", file=sys.stderr)
        return 1
    makers = {"viaduct": lambda folder: Viaduct(folder, options.build.resolve())}
    if options.against:
        makers["other build"] = lambda folder: Viaduct(folder, options.against.resolve())
    reason = "not asked for" if options.no_ovs else OpenVswitch.missing()
    if not reason:
        makers["ovs-dpdk"] = OpenVswitch
    try:
        samples = measure(options, makers)
        idle = started(makers["viaduct"], lambda switch: measure_idle(switch, 5 * options.seconds))
    except BenchError as error:
        print(f"run bench-net: {error}", file=sys.stderr)
        return 1
    print(f"{platform.release()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.2f}; median of {options.rounds} starts, "
          f"{options.seconds:g} s each; OVS-DPDK: {reason or 'measured'}")
    print(table(samples))
    print(f"idle, two connected clients: {idle:.2f} % of a core (target < 0.5 %)")
    status, streams = (0, {}) if options.no_guests else guests.run(options)
    if options.json:
        options.json.write_text(json.dumps({"samples": samples, "idle_percent": idle, "guests": streams}, indent=1) + "\n")
    return card_rows.report(options, options.json and options.json.with_suffix(".cards.json")) or status


if __name__ == "__main__":
    sys.exit(main())
