# SPDX-License-Identifier: GPL-2.0-or-later
"""Viewers from other machines: TLS, a password, and what others get."""
import os
import re
import socket
import ssl
import struct
import subprocess

import pytest

import rfb
from patience import wait_until
from test_refusals import expect_refused, line_of
from test_seat import HEIGHT, WIDTH, empty_seat, free_port, sections, seat
from test_takeover import take_over

PASSWORD = b"correct horse"
FREE_ATTEMPTS, OF_ONE_ADDRESS, OF_ALL = 5, 3, 8
KEYS = "vnc_certificate", "vnc_key", "vnc_password_file"


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, text=True, **options).stdout


def make_certificate(folder, name, kind=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
    """Returns the paths of a certificate and its key, which openssl makes for its owner alone."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    openssl("req", "-x509", "-newkey", *kind, "-nodes", "-days", "1", "-subj", "/CN=desk", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", key, "-out", certificate)
    return certificate, key


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    """A certificate, its key, and a password's hash: what the keys of a seat name."""
    folder = tmp_path_factory.mktemp("identity")
    hash_of = folder / "password"
    hash_of.write_text(openssl("passwd", "-6", "-stdin", input=PASSWORD.decode()))
    hash_of.chmod(0o600)
    return dict(zip(KEYS, (*make_certificate(folder, "desk"), hash_of)))


class Desk:
    """A daemon with a guarded seat, and how it is reached."""

    def __init__(self, make_daemon, identity, host="127.0.0.1", listen="0.0.0.0", **seat_options):
        self.address = host, free_port()
        self.certificate = identity["vnc_certificate"]
        self.daemon = make_daemon(sections(vnc=f"{listen}:{self.address[1]}", **seat_options, **identity))

    def view(self, password=PASSWORD):
        return rfb.Viewer(rfb.connect_by_tls(self.address, self.certificate, password), proven=True)

    def plain(self, host=None):
        connection = socket.create_connection((host or self.address[0], self.address[1]))
        connection.settimeout(rfb.PATIENCE_S)
        return connection

    def metric(self, name):
        text = self.daemon.api("GET", "/metrics", raw=True)[1].decode()
        return int(re.search(rf'^viaduct_seat_{name}{{seat="desk"}} (\d+)$', text, re.M)[1])


@pytest.fixture
def desk(make_daemon, identity):
    return Desk(make_daemon, identity)


def hear_end(connection):
    """All that comes until the other side closes."""
    heard = b""
    try:
        while piece := connection.recv(65536):
            heard += piece
    except (ConnectionResetError, ssl.SSLError):
        pass
    return heard


# ---- who is let in ----

def test_the_password_is_the_way_in(desk):
    with desk.view() as viewer:
        assert viewer.rows(0, 0, WIDTH, HEIGHT) == empty_seat() and viewer.name == "desk"
        assert viewer.has_extended_keys and seat(desk.daemon)["viewers"] == 1
        assert viewer.socket.version() == "TLSv1.3"
        viewer.pointer(5, 5)
        wait_until(lambda: seat(desk.daemon)["events"] == 1, "the pointer has moved")
    wait_until(lambda: seat(desk.daemon)["viewers"] == 0, "the viewer has left")
    assert desk.metric("refused_viewers_total") == 0


def test_a_large_screen_and_many_messages_within_tls(make_daemon, identity):
    """More than the socket takes at once, and many messages in one record."""
    desk = Desk(make_daemon, identity, size="1920x1080")
    with desk.view() as viewer:
        viewer.socket.sendall(b"".join(struct.pack(">BBHH", 5, 0, at, 7) for at in range(1900)))
        wait_until(lambda: seat(desk.daemon)["events"] == 1900, "all messages have been heard")


def test_rsa_and_another_hash(make_daemon, identity, tmp_path):
    certificate, key = make_certificate(tmp_path, "rsa", ("rsa:2048",))
    other = tmp_path / "password"
    other.write_text(openssl("passwd", "-5", "-stdin", input=PASSWORD.decode()))
    other.chmod(0o640)
    desk = Desk(make_daemon, dict(zip(KEYS, (certificate, key, other))))
    with desk.view() as viewer:
        assert viewer.rows(0, 0, WIDTH, HEIGHT) == empty_seat()


def test_by_ipv6(make_daemon, identity):
    desk = Desk(make_daemon, identity, "::1", "[::]")
    with desk.view() as viewer:
        assert viewer.rows(0, 0, WIDTH, HEIGHT) == empty_seat()


def test_the_socket_asks_for_nothing(desk):
    with rfb.Viewer(desk.daemon.runtime / "seat-desk.vnc") as viewer:
        assert viewer.rows(0, 0, WIDTH, HEIGHT) == empty_seat()


def test_viewers_do_not_notice_a_takeover(desk):
    with desk.view() as viewer:
        for _ in range(2):
            take_over(desk.daemon)
            assert seat(desk.daemon)["viewers"] == 1
            viewer.request(incremental=False)
            viewer.update()
            assert viewer.rows(0, 0, WIDTH, HEIGHT) == empty_seat()
        with desk.view() as new:
            assert new.rows(0, 0, WIDTH, HEIGHT) == empty_seat()


# ---- who is not ----

def test_a_wrong_password(desk):
    for wrong in b"wrong", b"", PASSWORD + b"\0", PASSWORD[:8], b"x" * 255:
        with pytest.raises((rfb.WrongPassword, ConnectionError), match="wrong password|closed"):
            desk.view(wrong)
    wait_until(lambda: desk.metric("refused_viewers_total") == 5, "they are counted")
    assert desk.metric("wrong_passwords_total") == 4            # one was no password at all
    desk.daemon.wait_line("seat desk: a viewer of 127.0.0.1 was refused: wrong password")


def test_another_certificate(desk, tmp_path):
    """The viewer does not go on, and says no password."""
    other, _ = make_certificate(tmp_path, "other")
    with pytest.raises(ssl.SSLCertVerificationError):
        rfb.connect_by_tls(desk.address, other, PASSWORD)
    desk.daemon.wait_line("seat desk: a viewer of 127.0.0.1 was refused: it gave no password")


@pytest.mark.parametrize("version", ["003.003", "003.007"])
def test_an_old_viewer_is_told_why(desk, version):
    with desk.plain() as old:
        old.sendall(f"RFB {version}\n".encode())
        assert hear_end(old).endswith(b"this seat asks for TLS and a password: VeNCrypt with X509Plain")


def test_an_older_tls(desk):
    with desk.plain() as connection:
        rfb.choose_tls(connection)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError, match="alert"):
            context.wrap_socket(connection)


