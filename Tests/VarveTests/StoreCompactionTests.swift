import Foundation
import Testing
import Varve
import VarveIO
import VarveTestKit

/// A file system that does something once, before it opens a segment to be read.
private final class HookedFileSystem: ForwardingFileSystem, @unchecked Sendable {
    let base: any FileSystem = POSIXFileSystem()
    private let hook = Locked(((String) -> Void)?.none)

    func beforeReading(_ body: @escaping (String) -> Void) { hook.withLock { $0 = body } }

    func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        if mode == .read, path.hasSuffix(".seg") {
            let body = hook.withLock { hook in
                defer { hook = nil }
                return hook
            }
            body?(path)
        }
        return try base.open(path, mode)
    }
}

/// A file system that stops whoever writes a segment anew, once, after its first write, and counts the writes after that.
private final class HeldRewriteFileSystem: ForwardingFileSystem, @unchecked Sendable {
    let base: any FileSystem = POSIXFileSystem()
    let began = DispatchSemaphore(value: 0)
    let mayGoOn = DispatchSemaphore(value: 0)
    let gone = DispatchSemaphore(value: 0)
    private let held = Locked((path: String, writes: Int)?.none)

    var writes: Int? { held.withLock { $0?.writes } }

    private final class Rewritten: PassThroughFile {
        let base: any File
        let system: HeldRewriteFileSystem
        init(_ base: any File, _ system: HeldRewriteFileSystem) { (self.base, self.system) = (base, system) }

        func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOFailure) {
            try base.write(bytes, at: offset)
            let isFirst = system.held.withLock { held in
                if held?.path == path { held?.writes += 1 }
                guard held == nil else { return false }
                held = (path, 0)
                return true
            }
            guard isFirst else { return }
            system.began.signal()
            system.mayGoOn.wait()
        }
    }

    func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        let file = try base.open(path, mode)
        return mode != .read && path.contains(".seg.") && path.hasSuffix(".tmp")
            ? Rewritten(file, self) : file
    }

    func unlink(_ path: String) throws(IOFailure) {
        try base.unlink(path)
        if held.withLock({ $0?.path == path }) { gone.signal() }
    }
}

/// A file system that syncs nothing: for what does not depend on it, and asks for it very often.
private final class UnsyncedFileSystem: ForwardingFileSystem, @unchecked Sendable {
    let base: any FileSystem = POSIXFileSystem()

    private final class Unsynced: PassThroughFile {
        let base: any File
        init(_ base: any File) { self.base = base }
        func sync() {}
    }

    func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        Unsynced(try base.open(path, mode))
    }
}

@Suite("Compacting a store changes no answer")
struct StoreCompactionTests {
    private static let path = "/data/store"

    private static func options(on system: any FileSystem) -> StoreOptions {
        var options = smallBlocks(on: system)
        options.segmentBytes = 16 << 10
        return options
    }

    private static func payload(_ number: UInt64) -> [UInt8] {
        Array("{\"order\":\(number),\"text\":\"\(number &* 7_919) \(number &* 104_729)\"}".utf8)
            + noise(number, 200)
    }

    /// Sessions with checkpoints, in small blocks.
    private static func record(_ range: Range<UInt64>, to store: EventStore) throws {
        let kind = try store.kind("order", .binary)
        for first in stride(from: range.lowerBound, to: range.upperBound, by: 150) {
            let session = try store.startSession("session \(first)")
            for number in first..<min(first + 150, range.upperBound) {
                try session.append(payload(number), kind: kind, at: Int64(number))
                if number % 40 == 39 {
                    try session.checkpoint("cp", state: noise(number, 500), at: Int64(number))
                }
                if number % 10 == 9 { try store.flush() }
            }
            try session.end(at: Int64(range.upperBound))
        }
    }

