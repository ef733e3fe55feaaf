# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that stages run: where they are, their environment, their logs, their end."""
import os
import pathlib
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[2]
LOGS = TOP / "build" / "check" / "logs"
RUNNING = set()  # process groups to end when the check is interrupted


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
