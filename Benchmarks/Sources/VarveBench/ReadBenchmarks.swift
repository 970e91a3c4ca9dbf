import CCRC32C
import Varve
import VarveTestKit

/// How fast events get out of a closed store whose files are in the page cache.
struct ReadBenchmarks {
    let data: Dataset
    let path: String
    let limits: Limits

    func measure(_ wants: (Figure) -> Bool, into samples: inout Samples) throws {
        if wants(.open) {
            samples.add(
                .open,
                try p50(50) { _ in
                    try EventStore.openReadOnly(path, options: StoreOptions()).close()
                })
        }
        let store = try EventStore.openReadOnly(path, options: StoreOptions())
        defer { try? store.close() }
        for figure in [Figure.scan, .scanChecksum] where wants(figure) {
            limits.measureLZ4(into: &samples)
            try measureScan(figure, of: store, into: &samples)
        }
        if wants(.scanMemory) {
            samples.attempt("memory of a process that scans") { samples in
                if let cost = try MemoryProbe.measure(.scan, events: data.count, store: path) {
                    samples.add(.scanMemory, cost.bytes)
                }
            }
        }
        var random = SplitMix64(seed: 99)
        let snapshot = try store.snapshot()
        if wants(.point) {
            samples.add(
                .point,
                try p50(2_000) { _ in
                    let sequence = UInt64(random.below(UInt32(data.count)))
                    let event = try snapshot.event(sequence: sequence)
                    precondition(event?.sequence == sequence)
                })
        }
        if wants(.time1000) { samples.add(.time1000, try timeRanges(1_000, runs: 200, snapshot, &random)) }
        if wants(.time100000) {
            samples.add(.time100000, try timeRanges(100_000, runs: 20, snapshot, &random))
        }
        if wants(.countKind) {
            samples.add(
                .countKind,
                try p50(200) { _ in
                    let first = Int(random.below(UInt32(data.count)))
                    let last = first + Int(random.below(UInt32(data.count - first)))
                    let query = Query().kinds("console.log").time(
                        data.timestamps[first]...data.timestamps[last])
                    keep(try snapshot.count(query))
                })
        }
    }

    private func p50(_ runs: Int, _ body: (Int) throws -> Void) throws -> Double {
        var durations: [UInt64] = []
        for run in 0..<runs {
            let start = nanoseconds()
            try body(run)
            durations.append(nanoseconds() - start)
        }
        return Double(durations.percentile(0.5))
    }

    /// One of the two ways to scan.
    func measureScan(_ figure: Figure, of store: EventStore, into samples: inout Samples) throws {
        let took = try seconds { try figure == .scanChecksum ? scanChecksum(store) : scan(store) }
        samples.add(figure, Double(data.count) / took)
    }

    private func scan(_ store: EventStore) throws {
        var cursor = try store.cursor(Query())
        var total = 0
        while let event = try cursor.next() { total += event.payload.byteCount }
        precondition(total == data.byteCount)
    }

    private func scanChecksum(_ store: EventStore) throws {
        var cursor = try store.cursor(Query())
        var sum: UInt32 = 0
        while let event = try cursor.next() {
            sum ^= event.withUnsafeBytes { varve_crc32c(0, $0.baseAddress, $0.count) }
        }
        keep(sum)
    }

    /// The time of reading a random run of `count` events, found by their timestamps.
    private func timeRanges(_ count: Int, runs: Int, _ snapshot: Snapshot, _ random: inout SplitMix64) throws
        -> Double
    {
        let count = min(count, data.count)
        var starts: [Int] = []
        for _ in 0..<runs { starts.append(Int(random.below(UInt32(data.count - count + 1)))) }
        return try p50(runs) { run in
            let first = starts[run]
            let range = data.timestamps[first]...data.timestamps[first + count - 1]
            var cursor = try snapshot.cursor(Query().time(range))
            var found = 0
            while let event = try cursor.next() {
                found += 1
                keep(event.payload.byteCount)
            }
            precondition(found == count)
        }
    }
}
