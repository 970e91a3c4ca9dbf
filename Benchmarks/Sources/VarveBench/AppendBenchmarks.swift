import Foundation
import Varve
import VarveTestKit

/// How fast events get in, and what that costs.
struct AppendBenchmarks {
    let data: Dataset
    let directory: String
    let limits: Limits

    func measure(_ wants: (Figure) -> Bool, into samples: inout Samples) {
        if wants(.appendWithTail) {
            samples.attempt("append with TAIL") { samples in
                samples.add(.appendWithoutTail, try appendAll(encoders: 2, keepsTail: false))
                samples.add(.appendWithTail, try appendAll(encoders: 2))
            }
        }
        if wants(.append) {
            limits.measureLZ4(into: &samples)
            samples.attempt("append") { $0.add(.append, try appendAll(encoders: 2)) }
        }
        if wants(.appendRecorded) || wants(.appendCompacting) {
            samples.attempt("append beside compaction") { samples in
                samples.add(.appendRecorded, try appendToRecorded(compacts: false))
                samples.add(.appendCompacting, try appendToRecorded(compacts: true))
            }
        }
        if wants(.appendMemory) {
            samples.attempt("memory of a process that appends") { samples in
                let path = "\(directory)/probe.varve"
                defer { try? FileManager.default.removeItem(atPath: path) }
                if let cost = try MemoryProbe.measure(.append, events: data.count, store: path) {
                    samples.add(.appendMemory, cost.bytes)
                }
            }
        }
        if wants(.appendOneEncoder) {
            limits.measureLZ4(into: &samples)
            samples.attempt("append with one encoder") {
                $0.add(.appendOneEncoder, try appendAll(encoders: 1))
            }
        }
        if wants(.appendP50) || wants(.appendP999) || wants(.appendP9999) {
            samples.attempt("append latency") { samples in
                let latencies = try appendTimed().sorted()
                func rank(_ rank: Double) -> Double {
                    Double(latencies[min(Int(rank * Double(latencies.count)), latencies.count - 1)])
                }
                samples.add(.appendP50, rank(0.5))
                samples.add(.appendP999, rank(0.999))
                samples.add(.appendP9999, rank(0.9999))
            }
        }
        if wants(.durable1) || wants(.durable64Callers) {
            samples.attempt("durable append") { samples in
                try limits.measureSmallSyncs(into: &samples)
                samples.add(.durable1, try durable(batch: 1, batches: 1_000))
                samples.add(.durable64Callers, try durableConcurrent(callers: 64, appends: 100))
            }
        }
        if wants(.durable100) {
            samples.attempt("durable batches of 100") {
                $0.add(.durable100, try durable(batch: 100, batches: 300))
            }
        }
        if wants(.durable1000) {
            samples.attempt("durable batches of 1,000") {
                $0.add(.durable1000, try durable(batch: 1_000, batches: 100))
            }
        }
        if wants(.recordLines) {
            samples.attempt("varve record") { samples in
                if let speed = try recordLines() { samples.add(.recordLines, speed) }
            }
        }
    }

    /// Writes the store that the read benchmarks read; bytes of all its files.
    func makeStore(at path: String) throws -> UInt64 {
        let store = try EventStore.open(path, options: .recording)
        try data.append(to: store)
        try store.close()
        return try storedBytes(in: path)
    }

    /// A new store for `body`, removed afterwards.
    private func withStore<R>(_ options: StoreOptions, _ body: (EventStore) throws -> R) throws -> R {
        let path = "\(directory)/append.varve"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let store = try EventStore.open(path, options: options)
        let result = try body(store)
        try store.close()
        return result
    }

    /// Events a second; opening is left out, closing (everything durable) is not.
    private func appendAll(encoders: Int, keepsTail: Bool = true) throws -> Double {
        var options = StoreOptions.recording
        options.keepsTail = keepsTail
        options.encoderThreads = encoders
        return try withStore(options) { store in
            Double(data.count)
                / (try seconds {
                    try data.append(to: store)
                    try store.close()
                })
        }
    }

    /// The same for a store that has the events already: compaction has its segments to work on from the first append to the last.
    private func appendToRecorded(compacts: Bool) throws -> Double {
        try withStore(.recording) { store in
            try data.append(to: store)
            try store.close()
            var options = StoreOptions.recording
            options.compactsInBackground = compacts
            let again = try EventStore.open(store.path, options: options)
            return Double(data.count)
                / (try seconds {
                    try data.append(to: again)
                    try again.close()
                })
        }
    }

