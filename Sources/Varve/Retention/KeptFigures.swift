internal import VarveFormat

/// What retention keeps of events that it does not keep all of, in figures.
struct KeptFigures {
    var events: UInt64 = 0
    /// Of the payloads.
    var bytes: UInt64 = 0
    var times: ClosedRange<Int64>?
    /// The first and the last number.
    var sequences: ClosedRange<UInt64>?
    /// By the kinds' ids in the segment; empty where they were not asked for.
    var kinds: [(events: UInt64, bytes: UInt64)] = []

    private mutating func add(_ parts: [Range<UInt64>]) {
        guard let first = parts.first, let last = parts.last else { return }
        events &+= parts.reduce(0) { $0 &+ ($1.upperBound - $1.lowerBound) }
        sequences.widen(to: first.lowerBound...last.upperBound - 1)
    }

    fileprivate mutating func add(_ row: EventRow) {
        bytes &+= UInt64(row.length)
        times.widen(to: row.timestamp...row.timestamp)
        let kind = Int(row.kind)
        if kind < kinds.count {
            kinds[kind].events &+= 1
            kinds[kind].bytes &+= UInt64(row.length)
        }
    }

    /// What is kept of a block. The small column is read only where the index does not say it; where that can't be read, the events are
    /// counted, with the times of the block, and without their bytes and kinds.
    fileprivate mutating func add(
        _ entry: BlockIndexEntry, of segment: LoadedSegment, _ retained: Retained, _ columns: EventColumns,
        _ scratch: ScratchBuffer
    ) {
        let parts = retained.parts(of: entry.sequences, session: entry.sessionOrdinal)
        guard !parts.isEmpty else { return }
        add(parts)
        let isOneKind = !entry.flags.contains(.manyKinds) && entry.kindSet.nonzeroBitCount == 1
        if parts == [entry.sequences], isOneKind || kinds.isEmpty {
            bytes &+= UInt64(entry.rawBytes)
            times.widen(to: entry.minTimestamp...entry.maxTimestamp)
            let kind = entry.kindSet.trailingZeroBitCount
            if kind < kinds.count {
                kinds[kind].events &+= UInt64(entry.eventCount)
                kinds[kind].bytes &+= UInt64(entry.rawBytes)
            }
            return
        }
        do {
            let length = BlockHeader.byteCount + Int(entry.smallLength)
            let bytes = try segment.bytes(at: entry.offset, count: length, scratch)
            let (header, small) = try segment.verified(bytes, entry)
            try columns.load(small, of: header)
        } catch {
            return times.widen(to: entry.minTimestamp...entry.maxTimestamp)
        }
        for part in parts {
            let (first, end) = (
                Int(part.lowerBound - entry.firstSequence), Int(part.upperBound - entry.firstSequence)
            )
            for row in first..<min(end, columns.count) {
                add(
                    EventRow(
                        timestamp: columns.timestamps[row], index: 0, length: columns.lengths[row],
                        kind: columns.kinds[row]))
            }
        }
    }

    /// What is kept of a batch.
    init(_ batch: Batch, _ retained: Retained, kindCount: Int = 0) {
        kinds = Array(repeating: (0, 0), count: kindCount)
        let first = batch.start.nextSequence
        for rows in batch.keptRows(by: retained) {
            add([first &+ UInt64(rows.lowerBound)..<first &+ UInt64(rows.upperBound)])
            for row in rows { add(batch.rows[row]) }
        }
    }

    fileprivate init(kindCount: Int) { kinds = Array(repeating: (0, 0), count: kindCount) }
}

extension LoadedSegment {
    /// What is kept of the segment's events, or of those of a session whose blocks begin in a range. Reads a block or two; where kinds
    /// are asked for, blocks of several kinds too.
    func keptFigures(
        by retained: Retained, session: UInt64? = nil, in range: Range<UInt64> = 0..<UInt64.max,
        withKinds: Bool = false, leavingOut excluded: Set<UInt64> = []
    ) -> KeptFigures {
        var figures = KeptFigures(kindCount: withKinds ? index.kinds.count : 0)
        let columns = EventColumns()
        let scratch = ScratchBuffer()
        for entry in index.entries where entry.type == .events && range.contains(entry.firstSequence) {
            guard session == nil || session == entry.sessionOrdinal,
                !excluded.contains(entry.sessionOrdinal)
            else { continue }
            figures.add(entry, of: self, retained, columns, scratch)
        }
        return figures
    }
}

extension Retained {
    func hidesAll(_ entry: BlockIndexEntry) -> Bool {
        parts(of: entry.sequences, session: entry.sessionOrdinal).isEmpty
    }

    func hidesPart(of entry: BlockIndexEntry) -> Bool {
        hidesPart(of: entry.sequences, session: entry.sessionOrdinal)
    }
}

extension Batch {
    /// The rows that are kept, ascending and apart from each other.
    func keptRows(by retained: Retained) -> [Range<Int>] {
        retained.rows(from: start.nextSequence, count: count, session: start.sessionOrdinal)
    }
}
