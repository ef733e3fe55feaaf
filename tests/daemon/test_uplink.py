# SPDX-License-Identifier: GPL-2.0-or-later
"""Switches with an uplink: NAT, a tap, a real interface; how they are opened, shown, lost, changed and handed over."""
import pathlib
import socket as sockets
import subprocess

import pytest

from daemon import Daemon
from ip_host import IpHost
from net_namespace import NetNamespace
from nic import Card, mac
from patience import wait_until
from test_reload import reload
from test_takeover import take_over

ALICE = mac("52:54:00:00:00:01")


def sections(uplink, **more):
    return {"daemon": {"workers": 1}, "guest alice": {}, "switch lan": {"uplink": uplink, **more},
            "nic alice/eth0": {"switch": "lan", "mac": "52:54:00:00:00:01"}}


def card(daemon):
    return Card(daemon.runtime / "alice" / "nic-eth0.sock", ALICE)


def switch(daemon, name="lan"):
    status, answer = daemon.api("GET", f"/v1/switches/{name}")
    assert status == 200
    return answer


def link(daemon):
    return switch(daemon)["uplink"]["link"]


@pytest.fixture
def net():
    with NetNamespace() as namespace:
        yield namespace


@pytest.fixture
def make(make_daemon, net):
    """A daemon in a network namespace of its own, where the host has the address 192.0.2.1, too."""
    net.run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")
    return lambda uplink, **more: make_daemon(sections(uplink, **more), wrapper=net.wrapper)


def keep_rights(daemon):
    """Without the sandbox, a test that is root may open an uplink at a reload as well."""
    daemon.sections["daemon"]["sandbox"] = "no"
    daemon.write_config()
    daemon.restart()


def forward_texts(daemon):
    return [entry["forward"] for entry in daemon.api("GET", "/v1/switches/lan/forwards")[1]["forwards"]]


def change_forward(daemon, method, text):
    return daemon.api(method, "/v1/switches/lan/forwards", {"forward": text})


ECHO = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 7))
print("ready", flush=True)
while True:
    data, client = server.recvfrom(2048)
    server.sendto(data, client)
