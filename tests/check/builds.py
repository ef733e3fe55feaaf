# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds: one folder beside build/ for each."""
import json
import os
import shutil
import subprocess

from check.kinds import BUILDS, CORES
from check.programs import build_folder, environment, run_logged
from check.result import Result, tail


def test_programs(folder):
    """What there is to build for the tests of a folder that is set up, as ninja names it."""
    listed = subprocess.run(["meson", "introspect", "--tests", folder], env=environment(), check=True, capture_output=True,
                            text=True).stdout
    return sorted({os.path.relpath(test["cmd"][0], folder) for test in json.loads(listed)})


def build(name):
    """Sets a build up and builds it. Only failures are counted: a build is no test."""
    result = Result()
    compiler, linker, options, tests_alone = BUILDS[name]
    folder = build_folder(name)
    recorded = folder / "check-options"
    wanted = json.dumps([compiler, linker, options])
    if folder.exists() and (not recorded.exists() or recorded.read_text() != wanted):
        shutil.rmtree(folder)
    if not (folder / "build.ninja").exists():
        status, text = run_logged(f"build-{name}", ["meson", "setup", folder, *options], 300,
                                   CC=compiler, CC_LD=linker)
        if status != 0:
            shutil.rmtree(folder, ignore_errors=True)
            result.fail(f"build {name}", tail(text))
            return result
        recorded.write_text(wanted)
    targets = test_programs(folder) if tests_alone else []
    status, text = run_logged(f"build-{name}", ["ninja", "-C", folder, f"-j{CORES}", *targets], 1200)
    if status != 0:
        # What ninja was doing at the same time comes before.
        result.fail(f"build {name}", tail(text[max(0, text.find("FAILED:")):]))
    return result
