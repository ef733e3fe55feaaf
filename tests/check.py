#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs every test there is, as CI does: builds, cmocka programs, pytest, fuzzers, clang-tidy.

Stages run two at a time where they do not disturb each other. The last line is `N passed, N failed`
(`, N skipped` when there are any); the exit status is 0 only when nothing failed and every runner that
was asked ran at least one test. Logs are in build/check/logs.
"""
import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree

TOP = pathlib.Path(__file__).resolve().parents[1]
LOGS = TOP / "build" / "check" / "logs"

# name: (compiler, meson options). The TSAN build is for programs with threads, see MESON_KINDS.
BUILDS = {
    "asan": ("gcc", ["--buildtype=debug", "-Db_sanitize=address,undefined"]),
    "release": ("gcc", ["--buildtype=release"]),
    "clang": ("clang-14", ["--buildtype=debugoptimized"]),
    # gcc warns that it does not see fences; acquire and release it does see.
    "tsan": ("gcc", ["--buildtype=debugoptimized", "-Db_sanitize=thread", "-Dc_args=-Wno-tsan"]),
    "fuzz": ("clang-14", ["--buildtype=debugoptimized", "-Db_sanitize=address,undefined", "-Db_lundef=false",
                          "-Dfuzzers=true", "-Dtests=true", "-Dc_args=-fsanitize=fuzzer-no-link"]),
}
# Kinds of cmocka programs (meson suites), and the builds each runs in.
MESON_KINDS = {
    "unit": ["asan", "release", "clang", "tsan"],
    "model": ["asan", "release"],
    "crash": ["asan", "release"],
    "platform": ["release"],
}
# Kinds of pytest folders: the build they use, and the cores they want for themselves. The wire tests wait most of the
# time, and compare an attacked guest with the same guest left alone: one busy neighbour is there in both.
PYTEST_KINDS = {
    "house": (None, 1),
    "wire": ("asan", 1),
    "daemon": ("release", 1),
    "cli": ("asan", 1),
    "guests": ("release", 1),
}
KINDS = ["house", "tidy", *MESON_KINDS, *(kind for kind in PYTEST_KINDS if kind != "house"), "fuzz"]
CORES = 2
TIDY = "clang-tidy-14"


RUNNING = set()  # process groups to end when this script is interrupted


class Result:
    """Counts of one stage and what to tell about it."""

    def __init__(self):
        self.passed = 0
        self.failures = []  # (name, text)
        self.skips = []     # (name, reason)

    def fail(self, name, text=""):
        self.failures.append((name, text))


def build_folder(name):
    """Beside build/, as the programs look for the sources' tools at that distance."""
    return TOP / f"build-check-{name}"


def environment(**extra):
    """Environment of every program: Debian's own tools first, sanitizers that stop at the first finding."""
    result = dict(os.environ)
    result["PATH"] = "/usr/bin:/bin:/usr/sbin:/sbin:" + result.get("PATH", "")
    result.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
    result.setdefault("ASAN_OPTIONS", "detect_stack_use_after_return=1:strict_string_checks=1")
    result.setdefault("TSAN_OPTIONS", "halt_on_error=1:second_deadlock_stack=1")
    result.update(extra)
    return result


def run_logged(name, command, timeout, **extra):
    """Runs a command with its output in a log; returns its exit status and the log's text."""
    log = LOGS / f"{name}.log"
    with open(log, "ab") as output:
        process = subprocess.Popen([str(word) for word in command], cwd=TOP, stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=subprocess.STDOUT, env=environment(**extra), start_new_session=True)
        RUNNING.add(process.pid)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            output.write(f"\ncheck: stopped after {timeout} s\n".encode())
            status = -9
        finally:
            RUNNING.discard(process.pid)
    return status, log.read_text(errors="replace")


def tail(text, lines=60):
    return "\n".join(text.splitlines()[-lines:])


# ---- builds ----

def build(name):
    """Sets a build up and builds it. Only failures are counted: a build is no test."""
    result = Result()
    compiler, options = BUILDS[name]
    folder = build_folder(name)
    recorded = folder / "check-options"
    wanted = json.dumps([compiler, options])
    if folder.exists() and (not recorded.exists() or recorded.read_text() != wanted):
        shutil.rmtree(folder)
    if not (folder / "build.ninja").exists():
        status, text = run_logged(f"build-{name}", ["meson", "setup", folder, *options], 300, CC=compiler)
        if status != 0:
            shutil.rmtree(folder, ignore_errors=True)
            result.fail(f"build {name}", tail(text))
            return result
        recorded.write_text(wanted)
    status, text = run_logged(f"build-{name}", ["ninja", "-C", folder, f"-j{CORES}"], 1200)
    if status != 0:
        # What ninja was doing at the same time comes before.
        result.fail(f"build {name}", tail(text[max(0, text.find("FAILED:")):]))
    return result


