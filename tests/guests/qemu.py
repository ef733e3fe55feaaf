# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts QEMU with vhost-user disks and talks to the guest's console and to QEMU's monitor."""
import base64
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import guest_image

QEMU = "qemu-system-x86_64"
# Only a hang reaches these, also of an emulated guest on a busy machine.
BOOT_SECONDS = 600
# QEMU 7.2's emulation of several processors hangs now and then while the kernel starts them, before the first process
# loads a driver. So long is waited before that is believed; a guest that hangs there is started again.
KERNEL_SECONDS = 180
KERNEL_STARTS = 3
COMMAND_SECONDS = 600
PATIENCE_SECONDS = 120
# On a busy host the kernel may see no timer tick within the time that it counts in loops, and give up.
KERNEL_WORDS = "console=ttyS0 quiet loglevel=1 panic=-1 tsc=reliable no_timer_check"


def long_only(*parameters):
    """Of a test's parameters those that only ./run check --long takes: pairs of their values are in the others."""
    return parameters if "VIADUCT_LONG" in os.environ else ()


class GuestError(AssertionError):
    """The guest or QEMU did not do what the test asked for; the text holds the console's last lines."""


def reconnect(newer):
    """A socket's option: every second. QEMU has two names for it, of which neither version here knows both."""
    return "reconnect-ms=1000" if newer else "reconnect=1"


@dataclasses.dataclass
class Disk:
    """One vhost-user disk of a guest."""
    path: str           # the back end's socket
    name: str = "disk0"
    queues: int = 1
    packed: bool = False
    queue_size: int = 128
    newer: bool = False     # for QEMU 10.1 or later

    def arguments(self, index):
        return [
            "-chardev", f"socket,id=c-{self.name},path={self.path},{reconnect(self.newer)}",
            "-device", f"pcie-root-port,id=port{index},chassis={index + 1},slot={index + 1}",
            "-device", f"vhost-user-blk-pci,id={self.name},bus=port{index},chardev=c-{self.name},"
                       f"num-queues={self.queues},queue-size={self.queue_size},packed={'on' if self.packed else 'off'}",
        ]


@dataclasses.dataclass
class Function:
    """A device made of registers, over vfio-user. QEMU 10.1 is the first that has a client for it."""
    path: str           # the daemon's socket
    name: str = "disk0"
    bus: str = "pcie.0"
    boot: int = 0       # its place when the firmware looks for a system; 0: none

    def device(self):
        """As -device and device_add take it."""
        device = {"driver": "vfio-user-pci", "id": self.name, "bus": self.bus, "socket": {"type": "unix", "path": str(self.path)}}
        return {**device, "bootindex": self.boot} if self.boot else device

    def arguments(self, index):
        return ["-device", json.dumps(self.device())]


@dataclasses.dataclass
class Nic:
    """One vhost-user network card of a guest. QEMU 7.2 crashes on its MSI-X when it emulates the CPU: no vectors."""
    path: str
    mac: str
    name: str = "nic0"
    mtu: int = 1500
    queues: int = 1         # pairs
    newer: bool = False     # for QEMU 10.1 or later

    def arguments(self, index):
        return [
            "-chardev", f"socket,id=c-{self.name},path={self.path},{reconnect(self.newer)}",
            "-netdev", f"vhost-user,id=n-{self.name},chardev=c-{self.name},queues={self.queues}",
            "-device", f"pcie-root-port,id=port{index},chassis={index + 1},slot={index + 1}",
            "-device", f"virtio-net-pci,id={self.name},bus=port{index},netdev=n-{self.name},mac={self.mac},"
                       f"host_mtu={self.mtu},vectors=0,mq={'on' if self.queues > 1 else 'off'}",
        ]


@dataclasses.dataclass
class Display:
    """QEMU's own display, on a seat, and a tablet; the keyboard is the machine's own."""
    path: str           # the daemon's socket
    device: str = "VGA"
    newer: bool = False     # for QEMU 10.1 or later

    def arguments(self, index):
        return [
            "-display", "dbus,p2p=yes", "-device", self.device,
            "-chardev", f"socket,id=c-seat,path={self.path},{reconnect(self.newer)}", "-mon", "chardev=c-seat,mode=control",
            "-device", "qemu-xhci", "-device", "usb-tablet",
        ]


@dataclasses.dataclass
class VirtioSeat:
    """A display, a keyboard and a tablet of the daemon's. QEMU 7.2 has no such devices for guests that it emulates."""
    display: str        # the daemon's sockets
    keyboard: str
    tablet: str
    monitors: int = 1

    def arguments(self, index):
        return [
            "-vga", "none",
            "-chardev", f"socket,id=c-display,path={self.display}",
            "-device", f"vhost-user-gpu-pci,id=gpu,chardev=c-display,max_outputs={self.monitors}",
            "-chardev", f"socket,id=c-keyboard,path={self.keyboard}", "-device", "vhost-user-input-pci,chardev=c-keyboard",
            "-chardev", f"socket,id=c-tablet,path={self.tablet}", "-device", "vhost-user-input-pci,chardev=c-tablet",
        ]


