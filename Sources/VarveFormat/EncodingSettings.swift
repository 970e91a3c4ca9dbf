/// How blocks are built. `Formats/segment.md#segment-header`, section 1.
public struct EncodingSettings: Hashable, Sendable {
    /// Payload bytes at which a block is closed.
    public var blockBytes: UInt32
    /// Payload bytes at which a sub-block is closed.
    public var subBlockBytes: UInt32
    /// LZ4 level: below 3 the fast compressor, 3...12 HC.
    public var level: Int32

    public init(blockBytes: UInt32, subBlockBytes: UInt32, level: Int32) {
        self.blockBytes = blockBytes
        self.subBlockBytes = subBlockBytes
        self.level = level
    }
}
