import Varve
import VarveJSON
import VarveRecorder

/// Starts a member: a comma unless it is the first, the key, a colon.
struct JSONMembers {
    private var isFirst = true

    mutating func key(_ name: StaticString, _ out: inout ByteBuffer) {
        if !isFirst { out.append(UInt8(ascii: ",")) }
        isFirst = false
        out.append(UInt8(ascii: "\""))
        out.append(name)
        out.append("\":")
    }

    mutating func text(_ name: StaticString, _ value: String?, _ out: inout ByteBuffer) {
        key(name, &out)
        if let value { out.appendJSONString(value) } else { out.append("null") }
    }

    /// A value that is JSON already.
    mutating func raw(_ name: StaticString, _ json: String, _ out: inout ByteBuffer) {
        key(name, &out)
        out.append(string: json)
    }

    mutating func number(_ name: StaticString, _ value: UInt64?, _ out: inout ByteBuffer) {
        key(name, &out)
        if let value { out.append(integer: value) } else { out.append("null") }
    }

    mutating func number(_ name: StaticString, _ value: Int, _ out: inout ByteBuffer) {
        key(name, &out)
        out.append(integer: value)
    }

    /// With nine fraction digits, so that the texts sort as the times do.
    mutating func time(_ name: StaticString, _ value: Int64?, _ out: inout ByteBuffer) {
        key(name, &out)
        guard let value else { return out.append("null") }
        out.append(UInt8(ascii: "\""))
        RFC3339.append(value, to: &out)
        out.append(UInt8(ascii: "\""))
    }

    mutating func flag(_ name: StaticString, _ value: Bool, _ out: inout ByteBuffer) {
        key(name, &out)
        out.append(value ? "true" : "false")
    }

    /// An object of texts, its keys in the order of their bytes.
    mutating func map(_ name: StaticString, _ value: [String: String], _ out: inout ByteBuffer) {
        key(name, &out)
        out.append(UInt8(ascii: "{"))
        for (position, entry) in sortedByBytes(value).enumerated() {
            if position > 0 { out.append(UInt8(ascii: ",")) }
            out.appendJSONString(entry.key)
            out.append(UInt8(ascii: ":"))
            out.appendJSONString(entry.value)
        }
        out.append(UInt8(ascii: "}"))
    }

    /// Sequence numbers: the first and the last.
    mutating func sequences(_ name: StaticString, _ range: ClosedRange<UInt64>?, _ out: inout ByteBuffer) {
        key(name, &out)
        guard let range else { return out.append("null") }
        out.append("[")
        out.append(integer: range.lowerBound)
        out.append(",")
        out.append(integer: range.upperBound)
        out.append("]")
    }

    mutating func list<Element>(
        _ name: StaticString, _ elements: some Sequence<Element>, _ out: inout ByteBuffer,
        _ each: (Element, inout ByteBuffer) -> Void
    ) {
        key(name, &out)
        out.append(UInt8(ascii: "["))
        var isFirst = true
        for element in elements {
            if !isFirst { out.append(UInt8(ascii: ",")) }
            isFirst = false
            each(element, &out)
        }
        out.append(UInt8(ascii: "]"))
    }
}

private func sortedByBytes(_ map: [String: String]) -> [(key: String, value: String)] {
    map.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
}

extension ByteBuffer {
    /// An object of members.
    mutating func object(_ members: (inout JSONMembers, inout ByteBuffer) -> Void) {
        var list = JSONMembers()
        append(UInt8(ascii: "{"))
        members(&list, &self)
        append(UInt8(ascii: "}"))
    }

    mutating func session(_ session: SessionInfo) {
        object { list, out in
            list.number("number", session.ordinal, &out)
            list.text("id", session.id, &out)
            list.time("start", session.startedAt, &out)
            list.time("end", session.endedAt, &out)
            list.text("state", session.state.rawValue, &out)
            list.number("events", session.eventCount, &out)
            list.number("checkpoints", session.checkpointCount, &out)
            list.number("first_sequence", session.firstSequence, &out)
            list.number("last_sequence", session.lastSequence, &out)
            list.time("min_time", session.timeRange?.lowerBound, &out)
            list.time("max_time", session.timeRange?.upperBound, &out)
            list.number("bytes", session.payloadBytes, &out)
            list.map("metadata", session.metadata, &out)
        }
    }

