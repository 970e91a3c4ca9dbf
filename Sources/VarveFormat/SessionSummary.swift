/// A session as a segment has it. `Formats/segment.md#session-summary`.
public struct SessionSummary: Hashable, Sendable {
    /// How the session stands at the end of the segment.
    public enum State: UInt8, Hashable, Sendable {
        case active = 0
        case closed = 1
        case interrupted = 2
    }

    /// If begun in an earlier segment, marked as continued, with first index as at this one's start.
    public var begin: SessionBegin
    /// At the end of the segment.
    public var state = State.active
    /// 0 while active.
    public var end: Int64 = 0
    /// Recorded in this segment.
    public var events: UInt64 = 0
    /// Made in this segment.
    public var checkpoints: UInt64 = 0
    /// Of the events in this segment, before compression.
    public var payloadBytes: UInt64 = 0
    /// Of its first event in this segment, or what that would have had when there is none.
    public var firstSequence: UInt64
    /// After its last event in this segment.
    public var nextSequence: UInt64
    /// Index that its next event would have had, at its end in this segment.
    public var nextIndex: UInt64
    /// 0 and 0 without events.
    public var minTimestamp: Int64 = 0
    /// The largest of its events in this segment, in nanoseconds since the Unix epoch.
    public var maxTimestamp: Int64 = 0

    /// A session of which the segment has no event yet; `sequence` is the number of the next one.
    public init(begin: SessionBegin, sequence: UInt64) {
        self.begin = begin
        firstSequence = sequence
        nextSequence = sequence
        nextIndex = begin.firstIndex
    }

    /// Reads a count and that many summaries.
    static func readAll(from reader: inout ByteReader) throws(FormatError) -> [SessionSummary] {
        let count = try reader.count(itemBytes: 13, max: Limits.segmentBlocksMax)
        return try (0..<count).map { _ throws(FormatError) in try SessionSummary(from: &reader) }
    }

    /// Reads a summary. Throws where it is cut short, its state is unknown, or a range is reversed.
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

    /// Appends the summary, in the form that `init(from:)` reads.
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
