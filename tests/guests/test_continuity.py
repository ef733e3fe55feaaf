# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon is killed and started again under guests that verify what they write."""
import os
import time

import pytest

import load
import qemu

# How often the daemon is killed; the promise is tested with 100, an ordinary run with fewer.
KILLS = int(os.environ.get("VIADUCT_KILLS", "10"))


@pytest.mark.parametrize("packed, queues", [(True, 1), (False, 4), *qemu.long_only((False, 1), (True, 4))])
def test_killed_under_load(one_disk, machine, packed, queues):
    guest = machine([qemu.Disk(one_disk.socket("alice/root"), packed=packed, queues=queues)], cpus=queues)
    writers = load.Load(guest).start()
    for _ in range(max(1, KILLS // 4)):
        one_disk.kill()
        one_disk.start()
        writers.wait_progress()
    assert writers.finish() > 0


def test_killed_while_idle(one_disk, machine):
    guest = machine([qemu.Disk(one_disk.socket("alice/root"))])
    remembered = guest.run("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt && dd if=/dev/urandom of=/mnt/file bs=256k "
                           "count=16 2>/dev/null && sync && sha256sum /mnt/file")
    one_disk.kill()
    one_disk.start()
    guest.run("echo 3 >/proc/sys/vm/drop_caches")
    assert guest.run("sha256sum /mnt/file") == remembered
    assert guest.disk_errors() == ""


def test_down_for_a_while(one_disk, machine):
    """Requests made while there is no daemon wait; they are not lost and give no error."""
    guest = machine([qemu.Disk(one_disk.socket("alice/root"))])
    writers = load.Load(guest).start()
    one_disk.kill()
    time.sleep(2.5)             # QEMU tries to connect every second, and finds nothing
    one_disk.start()
    writers.wait_progress()
    writers.finish()


def test_stopped_and_started(one_disk, machine):
    """An orderly end of the daemon is no more of an event for the guest than a crash."""
    guest = machine([qemu.Disk(one_disk.socket("alice/root"), queues=2)], cpus=2)
    writers = load.Load(guest).start()
    for _ in range(3):
        one_disk.stop()
        one_disk.start()
        writers.wait_progress()
    writers.finish()
