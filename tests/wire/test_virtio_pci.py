# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk as a virtio-pci device over vfio-user: found, driven, reset, grown, moved and handed over."""
import concurrent.futures
import os
import signal
import struct

import pytest

import blk
import virtio
from daemon import Daemon
from guest_memory import PAGE, GuestMemory, Region
from patience import wait_until
from vfio_user import BAR0, CONFIG, heard
from virtio_pci import (COMMON, COMMON_BYTES, CONFIG_VECTOR, DEVICE, DEVICE_FEATURE, DEVICE_FEATURE_SELECT, DEVICE_STATUS, GENERATION,
                        ISR, ISR_CONFIG, ISR_QUEUE, NO_VECTOR, NOTIFY, QUEUE_COUNT, QUEUE_DESCRIPTORS, QUEUE_ENABLE, QUEUE_NOTIFY,
                        QUEUE_SELECT, QUEUE_SIZE, QUEUE_VECTOR, WANTED, WINDOW, Function)

DISK_BYTES = 16 << 20
TAKEOVERS = int(os.environ.get("VIADUCT_TAKEOVERS", "5"))


@pytest.fixture(scope="module", params=[1, 2], ids=["one-worker", "two-workers"])
def daemon(request, tmp_path_factory):
    """With two workers, a device's rings are on both."""
    folder = tmp_path_factory.mktemp("viaduct")
    disk = {"pool": "main", "size": "16M", "interface": "vfio-user", "queues": 4}
    instance = Daemon({
        "daemon": {"sandbox": "yes", "workers": request.param},
        "pool main": {"path": folder / "main.pool", "size": "512M"},
        "guest alice": {}, "disk alice/root": {**disk, "serial": "alice-serial"}, "disk alice/grows": disk,
        "disk alice/split": {**disk, "packed": "no"},
        "guest bob": {}, "disk bob/root": {"pool": "main", "size": "16M"},
    }, folder)
    try:
        instance.start()
        yield instance
    finally:
        instance.finish()


# ---- finding it ----

def test_what_the_bus_is_told(alice):
    """virtio 1.2, 4.1.2 and 4.1.4: a device of today, with the five capabilities, each inside of the BAR."""
    with Function.connect(alice) as function:
        assert (function.vendor, function.device) == (0x1AF4, 0x1042)
        assert function.config[8] == 1, "not a transitional device"
        assert function.config[9:12] == b"\x00\x00\x01"
        assert set(function.places) == {COMMON, NOTIFY, ISR, DEVICE, WINDOW}
        _, _, _, _, bytes_of_bar, _ = function.connection.get_region_info(BAR0)
        for kind in (COMMON, NOTIFY, ISR, DEVICE):
            _, bar, offset, length = function.places[kind]
            assert bar == 0 and offset % 4 == 0 and length >= {COMMON: COMMON_BYTES, NOTIFY: 4 * 4, ISR: 1, DEVICE: 96}[kind]
            assert offset + length <= bytes_of_bar


def test_registers_before_anything(alice):
    with Function.connect(alice) as function:
        offered = function.offered()
        assert offered & WANTED == WANTED
        for number in (virtio.F_ACCESS_PLATFORM, virtio.F_RING_RESET, blk.F_CONFIG_WCE, 38):
            assert not virtio.bit(offered, number), f"feature {number}"
        function.put(DEVICE_FEATURE_SELECT, 2)
        assert function.get(DEVICE_FEATURE) == 0
        assert (function.get(QUEUE_COUNT), function.get(DEVICE_STATUS), function.get(CONFIG_VECTOR)) == (4, 0, NO_VECTOR)
        for index in range(4):
            function.put(QUEUE_SELECT, index)
            assert function.get(QUEUE_SIZE) == 256 and function.get(QUEUE_NOTIFY) == index
            assert function.get(QUEUE_ENABLE) == 0 and function.get(QUEUE_VECTOR) == NO_VECTOR
        function.put(QUEUE_SELECT, 4)
        assert function.get(QUEUE_SIZE) == 0, "there is no such queue"
        assert blk.Config(function.get_config(0, 64)).capacity == DISK_BYTES // 512