class Monitor:
    """QMP: one command at a time; events are kept for whoever waits for them."""

    def __init__(self, path, timeout=PATIENCE_SECONDS):
        self.socket = connect_when_there(path, timeout)
        self.buffer = b""
        self.events = []
        self._read(timeout)  # greeting
        self.command("qmp_capabilities")

    def _read(self, timeout):
        deadline = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise GuestError("QEMU's monitor does not answer")
            self.socket.settimeout(left)
            try:
                piece = self.socket.recv(65536)
            except TimeoutError:
                continue
            if not piece:
                raise GuestError("QEMU's monitor closed")
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def command(self, name, timeout=PATIENCE_SECONDS, **arguments):
        message = {"execute": name}
        if arguments:
            message["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.socket.sendall(json.dumps(message).encode() + b"\n")
        while True:
            answer = self._read(timeout)
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise GuestError(f"QMP {name}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def wait_event(self, name, timeout=COMMAND_SECONDS):
        deadline = time.monotonic() + timeout
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            left = deadline - time.monotonic()
            if left <= 0:
                raise GuestError(f"no {name} from QEMU within {timeout} s")
            answer = self._read(left)
            if "event" in answer:
                self.events.append(answer)


def connect_when_there(path, timeout):
    """A UNIX stream connection to a socket that another process is about to make."""
    deadline = time.monotonic() + timeout
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(path))
            return connection
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            if time.monotonic() > deadline:
                raise GuestError(f"nobody listens on {path}") from None
            time.sleep(0.02)


class Guest:
    """A virtual machine whose console obeys tests/guests/init's protocol. Use as a context manager."""

    def __init__(self, folder, disks, name="guest", kernel="cloud", memory_mib=192, cpus=1, incoming=None,
                 share_memory=True, initramfs=None, wrapper=(), append="", program=(QEMU,), firmware=None):
        self.folder = pathlib.Path(folder)
        self.name = name
        self.disks = list(disks)
        self.kernel = kernel
        self.memory_mib = memory_mib
        self.cpus = cpus
        self.incoming = incoming
        self.share_memory = share_memory
        self.initramfs = initramfs  # default: the image's
        self.wrapper = wrapper      # what stands before QEMU's command
        self.append = append        # more of the kernel's arguments
        self.program = program      # QEMU's command
        self.firmware = firmware    # what starts the kernel that is on a disk; default: QEMU starts one itself
        self.process = None
        self.console = None
        self.monitor = None
        self.text = ""      # everything the console said
        self.position = 0   # how much of it was consumed
        self.number = 0

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def _arguments(self):
        shared = ["-object", f"memory-backend-memfd,id=memory,size={self.memory_mib}M,share=on", "-machine", "memory-backend=memory"]
        arguments = [
            *self.wrapper, *self.program, "-accel", guest_image.accel(), "-M", "q35", "-cpu", "max", "-smp", str(self.cpus),
            "-m", f"{self.memory_mib}M",
            *(shared if self.share_memory else []),
            "-nodefaults", "-no-user-config", "-display", "none",
            *self._system(),
            "-chardev", f"socket,id=console,path={self.path('console')},server=on,wait=off",
            "-serial", "chardev:console",
            "-qmp", f"unix:{self.path('qmp')},server=on,wait=off",
        ]
        for index, disk in enumerate(self.disks):
            arguments += disk.arguments(index)
        if self.incoming:
            arguments += ["-incoming", self.incoming]
        return arguments

    def _system(self):
        """What it starts with."""
        if self.firmware:
            return ["-bios", str(self.firmware)]
        return ["-kernel", str(guest_image.kernel(self.kernel)),
                "-initrd", str(self.initramfs or guest_image.initramfs(self.kernel)), "-append", f"{KERNEL_WORDS} {self.append}"]

    def path(self, kind):
        return self.folder / f"{self.name}.{kind}"

    def start(self):
        """Starts QEMU; a guest that is not a migration's target is up when this returns."""
        for last in [False] * (KERNEL_STARTS - 1) + [True]:
            try:
                self._launch()
                if self.incoming or not self._emulation_hangs() or last:
                    return self if self.incoming else self._wait_up()
            except BaseException as error:
                log = self.path("log").read_text(errors="replace")
                self.stop()
                if isinstance(error, GuestError):
                    raise GuestError(f"{error}\nQEMU said:\n{log}") from None
                raise
            print(f"{self.name}: the emulator hangs before the first process; once more:\n{self.text[-1000:]}")
            self.stop()
        raise AssertionError("the last start returns or raises")

    def _launch(self):
        for kind in ("console", "qmp"):
            self.path(kind).unlink(missing_ok=True)
        self.text, self.position = "", 0
        with open(self.path("log"), "ab") as log:
            self.process = subprocess.Popen(self._arguments(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)
        self.console = connect_when_there(self.path("console"), PATIENCE_SECONDS)
        self.monitor = Monitor(self.path("qmp"))

    def _emulation_hangs(self):
        """Waits for the first process. True: there is none, and the kernel says that processors stand still."""
        try:
            self._wait(re.compile(r"^@init\n", re.M), KERNEL_SECONDS, "kernel")
        except GuestError:
            return "soft lockup" in self.text and "@init" not in self.text
        return False

    def _wait_up(self):
        self.wait_ready()
        return self

    def stop(self):
        """Ends QEMU, whatever state it is in."""
        for connection in (self.console, self.monitor and self.monitor.socket):
            if connection:
                connection.close()
        self.console = self.monitor = None
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def kill(self):
        """kill -9, as a crashed VMM."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.stop()

    # ---- console ----

    def _more(self, deadline, what):
        left = deadline - time.monotonic()
        if left <= 0:
            raise GuestError(f"{self.name}: {what}: timed out; console:\n{self.text[-2000:]}")
        self.console.settimeout(left)
        try:
            piece = self.console.recv(65536)
        except TimeoutError:
            return
        if not piece:
            raise GuestError(f"{self.name}: {what}: QEMU went away; console:\n{self.text[-2000:]}")
        self.text += piece.decode(errors="replace").replace("\r", "")

    def _wait(self, pattern, timeout, what):
        deadline = time.monotonic() + timeout
        while True:
            found = pattern.search(self.text, self.position)
            if found:
                before = self.text[self.position:found.start()]
                self.position = found.end()
                return before, found
            if "Kernel panic" in self.text[self.position:]:
                raise GuestError(f"{self.name}: the guest's kernel panicked:\n{self.text[-4000:]}")
            self._more(deadline, what)

    def wait_ready(self, timeout=BOOT_SECONDS):
        """Waits for the guest to come up (again); returns its kernel's release."""
        _, found = self._wait(re.compile(r"^@ready (\S+)\n", re.M), timeout, "boot")
        return found.group(1)

    def begin(self, command):
        """Sends a command without waiting; finish() takes its end. One at a time."""
        assert "\n" not in command and len(command) < 3900, "one line of the guest's terminal"
        self.number += 1
        self.console.sendall(f"{self.number} {command}\n".encode())

    def finish(self, timeout=COMMAND_SECONDS):
        """Waits for the command's end; returns its exit status and output."""
        pattern = re.compile(rf"\n@{self.number} (\d+)\n")
        output, found = self._wait(pattern, timeout, f"command {self.number}")
        return int(found.group(1)), output.strip("\n")

    def try_run(self, command, timeout=COMMAND_SECONDS):
        self.begin(command)
        return self.finish(timeout)

    def run(self, command, timeout=COMMAND_SECONDS):
        """Runs a line of shell in the guest; returns its output. A failure fails the test."""
        status, output = self.try_run(command, timeout)
        if status != 0:
            raise GuestError(f"{self.name}: '{command}' exited with {status}:\n{output}\n{self.disk_errors()}")
        return output

    def put(self, path, text):
        """Writes a file in the guest."""
        self.put_bytes(path, text.encode())

    def put_bytes(self, path, content):
        encoded = base64.b64encode(content).decode()
        self.run(f": >{path}")
        for start in range(0, len(encoded), 3000):
            self.run(f"echo {encoded[start:start + 3000]} | base64 -d >>{path}")

    def disk_errors(self):
        """Lines of the kernel's log that a guest with a healthy disk never has."""
        _, log = self.try_run("dmesg | grep -iE 'I/O error|Buffer I/O|EXT4-fs error|blk_update|timed out|critical'")
        return log

    # ---- machine ----

    def reset(self):
        """Presses the reset button and waits for the next boot."""
        self.position = len(self.text)
        self.monitor.command("system_reset")
        return self.wait_ready()

    def unplug(self, name, timeout=COMMAND_SECONDS):
        """Takes a disk away, and the connection to its back end, as a VMM's manager does."""
        self.monitor.command("device_del", id=name)
        self.monitor.wait_event("DEVICE_DELETED", timeout)
        self.monitor.command("chardev-remove", id=f"c-{name}")

    def migrate_to(self, uri, timeout=COMMAND_SECONDS):
        """Live migration; returns the monitor's report once it completed."""
        self.monitor.command("migrate", uri=uri)
        deadline = time.monotonic() + timeout
        while True:
            report = self.monitor.command("query-migrate")
            if report.get("status") == "completed":
                return report
            if report.get("status") in ("failed", "cancelled") or time.monotonic() > deadline:
                raise GuestError(f"migration: {report}")
            time.sleep(0.1)


def installed():
    return shutil.which(QEMU) is not None
