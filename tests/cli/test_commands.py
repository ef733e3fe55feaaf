# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands against the fake API: what they send, and what they make of the answers."""

import json
import os
import pty
import re
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

GIB = 1 << 30

DISK = {
    "name": "alice/root", "guest": "alice", "kind": "disk", "socket": "/run/viaduct/alice/disk-root.sock", "pool": "main",
    "size_bytes": 4 * GIB, "read_only": False, "connected": True, "model": "nvme", "queues": 16, "broken": False, "features": "0x1",
    "errors": 0, "refused": 12345, "violations": {"descriptor loop": 2, "bad index": 1},
    "operations": {
        "read": {"operations": 10, "bytes": 40960, "latency_ns": {"p50": 12300, "p99": 4500000, "mean": 20000}},
        "write": {"operations": 0, "bytes": 0, "latency_ns": {"p50": 0, "p99": 0, "mean": 0}},
    },
}
IDLE = {**DISK, "name": "bob/data", "connected": False, "refused": 0, "violations": {}}
NIC = {"name": "bob/eth0", "guest": "bob", "kind": "nic", "switch": "lan", "mtu": 1500, "connected": True}
BROKEN = {**DISK, "name": "carol/x", "broken": True}
MISSING = {**DISK, "name": "dave/x", "connected": False, "error": "the pool is damaged"}
POOL = {
    "name": "main", "path": "/var/lib/viaduct/main.pool", "available": True, "total_bytes": 8 * GIB,
    "metadata_bytes": 1 << 20, "used_bytes": 4 * GIB, "free_bytes": 4 * GIB - (1 << 20),
    "map": [
        {"offset_bytes": 1 << 20, "length_bytes": 4 * GIB, "owner": "alice/root", "disk_offset_bytes": 0,
         "written_bytes": 65536},
        {"offset_bytes": (1 << 20) + 4 * GIB, "length_bytes": 4 * GIB - (1 << 20), "owner": None},
    ],
}


def columns_align(text):
    """Each line's cells begin or end where the title's do: no line is longer than the widest would allow."""
    lines = text.splitlines()
    starts = [match.start() for match in re.finditer(r"(?:^|(?<=  ))\S", lines[0])]
    return len(lines) > 1 and len(starts) > 2


def test_status_table(viaduct, api):
    api.answer("GET", "/v1/status", {"devices": [DISK, IDLE, BROKEN, MISSING]})
    result = viaduct("status")
    assert result.code == 0 and "\033" not in result.out
    lines = result.out.splitlines()
    assert columns_align(result.out)
    assert re.match(r"alice/root +disk +nvme +connected +4 GiB +main +- +40 KiB +0 +12\.3 us / 4\.5 ms +- +0 +12 345 +3$", lines[1])
    assert "waiting" in lines[2] and "broken" in lines[3] and "the pool is damaged" in lines[4]
    # Numbers end under the end of their title.
    for line in lines[1:]:
        assert len(line) == len(lines[0])


SHARE = {"weight": 300, "min_iops": 500, "max_iops": 2000, "min_bandwidth": 0, "max_bandwidth": 10 << 20, "burst": 10,
         "latency_target_us": 0}


def test_status_shows_shares(viaduct, api):
    api.answer("GET", "/v1/status", {"devices": [
        {**DISK, "share": SHARE}, {**IDLE, "share": {**SHARE, "min_iops": 0, "max_iops": 0}},
        {**NIC, "share": {"weight": 50, "min_bandwidth": 1 << 20, "max_bandwidth": 0, "max_pps": 7000}},
        {**IDLE, "share": {"weight": 100}, "share_error": "the reservation is 50 % of the disk's time"},
    ]})
    lines = viaduct("status").out.splitlines()
    assert " 300 min 500/s max 2 000/s, 10 MiB/s " in lines[1]
    assert " 300 max 10 MiB/s " in lines[2]
    assert " 50 min 1 MiB/s max 7 000/s " in lines[3]
    assert " 100, no reservation " in lines[4]


SHOWN = """\
SETTING            VALUE
weight               300
min_iops             500
max_iops           2 000
min_bandwidth       none
max_bandwidth   10 MiB/s
burst              10 ms
latency_target      none
"""


