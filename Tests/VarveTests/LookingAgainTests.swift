import Foundation
import Testing
import VarveIO
import VarveTestKit

@testable import Varve

/// The system's files, of which none can be told apart for a while, as when one goes away.
private final class ForgetfulFileSystem: ForwardingFileSystem, @unchecked Sendable {
    let base: any FileSystem = POSIXFileSystem()
    // Of the test's thread alone.
    var isForgetful = true
    private(set) var opened = 0

    func stamp(of path: String) throws(IOFailure) -> FileStamp? {
        isForgetful ? nil : try base.stamp(of: path)
    }
    func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        opened += 1
        return try base.open(path, mode)
    }
}

/// What a reader beside a writer reads when it looks again.
@Suite("Looking again reads what is new")
struct LookingAgainTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }

    init() throws { directory = try TemporaryDirectory() }

    @Test(
        "A thousand looks at a segment that grows read it once or twice, and not a thousand times",
        arguments: [Durability.none, .synced])
    func growing(_ durability: Durability) throws {
        var options = smallBlocks()
        options.durability = durability
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        let counter = CountingFileSystem()
        let follower = try EventStore.openReadOnly(path, options: smallBlocks(on: counter)).follower()
        counter.reset()
        for number in 0..<1000 as Range<UInt64> {
            try session.append(noise(number, 3000), kind: kind)
            try store.flush()
            let events = try follower.take(1)
            try #require(events.map(\.sequence) == [number] && events[0].payload == noise(number, 3000))
        }
        let counts = counter.total()
        let size = try segments(of: path).reduce(UInt64(0)) { sum, file in
            sum + (try FileManager.default.attributesOfItem(atPath: file)[.size] as! NSNumber).uint64Value
        }
        #expect(size > 3_000_000)
        // Each byte once for the index and once for the events, and before that as a zero; and each time the end of the file, and a header or
        // two.
        let looks: UInt64 = 1500
        let times: UInt64 = durability == .synced ? 4 : 3
        #expect(counts.bytesRead < times * size + looks * 8192, "\(counts) of \(size)")
        try store.close()
    }

    @Test("Sealed segments are not opened again, and nothing is read where nothing has changed")
    func sealed() throws {
        var options = smallBlocks()
        options.segmentBytes = 16 << 10
        let store = try EventStore.open(path, options: options)
        let kind = try store.kind("noise", .binary)
        let session = try store.startSession("s")
        for number in 0..<1000 as Range<UInt64> { try session.append(noise(number, 256), kind: kind) }
        try store.close()
        let files = try segments(of: path)
        #expect(files.count > 10)
        let next = try EventStore.open(path, options: options)
        let late = try next.startSession("t")
        try next.flush()
        let counter = CountingFileSystem()
        let reader = try EventStore.openReadOnly(path, options: smallBlocks(on: counter))
        #expect(try reader.count() == 1000)
        counter.reset()
        for number in 0..<50 as Range<UInt64> {
            try late.append(noise(number, 16), kind: try next.kind("noise", .binary))
            try next.flush()
            #expect(try reader.count() == 1001 + number)
        }
        #expect(counter.total { files.contains($0) } == CountingFileSystem.Counts())
        counter.reset()
        for _ in 0..<50 { #expect(try reader.snapshot().position.nextSequence == 1050) }
        #expect(counter.total { $0.hasSuffix(".seg") } == CountingFileSystem.Counts())
        try next.close()
    }

    @Test("What was recorded shows, though files could not be told apart at the last look")
    func forgotten() throws {
        func record(_ count: UInt64) throws {
            let store = try EventStore.open(path, options: smallBlocks())
            let session = try store.startSession("s")
            let kind = try store.kind("noise", .binary)
            for number in 0..<count { try session.append(noise(number, 32), kind: kind) }
            try store.close()
        }
        try record(10)
        let system = ForgetfulFileSystem()
        let reader = try EventStore.openReadOnly(path, options: smallBlocks(on: system))
        #expect(try reader.count() == 10)
        try record(5)
        system.isForgetful = false
        #expect(try reader.count() == 15)
        let opened = system.opened
        _ = try reader.snapshot()
        // Once is enough.
        #expect(system.opened == opened)
        try record(1)
        #expect(try reader.count() == 16)
    }

    @Test("A segment that takes another's place under its name is read anew")
    func replaced() throws {
        let other = directory.path("other")
        for (path, seed) in [(path, 1), (other, 2)] as [(String, UInt64)] {
            let store = try EventStore.open(path, options: smallBlocks())
            let kind = try store.kind("noise", .binary)
            let session = try store.startSession("s")
            for number in 0..<40 as Range<UInt64> {
                try session.append(noise(seed << 32 + number, 256), kind: kind)
            }
            try store.flush()
            try copyLive(path, to: path + ".copy")
            try store.close()
        }
        let live = path + ".copy"
        let reader = try EventStore.openReadOnly(live)
        let lock = try POSIXFileSystem().lock(live + "/LOCK")
        defer { lock.release() }
        #expect(try reader.collect().map(\.payload) == (0..<40).map { noise(1 << 32 + $0, 256) })
        // The same name and length, of another store: no event of it may show.
        let (mine, theirs) = (try segments(of: live)[0], try segments(of: other + ".copy")[0])
        try FileManager.default.removeItem(atPath: mine)
        try FileManager.default.copyItem(atPath: theirs, toPath: mine)
        #expect(try reader.collect().isEmpty)
    }

    @Test("What is torn off in the middle of a block is read again once it is whole")
    func torn() throws {
        let store = try EventStore.open(path, options: smallBlocks())
        let session = try store.startSession("s")
        for number in 0..<200 as Range<UInt64> {
            try session.append(noise(number, 256), kind: try store.kind("noise", .binary))
        }
        try store.flush()
        let live = directory.path("live")
        try copyLive(path, to: live)
        try store.close()
        let lock = try POSIXFileSystem().lock(live + "/LOCK")
        defer { lock.release() }
        let file = try segments(of: live)[0]
        let bytes = try Data(contentsOf: URL(filePath: file))
        let writing = try POSIXFileSystem().open(file, .readWrite)
        try writing.truncate(to: 700)
        let reader = try EventStore.openReadOnly(live)
        var seed = SplitMix64(seed: 5)
        var length = 700
        var seen: UInt64 = 0
        while length < bytes.count {
            let next = min(bytes.count, length + 1 + Int(seed.below(1500)))
            // Garbage first, as a write that is under way may look.
            try writing.write([UInt8](repeating: 0xA5, count: next - length), at: UInt64(length))
            _ = try reader.count()
            try writing.write([UInt8](bytes[length..<next]), at: UInt64(length))
            length = next
            let count = try reader.count()
            #expect(count >= seen)
            seen = count
        }
        #expect(try reader.collect().map(\.payload) == (0..<200).map { noise($0, 256) })
        #expect(try reader.cursor().coverage.isComplete)
        writing.close()
    }
}
