#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A file on a file system of our own (FUSE, spoken by hand), whose storage fails as we tell it to. Needs root.

    with FuseDisk(64 << 20) as disk:
        open(disk.path)
        disk.tell("eio write")      every write fails with EIO
        disk.tell("ok")

Modes: ok | hang (no answer to transfers until another mode) | silent (to nothing, not even stat or close) | eio read |
eio write | eio fsync | enospc | short (half of each write is done) | slow N (one transfer after the other, N ms each). The
file is served by a process of its own, uncached, so that each transfer comes to it.

Reads are never short: the kernel (6.18) repeats a short read of an uncached FUSE file by itself when io_uring asked
for it, but at the offset where it began, so nobody above can get the right bytes.
"""
import contextlib
import ctypes
import errno
import os
import pathlib
import select
import struct
import subprocess
import sys
import tempfile
import time

from patience import PATIENCE_S

LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, STATFS = 1, 2, 3, 4, 14, 15, 16, 17
RELEASE, FSYNC, FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, ACCESS = 18, 20, 25, 26, 27, 28, 29, 34
INTERRUPT, DESTROY, BATCH_FORGET, FALLOCATE = 36, 38, 42, 43
UNANSWERED = (FORGET, BATCH_FORGET, INTERRUPT)
IN_HEADER = struct.Struct("<IIQQIIII")      # length, opcode, unique, node, uid, gid, pid, padding
OUT_HEADER = struct.Struct("<IiQ")          # length, error, unique
ROOT, FILE = 1, 2
DIRECT_IO = 1                               # of OPEN's answer: no page cache
NAME = "disk"
MNT_DETACH = 2


class FuseDisk:
    """The file system as a test sees it: mounts on entry, unmounts on exit."""

    def __init__(self, size):
        self.size = size
        self.folder = tempfile.TemporaryDirectory(prefix="viaduct-fuse-")
        self.mountpoint = pathlib.Path(self.folder.name) / "mnt"
        self.mountpoint.mkdir()
        self.backing = pathlib.Path(self.folder.name) / "backing"
        self.backing.touch()
        os.truncate(self.backing, size)
        self.path = self.mountpoint / NAME
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, __file__, str(self.mountpoint), str(self.backing)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        answer = self.process.stdout.readline()
        assert answer == "mounted\n", f"FUSE: {answer!r}"
        return self

    def tell(self, mode):
        self.process.stdin.write(mode + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    @contextlib.contextmanager
    def told(self, mode):
        """The mode in a with block; afterwards the disk works, also when the block failed."""
        self.tell(mode)
        try:
            yield
        finally:
            self.tell("ok")

    def __exit__(self, *exception):
        ctypes.CDLL(None).umount2(os.fsencode(self.mountpoint), MNT_DETACH)
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()


@contextlib.contextmanager
def silent_file():
    """A file of a file system whose process never answers: not even stat or close of it comes back."""
    with FuseDisk(1 << 20) as disk:
        fd = os.open(disk.path, os.O_RDWR)
        disk.tell("silent")
        try:
            yield fd
        finally:
            disk.tell("ok")
            os.close(fd)


class Server:
    """The other side of /dev/fuse."""

    def __init__(self, mountpoint, backing):
        self.file = os.open(backing, os.O_RDWR)
        self.fuse = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self.fuse},rootmode=40000,user_id=0,group_id=0,allow_other"
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"viaduct-test", os.fsencode(mountpoint), b"fuse", 0, options.encode()) != 0:
            raise OSError(ctypes.get_errno(), "mount")
        self.mode, self.held = "ok", []

    def run(self):
        print("mounted", flush=True)
        poller = select.poll()
        poller.register(self.fuse, select.POLLIN)
        poller.register(0, select.POLLIN)
        while True:
            for fd, events in poller.poll():
                if fd == 0:
                    line = sys.stdin.readline().strip()
                    if not line:
                        return
                    self.set_mode(line)
                elif events & (select.POLLERR | select.POLLHUP):
                    return
                else:
                    self.serve()

    def set_mode(self, mode):
        self.mode = mode
        held, self.held = self.held, []
        for request in held:
            self.handle(*request)
        print("done", flush=True)

    def serve(self):
        try:
            data = os.read(self.fuse, 2 << 20)
        except OSError as error:
            if error.errno == errno.ENODEV:
                sys.exit(0)
            if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                return
            raise
        _, opcode, unique, node, *_ = IN_HEADER.unpack_from(data)
        self.handle(opcode, unique, node, data[IN_HEADER.size:])

    def answer(self, unique, payload=b"", error=0):
        try:
            os.write(self.fuse, OUT_HEADER.pack(OUT_HEADER.size + len(payload), -error, unique) + payload)
        except OSError as failure:
            if failure.errno != errno.ENOENT:       # the request was interrupted
                raise

    def attributes(self, node):
        size = os.fstat(self.file).st_size if node == FILE else 0
        mode = 0o100600 if node == FILE else 0o40755
        return struct.pack("<6Q10I", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def handle(self, opcode, unique, node, body):
        transfer = opcode in (READ, WRITE, FSYNC, FALLOCATE)
        if (transfer and self.mode == "hang") or (self.mode == "silent" and opcode not in UNANSWERED):
            self.held.append((opcode, unique, node, body))
        elif opcode == INIT:
            # 7.31; no flags: nothing is cached or written back, reads and writes up to 128 KiB
            self.answer(unique, struct.pack("<4I2H2I2H8I", 7, 31, 131072, 0, 16, 12, 131072, 1, 32, 0, *[0] * 8)[:64])
        elif opcode == LOOKUP:
            if body.rstrip(b"\0") == NAME.encode():
                self.answer(unique, struct.pack("<4Q2I", FILE, 0, 0, 0, 0, 0) + self.attributes(FILE))
            else:
                self.answer(unique, error=errno.ENOENT)
        elif opcode in (GETATTR, SETATTR):
            if opcode == SETATTR and struct.unpack_from("<I", body)[0] & 8:
                os.ftruncate(self.file, struct.unpack_from("<Q", body, 16)[0])
            self.answer(unique, struct.pack("<QII", 0, 0, 0) + self.attributes(node))
        elif opcode in (OPEN, OPENDIR):
            self.answer(unique, struct.pack("<QII", 1, DIRECT_IO if opcode == OPEN else 0, 0))
        elif opcode == STATFS:
            self.answer(unique, struct.pack("<5Q4I24x", 1 << 20, 1 << 20, 1 << 20, 10, 10, 4096, 255, 4096, 0))
        elif opcode in (RELEASE, RELEASEDIR, FLUSH, ACCESS):
            self.answer(unique)
        elif opcode == READDIR:
            self.answer(unique)
        elif opcode in UNANSWERED:
            pass
        elif opcode == DESTROY:
            self.answer(unique)
        elif opcode in (READ, WRITE, FSYNC, FALLOCATE):
            self.transfer(opcode, unique, body)
        else:
            self.answer(unique, error=errno.ENOSYS)

    def transfer(self, opcode, unique, body):
        name = {READ: "read", WRITE: "write", FSYNC: "fsync"}.get(opcode)
        if self.mode.startswith("slow "):
            time.sleep(int(self.mode.removeprefix("slow ")) / 1000)
        if name and self.mode == f"eio {name}":
            self.answer(unique, error=errno.EIO)
        elif self.mode == "enospc" and opcode in (WRITE, FALLOCATE):
            self.answer(unique, error=errno.ENOSPC)
        elif opcode == FSYNC:
            os.fsync(self.file)
            self.answer(unique)
        elif opcode == FALLOCATE:
            self.answer(unique, error=errno.EOPNOTSUPP)
        else:
            _, offset, size = struct.unpack_from("<QQI", body)
            if self.mode == "short" and opcode == WRITE and size > 512:
                size = max(512, size // 2 // 512 * 512)
            if opcode == READ:
                self.answer(unique, os.pread(self.file, size, offset))
            else:
                written = os.pwrite(self.file, body[40:40 + size], offset)
                self.answer(unique, struct.pack("<II", written, 0))


if __name__ == "__main__":
    Server(sys.argv[1], sys.argv[2]).run()
