# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU whose guest draws all the time: a boot sector that fills a screen of 1280 to 800 pixels, again and again."""
import struct
import subprocess
import time

from seats import START_S, BenchError

QEMU = "qemu-system-x86_64"
WIDTH, HEIGHT = 1280, 800
# The thread that runs the guest's instructions.
GUEST_THREAD = "CPU 0/"
ORIGIN, FLOPPY_BYTES = 0x7c00, 1440 << 10

# Registers of the Bochs display (port 0x1ce: which, 0x1cf: its value), in this order.
REGISTERS = struct.pack("<10H", 4, 0, 1, WIDTH, 2, HEIGHT, 3, 32, 4, 0x41)     # off; sides; bits; on, and linear
# Segments of all memory: none, code, data.
SEGMENTS = bytes(8) + bytes.fromhex("ffff0000009acf00 ffff00000092cf00")
CODE = bytes.fromhex(
    "fa 31c0 8ed8"              # cli; ax = ds = 0
    "0f0116 887c"               # lgdt: TABLE below
    "be 5b7c b90500"            # si = REGISTERS, five of them
    "bace01 ad ef 42 ad ef"     # dx = 0x1ce: write one word; to the next port write the other
    "e2f6"                      # until cx is 0
    "baf80c 66b810100080 66ef"  # PCI: the first base address of device 2
    "bafc0c 66ed 24f0 6689c3"   # ebx = where the screen's memory is
    "b052 e6e9"                 # 'R' to the debug port
    "0f20c0 0c01 0f22c0"        # protected mode
    "ea 407c 0800"              # go on in 32 bits
    "66b81000 8ec0"             # es = all memory
    "81c507030100"              # next: ebp = the picture's first colour
    "89e8 89df"                 # eax = colour, edi = the screen
    "b9") + struct.pack("<I", WIDTH * HEIGHT) + bytes.fromhex(
    "ab 40 e2fc"                # each pixel a colour of its own
    "ebeb")                     # and again


def boot_sector():
    head = CODE + REGISTERS
    head += bytes(-len(head) % 8)
    table = struct.pack("<HI", len(SEGMENTS) - 1, ORIGIN + len(head))
    sector = head + SEGMENTS + table
    # What the code says of their places.
    assert (ORIGIN + len(CODE), ORIGIN + len(head) + len(SEGMENTS)) == (0x7c5b, 0x7c88)
    return sector.ljust(510, b"\0") + b"\x55\xaa"


class DrawingGuest:
    """display: QEMU's arguments for it."""

    def __init__(self, folder, name, display):
        floppy, self.log = folder / f"{name}.img", folder / f"{name}.log"
        floppy.write_bytes(boot_sector().ljust(FLOPPY_BYTES, b"\0"))
        self.log.write_bytes(b"")
        self.process = subprocess.Popen(
            [QEMU, "-name", f"{name},debug-threads=on", "-accel", "tcg", "-M", "pc", "-m", "64", "-nodefaults",
             "-device", "VGA,addr=2", "-drive", f"file={floppy},format=raw,if=floppy", "-boot", "a",
             "-debugcon", f"file:{self.log}", *display],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def __enter__(self):
        deadline = time.monotonic() + START_S
        while b"R" not in self.log.read_bytes():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise BenchError(f"{QEMU}: its guest does not draw: {self.process.stderr.read().decode()}")
            time.sleep(0.05)
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()


def on_seat(folder, socket):
    """One that shows its display at the daemon's socket."""
    return DrawingGuest(folder, "viaduct", ["-display", "dbus,p2p=yes", "-chardev", f"socket,id=seat,path={socket},reconnect=1",
                                            "-mon", "chardev=seat,mode=control"])


def on_vnc(folder, socket):
    """One with QEMU's own VNC server."""
    return DrawingGuest(folder, "qemu", ["-vnc", f"unix:{socket}"])
