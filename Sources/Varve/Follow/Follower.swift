internal import VarveIO

#if canImport(Darwin)
internal import Darwin
#else
internal import Glibc
#endif

/// Follows a query on a store that grows: the events that are there, then every later one, once and in order.
///
/// It works beside the writer and in its process, over rotation, sealing and compaction, and over the end of a writer and the beginning
/// of the next. What is missing, in the middle of the log too, is passed over and told by `coverage`. Events of an import in another
/// process show once it is complete. It blocks the thread that asks; `FollowedEvents` is for tasks.
///
/// One thread asks; any thread may cancel.
public final class Follower: @unchecked Sendable {
    /// The events of a snapshot that were not seen before.
    private final class Window {
        let snapshot: Snapshot
        var cursor: EventCursor
        /// The number after its last one.
        let end: UInt64

        init(_ snapshot: Snapshot, _ query: Query, end: UInt64) throws(StoreError) {
            self.snapshot = snapshot
            self.end = end
            cursor = try snapshot.cursor(query)
        }
    }

    /// How long it waits at most before it looks at the lock: who is killed can't tell.
    private static let heartbeatMilliseconds = 250
    /// How long it waits while a new writer takes over what a killed one left.
    private static let recoveryMilliseconds = 20
    /// What a burst brings in this time is one look.
    private static let pauseNanoseconds: UInt64 = 1_000_000
    /// The most that `next` lends at once.
    private static let lentMax = 4096

    private let store: EventStore
    private let query: Query
    private let changes: any ChangeWatch
    private let cancelling = Monitor()
    private var isCancelled = false

    // Of the thread that asks.
    /// The number that it goes on with.
    private var nextSequence: UInt64 = 0
    private var remaining: UInt64
    private var window: Window?
    private var sight: EventStore.Sight?
    private var lookedAt: UInt64 = 0
    private var gaps: [Gap] = []

    /// The last event that was passed, whether it matched or not: where following goes on later, with `FollowStart.after`. Nil: none.
    public private(set) var position: CursorPosition?

    init(_ store: EventStore, _ query: Query, from start: FollowStart) throws(StoreError) {
        guard !query.isReversed else {
            throw .invalid(what: "a query to follow", reason: "it is reversed: what comes next is unknown")
        }
        self.store = store
        self.query = query
        remaining = query.limit ?? .max
        // First of all: what changes while it reads is not missed.
        changes = try store.watch()
        let sight = try store.sight(.thorough)
        self.sight = sight
        let snapshot = sight.snapshot
        let end = snapshot.position.nextSequence
        switch start {
        case .now: try pass(end, in: snapshot)
        case .beginning: break
        case .last(let count):
            var last = query.reversed()
            last.limit = min(query.limit ?? .max, count)
            var first: UInt64?
            var cursor = try snapshot.cursor(last)
            while let event = try cursor.next() { first = event.sequence }
            try pass(first ?? end, in: snapshot)
        case .after(let position):
            guard position.store == store.identifier else {
                throw .invalid(
                    what: "position \(position)",
                    reason: "it is one of another store; this one is \(store.identifier)")
            }
            self.position = position
            let (next, isOver) = position.sequence.addingReportingOverflow(1)
            nextSequence = next
            if isOver { remaining = 0 }
            _ = try reaches(sight)
        }
    }

    /// Goes on with this number.
    private func pass(_ next: UInt64, in snapshot: Snapshot) throws(StoreError) {
        nextSequence = next
        guard let last = next.checkedPredecessor else { return }
        let epoch = try snapshot.epoch(of: last) ?? position?.epoch ?? snapshot.position.epoch
        position = CursorPosition(store: store.identifier, epoch: epoch, sequence: last)
    }

    // MARK: Reading

    /// Blocks until there are events, and lends them to `body`, up to 4,096 in a call; false when it was cancelled, when as many as the
    /// query asks for have been given out, and when the writer in this process has closed the store.
    ///
    /// Errors: what `body` throws: the event counts as passed; `StoreError.invalid` when the store was put back to an older state;
    /// `notAStore` when it is not there any more, or another one; `cannotRead`: the next call tries again.
    public func next(_ body: (borrowing EventView) throws -> Void) throws -> Bool {
        while let window = try currentWindow() {
            let count: Int
            // Lent: `body` may ask for the coverage.
            self.window = nil
            do {
                count = try Self.lend(&window.cursor) { event in
                    position = event.position
                    nextSequence = event.sequence + 1
                    remaining -= 1
                    try body(event)
                }
            } catch {
                leave(window)
                throw error
            }
            if count < Self.lentMax { try finish(window) } else { self.window = window }
            if count > 0 { return true }
        }
        return false
    }

    /// Lends the next events, and returns how many those were.
    private static func lend(
        _ cursor: inout EventCursor, _ body: (borrowing EventView) throws -> Void
    ) throws -> Int {
        var count = 0
        while count < lentMax, let event = try cursor.next() {
            count += 1
            try body(event)
        }
        return count
    }

    /// Blocks until there are events, and returns them, with the position behind them and with what is missing so far; nil as `next` is
    /// false. Errors: as `next`.
    public func nextBatch(eventsMax: Int = 4096, bytesMax: Int = 1 << 20) throws(StoreError) -> ReplayBatch? {
        while let window = try currentWindow() {
            let batch: ReplayBatch
            do throws(StoreError) {
                batch = try ReplayBatch(
                    reading: &window.cursor, of: window.snapshot, eventsMax: max(eventsMax, 1),
                    bytesMax: max(bytesMax, 1)
                ) { Coverage(gaps: Self.merged(gaps, $0.gaps)) }
            } catch {
                leave(window)
                throw error
            }
            if batch.isEmpty {
                try finish(window)
                continue
            }
            if let last = batch.position {
                position = last
                nextSequence = last.sequence + 1
            }
            remaining -= UInt64(batch.count)
            return batch
        }
        return nil
    }

