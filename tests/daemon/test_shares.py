# SPDX-License-Identifier: GPL-2.0-or-later
"""Shares of the physical devices' time: set at run time, kept, reloaded, refused. How well they hold is bench-fair's."""
import os
import signal
import threading
import time

import pytest

from blk import IN, OK, OUT
from conftest import basic
from frontend import FrontEnd
from fuse_disk import FuseDisk
from patience import PATIENCE_S, wait_until
from test_takeover import take_over


@pytest.fixture
def sections(tmp_path):
    """10000 requests or 100 MiB a second to share: a thousand reserved is a tenth of the disk."""
    result = basic(tmp_path)
    result["pool main"].update(capacity_iops=10000, capacity_bandwidth="100M")
    result["group gold"] = {"disk_weight": 400}
    result["guest bob"] = {}
    result["disk bob/root"] = {"pool": "main", "size": "8M", "weight": 200}
    result["switch lan"] = {}
    result["nic bob/eth0"] = {"switch": "lan", "weight": 50, "max_pps": 7000}
    return result


@pytest.fixture
def daemon(make_daemon, sections):
    return make_daemon(sections)


def get(daemon, name, kind="disks"):
    """Cards are changed below /v1/nics and found below /v1/devices."""
    status, answer = daemon.api("GET", f"/v1/{'devices/nic' if kind == 'nics' else kind}/{name}")
    assert status == 200, answer
    return answer


def share(daemon, name, kind="disks"):
    return get(daemon, name, kind)["share"]


def change(daemon, name, kind="disks", **settings):
    """The share after a change that is accepted."""
    status, answer = daemon.api("PATCH", f"/v1/{kind}/{name}", settings)
    assert status == 200, answer
    assert answer["share"] == share(daemon, name, kind)
    return answer["share"]


def refused(daemon, path, settings):
    """(status, sentence) of a change that is refused, and changes nothing."""
    kind, name = path.split("/", 1)
    before, kept = share(daemon, name, kind), settings_file(daemon)
    status, answer = daemon.api("PATCH", f"/v1/{path}", settings)
    assert status >= 400 and share(daemon, name, kind) == before and settings_file(daemon) == kept
    return status, answer["error"]


def settings_file(daemon):
    path = daemon.folder / "state/settings.conf"
    return path.read_text() if path.exists() else None


def test_what_there_is(daemon):
    assert share(daemon, "alice/root") == {"weight": 100, "min_iops": 0, "max_iops": 0, "min_bandwidth": 0, "max_bandwidth": 0,
                                           "burst": 10, "latency_target_us": 0}
    assert share(daemon, "bob/root")["weight"] == 200
    assert "latency_target_us" not in share(daemon, "alice", "guests")
    assert share(daemon, "bob/eth0", "nics") == {"weight": 50, "min_bandwidth": 0, "max_bandwidth": 0, "max_pps": 7000,
                                                        "burst": 10}
    status = daemon.api("GET", "/v1/status")[1]
    assert [(group["name"], group["share"]["disk_weight"]) for group in status["groups"]] == [("gold", 400)]
    assert [(guest["name"], guest["group"]) for guest in status["guests"]] == [("alice", None), ("bob", None)]
    assert status["now_ns"] > 0
    capacity = status["pools"][0]["capacity"]
    assert (capacity["iops"], capacity["reserved_ppb"]) == (10000, 0)
    assert capacity["bandwidth"] == pytest.approx(100 << 20, rel=0.01)


def test_set_at_run_time_and_kept(daemon):
    with FrontEnd.start(daemon.socket("alice/root")) as front:
        front.disk().write(0, b"a" * 4096)
        assert change(daemon, "alice/root", weight=300, max_bandwidth=50 << 20, latency_target_us=700)["weight"] == 300
        change(daemon, "bob", "guests", disk_min_iops=500, disk_burst=100)
        change(daemon, "gold", "groups", disk_weight=1000)
        assert front.disk().read(0, 8) == b"a" * 4096       # its connection is the same
    wanted = [share(daemon, name, kind) for name, kind in
              (("alice/root", "disks"), ("bob/root", "disks"), ("bob", "guests"), ("gold", "groups"))]
    assert wanted[2]["disk_min_iops"] == 500 and wanted[2]["disk_burst"] == 100
    for again in daemon.restart, lambda: (daemon.stop(), daemon.start()), lambda: take_over(daemon):
        again()
        assert [share(daemon, name, kind) for name, kind in
                (("alice/root", "disks"), ("bob/root", "disks"), ("bob", "guests"), ("gold", "groups"))] == wanted
    assert daemon.metrics()['viaduct_disk_max_bandwidth_bytes{guest="alice",disk="root"}'] == 50 << 20
    assert daemon.metrics()['viaduct_guest_disk_min_iops{guest="bob"}'] == 500
    assert daemon.metrics()['viaduct_group_disk_weight{group="gold"}'] == 1000


