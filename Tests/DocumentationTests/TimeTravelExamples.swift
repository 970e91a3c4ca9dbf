import Testing
import Varve
import VarveJSON
import VarveRecorder
import VarveTestKit

@Suite("Time travel and replay, as its article shows it")
struct TimeTravelExamples {
    private let directory: TemporaryDirectory
    private let output = Output()
    private let store: EventStore

    init() throws {
        directory = try TemporaryDirectory()
        store = try EventStore.open(directory.path("store"))
    }

    private func print(_ items: Any...) { output.print(items) }

    /// 1,000 changes of a document, of one node each, with a checkpoint before every hundredth; of them `retained` are.
    private func recorded(retained: Int = 50_000) throws -> RecordedSession {
        let recorder = EventRecorder(store: store, maxEvents: retained)
        try recorder.start("s1", at: 0)
        for number in 0..<1000 {
            if number % 100 == 0 {
                try recorder.checkpoint("cp-\(number / 100)", state: RawJSON("\(number)"), at: Int64(number))
            }
            try recorder.record(
                .domMutation(DomMutation(webviewLabel: "main", timestamp: 0, mutationCount: 1)),
                at: Int64(number))
        }
        return try #require(try recorder.stop())
    }

    @Test("A fold gives the state at a moment")
    func fold() throws {
        _ = try recorded()

        let session = try store.recordedSession(ordinal: 1)
        let fold = try session.fold(at: .index(750), from: 0) { checkpoint in
            Int(checkpoint.state.description) ?? 0
        } apply: { mutations, event in
            if case .domMutation(let change) = event.event { mutations += Int(change.mutationCount) }
        }
        print("\(fold.state) changes: \(fold.eventsApplied) after \(fold.checkpoint?.id ?? "the beginning")")
        if !fold.isComplete { print("without what can't be read: \(fold.coverage.gaps)") }

        #expect(output.lines == ["750 changes: 50 after cp-7"])
    }

    @Test("The state at a moment is a checkpoint and the events since")
    func state() throws {
        let session = try recorded()

        let known = try session.state(at: .index(750))
        print("checkpoint \(known.checkpoint?.id ?? "none"), then \(try known.events.all().count) events")

        #expect(output.lines == ["checkpoint cp-7, then 50 events"])
    }

    @Test("Events between checkpoints, and the base of those that are retained")
    func checkpoints() async throws {
        let session = try recorded(retained: 250)

        for try await event in try session.events(betweenCheckpoint: "cp-8", and: "cp-9") {
            print(event.index, event.event.type)
        }
        if let base = try session.baseCheckpoint() {
            print("\(session.eventCount) events retained, the state before them from \(base.id)")
        }

        #expect(output.lines.count == 101)
        #expect(
            output.lines.first == "800 DomMutation"
                && output.lines.last == "250 events retained, the state before them from cp-7")
    }

    @Test("A replay lends every event to a closure")
    func replay() throws {
        let snapshot = try recorded().snapshot
        var bytes = 0

        let coverage = try snapshot.replay(Query().session("s1"), decodingAhead: true) { event in
            event.withUnsafeBytes { payload in bytes += payload.count }
        }

        #expect(bytes > 0 && coverage.isComplete)
    }

    private actor Sink {
        var count = 0
        func take(_ batch: ReplayBatch) {
            for event in batch { event.withUnsafeBytes { _ in count += 1 } }
        }
    }

    @Test("Batches go from task to task")
    func batches() async throws {
        let snapshot = try recorded().snapshot
        let sink = Sink()

        for try await batch in snapshot.batches(Query().session("s1"), eventsMax: 400) {
            await sink.take(batch)
            if let position = batch.position { print("through \(position.sequence)") }
        }

        #expect(await sink.count == 1000)
        #expect(output.lines == ["through 399", "through 799", "through 999"])
    }

    @Test("A paced replay keeps the gaps, and is led by another task")
    func paced() async throws {
        let snapshot = try recorded().snapshot
        let query = Query().session("s1").limit(3)

        let replay = try PacedReplay(snapshot, query, speed: 10, gapMax: .seconds(1))
        for try await event in replay {
            print(event.index)
        }

        await replay.pause()
        try await replay.seek(to: .sequence(1))
        if let event = try await replay.step() { print("stepped to \(event.index)") }
        try await replay.setSpeed(.infinity)
        await replay.resume()

        #expect(output.lines == ["0", "1", "2", "stepped to 1"])
        #expect(try await replay.next()?.index == 2)
    }

    @Test("The times of a paced replay, for a loop of one's own")
    func pacing() throws {
        let session = try store.startSession("ticks", at: 0)
        for second in [0, 1, 2, 60] as [Int64] {
            try session.append("{}", kind: store.kind("tick", .json), at: second * 1_000_000_000)
        }
        let snapshot = try store.snapshot()

        var pacing = try ReplayPacing(speed: 2, gapMax: .seconds(5))
        var now = Duration.zero
        var cursor = try snapshot.cursor(Query().kinds("tick"))
        while let event = try cursor.next() {
            let due = pacing.due(event.timestamp, now: now)
            now = max(now, due)  // where a player waits
            print("event \(event.index) at \(now)")
            pacing.play(event.timestamp, due: due)
        }

        #expect(
            output.lines == [
                "event 0 at 0.0 seconds", "event 1 at 0.5 seconds", "event 2 at 1.0 seconds",
                "event 3 at 6.0 seconds",
            ])
    }

    private struct Order: Codable { var item: String }
    private struct Tick: Codable { var second: Int }

    @Test("Events as values of one's own types")
    func decoding() throws {
        let recording = try store.startSession("s1")
        try recording.append(#"{"item":"lamp"}"#, kind: store.kind("order.placed", .json))
        try recording.append("log", kind: store.kind("stdout", .utf8))
        try recording.append(#"{"second":3}"#, kind: store.kind("tick", .json))
        let snapshot = try store.snapshot()

        enum Message {
            case order(Order)
            case tick(Tick)
        }
        let messages = KindDecoder<Message>()
            .kind("order.placed", as: Order.self) { .order($0) }
            .kind("tick", as: Tick.self) { .tick($0) }
        try snapshot.replay(messages.query(Query().session("s1"))) { event in
            switch try messages.decode(event) {
            case .order(let order): print("order of a \(order.item)")
            case .tick(let tick): print("second \(tick.second)")
            case nil: break
            }
        }

        #expect(output.lines == ["order of a lamp", "second 3"])
    }

    @Test("Two sessions, and where they first differ")
    func comparison() throws {
        for payloads in [["1", #"{"id":1,"a":[1,2]}"#], ["1", #"{"id":2,"a":[1,3]}"#]] {
            let session = try store.startSession("run", at: 0)
            for payload in payloads { try session.append(payload, kind: store.kind("step", .json)) }
            try session.end()
        }

        let snapshot = try store.snapshot()
        var comparison = SessionComparison()
        comparison.ignoredPaths = [try JSONPath("id")]
        let difference = try comparison.compare(1, in: snapshot, with: 2, in: snapshot)
        if let divergence = difference.divergence {
            print("after \(difference.equalEvents) equal events, at \(difference.path ?? "the kind")")
            print(divergence.first?.index ?? "the end", divergence.second?.index ?? "the end")
        }

        #expect(output.lines == ["after 1 equal events, at a[1]", "1 1"])
    }
}
