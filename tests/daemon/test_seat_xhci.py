# SPDX-License-Identifier: GPL-2.0-or-later
"""USB keyboards and tablets on a seat: a small xHCI driver hears keys and the pointer, before and after takeovers."""
import os
import struct

import pytest

import gpu
import rfb
from bochs import BochsDisplay
from guest_memory import PAGE, GuestMemory
from patience import PATIENCE_S, wait_until
from test_refusals import expect_refused, line_of
from test_reload import reload
from test_seat import door
from test_seat_bochs import sections as sections_of_bochs
from test_seat_bochs import start as start_bochs
from test_seat_virtio import AXIS_MAX, BTN_LEFT, HEIGHT, KEY_A, KEY_LEFTSHIFT, WIDTH, expect_shown, focus, socket_of, window
from test_seat_virtio import sections as sections_of_virtio
from test_seat_virtio import start as start_virtio
from test_takeover import take_over
from vfio_user import BAR0, CONFIG, MSIX, Connection, heard
from virtio import fence

USBCMD, CRCR, DCBAAP, SLOTS, PORTSC = 0x40, 0x58, 0x70, 0x78, 0x440
IMAN, ERSTSZ, ERSTBA, ERDP, DOORBELLS = 0x1020, 0x1028, 0x1030, 0x1038, 0x2000
RUN, RESET, INTERRUPTS, BUSY = 1 << 0, 1 << 1, 1 << 2, 1 << 3
PORT_CONNECTED, PORT_ENABLED, PORT_RESET, PORT_POWER, PORT_CHANGES = 1 << 0, 1 << 1, 1 << 4, 1 << 9, 0x7F << 17
NORMAL, SETUP, DATA, STATUS, LINK = 1, 2, 3, 4, 6
ENABLE_SLOT, ADDRESS_DEVICE, CONFIGURE_ENDPOINT = 9, 11, 12
TRANSFER_EVENT, COMMAND_EVENT = 32, 33
SUCCESS, SHORT_PACKET = 1, 13
CYCLE, TOGGLE, ISP, IOC, IMMEDIATE, IN = 1 << 0, 1 << 1, 1 << 2, 1 << 5, 1 << 6, 1 << 16
TRB = struct.Struct("<QII")
CONTROL, REPORTS = 1, 3                 # device context indices of the endpoints
GET_DESCRIPTOR, SET_CONFIGURATION, SET_REPORT = 0x0680, 0x0900, 0x0921
USAGE_A, LEFT_SHIFT = 4, 2


class Ring:
    """TRBs that the driver produces; the last one leads to the first."""

    def __init__(self, memory, trbs=16):
        self.memory, self.trbs, self.at, self.cycle = memory, trbs, 0, CYCLE
        self.base = memory.allocate(TRB.size * trbs, PAGE)

    def store(self, parameter, status, control):
        address = self.base + TRB.size * self.at
        self.memory.write(address, struct.pack("<QI", parameter, status))
        fence()
        self.memory.put32(address + 12, control | self.cycle)
        return address

    def put(self, kind, parameter=0, status=0, control=0):
        address = self.store(parameter, status, kind << 10 | control)
        self.at += 1
        if self.at == self.trbs - 1:
            self.store(self.base, 0, LINK << 10 | TOGGLE)
            self.at, self.cycle = 0, self.cycle ^ CYCLE
        return address


