/// Where a block stands and what is in it. `Formats/segment.md#block-index-entry`.
public struct BlockIndexEntry: Hashable, Sendable {
    /// Bytes of an entry.
    public static let byteCount = 80

    /// Bytes from the start of the file to the block; a multiple of 8.
    public var offset: UInt64
    /// With header and padding.
    public var length: UInt32
    /// Decides what the small part holds; as in the block's header, like all fields below.
    public var type: BlockType
    /// None but in blocks of events, and `usesDictionary` in those of checkpoints.
    public var flags: BlockFlags
    /// 0 unless the type is `events`.
    public var eventCount: UInt32
    /// Payload or state bytes before compression.
    public var rawBytes: UInt32
    /// Sequence number of the first event; in other types, of the next one.
    public var firstSequence: UInt64
    /// The smallest, in nanoseconds since the Unix epoch; without events, that of the record or of writing.
    public var minTimestamp: Int64
    /// The largest, as above.
    public var maxTimestamp: Int64
    /// Bit k: kind id k occurs. All ones with `manyKinds`; 0 unless the type is `events`.
    public var kindSet: UInt64
    /// The session that the content belongs to, from 1; 0: none.
    public var sessionOrdinal: UInt64
    /// Index of the first event in the session; in other types, of the next one.
    public var firstIndex: UInt64
    /// Bytes to read after the header to have directory and columns, or the record.
    public var smallLength: UInt32
    /// How many entries the directory in the small part has.
    public var subBlockCount: UInt32

    /// The entry of a block with this header that starts `offset` bytes into the file.
    public init(_ header: BlockHeader, offset: UInt64) {
        self.offset = offset
        length = UInt32(header.blockLength)
        type = header.type
        flags = header.flags
        eventCount = header.eventCount
        rawBytes = header.rawBytes
        firstSequence = header.firstSequence
        minTimestamp = header.minTimestamp
        maxTimestamp = header.maxTimestamp
        kindSet = header.kindSet
        sessionOrdinal = header.sessionOrdinal
        firstIndex = header.firstIndex
        smallLength = header.smallLength
        subBlockCount = header.subBlockCount
    }

    /// The number after the last event. Checked when decoding.
    @inline(__always)
    public var nextSequence: UInt64 { firstSequence &+ UInt64(eventCount) }

    /// Reads an entry. Throws where it is cut short, its type unknown, or its fields contradict each other.
    public init(from reader: inout ByteReader) throws(FormatError) {
        let what = "a block index entry"
        offset = try reader.u64()
        length = try reader.u32()
        guard let type = BlockType(rawValue: try reader.u8()) else {
            throw .unknownFeatures(0, of: what)
        }
        self.type = type
        flags = BlockFlags(rawValue: try reader.u8())
        guard flags.isSubset(of: .known) else { throw .invalid(what, reason: "reserved flags are set") }
        try reader.takeZeros(2)
        eventCount = try reader.u32()
        rawBytes = try reader.u32()
        firstSequence = try reader.u64()
        minTimestamp = try reader.i64()
        maxTimestamp = try reader.i64()
        kindSet = try reader.u64()
        sessionOrdinal = try reader.u64()
        firstIndex = try reader.u64()
        smallLength = try reader.u32()
        subBlockCount = try reader.u32()
        guard Safeguard.indexEntryFields.isLeftOut || fieldsFit else {
            throw .invalid(what, reason: "its fields contradict each other or a limit")
        }
    }

    private var fieldsFit: Bool {
        eventCount <= Limits.blockEventsMax && rawBytes <= Limits.blockRawBytesMax
            && smallLength <= Limits.smallPartBytesMax && subBlockCount <= Limits.subBlocksMax
            && offset % 8 == 0 && length % 8 == 0
            && Int(length) >= BlockHeader.byteCount + Int(smallLength)
            && Int(length) <= BlockHeader.byteCount + Limits.blockBodyBytesMax + 8
            && minTimestamp <= maxTimestamp && (type == .events) == (eventCount > 0)
            && !firstSequence.addingReportingOverflow(UInt64(eventCount)).overflow
    }

    /// Appends the entry: `byteCount` bytes.
    public func encode(to writer: inout ByteWriter) {
        writer.put(offset)
        writer.put(length)
        writer.put(type.rawValue)
        writer.put(flags.rawValue)
        writer.put(UInt16(0))
        writer.put(eventCount)
        writer.put(rawBytes)
        writer.put(firstSequence)
        writer.put(minTimestamp)
        writer.put(maxTimestamp)
        writer.put(kindSet)
        writer.put(sessionOrdinal)
        writer.put(firstIndex)
        writer.put(smallLength)
        writer.put(subBlockCount)
    }
}
