# SPDX-License-Identifier: GPL-2.0-or-later
"""A small Debian with systemd as its first process, in namespaces of its own, that Viaduct was installed on.

Its /usr is this machine's, read-only; /usr/local and /etc/viaduct are what `./run install` made; everything else is fresh
and in memory. systemd makes the accounts and directories while it boots, as on any host.
"""
import pathlib
import shutil
import subprocess
import tempfile
import time

from installation import install

# An event that does not come is found by this bound; no answer depends on it.
DEADLINE_SECONDS = 120
PATH = "/usr/local/bin:/usr/bin:/bin"       # a plain user's, as Debian's /etc/profile says

# Accounts besides those that systemd-sysusers makes; (user, number, groups).
ACCOUNTS = {"vmm": 2001, "other_vmm": 2002, "operator": 2003, "stranger": 2004}
GROUPS = {"guests": 3001}

BOOT = r"""
set -eu
root=$1 installed=$2
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"
mkdir usr etc proc sys dev run tmp var root old
for link in bin sbin lib lib32 lib64 libx32; do
	if [ -L "/$link" ]; then ln -s "usr/$link" "$link"; fi
done
mount --bind /usr usr
mount -o remount,bind,ro usr
mount --bind "$installed/usr/local" usr/local
cp -a "$installed/etc/." etc/
cp -a /etc/ld.so.cache etc/
cp -a "$3/." etc/
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
	: >"dev/$device"
	mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=755 tmpfs run
pivot_root . old
umount -l /old
exec env -i container=viaduct-test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	/usr/lib/systemd/systemd --system --unit=basic.target
"""


def write_accounts(etc):
    users = "".join(f"{name}:x:{number}:{number}::/:/bin/sh\n" for name, number in ACCOUNTS.items())
    groups = "".join(f"{name}:x:{number}:\n" for name, number in {**ACCOUNTS, **GROUPS}.items())
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n" + users)
    (etc / "group").write_text("root:x:0:\n" + groups)
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\n")
    (etc / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")


def cgroup2():
    """Where this machine has the unified hierarchy mounted."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields, kind = line.split(" - ")
        if kind.split()[0] == "cgroup2":
            return pathlib.Path(fields.split()[4])
    raise FileNotFoundError("no cgroup2 hierarchy is mounted")


class ServiceHost:
    """`run()` runs a command on it; it is gone after stop()."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="viaduct-host-"))
        self.cgroup = cgroup2() / self.folder.name
        self.process = None
        self.first = None       # the number of its first process, seen from here

    def start(self):
        for name in ("root", "installed", "etc"):
            (self.folder / name).mkdir()
        install(self.folder / "installed")
        write_accounts(self.folder / "etc")
        self.cgroup.mkdir()
        script = (f'echo $$ >"{self.cgroup}/cgroup.procs"; exec unshare --kill-child --mount --pid --fork --uts --ipc '
                  '--cgroup --net sh -c "$0" sh "$@"')
        self.process = subprocess.Popen(["sh", "-c", script, BOOT, self.folder / "root", self.folder / "installed",
                                         self.folder / "etc"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self._find_first()
        self.wait_for("the end of the boot", lambda: self.run("systemctl", "is-system-running", "--wait", check=False)
                      .stdout.strip() in ("running", "degraded"))
        return self

    def _find_first(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")

        def found():
            assert self.process.poll() is None, self.process.stdout.read()
            for number in children.read_text().split():
                if pathlib.Path(f"/proc/{number}/comm").read_text() == "systemd\n":
                    self.first = int(number)
            return self.first
        self.wait_for("systemd", found)

    def stop(self):
        self.first = None
        if self.process:
            self.process.kill()     # --kill-child ends systemd then, and with it everything in its namespace
            self.process.wait(DEADLINE_SECONDS)
            self.process.stdout.close()
        if self.cgroup.exists():
            self.wait_for("end of its processes", lambda: "populated 0" in (self.cgroup / "cgroup.events").read_text())
            for group in sorted(self.cgroup.rglob("*/"), reverse=True):
                group.rmdir()
            self.cgroup.rmdir()
        shutil.rmtree(self.folder)

    # ---- what happens on it ----

    def run(self, *words, user=None, groups=(), check=True, **options):
        """Runs a command, as root or as a plain user."""
        command = ["nsenter", f"--target={self.first}", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--net", "--root",
                   "--wd=/", "env", "-i", f"PATH={PATH}"]
        if user:
            number = ACCOUNTS[user]
            wanted = ",".join(str(group) for group in groups)
            command += ["setpriv", f"--reuid={number}", f"--regid={number}", f"--groups={wanted}" if wanted else "--clear-groups"]
        done = subprocess.run([*command, *map(str, words)], stdin=options.pop("stdin", subprocess.DEVNULL), capture_output=True,
                              text=True, timeout=DEADLINE_SECONDS, check=False, **options)
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}\n{self.journal()}"
        return done

    def systemctl(self, verb, check=True):
        return self.run("systemctl", verb, "viaductd.service", check=check)

    def journal(self):
        return self.run("journalctl", "--unit=viaductd.service", "--no-pager", "--output=cat", check=False).stdout

    def show(self, name):
        """A property of the service."""
        return self.run("systemctl", "show", "--value", f"--property={name}", "viaductd.service").stdout.strip()

    def wait_for(self, what, condition):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"no {what} after {DEADLINE_SECONDS} s\n{self.journal() if self.first else ''}"
            time.sleep(0.05)

    def path(self, name):
        """A file of the host, as this process reaches it."""
        return pathlib.Path(f"/proc/{self.first}/root{name}")

    def configure(self, text):
        """Replaces the configuration."""
        self.path("/etc/viaduct/viaduct.conf").write_text(text)

    def group(self, name):
        """The number of a group."""
        return int(self.run("getent", "group", name).stdout.split(":")[2])

    def owners(self, *folders):
        """{path: (user, group, mode)} of everything below the folders."""
        names = self.run("find", *folders, "-printf", "%p %u %g %m\n").stdout.splitlines()
        return {name.split()[0]: tuple(name.split()[1:]) for name in names}