    private static func check(_ store: EventStore, _ expected: Range<UInt64>) throws {
        var next = expected.lowerBound
        var cursor = try store.cursor()
        while let event = try cursor.nextEvent() {
            #expect(event.sequence == next && event.payload == payload(event.sequence))
            next += 1
        }
        #expect(next == expected.upperBound && cursor.coverage.gaps.allSatisfy { $0.reason == .retention })
        let snapshot = try store.snapshot()
        for checkpoint in try snapshot.checkpoints() {
            #expect(try snapshot.state(of: checkpoint) == noise(checkpoint.sequence - 1, 500))
        }
    }

    private static func made(_ system: any FileSystem, at path: String = path) throws {
        let store = try EventStore.open(path, options: options(on: system))
        try record(0..<600, to: store)
        try store.close()
    }

    private static func simulated() throws -> SimulatedFileSystem {
        let system = SimulatedFileSystem(seed: 3)
        try system.makeDirectory("/data")
        try made(system)
        return system
    }

    @Test(
        "A disk that is full in the middle of it leaves all as it was; with space it goes on",
        arguments: [0, 1, 300, 3_000, 10_000, 30_000, 80_000])
    func fullDisk(room: Int) throws {
        let system = try Self.simulated()
        let store = try EventStore.open(Self.path, options: Self.options(on: system))
        let names = try system.list(Self.path).map(\.name).filter { $0.hasSuffix(".seg") }
        system.limitSpace(to: room)
        #expect(throws: StoreError.self) {
            _ = try store.compact()
        }
        if room == 0 {
            #expect(try system.list(Self.path).map(\.name).filter { $0.hasSuffix(".seg") } == names)
        }
        #expect(try !system.list(Self.path).contains { $0.name.hasSuffix(".tmp") })
        try Self.check(store, 0..<600)
        system.limitSpace(to: nil)
        // What is recorded goes on, and so does compaction.
        try Self.record(600..<650, to: store)
        let report = try store.compact()
        #expect(report.isComplete && report.refused == [:])
        try Self.check(store, 0..<650)
        #expect(try store.info().settledCount == store.info().segmentCount)
        try store.close()
        let reader = try EventStore.openReadOnly(Self.path, options: Self.options(on: system))
        try Self.check(reader, 0..<650)
        let verified = try reader.verify()
        #expect(verified.damage == [] && verified.strays == [])
    }

    @Test(
        "Cancelled after any number of blocks it goes on the next time", arguments: [0, 1, 2, 5, 9, 14, 20])
    func cancelled(calls: Int) throws {
        let system = try Self.simulated()
        let store = try EventStore.open(Self.path, options: Self.options(on: system))
        var left = calls
        let report = try store.compact { _ in
            left -= 1
            return left >= 0
        }
        #expect(!report.isComplete)
        #expect(try !system.list(Self.path).contains { $0.name.hasSuffix(".tmp") })
        try Self.check(store, 0..<600)
        #expect(try store.compact().isComplete)
        try Self.check(store, 0..<600)
        // There is nothing left to do.
        let again = try store.compact()
        #expect(again.isComplete && again.segmentsBefore == 0 && again.bytesWritten == 0)
        try store.close()
    }

    // Of a segment with a header larger than its blocks more than half was taken for dropped, and it was written anew for ever.
    @Test("A segment most of which is its header is compacted once")
    func largeHeader() throws {
        let system = SimulatedFileSystem(seed: 5)
        try system.makeDirectory("/data")
        let store = try EventStore.open(Self.path, options: Self.options(on: system))
        for number in 0..<2_000 { _ = try store.kind("a kind with a name of its own, \(number)", .binary) }
        for _ in 0..<2 {
            try Self.record(store.nextSequence..<store.nextSequence + 10, to: store)
            #expect(try store.compact().isComplete)
        }
        #expect(try store.compact().segmentsBefore == 0)
        try Self.check(store, 0..<20)
        try store.close()
    }

    // Of 100,000 events, as they are recorded one by one with `synced`, and in one go.
    @Test("Appends synced one by one settle to the same size as those that were not, within a twentieth")
    func oneByOne() throws {
        // Fewer under a sanitizer.
        let count = environmentNumber("VARVE_MODEL_OPERATIONS") ?? 100_000
        var sizes: [UInt64] = []
        for isSynced in [true, false] {
            let directory = try TemporaryDirectory()
            var options = StoreOptions()
            options.fileSystem = UnsyncedFileSystem()
            options.compactsInBackground = false
            options.durability = isSynced ? .synced : .none
            let store = try EventStore.open(directory.path("store"), options: options)
            let kinds = try WorkloadA.kindNames.map { try store.kind($0, .json) }
            let session = try store.startSession("s", at: 0)
            var workload = WorkloadA()
            for _ in 0..<count {
                let event = workload.next()
                try session.append(
                    workload.payload, kind: kinds[event.kind], at: event.timestamp)
            }
            try session.end(at: 0)
            let before = try store.info().storedBytes
            #expect(try store.compact().isComplete)
            let info = try store.info()
            #expect(info.eventCount == count && (count < 100_000 || info.storedBytes < before * 3 / 4))
            sizes.append(info.storedBytes)
            try store.close()
        }
        print("\(count) events settle to \(sizes[0]) bytes from blocks of one, and to \(sizes[1])")
        #expect(abs(Double(sizes[0]) / Double(sizes[1]) - 1) < 0.05)
    }

    @Test("Kinds whose names are one text to Unicode, and not the same bytes, stay two")
    func spellings() throws {
        let system = SimulatedFileSystem(seed: 6)
        try system.makeDirectory("/data")
        let names = ["\u{E9}t\u{E9}", "e\u{301}te\u{301}"]
        #expect(names[0] == names[1])
        let store = try EventStore.open(Self.path, options: Self.options(on: system))
        let session = try store.startSession("s")
        for number in 0..<300 as Range<UInt64> {
            let kind = try store.kind(names[Int(number % 2)], .binary)
            try session.append(Self.payload(number), kind: kind)
        }
        try session.end()
        let report = try store.compact()
        #expect(report.isComplete && report.refused == [:] && report.bytesWritten > 0)
        var cursor = try store.cursor()
        var found = 0
        while let event = try cursor.nextEvent() {
            #expect(Array(event.kind.name.utf8) == Array(names[Int(event.sequence % 2)].utf8))
            found += 1
        }
        #expect(found == 300)
        try store.close()
    }

    @Test("A damaged segment stays as it is, by its name; those beside it are compacted")
    func damaged() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("store")
        try Self.made(POSIXFileSystem(), at: path)
        let files = try segments(of: path)
        try #require(files.count > 6)
        let victim = files[3]
        var bytes = try Data(contentsOf: URL(filePath: victim))
        bytes[bytes.count / 2] ^= 0x20
        try bytes.write(to: URL(filePath: victim))
        let store = try EventStore.open(path, options: Self.options(on: POSIXFileSystem()))
        var before: [UInt64] = []
        var cursor = try store.cursor()
        while let event = try cursor.nextEvent() { before.append(event.sequence) }
        #expect(before.count < 600 && before.count > 400)
        let report = try store.compact()
        #expect(report.isComplete)
        #expect(Array(report.refused.keys) == [URL(filePath: victim).lastPathComponent])
        #expect(try Data(contentsOf: URL(filePath: victim)) == bytes)
        #expect(try store.info().settledCount == store.info().segmentCount - 1)
        var after: [UInt64] = []
        cursor = try store.cursor()
        while let event = try cursor.nextEvent() { after.append(event.sequence) }
        #expect(after == before)
        try store.close()
    }

    @Test("Snapshots and cursors taken before, here and in a reader, finish on what they saw")
    func readers() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("store")
        try Self.made(POSIXFileSystem(), at: path)
        var options = Self.options(on: POSIXFileSystem())
        options.limits = RetentionLimits(events: 600)
        let reader = try EventStore.openReadOnly(path)
        let store = try EventStore.open(path, options: options)
        for owner in [reader, store] {
            let snapshot = try owner.snapshot()
            var cursor = try snapshot.cursor()
            for _ in 0..<10 { _ = try cursor.nextEvent() }
            let start = try store.info().sequences?.lowerBound ?? 0
            // All that the snapshot saw is dropped, and its files are gone.
            try Self.record(store.nextSequence..<store.nextSequence + 600, to: store)
            #expect(try store.compact().isComplete)
            var count: UInt64 = 10
            while let event = try cursor.nextEvent() {
                #expect(event.payload == Self.payload(event.sequence))
                count += 1
            }
            #expect(count == 600)
            // What was dropped before it was taken is told, and nothing else.
            #expect(
                cursor.coverage.gaps.allSatisfy {
                    $0.reason == .retention && $0.sequences.upperBound < start
                }, "\(cursor.coverage.gaps)")
            var whole = try snapshot.cursor()
            #expect(try whole.nextEvent()?.sequence == start)
            try Self.check(owner, store.nextSequence - 600..<store.nextSequence)
        }
        try store.close()
    }

    @Test("Sources that the system does not let go are never seen beside what they became, and go later")
    func sourcesStay() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("store")
        try Self.made(POSIXFileSystem(), at: path)
        let system = ClingingFileSystem()
        let store = try EventStore.open(path, options: Self.options(on: system))
        let sources = try segments(of: path)
        system.clings = true
        #expect(try store.compact().isComplete)
        #expect(try Set(sources).isSubset(of: segments(of: path)))
        try Self.check(store, 0..<600)
        try Self.check(try EventStore.openReadOnly(path), 0..<600)
        let copy = directory.path("copy")
        try FileManager.default.copyItem(atPath: path, toPath: copy)
        let copied = try EventStore.open(copy)
        try Self.check(copied, 0..<600)
        try copied.close()
        system.clings = false
        #expect(try store.compact().isComplete)
        #expect(try Set(sources).isDisjoint(with: segments(of: path)))
        try Self.check(store, 0..<600)
        try store.close()
    }

    @Test(
        "What hides sources that the system does not let go stays until they have gone, also over openings",
        arguments: [false, true])
    func sourcesStayLonger(isOpenedAgain: Bool) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("store")
        try Self.made(POSIXFileSystem(), at: path)
        let system = ClingingFileSystem()
        var options = Self.options(on: system)
        options.limits = RetentionLimits(events: 600)
        var store = try EventStore.open(path, options: options)
        let sources = try segments(of: path)
        system.clings(to: sources)
        #expect(try store.compact().isComplete)
        let made = try Set(segments(of: path)).subtracting(sources)
        if isOpenedAgain {
            try store.close()
            store = try EventStore.open(path, options: options)
        }
        // Little is kept of what was made: without the sources it would be written anew.
        try Self.record(600..<1160, to: store)
        #expect(try store.compact().isComplete)
        #expect(try made.isSubset(of: segments(of: path)))
        try Self.check(store, 560..<1160)
        let copy = directory.path("copy")
        try FileManager.default.copyItem(atPath: path, toPath: copy)
        for other in [try EventStore.openReadOnly(path), try EventStore.open(copy)] {
            try Self.check(other, 560..<1160)
            try other.close()
        }
        system.clings = false
        #expect(try store.compact().isComplete)
        #expect(try made.union(sources).isDisjoint(with: segments(of: path)))
        try Self.check(store, 560..<1160)
        try store.close()
    }

    @Test("What the limits drop while it is about to be written anew is no reason to refuse anything")
    func droppedMeanwhile() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("store")
        try Self.made(POSIXFileSystem(), at: path)
        let system = HookedFileSystem()
        var options = Self.options(on: system)
        options.limits = RetentionLimits(events: 600, checkpoints: 5)
        let store = try EventStore.open(path, options: options)
        // All indices are read: from now on only compaction opens a segment.
        try Self.check(store, 0..<600)
        let dropped = Locked("")
        system.beforeReading { source in
            dropped.withLock { $0 = source }
            // More than the limit keeps: only what is durable lets the oldest go.
            try? Self.record(600..<1400, to: store)
            #expect(comesTrue { !FileManager.default.fileExists(atPath: source) })
        }
        let report = try store.compact()
        #expect(dropped.withLock { $0 }.hasSuffix(".seg"))
        #expect(report.refused.isEmpty && report.isComplete)
        try Self.check(store, 800..<1400)
        try store.close()
    }

    @Test("In the background a rewrite ends with the next block when what it reads is dropped")
    func endsWithItsSources() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("store")
        let system = HeldRewriteFileSystem()
        var options = smallBlocks(on: system)
        options.segmentBytes = 64 << 10
        options.compactsInBackground = true
        options.limits = RetentionLimits(events: 1_500, checkpoints: 40)
        let store = try EventStore.open(path, options: options)
        // Whatever happens, it does not wait for ever.
        defer { system.mayGoOn.signal() }
        var next: UInt64 = 0
        func recordMore(_ count: UInt64) throws {
            try Self.record(next..<next + count, to: store)
            next += count
        }
        // Nothing is dropped yet.
        try recordMore(1_400)
        #expect(system.began.isSignalled())
        let sources = Set(try segments(of: path))
        try recordMore(3_000)
        #expect(try comesTrue { try sources.isDisjoint(with: segments(of: path)) })
        system.mayGoOn.signal()
        #expect(system.gone.isSignalled())
        #expect(system.writes == 0)
        try Self.check(store, next - 1_500..<next)
        try store.close()
    }

    @Test("Closing a store beside its compaction leaves nobody who writes")
    func closedBeside() throws {
        let directory = try TemporaryDirectory()
        for round in 0..<12 {
            let path = directory.path("store\(round)")
            try Self.made(POSIXFileSystem(), at: path)
            let system = ClingingFileSystem()
            let store = try EventStore.open(path, options: Self.options(on: system))
            let ended = DispatchSemaphore(value: 0)
            let failure = Locked((any Error)?.none)
            Thread.detachNewThread {
                do {
                    while try store.compact().isComplete {}
                } catch StoreError.closed {
                } catch {
                    failure.withLock { $0 = error }
                }
                ended.signal()
            }
            let session = try store.startSession("beside")
            for number in 0..<round * 20 {
                try session.append(noise(UInt64(number), 100), kind: store.kind("order", .binary))
            }
            try store.close()
            system.end()
            ended.wait()
            #expect(failure.withLock { $0 } == nil && system.late == [])
            let reader = try EventStore.openReadOnly(path)
            #expect(try reader.count() == 600 + UInt64(round * 20) && reader.verify().damage == [])
        }
    }

    @Test(
        "In the background it works while events come, and whoever closes the store does not wait for it",
        arguments: [nil, 20_000] as [UInt64?])
    func background(bytesPerSecond: UInt64?) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("store")
        var options = Self.options(on: POSIXFileSystem())
        options.compactsInBackground = true
        options.compactionBytesPerSecond = bytesPerSecond
        let compacted = DispatchSemaphore(value: 0)
        options.diagnostics = { if case .compacted = $0 { compacted.signal() } }
        let store = try EventStore.open(path, options: options)
        var next: UInt64 = 0
        // However fast events come, it must get to its work.
        let isCompacted = try comesTrue {
            try Self.record(next..<next + 150, to: store)
            next += 150
            return compacted.wait(timeout: .now() + (next < 30_000 ? 0 : 0.1)) == .success
        }
        #expect(isCompacted)
        try Self.check(store, 0..<next)
        try store.close()
        let reader = try EventStore.openReadOnly(path)
        try Self.check(reader, 0..<next)
        #expect(try reader.verify().damage == [])
    }
}
