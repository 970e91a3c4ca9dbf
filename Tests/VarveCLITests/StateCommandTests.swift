import Foundation
import Testing

@Suite("varve state")
struct StateCommandTests {
    let harness: Harness
    let store: String

    init() throws {
        harness = try Harness()
        store = harness.path("store")
    }

    /// Four events and two checkpoints in session 1; a session of another id; an empty one of the first one's id.
    private static let lines = #"""
        {"record":"export","version":1}
        {"record":"kind","kind":1,"name":"k","encoding":"json"}
        {"record":"kind","kind":2,"name":"raw","encoding":"binary"}
        {"record":"session","session":1,"id":"a","started_at":"2026-05-10T12:00:00Z"}
        {"record":"event","session":1,"index":0,"timestamp":"2026-05-10T12:00:01Z","kind":1,"payload":{"n":0}}
        {"record":"checkpoint","session":1,"id":"cp1","label":"after login","timestamp":"2026-05-10T12:00:01.5Z","event_index":1,"state":{"n":1}}
        {"record":"event","session":1,"index":1,"timestamp":"2026-05-10T12:00:02Z","kind":2,"payload_base64":"/wA="}
        {"record":"event","session":1,"index":2,"timestamp":"2026-05-10T12:00:03Z","kind":1,"payload":[2]}
        {"record":"checkpoint","session":1,"id":"cp2","timestamp":"2026-05-10T12:00:03.5Z","event_index":3,"state_base64":"/w=="}
        {"record":"event","session":1,"index":3,"timestamp":"2026-05-10T12:00:04Z","kind":1,"payload":3}
        {"record":"end","session":1,"ended_at":"2026-05-10T12:00:05Z","state":"closed"}
        {"record":"session","session":2,"id":"b","started_at":"2026-05-10T12:01:00Z"}
        {"record":"event","session":2,"index":0,"timestamp":"2026-05-10T12:01:01Z","kind":1,"payload":0}
        {"record":"end","session":2,"ended_at":"2026-05-10T12:01:05Z","state":"closed"}
        {"record":"session","session":3,"id":"a","started_at":"2026-05-10T12:02:00Z"}
        {"record":"end","session":3,"ended_at":"2026-05-10T12:02:05Z","state":"closed"}

