# SPDX-License-Identifier: GPL-2.0-or-later
"""The console of a seat in a browser, without a browser: who may open it, what is served, and what harms nobody."""
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import threading
import time

import pytest

import rfb
import web
from patience import wait_until
from test_refusals import expect_refused, line_of
from test_seat import HEIGHT, HOSTILE, VIEWERS_MAX, WIDTH, door, empty_seat, free_port, seat, sections
from test_takeover import take_over

NOVNC = pathlib.Path("/usr/share/novnc")
PAGE = pathlib.Path(__file__).resolve().parents[2] / "src/host/web/page"
PLACES = 16             # connections of browsers at one time
REQUEST_S = 10          # for which half a request is waited


class Console:
    """A daemon with a seat that has a console."""

    def __init__(self, make_daemon, **more):
        self.port = free_port()
        self.daemon = make_daemon(sections(web=f"127.0.0.1:{self.port}", **more))

    @property
    def token_file(self):
        return self.daemon.runtime / "seat-desk.token"

    @property
    def token(self):
        return self.token_file.read_text().strip()

    def ask(self, path, method="GET", **headers):
        return web.ask(self.port, path, method, **headers)

    def state(self, token=None):
        return self.ask("/state", Authorization=f"Bearer {token or self.token}")

    def socket(self, token=None, **how):
        return web.WebSocket(self.port, token or self.token, **how)

    def viewer(self, **how):
        return rfb.Viewer(self.socket(**how))


@pytest.fixture
def console(make_daemon):
    return Console(make_daemon)


def other_token(token):
    return token[:-1] + ("A" if token[-1] != "A" else "Q")


# ---- the page ----

def test_our_files(console):
    files = {"/": "index.html", **{f"/{name}": name for name in os.listdir(PAGE)}}
    for path, name in files.items():
        status, headers, body = console.ask(path)
        assert (status, body) == (200, (PAGE / name).read_bytes()), path
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")
        kind = {"html": "text/html", "css": "text/css", "js": "text/javascript"}[name.rsplit(".", 1)[1]]
        assert headers["content-type"] == f"{kind}; charset=utf-8"
        assert console.ask(path, If_None_Match=headers["etag"])[::2] == (304, b"")
        assert console.ask(path, "HEAD")[1] == headers


def test_novnc(console):
    """All of it, whole, also where several writes are needed."""
    scripts = [path for part in ("core", "vendor") for path in (NOVNC / part).rglob("*.js")]
    assert max(path.stat().st_size for path in scripts) > 65536
    for path in scripts:
        assert console.ask(f"/novnc/{path.relative_to(NOVNC)}")[::2] == (200, path.read_bytes())


@pytest.mark.parametrize("path", ["/x", "/novnc/", "/novnc/core/../../app/ui.js", "/novnc/core/%2e%2e/%2e%2e/package.json",
                                  "/../../../../etc/passwd", "//etc/passwd", "/index.html/", "/console"])
