import Foundation
import Testing
import Varve
import VarveFormat
import VarveTestKit

/// One segment with three sessions of 20 events; records of sessions can't be read.
@Suite("Repair of sessions whose records can't be read")
struct RepairRecordTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }
    private var new: String { directory.path("new") }
    private let file: String
    private let blocks: [SegmentParts.Block]

    init() throws {
        directory = try TemporaryDirectory()
        let store = try EventStore.open(
            directory.path("store"), options: smallBlocks(on: ControlledFileSystem()))
        let kind = try store.kind("noise", .binary)
        for number in 0..<3 as Range<UInt64> {
            let start = Int64(number) * 100
            let session = try store.startSession("session \(number)", at: start, metadata: ["n": "\(number)"])
            for event in number * 20..<number * 20 + 20 {
                try session.append(noise(event, 256), kind: kind, at: start + 1)
            }
            try session.end(at: start + 50)
        }
        try store.close()
        file = try #require(try segments(of: directory.path("store")).first)
        blocks = try SegmentParts(file).blocks
    }

    private func facts(_ path: String) throws -> [String] {
        try EventStore.openReadOnly(path).sessions().map {
            "\($0.ordinal) \($0.id) \($0.startedAt) \($0.endedAt ?? -1) \($0.state) \($0.metadata)"
        }
    }

    private func damage(_ isMeant: (BlockHeader) -> Bool) throws {
        for block in blocks where isMeant(block.header) { try change(file) { $0[block.offset + 40] ^= 1 } }
    }

    @Test(
        "A session of which no event can be read is there, as the footer tells of it", arguments: [1, 2, 3],
        [false, true])
    func noEvents(ordinal: UInt64, keepsEnd: Bool) throws {
        let before = try facts(path)
        try damage { $0.sessionOrdinal == ordinal && !(keepsEnd && $0.type == .sessionEnd) }
        let report = try EventStore.repair(path, into: new)
        #expect(try facts(new) == before && report.sessions == 3)
        let lost = (ordinal - 1) * 20...ordinal * 20 - 1
        #expect(report.gaps.map(\.sequences) == [lost] && report.gaps.map(\.reason) == [.damage])
        let store = try EventStore.openReadOnly(new)
        let kept = try store.collect().map(\.sequence)
        #expect(kept == (0..<60).filter { !lost.contains($0) })
        #expect(try store.verify().damage == [])
    }

    @Test(
        "A session of which nothing tells how it began keeps its events, under a name that says so",
        arguments: [false, true])
    func unknown(salvage: Bool) throws {
        try removeFooter(file)
        try damage { $0.sessionOrdinal == 2 && $0.type == .sessionBegin }
        let report = try EventStore.repair(path, into: new, salvage: salvage)
        #expect(report.events == 60 && report.gaps == [])
        let store = try EventStore.openReadOnly(new)
        #expect(try store.sessions().map(\.id) == ["session 0", "unknown-session-2", "session 2"])
        #expect(try store.collect(Query().session("unknown-session-2")).map(\.sequence) == Array(20..<40))
        #expect(try store.verify().isIntact)
    }
}
