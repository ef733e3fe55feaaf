# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own kernels, and firmware, use a Viaduct disk as an NVMe controller, through QEMU's vfio-user client."""
import os
import re
import statistics
import subprocess
import time

import pytest

import guest_image
import load
import qemu

NVME = "/dev/nvme0n1"
# How often the daemon is replaced; the promise is tested with 100, an ordinary run with fewer.
TAKEOVERS = int(os.environ.get("VIADUCT_TAKEOVERS", "5"))


@pytest.fixture
def nvme_guest(machine, program):
    """Makes guests of the newer QEMU: nvme_guest(disks, **options)."""
    def make(disks, kernel="cloud", **options):
        return machine(disks, program=program, kernel=kernel, initramfs=guest_image.initramfs(kernel, "nvme"), **options)

    return make


@pytest.fixture
def nvme_disk(viaductd):
    """A guest with two processors has a queue on each of two workers."""
    return viaductd({
        "daemon": {"state_dir": "FOLDER/state", "workers": 2},
        "pool main": {"path": "FOLDER/main.pool", "size": "1G"},
        "guest alice": {},
        "disk alice/root": {"pool": "main", "size": "256M", "model": "nvme"},
    })


def socket_of(daemon):
    return daemon.socket("alice/root")


def write_and_remember(guest):
    guest.run(f"mkfs.ext4 -q {NVME} && mount {NVME} /mnt && dd if=/dev/urandom of=/mnt/file bs=256k count=16 2>/dev/null && sync")
    return guest.run("sha256sum /mnt/file")


def check_remembered(guest, remembered):
    guest.run(f"mount {NVME} /mnt")
    assert guest.run("sha256sum /mnt/file") == remembered
    guest.run(f"umount /mnt && e2fsck -fn {NVME} 2>&1")
    assert guest.disk_errors() == ""


# ---- use ----

@pytest.mark.parametrize("kernel, cpus, append", [("cloud", 2, ""), ("generic", 1, ""), ("cloud", 1, "pci=nomsi")],
                         ids=["cloud", "generic", "pin"])
def test_file_system(nvme_disk, nvme_guest, kernel, cpus, append):
    guest = nvme_guest([qemu.Function(socket_of(nvme_disk))], kernel=kernel, cpus=cpus, append=append)
    assert guest.run(f"blockdev --getsize64 {NVME}") == str(256 << 20)
    assert guest.run("cat /sys/class/nvme/nvme0/model").strip() == "Viaduct NVMe disk"
    assert guest.run("cat /sys/class/nvme/nvme0/serial").strip() == "alice/root"
    assert guest.run("cat /sys/block/nvme0n1/queue/write_cache") == "write back"
    assert len(guest.run("ls /sys/block/nvme0n1/mq").split()) == cpus
    guest.run(f"mkfs.ext4 -q {NVME} && mount {NVME} /mnt")
    # One writer a CPU, so that every queue carries data.
    guest.run("cd /mnt; for n in $(seq 0 %d); do taskset $(printf %%x $((1 << n))) "
              "dd if=/dev/urandom of=file$n bs=256k count=16 2>/dev/null & done; wait; sync" % (cpus - 1))
    before = guest.run("cd /mnt; sha256sum file*")
    guest.run(f"umount /mnt; echo 3 >/proc/sys/vm/drop_caches; mount {NVME} /mnt")
    assert guest.run("cd /mnt; sha256sum file*") == before
    guest.run(f"umount /mnt; e2fsck -fn {NVME} 2>&1")
    assert guest.disk_errors() == ""
    interrupts = guest.run("grep nvme0q /proc/interrupts")
    assert ("MSI" in interrupts) == (append == ""), interrupts
    assert "nobody cared" not in guest.run("dmesg")


def test_discard_and_write_zeroes(nvme_disk, nvme_guest):
    guest = nvme_guest([qemu.Function(socket_of(nvme_disk))])
    guest.run(f"tr '\\000' '\\252' </dev/zero | dd of={NVME} bs=64k count=160 iflag=fullblock conv=fsync 2>/dev/null")
    guest.run(f"blkdiscard -o 1048576 -l 4194304 {NVME} && echo 3 >/proc/sys/vm/drop_caches")
    assert guest.run(f"dd if={NVME} bs=1M skip=1 count=4 2>/dev/null | tr -d '\\000' | wc -c") == "0"
    assert guest.run(f"dd if={NVME} bs=1M skip=5 count=5 2>/dev/null | tr -d '\\252' | wc -c") == "0"
    assert guest.run(f"dd if={NVME} bs=1M count=1 2>/dev/null | tr -d '\\252' | wc -c") == "0"
    assert guest.disk_errors() == ""


