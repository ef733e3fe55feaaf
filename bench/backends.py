# SPDX-License-Identifier: GPL-2.0-or-later
"""The processes that a comparison starts: back ends on one core, the load generator on the other."""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import time

CLIENT_CPU, BACKEND_CPU = 0, 1
DISK_BYTES = 1 << 30
START_SECONDS = 10
RING_RUNS = 5


class BenchError(Exception):
    """Something could not be measured; the text says what."""


class Backend:
    """A back end of one mode ("null", "cache" or "direct") on a socket of its own."""

    def __init__(self, name, command, socket, log):
        self.name, self.command, self.socket, self.log = name, command, pathlib.Path(socket), log
        self.process = None

    def start(self):
        self.socket.unlink(missing_ok=True)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=lambda: os.sched_setaffinity(0, {backend_cpu()}))
        wait_for(self.socket, self.process, self.name, self.log)

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


def backend_cpu():
    return BACKEND_CPU if BACKEND_CPU in os.sched_getaffinity(0) else CLIENT_CPU


def wait_for(path, process, name, log):
    deadline = time.monotonic() + START_SECONDS
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            text = pathlib.Path(log).read_text(errors="replace").strip()
            raise BenchError(f"{name} does not start: {text or 'no word from it'}")
        time.sleep(0.01)
    time.sleep(0.05)


def viaduct(build, folder, mode, disk, poll_us):
    command = [build / "bench" / "viaduct-serve", "--socket", folder / f"viaduct-{mode}.sock", "--poll-us", poll_us]
    if mode == "null":
        command += ["--null", DISK_BYTES]
    else:
        command += ["--file", disk, "--buffered" if mode == "cache" else "--direct"]
    return Backend("viaduct", [str(word) for word in command], folder / f"viaduct-{mode}.sock",
                   folder / f"viaduct-{mode}.log")


def storage_daemon(folder, mode, disk):
    """None when it is not installed."""
    program = shutil.which("qemu-storage-daemon")
    if program is None:
        return None
    socket = folder / f"qsd-{mode}.sock"
    if mode == "null":
        node = f"driver=null-co,node-name=n,size={DISK_BYTES},read-zeroes=off"
    else:
        direct = "on" if mode == "direct" else "off"
        node = f"driver=file,node-name=n,filename={disk},locking=off,aio=io_uring,cache.direct={direct}"
    export = f"type=vhost-user-blk,id=e,node-name=n,addr.type=unix,addr.path={socket},writable=on,num-queues=1"
    return Backend("qsd", [program, "--blockdev", node, "--export", export], socket, folder / f"qsd-{mode}.log")


def load(build, arguments):
    """One run of the load generator; the dictionary it prints."""
    command = [build / "bench" / "viaduct-load", "--cpu", CLIENT_CPU, "--json", *arguments]
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120, check=False)
    if done.returncode != 0:
        raise BenchError(f"viaduct-load failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def make_disk(path):
    """A file with data in every block: holes would be read without the disk."""
    piece = os.urandom(1 << 20)
    if path.exists() and path.stat().st_size == DISK_BYTES:
        return
    with open(path, "wb") as file:
        for number in range(DISK_BYTES >> 20):
            file.write(number.to_bytes(8, "little") + piece[8:])
        file.flush()
        os.fsync(file.fileno())


def warm_up(path):
    """All of the file into the page cache."""
    with open(path, "rb", buffering=0) as file:
        while file.read(4 << 20):
            pass


def ring_cost(build):
    """Nanoseconds that the ring code costs for each chain, split and packed; the median of five runs."""
    runs = []
    for _ in range(RING_RUNS):
        done = subprocess.run([build / "bench" / "viaduct-bench-ring"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=120, check=False, preexec_fn=lambda: os.sched_setaffinity(0, {backend_cpu()}))
        if done.returncode != 0:
            raise BenchError(f"viaduct-bench-ring failed: {done.stderr.strip()}")
        runs.append(json.loads(done.stdout))
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


# ---- the daemon, idle ----

def fields_of(path):
    """{name: number} of a file in /proc whose lines are "Name: number kB"."""
    found = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            name, _, value = line.partition(":")
            if value.split() and value.split()[0].isdigit():
                found[name] = int(value.split()[0])
    return found


def children(pid):
    """A process's children, and theirs."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            parent = fields_of(entry / "status")["PPid"] if entry.name.isdigit() else None
        except (OSError, KeyError):
            continue
        if parent == pid:
            found += [int(entry.name), *children(int(entry.name))]
    return found


def resident_bytes(pid):
    """Memory of the daemon and of those who let its guests in, without the pages that guests share with it. What
    those have in common with the daemon counts once."""
    status = fields_of(f"/proc/{pid}/status")
    total = status["VmRSS"] - status["RssShmem"]
    for child in children(pid):
        parts = fields_of(f"/proc/{child}/smaps_rollup")
        total += parts["Pss_Anon"] + parts["Pss_File"]
    return total << 10


def idle(build, folder, seconds, guests):
    """CPU percent and resident bytes of the daemon with so many connected guests that do nothing."""
    program = build / "src" / "daemon" / "viaductd"
    if not program.exists():
        raise BenchError("viaductd is not built")
    config, runtime, log = folder / "idle.conf", folder / "run", folder / "viaductd.log"
    runtime.mkdir(exist_ok=True)
    names = [f"guest{number}" for number in range(guests)]
    config.write_text(f"[daemon]\nstate_dir = {folder}/state\n[pool main]\npath = {folder}/idle-{guests}.pool\nsize = 256M\n" + "".join(
        f"[guest {name}]\n[disk {name}/root]\npool = main\nsize = 1M\n" for name in names))
    sockets = [runtime / name / "disk-root.sock" for name in names]
    daemon = Backend("viaductd", [str(program), "--config", str(config), "--runtime-dir", str(runtime)], sockets[-1], log)
    clients = []
    try:
        daemon.start()
        wait_for(sockets[0], daemon.process, "viaductd", log)
        for socket in sockets:
            # The first is still there when the last has come.
            command = [build / "bench" / "viaduct-load", "--socket", socket, "--idle", "--seconds", seconds + guests / 8, "--json",
                       "--watch", daemon.process.pid]
            clients.append(subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, text=True))
        time.sleep(seconds / 2)
        resident = resident_bytes(daemon.process.pid)
        results = [json.loads(client.communicate(timeout=60)[0]) for client in clients]
        return {"cpu_percent": statistics.median(result["peer_cpu_percent"] for result in results), "resident_bytes": resident}
    finally:
        for client in clients:
            if client.poll() is None:
                client.kill()
                client.wait()
        daemon.stop()
