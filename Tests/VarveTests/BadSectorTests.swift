import Testing
import Varve
import VarveFormat
import VarveIO
import VarveTestKit

/// Sectors that the disk can't deliver: repair reads what lies around them, part by part.
@Suite("Repair of a store with a sector that can't be read")
struct BadSectorTests {
    private static let path = "/data/store"
    private let disk = SimulatedFileSystem(seed: 1)

    init() throws { try disk.makeDirectory("/data") }

    private func options(usesDictionary: Bool = false) -> StoreOptions {
        var options = smallBlocks(on: disk)
        if usesDictionary {
            options.usesDictionary = true
            options.blockBytes = 16 << 10
        }
        return options
    }

    private func payload(_ number: UInt64, _ usesDictionary: Bool) -> [UInt8] {
        usesDictionary
            ? Array("{\"order\":\(number),\"state\":\"placed\",\"customer\":\"c\(number % 7)\"}".utf8)
            : noise(number, 256)
    }

    /// One sealed segment with events, and a checkpoint in the middle of them. Returns its blocks.
    private func record(_ count: UInt64 = 96, usesDictionary: Bool = false) throws -> [SegmentParts.Block] {
        let store = try EventStore.open(Self.path, options: options(usesDictionary: usesDictionary))
        let session = try store.startSession("s", at: 1)
        let kind = try store.kind("noise", .binary)
        for number in 0..<count {
            try session.append(payload(number, usesDictionary), kind: kind, at: Int64(number))
            if number == 63 { try session.checkpoint("cp", state: noise(1000, 2000), at: 1000) }
        }
        try session.end(at: 1000)
        try store.close()
        return try SegmentParts(try bytes()).blocks
    }

    private func segment() throws -> String {
        let names = try disk.list(Self.path).map(\.name).filter { $0.hasSuffix(".seg") }
        try #require(names.count == 1)
        return "\(Self.path)/\(names[0])"
    }

    private func bytes() throws -> [UInt8] {
        let file = try disk.open(try segment(), .read)
        return try file.read(at: 0, count: Int(try file.size()))
    }

    private func makeUnreadable(_ start: Int, _ count: Int = 8) throws {
        try disk.makeUnreadable(UInt64(start)..<UInt64(start + count), of: try segment())
    }

    /// The report, and the numbers that are kept.
    private func repair(
        salvage: Bool, usesDictionary: Bool = false
    ) throws -> (report: RepairReport, numbers: [UInt64]) {
        let report = try EventStore.repair(Self.path, into: "/data/new", salvage: salvage, options: options())
        let store = try EventStore.openReadOnly("/data/new", options: options())
        #expect(try store.verify().damage == [] && !report.isIntact)
        let events = try store.collect()
        for event in events { #expect(event.payload == payload(event.sequence, usesDictionary)) }
        return (report, events.map(\.sequence))
    }

    /// The block with an event, and where its payload stands in the file.
    private func place(of event: UInt64, _ blocks: [SegmentParts.Block]) throws -> (
        block: SegmentParts.Block, offset: Int
    ) {
        let block = try #require(blocks.first { $0.numbers.contains(event) && $0.header.type == .events })
        let wanted = noise(event, 256)
        let start = try #require(
            block.body.indices.first { block.body[$0...].starts(with: wanted) })
        return (block, block.offset + BlockHeader.byteCount + start)
    }

    @Test("A sector in a payload loses its sub-block", arguments: [false, true])
    func payload(salvage: Bool) throws {
        let (block, offset) = try place(of: 21, try record())
        try makeUnreadable(offset + 100)
        let first = block.header.firstSequence + (21 - block.header.firstSequence) / 4 * 4
        let (report, numbers) = try repair(salvage: salvage)
        #expect(numbers == (0..<96).filter { !(first...first + 3).contains($0) })
        #expect(report.gaps.map(\.sequences) == [first...first + 3] && report.gaps[0].reason == .damage)
        #expect(report.damage.map(\.sequences) == [first...first + 3])
    }

    @Test("A sector in the columns or in the header of a block loses the block", arguments: [10, 180])
    func block(distance: Int) throws {
        let (block, _) = try place(of: 40, try record())
        try makeUnreadable(block.offset + distance)
        let (report, numbers) = try repair(salvage: false)
        #expect(numbers == (0..<96).filter { !block.numbers.contains($0) })
        #expect(report.gaps.map(\.sequences) == [ClosedRange(block.numbers)])
        #expect(report.damage.map(\.offset) == [UInt64(block.offset)])
    }

    @Test("A sector in a checkpoint's state loses that checkpoint and no event")
    func state() throws {
        let blocks = try record()
        let block = try #require(blocks.first { $0.header.type == .checkpoint })
        try makeUnreadable(block.offset + BlockHeader.byteCount + Int(block.header.smallLength) + 100)
        let (report, numbers) = try repair(salvage: false)
        #expect(numbers == Array(0..<96) && report.gaps == [])
        #expect(report.checkpoints == 0 && report.lostCheckpoints == 1)
        #expect(report.damage.map(\.offset) == [UInt64(block.offset)])
        let store = try EventStore.openReadOnly("/data/new", options: options())
        #expect(try store.checkpoints() == [])
    }

