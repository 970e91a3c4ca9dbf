import Foundation
import Testing
import Varve
import VarveFormat
import VarveTestKit

/// Segment files with neither header nor footer: only their blocks tell what they are, and those do not name their store.
@Suite("Salvage of a segment that says nothing of itself")
struct SalvagePlacingTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }
    private var new: String { directory.path("new") }
    /// The segments of a closed store with 300 events of 256 bytes, and the numbers in each.
    private let files: [String]
    private let numbers: [ClosedRange<UInt64>]

    init() throws {
        directory = try TemporaryDirectory()
        let path = directory.path("store")
        try Self.record(path, on: ControlledFileSystem())
        files = try segments(of: path)
        try #require(files.count >= 5)
        numbers = try files.map { file in
            let events = try SegmentParts(file).blocks.map(\.header).filter { $0.type == .events }
            return try #require(events.first).firstSequence...(try #require(events.last).nextSequence - 1)
        }
    }

    private static func record(_ path: String, on system: ControlledFileSystem) throws {
        var options = smallBlocks(on: system)
        options.segmentBytes = 16 << 10
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s", at: 1)
        for number: UInt64 in 0..<300 {
            try session.append(noise(number, 256), kind: kind, at: Int64(number))
        }
        try session.end(at: 400)
        try store.close()
    }

    /// Takes a segment's footer away, and damages its UUID in the header.
    private func strip(_ file: String) throws {
        try removeFooter(file)
        try change(file) { $0[60] ^= 0x10 }
    }

    private func salvage() throws -> (report: RepairReport, numbers: [UInt64]) {
        let report = try EventStore.repair(path, into: new, salvage: true)
        let store = try EventStore.openReadOnly(new)
        #expect(try store.verify().damage == [])
        let events = try store.collect()
        for event in events { #expect(event.payload == noise(event.sequence, 256)) }
        return (report, events.map(\.sequence))
    }

    private func entry(_ report: RepairReport, _ file: String) throws -> RepairReport.File {
        try #require(report.files.first { file.hasSuffix("/" + $0.name) })
    }

    @Test("Takes what nothing names and nothing contradicts")
    func unnamed() throws {
        try strip(files[2])
        // Its successor would name it.
        try FileManager.default.removeItem(atPath: files[3])
        let (report, found) = try salvage()
        #expect(found == (0..<300).filter { !numbers[3].contains($0) })
        let file = try entry(report, files[2])
        #expect(file.use == .salvaged && file.events == UInt64(numbers[2].count))
        #expect(file.note == "its header can't be read")
    }

    @Test("Takes it also beside a segment of the log in which no block can be read")
    func besideAnEmptyOne() throws {
        try strip(files[2])
        try FileManager.default.removeItem(atPath: files[3])
        for block in try SegmentParts(files[1]).blocks { try change(files[1]) { $0[block.offset + 40] ^= 1 } }
        let (report, found) = try salvage()
        #expect(found == (0..<300).filter { !numbers[3].contains($0) && !numbers[1].contains($0) })
        #expect(try entry(report, files[1]).use == .log && entry(report, files[1]).events == 0)
    }

    /// Names that put the file elsewhere than its numbers do: before all others, after all others, at another's place; and one that says
    /// nothing.
    @Test(
        "Leaves out what stands elsewhere than its numbers",
        arguments: [0, 1, 2, 900].map {
            SegmentName(baseSequence: 0, ordinal: $0, generation: 7).fileName
        } + ["evidence.seg"])
    func contradicting(name: String) throws {
        try strip(files[2])
        try FileManager.default.removeItem(atPath: files[3])
        try FileManager.default.moveItem(atPath: files[2], toPath: path + "/" + name)
        let (report, found) = try salvage()
        #expect(found == (0..<300).filter { !numbers[3].contains($0) && !numbers[2].contains($0) })
        let file = try entry(report, "/" + name)
        #expect(file.use == .leftOut && file.events == 0 && file.note.contains("don't fit this store's"))
    }

    @Test("Takes it under any name where a segment of the log names it")
    func named() throws {
        try strip(files[2])
        try FileManager.default.moveItem(atPath: files[2], toPath: path + "/evidence.seg")
        let (report, found) = try salvage()
        #expect(found == Array(0..<300))
        #expect(try entry(report, "/evidence.seg").use == .salvaged)
    }

    @Test("Says which numbers are lost where its blocks can be told and not read")
    func headersOnly() throws {
        let blocks = try SegmentParts(files[2]).blocks
        try strip(files[2])
        try FileManager.default.removeItem(atPath: files[3])
        for block in blocks { try change(files[2]) { $0[block.offset + BlockHeader.byteCount] ^= 1 } }
        let (report, found) = try salvage()
        let missing = numbers[2].lowerBound...numbers[3].upperBound
        #expect(found == (0..<300).filter { !missing.contains($0) })
        #expect(try entry(report, files[2]).use == .leftOut)
        #expect(report.gaps.map(\.sequences) == [missing] && report.gaps[0].reason == .damage)
        let lost = report.damage.filter { $0.file == files[2] }.compactMap(\.sequences)
        #expect(
            lost.map(\.lowerBound) == blocks.filter { $0.header.type == .events }.map(\.header.firstSequence))
    }
}
