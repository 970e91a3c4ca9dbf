import Foundation
import Testing
import VarveFormat
import VarveIO
import VarveTestKit

@testable import Varve

@Suite("Segments that can't be written anew stay as they are, and nothing is left behind")
struct CompactionFaultTests {
    private let bed: CompactionBed
    private let handles: [SegmentHandle]

    init() throws {
        bed = try CompactionBed()
        try bed.record { store in
            let kind = try store.kind("order", .json)
            for name in ["a", "b"] {
                let session = try store.startSession(name, at: 0)
                for number in 0..<700 {
                    try session.append(
                        "{\"order\":\(number),\"note\":\"\(number &* 7919)\"}", kind: kind, at: Int64(number))
                }
                try session.checkpoint("c", state: noise(1, 3000), at: 5)
                try session.end(at: 5)
            }
        }
        handles = try bed.handles()
    }

    /// The files as they were, and none besides.
    private func expectUntouched(_ before: [String: Data], _ location: SourceLocation = #_sourceLocation)
        throws
    {
        #expect(try contents(of: bed.path) == before, sourceLocation: location)
    }

    /// The same files on a disk in memory.
    private func simulated() throws -> SimulatedFileSystem {
        let disk = SimulatedFileSystem(seed: 1)
        var directory = ""
        for part in bed.path.split(separator: "/") {
            directory += "/" + part
            try? disk.makeDirectory(directory)
        }
        for (name, data) in try contents(of: bed.path) {
            let file = try disk.open(directory + "/" + name, .createExclusive)
            try file.write([UInt8](data), at: 0)
        }
        return disk
    }

    @Test("Cancelled at any block", arguments: [false, true])
    func cancelled(byFailure: Bool) throws {
        let before = try contents(of: bed.path)
        var calls = 0
        _ = try bed.rewriter(
            handles,
            announce: { _ in
                calls += 1; return true
            }
        ).run()
        try FileManager.default.removeItem(atPath: bed.path + "/" + (try #require(bed.temporaries.first)))
        #expect(calls > 10)
        for number in 0..<calls {
            var left = number
            let failure = IOFailure(.measureSpace, path: "disk", code: ENOSPC)
            #expect(throws: byFailure ? RewriteError.writing(failure) : .cancelled) {
                _ = try bed.rewriter(
                    handles,
                    announce: { _ throws(IOFailure) in
                        left -= 1
                        if left < 0, byFailure { throw failure }
                        return left >= 0
                    }
                ).run()
            }
            try expectUntouched(before)
        }
    }

    @Test("Every byte is announced before it is written")
    func announced() throws {
        var announced: UInt64 = 0
        let outcome = try bed.rewriter(
            handles,
            announce: {
                announced += $0
                return true
            }
        ).run()
        guard case .segment(let segment) = outcome else { throw CocoaError(.fileReadUnknown) }
        #expect(announced == segment.byteCount)
        let size = try FileManager.default.attributesOfItem(atPath: segment.temporaryPath)[.size] as? UInt64
        #expect(size == announced)
    }

    @Test(
        "Refused by the system at any operation",
        arguments: [IOFailure.Operation.create, .write, .sync, .read, .open, .inspect])
    func refused(_ operation: IOFailure.Operation) throws {
        let before = try contents(of: bed.path)
        let counting = FaultInjectingFileSystem()
        let settled = try bed.rewriter(handles, on: counting).run()
        guard case .segment(let segment) = settled else { throw CocoaError(.fileReadUnknown) }
        try FileManager.default.removeItem(atPath: segment.temporaryPath)
        for number in 0..<counting.count(of: operation) {
            let faulty = FaultInjectingFileSystem()
            faulty.inject(.init(operation, after: number, code: EIO))
            let error = #expect(throws: RewriteError.self) {
                // The handles are the same: they read by the file system that they are given.
                _ = try bed.rewriter(handles, on: faulty).run()
            }
            if let error {
                switch (operation, error) {
                case (.create, .writing), (.write, .writing), (.sync, .writing): break
                case (.read, .source), (.open, .source), (.inspect, .source): break
                // What was written can't be read back.
                case (.read, .unfaithful), (.open, .unfaithful), (.inspect, .unfaithful): break
                case (.read, .writing), (.inspect, .writing): break
                default: Issue.record("\(operation) \(number): \(error)")
                }
            }
            try expectUntouched(before)
        }
        #expect(counting.count(of: operation) > 0)
    }

    @Test("On a disk with room for so many bytes only", arguments: [0, 100, 3000, 20_000])
    func full(room: Int) throws {
        let disk = try simulated()
        disk.limitSpace(to: room)
        let error = #expect(throws: RewriteError.self) { _ = try bed.rewriter(handles, on: disk).run() }
        guard case .writing(let failure)? = error else { throw CocoaError(.fileReadUnknown) }
        #expect(failure.isOutOfSpace)
        #expect(try disk.list(bed.path).allSatisfy { !$0.name.hasSuffix(".tmp") })
    }

    @Test(
        "Writes that were lost, or went elsewhere, are noticed when the file is read back", arguments: 0..<8)
    func lostWrites(_ number: Int) throws {
        for fault in [SimulatedFileSystem.WriteFault.lost, .misdirected(to: 256)] {
            let disk = try simulated()
            disk.inject(fault, onPathsEndingIn: ".tmp", after: number)
            let outcome = Result { try bed.rewriter(handles, on: disk).run() }
            if disk.armedWriteFaultCount > 0 { continue }
            guard case .failure(let error) = outcome, let error = error as? RewriteError,
                case .unfaithful = error
            else {
                Issue.record("write \(number) \(fault): \(outcome)")
                continue
            }
            #expect(try disk.list(bed.path).allSatisfy { !$0.name.hasSuffix(".tmp") })
        }
    }

    /// One byte of each block of each source is another one.
    @Test("A source with a byte changed in any block is refused, or that byte is in nothing that is kept")
    func damaged() throws {
        let recorded = try handles.map { try Recorded.all(of: $0.path) }
        for (position, handle) in handles.enumerated() {
            let entries = try handle.load().index.entries
            for (number, entry) in entries.enumerated() {
                for place in [0, 40, BlockHeader.byteCount + 1, Int(entry.length) - 9] {
                    guard place < Int(entry.length) - 8 else { continue }
                    try change(handle.path) { $0[Int(entry.offset) + place] ^= 0x10 }
                    defer {
                        try? change(handle.path) { $0[Int(entry.offset) + place] ^= 0x10 }
                    }
                    let before = try contents(of: bed.path)
                    let error = #expect(
                        throws: RewriteError.self, "segment \(position), block \(number), byte \(place)"
                    ) { _ = try bed.rewriter(handles).run() }
                    guard case .source(.damaged)? = error else {
                        Issue.record("segment \(position), block \(number), byte \(place): \(error as Any)")
                        continue
                    }
                    try expectUntouched(before)
                    // What is dropped is not read: its damage goes with it.
                    if entry.type == .events {
                        let retained = Retained(headSequence: entry.nextSequence)
                        let segment = try #require(try bed.rewrite(Array(handles[position...]), retained))
                        let found = try Recorded.all(of: segment.temporaryPath).filter { !$0.isRecord }
                        #expect(found == recorded[position...].joined().filter { $0.isKept(retained) })
                        try FileManager.default.removeItem(atPath: segment.temporaryPath)
                    }
                }
            }
        }
    }

