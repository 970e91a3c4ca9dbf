import Foundation
import Testing
import VarveTestKit

/// Beside `ParallelParsingTests`: times in every form and field, CR LF, kinds of every type, lines of 200 KB.
@Suite("Lines of every form are recorded alike however they arrive")
struct LineFormTests {
    let harness: Harness

    init() throws { harness = try Harness() }

    /// A moment in 2023, in nanoseconds, written in one of the forms that are understood.
    private func time(_ number: Int, _ random: inout SplitMix64) -> String {
        let seconds = 1_700_000_000 + number
        let clock = String(format: "%02d:%02d:%02d", number / 3600 % 24, number / 60 % 60, number % 60)
        return switch random.below(9) {
        case 0: "\(seconds)"
        case 1: "\(seconds).\(random.below(999_999))"
        case 2: "\(seconds)\(100 + random.below(900))"
        case 3: "\(seconds)\(100_000 + random.below(900_000))"
        case 4: "\(seconds)\(100_000_000 + random.below(900_000_000))"
        case 5: "\"2023-11-15T\(clock)Z\""
        case 6: "\"2023-11-15T\(clock).\(100 + random.below(900))+02:00\""
        case 7: "\"2023-11-15 \(clock).123456789\""
        default: "1.7000\(10_000 + random.below(80_000))e9"
        }
    }

    private func content(seed: UInt64, lines: Int) -> Data {
        var random = SplitMix64(seed: seed)
        let timeFields = ["timestamp", "@timestamp", "time", "ts"]
        let kindFields = ["type", "kind", "event"]
        let kinds = [
            "\"plain\"", "\"b\\u00e9\\\"\"", "7", "-3.5", "1e2", "true", "null", "[1]", "{\"a\":1}", "\"\"",
            "\"\(String(repeating: "n", count: 255))\"", "\"\(String(repeating: "n", count: 256))\"",
            "\"\(String(repeating: "é", count: 128))\"",
        ]
        var content = Data()
        for number in 0..<lines {
            let stamp = "\"\(timeFields[Int(random.below(4))])\":\(time(number, &random))"
            let name = kinds[Int(random.below(UInt32(kinds.count)))]
            let kind = "\"\(kindFields[Int(random.below(3))])\":\(name)"
            let filler = String(repeating: "x", count: Int(random.below(600)))
            switch random.below(200) {
            case 0: content += Data("{\(stamp),\"long\":\"\(String(repeating: "y", count: 200_000))\"}".utf8)
            case 1: content += Data("{\"long\":\"\(String(repeating: "z", count: 200_000))\",\(stamp)}".utf8)
            case 2...9: content += Data("{\(kind),\"time\":\"yesterday\",\"ts\":{}}".utf8)
            case 10...14: content += Data([0xC3, 0x28, 0xFF, UInt8(random.below(10)) + 0x30])
            case 15...19:
                content += Data("{\(stamp),\"bad\":\"".utf8) + Data([0xC3, 0x28]) + Data("\"}".utf8)
            case 20...24: break
            case 25...29: content += Data("\r".utf8)
            case 30...34: content += Data("  {\(stamp)}  \r".utf8)
            case 35...39: content += Data("no JSON, \(filler)".utf8)
            case 40...44: content += Data("{\(stamp)} {\(stamp)}".utf8)
            case 45...49: content += Data("[{\(stamp)}]".utf8)
            // The first usable field counts, not the first.
            case 50...59:
                content += Data("{\"timestamp\":\"\",\"ts\":1700000000,\"time\":null,\(kind)}".utf8)
            default:
                content += Data("{\(kind),\(stamp),\"text\":\"\(filler)\"}".utf8)
                if random.oneIn(4) { content += Data("\r".utf8) }
            }
            content.append(0x0A)
        }
        return content
    }

    /// A printed event without what may differ: the session's id, and the time, which is returned.
    private func parts(_ line: String) throws -> (identity: String, time: String) {
        // Both fields are near the start; lines are long.
        let head = line.prefix(200)
        let time = try #require(head.firstMatch(of: /"timestamp":"([^"]*)",/))
        let rest = head.replacing(/"session":"[^"]*",|"timestamp":"[^"]*",/, with: "")
        return (String(rest) + line.dropFirst(200), String(time.output.1))
    }

    @Test("A file, standard input at once, and the same in small pieces give the same events and counts")
    func arrival() throws {
        let seed = SplitMix64.freshSeed()
        print("lines of every form: VARVE_SEED=0x\(String(seed, radix: 16))")
        let lines = 5_000
        let content = content(seed: seed, lines: lines)
        try #require(content.count > 2 << 20)
        let input = try harness.file("input", content)
        let stores = ["file", "redirected", "pieces"].map(harness.path)
        var receipts = [
            try harness.succeed("record", stores[0], "--input", input, "--json").text,
            try harness.succeed("record", stores[1], "--json", input: content).text,
        ]
        let conversation = try Conversation(harness, "record", stores[2], "--json")
        var random = SplitMix64(seed: seed)
        var start = 0
        while start < content.count {
            let end = min(start + 1 + Int(random.below(16 << 10)), content.count)
            try conversation.send(content[start..<end])
            start = end
        }
        try conversation.closeInput()
        receipts.append(try conversation.nextLine())
        #expect(try conversation.finish().status == 0)

        let counts = try receipts.map { text in
            try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        }
        let compared = [
            "events", "sessions", "checkpoints", "raw_bytes", "dropped_events", "lines", "time_fields",
            "without_time", "kind_fields", "kinds", "bad_lines", "skipped_lines", "long_lines",
            "lines_no_json", "refused_kinds",
        ]
        for key in compared {
            let values = counts.map { "\($0[key] ?? "absent")" }
            #expect(Set(values).count == 1 && values[0] != "absent", "\(key): \(values)")
        }
        for (key, value) in [("events", lines), ("lines", lines)] { #expect(counts[0][key] as? Int == value) }
        // Each sort of line is among them.
        for key in ["without_time", "bad_lines", "lines_no_json", "refused_kinds"] {
            #expect(counts[0][key] as? Int ?? 0 > 0, "\(key)")
        }

        for store in stores {
            #expect(try harness.succeed("query", store, "--output", "payload").output == content)
        }
        let events = try stores.map { try harness.succeed("query", $0, "--output", "json").lines }
        #expect(events.map(\.count) == [lines, lines, lines])
        var timed = 0
        for number in 0..<lines {
            let three = try events.map { try parts($0[number]) }
            guard Set(three.map(\.identity)).count == 1 else {
                Issue.record("line \(number): \(three.map { $0.identity.prefix(300) })")
                return
            }
            // A line without a time of its own has the one before it in a file, and that of its arrival otherwise.
            let times = three.map(\.time)
            let hasOwn = times[1].hasPrefix("2023")
            if hasOwn { timed += 1 }
            guard hasOwn ? Set(times).count == 1 : !times[2].hasPrefix("2023") else {
                Issue.record("line \(number): \(times)")
                return
            }
        }
        #expect(timed == lines - (counts[0]["without_time"] as? Int ?? -1))
    }
}
