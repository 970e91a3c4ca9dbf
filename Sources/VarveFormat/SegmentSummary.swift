/// A sealed segment in figures. `Formats/segment.md#summary`.
public struct SegmentSummary: Hashable, Sendable {
    /// Bytes of the section's body.
    public static let byteCount = 232

    /// Place in the store's log, from 1.
    public var ordinal: UInt64 = 0
    /// From 0; one more whenever the segment is sealed anew.
    public var generation: UInt32 = 0
    /// A session is active at the end.
    public var isSessionActive = false
    /// There are gap or drop records.
    public var hasLosses = false
    /// Compaction has written it: compressed well, with filters. It is not written anew to become smaller.
    public var isSettled = false
    /// Sequence number of the first event that can stand in the segment.
    public var baseSequence: UInt64 = 0
    /// Sequence number after the last event.
    public var nextSequence: UInt64 = 0
    /// Events that stand in the segment; less than its range of numbers where there are gaps.
    public var eventCount: UInt64 = 0
    /// Of the events, in nanoseconds since the Unix epoch; 2^63 - 1 when there is none.
    public var minTimestamp: Int64 = .max
    /// Of the events, in nanoseconds since the Unix epoch; -2^63 when there is none.
    public var maxTimestamp: Int64 = .min
    /// Payload bytes before compression.
    public var rawBytes: UInt64 = 0
    /// The offset of the footer.
    public var dataBytes: UInt64 = 0
    /// The earliest opening for writing, counted from 1, that the segment has something of.
    public var firstEpoch: UInt64 = 0
    /// The latest opening for writing that the segment has something of.
    public var lastEpoch: UInt64 = 0
    /// In the store, up to the end of the segment.
    public var sessionsBegun: UInt64 = 0
    /// In the store, up to the end of the segment.
    public var checkpointsMade: UInt64 = 0
    /// First sequence number that retention keeps, as known when sealed.
    public var headSequence: UInt64 = 0
    /// First checkpoint ordinal that retention keeps, as known when sealed.
    public var headCheckpoint: UInt64 = 0
    /// When the segment was started, in nanoseconds since the Unix epoch.
    public var createdAt: Int64 = 0
    /// When the footer was made, in nanoseconds since the Unix epoch.
    public var sealedAt: Int64 = 0
    /// Blocks of all types.
    public var blockCount: UInt32 = 0
    /// Blocks that hold events.
    public var eventBlockCount: UInt32 = 0
    /// Kinds defined in the segment, whether or not it has events of them.
    public var kindCount: UInt32 = 0
    /// Sessions that occur in the segment, those continued from an earlier one included.
    public var sessionCount: UInt32 = 0
    /// Checkpoints made in the segment.
    public var checkpointCount: UInt32 = 0
    /// Ledger records in all of the segment's ledger blocks.
    public var ledgerCount: UInt32 = 0
    /// Ordinal of the last session that occurs; 0: none.
    public var lastSession: UInt64 = 0
    /// UUID of the segment before this one in the log; zeros: none.
    public var predecessor = UniqueID.zero
    /// Bytes of the predecessor that belong to the log, its footer not counted.
    public var predecessorLength: UInt64 = 0
    /// UUID of the store that the segment belongs to.
    public var store = UniqueID.zero
    /// UUID of the segment; a resealed one keeps it.
    public var segment = UniqueID.zero
    /// Bits of the header that a reader need not know; none is assigned in this version.
    public var compatibleFeatures: UInt64 = 0

    /// A summary of no events, to be filled in.
    public init() {}

