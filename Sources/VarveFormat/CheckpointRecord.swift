/// The record of a checkpoint; its state stands in the block's sub-block. `Formats/segment.md#checkpoint`.
public struct CheckpointRecord: Hashable, Sendable {
    /// In the store, from 1.
    public var ordinal: UInt64
    /// The session's ordinal.
    public var session: UInt64
    /// Chosen by whoever made it; at most 64 KiB of UTF-8.
    public var id: String
    /// At most 64 KiB of UTF-8; nil: none, which an empty one is not.
    public var label: String?
    /// Nanoseconds since the epoch.
    public var timestamp: Int64
    /// The index of the session's next event.
    public var eventIndex: UInt64
    /// The sequence number of the next event when it was made.
    public var sequence: UInt64

    /// Takes the fields as given: limits are checked when decoding.
    public init(
        ordinal: UInt64, session: UInt64, id: String, label: String?, timestamp: Int64, eventIndex: UInt64,
        sequence: UInt64
    ) {
        self.ordinal = ordinal
        self.session = session
        self.id = id
        self.label = label
        self.timestamp = timestamp
        self.eventIndex = eventIndex
        self.sequence = sequence
    }

    /// Reads the record. Throws where it is cut short, its ordinal is 0, or a text is too long or not UTF-8.
    public init(from reader: inout ByteReader) throws(FormatError) {
        ordinal = try reader.varint()
        guard ordinal > 0 else { throw .invalid("a checkpoint", reason: "its ordinal is 0") }
        session = try reader.varint()
        id = try reader.string(max: Limits.idBytesMax)
        switch try reader.u8() {
        case 0: label = nil
        case 1: label = try reader.string(max: Limits.idBytesMax)
        default: throw .invalid("a checkpoint", reason: "its label's mark is neither 0 nor 1")
        }
        timestamp = try reader.svarint()
        eventIndex = try reader.varint()
        sequence = try reader.varint()
    }

    /// Appends the record, in the form that `init(from:)` reads.
    public func encode(to writer: inout ByteWriter) {
        writer.putVarint(ordinal)
        writer.putVarint(session)
        writer.putString(id)
        writer.put(UInt8(label == nil ? 0 : 1))
        if let label { writer.putString(label) }
        writer.putSvarint(timestamp)
        writer.putVarint(eventIndex)
        writer.putVarint(sequence)
    }
}
