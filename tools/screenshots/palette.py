# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures as small PNG files (W3C's PNG, third edition): 256 colours, those that are most frequent."""
import collections
import struct
import zlib

COLOURS = 256
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def nearest(colour, palette):
    return min(palette, key=lambda known: sum((a - b) ** 2 for a, b in zip(colour, known)))


def write(path, rows):
    """rows: each of three bytes a pixel, red first."""
    count = collections.Counter(row[at:at + 3] for row in rows for at in range(0, len(row), 3))
    palette = [colour for colour, _ in count.most_common(COLOURS)]
    number = {colour: at for at, colour in enumerate(palette)}
    for colour in count:
        if colour not in number:
            number[colour] = number[nearest(colour, palette)]
    lines = b"".join(b"\0" + bytes(number[row[at:at + 3]] for at in range(0, len(row), 3)) for row in rows)
    header = struct.pack(">IIBBBBB", len(rows[0]) // 3, len(rows), 8, 3, 0, 0, 0)
    path.write_bytes(SIGNATURE + chunk(b"IHDR", header) + chunk(b"PLTE", b"".join(palette))
                     + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b""))


# ---- reading what a browser writes ----

def chunks(png):
    at = len(SIGNATURE)
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        yield kind, png[at + 8:at + 8 + length]
        at += length + 12


def paeth(left, above, corner):
    guess = left + above - corner
    return min((left, above, corner), key=lambda value: abs(guess - value))


def unfilter(kind, line, before, step):
    """One line as it was: kinds 0 to 4 of filters."""
    for at in range(len(line)):
        left = line[at - step] if at >= step else 0
        corner = before[at - step] if at >= step else 0
        guess = (0, left, before[at], (left + before[at]) // 2, paeth(left, before[at], corner) if kind == 4 else 0)[kind]
        line[at] = (line[at] + guess) & 0xff
    return line


def read(png):
    """Rows of three bytes a pixel, of 8 bits a channel without interlace; what shines through is left out."""
    parts = list(chunks(png))
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", parts[0][1])
    assert (depth, rest) == (8, [0, 0, 0]) and colour in (2, 6), (depth, colour, rest)
    step = 3 if colour == 2 else 4
    data = zlib.decompress(b"".join(content for kind, content in parts if kind == b"IDAT"))
    before, rows = bytes(width * step), []
    for at in range(0, height * (width * step + 1), width * step + 1):
        before = unfilter(data[at], bytearray(data[at + 1:at + 1 + width * step]), before, step)
        row = bytearray(width * 3)
        for channel in range(3):
            row[channel::3] = before[channel::step]
        rows.append(bytes(row))
    return rows
