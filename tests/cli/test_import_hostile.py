# SPDX-License-Identifier: GPL-2.0-or-later
"""Images that strangers made: each format is imported as it is or refused, and never brings another file's bytes."""

import ctypes
import errno
import json
import os
import pathlib
import random
import shlex
import shutil
import struct
import subprocess

import pytest

import images
from conftest import BUILD
from real_daemon import Daemon

MIB = 1 << 20
LANDLOCK_CREATE_RULESET = 444   # the number of the system call, on every architecture
SECRET = b"TOP-SECRET-OF-THE-HOST " * 50000


@pytest.fixture
def daemon(short_dir):
    daemon = Daemon(BUILD / "src/daemon/viaductd", short_dir, extra="[guest mallory]\n").start()
    yield daemon
    daemon.stop()


@pytest.fixture
def secret(tmp_path):
    """Stands for /etc/shadow: the one who imports may read it, whoever made the image may not."""
    path = tmp_path / "host-secret"
    path.write_bytes(SECRET)
    path.chmod(0o600)
    return path


@pytest.fixture
def raw(tmp_path):
    """Data, a hole, data, a few bytes: 3 MiB."""
    path = tmp_path / "contents"
    data = random.Random(7)
    path.write_bytes(data.randbytes(MIB) + bytes(MIB) + data.randbytes(MIB - 4096) + bytes(4095) + b"x")
    return path


def disks(viaduct):
    return {disk["name"]: disk["size_bytes"] for disk in json.loads(viaduct("disk", "list", "--json").out)["disks"]}


def contents(viaduct, tmp_path, disk):
    out = tmp_path / "exported"
    result = viaduct("disk", "export", disk, out, "--overwrite")
    assert result.code == 0, result.err
    return out.read_bytes()


