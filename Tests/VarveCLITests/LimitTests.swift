import Foundation
import Testing
import VarveTestKit

@Suite("Limits, compaction and pins", .timeLimit(.minutes(60)))
struct LimitTests {
    let harness: Harness
    let store: String

    init() throws {
        harness = try Harness()
        store = harness.path("store")
    }

    private func lines(_ numbers: Range<Int>, noise: Int = 0) -> Data {
        var random = SplitMix64(seed: UInt64(numbers.lowerBound))
        return Data(
            numbers.map { number in
                let noise = (0..<noise).map { _ in String(random.next(), radix: 36) }.joined()
                return "{\"time\":\(1_700_000_000 + number),\"n\":\(number),\"noise\":\"\(noise)\"}\n"
            }.joined().utf8)
    }

    @discardableResult
    private func record(
        _ numbers: Range<Int>, session: String = "s", noise: Int = 0, _ options: String...
    ) throws -> Harness.Outcome {
        try harness.succeed(
            ["record", store, "--session", session] + options, input: lines(numbers, noise: noise))
    }

    private func sequences(_ options: String...) throws -> [Int] {
        try harness.objects(harness.succeed(["query", store, "-o", "json"] + options)).compactMap {
            $0["sequence"] as? Int
        }
    }

    private func info() throws -> [String: Any] {
        try #require(try harness.objects(harness.succeed("info", store, "--json")).first)
    }

