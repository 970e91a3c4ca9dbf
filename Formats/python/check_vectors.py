#!/usr/bin/env python3
"""Checks the golden vectors with the independent reader: check_vectors.py [DIR], by default ../vectors.

Each vector is decoded and compared with the meaning beside it, and decoded again with single bits flipped,
which must be refused where a checksum covers them, and must never end in anything but a FormatError
elsewhere. Stores are read and compared with their outputs, the footers of their segments are computed again
from the blocks, and bits of their files are flipped: no event may come out other than as it was recorded.
"""

import contextlib
import json
import os
import random
import shutil
import sys
import tempfile
import traceback

import varve_reader as varve

# Folders whose every bit is under a checksum or must be zero, in as far as that can be told without the rest.
SEALED = {"section", "segment-header", "block-header", "block", "trailer", "store-identity"}
# Bits that no checksum covers are flipped as well, in these and in all other folders: no crash may follow.
FLIPPED_BYTES = 4096
ALL_BITS_BELOW = 512
STORE_FLIPS = 24
INDEX_KEYS = {*varve.INDEX_ENTRY, "many_kinds", "dictionary", "explicit_indices"}


def flips(size):
    """Every bit of short files, a bit of every byte of the first few KiB of longer ones."""
    for at in range(min(size, FLIPPED_BYTES)):
        for bit in range(8) if size <= ALL_BITS_BELOW else [at * 5 % 8]:
            yield at, bit


def flipped(data, at, bit):
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def difference(got, wanted, path=""):
    """Where two JSON values first differ, or None. Numbers and booleans are not the same."""
    if type(got) is not type(wanted):
        return f"{path or 'the whole'}: {got!r} instead of {wanted!r}"
    if isinstance(got, dict):
        if got.keys() != wanted.keys():
            return f"{path or 'the whole'}: keys {sorted(got.keys() ^ wanted.keys())} on one side only"
        pairs = [(key, got[key], wanted[key]) for key in got]
    elif isinstance(got, list):
        if len(got) != len(wanted):
            return f"{path or 'the whole'}: {len(got)} items instead of {len(wanted)}"
        pairs = [(i, *pair) for i, pair in enumerate(zip(got, wanted))]
    else:
        return None if got == wanted else f"{path or 'the whole'}: {got!r} instead of {wanted!r}"
    return next(
        filter(None, (difference(a, b, f"{path}.{key}" if path else str(key)) for key, a, b in pairs)), None
    )


def must_refuse(folder, at):
    """STATE and TAIL answer with null for a slot that is damaged; only TAIL's header is refused."""
    return folder in SEALED or (folder == "tail" and at < 4096)


