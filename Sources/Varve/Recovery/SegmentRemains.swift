internal import VarveFormat
internal import VarveIO

/// What can be told of a segment file whose header can't be read: its blocks name their segment themselves.
struct SegmentRemains: Hashable, Sendable {
    /// What the file's name says; nil for one of another form.
    let name: SegmentName?
    let byteCount: UInt64
    /// Nothing was ever written to it, as far as the disk knows.
    private(set) var isZero = true
    /// The segment that the first block names.
    private(set) var segment: UniqueID?
    /// Where the first block starts.
    private(set) var firstBlock: UInt64?
    /// The number after the last event that a block header counts.
    private(set) var nextSequence: UInt64 = 0
    /// Blocks say that others before them, in this segment, were durable.
    private(set) var isDurable = false

    /// Looks through a file. O(bytes).
    init(of file: any File, _ fileName: String) throws(IOFailure) {
        name = SegmentName(fileName: fileName)
        byteCount = try file.size()
        let scratch = ScratchBuffer()
        var start: UInt64 = 0
        while start < byteCount {
            let window = Int(min(byteCount - start, UInt64(1 << 20 + BlockHeader.byteCount)))
            let buffer = scratch.reserve(window)
            let count = try file.read(at: start, into: buffer)
            guard count > 0 else { return }
            let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            if isZero, !allZero(bytes) { isZero = false }
            for position in stride(from: 0, through: count - BlockHeader.byteCount, by: 8) {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[position...])
                guard BlockHeader.hasMagic(rest) else { continue }
                add(rest, at: start + UInt64(position))
            }
            // Whole windows overlap by a header, so that none is cut in two.
            guard count == window, start + UInt64(count) < byteCount else { return }
            start += 1 << 20
        }
    }

    private mutating func add(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) {
        guard let own = BlockHeader.namedSegment(in: bytes), segment.map({ $0 == own }) ?? true,
            let header = try? BlockHeader(decoding: bytes, segment: own, number: nil),
            header.nextSequence < .max >> 1
        else { return }
        if segment == nil { firstBlock = offset }
        segment = own
        nextSequence = max(nextSequence, header.nextSequence)
        if header.durableSegment == name?.ordinal { isDurable = true }
    }
}
