/// The events of a query as an asynchronous sequence; each has its own copy of everything.
public struct EventSequence: AsyncSequence, Sendable {
    /// Events with their own copy of everything.
    public typealias Element = Event
    /// What is thrown when the system refuses to read; damage is skipped.
    public typealias Failure = StoreError

    let snapshot: Snapshot
    let query: Query

    /// Reads in chunks, so that the cursor never leaves the call that made it.
    public struct AsyncIterator: AsyncIteratorProtocol {
        private let snapshot: Snapshot
        private var query: Query
        private var chunk: [Event] = []
        private var position = 0
        private var remaining: UInt64
        private var isFinished = false
        private static let chunkEvents: UInt64 = 256

        init(_ sequence: EventSequence) {
            snapshot = sequence.snapshot
            query = sequence.query
            remaining = sequence.query.limit ?? .max
        }

        /// The next event, or nil after the last. Throws `StoreError` when the system refuses to read.
        public mutating func next() async throws(StoreError) -> Event? {
            try await next(isolation: nil)
        }

        /// The same, without leaving the caller's actor; reads the disk on its thread, once in 256 events.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(StoreError) -> Event? {
            if position == chunk.count { try refill() }
            guard position < chunk.count else { return nil }
            defer { position += 1 }
            return chunk[position]
        }

        private mutating func refill() throws(StoreError) {
            chunk.removeAll(keepingCapacity: true)
            position = 0
            guard !isFinished, remaining > 0 else { return }
            query.limit = Swift.min(remaining, AsyncIterator.chunkEvents)
            var cursor = try snapshot.cursor(query)
            while let event = try cursor.nextEvent() { chunk.append(event) }
            remaining -= UInt64(chunk.count)
            guard let last = chunk.last else {
                isFinished = true
                return
            }
            // Goes on after the last one.
            let range = query.sequences ?? 0...UInt64.max
            if query.isReversed {
                guard last.sequence > range.lowerBound else { return isFinished = true }
                query.sequences = range.lowerBound...last.sequence - 1
            } else {
                guard last.sequence < range.upperBound else { return isFinished = true }
                query.sequences = last.sequence + 1...range.upperBound
            }
        }
    }

    /// Starts at the query's first event; iterators don't share a position.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(self) }
}

/// A session rebuilt from the disk.
public struct RebuiltSession: Sendable {
    /// Its figures.
    public let info: SessionInfo
    /// Its checkpoints, in the order made.
    public let checkpoints: [Checkpoint]
    private let snapshot: Snapshot

    init(info: SessionInfo, checkpoints: [Checkpoint], snapshot: Snapshot) {
        self.info = info
        self.checkpoints = checkpoints
        self.snapshot = snapshot
    }

    /// A cursor over its events, in order.
    public func cursor() throws(StoreError) -> EventCursor {
        try snapshot.cursor(Query().session(ordinal: info.ordinal))
    }

    /// Its events, in order.
    public func events() -> EventSequence { snapshot.events(Query().session(ordinal: info.ordinal)) }

    /// A checkpoint's state.
    public func state(of checkpoint: Checkpoint) throws(StoreError) -> [UInt8] {
        try snapshot.state(of: checkpoint)
    }

    /// Whether its events are complete.
    public func coverage() throws(StoreError) -> Coverage {
        guard let first = info.firstSequence, let last = info.lastSequence else { return Coverage() }
        return Coverage(gaps: try snapshot.gaps().filter { $0.sequences.overlaps(first...last) })
    }
}
