# SPDX-License-Identifier: GPL-2.0-or-later
"""Byte layout of the record of requests in flight (vhost-user, "Inflight I/O tracking"), to read it and to lie in it.

Split region:  features u64, version u16, desc_num u16, last_batch_head u16, used_idx u16, then per descriptor
               inflight u8, padding[5], next u16, counter u64
Packed region: features u64, version u16, desc_num u16, free_head u16, old_free_head u16, used_idx u16, old_used_idx u16,
               used_wrap_counter u8, old_used_wrap_counter u8, padding[7], then per descriptor
               inflight u8, padding u8, next u16, last u16, num u16, counter u64, id u16, flags u16, len u32, addr u64
"""
import contextlib
import mmap
import struct

SPLIT_HEADER = struct.Struct("<QHHHH")
SPLIT_ENTRY = struct.Struct("<B5xHQ")
PACKED_HEADER = struct.Struct("<QHHHHHHBB7x")
PACKED_ENTRY = struct.Struct("<BxHHHQHHIQ")
PACKED_HEADER_BYTES = 32        # 29 bytes, and the padding that aligns the entries


@contextlib.contextmanager
def opened(fd, size, offset=0):
    """The record's bytes, shared with the back end."""
    base = offset // mmap.PAGESIZE * mmap.PAGESIZE
    with mmap.mmap(fd, size + offset - base, offset=base) as mapping:
        view = memoryview(mapping)[offset - base:]
        try:
            yield view
        finally:
            view.release()


def split_header(view, **fields):
    """Changes fields of a split region's header."""
    names = ("features", "version", "desc_num", "last_batch_head", "used_idx")
    write_header(view, SPLIT_HEADER, names, fields)


def packed_header(view, **fields):
    names = ("features", "version", "desc_num", "free_head", "old_free_head", "used_idx", "old_used_idx",
             "used_wrap_counter", "old_used_wrap_counter")
    write_header(view, PACKED_HEADER, names, fields)


def write_header(view, layout, names, fields):
    values = dict(zip(names, layout.unpack_from(view)))
    assert fields.keys() <= values.keys()
    values.update(fields)
    layout.pack_into(view, 0, *values.values())


def split_entry(view, index, inflight=0, next=0, counter=0):
    SPLIT_ENTRY.pack_into(view, SPLIT_HEADER.size + SPLIT_ENTRY.size * index, inflight, next, counter)


def split_entries(view, size):
    return [SPLIT_ENTRY.unpack_from(view, SPLIT_HEADER.size + SPLIT_ENTRY.size * i) for i in range(size)]


def packed_entry(view, index, inflight=0, next=0, last=0, num=0, counter=0, id=0, flags=0, length=0, address=0):
    PACKED_ENTRY.pack_into(view, PACKED_HEADER_BYTES + PACKED_ENTRY.size * index,
                           inflight, next, last, num, counter, id, flags, length, address)


def packed_entries(view, size):
    return [PACKED_ENTRY.unpack_from(view, PACKED_HEADER_BYTES + PACKED_ENTRY.size * i) for i in range(size)]