def refused(viaduct, tmp_path, image, *said, options=()):
    """The import fails, says why, and leaves neither a disk nor a file behind."""
    before = set(os.listdir(tmp_path))
    result = viaduct("disk", "import", "mallory/root", image, *options, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert result.code == 1, result.err
    for word in said:
        assert word in result.err, result.err
    assert "TOP-SECRET" not in result.err
    assert disks(viaduct) == {} and set(os.listdir(tmp_path)) == before


# ---- every format ----

@pytest.mark.parametrize("image_format", images.ALL)
def test_every_format_is_imported_as_it_is(viaduct, daemon, tmp_path, raw, image_format):
    image = images.make(raw, tmp_path / "no-name-that-tells", image_format)
    for disk, options in ("mallory/a", ()), ("mallory/b", ("--format", image_format)):
        result = viaduct("disk", "import", disk, image, *options)
        assert result.code == 0, result.err
        data = contents(viaduct, tmp_path, disk)
        assert data[:3 * MIB] == raw.read_bytes() and not any(data[3 * MIB:])
        assert len(data) < 4 * MIB      # VHD rounds its size up to whole cylinders


@pytest.mark.parametrize("image_format, options", [
    ("qcow2", ("-c",)), ("qcow2", ("-o", "compat=0.10")), ("qcow2", ("-o", "extended_l2=on")),
    ("vmdk", ("-o", "subformat=streamOptimized")), ("vpc", ("-o", "subformat=fixed")),
    ("vhdx", ("-o", "subformat=fixed")), ("vdi", ("-o", "static=on"))])
def test_variants_of_formats(viaduct, daemon, tmp_path, raw, image_format, options):
    image = images.make(raw, tmp_path / "image", image_format, *options)
    result = viaduct("disk", "import", "mallory/root", image)
    assert result.code == 0, result.err
    assert contents(viaduct, tmp_path, "mallory/root")[:3 * MIB] == raw.read_bytes()


def test_luks_is_copied_only_when_told_so(viaduct, daemon, tmp_path):
    image = tmp_path / "image"
    images.qemu_img("create", "-f", "luks", "--object", "secret,id=s,data=abc", "-o", "key-secret=s,iter-time=10", image,
                    "1M")
    refused(viaduct, tmp_path, image, "encrypted (LUKS)", "--format raw")
    refused(viaduct, tmp_path, image, "encrypted (LUKS)", options=("--format", "luks"))
    assert viaduct("disk", "import", "mallory/root", image, "--format", "raw").code == 0
    assert contents(viaduct, tmp_path, "mallory/root").startswith(image.read_bytes())


PACKERS = {"gzip": ("gzip", "-k"), "xz": ("xz", "-k"), "tar": ("tar", "-cf", "contents.tar")}


@pytest.mark.parametrize("packing", PACKERS)
def test_packed_images_are_copied_only_when_told_so(viaduct, daemon, tmp_path, raw, packing):
    command = PACKERS[packing]
    if not shutil.which(command[0]):
        pytest.skip(f"no {command[0]} here")
    subprocess.run([*command, raw.name], cwd=tmp_path, check=True)
    packed, = (path for path in tmp_path.iterdir() if path != raw)
    refused(viaduct, tmp_path, packed, f"is packed ({packing})", "--format raw")
    assert viaduct("disk", "import", "mallory/root", packed, "--format", "raw").code == 0
    assert contents(viaduct, tmp_path, "mallory/root").startswith(packed.read_bytes())


def test_what_is_guessed_is_said(viaduct, daemon, tmp_path, raw):
    image = images.make(raw, tmp_path / "image", "vdi")
    for path, name in (raw, "raw"), (image, "vdi"):
        said = f"{path} is taken for a {name} image"
        assert said in viaduct("disk", "import", "mallory/root", path, "--overwrite").err
        assert "is taken for" not in viaduct("disk", "import", "mallory/root", path, "--overwrite", "--format", name).err


def test_unknown_formats_and_times(viaduct, daemon, raw):
    for image_format in ("vvfat", "nbd", "json", "blkdebug", ""):
        result = viaduct("disk", "import", "mallory/root", raw, "--format", image_format)
        assert result.code == 2 and "is no image format" in result.err
    for seconds in ("0", "-1", "1.5", "x", "", "86401"):
        result = viaduct("disk", "import", "mallory/root", raw, "--timeout", seconds)
        assert result.code == 2 and "from 1 to 86400" in result.err, seconds
    assert disks(viaduct) == {}


# ---- images that name other files ----

def overlay(path, image_format, backing, backing_format="raw"):
    """An overlay whose backing file is only named: qemu-img does not look for it (-u)."""
    images.qemu_img("create", "-u", "-f", image_format, "-F", backing_format, "-b", backing, path, "1M")
    return path


@pytest.mark.parametrize("name", [
    "{secret}", "host-secret", "file:{secret}", "/dev/../{secret}", "/proc/self/cwd/{secret}",
    'json:{{"driver":"raw","file":{{"driver":"file","filename":"{secret}"}}}}',
    'json:{{"driver":"raw","offset":0,"file.driver":"file","file.filename":"{secret}"}}',
    "nbd://127.0.0.1:1/x", "nbd+unix:///x?socket={secret}", "http://127.0.0.1:1/x", "ssh://root@127.0.0.1/etc/shadow",
    "fat:/etc", "/dev/fd/3", "blkdebug::{secret}"])
def test_backing_file_of_qcow2(viaduct, daemon, tmp_path, secret, name):
    image = overlay(tmp_path / "image", "qcow2", name.format(secret=secret))
    refused(viaduct, tmp_path, image, "holds only what differs from", "--backing-chain")
    refused(viaduct, tmp_path, image, "holds only what differs from", options=("--format", "qcow2"))


def test_name_of_a_backing_file_is_not_sent_to_the_terminal(viaduct, daemon, tmp_path):
    image = overlay(tmp_path / "image", "qcow2", "\x1b]0;owned\x07\x1b[2J")
    refused(viaduct, tmp_path, image, "?]0;owned??[2J")
    assert "\x1b" not in viaduct("disk", "import", "mallory/root", image).err


@pytest.mark.parametrize("image_format", ["qcow", "qed", "vmdk"])
def test_backing_file_of_other_formats(viaduct, daemon, tmp_path, secret, image_format):
    base = images.make(secret, tmp_path / "base", "vmdk") if image_format == "vmdk" else secret
    image = tmp_path / "image"
    images.qemu_img("create", "-f", image_format, "-F", "vmdk" if image_format == "vmdk" else "raw", "-b", base, image)
    refused(viaduct, tmp_path, image, "holds only what differs from", str(base))


@pytest.mark.parametrize("raw_data", ["on", "off"])
def test_external_data_file_of_qcow2(viaduct, daemon, tmp_path, secret, raw_data):
    image, data = tmp_path / "image", tmp_path / "data"
    images.qemu_img("create", "-f", "qcow2", "-o", f"data_file={data},data_file_raw={raw_data}", image, "1M")
    images.qemu_img("bench", "-f", "qcow2", "-w", "-c", "1", "-s", "65536", image)     # a cluster that is mapped
    data.unlink()
    data.symlink_to(secret)
    refused(viaduct, tmp_path, image, "external data file")
    refused(viaduct, tmp_path, image, "external data file", options=("--format", "qcow2"))


def test_external_data_file_named_by_its_feature_bit_alone(viaduct, daemon, tmp_path, raw):
    image = images.make(raw, tmp_path / "image", "qcow2")
    with open(image, "r+b") as file:
        file.seek(72)
        file.write(struct.pack(">Q", 1 << 2))
    refused(viaduct, tmp_path, image, "external data file")


@pytest.mark.parametrize("extent", [
    'RW 2048 FLAT "{secret}" 0', 'RW 2048 FLAT "host-secret" 0', 'RW 2048 VMFS "{secret}"', 'RW 2048 SPARSE "{secret}"',
    'RW 2048 FLAT "json:{{\\"driver\\":\\"file\\",\\"filename\\":\\"{secret}\\"}}" 0', 'RW 2048 FLAT "nbd://127.0.0.1:1/x" 0',
    'RW 2048 ZERO\nRW 2048 FLAT "{secret}" 0'])
def test_vmdk_that_names_its_extents(viaduct, daemon, tmp_path, secret, extent):
    text = images.vmdk_text(extent.format(secret=secret))
    image = tmp_path / "image"
    image.write_text(text)
    refused(viaduct, tmp_path, image, "names other files as its extents")
    image.write_text("# a comment\n\n" + text.replace("# Disk DescriptorFile\n", ""))
    refused(viaduct, tmp_path, image, "names other files as its extents")
    refused(viaduct, tmp_path, image, "names other files as its extents", options=("--format", "vmdk"))
    image.write_bytes(images.vmdk_with_text_inside(text))
    refused(viaduct, tmp_path, image, "names its extents")


def test_raw_disk_that_looks_like_an_overlay(viaduct, daemon, tmp_path, secret):
    """What a guest writes into its disk decides nothing when somebody exports and imports that disk again."""
    image = overlay(tmp_path / "image", "qcow2", secret)
    assert viaduct("disk", "import", "mallory/root", image, "--format", "raw").code == 0
    again = tmp_path / "again"
    assert viaduct("disk", "export", "mallory/root", again, "--format", "raw").code == 0
    assert viaduct("disk", "delete", "mallory/root", "--yes").code == 0
    refused(viaduct, tmp_path, again, "holds only what differs from")
    assert viaduct("disk", "import", "mallory/root", again, "--format", "raw").code == 0
    assert contents(viaduct, tmp_path, "mallory/root").startswith(image.read_bytes())


def test_format_inside_a_format_stays_data(viaduct, daemon, tmp_path, secret):
    inner = overlay(tmp_path / "inner", "qcow2", secret)
    image = images.make(inner, tmp_path / "image", "qcow2")
    assert viaduct("disk", "import", "mallory/root", image).code == 0
    assert contents(viaduct, tmp_path, "mallory/root").startswith(inner.read_bytes())


def test_export_to_qcow2_does_not_look_inside(viaduct, daemon, tmp_path, secret):
    inner = overlay(tmp_path / "inner", "qcow2", secret)
    assert viaduct("disk", "import", "mallory/root", inner, "--format", "raw").code == 0
    result = viaduct("disk", "export", "mallory/root", tmp_path / "out.qcow2")
    assert result.code == 0, result.err
    images.qemu_img("convert", "-O", "raw", tmp_path / "out.qcow2", tmp_path / "out")
    assert (tmp_path / "out").read_bytes().startswith(inner.read_bytes())


# ---- on purpose ----

def test_backing_chain_on_purpose(viaduct, daemon, tmp_path, raw):
    base = images.make(raw, tmp_path / "base.qcow2", "qcow2")
    images.qemu_img("create", "-f", "qcow2", "-F", "qcow2", "-b", base.name, tmp_path / "middle.qcow2")
    images.qemu_img("create", "-f", "qcow2", "-F", "qcow2", "-b", "middle.qcow2", tmp_path / "top.qcow2")
    refused(viaduct, tmp_path, tmp_path / "top.qcow2", "middle.qcow2")
    result = viaduct("disk", "import", "mallory/root", tmp_path / "top.qcow2", "--backing-chain")
    assert result.code == 0, result.err
    assert contents(viaduct, tmp_path, "mallory/root") == raw.read_bytes()


def test_extents_and_data_files_on_purpose(viaduct, daemon, tmp_path, raw):
    images.convert(raw, tmp_path / "parts.vmdk", "vmdk", "-o", "subformat=twoGbMaxExtentSparse")
    images.convert(raw, tmp_path / "head.qcow2", "qcow2", "-o", f"data_file={tmp_path}/data")
    for name in "parts.vmdk", "head.qcow2":
        result = viaduct("disk", "import", "mallory/root", tmp_path / name, "--backing-chain")
        assert result.code == 0, result.err
        assert contents(viaduct, tmp_path, "mallory/root") == raw.read_bytes()
        assert viaduct("disk", "delete", "mallory/root", "--yes").code == 0


def test_no_network_even_on_purpose(viaduct, daemon, tmp_path):
    image = overlay(tmp_path / "image", "qcow2", f"nbd+unix:///x?socket={daemon.directory}/api.sock")
    refused(viaduct, tmp_path, image, "qemu-img:", options=("--backing-chain",))


def forget_landlock():
    """In a child before it runs the program: as on a kernel without Landlock."""
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(0x7fff0000)))
    refuse = ctypes.c_uint32(0x00050000 | errno.ENOSYS)
    assert seccomp.seccomp_rule_add(rules, refuse, LANDLOCK_CREATE_RULESET, 0) == 0
    assert seccomp.seccomp_load(rules) == 0


