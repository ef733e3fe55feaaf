# SPDX-License-Identifier: GPL-2.0-or-later
"""Links that a daemon's account, once somebody else's, has left in its directories for root's next start."""
import os
import pathlib
import pwd
import subprocess
import tempfile

import pytest

from conftest import basic
from daemon import Daemon
from patience import PATIENCE_S

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to lose by a link of another account")

USER = "nobody"
SECRET = "root:$6$secret:1\n"


class Host:
    """`home` and what is in it belong to the daemon's account; `etc` is root's, with a file that nobody else reads."""

    def __init__(self, folder):
        os.chmod(folder, 0o755)
        self.etc, self.home = folder / "etc", folder / "home"
        self.etc.mkdir(mode=0o755)
        self.shadow = self.etc / "shadow"
        self.shadow.write_text(SECRET)
        self.shadow.chmod(0o600)
        self.home.mkdir()
        account = pwd.getpwnam(USER)
        self.owner = account.pw_uid, account.pw_gid
        os.chown(self.home, *self.owner)
        sections = basic(self.home)
        sections["daemon"] = {"user": USER}
        self.daemon = Daemon(sections, self.home)
        os.chmod(self.daemon.config, 0o644)

    def plant(self, name, target):
        """Puts a link of the account in a file's or folder's place."""
        link = self.home / name
        if link.exists() or link.is_symlink():
            link.rename(self.home / f"{link.name}.away")
        link.symlink_to(target)
        os.lchown(link, *self.owner)

    def what_is_roots(self):
        """Everything in `etc`, with owners, permissions and contents."""
        return {path.name: (path.lstat().st_uid, path.lstat().st_mode, path.is_file() and path.read_bytes())
                for path in [self.etc, *self.etc.iterdir()]}


@pytest.fixture
def host():
    with tempfile.TemporaryDirectory() as folder:
        host = Host(pathlib.Path(folder))
        before = host.what_is_roots()
        host.daemon.start()
        yield host
        try:
            assert host.what_is_roots() == before
            assert "$6$secret" not in "".join(line for _, line in host.daemon.lines), host.daemon.text()
        finally:
            host.daemon.finish()


def test_a_guests_directory(host):
    host.daemon.kill()
    host.plant("run/alice", host.etc)
    host.daemon.start()
    host.daemon.wait_line("run/alice")


def test_the_runtime_directory(host):
    host.daemon.kill()
    host.plant("run", host.etc)
    refused = subprocess.run(host.daemon.command(), capture_output=True, text=True, timeout=PATIENCE_S)
    assert refused.returncode == 1 and "cannot make the runtime directory" in refused.stderr
    host.daemon.runtime.unlink()
    host.daemon.start()


def test_the_state_directory(host):
    host.daemon.kill()
    host.plant("state", host.etc)
    host.daemon.start()
    host.daemon.wait_line("cannot make the state directory")


def test_a_file_of_the_state(host):
    """What root cannot make sense of it quotes, and moves away."""
    host.daemon.kill()
    host.plant("state/settings.conf", host.shadow)
    host.plant("state/network.json", host.shadow)
    host.daemon.start()


def test_a_pool(host):
    host.daemon.kill()
    host.plant("main.pool", host.shadow)
    host.daemon.start()
    pool, = host.daemon.api("GET", "/v1/pools")[1]["pools"]
    assert not pool["available"] and "a link that is not root's" in pool["error"]


def test_a_whole_file(host):
    """A guest would read and write root's file as its disk."""
    image = host.etc / "image"
    image.write_bytes(bytes(1 << 20))
    host.daemon.sections["disk alice/whole"] = {"path": host.home / "whole.raw"}
    host.daemon.kill()
    host.plant("whole.raw", image)
    host.daemon.write_config()
    host.daemon.start()
    image.unlink()
    assert not host.daemon.socket("alice/whole").exists()
    host.daemon.wait_line("a link that is not root's")


def test_the_directory_of_a_socket(host):
    host.daemon.sections["disk alice/far"] = {"pool": "main", "size": "1M", "socket": host.home / "sockets/far.sock"}
    host.daemon.kill()
    host.plant("sockets", host.etc)
    host.daemon.write_config()
    host.daemon.start()
    host.daemon.wait_line("alice/disk-far")


def test_links_of_root_are_followed(host):
    """An administrator may have moved a pool or a directory to another disk."""
    host.daemon.stop()
    (host.home / "main.pool").rename(host.home / "moved.pool")
    (host.home / "main.pool").symlink_to("moved.pool")
    (host.home / "state").rename(host.home / "moved")
    (host.home / "state").symlink_to(host.home / "moved")
    host.daemon.start()
    assert host.daemon.api("GET", "/v1/pools/main")[1]["available"]
    assert host.daemon.socket("alice/root").is_socket()
    assert os.stat(host.daemon.socket("alice/root")).st_uid == host.owner[0]
