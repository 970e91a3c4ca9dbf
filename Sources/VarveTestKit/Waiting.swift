public import Dispatch
internal import Foundation

/// The seconds for which tests wait for other threads and processes: a bound for what would not end. A busy machine does not reach it.
public let waitSecondsMax = 600

/// Whether it becomes true while other threads work. Asks again and again, and returns false after ``waitSecondsMax``.
///
/// - Throws: What the condition throws.
public func comesTrue(_ condition: () throws -> Bool) rethrows -> Bool {
    let end = ContinuousClock.now + .seconds(waitSecondsMax)
    while ContinuousClock.now < end {
        if try condition() { return true }
        sched_yield()
    }
    return false
}

extension DispatchSemaphore {
    /// Whether another thread signals it within ``waitSecondsMax``.
    public func isSignalled() -> Bool { wait(timeout: .now() + .seconds(waitSecondsMax)) == .success }
}

extension DispatchGroup {
    /// Whether all have left it within ``waitSecondsMax``.
    public func isLeft() -> Bool { wait(timeout: .now() + .seconds(waitSecondsMax)) == .success }
}