# ---- cmocka programs ----

TAP_LINE = re.compile(r"^(not )?ok\b ?(\d+)?(?: - )?(.*)$")


def count_tap(result, program, record):
    """Adds the test cases of one program's TAP output to the result."""
    output = record.get("stdout", "") or ""
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
        name = f"{program}: {case.group(3).strip() or case.group(2)}"
        if "# SKIP" in line:
            result.skips.append((name, tail(record.get("stderr", "") or "no reason given", 1)))
        elif case.group(1):
            failed += 1
            result.fail(name, tail(output + "\n" + (record.get("stderr") or "")))
        else:
            result.passed += 1
    text = tail(output + "\n" + (record.get("stderr") or ""))
    ended_well = record["result"] in ("OK", "SKIP")
    if not ended_well and failed == 0:
        result.fail(f"{program}: {record['result']}, exit status {record['returncode']}", text)
    elif ended_well and (seen == 0 or seen != planned):
        result.fail(f"{program}: {seen} of {planned} test cases reported", text)


def meson_tests(kind, build_name, keyword):
    """Runs one suite in one build."""
    result = Result()
    stage = f"{kind}-{build_name}"
    folder = build_folder(build_name)
    # TSAN of this age knows the memory layout without randomisation only.
    prefix = ["setarch", "-R"] if build_name == "tsan" else []
    status, text = run_logged(stage, [*prefix, "meson", "test", "-C", folder, "--no-rebuild", "--suite", kind,
                                      "--num-processes", CORES, "-t", "3", "--logbase", stage], 1200,
                              CMOCKA_MESSAGE_OUTPUT="TAP")
    records = folder / "meson-logs" / f"{stage}.json"
    if not records.exists():
        result.fail(f"{stage}: no test ran", tail(text))
        return result
    for line in records.read_text().splitlines():
        record = json.loads(line)
        name = record["name"].split(" / ")[-1]
        if keyword and keyword not in name:
            continue
        count_tap(result, f"{name} ({build_name})", record)
    records.unlink()
    if status != 0 and not result.failures and not keyword:
        result.fail(f"{stage}: meson test exited with {status}", tail(text))
    return result


# ---- pytest ----

def pytest(kind, arguments):
    """Runs one folder of Python tests."""
    result = Result()
    build_name, _ = PYTEST_KINDS[kind]
    report = LOGS / f"{kind}.xml"
    report.unlink(missing_ok=True)
    extra = {"VIADUCT_BUILD": str(build_folder(build_name))} if build_name else {}
    status, text = run_logged(kind, [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/{kind}",
                                     f"--junitxml={report}", *arguments], 2400, PYTHONDONTWRITEBYTECODE="1", **extra)
    if not report.exists():
        result.fail(f"{kind}: pytest exited with {status}", tail(text))
        return result
    for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        bad = [child for child in case if child.tag in ("failure", "error")]
        skipped = case.find("skipped")
        if bad:
            result.fail(name, tail("\n".join((child.text or child.get("message") or "") for child in bad)))
        elif skipped is not None:
            result.skips.append((name, skipped.get("message") or "no reason given"))
        else:
            result.passed += 1
    if status == 5 and not arguments:
        result.fail(f"{kind}: no test ran")
    elif status not in (0, 5) and not result.failures:
        result.fail(f"{kind}: pytest exited with {status}", tail(text))
    return result


# ---- fuzzing ----

def fuzz_targets():
    """Names of the targets, as the sources say; the build must have made each of them."""
    return sorted(path.stem[len("fuzz_"):] for path in (TOP / "tests" / "fuzz").glob("fuzz_*.c"))


