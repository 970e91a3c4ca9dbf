internal import VarveFormat

/// An immutable view of a store. What is appended afterwards does not show; what it shows stays readable as long as it lives.
///
/// In the writer's process it sees every append that has returned; elsewhere what was written. Any thread may use it.
public struct Snapshot: Sendable {
    /// What is derived from the segments, once it is asked for.
    private final class Derived: @unchecked Sendable {
        let monitor = Monitor()
        var sessions: Sessions?
        var gaps: [Gap]?
    }

    private struct Sessions {
        var infos: [SessionInfo]
        /// Where they are, by their ordinals: every event asks for its session's id.
        var places: [UInt64: Int]
        /// Those that do not count: imports that were not completed.
        var excluded: Set<UInt64>
        /// The first event of an import under way; what is recorded is its, up to the end.
        var held: UInt64?
        /// What `infos` lack.
        var unread: SessionFold.Unread
    }

    let entries: [Catalog.Entry]
    /// Copies of the batches that no segment shows yet, in order.
    let batches: [Batch]
    private let pendingRecords: [(record: ControlRecord, position: LogPosition)]
    let pendingKinds: [KindDefinition]
    let position: LogPosition
    private let isBeingWritten: Bool
    private let knownGaps: [Gap]
    /// Whether it was taken by who records: an import under way counts there.
    private let isRecorders: Bool
    private let derived = Derived()
    let store: EventStore

    init(
        store: EventStore, entries: [Catalog.Entry], batches: [Batch],
        records: [(record: ControlRecord, position: LogPosition)] = [], pendingKinds: [KindDefinition],
        position: LogPosition, isBeingWritten: Bool, knownGaps: [Gap], isRecorders: Bool
    ) {
        self.store = store
        self.entries = entries
        self.batches = batches
        pendingRecords = records
        self.pendingKinds = pendingKinds
        self.position = position
        self.isBeingWritten = isBeingWritten
        self.knownGaps = knownGaps
        self.isRecorders = isRecorders
    }

    // MARK: Events

    /// A cursor over the events that match.
    ///
    /// Errors: `StoreError` when a segment's index can't be read for a reason other than damage.
    public func cursor(_ query: Query = Query()) throws(StoreError) -> EventCursor {
        EventCursor(core: try CursorCore(self, query))
    }

    /// How many events match. No payload is decompressed; blocks that match whole are not even read.
    public func count(_ query: Query = Query()) throws(StoreError) -> UInt64 {
        try countWithCoverage(query).events
    }

    /// How many events match, and what is missing from the count.
    public func countWithCoverage(_ query: Query = Query()) throws(StoreError) -> (
        events: UInt64, coverage: Coverage
    ) {
        let answer = try explainedCount(query)
        return (answer.events, answer.coverage)
    }

    /// How many events match, what is missing from the count, and what was done for it.
    package func explainedCount(_ query: Query = Query()) throws(StoreError) -> (
        events: UInt64, coverage: Coverage, statistics: QueryStatistics
    ) {
        let core = try CursorCore(self, query)
        return (try core.count(), core.coverage, core.statistics)
    }

    /// The events that match, each with its own copy of everything, for `for try await`.
    public func events(_ query: Query = Query()) -> EventSequence {
        EventSequence(snapshot: self, query: query)
    }

    /// One event, or nil when its number was never given or can't be read.
    public func event(sequence: UInt64) throws(StoreError) -> Event? {
        var cursor = try cursor(Query().sequences(sequence...sequence))
        return try cursor.nextEvent()
    }

    /// The retained sequence numbers; nil when there is no event.
    public var sequences: Range<UInt64>? {
        let first =
            entries.first { $0.summary.eventCount > 0 }?.summary.baseSequence
            ?? batches.first?.start.nextSequence
        guard let first, first < position.nextSequence else { return nil }
        return first..<position.nextSequence
    }

    // MARK: Sessions

    /// The sessions in the order in which they were begun. Reads every segment's footer once.
    public func sessions() throws(StoreError) -> [SessionInfo] {
        let sessions = foldedSessions()
        if let failure = sessions.unread.failure() { throw failure }
        return sessions.infos
    }

