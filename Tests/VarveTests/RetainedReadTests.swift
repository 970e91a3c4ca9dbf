import Testing
import VarveFormat
import VarveIO
import VarveTestKit

@testable import Varve

@Suite("What retention does not keep is hidden")
struct RetainedReadTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }

    init() throws { directory = try TemporaryDirectory() }

    private func randomQuery(_ random: inout SplitMix64, _ model: RetainedModel) -> Query {
        var query = Query()
        func pair() -> ClosedRange<UInt64> {
            let bound = UInt32(model.end) + 50
            let (left, right) = (UInt64(random.below(bound)), UInt64(random.below(bound)))
            return min(left, right)...max(left, right)
        }
        if random.oneIn(3) {
            let range = pair()
            query.time = Int64(range.lowerBound)...Int64(range.upperBound)
        }
        if random.oneIn(3) { query.sequences = pair() }
        if random.oneIn(3) { query.kindNames = Set(["one", "two", "none"].filter { _ in random.oneIn(2) }) }
        if random.oneIn(4) {
            query.sessionOrdinals = Set((1...6).map { UInt64($0) }.filter { _ in random.oneIn(2) })
        }
        if random.oneIn(3) { query.limit = UInt64(random.below(60)) }
        if random.oneIn(5) { query.predicates = [BeginsEven()] }
        query.isReversed = random.oneIn(2)
        return query
    }

    private func collect(_ snapshot: Snapshot, _ query: Query) throws -> ([Event], Coverage) {
        var events: [Event] = []
        var cursor = try snapshot.cursor(query)
        while let event = try cursor.nextEvent() { events.append(event) }
        return (events, cursor.coverage)
    }

    /// Asks everything that answers a query.
    private func check(
        _ query: Query, _ snapshot: Snapshot, _ model: RetainedModel, _ comment: Comment
    ) throws {
        let retained = snapshot.retained
        let expected = model.answer(query, retained)
        let (found, coverage) = try collect(snapshot, query)
        #expect(found == expected, comment)
        let gaps = query.limit == 0 ? [] : model.gaps(retained, in: query.sequences ?? 0 ... .max)
        #expect(coverage.gaps.map(\.sequences) == gaps, comment)
        #expect(coverage.gaps.allSatisfy { $0.reason == .retention }, comment)
        for decodingAhead in [false, true] {
            let count = try snapshot.count(query, decodingAhead: decodingAhead)
            #expect(count == UInt64(expected.count), comment)
        }

        var whole = query
        whole.limit = nil
        let all = model.answer(whole, retained)
        let tally = try snapshot.tally(whole, bucketNanoseconds: 50, by: .kind)
        var counts: [Int64: [Tally.Group: UInt64]] = [:]
        for event in all { counts[event.timestamp / 50, default: [:]][.kind(event.kind), default: 0] += 1 }
        #expect(tally.counts == counts, comment)
        let bySession = try snapshot.tally(whole, by: .session).totals
        #expect(
            bySession
                == Dictionary(grouping: all) { Tally.Group.session($0.sessionOrdinal) }
                .mapValues { UInt64($0.count) }, comment)
        let times = try snapshot.timeRange(of: whole)
        #expect(all.allSatisfy { times?.contains($0.timestamp) ?? false }, comment)

        let byTime = try snapshot.eventsByTime(query)
        var timed: [Event] = []
        while let event = try byTime.next() { timed.append(event) }
        var sorted = all.sorted { ($0.timestamp, $0.sequence) < ($1.timestamp, $1.sequence) }
        if query.isReversed { sorted.reverse() }
        #expect(timed == Array(sorted.prefix(expected.count)), comment)

        for decodingAhead in [false, true] {
            var replayed: [Event] = []
            try snapshot.replay(query, decodingAhead: decodingAhead) { replayed.append($0.event) }
            #expect(replayed == expected, comment)
        }
        let parts = try snapshot.partitions(3, of: query).flatMap { try collect(snapshot, $0).0 }
        #expect(parts == expected, comment)
    }

    /// Asks everything that says what there is.
    private func checkFigures(
        _ snapshot: Snapshot, _ whole: Snapshot, _ model: RetainedModel, _ comment: Comment
    ) throws {
        let retained = snapshot.retained
        let events = model.events(retained)
        #expect(try snapshot.gaps().map(\.sequences) == model.gaps(retained), comment)
        #expect(try snapshot.gaps().allSatisfy { $0.reason == .retention && !$0.note.isEmpty }, comment)
        #expect(snapshot.sequences == events.first.map { $0.sequence..<model.end }, comment)

        let checkpoints = try snapshot.checkpoints()
        let kept = model.checkpoints(retained)
        #expect(checkpoints.map(\.ordinal) == kept.map(\.ordinal), comment)
        for (checkpoint, (record, state)) in zip(try whole.checkpoints(), model.checkpoints) {
            if retained.keeps(record) {
                #expect(try snapshot.state(of: checkpoint) == state, comment)
            } else {
                #expect(throws: StoreError.noSuchCheckpoint(ordinal: record.ordinal), comment) {
                    try snapshot.state(of: checkpoint)
                }
            }
        }

        let info = try snapshot.info()
        let isLive = info.isBeingWritten
        let sessions = try snapshot.sessions()
        #expect(sessions.map(\.ordinal) == model.sessions(retained, isLive: isLive).map(\.ordinal), comment)
        let before = Dictionary(uniqueKeysWithValues: try whole.sessions().map { ($0.ordinal, $0) })
        for session in sessions {
            let own = events.filter { $0.sessionOrdinal == session.ordinal }
            let first = own.min { $0.timestamp < $1.timestamp }
            let last = own.max { $0.timestamp < $1.timestamp }
            var expected = try #require(before[session.ordinal])
            expected.eventCount = UInt64(own.count)
            expected.checkpointCount = UInt64(kept.count { $0.session == session.ordinal })
            expected.firstSequence = own.first?.sequence
            expected.lastSequence = own.last?.sequence
            expected.timeRange = first.flatMap { first in last.map { first.timestamp...$0.timestamp } }
            expected.payloadBytes = own.reduce(0) { $0 + UInt64($1.payload.count) }
            #expect(session == expected, comment)
            #expect(try snapshot.session(ordinal: session.ordinal) == expected, comment)
            #expect(
                try snapshot.checkpoints(inSession: session.ordinal).map(\.ordinal)
                    == kept.filter { $0.session == session.ordinal }.map(\.ordinal), comment)
        }

        #expect(info.eventCount == UInt64(events.count), comment)
        #expect(info.rawBytes == events.reduce(0) { $0 + UInt64($1.payload.count) }, comment)
        #expect(info.storedBytes == (try whole.info().storedBytes), comment)
        #expect(info.timeRange?.lowerBound == events.map(\.timestamp).min(), comment)
        #expect(info.timeRange?.upperBound == events.map(\.timestamp).max(), comment)
        #expect(info.sessionCount == sessions.count && info.checkpointCount == kept.count, comment)
        #expect(info.headSequence == retained.headSequence, comment)
        #expect(info.pins.count + info.pinnedRanges.count == retained.pins.count, comment)
        for kind in info.kinds {
            let own = events.filter { $0.kind == kind.kind }
            #expect(kind.events == UInt64(own.count), comment)
            #expect(kind.bytes == own.reduce(0) { $0 + UInt64($1.payload.count) }, comment)
        }
        #expect(info.kinds.reduce(0) { $0 + $1.events } == UInt64(events.count), comment)
        #expect(try snapshot.timeRange() == info.timeRange, comment)
        for (segment, entry) in zip(snapshot.plan().segments, snapshot.entries)
        where segment.pruned == .retention {
            let range = entry.summary.baseSequence..<entry.summary.nextSequence
            #expect(!events.contains { range.contains($0.sequence) }, comment)
        }
    }

    private func edges(_ snapshot: Snapshot) throws -> [UInt64] {
        var edges: [UInt64] = []
        for entry in snapshot.entries {
            for block in try entry.load().index.entries { edges.append(block.firstSequence) }
        }
        return edges + [snapshot.position.nextSequence]
    }

    @Test("A view with any heads and pins says what a filter over arrays says")
    func randomHeadsAndPins() throws {
        let seed = SplitMix64.freshSeed()
        print("random heads and pins: VARVE_SEED=\(seed)")
        var random = SplitMix64(seed: seed)
        var options = smallBlocks(on: ControlledFileSystem())
        options.segmentBytes = 16 << 10
        var recording = RetainedRecording(seed: random.next())
        let writer = try recording.record(path, options)
        let model = recording.model
        func check(_ whole: Snapshot) throws {
            let edges = try edges(whole)
            for _ in 0..<25 {
                let retained = Retained.random(&random, model, edges: edges)
                let snapshot = whole.keeping(retained)
                try checkFigures(snapshot, whole, model, "seed \(seed), \(retained)")
                for _ in 0..<8 {
                    let query = randomQuery(&random, model)
                    try self.check(query, snapshot, model, "seed \(seed), \(retained), \(query)")
                }
            }
        }
        try check(try writer.snapshot())
        try writer.flush()
        try check(try EventStore.openReadOnly(path, options: options).snapshot())
        try writer.close()
        try check(try EventStore.openReadOnly(path).snapshot())
    }

    @Test("A copy holds what is kept, and says what was dropped", arguments: [UInt64(1), 2, 3, 4, 5])
    func copies(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var recording = RetainedRecording(seed: seed)
        try recording.record(path, smallBlocks()).close()
        let model = recording.model
        let whole = try EventStore.openReadOnly(path).snapshot()
        let retained = Retained.random(&random, model, edges: try edges(whole))
        let snapshot = whole.keeping(retained)
        let target = directory.path("copy")
        let report = try snapshot.copy(to: target)
        let comment = Comment(rawValue: "\(retained)")
        #expect(report.isIntact && report.leftOut == 0, comment)
        #expect(report.gaps.map(\.sequences) == model.gaps(retained), comment)
        let copy = try EventStore.openReadOnly(target)
        #expect(try copy.collect() == model.events(retained), comment)
        #expect(try copy.checkpoints().map(\.ordinal) == model.checkpoints(retained).map(\.ordinal), comment)
        #expect(try copy.info().gaps.map(\.sequences) == model.gaps(retained), comment)
        #expect(try copy.info().gaps.allSatisfy { $0.reason == .retention }, comment)
        #expect(try copy.sessions().map(\.ordinal) == (try snapshot.sessions().map(\.ordinal)), comment)
    }

    // MARK: One fact at a time

    /// Two segments of 200 events each, in blocks of some 15.
    private func recorded() throws -> Snapshot {
        for opening in 0..<2 {
            let store = try EventStore.open(path, options: smallBlocks(on: ControlledFileSystem()))
            let session = try store.startSession("s\(opening)", at: 0)
            for number in 0..<UInt64(200) {
                try session.append(noise(number, 300), kind: store.kind("noise", .binary), at: Int64(number))
            }
            try session.end()
            try store.close()
        }
        return try EventStore.openReadOnly(path).snapshot()
    }

    @Test("Segments below the head are pruned by their summaries, and blocks by a search")
    func pruning() throws {
        let snapshot = try recorded().keeping(Retained(headSequence: 390))
        var cursor = try snapshot.cursor()
        var count = 0
        while try cursor.next() != nil { count += 1 }
        #expect(count == 10)
        #expect(cursor.statistics.segmentsPruned[.retention] == 1)
        #expect(cursor.statistics.blocksRead <= 2)
        #expect(snapshot.plan().segments.map(\.pruned) == [.retention, nil])
        #expect(snapshot.plan().description.contains("1 by retention"))
    }

    @Test("A pinned session below the head is read, and what lies beside it is not")
    func pinnedSession() throws {
        let whole = try recorded()
        let snapshot = whole.keeping(Retained(headSequence: 400, pins: [Pin(session: 1, first: 150)]))
        #expect(try snapshot.count() == 50)
        #expect(try snapshot.gaps().map(\.sequences) == [0...149, 200...399])
        #expect(try snapshot.sessions().map(\.ordinal) == [1])
        #expect(snapshot.sequences == 150..<400)
        // The second segment is opened to know.
        var cursor = try snapshot.cursor()
        while try cursor.next() != nil {}
        #expect(cursor.statistics.segmentsPruned.total == 0)
        #expect(cursor.statistics.blocksPruned[.retention] > 0)
        #expect(cursor.statistics.rowsDecoded < 80)
    }

    @Test(
        "Any numbers in heads and pins are taken",
        arguments: [
            Retained(headSequence: .max, headCheckpoint: .max),
            Retained(headSequence: .max, pins: [Pin(session: 0, first: .max)]),
            Retained(headSequence: .max, pins: [Pin(session: .max, first: 0)]),
            Retained(headSequence: .max, pins: [Pin(session: 0, first: 0)]),
            Retained(headSequence: 1, pins: [Pin(session: 0, first: 5, last: 2)]),
        ])
    func hostileNumbers(retained: Retained) throws {
        let snapshot = try recorded().keeping(retained)
        let (events, coverage) = try collect(snapshot, Query())
        #expect(UInt64(events.count) == (try snapshot.count()))
        #expect(UInt64(events.count) == (try snapshot.info().eventCount))
        #expect(coverage.gaps.allSatisfy { $0.sequences.upperBound < 400 })
        for query in [Query().reversed(), Query().sequences(.max ... .max), Query().sequences(0...0)] {
            _ = try collect(snapshot, query)
        }
    }

    @Test("Damage below the head is no loss, and in a block that the head lies in only what is kept is one")
    func damage() throws {
        let whole = try recorded()
        let index = try #require(try whole.entries.first?.load().index)
        let block = try #require(index.entries.last { $0.type == .events })
        // The small column of the last block of the first segment.
        let file = try #require(try segments(of: path).first)
        let damaged = try POSIXFileSystem().open(file, .readWrite)
        try damaged.write([UInt8](repeating: 0xff, count: 16), at: block.offset + 96)
        damaged.close()
        let snapshot = try EventStore.openReadOnly(path).snapshot()
        #expect(try collect(snapshot, Query()).1.gaps.map(\.reason) == [.damage])
        let inside = block.firstSequence + 2
        let gaps = try collect(snapshot.keeping(Retained(headSequence: inside)), Query()).1.gaps
        #expect(gaps.map(\.sequences) == [0...inside - 1, inside...block.nextSequence - 1])
        #expect(gaps.map(\.reason) == [.retention, .damage])
        let after = try collect(snapshot.keeping(Retained(headSequence: 200)), Query()).1.gaps
        #expect(after.map(\.sequences) == [0...199] && after.map(\.reason) == [.retention])
    }

    @Test("An import under way counts for its writer alone, from the head on")
    func importUnderWay() throws {
        let store = try EventStore.open(path, options: smallBlocks(on: ControlledFileSystem()))
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s", at: 0)
        for number in 0..<UInt64(100) { try session.append(noise(number, 100), kind: kind, at: 0) }
        try session.end()
        let imported = try store.startImportedSession("i", at: 0)
        for number in 0..<UInt64(50) {
            try imported.append(noise(number, 100), kind: kind, at: 0, index: number * 2)
        }
        try store.flush()
        let retained = Retained(headSequence: 120)
        let own = try store.snapshot().keeping(retained)
        #expect(try own.count() == 30 && own.sessions().map(\.ordinal) == [2])
        #expect(try own.sessions().first?.firstSequence == 120)
        let other = try EventStore.openReadOnly(path).snapshot().keeping(retained)
        #expect(try other.count() == 0 && other.sessions().isEmpty)
        #expect(other.excluded == [2] && other.heldSequence == 120)
        try store.close()
    }

    @Test(
        "An empty session stays until the head passes its beginning, and one with a checkpoint as long as that"
    )
    func emptySessions() throws {
        let store = try EventStore.open(path, options: smallBlocks(on: ControlledFileSystem()))
        let kind = try store.kind("noise", .binary)
        for number in 0..<3 {
            let session = try store.startSession("s\(number)", at: 0)
            if number == 1 { try session.checkpoint("cp", label: nil, state: [], at: 0) }
            try session.end()
            // The first two begin at 0, the third at 10.
            guard number == 1 else { continue }
            let filled = try store.startSession("filled", at: 0)
            for number in 0..<UInt64(10) { try filled.append(noise(number, 10), kind: kind, at: 0) }
            try filled.end()
        }
        func check() throws {
            let snapshot = try store.snapshot()
            for (head, checkpoint, expected) in [
                (UInt64(0), UInt64(0), [UInt64(1), 2, 3, 4]), (1, 0, [2, 3, 4]), (1, 2, [3, 4]),
                (0, 2, [1, 3, 4]), (10, 0, [2, 4]), (11, 0, [2]), (11, 2, []),
            ] {
                let retained = Retained(headSequence: head, headCheckpoint: checkpoint)
                #expect(try snapshot.keeping(retained).sessions().map(\.ordinal) == expected, "\(retained)")
            }
        }
        try check()
        try store.flush()
        try check()
        try store.close()
    }

    @Test("A segment of which nothing is kept may be damaged, and its index with it")
    func damagedIndex() throws {
        let entry = try #require(try recorded().entries.first)
        let (summary, blocks) = (entry.summary, try entry.load().index.entries)
        let block = try #require(blocks.first { $0.type == .events })
        let file = try #require(try segments(of: path).first)
        let damaged = try POSIXFileSystem().open(file, .readWrite)
        // With a block damaged too, the index can't be found by a scan.
        for offset in [summary.dataBytes, block.offset] {
            try damaged.write([UInt8](repeating: 0xff, count: 64), at: offset + 96)
        }
        damaged.close()
        let whole = try EventStore.openReadOnly(path).snapshot()
        #expect(throws: StoreError.self) { try whole.sessions() }
        let snapshot = whole.keeping(Retained(headSequence: 200))
        #expect(try snapshot.sessions().map(\.ordinal) == [2])
        #expect(try snapshot.info().eventCount == 200 && snapshot.checkpoints().isEmpty)
        let (events, coverage) = try collect(snapshot, Query())
        #expect(events.count == 200 && coverage.gaps.map(\.reason) == [.retention])
        #expect(try snapshot.copy(to: directory.path("copy")).isIntact)
        // A part of it is kept: what of it is missing is a loss.
        let part = try collect(whole.keeping(Retained(headSequence: 150)), Query()).1
        #expect(part.gaps.map(\.sequences) == [0...149, 150...199])
        #expect(part.gaps.map(\.reason) == [.retention, .damage])
        let pinned = Retained(headSequence: 400, pins: [Pin(session: 1, first: 20)])
        let maybe = try collect(whole.keeping(pinned), Query()).1
        #expect(maybe.gaps.map(\.reason) == [.retention, .damage, .retention])
    }
}
