# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's generic kernel on a display made of registers: bochs-drm, through QEMU's vfio-user client."""
import guest_image
import qemu
from test_seat import draw, wait_until
from test_seat_virtio import HEIGHT, WIDTH, newer_qemu, of_guest


def test_every_pixel_is_as_the_guest_drew_it(viaductd, machine):
    """In its window, where nobody but the daemon says that there is something new; and after the daemon is another."""
    program = newer_qemu()
    daemon = viaductd({"seat desk": {"size": "1280x800"}, "guest alice": {},
                       "display alice/0": {"seat": "desk", "source": "bochs", "size": f"{WIDTH}x{HEIGHT}"}})
    alice = machine([qemu.Function(daemon.socket("alice/0", "display"))], kernel="generic", program=program,
                    initramfs=guest_image.initramfs("generic", "bochs"))
    wanted, width, height = draw(alice)
    assert (width, height) == (WIDTH, HEIGHT)
    for turn in range(2):
        wait_until(lambda: of_guest(daemon) == wanted, "the guest's picture")
        if turn == 0:
            daemon.take_over()
        alice.run("printf '\\377\\0\\1\\0' | dd of=/dev/fb0 bs=4 seek=1000 conv=notrunc 2>/dev/null")
        line = wanted[1000 // WIDTH]
        wanted[1000 // WIDTH] = line[:(1000 % WIDTH) * 3] + b"\1\0\xff" + line[(1000 % WIDTH + 1) * 3:]
    wait_until(lambda: of_guest(daemon) == wanted, "the guest's picture after the takeover")
    # Its driver is taken off and put back: dark, and a picture again.
    alice.run("cd /sys/bus/pci/drivers/bochs-drm; echo $(ls | grep 0000) >/tmp/card; echo 0 >/sys/class/vtconsole/vtcon1/bind; "
              "cat /tmp/card >unbind; cat /tmp/card >bind")
    wait_until(lambda: of_guest(daemon) != wanted, "another picture")
    assert daemon.device("alice/0", "display")["connects"] == 1
