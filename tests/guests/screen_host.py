# SPDX-License-Identifier: GPL-2.0-or-later
"""An emulated machine that is the host: its own card, keyboard and pointer, and viaductd in its initramfs."""
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import guest_image
import qemu
import viaductd

MODULES = ("evdev", "virtio_input", "virtio_gpu")
XKB = pathlib.Path("/usr/share/X11/xkb")
PATIENCE_S = 120       # only a hang reaches it
PROGRAMS = {"viaductd": "src/daemon/viaductd", "viaduct": "src/cli/viaduct", "display-player": "tests/guests/display-player"}


class Devices:
    """What the machine has at its desk."""

    def __init__(self, *models):
        self.models = models

    def arguments(self, index):
        return [word for model in self.models for word in ("-device", model)]


def add_program(root, name, program):
    (root / "bin").mkdir(exist_ok=True)
    shutil.copy(program, root / "bin" / name)
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"(?:=> )?(/\S+) \(0x", listed):
        place = root / library.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, place)


def initramfs(folder, **configurations):
    """That of the guests, with the programs and their libraries: the kernel unpacks one archive after the other."""
    image = pathlib.Path(folder) / "host.cpio"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        root = pathlib.Path(scratch)
        for name, program in PROGRAMS.items():
            add_program(root, name, viaductd.build_folder() / program)
        for part in "rules", "keycodes", "types", "compat", "symbols":
            (root / XKB.relative_to("/") / part).mkdir(parents=True)
        for name in XKB.glob("[rktcs]*/*"):
            if name.is_file() and (name.parent.name != "rules" or name.name == "evdev"):
                shutil.copy(name, root / name.relative_to("/"))
        for name, text in configurations.items():
            (root / f"{name}.conf").write_text(text)
        (root / "etc").mkdir()
        (root / "etc/passwd").write_text("root:x:0:0:::/bin/sh\nviaduct:x:100:100:::/bin/false\n")
        (root / "etc/group").write_text("root:x:0:\nviaduct:x:100:\n")
        names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*"))).encode()
        archive = subprocess.run(["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"], cwd=root, input=names,
                                 capture_output=True, check=True).stdout
    base = guest_image.initramfs("generic", *MODULES).read_bytes()
    image.write_bytes(base + bytes(-len(base) % 512) + archive)
    return image


class Host:
    """The machine with a daemon whose configuration is NAME.conf, and what is done at its desk."""

    def __init__(self, guest, name="host"):
        self.guest = guest
        self.name = name
        self.forgotten = 0

    def start_daemon(self, *more):
        """Its process is named by the file /tmp/NAME.pid."""
        run = f"exec viaductd --config /{self.name}.conf --runtime-dir /tmp/{self.name} {' '.join(more)}"
        self.guest.run(f"(setsid sh -c 'echo $$ >/tmp/{self.name}.pid; {run}' >>/tmp/{self.name}.log 2>&1 &)")

    def signal(self, name):
        self.guest.run(f"kill -{name} $(cat /tmp/{self.name}.pid)")

    def take_over(self, meanwhile):
        """Calls meanwhile() again and again until the predecessor has gone."""
        old = self.guest.run(f"cat /tmp/{self.name}.pid")
        self.start_daemon("--takeover")
        while self.guest.try_run(f"kill -0 {old}")[0] == 0:
            meanwhile()
        self.wait_ready()

    def command(self, *words):
        return self.guest.run(f"viaduct --runtime-dir /tmp/{self.name} " + " ".join(words))

    def wait(self, true, what):
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}\n{self.log()}"
            time.sleep(0.02)

    def seat(self):
        return json.loads(self.command("seat", "show", "desk", "--json"))

    def device(self, name):
        """The file in /dev/input of an input device of the seat, or None."""
        return next((pathlib.Path(device["path"]).name for device in self.seat()["input"]["devices"] if device["name"] == name), None)

    def wait_ready(self):
        asked = f"viaduct --runtime-dir /tmp/{self.name} seat show desk --json"
        self.wait(lambda: self.guest.try_run(asked)[0] == 0, "the daemon is ready")

    def stop_daemon(self):
        self.signal("TERM")
        self.guest.run(f"while kill -0 $(cat /tmp/{self.name}.pid) 2>/dev/null; do sleep 0.1; done")

    def log(self):
        return self.guest.run(f"cat /tmp/{self.name}.log")

    def play_display(self, name, width, height):
        """A guest whose display shows display_player's picture."""
        self.guest.run(f"(setsid display-player /tmp/{self.name}/{name}/display-0.sock {width} {height} >/tmp/heard 2>&1 &)")
        self.wait(lambda: "shown" in self.guest.run("cat /tmp/heard"), f"{name} has a picture")

    def heard(self):
        """What the guest's display was told since the last forget_heard()."""
        return self.guest.run("tail -n +2 /tmp/heard").splitlines()[self.forgotten:]

    def forget_heard(self):
        self.forgotten = 0
        self.forgotten = len(self.heard())

    def wait_heard(self, *calls):
        """These calls of the keyboard's, and no other ones."""
        self.wait(lambda: len(self.heard()) >= len(calls), f"the guest hears {calls}")
        assert tuple(self.heard()) == tuple(f"Keyboard {call}" for call in calls)

    def screen(self):
        """What is on the monitor: rows of three bytes a pixel."""
        path = self.guest.path("screen.ppm")
        self.guest.monitor.command("screendump", filename=str(path))
        body = path.read_bytes()
        kind, width, height, depth = body.split(maxsplit=4)[:4]
        assert (kind, depth) == (b"P6", b"255")
        width, height = int(width), int(height)
        pixels = body[-width * height * 3:]
        return [pixels[at:at + width * 3] for at in range(0, len(pixels), width * 3)]

    def press(self, *names):
        """Names of QEMU's keys: all go down, and come up."""
        for down in True, False:
            self.key(down, *(names if down else reversed(names)))

    def key(self, down, *names):
        self.send(*({"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": name}}} for name in names))

    def send(self, *events):
        self.guest.monitor.command("input-send-event", events=list(events))

    def button(self, name, down):
        self.send({"type": "btn", "data": {"down": down, "button": name}})

    def move(self, kind, x, y):
        """abs: to a place of 0 to 0x7fff; rel: by so much."""
        self.send(*({"type": kind, "data": {"axis": axis, "value": value}} for axis, value in (("x", x), ("y", y))))