"""

SEND = """
import socket, sys
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(sys.argv[3].encode(), (sys.argv[1], int(sys.argv[2])))
"""


@pytest.fixture
def echo_server(net):
    """echo_server(address): answers datagrams to port 7 there."""
    started = []

    def start(address):
        process = subprocess.Popen([*net.wrapper, "python3", "-c", ECHO, address], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"ready\n"

    yield start
    for process in started:
        process.kill()
        process.wait()


# ---- user ----

def test_user_reaches_the_host_but_not_its_loopback(make, echo_server):
    """With the sandbox on, in builds that have one."""
    daemon = make("user")
    echo_server("192.0.2.1")
    echo_server("127.0.0.1")
    with card(daemon) as guest:
        host = IpHost(guest, "10.0.2.15")
        host.ping("10.0.2.2")
        host.send_datagram("192.0.2.1", 7, b"hello", gateway="10.0.2.2")
        assert host.next_datagram()[::3] == ("192.0.2.1", b"hello")
        # The gateway is no door to the loopback: what is asked there is lost, and the question behind it is not.
        host.send_datagram("10.0.2.2", 7, b"is there somebody?")
        host.send_datagram("192.0.2.1", 7, b"again", gateway="10.0.2.2")
        assert host.next_datagram()[::3] == ("192.0.2.1", b"again")
        uplink = switch(daemon)["uplink"]
        assert uplink["kind"] == "user" and uplink["link"] and uplink["sent"]["frames"] >= 3
        text = daemon.api("GET", "/metrics", raw=True)[1].decode()
        assert 'viaduct_uplink_up{switch="lan",uplink="user"} 1' in text


def test_user_with_the_loopback_open(make, echo_server):
    daemon = make("user", host_loopback="yes", network="10.7.0.0/16")
    echo_server("127.0.0.1")
    with card(daemon) as guest:
        host = IpHost(guest, "10.7.0.15")
        host.send_datagram("10.7.0.2", 7, b"hello")
        assert host.next_datagram()[::3] == ("10.7.0.2", b"hello")


def test_forwards_come_and_go(make, net):
    daemon = make("user", forward="udp:127.0.0.1:5001-10.0.2.15:9")
    assert change_forward(daemon, "POST", "udp::5002-10.0.2.15:10")[0] == 201
    both = ["udp:127.0.0.1:5001-10.0.2.15:9", "udp:127.0.0.1:5002-10.0.2.15:10"]
    assert forward_texts(daemon) == both
    for run in range(2):
        with card(daemon) as guest:
            host = IpHost(guest, "10.0.2.15")
            for port, text in (5001, "one"), (5002, "two"):
                net.run("python3", "-c", SEND, "127.0.0.1", str(port), text)
                datagram = host.next_datagram()
                assert (datagram.port, datagram.payload) == (port - 4992, text.encode())
        # What was added holds over restarts and takeovers.
        daemon.restart() if run == 0 else take_over(daemon)
        assert forward_texts(daemon) == both
        assert not any("error" in entry for entry in switch(daemon)["forwards"])
    assert change_forward(daemon, "DELETE", "udp::5002-10.0.2.15:10")[0] == 200
    assert forward_texts(daemon) == both[:1]
    daemon.sections["switch lan"]["forward"] = "udp::5003-10.0.2.15:11, tcp:[::1]:5004-[fd00::15]:22"
    assert reload(daemon) == (["switch lan: 3 forwards changed"], [])
    assert forward_texts(daemon) == ["udp:127.0.0.1:5003-10.0.2.15:11", "tcp:[::1]:5004-[fd00::15]:22"]
    daemon.restart()
    assert len(forward_texts(daemon)) == 2


@pytest.mark.parametrize("text, status, says", [
    ("udp::7-10.0.9.9:7", 400, "outside of the network"),
    ("udp::7-10.0.2.2:7", 400, "the gateway's"),
    ("udp:7-10.0.2.15:7", 400, "is no forward"),
    ("sctp::7-10.0.2.15:7", 400, "is no forward"),
    ("tcp::70000-10.0.2.15:7", 400, "is no forward"),
    ("tcp:[::1]:22-10.0.2.15:22", 400, "is no forward"),
    ("tcp:127.0.0.1:5001-10.0.2.16:9", 409, "are taken"),
    ("tcp:198.51.100.1:5001-10.0.2.15:9", 400, "does not have that address"),
])
def test_forwards_that_cannot_be(make, text, status, says):
    daemon = make("user", forward="tcp:127.0.0.1:5001-10.0.2.15:9")
    answer = change_forward(daemon, "POST", text)
    assert answer[0] == status and says in answer[1]["error"]
    assert forward_texts(daemon) == ["tcp:127.0.0.1:5001-10.0.2.15:9"]


def test_forwards_of_others_stay(make):
    daemon = make("user", forward="tcp:127.0.0.1:5001-10.0.2.15:9")
    status, answer = change_forward(daemon, "DELETE", "tcp::5001-10.0.2.15:9")
    assert status == 409 and "is configured" in answer["error"]
    status, answer = change_forward(daemon, "DELETE", "tcp::5009-10.0.2.15:9")
    assert status == 404 and "has no forward" in answer["error"]
    daemon.sections["switch island"] = {}
    reload(daemon)
    status, answer = daemon.api("POST", "/v1/switches/island/forwards", {"forward": "tcp::5001-10.0.2.15:9"})
    assert status == 400 and "has no uplink user" in answer["error"]
    assert daemon.api("GET", "/v1/switches/none/forwards")[0] == 404


def test_forward_whose_port_is_free_again(make, net):
    holder = subprocess.Popen([*net.wrapper, "python3", "-c", ECHO.replace("7))", "5001))"), "127.0.0.1"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"ready\n"
    daemon = make("user", forward="udp:127.0.0.1:5001-10.0.2.15:9")
    assert "in use" in switch(daemon)["forwards"][0]["error"]
    holder.kill()
    holder.communicate()
    reload(daemon)
    assert "error" not in switch(daemon)["forwards"][0]


def test_another_network(make):
    daemon = make("user")
    daemon.sections["switch lan"]["network"] = "10.8.0.0/24"
    assert reload(daemon) == (["switch lan: uplink = user"], [])
    with card(daemon) as guest:
        IpHost(guest, "10.8.0.15").ping("10.8.0.2")


# ---- tap ----

def call_card(net, host):
    """A program in the namespace sends the card a datagram."""
    net.run("python3", "-c", SEND, "10.9.0.5", "9", "anybody there?")
    assert host.next_datagram()[2:] == (9, b"anybody there?")


def test_tap(make, net):
    """The daemon makes the interface, and it is there again when somebody deletes it."""
    daemon = make("tap:guests")
    net.address("guests", "10.9.0.1/24")
    with card(daemon) as guest:
        host = IpHost(guest, "10.9.0.5")
        host.ping("10.9.0.1")
        call_card(net, host)
        net.run("ip", "link", "set", "guests", "down")
        wait_until(lambda: not link(daemon), "the link is down")
        net.run("ip", "link", "set", "guests", "up")
        wait_until(lambda: link(daemon), "the link is up")
        host.ping("10.9.0.1")
        net.run("ip", "link", "delete", "guests")
        wait_until(lambda: net.link("guests"), "the interface is there again")
        wait_until(lambda: link(daemon), "it has a link")
        net.address("guests", "10.9.0.1/24")
        host.neighbours.clear()
        host.ping("10.9.0.1")
        assert switch(daemon)["uplink"]["interface"] == "guests"


def test_tap_takeover(make, net):
    """The interface, with its address, outlives the daemon that made it."""
    daemon = make("tap:guests")
    net.address("guests", "10.9.0.1/24")
    before = net.link("guests")
    with card(daemon) as guest:
        host = IpHost(guest, "10.9.0.5")
        for _ in range(5):
            host.ping("10.9.0.1")
            take_over(daemon)
            call_card(net, host)
    assert net.link("guests").split(":")[0] == before.split(":")[0]
    daemon.stop()
    wait_until(lambda: net.link("guests") == "", "the kernel took the tap from io_uring, too")


def test_takeover_onto_another_tap(make, net):
    """What is handed over is the tap, not the switch's uplink, whatever that is."""
    daemon = make("tap:guests")
    daemon.sections["switch lan"]["uplink"] = "tap:others"
    daemon.write_config()
    take_over(daemon)
    wait_until(lambda: net.link("guests") == "" and net.link("others"), "one tap is gone, the other there")
    net.address("others", "10.9.0.1/24")
    with card(daemon) as guest:
        IpHost(guest, "10.9.0.5").ping("10.9.0.1")


