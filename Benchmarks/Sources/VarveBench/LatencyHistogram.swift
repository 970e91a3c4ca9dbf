import Foundation

/// Durations in nanoseconds, counted in buckets whose width is a thirty-second of what they hold. Adding allocates nothing.
struct LatencyHistogram {
    private static let partBits = 5
    private static let parts = 1 << partBits

    private var counts = [UInt64](repeating: 0, count: (64 - partBits + 1) * parts)
    private(set) var total: UInt64 = 0
    private(set) var max: UInt64 = 0

    @inline(__always)
    mutating func add(_ duration: UInt64) {
        counts[Self.bucket(duration)] &+= 1
        total &+= 1
        if duration > max { max = duration }
    }

    /// Durations below two times the parts have a bucket each; above that the highest bits decide.
    @inline(__always)
    private static func bucket(_ duration: UInt64) -> Int {
        guard duration >= UInt64(parts) else { return Int(duration) }
        let shift = 63 - duration.leadingZeroBitCount - partBits
        return shift * parts + Int(duration >> UInt64(shift))
    }

    /// The largest duration that falls into a bucket.
    private static func upperBound(_ bucket: Int) -> UInt64 {
        guard bucket >= 2 * parts else { return UInt64(bucket) }
        let shift = UInt64(bucket / parts - 1)
        return (UInt64(bucket % parts + parts) << shift) + (1 << shift) - 1
    }

    /// The duration that at least the fraction `rank` of all do not exceed; up to a thirty-second too long.
    func percentile(_ rank: Double) -> UInt64 {
        var seen: UInt64 = 0
        for (bucket, count) in counts.enumerated() where count > 0 {
            seen += count
            if Double(seen) >= rank * Double(total) { return min(Self.upperBound(bucket), max) }
        }
        return max
    }

    /// By duration, how many nines of all durations do not exceed it: 1 for 90 %, 2 for 99 %.
    var nines: [(nines: Double, duration: UInt64)] {
        var points: [(Double, UInt64)] = []
        var seen: UInt64 = 0
        for (bucket, count) in counts.enumerated() where count > 0 {
            seen += count
            // The last one is as far as so many durations tell.
            let above = Swift.max(Double(total - seen), 1) / Double(total)
            points.append((-log10(above), min(Self.upperBound(bucket), max)))
        }
        return points
    }
}
