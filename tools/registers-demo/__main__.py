# SPDX-License-Identifier: GPL-2.0-or-later
"""./run demo --registers: the same Debian twice, on one pool, one switch and one seat: alice has devices made of registers, and bob
the same ones on virtio rings. What is claimed is checked, and each check can fail."""
import argparse
import concurrent.futures
import contextlib
import hashlib
import os
import pathlib
import secrets
import shutil
import signal
import struct
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/guests"), str(TOP / "tests/support")]

import foreign  # noqa: E402
import guest_image  # noqa: E402
import qemu  # noqa: E402
from disks import MIB, Guest, make_boot_disk  # noqa: E402
from viaductd import Viaductd  # noqa: E402

BOOT_MIB, DATA_MIB, DISK_MIB = 40, 8, 64
WIDTH, HEIGHT = 640, 400
PINGS = 10
PATIENCE_S = 120        # only a hang reaches it
ADDRESS = {"alice": "10.9.0.1", "bob": "10.9.0.2"}
DISK = {"alice": "/dev/nvme0n1", "bob": "/dev/vda"}
MODELS = {"alice": {"disk": "nvme", "nic": "e1000e", "display": "bochs", "keyboard": "xhci", "tablet": "xhci"},
          "bob": dict.fromkeys(("disk", "nic", "display", "keyboard", "tablet"), "virtio")}
NAMES = {"disk": "root", "nic": "eth0", "display": "0", "keyboard": "0", "tablet": "0"}
DRIVERS = {"alice": {"nvme", "e1000e", "bochs-drm", "xhci_hcd"}, "bob": {"virtio-pci"}}


class Report:
    """Lines with the time since the start, and checks, which are counted."""

    def __init__(self):
        self.start = time.monotonic()
        self.held = self.failed = 0

    def say(self, text):
        print(f"[{time.monotonic() - self.start:5.1f} s] {text}", flush=True)

    def check(self, holds, text):
        print(f"  {'ok' if holds else 'FAILED':6} {text}", flush=True)
        self.held += bool(holds)
        self.failed += not holds

    def end(self):
        print(f"\n{self.held} checks hold, {self.failed} failed, {time.monotonic() - self.start:.0f} s")


def sections():
    made = {"pool main": {"path": "FOLDER/main.pool", "size": "1G"}, "switch lan": {"uplink": "none"},
            "seat desk": {"size": f"{2 * WIDTH + 32}x{HEIGHT + 64}"}}
    for guest, models in MODELS.items():
        made[f"guest {guest}"] = {}
        made[f"disk {guest}/root"] = {"pool": "main", "size": f"{DISK_MIB}M", "model": models["disk"]}
        made[f"nic {guest}/eth0"] = {"switch": "lan", "model": models["nic"]}
        made[f"display {guest}/0"] = {"seat": "desk", "source": models["display"], "size": f"{WIDTH}x{HEIGHT}"}
        made[f"keyboard {guest}/0"] = {"model": models["keyboard"]}
        made[f"tablet {guest}/0"] = {"model": models["tablet"]}
    return made


def devices_of(daemon, guest):
    """What QEMU attaches to the guest."""
    sockets = {kind: daemon.socket(f"{guest}/{name}", kind) for kind, name in NAMES.items()}
    if guest == "alice":
        return [qemu.Function(path, name=kind, boot=int(kind == "disk")) for kind, path in sockets.items()]
    return [qemu.Disk(sockets["disk"]), qemu.Nic(sockets["nic"], mac=daemon.device("bob/eth0", "nic")["mac"]),
            qemu.VirtioSeat(sockets["display"], sockets["keyboard"], sockets["tablet"])]