SET_OF_CARDS = [("bob/eth0", "nics", {"weight": 300, "min_bandwidth": 1 << 20, "max_bandwidth": 5 << 20, "max_pps": 9, "burst": 0}),
                ("bob", "guests", {"nic_weight": 7, "nic_max_bandwidth": 9 << 20, "disk_max_iops": 800}),
                ("gold", "groups", {"nic_max_pps": 70000, "nic_burst": 50})]


def test_cards_are_set_at_run_time_and_kept(daemon):
    for name, kind, settings in SET_OF_CARDS:
        now = change(daemon, name, kind, **settings)
        assert {key: now[key] for key in settings} == settings
    wanted = [share(daemon, name, kind) for name, kind, _ in SET_OF_CARDS]
    assert wanted[1]["disk_burst"] == wanted[1]["nic_burst"] == 10
    assert settings_file(daemon).count("[guest bob]") == 1
    for again in daemon.restart, lambda: (daemon.stop(), daemon.start()), lambda: take_over(daemon):
        again()
        assert [share(daemon, name, kind) for name, kind, _ in SET_OF_CARDS] == wanted
    metrics, labels = daemon.metrics(), '{guest="bob",nic="eth0",switch="lan"}'
    assert metrics["viaduct_nic_weight" + labels] == 300 and metrics["viaduct_nic_max_pps" + labels] == 9
    assert metrics["viaduct_nic_min_bandwidth_bytes" + labels] == 1 << 20 and metrics["viaduct_nic_burst_seconds" + labels] == 0
    assert metrics['viaduct_guest_nic_weight{guest="bob"}'] == 7 and metrics['viaduct_guest_disk_max_iops{guest="bob"}'] == 800
    assert metrics['viaduct_group_nic_burst_seconds{group="gold"}'] == 0.05
    assert not [name for name in metrics if "nic_min_iops" in name or "nic_latency" in name]
    change(daemon, "bob/eth0", "nics", **dict.fromkeys(SET_OF_CARDS[0][2]))
    assert share(daemon, "bob/eth0", "nics")["max_pps"] == 7000 and "[nic" not in settings_file(daemon)


def test_a_link_and_a_share_in_one_change(daemon):
    change(daemon, "bob/eth0", "nics", link=False, max_pps=100)
    assert not get(daemon, "bob/eth0", "nics")["link"]
    before = settings_file(daemon)
    change(daemon, "bob/eth0", "nics", link=None)
    assert get(daemon, "bob/eth0", "nics")["link"] and settings_file(daemon) == before
    status, _ = refused(daemon, "nics/bob/eth0", {"link": False, "max_bandwidth": 1, "min_bandwidth": 2})
    assert status == 400 and get(daemon, "bob/eth0", "nics")["link"]


def test_default_is_what_the_configuration_says(daemon):
    change(daemon, "bob/root", weight=700, max_iops=50)
    assert change(daemon, "bob/root", weight=None) == {**share(daemon, "bob/root"), "weight": 200, "max_iops": 50}
    change(daemon, "bob/root", max_iops=None)
    assert "bob" not in settings_file(daemon)
    daemon.restart()
    assert share(daemon, "bob/root")["weight"] == 200