    /// The ordinals of sessions that do not count: imports that were not completed.
    var excluded: Set<UInt64> { foldedSessions().excluded }

    /// Where what does not count yet, and may count later, begins: an import that its writer has not ended.
    var heldSequence: UInt64? { foldedSessions().held }

    private func foldedSessions() -> Sessions {
        derived.monitor.lock()
        defer { derived.monitor.unlock() }
        if let sessions = derived.sessions { return sessions }
        var fold = SessionFold(entries)
        // Pending batches and records, in their order.
        var rest = pendingRecords[...]
        for batch in batches {
            while let (record, position) = rest.first, position.nextSequence <= batch.start.nextSequence {
                fold.add(record)
                rest.removeFirst()
            }
            fold.add(batch)
        }
        for (record, _) in rest { fold.add(record) }
        // An import exists once its end is recorded, but for who records it.
        let excluded = fold.importsWithoutEnd.subtracting(
            isRecorders ? [position.sessionOrdinal] : [])
        let infos = fold.finish(isLive: isBeingWritten)
        let held = infos.last {
            excluded.contains($0.ordinal) && $0.state == .active
                && $0.lastSequence == position.nextSequence.checkedPredecessor
        }
        let counted = excluded.isEmpty ? infos : infos.filter { !excluded.contains($0.ordinal) }
        let sessions = Sessions(
            infos: counted,
            places: Dictionary(counted.enumerated().map { ($1.ordinal, $0) }) { first, _ in first },
            excluded: excluded, held: held?.firstSequence, unread: fold.unread)
        derived.sessions = sessions
        return sessions
    }

    /// The session with this ordinal. Errors: `noSuchSession`; `damaged` when a segment's index that may tell of it can't be read.
    public func session(ordinal: UInt64) throws(StoreError) -> SessionInfo {
        let sessions = foldedSessions()
        if let failure = sessions.unread.failure(of: ordinal) { throw failure }
        guard let place = sessions.places[ordinal] else { throw .noSuchSession(ordinal: ordinal) }
        return sessions.infos[place]
    }

    func sessionID(_ ordinal: UInt64) -> String {
        // Also where a segment's index is damaged: that says nothing against the names in the others.
        let sessions = foldedSessions()
        return sessions.places[ordinal].map { sessions.infos[$0].id } ?? ""
    }

    /// The ordinals of the sessions that a query allows; nil: all.
    func resolve(_ query: Query) throws(StoreError) -> Set<UInt64>? {
        guard let ids = query.sessionIDs else { return query.sessionOrdinals }
        let named = Set(try sessions().filter { ids.contains($0.id) }.map(\.ordinal))
        return query.sessionOrdinals.map { named.intersection($0) } ?? named
    }

    // MARK: Checkpoints

    /// The checkpoints in the order made, of one session or of all.
    public func checkpoints(inSession ordinal: UInt64? = nil) throws(StoreError) -> [Checkpoint] {
        let ids = Dictionary(try sessions().map { ($0.ordinal, $0.id) }) { first, _ in first }
        func make(_ record: CheckpointRecord, _ bytes: Int) -> Checkpoint {
            Checkpoint(
                ordinal: record.ordinal, sessionOrdinal: record.session, sessionID: ids[record.session] ?? "",
                id: record.id, label: record.label, timestamp: record.timestamp,
                eventIndex: record.eventIndex,
                sequence: record.sequence, stateBytes: bytes)
        }
        var all: [Checkpoint] = []
        for entry in entries {
            if case .sealed(let handle) = entry, handle.summary.checkpointCount == 0 { continue }
            for found in try entry.load().index.checkpoints {
                all.append(make(found.record, Int(clamping: found.stateBytes)))
            }
        }
        for (record, _) in pendingRecords {
            if case .checkpoint(let checkpoint, let state) = record {
                all.append(make(checkpoint, state.count))
            }
        }
        if let ordinal { all.removeAll { $0.sessionOrdinal != ordinal } }
        return all.filter { !excluded.contains($0.sessionOrdinal) }
    }