def test_another_offload_for_the_same_tap(make_daemon, net):
    daemon = make_daemon({**sections("tap:guests"), "daemon": {"workers": 1, "sandbox": "no"}}, wrapper=net.wrapper)
    net.address("guests", "10.9.0.1/24")
    daemon.sections["switch lan"]["offload"] = "no"
    assert reload(daemon) == (["switch lan: uplink = tap:guests"], [])
    with card(daemon) as guest:
        IpHost(guest, "10.9.0.5").ping("10.9.0.1")


# ---- packet ----

@pytest.fixture
def veth(net):
    """Two ends of a cable, both in the namespace: `card0` for the switch, `wire0` in a namespace inside is its peer."""
    with NetNamespace() as peer:
        net.run("ip", "link", "add", "card0", "type", "veth", "peer", "name", "wire0", "netns", str(peer.pid))
        net.run("ip", "link", "set", "card0", "up")
        peer.address("wire0", "10.9.0.1/24")
        yield peer


def test_packet(make, net, veth):
    daemon = make("packet:card0")
    with card(daemon) as guest:
        host = IpHost(guest, "10.9.0.5")
        host.ping("10.9.0.1")
        call_card(veth, host)
        for _ in range(3):
            take_over(daemon)
            host.ping("10.9.0.1")
        # A cable that is pulled, and an interface that disappears.
        veth.run("ip", "link", "set", "wire0", "down")
        wait_until(lambda: not link(daemon), "the link is down")
        net.run("ip", "link", "delete", "card0")
        daemon.wait_line("looking for it")
        gone = switch(daemon)["uplink"]
        assert gone["error"] == "uplink packet:card0: the interface is gone" and gone["retry_s"] == 1
        net.run("ip", "link", "add", "card0", "type", "veth", "peer", "name", "wire0", "netns", str(veth.pid))
        net.run("ip", "link", "set", "card0", "up")
        veth.address("wire0", "10.9.0.1/24")
        wait_until(lambda: link(daemon), "the link is up")
        host.neighbours.clear()
        host.ping("10.9.0.1")


