/// The events of a query as an asynchronous sequence; each has its own copy of everything.
public struct EventSequence: AsyncSequence, Sendable {
    /// Events with their own copy of everything.
    public typealias Element = Event
    /// What is thrown when the system refuses to read; damage is skipped.
    public typealias Failure = StoreError

    let snapshot: Snapshot
    let query: Query

    /// Reads in batches. Copies share a position.
    public struct AsyncIterator: AsyncIteratorProtocol {
        private var batches: ReplayBatches.AsyncIterator
        private var batch: ReplayBatch?
        private var position = 0

        init(_ batches: ReplayBatches) { self.batches = batches.makeAsyncIterator() }

        /// The next event, or nil after the last. Throws `StoreError` when the system refuses to read.
        public mutating func next() async throws(StoreError) -> Event? {
            try await next(isolation: nil)
        }

        /// The same, without leaving the caller's actor; reads the disk on its thread, once in 256 events or 256 KiB.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(StoreError) -> Event? {
            if position == batch?.count ?? 0 {
                position = 0
                batch = try await batches.next(isolation: actor)
            }
            guard let batch, position < batch.count else { return nil }
            defer { position += 1 }
            return batch[position].event
        }
    }

    /// Starts at the query's first event; iterators don't share a position.
    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(snapshot.batches(query, eventsMax: 256, bytesMax: 256 << 10))
    }
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
