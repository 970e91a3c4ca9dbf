import Foundation
import Testing
import Varve
import VarveIO
import VarveTestKit

/// The system's files; sees when zeros alone are written, and may refuse that.
private final class ZeroWatchingFileSystem: ForwardingFileSystem {
    enum Refusal { case nothing, all, secondHalf }

    let base: any FileSystem = POSIXFileSystem()
    let refusal: Refusal
    /// How often zeros were written, or refused, and how often behind a place where nothing was written yet.
    let seen = Locked((count: 0, afterHoles: 0))

    init(refusing refusal: Refusal = .nothing) { self.refusal = refusal }

    func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        ZeroWatchingFile(base: try base.open(path, mode), system: self)
    }
}

private final class ZeroWatchingFile: PassThroughFile {
    let base: any File
    private let system: ZeroWatchingFileSystem

    init(base: any File, system: ZeroWatchingFileSystem) {
        self.base = base
        self.system = system
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOFailure) {
        guard bytes.count > 4096, bytes.allSatisfy({ $0 == 0 }) else {
            return try base.write(bytes, at: offset)
        }
        let isAfterHole = try base.size() < offset
        system.seen.withLock {
            $0.count += 1
            $0.afterHoles += isAfterHole ? 1 : 0
        }
        switch system.refusal {
        case .nothing: return try base.write(bytes, at: offset)
        case .all: break
        case .secondHalf:
            try base.write(UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count / 2)]), at: offset)
        }
        throw IOFailure(.write, path: path, code: ENOSPC)
    }
}

/// The system's files, on a file system whose clock stands still. Perhaps every store seems to be written.
private struct TimelessFileSystem: ForwardingFileSystem {
    let base: any FileSystem = POSIXFileSystem()
    var seemsWritten = false

    func isLocked(_ path: String) -> Bool { seemsWritten || base.isLocked(path) }

    func stamp(of path: String) throws(IOFailure) -> FileStamp? {
        var stamp = try base.stamp(of: path)
        stamp?.modifiedAt = 0
        stamp?.changedAt = 0
        return stamp
    }
}

