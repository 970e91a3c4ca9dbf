/// Which events to yield, and in which order. All conditions combine by *and*; a fresh query matches all.
public struct Query: Sendable {
    /// Only events of sessions with one of these ids.
    public var sessionIDs: Set<String>?
    /// Only events of the sessions with these ordinals.
    public var sessionOrdinals: Set<UInt64>?
    /// Only events whose kind has one of these names. Texts compare as Swift's do: two spellings of what Unicode takes
    /// for one text match each other, though they name two kinds.
    public var kindNames: Set<String>?
    /// Only events with a timestamp in this range (nanoseconds since the epoch, both ends included).
    public var time: ClosedRange<Int64>?
    /// Only events with a sequence number in this range.
    public var sequences: ClosedRange<UInt64>?
    /// Only events that all of these match.
    public var predicates: [any EventPredicate] = []
    /// At most this many events.
    public var limit: UInt64?
    /// Whether the last event comes first.
    public var isReversed = false

    /// All events, in the order recorded.
    public init() {}

    private func with(_ change: (inout Query) -> Void) -> Query {
        var query = self
        change(&query)
        return query
    }

    /// Restricts to sessions with this id (or one of several, when called again).
    public func session(_ id: String) -> Query { with { $0.sessionIDs = ($0.sessionIDs ?? []).union([id]) } }

    /// Restricts to the session with this ordinal (or one of several, when called again).
    public func session(ordinal: UInt64) -> Query {
        with { $0.sessionOrdinals = ($0.sessionOrdinals ?? []).union([ordinal]) }
    }

    /// Restricts to kinds with these names.
    public func kinds(_ names: String...) -> Query {
        with { $0.kindNames = ($0.kindNames ?? []).union(names) }
    }

    /// Restricts to timestamps in this range, both ends included.
    public func time(_ range: ClosedRange<Int64>) -> Query { with { $0.time = range } }

    /// Restricts to sequence numbers in this range.
    public func sequences(_ range: ClosedRange<UInt64>) -> Query { with { $0.sequences = range } }

    /// Restricts to events that the predicate matches (and all others given).
    public func matching(_ predicate: any EventPredicate) -> Query {
        with { $0.predicates.append(predicate) }
    }

    /// Yields at most `count` events.
    public func limit(_ count: UInt64) -> Query { with { $0.limit = count } }

    /// Whether nothing but sessions is chosen, if anything: then those without events are meant too.
    package var isOfWholeSessions: Bool {
        kindNames == nil && time == nil && sequences == nil && predicates.isEmpty && limit == nil
    }

    /// Whether payloads must be looked at to know what matches.
    var needsPayload: Bool { predicates.contains(where: \.needsPayload) }

    /// Yields the last event first.
    public func reversed() -> Query { with { $0.isReversed = true } }
}

extension Query: Hashable {
    /// What two queries are compared by.
    private struct Key: Hashable {
        let sessions: Set<String>?
        let ordinals: Set<UInt64>?
        let kinds: Set<String>?
        let time: ClosedRange<Int64>?
        let sequences: ClosedRange<UInt64>?
        let predicates: [Predicate]
        let limit: UInt64?
        let isReversed: Bool

        struct Predicate: Hashable {
            let type: ObjectIdentifier
            let description: String
        }

        init(_ query: Query) {
            sessions = query.sessionIDs
            ordinals = query.sessionOrdinals
            kinds = query.kindNames
            time = query.time
            sequences = query.sequences
            predicates = query.predicates.map {
                Predicate(type: ObjectIdentifier(type(of: $0)), description: $0.description)
            }
            limit = query.limit
            isReversed = query.isReversed
        }
    }

    /// Whether both have the same conditions in the same order.
    public static func == (left: Query, right: Query) -> Bool { Key(left) == Key(right) }

    /// Feeds the conditions to the hasher.
    public func hash(into hasher: inout Hasher) { hasher.combine(Key(self)) }
}
