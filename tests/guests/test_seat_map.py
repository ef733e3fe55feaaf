# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU that shares the memory of its display, instead of sending the pixels: what a program draws is seen as it is."""
import qemu
from test_seat import display, expect_typed, give_focus, listen, picture, sections, type_line, viewer, wait_until
from test_seat_virtio import Painter, with_painter

WIDTH, HEIGHT = 640, 400


def of_guest(daemon):
    return picture(daemon, "/v1/displays/alice/0/picture")


def is_read(daemon):
    """None of the guest's pixels came in a message."""
    told = display(daemon, "alice")
    return told["drawn_pixels"] == told["read_pixels"] >= WIDTH * HEIGHT


def test_a_program_draws_in_memory_that_qemu_shares(viaductd, machine, program, tmp_path):
    """Text of the firmware's and the console's first; then a program paints by DRM, before and after a takeover."""
    daemon = viaductd(sections("alice"))
    card = qemu.Display(daemon.socket("alice/0", "display"), f"virtio-vga,xres={WIDTH},yres={HEIGHT}", newer=True)
    alice = machine([card], name="alice", kernel="generic", program=program, initramfs=with_painter(tmp_path, "generic"))
    listen(alice)
    with viewer(daemon) as view:
        give_focus(daemon, view, "alice", 2)
        type_line(view, "ok")
        expect_typed(alice, "ok\n")
    painter = Painter(alice)
    assert painter.sizes == [(WIDTH, HEIGHT)]
    for turn in range(4):
        wait_until(lambda: of_guest(daemon) == painter.rows(0), f"the picture, turn {turn}")
        wait_until(lambda: is_read(daemon), "all that was drawn is in the counters")
        if turn == 2:
            daemon.take_over()
        painter.paint()
