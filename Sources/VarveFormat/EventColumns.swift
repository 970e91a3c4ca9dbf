/// The small columns of an events block, unpacked into memory that is kept between blocks. One thread at a time.
public final class EventColumns {
    /// A sub-block of the block that is loaded.
    public struct SubBlock: Sendable {
        public var firstRow: Int
        public var eventCount: Int
        public var rawBytes: Int
        public var storedBytes: Int
        /// Of the stored bytes, from the start of the body.
        public var offset: Int
        public var method: SubBlockMethod
        public var checksum: UInt32
    }

    // SAFETY: each array has `capacity` elements, allocated by `reserve`.
    public private(set) var timestamps: UnsafeMutablePointer<Int64>
    public private(set) var lengths: UnsafeMutablePointer<UInt32>
    public private(set) var kinds: UnsafeMutablePointer<UInt32>
    private var indexStorage: UnsafeMutablePointer<UInt64>
    private var scratch: UnsafeMutablePointer<Int64>
    private var capacity = 1024
    private var subBlocks: [SubBlock] = []
    /// Rows of the block that is loaded.
    public private(set) var count = 0
    private var hasIndices = false

    public init() {
        timestamps = .allocate(capacity: capacity)
        lengths = .allocate(capacity: capacity)
        kinds = .allocate(capacity: capacity)
        indexStorage = .allocate(capacity: capacity)
        scratch = .allocate(capacity: capacity)
    }

    deinit { free() }

    private func free() {
        timestamps.deallocate()
        lengths.deallocate()
        kinds.deallocate()
        indexStorage.deallocate()
        scratch.deallocate()
    }

    private func reserve(_ count: Int) {
        guard count > capacity else { return }
        free()
        capacity = count
        timestamps = .allocate(capacity: capacity)
        lengths = .allocate(capacity: capacity)
        kinds = .allocate(capacity: capacity)
        indexStorage = .allocate(capacity: capacity)
        scratch = .allocate(capacity: capacity)
    }

    /// The rows' indices, where they are explicit.
    public var indices: UnsafeMutablePointer<UInt64>? { hasIndices ? indexStorage : nil }

    public var subBlockCount: Int { subBlocks.count }

    public func subBlock(_ number: Int) -> SubBlock { subBlocks[number] }

    /// The sub-block that holds row `row`. O(log sub-blocks).
    public func subBlock(containingRow row: Int) -> Int {
        var low = 0
        var high = subBlocks.count - 1
        while low < high {
            let middle = (low + high + 1) / 2
            if subBlocks[middle].firstRow <= row { low = middle } else { high = middle - 1 }
        }
        return low
    }

    /// Reads the small part of an events block, whose checksum was verified, and checks it against the header's figures.
    public func load(
        small: UnsafeRawBufferPointer, subBlockCount: Int, eventCount: Int, explicitIndices: Bool, rawBytes: Int,
        bodyLength: Int, kindCount: Int
    ) throws(FormatError) {
        let what = "an events block"
        guard (1...Limits.blockEventsMax).contains(eventCount), (1...Limits.subBlocksMax).contains(subBlockCount) else {
            throw .invalid(what, reason: "its counts are beyond the limits")
        }
        reserve(eventCount)
        count = 0
        hasIndices = explicitIndices
        var reader = ByteReader(small, what)
        subBlocks.removeAll(keepingCapacity: true)
        var row = 0
        var raw = 0
        var offset = small.count
        for _ in 0..<subBlockCount {
            let entry = try SubBlockDirectoryEntry(decoding: try reader.take(SubBlockDirectoryEntry.byteCount))
            guard Int(entry.eventCount) <= eventCount - row else {
                throw .invalid(what, reason: "its sub-blocks hold more events than it has")
            }
            subBlocks.append(
                SubBlock(
                    firstRow: row, eventCount: Int(entry.eventCount), rawBytes: Int(entry.rawBytes),
                    storedBytes: Int(entry.storedBytes), offset: offset, method: entry.method,
                    checksum: entry.checksum))
            row += Int(entry.eventCount)
            raw += Int(entry.rawBytes)
            offset += Int(entry.storedBytes)
        }
        guard row == eventCount, raw == rawBytes, offset == bodyLength else {
            throw .invalid(what, reason: "its sub-blocks do not add up")
        }
        try PackedColumn.decode(from: &reader, count: eventCount, into: timestamps)
        try PackedColumn.decode(from: &reader, count: eventCount, into: scratch)
        try narrow(to: lengths, eventCount, limit: Limits.payloadBytesMax, "a payload's length")
        try PackedColumn.decode(from: &reader, count: eventCount, into: scratch)
        try narrow(to: kinds, eventCount, limit: kindCount - 1, "a kind")
        if explicitIndices {
            try PackedColumn.decode(from: &reader, count: eventCount, into: scratch)
            for position in 0..<eventCount {
                indexStorage[position] = UInt64(bitPattern: scratch[position]) ^ 1 << 63
            }
        }
        try reader.finish()
        let lengths = lengths
        for subBlock in subBlocks {
            var sum = 0
            for position in subBlock.firstRow..<subBlock.firstRow + subBlock.eventCount {
                sum &+= Int(lengths[position])
            }
            guard sum == subBlock.rawBytes else {
                throw .invalid(what, reason: "the lengths of a sub-block's events do not add up")
            }
        }
        count = eventCount
    }

    private func narrow(
        to output: UnsafeMutablePointer<UInt32>, _ count: Int, limit: Int, _ what: String
    ) throws(FormatError) {
        let scratch = scratch
        var seen: UInt64 = 0
        var largest: UInt64 = 0
        for position in 0..<count {
            let value = UInt64(bitPattern: scratch[position])
            seen |= value
            largest = max(largest, value)
            output[position] = UInt32(truncatingIfNeeded: value)
        }
        guard seen < 1 << 63, Int(largest) <= limit else {
            throw .beyondLimit(what, value: largest, limit: UInt64(max(limit, 0)))
        }
    }

    /// Takes the rows of a batch that is not written yet, as one sub-block.
    public func load(rows: UnsafePointer<EventRow>, count: Int, explicitIndices: Bool) {
        reserve(count)
        hasIndices = explicitIndices
        var bytes = 0
        for position in 0..<count {
            let row = rows[position]
            timestamps[position] = row.timestamp
            lengths[position] = row.length
            kinds[position] = row.kind
            indexStorage[position] = row.index
            bytes += Int(row.length)
        }
        subBlocks.removeAll(keepingCapacity: true)
        subBlocks.append(
            SubBlock(
                firstRow: 0, eventCount: count, rawBytes: bytes, storedBytes: bytes, offset: 0, method: .raw,
                checksum: 0))
        self.count = count
    }
}
