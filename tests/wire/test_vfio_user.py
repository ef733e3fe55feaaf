# SPDX-License-Identifier: GPL-2.0-or-later
"""The vfio-user socket of a disk, as honest VMMs use it: version, what the device is, configuration, interrupts."""
import errno
import struct

import pytest

import nvme
from nvme import MSIX_PENDING, READ, Controller, blocks
from nvme_daemon import nvme_daemon
from patience import NOTHING_S, wait_until
from vfio_user import (ACCESS, ASK_INFO, BAR0, CONFIG, FLAG_NO_REPLY, INTX, IRQ_AUTOMASKED, IRQ_BOOL, IRQ_EVENTFD, IRQ_FDS, IRQ_INFO,
                       IRQ_MASK, IRQ_MASKABLE, IRQ_NONE, IRQ_TRIGGER, IRQ_UNMASK, IRQS, MAP, MSI, MSIX, REGION_INFO, REGIONS, WRITES_MAX,
                       Command, Connection, eventfds, heard, text)
from virtio import fence


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with nvme_daemon(tmp_path_factory.mktemp("viaduct")) as instance:
        yield instance


# ---- the version ----

@pytest.mark.parametrize("minor, agreed", [(0, 0), (1, 1), (2, 1), (0xFFFF, 1)])
def test_the_smaller_minor_version_is_agreed_on(alice, minor, agreed):
    with Connection.open(alice) as connection:
        major, got, capabilities = connection.version(0, minor)
        assert (major, got) == (0, agreed)
        assert capabilities["max_data_xfer_size"] >= 256 and capabilities["max_msg_fds"] >= 1
        assert connection.get_info()[2:] == (REGIONS, IRQS)


def test_version_without_capabilities(alice):
    with Connection.open(alice) as connection:
        assert connection.version(capabilities=b"")[:2] == (0, 1)


BAD_VERSIONS = {
    "major-1": struct.pack("<2H", 1, 0) + text({}),
    "major-65535": struct.pack("<2H", 0xFFFF, 0) + text({}),
    "no-json": struct.pack("<2H", 0, 1) + b"hello\0",
    "json-cut-off": struct.pack("<2H", 0, 1) + b'{"capabilities":\0',
    "no-object": struct.pack("<2H", 0, 1) + b"[1]\0",
    "no-final-nul": struct.pack("<2H", 0, 1) + b"{}",
    "nul-inside": struct.pack("<2H", 0, 1) + b"{\0}\0",
    "deep": struct.pack("<2H", 0, 1) + b"[" * 4000 + b"\0",
}


@pytest.mark.parametrize("payload", BAD_VERSIONS.values(), ids=BAD_VERSIONS)
def test_a_version_is_refused(alice, payload):
    """With an error, and the connection ends."""
    with Connection.open(alice) as connection:
        assert connection.refusal(Command.VERSION, payload) == errno.EINVAL
        assert connection.wait_closed()


def test_the_version_is_agreed_on_once(alice):
    with Controller.connect(alice) as controller:
        assert controller.connection.refusal(Command.VERSION, struct.pack("<2H", 0, 1)) == errno.EINVAL
        controller.connection.get_info()


# ---- what the device is ----

def test_regions(alice):
    with Controller.connect(alice) as controller:
        sizes = {}
        for index in range(REGIONS):
            argsz, flags, got, capability, size, offset = controller.connection.get_region_info(index)
            assert (argsz, got, capability, offset) == (REGION_INFO.size, index, 0, 0)
            # never to be mapped: a VMM waits for the end of every write to a device with one such region
            assert flags == (3 if size else 0)
            sizes[index] = size
        assert sizes.pop(BAR0) == nvme.BAR_BYTES and sizes.pop(CONFIG) == 256
        assert not any(sizes.values()), sizes
        question = REGION_INFO.pack(REGION_INFO.size, 0, REGIONS, 0, 0, 0)
        assert controller.connection.refusal(Command.GET_REGION_INFO, question) == errno.EINVAL


