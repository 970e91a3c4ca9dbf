/// The events of a query as they are recorded, as an asynchronous sequence: see `EventStore.follow(_:from:)`.
///
/// It ends when its task is cancelled, with the query's limit, and when the writer in this process closes the store. A thread of its own
/// waits and reads.
public struct FollowedEvents: AsyncSequence, Sendable {
    /// Events with their own copy of everything.
    public typealias Element = Event
    /// As `Follower.next`.
    public typealias Failure = StoreError

    /// The same in batches, each with the position behind it and with what is missing so far.
    public let batches: FollowedBatches

    /// Hands over one after the other. Use no copies: each goes on for itself with the events that it has, and takes
    /// those after them from the others.
    public struct AsyncIterator: AsyncIteratorProtocol {
        private var batches: FollowedBatches.AsyncIterator
        private var batch: ReplayBatch?
        private var place = 0

        init(_ batches: FollowedBatches) { self.batches = batches.makeAsyncIterator() }

        /// The next event, once there is one; nil after the end. Errors: as `Follower.next`.
        public mutating func next() async throws(StoreError) -> Event? {
            try await next(isolation: nil)
        }

        /// The same, without leaving the caller's actor.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(StoreError) -> Event? {
            if place == batch?.count ?? 0 {
                place = 0
                batch = try await batches.next(isolation: actor)
            }
            guard let batch, place < batch.count else { return nil }
            defer { place += 1 }
            return batch[place].event
        }
    }

    /// Starts where following was asked for; iterators don't share a position.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(batches) }
}

/// Events in batches as they are recorded. See `FollowedEvents`.
public struct FollowedBatches: AsyncSequence, Sendable {
    /// Events that were read together; at least one.
    public typealias Element = ReplayBatch
    /// As `Follower.next`.
    public typealias Failure = StoreError

    let store: EventStore
    let query: Query
    let start: FollowStart

    /// Hands over one after the other. Copies made after the first call share a position.
    public struct AsyncIterator: AsyncIteratorProtocol {
        private let sequence: FollowedBatches
        private var reading: FollowedReading?
        private var isFinished = false

        init(_ sequence: FollowedBatches) { self.sequence = sequence }

        /// The next batch, once there are events; nil after the end. Errors: as `Follower.next`.
        public mutating func next() async throws(StoreError) -> ReplayBatch? {
            try await next(isolation: nil)
        }

        /// The same, without leaving the caller's actor.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(StoreError)
            -> ReplayBatch?
        {
            guard !isFinished else { return nil }
            if reading == nil { reading = try FollowedReading(sequence) }
            guard let reading else { return nil }
            let batch = try await reading.next()
            isFinished = batch == nil
            return batch
        }
    }

    /// Starts where following was asked for; iterators don't share a position.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(self) }
}

/// A follower on a thread of its own, as long as somebody holds this.
private final class FollowedReading: Sendable {
    private let follower: Follower
    private let hand: Hand

    init(_ sequence: FollowedBatches) throws(StoreError) {
        let follower = try Follower(sequence.store, sequence.query, from: sequence.start)
        let hand = Hand()
        self.follower = follower
        self.hand = hand
        // It holds nothing that holds it.
        guard let thread = WorkerThread({ hand.work(for: follower) }) else { throw .noThreads }
        thread.detach()
    }

    deinit {
        follower.cancel()
        hand.close()
    }

    func next() async throws(StoreError) -> ReplayBatch? {
        let follower = follower
        let hand = hand
        let answer = await withTaskCancellationHandler {
            await withCheckedContinuation { hand.take($0) }
        } onCancel: {
            follower.cancel()
        }
        hand.sync()
        return try answer.get()
    }
}

/// Hands batches from a thread to a task, one at a time.
private final class Hand: @unchecked Sendable {
    typealias Answer = Result<ReplayBatch?, StoreError>

    private let monitor = Monitor()
    // Guarded by the monitor.
    private var waiting: [CheckedContinuation<Answer, Never>] = []
    private var isOver = false

    /// Reads a batch whenever one is asked for.
    func work(for follower: Follower) {
        while waitForAsker() {
            let answer = Result { () throws(StoreError) in try follower.nextBatch() }
            var isLast = false
            if case .success(nil) = answer { isLast = true }
            let askers = monitor.withLock {
                if isLast { isOver = true }
                // Each gets a batch of its own; the end is everybody's.
                let count = isOver ? waiting.count : 1
                defer { waiting.removeFirst(count) }
                return Array(waiting.prefix(count))
            }
            for asker in askers { asker.resume(returning: answer) }
        }
    }

    private func waitForAsker() -> Bool {
        monitor.withLock {
            while waiting.isEmpty, !isOver { monitor.wait() }
            return !isOver
        }
    }

    func take(_ asker: CheckedContinuation<Answer, Never>) {
        let isTooLate: Bool = monitor.withLock {
            if !isOver {
                waiting.append(asker)
                monitor.wakeAll()
            }
            return isOver
        }
        if isTooLate { asker.resume(returning: .success(nil)) }
    }

    /// What was handed over is seen, as the continuation's resumption grants already: ThreadSanitizer sees locks, and not that.
    func sync() { monitor.withLock {} }

    /// Nobody asks any more.
    func close() {
        monitor.withLock {
            isOver = true
            monitor.wakeAll()
        }
    }
}

extension EventStore {
    /// The events that match from a position on, those that are there and then every later one, once and in order: `for try await event in
    /// try store.follow()`. Nil: from now on.
    ///
    /// It works beside the writer and in its process, and goes on when one writer ends and another begins. It never blocks the thread of
    /// a task. What is missing is passed over: the batches tell. Errors: `invalid` for a reversed query, and for a position of another
    /// store or one that this store has lost; `cannotRead`.
    public func follow(_ query: Query = Query(), after position: CursorPosition? = nil) throws(StoreError)
        -> FollowedEvents
    {
        try follow(query, from: position.map { .after($0) } ?? .now)
    }

    /// The same from the beginning, from the last events, or from now on.
    public func follow(_ query: Query = Query(), from start: FollowStart) throws(StoreError) -> FollowedEvents
    {
        // Refuses what is to be refused, and settles what "now" and "the last" mean.
        let follower = try Follower(self, query, from: start)
        let start = follower.position.map { FollowStart.after($0) } ?? .beginning
        return FollowedEvents(batches: FollowedBatches(store: self, query: query, start: start))
    }
}