def test_packet_without_interface(make, net, veth):
    daemon = make("packet:card9")
    keep_rights(daemon)
    assert "there is no such interface" in switch(daemon)["uplink"]["error"]
    daemon.sections["switch lan"]["uplink"] = "packet:card0"
    assert reload(daemon) == (["switch lan: uplink = packet:card0"], [])
    with card(daemon) as guest:
        IpHost(guest, "10.9.0.5").ping("10.9.0.1")
    # What cannot be had does not cost what there is, and is said again until it is mended.
    daemon.sections["switch lan"]["uplink"] = "packet:card9"
    for _ in range(2):
        changes, refused = reload(daemon)
        assert changes == [] and "there is no such interface" in refused[0]
    assert "there is no such interface" in switch(daemon)["uplink"]["error"]
    with card(daemon) as guest:
        IpHost(guest, "10.9.0.5").ping("10.9.0.1")


# ---- vxlan ----

BOB = mac("52:54:00:00:00:02")


@pytest.fixture
def two_hosts(net, veth, tmp_path):
    """Two daemons, each in a namespace of its own, on one wire; Alice is on the first, Bob on the second."""
    net.address("card0", "10.9.0.2/24")
    made = []
    try:
        for guest, namespace, number, address in ("alice", net, 1, "10.9.0.2"), ("bob", veth, 2, "10.9.0.1"):
            keys = {"uplink": "vxlan", "vni": 42, "local": address, "peers": "10.9.0.1, 10.9.0.2"}
            (tmp_path / guest).mkdir()
            made.append(Daemon({"daemon": {"workers": 1}, f"guest {guest}": {}, "switch lan": keys,
                                f"nic {guest}/eth0": {"switch": "lan", "mac": f"52:54:00:00:00:0{number}"}},
                               tmp_path / guest, wrapper=namespace.wrapper))
            made[-1].start()
        yield made
    finally:
        for instance in made:
            instance.finish()


def test_one_network_over_two_hosts(two_hosts):
    first, second = two_hosts
    with card(first) as alice, Card(second.runtime / "bob" / "nic-eth0.sock", BOB) as bob:
        one, other = IpHost(alice, "10.1.0.1"), IpHost(bob, "10.1.0.2")

        def exchange():
            for source, target, name in (one, other, "10.1.0.2"), (other, one, "10.1.0.1"):
                source.neighbours[sockets.inet_aton(name)] = target.card.address
                source.send_datagram(name, 9, b"from the other host")
                assert target.next_datagram().payload == b"from the other host"

        exchange()
        for daemon in first, second:
            take_over(daemon)
            exchange()
        # Another network on the same port: the socket is kept, and the peer is in the other network now.
        first.sections["switch lan"]["vni"] = 43
        assert reload(first) == (["switch lan: uplink = vxlan"], [])
        one.send_datagram("10.1.0.2", 9, b"lost")
        wait_until(lambda: switch(second)["uplink"]["lost"]["other_vni"] > 0, "the frame came in the other network")
        first.sections["switch lan"]["vni"] = 42
        reload(first)
        exchange()
        assert not other.datagrams


def test_a_takeover_that_would_lose_the_uplink(make, net):
    """The predecessor goes on."""
    daemon = make("vxlan", vni=42, peers="192.0.2.2")
    daemon.sections["switch lan"]["local"] = "192.0.2.77"
    daemon.write_config()
    successor = daemon.spawn("--takeover", stderr=subprocess.PIPE)
    assert "does not have the address 192.0.2.77" in successor.communicate()[1].decode()
    assert successor.returncode == 1
    daemon.wait_line("going on")
    wait_until(lambda: link(daemon), "the uplink is there")


def test_vxlan_from_another_address(make, net):
    daemon = make("vxlan", vni=42, peers="192.0.2.2")
    daemon.sections["switch lan"]["local"] = "192.0.2.1"
    assert reload(daemon) == (["switch lan: uplink = vxlan"], [])


def test_switch_with_another_name(make, net):
    """The port of the one that goes is free for the one that comes."""
    daemon = make("vxlan", vni=42, peers="192.0.2.2")
    daemon.sections["switch wan"] = daemon.sections.pop("switch lan")
    daemon.sections["nic alice/eth0"]["switch"] = "wan"
    changes, refused = reload(daemon)
    assert refused == [] and {"switch wan: added", "switch lan: removed"} <= set(changes)
    assert "error" not in switch(daemon, "wan")["uplink"]


