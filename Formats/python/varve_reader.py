#!/usr/bin/env python3
"""An independent reader of Varve stores, written from the pages in Formats/ alone.

Small and readable before fast: whole files are read into memory. It never writes, takes no lock, and
ignores TAIL (whose contents mean something only to the machine and boot that wrote it). Everything that a
page calls damage, or a limit, raises FormatError; a Store leaves out what it can't read and says where in
`damage`.
"""

import base64
import json
import os
import re
import stat
import struct
import sys
import time
import uuid

import lz4.block

I64_MIN, I64_MAX, U64_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
NO_UUID = "00000000-0000-0000-0000-000000000000"

MAX_PAYLOAD = MAX_SECTION = MAX_HEADER = 67_108_864
MAX_EVENTS = MAX_SUB_BLOCKS = MAX_TEXT = MAX_MAP = MAX_DICTIONARY = 65_536
MAX_RAW, MAX_SMALL, MAX_BODY = 134_217_728, 16_777_216, 268_435_456
HEAD_MAX = (1 << 62) - 1
MAX_BLOCKS, MAX_KINDS, MAX_KIND_NAME = 16_384, 65_535, 255


class FormatError(Exception):
    """The bytes are not what the pages allow."""


class UnsupportedError(FormatError):
    """Not damage: a version, feature or section that this reader does not know and must refuse."""


def check(condition, message):
    if not condition:
        raise FormatError(message)


# --- Checksums ---


def _crc_tables():
    byte = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
        byte.append(n)

    def shift(n):  # the register after two more zero bytes
        n = byte[n & 255] ^ (n >> 8)
        return byte[n & 255] ^ (n >> 8)

    last = [shift(n) for n in range(65536)]
    tables = [last]
    for _ in range(3):
        tables.append([shift(n) for n in tables[-1]])
    return byte, tables


_BYTE, (_T0, _T1, _T2, _T3) = _crc_tables()


