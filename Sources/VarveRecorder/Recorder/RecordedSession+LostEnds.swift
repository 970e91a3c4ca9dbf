package import Varve

extension RecordedSession {
    /// What can't be read where the session's first and last events may have been: no query between those that are left tells of it.
    struct LostEnds {
        /// Before the first one that is left.
        fileprivate(set) var beginning: [Gap] = []
        /// After the last one.
        fileprivate(set) var end: [Gap] = []
        /// The index after that of the last one.
        fileprivate(set) var nextIndex: UInt64 = 0
    }

    /// Looks whether the session's first and last events are there. Errors: `RecorderError.store`.
    func lostEnds() throws(RecorderError) -> LostEnds {
        try RecorderError.storing { () throws(StoreError) in
            var lost = LostEnds()
            let gaps = try snapshot.gaps()
            guard !gaps.isEmpty else { return lost }
            guard let first = info.firstSequence, let last = info.lastSequence else {
                // Where the store's limits dropped all events there is none to be found beside the gap.
                if !dropped.isNothing { lost.end = gaps.filter { $0.reason == .retention } }
                return lost
            }
            let firstIndex = try snapshot.event(sequence: first)?.index
            lost.nextIndex = try snapshot.event(sequence: last).map { $0.index &+ 1 } ?? 0
            // The indices of an import don't tell: there what is missing beside its events may be its own.
            let isWholeFromStart = !info.isImported && firstIndex == 0
            let isWholeToEnd =
                !info.isImported && info.state == .closed && lost.nextIndex == info.nextIndex
            if !isWholeFromStart, first > 0 {
                lost.beginning = gaps.filter { $0.sequences.contains(first - 1) }
            }
            if !isWholeToEnd, last < .max { lost.end = gaps.filter { $0.sequences.contains(last + 1) } }
            return lost
        }
    }

    /// What is missing in an answer over all that is retained, with what may have been lost at the session's ends.
    func coverage(_ found: Coverage) throws(RecorderError) -> Coverage {
        let lost = try lostEnds()
        // What the recorder's limits evicted is no loss.
        let gaps = (evictedEvents > 0 ? [] : lost.beginning) + found.gaps + lost.end
        return Coverage(gaps: own(gaps, in: 0..<UInt64.max))
    }

    /// Without what the store's limits dropped of other sessions, as far as indices tell: where none of these are dropped of this one.
    private func own(_ gaps: [Gap], in indices: Range<UInt64>) -> [Gap] {
        dropped.overlaps(indices) ? gaps : gaps.filter { $0.reason != .retention }
    }

    /// What is missing between a checkpoint (nil: the session's beginning) and a moment, of which `count` events could be read and
    /// `gaps` not: what is lost of them, and whether they are complete.
    package func losses(
        after checkpoint: Checkpoint?, upTo moment: Moment, count: UInt64, gaps: [Gap]
    ) throws(RecorderError) -> (gaps: [Gap], isComplete: Bool) {
        let lost = try lostEnds()
        let start = checkpoint?.eventIndex ?? 0
        let indices: Range<UInt64>
        var lostEnd: [Gap] = []
        switch moment {
        case .index(let index):
            indices = start..<max(start, index)
            if index > lost.nextIndex { lostEnd = lost.end }
        case .time(let time):
            indices = start..<UInt64.max
            if time >= info.timeRange?.upperBound ?? .min { lostEnd = lost.end }
        }
        lostEnd = own(lostEnd, in: indices)
        let gaps = own((checkpoint == nil ? lost.beginning : []) + gaps, in: indices) + lostEnd
        // The indices of an import say nothing about what is missing.
        guard isAscending, case .index(let index) = moment else { return (gaps, gaps.isEmpty) }
        let expected = max(start, min(index, info.nextIndex)) - start
        // Where all of them are there, what is missing between them belongs to other sessions.
        return count == expected ? (lostEnd, lostEnd.isEmpty) : (gaps, false)
    }
}
