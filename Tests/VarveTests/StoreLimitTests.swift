import Foundation
import Testing
import Varve
import VarveIO
import VarveTestKit

/// A disk of a fixed size, which others use too. A file takes its bytes until its name is gone, and all that has it mapped.
private final class SharedDisk: ForwardingFileSystem, @unchecked Sendable {
    let base: any FileSystem = POSIXFileSystem()
    private let lock = NSLock()
    private let capacity: UInt64
    private var others: UInt64 = 0
    private var othersAtRemoval: UInt64?
    private var passed: UInt64 = 0
    private var mapped: [Int: (path: String, bytes: Int)] = [:]
    private var count = 0

    /// Its clock is so many times slower than the system's.
    private let slowness: UInt64

    init(capacity: UInt64, slowness: UInt64 = 1) {
        self.capacity = capacity
        self.slowness = slowness
    }

    func others(take bytes: UInt64) { lock.withLock { others = bytes } }

    /// As soon as a file is removed.
    func others(takeAtRemoval bytes: UInt64) { lock.withLock { othersAtRemoval = bytes } }

    func unlink(_ path: String) throws(IOFailure) {
        try base.unlink(path)
        lock.withLock {
            others = othersAtRemoval ?? others
            othersAtRemoval = nil
        }
    }

    /// From now on it is so much later.
    func pass(seconds: UInt64) { lock.withLock { passed += seconds * 1_000_000_000 } }

    func monotonic() -> UInt64 { base.monotonic() / slowness &+ lock.withLock { passed } }

    func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        let directory = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
        let room: @Sendable (Int) throws(IOFailure) -> Void = { count throws(IOFailure) in
            if try self.space(at: directory).freeBytes < count {
                throw IOFailure(.write, path: path, code: ENOSPC)
            }
        }
        return WatchedFile(base: try base.open(path, mode), room: room) { region in
            let number = self.lock.withLock {
                self.count += 1
                self.mapped[self.count] = (path, region.bytes.count)
                return self.count
            }
            return WatchedRegion(base: region) { self.lock.withLock { self.mapped[number] = nil } }
        }
    }

    func space(at path: String) throws(IOFailure) -> DiskSpace {
        var (used, mapped) = lock.withLock { (others, self.mapped) }
        for entry in (try? base.list(path)) ?? [] where entry.kind == .regular {
            let file = path + "/" + entry.name
            used += ((try? base.stamp(of: file)) ?? nil)?.byteCount ?? 0
            mapped = mapped.filter { $0.value.path != file }
        }
        let unnamed = Dictionary(mapped.values.map { ($0.path, $0.bytes) }) { first, _ in first }
        used += UInt64(unnamed.values.reduce(0, +))
        return DiskSpace(freeBytes: capacity > used ? capacity - used : 0, totalBytes: capacity)
    }
}

/// The system's files; knows which threads have let go of mapped ones.
private final class MappingWatch: ForwardingFileSystem {
    let base: any FileSystem = POSIXFileSystem()
    let threads = Locked<Set<ObjectIdentifier>>([])

    func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        WatchedFile(base: try base.open(path, mode)) { region in
            WatchedRegion(base: region) {
                self.threads.withLock { _ = $0.insert(ObjectIdentifier(Thread.current)) }
            }
        }
    }
}

private final class WatchedFile: PassThroughFile {
    let base: any File
    private let room: @Sendable (Int) throws(IOFailure) -> Void
    private let watch: @Sendable (any MappedRegion) -> any MappedRegion

    init(
        base: any File, room: @escaping @Sendable (Int) throws(IOFailure) -> Void = { _ in },
        watch: @escaping @Sendable (any MappedRegion) -> any MappedRegion
    ) {
        self.base = base
        self.room = room
        self.watch = watch
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOFailure) {
        try room(bytes.count)
        try base.write(bytes, at: offset)
    }

    func map() throws(IOFailure) -> (any MappedRegion)? { try base.map().map(watch) }
}

private final class WatchedRegion: MappedRegion {
    private let base: any MappedRegion
    private let whenGone: @Sendable () -> Void

    init(base: any MappedRegion, whenGone: @escaping @Sendable () -> Void) {
        self.base = base
        self.whenGone = whenGone
    }

    deinit { whenGone() }

    var bytes: UnsafeRawBufferPointer { base.bytes }
    var canPopulate: Bool { base.canPopulate }
    func populate(_ range: Range<Int>) throws(IOFailure) { try base.populate(range) }
}

@Suite("Limits of age, disk space and bytes, and what they can't be asked")
struct StoreLimitTests {
    private let directory: TemporaryDirectory
    private let path: String

    init() throws {
        directory = try TemporaryDirectory()
        path = directory.path("store")
    }

    private func sequences(_ store: EventStore) throws -> [UInt64] {
        var found: [UInt64] = []
        var cursor = try store.cursor()
        while let event = try cursor.nextEvent() {
            let isRight = event.payload == noise(event.sequence, event.payload.count)
            #expect(isRight, "event \(event.sequence) is another one")
            found.append(event.sequence)
        }
        return found
    }

    /// Those of a store whose segments have so many bytes, without `TAIL`.
    private func options(
        of bytes: UInt64, on disk: SharedDisk, limits: RetentionLimits = RetentionLimits()
    ) -> StoreOptions {
        var options = smallBlocks(on: disk)
        options.segmentBytes = bytes
        options.keepsTail = false
        options.limits = limits
        return options
    }

