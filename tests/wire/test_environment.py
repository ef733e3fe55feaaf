# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows D: a host that fails. The guests concerned get an error, the others notice nothing, the daemon lives. Needs root.

Not produced here: D6 (network), D8 (clock jumps: the daemon uses the monotonic clock only, and setting
the host's clock would disturb everything else), D13 (power loss: the crash tests replay every write).
"""
import contextlib
import fcntl
import os
import pathlib
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest

import blk
from daemon import Daemon
from frontend import FrontEnd, Setup
from fuse_disk import FuseDisk
from hostile import offer_chain
from load import Load
from patience import PATIENCE_S, wait_until
from rows import row_id
from vhost_user import Closed, Connection
from victim_process import VictimProcess

MIB = 1 << 20
SPLIT_AND_PACKED = pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])


def row(number, *vector):
    """Makes the row's name the test's id."""
    return pytest.mark.parametrize("row", [number], ids=[row_id(number, *vector)])


def mounted(kind, folder, options):
    """mount(8) in a with block."""
    @contextlib.contextmanager
    def run():
        subprocess.run(["mount", "-t", kind, "-o", options, "viaduct-test", str(folder)], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)
    return run()


def sections(folder, **victims_disk):
    """An honest guest on a healthy pool; tests add the object that fails."""
    return {"pool good": {"path": folder / "good.pool", "size": "64M"},
            "guest victim": {}, "disk victim/root": {"pool": "good", "size": "8M"},
            "guest alice": {}}


@pytest.fixture
def start(tmp_path):
    """start(more sections): a daemon with a victim, both checked at the end."""
    with contextlib.ExitStack() as stack:
        def run(more, **options):
            daemon = Daemon({**sections(tmp_path), **more}, tmp_path, **options)
            stack.callback(daemon.finish)
            daemon.start()
            daemon.victim = VictimProcess(daemon.socket("victim/root"))
            stack.callback(daemon.victim.finish)
            daemon.victim.progress()
            return daemon
        yield run


@pytest.fixture
def physical():
    """A physical disk that fails when told to; requested before `start`, so that it outlives the daemon."""
    with FuseDisk(8 * MIB) as disk:
        yield disk


def whole_file(path, **more):
    return {"disk alice/root": {"path": path, **more}}


@pytest.fixture
def small(tmp_path):
    """A file system of 24 MiB; requested before `start`."""
    folder = tmp_path / "small"
    folder.mkdir()
    with mounted("tmpfs", folder, "size=24m"):
        yield folder


@row("D1")
def test_environment_no_space(small, start, row):
    """A sparse pool on a file system that fills up: IOERR for what does not fit, and on it goes when there is room."""
    daemon = start({"pool thin": {"path": small / "thin.pool", "size": "128M"},
                    "disk alice/root": {"pool": "thin", "size": "96M"}})
    with FrontEnd.start(daemon.socket("alice/root"), Setup()) as front:
        disk, kept, failed = front.disk(), [], []
        for step in range(48):
            sector = step * 2048
            data = bytes([step + 1]) * 65536
            status = disk.do(blk.OUT, sector, data)[0]
            if status == blk.OK:
                for part in range(1, 16):
                    status = disk.do(blk.OUT, sector + 128 * part, data)[0] if status == blk.OK else status
            assert status in (blk.OK, blk.IOERR)
            (kept if status == blk.OK else failed).append(step)
        assert kept and failed, f"{len(kept)} MiB fitted, {len(failed)} did not"
        for step in kept:
            assert disk.read(step * 2048, 128) == bytes([step + 1]) * 65536, "acknowledged bytes are gone"
        subprocess.run(["mount", "-o", "remount,size=128m", str(small)], check=True)
        disk.write(failed[0] * 2048, b"\xA5" * 65536)
        assert disk.read(failed[0] * 2048, 128) == b"\xA5" * 65536


@pytest.mark.parametrize("what", ["read", "write"], ids=[row_id("D2", "read"), row_id("D2", "write")])
def test_environment_physical_error(physical, start, what):
    """EIO reaches the request concerned, and only while it lasts."""
    daemon = start(whole_file(physical.path))
    with FrontEnd.start(daemon.socket("alice/root"), Setup()) as front:
        disk = front.disk()
        disk.write(0, b"\x61" * 4096)
        before = len(daemon.lines)
        physical.tell(f"eio {what}")
        if what == "read":
            assert disk.do(blk.IN, 0, 4096)[0] == blk.IOERR
            disk.write(8, b"\x62" * 4096)
        else:
            # a page cache may take the write; then the flush tells
            statuses = [disk.do(blk.OUT, 8, b"\x62" * 4096)[0], disk.do(blk.FLUSH, 0)[0]]
            assert blk.IOERR in statuses
        assert daemon.wait_line("alice/", before), "a physical error is worth a line"
        physical.tell("ok")
        assert disk.read(0, 8) == b"\x61" * 4096


@row("D2", "fsync")
def test_environment_failed_fsync(physical, start, row):
    """An fsync that failed is reported, and its loss is never turned into success by a second fsync."""
    daemon = start(whole_file(physical.path))
    with FrontEnd.start(daemon.socket("alice/root"), Setup()) as front:
        disk = front.disk()
        disk.write(0, b"\x63" * 4096)
        physical.tell("eio fsync")
        assert disk.do(blk.FLUSH, 0)[0] == blk.IOERR
        physical.tell("ok")
        assert disk.do(blk.FLUSH, 0)[0] == blk.IOERR, "the lost write was reported as durable"


@row("D3")
def test_environment_short_transfers(physical, start, row):
    """Each write is cut in half by the physical disk: the daemon goes on until all of it is done.

    Short reads are the unit tests' of the host drivers (see fuse_disk.py).
    """
    daemon = start(whole_file(physical.path))
    with FrontEnd.start(daemon.socket("alice/root"), Setup()) as front:
        physical.tell("short")
        disk = front.disk()
        for size in (512, 1024, 4096, 65536):
            data = os.urandom(size)
            disk.write(8, data)
            assert disk.read(8, size // 512) == data
        load = Load(front, seed=31)
        for _ in range(30):
            load.step()
        load.finish()
        physical.tell("ok")
        load.finish()       # reads all of it once more


def wait_in_flight(daemon, disk):
    """Until the disk has requests that the host was asked for."""
    wait_until(lambda: daemon.api("GET", f"/v1/disks/{disk}")[1]["in_flight"], "requests are in flight")


@row("D4")
def test_environment_disk_hangs(physical, start, row):
    """A disk that does not answer: the others go on, the API answers, and the requests complete when it is back."""
    daemon = start({**whole_file(physical.path), "guest bob": {}, "disk bob/root": {"pool": "good", "size": "8M"}})
    with FrontEnd.start(daemon.socket("alice/root"), Setup()) as stuck, \
         FrontEnd.start(daemon.socket("bob/root"), Setup()) as other:
        with physical.told("hang"):
            requests = [stuck.disk().submit(blk.OUT, 8 * i, bytes([i + 1]) * 4096) for i in range(8)]
            wait_in_flight(daemon, "alice/root")
            for _ in range(50):
                other.disk().write(0, b"\x64" * 4096)
                other.disk().flush()
            daemon.victim.progress(100)
            assert daemon.api("GET", "/v1/status")[0] == 200
            stuck.queues[0].poll()
            assert not stuck.queues[0].done, "a hanging disk completed something"
        for request in requests:
            assert stuck.disk().finish(request)[0] == blk.OK
        assert stuck.disk().read(8, 8) == bytes([2]) * 4096


@row("D4", "guest-leaves")
def test_environment_guest_leaves_hanging_disk(physical, start, row):
    """A guest that disconnects from a hanging disk and comes back: its memory is held until the disk has answered."""
    daemon = start(whole_file(physical.path))
    front = FrontEnd.start(daemon.socket("alice/root"), Setup())
    with physical.told("hang"):
        for i in range(8):
            front.disk().submit(blk.IN, 8 * i, 4096)
        wait_in_flight(daemon, "alice/root")
        front.close()
        daemon.victim.progress(100)
        assert daemon.api("GET", "/v1/disks/alice/root")[1]["in_flight"] > 0, "a hanging disk completed something"
        daemon.check_alive()
    with FrontEnd.start(daemon.socket("alice/root"), Setup()) as again:
        again.disk().write(0, b"\x65" * 4096)
        assert again.disk().read(0, 8) == b"\x65" * 4096


@row("D5")
def test_environment_no_io_uring(tmp_path, row):
    """A host without io_uring: the daemon says so and ends, at once and with exit code 1."""
    script = pathlib.Path(__file__).with_name("without_io_uring.py")
    daemon = Daemon(sections(tmp_path), tmp_path, wrapper=[sys.executable, str(script)])
    process = daemon.spawn()
    _, text = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, text.decode()
    assert b"io_uring" in text


@row("D7")
def test_environment_out_of_descriptors(start, row):
    """No descriptor left: newcomers fail, guests that run go on, and newcomers are welcome again afterwards."""
    daemon = start({"disk alice/root": {"pool": "good", "size": "8M"},
                    "guest bob": {}, "disk bob/root": {"pool": "good", "size": "8M"}})
    with FrontEnd.start(daemon.socket("bob/root"), Setup()) as bob:
        old = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        used = max(int(fd) for fd in os.listdir(f"/proc/{daemon.pid}/fd"))
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (used + 2, old[1]))
        for _ in range(3):
            with contextlib.suppress(Closed, AssertionError, OSError, TimeoutError):
                front = FrontEnd(daemon.socket("alice/root"), Setup(queues=4))
                try:
                    front.handshake(Connection.open(daemon.socket("alice/root"), timeout=0.5))
                    front.run()
                finally:
                    front.close()
            bob.disk().write(0, b"\x66" * 4096)
        waiting = Connection.open(daemon.socket("alice/root"))      # one that it cannot accept
        with daemon.victim.held():
            daemon.wait_idle()
        waiting.close()
        daemon.check_alive()
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, old)
        with FrontEnd.start(daemon.socket("alice/root"), Setup(queues=4)) as front:
            front.disk(3).write(0, b"\x67" * 4096)
        assert bob.disk().read(0, 8) == b"\x66" * 4096


@row("D9")
def test_environment_log_blocked(tmp_path, row):
    """The log's pipe is full and is not read: lines are lost and counted, and no guest waits for them."""
    keys = {**sections(tmp_path), "disk alice/root": {"pool": "good", "size": "8M"}}
    daemon = Daemon(keys, tmp_path)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    daemon.process = daemon.spawn(stderr=writer)
    daemon._reader = threading.Thread(target=lambda: None)
    daemon._reader.start()
    try:
        daemon.wait_ready()
        # full from here on
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"x")
        os.set_blocking(writer, True)       # the daemon shares these flags: it must not depend on them
        victim = VictimProcess(daemon.socket("victim/root"))
        for _ in range(3):
            with FrontEnd.start(daemon.socket("alice/root"), Setup()) as front:
                offer_chain(front.queues[0], [(0x4000_0000_0000, 16, 0)])
                assert front.needs_reset(), "the daemon waits for its log"
            victim.progress()
        wait_until(lambda: daemon.api("GET", "/v1/status")[1]["lost_log_lines"], "lost lines are counted")
        victim.finish()
        os.close(writer)
        writer = None
        os.set_blocking(reader, False)
        os.read(reader, 65536)
        assert daemon.stop() == 0
    finally:
        daemon.process.kill()
        daemon.process.wait()
        os.close(reader)
        if writer is not None:
            os.close(writer)