def test_window(alice):
    """4.1.4.9: registers through the configuration space of PCI."""
    with Function.connect(alice) as function:
        at, place = function.places[WINDOW][0], function.places[COMMON][2]

        def aim(register):
            function.connection.region_write(CONFIG, at + 4, b"\0")
            function.connection.region_write(CONFIG, at + 8, struct.pack("<2I", place + register[0], register[1]))
            return register[1]

        count = aim(DEVICE_STATUS)
        function.connection.region_write(CONFIG, at + 16, bytes([1]))
        assert function.connection.region_read(CONFIG, at + 16, count) == b"\1" and function.get(DEVICE_STATUS) == 1
        count = aim(QUEUE_COUNT)
        assert function.connection.region_read(CONFIG, at + 16, count) == struct.pack("<H", 4)
        assert struct.unpack("<2I", function.connection.region_read(CONFIG, at + 8, 8)) == (place + 18, 2)
        for offset, length in ((0x8000, 4), (0x7FFF, 2), (2, 4), (0, 0), (0, 8), (0xFFFF_FFFF, 1)):
            function.connection.region_write(CONFIG, at + 8, struct.pack("<2I", offset, length))
            function.connection.region_write(CONFIG, at + 16, b"\xff\xff\xff\xff")
            assert len(function.connection.region_read(CONFIG, at + 16, 4)) == 4


# ---- use ----

@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
@pytest.mark.parametrize("interrupts", ["msix", "none"])
def test_reads_and_writes(alice, packed, interrupts):
    with Function.start(alice, queues=4, packed=packed, interrupts=interrupts) as function:
        for index in range(4):
            data = os.urandom(8192)
            if interrupts == "none":
                wait_chain(function, index, blk.OUT, index * 64, data)
            else:
                function.disk(index).write(index * 64, data)
            assert roundtrip(function, (index + 1) % 4, index * 64, 16, interrupts) == data
        if interrupts == "msix":
            assert function.disk().get_id() == (blk.OK, "alice-serial")


def wait_chain(function, index, kind, sector, data):
    """Polls the ring."""
    request = function.disk(index).submit(kind, sector, data)
    wait_until(lambda: function.queues[index].has(request.chain), "the request's end")
    del function.queues[index].done[request.chain]
    status, data = function.disk(index).collect(request)
    assert status == blk.OK
    return data


def roundtrip(function, index, sector, count, interrupts):
    if interrupts == "none":
        return wait_chain(function, index, blk.IN, sector, count * 512)
    return function.disk(index).read(sector, count)


def test_pin(alice):
    """Without messages, the pin is asserted until the driver has looked why."""
    with Function.start(alice, interrupts="none") as function:
        function.set_interrupts("pin")
        assert heard(function.queues[0].call_fd, 0) == 0
        for _ in range(5):
            function.queues[0].ring.enable_calls()
            request = function.disk().submit(blk.FLUSH, 0)
            assert heard(function.queues[0].call_fd) == 1
            assert function.connection.region_read(CONFIG, 6, 1)[0] & 8, "PCI says that an interrupt is pending"
            assert function.get_isr() == ISR_QUEUE and function.get_isr() == 0
            assert not function.connection.region_read(CONFIG, 6, 1)[0] & 8
            function.unmask()
            wait_until(lambda: function.queues[0].has(request.chain), "the flush")
            del function.queues[0].done[request.chain]
            assert function.disk().collect(request)[0] == blk.OK


def test_many_in_flight(alice):
    with Function.start(alice, queues=2, size=128) as function:
        data = os.urandom(4096)
        for _ in range(8):
            requests = [(index, function.disk(index).submit(blk.OUT, 8 * (number + 64 * index), data))
                        for number in range(40) for index in range(2)]
            for index, request in requests:
                assert function.disk(index).finish(request)[0] == blk.OK
        assert function.disk().read(8 * (39 + 64), 8) == data


def test_bytes_are_those_of_the_other_interface(daemon, alice):
    """A disk that changes its interface keeps its bytes: registers and rings lead to the same place."""
    data = os.urandom(4096)
    with Function.start(alice) as function:
        function.disk().write(100, data)
        function.disk().flush()
        function.reset()
        function.again()
        assert function.disk().read(100, 8) == data
    interfaces = {name: daemon.api("GET", f"/v1/devices/disk/{name}")[1]["interface"] for name in ("alice/root", "bob/root")}
    assert interfaces == {"alice/root": "vfio-user", "bob/root": "vhost-user"}


# ---- resets ----

@pytest.mark.parametrize("flying", [0, 40])
@pytest.mark.parametrize("by", ["driver", "bus"])
def test_reset(alice, flying, by):
    """Registers are as after power-on, and the next driver finds a device that works."""
    with Function.start(alice, queues=2) as function:
        for _ in range(5):
            for number in range(flying):
                function.disk(number % 2).submit(blk.IN, number * 64, 65536 if number < 8 else 4096)
            if by == "driver":
                function.reset()
            else:
                function.connection.reset()
                function.set_command()
            assert function.get(DEVICE_STATUS) == 0 and function.get(CONFIG_VECTOR) == NO_VECTOR
            for index in range(2):
                function.put(QUEUE_SELECT, index)
                assert (function.get(QUEUE_ENABLE), function.get(QUEUE_SIZE), function.get(QUEUE_DESCRIPTORS)) == (0, 256, 0)
            function.disks = {}
            for queue in function.queues:
                queue.done.clear()
            function.again(2)
            data = os.urandom(512)
            function.disk(1).write(3, data)
            assert function.disk(0).read(3, 1) == data


