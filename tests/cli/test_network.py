# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about switches, cards and forwards, against the real daemon."""
import json
import subprocess
import time

import pytest

from conftest import BUILD
from real_daemon import PATIENCE, Daemon

CONFIGURATION = """
[guest alice]
[switch lan]
uplink = user
[switch broken]
uplink = packet:no-such-card
[nic alice/eth0]
switch = lan
mac = 52:54:00:00:00:01
vlan = 5
mirror = /missing/mirror
"""


@pytest.fixture
def network(viaduct, short_dir):
    daemon = Daemon(BUILD / "src/daemon/viaductd", short_dir, pool_size="64M", extra=CONFIGURATION).start()
    yield viaduct
    daemon.stop()


def test_switches(network):
    listed = network("switch", "list")
    assert listed.code == 0
    rows = {line.split()[0]: line for line in listed.out.splitlines()}
    assert "user" in rows["lan"] and "up" in rows["lan"]
    assert "uplink packet:no-such-card: " in rows["broken"]
    shown = network("switch", "show", "lan")
    assert shown.code == 0 and "switch lan, uplink user, MTU 1500" in shown.out
    ports = [line.split() for line in shown.out.splitlines() if line.startswith(("uplink ", "alice/eth0 "))]
    assert [port[0] for port in ports] == ["uplink", "alice/eth0"]
    assert ports[1][1:4] == ["52:54:00:00:00:01", "5", "up"] and ports[1][-2:] == ["none", "[mirror]"]
    assert "52:54:00:00:00:01  alice/eth0  configured" in shown.out
    assert json.loads(network("switch", "show", "lan", "--json").out)["uplink"]["kind"] == "user"
    unknown = network("switch", "show", "wan")
    assert unknown.code == 1 and "there is no switch 'wan'" in unknown.err


def await_shown(network, is_there):
    deadline = time.monotonic() + PATIENCE
    while not is_there(network("nic", "show", "alice/eth0").out):
        assert time.monotonic() < deadline, network("nic", "show", "alice/eth0").out
        time.sleep(0.01)


def test_who_looks_on(viaduct, network, short_dir):
    shown = network("nic", "show", "alice/eth0")
    assert shown.code == 0
    rows = {line.split("  ")[0]: line.split("  ", 1)[1].strip() for line in shown.out.splitlines()}
    assert rows["NIC"] == "alice/eth0" and rows["DHCP"] == "10.0.2.15" and rows["WATCHED BY"] == "[mirror]"
    assert rows["MIRROR"].endswith("/missing/mirror") and rows["SWITCH"] == "lan"
    capture = subprocess.Popen([viaduct.program, "--runtime-dir", viaduct.runtime_dir, "capture", "alice/eth0", "-w",
                                short_dir / "captured"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    await_shown(network, lambda out: "[mirror], 1 capture" in out)
    assert "[mirror], 1 capture" in network("nic", "list").out
    assert "[mirror], 1 capture" in network("switch", "show", "lan").out
    capture.terminate()
    capture.wait()
    await_shown(network, lambda out: "capture" not in out)
    log = (short_dir / "viaductd.log").read_text().splitlines()
    assert [line for line in log if not line.startswith("viaductd: ")] == []
    missing = network("nic", "show", "alice/eth9")
    assert missing.code == 1 and "alice/eth9" in missing.err


@pytest.mark.parametrize("words", [("nic", "show"), ("nic", "set"), ("nic", "link", "eth0", "up")])
def test_names_of_cards(network, words):
    wrong = network(*words[:2], "eth0", *words[3:])
    assert wrong.code == 2 and "write GUEST/NIC" in wrong.err


def test_forwards(network):
    added = network("forward", "add", "lan", "udp:127.0.0.3:5301-10.0.2.15:53")
    assert added.code == 0 and "udp:127.0.0.3:5301-10.0.2.15:53" in added.out and "works" in added.out
    for words in ["forward", "list"], ["forward", "list", "lan"]:
        assert network(*words).out == added.out
    assert "10.0.2.15" not in network("forward", "list", "broken").out
    again = network("forward", "add", "lan", "udp:127.0.0.3:5301-10.0.2.15:53")
    assert again.code == 1 and "is there already" in again.err
    wrong = network("forward", "add", "lan", "8080:80")
    assert wrong.code == 1 and "is no forward; write for example tcp:" in wrong.err
    removed = network("forward", "remove", "lan", "udp:127.0.0.3:5301-10.0.2.15:53")
    assert removed.code == 0 and "5301" not in removed.out
    assert network("forward", "add", "lan").code == 2


def test_shares_of_cards(network):
    assert "none" in network("nic", "set", "alice/eth0").out
    done = network("nic", "set", "alice/eth0", "max_pps=7000", "max_bandwidth=1M")
    assert done.code == 0 and "7 000" in done.out and "1 MiB/s" in done.out
    assert network("nic", "set", "alice/eth0").out == done.out
    done = network("guest", "set", "alice", "nic_weight=7", "disk_max_iops=9")
    assert done.code == 0 and "nic_weight" in done.out and "disk_max_iops" in done.out
    assert " max 7 000/s, 1 MiB/s " in network("status").out
    missing = network("nic", "set", "alice/eth9", "weight=1")
    assert missing.code == 1 and "there is no nic 'alice/eth9'" in missing.err


def test_links(network):
    down = network("nic", "link", "alice/eth0", "down")
    assert down.code == 0 and down.out == "alice/eth0: the link is down\n"
    assert "down" in network("nic", "list").out
    assert network("nic", "link", "alice/eth0", "default").out == "alice/eth0: the link is up\n"
    assert network("nic", "link", "alice/eth0", "sideways").code == 2
    missing = network("nic", "link", "alice/eth9", "up")
    assert missing.code == 1 and "there is no nic 'alice/eth9'" in missing.err