    private func bytes() throws -> UInt64 {
        try contents(of: path).values.reduce(0) { $0 + UInt64($1.count) }
    }

    private func append(
        _ numbers: Range<UInt64>, of count: Int = 600, to store: EventStore, at timestamp: Int64 = 0
    ) throws {
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        for number in numbers { try session.append(noise(number, count), kind: kind, at: timestamp) }
        try store.flush()
        try session.end()
    }

    // The system frees a file's blocks with its last mapping, which took the thread that writes up to 46 ms for 32 MB.
    @Test(
        "No append waits until the system has freed what is dropped for it, and closing leaves nothing mapped"
    )
    func lettingGo() throws {
        let watch = MappingWatch()
        let keeper = Locked<ObjectIdentifier?>(nil)
        let sealed = DispatchSemaphore(value: 0)
        let dropped = Locked(0)
        var options = smallBlocks(on: watch)
        options.limits = RetentionLimits(bytes: 1 << 20)
        options.diagnostics = {
            switch $0 {
            case .sealed:
                keeper.withLock { $0 = ObjectIdentifier(Thread.current) }
                sealed.signal()
            case .dropped: dropped.withLock { $0 += 1 }
            default: break
            }
        }
        let store = try EventStore.open(path, options: options)
        // More than a segment holds, and nothing after it: the keeper seals it.
        try append(0..<400, to: store)
        #expect(sealed.isSignalled())
        try append(400..<5000, to: store)
        #expect(dropped.withLock { $0 } > 10)
        let letGo = watch.threads.withLock { $0 }
        #expect(letGo.subtracting([try #require(keeper.withLock { $0 })]) == [])
        try store.close()
        #if os(Linux)
        let maps = try String(contentsOfFile: "/proc/self/maps", encoding: .utf8)
        let left = maps.split(separator: "\n").filter { line in
            line.contains(path) && line.contains(".seg (deleted)")
        }
        #expect(left == [])
        #endif
        withExtendedLifetime(store) {}
    }

    // MARK: Age

    private static let hour: UInt64 = 3_600_000_000_000

    @Test(
        "What was written longer ago than the limit goes, whatever its timestamps say",
        arguments: [Int64.min, -1, 0, 4_000_000_000_000_000_000, .max])
    func age(timestamp: Int64) throws {
        let system = ControlledFileSystem()
        var options = smallBlocks(on: system)
        options.limits = RetentionLimits(ageNanoseconds: Self.hour)
        let store = try EventStore.open(path, options: options)
        try append(0..<20, to: store, at: timestamp)
        system.advanceClock(nanoseconds: Self.hour - 1)
        try append(20..<40, to: store)
        #expect(try sequences(store) == Array(0..<40))
        try store.close()
        system.advanceClock(nanoseconds: 1)
        let second = try EventStore.open(path, options: options)
        #expect(try sequences(second) == Array(20..<40))
        try append(40..<60, to: second, at: timestamp)
        try second.close()
        let dropped = try #require(try EventStore.openReadOnly(path).info().droppings.last)
        #expect(dropped.limit == .age && dropped.sequences == 0..<20 && dropped.events == 20)
        system.advanceClock(nanoseconds: 2 * Self.hour)
        let third = try EventStore.open(path, options: options)
        #expect(try sequences(third) == [] && third.nextSequence == 60)
        // The log's last segment stays, with nothing in it that is kept: compaction ends all the same.
        #expect(try third.compact().isComplete)
        // Numbers go on.
        try append(60..<70, to: third)
        #expect(try sequences(third) == Array(60..<70))
        try third.close()
    }

    @Test("While a store is open what has become too old goes by itself")
    func ageWhileOpen() throws {
        let system = ControlledFileSystem()
        var options = smallBlocks(on: system)
        options.limits = RetentionLimits(ageNanoseconds: Self.hour)
        let dropped = DispatchSemaphore(value: 0)
        options.diagnostics = { if case .dropped = $0 { dropped.signal() } }
        options.segmentBytes = 16 << 10
        let store = try EventStore.open(path, options: options)
        try append(0..<100, to: store)
        system.advanceClock(nanoseconds: 2 * Self.hour)
        // The keeper looks once a second by the store's clock, which has moved, when there is something to do.
        try append(100..<120, to: store)
        #expect(dropped.isSignalled())
        #expect(try sequences(store) == Array(100..<120))
        try store.close()
    }

    // Only blocks of events were looked at, and only beyond the first event that was kept.
    @Test(
        "So do checkpoints, whatever the other limits keep of the events", arguments: [nil, 10] as [UInt64?])
    func ageOfCheckpoints(events: UInt64?) throws {
        let system = ControlledFileSystem()
        var options = smallBlocks(on: system)
        options.limits = RetentionLimits(events: events, ageNanoseconds: Self.hour)
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        for id in ["first", "second"] {
            let session = try store.startSession(id)
            for number in 0..<20 as Range<UInt64> {
                if id == "first" || number > 17 { try session.append(noise(number, 600), kind: kind) }
                try session.checkpoint("\(id) \(number)", state: noise(number, 50))
            }
            try session.end()
            system.advanceClock(nanoseconds: Self.hour / 3)
        }
        try append(22..<24, to: store)
        try store.close()
        for (passed, left) in [(0, 40), (Self.hour / 3 + 1, 20), (Self.hour / 3, 0)] as [(UInt64, Int)] {
            system.advanceClock(nanoseconds: passed)
            let again = try EventStore.open(path, options: options)
            #expect(try again.checkpoints().count == left)
            try again.close()
        }
    }

