import Benchmark
import BenchmarkWorkload
import Foundation
import Varve
import VarveTestKit

/// A store that is written, and the workload, which begins anew at its end, later in time.
private final class Recording {
    let store: EventStore
    let session: Session
    private let kinds: [EventKind]
    private let data = Dataset(count: Size.events)
    private var position = 0
    private var shift: Int64 = 0

    /// By default what is appended is synced in the background, every 200 ms.
    init(in directory: String, durability: Durability = StoreOptions().durability) throws {
        var options = StoreOptions.recording
        options.durability = durability
        store = try EventStore.open("\(directory)/events.varve", options: options)
        kinds = try Dataset.kinds(of: store)
        session = try store.startSession("bench", at: WorkloadA.startTimestamp)
    }

    func append(_ count: Int) throws {
        let (data, kinds) = (data, kinds)
        let positions = take(count)
        let shift = shift
        for position in positions {
            try session.append(
                data.payload(position), kind: kinds[Int(data.kinds[position])],
                at: data.timestamps[position] + shift)
        }
    }

    func append(_ count: Int, by batch: EventBatch) throws {
        let (data, kinds) = (data, kinds)
        let positions = take(count)
        let shift = shift
        batch.removeAll()
        for position in positions {
            try batch.add(
                data.payload(position), kind: kinds[Int(data.kinds[position])],
                at: data.timestamps[position] + shift)
        }
        try session.append(batch)
    }

    private func take(_ count: Int) -> Range<Int> {
        if position + count > data.count {
            position = 0
            shift += data.timestamps[data.count - 1] - WorkloadA.startTimestamp
        }
        defer { position += count }
        return position..<position + count
    }
}

func appendOperations() {
    // What its caller waits for. Blocks are compressed and written behind it, in the time of other iterations too.
    measure("append", calls: .kilo, iterations: 1_000) {
        try Recording(in: $0)
    } tearDown: {
        try $0.store.close()
    } body: { recording, timed in
        try timed { try recording.append(Size.calls) }
    }

    let batch = EventBatch()
    measure("append a batch of 1,000", handlesMany: true, iterations: 1_000) {
        try Recording(in: $0)
    } tearDown: {
        try $0.store.close()
    } body: { recording, timed in
        try timed(events: 1_000) { try recording.append(1_000, by: batch) }
    }

    // All of it: nothing is left to be done afterwards.
    measure("append of 200,000 events and close", handlesMany: true, iterations: 20) {
        (data: Dataset(count: Size.events), path: "\($0)/events.varve")
    } body: { made, timed in
        defer { try? FileManager.default.removeItem(atPath: made.path) }
        let store = try EventStore.open(made.path, options: .recording)
        try timed(events: Size.events) {
            try made.data.append(to: store)
            try store.close()
        }
    }

    measure("append, durable when it returns", iterations: 2_000) {
        try Recording(in: $0, durability: .synced)
    } tearDown: {
        try $0.store.close()
    } body: { recording, timed in
        try timed { try recording.append(1) }
    }

    // Written when it returns, and so is what was appended before it.
    let state = [UInt8](repeating: 0x53, count: 1_024)
    measure("checkpoint of 1 KiB after 100 events", iterations: 1_000) {
        try Recording(in: $0)
    } tearDown: {
        try $0.store.close()
    } body: { recording, timed in
        try recording.append(100)
        try timed { _ = try recording.session.checkpoint("state", state: state) }
    }

    measure("snapshot while recording", iterations: 1_000) {
        try Recording(in: $0)
    } tearDown: {
        try $0.store.close()
    } body: { recording, timed in
        try recording.append(100)
        try timed { Benchmark.blackHole(try recording.store.snapshot()) }
    }
}
