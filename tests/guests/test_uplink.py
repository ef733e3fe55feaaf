# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own kernels and the world: through a NAT, a tap and a real interface, to a host in a network namespace."""
import hashlib
import random
import subprocess

import pytest

import qemu
from net_namespace import NetNamespace

MAC = "52:54:00:00:00:01"
UPLOAD_BYTES = 8 << 20
FILE = random.Random(9).randbytes(4 << 20)
DIGEST = hashlib.sha256(FILE).hexdigest()

# A client of udhcpc that does what a system's would.
DHCP_SCRIPT = """#!/bin/sh
case $1 in bound | renew)
    ip addr add $ip/$mask dev $interface
    ip route add default via $router
    echo nameserver $dns >/tmp/resolv ;;
esac
"""

TAKE = """
import hashlib, socket, sys
server = socket.create_server((sys.argv[1], 4000))
print("ready", flush=True)
client, _ = server.accept()
digest = hashlib.sha256()
while data := client.recv(65536):
    digest.update(data)
print(digest.hexdigest(), flush=True)
"""

GET = """
import hashlib, sys, urllib.request
print(hashlib.sha256(urllib.request.urlopen(sys.argv[1]).read()).hexdigest())
"""

CALL = """
import socket, sys
client = socket.create_connection(("127.0.0.1", 2222))
client.sendall(b"through a forward")
client.shutdown(socket.SHUT_WR)
print(client.makefile().read())
"""


