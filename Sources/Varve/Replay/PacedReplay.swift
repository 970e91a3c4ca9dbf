/// Plays the events of a query with the gaps that they were recorded with, scaled: `for try await event in replay`.
///
/// The first event comes at once, and each of the others when as much time has passed since as lies between their timestamps, divided
/// by the speed: delays of the reader do not add up. An event that is up to a second older than one played before it (events of
/// several threads are) comes at once and changes nothing; where timestamps go back further, a clock was set, and time goes on from
/// there. In a reversed query time runs backwards.
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

    /// Older by more than this than what was played: not disorder, but a clock that was set.
    private static let disorderMax: Int64 = 1_000_000_000

    private let snapshot: Snapshot
    private let query: Query
    private let timeline: Timeline
    /// Gaps longer than this are cut short.
    private let gapMax: Duration?
    private var cursor: EventCursor
    /// The event that comes next, once it has been read.
    private var upcoming: (event: Event, position: CursorPosition)?
    /// When the event with which timestamp was due; nil: the next one comes at once.
    private var anchor: (time: Duration, timestamp: Int64)?
    /// The timestamp that time has come to, and when the last event was due.
    private var reached: (time: Duration, timestamp: Int64)?
    private var pausedAt: Duration?
    private var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
    private var waiterCount = 0

    /// How many times as fast as recorded; `infinity`: without gaps.
    public private(set) var speed: Double
    /// The event that was played last: what `Target.after` goes on from.
    public private(set) var position: CursorPosition?

    /// A replay that starts at the query's first event, once it is asked for it.
    ///
    /// - Parameters:
    ///   - speed: how many times as fast as recorded; over 0, `infinity` for no gaps.
    ///   - gapMax: gaps longer than this, as they would be played, are cut short to it; nil: none.
    ///   - clock: what time is measured with and waited by.
    /// - Throws: `StoreError.invalid` for a speed that is none, and when the system refuses to read.
    public init(
        _ snapshot: Snapshot, _ query: Query = Query(), speed: Double = 1, gapMax: Duration? = nil,
        clock: some Clock<Duration> = ContinuousClock()
    ) throws(StoreError) {
        try Self.check(speed)
        self.snapshot = snapshot
        self.query = query
        self.speed = speed
        self.gapMax = gapMax
        timeline = Timeline(clock)
        cursor = try snapshot.cursor(query)
    }

    private static func check(_ speed: Double) throws(StoreError) {
        guard speed > 0 else { throw .invalid(what: "the speed \(speed)", reason: "it is not over 0") }
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
            let due = due(event)
            if due <= timeline.now() { return play(due) }
            await change(orAt: due)
        }
    }

    /// Returns the next event at once, also while it is paused, and goes on from its time; nil after the last.
    public func step() throws(StoreError) -> Event? {
        guard let event = try upcomingEvent() else { return nil }
        let now = pausedAt ?? timeline.now()
        anchor = (now, event.timestamp)
        reached = anchor
        defer { wakeAll() }
        return play(now)
    }

    private func upcomingEvent() throws(StoreError) -> Event? {
        if let upcoming { return upcoming.event }
        guard let view = try cursor.next() else { return nil }
        let found = (view.event, view.position)
        upcoming = found
        return found.0
    }

    private func play(_ due: Duration) -> Event? {
        guard let (event, position) = upcoming else { return nil }
        upcoming = nil
        self.position = position
        if let last = reached, elapsed(from: last.timestamp, to: event.timestamp) <= 0 {
            reached = (Swift.max(due, last.time), last.timestamp)
        } else {
            reached = (due, event.timestamp)
        }
        return event
    }

    /// When an event is to be played.
    private func due(_ event: Event) -> Duration {
        guard let anchor, let reached else {
            let now = timeline.now()
            anchor = (now, event.timestamp)
            reached = anchor
            return now
        }
        if elapsed(from: reached.timestamp, to: event.timestamp) < -Double(Self.disorderMax) {
            return moveAnchor(to: reached.time, event.timestamp)
        }
        let due = anchor.time + scaled(elapsed(from: anchor.timestamp, to: event.timestamp))
        if let gapMax, due - reached.time > gapMax { return moveAnchor(to: reached.time + gapMax, event.timestamp) }
        return due
    }

    private func moveAnchor(to time: Duration, _ timestamp: Int64) -> Duration {
        anchor = (time, timestamp)
        reached = (time, timestamp)
        return time
    }

    /// Nanoseconds from one timestamp to another in the direction of the query.
    private func elapsed(from first: Int64, to second: Int64) -> Double {
        let (difference, overflow) = second.subtractingReportingOverflow(first)
        let nanoseconds = overflow ? Double(second) - Double(first) : Double(difference)
        return query.isReversed ? -nanoseconds : nanoseconds
    }

    /// As long as that takes at this speed, up to a century.
    private func scaled(_ nanoseconds: Double) -> Duration {
        let century = 3.2e18
        return .nanoseconds(Int64(Swift.min(Swift.max(nanoseconds / speed, -century), century)))
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
        let length = timeline.now() - pausedAt
        self.pausedAt = nil
        if let anchor { self.anchor = (anchor.time + length, anchor.timestamp) }
        if let reached { self.reached = (reached.time + length, reached.timestamp) }
        wakeAll()
    }

    /// Changes the speed from now on. Throws `StoreError.invalid` for one that is not over 0.
    public func setSpeed(_ speed: Double) throws(StoreError) {
        try Self.check(speed)
        if let anchor, self.speed.isFinite {
            // The moment of the recording that is now.
            let now = pausedAt ?? timeline.now()
            let passed = (now - anchor.time) / .nanoseconds(1) * self.speed
            let moment = Double(anchor.timestamp) + (query.isReversed ? -passed : passed)
            self.anchor = (now, Int64(exactly: moment.rounded()) ?? (moment < 0 ? .min : .max))
        } else {
            anchor = nil
        }
        self.speed = speed
        wakeAll()
    }

    /// Goes on playing somewhere else: the event there comes at once. Beyond the last event there is the end.
    ///
    /// Throws `StoreError.invalid` for a position that is not this store's, and when the system refuses to read.
    public func seek(to target: Target) throws(StoreError) {
        var found = query
        switch target {
        case .start: break
        case .sequence(let sequence): found = from(sequence)
        case .time(let time):
            var earlier = query
            let range = query.isReversed ? Int64.min...time : time...Int64.max
            earlier.time = query.time.map { $0.overlaps(range) ? $0.clamped(to: range) : range } ?? range
            if let asked = query.time, !asked.overlaps(range) { earlier.limit = 0 }
            var cursor = try snapshot.cursor(earlier.limit(Swift.min(earlier.limit ?? 1, 1)))
            if let sequence = try cursor.next()?.sequence { found = from(sequence) } else { found.limit = 0 }
        case .after(let position): found = try snapshot.query(query, after: position)
        }
        cursor = try snapshot.cursor(found)
        upcoming = nil
        anchor = nil
        reached = nil
        wakeAll()
    }

    /// The query from this number on.
    private func from(_ sequence: UInt64) -> Query {
        let range = query.sequences ?? 0...UInt64.max
        if query.isReversed {
            guard sequence >= range.lowerBound else { return query.limit(0) }
            return query.sequences(range.lowerBound...Swift.min(sequence, range.upperBound))
        }
        guard sequence <= range.upperBound else { return query.limit(0) }
        return query.sequences(Swift.max(sequence, range.lowerBound)...range.upperBound)
    }

    /// What is missing in what was played.
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
            await withCheckedContinuation { waiters[waiter] = $0 }
        } onCancel: {
            Task { await wake(waiter) }
        }
        timer?.cancel()
    }

    private func wake(_ waiter: Int) { waiters.removeValue(forKey: waiter)?.resume() }

    private func wakeAll() {
        for waiter in waiters.values { waiter.resume() }
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
