/// One of the two slots of `STATE`. `Formats/store.md#state`.
public struct StateSlot: Hashable, Sendable {
    static let magic: StaticString = "VARVESTA"
    static let checksumOffset = 124
    /// Bytes of a slot's fields.
    public static let byteCount = checksumOffset + 4
    /// Bytes from one slot to the next.
    public static let stride = 4096

    /// UUID of the store that the slot is about.
    public var store: UniqueID
    /// From 1, one more at each writing of the file: the valid slot with the higher one counts.
    public var counter: UInt64
    /// First sequence number that retention keeps.
    public var headSequence: UInt64 = 0
    /// First checkpoint ordinal that retention keeps.
    public var headCheckpoint: UInt64 = 0
    /// Ordinal of the segment that the watermark is in.
    public var watermarkSegment: UInt64 = 0
    /// Bytes of that segment that are on stable storage, with all segments before it.
    public var watermarkOffset: UInt64 = 0
    /// Sequence number after the last durable event.
    public var nextSequence: UInt64 = 0
    /// The opening for writing, counted from 1, in which the slot was written.
    public var epoch: UInt64 = 0
    /// When the slot was written, in nanoseconds since the Unix epoch.
    public var writtenAt: Int64 = 0
    /// In the store, in all.
    public var sessionsBegun: UInt64 = 0
    /// The segment whose ordinal is `watermarkSegment`.
    public var watermarkUUID = UniqueID.zero
    /// The store was closed in order.
    public var isClosed = false

    /// A slot in which all else is zero; set what differs.
    public init(store: UniqueID, counter: UInt64) {
        self.store = store
        self.counter = counter
    }

    /// A slot for a store whose last segment is durable, with all before it: as an opening for writing has found it or made it, or
    /// as it is closed.
    public init(
        store: UniqueID, counter: UInt64, nextSequence: UInt64, epoch: UInt64, sessionsBegun: UInt64,
        writtenAt: Int64, isClosed: Bool, last: SegmentSummary?
    ) {
        self.init(store: store, counter: counter)
        self.nextSequence = nextSequence
        self.epoch = epoch
        self.sessionsBegun = sessionsBegun
        self.writtenAt = writtenAt
        self.isClosed = isClosed
        if let last {
            watermarkSegment = last.ordinal
            watermarkOffset = last.dataBytes
            watermarkUUID = last.segment
        }
    }

    /// The slot with the zeros that follow it.
    public func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.putMagic(StateSlot.magic)
        writer.put(Limits.formatVersion)
        writer.putZeros(6)
        writer.put(store)
        for value in [
            counter, headSequence, headCheckpoint, watermarkSegment, watermarkOffset, nextSequence, epoch,
        ] { writer.put(value) }
        writer.put(writtenAt)
        writer.put(sessionsBegun)
        writer.put(watermarkUUID)
        writer.put(UInt32(isClosed ? 1 : 0))
        writer.put(writer.bytes.withUnsafeBytes { Checksum.crc($0) })
        writer.putZeros(StateSlot.stride - writer.count)
        return writer.bytes
    }

    /// Reads a slot with the zeros that follow it; nil for one that was never written.
    public static func decode(_ bytes: UnsafeRawBufferPointer) throws(FormatError) -> StateSlot? {
        let what = "a slot of STATE"
        guard bytes.count == stride else { throw .truncated(what) }
        if allZero(bytes) { return nil }
        var reader = ByteReader(bytes, what)
        guard magicMatches(try reader.take(8), magic) else { throw .notFound("slot of STATE") }
        try Checksum.verify(bytes, storedAt: checksumOffset, what, .stateChecksum)
        let version = try reader.u16()
        guard version == Limits.formatVersion else { throw .unknownVersion(version, of: "STATE") }
        try reader.takeZeros(6)
        let store = try reader.uniqueID()
        var slot = StateSlot(store: store, counter: try reader.u64())
        slot.headSequence = try reader.u64()
        slot.headCheckpoint = try reader.u64()
        slot.watermarkSegment = try reader.u64()
        slot.watermarkOffset = try reader.u64()
        slot.nextSequence = try reader.u64()
        slot.epoch = try reader.u64()
        slot.writtenAt = try reader.i64()
        slot.sessionsBegun = try reader.u64()
        slot.watermarkUUID = try reader.uniqueID()
        let flags = try reader.u32()
        guard flags <= 1 else { throw .invalid(what, reason: "reserved flags are set") }
        slot.isClosed = flags == 1
        _ = try reader.u32()
        try reader.takeZeros(reader.remaining)
        guard slot.counter > 0 else { throw .invalid(what, reason: "its counter is 0") }
        return slot
    }
}

/// The file `STATE`: two slots, written in turn.
public enum StateFile {
    /// Bytes of the whole file; one of another length is ignored.
    public static let byteCount = StateSlot.stride * 2

    /// The valid slot with the higher counter; nil when there is none. Damaged slots count as none: it is a cache.
    public static func latest(of bytes: UnsafeRawBufferPointer) -> StateSlot? {
        guard Safeguard.stateLength.isLeftOut || bytes.count == byteCount else { return nil }
        let slots = [0, StateSlot.stride].compactMap { start in
            try? StateSlot.decode(UnsafeRawBufferPointer(rebasing: bytes[start..<start + StateSlot.stride]))
        }
        return slots.max { $0.counter < $1.counter }
    }
}
