# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients of the API that are slow, silent or many: they wait alone."""
import http.client
import signal
import socket
import subprocess
import sys
import time

import pytest

from daemon import UnixHttp
from host_peers import ANSWERS, BODY, HEADERS, MANY, SLOW, Crowd

OF_PROCESS = 16
ACCEPTS = 128           # in a turn, of which one of each process begins
FLOOD = 900             # fewer than the kernel keeps
SOON_S = 5              # far above what an answer takes, far below the 30 s for which a client may be silent
STEP_S = 30             # for a request, or an answer

ASK = """
import socket, sys
one = socket.socket(socket.AF_UNIX)
one.connect(sys.argv[1])
one.sendall(b"GET /v1/status HTTP/1.0\\r\\n\\r\\n")
print("asked", flush=True)
print(one.recv(15).decode(), flush=True)
"""


def connect(daemon, timeout=SOON_S):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(timeout)
    client.connect(str(daemon.runtime / "api.sock"))
    return client


def ask(daemon):
    """One request on a connection of its own, answered soon."""
    client = UnixHttp(daemon.runtime / "api.sock", timeout=SOON_S)
    client.request("GET", "/v1/status")
    assert client.getresponse().status == 200
    client.close()


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW)
def test_slow_clients_wait_alone(daemon, sent):
    with Crowd(daemon, MANY, sent):
        for _ in range(10):
            ask(daemon)
    ask(daemon)


def test_crowds_of_several_kinds_and_processes(daemon):
    with Crowd(daemon, MANY, b""), Crowd(daemon, MANY, BODY), Crowd(daemon, 40, HEADERS), Crowd(daemon, MANY, ANSWERS):
        for _ in range(10):
            ask(daemon)


def test_who_has_few_connections_keeps_them(daemon):
    """The crowd loses its own, not that of somebody who came before it and was silent for longer."""
    patient = UnixHttp(daemon.runtime / "api.sock", timeout=SOON_S)
    patient.connect()
    first = patient.sock
    with Crowd(daemon, MANY, b""), Crowd(daemon, MANY, HEADERS):
        for _ in range(3):
            patient.request("GET", "/v1/status")
            answer = patient.getresponse()
            assert answer.status == 200 and answer.read()
            assert patient.sock is first
    patient.close()


def test_crowd_in_one_process_loses_its_oldest(daemon):
    crowd = [connect(daemon) for _ in range(MANY)]
    ask(daemon)
    for kept in crowd[-1], crowd[MANY - OF_PROCESS + 1]:    # asking took the place of one more
        kept.sendall(b"GET /v1/status HTTP/1.0\r\n\r\n")
        assert kept.recv(15) == b"HTTP/1.1 200 OK"
    assert crowd[0].recv(1) == b"" and crowd[MANY - OF_PROCESS - 1].recv(1) == b""
    for one in crowd:
        one.close()


def test_captures_are_not_ended_by_a_crowd(make_daemon, tmp_path):
    daemon = make_daemon({"switch lan": {"uplink": "none"}, "guest alice": {}, "nic alice/eth0": {"switch": "lan"}})
    capture = UnixHttp(daemon.runtime / "api.sock", timeout=SOON_S)
    capture.request("POST", "/v1/nics/alice/eth0/capture")
    answer = capture.getresponse()
    assert answer.status == 200 and answer.read(4) == b"\n\r\r\n"
    with Crowd(daemon, MANY, HEADERS):
        ask(daemon)
        capture.sock.setblocking(False)
        try:
            assert capture.sock.recv(65536) != b""
        except BlockingIOError:
            pass                        # nothing new, and not at its end
    capture.close()


def test_trickle_does_not_hold_a_connection_for_ever(daemon):
    """A byte every now and then is no silence; still the whole request has its time, in its headers as in its body."""
    trickles = {connect(daemon): (sent, more) for sent, more in ((HEADERS, b"x"), (BODY, b" "))}
    for client, (sent, _more) in trickles.items():
        client.sendall(sent)
    begin = time.monotonic()
    while trickles and time.monotonic() < begin + 4 * STEP_S:
        for client, (_sent, more) in list(trickles.items()):
            try:
                client.sendall(more)
            except (BrokenPipeError, ConnectionResetError):
                assert time.monotonic() >= begin + STEP_S - 1
                client.close()
                del trickles[client]
        time.sleep(0.5)
    assert not trickles


def test_slow_but_honest_request_is_answered(daemon):
    client = connect(daemon)
    for byte in b"GET /v1/status HTTP/1.0\r\n\r\n":
        client.sendall(bytes([byte]))
        time.sleep(0.02)
    answer = http.client.HTTPResponse(client)
    answer.begin()
    assert answer.status == 200
    client.close()


def was_answered(client):
    """Or closed: at its end, or with a request that nobody has read."""
    try:
        return client.recv(15) == b"HTTP/1.1 200 OK"
    except ConnectionResetError:
        return False


def test_flood_of_one_process_waits_for_others(daemon):
    """All came before the honest request: it is answered after the few that began in the same turns, not after all."""
    daemon.process.send_signal(signal.SIGSTOP)
    flood = [connect(daemon) for _ in range(FLOOD)]
    for one in flood:
        one.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    honest = subprocess.Popen([sys.executable, "-c", ASK, daemon.runtime / "api.sock"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    assert honest.stdout.readline() == "asked\n"
    daemon.process.send_signal(signal.SIGCONT)
    assert honest.stdout.readline() == "HTTP/1.1 200 OK\n"
    answers = sum(was_answered(one) for one in flood)
    honest.communicate("")
    for one in flood:
        one.close()
    assert answers <= FLOOD // ACCEPTS + OF_PROCESS + 1, f"{answers} of {FLOOD} were answered"
