# SPDX-License-Identifier: GPL-2.0-or-later
"""What VMMs are told of devices made of registers, and which QEMU is too old for them."""

import json
import os
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

NVME = {"kind": "disk", "name": "alice/root", "socket": "/run/it's,a/<disk>.sock", "queues": 16, "model": "nvme"}


@pytest.fixture
def nvme_guest(api):
    api.answer("GET", "/v1/guests/alice", {"name": "alice", "memory_bytes": 512 << 20, "devices": [
        {"kind": "disk", "name": "alice/data", "socket": "/run/data.sock", "queues": 2}, NVME]})
    return api


def words_of(out):
    """As a shell passes them to a program."""
    return subprocess.run(["sh", "-c", f'for word in {out.rstrip()}; do printf "%s\\n" "$word"; done'],
                          capture_output=True, text=True, check=True).stdout.splitlines()


def test_nvme_arguments(viaduct, nvme_guest):
    """The socket's address is an object, which only JSON can say."""
    words = words_of(viaduct("qemu-args", "alice").out)
    device = json.loads(next(word for word in words if "vfio-user-pci" in word))
    assert device == {"driver": "vfio-user-pci", "id": "disk-root", "bootindex": 1,
                      "socket": {"type": "unix", "path": NVME["socket"]}}
    assert sum("vhost-user-blk-pci" in word for word in words) == 1

    space = "http://libvirt.org/schemas/domain/qemu/1.0"
    root = ElementTree.fromstring(f'<domain xmlns:qemu="{space}">{viaduct("libvirt-xml", "alice").out}</domain>')
    name = f"{{{space}}}"
    values = [argument.get("value") for argument in root.findall(f"{name}commandline/{name}arg")]
    assert values[0] == "-device" and json.loads(values[1]) == device
    assert len(root.findall("devices/disk")) == 1

    out = viaduct("ch-args", "alice").out
    assert "--user-device" in out and "vhost_user=on,socket=/run/data.sock" in out


def test_nvme_needs_a_newer_qemu(viaduct, nvme_guest, tmp_path):
    for version, code in ("7.2.22", 1), ("10.0.2", 1), ("10.1.0", 0), ("11.1.2", 0):
        program = tmp_path / "qemu-system-x86_64"
        program.write_text(f'#!/bin/sh\n[ "$1" != --version ] || echo "QEMU emulator version {version}"\nexit 0\n')
        program.chmod(0o755)
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        result = viaduct("run", "alice", "--accel", "tcg", env=environment)
        if code:
            assert result.code == 1 and "QEMU 10.1 or newer" in result.err and "model = virtio in [disk alice/root]" in result.err
        else:
            assert "QEMU 10.1" not in result.err


def test_all_of_them(viaduct, api):
    """Each is a PCI function; what has none beside it is as it was. A display of the daemon's leaves QEMU without its own."""
    made = {"disk": ("root", "nvme"), "nic": ("0", "e1000e"), "display": ("0", "bochs"), "keyboard": ("0", "xhci")}
    devices = [{"kind": kind, "name": f"alice/{name}", "socket": f"/run/{kind}.sock", "model": model, "mac": "02:00:00:00:00:01",
                "mtu": 1500} for kind, (name, model) in made.items()]
    devices[2]["source"] = devices[2].pop("model")
    devices.append({"kind": "tablet", "name": "alice/0", "socket": "/run/tablet.sock", "model": "virtio"})
    api.answer("GET", "/v1/guests/alice", {"name": "alice", "memory_bytes": 512 << 20, "devices": devices})
    words = words_of(viaduct("run", "alice", "--print", "--accel", "tcg").out)
    functions = [json.loads(word) for word in words if "vfio-user-pci" in word]
    assert [(one["id"], one["socket"]["path"]) for one in functions] == [
        (f"{kind}-{name}", f"/run/{kind}.sock") for kind, (name, model) in made.items()]
    assert [one.get("bootindex") for one in functions] == [1, None, None, None]
    assert [word for word in words if "vhost-user" in word] == ["vhost-user-input-pci,chardev=viaduct-tablet"]
    assert words[words.index("-display") + 1] == "none" and words[words.index("-vga") + 1] == "none"
    xml = viaduct("libvirt-xml", "alice").out
    assert xml.count("vfio-user-pci") == 4 and not any(word in xml for word in ["<disk", "<interface", "<graphics", "mode=control"])
    out = viaduct("ch-args", "alice").out
    assert out.count("socket=/run/") == 4 and out.count("--user-device") == 1 and 'socket="/run/tablet.sock"' in out


