import BenchmarkWorkload
import VarveTestKit

/// Workload A again and again, in ascending time: the number of an event says which.
struct EndlessWorkload {
    let data: Dataset
    /// Nanoseconds from the first event of a pass to that of the next.
    let span: Int64
    /// How many events of the counted kind stand before each, in one pass.
    private let kindsBefore: [UInt64]

    /// The kind that is counted: its place among the workload's.
    static let countedKind = 3
    static var countedKindName: String { WorkloadA.kindNames[countedKind] }

    init(_ data: Dataset) {
        self.data = data
        // As far apart as the closest events are.
        span = data.timestamps[data.count - 1] - data.timestamps[0] + 1_000
        var (before, total) = ([UInt64](), UInt64(0))
        before.reserveCapacity(data.count)
        for position in 0..<data.count {
            before.append(total)
            if Int(data.kinds[position]) == Self.countedKind { total += 1 }
        }
        before.append(total)
        kindsBefore = before
    }

    @inline(__always)
    func position(_ number: UInt64) -> Int { Int(number % UInt64(data.count)) }

    @inline(__always)
    func timestamp(_ number: UInt64) -> Int64 {
        data.timestamps[position(number)] + Int64(number / UInt64(data.count)) * span
    }

    /// Events of the counted kind with a lower number.
    func kinds(before number: UInt64) -> UInt64 {
        kindsBefore[position(number)] + number / UInt64(data.count) * kindsBefore[data.count]
    }
}
