import Foundation
import Testing
import VarveFormat
import VarveIO
import VarveTestKit

@testable import Varve

@Suite("Segments that are written anew hold what the sources hold")
struct CompactionRewriteTests {
    private let bed: CompactionBed

    init() throws { bed = try CompactionBed() }

    private static func text(_ number: Int) -> String {
        "{\"order\":\(number),\"state\":\"placed\",\"customer\":\"c\(number % 7)\",\"note\":\"\(number &* 7919)\"}"
    }

    /// What is recorded, by what is special about it.
    static let recordings: [(name: String, body: @Sendable (EventStore) throws -> Void)] = [
        (
            "one session",
            { store in
                let session = try store.startSession("a", at: 0)
                let kind = try store.kind("order", .json)
                for number in 0..<2400 {
                    try session.append(text(number), kind: kind, at: Int64(number * 10))
                }
            }
        ),
        (
            "several sessions, resumed ones, empty ones",
            { store in
                let kind = try store.kind("order", .json)
                for round in 0..<6 {
                    let session = try store.startSession("s\(round)", at: Int64(round), metadata: ["k": "v"])
                    for number in 0..<(round == 2 ? 0 : 150) {
                        try session.append(text(number), kind: kind, at: Int64(number * 10))
                    }
                    try session.end(at: Int64(round) + 5)
                }
                for ordinal: UInt64 in [2, 4, 2] {
                    let session = try store.resume(session: ordinal)
                    for number in 0..<100 { try session.append(text(number), kind: kind, at: Int64(number)) }
                    try session.end(at: 7)
                }
            }
        ),
        (
            "checkpoints with states, small, empty and large",
            { store in
                let session = try store.startSession("a", at: 0)
                let kind = try store.kind("order", .json)
                for number in 0..<900 {
                    try session.append(text(number), kind: kind, at: Int64(number))
                    guard number % 90 == 0 else { continue }
                    let state = number % 180 == 0 ? [] : noise(UInt64(number), number * 20)
                    try session.checkpoint(
                        "c\(number)", label: number % 4 == 0 ? nil : "l", state: state, at: 5)
                }
            }
        ),
        (
            "imports with indices of their own",
            { store in
                let kind = try store.kind("order", .json)
                for round in 0..<3 {
                    let session = try store.startImportedSession("i\(round)", at: 3)
                    for number in 0..<300 {
                        try session.append(
                            Array(text(number).utf8), kind: kind, at: Int64(number),
                            index: UInt64(number * (round + 1) % 1000))
                    }
                    try session.checkpoint("c", state: [1], at: 3, eventIndex: 77)
                    try session.end(at: 8)
                }
            }
        ),
        (
            "more kinds than a set has bits",
            { store in
                let session = try store.startSession("a", at: 0)
                for number in 0..<1500 {
                    let kind = try store.kind(
                        "kind \(number < 700 ? number % 3 : number % 150)", number % 2 == 0 ? .json : .utf8)
                    try session.append(text(number), kind: kind, at: Int64(number))
                }
            }
        ),
        (
            "payloads that are empty, and larger than a block",
            { store in
                let session = try store.startSession("a", at: 0)
                let kind = try store.kind("bytes", .binary)
                for number in 0..<200 {
                    let count = number % 3 == 0 ? 0 : number % 50 == 1 ? 40_000 : number
                    try session.append(
                        noise(UInt64(number), count), kind: kind, at: Int64.max - Int64(number))
                }
            }
        ),
        (
            "openings one after the other",
            { store in
                let kind = try store.kind("order", .json)
                let session = try store.startSession("first", at: 0)
                for number in 0..<300 { try session.append(text(number), kind: kind, at: Int64(number)) }
            }
        ),
    ]

    private func record(_ number: Int) throws {
        try bed.record { store in try Self.recordings[number].body(store) }
        guard Self.recordings[number].name.hasPrefix("openings") else { return }
        for opening in 0..<3 {
            try bed.record { store in
                let kind = try store.kind("of opening \(opening)", .utf8)
                let session = try opening == 1 ? store.resume(session: 1) : store.startSession("s\(opening)")
                for number in 0..<150 { try session.append(Self.text(number), kind: kind) }
            }
        }
    }

