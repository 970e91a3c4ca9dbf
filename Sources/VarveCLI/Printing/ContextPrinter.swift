import Varve

/// Prints the events around those that match: of the same session, whatever else was asked for, each once.
///
/// It goes one way: of a session that was resumed behind others, what lies before the last printed event is not gone back to.
struct ContextPrinter {
    private let snapshot: Snapshot
    private let isReversed: Bool
    /// How many come out before a match, and how many after it: in the direction of the answer.
    private let leading: UInt64
    private let trailing: UInt64
    /// The last match, and the last event that was printed.
    private var match: (sequence: UInt64, session: UInt64)?
    private var printed: UInt64?
    /// What can't be read of the context.
    private(set) var gaps: [Gap] = []

    init(_ snapshot: Snapshot, isReversed: Bool, before: UInt64, after: UInt64) {
        self.snapshot = snapshot
        self.isReversed = isReversed
        leading = isReversed ? after : before
        trailing = isReversed ? before : after
    }

    /// Prints what comes between the last match and this one, as far as it is near to either. To be called before the match is printed.
    mutating func printBefore(_ event: borrowing EventView, _ printer: EventPrinter) throws {
        let sequence = event.sequence
        try printTrailing(upTo: sequence, printer)
        let reach = try reach(of: sequence, in: event.sessionOrdinal)
        if let printed, try !isNext(reach, after: printed) { try printer.separate() }
        if reach != sequence {
            var query = within(from(reach), short: sequence).session(ordinal: event.sessionOrdinal)
            query.isReversed = isReversed
            var cursor = try snapshot.cursor(query)
            // Views number kinds by their cursor, and the printer knows those of the matches'.
            while let event = try cursor.nextEvent() { try printer.print(event, isContext: true) }
        }
        match = (sequence, event.sessionOrdinal)
        printed = sequence
    }

    /// Prints what comes after the last match.
    mutating func finish(_ printer: EventPrinter) throws { try printTrailing(upTo: nil, printer) }

    /// The farthest event that comes out before a match, of those that were not printed; itself where there is none.
    private mutating func reach(of sequence: UInt64, in session: UInt64) throws -> UInt64 {
        guard leading > 0 else { return sequence }
        var query = within(printed.map(beyond) ?? Query(), short: sequence).session(ordinal: session)
        guard query.limit == nil else { return sequence }
        query.isReversed = !isReversed
        query.limit = leading
        var reach = sequence
        var count: UInt64 = 0
        var cursor = try snapshot.cursor(query)
        while let event = try cursor.next() {
            reach = event.sequence
            count += 1
        }
        try note(
            cursor.coverage.gaps, from: sequence, to: count == leading ? reach : nil, session,
            isUp: isReversed)
        return reach
    }

    private mutating func printTrailing(upTo next: UInt64?, _ printer: EventPrinter) throws {
        guard trailing > 0, let match else { return }
        self.match = nil
        var query = beyond(match.sequence).session(ordinal: match.session)
        if let next { query = within(query, short: next) }
        guard query.limit == nil else { return }
        query.isReversed = isReversed
        query.limit = trailing
        var count: UInt64 = 0
        var cursor = try snapshot.cursor(query)
        while let event = try cursor.nextEvent() {
            try printer.print(event, isContext: true)
            printed = event.sequence
            count += 1
        }
        try note(
            cursor.coverage.gaps, from: match.sequence, to: count == trailing ? printed : nil,
            match.session, isUp: !isReversed)
    }

    /// Keeps what is missing between a match and the last event that was found; nil: its session ended before there were enough.
    private mutating func note(
        _ found: [Gap], from match: UInt64, to end: UInt64?, _ session: UInt64, isUp: Bool
    ) throws {
        guard !found.isEmpty else { return }
        let known = try snapshot.session(ordinal: session)
        let end = end ?? (isUp ? known.lastSequence : known.firstSequence) ?? match
        let range = min(match, end)...max(match, end)
        for gap in found where gap.sequences.overlaps(range) && !gaps.contains(gap) { gaps.append(gap) }
    }

    /// What comes after a number, in the direction of the answer.
    private func beyond(_ sequence: UInt64) -> Query {
        let next = isReversed ? sequence.subtractingReportingOverflow(1) : sequence.addingReportingOverflow(1)
        return next.overflow ? Query().limit(0) : from(next.partialValue)
    }

    /// What comes from a number on, in the direction of the answer.
    private func from(_ sequence: UInt64) -> Query {
        Query().sequences(isReversed ? 0...sequence : sequence...UInt64.max)
    }

    /// What of it comes before a number, in the direction of the answer.
    private func within(_ query: Query, short sequence: UInt64) -> Query {
        let range = query.sequences ?? 0...UInt64.max
        if isReversed {
            guard sequence < range.upperBound else { return query.limit(0) }
            return query.sequences(max(range.lowerBound, sequence + 1)...range.upperBound)
        }
        guard sequence > range.lowerBound else { return query.limit(0) }
        return query.sequences(range.lowerBound...min(range.upperBound, sequence - 1))
    }

    /// Whether there is no event between the two.
    private func isNext(_ sequence: UInt64, after printed: UInt64) throws -> Bool {
        let query = within(beyond(printed), short: sequence)
        return try query.limit == 0 || snapshot.count(query) == 0
    }
}
