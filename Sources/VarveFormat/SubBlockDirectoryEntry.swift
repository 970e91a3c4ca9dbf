/// How a sub-block is stored.
public enum SubBlockMethod: UInt8, Hashable, Sendable {
    case raw = 0
    case lz4 = 1
    case lz4WithDictionary = 2
}

/// An entry of a block's directory of sub-blocks. `Formats/segment.md#block-body`.
public struct SubBlockDirectoryEntry: Hashable, Sendable {
    static let checksumOffset = 16
    /// Bytes of an entry.
    public static let byteCount = checksumOffset + 4

    public var eventCount: UInt32
    public var rawBytes: UInt32
    public var storedBytes: UInt32
    public var method: SubBlockMethod
    public var checksum: UInt32

    public init(eventCount: UInt32, rawBytes: UInt32, storedBytes: UInt32, method: SubBlockMethod, checksum: UInt32) {
        self.eventCount = eventCount
        self.rawBytes = rawBytes
        self.storedBytes = storedBytes
        self.method = method
        self.checksum = checksum
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(FormatError) {
        let what = "a sub-block's entry"
        var reader = ByteReader(bytes, what)
        eventCount = try reader.u32()
        rawBytes = try reader.u32()
        storedBytes = try reader.u32()
        guard let method = SubBlockMethod(rawValue: try reader.u8()) else {
            throw .invalid(what, reason: "its method is unknown")
        }
        self.method = method
        try reader.takeZeros(3)
        checksum = try reader.u32()
        guard rawBytes <= Limits.payloadBytesMax else {
            throw .beyondLimit(what, value: UInt64(rawBytes), limit: UInt64(Limits.payloadBytesMax))
        }
        guard storedBytes <= Limits.blockBodyBytesMax, method != .raw || storedBytes == rawBytes else {
            throw .invalid(what, reason: "its lengths do not fit its method")
        }
    }

    public func encode(into bytes: UnsafeMutableRawPointer) {
        bytes.storeBytes(of: eventCount.littleEndian, toByteOffset: 0, as: UInt32.self)
        bytes.storeBytes(of: rawBytes.littleEndian, toByteOffset: 4, as: UInt32.self)
        bytes.storeBytes(of: storedBytes.littleEndian, toByteOffset: 8, as: UInt32.self)
        bytes.storeBytes(of: UInt32(method.rawValue).littleEndian, toByteOffset: 12, as: UInt32.self)
        bytes.storeBytes(of: checksum.littleEndian, toByteOffset: 16, as: UInt32.self)
    }
}