def test_registers_and_rings_share_a_pool(viaductd, machine, nvme_guest):
    """One guest by registers, one by a ring, on one physical disk: each guest's bytes stay its own."""
    daemon = viaductd({
        "pool main": {"path": "FOLDER/main.pool", "size": "256M"},
        "guest alice": {}, "guest bob": {},
        "disk alice/root": {"pool": "main", "size": "16M", "model": "nvme"},
        "disk bob/root": {"pool": "main", "size": "16M"},
    })
    guests = {NVME: nvme_guest([qemu.Function(daemon.socket("alice/root"))], name="alice"),
              "/dev/vda": machine([qemu.Disk(daemon.socket("bob/root"))], name="bob")}
    bytes_of = {NVME: "141", "/dev/vda": "142"}     # octal: a, b
    for device, guest in guests.items():
        guest.begin(f"tr '\\000' '\\{bytes_of[device]}' </dev/zero | "
                    f"dd of={device} bs=64k count=256 iflag=fullblock conv=fsync 2>/dev/null")
    for guest in guests.values():
        assert guest.finish()[0] == 0
    for device, guest in guests.items():
        guest.run("echo 3 >/proc/sys/vm/drop_caches")
        assert guest.run(f"tr -d '\\{bytes_of[device]}' <{device} | wc -c") == "0"


def test_memory_that_the_vmm_keeps_to_itself(nvme_disk, nvme_guest):
    """QEMU with ordinary memory: every byte is asked for. Data under load, over takeovers and a reset."""
    guest = nvme_guest([qemu.Function(socket_of(nvme_disk))], cpus=2, share_memory=False)
    remembered = write_and_remember(guest)
    guest.run("umount /mnt; echo 3 >/proc/sys/vm/drop_caches")
    check_remembered(guest, remembered)
    guest.run(f"blkdiscard -o {200 << 20} -l {8 << 20} {NVME}")
    writers = load.Load(guest, device=NVME).start()
    for _ in range(2):
        nvme_disk.take_over()
        writers.wait_progress()
    assert writers.finish() > 0
    load.Load(guest, device=NVME).start()
    guest.reset()
    load.Load(guest, device=NVME).start().finish()
    assert guest.disk_errors() == ""
    assert nvme_disk.device("alice/root", "disk")["connects"] == 1
    assert "the device asks for each byte" in nvme_disk.text()


def test_many_at_once(viaductd, nvme_guest):
    names = [f"alice/d{number:02}" for number in range(16)]
    daemon = viaductd({
        "pool main": {"path": "FOLDER/main.pool", "size": "256M"},
        "guest alice": {},
        **{f"disk {name}": {"pool": "main", "size": "4M", "model": "nvme", "serial": name} for name in names},
    })
    guest = nvme_guest([qemu.Function(daemon.socket(name), name=name.replace("/", "-")) for name in names])
    serials = guest.run("cat /sys/class/nvme/nvme*/serial").split()
    assert sorted(serials) == names
    guest.run("for disk in /dev/nvme*n1; do cat /sys/class/nvme/$(basename $disk n1)/serial | "
              "dd of=$disk bs=512 count=1 conv=sync,fsync 2>/dev/null & done; wait; echo 3 >/proc/sys/vm/drop_caches")
    read = guest.run("for disk in /dev/nvme*n1; do dd if=$disk bs=20 count=1 2>/dev/null | tr -d '\\000'; done").split()
    assert sorted(read) == names


# ---- the machine's life ----

def test_reset_under_load(nvme_disk, nvme_guest):
    """The reset button with commands in flight: the next boot finds a working disk."""
    guest = nvme_guest([qemu.Function(socket_of(nvme_disk))], cpus=2)
    load.Load(guest, device=NVME).start()
    guest.reset()
    load.Load(guest, device=NVME).start().finish()


def test_killed_machine(nvme_disk, nvme_guest):
    """kill -9 of QEMU: what was synced is there for the next machine on the same disk."""
    disk = qemu.Function(socket_of(nvme_disk))
    guest = nvme_guest([disk])
    remembered = write_and_remember(guest)
    guest.run("dd if=/dev/zero of=/mnt/busy bs=64k count=1000 2>/dev/null &")
    guest.kill()
    check_remembered(nvme_guest([disk]), remembered)


