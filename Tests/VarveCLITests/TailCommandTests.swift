import Foundation
import Testing
import Varve
import VarveTestKit

@Suite("varve tail", .timeLimit(.minutes(60)))
struct TailCommandTests {
    let harness: Harness
    let store: String

    init() throws {
        harness = try Harness()
        store = harness.path("store")
        try record(0..<25)
    }

    private func record(_ numbers: Range<Int>, session: String = "s") throws {
        let lines = numbers.map { "{\"time\":\(1_700_000_000 + $0),\"kind\":\"k\($0 % 2)\",\"n\":\($0)}\n" }
        try harness.succeed("record", store, "--session", session, input: Data(lines.joined().utf8))
    }

    private func numbers(_ lines: some Sequence<String>) -> [Int] {
        lines.compactMap { line in
            line.range(of: "\"n\":").flatMap { Int(line[$0.upperBound...].prefix { $0.isNumber }) }
        }
    }

    @Test("It prints the last events in the order recorded, as query prints them")
    func last() throws {
        #expect(numbers(try harness.succeed("tail", store).lines) == Array(15..<25))
        #expect(numbers(try harness.succeed("tail", store, "-n", "3", "--kind", "k0").lines) == [20, 22, 24])
        #expect(numbers(try harness.succeed("tail", store, "-n", "100").lines) == Array(0..<25))
        #expect(try harness.succeed("tail", store, "-n", "0").output.isEmpty)
        for format in ["short", "json", "payload", "table", "csv"] {
            let tail = try harness.succeed("tail", store, "-n", "4", "-o", format)
            let query = try harness.succeed("query", store, "--sequence", "21..", "-o", format)
            #expect(tail.output == query.output, "\(format)")
        }
    }

    @Test(
        "What it can't do is refused", arguments: [["--reverse"], ["-f", "-o", "table"], ["--after", "x"]])
    func usage(arguments: [String]) throws {
        #expect(try harness.run(["tail", store] + arguments).status == 64)
    }

    @Test("A store that is not there is an error, also for a follower")
    func missing() throws {
        let outcome = try harness.run("tail", harness.path("nothing"), "-f")
        #expect(outcome.status == 1 && outcome.errors.hasPrefix("varve: error: "))
    }

    @Test("It goes on behind a cursor, which is shown and kept")
    func cursor() throws {
        let file = harness.path("cursor")
        let first = try harness.succeed("tail", store, "-n", "2", "--show-cursor", "--cursor-file", file)
        let kept = try String(contentsOfFile: file, encoding: .utf8)
        #expect(first.errors == "cursor: \(kept)" && kept.hasSuffix("/24\n"))
        try record(25..<50)
        let next = try harness.succeed("tail", store, "--cursor-file", file)
        #expect(numbers(next.lines) == Array(25..<50))
        #expect(try harness.succeed("tail", store, "--cursor-file", file).output.isEmpty)
        let again = try harness.succeed(
            "tail", store, "--cursor-file", file, "--after", String(kept.dropLast()))
        #expect(numbers(again.lines) == Array(25..<50))
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: harness.directory.path).allSatisfy {
                !$0.hasSuffix(".tmp")
            })
    }

    @Test("A cursor of another store, one of a state that is lost, and a file of something else are refused")
    func wrongCursors() throws {
        let file = try harness.file("cursor", Data("none\n".utf8))
        let kept = try CursorPosition(
            #require(
                harness.succeed("tail", store, "--show-cursor").errors.split(separator: " ").last.map {
                    String($0.dropLast())
                }))
        let position = try #require(kept)
        let other = CursorPosition(
            store: UniqueID(low: 1, high: 1), epoch: position.epoch, sequence: position.sequence)
        let ahead = CursorPosition(store: position.store, epoch: position.epoch, sequence: 1000)
        for follow in [[], ["-f"]] {
            for wrong in ["\(other)", "\(ahead)"] {
                let outcome = try harness.run(["tail", store, "--after", wrong] + follow)
                #expect(outcome.status == 1 && outcome.errors.hasPrefix("varve: error: position "))
                #expect(outcome.errors.split(separator: "\n").count == 1)
            }
        }
        let outcome = try harness.run("tail", store, "--cursor-file", file)
        #expect(outcome.status == 1 && outcome.errors.contains("holds no cursor"))
    }

    @Test(
        "A follower prints what other processes record, until it is told to end",
        arguments: [SIGINT, SIGTERM])
    func follow(signal: Int32) throws {
        let file = harness.path("cursor")
        let tail = try Conversation(
            harness, "tail", store, "-f", "-n", "2", "--output", "json", "--cursor-file", file,
            "--show-cursor")
        var lines = [try tail.nextLine(), try tail.nextLine()]
        for round in 0..<3 {
            try record(25 + round * 10..<35 + round * 10, session: "late \(round)")
            for _ in 0..<10 { lines.append(try tail.nextLine()) }
        }
        #expect(numbers(lines) == Array(23..<55))
        #expect(lines.last?.contains("\"session\":\"late 2\"") == true)
        tail.signal(signal)
        let (status, errors) = try tail.finish()
        #expect(status == 0)
        let kept = try String(contentsOfFile: file, encoding: .utf8)
        #expect(errors == "cursor: \(kept)" && kept.hasSuffix("/54\n"))
    }

    @Test("A follower ends with its limit, and when nobody reads any more")
    func ends() throws {
        let limited = try harness.succeed("tail", store, "-f", "-n", "5", "--limit", "5", "-o", "payload")
        #expect(numbers(limited.lines) == Array(20..<25))
        let outcome = try harness.run(
            [
                "-c", "\"$1\" tail \"$2\" -f -n 3 | head -1; echo ${PIPESTATUS[0]}", "sh",
                Harness.executable.path, store,
            ],
            executable: URL(fileURLWithPath: "/bin/bash"))
        #expect(outcome.lines.count == 2 && outcome.lines.last == "0" && outcome.errors.isEmpty)
    }
}

