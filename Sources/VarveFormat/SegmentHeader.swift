/// The header of a segment. `Formats/segment.md#segment-header`.
public struct SegmentHeader: Hashable, Sendable {
    static let magic: StaticString = "VARVESEG"
    static let checksumOffset = 148
    /// Bytes before the sections.
    public static let fixedBytes = checksumOffset + 4

    /// Bits that a reader must know to read the segment; none is assigned in this version.
    public var incompatibleFeatures: UInt64 = 0
    /// Bits that a reader need not know; none is assigned in this version.
    public var compatibleFeatures: UInt64 = 0
    /// UUID of the store that the segment belongs to.
    public var store: UniqueID
    /// UUID of the segment; a resealed one keeps it.
    public var segment: UniqueID
    /// UUID of the segment before this one in the log; zeros: none.
    public var predecessor = UniqueID.zero
    /// Bytes of the predecessor that belong to the log.
    public var predecessorLength: UInt64 = 0
    /// Place in the store's log, from 1.
    public var ordinal: UInt64
    /// From 0; one more whenever the segment is sealed anew.
    public var generation: UInt32 = 0
    /// Algorithm of the digest in the footer: 0 none, 1 CRC-32C.
    public var digestAlgorithm: UInt8 = 0
    /// The opening for writing, counted from 1, in which the segment was started.
    public var epoch: UInt64
    /// Sequence number of the first event that can stand in the segment.
    public var baseSequence: UInt64 = 0
    /// When the segment was started, in nanoseconds since the Unix epoch.
    public var createdAt: Int64
    /// In the store, before this segment.
    public var sessionsBegun: UInt64 = 0
    /// In the store, before this segment.
    public var checkpointsMade: UInt64 = 0
    /// What the writer aimed at when it made the blocks; each block says its own sizes.
    public var settings: EncodingSettings
    /// nil: the section is absent; the same below.
    public var kinds: [KindDefinition]?
    /// The one active at the start, marked as continued, with its next index as first index.
    public var session: SessionBegin?
    /// The retention in force when the segment was started.
    public var limits: RetentionLimits?
    /// What was pinned when the segment was started, ascending by session and first number.
    public var pins: [Pin]?

    /// A first segment of generation 0 without optional sections; set what differs.
    public init(
        store: UniqueID, segment: UniqueID, ordinal: UInt64, epoch: UInt64, createdAt: Int64,
        settings: EncodingSettings
    ) {
        self.store = store
        self.segment = segment
        self.ordinal = ordinal
        self.epoch = epoch
        self.createdAt = createdAt
        self.settings = settings
    }

    /// The header with its sections; a multiple of 8 bytes.
    public func encode() -> [UInt8] {
        var sections = ByteWriter()
        var count: UInt32 = 1
        sections.putSection(SectionType.settings, owner: segment) { body in
            body.put(settings.blockBytes)
            body.put(settings.subBlockBytes)
            body.put(settings.level)
            body.put(UInt32(0))
        }
        if let kinds {
            count += 1
            sections.putSection(SectionType.kinds, owner: segment) { $0.put(kinds) }
        }
        if let session {
            count += 1
            sections.putSection(SectionType.session, owner: segment) { session.encode(to: &$0) }
        }
        if let limits {
            count += 1
            sections.putSection(SectionType.limits, owner: segment) { limits.encode(to: &$0) }
        }
        if let pins {
            count += 1
            sections.putSection(SectionType.pins, owner: segment) { body in
                body.putVarint(UInt64(pins.count))
                for pin in pins { pin.encode(to: &body) }
            }
        }
        var writer = ByteWriter()
        writer.putMagic(SegmentHeader.magic)
        writer.put(Limits.formatVersion)
        writer.put(UInt16(0))
        writer.put(UInt32(SegmentHeader.fixedBytes + sections.count))
        writer.put(incompatibleFeatures)
        writer.put(compatibleFeatures)
        writer.put(store)
        writer.put(segment)
        writer.put(predecessor)
        writer.put(predecessorLength)
        writer.put(ordinal)
        writer.put(generation)
        writer.put(digestAlgorithm)
        writer.putZeros(3)
        writer.put(epoch)
        writer.put(baseSequence)
        writer.put(createdAt)
        writer.put(sessionsBegun)
        writer.put(checkpointsMade)
        writer.put(count)
        writer.put(writer.bytes.withUnsafeBytes { Checksum.crc($0) })
        writer.putRaw(sections.bytes)
        return writer.bytes
    }

