internal import VarveFormat
internal import VarveIO

extension SegmentIndex {
    /// Writes the footer behind the blocks, and returns what it says. The data are synced before, so that the footer proves them,
    /// and the file after. O(bytes), for the digest.
    func seal(
        _ file: any File, at sealedAt: Int64, filters: [UInt8] = [],
        sync: (any File) throws(IOFailure) -> Void
    ) throws(IOFailure) -> (trailer: Trailer, summary: SegmentSummary) {
        if !Safeguard.dataSync.isLeftOut { try sync(file) }
        let checksum = try storedChecksum(of: file, byteCount: dataEnd)
        let footer = footer(sealedAt: sealedAt, checksum: checksum, filters: filters)
        let (bytes, trailer) = footer.encodeWithTrailer()
        try file.write(bytes, at: dataEnd)
        if !Safeguard.footerSync.isLeftOut { try sync(file) }
        return (trailer, footer.summary)
    }
}

/// The checksum over the first `byteCount` bytes of a file, for its digest. O(bytes).
func storedChecksum(of file: any File, byteCount: UInt64) throws(IOFailure) -> UInt32 {
    var checksum: UInt32 = 0
    try forEachChunk(of: file, 0..<byteCount) { bytes, _ in checksum = Checksum.crc(bytes, after: checksum) }
    return checksum
}

/// Hands over the bytes of a range in chunks with their offsets. Throws where the file is shorter.
func forEachChunk(
    of file: any File, _ range: Range<UInt64>,
    _ body: (UnsafeRawBufferPointer, UInt64) throws(IOFailure) -> Void
) throws(IOFailure) {
    let scratch = ScratchBuffer()
    var offset = range.lowerBound
    while offset < range.upperBound {
        let buffer = scratch.reserve(Int(min(range.upperBound - offset, 1 << 20)))
        guard try file.read(at: offset, into: buffer) == buffer.count else {
            throw IOFailure(.read, path: file.path, code: 5)
        }
        try body(UnsafeRawBufferPointer(buffer), offset)
        offset += UInt64(buffer.count)
    }
}
