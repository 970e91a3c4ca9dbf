internal import VarveFormat

/// An immutable view of a store. What is appended afterwards does not show; what it shows stays readable as long as it lives.
///
/// In the writer's process it sees every append that has returned; elsewhere what was written. Any thread may use it.
public struct Snapshot: Sendable {
    /// What is derived from the segments, once it is asked for.
    private final class Derived: @unchecked Sendable {
        let monitor = Monitor()
        var sessions: Sessions?
        /// The ids of sessions, by their ordinals: those of the segments whose events were asked for theirs.
        var ids: [UInt64: String] = [:]
        var excluded: Set<UInt64>?
        var gaps: [Gap]?
    }

    private struct Sessions {
        var infos: [SessionInfo]
        /// Where they are, by their ordinals: every event asks for its session's id.
        var places: [UInt64: Int]
        /// The first event of an import under way; what is recorded is its, up to the end.
        var held: UInt64?
        /// What `infos` lack.
        var unread: SessionFold.Unread
    }

    let entries: [Catalog.Entry]
    /// Copies of the batches that no segment shows yet, in order.
    let batches: [Batch]
    let pendingRecords: [(record: ControlRecord, position: LogPosition)]
    let pendingKinds: [KindDefinition]
    let position: LogPosition
    /// What the limits keep, and pins: all else is hidden.
    let retained: Retained
    private let isBeingWritten: Bool
    private let knownGaps: [Gap]
    /// Whether it was taken by who records: an import under way counts there.
    private let isRecorders: Bool
    private let derived = Derived()
    let store: EventStore

    init(
        store: EventStore, entries: [Catalog.Entry], batches: [Batch],
        records: [(record: ControlRecord, position: LogPosition)] = [], pendingKinds: [KindDefinition],
        position: LogPosition, retained: Retained, isBeingWritten: Bool, knownGaps: [Gap], isRecorders: Bool
    ) {
        self.store = store
        self.entries = entries
        self.batches = batches
        pendingRecords = records
        self.pendingKinds = pendingKinds
        self.position = position
        self.retained = retained
        self.isBeingWritten = isBeingWritten
        self.knownGaps = knownGaps
        self.isRecorders = isRecorders
    }

    /// The same view with other heads and pins.
    func keeping(_ retained: Retained) -> Snapshot {
        Snapshot(
            store: store, entries: entries, batches: batches, records: pendingRecords,
            pendingKinds: pendingKinds, position: position, retained: retained,
            isBeingWritten: isBeingWritten, knownGaps: knownGaps, isRecorders: isRecorders)
    }

    // MARK: Events

    /// A cursor over the events that match.
    ///
    /// `decodingAhead` has a second thread decode the blocks that come next, and look for the events in them that match (and the
    /// asking thread too, while it would wait): up to twice as fast where many blocks are read to their end, for up to 40 MiB more
    /// memory (2 where blocks are as large as by default; a payload above 4 MiB once more).
    ///
    /// Errors: `StoreError` when a segment's index can't be read for a reason other than damage.
    public func cursor(
        _ query: Query = Query(), decodingAhead: Bool = false
    ) throws(StoreError) -> EventCursor {
        let core = try CursorCore(self, query)
        let decodesAhead = decodingAhead && query.limit != 0
        return EventCursor(core: core, ahead: decodesAhead ? try ReadAhead(self, query, finder: core) : nil)
    }

    /// How many events match. Blocks that match whole are not even read, and payloads are decompressed for predicates on them alone;
    /// `decodingAhead` is for those, as of a cursor.
    public func count(_ query: Query = Query(), decodingAhead: Bool = false) throws(StoreError) -> UInt64 {
        try countWithCoverage(query, decodingAhead: decodingAhead).events
    }

    /// How many events match, and what is missing from the count.
    public func countWithCoverage(_ query: Query = Query(), decodingAhead: Bool = false) throws(StoreError)
        -> (events: UInt64, coverage: Coverage)
    {
        let answer = try explainedCount(query, decodingAhead: decodingAhead)
        return (answer.events, answer.coverage)
    }