def crc32c(*parts):
    """CRC-32C of the parts one after the other."""
    crc = 0xFFFFFFFF
    t0, t1, t2, t3, byte = _T0, _T1, _T2, _T3, _BYTE
    for part in parts:
        whole = len(part) & ~7
        view = memoryview(part)
        for (word,) in struct.iter_unpack("<Q", view[:whole]):
            word ^= crc
            crc = t3[word & 0xFFFF] ^ t2[word >> 16 & 0xFFFF] ^ t1[word >> 32 & 0xFFFF] ^ t0[word >> 48]
        for b in view[whole:]:
            crc = byte[(crc ^ b) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def seed(segment, number, part):
    return uuid.UUID(segment).bytes + struct.pack("<II", number, part)


# --- Primitives ---


def up8(n):
    return n + 7 & ~7


def zeros(data):
    return not any(data)


class Reader:
    """Takes values off the front of some bytes."""

    def __init__(self, data):
        self.data, self.at = bytes(data), 0

    @property
    def left(self):
        return len(self.data) - self.at

    def take(self, n):
        check(n <= self.left, "the bytes end too early")
        self.at += n
        return self.data[self.at - n : self.at]

    def unpack(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def u8(self):
        return self.take(1)[0]

    def u32(self):
        return self.unpack("I")[0]

    def uuid(self):
        return str(uuid.UUID(bytes=self.take(16)))

    def varint(self):
        value = 0
        for i in range(10):
            b = self.u8()
            check(i < 9 or b == 1, "a varint beyond 64 bits")
            value |= (b & 127) << 7 * i
            if b < 128:
                check(b or i == 0, "a varint not of the shortest form")
                return value
        raise FormatError("a varint beyond ten bytes")

    def svarint(self):
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def bytes(self, limit=None):
        n = self.varint()
        check(limit is None or n <= limit, "longer than the limit")
        return self.take(n)

    def string(self, limit=None):
        try:
            return self.bytes(limit).decode()
        except UnicodeDecodeError:
            raise FormatError("a string that is not UTF-8") from None

    def count(self, least=1, limit=None):
        """A varint count of items that take at least `least` bytes each."""
        n = self.varint()
        check(n * least <= self.left, "a count beyond the bytes that remain")
        check(limit is None or n <= limit, "a count beyond the limit")
        return n

    def many(self, item, least=1, limit=None):
        return [item(self) for _ in range(self.count(least, limit))]

    def map(self):
        start, entries, last = self.at, {}, None
        for _ in range(self.count(2)):
            key, value = self.string(MAX_MAP), self.string(MAX_MAP)
            check(last is None or last < key.encode(), "map keys not unique and in order")
            entries[key], last = value, key.encode()
        check(self.at - start <= MAX_MAP, "a map beyond the limit")
        return entries

    def code(self, *known):
        value = self.u8()
        check(value in known, f"an unknown value: {value}")
        return value

    def flags(self, known):
        value = self.u8()
        check(value & ~known == 0, "reserved flags are set")
        return value

    def end(self):
        check(self.left == 0, "bytes after the end")


def whole(item, data):
    """Decodes all of `data`."""
    r = Reader(data)
    value = item(r)
    r.end()
    return value


# --- Records ---


def kind_definition(r):
    name = r.string(MAX_KIND_NAME)
    check(name, "a kind without a name")
    return {"name": name, "encoding": r.code(0, 1, 2), "metadata": r.map()}


def begin_record(r):
    ordinal, flags = r.varint(), r.flags(15)
    check(ordinal, "session ordinal 0")
    return {
        "ordinal": ordinal,
        "resumed": bool(flags & 1),
        "imported": bool(flags & 2),
        "continued": bool(flags & 4),
        "used": bool(flags & 8),
        "id": r.string(MAX_TEXT),
        "start": r.svarint(),
        "first_index": r.varint(),
        "metadata": r.map(),
    }


def end_record(r):
    ordinal = r.varint()
    check(ordinal, "session ordinal 0")
    return {
        "ordinal": ordinal,
        "reason": r.code(1, 2),
        "end": r.svarint(),
        "events": r.varint(),
        "checkpoints": r.varint(),
        "next_index": r.varint(),
    }


def checkpoint_record(r):
    ordinal, session, name = r.varint(), r.varint(), r.string(MAX_TEXT)
    check(ordinal, "checkpoint ordinal 0")
    return {
        "ordinal": ordinal,
        "session": session,
        "id": name,
        "label": r.string(MAX_TEXT) if r.code(0, 1) else None,
        "timestamp": r.svarint(),
        "event_index": r.varint(),
        "sequence": r.varint(),
    }


def limits_body(r):
    names, last = ["events", "checkpoints", "bytes", "age", "free"], 0
    limits = dict.fromkeys(names)
    for _ in range(r.count(2)):
        limit = r.code(1, 2, 3, 4, 5)
        check(limit > last, "limits not in ascending order")
        limits[names[limit - 1]], last = r.varint(), limit
    return limits


def gap_body(r):
    return {
        "first": r.varint(),
        "last": r.varint(),
        "reason": r.code(1, 2, 3, 4, 5),
        "time": r.svarint(),
        "note": r.string(),
    }


def drop_body(r):
    return {
        "events": r.varint(),
        "bytes": r.varint(),
        "session": r.varint(),
        "before": r.varint(),
        "first_time": r.svarint(),
        "last_time": r.svarint(),
        "reason": r.code(1, 2),
    }


def pin(r):
    found = {"session": r.varint(), "first": r.varint(), "last": r.varint(), "first_checkpoint": r.varint()}
    check(found["first"] <= found["last"], "a range that ends before it starts")
    check(found["session"] == 0 or found["last"] == U64_MAX, "a pin of a session that ends")
    return found


def pin_body(r):
    return {"pinned": bool(r.code(0, 1)), **pin(r)}


def interruption_body(r):
    return {
        "epoch": r.varint(),
        "session": r.varint(),
        "next": r.varint(),
        "segment": r.varint(),
        "unreadable": r.varint(),
        "time": r.svarint(),
    }


def retention_body(r):
    found = {
        "limit": r.code(1, 2, 3, 4, 5),
        "head_before": r.varint(),
        "head": r.varint(),
        "checkpoint_before": r.varint(),
        "checkpoint": r.varint(),
        "events": r.varint(),
        "checkpoints": r.varint(),
        "time": r.svarint(),
    }
    check(
        found["head_before"] <= found["head"] and found["checkpoint_before"] <= found["checkpoint"],
        "heads that go back",
    )
    return found


LEDGER_BODIES = {
    1: ("gap", gap_body),
    2: ("drop", drop_body),
    3: ("limits", limits_body),
    4: ("pin", pin_body),
    5: ("interruption", interruption_body),
    6: ("retention", retention_body),
}


def ledger_record(r):
    """A record, or None when its type is unknown."""
    kind, body = r.u8(), Reader(r.bytes())
    if kind not in LEDGER_BODIES:
        return None
    name, decode = LEDGER_BODIES[kind]
    record = {"type": name, **decode(body)}
    body.end()
    check("last" not in record or record["first"] <= record["last"], "a range that ends before it starts")
    return record


def session_summary(r):
    return {
        "begin": begin_record(r),
        "state": r.code(0, 1, 2),
        "end": r.svarint(),
        "events": r.varint(),
        "checkpoints": r.varint(),
        "bytes": r.varint(),
        "first_sequence": r.varint(),
        "next_sequence": r.varint(),
        "next_index": r.varint(),
        "min_time": r.svarint(),
        "max_time": r.svarint(),
    }


def kind_count(r):
    return {"definition": kind_definition(r), "events": r.varint(), "bytes": r.varint()}


def checkpoint_entry(r):
    return {"record": checkpoint_record(r), "block": r.varint(), "bytes": r.varint()}


def replaced_segment(r):
    name = r.uuid()
    ordinal, generation = r.unpack("QI")
    return {"segment": name, "ordinal": ordinal, "generation": generation}


def dropped_range(r):
    dropped = {"first": r.varint(), "last": r.varint(), "reason": r.code(1, 2, 3, 4, 5)}
    check(dropped["first"] <= dropped["last"], "a range that ends before it starts")
    return dropped


# Bodies of footer sections. Bytes after the fields are ignored: a later version may add some.


def kind_counts(r):
    return r.many(kind_count, 5, MAX_KINDS)


def session_summaries(r):
    return r.many(session_summary, 15)


def checkpoint_entries(r):
    return r.many(checkpoint_entry, 9)


def ledger_records(r):
    return [record for record in r.many(ledger_record, 2) if record]


def replaced_segments(r):
    return r.many(replaced_segment, 28)


def dropped_ranges(r):
    return r.many(dropped_range, 3)


def packed_column(r, n):
    check(1 <= n <= MAX_EVENTS, "count of values of a column")
    mode, base = r.code(0, 1, 2), r.svarint()
    if mode == 0:
        return [base] * n
    unit, width = r.varint(), r.u8()
    check(unit >= 1 and width <= 64, "unit or width of a column")
    least = r.svarint() if mode == 2 else 0
    count = n if mode == 1 else n - 1
    bits = count * width
    data = r.take((bits + 7) // 8)
    check(bits % 8 == 0 or data[-1] >> bits % 8 == 0, "unused bits of a column are set")
    mask, at = (1 << width) - 1, 0
    values = [base] if mode == 2 else []
    for _ in range(count):
        step = least + unit * (int.from_bytes(data[at >> 3 : (at >> 3) + 9], "little") >> (at & 7) & mask)
        check(mode == 1 or I64_MIN <= step <= I64_MAX, "a step of a column beyond 64 bits")
        value = (values[-1] if mode == 2 else base) + step
        check(I64_MIN <= value <= I64_MAX, "a value of a column beyond 64 bits")
        values.append(value)
        at += width
    return values


def time_pyramid(r):
    fan, count = r.unpack("II")
    check(fan == 64, "fan-out of the time pyramid")
    levels = []
    for _ in range(count):
        pairs, reserved = r.unpack("II")
        check(reserved == 0, "reserved bytes are not zero")
        check(pairs * 16 <= r.left, "a count beyond the bytes that remain")
        check(not levels or pairs == (len(levels[-1]) + 63) // 64, "length of a level of the time pyramid")
        check(pairs and (not levels or len(levels[-1]) > 1), "a level too many in the time pyramid")
        levels.append([list(r.unpack("qq")) for _ in range(pairs)])
    check(not levels or len(levels[-1]) == 1, "the time pyramid has no top")
    return levels


INDEX_ENTRY = (
    "offset length type flags reserved events raw_bytes first_sequence min_time max_time kind_set session "
    "first_index small_length sub_blocks"
).split()


def block_flags(fields):
    flags = fields.pop("flags")
    check(flags & ~7 == 0, "reserved flags are set")
    fields.update(many_kinds=bool(flags & 1), dictionary=bool(flags & 2), explicit_indices=bool(flags & 4))


def block_index_entry(r):
    fields = dict(zip(INDEX_ENTRY, r.unpack("QIBBHIIQqqQQQII")))
    check(fields.pop("reserved") == 0, "reserved bytes are not zero")
    check(fields["offset"] % 8 == 0 and fields["length"] % 8 == 0, "a block that is not aligned")
    check(1 <= fields["type"] <= 8, "an unknown type of block")
    block_flags(fields)
    return fields


def block_index(r):
    count, size = r.unpack("II")
    check(size >= 80 and count <= MAX_BLOCKS and count * size <= r.left, "size of the block index")
    return [block_index_entry(Reader(r.take(size))) for _ in range(count)]


def block_kinds(r, index):
    """For each block the counts of its events by kind id; None where it has kinds beyond its set."""
    found = []
    for entry in index:
        kinds = [kind for kind in range(64) if entry["kind_set"] >> kind & 1]
        counts = None if entry["many_kinds"] else {kind: r.varint() for kind in kinds}
        check(not counts or 0 not in counts.values(), "a kind of a block without events")
        check(not counts or sum(counts.values()) == entry["events"], "kinds of a block")
        found.append(counts)
    return found


def digest(r):
    algorithm, scope = r.code(0, 1), r.code(1, 2)
    reserved, length = r.unpack("HI")
    check(reserved == 0, "reserved bytes are not zero")
    check(length == 4 * algorithm, "length of the digest")
    return {"algorithm": algorithm, "scope": scope, "digest": r.take(length).hex()}


SUMMARY = (
    "ordinal generation flags base_sequence next_sequence events min_time max_time raw_bytes data_bytes first_epoch "
    "last_epoch sessions checkpoints head_sequence head_checkpoint created sealed blocks event_blocks kind_count "
    "session_count checkpoint_count ledger_count last_session"
).split()


def summary(r):
    fields = dict(zip(SUMMARY, r.unpack("QIIQQQqqQQQQQQQQqqIIIIIIQ")))
    flags = fields.pop("flags")
    check(flags & ~7 == 0, "reserved flags are set")
    fields.update(active=bool(flags & 1), losses=bool(flags & 2), settled=bool(flags & 4))
    fields["predecessor"] = r.uuid()
    fields["predecessor_length"] = r.unpack("Q")[0]
    fields["store"], fields["segment"] = r.uuid(), r.uuid()
    fields["compatible"] = r.unpack("Q")[0]
    return fields


# --- Filters ---

LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyz" + bytes(range(128, 256)))
ESCAPE = re.compile(
    rb"\\(?:([bfnrt])|u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|.)", re.S
)
U32 = (1 << 32) - 1


def mix(v):
    v = v + 0x9E3779B97F4A7C15 & U64_MAX
    v = (v ^ v >> 30) * 0xBF58476D1CE4E5B9 & U64_MAX
    v = (v ^ v >> 27) * 0x94D049BB133111EB & U64_MAX
    return v ^ v >> 31


def fnv1a(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & U64_MAX
    return h


def text_keys(text, starts_token=True, ends_token=True):
    """The keys of a run of bytes. A token at an end has one only where it starts or ends there."""
    text, keys = bytes(text).lower(), set()  # of bytes that is ASCII's lower case
    for found in re.finditer(rb"[a-z0-9\x80-\xff]+", text):
        token = found[0]
        starts, ends = found.start() > 0 or starts_token, found.end() < len(text) or ends_token
        if len(token) >= 3 and starts and ends:
            keys.add(mix(fnv1a(token)) & U32)
        for at in range(len(token) - 3):
            gram = token[at : at + 4]
            if LETTERS.issuperset(gram):
                keys.add(mix((1 << 32) + int.from_bytes(gram, "little")) & U32)
    return keys


def without_escapes(payload):
    def undo(found):
        control, high, low, unit = found.groups()
        if control:
            return b" "
        if high:
            number = 0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low, 16) & 0x3FF)
        elif unit:
            number = int(unit, 16)
        else:
            return found[0]
        return b" " if 0xD800 <= number < 0xE000 else chr(number).encode()

    return ESCAPE.sub(undo, payload)


def payload_keys(payload):
    return text_keys(payload) | text_keys(without_escapes(payload))


def holds(bits, key):
    """Whether a filter holds a key; one of no bytes as the common one: it holds none."""
    m = mix(key)
    p, s = m & U32, m >> 32 | 1
    places = [(p + i * s & U32) * len(bits) * 8 >> 32 for i in range(5)]
    return len(bits) > 0 and all(bits[place >> 3] >> (place & 7) & 1 for place in places)


def filters(data):
    r = Reader(data)
    version = r.u8()
    if version != 1:
        raise UnsupportedError(f"version {version} of filters")
    check(r.take(3) == bytes([5, 4, 3]), "parameters of the filters")
    count, total, common = r.unpack("III")
    check(count <= MAX_BLOCKS, "blocks of the filters")
    check((count + total + 2) * 4 + common <= r.left, "the filters end too early")
    firsts, starts = r.unpack(f"{count + 1}I"), r.unpack(f"{total + 1}I")
    for table, last in (firsts, total), (starts, r.left - common):
        check(table[0] == 0 and table[-1] == last, "ends of a table of the filters")
        check(all(a <= b for a, b in zip(table, table[1:])), "order of a table of the filters")
    common, data = r.take(common), r.take(r.left)
    each = [data[a:b] for a, b in zip(starts, starts[1:])]
    return {"common": common, "blocks": [each[a:b] for a, b in zip(firsts, firsts[1:])]}


def may_hold(common, bits, keys):
    """Whether the sub-block of a filter may have all of the keys."""
    return not bits or all(holds(common, key) or holds(bits, key) for key in keys)


# --- Sections ---


def section(r, owner):
    head = r.take(12)
    kind, flags, length = struct.unpack("<III", head)
    checksum = r.u32()
    check(flags & ~1 == 0, "reserved flags are set")
    check(length <= MAX_SECTION, "a section beyond the limit")
    body = r.take(length)
    check(crc32c(uuid.UUID(owner).bytes, head, body) == checksum, "checksum of a section")
    check(zeros(r.take(-length % 8)), "padding is not zero")
    return {"type": kind, "flags": flags, "body": body}


def sections(r, owner, count, known, ascending=True):
    """The bodies of the known sections, by type. `r` starts at a multiple of 8 and ends with them."""
    check(count * 16 <= r.left, "a count beyond the bytes that remain")
    bodies, last = {}, None
    for _ in range(count):
        one = section(r, owner)
        if one["type"] not in known and one["flags"] & 1:
            raise UnsupportedError(f"section {one['type']} is needed to read the file, and unknown")
        check(one["type"] not in bodies, "a section that occurs twice")
        check(not ascending or last is None or last < one["type"], "sections not in order")
        bodies[one["type"]], last = one["body"], one["type"]
    r.end()
    return {kind: body for kind, body in bodies.items() if kind in known}


def version_and_features(magic, expected, version, incompatible=0):
    check(magic == expected, f"not {expected.decode()}")
    if version != 1 or incompatible != 0:
        raise UnsupportedError(f"version {version}, incompatible features {incompatible:#x}")


# --- STORE, STATE, TAIL ---


def store_identity(data):
    r = Reader(data)
    magic, version, reserved, length, incompatible, compatible = r.unpack("8sHHIQQ")
    check(magic == b"VARVESTR", "not VARVESTR")
    store = r.uuid()
    created, count, checksum = r.unpack("qII")
    check(crc32c(data[:60]) == checksum, "checksum of STORE")
    version_and_features(magic, b"VARVESTR", version, incompatible)
    check(reserved == 0, "reserved bytes are not zero")
    check(length == len(data) <= MAX_HEADER, "length of STORE")
    bodies = sections(r, store, count, {1}, ascending=False)
    return {
        "incompatible": incompatible,
        "compatible": compatible,
        "store": store,
        "created": created,
        "metadata": Reader(bodies[1]).map() if 1 in bodies else None,
    }


def state_slot(data):
    """A slot of 4,096 bytes; None when it was never written."""
    if zeros(data):
        return None
    r = Reader(data)
    magic, version, reserved = r.unpack("8sH6s")
    check(crc32c(data[:124]) == struct.unpack_from("<I", data, 124)[0], "checksum of a STATE slot")
    version_and_features(magic, b"VARVESTA", version)
    check(zeros(reserved) and zeros(data[128:]), "reserved bytes are not zero")
    fields = {"store": r.uuid()}
    names = "counter head_sequence head_checkpoint watermark_segment watermark_offset next_sequence epoch written sessions"
    fields.update(zip(names.split(), r.unpack("QQQQQQQqQ")))
    fields["watermark_uuid"], flags = r.uuid(), r.u32()
    check(flags & ~1 == 0, "reserved flags are set")
    check(fields["counter"] >= 1, "counter 0 in a STATE slot")
    return {**fields, "closed": bool(flags & 1)}


def state_slots(data):
    """Both slots; an unwritten or invalid one is None."""
    check(len(data) == 8192, "length of STATE")
    slots = []
    for at in 0, 4096:
        try:
            slots.append(state_slot(data[at : at + 4096]))
        except FormatError:
            slots.append(None)
    return slots


def tail_slot(data, rows, payload_bytes, epoch):
    number, first, session, first_index, flags, reserved, committed, checksum = struct.unpack_from(
        "<QQQQIIII", data
    )
    if zeros(data[:64]):
        return None
    check(crc32c(struct.pack("<Q", epoch), data[:40]) == checksum, "checksum of a TAIL slot")
    check(flags & ~1 == 0 and reserved == 0 and zeros(data[48:64]), "reserved bytes are not zero")
    check(number > 0 and committed <= rows, "the number of a slot, or more rows than it holds")
    check(first + rows <= U64_MAX, "a sequence number beyond 64 bits")
    check(flags & 1 or first_index + rows <= U64_MAX, "an index beyond 64 bits")
    at, end, found = 64 + 24 * rows, 64 + 24 * rows + payload_bytes, []
    for row in range(committed if flags & 1 else rows):
        timestamp, index, length, kind = struct.unpack_from("<qQII", data, 64 + 24 * row)
        if length > MAX_PAYLOAD or at + length > end:
            check(not flags & 1, "payloads beyond the slot")
            break
        fields = struct.pack("<qII", timestamp, length, kind)
        covered = struct.pack("<Q", epoch), data[:40], fields, data[at : at + length]
        if not flags & 1 and index != crc32c(*covered):
            break
        found.append(
            {
                "timestamp": timestamp,
                "index": index if flags & 1 else first_index + row,
                "kind": kind,
                "payload": data[at : at + length].hex(),
            }
        )
        at += length
    return {
        "number": number,
        "first_sequence": first,
        "session": session,
        "first_index": first_index,
        "explicit_indices": bool(flags & 1),
        "rows": found,
    }


def tail_kind(r, epoch):
    start = r.at
    found = {"id": r.u32(), "definition": kind_definition(r)}
    covered = r.data[start : r.at]
    check(crc32c(struct.pack("<Q", epoch), covered) == r.u32(), "checksum of a TAIL kind")
    return found


def tail(data):
    check(len(data) >= 4096, "length of TAIL")
    r = Reader(data)
    magic, version, reserved, count = r.unpack("8sHHI")
    check(crc32c(data[:92]) == struct.unpack_from("<I", data, 92)[0], "checksum of TAIL")
    version_and_features(magic, b"VARVETAI", version)
    store, boot = r.uuid(), r.uuid()
    epoch, size, rows, payload_bytes, kind_bytes, reserved2, created, reserved3 = r.unpack("QQIIIIqI")
    check(reserved == reserved2 == reserved3 == 0 and zeros(data[96:4096]), "reserved bytes are not zero")
    check(1 <= count <= 64 and 1 <= rows <= 65_536, "sizes of TAIL")
    check(size % 4096 == 0 and size <= 268_435_456, "bytes of a TAIL slot")
    check(64 + 24 * rows + payload_bytes <= size, "bytes of a TAIL slot")
    check(payload_bytes <= MAX_PAYLOAD and count * size <= 1 << 30, "bytes of a TAIL slot")
    check(kind_bytes % 4096 == 0 and 8 <= kind_bytes <= 67_108_864, "bytes of the kinds region")
    check(len(data) == 4096 + kind_bytes + count * size, "length of TAIL")
    committed, reserved = struct.unpack_from("<II", data, 4096)
    check(reserved == 0 and committed <= kind_bytes - 8, "kinds region of TAIL")
    region, kinds = Reader(data[4104 : 4104 + committed]), []
    try:
        while region.left:
            kinds.append(tail_kind(region, epoch))
    except FormatError:
        pass  # What has not its checksum ends the list.
    slots = []
    for i in range(count):
        at = 4096 + kind_bytes + i * size
        try:
            slots.append(tail_slot(data[at : at + size], rows, payload_bytes, epoch))
        except FormatError:
            slots.append(None)
    return {"store": store, "boot": boot, "epoch": epoch, "created": created, "kinds": kinds, "slots": slots}


# --- Segment header, footer, trailer ---


def settings(r):
    block, sub_block, level, reserved = r.unpack("IIiI")
    check(reserved == 0, "reserved bytes are not zero")
    return {"block": block, "sub_block": sub_block, "level": level}


def pins(r):
    found = r.many(pin, 4)
    keys = [(one["session"], one["first"]) for one in found]
    check(all(a < b for a, b in zip(keys, keys[1:])), "pins not in ascending order")
    return found


def outside(one, other):
    """What of a pin's range lies outside that of another one."""
    if other["first"] > one["last"] or one["first"] > other["last"]:
        return [one]
    parts = []
    if one["first"] < other["first"]:
        parts.append({**one, "last": other["first"] - 1})
    if one["last"] > other["last"]:
        parts.append({**one, "first": other["last"] + 1})
    return parts


def apply_pin(found, record):
    """The pins in force after a ledger record."""
    new = {key: record[key] for key in ("session", "first", "last", "first_checkpoint")}
    if new["session"]:
        others = [one for one in found if one["session"] != new["session"]]
        if record["pinned"] and len(others) < len(found):
            return found
        found = others + [new] * record["pinned"]
    elif record["pinned"]:
        parts = [new]
        for old in (one for one in found if not one["session"]):
            parts = [part for one in parts for part in outside(one, old)]
        found = found + parts
    else:
        found = [part for one in found for part in ([one] if one["session"] else outside(one, new))]
    return sorted(found, key=lambda one: (one["session"], one["first"]))


def segment_header(data):
    """The header at the start of `data`, with "length" besides the fields of the page."""
    r = Reader(data[:152])
    magic, version, reserved, length, incompatible, compatible = r.unpack("8sHHIQQ")
    check(magic == b"VARVESEG", "not VARVESEG")
    fields = {
        "incompatible": incompatible,
        "compatible": compatible,
        "store": r.uuid(),
        "segment": r.uuid(),
        "predecessor": r.uuid(),
    }
    names = "predecessor_length ordinal generation digest"
    fields.update(zip(names.split(), r.unpack("QQIB")))
    reserved2 = r.take(3)
    names = "epoch base_sequence created sessions_before checkpoints_before"
    fields.update(zip(names.split(), r.unpack("QQqQQ")))
    count, checksum = r.unpack("II")
    check(crc32c(data[:148]) == checksum, "checksum of the segment header")
    version_and_features(magic, b"VARVESEG", version, incompatible)
    check(reserved == 0 and zeros(reserved2), "reserved bytes are not zero")
    check(152 <= length <= min(len(data), MAX_HEADER) and length % 8 == 0, "length of the segment header")
    check(fields["ordinal"] >= 1 and fields["epoch"] >= 1, "ordinal or epoch 0")
    check(fields["digest"] <= 1, "an unknown digest algorithm")
    check(
        fields["segment"] != NO_UUID and fields["predecessor"] != fields["segment"],
        "UUIDs of the segment header",
    )
    bodies = sections(Reader(data[152:length]), fields["segment"], count, {1, 2, 3, 4, 5})
    check(1 in bodies, "the segment header has no settings")

    def body(kind, decode):
        return decode(Reader(bodies[kind])) if kind in bodies else None

    fields["settings"] = body(1, settings)
    fields["kinds"] = body(2, lambda r: r.many(kind_definition, 4, MAX_KINDS))
    fields["session"] = body(3, begin_record)
    fields["limits"] = body(4, limits_body)
    fields["pins"] = body(5, pins)
    check(
        fields["session"] is None or fields["session"]["continued"],
        "the session of a header is not continued",
    )
    return {**fields, "length": length}


TRAILER = 96


def trailer(data):
    check(len(data) == TRAILER, "length of the trailer")
    r = Reader(data)
    offset, length = r.unpack("QQ")
    store, segment = r.uuid(), r.uuid()
    ordinal, file_length, count, version, reserved, summary_offset, reserved2, checksum, magic = r.unpack(
        "QQIHHQII8s"
    )
    check(magic == b"VARVEEND", "not VARVEEND")
    check(crc32c(data[:84]) == checksum, "checksum of the trailer")
    version_and_features(magic, b"VARVEEND", version)
    check(reserved == reserved2 == 0, "reserved bytes are not zero")
    check(offset % 8 == 0 and offset + length + TRAILER == file_length, "lengths in the trailer")
    check(offset + 8 <= summary_offset < offset + length and summary_offset % 8 == 0, "offset of the summary")
    return {
        "footer_offset": offset,
        "footer_length": length,
        "store": store,
        "segment": segment,
        "ordinal": ordinal,
        "file_length": file_length,
        "sections": count,
        "summary_offset": summary_offset,
    }


FOOTER_BODIES = {
    16: block_index,
    17: time_pyramid,
    18: kind_counts,
    19: session_summaries,
    20: checkpoint_entries,
    21: ledger_records,
    22: replaced_segments,
    23: dropped_ranges,
    25: digest,
    26: summary,
}


def footer(data, end):
    """The bodies of a footer by type, `data` being the whole file and `end` its trailer."""
    start = end["footer_offset"]
    r = Reader(data[start : start + end["footer_length"]])
    check(r.take(8) == b"VARVEFTR", "not VARVEFTR")
    bodies = sections(r, end["segment"], end["sections"], FOOTER_BODIES.keys() | {8, 24})
    missing = {16, 17, 18, 19, 20, 21, 25, 26} - bodies.keys()
    check(not missing, f"sections missing in the footer: {sorted(missing)}")
    decoded = {
        kind: decode(Reader(bodies[kind])) if kind in bodies else [] for kind, decode in FOOTER_BODIES.items()
    }
    head = Reader(data[end["summary_offset"] : end["summary_offset"] + 4])
    check(head.u32() == 26, "offset of the summary")
    check(
        decoded[26]["segment"] == end["segment"] and decoded[26]["store"] == end["store"],
        "UUIDs of the summary",
    )
    check(decoded[26]["ordinal"] == end["ordinal"], "ordinal of the summary")
    check(decoded[26]["data_bytes"] == start, "bytes of data in the summary")
    check(decoded[26]["blocks"] == len(decoded[16]), "blocks in the summary")
    decoded[24] = block_kinds(Reader(bodies[24]), decoded[16]) if 24 in bodies else None
    decoded[8] = footer_filters(bodies[8], decoded[16]) if 8 in bodies else None
    return decoded


def footer_filters(body, index):
    """The filters of a footer; None where they are no use: everything else stands without them."""
    try:
        found = filters(body)
        wanted = [entry["sub_blocks"] if entry["type"] == EVENTS else 0 for entry in index]
        check([len(block) for block in found["blocks"]] == wanted, "filters of other blocks")
        return found
    except FormatError:
        return None


# --- Blocks ---

BLOCK = 176
EVENTS, CHECKPOINT, BEGIN, END, LEDGER, PADDING, DICTIONARY, KINDS = range(1, 9)
SUB_BLOCKS = {CHECKPOINT: 1, BEGIN: 0, END: 0, LEDGER: 0, PADDING: 0, DICTIONARY: 2, KINDS: 0}

BLOCK_FIELDS = (
    "number type flags reserved body_length small_length sub_blocks events first_sequence epoch session "
    "first_index sessions checkpoints min_time max_time kind_set written head_sequence head_checkpoint "
    "durable_segment durable_offset raw_bytes kinds small_checksum checksum"
).split()


def block_header(data):
    """A block header, with the checks that need nothing else."""
    check(len(data) >= BLOCK, "the bytes end too early")
    r = Reader(data[:BLOCK])
    check(r.take(8) == b"VARVEBLK", "not VARVEBLK")
    fields = {"segment": r.uuid()}
    fields.update(zip(BLOCK_FIELDS, r.unpack("IBBHIIIIQQQQQQqqQqQQQQIIII")))
    checksum = crc32c(seed(fields["segment"], fields["number"], 0), data[:172])
    check(checksum == fields.pop("checksum"), "checksum of a block header")
    check(fields.pop("reserved") == 0, "reserved bytes are not zero")
    block_flags(fields)
    kind = fields["type"]
    if not EVENTS <= kind <= KINDS:
        raise UnsupportedError(f"type {kind} of a block")
    check(fields["number"] < MAX_BLOCKS, "blocks in a segment")
    check(fields["body_length"] <= MAX_BODY and fields["small_length"] <= MAX_SMALL, "length of a block")
    check(fields["small_length"] <= fields["body_length"], "length of the small part")
    check(fields["raw_bytes"] <= MAX_RAW and fields["kinds"] <= MAX_KINDS, "a block beyond the limits")
    check(
        fields["sub_blocks"] <= MAX_SUB_BLOCKS and fields["events"] <= MAX_EVENTS, "a block beyond the limits"
    )
    check(fields["sub_blocks"] * 20 <= fields["small_length"], "sub-blocks of a block")
    check(kind == EVENTS or fields["sub_blocks"] == SUB_BLOCKS[kind], "sub-blocks of a block")
    check((kind == EVENTS) == (fields["events"] > 0), "count of events of a block")
    check(kind == EVENTS or fields["kind_set"] == 0, "kind set of a block")
    check(not fields["many_kinds"] or fields["kind_set"] == U64_MAX, "kind set of a block")
    check(kind != PADDING or fields["small_length"] == 0, "small part of a padding block")
    check(fields["first_sequence"] + fields["events"] <= U64_MAX, "sequence numbers beyond 64 bits")
    check(
        fields["explicit_indices"] or fields["first_index"] + fields["events"] <= U64_MAX,
        "indices beyond 64 bits",
    )
    check(fields["min_time"] <= fields["max_time"], "times of a block")
    return fields


def block_length(header):
    return BLOCK + up8(header["body_length"])


class Block:
    """A block whose header and small part are valid; its sub-blocks are verified when they are read."""

    def __init__(self, data):
        """`data` starts with the block and may go on."""
        self.header = h = block_header(data)
        check(block_length(h) <= len(data), "a block that reaches beyond the file")
        body = data[BLOCK : BLOCK + h["body_length"]]
        small = body[: h["small_length"]]
        check(
            crc32c(seed(h["segment"], h["number"], 1), small) == h["small_checksum"],
            "checksum of a small part",
        )
        self.clean = zeros(data[BLOCK + h["body_length"] : block_length(h)])
        if h["type"] == PADDING:
            self.clean = self.clean and zeros(body)
        r, at, self.directory = Reader(small), len(small), []
        for _ in range(h["sub_blocks"]):
            events, raw, stored, method, reserved, checksum = r.unpack("IIIB3sI")
            check(zeros(reserved), "reserved bytes are not zero")
            check(method <= 2 and (method or raw == stored), "method of a sub-block")
            check(method != 2 or h["dictionary"], "a dictionary that the header does not name")
            self.directory.append((events, raw, method, checksum, body[at : at + stored]))
            at += stored
        check(h["type"] == PADDING or at == len(body), "length of a body")
        check(sum(d[0] for d in self.directory) == h["events"], "events of the sub-blocks")
        check(sum(d[1] for d in self.directory) == h["raw_bytes"], "length of the sub-blocks")
        getattr(
            self, "_" + "events checkpoint begin end ledger padding dictionary kinds".split()[h["type"] - 1]
        )(r)
        r.end()

    def _time(self, time):
        check(self.header["min_time"] == self.header["max_time"] == time, "times of a block")

    def _events(self, r):
        h, n = self.header, self.header["events"]
        self.timestamps, self.lengths, self.kinds = (packed_column(r, n) for _ in range(3))
        if h["explicit_indices"]:
            self.indices = [value + (1 << 63) for value in packed_column(r, n)]
            check(self.indices[0] == h["first_index"], "first index of a block")
        else:
            self.indices = list(range(h["first_index"], h["first_index"] + n))
        self.sequences = list(range(h["first_sequence"], h["first_sequence"] + n))
        check(
            (min(self.timestamps), max(self.timestamps)) == (h["min_time"], h["max_time"]), "times of a block"
        )
        check(all(0 <= length <= MAX_PAYLOAD for length in self.lengths), "length of a payload")
        used = set(self.kinds)
        check(0 <= min(used) and max(used) < h["kinds"], "a kind that is not defined")
        check(h["many_kinds"] == (max(used) > 63), "kind set of a block")
        check(h["many_kinds"] or h["kind_set"] == sum(1 << kind for kind in used), "kind set of a block")
        at = 0
        for events, raw, *_ in self.directory:
            check(sum(self.lengths[at : at + events]) == raw, "lengths of the payloads")
            at += events

    def _checkpoint(self, r):
        self.record = checkpoint_record(r)
        check(self.header["raw_bytes"] <= MAX_PAYLOAD, "a state beyond the limit")
        self._time(self.record["timestamp"])

    def _begin(self, r):
        self.record = begin_record(r)
        check(not self.record["continued"], "a begin block that is continued")
        self._time(self.record["start"])

    def _end(self, r):
        self.record = end_record(r)
        self._time(self.record["end"])

    def _ledger(self, r):
        self.records = ledger_records(r)
        self._time(self.header["written"])

    def _padding(self, r):
        self._time(self.header["written"])

    def _dictionary(self, r):
        first, second = self.directory
        check(first[2] == second[2] == 0 and first[1] == second[1], "sub-blocks of a dictionary block")
        check(1 <= first[1] <= MAX_DICTIONARY, "length of a dictionary")
        self._time(self.header["written"])

    def _kinds(self, r):
        self.definitions = r.many(kind_definition, 4, MAX_KINDS)
        check(1 <= len(self.definitions) <= self.header["kinds"], "count of kinds")
        self._time(self.header["written"])

    def sub_block(self, i, dictionary=None):
        """The bytes of a sub-block before compression."""
        events, raw, method, checksum, stored = self.directory[i]
        h = self.header
        check(crc32c(seed(h["segment"], h["number"], 2 + i), stored) == checksum, "checksum of a sub-block")
        if method == 0:
            return stored
        check(method == 1 or dictionary is not None, "the dictionary is missing")
        try:
            # The size given is one more where nothing is expected: the library takes 0 for "unknown".
            options = {"dict": dictionary} if method == 2 else {}
            data = lz4.block.decompress(stored, uncompressed_size=max(raw, 1), **options)
        except (lz4.block.LZ4BlockError, ValueError, OverflowError):
            raise FormatError("a sub-block that is not LZ4") from None
        check(len(data) == raw, "length of a sub-block")
        return data

    def payloads(self, dictionary=None):
        """The payloads of an events block; None for those whose sub-block is damaged, and the reasons."""
        found, reasons, row = [], [], 0
        for i, (events, *_) in enumerate(self.directory):
            try:
                data, at = self.sub_block(i, dictionary), 0
                for length in self.lengths[row : row + events]:
                    found.append(data[at : at + length])
                    at += length
            except FormatError as error:
                reasons.append(str(error))
                found += [None] * events
            row += events
        return found, reasons

    def dictionary(self):
        """The dictionary of a dictionary block, from its first copy that is intact."""
        try:
            return self.sub_block(0)
        except FormatError:
            return self.sub_block(1)


def block(data, dictionary=None):
    """The meaning of a whole block, everything in it verified."""
    b = Block(data)
    check(len(data) == block_length(b.header), "bytes after the end")
    check(b.clean, "padding is not zero")
    header = {key: value for key, value in b.header.items() if key != "small_checksum"}
    kind, result = header["type"], {"header": header}
    parts = [b.sub_block(i, dictionary) for i in range(header["sub_blocks"])]
    if kind == EVENTS:
        result.update(
            sequences=b.sequences,
            timestamps=b.timestamps,
            kinds=b.kinds,
            indices=b.indices,
            payloads=[payload.hex() for payload in b.payloads(dictionary)[0]],
        )
    elif kind in (CHECKPOINT, BEGIN, END):
        result["record"] = b.record
        if kind == CHECKPOINT:
            result["state"] = parts[0].hex()
    elif kind == LEDGER:
        result["records"] = b.records
    elif kind == DICTIONARY:
        check(parts[0] == parts[1], "the copies of the dictionary differ")
        result["dictionary"] = parts[0].hex()
    elif kind == KINDS:
        result["definitions"] = b.definitions
    return result


# --- Segments and stores ---


def read_regular(path):
    """The bytes of a regular file; None for anything else, symbolic links included."""
    if not os.path.lexists(path) or not stat.S_ISREG(os.lstat(path).st_mode):
        return None
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        return file.read()


class Segment:
    """One segment file. `end` is where its blocks end at the latest, `stop` where they did."""

    def __init__(self, name, data):
        self.name, self.data = name, data
        self.header = h = segment_header(data)
        self.uuid, self.ordinal, self.generation = h["segment"], h["ordinal"], h["generation"]
        self.trailer = self.footer = None
        self.settled = False
        self.damage = []
        self.end = len(data)
        if data[-8:] == b"VARVEEND":
            self._open_footer()

    def _open_footer(self):
        try:
            end = trailer(self.data[-TRAILER:])
            check((end["store"], end["segment"]) == (self.header["store"], self.uuid), "UUIDs of the trailer")
            check(end["ordinal"] == self.ordinal, "ordinal of the trailer")
            check(end["file_length"] == len(self.data), "length of the file")
            check(end["footer_offset"] >= self.header["length"], "offset of the footer")
            self.trailer, self.end = end, end["footer_offset"]
            self.settled = self._summary(end)["settled"]
            self.footer = footer(self.data, end)
        except UnsupportedError:
            raise
        except FormatError as error:
            self.damage.append((self.name, self.end, len(self.data), str(error)))

    def _summary(self, end):
        """The summary alone, of which more is left to be had than of a footer that is damaged elsewhere."""
        one = section(Reader(self.data[end["summary_offset"] : -TRAILER]), self.uuid)
        check(one["type"] == 26, "offset of the summary")
        return summary(Reader(one["body"]))

    def walk(self):
        """Fills `blocks` with (offset, Block) and `stop`."""
        self.blocks, at = [], self.header["length"]
        index = self.footer[16] if self.footer else []
        number = 0
        while at < self.end:
            try:
                b = Block(self._rest(at))
                check(b.header["segment"] == self.uuid, "a block of another segment")
                check(b.header["number"] == number, "number of a block")
                if not b.clean:
                    self.damage.append((self.name, at, at + block_length(b.header), "padding is not zero"))
                self.blocks.append((at, b))
                at += block_length(b.header)
                number += 1
            except UnsupportedError:
                raise
            except FormatError as error:
                if zeros(self.data[at : self.end]) and not self.trailer:
                    break
                following = next((i for i, e in enumerate(index) if e["offset"] > at), None)
                skip = index[following]["offset"] if following is not None else self.end
                self.damage.append((self.name, at, skip, str(error)))
                if following is None:
                    break
                at, number = skip, following
        self.stop = at

    def _rest(self, at):
        """The bytes of a block at `at`, as far as its header says and the file goes."""
        head = self.data[at : at + BLOCK]
        length = struct.unpack_from("<I", head, 32)[0] if len(head) == BLOCK else 0
        return self.data[at : min(at + BLOCK + up8(length), self.end)]

    def kinds(self):
        """Definitions by kind id; an id whose definition is lost has none."""
        if self.footer:
            return dict(enumerate(entry["definition"] for entry in self.footer[18]))
        found = dict(enumerate(self.header["kinds"] or []))
        for _, b in self.blocks:
            if b.header["type"] == KINDS:
                first = b.header["kinds"] - len(b.definitions)
                found.update(enumerate(b.definitions, first))
        return found

    def is_whole(self):
        """Whether all that its footer tells of belongs to the log."""
        return self.footer and self.end == self.trailer["footer_offset"]

    def ledger(self):
        if self.is_whole():
            return self.footer[21]
        return [record for _, b in self.blocks if b.header["type"] == LEDGER for record in b.records]

    def runs(self):
        """(first sequence number, count, session) of each block of events."""
        entries = self.footer[16] if self.is_whole() else [b.header for _, b in self.blocks]
        return [(e["first_sequence"], e["events"], e["session"]) for e in entries if e["type"] == EVENTS]

    def dictionary(self):
        for _, b in self.blocks:
            if b.header["type"] == DICTIONARY:
                try:
                    return b.dictionary()
                except FormatError as error:
                    self.damage.append((self.name, self.stop, self.stop, str(error)))
        return None


class Store:
    """A store directory, read as it stands: `segments` make its log, `damage` lists (file, from, to, why)."""

    def __init__(self, path):
        self.path, self.damage, self.identity = path, [], None
        names = sorted(os.listdir(path))
        data = read_regular(os.path.join(path, "STORE"))
        if data is not None:
            try:
                self.identity = store_identity(data)
            except UnsupportedError:
                raise
            except FormatError as error:
                self.damage.append(("STORE", 0, len(data), str(error)))
        found = []
        for name in names:
            data = read_regular(os.path.join(path, name)) if name.endswith(".seg") else None
            if data is None:
                continue
            try:
                found.append(Segment(name, data))
            except UnsupportedError:
                raise
            except FormatError as error:
                self.damage.append((name, 0, len(data), str(error)))
        if self.identity:
            self.uuid = self.identity["store"]
        else:
            uuids = {segment.header["store"] for segment in found}
            check(len(uuids) == 1, "no STORE, and no UUID that all segments share")
            self.uuid = uuids.pop()
        self.segments = self._log([s for s in found if s.header["store"] == self.uuid])
        self._bound()
        for segment in self.segments:
            segment.walk()
        data = read_regular(os.path.join(path, "STATE"))
        slots = state_slots(data) if data is not None and len(data) == 8192 else []
        slots = [slot for slot in slots if slot and slot["store"] == self.uuid]
        self.state = max(slots, key=lambda slot: slot["counter"], default=None)
        self._heads_and_watermark(slots)
        self._apply_limits()
        self._sessions()

    def _log(self, found):
        """Hides what was replaced, chooses generations, and follows the chain of predecessors from the last one back."""
        hidden = set()
        for one in found:
            if not one.settled:
                continue
            beside = [
                s
                for s in found
                if s.uuid != one.uuid
                and s.ordinal <= one.ordinal
                and s.header["base_sequence"] >= one.header["base_sequence"]
            ]
            if one.footer:
                hidden |= {entry["segment"] for entry in one.footer[22]} if beside else set()
            elif any(s.header["base_sequence"] == one.header["base_sequence"] for s in beside) and any(
                s.ordinal == one.ordinal for s in beside
            ):
                hidden.add(one.uuid)
        by_ordinal = {}
        for segment in found:
            if segment.uuid not in hidden:
                by_ordinal.setdefault(segment.ordinal, []).append(segment)
        chosen = []
        for ordinal in sorted(by_ordinal, reverse=True):
            files = sorted(by_ordinal[ordinal], key=lambda s: (s.generation, s.name))
            chosen.append(next((s for s in reversed(files) if s.footer), files[0]))
        known, chain = {segment.uuid for segment in chosen}, []
        for segment in chosen:
            wanted = chain[-1].header["predecessor"] if chain else segment.uuid
            if wanted == segment.uuid or wanted != NO_UUID and wanted not in known:
                chain.append(segment)
        return chain[::-1]

    def _bound(self):
        """Cuts each segment at the valid length that its successor names."""
        for successor in self.segments:
            for segment in self.segments:
                if segment.uuid == successor.header["predecessor"]:
                    segment.end = min(segment.end, successor.header["predecessor_length"])

    def _heads_and_watermark(self, slots):
        marks = [(0, 0)]
        heads = [(0, 0)]
        if self.state:
            heads.append((self.state["head_sequence"], self.state["head_checkpoint"]))
        marks += [(slot["watermark_segment"], slot["watermark_offset"]) for slot in slots]
        for segment in self.segments:
            if segment.footer:
                marks.append((segment.ordinal, len(segment.data)))
                heads.append((segment.footer[26]["head_sequence"], segment.footer[26]["head_checkpoint"]))
            for _, b in segment.blocks:
                marks.append((b.header["durable_segment"], b.header["durable_offset"]))
                heads.append((b.header["head_sequence"], b.header["head_checkpoint"]))
        # Heads that no number reaches are none that a writer gave.
        self.head_sequence = max(head[0] for head in heads if head[0] < HEAD_MAX)
        self.head_checkpoint = max(head[1] for head in heads if head[1] < HEAD_MAX)
        self.watermark = max(marks)
        self.unconfirmed = []
        for segment in self.segments:
            for entry in segment.damage:
                known = (segment.ordinal, entry[1]) < self.watermark
                (self.damage if known else self.unconfirmed).append(entry)

    def _apply_limits(self):
        """Limits and pins in force, and the heads that the limits on numbers ask for at the end of the log."""
        self.limits, self.pins = None, []
        if not self.segments:
            return
        last = self.segments[-1]
        self.limits, self.pins = last.header["limits"], last.header["pins"] or []
        for record in last.ledger():
            if record["type"] == "limits":
                self.limits = record
            elif record["type"] == "pin":
                self.pins = apply_pin(self.pins, record)
        limits, unfinished = self.limits or {}, self._unfinished_imports()
        if limits.get("events") is not None:
            all_runs = [run for segment in self.segments for run in segment.runs() if run[2] not in unfinished]
            runs = [
                [n for n in range(first, first + count) if self.keeps(n, session)] for first, count, session in all_runs
            ]
            excess = sum(map(len, runs)) - limits["events"]
            for run, (_, _, session) in zip(runs, all_runs):
                for number in run:
                    if excess > 0 and not self._is_pinned(number, session):
                        self.head_sequence, excess = number + 1, excess - 1
        if limits.get("checkpoints") is not None:
            kept = [
                b.record
                for segment in self.segments
                for _, b in segment.blocks
                if b.header["type"] == CHECKPOINT
                and self.keeps_checkpoint(b.record)
                and b.record["session"] not in unfinished
            ]
            excess = len(kept) - limits["checkpoints"]
            for record in kept:
                if excess > 0 and not self._is_pinned_checkpoint(record):
                    self.head_checkpoint = max(self.head_checkpoint, record["ordinal"] + 1)
                    excess -= 1

    def _unfinished_imports(self):
        """The sessions whose latest begin is an import's, and that have no end after it: nothing of them counts."""
        found = set()
        for segment in self.segments:
            blocks = [b for _, b in segment.blocks if b.header["type"] in (BEGIN, END)]
            begun = [segment.header["session"]] if segment.header["session"] else []
            for record, is_end in [(r, False) for r in begun] + [(b.record, b.header["type"] == END) for b in blocks]:
                if is_end or not record["imported"]:
                    found.discard(record["ordinal"])
                else:
                    found.add(record["ordinal"])
        return found

    def _is_pinned(self, sequence, session):
        return any(
            one["session"] in (0, session) and one["first"] <= sequence <= one["last"] for one in self.pins
        )

    def _is_pinned_checkpoint(self, record):
        return any(
            record["ordinal"] >= one["first_checkpoint"]
            and (
                one["session"] == record["session"]
                if one["session"]
                else one["first"] <= record["sequence"] <= one["last"]
            )
            for one in self.pins
        )

    def keeps(self, sequence, session):
        return sequence >= self.head_sequence or self._is_pinned(sequence, session)

    def keeps_checkpoint(self, record):
        return record["ordinal"] >= self.head_checkpoint or self._is_pinned_checkpoint(record)

    def _sessions(self):
        """Follows the records of the log: `known` has the state of every session by its ordinal."""
        self.known = known = {}
        active = None

        def end_unseen():
            """Its end stood in a segment that was dropped, or is lost: it was interrupted at its last event."""
            session = known[active]
            at = session["begin"]["start"] if session["last_time"] is None else session["last_time"]
            session.update(ended=(2, at), empty=False)

        def begin(record, sequence):
            nonlocal active
            if active not in (None, record["ordinal"]):
                end_unseen()
            active = record["ordinal"]
            # One that goes on had events where it has an index already; an import's say nothing.
            empty = not (record["resumed"] or record["continued"]) or not record["first_index"]
            new = {"begin": record, "ended": None, "empty": empty or record["imported"], "last_time": None}
            session = known.setdefault(active, new)
            session.update(importing=record["imported"], at=sequence)
            session["empty"] = session["empty"] and not record["used"]
            return session

        for segment in self.segments:
            first = segment.header["session"]
            if active is not None and (first is None or first["ordinal"] != active):
                end_unseen()
                active = None
            if first:
                begin(first, segment.header["base_sequence"])
            for _, b in segment.blocks:
                if b.header["type"] == BEGIN:
                    begin(b.record, b.header["first_sequence"])["ended"] = None
                elif b.header["type"] == END and b.record["ordinal"] in known:
                    known[b.record["ordinal"]]["ended"] = (b.record["reason"], b.record["end"])
                    active = None
                elif b.header["type"] == EVENTS and b.header["session"] in known:
                    session, latest = known[b.header["session"]], b.header["max_time"]
                    session["empty"] = False
                    session["last_time"] = max(latest, session["last_time"] or latest)
                elif b.header["type"] == CHECKPOINT and b.record["session"] in known:
                    known[b.record["session"]]["empty"] = False
            if not segment.is_whole():
                continue
            # The footer tells also of what stands in blocks that are damaged.
            active = None
            for entry in segment.footer[19]:
                session = begin(entry["begin"], entry["first_sequence"])
                active = None
                if entry["events"] or entry["checkpoints"]:
                    session["empty"] = False
                if entry["state"]:
                    session["ended"] = (entry["state"], entry["end"])
                else:
                    session["ended"], active = None, entry["begin"]["ordinal"]
        for ordinal in [n for n, s in known.items() if s["importing"] and not s["ended"]]:
            del known[ordinal]
        self.unfinished = {
            record["ordinal"] for record in self._begins() if record["imported"]
        } - known.keys()

    def _begins(self):
        for segment in self.segments:
            if segment.header["session"]:
                yield segment.header["session"]
            for _, b in segment.blocks:
                if b.header["type"] == BEGIN:
                    yield b.record
            for entry in segment.footer[19] if segment.footer else []:
                yield entry["begin"]

    def _id(self, ordinal):
        return self.known[ordinal]["begin"]["id"] if ordinal in self.known else ""

    def events(self):
        """The events in order, as dictionaries. What can't be read is in `gaps` afterwards."""
        self.gaps, passed, expected = [], 0, self.head_sequence

        def missing(first, last):
            if self.gaps and self.gaps[-1][1] + 1 == first:
                first = self.gaps.pop()[0]
            self.gaps.append((first, last))

        for segment in self.segments:
            kinds, dictionary = segment.kinds(), segment.dictionary()
            for at, b in segment.blocks:
                h = b.header
                if h["type"] != EVENTS:
                    continue
                payloads, reasons = b.payloads(dictionary)
                self.damage += [(segment.name, at, at + block_length(h), reason) for reason in reasons]
                for i, sequence in enumerate(b.sequences):
                    if not self.keeps(sequence, h["session"]):
                        continue
                    if sequence < passed or self.head_sequence <= sequence < expected:
                        self.damage.append(
                            (segment.name, at, at + block_length(h), "a sequence number that occurred")
                        )
                        continue
                    passed = sequence + 1
                    # Of what is below the head nothing is missing: it was dropped.
                    if sequence > expected:
                        missing(expected, sequence - 1)
                    expected = max(expected, passed)
                    if payloads[i] is None or b.kinds[i] not in kinds:
                        missing(sequence, sequence)
                    elif h["session"] not in self.unfinished:
                        yield {
                            "sequence": sequence,
                            "session": self._id(h["session"]),
                            "session_number": h["session"],
                            "index": b.indices[i],
                            "timestamp": b.timestamps[i],
                            "kind": kinds[b.kinds[i]]["name"],
                            "encoding": kinds[b.kinds[i]]["encoding"],
                            "payload": payloads[i],
                        }
            whole_data = segment.footer and segment.end == segment.trailer["footer_offset"]
            if whole_data and segment.footer[26]["next_sequence"] > expected:
                missing(expected, segment.footer[26]["next_sequence"] - 1)
                expected = segment.footer[26]["next_sequence"]

    def checkpoints(self):
        """The checkpoints by their ordinals: those that outlive the events around them may stand elsewhere in the log."""
        return sorted(self._checkpoints(), key=lambda checkpoint: checkpoint["ordinal"])

    def _checkpoints(self):
        for segment in self.segments:
            dictionary = segment.dictionary()
            for at, b in segment.blocks:
                if b.header["type"] != CHECKPOINT or not self.keeps_checkpoint(b.record):
                    continue
                if b.record["session"] in self.unfinished:
                    continue
                try:
                    yield {
                        **b.record,
                        "session": self._id(b.record["session"]),
                        "session_number": b.record["session"],
                        "state": b.sub_block(0, dictionary),
                    }
                except FormatError as error:
                    self.damage.append((segment.name, at, at + block_length(b.header), str(error)))

    def sessions(self):
        found = {}
        for ordinal in sorted(self.known):
            record, ended = self.known[ordinal]["begin"], self.known[ordinal]["ended"]
            # Kept or not.
            last_time = self.known[ordinal]["last_time"]
            found[ordinal] = {
                "number": ordinal,
                "id": record["id"],
                "start": record["start"],
                "end": ended[1] if ended else record["start"] if last_time is None else last_time,
                "state": "closed" if ended and ended[0] == 1 else "interrupted",
                "events": 0,
                "checkpoints": 0,
                "first_sequence": None,
                "last_sequence": None,
                "min_time": None,
                "max_time": None,
                "bytes": 0,
                "metadata": record["metadata"],
            }
        for event in self.events():
            session = found.get(event["session_number"])
            if session is None:
                continue
            moment = event["timestamp"]
            if session["events"] == 0:
                session.update(first_sequence=event["sequence"], min_time=moment, max_time=moment)
            session["events"] += 1
            session["last_sequence"] = event["sequence"]
            session["min_time"], session["max_time"] = min(session["min_time"], moment), max(
                session["max_time"], moment
            )
            session["bytes"] += len(event["payload"])
        for checkpoint in self.checkpoints():
            if checkpoint["session_number"] in found:
                found[checkpoint["session_number"]]["checkpoints"] += 1
        return [session for session in found.values() if not self._is_gone(session)]

    def _is_gone(self, session):
        """A session that has ended goes with its last event and checkpoint; one that never had any with the head."""
        if self.head_sequence == 0 and self.head_checkpoint <= 1 or session["events"] or session["checkpoints"]:
            return False
        known = self.known[session["number"]]
        return not known["empty"] or known["at"] < self.head_sequence


# --- Text ---

ESCAPES = {i: f"\\u{i:04x}" for i in range(32)}
ESCAPES.update({8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"})


def quoted(text):
    return '"' + text.translate(ESCAPES) + '"'


def timestamp(nanoseconds):
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    days, second = divmod(seconds, 86_400)
    # The proleptic Gregorian calendar repeats every 146,097 days.
    date = time.gmtime((days % 146_097) * 86_400)
    year = date.tm_year + days // 146_097 * 400
    return (
        f"{year:04}-{date.tm_mon:02}-{date.tm_mday:02}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        f".{rest:09}Z"
    )


def as_text(data):
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def is_json(text):
    def refuse(name):
        raise ValueError(name)

    try:
        json.loads(text, parse_constant=refuse, parse_int=str, parse_float=str)
        return True
    except (ValueError, RecursionError):
        return False


def one_line(text):
    return text.replace("\n", " ").replace("\r", " ")


def optional(value, form):
    return "null" if value is None else form(value)


def event_line(event):
    text = as_text(event["payload"]) if event["encoding"] else None
    if text is None:
        payload = '"payload_base64":"' + base64.b64encode(event["payload"]).decode() + '"'
    elif event["encoding"] == 2 and is_json(text):
        payload = '"payload":' + one_line(text)
    else:
        payload = '"payload":' + quoted(text)
    return (
        f'{{"sequence":{event["sequence"]},"session":{quoted(event["session"])},'
        f'"session_number":{event["session_number"]},"index":{event["index"]},'
        f'"timestamp":"{timestamp(event["timestamp"])}","kind":{quoted(event["kind"])},{payload}}}'
    )


def session_line(s):
    def moment(value):
        return optional(value, lambda v: f'"{timestamp(v)}"')

    entries = sorted(s["metadata"].items(), key=lambda entry: entry[0].encode())
    metadata = ",".join(f"{quoted(key)}:{quoted(value)}" for key, value in entries)
    return (
        f'{{"number":{s["number"]},"id":{quoted(s["id"])},"start":{moment(s["start"])},"end":{moment(s["end"])},'
        f'"state":"{s["state"]}","events":{s["events"]},"checkpoints":{s["checkpoints"]},'
        f'"first_sequence":{optional(s["first_sequence"], str)},"last_sequence":{optional(s["last_sequence"], str)},'
        f'"min_time":{moment(s["min_time"])},"max_time":{moment(s["max_time"])},"bytes":{s["bytes"]},'
        f'"metadata":{{{metadata}}}}}'
    )


def checkpoint_line(c):
    text = as_text(c["state"])
    if text is None:
        state = '"state_base64":"' + base64.b64encode(c["state"]).decode() + '"'
    elif is_json(text):
        state = '"state":' + one_line(text)
    else:
        state = '"state_text":' + quoted(text)
    return (
        f'{{"ordinal":{c["ordinal"]},"session":{quoted(c["session"])},"session_number":{c["session_number"]},'
        f'"id":{quoted(c["id"])},"label":{optional(c["label"], quoted)},"timestamp":"{timestamp(c["timestamp"])}",'
        f'"event_index":{c["event_index"]},"sequence":{c["sequence"]},{state}}}'
    )


# --- Golden vectors ---


def _header_vector(data):
    fields = segment_header(data)
    check(fields.pop("length") == len(data), "bytes after the end")
    return fields


def _column_vector(data):
    r = Reader(data)
    values = packed_column(r, r.u32())
    r.end()
    return {"values": values}


def _section_vector(data, beside):
    one = whole(lambda r: section(r, beside["owner"]), data)
    return {**one, "body": one["body"].hex()}


def _block_header_vector(data):
    check(len(data) == BLOCK, "length of a block header")
    return block_header(data)


def _block_vector(data, beside):
    dictionary = beside.get("uses_dictionary")
    result = block(data, bytes.fromhex(dictionary) if dictionary is not None else None)
    return {**result, "uses_dictionary": dictionary} if "uses_dictionary" in beside else result


def _filters_vector(data, beside):
    found = filters(data)
    all_filters = [bits for block in found["blocks"] for bits in block]
    texts = []
    for text in beside.get("texts", []):
        keys = text_keys(bytes.fromhex(text["text"]), text["starts_token"], text["ends_token"])
        answers = [may_hold(found["common"], bits, keys) for bits in all_filters]
        texts.append({**text, "keys": sorted(keys), "may_hold": answers})
    payloads = [
        {**one, "keys": sorted(payload_keys(bytes.fromhex(one["payload"])))}
        for one in beside.get("payloads", [])
    ]
    blocks = [[bits.hex() for bits in block] for block in found["blocks"]]
    return {"common": found["common"].hex(), "blocks": blocks, "payloads": payloads, "texts": texts}


def _record(item):
    return lambda data, beside: whole(item, data)


def _body(item, key=None):
    return lambda data, beside: {key: item(Reader(data))} if key else item(Reader(data))


def _file(item, key=None):
    return lambda data, beside: {key: item(data)} if key else item(data)


# By folder: the decoder, which gets the bytes and the meaning beside them (for owner and dictionary only).
VECTORS = {
    "map": lambda data, beside: {"entries": whole(Reader.map, data)},
    "section": _section_vector,
    "kind-definition": _record(kind_definition),
    "begin-record": _record(begin_record),
    "end-record": _record(end_record),
    "checkpoint-record": _record(checkpoint_record),
    "ledger-record": _record(ledger_record),
    "packed-column": _file(_column_vector),
    "segment-header": _file(_header_vector),
    "block-header": _file(_block_header_vector),
    "block": _block_vector,
    "block-index-entry": _record(block_index_entry),
    "filters": _filters_vector,
    "time-pyramid": _body(time_pyramid, "levels"),
    "kind-counts": _body(kind_counts, "kinds"),
    "session-summary": _record(session_summary),
    "checkpoint-entries": _body(checkpoint_entries, "checkpoints"),
    "replaced-segments": _body(replaced_segments, "segments"),
    "dropped-ranges": _body(dropped_ranges, "ranges"),
    "digest": _body(digest),
    "summary": _body(summary),
    "trailer": _file(trailer),
    "store-identity": _file(store_identity),
    "state": _file(state_slots, "slots"),
    "tail": _file(tail),
}


def decode_vector(folder, data, beside):
    result = VECTORS[folder](data, beside)
    return {"owner": beside["owner"], **result} if "owner" in beside else result


def lines(store, what):
    """The lines of one of the three outputs."""
    if what == "events":
        return [event_line(event) for event in store.events()]
    if what == "sessions":
        return [session_line(session) for session in store.sessions()]
    return [checkpoint_line(checkpoint) for checkpoint in store.checkpoints()]


def main(arguments):
    usage = "usage: varve_reader.py events|sessions|checkpoints STORE | struct FOLDER FILE"
    try:
        if len(arguments) == 2 and arguments[0] in ("events", "sessions", "checkpoints"):
            store = Store(arguments[1])
            out = "".join(line + "\n" for line in lines(store, arguments[0]))
            sys.stdout.buffer.write(out.encode())
            for name, first, last, why in store.damage:
                print(f"{name}: bytes {first}...{last - 1}: {why}", file=sys.stderr)
            return 1 if store.damage else 0
        if len(arguments) == 3 and arguments[0] == "struct" and arguments[1] in VECTORS:
            with open(arguments[2], "rb") as file:
                data = file.read()
            beside = os.path.splitext(arguments[2])[0] + ".json"
            meaning = {}
            if os.path.exists(beside):
                with open(beside, encoding="utf-8") as file:
                    meaning = json.load(file)
            print(json.dumps(decode_vector(arguments[1], data, meaning), ensure_ascii=False))
            return 0
    except (FormatError, OSError) as error:
        print(f"varve_reader: error: {error}", file=sys.stderr)
        return 1
    print(usage, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
