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
        let (left, right) = (
            try snapshot.recordedSession(ordinal: first), try other.recordedSession(ordinal: second)
        )
        let reader = JSONNodeReader()
        do {
            let result = try snapshot.compare(
                left.query, with: other, right.query, comparesTime: comparesTime,
                isSame: { left, right in
                    left.kind.encoding == .json
                        && left.withUnsafeBytes { left in
                            right.withUnsafeBytes { right in isSameValue(left, right, reader) }
                        }
                })
            let divergence = result.divergence
            return SessionDifference(
                result: result, path: divergence.flatMap { path(of: $0, reader) },
                firstContext: try divergence.map { try context(of: $0.first, left) } ?? [],
                secondContext: try divergence.map { try context(of: $0.second, right) } ?? [],
                firstCoverage: try left.coverage(result.firstCoverage),
                secondCoverage: try right.coverage(result.secondCoverage))
        } catch {
            // Nothing else is thrown in it.
            throw error as? RecorderError ?? .store(error as? StoreError ?? .closed)
        }
    }

    private func tree(_ bytes: UnsafeRawBufferPointer, _ reader: JSONNodeReader) -> JSONTree? {
        // Deeper than this it is compared as bytes: a tree is walked with the stack.
        guard JSONNodeReader.firstBracket(deeperThan: SessionJSON.depthMax, in: bytes) == nil,
            (try? reader.parse(bytes)) != nil
        else { return nil }
        return ignoredPaths.reduce(JSONTree(validated: bytes)) { $0.removing($1) }
    }

    private func isSameValue(
        _ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer, _ reader: JSONNodeReader
    ) -> Bool {
        guard let left = tree(left, reader), let right = tree(right, reader) else { return false }
        return left == right
    }

    /// Where the payloads of a pair differ; nil when there is no pair, or none of JSON.
    private func path(of divergence: Divergence, _ reader: JSONNodeReader) -> String? {
        guard let first = divergence.first, let second = divergence.second, first.kind == second.kind,
            first.kind.encoding == .json,
            let left = first.payload.withUnsafeBytes({ tree($0, reader) }),
            let right = second.payload.withUnsafeBytes({ tree($0, reader) })
        else { return nil }
        return left.firstDifference(from: right)
    }

    /// The events around the difference: those before it, it, and those after it.
    private func context(of event: Event?, _ session: RecordedSession) throws(StoreError) -> [Event] {
        let (query, snapshot) = (Query().session(ordinal: session.info.ordinal), session.snapshot)
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

    init(
        result: ComparisonResult, path: String?, firstContext: [Event], secondContext: [Event],
        firstCoverage: Coverage, secondCoverage: Coverage
    ) {
        self.result = result
        self.path = path
        self.firstContext = firstContext
        self.secondContext = secondContext
        self.firstCoverage = firstCoverage
        self.secondCoverage = secondCoverage
    }

    /// Where they first differ; nil: nowhere.
    public var divergence: Divergence? { result.divergence }
    /// How many events are the same in both, from the first one on.
    public var equalEvents: UInt64 { result.equalEvents }
    /// What of the first session could not be read. (What can't be read of one alone moves its events against the other's.)
    public let firstCoverage: Coverage
    /// What of the second one could not be read.
    public let secondCoverage: Coverage
    /// What was read of the first session, and of the second.
    public var statistics: (first: QueryStatistics, second: QueryStatistics) {
        (result.firstStatistics, result.secondStatistics)
    }
}