    @Test("All of it, when nothing is dropped", arguments: recordings.indices)
    func everything(_ number: Int) throws {
        try record(number)
        let handles = try bed.handles()
        #expect(handles.count > 1)
        let blocks = handles.reduce(0) { $0 + $1.summary.eventBlockCount }
        let segment = try #require(try bed.check(handles))
        #expect(segment.summary.eventBlockCount <= blocks)
        // Records of sessions stay as they were.
        let found = try Recorded.all(of: bed.directory.path("alone") + "/" + segment.fileName)
        let before = try handles.flatMap { try Recorded.all(of: $0.path) }
        #expect(found.filter(\.isRecord) == before.filter(\.isRecord))
    }

    @Test("Each of the segments for itself, and neighbours", arguments: recordings.indices)
    func groups(_ number: Int) throws {
        try record(number)
        let handles = try bed.handles()
        for first in handles.indices {
            try bed.check([handles[first]])
            if first + 1 < handles.count { try bed.check(Array(handles[first...first + 1])) }
        }
    }

    @Test("What retention keeps, and nothing else", arguments: recordings.indices)
    func retained(_ number: Int) throws {
        try record(number)
        let handles = try bed.handles()
        let next = try #require(handles.last).summary.nextSequence
        let checkpoints = try #require(handles.last).summary.checkpointsMade
        for head in [1, next / 3, next / 2 + 1, next] {
            let pins: [[Pin]] = [
                [], [Pin(session: 0, first: 3, last: 5), Pin(session: 0, first: 20, last: head / 2 + 20)],
                [Pin(session: 2, first: 0)],
            ]
            for pins in pins {
                try bed.check(
                    handles,
                    Retained(headSequence: head, headCheckpoint: checkpoints / 2 + 1, pins: pins))
            }
        }
    }