class Usb:
    """A driver that has configured the device, and asks for eight reports ahead. Owns its connection."""

    EVENTS = 32

    def __init__(self, path):
        self.connection, self.memory = Connection.open(path), GuestMemory.simple()
        self.event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.connection.version()
        for region in self.memory.regions:
            self.connection.map_region(region)
        self.connection.set_eventfds(MSIX, 0, [self.event])
        self.connection.region_write(CONFIG, 4, struct.pack("<H", 6))
        self.commands, self.control, self.reports = (Ring(self.memory) for _ in range(3))
        self.events, self.input, self.context, self.data = (self.memory.allocate(PAGE, PAGE) for _ in range(4))
        self.next_event, self.cycle, self.buffers, self.heard = 0, CYCLE, {}, []
        self.start()
        self.enumerate()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.connection.close()
        self.memory.close()
        os.close(self.event)

    def get(self, register):
        return self.connection.read32(BAR0, register)

    def set(self, register, value):
        self.connection.write32(BAR0, register, value)

    def set64(self, register, value):
        self.connection.region_write(BAR0, register, struct.pack("<Q", value))

    # ---- the controller ----

    def start(self):
        self.set(USBCMD, RESET)
        self.set(SLOTS, 1)
        contexts, table = (self.memory.allocate(PAGE, PAGE) for _ in range(2))
        self.memory.put64(contexts + 8, self.context)
        self.memory.write(table, struct.pack("<QI", self.events, self.EVENTS))
        self.set64(DCBAAP, contexts)
        self.set64(CRCR, self.commands.base | self.commands.cycle)
        self.set(ERSTSZ, 1)
        self.set64(ERDP, self.events)
        self.set64(ERSTBA, table)
        self.set(IMAN, 2)
        self.set(USBCMD, RUN | INTERRUPTS)

    def take_event(self):
        """(kind, address, code, what was not transferred, slot), or None."""
        at = self.events + TRB.size * self.next_event
        if self.memory.get32(at + 12) & CYCLE != self.cycle:
            return None
        fence()
        parameter, status, control = TRB.unpack(self.memory.read(at, TRB.size))
        self.next_event = (self.next_event + 1) % self.EVENTS
        if self.next_event == 0:
            self.cycle ^= CYCLE
        self.set(IMAN, 3)
        self.set64(ERDP, self.events + TRB.size * self.next_event | BUSY)
        return control >> 10 & 0x3F, parameter, status >> 24, status & 0xFFFFFF, control >> 24

    def wait_event(self, wanted, address):
        """That of a TRB; reports that come before are kept, and changes of ports are no news."""
        found = []

        def look():
            while not found and (event := self.take_event()):
                if event[:2] == (wanted, address):
                    found.append(event)
                elif event[0] == TRANSFER_EVENT:
                    self.take_report(event)
            return found
        wait_until(look, "the TRB is answered")
        return found[0]

    def command(self, kind, parameter=0, slot=0):
        """Returns the slot of the answer."""
        address = self.commands.put(kind, parameter, 0, slot << 24)
        self.set(DOORBELLS, 0)
        _, _, code, _, slot = self.wait_event(COMMAND_EVENT, address)
        assert code == SUCCESS, f"command {kind}: {code}"
        return slot

    # ---- the device ----

    def put_context(self, index, *words):
        self.memory.write(self.input + 32 * index, struct.pack(f"<{len(words)}I", *words))

    def enumerate(self):
        assert self.get(PORTSC) & PORT_CONNECTED
        self.set(PORTSC, PORT_POWER | PORT_RESET)
        wait_until(lambda: self.get(PORTSC) & PORT_ENABLED, "the port is enabled")
        self.set(PORTSC, PORT_POWER | PORT_CHANGES)
        self.slot = self.command(ENABLE_SLOT)
        self.put_context(0, 0, 1 << 0 | 1 << CONTROL)
        self.put_context(1, 3 << 20 | CONTROL << 27, 1 << 16)
        self.put_context(1 + CONTROL, 0, 3 << 1 | 4 << 3 | 64 << 16, self.control.base | CYCLE)
        self.command(ADDRESS_DEVICE, self.input, self.slot)
        self.device = self.ask(GET_DESCRIPTOR, 0x100, 18)
        self.put_context(0, 0, 1 << 0 | 1 << REPORTS)
        self.put_context(1, 3 << 20 | REPORTS << 27, 1 << 16)
        self.put_context(1 + REPORTS, 7 << 16, 3 << 1 | 7 << 3 | 8 << 16, self.reports.base | CYCLE)
        self.command(CONFIGURE_ENDPOINT, self.input, self.slot)
        self.tell(SET_CONFIGURATION, 1)
        for _ in range(8):
            self.post(self.memory.allocate(8, 8))

    def finish(self, direction):
        address = self.control.put(STATUS, control=IOC | direction)
        self.set(DOORBELLS + 4 * self.slot, CONTROL)
        assert self.wait_event(TRANSFER_EVENT, address)[2] == SUCCESS

    def ask(self, request, value, size):
        """A control transfer from the device."""
        self.control.put(SETUP, struct.unpack("<Q", struct.pack("<4H", request, value, 0, size))[0], 8, IMMEDIATE | 3 << 16)
        self.control.put(DATA, self.data, size, IN)
        self.finish(0)
        return self.memory.read(self.data, size)

    def tell(self, request, value, data=b""):
        """One to the device."""
        setup = struct.unpack("<Q", struct.pack("<4H", request, value, 0, len(data)))[0]
        self.control.put(SETUP, setup, 8, IMMEDIATE | (2 << 16 if data else 0))
        if data:
            self.memory.write(self.data, data)
            self.control.put(DATA, self.data, len(data))
        self.finish(IN)

    # ---- reports ----

    def post(self, buffer):
        self.buffers[self.reports.put(NORMAL, buffer, 8, ISP | IOC)] = buffer
        self.set(DOORBELLS + 4 * self.slot, REPORTS)

    def take_report(self, event):
        _, address, code, left, _ = event
        assert code in (SUCCESS, SHORT_PACKET), code
        buffer = self.buffers.pop(address)
        self.heard.append(self.memory.read(buffer, 8 - left))
        self.post(buffer)

    def listen(self):
        while event := self.take_event():
            if event[0] == TRANSFER_EVENT:
                self.take_report(event)
        return self.heard

    def hear(self, report):
        """That report comes next."""
        wait_until(self.listen, "a report comes")
        assert self.heard.pop(0) == report

    def hear_last(self, report):
        """That report comes, and is the last."""
        wait_until(lambda: self.listen()[-1:] == [report], f"{report.hex()} comes")
        self.heard.clear()


