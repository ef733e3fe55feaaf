# SPDX-License-Identifier: GPL-2.0-or-later
"""Cards, displays, keyboards, tablets and consoles as virtio-pci devices over vfio-user: used, taken over, left."""
import struct

import pytest

import gpu
from nic import F_MRG_RXBUF, F_STATUS, Card, mac
from patience import wait_until
from test_console import Reader, status, type_, type_all
from test_console_virtio import Driver
from test_refusals import expect_refused, line_of
from test_seat_virtio import ABS_X, HEIGHT, KEY_A, WIDTH, expect_shown, focus, sections, socket_of, start, window
from test_takeover import take_over
from vfio_user import heard
from virtio_pci import ISR_CONFIG, Function

BY_REGISTERS = {"interface": "vfio-user"}
PACKED = pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])


def with_registers(made):
    kinds = "display", "keyboard", "tablet"
    return {name: {**keys, **BY_REGISTERS} if name.split()[0] in kinds else keys for name, keys in made.items()}


# ---- cards ----

ALICE, BOB = mac("52:54:00:00:00:01"), mac("52:54:00:00:00:02")


@pytest.fixture
def network(make_daemon):
    return make_daemon({"switch lan": {}, "guest alice": {}, "guest bob": {},
                        "nic alice/eth0": {"switch": "lan", "mac": "52:54:00:00:00:01", "mtu": 1400, **BY_REGISTERS},
                        "nic bob/eth0": {"switch": "lan", "mac": "52:54:00:00:00:02"}})


def card_socket(daemon, guest):
    return daemon.runtime / guest / "nic-eth0.sock"


@PACKED
def test_card(network, packed):
    """Frames between a card by registers and one by vhost-user, both ways, before and behind a takeover; and the link."""
    function = Function.start(card_socket(network, "alice"), queues=2, packed=packed, features=1 << F_MRG_RXBUF | 1 << F_STATUS)
    with Card(None, ALICE, front=function) as alice, Card(card_socket(network, "bob"), BOB) as bob:
        assert function.device == 0x1041 and function.get_config(0, 6) == ALICE
        link, _, mtu = struct.unpack("<3H", function.get_config(6, 6))
        assert (link, mtu) == (1, 1400)
        alice.post(16)
        bob.post(16, kick=True)
        for turn in range(3):
            for number in range(20):
                assert alice.send(bob, b"to bob %d %d" % (turn, number)) == bob.receive()
                assert bob.send(alice, b"to alice %d %d" % (turn, number)) == alice.receive()
            take_over(network)
        network.sections["nic alice/eth0"]["link"] = "no"
        network.write_config()
        assert network.api("POST", "/v1/reload")[0] == 200
        assert heard(function.config_fd)
        assert function.get_isr() & ISR_CONFIG and function.get_config(6, 2) == b"\0\0"


# ---- displays, keyboards, tablets ----

@pytest.fixture
def seat(make_daemon):
    return make_daemon(with_registers(sections()))


def display(daemon, guest="alice", packed=False):
    features = 1 << gpu.F_EDID | 1 << gpu.F_RESOURCE_BLOB
    return gpu.Display(None, front=Function.start(socket_of(daemon, guest), queues=2, packed=packed, features=features,
                                                  memory_bytes=32 << 20))


@PACKED
def test_display(seat, packed):
    """Its picture is seen, outlives takeovers, and goes with the driver's reset and with its VMM."""
    with display(seat, packed=packed) as one:
        assert one.front.device == 0x1050 and one.modes()[0] == (WIDTH, HEIGHT, True)
        rows = start(one)
        expect_shown(seat, rows)
        for turn in range(2):
            take_over(seat)
            expect_shown(seat, rows)
            patch = [bytes([turn * 90 + 5]) * 30] * 4
            one.draw(1, patch, 8, 8)
            for line, row in enumerate(patch):
                rows[8 + line] = rows[8 + line][:24] + row + rows[8 + line][54:]
            expect_shown(seat, rows)
        one.front.reset()
        wait_until(lambda: not window(seat)["shown"], "the window has gone with its driver")
        one.front.again(2)
        expect_shown(seat, start(one, 1))
    wait_until(lambda: not window(seat)["shown"], "the window has gone with its VMM")


def input_of(daemon, kind, packed=False):
    return gpu.Input(None, front=Function.start(socket_of(daemon, "alice", kind), queues=2, packed=packed, size=4))


def selected(function, select, subsel=0):
    function.set_config(0, bytes([select]))
    function.set_config(1, bytes([subsel]))
    answer = function.get_config(0, 136)
    return answer[8:8 + answer[2]]


@PACKED
def test_keyboard_and_tablet(seat, packed):
    with display(seat) as one, input_of(seat, "keyboard", packed) as keyboard, input_of(seat, "tablet", packed) as tablet:
        expect_shown(seat, start(one))
        focus(seat, "alice")
        assert keyboard.front.device == tablet.front.device == 0x1052
        assert selected(keyboard.front, 1) == b"Viaduct Keyboard" and selected(tablet.front, 1) == b"Viaduct Tablet"
        assert selected(tablet.front, 0x12, ABS_X)[:8] == struct.pack("<II", 0, 32767) and selected(keyboard.front, 0x12, ABS_X) == b""
        for turn in range(3):
            assert seat.api("POST", "/v1/seats/desk/type", {"text": "a"})[0] == 200
            assert keyboard.hear(2) == [(gpu.EV_KEY, KEY_A, 1), (gpu.EV_KEY, KEY_A, 0)]
            take_over(seat)


# ---- consoles ----

@PACKED
def test_console(make_daemon, packed):
    daemon = make_daemon({"guest alice": {}, "console alice/0": {"source": "virtio", **BY_REGISTERS}})
    path = daemon.runtime / "alice" / "console-0.sock"
    with Function.start(path, queues=2, packed=packed) as function, Reader(daemon) as reader:
        assert function.device == 0x1043
        driver = Driver(function)
        driver.say(b"hvc0 login: ")
        assert reader.read(12) == b"hvc0 login: "
        for turn in range(3):
            driver.post(100)
            type_all(daemon, b"key %d" % turn)
            assert driver.hear() == b"key %d" % turn
        assert daemon.api("PATCH", "/v1/consoles/alice/0", {"columns": 132, "rows": 43})[0] == 200
        assert heard(function.config_fd)
        assert function.get_config(0, 4) == b"\x84\0\x2b\0"
    wait_until(lambda: not status(daemon)["connected"], "the front end is gone")
    assert type_(daemon, b"x")[0] == 409


# ---- the configuration ----

@pytest.mark.parametrize("section, keys", [("nic alice/0", {"switch": "lan"}), ("display alice/0", {"seat": "desk", "source": "virtio"}),
                                           ("console alice/0", {"source": "virtio"})], ids=lambda value: str(value).split()[0])
def test_vmms_connect(make_daemon, section, keys):
    daemon = make_daemon({"switch lan": {}, "seat desk": {}, "guest alice": {},
                          section: {**keys, **BY_REGISTERS, "connect": "/run/vmm.sock"}}, start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, section, 'connect')}: connect does not go with interface = vfio-user, to "
                           "whose socket VMMs connect; take connect out, or use interface = vhost-user in "
                           f"[{section}]")


def test_is_for_virtio(make_daemon):
    daemon = make_daemon({"switch lan": {}, "guest alice": {}, "nic alice/0": {"switch": "lan", "model": "e1000e", **BY_REGISTERS}},
                         start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, 'nic alice/0', 'interface')}: interface is for virtio devices; "
                           "model = e1000e in [nic alice/0] has one that cannot be chosen")
