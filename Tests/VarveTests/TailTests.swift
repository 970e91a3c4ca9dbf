import Foundation
import Testing
import VarveFormat
import VarveIO
import VarveTestKit

@testable import Varve

/// The system's files on another boot.
private final class AfterReboot: ForwardingFileSystem, @unchecked Sendable {
    let base: any FileSystem = POSIXFileSystem()
    func bootIdentity() -> [UInt8] { [UInt8](repeating: 7, count: 16) }
}

/// A copy of the files of an open store is what a kill leaves: what was stored in the mapping is in the file.
@Suite("A killed process loses nothing that append returned")
struct TailTests {
    private let directory: TemporaryDirectory
    private let live: String
    private let killed: String
    private let system = ControlledFileSystem()

    init() throws {
        directory = try TemporaryDirectory()
        live = directory.path("live")
        killed = directory.path("killed")
    }

    private func kill() throws {
        try? FileManager.default.removeItem(atPath: killed)
        try copyLive(live, to: killed)
    }

    private func payload(_ number: UInt64) -> [UInt8] { noise(number, 20 + Int(number % 5) * 100) }

    /// Appends `count` events while nothing can be written, and kills.
    private func record(_ count: UInt64, written: UInt64 = 0) throws {
        let store = try EventStore.open(live, options: smallBlocks(on: system))
        let session = try store.startSession("s", at: 1)
        let kind = try store.kind("noise", .binary)
        for number in 0..<written { try session.append(payload(number), kind: kind, at: Int64(number)) }
        if written > 0 { try store.flush() }
        system.closeGate()
        let late = try store.kind("made known late", .json, metadata: ["schema": "none"])
        for number in written..<written + count {
            try session.append(payload(number), kind: number % 2 == 0 ? kind : late, at: Int64(number))
        }
        try kill()
        system.openGate()
        try store.close()
    }

    private func check(_ store: EventStore, _ count: UInt64, written: UInt64 = 0) throws {
        let events = try store.collect()
        #expect(events.map(\.sequence) == Array(0..<count) && events.map(\.index) == Array(0..<count))
        #expect(events.map(\.payload) == (0..<count).map(payload))
        #expect(events.map(\.timestamp) == (0..<count).map { Int64($0) })
        for event in events where event.sequence >= written && event.sequence % 2 == 1 {
            #expect(event.kind.name == "made known late" && event.kind.encoding == .json)
        }
        let info = try #require(try store.sessions().first)
        #expect(info.eventCount == count && info.state == .interrupted && info.nextIndex == count)
        #expect(info.endedAt == Int64(count) - 1)
        #expect(try store.info().gaps == [] && store.nextSequence == count)
        #expect(try store.count() == count)
    }

    @Test(
        "Whether the open batch alone or queued ones too were not written, readers and recovery show all",
        arguments: [(1, 0), (5, 0), (30, 0), (1, 7), (30, 40)] as [(UInt64, UInt64)])
    func killed(count: UInt64, written: UInt64) throws {
        try record(count, written: written)
        let before = try contents(of: killed)
        let reader = try EventStore.openReadOnly(killed)
        try check(reader, count + written, written: written)
        #expect(try reader.verify().isIntact)
        #expect(try contents(of: killed) == before)
        let writer = try EventStore.open(killed)
        #expect(writer.recovery?.unreadableBytes == 0 && writer.recovery?.gaps == [])
        #expect(writer.recovery?.recoveredEvents ?? 0 >= count)
        try check(writer, count + written, written: written)
        let session = try writer.startSession("next")
        #expect(try session.append("goes on", kind: try writer.kind("k", .utf8)) == count + written)
        try writer.close()
        #expect(!FileManager.default.fileExists(atPath: killed + "/TAIL"))
        let again = try EventStore.openReadOnly(killed)
        #expect(try again.verify().isIntact && again.count() == count + written + 1)
    }

    @Test("After a reboot it means nothing: what was written stands, the rest is gone")
    func reboot() throws {
        try record(20, written: 12)
        var options = StoreOptions()
        options.fileSystem = AfterReboot()
        let reader = try EventStore.openReadOnly(killed, options: options)
        try check(reader, 12, written: 12)
        let writer = try EventStore.open(killed, options: options)
        try check(writer, 12, written: 12)
        try writer.close()
    }

    @Test("What one recovery has taken over the next does not take again")
    func once() throws {
        try record(20)
        let tail = try Data(contentsOf: URL(filePath: killed + "/TAIL"))
        let writer = try EventStore.open(killed)
        try writer.close()
        // As if the opening had been cut off before it replaced the file.
        try tail.write(to: URL(filePath: killed + "/TAIL"))
        try check(try EventStore.openReadOnly(killed), 20)
        let again = try EventStore.open(killed)
        try check(again, 20)
        try again.close()
    }

