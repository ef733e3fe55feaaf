# SPDX-License-Identifier: GPL-2.0-or-later
"""Commits say where, what and why; and the rule catches those that do not."""
import pathlib
import subprocess

import pytest

import commits

TOP = pathlib.Path(__file__).resolve().parents[2]


def test_history():
    found, reason = commits.commits_since(TOP)
    if found is None:
        pytest.skip(reason)
    assert commits.violations(found) == []


@pytest.mark.parametrize("subject, body, count", [
    ("gate: let one in", "Two were too many.", 0),
    ("tests, run: ask for what is needed", "Because.\n\nSigned-off-by: a@b", 0),
    ("interfaces/virtio: read an index once", "It changed in between.", 0),
    ("Gate: let one in", "Two were too many.", 1),
    ("let one in", "Two were too many.", 1),
    ("Merge branch 'x' of y", "", 2),
    ("gate: let one in", "", 1),
    ("gate: let one in", "Signed-off-by: a@b\n", 1),
    ("gate: " + "x" * 67, "Two were too many.", 1),
    ("gate: " + "x" * 66, "Two were too many.", 0),
])
def test_samples(subject, body, count):
    assert len(commits.violations([("1234567", subject, body)])) == count


def make_commit(folder, subject, body=""):
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m",
                    f"{subject}\n\n{body}"], cwd=folder, check=True)
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_history_is_read(tmp_path):
    assert commits.commits_since(tmp_path) == (None, "no git history here")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    first = make_commit(tmp_path, "whatever")
    assert commits.commits_since(tmp_path)[0] is None
    make_commit(tmp_path, "gate: let one in", "Two were\n\ntoo many.")
    make_commit(tmp_path, "wip")
    found, _ = commits.commits_since(tmp_path, first)
    assert [(subject, body) for _, subject, body in found] == [("wip", ""), ("gate: let one in", "Two were\n\ntoo many.")]
    assert len(commits.violations(found)) == 2