def test_nothing_else(console, path):
    status, _, body = console.ask(path)
    assert (status, body) == (404, b"There is nothing here. The console is at /\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_is_changed_by_requests(console, method):
    assert console.ask("/", method)[::2] == (405, b"Only GET and HEAD are answered here.\n")


def test_one_connection_for_many_requests(console):
    with web.connect(console.port) as stream:
        for _ in range(20):
            stream.sendall(web.request_bytes(console.port, "/keys.js"))
            status, headers, body = web.read_head(stream)
            while len(body) < int(headers["content-length"]):
                body += stream.recv(65536)
            assert (status, body) == (200, (PAGE / "keys.js").read_bytes())
    assert seat(console.daemon)["viewers"] == 0


def test_without_novnc(make_daemon):
    """The daemon says so, and so does the page."""
    if not os.path.exists("/proc/self/ns/mnt") or os.geteuid() != 0:
        pytest.fail("hides a folder in a mount namespace of its own: needs root")
    port = free_port()
    daemon = make_daemon(sections(web=f"127.0.0.1:{port}"), start=False)
    spawn = daemon.command
    daemon.command = lambda *more: ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {NOVNC} && exec "$@"', "sh", *spawn(*more)]
    daemon.start()
    daemon.wait_line(f"seat desk: there is no console at http://127.0.0.1:{port}/: install novnc, and restart")
    status, _, body = web.ask(port, "/")
    assert status == 503 and b"apt install novnc" in body
    with rfb.Viewer(door(daemon)) as viewer:
        assert viewer.rows(0, 0, WIDTH, HEIGHT) == empty_seat()


# ---- who may ----

def test_the_token(console):
    assert re.fullmatch(r"[\w-]{43}", console.token)
    assert console.token_file.stat().st_mode & 0o777 == 0o600
    assert seat(console.daemon)["console"] == f"http://127.0.0.1:{console.port}/#token={console.token}"
    # It is a secret: what shows all seats does not tell it.
    assert console.token not in str(console.daemon.api("GET", "/v1/seats"))
    status, headers, body = console.state()
    assert status == 200 and headers["cache-control"] == "no-store"
    assert json.loads(body) == {"seat": "desk", "viewers": 0, "viewers_max": VIEWERS_MAX, "displays": [
        {"display": "alice/0", "colour": "#1a5fb4", "shown": False, "focus": False, "state": "gone", "viewers": 0}]}


WRONG_TOKENS = ["", "A", "A" * 42, "A" * 43, "A" * 44, "A" * 2000, "%41" * 43, "../" * 14 + "A"]


@pytest.mark.parametrize("wrong", [*WRONG_TOKENS, None], ids=lambda wrong: f"{len(wrong or '')} bytes")
def test_wrong_tokens(console, wrong):
    """None: the right one but for its last bits."""
    wrong = other_token(console.token) if wrong is None else wrong
    status, _, body = console.ask("/state", Authorization=f"Bearer {wrong}")
    assert status == 403 and b"viaduct seat show SEAT" in body
    with pytest.raises(web.Refused, match="403"):
        web.WebSocket(console.port, wrong)
    for authorization in None, "Basic " + console.token, console.token:
        assert console.ask("/state", Authorization=authorization)[0] == 403
    for protocols in None, "binary", f"binary, {console.token}":
        with pytest.raises(web.Refused, match="403"):
            console.socket(Sec_WebSocket_Protocol=protocols)


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1", "https://127.0.0.1:{port}",
                                    "http://127.0.0.1:{port}.evil.example", "http://127.0.0.1:{other}"])
def test_other_pages(console, origin):
    """A page from elsewhere cannot open the console, even when it knows the token."""
    origin = origin and origin.format(port=console.port, other=console.port ^ 1)
    with pytest.raises(web.Refused, match="403"):
        console.socket(Origin=origin)


@pytest.mark.parametrize("host", [None, "", "evil.example", "127.0.0.2", "127.0.0.1.evil.example", "localhost.evil.example:80", "[::2]",
                                  "[::1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:123456", "127.0.0.1:80:80", "x" * 1000])
def test_other_names(console, host):
    """DNS rebinding: the name of somebody else's page leads here."""
    for path in "/", "/state":
        assert console.ask(path, Host=host, Authorization=f"Bearer {console.token}")[0] in (400, 403, 421)
    with pytest.raises((web.Refused, ConnectionError)):
        console.socket(Host=host, Origin=f"http://{host}")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LocalHost:8080", "127.0.0.1:1", "[::1]:6080"])
def test_our_names(console, host):
    """Any port will do: a tunnel has its own."""
    assert console.ask("/", Host=host)[0] == 200
    with console.socket(Host=host, Origin=f"http://{host}") as opened:
        assert opened.recv(12) == b"RFB 003.008\n"


def test_no_other_upgrade(console):
    for upgrade in "h2c", "x", "":
        with pytest.raises((web.Refused, ConnectionError)):
            console.socket(Upgrade=upgrade)
    assert console.ask("/")[0] == 200


# ---- viewers ----

