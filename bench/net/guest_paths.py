# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways between an emulated guest and its host that are compared. Each start has a folder and guests of its own."""
import contextlib
import dataclasses
import functools
import pathlib
import re
import shutil
import subprocess
import sys
import time

sys.path += [str(pathlib.Path(__file__).resolve().parents[2] / "tests" / folder) for folder in ("guests", "support")]

import foreign  # noqa: E402
import guest_image  # noqa: E402
import qemu  # noqa: E402
from net_namespace import NetNamespace  # noqa: E402
from switches import BenchError  # noqa: E402
from viaductd import Viaductd  # noqa: E402

PORT = 5001
# The host's address for guests behind a NAT, which do not reach its loopback; and the network of tap interfaces.
HOST = "192.0.2.1"
TAP_HOST = "10.9.0.1"
# The host's own way to the world. passt gives the guest the address of it.
WAN, WAN_GATEWAY = "198.51.100.1", "198.51.100.2"
MACS = {"alice": "52:54:00:00:00:01", "bob": "52:54:00:00:00:02"}
BACK_END = "back end"       # beside the guests' QEMUs: the process that carries their frames
PATIENCE_S = 60
PROGRAMS = (qemu.QEMU, "cpio", "busybox", "ip", "nsenter")
STREAM = "bench/viaduct-stream"
TUN = pathlib.Path("/dev/net/tun")


def standing():
    """A command's beginning: a session of its own gets the nice value of ours, which weighs more than that of a process."""
    try:
        nice = re.search(r"nice (-?\d+)", pathlib.Path("/proc/self/autogroup").read_text(encoding="ascii")).group(1)
    except FileNotFoundError:       # a kernel without autogroups
        return []
    return [] if nice == "0" else ["sh", "-c", f'echo {nice} >/proc/self/autogroup; exec "$@"', "sh"]


class Unable(BenchError):
    """No guest can be measured on this machine; the text says why."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a guest boots: the kernel's flavour, modules besides the usual, and whether QEMU is that of a newer Debian."""
    kernel: str = "cloud"
    modules: tuple = ()
    newer: bool = False

    @functools.cached_property
    def program(self):
        return foreign.qemu() if self.newer else (qemu.QEMU,)

    def missing(self):
        """Why there is no such guest here; empty: there is."""
        try:
            if self.newer:
                foreign.root()
        except foreign.Unavailable as reason:
            return str(reason)
        return ""


class Namespace(NetNamespace):
    def refused(self, reason):
        raise Unable(f"no right to make a network namespace: {reason}")

    @property
    def wrapper(self):
        return [*standing(), *super().wrapper]


class Host:
    """The host of the guests: a network namespace, in which a server of viaduct-stream runs. A context manager."""

    def __init__(self, folder, build):
        self.folder = folder
        self.build = build
        self.stack = contextlib.ExitStack()
        self.namespace, self.images = None, {}

    def __enter__(self):
        absent = [program for program in PROGRAMS if not shutil.which(program)]
        if absent:
            raise Unable(f"not installed: {', '.join(absent)}")
        self.initramfs(Kind())
        with contextlib.ExitStack() as stack:
            self.namespace = stack.enter_context(Namespace())
            self.set_up()
            stack.callback(end, self.serve())
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def set_up(self):
        net = self.namespace
        # One congestion control for all that sends, be it a program on the host or a NAT in the name of a guest. A host
        # may have one that paces (BBR); reno is the only one that every kernel has and every namespace may choose.
        net.run("sh", "-c", "cd /proc/sys/net/ipv4; echo reno >tcp_congestion_control; echo 1 >tcp_no_metrics_save")
        net.run("ip", "address", "add", f"{HOST}/32", "dev", "lo")
        net.run("ip", "link", "add", "wan0", "type", "veth", "peer", "name", "wan1")
        net.run("ip", "link", "set", "wan1", "up")
        net.address("wan0", f"{WAN}/24")
        net.run("ip", "route", "add", "default", "via", WAN_GATEWAY)

    def initramfs(self, kind):
        """The tests' initramfs for such a guest, and viaduct-stream."""
        if kind not in self.images:
            folder = self.folder / f"image{len(self.images)}"
            try:
                image = guest_image.initramfs(kind.kernel, *kind.modules)
            except RuntimeError as error:
                raise Unable(str(error)) from error
            self.images[kind] = guest_image.with_programs(image, {"viaduct-stream": self.build / STREAM}, folder)
        return self.images[kind]

    def serve(self):
        server = subprocess.Popen([*self.namespace.wrapper, self.build / STREAM, "serve", str(PORT)],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        if server.stdout.readline() != b"ready\n":
            raise BenchError("viaduct-stream does not listen")
        return server


@dataclasses.dataclass
class QemuNic:
    """A card of QEMU's own, with a back end of QEMU's."""
    netdev: str
    mac: str
    model: str = "virtio-net-pci"

    def arguments(self, _index):
        return ["-netdev", f"{self.netdev},id=n0", "-device", f"{self.model},netdev=n0,mac={self.mac}"]


class Path:
    """One start of a way. `caller` is the guest that connects, and `address` what it connects to."""
    name = ""
    mtu = 1500
    needs_tun = False
    kind = Kind()

    def __init__(self, host, folder):
        self.host = host
        self.net = host.namespace
        self.folder = folder
        self.stack = contextlib.ExitStack()
        self.caller = None
        self.address = HOST
        self.processes = {}

    @classmethod
    def missing(cls):
        """Why it cannot run here; empty: it can."""
        return f"there is no {TUN}" if cls.needs_tun and not TUN.exists() else cls.kind.missing()

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_):
        self.stack.close()

    def start(self):
        raise NotImplementedError

    def guest(self, nic, address, gateway=None, name="alice"):
        machine = qemu.Guest(self.folder, [nic], name=name, kernel=self.kind.kernel, program=self.kind.program,
                             initramfs=self.host.initramfs(self.kind), wrapper=self.net.wrapper)
        guest = self.stack.enter_context(machine)
        self.processes[name] = guest.process.pid
        guest.run(f"ip link set lo up; ip addr add {address}/24 dev eth0; ip link set eth0 mtu {self.mtu} up")
        if gateway:
            guest.run(f"ip route add default via {gateway}")
        return guest

    def reach(self, interface):
        """The host's end of a tap interface. One that the kernel still has from the daemon before is tried again by the next."""
        deadline = time.monotonic() + 30
        while not self.net.link(interface) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.net.address(interface, f"{TAP_HOST}/24")
        self.stack.callback(self.net.run, "ip", "link", "delete", interface, check=False)
        self.address = TAP_HOST


