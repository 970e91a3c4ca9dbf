import Foundation

/// A clock that stands still until it is told to move; one that `jumps` moves to where a sleeper wants it to be.
public final class ManualClock: Clock, @unchecked Sendable {
    /// A point in its time.
    public struct Instant: InstantProtocol {
        /// Since the clock was made.
        public var offset: Duration

        /// Later by a duration.
        public func advanced(by duration: Duration) -> Instant { Instant(offset: offset + duration) }
        /// How far away another instant is.
        public func duration(to other: Instant) -> Duration { other.offset - offset }
        /// Whether it is earlier.
        public static func < (left: Instant, right: Instant) -> Bool { left.offset < right.offset }
    }

    private struct Sleeper {
        let deadline: Instant
        let continuation: CheckedContinuation<Void, any Error>
    }

    private let lock = NSLock()
    private let jumps: Bool
    // Guarded by `lock`.
    private var time = Instant(offset: .zero)
    private var sleepers: [Int: Sleeper] = [:]
    private var observers: [CheckedContinuation<Instant, Never>] = []
    private var count = 0

    /// A clock at 0.
    public init(jumps: Bool = false) { self.jumps = jumps }

    /// Its time.
    public var now: Instant { lock.withLock { time } }
    /// As fine as it is told.
    public var minimumResolution: Duration { .nanoseconds(1) }

    /// Returns when it has been moved to the deadline; throws `CancellationError`.
    public func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        let id = lock.withLock {
            count += 1
            return count
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let isOver = lock.withLock {
                    if jumps { time = max(time, deadline) }
                    guard time < deadline, !Task.isCancelled else { return true }
                    sleepers[id] = Sleeper(deadline: deadline, continuation: continuation)
                    let earliest = sleepers.values.map(\.deadline).min() ?? deadline
                    for observer in observers { observer.resume(returning: earliest) }
                    observers.removeAll()
                    return false
                }
                guard isOver else { return }
                if Task.isCancelled {
                    continuation.resume(throwing: CancellationError())
                } else {
                    continuation.resume()
                }
            }
        } onCancel: {
            lock.withLock { sleepers.removeValue(forKey: id) }?.continuation
                .resume(throwing: CancellationError())
        }
    }

    /// Moves on, and wakes who waits for a time up to then.
    public func advance(by duration: Duration) {
        let woken = lock.withLock {
            time = time.advanced(by: duration)
            let due = sleepers.filter { $0.value.deadline <= time }
            for id in due.keys { sleepers[id] = nil }
            return due.values
        }
        for sleeper in woken { sleeper.continuation.resume() }
    }

    /// The earliest deadline that somebody sleeps until, once somebody does.
    public func nextDeadline() async -> Instant {
        await withCheckedContinuation { continuation in
            let earliest = lock.withLock {
                let earliest = sleepers.values.map(\.deadline).min()
                if earliest == nil { observers.append(continuation) }
                return earliest
            }
            if let earliest { continuation.resume(returning: earliest) }
        }
    }
}
