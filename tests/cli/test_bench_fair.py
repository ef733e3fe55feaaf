# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark of sharing in time runs, and tells sharing from none."""
import json
import os
import pathlib
import subprocess

BUILD = pathlib.Path(os.environ.get("VIADUCT_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))


def fair(folder, *arguments):
    """Exit code, printed text and rows of a run with two guests."""
    rows = folder / "rows.json"
    done = subprocess.run([BUILD / "bench/viaduct-fair", "--quick", "--no-file", "--guests", "2", "--repeat", "3", "--json", rows, *arguments],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout, json.loads(rows.read_text())


def test_weights_with_and_without_sharing(tmp_path):
    # A third against two thirds, or half each (50 % off), whatever else the machine does: both are slowed down alike.
    _, text, (row,) = fair(tmp_path, "--only", "Q2")
    assert "Q2 weights 1:2:4:8" in text
    assert (row["experiment"], row["disk"], row["guests"]) == ("Q2", "simulated", 2)
    shared = row["measured"]
    assert shared < 10
    code, text, (row,) = fair(tmp_path, "--only", "Q2", "--off")
    assert code == 1
    assert "SHORT" in text
    assert row["measured"] > max(15, 2 * shared)


def test_unknown_experiment():
    done = subprocess.run([BUILD / "bench/viaduct-fair", "--only", "Q99", "--no-file"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "no such experiment" in done.stderr
