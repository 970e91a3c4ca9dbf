/// Types of sections; see `Formats/`.
public enum SectionType {
    /// Sections of a segment's header.
    public static let settings: UInt32 = 1, kinds: UInt32 = 2, session: UInt32 = 3, limits: UInt32 = 4,
        pins: UInt32 = 5
    /// The section of `STORE`.
    public static let metadata: UInt32 = 1
    /// Sections of a footer. The filters come first, so that a reader can leave them out.
    public static let filters: UInt32 = 8
    public static let blockIndex: UInt32 = 16, timePyramid: UInt32 = 17, kindCounts: UInt32 = 18
    public static let sessions: UInt32 = 19, checkpoints: UInt32 = 20, ledger: UInt32 = 21
    public static let replaces: UInt32 = 22, droppedRanges: UInt32 = 23, blockKinds: UInt32 = 24,
        digest: UInt32 = 25,
        summary: UInt32 = 26
}

/// A typed, length-prefixed, checksummed run of bytes: what headers and footers are made of.
public struct Section {
    /// Bytes before the body: type, flags, length, checksum.
    public static let headerBytes = 16

    /// Which of `SectionType`, or one that this library does not know.
    public let type: UInt32
    /// A reader that does not know the type must refuse the file.
    public let isRequired: Bool
    /// The body; lies in the bytes that were read.
    public let body: UnsafeRawBufferPointer

    /// Reads the next section and its padding, and verifies its checksum.
    public init(from reader: inout ByteReader, owner: UniqueID) throws(FormatError) {
        let head = try reader.take(12)
        var fields = ByteReader(head, "a section's header")
        type = try fields.u32()
        let flags = try fields.u32()
        let length = try fields.u32()
        guard flags <= 1 else { throw .invalid("a section", reason: "reserved flags are set") }
        isRequired = flags & 1 != 0
        guard Safeguard.sectionLength.isLeftOut || length <= Limits.sectionBytesMax else {
            throw .beyondLimit("a section", value: UInt64(length), limit: UInt64(Limits.sectionBytesMax))
        }
        let checksum = try reader.u32()
        body = try reader.take(Int(length))
        guard
            Safeguard.sectionChecksum.isLeftOut
                || Checksum.crc(body, after: Checksum.crc(head, after: Checksum.seed(owner))) == checksum
        else { throw .checksumMismatch("section \(type)") }
        try reader.takeZeros(-Int(length) & 7)
    }

    /// The type of a section, and its bytes in the file with head and padding, as its head says: nothing is verified. Nil where no
    /// section is so long.
    public static func outline(ofHead bytes: UnsafeRawBufferPointer) -> (type: UInt32, byteCount: Int)? {
        var fields = ByteReader(bytes, "a section's header")
        guard let type = try? fields.u32(), (try? fields.u32()) != nil, let length = try? fields.u32(),
            length <= Limits.sectionBytesMax
        else { return nil }
        return (type, headerBytes + Int(length) + (-Int(length) & 7))
    }

    /// The body of a section of this type: of the bytes that `outline` tells of, verified.
    static func body(
        of type: UInt32, in bytes: UnsafeRawBufferPointer, owner: UniqueID
    ) throws(FormatError) -> UnsafeRawBufferPointer {
        var reader = ByteReader(bytes, "a section")
        let section = try Section(from: &reader, owner: owner)
        try reader.finish()
        guard section.type == type else { throw .notFound("section \(type)") }
        return section.body
    }

    /// Reads all of `count` sections, whose types must ascend; hands each to `body`, which returns whether it knew
    /// the type.
    static func readAll(
        _ count: UInt32, from reader: inout ByteReader, owner: UniqueID,
        _ body: (UInt32, inout ByteReader) throws(FormatError) -> Bool
    ) throws(FormatError) {
        var previous: UInt32?
        for _ in 0..<count {
            let section = try Section(from: &reader, owner: owner)
            if let previous, previous >= section.type {
                throw .invalid("section \(section.type)", reason: "it is out of order, or occurs twice")
            }
            previous = section.type
            var fields = ByteReader(section.body, "section \(section.type)")
            if try !body(section.type, &fields), section.isRequired {
                throw .unknownFeatures(UInt64(section.type), of: "section \(section.type)")
            }
        }
    }
}

extension ByteWriter {
    /// Puts a section whose body `body` writes.
    public mutating func putSection(
        _ type: UInt32, isRequired: Bool = false, owner: UniqueID, _ body: (inout ByteWriter) -> Void
    ) {
        var content = ByteWriter()
        body(&content)
        let start = count
        put(type)
        put(UInt32(isRequired ? 1 : 0))
        put(UInt32(content.count))
        let head = bytes[start...].withUnsafeBytes { Checksum.crc($0, after: Checksum.seed(owner)) }
        put(content.bytes.withUnsafeBytes { Checksum.crc($0, after: head) })
        putRaw(content.bytes)
        pad8()
    }
}
