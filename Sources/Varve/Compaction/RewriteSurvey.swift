internal import VarveFormat

/// What of some segments is kept, found out from their indices alone.
struct RewriteSurvey {
    /// Sessions of which all is dropped, also that they were there.
    private(set) var droppedSessions: Set<UInt64> = []
    /// Sessions of which something in them is dropped.
    private(set) var usedSessions: Set<UInt64> = []
    /// The numbers that the new segment does not hold for retention's sake, or that its sources did not hold, ascending.
    private(set) var droppedRanges: [DroppedRange] = []
    private(set) var sampling = PayloadSampling()
    /// Whether there is an event, a checkpoint or a record to be kept.
    private(set) var keepsAnything = false

    /// How a session's beginning is written: with what it held dropped, it still tells that there was something.
    func begin(_ begin: SessionBegin) -> SessionBegin {
        var begin = begin
        if usedSessions.contains(begin.ordinal) { begin.flags.insert(.used) }
        return begin
    }

    init(_ indices: [SegmentIndex], _ retained: Retained) {
        var kept: Set<UInt64> = []
        var ranges = indices.flatMap(\.droppedRanges)
        for (source, index) in indices.enumerated() {
            for (number, entry) in index.entries.enumerated() where entry.type == .events {
                let range = entry.sequences
                let parts = retained.parts(of: range, session: entry.sessionOrdinal)
                if !parts.isEmpty {
                    kept.insert(entry.sessionOrdinal)
                    keepsAnything = true
                }
                if parts != [range] { usedSessions.insert(entry.sessionOrdinal) }
                sampling.add(entry, number: number, source: source, parts)
                var next = range.lowerBound
                for part in parts + [range.upperBound..<range.upperBound] {
                    if next < part.lowerBound {
                        ranges.append(
                            DroppedRange(first: next, last: part.lowerBound - 1, reason: .retention))
                    }
                    next = part.upperBound
                }
            }
            for checkpoint in index.checkpoints {
                guard retained.keeps(checkpoint.record) else {
                    usedSessions.insert(checkpoint.record.session)
                    continue
                }
                kept.insert(checkpoint.record.session)
                keepsAnything = true
            }
        }
        droppedRanges = Self.joined(ranges)
        droppedSessions = Self.dropped(indices, kept: kept, retained)
        keepsAnything =
            keepsAnything
            || indices.contains { index in
                index.entries.contains {
                    switch $0.type {
                    case .ledger: true
                    case .sessionBegin, .sessionEnd: !droppedSessions.contains($0.sessionOrdinal)
                    default: false
                    }
                }
            }
    }

    /// The sessions that begin and end in these segments, had something in them, and have nothing left. Of one that was begun before, or
    /// is begun again, something may be left elsewhere.
    private static func dropped(_ indices: [SegmentIndex], kept: Set<UInt64>, _ retained: Retained)
        -> Set<UInt64>
    {
        struct Life {
            var beginsHere: Bool
            var isEnded = false
            var hadSomething = false
        }
        var lives: [UInt64: Life] = [:]
        for summary in indices.flatMap(\.sessions) {
            let ordinal = summary.begin.ordinal
            var life =
                lives[ordinal]
                ?? Life(beginsHere: summary.begin.flags.isDisjoint(with: [.resumed, .continued]))
            life.isEnded = summary.state != .active
            life.hadSomething = life.hadSomething || summary.events > 0 || summary.checkpoints > 0
            lives[ordinal] = life
        }
        // One in which nothing was ever recorded goes when everything up to its end is gone.
        var passed: Set<UInt64> = []
        for entry in indices.flatMap(\.entries) where entry.type == .sessionEnd {
            if entry.firstSequence < retained.headSequence {
                passed.insert(entry.sessionOrdinal)
            } else {
                passed.remove(entry.sessionOrdinal)
            }
        }
        let pinned = Set(retained.pins.map(\.session))
        return Set(
            lives.filter { ordinal, life in
                life.beginsHere && life.isEnded && !kept.contains(ordinal) && !pinned.contains(ordinal)
                    && (life.hadSomething || passed.contains(ordinal))
            }.keys)
    }

    /// Neighbours of the same reason as one, in ascending order.
    private static func joined(_ ranges: [DroppedRange]) -> [DroppedRange] {
        var joined: [DroppedRange] = []
        for range in ranges.sorted(by: { ($0.first, $0.last) < ($1.first, $1.last) }) {
            if let last = joined.last, last.reason == range.reason,
                range.first <= last.last || range.first - last.last == 1
            {
                joined[joined.count - 1].last = max(last.last, range.last)
            } else {
                joined.append(range)
            }
        }
        return joined
    }
}

/// The kinds of several segments, and what the ids of each become.
///
/// The last segment's come first, with the ids that they have: what `TAIL` holds after a crash has those of the log's last segment.
/// Mostly they are all there are, since a writer takes over the kinds that it finds.
struct KindUnion {
    private(set) var definitions: [KindDefinition] = []
    /// For each segment the new ids of its kinds.
    private(set) var ids: [[UInt32]] = []

    init(_ indices: [SegmentIndex]) throws(RewriteError) {
        // By their bytes: two spellings of what Unicode takes for one text are two kinds.
        var known: [EventKind: UInt32] = [:]
        for index in indices.suffix(1) + indices {
            for kind in index.kinds {
                let identity = EventKind(kind.definition)
                guard known[identity] == nil else { continue }
                known[identity] = UInt32(definitions.count)
                definitions.append(kind.definition)
            }
        }
        guard definitions.count <= Limits.segmentKindsMax else {
            throw .doesNotFit("it would have more than \(Limits.segmentKindsMax) kinds")
        }
        for index in indices {
            ids.append(index.kinds.map { known[EventKind($0.definition)] ?? 0 })
        }
    }
}