    private func bytes() throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: store).reduce(0) {
            let attributes = try FileManager.default.attributesOfItem(atPath: "\(store)/\($1)")
            return $0 + ((attributes[.size] as? Int) ?? 0)
        }
    }

    private func limits() throws -> [String: Int] {
        try #require(try info()["limits"] as? [String: Any]).compactMapValues { $0 as? Int }
    }

    // MARK: Limits

    @Test("A recording keeps the newest events, and says how many went")
    func events() throws {
        let outcome = try record(0..<1000, "--max-events", "100")
        #expect(outcome.errors.hasSuffix("; the limits dropped 900 events\n"))
        #expect(try sequences() == Array(900..<1000))
        // They stand in the store: the next recording need not name them.
        let next = try record(1000..<1020, "--json")
        let receipt = try #require(try harness.objects(next).first)
        #expect(receipt["events"] as? Int == 20)
        #expect(receipt["limits_dropped_events"] as? Int == 20)
        #expect(receipt["limits_dropped_checkpoints"] as? Int == 0)
        #expect(receipt["dropped_events"] as? Int == 0)
        #expect(try sequences() == Array(920..<1020))
    }

    @Test("Only the limits that are named change, and none takes one away")
    func named() throws {
        try record(
            0..<1, "--max-events", "10", "--max-checkpoints", "3", "--max-bytes", "2MiB", "--max-age", "1h",
            "--min-free", "4KiB")
        let all = [
            "events": 10, "checkpoints": 3, "bytes": 2 << 20, "age_nanoseconds": 3_600_000_000_000,
            "free_bytes": 4096,
        ]
        #expect(try limits() == all)
        let text = try harness.succeed("info", store).lines.first { $0.hasPrefix("limits ") }
        #expect(text == "limits       10 events, 3 checkpoints, 2MiB, 1h of age, 4KiB of the disk left free")
        try record(1..<2)
        #expect(try limits() == all)
        try record(2..<3, "--max-bytes", "none", "--max-age", "2d")
        #expect(
            try limits() == [
                "events": 10, "checkpoints": 3, "age_nanoseconds": 172_800_000_000_000, "free_bytes": 4096,
            ])
        try harness.succeed("compact", store, "--max-events", "none", "--max-checkpoints", "none")
        try harness.succeed("compact", store, "--max-age", "none", "--min-free", "none")
        #expect(try limits().isEmpty)
        #expect(try !harness.succeed("info", store).text.contains("limits "))
    }

    @Test(
        "What is no limit is wrong usage that names the option, and makes no store",
        arguments: [
            ("--max-events", "0"), ("--max-events", "-1"), ("--max-events", "1k"), ("--max-events", ""),
            ("--max-checkpoints", "0"), ("--max-checkpoints", "18446744073709551616"), ("--max-bytes", "0MB"),
            ("--max-bytes", "5"), ("--max-bytes", "1.5GB"), ("--max-bytes", "20000000000GiB"),
            ("--max-age", "0s"), ("--max-age", "5"), ("--max-age", "-1m"), ("--max-age", "-1h"),
            ("--min-free", "5 GB"),
        ])
    func wrong(option: String, value: String) throws {
        for command in [["record", store], ["import", store, "-"], ["compact", store]] {
            let outcome = try harness.run(command + [option, value])
            #expect(outcome.status == 64)
            #expect(outcome.errors.hasPrefix("varve: error: \(option) \(value): not a limit: use "))
        }
        #expect(!FileManager.default.fileExists(atPath: store))
    }

    @Test("What a store can't keep to is refused with the reason, and makes no store")
    func refused() throws {
        let small = try harness.run("record", store, "--max-bytes", "1000KiB")
        #expect(small.status == 1 && small.errors.contains("is 1024000, less than the least of 1048576"))
        let large = try harness.run("record", store, "--min-free", "1000000000GiB")
        #expect(large.status == 1 && large.errors.contains("the whole disk has"))
        #expect(!FileManager.default.fileExists(atPath: store))
        try record(0..<3)
        #expect(try harness.run("compact", store, "--max-bytes", "1KB").status == 1)
        #expect(try sequences() == [0, 1, 2] && limits().isEmpty)
    }

    @Test("The files never take more than the limit, whatever is recorded")
    func bytesLimit() throws {
        let outcome = try record(0..<4000, noise: 60, "--max-bytes", "1MiB")
        #expect(outcome.errors.contains("the limits dropped "))
        #expect(try bytes() <= 1 << 20)
        let kept = try sequences()
        #expect(kept == Array((kept.first ?? 0)..<4000) && kept.count > 100)
        let info = try info()
        #expect(info["limits_dropped_sequences"] as? Int == kept.first)
        let droppings = try #require(info["limits_dropped"] as? [[String: Any]])
        #expect(!droppings.isEmpty && droppings.allSatisfy { $0["limit"] as? String == "bytes" })
    }

    @Test(
        "A line that is too large for the limit is dealt with as --on-bad says",
        arguments: [[], ["--on-bad", "keep"], ["--on-bad", "skip"], ["--on-bad", "stop"], ["--text"]])
    func largeLine(options: [String]) throws {
        var input = Data("first\n".utf8)
        let large = Data((0..<300 << 10).map { UInt8(ascii: "a") + UInt8($0 % 23) })
        input.append(large)
        input.append(Data("\nlast\n".utf8))
        let outcome = try harness.run(["record", store, "--max-bytes", "1MiB"] + options, input: input)
        let stops = options.last == "stop"
        #expect(outcome.status == (stops ? 1 : 0))
        let reason =
            "varve: error: line 2: it is longer than 128KiB: with --max-bytes 1MiB no event has more: what came before it is recorded"
        #expect(outcome.errors.contains(reason) == stops)
        let note =
            switch options.last {
            case "skip": "1 bad line (1 skipped) (1 too long)"
            case "--text": "1 line split: too long"
            default: "1 bad line (1 too long)"
            }
        #expect(outcome.errors.contains(note) == !stops)
        let payloads = try harness.succeed("query", store, "-o", "payload", "-0").output.split(separator: 0)
        let isKept = options.last != "skip" && !stops
        let piece = 128 << 10
        #expect(
            payloads.map(\.count)
                == [5] + (isKept ? [piece, piece, large.count - 2 * piece] : []) + (stops ? [] : [4]))
        if isKept { #expect(Data(payloads[1...3].joined()) == large) }
    }

    @Test("An import takes limits, of which those on checkpoints keep the newest")
    func importing() throws {
        let source = harness.path("source")
        try harness.succeed("record", source, "--session", "s", input: lines(0..<4))
        var export = try harness.succeed("export", source).lines
        let end = try #require(export.firstIndex { $0.hasPrefix(#"{"record":"end""#) })
        let checkpoints = (1...3).map {
            #"{"record":"checkpoint","session":1,"id":"cp-\#($0)","timestamp":"2026-05-10T12:34:57Z","event_index":4,"#
                + #""state":{}}"#
        }
        export.insert(contentsOf: checkpoints, at: end)
        let outcome = try harness.succeed(
            ["import", store, "-", "--max-checkpoints", "2", "--max-events", "3", "--json"],
            input: Data((export.joined(separator: "\n") + "\n").utf8))
        let receipt = try #require(try harness.objects(outcome).first)
        #expect(receipt["limits_dropped_events"] as? Int == 1)
        #expect(receipt["limits_dropped_checkpoints"] as? Int == 1)
        let kept = try harness.objects(harness.succeed("checkpoints", store, "--json"))
        #expect(kept.compactMap { $0["id"] as? String } == ["cp-2", "cp-3"])
    }

    @Test(
        "A session that goes on in an export after the limits have dropped all of it goes on in the store",
        arguments: [("5", [7, 8, 9, 2, 3]), ("13", [1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 2, 3])])
    func importingPaused(limit: String, indices: [Int]) throws {
        let source = harness.path("source")
        try harness.succeed("record", source, "--session", "paused", input: lines(0..<4))
        try harness.succeed("record", source, "--session", "between", input: lines(0..<10))
        let export = try harness.succeed("export", source).lines
        func place(_ record: String) throws -> Int {
            try #require(export.firstIndex { $0.hasPrefix(#"{"record":"\#(record)""#) })
        }
        let (event, end) = (try place("event"), try place("end"))
        let lines =
            export[..<(event + 2)] + [#"{"record":"pause","session":1}"#] + export[(end + 1)...]
            + [#"{"record":"resume","session":1}"#] + export[(event + 2)...end]
        let outcome = try harness.run(
            ["import", store, "-", "--max-events", limit],
            input: Data((lines.joined(separator: "\n") + "\n").utf8))
        #expect(outcome.status == 0, "\(outcome.errors)")
        let kept = try harness.objects(harness.succeed("query", store, "-o", "json"))
        #expect(kept.compactMap { $0["index"] as? Int } == indices)
        let sessions = try harness.objects(harness.succeed("sessions", store, "--json"))
        #expect(Set(sessions.compactMap { $0["id"] as? String }) == ["paused", "between"])
    }

    // MARK: What was dropped

    @Test("A query over the dropped past says so, and that is no failure")
    func droppedPast() throws {
        try record(0..<200, "--max-events", "50")
        let note = "varve: note: dropped by the store's limits: sequences 0 to 149\n"
        let all = try harness.succeed("query", store, "--trailer", "-o", "json")
        #expect(all.errors == note)
        let trailer = try #require(try harness.objects(all).last)
        let gap = try #require((trailer["gaps"] as? [[String: Any]])?.first)
        #expect(gap["sequences"] as? [Int] == [0, 149] && gap["reason"] as? String == "retention")
        #expect(trailer["complete"] as? Bool == false)
        #expect(try harness.succeed("query", store, "--count").errors == note)
        #expect(try harness.succeed("export", store).errors == note)
        #expect(
            try harness.succeed("query", store, "--sequence", "140..160").errors
                == "varve: note: dropped by the store's limits: sequences 140 to 149\n")
        #expect(try harness.succeed("query", store, "--sequence", "150..").errors.isEmpty)
        #expect(try harness.succeed("tail", store).errors.isEmpty)
        #expect(try harness.succeed("verify", store).text.hasPrefix("intact"))
    }

    @Test("A follower goes on over rotation, dropping and compaction: each retained event once and in order")
    func follow() throws {
        try record(0..<10, "--max-events", "2000")
        let tail = try Conversation(
            harness, "tail", store, "-f", "-n", "10", "-o", "json", "--where", "n >= 0")
        var seen: [Int] = []
        func read(upTo last: Int) throws {
            while seen.last != last {
                let line = try tail.nextLine()
                let start = try #require(line.range(of: "\"sequence\":")?.upperBound)
                seen.append(try #require(Int(line[start...].prefix { $0.isNumber })))
            }
        }
        try read(upTo: 9)
        for round in 0..<6 {
            let start = 10 + round * 300
            try record(start..<start + 300, session: "r\(round)", noise: 10)
            // What it reads is compacted, and dropped, while it reads.
            try harness.succeed("compact", store, "--max-events", round < 3 ? "2000" : "200")
            try read(upTo: start + 299)
        }
        #expect(zip(seen, seen.dropFirst()).allSatisfy { $0 < $1 })
        #expect(Array(seen.prefix(910)) == Array(0..<910))
        tail.signal(SIGTERM)
        let end = try tail.finish()
        #expect(end.status == 0)
        // What it did not get was dropped, and it said so.
        let missing = Set(0..<1810).subtracting(seen)
        #expect(missing.isEmpty == !end.errors.contains("dropped by the store's limits: "))
    }

    // MARK: Compaction

    @Test("Compaction joins the segments, applies new limits, and has nothing to do the second time")
    func compact() throws {
        for round in 0..<5 { try record(round * 400..<round * 400 + 400, session: "r\(round)", noise: 10) }
        let before = try sequences()
        let first = try harness.succeed("compact", store, "--json")
        let report = try #require(try harness.objects(first).first)
        #expect(report["complete"] as? Bool == true)
        #expect(report["segments_before"] as? Int == 5 && report["segments_after"] as? Int == 1)
        let bytes = try #require(report["bytes_before"] as? Int)
        #expect(try #require(report["bytes_after"] as? Int) < bytes)
        #expect((report["refused"] as? [Any])?.isEmpty == true)
        #expect(try sequences() == before)
        #expect(try info()["settled_segments"] as? Int == 1)
        let limited = try harness.succeed("compact", store, "--max-events", "100")
        #expect(limited.text.hasPrefix("1 segment -> 1, "))
        #expect(limited.text.hasSuffix("; the limits dropped 1,900 events\n"))
        #expect(try sequences() == Array(1900..<2000))
        let again = try #require(try harness.objects(harness.succeed("compact", store, "--json")).first)
        #expect(again["bytes_written"] as? Int == 0 && again["limits_dropped_events"] as? Int == 0)
        #expect(try harness.succeed("verify", store).text.hasPrefix("intact"))
    }

    @Test("Filters alone are built as they were, and take no limits")
    func filters() throws {
        try record(0..<400)
        #expect(try harness.run("compact", store, "--filters", "--max-events", "1").status == 64)
        let built = try harness.succeed("compact", store, "--filters", "--json")
        #expect(try harness.objects(built).first?["built"] as? Int == 1)
        #expect(try info()["settled_segments"] as? Int == 0)
    }

    @Test("A damaged segment is left as it is, and named")
    func damaged() throws {
        try record(0..<3000, noise: 12)
        let file = try harness.changeByte(at: 100_000, inLargestFileOf: store)
        let name = URL(fileURLWithPath: file).lastPathComponent
        let outcome = try harness.run("compact", store)
        #expect(outcome.status == 3)
        #expect(outcome.text.hasPrefix("1 segment -> 1, "))
        #expect(outcome.errors.contains("varve: note: \(name) is left as it is: "))
        #expect(FileManager.default.fileExists(atPath: file))
        let json = try harness.run("compact", store, "--json")
        let refused = try #require(try harness.objects(json).first?["refused"] as? [[String: Any]])
        #expect(json.status == 3 && refused.compactMap { $0["file"] as? String } == [name])
    }

    @Test("A writer at work keeps compaction and pins out")
    func twoWriters() throws {
        let conversation = try Conversation(harness, "record", store, "--acks", "--durability", "synced")
        try conversation.send("{}\n")
        #expect(try conversation.nextLine() == "0")
        for command in [
            ["compact", store], ["pin", store, "--session-number", "1"], ["unpin", store, "s"],
        ] {
            let outcome = try harness.run(command)
            #expect(outcome.status == 1)
            #expect(outcome.errors.hasPrefix("varve: error: \(store) is being written by another writer"))
        }
        try conversation.closeInput()
        #expect(try conversation.finish().status == 0)
    }

    @Test("A signal stops compaction between blocks, and the next run goes on", arguments: [SIGINT, SIGTERM])
    func signals(number: Int32) throws {
        for round in 0..<3 { try record(round * 4000..<round * 4000 + 4000, noise: 40) }
        let before = try harness.succeed("query", store, "--output", "payload").output
        let compaction = try Conversation(harness, "compact", store, "--progress")
        // Once it writes a new segment it listens.
        while compaction.process.isRunning,
            try !FileManager.default.contentsOfDirectory(atPath: store).contains(where: {
                $0.hasSuffix(".tmp")
            })
        { sched_yield() }
        compaction.signal(number)
        let end = try compaction.finish()
        // It may have been done by then.
        #expect([0, 1].contains(end.status))
        if end.status == 1 { #expect(end.errors.contains("varve: error: compaction was stopped by SIG")) }
        #expect(try harness.run("query", store, "--output", "payload").output == before)
        try harness.succeed("compact", store)
        #expect(try harness.succeed("query", store, "--output", "payload").output == before)
        #expect(try info()["segments"] as? Int == 1)
        #expect(try harness.succeed("verify", store).text.hasPrefix("intact"))
    }

    // MARK: Pins

    @Test("A pinned session stays, until it is unpinned")
    func pins() throws {
        try record(0..<50, session: "a")
        try record(50..<100, session: "b")
        #expect(
            try harness.succeed("pin", store, "a").text
                == "session 1 (a): 50 events, sequences 0 to 49\n")
        // Again changes nothing.
        try harness.succeed("pin", store, "--session-number", "1")
        try harness.succeed("compact", store, "--max-events", "60")
        #expect(try sequences() == Array(0..<50) + Array(90..<100))
        let info = try info()
        let pin = try #require((info["pins"] as? [[String: Any]])?.first)
        #expect(pin["session"] as? String == "a" && pin["session_number"] as? Int == 1)
        #expect(pin["first_sequence"] as? Int == 0 && pin["last_sequence"] as? Int == 49)
        #expect(info["limits_dropped_sequences"] as? Int == 40)
        #expect(try harness.succeed("info", store).text.contains("pinned       session 1 (a): 50 events"))
        let unpinned = try harness.succeed("unpin", store, "a")
        #expect(unpinned.text == "nothing is pinned\n")
        #expect(unpinned.errors == "varve: note: the limits dropped 50 events\n")
        #expect(try sequences() == Array(90..<100))
    }

    @Test("An id pins every session that has it, and a range its events")
    func severalPins() throws {
        for (number, id) in ["a", "b", "a"].enumerated() {
            try record(number * 10..<number * 10 + 10, session: id)
        }
        #expect(try harness.succeed("pin", store, "a").lines.count == 2)
        let json = try harness.succeed("pin", store, "--sequence", "12..15", "--json")
        let pinned = try #require(try harness.objects(json).first)
        #expect((pinned["pins"] as? [[String: Any]])?.compactMap { $0["session_number"] as? Int } == [1, 3])
        #expect(pinned["pinned_ranges"] as? [[Int]] == [[12, 15]])
        try harness.succeed("unpin", store, "--session-number", "-1")
        let rest = try harness.succeed("unpin", store, "--sequence", "13")
        #expect(
            rest.lines == ["session 1 (a): 10 events, sequences 0 to 9", "sequence 12", "sequences 14 to 15"])
        let warned = try harness.succeed("compact", store, "--max-events", "5")
        #expect(warned.errors.contains("varve: warning: the limit --max-events can't be kept: "))
        #expect(try sequences() == Array(0..<10) + [12, 14, 15])
    }

    @Test("What can't be pinned is told in one line")
    func wrongPins() throws {
        try record(0..<20)
        try harness.succeed("compact", store, "--max-events", "10")
        for command in ["pin", "unpin"] {
            for arguments in [["nobody"], ["--session-number", "2"], ["--session-number", "-2"]] {
                let outcome = try harness.run([command, store] + arguments)
                #expect(outcome.status == 1 && outcome.errors.contains("no such session"))
                #expect(outcome.errors.split(separator: "\n").count == 1)
            }
            for arguments in [
                [], ["s", "--sequence", "1"], ["--session-number", "0"], ["--sequence", "5..1"],
            ] {
                #expect(try harness.run([command, store] + arguments).status == 64)
            }
        }
        let dropped = try harness.run("pin", store, "--sequence", "0..9")
        #expect(dropped.status == 1 && dropped.errors.contains("was dropped before"))
        #expect(try harness.succeed("pin", store, "--sequence", "5..12").text == "sequences 10 to 12\n")
    }
}
