extension ClosedRange<UInt64> {
    /// The parts of missing numbers that a record names, in their order, and what none names. Where records overlap, the one that begins
    /// first counts. O(records × log of those that overlap).
    func parts(named records: [(range: ClosedRange<UInt64>, reason: GapReason, note: String)]) -> [(
        range: ClosedRange<UInt64>, known: (reason: GapReason, note: String)?
    )] {
        let found = records.filter { $0.range.overlaps(self) }
            .sorted { $0.range.lowerBound < $1.range.lowerBound }
        var parts: [(range: ClosedRange<UInt64>, known: (reason: GapReason, note: String)?)] = []
        var next = lowerBound
        for (range, reason, note) in found {
            let part = range.clamped(to: self)
            guard part.upperBound >= next else { continue }
            if part.lowerBound > next { parts.append((next...part.lowerBound - 1, nil)) }
            parts.append((Swift.max(next, part.lowerBound)...part.upperBound, (reason, note)))
            guard part.upperBound < upperBound else { return parts }
            next = part.upperBound + 1
        }
        parts.append((next...upperBound, nil))
        return parts
    }
}
