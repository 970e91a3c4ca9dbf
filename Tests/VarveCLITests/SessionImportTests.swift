import Foundation
import Testing

@Suite("Session JSON into a store")
struct SessionImportTests {
    let harness: Harness
    let store: String

    init() throws {
        harness = try Harness()
        store = harness.path("store")
    }

    private func exported() throws -> String {
        try harness.succeed("export", store, "--format", "session").text
    }

    @Test(
        "A session as a recorder writes it comes back byte for byte",
        arguments: [
            SessionDocument.canonical, SessionDocument.document(events: []),
            SessionDocument.document(
                id: #"\u0000\n\"é"#, events: [SessionDocument.event(0, SessionDocument.events[0])]),
        ])
    func roundTrip(document: String) throws {
        try harness.succeed("import", store, harness.file("session.json", Data(document.utf8)))
        #expect(try exported() == document)
        #expect(try harness.succeed("verify", store).text.hasPrefix("intact"))
    }

    @Test("It comes from a pipe too, and through one from store to store")
    func pipe() throws {
        let conversation = try Conversation(harness, "import", store, "-")
        try conversation.send(SessionDocument.canonical)
        try conversation.closeInput()
        #expect(try conversation.finish().status == 0)
        let (varve, second) = (Harness.executable.path, harness.path("second"))
        let script = "'\(varve)' export '\(store)' --format session | '\(varve)' import '\(second)' -"
        #expect(try harness.run(["-c", script], executable: URL(fileURLWithPath: "/bin/sh")).status == 0)
        #expect(
            try harness.succeed("export", second, "--format", "session").text == SessionDocument.canonical)
    }

