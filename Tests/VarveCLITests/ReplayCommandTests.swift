import Foundation
import Testing

@Suite("varve replay")
struct ReplayCommandTests {
    let harness: Harness
    let store: String

    init() throws {
        harness = try Harness()
        store = harness.path("store")
        let lines = (0..<5).map { #"{"time":"2026-05-10T12:00:0\#($0)Z","kind":"k\#($0 % 2)","n":\#($0)}"# }
        try harness.succeed(
            "record", store, "--session", "s", input: Data((lines.joined(separator: "\n") + "\n").utf8))
    }

    @Test(
        "Without gaps it prints what query does", arguments: ["short", "json", "payload", "csv"],
        [
            [], ["--reverse"], ["--kind", "k1"], ["--limit", "2"], ["--sequence", "1..3"], ["--limit", "0"],
        ])
    func likeQuery(format: String, filters: [String]) throws {
        let replayed = try harness.run(["replay", store, "--speed", "max", "--output", format] + filters)
        let queried = try harness.run(["query", store, "--output", format] + filters)
        #expect(replayed.status == 0)
        #expect(replayed.output == queried.output)
    }

    @Test("Events come with their gaps, as fast as asked for, and are seen before the next gap")
    func paced() throws {
        let clock = ContinuousClock()
        let start = clock.now
        let conversation = try Conversation(harness, "replay", store, "--speed", "20", "--output", "payload")
        for number in 0..<5 {
            #expect(try conversation.nextLine().hasSuffix(#""n":\#(number)}"#))
            // Never early; how late depends on the machine.
            #expect(start.duration(to: clock.now) >= .milliseconds(50 * number))
        }
        #expect(try conversation.finish().status == 0)
    }

    @Test("Long gaps are cut short")
    func gapMax() throws {
        let lines = #"{"time":"2026-05-10T12:00:00Z"}"# + "\n" + #"{"time":"2026-08-10T12:00:00Z"}"# + "\n"
        try harness.succeed("record", harness.path("months"), input: Data(lines.utf8))
        let outcome = try harness.succeed("replay", harness.path("months"), "--gap-max", "10ms")
        #expect(outcome.lines.count == 2)
    }

    @Test("A reader that goes away while it waits is no error")
    func closedPipe() throws {
        let (status, errors) = (harness.path("status"), harness.path("errors"))
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = [
            "-c",
            "{ '\(Harness.executable.path)' replay '\(store)' --speed 100 -o payload 2>'\(errors)'; "
                + "echo $? >'\(status)'; } | head -n 1 >/dev/null",
        ]
        try process.run()
        process.waitUntilExit()
        #expect(try String(contentsOfFile: status, encoding: .utf8) == "0\n")
        #expect(try String(contentsOfFile: errors, encoding: .utf8).isEmpty)
    }

    @Test(
        "Wrong options are wrong usage",
        arguments: [
            ["--speed", "0"], ["--speed", "-1"], ["--speed", "nan"], ["--speed", "inf"], ["--speed", "fast"],
            ["--gap-max", "5"], ["--output", "table"], ["-0"],
        ])
    func wrongUsage(options: [String]) throws {
        let outcome = try harness.run(["replay", store] + options)
        #expect(outcome.status == 64)
        #expect(outcome.output.isEmpty && !outcome.errors.isEmpty)
    }

    @Test("Damage is told, with exit code 3")
    func damage() throws {
        let large = harness.path("large")
        let lines = (0..<3000).map { #"{"n":\#($0),"noise":"\#(UUID())"}"# }
        try harness.succeed("record", large, input: Data(lines.joined(separator: "\n").utf8))
        try harness.changeByte(at: 5000, inLargestFileOf: large)
        let outcome = try harness.run("replay", large, "--speed", "max")
        #expect(outcome.status == 3)
        #expect(outcome.errors.contains("not complete"))
        #expect(try harness.run("query", large).output == outcome.output)
    }
}
