import Foundation
import Testing
import Varve
import VarveTestKit

@Suite("A cursor")
struct CursorTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }

    init() throws { directory = try TemporaryDirectory() }

    /// Records, and gives the body the store while everything is in memory, then once it is closed.
    private func withStore(
        _ options: StoreOptions = smallBlocks(on: ControlledFileSystem()),
        record: (EventStore) throws -> Void, check: (EventStore) throws -> Void
    ) throws {
        let store = try EventStore.open(path, options: options)
        try record(store)
        try check(store)
        try store.close()
        try check(try EventStore.openReadOnly(path))
    }

    // MARK: Beside each other

    private final class Running {
        var cursor: EventCursor
        var next: UInt64
        let end: UInt64

        init(_ cursor: consuming EventCursor, _ numbers: ClosedRange<UInt64>) {
            self.cursor = cursor
            (next, end) = (numbers.lowerBound, numbers.upperBound + 1)
        }
    }

    @Test(
        "Cursors that take turns, begin and end in any order see what each asked for, in segments of ever more kinds"
    )
    func turns() throws {
        let seed = SplitMix64.freshSeed()
        var generator = SplitMix64(seed: seed)
        var options = smallBlocks(on: ControlledFileSystem())
        options.segmentBytes = 16 << 10
        let count: UInt64 = 1_500
        func kind(_ number: UInt64) -> String { "kind \(number % (1 + number / 100))" }
        try withStore(options) { store throws in
            let session = try store.startSession("s")
            for number in 0..<count {
                try session.append(
                    noise(number, Int(number % 90)), kind: store.kind(kind(number), .binary),
                    at: Int64(number))
            }
            try store.flush()
        } check: { store throws in
            let snapshot = try store.snapshot()
            var running: [Running] = []
            for _ in 0..<6_000 {
                if running.isEmpty || running.count < 8 && Int.random(in: 0..<4, using: &generator) == 0 {
                    let first = UInt64.random(in: 0..<count, using: &generator)
                    let last = min(first + UInt64.random(in: 0..<200, using: &generator), count - 1)
                    let query =
                        Bool.random(using: &generator)
                        ? Query().sequences(first...last) : Query().time(Int64(first)...Int64(last))
                    running.append(Running(try snapshot.cursor(query), first...last))
                }
                let turn = Int.random(in: 0..<running.count, using: &generator)
                let wanted = running[turn].next
                guard let event = try running[turn].cursor.nextEvent() else {
                    #expect(wanted == running[turn].end, "seed \(seed)")
                    running.remove(at: turn)
                    continue
                }
                running[turn].next += 1
                #expect(
                    event.sequence == wanted && event.timestamp == Int64(wanted)
                        && event.kind.name == kind(wanted)
                        && event.payload == noise(wanted, Int(wanted % 90)), "seed \(seed)")
                if Int.random(in: 0..<50, using: &generator) == 0 { running.remove(at: turn) }
            }
        }
    }

    // MARK: Payloads and timestamps

    @Test("Empty payloads, and those larger than a block, come back as they were")
    func payloadSizes() throws {
        let sizes = [0, 0, 1, 4095, 0, 4096, 4097, 0, 100_000, 3, 0]
        let payloads = sizes.enumerated().map { noise(UInt64($0), $1) }
        try withStore { store throws in
            let session = try store.startSession("s")
            for payload in payloads { try session.append(payload, kind: store.kind("noise", .binary)) }
        } check: { store throws in
            #expect(try store.collect().map(\.payload) == payloads)
            #expect(try store.collect(Query().reversed()).map(\.payload) == payloads.reversed())
            #expect(try store.info().rawBytes == UInt64(sizes.reduce(0, +)))
        }
    }

    @Test("Timestamps may be extreme, and go backwards")
    func extremeTimestamps() throws {
        let times: [Int64] = [0, .max, .min, -1, 1, .min + 1, .max - 1, 0, 5, 4, 3]
        try withStore { store throws in
            let session = try store.startSession("s")
            for time in times { try session.append("event", kind: store.kind("k", .utf8), at: time) }
        } check: { store throws in
            #expect(try store.collect().map(\.timestamp) == times)
            #expect(try store.info().timeRange == .min ... .max)
            #expect(try store.collect(Query().time(.max ... .max)).map(\.sequence) == [1])
            #expect(try store.collect(Query().time(.min ... .min)).map(\.sequence) == [2])
            #expect(try store.count(Query().time(.min ... .max)) == UInt64(times.count))
            #expect(try store.count(Query().time(.min + 1 ... .max - 1)) == UInt64(times.count) - 2)
        }
    }

    @Test("A range of time is exact at both ends", arguments: [false, true])
    func timeRange(isReversed: Bool) throws {
        try withStore { store throws in
            let session = try store.startSession("s")
            for number in 0..<UInt64(60) {
                try session.append(
                    noise(number, 300), kind: store.kind("noise", .binary), at: Int64(number) * 10)
            }
        } check: { store throws in
            for first in stride(from: Int64(0), through: 590, by: 70) {
                for last in stride(from: first, through: 590, by: 130) {
                    for (from, to) in [(first, last), (first - 9, last + 9), (first + 1, last + 10)]
                    where from <= to {
                        var query = Query().time(from...to)
                        query.isReversed = isReversed
                        let expected = (0..<60).map { Int64($0) * 10 }.filter { $0 >= from && $0 <= to }
                        let found = try store.collect(query).map(\.timestamp)
                        #expect(found == (isReversed ? expected.reversed() : expected))
                        #expect(try store.count(query) == UInt64(expected.count))
                    }
                }
            }
        }
    }

    // MARK: Filters

    /// An event as it was given to the store.
    private struct Recorded: Equatable {
        var sequence: UInt64
        var sessionOrdinal: UInt64
        var sessionID: String
        var index: UInt64
        var timestamp: Int64
        var kind: EventKind
        var payload: [UInt8]
    }

    private static let ids = ["alpha", "beta", "alpha"]
    private static let kindNames = ["one", "two", "three"]

    private func randomQuery(_ random: inout SplitMix64, events: UInt64) -> Query {
        var query = Query()
        func pair(_ bound: UInt32) -> ClosedRange<Int64> {
            let (left, right) = (Int64(random.below(bound)), Int64(random.below(bound)))
            return min(left, right)...max(left, right)
        }
        if random.oneIn(2) {
            let range = pair(1100)
            query.time = range.lowerBound - 50...range.upperBound - 50
        }
        if random.oneIn(2) {
            let range = pair(UInt32(events) + 20)
            query.sequences = UInt64(range.lowerBound)...UInt64(range.upperBound)
        }
        if random.oneIn(2) {
            query.kindNames = Set(["one", "two", "three", "none"].filter { _ in random.oneIn(2) })
        }
        if random.oneIn(4) { query.sessionIDs = [random.oneIn(2) ? "alpha" : "beta"] }
        if random.oneIn(4) { query.sessionOrdinals = Set([1, 2, 3, 4].filter { _ in random.oneIn(2) }) }
        if random.oneIn(3) { query.limit = UInt64(random.below(60)) }
        query.isReversed = random.oneIn(2)
        return query
    }

    private func answer(_ query: Query, of events: [Recorded]) -> [Recorded] {
        var found = events.filter { event in
            query.time?.contains(event.timestamp) ?? true
                && query.sequences?.contains(event.sequence) ?? true
                && query.kindNames?.contains(event.kind.name) ?? true
                && query.sessionIDs?.contains(event.sessionID) ?? true
                && query.sessionOrdinals?.contains(event.sessionOrdinal) ?? true
        }
        if query.isReversed { found.reverse() }
        return Array(found.prefix(Int(query.limit ?? .max >> 1)))
    }

    @Test("All conditions together choose what a filter over an array chooses")
    func randomQueries() throws {
        let seed = SplitMix64.freshSeed()
        print("random queries: VARVE_SEED=\(seed)")
        var random = SplitMix64(seed: seed)
        var options = smallBlocks(on: ControlledFileSystem())
        options.segmentBytes = 32 << 10
        var events: [Recorded] = []
        try withStore(options) { store throws in
            let encodings: [PayloadEncoding] = [.binary, .utf8, .json]
            let kinds = try zip(Self.kindNames, encodings).map { try store.kind($0, $1) }
            for (number, id) in Self.ids.enumerated() {
                let session = try store.startSession(id)
                // Runs of one kind, so that some blocks match whole and others are ruled out.
                var kind = kinds[0]
                for index in 0..<UInt64(200) {
                    if random.oneIn(20) { kind = kinds[Int(random.below(3))] }
                    let payload = noise(random.next(), Int(random.below(400)))
                    let time = Int64(events.count) + Int64(random.below(400))
                    let sequence = try session.append(payload, kind: kind, at: time)
                    events.append(
                        Recorded(
                            sequence: sequence, sessionOrdinal: UInt64(number + 1), sessionID: id,
                            index: index, timestamp: time, kind: kind, payload: payload))
                }
                if number < 2 { try session.end() }
            }
        } check: { store throws in
            let snapshot = try store.snapshot()
            for _ in 0..<400 {
                let query = randomQuery(&random, events: 600)
                let expected = answer(query, of: events)
                let comment = Comment(rawValue: "seed \(seed), \(query)")
                var found: [Recorded] = []
                var cursor = try snapshot.cursor(query)
                while let event = try cursor.nextEvent() {
                    found.append(
                        Recorded(
                            sequence: event.sequence, sessionOrdinal: event.sessionOrdinal,
                            sessionID: event.sessionID, index: event.index, timestamp: event.timestamp,
                            kind: event.kind, payload: event.payload))
                }
                #expect(found == expected, comment)
                #expect(cursor.coverage.isComplete, comment)
                #expect(try snapshot.count(query) == UInt64(expected.count), comment)
            }
        }
    }

    @Test("The events of a batch have consecutive numbers, also over many blocks")
    func batches() throws {
        try withStore { store throws in
            let kind = try store.kind("noise", .binary)
            let session = try store.startSession("s")
            let batch = EventBatch()
            #expect(try session.append(batch).isEmpty)
            var first: UInt64 = 0
            for size in [1, 100, 3] {
                batch.removeAll()
                for number in 0..<UInt64(size) {
                    try batch.add(noise(first + number, 300), kind: kind, at: Int64(number))
                }
                #expect(try session.append(batch) == first..<first + UInt64(size))
                first += UInt64(size)
            }
        } check: { store throws in
            let events = try store.collect()
            #expect(events.map(\.sequence) == Array(0..<104) && events.map(\.index) == Array(0..<104))
            #expect(events.map(\.payload) == (0..<104).map { noise($0, 300) })
        }
    }

    @Test("The asynchronous sequence yields what the cursor yields")
    func asynchronous() async throws {
        let store = try EventStore.open(path, options: smallBlocks())
        let kinds = [try store.kind("even", .binary), try store.kind("odd", .binary)]
        let session = try store.startSession("s")
        for number in 0..<UInt64(1000) {
            try session.append(noise(number, 20), kind: kinds[Int(number % 2)], at: Int64(number))
        }
        let queries = [
            Query(), Query().reversed(), Query().limit(256), Query().limit(257).reversed(),
            Query().kinds("odd"), Query().kinds("odd").time(3...900).reversed(), Query().limit(0),
            Query().sequences(0...0).reversed(), Query().sequences(900...UInt64.max), Query().kinds("none"),
        ]
        for query in queries {
            var events: [Event] = []
            for try await event in try store.events(query) { events.append(event) }
            #expect(try events == store.collect(query), "\(query)")
        }
        #expect(try store.collect().count == 1000)
        try store.close()
    }

    // MARK: Checkpoints

    @Test("Checkpoints come back in order, with their labels, states and places")
    func checkpoints() throws {
        let states: [[UInt8]] = [
            [], noise(1, 10_000), Array("text".utf8), [UInt8](repeating: 7, count: 50_000),
        ]
        let labels: [String?] = [nil, "", "label", nil]
        var made: [Checkpoint] = []
        try withStore { store throws in
            let kind = try store.kind("noise", .binary)
            for id in ["first", "second"] {
                let session = try store.startSession(id)
                for (number, state) in states.enumerated() {
                    made.append(
                        try session.checkpoint(
                            "cp", label: labels[number], state: state, at: -Int64(number)))
                    for event in 0..<UInt64(number * 10) { try session.append(noise(event, 300), kind: kind) }
                }
                if id == "first" { try session.end() }
            }
        } check: { store throws in
            #expect(made.map(\.ordinal) == Array(1...8))
            #expect(made.map(\.eventIndex) == [0, 0, 10, 30, 0, 0, 10, 30])
            #expect(made.map(\.sequence) == [0, 0, 10, 30, 60, 60, 70, 90])
            #expect(made.map(\.label) == labels + labels)
            #expect(made.map(\.stateBytes) == (states + states).map(\.count))
            #expect(try store.checkpoints() == made)
            #expect(try store.checkpoints(inSession: 2) == Array(made.suffix(4)))
            for (checkpoint, state) in zip(made, states + states) {
                #expect(try store.state(of: checkpoint) == state)
            }
            let rebuilt = try store.rebuild(session: 1)
            #expect(rebuilt.checkpoints == Array(made.prefix(4)) && rebuilt.info.checkpointCount == 4)
        }
    }
}
