import CCRC32C
import Foundation
import Varve
import VarveRecorder
import VarveTestKit

/// How fast a closed store is replayed, folded and compared.
struct ReplayBenchmarks {
    let data: Dataset
    let path: String
    let directory: String
    let limits: Limits

    static let figures: Set<Figure> = [
        .replay, .replayAhead, .replayAheadChecksum, .replayPartitions, .fold, .compareEqual, .sessionImport,
        .sessionImportMemory, .sessionExport, .sessionExportMemory,
    ]
    private static let checkpoints = 1_000

    func measure(_ wants: (Figure) -> Bool, into samples: inout Samples) throws {
        let store = try EventStore.openReadOnly(path, options: StoreOptions())
        defer { try? store.close() }
        let snapshot = try store.snapshot()
        let events = Double(data.count)
        let reading = ReadBenchmarks(data: data, path: path, limits: limits)
        // What it is compared with comes right before it.
        func add(_ figure: Figure, _ body: () throws -> Void) throws {
            guard wants(figure) else { return }
            if let other = figure.comparedWith {
                limits.measureLZ4(into: &samples)
                try reading.measureScan(other, of: store, into: &samples)
            }
            samples.add(figure, events / (try seconds(body)))
        }
        try add(.replay) { try replay(snapshot, decodingAhead: false) }
        try add(.replayAhead) { try replay(snapshot, decodingAhead: true) }
        try add(.replayAheadChecksum) {
            var sum: UInt32 = 0
            try snapshot.replay(decodingAhead: true) { event in
                sum ^= event.withUnsafeBytes { varve_crc32c(0, $0.baseAddress, $0.count) }
            }
            keep(sum)
        }
        try add(.replayPartitions) {
            let parts = try snapshot.partitions(2)
            let totals = UnsafeMutableBufferPointer<Int>.allocate(capacity: parts.count)
            defer { totals.deallocate() }
            nonisolated(unsafe) let results = totals
            DispatchQueue.concurrentPerform(iterations: parts.count) { number in
                var total = 0
                _ = try? snapshot.replay(parts[number]) { total += $0.payloadByteCount }
                results[number] = total
            }
            precondition(totals.reduce(0, +) == data.byteCount)
        }
        if wants(.fold) { try measureFold(into: &samples) }
        if wants(.compareEqual) {
            let copy = "\(directory)/compared.varve"
            try FileManager.default.copyItem(atPath: path, toPath: copy)
            defer { try? FileManager.default.removeItem(atPath: copy) }
            let other = try EventStore.openReadOnly(copy, options: StoreOptions()).snapshot()
            let query = Query().session(ordinal: 1)
            try add(.compareEqual) {
                let result = try snapshot.compare(query, with: other, query, comparesTime: true)
                precondition(result.divergence == nil && result.equalEvents == UInt64(data.count))
            }
        }
        try measureSessions(wants, into: &samples)
    }

    private func replay(_ snapshot: Snapshot, decodingAhead: Bool) throws {
        var total = 0
        try snapshot.replay(decodingAhead: decodingAhead) { total += $0.payload.byteCount }
        precondition(total == data.byteCount)
    }

    /// A session of the workload with checkpoints at equal distances, folded at random indices.
    private func measureFold(into samples: inout Samples) throws {
        let folded = "\(directory)/folded.varve"
        defer { try? FileManager.default.removeItem(atPath: folded) }
        let store = try EventStore.open(folded, options: .recording)
        let kinds = try WorkloadA.kindNames.map { try store.kind($0, .json) }
        let session = try store.startSession("bench", at: WorkloadA.startTimestamp)
        let distance = max(data.count / Self.checkpoints, 1)
        var bytes = 0
        for position in 0..<data.count {
            if position % distance == 0 {
                try session.checkpoint("\(position)", state: Array("\(bytes)".utf8))
            }
            try session.append(
                data.payload(position), kind: kinds[Int(data.kinds[position])], at: data.timestamps[position])
            bytes += data.payload(position).count
        }
        try session.end()
        let recorded = try store.recordedSession(ordinal: session.ordinal)
        var random = SplitMix64(seed: 7)
        var durations: [UInt64] = []
        for _ in 0..<200 {
            let index = Int(random.below(UInt32(data.count)))
            let start = nanoseconds()
            let fold = try recorded.foldPayloads(at: .index(UInt64(index)), from: 0) { _, state in
                Int(String(decoding: state, as: UTF8.self)) ?? -1
            } apply: { sum, event in
                sum += event.payloadByteCount
            }
            durations.append(nanoseconds() - start)
            precondition(fold.state == data.offsets[index] && fold.isComplete)
        }
        samples.add(.fold, Double(durations.percentile(0.5)))
        try store.close()
    }

