# SPDX-License-Identifier: GPL-2.0-or-later
"""All rows, and the scenes that they share."""
import attacks
import sieges
from scene import GUESTS, Scene, guests

# Hostile guests with a worker of their own: as many as take turns.
OWN_WORKERS = 4


def catalogue(stack):
    """(rows, the scene in which the daemon ends). The scenes are closed by `stack`."""
    common = Scene(guests(GUESTS))
    one_worker = Scene({"daemon": {"workers": 1}, **guests(1, size="64M", queues=sieges.RINGS),
                        "disk mallory00/large": {"pool": "main", "size": "1200M", "queues": sieges.RINGS}}, "--no-event-idx")
    own_workers = Scene({**guests(OWN_WORKERS), **{f"guest mallory{number:02}": {"own_worker": "yes"} for number in range(OWN_WORKERS)}})
    restarted, ended = Scene(guests(GUESTS), "--reconnect"), Scene(guests(GUESTS), "--reconnect")
    for scene in (common, one_worker, own_workers, restarted, ended):
        stack.callback(scene.close)
    rows = [*attacks.wire_rows_of(common), *sieges.peer_rows(common), *sieges.own_worker_rows(own_workers),
            *attacks.storm_rows(one_worker), *sieges.size_rows(one_worker), *attacks.host_rows(restarted)]
    return rows, ended