REFUSED = [
    ("disks/alice/root", {"weight": 0}, 400, "weight = 0 is out of range: give a number from 1 to 10000"),
    ("disks/alice/root", {"weight": -5}, 400, "weight = -5 is out of range"),
    ("disks/alice/root", {"weight": "300"}, 400, "weight must be a whole number, or null for what the configuration says"),
    ("disks/alice/root", {"weight": 1.5}, 400, "weight must be a whole number"),
    ("disks/alice/root", {"max_bandwidth": 1 << 62}, 400, "max_bandwidth = 4611686018427387904 is out of range"),
    ("disks/alice/root", {"latency_target": 5}, 400, "unknown field 'latency_target'; possible: size_bytes, name, weight,"),
    ("disks/alice/root", {"weight": 5, "size_bytes": 1 << 24}, 400, "give either size_bytes"),
    ("disks/alice/root", {"min_iops": 500, "max_iops": 100}, 400, "max_iops of alice/root would be below its min_iops"),
    ("nics/bob/eth0", {"max_iops": 5}, 400, "unknown field 'max_iops'; possible: link, weight, max_pps, min_bandwidth,"),
    ("nics/bob/eth0", {"weight": 0, "link": False}, 400, "weight = 0 is out of range: give a number from 1 to 10000"),
    ("nics/bob/eth0", {"max_pps": True}, 400, "max_pps must be a whole number, or null"),
    ("nics/bob/eth0", {"link": 1}, 400, "link must be true, false, or null"),
    ("nics/bob/eth0", {}, 400, "give link, or settings of the card's share, or both"),
    ("guests/alice", {"disk_weight": 5, "nic_min_bandwidth": 9, "nic_max_bandwidth": 8}, 400,
     "nic_max_bandwidth of alice would be below its nic_min_bandwidth (8 and 9)"),
    ("guests/alice", {"nic_min_iops": 5}, 400, "unknown field 'nic_min_iops'"),
    ("guests/alice", {"latency_target_us": 5}, 400, "unknown field 'latency_target_us'"),
    ("groups/gold", {"name": "silver"}, 400, "unknown field 'name'"),
]


def test_refusals(daemon):
    for path, body, status, sentence in REFUSED:
        answer = refused(daemon, path, body)
        assert answer[0] == status and sentence in answer[1]
    assert daemon.api("PATCH", "/v1/guests/none", {"weight": 1})[0] == 404
    assert daemon.api("PATCH", "/v1/groups/none", {"weight": 1})[0] == 404
    assert daemon.api("PATCH", "/v1/disks/alice/none", {"weight": 1})[0] == 404
    assert settings_file(daemon) is None


def test_reservations_are_admitted_while_there_is_room(daemon):
    change(daemon, "alice/root", min_iops=5000)
    capacity = daemon.api("GET", "/v1/pools/main")[1]["capacity"]
    assert capacity["reserved_ppb"] == pytest.approx(500e6, rel=0.01)
    status, sentence = refused(daemon, "disks/bob/root", {"min_iops": 5000})
    assert status == 409
    assert "disk bob/root on" in sentence and "40.0 %" in sentence and "min_iops up to 4000" in sentence
    change(daemon, "bob/root", min_iops=4000)
    change(daemon, "alice/root", min_iops=None)
    change(daemon, "bob/root", min_iops=9000)


def test_a_reservation_without_room_does_not_keep_a_disk_away(make_daemon, sections):
    sections["disk alice/root"]["min_iops"] = 6000
    sections["disk bob/root"].update(min_iops=6000, weight=50)
    daemon = make_daemon(sections)
    disks = {disk["name"]: disk for disk in daemon.api("GET", "/v1/disks")[1]["disks"]}
    assert disks["alice/root"]["share"]["min_iops"] == 6000 and "share_error" not in disks["alice/root"]
    bob = disks["bob/root"]
    assert (bob["share"]["min_iops"], bob["share"]["weight"]) == (0, 50)
    assert "min_iops up to 3000" in bob["share_error"] and daemon.wait_line("min_iops up to 3000")
    with FrontEnd.start(daemon.socket("bob/root")) as front:
        front.disk().write(0, bytes(512))
    change(daemon, "bob/root", weight=70)       # what has nothing to do with it is possible
    change(daemon, "alice/root", min_iops=2000)
    bob = daemon.api("GET", "/v1/disks/bob/root")[1]
    assert bob["share"]["min_iops"] == 6000 and "share_error" not in bob    # there is room now


def test_no_state_no_change(daemon):
    (daemon.folder / "state").rename(daemon.folder / "gone")
    status, sentence = refused(daemon, "disks/alice/root", {"weight": 5})
    assert status == 500 and "settings.conf: No such file or directory; nothing was changed" in sentence
    (daemon.folder / "gone").rename(daemon.folder / "state")
    change(daemon, "alice/root", weight=5)


