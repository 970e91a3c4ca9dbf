import Foundation
import Varve
import VarveJSON
import VarveTestKit

/// How fast a store is searched, counted and followed.
struct SearchBenchmarks {
    let data: Dataset
    let path: String
    let directory: String
    let limits: Limits

    static let figures: Set<Figure> = [
        .memmem, .grepLive, .grepLiveAhead, .grepLiveIgnoringCase, .regexLive, .grepSettled, .regexSettled,
        .whereSettled,
        .filterBuild,
        .filterBytes, .whereNumber, .whereParsed, .histogram, .follow,
    ]

    func measure(_ wants: (Figure) -> Bool, into samples: inout Samples) throws {
        let rare = WorkloadA.rareText
        let needle = Needle(rare)
        let expected = UInt64((0..<data.count).count { needle.stands(in: data.payload($0)) })
        let events = Double(data.count)
        do {
            let store = try EventStore.openReadOnly(path, options: StoreOptions())
            defer { try? store.close() }
            let snapshot = try store.snapshot()
            if wants(.memmem) {
                samples.add(
                    .memmem,
                    events
                        / (seconds {
                            var found = 0
                            for number in 0..<data.pieceCount {
                                if needle.stands(in: data.piece(number)) { found += 1 }
                            }
                            keep(found)
                        }))
            }
            func time(
                _ figure: Figure, _ predicate: any EventPredicate, _ count: UInt64?,
                decodingAhead: Bool = false
            ) throws {
                guard wants(figure) else { return }
                var found: UInt64 = 0
                let took = try seconds {
                    found = try snapshot.count(
                        Query().matching(predicate), decodingAhead: decodingAhead)
                }
                if let count { precondition(found == count, "\(figure): \(found)") }
                samples.add(figure, figure.unit == .nanoseconds ? took * 1e9 : events / took)
            }
            try time(.grepLive, try TextPredicate(rare), expected)
            try time(.grepLiveAhead, try TextPredicate(rare), expected, decodingAhead: true)
            try time(
                .grepLiveIgnoringCase, try TextPredicate(rare.lowercased(), ignoringCase: true), expected)
            try time(.regexLive, try RegexPredicate("E_QUOTA_[A-Z]+ED"), expected)
            if wants(.whereNumber) || wants(.whereParsed) { limits.measureLZ4(into: &samples) }
            try time(.whereNumber, try WherePredicate("dur_us > 59000"), nil)
            try time(.whereParsed, try WherePredicate("size(.) > 100"), 0)
            if wants(.histogram) {
                let span = data.timestamps[data.count - 1] - data.timestamps[0]
                samples.add(
                    .histogram,
                    try seconds {
                        let tally = try snapshot.tally(
                            bucketNanoseconds: max(span / 60, 1), by: .kind)
                        precondition(tally.total == UInt64(data.count))
                    } * 1e9)
            }
        }
        let settled: Set<Figure> = [.grepSettled, .regexSettled, .whereSettled, .filterBuild, .filterBytes]
        if settled.contains(where: wants) {
            let copy = "\(directory)/filtered.varve"
            try FileManager.default.copyItem(atPath: path, toPath: copy)
            defer { try? FileManager.default.removeItem(atPath: copy) }
            let writer = try EventStore.open(copy, options: .recording)
            var report: FilterReport?
            let took = try seconds { report = try writer.buildFilters() }
            try writer.close()
            samples.add(.filterBuild, events / took)
            samples.add(.filterBytes, Double(report?.filterBytes ?? 0))
            let store = try EventStore.openReadOnly(copy, options: StoreOptions())
            defer { try? store.close() }
            let snapshot = try store.snapshot()
            func time(_ figure: Figure, _ predicate: any EventPredicate) throws {
                guard wants(figure) else { return }
                var runs: [UInt64] = []
                for _ in 0..<5 {
                    let start = nanoseconds()
                    let found = try snapshot.count(Query().matching(predicate))
                    precondition(found == expected, "\(figure): \(found)")
                    runs.append(nanoseconds() - start)
                }
                samples.add(figure, Double(runs.percentile(0.5)))
            }
            try time(.grepSettled, try TextPredicate(rare))
            try time(.regexSettled, try RegexPredicate("E_QUOTA_[A-Z]+ED"))
            try time(.whereSettled, try WherePredicate("** contains \"\(rare)\""))
        }
        if wants(.follow) { try measureFollow(into: &samples) }
    }

    /// From before an event is appended, with `synced`, until a follower with a store of its own has it.
    private func measureFollow(into samples: inout Samples) throws {
        let path = "\(directory)/followed.varve"
        defer { try? FileManager.default.removeItem(atPath: path) }
        var options = StoreOptions.recording
        options.durability = .synced
        let writer = try EventStore.open(path, options: options)
        let session = try writer.startSession("s")
        let kind = try writer.kind("k", .utf8)
        let last = try session.append(Array("first".utf8), kind: kind)
        try writer.blockUntilDurable(through: last)
        let reader = try EventStore.openReadOnly(path, options: StoreOptions())
        let follower = try reader.follower(from: .now)
        let runs = 200
        let arrivals = UnsafeMutableBufferPointer<UInt64>.allocate(capacity: runs)
        arrivals.initialize(repeating: 0)
        defer { arrivals.deallocate() }
        nonisolated(unsafe) let arrived = arrivals
        let seen = DispatchSemaphore(value: 0)
        let thread = Thread {
            var count = 0
            while count < runs {
                let goesOn = try? follower.next { _ in
                    if count < runs { arrived[count] = nanoseconds() }
                    count += 1
                    seen.signal()
                }
                guard goesOn == true else { break }
            }
        }
        thread.start()
        var durations: [UInt64] = []
        for run in 0..<runs {
            let start = nanoseconds()
            let number = try session.append(Array("event \(run)".utf8), kind: kind)
            try writer.blockUntilDurable(through: number)
            seen.wait()
            durations.append(arrived[run] - start)
        }
        follower.cancel()
        try writer.close()
        try reader.close()
        samples.add(.follow, Double(durations.percentile(0.5)))
    }
}
