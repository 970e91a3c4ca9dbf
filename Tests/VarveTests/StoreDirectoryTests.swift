import Foundation
import Testing
import VarveFormat
import VarveIO
import VarveTestKit

@testable import Varve

/// The system's files, of which the first listing misses one: as one does during which it was renamed.
private final class ForgetfulFileSystem: ForwardingFileSystem, @unchecked Sendable {
    let base: any FileSystem = POSIXFileSystem()
    private let listings = Locked(0)
    let missed: String

    init(missing name: String) { missed = name }

    func list(_ directory: String) throws(IOFailure) -> [DirectoryEntry] {
        let isFirst = listings.withLock { count -> Bool in
            count += 1
            return count == 1
        }
        return try base.list(directory).filter { !isFirst || $0.name != missed }
    }
}

@Suite("What stands in a store's directory")
struct StoreDirectoryTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }
    /// The segments of a closed store with 200 events of 256 bytes.
    private let files: [String]

    init() throws {
        directory = try TemporaryDirectory()
        try Self.record(directory.path("store"))
        files = try segments(of: directory.path("store"))
        try #require(files.count >= 4)
    }

    private static func record(_ path: String) throws {
        var options = smallBlocks(on: ControlledFileSystem())
        options.segmentBytes = 16 << 10
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s", at: 1)
        for number in 0..<200 as Range<UInt64> {
            try session.append(noise(number, 256), kind: kind, at: Int64(number))
        }
        try session.end(at: 300)
        try store.close()
    }

    private func numbers() throws -> [UInt64] { try EventStore.openReadOnly(path).collect().map(\.sequence) }

    @Test("A file that one listing misses is not missed")
    func listing() throws {
        var options = StoreOptions()
        options.fileSystem = ForgetfulFileSystem(missing: String(files[2].dropFirst(path.count + 1)))
        let store = try EventStore.openReadOnly(path, options: options)
        #expect(try store.collect().map(\.sequence) == Array(0..<200) && store.info().gaps == [])
    }

    static let states: [(name: String, change: @Sendable (inout StateSlot) -> Void)] = [
        ("of another store", { $0.store = UniqueID(low: 1, high: 2) }),
        ("with a number that nothing can follow", { $0.nextSequence = .max - 1 }),
        ("with an epoch that nothing can follow", { $0.epoch = .max - 1 }),
        ("with sessions that nothing can follow", { $0.sessionsBegun = .max - 1 }),
    ]

    @Test("A STATE that can't be this store's is ignored", arguments: states.indices)
    func state(_ number: Int) throws {
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: path + "/STATE")))
        var slot = try #require(bytes.withUnsafeBytes { StateFile.latest(of: $0) })
        slot.counter += 1
        slot.nextSequence = 5000
        Self.states[number].change(&slot)
        let forged = slot.encode()
        try Data(forged + [UInt8](repeating: 0, count: StateFile.byteCount - forged.count))
            .write(to: URL(filePath: path + "/STATE"))
        let store = try EventStore.open(path, options: smallBlocks())
        #expect(try store.nextSequence == 200 && store.count() == 200 && store.info().gaps == [])
        #expect(try store.startSession("next").ordinal == 2)
        try store.close()
    }

    // The new slot had counter 1 beside an old one with 8: it did not count, and the next opening had the same epoch.
    @Test("What opening writes into STATE counts, whatever it had", arguments: [-1, 1, 1 << 20])
    func stateStartsAgain(difference: Int) throws {
        var slot = try #require(
            try Data(contentsOf: URL(filePath: path + "/STATE")).withUnsafeBytes { StateFile.latest(of: $0) })
        slot.counter = 8
        slot.epoch = 1
        let size = StateFile.byteCount + difference
        let bytes = [UInt8](repeating: 0, count: StateSlot.stride) + slot.encode()
        try Data((bytes + [UInt8](repeating: 0, count: max(difference, 0))).prefix(size))
            .write(to: URL(filePath: path + "/STATE"))
        let store = try EventStore.open(path, options: smallBlocks())
        let found = try Data(contentsOf: URL(filePath: path + "/STATE")).withUnsafeBytes {
            StateFile.latest(of: $0)
        }
        #expect(try found?.epoch == store.info().epoch && found?.isClosed == false)
        try store.close()
    }

    @Test("A STATE that the system does not let it read is no place to go on from")
    func stateRefused() throws {
        let system = FaultInjectingFileSystem()
        system.inject(.init(.read, onPathsEndingIn: "STATE", code: 5))
        #expect(throws: StoreError.self) { try EventStore.open(path, options: smallBlocks(on: system)) }
        try EventStore.open(path, options: smallBlocks(on: system)).close()
    }

    @Test(
        "A STATE that can't be made durable ends the opening", arguments: [IOFailure.Operation.write, .sync])
    func stateUnsynced(operation: IOFailure.Operation) throws {
        let system = FaultInjectingFileSystem()
        system.inject(.init(operation, onPathsEndingIn: "STATE", code: 5))
        #expect(throws: StoreError.self) { try EventStore.open(path, options: smallBlocks(on: system)) }
        try EventStore.open(path, options: smallBlocks(on: system)).close()
    }

    // What is believed of a good one.
    @Test("A STATE that knows of later numbers is believed")
    func believed() throws {
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: path + "/STATE")))
        var slot = try #require(bytes.withUnsafeBytes { StateFile.latest(of: $0) })
        slot.sessionsBegun = 7
        let forged = slot.encode()
        try Data(forged + [UInt8](repeating: 0, count: StateFile.byteCount - forged.count))
            .write(to: URL(filePath: path + "/STATE"))
        let store = try EventStore.open(path, options: smallBlocks())
        #expect(try store.startSession("next").ordinal == 8)
        try store.close()
    }

    @Test(
        "A store of a later version is refused, by whichever file says so", arguments: ["STORE", "trailer"])
    func version(file: String) throws {
        if file == "STORE" {
            try change(path + "/STORE") { $0[8] = 99 }
        } else {
            try change(files[1]) { data in
                var trailer = [UInt8](data.suffix(96))
                trailer[68] = 99
                let checksum = trailer[..<84].withUnsafeBytes { Checksum.crc($0) }
                for byte in 0..<4 { trailer[84 + byte] = UInt8(truncatingIfNeeded: checksum >> (8 * byte)) }
                data.replaceSubrange(data.count - 96..<data.count, with: trailer)
            }
        }
        #expect {
            try EventStore.openReadOnly(path)
        } throws: {
            if case .unknownVersion? = $0 as? StoreError { true } else { false }
        }
    }

    @Test("A damaged copy of a segment that is there is not the log's end, without a footer either")
    func damagedCopy() throws {
        let last = try #require(files.last)
        try FileManager.default.copyItem(atPath: last, toPath: path + "/copy.seg")
        try removeFooter(path + "/copy.seg")
        try change(path + "/copy.seg") { $0[60] ^= 1 }
        var cursor = try EventStore.openReadOnly(path).cursor()
        var count = 0
        while try cursor.nextEvent() != nil { count += 1 }
        #expect(count == 200 && cursor.coverage.isComplete)
    }

    // What lies beyond that length was no part of the log when the next segment was begun.
    @Test("Of a segment belongs to the log what the next one says", arguments: [false, true])
    func predecessorLength(isHeaderDamaged: Bool) throws {
        let (first, second) = (files[files.count - 2], files[files.count - 1])
        let block = try #require(try SegmentParts(first).blocks.last { $0.header.type == .events })
        var parts = try SegmentParts(second)
        parts.header.predecessorLength = UInt64(block.offset)
        try parts.write(to: second)
        if isHeaderDamaged { try change(first) { $0[60] ^= 1 } }
        // Without the header its footer alone tells of its blocks, and of all of them.
        let lost = isHeaderDamaged ? 0..<0 : block.numbers
        #expect(try numbers() == (0..<200).filter { !lost.contains($0) })
        let gaps = try EventStore.openReadOnly(path).info().gaps.map(\.sequences)
        #expect(gaps == (isHeaderDamaged ? [] : [ClosedRange(lost)]))
    }

    @Test("Segments that the log's first one does not go on from are strays")
    func notInTheChain() throws {
        let last = try #require(files.last)
        var parts = try SegmentParts(last)
        parts.header.predecessor = .zero
        try parts.write(to: last)
        let report = try EventStore.openReadOnly(path).verify()
        #expect(report.strays.map(\.file) == files.dropLast())
        #expect(report.strays.allSatisfy { $0.reason.contains("not in the chain of the log") })
    }

    @Test("Verification says what went with a file that is gone")
    func gone() throws {
        let store = try EventStore.openReadOnly(path)
        let events = try SegmentParts(files[1]).blocks.map(\.header).filter { $0.type == .events }
        let range = try #require(events.first).firstSequence...(try #require(events.last).nextSequence - 1)
        try FileManager.default.removeItem(atPath: files[1])
        let damage = try store.verify().damage.filter { $0.file == files[1] }
        #expect(damage.contains { $0.reason == "the file is gone" && $0.sequences == range })
    }

    @Test(
        "Verification names a small file that is not as it should be",
        arguments: [
            ("STATE", 100, "its length is 100"), ("STATE", 80 << 20, "too large"), ("LOCK", 1, "not empty"),
        ]
            as [(String, UInt64, String)])
    func smallFiles(name: String, byteCount: UInt64, reason: String) throws {
        let handle = try FileHandle(forWritingTo: URL(filePath: path + "/" + name))
        try handle.truncate(atOffset: byteCount)
        try handle.close()
        let damage = try EventStore.openReadOnly(path).verify().damage
        #expect(damage.map(\.file) == [path + "/" + name] && damage[0].reason.contains(reason))
    }
}
