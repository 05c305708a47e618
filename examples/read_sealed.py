"""Reads a sealed vector as docs/format.md describes it: python3 read_sealed.py FILE [INDEX...]

Numbers, strings and byte strings. It needs the hash XXH3 (`pip install xxhash`) and nothing of outcore.
"""

import struct
import sys

from xxhash import xxh3_64_intdigest as xxh3

PAGE = 4096
BLOCK, TABLE_PAGE, INDEX, DESCRIPTION, HEAD, TAIL = 1, 2, 3, 4, 5, 6
NUMBERS = dict(u8="B", u16="H", u32="I", u64="Q", i8="b", i16="h", i32="i", i64="q", f32="f", f64="d")


class Damaged(Exception):
    pass


def checksum(file_id, part, number, data):
    return xxh3(data, seed=xxh3(file_id + struct.pack("<QQ", part, number)))


def verify(data):
    """Verifies all bytes; returns kind, number of elements, bytes of text, and name of the type."""
    description = data[-PAGE:][:512]
    magic, version, kind, file_id, elements, size, align, block, length, text = struct.unpack_from("<8sII16sQQIIQQ", description)
    sums, (name_len,) = struct.unpack_from("<QQQ", description, 96), struct.unpack_from("<H", description, 120)
    whole = struct.unpack_from("<Q", description, 504)[0] == checksum(file_id, DESCRIPTION, 0, description[:504])
    if magic != b"outcore\x1a" or not whole or data[3584:PAGE] != description:
        raise Damaged("description")
    lengths = {1: elements * size, 2: -(-text // 64) * 64 + 8 * (elements + 1)}
    lengths[3] = lengths[2]
    if version != 1 or lengths.get(kind) != length:
        raise Damaged("version or kind")
    table_at = PAGE + -(-length // 64) * 64
    blocks = -(-(table_at - PAGE) // block)
    table, index = data[table_at : table_at + 8 * blocks], data[table_at + 8 * blocks : -PAGE]
    if len(data) != table_at + 8 * blocks + 8 * -(-blocks // 512) + PAGE:
        raise Damaged("length of the file")
    for part, found, expected in [(INDEX, index, sums[0]), (HEAD, data[:3584], sums[1]), (TAIL, data[-PAGE + 512 :], sums[2])]:
        if checksum(file_id, part, 0, found) != expected:
            raise Damaged(f"part {part}")
    for page, (expected,) in enumerate(struct.iter_unpack("<Q", index)):
        if checksum(file_id, TABLE_PAGE, page, table[page * PAGE : (page + 1) * PAGE]) != expected:
            raise Damaged(f"page {page} of the table")
    for number, (expected,) in enumerate(struct.iter_unpack("<Q", table)):
        start = PAGE + number * block
        if checksum(file_id, BLOCK, number, data[start : min(start + block, table_at)]) != expected:
            raise Damaged(f"block {number}")
    return kind, elements, text, description[122 : 122 + name_len].decode()


def read(data):
    """Verifies all bytes; returns the name of the type, and the elements."""
    kind, elements, text, name = verify(data)
    if kind == 1:
        return name, struct.unpack_from(f"<{elements}{NUMBERS[name]}", data, PAGE)
    offsets = struct.unpack_from(f"<{elements + 1}Q", data, PAGE + -(-text // 64) * 64)
    items = [data[PAGE + start : PAGE + end] for start, end in zip(offsets, offsets[1:])]
    return name, [item.decode() for item in items] if kind == 3 else items


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        name, elements = read(file.read())
    print(f"{len(elements)} {name}, verified")
    for index in map(int, sys.argv[2:]):
        print(f"{index}: {elements[index]}")