        """#

    private func fill(imported: Bool) throws {
        let input = Data(Self.lines.utf8)
        if imported {
            try harness.succeed("import", store, "-", input: input)
        } else {
            try harness.succeed("record", store, "--format", "export", input: input)
        }
    }

    private func state(_ options: String...) throws -> Harness.Outcome {
        let outcome = try harness.run(["state", store, "--session-number", "1"] + options)
        try #require(outcome.status == 0, "\(outcome.errors)")
        return outcome
    }

    /// A point, the last checkpoint at it or before it, and the indices of the events since.
    private static let points: [(String, String, String?, ClosedRange<Int>?)] = [
        ("--at-index", "0", nil, nil), ("--at-index", "1", "cp1", nil), ("--at-index", "2", "cp1", 1...1),
        ("--at-index", "3", "cp2", nil), ("--at-index", "4", "cp2", 3...3),
        ("--at-index", "99", "cp2", 3...3),
        ("--at-index", "18446744073709551615", "cp2", 3...3),
        ("--at-time", "1970-01-01", nil, nil), ("--at-time", "2026-05-10T12:00:00.999999999Z", nil, nil),
        ("--at-time", "2026-05-10T14:00:01+02:00", nil, 0...0),
        ("--at-time", "2026-05-10T12:00:01.499999999Z", nil, 0...0),
        ("--at-time", "2026-05-10T12:00:01.5Z", "cp1", nil), ("--at-time", "1778414403", "cp1", 1...2),
        ("--at-time", "2026-05-10T12:00:03.5Z", "cp2", nil), ("--at-time", "now", "cp2", 3...3),
        ("--at-time", "-1s", "cp2", 3...3),
    ]

    @Test(
        "The nearest checkpoint at a point or before it is shown, and the events since",
        arguments: points, [false, true])
    func nearest(point: (String, String, String?, ClosedRange<Int>?), imported: Bool) throws {
        try fill(imported: imported)
        let (option, value, id, indices) = point
        let outcome = try state(option, value, "--json", "--events")
        let checkpoints = try harness.succeed("checkpoints", store, "--json").lines
        let checkpoint = id.flatMap { id in checkpoints.first { $0.contains("\"id\":\"\(id)\"") } } ?? "null"
        #expect(
            outcome.lines.first
                == "{\"checkpoint\":\(checkpoint),\"session\":\"a\",\"session_number\":1,"
                + "\"events_since\":\(indices?.count ?? 0),\"complete\":true,\"gaps\":[]}")
        let events = try harness.succeed("query", store, "--session-number", "1", "--output", "json").lines
        #expect(Array(outcome.lines.dropFirst()) == (indices.map { Array(events[$0]) } ?? []))
        #expect(try state(option, value, "--json").lines == [try #require(outcome.lines.first)])
    }

    @Test("People see the checkpoint, its state on one line, and the events as a query prints them")
    func short() throws {
        try fill(imported: false)
        let events = try harness.succeed("query", store).lines
        #expect(
            try state("--at-time", "2026-05-10T12:00:03Z").lines == [
                "session a (number 1): checkpoint cp1 (after login), 2026-05-10T12:00:01.500Z, before event index 1",
                "{\"n\":1}", "2 events since:", events[1], events[2],
            ])
        #expect(
            try state("--at-index", "3").lines == [
                "session a (number 1): checkpoint cp2, 2026-05-10T12:00:03.500Z, before event index 3",
                "\u{FFFD}", "0 events since",
            ])
        #expect(
            try state("--at-time", "2026-05-10T12:00:01Z").lines == [
                "session a (number 1): no checkpoint before: from the session's beginning", "1 event since:",
                events[0],
            ])
    }

    @Test("A limit is one of what is printed, and not of what is counted")
    func limit() throws {
        try fill(imported: false)
        let time = "2026-05-10T12:00:03Z"
        let all = try state("--at-time", time).lines
        #expect(try state("--at-time", time, "--limit", "1").lines == Array(all.dropLast()))
        #expect(try state("--at-time", time, "--limit", "0").lines == Array(all.dropLast(2)))
        let json = try state("--at-time", time, "--json", "--events", "--limit", "1").lines
        #expect(json.count == 2 && json[0].contains("\"events_since\":2,"))
    }

    @Test("It is the last session's, or that of the last one which the options name")
    func session() throws {
        try fill(imported: false)
        func number(_ options: String...) throws -> Int? {
            let outcome = try harness.run(["state", store, "--at-index", "1", "--json"] + options)
            return try harness.objects(outcome).first?["session_number"] as? Int
        }
        #expect(try number() == 3)
        #expect(try number("--session", "a") == 3)
        #expect(try number("--session", "b") == 2)
        #expect(try number("--session-number", "-3") == 1)
        for none in [
            ["--session", "c"], ["--session-number", "4"], ["--session", "b", "--session-number", "1"],
        ] {
            let outcome = try harness.run(["state", store, "--at-index", "1"] + none)
            #expect(outcome.status == 1 && outcome.output.isEmpty)
            #expect(outcome.errors.contains("no such session"))
        }
    }

    @Test(
        "Without a point, with two, and with one that is none, it is wrong usage",
        arguments: [
            [], ["--at-index", "1", "--at-time", "now"], ["--at-index", "-1"], ["--at-index", "x"],
            ["--at-index", "18446744073709551616"], ["--at-time", "yesterday"],
        ])
    func usage(options: [String]) throws {
        let outcome = try harness.run(["state", store] + options)
        #expect(outcome.status == 64)
        #expect(outcome.errors.hasPrefix("varve: error: "))
    }

    @Test("What can't be read since the checkpoint is said, and what is behind the point does not count")
    func damage() throws {
        let lines = (0..<4000).map {
            "{\"n\":\($0),\"noise\":\"\(String($0 &* 2_654_435_761, radix: 36))\"}\n"
        }
        try harness.succeed("record", store, input: Data(lines.joined().utf8))
        try harness.changeByte(at: 20_000, inLargestFileOf: store)
        let query = try harness.run("query", store, "-o", "json", "--trailer")
        let trailer = try #require(try harness.objects(query).last)
        let gap = try #require((trailer["gaps"] as? [[String: Any]])?.first?["sequences"] as? [Int])

        let before = try harness.succeed("state", store, "--at-index", "\(gap[0])", "--json")
        #expect(before.text.contains("\"events_since\":\(gap[0]),\"complete\":true,\"gaps\":[]"))
        for index in [gap[0] + 1, gap[1] + 1, 4000] {
            let after = try harness.run("state", store, "--at-index", "\(index)", "--json")
            #expect(after.status == 3 && after.errors.contains("not complete: sequences "))
            #expect(after.text.contains("\"complete\":false,\"gaps\":[{\"sequences\":[\(gap[0]),\(gap[1])]"))
        }
        let people = try harness.run("state", store, "--at-index", "4000", "--limit", "0")
        let read = 4000 - (gap[1] - gap[0] + 1)
        #expect(people.status == 3)
        let count = read < 1000 ? "\(read)" : "\(read / 1000),\(String(read % 1000 + 1000).dropFirst())"
        #expect(people.lines.last == "\(count) events since, not complete:")
    }
}
