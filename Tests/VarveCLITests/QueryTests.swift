import Foundation
import Testing

@Suite("Reading commands")
struct QueryTests {
    let harness: Harness
    let store: String

    init() throws {
        harness = try Harness()
        store = harness.path("store")
    }

    /// Ten events of two kinds in session `first`, one a second from 00:00:10; two in `second`.
    private func fill() throws {
        let lines = (0..<10).map {
            "{\"ts\":\(10 + $0),\"type\":\"\($0.isMultiple(of: 2) ? "even" : "odd")\",\"n\":\($0)}\n"
        }
        try harness.succeed("record", store, "--session", "first", input: Data(lines.joined().utf8))
        try harness.succeed("record", store, "--session", "second", input: Data("{\"ts\":100}\nplain\n".utf8))
    }

    @Test("Filters combine by and")
    func filters() throws {
        try fill()
        let table: [(arguments: [String], sequences: [Int])] = [
            ([], Array(0..<12)),
            (["--session", "second"], [10, 11]),
            (["--session", "first", "--session", "second"], Array(0..<12)),
            (["--session-number", "-1"], [10, 11]),
            (["--session-number", "1", "--kind", "odd"], [1, 3, 5, 7, 9]),
            (["--kind", "odd", "--kind", "line"], [1, 3, 5, 7, 9, 11]),
            (["--from", "12", "--to", "14"], [2, 3, 4]),
            (["--since", "1970-01-01T00:00:18Z", "--until", "50"], [8, 9]),
            (["--from", "14", "--to", "12"], []),
            (["--sequence", "3..5"], [3, 4, 5]),
            (["--sequence", "11.."], [11]),
            (["--sequence", "..1"], [0, 1]),
            (["--sequence", "4"], [4]),
            (["--limit", "2"], [0, 1]),
            (["--limit", "0"], []),
            (["--reverse", "--limit", "2"], [11, 10]),
            (["--kind", "odd", "--from", "13", "-r"], [9, 7, 5, 3]),
            (["--session", "nobody"], []),
        ]
        for (arguments, sequences) in table {
            let outcome = try harness.run(["query", store, "--output", "json"] + arguments)
            #expect(try harness.objects(outcome).map { $0["sequence"] as? Int } == sequences, "\(arguments)")
            let count = try harness.run(["query", store, "--count"] + arguments)
            #expect(count.text == "\(sequences.count)\n", "\(arguments)")
            let quiet = try harness.run(["query", store, "--quiet"] + arguments)
            #expect(quiet.status == (sequences.isEmpty ? 4 : 0), "\(arguments)")
            #expect(quiet.output.isEmpty)
        }
    }

    @Test("A session number that isn't there is an error")
    func sessionNumbers() throws {
        try fill()
        for number in ["3", "-3"] {
            let outcome = try harness.run("query", store, "--session-number", number)
            #expect(outcome.status == 1)
            #expect(outcome.errors.contains("no such session"))
        }
    }

    @Test(
        "Between two checkpoints are the events from the one up to the other, in whichever order they are named"
    )
    func between() throws {
        let export = """
            {"record":"export","version":1}
            {"record":"session","session":1,"id":"s","started_at":"2026-05-10T12:34:56Z"}
            {"record":"kind","kind":1,"name":"k","encoding":"json"}
            {"record":"checkpoint","session":1,"id":"a","timestamp":"2026-05-10T12:34:56Z","state":1}
            {"record":"event","session":1,"timestamp":"2026-05-10T12:34:56Z","kind":1,"payload":0}
            {"record":"event","session":1,"timestamp":"2026-05-10T12:34:56Z","kind":1,"payload":1}
            {"record":"checkpoint","session":1,"id":"b","timestamp":"2026-05-10T12:34:56Z","state":{"x":[1]}}
            {"record":"event","session":1,"timestamp":"2026-05-10T12:34:56Z","kind":1,"payload":2}
            {"record":"checkpoint","session":1,"id":"a","timestamp":"2026-05-10T12:34:56Z","state_text":"again"}
            """
        try harness.succeed("record", store, "--format", "export", input: Data(export.utf8))
        for (first, second, payloads) in [("a", "b", "0\n1\n"), ("b", "a", "0\n1\n"), ("a", "a", "")] {
            let outcome = try harness.succeed(
                "query", store, "--between", first, second, "--output", "payload")
            #expect(outcome.text == payloads)
            let count = try harness.succeed("query", store, "--count", "--between", first, second)
            #expect(count.text == "\(payloads.split(separator: "\n").count)\n")
        }
        #expect(
            try harness.succeed("query", store, "--between", "a", "b", "--limit", "1", "-o", "payload").text
                == "0\n")
        let missing = try harness.run("query", store, "--between", "x", "y")
        #expect(missing.status == 1)
        #expect(missing.errors == "varve: error: checkpoint not found: x\n")

