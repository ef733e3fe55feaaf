# SPDX-License-Identifier: GPL-2.0-or-later
"""The service as `./run install` installs it, under a real systemd."""
import ctypes
import json
import os

import pytest

from frontend import FrontEnd
from service_host import ServiceHost

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a systemd of its own")

# The sample's user and group; a capacity, so that no time goes into measuring.
BASE = """
[daemon]
user = viaduct
group = viaduct

[pool main]
path = /var/lib/viaduct/main.pool
size = 64M
capacity_iops = 1000000
capacity_bandwidth = 8G

[guest alice]

[disk alice/root]
pool = main
size = 4M
"""
DIRECTORIES = ("/run/viaduct", "/var/lib/viaduct")

CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


@pytest.fixture(scope="module")
def booted():
    host = ServiceHost()
    try:
        yield host.start()
    finally:
        host.stop()


@pytest.fixture
def host(booted):
    """The host, with the service neither running nor ever run before."""
    sample = booted.path("/etc/viaduct/viaduct.conf").read_text()
    yield booted
    booted.systemctl("stop")
    booted.run("systemctl", "reset-failed", "viaductd.service", check=False)
    booted.run("rm", "-rf", *DIRECTORIES)
    booted.run("systemd-tmpfiles", "--create", "--prefix=/var/lib/viaduct")
    booted.configure(sample)


def has_landlock():
    """Does the kernel answer with a version of it? (landlock_create_ruleset)"""
    return ctypes.CDLL(None).syscall(444, None, 0, 1) > 0


def may_connect(host, socket, user, groups=()):
    return host.run("python3", "-c", CONNECT, socket, user=user, groups=groups, check=False).returncode == 0


def test_the_sample_configuration_starts(host):
    host.systemctl("start")
    assert host.show("ActiveState") == "active"
    viaduct = host.group("viaduct")
    assert "main" in host.run("viaduct", "pool", "list", user="operator", groups=[viaduct]).stdout
    assert host.run("viaduct", "status", user="operator", groups=[viaduct]).returncode == 0
    assert host.run("viaduct", "status", user="stranger", check=False).returncode != 0
    assert host.show("StatusText") == "0 devices served, 0 not"
    assert ("no Landlock" not in host.journal()) == has_landlock(), "the unit's filter lets it give up files"
    # Root's are only what the daemon holds open, and the socket by which another one takes its place.
    others = {path for path, owner in host.owners(*DIRECTORIES).items() if owner[:2] != ("viaduct", "viaduct")}
    assert others == {"/run/viaduct/daemon.lock", "/run/viaduct/takeover.sock", "/var/lib/viaduct/main.pool"}


def test_a_reload_works_and_changes_no_owner(host):
    host.configure(BASE)
    host.systemctl("start")
    host.run("viaduct", "disk", "set", "alice/root", "weight=300")
    before = host.owners(*DIRECTORIES)
    assert "/var/lib/viaduct/settings.conf" in before
    host.systemctl("reload")
    assert host.owners(*DIRECTORIES) == before

    # Everything that a reload may ask for.
    host.configure(BASE.replace("64M", "96M") + "[guest bob]\n[disk bob/root]\npool = main\nsize = 4M\n")
    host.systemctl("reload")
    assert {key: value for key, value in host.owners(*DIRECTORIES).items() if key in before} == before
    pool, = json.loads(host.run("viaduct", "pool", "list", "--json").stdout)["pools"]
    assert pool["total_bytes"] == 96 << 20
    host.run("viaduct", "disk", "create", "bob/more", "--pool", "main", "--size", "4M")
    host.run("viaduct", "disk", "set", "bob/more", "max_iops=1000")
    host.systemctl("reload")
    for disk in "bob/disk-root", "bob/disk-more", "alice/disk-root":
        assert host.path(f"/run/viaduct/{disk}.sock").is_socket()
    viaduct = host.group("viaduct")
    assert "bob" in host.run("viaduct", "status", user="operator", groups=[viaduct]).stdout

    host.systemctl("restart")
    assert "300" in host.run("viaduct", "disk", "set", "alice/root").stdout
    assert "1 000" in host.run("viaduct", "disk", "set", "bob/more").stdout


def test_a_reload_of_a_mistake_fails_and_changes_nothing(host):
    host.configure(BASE)
    host.systemctl("start")
    process = host.show("MainPID")
    host.configure(BASE + "[guest bob]\ncolour = red\n")
    assert host.systemctl("reload", check=False).returncode != 0
    assert "/etc/viaduct/viaduct.conf:18: unknown key 'colour' in [guest bob]" in host.journal()
    assert (host.show("ActiveState"), host.show("MainPID")) == ("active", process)
    host.configure(BASE + "[guest bob]\n")
    host.systemctl("reload")
    assert host.show("MainPID") == process


GUESTS = BASE + """
[guest owned]
socket_owner = vmm

[guest grouped]
socket_group = guests
socket_mode = 0660

[guest both]
socket_owner = vmm
socket_group = guests
socket_mode = 0660

[guest public]
socket_mode = 0666

""" + "".join(f"[disk {guest}/root]\npool = main\nsize = 1M\n" for guest in ("owned", "grouped", "both", "public"))

