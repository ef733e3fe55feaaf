#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An honest guest in a process of its own: verified reads and writes without end, one at a time.

Every sector written carries its number and generation; every read is compared with what was written. Commands come
on stdin, one a line, each answered with a line of JSON on stdout:
    begin       forget the measurements
    report      {"operations", "errors", "p50_us", "p99_us", "max_us", "noise_us", "verified", "reconnects"} since
                begin; noise_us is the p99 of how much later than asked the kernel woke this process between its
                requests: what the machine costs, without the daemon
    progress N  reports when N operations more are complete, or when there is an error
    hold        reports; no request is made until the next command
    quit        verifies every sector, reports, ends
A lost connection is an error unless --reconnect is given: then it goes on with its INFLIGHT record, and
a request that was in flight must still complete.
"""
import argparse
import json
import random
import select
import struct
import sys
import time

from blk import IN, OK, OUT, SECTOR
from frontend import FrontEnd, Setup
from patience import PATIENCE_S
from vhost_user import Closed

BLOCK_SECTORS = 8


class Victim:
    def __init__(self, arguments):
        self.arguments = arguments
        self.setup = Setup(packed=arguments.packed, inflight=arguments.reconnect, size=64,
                           event_idx=not arguments.no_event_idx)
        self.front = FrontEnd.start(arguments.socket, self.setup)
        self.disk = self.front.disk()
        self.random = random.Random(arguments.seed)
        self.generation = [0] * (arguments.sectors // BLOCK_SECTORS)
        self.errors, self.verified, self.reconnects = [], 0, 0
        self.begin()

    def begin(self):
        self.latencies, self.oversleeps = [], []

    def pattern(self, block, generation):
        """What block holds: its identity in every 16 bytes, so that a byte of anybody else's shows."""
        if generation == 0:
            return bytes(BLOCK_SECTORS * SECTOR)
        return struct.pack("<IIQ", self.arguments.seed, block, generation) * (BLOCK_SECTORS * SECTOR // 16)

    def step(self):
        """One request, timed and verified."""
        block = self.random.randrange(len(self.generation))
        write = self.random.random() < 0.5
        data = self.pattern(block, self.generation[block] + 1) if write else BLOCK_SECTORS * SECTOR
        start = time.monotonic_ns()
        status, got = self.complete(self.disk.submit(OUT if write else IN, block * BLOCK_SECTORS, data))
        self.latencies.append(time.monotonic_ns() - start)
        if status != OK:
            self.errors.append(f"block {block}: {'write' if write else 'read'} gave status {status}")
        elif write:
            self.generation[block] += 1
        else:
            self.verify(block, got)

    def verify(self, block, got):
        self.verified += 1
        if got != self.pattern(block, self.generation[block]):
            self.errors.append(f"block {block}: wrong bytes, expected generation {self.generation[block]}, "
                               f"starts {got[:16].hex()}")

    def complete(self, request):
        """Waits for the request, over as many connections as it takes."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.disk.queue.wait_for(lambda: request.chain in self.disk.queue.done, 0.05):
            if self.lost():
                if not self.arguments.reconnect:
                    raise Closed("the back end closed an honest guest's connection")
                self.front.reconnect()
                self.reconnects += 1
            if time.monotonic() > deadline:
                raise TimeoutError(f"a request did not complete within {PATIENCE_S:g} s")
        self.disk.queue.done.pop(request.chain)
        return self.disk.collect(request)

    def lost(self):
        """Has the back end closed the connection?"""
        sock = self.front.connection.sock
        return bool(select.select([sock], [], [], 0)[0]) and self.front.connection.wait_closed(0)

    def report(self):
        return {"operations": len(self.latencies), "errors": self.errors[:5], "p50_us": quantile(self.latencies, 0.5),
                "p99_us": quantile(self.latencies, 0.99), "max_us": quantile(self.latencies, 1),
                "noise_us": quantile(self.oversleeps, 0.99), "verified": self.verified,
                "reconnects": self.reconnects}

    def verify_all(self):
        for block in range(len(self.generation)):
            status, got = self.complete(self.disk.submit(IN, block * BLOCK_SECTORS, BLOCK_SECTORS * SECTOR))
            if status != OK:
                self.errors.append(f"block {block}: last read gave status {status}")
            else:
                self.verify(block, got)

    def try_step(self):
        try:
            self.step()
        except Exception as error:          # whatever goes wrong is a failure of the test, not of this loop
            self.errors.append(f"{type(error).__name__}: {error}")
            time.sleep(0.1)

    def progress(self, count):
        """Goes on without pauses."""
        goal = len(self.latencies) + count
        while len(self.latencies) < goal and not self.errors:
            self.try_step()

    def obey(self, command):
        """Returns whether requests go on: yes, not until the next command, or never again."""
        word, *numbers = command.split() or ["quit"]
        if word == "quit":
            self.verify_all()
        elif word == "begin":
            self.begin()
        elif word == "progress":
            self.progress(int(numbers[0]))
        answer(self.report())
        return {"hold": "later", "quit": "never"}.get(word, "yes")

    def run(self):
        answer({"ready": True})
        going = "yes"
        while going != "never":
            begin = time.monotonic_ns()
            commanded = select.select([sys.stdin], [], [], self.arguments.pause if going == "yes" else None)[0]
            if commanded:
                going = self.obey(sys.stdin.readline())
            else:
                self.oversleeps.append(time.monotonic_ns() - begin - int(self.arguments.pause * 1e9))
            if going == "yes":
                self.try_step()
        self.front.close()


def quantile(values_ns, fraction):
    """In microseconds; 0 when there are no values."""
    ordered = sorted(values_ns) or [0]
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))] / 1000


def answer(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("socket")
    parser.add_argument("--sectors", type=int, default=4096, help="how much of the disk is used")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=0.001, help="seconds between requests")
    parser.add_argument("--packed", action="store_true")
    parser.add_argument("--no-event-idx", action="store_true")
    parser.add_argument("--reconnect", action="store_true", help="survive a lost connection")
    Victim(parser.parse_args()).run()
