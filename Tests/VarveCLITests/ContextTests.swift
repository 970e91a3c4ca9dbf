import Foundation
import Testing
import VarveTestKit

@Suite("Context: query -A, -B and -C")
struct ContextTests {
    /// An event of a store in a test, and its place in its session.
    private struct Recorded {
        var session: Int
        var index: Int
        var isHit: Bool
    }

    /// What one line of an answer stands for.
    private struct Line: Equatable, CustomStringConvertible {
        var sequence: Int
        var isContext: Bool
        var description: String { isContext ? "-\(sequence)" : "\(sequence)" }
    }

    let harness: Harness
    let store: String

    init() throws {
        harness = try Harness()
        store = harness.path("store")
    }

    /// Records sessions of events that are hits or not, as the texts say: `x` and `.`.
    private func record(_ sessions: [String]) throws -> [Recorded] {
        var recorded: [Recorded] = []
        for (number, session) in sessions.enumerated() {
            var lines = ""
            for (index, character) in session.enumerated() {
                let isHit = character == "x"
                lines += "{\"ts\":\(1000 + recorded.count),\"type\":\"\(isHit ? "hit" : "miss")\"}\n"
                recorded.append(Recorded(session: number, index: index, isHit: isHit))
            }
            try harness.succeed("record", store, "--session", "s", input: Data(lines.utf8))
        }
        return recorded
    }

    /// The answer by the definition: a match, and all events of its session that are near enough to one.
    private func expected(
        _ recorded: [Recorded], isReversed: Bool, before: Int, after: Int, limit: Int?,
        range: ClosedRange<Int>?
    ) -> [Line] {
        var matches = recorded.indices.filter { recorded[$0].isHit && range?.contains($0) ?? true }
        if isReversed { matches.reverse() }
        let chosen = Set(matches.prefix(limit ?? .max))
        let lines = recorded.indices.compactMap { place -> Line? in
            if chosen.contains(place) { return Line(sequence: place, isContext: false) }
            let isNear = chosen.contains {
                recorded[$0].session == recorded[place].session
                    && place >= $0 - before && place <= $0 + after
            }
            return isNear ? Line(sequence: place, isContext: true) : nil
        }
        return isReversed ? lines.reversed() : lines
    }

    private func lines(_ arguments: [String]) throws -> [Line] {
        let outcome = try harness.run(["query", store, "--output", "json"] + arguments)
        #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
        return try harness.objects(outcome).map {
            Line(sequence: $0["sequence"] as? Int ?? -1, isContext: $0["context"] as? Bool ?? false)
        }
    }