    /// A checkpoint's state. Errors: `damaged`, `noSuchCheckpoint`.
    public func state(of checkpoint: Checkpoint) throws(StoreError) -> [UInt8] {
        for (record, _) in pendingRecords {
            if case .checkpoint(let found, let state) = record, found.ordinal == checkpoint.ordinal {
                return state
            }
        }
        for entry in entries.reversed() {
            if case .sealed(let handle) = entry, handle.summary.checkpointCount == 0 { continue }
            let segment = try entry.load()
            guard
                let found = segment.index.checkpoints.first(where: { $0.record.ordinal == checkpoint.ordinal }
                )
            else {
                continue
            }
            return try segment.state(of: found)
        }
        throw .noSuchCheckpoint(ordinal: checkpoint.ordinal)
    }

    /// A session as it was recorded: its figures, its checkpoints, and its events on demand.
    public func rebuild(session ordinal: UInt64) throws(StoreError) -> RebuiltSession {
        RebuiltSession(
            info: try session(ordinal: ordinal), checkpoints: try checkpoints(inSession: ordinal),
            snapshot: self)
    }

    // MARK: Figures

    /// What is missing: numbers that no segment holds, and what the ledger says of them. O(segments).
    public func gaps() throws(StoreError) -> [Gap] {
        derived.monitor.lock()
        if let gaps = derived.gaps {
            derived.monitor.unlock()
            return gaps
        }
        derived.monitor.unlock()
        var holes: [ClosedRange<UInt64>] = []
        var reasons: [(range: ClosedRange<UInt64>, reason: GapReason, note: String)] = knownGaps.map {
            ($0.sequences, $0.reason, $0.note)
        }
        var next: UInt64 = 0
        for entry in entries {
            let summary = entry.summary
            if summary.hasLosses, let index = try? entry.load().index {
                for record in index.ledger {
                    switch record {
                    case .gap(let first, let last, let reason, _, let note):
                        reasons.append((first...last, GapReason(reason), note))
                    case .retention(let first, let last, _): reasons.append((first...last, .retention, ""))
                    default: break
                    }
                }
            }
            guard summary.eventCount > 0 else { continue }
            if summary.eventCount == summary.nextSequence - summary.baseSequence {
                if summary.baseSequence > next { holes.append(next...summary.baseSequence - 1) }
                next = max(next, summary.nextSequence)
                continue
            }
            guard let index = try? entry.load().index else { continue }
            for block in index.entries where block.type == .events {
                if block.firstSequence > next { holes.append(next...block.firstSequence - 1) }
                next = max(next, block.nextSequence)
            }
        }
        for batch in batches {
            if batch.start.nextSequence > next { holes.append(next...batch.start.nextSequence - 1) }
            next = max(next, batch.start.nextSequence + UInt64(batch.count))
        }
        var gaps: [Gap] = []
        let named = NamedGaps(reasons)
        for hole in holes {
            for (range, known) in hole.parts(named: named) {
                gaps.append(
                    Gap(
                        sequences: range, reason: known?.reason ?? .lostSegment,
                        note: known?.note ?? "no segment holds these numbers"))
            }
        }
        // After what was lost at the end there is nothing to show it, and of a tail that can't be read nobody knows the numbers.
        gaps += knownGaps.filter { gap in
            gap.sequences.lowerBound >= next && !holes.contains { $0.overlaps(gap.sequences) }
        }
        // Nor is there for what the ledger says of it, until the next event is recorded.
        for (range, reason, note) in reasons.dropFirst(knownGaps.count) where range.lowerBound >= next {
            if !gaps.contains(where: { $0.sequences.overlaps(range) }) {
                gaps.append(Gap(sequences: range, reason: reason, note: note))
            }
        }
        derived.monitor.withLock { derived.gaps = gaps }
        return gaps
    }

    // Figures come from footers: where sums of those wrap, they were never true.

