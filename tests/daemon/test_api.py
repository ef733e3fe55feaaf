# SPDX-License-Identifier: GPL-2.0-or-later
"""The control API over its socket: every route, every refusal."""
import json
import socket
import stat

import pytest

from conftest import basic
from daemon import UnixHttp
from frontend import FrontEnd
from patience import wait_until

MIB = 1 << 20


def test_status(daemon):
    status, answer = daemon.api("GET", "/v1/status")
    assert status == 200
    assert answer["pid"] == daemon.pid
    assert [disk["name"] for disk in answer["devices"]] == ["alice/root"]
    disk = answer["devices"][0]
    assert (disk["kind"], disk["pool"], disk["size_bytes"], disk["connected"]) == ("disk", "main", 8 * MIB, False)
    assert set(disk["operations"]) == {"read", "write", "flush", "discard", "write-zeroes"}
    assert set(disk["operations"]["read"]) == {"operations", "bytes", "latency_ns"}
    assert disk["socket"] == str(daemon.socket("alice/root"))


def test_socket_modes(daemon):
    assert stat.S_IMODE((daemon.runtime / "api.sock").stat().st_mode) == 0o660
    assert stat.S_IMODE((daemon.runtime / "takeover.sock").stat().st_mode) == 0o600
    assert stat.S_IMODE(daemon.socket("alice/root").stat().st_mode) == 0o600


def test_status_counts_what_a_guest_does(daemon):
    with FrontEnd.start(daemon.socket("alice/root")) as front:
        front.disk().write(0, b"x" * 4096)
        front.disk().read(0, 8)
        disk = daemon.api("GET", "/v1/disks/alice/root")[1]
        assert disk["connected"] and disk["queues_running"] == 1
        assert disk["operations"]["write"]["bytes"] == 4096
        assert disk["operations"]["read"]["latency_ns"]["p99"] >= disk["operations"]["read"]["latency_ns"]["p50"] > 0
        assert int(disk["features"], 16) & 1 << 32
        metrics = daemon.metrics()
        assert metrics['viaduct_disk_bytes_total{guest="alice",disk="root",operation="write"}'] == 4096
        assert metrics['viaduct_disk_latency_seconds_bucket{guest="alice",disk="root",operation="read",le="+Inf"}'] == 1
        assert metrics['viaduct_device_connections{guest="alice",device="root",kind="disk"}'] == 1


def test_pool_map(daemon):
    status, pools = daemon.api("GET", "/v1/pools")
    assert status == 200 and [pool["name"] for pool in pools["pools"]] == ["main"]
    pool = daemon.api("GET", "/v1/pools/main")[1]
    assert pool["used_bytes"] == 8 * MIB
    assert pool["metadata_bytes"] + pool["used_bytes"] + pool["free_bytes"] <= pool["total_bytes"] == 64 * MIB
    owned = [run for run in pool["map"] if run["owner"]]
    assert sum(run["length_bytes"] for run in owned) == 8 * MIB
    assert {run["owner"] for run in owned} == {"alice/root"}
    end = pool["map"][0]["offset_bytes"]
    for run in pool["map"]:
        assert run["offset_bytes"] == end
        end += run["length_bytes"]