def fuzz_finding(text):
    """What a fuzzer found, first what tells most: the input, our frames of the report, the report itself."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if re.search(r"ERROR: |runtime error: ", line)), max(0, len(lines) - 60))
    report = lines[start:start + 60]
    telling = [line for line in lines[start:] if re.search(r"^SUMMARY|^Base64: |Test unit written", line)]
    frames = [line for line in report if re.match(r"\s*#\d+ .*/(src|tests)/", line)]
    return "\n".join(telling + frames[:12] + report)


def fuzz(target, seconds, keep_corpus):
    """Runs one target, started from the committed corpus. What it finds new goes to build/fuzz if kept."""
    result = Result()
    program = build_folder("fuzz") / "tests" / "fuzz" / f"fuzz_{target}"
    corpus = TOP / "tests" / "fuzz" / "corpus" / target
    if not corpus.is_dir() or not any(corpus.iterdir()):
        result.fail(f"fuzz {target}: no committed corpus in {corpus.relative_to(TOP)}")
        return result
    found = TOP / "build" / "fuzz" / target
    found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="viaduct-fuzz-") as scratch:
        new = found if keep_corpus else scratch
        status, text = run_logged(f"fuzz-{target}", [program, new, corpus, f"-max_total_time={seconds}", "-timeout=25",
                                                     "-rss_limit_mb=2048", "-print_final_stats=1",
                                                     f"-artifact_prefix={found}/crash-"], seconds + 120)
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
    if status != 0:
        result.fail(f"fuzz {target}: exit status {status}", fuzz_finding(text))
    elif not runs or int(runs.group(1)) == 0:
        result.fail(f"fuzz {target}: it executed nothing", tail(text))
    else:
        result.passed += 1
    return result


# ---- clang-tidy ----

def tidy_commands():
    """(source, compile command) of every C file of the clang build, once each."""
    database = json.loads((build_folder("clang") / "compile_commands.json").read_text())
    commands = {}
    for entry in database:
        source = (pathlib.Path(entry["directory"]) / entry["file"]).resolve()
        if source.is_relative_to(TOP) and not source.relative_to(TOP).parts[0].startswith("build"):
            commands[source] = entry["command"]
    return commands


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.environ.get("HOME", "/nonexistent"), ".cache")
    folder = pathlib.Path(base) / "viaduct" / "tidy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = TOP / "build" / "cache" / "tidy"
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def tidy():
    """Checks every C file; a file that was clean with the same headers and settings is not checked again."""
    result = Result()
    version = subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout
    common = hashlib.sha256(version)
    for header in sorted([TOP / ".clang-tidy", *TOP.glob("*/.clang-tidy"), *TOP.glob("src/**/*.h"), *TOP.glob("tests/**/*.h"),
                          *TOP.glob("bench/**/*.h")]):
        common.update(str(header.relative_to(TOP)).encode() + b"\0" + header.read_bytes())
    cache = cache_folder()
    waiting = sorted(tidy_commands())
    clean = []
    lock = threading.Lock()

    def worker():
        while True:
            with lock:
                if not waiting:
                    return
                source = waiting.pop()
            key = common.copy()
            key.update(str(source.relative_to(TOP)).encode() + b"\0" + source.read_bytes())
            mark = cache / key.hexdigest()
            if not mark.exists():
                done = subprocess.run([TIDY, "--quiet", "-p", build_folder("clang"), source], cwd=TOP, env=environment(),
                                      stdin=subprocess.DEVNULL, capture_output=True, text=True)
                if done.returncode != 0:
                    with lock:
                        result.fail(f"tidy {source.relative_to(TOP)}", tail(done.stdout + done.stderr))
                    continue
                mark.touch()
            with lock:
                clean.append(source)

    threads = [threading.Thread(target=worker) for _ in range(CORES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not clean and not result.failures:
        result.fail("tidy: no file to check")
    elif not result.failures:
        result.passed += 1  # one check over all files
    return result


# ---- the plan ----

class Stage:
    """Something to run: after what, and how many cores it wants for itself."""

    def __init__(self, name, action, after=(), cores=1):
        self.name, self.action, self.after, self.cores = name, action, set(after), cores
        self.result = None
        self.seconds = 0.0


def plan(options):
    """The stages for what was asked."""
    everything = not options.kinds
    wanted = options.kinds or KINDS
    stages, builds = [], []

    def need(build_name):
        if build_name not in builds:
            builds.append(build_name)
            stages.append(Stage(f"build {build_name}", lambda: build(build_name)))
        return f"build {build_name}"

    if everything:
        for name in BUILDS:
            need(name)
    for kind in wanted:
        if kind in MESON_KINDS:
            # A developer who names a kind wants an answer soon: the sanitized build only, unless told otherwise.
            chosen = MESON_KINDS[kind] if everything or options.all_builds else MESON_KINDS[kind][:1]
            for name in chosen:
                stages.append(Stage(f"{kind} {name}", lambda kind=kind, name=name:
                                    meson_tests(kind, name, options.keyword), [need(name)]))
        elif kind in PYTEST_KINDS:
            build_name, cores = PYTEST_KINDS[kind]
            arguments = ["-k", options.keyword] if options.keyword else []
            stages.append(Stage(kind, lambda kind=kind, arguments=arguments: pytest(kind, arguments),
                                [need(build_name)] if build_name else [], cores))
        elif kind == "tidy":
            stages.append(Stage("tidy", tidy, [need("clang")], 2))
        elif kind == "fuzz":
            targets = [target for target in fuzz_targets() if not options.keyword or options.keyword in target]
            if not targets:
                empty = Result()
                empty.fail("fuzz: no target")
                stages.append(Stage("fuzz", lambda: empty))
            for target in targets:
                stages.append(Stage(f"fuzz {target}", lambda target=target:
                                    fuzz(target, options.fuzz_seconds, options.keep_corpus), [need("fuzz")]))
    return stages


def finish_stage(stage, started):
    """Runs a stage's action; whatever goes wrong inside is a failure of the stage."""
    try:
        stage.result = stage.action()
    except Exception as error:  # pylint: disable=broad-except
        stage.result = Result()
        stage.result.fail(f"{stage.name}: {type(error).__name__}: {error}")
    stage.seconds = time.monotonic() - started