@Suite("With synced appends zeros are written ahead of the blocks")
struct ZerosAheadTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }
    private var copy: String { directory.path("copy") }

    init() throws { directory = try TemporaryDirectory() }

    private func options(
        _ durability: Durability = .synced, on fileSystem: any FileSystem = POSIXFileSystem()
    ) -> StoreOptions {
        var options = smallBlocks(on: fileSystem)
        options.durability = durability
        return options
    }

    private func sizes(_ path: String) throws -> [Int] {
        try segments(of: path).map { try Data(contentsOf: URL(filePath: $0)).count }
    }

    @Test("An append overwrites what its file has already, and only the others make it longer")
    func overwriting() throws {
        let store = try EventStore.open(path, options: options())
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        var seen: Set<[Int]> = []
        for number in 0..<UInt64(300) {
            try session.append(noise(number, 200), kind: kind)
            seen.insert(try sizes(path))
        }
        #expect(try segments(of: path).count == 1)
        // 300 blocks of more than 200 bytes: zeros for some 40 at first, then for a fifth of what is there.
        #expect(seen.count < 10, "\(seen.sorted { $0[0] < $1[0] })")
        try store.close()
    }

    @Test(
        "At other levels a file ends where its blocks do",
        arguments: [Durability.none, .interval(nanoseconds: 1)])
    func otherLevels(_ durability: Durability) throws {
        let store = try EventStore.open(path, options: options(durability))
        let session = try store.startSession("s")
        try session.append(noise(1, 200), kind: try store.kind("noise", .binary))
        try store.flush()
        let sizes = try sizes(path)
        #expect(sizes.allSatisfy { $0 < 4096 }, "\(sizes)")
        try store.close()
    }

    @Test(
        "A segment ends with its footer wherever the zeros end, after a crash too",
        arguments: 0..<12 as Range<UInt64>)
    func sealing(_ number: UInt64) throws {
        let seed = SplitMix64.freshSeed() &+ number
        var random = SplitMix64(seed: seed)
        var options = options()
        options.segmentBytes = 8192 + UInt64(random.below(64 << 10))
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        let count = 1 + UInt64(random.below(150))
        var appended: UInt64 = 0
        while appended < count {
            try session.append(noise(appended, Int(random.below(1500))), kind: kind)
            appended += 1
            guard random.oneIn(30) else { continue }
            try copyLive(path, to: copy)
            let reader = try EventStore.openReadOnly(copy)
            #expect(try reader.collect().map(\.sequence) == Array(0..<appended), "seed \(seed)")
            #expect(try reader.verify().damage == [] && reader.info().gaps == [], "seed \(seed)")
            try reader.close()
            let recovered = try EventStore.open(copy, options: options)
            #expect(
                try recovered.count() == appended && recovered.recovery?.unreadableBytes == 0, "seed \(seed)")
            try recovered.close()
            let report = try EventStore.openReadOnly(copy).verify()
            #expect(report.isIntact && report.events == appended, "seed \(seed): \(report)")
        }
        try store.close()
        let reader = try EventStore.openReadOnly(path)
        #expect(try reader.collect().map(\.payload.count).count == Int(count), "seed \(seed)")
        let (report, info) = (try reader.verify(), try reader.info())
        #expect(report.isIntact && report.events == count, "seed \(seed): \(report)")
        #expect(info.sealedCount == info.segmentCount, "seed \(seed)")
        // What was not full when the store was closed is merged without its zeros.
        try reader.close()
        let writer = try EventStore.open(path, options: options)
        #expect(try writer.compact().isComplete)
        try writer.close()
        #expect(try EventStore.openReadOnly(path).verify().isIntact, "seed \(seed)")
        #expect(try EventStore.openReadOnly(path).count() == count, "seed \(seed)")
    }

    @Test("Zeros that can't be written keep nothing from being appended, synced and sealed")
    func refusedZeros() throws {
        let system = ZeroWatchingFileSystem(refusing: .secondHalf)
        var options = options(on: system)
        options.segmentBytes = 32 << 10
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        for number in 0..<UInt64(150) {
            #expect(try session.append(noise(number, 500), kind: kind) == number)
            #expect(store.durableThrough == number)
        }
        try store.close()
        let reader = try EventStore.openReadOnly(path)
        let info = try reader.info()
        #expect(info.segmentCount > 2 && info.sealedCount == info.segmentCount)
        #expect(system.seen.withLock { $0.count } == info.segmentCount)
        #expect(try reader.verify().isIntact && reader.count() == 150)
    }

    /// A block of which a kill has let only the beginning be written, with the zeros behind it.
    @Test(
        "Of a block cut short among zeros only what stands there is unconfirmed",
        arguments: [1, 8, 100, 175, 176, 180, 300, 600])
    func cutShort(_ bytesLeft: Int) throws {
        let store = try EventStore.open(path, options: options())
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        for number in 0..<UInt64(20) { try session.append(noise(number, 1000), kind: kind) }
        try copyLive(path, to: copy)
        try store.close()
        let file = try #require(try segments(of: copy).last)
        var bytes = try Data(contentsOf: URL(filePath: file))
        let start = try #require(bytes.range(of: Data("VARVEBLK".utf8), options: .backwards)).lowerBound
        bytes.resetBytes(in: (start + bytesLeft)...)
        try bytes.write(to: URL(filePath: file))

        let withTail = directory.path("with tail")
        try FileManager.default.copyItem(atPath: copy, toPath: withTail)
        try FileManager.default.removeItem(atPath: copy + "/TAIL")
        let cut = try EventStore.open(copy, options: options())
        #expect(try cut.count() == 19)
        let left = try #require(bytes.lastIndex { $0 != 0 }) + 1 - start
        #expect(Int(try #require(cut.recovery).unreadableBytes) == left)
        try cut.close()
        #expect(try EventStore.openReadOnly(copy).verify().damage == [])

        // `TAIL` goes on where the log ends: nothing is missing.
        let whole = try EventStore.open(withTail, options: options())
        #expect(try whole.count() == 20 && whole.recovery?.unreadableBytes == 0)
        try whole.close()
        #expect(try EventStore.openReadOnly(withTail).verify().isIntact)
    }

    // Before it they took the disk space that it needed.
    @Test("Zeros are written after the block that they follow")
    func order() throws {
        let system = ZeroWatchingFileSystem()
        let store = try EventStore.open(path, options: options(on: system))
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        for number in 0..<UInt64(200) { try session.append(noise(number, 500), kind: kind) }
        #expect(system.seen.withLock { $0.count > 2 && $0.afterHoles == 0 })
        try store.close()
    }

    @Test(
        "A block that was seen while it was being written shows once it is whole, whatever the file's times say"
    )
    func halfWritten() throws {
        let store = try EventStore.open(path, options: options())
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        for number in 0..<UInt64(5) { try session.append(noise(number, 1000), kind: kind) }
        try copyLive(path, to: copy)
        try store.close()
        let file = try #require(try segments(of: copy).last)
        let whole = try Data(contentsOf: URL(filePath: file))
        var half = whole
        let start = try #require(whole.range(of: Data("VARVEBLK".utf8), options: .backwards)).lowerBound
        half.resetBytes(in: (start + 200)...)
        let handle = try FileHandle(forWritingTo: URL(filePath: file))
        try handle.write(contentsOf: half)
        let system = TimelessFileSystem(seemsWritten: true)
        let reader = try EventStore.openReadOnly(copy, options: options(on: system))
        #expect(try reader.count() == 4)
        try handle.seek(toOffset: 0)
        try handle.write(contentsOf: whole)
        #expect(try reader.count() == 5)
        #expect(try reader.info().gaps == [])
    }

    @Test("Overwritten zeros show to readers and followers where no time of a file tells of them")
    func timeless() throws {
        let store = try EventStore.open(path, options: options())
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        let reader = try EventStore.openReadOnly(path, options: options(on: TimelessFileSystem()))
        let follower = try reader.follower()
        for number in 0..<UInt64(100) {
            try session.append(noise(number, 100), kind: kind)
            #expect(try reader.count() == number + 1)
            #expect(try follower.take(1).map(\.sequence) == [number])
        }
        try store.close()
    }

    @Test("Zeros count towards the limit on bytes, and nothing is dropped to write them")
    func limits() throws {
        let bytes: UInt64 = 1 << 20
        let meter = DirectoryMeter()
        var options = options(on: meter)
        options.limits = RetentionLimits(bytes: bytes)
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        for number in 0..<UInt64(1300) { try session.append(noise(number, 900), kind: kind) }
        #expect(meter.takePeak(of: path) <= bytes)
        // An eighth stays free, and another goes at once; a block takes some 1,200 bytes.
        let kept = try store.count()
        #expect(kept < 1300 && kept * 1200 > bytes / 2, "\(kept)")
        try store.close()
    }

    @Test(
        "Where nothing may be dropped as much is recorded as without zeros, but for a block a segment",
        arguments: [100, 400, 900, 3000])
    func pinned(payloadBytes: Int) throws {
        func fill(_ path: String, on system: any FileSystem) throws -> (events: UInt64, segments: UInt64) {
            var options = options(on: system)
            options.limits = RetentionLimits(bytes: 1 << 20)
            let store = try EventStore.open(path, options: options)
            let kind = try store.kind("noise", .binary)
            let session = try store.startSession("s")
            try store.pin(session: session.ordinal)
            var number: UInt64 = 0
            let failure = #expect(throws: StoreError.self) {
                while number < 10_000 {
                    try session.append(noise(number, payloadBytes), kind: kind)
                    number += 1
                }
            }
            #expect(failure.map { if case .limitReached = $0 { true } else { false } } == true)
            let segments = UInt64(try segments(of: path).count)
            try? store.close()
            return (number, segments)
        }
        let with = try fill(path, on: POSIXFileSystem())
        let without = try fill(directory.path("without"), on: ZeroWatchingFileSystem(refusing: .all))
        // A footer that is still to be written counts for some KiB more than it takes.
        let footer = UInt64(8 << 10 / payloadBytes)
        #expect(
            with.events > 100 && with.events + with.segments + 8 + footer >= without.events,
            "\(with), \(without)")
    }
}