def test_create_grow_rename_delete(daemon):
    status, disk = daemon.api("POST", "/v1/disks", {"name": "bob/data", "pool": "main", "size_bytes": 4 * MIB})
    assert status == 201 and disk["size_bytes"] == 4 * MIB
    assert daemon.socket("bob/data").is_socket()
    assert [guest["name"] for guest in daemon.api("GET", "/v1/guests")[1]["guests"]] == ["alice", "bob"]
    status, disk = daemon.api("PATCH", "/v1/disks/bob/data", {"size_bytes": 6 * MIB})
    assert status == 200 and disk["size_bytes"] == 6 * MIB
    status, disk = daemon.api("PATCH", "/v1/disks/bob/data", {"name": "carol/big"})
    assert status == 200 and disk["name"] == "carol/big"
    assert not daemon.socket("bob/data").exists() and daemon.socket("carol/big").is_socket()
    with FrontEnd.start(daemon.socket("carol/big")) as front:
        front.disk().write(6 * MIB // 512 - 1, b"end" + bytes(509))
    wait_disconnected(daemon, "carol/big")
    answer = daemon.api("DELETE", "/v1/disks/carol/big")
    assert answer[0] == 200, answer
    assert daemon.api("GET", "/v1/disks/carol/big")[0] == 404
    assert not daemon.socket("carol/big").exists()
    assert daemon.api("GET", "/v1/guests/carol")[0] == 404


def wait_disconnected(daemon, name):
    wait_until(lambda: not daemon.api("GET", f"/v1/disks/{name}")[1]["connected"], f"{name} is not connected")


def test_disks_survive_a_restart(daemon):
    daemon.api("POST", "/v1/disks", {"name": "bob/data", "pool": "main", "size_bytes": 4 * MIB})
    daemon.restart()
    assert daemon.api("GET", "/v1/disks/bob/data")[1]["size_bytes"] == 4 * MIB


def test_serials_of_long_names_differ(make_daemon, tmp_path):
    """A serial has 20 characters: names that begin alike have different ones, the same ones after a restart."""
    daemon = make_daemon({**basic(tmp_path), "guest postgres-primary-1": {}})
    names = [f"postgres-primary-1/{name}" for name in ("data-01", "data-02", "wal", "a")] + ["alice/name-that-fits"]
    for name in names:
        assert daemon.api("POST", "/v1/disks", {"name": name, "pool": "main", "size_bytes": 1 << 20})[0] == 201
    serials = {name: daemon.api("GET", f"/v1/disks/{name}")[1]["serial"] for name in names}
    assert len(set(serials.values())) == len(names) and all(len(serial) <= 20 for serial in serials.values())
    assert serials[names[-1]] == names[-1] and serials[names[3]] == names[3]
    daemon.restart()
    assert serials == {name: daemon.api("GET", f"/v1/disks/{name}")[1]["serial"] for name in names}


def test_place_at_boot(daemon):
    """As it is configured, from a reload on."""
    assert "boot" not in daemon.api("GET", "/v1/disks/alice/root")[1]
    daemon.sections["disk alice/root"]["boot"] = 3
    daemon.write_config()
    assert daemon.api("POST", "/v1/reload")[0] == 200
    assert daemon.api("GET", "/v1/disks/alice/root")[1]["boot"] == 3


def test_guest(daemon):
    guest = daemon.api("GET", "/v1/guests/alice")[1]
    assert guest["memory_bytes"] == 512 * MIB and guest["declared"]
    device, = guest["devices"]
    assert (device["name"], device["kind"], device["socket_mode"]) == ("alice/root", "disk", "listen")


REFUSALS = [
    ("GET", "/v1/disks/alice/none", None, 404, "there is no disk 'alice/none'"),
    ("GET", "/v1/pools/none", None, 404, "there is no pool 'none'"),
    ("GET", "/v1/guests/none", None, 404, "there is no guest 'none'"),
    ("GET", "/v2/status", None, 404, "there is nothing at /v2/status"),
    ("GET", "/v1/disks/../etc", None, 404, "there is nothing at"),
    ("DELETE", "/v1/status", None, 405, "DELETE is not possible here; possible: GET"),
    ("PUT", "/v1/disks/alice/root", None, 405, "PUT is not possible here; possible: GET, PATCH, DELETE"),
    ("POST", "/v1/disks", b"{", 400, "the body is not JSON: line 1, column 1"),
    ("POST", "/v1/disks", b"[]", 400, "the body must be a JSON object"),
    ("POST", "/v1/disks", b"[" * 100, 400, "the body is nested deeper than 16 levels"),
    ("POST", "/v1/disks", b'{"name":"a/b"}', 400, "pool is missing: a string"),
    ("POST", "/v1/disks", b'{"nam":"a/b"}', 400, "unknown field 'nam'; possible: name, pool, size_bytes"),
    ("POST", "/v1/disks", b'{"name":"a/b","name":"a/c"}', 400, "the body is not JSON"),
    ("POST", "/v1/disks", b'{"name":1}', 400, "name must be a string"),
    ("POST", "/v1/disks", b'{"name":"a/b","pool":"main","size_bytes":0}', 400, "size_bytes must be more than 0"),
    ("POST", "/v1/disks", b'{"name":"a/b","pool":"main","size_bytes":-5}', 400, "size_bytes must be more than 0"),
    ("POST", "/v1/disks", b'{"name":"a/b","pool":"main","size_bytes":1e3}', 400, "size_bytes must be a whole number"),
    ("POST", "/v1/disks", b'{"name":"ab","pool":"main","size_bytes":4096}', 400, "'ab' is not a disk's name"),
    ("POST", "/v1/disks", b'{"name":"a/../b","pool":"main","size_bytes":4096}', 400, "is not a disk's name"),
    ("POST", "/v1/disks", b'{"name":"a/b","pool":"none","size_bytes":4096}', 404, "there is no pool 'none'"),
    ("POST", "/v1/disks", b'{"name":"alice/root","pool":"main","size_bytes":4096}', 409, "there is a disk alice/root"),
    ("POST", "/v1/disks", b'{"name":"a/b","pool":"main","size_bytes":1099511627776}', 507, "free"),
    ("PATCH", "/v1/disks/alice/root", b'{"size_bytes":4096}', 409, "alice/root has 8M; shrinking a disk is refused"),
    ("PATCH", "/v1/disks/alice/root", b'{"size_bytes":1099511627776}', 507, "free"),
    ("PATCH", "/v1/disks/alice/root", b'{}', 400, "give either size_bytes, to grow the disk, or name"),
    ("PATCH", "/v1/disks/alice/none", b'{}', 404, "there is no disk"),
    ("PATCH", "/v1/disks/alice/root", b'{"name":"x/y"}', 409, "is declared at"),
    ("DELETE", "/v1/disks/alice/root", None, 409, "is declared at"),
    ("DELETE", "/v1/disks/alice/none", None, 404, "there is no disk"),
]


def call(daemon, method, path, body):
    connection = UnixHttp(daemon.runtime / "api.sock")
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer, json.loads(answer.read())


def test_refusals(daemon):
    for method, path, body, status, sentence in REFUSALS:
        answer, data = call(daemon, method, path, body)
        assert answer.status == status, (method, path, body, data)
        assert sentence in data["error"], (method, path, body)
        if status == 405:
            assert answer.headers["Allow"] in data["error"]


def test_connected_disks_stay(daemon):
    daemon.api("POST", "/v1/disks", {"name": "bob/data", "pool": "main", "size_bytes": 4 * MIB})
    with FrontEnd.start(daemon.socket("bob/data")):
        for method, body in ("DELETE", None), ("PATCH", {"name": "bob/other"}):
            status, answer = daemon.api(method, "/v1/disks/bob/data", body)
            assert status == 409 and "bob/data is connected" in answer["error"]
        status, disk = daemon.api("PATCH", "/v1/disks/bob/data", {"size_bytes": 5 * MIB})
        assert status == 200 and disk["size_bytes"] == 5 * MIB


@pytest.mark.parametrize("announced", [True, False])
def test_large_bodies(daemon, announced):
    connection = UnixHttp(daemon.runtime / "api.sock")
    connection.putrequest("POST", "/v1/disks")
    if announced:
        connection.putheader("Content-Length", "70000")
        connection.endheaders()
    else:
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        for _ in range(18):
            connection.send(b"1000\r\n" + b" " * 4096 + b"\r\n")
        connection.send(b"0\r\n\r\n")
    answer = connection.getresponse()
    assert answer.status == 413
    assert "the body is larger than 65536 bytes" in json.loads(answer.read())["error"]
    assert daemon.api("GET", "/v1/status")[0] == 200


def test_many_silent_clients_do_not_stop_a_worker(daemon):
    idle = [socket.socket(socket.AF_UNIX) for _ in range(80)]
    try:
        for client in idle:
            client.connect(str(daemon.runtime / "api.sock"))
        with FrontEnd.start(daemon.socket("alice/root")) as front:
            front.disk().write(0, b"y" * 4096)
            assert front.disk().read(0, 8) == b"y" * 4096
    finally:
        for client in idle:
            client.close()
    daemon.wait_ready()


def test_requests_in_a_row_and_rubbish(daemon):
    connection = UnixHttp(daemon.runtime / "api.sock")
    for _ in range(50):
        connection.request("GET", "/v1/status")
        assert connection.getresponse().read()
    rubbish = socket.socket(socket.AF_UNIX)
    rubbish.connect(str(daemon.runtime / "api.sock"))
    rubbish.sendall(bytes(range(256)) * 100)
    rubbish.close()
    assert daemon.api("GET", "/v1/status")[0] == 200


def test_metrics_are_well_formed(daemon):
    status, text = daemon.api("GET", "/metrics", raw=True)
    assert status == 200
    helped = typed = None
    for line in text.decode().splitlines():
        if line.startswith("# HELP "):
            helped = line.split()[2]
        elif line.startswith("# TYPE "):
            typed = line.split()[2]
            assert typed == helped
        else:
            name = line.split("{")[0].split(" ")[0]
            assert name == typed or name.rsplit("_", 1)[0] == typed
            float(line.rsplit(" ", 1)[1])
    assert 'viaduct_build_info{version=' in text.decode()