    @Test("Each event near to a match comes once, in order: as a naive model says")
    func model() throws {
        let seed = SplitMix64.freshSeed()
        print("context: VARVE_SEED=0x\(String(seed, radix: 16))")
        var random = SplitMix64(seed: seed)
        let sessions = (0..<4).map { _ in
            let rarity = 2 + random.below(8)
            return String((0..<Int(random.below(30))).map { _ in random.oneIn(rarity) ? "x" : "." })
        }
        let recorded = try record(sessions)
        for round in 0..<60 {
            let (before, after) = (Int(random.below(6)), Int(random.below(6)))
            let isReversed = random.oneIn(2)
            let limit = random.oneIn(3) ? Int(random.below(5)) : nil
            let first = Int(random.below(UInt32(max(recorded.count, 1))))
            let range = random.oneIn(3) ? first...first + Int(random.below(40)) : nil
            var arguments = ["--kind", "hit", "-B", "\(before)", "-A", "\(after)"]
            if before == after, random.oneIn(2) { arguments = ["--kind", "hit", "-C", "\(after)"] }
            if isReversed { arguments.append("--reverse") }
            if let limit { arguments += ["--limit", "\(limit)"] }
            if let range { arguments += ["--sequence", "\(range.lowerBound)..\(range.upperBound)"] }
            let expected = expected(
                recorded, isReversed: isReversed, before: before, after: after, limit: limit, range: range)
            #expect(
                try lines(arguments) == expected,
                "round \(round) of \(sessions): \(arguments.joined(separator: " "))")
        }
    }

    @Test(
        "Context ends at its session's ends, and numbers may be as large as one likes",
        arguments: [
            (["-C", "2"], "-2 -3 4 5 -6 -7 -8 9 -10"), (["-B", "100"], "-0 -1 -2 -3 4 5 -8 9"),
            (["-A", "18446744073709551615"], "4 5 -6 -7 9 -10"),
            (["-B", "18446744073709551615", "-r"], "9 -8 5 4 -3 -2 -1 -0"),
            (["-B", "1", "-A", "0"], "-3 4 5 -8 9"), (["-C", "0"], "4 5 9"),
            (["-A", "1", "-C", "2"], "-2 -3 4 5 -6 -7 -8 9 -10"), (["-C", "3", "--limit", "0"], ""),
            (["-C", "1", "--limit", "1"], "-3 4 -5"), (["-C", "1", "-r", "--limit", "1"], "-10 9 -8"),
        ])
    func ends(arguments: [String], expected: String) throws {
        _ = try record(["....xx..", ".x.", "..."])
        #expect(
            try lines(["--kind", "hit"] + arguments).map(\.description).joined(separator: " ") == expected)
    }

    @Test("Other filters say nothing of the context")
    func otherFilters() throws {
        _ = try record(["....xx..", ".x."])
        for filter in [
            ["--from", "1005", "--to", "1005"], ["--where", "sequence == 5"], ["--sequence", "5"],
            ["--grep", "hit", "--sequence", "5..7"], ["--regex", "1005"],
            ["--around", "5", "--window", "0s"],
        ] {
            #expect(try lines(filter + ["-C", "1"]).map(\.description) == ["-4", "5", "-6"], "\(filter)")
        }
    }

    @Test("Groups that do not follow each other are set apart for people, and marked for programs alone")
    func groups() throws {
        _ = try record(["x...x.x", "x.."])
        let short = try harness.succeed("query", store, "--kind", "hit", "-A", "1").lines
        #expect(short.count == 8)
        #expect(short.indices.filter { short[$0] == "--" } == [2])
        #expect(
            try harness.succeed("query", store, "--kind", "hit", "-B", "1", "-r").lines
                .filter { $0 == "--" }.count == 1)
        let payloads = try harness.succeed("query", store, "--kind", "hit", "-A", "1", "-o", "payload")
        #expect(payloads.lines.count == 7 && !payloads.text.contains("--"))
        let json = try harness.succeed("query", store, "--kind", "hit", "-A", "1", "-o", "json").lines
        #expect(json[0].contains(#","kind":"hit","payload":"#))
        #expect(json[1].contains(#","kind":"miss","context":true,"payload":"#))
        let answer = ["query", store, "--kind", "hit", "-A", "1", "-o"]
        #expect(try harness.succeed(answer + ["csv"]).rows.count == 8)
        #expect(try harness.succeed(answer + ["table"]).lines.count == 8)
    }

    @Test("Only matches are counted, by the limit, the trailer and the cursor too")
    func counts() throws {
        _ = try record(["x...x.x", "x.."])
        #expect(try harness.succeed("query", store, "--kind", "hit", "-C", "2", "--count").text == "4\n")
        let outcome = try harness.succeed(
            "query", store, "--kind", "hit", "-C", "2", "-o", "json", "--limit", "2", "--trailer")
        #expect(outcome.lines.count == 8)
        #expect(outcome.lines.last?.hasPrefix(#"{"events":2,"complete":true,"gaps":[],"cursor":""#) == true)
        #expect(outcome.lines.last?.hasSuffix("/1/4\"}") == true)
    }

    @Test("What can't be read of the context is said")
    func damage() throws {
        // The context came without a word from before a damaged block.
        var text = ""
        var random = SplitMix64(seed: 1)
        for number in 0..<4000 {
            let noise = (0..<20).map { _ in String(random.next(), radix: 36) }.joined()
            text += "{\"ts\":\(number),\"type\":\"\(number == 3999 ? "hit" : "miss")\",\"n\":\"\(noise)\"}\n"
        }
        try harness.succeed("record", store, input: Data(text.utf8))
        let size = try #require(
            try FileManager.default.contentsOfDirectory(atPath: store).filter { $0.hasSuffix(".seg") }
                .compactMap {
                    try FileManager.default.attributesOfItem(atPath: store + "/" + $0)[.size] as? UInt64
                }.max())
        try harness.changeByte(at: size / 2, inLargestFileOf: store)
        let near = try harness.run("query", store, "--kind", "hit", "-B", "3", "--output", "json")
        #expect(near.status == 0 && near.lines.count == 4)
        let far = try harness.run(
            "query", store, "--kind", "hit", "-B", "4000", "--output", "json", "--trailer")
        #expect(far.status == 3)
        #expect(far.lines.count > 100 && far.lines.count < 4001)
        #expect(far.errors.split(separator: "\n").count == 1)
        #expect(far.errors.hasPrefix("varve: note: not complete: sequences "))
        #expect(far.lines.last?.hasPrefix(#"{"events":1,"complete":false,"gaps":[{"#) == true)
    }
}
