import Foundation
import Testing
import Varve
import VarveTestKit

@Suite("Replay")
struct ReplayTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }

    init() throws { directory = try TemporaryDirectory() }

    /// Three sessions over several segments, of two kinds, with payloads of all sizes, and at the end what no block holds yet.
    private func recorded() throws -> EventStore {
        var options = smallBlocks(on: ControlledFileSystem())
        options.segmentBytes = 64 << 10
        let store = try EventStore.open(path, options: options)
        var random = SplitMix64(seed: 3)
        for number in 0..<3 {
            let session = try store.startSession("s\(number % 2)", at: 0)
            let kinds = [try store.kind("noise", .binary), try store.kind("text", .utf8)]
            for event in 0..<500 {
                let size = event == 250 ? 20_000 : Int(random.below(400))
                try session.append(
                    noise(random.next(), size), kind: kinds[Int(random.below(2))],
                    at: Int64(event) * 10 - Int64(random.below(40)))
            }
            if number < 2 { try session.end() }
        }
        return store
    }

    /// Flips a bit in so many bytes each, in all segments but the first.
    private func damageSegments(every step: Int) throws {
        for file in try segments(of: path).dropFirst() {
            var bytes = try Data(contentsOf: URL(filePath: file))
            for position in stride(from: 3000, to: bytes.count - 3000, by: step) { bytes[position] ^= 1 }
            try bytes.write(to: URL(filePath: file))
        }
    }

    static let queries: [Query] = [
        Query(), Query().reversed(), Query().session("s0"), Query().kinds("text"), Query().time(1000...1100),
        Query().time(1000...1100).reversed(), Query().kinds("noise").reversed(),
        Query().sequences(490...1010),
        Query().sequences(490...1010).reversed(), Query().limit(0), Query().limit(1), Query().limit(700),
        Query().kinds("text").limit(333).reversed(), Query().kinds("none"), Query().time(100_000...200_000),
        Query().matching(BeginsEven()), Query().matching(BeginsEven()).kinds("noise").reversed(),
        Query().matching(BeginsEven()).sequences(490...1010).limit(100),
    ]

    private func replayed(_ snapshot: Snapshot, _ query: Query, decodingAhead: Bool) throws -> [Event] {
        var events: [Event] = []
        let coverage = try snapshot.replay(query, decodingAhead: decodingAhead) { events.append($0.event) }
        #expect(coverage.isComplete)
        return events
    }

    @Test("gives what a cursor gives, on one thread and with blocks decoded ahead", arguments: queries)
    func sameAsCursor(query: Query) throws {
        let store = try recorded()
        let snapshot = try store.snapshot()
        let expected = try store.collect(query)
        #expect(try replayed(snapshot, query, decodingAhead: false) == expected)
        #expect(try replayed(snapshot, query, decodingAhead: true) == expected)
        try store.close()
        let closed = try EventStore.openReadOnly(path).snapshot()
        #expect(try replayed(closed, query, decodingAhead: true) == expected)
    }

    @Test("counts the same, and does the same for it, with blocks decoded ahead", arguments: queries)
    func sameCounts(query: Query) throws {
        try recorded().close()
        let snapshot = try EventStore.openReadOnly(path).snapshot()
        let expected = try EventStore.openReadOnly(path).collect(query)
        var counts: [UInt64] = []
        var tallies: [Tally] = []
        var statistics: [QueryStatistics] = []
        for decodingAhead in [false, true] {
            counts.append(try snapshot.count(query, decodingAhead: decodingAhead))
            tallies.append(
                try snapshot.tally(query, bucketNanoseconds: 500, by: .kind, decodingAhead: decodingAhead))
            var cursor = try snapshot.cursor(query, decodingAhead: decodingAhead)
            while try cursor.next() != nil {}
            statistics.append(cursor.statistics)
        }
        #expect(counts == Array(repeating: UInt64(expected.count), count: 2))
        #expect(tallies[0].counts == tallies[1].counts)
        #expect(statistics[0].rowsMatched == statistics[1].rowsMatched)
        // Up to a limit more is looked at, and decoded, than is asked for.
        if query.limit == nil {
            #expect(statistics[0] == statistics[1])
            #expect(tallies[0].statistics == tallies[1].statistics)
        }
    }

    @Test("gives large blocks, and those of many small parts, when blocks are decoded ahead")
    func largeBlocks() throws {
        var options = StoreOptions()
        options.subBlockBytes = 1 << 10
        options.blockBytes = 512 << 10
        let store = try EventStore.open(path, options: options)
        let session = try store.startSession("s")
        let kind = try store.kind("noise", .binary)
        for size in [100, 6 << 20, 300, 5 << 20] + Array(repeating: 700, count: 2000) {
            try session.append(noise(UInt64(size), size), kind: kind)
        }
        try store.close()
        let snapshot = try EventStore.openReadOnly(path).snapshot()
        var sizes: [Int] = []
        var sum = 0
        try snapshot.replay(decodingAhead: true) { event in
            sizes.append(event.payloadByteCount)
            event.withUnsafeBytes { bytes in for byte in bytes { sum &+= Int(byte) } }
        }
        var expected = 0
        for event in try EventStore.openReadOnly(path).collect() {
            for byte in event.payload { expected &+= Int(byte) }
        }
        #expect(sizes == [100, 6 << 20, 300, 5 << 20] + Array(repeating: 700, count: 2000))
        #expect(sum == expected)
    }

    @Test(
        "A cursor that is at its end stays there, and one may be given up anywhere", arguments: [false, true])
    func ends(decodingAhead: Bool) throws {
        let snapshot = try recorded().snapshot()
        for query in [Query(), Query().limit(30), Query().matching(BeginsEven()).limit(30)] {
            var cursor = try snapshot.cursor(query, decodingAhead: decodingAhead)
            var count: UInt64 = 0
            while try cursor.next() != nil { count += 1 }
            let end = (cursor.coverage, cursor.statistics.rowsMatched)
            for _ in 0..<3 { #expect(try cursor.nextEvent() == nil) }
            #expect(cursor.coverage == end.0 && cursor.statistics.rowsMatched == end.1 && end.1 == count)
            for events in [0, 1, 100] {
                var cursor = try snapshot.cursor(query, decodingAhead: decodingAhead)
                for _ in 0..<events { _ = try cursor.nextEvent() }
            }
        }
    }

    @Test("stops where its body throws", arguments: [false, true])
    func bodyThrows(decodingAhead: Bool) throws {
        struct Enough: Error {}
        let snapshot = try recorded().snapshot()
        var count = 0
        #expect(throws: Enough.self) {
            try snapshot.replay(decodingAhead: decodingAhead) { _ in
                count += 1
                if count == 700 { throw Enough() }
            }
        }
        #expect(count == 700)
    }

    @Test("says what damage takes away, as a cursor does", arguments: [false, true])
    func damage(decodingAhead: Bool) throws {
        try recorded().close()
        // In the middle of a segment in the middle: in some payload.
        let files = try segments(of: path)
        let file = try #require(FileHandle(forUpdatingAtPath: files[files.count / 2]))
        let size = try file.seekToEnd()
        try file.seek(toOffset: size / 2)
        let byte = try #require(try file.read(upToCount: 1)?.first)
        try file.seek(toOffset: size / 2)
        try file.write(contentsOf: [byte ^ 0x10])
        try file.close()
        let store = try EventStore.openReadOnly(path)
        var cursor = try store.cursor()
        var expected: [Event] = []
        while let event = try cursor.nextEvent() { expected.append(event) }
        #expect(!cursor.coverage.isComplete)
        var events: [Event] = []
        let coverage = try store.snapshot().replay(decodingAhead: decodingAhead) { events.append($0.event) }
        #expect(events == expected)
        #expect(coverage == cursor.coverage)
    }

    @Test(
        "A cursor says at every event what is missing so far, however far ahead blocks are decoded",
        arguments: [Query(), Query().reversed(), Query().matching(BeginsEven())])
    func damageSoFar(query: Query) throws {
        try recorded().close()
        try damageSegments(every: 9000)
        let snapshot = try EventStore.openReadOnly(path).snapshot()
        var cursor = try snapshot.cursor(query)
        var ahead = try snapshot.cursor(query, decodingAhead: true)
        while let event = try cursor.nextEvent() {
            #expect(try ahead.nextEvent() == event)
            #expect(ahead.coverage == cursor.coverage, "at \(event.sequence)")
        }
        #expect(try ahead.nextEvent() == nil)
        #expect(ahead.coverage == cursor.coverage)
        #expect(cursor.coverage.gaps.count > 10)
    }

    // What the second thread had met beyond the limit was told as missing, and read while that thread wrote it.
    @Test("says nothing of damage beyond what was asked for")
    func damageBeyondLimit() throws {
        try recorded().close()
        try damageSegments(every: 1500)
        let snapshot = try EventStore.openReadOnly(path).snapshot()
        for limit in [1, 10, 100, 150, 300, 1000] as [UInt64] {
            var cursor = try snapshot.cursor(Query().limit(limit))
            var count = 0
            while try cursor.next() != nil { count += 1 }
            var replayed = 0
            let coverage = try snapshot.replay(Query().limit(limit), decodingAhead: true) { _ in replayed += 1
            }
            #expect(replayed == count)
            #expect(coverage == cursor.coverage, "limit \(limit)")
        }
    }

    @Test("Nothing is missing in an answer of which nothing was asked")
    func nothingAsked() throws {
        try recorded().close()
        try FileManager.default.removeItem(atPath: try segments(of: path)[1])
        let store = try EventStore.openReadOnly(path)
        #expect(try !store.cursor().coverage.isComplete)
        #expect(try store.cursor(Query().limit(0)).coverage.isComplete)
    }

    // MARK: Partitions

    @Test("Partitions give each event once, in order, at most as many as asked for", arguments: queries)
    func partitions(query: Query) throws {
        let store = try recorded()
        let snapshot = try store.snapshot()
        let expected = try store.collect(query)
        for count in [0, 1, 2, 3, 8, 1000] {
            let parts = try snapshot.partitions(count, of: query)
            #expect(!parts.isEmpty && parts.count <= max(count, 1))
            #expect(try parts.flatMap { try store.collect($0) } == expected)
        }
    }

    @Test("Partitions are about equally large", arguments: [2, 3, 5])
    func balance(count: Int) throws {
        let store = try EventStore.open(path, options: smallBlocks())
        let session = try store.startSession("s")
        let kind = try store.kind("noise", .binary)
        for number in UInt64(0)..<2000 { try session.append(noise(number, Int(number / 4)), kind: kind) }
        try store.close()
        let snapshot = try EventStore.openReadOnly(path).snapshot()
        let parts = try snapshot.partitions(count)
        #expect(parts.count == count)
        let total = 2000 * 250
        for part in parts {
            var bytes = 0
            try snapshot.replay(part) { bytes += $0.payloadByteCount }
            #expect(abs(bytes - total / count) < 12 << 10, "\(bytes) of \(total)")
        }
    }

    // MARK: Batches

    @Test("Batches give every event, and end as they were asked to", arguments: queries)
    func batches(query: Query) async throws {
        let store = try recorded()
        let snapshot = try store.snapshot()
        let expected = try store.collect(query)
        var events: [Event] = []
        for try await batch in snapshot.batches(query, eventsMax: 50, bytesMax: 4000) {
            #expect(batch.count <= 50)
            let sizes = batch.map(\.payloadByteCount)
            #expect(sizes.dropLast().reduce(0, +) < 4000)
            #expect(batch.coverage.isComplete)
            #expect(batch.position?.sequence == batch.last?.sequence)
            for element in batch {
                #expect(element.withUnsafeBytes { Array($0) } == element.event.payload)
                events.append(element.event)
            }
        }
        #expect(events == expected)
        var single: [Event] = []
        for try await event in snapshot.events(query) { single.append(event) }
        #expect(single == expected)
    }

    // MARK: Positions

    @Test("A position goes on behind its event", arguments: queries)
    func positions(query: Query) throws {
        let store = try recorded()
        let snapshot = try store.snapshot()
        var unlimited = query
        unlimited.limit = nil
        let expected = try store.collect(unlimited)
        for (offset, event) in expected.enumerated() where offset % 97 == 0 || offset == expected.count - 1 {
            var cursor = try snapshot.cursor(unlimited.sequences(event.sequence...event.sequence))
            let position = try #require(try cursor.next()?.position)
            let kept = try JSONDecoder().decode(CursorPosition.self, from: JSONEncoder().encode(position))
            let rest = try store.collect(try snapshot.query(unlimited, after: kept))
            #expect(rest.map(\.sequence) == expected.dropFirst(offset + 1).map(\.sequence))
        }
    }

    @Test(
        "A text that is no position is refused",
        arguments: [
            "", "1/2/3", "//", "00000000-0000-0000-0000-000000000000/1",
            "00000000-0000-0000-0000-000000000000/1/-1",
            "00000000-0000-0000-0000-000000000000/1/2/3",
            "00000000-0000-0000-0000-000000000000/1/18446744073709551616",
        ])
    func noPosition(text: String) throws {
        #expect(CursorPosition(text) == nil)
        let json = try JSONEncoder().encode([text])
        #expect(throws: DecodingError.self) { try JSONDecoder().decode([CursorPosition].self, from: json) }
    }

    @Test("A position is refused by another store, and by this one once it was put back to an older state")
    func foreignPosition() throws {
        func append(_ count: Int, to store: EventStore) throws {
            let session = try store.startSession("s")
            for _ in 0..<count { try session.append("x", kind: store.kind("k", .utf8)) }
        }
        let store = try EventStore.open(path)
        try append(10, to: store)
        try store.close()
        try FileManager.default.copyItem(atPath: path, toPath: directory.path("backup"))
        let continued = try EventStore.open(path)
        try append(10, to: continued)
        var cursor = try continued.cursor(Query().sequences(15...15))
        let position = try #require(try cursor.next()?.position)
        try continued.close()

        let older = try EventStore.openReadOnly(directory.path("backup"))
        #expect(throws: StoreError.self) { try older.snapshot().query(after: position) }
        // Opened twice: its epoch is beyond the position's, and the number belongs to another event.
        try EventStore.open(directory.path("backup")).close()
        let back = try EventStore.open(directory.path("backup"))
        try append(10, to: back)
        #expect(throws: StoreError.self) { try back.snapshot().query(after: position) }
        let other = try EventStore.open(directory.path("other"))
        try append(20, to: other)
        #expect(throws: StoreError.self) { try other.snapshot().query(after: position) }
        #expect(
            try EventStore.openReadOnly(path).snapshot().query(after: position).sequences == 16...UInt64.max)
    }
}
