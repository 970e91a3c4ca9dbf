public import VarveFormat

// Offsets here repeat those of `Formats/`, so that a slip in the library's own does not hide behind this one.

extension [UInt8] {
    /// The little-endian number at an offset; nil where the bytes end before it.
    public func u32(at offset: Int) -> UInt32? {
        guard offset >= 0, offset <= count - 4 else { return nil }
        return (0..<4).reduce(0) { $0 | UInt32(self[offset + $1]) << UInt32(8 * $1) }
    }

    /// The little-endian number at an offset; nil where the bytes end before it.
    public func u64(at offset: Int) -> UInt64? {
        guard let low = u32(at: offset), let high = u32(at: offset + 4) else { return nil }
        return UInt64(low) | UInt64(high) << 32
    }

    /// The UUID at an offset; nil where the bytes end before it.
    public func uniqueID(at offset: Int) -> UniqueID? {
        guard let low = u64(at: offset), let high = u64(at: offset + 8) else { return nil }
        return UniqueID(low: low, high: high)
    }

    /// Stores a little-endian number where there is room for it.
    public mutating func put(_ value: UInt32, at offset: Int) {
        guard offset >= 0, offset <= count - 4 else { return }
        for byte in 0..<4 { self[offset + byte] = UInt8(truncatingIfNeeded: value >> UInt32(8 * byte)) }
    }

    /// Stores a little-endian number where there is room for it.
    public mutating func put(_ value: UInt64, at offset: Int) {
        guard offset >= 0, offset <= count - 8 else { return }
        put(UInt32(truncatingIfNeeded: value), at: offset)
        put(UInt32(truncatingIfNeeded: value >> 32), at: offset + 4)
    }

    /// Stores a UUID where there is room for it.
    public mutating func put(_ id: UniqueID, at offset: Int) {
        guard offset >= 0, offset <= count - 16 else { return }
        put(id.low, at: offset)
        put(id.high, at: offset + 8)
    }

    /// Whether a magic stands at an offset.
    public func hasMagic(_ magic: StaticString, at offset: Int) -> Bool {
        guard offset >= 0, offset <= count - magic.utf8CodeUnitCount else { return false }
        return magic.withUTF8Buffer { self[offset..<offset + $0.count].elementsEqual($0) }
    }

    /// Stores a magic where there is room for it.
    public mutating func put(_ magic: StaticString, at offset: Int) {
        guard offset >= 0, offset <= count - magic.utf8CodeUnitCount else { return }
        magic.withUTF8Buffer { text in
            for (position, byte) in text.enumerated() { self[offset + position] = byte }
        }
    }

    /// Stores at `offset` the checksum of a range, going on from `seed`; nothing where the range is not within.
    public mutating func mendChecksum(of range: Range<Int>, at offset: Int, after seed: UInt32 = 0) {
        guard range.lowerBound >= 0, range.upperBound <= count else { return }
        put(self[range].withUnsafeBytes { Checksum.crc($0, after: seed) }, at: offset)
    }

    /// Mends the checksums of the sections from `start` on, as far as their lengths make sense.
    public mutating func mendSections(from start: Int, owner: UniqueID) {
        var offset = start
        while offset < count, let length = u32(at: offset + 8).map(Int.init), length <= count - offset - 16 {
            let seed = self[offset..<offset + 12].withUnsafeBytes {
                Checksum.crc($0, after: Checksum.seed(owner))
            }
            mendChecksum(of: offset + 16..<offset + 16 + length, at: offset + 12, after: seed)
            offset += 16 + (length + 7) / 8 * 8
        }
    }
}
