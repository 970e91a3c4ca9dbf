import Dispatch
import Foundation
import Testing
import VarveFormat
import VarveIO
import VarveTestKit

@testable import Varve

/// What recovery can't take over stays as it is, and is said.
@Suite("Recovery of files that somebody has changed")
struct RecoveryRefusalTests {
    private let directory: TemporaryDirectory
    private let live: String
    private let path: String
    private let system = ControlledFileSystem()

    init() throws {
        directory = try TemporaryDirectory()
        live = directory.path("live")
        path = directory.path("store")
    }

    private func options() -> StoreOptions {
        var options = smallBlocks(on: system)
        options.durability = .none
        return options
    }

    /// A copy of the files of an open store with 64 events, all written: without `TAIL` what a power cut leaves, with it what a kill
    /// leaves. Blocks of 16 events; flushes after the events given.
    private func crash(
        flushAt: Set<UInt64> = [], keepsTail: Bool = false, unwritten: UInt64 = 0
    ) throws {
        let store = try EventStore.open(live, options: options())
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s", at: 1)
        for number in 0..<64 as Range<UInt64> {
            try session.append(noise(number, 256), kind: kind, at: Int64(number))
            if flushAt.contains(number) { try store.flush() }
        }
        // Returns once it is written, and what comes before it.
        try session.checkpoint("cp", state: [], at: 64)
        system.closeGate()
        for number in 0..<unwritten { try session.append(noise(64 + number, 256), kind: kind, at: 64) }
        try FileManager.default.copyItem(atPath: live, toPath: path)
        system.openGate()
        try store.close()
        if !keepsTail { try FileManager.default.removeItem(atPath: path + "/TAIL") }
    }

    private func numbers() throws -> [UInt64] { try EventStore.openReadOnly(path).collect().map(\.sequence) }

    // MARK: Verification

    @Test("Verification names the numbers of a block that can't be read before the watermark")
    func holes() throws {
        // The second flush's block says that the first one's were durable.
        try crash(flushAt: [31, 47])
        let file = try segments(of: path)[0]
        let block = try #require(try SegmentParts(file).blocks.first { $0.numbers.contains(20) })
        try change(file) { $0[block.offset + 40] ^= 1 }
        let report = try EventStore.openReadOnly(path).verify()
        #expect(report.damage.map(\.sequences) == [ClosedRange(block.numbers)])
        #expect(report.damage.map(\.offset) == [UInt64(block.offset)] && report.damage.map(\.file) == [file])
        #expect(report.gaps.map(\.sequences) == [ClosedRange(block.numbers)])
        #expect(report.events == 48)
    }

    // MARK: Leaving aside

    @Test("What was set aside before stays as it is where the same name is needed again")
    func nameTaken() throws {
        try crash()
        let file = try segments(of: path)[0]
        let block = try #require(try SegmentParts(file).blocks.first { $0.numbers.contains(20) })
        try change(file) { $0[block.offset + 40] ^= 1 }
        let damaged = try Data(contentsOf: URL(filePath: file))
        let taken = Data("somebody's".utf8)
        try taken.write(to: URL(filePath: file + ".cut"))
        for round in 0..<2 {
            let store = try EventStore.open(path, options: options())
            try store.close()
            #expect(try Data(contentsOf: URL(filePath: file + ".cut")) == taken, "opening \(round)")
            // It holds what nobody else does.
            #expect(try Data(contentsOf: URL(filePath: file + ".1.cut")) == damaged, "opening \(round)")
        }
        #expect(try numbers() == Array(0..<16))
    }

    // MARK: TAIL

    @Test(
        "A TAIL of another length than it says is not believed, and that is said", arguments: [-4096, -1, 1])
    func tailLength(difference: Int) throws {
        try crash(keepsTail: true, unwritten: 3)
        #expect(try numbers() == Array(0..<67))
        var size = 0
        try change(path + "/TAIL") { data in
            data = difference < 0 ? data.dropLast(-difference) : data + Data(count: difference)
            size = data.count
        }
        var cursor = try EventStore.openReadOnly(path).cursor()
        var found: [UInt64] = []
        while let event = try cursor.nextEvent() { found.append(event.sequence) }
        #expect(found == Array(0..<64) && !cursor.coverage.isComplete)
        let store = try EventStore.open(path, options: options())
        #expect(store.recovery?.unreadableBytes == UInt64(size))
        try store.close()
        #expect(try numbers() == Array(0..<64))
    }