def test_hot_plug(nvme_disk, nvme_guest):
    """The controller comes while the guest runs, and goes. QEMU 11.1 itself ends with an assertion when a vfio-user device
    with MSI-X goes (memory_region_del_subregion); whatever it does, the daemon lives, and the next machine finds its disk."""
    disk = qemu.Function(socket_of(nvme_disk), bus="port0")
    guest = nvme_guest([Port()])
    guest.monitor.command("device_add", **disk.device())
    guest.run(f"until [ -e {NVME} ]; do usleep 20000; done")
    remembered = write_and_remember(guest)
    guest.run("umount /mnt")
    guest.monitor.command("device_del", id=disk.name)
    try:
        guest.monitor.wait_event("DEVICE_DELETED")
        guest.run(f"[ ! -e {NVME} ]")
    except qemu.GuestError:
        assert "memory_region_del_subregion" in guest.path("log").read_text()
    guest.stop()
    check_remembered(nvme_guest([qemu.Function(socket_of(nvme_disk))]), remembered)
    assert nvme_disk.device("alice/root", "disk")["connects"] == 2


class Port:
    """A root port that is empty at first."""

    def arguments(self, index):
        return ["-device", "pcie-root-port,id=port0,chassis=1,slot=1"]


def test_online_grow(nvme_disk, nvme_guest):
    """The controller tells by an asynchronous event, and the driver looks at the namespace again."""
    guest = nvme_guest([qemu.Function(socket_of(nvme_disk))])
    remembered = write_and_remember(guest)
    nvme_disk.command("disk", "resize", "alice/root", "--size", "320M")
    deadline = time.monotonic() + qemu.COMMAND_SECONDS
    while guest.run(f"blockdev --getsize64 {NVME}") != str(320 << 20):
        assert time.monotonic() < deadline, "the guest does not see the new size"
        time.sleep(0.02)
    guest.run("umount /mnt")
    check_remembered(guest, remembered)


# ---- the daemon's life ----

def test_takeovers_under_load(nvme_disk, nvme_guest):
    """VMMs do not connect again: the connection goes from daemon to daemon, and the guest sees nothing."""
    guest = nvme_guest([qemu.Function(socket_of(nvme_disk))], cpus=2)
    writers = load.Load(guest, device=NVME).start()
    for _ in range(TAKEOVERS):
        nvme_disk.take_over()
        writers.wait_progress()
    assert writers.finish() > 0
    assert nvme_disk.device("alice/root", "disk")["connects"] == 1
    pauses = [float(ms) for ms in re.findall(r"took over [0-9]+ endpoints?, pause ([0-9.]+) ms", nvme_disk.text())]
    assert len(pauses) == TAKEOVERS
    print(f"{TAKEOVERS} takeovers under load, pause: median {statistics.median(pauses)} ms, longest {max(pauses)} ms")


def test_ended_daemon_is_an_unplugged_disk(nvme_disk, nvme_guest):
    """Without a daemon the guest's device is gone, as the documents say; the VMM lives, and a new machine finds its disk."""
    disk = qemu.Function(socket_of(nvme_disk))
    guest = nvme_guest([disk])
    remembered = write_and_remember(guest)
    guest.run("umount /mnt")
    nvme_disk.kill()
    nvme_disk.start()
    assert guest.run("echo alive") == "alive"
    guest.stop()
    check_remembered(nvme_guest([disk]), remembered)


# ---- firmware ----

# At 0000:7c00: writes the text behind it to the first serial port, and stops.
BOOT_CODE = bytes.fromhex("fc 31c0 8ed8 be167c ac 84c0 7406 baf803 ee ebf5 f4 ebfd")
BOOT_TEXT = b"@booted from NVMe\n"


def boot_sector():
    sector = BOOT_CODE + BOOT_TEXT + b"\0"
    return sector.ljust(510, b"\0") + b"\x55\xaa"


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "private"])
def test_firmware_boots(nvme_disk, program, tmp_path, shared):
    """SeaBIOS has a driver for NVMe, and starts what the disk's first sector holds."""
    memory = ["-object", "memory-backend-memfd,id=memory,size=128M,share=on", "-machine", "memory-backend=memory"]
    image = tmp_path / "boot.raw"
    image.write_bytes(boot_sector().ljust(1 << 20, b"\0"))
    nvme_disk.command("disk", "import", "alice/root", str(image), "--format", "raw", "--overwrite")
    serial = tmp_path / "serial"
    disk = qemu.Function(socket_of(nvme_disk), boot=1)
    with subprocess.Popen([*program, "-accel", "tcg", "-M", "q35", "-m", "128M", *(memory if shared else []),
                           "-nodefaults", "-no-user-config", "-display", "none", "-serial", f"file:{serial}",
                           *disk.arguments(0)], stdin=subprocess.DEVNULL) as machine:
        try:
            deadline = time.monotonic() + qemu.BOOT_SECONDS
            while not serial.exists() or BOOT_TEXT.strip() not in serial.read_bytes():
                assert machine.poll() is None, "QEMU ended"
                assert time.monotonic() < deadline, f"the serial port says {serial.read_bytes()!r}"
                time.sleep(0.05)
        finally:
            machine.kill()
