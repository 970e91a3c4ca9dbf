import Foundation
import Testing

@Suite("Searching: query --grep, --regex, --where and --around")
struct SearchTests {
    let harness: Harness
    let store: String

    init() throws {
        harness = try Harness()
        store = harness.path("store")
    }

    /// JSON, text, bytes that are no UTF-8, and an empty line; one a second from 00:16:40.
    private func fill() throws {
        var content = Data()
        content += Data(#"{"ts":1000,"type":"a","path":"C:\\Windows\\System32","id":4624,"ok":true}"#.utf8)
        content += Data("\n".utf8)
        content += Data(
            #"{"ts":1001,"type":"b","path":"c:\\windows","id":"4624","user":{"name":"Ädmin"}}"#.utf8)
        content += Data("\n".utf8)
        content += Data(#"{"ts":1002,"type":"a","list":[1,{"x":"needle"}],"id":null,"a.b":1}"#.utf8)
        content += Data("\nplain text, C:\\Windows and a Needle\n".utf8)
        content += Data([0xff, 0xfe]) + Data("needle\u{0}\n".utf8)
        content += Data("\n".utf8)
        content += Data(#"{"ts":1003,"type":"a","text":"line\nbreak \"quoted\" \u00c4dmin","id":1e3}"#.utf8)
        content += Data("\n".utf8)
        try harness.succeed("record", store, "--input", harness.file("in", content))
    }

    @Test("Each way to search finds what it says, alone and with others")
    func table() throws {
        try fill()
        let table: [(arguments: [String], sequences: [Int])] = [
            (["--grep", #"C:\Windows"#], [0, 3]),
            (["-g", #"c:\windows"#], [1]),
            (["-i", "-g", #"c:\windows"#], [0, 1, 3]),
            (["-g", "needle"], [2, 4]),
            (["-g", "needle", "-i"], [2, 3, 4]),
            (["-g", "needle", "-g", "plain", "-i"], [3]),
            (["--grep", "Ädmin"], [1, 6]),
            (["--grep", "ädmin", "--ignore-case"], [1, 6]),
            (["-g", "line\nbreak \"quoted\""], [6]),
            (["-g", "-dash"], []),
            (["--regex", "n[e]+dle"], [2, 4]),
            (["-e", "(?i)NEEDLE"], [2, 3, 4]),
            (["-i", "-e", "NEEDLE"], [2, 3, 4]),
            (["-e", "^plain.*Needle$"], [3]),
            (["-e", "^$"], [5]),
            (["-e", "\"id\":\"?4624"], [0, 1]),
            (["-e", "needle", "--kind", "a"], [2]),
            (["-e", "Windows", "-g", "plain"], [3]),
            (["--where", "id == 4624"], [0]),
            (["--where", "id == \"4624\""], [1]),
            (["--where", "id in [4624, \"4624\"]"], [0, 1]),
            (["--where", "id != 4624"], [1, 2, 6]),
            (["--where", "id == 1000"], [6]),
            (["--where", "id is null"], [2]),
            (["--where", "id exists"], [0, 1, 2, 6]),
            (["--where", "path is missing"], [2, 6]),
            (["--where", #"path startswith r"C:\Windows" nocase"#], [0, 1]),
            (["--where", "user.name == \"Ädmin\""], [1]),
            (["--where", "[\"a.b\"] == 1"], [2]),
            (["--where", "list[].x contains \"eed\""], [2]),
            (["--where", "** contains \"needle\""], [2]),
            (["--where", "kind == \"line\""], [3, 4, 5]),
            (["--where", "length == 0"], [5]),
            (["--where", "sequence >= 5"], [5, 6]),
            (["--where", "index < 2 and not kind == \"b\""], [0]),
            (["--where", "id exists", "--where", "path exists"], [0, 1]),
            (["--where", "ok == true", "-g", "4624"], [0]),
            (["--where", "id exists", "--reverse", "--limit", "2"], [6, 2]),
            (["--around", "1", "--window", "1s"], [0, 1, 2, 3, 4, 5]),
            (["--around", "0", "--window", "0s"], [0]),
            (["--around", "1", "--window", "999999999ns"], [1]),
            (["--around", "0"], [0, 1, 2, 3, 4, 5, 6]),
            (["--around", "0", "--window", "213503d"], [0, 1, 2, 3, 4, 5, 6]),
            (["--around", "1", "--window", "1s", "--from", "1001", "--kind", "a"], [2]),
            (["--around", "0", "--window", "1s", "--from", "1002"], []),
        ]
        for (arguments, sequences) in table {
            let outcome = try harness.run(["query", store, "--output", "json"] + arguments)
            #expect(outcome.status == 0)
            let found = try harness.objects(outcome).map { $0["sequence"] as? Int }
            #expect(found == sequences, "\(arguments)")
            let count = try harness.run(["query", store, "--count"] + arguments)
            #expect(count.text == "\(sequences.count)\n", "\(arguments)")
            let quiet = try harness.run(["query", store, "--quiet"] + arguments)
            #expect(quiet.status == (sequences.isEmpty ? 4 : 0), "\(arguments)")
            let byTime = try harness.run(["query", store, "--order", "time", "-o", "json"] + arguments)
            #expect(
                try harness.objects(byTime).map { $0["sequence"] as? Int } == sequences,
                "by time: \(arguments)")
        }
    }

    @Test("Filters are the same with filters built into the segments")
    func compacted() throws {
        try fill()
        let searches = [
            ["-g", #"C:\Windows"#], ["-i", "-g", "NEEDLE"], ["-e", "n.edle"], ["--where", "id == 4624"],
            ["-g", "nowhere"], ["--where", "** contains \"needle\""],
        ]
        let before = try searches.map { try harness.run(["query", store, "-o", "json"] + $0).text }
        let first = try harness.succeed("compact", store, "--filters").text
        #expect(first.hasPrefix("1 segment got filters (") || first.hasPrefix("0 segments got filters ("))
        let second = try harness.succeed("compact", store, "--filters").text
        #expect(second.hasPrefix("0 segments got filters (") && second.hasSuffix("1 had them\n"))
        let after = try searches.map { try harness.run(["query", store, "-o", "json"] + $0).text }
        #expect(before == after)
        #expect(try harness.succeed("verify", store).text.hasPrefix("intact"))
        #expect(try harness.run("compact", harness.path("none"), "--filters").status == 1)
    }

    @Test(
        "What can't be understood is wrong usage, told in one line with its place",
        arguments: [
            (["--where", "EventID = = 4"], "--where: "), (["--where", ""], "--where: "),
            (["--where", "a =="], "--where: "), (["--where", "a == 'x'"], "--where: "),
            (["--where", "a matches \"(\""], "--where: "), (["--where", "(a == 1"], "--where: "),
            (["--where", "a == 1 b"], "--where: "), (["--where", "a.b."], "--where: "),
            (["--where", "number(a"], "--where: "), (["--where", "\"unclosed"], "--where: "),
            (["--where", "a == \"\n"], "--where: "),
            (["--regex", "("], "--regex: "), (["--regex", "[a"], "--regex: "),
            (["--regex", "a{1001}"], "--regex: "), (["-e", "(?<=a)b"], "--regex: "),
            (["--regex", "\\"], "--regex: "), (["--grep", ""], "--grep: "),
            (["--from", "yesterday"], "--from yesterday: not a time"),
            (["--to", ""], "--to : not a time"),
            (["--since", "2026-02-30"], "--from 2026-02-30: not a time"),
            (["--from", "9223372036854775808"], "--from 9223372036854775808: not a time"),
            (["--around", "x"], ""), (["--around", "-1"], ""),
            (["--window", "3s"], "--window needs --around"),
            (["--around", "1", "--window", "3"], ""), (["--around", "1", "--window", "-3s"], ""),
            (["-A", "-1"], ""), (["-B", "x"], ""), (["-C", "18446744073709551616"], ""),
            (["--limit", "-1"], ""),
            (["--order", "size"], ""), (["--order", "time", "-A", "1"], "-A, -B and -C: "),
            (["--order", "time", "--show-cursor"], "a cursor: "),
            (["--trailer"], "--trailer needs --output json"),
            (["--trailer", "-o", "json", "--count"], "--trailer needs --output json"),
            (["--count", "--quiet"], "--count and --quiet"), (["-0"], "-0 needs"),
            (["--fields", "a"], "--fields"),
            (
                ["--order", "time", "--shift", "other=1h"],
                "--shift other: there is no such store in this query"
            ),
            (
                ["--order", "time", "--shift", "store=1h", "--shift", "store=2h"],
                "--shift store: given twice"
            ),
            (["--shift", "store=1h"], "--shift: needs --order time, or several stores"),
            (["--shift", "store"], ""), (["--shift", "store=1"], ""), (["--shift", "=1h"], ""),
            (["--shift", "store=106752d"], ""), (["--session-number", "0"], "--session-number 0: "),
        ])
    func wrongUsage(arguments: [String], message: String) throws {
        try harness.succeed("record", store, input: Data("{}\n".utf8))
        let outcome = try harness.run(["query", store] + arguments)
        #expect(outcome.status == 64, "\(arguments)")
        #expect(outcome.errors.hasPrefix("varve: error: \(message)"), "\(outcome.errors)")
        #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
        #expect(outcome.output.isEmpty)
    }

    @Test("An event that is not there has nothing around it")
    func aroundNothing() throws {
        try harness.succeed("record", store, input: Data("{}\n".utf8))
        for number in ["1", "18446744073709551615"] {
            let outcome = try harness.run("query", store, "--around", number)
            #expect(outcome.status == 1)
            #expect(
                outcome.errors
                    == "varve: error: --around \(number): there is no such event, or it can't be read\n")
        }
    }

    @Test("Times at the ends of what 64 bits hold are times like others")
    func extremeTimes() throws {
        let lines = """
            {"record":"export","version":1}
            {"record":"session","session":1,"id":"s","started_at":"1970-01-01T00:00:00Z"}
            {"record":"kind","kind":1,"name":"k","encoding":"json"}
            {"record":"event","session":1,"timestamp":"1677-09-21T00:12:43.145224192Z","kind":1,"payload":0}
            {"record":"event","session":1,"timestamp":"1970-01-01T00:00:00Z","kind":1,"payload":1}
            {"record":"event","session":1,"timestamp":"2262-04-11T23:47:16.854775807Z","kind":1,"payload":2}
            """
        try harness.succeed("record", store, "--format", "export", input: Data(lines.utf8))
        let table: [([String], String)] = [
            ([], "0\n1\n2\n"), (["--order", "time"], "0\n1\n2\n"), (["--order", "time", "-r"], "2\n1\n0\n"),
            (["--from", "2262-04-11T23:47:16.854775807Z"], "2\n"),
            (["--to", "1677-09-21T00:12:43.145224192Z"], "0\n"),
            (["--around", "2", "--window", "1ns"], "2\n"), (["--around", "0", "--window", "106751d"], "0\n"),
            (["--around", "1", "--window", "213503d"], "0\n1\n2\n"),
            (["--order", "time", "--shift", "store=106751d"], "0\n1\n2\n"),
            (["--order", "time", "--shift", "store=-106751d"], "0\n1\n2\n"),
        ]
        for (arguments, payloads) in table {
            let outcome = try harness.run(["query", store, "-o", "payload"] + arguments)
            #expect(outcome.text == payloads && outcome.status == 0, "\(arguments): \(outcome.errors)")
        }
    }

    @Test(
        "Where types are the reason that nothing matched, a note says so, and the status is that of an answer"
    )
    func notes() throws {
        let lines = (0..<5).map { "{\"ts\":\($0 + 1000),\"ProcessId\":\"\($0)\",\"n\":\($0)}\n" }.joined()
        try harness.succeed("record", store, input: Data(lines.utf8))
        let expected =
            "varve: note: nothing matched: ProcessId is always a string here; use number(ProcessId)\n"
        for mode in [[], ["--count"], ["-o", "json"], ["--order", "time"], ["--explain"]] {
            let outcome = try harness.run(["query", store, "--where", "ProcessId == 3"] + mode)
            #expect(outcome.status == 0)
            #expect(outcome.errors.hasSuffix(expected), "\(mode): \(outcome.errors)")
        }
        for command in [["top", "--by", "n"], ["fields"], ["histogram"]] {
            let outcome = try harness.run(
                [command[0], store] + command.dropFirst() + ["--where", "ProcessId == 3"])
            #expect(outcome.errors.hasSuffix(expected), "\(command): \(outcome.errors)")
        }
        let misspelled = try harness.run("query", store, "--where", "processid == \"3\"")
        #expect(misspelled.errors.hasPrefix("varve: note: nothing matched: "))
        #expect(misspelled.errors.contains("ProcessId"))
        for silent in [["--where", "number(ProcessId) == 3"], ["--where", "n == 77"], ["--kind", "none"]] {
            #expect(try harness.run(["query", store] + silent).errors.isEmpty)
        }
        let quiet = try harness.run("query", store, "--quiet", "--where", "ProcessId == 3")
        #expect(quiet.status == 4 && quiet.output.isEmpty)
    }

    @Test(
        "Payloads that are no JSON match nothing but attributes, and a note says so where there are no others"
    )
    func noJSON() throws {
        try harness.succeed("record", store, "--text", input: Data("a\nb\n".utf8))
        let outcome = try harness.run("query", store, "--where", "a == 1")
        #expect(outcome.output.isEmpty && outcome.status == 0)
        #expect(
            outcome.errors.hasPrefix("varve: note: nothing matched: no payload that was looked at is JSON"))
        #expect(try harness.succeed("query", store, "--where", "length == 1", "--count").text == "2\n")
    }

    @Test("What was asked and what was done for it is explained")
    func explain() throws {
        try fill()
        for mode in [[], ["--count"], ["-o", "json"], ["--order", "time"], ["-C", "1"]] {
            let outcome = try harness.succeed(
                ["query", store, "--explain", "--where", "id == 4624", "--grep", "Windows"] + mode)
            for line in ["segments: ", "blocks: ", "rows: ", "sub-blocks: ", "bytes: ", "time: "] {
                #expect(
                    outcome.errors.split(separator: "\n").contains { $0.hasPrefix(line) },
                    "\(mode): \(line) in \(outcome.errors)")
            }
            #expect(outcome.errors.contains("id == 4624"))
        }
    }

    @Test("Kinds, sessions and payloads with controls do not reach the terminal as such")
    func controls() throws {
        let export = #"""
            {"record":"export","version":1}
            {"record":"session","session":1,"id":"s\u001b[31m","started_at":"1970-01-01T00:00:00Z"}
            {"record":"kind","kind":1,"name":"k\n\u001b[2J\u009b","encoding":"utf8"}
            {"record":"event","session":1,"timestamp":"1970-01-01T00:00:00Z","kind":1,"payload_text":"a\u001b]0;x\u0007\nb"}
            """#
        try harness.succeed("record", store, "--format", "export", input: Data(export.utf8))
        let commands = [
            ["query", store], ["query", store, "-o", "table"], ["tail", store],
            ["top", store, "--by", "kind"],
            ["top", store, "--by", "session"], ["histogram", store, "--by", "kind"],
            ["histogram", store, "--by", "session"], ["query", store, "--explain", "--kind", "k\n\u{1b}"],
        ]
        for command in commands {
            let outcome = try harness.run(command)
            #expect(!outcome.text.contains("\u{1b}") && !outcome.text.contains("\u{9b}"), "\(command)")
            #expect(!outcome.errors.contains("\u{1b}"), "\(command)")
        }
        #expect(
            try harness.succeed("query", store).text
                == "1970-01-01T00:00:00.000000000Z s·[31m k ·[2J· a·]0;x· b\n")
        let csv = try harness.succeed("query", store, "-o", "csv").text
        #expect(csv.hasSuffix(",\"k\n\u{1b}[2J\u{9b}\",utf8,\"a\u{1b}]0;x\u{7}\nb\"\r\n"))
    }
}
