internal import VarveFormat

/// Everything that is known about a segment without its payloads: built while it is written, by a scan, or read
/// from its footer.
struct SegmentIndex: Sendable {
    var header: SegmentHeader
    /// Bytes of the header with its sections: where the blocks start.
    var headerBytes: UInt64
    /// Where the blocks end.
    var dataEnd: UInt64
    var entries: [BlockIndexEntry] = []
    /// Of a sealed segment; nil while it grows.
    var pyramid: TimePyramid?
    var kinds: [KindCount]
    var sessions: [SessionSummary] = []
    var checkpoints: [CheckpointEntry] = []
    var ledger: [LedgerRecord] = []
    var replaces: [ReplacedSegment] = []
    var droppedRanges: [DroppedRange] = []
    /// The highest logical heads that its blocks name.
    var headSequence: UInt64 = 0
    var headCheckpoint: UInt64 = 0
    /// Compaction has written it.
    var isSettled = false
    /// The kinds of each block's events; nil where a block was added without.
    var blockKinds: BlockKindCounts? = BlockKindCounts()
    var dictionary: [UInt8]?
    var dictionaryEntry: Int?
    var nextSequence: UInt64
    var eventCount: UInt64 = 0
    var eventBlockCount: UInt32 = 0
    var rawBytes: UInt64 = 0
    var minTimestamp = Int64.max
    var maxTimestamp = Int64.min
    var firstEpoch: UInt64
    var lastEpoch: UInt64
    var sessionsBegun: UInt64
    var checkpointsMade: UInt64
    /// Bytes of ids, labels, metadata and notes, so that the footer stays bounded.
    var controlBytes = 0

    /// An empty one, after the header was written.
    init(header: SegmentHeader, headerBytes: UInt64) {
        self.header = header
        self.headerBytes = headerBytes
        dataEnd = headerBytes
        kinds = (header.kinds ?? []).map { KindCount(definition: $0) }
        nextSequence = header.baseSequence
        firstEpoch = header.epoch
        lastEpoch = header.epoch
        sessionsBegun = header.sessionsBegun
        checkpointsMade = header.checkpointsMade
        if let session = header.session {
            sessions.append(SessionSummary(begin: session, sequence: header.baseSequence))
        }
    }

    /// One read from a footer.
    init(header: SegmentHeader, headerBytes: UInt64, footer: Footer) {
        self.header = header
        self.headerBytes = headerBytes
        dataEnd = footer.summary.dataBytes
        entries = footer.entries
        pyramid = footer.pyramid
        kinds = footer.kinds
        sessions = footer.sessions
        checkpoints = footer.checkpoints
        ledger = footer.ledger
        replaces = footer.replaces
        droppedRanges = footer.droppedRanges
        headSequence = footer.summary.headSequence
        headCheckpoint = footer.summary.headCheckpoint
        isSettled = footer.summary.isSettled
        blockKinds = footer.blockKinds
        dictionaryEntry = footer.entries.firstIndex { $0.type == .dictionary }
        nextSequence = footer.summary.nextSequence
        eventCount = footer.summary.eventCount
        eventBlockCount = footer.summary.eventBlockCount
        rawBytes = footer.summary.rawBytes
        minTimestamp = footer.summary.minTimestamp
        maxTimestamp = footer.summary.maxTimestamp
        firstEpoch = footer.summary.firstEpoch
        lastEpoch = footer.summary.lastEpoch
        sessionsBegun = footer.summary.sessionsBegun
        checkpointsMade = footer.summary.checkpointsMade
    }

    /// The session that is active at the end.
    var activeSession: SessionSummary? { sessions.last.flatMap { $0.state == .active ? $0 : nil } }

    // MARK: Growing

    private mutating func add(_ header: BlockHeader, at offset: UInt64) {
        entries.append(BlockIndexEntry(header, offset: offset))
        dataEnd = offset + UInt64(header.blockLength)
        nextSequence = max(nextSequence, header.nextSequence)
        firstEpoch = min(firstEpoch, header.epoch)
        lastEpoch = max(lastEpoch, header.epoch)
        // An ordinal that occurs is not given again, also where nothing else tells of its session.
        sessionsBegun = max(sessionsBegun, header.sessionsBegun, header.sessionOrdinal)
        checkpointsMade = max(checkpointsMade, header.checkpointsMade)
        headSequence = max(headSequence, header.headSequence)
        headCheckpoint = max(headCheckpoint, header.headCheckpoint)
    }

    /// The position of the session's latest summary.
    private func position(ofSession ordinal: UInt64) -> Int? {
        sessions.lastIndex { $0.begin.ordinal == ordinal }
    }

    /// Adds an events block. `tally` is in the order of kinds; `nextIndex` is the index after its last event.
    mutating func add(
        events header: BlockHeader, at offset: UInt64, tally: [(kind: UInt32, events: UInt64, bytes: UInt64)],
        nextIndex: UInt64
    ) {
        add(header, at: offset)
        if tally.isEmpty {
            blockKinds = nil
        } else {
            let isMany = header.flags.contains(.manyKinds)
            blockKinds?.append(isMany ? [] : tally.map { UInt32($0.events) })
        }
        for part in tally where Int(part.kind) < kinds.count {
            kinds[Int(part.kind)].events += part.events
            kinds[Int(part.kind)].bytes += part.bytes
        }
        let events = UInt64(header.eventCount)
        eventCount += events
        eventBlockCount += 1
        rawBytes += UInt64(header.rawBytes)
        minTimestamp = min(minTimestamp, header.minTimestamp)
        maxTimestamp = max(maxTimestamp, header.maxTimestamp)
        guard let position = position(ofSession: header.sessionOrdinal) else { return }
        if sessions[position].events == 0 {
            sessions[position].firstSequence = header.firstSequence
            sessions[position].minTimestamp = header.minTimestamp
            sessions[position].maxTimestamp = header.maxTimestamp
        }
        sessions[position].minTimestamp = min(sessions[position].minTimestamp, header.minTimestamp)
        sessions[position].maxTimestamp = max(sessions[position].maxTimestamp, header.maxTimestamp)
        sessions[position].events += events
        sessions[position].payloadBytes += UInt64(header.rawBytes)
        sessions[position].nextSequence = header.nextSequence
        sessions[position].nextIndex = nextIndex
    }

