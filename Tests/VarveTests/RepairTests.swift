import Foundation
import Testing
import Varve
import VarveIO
import VarveTestKit

/// Stores with damage of every kind, repaired: what is outside the damage is kept, all of it, and nothing else is.
@Suite("Repair")
struct RepairTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }
    private var new: String { directory.path("new") }
    private let original: Contents

    /// What a store holds, as a reader sees it.
    struct Contents {
        var events: [UInt64: Event] = [:]
        var sessions: [SessionInfo] = []
        var checkpoints: [UInt64: (Checkpoint, [UInt8])] = [:]
        var gaps: [ClosedRange<UInt64>] = []

        init(_ path: String) throws {
            let store = try EventStore.openReadOnly(path)
            for event in try store.collect() { events[event.sequence] = event }
            sessions = try store.sessions()
            for checkpoint in try store.checkpoints() {
                guard let state = try? store.state(of: checkpoint) else { continue }
                checkpoints[checkpoint.ordinal] = (checkpoint, state)
            }
            gaps = try store.snapshot().gaps().map(\.sequences)
        }
    }

    /// Two sessions over several sealed segments of about 16 KiB: 200 events of 256 bytes that don't compress, sub-blocks of four,
    /// an imported session with indices of its own, checkpoints in between.
    init() throws {
        directory = try TemporaryDirectory()
        let path = directory.path("store")
        var options = smallBlocks(on: ControlledFileSystem())
        options.segmentBytes = 16 << 10
        options.metadata = ["host": "here"]
        try Self.fill(path, options)
        original = try Contents(path)
        try #require(original.events.count == 200 && original.checkpoints.count == 3)
        try #require(try segments(of: path).count >= 4)
    }

    private static func fill(_ path: String, _ options: StoreOptions) throws {
        let store = try EventStore.open(path, options: options)
        let kinds = [
            try store.kind("noise", .binary, metadata: ["schema": "none"]), try store.kind("other", .binary),
        ]
        let first = try store.startSession("first", at: 5, metadata: ["a": "b"])
        for number: UInt64 in 0..<90 {
            try first.append(noise(number, 256), kind: kinds[Int(number % 2)], at: Int64(number))
            if number == 40 { try first.checkpoint("cp", label: "label", state: noise(1000, 100), at: 40) }
        }
        try first.end(at: 100)
        let imported = try store.startImportedSession("imported", at: 7, metadata: [:])
        for number: UInt64 in 90..<150 {
            try imported.append(
                noise(number, 256), kind: kinds[0], at: Int64(number), index: number * 3)
            if number == 100 { try imported.checkpoint("cp2", state: [], at: 100) }
        }
        try imported.end(at: 200)
        let last = try store.startSession("last", at: 300, metadata: [:])
        for number: UInt64 in 150..<200 {
            try last.append(noise(number, 256), kind: kinds[1], at: Int64(number))
        }
        try last.checkpoint("cp3", state: noise(2000, 5000), at: 500)
        try last.end(at: 600)
        try store.close()
    }

    // MARK: Damage

    private func bytes(_ file: String) throws -> Data { try Data(contentsOf: URL(filePath: file)) }

    private func change(_ file: String, _ body: (inout Data) throws -> Void) throws {
        var data = try bytes(file)
        try body(&data)
        try data.write(to: URL(filePath: file))
    }

    /// The file that holds an event's payload, and where.
    private func place(of event: UInt64) throws -> (file: String, offset: Int) {
        for file in try segments(of: path) {
            if let range = try bytes(file).range(of: Data(noise(event, 256))) {
                return (file, range.lowerBound)
            }
        }
        throw CocoaError(.fileNoSuchFile)
    }

    private func blockOffset(holding event: UInt64) throws -> (file: String, offset: Int) {
        let (file, offset) = try place(of: event)
        let before = try bytes(file).prefix(offset)
        let block = try #require(before.range(of: Data("VARVEBLK".utf8), options: .backwards))
        return (file, block.lowerBound)
    }

    private func footerOffset(_ bytes: Data) -> Int {
        bytes.suffix(96).prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    // MARK: Checks

    /// Repairs, and checks what holds for every repair: the source as it was, the result verified, no event that was not recorded.
    @discardableResult
    private func repair(
        salvage: Bool, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> (report: RepairReport, contents: Contents) {
        let before = try contents(of: path)
        let report = try EventStore.repair(path, into: new, salvage: salvage)
        #expect(try contents(of: path) == before, sourceLocation: sourceLocation)
        #expect(!FileManager.default.fileExists(atPath: new + ".tmp"), sourceLocation: sourceLocation)
        let contents = try check(report, sourceLocation: sourceLocation)
        return (report, contents)
    }

    private func check(_ report: RepairReport, sourceLocation: SourceLocation = #_sourceLocation) throws
        -> Contents
    {
        let store = try EventStore.openReadOnly(new)
        let verified = try store.verify()
        #expect(verified.damage == [] && verified.strays == [], sourceLocation: sourceLocation)
        let found = try Contents(new)
        #expect(UInt64(found.events.count) == report.events, sourceLocation: sourceLocation)
        #expect(found.checkpoints.count == report.checkpoints, sourceLocation: sourceLocation)
        #expect(found.gaps == report.gaps.map(\.sequences), sourceLocation: sourceLocation)
        #expect(store.metadata[EventStore.repairedFromKey] == report.source.description)
        for (number, event) in found.events {
            let expected = original.events[number]
            #expect(event == expected, sourceLocation: sourceLocation)
        }
        for (ordinal, (checkpoint, state)) in found.checkpoints {
            let expected = try #require(original.checkpoints[ordinal], sourceLocation: sourceLocation)
            #expect(
                checkpoint == expected.0 && state == expected.1, sourceLocation: sourceLocation)
        }
        return found
    }

    private func expectSessions(_ found: Contents, sourceLocation: SourceLocation = #_sourceLocation) {
        func key(_ session: SessionInfo) -> [String] {
            [
                "\(session.ordinal)", session.id, "\(session.startedAt)", "\(session.endedAt ?? -1)",
                session.state.rawValue, "\(session.isImported)", "\(session.metadata)",
                "\(session.nextIndex)",
            ]
        }
        #expect(
            found.sessions.map(key) == original.sessions.map(key), sourceLocation: sourceLocation)
    }

    /// The numbers of the sub-block that an event is in, or the block: what a reader does not get.
    private func missing(_ found: Contents) -> [UInt64] {
        original.events.keys.filter { found.events[$0] == nil }.sorted()
    }

    @Test("An intact store is repaired to one that answers alike", arguments: [false, true])
    func intact(salvage: Bool) throws {
        let (report, found) = try repair(salvage: salvage)
        #expect(report.isIntact && report.gaps == [])
        #expect(found.events == original.events && found.checkpoints.count == 3)
        expectSessions(found)
        let old = try EventStore.openReadOnly(path)
        let store = try EventStore.openReadOnly(new)
        #expect(store.identifier != old.identifier && store.createdAt == old.createdAt)
        #expect(store.metadata["host"] == "here")
        let (before, after) = (try old.info(), try store.info())
        #expect(before.kinds == after.kinds && before.rawBytes == after.rawBytes)
        #expect(before.timeRange == after.timeRange && before.sequences == after.sequences)
        #expect(before.epoch == after.epoch)
        for query in [
            Query().session("imported"), Query().kinds("other"), Query().sequences(33...170),
            Query().time(20...120), Query().session("first").kinds("noise"),
        ] {
            #expect(try old.collect(query) == store.collect(query))
        }
        // Another opening goes on where the source would have.
        let writer = try EventStore.open(new)
        let session = try writer.startSession("next")
        #expect(session.ordinal == 4)
        #expect(try session.append("x", kind: writer.kind("noise", .binary)) == 200)
        try writer.close()
    }

    @Test("A flipped bit in a payload loses its sub-block", arguments: [false, true])
    func payload(salvage: Bool) throws {
        let (file, offset) = try place(of: 60)
        try change(file) { $0[offset + 100] ^= 0x10 }
        let (report, found) = try repair(salvage: salvage)
        let lost = missing(found)
        #expect(lost.count == 4 && lost.contains(60) && lost == Array(lost[0]...lost[0] + 3))
        #expect(report.gaps.map(\.sequences) == [lost[0]...lost[3]] && report.gaps[0].reason == .damage)
        #expect(!report.isIntact && report.damage.map(\.sequences) == [lost[0]...lost[3]])
        expectSessions(found)
        #expect(found.checkpoints.count == 3)
    }

    @Test(
        "A flipped bit in a small column or a block's header loses the block", arguments: [false, true],
        [60, 180])
    func block(salvage: Bool, distance: Int) throws {
        let (file, block) = try blockOffset(holding: 60)
        // 60 is in the header; 180 in the small part behind it.
        try change(file) { $0[block + distance] ^= 0x10 }
        let reader = try Contents(path)
        let (report, found) = try repair(salvage: salvage)
        #expect(missing(found).contains(60) && missing(found) == missing(reader))
        #expect(
            report.gaps.map(\.sequences) == [missing(found)[0]...missing(found)[missing(found).count - 1]])
        expectSessions(found)
    }

    @Test("A damaged segment header costs nothing: the footer says the same", arguments: [false, true])
    func header(salvage: Bool) throws {
        let file = try place(of: 60).file
        try change(file) { $0[60] ^= 0x10 }
        let (report, found) = try repair(salvage: salvage)
        #expect(!report.isIntact && report.damage.map(\.file) == [file] && report.gaps == [])
        #expect(found.events == original.events && found.checkpoints.count == 3)
        #expect(report.salvagedEvents == 0)
        expectSessions(found)
    }

    @Test(
        "A segment with neither header nor footer is salvaged by its blocks", arguments: [false, true],
        [8, 60])
    func bareBlocks(isLast: Bool, damagedByte: Int) throws {
        let file = isLast ? try #require(try segments(of: path).last) : try place(of: 60).file
        try change(file) {
            $0 = $0.prefix(footerOffset($0))
            // In the version or in the segment's UUID.
            $0[damagedByte] ^= 0x10
        }
        let (_, found) = try repair(salvage: true)
        #expect(found.events == original.events && found.checkpoints.count == 3)
        expectSessions(found)
    }

    @Test("A damaged footer is made whole", arguments: [false, true])
    func footer(salvage: Bool) throws {
        let file = try place(of: 60).file
        try change(file) { $0[footerOffset($0) + 40] ^= 0x10 }
        let (report, found) = try repair(salvage: salvage)
        #expect(found.events == original.events && report.gaps == [] && !report.isIntact)
        expectSessions(found)
        #expect(try EventStore.openReadOnly(new).info().sealedCount == report.segments)
    }

    @Test("A missing segment is a gap", arguments: [false, true], 0..<4)
    func segmentMissing(salvage: Bool, number: Int) throws {
        let all = try segments(of: path)
        let file = number == 3 ? all[all.count - 1] : all[number]
        try FileManager.default.removeItem(atPath: file)
        let reader = try Contents(path)
        let (report, found) = try repair(salvage: salvage)
        #expect(found.events == reader.events && !report.isIntact)
        #expect(report.gaps.map(\.sequences) == reader.gaps && report.gaps.count == 1)
        #expect(UInt64(missing(found).count) == UInt64(report.gaps[0].sequences.count))
    }

    @Test("Bytes that can't be read after the watermark end the log; salvage goes on behind them")
    func torn() throws {
        try FileManager.default.removeItem(atPath: path)
        try Self.fill(path, smallBlocks(on: ControlledFileSystem()))
        try FileManager.default.removeItem(atPath: path + "/STATE")
        // The end of the session before is the last that was synced: what comes after is unconfirmed.
        let (file, block) = try blockOffset(holding: 170)
        try change(file) {
            $0 = $0.prefix(footerOffset($0))
            $0.replaceSubrange(block..<block + 1000, with: noise(1, 1000))
        }
        let reader = try Contents(path)
        let (plainReport, plain) = try repair(salvage: false)
        #expect(plain.events == reader.events && plainReport.gaps == [])
        #expect(plainReport.unconfirmedBytes > 1000 && !plainReport.isIntact)
        #expect(plain.sessions.map(\.state) == [.closed, .closed, .interrupted])
        try FileManager.default.removeItem(atPath: new)
        let (report, found) = try repair(salvage: true)
        let lost = missing(found)
        #expect(lost.contains(170) && lost.count <= 16)
        #expect(missing(plain) == Array(lost[0]..<200))
        #expect(report.gaps.map(\.sequences) == [lost[0]...lost[lost.count - 1]])
        #expect(report.gaps.map(\.reason) == [.damage] && found.checkpoints.count == 3)
        #expect(report.salvagedEvents == 199 - lost[lost.count - 1])
        expectSessions(found)
    }

    @Test(
        "Events beyond the log whose numbers were given again are left out, and named",
        .timeLimit(.minutes(60)))
    func conflicts() throws {
        try FileManager.default.removeItem(atPath: path)
        try Self.fill(path, smallBlocks(on: ControlledFileSystem()))
        let old = try #require(try segments(of: path).first)
        let whole = try bytes(old)
        // The log's end is lost, a writer goes on, and then the lost end turns up again.
        let block = try blockOffset(holding: 170).offset
        try FileManager.default.removeItem(atPath: path + "/STATE")
        try change(old) { $0 = $0.prefix(block) }
        let writer = try EventStore.open(path, options: smallBlocks())
        let session = try writer.startSession("again", at: 1000, metadata: [:])
        let first = try session.append("other", kind: writer.kind("noise", .binary), at: 1)
        // The background thread seals what is left of the old segment anew: until then a sealed copy of it would count.
        try #require(try comesTrue { try !segments(of: path).contains(old) })
        try writer.close()
        try whole.write(to: URL(filePath: path + "/found.seg"))
        let report = try EventStore.repair(path, into: new, salvage: true)
        let described = try #require(report.files.first { $0.name == "found.seg" })
        #expect(described.conflicts == [first...first] && described.use == .salvaged)
        #expect(described.events == 199 - first && !report.isIntact)
        let store = try EventStore.openReadOnly(new)
        #expect(try store.verify().isIntact)
        let events = try store.collect()
        #expect(events.map(\.sequence) == Array(0..<200))
        #expect(events[Int(first)].payload == Array("other".utf8))
        #expect(events.filter { $0.sequence != first }.allSatisfy { original.events[$0.sequence] == $0 })
    }

    @Test("Garbage put into the middle of a file loses what it hits", arguments: [false, true], [8, 1001])
    func garbage(salvage: Bool, count: Int) throws {
        let (file, block) = try blockOffset(holding: 60)
        try change(file) { $0.insert(contentsOf: noise(7, count), at: block) }
        // The footer's place is wrong now: the file is one without a footer.
        let (report, found) = try repair(salvage: salvage)
        if salvage { #expect(found.events == original.events) }
        #expect(!report.isIntact)
    }

    @Test("A file of another store is left out, and named", arguments: [false, true])
    func foreign(salvage: Bool) throws {
        let other = directory.path("other")
        var options = smallBlocks(on: ControlledFileSystem())
        options.segmentBytes = 16 << 10
        try Self.fill(other, options)
        let file = try place(of: 60).file
        let others = try segments(of: other)
        let name = try #require(file.split(separator: "/").last)
        let replacement = try #require(others.first { $0.hasSuffix(name) })
        try FileManager.default.removeItem(atPath: file)
        try FileManager.default.copyItem(atPath: replacement, toPath: file)
        let (report, found) = try repair(salvage: salvage)
        #expect(report.gaps.count == 1 && report.gaps[0].sequences.contains(60))
        #expect(found.events[60] == nil)
        let described = try #require(report.files.first { $0.name == name })
        #expect(described.use == .leftOut && described.note.contains("another store"))
        let verified = try EventStore.openReadOnly(path).verify()
        #expect(verified.strays.map(\.file) == [file] && verified.damage == [])
    }

    @Test("Without STORE, and with a second copy of a segment, nothing is lost", arguments: [false, true])
    func identityMissingAndDuplicate(salvage: Bool) throws {
        try FileManager.default.removeItem(atPath: path + "/STORE")
        let file = try place(of: 60).file
        try FileManager.default.copyItem(atPath: file, toPath: path + "/zzz copy.seg")
        let (report, found) = try repair(salvage: salvage)
        #expect(found.events == original.events && found.checkpoints.count == 3)
        expectSessions(found)
        #expect(report.isIntact)
        let copy = try #require(report.files.first { $0.name == "zzz copy.seg" })
        #expect(copy.use == .leftOut && copy.conflicts == [] && (copy.duplicates > 0) == salvage)
        #expect(try EventStore.openReadOnly(path).verify().isIntact)
    }

    // The store was refused, although the format says that a damaged STORE counts as a missing one.
    @Test("A damaged STORE costs what stands in it and nothing else", arguments: [false, true])
    func identityDamaged(salvage: Bool) throws {
        try change(path + "/STORE") { $0[40] ^= 0x10 }
        #expect(try EventStore.openReadOnly(path).count() == 200)
        let (report, found) = try repair(salvage: salvage)
        #expect(found.events == original.events && found.checkpoints.count == 3)
        #expect(report.damage.map(\.file) == [path + "/STORE"])
        expectSessions(found)
    }

    @Test("A damaged sub-block is filled from a copy of its segment")
    func filledFromCopy() throws {
        let (file, offset) = try place(of: 60)
        try FileManager.default.copyItem(atPath: file, toPath: path + "/zzz copy.seg")
        try change(file) { $0[offset + 100] ^= 0x10 }
        let (report, found) = try repair(salvage: true)
        #expect(found.events == original.events && report.salvagedEvents == 4 && report.gaps == [])
    }

    // MARK: Where and how it is written

    @Test("The new path must be free, and outside of a store")
    func refusals() throws {
        for (target, part) in [
            (path, "not empty"), (path + "/inside", "inside a store"), (path + "/STORE", "no directory"),
        ] {
            #expect {
                try EventStore.repair(path, into: target)
            } throws: { error in
                "\(error)".contains(part)
            }
        }
        let writer = try EventStore.open(path)
        #expect(throws: StoreError.alreadyOpen(path: path)) { try EventStore.repair(path, into: new) }
        try writer.close()
        #expect(!FileManager.default.fileExists(atPath: new))
        // An empty directory will do.
        try FileManager.default.createDirectory(atPath: new, withIntermediateDirectories: false)
        try repair(salvage: false)
    }

    @Test("Whatever operation fails, there is no new store, and the source is as it was")
    func faults() throws {
        let before = try contents(of: path)
        let counting = FaultInjectingFileSystem()
        var options = StoreOptions()
        options.fileSystem = counting
        _ = try EventStore.repair(path, into: new, options: options)
        try FileManager.default.removeItem(atPath: new)
        var injected = 0
        for (operation, code) in [
            (IOFailure.Operation.write, Int32(28)), (.sync, 5), (.create, 28), (.rename, 5),
            (.makeDirectory, 13),
        ] {
            // The last sync is that of the parent directory, after the move: then the store is there.
            let count = counting.count(of: operation) - (operation == .sync ? 1 : 0)
            for number in 0..<count {
                let faulty = FaultInjectingFileSystem()
                try? FileManager.default.removeItem(atPath: new + ".tmp")
                faulty.inject(.init(operation, after: number, code: code))
                options.fileSystem = faulty
                #expect(throws: StoreError.self) {
                    try EventStore.repair(path, into: new, options: options)
                }
                injected += faulty.injectedCount
                #expect(!FileManager.default.fileExists(atPath: new))
                #expect(!EventStore.exists(at: new + ".tmp"))
            }
        }
        #expect(injected > 20)
        #expect(try contents(of: path) == before)
        try repair(salvage: false)
    }

    // MARK: At random

    @Test("Whatever is damaged, repair keeps only what was recorded", arguments: [false, true])
    func random(salvage: Bool) throws {
        let seed = SplitMix64.freshSeed()
        let intact = try contents(of: path)
        var random = SplitMix64(seed: seed)
        var refused = 0
        for round in 0..<60 {
            for (name, bytes) in intact { try bytes.write(to: URL(filePath: "\(path)/\(name)")) }
            for _ in 0...random.below(3) {
                let files = try contents(of: path).keys.sorted()
                let name = files[Int(random.below(UInt32(files.count)))]
                let file = "\(path)/\(name)"
                switch random.below(12) {
                case 0: try FileManager.default.removeItem(atPath: file)
                case 1: try change(file) { $0 = $0.prefix(Int(random.below(UInt32($0.count + 1)))) }
                case 2:
                    try change(file) { data in
                        let at = Int(random.below(UInt32(data.count + 1)))
                        data.insert(contentsOf: noise(random.next(), Int(random.below(600))), at: at)
                    }
                case 3:
                    try change(file) { data in
                        let start = Int(random.below(UInt32(data.count + 1)))
                        let end = min(data.count, start + Int(random.below(3000)))
                        for position in start..<end { data[position] = 0 }
                    }
                default:
                    try change(file) { data in
                        guard !data.isEmpty else { return }
                        data[Int(random.below(UInt32(data.count)))] ^= 1 << UInt8(random.below(8))
                    }
                }
            }
            try? FileManager.default.removeItem(atPath: new)
            let comment = Comment(rawValue: "seed 0x\(String(seed, radix: 16)), round \(round)")
            do {
                let report = try EventStore.repair(path, into: new, salvage: salvage)
                let store = try EventStore.openReadOnly(new)
                let verified = try store.verify()
                #expect(verified.damage == [], comment)
                let found = try Contents(new)
                #expect(UInt64(found.events.count) == report.events, comment)
                #expect(found.gaps == report.gaps.map(\.sequences), comment)
                for (number, event) in found.events {
                    let expected = try #require(original.events[number], comment)
                    #expect(event.payload == expected.payload && event.index == expected.index, comment)
                    #expect(event.timestamp == expected.timestamp, comment)
                    #expect(event.sessionOrdinal == expected.sessionOrdinal, comment)
                    #expect(
                        event.kind == expected.kind || salvage && event.kind.name.hasPrefix("unknown-"),
                        comment)
                    #expect(
                        event.sessionID == expected.sessionID
                            || event.sessionID.hasPrefix("unknown-session-"), comment)
                }
                if let reader = try? Contents(path) {
                    for number in reader.events.keys { #expect(found.events[number] != nil, comment) }
                }
                let writer = try EventStore.open(new)
                try writer.close()
            } catch is StoreError {
                // Only what no reader reads either.
                refused += 1
                #expect(throws: StoreError.self, comment) { try EventStore.openReadOnly(path) }
            }
        }
        #expect(refused < 30, "seed 0x\(String(seed, radix: 16))")
    }
}
