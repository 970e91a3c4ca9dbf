/// The begin record of a session. `Formats/segment.md#session-begin`.
public struct SessionBegin: Hashable, Sendable {
    public struct Flags: OptionSet, Hashable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// The session was begun before and goes on.
        public static let resumed = Flags(rawValue: 1)
        /// Its events carry the indices they came with.
        public static let imported = Flags(rawValue: 2)
        /// It was begun in an earlier segment; in headers and footers only.
        public static let continued = Flags(rawValue: 4)
        static let known: Flags = [.resumed, .imported, .continued]
    }

    public var ordinal: UInt64
    public var flags: Flags
    public var id: String
    /// Nanoseconds since the epoch.
    public var start: Int64
    /// The index of the next event.
    public var firstIndex: UInt64
    public var metadata: [String: String]

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

    public func encode(to writer: inout ByteWriter) {
        writer.putVarint(ordinal)
        writer.put(flags.rawValue)
        writer.putString(id)
        writer.putSvarint(start)
        writer.putVarint(firstIndex)
        writer.putMetadata(metadata)
    }
}