    @Test("Whatever bytes of it are damaged, no event is another one, and what is known to be lost is said")
    func damaged() throws {
        try record(30, written: 5)
        let tail = try Data(contentsOf: URL(filePath: killed + "/TAIL"))
        let seed = SplitMix64.freshSeed()
        var random = SplitMix64(seed: seed)
        let rows = Batch.rowCapacity(payloadCapacity: 4 << 10)
        let slotBytes = TailHeader.slotBytes(rows: rows, payloadBytes: 4 << 10)
        var losses = 0
        for round in 0..<150 {
            var bytes = tail
            // Of the two slots, where rows and payloads are; or of the header and the kinds.
            let slot = 4096 + StoreOptions().tailKindsBytes + Int(random.below(2)) * slotBytes
            let place =
                switch round % 4 {
                case 0: slot + Int(random.below(64))
                case 1: slot + 64 + Int(random.below(24 * 20))
                case 2: slot + 64 + 24 * rows + Int(random.below(4096))
                default: Int(random.below(4096 + 200))
                }
            bytes[place] ^= UInt8(1 << random.below(8))
            try bytes.write(to: URL(filePath: killed + "/TAIL"))
            let reader = try EventStore.openReadOnly(killed)
            let comment = Comment(rawValue: "seed \(seed), round \(round)")
            let events = try reader.collect()
            #expect(events.count >= 5, comment)
            for event in events {
                #expect(event.payload == payload(event.sequence), comment)
                #expect(event.timestamp == Int64(event.sequence) && event.index == event.sequence, comment)
            }
            let gaps = try reader.info().gaps
            let missing = Set(0..<reader.nextSequence).subtracting(events.map(\.sequence))
            #expect(missing == Set(gaps.flatMap { Array($0.sequences) }).intersection(missing), comment)
            if events.count < 35 { losses += 1 }
        }
        #expect(losses > 20, "seed \(seed): the damage meets nothing")
    }

    @Test(
        "Of a file that is longer or shorter than it says nothing is taken", arguments: [-4096, -1, 1, 4096])
    func lengths(difference: Int) throws {
        try record(30, written: 5)
        var bytes = try Data(contentsOf: URL(filePath: killed + "/TAIL"))
        if difference < 0 { bytes.removeLast(-difference) } else { bytes += Data(count: difference) }
        try bytes.write(to: URL(filePath: killed + "/TAIL"))
        let reader = try EventStore.openReadOnly(killed)
        #expect(try reader.count() == 5)
        #expect(try reader.info().gaps.map(\.reason) == [.unconfirmedTail])
    }

    @Test(
        "A payload larger than a block, a checkpoint and a session's beginning are written when they return")
    func large() throws {
        let store = try EventStore.open(live, options: smallBlocks())
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        try kill()
        #expect(try EventStore.openReadOnly(killed).sessions().map(\.id) == ["s"])
        try session.append("first", kind: kind)
        try session.append(noise(1, 100_000), kind: kind)
        try session.append("third", kind: kind)
        try session.checkpoint("cp", state: noise(2, 50_000))
        try session.append("fourth", kind: kind)
        try kill()
        try store.close()
        for store in [try EventStore.openReadOnly(killed), try EventStore.open(killed)] {
            #expect(try store.collect().map(\.payload.count) == [5, 100_000, 5, 6])
            #expect(try store.checkpoints().map(\.eventIndex) == [3])
            #expect(try store.info().gaps == [])
            try store.close()
        }
    }

    @Test("Kinds that it has no room for are in the log before their first event")
    func manyKinds() throws {
        let store = try EventStore.open(live, options: smallBlocks())
        let session = try store.startSession("s")
        // About 500 bytes each: they fill its region twice.
        for number in 0..<1_000 {
            let kind = try store.kind(
                "kind \(number)", .utf8, metadata: ["schema": String(repeating: "x", count: 480)])
            if number % 50 == 49 { try session.append("\(number)", kind: kind) }
        }
        try kill()
        try store.close()
        let writer = try EventStore.open(killed)
        #expect(
            try writer.collect().map(\.kind.name) == stride(from: 49, to: 1_000, by: 50).map { "kind \($0)" })
        try writer.close()
    }

    @Test("Asynchronous appends of payloads larger than a block return once they are written")
    func asynchronous() async throws {
        let store = try EventStore.open(live, options: smallBlocks())
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<UInt64(40) {
                let size = number % 4 == 0 ? 20_000 : 200
                group.addTask {
                    _ = try await session.appendWhenReady(noise(number, size), kind: kind, at: Int64(number))
                }
            }
            try await group.waitForAll()
        }
        try kill()
        try store.close()
        let reader = try EventStore.openReadOnly(killed)
        #expect(try reader.count() == 40 && reader.info().gaps == [])
        #expect(try Set(reader.collect().map(\.timestamp)) == Set(0..<40))
    }

    @Test("Where there are no shared mappings it is done without, and said; a full disk is an error")
    func unsupported() throws {
        let said = Locked<[Diagnostic]>([])
        let faulty = FaultInjectingFileSystem()
        faulty.inject(.init(.map, onPathsEndingIn: "TAIL.tmp", code: 19))
        var options = smallBlocks(on: faulty)
        options.diagnostics = { diagnostic in said.withLock { $0.append(diagnostic) } }
        let store = try EventStore.open(live, options: options)
        #expect(
            said.withLock { $0 }.contains {
                if case .withoutTail = $0 { true } else { false }
            })
        let session = try store.startSession("s")
        try session.append("event", kind: try store.kind("k", .utf8))
        try store.close()
        #expect(try EventStore.openReadOnly(live).count() == 1)
        faulty.inject(.init(.map, onPathsEndingIn: "TAIL.tmp", code: 28))
        #expect(throws: StoreError.self) { try EventStore.open(live, options: options) }
        try EventStore.open(live, options: options).close()
    }
}

