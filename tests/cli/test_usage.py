# SPDX-License-Identifier: GPL-2.0-or-later
"""Exit codes, help, and what is said about a wrong line."""

import os
import pwd
import re
import subprocess

import pytest


def test_no_command_prints_usage(viaduct):
    result = viaduct()
    assert result.code == 2
    assert "usage: viaduct" in result.err and "pool show" in result.err


def test_help_lists_every_command_and_explains_each(viaduct):
    result = viaduct("help")
    assert result.code == 0
    names = re.findall(r"^  ([a-z-]+(?: [a-z-]+)?)  ", result.out, re.M)
    assert {"status", "pool check", "disk import", "run", "demo", "reload"} <= set(names)
    for name in names:
        one = viaduct("help", *name.split())
        assert one.code == 0 and f"usage: viaduct {name}" in one.out or name == "help"


def test_help_option_of_a_command(viaduct):
    result = viaduct("disk", "create", "--help")
    assert result.code == 0 and "usage: viaduct disk create" in result.out


@pytest.mark.parametrize("words, suggestion", [
    (["stauts"], "status"), (["qemu-arg"], "qemu-args"), (["disk", "crate"], "disk create"), (["pool", "shwo"], "pool show"),
    (["seat", "shw", "desk"], "seat show"), (["seats"], "seat"), (["seats", "list"], "seat"),
])
def test_typo_names_the_nearest_command(viaduct, words, suggestion):
    result = viaduct(*words)
    assert result.code == 2
    assert f'did you mean "{suggestion}"?' in result.err


def test_unknown_member_of_a_family(viaduct):
    """The family is known, so it is not that which is wrong."""
    result = viaduct("seat", "shw", "desk")
    assert result.code == 2 and 'unknown seat command "shw"; did you mean "seat show"?' in result.err
    result = viaduct("seat", "frobnicate")
    assert result.code == 2 and 'unknown seat command "frobnicate"; there are:' in result.err
    assert "viaduct seat focus SEAT" in result.err


@pytest.mark.parametrize("words, sentence", [
    (["disk", "create"], "an argument is missing"),
    (["disk", "create", "a/b"], "--pool POOL is missing"),
    (["disk", "create", "a/b", "--pool", "p"], "--size SIZE is missing"),
    (["disk", "create", "a/b", "--pool", "p", "--size", "8Q"], "not a size"),
    (["disk", "create", "a/b", "--pool", "p", "--size"], "--size needs a value"),
    (["disk", "create", "a/b", "--pol", "p"], "did you mean --pool?"),
    (["disk", "create", "alice", "--pool", "p", "--size", "1G"], "GUEST/NAME"),
    (["disk", "create", "a/b c", "--pool", "p", "--size", "1G"], "no disk name"),
    (["disk", "create", "a/b", "c", "--pool", "p", "--size", "1G"], '"c" is one argument too many'),
    (["disk", "delete", "a/b"], "--yes"),
    (["disk", "import", "a/b"], 'missing after "a/b"'),
    (["disk", "import", "a/b", "/dev/null", "--format", "vvfat"], "is no image format"),
    (["disk", "export", "a/b", "/nonexistent", "--format", "vmdk"], "neither raw nor qcow2"),
    (["disk", "rename", "a/b"], "missing"),
    (["disk", "set"], "an argument is missing"),
    (["disk", "set", "alice"], "GUEST/NAME"),
    (["disk", "set", "a/b", "weight"], "write KEY=VALUE, for example weight=300"),
    (["disk", "set", "a/b", "wieght=3"], "did you mean weight?"),
    (["disk", "set", "a/b", "colour=3"], "there are weight, min_iops,"),
    (["disk", "set", "a/b", "weight=3", "weight=4"], "weight is given twice"),
    (["disk", "set", "a/b", "weight=none"], "is not a whole number"),
    (["disk", "set", "a/b", "weight=-1"], "is not a whole number"),
    (["nic", "set"], "an argument is missing"),
    (["nic", "set", "alice"], "write GUEST/NIC, for example alice/eth0"),
    (["nic", "set", "a/b", "weight"], "write KEY=VALUE, for example weight=300"),
    (["nic", "set", "a/b", "max_pp=3"], "did you mean max_pps?"),
    (["nic", "set", "a/b", "max_iops=3"], "did you mean max_pps?"),
    (["nic", "set", "a/b", "latency_target=3"], "there are weight, min_bandwidth, max_bandwidth, max_pps, burst"),
    (["nic", "set", "a/b", "max_pps=1", "max_pps=2"], "max_pps is given twice"),
    (["guest", "set", "a", "nic_wieght=1"], "did you mean nic_weight?"),
    (["guest", "set", "a", "max_pps=1"], 'there is no setting "max_pps"'),
    (["guest", "set", "a", "disk_latency_target=1"], 'there is no setting "disk_latency_target"'),
    (["guest", "set", "a", "colour=1"], "there are disk_weight, disk_min_iops,"),
    (["guest", "set", "a", "max_iops=1k"], 'write a number, "none", or "default"'),
    (["group", "set", "a", "max_bandwidth=fast"], "is not a size"),
    (["status", "--json=yes"], "--json takes no value"),
    (["status", "x"], "one argument too many"),
    (["run", "g", "--cpus", "0"], "--cpus"),
    (["run", "g", "--append", "x"], "need --kernel"),
    (["run", "g", "--memory", "12"], "less than 1 MiB"),
    (["demo", "--check-pool", "x"], "MAP.json"),
    (["demo", "--seconds", "none"], "--seconds"),
    (["capture"], "an argument is missing"),
    (["capture", "a/b", "-c"], "-c needs a value"),
    (["capture", "a/b", "-c", "0"], '-c: "0" is no whole number from 1 to'),
    (["capture", "a/b", "-c", "1x"], "no whole number"),
    (["capture", "a/b", "--snap", "300000"], "from 1 to 262144"),
    (["capture", "a/b", "-x"], "unknown option -x"),
    (["capture", "a/b", "--wirte", "x"], "did you mean --write?"),
    (["capture", "a/b", "--json"], "there is no JSON of frames"),
])
def test_usage_errors(viaduct, words, sentence):
    result = viaduct(*words)
    assert result.code == 2
    assert sentence in result.err
    assert result.out == ""


