# SPDX-License-Identifier: GPL-2.0-or-later
"""clang-tidy over every C file, with a cache of what was clean."""
import hashlib
import json
import os
import pathlib
import subprocess
import threading

from check.programs import TOP, build_folder, environment
from check.result import Result, tail

TIDY = "clang-tidy-14"
# For tests, too, in a long check (see tests/.clang-tidy).
ANALYZER = ("--checks=clang-analyzer-*,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,"
            "-clang-analyzer-optin.performance.Padding")


def commands():
    """{source: its compile command} of every C file of the build with clang. A source that a test compiles a second time
    with other options is checked with the first entry alone, which is the product's."""
    database = json.loads((build_folder("asan") / "compile_commands.json").read_text())
    found = {}
    for entry in database:
        source = (pathlib.Path(entry["directory"]) / entry["file"]).resolve()
        if source.is_relative_to(TOP) and not source.relative_to(TOP).parts[0].startswith("build"):
            found.setdefault(source, entry)
    return found


def write_database(found):
    """The folder of a compile_commands.json with these entries alone."""
    folder = build_folder("asan") / "tidy"
    folder.mkdir(exist_ok=True)
    (folder / "compile_commands.json").write_text(json.dumps(list(found.values())))
    return folder


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.environ.get("HOME", "/nonexistent"), ".cache")
    folder = pathlib.Path(base) / "viaduct" / "tidy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = TOP / "build" / "cache" / "tidy"
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def run(cores):
    """Checks every C file, `cores` at a time; one that was clean with the same headers and settings is not checked again."""
    result = Result()
    version = subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout
    more = [ANALYZER] if "VIADUCT_LONG" in os.environ else []
    common = hashlib.sha256(version + "".join(more).encode())
    for header in sorted([TOP / ".clang-tidy", *TOP.glob("*/.clang-tidy"), *TOP.glob("src/**/*.h"), *TOP.glob("tests/**/*.h"),
                          *TOP.glob("bench/**/*.h")]):
        common.update(str(header.relative_to(TOP)).encode() + b"\0" + header.read_bytes())
    cache = cache_folder()
    found = commands()
    database = write_database(found)
    waiting = sorted(found)
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
                done = subprocess.run([TIDY, "--quiet", *more, "-p", database, source], cwd=TOP, env=environment(),
                                      stdin=subprocess.DEVNULL, capture_output=True, text=True)
                if done.returncode != 0:
                    with lock:
                        result.fail(f"tidy {source.relative_to(TOP)}", tail(done.stdout + done.stderr),
                                    f"{TIDY} --quiet -p {database.relative_to(TOP)} {source.relative_to(TOP)}")
                    continue
                mark.touch()
            with lock:
                clean.append(source)

    threads = [threading.Thread(target=worker) for _ in range(cores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not clean and not result.failures:
        result.fail("tidy: no file to check")
    elif not result.failures:
        result.passed += 1  # one check over all files
    return result
