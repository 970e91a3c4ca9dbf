/// The begin record of a session. `Formats/segment.md#session-begin`.
public struct SessionBegin: Hashable, Sendable {
    /// What is special about the beginning.
    public struct Flags: OptionSet, Hashable, Sendable {
        /// The byte in the record.
        public let rawValue: UInt8
        /// The flags of a byte; decoding refuses bits that have no meaning.
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// The session was begun before and goes on.
        public static let resumed = Flags(rawValue: 1)
        /// Its events carry the indices they came with.
        public static let imported = Flags(rawValue: 2)
        /// It was begun in an earlier segment; in headers and footers only.
        public static let continued = Flags(rawValue: 4)
        /// Events or checkpoints of it stand before, or stood there until limits dropped them; also where they stood right after.
        public static let used = Flags(rawValue: 8)
        static let known: Flags = [.resumed, .imported, .continued, .used]
    }

    /// Of the session in the store, from 1: its identity.
    public var ordinal: UInt64
    /// None for a session that starts here and now.
    public var flags: Flags
    /// Chosen by whoever began it; at most 64 KiB of UTF-8.
    public var id: String
    /// Nanoseconds since the epoch.
    public var start: Int64
    /// The index of the next event.
    public var firstIndex: UInt64
    /// The application's own, at most 64 KiB when encoded.
    public var metadata: [String: String]

    /// Takes the fields as given: limits are checked when decoding.
    public init(
        ordinal: UInt64, flags: Flags = [], id: String, start: Int64, firstIndex: UInt64 = 0,
        metadata: [String: String] = [:]
    ) {
        self.ordinal = ordinal
        self.flags = flags
        self.id = id
        self.start = start
        self.firstIndex = firstIndex
        self.metadata = metadata
    }

    /// Reads the record. Throws where it is cut short, its ordinal is 0, or flags, text or map are invalid.
    public init(from reader: inout ByteReader) throws(FormatError) {
        ordinal = try reader.varint()
        flags = Flags(rawValue: try reader.u8())
        guard flags.isSubset(of: .known) else {
            throw .invalid("a session's begin record", reason: "reserved flags are set")
        }
        guard ordinal > 0 else { throw .invalid("a session's begin record", reason: "its ordinal is 0") }
        id = try reader.string(max: Limits.idBytesMax)
        start = try reader.svarint()
        firstIndex = try reader.varint()
        metadata = try reader.metadata()
    }

    /// Appends the record, in the form that `init(from:)` reads.
    public func encode(to writer: inout ByteWriter) {
        writer.putVarint(ordinal)
        writer.put(flags.rawValue)
        writer.putString(id)
        writer.putSvarint(start)
        writer.putVarint(firstIndex)
        writer.putMetadata(metadata)
    }
}
