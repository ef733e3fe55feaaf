# SPDX-License-Identifier: GPL-2.0-or-later
"""Verified load inside a guest: writers that write random blocks past the page cache, read them back and compare."""
import time

import qemu

# $1: number of the writer. Each owns SLOTS slots of 64 KiB; a slot's checksum is kept in the guest's memory.
WRITER = r"""
SLOTS=32
i=0
base=$(($1 * SLOTS))
while [ ! -e /tmp/stop ]; do
	slot=$((base + i % SLOTS))
	dd if=/dev/urandom of=/tmp/new.$1 bs=64k count=1 2>/dev/null
	if ! dd if=/tmp/new.$1 of=DEVICE bs=64k seek=$slot count=1 oflag=direct conv=notrunc,fsync 2>/tmp/error.$1; then
		echo "writer $1 slot $slot: write: $(cat /tmp/error.$1)" >>/tmp/bad
		break
	fi
	sha256sum </tmp/new.$1 >/tmp/sum.$slot
	if ! dd if=DEVICE of=/tmp/seen.$1 bs=64k skip=$slot count=1 iflag=direct 2>/tmp/error.$1; then
		echo "writer $1 slot $slot: read: $(cat /tmp/error.$1)" >>/tmp/bad
		break
	fi
	cmp -s /tmp/new.$1 /tmp/seen.$1 || echo "writer $1 slot $slot: read other bytes than written" >>/tmp/bad
	i=$((i + 1))
	echo $i >/tmp/count.$1.new
	mv /tmp/count.$1.new /tmp/count.$1
done
touch /tmp/done.$1
"""

VERIFY = r"""
for sum in /tmp/sum.*; do
	slot=${sum##*.}
	[ "$(dd if=DEVICE bs=64k skip=$slot count=1 iflag=direct 2>/dev/null | sha256sum)" = "$(cat $sum)" ] ||
		echo "slot $slot: other bytes than written"
done
"""


class Load:
    """Writers in one guest; after migration set .guest to the target."""

    def __init__(self, guest, writers=3, device="/dev/vda"):
        self.guest, self.writers = guest, writers
        guest.put("/tmp/writer", WRITER.replace("DEVICE", device))
        guest.put("/tmp/verify", VERIFY.replace("DEVICE", device))

    def start(self):
        self.guest.run("rm -f /tmp/stop /tmp/bad /tmp/done.* /tmp/sum.* /tmp/count.*")
        for number in range(self.writers):
            self.guest.run(f"sh /tmp/writer {number} >/dev/null 2>&1 &")
        self.wait_progress()
        return self

    def counts(self):
        """Blocks written and verified so far, by writer."""
        text = self.guest.run("cd /tmp; for n in $(seq 0 %d); do cat count.$n 2>/dev/null || echo 0; done"
                              % (self.writers - 1))
        return [int(line) for line in text.split()]

    def check(self):
        status, text = self.guest.try_run("! cat /tmp/bad 2>/dev/null")
        assert status == 0, f"the guest saw:\n{text}\n{self.guest.disk_errors()}"

    def wait_progress(self, blocks=2, timeout=qemu.COMMAND_SECONDS):
        """Waits until every writer did some blocks more; an error ends the test at once."""
        before = self.counts()
        deadline = time.monotonic() + timeout
        while True:
            self.check()
            now = self.counts()
            if all(after - earlier >= blocks for after, earlier in zip(now, before)):
                return
            if time.monotonic() > deadline:
                raise qemu.GuestError(f"a writer hangs: {before} then {now}\n{self.guest.disk_errors()}")
            time.sleep(0.1)

    def finish(self):
        """Stops the writers, reads everything again, and looks at the kernel's log."""
        self.guest.run("touch /tmp/stop; until [ $(ls /tmp/done.* 2>/dev/null | wc -l) = %d ]; do usleep 50000; done"
                       % self.writers)
        self.check()
        assert self.guest.run("sh /tmp/verify") == ""
        assert self.guest.disk_errors() == ""
        return sum(self.counts())
