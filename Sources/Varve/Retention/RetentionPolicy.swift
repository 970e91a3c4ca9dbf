internal import VarveFormat

/// Decides what goes when bytes are to be given back: pure, from what segments hold to what is kept from then on.
enum RetentionPolicy {
    /// A segment as far as retention is concerned.
    struct Segment: Hashable, Sendable {
        var ordinal: UInt64
        /// The numbers of its events, and of all segments up to here.
        var sequences: Range<UInt64>
        /// Checkpoints made in the store up to its end.
        var checkpointsMade: UInt64
        /// Bytes of its file.
        var fileBytes: UInt64
        /// Whether its file may go: it is sealed, and no segment that is not relies on it.
        var isRemovable: Bool
        /// Whether all of it is below the heads: what is left is pinned, or the checkpoint that what is kept starts from.
        var isDropped = false
        /// Whether it holds nothing that is retained; and whether pins keep all that it holds.
        var isDead: Bool
        var isPinned: Bool
    }

    /// What goes.
    struct Plan: Hashable, Sendable {
        /// Everything below this sequence number, but for what is pinned.
        var head: UInt64
        /// The checkpoints that were made up to there, but for the last one that what is left starts from.
        var checkpointsMade: UInt64
        /// Ordinals of the segments that hold nothing of what is left, but perhaps that checkpoint and what is pinned.
        var segments: [UInt64]
        /// Bytes of their files.
        var bytes: UInt64
    }

    /// The segments that hold nothing more, and may go.
    static func dead(_ segments: [Segment]) -> [UInt64] {
        segments.filter { $0.isDead && $0.isRemovable }.map(\.ordinal)
    }

    /// The oldest segments that have so many bytes together, in their order; fewer where no more may go. Nil: none may.
    static func toFree(_ bytes: UInt64, of segments: [Segment]) -> Plan? {
        var plan: Plan?
        for segment in segments {
            if let plan, plan.bytes >= bytes { break }
            // What is pinned stays, and so do the log's end and what a segment without a footer relies on.
            guard segment.isRemovable else { continue }
            if segment.isPinned || segment.isDropped && !segment.isDead { continue }
            var next =
                plan ?? Plan(head: 0, checkpointsMade: 0, segments: [], bytes: 0)
            next.head = max(next.head, segment.sequences.upperBound)
            next.checkpointsMade = max(next.checkpointsMade, segment.checkpointsMade)
            next.segments.append(segment.ordinal)
            next.bytes = next.bytes.addingClamped(segment.fileBytes)
            plan = next
        }
        return plan
    }

    /// A block and when it was written.
    struct Written: Hashable, Sendable {
        var nextSequence: UInt64
        var checkpointsMade: UInt64
        var time: Int64
    }

    enum Age {
        /// It goes, with all before it.
        case old
        /// It stays, with all after it.
        case young
        /// What comes after it decides.
        case undecided
    }

    /// Whether a block was written more than `limit` before `now`: asked of one after the other, in the order of writing, until one is
    /// young.
    ///
    /// What was written while the clock was ahead goes with the next that was not, and what was written while it was behind goes no
    /// earlier than what comes before it.
    static func age(of block: Written, now: Int64, limit: UInt64) -> Age {
        if block.time > now { return .undecided }
        let (bound, overflow) = now.subtractingReportingOverflow(Int64(clamping: limit))
        return !overflow && block.time <= bound ? .old : .young
    }
}
