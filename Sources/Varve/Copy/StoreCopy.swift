internal import VarveFormat
internal import VarveIO

/// Reads a snapshot in its order and writes what matches, one block in memory at a time.
struct StoreCopy {
    private let snapshot: Snapshot
    /// Without limit and reversal: what they choose is a range of numbers.
    private let query: Query
    private let options: StoreOptions
    private let progress: ((_ events: UInt64, _ bytes: UInt64) -> Void)?
    private let store: UniqueID
    private let writer: RepairWriter
    private var report: CopyReport

    private let sessions: [UInt64: SessionInfo]
    /// Those to take along without events, by their ordinals.
    private var emptySessions: ArraySlice<UInt64>
    /// Of sessions that go over, in order.
    private var checkpoints: ArraySlice<Checkpoint>
    /// What is known, and the damage that the cursor met.
    private var namedGaps: NamedGaps
    /// The numbers that were asked for; nil: none.
    private let asked: ClosedRange<UInt64>?
    /// After all numbers that the source gave.
    private let end: UInt64

    // The block that is being filled.
    private var rows: [EventRow] = []
    private var payload: [UInt8] = []
    private var block = BlockHeader(type: .events)

    // Where the copy stands.
    private var next: UInt64 = 0
    private var epoch: UInt64 = 1
    private var active: UInt64 = 0
    private var nextIndex: UInt64 = 0
    private var begun: Set<UInt64> = []
    private var ledger: [LedgerRecord] = []
    private var payloadBytes: UInt64 = 0

    // Kinds: their numbers in the copy by those of the cursor, and what the source says of them.
    private var kinds: [UInt32?] = []
    private var definitions: [EventKind: KindDefinition]

    /// Finds out what there is to copy.
    init(
        _ snapshot: Snapshot, _ query: Query, into directory: String, options: StoreOptions,
        progress: ((_ events: UInt64, _ bytes: UInt64) -> Void)?
    ) throws {
        self.snapshot = snapshot
        self.options = options
        self.progress = progress
        store = try options.fileSystem.freshID(for: directory)
        writer = RepairWriter(directory: directory, store: store, options: options)
        report = CopyReport(source: snapshot.store.identifier, store: store)
        sessions = Dictionary(try snapshot.sessions().map { ($0.ordinal, $0) }) { first, _ in first }
        let allowed = query.isOfWholeSessions ? try snapshot.resolve(query) : []
        emptySessions = sessions.keys.filter { allowed?.contains($0) ?? true }.sorted()[...]
        let isNothing = query.limit == 0
        let query = try StoreCopy.withoutLimit(query, snapshot)
        self.query = query
        asked = isNothing ? nil : query.sequences ?? 0...UInt64.max
        checkpoints = try StoreCopy.checkpoints(of: query, snapshot)[...]
        let gaps = try snapshot.gaps()
        namedGaps = NamedGaps(gaps.map { ($0.sequences, $0.reason, $0.note) })
        // Of an end that can't be read nobody knows how many numbers it had.
        end = gaps.map(\.sequences.upperBound).filter { $0 < .max >> 1 }
            .reduce(snapshot.position.nextSequence) { max($0, $1 + 1) }
        definitions = [:]
        let known = try snapshot.entries.flatMap { entry in
            try entry.loadKept(by: snapshot.retained)?.index.kinds.map(\.definition) ?? []
        }
        for definition in known + snapshot.pendingKinds {
            let kind = EventKind(definition)
            if definitions[kind] == nil { definitions[kind] = definition }
        }
    }

    /// The same events by the range of their numbers.
    private static func withoutLimit(_ query: Query, _ snapshot: Snapshot) throws -> Query {
        var whole = query
        whole.limit = nil
        whole.isReversed = false
        guard query.limit != nil else { return whole }
        var range: ClosedRange<UInt64>?
        var cursor = try snapshot.cursor(query)
        while let event = try cursor.next() {
            range.widen(to: event.sequence...event.sequence)
        }
        if let range {
            whole.sequences = range
        } else {
            whole.sessionIDs = nil
            whole.sessionOrdinals = []
        }
        return whole
    }

    /// The checkpoints that go over.
    private static func checkpoints(of query: Query, _ snapshot: Snapshot) throws -> [Checkpoint] {
        let allowed = try snapshot.resolve(query)
        var hasEvents: [UInt64: Bool] = [:]
        return try snapshot.checkpoints().filter { checkpoint in
            let session = checkpoint.sessionOrdinal
            if let allowed, !allowed.contains(session) { return false }
            if let time = query.time, !time.contains(checkpoint.timestamp) { return false }
            if let range = query.sequences {
                // Its number is that of the event after it.
                guard checkpoint.sequence >= range.lowerBound,
                    checkpoint.sequence <= range.upperBound.addingClamped(1)
                else { return false }
            }
            if query.isOfWholeSessions { return true }
            if let known = hasEvents[session] { return known }
            var one = query
            one.sessionIDs = nil
            one.sessionOrdinals = [session]
            var cursor = try snapshot.cursor(one)
            let isThere = try cursor.next() != nil
            hasEvents[session] = isThere
            return isThere
        }
    }

