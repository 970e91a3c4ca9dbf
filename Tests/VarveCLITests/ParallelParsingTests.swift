import Foundation
import Testing
import VarveTestKit

/// The lines of large reads are parsed by two threads, those of small ones by one.
@Suite("Lines are recorded alike however they arrive")
struct ParallelParsingTests {
    let harness: Harness

    init() throws { harness = try Harness() }

    /// Lines of every sort, in an order that the seed decides, each with a time of its own where it can have one.
    private func content(seed: UInt64, lines: Int) -> Data {
        var random = SplitMix64(seed: seed)
        var content = Data()
        for number in 0..<lines {
            let time = 1_700_000_000_000 + number
            let filler = String(repeating: "x", count: Int(random.below(400)))
            switch random.below(12) {
            case 0: content += Data("{\"type\":\"a\",\"time\":\(time),\"text\":\"\(filler)\"}".utf8)
            case 1: content += Data("{\"kind\":\"b\\u00e9\",\"ts\":\(time),\"text\":\"\(filler)\"}".utf8)
            case 2: content += Data("{\"event\":\(random.below(9)),\"timestamp\":\(time)}".utf8)
            case 3: content += Data("{\"kind\":\"k\(random.below(200))\",\"time\":\(time)}".utf8)
            case 4: content += Data("{\"kind\":\"\",\"time\":\(time)}".utf8)
            case 5:
                content += Data("{\"kind\":\"\(String(repeating: "n", count: 300))\",\"time\":\(time)}".utf8)
            case 6: content += Data("{\"time\":\"no time\",\"text\":\"\(filler)\"}".utf8)
            case 7: content += Data("{\"open\":[1,2".utf8)
            case 8: content += Data("no JSON \(filler)".utf8)
            case 9: content += Data([0xff, 0xfe, UInt8(random.below(10)) + 0x20])
            case 10: break
            default:
                content += Data(
                    "{\"time\":\(time),\"long\":\"\(String(repeating: filler, count: 200))\"}".utf8)
            }
            content.append(0x0A)
        }
        return content
    }

    @Test("A file, and the same bytes through a pipe in small pieces, give the same events and receipt")
    func arrival() throws {
        let seed = SplitMix64.freshSeed()
        print("parallel parsing: VARVE_SEED=0x\(String(seed, radix: 16))")
        let content = content(seed: seed, lines: 2_000)
        let input = try harness.file("input", content)
        let (first, second) = (harness.path("file"), harness.path("pipe"))
        let fromFile = try harness.succeed("record", first, "--input", input, "--json")
        let conversation = try Conversation(harness, "record", second, "--json")
        var start = 0
        var random = SplitMix64(seed: seed)
        while start < content.count {
            let end = min(start + 1 + Int(random.below(8_192)), content.count)
            try conversation.send(content[start..<end])
            start = end
        }
        try conversation.closeInput()
        let receipt = try conversation.nextLine()
        #expect(try conversation.finish().status == 0)

        #expect(try harness.succeed("query", first, "--output", "payload").output == content)
        #expect(try harness.succeed("query", second, "--output", "payload").output == content)
        let events = try [first, second].map { store in
            try harness.succeed("query", store, "--output", "json").lines
        }
        // A line without a time of its own has the one before it in a file, and that of its arrival in a pipe.
        let expression = /"session":"[^"]*",|"timestamp":"20(?!23)[^"]*",|"timestamp":"2023[^"]*",/
        func stripped(_ line: String, keepsTime: Bool) -> String {
            line.replacing(expression) { match in
                keepsTime && match.output.hasPrefix("\"timestamp") ? String(match.output) : ""
            }
        }
        #expect(events[0].count == 2_000)
        for (left, right) in zip(events[0], events[1]) {
            let hasTime = right.contains("\"timestamp\":\"2023")
            guard stripped(left, keepsTime: hasTime) == stripped(right, keepsTime: hasTime) else {
                Issue.record("\(left.prefix(300)) is not \(right.prefix(300))")
                return
            }
        }
        let counts = try [fromFile.text, receipt].map { text -> [String: Any] in
            try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        }
        for key in counts[0].keys where !["stored_bytes", "ratio", "steps_back"].contains(key) {
            #expect("\(counts[0][key] ?? "")" == "\(counts[1][key] ?? "")", "\(key)")
        }
    }
}