@row("D10")
def test_environment_read_only_configuration(tmp_path, row):
    """The configuration's folder cannot be written: nothing needs to."""
    folder = tmp_path / "etc"
    folder.mkdir()
    with mounted("tmpfs", folder, "size=1m"):
        daemon = Daemon(sections(tmp_path), tmp_path)
        daemon.config = folder / "viaduct.conf"
        daemon.write_config()
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        try:
            daemon.start()
            with FrontEnd.start(daemon.socket("victim/root"), Setup()) as front:
                front.disk().write(0, b"\x68" * 512)
            status, answer = daemon.api("POST", "/v1/disks", {"name": "alice/more", "pool": "good", "size_bytes": 4 * MIB})
            assert status in (200, 201) or "error" in answer
            status, _ = daemon.api("POST", "/v1/reload")
            assert status == 200
        finally:
            daemon.finish()


@SPLIT_AND_PACKED
@row("D12")
def test_environment_stopped_and_continued(start, row, packed):
    """SIGSTOP for a while (VIADUCT_STOP_S seconds), SIGCONT: requests wait and complete."""
    daemon = start({"disk alice/root": {"pool": "good", "size": "8M"}})
    with FrontEnd.start(daemon.socket("alice/root"), Setup(packed=packed)) as front:
        load = Load(front, seed=12)
        for _ in range(10):
            load.step()
        load.fill()
        os.kill(daemon.pid, signal.SIGSTOP)
        try:
            load.fill()
            time.sleep(float(os.environ.get("VIADUCT_STOP_S", "0.5")))
        finally:
            os.kill(daemon.pid, signal.SIGCONT)
        load.finish()
        assert load.reconnects == 0


