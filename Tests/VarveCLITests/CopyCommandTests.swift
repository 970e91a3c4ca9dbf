import Foundation
import Testing
import VarveTestKit

@Suite("varve copy")
struct CopyCommandTests {
    let harness: Harness
    let store: String

    init() throws {
        harness = try Harness()
        store = harness.path("store")
        try fill()
    }

    /// Three sessions of events and checkpoints, two of them with one id.
    private func fill() throws {
        var lines = [
            #"{"record":"export","version":1}"#,
            #"{"record":"kind","kind":1,"name":"json","encoding":"json"}"#,
            #"{"record":"kind","kind":2,"name":"text","encoding":"utf8"}"#,
        ]
        for session in 1...3 {
            lines.append(
                #"{"record":"session","session":\#(session),"id":"\#(session == 2 ? "two" : "one")","started_at":"1970-01-01T00:00:00Z"}"#
            )
            for index in 0..<40 {
                let second = String(format: "%02d", index)
                let time = "1970-01-01T0\(session):00:\(second)Z"
                lines.append(
                    index % 4 == 3
                        ? #"{"record":"event","session":\#(session),"timestamp":"\#(time)","kind":2,"payload":"text \#(index) of \#(session)"}"#
                        : #"{"record":"event","session":\#(session),"timestamp":"\#(time)","kind":1,"payload":{"n":\#(index),"word":"w\#(index % 5)"}}"#
                )
                if index % 10 == 5 {
                    lines.append(
                        #"{"record":"checkpoint","session":\#(session),"id":"cp\#(session)-\#(index)","timestamp":"\#(time)","state":\#(index)}"#
                    )
                }
            }
            lines.append(
                #"{"record":"end","session":\#(session),"ended_at":"1970-01-01T0\#(session):10:00Z","state":"closed"}"#
            )
        }
        let export = lines.joined(separator: "\n")
        try harness.succeed("record", store, "--format", "export", input: Data(export.utf8))
    }

    private func events(_ store: String, _ filters: [String] = []) throws -> [String] {
        try harness.run(["query", store, "-o", "json"] + filters).lines
    }

    static let filters: [[String]] = [
        [], ["--grep", "w3"], ["-i", "-g", "TEXT"], ["--regex", "\"n\":[12]\\d,"], ["--where", "n >= 35"],
        ["--where", "word == \"w1\" or n == 0", "--session", "one"], ["--kind", "text"], ["--grep", "of 2"],
        ["--session-number", "-1", "-g", "w"], ["--where", "kind == \"text\" and index > 30"],
        ["--limit", "7", "--where", "n == 4 or n == 5"], ["--sequence", "30..50", "-g", "w0"],
        ["--from", "1970-01-01T02:00:05Z", "--to", "1970-01-01T02:00:20Z", "-g", "w"],
        ["--around", "60", "--window", "4s"], ["--where", "n == 999"], ["--grep", "nowhere"],
        ["--limit", "0"],
        ["--between", "cp2-5", "cp2-25"], ["--between", "cp2-25", "cp2-5", "--where", "n > 10"],
    ]

