"""Tests of the reader against a small encoder, written from the pages like the reader but apart from it."""

import itertools
import json
import os
import random
import struct
import tempfile
import unittest
import uuid
import zlib  # for nothing but a second opinion that CRC-32C is not CRC-32

import lz4.block

import varve_reader as varve

STORE, SEGMENT, OTHER = (uuid.UUID(int=n << 96 | 7) for n in (1, 2, 3))


# --- The encoder ---


def crc(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def svarint(n):
    return varint((n << 1 ^ n >> 63) & varve.U64_MAX)


def string(text):
    return varint(len(text.encode())) + text.encode()


def mapping(entries):
    items = sorted((key.encode(), key, value) for key, value in entries.items())
    return varint(len(items)) + b"".join(string(key) + string(value) for _, key, value in items)


def pad(data):
    return data + bytes(-len(data) % 8)


def column(values, mode, unit=1, width=None, base=None, least=None):
    if mode == 0:
        return b"\0" + svarint(values[0])
    if mode == 1:
        base = min(values) if base is None else base
        packed = [(value - base) // unit for value in values]
    else:
        base = values[0]
        steps = [b - a for a, b in zip(values, values[1:])]
        least = (min(steps) if steps else 0) if least is None else least
        packed = [(step - least) // unit for step in steps]
    width = max((p.bit_length() for p in packed), default=0) if width is None else width
    bits = "".join(format(p, f"0{width}b")[::-1] if width else "" for p in packed)
    bits += "0" * (-len(bits) % 8)
    out = bytes(int(bits[i : i + 8][::-1], 2) for i in range(0, len(bits), 8))
    return (
        bytes([mode])
        + svarint(base)
        + varint(unit)
        + bytes([width])
        + (svarint(least) if mode == 2 else b"")
        + out
    )


def sealed(data):
    return data + struct.pack("<I", crc(data))


def section(kind, body, owner=SEGMENT, flags=0):
    head = struct.pack("<III", kind, flags, len(body))
    return pad(head + struct.pack("<I", crc(owner.bytes + head + body)) + body)


def kind(name, encoding, metadata={}):
    return string(name) + bytes([encoding]) + mapping(metadata)


def begin(ordinal, name, start, first_index=0, metadata={}, flags=0):
    return (
        varint(ordinal)
        + bytes([flags])
        + string(name)
        + svarint(start)
        + varint(first_index)
        + mapping(metadata)
    )


def end(ordinal, when, events, checkpoints, next_index, reason=1):
    return (
        varint(ordinal)
        + bytes([reason])
        + svarint(when)
        + varint(events)
        + varint(checkpoints)
        + varint(next_index)
    )


def checkpoint(ordinal, session, name, label, when, index, sequence):
    label = b"\0" if label is None else b"\1" + string(label)
    return (
        varint(ordinal)
        + varint(session)
        + string(name)
        + label
        + svarint(when)
        + varint(index)
        + varint(sequence)
    )


def block(
    number,
    kind,
    small=b"",
    parts=(),
    events=0,
    first=0,
    index=0,
    session=1,
    times=(5, 5),
    flags=0,
    kind_set=0,
    kinds=0,
    segment=SEGMENT,
    heads=(0, 0),
    mark=(0, 0),
    counts=(1, 0),
    body=b"",
    written=5,
):
    """`parts`: (events, raw bytes, method, stored bytes) of each sub-block."""
    directory = b""
    for i, (count, raw, method, stored) in enumerate(parts):
        checksum = crc(segment.bytes + struct.pack("<II", number, 2 + i) + stored)
        directory += struct.pack("<IIIB3xI", count, len(raw), len(stored), method, checksum)
    small = directory + small
    body = small + b"".join(part[3] for part in parts) + body
    head = (
        b"VARVEBLK"
        + segment.bytes
        + struct.pack(
            "<IBBHIIIIQQQQQQqqQqQQQQIII",
            number,
            kind,
            flags,
            0,
            len(body),
            len(small),
            len(parts),
            events,
            first,
            1,
            session,
            index,
            *counts,
            *times,
            kind_set,
            written,
            *heads,
            *mark,
            sum(len(part[1]) for part in parts),
            kinds,
            crc(segment.bytes + struct.pack("<II", number, 1) + small),
        )
    )
    head += struct.pack("<I", crc(segment.bytes + struct.pack("<II", number, 0) + head))
    return pad(head + body)


def events_block(number, rows, parts=None, dictionary=None, explicit=None, **more):
    """`rows`: (timestamp, kind, payload); `parts`: (rows, method) of each sub-block."""
    times, kinds, payloads = zip(*rows)
    done, stored, at = [], [], 0
    for count, method in parts or [(len(rows), 0)]:
        raw = b"".join(payloads[at : at + count])
        options = {"dict": dictionary} if method == 2 else {}
        stored.append(
            (count, raw, method, lz4.block.compress(raw, store_size=False, **options) if method else raw)
        )
        at += count
    small = column(times, 2) + column([len(p) for p in payloads], 1) + column(kinds, 1)
    flags = 2 if any(part[2] == 2 for part in stored) else 0
    if explicit:
        small += column([i - (1 << 63) for i in explicit], 1)
        flags |= 4
    many = max(kinds) > 63
    kind_set = varve.U64_MAX if many else sum(1 << k for k in set(kinds))
    return block(
        number,
        1,
        small,
        stored,
        len(rows),
        times=(min(times), max(times)),
        flags=flags | many,
        kind_set=kind_set,
        **more,
    )


def segment_header(
    segment=SEGMENT,
    ordinal=1,
    generation=0,
    previous=uuid.UUID(int=0),
    previous_length=0,
    base=0,
    kinds=None,
    session=None,
    sessions=0,
    store=STORE,
    more=(),
):
    parts = [section(1, struct.pack("<IIiI", 1 << 20, 1 << 16, 1, 0), segment)]
    if kinds is not None:
        parts.append(section(2, varint(len(kinds)) + b"".join(kinds), segment))
    if session is not None:
        parts.append(section(3, session, segment))
    parts += more
    body = b"".join(parts)
    return (
        sealed(
            b"VARVESEG"
            + struct.pack("<HHIQQ", 1, 0, 152 + len(body), 0, 0)
            + store.bytes
            + segment.bytes
            + previous.bytes
            + struct.pack(
                "<QQIB3xQQqQQI", previous_length, ordinal, generation, 1, 1, base, 1, sessions, 0, len(parts)
            )
        )
        + body
    )


def seal(
    data,
    blocks,
    segment=SEGMENT,
    ordinal=1,
    generation=0,
    next_sequence=0,
    kinds=(),
    sessions=(),
    checkpoints=(),
    replaces=(),
    previous=uuid.UUID(int=0),
    previous_length=0,
    filters=None,
    settled=False,
    base=0,
):
    """Adds footer and trailer. `blocks`: offsets; the index is made from the blocks' headers."""
    index, spans = b"", []
    for at in blocks:
        h = data[at : at + 176]
        kind, flags, body, small, subs, events = struct.unpack_from("<BB2xIIII", h, 28)
        first, _, session, first_index = struct.unpack_from("<QQQQ", h, 48)
        low, high, kind_set = struct.unpack_from("<qqQ", h, 96)
        raw = struct.unpack_from("<I", h, 160)[0]
        index += struct.pack(
            "<QIBBHIIQqqQQQII",
            at,
            176 + body + -body % 8,
            kind,
            flags,
            0,
            events,
            raw,
            first,
            low,
            high,
            kind_set,
            session,
            first_index,
            small,
            subs,
        )
        spans.append((low, high) if kind == 1 else (varve.I64_MAX, varve.I64_MIN))
    pyramid = struct.pack("<II", 64, 1 if spans else 0)
    if spans:
        pyramid += struct.pack("<IIqq", 1, 0, min(s[0] for s in spans), max(s[1] for s in spans))
    final = struct.pack(
        "<QIIQQQqqQQQQQQQQqqIIIIIIQ",
        ordinal,
        generation,
        4 * settled,
        base,
        next_sequence,
        0,
        varve.I64_MAX,
        varve.I64_MIN,
        0,
        len(data),
        1,
        1,
        1,
        0,
        0,
        0,
        1,
        2,
        len(blocks),
        0,
        len(kinds),
        len(sessions),
        len(checkpoints),
        0,
        1,
    )
    final += (
        previous.bytes
        + struct.pack("<Q", previous_length)
        + STORE.bytes
        + segment.bytes
        + struct.pack("<Q", 0)
    )
    parts = [(8, filters)] if filters is not None else []
    parts += [
        (16, struct.pack("<II", len(blocks), 80) + index),
        (17, pyramid),
        (18, varint(len(kinds)) + b"".join(kinds)),
        (19, varint(len(sessions)) + b"".join(sessions)),
        (20, varint(len(checkpoints)) + b"".join(checkpoints)),
        (21, varint(0)),
    ]
    if replaces:
        parts.append(
            (22, varint(len(replaces)) + b"".join(u.bytes + struct.pack("<QI", o, g) for u, o, g in replaces))
        )
    parts += [(25, struct.pack("<BBHII", 1, 1, 0, 4, crc(data))), (26, final)]
    foot, where = b"VARVEFTR", 0
    for kind, body in parts:
        where = len(data) + len(foot)
        foot += section(kind, body, segment)
    tail = (
        struct.pack("<QQ", len(data), len(foot))
        + STORE.bytes
        + segment.bytes
        + struct.pack("<QQIHHQI", ordinal, len(data) + len(foot) + 96, len(parts), 1, 0, where, 0)
    )
    return data + foot + sealed(tail) + b"VARVEEND"


def join(header, *blocks):
    """The file and the offsets of its blocks."""
    offsets, data = [], header
    for one in blocks:
        offsets.append(len(data))
        data += one
    return data, offsets


def filter_bytes(keys, bits_per_key=8):
    """A filter of these keys, made with the page's formula in its plainest form."""
    size = max((len(keys) * bits_per_key + 7) // 8, 1)
    bits = [0] * (size * 8)
    for key in keys:
        mixed = varve.mix(key)
        for i in range(5):
            bits[(mixed % 2**32 + i * (mixed // 2**32 | 1)) % 2**32 * size * 8 // 2**32] = 1
    return bytes(sum(bit << i for i, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8))


def filters_body(blocks, common=b"", version=1, parameters=(5, 4, 3)):
    """`blocks`: for each a list of the bytes of its filters."""
    each = [one for block in blocks for one in block]
    firsts = [0, *itertools.accumulate(len(block) for block in blocks)]
    starts = [0, *itertools.accumulate(len(one) for one in each)]
    return (
        struct.pack("<BBBBIII", version, *parameters, len(blocks), len(each), len(common))
        + struct.pack(f"<{len(firsts) + len(starts)}I", *firsts, *starts)
        + common
        + b"".join(each)
    )


def identity(metadata={}):
    body = section(1, mapping(metadata), STORE)
    return (
        sealed(
            b"VARVESTR"
            + struct.pack("<HHIQQ", 1, 0, 64 + len(body), 0, 0)
            + STORE.bytes
            + struct.pack("<qI", 1, 1)
        )
        + body
    )


def state_slot(counter, heads=(0, 0), flags=1):
    slot = b"VARVESTA" + struct.pack("<H6x", 1) + STORE.bytes
    slot += (
        struct.pack("<QQQQQQQqQ", counter, *heads, 1, 0, 0, 1, 9, 1)
        + SEGMENT.bytes
        + struct.pack("<I", flags)
    )
    return sealed(slot).ljust(4096, b"\0")


def tail_file(rows, kinds=((0, kind("k", 1)),), number=1, epoch=3):
    head = b"VARVETAI" + struct.pack("<HHI", 1, 0, 1) + STORE.bytes + bytes(range(16))
    head = sealed(head + struct.pack("<QQIIIIqI", epoch, 4096, 8, 256, 4096, 0, 1, 0)).ljust(4096, b"\0")
    seed = struct.pack("<Q", epoch)

    def entry(i, definition):
        covered = struct.pack("<I", i) + definition
        return covered + struct.pack("<I", crc(seed + covered))

    region = b"".join(entry(i, definition) for i, definition in kinds)
    region = (struct.pack("<II", len(region), 0) + region).ljust(4096, b"\xee")
    slot = struct.pack("<QQQQII", number, 40, 2, 7, 0, 0)
    covered = seed + slot

    def row(t, k, p):
        check = crc(covered + struct.pack("<qII", t, len(p), k) + p)
        return struct.pack("<qQII", t, check, len(p), k)

    slot += struct.pack("<II", len(rows), crc(covered)) + bytes(16)
    slot += b"".join(row(t, k, p) for t, k, p in rows).ljust(24 * 8, b"\xaa")
    slot += b"".join(p for _, _, p in rows)
    return head + region + slot.ljust(4096, b"\xbb")


# --- The tests ---


class StructureTests(unittest.TestCase):
    def refuses(self, decode, data):
        with self.assertRaises(varve.FormatError):
            decode(data)

    def test_checksum_is_crc_32c_however_the_bytes_are_split(self):
        self.assertEqual(varve.crc32c(b"123456789"), 0xE3069283)
        data = random.Random(1).randbytes(1000)
        for at in range(0, 40):
            self.assertEqual(varve.crc32c(data[:at], data[at:]), crc(data))
        self.assertNotEqual(varve.crc32c(data), zlib.crc32(data))

    def test_varints_have_one_form(self):
        for n in 0, 1, 127, 128, 300, 1 << 32, varve.U64_MAX:
            self.assertEqual(varve.whole(varve.Reader.varint, varint(n)), n)
        for n in 0, -1, 1, varve.I64_MIN, varve.I64_MAX:
            self.assertEqual(varve.whole(varve.Reader.svarint, svarint(n)), n)
        for bad in (
            b"",
            b"\x80",
            b"\x80\x00",
            b"\xff\x00",
            b"\xff" * 9 + b"\x02",
            b"\x80" * 10 + b"\x01",
            b"\x80" * 9 + b"\x00",
        ):
            self.refuses(lambda data: varve.whole(varve.Reader.varint, data), bad)

    def test_map_keys_are_unique_ordered_and_utf8(self):
        read = lambda data: varve.whole(varve.Reader.map, data)
        self.assertEqual(read(mapping({"b": "2", "a": "", "é": "x"})), {"a": "", "b": "2", "é": "x"})
        self.refuses(read, varint(2) + (string("a") + string("")) * 2)
        self.refuses(read, varint(2) + string("b") + string("") + string("a") + string(""))
        self.refuses(read, varint(1) + b"\x01\xff" + string(""))
        self.refuses(read, varint(1 << 60) + bytes(16))
        self.refuses(read, mapping({"a": "x" * 65_540}))
        self.assertEqual(len(read(mapping({"a": "x" * (65_536 - 1 - 2 - 3)}))["a"]), 65_530)
        self.refuses(read, mapping({"a": "x" * (65_536 - 1 - 2 - 3 + 1)}))

    def test_packed_columns_in_every_mode_and_width(self):
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        tables = [[7], [7] * 5, [varve.I64_MIN, varve.I64_MAX], [0, 1, 3, 2], [5, 105, 205], list(range(300))]
        tables += [[chance.randrange(1 << w) - (1 << w >> 1) for _ in range(37)] for w in range(0, 64)]
        for values in tables:
            encoded = [column(values, 1)]
            steps = [b - a for a, b in zip(values, values[1:])]
            if all(varve.I64_MIN <= step <= varve.I64_MAX for step in steps):
                encoded.append(column(values, 2))
            if len(set(values)) == 1:
                encoded.append(column(values, 0))
            for data in encoded:
                got = varve.whole(lambda r: varve.packed_column(r, len(values)), data)
                self.assertEqual(got, values, f"seed {seed}")
        read = lambda data, n: varve.whole(lambda r: varve.packed_column(r, n), data)
        self.assertEqual(read(column([5, 105, 205], 1, unit=100, base=5), 3), [5, 105, 205])
        self.assertEqual(read(column([5, 105, 305], 2, unit=100, least=100), 3), [5, 105, 305])
        for bad, n in [
            (b"\x03\x00", 1),  # an unknown mode
            (b"\x01\x00\x00\x01\x00", 1),  # unit 0
            (b"\x01\x00\x01\x41" + bytes(9), 1),  # 65 bits
            (b"\x01\x00\x01\x01\x02", 1),  # an unused bit
            (
                column([0, varve.I64_MAX], 1, base=0)[:1]
                + svarint(1)
                + column([0, varve.I64_MAX], 1, base=0)[2:],
                2,
            ),
            (b"\x02\x00\x01\x40" + svarint(0) + b"\xff" * 8, 2),  # a step beyond i64
            (column([1, 2, 3], 1) + b"\0", 3),
            (column([1, 2, 3], 1)[:-1], 3),
            (b"\x00\x00", 0),
            (b"\x00\x00", 65_537),
        ]:
            with self.assertRaises(varve.FormatError, msg=bad.hex()):
                read(bad, n)

    def test_sections_are_bound_to_their_owner(self):
        data = section(9, b"hello")
        read = lambda d, owner=SEGMENT: varve.whole(lambda r: varve.section(r, str(owner)), d)
        self.assertEqual(read(data), {"type": 9, "flags": 0, "body": b"hello"})
        self.refuses(lambda d: read(d, STORE), data)
        self.refuses(read, data[:-1] + b"\1")
        self.refuses(read, section(9, b"hello", flags=2))
        several = lambda *parts: varve.sections(
            varve.Reader(b"".join(parts)), str(SEGMENT), len(parts), {1, 2}
        )
        self.assertEqual(several(section(1, b"a"), section(9, b"b")), {1: b"a"})
        with self.assertRaises(varve.UnsupportedError):
            several(section(1, b"a"), section(9, b"b", flags=1))
        self.refuses(lambda _: several(section(1, b"a"), section(1, b"a")), b"")
        self.refuses(lambda _: several(section(2, b"a"), section(1, b"a")), b"")

    def test_a_header_names_what_follows(self):
        data = segment_header(kinds=[kind("Console", 2, {"a": "b"})], session=begin(4, "s4", -5, 9, flags=4))
        got = varve.segment_header(data)
        self.assertEqual(got["length"], len(data))
        self.assertEqual(got["kinds"], [{"name": "Console", "encoding": 2, "metadata": {"a": "b"}}])
        self.assertEqual(
            (got["session"]["id"], got["session"]["start"], got["session"]["first_index"]), ("s4", -5, 9)
        )
        self.assertEqual(got["settings"], {"block": 1 << 20, "sub_block": 1 << 16, "level": 1})
        self.assertIsNone(got["limits"])
        self.refuses(varve.segment_header, segment_header(session=begin(4, "s4", -5, 9)))
        for at in range(len(data)):
            self.refuses(varve.segment_header, data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])

    def test_blocks_of_every_type(self):
        rows = [(10, 0, b"{}"), (12, 70, b"x" * 50), (11, 1, b"")]
        dictionary = b"xxxxxxxxxxyyyyyyyyyy"
        data = events_block(
            3, rows, [(1, 0), (2, 2)], dictionary, explicit=[4, 9, 1 << 63], kinds=71, first=20, index=4
        )
        got = varve.block(data, dictionary)
        self.assertEqual(got["payloads"], [p.hex() for _, _, p in rows])
        self.assertEqual(
            (got["timestamps"], got["kinds"], got["indices"]), ([10, 12, 11], [0, 70, 1], [4, 9, 1 << 63])
        )
        self.assertEqual(got["sequences"], [20, 21, 22])
        self.assertEqual((got["header"]["many_kinds"], got["header"]["dictionary"]), (True, True))
        for at in range(len(data)):
            self.refuses(
                lambda d: varve.block(d, dictionary), data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            )
        state = b'{"a":\n1}'
        record = checkpoint(1, 1, "cp1", None, 5, 3, 3)
        made = block(0, 2, record, [(0, state, 1, lz4.block.compress(state, store_size=False))])
        self.assertEqual(varve.block(made)["state"], state.hex())
        self.assertEqual(varve.block(made)["record"]["label"], None)
        self.assertEqual(varve.block(block(0, 2, record, [(0, b"", 0, b"")]))["state"], "")
        self.assertEqual(varve.block(block(1, 6, body=bytes(13)))["header"]["body_length"], 13)
        self.refuses(varve.block, block(1, 6, body=b"\0\1"))
        self.assertEqual(
            varve.block(block(1, 7, parts=[(0, dictionary, 0, dictionary)] * 2))["dictionary"],
            dictionary.hex(),
        )
        self.assertEqual(
            varve.block(block(1, 8, varint(1) + kind("k", 0), kinds=1))["definitions"][0]["name"], "k"
        )
        ledger = (
            varint(4)
            + b"\x04"
            + string("\x01\x00\x07\x09\x02")
            + b"\x06"
            + string("\x01\x02\x04\x00\x03\x02\x01\x0a")
            + b"\x63"
            + string("?")
            + b"\x03"
            + string("\x02\x01\x09\x05\x00")
        )
        self.assertEqual(
            varve.block(block(1, 5, ledger))["records"],
            [
                {
                    "type": "pin",
                    "pinned": True,
                    "session": 0,
                    "first": 7,
                    "last": 9,
                    "first_checkpoint": 2,
                },
                {
                    "type": "retention",
                    "limit": 1,
                    "head_before": 2,
                    "head": 4,
                    "checkpoint_before": 0,
                    "checkpoint": 3,
                    "events": 2,
                    "checkpoints": 1,
                    "time": 5,
                },
                {"type": "limits", "events": 9, "checkpoints": None, "bytes": None, "age": None, "free": 0},
            ],
        )
        for bad in (
            block(1, 5, varint(1) + b"\x04" + string("\x02\x05\x07\x09\x02")),  # neither pinned nor not
            block(1, 5, varint(1) + b"\x04" + string("\x01\x05\x07\x09\x02")),  # a session's that ends
            block(1, 5, varint(1) + b"\x04" + string("\x01\x05\x09\x07\x02")),  # a range that is reversed
            block(1, 5, varint(1) + b"\x06" + string("\x06\x02\x04\x00\x03\x02\x01\x0a")),  # an unknown limit
            block(1, 5, varint(1) + b"\x06" + string("\x01\x04\x02\x00\x03\x02\x01\x0a")),  # heads that go back
            events_block(0, rows, kinds=70),
            block(0, 3, begin(1, "s", 6)),  # the time is not the header's
            block(0, 3, begin(1, "s", 5) + b"\0"),
            block(0, 3, begin(1, "s", 5), [(0, b"", 0, b"")]),
            block(0, 2, record, [(1, state, 0, state)]),
            block(
                0,
                1,
                column([5], 0) + column([3], 0) + column([0], 0),
                [(1, b"four", 0, b"four")],
                1,
                kind_set=1,
                kinds=1,
            ),
            block(
                0,
                1,
                column([5], 0) + column([4], 0) + column([0], 0),
                [(1, b"four", 1, b"four")],
                1,
                kind_set=1,
                kinds=1,
            ),
        ):
            self.refuses(varve.block, bad)

    def test_state_keeps_the_slot_that_is_intact(self):
        data = state_slot(1) + state_slot(2, (7, 3))
        got = varve.state_slots(data)
        self.assertEqual([slot["counter"] for slot in got], [1, 2])
        self.assertEqual((got[1]["head_sequence"], got[1]["head_checkpoint"], got[1]["closed"]), (7, 3, True))
        self.assertIsNone(varve.state_slots(data[:40] + b"\xff" + data[41:])[0])
        self.assertEqual(varve.state_slots(bytes(8192)), [None, None])

    def test_tail(self):
        got = varve.tail(tail_file([(5, 0, b"ab"), (6, 0, b"")]))
        self.assertEqual(got["kinds"][0]["definition"]["name"], "k")
        self.assertEqual(
            got["slots"][0]["rows"][0], {"timestamp": 5, "index": 7, "kind": 0, "payload": "6162"}
        )
        self.assertEqual(got["slots"][0]["rows"][1]["index"], 8)
        # A payload that does not fit, and a row or a kind without its checksum, are not answered, nor is what follows them.
        self.assertEqual(varve.tail(tail_file([(5, 0, b"a" * 300)]))["slots"][0]["rows"], [])
        data = tail_file([(5, 0, b"ab"), (6, 0, b"")])
        for at, rows in ((8192 + 64, 0), (8192 + 64 + 24, 1), (8192 + 64 + 24 * 8, 0)):
            torn = varve.tail(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            self.assertEqual(torn["slots"][0]["rows"], got["slots"][0]["rows"][:rows])
        self.assertEqual(varve.tail(data[:4104] + b"\x01" + data[4105:])["kinds"], [])
        self.assertEqual(varve.tail(tail_file([], number=0))["slots"], [None])

    def test_keys_of_texts(self):
        # FNV-1a and SplitMix64 as their authors' own examples have them.
        self.assertEqual(varve.fnv1a(b"foobar"), 0x85944171F73967E8)
        self.assertEqual(varve.mix(0), 0xE220A8397B1DCDAF)
        for text, count in [
            (b"ab", 0), (b"abc", 1), (b"ABC abc", 1), (b"abcd", 2), (b"ab12cd", 1), (b"1234", 1), (b"a-b", 0),
            ("é1".encode(), 1), ("éé".encode(), 2), (b"\xff\xfe\xfd\xfc", 2), (b"", 0),
        ]:
            self.assertEqual(len(varve.text_keys(text)), count, text)
            self.assertLessEqual(varve.text_keys(text, False, False), varve.text_keys(text))
        self.assertEqual(len(varve.text_keys(b"abcd", False, True)), 1)
        self.assertEqual(varve.text_keys(b"x abc y", False, False), varve.text_keys(b"abc"))

    def test_escapes_undone(self):
        for spelled, meaning in [
            (rb"a\nb", b"a b"), (rb"\\n\"\/\x", rb"\\n\"\/\x"), (rb"\u0041\u00e9", "Aé".encode()),
            (rb"\uD834\uDd1E.", "𝄞.".encode()), (rb"\ud834\ud834\udd1e", " 𝄞".encode()), (rb"\ud834 \udd1e", b"   "),
            (rb"\u12", rb"\u12"), (rb"\ud834\u12", rb" \u12"), (b"end\\", b"end\\"), (rb"\u005cn", rb"\n"), (b"\\\n\\n", b"\\\n "),
        ]:
            self.assertEqual(varve.without_escapes(spelled), meaning, spelled)

    def test_filters(self):
        keys = varve.payload_keys(rb'{"text":"Gr\u00fc\u00dfe"}')
        body = filters_body([[], [filter_bytes(keys), b"", b"\0"], []], filter_bytes([7, 9], 16))
        got = varve.filters(body)
        self.assertEqual([len(block) for block in got["blocks"]], [0, 3, 0])
        full, empty, none = got["blocks"][1]
        grüße = varve.text_keys("GRüßE".encode())
        absent = varve.text_keys(b"absent", False, False)
        self.assertTrue(varve.may_hold(got["common"], full, grüße))
        self.assertFalse(varve.may_hold(got["common"], full, absent))
        self.assertTrue(varve.may_hold(got["common"], empty, absent))
        self.assertFalse(varve.may_hold(got["common"], none, grüße))
        self.assertTrue(varve.may_hold(got["common"], none, [7, 9]))
        self.assertTrue(varve.may_hold(b"", none, []))
        self.assertFalse(varve.may_hold(b"", none, [7]))
        for bad in (
            b"",
            body[:-1],
            body + b"\0",
            body[:4] + struct.pack("<I", 4) + body[8:],
            body[:16] + struct.pack("<I", 1) + body[20:],
            filters_body([[b"a"]], parameters=(4, 4, 3)),
            filters_body([[b"a"]], parameters=(5, 5, 3)),
            filters_body([[b"a"]], parameters=(5, 4, 2)),
            filters_body([[]] * 16_385),
        ):
            self.refuses(varve.filters, bad)
        with self.assertRaises(varve.UnsupportedError):
            varve.filters(filters_body([[b"a"]], version=2))

    def test_text_of_payloads(self):
        def line(payload, encoding):
            event = dict(
                sequence=1,
                session="s",
                session_number=1,
                index=0,
                timestamp=-1,
                kind="k",
                encoding=encoding,
                payload=payload,
            )
            return varve.event_line(event).split('"kind":"k",')[1][:-1]

        for payload, encoding, wanted in [
            (b'{"a":\r\n[1e5, -0]}', 2, '"payload":{"a":  [1e5, -0]}'),
            (b"NaN", 2, '"payload":"NaN"'),
            (b"1" * 5000, 2, '"payload":' + "1" * 5000),
            (b"", 2, '"payload":""'),
            (b"01", 2, '"payload":"01"'),
            (
                '"\\/\x7f\x1f\b\f\n\r\té\u2028'.encode(),
                1,
                '"payload":"\\"\\\\/\x7f\\u001f\\b\\f\\n\\r\\té\u2028"',
            ),
            (b"\xff", 1, '"payload_base64":"/w=="'),
            (b"\xff", 2, '"payload_base64":"/w=="'),
            (b"{}", 0, '"payload_base64":"e30="'),
        ]:
            self.assertEqual(line(payload, encoding), wanted)


class StoreTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = folder.name

    def write(self, **files):
        for name, data in files.items():
            with open(
                os.path.join(self.path, name.replace("seg_", "0-") + (".seg" if "seg_" in name else "")), "wb"
            ) as file:
                file.write(data)

    def store(self):
        return varve.Store(self.path)

    def first(self):
        """Header, session begin, three events, a checkpoint: the file and the offsets of its blocks."""
        rows = [(10, 0, b'{"a":1}'), (11, 1, b"two"), (12, 0, b"{}")]
        state = b"not json"
        return join(
            segment_header(kinds=[kind("json", 2), kind("text", 1)]),
            block(0, 3, begin(1, "s1", 5, metadata={"b": "2", "a": "1"}), kinds=2),
            events_block(1, rows, [(2, 1), (1, 0)], kinds=2),
            block(
                2,
                2,
                checkpoint(1, 1, "cp", "l", 5, 3, 3),
                [(0, state, 0, state)],
                first=3,
                index=3,
                kinds=2,
                counts=(1, 1),
            ),
        )

    def test_an_unsealed_store_without_any_other_file(self):
        data, _ = self.first()
        for rest in b"", bytes(4096), block(3, 6, first=3, kinds=2, body=bytes(40)):
            self.write(seg_1=data + rest)
            store = self.store()
            self.assertEqual(
                varve.lines(store, "events"),
                [
                    '{"sequence":0,"session":"s1","session_number":1,"index":0,"timestamp":"1970-01-01T00:00:00.000000010Z","kind":"json","payload":{"a":1}}',
                    '{"sequence":1,"session":"s1","session_number":1,"index":1,"timestamp":"1970-01-01T00:00:00.000000011Z","kind":"text","payload":"two"}',
                    '{"sequence":2,"session":"s1","session_number":1,"index":2,"timestamp":"1970-01-01T00:00:00.000000012Z","kind":"json","payload":{}}',
                ],
            )
            self.assertEqual(
                varve.lines(store, "sessions"),
                [
                    '{"number":1,"id":"s1","start":"1970-01-01T00:00:00.000000005Z","end":"1970-01-01T00:00:00.000000012Z","state":"interrupted",'
                    '"events":3,"checkpoints":1,"first_sequence":0,"last_sequence":2,"min_time":"1970-01-01T00:00:00.000000010Z",'
                    '"max_time":"1970-01-01T00:00:00.000000012Z","bytes":12,"metadata":{"a":"1","b":"2"}}'
                ],
            )
            self.assertEqual(
                varve.lines(store, "checkpoints"),
                [
                    '{"ordinal":1,"session":"s1","session_number":1,"id":"cp","label":"l","timestamp":"1970-01-01T00:00:00.000000005Z",'
                    '"event_index":3,"sequence":3,"state_text":"not json"}'
                ],
            )
            self.assertEqual((store.gaps, store.damage, store.unconfirmed), ([], [], []))

    def test_a_tail_that_cannot_be_read_ends_the_log(self):
        data, offsets = self.first()
        self.write(
            seg_1=data[: offsets[2] + 50],
            STORE=identity({"x": "y"}),
            STATE=state_slot(1) + bytes(4096),
            LOCK=b"",
        )
        store = self.store()
        self.assertEqual(len(list(store.events())), 3)
        self.assertEqual(list(store.checkpoints()), [])
        self.assertEqual((len(store.damage), len(store.unconfirmed)), (0, 1))
        self.assertEqual(store.identity["metadata"], {"x": "y"})

    def test_beyond_the_valid_length_nothing_belongs_to_the_log(self):
        data, offsets = self.first()
        second, _ = join(
            segment_header(
                OTHER,
                2,
                previous=SEGMENT,
                previous_length=offsets[2],
                base=3,
                kinds=[kind("text", 1)],
                session=begin(1, "s1", 5, 3, flags=4),
                sessions=1,
            ),
            events_block(
                0, [(20, 0, b"five")], first=5, index=5, kinds=1, segment=OTHER, mark=(1, offsets[2])
            ),
            block(1, 4, end(1, 30, 5, 0, 6), first=6, index=6, times=(30, 30), kinds=1, segment=OTHER),
        )
        for first in data, seal(
            data, offsets, kinds=[kind("json", 2) + b"\2\1", kind("text", 1) + b"\1\1"], next_sequence=3
        ):
            self.write(seg_1=first, seg_2=second)
            store = self.store()
            self.assertEqual([e["sequence"] for e in store.events()], [0, 1, 2, 5])
            self.assertEqual(store.gaps, [(3, 4)])
            self.assertEqual(list(store.checkpoints()), [])
            self.assertEqual(
                [(s["state"], s["end"], s["events"]) for s in store.sessions()], [("closed", 30, 4)]
            )
            self.assertEqual(store.watermark, (1, offsets[2]) if first is data else (1, len(first)))

    def test_of_several_generations_the_sealed_one_counts(self):
        data, offsets = self.first()
        kinds = [kind("json", 2) + b"\2\1", kind("text", 1) + b"\1\1"]
        higher = segment_header(generation=1, kinds=[kind("json", 2), kind("text", 1)]) + data[offsets[0] :]
        self.write(seg_1=data[: offsets[2]], seg_2=higher)
        self.assertEqual(self.store().segments[0].generation, 0)
        self.write(seg_2=seal(higher, offsets, generation=1, kinds=kinds, next_sequence=3))
        store = self.store()
        self.assertEqual([s.generation for s in store.segments], [1])
        self.assertEqual((len(list(store.events())), len(list(store.checkpoints()))), (3, 1))

    def compacted(self, base=0, offset=None):
        """A segment that took the place of the first one, with a byte changed at `offset` of its footer."""
        header = segment_header(OTHER, 1, 1, base=base, kinds=[kind("text", 1)])
        one, at = join(
            header,
            block(0, 3, begin(1, "s1", 5), kinds=1, segment=OTHER),
            events_block(1, [(9, 0, b"kept")], first=1, index=1, kinds=1, segment=OTHER),
        )
        kinds = [kind("text", 1) + b"\1\4"]
        whole = seal(
            one,
            at,
            OTHER,
            1,
            1,
            kinds=kinds,
            next_sequence=3,
            replaces=[(SEGMENT, 1, 0)],
            settled=True,
            base=base,
        )
        if offset is not None:
            offset += len(one)
            whole = whole[:offset] + bytes([whole[offset] ^ 4]) + whole[offset + 1 :]
        return whole

    def test_a_replaced_segment_is_hidden(self):
        data, _ = self.first()
        self.write(seg_1=data, seg_2=self.compacted())
        store = self.store()
        self.assertEqual([e["payload"] for e in store.events()], [b"kept"])
        self.assertEqual(store.gaps, [(0, 0), (2, 2)])

    def test_a_damaged_segment_has_replaced_nothing_that_begins_where_it_begins(self):
        data, _ = self.first()
        self.write(seg_1=data, seg_2=self.compacted(offset=30))
        store = self.store()
        self.assertEqual([s.uuid for s in store.segments], [str(SEGMENT)])
        self.assertEqual(len(list(store.events())), 3)
        # Alone it is read as far as its blocks go.
        os.remove(os.path.join(self.path, "0-1.seg"))
        self.assertEqual([e["payload"] for e in self.store().events()], [b"kept"])

    def test_what_is_not_in_the_chain_of_predecessors_is_no_part_of_the_log(self):
        data, _ = self.first()
        kinds = [kind("text", 1)]
        lost = uuid.UUID(int=99)
        for previous, found in [(SEGMENT, 2), (lost, 2), (uuid.UUID(int=0), 1)]:
            second, _ = join(segment_header(OTHER, 2, base=3, previous=previous, kinds=kinds))
            self.write(seg_1=data, seg_2=second)
            self.assertEqual(len(self.store().segments), found)

    def test_pins_are_joined_and_taken_apart(self):
        def pin(session, first=0, last=varve.U64_MAX, first_checkpoint=0, pinned=True):
            keys = ("session", "first", "last", "first_checkpoint", "pinned")
            return dict(zip(keys, (session, first, last, first_checkpoint, pinned)))

        def after(*records):
            found = []
            for record in records:
                found = varve.apply_pin(found, record)
            return [tuple(one.values())[:4] for one in found]

        self.assertEqual(after(pin(2, 5), pin(1), pin(2, 9)), [(1, 0, varve.U64_MAX, 0), (2, 5, varve.U64_MAX, 0)])
        self.assertEqual(after(pin(2, 5), pin(2, pinned=False)), [])
        ranges = [pin(0, 10, 20, 1), pin(0, 5, 30, 2)]
        self.assertEqual(after(*ranges), [(0, 5, 9, 2), (0, 10, 20, 1), (0, 21, 30, 2)])
        self.assertEqual(
            after(pin(3), *ranges, pin(0, 8, 12, pinned=False), pin(0, 25, 99, pinned=False)),
            [(0, 5, 7, 2), (0, 13, 20, 1), (0, 21, 24, 2), (3, 0, varve.U64_MAX, 0)],
        )

    def test_limits_hide_the_oldest_and_pins_keep_it(self):
        rows = [(10 + n, 0, bytes([97 + n])) for n in range(6)]

        def store(limits, pins=None, ledger=None):
            more = [section(4, limits, SEGMENT)]
            if pins is not None:
                more.append(section(5, pins, SEGMENT))
            parts = [
                segment_header(kinds=[kind("text", 1)], more=more),
                block(0, 3, begin(1, "s1", 5), kinds=1),
                events_block(1, rows[:3], kinds=1),
                block(2, 2, checkpoint(1, 1, "one", None, 5, 3, 3), [(0, b"{}", 0, b"{}")], first=3, kinds=1),
                block(3, 2, checkpoint(2, 1, "two", None, 5, 3, 3), [(0, b"{}", 0, b"{}")], first=3, kinds=1),
                block(4, 4, end(1, 5, 3, 2, 3), first=3, index=3, kinds=1),
                block(5, 3, begin(2, "s2", 5), first=3, session=2, kinds=1),
                events_block(6, rows[3:], first=3, session=2, kinds=1),
            ]
            if ledger:
                parts.append(block(7, 5, ledger, first=6, session=2, index=3, kinds=1))
            self.write(seg_1=join(*parts)[0])
            return self.store()

        def kept(store):
            return (
                [event["sequence"] for event in store.events()],
                [one["id"] for one in store.checkpoints()],
                [one["number"] for one in store.sessions()],
            )

        self.assertEqual(kept(store(varint(1) + b"\1\4")), ([2, 3, 4, 5], ["one", "two"], [1, 2]))
        self.assertEqual(kept(store(varint(2) + b"\1\2\2\1")), ([4, 5], ["two"], [1, 2]))
        # A pin of the range holds the event; others go for it. The session's last checkpoint keeps the session.
        pins = varint(1) + b"\0\1\1\0"
        self.assertEqual(kept(store(varint(1) + b"\1\2", pins)), ([1, 5], ["one", "two"], [1, 2]))
        # Of the session pinned from number 2 and checkpoint 2 on.
        pins = varint(1) + b"\1\2" + varint(varve.U64_MAX) + b"\2"
        self.assertEqual(kept(store(varint(2) + b"\1\1\2\1", pins)), ([2], ["two"], [1, 2])[:2] + ([1],))
        # The ledger's last word counts.
        ledger = varint(1) + b"\3" + string("\x01\x01\x01")
        self.assertEqual(kept(store(varint(1) + b"\1\4", ledger=ledger))[0], [5])

    def test_an_import_without_an_end_displaces_nothing(self):
        rows = [(10 + n, 0, bytes([97 + n])) for n in range(4)]

        def kept(*more):
            self.write(
                seg_1=join(
                    segment_header(kinds=[kind("text", 1)], more=[section(4, varint(2) + b"\1\2\2\1", SEGMENT)]),
                    block(0, 3, begin(1, "s1", 5), kinds=1),
                    events_block(1, rows[:2], kinds=1),
                    block(2, 2, checkpoint(1, 1, "one", None, 5, 2, 2), [(0, b"{}", 0, b"{}")], first=2, kinds=1),
                    block(3, 4, end(1, 5, 2, 1, 2), first=2, index=2, kinds=1),
                    block(4, 3, begin(2, "s2", 5, flags=2), first=2, session=2, kinds=1),
                    events_block(5, rows[2:], first=2, session=2, kinds=1),
                    block(6, 2, checkpoint(2, 2, "two", None, 5, 2, 4), [(0, b"{}", 0, b"{}")], first=4, session=2, kinds=1),
                    *more,
                )[0]
            )
            store = self.store()
            return [event["sequence"] for event in store.events()], [one["id"] for one in store.checkpoints()]

        self.assertEqual(kept(), ([0, 1], ["one"]))
        self.assertEqual(kept(block(7, 4, end(2, 5, 2, 1, 2), first=4, index=2, kinds=1)), ([2, 3], ["two"]))

    def test_heads_hide_what_is_below_them(self):
        data, _ = self.first()
        self.write(seg_1=data, STATE=state_slot(1, (1, 0)) + state_slot(2, (2, 2)))
        store = self.store()
        self.assertEqual([e["sequence"] for e in store.events()], [2])
        self.assertEqual(list(store.checkpoints()), [])
        self.assertEqual(store.gaps, [])

    def test_an_import_counts_when_it_has_ended(self):
        rows = [(10, 0, b"a")]
        parts = [
            segment_header(kinds=[kind("text", 1)]),
            block(0, 3, begin(1, "s1", 5, flags=2), kinds=1),
            events_block(1, rows, kinds=1),
        ]
        self.write(seg_1=join(*parts)[0])
        self.assertEqual((list(self.store().events()), self.store().sessions()), ([], []))
        parts.append(block(2, 4, end(1, 5, 1, 0, 1), first=1, index=1, kinds=1))
        self.write(seg_1=join(*parts)[0])
        self.assertEqual((len(list(self.store().events())), len(self.store().sessions())), (1, 1))
        # It goes on: as an import it waits for its end again, as any other session it was interrupted.
        for flags, count in [(3, 0), (1, 1)]:
            again = block(3, 3, begin(1, "s1", 5, flags=flags), first=1, index=1, kinds=1)
            self.write(seg_1=join(*parts, again)[0])
            self.assertEqual((len(list(self.store().events())), len(self.store().sessions())), (count, count))

    def test_damage_in_a_sealed_segment_costs_what_it_touches(self):
        data, offsets = self.first()
        whole = seal(
            data, offsets, kinds=[kind("json", 2) + b"\2\1", kind("text", 1) + b"\1\1"], next_sequence=3
        )
        last = offsets[1] + 176 + struct.unpack_from("<I", data, offsets[1] + 32)[0]
        self.assertLess(last, offsets[2])  # there is padding
        for at, sequences, checkpoints in [
            (offsets[0] + 9, [0, 1, 2], 1),  # session begin: its summary has it, too
            (offsets[1] + 60, [], 1),  # header of the events
            (offsets[1] + 180, [], 1),  # small part of the events
            (last - 1, [0, 1], 1),  # the second sub-block
            (last, [0, 1, 2], 1),  # padding
            (offsets[2] + 200, [0, 1, 2], 0),  # the checkpoint
            (len(data) + 100, [0, 1, 2], 1),  # the block index
        ]:
            self.write(seg_1=whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
            store = self.store()
            self.assertEqual([e["sequence"] for e in store.events()], sequences)
            self.assertEqual(
                store.gaps, [(n, n) for n in [2] if sequences == [0, 1]] + [(0, 2)] * (not sequences)
            )
            self.assertEqual(len(list(store.checkpoints())), checkpoints)
            self.assertTrue(store.damage + store.unconfirmed)

    def test_filters_are_read_and_nothing_depends_on_them(self):
        data, offsets = self.first()
        good = [[], [filter_bytes(varve.payload_keys(b"two")), b"\0"], []]
        for filters, found in [
            (filters_body(good), good),
            (filters_body([[], [b"\0"], []]), None),
            (filters_body([[b"\0"], [b"\0", b"\0"], []]), None),
            (filters_body(good[:2]), None),
            (filters_body(good, version=9), None),
            (b"\1", None),
            (None, None),
        ]:
            self.write(
                seg_1=seal(
                    data,
                    offsets,
                    kinds=[kind("json", 2) + b"\2\1", kind("text", 1) + b"\1\1"],
                    next_sequence=3,
                    filters=filters,
                )
            )
            store = self.store()
            footer = store.segments[0].footer
            self.assertEqual(footer[8] and footer[8]["blocks"], found)
            self.assertEqual([e["payload"] for e in store.events()], [b'{"a":1}', b"two", b"{}"])
            self.assertEqual((store.gaps, store.damage, store.unconfirmed), ([], [], []))

    def test_strangers_are_no_part_of_the_store(self):
        data, _ = self.first()
        self.write(seg_1=data, STORE=identity())
        os.mkdir(os.path.join(self.path, "folder.seg"))
        os.symlink("0-1.seg", os.path.join(self.path, "link.seg"))
        os.mkfifo(os.path.join(self.path, "pipe.seg"))
        other, _ = join(segment_header(OTHER, 2, store=OTHER, kinds=[kind("text", 1)]))
        self.write(seg_9=other)
        self.assertEqual(len(self.store().segments), 1)
        os.remove(os.path.join(self.path, "STORE"))
        with self.assertRaises(varve.FormatError):
            self.store()

    def test_the_command_prints_json_lines(self):
        data, _ = self.first()
        self.write(seg_1=data)
        for what in "events", "sessions", "checkpoints":
            for line in varve.lines(self.store(), what):
                self.assertIsInstance(json.loads(line), dict)


if __name__ == "__main__":
    unittest.main()
