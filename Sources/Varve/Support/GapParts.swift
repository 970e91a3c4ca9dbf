/// What is known of missing numbers, sorted once for many questions.
struct NamedGaps {
    typealias Record = (range: ClosedRange<UInt64>, reason: GapReason, note: String)

    /// By their first number; those with the same one as they were given.
    private let records: [Record]
    /// The largest number of each record and all before it.
    private let last: [UInt64]

    init(_ records: [Record]) {
        let sorted = records.sorted { $0.range.lowerBound < $1.range.lowerBound }
        var last: [UInt64] = []
        last.reserveCapacity(sorted.count)
        for record in sorted { last.append(Swift.max(last.last ?? 0, record.range.upperBound)) }
        self.records = sorted
        self.last = last
    }

    /// With a few more.
    func adding(_ more: [Record]) -> NamedGaps { NamedGaps(records + more) }

    /// Those that overlap a range, in order. O(log n) and what is found, unless long records lie over others.
    func overlapping(_ range: ClosedRange<UInt64>) -> [Record] {
        let first = last.partitioningIndex { $0 >= range.lowerBound }
        return records[first...].prefix { $0.range.lowerBound <= range.upperBound }
            .filter { $0.range.overlaps(range) }
    }
}

extension ClosedRange<UInt64> {
    /// The parts of missing numbers that a record names, in their order, and what none names. Where records overlap, the one that begins
    /// first counts. O(records × log of those that overlap).
    func parts(named records: NamedGaps) -> [(
        range: ClosedRange<UInt64>, known: (reason: GapReason, note: String)?
    )] {
        let found = records.overlapping(self)
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