@pytest.mark.parametrize("text, sentence", [
    ("[disk alice/root]\nweight = 9999999\n", "settings.conf:2: weight = 9999999 is out of range"),
    ("[disk alice/root]\nweight\n", "settings.conf:2: expected '[section name]' or 'key = value'"),
    ("\0\0\0\0", "settings.conf:1: the line holds a NUL byte"),
])
def test_damaged_settings(daemon, text, sentence):
    change(daemon, "alice/root", weight=5)
    daemon.kill()
    (daemon.folder / "state/settings.conf").write_text(text)
    daemon.start()
    assert daemon.wait_line(sentence) and daemon.wait_line("settings.conf.bad")
    assert share(daemon, "alice/root")["weight"] == 100
    assert (daemon.folder / "state/settings.conf.bad").read_text() == text


def reload(daemon):
    daemon.write_config()
    status, answer = daemon.api("POST", "/v1/reload")
    assert status == 200, answer
    return answer["changes"], answer["refused"]


def test_reload_changes_running_shares(daemon):
    with FrontEnd.start(daemon.socket("alice/root")) as front:
        daemon.sections["disk alice/root"].update(weight=300, max_bandwidth="20M")
        daemon.sections["guest alice"].update(group="gold", disk_min_iops=2000)
        daemon.sections["group gold"]["disk_weight"] = 500
        changes, not_done = reload(daemon)
        assert changes == ["group gold: disk_weight = 500", "guest alice: disk_min_iops = 2000",
                           "disk alice/root: weight = 300, max_bandwidth = 20M", "guest alice: group = gold"]
        assert not_done == []
        front.disk().write(0, bytes(4096))
    assert share(daemon, "alice/root")["max_bandwidth"] == 20 << 20
    assert daemon.api("GET", "/v1/guests/alice")[1]["group"] == "gold"
    daemon.sections["group gold"]["disk_weight"] = 600
    daemon.write_config()
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.wait_line("reload: group gold: disk_weight = 600")
    assert share(daemon, "gold", "groups")["disk_weight"] == 600


def test_reload_changes_shares_of_cards(daemon):
    daemon.sections["nic bob/eth0"].update(weight=60, max_bandwidth="20M", max_pps=8000)
    daemon.sections["guest bob"].update(nic_min_bandwidth="1M", disk_max_iops=900)
    daemon.sections["group gold"]["nic_weight"] = 40
    changes, not_done = reload(daemon)
    assert changes == ["group gold: nic_weight = 40", "guest bob: disk_max_iops = 900", "guest bob: nic_min_bandwidth = 1M",
                       "nic bob/eth0: weight = 60, max_pps = 8000, max_bandwidth = 20M"]
    assert not_done == [] and share(daemon, "bob/eth0", "nics")["weight"] == 60
    change(daemon, "bob", "guests", nic_min_bandwidth=3)
    daemon.sections["guest bob"].update(nic_min_bandwidth="2M", disk_max_iops=700)
    changes, not_done = reload(daemon)
    assert changes == ["guest bob: disk_max_iops = 700",
                       "guest bob: nic_min_bandwidth = 2M (what was set at run time comes first)"] and not not_done
    daemon.sections["nic bob/eth0"]["min_bandwidth"] = "30M"
    daemon.write_config()
    status, answer = daemon.api("POST", "/v1/reload")
    assert status == 422 and "max_bandwidth of [nic bob/eth0] is below its min_bandwidth" in str(answer)


def wait_waiting(daemon, disk):
    """Until a request waits for its turn."""
    wait_until(lambda: daemon.api("GET", f"/v1/disks/{disk}")[1]["time"]["waiting"], "a request waits")


def test_a_change_reaches_what_waits(daemon):
    """Three bytes a second: the second read would wait for longer than any test does, and the limit goes before."""
    change(daemon, "alice/root", max_bandwidth=3, burst=0)
    with FrontEnd.start(daemon.socket("alice/root")) as front:
        front.disk().write(0, bytes(4096))
        reader = threading.Thread(target=lambda: front.disk().read(0, 8))
        reader.start()
        wait_waiting(daemon, "alice/root")
        change(daemon, "alice/root", max_bandwidth=None)
        reader.join(PATIENCE_S)
        assert not reader.is_alive(), "it waits for the limit that was"