def test_disk_set(viaduct, api):
    api.answer("GET", "/v1/disks/alice/root", {**DISK, "share": SHARE})
    api.answer("PATCH", "/v1/disks/alice/root", {**DISK, "share": SHARE})
    assert viaduct("disk", "set", "alice/root").out == SHOWN
    assert json.loads(viaduct("disk", "set", "alice/root", "--json").out) == SHARE
    words = ["weight=300", "min_iops=default", "max_iops=none", "min_bandwidth=1.5M", "max_bandwidth=4096", "burst=0",
             "latency_target=700"]
    assert viaduct("disk", "set", "alice/root", *words).out == SHOWN
    assert [request[:2] for request in api.requests] == [("GET", "/v1/disks/alice/root")] * 2 + [("PATCH", "/v1/disks/alice/root")]
    assert api.requests[2][2] == {"weight": 300, "min_iops": None, "max_iops": 0, "min_bandwidth": 3 << 19,
                                  "max_bandwidth": 4096, "burst": 0, "latency_target_us": 700}


def test_guest_and_group_set(viaduct, api):
    share = {f"disk_{key}": value for key, value in SHARE.items() if key != "latency_target_us"}
    for kind in "guest", "group":
        api.answer("PATCH", f"/v1/{kind}s/x", {"name": "x", "share": share, "share_error": "no room"})
        result = viaduct(kind, "set", "x", "disk_weight=5")
        assert result.code == 0 and "latency" not in result.out and "not as asked for: no room" in result.out
        assert "disk_max_bandwidth  10 MiB/s" in result.out and not result.err
        old = viaduct(kind, "set", "x", "weight=6")
        assert old.code == 0 and "weight is called disk_weight now" in old.err
    assert [request[2] for request in api.requests] == [{"disk_weight": 5}, {"disk_weight": 6}] * 2


SHARE_OF_NIC = {"weight": 50, "min_bandwidth": 0, "max_bandwidth": 10 << 20, "max_pps": 70000, "burst": 10}
SHOWN_NIC = """\
SETTING           VALUE
weight               50
min_bandwidth      none
max_bandwidth  10 MiB/s
max_pps          70 000
burst             10 ms
"""


def test_nic_set(viaduct, api):
    nic = {"name": "alice/eth0", "share": SHARE_OF_NIC}
    api.answer("GET", "/v1/devices/nic/alice/eth0", nic)
    api.answer("PATCH", "/v1/nics/alice/eth0", nic)
    assert viaduct("nic", "set", "alice/eth0").out == SHOWN_NIC
    assert json.loads(viaduct("nic", "set", "alice/eth0", "--json").out) == SHARE_OF_NIC
    words = ["weight=default", "min_bandwidth=1.5M", "max_bandwidth=none", "max_pps=70000", "burst=0"]
    assert viaduct("nic", "set", "alice/eth0", *words).out == SHOWN_NIC
    assert api.requests[-1] == ("PATCH", "/v1/nics/alice/eth0", {"weight": None, "min_bandwidth": 3 << 19, "max_bandwidth": 0,
                                                                 "max_pps": 70000, "burst": 0})


def test_a_guest_has_two_shares(viaduct, api):
    """Every setting of both in one command."""
    share = {f"disk_{key}": value for key, value in SHARE.items() if key != "latency_target_us"}
    share.update({f"nic_{key}": value for key, value in SHARE_OF_NIC.items()})
    api.answer("PATCH", "/v1/guests/x", {"name": "x", "share": share})
    result = viaduct("guest", "set", "x", *(f"{key}={value}" for key, value in share.items()))
    assert result.code == 0 and not result.err
    assert [line.split()[0] for line in result.out.splitlines()[1:]] == [
        "disk_weight", "disk_min_iops", "disk_max_iops", "disk_min_bandwidth", "disk_max_bandwidth", "disk_burst",
        "nic_weight", "nic_min_bandwidth", "nic_max_bandwidth", "nic_max_pps", "nic_burst"]
    assert api.requests[-1][2] == share