    /// Adds a block of another type.
    mutating func add(control header: BlockHeader, at offset: UInt64, _ record: ControlBlock.Record) {
        add(header, at: offset)
        blockKinds?.append([])
        controlBytes += Int(header.smallLength) + 64
        switch record {
        case .sessionBegin(let begin):
            sessions.append(SessionSummary(begin: begin, sequence: header.firstSequence))
        case .sessionEnd(let end):
            guard let position = position(ofSession: end.ordinal) else { return }
            sessions[position].state = end.reason == .closed ? .closed : .interrupted
            sessions[position].end = end.end
            sessions[position].nextIndex = end.nextIndex
        case .checkpoint(let checkpoint, let state):
            checkpoints.append(
                CheckpointEntry(
                    record: checkpoint, block: UInt32(entries.count - 1), stateBytes: UInt64(state.rawBytes)))
            if let position = position(ofSession: checkpoint.session) { sessions[position].checkpoints += 1 }
        case .ledger(let records): ledger += records
        case .kinds(let definitions): kinds += definitions.map { KindCount(definition: $0) }
        case .dictionary: dictionaryEntry = entries.count - 1
        case .padding: break
        }
    }

    // MARK: Sealing

    /// More bytes than footer and trailer of this segment take without filters. O(1).
    var footerBytesMax: UInt64 {
        // Ids, names, maps and notes stand in the header or in control blocks; what is not one of them has a bound of its own.
        let texts = 2 * controlBytes + Int(headerBytes)
        let lists = 24 * kinds.count + 160 * sessions.count + 32 * checkpoints.count
        let blocks = entries.count * (BlockIndexEntry.byteCount + 2) + 3 * (blockKinds?.count ?? 0)
        return UInt64(2048 + texts + lists + blocks)
    }

    /// The footer of this segment, sealed at `sealedAt`.
    func footer(sealedAt: Int64, checksum: UInt32?, filters: [UInt8] = []) -> Footer {
        var footer = Footer()
        footer.filters = filters
        footer.entries = entries
        footer.pyramid = TimePyramid(entries)
        footer.kinds = kinds
        footer.sessions = sessions
        footer.checkpoints = checkpoints
        footer.ledger = ledger
        footer.replaces = replaces
        footer.droppedRanges = droppedRanges
        footer.blockKinds = blockKinds
        if let checksum { footer.digest = Digest(storedBytesChecksum: checksum) }
        footer.summary = summary
        footer.summary.sealedAt = sealedAt
        return footer
    }

    /// The footer that an index rebuilt from the blocks makes of a segment, with what they don't say taken from the footer that stands
    /// there: the two are equal where that one is good.
    func footer(beside stored: Footer) -> Footer {
        var index = self
        index.replaces = stored.replaces
        index.droppedRanges = stored.droppedRanges
        index.headSequence = stored.summary.headSequence
        index.headCheckpoint = stored.summary.headCheckpoint
        index.isSettled = stored.summary.isSettled
        var footer = index.footer(
            sealedAt: stored.summary.sealedAt, checksum: nil, filters: stored.filters)
        footer.digest = stored.digest
        // A footer may go without.
        if stored.blockKinds == nil { footer.blockKinds = nil }
        return footer
    }

    /// The segment in figures.
    var summary: SegmentSummary {
        var summary = SegmentSummary()
        summary.ordinal = header.ordinal
        summary.generation = header.generation
        summary.isSessionActive = activeSession != nil
        summary.hasLosses = ledger.contains {
            switch $0 {
            case .gap, .drop, .retention: true
            default: false
            }
        }
        summary.baseSequence = header.baseSequence
        summary.nextSequence = nextSequence
        summary.eventCount = eventCount
        summary.minTimestamp = minTimestamp
        summary.maxTimestamp = maxTimestamp
        summary.rawBytes = rawBytes
        summary.dataBytes = dataEnd
        summary.firstEpoch = firstEpoch
        summary.lastEpoch = lastEpoch
        summary.sessionsBegun = sessionsBegun
        summary.checkpointsMade = checkpointsMade
        summary.headSequence = headSequence
        summary.headCheckpoint = headCheckpoint
        summary.isSettled = isSettled
        summary.createdAt = header.createdAt
        summary.blockCount = UInt32(entries.count)
        summary.eventBlockCount = eventBlockCount
        summary.kindCount = UInt32(kinds.count)
        summary.sessionCount = UInt32(sessions.count)
        summary.checkpointCount = UInt32(checkpoints.count)
        summary.ledgerCount = UInt32(ledger.count)
        summary.lastSession = sessions.map(\.begin.ordinal).max() ?? 0
        summary.predecessor = header.predecessor
        summary.predecessorLength = header.predecessorLength
        summary.store = header.store
        summary.segment = header.segment
        summary.compatibleFeatures = header.compatibleFeatures
        return summary
    }
}
