# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest memory in a file on a disk, as an NVDIMM's is: it is left out, the guest runs, and only what names it fails."""
import os
import tempfile

import pytest

import blk
from frontend import FrontEnd, Setup
from guest_memory import GuestMemory, Region
from patience import wait_until
from vhost_user import Closed
from virtio import Buffer

NVDIMM = 0x1_0000_0000
MIB = 1 << 20


def on_disk(size):
    with tempfile.TemporaryFile(dir="/var/tmp") as file:
        file.truncate(size)
        return os.dup(file.fileno())


@pytest.fixture
def memory():
    result = GuestMemory(Region(0x10_0000, 4 * MIB), Region(NVDIMM, MIB, fd=on_disk(MIB)))
    assert os.statvfs("/var/tmp").f_fsid != os.statvfs("/dev/shm").f_fsid
    return result


def roundtrip(front, sector):
    data = os.urandom(4096)
    front.disk().write(sector, data)
    assert front.disk().read(sector, 8) == data


@pytest.mark.parametrize("style", ["qemu", "libblkio"])
def test_the_guest_runs(daemon, alice, memory, style):
    """Told in a table, or added one by one; removed, and added again."""
    with FrontEnd.start(alice, Setup(style=style), memory) as front:
        roundtrip(front, 8)
        assert daemon.wait_line(f"memory of {MIB} bytes at {NVDIMM:#x} is in a file on a disk and left out")
        # More often than a doorman takes strangers.
        for _ in range(50):
            assert not front.connection.rem_mem_reg(memory.regions[1])
            assert not front.connection.add_mem_reg(memory.regions[1])
        assert not front.connection.rem_mem_reg(memory.regions[1])
        assert front.connection.rem_mem_reg(memory.regions[1])          # it is not there any more
        roundtrip(front, 16)


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_a_request_there_fails_alone(alice, memory, packed):
    with FrontEnd.start(alice, Setup(packed=packed), memory) as front:
        disk, queue = front.disk(), front.queues[0]
        request = disk.prepare(blk.IN, 0, 512)
        request.chain = queue.submit([Buffer(request.header, 16, False), Buffer(NVDIMM + 4096, 512, True),
                                      Buffer(request.status, 1, True)])
        wait_until(lambda: queue.has(request.chain), "an answer")
        assert memory.read(request.status, 1)[0] == blk.IOERR
        roundtrip(front, 8)


@pytest.mark.parametrize("style", ["qemu", "libblkio"])
def test_all_of_it(alice, style):
    """A guest without any other memory is refused at once: its VMM sees the end of the connection."""
    with FrontEnd.connect(alice, Setup(style=style), GuestMemory(Region(0x10_0000, 4 * MIB, fd=on_disk(4 * MIB)))) as front:
        with pytest.raises(Closed):
            front.tell_memory()