def test_json_is_the_api_answer(viaduct, api):
    api.answer("GET", "/v1/status", {"devices": [DISK], "zebra": 1, "ape": 2})
    api.answer("GET", "/v1/pools/main", POOL)
    api.answer("GET", "/v1/pools", {"pools": [POOL]})
    api.answer("GET", "/v1/disks", {"disks": [DISK]})
    assert json.loads(viaduct("status", "--json").out) == {"devices": [DISK], "zebra": 1, "ape": 2}
    assert json.loads(viaduct("--json", "pool", "show", "main").out) == POOL
    assert json.loads(viaduct("pool", "list", "--json").out) == {"pools": [POOL]}
    assert json.loads(viaduct("--json", "disk", "list").out) == {"disks": [DISK]}


def test_pool_show(viaduct, api):
    api.answer("GET", "/v1/pools/main", POOL)
    result = viaduct("pool", "show", "main")
    assert result.code == 0
    picture = re.search(r"\[([a-z.]+)\]", result.out).group(1)
    assert picture == "a" * 33 + "." * 31  # the pool's first MiB is metadata: alice reaches into the 33rd part
    assert "a = alice" in result.out
    assert re.search(r"0x100000 +0x100100000 +4 GiB +alice/root +0 +64 KiB", result.out)
    assert "(free)" in result.out


def test_pool_list_with_a_damaged_pool(viaduct, api):
    api.answer("GET", "/v1/pools", {"pools": [POOL, {"name": "old", "path": "/dev/x", "available": False,
                                                     "error": "checksum of the header"}]})
    result = viaduct("pool", "list")
    assert "8 GiB" in result.out and "/dev/x: checksum of the header" in result.out