def test_interrupts(alice):
    with Controller.connect(alice) as controller:
        told = {index: controller.connection.get_irq_info(index) for index in range(IRQS)}
        assert all(told[index][0] == IRQ_INFO.size and told[index][2] == index for index in told)
        assert (told[INTX][1], told[INTX][3]) == (IRQ_EVENTFD | IRQ_MASKABLE | IRQ_AUTOMASKED, 1)
        assert told[MSIX][1] == IRQ_EVENTFD and told[MSIX][3] == 64
        assert all(told[index][3] == 0 for index in told if index not in (INTX, MSIX))
        assert controller.connection.refusal(Command.GET_IRQ_INFO, IRQ_INFO.pack(16, 0, IRQS, 0)) == errno.EINVAL


def test_commands_that_are_not_offered(alice):
    with Controller.connect(alice) as controller:
        for command in (0, Command.GET_REGION_IO_FDS, Command.DMA_READ, Command.DMA_WRITE, Command.DIRTY_PAGES,
                        Command.DEVICE_FEATURE, Command.MIG_DATA_READ):
            number = controller.connection.send(command, bytes(16))
            got, _, flags, error, _ = controller.connection.receive()
            assert (got, flags & 0x20, error) == (number, 0x20, errno.ENOTSUP)


# ---- configuration space ----

def config(controller, offset, size):
    return int.from_bytes(controller.connection.region_read(CONFIG, offset, size), "little")


def test_configuration_space(alice):
    with Controller.connect(alice) as controller:
        whole = controller.connection.region_read(CONFIG, 0, 256)
        assert struct.unpack_from("<2H", whole) == (0x1B36, 0x0010)
        assert whole[9:12] == bytes([2, 8, 1]), "class: mass storage, NVMe"
        assert whole[0x3D] == 1, "it has a pin"
        # by bytes, words and longs the same
        for size in (1, 2, 4):
            pieces = [controller.connection.region_read(CONFIG, at, size) for at in range(0, 256, size)]
            assert b"".join(pieces) == whole
        controller.connection.region_write(CONFIG, 0, b"\xFF" * 4)
        assert controller.connection.region_read(CONFIG, 0, 4) == whole[:4]


def test_sizes_of_bars(alice):
    """All ones tell which bits are an address's."""
    with Controller.connect(alice) as controller:
        for index in range(6):
            controller.connection.write32(CONFIG, nvme.BAR + 4 * index, 0xFFFF_FFFF)
        low, high, *others = [config(controller, nvme.BAR + 4 * index, 4) for index in range(6)]
        assert (low, high) == (0xFFFF_FFFF & ~(nvme.BAR_BYTES - 1) | 4, 0xFFFF_FFFF) and not any(others)
        controller.connection.write32(CONFIG, nvme.BAR, 0xFEB0_0000)
        assert config(controller, nvme.BAR, 4) == 0xFEB0_0004
        controller.connection.write32(CONFIG, 0x30, 0xFFFF_FFFF)
        assert config(controller, 0x30, 4) == 0, "there is no ROM"


def test_command_register(alice):
    with Controller.connect(alice) as controller:
        assert controller.get_command() == 0
        controller.set_command(0xFFFF)
        assert controller.get_command() & 0x407 == 0x407
        controller.set_command(0)
        assert controller.get_command() == 0


def test_vectors_capability(alice):
    with Controller.connect(alice) as controller:
        assert config(controller, nvme.STATUS, 2) & 1 << 4
        at = config(controller, 0x34, 1)
        kind, following, control, table, pending = struct.unpack("<BBHII", controller.connection.region_read(CONFIG, at, 12))
        assert (kind, following, control & 0x7FF) == (0x11, 0, 63)
        assert (table, pending) == (nvme.MSIX_TABLE, nvme.MSIX_PENDING)
        controller.connection.region_write(CONFIG, at + 2, b"\xFF\xFF")
        assert config(controller, at + 2, 2) == 0xC03F


# ---- posted writes ----

def test_posted_writes_are_done_in_order(alice):
    """None is answered, and a read behind them sees all of them."""
    with Controller.connect(alice) as controller:
        for value in range(500):
            controller.post32(nvme.ASQ, value << 12)
            if value % 50 == 49:
                assert controller.get(nvme.ASQ) == value << 12
        controller.connection.send(Command.GET_INFO, ASK_INFO, flags=FLAG_NO_REPLY)
        controller.connection.post_write(BAR0, nvme.BAR_BYTES, bytes(4))        # outside: no answer either
        controller.connection.get_info()