    /// The length of the whole header, read from its first `fixedBytes` bytes, which are verified.
    public static func byteCount(ofPrefix bytes: UnsafeRawBufferPointer) throws(FormatError) -> Int {
        let what = "a segment header"
        var reader = ByteReader(bytes, what)
        let magic = try reader.take(8)
        guard magicMatches(magic, SegmentHeader.magic) else { throw .notFound("segment header") }
        guard bytes.count >= fixedBytes else { throw .truncated(what) }
        let version = try reader.u16()
        guard version == Limits.formatVersion else { throw .unknownVersion(version, of: "the segment") }
        try Checksum.verify(bytes, storedAt: checksumOffset, what, .segmentHeaderChecksum)
        try reader.takeZeros(2)
        let length = try reader.u32()
        guard Safeguard.segmentHeaderLength.isLeftOut || length <= Limits.headerBytesMax else {
            throw .beyondLimit(what, value: UInt64(length), limit: UInt64(Limits.headerBytesMax))
        }
        guard length >= fixedBytes, length % 8 == 0 else {
            throw .invalid(what, reason: "its length can't be \(length)")
        }
        return Int(length)
    }

    /// Reads a whole header; more bytes may follow.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(FormatError) {
        let what = "a segment header"
        let length = try SegmentHeader.byteCount(ofPrefix: bytes)
        guard bytes.count >= length else { throw .truncated(what) }
        var reader = ByteReader(UnsafeRawBufferPointer(rebasing: bytes[..<length]), what)
        _ = try reader.take(16)
        incompatibleFeatures = try reader.u64()
        guard incompatibleFeatures == 0 else {
            throw .unknownFeatures(incompatibleFeatures, of: "the segment")
        }
        compatibleFeatures = try reader.u64()
        store = try reader.uniqueID()
        segment = try reader.uniqueID()
        predecessor = try reader.uniqueID()
        predecessorLength = try reader.u64()
        ordinal = try reader.u64()
        generation = try reader.u32()
        digestAlgorithm = try reader.u8()
        try reader.takeZeros(3)
        epoch = try reader.u64()
        baseSequence = try reader.u64()
        createdAt = try reader.i64()
        sessionsBegun = try reader.u64()
        checkpointsMade = try reader.u64()
        let count = try reader.u32()
        _ = try reader.u32()
        guard ordinal > 0, epoch > 0 else { throw .invalid(what, reason: "its ordinal or epoch is 0") }
        guard digestAlgorithm <= 1 else { throw .invalid(what, reason: "its digest algorithm is unknown") }

        var settings: EncodingSettings?
        var kinds: [KindDefinition]?
        var session: SessionBegin?
        var limits: RetentionLimits?
        var pins: [Pin]?
        try Section.readAll(count, from: &reader, owner: segment) { (type, body) throws(FormatError) in
            switch type {
            case SectionType.settings:
                let block = try body.u32()
                let subBlock = try body.u32()
                settings = EncodingSettings(blockBytes: block, subBlockBytes: subBlock, level: try body.i32())
                try body.takeZeros(4)
            case SectionType.kinds: kinds = try body.kindDefinitions()
            case SectionType.session: session = try SessionBegin(from: &body)
            case SectionType.limits: limits = try RetentionLimits(from: &body)
            case SectionType.pins: pins = try Pin.readAll(from: &body)
            default: return false
            }
            return true
        }
        try reader.finish()
        guard let settings else { throw .invalid(what, reason: "it has no settings") }
        guard session?.flags.contains(.continued) ?? true else {
            throw .invalid(what, reason: "its session is not a continued one")
        }
        self.settings = settings
        self.kinds = kinds
        self.session = session
        self.limits = limits
        self.pins = pins
    }
}

/// Whether the bytes are the magic.
func magicMatches(_ bytes: UnsafeRawBufferPointer, _ magic: StaticString) -> Bool {
    magic.withUTF8Buffer { $0.elementsEqual(bytes) }
}