    mutating func checkpoint(_ checkpoint: Checkpoint, state: [UInt8]) {
        object { list, out in
            list.number("ordinal", checkpoint.ordinal, &out)
            list.text("session", checkpoint.sessionID, &out)
            list.number("session_number", checkpoint.sessionOrdinal, &out)
            list.text("id", checkpoint.id, &out)
            list.text("label", checkpoint.label, &out)
            list.time("timestamp", checkpoint.timestamp, &out)
            list.number("event_index", checkpoint.eventIndex, &out)
            list.number("sequence", checkpoint.sequence, &out)
            state.withUnsafeBytes { bytes in
                if JSONText.isValid(bytes) {
                    list.key("state", &out)
                    out.appendJSONOnOneLine(bytes)
                } else if JSONText.isUTF8(bytes) {
                    list.key("state_text", &out)
                    out.appendJSONString(bytes)
                } else {
                    list.key("state_base64", &out)
                    out.append(UInt8(ascii: "\""))
                    out.appendBase64(bytes)
                    out.append(UInt8(ascii: "\""))
                }
            }
        }
    }

    /// Valid JSON, with its raw line breaks, which can only stand between its tokens, as spaces.
    mutating func appendJSONOnOneLine(_ json: UnsafeRawBufferPointer) {
        var rest = json
        while let position = firstLineBreak(in: rest) {
            append(UnsafeRawBufferPointer(rebasing: rest[..<position]))
            append(UInt8(ascii: " "))
            rest = UnsafeRawBufferPointer(rebasing: rest[(position + 1)...])
        }
        append(rest)
    }

    mutating func gap(_ gap: Gap) {
        object { list, out in
            list.sequences("sequences", gap.sequences, &out)
            list.text("reason", gap.reason.rawValue, &out)
            list.text("note", gap.note, &out)
        }
    }

    mutating func verification(_ report: VerificationReport) {
        object { list, out in
            list.flag("intact", report.isIntact, &out)
            list.number("files", report.files, &out)
            list.number("segments", report.segments, &out)
            list.number("blocks", report.blocks, &out)
            list.number("sub_blocks", report.subBlocks, &out)
            list.number("events", report.events, &out)
            list.number("checkpoints", report.checkpoints, &out)
            list.number("bytes", report.bytes, &out)
            list.list("damage", report.damage, &out) { $1.damage($0) }
            list.list("gaps", report.gaps, &out) { $1.gap($0) }
            list.list("strays", report.strays, &out) { stray, out in
                out.object { list, out in
                    list.text("file", stray.file, &out)
                    list.text("reason", stray.reason, &out)
                }
            }
        }
    }

    private mutating func damage(_ damage: Damage) {
        object { list, out in
            list.text("file", damage.file, &out)
            list.number("offset", damage.offset, &out)
            list.sequences("sequences", damage.sequences, &out)
            list.text("reason", damage.reason, &out)
        }
    }

    mutating func repair(_ report: RepairReport) {
        object { list, out in
            list.flag("intact", report.isIntact, &out)
            list.text("source", report.source.description, &out)
            list.text("store", report.store.description, &out)
            list.number("events", report.events, &out)
            list.number("salvaged_events", report.salvagedEvents, &out)
            list.number("unfinished_events", report.unfinishedEvents, &out)
            list.number("sessions", report.sessions, &out)
            list.number("checkpoints", report.checkpoints, &out)
            list.number("lost_checkpoints", report.lostCheckpoints, &out)
            list.number("segments", report.segments, &out)
            list.number("bytes", report.bytes, &out)
            list.number("unconfirmed_bytes", report.unconfirmedBytes, &out)
            list.list("damage", report.damage, &out) { $1.damage($0) }
            list.list("gaps", report.gaps, &out) { $1.gap($0) }
            list.list("files", report.files, &out) { file, out in
                out.object { list, out in
                    list.text("file", file.name, &out)
                    list.text("use", file.use.rawValue, &out)
                    list.number("events", file.events, &out)
                    list.number("checkpoints", file.checkpoints, &out)
                    list.number("duplicates", file.duplicates, &out)
                    list.list("conflicts", file.conflicts, &out) { range, out in
                        out.append("[")
                        out.append(integer: range.lowerBound)
                        out.append(",")
                        out.append(integer: range.upperBound)
                        out.append("]")
                    }
                    list.text("note", file.note, &out)
                }
            }
        }
    }