def test_disk_create(viaduct, api):
    api.answer("POST", "/v1/disks", lambda body: (201, {**DISK, **body}))
    result = viaduct("disk", "create", "alice/root", "--pool", "main", "--size", "1.5G")
    assert result.code == 0 and result.out == "created alice/root (1.5 GiB)\n"
    assert api.requests == [("POST", "/v1/disks", {"name": "alice/root", "pool": "main", "size_bytes": 3 * GIB // 2})]


def test_disk_resize_absolute_and_relative(viaduct, api):
    api.answer("GET", "/v1/disks/alice/root", DISK)
    api.answer("PATCH", "/v1/disks/alice/root", lambda body: (200, {**DISK, **body}))
    assert "8 GiB" in viaduct("disk", "resize", "alice/root", "--size", "8G").out
    assert "5 GiB" in viaduct("disk", "resize", "alice/root", "--size=+1G").out
    assert [r[2] for r in api.requests if r[0] == "PATCH"] == [{"size_bytes": 8 * GIB}, {"size_bytes": 5 * GIB}]


def test_disk_rename_and_delete(viaduct, api):
    api.answer("PATCH", "/v1/disks/alice/root", lambda body: (200, {**DISK, **body}))
    api.answer("DELETE", "/v1/disks/alice/root", {"deleted": "alice/root"})
    assert viaduct("disk", "rename", "alice/root", "bob/old").out == "renamed to bob/old (4 GiB)\n"
    assert viaduct("disk", "delete", "alice/root", "--yes").out == "deleted alice/root\n"
    assert api.requests[0][2] == {"name": "bob/old"}


@pytest.mark.parametrize("status, sentence", [
    (400, "size_bytes must be more than 0"), (404, "there is no disk 'alice/root'"),
    (409, "alice/root is connected; stop its guest first"), (507, "5 GiB wanted, 3 GiB free"),
])
def test_the_daemons_sentence_is_shown(viaduct, api, status, sentence):
    api.answer("PATCH", "/v1/disks/alice/root", {"error": sentence}, status)
    result = viaduct("disk", "resize", "alice/root", "--size", "8G")
    assert result.code == 1
    assert result.err == f"viaduct disk resize: {sentence}\n"


def test_odd_answers(viaduct, api):
    api.answer("GET", "/v1/status", b"<html>")
    result = viaduct("status")
    assert result.code == 1 and "no JSON" in result.err
    api.answer("GET", "/v1/status", b"<html>", 500)
    assert "HTTP status 500" in viaduct("status").err
    for answer in ({}, [], {"devices": 5}, {"devices": [None, 3, {}]}):
        api.answer("GET", "/v1/status", answer)
        assert viaduct("status").code == 0


def test_names_cannot_leave_their_place_in_the_path(viaduct, api):
    viaduct("pool", "show", "a?b#c d")
    assert api.requests[-1][1] == "/v1/pools/a%3Fb%23c%20d"


def test_reload_lists_changes_and_refusals(viaduct, api):
    api.answer("POST", "/v1/reload", {"changes": ["disk alice/root grows"], "refused": ["pool main: path changed"]})
    result = viaduct("reload")
    assert "  disk alice/root grows\n" in result.out and "not done: pool main: path changed" in result.out
    api.answer("POST", "/v1/reload", {"error": "a.conf:3: first", "errors": ["a.conf:3: first", "a.conf:5: second"]}, 422)
    result = viaduct("reload")
    assert result.code == 1 and "a.conf:3: first\n  a.conf:5: second\n" in result.err


# ---- VMMs ----

GUEST = {"name": "alice", "memory_bytes": 512 << 20, "devices": [
    {"kind": "disk", "name": "alice/root", "socket": "/run/viaduct/alice/disk-root.sock", "queues": 16},
    {"kind": "disk", "name": "alice/odd", "socket": "/run/a,b/it's&<.sock", "queues": 1},
    {"kind": "disk", "name": "alice/back", "socket": "/run/viaduct/back.sock", "socket_mode": "connect"},
    {"kind": "keyboard", "name": "alice/0", "socket": "/x"},
]}


@pytest.fixture
def guest(api):
    api.answer("GET", "/v1/guests/alice", GUEST)
    return api


def test_qemu_args(viaduct, guest):
    result = viaduct("qemu-args", "alice")
    assert result.code == 0
    words = subprocess.run(["sh", "-c", f'for word in {result.out.rstrip()}; do printf "%s\\n" "$word"; done'],
                           capture_output=True, text=True, check=True).stdout.splitlines()
    assert words[:6] == ["-m", "512M", "-object", "memory-backend-memfd,id=viaduct-memory,size=512M,share=on",
                         "-machine", "memory-backend=viaduct-memory"]
    assert "socket,id=viaduct-disk0,path=/run/viaduct/alice/disk-root.sock,reconnect=1" in words
    assert "socket,id=viaduct-disk1,path=/run/a,,b/it's&<.sock,reconnect=1" in words
    assert "socket,id=viaduct-disk2,path=/run/viaduct/back.sock,server=on,wait=on" in words
    assert len([word for word in words if word.startswith("vhost-user-blk-pci")]) == 3


@pytest.mark.parametrize("boot, order", [
    ({}, ["root", "data", "more"]), ({"data": 1}, ["data", "root", "more"]),
    ({"more": 2, "data": 7, "root": 7}, ["more", "data", "root"])])
def test_boot_order(viaduct, api, boot, order):
    """Not the order in which disks were made: a place that is given, then a disk named root, then the others."""
    devices = [{"kind": "disk", "name": f"alice/{name}", "socket": f"/run/{name}.sock", **({"boot": boot[name]} if name in boot else {})}
               for name in ("data", "more", "root")]
    api.answer("GET", "/v1/guests/alice", {"name": "alice", "memory_bytes": 512 << 20, "devices": devices})
    out = viaduct("qemu-args", "alice").out
    found = {int(place): name for name, place in re.findall(r"id=disk-(\w+),\S*bootindex=(\d+)", out)}
    assert [found[place] for place in sorted(found)] == order
    for command in "libvirt-xml", "ch-args":
        out = viaduct(command, "alice").out
        assert sorted(order, key=lambda name: out.index(f"/run/{name}.sock")) == order


def test_memory_option(viaduct, guest):
    assert "size=2048M" in viaduct("qemu-args", "alice", "--memory", "2G").out


def test_libvirt_xml_is_well_formed(viaduct, guest):
    result = viaduct("libvirt-xml", "alice")
    root = ElementTree.fromstring(f"<domain>{result.out}</domain>")
    assert root.find("memoryBacking/source").get("type") == "memfd"
    assert root.find("memoryBacking/access").get("mode") == "shared"
    disks = root.findall("devices/disk")
    assert [disk.find("source").get("path") for disk in disks][:2] == [device["socket"] for device in
                                                                      GUEST["devices"][:2]]
    assert [disk.find("target").get("dev") for disk in disks] == ["vda", "vdb", "vdc"]
    # more than a disk offers is asked for where nothing is said, and the domain does not start
    assert [disk.find("driver").get("queues") for disk in disks] == ["4", "1", "4"]
    assert disks[0].get("type") == "vhostuser" and disks[0].find("source/reconnect").get("enabled") == "yes"


def test_libvirt_takes_it(viaduct, api, tmp_path):
    """With every kind of device; what has no element stands behind its own name space."""
    devices = [*GUEST["devices"], {"kind": "display", "name": "alice/0", "socket": "/run/a,b/it's&<.sock"},
               {"kind": "nic", "name": "alice/lan", "socket": "/run/nic.sock", "mac": "52:54:00:00:00:01", "mtu": 1500, "queues": 2},
               {"kind": "console", "name": "alice/tty", "socket": "/run/tty.sock"}]
    api.answer("GET", "/v1/guests/alice", {**GUEST, "devices": devices})
    result = viaduct("libvirt-xml", "alice")
    space = "http://libvirt.org/schemas/domain/qemu/1.0"
    text = (f"<domain type='qemu' xmlns:qemu='{space}'><name>alice</name><memory>524288</memory>"
            f"<os><type arch='x86_64'>hvm</type></os>{result.out}</domain>")
    root = ElementTree.fromstring(text)
    assert root.find("devices/graphics").attrib == {"type": "dbus", "p2p": "yes"}
    arguments = [argument.get("value") for argument in root.findall(f"{{{space}}}commandline/{{{space}}}arg")]
    assert arguments == ["-chardev", "socket,id=viaduct-display,path=/run/a,,b/it's&<.sock,reconnect=1",
                         "-mon", "chardev=viaduct-display,mode=control"]
    (tmp_path / "alice.xml").write_text(text)
    subprocess.run(["virt-xml-validate", tmp_path / "alice.xml", "domain"], check=True, capture_output=True)


@pytest.mark.parametrize("version, reconnect", [("7.2.22 (Debian 1:7.2)", "reconnect=1"), ("9.1.3", "reconnect=1"),
                                                ("9.2.0", "reconnect-ms=1000"), ("11.0.50", "reconnect-ms=1000")])
def test_qemu_is_told_to_connect_again(viaduct, guest, tmp_path, version, reconnect):
    """As the version knows it: this host's, or another that is named."""
    qemu = tmp_path / f"qemu-system-{os.uname().machine}"
    qemu.write_text(f"#!/bin/sh\n[ $# = 1 ] && echo 'QEMU emulator version {version}'\n")
    qemu.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    wanted = f"path=/run/viaduct/alice/disk-root.sock,{reconnect}"
    assert wanted in viaduct("qemu-args", "alice", env=environment).out
    assert wanted in viaduct("qemu-args", "alice", "--qemu", qemu).out
    assert wanted in viaduct("run", "alice", "--accel", "tcg", "--print", env=environment).out
    failed = viaduct("qemu-args", "alice", "--qemu", "/bin/true")
    assert (failed.code, failed.err) == (1, "viaduct qemu-args: --qemu: /bin/true is no QEMU that can be run here\n")


def test_ch_args(viaduct, guest):
    out = viaduct("ch-args", "alice").out
    assert "size=512M,shared=on" in out and "vhost_user=on,socket=/run/viaduct/alice/disk-root.sock" in out


def test_guest_without_disks(viaduct, api):
    api.answer("GET", "/v1/guests/eve", {"name": "eve", "devices": []})
    result = viaduct("qemu-args", "eve")
    assert result.code == 1 and "disk create eve/root" in result.err


def test_run_print(viaduct, guest):
    result = viaduct("run", "alice", "--cpus", "2", "--accel", "tcg", "--print", "--", "-vnc", ":1", "--json")
    assert result.code == 0
    assert "-accel tcg" in result.out and "-smp 2" in result.out and "num-queues=2" in result.out
    assert "-nographic" not in result.out and "-vnc :1" in result.out and result.out.rstrip().endswith("--json")
    assert "-nographic" in viaduct("run", "alice", "--accel", "tcg", "--print").out


def test_run_with_a_display(viaduct, api):
    """On the seat, instead of a terminal's; one that the user brings comes before it."""
    display = {"kind": "display", "name": "alice/0", "socket": "/run/viaduct/alice/display-0.sock"}
    api.answer("GET", "/v1/guests/alice", {**GUEST, "devices": [display]})
    out = viaduct("run", "alice", "--accel", "tcg", "--print").out
    assert "-display dbus,p2p=yes" in out and "-nographic" not in out and "usb-tablet" in out and "-serial mon:stdio" in out
    assert "-chardev socket,id=viaduct-display,path=/run/viaduct/alice/display-0.sock,reconnect=1" in out
    assert "-mon chardev=viaduct-display,mode=control" in out
    assert "dbus" in viaduct("qemu-args", "alice").out
    assert "dbus" not in viaduct("run", "alice", "--accel", "tcg", "--print", "--", "-vnc", ":1").out


def test_arguments_of_a_virtio_display(viaduct, api):
    """For QEMU, Cloud Hypervisor, and libvirt, which has no words for it."""
    folder = "/run/viaduct/al,ice"
    devices = [{"kind": kind, "name": "alice/0", "socket": f"{folder}/{kind}-0.sock", "source": "virtio", "socket_mode": mode}
               for kind, mode in (("display", "listen"), ("keyboard", "listen"), ("tablet", "connect"))]
    api.answer("GET", "/v1/guests/alice", {**GUEST, "devices": devices})
    out = viaduct("run", "alice", "--accel", "tcg", "--print").out
    assert "-display none" in out and "-vga none" in out and "dbus" not in out and "usb-tablet" not in out
    doubled = folder.replace(",", ",,")
    for kind, device, more in (("display", "gpu", ""), ("keyboard", "input", ""), ("tablet", "input", ",server=on,wait=on")):
        assert f"-chardev socket,id=viaduct-{kind},path={doubled}/{kind}-0.sock{more}" in out
        assert f"-device vhost-user-{device}-pci,chardev=viaduct-{kind}" in out
    assert "max_outputs" not in out
    api.answer("GET", "/v1/guests/alice", {**GUEST, "devices": [{**devices[0], "scanouts": 3}]})
    assert "-device vhost-user-gpu-pci,chardev=viaduct-display,max_outputs=3" in viaduct("qemu-args", "alice").out
    api.answer("GET", "/v1/guests/alice", {**GUEST, "devices": devices})
    done = viaduct("ch-args", "alice")
    assert f"""--generic-vhost-user 'socket="{folder}/display-0.sock",virtio_id=16,queue_sizes=[64,64]'""" in done.out
    assert f"""--generic-vhost-user 'socket="{folder}/keyboard-0.sock",virtio_id=18,queue_sizes=[64,64]'""" in done.out
    assert "tablet" not in done.out and not done.err
    assert "<qemu:commandline>" in viaduct("libvirt-xml", "alice").out
    devices[0]["source"] = "vmm"
    api.answer("GET", "/v1/guests/alice", {**GUEST, "devices": devices})
    done = viaduct("ch-args", "alice")
    assert "generic" not in done.out and "has no display of its own; give it source = virtio" in done.err


def test_run_missing_kernel(viaduct, guest):
    result = viaduct("run", "alice", "--kernel", "/nonexistent")
    assert result.code == 1 and "/nonexistent: No such file" in result.err


def test_run_becomes_qemu(viaduct, guest, tmp_path):
    machine = os.uname().machine
    qemu = tmp_path / f"qemu-system-{machine}"
    qemu.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 7\n')
    qemu.chmod(0o755)
    result = viaduct("run", "alice", "--accel", "tcg", env={**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert result.code == 7
    assert "vhost-user-blk-pci" in result.out


def test_run_of_a_guest_that_runs(viaduct, api, tmp_path):
    """Two would take its devices from each other; one that has just ended still has them for a moment."""
    qemu = tmp_path / f"qemu-system-{os.uname().machine}"
    qemu.write_text("#!/bin/sh\nexit 7\n")
    qemu.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    asked = []

    def answer(busy):
        def tell(_):
            asked.append(1)
            disk = {**GUEST["devices"][0], "connected": len(asked) <= busy}
            return 200, {**GUEST, "devices": [disk]}
        return tell

    api.answer("GET", "/v1/guests/alice", answer(busy=1000))
    result = viaduct("run", "alice", "--accel", "tcg", env=environment)
    assert (result.code, result.err) == (1, "viaduct run: alice is running already (disk alice/root is connected)\n")
    assert viaduct("run", "alice", "--accel", "tcg", "--print", env=environment).code == 0
    asked.clear()
    api.answer("GET", "/v1/guests/alice", answer(busy=2))
    assert viaduct("run", "alice", "--accel", "tcg", env=environment).code == 7 and len(asked) == 3


@pytest.mark.parametrize("version, accel, starts", [("7.2.22", "tcg", False), ("10.0.2", "tcg", True), ("7.2.22", "kvm", True)])
def test_run_of_a_virtio_display_without_kvm(viaduct, api, tmp_path, version, accel, starts):
    qemu = tmp_path / f"qemu-system-{os.uname().machine}"
    qemu.write_text(f"#!/bin/sh\n[ $# = 1 ] && echo 'QEMU emulator version {version}' && exit\nexit 7\n")
    qemu.chmod(0o755)
    display = {"kind": "display", "name": "alice/0", "socket": "/nonexistent/display-0.sock", "source": "virtio"}
    api.answer("GET", "/v1/guests/alice", {**GUEST, "devices": [display]})
    result = viaduct("run", "alice", "--accel", accel, env={**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert result.code == (7 if starts else 1)
    assert ("use source = vmm in [display alice/…], or QEMU 10" in result.err) != starts


def test_run_without_access_to_a_socket(viaduct, api, tmp_path):
    """QEMU would wait for it for ever."""
    (tmp_path / "file").write_text("")
    nic = {"kind": "nic", "name": "alice/eth0", "socket": str(tmp_path / "file" / "nic.sock"), "mac": "52:54:00:00:00:01"}
    api.answer("GET", "/v1/guests/alice", {"name": "alice", "memory_bytes": 1 << 29, "devices": [nic]})
    result = viaduct("run", "alice", "--accel", "tcg")
    assert result.code == 1 and f"{nic['socket']}: Not a directory" in result.err


# ---- the terminal ----

def on_terminal(viaduct, *arguments, columns=80, env=None):
    master, slave = pty.openpty()
    import fcntl
    import struct
    import termios
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    subprocess.run([str(viaduct.program), "--runtime-dir", str(viaduct.runtime_dir), *arguments], stdout=slave,
                   env=env or {"PATH": "/usr/bin", "LC_ALL": "C.UTF-8"}, check=True, timeout=120)
    os.close(slave)
    text = b""
    try:
        while chunk := os.read(master, 65536):
            text += chunk
    except OSError:
        pass
    os.close(master)
    return text.decode()


def test_colours_only_on_a_terminal(viaduct, api):
    api.answer("GET", "/v1/status", {"devices": [DISK]})
    assert "\033[32mconnected\033[0m" in on_terminal(viaduct, "status")
    assert "\033" not in on_terminal(viaduct, "status", "--no-color")
    assert "\033" not in on_terminal(viaduct, "status", env={"NO_COLOR": "1"})
    assert "\033" not in viaduct("status").out


def test_status_fits_a_usual_terminal(viaduct, api):
    api.answer("GET", "/v1/status", {"devices": [DISK, IDLE, MISSING]})
    for columns, latency in ((80, False), (140, True)):
        lines = on_terminal(viaduct, "status", "--no-color", columns=columns).splitlines()
        assert all(len(line) <= columns for line in lines)
        assert ("p50/p99" in lines[0]) == latency


def test_narrow_terminal_cuts_long_cells(viaduct, api):
    api.answer("GET", "/v1/disks", {"disks": [{**DISK, "socket": "/run/" + "long/" * 30}]})
    lines = on_terminal(viaduct, "disk", "list", "--no-color", columns=80).splitlines()
    assert len(lines[1]) <= 80 and lines[1].endswith("…")
    assert "long/" * 30 in viaduct("disk", "list").out