    /// Nanoseconds of every single append as its caller sees it.
    private func appendTimed() throws -> [UInt32] {
        var latencies = [UInt32](repeating: 1, count: data.count)
        try withStore(.recording) { store in
            let kinds = try Dataset.kinds(of: store)
            let session = try store.startSession("bench", at: WorkloadA.startTimestamp)
            var last = nanoseconds()
            for position in 0..<data.count {
                try session.append(
                    data.payload(position), kind: kinds[Int(data.kinds[position])],
                    at: data.timestamps[position])
                let now = nanoseconds()
                latencies[position] = UInt32(clamping: now - last)
                last = now
            }
        }
        return latencies
    }

    /// Bytes of input a second, from the start of the command `varve` to its end; nil where it does not lie beside this program.
    private func recordLines() throws -> Double? {
        guard let command = Bundle.main.executableURL?.deletingLastPathComponent().appending(path: "varve"),
            FileManager.default.isExecutableFile(atPath: command.path(percentEncoded: false))
        else {
            note("left out: there is no command varve beside this program")
            return nil
        }
        let place = "\(directory)/lines"
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: place) }
        try LinesPeer().append(data, in: place)
        let input = LinesPeer.path(place)
        let process = Process()
        process.executableURL = command
        process.arguments = ["record", "\(place)/recorded.varve", "--input", input, "--kind-field", "kind"]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        let duration = try seconds {
            try process.run()
            process.waitUntilExit()
        }
        let store = try EventStore.openReadOnly("\(place)/recorded.varve", options: StoreOptions())
        defer { try? store.close() }
        guard process.terminationStatus == 0, try store.info().eventCount == UInt64(data.count) else {
            throw PeerFailure("varve record ended with \(process.terminationStatus)")
        }
        let attributes = try FileManager.default.attributesOfItem(atPath: input)
        return Double(attributes[.size] as? UInt64 ?? 0) / duration
    }

    private var syncedOptions: StoreOptions {
        var options = StoreOptions.recording
        options.durability = .synced
        return options
    }

    /// Events a second when each batch is on the disk before the next one is made.
    private func durable(batch batchCount: Int, batches: Int) throws -> Double {
        let batches = min(batches, data.count / batchCount)
        return try withStore(syncedOptions) { store in
            let kinds = try Dataset.kinds(of: store)
            let session = try store.startSession("bench", at: WorkloadA.startTimestamp)
            let batch = EventBatch()
            let duration = try seconds {
                var position = 0
                for _ in 0..<batches {
                    if batchCount == 1 {
                        try session.append(
                            data.payload(position), kind: kinds[Int(data.kinds[position])],
                            at: data.timestamps[position])
                        position += 1
                        continue
                    }
                    batch.removeAll()
                    for _ in 0..<batchCount {
                        try batch.add(
                            data.payload(position), kind: kinds[Int(data.kinds[position])],
                            at: data.timestamps[position])
                        position += 1
                    }
                    _ = try session.append(batch)
                }
            }
            return Double(batches * batchCount) / duration
        }
    }

    /// Events a second of many threads that each wait for every one of their appends.
    private func durableConcurrent(callers: Int, appends: Int) throws -> Double {
        let data = data
        let appends = max(min(appends, data.count / callers), 1)
        return try withStore(syncedOptions) { store in
            let kinds = try Dataset.kinds(of: store)
            let session = try store.startSession("bench", at: WorkloadA.startTimestamp)
            let (ready, go) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
            let done = DispatchGroup()
            let failures = Failures()
            for caller in 0..<callers {
                done.enter()
                let thread = Thread {
                    defer { done.leave() }
                    ready.signal()
                    go.wait()
                    do {
                        for number in 0..<appends {
                            let position = (caller * appends + number) % data.count
                            try session.append(
                                data.payload(position), kind: kinds[Int(data.kinds[position])],
                                at: data.timestamps[position])
                        }
                    } catch {
                        failures.add(error)
                    }
                }
                thread.stackSize = 512 << 10
                thread.start()
            }
            for _ in 0..<callers { ready.wait() }
            let duration = seconds {
                for _ in 0..<callers { go.signal() }
                done.wait()
            }
            if let failure = failures.first { throw failure }
            return Double(callers * appends) / duration
        }
    }
}

/// Errors of several threads.
private final class Failures: @unchecked Sendable {
    private let lock = NSLock()
    private var errors: [any Error] = []

    func add(_ error: any Error) { lock.withLock { errors.append(error) } }
    var first: (any Error)? { lock.withLock { errors.first } }
}
