# SPDX-License-Identifier: GPL-2.0-or-later
"""Front ends of every style are understood; what the device says of itself is right."""
import os
import struct

import pytest

import blk
import virtio
from frontend import FrontEnd, Setup
from guest_memory import GuestMemory, Region
from vhost_user import INFLIGHT, Connection, Protocol, Request

pytestmark = pytest.mark.usefixtures("daemon")


@pytest.mark.parametrize("style", ["qemu", "libblkio", "spdk"])
@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_style(alice, style, packed):
    with FrontEnd.start(alice, Setup(style=style, packed=packed)) as front:
        data = os.urandom(8192)
        front.disk().write(3, data)
        assert front.disk().read(3, 16) == data


def test_without_protocol_features(alice):
    """The oldest handshake: no protocol features, rings enabled from the start."""
    memory = GuestMemory.simple()
    with FrontEnd(alice, Setup(), memory) as front:
        c = front.connection = Connection.open(alice)
        c.set_owner()
        offered = c.get_features()
        c.set_features(offered & (1 << virtio.F_VERSION_1 | 1 << virtio.F_INDIRECT | 1 << virtio.F_EVENT_IDX))
        c.set_mem_table(memory.regions)
        front.queues.append(virtio.Queue(front.make_ring(), 0))
        front.start_queue(0, enable=False)
        front.disk().write(0, b"old" + bytes(509))
        assert front.disk().read(0, 1)[:3] == b"old"


def test_features(alice):
    """Everything that is promised is offered, and nothing that would need more than we do."""
    with FrontEnd.connect(alice) as front:
        offered = front.connection.get_features()
        for name in ("F_INDIRECT", "F_EVENT_IDX", "F_PROTOCOL", "F_VERSION_1", "F_PACKED", "F_IN_ORDER",
                     "F_RING_RESET", "F_LOG_ALL"):
            assert virtio.bit(offered, getattr(virtio, name)), name
        for name in ("F_SIZE_MAX", "F_SEG_MAX", "F_BLK_SIZE", "F_FLUSH", "F_TOPOLOGY", "F_CONFIG_WCE", "F_MQ",
                     "F_DISCARD", "F_WRITE_ZEROES"):
            assert virtio.bit(offered, getattr(blk, name)), name
        assert not virtio.bit(offered, blk.F_RO)
        assert not virtio.bit(offered, virtio.F_ACCESS_PLATFORM)


def test_protocol_features(alice):
    with FrontEnd.connect(alice) as front:
        for feature in (Protocol.MQ, Protocol.LOG_SHMFD, Protocol.REPLY_ACK, Protocol.BACKEND_REQ, Protocol.CONFIG,
                        Protocol.INFLIGHT_SHMFD, Protocol.RESET_DEVICE, Protocol.CONFIGURE_MEM_SLOTS, Protocol.STATUS,
                        Protocol.DEVICE_STATE):
            assert front.protocol & feature, feature
        assert front.connection.get_max_mem_slots() >= 509
        assert front.connection.get_queue_num() >= 4


def test_config_space(alice):
    with FrontEnd.connect(alice) as front:
        config = blk.Config(front.connection.get_config(0, 60))
        assert config.capacity == (16 << 20) // 512
        assert config.blk_size in (512, 4096)
        assert 1 <= config.seg_max <= 1022 and config.size_max >= 4096
        assert config.num_queues == front.connection.get_queue_num()
        assert config.writeback == 1
        for name in ("max_discard_sectors", "max_discard_seg", "discard_sector_alignment",
                     "max_write_zeroes_sectors", "max_write_zeroes_seg"):
            assert getattr(config, name) > 0, f"{name} is not filled in"


def test_config_padded_to_256_bytes(alice):
    with FrontEnd.connect(alice) as front:
        short, long = front.connection.get_config(0, 60), front.connection.get_config(0, 256)
        assert long[:60] == short and len(long) == 256
        assert long[96:] == bytes(160)
        assert front.connection.get_config(8, 8) == short[8:16]
        # what a later specification has there
        assert front.connection.get_config(96, 8) == bytes(8)


