# SPDX-License-Identifier: GPL-2.0-or-later
"""A changed configuration under running guests."""
import signal

from frontend import FrontEnd
from patience import wait_until

MIB = 1 << 20


def reload(daemon):
    daemon.write_config()
    status, answer = daemon.api("POST", "/v1/reload")
    assert status == 200, answer
    return answer["changes"], answer["refused"]


def test_nothing_changed(daemon):
    assert reload(daemon) == ([], [])


def test_additions_and_growth_under_a_running_guest(daemon, tmp_path):
    with FrontEnd.start(daemon.socket("alice/root")) as front:
        front.disk().write(0, b"a" * 4096)
        daemon.sections["guest bob"] = {}
        daemon.sections["disk bob/root"] = {"pool": "fast", "size": "4M"}
        daemon.sections["pool fast"] = {"path": tmp_path / "fast.pool", "size": "64M"}
        daemon.sections["disk alice/root"]["size"] = "12M"
        changes, refused = reload(daemon)
        assert refused == []
        assert sorted(changes) == sorted([
            f"pool fast: opened {tmp_path}/fast.pool", "guest bob: added", "disk alice/root: grew", "disk bob/root: made",
            "pool fast: 1 more disk served",
        ])
        assert front.disk().read(0, 8) == b"a" * 4096
        front.disk().write(12 * MIB // 512 - 1, bytes(512))
    with FrontEnd.start(daemon.socket("bob/root")) as front:
        front.disk().write(0, b"b" * 512)


def test_pool_grows(daemon):
    daemon.sections["pool main"]["size"] = "96M"
    assert reload(daemon) == (["pool main: grew"], [])
    assert daemon.api("GET", "/v1/pools/main")[1]["total_bytes"] == 96 * MIB


def test_whole_files(daemon, tmp_path):
    whole = tmp_path / "whole.raw"
    whole.write_bytes(bytes(4 * MIB))
    daemon.sections["disk alice/whole"] = {"path": whole}
    assert reload(daemon) == (["disk alice/whole: added"], [])
    with open(whole, "r+b") as file:
        file.truncate(8 * MIB)
    assert reload(daemon) == (["disk alice/whole: grew"], [])
    with FrontEnd.start(daemon.socket("alice/whole")) as front:
        del daemon.sections["disk alice/whole"]
        assert reload(daemon) == ([], ["disk alice/whole: is connected; it goes at the next restart"])
        front.disk().read(0, 1)
    wait_until(lambda: reload(daemon) == (["disk alice/whole: removed"], []), "the disk is removed")
    assert not daemon.socket("alice/whole").exists()


def test_shrinking_is_refused(daemon):
    daemon.sections["disk alice/root"]["size"] = "4M"
    changes, refused = reload(daemon)
    assert changes == [] and len(refused) == 1
    assert "size = 4M is smaller than the disk, which has 8M: shrinking is refused; set size = 8M" in refused[0]


def test_attributes(daemon):
    daemon.sections["disk alice/root"]["read_only"] = "yes"
    with FrontEnd.start(daemon.socket("alice/root")):
        changes, refused = reload(daemon)
        assert changes == [] and "is connected; its new attributes apply after" in refused[0]
    daemon.sections["disk alice/root"]["read_only"] = "no"
    reload(daemon)
    daemon.sections["disk alice/root"]["serial"] = "another"
    wait_until(lambda: not daemon.api("GET", "/v1/disks/alice/root")[1]["connected"], "the front end has gone")
    assert reload(daemon) == (["disk alice/root: served anew with its new attributes"], [])
    assert daemon.api("GET", "/v1/disks/alice/root")[1]["serial"] == "another"


def test_needs_a_restart(daemon):
    daemon.sections["daemon"] = {"workers": "2", "poll_us": "0", "log_level": "debug"}
    changes, refused = reload(daemon)
    assert changes == ["[daemon]: log_level changed", "[daemon]: poll_us = 0"]
    assert refused == ["[daemon]: workers changes at the next restart"]


def test_a_mistake_changes_nothing(daemon):
    daemon.config.write_text(daemon.config.read_text() + "[guest bob]\ncolour = red\n")
    status, answer = daemon.api("POST", "/v1/reload")
    assert status == 422
    assert "unknown key 'colour' in [guest bob]" in answer["error"] and len(answer["errors"]) == 1
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.wait_line("nothing was changed")
    assert [guest["name"] for guest in daemon.api("GET", "/v1/guests")[1]["guests"]] == ["alice"]


def test_signal(daemon):
    daemon.sections["guest bob"] = {}
    daemon.write_config()
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.wait_line("reload: guest bob: added")
