# SPDX-License-Identifier: GPL-2.0-or-later
"""Front ends that others wrote and that are no guests: qemu-img and qemu-io through libblkio."""
import re

import pytest

import foreign


@pytest.fixture(scope="module")
def client():
    """Runs a program of the newer Debian against a socket."""
    try:
        foreign.root()
    except foreign.Unavailable as reason:
        pytest.skip(str(reason))

    def run(program, socket, *arguments):
        image = f"driver=virtio-blk-vhost-user,path={socket},cache.direct=on"
        return foreign.run(program, *arguments, "--image-opts", image)

    return run


def io(client, socket, *commands):
    words = [word for command in commands for word in ("-c", command)]
    done = client("qemu-io", socket, *words)
    text = done.stdout + done.stderr
    assert done.returncode == 0 and "failed" not in text, text
    return text


def test_bench(client, one_disk):
    socket = one_disk.socket("alice/root")
    for extra in ([], ["-w", "--flush-interval=64"]):
        done = client("qemu-img", socket, "bench", "-t", "none", "-c", "5000", "-d", "32", "-s", "4096", *extra)
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"Run completed in [\d.]+ seconds", done.stdout)


def test_patterns(client, one_disk):
    socket = one_disk.socket("alice/root")
    io(client, socket, "write -P 0xaa 1M 64k", "write -P 0xbb 1536k 1M", "flush")
    io(client, socket, "read -P 0xaa 1M 64k", "read -P 0xbb 1536k 1M", "read -P 0 0 1M", "read -P 0 1088k 448k")


def test_wrong_pattern_is_seen(client, one_disk):
    """The client really looks: another pattern than the written one is reported."""
    socket = one_disk.socket("alice/root")
    io(client, socket, "write -P 0xaa 1M 64k")
    done = client("qemu-io", socket, "-c", "read -P 0xab 1M 64k")
    assert "Pattern verification failed" in done.stdout + done.stderr


def test_discard_and_write_zeroes(client, one_disk):
    socket = one_disk.socket("alice/root")
    io(client, socket, "write -P 0xaa 4M 4M", "discard 5M 1M", "write -z 6M 1M")
    io(client, socket, "read -P 0xaa 4M 1M", "read -P 0 5M 2M", "read -P 0xaa 7M 1M")


def test_beyond_the_end(client, one_disk):
    """The client knows the disk's size and the last byte works."""
    socket = one_disk.socket("alice/root")
    text = io(client, socket, "length", "write -P 0xcc 268431360 4096", "read -P 0xcc 268431360 4096")
    assert "256 MiB" in text


def test_small_requests_at_odd_places(client, one_disk):
    socket = one_disk.socket("alice/root")
    io(client, socket, *[f"write -P {n + 1} {512 * (3 * n + 1)} {512 * (n % 3 + 1)}" for n in range(40)])
    io(client, socket, *[f"read -P {n + 1} {512 * (3 * n + 1)} {512 * (n % 3 + 1)}" for n in range(40)])
