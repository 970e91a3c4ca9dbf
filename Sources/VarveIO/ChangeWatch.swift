import CPOSIX

/// Waits until something may have changed. See ``FileSystem/watch(_:)``.
///
/// One thread waits; any thread may cancel. It ends with the object.
public protocol ChangeWatch: AnyObject, Sendable {
    /// Blocks until something may have changed since the last call returned, for at most `milliseconds`. Changes in
    /// a burst are one.
    func wait(milliseconds: Int) -> ChangeOutcome

    /// Ends the wait under way, and every later one at once. Again is harmless.
    func cancel()
}

/// What a wait for changes ended with.
public enum ChangeOutcome: Hashable, Sendable {
    /// Something may have changed.
    case changed
    /// The time has passed.
    case timedOut
    /// It was cancelled.
    case cancelled
}

/// A pipe that is readable once it was cancelled.
private final class Waker: Sendable {
    private let readEnd: Descriptor
    private let writeEnd: Descriptor

    init(_ path: String) throws(IOFailure) {
        var ends: (Int32, Int32) = (-1, -1)
        let made = withUnsafeMutablePointer(to: &ends) { ends in
            // SAFETY: a tuple of two is laid out as an array of two.
            ends.withMemoryRebound(to: Int32.self, capacity: 2) { varve_posix_waker_open($0) }
        }
        if made < 0 { throw IOFailure(.watch, path: path, code: -made) }
        readEnd = Descriptor(ends.0)
        writeEnd = Descriptor(ends.1)
    }

    func wake() {
        _ = writeEnd.use { number in
            varve_posix_waker_wake(number)
            return Int32(0)
        }
    }

    /// Waits for it and, when there is one, for a watch.
    func wait(with watch: Descriptor?, milliseconds: Int) -> ChangeOutcome {
        let time = Int32(clamping: milliseconds)
        let answer = readEnd.use { waker in
            watch?.use { varve_posix_watch_wait($0, waker, time) }
                ?? varve_posix_watch_wait(-1, waker, time)
        }
        return switch answer {
        case 2: .cancelled
        case 0: .timedOut
        default: .changed
        }
    }
}

/// A watch that the kernel wakes.
final class NotifiedWatch: ChangeWatch {
    private let watch: Descriptor
    private let waker: Waker

    init(_ directory: String, _ watch: Descriptor) throws(IOFailure) {
        self.watch = watch
        waker = try Waker(directory)
    }

    func wait(milliseconds: Int) -> ChangeOutcome { waker.wait(with: watch, milliseconds: milliseconds) }

    func cancel() { waker.wake() }
}

/// A watch for where nothing tells of changes: it looks again after 50 ms.
public final class PollingWatch: ChangeWatch {
    private static let intervalMilliseconds = 50
    private let waker: Waker

    /// Of any directory: what is there is for the caller to see.
    public init(_ directory: String) throws(IOFailure) { waker = try Waker(directory) }

    /// Says `changed` after 50 ms at the latest.
    public func wait(milliseconds: Int) -> ChangeOutcome {
        let outcome = waker.wait(with: nil, milliseconds: min(milliseconds, Self.intervalMilliseconds))
        return outcome == .timedOut && milliseconds >= Self.intervalMilliseconds ? .changed : outcome
    }

    /// See ``ChangeWatch/cancel()``.
    public func cancel() { waker.wake() }
}
