# SPDX-License-Identifier: GPL-2.0-or-later
"""A daemon with two workers, for devices whose queues are on both, and the proof that they are."""
import contextlib

from daemon import Daemon

ROUNDS = 200


@contextlib.contextmanager
def two_workers(folder, disk):
    """A daemon that runs; `disk`: the keys of alice's and of two hostile guests' disks. The victims' are ordinary ones."""
    victim = {"pool": "main", "size": "8M"}
    sections = {"daemon": {"workers": 2, "sandbox": "yes"}, "pool main": {"path": folder / "main.pool", "size": "256M"}}
    for guest, keys in (("alice", disk), ("mallory1", disk), ("mallory2", disk), ("victim", victim), ("victim2", victim)):
        sections |= {f"guest {guest}": {}, f"disk {guest}/root": keys}
    daemon = Daemon(sections, folder)
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.finish()


def turns(daemon):
    metrics = daemon.metrics()
    return [metrics[f'viaduct_worker_turns_total{{worker="{number}"}}'] for number in range(2)]


def expect_both_to_serve(daemon, ask):
    """A worker that has nothing to do sleeps. ask(queue), answered, is a turn of the queue's worker at least."""
    def turned(queue):
        daemon.wait_idle()
        before = turns(daemon)
        for _ in range(ROUNDS):
            ask(queue)
        return [after - earlier for after, earlier in zip(turns(daemon), before)]

    home = turned(0)
    other = home.index(min(home))
    assert home[other] < ROUNDS, "the first queue is served by one worker"
    # Doorbells are rung at home all the same.
    assert turned(1)[other] >= ROUNDS, "the second queue is served by the other worker"