def check_file(folder, path):
    """What is wrong with a vector, or None."""
    with open(path, "rb") as file:
        data = file.read()
    beside = os.path.splitext(path)[0] + ".json"
    if not os.path.exists(beside):
        return "no .json beside it"
    with open(beside, encoding="utf-8") as file:
        wanted = json.load(file)
    try:
        got = varve.decode_vector(folder, data, wanted)
    except varve.FormatError as error:
        return f"refused: {error}"
    wrong = difference(got, wanted)
    if wrong:
        return wrong
    for at, bit in flips(len(data)):
        try:
            other = varve.decode_vector(folder, flipped(data, at, bit), wanted)
        except varve.FormatError:
            continue
        if must_refuse(folder, at):
            return f"bit {bit} of byte {at} can be flipped without being refused"
        if folder == "state" and (
            other["slots"][at // 4096] is not None or other == got and got["slots"][at // 4096]
        ):
            return f"bit {bit} of byte {at} can be flipped without losing its slot"
    for size in sorted({0, 1, len(data) // 2, len(data) - 1} - {-1, len(data)}):
        with contextlib.suppress(varve.FormatError):
            if varve.decode_vector(folder, data[:size], wanted) == got and folder in SEALED:
                return f"cut to {size} bytes without being refused"
    return None


def footer_difference(segment):
    """Where the footer of a sealed segment differs from what its blocks say, or None."""
    blocks, foot, head = segment.blocks, segment.footer, segment.header
    kinds, dictionary = segment.kinds(), segment.dictionary()
    events = [(at, b) for at, b in blocks if b.header["type"] == varve.EVENTS]

    index = []
    for at, b in blocks:
        entry = {key: b.header[key] for key in b.header if key in INDEX_KEYS}
        index.append({**entry, "offset": at, "length": varve.block_length(b.header)})

    levels = []
    if blocks:
        pairs = [
            (
                (b.header["min_time"], b.header["max_time"])
                if b.header["events"]
                else (varve.I64_MAX, varve.I64_MIN)
            )
            for _, b in blocks
        ]
        while not levels or len(pairs) > 1:
            groups = [pairs[i : i + 64] for i in range(0, len(pairs), 64)]
            pairs = [[min(p[0] for p in group), max(p[1] for p in group)] for group in groups]
            levels.append(pairs)

    counts = [{"definition": kinds[i], "events": 0, "bytes": 0} for i in sorted(kinds)]
    sessions, checkpoints, ledger = {}, [], []

    def session(record, base):
        return sessions.setdefault(
            record["ordinal"],
            {
                "begin": record,
                "state": 0,
                "end": 0,
                "events": 0,
                "checkpoints": 0,
                "bytes": 0,
                "first_sequence": base,
                "next_sequence": base,
                "next_index": record["first_index"],
                "min_time": 0,
                "max_time": 0,
            },
        )

    if head["session"]:
        session(head["session"], head["base_sequence"])
    for at, b in blocks:
        h = b.header
        if h["type"] == varve.BEGIN:
            s = session(b.record, h["first_sequence"])
            s["state"] = s["end"] = 0
        elif h["type"] == varve.END:
            sessions[b.record["ordinal"]].update(
                state=b.record["reason"], end=b.record["end"], next_index=b.record["next_index"]
            )
        elif h["type"] == varve.CHECKPOINT:
            checkpoints.append({"record": b.record, "block": h["number"], "bytes": h["raw_bytes"]})
            if b.record["session"] in sessions:
                sessions[b.record["session"]]["checkpoints"] += 1
        elif h["type"] == varve.LEDGER:
            ledger += b.records
        elif h["type"] == varve.EVENTS:
            for kind, length in zip(b.kinds, b.lengths):
                counts[kind]["events"] += 1
                counts[kind]["bytes"] += length
            s = sessions[h["session"]]
            if not s["events"]:
                s.update(first_sequence=h["first_sequence"], min_time=h["min_time"], max_time=h["max_time"])
            s["events"] += h["events"]
            s["bytes"] += h["raw_bytes"]
            s["next_sequence"] = h["first_sequence"] + h["events"]
            s["next_index"] = b.indices[-1] + 1
            s["min_time"], s["max_time"] = min(s["min_time"], h["min_time"]), max(
                s["max_time"], h["max_time"]
            )

    last = blocks[-1][1].header if blocks else None
    digests = {1: varve.crc32c(segment.data[: segment.end]).to_bytes(4, "little").hex(), 0: ""}
    wanted_summary = {
        "ordinal": head["ordinal"],
        "generation": head["generation"],
        "base_sequence": head["base_sequence"],
        "next_sequence": last["first_sequence"] + last["events"] if last else head["base_sequence"],
        "events": sum(b.header["events"] for _, b in events),
        "min_time": min((b.header["min_time"] for _, b in events), default=varve.I64_MAX),
        "max_time": max((b.header["max_time"] for _, b in events), default=varve.I64_MIN),
        "raw_bytes": sum(b.header["raw_bytes"] for _, b in events),
        "data_bytes": segment.end,
        "sessions": last["sessions"] if last else head["sessions_before"],
        "checkpoints": last["checkpoints"] if last else head["checkpoints_before"],
        "created": head["created"],
        "blocks": len(blocks),
        "event_blocks": len(events),
        "kind_count": len(kinds),
        "session_count": len(sessions),
        "checkpoint_count": len(checkpoints),
        "ledger_count": len(ledger),
        "last_session": list(sessions)[-1] if sessions else 0,
        "predecessor": head["predecessor"],
        "predecessor_length": head["predecessor_length"],
        "store": head["store"],
        "segment": head["segment"],
        "compatible": head["compatible"],
        "active": any(s["state"] == 0 for s in sessions.values()),
        "losses": any(record["type"] in ("gap", "drop", "retention") for record in ledger),
    }
    return (
        difference(foot[16], index, "block index")
        or difference(foot[17], levels, "time pyramid")
        or difference(foot[18], counts, "kinds")
        or difference(foot[19], list(sessions.values()), "sessions")
        or difference(foot[20], checkpoints, "checkpoints")
        or difference(foot[21], ledger, "ledger")
        or (
            foot[25]["scope"] == 1
            and difference(foot[25]["digest"], digests[foot[25]["algorithm"]], "digest")
        )
        or difference({key: foot[26][key] for key in wanted_summary}, wanted_summary, "summary")
        or filters_difference(segment)
        or block_kinds_difference(segment)
        or None
    )


def block_kinds_difference(segment):
    """The first block whose events by kind are not those that the footer counts, or None."""
    for (_, b), counts in zip(segment.blocks, segment.footer[24] or []):
        kinds = b.kinds if b.header["type"] == varve.EVENTS else []
        if counts is not None and counts != {kind: kinds.count(kind) for kind in set(kinds)}:
            return f"kinds of block {b.header['number']}: {counts}"
    return None


def filters_difference(segment):
    """The first key of a payload that its sub-block's filter rules out, or None."""
    if segment.footer[8] is None:
        return None
    dictionary, common = segment.dictionary(), segment.footer[8]["common"]
    for (_, b), block_filters in zip(segment.blocks, segment.footer[8]["blocks"]):
        row = 0
        for number, bits in enumerate(block_filters):
            data, at = b.sub_block(number, dictionary), 0
            for i in range(row, row + b.directory[number][0]):
                payload = data[at : at + b.lengths[i]]
                at += b.lengths[i]
                for key in varve.payload_keys(payload):
                    if not varve.may_hold(common, bits, [key]):
                        return f"the filter of sub-block {number} of block {b.header['number']} misses a key of event {b.sequences[i]}"
            row += b.directory[number][0]
    return None


def check_store(path):
    """What is wrong with a store, or None."""
    store = varve.Store(path)
    for what, suffix in ("events", ""), ("sessions", ".sessions"), ("checkpoints", ".checkpoints"):
        beside = f"{path}{suffix}.jsonl"
        if not os.path.exists(beside):
            return f"no {os.path.basename(beside)}"
        with open(beside, "rb") as file:
            wanted = file.read().split(b"\n")
        got = [line.encode() for line in varve.lines(store, what)] + [b""]
        for number, pair in enumerate(zip(got, wanted), 1):
            if pair[0] != pair[1]:
                return f"line {number} of {what}: {pair[0].decode()} instead of {pair[1].decode('utf-8', 'replace')}"
        if len(got) != len(wanted):
            return f"{len(got) - 1} lines of {what} instead of {len(wanted) - 1}"
    # The vector of that name has them.
    if os.path.basename(path) == "filters" and not all(s.footer and s.footer[8] for s in store.segments):
        return "a segment without filters"
    for segment in store.segments:
        whole = segment.footer and segment.blocks and segment.end == segment.trailer["footer_offset"]
        if whole and not segment.damage:
            wrong = footer_difference(segment)
            if wrong:
                return f"{segment.name}: {wrong}"
    return flip_store(path)


def facts(event):
    """All of an event but its session's id, which stands in another block."""
    return tuple(value for key, value in event.items() if key != "session")


def flip_store(path):
    recorded = {event["sequence"]: facts(event) for event in varve.Store(path).events()}
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    names = sorted(
        name for name in os.listdir(path) if name.endswith(".seg") or name in ("STORE", "STATE", "TAIL")
    )
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "store")
        shutil.copytree(path, copy, symlinks=True)
        for name in names:
            if varve.read_regular(os.path.join(copy, name)) in (None, b""):
                continue
            with open(os.path.join(copy, name), "rb") as file:
                data = file.read()
            for _ in range(STORE_FLIPS):
                at, bit = chance.randrange(len(data)), chance.randrange(8)
                with open(os.path.join(copy, name), "wb") as file:
                    file.write(flipped(data, at, bit))
                try:
                    again = varve.Store(copy)
                    wrong = [e["sequence"] for e in again.events() if recorded.get(e["sequence"]) != facts(e)]
                    varve.lines(again, "sessions"), varve.lines(again, "checkpoints")
                    # A lost header, footer or STATE may bring back what it hid.
                    wrong = [sequence for sequence in wrong if sequence in recorded]
                    if wrong:
                        return f"bit {bit} of byte {at} of {name} changes event {wrong[0]} (seed {seed})"
                except varve.FormatError:
                    pass
            with open(os.path.join(copy, name), "wb") as file:
                file.write(data)
    return None


def check_folder(root, folder):
    """(passed, failed) of a folder, saying what failed."""
    directory = os.path.join(root, folder)
    names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    if folder == "stores":
        names = [name for name in names if os.path.isdir(os.path.join(directory, name))]
    else:
        names = [name for name in names if name.endswith(".bin")]
    passed = failed = 0
    for name in names:
        path = os.path.join(directory, name)
        try:
            wrong = check_store(path) if folder == "stores" else check_file(folder, path)
        except varve.FormatError as error:
            wrong = f"refused: {error}"
        except Exception:  # a crash of the reader is what this command looks for
            wrong = traceback.format_exc()
        if wrong:
            print(f"  {folder}/{name}: {wrong}")
        passed, failed = passed + (not wrong), failed + bool(wrong)
    if not names:
        print(f"  {folder}: missing or empty")
        failed = 1
    print(f"{folder}: {passed} passed, {failed} failed")
    return passed, failed


def main(arguments):
    here = os.path.dirname(os.path.abspath(__file__))
    root = arguments[0] if arguments else os.path.join(here, "..", "vectors")
    totals = [check_folder(root, folder) for folder in [*varve.VECTORS, "stores"]]
    passed, failed = (sum(column) for column in zip(*totals))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