def test_driver_that_does_not_wait(alice):
    """Firmware stores a 0 and goes on; with nothing in flight, the reset is over by then."""
    with Function.start(alice) as function:
        for _ in range(20):
            function.disk().flush()
            place = function.places[COMMON][2] + DEVICE_STATUS[0]
            for value in (0, 1, 3):
                function.connection.post_write(BAR0, place, bytes([value]))
            assert function.get(DEVICE_STATUS) == 3
            function.again()


def test_vmm_goes_with_requests_in_flight(daemon, alice):
    for _ in range(10):
        with Function.start(alice, queues=2) as function:
            for number in range(30):
                function.disk(number % 2).submit(blk.IN, number * 64, 4096)
    with Function.start(alice) as function:
        function.disk().flush()


# ---- memory ----

def test_memory_comes_and_goes(alice):
    """Memory that is plugged in while requests fly is used at once; what is taken away stops only what needs it."""
    memory = GuestMemory(Region(0x10_0000, 4 << 20), Region(0x100_0000, 4 << 20))
    with Function.start(alice, memory=memory, queues=2) as function:
        second = memory.regions[1]
        for _ in range(10):
            requests = [function.disk(1).submit(blk.IN, 64 * number, 65536) for number in range(8)]
            function.connection.dma_unmap(second.guest_address, second.size)
            function.connection.map_region(second)
            far = memory.allocate(512, 512, region=1)
            head = memory.allocate(32, 16)
            memory.write(head, struct.pack("<IIQ", blk.IN, 0, 7) + b"\xee")
            chain = function.queues[0].submit([virtio.Buffer(head, 16, False), virtio.Buffer(far, 512, True),
                                               virtio.Buffer(head + 16, 1, True)])
            function.queues[0].wait(chain)
            assert memory.read(head + 16, 1) == b"\0"
            for request in requests:
                assert function.disk(1).finish(request)[0] == blk.OK


def test_bus_master(alice):
    """Off: nothing of the guest's memory is touched. On again: what was posted meanwhile is done."""
    with Function.start(alice) as function:
        for _ in range(5):
            function.disk().flush()
            function.set_command(2)
            request = function.disk().submit(blk.IN, 0, 512)
            function.get(DEVICE_STATUS)
            assert not function.queues[0].has(request.chain)
            function.set_command()
            assert function.disk().finish(request)[0] == blk.OK


def test_ring_memory_comes_back_in_pieces(alice):
    """As firmware does when it write-protects the memory below 1 MiB: ranges go, and come back cut otherwise."""
    with Function.start(alice) as function:
        region = function.memory.regions[0]
        for _ in range(5):
            function.disk().flush()
            function.connection.dma_unmap(region.guest_address, region.size)
            request = function.disk().submit(blk.FLUSH, 0)
            half = region.size // 2
            for at in (half, 0):
                function.connection.dma_map(region.guest_address + at, half, region.fd, region.file_offset + at)
            assert function.disk().finish(request)[0] == blk.OK
            assert not function.get(DEVICE_STATUS) & virtio.STATUS_NEEDS_RESET


# ---- changes ----

def test_grow(daemon):
    with Function.start(daemon.socket("alice/grows")) as function:
        before, capacity = function.get(GENERATION), blk.Config(function.get_config(0, 64)).capacity
        assert function.get(GENERATION) == before, "nothing has changed"
        status, answer = daemon.api("PATCH", "/v1/disks/alice/grows", {"size_bytes": 24 << 20})
        assert status == 200, answer
        assert heard(function.config_fd) == 1
        assert function.get_isr() & ISR_CONFIG
        assert blk.Config(function.get_config(0, 64)).capacity == (24 << 20) // 512 > capacity
        assert function.get(GENERATION) != before
        function.disk().write((24 << 11) - 8, bytes(4096))


# ---- takeover ----

@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_takeovers_under_load(daemon, alice, packed):
    """Registers, rings and interrupts go on in the next daemon, with requests in flight."""
    with Function.start(alice, queues=2, packed=packed) as function:
        written = {}
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            for turn in range(TAKEOVERS):
                change = pool.submit(daemon.take_over)
                number = 0
                while not change.done() or number < 40:
                    index, sector, data = number % 2, 8 * (number % 64), os.urandom(4096)
                    function.disk(index).write(sector, data)
                    written[sector] = data
                    number += 1
                change.result()
        for sector, data in written.items():
            assert function.disk().read(sector, 8) == data
        assert function.get(DEVICE_STATUS) & virtio.STATUS_DRIVER_OK and function.get(CONFIG_VECTOR) == 0
