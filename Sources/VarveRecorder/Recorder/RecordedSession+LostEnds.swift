package import Varve

extension RecordedSession {
    /// What can't be read where the session's first and last events may have been: no query between those that are left tells of it.
    package struct LostEnds {
        /// Before the first one that is left.
        package fileprivate(set) var beginning: [Gap] = []
        /// After the last one.
        package fileprivate(set) var end: [Gap] = []
        /// The index after that of the last one.
        package fileprivate(set) var nextIndex: UInt64 = 0
    }

    /// Looks whether the session's first and last events are there. Errors: `RecorderError.store`.
    package func lostEnds() throws(RecorderError) -> LostEnds {
        try RecorderError.storing { () throws(StoreError) in
            var lost = LostEnds()
            guard let first = info.firstSequence, let last = info.lastSequence else { return lost }
            let gaps = try snapshot.gaps()
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
}
