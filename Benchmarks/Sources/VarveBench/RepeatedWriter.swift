import BenchmarkWorkload
import Foundation
import Varve
import VarveTestKit

extension StoreOptions {
    /// Those of a store within a limit of bytes, which compaction keeps in the background.
    static func limited(to bytes: UInt64) -> StoreOptions {
        var options = StoreOptions()
        options.limits = RetentionLimits(bytes: bytes)
        return options
    }
}

/// Appends the workload again and again: the number of an event says which.
final class RepeatedWriter {
    private let store: EventStore
    private let data: Dataset
    private let kinds: [EventKind]
    private let session: Session
    private(set) var count = 0

    init(_ store: EventStore, _ data: Dataset) throws {
        self.store = store
        self.data = data
        kinds = try Dataset.kinds(of: store)
        session = try store.startSession("repeated", at: WorkloadA.startTimestamp)
    }

    func append(_ events: Int) throws {
        for _ in 0..<events {
            let position = count % data.count
            try session.append(
                data.payload(position), kind: kinds[Int(data.kinds[position])],
                at: data.timestamps[position])
            count += 1
        }
    }

    /// Appends at a rate, in pieces of a millisecond; the mean of what an append took. Calls `eachSecond` each second.
    func record(_ rate: Double, seconds: Double, _ eachSecond: () -> Void) throws -> Double {
        let start = nanoseconds()
        let first = count
        var spent: UInt64 = 0
        var next: UInt64 = 0
        while true {
            let passed = nanoseconds() - start
            if Double(passed) >= seconds * 1e9 { break }
            if passed >= next {
                eachSecond()
                next += 1_000_000_000
            }
            let due = Int(rate * Double(passed) / 1e9) - (count - first)
            if due > 0 {
                let begun = nanoseconds()
                try append(due)
                spent += nanoseconds() - begun
            }
            usleep(1_000)
        }
        return Double(spent) / Double(max(count - first, 1))
    }

    /// Events a second that a store without limits takes for some seconds, with nothing beside it.
    static func maximalRate(_ data: Dataset, in place: String, seconds: UInt64 = 8) throws -> Double {
        let path = "\(place)/most.varve"
        let store = try EventStore.open(path, options: .recording)
        let writer = try RepeatedWriter(store, data)
        let start = nanoseconds()
        while nanoseconds() - start < seconds * 1_000_000_000 { try writer.append(10_000) }
        try store.flush()
        let rate = Double(writer.count) * 1e9 / Double(nanoseconds() - start)
        try store.close()
        try FileManager.default.removeItem(atPath: path)
        return rate
    }
}
