# SPDX-License-Identifier: GPL-2.0-or-later
"""`./run demo --registers` holds: Debian boots from NVMe, beside one with virtio, and all that it claims is so."""
import re
import subprocess
import sys

import pytest

from viaductd import TOP

LINES = (
    r"alice: Debian's own drivers have found bochs-drm, e1000e, nvme, xhci_hcd, and none of virtio-pci",
    r"bob: Debian's own drivers have found virtio-pci, and none of bochs-drm, e1000e, nvme, xhci_hcd",
    r"disk: both read the \d+ MiB that they booted from with the MD5 sum ([0-9a-f]{8}), as imported",
    r"disk: alice reads the \d+ MiB that it wrote: MD5 sum ([0-9a-f]{8}), expected \1",
    r"disk: bob reads the \d+ MiB that it wrote: MD5 sum ([0-9a-f]{8}), expected \1",
    r"switch: alice \(e1000e\) pings bob \(virtio\), 10 times, on average [\d.]+ ms",
    r"switch: bob \(virtio\) pings alice \(e1000e\), 10 times, on average [\d.]+ ms",
    r"seat: '(for-alice-[0-9a-f]{8})' was typed: alice heard '\1', bob ''",
    r"seat: '(for-bob-([0-9a-f]{8}))' was typed: alice heard 'for-alice-\2', bob '\1'",
    r"seat: `viaduct screenshot desk` shows the windows of alice and bob: .*/viaduct-registers.png",
    r"takeover: another daemon serves all 10 devices, and no VMM had to connect again",
    r"seat: 'again' was typed: alice heard 'for-alice-([0-9a-f]{8})again', bob 'for-bob-\1'",
    r"pool: alice's exported disk holds what it booted from and what it wrote, and nothing else",
    r"pool: bob's exported disk holds what it booted from and what it wrote, and nothing else",
)
COUNTERS = (("disk alice/root", "nvme", "loads and stores"), ("nic alice/eth0", "e1000e", "loads and stores"),
            ("display alice/0", "bochs", "loads and stores"), ("keyboard alice/0", "xhci", "loads and stores"),
            ("tablet alice/0", "xhci", "loads and stores"), ("disk bob/root", "virtio", "kicks"),
            ("nic bob/eth0", "virtio", "kicks"), ("display bob/0", "virtio", "kicks"))


@pytest.mark.usefixtures("program")
def test_the_demo_of_registers_holds(tmp_path):
    done = subprocess.run([sys.executable, TOP / "tools/registers-demo"], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    output = done.stdout
    assert done.returncode == 0 and re.search(r"^\d+ checks hold, 0 failed", output, re.MULTILINE), output + done.stderr
    for words in LINES:
        assert re.search(rf"^  ok     {words}$", output, re.MULTILINE), (words, output)
    for device, model, told in COUNTERS:
        assert re.search(rf"^  {device} +{model} +[1-9]\d* {told} ", output, re.MULTILINE), (device, output)
    assert (tmp_path / "viaduct-registers.png").read_bytes().startswith(b"\x89PNG")
