# SPDX-License-Identifier: GPL-2.0-or-later
"""The switches that are compared: each makes sockets for two virtio-user clients, alice and bob."""
import os
import pathlib
import shutil
import subprocess
import time

SWITCH_CPU, CLIENT_CPU = 0, 1
START_S = 30
MACS = {"alice": "52:54:00:00:00:01", "bob": "52:54:00:00:00:02"}
OVS_DAEMON = pathlib.Path("/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk")
OVS_SCHEMA = pathlib.Path("/usr/share/openvswitch/vswitch.ovsschema")
# What its default pool of buffers for two ports needs, beside 1 GiB for all else.
OVS_PAGES = 1536
NR_HUGEPAGES = pathlib.Path("/proc/sys/vm/nr_hugepages")


class BenchError(Exception):
    """Something could not be measured; the text says what."""


def cpu_seconds(pid):
    """What a process has used of the CPUs."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pin(cpu):
    return lambda: os.sched_setaffinity(0, {cpu})


class Switch:
    """One start of a switch in a folder of its own. `server`: the client's end listens."""
    name, server = "", False

    def __init__(self, folder):
        self.folder = folder
        self.process = None

    def socket(self, guest):
        return self.folder / f"{guest}.sock"

    def spawn(self, command, cpu=SWITCH_CPU, **more):
        log = open(self.folder / f"{pathlib.Path(command[0]).name}.log", "ab")
        with log:
            return subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    preexec_fn=pin(cpu), **more)

    def wait(self, holds, what):
        deadline = time.monotonic() + START_S
        while not holds():
            if time.monotonic() > deadline:
                logs = "\n".join(path.read_text(errors="replace")[-2000:] for path in self.folder.glob("*.log"))
                raise BenchError(f"{self.name}: {what}:\n{logs}")
            time.sleep(0.02)

    def end(self, process):
        process.terminate()
        try:
            process.wait(START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Viaduct(Switch):
    name = "viaduct"

    def __init__(self, folder, build):
        super().__init__(folder)
        self.build = build

    def start(self):
        cards = "".join(f"[guest {guest}]\n[nic {guest}/eth0]\nswitch = lan\nmac = {mac}\nsocket = {self.socket(guest)}\n"
                        for guest, mac in MACS.items())
        config = self.folder / "viaduct.conf"
        config.write_text(f"[daemon]\nworkers = 1\nstate_dir = {self.folder}/state\n[switch lan]\n{cards}")
        self.process = self.spawn([self.build / "src/daemon/viaductd", "--config", config,
                                   "--runtime-dir", self.folder / "run"])
        self.wait(lambda: all(self.socket(guest).exists() for guest in MACS), "it does not start")

    def stop(self):
        if self.process:
            self.end(self.process)


class OpenVswitch(Switch):
    """Its datapath in user space with the action NORMAL: MAC learning."""
    name, server = "ovs-dpdk", True

    @staticmethod
    def missing():
        """Why it cannot run here; empty: it can."""
        if not OVS_DAEMON.exists():
            return "openvswitch-switch-dpdk is not installed"
        if os.geteuid() != 0:
            return "OVS-DPDK needs root and huge pages"
        return ""

    def control(self, *words):
        done = subprocess.run(["ovs-vsctl", f"--db=unix:{self.folder}/db.sock", "--no-wait", *words], capture_output=True, text=True,
                              timeout=START_S, check=False)
        if done.returncode != 0:
            raise BenchError(f"ovs-vsctl {' '.join(words)}: {done.stderr}")

    def start(self):
        self.pages = NR_HUGEPAGES.read_text(encoding="ascii")
        NR_HUGEPAGES.write_text(str(OVS_PAGES), encoding="ascii")
        if int(NR_HUGEPAGES.read_text(encoding="ascii")) < OVS_PAGES:
            raise BenchError(f"the kernel gives no {OVS_PAGES} huge pages")
        environment = dict(os.environ, OVS_RUNDIR=str(self.folder), OVS_DBDIR=str(self.folder), OVS_LOGDIR=str(self.folder))
        database = self.folder / "conf.db"
        subprocess.run(["ovsdb-tool", "create", database, OVS_SCHEMA], check=True)
        self.server_process = self.spawn(["ovsdb-server", database, f"--remote=punix:{self.folder}/db.sock"], env=environment)
        self.wait(lambda: (self.folder / "db.sock").exists(), "its database does not start")
        self.control("init")
        self.control("set", "Open_vSwitch", ".", "other_config:dpdk-init=true", f"other_config:pmd-cpu-mask={1 << SWITCH_CPU:#x}",
                     f"other_config:dpdk-lcore-mask={1 << SWITCH_CPU:#x}", "other_config:dpdk-alloc-mem=1024",
                     "other_config:dpdk-extra=--no-pci --in-memory --no-telemetry")
        self.process = self.spawn([OVS_DAEMON, f"--unixctl={self.folder}/vs.ctl", f"unix:{self.folder}/db.sock"], env=environment)
        self.control("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        for guest in MACS:
            self.control("add-port", "br0", guest, "--", "set", "Interface", guest, "type=dpdkvhostuserclient",
                         f"options:vhost-server-path={self.socket(guest)}")

    def stop(self):
        for process in (self.process, getattr(self, "server_process", None)):
            if process:
                self.end(process)
        NR_HUGEPAGES.write_text(self.pages, encoding="ascii")


def have_client():
    return shutil.which("dpdk-testpmd") is not None
