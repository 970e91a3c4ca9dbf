import Foundation
import Testing

@Suite("varve record")
struct RecordTests {
    let harness: Harness
    let store: String

    init() throws {
        harness = try Harness()
        store = harness.path("store")
    }

    @Test(
        "A recorded file comes back byte for byte",
        arguments: [
            "{\"a\":1}\n{\"a\":2}\n", "{\"a\":1}\r\n{\"a\":2}\r\n", "\n\n\nx\n", "no newline at the end", "\u{0}\u{1}\n\u{feff}\n",
            "",
        ])
    func identity(content: String) throws {
        let input = try harness.file("input", Data(content.utf8))
        try harness.succeed("record", store, "--input", input)
        var expected = Data(content.utf8)
        // The newline is the separator: a last line without one comes back with it.
        if let last = expected.last, last != 0x0A { expected.append(0x0A) }
        #expect(try harness.succeed("query", store, "--output", "payload").output == expected)
    }

    @Test("Bytes that are no UTF-8 are kept, as binary")
    func binary() throws {
        let line = Data([0xff, 0x00, 0xfe, 0x0a])
        try harness.succeed("record", store, input: line)
        #expect(try harness.succeed("query", store, "--output", "payload").output == line)
        let event = try #require(try harness.objects(harness.succeed("query", store, "--output", "json")).first)
        #expect(event["payload_base64"] as? String == "/wD+")
        #expect(event["kind"] as? String == "line")
    }

    @Test("Times and kinds are found in the lines, and JSON payloads are printed as they are")
    func timesAndKinds() throws {
        let lines = """
            {"type":"a","timestamp":"2026-05-10T12:34:56.1Z"}
            {"kind":7,"@timestamp":1778416496}
            {"event":{"no":"text"},"time":"2026-05-10 14:34:56+02:00"}
            {"my":{"kind":"k","when":1778416496789}}
            """
        try harness.succeed("record", store, "--session", "s", input: Data(lines.utf8))
        let query = try harness.succeed("query", store, "--output", "json")
        let expected = [
            #"{"sequence":0,"session":"s","session_number":1,"index":0,"timestamp":"2026-05-10T12:34:56.100000000Z","#
                + #""kind":"a","payload":{"type":"a","timestamp":"2026-05-10T12:34:56.1Z"}}"#,
            #"{"sequence":1,"session":"s","session_number":1,"index":1,"timestamp":"2026-05-10T12:34:56.000000000Z","#
                + #""kind":"7","payload":{"kind":7,"@timestamp":1778416496}}"#,
            #"{"sequence":2,"session":"s","session_number":1,"index":2,"timestamp":"2026-05-10T12:34:56.000000000Z","#
                + #""kind":"event","payload":{"event":{"no":"text"},"time":"2026-05-10 14:34:56+02:00"}}"#,
        ]
        #expect(Array(query.lines.prefix(3)) == expected)

        let second = harness.path("second")
        try harness.succeed(
            "record", second, "--time-field", "my.when", "--kind-field", "my.kind", input: Data(lines.utf8))
        let event = try #require(try harness.objects(harness.succeed("query", second, "--output", "json")).last)
        #expect(event["timestamp"] as? String == "2026-05-10T12:34:56.789000000Z")
        #expect(event["kind"] as? String == "k")
    }

    @Test("A line of a file without a time has the one of the line before")
    func previousTime() throws {
        let input = try harness.file("input", Data("{\"ts\":5}\nx\n{\"ts\":\"bad\"}\n".utf8))
        let outcome = try harness.succeed("record", store, "--input", input)
        let times = try harness.objects(harness.succeed("query", store, "--output", "json")).map {
            $0["timestamp"] as? String
        }
        #expect(times == Array(repeating: "1970-01-01T00:00:05.000000000Z", count: 3))
        #expect(outcome.errors.contains("2 without one"))
        #expect(outcome.errors.contains("1 bad line;"))
        #expect(outcome.errors.contains("1 line no JSON"))
    }

    @Test("Lines that have no zone are in the one that is given")
    func timeZone() throws {
        let line = Data("{\"ts\":\"2026-05-10T12:00:00\"}\n".utf8)
        try harness.succeed("record", store, "--time-zone", "+02:00", input: line)
        #expect(try harness.succeed("query", store).text.hasPrefix("2026-05-10T10:00:00.000000000Z "))
    }

