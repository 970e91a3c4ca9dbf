internal import CCRC32C

/// CRC-32C, seeded as `Formats/README.md#checksums` says.
public enum Checksum {
    /// The checksum of `bytes`, going on from `crc`, which is that of what precedes them (0: nothing does).
    public static func crc(_ bytes: UnsafeRawBufferPointer, after crc: UInt32 = 0) -> UInt32 {
        varve_crc32c(crc, bytes.baseAddress, bytes.count)
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
