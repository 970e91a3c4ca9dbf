import Testing
import VarveIO
import VarveTestKit

@testable import Varve

@Suite("Events by their time")
struct TimeOrderTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// How times go.
    enum Times: CaseIterable { case ascending, jittered, strays, random, few, extreme }

    private func time(_ times: Times, _ number: Int64, _ random: inout SplitMix64) -> Int64 {
        switch times {
        case .ascending: number * 10
        case .jittered: number * 10 + Int64(random.below(100))
        case .strays: random.oneIn(50) ? Int64(random.below(60_000)) : number * 10
        case .random: Int64(random.below(60_000))
        case .few: Int64(random.below(4))
        case .extreme: [Int64.min, .max, 0, .min + 1, .max - 1][Int(random.below(5))]
        }
    }

    /// Records events in several segments and sessions, the last of them in memory.
    private func record(_ count: Int64, _ times: Times, _ random: inout SplitMix64, in name: String) throws
        -> EventStore
    {
        var options = smallBlocks(on: ControlledFileSystem())
        options.segmentBytes = 32 << 10
        let store = try EventStore.open(directory.path(name), options: options)
        let kinds = [try store.kind("even", .binary), try store.kind("odd", .binary)]
        for start in stride(from: 0, to: count, by: 1500) {
            let session = try store.startSession("s\(start)")
            for number in start..<min(start + 1500, count) {
                try session.append(
                    noise(UInt64(number), 8 + Int(random.below(40))), kind: kinds[Int(number % 2)],
                    at: time(times, number, &random))
            }
            try session.end()
        }
        return store
    }

    private static func isBefore(_ left: Event, _ right: Event) -> Bool {
        left.timestamp != right.timestamp
            ? left.timestamp < right.timestamp : left.sequence < right.sequence
    }

    private func collect(_ events: TimeOrderedEvents) throws -> [Event] {
        var found: [Event] = []
        while let event = try events.next() { found.append(event) }
        return found
    }

    private func randomQuery(_ random: inout SplitMix64) -> Query {
        var query = Query()
        if random.oneIn(2) {
            let first = Int64(random.below(40_000))
            query = query.time(first...first + Int64(random.below(20_000)))
        }
        if random.oneIn(3) { query = query.kinds("odd") }
        if random.oneIn(3) { query = query.session("s1500") }
        if random.oneIn(3) {
            let first = UInt64(random.below(4000))
            query = query.sequences(first...first + UInt64(random.below(2000)))
        }
        return query
    }

    @Test("They come in the order that sorting all of them gives", arguments: Times.allCases)
    func model(times: Times) throws {
        let seed = SplitMix64.freshSeed()
        print("time order test, \(times): VARVE_SEED=0x\(String(seed, radix: 16))")
        var random = SplitMix64(seed: seed)
        let store = try record(4000, times, &random, in: "store")
        for isClosed in [false, true] {
            if isClosed { try store.close() }
            let snapshot = try (isClosed ? EventStore.openReadOnly(store.path) : store).snapshot()
            for number in 0..<12 {
                let query = number == 0 ? Query() : randomQuery(&random)
                var expected: [Event] = []
                var cursor = try snapshot.cursor(query)
                while let event = try cursor.nextEvent() { expected.append(event) }
                expected.sort(by: Self.isBefore)
                #expect(try collect(snapshot.eventsByTime(query)) == expected, "\(query)")
                #expect(
                    try collect(snapshot.eventsByTime(query.reversed())) == expected.reversed(), "\(query)")
                let limit = UInt64(random.below(100))
                #expect(
                    try collect(snapshot.eventsByTime(query.limit(limit)))
                        == Array(expected.prefix(Int(limit))))
                #expect(
                    try collect(snapshot.eventsByTime(query.limit(limit).reversed()))
                        == Array(expected.reversed().prefix(Int(limit))))
            }
        }
    }

    @Test("Where times go up with few exceptions, a few blocks are held", arguments: [false, true])
    func memory(isReversed: Bool) throws {
        var random = SplitMix64(seed: 11)
        let store = try record(20_000, .jittered, &random, in: "store")
        try store.close()
        let snapshot = try EventStore.openReadOnly(store.path).snapshot()
        let events = try snapshot.eventsByTime(isReversed ? Query().reversed() : Query())
        #expect(try collect(events).count == 20_000)
        // A block of 4 KiB has at most 256 events.
        #expect(events.heldMax <= 3 * 256, "\(events.heldMax)")
        // Those that the limit leaves out are not read.
        let few = try snapshot.eventsByTime(Query().limit(10))
        #expect(try collect(few).count == 10)
        #expect(few.heldMax <= 3 * 256 && few.statistics.bytesRead < 20_000)
    }

    @Test("Damage is passed over, and told")
    func damage() throws {
        var random = SplitMix64(seed: 12)
        let store = try record(4000, .random, &random, in: "store")
        try store.close()
        let file = try POSIXFileSystem().open(try #require(segments(of: store.path).first), .readWrite)
        let byte = try file.read(at: 9000, count: 1)[0]
        try file.write([byte ^ 0x10], at: 9000)
        file.close()
        let snapshot = try EventStore.openReadOnly(store.path).snapshot()
        let events = try snapshot.eventsByTime()
        let found = try collect(events)
        let gaps = events.coverage.gaps
        #expect(!gaps.isEmpty)
        let missing = Set(gaps.flatMap { Array($0.sequences) })
        #expect(Set(found.map(\.sequence)) == Set(0..<4000).subtracting(missing))
        #expect(zip(found, found.dropFirst()).allSatisfy(Self.isBefore))
    }

    // MARK: Several stores

    @Test(
        "Several stores are merged by their shifted times",
        arguments: [Times.jittered, .random, .few, .extreme])
    func merged(times: Times) throws {
        let seed = SplitMix64.freshSeed()
        print("merge test, \(times): VARVE_SEED=0x\(String(seed, radix: 16))")
        var random = SplitMix64(seed: seed)
        let shifts: [Int64] = times == .extreme ? [0, .min, .max] : [0, -5000, Int64(random.below(20_000))]
        let snapshots = try shifts.indices.map { number in
            let store = try record(1000, times, &random, in: "store-\(number)")
            try store.close()
            return try EventStore.openReadOnly(store.path).snapshot()
        }
        func shifted(_ event: Event, _ source: Int) -> Int64 {
            let (sum, overflow) = event.timestamp.addingReportingOverflow(shifts[source])
            return overflow ? (shifts[source] > 0 ? .max : .min) : sum
        }
        for time in [nil, 0...9000, Int64.min ... -1, 1...Int64.max, Int64.min...Int64.max]
            as [ClosedRange<Int64>?]
        {
            for isReversed in [false, true] {
                var query = Query()
                query.time = time
                query.isReversed = isReversed
                var expected: [(time: Int64, source: Int, event: Event)] = []
                for (source, snapshot) in snapshots.enumerated() {
                    var cursor = try snapshot.cursor()
                    while let event = try cursor.nextEvent() {
                        // Beyond the ends of 64 bits an event is as far as it can be, and within a range that is open there.
                        let (_, isBeyond) = event.timestamp.addingReportingOverflow(shifts[source])
                        let at = shifted(event, source)
                        guard let time else {
                            expected.append((at, source, event))
                            continue
                        }
                        let isIn =
                            isBeyond
                            ? (at == .max ? time.upperBound == .max : time.lowerBound == .min)
                            : time.contains(at)
                        if isIn { expected.append((at, source, event)) }
                    }
                }
                expected.sort {
                    ($0.time, $0.source, $0.event.timestamp, $0.event.sequence)
                        < ($1.time, $1.source, $1.event.timestamp, $1.event.sequence)
                }
                if isReversed { expected.reverse() }
                let sources = snapshots.enumerated().map {
                    MergedEvents.Source(label: "\($0)", snapshot: $1, query: query, shift: shifts[$0])
                }
                let merged = try MergedEvents(sources)
                var number = 0
                while let element = try merged.next() {
                    try #require(number < expected.count)
                    let model = expected[number]
                    try #require(
                        element.source == model.source && element.event == model.event
                            && element.timestamp == model.time, "\(number), \(String(describing: time))")
                    number += 1
                }
                #expect(number == expected.count, "\(String(describing: time))")
                let limited = try MergedEvents(sources, limit: 7)
                var count = 0
                while try limited.next() != nil { count += 1 }
                #expect(count == min(7, expected.count))
                #expect(sources.indices.allSatisfy { merged.coverage(ofSource: $0).isComplete })
            }
        }
    }

    @Test("Of no source nothing comes, and directions that differ are refused")
    func edges() throws {
        #expect(try MergedEvents([]).next() == nil)
        var random = SplitMix64(seed: 1)
        let snapshot = try record(10, .ascending, &random, in: "store").snapshot()
        #expect(throws: StoreError.self) {
            try MergedEvents([
                MergedEvents.Source(label: "a", snapshot: snapshot),
                MergedEvents.Source(label: "b", snapshot: snapshot, query: Query().reversed()),
            ])
        }
        // Sources' own limits are theirs.
        let merged = try MergedEvents([
            MergedEvents.Source(label: "a", snapshot: snapshot, query: Query().limit(2)),
            MergedEvents.Source(label: "b", snapshot: snapshot, query: Query().limit(3), shift: 1000),
        ])
        var sources: [Int] = []
        while let element = try merged.next() { sources.append(element.source) }
        #expect(sources == [0, 0, 1, 1, 1])
    }
}
