# SPDX-License-Identifier: GPL-2.0-or-later
"""`viaduct capture` and answers that are no capture; tests/wire/test_capture.py has the real daemon."""
import subprocess

import pytest

PATH = "/v1/nics/alice/eth0/capture"


def test_snap_length_is_asked_for(viaduct, api):
    viaduct("capture", "alice/eth0", "-s", "96")
    viaduct("capture", "lan")
    assert api.requests == [("POST", PATH, {"snap_bytes": 96}), ("POST", "/v1/switches/lan/capture", {"snap_bytes": 0})]


@pytest.mark.parametrize("answer", [b"<html>no capture</html>", b"\x06\0\0\0\x10\0\0\0" + bytes(8), bytes(64)])
def test_answer_that_is_no_pcapng(viaduct, api, answer):
    api.answer("POST", PATH, answer)
    result = viaduct("capture", "alice/eth0")
    assert result.code == 1 and "the daemon's answer is no pcapng" in result.err


def test_refusal_is_told_and_makes_no_file(viaduct, api, short_dir):
    api.answer("POST", PATH, {"error": "there is no nic 'alice/eth0'"}, status=404)
    result = viaduct("capture", "alice/eth0", "-w", short_dir / "file")
    assert result.code == 1 and result.out == ""
    assert result.err == "viaduct capture: there is no nic 'alice/eth0'\n"
    assert not (short_dir / "file").exists()


def test_file_that_cannot_be_made(viaduct, api, short_dir):
    api.answer("POST", PATH, b"\n\r\r\n")
    result = viaduct("capture", "alice/eth0", "-w", short_dir / "missing" / "file")
    assert result.code == 1 and "missing/file: No such file or directory" in result.err


def test_full_disk_is_told(viaduct, api):
    api.answer("POST", PATH, b"\n\r\r\n\x0c\0\0\0\x0c\0\0\0")
    result = viaduct("capture", "alice/eth0", "-w", "/dev/full")
    assert result.code == 1 and "/dev/full: No space left on device" in result.err


def test_binary_does_not_go_to_a_terminal(viaduct):
    line = f"{viaduct.program} --runtime-dir {viaduct.runtime_dir} capture alice/eth0 -w -"
    done = subprocess.run(["script", "-qec", line, "/dev/null"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "would fill the terminal" in done.stdout
