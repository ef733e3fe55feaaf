# SPDX-License-Identifier: GPL-2.0-or-later
"""The script that counts the tests counts right: nothing that went wrong is taken for a pass."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from check import cmocka, fuzzers, kinds, pytests, report, result as results, stages  # noqa: E402


def counted(stdout, result="OK", returncode=0):
    total = results.Result()
    cmocka.count_tap(total, "program", {"stdout": stdout, "stderr": "", "result": result, "returncode": returncode})
    return total.passed, len(total.failures), len(total.skips)


@pytest.mark.parametrize("stdout, result, expected", [
    ("1..2\nok 1 - a\nok 2 - b\n", "OK", (2, 0, 0)),
    ("1..1\nok 1 - a\n1..1\nok 1 - b\n", "OK", (2, 0, 0)),            # two groups in one program
    ("1..2\nok 1 - a\nnot ok 2 - b\n# why\n", "FAIL", (1, 1, 0)),
    ("1..2\nok 1 - a\nnot ok 2 # SKIP b\n", "OK", (1, 0, 1)),          # cmocka's way to say it
    ("1..3\nok 1 - a\n", "FAIL", (1, 1, 0)),                           # crashed in the second
    ("1..3\nok 1 - a\n", "OK", (1, 1, 0)),                             # ended too early, with status 0
    ("1..1\nok 1 - a\n", "FAIL", (1, 1, 0)),                           # a sanitizer spoke at the end
    ("1..1\nok 1 - a\n", "TIMEOUT", (1, 1, 0)),
    ("", "OK", (0, 1, 0)),                                             # no test in it
])
def test_cmocka_output(stdout, result, expected):
    assert counted(stdout, result, 0 if result == "OK" else 1) == expected


def outcome(*counts):
    """Exit status of check's report for stages with these (passed, failed, skipped)."""
    made = []
    for passed, failed, skipped in counts:
        stage = stages.Stage("s", None)
        stage.result = results.Result()
        stage.result.passed = passed
        stage.result.failures = [("f", "", "")] * failed
        stage.result.skips = [("s", "reason")] * skipped
        made.append(stage)
    return report.report(made)


def test_closing_line(capsys):
    assert outcome((2, 0, 0), (3, 0, 0)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "5 passed, 0 failed"
    assert outcome((2, 1, 0), (3, 0, 4)) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "5 passed, 1 failed, 4 skipped"
    assert outcome((0, 0, 0)) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 1 failed"
    assert outcome((0, 0, 3)) == 1  # all skipped proves nothing


def test_stage_after_failed_build_is_a_failure():
    broken = results.Result()
    broken.fail("build x")
    made = [stages.Stage("build x", lambda: broken), stages.Stage("unit x", results.Result, ["build x"])]
    stages.execute(made)
    assert len(made[1].result.failures) == 1


def test_exception_in_a_stage_is_a_failure():
    def explode():
        raise OSError("no such program")
    made = [stages.Stage("boom", explode)]
    stages.execute(made)
    assert len(made[0].result.failures) == 1


def test_every_folder_of_tests_is_run():
    folders = {path.parent.name for path in pathlib.Path(__file__).parents[1].glob("*/test_*")}
    assert folders - {"support"} <= set(kinds.KINDS)


# ---- the command that runs one test alone ----

def failed_alone(stdout):
    total = results.Result()
    record = {"stdout": stdout, "stderr": "", "result": "FAIL", "returncode": 1}
    cmocka.count_tap(total, "unit/gate (tsan)", record, cmocka.command_for("unit", "tsan", "unit/gate"))
    return [again for _, _, again in total.failures]


def test_cmocka_command():
    assert failed_alone("1..2\nok 1 - a\nnot ok 2 - test_limit\n") == [
        "VIADUCT_TEST=test_limit ./run check unit --build tsan -k unit/gate"]
    assert failed_alone("1..2\nok 1 - a\n") == ["./run check unit --build tsan -k unit/gate"]


def test_cmocka_reason_comes_first():
    total = results.Result()
    leaks = "\n".join(["leak"] * 100)
    cmocka.count_tap(total, "p", {"stdout": "1..2\nnot ok 1 - a\n# a > 0\n# a.c:3\nok 2 - b\n", "stderr": leaks,
                                  "result": "FAIL", "returncode": 1})
    assert total.failures[0][1].startswith("# a > 0\n# a.c:3\n")


@pytest.mark.parametrize("name, wanted", [
    ("test_a", "test_limits and test_a"),
    ("test_a[B22-file-3.5]", "test_limits and test_a[B22-file-3.5]"),
    ("test_a[two words]", "test_limits and test_a"),
])
def test_pytest_command(name, wanted):
    case = {"classname": "tests.wire.test_limits", "name": name}
    assert pytests.command_for("wire", case) == f"./run check wire -k '{wanted}'"


def test_fuzz_command():
    found = fuzzers.TOP / "build" / "fuzz" / "blk" / "crash-1"
    assert fuzzers.replay_command("blk", f"x\nTest unit written to {found}\n") == "./run fuzz blk build/fuzz/blk/crash-1"
    assert fuzzers.replay_command("blk", "timed out") == "./run check fuzz -k blk"


def test_failure_is_told_with_its_command(capsys):
    stage = stages.Stage("unit asan", None)
    stage.result = results.Result()
    stage.result.fail("unit/gate: a", "why", "./run check unit -k unit/gate")
    assert report.report([stage]) == 1
    assert "FAILED unit/gate: a\n    why\nalone: ./run check unit -k unit/gate\n" in capsys.readouterr().out


# ---- budgets ----

def test_plan_of_the_times_fits():
    today = sum(kinds.PLANNED_S.values()) / kinds.CORES
    assert today <= kinds.CHECK_S
    assert today + sum(kinds.LATER_S.values()) / kinds.CORES <= kinds.CHECK_LATER_S
    assert set(kinds.PLANNED_S) == {"build", *kinds.KINDS}


def test_times_are_told(capsys):
    one, two, other = stages.Stage("unit asan", None), stages.Stage("unit tsan", None), stages.Stage("tidy", None, (), 2)
    one.seconds, two.seconds, other.seconds = 10, kinds.PLANNED_S["unit"], 5
    report.tell_times([one, two, other])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[1:] == ["unit", str(kinds.PLANNED_S["unit"]), str(kinds.PLANNED_S["unit"] + 10),
                                    "more", "than", "planned"]
    assert lines[2].split()[1:] == ["tidy", str(kinds.PLANNED_S["tidy"]), "10"]


def test_sample_of_wire_exists():
    folder = pathlib.Path(__file__).parents[1] / "wire"
    assert kinds.QUICK_WIRE and all((folder / name).exists() for name in kinds.QUICK_WIRE)
