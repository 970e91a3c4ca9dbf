internal import VarveFormat

extension Optional {
    /// Makes the range reach over another one, too.
    mutating func widen<Bound>(to other: ClosedRange<Bound>) where Wrapped == ClosedRange<Bound> {
        self =
            map { min($0.lowerBound, other.lowerBound)...max($0.upperBound, other.upperBound) } ?? other
    }
}

extension BlockIndexEntry {
    /// The numbers of its events.
    var sequences: Range<UInt64> { firstSequence..<nextSequence }
}

extension SegmentSummary {
    /// The numbers that the segment's events may have.
    var sequences: Range<UInt64> { baseSequence..<nextSequence }
}
