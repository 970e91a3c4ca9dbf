/// What a query did; for `--explain` and tests.
public struct QueryStatistics: Hashable, Sendable {
    /// What was not looked into, by the reason.
    public struct Pruned: Hashable, Sendable {
        private var sequence = 0, time = 0, session = 0, kind = 0, filter = 0, retention = 0

        /// How many for this reason.
        public internal(set) subscript(reason: PruneReason) -> Int {
            get {
                switch reason {
                case .sequence: sequence
                case .time: time
                case .session: session
                case .kind: kind
                case .filter: filter
                case .retention: retention
                }
            }
            set {
                switch reason {
                case .sequence: sequence = newValue
                case .time: time = newValue
                case .session: session = newValue
                case .kind: kind = newValue
                case .filter: filter = newValue
                case .retention: retention = newValue
                }
            }
        }

        /// All together.
        public var total: Int { sequence + time + session + kind + filter + retention }
    }

    /// Segments in the snapshot.
    public internal(set) var segments = 0
    /// Those that were not looked into.
    public internal(set) var segmentsPruned = Pruned()
    /// Those that were counted by their index, no block of them looked at.
    public internal(set) var segmentsCounted = 0
    /// Event blocks in the segments looked into.
    public internal(set) var blocks = 0
    /// Those that were ruled out one by one. What lies before or after the sequence numbers asked for, or below all that retention keeps,
    /// is passed over without being counted here, and so is what comes after a limit.
    public internal(set) var blocksPruned = Pruned()
    /// Blocks that were counted by their statistics, unread.
    public internal(set) var blocksCounted = 0
    /// Blocks of which the small column was decoded, and those of them of which payloads were too.
    public internal(set) var blocksRead = 0, blocksDecoded = 0
    /// Rows whose small columns were decoded, and rows that matched.
    public internal(set) var rowsDecoded: UInt64 = 0, rowsMatched: UInt64 = 0
    /// Sub-blocks whose payloads were decompressed, and those that filters ruled out in blocks that were read.
    public internal(set) var subBlocksDecoded = 0, subBlocksPruned = 0
    /// Stored bytes read, and payload bytes decompressed.
    public internal(set) var bytesRead: UInt64 = 0, bytesDecoded: UInt64 = 0

    static func += (sum: inout QueryStatistics, other: QueryStatistics) {
        sum.segments += other.segments
        sum.segmentsCounted += other.segmentsCounted
        sum.blocks += other.blocks
        sum.blocksCounted += other.blocksCounted
        for reason in PruneReason.allCases {
            sum.segmentsPruned[reason] += other.segmentsPruned[reason]
            sum.blocksPruned[reason] += other.blocksPruned[reason]
        }
        sum.blocksRead += other.blocksRead
        sum.blocksDecoded += other.blocksDecoded
        sum.rowsDecoded += other.rowsDecoded
        sum.rowsMatched += other.rowsMatched
        sum.subBlocksDecoded += other.subBlocksDecoded
        sum.subBlocksPruned += other.subBlocksPruned
        sum.bytesRead += other.bytesRead
        sum.bytesDecoded += other.bytesDecoded
    }
}