@pytest.mark.parametrize("piece_bytes", [1, 3, 65536])
def test_a_console_shows_the_screen(console, piece_bytes):
    with rfb.Viewer(door(console.daemon)) as other, console.viewer(piece_bytes=piece_bytes) as viewer:
        assert (viewer.width, viewer.height, viewer.name) == (WIDTH, HEIGHT, "desk")
        assert viewer.rows(0, 0, WIDTH, HEIGHT) == other.rows(0, 0, WIDTH, HEIGHT) == empty_seat()
        assert viewer.has_extended_keys
        assert seat(console.daemon)["viewers"] == 2
    wait_until(lambda: seat(console.daemon)["viewers"] == 0, "viewers have left")


def test_only_consoles_are_viewers(console):
    """A connection that fetches the page is none."""
    connections = [web.connect(console.port) for _ in range(PLACES - 1)]
    assert console.state()[0] == 200
    assert seat(console.daemon)["viewers"] == 0
    for connection in connections:
        connection.close()
    assert not any("a viewer came" in line for line in console.daemon.lines)


def test_a_seat_that_is_full(console):
    viewers = [rfb.Viewer(door(console.daemon)) for _ in range(VIEWERS_MAX)]
    with pytest.raises(web.Refused, match="503"):
        console.socket()
    assert console.state()[0] == 200
    for viewer in viewers:
        viewer.close()
    wait_until(lambda: seat(console.daemon)["viewers"] == 0, "viewers have left")
    with console.viewer():
        assert seat(console.daemon)["viewers"] == 1


def test_a_wish_for_the_focus(console):
    """Counts as steering; a display that shows nothing has no focus, and one that there is not changes nothing."""
    with console.socket() as opened:
        opened.sendall(b"RFB 003.008\n\1\1")
        wait_until(lambda: seat(console.daemon)["viewers"] == 1, "the console is a viewer")
        for index, display in enumerate(("alice/0", "bob/0", "alice/0"), 1):
            opened.send_frame(web.TEXT, f"focus {display}".encode())
            wait_until(lambda: seat(console.daemon)["events"] >= index, "the wish is heard")
        assert not seat(console.daemon)["displays"][0]["focus"]
        opened.send_frame(web.PING, b"")
        while opened.receive_frame() != (web.PONG, b""):
            pass


def test_pings_are_answered(console):
    with console.socket() as opened:
        opened.send_frame(web.PING, b"there?")
        kinds = [opened.receive_frame() for _ in range(2)]
        assert (web.PONG, b"there?") in kinds and (web.BINARY, b"RFB 003.008\n") in kinds


def test_the_end_of_the_daemon_is_that_of_consoles(console):
    with console.viewer() as viewer, web.connect(console.port) as idle:
        console.daemon.stop()
        with pytest.raises(ConnectionError):
            while True:
                viewer.update()
        assert idle.recv(1) == b""


def test_takeovers(console):
    """A console goes on, and its page's address stays the same."""
    token = console.token
    with console.viewer() as viewer:
        for _ in range(3):
            take_over(console.daemon)
            viewer.request(incremental=False)
            viewer.update()
            assert viewer.rows(0, 0, WIDTH, HEIGHT) == empty_seat()
        assert (console.token, seat(console.daemon)["viewers"]) == (token, 1)
        with console.viewer() as new:
            assert new.rows(0, 0, WIDTH, HEIGHT) == empty_seat()
    wait_until(lambda: seat(console.daemon)["viewers"] == 0, "viewers have left")


def test_restarts(console):
    """The token stays, unless its file is removed or others could have read it."""
    token = console.token
    console.daemon.stop()
    console.daemon.start()
    assert console.token == token and console.state()[0] == 200
    for spoil in console.token_file.unlink, lambda: console.token_file.chmod(0o644), lambda: console.token_file.write_text(token[:-1]):
        old = console.token
        console.daemon.stop()
        spoil()
        console.daemon.start()
        assert console.token != old
        assert console.token_file.stat().st_mode & 0o777 == 0o600
        assert (console.state()[0], console.state(old)[0]) == (200, 403)


# ---- hostile browsers ----

@pytest.fixture
def honest(console):
    """A viewer beside them, which is to see everything."""
    with rfb.Viewer(door(console.daemon)) as viewer:
        yield viewer
        viewer.request(incremental=False)
        viewer.update()
        assert viewer.rows(0, 0, WIDTH, HEIGHT) == empty_seat()
        wait_until(lambda: seat(console.daemon)["viewers"] == 1, "other viewers have left")
        assert console.ask("/")[0] == 200


