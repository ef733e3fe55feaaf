# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark of hostile guests runs every kind of row, and says what it measured. The figures are its own to judge."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("VIADUCT_BUILD", TOP / "build")).resolve()
PROGRAM = TOP / "bench/hostile/run.py"
# Rows that need no minute: the successor's takes as long as a takeover may. Of the wire tests' attacks, some of each kind.
STUCK = ("E1", "E5", "E10", "punch")
OTHERS = ("A1", "B17", "C1", "storm-tiny", "storm-kicks", "migrated", "D4", "D11", "takeover", "messages", "tables", "E6",
          "E7", "E8", "discard", "api-slow", "api-connects", "api-requests", "api-leaves")


def bench(*arguments):
    return subprocess.run([sys.executable, PROGRAM, "--build", BUILD, *arguments], capture_output=True, text=True, timeout=600,
                          check=False)


def rows_of(folder, *names):
    """What was printed, and what --json keeps, of the shortest run."""
    out = folder / "rows.json"
    done = bench("--quick", "--rounds", "1", "--seconds", "0.05", "--json", out, *(f"--only={name}" for name in names))
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert result["failures"] == []
    assert sorted(row["row"] for row in result["rows"]) == sorted(names)
    for row in result["rows"]:
        assert f"\n{row['row']} " in done.stdout
        assert row["rounds"][0]["actions"] > 0
        for side in ("polite", "hostile"):
            measured = row["rounds"][0][side]
            assert measured["operations"] > 0 and measured["errors"] == []
            assert measured["max_us"] > 0 and measured["api_max_us"] > 0
    return done.stdout, result


def test_rows(tmp_path):
    text, result = rows_of(tmp_path, *OTHERS)
    assert result["ends"] == [] and "ends, while" not in text


def test_rows_with_ends(tmp_path):
    text, result = rows_of(tmp_path, *STUCK)
    assert [row["row"] for row in result["ends"]] == list(STUCK)
    assert all(row["term_s"] > 0 and row["start_s"] > 0 for row in result["ends"])
    assert "ends, while the attack goes on" in text


def test_list_names_every_row_once():
    names = [line.split()[0] for line in bench("--list").stdout.splitlines()]
    assert {*STUCK, *OTHERS, "successor"} <= set(names)
    assert len(set(names)) == len(names)


def test_no_such_row():
    done = bench("--only", "Z99")
    assert done.returncode != 0 and "no such row: Z99" in done.stderr


@pytest.mark.parametrize("pause_us, api_us, expected", [
    (24000, 100000, []), (26000, 100000, ["pause"]), (24000, 201000, ["API"]), (26000, 201000, ["pause", "API"])])
def test_targets(monkeypatch, pause_us, api_us, expected):
    """20 ms more than beside a polite guest, and 0.2 s, in the worst of the rounds."""
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    import table
    quiet = {"max_us": 5000, "api_max_us": 900000}
    rounds = [{"polite": quiet, "hostile": {"max_us": 1000, "api_max_us": 1000}},
              {"polite": quiet, "hostile": {"max_us": pause_us, "api_max_us": api_us}}]
    assert table.short({"rounds": rounds, "limits": {"pause_ms": 20, "api_ms": 200}}) == expected
