"""Reads a sealed vector of numbers as docs/format.md describes it: python3 read_sealed.py FILE [INDEX...]

It needs the hash XXH3 (`pip install xxhash`) and nothing of outcore.
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


def describe(data, file_bytes):
    magic, version, kind, file_id, elements, size, align, block, length = struct.unpack_from("<8sII16sQQIIQ", data)
    sums = struct.unpack_from("<QQQ", data, 96)
    name_len, = struct.unpack_from("<H", data, 120)
    whole = struct.unpack_from("<Q", data, 504)[0] == checksum(file_id, DESCRIPTION, 0, data[:504])
    if magic != b"outcore\x1a" or not whole:
        raise Damaged("description")
    covered = -(-length // 64) * 64
    blocks = -(-covered // block)
    pages = -(-blocks // 512)
    if version != 1 or kind != 1 or elements * size != length:
        raise Damaged("version or kind")
    if file_bytes != PAGE + covered + 8 * blocks + 8 * pages + PAGE:
        raise Damaged("length of the file")
    return file_id, elements, block, covered, blocks, sums, data[122 : 122 + name_len].decode()


def read(data):
    """Verifies all bytes; returns the name of the type, and the elements."""
    file_id, elements, block, covered, blocks, sums, name = describe(data[-PAGE:][:512], len(data))
    if data[3584:PAGE] != data[-PAGE:][:512]:
        raise Damaged("copy of the description")
    table_at = PAGE + covered
    table, index = data[table_at : table_at + 8 * blocks], data[table_at + 8 * blocks : -PAGE]
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
    return name, struct.unpack_from(f"<{elements}{NUMBERS[name]}", data, PAGE)


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        name, elements = read(file.read())
    print(f"vector of {len(elements)} {name}, verified")
    for index in map(int, sys.argv[2:]):
        print(f"{index}: {elements[index]}")