def test_kernel_without_landlock(viaduct, daemon, tmp_path, raw):
    """Nothing of a stranger's is read unconfined; what the user answers for goes on."""
    image = images.make(raw, tmp_path / "image", "qcow2")
    result = viaduct("disk", "import", "mallory/root", image, preexec_fn=forget_landlock)
    assert result.code == 1 and "no Landlock" in result.err and "convert the image to raw" in result.err
    assert disks(viaduct) == {}
    result = viaduct("disk", "import", "mallory/root", image, "--backing-chain", preexec_fn=forget_landlock)
    assert result.code == 0, result.err
    out = tmp_path / "out.qcow2"
    assert viaduct("disk", "export", "mallory/root", out, preexec_fn=forget_landlock).code == 0
    assert contents(viaduct, tmp_path, "mallory/root") == raw.read_bytes()


# ---- sizes, times and files that are none ----

def test_size_that_an_image_claims_is_settled_first(viaduct, daemon, tmp_path, raw):
    image = tmp_path / "image"
    images.qemu_img("create", "-f", "qcow2", image, "1P")
    refused(viaduct, tmp_path, image)
    result = viaduct("disk", "import", "mallory/root", image, "--size", "1G")
    assert result.code == 2 and "--size" in result.err
    assert viaduct("disk", "import", "mallory/root", raw).code == 0
    result = viaduct("disk", "import", "mallory/root", image, "--overwrite")
    assert result.code == 1 and "resize" in result.err and "part of the image" not in result.err
    assert contents(viaduct, tmp_path, "mallory/root") == raw.read_bytes()


