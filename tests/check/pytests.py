# SPDX-License-Identifier: GPL-2.0-or-later
"""Folders of Python tests."""
import re
import sys
import xml.etree.ElementTree

from check.kinds import PYTEST_KINDS
from check.programs import LOGS, build_folder, run_logged
from check.result import Result, tail


def command_for(kind, case):
    """How one test is run alone. pytest's -k knows no spaces or quotes: then all values of its parameters are run."""
    module, name = case.get("classname").split(".")[-1], case.get("name")
    if not re.fullmatch(r"[\w:+.\[\]/-]+", name):
        name = name.split("[")[0]
    return f"./run check {kind} -k '{module} and {name}'"


def count_case(result, kind, case):
    name = f"{case.get('classname')}.{case.get('name')}"
    bad = [child for child in case if child.tag in ("failure", "error")]
    skipped = case.find("skipped")
    if bad:
        result.fail(name, tail("\n".join((child.text or child.get("message") or "") for child in bad)),
                    command_for(kind, case))
    elif skipped is not None:
        result.skips.append((name, skipped.get("message") or "no reason given"))
    else:
        result.passed += 1


def run(kind, arguments=(), files=(), timeout=2400):
    """Runs one folder of Python tests, or some files of it."""
    result = Result()
    build_name, _ = PYTEST_KINDS[kind]
    report = LOGS / f"{kind}.xml"
    report.unlink(missing_ok=True)
    extra = {"VIADUCT_BUILD": str(build_folder(build_name))} if build_name else {}
    where = [f"tests/{kind}/{name}" for name in files] or [f"tests/{kind}"]
    status, text = run_logged(kind, [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *where,
                                     f"--junitxml={report}", *arguments], timeout, PYTHONDONTWRITEBYTECODE="1", **extra)
    if not report.exists():
        result.fail(f"{kind}: pytest exited with {status}", tail(text), f"./run check {kind}")
        return result
    for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        count_case(result, kind, case)
    if status == 5 and not arguments:
        result.fail(f"{kind}: no test ran")
    elif status not in (0, 5) and not result.failures:
        result.fail(f"{kind}: pytest exited with {status}", tail(text), f"./run check {kind}")
    return result
