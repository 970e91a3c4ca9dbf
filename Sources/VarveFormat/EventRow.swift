/// An event's fields on the way to a block, and in `TAIL`: 24 bytes.
@frozen public struct EventRow {
    public var timestamp: Int64
    /// Meaningful only where indices are explicit.
    public var index: UInt64
    /// Payload bytes.
    public var length: UInt32
    /// The segment's kind id.
    public var kind: UInt32

    @inlinable
    public init(timestamp: Int64, index: UInt64, length: UInt32, kind: UInt32) {
        self.timestamp = timestamp
        self.index = index
        self.length = length
        self.kind = kind
    }
}