def tell(stage):
    counts = f"{stage.result.passed} passed, {len(stage.result.failures)} failed"
    if stage.result.skips:
        counts += f", {len(stage.result.skips)} skipped"
    if stage.name.startswith("build ") and not stage.result.failures:
        counts = "built"
    print(f"check: {stage.name:<22} {stage.seconds:6.1f} s   {counts}", flush=True)


def execute(stages):
    """Runs the stages in order of the list where their needs allow, on CORES cores."""
    waiting, running, done = list(stages), [], {}
    condition = threading.Condition()

    def body(stage):
        finish_stage(stage, time.monotonic())
        with condition:
            running.remove(stage)
            done[stage.name] = stage
            tell(stage)
            condition.notify()

    with condition:
        while waiting or running:
            free = CORES - sum(stage.cores for stage in running)
            ready = [stage for stage in waiting if stage.after <= done.keys()]
            broken = [stage for stage in ready if any(done[name].result.failures for name in stage.after)]
            for stage in broken:
                waiting.remove(stage)
                stage.result = Result()
                stage.result.fail(f"{stage.name}: not run, because its build failed")
                done[stage.name] = stage
                tell(stage)
            if broken:
                continue
            fitting = [stage for stage in ready if stage.cores <= free]
            if fitting:
                stage = fitting[0]
                waiting.remove(stage)
                running.append(stage)
                threading.Thread(target=body, args=[stage], daemon=True).start()
            else:
                condition.wait()


def report(stages):
    """Tells the failures and skips, then the closing line; returns the exit status."""
    passed = sum(stage.result.passed for stage in stages)
    failures = [failure for stage in stages for failure in stage.result.failures]
    skips = [skip for stage in stages for skip in stage.result.skips]
    for name, text in failures:
        print(f"\nFAILED {name}")
        if text.strip():
            print("    " + text.strip().replace("\n", "\n    "))
    for name, reason in skips:
        print(f"skipped {name}: {reason}")
    if passed == 0 and not failures and not skips:
        failures.append(("no test ran", ""))
        print("\nFAILED no test ran")
    print(f"{passed} passed, {len(failures)} failed" + (f", {len(skips)} skipped" if skips else ""), flush=True)
    return 1 if failures or passed == 0 else 0


def parse(arguments):
    parser = argparse.ArgumentParser(prog="./run check", description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="one or more of: " + " ".join(KINDS))
    parser.add_argument("-k", dest="keyword", default="", help="only tests whose name holds this (pytest: its -k)")
    parser.add_argument("--all-builds", action="store_true", help="with KIND: in every build, not only the first")
    parser.add_argument("--fuzz-seconds", type=int, default=int(os.environ.get("VIADUCT_FUZZ_SECONDS", "60")),
                        metavar="N", help="time for each fuzz target (default 60)")
    parser.add_argument("--keep-corpus", action="store_true", help="keep what fuzzers find in build/fuzz")
    options = parser.parse_args(arguments)
    for kind in options.kinds:
        if kind not in KINDS:
            parser.error(f"'{kind}' is no kind of test; there are: {' '.join(KINDS)}")
    return options


def main():
    options = parse(sys.argv[1:])
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    started = time.monotonic()
    stages = plan(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        execute(stages)
    finally:
        for group in list(RUNNING):
            os.killpg(group, signal.SIGKILL)
    print(f"check: {time.monotonic() - started:.0f} s in all")
    return report(stages)


if __name__ == "__main__":
    sys.exit(main())
