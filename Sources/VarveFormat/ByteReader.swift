/// Reads little-endian fields from borrowed bytes, front to back; throws `FormatError` where they end.
///
/// It does not own the bytes: they must outlive it.
public struct ByteReader {
    /// What is read, for errors.
    public let what: String
    @usableFromInline let base: UnsafeRawBufferPointer
    /// Bytes read so far.
    public private(set) var position = 0

    /// Starts at the first byte; `what` names the structure in errors.
    public init(_ bytes: UnsafeRawBufferPointer, _ what: String) {
        base = bytes
        self.what = what
    }

    /// Bytes not yet read.
    public var remaining: Int { base.count - position }

    /// The next `count` bytes.
    public mutating func take(_ count: Int) throws(FormatError) -> UnsafeRawBufferPointer {
        guard Safeguard.readerEnd.isLeftOut || count >= 0 && count <= remaining else {
            throw .truncated(what)
        }
        defer { position += count }
        return UnsafeRawBufferPointer(rebasing: base[position..<position + count])
    }

    /// Skips `count` bytes that must be zero.
    public mutating func takeZeros(_ count: Int) throws(FormatError) {
        guard allZero(try take(count)) else { throw .invalid(what, reason: "reserved bytes are not zero") }
    }

    private mutating func integer<T: FixedWidthInteger>(_: T.Type) throws(FormatError) -> T {
        guard Safeguard.readerEnd.isLeftOut || MemoryLayout<T>.size <= remaining else {
            throw .truncated(what)
        }
        defer { position += MemoryLayout<T>.size }
        return T(littleEndian: base.loadUnaligned(fromByteOffset: position, as: T.self))
    }

    /// One byte. Throws at the end.
    public mutating func u8() throws(FormatError) -> UInt8 { try integer(UInt8.self) }
    /// An unsigned number of two bytes. Throws where fewer remain.
    public mutating func u16() throws(FormatError) -> UInt16 { try integer(UInt16.self) }
    /// An unsigned number of four bytes. Throws where fewer remain.
    public mutating func u32() throws(FormatError) -> UInt32 { try integer(UInt32.self) }
    /// An unsigned number of eight bytes. Throws where fewer remain.
    public mutating func u64() throws(FormatError) -> UInt64 { try integer(UInt64.self) }
    /// A two's complement number of four bytes. Throws where fewer remain.
    public mutating func i32() throws(FormatError) -> Int32 { try integer(Int32.self) }
    /// A two's complement number of eight bytes. Throws where fewer remain.
    public mutating func i64() throws(FormatError) -> Int64 { try integer(Int64.self) }

    /// A UUID.
    public mutating func uniqueID() throws(FormatError) -> UniqueID {
        let low = try u64()
        return UniqueID(low: low, high: try u64())
    }

    /// An unsigned LEB128 number of the shortest form.
    public mutating func varint() throws(FormatError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let byte = try u8()
            if shift == 63, byte > 1, !Safeguard.varintBits.isLeftOut {
                throw .invalid(what, reason: "a varint exceeds 64 bits")
            }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 {
                if byte == 0, shift > 0 {
                    throw .invalid(what, reason: "a varint is not of the shortest form")
                }
                return value
            }
            shift += 7
        }
    }

    /// A zigzag number.
    public mutating func svarint() throws(FormatError) -> Int64 {
        let value = try varint()
        return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }

    /// A varint count of items that take at least `itemBytes` each: checked against what remains, so that
    /// it bounds allocation.
    public mutating func count(itemBytes: Int, max: Int = .max) throws(FormatError) -> Int {
        let value = try varint()
        guard value <= UInt64(max) else {
            throw .beyondLimit("\(what)'s count", value: value, limit: UInt64(max))
        }
        guard Safeguard.readerCount.isLeftOut || value <= UInt64(remaining / Swift.max(itemBytes, 1)) else {
            throw .truncated(what)
        }
        return Int(value)
    }

    /// A length-prefixed run of bytes.
    public mutating func bytes(max: Int) throws(FormatError) -> UnsafeRawBufferPointer {
        try take(try count(itemBytes: 1, max: max))
    }

    /// A length-prefixed string of valid UTF-8.
    public mutating func string(max: Int) throws(FormatError) -> String {
        let raw = try bytes(max: max)
        guard let text = String(validating: raw, as: UTF8.self) else {
            throw .invalid(what, reason: "text is not UTF-8")
        }
        return text
    }

    /// A metadata map.
    public mutating func metadata() throws(FormatError) -> [String: String] {
        let start = position
        let count = try count(itemBytes: 2, max: Limits.metadataBytesMax)
        var map: [String: String] = [:]
        map.reserveCapacity(count)
        var previous: String?
        for _ in 0..<count {
            let key = try string(max: Limits.metadataBytesMax)
            if let previous, !previous.utf8.lexicographicallyPrecedes(key.utf8) {
                throw .invalid(what, reason: "keys of a map are not in ascending order")
            }
            map[key] = try string(max: Limits.metadataBytesMax)
            previous = key
            guard Safeguard.metadataLength.isLeftOut || position - start <= Limits.metadataBytesMax else {
                throw .beyondLimit(
                    "\(what)'s map", value: UInt64(position - start), limit: UInt64(Limits.metadataBytesMax))
            }
        }
        // Keys that are different bytes may be equal strings (canonical equivalence).
        guard map.count == count else { throw .invalid(what, reason: "a map has a key twice") }
        return map
    }

    /// Throws unless everything was read.
    public func finish() throws(FormatError) {
        guard remaining == 0 else { throw .invalid(what, reason: "\(remaining) bytes too many") }
    }
}

/// Whether all bytes are zero. O(bytes).
public func allZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var offset = 0
    var seen: UInt64 = 0
    while offset + 8 <= bytes.count {
        seen |= bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        if seen != 0 { return false }
        offset += 8
    }
    while offset < bytes.count {
        if bytes[offset] != 0 { return false }
        offset += 1
    }
    return true
}

extension Array where Element == UInt8 {
    /// Runs `body` with a reader over the array's bytes.
    public func withReader<R>(
        _ what: String, _ body: (inout ByteReader) throws(FormatError) -> R
    ) throws(FormatError) -> R {
        let result: Result<R, FormatError> = withUnsafeBytes { bytes in
            var reader = ByteReader(bytes, what)
            do throws(FormatError) { return .success(try body(&reader)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}
