# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile VMMs and drivers of a display made of registers, beside an honest one whose picture is seen."""
import errno
import mmap
import os
import random
import struct

import pytest

from bochs import ENABLE, HEIGHT, MEMORY, MEMORY_BYTES, MODE_AT, REGISTERS, SHOW, WIDTH, X, Y, BochsDisplay
from daemon import Daemon
from patience import wait_until
from vfio_user import ACCESS, DATA_MAX, IRQ_FDS, IRQ_SET, IRQ_TRIGGER, IRQS, REGION_INFO, Command, Refused

SIDE = 48
GIVEN_MAX = 64


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    made = {"daemon": {"sandbox": "yes"}, "seat desk": {"size": "640x480"}}
    for guest in "honest", "mallory":
        made |= {f"guest {guest}": {}, f"display {guest}/0": {"seat": "desk", "source": "bochs"}}
    instance = Daemon(made, tmp_path_factory.mktemp("viaduct"))
    try:
        instance.start()
        yield instance
    finally:
        instance.finish()


def shown(daemon, guest):
    """The pixels of its window, red first."""
    status, body = daemon.api("POST", f"/v1/displays/{guest}/0/picture", raw=True)
    assert status == 200
    return body.split(b"\n", 3)[3]


def paint(one, seed):
    """Draws all of the picture; returns what is to be seen."""
    pixels = random.Random(seed).randbytes(SIDE * SIDE * 3)
    one.draw([pixels[at:at + SIDE * 3] for at in range(0, len(pixels), SIDE * 3)])
    return pixels


@pytest.fixture
def honest(daemon):
    """Draws before the attack and after it, and is seen."""
    with BochsDisplay(daemon.runtime / "honest" / "display-0.sock") as one:
        one.set_mode(SIDE, SIDE)
        for seed in range(2):
            pixels = paint(one, seed)
            wait_until(lambda: shown(daemon, "honest") == pixels, "the honest guest's picture is shown")
            if seed == 0:
                yield one


@pytest.fixture
def mallory(daemon, honest):
    with BochsDisplay(daemon.runtime / "mallory" / "display-0.sock") as one:
        yield one


def refused(one, command, offset, region, count, data=b""):
    return one.connection.refusal(command, ACCESS.pack(offset, region, count) + data) == errno.EINVAL


def test_the_ends_of_the_memory(mallory):
    connection = mallory.connection
    for count in 1, 2, 3, 4, 7, 8, 9, 4095, DATA_MAX:
        data = os.urandom(count)
        for at in 0, 1, MEMORY_BYTES - count - 1, MEMORY_BYTES - count:
            connection.region_write(MEMORY, at, data)
            assert connection.region_read(MEMORY, at, count) == data == mallory.memory[at:at + count]
        for at in MEMORY_BYTES - count + 1, MEMORY_BYTES, MEMORY_BYTES + 1, 1 << 32, (1 << 64) - count, (1 << 64) - 1:
            assert refused(mallory, Command.REGION_READ, at, MEMORY, count)
            assert refused(mallory, Command.REGION_WRITE, at, MEMORY, count, data)
    for count in 0, DATA_MAX + 1, 0xFFFFFFFF:
        assert refused(mallory, Command.REGION_READ, 0, MEMORY, count)
    for at in 4095, 4096, 1 << 32:
        assert refused(mallory, Command.REGION_READ, at, REGISTERS, 2)


def test_the_memory_stays_as_large_as_it_is(mallory):
    _, _, fd = mallory.connection.get_region_memory(MEMORY)
    for size in 0, MEMORY_BYTES - 1, MEMORY_BYTES + 1:
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
    os.close(fd)
    mallory.memory.madvise(mmap.MADV_REMOVE)
    assert mallory.connection.region_read(MEMORY, MEMORY_BYTES - 8, 8) == bytes(8)


def test_what_is_said_of_the_memory(mallory):
    for argsz in 32, 33, 64, 0xFFFFFFFF:
        info, more, fd = mallory.connection.get_region_memory(MEMORY, argsz)
        assert info == (REGION_INFO.size, 7, MEMORY, 0, MEMORY_BYTES, 0) and not more
        os.close(fd)
    for argsz in 0, 1, 31:
        with pytest.raises(Refused):
            mallory.connection.get_region_memory(MEMORY, argsz)
    assert mallory.connection.get_region_info(REGISTERS)[1] == 3


def test_the_memory_without_end(mallory):
    """Asked for again and again, it is refused at last, and the VMM is served on."""
    given = 1                           # to the fixture
    while True:
        try:
            os.close(mallory.connection.get_region_memory(MEMORY)[2])
        except Refused as refusal:
            assert refusal.error == errno.EBUSY
            break
        given += 1
    assert given == GIVEN_MAX and mallory.get(0) == 0xB0C5


def test_no_interrupts(mallory):
    with open("/dev/null", "rb") as null:
        for index in range(IRQS):
            payload = IRQ_SET.pack(IRQ_SET.size, IRQ_FDS | IRQ_TRIGGER, index, 0, 1)
            assert mallory.connection.refusal(Command.SET_IRQS, payload, [null.fileno()]) == errno.EINVAL


@pytest.mark.parametrize("mode", [(0, 0), (0xFFFF, 0xFFFF), (8193, 1), (1, 0xFFFF), (64, 64, 8), (64, 64, 15), (64, 64, 24),
                                  (64, 64, 32, 0xFFFF, 0xFFFF, 0xFFFF), (2048, 2049), (64, 66, 32, 0xFFFF)])
def test_modes_that_cannot_be(daemon, mallory, mode):
    """Dark, and the next one is seen."""
    mallory.set_mode(*mode)
    mallory.set_mode(SIDE, SIDE)
    pixels = paint(mallory, 7)
    wait_until(lambda: shown(daemon, "mallory") == pixels, "the picture is shown")
    mallory.set_mode(*mode)
    wait_until(lambda: not any(shown(daemon, "mallory")), "it is dark")


def test_a_storm_of_modes(daemon, mallory):
    """Any stores of any size, without waiting for answers; meanwhile the memory is emptied."""
    chance = random.Random(11)
    for turn in range(3000):
        index = chance.choice((WIDTH, HEIGHT, ENABLE, X, Y, 3, 6))
        value = chance.choice((0, 1, 32, 64, SHOW, 200, 2048, 8192, 0xFFFF))
        size = chance.choice((1, 2, 4, 8))
        mallory.connection.post_write(REGISTERS, MODE_AT + 2 * index, struct.pack("<Q", value | value << 32)[:size])
        if turn % 500 == 0:
            mallory.memory.madvise(mmap.MADV_REMOVE)
    assert mallory.get(0) == 0xB0C5
    mallory.set_mode(SIDE, SIDE)
    pixels = paint(mallory, 8)
    wait_until(lambda: shown(daemon, "mallory") == pixels, "the picture is shown")


def test_resets_and_endings_under_a_picture(daemon, honest):
    for turn in range(20):
        with BochsDisplay(daemon.runtime / "mallory" / "display-0.sock") as one:
            one.set_mode(2048, 2048)
            one.memory[:4] = b"abcd"
            if turn % 2:
                one.connection.reset()
                assert one.get(ENABLE) == 0
