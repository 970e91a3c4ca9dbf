#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// Nanoseconds of a clock that never goes back.
@inline(__always)
func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
}

/// Seconds that `body` takes.
func seconds(_ body: () throws -> Void) rethrows -> Double {
    let start = nanoseconds()
    try body()
    return Double(nanoseconds() - start) / 1e9
}

/// A value that the optimiser must believe is needed.
@inline(never)
func keep<T>(_ value: T) {
    withExtendedLifetime(value) {}
}

extension Array where Element: Comparable {
    /// The smallest element that at least the fraction `rank` of all are not above. The array is not empty.
    func percentile(_ rank: Double) -> Element {
        let ordered = sorted()
        return ordered[Swift.min(Int(rank * Double(count)), count - 1)]
    }
}
