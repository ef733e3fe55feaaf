# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of ./run check.

The last line is `N passed, N failed` (`, N skipped` when there are any); the exit status is 0 only when nothing
failed and every runner that was asked ran at least one test. Logs are in build/check/logs.
"""
import argparse
import os
import shutil
import signal
import sys
import time

from check import fuzzers
from check.kinds import BUILDS, FUZZ_LONG_S, FUZZ_S, KINDS, LONG_ENVIRONMENT, QUICK_KINDS
from check.programs import LOGS, RUNNING
from check.report import report
from check.stages import execute, plan


def make_parser():
    parser = argparse.ArgumentParser(prog="./run check", description="Runs the tests, as CI does.")
    parser.add_argument("kinds", nargs="*", metavar="KIND",
                        help="one or more of: " + " ".join(KINDS) + "; or quick: " + " ".join(QUICK_KINDS) +
                        ", one build, a sample of wire")
    parser.add_argument("-k", dest="keyword", default="", help="only tests whose name holds this (pytest: its -k)")
    parser.add_argument("--long", action="store_true",
                        help="hundreds of kills and takeovers, long fuzzing, every guest kernel: hours")
    parser.add_argument("--build", choices=sorted(BUILDS), help="with KIND: cmocka programs in this build")
    parser.add_argument("--all-builds", action="store_true", help="with KIND: in every build, not only the first")
    parser.add_argument("--fuzz-seconds", type=int, metavar="N", help=f"time for each fuzz target (default {FUZZ_S})")
    parser.add_argument("--keep-corpus", action="store_true", help="keep what fuzzers find in build/fuzz")
    parser.add_argument("--replay", nargs="+", metavar=("TARGET", "FILE"), help=argparse.SUPPRESS)
    return parser


def parse(arguments):
    parser = make_parser()
    options = parser.parse_args(arguments)
    options.quick = options.kinds == ["quick"]
    if options.quick:
        options.kinds = list(QUICK_KINDS)
    for kind in options.kinds:
        if kind not in KINDS:
            parser.error(f"'{kind}' is no kind of test; there are: {' '.join(KINDS)}, and quick alone")
    if options.fuzz_seconds is None:
        options.fuzz_seconds = FUZZ_LONG_S if options.long else FUZZ_S
    return options


def main():
    options = parse(sys.argv[1:])
    if options.replay:
        LOGS.mkdir(parents=True, exist_ok=True)
        return fuzzers.replay(options.replay[0], options.replay[1:])
    if options.long:
        for name, value in LONG_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    started = time.monotonic()
    stages = plan(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        execute(stages)
    finally:
        for group in list(RUNNING):
            os.killpg(group, signal.SIGKILL)
    print(f"check: {time.monotonic() - started:.0f} s in all")
    return report(stages)
