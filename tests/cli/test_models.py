# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest sees of a device: where it is chosen, where it is told, and what it means for images."""
import pytest

MIB = 1 << 20

SECTIONS = """
[disk alice/root]
pool = main
size = 2M
model = nvme
[disk alice/other]
pool = main
size = 2M
interface = vfio-user
[switch lan]
[nic alice/eth0]
switch = lan
model = e1000e
[nic alice/eth1]
switch = lan
[seat desk]
[display alice/0]
seat = desk
source = bochs
[keyboard alice/0]
"""


@pytest.fixture
def changed(viaduct, daemon):
    """A disk that was made by the command, and got a section later."""
    assert viaduct("disk", "create", "alice/root", "--pool", "main", "--size", "2M").code == 0
    assert models(viaduct("disk", "list").out) == {"alice/root": "virtio"}
    with open(daemon.config, "a", encoding="ascii") as config:
        config.write(SECTIONS)
    assert viaduct("reload").code == 0
    return daemon


def models(table):
    """{"alice/root": "nvme"} of a listing."""
    title, *rows = table.splitlines()
    at = title.index("MODEL")
    return {row.split()[0]: row[at:].split("  ")[0].strip() for row in rows if row.startswith("alice/")}


def test_models_in_listings(viaduct, changed):
    disks = {"alice/root": "nvme", "alice/other": "virtio (vfio-user)"}
    cards = {"alice/eth0": "e1000e", "alice/eth1": "virtio"}
    assert models(viaduct("disk", "list").out) == disks
    assert models(viaduct("nic", "list").out) == cards
    told = viaduct("status").out
    for line in (*(f"{name} disk {model}" for name, model in disks.items()), *(f"{name} nic {model}" for name, model in cards.items()),
                 "alice/0 display bochs", "alice/0 keyboard virtio"):
        assert line in " ".join(told.split()), told
    assert "MODEL e1000e" in " ".join(viaduct("nic", "show", "alice/eth0").out.split())


def test_images_of_disks_made_of_registers(viaduct, changed, tmp_path):
    """An NVMe disk is filled and written out as any; a virtio disk by registers says what to do, and stays as it is."""
    image, out = tmp_path / "image", tmp_path / "out"
    image.write_bytes(b"x" * MIB)
    assert viaduct("disk", "import", "alice/root", image, "--overwrite").code == 0
    assert viaduct("disk", "export", "alice/root", out).code == 0
    assert out.read_bytes() == image.read_bytes() + bytes(MIB)
    out.unlink()
    for words in (("import", "alice/other", image, "--overwrite"), ("export", "alice/other", out)):
        result = viaduct("disk", *words)
        assert result.code == 1 and "its interface is vfio-user; take that out of its section meanwhile" in result.err, result.err
    assert not out.exists() and image.exists()