/// What `tail` has in common with `query`.
@Suite("varve tail with filters")
struct TailFilterTests {
    let harness: Harness
    let store: String

    init() throws {
        harness = try Harness()
        store = harness.path("store")
        var text = ""
        for number in 0..<60 {
            text +=
                "{\"ts\":\(1000 + number),\"type\":\"k\(number % 3)\",\"n\":\(number),\"s\":\"\(number % 7)\"}\n"
        }
        try harness.succeed("record", store, "--session", "s", input: Data(text.utf8))
    }

    @Test(
        "The last so many events are those at the end of the query's answer",
        arguments: [
            [], ["--kind", "k1"], ["-g", "\"s\":\"3\""], ["--where", "n < 30"], ["-e", "\"n\":[0-9],"],
            ["--from", "1010", "--to", "1050"], ["--sequence", "5..8"], ["--around", "30", "--window", "3s"],
            ["--where", "number(s) == 2", "--kind", "k2"], ["--session", "none"], ["--session-number", "-1"],
        ])
    func last(filters: [String]) throws {
        let all = try harness.succeed(["query", store, "-o", "payload"] + filters).lines
        for count in [0, 1, 4, 10, 100] {
            let tail = try harness.succeed(["tail", store, "-n", "\(count)", "-o", "payload"] + filters)
            #expect(tail.lines == Array(all.suffix(count)), "\(count)")
            #expect(tail.errors.isEmpty)
        }
    }

    @Test("A limit ends it, in whatever form it prints, and the cursor stands where it ended")
    func limit() throws {
        let outcome = try harness.succeed(
            "tail", store, "-n", "5", "--limit", "2", "-o", "csv", "--fields", "n", "--show-cursor")
        #expect(
            outcome.rows == [
                "sequence,session,session_number,index,timestamp,kind,n",
                "58,s,1,58,1970-01-01T00:17:38.000000000Z,k1,58",
                "59,s,1,59,1970-01-01T00:17:39.000000000Z,k2,59",
            ])
        #expect(outcome.errors.hasPrefix("cursor: ") && outcome.errors.hasSuffix("/1/59\n"))
        let cursor = String(outcome.errors.dropFirst(8).dropLast(3)) + "9"
        let behind = try harness.succeed(
            "tail", store, "--after", cursor.replacing("/59", with: "/9"), "--limit", "3", "-o", "payload",
            "-0")
        #expect(behind.text.split(separator: "\0").count == 3)
        #expect(behind.text.hasPrefix("{\"ts\":1010,"))
    }

    @Test("It says why nothing matched, and what is missing among what it prints")
    func notes() throws {
        let note = try harness.succeed("tail", store, "--where", "s == 3")
        #expect(note.output.isEmpty)
        #expect(note.errors == "varve: note: nothing matched: s is always a string here; use number(s)\n")
        let bad = harness.path("bad")
        var random = SplitMix64(seed: 11)
        let lines = (0..<3000).map { number in
            let noise = (0..<12).map { _ in String(random.next(), radix: 36) }.joined()
            return "{\"ts\":\(1000 + number),\"n\":\(number),\"noise\":\"\(noise)\"}\n"
        }
        try harness.succeed("record", bad, input: Data(lines.joined().utf8))
        try harness.changeByte(at: 150_000, inLargestFileOf: bad)
        let whole = try harness.run("tail", bad, "-n", "10")
        #expect(whole.status == 0 && whole.errors.isEmpty && whole.lines.count == 10)
        let all = try harness.run("tail", bad, "-n", "3000")
        #expect(all.status == 3 && all.errors.hasPrefix("varve: note: not complete: sequences "))
    }
}
