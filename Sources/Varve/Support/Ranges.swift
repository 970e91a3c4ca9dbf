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
    var sequences: Range<UInt64> { Range(from: firstSequence, upTo: nextSequence) }
}

extension SegmentSummary {
    /// The numbers that the segment's events may have.
    var sequences: Range<UInt64> { Range(from: baseSequence, upTo: nextSequence) }
}

extension Range<UInt64> {
    /// Empty where the end is below the start: numbers in forged files, with good checksums, need not ascend.
    init(from start: UInt64, upTo end: UInt64) { self = start..<Swift.max(start, end) }
}

extension Array {
    /// The first position from which on the condition holds. O(log n).
    func partitioningIndex(_ holds: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if holds(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
