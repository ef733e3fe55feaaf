# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows E1–E5, E10: descriptors that the kernel waits for when they are closed, sealed or written to, and too many of them.

Nothing here is a race against a clock: what waits does so until the test lets it go, or for a minute.
"""
import contextlib
import os
import signal
import socket
import threading
import time

import pytest

import blk
from daemon import Daemon, HeldBack, UnixHttp, limit_files
from frontend import FrontEnd, Setup
from fuse_disk import silent_file
from guest_memory import memory_file
from hostile import ANY, SPLIT, Attacks
from patience import PATIENCE_S, wait_until
from rows import row_id
from stuck import (LINGER_S, SENDERS, as_memory, as_record, crowded_eventfd, fallocate, flood, give_away, leave_unread,
                   lingering_socket, switched_eventfd)
from vhost_user import Closed, Connection

attack = Attacks()
# The longest answer of the API beside a close that lingers: it tells a thread that waits from one that does not.
ANSWER_S = LINGER_S / 2


def api_answers(daemon):
    """Within the time that tells a wait from none."""
    client = UnixHttp(daemon.runtime / "api.sock", ANSWER_S)
    try:
        client.request("GET", "/v1/status")
        assert client.getresponse().read()
    finally:
        client.close()


# ---- E1: the daemon ends, and another begins ----

@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["term", "kill"])
@pytest.mark.parametrize("send", SENDERS, ids=lambda send: row_id("E1", send.__name__.replace("_", "-")))
def test_kill_beside_a_silent_file(tmp_path, send, how):
    """The daemon ends all the same, a new one serves the others at once, and nobody waits for the file system."""
    disk = {"pool": "main", "size": "4M"}
    daemon = Daemon({"pool main": {"path": tmp_path / "main.pool", "size": "64M"}, "guest mallory": {},
                     "disk mallory/root": disk, "guest alice": {}, "disk alice/root": disk}, tmp_path)
    # A process made beside the silent file would wait for it, too, when it closes what it inherited.
    successor = HeldBack(daemon.sections, tmp_path)
    daemon.start()
    try:
        with silent_file() as fd:
            connection = Connection.open(daemon.socket("mallory/root"))
            connection.set_owner()
            connection.set_protocol_features(connection.get_protocol_features())
            with contextlib.suppress(Closed):
                send(connection, fd)
            api_answers(daemon)
            daemon.process.send_signal(how)
            daemon.process.wait(PATIENCE_S)
            successor.go()
            successor.wait_ready()
            with FrontEnd.start(successor.socket("alice/root"), Setup()) as front:
                front.disk().write(0, b"\x55" * 512)
            assert Connection.open(successor.socket("mallory/root")).get_features()
            connection.close()
    finally:
        for one in (daemon, successor):
            if one.process and one.process.poll() is None:
                one.process.kill()
                one.process.wait()
    successor.check_sanitizers()


# ---- E2: what nobody read ----

@attack("E2", "refused-connection", ANY)
def _(mallory, setup):
    """More connections than are served, and in the one too many a message with a socket that lingers."""
    before = mallory.daemon.fd_count()
    waiting = [Connection.open(mallory.path) for _ in range(8)]
    assert all(connection.get_features() for connection in waiting)
    with lingering_socket() as given:
        late = socket.socket(socket.AF_UNIX)
        late.connect(str(mallory.path))
        give_away(late, given)
        late.close()
        api_answers(mallory.daemon)
        mallory.expect_others_served()
        for connection in waiting:
            connection.close()
        wait_until(lambda: mallory.daemon.fd_count() <= before, "the connections are closed")
    mallory.expect_welcome()


@attack("E2", "behind-a-violation", ANY)
def _(mallory, setup):
    with lingering_socket() as given:
        connection = Connection.open(mallory.path)
        leave_unread(connection, given.fileno())
        given.close()
        connection.close()
        api_answers(mallory.daemon)
        mallory.expect_others_served()
        mallory.expect_welcome()


@attack("E2", "in-the-backlog", ANY)
def _(mallory, setup):
    """Sent on a connection that is not accepted yet."""
    sockets = []
    with lingering_socket() as given:
        for _ in range(64):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            sockets.append(sock)
            try:
                sock.connect(str(mallory.path))
            except BlockingIOError:
                break
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                socket.send_fds(sock, [b"x"], [given.fileno()])
        given.close()
        for sock in sockets:
            sock.close()
        api_answers(mallory.daemon)
        mallory.expect_others_served()
    mallory.expect_welcome_again()


# ---- E3: descriptors without end ----

@attack("E3", "silent-files", ANY)
def _(mallory, setup):
    """Each is as slow to close as its file system likes: few are held, and others connect."""
    before = mallory.daemon.fd_count()
    with silent_file() as fd:
        connections = [Connection.open(mallory.path) for _ in range(7)]
        for connection in connections:
            flood(connection, [fd] * 8, 200)
        held = mallory.daemon.fd_count() - before
        assert held <= 64, f"the daemon holds {held} descriptors"
        api_answers(mallory.daemon)
        with FrontEnd.start(mallory.daemon.socket("polite/root"), Setup()) as front:
            front.disk().read(0, 1)
        for connection in connections:
            connection.close()
        # So many at a time, and no more, wait for the file system; its own guest alone waits with them.
        mallory.expect_others_served()
    mallory.expect_welcome()


@attack("E3", "eventfds-and-memory", ANY)
def _(mallory, setup):
    """Of the kinds that are let in."""
    before = mallory.daemon.fd_count()
    connection = Connection.open(mallory.path)
    memory, event = memory_file(4096), os.eventfd(0)
    flood(connection, [memory, event] * 4, 2000)
    assert mallory.daemon.fd_count() - before <= 64
    api_answers(mallory.daemon)
    connection.close()
    os.close(memory)
    os.close(event)
    mallory.expect_welcome()


# ---- E4: a memory file whose size is being changed ----

def held_up(daemon, path, share, size):
    """The API's answer time as a part of the time for which another call still held the file's lock."""
    fd = memory_file(size)
    ends = []

    def fill():
        fallocate(fd, 0, size)
        ends.append(time.monotonic())

    connection = Connection.open(path)
    connection.set_protocol_features(connection.get_protocol_features())
    filler = threading.Thread(target=fill)
    try:
        filler.start()
        wait_until(lambda: os.fstat(fd).st_blocks > 0, "the file grows")
        begin = time.monotonic()
        share(connection, fd)
        api_answers(daemon)
        answer = time.monotonic() - begin
    finally:
        filler.join()
        connection.close()
        os.close(fd)
    return answer / max(ends[0] - begin, 0.001)


def while_it_grows(name, share_file):
    @attack("E4", name, ANY)
    def _(mallory, setup):
        """The daemon answers others meanwhile: in the best of several rounds, as a busy machine is slow now and then."""
        shares = []
        while len(shares) < 8 and not any(share < 0.5 for share in shares):
            shares.append(held_up(mallory.daemon, mallory.path, share_file, 1 << 30))
        assert min(shares) < 0.5, f"the API's answers took {shares} of the time for which the file was locked"
        mallory.expect_welcome()


while_it_grows("memory", as_memory)
while_it_grows("record", as_record)


# ---- E5: a full eventfd that waits, and does not, from one moment to the next ----

def until_ended(mallory, message, line="call-descriptor-waits"):
    """Again and again, until the daemon has had to wait and ended the connection; everybody else is served."""
    # On a busy machine the moment at which a wait begins comes seldom.
    deadline = time.monotonic() + 5 * PATIENCE_S
    with pytest.raises(Closed):
        while time.monotonic() < deadline:
            message()
    mallory.daemon.wait_line(line, mallory.lines_before)
    mallory.expect_others_served()
    api_answers(mallory.daemon)
    mallory.close()


@attack("E5", "call-exchanged")
def _(mallory, setup):
    """A call descriptor is written to when it is set."""
    front = mallory.start(setup)
    with switched_eventfd() as fd:
        until_ended(mallory, lambda: front.connection.set_vring_call(0, fd))
    mallory.expect_welcome()


@attack("E5", "at-start", ANY)
def _(mallory, setup):
    """So is it when a ring starts."""
    front = mallory.start(setup)

    def start_again():
        front.stop_queue(0)
        front.connection.set_vring_kick(0, front.queues[0].kick_fd)

    with switched_eventfd() as fd:
        with contextlib.suppress(Closed):
            front.connection.set_vring_call(0, fd)
        until_ended(mallory, start_again)
    mallory.expect_welcome()


# ---- E10: an eventfd that many wait for ----

@attack("E10", "call")
def _(mallory, setup):
    """A write to it takes milliseconds, and no signal ends that: after a tenth of a second of them, one is the last."""
    with crowded_eventfd(400000) as (fd, waiters):
        assert waiters >= 200000
        front = mallory.start(setup)
        until_ended(mallory, lambda: front.connection.set_vring_call(0, fd))
    mallory.expect_welcome()


@attack("E10", "answers", ANY)
def _(mallory, setup):
    """So does the call that tells of an answer."""
    with crowded_eventfd(400000) as (fd, waiters):
        assert waiters >= 200000
        front = mallory.start(setup)
        queue, disk = front.queues[0], front.disk()

        def ask():
            queue.ring.enable_calls()
            request = disk.submit(blk.IN, 0, 512)
            while request.chain not in queue.done:
                queue.poll()
                front.connection.get_features()
            queue.wait(request.chain)
            disk.collect(request)

        with contextlib.suppress(Closed):
            front.connection.set_vring_call(0, fd)
        until_ended(mallory, ask)
    mallory.expect_welcome()


@attack("E10", "err", SPLIT)
def _(mallory, setup):
    """The descriptor that tells of a ring's end: the control thread writes to it, and the API waits meanwhile."""
    with crowded_eventfd(400000) as (fd, waiters):
        assert waiters >= 200000
        front = mallory.start(setup)
        queue = front.queues[0]

        def break_ring():
            front.connection.set_vring_err(0, fd)
            queue.ring.put(0, 0, 16, 0)
            queue.ring.offer(0)
            queue.kick()
            assert front.needs_reset()
            front.reset()

        until_ended(mallory, break_ring, "no-header-or-status")
    mallory.expect_welcome()


