#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares a table of docs/tour.md with a trace (trace_read.c, trace_frame.c): the same functions, in the same order.

Counted is every function of the stages (interfaces, devices, arbiter, host) that is on the stack while the request is handed
on: to the event loop, or to one of the functions in `by_return`, which do their part of the way and return it. A new function
in between is on one of those stacks, so it cannot be left out.
"""
import collections
import pathlib
import re
import subprocess
import sys
import tempfile

Way = collections.namedtuple("Way", "heading by_return hands_min")
WAYS = {
    # The chain is found, the range is proven, the gate is asked, the answer is published. Handed to the loop: kick to
    # poller; request to kernel; answer to the end of the turn; call to the kernel.
    "read": Way("# Tour: one read request", ["chain_append", "disk_place", "gate_enter", "split_publish"], 4),
    # The chain is found, the frame is read, admitted, addressed and paid for, the buffer is filled, the answer is published.
    "frame": Way("## One frame, from guest to guest",
                 ["chain_single", "frame_of", "packet_parse_begin", "admit", "find_one", "gate_enter", "emit", "put_frame",
                  "split_publish"], 3),
}
NO_STAGE = ("src/core/", "tests/", "/usr/include/")
ROW = re.compile(r"^\| (\d+) \| `(\w+)` \| `([\w/.]+)` \|", re.M)


def trace(program):
    """Stacks as (kind, [address, …])."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([program, pathlib.Path(folder) / "disk"], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        sys.exit(f"the trace failed: {done.stderr.strip()}")
    return [(words[0], words[1:]) for words in map(str.split, done.stdout.splitlines())]


def names(program, stacks):
    """address -> (function, file), by addr2line."""
    addresses = sorted({address for _, stack in stacks for address in stack})
    done = subprocess.run(["addr2line", "-f", "-e", program, *addresses], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    found = {}
    for address, function, place in zip(addresses, lines[::2], lines[1::2]):
        path = re.search(r"(src/(interfaces|devices|arbiter|host|core)|tests|/usr/include)/[\w/.]+", place)
        if not path:
            sys.exit(f"where is {function}? At {place}")
        found[address] = (function, path.group(0))
    return found


def find_way(stacks, known, way):
    """The functions that hand the request on, in the order in which they begin."""
    named = [(kind, [known[address] for address in stack]) for kind, stack in stacks]
    counted = set()
    for kind, stack in named:
        if kind == "hand" or stack[-1][0] in way.by_return:
            counted.update(function for function in stack if not function[1].startswith(NO_STAGE))
    seen = [stack[-1][0] for kind, stack in named if kind == "enter"]
    missing = [name for name in way.by_return if name not in seen]
    hands = sum(kind == "hand" for kind, _ in named)
    if missing or hands < way.hands_min:
        sys.exit(f"the trace is not of this way: it lacks {missing or 'a hand'}")
    return list(dict.fromkeys(stack[-1] for kind, stack in named if kind == "enter" and stack[-1] in counted))


def main(name, program, tour):
    way, stacks = WAYS[name], trace(program)
    traced = find_way(stacks, names(program, stacks), way)
    # Up to the next heading.
    section = re.split(r"^#", pathlib.Path(tour).read_text(encoding="utf-8").split(way.heading + "\n")[1], maxsplit=1, flags=re.M)[0]
    told = [(function, path) for _, function, path in ROW.findall(section)]
    holds = traced == told
    print(f"1..1\n{'ok' if holds else 'not ok'} 1 - tour of a {name}: {len(traced)} functions in {len({path for _, path in traced})} files")
    if holds:
        return 0
    for number, (function, path) in enumerate(traced, 1):
        print(f"# {number:3} {function:20} {path}")
    print("# docs/tour.md tells another way; it lacks", [f for f, p in traced if (f, p) not in told], "and has too much:",
          [f for f, p in told if (f, p) not in traced])
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
