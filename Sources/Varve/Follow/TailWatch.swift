internal import VarveIO

/// Waits for appends in the writer's own process. Locks are taken in the order tail, watch.
final class TailWatch: ChangeWatch, @unchecked Sendable {
    private let tail: Tail
    private let monitor = Monitor()
    // Guarded by the monitor.
    private var isTold = false
    private var isCancelled = false

    init(_ tail: Tail) {
        self.tail = tail
        tail.add(self)
    }

    func wait(milliseconds: Int) -> ChangeOutcome {
        let outcome: ChangeOutcome = monitor.withLock {
            if !isTold, !isCancelled {
                monitor.waitAsKeeper(nanoseconds: UInt64(max(milliseconds, 0)) * 1_000_000)
            }
            defer { isTold = false }
            return isCancelled ? .cancelled : isTold ? .changed : .timedOut
        }
        // Before the caller reads: what it does not see then is told.
        tail.arm()
        return outcome
    }

    func cancel() {
        monitor.withLock {
            isCancelled = true
            monitor.wakeKeeper()
        }
    }

    /// Something was appended. With the tail's lock held.
    func tell() {
        monitor.withLock {
            isTold = true
            monitor.wakeKeeper()
        }
    }
}