    // MARK: Counters and dictionaries

    /// Counters of a segment's header that can't be followed by others.
    static let counters: [(name: String, change: @Sendable (inout SegmentHeader) -> Void)] = [
        ("sessions", { $0.sessionsBegun = .max >> 2 }), ("checkpoints", { $0.checkpointsMade = .max >> 2 }),
        ("numbers", { $0.baseSequence = .max >> 2 }),
    ]

    @Test("A segment whose counters can't go on is left as it is", arguments: counters.indices)
    func countersOutOfRange(_ number: Int) throws {
        try crash(flushAt: [31, 47])
        let file = try segments(of: path)[0]
        var parts = try SegmentParts(file)
        Self.counters[number].change(&parts.header)
        try parts.write(to: file)
        let before = try contents(of: path)
        #expect {
            try EventStore.open(path, options: options())
        } throws: {
            guard case .damaged(_, _, let reason)? = $0 as? StoreError else { return false }
            return reason.contains("out of range")
        }
        #expect(
            try contents(of: path).filter { $0.key.hasSuffix(".seg") }
                == before.filter { $0.key.hasSuffix(".seg") })
    }

    // Blocks of both are copied into one segment, which has one dictionary.
    @Test("Segments with different dictionaries are left as they are", arguments: [false, true])
    func dictionaries(isForged: Bool) throws {
        var options = options()
        options.usesDictionary = true
        options.blockBytes = 16 << 10
        options.segmentBlocksMax = 10
        let text: (Int) -> [UInt8] = { Array("{\"order\":\($0),\"state\":\"placed\"}".utf8) }
        let store = try EventStore.open(live, options: options)
        let kind = try store.kind("order", .json)
        let session = try store.startSession("s", at: 1)
        for number in 0..<7000 { try session.append(text(number), kind: kind, at: 1) }
        try session.checkpoint("cp", state: [], at: 2)
        try FileManager.default.copyItem(atPath: live, toPath: path)
        try store.close()
        try FileManager.default.removeItem(atPath: path + "/TAIL")
        // As if nothing of them had been sealed, nor was known to be durable.
        let files = try segments(of: path)
        try #require(files.count >= 2)
        for (number, file) in files.enumerated() {
            var parts = try SegmentParts(file)
            for block in parts.blocks.indices { parts.blocks[block].header.durableSegment = 0 }
            let dictionary = try #require(parts.blocks.firstIndex { $0.header.type == .dictionary })
            if isForged, number == 1 {
                let header = parts.blocks[dictionary].header
                for copy in 0..<2 {
                    parts.blocks[dictionary].body[
                        Int(header.smallLength) + copy * Int(header.rawBytes) / 2 + 9] ^= 1
                }
            }
            try parts.write(to: file)
        }
        let before = try contents(of: path)
        guard isForged else {
            try EventStore.open(path, options: options).close()
            let reader = try EventStore.openReadOnly(path)
            #expect(try reader.collect().map(\.payload) == (0..<7000).map(text))
            return
        }
        #expect {
            try EventStore.open(path, options: options)
        } throws: {
            guard case .damaged(let file, _, let reason)? = $0 as? StoreError else { return false }
            return file == files[1] && reason == "its dictionary is not that of the segment before it"
        }
        for file in files {
            let name = try #require(file.split(separator: "/").last.map(String.init))
            #expect(try Data(contentsOf: URL(filePath: file)) == before[name])
        }
    }

    // MARK: Refusals of the system, and of what is to be written

    @Test("A file that can't be set aside ends the opening, and the next one loses nothing")
    func renameFails() throws {
        try crash()
        let file = try segments(of: path)[0]
        let block = try #require(try SegmentParts(file).blocks.first { $0.numbers.contains(20) })
        try change(file) { $0[block.offset + 40] ^= 1 }
        let damaged = try Data(contentsOf: URL(filePath: file))
        let faulty = FaultInjectingFileSystem()
        faulty.inject(.init(.rename, onPathsEndingIn: ".seg", code: 5))
        #expect {
            try EventStore.open(path, options: smallBlocks(on: faulty))
        } throws: {
            if case .cannotWrite? = $0 as? StoreError { true } else { false }
        }
        #expect(try Data(contentsOf: URL(filePath: file)) == damaged && numbers() == Array(0..<16))
        try EventStore.open(path, options: options()).close()
        #expect(try Data(contentsOf: URL(filePath: file + ".cut")) == damaged)
        #expect(try numbers() == Array(0..<16))
    }

    @Test("A segment that is cut while it is copied ends the opening, and nothing is removed")
    func cutMeanwhile() throws {
        try crash()
        let file = try segments(of: path)[0]
        let block = try #require(try SegmentParts(file).blocks.first { $0.numbers.contains(40) })
        var options = options()
        options.fileSystem = ShrinkingFileSystem(file, to: UInt64(block.offset + 100))
        #expect(throws: StoreError.self) { try EventStore.open(path, options: options) }
        #expect(try segments(of: path) == [file])
        #expect(try numbers() == Array(0..<32))
    }

    @Test(
        "More blocks than a segment may have are not copied into one: segments are sealed as they are",
        arguments: [false, true])
    func tooManyBlocks(isDamaged: Bool) throws {
        try crash(flushAt: [31, 47])
        let first = try segments(of: path)[0]
        var parts = try SegmentParts(first)
        var filling = try #require(parts.blocks.first { $0.header.type == .sessionBegin })
        let next = try #require(parts.blocks.last).header.nextSequence
        filling.header.type = .ledger
        filling.header.firstSequence = next
        let fill: (inout SegmentParts, Int) -> Void = { parts, count in
            for _ in 0..<count {
                filling.header.number = UInt32(parts.blocks.count)
                parts.blocks.append(filling)
                parts.replace(parts.blocks.count - 1) { $0.put([LedgerRecord]()) }
            }
        }
        fill(&parts, 8200)
        try parts.write(to: first)
        if isDamaged {
            let block = try #require(parts.blocks.first { $0.numbers.contains(20) })
            try change(first) { $0[block.offset + 40] ^= 1 }
        }
        var second = parts
        second.header.predecessor = parts.header.segment
        second.header.predecessorLength = UInt64(parts.encode().count)
        second.header.segment = UniqueID(low: 1, high: 2)
        second.header.ordinal += 1
        second.header.baseSequence = next
        second.header.kinds = [KindDefinition(name: "noise", encoding: .binary)]
        second.header.session = SessionBegin(
            ordinal: 1, flags: [.continued], id: "s", start: 1, firstIndex: next)
        second.blocks = []
        fill(&second, 8200)
        for block in second.blocks.indices { second.blocks[block].header.kindCount = 1 }
        try second.write(to: "\(path)/\(second.header.fileName)")
        let before = try contents(of: path).filter { $0.key.hasSuffix(".seg") }
        let readable = Array(0..<64).filter { !isDamaged || !(16..<32).contains($0) } as [UInt64]
        #expect(try numbers() == readable)
        guard !isDamaged else {
            // One with a hole in it can't get a footer.
            #expect(throws: StoreError.self) { try EventStore.open(path, options: options()) }
            #expect(try contents(of: path).filter { $0.key.hasSuffix(".seg") } == before)
            #expect(try numbers() == readable)
            return
        }
        let store = try EventStore.open(path, options: options())
        #expect(store.recovery?.unsealedSegments == 2)
        try store.close()
        #expect(try segments(of: path).count == 2)
        #expect(try numbers() == readable)
        #expect(try EventStore.openReadOnly(path).verify().damage.isEmpty)
    }

    @Test("A session whose number nothing can follow is left as it is")
    func sessionOutOfRange() throws {
        try crash()
        let file = try segments(of: path)[0]
        var parts = try SegmentParts(file)
        let number = try #require(parts.blocks.firstIndex { $0.header.type == .sessionBegin })
        parts.replace(number) { SessionBegin(ordinal: .max >> 1, id: "s", start: 1).encode(to: &$0) }
        try parts.write(to: file)
        let before = try Data(contentsOf: URL(filePath: file))
        #expect {
            try EventStore.open(path, options: options())
        } throws: {
            guard case .damaged(_, _, let reason)? = $0 as? StoreError else { return false }
            return reason == "its session's number is out of range"
        }
        #expect(try Data(contentsOf: URL(filePath: file)) == before)
    }

    @Test("Nor are events copied of a session whose number nothing can follow")
    func blockOutOfRange() throws {
        try crash()
        let file = try segments(of: path)[0]
        var parts = try SegmentParts(file)
        let number = try #require(parts.blocks.lastIndex { $0.header.type == .events })
        parts.blocks[number].header.sessionOrdinal = .max >> 2
        try parts.write(to: file)
        let before = try Data(contentsOf: URL(filePath: file))
        #expect {
            try EventStore.open(path, options: options())
        } throws: {
            guard case .damaged(path, _, let reason)? = $0 as? StoreError else { return false }
            return reason == "a segment's counters are out of range"
        }
        #expect(try segments(of: path) == [file] && Data(contentsOf: URL(filePath: file)) == before)
    }

    // A reader took the place for the end of the log, and showed nothing of the segments behind it; recovery took them over.
    @Test(
        "What follows a segment that is shorter than it was durable is shown by a reader, as recovery does",
        arguments: [true, false])
    func behindACutSegment(isTold: Bool) throws {
        try crash()
        let first = try segments(of: path)[0]
        var parts = try SegmentParts(first)
        var second = parts
        let split = try #require(parts.blocks.firstIndex { $0.numbers.contains(40) })
        second.blocks.removeFirst(split)
        parts.blocks.removeLast(parts.blocks.count - split)
        second.header.predecessor = parts.header.segment
        second.header.predecessorLength = UInt64(parts.encode().count)
        second.header.segment = UniqueID(low: 1, high: 2)
        second.header.ordinal += 1
        second.header.baseSequence = second.blocks[0].header.firstSequence
        second.header.kinds = [KindDefinition(name: "noise", encoding: .binary)]
        second.header.session = SessionBegin(
            ordinal: 1, flags: [.continued], id: "s", start: 1, firstIndex: second.header.baseSequence)
        for block in second.blocks.indices {
            second.blocks[block].header.number = UInt32(block)
            second.blocks[block].header.durableSegment = 1
            second.blocks[block].header.durableOffset = second.header.predecessorLength
        }
        // Where the header of the next one does not tell that numbers are missing, its blocks do.
        let last = parts.blocks.removeLast()
        if !isTold {
            second.header.baseSequence = last.header.firstSequence
        }
        try parts.write(to: first)
        try second.write(to: "\(path)/\(second.header.fileName)")
        let expected = (0..<64 as Range<UInt64>).filter { !last.numbers.contains($0) }
        let reader = try EventStore.openReadOnly(path)
        #expect(try reader.collect().map(\.sequence) == expected)
        #expect(try reader.info().gaps.map(\.sequences).first == ClosedRange(last.numbers))
        try EventStore.open(path, options: options()).close()
        #expect(try numbers() == expected)
        #expect(try EventStore.openReadOnly(path).info().gaps.map(\.sequences) == [ClosedRange(last.numbers)])
    }

    /// Headers that can't be written anew as they are.
    static let headers: [(name: String, change: @Sendable (SegmentHeader) -> [UInt8])] = [
        (
            "the last generation",
            {
                var header = $0
                header.generation = .max
                return header.encode()
            }
        ),
        ("a section that this version does not know", { $0.encode(addingSection: 900) }),
    ]

    @Test("A segment that can't be sealed anew without a loss stays as it is", arguments: headers.indices)
    func notSealedAnew(_ number: Int) throws {
        try crash(flushAt: [31, 47])
        let file = try segments(of: path)[0]
        let parts = try SegmentParts(file)
        let header = Self.headers[number].change(parts.header)
        let moved = header.count - parts.header.encode().count
        var forged = parts
        // Places in the segment have moved with its header.
        for block in forged.blocks.indices where forged.blocks[block].header.durableOffset > 0 {
            forged.blocks[block].header.durableOffset += UInt64(moved)
        }
        let blocks = forged.encode().dropFirst(parts.header.encode().count)
        try Data(header + blocks).write(to: URL(filePath: file))
        let before = try Data(contentsOf: URL(filePath: file))
        // What a writer's background thread does, sooner or later.
        let found = try StoreDirectory(path: path, fileSystem: options().fileSystem)
        for case .open(let segment) in found.readableEntries(RecoveryPlan(found.findings)) {
            #expect(throws: IOFailure.self) {
                try RecoveryWorker.reseal(segment, directory: path, fileSystem: options().fileSystem)
            }
        }
        #expect(try segments(of: path) == [file] && Data(contentsOf: URL(filePath: file)) == before)
        for opening in 0..<2 {
            let store = try EventStore.open(path, options: options())
            #expect(try store.count() == 64, "opening \(opening)")
            try store.close()
            #expect(try Data(contentsOf: URL(filePath: file)) == before, "opening \(opening)")
        }
        #expect(try numbers() == Array(0..<64) && EventStore.openReadOnly(path).verify().damage == [])
    }

    @Test("A damaged footer is not written anew over damaged blocks")
    func footerBesideDamage() throws {
        let store = try EventStore.open(path, options: options())
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s", at: 1)
        for number in 0..<64 as Range<UInt64> { try session.append(noise(number, 256), kind: kind, at: 2) }
        try session.end(at: 3)
        try store.close()
        try FileManager.default.removeItem(atPath: path + "/STATE")
        let file = try segments(of: path)[0]
        let block = try #require(try SegmentParts(file).blocks.first { $0.numbers.contains(20) })
        try change(file) {
            $0[block.offset + 40] ^= 1
            $0[footerOffset($0) + 40] ^= 1
        }
        let before = try Data(contentsOf: URL(filePath: file))
        // What the log's last segment says of sessions and kinds stands in its footer: without that no writer goes on.
        #expect {
            try EventStore.open(path, options: options())
        } throws: {
            if case .damaged(file, _, _)? = $0 as? StoreError { true } else { false }
        }
        #expect(try segments(of: path) == [file] && Data(contentsOf: URL(filePath: file)) == before)
        let new = directory.path("new")
        _ = try EventStore.repair(path, into: new)
        let reader = try EventStore.openReadOnly(new)
        #expect(try reader.collect().map(\.sequence) == (0..<64).filter { !block.numbers.contains($0) })
        #expect(try reader.info().gaps.map(\.sequences) == [ClosedRange(block.numbers)])
    }
}