def test_posted_writes_in_front_of_a_mapping(alice):
    """A message with a descriptor close behind many without: wherever those end in what the server reads at once."""
    with Controller.connect(alice) as controller:
        connection, region = controller.connection, controller.memory.regions[0]
        write = connection.message(Command.REGION_WRITE, ACCESS.pack(nvme.ASQ, BAR0, 4) + bytes(4), flags=FLAG_NO_REPLY)
        other = connection.message(Command.REGION_WRITE, ACCESS.pack(nvme.ASQ, BAR0, 1) + bytes(1), flags=FLAG_NO_REPLY)
        mapping = connection.message(Command.DMA_MAP, MAP.pack(MAP.size, 3, 0, region.guest_address, region.size), number=1)
        for count in range(200, 300):
            connection.send_bytes(write * (count - count % 36) + other * (count % 36) + write)
            connection.send_bytes(mapping, [region.fd])
            connection.reply(1, Command.DMA_MAP)


def test_doorbells_are_done_in_order(alice):
    """One for each command, one behind the other."""
    with Controller.start(alice) as controller:
        queue, at = controller.queues[0], controller.scratch(4096)
        identifiers = [queue.put(READ, namespace=1, prp1=at, words=blocks(0, 8)) for _ in range(20)]
        fence()
        for tail in range(1, 21):
            controller.post32(queue.doorbell(), tail)
        assert {queue.wait(identifier).status for identifier in identifiers} == {nvme.SUCCESS}


def test_write_multi(alice):
    with Controller.start(alice) as controller:
        queue, at = controller.queues[0], controller.scratch(4096)
        identifiers = [queue.put(READ, namespace=1, prp1=at, words=blocks(0, 8)) for _ in range(3)]
        fence()
        tail = struct.pack("<I", queue.tail)
        controller.connection.write_multi((BAR0, nvme.INTMS, b"\x02\0\0\0"), (BAR0, queue.doorbell(), tail),
                                          (BAR0, nvme.INTMC, b"\xFD\xFF\xFF\xFF"))
        assert {queue.wait(identifier).status for identifier in identifiers} == {nvme.SUCCESS}
        assert controller.get(nvme.INTMS) == 2
        # Only writes to BARs are ever posted.
        controller.connection.write_multi((CONFIG, 0x3C, b"\x0B"), *[(BAR0, nvme.INTMS, b"\x04\0\0\0")] * (WRITES_MAX - 1))
        assert controller.get(nvme.INTMS) == 6 and config(controller, 0x3C, 1) == 0
        payload = controller.connection.writes((BAR0, nvme.INTMC, b"\xFF" * 4))
        controller.connection.send(Command.REGION_WRITE_MULTI, payload, flags=FLAG_NO_REPLY)
        assert controller.get(nvme.INTMS) == 0
        controller.connection.write_multi()


# ---- interrupts ----

def test_each_queue_has_its_vector(alice):
    """Eventfds are given in parts, from any vector on."""
    with Controller.start(alice, queues=4, interrupts="none") as controller, eventfds(5) as fds:
        controller.connection.set_eventfds(MSIX, 3, fds[3:])
        controller.connection.set_eventfds(MSIX, 0, fds[:1])
        controller.connection.set_eventfds(MSIX, 1, fds[1:3])
        for number in (2, 0, 3, 1):
            controller.ask_queue(number)
            assert heard(fds[number + 1]) == 1
            controller.take(number)
        controller.admin.do(nvme.GET_FEATURES, words=[6])
        assert heard(fds[0]) == 1
        assert not any(heard(fd, 0) for fd in fds), "an interrupt of another queue"


def test_vectors_taken_back_are_pending(alice):
    with Controller.start(alice, queues=2) as controller:
        controller.connection.set_irqs(IRQ_FDS | IRQ_TRIGGER, MSIX, 1, 1)
        heard(controller.vectors[1], 0)
        controller.ask_queue(0)
        controller.take(0)
        wait_until(lambda: controller.get(MSIX_PENDING, 8) == 2, "the message waits")
        assert not heard(controller.vectors[1], NOTHING_S)
        controller.connection.set_eventfds(MSIX, 1, controller.vectors[1:2])
        assert heard(controller.vectors[1]) == 1 and controller.get(MSIX_PENDING, 8) == 0
        # all of them, twice: as VMMs do when they reset
        for _ in range(2):
            controller.connection.set_irqs(IRQ_NONE | IRQ_TRIGGER, MSIX, 0, 0)
        controller.ask_queue(1)
        controller.take(1)
        assert not any(heard(fd, NOTHING_S) for fd in controller.vectors[1:])
        controller.connection.set_irqs(IRQ_NONE | IRQ_TRIGGER, MSI, 0, 0)


