/// The fixed part of an event, as it waits in memory to be encoded: 24 bytes.
///
/// The payload stands elsewhere; rows are in the order of their payloads.
@frozen public struct EventRow {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    public var timestamp: Int64
    /// The event's index in its session.
    public var index: UInt64
    /// Bytes of payload.
    public var length: UInt32
    /// The kind's id in the segment.
    public var kind: UInt32

    /// A row with these fields.
    @inlinable
    public init(timestamp: Int64, index: UInt64, length: UInt32, kind: UInt32) {
        self.timestamp = timestamp
        self.index = index
        self.length = length
        self.kind = kind
    }
}