def test_inflight_message_sizes(alice):
    """The message is 20 bytes in the document and 24 in compilers' structs: both are answered in kind."""
    with FrontEnd.connect(alice) as front:
        for request in (INFLIGHT.pack(0, 0, 1, 128), INFLIGHT.pack(0, 0, 1, 128)[:20]):
            front.connection.send(Request.GET_INFLIGHT_FD, request)
            answer, fds = front.connection.reply(Request.GET_INFLIGHT_FD)
            assert len(answer) == len(request) and len(fds) == 1
            size, offset, queues, queue_size = struct.unpack_from("<2Q2H", answer)
            assert (queues, queue_size) == (1, 128)
            assert os.fstat(fds[0]).st_size >= offset + size > 0
            os.close(fds[0])


def test_read_only_disk(daemon):
    with FrontEnd.start(daemon.socket("bob/fixed"), Setup(features=1 << blk.F_RO)) as front:
        disk = front.disk()
        assert disk.read(0, 8) == bytes(4096)
        assert disk.do(blk.OUT, 0, b"x" * 512)[0] == blk.IOERR
        assert disk.read(0, 1) == bytes(512)


def test_whole_file_disk(daemon):
    """A file of one's own is the disk, byte for byte."""
    with FrontEnd.start(daemon.socket("bob/whole"), Setup()) as front:
        assert blk.Config(front.connection.get_config(0, 60)).capacity == (8 << 20) // 512
        data = os.urandom(4096)
        front.disk().write(1000, data)
        front.disk().flush()
        with open(daemon.path("whole.raw"), "rb") as file:
            file.seek(1000 * 512)
            assert file.read(4096) == data


@pytest.mark.parametrize("disk, serial", [("alice/root", "alice-serial"), ("bob/root", None)])
def test_get_id(daemon, disk, serial):
    with FrontEnd.start(daemon.socket(disk), Setup()) as front:
        status, text = front.disk().get_id()
        assert status == blk.OK
        assert text == serial if serial else text


def test_reply_ack_only_when_asked(alice):
    """Without the need-reply flag a message has no answer, so the next answer belongs to the next question."""
    with FrontEnd.connect(alice) as front:
        front.connection.send(Request.SET_VRING_NUM, struct.pack("<2I", 0, 64))
        assert front.connection.get_features()
        assert front.connection.set_vring_num(0, 64) == 0


def test_a_region_that_is_added_twice(alice):
    """As QEMU before 8.0 does for each pair of a network card's queues: it goes when it was removed as often."""
    memory = GuestMemory.simple()
    with FrontEnd.start(alice, Setup(style="libblkio"), memory) as front:
        extra, stranger = Region(0x8000_0000, 1 << 20), Region(0x8000_0000, 1 << 20)
        for _ in range(3):
            assert front.connection.add_mem_reg(extra) == 0
        # Another file, or another place in it, is another region, and overlaps.
        assert front.connection.add_mem_reg(stranger) != 0
        memory.regions.append(extra)
        for left in 2, 1, 0:
            front.disk().write(7, bytes([left]) * 512)
            assert front.disk().read(7, 1) == bytes([left]) * 512
            assert front.connection.rem_mem_reg(extra) == 0
        memory.regions.remove(extra)
        assert front.connection.rem_mem_reg(extra) != 0
        assert front.connection.add_mem_reg(stranger) == 0
        for region in extra, stranger:
            region.close()


def test_a_region_that_is_added_again_and_again(alice):
    """Repetitions count as slots."""
    with FrontEnd.start(alice, Setup(style="libblkio")) as front:
        added, maximum, extra = 1, front.connection.get_max_mem_slots(), Region(0x8000_0000, 4096)
        while front.connection.add_mem_reg(extra) == 0:
            added += 1
            assert added <= maximum
        assert added == maximum
        front.disk().write(7, b"z" * 512)
        extra.close()


def test_state_is_saved_again_and_again(alice):
    """A VMM brings a pipe with each snapshot: that is no reason to hang up, and no end of the pipe stays behind."""
    with FrontEnd.connect(alice) as front:
        for _ in range(100):
            reader, writer = os.pipe()
            front.connection.ask(Request.SET_DEVICE_STATE_FD, struct.pack("<2I", 0, 0), [writer])
            os.close(writer)
            assert os.read(reader, 1) == b""
            os.close(reader)
        assert front.connection.get_features()
