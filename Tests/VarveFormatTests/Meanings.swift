@testable import VarveFormat

// What structures mean, with the keys of `Formats/vectors/README.md`.

extension JSON {
    fileprivate static func members(_ members: [(String, JSON)]) -> JSON {
        .object(members.map { Member(key: $0.0, value: $0.1) })
    }
}

extension UniqueID {
    var json: JSON { .string(description) }
}

extension KindDefinition {
    var json: JSON {
        ["name": .string(name), "encoding": .int(encoding.rawValue), "metadata": .map(metadata)]
    }
}

extension SessionBegin {
    var json: JSON {
        [
            "ordinal": .int(ordinal), "resumed": .bool(flags.contains(.resumed)),
            "imported": .bool(flags.contains(.imported)), "continued": .bool(flags.contains(.continued)),
            "used": .bool(flags.contains(.used)),
            "id": .string(id), "start": .int(start), "first_index": .int(firstIndex),
            "metadata": .map(metadata),
        ]
    }
}

extension SessionEnd {
    var json: JSON {
        [
            "ordinal": .int(ordinal), "reason": .int(reason.rawValue), "end": .int(end),
            "events": .int(events), "checkpoints": .int(checkpoints), "next_index": .int(nextIndex),
        ]
    }
}

extension CheckpointRecord {
    var json: JSON {
        [
            "ordinal": .int(ordinal), "session": .int(session), "id": .string(id),
            "label": .optional(label, JSON.string), "timestamp": .int(timestamp),
            "event_index": .int(eventIndex), "sequence": .int(sequence),
        ]
    }
}

extension RetentionLimits {
    fileprivate var members: [(String, JSON)] {
        [
            ("events", .optional(events, JSON.int)), ("checkpoints", .optional(checkpoints, JSON.int)),
            ("bytes", .optional(bytes, JSON.int)), ("age", .optional(ageNanoseconds, JSON.int)),
            ("free", .optional(freeBytes, JSON.int)),
        ]
    }

    var json: JSON { .members(members) }
}

extension Pin {
    var members: [(String, JSON)] {
        [
            ("session", .int(session)), ("first", .int(first)), ("last", .int(last)),
            ("first_checkpoint", .int(firstCheckpoint)),
        ]
    }
}

extension LedgerRecord {
    var json: JSON {
        switch self {
        case .gap(let first, let last, let reason, let time, let note):
            [
                "type": "gap", "first": .int(first), "last": .int(last), "reason": .int(reason.rawValue),
                "time": .int(time), "note": .string(note),
            ]
        case .drop(let events, let bytes, let session, let before, let firstTime, let lastTime, let reason):
            [
                "type": "drop", "events": .int(events), "bytes": .int(bytes), "session": .int(session),
                "before": .int(before), "first_time": .int(firstTime), "last_time": .int(lastTime),
                "reason": .int(reason.rawValue),
            ]
        case .limits(let limits): .members([("type", "limits")] + limits.members)
        case .pin(let pin, let isPinned):
            .members([("type", "pin"), ("pinned", .bool(isPinned))] + pin.members)
        case .interruption(let epoch, let session, let next, let segment, let unreadable, let time):
            [
                "type": "interruption", "epoch": .int(epoch), "session": .int(session), "next": .int(next),
                "segment": .int(segment), "unreadable": .int(unreadable), "time": .int(time),
            ]
        case .retention(let record):
            [
                "type": "retention", "limit": .int(record.limit.rawValue),
                "head_before": .int(record.headBefore), "head": .int(record.head),
                "checkpoint_before": .int(record.checkpointBefore), "checkpoint": .int(record.checkpoint),
                "events": .int(record.events), "checkpoints": .int(record.checkpoints),
                "time": .int(record.time),
            ]
        case .unknown(let type, let body): ["type": .int(type), "body": .hex(body)]
        }
    }
}

extension SegmentHeader {
    var json: JSON {
        [
            "incompatible": .int(incompatibleFeatures), "compatible": .int(compatibleFeatures),
            "store": store.json, "segment": segment.json, "predecessor": predecessor.json,
            "predecessor_length": .int(predecessorLength), "ordinal": .int(ordinal),
            "generation": .int(generation), "digest": .int(digestAlgorithm), "epoch": .int(epoch),
            "base_sequence": .int(baseSequence), "created": .int(createdAt),
            "sessions_before": .int(sessionsBegun), "checkpoints_before": .int(checkpointsMade),
            "settings": [
                "block": .int(settings.blockBytes), "sub_block": .int(settings.subBlockBytes),
                "level": .int(settings.level),
            ], "kinds": .optional(kinds) { .list($0, \.json) }, "session": .optional(session, \.json),
            "limits": .optional(limits, \.json),
            "pins": .optional(pins) { .list($0) { .members($0.members) } },
        ]
    }
}

extension BlockHeader {
    func json(checksum: Bool) -> JSON {
        let fields: [(String, JSON)] = [
            ("segment", segment.json), ("number", .int(number)), ("type", .int(type.rawValue)),
            ("many_kinds", .bool(flags.contains(.manyKinds))),
            ("dictionary", .bool(flags.contains(.usesDictionary))),
            ("explicit_indices", .bool(flags.contains(.explicitIndices))), ("body_length", .int(bodyLength)),
            ("small_length", .int(smallLength)), ("sub_blocks", .int(subBlockCount)),
            ("events", .int(eventCount)), ("first_sequence", .int(firstSequence)), ("epoch", .int(epoch)),
            ("session", .int(sessionOrdinal)), ("first_index", .int(firstIndex)),
            ("sessions", .int(sessionsBegun)), ("checkpoints", .int(checkpointsMade)),
            ("min_time", .int(minTimestamp)), ("max_time", .int(maxTimestamp)), ("kind_set", .int(kindSet)),
            ("written", .int(writtenAt)), ("head_sequence", .int(headSequence)),
            ("head_checkpoint", .int(headCheckpoint)), ("durable_segment", .int(durableSegment)),
            ("durable_offset", .int(durableOffset)), ("raw_bytes", .int(rawBytes)),
            ("kinds", .int(kindCount)),
        ]
        return .members(checksum ? fields + [("small_checksum", .int(smallChecksum))] : fields)
    }
}