    /// How many events match, what is missing from the count, and what was done for it.
    package func explainedCount(_ query: Query = Query(), decodingAhead: Bool = false) throws(StoreError)
        -> (events: UInt64, coverage: Coverage, statistics: QueryStatistics)
    {
        var cursor = try cursor(query, decodingAhead: decodingAhead && query.needsPayload)
        let events = query.needsPayload ? try cursor.countRows() : try cursor.core.count()
        return (events, cursor.coverage, cursor.statistics)
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

    /// From the first retained event's number to the end of the log; nil when there is no event. O(segments), whose
    /// indices are read once.
    public var sequences: Range<UInt64>? {
        guard let first = firstKeptSequence(), first < position.nextSequence else { return nil }
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
    var excluded: Set<UInt64> { derived.monitor.withLock { findExcluded() } }

    /// The same. Call with `derived.monitor` held, which is taken before a segment's.
    private func findExcluded() -> Set<UInt64> {
        if let excluded = derived.excluded { return excluded }
        var imports = UnfinishedImports(after: entries)
        for (record, _) in pendingRecords { imports.add(record) }
        // An import exists once its end is recorded, but for who records it.
        if isRecorders { imports.end(position.sessionOrdinal) }
        derived.excluded = imports.ordinals
        return imports.ordinals
    }

    /// Where what does not count yet, and may count later, begins: an import that its writer has not ended.
    var heldSequence: UInt64? { excluded.isEmpty ? nil : foldedSessions().held }

    private func foldedSessions() -> Sessions {
        derived.monitor.lock()
        defer { derived.monitor.unlock() }
        if let sessions = derived.sessions { return sessions }
        var fold = SessionFold(entries, retained)
        // Pending batches and records, in their order.
        var rest = pendingRecords[...]
        for batch in batches {
            while let (record, position) = rest.first, position.nextSequence <= batch.start.nextSequence {
                fold.add(record, at: position.nextSequence)
                rest.removeFirst()
            }
            fold.add(batch)
        }
        for (record, position) in rest { fold.add(record, at: position.nextSequence) }
        let excluded = findExcluded()
        let infos = fold.finish(isLive: isBeingWritten)
        let held = infos.last {
            excluded.contains($0.ordinal) && $0.state == .active
                && $0.lastSequence == position.nextSequence.checkedPredecessor
        }
        let counted = excluded.isEmpty ? infos : infos.filter { !excluded.contains($0.ordinal) }
        let sessions = Sessions(
            infos: counted,
            places: Dictionary(counted.enumerated().map { ($1.ordinal, $0) }) { first, _ in first },
            held: held?.firstSequence, unread: fold.unread)
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

    /// The id of the session of an event that was read. The event's own segment has it; where it can't be read any more, or does not
    /// know, the others may.
    func sessionID(_ ordinal: UInt64, ofEvent sequence: UInt64) -> String {
        if let known = derived.monitor.withLock({ derived.ids[ordinal] }) { return known }
        var ids = sessionIDs(nearEvent: sequence)
        if ids[ordinal] == nil {
            let sessions = foldedSessions()
            ids[ordinal] = sessions.places[ordinal].map { sessions.infos[$0].id } ?? ""
        }
        derived.monitor.withLock { derived.ids.merge(ids) { _, new in new } }
        return ids[ordinal] ?? ""
    }

    /// The ids of the sessions in an event's segment, by their ordinals.
    private func sessionIDs(nearEvent sequence: UInt64) -> [UInt64: String] {
        var ids: [UInt64: String] = [:]
        let position = entries.partitioningIndex { $0.summary.nextSequence > sequence }
        // What is not written yet goes on where the last segment ends.
        let segment = position < entries.count ? entries[position] : entries.last
        for session in (try? segment?.sessions()) ?? [] { ids[session.begin.ordinal] = session.begin.id }
        guard position == entries.count else { return ids }
        for case (.sessionBegin(let begin), _) in pendingRecords { ids[begin.ordinal] = begin.id }
        return ids
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
            guard let segment = try entry.loadKept(by: retained) else { continue }
            for found in segment.index.checkpoints where retained.keeps(found.record) {
                all.append(make(found.record, Int(clamping: found.stateBytes)))
            }
        }
        for (record, _) in pendingRecords {
            if case .checkpoint(let checkpoint, let state) = record, retained.keeps(checkpoint) {
                all.append(make(checkpoint, state.count))
            }
        }
        if let ordinal { all.removeAll { $0.sessionOrdinal != ordinal } }
        let excluded = excluded
        all.removeAll { excluded.contains($0.sessionOrdinal) }
        // Those that outlive the events around them may stand elsewhere in the log.
        for (one, next) in zip(all, all.dropFirst()) where one.ordinal > next.ordinal {
            return all.sorted { $0.ordinal < $1.ordinal }
        }
        return all
    }

    /// A checkpoint's state. Errors: `damaged`, `noSuchCheckpoint`.
    public func state(of checkpoint: Checkpoint) throws(StoreError) -> [UInt8] {
        for (record, _) in pendingRecords {
            if case .checkpoint(let found, let state) = record, found.ordinal == checkpoint.ordinal,
                retained.keeps(found)
            {
                return state
            }
        }
        for entry in entries.reversed() {
            if case .sealed(let handle) = entry, handle.summary.checkpointCount == 0 { continue }
            guard let segment = try entry.loadKept(by: retained),
                let found = segment.index.checkpoints.first(where: {
                    $0.record.ordinal == checkpoint.ordinal && retained.keeps($0.record)
                })
            else { continue }
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

    /// What is missing: what retention does not keep, numbers that no segment holds, and what the ledger says of them. O(segments); with
    /// pins, of segments that they may keep a part of also O(blocks).
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
        // What is there and kept ends here, so far.
        var next: UInt64 = 0
        func show(_ range: Range<UInt64>) {
            if range.lowerBound > next { holes.append(next...range.lowerBound - 1) }
            next = max(next, range.upperBound)
        }
        let head = retained.headSequence
        for entry in entries {
            let summary = entry.summary
            if summary.hasLosses, let index = try? entry.load().index {
                for record in index.ledger {
                    switch record {
                    case .gap(let first, let last, let reason, _, let note):
                        reasons.append((first...last, GapReason(reason), note))
                    case .retention(let record) where record.headBefore < record.head:
                        reasons.append((record.headBefore...record.head - 1, .retention, Gap.droppedNote))
                    default: break
                    }
                }
            }
            let range = summary.sequences
            guard summary.eventCount > 0, !retained.hidesAll(range) else { continue }
            if summary.isFull, retained.keepsAll(range) || retained.pins.isEmpty {
                show(max(range.lowerBound, head)..<range.upperBound)
                continue
            }
            guard let index = try? entry.load().index else {
                // A cursor says that it can't read those that may be kept.
                if summary.isFull { retained.parts(of: range, session: nil).forEach(show) }
                continue
            }
            for block in index.entries where block.type == .events {
                retained.parts(of: block.sequences, session: block.sessionOrdinal).forEach(show)
            }
        }
        for batch in batches {
            for rows in batch.keptRows(by: retained) {
                let first = batch.start.nextSequence
                show(first + UInt64(rows.lowerBound)..<first + UInt64(rows.upperBound))
            }
        }
        // Of numbers that were never given nothing was dropped.
        let dropped = min(head, max(next, position.nextSequence))
        if next < dropped { show(dropped..<dropped) }
        var gaps: [Gap] = []
        let named = NamedGaps(reasons)
        for hole in holes {
            if hole.lowerBound < head {
                gaps.append(
                    Gap(
                        sequences: hole.lowerBound...min(hole.upperBound, head - 1), reason: .retention,
                        note: Gap.droppedNote))
            }
            guard hole.upperBound >= head else { continue }
            for (range, known) in (max(hole.lowerBound, head)...hole.upperBound).parts(named: named) {
                gaps.append(
                    Gap(
                        sequences: range, reason: known?.reason ?? .lostSegment,
                        note: known?.note ?? "no segment holds these numbers"))
            }
        }
        // After what was lost at the end there is nothing to show it, and of a tail that can't be read nobody knows the numbers. Nor is
        // there for what the ledger says of it, until the next event is recorded.
        for (place, (range, reason, note)) in reasons.enumerated() {
            guard range.lowerBound >= next, range.upperBound >= head else { continue }
            if place >= knownGaps.count, gaps.contains(where: { $0.sequences.overlaps(range) }) { continue }
            gaps.append(
                Gap(sequences: max(range.lowerBound, head)...range.upperBound, reason: reason, note: note))
        }
        derived.monitor.withLock { derived.gaps = gaps }
        return gaps
    }

    // Figures come from footers: where sums of those wrap, they were never true.

    /// The store in figures. Reads footers, no data.
    public func info() throws(StoreError) -> StoreInfo {
        let sessions = try sessions()
        let excluded = excluded
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
        func add(_ kept: KeptFigures, _ definitions: [KindDefinition], isPending: Bool = false) {
            events &+= kept.events
            raw &+= kept.bytes
            if let those = kept.times { times.widen(to: those) }
            // Of those that wait there may be none of the kind yet.
            for (definition, kind) in zip(definitions, kept.kinds) where !isPending || kind.events > 0 {
                add(definition, kind.events, kind.bytes)
            }
        }
        var drops: [Drop] = []
        var droppings: [Dropped] = []
        for entry in entries {
            let summary = entry.summary
            switch entry {
            case .sealed(let handle): stored &+= handle.trailer.fileLength
            case .open(let segment): stored &+= segment.index.dataEnd
            }
            guard let segment = try entry.loadKept(by: retained) else { continue }
            let index = segment.index
            let countsAll =
                excluded.isEmpty || !index.sessions.contains { excluded.contains($0.begin.ordinal) }
            if summary.eventCount == 0 || countsAll && retained.keepsAll(summary.sequences) {
                events &+= summary.eventCount
                raw &+= summary.rawBytes
                if summary.eventCount > 0 { times.widen(to: summary.minTimestamp...summary.maxTimestamp) }
                for kind in index.kinds { add(kind.definition, kind.events, kind.bytes) }
            } else {
                add(
                    segment.keptFigures(by: retained, withKinds: true, leavingOut: excluded),
                    index.kinds.map(\.definition))
            }
            for record in index.ledger {
                switch record {
                case .drop(let count, let bytes, let session, let before, let first, let last, _):
                    drops.append(
                        Drop(
                            events: count, bytes: bytes, sessionOrdinal: session, before: before,
                            time: min(first, last)...max(first, last)))
                case .retention(let record): droppings.append(Dropped(record))
                default: break
                }
            }
        }
        for batch in batches where !excluded.contains(batch.start.sessionOrdinal) {
            add(KeptFigures(batch, retained, kindCount: pendingKinds.count), pendingKinds, isPending: true)
        }
        let sealed = entries.filter { if case .sealed = $0 { true } else { false } }
        return StoreInfo(
            identifier: store.identifier, createdAt: store.createdAt, metadata: store.metadata,
            formatVersion: Int(Limits.formatVersion), segmentCount: entries.count, sealedCount: sealed.count,
            settledCount: sealed.count { $0.summary.isSettled },
            eventCount: events, sessionCount: sessions.count, checkpointCount: try checkpoints().count,
            rawBytes: raw,
            storedBytes: stored, sequences: sequences, timeRange: times,
            kinds: order.compactMap { kind in
                guard let found = kinds[kind] else { return nil }
                return KindInfo(
                    kind: kind, metadata: found.metadata, events: found.events, bytes: found.bytes)
            },
            watermark: store.watermark, gaps: try gaps(), drops: drops, limits: store.limits,
            droppings: droppings,
            pins: retained.pins.map(\.session).filter { $0 > 0 },
            pinnedRanges: retained.pins.filter { $0.session == 0 && $0.first <= $0.last }
                .map { $0.first...$0.last },
            headSequence: retained.headSequence, headCheckpoint: retained.headCheckpoint,
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
