/// The decoded columns of an events block; reuses its memory from one block to the next. One thread at a
/// time.
public final class EventColumns {
    /// Where a sub-block's events and bytes are.
    public struct SubBlock {
        /// The first event's position in the block.
        public var firstRow: Int
        /// Events in it.
        public var eventCount: Int
        /// Bytes before compression.
        public var rawBytes: Int
        /// Bytes in the file.
        public var storedBytes: Int
        /// Of the stored bytes, from the start of the block's body.
        public var offset: Int
        /// How the bytes are stored.
        public var method: SubBlockMethod
        /// Seeded checksum of the stored bytes.
        public var checksum: UInt32
    }

    private static let what = "an events block"

    /// Events; the arrays below hold as many values, until the next load and as long as this object lives.
    public private(set) var count = 0
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    public private(set) var timestamps: UnsafeMutablePointer<Int64>
    /// Bytes of each payload.
    public private(set) var lengths: UnsafeMutablePointer<UInt32>
    /// Each event's kind id in the segment.
    public private(set) var kinds: UnsafeMutablePointer<UInt32>
    /// Each event's index in its session; nil when they go up by one from the block's first.
    public private(set) var indices: UnsafeMutablePointer<UInt64>?
    private var indexRoom: UnsafeMutablePointer<UInt64>?
    private var capacity = 1 << 10
    private var indexCapacity = 0
    private var subBlocks: [SubBlock] = []

    /// No events.
    public init() {
        timestamps = .allocate(capacity: capacity)
        lengths = .allocate(capacity: capacity)
        kinds = .allocate(capacity: capacity)
    }

    deinit {
        timestamps.deallocate()
        lengths.deallocate()
        kinds.deallocate()
        indexRoom?.deallocate()
    }

    /// Sub-blocks.
    public var subBlockCount: Int { subBlocks.count }

    /// The sub-block `number`, below `subBlockCount`.
    public func subBlock(_ number: Int) -> SubBlock { subBlocks[number] }

    /// The number of the sub-block that holds the event at `row`, below `count`. O(log of sub-blocks).
    public func subBlock(containingRow row: Int) -> Int {
        precondition(row >= 0 && row < count, "there is no such row")
        // The last one that starts at or before the row: those without events start where the next one does.
        var (low, high) = (0, subBlocks.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if subBlocks[middle].firstRow <= row { low = middle } else { high = middle }
        }
        return low
    }

    /// Decodes a block's small part, whose checksum the caller has verified, replacing what was held.
    ///
    /// The other arguments are the header's fields; `kindCount` is the number of kinds defined for the block.
    /// `wanted` are the rows that will be looked at; nil: all. Of others there are no values, but for the lengths of those in the
    /// same sub-blocks.
    ///
    /// Throws `FormatError` unless everything that is decoded agrees with everything; then nothing is held. O(events).
    public func load(
        small: UnsafeRawBufferPointer, subBlockCount: Int, eventCount: Int, explicitIndices: Bool,
        rawBytes: Int,
        bodyLength: Int, kindCount: Int, wanted: Range<Int>? = nil
    ) throws(FormatError) {
        clear()
        try Self.check(small.count, "a block's small part", Limits.smallPartBytesMax)
        try Self.check(subBlockCount, "a block's count of sub-blocks", Limits.subBlocksMax)
        try Self.check(eventCount, "a block's count of events", Limits.blockEventsMax)
        try Self.check(rawBytes, "a block's payload", Limits.blockRawBytesMax)
        try Self.check(bodyLength, "a block's body", Limits.blockBodyBytesMax)
        try Self.check(kindCount, "a segment's count of kinds", Limits.segmentKindsMax)
        guard eventCount > 0, kindCount > 0 else {
            throw .invalid(Self.what, reason: "it has no events or no kinds")
        }
        var reader = ByteReader(small, Self.what)
        let directory = try reader.take(subBlockCount * SubBlockDirectoryEntry.byteCount)
        reserve(eventCount, explicitIndices: explicitIndices)
        var loaded = false
        defer { if !loaded { clear() } }
        try loadDirectory(
            directory, eventCount: eventCount, rawBytes: rawBytes, offset: small.count, bodyLength: bodyLength
        )
        count = eventCount
        let rows = wanted?.clamped(to: 0..<eventCount) ?? 0..<eventCount
        // Where a payload is, the lengths of those before it in its sub-block tell.
        let parts = wanted == nil ? 0..<subBlockCount : self.parts(of: rows)
        var measured = rows
        if let first = subBlocks[parts].first, let last = subBlocks[parts].last {
            measured = first.firstRow..<last.firstRow + last.eventCount
        }
        try PackedColumn.decode(
            &reader, count: eventCount, range: .min ... .max, into: timestamps, rows: rows)
        try PackedColumn.decode(
            &reader, count: eventCount, range: 0...Int64(Limits.payloadBytesMax), into: lengths,
            rows: measured)
        try PackedColumn.decode(
            &reader, count: eventCount, range: 0...Int64(kindCount - 1), into: kinds, rows: rows)
        if explicitIndices, let indexRoom {
            try PackedColumn.decode(
                &reader, count: eventCount, range: .min ... .max, into: indexRoom, rows: rows)
            indices = indexRoom
        }
        try reader.finish()
        try checkLengths(of: subBlocks[parts])
        loaded = true
    }