    // MARK: Disk space

    // What was removed was mapped until the keeper let go of it, and what took its space went as well.
    @Test("What one limit has dropped is there for others before the limit of free space drops more")
    func spaceOfWhatWasDropped() throws {
        let disk = SharedDisk(capacity: 16 << 20)
        // An eighth of the limit on bytes stays free: what is there leaves as much as the other limit asks for, but not a segment more.
        let limits = RetentionLimits(bytes: 4 << 20, freeBytes: 16 << 20 - 3_700_000)
        let store = try EventStore.open(path, options: options(of: 256 << 10, on: disk, limits: limits))
        // At the beginning of each segment it is looked at.
        try append(0..<4_000, of: 2_000, to: store)
        #expect(try sequences(store).count > 1_400)
        try store.close()
        let droppings = try EventStore.openReadOnly(path).info().droppings
        #expect(droppings.contains { $0.limit == .bytes })
        #expect(!droppings.contains { $0.limit == .freeBytes })
    }

    // What was removed before and has shown does not hide what others take later.
    @Test("What others take is made up for soon after another limit has dropped something")
    func spaceAfterAnotherLimit() throws {
        let disk = SharedDisk(capacity: 64 << 20)
        var options = options(
            of: 64 << 10, on: disk, limits: RetentionLimits(events: 2_000, freeBytes: 32 << 20))
        let dropped = DispatchSemaphore(value: 0)
        options.diagnostics = { if case .dropped = $0 { dropped.signal() } }
        let store = try EventStore.open(path, options: options)
        try append(0..<4_000, of: 2_000, to: store)
        #expect(dropped.isSignalled())
        disk.others(take: 30 << 20)
        var next: UInt64 = 4_000
        // What the other limit keeps is more than has room then.
        while next < 12_000, try store.info().eventCount == 2_000 {
            try append(next..<next + 100, of: 2_000, to: store)
            next += 100
        }
        #expect(next < 12_000)
        try store.close()
    }

    @Test(
        "As long as a snapshot has mapped what was dropped no more goes for that, but all that is recorded meanwhile is made up for"
    )
    func spaceUnderASnapshot() throws {
        let disk = SharedDisk(capacity: 32 << 20, slowness: 1_000)
        let limits = RetentionLimits(freeBytes: 28 << 20)
        let store = try EventStore.open(path, options: options(of: 64 << 10, on: disk, limits: limits))
        try append(0..<1_900, of: 2_000, to: store)
        let snapshot = try store.snapshot()
        for start in stride(from: UInt64(1_900), to: 4_900, by: 100) {
            try append(start..<start + 100, of: 2_000, to: store)
            // The limit, and what is not looked at before the next segment begins.
            let stored = try store.info().storedBytes
            #expect((3_400 << 10...4_350 << 10).contains(stored), "\(stored)")
        }
        #expect(try snapshot.count() == 1_900)
        try store.close()
    }

    @Test("As long as a snapshot has mapped what was written anew nothing is dropped for that")
    func spaceOfWhatWasCompacted() throws {
        let disk = SharedDisk(capacity: 32 << 20, slowness: 1_000)
        // Twice what is recorded is too much.
        let limits = RetentionLimits(freeBytes: 27 << 20)
        let store = try EventStore.open(path, options: options(of: 256 << 10, on: disk, limits: limits))
        try append(0..<1_600, of: 2_000, to: store)
        let snapshot = try store.snapshot()
        #expect(try store.compact().isComplete)
        let freeBytes = try disk.space(at: path).freeBytes
        #expect(freeBytes < 26 << 20, "the snapshot does not hold what was compacted")
        // Segments begin, and it is looked at.
        try append(1_600..<1_900, of: 2_000, to: store)
        disk.pass(seconds: 3_600)
        try append(1_900..<2_100, of: 2_000, to: store)
        #expect(try sequences(store) == Array(0..<2_100))
        // What others take is made up for all the same.
        disk.others(take: 2 << 20)
        try append(2_100..<2_400, of: 2_000, to: store)
        let stored = try store.info().storedBytes
        #expect((2_000 << 10...3_500 << 10).contains(stored), "\(stored)")
        #expect(try snapshot.count() == 1_600)
        try store.close()
    }

