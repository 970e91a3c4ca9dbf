import Varve

/// What the store's limits dropped of a session.
struct DroppedParts: Sendable {
    /// The indices of its events that are gone, ascending. The indices of an import don't tell: all, where some may be gone.
    private(set) var indices: [Range<UInt64>] = []
    /// The numbers between its retained events that are gone, ascending.
    private var sequences: [ClosedRange<UInt64>] = []

    /// Whether all that was recorded is there, but for losses.
    var isNothing: Bool { indices.isEmpty }

    /// Whether events with these indices are gone.
    func overlaps(_ range: Range<UInt64>) -> Bool { indices.contains { $0.overlaps(range) } }

    /// Reads the events beside what is dropped: two for each part of the log, and none of a session that is whole.
    init(of info: SessionInfo, _ snapshot: Snapshot) throws(StoreError) {
        // Indices are dense: one that has them all lacks nothing, whatever is missing beside its events.
        guard info.nextIndex > 0, info.isImported || info.eventCount < info.nextIndex else { return }
        let gaps = try snapshot.gaps().filter { $0.reason == .retention }.map(\.sequences)
        guard !gaps.isEmpty else { return }
        guard let first = info.firstSequence, let last = info.lastSequence, first <= last else {
            indices = [0..<(info.isImported ? .max : info.nextIndex)]
            return
        }
        sequences = gaps.filter { first < $0.lowerBound && $0.upperBound < last }
        if info.isImported {
            let isBeside = gaps.contains { gap in
                (first > 0 && gap.contains(first - 1)) || (last < .max && gap.contains(last + 1))
            }
            if isBeside || !sequences.isEmpty { indices = [0..<UInt64.max] }
            return
        }
        let query = Query().session(ordinal: info.ordinal)
        for gap in gaps {
            var (start, end) = (UInt64(0), info.nextIndex)
            if gap.lowerBound > first {
                var before = try snapshot.cursor(
                    query.sequences(first...gap.lowerBound - 1).reversed().limit(1))
                start = try before.nextEvent().map { $0.index &+ 1 } ?? 0
            }
            if gap.upperBound < last {
                var after = try snapshot.cursor(query.sequences(gap.upperBound + 1...last).limit(1))
                end = try after.nextEvent()?.index ?? end
            }
            if start < end { indices.append(start..<end) }
        }
    }

    /// The number of the first of so many retained events, of which this is the last.
    func firstSequence(of count: UInt64, endingWith last: UInt64) -> UInt64? {
        Self.first(of: count, endingWith: last, without: sequences)
    }

    /// The same for indices; `last` is that of the last event, dropped or not.
    func firstIndex(of count: UInt64, endingWith last: UInt64) -> UInt64? {
        Self.first(of: count, endingWith: last, without: indices.map { $0.lowerBound...$0.upperBound - 1 })
    }

    private static func first(
        of count: UInt64, endingWith last: UInt64, without ranges: [ClosedRange<UInt64>]
    ) -> UInt64? {
        guard count > 0, var first = last.subtractingChecked(count - 1) else { return nil }
        for range in ranges.reversed() where range.upperBound >= first {
            guard
                let earlier = first.subtractingChecked(range.upperBound - range.lowerBound)?
                    .subtractingChecked(1)
            else { return nil }
            first = earlier
        }
        return first
    }
}