GREETING = b"RFB 003.008\n", bytes([rfb.VENCRYPT]), b"\0\2", struct.pack(">I", rfb.X509_PLAIN)
BEFORE_TLS = {
    "nothing": b"",
    "noise": os.urandom(4096),
    "no security": GREETING[0] + b"\1",
    "VNC's own password": GREETING[0] + b"\2" + bytes(16),
    "another VeNCrypt": GREETING[0] + GREETING[1] + b"\0\1",
    "VeNCrypt without TLS": b"".join(GREETING[:3]) + struct.pack(">I", 256),
    "VeNCrypt without a certificate": b"".join(GREETING[:3]) + struct.pack(">I", 259),
    "half a handshake": b"".join(GREETING) + b"\x16\3\1\2\0\1",
    "noise for TLS": b"".join(GREETING) + os.urandom(4096),
    "a record that is too long": b"".join(GREETING) + b"\x16\3\3\xff\xff" + bytes(70000),
    "what comes after the password": b"".join(GREETING) + b"\1" + struct.pack(">BBHHHH", 3, 0, 0, 0, WIDTH, HEIGHT),
}


@pytest.mark.parametrize("what", BEFORE_TLS)
def test_nothing_is_shown_before_tls(desk, what):
    with desk.plain() as hostile:
        try:
            hostile.sendall(BEFORE_TLS[what])
            hostile.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        assert len(hear_end(hostile)) < 200
    with desk.view() as viewer:
        assert viewer.rows(0, 0, WIDTH, HEIGHT) == empty_seat()


BEFORE_PASSWORD = {
    "a name of 4 GiB": struct.pack(">II", 0xffffffff, 4) + bytes(1000),
    "a password that is too long": struct.pack(">II", 4, 256) + bytes(1000),
    "what comes after the password": struct.pack(">BBHHHH", 3, 0, 0, 0, WIDTH, HEIGHT) * 10,
}


@pytest.mark.parametrize("what", BEFORE_PASSWORD)
def test_nothing_is_shown_before_the_password(desk, what):
    with rfb.begin_tls(desk.address, desk.certificate) as hostile:
        hostile.sendall(BEFORE_PASSWORD[what])
        assert hear_end(hostile) == b""