class ViaductPath(Path):
    """What a user would write: all that is not named here is at its default."""
    model = "virtio"

    def daemon(self, guests, **switch):
        sections = {"switch lan": switch}
        for guest in guests:
            sections |= {f"guest {guest}": {}, f"nic {guest}/eth0": {"switch": "lan", "mac": MACS[guest], "mtu": self.mtu, "model": self.model}}
        daemon = Viaductd(sections, wrapper=self.net.wrapper, build=self.host.build)
        self.stack.callback(daemon.remove)
        daemon.start()
        self.processes[BACK_END] = daemon.process.pid
        return {guest: self.card(daemon.socket(f"{guest}/eth0", "nic"), guest) for guest in guests}

    def card(self, socket, guest):
        return qemu.Nic(socket, MACS[guest], mtu=self.mtu, newer=self.kind.newer)


class ViaductTap(ViaductPath):
    name, needs_tun = "viaduct, tap", True

    def start(self):
        nics = self.daemon(["alice"], uplink="tap:guests")
        self.reach("guests")
        self.caller = self.guest(nics["alice"], "10.9.0.5")


class ViaductE1000e(ViaductTap):
    """By registers. Debian's cloud kernel has no driver for the card."""
    name, model = "viaduct, e1000e", "e1000e"
    kind = Kind("generic", ("e1000e",), newer=True)

    def card(self, socket, guest):
        return qemu.Function(socket, name="nic0")


class ViaductTapNewer(ViaductTap):
    """The virtio card of such a guest."""
    name = "viaduct, virtio"
    kind = ViaductE1000e.kind


class ViaductUser(ViaductPath):
    name = "viaduct, user"

    def start(self):
        nics = self.daemon(["alice"], uplink="user", mtu=self.mtu)
        self.caller = self.guest(nics["alice"], "10.0.2.15", "10.0.2.2")


class ViaductUserJumbo(ViaductUser):
    name, mtu = "viaduct, user, MTU 65520", 65520


class ViaductGuests(ViaductPath):
    name = "viaduct, two guests"

    def start(self):
        nics = self.daemon(["alice", "bob"])
        bob = self.guest(nics["bob"], "10.9.0.6", name="bob")
        bob.run(f"viaduct-stream serve {PORT} >/tmp/served 2>&1 & until grep -q ready /tmp/served; do sleep 0.1; done")
        self.caller = self.guest(nics["alice"], "10.9.0.5")
        self.address = "10.9.0.6"


class QemuTap(Path):
    name, needs_tun = "QEMU, tap", True
    model = "virtio-net-pci"

    def start(self):
        # Without vhost-net, which needs a module of the host's kernel: QEMU itself reads and writes the tap.
        nic = QemuNic("tap,ifname=qemu0,script=no,downscript=no,vhost=off", MACS["alice"], self.model)
        self.caller = self.guest(nic, "10.9.0.5")
        self.reach("qemu0")


class QemuE1000e(QemuTap):
    name, model = "QEMU, e1000e", "e1000e"
    kind = ViaductE1000e.kind


class QemuUser(Path):
    name = "QEMU, user"

    def start(self):
        self.caller = self.guest(QemuNic("user", MACS["alice"]), "10.0.2.15", "10.0.2.2")


class Passt(Path):
    name = "passt"

    @classmethod
    def missing(cls):
        return "" if shutil.which("passt") else "the package passt is not installed"

    def start(self):
        socket = self.folder / "passt.sock"
        # Started as root, passt goes on as nobody, and makes its socket as that.
        self.folder.chmod(0o777)
        with open(self.folder / "passt.log", "wb") as log:
            process = subprocess.Popen([*self.net.wrapper, "passt", "-f", "-e", "-m", str(self.mtu), "-s", socket],
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.stack.callback(end, process)
        deadline = time.monotonic() + PATIENCE_S
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"passt does not start: {(self.folder / 'passt.log').read_text(errors='replace')}")
            time.sleep(0.02)
        self.processes[BACK_END] = process.pid
        nic = QemuNic(f"stream,server=off,addr.type=unix,addr.path={socket}", MACS["alice"])
        self.caller = self.guest(nic, WAN, WAN_GATEWAY)


class PasstJumbo(Passt):
    name, mtu = "passt, MTU 65520", 65520


def end(process):
    process.kill()
    process.wait()