def test_reload_below_settings_of_run_time(daemon):
    change(daemon, "bob/root", weight=300)
    daemon.sections["disk bob/root"].update(weight=150, max_iops=70)
    changes, not_done = reload(daemon)
    assert changes == ["disk bob/root: weight = 150, max_iops = 70 (what was set at run time comes first)"] and not not_done
    assert share(daemon, "bob/root")["weight"] == 300 and share(daemon, "bob/root")["max_iops"] == 70
    assert change(daemon, "bob/root", weight=None)["weight"] == 150


def test_reload_swaps_reservations(daemon):
    daemon.sections["disk alice/root"]["min_iops"] = 8000
    assert reload(daemon) == (["disk alice/root: min_iops = 8000"], [])
    daemon.sections["disk alice/root"]["min_iops"] = 0
    daemon.sections["disk bob/root"]["min_iops"] = 8000
    changes, not_done = reload(daemon)
    assert changes == ["disk alice/root: min_iops = 0", "disk bob/root: min_iops = 8000"] and not not_done
    daemon.sections["disk alice/root"]["min_iops"] = 3000
    changes, not_done = reload(daemon)
    assert changes == [] and len(not_done) == 1
    assert not_done[0].startswith("disk alice/root: min_iops = 3000: the reservation is 30.0 % of the disk's time, and 10.0 %")
    daemon.sections["pool main"]["capacity_iops"] = 20000
    changes, not_done = reload(daemon)
    assert changes == ["pool main: capacity changed"] and not not_done
    assert daemon.api("GET", "/v1/pools/main")[1]["capacity"]["iops"] == 20000


def test_settings_follow_their_disk(daemon):
    daemon.api("POST", "/v1/disks", {"name": "carol/a", "pool": "main", "size_bytes": 4096})
    change(daemon, "carol/a", weight=33)
    change(daemon, "carol", "guests", disk_weight=44)
    assert daemon.api("PATCH", "/v1/disks/carol/a", {"name": "dave/b"})[0] == 200
    assert share(daemon, "dave/b")["weight"] == 33
    daemon.restart()
    assert share(daemon, "dave/b")["weight"] == 33
    assert daemon.api("DELETE", "/v1/disks/dave/b")[0] == 200
    assert "dave" not in settings_file(daemon) and "[guest carol]" in settings_file(daemon)


def test_a_guest_on_two_physical_disks(make_daemon, sections, tmp_path):
    whole = tmp_path / "whole.raw"
    whole.write_bytes(bytes(4 << 20))
    sections["disk alice/whole"] = {"path": whole, "capacity_iops": 1000, "capacity_bandwidth": "10M"}
    daemon = make_daemon(sections)
    assert daemon.api("GET", "/v1/disks/alice/whole")[1]["capacity"]["iops"] == 1000
    assert daemon.metrics()['viaduct_capacity_iops{guest="alice",disk="whole"}'] == 1000
    change(daemon, "alice", "guests", disk_min_iops=500)
    # Half of the small one; 2000 would fit on the large one, but not on both.
    status, sentence = refused(daemon, "guests/alice", {"disk_min_iops": 2000})
    assert status == 409 and "whole.raw" in sentence
    assert daemon.metrics()['viaduct_capacity_reserved_ratio{pool="main"}'] == pytest.approx(0.05, rel=0.01)


def test_time_is_accounted(daemon):
    with FrontEnd.start(daemon.socket("alice/root")) as front:
        for sector in range(0, 800, 8):
            front.disk().write(sector, bytes(4096))
        spent = daemon.api("GET", "/v1/disks/alice/root")[1]["time"]
        assert spent["device_ns"] > 0 and spent["waiting"] == 0
        assert daemon.metrics()['viaduct_disk_device_seconds_total{guest="alice",disk="root"}'] > 0
        change(daemon, "alice/root", max_bandwidth=3, burst=0)
        requests = [front.disk().submit(IN, 0, 4096) for _ in range(2)]
        wait_waiting(daemon, "alice/root")
        change(daemon, "alice/root", max_bandwidth=None)
        assert [front.disk().finish(request)[0] for request in requests] == [OK, OK]
        disk = daemon.api("GET", "/v1/disks/alice/root")[1]
        assert disk["time"]["throttled_ns"] > 0 and disk["time"]["wait_ns"]["p50"] > 0
        metrics = daemon.metrics()
        assert metrics['viaduct_disk_throttled_seconds_total{guest="alice",disk="root"}'] > 0
        assert metrics['viaduct_disk_wait_seconds_count{guest="alice",disk="root"}'] >= 1
    assert daemon.api("GET", "/v1/disks/bob/root")[1]["time"]["device_ns"] == 0