    @Test("Bad lines are kept, skipped, or end the recording", arguments: ["keep", "skip", "stop"])
    func badLines(policy: String) throws {
        let lines = Data("{\"ts\":1}\n{\"ts\":\"bad\"}\n{\"ts\":2}\n".utf8)
        let outcome = try harness.run("record", store, "--on-bad", policy, input: lines)
        let payloads = try harness.succeed("query", store, "--output", "payload").lines
        switch policy {
        case "keep":
            #expect(outcome.status == 0)
            #expect(payloads == ["{\"ts\":1}", "{\"ts\":\"bad\"}", "{\"ts\":2}"])
        case "skip":
            #expect(outcome.status == 0)
            #expect(payloads == ["{\"ts\":1}", "{\"ts\":2}"])
            #expect(outcome.errors.contains("1 bad line (1 skipped)"))
        default:
            #expect(outcome.status == 1)
            #expect(payloads == ["{\"ts\":1}"])
            #expect(outcome.errors.contains("varve: error: line 2: its time can't be used"))
        }
        #expect(try harness.objects(harness.succeed("sessions", store, "--json")).first?["state"] as? String == "closed")
    }

    @Test("With --text every line is text")
    func text() throws {
        try harness.succeed("record", store, "--text", input: Data("{\"type\":\"a\"}\n\n".utf8))
        let events = try harness.objects(harness.succeed("query", store, "--output", "json"))
        #expect(events.map { $0["kind"] as? String } == ["line", "line"])
        #expect(events.map { $0["payload"] as? String } == ["{\"type\":\"a\"}", ""])
    }

    @Test("A kind whose name the store can't take is recorded as event, and said")
    func unusableKind() throws {
        let name = String(repeating: "k", count: 256)
        let outcome = try harness.succeed("record", store, input: Data("{\"type\":\"\(name)\"}\n{\"type\":\"\"}\n".utf8))
        let events = try harness.objects(harness.succeed("query", store, "--output", "json"))
        #expect(events.map { $0["kind"] as? String } == ["event", "event"])
        #expect(outcome.errors.contains("2 with a kind that can't be used"))
    }

    @Test("The same file is refused the second time, under whatever name, and taken with --again")
    func again() throws {
        let first = try harness.file("first", Data("{\"a\":1}\n".utf8))
        let second = try harness.file("second", Data("{\"a\":1}\n".utf8))
        let other = try harness.file("other", Data("{\"a\":2}\n".utf8))
        try harness.succeed("record", store, "--input", first, "--session", "one")
        let refused = try harness.run("record", store, "--input", second)
        #expect(refused.status == 1)
        #expect(refused.errors.contains("as session 1 (one): --again"))
        try harness.succeed("record", store, "--input", other)
        try harness.succeed("record", store, "--input", second, "--again")
        let sessions = try harness.objects(harness.succeed("sessions", store, "--json"))
        #expect(sessions.count == 3)
        let metadata = try #require(sessions.first?["metadata"] as? [String: String])
        #expect(metadata["input.bytes"] == "8")
        #expect(metadata["input.path"] == URL(fileURLWithPath: first).resolvingSymlinksInPath().path)
        #expect(metadata["input.xxh64"]?.count == 16)
    }

    @Test("A mistyped path leaves no store behind")
    func missingInput() throws {
        let outcome = try harness.run("record", store, "--input", harness.path("nothing"))
        #expect(outcome.status == 1)
        #expect(outcome.errors == "varve: error: cannot read \(harness.path("nothing")): no such file or directory\n")
        #expect(!FileManager.default.fileExists(atPath: store))
    }

    @Test("The receipt counts, for people and as JSON")
    func receipt() throws {
        let lines = Data("{\"ts\":2,\"type\":\"a\"}\n{\"ts\":1,\"type\":\"b\"}\nx\n".utf8)
        let outcome = try harness.run("record", store, "--json", input: lines)
        let receipt = try #require(try harness.objects(outcome).first)
        #expect(receipt["events"] as? Int == 3)
        #expect(receipt["kinds"] as? Int == 3)
        #expect(receipt["steps_back"] as? Int == 1)
        #expect(receipt["lines_no_json"] as? Int == 1)
        #expect(receipt["time_fields"] as? [String] == ["ts"])
        #expect(outcome.errors.isEmpty)
    }

