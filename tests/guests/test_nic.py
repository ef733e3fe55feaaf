# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own kernels on a switch: they reach each other, and nobody reaches them under a false name."""
import os
import re

import pytest

import qemu

# How often the daemon is taken over, and killed; the promise is tested with 100, an ordinary run with fewer.
TAKEOVERS = int(os.environ.get("VIADUCT_TAKEOVERS", "6"))

MACS = {"alice": "52:54:00:00:00:01", "bob": "52:54:00:00:00:02"}
ADDRESSES = {"alice": "10.9.0.1", "bob": "10.9.0.2"}
CSUM, TSO4 = 0, 11      # virtio 1.2, 5.1.3: what the driver may leave to the device


def sections(**more):
    result = {"switch lan": {}}
    for guest, mac in MACS.items():
        result |= {f"guest {guest}": {}, f"nic {guest}/eth0": {"switch": "lan", "mac": mac, **more}}
    return result


@pytest.fixture
def boot(viaductd, machine):
    """boot(**keys of the cards) -> the daemon, Alice and Bob, with their addresses."""
    def start(kernel="cloud", mtu=1500, queues=1, **more):
        daemon = viaductd({"daemon": {"state_dir": "FOLDER/state", "workers": queues},
                           **sections(mtu=mtu, queues=queues, **more)})
        guests = []
        for name, mac in MACS.items():
            guest = machine([qemu.Nic(daemon.socket(f"{name}/eth0", "nic"), mac, mtu=mtu, queues=queues)], name=name,
                            kernel=kernel, cpus=queues)
            set_address(guest)
            guests.append(guest)
        return daemon, *guests

    return start


def set_address(guest):
    guest.run(f"ip link set lo up; ip addr add {ADDRESSES[guest.name]}/24 dev eth0; ip link set eth0 up")


def ping(guest, to, count=3):
    return guest.run(f"ping -q -c {count} -W 60 {ADDRESSES[to]}")


def reach(guest, to):
    """The network is there again; until then frames are lost."""
    guest.run(f"until ping -q -c 1 -W 1 {ADDRESSES[to]} >/dev/null; do sleep 0.1; done")


def send_file(source, sink, mebibytes):
    """A file of random bytes through TCP; returns whether it arrived whole."""
    # The sink's nc never sees an end of its input, after which it would tell the source to go.
    sink.run("rm -f /tmp/hold; mkfifo /tmp/hold; "
             "(exec 3<>/tmp/hold; nc -l -p 4000 <&3 >/tmp/got; touch /tmp/over) >/dev/null 2>&1 &")
    source.run(f"dd if=/dev/urandom of=/tmp/file bs=1M count={mebibytes} 2>/dev/null")
    source.run(f"until nc {ADDRESSES[sink.name]} 4000 </tmp/file; do sleep 0.1; done")
    sink.run("until [ -e /tmp/over ]; do sleep 0.1; done; rm /tmp/over")
    return source.run("sha256sum </tmp/file") == sink.run("sha256sum </tmp/got")


@pytest.mark.parametrize("kernel, mtu, offload", [("generic", 9000, "yes"), ("cloud", 1500, "no"),
                                                  *qemu.long_only(("cloud", 1500, "yes"))])
def test_two_guests(boot, kernel, mtu, offload):
    daemon, alice, bob = boot(kernel, mtu=mtu, checksum=offload)
    features = alice.run("cat /sys/class/net/eth0/device/features")
    assert features[CSUM] == features[TSO4] == ("1" if offload == "yes" else "0")
    assert alice.run("cat /sys/class/net/eth0/mtu") == str(mtu)
    ping(alice, "bob")
    assert send_file(alice, bob, 8)
    assert send_file(bob, alice, 8)
    card = daemon.device("alice/eth0", "nic")
    assert card["sent"]["bytes"] > 8 << 20 and card["received"]["bytes"] > 8 << 20
    # A kernel's own multicasts find nobody, and a slow guest may lose frames; nothing else was refused.
    assert [reason for reason, count in card["dropped"].items() if count and reason not in ("unknown", "full")] == []


def test_many_queues(boot):
    """Each of the guest's processors has a pair of queues, on workers of their own; IPv6 works as well."""
    daemon, alice, bob = boot(queues=2)
    assert alice.run("ls /sys/class/net/eth0/queues").split() == ["rx-0", "rx-1", "tx-0", "tx-1"]
    assert daemon.device("alice/eth0", "nic")["queues_running"] == 4
    alice.run("until ping6 -q -c 1 -W 1 fe80::5054:ff:fe00:2%eth0 >/dev/null; do sleep 0.1; done; "
              "ping6 -q -c 3 -W 60 fe80::5054:ff:fe00:2%eth0")
    for _ in range(3):
        assert send_file(alice, bob, 4)
        assert send_file(bob, alice, 4)


def test_false_names(boot):
    daemon, alice, bob = boot(allowed_ips="10.9.0.0/30")
    ping(alice, "bob", 1)
    alice.run("ip addr add 10.9.0.77/24 dev eth0")
    status, _ = alice.try_run(f"ping -q -c 2 -W 2 -I 10.9.0.77 {ADDRESSES['bob']}")
    assert status != 0
    assert daemon.device("alice/eth0", "nic")["dropped"]["guard"] >= 2
    alice.run("ip link set eth0 address 52:54:00:00:00:99")
    status, _ = alice.try_run(f"ping -q -c 2 -W 2 {ADDRESSES['bob']}")
    assert status != 0
    assert daemon.device("alice/eth0", "nic")["dropped"]["source"] >= 1
    alice.run(f"ip link set eth0 address {MACS['alice']}")
    ping(alice, "bob", 1)


def test_reboot_and_restart(boot):
    """A guest that boots again on the same connection, and a daemon that is killed: the network is there again."""
    daemon, alice, bob = boot()
    ping(alice, "bob", 1)
    alice.reset()
    set_address(alice)
    reach(alice, "bob")
    daemon.kill()
    daemon.start()
    reach(alice, "bob")
    reach(bob, "alice")
    assert send_file(bob, alice, 2)


def wait_replies(guest, count):
    guest.run(f"until [ $(grep -c 'bytes from' /tmp/pings) -ge {count} ]; do sleep 0.05; done")


def test_takeovers_and_restarts_under_traffic(boot):
    """A takeover is no more than a lost packet, and the link stays up; QEMU itself takes it down while there is no daemon."""
    daemon, alice, bob = boot()
    ping(alice, "bob", 1)
    changes = alice.run("cat /sys/class/net/eth0/carrier_changes")
    # The next goes out when the last one came back, or after the seconds that a takeover may take at most.
    alice.run(f"ping -A -W 10 {ADDRESSES['bob']} >>/tmp/pings 2>&1 & echo $! >/tmp/ping.pid")
    for _ in range(TAKEOVERS):
        daemon.take_over()
        # Behind the takeover; and the guest has no room for hundred thousands of them.
        alice.run(": >/tmp/pings")
        wait_replies(alice, 5)
    assert alice.run("cat /sys/class/net/eth0/carrier_changes") == changes
    alice.run("kill -INT $(cat /tmp/ping.pid); until grep -q received /tmp/pings; do sleep 0.05; done")
    sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) packets received",
                                        alice.run("cat /tmp/pings | tail -3")).groups())
    print(f"{TAKEOVERS} takeovers: {sent - received} of {sent} packets lost")
    assert sent - received <= TAKEOVERS
    for _ in range(max(1, TAKEOVERS // 3)):
        daemon.kill()
        daemon.start()
        reach(alice, "bob")
    reach(bob, "alice")
    assert send_file(alice, bob, 2)
