/// Appends little-endian fields to an array of bytes: the counterpart of `ByteReader`.
public struct ByteWriter {
    /// What was written.
    public var bytes: [UInt8] = []

    /// Starts with no bytes.
    public init() {}

    /// Bytes written so far.
    public var count: Int { bytes.count }

    private mutating func integer<T: FixedWidthInteger>(_ value: T) {
        Swift.withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// One byte.
    public mutating func put(_ value: UInt8) { bytes.append(value) }
    /// Two bytes, the least significant first.
    public mutating func put(_ value: UInt16) { integer(value) }
    /// Four bytes, the least significant first.
    public mutating func put(_ value: UInt32) { integer(value) }
    /// Eight bytes, the least significant first.
    public mutating func put(_ value: UInt64) { integer(value) }
    /// Four bytes of two's complement, the least significant first.
    public mutating func put(_ value: Int32) { integer(value) }
    /// Eight bytes of two's complement, the least significant first.
    public mutating func put(_ value: Int64) { integer(value) }

    /// A UUID: its 16 bytes as they stand.
    public mutating func put(_ value: UniqueID) {
        put(value.low)
        put(value.high)
    }

    /// Text as it stands, without a length: for magics.
    public mutating func putMagic(_ text: StaticString) {
        text.withUTF8Buffer { bytes.append(contentsOf: $0) }
    }

    /// Reserved bytes or padding; `count` is not negative.
    public mutating func putZeros(_ count: Int) {
        bytes.append(contentsOf: repeatElement(0, count: count))
    }

    /// Zeros up to the next multiple of 8.
    public mutating func pad8() { putZeros(-bytes.count & 7) }

    /// The bytes as they stand, without a length.
    public mutating func putRaw(_ raw: [UInt8]) { bytes.append(contentsOf: raw) }

    /// An unsigned LEB128 number of the shortest form: 1...10 bytes.
    public mutating func putVarint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    /// A zigzag number: small ones are short, whatever their sign. 1...10 bytes.
    public mutating func putSvarint(_ value: Int64) {
        putVarint(UInt64(bitPattern: value << 1 ^ value >> 63))
    }

    /// A varint length, and that many bytes.
    public mutating func putBytes(_ raw: [UInt8]) {
        putVarint(UInt64(raw.count))
        bytes.append(contentsOf: raw)
    }

    /// A varint length in bytes, and the text in UTF-8.
    public mutating func putString(_ text: String) {
        putVarint(UInt64(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
    }

    /// A varint count, then keys and values as strings, in ascending order of the keys' bytes.
    public mutating func putMetadata(_ map: [String: String]) {
        putVarint(UInt64(map.count))
        for (key, value) in map.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
            putString(key)
            putString(value)
        }
    }

    /// Overwrites four bytes that were put before; for lengths and checksums known only afterwards.
    public mutating func patch(_ value: UInt32, at offset: Int) {
        Swift.withUnsafeBytes(of: value.littleEndian) { source in
            for (position, byte) in source.enumerated() { bytes[offset + position] = byte }
        }
    }
}