SLOW_IOPS = 500


@pytest.fixture
def slow(sections):
    """The pool's disk is another, of which nothing is said: two milliseconds for each request, one after the other."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system of its own")
    with FuseDisk(64 << 20) as disk:
        sections["pool main"].update(path=disk.path, capacity_iops=None, capacity_bandwidth=None)
        yield disk


def kept_of(daemon):
    """What is kept of disks that were seen at work."""
    return list((daemon.folder / "state").glob("disk-*.cost"))


def capacity_of(daemon):
    return daemon.api("GET", "/v1/pools/main")[1]["capacity"]


def keep_busy(daemon, until):
    """Two guests want all that the slow disk can do, until it is so."""
    fronts = [FrontEnd.start(daemon.socket(f"{guest}/root")) for guest in ("alice", "bob")]
    try:
        requests = [(front, front.disk().submit(OUT, 0, bytes(4096))) for _ in range(48) for front in fronts]
        deadline = time.monotonic() + PATIENCE_S
        while not until():
            assert time.monotonic() < deadline, capacity_of(daemon)
            for _ in range(20):
                front, request = requests.pop(0)
                assert front.disk().finish(request)[0] == OK
                requests.append((front, front.disk().submit(OUT, 0, bytes(4096))))
    finally:
        for front in fronts:
            front.close()


def test_what_a_disk_does_is_seen_and_kept(make_daemon, sections, slow):
    daemon = make_daemon(sections)
    supposed = capacity_of(daemon)
    assert supposed["origin"] == "supposed" and "seen_ago_ns" not in supposed
    slow.tell("slow 2")
    keep_busy(daemon, lambda: capacity_of(daemon)["iops"] < 2 * SLOW_IOPS)
    seen = capacity_of(daemon)
    assert seen["origin"] == "seen" and seen["seen_ago_ns"] < 60e9 and not kept_of(daemon)
    slow.tell("ok")
    assert daemon.stop() == 0
    kept, = kept_of(daemon)
    text = kept.read_text()
    assert text.startswith(f"disk {slow.path} size {64 << 20} block 512 cache 0\nviaduct-disk-cost 2\nwindow ")
    daemon.start()
    assert capacity_of(daemon)["origin"] == "kept" and capacity_of(daemon)["iops"] < 2 * SLOW_IOPS
    take_over(daemon)
    assert capacity_of(daemon)["origin"] == "kept" and kept.read_text() == text
    # What is damaged is of no use, and no harm.
    assert daemon.stop() == 0
    kept.write_text(text.replace("window", "widow"))
    daemon.start()
    assert capacity_of(daemon)["origin"] == "supposed"
    # What is said comes before what is kept.
    assert daemon.stop() == 0
    kept.write_text(text)
    daemon.sections["pool main"].update(capacity_iops=10000, capacity_bandwidth="100M")
    daemon.write_config()
    daemon.start()
    assert (capacity_of(daemon)["origin"], capacity_of(daemon)["iops"]) == ("said", 10000)


def test_a_reservation_that_the_disk_cannot_keep_is_taken_back(make_daemon, sections, slow):
    """Whatever it asks for is granted, until the disk is seen to do less; and again when it is seen to do more."""
    sections["disk alice/root"]["min_iops"] = 20
    daemon = make_daemon(sections)
    assert change(daemon, "bob/root", min_iops=200)["min_iops"] == 200
    slow.tell("slow 10")
    keep_busy(daemon, lambda: share(daemon, "bob/root")["min_iops"] == 0)
    assert daemon.wait_line("disk bob/root: the reservation is ")
    assert share(daemon, "alice/root")["min_iops"] == 20
    slow.tell("slow 1")
    keep_busy(daemon, lambda: share(daemon, "bob/root")["min_iops"] == 200)
