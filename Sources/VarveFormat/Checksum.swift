internal import CCRC32C

/// CRC-32C, seeded as `Formats/README.md#checksums` says.
public enum Checksum {
    /// The checksum of `bytes`, going on from `crc`, which is that of what precedes them (0: nothing does).
    public static func crc(_ bytes: UnsafeRawBufferPointer, after crc: UInt32 = 0) -> UInt32 {
        varve_crc32c(crc, bytes.baseAddress, bytes.count)
    }

    /// The checksum of two words, lowest byte first, and of `bytes` after them, going on from `crc`.
    @inline(__always)
    static func crc(_ first: UInt64, _ second: UInt64, _ bytes: UnsafeRawBufferPointer, after crc: UInt32)
        -> UInt32
    {
        varve_crc32c_record(crc, first, second, bytes.baseAddress, bytes.count)
    }

    /// Throws unless the bytes before `offset` have the checksum that is stored there. `bytes` reaches beyond it.
    static func verify(
        _ bytes: UnsafeRawBufferPointer, storedAt offset: Int, after seed: UInt32 = 0, _ what: String,
        _ safeguard: Safeguard
    ) throws(FormatError) {
        try verify(bytes, upTo: offset, storedAt: offset, after: seed, what, safeguard)
    }

    /// The same where other fields stand between the bytes and their checksum.
    static func verify(
        _ bytes: UnsafeRawBufferPointer, upTo end: Int, storedAt offset: Int, after seed: UInt32,
        _ what: String, _ safeguard: Safeguard
    ) throws(FormatError) {
        let stored = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        guard
            safeguard.isLeftOut || crc(UnsafeRawBufferPointer(rebasing: bytes[..<end]), after: seed) == stored
        else { throw .checksumMismatch(what) }
    }

    /// Fills in the checksums of a block's directory of sub-blocks, and returns that of its small part.
    ///
    /// `body` is the block's body: the small part, which starts with the directory, and the stored sub-blocks, as the directory says.
    public static func sealBody(
        _ body: UnsafeMutableRawPointer, smallLength: Int, subBlockCount: Int, segment: UniqueID,
        block number: UInt32
    ) -> UInt32 {
        var stored = UnsafeRawPointer(body + smallLength)
        for position in 0..<subBlockCount {
            let entry = body + position * SubBlockDirectoryEntry.byteCount
            let count = Int(
                UInt32(
                    littleEndian: entry.loadUnaligned(
                        fromByteOffset: SubBlockDirectoryEntry.storedBytesOffset, as: UInt32.self)))
            let checksum = crc(
                UnsafeRawBufferPointer(start: stored, count: count),
                after: seed(segment: segment, block: number, part: 2 + UInt32(position)))
            entry.storeBytes(
                of: checksum.littleEndian, toByteOffset: SubBlockDirectoryEntry.checksumOffset,
                as: UInt32.self)
            stored += count
        }
        return crc(
            UnsafeRawBufferPointer(start: body, count: smallLength),
            after: seed(segment: segment, block: number, part: 1))
    }

    /// The checksum of an owner's UUID: the seed of sections.
    public static func seed(_ owner: UniqueID) -> UInt32 {
        var words = (owner.low.littleEndian, owner.high.littleEndian)
        return withUnsafeBytes(of: &words) { crc($0) }
    }

    /// The seed of part `part` of block `number` in segment `segment`: 0 the header, 1 the small part,
    /// 2 and up the sub-blocks.
    public static func seed(segment: UniqueID, block number: UInt32, part: UInt32) -> UInt32 {
        var words = (
            segment.low.littleEndian, segment.high.littleEndian,
            (UInt64(number) | UInt64(part) << 32).littleEndian
        )
        return withUnsafeBytes(of: &words) { crc($0) }
    }
}