# Who may connect: the users, and whether members of the group `guests` may.
ACCESS = {"alice": ([], False), "owned": (["vmm"], False), "grouped": ([], True), "both": (["vmm"], True),
          "public": (["vmm", "other_vmm", "stranger"], True)}


@pytest.mark.parametrize("after", ["start", "restart", "reload"])
def test_guests_directories_let_in_whom_the_configuration_names(host, after):
    host.configure(BASE if after == "reload" else GUESTS)
    host.systemctl("start")
    if after == "restart":
        host.run("kill", "-KILL", host.show("MainPID"))
        host.wait_for("restart", lambda: host.show("NRestarts") == "1" and host.show("ActiveState") == "active")
    if after == "reload":
        # Only root gives sockets away; a reload does the rest and says what it could not.
        host.configure(GUESTS)
        host.systemctl("reload")
        assert "cannot give /run/viaduct/owned/disk-root.sock to" in host.journal()
        host.systemctl("restart")
    guests = host.group("guests")
    for guest, (users, group) in ACCESS.items():
        socket = f"/run/viaduct/{guest}/disk-root.sock"
        for user in "vmm", "other_vmm", "stranger":
            assert may_connect(host, socket, user) == (user in users), (guest, user)
        assert may_connect(host, socket, "other_vmm", [guests]) == group, guest
        assert may_connect(host, socket, "operator", [host.group("viaduct")]) == (guest == "public"), guest
        # Nobody but the daemon lists or changes a guest's directory.
        for user in "vmm", "stranger":
            for command in ["ls"], ["touch", "-c"], ["rm", "-f"]:
                target = f"/run/viaduct/{guest}" if command == ["ls"] else socket
                done = host.run(*command, target, user=user, groups=[guests], check=False)
                assert command[0] == "touch" or done.returncode != 0, (guest, user, command)
        assert host.path(socket).is_socket()


DROP_INS = "/etc/systemd/system/viaductd.service.d"


def switch_of(host):
    switch, = json.loads(host.run("viaduct", "switch", "list", "--json").stdout)["switches"]
    return switch


@pytest.fixture
def uplinks(host):
    """Puts the drop-in into place, as the manual says."""
    yield lambda: host.run("sh", "-c", f"install -D -m 644 /usr/local/lib/viaduct/uplinks.conf {DROP_INS}/uplinks.conf && "
                           "systemctl daemon-reload")
    host.run("rm", "-rf", DROP_INS)
    host.run("systemctl", "daemon-reload")


UPLINK = BASE + "[switch lan]\nuplink = {}\n[nic alice/net]\nswitch = lan\n"


@pytest.mark.parametrize("uplink", ["user", "tap:guests", "packet:lo", "vxlan\nvni = 7\npeers = 192.0.2.1"],
                         ids=["user", "tap", "packet", "vxlan"])
def test_an_uplink_without_the_drop_in_names_it(host, uplink):
    host.configure(UPLINK.format(uplink))
    host.systemctl("start")
    assert host.show("StatusText") == "2 devices served, 0 not", "guests reach each other all the same"
    assert "before the drop-in uplinks.conf is put into /etc/systemd/system/viaductd.service.d" in switch_of(host)["uplink"]["error"]
    assert "no network before the drop-in uplinks.conf" in host.journal()


@pytest.mark.parametrize("uplink, error", [("packet:lo", "uplink packet:lo: it carries no Ethernet"),
                                           ("vxlan\nvni = 7\npeers = 192.0.2.1", None)], ids=["packet", "vxlan"])
def test_an_uplink_with_the_drop_in(host, uplinks, uplink, error):
    uplinks()
    host.configure(UPLINK.format(uplink))
    host.systemctl("start")
    assert switch_of(host)["uplink"].get("error") == error


def test_a_guest_and_an_uplink(host, uplinks):
    """Nothing that the unit takes away is missed by what serves them."""
    uplinks()
    host.configure(UPLINK.format("user"))
    host.systemctl("start")
    assert host.show("StatusText") == "2 devices served, 0 not"
    with FrontEnd.start(host.path("/run/viaduct/alice/disk-root.sock")) as front:
        front.disk().write(0, b"z" * 4096)
        assert front.disk().read(0, 8) == b"z" * 4096
    assert switch_of(host)["uplink"]["link"]


def test_stop_and_start(host):
    host.configure(BASE)
    host.systemctl("start")
    assert host.path("/run/viaduct/alice/disk-root.sock").is_socket()
    host.systemctl("stop")
    assert (host.show("Result"), host.show("ActiveState")) == ("success", "inactive")
    assert not host.path("/run/viaduct").exists()
    host.systemctl("start")
    assert host.path("/run/viaduct/alice/disk-root.sock").is_socket()
    host.systemctl("restart")
    assert host.path("/run/viaduct/alice/disk-root.sock").is_socket()
    status = host.systemctl("status").stdout
    assert "active (running)" in status and "1 device served, 0 not" in status


def test_it_is_found_by_a_plain_user(host):
    for program in "viaductd", "viaduct":
        assert host.run("sh", "-c", f"command -v {program}", user="stranger").stdout == f"/usr/local/bin/{program}\n"
        assert host.run(program, "--version", user="stranger").stdout.startswith(program)