@attack("E10", "few", ANY)
def _(mallory, setup):
    """With fewer waiters a call is short enough to be let go, and is paid for: others are served between one and the next."""
    with crowded_eventfd(2000) as (fd, _):
        front = mallory.start(setup)
        for _ in range(10):
            front.connection.set_vring_call(0, fd)
            mallory.expect_others_served()
        api_answers(mallory.daemon)
        mallory.close()
    mallory.expect_welcome()


@pytest.mark.parametrize("attack, setup", attack.parameters)
def test_hostile(mallory, attack, setup):
    attack(mallory(), setup)


@pytest.mark.parametrize("files", [1024, 400])
def test_few_descriptors_are_allowed(tmp_path, files):
    """A peer that sends more descriptors, one after the other, than its doorman may have is served on."""
    daemon = Daemon({"pool main": {"path": tmp_path / "main.pool", "size": "64M"}, "guest alice": {},
                     "disk alice/root": {"pool": "main", "size": "4M"}}, tmp_path, preexec=limit_files(files))
    daemon.start()
    try:
        with FrontEnd.start(daemon.socket("alice/root"), Setup()) as front:
            for _ in range(files + 100):
                fd = os.eventfd(0)
                assert front.connection.set_vring_err(0, fd) == 0
                os.close(fd)
            front.disk().write(0, b"\x55" * 512)
            assert front.disk().read(0, 1) == b"\x55" * 512
    finally:
        daemon.finish()