REQUESTS = {
    "nothing": b"",
    "noise": os.urandom(65536),
    "zeroes": bytes(65536),
    "half a line": b"GET /",
    "half a header": b"GET / HTTP/1.1\r\nHost: 127",
    "a long path": b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: " + b"a" * 100000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"Cookie: a\r\n" * 10000 + b"\r\n",
    "unknown headers": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X-A: a\r\n" * 10000 + b"\r\n",
    "a body of 4 GiB": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4294967296\r\n\r\n" + bytes(65536),
    "a body of less than nothing": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n" + bytes(65536),
    "two hosts": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
    "many requests at once": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 1000,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9) * 1000,
    "TLS": bytes.fromhex("1603010200010001fc0303") + os.urandom(512),
    "a viewer's protocol": b"RFB 003.008\n\1\1",
}


@pytest.mark.parametrize("what", REQUESTS)
def test_hostile_requests(console, honest, what):
    for shut in False, True:
        with web.connect(console.port) as hostile:
            try:
                hostile.sendall(REQUESTS[what])
                if shut:
                    hostile.shutdown(socket.SHUT_WR)
                    while hostile.recv(65536):
                        pass
            except OSError:
                pass


FRAMES = {
    "half a frame": bytes([0x82, 0xff]),
    "a frame of 2^63 bytes": bytes([0x82, 0xff]) + struct.pack(">Q", 1 << 63) + bytes(65536),
    "a frame of 1 GiB": bytes([0x82, 0xff]) + struct.pack(">Q", 1 << 30) + bytes(65536),
    "a long ping": bytes([0x89, 0xfe]) + struct.pack(">H", 1000) + bytes(1004),
    "a kind that there is not": bytes([0x83, 0x81]) + bytes(5),
    "a bit that there is not": bytes([0xf2, 0x81]) + bytes(5),
    "the end of what has not begun": bytes([0x80, 0x81]) + bytes(5),
    "a text": web.WebSocket.frame(web.TEXT, b"hello"),
    "a long wish": web.WebSocket.frame(web.TEXT, b"focus " + b"a" * 65536),
    "a wish for nothing": web.WebSocket.frame(web.TEXT, b"focus "),
    "a wish with a zero": web.WebSocket.frame(web.TEXT, b"focus a\0b") * 100,
    "half a wish": web.WebSocket.frame(web.TEXT, b"focus al", final=False) + web.WebSocket.frame(0, b"ice/0"),
    "many wishes": web.WebSocket.frame(web.TEXT, b"focus alice/0") * 5000,
    "noise": os.urandom(65536),
    "not masked": web.WebSocket.frame(web.BINARY, b"RFB 003.008\n", masked=False),
    **{f"a viewer: {what}": web.WebSocket.frame(web.BINARY, content) for what, content in HOSTILE.items()},
}


@pytest.mark.parametrize("what", FRAMES)
def test_hostile_frames(console, honest, what):
    for shut in False, True:
        with console.socket() as hostile:
            try:
                hostile.stream.sendall(FRAMES[what])
                if shut:
                    hostile.stream.shutdown(socket.SHUT_WR)
                    while hostile.stream.recv(65536):
                        pass
            except OSError:
                pass


def test_fragments(console):
    """A message may come in several frames, and empty ones count for nothing."""
    with console.socket() as opened:
        for index, byte in enumerate(b"RFB 003.008\n"):
            opened.send_frame(0 if index else web.BINARY, bytes([byte]), final=False)
            opened.send_frame(web.PING, b"")
        opened.send_frame(0, b"")
        assert opened.recv(12) == b"RFB 003.008\n"
        assert opened.recv(2) == b"\1\1"


def test_a_console_that_never_reads(console, honest):
    with console.socket() as deaf:
        deaf.sendall(b"RFB 003.008\n\1\1" + struct.pack(">BBHHHH", 3, 0, 0, 0, WIDTH, HEIGHT) * 10000)
        wait_until(lambda: seat(console.daemon)["viewers"] == 2, "it is a viewer")
        honest.request(incremental=False)
        honest.update()


