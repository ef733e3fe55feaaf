#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks the API for its status all the time, each time on a connection of its own, in a process of its own.

Commands come on stdin, one a line, each answered with a line of JSON on stdout:
    begin       forget the measurements
    report      {"answers", "p50_us", "max_us"} since begin
A daemon that is away is asked again until it answers: that is one long answer.
"""
import json
import select
import socket
import sys
import time

PAUSE_S = 0.003
STATUS = b"GET /v1/status HTTP/1.0\r\n\r\n"


def answered(path):
    """Did an answer come, whatever it says?"""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(120)
        try:
            client.connect(path)
            client.sendall(STATUS)
            first = client.recv(65536)
            while client.recv(65536):
                pass
        except OSError:
            return False
        return first.startswith(b"HTTP/")


def ask(path):
    """How long the answer took, in ns."""
    begin = time.monotonic_ns()
    while not answered(path):
        time.sleep(0.002)
    return time.monotonic_ns() - begin


def report(times):
    times = sorted(times) or [0]
    return {"answers": len(times), "p50_us": times[len(times) // 2] / 1000, "max_us": times[-1] / 1000}


def say(value):
    print(json.dumps(value), flush=True)


def main(path):
    times = []
    say({"ready": True})
    while True:
        if select.select([sys.stdin], [], [], PAUSE_S)[0]:
            command = sys.stdin.readline().strip()
            if not command:
                return
            # Between the last answer and the report there is always one that began in the slice.
            if command == "begin":
                times = []
            else:
                times.append(ask(path))
            say(report(times))
        else:
            times.append(ask(path))


if __name__ == "__main__":
    main(sys.argv[1])
