# SPDX-License-Identifier: GPL-2.0-or-later
"""Chromium without a window, steered by chromedriver (WebDriver, W3C), with nothing but Python's own library."""
import http.client
import json
import os
import pathlib
import re
import subprocess

PATIENCE_S = 120        # only a hang reaches it
# Nothing is asked of the world outside.
ARGUMENTS = ["--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--window-size=1200,900"]
CONTROL, ALT, ESCAPE, TAB = "\ue009", "\ue00a", "\ue00c", "\ue004"     # keys (WebDriver, 17.4.2)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"         # WebDriver, 12.1


class Browser:
    """One page at a time."""

    def __init__(self, folder):
        """folder: for its profile and chromedriver's log."""
        self.log = pathlib.Path(folder) / "chromedriver.log"
        with self.log.open("wb") as log:
            self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=log, text=True)
        self.port = self._read_port()
        arguments = [*ARGUMENTS, f"--user-data-dir={folder}/profile", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        wanted = {"browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL"},
                  "goog:chromeOptions": {"binary": "/usr/bin/chromium", "args": arguments}}
        self.session = None
        self.session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.session:
            self._call("DELETE", f"/session/{self.session}")
        self.driver.terminate()
        self.driver.wait(PATIENCE_S)
        self.driver.stdout.close()

    def _read_port(self):
        for line in self.driver.stdout:
            found = re.search(r"started successfully on port (\d+)", line)
            if found:
                return int(found[1])
        raise AssertionError(f"chromedriver does not start: {self.log.read_text()}")

    def _call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            value = json.load(answer)["value"]
        finally:
            connection.close()
        assert answer.status == 200, f"{method} {path}: {value}"
        return value

    def _session(self, path, body):
        return self._call("POST", f"/session/{self.session}{path}", body)

    # ---- what a person does ----

    def go(self, address):
        self._session("/url", {"url": address})

    def click(self, selector):
        element = self._session("/element", {"using": "css selector", "value": selector})
        self._session(f"/element/{element[ELEMENT]}/click", {})

    def keys(self, text):
        """Presses and releases a key for each character."""
        self._press([(kind, character) for character in text for kind in ("keyDown", "keyUp")])

    def chord(self, *keys):
        """Presses them one after the other, and releases them from the last."""
        self._press([("keyDown", key) for key in keys] + [("keyUp", key) for key in reversed(keys)])

    def _press(self, strokes):
        actions = [{"type": kind, "value": key} for kind, key in strokes]
        self._session("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def resize(self, width, height):
        """Of the window, whose frame is none."""
        self._session("/window/rect", {"width": width, "height": height})

    # ---- what can be told of the page ----

    def photograph(self):
        """A PNG file, in base64."""
        return self._call("GET", f"/session/{self.session}/screenshot")

    def run(self, script):
        """What the script returns."""
        return self._session("/execute/sync", {"script": script, "args": []})

    def complaints(self):
        """Errors of the page since the last time, what its policy forbids among them."""
        entries = self._session("/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]
