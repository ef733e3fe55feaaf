# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's newer kernels, nvme-cli and fio on devices made of registers, as many as sixteen, in one guest and one boot."""
import json
import re

import pytest

import guest_image
import qemu
import tools_disk
from test_uplink import DHCP_SCRIPT, fetch, net, upload  # pylint: disable=unused-import

SIZE_MIB = 16
# Blocks of all sizes at random places of every disk at once, each with a sum of itself; then all are read again.
FIO = ("fio --minimal --thread --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite --bsrange=512-64k --blockalign=512 "
       "--size={size}m --io_size={io}m --verify=crc32c --verify_fatal=1 --do_verify=1 --group_reporting {jobs}")


@pytest.fixture
def tools(tmp_path):
    return tools_disk.make(tmp_path)


@pytest.fixture
def boot(viaductd, machine, program, net, tools):
    """boot(kernel, append, disks, cards) -> the daemon, and Alice, whose first disk has the tools."""
    def start(kernel, append, disks, cards):
        daemon = viaductd({
            "pool main": {"path": "FOLDER/main.pool", "size": "1G"}, "guest alice": {}, "switch lan": {"uplink": "user"},
            **{f"disk alice/{name}": {"pool": "main", "size": f"{SIZE_MIB if name != 'd0' else tools_disk.IMAGE_MIB}M",
                                      "model": "nvme", "serial": name} for name in disks},
            **{f"nic alice/{name}": {"switch": "lan", "mac": mac, "model": "e1000e"} for name, mac in cards.items()},
        }, wrapper=net.wrapper)
        daemon.command("disk", "import", "alice/d0", str(tools), "--format", "raw", "--overwrite")
        functions = [qemu.Function(daemon.socket(f"alice/{name}"), name=name) for name in disks]
        functions += [qemu.Function(daemon.socket(f"alice/{name}", "nic"), name=name) for name in cards]
        guest = machine(functions, kernel=kernel, program=program, append=append, memory_mib=384,
                        initramfs=guest_image.initramfs(kernel, "nvme", "e1000e"))
        return daemon, guest

    return start


def by_serial(guest, count):
    """{serial: block device}; all controllers are there when it returns."""
    guest.run(f"until [ $(ls -d /dev/nvme*n1 | wc -l) = {count} ]; do usleep 50000; done")
    text = guest.run("for c in /sys/class/nvme/nvme*; do echo $(cat $c/serial) /dev/$(basename $c)n1; done")
    return dict(line.split() for line in text.splitlines())


def nvme(guest, words):
    """What nvme-cli prints as JSON."""
    return json.loads(guest.run(f"/tools/run nvme {words} -o json"))


def look_with_nvme_cli(guest, disk):
    """What the tool that administrators use asks a controller, and what it is told."""
    controller = disk.removesuffix("n1")
    identity = nvme(guest, f"id-ctrl {controller}")
    assert (identity["mn"].strip(), identity["sn"].strip()) == ("Viaduct NVMe disk", "d1")
    space = nvme(guest, f"id-ns {disk}")
    assert space["nsze"] * 512 == SIZE_MIB << 20
    health = nvme(guest, f"smart-log {controller}")
    assert int(health["critical_warning"]) == int(health["media_errors"]) == 0
    # The log of errors has as many entries as the controller says.
    assert len(nvme(guest, f"error-log {controller}")["errors"]) <= identity["elpe"] + 1
    assert "Current value:" in guest.run(f"/tools/run nvme get-feature {controller} -f 7")
    # Two of the optional commands: the controller says of each whether it has it, and does as it says.
    for bit, command in (1, f"format {disk} -f -l 0"), (4, f"device-self-test {controller} -n 1 -s 1"):
        status, said = guest.try_run(f"/tools/run nvme {command}")
        assert (status == 0) == bool(identity["oacs"] >> bit & 1), f"{command}: {said}"


def verify_with_fio(guest, disks):
    jobs = " ".join(f"--name=j{number} --filename={disk}" for number, disk in enumerate(disks))
    guest.run("/tools/run " + FIO.format(size=SIZE_MIB, io=4, jobs=jobs))
    assert guest.disk_errors() == ""


def reach_the_world(guest, network, card):
    """An address by DHCP, an echo, and streams both ways whose bytes are compared."""
    guest.put("/tmp/dhcp", DHCP_SCRIPT)
    guest.run(f"chmod +x /tmp/dhcp; ip link set lo up; ip link set {card} up; udhcpc -q -n -t 30 -i {card} -s /tmp/dhcp")
    assert "0% packet loss" in guest.run("ping -q -c 3 -W 60 10.0.2.2")
    fetch(guest, "192.0.2.1")
    upload(guest, network, "192.0.2.1")
    assert guest.run(f"cd /sys/class/net/{card}/statistics; grep -v ^0 *_errors || true") == ""


# Interrupts by pins only as long as no two devices share one: what an emulated guest has read before QEMU hears of the pin
# is an interrupt that QEMU goes on with until the guest touches that device again.
@pytest.mark.parametrize("kernel, least, append, count", [("trixie", (6, 12), "pci=nomsi", 2), ("forky", (7, 0), "", 8)])
def test_devices_of_a_newer_kernel(boot, net, kernel, least, append, count):
    names = [f"d{number}" for number in range(count)]
    macs = {f"eth{number}": f"52:54:00:00:01:{number:02x}" for number in range(count)}
    daemon, guest = boot(kernel, append, names, macs)
    assert tuple(map(int, re.match(r"(\d+)\.(\d+)", guest.run("uname -r")).groups())) >= least
    disks = by_serial(guest, count)
    assert sorted(disks) == names
    cards = dict(line.split() for line in guest.run(
        "cd /sys/class/net; for card in eth*; do echo $(cat $card/address) $card; done").splitlines())
    assert sorted(cards) == sorted(macs.values())
    guest.run(f"mkdir -p /tools; mount -t ext4 -o ro {disks.pop('d0')} /tools")
    look_with_nvme_cli(guest, disks["d1"])
    verify_with_fio(guest, disks.values())
    reach_the_world(guest, net, cards[macs["eth1"]])
    interrupts = guest.run("grep -E 'nvme|eth' /proc/interrupts")
    assert ("MSI" in interrupts) == (append == ""), interrupts
    assert "nobody cared" not in guest.run("dmesg")
    assert all(device["connects"] == 1 for device in daemon.status()["devices"] if device["name"] != "alice/d0")