    @Test("Each event is acknowledged once it is durable, while the input is still open", arguments: ["synced", "interval:20ms"])
    func acknowledgments(durability: String) throws {
        let conversation = try Conversation(harness, "record", store, "--acks", "--durability", durability)
        try conversation.send("{}\n{}\n")
        #expect(try conversation.nextLine() == "0")
        #expect(try conversation.nextLine() == "1")
        try conversation.send("{}\npart")
        #expect(try conversation.nextLine() == "2")
        try conversation.closeInput()
        #expect(try conversation.nextLine() == "3")
        #expect(try conversation.finish().status == 0)
        #expect(try harness.succeed("query", store, "--count").text == "4\n")
    }

    @Test("With durability none events are acknowledged at the end")
    func acknowledgmentsAtEnd() throws {
        let outcome = try harness.succeed(
            "record", store, "--acks", "--durability", "none", input: Data("a\nb\n".utf8))
        #expect(outcome.text == "0\n1\n")
    }

    @Test("A signal ends a recording in order", arguments: [SIGINT, SIGTERM, SIGHUP])
    func signals(number: Int32) throws {
        let conversation = try Conversation(harness, "record", store, "--acks", "--durability", "synced")
        try conversation.send("{\"a\":1}\nwithout an end")
        #expect(try conversation.nextLine() == "0")
        conversation.signal(number)
        let end = try conversation.finish()
        #expect(end.status == 0)
        #expect(end.errors.hasPrefix("2 events, 1 session"))
        #expect(try harness.succeed("query", store, "--output", "payload").text == "{\"a\":1}\nwithout an end\n")
        #expect(try harness.objects(harness.succeed("sessions", store, "--json")).first?["state"] as? String == "closed")
    }

    @Test("A killed recording keeps what was acknowledged, and is interrupted")
    func killed() throws {
        let conversation = try Conversation(harness, "record", store, "--acks", "--durability", "synced")
        try conversation.send("{\"a\":1}\n")
        #expect(try conversation.nextLine() == "0")
        conversation.signal(SIGKILL)
        #expect(try conversation.finish().status == 128 + SIGKILL)
        #expect(try harness.run("query", store, "--output", "payload").text == "{\"a\":1}\n")
        let session = try #require(try harness.objects(harness.run("sessions", store, "--json")).first)
        #expect(session["state"] as? String == "interrupted")
    }

    @Test("A second writer is told so at once, and readers are not kept out")
    func secondWriter() throws {
        let conversation = try Conversation(harness, "record", store, "--acks", "--durability", "synced")
        try conversation.send("{\"a\":1}\n")
        #expect(try conversation.nextLine() == "0")
        let second = try harness.run("record", store)
        #expect(second.status == 1)
        #expect(second.errors.hasPrefix("varve: error: \(store) is being written by another writer"))
        #expect(try harness.run("query", store, "--count").text == "1\n")
        #expect(try harness.objects(harness.run("sessions", store, "--json")).first?["state"] as? String == "active")
        try conversation.closeInput()
        #expect(try conversation.finish().status == 0)
    }

    @Test("A line over 64 MiB is split, marked as binary, and counted")
    func longLine() throws {
        var content = Data(repeating: UInt8(ascii: "x"), count: (64 << 20) + 3)
        content.append(contentsOf: Data("\n{}\n".utf8))
        let input = try harness.file("input", content)
        let outcome = try harness.succeed("record", store, "--input", input)
        #expect(outcome.errors.contains("1 bad line (1 too long)"))
        let kinds = try harness.objects(harness.succeed("info", store, "--json")).first?["kinds"] as? [[String: Any]]
        let line = try #require(kinds?.first { $0["name"] as? String == "line" })
        #expect(line["encoding"] as? String == "binary")
        #expect(line["events"] as? Int == 2)
        #expect(line["bytes"] as? Int == (64 << 20) + 3)
    }
}
