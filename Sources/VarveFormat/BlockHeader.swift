/// What a block holds.
public enum BlockType: UInt8, Hashable, Sendable {
    case events = 1
    case checkpoint = 2
    case sessionBegin = 3
    case sessionEnd = 4
    case ledger = 5
    case padding = 6
    case dictionary = 7
    case kinds = 8

    /// For errors. Literals: putting the text together took longer than decoding most control blocks.
    var what: String {
        switch self {
        case .events: "an events block"
        case .checkpoint: "a checkpoint block"
        case .sessionBegin: "a sessionBegin block"
        case .sessionEnd: "a sessionEnd block"
        case .ledger: "a ledger block"
        case .padding: "a padding block"
        case .dictionary: "a dictionary block"
        case .kinds: "a kinds block"
        }
    }
}

/// Flags of a block.
public struct BlockFlags: OptionSet, Hashable, Sendable {
    /// The byte in the header.
    public let rawValue: UInt8
    /// The flags of a byte; decoding refuses bits that have no meaning.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Kinds beyond 63 occur: the kind set says nothing.
    public static let manyKinds = BlockFlags(rawValue: 1)
    /// A sub-block is compressed with the segment's dictionary.
    public static let usesDictionary = BlockFlags(rawValue: 2)
    /// Each event's index is stored: they do not go up by one from the first.
    public static let explicitIndices = BlockFlags(rawValue: 4)
    static let known: BlockFlags = [.manyKinds, .usesDictionary, .explicitIndices]
}

/// The header of a block. `Formats/segment.md#block-header`.
public struct BlockHeader: Hashable, Sendable {
    static let magic: StaticString = "VARVEBLK"
    static let magicNumber: UInt64 = 0x4B4C_4245_5652_4156
    static let checksumOffset = 172
    /// Bytes of a header.
    public static let byteCount = checksumOffset + 4

    /// UUID of the segment that the block stands in; all of its checksums are seeded with it.
    public var segment = UniqueID.zero
    /// From 0, and dense in the segment; all of the block's checksums are seeded with it.
    public var number: UInt32 = 0
    /// What the small part holds after its directory.
    public var type: BlockType
    /// None but in blocks of events, and `usesDictionary` in those of checkpoints.
    public var flags: BlockFlags = []
    /// Bytes of the small part and the stored sub-blocks, or of a padding block's zeros.
    public var bodyLength: UInt32 = 0
    /// Bytes of the directory of sub-blocks and of the columns, or the record, after it.
    public var smallLength: UInt32 = 0
    /// At least 1 in a block of events, 1 for a checkpoint, 2 for a dictionary, otherwise 0.
    public var subBlockCount: UInt32 = 0
    /// Events in the block, at most 65,536; 0 unless the type is `events`.
    public var eventCount: UInt32 = 0
    /// Sequence number of the first event; in other types, of the next one.
    public var firstSequence: UInt64 = 0
    /// The opening for writing, counted from 1, in which the content was recorded.
    public var epoch: UInt64 = 0
    /// The session that the content belongs to, from 1; 0: none.
    public var sessionOrdinal: UInt64 = 0
    /// Index of the first event in the session; in other types, of the next. If explicit, the first row's.
    public var firstIndex: UInt64 = 0
    /// In the store, this block included.
    public var sessionsBegun: UInt64 = 0
    /// In the store, this block included.
    public var checkpointsMade: UInt64 = 0
    /// The smallest, in nanoseconds since the Unix epoch; without events, that of the record or of writing.
    public var minTimestamp: Int64 = 0
    /// The largest, as above.
    public var maxTimestamp: Int64 = 0
    /// Bit k: kind id k occurs. All ones with `manyKinds`; 0 unless the type is `events`.
    public var kindSet: UInt64 = 0
    /// When the block was written, in nanoseconds since the Unix epoch.
    public var writtenAt: Int64 = 0
    /// First sequence number that retention keeps, as known when written.
    public var headSequence: UInt64 = 0
    /// First checkpoint ordinal that retention keeps, as known when written.
    public var headCheckpoint: UInt64 = 0
    /// Ordinal of the segment that the watermark is in, as known when written; 0: none.
    public var durableSegment: UInt64 = 0
    /// Bytes of that segment that were on stable storage, with all segments before it.
    public var durableOffset: UInt64 = 0
    /// Payload or state bytes before compression: the sum over the sub-blocks.
    public var rawBytes: UInt32 = 0
    /// Kinds defined in the segment up to and including this block.
    public var kindCount: UInt32 = 0
    /// CRC-32C of the segment's UUID, the block's number, 1, and the small part.
    public var smallChecksum: UInt32 = 0