    /// The same, with the fields of a block's header, whose kinds the caller has found to be defined.
    public func load(
        _ small: UnsafeRawBufferPointer, of header: BlockHeader, wanted: Range<Int>? = nil
    ) throws(FormatError) {
        try load(
            small: small, subBlockCount: Int(header.subBlockCount), eventCount: Int(header.eventCount),
            explicitIndices: header.flags.contains(.explicitIndices), rawBytes: Int(header.rawBytes),
            bodyLength: Int(header.bodyLength), kindCount: Int(header.kindCount), wanted: wanted)
    }

    /// Copies rows that are only in memory, as one raw sub-block at offset 0, replacing what was held.
    /// O(count).
    public func load(rows: UnsafePointer<EventRow>, count: Int, explicitIndices: Bool) {
        clear()
        reserve(count, explicitIndices: explicitIndices)
        let (timestamps, lengths, kinds) = (timestamps, lengths, kinds)
        var rawBytes = 0
        for position in 0..<count {
            let row = rows[position]
            timestamps[position] = row.timestamp
            lengths[position] = row.length
            kinds[position] = row.kind
            rawBytes &+= Int(row.length)
        }
        if explicitIndices, let indexRoom {
            for position in 0..<count { indexRoom[position] = rows[position].index }
            indices = indexRoom
        }
        subBlocks.append(
            SubBlock(
                firstRow: 0, eventCount: count, rawBytes: rawBytes, storedBytes: rawBytes, offset: 0,
                method: .raw,
                checksum: 0))
        self.count = count
    }

    private static func check(_ value: Int, _ what: String, _ limit: Int) throws(FormatError) {
        guard value >= 0, value <= limit else {
            throw .beyondLimit(what, value: UInt64(clamping: value), limit: UInt64(limit))
        }
    }

    private func loadDirectory(
        _ directory: UnsafeRawBufferPointer, eventCount: Int, rawBytes: Int, offset: Int, bodyLength: Int
    ) throws(FormatError) {
        let size = SubBlockDirectoryEntry.byteCount
        subBlocks.reserveCapacity(directory.count / size)
        // At most 65,536 numbers of 32 bits: the sums can't overflow.
        var (row, raw, offset) = (0, 0, offset)
        for start in stride(from: 0, to: directory.count, by: size) {
            let entry = try SubBlockDirectoryEntry(
                decoding: UnsafeRawBufferPointer(rebasing: directory[start..<start + size]))
            subBlocks.append(
                SubBlock(
                    firstRow: row, eventCount: Int(entry.eventCount), rawBytes: Int(entry.rawBytes),
                    storedBytes: Int(entry.storedBytes), offset: offset, method: entry.method,
                    checksum: entry.checksum))
            row += Int(entry.eventCount)
            raw += Int(entry.rawBytes)
            offset += Int(entry.storedBytes)
        }
        guard Safeguard.directorySums.isLeftOut || row == eventCount else {
            throw .invalid(Self.what, reason: "its sub-blocks' events don't add up")
        }
        guard Safeguard.directorySums.isLeftOut || raw == rawBytes else {
            throw .invalid(Self.what, reason: "its sub-blocks' payloads don't add up")
        }
        guard Safeguard.directorySums.isLeftOut || offset == bodyLength else {
            throw .invalid(Self.what, reason: "its sub-blocks' stored lengths don't add up")
        }
    }

    /// The sub-blocks that hold rows.
    private func parts(of rows: Range<Int>) -> Range<Int> {
        guard !rows.isEmpty else { return 0..<0 }
        return subBlock(containingRow: rows.lowerBound)..<subBlock(containingRow: rows.upperBound - 1) + 1
    }

    /// That the lengths of each sub-block's events add up to its payload. The directory was checked before,
    /// so the sub-blocks' rows are all there.
    private func checkLengths(of subBlocks: ArraySlice<SubBlock>) throws(FormatError) {
        let lengths = lengths
        for subBlock in subBlocks {
            // At most 65,536 lengths of 64 MiB.
            var sum: UInt64 = 0
            for row in subBlock.firstRow..<subBlock.firstRow + subBlock.eventCount {
                sum &+= UInt64(lengths[row])
            }
            guard Safeguard.rowLengths.isLeftOut || sum == UInt64(subBlock.rawBytes) else {
                throw .invalid(Self.what, reason: "lengths don't add up to their sub-block's")
            }
        }
    }

    private func clear() {
        count = 0
        indices = nil
        subBlocks.removeAll(keepingCapacity: true)
    }

    private func reserve(_ count: Int, explicitIndices: Bool) {
        if count > capacity {
            capacity = count + count / 4
            timestamps.deallocate()
            lengths.deallocate()
            kinds.deallocate()
            timestamps = .allocate(capacity: capacity)
            lengths = .allocate(capacity: capacity)
            kinds = .allocate(capacity: capacity)
        }
        if explicitIndices, count > indexCapacity {
            indexRoom?.deallocate()
            indexCapacity = count + count / 4
            indexRoom = .allocate(capacity: indexCapacity)
        }
    }
}
