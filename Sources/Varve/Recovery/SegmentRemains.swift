internal import VarveFormat
internal import VarveIO

/// What can be told of a segment file whose header can't be read: its blocks name their segment themselves.
struct SegmentRemains: Hashable, Sendable {
    /// What the file's name says; nil for one of another form.
    let name: SegmentName?
    let byteCount: UInt64
    /// Nothing was ever written to it, as far as the disk knows.
    let isZero: Bool
    /// The segment that most of its bytes belong to, by its blocks.
    private(set) var segment: UniqueID?
    /// The number after the last event that a block header counts.
    private(set) var nextSequence: UInt64 = 0
    /// Blocks say that others before them, in this segment, were durable.
    private(set) var isDurable = false
    /// The highest epoch, and the counters, in its blocks.
    private(set) var epochMax: UInt64 = 0, sessionsBegun: UInt64 = 0, checkpointsMade: UInt64 = 0

    /// Looks through a file. O(bytes). What the system refuses to read counts as damaged, or is thrown.
    init(of file: any File, _ fileName: String, ignoresRefusals: Bool) throws(IOFailure) {
        name = SegmentName(fileName: fileName)
        byteCount = try file.size()
        let reader = RepairReader(file: file, segment: .zero)
        isZero = reader.isZero(0..<byteCount)
        if !isZero {
            segment = reader.dominantSegment(byteCount: byteCount)
            if let segment { look(for: segment, reader) }
        }
        if !ignoresRefusals, let failure = reader.failure { throw failure }
    }

    private mutating func look(for segment: UniqueID, _ reader: RepairReader) {
        var found = self
        reader.forEachBlock(byteCount) { header in
            guard header.segment == segment else { return }
            found.nextSequence = max(found.nextSequence, header.nextSequence)
            if header.durableSegment == name?.ordinal { found.isDurable = true }
            found.epochMax = max(found.epochMax, header.epoch)
            found.sessionsBegun = max(found.sessionsBegun, header.sessionsBegun, header.sessionOrdinal)
            found.checkpointsMade = max(found.checkpointsMade, header.checkpointsMade)
        }
        self = found
    }
}