        let checkpoints = try harness.succeed("checkpoints", store, "--json").lines
        #expect(
            checkpoints[1]
                == #"{"ordinal":2,"session":"s","session_number":1,"id":"b","label":null,"#
                + #""timestamp":"2026-05-10T12:34:56.000000000Z","event_index":2,"sequence":2,"state":{"x":[1]}}"#
        )
        #expect(checkpoints[2].hasSuffix(#""state_text":"again"}"#))
    }

    @Test("Sessions are printed as they were begun, with their metadata in order")
    func sessions() throws {
        try fill()
        let line = try #require(try harness.succeed("sessions", store, "--json").lines.first)
        let object = try #require(
            try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        #expect(object["number"] as? Int == 1)
        #expect(object["id"] as? String == "first")
        #expect(object["state"] as? String == "closed")
        #expect(object["events"] as? Int == 10)
        #expect(object["first_sequence"] as? Int == 0)
        #expect(object["last_sequence"] as? Int == 9)
        #expect(object["min_time"] as? String == "1970-01-01T00:00:10.000000000Z")
        #expect(object["max_time"] as? String == "1970-01-01T00:00:19.000000000Z")
        #expect(try harness.succeed("sessions", store).lines.count == 3)
    }

    @Test("Payloads end in a newline, or in a NUL")
    func payloads() throws {
        try harness.succeed("record", store, input: Data("a\nb\n".utf8))
        #expect(try harness.succeed("query", store, "-o", "payload").text == "a\nb\n")
        #expect(try harness.succeed("query", store, "-o", "payload", "-0").text == "a\0b\0")
    }

    @Test("CSV is quoted where it must be, and takes fields out of payloads")
    func csv() throws {
        let lines =
            "{\"ts\":1,\"type\":\"k\",\"a\":\"x,\\\"y\\\"\",\"b\":{\"c\":[1, 2]},\"b.d\":true}\nplain\n"
        try harness.succeed(
            "record", store, "--session", "s", "--input", harness.file("in", Data(lines.utf8)))
        let csv = try harness.succeed("query", store, "--output", "csv", "--fields", "a,b.c,b.d,none")
        #expect(
            csv.text == "sequence,session,session_number,index,timestamp,kind,a,b.c,b.d,none\r\n"
                + "0,s,1,0,1970-01-01T00:00:01.000000000Z,k,\"x,\"\"y\"\"\",\"[1, 2]\",true,\r\n"
                + "1,s,1,1,1970-01-01T00:00:01.000000000Z,line,,,,\r\n")
        let table = try harness.succeed("query", store, "--output", "table", "--fields", "b.d").lines
        #expect(table[1].hasSuffix("k     true"))
    }

    @Test("Raw line breaks in a JSON payload become spaces in JSON output, and invalid JSON a string")
    func oddJSON() throws {
        let export = #"""
            {"record":"export","version":1}
            {"record":"session","session":1,"id":"s","started_at":"2026-05-10T12:34:56Z"}
            {"record":"kind","kind":1,"name":"k","encoding":"json"}
            {"record":"event","session":1,"timestamp":"2026-05-10T12:34:56Z","kind":1,"payload_text":"{\"a\":\r\n1}"}
            {"record":"event","session":1,"timestamp":"2026-05-10T12:34:56Z","kind":1,"payload_text":"{\"a\":"}
            {"record":"event","session":1,"timestamp":"2026-05-10T12:34:56Z","kind":1,"payload_base64":"/w=="}
            """#
        try harness.succeed("record", store, "--format", "export", input: Data(export.utf8))
        let lines = try harness.succeed("query", store, "--output", "json").lines
        #expect(lines[0].hasSuffix("\"payload\":{\"a\":  1}}"))
        #expect(lines[1].hasSuffix("\"payload\":\"{\\\"a\\\":\"}"))
        #expect(lines[2].hasSuffix("\"payload_base64\":\"/w==\"}"))
    }

    @Test("The trailer counts, and what was done is explained")
    func trailer() throws {
        try fill()
        let outcome = try harness.succeed(
            "query", store, "-o", "json", "--kind", "odd", "--trailer", "--explain")
        #expect(outcome.lines.last?.hasPrefix(#"{"events":5,"complete":true,"gaps":[],"cursor":""#) == true)
        #expect(outcome.errors.contains("matched, 5 printed"))
    }

    @Test("A reader that goes away is no error", arguments: ["short", "json", "payload", "csv", "table"])
    func closedPipe(format: String) throws {
        try fill()
        let process = Process()
        process.executableURL = Harness.executable
        process.arguments = ["query", store, "--output", format]
        let pipe = Pipe()
        let errors = Pipe()
        process.standardOutput = pipe
        process.standardError = errors
        try pipe.fileHandleForReading.close()
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationReason == .exit)
        #expect(process.terminationStatus == 0)
        #expect(try errors.fileHandleForReading.readToEnd() ?? Data() == Data())
    }

    @Test(
        "What is no store is said in one line",
        arguments: ["query", "sessions", "info", "checkpoints", "verify", "export"])
    func noStore(command: String) throws {
        for path in [harness.path("nothing"), try harness.file("file", Data()), harness.directory.path] {
            let outcome = try harness.run(command, path)
            #expect(outcome.status == 1)
            #expect(outcome.errors.hasPrefix("varve: error: "))
            #expect(outcome.errors.split(separator: "\n").count == 1)
            #expect(outcome.output.isEmpty)
        }
    }

    @Test("Damage is found by verify and said by queries, and the rest is still read")
    func damage() throws {
        let lines = (0..<4000).map {
            "{\"n\":\($0),\"noise\":\"\(String($0 &* 2_654_435_761, radix: 36))\"}\n"
        }.joined()
        try harness.succeed("record", store, input: Data(lines.utf8))
        #expect(try harness.succeed("verify", store).text.hasPrefix("intact: "))
        let segment = try harness.changeByte(at: 20_000, inLargestFileOf: store)

        let verify = try harness.run("verify", store)
        #expect(verify.status == 3)
        #expect(verify.text.contains(segment))
        let query = try harness.run("query", store, "--output", "payload")
        #expect(query.status == 3)
        #expect(query.errors.contains("not complete: sequences "))
        #expect(!query.lines.isEmpty && query.lines.count < 4000)
        let all = Set(lines.split(separator: "\n").map(String.init))
        #expect(query.lines.allSatisfy(all.contains))
        #expect(try harness.run("export", store).status == 3)
    }

    @Test(
        "Every command explains itself, with an example",
        arguments: [
            "record", "sessions", "info", "query", "checkpoints", "state", "replay", "diff", "verify",
            "repair", "export", "import",
        ])
    func help(command: String) throws {
        let outcome = try harness.succeed(command, "--help")
        #expect(outcome.text.contains("Example"))
        #expect(outcome.text.contains("varve \(command)"))
    }
}
