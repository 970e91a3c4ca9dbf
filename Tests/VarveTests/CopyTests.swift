import Foundation
import Testing
import VarveIO
import VarveTestKit

@testable import Varve

/// Excerpts of a store as stores of their own.
@Suite("A copy")
struct CopyTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }
    private var new: String { directory.path("new") }
    private let options: StoreOptions

    /// Several sealed segments: two sessions, one of them resumed in a second opening after the other, an
    /// import with indices of its own, checkpoints, and a session that was cut off by closing.
    init() throws {
        directory = try TemporaryDirectory()
        var options = smallBlocks(on: ControlledFileSystem())
        options.segmentBytes = 16 << 10
        options.metadata = ["host": "here"]
        self.options = options
        let path = directory.path("store")
        var store = try EventStore.open(path, options: options)
        func kinds() throws -> [EventKind] {
            [try store.kind("noise", .binary, metadata: ["schema": "none"]), try store.kind("other", .utf8)]
        }
        let first = try store.startSession("first", at: 5, metadata: ["a": "b"])
        try first.checkpoint("start", state: [1], at: 1)
        for number: UInt64 in 0..<60 {
            try first.append(noise(number, 200), kind: kinds()[Int(number % 2)], at: Int64(number))
            if number == 30 { try first.checkpoint("cp", label: "label", state: noise(1, 100), at: 30) }
        }
        try first.end(at: 100)
        let second = try store.startSession("second", at: 100)
        for number: UInt64 in 60..<100 {
            try second.append(noise(number, 200), kind: kinds()[1], at: Int64(number))
        }
        try second.checkpoint("late", state: [2], at: 99)
        try second.end(at: 200)
        try store.close()
        store = try EventStore.open(path, options: options)
        let again = try store.resume(session: 1)
        for number: UInt64 in 100..<130 {
            try again.append(noise(number, 200), kind: kinds()[0], at: Int64(number))
        }
        try again.end(at: 300)
        let imported = try store.startImportedSession("imported", at: 7)
        for number: UInt64 in 130..<170 {
            try imported.append(noise(number, 200), kind: kinds()[0], at: Int64(number), index: number * 3)
        }
        try imported.end(at: 400, isInterrupted: true)
        let last = try store.startSession("last", at: 500)
        for number: UInt64 in 170..<200 {
            try last.append(noise(number, 200), kind: kinds()[1], at: Int64(number))
        }
        try store.close()
        try #require(try segments(of: path).count >= 3)
    }

    private func copied(_ query: Query, from source: EventStore? = nil, to new: String) throws -> CopyReport {
        let source = try source ?? EventStore.openReadOnly(path)
        return try source.snapshot().copy(query, to: new, options: options)
    }

    /// The ranges between numbers, up to an end.
    private func holes(_ numbers: [UInt64], end: UInt64) -> [ClosedRange<UInt64>] {
        RepairPlan.holes(in: numbers.map { $0..<$0 + 1 }, end: end)
    }

    static let queries: [(String, Query)] = [
        ("everything", Query()),
        ("a range of numbers", Query().sequences(25...140)),
        ("a range of time", Query().time(10...15)),
        ("a session in two parts", Query().session("first")),
        ("an import", Query().session(ordinal: 3)),
        ("a kind that every second event has", Query().kinds("noise")),
        ("few", Query().kinds("other").sequences(7...90).limit(5)),
        ("the last ones", Query().reversed().limit(45)),
        ("one", Query().sequences(77...77)),
        ("nothing", Query().session("nobody")),
        ("nothing of a limit", Query().session("nobody").limit(3)),
    ]

    @Test("holds the events that match, and names all other numbers", arguments: queries.indices)
    func excerpts(_ number: Int) throws {
        let (name, query) = Self.queries[number]
        let source = try EventStore.openReadOnly(path)
        let expected = try source.collect(query).sorted { $0.sequence < $1.sequence }
        let report = try copied(query, to: new)
        let copy = try EventStore.openReadOnly(new)
        #expect(try copy.collect() == expected, "\(name)")
        #expect(report.events == UInt64(expected.count))
        let holes = holes(expected.map(\.sequence), end: 200)
        #expect(try copy.snapshot().gaps().map(\.sequences) == holes)
        #expect(try copy.snapshot().gaps().allSatisfy { $0.reason == .excluded })
        #expect(report.leftOut == holes.reduce(0) { $0 + UInt64($1.count) })
        #expect(report.isIntact && report.gaps.isEmpty)
        let verified = try copy.verify()
        #expect(verified.isIntact && verified.strays.isEmpty, "\(verified)")
        // Epochs too.
        for query in [Query(), query.reversed()] {
            var events = try copy.cursor(query)
            while let event = try events.next() {
                #expect(event.epoch == (event.sequence < 100 ? 1 : 2))
            }
        }
    }

    @Test("has the sessions of its events as they were")
    func sessions() throws {
        _ = try copied(Query().sequences(55...150), to: new)
        let before = try EventStore.openReadOnly(path).sessions()
        let after = try EventStore.openReadOnly(new).sessions()
        #expect(after.map(\.ordinal) == [1, 2, 3])
        for (copy, session) in zip(after, before) {
            #expect(copy.id == session.id && copy.metadata == session.metadata)
            #expect(copy.startedAt == session.startedAt && copy.endedAt == session.endedAt)
            #expect(copy.state == session.state && copy.isImported == session.isImported)
            #expect(copy.nextIndex == session.nextIndex)
        }
        #expect(after.map(\.eventCount) == [35, 40, 21])
        let kinds = try EventStore.openReadOnly(new).info().kinds
        #expect(kinds.first { $0.kind.name == "noise" }?.metadata == ["schema": "none"])
    }

    @Test(
        "has the checkpoints in its range of the sessions that have events in it",
        arguments: [
            (Query(), ["start", "cp", "late"]), (Query().session("first"), ["start", "cp"]),
            (Query().sequences(20...40), ["cp"]), (Query().sequences(20...99), ["cp", "late"]),
            (Query().sequences(20...30), ["cp"]), (Query().sequences(20...29), []),
            (Query().kinds("noise"), ["start", "cp"]), (Query().time(0...20), ["start"]),
            (Query().limit(10), ["start"]), (Query().session("imported"), []),
        ] as [(Query, [String])])
    func checkpoints(query: Query, ids: [String]) throws {
        let report = try copied(query, to: new)
        let source = try EventStore.openReadOnly(path)
        let copy = try EventStore.openReadOnly(new)
        let checkpoints = try copy.checkpoints()
        #expect(checkpoints.map(\.id) == ids)
        #expect(report.checkpoints == ids.count)
        for checkpoint in checkpoints {
            #expect(try source.checkpoints().contains(checkpoint))
            #expect(try copy.state(of: checkpoint) == source.state(of: checkpoint))
        }
    }

    @Test("is another store that says where it comes from")
    func identity() throws {
        let report = try copied(Query().sequences(3...9), to: new)
        let source = try EventStore.openReadOnly(path)
        let copy = try EventStore.openReadOnly(new)
        #expect(copy.identifier == report.store && copy.identifier != source.identifier)
        #expect(copy.metadata == ["host": "here", EventStore.copiedFromKey: "\(source.identifier)"])
    }

    @Test(
        "goes on with the numbers of the source",
        arguments: [Query().sequences(3...9), Query().session("nobody")])
    func appending(query: Query) throws {
        _ = try copied(query, to: new)
        let copy = try EventStore.open(new, options: options)
        let session = try copy.startSession("more")
        let kind = try copy.kind("new", .utf8)
        #expect(try session.append("text", kind: kind) == 200)
        #expect(try session.append("text", kind: kind) == 201)
        let checkpoint = try session.checkpoint("new", state: [])
        try session.end()
        #expect(try copy.sessions().last?.ordinal == 5)
        #expect(checkpoint.ordinal == 4)
        let epoch = try copy.info().epoch
        #expect(epoch >= 3)
        try copy.close()
        let read = try EventStore.openReadOnly(new)
        #expect(try read.verify().isIntact)
        #expect(try read.collect(Query().session("more")).map(\.index) == [0, 1])
    }

    @Test("of a copy keeps what was left out before, and of a store with losses their reasons")
    func again() throws {
        _ = try copied(Query().sequences(20...180), to: new)
        let second = directory.path("second")
        let report = try copied(
            Query().sequences(10...50), from: EventStore.openReadOnly(new), to: second)
        #expect(report.gaps.map(\.sequences) == [10...19])
        #expect(report.leftOut == 130)
        // The store lost a segment; one of its neighbours is damaged.
        let files = try segments(of: path)
        try FileManager.default.removeItem(atPath: files[1])
        let lost = try EventStore.openReadOnly(path)
        let third = directory.path("third")
        let losses = try copied(Query(), from: lost, to: third)
        #expect(!losses.isIntact && losses.leftOut == 0)
        let copy = try EventStore.openReadOnly(third)
        #expect(try copy.snapshot().gaps().map(\.sequences) == lost.snapshot().gaps().map(\.sequences))
        #expect(try copy.snapshot().gaps().map(\.reason) == lost.snapshot().gaps().map(\.reason))
        #expect(try copy.collect() == lost.collect())
    }

    @Test("reports the losses in its range, and names all of them")
    func lossesElsewhere() throws {
        try FileManager.default.removeItem(atPath: segments(of: path)[1])
        let source = try EventStore.openReadOnly(path)
        let lost = try #require(try source.snapshot().gaps().first?.sequences)
        let after = lost.upperBound + 1
        let queries = [
            Query().sequences(after...after + 3): nil, Query().sequences(0...lost.lowerBound - 1): nil,
            Query().reversed().limit(3): nil, Query().limit(0): nil,
            Query().sequences(lost.lowerBound + 1...after): lost.lowerBound + 1...lost.upperBound,
        ]
        for (number, (query, expected)) in queries.enumerated() {
            let new = directory.path("copy \(number)")
            let report = try copied(query, from: source, to: new)
            #expect(report.gaps.map(\.sequences) == (expected.map { [$0] } ?? []))
            #expect(report.isIntact == (expected == nil))
            let gaps = try EventStore.openReadOnly(new).snapshot().gaps()
            #expect(gaps.contains { $0.sequences == lost && $0.reason == .lostSegment })
        }
    }

    @Test("of whole sessions has those without events too, with their checkpoints")
    func emptySessions() throws {
        let path = directory.path("sparse")
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("k", .utf8)
        for ordinal in 1...6 {
            let session = try store.startSession(
                "s\(ordinal)", at: Int64(ordinal), metadata: ["m": "\(ordinal)"])
            if ordinal % 3 == 0 { try session.append("event", kind: kind, at: 50) }
            if ordinal % 2 == 0 { try session.checkpoint("c\(ordinal)", state: [7], at: 60) }
            try session.end(at: 100)
        }
        // Without an event at first.
        let again = try store.resume(session: 4)
        try again.append("late", kind: kind, at: 150)
        try again.end(at: 200)
        try store.close()
        let source = try EventStore.openReadOnly(path)
        for (number, (query, ordinals)) in [
            (Query(), [1, 2, 3, 4, 5, 6]), (Query().session("s2").session("s3"), [2, 3]),
            (Query().kinds("k"), [3, 4, 6]), (Query().sequences(0...9), [3, 4, 6]), (Query().limit(1), [3]),
        ].enumerated() {
            let new = directory.path("copy \(number)")
            let report = try copied(query, from: source, to: new)
            let copy = try EventStore.openReadOnly(new)
            #expect(try copy.sessions().map(\.ordinal) == ordinals.map { UInt64($0) })
            #expect(report.sessions == ordinals.count)
            #expect(try copy.verify().isIntact)
            for session in try copy.sessions() {
                let before = try source.snapshot().session(ordinal: session.ordinal)
                #expect(session.id == before.id && session.metadata == before.metadata)
                #expect(session.startedAt == before.startedAt && session.endedAt == before.endedAt)
                #expect(session.state == before.state && session.nextIndex == before.nextIndex)
            }
            guard query.limit == nil else { continue }
            let expected = try source.checkpoints().filter { ordinals.contains(Int($0.sessionOrdinal)) }
            #expect(try copy.checkpoints() == expected)
            for checkpoint in expected { #expect(try copy.state(of: checkpoint) == [7]) }
        }
    }

    @Test("tells how far it is, in events and bytes")
    func progress() throws {
        var last: (events: UInt64, bytes: UInt64) = (0, 0)
        let snapshot = try EventStore.openReadOnly(path).snapshot()
        _ = try snapshot.copy(to: new, options: options) { events, bytes in
            #expect(events > last.events && bytes == events * 200)
            last = (events, bytes)
        }
        #expect(last.events == 200)
    }

    @Test("says what of it could not be read")
    func damage() throws {
        let file = try segments(of: path)[0]
        var bytes = try Data(contentsOf: URL(filePath: file))
        bytes[bytes.count / 2] ^= 0xFF
        try bytes.write(to: URL(filePath: file))
        let source = try EventStore.openReadOnly(path)
        let events = try source.collect()
        try #require(events.count < 200)
        let report = try copied(Query(), from: source, to: new)
        let copy = try EventStore.openReadOnly(new)
        #expect(try copy.collect() == events)
        #expect(report.gaps.map(\.sequences) == holes(events.map(\.sequence), end: 200))
        #expect(try copy.snapshot().gaps().allSatisfy { $0.reason == .damage })
        #expect(report.leftOut == 0 && !report.isIntact)
    }

    @Test("is made of a store that is being written, with what no file holds yet")
    func live() throws {
        let store = try EventStore.open(directory.path("live"), options: options)
        let session = try store.startSession("now")
        let kind = try store.kind("k", .utf8)
        for number in 0..<100 { try session.append("event \(number)", kind: kind, at: Int64(number)) }
        let report = try copied(Query().sequences(90...99), from: store, to: new)
        #expect(report.events == 10)
        let copy = try EventStore.openReadOnly(new)
        #expect(try copy.collect() == store.collect(Query().sequences(90...99)))
        #expect(try copy.sessions().map(\.state) == [.interrupted])
        #expect(try copy.verify().isIntact)
        try session.end()
        try store.close()
    }

    @Test("of an empty store is an empty store")
    func empty() throws {
        let store = try EventStore.open(directory.path("empty"), options: options)
        let report = try copied(Query(), from: store, to: new)
        #expect(report.events == 0 && report.leftOut == 0)
        try store.close()
        let copy = try EventStore.open(new, options: options)
        #expect(try copy.verify().isIntact && copy.collect().isEmpty)
        try copy.close()
    }

    @Test("goes only where nothing is")
    func taken() throws {
        _ = try copied(Query(), to: new)
        for target in [new, "\(path)/inside", path] {
            #expect(throws: StoreError.self, "\(target)") { try copied(Query(), to: target) }
        }
        #expect(!FileManager.default.fileExists(atPath: "\(new).tmp"))
    }
}
