import Foundation
import Testing

/// Questions to real captures, where the environment variable `VARVE_CAPTURES` names a directory that has them.
@Suite(
    "Questions to real captures", .enabled(if: CaptureOracle.captures != nil, "needs captures and python3"),
    .recordedCaptures)
struct CaptureQuestionTests {
    private let harness: Harness
    private let oracle: CaptureOracle

    init() throws {
        harness = try Harness()
        oracle = try #require(CaptureOracle.current)
    }

    // MARK: Answers

    @Test("have the answers that a Python oracle gives", arguments: CaptureOracle.Variant.allCases)
    func answers(_ variant: CaptureOracle.Variant) throws {
        let questions = try oracle.questions()
        // So that nobody takes an oracle that says nothing for one that agrees.
        #expect(questions.count > 300)
        #expect(questions.count { $0.rows?.isEmpty == false } > 200)
        var cursor = ""
        for question in questions {
            let arguments = question.arguments.map { argument in
                if argument == "{cursor}" { return cursor }
                guard argument.hasPrefix("{"), argument.hasSuffix("}") else { return argument }
                return oracle.path(String(argument.dropFirst().dropLast()), variant)
            }
            let outcome = try harness.run(arguments)
            cursor = outcome.errors.firstMatch(of: /(?m)^cursor: (.+)$/).map { String($0.1) } ?? ""
            if let difference = Self.difference(outcome, question) {
                let asked = question.arguments.joined(separator: " ")
                Issue.record("\(asked)\n\(difference)\n\(outcome.errors)")
            }
        }
    }

    /// What is wrong with an answer; nil: nothing.
    private static func difference(_ outcome: Harness.Outcome, _ question: CaptureOracle.Question) -> String?
    {
        if outcome.status != question.status {
            return "status \(outcome.status), expected \(question.status)"
        }
        if let text = question.text, outcome.text != text {
            return first(outcome.text.unicodeScalars, text.unicodeScalars)
        }
        if let rows = question.rows {
            // The first line names the columns.
            let found = outcome.text.split(separator: "\r\n").dropFirst().map { line in
                line.split(separator: ",", omittingEmptySubsequences: false).prefix(question.columns)
                    .joined(separator: ",")
            }
            if found != rows { return first(found, rows) }
        }
        if let objects = question.objects {
            let found = outcome.text.split(separator: "\n").map { line in
                (try? JSONSerialization.jsonObject(with: Data(line.utf8))) as? NSDictionary ?? [:]
            }
            let expected = objects.map { $0 as NSDictionary }
            if found != expected { return first(found, expected) }
        }
        return nil
    }

    private static func first<Element: Equatable>(
        _ found: some Collection<Element>, _ expected: some Collection<Element>
    ) -> String {
        let place = zip(found, expected).prefix { $0 == $1 }.count
        func text(_ list: some Collection<Element>) -> String {
            list.dropFirst(place).first.map { "\($0)" } ?? "nothing more"
        }
        return "number \(place) of \(found.count) is \(text(found)), expected of \(expected.count): "
            + text(expected)
    }

    // MARK: What is read for them

    /// What `--explain` says.
    private struct Explanation {
        let lines: [String]

        /// The number before a text in the line that begins with a word; 0 where it is not there.
        func number(_ line: String, before text: String) throws -> Int {
            let line = try #require(lines.last { $0.hasPrefix(line + ":") }, "\(lines)")
            guard let range = line.range(of: " " + text) else { return 0 }
            let digits = line[..<range.lowerBound].reversed().prefix { $0.isNumber || $0 == "," }.reversed()
            return try #require(Int(String(digits).replacing(",", with: "")), "\(line)")
        }
    }

    private func explain(_ variant: CaptureOracle.Variant, _ arguments: String...) throws -> Explanation {
        let words = [arguments[0], oracle.path("eventlog", variant)] + arguments.dropFirst() + ["--explain"]
        let outcome = try harness.run(words)
        try #require(outcome.status == 0, "\(outcome.errors)")
        return Explanation(lines: outcome.errors.split(separator: "\n").map(String.init))
    }

    @Test(
        "with filters a rare text is found in a few sub-blocks, the others stay compressed",
        arguments: [
            ["--grep", "Not-Important-Log"], ["--grep", "NOT-IMPORTANT-LOG", "-i"],
            ["-e", "Not-Important-Log[.]evtx"],
            ["--where", #"CommandLine contains r"\winevt\Not-Important-Log""#],
            ["--where", #"** has "Important" and EventID == 1"#],
        ])
    func filters(_ filter: [String]) throws {
        let plain = try explain(.plain, "query", filter[0], filter[1], "--count")
        let filtered = try explain(.filters, "query", filter[0], filter[1], "--count")
        if !filter.contains("-i") {
            #expect(try plain.number("rows", before: "matched") > 0)
        }
        #expect(
            try plain.number("rows", before: "matched") == filtered.number("rows", before: "matched"))
        #expect(try plain.number("blocks", before: "by filter") == 0)
        #expect(try filtered.number("blocks", before: "by filter") > 100)
        let decompressed = try plain.number("sub-blocks", before: "decompressed")
        #expect(decompressed > 500)
        #expect(try filtered.number("sub-blocks", before: "decompressed") * 20 < decompressed)
    }

    @Test("a range of time passes over segments and blocks by their times")
    func time() throws {
        let times = ["2022-07-05T02:01:50Z", "2022-07-05T02:01:52Z"]
        let found = try explain(.plain, "query", "--from", times[0], "--to", times[1], "-e", ".", "--count")
        #expect(try found.number("rows", before: "matched") > 0)
        #expect(try found.number("blocks", before: "by time") > 50)
        #expect(try found.number("sub-blocks", before: "decompressed") < 100)
        let condition = #"timestamp >= "\#(times[0])" and timestamp <= "\#(times[1])""#
        let same = try explain(.plain, "query", "--where", condition, "--count")
        #expect(
            try same.number("blocks", before: "by time") == found.number("blocks", before: "by time"))
        let early = try explain(.plain, "query", "--to", "2022-07-05T02:00:40Z", "-e", ".", "--count")
        #expect(try early.number("blocks", before: "by time") > 50)
    }

    @Test(
        "a rare kind passes over the blocks without it",
        arguments: [["--kind", "Security"], ["--where", #"kind == "Security""#]])
    func kind(_ filter: [String]) throws {
        let found = try explain(.plain, "query", filter[0], filter[1], "--grep", "svchost", "--count")
        #expect(try found.number("rows", before: "matched") > 0)
        #expect(try found.number("blocks", before: "by kind") > 100)
        #expect(try found.number("sub-blocks", before: "decompressed") < 30)
    }

    @Test(
        "counting by what stands beside the payloads decompresses none of them",
        arguments: [
            ["query", "--count"], ["query", "--count", "--kind", "Security"],
            ["query", "--count", "--from", "2022-07-05T02:01:00Z", "--session-number", "2"],
            ["query", "--count", "--where", #"kind == "System" or length > 5000"#],
            ["histogram", "--json", "--bucket", "1s", "--by", "kind"],
        ])
    func counting(_ arguments: [String]) throws {
        let words = [arguments[0], oracle.path("eventlog", .plain)] + arguments.dropFirst() + ["--explain"]
        let outcome = try harness.run(words)
        let found = Explanation(lines: outcome.errors.split(separator: "\n").map(String.init))
        #expect(outcome.status == 0)
        #expect(try found.number("sub-blocks", before: "decompressed") == 0)
        #expect(try #require(found.lines.last { $0.hasPrefix("bytes:") }).hasSuffix(", 0 B decompressed"))
    }
}
