# SPDX-License-Identifier: GPL-2.0-or-later
"""Fuzz targets: what is replayed from files, and what a fuzzer finds in some seconds."""
import os
import re
import tempfile

from check import builds, cmocka
from check.programs import TOP, build_folder, environment, run_logged
from check.result import Result, tail


def targets():
    """Names of the targets, as the sources say; the build must have made each of them."""
    return sorted(path.stem[len("fuzz_"):] for path in (TOP / "tests" / "fuzz").glob("fuzz_*.c"))


def program(kind, target):
    return build_folder("asan") / "tests" / "fuzz" / f"{kind}_{target}"


def finding(text):
    """What a fuzzer found, first what tells most: the input, our frames of the report, the report itself."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if re.search(r"ERROR: |runtime error: ", line)), max(0, len(lines) - 60))
    report = lines[start:start + 60]
    telling = [line for line in lines[start:] if re.search(r"^SUMMARY|^Base64: |Test unit written", line)]
    frames = [line for line in report if re.match(r"\s*#\d+ .*/(src|tests)/", line)]
    return "\n".join(telling + frames[:12] + report)


def replay_command(target, text):
    """The command that runs the target on the file that the fuzzer wrote, and on nothing else."""
    written = re.search(r"Test unit written to (\S+)", text)
    if not written:
        return f"./run check fuzz -k {target}"
    return f"./run fuzz {target} {os.path.relpath(written.group(1), TOP)}"


def corpus(keyword=""):
    """Runs every target on every committed file, twice in different orders: a target is a function of its input."""
    def again(_kind, _build_name, name):
        target = name.split("/")[-1]
        return lambda path: f"./run fuzz {target} {path or f'tests/fuzz/corpus/{target}'}"
    return cmocka.run("fuzz", "asan", keyword and f"fuzz/{keyword}", again)


def run(target, seconds, keep_corpus):
    """Runs one target, started from the committed corpus. What it finds new goes to build/fuzz if kept."""
    result = Result()
    start = TOP / "tests" / "fuzz" / "corpus" / target
    if not start.is_dir() or not any(start.iterdir()):
        result.fail(f"fuzz {target}: no committed corpus in {start.relative_to(TOP)}")
        return result
    found = TOP / "build" / "fuzz" / target
    found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="viaduct-fuzz-") as scratch:
        new = found if keep_corpus else scratch
        status, text = run_logged(f"fuzz-{target}", [program("fuzz", target), new, start, f"-max_total_time={seconds}",
                                                     "-timeout=120", "-rss_limit_mb=2048", "-print_final_stats=1",
                                                     f"-artifact_prefix={found}/crash-"], seconds + 300)
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
    if status != 0:
        result.fail(f"fuzz {target}: exit status {status}", finding(text), replay_command(target, text))
    elif not runs or int(runs.group(1)) == 0:
        result.fail(f"fuzz {target}: it executed nothing", tail(text))
    else:
        result.passed += 1
    return result


def replay(target, files):
    """`./run fuzz TARGET FILE...`: becomes the program that runs the target on these files."""
    built = builds.build("asan")
    for name, text, _ in built.failures:
        print(f"{name}\n{text}")
    if built.failures or target not in targets():
        print(f"targets: {' '.join(targets())}")
        return 2
    os.execve(program("replay", target), [f"replay_{target}", *files], environment())
    return 2
