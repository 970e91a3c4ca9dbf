import Testing
import Varve
import VarveJSON
import VarveRecorder
import VarveTestKit

@Suite("Two sessions compared")
struct SessionComparisonTests {
    private let directory: TemporaryDirectory
    private let store: EventStore

    init() throws {
        directory = try TemporaryDirectory()
        store = try EventStore.open(directory.path("store"))
    }

    /// Records a session of these payloads, and gives its ordinal.
    private func session(_ payloads: [String], kind: String = "a", _ encoding: PayloadEncoding = .json) throws
        -> UInt64
    {
        let session = try store.startSession("s", at: 0)
        for payload in payloads { try session.append(payload, kind: store.kind(kind, encoding), at: 0) }
        try session.end()
        return session.ordinal
    }

    private func compare(
        _ first: [String], _ second: [String], ignoring paths: [String] = []
    ) throws -> SessionDifference {
        var comparison = SessionComparison()
        comparison.ignoredPaths = try paths.map { try JSONPath($0) }
        let (first, second) = (try session(first), try session(second))
        let snapshot = try store.snapshot()
        return try comparison.compare(first, in: snapshot, with: second, in: snapshot)
    }

    @Test("JSON is compared as values")
    func values() throws {
        let same = try compare([#"{"a":1,"b":[2]}"#, "1.50"], [#"{ "b" : [2], "a":1 }"#, "15e-1"])
        #expect(same.divergence == nil && same.equalEvents == 2)
        let different = try compare(["1", #"{"a":1}"#], ["1", #"{"a":1.0}"#])
        #expect(different.divergence?.equalEvents == 1)
        #expect(different.path == "a")
    }

    @Test("Text is compared byte for byte")
    func text() throws {
        let (first, second) = (try session(["1"], .utf8), try session(["1 "], .utf8))
        let snapshot = try store.snapshot()
        let result = try SessionComparison().compare(first, in: snapshot, with: second, in: snapshot)
        #expect(result.divergence?.equalEvents == 0)
        #expect(result.path == nil)
    }

    private func session(_ payloads: [String], _ encoding: PayloadEncoding) throws -> UInt64 {
        try session(payloads, kind: "a", encoding)
    }

    @Test("What is ignored does not count, and what is left is found")
    func ignored() throws {
        let first = (0..<50).map { #"{"id":\#($0),"spans":[{"id":\#($0),"name":"x"}],"n":\#($0)}"# }
        var second = (0..<50).map { #"{"id":\#($0 + 7),"spans":[{"id":\#($0 * 3),"name":"x"}],"n":\#($0)}"# }
        #expect(try compare(first, second, ignoring: ["id", "spans[].id"]).divergence == nil)
        #expect(try compare(first, second, ignoring: ["id"]).path == "spans[0].id")
        second[30] = #"{"id":0,"spans":[{"id":1,"name":"y"}],"n":30}"#
        let found = try compare(first, second, ignoring: ["id", "spans[].id"])
        #expect(found.equalEvents == 30)
        #expect(found.path == "spans[0].name")
    }

    @Test("JSON that is none is the same only byte for byte")
    func invalid() throws {
        #expect(try compare(["{", "nul"], ["{", "nul"]).divergence == nil)
        #expect(try compare(["{ "], ["{"]).divergence?.equalEvents == 0)
        let deep = String(repeating: "[", count: 5000) + String(repeating: "]", count: 5000)
        #expect(try compare([deep], [deep + " "]).divergence?.equalEvents == 0)
    }

    @Test("The context is what is around the difference on either side")
    func context() throws {
        let first = (0..<20).map { "\($0)" }
        var second = first
        second[10] = "x"
        second.removeSubrange(12...)
        let found = try compare(first, second.map { $0 == "x" ? "99" : $0 })
        func texts(_ events: [Event]) -> [String] {
            events.map { String(decoding: $0.payload, as: UTF8.self) }
        }
        #expect(texts(found.firstContext) == ["7", "8", "9", "10", "11", "12", "13"])
        #expect(texts(found.secondContext) == ["7", "8", "9", "99", "11"])
        let ended = try compare(first, Array(first.prefix(5)))
        #expect(texts(ended.firstContext) == ["2", "3", "4", "5", "6", "7", "8"])
        #expect(texts(ended.secondContext) == ["2", "3", "4"])
        #expect(ended.divergence?.second == nil && ended.path == nil)
    }

    @Test("A session that is not there is an error")
    func missing() throws {
        let ordinal = try session(["1"])
        let snapshot = try store.snapshot()
        #expect(throws: RecorderError.store(.noSuchSession(ordinal: 9))) {
            try SessionComparison().compare(ordinal, in: snapshot, with: 9, in: snapshot)
        }
    }

    @Test("Sessions without events are the same")
    func empty() throws {
        #expect(try compare([], []).divergence == nil)
        #expect(try compare([], ["1"]).divergence?.first == nil)
    }
}