def test_slow_requests(console, honest):
    """Half requests hold all places for so long and no longer, however slowly they go on."""
    began = time.monotonic()
    slow = [web.connect(console.port) for _ in range(PLACES)]
    for connection in slow:
        connection.sendall(b"GET / HTTP/1.1\r\nX-A: ")
    ended = []

    def drip(connection):
        try:
            while True:
                connection.sendall(b"a")
                time.sleep(0.5)
        except OSError:
            ended.append(connection)

    threads = [threading.Thread(target=drip, args=(connection,)) for connection in slow[::2]]
    for thread in threads:
        thread.start()
    for connection in slow[1::2]:
        try:
            while connection.recv(65536):
                pass
        except ConnectionError:
            pass
    assert time.monotonic() - began >= REQUEST_S - 2
    for thread in threads:
        thread.join()
    assert len(ended) == len(threads)
    for connection in slow:
        connection.close()


def test_a_thousand_connections(console, honest):
    for index in range(1000):
        with web.connect(console.port) as connection:
            if index % 2:
                connection.sendall(web.request_bytes(console.port, "/state"))
    token = other_token(console.token)
    for _ in range(100):
        with pytest.raises(web.Refused):
            web.WebSocket(console.port, token)


# ---- configuration ----

WRONG = [
    ("6080", "is no address and port, for example 127.0.0.1:5900 or [::1]:5900, and not none"),
    ("0.0.0.0:6080", "is not a loopback address: all who reach it would see all guests and type into them, without a password; use "
     "127.0.0.1, and a tunnel (ssh -L) from elsewhere"),
    ("192.0.2.1:6080", "is not a loopback address: all who reach it would see all guests and type into them, without a password; use "
     "127.0.0.1, and a tunnel (ssh -L) from elsewhere"),
    ("127.0.0.1:5900", "is where this seat's vnc = is already"),
]


@pytest.mark.parametrize("value, message", WRONG)
def test_mistakes(make_daemon, value, message):
    daemon = make_daemon(sections(vnc="127.0.0.1:5900", web=value), start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, 'seat desk', 'web')}: web = {value} {message}")


def test_an_address_of_another_seat(make_daemon):
    both = {"seat bench": {"vnc": "127.0.0.1:6080"}, **sections(web="127.0.0.1:6080")}
    daemon = make_daemon(both, start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, 'seat desk', 'web')}: web = 127.0.0.1:6080 is another seat's already")


def test_a_port_that_another_has(make_daemon):
    """Whoever answers there must not get the token."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        daemon = make_daemon(sections(web=f"127.0.0.1:{port}"))
        said = f"web = 127.0.0.1:{port}: Address already in use; another program has this port: give the seat another one"
        daemon.wait_line(f"seat desk: {said}")
        daemon.wait_line("ready: 1 device served, others are not: see above")
        answer = seat(daemon)
        assert answer["not_served"] == [said] and "console" not in answer
        assert not (daemon.runtime / "seat-desk.token").exists()


def test_check_says_where_it_will_be(make_daemon):
    daemon = make_daemon(sections(web="127.0.0.1:6080"), start=False)
    done = subprocess.run(daemon.command("--check"), capture_output=True, text=True, check=True)
    assert f"seat desk: a screen of {WIDTH}x{HEIGHT}, for viewers at its socket, for browsers at http://127.0.0.1:6080" \
        in done.stdout.splitlines()


def test_two_seats(make_daemon):
    """Each has a token of its own."""
    ports = free_port(), free_port()
    both = {"seat bench": {"web": f"127.0.0.1:{ports[0]}", "size": "64x64"}, **sections(web=f"127.0.0.1:{ports[1]}")}
    daemon = make_daemon(both)
    bench, desk = ((daemon.runtime / f"seat-{name}.token").read_text().strip() for name in ("bench", "desk"))
    with rfb.Viewer(web.WebSocket(ports[0], bench)) as viewer:
        assert (viewer.name, viewer.width) == ("bench", 64)
    with pytest.raises(web.Refused, match="403"):
        web.WebSocket(ports[0], desk)