    @Test(
        "A sector in the middle of a segment does not keep salvage from what stands behind it",
        arguments: [1, 5000])
    func severalSectors(count: Int) throws {
        let blocks = try record(400)
        let (block, _) = try place(of: 40, blocks)
        // The header of the segment too, and the footer: it is read as remains are.
        let file = try disk.open(try segment(), .readWrite)
        for offset in [60, try file.size() - 20] { try file.write([0xFF], at: offset) }
        try makeUnreadable(block.offset, count)
        let (report, numbers) = try repair(salvage: true)
        let lost = (0..<400 as Range<UInt64>).filter { !numbers.contains($0) }
        #expect(lost.contains(40) && lost.count <= (count == 1 ? 16 : 48))
        #expect(report.gaps.map(\.sequences) == [try #require(lost.first)...(try #require(lost.last))])
    }

    // The two copies of a dictionary stand one after the other so that one sector does not take both.
    @Test("A sector in one copy of a dictionary loses no event", arguments: [0, 1])
    func oneCopy(copy: Int) throws {
        let blocks = try record(1500, usesDictionary: true)
        let block = try #require(blocks.first { $0.header.type == .dictionary })
        let length = Int(block.header.rawBytes) / 2
        try makeUnreadable(
            block.offset + BlockHeader.byteCount + Int(block.header.smallLength) + copy * length + 50)
        let (report, numbers) = try repair(salvage: false, usesDictionary: true)
        #expect(numbers == Array(0..<1500) && report.gaps == [])
        #expect(report.damage.map(\.offset) == [UInt64(block.offset)])
    }

    @Test("Nor does a reader miss any then", arguments: [0, 1])
    func reader(copy: Int) throws {
        let blocks = try record(1500, usesDictionary: true)
        let block = try #require(blocks.first { $0.header.type == .dictionary })
        let length = Int(block.header.rawBytes) / 2
        try makeUnreadable(
            block.offset + BlockHeader.byteCount + Int(block.header.smallLength) + copy * length + 50)
        var cursor = try EventStore.openReadOnly(Self.path, options: options()).cursor()
        var found: [[UInt8]] = []
        while let event = try cursor.nextEvent() { found.append(event.payload) }
        #expect(found == (0..<1500).map { payload($0, true) } && cursor.coverage.isComplete)
    }

    @Test("Sectors in both copies lose what was compressed with it, and say so")
    func bothCopies() throws {
        let blocks = try record(1500, usesDictionary: true)
        let block = try #require(blocks.first { $0.header.type == .dictionary })
        let length = Int(block.header.rawBytes) / 2
        for copy in 0..<2 {
            try makeUnreadable(
                block.offset + BlockHeader.byteCount + Int(block.header.smallLength) + copy * length + 50)
        }
        let (report, numbers) = try repair(salvage: false, usesDictionary: true)
        let dependent = blocks.filter { $0.header.flags.contains(.usesDictionary) }
        let lost = (0..<1500 as Range<UInt64>).filter { !numbers.contains($0) }
        #expect(!dependent.isEmpty && !lost.isEmpty)
        #expect(lost.allSatisfy { number in dependent.contains { $0.numbers.contains(number) } })
        #expect(report.gaps.flatMap { Array($0.sequences) } == lost)
        #expect(report.damage.contains { $0.offset == block.offset && $0.reason.contains("dictionary") })
    }

    /// Everything is read twice: this time it is the second time that fails.
    @Test("A sector that fails while the new store is written leaves no new store", arguments: [false, true])
    func meanwhile(inState: Bool) throws {
        let blocks = try record()
        let checkpoint = try #require(blocks.first { $0.header.type == .checkpoint })
        let offset =
            try inState
            ? checkpoint.offset + BlockHeader.byteCount + Int(checkpoint.header.smallLength) + 100
            : place(of: 21, blocks).offset
        var failed = false
        #expect {
            try EventStore.repair(Self.path, into: "/data/new", options: options()) { progress in
                if !failed { try? makeUnreadable(offset) }
                failed = true
            }
        } throws: {
            if case .cannotRead(let path, _)? = $0 as? StoreError { path.hasPrefix(Self.path) } else { false }
        }
        #expect(failed && !EventStore.exists(at: "/data/new", fileSystem: disk))
    }

    // A block that the end of the file cuts short still holds its first sub-blocks.
    @Test("What a cut has left of a block is salvaged")
    func cutShort() throws {
        let (block, offset) = try place(of: 40, try record())
        let end = try #require(block.body.isEmpty ? nil : offset + 10)
        let whole = try bytes()
        try disk.unlink(try segment())
        let file = try disk.open("\(Self.path)/found.seg", .createExclusive)
        try file.write(Array(whole[..<end]), at: 0)
        let (report, numbers) = try repair(salvage: true)
        let sub = block.header.firstSequence + (40 - block.header.firstSequence) / 4 * 4
        #expect(numbers == Array(0..<sub))
        #expect(report.damage.contains { $0.offset == block.offset && $0.reason == "the block is cut short" })
    }
}
