# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon of the tests of NVMe disks."""
import contextlib

from daemon import Daemon

MIB = 1 << 20
DISK_BYTES = 16 * MIB


@contextlib.contextmanager
def nvme_daemon(folder, workers=1):
    """A pool with NVMe disks and a virtio disk, and a file. With two workers, a controller's queues are on both."""
    (folder / "whole.raw").write_bytes(bytes(8 * MIB))
    model = {"pool": "main", "size": "16M", "model": "nvme"}
    instance = Daemon({
        "daemon": {"sandbox": "yes", "workers": workers},
        "pool main": {"path": folder / "main.pool", "size": "512M"},
        "guest alice": {}, "disk alice/root": {**model, "serial": "alice-serial", "queues": 4},
        "disk alice/virtio": {"pool": "main", "size": "16M"},
        "disk alice/whole": {"path": folder / "whole.raw", "model": "nvme"},
        "guest bob": {}, "disk bob/root": model, "disk bob/fixed": {**model, "read_only": "yes"},
        "disk bob/large-sectors": {**model, "sector": 4096},
    }, folder)
    try:
        instance.start()
        yield instance
    finally:
        instance.finish()
