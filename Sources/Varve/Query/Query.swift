/// Which events to yield, and in which order. All conditions combine by *and*; a fresh query matches all.
public struct Query: Hashable, Sendable {
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

    /// Yields at most `count` events.
    public func limit(_ count: UInt64) -> Query { with { $0.limit = count } }

    /// Yields the last event first.
    public func reversed() -> Query { with { $0.isReversed = true } }
}
