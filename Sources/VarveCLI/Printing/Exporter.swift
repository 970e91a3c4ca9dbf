import Varve
import VarveJSON
import VarveRecorder

/// Writes what a selection holds in the export form, in the order of the log.
struct Exporter {
    private let store: EventStore
    private let snapshot: Snapshot
    private let selection: Selection
    private let output = Output()
    private let writer = ExportWriter()
    private var progress: Progress

    /// The sessions asked for, in the order in which they were begun.
    private let sessions: [SessionInfo]
    private let sessionsByOrdinal: [UInt64: SessionInfo]
    /// Whether sessions are exported that have nothing that matches.
    private let includesEmptySessions: Bool
    /// What is known to be missing before anything is read.
    private let knownGaps: [Gap]
    private let kindMetadata: [EventKind: [String: String]]

    /// What still has to be written, in the order of the log.
    private var checkpoints: ArraySlice<Checkpoint>
    private var gaps: ArraySlice<Gap>
    private var drops: ArraySlice<Drop>
    /// The first of ``sessions`` that may not have been begun.
    private var nextSession = 0

    /// The numbers within the export, by ordinal.
    private var numbers: [UInt64: UInt64] = [:]
    /// The numbers of kinds within the export, by the cursor's numbers.
    private var kinds: [(number: UInt64, isJSON: Bool)?] = []
    private var kindNumbers: [EventKind: UInt64] = [:]
    /// The ordinal of the session at hand.
    private var current: UInt64?
    private var paused: Set<UInt64> = []

    /// - Parameter store: the one that the snapshot is of.
    init(_ store: EventStore, _ snapshot: Snapshot, _ selection: Selection, progress: Progress) throws {
        self.store = store
        self.snapshot = snapshot
        self.selection = selection
        self.progress = progress
        let query = selection.query
        let allSessions = try snapshot.sessions()
        sessions = allSessions.filter {
            (query.sessionIDs?.contains($0.id) ?? true)
                && (query.sessionOrdinals?.contains($0.ordinal) ?? true)
        }
        sessionsByOrdinal = Dictionary(allSessions.map { ($0.ordinal, $0) }) { first, _ in first }
        includesEmptySessions = query.isOfWholeSessions
        let ordinals = Set(sessions.map(\.ordinal))
        checkpoints = try snapshot.checkpoints().filter { checkpoint in
            guard ordinals.contains(checkpoint.sessionOrdinal), !selection.isEmpty else { return false }
            if let indices = selection.indices {
                // Both ends, which are checkpoints themselves.
                guard checkpoint.eventIndex >= indices.lowerBound, checkpoint.eventIndex <= indices.upperBound
                else { return false }
            }
            return (query.time?.contains(checkpoint.timestamp) ?? true)
                && (query.sequences?.contains(checkpoint.sequence) ?? true)
        }[...]
        let info = try snapshot.info()
        kindMetadata = Dictionary(info.kinds.map { ($0.kind, $0.metadata) }) { first, _ in first }
        knownGaps = info.gaps
        gaps =
            info.gaps.filter { query.sequences?.overlaps($0.sequences) ?? true }.sorted {
                $0.sequences.lowerBound < $1.sequences.lowerBound
            }[...]
        drops =
            info.drops.filter { query.sequences?.contains($0.before) ?? true }.sorted {
                $0.before < $1.before
            }[...]
    }

    /// Writes everything.
    ///
    /// - Returns: what could not be read.
    mutating func run() throws -> [Gap] {
        writer.header(
            store: store.identifier.description, metadata: store.metadata, to: &output.buffer)
        var events: UInt64 = 0
        var bytes: UInt64 = 0
        var readGaps: [Gap] = []
        var isCutOff = selection.isEmpty
        if !selection.isEmpty {
            var cursor = try selection.cursor(in: snapshot)
            while let event = try cursor.next() {
                try writeRecords(through: event.sequence)
                try write(event)
                events += 1
                bytes += UInt64(event.payloadByteCount)
                if events & 1023 == 0 { progress.show(events: events, bytes: bytes) }
                if events == selection.query.limit {
                    isCutOff = true
                    break
                }
            }
            readGaps = cursor.coverage.gaps
        }
        if !isCutOff {
            try writeRecords(through: UInt64.max)
            // What only reading has shown to be missing.
            for gap in readGaps where !knownGaps.contains(gap) { write(gap) }
        }
        close(before: nil)
        beginEmptySessions(before: nil)
        for ordinal in paused.sorted(by: { numbers[$0] ?? 0 < numbers[$1] ?? 0 }) {
            writer.resume(session: numbers[ordinal] ?? 0, to: &output.buffer)
            writeEnd(ordinal)
        }
        progress.clear()
        try output.flush()
        return readGaps
    }

