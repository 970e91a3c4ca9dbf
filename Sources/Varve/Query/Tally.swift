/// Counts of the events that match a query, by the time when they happened, their kind or their session.
public struct Tally: Hashable, Sendable {
    /// What events of one bucket are told apart by.
    public enum Grouping: Hashable, Sendable {
        case none, kind, session
    }

    /// One of a bucket's groups.
    public enum Group: Hashable, Sendable {
        /// All events.
        case all
        /// Those of a kind.
        case kind(EventKind)
        /// Those of the session with this ordinal.
        case session(UInt64)
    }

    /// More buckets than this are refused: each takes some hundred bytes.
    public static let bucketsMax = 1_000_000

    /// Where time is cut: bucket n holds the timestamps from n times the width to below n + 1 times.
    public let bucketNanoseconds: Int64?
    /// What is added to timestamps before they are put into buckets: what the store's clock lacked.
    public let shiftNanoseconds: Int64
    /// What the events of a bucket are told apart by.
    public let grouping: Grouping
    /// Events by bucket (0 for all where time is not cut) and group; those without any are not there.
    public internal(set) var counts: [Int64: [Group: UInt64]] = [:]
    /// What is missing in the counts.
    public internal(set) var coverage = Coverage()
    /// What was done for them.
    public internal(set) var statistics = QueryStatistics()

    init(bucketNanoseconds: Int64?, shiftNanoseconds: Int64, grouping: Grouping) {
        self.shiftNanoseconds = shiftNanoseconds
        self.bucketNanoseconds = bucketNanoseconds.map { max($0, 1) }
        self.grouping = grouping
    }

    /// All events together.
    public var total: UInt64 { totals.values.reduce(0, &+) }

    /// The events of each group, in all buckets.
    public var totals: [Group: UInt64] {
        counts.values.reduce(into: [:]) { totals, groups in
            for (group, count) in groups { totals[group, default: 0] &+= count }
        }
    }

    /// The number of the bucket that a timestamp of the store falls into.
    public func bucket(of timestamp: Int64) -> Int64 {
        guard let width = bucketNanoseconds else { return 0 }
        let (sum, isOver) = timestamp.addingReportingOverflow(shiftNanoseconds)
        let timestamp = isOver ? (shiftNanoseconds < 0 ? .min : .max) : sum
        let (quotient, remainder) = timestamp.quotientAndRemainder(dividingBy: width)
        return remainder < 0 ? quotient - 1 : quotient
    }

    /// The times of a bucket, shifted.
    public func times(ofBucket number: Int64) -> ClosedRange<Int64> {
        guard let width = bucketNanoseconds else { return .min ... .max }
        let (start, overflow) = number.multipliedReportingOverflow(by: width)
        guard overflow else {
            let (end, endOverflow) = start.addingReportingOverflow(width - 1)
            return start...(endOverflow ? .max : end)
        }
        guard number < 0 else { return .max ... .max }
        // It begins before what 64 bits hold: its end is that of all its times, not of as many from there on.
        let (next, nextOverflow) = (number + 1).multipliedReportingOverflow(by: width)
        return .min...(nextOverflow || next == .min ? .min : next - 1)
    }

    /// The store's own timestamps that fall into a bucket, of which there is one.
    func ownTimes(ofBucket number: Int64) -> ClosedRange<Int64> {
        guard bucketNanoseconds != nil else { return .min ... .max }
        let times = times(ofBucket: number)
        // An end of what 64 bits hold takes what was held there.
        func own(_ time: Int64) -> Int64 {
            let (difference, isOver) = time.subtractingReportingOverflow(shiftNanoseconds)
            return isOver ? (shiftNanoseconds > 0 ? .min : .max) : difference
        }
        let first = times.lowerBound == .min ? Int64.min : own(times.lowerBound)
        return first...max(first, times.upperBound == .max ? .max : own(times.upperBound))
    }

    mutating func add(_ count: UInt64, bucket: Int64, _ group: Group) {
        guard count > 0 else { return }
        counts[bucket, default: [:]][group, default: 0] &+= count
    }
}

extension Snapshot {
    /// Counts the events that match, by buckets of time and by kind or session.
    ///
    /// Where a whole segment or block matches and falls into one bucket and one group, what its index says is all that is read; of
    /// others the small columns. Payloads are decompressed for predicates on them alone. The order and the limit of the query do not
    /// matter; `decodingAhead` is as of `count`. O(blocks that may match). Errors: `beyondLimit` for more than `Tally.bucketsMax` buckets
    /// with events; what the system refuses to read.
    public func tally(
        _ query: Query = Query(), bucketNanoseconds: Int64? = nil, shiftNanoseconds: Int64 = 0,
        by grouping: Tally.Grouping = .none, decodingAhead: Bool = false
    ) throws(StoreError) -> Tally {
        var query = query
        query.limit = query.limit == 0 ? 0 : nil
        query.isReversed = false
        var tally = Tally(
            bucketNanoseconds: bucketNanoseconds, shiftNanoseconds: shiftNanoseconds, grouping: grouping)
        var cursor = try cursor(query, decodingAhead: decodingAhead && query.needsPayload)
        if query.needsPayload {
            try cursor.countRows(into: &tally)
        } else {
            try cursor.core.count(into: &tally)
        }
        tally.coverage = cursor.coverage
        tally.statistics = cursor.statistics
        return tally
    }