    mutating func information(_ info: StoreInfo, sessions: [SessionInfo]) {
        object { list, out in
            list.text("store", info.identifier.description, &out)
            list.time("created", info.createdAt, &out)
            list.number("format_version", info.formatVersion, &out)
            list.number("events", info.eventCount, &out)
            list.number("sessions", info.sessionCount, &out)
            list.number("checkpoints", info.checkpointCount, &out)
            list.number("raw_bytes", info.rawBytes, &out)
            list.number("stored_bytes", info.storedBytes, &out)
            list.number("segments", info.segmentCount, &out)
            list.number("sealed_segments", info.sealedCount, &out)
            list.number("settled_segments", info.settledCount, &out)
            list.number("first_sequence", info.sequences?.lowerBound, &out)
            list.number("next_sequence", info.sequences?.upperBound, &out)
            list.time("min_time", info.timeRange?.lowerBound, &out)
            list.time("max_time", info.timeRange?.upperBound, &out)
            list.list("kinds", info.kinds, &out) { kind, out in
                out.object { list, out in
                    list.text("name", kind.kind.name, &out)
                    list.text("encoding", kind.kind.encoding.exportName, &out)
                    list.number("events", kind.events, &out)
                    list.number("bytes", kind.bytes, &out)
                    list.map("metadata", kind.metadata, &out)
                }
            }
            list.key("watermark", &out)
            if let watermark = info.watermark {
                out.object { list, out in
                    list.number("segment", watermark.segment, &out)
                    list.number("offset", watermark.offset, &out)
                }
            } else {
                out.append("null")
            }
            list.number("epoch", info.epoch, &out)
            list.number("active_session", info.activeSession, &out)
            list.flag("being_written", info.isBeingWritten, &out)
            list.number("head_sequence", info.headSequence, &out)
            list.number("head_checkpoint", info.headCheckpoint, &out)
            list.key("limits", &out)
            out.object { list, out in
                list.number("events", info.limits.events, &out)
                list.number("checkpoints", info.limits.checkpoints, &out)
                list.number("bytes", info.limits.bytes, &out)
                list.number("age_nanoseconds", info.limits.ageNanoseconds, &out)
                list.number("free_bytes", info.limits.freeBytes, &out)
            }
            Pins(info, sessions: sessions).append(to: &list, &out)
            list.number("limits_dropped_sequences", info.droppedSequences, &out)
            list.list("limits_dropped", info.droppings, &out) { dropped, out in
                out.object { list, out in
                    list.text("limit", dropped.limit.name, &out)
                    list.sequences(
                        "sequences",
                        dropped.sequences.last.map { dropped.sequences.lowerBound...$0 }, &out)
                    list.number("events", dropped.events, &out)
                    list.number("checkpoints", dropped.checkpoints, &out)
                    list.time("time", dropped.time, &out)
                }
            }
            list.list("gaps", info.gaps, &out) { $1.gap($0) }
            list.list("drops", info.drops, &out) { drop, out in
                out.object { list, out in
                    list.number("events", drop.events, &out)
                    list.number("bytes", drop.bytes, &out)
                    list.number("session_number", drop.sessionOrdinal, &out)
                    list.number("before_sequence", drop.before, &out)
                    list.time("from", drop.time.lowerBound, &out)
                    list.time("to", drop.time.upperBound, &out)
                }
            }
            list.map("metadata", info.metadata, &out)
        }
    }
}

extension StoreInfo {
    /// Sequence numbers below the head that are not there.
    var droppedSequences: UInt64 {
        gaps.filter { $0.reason == .retention }.reduce(0) {
            $0 &+ ($1.sequences.upperBound - $1.sequences.lowerBound) &+ 1
        }
    }
}
