/// The end record of a session. `Formats/segment.md#session-end`.
public struct SessionEnd: Hashable, Sendable {
    /// Whether the session was ended in order, or broke off.
    public enum Reason: UInt8, Hashable, Sendable {
        case closed = 1
        case interrupted = 2
    }

    /// Of the session in the store, from 1.
    public var ordinal: UInt64
    /// Why the session is at its end.
    public var reason: Reason
    /// Nanoseconds since the epoch.
    public var end: Int64
    /// Recorded in the session, in all.
    public var events: UInt64
    /// Made in the session, in all.
    public var checkpoints: UInt64
    /// The index that the next event would have had.
    public var nextIndex: UInt64

    /// Takes the fields as given: the ordinal is checked when decoding.
    public init(
        ordinal: UInt64, reason: Reason, end: Int64, events: UInt64, checkpoints: UInt64, nextIndex: UInt64
    ) {
        self.ordinal = ordinal
        self.reason = reason
        self.end = end
        self.events = events
        self.checkpoints = checkpoints
        self.nextIndex = nextIndex
    }

    /// Reads the record. Throws where it is cut short, its ordinal is 0 or its reason unknown.
    public init(from reader: inout ByteReader) throws(FormatError) {
        ordinal = try reader.varint()
        guard ordinal > 0 else { throw .invalid("a session's end record", reason: "its ordinal is 0") }
        guard let reason = Reason(rawValue: try reader.u8()) else {
            throw .invalid("a session's end record", reason: "its reason is unknown")
        }
        self.reason = reason
        end = try reader.svarint()
        events = try reader.varint()
        checkpoints = try reader.varint()
        nextIndex = try reader.varint()
    }

    /// Appends the record, in the form that `init(from:)` reads.
    public func encode(to writer: inout ByteWriter) {
        writer.putVarint(ordinal)
        writer.put(reason.rawValue)
        writer.putSvarint(end)
        writer.putVarint(events)
        writer.putVarint(checkpoints)
        writer.putVarint(nextIndex)
    }
}
