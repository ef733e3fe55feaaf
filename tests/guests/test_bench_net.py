# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests' part of the network benchmark runs, and its text and its samples agree. The figures are its own to judge."""
import json
import subprocess

import viaductd

PROGRAM = viaductd.TOP / "bench/net/guests.py"


def test_tap_beside_qemu(tmp_path):
    """A stream each way through both, so through viaduct-stream, the namespace, and the processes whose time is told."""
    samples = tmp_path / "samples.json"
    done = subprocess.run(["/usr/bin/python3", PROGRAM, "--build", viaductd.build_folder(), "--only", "tap", "--rounds", "1",
                           "--seconds", "0.1", "--json", samples], capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr
    ways = json.loads(samples.read_text())
    assert set(ways) == {"viaduct, tap", "QEMU, tap"}
    for title, direction in (("tap, guest to host", "push"), ("tap, host to guest", "pull")):
        (own,), (peer,) = (ways[way][direction] for way in ("viaduct, tap", "QEMU, tap"))
        assert own["gbits"] > 0 and peer["gbits"] > 0 and own["qemu_cpu"] > 0
        row = next(line.split(" | ") for line in done.stdout.splitlines() if line.startswith(title))
        assert (row[1], row[3], row[6]) == (f"{own['gbits']:.2f} Gbit/s", "QEMU, tap", f"{own['gbits'] / peer['gbits']:.2f}")
