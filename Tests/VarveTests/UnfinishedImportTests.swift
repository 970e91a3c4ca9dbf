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
        let counter = CountingFileSystem()
        options.fileSystem = counter
        func bytesRead() -> [String: UInt64] {
            counter.countsByPath.filter { $0.key.hasSuffix(".seg") && $0.value.reads > 0 }.mapValues(
                \.bytesRead)
        }
        let reader = try EventStore.openReadOnly(path, options: options)
        let snapshot = try reader.snapshot()
        counter.reset()
        let event = try snapshot.event(sequence: 1000)
        #expect(event?.payload == noise(1000, 300) && event?.sessionID == "s")
        // The last one's index was read by opening.
        #expect(Set(files).subtracting(bytesRead().keys).isSubset(of: files.suffix(1)))
        // Its whole index is read of one of them.
        #expect(bytesRead().values.count { $0 >= 512 } == 1)
        // The next snapshot asks none of them again.
        let next = try reader.snapshot()
        counter.reset()
        #expect(try next.event(sequence: 1000) == event)
        #expect(bytesRead().isEmpty)
    }
}