def test_half_a_password(desk):
    with rfb.begin_tls(desk.address, desk.certificate) as hostile:
        hostile.sendall(struct.pack(">II", 4, 4) + b"anna")
        hostile.shutdown(socket.SHUT_WR)
    wait_until(lambda: desk.metric("refused_viewers_total") == 1, "it has been refused")


# ---- how often ----

def test_an_address_that_fails_has_to_wait_and_no_other(desk):
    for _ in range(FREE_ATTEMPTS):
        with pytest.raises(rfb.WrongPassword):
            desk.view(b"guess")
    wait_until(lambda: desk.metric("wrong_passwords_total") == FREE_ATTEMPTS, "the failures are counted")

    def is_sent_away():
        """Or had waited for long enough, on a slow machine, and has to wait for longer after this."""
        try:
            rfb.prove_password(rfb.begin_tls(desk.address, desk.certificate), b"guess")
        except rfb.WrongPassword:
            return False
        except (ConnectionError, OSError):
            return True
    wait_until(is_sent_away, "it has to wait")
    # From another address, meanwhile.
    desk.address = "127.0.0.2", desk.address[1]
    with socket.socket() as other:
        other.bind(("127.0.0.2", 0))
        other.connect(desk.address)
        assert rfb.take(other, 12) == b"RFB 003.008\n"
    # And after a second, from the first, again.
    desk.address = "127.0.0.1", desk.address[1]

    def is_heard():
        try:
            with desk.view():
                return True
        except (ConnectionError, OSError):
            return False
    wait_until(is_heard, "it may try again")
    # A right password makes good for what was.
    for _ in range(FREE_ATTEMPTS - 1):
        with pytest.raises(rfb.WrongPassword):
            desk.view(b"guess")
    with desk.view():
        pass


def test_the_silent_hold_nothing(desk):
    """So many of one address wait, and one more is sent away; others come in."""
    silent = [desk.plain() for _ in range(OF_ONE_ADDRESS)]
    for connection in silent:
        assert rfb.take(connection, 12) == b"RFB 003.008\n"
    with desk.plain() as more:
        assert hear_end(more) == b""
    assert seat(desk.daemon)["viewers"] == 0
    # From so many addresses that there is no room: the oldest goes.
    others = []
    for last in range(2, 12):
        connection = socket.socket()
        connection.settimeout(rfb.PATIENCE_S)
        connection.bind((f"127.0.0.{last}", 0))
        connection.connect(desk.address)
        assert rfb.take(connection, 12) == b"RFB 003.008\n"
        others.append(connection)
    # Not when their time is over, but at once, besides the one more.
    assert desk.metric("refused_viewers_total") >= 1 + OF_ONE_ADDRESS + len(others) - OF_ALL
    assert hear_end(silent[0]) == b""
    with desk.view() as viewer:
        assert viewer.rows(0, 0, WIDTH, HEIGHT) == empty_seat()
    for connection in silent + others:
        connection.close()


# ---- configuration ----

def guarded(identity, **more):
    return sections(**{"vnc": "0.0.0.0:5999", **identity, **more})


def test_all_of_it_is_needed(make_daemon, identity):
    for key in KEYS:
        wrong = guarded(identity)
        del wrong["seat desk"][key]
        daemon = make_daemon(wrong, start=False)
        expect_refused(daemon, f"{daemon.config}:{line_of(daemon, 'seat desk', 'vnc')}: vnc = 0.0.0.0:5999 is not a loopback "
                       "address: all who reach it would see all guests and type into them, without a password; add "
                       "vnc_certificate, vnc_key and vnc_password_file, or use 127.0.0.1, and a tunnel (ssh -L) from elsewhere")


def test_web_stays_on_this_machine(make_daemon, identity):
    daemon = make_daemon(guarded(identity, web="0.0.0.0:6080"), start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, 'seat desk', 'web')}: web = 0.0.0.0:6080 is not a loopback "
                   "address: all who reach it would see all guests and type into them, without a password; "
                   "use 127.0.0.1, and a tunnel (ssh -L) from elsewhere")


def test_guarding_nothing(make_daemon, identity):
    daemon = make_daemon(sections(**identity), start=False)
    expect_refused(daemon, f"{daemon.config}:{line_of(daemon, 'seat desk', 'vnc_key')}: vnc_key = {identity['vnc_key']} "
                   "guards nothing: there is no port at which viewers arrive, vnc = none")