@pytest.fixture
def net(tmp_path):
    """The host: 192.0.2.1 is its address to guests, and it serves FILE over HTTP on all that it has."""
    (tmp_path / "file").write_bytes(FILE)
    with NetNamespace() as namespace:
        namespace.run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")
        server = subprocess.Popen([*namespace.wrapper, "python3", "-u", "-m", "http.server", "8080", "--directory", str(tmp_path)],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert b"Serving HTTP" in server.stdout.readline()
        yield namespace
        server.kill()
        server.communicate()


@pytest.fixture
def boot(viaductd, machine, net):
    """boot(uplink, **keys of the switch) -> the daemon, in the namespace, and Alice."""
    def start(uplink, mtu=1500, **more):
        daemon = viaductd({"guest alice": {}, "switch lan": {"uplink": uplink, **more},
                           "nic alice/eth0": {"switch": "lan", "mac": MAC, "mtu": mtu}}, wrapper=net.wrapper)
        guest = machine([qemu.Nic(daemon.socket("alice/eth0", "nic"), MAC, mtu=mtu)], name="alice")
        guest.run("ip link set lo up; ip link set eth0 up")
        return daemon, guest

    return start


def fetch(guest, host, expect=DIGEST):
    assert guest.run(f"wget -q -O - http://{host}:8080/file | sha256sum").split()[0] == expect


def upload(guest, net, host):
    """From the guest to a program of the host."""
    taker = subprocess.Popen([*net.wrapper, "python3", "-c", TAKE, host], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             text=True)
    assert taker.stdout.readline() == "ready\n"
    guest.run(f"dd if=/dev/urandom of=/tmp/up bs=1M count={UPLOAD_BYTES >> 20} 2>/dev/null")
    guest.run(f"nc {host} 4000 </tmp/up >/dev/null")
    assert taker.communicate()[0].strip() == guest.run("sha256sum </tmp/up").split()[0]


def test_nat_for_plain_users(boot, net):
    """An address by DHCP, the host's HTTP server, IPv6, a forward to the guest; and no way to the host's loopback."""
    daemon, alice = boot("user", mtu=9000)
    alice.put("/tmp/dhcp", DHCP_SCRIPT)
    alice.run("chmod +x /tmp/dhcp; udhcpc -q -n -t 30 -i eth0 -s /tmp/dhcp")
    assert "10.0.2.15/24" in alice.run("ip addr show dev eth0")
    assert alice.run("cat /tmp/resolv") == "nameserver 10.0.2.3"
    alice.run("ping -q -c 3 -W 60 10.0.2.2")
    alice.run("until ip -6 addr show dev eth0 | grep -q 'fd00:.*global'; do sleep 0.1; done; ping6 -q -c 3 -W 60 fd00::2")
    fetch(alice, "192.0.2.1")
    upload(alice, net, "192.0.2.1")
    assert alice.try_run("wget -q -O - http://10.0.2.2:8080/file")[0] != 0
    daemon.command("forward", "add", "lan", "tcp::2222-10.0.2.15:22")
    alice.run("(nc -l -p 22 -e cat) >/dev/null 2>&1 & until netstat -ltn | grep -q ':22 '; do sleep 0.1; done")
    assert net.run("python3", "-c", CALL).stdout == "through a forward\n"
    uplink = daemon.status()["switches"][0]["uplink"]
    assert uplink["received"]["bytes"] > 8 << 20 and uplink["dropped"]["malformed"] == 0


def reach_host(guest):
    guest.run("ip addr add 10.9.0.5/24 dev eth0; until ping -q -c 1 -W 1 10.9.0.1 >/dev/null; do sleep 0.1; done")


@pytest.mark.parametrize("offload", ["yes", "no"])
def test_tap(boot, net, offload):
    daemon, alice = boot("tap:guests", offload=offload)
    net.address("guests", "10.9.0.1/24")
    reach_host(alice)
    fetch(alice, "10.9.0.1")

    def frames():
        status = daemon.status()
        return status["switches"][0]["ports"][0]["sent"]["frames"], status["switches"][0]["uplink"]["received"]["frames"]

    upload(alice, net, "10.9.0.1")
    # A web server hands the kernel a file at once, so that it makes large segments.
    alice.run("httpd -p 8081 -h /tmp")
    before = frames()
    assert net.run("python3", "-c", GET, "http://10.9.0.5:8081/up").stdout.strip() == alice.run("sha256sum </tmp/up").split()[0]
    sent, out = (now - then for then, now in zip(before, frames(), strict=True))
    # The guest leaves segments uncut in either case; the tap takes them so only with offload.
    assert sent < UPLOAD_BYTES / 1514
    assert (out < UPLOAD_BYTES / 1514) == (offload == "yes")


def test_interface(boot, net):
    """A bridge to the LAN: the guest has an address of the wire's other end."""
    with NetNamespace() as peer:
        net.run("ip", "link", "add", "card0", "type", "veth", "peer", "name", "wire0", "netns", str(peer.pid))
        net.run("ip", "link", "set", "card0", "up")
        peer.address("wire0", "10.9.0.1/24")
        _, alice = boot("packet:card0")
        reach_host(alice)
        upload(alice, peer, "10.9.0.1")


def test_other_hosts(boot, net):
    """The guest is in one network with a VXLAN device of Linux on another host."""
    with NetNamespace() as peer:
        net.run("ip", "link", "add", "card0", "type", "veth", "peer", "name", "wire0", "netns", str(peer.pid))
        net.address("card0", "198.51.100.1/24")
        peer.address("wire0", "198.51.100.2/24")
        peer.run("ip", "link", "add", "vx0", "type", "vxlan", "id", "42", "local", "198.51.100.2", "remote", "198.51.100.1",
                 "dstport", "4789", "dev", "wire0")
        peer.address("vx0", "10.9.0.1/24")
        _, alice = boot("vxlan", mtu=1450, vni=42, peers="198.51.100.2")
        reach_host(alice)
        upload(alice, peer, "10.9.0.1")


HEAR = """
import socket
heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x8035))
heard.bind(("lan0", 0x8035))
print("ready", flush=True)
print(heard.recv(2048)[6:12].hex(":"), flush=True)
"""


def test_live_migration(viaductd, machine, net):
    """A guest moves to another host's daemon while it pings. The network is told where it is now."""
    net.run("ip", "link", "add", "lan0", "type", "bridge")
    net.address("lan0", "10.9.0.1/24")
    daemons = []
    for name in ("left", "right"):
        daemons.append(viaductd({"guest alice": {}, "switch lan": {"uplink": f"tap:{name}"},
                                 "nic alice/eth0": {"switch": "lan", "mac": MAC}}, wrapper=net.wrapper))
        net.run("ip", "link", "set", name, "master", "lan0")
    left, right = (qemu.Nic(daemon.socket("alice/eth0", "nic"), MAC) for daemon in daemons)
    source = machine([left], name="source")
    source.run("ip link set lo up; ip link set eth0 up")
    reach_host(source)
    listener = subprocess.Popen([*net.wrapper, "python3", "-c", HEAR], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert listener.stdout.readline() == "ready\n"
    source.run("ping 10.9.0.1 >/tmp/pings 2>&1 &")
    uri = f"unix:{source.path('migration')}"
    target = machine([right], name="target", incoming=uri)
    source.migrate_to(uri)
    target.number = source.number       # the guest's shell goes on counting
    source.stop()
    assert listener.communicate()[0] == f"{MAC}\n"
    before = int(target.run("wc -l </tmp/pings"))
    target.run(f"until [ $(wc -l </tmp/pings) -gt {before + 3} ]; do sleep 0.1; done")
    fetch(target, "10.9.0.1")
    assert daemons[1].device("alice/eth0", "nic")["sent"]["frames"] > 0