def wait_until(holds):
    """False: it did not hold within PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


class Demo:
    """The daemon, and both guests when they are up."""

    def __init__(self, report, daemon, guests, folder):
        self.report, self.daemon, self.guests, self.folder = report, daemon, guests, folder
        self.token = secrets.token_hex(4)
        self.costs = {}

    def each(self, command):
        """Runs a command in both guests, one after the other; {guest: output}. DISK stands for the guest's disk."""
        return {name: guest.run(command.replace("DISK", DISK[name])) for name, guest in self.guests.items()}

    # ---- what they are ----

    def show_drivers(self):
        found = self.each("for device in /sys/bus/pci/devices/*; do [ -e $device/driver ] && "
                          "basename $(readlink $device/driver); done | sort -u")
        for guest, output in found.items():
            drivers = set(output.split())
            others = set().union(*DRIVERS.values()) - DRIVERS[guest]
            self.report.check(DRIVERS[guest] <= drivers and not others & drivers,
                              f"{guest}: Debian's own drivers have found {', '.join(sorted(DRIVERS[guest]))}, and none of "
                              f"{', '.join(sorted(others))}")

    # ---- the disk ----

    def line(self, guest):
        return f"@registers-demo:{self.token} guest={guest} ".ljust(63, ".") + "\n"

    def content(self, guest):
        return self.line(guest).encode() * (DATA_MIB * MIB // 64)

    def check_disks(self, image):
        """The disk that each booted from is there unchanged; what each writes it reads again."""
        wanted = hashlib.md5(image.read_bytes()).hexdigest()
        sums = self.each(f"dd if=DISK bs=1M count={BOOT_MIB} 2>/dev/null | md5sum | cut -d' ' -f1")
        self.report.check(set(sums.values()) == {wanted},
                          f"disk: both read the {BOOT_MIB} MiB that they booted from with the MD5 sum {wanted[:8]}, as imported")
        for name, guest in self.guests.items():
            before, start = self.accesses(name), time.monotonic()
            guest.run(f"yes '{self.line(name).strip()}' | head -c {DATA_MIB * MIB} | "
                      f"dd of={DISK[name]} bs=64k seek={BOOT_MIB * 16} iflag=fullblock conv=fsync 2>/dev/null")
            self.costs[name] = (before, self.accesses(name), time.monotonic() - start)
        self.check_data("disk")

    def check_data(self, when):
        sums = self.each(f"echo 3 >/proc/sys/vm/drop_caches; dd if=DISK bs=1M skip={BOOT_MIB} count={DATA_MIB} 2>/dev/null | "
                         "md5sum | cut -d' ' -f1")
        for guest, found in sums.items():
            wanted = hashlib.md5(self.content(guest)).hexdigest()
            self.report.check(found == wanted, f"{when}: {guest} reads the {DATA_MIB} MiB that it wrote: MD5 sum {found[:8]}, "
                              f"expected {wanted[:8]}")

    def check_from_outside(self, image):
        """What the daemon has on the pool, read without a guest."""
        for guest in self.guests:
            file = self.folder / f"{guest}.raw"
            self.daemon.command("disk", "export", f"{guest}/root", str(file), "--format", "raw")
            found = file.read_bytes()
            wanted = image.read_bytes() + self.content(guest)
            self.report.check(found[:len(wanted)] == wanted and not any(found[len(wanted):]),
                              f"pool: {guest}'s exported disk holds what it booted from and what it wrote, and nothing else")

    # ---- the network ----

    def check_network(self):
        for name, guest in self.guests.items():
            guest.run(f"ip link set eth0 up && ip addr add {ADDRESS[name]}/24 dev eth0")
        for name, other in (("alice", "bob"), ("bob", "alice")):
            _, output = self.guests[name].try_run(f"ping -q -A -c {PINGS} -W 60 {ADDRESS[other]}")
            times = output.rpartition(" = ")[2].split("/")
            self.report.check(f"{PINGS} packets received" in output, f"switch: {name} ({MODELS[name]['nic']}) pings {other} "
                              f"({MODELS[other]['nic']}), {PINGS} times, on average {times[1] if len(times) > 2 else '?'} ms")

    # ---- the seat ----

    def show_names(self):
        """Each guest says on its screen who it is, and keeps what is typed there."""
        for name, guest in self.guests.items():
            guest.run("until grep -q Viaduct /proc/bus/input/devices; do sleep 0.1; done")
            guest.run("(setsid cat /dev/tty1 >/tmp/typed 2>/dev/null &)")
            guest.run("until ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /dev/tty1; do sleep 0.1; done; stty -F /dev/tty1 sane")
            guest.run(f"printf '\\033[2J\\033[H\\n  This is {name}, with Linux %s.\\n\\n  Its display is {MODELS[name]['display']}, "
                      f"its keyboard {MODELS[name]['keyboard']}.\\n\\n  What is typed for {name}:\\n\\n' $(uname -r) >/dev/tty1")

    def heard(self):
        return self.each("tr -d '\\n' </tmp/typed")

    def check_typing(self, to, text):
        before = self.heard()
        wanted = {**before, to: before[to] + text}
        shown = wait_until(lambda: all(self.daemon.device(f"{name}/0", "display")["shown"] for name in self.guests))
        self.daemon.command("seat", "focus", "desk", to)
        self.daemon.command("seat", "type", "desk", text, "--to", to, "--enter")
        wait_until(lambda: self.heard() == wanted)
        found = self.heard()
        self.report.check(shown and found == wanted, f"seat: '{text}' was typed: alice heard '{found['alice']}', bob '{found['bob']}'")

    def check_picture(self, file):
        self.daemon.command("screenshot", "desk", "-o", str(file))
        head = file.read_bytes()[:24]
        size = struct.unpack(">II", head[16:24]) if head[:8] == b"\x89PNG\r\n\x1a\n" else (0, 0)
        shown = [name for name in self.guests if self.daemon.device(f"{name}/0", "display")["shown"]]
        self.report.check(size == (2 * WIDTH + 32, HEIGHT + 64) and shown == list(self.guests),
                          f"seat: `viaduct screenshot desk` shows the windows of {' and '.join(shown)}: {file}")

    # ---- the daemon ----

    def take_over(self):
        before = self.connections()
        self.daemon.take_over()
        self.report.check(len(before) == 10 and self.connections() == before,
                          f"takeover: another daemon serves all {len(before)} devices, and no VMM had to connect again")

    def connections(self):
        return {(one["kind"], one["name"]): one["connects"] for one in self.daemon.status()["devices"] if one["connected"]}

    def check_honesty(self):
        complaints = {one["name"]: one["violations"] for one in self.daemon.status()["devices"]
                      if any(one["violations"].values()) or one["protocol_errors"]}
        self.report.check(not complaints, f"no device complains of its guest{f': {complaints}' if complaints else ''}")

    # ---- what it costs ----

    def accesses(self, guest):
        """Of the disk: what its driver told the daemon, and what it was told."""
        disk = self.daemon.device(f"{guest}/root", "disk")
        return disk["kicks"], disk["calls"]

    def print_counters(self):
        """As they are now; those of `viaduct status`."""
        rows = [("DEVICE", "MODEL", "TOLD THE DAEMON", "INTERRUPTS")]
        for one in sorted(self.daemon.status()["devices"], key=lambda one: (one["name"].split("/")[0], one["kind"])):
            model = MODELS[one["name"].split("/")[0]][one["kind"]]
            told = f"{one['kicks']} {'kicks' if model == 'virtio' else 'loads and stores'}"
            rows.append((f"{one['kind']} {one['name']}", model, told, str(one["calls"])))
        for row in rows:
            print("  " + "".join(f"{cell:{width}}" for cell, width in zip(row, (22, 9, 24, 0))))
        print()

    def print_costs(self):
        for name, (before, after, seconds) in self.costs.items():
            kicks, calls = after[0] - before[0], after[1] - before[1]
            print(f"  {name} wrote {DATA_MIB} MiB by {MODELS[name]['disk']} in {seconds:.1f} s: its driver told the daemon of it "
                  f"{kicks} times, and got {calls} interrupts")
        for guest in self.daemon.status()["guests"]:
            print(f"  {guest['name']} has cost the daemon {guest['cpu_ns'] / 1e6:.0f} ms of processor time")


def show(report, daemon, folder, picture, stack):
    report.say("a disk with SYSLINUX, Debian's generic kernel and an initramfs is made, and imported for both guests")
    image = make_boot_disk(folder, BOOT_MIB)
    daemon.start()
    for guest in MODELS:
        daemon.command("disk", "import", f"{guest}/root", str(image), "--format", "raw", "--overwrite")
    guests = {}
    for name, models in MODELS.items():
        report.say(f"{name} boots from its disk: {', '.join(f'{kind} {model}' for kind, model in models.items())}")
        guests[name] = Guest(folder, devices_of(daemon, name), name=name, kernel="generic", memory_mib=256, program=foreign.qemu())
        stack.callback(guests[name].stop)
    with concurrent.futures.ThreadPoolExecutor() as both:
        list(both.map(Guest.start, guests.values()))
    demo = Demo(report, daemon, guests, folder)
    report.say("both are up")
    demo.show_drivers()
    demo.check_disks(image)
    demo.check_network()
    demo.show_names()
    demo.check_typing("alice", f"for-alice-{demo.token}")
    demo.check_typing("bob", f"for-bob-{demo.token}")
    demo.check_picture(picture)
    report.say("counters of all devices since the start:")
    demo.print_counters()
    demo.print_costs()
    demo.check_honesty()
    report.say("viaductd --takeover: a new process takes the open connections")
    demo.take_over()
    demo.check_typing("alice", "again")
    demo.check_data("takeover")
    demo.check_honesty()
    for guest in guests.values():
        guest.stop()
    demo.check_from_outside(image)


def main():
    parser = argparse.ArgumentParser(prog="run demo --registers", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep the folder with the pool, logs and consoles")
    arguments = parser.parse_args()
    # So that QEMUs and the daemon end, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    report = Report()
    here = pathlib.Path.cwd()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="viaduct-registers-"))
    picture = (here if os.access(here, os.W_OK) else folder) / "viaduct-registers.png"
    daemon = Viaductd(sections())
    try:
        report.say(f"guests run under {'KVM' if guest_image.accel() == 'kvm' else 'software emulation'}; a QEMU with a vfio-user client "
                   f"comes from Debian {foreign.SUITE}, fetched once")
        with contextlib.ExitStack() as stack:
            show(report, daemon, folder, picture, stack)
        daemon.stop()
    except (AssertionError, RuntimeError, OSError) as error:
        report.check(False, f"the demo came to its end: {error}")
        print(daemon.text()[-2000:], file=sys.stderr)
    except foreign.Unavailable as error:
        report.check(False, f"there is no QEMU for it: {error}")
    finally:
        if arguments.keep:
            print(f"everything is kept in {folder} and {daemon.folder}")
            daemon.stop()
        else:
            daemon.remove()
            shutil.rmtree(folder, ignore_errors=True)
    report.end()
    return int(report.failed > 0)


sys.exit(main())
