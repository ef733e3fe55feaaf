# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark of sharing in time runs, and its exit code, its text and its rows agree. The figures are its own to judge."""
import json
import os
import pathlib
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("VIADUCT_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))


def fair(folder, *arguments):
    """Exit code, printed text and rows of a run with two guests."""
    rows = folder / "rows.json"
    done = subprocess.run([BUILD / "bench/viaduct-fair", "--quick", "--no-file", "--guests", "2", "--json", rows, *arguments],
                          capture_output=True, text=True, timeout=600, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout, json.loads(rows.read_text())


@pytest.mark.parametrize("arguments", [(), ("--off",)], ids=["sharing", "off"])
def test_weights(tmp_path, arguments):
    code, text, (row,) = fair(tmp_path, "--only", "Q2", *arguments)
    assert "Q2 weights 1:2:4:8" in text
    assert (row["experiment"], row["disk"], row["guests"]) == ("Q2", "simulated", 2)
    assert row["measured"] >= 0
    short = row["measured"] > row["target"]
    assert ("SHORT" in text) == short and code == int(short), text


def test_unknown_experiment():
    done = subprocess.run([BUILD / "bench/viaduct-fair", "--only", "Q99", "--no-file"],
                          capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 2
    assert "no such experiment" in done.stderr