    /// Reads the section's body. Throws where it is cut short, or its fields contradict each other.
    public init(from reader: inout ByteReader) throws(FormatError) {
        ordinal = try reader.u64()
        generation = try reader.u32()
        let flags = try reader.u32()
        guard flags <= 7 else { throw .invalid("a summary", reason: "reserved flags are set") }
        isSessionActive = flags & 1 != 0
        hasLosses = flags & 2 != 0
        isSettled = flags & 4 != 0
        baseSequence = try reader.u64()
        nextSequence = try reader.u64()
        eventCount = try reader.u64()
        minTimestamp = try reader.i64()
        maxTimestamp = try reader.i64()
        rawBytes = try reader.u64()
        dataBytes = try reader.u64()
        firstEpoch = try reader.u64()
        lastEpoch = try reader.u64()
        sessionsBegun = try reader.u64()
        checkpointsMade = try reader.u64()
        headSequence = try reader.u64()
        headCheckpoint = try reader.u64()
        createdAt = try reader.i64()
        sealedAt = try reader.i64()
        blockCount = try reader.u32()
        eventBlockCount = try reader.u32()
        kindCount = try reader.u32()
        sessionCount = try reader.u32()
        checkpointCount = try reader.u32()
        ledgerCount = try reader.u32()
        lastSession = try reader.u64()
        predecessor = try reader.uniqueID()
        predecessorLength = try reader.u64()
        store = try reader.uniqueID()
        segment = try reader.uniqueID()
        compatibleFeatures = try reader.u64()
        guard baseSequence <= nextSequence, eventCount <= nextSequence - baseSequence,
            eventCount == 0 || minTimestamp <= maxTimestamp, ordinal > 0
        else { throw .invalid("a summary", reason: "its fields contradict each other") }
    }

    /// Appends the section's body: `byteCount` bytes.
    public func encode(to writer: inout ByteWriter) {
        writer.put(ordinal)
        writer.put(generation)
        writer.put(
            UInt32(isSessionActive ? 1 : 0) | UInt32(hasLosses ? 2 : 0) | UInt32(isSettled ? 4 : 0))
        writer.put(baseSequence)
        writer.put(nextSequence)
        writer.put(eventCount)
        writer.put(minTimestamp)
        writer.put(maxTimestamp)
        for value in [rawBytes, dataBytes, firstEpoch, lastEpoch, sessionsBegun, checkpointsMade] {
            writer.put(value)
        }
        writer.put(headSequence)
        writer.put(headCheckpoint)
        writer.put(createdAt)
        writer.put(sealedAt)
        for value in [blockCount, eventBlockCount, kindCount, sessionCount, checkpointCount, ledgerCount] {
            writer.put(value)
        }
        writer.put(lastSession)
        writer.put(predecessor)
        writer.put(predecessorLength)
        writer.put(store)
        writer.put(segment)
        writer.put(compatibleFeatures)
    }

    /// The trailer and summary of a sealed segment, from the last bytes of its file (4 KiB hold both).
    public static func locate(inLast bytes: UnsafeRawBufferPointer, fileLength: UInt64)
        throws(FormatError) -> (trailer: Trailer, summary: SegmentSummary)
    {
        let trailer = try Trailer(decodingEndOf: bytes, fileLength: fileLength)
        let start = fileLength - UInt64(bytes.count)
        guard
            Safeguard.summaryPlace.isLeftOut
                || trailer.summaryOffset >= start
                    && trailer.summaryOffset <= fileLength - UInt64(Trailer.byteCount)
        else { throw .truncated("a summary") }
        let range = Int(trailer.summaryOffset - start)..<(bytes.count - Trailer.byteCount)
        var reader = ByteReader(UnsafeRawBufferPointer(rebasing: bytes[range]), "a summary")
        let section = try Section(from: &reader, owner: trailer.segment)
        try reader.finish()
        guard section.type == SectionType.summary else { throw .notFound("summary") }
        var body = ByteReader(section.body, "a summary")
        let summary = try SegmentSummary(from: &body)
        guard summary.ordinal == trailer.ordinal, summary.segment == trailer.segment,
            summary.store == trailer.store, summary.dataBytes == trailer.footerOffset
        else { throw .invalid("a summary", reason: "it contradicts the trailer") }
        return (trailer, summary)
    }
}
