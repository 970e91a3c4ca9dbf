import Foundation
import Testing
import Varve
import VarveFormat
import VarveIO
import VarveTestKit

/// Files that are no whole segments, or that the system does not let anybody read.
@Suite("Repair of a store with files that can't be used")
struct RepairFileTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }
    private var new: String { directory.path("new") }
    /// The segments of a closed store with 200 events of 256 bytes, and the numbers in each.
    private let files: [String]
    private let numbers: [ClosedRange<UInt64>]

    init() throws {
        directory = try TemporaryDirectory()
        var options = smallBlocks(on: ControlledFileSystem())
        options.segmentBytes = 16 << 10
        let store = try EventStore.open(directory.path("store"), options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s", at: 1)
        for number in 0..<200 as Range<UInt64> {
            try session.append(noise(number, 256), kind: kind, at: Int64(number))
        }
        try session.end(at: 300)
        try store.close()
        files = try segments(of: directory.path("store"))
        try #require(files.count >= 4)
        numbers = try files.map { file in
            let events = try SegmentParts(file).blocks.map(\.header).filter { $0.type == .events }
            return try #require(events.first).firstSequence...(try #require(events.last).nextSequence - 1)
        }
    }

    private func name(_ file: String) -> String { String(file.dropFirst(path.count + 1)) }

    private func repair(salvage: Bool, _ fileSystem: any FileSystem = POSIXFileSystem()) throws -> (
        report: RepairReport, numbers: [UInt64]
    ) {
        var options = StoreOptions()
        options.fileSystem = fileSystem
        let report = try EventStore.repair(path, into: new, salvage: salvage, options: options)
        let store = try EventStore.openReadOnly(new)
        #expect(try store.verify().damage == [])
        return (report, try store.collect().map(\.sequence))
    }

    private func entry(_ report: RepairReport, _ name: String) throws -> RepairReport.File {
        try #require(report.files.first { $0.name == name })
    }

    @Test(
        "A file in which no block can be read is named, and nothing is taken from it",
        arguments: [false, true])
    func garbage(salvage: Bool) throws {
        try Data(noise(1, 10_000)).write(to: URL(filePath: path + "/x.seg"))
        let (report, found) = try repair(salvage: salvage)
        #expect(found == Array(0..<200) && report.gaps == [])
        #expect(report.damage.map(\.file) == [path + "/x.seg"])
        let file = try entry(report, "x.seg")
        #expect(file.use == .leftOut && file.note != "")
        #expect(!salvage || file.note == "no block of a segment can be read in it")
    }

    @Test("A segment of which only the summary can be read is left to salvage")
    func summaryOnly() throws {
        try change(files[1]) {
            $0[60] ^= 1
            $0[footerOffset($0) + 40] ^= 1
        }
        let (plain, kept) = try repair(salvage: false)
        #expect(kept == (0..<200).filter { !numbers[1].contains($0) })
        #expect(plain.damage.contains { $0.file == files[1] && $0.sequences == numbers[1] })
        #expect(try entry(plain, name(files[1])).note.contains("left to salvage"))
        try FileManager.default.removeItem(atPath: new)
        let (salvaged, all) = try repair(salvage: true)
        #expect(all == Array(0..<200) && salvaged.salvagedEvents == UInt64(numbers[1].count))
    }

    @Test("A header of another segment than the footer's counts as damaged", arguments: [false, true])
    func foreignHeader(salvage: Bool) throws {
        var header = try SegmentParts(files[1]).header
        header.segment = UniqueID(low: 1, high: 2)
        let forged = header.encode()
        try change(files[1]) { $0.replaceSubrange(..<forged.count, with: forged) }
        let (report, found) = try repair(salvage: salvage)
        #expect(found == Array(0..<200) && report.gaps == [])
        #expect(report.damage.map(\.file) == [files[1]] && report.damage[0].reason.contains("header"))
    }

    @Test("A file that the system refuses to open ends a repair, and is named by salvage")
    func refused() throws {
        try FileManager.default.copyItem(atPath: files[1], toPath: path + "/copy.seg")
        let faulty = FaultInjectingFileSystem()
        faulty.inject(.init(.open, onPathsEndingIn: "/copy.seg", code: 13, isForGood: true))
        #expect {
            try repair(salvage: false, faulty)
        } throws: {
            if case .cannotRead(path + "/copy.seg", _)? = $0 as? StoreError { true } else { false }
        }
        let (report, found) = try repair(salvage: true, faulty)
        #expect(found == Array(0..<200))
        #expect(report.damage.map(\.file) == [path + "/copy.seg"])
        #expect(try entry(report, "copy.seg").use == .leftOut && entry(report, "copy.seg").note != "")
    }

    @Test("Whichever opening of a segment fails, there is no new store", arguments: 0..<3)
    func openingFails(successes: Int) throws {
        let faulty = FaultInjectingFileSystem()
        faulty.inject(
            .init(.open, onPathsEndingIn: name(files[1]), after: successes, code: 5, isForGood: true))
        #expect {
            try repair(salvage: false, faulty)
        } throws: {
            if case .cannotRead(files[1], _)? = $0 as? StoreError { true } else { false }
        }
        #expect(!FileManager.default.fileExists(atPath: new))
    }

    @Test("A damaged file that can't be looked at a second time is not taken for an empty one")
    func secondLook() throws {
        try Data(noise(1, 10_000)).write(to: URL(filePath: path + "/x.seg"))
        let faulty = FaultInjectingFileSystem()
        faulty.inject(.init(.open, onPathsEndingIn: "/x.seg", after: 1, code: 5))
        var options = StoreOptions()
        options.fileSystem = faulty
        #expect {
            try EventStore.openReadOnly(path, options: options)
        } throws: {
            if case .cannotRead(path + "/x.seg", _)? = $0 as? StoreError { true } else { false }
        }
    }

    @Test("A TAIL that can't be read ends a repair; salvage does without it, and says so")
    func tail() throws {
        try Data(count: 9000).write(to: URL(filePath: path + "/TAIL"))
        let faulty = FaultInjectingFileSystem()
        faulty.inject(.init(.read, onPathsEndingIn: "/TAIL", code: 5, isForGood: true))
        #expect {
            try repair(salvage: false, faulty)
        } throws: {
            if case .cannotRead(path + "/TAIL", _)? = $0 as? StoreError { true } else { false }
        }
        let (report, found) = try repair(salvage: true, faulty)
        #expect(found == Array(0..<200) && report.unconfirmedBytes == 9000 && !report.isIntact)
        #expect(try entry(report, "TAIL").note == "9000 bytes of it can't be read")
    }

    @Test("What a repair that was cut off has left is not written over")
    func cutOff() throws {
        try FileManager.default.createDirectory(atPath: new + ".tmp", withIntermediateDirectories: false)
        try Data("half".utf8).write(to: URL(filePath: new + ".tmp/half"))
        #expect {
            try repair(salvage: false)
        } throws: {
            "\($0)".contains("\(new).tmp is left of a repair that was cut off")
        }
        #expect(try contents(of: new + ".tmp") == ["half": Data("half".utf8)])
    }

    @Test("Segments behind the end of the log are left to salvage, and called strays by verification")
    func behindTheEnd() throws {
        // As if nothing of them had been sealed, nor was known to be durable.
        try FileManager.default.removeItem(atPath: path + "/STATE")
        for file in files {
            var parts = try SegmentParts(file)
            for block in parts.blocks.indices { parts.blocks[block].header.durableSegment = 0 }
            try parts.write(to: file)
        }
        let block = try #require(
            try SegmentParts(files[1]).blocks.last { $0.header.type == .events })
        try change(files[1]) { $0[block.offset + 40] ^= 1 }
        let strays = try EventStore.openReadOnly(path).verify().strays
        #expect(strays.map(\.file) == Array(files[2...]))
        #expect(strays.allSatisfy { $0.reason.contains("beyond the end of the log") })
        let (plain, kept) = try repair(salvage: false)
        #expect(kept == Array(0..<block.header.firstSequence))
        for number in 2..<files.count {
            let note = try entry(plain, name(files[number])).note
            #expect(note == "\(numbers[number].count) events lie beyond the log: they are left to salvage")
        }
        try FileManager.default.removeItem(atPath: new)
        let (_, all) = try repair(salvage: true)
        #expect(all == (0..<200).filter { !block.numbers.contains($0) })
    }
}