    /// A header in which all else is zero or empty; set what differs.
    public init(type: BlockType) { self.type = type }

    /// Bytes of the block with its header and padding.
    public var blockLength: Int { (BlockHeader.byteCount + Int(bodyLength) + 7) & ~7 }

    /// The number after the block's last event. Checked when decoding.
    public var nextSequence: UInt64 { firstSequence + UInt64(eventCount) }

    /// Whether the bytes start with a block's magic. Needs 8 bytes.
    public static func hasMagic(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count >= 8 && UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self)) == magicNumber
    }

    /// The segment that a header names, as it stands there: for a scan that does not know it.
    public static func namedSegment(in bytes: UnsafeRawBufferPointer) -> UniqueID? {
        guard bytes.count >= byteCount else { return nil }
        return UniqueID(
            low: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
            high: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self)))
    }

    /// Reads and verifies a header. `number` nil accepts any (for a scan that resynchronises).
    public init(decoding bytes: UnsafeRawBufferPointer, segment: UniqueID, number: UInt32?)
        throws(FormatError)
    {
        guard BlockHeader.hasMagic(bytes) else { throw .notFound("block header") }
        guard bytes.count >= BlockHeader.byteCount else { throw .truncated("a block header") }
        let fields = UnsafeRawBufferPointer(rebasing: bytes[..<BlockHeader.byteCount])
        var reader = ByteReader(fields, "a block header")
        _ = try reader.take(8)
        self.segment = try reader.uniqueID()
        guard self.segment == segment else {
            throw .invalid("a block", reason: "it belongs to another segment (\(self.segment))")
        }
        self.number = try reader.u32()
        if let number, self.number != number {
            throw .invalid("a block", reason: "its number is \(self.number), not \(number)")
        }
        let seed = Checksum.seed(segment: segment, block: self.number, part: 0)
        try Checksum.verify(
            fields, storedAt: BlockHeader.checksumOffset, after: seed, "a block header", .blockHeaderChecksum)
        guard let type = BlockType(rawValue: try reader.u8()) else {
            throw .unknownFeatures(UInt64(fields[28]), of: "a block's type")
        }
        self.type = type
        flags = BlockFlags(rawValue: try reader.u8())
        guard flags.isSubset(of: .known) else { throw .invalid("a block", reason: "reserved flags are set") }
        try reader.takeZeros(2)
        bodyLength = try reader.u32()
        smallLength = try reader.u32()
        subBlockCount = try reader.u32()
        eventCount = try reader.u32()
        firstSequence = try reader.u64()
        epoch = try reader.u64()
        sessionOrdinal = try reader.u64()
        firstIndex = try reader.u64()
        sessionsBegun = try reader.u64()
        checkpointsMade = try reader.u64()
        minTimestamp = try reader.i64()
        maxTimestamp = try reader.i64()
        kindSet = try reader.u64()
        writtenAt = try reader.i64()
        headSequence = try reader.u64()
        headCheckpoint = try reader.u64()
        durableSegment = try reader.u64()
        durableOffset = try reader.u64()
        rawBytes = try reader.u32()
        kindCount = try reader.u32()
        smallChecksum = try reader.u32()
        try check()
    }

    private func check() throws(FormatError) {
        func limit(_ value: UInt32, _ max: Int, _ what: String) throws(FormatError) {
            guard Safeguard.blockLimits.isLeftOut || value <= max else {
                throw .beyondLimit(what, value: UInt64(value), limit: UInt64(max))
            }
        }
        try limit(number, Limits.segmentBlocksMax - 1, "a block's number")
        try limit(bodyLength, Limits.blockBodyBytesMax, "a block's body")
        try limit(smallLength, Limits.smallPartBytesMax, "a block's small part")
        try limit(subBlockCount, Limits.subBlocksMax, "a block's sub-blocks")
        try limit(eventCount, Limits.blockEventsMax, "a block's events")
        try limit(rawBytes, Limits.blockRawBytesMax, "a block's payload bytes")
        try limit(kindCount, Limits.segmentKindsMax, "a segment's kinds")
        guard
            Safeguard.blockLengths.isLeftOut
                || smallLength <= bodyLength && UInt64(subBlockCount) * 20 <= UInt64(smallLength)
        else { throw .invalid("a block", reason: "its lengths contradict each other") }
        guard minTimestamp <= maxTimestamp else {
            throw .invalid("a block", reason: "its times are reversed")
        }
        guard
            Safeguard.blockSequences.isLeftOut
                || !firstSequence.addingReportingOverflow(UInt64(eventCount)).overflow
        else { throw .invalid("a block", reason: "its sequence numbers overflow") }
        guard
            Safeguard.blockIndices.isLeftOut || flags.contains(.explicitIndices)
                || !firstIndex.addingReportingOverflow(UInt64(eventCount)).overflow
        else { throw .invalid("a block", reason: "its indices overflow") }
        guard !flags.contains(.manyKinds) || kindSet == .max else {
            throw .invalid("a block", reason: "its kind set contradicts its flags")
        }
        let subBlocks: ClosedRange<UInt32> =
            switch type {
            case .events: 1...UInt32(Limits.subBlocksMax)
            case .checkpoint: 1...1
            case .dictionary: 2...2
            default: 0...0
            }
        guard subBlocks.contains(subBlockCount), (type == .events) == (eventCount > 0) else {
            throw .invalid("a block", reason: "its counts do not fit its type")
        }
        if type == .padding {
            guard smallLength == 0 else { throw .invalid("a padding block", reason: "it has a small part") }
        }
        guard type == .events || kindSet == 0 && flags.isEmpty else {
            if type == .checkpoint, kindSet == 0, flags == .usesDictionary { return }
            throw .invalid("a block", reason: "flags are set that its type does not have")
        }
    }

    /// Writes the header, with its checksum, to the first `byteCount` bytes of `bytes`.
    public func encode(into bytes: UnsafeMutableRawBufferPointer) {
        var offset = 0
        func put<T: FixedWidthInteger>(_ value: T) {
            bytes.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
            offset += MemoryLayout<T>.size
        }
        put(BlockHeader.magicNumber)
        put(segment.low)
        put(segment.high)
        put(number)
        put(type.rawValue)
        put(flags.rawValue)
        put(UInt16(0))
        put(bodyLength)
        put(smallLength)
        put(subBlockCount)
        put(eventCount)
        put(firstSequence)
        put(epoch)
        put(sessionOrdinal)
        put(firstIndex)
        put(sessionsBegun)
        put(checkpointsMade)
        put(minTimestamp)
        put(maxTimestamp)
        put(kindSet)
        put(writtenAt)
        put(headSequence)
        put(headCheckpoint)
        put(durableSegment)
        put(durableOffset)
        put(rawBytes)
        put(kindCount)
        put(smallChecksum)
        let seed = Checksum.seed(segment: segment, block: number, part: 0)
        put(Checksum.crc(UnsafeRawBufferPointer(rebasing: bytes[..<BlockHeader.checksumOffset]), after: seed))
    }
}