def test_help_option_of_a_family(viaduct):
    result = viaduct("nic", "--help")
    assert result.code == 0 and "viaduct nic list" in result.out and "viaduct nic link" in result.out
    assert viaduct("nics", "--help").code == 2


def test_family_without_command(viaduct):
    result = viaduct("disk")
    assert result.code == 2
    assert "viaduct disk create" in result.err


def test_daemon_not_running_says_how_to_start_it(viaduct):
    result = viaduct("status")
    assert result.code == 1
    assert "not running" in result.err and "systemctl start viaductd" in result.err
    assert str(viaduct.runtime_dir) in result.err


def test_stale_socket_is_no_daemon(viaduct, short_dir):
    import socket
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(short_dir / "api.sock"))
    result = viaduct("status")
    assert result.code == 1 and "not running" in result.err


def test_runtime_dir_too_long(viaduct, short_dir):
    viaduct.runtime_dir = short_dir / ("x" * 120)
    result = viaduct("status")
    assert result.code == 1 and "too long" in result.err


def as_nobody():
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)


def permission_case(viaduct, short_dir, mode):
    """Runs `status` on a socket that is closed to us; as another user when we are root."""
    os.chmod(short_dir, 0o711)
    os.chmod(short_dir / "api.sock", mode)
    if os.geteuid() != 0:
        return viaduct("status")
    program = short_dir / "viaduct"
    program.write_bytes(viaduct.program.read_bytes())
    os.chmod(program, 0o755)
    viaduct.program = program
    return viaduct("status", preexec_fn=as_nobody)


def test_permission_denied_names_the_group(viaduct, short_dir, api):
    if os.geteuid() == 0:
        os.chown(short_dir / "api.sock", 0, 4)  # adm
    group = os.stat(short_dir / "api.sock").st_gid
    result = permission_case(viaduct, short_dir, 0o060 if os.geteuid() else 0o660)
    assert result.code == 1
    import grp
    assert f"group {grp.getgrgid(group).gr_name}" in result.err


@pytest.mark.skipif(os.geteuid() != 0, reason="a file of root's group")
def test_nobody_is_told_to_join_root_s_group(viaduct, short_dir, api):
    os.chown(short_dir / "api.sock", 0, 0)
    result = permission_case(viaduct, short_dir, 0o660)
    assert result.code == 1 and "usermod" not in result.err
    assert "is root's; use sudo, or give viaductd a group of its own with group = viaduct in [daemon]" in result.err


def test_permission_denied_owner_only(viaduct, short_dir, api):
    result = permission_case(viaduct, short_dir, 0o000)
    assert result.code == 1 and "sudo" in result.err


def test_version(viaduct):
    result = subprocess.run([str(viaduct.program), "--version"], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and re.match(r"viaduct \d", result.stdout)


