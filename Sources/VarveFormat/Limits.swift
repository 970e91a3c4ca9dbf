/// The limits of the format (`Formats/README.md#limits`), checked before arithmetic, allocation or loops.
public enum Limits {
    /// Bytes of an event's payload or a checkpoint's state.
    public static let payloadBytesMax = 64 << 20
    /// Events in a block.
    public static let blockEventsMax = 65_536
    /// Payload bytes in a block before compression.
    public static let blockRawBytesMax = 128 << 20
    /// Sub-blocks in a block.
    public static let subBlocksMax = 65_536
    /// Bytes of a block's small part.
    public static let smallPartBytesMax = 16 << 20
    /// Bytes of a block's body.
    public static let blockBodyBytesMax = 256 << 20
    /// Blocks in a segment.
    public static let segmentBlocksMax = 16_384
    /// Kinds in a segment.
    public static let segmentKindsMax = 65_535
    /// Bytes of a kind's name.
    public static let kindNameBytesMax = 255
    /// Bytes of an id or label of a session or checkpoint.
    public static let idBytesMax = 64 << 10
    /// Encoded bytes of a metadata map.
    public static let metadataBytesMax = 64 << 10
    /// Bytes of a dictionary.
    public static let dictionaryBytesMax = 64 << 10
    /// Bytes of a segment's header or of `STORE`.
    public static let headerBytesMax = 64 << 20
    /// Bytes of a section's body.
    public static let sectionBytesMax = 64 << 20
    /// The format version that this library writes and reads.
    public static let formatVersion: UInt16 = 1
}