    /// Ends the wait under way and all later ones: `next` answers false. Any thread may call; again is harmless.
    public func cancel() {
        cancelling.withLock { isCancelled = true }
        changes.cancel()
    }

    /// What is missing in what was given out so far.
    public var coverage: Coverage {
        Coverage(gaps: window.map { Self.merged(gaps, $0.cursor.coverage.gaps) } ?? gaps)
    }

    private static func merged(_ known: [Gap], _ others: [Gap]) -> [Gap] {
        others.isEmpty ? known : known + others.filter { !known.contains($0) }
    }

    /// Leaves a window in the middle: the next one goes on there, with a cursor that tries again to read what the system refused.
    private func leave(_ window: Window) {
        gaps = Self.merged(
            gaps, window.cursor.coverage.gaps.filter { $0.sequences.upperBound < nextSequence })
        self.window = nil
    }

    /// Passes what is left of a window: no event matches there.
    private func finish(_ window: Window) throws(StoreError) {
        // Unless it was the limit that ended it.
        guard remaining > 0 else { return leave(window) }
        gaps = Self.merged(gaps, window.cursor.coverage.gaps)
        self.window = nil
        try pass(window.end, in: window.snapshot)
    }

    // MARK: Waiting

    /// The window at hand, or the next one, which is waited for; nil: there is none any more.
    private func currentWindow() throws(StoreError) -> Window? {
        while !cancelling.withLock({ isCancelled }) {
            guard remaining > 0, nextSequence <= query.sequences?.upperBound ?? .max else { return nil }
            if let window { return window }
            // Asked before it looks: what was appended until then is seen.
            let isOver = store.isOver
            let seen: EventStore.Sight
            if let first = sight {
                seen = first
                sight = nil
            } else {
                seen = try look(.thorough)
            }
            let isThere = try reaches(seen)
            if isThere, try open(seen.snapshot) { return window }
            if isOver { return nil }
            let milliseconds = isThere ? Self.heartbeatMilliseconds : Self.recoveryMilliseconds
            if changes.wait(milliseconds: milliseconds) == .cancelled { return nil }
        }
        return nil
    }

    private func look(_ look: EventStore.Look) throws(StoreError) -> EventStore.Sight {
        let passed = store.fileSystem.monotonic() &- lookedAt
        if passed < Self.pauseNanoseconds {
            var rest = timespec(tv_sec: 0, tv_nsec: Int(Self.pauseNanoseconds - passed))
            nanosleep(&rest, nil)
        }
        let sight = try store.sight(look)
        lookedAt = store.fileSystem.monotonic()
        return sight
    }

    /// Opens the window of what a snapshot has beyond what was passed; false when there is nothing.
    private func open(_ seen: Snapshot) throws(StoreError) -> Bool {
        func end(of snapshot: Snapshot) -> UInt64 {
            let end = snapshot.position.nextSequence
            return min(end, max(snapshot.heldSequence ?? end, nextSequence))
        }
        var snapshot = seen
        guard end(of: snapshot) > nextSequence else { return false }
        let range = nextSequence...end(of: snapshot) - 1
        if try snapshot.gaps().contains(where: { $0.reason != .retention && $0.sequences.overlaps(range) }) {
            // What is missing was perhaps being written while it was read: then it is there by now.
            let again = try look(.again)
            guard try reaches(again) else { return false }
            snapshot = again.snapshot
        }
        let end = end(of: snapshot)
        guard end > nextSequence else { return false }
        var bounded = query.from(nextSequence)
        if let range = bounded.sequences {
            let last = min(range.upperBound, end - 1)
            // The query begins later.
            guard range.lowerBound <= last else {
                try pass(end, in: snapshot)
                return false
            }
            bounded.sequences = range.lowerBound...last
        }
        bounded.limit = remaining
        window = try Window(snapshot, bounded, end: end)
        return true
    }

    /// Whether what was passed is still there; false while a writer is taking over what a killed one left, which it then holds.
    private func reaches(_ sight: EventStore.Sight) throws(StoreError) -> Bool {
        guard let position else { return true }
        func refuse(_ reason: String) -> StoreError { .invalid(what: "position \(position)", reason: reason) }
        let snapshot = sight.snapshot
        guard position.sequence < snapshot.position.nextSequence else {
            let isLost: Bool
            if let opening = sight.opening, opening.epoch != position.epoch {
                isLost = opening.epoch < position.epoch || opening.nextSequence <= position.sequence
            } else {
                isLost = false
            }
            // A writer sees all of its appends: it need not wait.
            guard store.isReadOnly, sight.isBeingWritten, !isLost else {
                throw refuse("the store has not come so far: it was put back to an older state")
            }
            return false
        }
        guard let epoch = try snapshot.epoch(of: position.sequence), epoch != position.epoch else {
            return true
        }
        throw refuse(
            "the store has given this number to another event since: it was put back to an older state")
    }
}

extension EventStore {
    /// Follows a query, on the thread that asks the follower. See `follow(_:from:)` for tasks.
    ///
    /// Errors: `invalid` for a reversed query, and for a position of another store or one that this store has lost; `cannotRead`.
    public func follower(_ query: Query = Query(), from start: FollowStart = .now) throws(StoreError)
        -> Follower
    {
        try Follower(self, query, from: start)
    }
}
