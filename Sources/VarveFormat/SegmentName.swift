/// The name of a segment's file. `Formats/store.md#segment-file-names`.
public struct SegmentName: Hashable, Sendable {
    /// Sequence number of the first event that can stand in the segment; 20 digits.
    public var baseSequence: UInt64
    /// Place in the store's log, from 1; 10 digits, more where needed.
    public var ordinal: UInt64
    /// From 0, one more whenever the segment is sealed anew; 2 digits, more where needed.
    public var generation: UInt32

    /// The name that a segment with these fields in its header gets.
    public init(baseSequence: UInt64, ordinal: UInt64, generation: UInt32) {
        self.baseSequence = baseSequence
        self.ordinal = ordinal
        self.generation = generation
    }

    /// Reads a file's name; nil for one of another form.
    public init?(fileName: String) {
        guard fileName.hasSuffix(".seg") else { return nil }
        let parts = fileName.dropLast(4).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, let base = UInt64(parts[0]), let ordinal = UInt64(parts[1]),
            let generation = UInt32(parts[2])
        else { return nil }
        self.init(baseSequence: base, ordinal: ordinal, generation: generation)
        guard self.fileName == fileName else { return nil }
    }

    private static func padded(_ value: UInt64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    /// The file's name.
    public var fileName: String {
        [
            SegmentName.padded(baseSequence, 20), SegmentName.padded(ordinal, 10),
            SegmentName.padded(UInt64(generation), 2),
        ].joined(separator: "-") + ".seg"
    }
}

extension SegmentHeader {
    /// The name that the segment's file gets.
    public var fileName: String {
        SegmentName(baseSequence: baseSequence, ordinal: ordinal, generation: generation).fileName
    }
}