def keys(*usages, modifiers=0):
    return bytes([modifiers, 0, *usages]).ljust(8, b"\0")


def pointer(x, y, buttons=0, wheel=0):
    return struct.pack("<BHHb", buttons, x, y, wheel)


def with_usb(made):
    for section in "keyboard alice/0", "tablet alice/0":
        made[section]["model"] = "xhci"
    return made


@pytest.fixture
def daemon(make_daemon):
    """One guest, all of whose devices are made of registers."""
    return make_daemon(with_usb(sections_of_bochs()))


def keyboard_of(daemon):
    return Usb(socket_of(daemon, "alice", "keyboard"))


def tablet_of(daemon):
    return Usb(socket_of(daemon, "alice", "tablet"))


def show(daemon, one):
    expect_shown(daemon, start_bochs(one))
    focus(daemon, "alice")


def show_virtio(daemon, one):
    expect_shown(daemon, start_virtio(one))
    focus(daemon, "alice")


def described(daemon, kind):
    return next(one for one in daemon.api("GET", "/v1/status")[1]["devices"] if one["kind"] == kind and one["name"] == "alice/0")


def test_what_a_driver_finds(daemon):
    for kind, interface in ("keyboard", b"\x03\x01\x01"), ("tablet", b"\x03\x00\x00"):
        with Usb(socket_of(daemon, "alice", kind)) as usb:
            assert usb.connection.region_read(CONFIG, 0, 4) == struct.pack("<HH", 0x1B36, 0x000D)
            assert usb.connection.region_read(CONFIG, 9, 3) == b"\x30\x03\x0c"
            assert usb.device[:2] == b"\x12\1"
            configuration = usb.ask(GET_DESCRIPTOR, 0x200, 34)
            assert configuration[:4] == b"\x09\2\x22\0" and configuration[14:17] == interface


def test_keys(daemon):
    """With interrupts, through all rings more than once."""
    with BochsDisplay(socket_of(daemon, "alice")) as one, keyboard_of(daemon) as keyboard, rfb.Viewer(door(daemon)) as viewer:
        show(daemon, one)
        heard(keyboard.event, 0)
        viewer.key(KEY_LEFTSHIFT, True)
        assert heard(keyboard.event, PATIENCE_S)
        keyboard.hear(keys(modifiers=LEFT_SHIFT))
        for _ in range(40):
            viewer.key(KEY_A, True)
            keyboard.hear(keys(USAGE_A, modifiers=LEFT_SHIFT))
            viewer.key(KEY_A, False)
            keyboard.hear(keys(modifiers=LEFT_SHIFT))
        viewer.key(KEY_LEFTSHIFT, False)
        keyboard.hear(keys())
        assert window(daemon)["keys"] == 82


def test_typed_text(daemon):
    """None is lost when it waits for the driver."""
    with BochsDisplay(socket_of(daemon, "alice")) as one, keyboard_of(daemon) as keyboard:
        show(daemon, one)
        assert daemon.api("POST", "/v1/seats/desk/type", {"text": "ab" * 100})[0] == 200
        for usage in (USAGE_A, USAGE_A + 1) * 100:
            keyboard.hear(keys(usage))
            keyboard.hear(keys())
        assert described(daemon, "keyboard")["dropped_reports"] == 0


def test_pointer(daemon):
    with BochsDisplay(socket_of(daemon, "alice")) as one, tablet_of(daemon) as tablet, rfb.Viewer(door(daemon)) as viewer:
        show(daemon, one)
        where = window(daemon)["picture"]

        def point(x, y, buttons=0):
            viewer.pointer(where["x"] + x, where["y"] + y, buttons)

        point(0, 0)
        tablet.hear_last(pointer(0, 0))
        point(WIDTH - 1, HEIGHT - 1)
        tablet.hear_last(pointer(AXIS_MAX, AXIS_MAX))
        point(WIDTH - 1, HEIGHT - 1, 1)
        tablet.hear_last(pointer(AXIS_MAX, AXIS_MAX, buttons=1))
        point(WIDTH - 1, HEIGHT - 1, 4)
        tablet.hear_last(pointer(AXIS_MAX, AXIS_MAX, buttons=2))
        point(WIDTH - 1, HEIGHT - 1, 4 | 8)
        wait_until(lambda: pointer(AXIS_MAX, AXIS_MAX, 2, 1) in tablet.listen(), "the wheel has turned")