def refused_file(make_daemon, identity, key, path, reason):
    """By --check; a daemon that starts serves the rest, and nobody at the port."""
    port = free_port()
    daemon = make_daemon(guarded(identity, vnc=f"127.0.0.1:{port}", **{key: path}), start=False)
    done = subprocess.run(daemon.command("--check"), capture_output=True, text=True)
    assert done.returncode == 1 and f"{key} = {path}{reason}" in done.stderr, done.stderr
    daemon.start()
    daemon.wait_line(f"seat desk: {key} = {path}{reason}")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


@pytest.mark.parametrize("mode, reason", [(0o604, " is open to every user: chmod 600"), (0o602, " is open to every user: chmod 600"),
                                          (0o660, " can be changed by its group: chmod 600")])
@pytest.mark.parametrize("key", KEYS[1:])
def test_secrets_that_are_open(make_daemon, identity, tmp_path, key, mode, reason):
    path = tmp_path / "secret"
    path.write_bytes(identity[key].read_bytes())
    path.chmod(mode)
    refused_file(make_daemon, identity, key, path, reason)


OTHER_FILES = [
    ("vnc_certificate", "none", ": no certificate as text (PEM): "),
    ("vnc_certificate", "x" * 70000, ": File too large"),
    ("vnc_key", "none", ": no key as text (PEM) without a password: "),
    ("vnc_password_file", "secret\n", ": not one line with the hash of a password, as openssl passwd -6 or mkpasswd prints it"),
    ("vnc_password_file", "", ": not one line with the hash"),
    ("vnc_password_file", "$6$salt$\n", ": not one line with the hash"),
    ("vnc_password_file", "$1$salt$hash\n", ": not one line with the hash"),
    ("vnc_password_file", "$6$a$b\n$6$a$b\n", ": not one line with the hash"),
    ("vnc_password_file", "$6$" + "a" * 200 + "\n", ": not one line with the hash"),
]


@pytest.mark.parametrize("key, text, reason", OTHER_FILES, ids=range(len(OTHER_FILES)))
def test_files_that_are_something_else(make_daemon, identity, tmp_path, key, text, reason):
    path = tmp_path / "file"
    path.write_text(text)
    path.chmod(0o600)
    refused_file(make_daemon, identity, key, path, reason)


def test_a_key_of_another_certificate(make_daemon, identity, tmp_path):
    _, key = make_certificate(tmp_path, "other")
    refused_file(make_daemon, identity, "vnc_key", key, f" is not the key of the certificate {identity['vnc_certificate']}")


def test_a_key_that_signs_otherwise(make_daemon, identity, tmp_path):
    certificate, key = make_certificate(tmp_path, "eddsa", ("ed25519",))
    refused_file(make_daemon, {**identity, "vnc_certificate": certificate}, "vnc_key", key, " is neither an RSA nor an ECDSA key")


def test_a_file_that_is_not_there(make_daemon, identity, tmp_path):
    refused_file(make_daemon, identity, "vnc_key", tmp_path / "none", ": No such file or directory")


def test_a_takeover_leaves_no_port_open(desk):
    """A successor that is to serve this machine alone, unguarded, does not do it at the old, open address."""
    for key in KEYS:
        del desk.daemon.sections["seat desk"][key]
    port = free_port()
    desk.daemon.sections["seat desk"]["vnc"] = f"127.0.0.1:{port}"
    desk.daemon.write_config()
    take_over(desk.daemon)
    with rfb.Viewer(("127.0.0.1", port)) as viewer:
        assert viewer.rows(0, 0, WIDTH, HEIGHT) == empty_seat()
    with pytest.raises(ConnectionRefusedError):
        desk.plain()


# ---- a viewer of Debian's ----

@pytest.fixture
def display():
    """The number of an X server without a screen."""
    reading, writing = os.pipe()
    server = subprocess.Popen(["Xvfb", "-displayfd", str(writing), "-nolisten", "tcp"], pass_fds=[writing],
                              stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as told:
        yield told.readline().strip()
    server.terminate()
    server.wait()


def test_tigervnc(desk, display):
    environment = {**os.environ, "DISPLAY": f":{display}", "VNC_USERNAME": "anna", "VNC_PASSWORD": PASSWORD.decode()}
    viewer = subprocess.Popen(["vncviewer", f"-X509CA={desk.certificate}", "-AlertOnFatalError=0",
                               f"{desk.address[0]}::{desk.address[1]}"], env=environment,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: seat(desk.daemon)["viewers"] == 1, "the viewer is in")
        assert viewer.poll() is None
    finally:
        viewer.terminate()
        viewer.wait()
