/// The file `STORE`. `Formats/store.md#store`.
public struct StoreIdentity: Hashable, Sendable {
    static let magic: StaticString = "VARVESTR"
    static let checksumOffset = 60
    /// Bytes before the sections.
    public static let fixedBytes = checksumOffset + 4

    /// Bits that a reader must know to read the store; none is assigned in this version.
    public var incompatibleFeatures: UInt64 = 0
    /// Bits that a reader need not know; none is assigned in this version.
    public var compatibleFeatures: UInt64 = 0
    /// UUID of the store, repeated in each of its segments.
    public var store: UniqueID
    /// When the store was made, in nanoseconds since the Unix epoch.
    public var createdAt: Int64
    /// The application's own, at most 64 KiB when encoded; nil: the section is absent.
    public var metadata: [String: String]?

    /// An identity without feature bits; the metadata's size is checked when decoding.
    public init(store: UniqueID, createdAt: Int64, metadata: [String: String]?) {
        self.store = store
        self.createdAt = createdAt
        self.metadata = metadata
    }

    /// The whole file, with its checksums.
    public func encode() -> [UInt8] {
        var sections = ByteWriter()
        if let metadata {
            sections.putSection(SectionType.metadata, owner: store) { $0.putMetadata(metadata) }
        }
        var writer = ByteWriter()
        writer.putMagic(StoreIdentity.magic)
        writer.put(Limits.formatVersion)
        writer.put(UInt16(0))
        writer.put(UInt32(StoreIdentity.fixedBytes + sections.count))
        writer.put(incompatibleFeatures)
        writer.put(compatibleFeatures)
        writer.put(store)
        writer.put(createdAt)
        writer.put(UInt32(metadata == nil ? 0 : 1))
        writer.put(writer.bytes.withUnsafeBytes { Checksum.crc($0) })
        writer.putRaw(sections.bytes)
        return writer.bytes
    }

    /// Reads the whole file.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(FormatError) {
        let what = "STORE"
        var reader = ByteReader(bytes, what)
        guard magicMatches(try reader.take(8), StoreIdentity.magic) else { throw .notFound("STORE header") }
        let version = try reader.u16()
        guard version == Limits.formatVersion else { throw .unknownVersion(version, of: "the store") }
        guard bytes.count >= StoreIdentity.fixedBytes else { throw .truncated(what) }
        try Checksum.verify(bytes, storedAt: StoreIdentity.checksumOffset, what, .storeChecksum)
        try reader.takeZeros(2)
        let length = try reader.u32()
        guard Safeguard.storeLength.isLeftOut || Int(length) == bytes.count else {
            throw .invalid(what, reason: "its length is not the file's")
        }
        incompatibleFeatures = try reader.u64()
        guard incompatibleFeatures == 0 else { throw .unknownFeatures(incompatibleFeatures, of: "the store") }
        compatibleFeatures = try reader.u64()
        store = try reader.uniqueID()
        createdAt = try reader.i64()
        let count = try reader.u32()
        _ = try reader.u32()
        var metadata: [String: String]?
        try Section.readAll(count, from: &reader, owner: store) { (type, body) throws(FormatError) in
            guard type == SectionType.metadata else { return false }
            metadata = try body.metadata()
            return true
        }
        self.metadata = metadata
        try reader.finish()
    }
}
