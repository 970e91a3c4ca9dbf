/// A kind and how much there is of it in a segment. `Formats/segment.md#footer`.
public struct KindCount: Hashable, Sendable {
    /// Name, encoding and metadata; the kind's id in the segment is its position in the list.
    public var definition: KindDefinition
    /// Of the kind, in the segment.
    public var events: UInt64
    /// Of those events' payloads, before compression.
    public var bytes: UInt64

    /// A kind of which there is nothing yet, unless the counts say otherwise.
    public init(definition: KindDefinition, events: UInt64 = 0, bytes: UInt64 = 0) {
        self.definition = definition
        self.events = events
        self.bytes = bytes
    }

    static func readAll(from reader: inout ByteReader) throws(FormatError) -> [KindCount] {
        let count = try reader.count(itemBytes: 6, max: Limits.segmentKindsMax)
        var kinds: [KindCount] = []
        for _ in 0..<count {
            let definition = try KindDefinition(from: &reader)
            let events = try reader.varint()
            kinds.append(KindCount(definition: definition, events: events, bytes: try reader.varint()))
        }
        return kinds
    }

    static func putAll(_ kinds: [KindCount], to writer: inout ByteWriter) {
        writer.putVarint(UInt64(kinds.count))
        for kind in kinds {
            kind.definition.encode(to: &writer)
            writer.putVarint(kind.events)
            writer.putVarint(kind.bytes)
        }
    }
}

/// A checkpoint and where it stands in a segment.
public struct CheckpointEntry: Hashable, Sendable {
    /// As in the checkpoint's block.
    public var record: CheckpointRecord
    /// Number of its block.
    public var block: UInt32
    /// Bytes of its state before compression.
    public var stateBytes: UInt64

    /// Takes the fields as given: reading a whole footer is what checks them.
    public init(record: CheckpointRecord, block: UInt32, stateBytes: UInt64) {
        self.record = record
        self.block = block
        self.stateBytes = stateBytes
    }

    static func readAll(from reader: inout ByteReader) throws(FormatError) -> [CheckpointEntry] {
        let count = try reader.count(itemBytes: 9, max: Limits.segmentBlocksMax)
        var entries: [CheckpointEntry] = []
        for _ in 0..<count {
            let record = try CheckpointRecord(from: &reader)
            let block = try reader.varint()
            guard block < UInt64(Limits.segmentBlocksMax) else {
                throw .beyondLimit(
                    "a checkpoint's block", value: block, limit: UInt64(Limits.segmentBlocksMax))
            }
            entries.append(
                CheckpointEntry(record: record, block: UInt32(block), stateBytes: try reader.varint()))
        }
        return entries
    }

    static func putAll(_ entries: [CheckpointEntry], to writer: inout ByteWriter) {
        writer.putVarint(UInt64(entries.count))
        for entry in entries {
            entry.record.encode(to: &writer)
            writer.putVarint(UInt64(entry.block))
            writer.putVarint(entry.stateBytes)
        }
    }
}

/// A segment that another one replaces.
public struct ReplacedSegment: Hashable, Sendable {
    /// UUID of the segment that a reader hides.
    public var segment: UniqueID
    /// Its place in the store's log, from 1.
    public var ordinal: UInt64
    /// Of the file that was replaced, from 0.
    public var generation: UInt32

    /// Names a segment by what stands in its header.
    public init(segment: UniqueID, ordinal: UInt64, generation: UInt32) {
        self.segment = segment
        self.ordinal = ordinal
        self.generation = generation
    }

    static func readAll(from reader: inout ByteReader) throws(FormatError) -> [ReplacedSegment] {
        let count = try reader.count(itemBytes: 28)
        var segments: [ReplacedSegment] = []
        for _ in 0..<count {
            let segment = try reader.uniqueID()
            let ordinal = try reader.u64()
            segments.append(ReplacedSegment(segment: segment, ordinal: ordinal, generation: try reader.u32()))
        }
        return segments
    }

    static func putAll(_ segments: [ReplacedSegment], to writer: inout ByteWriter) {
        writer.putVarint(UInt64(segments.count))
        for segment in segments {
            writer.put(segment.segment)
            writer.put(segment.ordinal)
            writer.put(segment.generation)
        }
    }
}

/// Sequence numbers that a segment no longer holds.
public struct DroppedRange: Hashable, Sendable {
    /// Smallest sequence number that is gone.
    public var first: UInt64
    /// Largest sequence number that is gone, itself included.
    public var last: UInt64
    /// Of a gap, or `retention`.
    public var reason: LedgerRecord.GapReason

    /// Takes the fields as given: that the range is not reversed is checked when a footer is read.
    public init(first: UInt64, last: UInt64, reason: LedgerRecord.GapReason) {
        self.first = first
        self.last = last
        self.reason = reason
    }

    static func readAll(from reader: inout ByteReader) throws(FormatError) -> [DroppedRange] {
        let count = try reader.count(itemBytes: 3)
        var ranges: [DroppedRange] = []
        for _ in 0..<count {
            let first = try reader.varint()
            let last = try reader.varint()
            guard first <= last, let reason = LedgerRecord.GapReason(rawValue: try reader.u8()) else {
                throw .invalid("a dropped range", reason: "it is reversed, or its reason unknown")
            }
            ranges.append(DroppedRange(first: first, last: last, reason: reason))
        }
        return ranges
    }

    static func putAll(_ ranges: [DroppedRange], to writer: inout ByteWriter) {
        writer.putVarint(UInt64(ranges.count))
        for range in ranges {
            writer.putVarint(range.first)
            writer.putVarint(range.last)
            writer.put(range.reason.rawValue)
        }
    }
}

/// A digest over a segment, for evidence.
public struct Digest: Hashable, Sendable {
    /// 0 none, 1 CRC-32C.
    public var algorithm: UInt8
    /// 1 stored bytes, 2 logical content.
    public var scope: UInt8
    /// The algorithm's result: none, or four bytes of CRC-32C, the least significant first.
    public var bytes: [UInt8]

    /// No digest, unless the arguments say otherwise; they are taken as given.
    public init(algorithm: UInt8 = 0, scope: UInt8 = 1, bytes: [UInt8] = []) {
        self.algorithm = algorithm
        self.scope = scope
        self.bytes = bytes
    }

    /// CRC-32C over the file's bytes before the footer.
    public init(storedBytesChecksum: UInt32) {
        self.init(
            algorithm: 1, scope: 1,
            bytes: (0..<4).map { UInt8(truncatingIfNeeded: storedBytesChecksum >> ($0 * 8)) })
    }

    init(from reader: inout ByteReader) throws(FormatError) {
        algorithm = try reader.u8()
        scope = try reader.u8()
        try reader.takeZeros(2)
        let length = try reader.u32()
        guard algorithm <= 1, scope == 1 || scope == 2, length == (algorithm == 0 ? 0 : 4) else {
            throw .invalid("a digest", reason: "its algorithm or scope is unknown, or its length \(length)")
        }
        bytes = Array(try reader.take(Int(length)))
    }

    func encode(to writer: inout ByteWriter) {
        writer.put(algorithm)
        writer.put(scope)
        writer.put(UInt16(0))
        writer.put(UInt32(bytes.count))
        writer.putRaw(bytes)
    }
}
