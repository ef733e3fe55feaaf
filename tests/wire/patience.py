# SPDX-License-Identifier: GPL-2.0-or-later
"""How tests wait: for the event itself, with a deadline that only a hang reaches.

No verdict depends on how fast the machine is. What must be compared in time is measured by a benchmark.
"""
import time

PATIENCE_S = 120.0
LOOK_AGAIN_S = 0.002
# How long a test watches that nothing happens. On a machine that is slower than this a defect may stay unseen, but no
# test fails.
NOTHING_S = 0.02


def wait_until(holds, what):
    """Returns the first true value of holds(). `what` says which event never came: a text, or a function that makes it."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        value = holds()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE_S:g} s: {what() if callable(what) else what}")
        time.sleep(LOOK_AGAIN_S)


def watch_nothing():
    """A moment in which something forbidden would happen."""
    time.sleep(NOTHING_S)
