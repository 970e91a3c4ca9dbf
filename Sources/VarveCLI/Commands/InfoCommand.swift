import ArgumentParser
import Varve
import VarveJSON
import VarveRecorder

/// `varve info STORE`.
struct InfoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info",
        abstract: "Says what a store holds.",
        discussion: """
            Identity, counts, bytes and ratio, kinds, time span, segments, watermark, limits, pins, what the limits dropped, gaps and \
            drops. Read from the segments' footers, without a scan. With --json all of it as one object.

            Example: the number of events of each kind.

              varve info flight.varve --json | jq '.kinds[] | {name, events}'
            """)

    @Argument(help: "The store's directory.")
    var store: String

    @Flag(help: "One JSON object.")
    var json = false

    func run() throws {
        let snapshot = try EventStore.openReadOnly(store).snapshot()
        let info = try snapshot.info()
        let sessions = try snapshot.sessions()
        let output = Output()
        if json {
            try output.line { $0.information(info, sessions: sessions) }
        } else {
            for (name, value) in Self.facts(info, sessions) {
                let padding = String(repeating: " ", count: max(1, 13 - name.count))
                try output.text("\(name)\(padding)\(Formatting.oneLine(value))\n")
            }
            var table = TextTable(["kind", "encoding", "events", "bytes"], rightAligned: [2, 3])
            for kind in info.kinds.sorted(by: { $0.events > $1.events }) {
                table.add([
                    kind.kind.name, kind.kind.encoding.exportName, Formatting.count(kind.events),
                    Formatting.bytes(kind.bytes),
                ])
            }
            if !info.kinds.isEmpty {
                try output.text("\n")
                for line in table.lines() { try output.text(line + "\n") }
            }
        }
        try output.flush()
    }

    private static func facts(_ info: StoreInfo, _ sessions: [SessionInfo]) -> [(String, String)] {
        var facts: [(String, String)] = [("store", info.identifier.description)]
        facts.append(("created", info.createdAt.map(Formatting.time) ?? "unknown"))
        facts.append(("format", "version \(info.formatVersion)"))
        facts.append(("state", info.isBeingWritten ? "being written" : "at rest"))
        var events = Formatting.count(info.eventCount)
        if let sequences = info.sequences, let last = sequences.last {
            events += " (\(Formatting.sequences(sequences.lowerBound...last)))"
        }
        facts.append(("events", events))
        facts.append(("sessions", Formatting.count(UInt64(clamping: info.sessionCount))))
        facts.append(("checkpoints", Formatting.count(UInt64(clamping: info.checkpointCount))))
        if let range = info.timeRange {
            facts.append(
                ("time", "\(Formatting.time(range.lowerBound)) to \(Formatting.time(range.upperBound))"))
        }
        facts.append(
            (
                "bytes",
                "\(Formatting.bytes(info.rawBytes)) -> \(Formatting.bytes(info.storedBytes))"
                    + " (\(Formatting.ratio(info.rawBytes, info.storedBytes)))"
            ))
        facts.append(
            (
                "segments",
                "\(info.segmentCount), \(info.sealedCount) of them sealed, \(info.settledCount) compacted"
            ))
        if let watermark = info.watermark {
            facts.append(("watermark", "segment \(watermark.segment), offset \(watermark.offset)"))
        }
        facts.append(("epoch", String(info.epoch)))
        if let session = info.activeSession { facts.append(("active", "session \(session)")) }
        if info.limits != RetentionLimits() {
            facts.append(("limits", info.limits.descriptions.joined(separator: ", ")))
        }
        if info.headSequence > 0 || info.headCheckpoint > 1 {
            facts.append(("kept from", "event \(info.headSequence), checkpoint \(info.headCheckpoint)"))
        }
        if info.droppedSequences > 0 {
            facts.append(("limits took", Formatting.count(info.droppedSequences, "event")))
        }
        for dropped in info.droppings.suffix(droppingsMax) {
            facts.append(("limits took", Self.text(dropped)))
        }
        for pin in Pins(info, sessions: sessions).descriptions { facts.append(("pinned", pin)) }
        for gap in info.gaps where gap.reason != .retention { facts.append(("gap", Formatting.gap(gap))) }
        for drop in info.drops {
            facts.append(
                (
                    "dropped",
                    "\(Formatting.count(drop.events, "event")) (\(Formatting.bytes(drop.bytes))) before event "
                        + "\(drop.before), session \(drop.sessionOrdinal), "
                        + "\(Formatting.time(drop.time.lowerBound)) to \(Formatting.time(drop.time.upperBound))"
                ))
        }
        for (key, value) in info.metadata.sorted(by: { $0.key < $1.key }) {
            facts.append(("metadata", "\(key): \(value)"))
        }
        return facts
    }

    /// The latest of what the limits dropped that are shown.
    private static let droppingsMax = 5

    private static func text(_ dropped: Dropped) -> String {
        var parts = [Formatting.count(dropped.events, "event")]
        if dropped.checkpoints > 0 { parts.append(Formatting.count(dropped.checkpoints, "checkpoint")) }
        parts.append("all before event \(dropped.sequences.upperBound)")
        return
            "by \(dropped.limit.option): \(parts.joined(separator: ", ")), \(Formatting.time(dropped.time))"
    }
}