    @Test(
        "What a snapshot has mapped counts as free for a minute, and longer where half of the limit is free")
    func scarceSpaceUnderASnapshot() throws {
        let disk = SharedDisk(capacity: 16 << 20, slowness: 1_000)
        let limits = RetentionLimits(freeBytes: 6 << 20)
        let store = try EventStore.open(path, options: options(of: 64 << 10, on: disk, limits: limits))
        try append(0..<3_800, of: 2_000, to: store)
        let snapshot = try store.snapshot()
        var next: UInt64 = 3_800
        /// Bytes of the store after some more events.
        func stored() throws -> UInt64 {
            try append(next..<next + 50, of: 2_000, to: store)
            next += 50
            return try store.info().storedBytes
        }
        // What all others and the store may take, less what the others do; a segment may have come since it was looked at.
        for (others, minutes, expected) in [
            (4, 0, 5_900...6_300), (4, 60, 5_900...6_300), (6, 0, 1_500...2_450),
        ] as [(UInt64, UInt64, ClosedRange<UInt64>)] {
            disk.others(take: others << 20)
            disk.pass(seconds: minutes * 60)
            let bytes = try stored()
            #expect(expected.contains(bytes >> 10), "\(bytes) bytes where others take \(others) MiB")
        }
        #expect(try snapshot.count() == 3_800)
        try store.close()
    }

    // It was taken for what is dropped and does not show, and nothing went for a minute.
    @Test("What others take while the oldest is dropped is made up for at once")
    func spaceTakenMeanwhile() throws {
        let disk = SharedDisk(capacity: 32 << 20, slowness: 1_000)
        let limits = RetentionLimits(freeBytes: 16 << 20)
        let store = try EventStore.open(path, options: options(of: 64 << 10, on: disk, limits: limits))
        try append(0..<3_800, of: 2_000, to: store)
        // Little is missing when the first is removed.
        disk.others(take: 8_500 << 10)
        disk.others(takeAtRemoval: 12 << 20)
        try append(3_800..<4_000, of: 2_000, to: store)
        let stored = try store.info().storedBytes
        // 4 MiB are left; one or two segments went first, which can't be told from what others took, and one or two have come since.
        #expect((3_900 << 10...4_550 << 10).contains(stored), "\(stored)")
        try store.close()
    }

    // What little stays of the oldest is written anew: what that replaces does not show either.
    @Test("What a reader has mapped is not dropped for again and again, also where checkpoints stay of it")
    func spaceUnderAReader() throws {
        // All within a minute, however busy the machine is.
        let disk = SharedDisk(capacity: 32 << 20, slowness: 1_000)
        let limits = RetentionLimits(freeBytes: 28 << 20)
        let options = options(of: 64 << 10, on: disk, limits: limits)
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        func record(_ numbers: Range<UInt64>) throws {
            for number in numbers {
                if number % 25 == 0 { try session.checkpoint("cp", state: noise(number, 200)) }
                try session.append(noise(number, 2_000), kind: kind)
            }
            try store.flush()
        }
        try record(0..<1_600)
        let reader = try EventStore.openReadOnly(path, options: options)
        let snapshot = try reader.snapshot()
        #expect(try sequences(reader).count == 1_600)
        disk.others(take: 1 << 20)
        for first in stride(from: UInt64(1_600), to: 2_600, by: 50) { try record(first..<first + 50) }
        let kept = try sequences(store)
        // The 3 MiB that others leave have room for 1,410 of them with their checkpoints, and a segment is 29. What is recorded is made up
        // for, and what was dropped for others is not missed again.
        #expect(kept.last == 2_599 && (1_320...1_450).contains(kept.count), "\(kept.count)")
        #expect(try snapshot.checkpoints().count == 64)
        try session.end()
        try store.close()
    }

    @Test(
        "On a disk that is full otherwise an append has the space of what was dropped for it",
        arguments: [16, 64, 128, 200])
    func spaceForAnAppend(more: UInt64) throws {
        // What the limit on bytes leaves to segments, and little more.
        let disk = SharedDisk(capacity: 4 << 20 - 512 << 10 + more << 10)
        let limits = RetentionLimits(bytes: 4 << 20)
        let store = try EventStore.open(path, options: options(of: 256 << 10, on: disk, limits: limits))
        // Two fill a segment; sooner or later one does not fit into what is left of the disk besides.
        try append(0..<200, of: 100_000, to: store)
        #expect(try sequences(store).last == 199)
        try store.close()
    }

    @Test("The oldest goes so that the disk keeps the space that is to be left to others")
    func freeSpace() throws {
        let disk = SharedDisk(capacity: 8 << 20, slowness: 1_000)
        let limits = RetentionLimits(freeBytes: 4 << 20)
        let store = try EventStore.open(path, options: options(of: 64 << 10, on: disk, limits: limits))
        try append(0..<1_000, of: 2_000, to: store)
        #expect(try sequences(store) == Array(0..<1_000))
        disk.others(take: 3 << 20)
        try append(1_000..<2_000, of: 2_000, to: store)
        try store.close()
        // At each segment's beginning there was as much, and one segment has come since.
        #expect(try disk.space(at: path).freeBytes >= 4 << 20 - 128 << 10)
        let reader = try EventStore.openReadOnly(path)
        let kept = try sequences(reader)
        #expect(kept == Array((kept.first ?? 0)..<2_000) && kept.count > 300)
        #expect(try reader.info().droppings.contains { $0.limit == .freeBytes })
    }

