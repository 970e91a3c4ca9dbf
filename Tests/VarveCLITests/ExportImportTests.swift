import Foundation
import Testing

@Suite("varve export and varve import")
struct ExportImportTests {
    let harness: Harness
    let store: String

    init() throws {
        harness = try Harness()
        store = harness.path("store")
    }

    /// Sessions with everything that a store can hold: all encodings, empty payloads, kinds of one name and several
    /// encodings, explicit indices, checkpoints whose index is none of an event, an empty session, one that was
    /// interrupted, ids that repeat.
    private let export = #"""
        {"record":"export","version":1,"store":"elsewhere","metadata":{"z":"1","a":"\u0000"}}
        {"record":"session","session":1,"id":"s1","started_at":"2026-05-10T12:34:56.000000001Z","metadata":{"a":"ü\n","b":"2"}}
        {"record":"checkpoint","session":1,"id":"cp","label":null,"timestamp":"2026-05-10T12:34:56.000000000Z","event_index":100,"state":null}
        {"record":"kind","kind":1,"name":"Console","encoding":"json","metadata":{"unit":"ms"}}
        {"record":"event","session":1,"index":5,"timestamp":"2026-05-10T12:34:57.000000000Z","kind":1,"payload":{"a": 1e5,"b":[18446744073709551615,-0.0],"c":"\u00fc\\"}}
        {"record":"kind","kind":2,"name":"Console","encoding":"utf8","metadata":{}}
        {"record":"event","session":1,"index":9,"timestamp":"1969-12-31T23:59:59.999999999Z","kind":2,"payload_text":"\"text\"\r"}
        {"record":"kind","kind":3,"name":"raw","encoding":"binary","metadata":{}}
        {"record":"event","session":1,"index":2,"timestamp":"2026-05-10T12:34:57.100000000Z","kind":3,"payload_base64":"/wA="}
        {"record":"event","session":1,"index":2,"timestamp":"2026-05-10T12:34:57.100000000Z","kind":3,"payload_text":""}
        {"record":"checkpoint","session":1,"id":"cp","label":"L","timestamp":"2026-05-10T12:34:57.100000000Z","event_index":0,"state_base64":"/w=="}
        {"record":"event","session":1,"index":3,"timestamp":"2026-05-10T12:34:57.100000000Z","kind":1,"payload_text":" {}\n"}
        {"record":"end","session":1,"ended_at":"2026-05-10T12:35:00.000000000Z","state":"interrupted"}
        {"record":"session","session":2,"id":"empty","started_at":"2026-05-10T12:36:00.000000000Z","metadata":{}}
        {"record":"end","session":2,"ended_at":"2026-05-10T12:36:01.000000000Z","state":"closed"}
        {"record":"session","session":3,"id":"s1","started_at":"2026-05-10T12:37:00.000000000Z","metadata":{}}
        {"record":"event","session":3,"index":0,"timestamp":"2262-04-11T23:47:16.854775807Z","kind":1,"payload":[]}
        {"record":"checkpoint","session":3,"id":"last","label":"","timestamp":"2026-05-10T12:37:01.000000000Z","event_index":1,"state_text":"x\u0000"}
        {"record":"end","session":3,"ended_at":"2026-05-10T12:38:00.000000000Z","state":"closed"}

