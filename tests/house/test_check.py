# SPDX-License-Identifier: GPL-2.0-or-later
"""The script that counts the tests counts right: nothing that went wrong is taken for a pass."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import check  # noqa: E402


def counted(stdout, result="OK", returncode=0):
    total = check.Result()
    check.count_tap(total, "program", {"stdout": stdout, "stderr": "", "result": result, "returncode": returncode})
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


def outcome(*stages):
    """Exit status of check's report for stages with these (passed, failed, skipped)."""
    made = []
    for passed, failed, skipped in stages:
        stage = check.Stage("s", None)
        stage.result = check.Result()
        stage.result.passed = passed
        stage.result.failures = [("f", "")] * failed
        stage.result.skips = [("s", "reason")] * skipped
        made.append(stage)
    return check.report(made)


def test_closing_line(capsys):
    assert outcome((2, 0, 0), (3, 0, 0)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "5 passed, 0 failed"
    assert outcome((2, 1, 0), (3, 0, 4)) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "5 passed, 1 failed, 4 skipped"
    assert outcome((0, 0, 0)) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 1 failed"
    assert outcome((0, 0, 3)) == 1  # all skipped proves nothing


def test_stage_after_failed_build_is_a_failure():
    broken = check.Result()
    broken.fail("build x")
    stages = [check.Stage("build x", lambda: broken), check.Stage("unit x", check.Result, ["build x"])]
    check.execute(stages)
    assert len(stages[1].result.failures) == 1


def test_exception_in_a_stage_is_a_failure():
    def explode():
        raise OSError("no such program")
    stages = [check.Stage("boom", explode)]
    check.execute(stages)
    assert len(stages[0].result.failures) == 1


def test_every_folder_of_tests_is_run():
    folders = {path.parent.name for path in pathlib.Path(check.__file__).parent.glob("*/test_*")}
    assert folders - {"support"} <= set(check.KINDS)
