import Foundation
import Testing
import Varve
import VarveFormat
import VarveTestKit

/// Segments without their footers, in which a block that defines kinds can't be read.
@Suite("Events whose kind can't be read")
struct LostKindsTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }
    private var new: String { directory.path("new") }

    init() throws { directory = try TemporaryDirectory() }

    /// The kinds of blocks of 16 events of 256 bytes, one after the other, each defined right before it is first used; before all of them
    /// `first` others.
    private func record(_ kinds: [String], after first: Int = 0, segmentBytes: UInt64 = 64 << 20) throws {
        var options = smallBlocks(on: ControlledFileSystem())
        options.segmentBytes = segmentBytes
        let store = try EventStore.open(path, options: options)
        for number in 0..<first { _ = try store.kind("other \(number)", .binary) }
        let session = try store.startSession("s", at: 1)
        for (block, name) in kinds.enumerated() {
            // What was recorded so far is written: with the kinds that are known by now.
            try store.flush()
            let kind = try store.kind(name, .binary)
            for number in 0..<16 {
                let number = UInt64(block * 16 + number)
                try session.append(noise(number, 256), kind: kind, at: Int64(number))
            }
        }
        try session.end(at: 10_000)
        try store.close()
    }

    /// Damages the block of the first segment that defines a kind, and cuts the footer off.
    private func lose(_ name: String) throws {
        let file = try #require(try segments(of: path).first)
        let parts = try SegmentParts(file)
        let block = try #require(
            parts.blocks.first {
                guard $0.header.type == .kinds, case .kinds(let kinds) = try? $0.record else { return false }
                return kinds.contains { $0.name == name }
            })
        try removeFooter(file)
        try change(file) { $0[block.offset + BlockHeader.byteCount + 1] ^= 0x10 }
    }

    private func repair(salvage: Bool) throws -> (report: RepairReport, events: [Event]) {
        let report = try EventStore.repair(path, into: new, salvage: salvage)
        let store = try EventStore.openReadOnly(new)
        #expect(try store.verify().damage == [])
        let events = try store.collect()
        for event in events { #expect(event.payload == noise(event.sequence, 256)) }
        return (report, events)
    }

    @Test("Are lost without salvage, and no others are")
    func lost() throws {
        try record(["a", "b", "a"])
        try lose("b")
        let (report, events) = try repair(salvage: false)
        #expect(events.map(\.sequence) == Array(0..<16) + Array(32..<48))
        #expect(events.allSatisfy { $0.kind.name == "a" })
        #expect(report.gaps.map(\.sequences) == [16...31] && report.gaps.map(\.reason) == [.damage])
        let reasons = report.damage.filter { $0.sequences == 16...31 }.map(\.reason)
        #expect(reasons == ["the kinds of its events can't be read"])
    }

    @Test("Are not answered, and verification names them")
    func reader() throws {
        try record(["a", "b", "a"])
        try lose("b")
        let store = try EventStore.openReadOnly(path)
        let answered = try store.collect()
        #expect(answered.map(\.sequence) == Array(0..<16))
        let verified = try store.verify()
        #expect(verified.damage.compactMap(\.sequences) == [16...31, 32...47] && verified.events == 16)
    }

    @Test("Have a kind with a name that says so after salvage")
    func salvaged() throws {
        try record(["a", "b", "a"])
        try lose("b")
        let (report, events) = try repair(salvage: true)
        #expect(events.map(\.sequence) == Array(0..<48) && report.gaps == [])
        let names = events.map(\.kind.name)
        #expect(names[..<16].allSatisfy { $0 == "a" } && names[32...].allSatisfy { $0 == "a" })
        #expect(names[16..<32].allSatisfy { $0 == "unknown-1" })
    }

    @Test("Keep it where another segment of the same opening defines it", arguments: [false, true])
    func known(salvage: Bool) throws {
        try record(["a", "b", "a", "b", "a", "c"], segmentBytes: 16 << 10)
        try #require(try segments(of: path).count == 2)
        try lose("b")
        let (report, events) = try repair(salvage: salvage)
        let expected = ["a", "b", "a", "b", "a", "c"].flatMap { Array(repeating: $0, count: 16) }
        #expect(events.map(\.kind.name) == expected && report.gaps == [])
    }

    @Test("Do not take a kind that a later opening gave the same number")
    func anotherOpening() throws {
        try record(["a", "b"])
        try lose("b")
        let store = try EventStore.open(path, options: smallBlocks(on: ControlledFileSystem()))
        let session = try store.startSession("next", at: 20_000)
        try session.append(noise(32, 256), kind: try store.kind("c", .binary), at: 20_000)
        try store.close()
        let names = try repair(salvage: true).events.map(\.kind.name)
        #expect(names[..<16].allSatisfy { $0 == "a" } && names[16..<32].allSatisfy { $0 == "unknown-1" })
        #expect(names[32...] == ["c"])
    }

    // With 64 kinds and more a block does not say which it uses: all that it may use must be known.
    @Test("Are also those that may have it, where the block does not say which kinds it uses")
    func manyKinds() throws {
        try record(["a", "b", "a"], after: 64)
        try lose("b")
        let (report, events) = try repair(salvage: false)
        #expect(events.map(\.sequence) == Array(0..<16) && events.allSatisfy { $0.kind.name == "a" })
        #expect(report.gaps.map(\.sequences) == [16...47])
    }

    @Test("A repaired store defines each kind before its first event, however late that is")
    func later() throws {
        try record(["a"])
        for (number, name) in ["b", "c"].enumerated() {
            let store = try EventStore.open(path, options: smallBlocks(on: ControlledFileSystem()))
            let session = try store.startSession(name, at: 20_000)
            try session.append(
                noise(UInt64(16 + number), 256), kind: try store.kind(name, .utf8), at: 20_000)
            try store.close()
        }
        try #require(try segments(of: path).count == 3)
        let before = try EventStore.openReadOnly(path).collect()
        let (report, events) = try repair(salvage: false)
        #expect(report.isIntact && report.segments == 1 && events == before)
        // Also for who reads the blocks alone.
        try removeFooter(try #require(try segments(of: new).first))
        #expect(try EventStore.openReadOnly(new).collect() == before)
    }
}