    // MARK: Writing

    mutating func write() throws -> CopyReport {
        let core = try CursorCore(snapshot, query)
        var cursor = EventCursor(core: core)
        while let event = try cursor.next() {
            let goesOn =
                !rows.isEmpty && event.sequence == block.firstSequence + UInt64(rows.count)
                && event.sessionOrdinal == active && event.epoch == block.epoch
                && rows.count < Limits.blockEventsMax
                && payload.count + event.payloadByteCount <= options.blockBytes
                && checkpoints.first.map { $0.sequence > event.sequence } ?? true
            if !goesOn {
                addGaps(core.takeGaps())
                try flush()
                try putCheckpoints(through: event.sequence)
                try leaveOut(before: event.sequence)
                epoch = max(epoch, event.epoch)
                try activate(event.sessionOrdinal, index: event.index)
                block.epoch = event.epoch
                block.sessionOrdinal = active
                block.firstSequence = event.sequence
            }
            rows.append(
                EventRow(
                    timestamp: event.timestamp, index: event.index, length: UInt32(event.payloadByteCount),
                    kind: try kind(of: event)))
            event.withUnsafeBytes { payload.append(contentsOf: $0) }
        }
        addGaps(core.takeGaps())
        try flush()
        try putCheckpoints(through: .max)
        try endActive()
        try putEmptySessions(before: .max)
        try leaveOut(before: end)
        try finish()
        return report
    }

    private mutating func kind(of event: borrowing EventView) throws -> UInt32 {
        let number = Int(event.kindNumber)
        while kinds.count <= number { kinds.append(nil) }
        if let known = kinds[number] { return known }
        let kind = event.kind
        let definition =
            definitions[kind] ?? KindDefinition(name: kind.name, encoding: kind.encoding)
        let interned = try writer.intern(definition)
        kinds[number] = interned
        return interned
    }

    private mutating func flush() throws {
        guard let last = rows.last else { return }
        block.writtenAt = options.fileSystem.now()
        next = block.firstSequence + UInt64(rows.count)
        nextIndex = last.index &+ 1
        report.events += UInt64(rows.count)
        payloadBytes += UInt64(payload.count)
        try writer.put(&rows, &payload, block)
        progress?(report.events, payloadBytes)
    }

    /// The header of a record that stands here.
    private func header(_ type: BlockType, at time: Int64) -> BlockHeader {
        var header = BlockHeader(type: type)
        header.epoch = epoch
        header.sessionOrdinal = active
        header.firstSequence = next
        header.firstIndex = nextIndex
        header.writtenAt = options.fileSystem.now()
        // A ledger block's time is that of its writing.
        header.minTimestamp = type == .ledger ? header.writtenAt : time
        header.maxTimestamp = header.minTimestamp
        return header
    }

    // MARK: Sessions and checkpoints

    private mutating func activate(_ ordinal: UInt64, index: UInt64) throws {
        guard active != ordinal else { return }
        try endActive()
        try putEmptySessions(before: ordinal)
        try begin(ordinal, index: index)
    }

    /// Writes the sessions that were begun before this one, and of which nothing has come until now.
    private mutating func putEmptySessions(before ordinal: UInt64) throws {
        while let first = emptySessions.first, first < ordinal {
            emptySessions.removeFirst()
            guard !begun.contains(first) else { continue }
            try begin(first, index: sessions[first]?.nextIndex ?? 0)
            try endActive()
        }
    }

    private mutating func begin(_ ordinal: UInt64, index: UInt64) throws {
        let info = sessions[ordinal]
        var begin = SessionBegin(
            ordinal: ordinal, flags: info?.isImported ?? false ? [.imported] : [], id: info?.id ?? "",
            start: info?.startedAt ?? 0, firstIndex: index, metadata: info?.metadata ?? [:])
        if !begun.insert(ordinal).inserted { begin.flags.insert(.resumed) }
        active = ordinal
        nextIndex = index
        report.sessions = begun.count
        var header = header(.sessionBegin, at: begin.start)
        header.sessionsBegun = ordinal
        try writer.put(.sessionBegin(begin), header)
    }

    /// Ends the active session as the source knows that it ended.
    private mutating func endActive() throws {
        guard active != 0 else { return }
        let info = sessions[active]
        let time = info?.endedAt ?? info?.timeRange?.upperBound ?? info?.startedAt ?? 0
        let end = SessionEnd(
            ordinal: active, reason: info?.state == .closed ? .closed : .interrupted, end: time,
            events: info?.eventCount ?? 0, checkpoints: info?.checkpointCount ?? 0,
            nextIndex: max(nextIndex, info?.nextIndex ?? 0))
        nextIndex = end.nextIndex
        try writer.put(.sessionEnd(end), header(.sessionEnd, at: time))
        active = 0
        nextIndex = 0
    }

