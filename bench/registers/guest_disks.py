# SPDX-License-Identifier: GPL-2.0-or-later
"""4 KiB reads of an emulated guest: by an NVMe controller of Viaduct's, by QEMU's own, and by virtio-blk of Viaduct's.

A second daemon waits busily for longer, so that its worker is still awake at a guest's next request. One guest has all disks, files of the same kind in the page cache, and reads them in turns with O_DIRECT, so that all
its requests reach the device.
"""
import contextlib
import dataclasses
import json
import pathlib
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(TOP / folder) for folder in ("bench/net", "tests/guests")]

import foreign  # noqa: E402
import guest_image  # noqa: E402
import qemu  # noqa: E402
from guest_paths import standing  # noqa: E402
from plain import DISK_BYTES, judged, ratio, table  # noqa: E402
from viaductd import Viaductd  # noqa: E402

DEPTHS = {"QD1": 1, "QD32": 32}
LONG_POLL_US = 200
OWN, PEER, RING = "NVMe of Viaduct's", "NVMe of QEMU's", "virtio-blk of Viaduct's"
LONG = f"{OWN}, poll_us {LONG_POLL_US}"
SERIALS = {OWN: "viaduct", PEER: "qemu", LONG: "long"}
QD1_REACH, QD32_REACH = 1.05, 1.0
LOAD = "bench/viaduct-load-static"


@dataclasses.dataclass
class QemuNvme:
    """QEMU's own controller, on a file that it reads by io_uring through the page cache, as the daemon does."""
    path: pathlib.Path
    serial: str

    def arguments(self, _index):
        return ["-blockdev", f"driver=file,node-name=own,filename={self.path},aio=io_uring,cache.direct=off",
                "-device", f"nvme,drive=own,serial={self.serial}"]


class Machine:
    """The daemons and the guest. A context manager."""

    def __init__(self, build, poll_us):
        self.build, self.poll_us = build, poll_us
        self.stack = contextlib.ExitStack()
        self.guest, self.devices = None, {}

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.start(stack)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def start(self, stack):
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="viaduct-registers-")))
        daemon, longer = self.daemon(OWN, self.poll_us, ("nvme", "virtio")), self.daemon(LONG, LONG_POLL_US, ("nvme",))
        for each in (daemon, longer):
            stack.callback(each.remove)
            each.start()
        peer = folder / "peer"
        fill(peer)
        image = guest_image.with_programs(guest_image.initramfs("cloud", "nvme"), {"viaduct-load": self.build / LOAD}, folder)
        disks = [qemu.Function(daemon.socket("viaduct/nvme")), QemuNvme(peer, SERIALS[PEER]),
                 qemu.Disk(daemon.socket("viaduct/virtio"), name="ring", newer=True),
                 qemu.Function(longer.socket("long/nvme"), name="long")]
        self.guest = stack.enter_context(qemu.Guest(folder, disks, program=foreign.qemu(), initramfs=image, wrapper=standing()))
        self.devices = {RING: "/dev/vda"} | {way: self.nvme(serial) for way, serial in SERIALS.items()}

    def daemon(self, way, poll_us, models):
        # A guest of its own: controllers of the same name in one machine are taken for two ways to one.
        guest = SERIALS[way]
        daemon = Viaductd({}, build=self.build, wrapper=standing())
        sections = {"daemon": {"state_dir": "FOLDER/state", "poll_us": poll_us}, f"guest {guest}": {}}
        for model in models:
            fill(daemon.folder / model)
            sections[f"disk {guest}/{model}"] = {"path": f"FOLDER/{model}", "cache": "buffered", "model": model, "serial": guest}
        daemon.configure(sections)
        return daemon

    def nvme(self, serial):
        """The disk of the controller with that serial number."""
        return "/dev/" + self.guest.run(f"basename $(dirname $(grep -l '^{serial} *$' /sys/class/nvme/nvme*/serial))") + "n1"

    def read(self, way, depth, seconds):
        """{"p50_us": …, "p99_us": …, "per_second": …} of one sample."""
        said = json.loads(self.guest.run(f"viaduct-load --host {self.devices[way]} --direct --json --depth {depth} "
                                         f"--batch 1 --seconds {seconds:g}"))
        return {"p50_us": said["p50_us"], "p99_us": said["p99_us"], "per_second": said["iops"]}

    def round(self, seconds, swapped):
        """{row: sample}; every second round goes through the disks from the other end."""
        ways = [OWN, PEER, RING, LONG]
        return {f"{way}, {name}": self.read(way, depth, seconds)
                for name, depth in DEPTHS.items() for way in (ways[::-1] if swapped else ways)}


def fill(path):
    """Data in every block: holes would be read without the file."""
    path.write_bytes(b"".join(number.to_bytes(8, "little") * 512 for number in range(1, DISK_BYTES // 4096 + 1)))


def measure(options, seconds):
    """[{row: sample}] of one boot."""
    with Machine(options.build, options.poll_us) as machine:
        return [machine.round(seconds, number % 2 == 1) for number in range(options.rounds)]


def report(rounds):
    print(table(rounds, rounds[0]))
    print()
    for own, note in ((OWN, ""), (LONG, f", with poll_us {LONG_POLL_US}")):
        print(judged(f"at depth 1, p50 against QEMU's NVMe{note}",
                     ratio(rounds, f"{own}, QD1", f"{PEER}, QD1", "p50_us"), QD1_REACH, False))
        print(judged(f"at depth 32, reads a second against QEMU's NVMe{note}",
                     ratio(rounds, f"{own}, QD32", f"{PEER}, QD32", "per_second"), QD32_REACH, True))
    for depth, field in (("QD1", "p50_us"), ("QD32", "per_second")):
        print(f"at {depth}, {field} against virtio-blk: {ratio(rounds, f'{OWN}, {depth}', f'{RING}, {depth}', field):.2f}")