    /// From the earliest to the latest timestamp of the blocks that may match: those of the events that match lie in it. Nil when there
    /// are none. Reads indices, no data but the small columns of blocks that retention keeps a part of.
    public func timeRange(of query: Query = Query()) throws(StoreError) -> ClosedRange<Int64>? {
        var query = query
        query.isReversed = false
        var range: ClosedRange<Int64>?
        try CursorCore(self, query).forEachCandidateTimes { times in
            range.widen(to: times)
        }
        guard let range, let time = query.time else { return range }
        return range.overlaps(time) ? range.clamped(to: time) : nil
    }
}

extension CursorCore {
    func forEachCandidateTimes(_ body: (ClosedRange<Int64>) -> Void) throws(StoreError) {
        while let number = try nextCandidate() {
            if let times = try candidateTimes(number) { body(times) }
        }
    }

    /// Adds the counts of the events that match, where no predicate has to see payloads.
    func count(into tally: inout Tally) throws(StoreError) {
        guard query.limit != 0 else { return }
        var counter = Counter(tally)
        countsWholeSegments { [self] segment in counter.add(segment, core: self) }
        defer {
            countsWholeSegments(nil)
            tally = counter.finish()
        }
        while let number = try nextCandidate() {
            try counter.check()
            if let entry = wholeBlock(number), counter.add(entry, core: self) { continue }
            guard try load(number, payloads: false) else { continue }
            counter.prepare(core: self)
            forEachChosenRows { counter.add(rows: $0, run.pointee) }
        }
        try counter.check()
    }
}

extension EventCursor {
    /// Adds the counts of a new cursor's events.
    fileprivate mutating func countRows(into tally: inout Tally) throws(StoreError) {
        var counter = Counter(tally)
        defer { tally = counter.finish() }
        while try advance() {
            counter.prepare(core: run.pointee.cursorCore)
            counter.add(rows: row..<rowEnd, run.pointee)
            try counter.check()
        }
    }
}

/// Adds up what falls into the same bucket before it is put down: events mostly come in the order of their times.
private struct Counter {
    private var tally: Tally
    private var bucket: Int64 = 0
    private var times: ClosedRange<Int64>
    /// Of the bucket, by the group's number: that of the kind in the cursor, or 0.
    private var counts: [UInt64] = [0]
    private var session: UInt64 = 0
    private var kinds: [EventKind] = []

    init(_ tally: Tally) {
        self.tally = tally
        bucket = tally.bucket(of: 0)
        times = tally.ownTimes(ofBucket: bucket)
    }

    /// Makes room for the groups that the block at hand may have.
    mutating func prepare(core: CursorCore) {
        switch tally.grouping {
        case .none: break
        case .kind:
            kinds = core.knownKinds
            if counts.count < kinds.count {
                counts += Array(repeating: 0, count: kinds.count - counts.count)
            }
        case .session:
            if session != core.run.pointee.session { flush() }
            session = core.run.pointee.session
        }
    }

    private mutating func flush() {
        for (number, count) in counts.enumerated() where count > 0 {
            switch tally.grouping {
            case .none: tally.add(count, bucket: bucket, .all)
            case .kind: tally.add(count, bucket: bucket, .kind(kinds[number]))
            case .session: tally.add(count, bucket: bucket, .session(session))
            }
            counts[number] = 0
        }
    }

    func check() throws(StoreError) {
        guard tally.counts.count <= Tally.bucketsMax else {
            throw .beyondLimit(
                what: "buckets with events", value: UInt64(tally.counts.count),
                limit: UInt64(Tally.bucketsMax))
        }
    }

    private mutating func move(to timestamp: Int64) {
        flush()
        bucket = tally.bucket(of: timestamp)
        times = tally.ownTimes(ofBucket: bucket)
    }

    mutating func add(rows: Range<Int>, _ run: CursorRun) {
        if tally.grouping == .kind {
            for row in rows {
                let timestamp = run.timestamps[row]
                if !times.contains(timestamp) { move(to: timestamp) }
                counts[Int(run.kindNumbers[Int(run.kinds[row])])] &+= 1
            }
        } else if tally.bucketNanoseconds == nil {
            counts[0] &+= UInt64(rows.count)
        } else {
            for row in rows {
                let timestamp = run.timestamps[row]
                if !times.contains(timestamp) { move(to: timestamp) }
                counts[0] &+= 1
            }
        }
    }

    /// Adds a block all of whose events match; false where its statistics do not say enough.
    mutating func add(_ block: CursorCore.WholeBlock, core: CursorCore) -> Bool {
        let bucket = tally.bucket(of: block.times.lowerBound)
        guard tally.bucketNanoseconds == nil || bucket == tally.bucket(of: block.times.upperBound) else {
            return false
        }
        switch tally.grouping {
        case .none: tally.add(block.events, bucket: bucket, .all)
        case .session: tally.add(block.events, bucket: bucket, .session(block.session))
        case .kind:
            guard let kinds = block.kinds else { return false }
            for (kind, events) in kinds { tally.add(events, bucket: bucket, .kind(kind)) }
        }
        core.countWholeBlock()
        return true
    }

    /// Adds a segment all of whose events match but for their kind; false where its index does not say enough.
    mutating func add(_ segment: CursorCore.WholeSegment, core: CursorCore) -> Bool {
        let bucket = tally.bucket(of: segment.times.lowerBound)
        guard tally.bucketNanoseconds == nil || bucket == tally.bucket(of: segment.times.upperBound) else {
            return false
        }
        switch tally.grouping {
        case .session: return false
        case .none: tally.add(segment.kinds.reduce(0) { $0 &+ $1.events }, bucket: bucket, .all)
        case .kind: for (kind, events) in segment.kinds { tally.add(events, bucket: bucket, .kind(kind)) }
        }
        return true
    }

    mutating func finish() -> Tally {
        flush()
        return tally
    }
}
