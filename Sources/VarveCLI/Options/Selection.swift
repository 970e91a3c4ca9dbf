import Varve
import VarveJSON

/// Filters as they are carried out on one store.
struct Selection {
    /// What the engine is asked.
    var query = Query()
    /// What `--where` says: for notes on why nothing matches.
    var conditions: [WherePredicate] = []
    /// From one checkpoint up to another: the indices in the one session that the query names.
    var indices: Range<UInt64>?
    /// The query without what `--where` says.
    var unconditional = Query()
    /// Nothing can match, whatever the query says.
    var isEmpty: Bool { query.limit == 0 }

    /// Everything.
    init() {}

    /// What yields the events, with a second thread where more of them may be read than a few.
    func cursor(in snapshot: Snapshot) throws -> EventCursor {
        try snapshot.cursor(query, decodingAhead: query.limit == nil || !query.predicates.isEmpty)
    }

    /// Looks up what the options name.
    ///
    /// - Parameters:
    ///   - shift: what the store's times lack: those of `--from` and `--to` are the right ones, and those of `--where` the store's own.
    ///   - isShiftedLater: the query's times are to be the right ones, for somebody who applies the shift.
    /// - Throws: ``CommandFailure`` when the store has no such session, event or checkpoint.
    init(
        _ options: FilterOptions, in snapshot: Snapshot, now: Int64, shift: Int64 = 0,
        isShiftedLater: Bool = false
    ) throws {
        if !options.sessionIDs.isEmpty { query.sessionIDs = Set(options.sessionIDs) }
        if !options.kinds.isEmpty { query.kindNames = Set(options.kinds) }
        query.sequences = options.sequence?.range
        query.isReversed = options.isReversed
        query.limit = options.limit
        if let bounds = try options.timeBounds(now: now) {
            restrict(toTimes: bounds.first, bounds.last, shift: isShiftedLater ? 0 : shift)
        }
        if let around = options.around {
            guard let event = try snapshot.event(sequence: around) else {
                throw CommandFailure("--around \(around): there is no such event, or it can't be read")
            }
            // It may be wider than what 64 bits hold with a sign.
            let window = Int128(options.window?.nanoseconds ?? 30_000_000_000)
            let time = Int128(event.timestamp.saturating(adding: shift))
            restrict(
                toTimes: Int64(clamping: time - window), Int64(clamping: time + window),
                shift: isShiftedLater ? 0 : shift)
        }
        if !options.sessionNumbers.isEmpty {
            let sessions = try snapshot.sessions()
            query.sessionOrdinals = Set(try options.sessionNumbers.map { try Self.ordinal($0, of: sessions) })
        }
        if let first = options.between.first, let second = options.between.last {
            try restrict(toBetween: first, second, in: snapshot)
        }
        query.predicates += try options.textPredicates()
        unconditional = query
        conditions = try options.wherePredicates()
        for condition in conditions {
            query = query.matching(condition)
            // Ranges in conditions are of the store's own times.
            if !isShiftedLater || shift == 0 { query = condition.narrowing(query) }
        }
    }

    /// Ends that are none stay so; and no time that the shift takes beyond what 64 bits hold comes back.
    private mutating func restrict(toTimes first: Int64, _ last: Int64, shift: Int64) {
        let isBeyond =
            first != .min && shift < 0 && first.subtractingReportingOverflow(shift).overflow
            || last != .max && shift > 0 && last.subtractingReportingOverflow(shift).overflow
        if isBeyond { query.limit = 0 }
        let first = max(
            first == .min ? .min : first.saturating(subtracting: shift), query.time?.lowerBound ?? .min)
        let last = min(
            last == .max ? .max : last.saturating(subtracting: shift), query.time?.upperBound ?? .max)
        if first <= last { query.time = first...last } else { query.limit = 0 }
    }

    /// The ordinal that a number on the command line means: itself, or counted from the last session.
    static func ordinal(_ number: Int64, of sessions: [SessionInfo]) throws -> UInt64 {
        if number > 0, let found = sessions.first(where: { $0.ordinal == UInt64(number) }) {
            return found.ordinal
        }
        if number < 0, number >= -Int64(sessions.count) {
            return sessions[sessions.count + Int(number)].ordinal
        }
        throw CommandFailure(
            "--session-number \(number): no such session: the store has \(sessions.count) (see varve sessions)"
        )
    }

    /// The sessions with one of these ids and one of these numbers, in the order in which they were begun; an empty
    /// list leaves none out.
    ///
    /// - Throws: ``CommandFailure`` when there is none.
    static func sessions(ids: [String], numbers: [Int64], in snapshot: Snapshot) throws -> [SessionInfo] {
        let sessions = try snapshot.sessions()
        guard !sessions.isEmpty else { throw CommandFailure("no session: there is none in the store") }
        let ordinals = try numbers.map { try ordinal($0, of: sessions) }
        let chosen = sessions.filter {
            (ids.isEmpty || ids.contains($0.id)) && (ordinals.isEmpty || ordinals.contains($0.ordinal))
        }
        guard !chosen.isEmpty else {
            let names = (ids + numbers.map { "number \($0)" }).joined(separator: ", ")
            throw CommandFailure("no such session: \(names) (see varve sessions)")
        }
        return chosen
    }

    /// The events from one checkpoint up to the other, in whichever order they are named.
    ///
    /// They belong to one session: the last one among those asked for that has both. Of several checkpoints
    /// of one id in it the first counts.
    private mutating func restrict(toBetween first: String, _ second: String, in snapshot: Snapshot) throws {
        let checkpoints = try snapshot.checkpoints().filter { checkpoint in
            query.sessionIDs?.contains(checkpoint.sessionID) ?? true
                && query.sessionOrdinals?.contains(checkpoint.sessionOrdinal) ?? true
        }
        for id in [first, second] where !checkpoints.contains(where: { $0.hasID(id) }) {
            throw CommandFailure("checkpoint not found: \(id)")
        }
        for ordinal in Set(checkpoints.map(\.sessionOrdinal)).sorted(by: >) {
            let here = checkpoints.filter { $0.sessionOrdinal == ordinal }
            guard let a = here.first(where: { $0.hasID(first) }),
                let b = here.first(where: { $0.hasID(second) })
            else { continue }
            query.sessionOrdinals = [ordinal]
            let range = min(a.eventIndex, b.eventIndex)..<max(a.eventIndex, b.eventIndex)
            indices = range
            query.predicates.append(IndexPredicate(range))
            if range.isEmpty { query.limit = 0 }
            return
        }
        throw CommandFailure("no session has both checkpoints: \(first), \(second)")
    }
}

extension Checkpoint {
    /// Ids are compared byte for byte: two spellings of what Unicode takes for one text are two ids.
    fileprivate func hasID(_ id: String) -> Bool { self.id.utf8.elementsEqual(id.utf8) }
}

extension FixedWidthInteger {
    /// The sum, or what comes nearest to it.
    func saturating(adding other: Self) -> Self {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other < 0 ? .min : .max) : sum
    }

    /// The difference, or what comes nearest to it.
    func saturating(subtracting other: Self) -> Self {
        let (difference, overflow) = subtractingReportingOverflow(other)
        return overflow ? (other > 0 ? .min : .max) : difference
    }
}
