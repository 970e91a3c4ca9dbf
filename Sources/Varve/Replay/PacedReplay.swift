/// Plays the events of a query with the gaps that they were recorded with, scaled: `for try await event in replay`. What is due when
/// is as `ReplayPacing` says.
///
/// It can be paused, resumed, stepped and moved while it is read, from any task.
public actor PacedReplay: AsyncSequence {
    /// Events with their own copy of everything.
    public typealias Element = Event

    /// Where to go on playing.
    public enum Target: Hashable, Sendable {
        /// At the query's first event.
        case start
        /// At the first event with this sequence number or, in the query's order, a later one.
        case sequence(UInt64)
        /// At the first event, in the query's order, that happened at this time or later; in a reversed query, or earlier.
        case time(Int64)
        /// Behind the event that a position names.
        case after(CursorPosition)
    }

    /// A clock that counts from when the replay was made.
    private struct Timeline: Sendable {
        let now: @Sendable () -> Duration
        let sleep: @Sendable (Duration) async throws -> Void

        init<C: Clock<Duration>>(_ clock: C) {
            let start = clock.now
            now = { start.duration(to: clock.now) }
            sleep = { try await clock.sleep(until: start.advanced(by: $0), tolerance: nil) }
        }
    }

    private let snapshot: Snapshot
    private let query: Query
    private let timeline: Timeline
    private var pacing: ReplayPacing
    private var cursor: EventCursor
    /// The event that comes next, once it has been read.
    private var upcoming: (event: Event, position: CursorPosition)?
    private var pausedAt: Duration?
    private struct Waiter {
        let continuation: CheckedContinuation<Void, Never>
        let timer: Task<Void, Never>?

        func wake() {
            timer?.cancel()
            continuation.resume()
        }
    }

    private var waiters: [Int: Waiter] = [:]
    private var waiterCount = 0

    /// How many times as fast as recorded; `infinity`: without gaps.
    public var speed: Double { pacing.speed }
    /// The event that was played last: what `Target.after` goes on from.
    public private(set) var position: CursorPosition?

    /// A replay that starts at the query's first event, once it is asked for it.
    ///
    /// - Parameters:
    ///   - snapshot: the store as it is played.
    ///   - query: which events, and in which direction.
    ///   - speed: as for ``ReplayPacing``.
    ///   - gapMax: as for ``ReplayPacing``.
    ///   - clock: what time is measured with and waited by.
    /// - Throws: `StoreError.invalid` for a speed that is none, and when the system refuses to read.
    public init(
        _ snapshot: Snapshot, _ query: Query = Query(), speed: Double = 1, gapMax: Duration? = nil,
        clock: some Clock<Duration> = ContinuousClock()
    ) throws(StoreError) {
        pacing = try ReplayPacing(speed: speed, gapMax: gapMax, isReversed: query.isReversed)
        self.snapshot = snapshot
        self.query = query
        timeline = Timeline(clock)
        cursor = try snapshot.cursor(query)
    }

    // MARK: Playing

    /// Waits until the next event is due, and returns it; nil after the last, also while it is paused.
    ///
    /// Throws `CancellationError` when its task is cancelled, `StoreError` when the system refuses to read.
    public func next() async throws -> Event? {
        while true {
            try Task.checkCancellation()
            guard let event = try upcomingEvent() else { return nil }
            guard pausedAt == nil else {
                await change(orAt: nil)
                continue
            }
            let due = pacing.due(event.timestamp, now: timeline.now())
            if due <= timeline.now() {
                pacing.play(event.timestamp, due: due)
                return take()
            }
            await change(orAt: due)
        }
    }

    /// Returns the next event at once, also while it is paused, and goes on from its time; nil after the last.
    public func step() throws(StoreError) -> Event? {
        guard let event = try upcomingEvent() else { return nil }
        pacing.go(to: event.timestamp, at: pausedAt ?? timeline.now())
        wakeAll()
        return take()
    }

    private func upcomingEvent() throws(StoreError) -> Event? {
        if let upcoming { return upcoming.event }
        guard let view = try cursor.next() else { return nil }
        let found = (view.event, view.position)
        upcoming = found
        return found.0
    }

    private func take() -> Event? {
        guard let (event, position) = upcoming else { return nil }
        upcoming = nil
        self.position = position
        return event
    }

    // MARK: Control

    /// Whether it is paused.
    public var isPaused: Bool { pausedAt != nil }

    /// Stops playing; the reader waits.
    public func pause() {
        guard pausedAt == nil else { return }
        pausedAt = timeline.now()
        wakeAll()
    }

    /// Goes on playing: what was left of a gap still passes.
    public func resume() {
        guard let pausedAt else { return }
        pacing.skip(timeline.now() - pausedAt)
        self.pausedAt = nil
        wakeAll()
    }

    /// Changes the speed from now on. Throws `StoreError.invalid` for one that is not over 0.
    public func setSpeed(_ speed: Double) throws(StoreError) {
        try pacing.setSpeed(speed, now: pausedAt ?? timeline.now())
        wakeAll()
    }

    /// Goes on playing somewhere else: the event there comes at once. Beyond the last event there is the end.
    ///
    /// Throws `StoreError.invalid` for a position that is not this store's, and when the system refuses to read.
    public func seek(to target: Target) throws(StoreError) {
        var found = query
        switch target {
        case .start: break
        case .sequence(let sequence): found = query.from(sequence)
        case .time(let time):
            var earlier = query
            let range = query.isReversed ? Int64.min...time : time...Int64.max
            earlier.time = query.time.map { $0.overlaps(range) ? $0.clamped(to: range) : range } ?? range
            if let asked = query.time, !asked.overlaps(range) { earlier.limit = 0 }
            var cursor = try snapshot.cursor(earlier.limit(Swift.min(earlier.limit ?? 1, 1)))
            if let sequence = try cursor.next()?.sequence {
                found = query.from(sequence)
            } else {
                found.limit = 0
            }
        case .after(let position): found = try snapshot.query(query, after: position)
        }
        cursor = try snapshot.cursor(found)
        upcoming = nil
        pacing.restart()
        wakeAll()
    }

    /// What is known to be missing in the query from the last seek on, and the damage met since.
    public var coverage: Coverage { cursor.coverage }

    // MARK: Waiting

    /// Returns when something was changed, at a time, or when the task is cancelled.
    private func change(orAt due: Duration?) async {
        waiterCount += 1
        let waiter = waiterCount
        let timer = due.map { due in
            Task { [timeline] in
                try? await timeline.sleep(due)
                wake(waiter)
            }
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { waiters[waiter] = Waiter(continuation: $0, timer: timer) }
        } onCancel: {
            Task { await wake(waiter) }
        }
    }

    private func wake(_ waiter: Int) { waiters.removeValue(forKey: waiter)?.wake() }

    private func wakeAll() {
        for waiter in waiters.values { waiter.wake() }
        waiters.removeAll()
    }

    // MARK: As a sequence

    /// Plays on from where the replay is: iterators share its position.
    public struct AsyncIterator: AsyncIteratorProtocol {
        let replay: PacedReplay

        /// As `PacedReplay.next`.
        public mutating func next() async throws -> Event? { try await replay.next() }
    }

    /// Plays on from where the replay is.
    public nonisolated func makeAsyncIterator() -> AsyncIterator { AsyncIterator(replay: self) }
}
