# SPDX-License-Identifier: GPL-2.0-or-later
"""Our front end against a back end that is not ours: qemu-storage-daemon.

What our two sides misread in the same way, they would never find out between themselves.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from patience import PATIENCE_S, wait_until

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("VIADUCT_BUILD", TOP / "build")).resolve()
QSD = shutil.which("qemu-storage-daemon")
DISK_BYTES = 64 << 20

pytestmark = pytest.mark.skipif(QSD is None, reason="qemu-storage-daemon (package qemu-system-common) is missing")


class StorageDaemon:
    """One export, on a file or on nothing. `slow`: it serves so few requests a second, from the next start on."""

    def __init__(self, folder, null=False):
        self.slow = 0
        self.socket = folder / "disk.sock"
        self.disk = folder / "disk.raw"
        self.node = f"driver=file,node-name=n,filename={self.disk},discard=unmap"
        if null:
            self.node = f"driver=null-co,node-name=n,size={DISK_BYTES},read-zeroes=on"
        else:
            with open(self.disk, "wb") as file:
                file.truncate(DISK_BYTES)
        self.process = None

    def start(self):
        self.socket.unlink(missing_ok=True)
        words, node = [QSD, "--blockdev", self.node], "n"
        if self.slow:
            words += ["--object", f"throttle-group,id=g,x-iops-total={self.slow}",
                      "--blockdev", "driver=throttle,node-name=slow,throttle-group=g,file=n"]
            node = "slow"
        self.process = subprocess.Popen(
            [*words, "--export", f"type=vhost-user-blk,id=e,node-name={node},addr.type=unix,addr.path={self.socket},"
             "writable=on,num-queues=2"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_until(self.is_up, "qemu-storage-daemon makes its socket")

    def is_up(self):
        assert self.process.poll() is None, "qemu-storage-daemon ended"
        return self.socket.exists()

    def written(self):
        """Bytes that the process wrote: to the disk, and a few to sockets and eventfds."""
        with open(f"/proc/{self.process.pid}/io", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("wchar"))

    def kill(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def backend(tmp_path, request):
    instance = StorageDaemon(tmp_path, null=getattr(request, "param", None) == "null")
    instance.start()
    yield instance
    instance.kill()


def run(program, *arguments):
    return subprocess.run([BUILD / "bench" / program, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE_S,
                          check=False)


def probe(backend, *arguments):
    done = run("viaduct-probe", "--socket", backend.socket, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("options", [(), ("--no-indirect",), ("--no-event-idx",), ("--queues", 2)], ids=str)
def test_each_request_on_a_file(backend, options):
    result = probe(backend, *options)
    assert result["size"] == DISK_BYTES
    assert result["write"] == result["read"] == 0 and result["data_intact"]
    assert result["scattered"] == 0 and result["scattered_intact"] and result["scattered_written"] == 65537
    assert result["flush"] == 0
    assert result["get_id"] == 0 and result["id"]
    assert result["write_zeroes"] == 0 and result["reads_zero"]
    assert result["discard"] == 0 and result["read_after_discard"] == 0
    assert result["read_last"] == 0
    assert all(result[name] == 1 for name in ("read_across_end", "read_beyond", "read_wrapping", "write_far"))
    assert result["unknown_type"] == 2


def test_the_file_holds_what_was_written(backend):
    done = run("viaduct-load", "--socket", backend.socket, "--verify", "--rw", "randwrite", "--depth", 8, "--count", 500,
               "--seed", 0x5eed, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["requests"] == 1000      # each block is written and read back
    content = backend.disk.read_bytes()
    blocks = 0
    for offset in range(0, DISK_BYTES, 4096):
        header = content[offset:offset + 24]
        if header.startswith(b"VadBlock"):
            assert int.from_bytes(header[8:16], "little") == offset
            assert int.from_bytes(header[16:24], "little") == 0x5eed
            blocks += 1
        else:
            assert not any(content[offset:offset + 4096])
    assert 400 < blocks <= 500


@pytest.mark.parametrize("backend", ["null"], indirect=True)
def test_a_lost_write_is_noticed(backend):
    """The verification can fail: a disk that forgets everything is caught."""
    done = run("viaduct-load", "--socket", backend.socket, "--verify", "--rw", "randwrite", "--count", 10, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["mismatches"] == 20      # read back, and once more at the end
    assert "verify: offset" in done.stderr


@pytest.mark.parametrize("backend", ["null"], indirect=True)
@pytest.mark.parametrize("options", [(), ("--poll",), ("--depth", 32), ("--depth", 32, "--poll"), ("--queues", 2)], ids=str)
def test_load_on_nothing(backend, options):
    done = run("viaduct-load", "--socket", backend.socket, "--count", 1000, "--json", *options)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["requests"] >= 1000 and result["errors"] == 0
    assert 0 < result["p50_us"] <= result["p99_us"] <= result["max_us"] * 1.02


@pytest.mark.parametrize("queues", [1, 2])
def test_a_killed_back_end_costs_nothing(backend, queues):
    """Without an INFLIGHT buffer: the front end offers what was in flight again."""
    backend.kill()
    backend.slow = 200          # until the last start: 8000 requests then take 40 s, so that it meets every kill
    backend.start()
    load = subprocess.Popen(
        [BUILD / "bench" / "viaduct-load", "--socket", backend.socket, "--verify", "--rw", "randwrite", "--depth", "16",
         "--queues", str(queues), "--count", "4000", "--reconnect", str(int(1000 * PATIENCE_S)), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for slow in (200, 200, 0):
        # More writes than may have been in flight at the kill: the load has connected again, and started others.
        enough = backend.written() + (16 * queues + 4) * 4096
        wait_until(lambda: backend.written() > enough, "the load goes on")
        backend.kill()
        backend.slow = slow
        backend.start()
    out, err = load.communicate(timeout=PATIENCE_S)
    assert load.returncode == 0, err
    result = json.loads(out)
    assert result["reconnects"] == 3 and result["errors"] == 0 and result["mismatches"] == 0


@pytest.mark.parametrize("option,text", [("--packed", "packed rings"), ("--inflight", "INFLIGHT")])
def test_what_is_not_offered_is_refused(backend, option, text):
    done = run("viaduct-load", "--socket", backend.socket, option, "--count", 1)
    assert done.returncode == 1 and text in done.stderr


def test_nothing_listens(tmp_path):
    done = run("viaduct-load", "--socket", tmp_path / "none.sock", "--count", 1)
    assert done.returncode == 1 and "nobody listens" in done.stderr
