# SPDX-License-Identifier: GPL-2.0-or-later
"""Network cards in the daemon's life: handed over to a successor under traffic, reloaded, and stopped."""
import subprocess

import pytest

from conftest import basic
from nic import Card, mac
from patience import wait_until
from test_reload import reload
from test_takeover import take_over

ALICE, BOB = mac("52:54:00:00:00:01"), mac("52:54:00:00:00:02")


@pytest.fixture
def network(make_daemon, tmp_path):
    return make_daemon({
        **basic(tmp_path), "guest bob": {}, "switch lan": {},
        "nic alice/eth0": {"switch": "lan", "mac": "52:54:00:00:00:01"},
        "nic bob/eth0": {"switch": "lan", "mac": "52:54:00:00:00:02"},
    })


def socket(daemon, guest):
    return daemon.runtime / guest / "nic-eth0.sock"


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_takeover_under_traffic(network, packed):
    """The cards stay connected, on the rings and with the posted buffers that they have; nothing comes twice."""
    with Card(socket(network, "alice"), ALICE, packed=packed) as alice, \
            Card(socket(network, "bob"), BOB, packed=packed) as bob:
        bob.post(32)
        alice.post(32)
        for turn in range(10):
            data = alice.send(bob, bytes([turn]) * 99)
            assert bob.receive() == data
            take_over(network)
            data = bob.send(alice, bytes([turn]) * 77)
            assert alice.receive() == data
            assert bob.is_empty()
        status, card = network.api("GET", "/v1/devices/nic/alice/eth0")
        assert status == 200 and card["connected"] and card["received"]["frames"] == 1


def frames_in(path):
    done = subprocess.run(["tshark", "-r", path, "-T", "fields", "-e", "frame.number"], capture_output=True, text=True, check=False)
    return len(done.stdout.split()) if done.returncode == 0 else 0


def test_mirror_goes_on_over_takeovers(network, tmp_path):
    """In the same file: each daemon appends a section of its own."""
    path = tmp_path / "alice.pcapng"
    network.sections["nic alice/eth0"]["mirror"] = path
    assert reload(network) == (["nic alice/eth0: its mirror was changed"], [])
    network.wait_line(f"mirror {path}: begins")
    with Card(socket(network, "alice"), ALICE) as alice, Card(socket(network, "bob"), BOB) as bob:
        bob.post(32)
        for turn in range(1, 4):
            data = alice.send(bob, bytes([turn]) * 99)
            assert bob.receive() == data
            wait_until(lambda count=turn: frames_in(path) == count, "the frame is in the file")
            since = len(network.lines)
            take_over(network)
            network.wait_line(f"mirror {path}: begins", since)


def test_a_reload_moves_a_card_to_another_switch(network):
    network.sections["switch other"] = {}
    network.sections["nic bob/eth0"]["switch"] = "other"
    changes, refused = reload(network)
    assert sorted(changes) == ["nic bob/eth0: served anew with its new attributes", "switch other: added"]
    assert refused == []
    with Card(socket(network, "alice"), ALICE) as alice, Card(socket(network, "bob"), BOB) as bob:
        bob.post(1)
        alice.send(bob, b"not there any more")
        assert bob.is_empty()
        assert network.api("GET", "/v1/devices/nic/alice/eth0")[1]["dropped"]["unknown"] == 1
    wait_until(lambda: not network.api("GET", "/v1/devices/nic/bob/eth0")[1]["connected"], "Bob's card is gone")
    network.sections["nic bob/eth0"]["switch"] = "lan"
    del network.sections["switch other"]
    changes, refused = reload(network)
    assert sorted(changes) == ["nic bob/eth0: served anew with its new attributes", "switch other: removed"]
    assert refused == []


def test_two_cards_of_one_address(network):
    network.sections["nic bob/eth0"]["mac"] = "52:54:00:00:00:01"
    network.write_config()
    status, answer = network.api("POST", "/v1/reload")
    assert status == 422 and "has the address of" in answer["error"]
