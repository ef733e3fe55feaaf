# SPDX-License-Identifier: GPL-2.0-or-later
"""cmocka programs, run by meson, counted by their TAP output."""
import json
import re
import subprocess

from check.kinds import CORES
from check.programs import build_folder, environment, run_logged
from check.result import Result, tail

TAP_LINE = re.compile(r"^(not )?ok\b ?(\d+)?(?: - )?(.*)$")


def diagnostics(output, case):
    """What cmocka says about a failed case: the comments after its line. A sanitizer's report would bury them."""
    lines = output[output.index(case):].splitlines()[1:]
    end = next((index for index, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "\n".join(lines[:end])


def count_tap(result, program, record, again=lambda case: ""):
    """Adds the test cases of one program's TAP output to the result. again(case): the command for one; None: for all."""
    output = record.get("stdout", "") or ""
    text = tail(output + "\n" + (record.get("stderr") or ""))
    planned = seen = failed = 0
    for line in output.splitlines():
        plan = re.match(r"^1\.\.(\d+)", line)
        if plan:
            planned += int(plan.group(1))
            continue
        case = TAP_LINE.match(line)
        if not case:
            continue
        seen += 1
        name = case.group(3).strip() or case.group(2)
        if "# SKIP" in line:
            result.skips.append((f"{program}: {name}", tail(record.get("stderr", "") or "no reason given", 1)))
        elif case.group(1):
            failed += 1
            result.fail(f"{program}: {name}", diagnostics(output, line) + "\n" + text, again(name))
        else:
            result.passed += 1
    ended_well = record["result"] in ("OK", "SKIP")
    if not ended_well and failed == 0:
        result.fail(f"{program}: {record['result']}, exit status {record['returncode']}", text, again(None))
    elif ended_well and (seen == 0 or seen != planned):
        result.fail(f"{program}: {seen} of {planned} test cases reported", text, again(None))


def programs(kind, build_name, keyword):
    """Names of a suite's programs: all, the one that the keyword is, or those that hold it."""
    listed = subprocess.run(["meson", "introspect", "--tests", build_folder(build_name)], env=environment(), check=True,
                            capture_output=True, text=True).stdout
    names = [test["name"] for test in json.loads(listed) if any(s.split(":")[-1] == kind for s in test["suite"])]
    if keyword in names:
        return [keyword]
    return [name for name in names if keyword in name]


def command_for(kind, build_name, program):
    """How one test function of a program, or the program, is run alone."""
    def again(case):
        chosen = f"VIADUCT_TEST={case} " if case else ""
        return f"{chosen}./run check {kind} --build {build_name} -k {program}"
    return again


def run(kind, build_name, keyword="", again=command_for):
    """Runs a suite, or what of it the keyword names, in one build."""
    result = Result()
    stage = f"{kind}-{build_name}"
    folder = build_folder(build_name)
    names = programs(kind, build_name, keyword)
    if not names:
        if not keyword:
            result.fail(f"{stage}: no test")
        return result
    # TSAN of this age knows the memory layout without randomisation only.
    prefix = ["setarch", "-R"] if build_name == "tsan" else []
    status, text = run_logged(stage, [*prefix, "meson", "test", "-C", folder, "--no-rebuild", "--suite", kind,
                                      "--num-processes", CORES, "-t", "3", "--logbase", stage, *names], 1200,
                              CMOCKA_MESSAGE_OUTPUT="TAP")
    records = folder / "meson-logs" / f"{stage}.json"
    if not records.exists():
        result.fail(f"{stage}: no test ran", tail(text))
        return result
    for line in records.read_text().splitlines():
        record = json.loads(line)
        name = record["name"].split(" / ")[-1]
        count_tap(result, f"{name} ({build_name})", record, again(kind, build_name, name))
    records.unlink()
    if status != 0 and not result.failures:
        result.fail(f"{stage}: meson test exited with {status}", tail(text))
    return result
