/// A session as a segment has it. `Formats/segment.md#session-summary`.
public struct SessionSummary: Hashable, Sendable {
    public enum State: UInt8, Hashable, Sendable {
        case active = 0
        case closed = 1
        case interrupted = 2
    }

    public var begin: SessionBegin
    public var state = State.active
    /// 0 while active.
    public var end: Int64 = 0
    public var events: UInt64 = 0
    public var checkpoints: UInt64 = 0
    public var payloadBytes: UInt64 = 0
    public var firstSequence: UInt64
    public var nextSequence: UInt64
    public var nextIndex: UInt64
    /// 0 and 0 without events.
    public var minTimestamp: Int64 = 0
    public var maxTimestamp: Int64 = 0

    public init(begin: SessionBegin, sequence: UInt64) {
        self.begin = begin
        firstSequence = sequence
        nextSequence = sequence
        nextIndex = begin.firstIndex
    }

    public init(from reader: inout ByteReader) throws(FormatError) {
        begin = try SessionBegin(from: &reader)
        guard let state = State(rawValue: try reader.u8()) else {
            throw .invalid("a session summary", reason: "its state is unknown")
        }
        self.state = state
        end = try reader.svarint()
        events = try reader.varint()
        checkpoints = try reader.varint()
        payloadBytes = try reader.varint()
        firstSequence = try reader.varint()
        nextSequence = try reader.varint()
        nextIndex = try reader.varint()
        minTimestamp = try reader.svarint()
        maxTimestamp = try reader.svarint()
        guard firstSequence <= nextSequence, minTimestamp <= maxTimestamp else {
            throw .invalid("a session summary", reason: "a range is reversed")
        }
    }

    public func encode(to writer: inout ByteWriter) {
        begin.encode(to: &writer)
        writer.put(state.rawValue)
        writer.putSvarint(end)
        for value in [events, checkpoints, payloadBytes, firstSequence, nextSequence, nextIndex] {
            writer.putVarint(value)
        }
        writer.putSvarint(minTimestamp)
        writer.putSvarint(maxTimestamp)
    }
}
