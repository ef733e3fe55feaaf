# SPDX-License-Identifier: GPL-2.0-or-later
"""Starting and ending: options, --check, what a start refuses, signals, the service manager."""
import os
import pathlib
import random
import signal
import socket
import subprocess
import tempfile

import pytest

from conftest import basic
from daemon import Daemon, program
from frontend import FrontEnd, Setup
from patience import PATIENCE_S


def run(*arguments, **options):
    return subprocess.run([str(program()), *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE_S, **options)


def test_usage():
    assert run("--nonsense").returncode == 2
    assert run("word").returncode == 2
    assert run("--config").returncode == 2
    assert run("--help").returncode == 0
    assert run("--version").stdout.startswith("viaductd ")


def test_check_prints_a_plan_and_touches_nothing(make_daemon, tmp_path):
    daemon = make_daemon(start=False)
    before = sorted(tmp_path.iterdir())
    result = subprocess.run(daemon.command("--check"), capture_output=True, text=True)
    assert result.returncode == 0 and result.stderr == ""
    assert f"pool main: create {tmp_path}/main.pool with 64M and format it\n" in result.stdout
    assert "disk alice/root: 8M in pool main, created if missing, grown if smaller\n" in result.stdout
    assert f"disk alice/root: listen on {tmp_path}/run/alice/disk-root.sock\n" in result.stdout
    assert f"daemon: keep what is set at run time, and what was seen of disks, in {tmp_path}/state\n" in result.stdout
    assert sorted(tmp_path.iterdir()) == before


def test_check_reports_every_mistake(tmp_path):
    config = tmp_path / "bad.conf"
    config.write_text("[deamon]\n[pool main]\npath = main.pool\nsise = 1G\n[disk alice/root]\npool = mian\n")
    result = run("--config", config, "--check")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"{config}:1: unknown section [deamon]; did you mean [daemon]?",
        f"{config}:3: path = main.pool is not an absolute path: it must start with '/'",
        f"{config}:4: unknown key 'sise' in [pool main]; did you mean 'size'?",
        f"{config}:5: the guest 'alice' of [disk alice/root] is not declared; add a section [guest alice]",
        f"{config}:5: [disk alice/root] has no size; add for example size = 4G",
        f"{config}:6: the pool 'mian' of [disk alice/root] is not declared; did you mean pool = main?",
    ]
    assert run("--config", config).returncode == 1
    assert run("--config", tmp_path / "none.conf").returncode == 1


def test_check_looks_at_the_host(make_daemon, tmp_path):
    sections = basic(tmp_path)
    sections["disk alice/whole"] = {"path": tmp_path / "missing.raw"}
    sections["disk alice/long"] = {"pool": "main", "size": "1M", "socket": "/" + "x" * 120}
    result = subprocess.run(make_daemon(sections, start=False).command("--check"), capture_output=True, text=True)
    assert result.returncode == 1
    assert "missing.raw: No such file or directory" in result.stderr
    assert "is longer than 107 bytes" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly(daemon, number):
    assert daemon.socket("alice/root").is_socket()
    daemon.process.send_signal(number)
    assert daemon.process.wait(PATIENCE_S) == 0
    assert list(daemon.runtime.iterdir()) == []


def test_stale_sockets_are_replaced(daemon):
    daemon.kill()
    assert daemon.socket("alice/root").is_socket()
    daemon.start()
    assert daemon.api("GET", "/v1/disks/alice/root")[0] == 200


def test_second_daemon_is_refused(daemon):
    result = subprocess.run(daemon.command(), capture_output=True, text=True, timeout=PATIENCE_S)
    assert result.returncode == 1
    assert "another viaductd serves" in result.stderr
    assert daemon.api("GET", "/v1/status")[0] == 200