    @Test("Written anew again, the result is the same", arguments: recordings.indices)
    func again(_ number: Int) throws {
        try record(number)
        let handles = try bed.handles()
        let retained = Retained(headSequence: 100)
        let once = try #require(try bed.check(handles, retained))
        let first = bed.directory.path("alone") + "/" + once.fileName
        let before = try Recorded.all(of: first)
        let index = try CompactionBed.handle(first).load().index
        let twice = try #require(try bed.rewrite([CompactionBed.handle(first)], retained))
        #expect(try Recorded.all(of: twice.temporaryPath) == before)
        #expect(twice.summary.generation == once.summary.generation + 1)
        let after = try CompactionBed.handle(twice.temporaryPath).load().index
        #expect(after.droppedRanges == index.droppedRanges)
        #expect(
            after.replaces == [
                ReplacedSegment(
                    segment: once.summary.segment, ordinal: once.summary.ordinal,
                    generation: once.summary.generation)
            ])
        #expect(after.nextSequence == index.nextSequence && after.sessionsBegun == index.sessionsBegun)
    }

    @Test("Of nothing that is kept no file is written")
    func nothing() throws {
        try record(0)
        let handles = try bed.handles()
        let next = try #require(handles.last).summary.nextSequence
        // Those in the middle hold events only.
        #expect(try bed.rewrite(Array(handles[1..<2]), Retained(headSequence: next)) == nil)
        #expect(try bed.rewrite([]) == nil)
        #expect(bed.temporaries == [])
    }

    @Test(
        "A session of which nothing is left goes with its records, and one that is pinned or begun elsewhere stays"
    )
    func sessions() throws {
        try record(1)
        let handles = try bed.handles()
        // Sessions 1 to 6 have 150 events each but the third; 2, 4 and 2 go on.
        func ordinals(_ retained: Retained, _ handles: [SegmentHandle]) throws -> [UInt64] {
            let segment = try #require(try bed.check(handles, retained))
            return try CompactionBed.handle(bed.directory.path("alone") + "/" + segment.fileName).load().index
                .sessions.map(\.begin.ordinal)
        }
        #expect(try ordinals(Retained(), handles) == [1, 2, 3, 4, 5, 6, 2, 4, 2])
        #expect(try ordinals(Retained(headSequence: 301), handles) == [2, 4, 5, 6, 2, 4, 2])
        #expect(try ordinals(Retained(headSequence: 300), handles) == [2, 3, 4, 5, 6, 2, 4, 2])
        #expect(try ordinals(Retained(headSequence: 800), handles) == [2, 4, 2, 4, 2])
        #expect(
            try ordinals(Retained(headSequence: 800, pins: [Pin(session: 1, first: 0)]), handles)
                == [1, 2, 4, 2, 4, 2])
    }

    @Test("Blocks of one event each, as synced appends leave them, become full blocks")
    func tinyBlocks() throws {
        var options = CompactionBed.options()
        options.segmentBlocksMax = 200
        try bed.record(options) { store in
            let session = try store.startSession("a", at: 0)
            let kind = try store.kind("order", .json)
            for number in 0..<700 {
                try session.append(Self.text(number), kind: kind, at: Int64(number))
                try store.flush()
            }
        }
        let handles = try bed.handles()
        #expect(handles.reduce(0) { $0 + Int($1.summary.eventBlockCount) } == 700)
        let segment = try #require(try bed.check(handles))
        #expect(segment.summary.eventBlockCount <= 4)
    }

    @Test("Blocks that were written too far apart are not joined", arguments: [UInt64(0), 9, 10, 25, .max])
    func span(_ spanMax: UInt64) throws {
        var bed = bed
        bed.settings.spanMax = spanMax
        let clock = ControlledFileSystem()
        var options = CompactionBed.options()
        options.fileSystem = clock
        options.segmentBytes = 1 << 20
        try bed.record(options) { store in
            let session = try store.startSession("a", at: 0)
            let kind = try store.kind("order", .json)
            for number in 0..<12 {
                try session.append(Self.text(number), kind: kind, at: Int64(number))
                try store.flush()
                clock.advanceClock(nanoseconds: 10)
            }
        }
        let segment = try #require(try bed.check(try bed.handles()))
        let joined = min(Int(min(spanMax, 1000)) / 10 + 1, 12)
        #expect(Int(segment.summary.eventBlockCount) == (12 + joined - 1) / joined)
    }

    @Test("Kinds that the sources define in other orders keep their names")
    func kindOrders() throws {
        try bed.record { store in
            let kinds = try ["one", "two", "three"].map { try store.kind($0, .json) }
            let session = try store.startSession("a", at: 0)
            for number in 0..<2400 {
                try session.append(Self.text(number), kind: kinds[number % 3], at: Int64(number))
            }
        }
        for (number, handle) in try bed.handles().enumerated() {
            try bed.forge(handle) { parts in
                guard var kinds = parts.header.kinds, kinds.count == 3 else { return }
                for _ in 0..<number { kinds.append(kinds.removeFirst()) }
                parts.header.kinds = kinds
            }
        }
        let handles = try bed.handles()
        let orders = Set(try handles.map { try $0.load().index.kinds.map(\.definition.name) })
        #expect(orders.count > 2)
        try bed.check(handles)
    }

    @Test("Gaps stay gaps, and records of the ledger stay in their order, those of retention joined")
    func ledger() throws {
        try record(0)
        func retention(_ before: UInt64, _ head: UInt64, _ limit: RetentionLimit = .events) -> LedgerRecord {
            .retention(
                RetentionRecord(
                    limit: limit, headBefore: before, head: head, checkpointBefore: 1, checkpoint: 1,
                    events: head - before, checkpoints: 0, time: Int64(head)))
        }
        let records: [[LedgerRecord]] = [
            [retention(0, 5), retention(5, 9)], [retention(9, 12)],
            [
                retention(12, 13, .bytes), .limits(RetentionLimits(events: 9)),
                .pin(Pin(session: 1, first: 3), isPinned: true), .unknown(type: 99, body: [1, 2]),
            ], [.gap(first: 60, last: 70, reason: .damage, time: 5, note: "note"), retention(13, 14)],
        ]
        try bed.forge(try bed.handles()[0]) { parts in
            let place = try #require(parts.blocks.lastIndex { $0.header.type == .events })
            parts.blocks.remove(at: place - 1)
            for records in records.reversed() {
                var header = parts.blocks[place - 2].header
                header.firstSequence = header.nextSequence
                header.type = .ledger
                header.flags = []
                header.eventCount = 0
                header.kindSet = 0
                header.minTimestamp = header.writtenAt
                header.maxTimestamp = header.writtenAt
                var body = ByteWriter()
                body.put(records)
                let (made, bytes) = ControlBlock.assemble(header, record: body.bytes)
                parts.blocks.insert(
                    SegmentParts.Block(
                        header: made, body: Array(bytes.dropFirst(BlockHeader.byteCount)), offset: 0),
                    at: place - 1)
            }
        }
        let handles = try bed.handles()
        #expect(handles[0].summary.eventCount < handles[0].summary.nextSequence)
        let segment = try #require(try bed.check(handles))
        let file = bed.directory.path("alone") + "/" + segment.fileName
        var joined = RetentionRecord(
            limit: .events, headBefore: 0, head: 12, checkpointBefore: 1, checkpoint: 1, events: 12,
            checkpoints: 0, time: 12)
        joined.time = 12
        let found = try Recorded.all(of: file).compactMap { record -> LedgerRecord? in
            if case .ledger(let record) = record { record } else { nil }
        }
        // Limits and pins stand in the header.
        let others = (records[2] + records[3]).filter { record in
            switch record {
            case .limits, .pin: false
            default: true
            }
        }
        #expect(found == [.retention(joined)] + others)
        let index = try CompactionBed.handle(file).load().index
        #expect(index.entries.filter { $0.type == .ledger }.count == 1)
    }

    @Test("Enough text gets a dictionary, and the filters rule out what is not there")
    func dictionary() throws {
        var bed = bed
        bed.settings = RewriteSettings()
        var options = CompactionBed.options()
        options.blockBytes = 64 << 10
        options.segmentBytes = 256 << 10
        try bed.record(options) { store in
            let kinds = try WorkloadA.kindNames.map { try store.kind($0, .json) }
            let session = try store.startSession("a", at: 0)
            var workload = WorkloadA()
            for _ in 0..<12_000 {
                let event = workload.next()
                try session.append(workload.payload, kind: kinds[event.kind], at: event.timestamp)
            }
        }
        let segment = try #require(try bed.check(try bed.handles()))
        #expect(segment.usesDictionary && segment.subBlocksWithoutFilter == 0)
        let loaded = try CompactionBed.handle(bed.directory.path("alone") + "/" + segment.fileName).load()
        let filters = try #require(try loaded.readFilters())
        #expect(filters.filterCount > 50)
        let absent = TextKeys.keys(ofText: Array(" zyxwvut ".utf8), startsToken: true, endsToken: true)
        let held = (0..<filters.filterCount).filter { filter in
            absent.allSatisfy { filters.mayHoldEverywhere($0) || filters.mayHold($0, filter: filter) }
        }
        #expect(held.count < filters.filterCount / 4)
    }

    @Test("With no memory for keys the sub-blocks after that have no filter", arguments: [0, 1, 500])
    func fewKeys(_ keysMax: Int) throws {
        try record(0)
        var bed = bed
        bed.settings.filterKeysMax = keysMax
        let segment = try #require(try bed.check(try bed.handles()))
        #expect(segment.subBlocksWithoutFilter > 0)
    }

    @Test("What is live is told by the index", arguments: [0, 1, 300, 2400])
    func live(_ head: UInt64) throws {
        try record(0)
        for handle in try bed.handles() {
            let index = try handle.load().index
            let live = SegmentRewriter.live(index, Retained(headSequence: head))
            let whole = SegmentRewriter.live(index, Retained())
            #expect(whole.events == index.eventCount && whole.bytes == index.dataEnd)
            let kept = Double(live.events) / Double(max(whole.events, 1))
            let (part, all) = (live.bytes - index.headerBytes, whole.bytes - index.headerBytes)
            #expect(abs(Double(part) / Double(all) - kept) < 0.2)
        }
    }
}