extension BlockIndexEntry {
    var json: JSON {
        [
            "offset": .int(offset), "length": .int(length), "type": .int(type.rawValue),
            "many_kinds": .bool(flags.contains(.manyKinds)),
            "dictionary": .bool(flags.contains(.usesDictionary)),
            "explicit_indices": .bool(flags.contains(.explicitIndices)), "events": .int(eventCount),
            "raw_bytes": .int(rawBytes), "first_sequence": .int(firstSequence),
            "min_time": .int(minTimestamp), "max_time": .int(maxTimestamp), "kind_set": .int(kindSet),
            "session": .int(sessionOrdinal), "first_index": .int(firstIndex),
            "small_length": .int(smallLength), "sub_blocks": .int(subBlockCount),
        ]
    }
}

extension TimePyramid {
    var json: JSON {
        ["levels": .list(levels) { level in .list(level) { .array([.int($0.min), .int($0.max)]) } }]
    }
}

extension KindCount {
    var json: JSON { ["definition": definition.json, "events": .int(events), "bytes": .int(bytes)] }
}

extension SessionSummary {
    var json: JSON {
        [
            "begin": begin.json, "state": .int(state.rawValue), "end": .int(end), "events": .int(events),
            "checkpoints": .int(checkpoints), "bytes": .int(payloadBytes),
            "first_sequence": .int(firstSequence), "next_sequence": .int(nextSequence),
            "next_index": .int(nextIndex), "min_time": .int(minTimestamp), "max_time": .int(maxTimestamp),
        ]
    }
}

extension CheckpointEntry {
    var json: JSON { ["record": record.json, "block": .int(block), "bytes": .int(stateBytes)] }
}

extension ReplacedSegment {
    var json: JSON {
        ["segment": segment.json, "ordinal": .int(ordinal), "generation": .int(generation)]
    }
}

extension DroppedRange {
    var json: JSON { ["first": .int(first), "last": .int(last), "reason": .int(reason.rawValue)] }
}

extension Digest {
    var json: JSON { ["algorithm": .int(algorithm), "scope": .int(scope), "digest": .hex(bytes)] }
}

extension SegmentSummary {
    var json: JSON {
        [
            "ordinal": .int(ordinal), "generation": .int(generation), "active": .bool(isSessionActive),
            "losses": .bool(hasLosses), "settled": .bool(isSettled), "base_sequence": .int(baseSequence),
            "next_sequence": .int(nextSequence), "events": .int(eventCount), "min_time": .int(minTimestamp),
            "max_time": .int(maxTimestamp), "raw_bytes": .int(rawBytes), "data_bytes": .int(dataBytes),
            "first_epoch": .int(firstEpoch), "last_epoch": .int(lastEpoch), "sessions": .int(sessionsBegun),
            "checkpoints": .int(checkpointsMade), "head_sequence": .int(headSequence),
            "head_checkpoint": .int(headCheckpoint), "created": .int(createdAt), "sealed": .int(sealedAt),
            "blocks": .int(blockCount), "event_blocks": .int(eventBlockCount), "kind_count": .int(kindCount),
            "session_count": .int(sessionCount), "checkpoint_count": .int(checkpointCount),
            "ledger_count": .int(ledgerCount), "last_session": .int(lastSession),
            "predecessor": predecessor.json, "predecessor_length": .int(predecessorLength),
            "store": store.json, "segment": segment.json, "compatible": .int(compatibleFeatures),
        ]
    }
}

extension Trailer {
    var json: JSON {
        [
            "footer_offset": .int(footerOffset), "footer_length": .int(footerLength), "store": store.json,
            "segment": segment.json, "ordinal": .int(ordinal), "file_length": .int(fileLength),
            "sections": .int(sectionCount), "summary_offset": .int(summaryOffset),
        ]
    }
}

extension StoreIdentity {
    var json: JSON {
        [
            "incompatible": .int(incompatibleFeatures), "compatible": .int(compatibleFeatures),
            "store": store.json, "created": .int(createdAt), "metadata": .optional(metadata, JSON.map),
        ]
    }
}

extension StateSlot {
    var json: JSON {
        [
            "store": store.json, "counter": .int(counter), "head_sequence": .int(headSequence),
            "head_checkpoint": .int(headCheckpoint), "watermark_segment": .int(watermarkSegment),
            "watermark_offset": .int(watermarkOffset), "next_sequence": .int(nextSequence),
            "epoch": .int(epoch), "written": .int(writtenAt), "sessions": .int(sessionsBegun),
            "watermark_uuid": watermarkUUID.json, "closed": .bool(isClosed),
        ]
    }
}

extension TailSlot {
    var json: JSON {
        [
            "number": .int(number), "first_sequence": .int(firstSequence), "session": .int(session),
            "first_index": .int(firstIndex), "explicit_indices": .bool(hasExplicitIndices),
            "rows": .list(rows) { row in
                [
                    "timestamp": .int(row.timestamp), "index": .int(row.index), "kind": .int(row.kind),
                    "payload": .hex(row.payload),
                ]
            },
        ]
    }
}
