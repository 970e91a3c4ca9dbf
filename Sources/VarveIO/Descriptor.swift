import CPOSIX
import Synchronization

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// A file descriptor that can be closed while other threads use it: the system's close waits for the last of
/// them, so that no call ever reaches another file that was given the same number.
package final class Descriptor: Sendable {
    private let number: Int32
    /// Bit 0: closed. The bits above: calls under way. Once closed, calls only leave; the system's close
    /// belongs to whoever brings the value to exactly 1.
    private let state = Atomic<UInt64>(0)

    /// Takes over an open descriptor.
    package init(_ number: Int32) {
        self.number = number
    }

    deinit {
        close()
    }

    /// Lends the number to `body`. The result is `body`'s, or `-EBADF` once closed.
    package func use<Result: FixedWidthInteger & SignedInteger>(_ body: (Int32) -> Result) -> Result {
        var seen = state.load(ordering: .relaxed)
        while true {
            guard seen & 1 == 0 else { return -Result(truncatingIfNeeded: EBADF) }
            let (exchanged, original) = state.weakCompareExchange(
                expected: seen, desired: seen + 2, ordering: .acquiring)
            if exchanged { break }
            seen = original
        }
        defer {
            if state.wrappingSubtract(2, ordering: .acquiringAndReleasing).newValue == 1 {
                varve_posix_close(number)
            }
        }
        return body(number)
    }

    /// Refuses all further calls, and closes now or when the last call under way returns. Again is harmless.
    package func close() {
        if state.bitwiseOr(1, ordering: .acquiringAndReleasing).oldValue == 0 {
            varve_posix_close(number)
        }
    }
}
