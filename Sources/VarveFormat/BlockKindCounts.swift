/// How many events of each kind the blocks of a segment hold, so that they are counted without being read.
/// `Formats/segment.md#block-kinds`.
public struct BlockKindCounts: Hashable, Sendable {
    /// The counts of all blocks, one after the other: of each kind in a block's kind set, by ascending id. A block of other types, or of
    /// kinds beyond the set, has none.
    private var counts: [UInt32] = []
    /// Where each block's begin.
    private var starts: [UInt32] = [0]

    /// Of no blocks.
    public init() {}

    /// Blocks, of all types.
    public var blockCount: Int { starts.count - 1 }

    /// All counts, of all blocks.
    public var count: Int { counts.count }

    /// The counts of a block, in the order of the bits of its kind set; empty where they are not known. O(1).
    public subscript(block number: Int) -> ArraySlice<UInt32> {
        guard number >= 0, number < blockCount else { return [] }
        return counts[Int(starts[number])..<Int(starts[number + 1])]
    }

    /// Adds the block that comes next.
    public mutating func append(_ block: some Sequence<UInt32>) {
        counts += block
        starts.append(UInt32(counts.count))
    }

    /// Reads the section's body. Throws unless each block has as many counts as kinds in its set, and as many events in all as it holds.
    init(from reader: inout ByteReader, _ entries: [BlockIndexEntry]) throws(FormatError) {
        for entry in entries {
            let kinds = Self.countedKinds(entry)
            var sum: UInt64 = 0
            for _ in 0..<kinds {
                let count = try reader.varint()
                guard count > 0, count <= UInt64(entry.eventCount) else {
                    throw .invalid("a block's kinds", reason: "their counts are not those of its events")
                }
                counts.append(UInt32(count))
                sum += count
            }
            guard kinds == 0 || sum == UInt64(entry.eventCount) else {
                throw .invalid("a block's kinds", reason: "their counts are not those of its events")
            }
            starts.append(UInt32(counts.count))
        }
        try reader.finish()
    }

    func encode(to writer: inout ByteWriter) {
        for count in counts { writer.putVarint(UInt64(count)) }
    }

    /// The kinds of a block that are counted: none where it has too many for its set.
    private static func countedKinds(_ entry: BlockIndexEntry) -> Int {
        entry.flags.contains(.manyKinds) ? 0 : entry.kindSet.nonzeroBitCount
    }

    /// Whether it says of every block that has kinds to count how many there are.
    func covers(_ entries: [BlockIndexEntry]) -> Bool {
        blockCount == entries.count
            && entries.indices.allSatisfy { self[block: $0].count == Self.countedKinds(entries[$0]) }
    }
}
