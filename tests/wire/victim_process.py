# SPDX-License-Identifier: GPL-2.0-or-later
"""The honest guest of victim.py, driven over its pipes."""
import contextlib
import json
import pathlib
import subprocess
import sys

PROGRESS = 20                   # operations that show that the guest is served


class VictimProcess:
    """A process of its own, so that the test's own work does not slow it down. Owns it."""
    SCRIPT = pathlib.Path(__file__).with_name("victim.py")

    def __init__(self, socket, *arguments):
        self.process = subprocess.Popen([sys.executable, str(self.SCRIPT), str(socket), *arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        assert json.loads(self.process.stdout.readline() or "{}").get("ready"), "the victim did not start"

    def ask(self, command):
        """The victim's report after it obeyed. The victim itself gives up a request that hangs."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the victim ended with {self.process.poll()}"
        return json.loads(answer)

    @staticmethod
    def check(report):
        """No error and no wrong byte."""
        assert not report["errors"], f"the honest guest saw: {report['errors']}"
        return report

    def progress(self, operations=PROGRESS):
        """Waits until the guest completed so many operations more, without an error."""
        return self.check(self.ask(f"progress {operations}"))

    @contextlib.contextmanager
    def held(self):
        """The guest does nothing in this block."""
        self.check(self.ask("hold"))
        yield
        self.progress()

    def finish(self):
        """Verifies every sector; the process ends."""
        try:
            report = self.check(self.ask("quit"))
            assert report["verified"] > 0, "the honest guest verified nothing"
        finally:
            self.kill()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
