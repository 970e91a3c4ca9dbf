public import Varve
public import VarveJSON

/// How two sessions are compared.
public struct SessionComparison: Sendable {
    /// Places in JSON payloads that do not count: ids, say, that are others in each run.
    public var ignoredPaths: [JSONPath] = []
    /// Whether the time at which events happened counts.
    public var comparesTime = false
    /// Events before the difference, and after it, to show of each session.
    public var contextCount = 3

    /// Kinds and payloads count, and time does not.
    public init() {}

    /// Finds where two sessions, of one store or of two, first differ: their events are compared in the order recorded, one with one.
    ///
    /// Payloads of JSON are the same when they are the same value without the ignored paths: white space and the order of members do
    /// not count, while `1` is not `1.0`. All others are the same byte for byte. Checkpoints, ids, indices and metadata do not count.
    /// O(events) at most; stored blocks that are the same on both sides are not decompressed.
    ///
    /// Errors: `RecorderError.store`.
    public func compare(
        _ first: UInt64, in snapshot: Snapshot, with second: UInt64, in other: Snapshot
    ) throws(RecorderError) -> SessionDifference {
        let (query, otherQuery) = (Query().session(ordinal: first), Query().session(ordinal: second))
        do {
            _ = try (snapshot.session(ordinal: first), other.session(ordinal: second))
            let result = try snapshot.compare(
                query, with: other, otherQuery, comparesTime: comparesTime,
                isSame: { left, right in
                    left.kind.encoding == .json
                        && left.withUnsafeBytes { left in
                            right.withUnsafeBytes { right in isSameValue(left, right) }
                        }
                })
            guard let divergence = result.divergence else {
                return SessionDifference(result: result, path: nil, firstContext: [], secondContext: [])
            }
            return SessionDifference(
                result: result, path: path(of: divergence),
                firstContext: try context(
                    of: divergence.first, divergence.equalEvents, query, snapshot),
                secondContext: try context(
                    of: divergence.second, divergence.equalEvents, otherQuery, other))
        } catch let error as StoreError {
            throw .store(error)
        } catch {
            throw .store(.invalid(what: "a comparison", reason: "\(error)"))
        }
    }

    private func tree(_ bytes: UnsafeRawBufferPointer) -> JSONTree? {
        // Deeper than this it is compared as bytes: a tree is walked with the stack.
        guard JSONNodeReader.firstBracket(deeperThan: SessionJSON.depthMax, in: bytes) == nil,
            (try? JSONNodeReader().parse(bytes)) != nil
        else { return nil }
        return ignoredPaths.reduce(JSONTree(validated: bytes)) { $0.removing($1) }
    }

    private func isSameValue(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        guard let left = tree(left), let right = tree(right) else { return false }
        return left == right
    }

    /// Where the payloads of a pair differ; nil when there is no pair, or none of JSON.
    private func path(of divergence: Divergence) -> String? {
        guard let first = divergence.first, let second = divergence.second, first.kind == second.kind,
            first.kind.encoding == .json,
            let left = first.payload.withUnsafeBytes(tree), let right = second.payload.withUnsafeBytes(tree)
        else { return nil }
        return left.firstDifference(from: right)
    }

    /// The events around the difference: those before it, it, and those after it.
    private func context(
        of event: Event?, _ equalEvents: UInt64, _ query: Query, _ snapshot: Snapshot
    ) throws(StoreError) -> [Event] {
        let count = UInt64(max(contextCount, 0))
        func events(_ query: Query, _ count: UInt64) throws(StoreError) -> [Event] {
            var events: [Event] = []
            var cursor = try snapshot.cursor(query.limit(count))
            while let event = try cursor.nextEvent() { events.append(event) }
            return events
        }
        let end = event?.sequence ?? .max
        let before = end > 0 ? try events(query.sequences(0...end - 1).reversed(), count) : []
        guard let event else { return before.reversed() }
        return before.reversed() + (try events(query.sequences(event.sequence...UInt64.max), count + 1))
    }
}

/// Where two sessions differ.
public struct SessionDifference: Hashable, Sendable {
    let result: ComparisonResult
    /// In the payloads of the first pair of events that differ, where they are JSON of one kind, the place that differs first:
    /// `result.Ok[1]`; empty: the whole value. Nil: there is no such place.
    public let path: String?
    /// The first session's events around the difference: up to `contextCount` before it, the one that differs, and those after it.
    public let firstContext: [Event]
    /// The second session's.
    public let secondContext: [Event]

    init(result: ComparisonResult, path: String?, firstContext: [Event], secondContext: [Event]) {
        self.result = result
        self.path = path
        self.firstContext = firstContext
        self.secondContext = secondContext
    }

    /// Where they first differ; nil: nowhere.
    public var divergence: Divergence? { result.divergence }
    /// How many events are the same in both, from the first one on.
    public var equalEvents: UInt64 { result.equalEvents }
    /// What of either session could not be read.
    public var firstCoverage: Coverage { result.firstCoverage }
    /// What of the second one could not be read.
    public var secondCoverage: Coverage { result.secondCoverage }
    /// What was read of the first session, and of the second.
    public var statistics: (first: QueryStatistics, second: QueryStatistics) {
        (result.firstStatistics, result.secondStatistics)
    }
}