    @Test("holds what the query answers, names all else as left out, and is clean", arguments: filters)
    func excerpt(filters: [String]) throws {
        let copy = harness.path("copy")
        let outcome = try harness.succeed(["copy", store, copy] + filters)
        let expected = try events(store, filters)
        #expect(try events(copy) == expected)
        let events = "\(expected.count) event\(expected.count == 1 ? "" : "s"), "
        #expect(outcome.text.hasPrefix(events), "\(outcome.text)")
        let left = 120 - expected.count
        #expect(
            outcome.text.hasSuffix(
                left == 0 ? "B\n" : "; \(left) sequence number\(left == 1 ? "" : "s") left out\n"),
            "\(outcome.text)")
        // Numbers that are there and those of gaps are all, and no number is both.
        let info = try #require(try harness.objects(harness.succeed("info", copy, "--json")).first)
        var numbers = try harness.objects(harness.run(["query", copy, "-o", "json"]))
            .compactMap { $0["sequence"] as? Int }
        for gap in info["gaps"] as? [[String: Any]] ?? [] {
            #expect(gap["reason"] as? String == "excluded")
            let ends = try #require(gap["sequences"] as? [Int])
            numbers += ends[0]...ends[1]
        }
        #expect(numbers.sorted() == Array(0..<120))
        let verified = try harness.run("verify", copy)
        #expect(verified.status == 0 && verified.text.hasPrefix("intact"), "\(verified.text)")
        // Sessions have what they had, ids, numbers and ends; and only those that have events are there.
        let sessions = try harness.objects(harness.succeed("sessions", copy, "--json"))
        let present = Set(
            try harness.objects(harness.run(["query", copy, "-o", "json"])).compactMap {
                $0["session_number"] as? Int
            })
        #expect(Set(sessions.compactMap { $0["number"] as? Int }) == present)
        let before = try harness.objects(harness.succeed("sessions", store, "--json"))
        for session in sessions {
            let same = before.first { $0["number"] as? Int == session["number"] as? Int }
            for key in ["id", "started_at", "ended_at", "state"] {
                #expect(session[key] as? String == same?[key] as? String, "\(key)")
            }
        }
    }

    @Test(
        "of a copy is that of the source with both filters",
        arguments: [
            (["-g", "w"], ["--where", "n > 20"]), (["--kind", "json"], ["--limit", "3"]),
            ([], ["-e", "text"]),
        ])
    func copyOfCopy(first: [String], second: [String]) throws {
        let (copy, again) = (harness.path("copy"), harness.path("again"))
        try harness.succeed(["copy", store, copy] + first)
        try harness.succeed(["copy", copy, again] + second)
        #expect(try events(again) == events(store, first + second))
        #expect(try harness.succeed("verify", again).text.hasPrefix("intact"))
        let left = try harness.succeed("info", again, "--json").text
        #expect(left.contains("\"reason\":\"excluded\"") && !left.contains("\"damage\""))
    }

    @Test("can be repaired and loses nothing: what was left out is not lost")
    func repaired() throws {
        // The counters of the source told of checkpoints that the copy never had, and repair called them lost.
        for (number, filters) in [
            ["-g", "w3"], ["--session", "two"], ["--kind", "text"], ["--where", "n == 7"],
        ].enumerated() {
            let (copy, saved) = (harness.path("copy\(number)"), harness.path("saved\(number)"))
            try harness.succeed(["copy", store, copy] + filters)
            for salvage in [[], ["--salvage"]] {
                let path = saved + "\(salvage.count)"
                let outcome = try harness.run(["repair", copy, "--into", path] + salvage)
                #expect(outcome.status == 0, "\(outcome.text)")
                #expect(outcome.lines.last?.hasPrefix("kept all: ") == true, "\(outcome.text)")
                #expect(!outcome.text.contains("lost"), "\(outcome.text)")
                #expect(try events(path) == events(copy))
                #expect(
                    try harness.succeed("checkpoints", path, "--json").text
                        == harness.succeed("checkpoints", copy, "--json").text)
                #expect(try harness.succeed("verify", path).text.hasPrefix("intact"))
            }
        }
    }

    @Test("goes on after the source's last number, and can be filtered, indexed and exported like any store")
    func living() throws {
        let copy = harness.path("copy")
        try harness.succeed("copy", store, copy, "-g", "w3")
        try harness.succeed("record", copy, "--session", "later", input: Data("{\"word\":\"w3\"}\n".utf8))
        let last = try #require(try harness.objects(harness.run(["query", copy, "-o", "json"])).last)
        #expect(last["sequence"] as? Int == 120 && last["session_number"] as? Int == 4)
        try harness.succeed("compact", copy, "--filters")
        #expect(try events(copy, ["-g", "w3"]).count == events(store, ["-g", "w3"]).count + 1)
        let imported = harness.path("imported")
        try harness.succeed("import", imported, "-", input: harness.succeed("export", copy).output)
        #expect(
            try harness.succeed("query", imported, "-o", "payload").text
                == harness.succeed("query", copy, "-o", "payload").text)
    }

    @Test("A query of it is complete for people, and its trailer says that it is an excerpt")
    func trailer() throws {
        let copy = harness.path("copy")
        try harness.succeed("copy", store, copy, "--sequence", "10..19")
        let outcome = try harness.succeed("query", copy, "-o", "json", "--trailer")
        #expect(outcome.errors.isEmpty)
        #expect(
            outcome.lines.last?.hasPrefix(
                #"{"events":10,"complete":false,"gaps":[{"sequences":[0,9],"reason":"excluded","note":""},"#
                    + #"{"sequences":[20,119],"reason":"excluded","note":""}],"cursor":""#) == true)
        let inside = try harness.succeed("query", copy, "-o", "json", "--trailer", "--sequence", "10..19")
        #expect(inside.lines.last?.hasPrefix(#"{"events":10,"complete":true,"gaps":[],"#) == true)
    }

    @Test("of a damaged store has what can be read, says what is missing, and its status is 3")
    func damaged() throws {
        var random = SplitMix64(seed: 3)
        let lines = (0..<3000).map { number in
            let noise = (0..<12).map { _ in String(random.next(), radix: 36) }.joined()
            return "{\"ts\":\(1000 + number),\"n\":\(number),\"noise\":\"\(noise)\"}\n"
        }
        let (bad, copy) = (harness.path("bad"), harness.path("copy"))
        try harness.succeed("record", bad, input: Data(lines.joined().utf8))
        try harness.changeByte(at: 150_000, inLargestFileOf: bad)
        let outcome = try harness.run("copy", bad, copy, "--where", "n >= 100")
        #expect(outcome.status == 3)
        #expect(outcome.errors.hasPrefix("varve: note: not complete: sequences "))
        #expect(outcome.errors.split(separator: "\n").count == 1)
        #expect(try events(copy) == events(bad, ["--where", "n >= 100"]))
        // The copy itself is whole, and remembers what its source had lost.
        #expect(try harness.run("verify", copy).text.contains("damage"))
        let query = try harness.run("query", copy, "--count", "-g", "noise")
        #expect(query.status == 3 && query.errors.contains("damage"))
    }

    @Test("What can't be done is an error, and leaves nothing behind")
    func errors() throws {
        let copy = harness.path("copy")
        try harness.succeed("copy", store, copy, "--limit", "1")
        for (arguments, status, message) in [
            ([store, copy], 1, "\(copy): it exists, and is not empty"),
            ([store, store + "/inside"], 1, "\(store)/inside: it lies inside a store"),
            (
                [harness.path("none"), harness.path("x")], 1,
                "\(harness.path("none")) is not a store: it does not exist"
            ),
            ([store, harness.path("x"), "--reverse"], 64, "--reverse: a store keeps the order recorded"),
            ([store, harness.path("x"), "--where", "n =="], 64, "--where: "),
            ([store, harness.path("x"), "--session-number", "9"], 1, "--session-number 9: no such session"),
            ([store, harness.path("x"), "--around", "999"], 1, "--around 999: there is no such event"),
            ([store, harness.path("x"), "--between", "a", "b"], 1, "checkpoint not found: a"),
        ] as [([String], Int32, String)] {
            let outcome = try harness.run(["copy"] + arguments)
            #expect(outcome.status == status && outcome.output.isEmpty, "\(arguments)")
            #expect(outcome.errors.hasPrefix("varve: error: \(message)"), "\(outcome.errors)")
            #expect(outcome.errors.split(separator: "\n").count == 1)
        }
        #expect(!FileManager.default.fileExists(atPath: harness.path("x")))
        let note = try harness.succeed("copy", store, harness.path("y"), "--where", "n == \"5\"")
        #expect(note.errors.hasPrefix("varve: note: nothing matched: n is always a number here"))
    }
}
