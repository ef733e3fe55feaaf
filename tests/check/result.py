# SPDX-License-Identifier: GPL-2.0-or-later
"""What a stage found."""


class Result:
    """Counts of one stage and what to tell about it."""

    def __init__(self):
        self.passed = 0
        self.failures = []  # (name, text, command that runs it alone)
        self.skips = []     # (name, reason)

    def fail(self, name, text="", again=""):
        self.failures.append((name, text, again))


def tail(text, lines=60):
    return "\n".join(text.splitlines()[-lines:])