/// The system's files; once a segment is begun under a temporary name, another file is cut.
private final class ShrinkingFileSystem: ForwardingFileSystem, @unchecked Sendable {
    let base: any FileSystem = POSIXFileSystem()
    private let path: String
    private let length: UInt64

    init(_ path: String, to length: UInt64) {
        self.path = path
        self.length = length
    }

    func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        if path.hasSuffix(".seg.tmp") { try base.open(self.path, .readWrite).truncate(to: length) }
        return try base.open(path, mode)
    }
}

extension SegmentHeader {
    /// The header with one more section.
    fileprivate func encode(addingSection type: UInt32) -> [UInt8] {
        var writer = ByteWriter()
        writer.putRaw(encode())
        let before = writer.bytes.withUnsafeBytes {
            $0.loadUnaligned(fromByteOffset: 144, as: UInt32.self).littleEndian
        }
        writer.putSection(type, owner: segment) { $0.putString("later") }
        var bytes = writer.bytes
        let count = UInt32(bytes.count)
        bytes.withUnsafeMutableBytes { bytes in
            bytes.storeBytes(of: count.littleEndian, toByteOffset: 12, as: UInt32.self)
            bytes.storeBytes(of: (before + 1).littleEndian, toByteOffset: 144, as: UInt32.self)
            let checksum = Checksum.crc(UnsafeRawBufferPointer(rebasing: bytes[..<148]))
            bytes.storeBytes(of: checksum.littleEndian, toByteOffset: 148, as: UInt32.self)
        }
        return bytes
    }
}