def test_root_is_where_the_guest_sees_it(viaduct, nvme_guest, tmp_path):
    (tmp_path / "kernel").touch()
    assert "root=/dev/nvme0n1" in viaduct("run", "alice", "--print", "--accel", "tcg", "--kernel", tmp_path / "kernel").out


def roms_of(words):
    """Of each PCI function, the name of the file with its ROM."""
    return {one["id"]: one["romfile"] for one in map(json.loads, (word for word in words if "vfio-user-pci" in word)) if "romfile" in one}


def test_roms_that_qemu_has(viaduct, api, tmp_path):
    """QEMU ends when it does not find one: so only those are named that are in its folders."""
    models = {"disk": "nvme", "nic": "e1000e", "display": "bochs", "keyboard": "xhci"}
    api.answer("GET", "/v1/guests/alice", {"name": "alice", "memory_bytes": 512 << 20, "devices": [
        {"kind": kind, "name": "alice/0", "socket": "/run/it.sock", "source" if kind == "display" else "model": model}
        for kind, model in models.items()]})
    folders = [tmp_path / "nowhere", tmp_path / "a b", tmp_path / "ipxe"]
    program = tmp_path / "qemu-system-x86_64"
    program.write_text('#!/bin/sh\n[ "$1" != --version ] || echo "QEMU emulator version 11.0.0"\n'
                       '[ "$*" != "-L help" ] || printf "%s\\n" ' + " ".join(f"'{folder}'" for folder in folders) + "\n")
    program.chmod(0o755)
    for folder in folders[1:]:
        folder.mkdir()
    bios = {"display-0": "vgabios-bochs-display.bin"}
    for made, wanted in ((None, {}), (folders[1] / "vgabios-bochs-display.bin", bios),
                         (folders[2] / "pxe-e1000e.rom", {**bios, "nic-0": "pxe-e1000e.rom"}),
                         (folders[1] / "efi-e1000e.rom", {**bios, "nic-0": "efi-e1000e.rom"})):
        if made:
            made.touch()
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        words = words_of(viaduct("run", "alice", "--print", "--accel", "tcg", env=environment).out)
        assert roms_of(words) == wanted
        assert roms_of(words_of(viaduct("qemu-args", "alice", "--qemu", program).out)) == wanted
        assert viaduct("libvirt-xml", "alice", "--qemu", program).out.count("romfile") == len(wanted)
    # Of a card that it does not know to be one, QEMU would make another by itself.
    assert words[words.index("-nic") + 1] == "none"


VIRTIO = {"disk": "root", "nic": "0", "display": "0", "keyboard": "0", "tablet": "0", "console": "0"}


@pytest.fixture
def virtio_guest(api):
    """Whose virtio devices are reached by registers."""
    devices = [{"kind": kind, "name": f"alice/{name}", "socket": f"/run/{kind}.sock", "interface": "vfio-user",
                "source" if kind in ("display", "console") else "model": "virtio"} for kind, name in VIRTIO.items()]
    api.answer("GET", "/v1/guests/alice", {"name": "alice", "memory_bytes": 512 << 20, "devices": devices})
    return api


def test_virtio_by_registers(viaduct, virtio_guest, tmp_path):
    """PCI functions, too, and nothing of vhost-user; the guest finds its disk where it was."""
    (tmp_path / "kernel").touch()
    words = words_of(viaduct("run", "alice", "--print", "--accel", "tcg", "--kernel", tmp_path / "kernel").out)
    functions = [json.loads(word) for word in words if "vfio-user-pci" in word]
    assert [one["id"] for one in functions] == [f"{kind}-{name}" for kind, name in VIRTIO.items()]
    assert functions[0]["bootindex"] == 1 and not any("vhost-user" in word for word in words)
    assert any("root=/dev/vda" in word for word in words)
    xml = viaduct("libvirt-xml", "alice").out
    assert xml.count("vfio-user-pci") == len(VIRTIO) and not any(word in xml for word in ["<disk", "<interface", "<serial", "mode=control"])
    out = viaduct("ch-args", "alice").out
    assert out.count("socket=/run/") == len(VIRTIO) and "generic-vhost-user" not in out


def test_older_qemu_is_told_the_other_interface(viaduct, virtio_guest, tmp_path):
    program = tmp_path / "qemu-system-x86_64"
    program.write_text('#!/bin/sh\n[ "$1" != --version ] || echo "QEMU emulator version 7.2.22"\nexit 0\n')
    program.chmod(0o755)
    result = viaduct("run", "alice", "--accel", "tcg", env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert result.code == 1 and "QEMU 10.1 or newer" in result.err
    assert "With interface = vhost-user in [disk alice/root] it works" in result.err