    @Test("It ends at its latest time, beside the sessions that are there")
    func session() throws {
        try harness.succeed("record", store, "--session", "before", input: Data("a\n".utf8))
        let receipt = try harness.succeed(
            "import", store, "-", "--json", input: Data(SessionDocument.canonical.utf8))
        let figures = try #require(try harness.objects(receipt).first)
        #expect(figures["events"] as? Int == 10 && figures["sessions"] as? Int == 1)
        #expect(figures["checkpoints"] as? Int == 2)
        let sessions = try harness.objects(harness.succeed("sessions", store, "--json"))
        #expect(sessions.map { $0["id"] as? String } == ["before", "s1"])
        let imported = try #require(sessions.last)
        #expect(imported["state"] as? String == "closed")
        #expect(imported["start"] as? String == "2026-05-10T12:34:56.000000000Z")
        #expect(imported["end"] as? String == "2026-05-10T12:34:57.000000000Z")
        #expect(imported["events"] as? Int == 10 && imported["checkpoints"] as? Int == 2)
        #expect(try harness.succeed("query", store, "--kind", "Console", "--count").text == "1\n")
        let receiptLine = try harness.succeed(
            "import", store, "-", input: Data(SessionDocument.canonical.utf8))
        #expect(receiptLine.errors.hasPrefix("10 events, 1 session, 2 checkpoints, "))
        // What goes out as JSON Lines and in again is still the same session.
        let lines = try harness.succeed("export", store, "--session-number", "2")
        try harness.succeed("import", harness.path("lines"), "-", input: lines.output)
        #expect(
            try harness.succeed("export", harness.path("lines"), "--format", "session").text
                == SessionDocument.canonical)
    }

    /// The canonical document's members, each once.
    private static let members = [
        #""id":"s1""#, #""started_at" : "2026-05-10T14:34:56+02:00""#,
        "\"events\":\n [\(SessionDocument.event(0, SessionDocument.events[7]))\n]", #""checkpoints":[ ]"#,
    ]

    @Test(
        "It is known for what it is, on one line or many, with its keys in any order and others among them",
        arguments: [
            "{\(members.joined(separator: ","))}", "\u{FEFF}\n {\n\(members.joined(separator: ",\n"))\n}\n",
            "{\(members.reversed().joined(separator: ", "))}",
            "{\"record\":\"export\",\"version\":1,\(members.joined(separator: ","))}",
            "{\(members[0]),\"record\":\"event\",\(members[1]),\(members[3]),\(members[2])}",
            "{\"x\":{\"record\":\"export\"},\n\(members.joined(separator: ","))}",
        ])
    func recognised(document: String) throws {
        try harness.succeed("import", store, "-", input: Data(document.utf8))
        #expect(
            try exported()
                == SessionDocument.document(events: [SessionDocument.event(0, SessionDocument.events[7])]))
    }

    @Test("So are the lines of an export, whose keys come in any order too")
    func lines() throws {
        let header = #"{"metadata":{"events":"[]"},"version":1,"record":"export"}"#
        try harness.succeed("import", store, "-", input: Data("\(header)\n".utf8))
        let wrong = try harness.run("import", store, "-", input: Data("\(header)\n{\"record\":7}\n".utf8))
        #expect(wrong.errors.contains("line 2: "))
        let broken = try harness.run("import", store, "-", input: Data(#"{"record":"export","versi"#.utf8))
        #expect(broken.errors.contains("line 1: "))
    }

    @Test(
        "What is neither is said to be neither", arguments: ["", " \n", "{}", "[]", "text", "{\"a\":1}\n{}"])
    func neither(text: String) throws {
        let outcome = try harness.run("import", store, "-", input: Data(text.utf8))
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("cannot import standard input: neither session JSON nor JSON Lines"))
        #expect(!FileManager.default.fileExists(atPath: store))
    }

    @Test("The form that is named is the one that is read")
    func named() throws {
        let session = Data(SessionDocument.canonical.utf8)
        let asLines = try harness.run("import", store, "-", "--format", "jsonl", input: session)
        #expect(asLines.status == 1 && asLines.errors.contains(": line 1: record: missing"))
        let line = Data("{\"record\":\"export\",\"version\":1}\n".utf8)
        let asSession = try harness.run("import", store, "-", "--format", "session", input: line)
        #expect(asSession.status == 1 && asSession.errors.contains("id: missing (byte 30)"))
        #expect(!FileManager.default.fileExists(atPath: store))
        try harness.succeed("import", store, "-", "--format", "session", input: session)
    }

    /// What is wrong, the value that is, and the byte where it stands: a marker in the text, which is taken out.
    private static let wrong: [(String, String)] = [
        ("{¶", ""), ("{\"id\":\"s1¶", "id"), ("{\"id\":\"s1\",\"events\":[¶", "events[0]"),
        (String(SessionDocument.canonical.dropLast(30)) + "¶", "checkpoints[1]"),
        (
            SessionDocument.document(events: [
                #"{"index":¶-1,"timestamp":"2026-05-10T12:34:56Z","event":{"type":"T"}}"#
            ]), "events[0].index"
        ),
        (
            SessionDocument.document(events: [
                SessionDocument.event(0, #"{"type":"T"}"#),
                #"{"index":1,¶"index":1,"timestamp":"2026-05-10T12:34:56Z","event":{"type":"T"}}"#,
            ]), "events[1].index"
        ),
        (String(SessionDocument.canonical.dropLast()) + ",¶\"id\":\"s1\"}", "id"),
        (
            SessionDocument.document(events: [
                SessionDocument.event(
                    0,
                    "{\"type\":\"T\",\"x\":" + String(repeating: "[", count: 123) + "¶["
                        + String(repeating: "]", count: 124) + "}")
            ]), "events[0]"
        ),
        (SessionDocument.canonical + "¶{}", ""),
        (
            SessionDocument.document(events: [SessionDocument.event(.max, #"{"type":"T"}"#)])
                .replacingOccurrences(of: "\"index\":\(Int.max)", with: "\"index\":¶18446744073709551616"),
            "events[0].index"
        ),
    ]

    @Test(
        "Of a document with something wrong nothing is kept, and the value and its byte are named",
        arguments: wrong)
    func refused(marked: String, path: String) throws {
        let offset = Array(marked.utf8).firstRange(of: Array("¶".utf8))?.lowerBound ?? 0
        try refuse(Data(marked.replacingOccurrences(of: "¶", with: "").utf8), path: path, offset: offset)
    }

    @Test("Bytes that are no UTF-8 are such a thing")
    func notUTF8() throws {
        try refuse(Data("{\"id\":\"s".utf8) + [0xff] + Data("\"}".utf8), path: "id", offset: 8)
    }

    private func refuse(_ document: Data, path: String, offset: Int) throws {
        let file = try harness.file("wrong.json", document)
        for (argument, name) in [(file, file), ("-", "standard input")] {
            let outcome = try harness.run("import", store, argument, input: document)
            #expect(outcome.status == 1)
            #expect(
                outcome.errors.hasPrefix(
                    "varve: error: cannot import \(name): \(path.isEmpty ? "" : "\(path): ")"),
                "\(outcome.errors)")
            #expect(outcome.errors.hasSuffix("(byte \(offset))\n"), "\(outcome.errors)")
            #expect(!FileManager.default.fileExists(atPath: store))
        }
        try harness.succeed("record", store, "--session", "before", input: Data("a\n".utf8))
        #expect(try harness.run("import", store, file).status == 1)
        #expect(try harness.succeed("sessions", store, "--json").lines.count == 1)
    }

    @Test("After the highest index there is nothing can follow")
    func lastIndex() throws {
        let text = SessionDocument.document(events: [SessionDocument.event(0, #"{"type":"T"}"#)])
            .replacingOccurrences(of: "\"index\":0", with: "\"index\":\(UInt64.max)")
        let outcome = try harness.run("import", store, "-", input: Data(text.utf8))
        #expect(outcome.status == 1 && outcome.errors.contains("cannot import standard input: no event can"))
        #expect(!FileManager.default.fileExists(atPath: store))
    }
}
