internal import VarveFormat

/// Gathers the keys of a segment's text filters while its blocks are written.
///
/// Keys are held until the end, four bytes each and no more than `keysMax` of them: what comes after that gets no filter, which rules
/// nothing out. Many keys are common to most sub-blocks, of the workload A three quarters; samples of the payload tell beforehand which
/// ones, so that those are not held. What else is common shows at the end.
struct FilterCollector {
    private let keys = TextKeys()
    private let keysMax: Int
    private let common: Set<UInt32>
    private var blocks: [[[UInt32]?]] = []
    private var keyCount = 0
    private(set) var leftOut = 0

    /// `samples` are pieces of the payload, none larger than a sub-block, from all over it.
    init(keysMax: Int, samples: [[UInt8]]) {
        // A key takes a byte of the section, whose tables are far smaller than the other half of it.
        self.keysMax = min(keysMax, Limits.sectionBytesMax / 2)
        let keys = self.keys
        var counts: [UInt32: Int] = [:]
        for sample in samples {
            keys.begin(rawBytes: sample.count)
            sample.withUnsafeBytes { keys.add($0) }
            for key in keys.finish() ?? [] { counts[key, default: 0] += 1 }
        }
        common = Set(counts.filter { $0.value * 2 > samples.count }.keys)
    }

    /// Adds a block that holds no event.
    mutating func addControl() { blocks.append([]) }

    /// Adds a block of events, cut into sub-blocks as `encoded` says.
    mutating func add(_ encoded: EncodedBlock, _ rows: [EventRow], _ payload: UnsafeRawBufferPointer) {
        var parts: [[UInt32]?] = []
        parts.reserveCapacity(encoded.subBlockCount)
        var (row, offset) = (0, 0)
        for number in 0..<encoded.subBlockCount {
            let entry = EncodedBlock.headerRoom + number * SubBlockDirectoryEntry.byteCount
            func field(_ position: Int) -> Int {
                Int(
                    UInt32(
                        littleEndian: encoded.bytes.loadUnaligned(
                            fromByteOffset: entry + position, as: UInt32.self)))
            }
            let (count, rawBytes) = (field(0), field(4))
            defer { row += count }
            guard keyCount < keysMax else {
                parts.append(nil)
                leftOut += 1
                offset += rawBytes
                continue
            }
            keys.begin(rawBytes: rawBytes)
            for position in row..<row + count {
                let length = Int(rows[position].length)
                keys.add(UnsafeRawBufferPointer(rebasing: payload[offset..<offset + length]))
                offset += length
            }
            let found = keys.finish()?.filter { !common.contains($0) }
            keyCount += found?.count ?? 0
            parts.append(found)
        }
        blocks.append(parts)
    }

    /// The section's body, and nothing held any more. Empty: there are no filters.
    mutating func finish() -> [UInt8] {
        guard blocks.contains(where: { $0.contains { $0 != nil } }) else { return [] }
        var writer = ByteWriter()
        TokenFilters.encode(blocks, common: common.sorted(), to: &writer)
        blocks = []
        return writer.count <= Limits.sectionBytesMax ? writer.bytes : []
    }
}
