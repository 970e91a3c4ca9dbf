import Testing
import Varve
import VarveTestKit

@Suite("Limits and compaction, as their article shows them")
struct LimitsExamples {
    private let directory: TemporaryDirectory
    private let output = Output()
    private var path: String { directory.path("store") }

    init() throws { directory = try TemporaryDirectory() }

    private func print(_ items: Any...) { output.print(items) }

    private func record(_ count: Int, to store: EventStore, _ id: String = "night") throws {
        let session = try store.startSession(id)
        let line = try store.kind("stdout", .utf8)
        for number in 0..<count { try session.append("line \(number)", kind: line) }
        try session.end()
    }

    @Test("Limits stand in the store")
    func limits() throws {
        var options = StoreOptions()
        options.limits = RetentionLimits(
            events: 1_000_000, checkpoints: 500, bytes: 2 << 30, ageNanoseconds: 7 * 24 * 3_600_000_000_000)
        let store = try EventStore.open(path, options: options)

        try store.close()
        let again = try EventStore.open(path)
        #expect(again.limits == options.limits)
        try again.close()
    }

    @Test("What was dropped is told")
    func dropped() throws {
        var options = StoreOptions()
        options.limits = RetentionLimits(events: 60)
        let store = try EventStore.open(path, options: options)
        try record(100, to: store)
        try store.close()
        let reader = try EventStore.openReadOnly(path)
        try show(reader)
        #expect(
            output.lines == (40..<100).map { "\($0)" } + [
                "dropped: 0...39", "40 events for the limit of events",
            ])
    }

    private func show(_ store: EventStore) throws {
        var cursor = try store.cursor(Query().sequences(0...99))
        while let event = try cursor.next() { print(event.sequence) }
        for gap in cursor.coverage.gaps where gap.reason == .retention { print("dropped: \(gap.sequences)") }
        for dropped in try store.info().droppings {
            print("\(dropped.events) events for the limit of \(dropped.limit)")
        }
    }

    @Test("What is pinned stays, and pins above a limit are told")
    func pins() throws {
        let store = try EventStore.open(path)
        try record(100, to: store, "incident")
        try record(9_900, to: store)
        let incident = try #require(try store.sessions().first?.ordinal)

        try store.pin(session: incident)
        try store.pin(sequences: 5_000...5_999)
        for limit in store.unreachableLimits { print("pins exceed the limit of \(limit)") }
        try store.unpin(sequences: 5_000...5_999)

        #expect(output.lines == [])
        try store.close()
        var options = StoreOptions()
        options.limits = RetentionLimits(events: 50)
        let limited = try EventStore.open(path, options: options)
        #expect(limited.unreachableLimits == [.events])
        #expect(try limited.collect() == Array(0..<100))
        try limited.close()
    }

    @Test("Compaction, with progress and an end", arguments: [false, true])
    func compaction(isCancelled: Bool) throws {
        let store = try EventStore.open(path)
        try record(5_000, to: store)
        let isCancelled = { isCancelled }

        let report = try store.compact { progress in
            print("\(progress.bytesWritten) bytes written")
            return !isCancelled()
        }
        print("\(report.segmentsBefore) segments became \(report.segmentsAfter)", report.isComplete)
        for (file, reason) in report.refused { print("\(file) stays as it is: \(reason)") }

        #expect(
            output.lines.last
                == (isCancelled() ? "0 segments became 0 false" : "1 segments became 1 true"))
        #expect(output.lines.count >= 2)
        #expect(try store.collect() == Array(0..<5_000))
        try store.close()
    }
}

extension EventStore {
    /// The sequence numbers that are kept.
    fileprivate func collect() throws -> [UInt64] {
        var numbers: [UInt64] = []
        var cursor = try cursor()
        while let event = try cursor.next() { numbers.append(event.sequence) }
        return numbers
    }
}
