import Benchmark
import BenchmarkWorkload
import Varve
import VarveTestKit

/// A store that was closed, and is open to be read. Of the workload only what questions need is kept.
private final class Recorded {
    let store: EventStore
    let snapshot: Snapshot
    let timestamps: [Int64]
    let byteCount: Int
    private var random = SplitMix64(seed: 99)

    init(in directory: String) throws {
        let path = "\(directory)/events.varve"
        (timestamps, byteCount) = try Recorded.record(at: path)
        store = try EventStore.openReadOnly(path)
        snapshot = try store.snapshot()
    }

    private static func record(at path: String) throws -> ([Int64], Int) {
        let data = Dataset(count: Size.events)
        let store = try EventStore.open(path, options: .recording)
        try data.append(to: store)
        try store.close()
        return (Array(UnsafeBufferPointer(start: data.timestamps, count: data.count)), data.byteCount)
    }

    /// A number below `bound`.
    func draw(below bound: Int) -> Int { Int(random.below(UInt32(bound))) }
}

func readOperations() {
    func measureReading(
        _ name: String, calls: BenchmarkScalingFactor = .one, handlesMany: Bool = false, iterations: Int,
        _ body: @escaping (Recorded, Timed) throws -> Void
    ) {
        measure(
            name, calls: calls, handlesMany: handlesMany, iterations: iterations,
            setUp: { try Recorded(in: $0) }, tearDown: { try $0.store.close() }, body: body)
    }

    measureReading("scan of all events by cursor", handlesMany: true, iterations: 100) { recorded, timed in
        try timed(events: Size.events) {
            var cursor = try recorded.snapshot.cursor()
            var total = 0
            while let event = try cursor.next() { total += event.payload.byteCount }
            precondition(total == recorded.byteCount)
        }
    }

    for decodingAhead in [false, true] {
        let name = "scan of all events by replay" + (decodingAhead ? ", decoding ahead" : "")
        measureReading(name, handlesMany: true, iterations: 100) { recorded, timed in
            try timed(events: Size.events) {
                var total = 0
                try recorded.snapshot.replay(decodingAhead: decodingAhead) { total += $0.payload.byteCount }
                precondition(total == recorded.byteCount)
            }
        }
    }

    measureReading("point by sequence", calls: .kilo, iterations: 200) { recorded, timed in
        let sequences = (0..<Size.calls).map { _ in UInt64(recorded.draw(below: Size.events)) }
        try timed {
            for sequence in sequences {
                let event = try recorded.snapshot.event(sequence: sequence)
                precondition(event?.sequence == sequence)
            }
        }
    }

    measureReading("range of 1,000 by time", handlesMany: true, iterations: 2_000) { recorded, timed in
        let first = recorded.draw(below: Size.events - 999)
        let query = Query().time(recorded.timestamps[first]...recorded.timestamps[first + 999])
        try timed(events: 1_000) {
            var cursor = try recorded.snapshot.cursor(query)
            var found = 0
            while let event = try cursor.next() {
                found += 1
                Benchmark.blackHole(event.payload.byteCount)
            }
            precondition(found == 1_000)
        }
    }

    measureReading("count of one kind in a range of time", iterations: 2_000) { recorded, timed in
        let first = recorded.draw(below: Size.events)
        let last = first + recorded.draw(below: Size.events - first)
        let query = Query().kinds("console.log").time(recorded.timestamps[first]...recorded.timestamps[last])
        try timed { Benchmark.blackHole(try recorded.snapshot.count(query)) }
    }

    measureReading("snapshot of a closed store", calls: .kilo, iterations: 200) { recorded, timed in
        try timed {
            for _ in 0..<Size.calls { Benchmark.blackHole(try recorded.store.snapshot()) }
        }
    }
}
