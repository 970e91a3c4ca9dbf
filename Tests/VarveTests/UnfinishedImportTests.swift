import Testing
import Varve
import VarveIO
import VarveTestKit

@Suite("Imports that are not complete, over many segments")
struct UnfinishedImportTests {
    private let directory: TemporaryDirectory
    private var path: String { directory.path("store") }

    init() throws { directory = try TemporaryDirectory() }

    @Test(
        "Whatever is recorded, imported, given up and compacted, what counts shows, for who records it and for a reader",
        arguments: 0..<6)
    func random(round: UInt64) throws {
        let seed = environmentNumber("VARVE_SEED").map { UInt64($0) } ?? round + 1
        var random = SplitMix64(seed: seed)
        var options = smallBlocks()
        options.segmentBytes = 64 << 10
        var store = try EventStore.open(path, options: options)
        let reader = try EventStore.openReadOnly(path)
        var shown: [UInt64] = []
        var next: UInt64 = 0
        for step in 0..<24 {
            let isImport = random.below(2) == 0
            let isComplete = !isImport || random.below(2) == 0
            let session =
                isImport
                ? try store.startImportedSession("s\(step)", at: 0) : try store.startSession("s\(step)")
            let kind = try store.kind("noise", .binary)
            let count = UInt64(random.below(150))
            for number in next..<next + count {
                if isImport {
                    try session.append(noise(number, 300), kind: kind, at: 0, index: number - next)
                } else {
                    try session.append(noise(number, 300), kind: kind)
                }
            }
            // For who records it an import counts while it is under way.
            let during = try store.collect().map(\.sequence)
            #expect(during == shown + Array(next..<next + count), "VARVE_SEED=\(seed), step \(step)")
            if isComplete {
                try session.end()
                shown += Array(next..<next + count)
            } else {
                session.abandon()
            }
            next += count
            switch random.below(6) {
            case 0: _ = try store.compact()
            case 1:
                try store.close()
                store = try EventStore.open(path, options: options)
            default: try store.flush()
            }
            for view in [store, reader, try EventStore.openReadOnly(path)] {
                let found = try view.collect().map(\.sequence)
                #expect(found == shown, "VARVE_SEED=\(seed), step \(step)")
                #expect(
                    try view.sessions().reduce(0) { $0 + $1.eventCount } == UInt64(shown.count),
                    "VARVE_SEED=\(seed), step \(step)")
            }
        }
        try store.close()
    }

    @Test("A query of one event loads its segment alone, and reads of the others what they say of sessions")
    func reading() throws {
        var options = smallBlocks()
        options.segmentBytes = 64 << 10
        let store = try EventStore.open(path, options: options)
        let session = try store.startSession("s")
        let kind = try store.kind("noise", .binary)
        for number in 0..<2000 as Range<UInt64> { try session.append(noise(number, 300), kind: kind) }
        try session.end()
        try store.close()
        let files = try segments(of: path)
        try #require(files.count >= 8)
        let meter = MeteredFileSystem()
        options.fileSystem = meter
        let reader = try EventStore.openReadOnly(path, options: options)
        let snapshot = try reader.snapshot()
        meter.reset()
        let event = try snapshot.event(sequence: 1000)
        #expect(event?.payload == noise(1000, 300) && event?.sessionID == "s")
        // The last one's index was read by opening.
        #expect(Set(files).subtracting(meter.bytesRead.keys).isSubset(of: files.suffix(1)))
        // Its whole index is read of one of them.
        #expect(meter.bytesRead.values.count { $0 >= 512 } == 1)
        // The next snapshot asks none of them again.
        let next = try reader.snapshot()
        meter.reset()
        #expect(try next.event(sequence: 1000) == event)
        #expect(meter.bytesRead.isEmpty)
    }
}

/// The system's files; notes how much is read of each segment.
private final class MeteredFileSystem: ForwardingFileSystem, @unchecked Sendable {
    let base: any FileSystem = POSIXFileSystem()
    private let counts = Locked([String: Int]())

    var bytesRead: [String: Int] { counts.withLock { $0 } }

    func reset() { counts.withLock { $0 = [:] } }
    func note(_ path: String, read count: Int) { counts.withLock { $0[path, default: 0] += count } }

    func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        let file = try base.open(path, mode)
        return path.hasSuffix(".seg") ? MeteredFile(base: file, meter: self) : file
    }
}

private final class MeteredFile: PassThroughFile {
    let base: any File
    private let meter: MeteredFileSystem

    init(base: any File, meter: MeteredFileSystem) {
        self.base = base
        self.meter = meter
    }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        let count = try base.read(at: offset, into: buffer)
        meter.note(path, read: count)
        return count
    }
}
