import Testing
import VarveTestKit

@testable import Varve

@Suite("Blocks that are found and decoded ahead")
struct ReadAheadTests {
    private let directory: TemporaryDirectory
    private let path: String

    init() throws {
        directory = try TemporaryDirectory()
        path = directory.path("store")
    }

    // Whoever drops a cursor waits for the thread that looks.
    @Test("Who looks for a block looks into one segment at a time, also where none has what is asked for")
    func oneSegmentAtATime() throws {
        for number in 0..<5 {
            let store = try EventStore.open(path)
            let session = try store.startSession("s\(number)")
            try session.append([1], kind: try store.kind(number == 0 ? "rare" : "frequent", .binary))
            try store.close()
        }
        let snapshot = try EventStore.openReadOnly(path).snapshot()
        let query = Query().kinds("rare")
        let finder = try CursorCore(snapshot, query)
        let other = try CursorCore(snapshot, query)
        var answers: [String] = []
        while answers.last != "end", answers.count < 100 {
            switch try finder.findBlock(for: other) {
            case .block: answers.append("block")
            case .noneYet: answers.append("none yet")
            case .end: answers.append("end")
            }
        }
        #expect(answers == ["block"] + Array(repeating: "none yet", count: 4) + ["end"])
    }

    @Test("A large block gives its memory back, and a small one keeps it")
    func memoryOfLargeBlocks() throws {
        let store = try EventStore.open(path)
        let session = try store.startSession("s")
        let kind = try store.kind("zeros", .binary)
        let sizes = [100, 32 << 20, 200]
        for size in sizes { try session.append(Array(repeating: 0, count: size), kind: kind) }
        try store.close()
        let snapshot = try EventStore.openReadOnly(path).snapshot()
        let finder = try CursorCore(snapshot, Query())
        let core = try CursorCore(snapshot, Query())
        var found: [Int] = []
        while case .block(let number) = try finder.findBlock(for: core) {
            let steps = try core.decodeBlock(number)
            found += steps.map { Int($0.run.pointee.lengths[$0.row]) }
            while let step = core.nextInBlock() { found.append(Int(step.run.pointee.lengths[step.row])) }
            let before = core.bufferBytes
            #expect((before > 32 << 20) == (found.last == 32 << 20))
            core.letGoOfLarge()
            #expect(core.bufferBytes == (before > 32 << 20 ? 0 : before))
        }
        #expect(found == sizes)
    }
}
