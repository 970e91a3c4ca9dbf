/// How a segment's blocks are made (`Formats/segment.md#segment-header`, section *settings*).
public struct EncodingSettings: Hashable, Sendable {
    /// Payload bytes, before compression, at which a block is full.
    public var blockBytes: UInt32
    /// Payload bytes, before compression, that a sub-block holds at most, unless a single payload is larger.
    public var subBlockBytes: UInt32
    /// LZ4 level: below 3 the fast compressor, 3...12 HC.
    public var level: Int32

    /// Settings with these values.
    public init(blockBytes: UInt32, subBlockBytes: UInt32, level: Int32) {
        self.blockBytes = blockBytes
        self.subBlockBytes = subBlockBytes
        self.level = level
    }
}