# ---- the porter ----

def children(pid):
    """{pid: name} of a process's children."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError):
                fields = dict(line.split(":\t", 1) for line in open(f"/proc/{entry}/status", encoding="ascii") if ":\t" in line)
                if int(fields["PPid"]) == pid:
                    found[int(entry)] = fields["Name"].strip()
    return found


def test_doormen_and_porter(tmp_path):
    """One process for each connection; without the porter those who are in go on, and nobody else comes in."""
    with_disk = {"pool main": {"path": tmp_path / "main.pool", "size": "64M"}, "guest alice": {},
                 "disk alice/root": {"pool": "main", "size": "4M"}}
    daemon = Daemon(with_disk, tmp_path)
    daemon.start()
    try:
        (porter, name), = children(daemon.pid).items()
        assert name == "viaduct-porter"
        assert not children(porter)
        front = FrontEnd.start(daemon.socket("alice/root"), Setup())
        assert list(children(porter).values()) == ["viaduct-doorman"]
        os.kill(porter, signal.SIGKILL)
        daemon.wait_line("the process that lets guests in has ended")
        front.disk().write(0, b"\x55" * 512)
        assert front.disk().read(0, 1) == b"\x55" * 512
        assert front.connection.get_features()
        api_answers(daemon)
        late = socket.socket(socket.AF_UNIX)
        late.settimeout(PATIENCE_S)
        late.connect(str(daemon.socket("alice/root")))
        daemon.wait_line("peers wait")
        front.close()
        late.close()
        wait_until(lambda: not children(daemon.pid), "nobody is left")
    finally:
        daemon.finish()
