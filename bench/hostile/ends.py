# SPDX-License-Identifier: GPL-2.0-or-later
"""How long the daemon takes to end, and to be back after kill -9, while an attack goes on."""
import contextlib
import os
import select
import signal
import threading
import time

from daemon import HeldBack
from patience import PATIENCE_S

BEFORE_S = 0.5                  # of the attack, before the daemon is told to end


@contextlib.contextmanager
def going_on(step):
    """step() again and again in a thread of its own; what the attack meets there does not matter."""
    ended = threading.Event()

    def attack():
        while not ended.is_set():
            with contextlib.suppress(Exception):
                step()

    thread = threading.Thread(target=attack)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def end_of(process):
    """Waits for it, without the pauses of Popen.wait(timeout)."""
    pidfd, poller = os.pidfd_open(process.pid), select.poll()
    poller.register(pidfd, select.POLLIN)
    try:
        if not poller.poll(PATIENCE_S * 1000):
            raise TimeoutError(f"the daemon did not end within {PATIENCE_S:g} s")
    finally:
        os.close(pidfd)
    process.wait()


def replace(scene, how, successor):
    """Ends the daemon; returns after how many seconds it had ended, and the honest guest was served by the next."""
    begin = time.monotonic()
    scene.daemon.process.send_signal(how)
    end_of(scene.daemon.process)
    ended = time.monotonic() - begin
    scene.daemon.process = successor.process
    successor.lines = scene.daemon.lines
    successor.go()
    # The command is read between two requests: the next one begins after that.
    scene.victim.progress(1)
    return ended, time.monotonic() - begin


def measure(row, scene):
    """{"term_s", "start_s"} of a row that has a siege. The scene's honest guest reconnects."""
    scene.open()
    try:
        # Made before the attack: a new process has the attack's descriptors, and waits when it closes them.
        successors = [HeldBack(scene.daemon.sections, scene.daemon.folder) for _ in range(2)]
        try:
            with row.siege(scene) as step, going_on(step):
                time.sleep(BEFORE_S)
                term = replace(scene, signal.SIGTERM, successors[0])[0]
                time.sleep(BEFORE_S)
                start = replace(scene, signal.SIGKILL, successors[1])[1]
        finally:
            for successor in successors:
                if successor.process is not scene.daemon.process:
                    successor.process.kill()
                    successor.process.wait()
        return {"row": row.name, "title": row.title, "term_s": term, "start_s": start}
    finally:
        scene.close()
