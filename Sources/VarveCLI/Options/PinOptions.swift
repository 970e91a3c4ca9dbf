import ArgumentParser
import Varve
import VarveJSON

/// What `varve pin` and `varve unpin` are to keep, or no more.
struct PinOptions: ParsableArguments {
    @Argument(help: "The id of a session: every session that has it.")
    var session: String?

    @Option(
        name: .customLong("session-number"), parsing: .unconditional,
        help: ArgumentHelp("The session of this ordinal, or counted from the last one: -1.", valueName: "n"))
    var number: Int64?

    @Option(
        name: .customLong("sequence"), parsing: .unconditional,
        help: ArgumentHelp(
            "The events with these sequence numbers, of whatever session: A..B (both included), A.., ..B or one.",
            valueName: "range"))
    var sequence: SequenceRange?

    @Flag(help: "One JSON object.")
    var json = false

    func validate() throws {
        let given = [session != nil, number != nil, sequence != nil].count { $0 }
        guard given == 1 else {
            throw ValidationError("say which: a session's id, --session-number N, or --sequence A..B")
        }
        if number == 0 { throw ValidationError("--session-number 0: sessions count from 1") }
    }

    /// Pins or unpins it in a store, and prints what is pinned then.
    func run(
        on path: String, session change: (EventStore, UInt64) throws -> Void,
        sequences changeRange: (EventStore, ClosedRange<UInt64>) throws -> Void
    ) throws {
        var before = try StoreBefore(path)
        var options = StoreOptions()
        options.create = false
        options.compactsInBackground = false
        options.diagnostics = Diagnostics.tell
        let store = try EventStore.open(path, options: options)
        before.nextSequence = store.nextSequence
        do {
            if let sequence {
                try changeRange(store, sequence.range)
            } else {
                for ordinal in try ordinals(in: store) { try change(store, ordinal) }
            }
        } catch {
            try? store.close()
            throw error
        }
        try store.close()
        let snapshot = try EventStore.openReadOnly(path).snapshot()
        let info = try snapshot.info()
        let output = Output()
        let pins = Pins(info, sessions: try snapshot.sessions())
        if json {
            try output.line { out in out.object { pins.append(to: &$0, &$1) } }
        } else {
            for line in pins.descriptions.isEmpty ? ["nothing is pinned"] : pins.descriptions {
                try output.text(Formatting.oneLine(line) + "\n")
            }
        }
        try output.flush()
        if let text = Receipt.text(before.dropped(info, next: store.nextSequence, checkpoints: 0)) {
            Diagnostics.note(text)
        }
    }

    private func ordinals(in store: EventStore) throws -> [UInt64] {
        let snapshot = try store.snapshot()
        // A pin may outlast what can be read of its session.
        if let number, number > 0, try snapshot.info().pins.contains(UInt64(number)) {
            return [UInt64(number)]
        }
        return try Selection.sessions(
            ids: session.map { [$0] } ?? [], numbers: number.map { [$0] } ?? [], in: snapshot
        ).map(\.ordinal)
    }
}

/// What is pinned in a store.
struct Pins {
    private let sessions: [(ordinal: UInt64, info: SessionInfo?)]
    private let ranges: [ClosedRange<UInt64>]

    init(_ info: StoreInfo, sessions: [SessionInfo]) {
        self.sessions = info.pins.map { ordinal in (ordinal, sessions.first { $0.ordinal == ordinal }) }
        ranges = info.pinnedRanges
    }

    /// A line each.
    var descriptions: [String] {
        sessions.map { ordinal, info in
            guard let info else { return "session \(ordinal)" }
            var text = "session \(ordinal) (\(info.id)): \(Formatting.count(info.eventCount, "event"))"
            if let first = info.firstSequence, let last = info.lastSequence {
                text += ", \(Formatting.sequences(first...last))"
            }
            if info.checkpointCount > 0 {
                text += ", \(Formatting.count(info.checkpointCount, "checkpoint"))"
            }
            return text
        }
            + ranges.map {
                $0.upperBound == .max ? "sequences from \($0.lowerBound) on" : Formatting.sequences($0)
            }
    }

    /// Two members of an object.
    func append(to list: inout JSONMembers, _ out: inout ByteBuffer) {
        list.list("pins", sessions, &out) { pin, out in
            out.object { list, out in
                list.number("session_number", pin.ordinal, &out)
                list.text("session", pin.info?.id, &out)
                list.number("events", pin.info?.eventCount ?? 0, &out)
                list.number("checkpoints", pin.info?.checkpointCount ?? 0, &out)
                list.number("first_sequence", pin.info?.firstSequence, &out)
                list.number("last_sequence", pin.info?.lastSequence, &out)
            }
        }
        list.list("pinned_ranges", ranges, &out) { range, out in
            out.append("[")
            out.append(integer: range.lowerBound)
            out.append(",")
            out.append(integer: range.upperBound)
            out.append("]")
        }
    }
}
