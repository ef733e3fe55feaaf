# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of the host that hold up the daemon: clients of the API that are slow, silent or many, and a successor that
does not read what it is handed."""
import contextlib
import socket
import subprocess
import sys

MANY = 200              # more than the connections that there may be
HEADERS = b"GET /v1/status HTTP/1.1\r\nHost: viaduct\r\nX-Slow: "
BODY = b"POST /v1/disks HTTP/1.1\r\nHost: viaduct\r\nContent-Length: 60000\r\n\r\n{"
# So many answers that they fit in no buffer.
ANSWERS = b"GET /metrics HTTP/1.1\r\nHost: viaduct\r\n\r\n" * 200
# What a slow client has sent when it falls silent.
SLOW = {"idle": b"", "byte": b"G", "headers": HEADERS, "body": BODY, "unread": ANSWERS}
STATUS = b"GET /v1/status HTTP/1.0\r\n\r\n"
METRICS = b"GET /metrics HTTP/1.0\r\n\r\n"
# What a client of a flood says on each connection, and whether it takes the answer.
FLOODS = {"connects": (b"", False), "requests": (STATUS, True), "leaves": (METRICS, False)}

CROWD = """
import socket, sys
path, count, sent = sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3])
crowd = []
for _ in range(count):
    one = socket.socket(socket.AF_UNIX)
    one.connect(path)
    try:
        one.sendall(sent)
    except OSError:
        pass
    crowd.append(one)
print("there", flush=True)
sys.stdin.read()
"""

FLOOD = """
import socket, sys
path, sent, takes = sys.argv[1], bytes.fromhex(sys.argv[2]), sys.argv[3] == "True"
print("there", flush=True)
while True:
    one = socket.socket(socket.AF_UNIX)
    try:
        one.connect(path)
        one.sendall(sent)
        while takes and one.recv(65536):
            pass
    except OSError:
        pass
    one.close()
"""


class Program:
    """A process of its own that is there when this is made, and ends with the block."""

    def __init__(self, program, daemon, *arguments):
        self.process = subprocess.Popen([sys.executable, "-c", program, daemon.runtime / "api.sock", *map(str, arguments)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "there\n"

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.communicate("")


class Crowd(Program):
    """Connections that each sent `sent` and do nothing more."""

    def __init__(self, daemon, count, sent):
        super().__init__(CROWD, daemon, count, sent.hex())


class Flood(Program):
    """Connects again and again without a pause, each time with what is said in FLOODS."""

    def __init__(self, daemon, kind):
        sent, takes = FLOODS[kind]
        super().__init__(FLOOD, daemon, sent.hex(), takes)


@contextlib.contextmanager
def silent_successor(daemon, reads=0, says=b"H"):
    """It connects to take over, says hello, reads so many bytes and no more. Its buffer is small, so that not all is on its
    way.
    """
    client = socket.socket(socket.AF_UNIX)
    try:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect(str(daemon.runtime / "takeover.sock"))
        client.sendall(says)
        if reads:
            client.recv(reads, socket.MSG_WAITALL)
        yield client
    finally:
        client.close()
