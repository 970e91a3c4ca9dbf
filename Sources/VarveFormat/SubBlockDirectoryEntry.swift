/// How a sub-block is stored.
public enum SubBlockMethod: UInt8, Sendable {
    case raw = 0
    case lz4 = 1
    case lz4WithDictionary = 2
}

/// An entry of a block's directory of sub-blocks (`Formats/segment.md#block-body`).
public struct SubBlockDirectoryEntry: Hashable, Sendable {
    /// Bytes of an entry.
    public static let byteCount = 20
    static let storedBytesOffset = 8
    static let methodOffset = 12
    /// Where the checksum stands in it.
    static let checksumOffset = 16

    /// Events in the sub-block.
    public var eventCount: UInt32
    /// Bytes before compression.
    public var rawBytes: UInt32
    /// Bytes in the file.
    public var storedBytes: UInt32
    /// How the bytes are stored.
    public var method: SubBlockMethod
    /// Seeded checksum of the stored bytes.
    public var checksum: UInt32

    /// An entry with these fields.
    public init(
        eventCount: UInt32, rawBytes: UInt32, storedBytes: UInt32, method: SubBlockMethod,
        checksum: UInt32 = 0
    ) {
        self.eventCount = eventCount
        self.rawBytes = rawBytes
        self.storedBytes = storedBytes
        self.method = method
        self.checksum = checksum
    }

    /// Reads the entry at the start of `bytes`. Throws `FormatError` unless it is valid by itself.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(FormatError) {
        var reader = ByteReader(bytes, "a directory of sub-blocks")
        eventCount = try reader.u32()
        rawBytes = try reader.u32()
        storedBytes = try reader.u32()
        guard let method = SubBlockMethod(rawValue: try reader.u8()) else {
            throw .invalid(reader.what, reason: "a method is unknown")
        }
        self.method = method
        try reader.takeZeros(3)
        checksum = try reader.u32()
        guard eventCount <= Limits.blockEventsMax else {
            throw .beyondLimit(
                "a sub-block's count of events", value: UInt64(eventCount),
                limit: UInt64(Limits.blockEventsMax))
        }
        guard rawBytes <= Limits.blockRawBytesMax else {
            throw .beyondLimit(
                "a sub-block's length", value: UInt64(rawBytes), limit: UInt64(Limits.blockRawBytesMax))
        }
        guard method != .raw || storedBytes == rawBytes else {
            throw .invalid(reader.what, reason: "the lengths of a raw sub-block differ")
        }
    }

    /// Writes the entry's 20 bytes.
    public func encode(into target: UnsafeMutableRawPointer) {
        target.storeBytes(of: eventCount.littleEndian, as: UInt32.self)
        target.storeBytes(of: rawBytes.littleEndian, toByteOffset: 4, as: UInt32.self)
        target.storeBytes(of: storedBytes.littleEndian, toByteOffset: Self.storedBytesOffset, as: UInt32.self)
        // The method is the low byte; the three reserved ones are above it.
        target.storeBytes(
            of: UInt32(method.rawValue).littleEndian, toByteOffset: Self.methodOffset, as: UInt32.self)
        target.storeBytes(of: checksum.littleEndian, toByteOffset: Self.checksumOffset, as: UInt32.self)
    }
}
