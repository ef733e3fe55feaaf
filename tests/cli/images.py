# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk images of every format that qemu-img reads: those that it writes by itself, the others by hand."""

import base64
import struct
import subprocess
import zlib

SECTOR = 512
WRITTEN_BY_QEMU_IMG = ("qcow2", "qcow", "qed", "vmdk", "vdi", "vpc", "vhdx", "parallels")


def qemu_img(*arguments):
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True)


def convert(raw, path, image_format, *options):
    qemu_img("convert", "-f", "raw", "-O", image_format, *options, raw, path)


def bochs(raw, path):
    """A growing redolog: a catalogue of extents, each a bitmap of its sectors and their data."""
    data, extent = raw.read_bytes(), 64 << 10
    count = -(-len(data) // extent)
    header = struct.pack("<32s16s16sIIIIIIQ", b"Bochs Virtual HD Image", b"Redolog", b"Growing", 0x00020000, SECTOR,
                         count, extent // SECTOR // 8, extent, 0, len(data))
    with open(path, "wb") as image:
        image.write(header.ljust(SECTOR, b"\0"))
        image.write(struct.pack(f"<{count}I", *range(count)))
        for at in range(count):
            image.write((b"\xff" * (extent // SECTOR // 8)).ljust(SECTOR, b"\0"))
            image.write(data[at * extent:(at + 1) * extent].ljust(extent, b"\0"))


def cloop(raw, path):
    """A script of 128 bytes, the table of offsets, and blocks packed by zlib."""
    data, block = raw.read_bytes(), 64 << 10
    packed = [zlib.compress(data[at:at + block].ljust(block, b"\0")) for at in range(0, len(data), block)]
    offsets = [128 + 8 + 8 * (len(packed) + 1)]
    for piece in packed:
        offsets.append(offsets[-1] + len(piece))
    script = b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n"
    with open(path, "wb") as image:
        image.write(script.ljust(128, b"\0") + struct.pack(">II", block, len(packed)))
        image.write(struct.pack(f">{len(offsets)}Q", *offsets) + b"".join(packed))


def dmg(raw, path):
    """Chunks packed by zlib, a property list with their table, and the trailer that says where it is."""
    data, chunk = raw.read_bytes(), 256 << 10
    packed = [zlib.compress(data[at:at + chunk]) for at in range(0, len(data), chunk)]
    rows, offset = b"", 0
    for number, piece in enumerate(packed):
        sectors = min(chunk, len(data) - number * chunk) // SECTOR
        rows += struct.pack(">IIQQQQ", 0x80000005, 0, number * chunk // SECTOR, sectors, offset, len(piece))
        offset += len(piece)
    rows += struct.pack(">IIQQQQ", 0xffffffff, 0, len(data) // SECTOR, 0, offset, 0)
    table = (b"mish" + struct.pack(">IQQQ", 1, 0, len(data) // SECTOR, 0)).ljust(204, b"\0") + rows
    plist = b"<plist><data>\n" + base64.b64encode(table) + b"\n</data></plist>"
    trailer = bytearray(512)
    trailer[:8] = b"koly\0\0\0\4"
    struct.pack_into(">QQ", trailer, 0xd8, offset, len(plist))
    struct.pack_into(">Q", trailer, 0x1ec, len(data) // SECTOR)
    path.write_bytes(b"".join(packed) + plist + trailer)


def make(raw, path, image_format, *options):
    """An image of `image_format` that holds the bytes of `raw`, a whole number of MiB."""
    by_hand = {"bochs": bochs, "cloop": cloop, "dmg": dmg}
    if image_format in by_hand:
        by_hand[image_format](raw, path)
    else:
        convert(raw, path, image_format, *options)
    return path


ALL = WRITTEN_BY_QEMU_IMG + ("bochs", "cloop", "dmg")


def vmdk_text(extents, parent=""):
    """A VMDK's description: `extents` are its lines."""
    hint = f'parentCID=1234abcd\nparentFileNameHint="{parent}"\n' if parent else "parentCID=ffffffff\n"
    kind = "monolithicSparse" if parent else "monolithicFlat"
    return (f'# Disk DescriptorFile\nversion=1\nCID=fffffffe\n{hint}createType="{kind}"\n\n# Extent description\n'
            f'{extents}\n\n# The Disk Data Base\n#DDB\nddb.adapterType = "ide"\n')


def vmdk_with_text_inside(text):
    """A sparse extent of capacity 0: what its text names is the image."""
    header = struct.pack("<4sIIQQQQIQQQBBBBBH", b"KDMV", 1, 3, 0, 128, 1, 20, 512, 0, 0, 0, 0, 10, 32, 13, 10, 0)
    return header.ljust(SECTOR, b"\0") + text.encode().ljust(20 * SECTOR, b"\0") + bytes(1 << 20)