    @Test(
        "Where nothing more may go for the disk's sake, an append says so; what is there stays, and once there is space it goes on"
    )
    func noFreeSpace() throws {
        let disk = SharedDisk(capacity: 8 << 20)
        var options = options(of: 64 << 10, on: disk)
        let free = try EventStore.open(path, options: options)
        try append(0..<500, of: 2_000, to: free)
        try free.pin(sequences: 0...10_000)
        try free.close()
        disk.others(take: 6 << 20)
        options.limits = RetentionLimits(freeBytes: 4 << 20)
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("without space")
        func appendNext() throws { try session.append(noise(store.nextSequence, 2_000), kind: kind) }
        #expect {
            for _ in 500..<900 { try appendNext() }
        } throws: {
            if case .limitReached? = $0 as? StoreError { true } else { false }
        }
        #expect(try sequences(store).prefix(500) == Array(0..<500)[...])
        disk.others(take: 0)
        // What waits is written within a moment.
        try #require(comesTrue { (try? appendNext()) != nil })
        for _ in 0..<10 { try appendNext() }
        try session.end()
        try store.close()
        let reader = try EventStore.openReadOnly(path)
        #expect(try reader.verify().damage == [])
        let kept = try sequences(reader)
        #expect(kept == Array(0..<UInt64(kept.count)) && kept.count >= 510)
    }

    // MARK: Files that stay

    @Test("Segments that the system does not let go are dropped all the same, and removed once it does")
    func filesStay() throws {
        let system = ClingingFileSystem()
        var options = smallBlocks(on: system)
        options.segmentBytes = 16 << 10
        options.limits = RetentionLimits(events: 50)
        let failures = Locked(0)
        options.diagnostics = { if case .maintenanceFailed = $0 { failures.withLock { $0 += 1 } } }
        let store = try EventStore.open(path, options: options)
        system.clings = true
        try append(0..<400, to: store)
        #expect(try sequences(store) == Array(350..<400))
        _ = try store.compact()
        #expect(try segments(of: path).count > 10 && failures.withLock { $0 } > 0)
        #expect(try sequences(EventStore.openReadOnly(path)) == Array(350..<400))
        system.clings = false
        #expect(try store.compact().isComplete)
        #expect(try segments(of: path).count < 10)
        #expect(try sequences(store) == Array(350..<400))
        try store.close()
    }

    @Test("What recovery has set aside goes with the segments of its time")
    func asides() throws {
        var options = smallBlocks()
        options.segmentBytes = 16 << 10
        let first = try EventStore.open(path, options: options)
        try append(0..<200, to: first)
        try first.close()
        let names = try segments(of: path)
        let aside = [
            "\(names[0]).cut", "\(names[1]).1.cut", "\(names[names.count - 1]).cut", path + "/other.cut",
        ]
        for name in aside { try Data([1, 2, 3]).write(to: URL(filePath: name)) }
        func left() -> [Bool] { aside.map { FileManager.default.fileExists(atPath: $0) } }
        options.limits = RetentionLimits(events: 50)
        let store = try EventStore.open(path, options: options)
        #expect(try sequences(store) == Array(150..<200) && left() == [false, false, true, true])
        try append(200..<400, to: store)
        _ = try store.compact()
        #expect(try sequences(store) == Array(350..<400) && left() == [false, false, false, true])
        try store.close()
    }

    @Test(
        "Where what was dropped takes its room all the same, an append says so, and nothing more is dropped for it"
    )
    func roomStays() throws {
        let system = ClingingFileSystem()
        var options = smallBlocks(on: system)
        options.limits = RetentionLimits(bytes: 1 << 20)
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        func appendNext() throws { try session.append(noise(store.nextSequence, 2_000), kind: kind) }
        for _ in 0..<600 { try appendNext() }
        system.clings = true
        #expect {
            for _ in 0..<600 { try appendNext() }
        } throws: {
            if case .limitReached? = $0 as? StoreError { true } else { false }
        }
        let first = try #require(try store.info().sequences?.lowerBound)
        for _ in 0..<50 {
            #expect(throws: StoreError.self) { try store.flush() }
            #expect(try store.info().sequences?.lowerBound == first)
        }
        #expect(try bytes() <= 1 << 20)
        system.clings = false
        try #require(comesTrue { (try? appendNext()) != nil })
        for _ in 0..<600 { try appendNext() }
        try store.close()
        #expect(try bytes() <= 1 << 20)
        let kept = try sequences(EventStore.openReadOnly(path))
        #expect(kept.count > 100 && kept == Array((kept.first ?? 0)..<store.nextSequence))
    }

    // Of segments whose events were all dropped nothing more was thought to go, and recording came to its end.
    @Test(
        "Where one limit has dropped the events, the limit of bytes drops the oldest checkpoints",
        arguments: [1, 10, 60])
    func checkpointsForRoom(events: UInt64) throws {
        let reports = Locked([RetentionLimit]())
        var options = smallBlocks()
        options.diagnostics = {
            if case .limitUnreachable(let limit) = $0 { reports.withLock { $0.append(limit) } }
        }
        options.limits = RetentionLimits(events: events, bytes: 1 << 20)
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let sessions = try ["a", "b"].map { id in
            let session = try store.startSession(id)
            for number in 0..<200 as Range<UInt64> {
                for _ in 0..<3 { try session.append(noise(store.nextSequence, 600), kind: kind) }
                try session.checkpoint("\(id) \(number)", state: noise(number, 20_000))
                if number % 20 == 0 {
                    try store.flush()
                    #expect(try bytes() <= 1 << 20)
                }
            }
            try session.end()
            return session.ordinal
        }
        #expect(try sequences(store) == Array(1_200 - events..<1_200))
        let kept = try store.checkpoints()
        #expect(kept.count > 15 && kept.count < 60 && kept.allSatisfy { $0.sessionOrdinal == sessions[1] })
        #expect(kept.map(\.ordinal) == Array(401 - UInt64(kept.count)...400))
        for checkpoint in kept {
            #expect(try store.snapshot().state(of: checkpoint) == noise(checkpoint.ordinal - 201, 20_000))
        }
        try store.close()
        #expect(try bytes() <= 1 << 20 && reports.withLock { $0 } == [])
        #expect(try EventStore.openReadOnly(path).verify().damage == [])
    }

    // The segment of the checkpoint that the first event is reached from was written anew for ever, and what comes after it stayed.
    @Test(
        "A segment that has only the checkpoint which is needed does not keep those after it from going",
        arguments: [false, true])
    func checkpointAlone(compacts: Bool) throws {
        var options = smallBlocks()
        options.compactsInBackground = compacts
        options.limits = RetentionLimits(bytes: 1 << 20)
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        for number in 0..<40 as Range<UInt64> {
            for _ in 0..<100 { try session.append(noise(store.nextSequence, 600), kind: kind) }
            try session.checkpoint("\(number)", state: noise(number, 120_000))
            // Beside compaction files come and go while they are counted.
            if !compacts { #expect(try bytes() <= 1 << 20) }
        }
        let kept = try sequences(store)
        #expect(kept.count > 100 && kept == Array(kept[0]..<4_000))
        let first = try #require(try store.checkpoints().first)
        #expect(first.sequence <= kept[0] + 100)
        try store.close()
        #expect(try bytes() <= 1 << 20)
        #expect(try EventStore.openReadOnly(path).verify().damage == [])
    }

    // It took heads of what had been written since it looked at the segments.
    @Test("A snapshot beside appends has as many events as the limit keeps, no fewer")
    func snapshots() throws {
        var options = smallBlocks()
        options.durability = .none
        options.segmentBytes = 256 << 10
        options.limits = RetentionLimits(events: 50)
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        for number in 0..<50 as Range<UInt64> { try session.append(noise(number, 200), kind: kind) }
        let writing = DispatchGroup()
        writing.enter()
        // Some while appends go on, however busy the machine is.
        let hasLooked = Locked(false)
        Thread.detachNewThread {
            do {
                var number: UInt64 = 50
                while number < 40_000 || !hasLooked.withLock({ $0 }) {
                    try session.append(noise(number, 200), kind: kind)
                    number += 1
                }
            } catch {
                Issue.record(error)
            }
            writing.leave()
        }
        defer { hasLooked.withLock { $0 = true } }
        var looks = 0
        repeat {
            let found = try sequences(store)
            try #require(found.count == 50 && found == Array(found[0]...found[0] + 49), "\(found.count)")
            if store.nextSequence > 50 { looks += 1 }
            if looks == 20 { hasLooked.withLock { $0 = true } }
        } while writing.wait(timeout: .now()) != .success
        try store.close()
    }

    // Orders from before were taken for those in force, and what they asked for was dropped.
    @Test("Where the system does not let the orders in force be read, opening says so and drops nothing")
    func unreadableOrders() throws {
        var options = smallBlocks()
        options.segmentBytes = 64 << 10
        options.limits = RetentionLimits(events: 500)
        let first = try EventStore.open(path, options: options)
        try append(0..<300, to: first)
        try first.close()
        options.limits = RetentionLimits()
        // One segment has them.
        options.segmentBytes = 64 << 20
        let second = try EventStore.open(path, options: options)
        try append(300..<900, to: second)
        try second.close()
        func files() throws -> [String: Data] { try contents(of: path).filter { $0.key.hasSuffix(".seg") } }
        let before = try files()
        let last = try #require(try segments(of: path).last)
        options.limits = nil
        for count in 0..<12 {
            let system = FaultInjectingFileSystem()
            system.inject(.init(.open, onPathsEndingIn: last, after: count, code: EMFILE))
            options.fileSystem = system
            if let store = try? EventStore.open(path, options: options) {
                #expect(store.limits == RetentionLimits())
                #expect(try sequences(store) == Array(0..<900))
                try store.close()
            }
            #expect(try files() == before)
        }
        options.fileSystem = POSIXFileSystem()
        let store = try EventStore.open(path, options: options)
        #expect(try store.limits == RetentionLimits() && sequences(store) == Array(0..<900))
        try store.close()
    }

    // Opening dropped all else, and then failed for want of room for `TAIL`: nobody could unpin under that limit.
    @Test(
        "Pins above a lowered limit of bytes leave a store that opens, refuses appends, and can be unpinned")
    func pinsAboveBytes() throws {
        var options = smallBlocks()
        options.segmentBytes = 128 << 10
        let free = try EventStore.open(path, options: options)
        try append(0..<1_500, of: 2_000, to: free)
        try free.pin(sequences: 0...1_000)
        try free.close()
        options.limits = RetentionLimits(bytes: 1 << 20)
        for _ in 0..<2 {
            let store = try EventStore.open(path, options: options)
            #expect(try sequences(store).prefix(1_001) == Array(0...1_000)[...])
            let session = try? store.startSession("more")
            #expect {
                try session?.append(noise(1, 600), kind: store.kind("noise", .binary))
                try store.flush()
            } throws: {
                if case .limitReached? = $0 as? StoreError { true } else { false }
            }
            try? store.close()
        }
        let store = try EventStore.open(path, options: options)
        try store.unpin(sequences: 0...1_000)
        try append(store.nextSequence..<store.nextSequence + 100, of: 2_000, to: store)
        try store.close()
        #expect(try bytes() <= 1 << 20)
        let kept = try sequences(EventStore.openReadOnly(path))
        #expect((kept.first ?? 0) > 1_000 && kept.count > 50)
    }

    // MARK: What stays

    @Test("Pins that exceed a limit are reported once, all else goes, and unpinned it is as the limit says")
    func unreachable() throws {
        let reports = Locked([RetentionLimit]())
        var options = smallBlocks()
        options.diagnostics = {
            if case .limitUnreachable(let limit) = $0 { reports.withLock { $0.append(limit) } }
        }
        options.limits = RetentionLimits(events: 100, checkpoints: 2)
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let evidence = try store.startSession("evidence")
        for number in 0..<60 as Range<UInt64> {
            try evidence.append(noise(number, 600), kind: kind)
            if number % 20 == 0 { try evidence.checkpoint("cp", state: [1]) }
        }
        try evidence.end()
        try store.pin(session: evidence.ordinal)
        #expect(store.unreachableLimits == [])
        try append(60..<200, to: store)
        #expect(try sequences(store) == Array(0..<60) + Array(160..<200))
        try store.pin(sequences: 160...199)
        #expect(store.unreachableLimits == [])
        try append(200..<230, to: store)
        // What is pinned is as many as may be kept: there is no room for others.
        #expect(try sequences(store) == Array(0..<60) + Array(160..<200))
        try store.pin(session: try #require(try store.sessions().last?.ordinal))
        try store.unpin(session: evidence.ordinal)
        #expect(try sequences(store).first == 160)
        try store.close()
        options.limits = RetentionLimits(events: 20)
        let lowered = try EventStore.open(path, options: options)
        #expect(lowered.unreachableLimits == [.events])
        #expect(try sequences(lowered) == Array(160..<200))
        try append(230..<240, to: lowered)
        #expect(try sequences(lowered) == Array(160..<200))
        try lowered.unpin(sequences: 160...199)
        #expect(lowered.unreachableLimits == [])
        try append(240..<300, to: lowered)
        #expect(try sequences(lowered) == Array(280..<300))
        try lowered.close()
        #expect(reports.withLock { $0 } == [.events])
    }

    @Test("The checkpoint from which the oldest event left can be reached goes last", arguments: [0, 100])
    func baseCheckpoint(before: UInt64) throws {
        var options = smallBlocks()
        options.limits = RetentionLimits(bytes: 1 << 20)
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("long")
        for number in 0..<before { try session.append(noise(number, 600), kind: kind) }
        try session.checkpoint("older", state: noise(1, 300))
        let base = try session.checkpoint("base", state: noise(2, 300))
        for number in before..<4_000 { try session.append(noise(number, 600), kind: kind) }
        try store.flush()
        let kept = try sequences(store)
        #expect((kept.first ?? 0) > before + 1_000 && kept.last == 3_999)
        let snapshot = try store.snapshot()
        #expect(try snapshot.checkpoints() == [base])
        #expect(try snapshot.state(of: base) == noise(2, 300))
        #expect(try bytes() <= 1 << 20)
        #expect(try store.compact().droppedCheckpoints == 1)
        // A later one is nearer.
        let next = try session.checkpoint("next", state: noise(3, 300))
        for number in 4_000..<8_000 as Range<UInt64> { try session.append(noise(number, 600), kind: kind) }
        try store.flush()
        #expect(try store.snapshot().checkpoints() == [next])
        try session.end()
        try store.close()
        #expect(try bytes() <= 1 << 20)
        #expect(try EventStore.openReadOnly(path).verify().damage == [])
    }

    @Test("Unpinned, what fills the limit of bytes goes, and recording goes on", arguments: [false, true])
    func unpinnedWhenFull(reopens: Bool) throws {
        var options = smallBlocks()
        options.limits = RetentionLimits(bytes: 1 << 20)
        var store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let evidence = try store.startSession("evidence")
        try evidence.append(noise(0, 600), kind: kind)
        try store.pin(session: evidence.ordinal)
        #expect {
            for number in 1..<4_000 as Range<UInt64> { try evidence.append(noise(number, 600), kind: kind) }
        } throws: {
            if case .limitReached? = $0 as? StoreError { true } else { false }
        }
        if reopens {
            // What could not be written is lost with the process.
            try? store.close()
            store = try EventStore.open(path, options: options)
        }
        let kept = store.nextSequence
        #expect(try sequences(store).prefix(1_000) == Array(0..<1_000)[...])
        try store.unpin(session: evidence.ordinal)
        if !reopens { try evidence.end() }
        try append(store.nextSequence..<store.nextSequence + 3_000, to: store)
        let now = try sequences(store)
        #expect(now.count > 500 && (now.first ?? 0) > kept && now == Array(now[0]...(now.last ?? 0)))
        try store.close()
        #expect(try bytes() <= 1 << 20)
        #expect(try EventStore.openReadOnly(path).verify().damage == [])
    }

    // MARK: What can't be asked

    @Test(
        "A limit that nobody can keep is refused before anything is made",
        arguments: [
            RetentionLimits(events: 0), RetentionLimits(checkpoints: 0), RetentionLimits(bytes: 0),
            RetentionLimits(ageNanoseconds: 0), RetentionLimits(freeBytes: 0),
            RetentionLimits(bytes: 1 << 20 - 1), RetentionLimits(events: 5, bytes: 1),
            RetentionLimits(freeBytes: .max), RetentionLimits(freeBytes: 1 << 60),
        ])
    func refused(limits: RetentionLimits) throws {
        var options = smallBlocks()
        options.limits = limits
        #expect {
            try EventStore.open(path, options: options)
        } throws: {
            if case .invalid? = $0 as? StoreError { true } else { false }
        }
        #expect(!FileManager.default.fileExists(atPath: path))
        // A store that is there stays as it is.
        let store = try EventStore.open(path, options: smallBlocks())
        try append(0..<30, to: store)
        try store.close()
        let before = try contents(of: path)
        #expect(throws: StoreError.self) { try EventStore.open(path, options: options) }
        #expect(try contents(of: path) == before)
    }

    @Test("Of several limits the tightest rules")
    func tightest() throws {
        var options = smallBlocks()
        options.limits = RetentionLimits(events: 100, bytes: 1 << 20)
        let store = try EventStore.open(path, options: options)
        try append(0..<500, of: 100, to: store)
        #expect(try sequences(store) == Array(400..<500))
        // Of large ones fewer fit than may be kept.
        try append(500..<700, of: 20_000, to: store)
        let kept = try sequences(store)
        #expect(kept.count < 60 && kept.count > 5 && kept.last == 699)
        try store.close()
        #expect(try bytes() <= 1 << 20)
    }

    @Test("An event that is larger than the limit allows is refused, and what is there stays")
    func tooLarge() throws {
        var options = smallBlocks()
        options.limits = RetentionLimits(bytes: 1 << 20)
        let store = try EventStore.open(path, options: options)
        try append(0..<50, to: store)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("large")
        #expect(
            throws: StoreError.beyondLimit(
                what: "the size of a payload", value: 1 << 17 + 1, limit: 1 << 17)
        ) { try session.append(noise(50, 1 << 17 + 1), kind: kind) }
        #expect(throws: StoreError.self) { try session.checkpoint("cp", state: noise(1, 1 << 17 + 1)) }
        #expect(try sequences(store) == Array(0..<50))
        #expect(try session.append(noise(50, 1 << 17), kind: kind) == 50)
        #expect(try sequences(store) == Array(0..<51))
        try store.close()
        #expect(try bytes() <= 1 << 20)
    }

    @Test(
        "A limit below what a store has drops the oldest at opening, and keeps as much of the newest as it allows",
        arguments: [64 << 10, 1 << 20, 64 << 20])
    func lowered(segmentBytes: UInt64) throws {
        var options = smallBlocks()
        options.segmentBytes = segmentBytes
        let store = try EventStore.open(path, options: options)
        let session = try store.startSession("checkpoints")
        try session.checkpoint("first", state: noise(7, 100))
        try session.end()
        try append(0..<3_000, of: 2_000, to: store)
        try store.close()
        #expect(try bytes() > 6_000_000)
        options.limits = RetentionLimits(bytes: 2 << 20)
        let lowered = try EventStore.open(path, options: options)
        #expect(try bytes() <= 2 << 20)
        let kept = try sequences(lowered)
        #expect(kept == Array((kept.first ?? 0)..<3_000))
        // At least a third of the limit: an eighth is kept free, another one is for `TAIL`, and segments go whole.
        #expect(kept.count * 2_000 > (2 << 20) / 3)
        try append(3_000..<3_010, of: 2_000, to: lowered)
        #expect(try sequences(lowered).suffix(10) == Array(3_000..<3_010)[...])
        try lowered.close()
        #expect(try bytes() <= 2 << 20)
        #expect(try EventStore.openReadOnly(path).verify().damage == [])
    }

    @Test("A disk that is full when a store is made, or opened, says so; with space it works")
    func fullAtStart() throws {
        let system = SimulatedFileSystem(seed: 1)
        try system.makeDirectory("/data")
        system.limitSpace(to: 10)
        var options = smallBlocks(on: system)
        options.limits = RetentionLimits(bytes: 2 << 20)
        #expect {
            try EventStore.open("/data/store", options: options)
        } throws: {
            if case .outOfSpace? = $0 as? StoreError { true } else { false }
        }
        system.limitSpace(to: nil)
        let store = try EventStore.open("/data/store", options: options)
        try append(0..<100, to: store)
        try store.close()
        system.limitSpace(to: 0)
        #expect {
            try EventStore.open("/data/store", options: options)
        } throws: {
            if case .outOfSpace? = $0 as? StoreError { true } else { false }
        }
        #expect(try sequences(EventStore.openReadOnly("/data/store", options: options)) == Array(0..<100))
        system.limitSpace(to: nil)
        let again = try EventStore.open("/data/store", options: options)
        try append(100..<110, to: again)
        #expect(try sequences(again) == Array(0..<110))
        try again.close()
    }
}
