# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark of devices made of registers runs, and its text and its samples agree. The figures are its own to judge."""
import json
import subprocess

import viaductd

PROGRAM = viaductd.TOP / "bench/registers/run.py"
WAYS = ("NVMe of Viaduct's", "NVMe of Viaduct's, poll_us 200", "NVMe of QEMU's", "virtio-blk of Viaduct's")


def test_disks_and_shares(tmp_path):
    """Plain clients, a guest with a disk of each kind, and two floods of a disk and of an uplink."""
    samples = tmp_path / "samples.json"
    done = subprocess.run(["/usr/bin/python3", PROGRAM, "--build", viaductd.build_folder(), "--rounds", "1", "--seconds", "0.3",
                           "--only", "plain", "--only", "shares", "--only", "guest-disks", "--json", samples],
                          capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(samples.read_text())
    (plain,), (cards,), (disks,) = found["plain"]["rounds"], found["card floods"], found["guest disks"]
    assert set(disks) == {f"{way}, {depth}" for way in WAYS for depth in ("QD1", "QD32")}
    assert all(sample["per_second"] > 0 for sample in disks.values())
    own, peer = disks["NVMe of Viaduct's, QD1"], disks["NVMe of QEMU's, QD1"]
    assert f"p50 against QEMU's NVMe: {own['p50_us'] / peer['p50_us']:.2f}, <= 1.05 wanted" in done.stdout
    # Each doorbell is rung for each read, or hardly any is.
    assert plain["nvme rung 4K QD1"]["notices"] > 1.9 and plain["nvme 4K QD32"]["notices"] < 1.9
    assert plain["pread 4K QD1"]["notices"] == 0 and plain["virtio 4K QD1"]["daemon_us"] > 0
    assert all(rate > 0 for rate in cards.values())
    assert f"a virtio card with 300, both floods of one uplink: {cards['alice'] / sum(cards.values()):.1%}" in done.stdout
