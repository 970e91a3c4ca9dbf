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

/// Memory of this process that is its own (no mapped files), in bytes: the most since the last reset.
enum PeakMemory {
    /// Forgets the peak so far. Does nothing where the system can't.
    static func reset() {
        guard let file = fopen("/proc/self/clear_refs", "w") else { return }
        fputs("5", file)
        fclose(file)
    }

    /// The most resident bytes since the last reset, mapped files included.
    static func peakBytes() -> UInt64 { status("VmHWM:") ?? maximumResidentBytes() }

    /// Resident bytes now.
    static func residentBytes() -> UInt64 { status("VmRSS:") ?? 0 }

    private static func status(_ field: String) -> UInt64? {
        guard let file = fopen("/proc/self/status", "r") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            guard text.hasPrefix(field) else { continue }
            return text.split(whereSeparator: { " \t".contains($0) }).dropFirst().first
                .flatMap { UInt64($0) }.map { $0 << 10 }
        }
        return nil
    }

    private static func maximumResidentBytes() -> UInt64 {
        var usage = rusage()
        getrusage(RUSAGE_SELF, &usage)
        #if canImport(Darwin)
        return UInt64(usage.ru_maxrss)
        #else
        return UInt64(usage.ru_maxrss) << 10
        #endif
    }
}