def test_damaged_images_are_refused(viaduct, daemon, tmp_path, raw):
    for number, image_format in enumerate(images.ALL):
        whole = images.make(raw, tmp_path / "whole", image_format).read_bytes()
        image = tmp_path / "image"
        # VHD and DMG are known by their end, the others by their beginning.
        image.write_bytes(whole[-4096:] if image_format == "dmg" else whole[:600])
        result = viaduct("disk", "import", f"mallory/d{number}", image)
        assert result.code == 1 or image_format in ("qcow2", "qcow", "vdi", "vpc", "parallels", "bochs"), image_format
        assert "Sanitizer" not in result.err
        if result.code == 0:            # readers take what is missing for zeroes
            assert SECRET[:20] not in contents(viaduct, tmp_path, f"mallory/d{number}")


def test_fifo_is_not_waited_for(viaduct, daemon, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    refused(viaduct, tmp_path, tmp_path / "fifo", "neither a file nor a block device")
    refused(viaduct, tmp_path, tmp_path, "neither a file nor a block device")


def test_links_of_others_are_not_followed(viaduct, daemon, tmp_path, raw):
    """Root reads no file because somebody put a link to it where an image was expected. Others follow all links."""
    link, folder = tmp_path / "link.raw", tmp_path / "folder"
    link.symlink_to(raw)
    folder.symlink_to(tmp_path)
    if os.geteuid() == 0:
        os.lchown(link, 65534, 65534)
        os.lchown(folder, 65534, 65534)
        refused(viaduct, tmp_path, link, "a link on the way is not root's", str(link))
        refused(viaduct, tmp_path, folder / raw.name, "a link on the way is not root's")
        os.lchown(link, 0, 0)
        os.lchown(folder, 0, 0)
    assert viaduct("disk", "import", "mallory/a", link).code == 0
    assert viaduct("disk", "import", "mallory/b", folder / raw.name).code == 0


def test_image_that_becomes_shorter(viaduct, daemon, tmp_path):
    """As files of the kernel do, which have less in them than their size says."""
    image = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
    assert len(image.read_bytes()) < image.stat().st_size
    refused(viaduct, tmp_path, image, "the image became shorter while it was read")


# ---- a reader that an image took over ----

@pytest.fixture
def hostile(viaduct, daemon, tmp_path):
    """Imports an image whose reader does what the image says: (result, what came of each line)."""
    program = BUILD / "tests/cli/hostile_qemu_img"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/qemu-img").symlink_to(program)

    def run(script, *options, outside=False):
        image = tmp_path / "script"
        image.write_bytes(b"QFI\xfb\0\0\0\3".ljust(4096, b"\0") + script.encode())
        out = tmp_path / "said"
        if outside:
            subprocess.run(f"exec {shlex.quote(str(program))} convert 3<{image} 4<>{out}", shell=True, check=True)
            return None, dict(line.rsplit(": ", 1) for line in out.read_text().splitlines())
        result = viaduct("disk", "import", "mallory/root", image, *options,
                         env={**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})
        if result.code != 0:
            assert disks(viaduct) == {}
            return result, {}
        text = contents(viaduct, tmp_path, "mallory/root").rstrip(b"\0").decode()
        return result, dict(line.rsplit(": ", 1) for line in text.splitlines())

    return run


def test_reader_gets_nothing_but_its_image(hostile, daemon, tmp_path, secret):
    """The same attempts succeed outside of the sandbox, each of them: it is the sandbox that refuses them."""
    victim = subprocess.Popen(["sleep", "600"])
    (tmp_path / "folder").mkdir()
    (tmp_path / "gone").touch()
    attempts = [f"read {secret}", f"read /proc/{victim.pid}/maps", "read /etc/passwd", "read /usr/bin/env",
                f"read {tmp_path}/script", f"list {tmp_path}", f"create {tmp_path}/folder/new", "create /tmp/viaduct-hostile-new",
                f"truncate {tmp_path}/gone", f"chmod {tmp_path}/gone", f"chown {tmp_path}/gone", f"touch {tmp_path}/gone",
                f"unix {daemon.directory}/api.sock", "inet ", "fork ", f"signal {victim.pid}", f"ptrace {victim.pid}",
                "memory 4096", "exec /bin/true", f"unlink {tmp_path}/gone"]
    script = "\n".join(attempts) + "\n"
    try:
        _, outside = hostile(script, outside=True)
        for leftover in tmp_path / "folder/new", "/tmp/viaduct-hostile-new":
            os.unlink(leftover)
        (tmp_path / "gone").write_bytes(b"precious")
        (tmp_path / "gone").chmod(0o600)
        result, inside = hostile(script)
    finally:
        victim.kill()
        victim.wait()
    assert outside == {attempt: "ok" for attempt in attempts}
    assert result.code == 0 and list(inside) == attempts
    own = f"read {tmp_path}/script"         # it has the image itself, under whatever name
    assert {attempt for attempt in attempts if inside[attempt] == "ok"} == {own}, inside
    assert (tmp_path / "gone").read_bytes() == b"precious" and (tmp_path / "gone").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path / "folder") == [] and not os.path.exists("/tmp/viaduct-hostile-new")


def test_reader_of_a_chain_writes_nothing(hostile, daemon, tmp_path, secret):
    attempts = [f"read {secret}", f"list {tmp_path}", f"create {tmp_path}/new", f"truncate {secret}", f"chmod {secret}",
                f"unix {daemon.directory}/api.sock", "fork "]
    _, inside = hostile("\n".join(attempts) + "\n", "--backing-chain")
    assert [attempt for attempt in attempts if inside[attempt] == "ok"] == attempts[:2]
    assert secret.read_bytes() == SECRET and not (tmp_path / "new").exists()


@pytest.mark.parametrize("script", ["sleep ", "spin ", "chatter "])
def test_reader_without_progress_is_ended(hostile, script):
    result, _ = hostile(script, "--timeout", "4")
    assert "made no progress for 4 s and was ended" in result.err and "deleted again" in result.err


def test_reader_that_writes_more_than_the_size_is_ended(hostile):
    result, _ = hostile(f"grow {64 * MIB}")
    assert "wrote more than the image's size" in result.err


def test_complaint_of_a_reader_is_made_harmless(hostile):
    result, _ = hostile("fail \x1b[2Jgone")
    assert "qemu-img: ?[2Jgone" in result.err and "\x1b" not in result.err