    @Test("A source with a header or a footer that is damaged is refused")
    func damagedEnds() throws {
        let size = Int(try #require(handles.first).trailer.fileLength)
        let footer = Int(try #require(handles.first).trailer.footerOffset)
        for place in [20, 60, 140, 170, footer + 3, footer + 40, (footer + size) / 2] {
            try change(handles[0].path) { $0[place] ^= 1 }
            let before = try contents(of: bed.path)
            let error = #expect(throws: RewriteError.self) { _ = try bed.rewriter(handles).run() }
            if case .source? = error {} else { Issue.record("byte \(place): \(error as Any)") }
            try expectUntouched(before)
            try change(handles[0].path) { $0[place] ^= 1 }
        }
    }

    @Test("A footer that contradicts its blocks is refused, whatever checksums it has")
    func forgedFooter() throws {
        let changes: [(inout SegmentIndex) -> Void] = [
            { $0.kinds[0].events -= 1 }, { $0.sessions[0].begin.id += "x" },
            { $0.sessions[0].nextIndex += 1 }, { $0.nextSequence += 1 }, { $0.rawBytes += 1 },
            { $0.ledger.append(.gap(first: 1, last: 2, reason: .damage, time: 0, note: "")) },
            { $0.sessionsBegun += 1 },
        ]
        let handle = handles[0]
        let good = try Data(contentsOf: URL(filePath: handle.path))
        for change in changes {
            var index = try handle.load().index
            change(&index)
            let (footer, trailer) = index.footer(sealedAt: 5, checksum: nil).encodeWithTrailer()
            try (good.prefix(Int(handle.trailer.footerOffset)) + footer).write(to: URL(filePath: handle.path))
            defer { try? good.write(to: URL(filePath: handle.path)) }
            let forged = SegmentHandle(
                directory: bed.path, fileName: handle.fileName, trailer: trailer, summary: index.summary,
                fileSystem: POSIXFileSystem())
            let error = #expect(throws: RewriteError.self) { _ = try bed.rewriter([forged]).run() }
            if case .source(.damaged)? = error {} else { Issue.record("\(error as Any)") }
            #expect(bed.temporaries == [])
        }
    }

    @Test("Sources in another order than the log's are refused")
    func order() throws {
        let error = #expect(throws: RewriteError.self) { _ = try bed.rewriter(handles.reversed()).run() }
        guard case .source? = error else { throw CocoaError(.fileReadUnknown) }
        #expect(throws: RewriteError.self) { _ = try bed.rewriter([handles[0], handles[0]]).run() }
    }

    // They had one name: who gave up removed the other's file.
    @Test("Two attempts at the same segments have each a file of its own")
    func twice() throws {
        let first = try #require(try bed.rewrite(handles)?.temporaryPath)
        let second = try #require(try bed.rewrite(handles)?.temporaryPath)
        #expect(first != second && bed.temporaries.count == 2)
    }
}

@Suite("Random recordings, groups and heads")
struct CompactionRandomTests {
    @Test("Whatever is recorded and dropped, what is kept comes out as it went in", arguments: 0..<6)
    func random(_ run: Int) throws {
        let seed = SplitMix64.freshSeed() &+ UInt64(run)
        var random = SplitMix64(seed: seed)
        var bed = try CompactionBed()
        for _ in 0..<1 + random.below(3) {
            try bed.record { store in
                for _ in 0..<1 + random.below(4) {
                    let known = try store.sessions()
                    let isImport = random.oneIn(4)
                    let resumed = random.oneIn(3) && !isImport ? known.randomElement(using: &random) : nil
                    let session =
                        try resumed.map { try store.resume(session: $0.ordinal) }
                        ?? (isImport
                            ? store.startImportedSession("i", at: 1)
                            : store.startSession("s\(random.below(3))", at: 1))
                    var kinds: [EventKind] = []
                    for _ in 0..<1 + random.below(90) {
                        kinds.append(
                            try store.kind("k\(random.below(120))", random.oneIn(2) ? .json : .binary))
                    }
                    for number in 0..<random.below(600) {
                        let size = Int(random.oneIn(40) ? random.below(9000) : random.below(60))
                        let payload =
                            random.oneIn(2) ? noise(random.next(), size) : Array("text \(number) again".utf8)
                        let kind = kinds[Int(random.below(UInt32(kinds.count)))]
                        let time = Int64(bitPattern: random.next()) >> Int64(random.below(60))
                        if isImport {
                            try session.append(payload, kind: kind, at: time, index: random.next() >> 1)
                        } else {
                            try session.append(payload, kind: kind, at: time)
                        }
                        if random.oneIn(50) { try store.flush() }
                        if random.oneIn(60) {
                            try session.checkpoint(
                                "c", label: random.oneIn(2) ? nil : "l",
                                state: noise(1, Int(random.below(3000))))
                        }
                    }
                    if isImport || !random.oneIn(3) {
                        try session.end(at: 9, isInterrupted: random.oneIn(2))
                    } else {
                        try session.end()
                    }
                }
            }
        }
        let handles = try bed.handles()
        let next = UInt32(try #require(handles.last).summary.nextSequence)
        for _ in 0..<8 {
            bed.settings.encoding.subBlockBytes = 512 << random.below(5)
            bed.settings.encoding.level = Int32(random.below(13))
            bed.settings.spanMax = random.oneIn(3) ? UInt64(random.below(1 << 30)) : nil
            bed.settings.buildsFilters = !random.oneIn(4)
            let first = Int(random.below(UInt32(handles.count)))
            let last = first + Int(random.below(UInt32(handles.count - first)))
            var pins: [Pin] = []
            for _ in 0..<random.below(4) {
                let low = UInt64(random.below(next + 1))
                pins.apply(
                    Pin(
                        session: UInt64(random.below(4)), first: low,
                        last: random.oneIn(2) ? .max : low + UInt64(random.below(200)),
                        firstCheckpoint: UInt64(random.below(5))), isPinned: true)
            }
            let retained = Retained(
                headSequence: random.oneIn(4) ? 0 : UInt64(random.below(next + 2)),
                headCheckpoint: UInt64(random.below(20)), pins: pins)
            let known = Testing.Comment("seed \(seed), segments \(first)...\(last), \(retained)")
            try withKnownSeed(known) { try bed.check(Array(handles[first...last]), retained) }
        }
    }

    private func withKnownSeed(_ comment: Testing.Comment, _ body: () throws -> Void) throws {
        do { try body() } catch {
            Issue.record(error, comment)
        }
    }
}