def flip(path, offsets):
    with open(path, "r+b") as file:
        for offset in offsets:
            file.seek(offset)
            byte = file.read(1)
            file.seek(offset)
            file.write(bytes([byte[0] ^ 0x10]))


@row("D14")
def test_environment_bit_rot(tmp_path, row):
    """A damaged pool is refused with a reason and left as it is; the other pool's guests are served."""
    keys = {**sections(tmp_path), "pool rotten": {"path": tmp_path / "rotten.pool", "size": "64M"},
            "disk alice/root": {"pool": "rotten", "size": "8M"}}
    with contextlib.ExitStack() as stack:
        daemon = Daemon(keys, tmp_path)
        stack.callback(daemon.finish)
        daemon.start()
        with FrontEnd.start(daemon.socket("alice/root"), Setup()) as front:
            front.disk().write(0, b"\x69" * 4096)
            front.disk().flush()
        with FrontEnd.start(daemon.socket("victim/root"), Setup()) as front:
            front.disk().write(0, b"\x6A" * 4096)
            front.disk().flush()
        assert daemon.stop() == 0
        status_before = pathlib.Path(tmp_path / "rotten.pool").read_bytes()
        # one bit in each sector of the first MiB that is not empty: every copy of the metadata there
        used = [at for at in range(0, MIB, 512) if any(status_before[at:at + 512])]
        flip(tmp_path / "rotten.pool", [at + 20 for at in used])
        damaged = pathlib.Path(tmp_path / "rotten.pool").read_bytes()
        before = len(daemon.lines)
        daemon.start()
        pools = {pool["name"]: pool for pool in daemon.api("GET", "/v1/pools")[1]["pools"]}
        assert pools["good"]["available"] and not pools["rotten"]["available"]
        assert pools["rotten"]["error"]
        assert daemon.wait_line("rotten", before), "nothing in the log"
        with FrontEnd.start(daemon.socket("victim/root"), Setup()) as front:
            assert front.disk().read(0, 8) == b"\x6A" * 4096
        assert daemon.stop() == 0
        assert pathlib.Path(tmp_path / "rotten.pool").read_bytes() == damaged, "a damaged pool was written to"
