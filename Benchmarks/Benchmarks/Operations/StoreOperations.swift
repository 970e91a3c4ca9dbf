import Benchmark
import BenchmarkWorkload
import Foundation
import Varve

/// Makes a store of the first events of the workload, and closes it. Its path.
private func makeStore(of events: Int, in directory: String) throws -> String {
    let path = "\(directory)/events.varve"
    let store = try EventStore.open(path, options: .recording)
    try Dataset(count: events).append(to: store)
    try store.close()
    return path
}

func storeOperations() {
    measure("open to read", iterations: 1_000) {
        try makeStore(of: Size.events, in: $0)
    } body: { path, timed in
        let store = try timed { try EventStore.openReadOnly(path) }
        try store.close()
    }

    measure("open to write", iterations: 200) {
        try makeStore(of: Size.events, in: $0)
    } body: { path, timed in
        let store = try timed { try EventStore.open(path, options: .recording) }
        try store.close()
    }

    // What is compacted is a copy: the next iteration finds the same.
    measure("compaction of 50,000 events", handlesMany: true, iterations: 5) {
        try makeStore(of: Size.compactedEvents, in: $0)
    } body: { path, timed in
        let copy = "\(path).copy"
        try FileManager.default.copyItem(atPath: path, toPath: copy)
        defer { try? FileManager.default.removeItem(atPath: copy) }
        let store = try EventStore.open(copy, options: .recording)
        let report = try timed(events: Size.compactedEvents) { try store.compact() }
        precondition(report.isComplete && report.refused.isEmpty && report.bytesAfter < report.bytesBefore)
        try store.close()
    }
}