        """#

    private func withoutHeader(_ text: String) -> String { String(text.drop { $0 != "\n" }) }

    @Test("What is imported is exported again, line for line, from a file and from a pipe")
    func roundTrip() throws {
        let file = try harness.file("export", Data(export.utf8))
        try harness.succeed("import", store, file)
        let first = try harness.succeed("export", store)
        #expect(withoutHeader(first.text) == withoutHeader(export))

        let second = harness.path("second")
        let script =
            "'\(Harness.executable.path)' export '\(store)' | '\(Harness.executable.path)' import '\(second)' -"
        #expect(try harness.run(["-c", script], executable: URL(fileURLWithPath: "/bin/sh")).status == 0)
        #expect(withoutHeader(try harness.succeed("export", second).text) == withoutHeader(first.text))
        #expect(try harness.succeed("verify", second).text.hasPrefix("intact"))
        let metadata = try harness.objects(harness.succeed("info", second, "--json")).first?["metadata"]
        #expect(metadata as? [String: String] == ["z": "1", "a": "\u{0}"])
    }

    @Test("An import adds to the sessions that are there, with sequence numbers of the store's own")
    func intoExisting() throws {
        try harness.succeed("record", store, "--session", "before", input: Data("a\nb\n".utf8))
        try harness.succeed("import", store, harness.file("export", Data(export.utf8)))
        let sessions = try harness.objects(harness.succeed("sessions", store, "--json"))
        #expect(sessions.map { $0["id"] as? String } == ["before", "s1", "empty", "s1"])
        #expect(sessions.map { $0["state"] as? String } == ["closed", "interrupted", "closed", "closed"])
        #expect(sessions.map { $0["first_sequence"] as? Int } == [0, 2, nil, 7])
    }

    @Test("Recorded lines of every sort survive the way out and in")
    func recorded() throws {
        var lines = Data("{\"a\":1}\r\n[1, 2]\n\"x\"\nnull\n\nplain\n\u{7f}\u{2028}\n".utf8)
        lines += Data([0xff, 0xfe, 0x0a, 0x00, 0x0a])
        lines +=
            Data(String(repeating: "[", count: 1024).utf8) + Data(String(repeating: "]", count: 1024).utf8)
        try harness.succeed("record", store, input: lines)
        let export = try harness.succeed("export", store)
        let second = harness.path("second")
        try harness.succeed("import", second, "-", input: export.output)
        #expect(withoutHeader(try harness.succeed("export", second).text) == withoutHeader(export.text))
        #expect(try harness.succeed("query", second, "--output", "payload").output == lines + Data([0x0a]))
    }

    @Test(
        "The largest payload survives the way out and in, also when it takes more room there",
        arguments: [(0xff, 64 << 20), (0x01, 12 << 20)] as [(UInt8, Int)])
    func largest(byte: UInt8, size: Int) throws {
        // Bytes that are no UTF-8, and text of which every byte is escaped.
        let content = Data(repeating: byte, count: size)
        try harness.succeed("record", store, "--input", harness.file("input", content))
        let file = try harness.file("export", try harness.succeed("export", store).output)
        let second = harness.path("second")
        try harness.succeed("import", second, file)
        #expect(try harness.succeed("query", second, "--output", "payload").output == content + [0x0A])
    }

    @Test("Filters choose events, and checkpoints and sessions come with them")
    func filtered() throws {
        try harness.succeed("import", store, harness.file("export", Data(export.utf8)))
        let byKind = try harness.objects(harness.succeed("export", store, "--kind", "raw"))
        #expect(
            byKind.map { $0["record"] as? String } == [
                "export", "session", "checkpoint", "kind", "event", "event", "checkpoint", "end", "session",
                "checkpoint",
                "end",
            ])
        let bySession = try harness.succeed("export", store, "--session-number", "-1")
        let imported = harness.path("imported")
        try harness.succeed("import", imported, "-", input: bySession.output)
        #expect(withoutHeader(try harness.succeed("export", imported).text) == withoutHeader(bySession.text))
        #expect(
            try harness.objects(harness.succeed("sessions", imported, "--json")).map { $0["id"] as? String }
                == ["s1"])
        let limited = try harness.objects(harness.succeed("export", store, "--limit", "1"))
        #expect(limited.count { $0["record"] as? String == "event" } == 1)
        #expect(limited.last?["record"] as? String == "end")
    }

    @Test(
        "Of an import with a wrong line nothing is kept, and the line is named", arguments: [3, 11, 12, 19])
    func atomic(broken: Int) throws {
        var lines = export.split(separator: "\n").map(String.init)
        lines[broken - 1] =
            broken == 19
            ? "" : lines[broken - 1].replacingOccurrences(of: "\"session\":", with: "\"sassion\":")
        let text = Data(lines.joined(separator: "\n").utf8)
        for outcome in [
            try harness.run("import", store, try harness.file("broken", text)),
            try harness.run("import", store, "-", input: text),
        ] {
            #expect(outcome.status == 1)
            #expect(outcome.errors.contains(": line \(broken): "), "\(outcome.errors)")
            #expect(!FileManager.default.fileExists(atPath: store))
        }
    }

    @Test("The form can be recorded live: what came before a wrong line is kept")
    func live() throws {
        let lines = """
            {"record":"export","version":1}
            {"record":"session","session":1,"id":"live","started_at":"2026-05-10T12:34:56Z"}
            {"record":"kind","kind":1,"name":"k","encoding":"json"}
            {"record":"event","session":1,"timestamp":"2026-05-10T12:34:57Z","kind":1,"payload":1}
            {"record":"checkpoint","session":1,"id":"cp","timestamp":"2026-05-10T12:34:57Z","state":{}}

            """
        let conversation = try Conversation(
            harness, "record", store, "--format", "export", "--acks", "--durability", "synced")
        try conversation.send(lines)
        #expect(try conversation.nextLine() == "0")
        try conversation.send(
            #"{"record":"event","session":1,"index":7,"timestamp":"2026-05-10T12:34:57Z","kind":1,"payload":2}"#
                + "\n")
        try conversation.closeInput()
        let end = try conversation.finish()
        #expect(end.status == 1)
        #expect(end.errors.contains("varve: error: line 6: index is 7 where 1 comes next"))
        #expect(try harness.succeed("query", store, "--output", "payload").text == "1\n")
        #expect(try harness.succeed("checkpoints", store, "--json").lines.count == 1)
    }
}