    private func measureSessions(_ wants: (Figure) -> Bool, into samples: inout Samples) throws {
        guard
            wants(.sessionImport) || wants(.sessionImportMemory) || wants(.sessionExport)
                || wants(.sessionExportMemory)
        else { return }
        let place = "\(directory)/session"
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: place) }
        let events = min(data.count, SessionWork.eventsMax)
        try SessionWork.writeDocument(events: events, in: place)
        if let cost = try MemoryProbe.measure(.importSession, events: events, store: place) {
            samples.add(.sessionImport, Double(events) / cost.seconds)
            samples.add(.sessionImportMemory, cost.bytes)
        }
        if let cost = try MemoryProbe.measure(.exportSession, events: events, store: place) {
            samples.add(.sessionExport, Double(events) / cost.seconds)
            samples.add(.sessionExportMemory, cost.bytes)
        }
    }
}

/// A session of session JSON, in and out: done in a process of its own.
enum SessionWork {
    static let eventsMax = 1_000_000

    static func writeDocument(events: Int, in place: String) throws {
        guard FileManager.default.createFile(atPath: "\(place)/in.json", contents: nil),
            let file = FileHandle(forWritingAtPath: "\(place)/in.json")
        else {
            throw CocoaError(.fileNoSuchFile)
        }
        let writer = SessionJSON.Writer(id: "bench", startedAt: WorkloadA.startTimestamp) { bytes in
            try file.write(contentsOf: Data(bytes))
        }
        var random = SplitMix64(seed: 11)
        for index in 0..<UInt64(events) {
            let time = WorkloadA.startTimestamp + Int64(index) * 1_000_000 + Int64(random.below(1_000_000))
            let call = IpcCall(
                id: "call-\(index)", command: "get_\(random.below(50))", timestamp: time,
                durationMilliseconds: UInt64(random.below(900)),
                result: .ok(try RawJSON(#"{"value":\#(random.next()),"items":[1,2.50,"three"],"ok":true}"#)),
                argumentBytes: UInt(random.below(4096)), webviewLabel: "main")
            try writer.append(RecordedEvent(index: index, timestamp: time, event: .ipc(call)))
        }
        try writer.finish()
        try file.close()
    }

    static func importSession(_ place: String, _ sample: @escaping () -> Void) throws {
        let store = try EventStore.open("\(place)/store.varve", options: .recording)
        let recorder = EventRecorder(store: store)
        try recorder.importSession {
            guard let file = FileHandle(forReadingAtPath: "\(place)/in.json") else {
                throw CocoaError(.fileNoSuchFile)
            }
            return { room in
                for _ in 0..<1_024 { sample() }
                let data = try autoreleasepool { try file.read(upToCount: room.count) } ?? Data()
                data.copyBytes(to: room)
                return data.count
            }
        }
        try store.close()
    }

    static func exportSession(_ place: String, _ sample: @escaping () -> Void) throws {
        let store = try EventStore.openReadOnly("\(place)/store.varve", options: StoreOptions())
        guard FileManager.default.createFile(atPath: "\(place)/out.json", contents: nil),
            let file = FileHandle(forWritingAtPath: "\(place)/out.json"),
            let session = try store.snapshot().sessions().last
        else { throw CocoaError(.fileNoSuchFile) }
        try store.recordedSession(ordinal: session.ordinal).writeJSON { bytes in
            for _ in 0..<1_024 { sample() }
            try file.write(contentsOf: Data(bytes))
        }
        try file.close()
        precondition(
            FileManager.default.contentsEqual(atPath: "\(place)/in.json", andPath: "\(place)/out.json"))
    }
}

#if !canImport(Darwin)
private func autoreleasepool<Result>(_ body: () throws -> Result) rethrows -> Result { try body() }
#endif
