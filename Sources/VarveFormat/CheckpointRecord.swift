/// The record of a checkpoint; its state stands in the block's sub-block. `Formats/segment.md#checkpoint`.
public struct CheckpointRecord: Hashable, Sendable {
    /// In the store, from 1.
    public var ordinal: UInt64
    /// The session's ordinal.
    public var session: UInt64
    public var id: String
    public var label: String?
    /// Nanoseconds since the epoch.
    public var timestamp: Int64
    /// The index of the session's next event.
    public var eventIndex: UInt64
    /// The sequence number of the next event when it was made.
    public var sequence: UInt64

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
