/// The last bytes of a sealed segment. `Formats/segment.md#trailer`.
public struct Trailer: Hashable, Sendable {
    static let magic: StaticString = "VARVEEND"
    static let checksumOffset = 84
    /// Bytes of a trailer.
    public static let byteCount = checksumOffset + 12

    /// Bytes from the start of the file to the footer: where the blocks end.
    public var footerOffset: UInt64
    /// Without the trailer.
    public var footerLength: UInt64
    /// UUID of the store, as in the segment's header.
    public var store: UniqueID
    /// UUID of the segment, as in its header; the footer's sections are seeded with it.
    public var segment: UniqueID
    /// Place in the store's log, from 1.
    public var ordinal: UInt64
    /// Bytes of the whole file, the trailer included.
    public var fileLength: UInt64
    /// Sections in the footer.
    public var sectionCount: UInt32
    /// Bytes from the start of the file to the section with the summary.
    public var summaryOffset: UInt64

    /// Takes the fields as given: that they fit the file is checked when decoding.
    public init(
        footerOffset: UInt64, footerLength: UInt64, store: UniqueID, segment: UniqueID, ordinal: UInt64,
        fileLength: UInt64, sectionCount: UInt32, summaryOffset: UInt64
    ) {
        self.footerOffset = footerOffset
        self.footerLength = footerLength
        self.store = store
        self.segment = segment
        self.ordinal = ordinal
        self.fileLength = fileLength
        self.sectionCount = sectionCount
        self.summaryOffset = summaryOffset
    }

    /// Reads the trailer at the end of `bytes`, which are the last of a file of `fileLength` bytes.
    public init(decodingEndOf bytes: UnsafeRawBufferPointer, fileLength: UInt64) throws(FormatError) {
        let what = "a trailer"
        guard bytes.count >= Trailer.byteCount else { throw .notFound("trailer") }
        let fields = UnsafeRawBufferPointer(rebasing: bytes[(bytes.count - Trailer.byteCount)...])
        var reader = ByteReader(fields, what)
        guard magicMatches(UnsafeRawBufferPointer(rebasing: fields[88...]), Trailer.magic) else {
            throw .notFound("trailer")
        }
        try Checksum.verify(fields, storedAt: Trailer.checksumOffset, what, .trailerChecksum)
        footerOffset = try reader.u64()
        footerLength = try reader.u64()
        store = try reader.uniqueID()
        segment = try reader.uniqueID()
        ordinal = try reader.u64()
        self.fileLength = try reader.u64()
        sectionCount = try reader.u32()
        let version = try reader.u16()
        guard version == Limits.formatVersion else { throw .unknownVersion(version, of: "the segment") }
        try reader.takeZeros(2)
        summaryOffset = try reader.u64()
        try reader.takeZeros(4)
        let end = footerOffset.addingReportingOverflow(footerLength)
        guard
            Safeguard.trailerLengths.isLeftOut
                || self.fileLength == fileLength && fileLength >= UInt64(Trailer.byteCount) && !end.overflow
                    && end.partialValue == fileLength - UInt64(Trailer.byteCount) && footerLength >= 8
                    && summaryOffset > footerOffset && summaryOffset < end.partialValue
                    && summaryOffset % 8 == 0 && footerOffset % 8 == 0 && ordinal > 0 && sectionCount <= 64
        else { throw .invalid(what, reason: "its lengths do not fit the file") }
    }

    /// Appends the trailer with its checksum: `byteCount` bytes.
    public func encode(to writer: inout ByteWriter) {
        let start = writer.count
        writer.put(footerOffset)
        writer.put(footerLength)
        writer.put(store)
        writer.put(segment)
        writer.put(ordinal)
        writer.put(fileLength)
        writer.put(sectionCount)
        writer.put(Limits.formatVersion)
        writer.put(UInt16(0))
        writer.put(summaryOffset)
        writer.put(UInt32(0))
        writer.put(writer.bytes[start...].withUnsafeBytes { Checksum.crc($0) })
        writer.putMagic(Trailer.magic)
    }
}
