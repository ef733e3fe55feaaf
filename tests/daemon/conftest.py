# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures for tests of the daemon as a program. The process and the front end are those of tests/wire."""
import pathlib
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "wire"), str(TESTS / "support")]

from daemon import Daemon  # noqa: E402


def basic(folder):
    """One pool, one declared guest with a disk."""
    return {
        "pool main": {"path": folder / "main.pool", "size": "64M"},
        "guest alice": {},
        "disk alice/root": {"pool": "main", "size": "8M"},
    }


@pytest.fixture
def make_daemon(tmp_path):
    """make_daemon(sections) starts one; all end with exit code 0."""
    made = []

    def make(sections=None, start=True, **options):
        instance = Daemon(sections or basic(tmp_path), tmp_path, **options)
        made.append(instance)
        return instance.start() if start else instance

    yield make
    for instance in made:
        instance.finish()


@pytest.fixture
def daemon(make_daemon):
    return make_daemon()