    /// Writes the checkpoints that were made before an event.
    private mutating func putCheckpoints(through sequence: UInt64) throws {
        while let checkpoint = checkpoints.first, checkpoint.sequence <= sequence {
            checkpoints.removeFirst()
            let state: [UInt8]
            do throws(StoreError) {
                state = try snapshot.state(of: checkpoint)
            } catch {
                guard case .damaged = error else { throw error }
                report.lostCheckpoints += 1
                continue
            }
            try activate(checkpoint.sessionOrdinal, index: checkpoint.eventIndex)
            let record = CheckpointRecord(
                ordinal: checkpoint.ordinal, session: checkpoint.sessionOrdinal, id: checkpoint.id,
                label: checkpoint.label, timestamp: checkpoint.timestamp, eventIndex: checkpoint.eventIndex,
                sequence: checkpoint.sequence)
            nextIndex = checkpoint.eventIndex
            var header = header(.checkpoint, at: checkpoint.timestamp)
            header.firstSequence = max(next, checkpoint.sequence)
            header.checkpointsMade = checkpoint.ordinal
            try writer.put(record, state: state, header)
            report.checkpoints += 1
        }
    }

    // MARK: What is not in it

    private mutating func addGaps(_ found: [Gap]) {
        guard !found.isEmpty else { return }
        namedGaps = namedGaps.adding(found.map { ($0.sequences, $0.reason, $0.note) })
    }

    /// Names the numbers from `next` on that the copy does not have: in the ledger all of them, in the report
    /// what of those that the source lacks was asked for.
    private mutating func leaveOut(before sequence: UInt64) throws {
        guard sequence > next else { return }
        let time = options.fileSystem.now()
        for (range, known) in (next...sequence - 1).parts(named: namedGaps) {
            let (first, last) = (range.lowerBound, range.upperBound)
            switch known?.reason {
            case nil:
                report.leftOut += last - first + 1
                ledger.append(.gap(first: first, last: last, reason: .leftOut, time: time, note: ""))
            case .some(let reason):
                ledger.append(
                    .gap(
                        first: first, last: last, reason: LedgerRecord.GapReason(reason), time: time,
                        note: known?.note ?? ""))
            }
            if let known, let asked {
                let gap = Gap(sequences: range, reason: known.reason, note: known.note)
                if let part = gap.part(in: asked, end: snapshot.position.nextSequence) {
                    report.gaps.append(part)
                }
            }
        }
        next = sequence
        if ledger.count >= 1000 { try putLedger() }
    }

    private mutating func putLedger() throws {
        guard !ledger.isEmpty else { return }
        try writer.put(.ledger(ledger), header(.ledger, at: options.fileSystem.now()))
        ledger.removeAll(keepingCapacity: true)
    }

    /// Writes how far the source's counters are, what was refused there, and the identity.
    private mutating func finish() throws {
        let position = snapshot.position
        for entry in snapshot.entries {
            for record in try entry.loadKept(by: snapshot.retained)?.index.ledger ?? [] {
                if case .drop(_, _, let session, _, _, _, _) = record, begun.contains(session) {
                    ledger.append(record)
                }
            }
        }
        // Who only reads knows the counters from the segments alone.
        let summaries = snapshot.entries.map(\.summary)
        epoch = summaries.reduce(max(epoch, position.epoch)) { max($0, $1.lastEpoch) }
        var header = header(.ledger, at: options.fileSystem.now())
        header.sessionsBegun = summaries.reduce(max(position.sessionsBegun, sessions.keys.max() ?? 0)) {
            max($0, $1.sessionsBegun)
        }
        header.checkpointsMade = summaries.reduce(position.checkpointsMade) { max($0, $1.checkpointsMade) }
        // Also without a record: the block carries the counters on.
        try writer.put(.ledger(ledger), header)
        var metadata = snapshot.store.metadata
        let kept = metadata
        metadata[EventStore.copiedFromKey] = report.source.description
        // There may be no room for one more.
        if (try? checkMetadata(metadata)) == nil { metadata = kept }
        try writer.finish(
            StoreIdentity(store: store, createdAt: options.fileSystem.now(), metadata: metadata))
        report.segments = writer.segments
        report.bytes = writer.byteCount
    }
}

extension LedgerRecord.GapReason {
    init(_ reason: GapReason) {
        self =
            switch reason {
            case .damage: .damage
            case .unconfirmedTail: .unconfirmedTail
            case .lostSegment: .lostSegment
            case .excluded: .leftOut
            case .retention: .retention
            }
    }
}