def test_second_daemon_on_the_same_pool(daemon, tmp_path):
    other = tmp_path / "other"
    process = subprocess.Popen([str(program()), "--config", str(daemon.config), "--runtime-dir", str(other)],
                               stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if "ready" in line:
                raise AssertionError("served although the pool is in use")
            if "main.pool is in use" in line:
                break
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        process.stderr.close()
    assert process.returncode == 0


def test_damaged_pool_does_not_stop_the_others(make_daemon, tmp_path):
    sections = basic(tmp_path)
    sections["pool spare"] = {"path": tmp_path / "spare.pool", "size": "64M"}
    sections["disk alice/spare"] = {"pool": "spare", "size": "4M"}
    daemon = make_daemon(sections)
    assert daemon.stop() == 0
    with open(tmp_path / "main.pool", "r+b") as pool:
        data = bytearray(pool.read(1 << 20))
        for at in range(16, len(data), 64):
            data[at] ^= 0x55
        pool.seek(0)
        pool.write(data)
    daemon.start()
    daemon.wait_line("ready: 1 device served, others are not: see above")
    pools = {pool["name"]: pool for pool in daemon.api("GET", "/v1/pools")[1]["pools"]}
    assert not pools["main"]["available"] and pools["spare"]["available"]
    assert "main.pool" in pools["main"]["error"]
    assert [disk["name"] for disk in daemon.api("GET", "/v1/disks")[1]["disks"]] == ["alice/spare"]
    assert daemon.api("POST", "/v1/disks", {"name": "a/b", "pool": "main", "size_bytes": 4096})[0] == 503


def test_foreign_contents_are_kept(make_daemon, tmp_path):
    image = bytearray(64 << 20)
    image[1080:1082] = b"\x53\xef"      # an ext4 superblock's magic
    image[1024:1028] = (16384).to_bytes(4, "little")
    image[1028:1032] = (16384).to_bytes(4, "little")
    image[510:512] = b"\x55\xaa"
    image[446 + 4] = 0x83               # and a partition table
    image[446 + 8:446 + 16] = (2048).to_bytes(4, "little") + (4096).to_bytes(4, "little")
    (tmp_path / "main.pool").write_bytes(image)
    daemon = make_daemon()
    pool, = daemon.api("GET", "/v1/pools")[1]["pools"]
    assert not pool["available"] and "--force-format main" in pool["error"]
    assert (tmp_path / "main.pool").read_bytes() == image
    assert daemon.stop() == 0
    forced = make_daemon(arguments=["--force-format", "main"])
    assert forced.api("GET", "/v1/pools/main")[1]["available"]


def test_contents_of_no_known_format_are_kept(make_daemon, tmp_path):
    image = random.Random(1).randbytes(64 << 20)    # an encrypted disk, a database
    (tmp_path / "main.pool").write_bytes(image)
    daemon = make_daemon()
    pool, = daemon.api("GET", "/v1/pools")[1]["pools"]
    assert not pool["available"]
    assert pool["error"] == (f"{tmp_path}/main.pool: the disk is in use: it holds data that is no known format; nothing was "
                             "written; if that may be lost, start with --force-format main")
    assert (tmp_path / "main.pool").read_bytes() == image
    assert daemon.stop() == 0
    forced = make_daemon(arguments=["--force-format", "main"])
    assert forced.wait_line(f"pool main: --force-format: {tmp_path}/main.pool holds data that is no known format, "
                            "which is destroyed now")
    assert forced.api("GET", "/v1/pools/main")[1]["available"]


def test_service_manager(make_daemon, tmp_path):
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(PATIENCE_S)
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
    daemon = make_daemon(environment=environment)
    assert manager.recv(4096).startswith(b"READY=1\n")
    assert manager.recv(4096) == b"WATCHDOG=1"
    daemon.process.send_signal(signal.SIGHUP)
    seen = [manager.recv(4096)]
    while not seen[-1].startswith(b"READY=1"):
        seen.append(manager.recv(4096))
    assert any(message.startswith(b"RELOADING=1\nMONOTONIC_USEC=") for message in seen)
    daemon.process.send_signal(signal.SIGTERM)
    while manager.recv(4096) != b"STOPPING=1":
        pass
    assert daemon.process.wait(PATIENCE_S) == 0
    manager.close()


def test_sandbox_is_on_for_every_thread(daemon):
    if "sanitizer" in daemon.text():
        return
    for task in os.listdir(f"/proc/{daemon.pid}/task"):
        status = open(f"/proc/{daemon.pid}/task/{task}/status", encoding="ascii").read()
        if "iou-" in status.splitlines()[0]:
            continue
        assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status, status


def test_sandbox_off(make_daemon, tmp_path):
    daemon = make_daemon({**basic(tmp_path), "daemon": {"sandbox": "no"}})
    assert "Seccomp:\t0" in open(f"/proc/{daemon.pid}/status", encoding="ascii").read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user")
def test_user_is_changed():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        os.chmod(folder, 0o755)
        daemon = Daemon({**basic(folder), "daemon": {"user": "nobody"}}, folder)
        try:
            daemon.start()
            status = open(f"/proc/{daemon.pid}/status", encoding="ascii").read()
            assert "Uid:\t65534\t65534\t65534\t65534" in status and "CapEff:\t0000000000000000" in status
            new = {"name": "bob/a", "pool": "main", "size_bytes": 4096}
            status, answer = daemon.api("POST", "/v1/disks", new)
            assert status == 201, answer
            # Made before and after the change.
            assert [os.stat(daemon.socket(disk)).st_uid for disk in ("alice/root", "bob/a")] == [65534, 65534]
        finally:
            daemon.finish()
        assert not daemon.socket("alice/root").exists() and not daemon.socket("bob/a").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user")
@pytest.mark.parametrize("setting, owner", [(None, 0), ("yes", 65534)], ids=["default", "core_dumps"])
def test_its_user_cannot_look_into_it(setting, owner):
    """What /proc shows of a process that may not be dumped is root's; so is what it shows of its children."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        os.chmod(folder, 0o755)
        daemon = Daemon({**basic(folder), "daemon": {"user": "nobody", "core_dumps": setting}}, folder)
        try:
            daemon.start()
            with FrontEnd.start(daemon.socket("alice/root"), Setup()) as front:
                front.disk().write(0, b"a" * 512)
                processes = family(daemon.pid)
                assert len(processes) == 3, "the daemon, the porter and a doorman"
                assert [os.stat(f"/proc/{process}/environ").st_uid for process in processes] == [owner] * 3
                seen = [subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", f"/proc/{process}/environ"],
                                       capture_output=True, check=False).returncode for process in processes]
                assert [code == 0 for code in seen] == [setting == "yes"] * 3
        finally:
            daemon.finish()


def family(process):
    """A process and all that come from it."""
    children = " ".join(pathlib.Path(task, "children").read_text() for task in pathlib.Path(f"/proc/{process}/task").iterdir())
    return [process, *(one for child in children.split() for one in family(int(child)))]


def test_idle_costs_nothing(make_daemon, tmp_path):
    """Nor do two guests that do nothing."""
    sections = basic(tmp_path)
    sections["disk alice/more"] = {"pool": "main", "size": "8M"}
    daemon = make_daemon(sections)
    daemon.wait_idle()
    with FrontEnd.start(daemon.socket("alice/root"), Setup()) as split, \
         FrontEnd.start(daemon.socket("alice/more"), Setup(packed=True)) as packed:
        for front in split, packed:
            front.disk().read(0, 8)
        daemon.wait_idle()


# The service manager's word; root has one place besides, where a test has no business.
STATE_PLACES = [({"STATE_DIRECTORY": "{}/service:/other"}, "service")] + ([] if os.geteuid() == 0 else [
    ({"STATE_DIRECTORY": "", "XDG_STATE_HOME": "{}/home"}, "home/viaduct"),
    ({"STATE_DIRECTORY": "", "XDG_STATE_HOME": "relative", "HOME": "{}/user"}, "user/.local/state/viaduct"),
])


@pytest.mark.parametrize("environment, place", STATE_PLACES)
def test_state_directory(make_daemon, tmp_path, environment, place):
    daemon = make_daemon({**basic(tmp_path), "daemon": {"state_dir": None}}, start=False)
    environment = {key: value.format(tmp_path) for key, value in environment.items()}
    result = subprocess.run(daemon.command("--check"), capture_output=True, text=True, env={**os.environ, **environment})
    assert f"in {tmp_path}/{place}\n" in result.stdout, result.stderr