    /// The store in figures. Reads footers, no data.
    public func info() throws(StoreError) -> StoreInfo {
        let sessions = try sessions()
        var kinds: [EventKind: (metadata: [String: String], events: UInt64, bytes: UInt64)] = [:]
        var order: [EventKind] = []
        func add(_ definition: KindDefinition, _ events: UInt64, _ bytes: UInt64) {
            let kind = EventKind(definition)
            if kinds[kind] == nil { order.append(kind) }
            kinds[kind, default: (definition.metadata, 0, 0)].events &+= events
            kinds[kind, default: (definition.metadata, 0, 0)].bytes &+= bytes
        }
        var stored: UInt64 = 0
        var events: UInt64 = 0
        var raw: UInt64 = 0
        var times: ClosedRange<Int64>?
        func widen(_ min: Int64, _ max: Int64) {
            times = times.map { Swift.min($0.lowerBound, min)...Swift.max($0.upperBound, max) } ?? min...max
        }
        var drops: [Drop] = []
        var pins: Set<UInt64> = []
        for entry in entries {
            let summary = entry.summary
            let index = try entry.load().index
            if case .sealed(let handle) = entry {
                stored &+= handle.trailer.fileLength
            } else {
                stored &+= index.dataEnd
            }
            events &+= summary.eventCount
            raw &+= summary.rawBytes
            if summary.eventCount > 0 { widen(summary.minTimestamp, summary.maxTimestamp) }
            for kind in index.kinds { add(kind.definition, kind.events, kind.bytes) }
            for record in index.ledger {
                switch record {
                case .drop(let count, let bytes, let session, let before, let first, let last, _):
                    drops.append(
                        Drop(
                            events: count, bytes: bytes, sessionOrdinal: session, before: before,
                            time: min(first, last)...max(first, last)))
                case .pin(let session, let isPinned):
                    if isPinned { pins.insert(session) } else { pins.remove(session) }
                default: break
                }
            }
        }
        for batch in batches {
            for row in 0..<batch.count {
                let entry = batch.rows[row]
                events &+= 1
                raw &+= UInt64(entry.length)
                widen(entry.timestamp, entry.timestamp)
                if Int(entry.kind) < pendingKinds.count {
                    add(pendingKinds[Int(entry.kind)], 1, UInt64(entry.length))
                }
            }
        }
        let sealed = entries.count {
            if case .sealed = $0 { true } else { false }
        }
        return StoreInfo(
            identifier: store.identifier, createdAt: store.createdAt, metadata: store.metadata,
            formatVersion: Int(Limits.formatVersion), segmentCount: entries.count, sealedCount: sealed,
            eventCount: events, sessionCount: sessions.count, checkpointCount: try checkpoints().count,
            rawBytes: raw,
            storedBytes: stored, sequences: sequences, timeRange: times,
            kinds: order.compactMap { kind in
                guard let found = kinds[kind] else { return nil }
                return KindInfo(
                    kind: kind, metadata: found.metadata, events: found.events, bytes: found.bytes)
            },
            watermark: store.watermark, gaps: try gaps(), drops: drops, pins: pins.sorted(),
            epoch: position.epoch,
            activeSession: sessions.last { $0.state == .active }?.ordinal,
            isBeingWritten: isBeingWritten)
    }
}

extension GapReason {
    init(_ reason: LedgerRecord.GapReason) {
        self =
            switch reason {
            case .damage: .damage
            case .unconfirmedTail: .unconfirmedTail
            case .lostSegment: .lostSegment
            case .leftOut: .excluded
            case .retention: .retention
            }
    }
}

extension LoadedSegment {
    /// The state in a checkpoint's block.
    func state(of checkpoint: CheckpointEntry) throws(StoreError) -> [UInt8] {
        let entry = index.entries[Int(checkpoint.block)]
        let scratch = ScratchBuffer()
        defer { withExtendedLifetime(scratch) {} }
        let bytes = try bytes(at: entry.offset, count: Int(entry.length), scratch)
        do throws(FormatError) {
            let (header, small) = try verified(bytes, entry)
            guard case .checkpoint(let record, let part) = try ControlBlock.decode(small, of: header),
                record == checkpoint.record
            else { throw .invalid("a checkpoint", reason: "its block contradicts the index") }
            let start = BlockHeader.byteCount + small.count
            let stored = UnsafeRawBufferPointer(rebasing: bytes[start..<start + Int(part.storedBytes)])
            try ControlBlock.verifySubBlock(
                stored, 0, checksum: part.checksum, segment: header.segment, block: header.number)
            return try LZ4Block.decompress(
                stored, method: part.method, rawBytes: Int(part.rawBytes), dictionary: dictionary)
        } catch {
            throw .decoding(error, file: fileName, offset: entry.offset)
        }
    }
}