def test_leds(daemon):
    with keyboard_of(daemon) as keyboard:
        keyboard.tell(SET_REPORT, 0x200, b"\2")
        wait_until(lambda: described(daemon, "keyboard")["leds"] == ["caps"], "the LED is known")
        take_over(daemon)
        assert described(daemon, "keyboard")["leds"] == ["caps"]
        keyboard.tell(SET_REPORT, 0x200, b"\0")
        wait_until(lambda: described(daemon, "keyboard")["leds"] == [], "the LED is out")


@pytest.mark.parametrize("sections, display, shown", [(sections_of_virtio, gpu.Display, show_virtio),
                                                       (sections_of_bochs, BochsDisplay, show)], ids=["virtio", "bochs"])
def test_takeover(make_daemon, sections, display, shown):
    """The driver goes on with its rings, and hears nothing twice."""
    daemon = make_daemon(with_usb(sections()))
    with display(socket_of(daemon, "alice")) as one, keyboard_of(daemon) as keyboard, tablet_of(daemon) as tablet, \
            rfb.Viewer(door(daemon)) as viewer:
        shown(daemon, one)
        where = window(daemon)["picture"]
        for _ in range(3):
            take_over(daemon)
            assert window(daemon)["focus"]
            viewer.key(KEY_A, True)
            keyboard.hear(keys(USAGE_A))
            viewer.key(KEY_A, False)
            keyboard.hear(keys())
            for x, at in (0, 0), (WIDTH - 1, AXIS_MAX):
                viewer.pointer(where["x"] + x, where["y"])
                tablet.hear_last(pointer(at, 0))
            assert not keyboard.listen()


def test_beside_virtio(make_daemon):
    """A USB keyboard and a virtio tablet follow one virtio display."""
    made = sections_of_virtio()
    made["keyboard alice/0"]["model"] = "xhci"
    daemon = make_daemon(made)
    with gpu.Display(socket_of(daemon, "alice")) as one, keyboard_of(daemon) as keyboard, \
            gpu.Input(socket_of(daemon, "alice", "tablet")) as tablet, rfb.Viewer(door(daemon)) as viewer:
        show_virtio(daemon, one)
        viewer.key(KEY_A, True)
        keyboard.hear(keys(USAGE_A))
        where = window(daemon)["picture"]
        viewer.pointer(where["x"], where["y"], 1)
        assert tablet.hear(3)[2] == (gpu.EV_KEY, BTN_LEFT, 1)


def test_a_vmm_after_another(daemon):
    """The next driver hears nothing of what was before it."""
    with BochsDisplay(socket_of(daemon, "alice")) as one, rfb.Viewer(door(daemon)) as viewer:
        show(daemon, one)
        for _ in range(3):
            with keyboard_of(daemon) as keyboard:
                assert not keyboard.listen()
                viewer.key(KEY_A, True)
                keyboard.hear(keys(USAGE_A))
                viewer.key(KEY_A, False)
                keyboard.hear(keys())


def test_another_model(daemon):
    """A reload makes it a virtio keyboard, and back."""
    for model in "virtio", "xhci":
        daemon.sections["keyboard alice/0"]["model"] = model
        reload(daemon)
        assert described(daemon, "keyboard")["model"] == model
    assert described(daemon, "tablet")["model"] == "xhci"
    with BochsDisplay(socket_of(daemon, "alice")) as one, keyboard_of(daemon) as keyboard, rfb.Viewer(door(daemon)) as viewer:
        show(daemon, one)
        viewer.key(KEY_A, True)
        keyboard.hear(keys(USAGE_A))
        daemon.sections["keyboard alice/0"]["model"] = "virtio"
        changes, refused = reload(daemon)
        assert changes == [] and "is connected; its new attributes apply after" in refused[0]


@pytest.mark.parametrize("kind", ["keyboard", "tablet"])
def test_connect_is_refused(make_daemon, kind):
    made = with_usb(sections_of_bochs())
    made[f"{kind} alice/0"]["connect"] = "/run/vmm.sock"
    daemon = make_daemon(made, start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, f'{kind} alice/0', 'connect')}: connect does not go with model = xhci, "
                           f"to whose socket VMMs connect; take connect out, or use model = virtio in [{kind} alice/0]")


def test_an_unknown_model(make_daemon):
    made = sections_of_bochs()
    made["tablet alice/0"]["model"] = "usb"
    daemon = make_daemon(made, start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, 'tablet alice/0', 'model')}: model = usb is none of: virtio, xhci")
