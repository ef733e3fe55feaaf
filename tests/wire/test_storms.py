# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's CPU time is shared: what a hostile guest's storm costs, that guest pays, and an honest guest on the same
worker goes on. How long the honest guest waits is measured by `./run bench-hostile`.
"""
import pytest

import storms
from daemon import Daemon
from frontend import FrontEnd
from hostile import scribbler
from patience import wait_until
from victim_process import VictimProcess

ROUNDS = 20                     # of all rings of the storm; the honest guest goes on in each


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """One worker for all guests."""
    folder = tmp_path_factory.mktemp("viaduct")
    instance = Daemon({
        "daemon": {"workers": 1},
        "pool main": {"path": folder / "main.pool", "size": "256M"},
        "guest honest": {}, "disk honest/root": {"pool": "main", "size": "8M"},
        "guest mallory": {}, "disk mallory/root": {"pool": "main", "size": "64M", "queues": storms.QUEUES},
    }, folder)
    try:
        instance.start()
        yield instance
    finally:
        instance.finish()


@pytest.fixture(scope="module")
def honest(daemon):
    victim = VictimProcess(daemon.socket("honest/root"), "--no-event-idx")
    try:
        yield victim
        victim.finish()
    finally:
        victim.kill()


def counted(daemon, what):
    """A counter of the hostile guest's disk."""
    return daemon.metrics()[f'viaduct_device_{what}_total{{guest="mallory",device="root",kind="disk"}}']


@pytest.mark.parametrize("storm", storms.KINDS)
def test_storm(daemon, honest, storm):
    """Both go on: neither the honest guest nor the storm waits for the end of the other."""
    with FrontEnd.start(daemon.socket("mallory/root"), storms.SETUP) as front:
        storms.fill_rings(front, storm)
        paid, chains = counted(daemon, "cpu_seconds"), counted(daemon, "chains")
        with scribbler(lambda: storms.refill(front)):
            for number in range(ROUNDS):
                honest.progress()
                goal = chains + number * storms.RING
                wait_until(lambda: counted(daemon, "chains") >= goal, "the storm goes on")
        assert counted(daemon, "cpu_seconds") > paid, "the storm costs its guest nothing"
        # The stores of the other process are not known here.
        front.queues[0].ring.next_available = front.queues[0].ring.used_idx()
    honest.progress()


def test_kick_storm(daemon, honest):
    """A kick is worth a look at an empty ring, and no more."""
    with FrontEnd.start(daemon.socket("mallory/root"), storms.SETUP) as front:
        before = counted(daemon, "kicks")
        with scribbler(lambda: storms.kick(front)):
            for _ in range(ROUNDS):
                honest.progress()
            wait_until(lambda: counted(daemon, "kicks") > before, "kicks are heard")
            # A ring that is stormed is served like any other.
            assert front.disk(1).read(0, 8) == bytes(4096)