def test_switch_whose_section_comes_back(make, net):
    daemon = make("user")
    with card(daemon) as guest:
        host = IpHost(guest, "10.0.2.15")
        host.ping("10.0.2.2")
        kept = {name: daemon.sections.pop(name) for name in ("switch lan", "nic alice/eth0")}
        reload(daemon)
        daemon.sections |= kept
        changes, _ = reload(daemon)
        assert "switch lan: uplink = user" in changes
    with card(daemon) as guest:
        IpHost(guest, "10.0.2.15").ping("10.0.2.2")


def test_vxlan_port_that_is_taken(make, net):
    net.run("ip", "link", "add", "kernel0", "type", "vxlan", "id", "42", "dstport", "4789", "local", "192.0.2.1")
    net.run("ip", "link", "set", "kernel0", "up")
    daemon = make("vxlan", vni=42, peers="192.0.2.2")
    assert "has UDP port 4789" in switch(daemon)["uplink"]["error"]
    daemon.sections["switch lan"]["port"] = 4790
    assert reload(daemon) == (["switch lan: uplink = vxlan"], [])
    daemon.sections["switch lan"]["local"] = "192.0.2.77"
    assert "does not have the address 192.0.2.77" in reload(daemon)[1][0]


def test_rights_are_given_up(make, net, veth):
    """In builds with a sandbox, what needs rights cannot be opened later."""
    daemon = make("none")
    daemon.sections["switch lan"]["uplink"] = "packet:card0"
    changes, refused = reload(daemon)
    sandboxed = "Seccomp:\t2" in pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
    assert bool(refused) == sandboxed
    if sandboxed:
        assert "restart, or take over" in refused[0]
        daemon.sections["switch lan"]["uplink"] = "user"
        assert "allows no sockets" in reload(daemon)[1][0]
        daemon.sections["switch lan"]["uplink"] = "packet:card0"
        daemon.write_config()
        take_over(daemon)
    with card(daemon) as guest:
        IpHost(guest, "10.9.0.5").ping("10.9.0.1")


# ---- links, tables ----

def test_link_of_a_card(make_daemon):
    daemon = make_daemon(sections("none"))

    def nic():
        return daemon.api("GET", "/v1/devices/nic/alice/eth0")[1]

    assert nic()["link"]
    assert daemon.api("PATCH", "/v1/nics/alice/eth0", {"link": False})[1]["link"] is False
    daemon.restart()
    assert not nic()["link"]
    daemon.api("PATCH", "/v1/nics/alice/eth0", {"link": True})
    daemon.sections["nic alice/eth0"]["link"] = "no"
    assert reload(daemon) == ([], [])
    assert nic()["link"]
    assert daemon.api("PATCH", "/v1/nics/alice/eth0", {"link": None})[1]["link"] is False
    status, answer = daemon.api("PATCH", "/v1/nics/alice/eth0", {"link": 1})
    assert status == 400 and "true, false, or null" in answer["error"]
    assert daemon.api("PATCH", "/v1/nics/alice/eth9", {"link": True})[0] == 404


def test_state_that_is_none(make_daemon):
    daemon = make_daemon(sections("none"), start=False)
    (daemon.folder / "state").mkdir()
    (daemon.folder / "state" / "network.json").write_text('{"links": [1]}')
    daemon.start()
    daemon.wait_line("network.json.bad")
    assert daemon.api("GET", "/v1/devices/nic/alice/eth0")[1]["link"]


def test_table(make_daemon):
    daemon = make_daemon(sections("none"))
    daemon.sections["nic alice/eth0"]["learn"] = "yes"
    reload(daemon)
    with card(daemon) as guest:
        guest.address = mac("52:54:00:00:00:77")
        guest.send(mac("52:54:00:00:00:01"), b"from a nested guest")
        shown = switch(daemon)
    assert [port["name"] for port in shown["ports"]] == ["alice/eth0"]
    table = {entry["mac"]: entry for entry in shown["table"]}
    assert table["52:54:00:00:00:01"] == {"mac": "52:54:00:00:00:01", "port": "alice/eth0", "learned": False}
    assert table["52:54:00:00:00:77"] == {"mac": "52:54:00:00:00:77", "port": "alice/eth0", "learned": True,
                                          "vlan": 0, "age_s": table["52:54:00:00:00:77"]["age_s"]}
