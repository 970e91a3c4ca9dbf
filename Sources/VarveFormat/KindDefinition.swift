/// What a kind's payloads are.
public enum PayloadEncoding: UInt8, Hashable, Sendable, CaseIterable {
    case binary = 0
    case utf8 = 1
    case json = 2
}

/// A kind as a segment defines it; its id is its position. `Formats/segment.md#kind-definition`.
public struct KindDefinition: Hashable, Sendable {
    /// 1...255 bytes of UTF-8; together with the encoding it tells kinds apart.
    public var name: String
    /// What the payloads are; together with the name it tells kinds apart.
    public var encoding: PayloadEncoding
    /// The application's own, at most 64 KiB when encoded; does not tell kinds apart.
    public var metadata: [String: String]

    /// Takes the fields as given: limits are checked when decoding.
    public init(name: String, encoding: PayloadEncoding, metadata: [String: String] = [:]) {
        self.name = name
        self.encoding = encoding
        self.metadata = metadata
    }

    /// Reads a definition. Throws where it is cut short, or name, encoding or map are invalid.
    public init(from reader: inout ByteReader) throws(FormatError) {
        name = try reader.string(max: Limits.kindNameBytesMax)
        guard !name.utf8.isEmpty else { throw .invalid("a kind", reason: "its name is empty") }
        guard let encoding = PayloadEncoding(rawValue: try reader.u8()) else {
            throw .invalid("a kind", reason: "its encoding is unknown")
        }
        self.encoding = encoding
        metadata = try reader.metadata()
    }

    /// Appends name, encoding and metadata, in the form that `init(from:)` reads.
    public func encode(to writer: inout ByteWriter) {
        writer.putString(name)
        writer.put(encoding.rawValue)
        writer.putMetadata(metadata)
    }
}

extension ByteReader {
    /// A counted list of kind definitions.
    public mutating func kindDefinitions() throws(FormatError) -> [KindDefinition] {
        let count = try count(itemBytes: 4, max: Limits.segmentKindsMax)
        var kinds: [KindDefinition] = []
        for _ in 0..<count { kinds.append(try KindDefinition(from: &self)) }
        return kinds
    }
}

extension ByteWriter {
    /// A counted list of kind definitions.
    public mutating func put(_ kinds: [KindDefinition]) {
        putVarint(UInt64(kinds.count))
        for kind in kinds { kind.encode(to: &self) }
    }
}