    /// Writes the checkpoints and ledger lines that stand before the event of that sequence number.
    private mutating func writeRecords(through sequence: UInt64) throws {
        while true {
            // In the order of their places; at the same place what is missing comes first.
            let places = [
                gaps.first?.sequences.lowerBound, drops.first?.before, checkpoints.first?.sequence,
            ]
            guard let place = places.compactMap({ $0 }).min(), place <= sequence else { return }
            if let gap = gaps.first, gap.sequences.lowerBound == place {
                gaps.removeFirst()
                write(gap)
            } else if let drop = drops.first, drop.before == place {
                drops.removeFirst()
                writer.ledger(.drop(events: drop.events), to: &output.buffer)
            } else if let checkpoint = checkpoints.popFirst() {
                try write(checkpoint)
            }
            try output.flushIfFull()
        }
    }

    private func write(_ gap: Gap) {
        let (span, _) = gap.sequences.upperBound.subtractingReportingOverflow(gap.sequences.lowerBound)
        writer.ledger(
            .gap(events: span == UInt64.max ? span : span + 1, reason: gap.reason.rawValue),
            to: &output.buffer)
    }

    private mutating func write(_ checkpoint: Checkpoint) throws {
        let state = try snapshot.state(of: checkpoint)
        let session = enter(checkpoint.sessionOrdinal, at: checkpoint.sequence, time: checkpoint.timestamp)
        state.withUnsafeBytes {
            writer.checkpoint(
                session: session, id: checkpoint.id, label: checkpoint.label, timestamp: checkpoint.timestamp,
                eventIndex: checkpoint.eventIndex, state: $0, to: &output.buffer)
        }
    }

    private mutating func write(_ event: borrowing EventView) throws {
        let session = enter(event.sessionOrdinal, at: event.sequence, time: event.timestamp)
        let kind = kind(of: event)
        event.withUnsafeBytes {
            writer.event(
                session: session, index: event.index, timestamp: event.timestamp, kind: kind.number,
                isJSON: kind.isJSON, payload: $0, to: &output.buffer)
        }
        try output.flushIfFull()
    }

    private mutating func kind(of event: borrowing EventView) -> (number: UInt64, isJSON: Bool) {
        let position = Int(event.kindNumber)
        if position < kinds.count, let known = kinds[position] { return known }
        let kind = event.kind
        let number: UInt64
        if let known = kindNumbers[kind] {
            number = known
        } else {
            number = UInt64(kindNumbers.count) + 1
            kindNumbers[kind] = number
            writer.kind(
                .init(
                    number: number, name: kind.name, encoding: kind.encoding,
                    metadata: kindMetadata[kind] ?? [:]),
                to: &output.buffer)
        }
        while kinds.count <= position { kinds.append(nil) }
        let entry = (number: number, isJSON: kind.encoding == .json)
        kinds[position] = entry
        return entry
    }

    // MARK: Sessions

    /// Makes a session the one at hand.
    ///
    /// - Parameters:
    ///   - sequence: of the event that comes next.
    ///   - time: of what comes next: the start of a session whose beginning is lost.
    /// - Returns: its number within the export.
    private mutating func enter(_ ordinal: UInt64, at sequence: UInt64, time: Int64) -> UInt64 {
        if current == ordinal, let number = numbers[ordinal] { return number }
        close(before: sequence)
        beginEmptySessions(before: (ordinal, sequence))
        current = ordinal
        if let number = numbers[ordinal] {
            paused.remove(ordinal)
            writer.resume(session: number, to: &output.buffer)
            return number
        }
        return begin(ordinal, time: time)
    }

    private mutating func begin(_ ordinal: UInt64, time: Int64) -> UInt64 {
        let number = UInt64(numbers.count) + 1
        numbers[ordinal] = number
        let info = sessionsByOrdinal[ordinal]
        writer.session(
            .init(
                number: number, id: info?.id ?? "", startedAt: info?.startedAt ?? time,
                metadata: info?.metadata ?? [:]),
            to: &output.buffer)
        return number
    }

    /// Leaves the session at hand: for good, unless more of it comes after that event.
    private mutating func close(before sequence: UInt64?) {
        guard let ordinal = current else { return }
        current = nil
        if let sequence, hasMore(ordinal, from: sequence) {
            paused.insert(ordinal)
            writer.pause(session: numbers[ordinal] ?? 0, to: &output.buffer)
        } else {
            writeEnd(ordinal)
        }
    }

    private func hasMore(_ ordinal: UInt64, from sequence: UInt64) -> Bool {
        if let last = sessionsByOrdinal[ordinal]?.lastSequence, last >= sequence { return true }
        return checkpoints.contains { $0.sessionOrdinal == ordinal }
    }

    private func writeEnd(_ ordinal: UInt64) {
        let info = sessionsByOrdinal[ordinal]
        writer.end(
            .init(number: numbers[ordinal] ?? 0, endedAt: info?.endedAt, state: info?.state ?? .interrupted),
            to: &output.buffer)
    }

    /// Writes the sessions that were begun before that one, and of which nothing has come until now.
    private mutating func beginEmptySessions(before place: (ordinal: UInt64, sequence: UInt64)?) {
        while nextSession < sessions.count, sessions[nextSession].ordinal < place?.ordinal ?? UInt64.max {
            let info = sessions[nextSession]
            nextSession += 1
            guard includesEmptySessions, numbers[info.ordinal] == nil else { continue }
            _ = begin(info.ordinal, time: info.startedAt)
            current = info.ordinal
            close(before: place?.sequence)
        }
    }
}