def test_the_vmm_triggers(alice):
    with Controller.start(alice, queues=2) as controller:
        for fd in controller.vectors:
            heard(fd, NOTHING_S)
        controller.connection.set_irqs(IRQ_BOOL | IRQ_TRIGGER, MSIX, 1, 2, b"\0\1")
        assert heard(controller.vectors[2]) == 1 and not heard(controller.vectors[1], NOTHING_S)
        controller.connection.set_irqs(IRQ_NONE | IRQ_TRIGGER, MSIX, 0, 2)
        assert heard(controller.vectors[0]) == 1 and heard(controller.vectors[1]) == 1


def test_the_pin_masks_itself(alice):
    with Controller.start(alice, interrupts="intx") as controller:
        pin = controller.pin
        assert heard(pin) == 1, "of all the answers while it was brought up"
        controller.unmask()
        assert not controller.pin_is_pending() and not heard(pin, NOTHING_S)
        controller.ask_queue(count=3)
        assert heard(pin) == 1
        wait_until(controller.pin_is_pending, "bit 3 of the status")
        controller.unmask()
        assert heard(pin) == 1, "it is asserted again while answers are unread"
        controller.take()
        assert not controller.pin_is_pending()
        controller.unmask()
        assert not heard(pin, NOTHING_S)
        # masked by the VMM
        controller.connection.set_irqs(IRQ_NONE | IRQ_MASK, INTX, 0, 1)
        controller.ask_queue()
        wait_until(controller.pin_is_pending, "bit 3 of the status")
        assert not heard(pin, NOTHING_S)
        controller.connection.set_irqs(IRQ_BOOL | IRQ_UNMASK, INTX, 0, 1, b"\0")
        assert not heard(pin, NOTHING_S)
        controller.connection.set_irqs(IRQ_BOOL | IRQ_UNMASK, INTX, 0, 1, b"\1")
        assert heard(pin) == 1
        controller.take()


def test_the_driver_masks_the_pin(alice):
    """By INTMS, and by the command register."""
    with Controller.start(alice, interrupts="intx") as controller:
        heard(controller.pin)
        controller.unmask()
        controller.put(nvme.INTMS, 1 << 1)
        controller.ask_queue()
        take_later = controller.queues[0]
        wait_until(lambda: controller.memory.get32(take_later.cq + 16 * take_later.head + 12) >> 16 & 1 == take_later.phase,
                   "an answer")
        assert not controller.pin_is_pending() and not heard(controller.pin, NOTHING_S)
        controller.put(nvme.INTMC, 1 << 1)
        assert heard(controller.pin) == 1
        controller.take()
        controller.set_command(nvme.COMMAND_MEMORY | nvme.COMMAND_MASTER | nvme.COMMAND_PIN_OFF)
        controller.unmask()
        controller.ask_queue()
        wait_until(controller.pin_is_pending, "bit 3 of the status, which the pin's absence does not change")
        assert not heard(controller.pin, NOTHING_S)
        controller.set_command()
        assert heard(controller.pin) == 1
        controller.take()


def test_from_the_pin_to_vectors_and_back(alice):
    """A firmware's driver uses the pin, the kernel's vectors; a pin that had a reason has none any more."""
    with Controller.start(alice, interrupts="intx") as controller, eventfds(2) as fds:
        heard(controller.pin)
        controller.unmask()
        controller.ask_queue()
        assert heard(controller.pin) == 1
        controller.connection.set_eventfds(MSIX, 0, fds)
        assert heard(fds[1]) == 1, "what is unread is told of by the vector, too"
        assert not controller.pin_is_pending()
        controller.unmask()
        assert not heard(controller.pin, NOTHING_S)
        controller.take()
        controller.ask_queue()
        assert heard(fds[1]) == 1 and not heard(controller.pin, NOTHING_S)
        controller.connection.set_irqs(IRQ_NONE | IRQ_TRIGGER, MSIX, 0, 0)
        assert heard(controller.pin) == 1, "answers are unread"
        controller.take()
