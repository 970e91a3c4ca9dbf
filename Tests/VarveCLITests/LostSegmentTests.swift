import Foundation
import Testing
import Varve

@Suite("A session of which a segment is lost")
struct LostSegmentTests {
    let harness: Harness
    let store: String

    /// Session `s` of 30 events in three segments, with a checkpoint before event 15; then a session `next`.
    init() throws {
        harness = try Harness()
        store = harness.path("store")
        for part in 0..<3 {
            let writer = try EventStore.open(store)
            let session = try part == 0 ? writer.startSession("s", at: 0) : writer.resume(session: 1)
            let kind = try writer.kind("k", .json)
            for index in part * 10..<part * 10 + 10 {
                if index == 15 { try session.checkpoint("cp", state: Array("{}".utf8), at: 15) }
                try session.append(#"{"type":"T"}"#, kind: kind, at: Int64(index))
            }
            // What is closed has all its events.
            try session.end(at: 30, isInterrupted: part < 2)
            try writer.close()
        }
    }

    private func loseSegment(_ number: Int) throws {
        let segments = try FileManager.default.contentsOfDirectory(atPath: store)
            .filter { $0.hasSuffix(".seg") }.sorted()
        try FileManager.default.removeItem(atPath: "\(store)/\(segments[number])")
    }

    private func state(_ point: String...) throws -> (line: String, status: Int32) {
        let outcome = try harness.run(["state", store, "--json"] + point)
        return (try #require(outcome.lines.first), outcome.status)
    }

    private func check(_ point: (String, String), since: Int, isComplete: Bool) throws {
        let (line, status) = try state(point.0, point.1)
        #expect(line.contains("\"events_since\":\(since),\"complete\":\(isComplete),"), "\(point): \(line)")
        #expect(status == (isComplete ? 0 : 3), "\(point): \(line)")
    }

    @Test("The first one counts for what is folded from the beginning, and not behind a checkpoint")
    func first() throws {
        try loseSegment(0)
        try check(("--at-index", "5"), since: 0, isComplete: false)
        try check(("--at-index", "12"), since: 2, isComplete: false)
        try check(("--at-time", "0.000000012"), since: 3, isComplete: false)
        try check(("--at-index", "20"), since: 5, isComplete: true)
        try check(("--at-time", "now"), since: 15, isComplete: true)
        #expect(try harness.run("export", store, "--format", "session").status == 3)
    }

    @Test("One within counts for what reaches beyond it")
    func middle() throws {
        try loseSegment(1)
        try check(("--at-index", "10"), since: 10, isComplete: true)
        try check(("--at-index", "11"), since: 10, isComplete: false)
        try check(("--at-index", "25"), since: 15, isComplete: false)
        #expect(try harness.run("export", store, "--format", "session").status == 3)
    }

    @Test("The last one counts for what reaches beyond what is left")
    func last() throws {
        try loseSegment(2)
        try check(("--at-index", "20"), since: 5, isComplete: true)
        try check(("--at-index", "21"), since: 5, isComplete: false)
        try check(("--at-time", "0.000000018"), since: 4, isComplete: true)
        try check(("--at-time", "now"), since: 5, isComplete: false)
        #expect(try harness.run("export", store, "--format", "session").status == 3)
    }

    @Test("None of another session counts")
    func other() throws {
        let bounds = try #require(try EventStore.openReadOnly(store).snapshot().sequences)
        #expect(bounds == 0..<30)
        try harness.succeed("record", store, "--session", "next", input: Data("{\"type\":\"T\"}\n".utf8))
        try loseSegment(1)
        #expect(try harness.run("export", store, "--format", "session").status == 0)
        #expect(try state("--at-index", "1").status == 0)
    }
}
