import Varve
import VarveJSON

/// What a recording says at its end.
struct Receipt {
    var events: UInt64 = 0
    var sessions: UInt64 = 0
    var checkpoints: UInt64 = 0
    /// Of payloads, and by how much the store's files have grown.
    var rawBytes: UInt64 = 0
    var storedBytes: UInt64 = 0
    /// Of lines; `nil` when no lines were read for their time and kind.
    var counts: LineRecorder.Counts?
    var timeFields: [String] = []
    var kindFields: [String] = []
    var kinds: Int?
    /// Lines that were split: longer than one event may be.
    var longLines: UInt64 = 0
    /// Refused, because the disk was too slow.
    var droppedEvents: UInt64 = 0
    /// What was recorded now or before, and is not there any more.
    var limitsDropped: (events: UInt64, checkpoints: UInt64) = (0, 0)

    /// `the limits dropped 990 events, 3 checkpoints`; `nil`: nothing.
    static func text(_ limitsDropped: (events: UInt64, checkpoints: UInt64)) -> String? {
        let (events, checkpoints) = limitsDropped
        let parts = [
            events > 0 ? Formatting.count(events, "event") : nil,
            checkpoints > 0 ? Formatting.count(checkpoints, "checkpoint") : nil,
        ].compactMap { $0 }
        return parts.isEmpty ? nil : "the limits dropped \(parts.joined(separator: ", "))"
    }

    /// `6,026 events, 1 session, 43.5 MB -> 2.8 MB (15.5x); time @timestamp, 2 steps back; …`.
    var line: String {
        var parts = [
            [
                Formatting.count(events, "event"), Formatting.count(sessions, "session"),
                checkpoints > 0 ? Formatting.count(checkpoints, "checkpoint") : nil,
                // A store that dropped, or compacted, may have grown by anything.
                storedBytes == 0
                    ? Formatting.bytes(rawBytes)
                    : "\(Formatting.bytes(rawBytes)) -> \(Formatting.bytes(storedBytes))"
                        + " (\(Formatting.ratio(rawBytes, storedBytes)))",
            ].compactMap { $0 }.joined(separator: ", ")
        ]
        if let counts {
            let time = Self.names(timeFields, counts.timeFields)
            parts.append(
                (time.isEmpty ? "no time field" : "time \(time.joined(separator: ", "))")
                    + ", \(Formatting.count(counts.stepsBack, "step")) back")
            if counts.timeless > 0 { parts[1] += ", \(Formatting.count(counts.timeless)) without one" }
        }
        if let kinds {
            let fields = counts.map { Self.names(kindFields, $0.kindFields) } ?? []
            let names = fields.isEmpty ? "" : "kind \(fields.joined(separator: ", ")), "
            parts.append(names + Formatting.count(UInt64(clamping: kinds), "kind"))
        }
        if let counts {
            var bad = Formatting.count(counts.bad, "bad line")
            if counts.skipped > 0 { bad += " (\(Formatting.count(counts.skipped)) skipped)" }
            if longLines > 0 { bad += " (\(Formatting.count(longLines)) too long)" }
            parts.append(bad)
            if counts.notJSON > 0 { parts.append("\(Formatting.count(counts.notJSON, "line")) no JSON") }
            if counts.refusedKinds > 0 {
                parts.append("\(Formatting.count(counts.refusedKinds)) with a kind that can't be used")
            }
        } else if longLines > 0 {
            parts.append("\(Formatting.count(longLines, "line")) split: too long")
        }
        if droppedEvents > 0 { parts.append("\(Formatting.count(droppedEvents, "event")) dropped") }
        if let text = Self.text(limitsDropped) { parts.append(text) }
        return parts.joined(separator: "; ")
    }

    func append(to out: inout ByteBuffer) {
        out.object { list, out in
            list.number("events", events, &out)
            list.number("sessions", sessions, &out)
            list.number("checkpoints", checkpoints, &out)
            list.number("raw_bytes", rawBytes, &out)
            list.number("stored_bytes", storedBytes, &out)
            list.number("dropped_events", droppedEvents, &out)
            list.number("limits_dropped_events", limitsDropped.events, &out)
            list.number("limits_dropped_checkpoints", limitsDropped.checkpoints, &out)
            guard let counts else {
                list.number("long_lines", longLines, &out)
                return
            }
            let names = (Self.names(timeFields, counts.timeFields), Self.names(kindFields, counts.kindFields))
            list.number("lines", counts.lines, &out)
            list.list("time_fields", names.0, &out) { $1.appendJSONString($0) }
            list.number("steps_back", counts.stepsBack, &out)
            list.number("without_time", counts.timeless, &out)
            list.list("kind_fields", names.1, &out) { $1.appendJSONString($0) }
            list.number("kinds", kinds ?? 0, &out)
            list.number("bad_lines", counts.bad, &out)
            list.number("skipped_lines", counts.skipped, &out)
            list.number("long_lines", longLines, &out)
            list.number("lines_no_json", counts.notJSON, &out)
            list.number("refused_kinds", counts.refusedKinds, &out)
        }
    }

    /// The fields that occurred, the most frequent first.
    private static func names(_ fields: [String], _ counts: [UInt64]) -> [String] {
        zip(fields, counts).filter { $0.1 > 0 }.sorted { $0.1 > $1.1 }.map(\.0)
    }
}
