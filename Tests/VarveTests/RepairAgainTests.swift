import Foundation
import Testing
import Varve
import VarveFormat
import VarveTestKit

/// What a store's ledger says is missing is known: another repair says it again, and nothing else.
@Suite("Repair of a repaired store")
struct RepairAgainTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }
    private var once: String { directory.path("once") }
    private var twice: String { directory.path("twice") }

    /// A closed store of 96 events of 256 bytes: 16 a block, 4 a sub-block.
    init() throws {
        directory = try TemporaryDirectory()
        let store = try EventStore.open(path, options: smallBlocks(on: ControlledFileSystem()))
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s", at: 1)
        for number in 0..<96 as Range<UInt64> {
            try session.append(noise(number, 256), kind: kind, at: Int64(number))
        }
        try session.end(at: 100)
        try store.close()
    }

    private func damage(_ event: UInt64, of path: String) throws {
        for file in try segments(of: path) {
            try change(file) { data in
                guard let place = data.range(of: Data(noise(event, 256))) else { return }
                data[place.lowerBound + 9] ^= 1
            }
        }
    }

    @Test("Takes the reasons over that the ledger has", arguments: [false, true])
    func same(salvage: Bool) throws {
        try damage(21, of: path)
        let first = try EventStore.repair(path, into: once, options: smallBlocks())
        #expect(first.gaps.map(\.sequences) == [20...23])
        let second = try EventStore.repair(once, into: twice, salvage: salvage)
        #expect(second.gaps == first.gaps && second.damage == [] && second.events == 92)
        #expect(try EventStore.openReadOnly(twice).info().gaps == first.gaps)
    }

    /// Damage beside what is missing already: before it, behind it, on both sides.
    @Test(
        "Tells what is lost now from what was lost before",
        arguments: [
            ([25], [20...23, 24...27]), ([18], [16...19, 20...23]), ([18, 25], [16...19, 20...23, 24...27]),
        ] as [([UInt64], [ClosedRange<UInt64>])])
    func beside(events: [UInt64], gaps: [ClosedRange<UInt64>]) throws {
        try damage(21, of: path)
        let first = try EventStore.repair(path, into: once, options: smallBlocks())
        for event in events { try damage(event, of: once) }
        let second = try EventStore.repair(once, into: twice)
        #expect(second.gaps.map(\.sequences) == gaps)
        #expect(second.gaps.filter { $0.sequences == 20...23 } == first.gaps)
        #expect(second.gaps.allSatisfy { $0.reason == .damage && $0.note != "" })
        // The ledger of the new store names each once.
        let shown = try EventStore.openReadOnly(twice).info().gaps
        #expect(shown == second.gaps)
    }

    @Test("Calls what retention has dropped no loss")
    func retention() throws {
        try damage(21, of: path)
        _ = try EventStore.repair(path, into: once, options: smallBlocks())
        let file = try #require(try segments(of: once).first)
        var parts = try SegmentParts(file)
        let ledger = try #require(parts.blocks.lastIndex { $0.header.type == .ledger })
        let record = LedgerRecord.gap(first: 20, last: 23, reason: .retention, time: 7, note: "")
        parts.replace(ledger) { $0.put([record]) }
        try parts.write(to: file)
        try FileManager.default.removeItem(atPath: once + "/STATE")
        let report = try EventStore.repair(once, into: twice)
        #expect(report.gaps.map(\.sequences) == [20...23] && report.gaps.map(\.reason) == [.retention])
        #expect(report.isIntact && report.events == 92)
        #expect(try EventStore.openReadOnly(twice).verify().isIntact)
    }

    // The reader gave the whole hole the reason of the first record that named a part of it: what was lost beside what retention had
    // dropped was called dropped too, and the store intact.
    @Test(
        "Nor does a reader call what is missing beside it dropped",
        arguments: [19...22, 21...24] as [ClosedRange<UInt64>])
    func besideRetention(dropped: ClosedRange<UInt64>) throws {
        try damage(21, of: path)
        _ = try EventStore.repair(path, into: once, options: smallBlocks())
        let file = try #require(try segments(of: once).first)
        var parts = try SegmentParts(file)
        let ledger = try #require(parts.blocks.lastIndex { $0.header.type == .ledger })
        let record = LedgerRecord.gap(
            first: dropped.lowerBound, last: dropped.upperBound, reason: .retention, time: 7, note: "")
        parts.replace(ledger) { $0.put([record]) }
        try parts.write(to: file)
        try FileManager.default.removeItem(atPath: once + "/STATE")
        let verified = try EventStore.openReadOnly(once).verify()
        let lost: ClosedRange<UInt64> = dropped.lowerBound < 20 ? 23...23 : 20...20
        #expect(verified.gaps.map(\.sequences) == [lost] && verified.gaps.map(\.reason) == [.lostSegment])
        #expect(!verified.isIntact)
    }

    /// A repaired store with two blocks of the ledger, of which some are damaged: the footer says what stood in them.
    @Test(
        "Takes what the ledger says from the footer where its blocks can't be read",
        arguments: [[0], [1], [0, 1]])
    func footer(lost: [Int]) throws {
        try damage(21, of: path)
        _ = try EventStore.repair(path, into: once, options: smallBlocks())
        try damage(61, of: once)
        let second = try EventStore.repair(once, into: twice, options: smallBlocks())
        #expect(second.gaps.map(\.sequences) == [20...23, 60...63])
        let file = try #require(try segments(of: twice).first)
        let ledgers = try SegmentParts(file).blocks.filter { $0.header.type == .ledger }
        try #require(ledgers.count == 2)
        for number in lost {
            try change(file) { $0[ledgers[number].offset + BlockHeader.byteCount] ^= 1 }
        }
        let thrice = directory.path("thrice")
        let third = try EventStore.repair(twice, into: thrice, options: smallBlocks())
        #expect(third.gaps == second.gaps && third.damage.count == lost.count && third.events == 88)
        #expect(try EventStore.openReadOnly(thrice).info().gaps == second.gaps)
    }

    @Test("Salvages the ledger with a segment that is in the log no more")
    func salvagedLedger() throws {
        try damage(21, of: path)
        let first = try EventStore.repair(path, into: once, options: smallBlocks())
        let file = try #require(try segments(of: once).first)
        try removeFooter(file)
        try change(file) { $0[60] ^= 0x10 }
        let second = try EventStore.repair(once, into: twice, salvage: true)
        #expect(second.gaps == first.gaps && second.salvagedEvents == 92)
    }
}
