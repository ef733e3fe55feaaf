# SPDX-License-Identifier: GPL-2.0-or-later
"""The pictures of the documents, and how they are made small."""
import pathlib
import random
import struct
import sys
import zlib

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "tools/screenshots"))

import palette  # noqa: E402


def pattern(width, height, colours):
    chance = random.Random(width)
    known = [chance.randbytes(3) for _ in range(colours)]
    return [b"".join(chance.choice(known) for _ in range(width)) for _ in range(height)]


def filtered(rows, step):
    """As an encoder would, with each kind of filter in turn."""
    before, lines = bytes(len(rows[0])), b""
    for number, row in enumerate(rows):
        kind = number % 5
        line = bytearray()
        for at, value in enumerate(row):
            left, corner = (row[at - step], before[at - step]) if at >= step else (0, 0)
            above = before[at]
            guess = {0: 0, 1: left, 2: above, 3: (left + above) // 2, 4: palette.paeth(left, above, corner)}[kind]
            line.append((value - guess) & 0xff)
        lines += bytes([kind]) + line
        before = row
    return lines


@pytest.mark.parametrize("colour, step", [(2, 3), (6, 4)])
def test_what_a_browser_writes_is_read(colour, step):
    rows = pattern(37, 20, 1000)
    raw = rows if step == 3 else [b"".join(row[at:at + 3] + b"\xff" for at in range(0, len(row), 3)) for row in rows]
    header = struct.pack(">IIBBBBB", 37, 20, 8, colour, 0, 0, 0)
    png = (palette.SIGNATURE + palette.chunk(b"IHDR", header) + palette.chunk(b"IDAT", zlib.compress(filtered(raw, step)))
           + palette.chunk(b"IEND", b""))
    assert palette.read(png) == rows


@pytest.mark.parametrize("colours", [2, 256, 300])
def test_what_is_written(tmp_path, colours):
    """Up to 256 colours, each pixel; beyond, those that are rare are another's."""
    rows = pattern(80, 60, colours)
    palette.write(tmp_path / "made.png", rows)
    parts = dict(palette.chunks((tmp_path / "made.png").read_bytes()))
    lines = zlib.decompress(parts[b"IDAT"])
    known = [parts[b"PLTE"][at:at + 3] for at in range(0, len(parts[b"PLTE"]), 3)]
    made = [b"".join(known[number] for number in lines[at + 1:at + 81]) for at in range(0, len(lines), 81)]
    same = sum(one[at:at + 3] == other[at:at + 3] for one, other in zip(made, rows) for at in range(0, 240, 3))
    assert same == 4800 if colours <= 256 else 4800 * 0.8 < same < 4800


@pytest.mark.parametrize("name, most", [("seat.png", 20000), ("console.png", 40000), ("full_screen.png", 20000)])
def test_pictures_of_the_documents_are_small(name, most):
    picture = (TOP / "docs/pictures" / name).read_bytes()
    assert dict(palette.chunks(picture))[b"IHDR"][8:10] == b"\x08\x03" and len(picture) < most
