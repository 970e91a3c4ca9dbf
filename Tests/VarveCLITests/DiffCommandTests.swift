import Foundation
import Testing

@Suite("varve diff")
struct DiffCommandTests {
    let harness: Harness
    let store: String

    init() throws {
        harness = try Harness()
        store = harness.path("store")
    }

    private func record(_ payloads: [String], session: String, in store: String? = nil) throws {
        try harness.succeed(
            "record", store ?? self.store, "--session", session,
            input: Data(payloads.map { $0 + "\n" }.joined().utf8))
    }

    private static let run = (0..<10).map { #"{"kind":"k","id":\#($0),"n":\#($0)}"# }

    @Test("Sessions that are the same: exit code 0")
    func same() throws {
        try record(Self.run, session: "a")
        try record(Self.run, session: "b")
        let outcome = try harness.succeed("diff", store, "a", "b")
        #expect(outcome.text == "sessions 1 (a) and 2 (b) are the same: 10 events\n")
    }

    @Test("Sessions that are not: exit code 4, the place, and both sides around it")
    func different() throws {
        var other = Self.run
        other[6] = #"{"kind":"k","id":6,"n":66}"#
        try record(Self.run, session: "a")
        try record(other, session: "b")
        let outcome = try harness.run("diff", store, "a", "b", "--context", "1")
        #expect(outcome.status == 4)
        #expect(outcome.errors.isEmpty)
        let lines = outcome.lines
        try #require(lines.count == 9)
        #expect(lines[0] == "sessions 1 (a) and 2 (b): 6 events the same, then other at n")
        #expect(lines[1] == "--- session 1 (a)" && lines[5] == "+++ session 2 (b)")
        #expect(lines[2].hasPrefix("  ") && lines[2].hasSuffix(Self.run[5]))
        #expect(lines[3].hasPrefix("- ") && lines[3].hasSuffix(Self.run[6]))
        #expect(lines[7].hasPrefix("+ ") && lines[7].hasSuffix(other[6]))
        #expect(lines[8].hasPrefix("  ") && lines[8].hasSuffix(Self.run[7]))
    }

    @Test("As JSON it is one object on one line")
    func json() throws {
        try record(Self.run, session: "a")
        try record(Array(Self.run.prefix(4)), session: "b")
        let outcome = try harness.run("diff", store, "a", "b", "--json", "--context", "2")
        #expect(outcome.status == 4)
        let object = try #require(try harness.objects(outcome).first)
        #expect(outcome.lines.count == 1)
        #expect(object["same"] as? Bool == false && object["equal_events"] as? Int == 4)
        #expect(object["path"] is NSNull)
        let first = try #require(object["first"] as? [String: Any])
        let second = try #require(object["second"] as? [String: Any])
        #expect(first["session"] as? String == "a" && first["sequence"] as? Int == 4)
        #expect(second["session_number"] as? Int == 2 && second["sequence"] is NSNull)
        let events = try #require(first["events"] as? [[String: Any]])
        #expect(events.map { $0["index"] as? Int } == [2, 3, 4, 5, 6])
        #expect((second["events"] as? [[String: Any]])?.count == 2)
        #expect((first["gaps"] as? [Any])?.isEmpty == true)
    }

    @Test("What is ignored does not count")
    func ignored() throws {
        try record(Self.run, session: "a")
        try record(Self.run.map { $0.replacingOccurrences(of: #""id":"#, with: #""id":1"#) }, session: "b")
        #expect(try harness.run("diff", store, "a", "b").status == 4)
        #expect(try harness.run("diff", store, "a", "b", "--ignore", "id").status == 0)
        #expect(try harness.run("diff", store, "a", "b", "--ignore", "n").status == 4)
    }

    @Test("Times count when they are asked to")
    func times() throws {
        let later = { (second: Int) in [#"{"time":"2026-05-10T12:00:0\#(second)Z","n":1}"#] }
        try record(later(1), session: "a")
        try record(later(2), session: "b")
        #expect(try harness.run("diff", store, "a", "b", "--ignore", "time").status == 0)
        #expect(try harness.run("diff", store, "a", "b", "--ignore", "time", "--compare-time").status == 4)
    }

    @Test(
        "Sessions are named by id, by number, and counted from the last; the second may be in another store")
    func names() throws {
        try record(["1"], session: "a")
        try record(["2"], session: "b")
        try record(["1"], session: "7")
        try record(["2"], session: "a", in: harness.path("other"))
        #expect(try harness.run("diff", store, "1", "7").status == 0)
        #expect(try harness.run("diff", store, "--", "-3", "-1").status == 0)
        #expect(try harness.run("diff", store, "1", "2").status == 4)
        #expect(try harness.run("diff", store, "b", "a", "--with", harness.path("other")).status == 0)
        let missing = try harness.run("diff", store, "a", "nobody")
        #expect(missing.status == 1 && missing.errors.contains("no session nobody"))
        #expect(try harness.run("diff", store, "a", "9223372036854775808").status == 1)
    }

    @Test("A path that is none is wrong usage, and the fault is named")
    func wrongPath() throws {
        try record(["1"], session: "a")
        let outcome = try harness.run("diff", store, "a", "a", "--ignore", "a..b")
        #expect(outcome.status == 64)
        #expect(outcome.errors.contains("column 3"))
        #expect(try harness.run("diff", store, "a", "a", "--context", "-1").status == 64)
    }

    @Test("What can't be read is told, with exit code 3")
    func damage() throws {
        try record((0..<3000).map { #"{"n":\#($0),"noise":"\#(UUID())"}"# }, session: "a")
        try harness.changeByte(at: 5000, inLargestFileOf: store)
        let outcome = try harness.run("diff", store, "a", "a")
        #expect(outcome.status == 3)
        #expect(outcome.errors.contains("not complete"))
    }
}
