import Varve

/// Prints the events around those that match: of the same session, whatever else was asked for, each once.
struct ContextPrinter {
    private let snapshot: Snapshot
    private let isReversed: Bool
    /// How many come out before a match, and how many after it: in the direction of the answer.
    private let leading: UInt64
    private let trailing: UInt64
    /// The last match, and the last event that was printed.
    private var match: (sequence: UInt64, session: UInt64)?
    private var printed: UInt64?

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
        // Backwards from the match, as many as there are that were not printed, and then in order.
        var query = beyond(printed).session(ordinal: event.sessionOrdinal)
        query = within(query, short: sequence)
        query.isReversed = !isReversed
        var found: [Event] = []
        if leading > 0, query.limit == nil {
            query.limit = leading
            var cursor = try snapshot.cursor(query)
            while let event = try cursor.nextEvent() { found.append(event) }
        }
        let first = found.last?.sequence ?? sequence
        if let printed, try !isNext(first, after: printed) { try printer.separate() }
        for event in found.reversed() { try printer.print(event, isContext: true) }
        match = (sequence, event.sessionOrdinal)
        printed = sequence
    }

    /// Prints what comes after the last match.
    mutating func finish(_ printer: EventPrinter) throws { try printTrailing(upTo: nil, printer) }

    private mutating func printTrailing(upTo next: UInt64?, _ printer: EventPrinter) throws {
        guard trailing > 0, let match else { return }
        var query = beyond(match.sequence).session(ordinal: match.session)
        if let next { query = within(query, short: next) }
        guard query.limit == nil else { return }
        query.isReversed = isReversed
        query.limit = trailing
        var cursor = try snapshot.cursor(query)
        while let event = try cursor.next() {
            try printer.print(event, isContext: true)
            printed = event.sequence
        }
        self.match = nil
    }

    /// What comes after a number, in the direction of the answer.
    private func beyond(_ sequence: UInt64?) -> Query {
        guard let sequence else { return Query() }
        if isReversed { return sequence == 0 ? Query().limit(0) : Query().sequences(0...sequence - 1) }
        return sequence == .max ? Query().limit(0) : Query().sequences(sequence + 1...UInt64.max)
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