@Suite("What TAIL adds to a log")
struct TailPlanTests {
    private static let kinds = [
        KindDefinition(name: "a", encoding: .utf8), KindDefinition(name: "b", encoding: .json),
    ]

    private static func slot(
        _ number: UInt64, first: UInt64, rows: Int, lost: Int = 0, session: UInt64 = 2, kind: UInt32 = 0,
        isExplicit: Bool = false
    ) -> TailSlot {
        var slot = TailSlot(
            number: number, firstSequence: first, session: session, firstIndex: first,
            hasExplicitIndices: isExplicit,
            rows: (0..<rows).map { row in
                TailSlot.Row(timestamp: 0, index: first + UInt64(row), kind: kind, payload: [])
            })
        slot.lostRows = lost
        return slot
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var epoch: UInt64 = 5
        var slots: [TailSlot]
        var takes: [ClosedRange<UInt64>] = []
        var gaps: [ClosedRange<UInt64>] = []
        var goesOn = true
    }

    static let cases: [Case] = [
        Case(testDescription: "no slot", slots: [], goesOn: false),
        Case(testDescription: "one that follows", slots: [slot(1, first: 100, rows: 3)], takes: [100...102]),
        Case(
            testDescription: "two that follow",
            slots: [slot(1, first: 100, rows: 3), slot(2, first: 103, rows: 1)],
            takes: [100...102, 103...103]),
        Case(testDescription: "one that is in the log", slots: [slot(1, first: 90, rows: 10)], goesOn: false),
        Case(
            testDescription: "one that is in the log in part", slots: [slot(1, first: 90, rows: 15)],
            takes: [100...104]),
        Case(
            testDescription: "an earlier opening's", epoch: 4, slots: [slot(1, first: 100, rows: 3)],
            goesOn: false),
        Case(
            testDescription: "a hole before it", slots: [slot(1, first: 110, rows: 2)], takes: [110...111],
            gaps: [100...109], goesOn: false),
        Case(
            testDescription: "a hole between",
            slots: [slot(1, first: 100, rows: 1), slot(2, first: 105, rows: 1)],
            takes: [100...100, 105...105], gaps: [101...104]),
        Case(
            testDescription: "torn rows",
            slots: [slot(1, first: 100, rows: 2, lost: 3), slot(2, first: 105, rows: 1)],
            takes: [100...101, 105...105], gaps: [102...104]),
        Case(
            testDescription: "torn rows beyond the log's end", slots: [slot(1, first: 95, rows: 1, lost: 10)],
            gaps: [100...105], goesOn: false),
        Case(
            testDescription: "another session's", slots: [slot(1, first: 100, rows: 2, session: 3)],
            goesOn: false),
        Case(
            testDescription: "a kind that nobody defines", slots: [slot(1, first: 100, rows: 2, kind: 3)],
            goesOn: false),
        Case(
            testDescription: "a kind that it defines", slots: [slot(1, first: 100, rows: 2, kind: 2)],
            takes: [100...101]),
        Case(testDescription: "an import's", slots: [slot(1, first: 100, rows: 2, isExplicit: true)]),
        Case(
            testDescription: "a number that no store reaches", slots: [slot(1, first: .max - 10, rows: 2)],
            goesOn: false),
    ]

    @Test("are the rows that follow its end", arguments: cases)
    func plan(_ item: Case) {
        let contents = TailContents(
            store: nil, epoch: item.epoch, kinds: [(2, KindDefinition(name: "c", encoding: .utf8))],
            slots: item.slots)
        let plan = TailPlan(
            contents, after: LogEnd(nextSequence: 100, session: 2, epoch: 5, kinds: Self.kinds))
        #expect(
            plan.slots.map { $0.firstSequence...$0.firstSequence + UInt64($0.rows.count) - 1 } == item.takes)
        #expect(
            plan.slots.allSatisfy { $0.firstIndex == $0.firstSequence && $0.rows[0].index == $0.firstIndex })
        #expect(plan.gaps.map(\.sequences) == item.gaps)
        #expect(plan.goesOn == item.goesOn)
    }
}
