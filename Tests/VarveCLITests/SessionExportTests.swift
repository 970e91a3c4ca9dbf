import Foundation
import Testing

@Suite("Session JSON out of a store")
struct SessionExportTests {
    let harness: Harness
    let store: String

    init() throws {
        harness = try Harness()
        store = harness.path("store")
    }

    private func record(_ lines: String, session: String = "s") throws {
        try harness.succeed("record", store, "--session", session, input: Data(lines.utf8))
    }

    @Test("Recorded lines that are a recorder's events are exported as such, of known and unknown types")
    func recorded() throws {
        try record(SessionDocument.events.joined(separator: "\n"))
        let text = try harness.succeed("export", store, "--format", "session").text
        for event in SessionDocument.events { #expect(text.contains("\"event\":\(event)}")) }
    }

    @Test(
        "An event that session JSON can't have is named, and what takes it",
        arguments: [
            (#"{"a":1}"#, "type: missing (byte 0)"), ("[1]", "not an object (byte 0)"), ("plain", "byte 0"),
            (#"{"type":"Console","level":"warn"}"#, "message: missing (byte 0)"), (#"{"type":7}"#, "type: "),
        ])
    func foreign(line: String, reason: String) throws {
        try record(#"{"type":"New"}"# + "\n" + line)
        let outcome = try harness.run("export", store, "--format", "session")
        #expect(outcome.status == 1)
        #expect(
            outcome.errors.hasPrefix(
                "varve: error: cannot export session s as session JSON: sequence number 1: "))
        #expect(outcome.errors.contains(reason), "\(outcome.errors)")
        #expect(outcome.errors.contains("--format jsonl"))
        #expect(outcome.errors.split(separator: "\n").count == 1)
    }

    @Test("A state that is no JSON is named by its checkpoint")
    func foreignState() throws {
        let lines = """
            {"record":"export","version":1}
            {"record":"session","session":1,"id":"s","started_at":"2026-05-10T12:34:56Z"}
            {"record":"checkpoint","session":1,"id":"cp","timestamp":"2026-05-10T12:34:57Z","state_text":"x"}

            """
        try harness.succeed("record", store, "--format", "export", input: Data(lines.utf8))
        let outcome = try harness.run("export", store, "--format", "session")
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("the state of checkpoint cp: "))
    }

    @Test("Of several sessions the last one is exported, and it is said which; options choose another")
    func choice() throws {
        for (id, type) in [("a", "A"), ("b", "B"), ("a", "C")] {
            try record("{\"type\":\"\(type)\"}", session: id)
        }
        func export(_ options: String...) throws -> Harness.Outcome {
            let outcome = try harness.run(["export", store, "--format", "session"] + options)
            #expect(outcome.status == 0)
            return outcome
        }
        let last = try export()
        #expect(last.text.contains(#""type":"C""#))
        #expect(
            last.errors == "varve: note: of 3 sessions the last one is exported: number 3, a\n")
        #expect(try export("--session", "a").output == last.output)
        let other = try export("--session", "b")
        #expect(other.text.contains(#""type":"B""#) && other.errors.isEmpty)
        #expect(try export("--session-number", "-3").text.contains(#""type":"A""#))
        for none in [
            ["--session", "c"], ["--session-number", "9"], ["--session", "b", "--session-number", "1"],
        ] {
            let outcome = try harness.run(["export", store, "--format", "session"] + none)
            #expect(outcome.status == 1 && outcome.errors.contains("no such session"))
        }
    }

    @Test(
        "Filters that would take a part of a session are wrong usage",
        arguments: [
            ["--kind", "k"], ["--from", "-2h"], ["--to", "now"], ["--sequence", "1.."], ["--limit", "1"],
            ["--between", "a", "b"], ["--reverse"],
        ])
    func filters(options: [String]) throws {
        let outcome = try harness.run(["export", store, "--format", "session"] + options)
        #expect(outcome.status == 64)
        #expect(outcome.errors.contains("\(options[0]) can't be used"))
    }

    @Test("A store without sessions has none to export")
    func noSession() throws {
        try harness.succeed(
            "import", store, "-", input: Data("{\"record\":\"export\",\"version\":1}\n".utf8))
        let outcome = try harness.run("export", store, "--format", "session")
        #expect(outcome.status == 1 && outcome.errors.contains("no session"))
    }

    @Test("CSV is what a query prints as CSV, with all filters")
    func csv() throws {
        try record("{\"type\":\"A\",\"x\":\"1,2\"}\nplain\n{\"type\":\"A\"}\n")
        for filters in [[], ["--kind", "A"], ["--limit", "1"], ["--session", "other"]] {
            let export = try harness.run(["export", store, "--format", "csv"] + filters)
            #expect(export.status == 0)
            #expect(
                export.output == (try harness.run(["query", store, "--output", "csv"] + filters)).output)
        }
    }
}
