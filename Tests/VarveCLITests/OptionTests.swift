import ArgumentParser
import Testing
import Varve

@testable import VarveCLI

@Suite("Option values")
struct OptionTests {
    @Test(
        "A duration is a number and a unit",
        arguments: [
            ("200ms", 200_000_000), ("1s", 1_000_000_000), ("7ns", 7), ("3us", 3_000),
            ("2m", 120_000_000_000),
            ("1h", 3_600_000_000_000), ("1d", 86_400_000_000_000), ("0s", 0),
            ("18446744073709551615ns", UInt64.max),
        ] as [(String, UInt64)])
    func durations(text: String, nanoseconds: UInt64) {
        #expect(DurationText(text)?.nanoseconds == nanoseconds)
    }

    @Test(
        "What is no duration, or too long for one, is refused",
        arguments: ["", "5", "ms", "-1s", "1.5s", "1 s", "1S", "٣s", "18446744073709551616ns", "213504d"])
    func wrongDurations(text: String) {
        #expect(DurationText(text) == nil)
    }

    @Test("Durability levels are read")
    func durability() {
        #expect(DurabilityLevel(argument: "none")?.durability == Durability.none)
        #expect(DurabilityLevel(argument: "synced")?.durability == .synced)
        #expect(DurabilityLevel(argument: "interval:1s")?.durability == .interval(nanoseconds: 1_000_000_000))
        for text in ["", "interval:", "interval:0ms", "interval:x", "sync"] {
            #expect(DurabilityLevel(argument: text) == nil)
        }
    }

    @Test(
        "A range of sequence numbers has one, two or open ends",
        arguments: [
            ("3", 3...3), ("3..7", 3...7), ("3..", 3...UInt64.max), ("..7", 0...7),
            ("0..18446744073709551615", 0...UInt64.max),
        ] as [(String, ClosedRange<UInt64>)])
    func sequences(text: String, range: ClosedRange<UInt64>) {
        #expect(SequenceRange(argument: text)?.range == range)
    }

    @Test(
        "What is no range of sequence numbers is refused",
        arguments: ["", "..", "7..3", "a", "-1", "+1", "1...2", "1..2..3", "18446744073709551616"])
    func wrongSequences(text: String) {
        #expect(SequenceRange(argument: text) == nil)
    }

    @Test(
        "Two values after --between become two options, and a negative one is joined with its option",
        arguments: [
            (["--between", "a", "b", "store"], ["--between", "a", "--between", "b", "store"]),
            (["--between", "a", "--between", "b"], ["--between", "a", "--between", "b"]),
            (["--between", "a"], ["--between", "a"]),
            (["--", "--between", "a", "b"], ["--", "--between", "a", "b"]),
            (["query", "s"], ["query", "s"]),
            (["--max-age", "-1h", "s"], ["--max-age=-1h", "s"]),
            (["--between", "-2h", "-1h"], ["--between=-2h", "--between=-1h"]),
            (["--from=a", "-1h"], ["--from=a", "-1h"]),
            (["-n", "-1h", "--", "--x", "-1h"], ["-n", "-1h", "--", "--x", "-1h"]),
        ])
    func between(arguments: [String], expanded: [String]) {
        #expect(FilterOptions.withJoinedValues(arguments) == expanded)
    }

    @Test(
        "Wrong usage is found before anything is opened",
        arguments: [
            ["record"], ["record", "s", "--durability", "x"], ["record", "s", "--text", "--time-field", "a"],
            ["record", "s", "--pty"], ["record", "s", "--acks", "--", "true"],
            ["record", "s", "--json", "--", "true"],
            ["record", "s", "--input", "f", "--", "true"], ["record", "s", "--format", "export", "--text"],
            ["record", "s", "--format", "export", "--session", "x"], ["record", "s", "--time-zone", "Mars"],
            ["record", "s", "--on-bad", "shrug"], ["query"], ["query", "s", "--from", "yesterday"],
            ["query", "s", "--sequence", "2..1"], ["query", "s", "--session-number", "0"],
            ["query", "s", "--between", "a"], ["query", "s", "--fields", "a"], ["query", "s", "-0"],
            ["query", "s", "--count", "--quiet"], ["query", "s", "--trailer"],
            ["query", "s", "--output", "xml"],
            ["export", "s", "--reverse"], ["import", "s"], ["nonsense"],
        ])
    func usage(arguments: [String]) {
        #expect {
            var command = try VarveCommand.parseAsRoot(arguments)
            try command.run()
        } throws: { error in
            VarveCommand.status(of: error) == ExitStatus.usage
                && !VarveCommand.message(of: error).contains("\n")
        }
    }

    @Test("Values may begin with a minus sign")
    func negativeValues() throws {
        let command = try #require(
            try VarveCommand.parseAsRoot(["query", "s", "--from", "-2h", "--session-number", "-1"])
                as? QueryCommand)
        #expect(command.filters.from == "-2h")
        #expect(command.filters.sessionNumbers == [-1])
    }
}

@Suite("Texts for people")
struct FormattingTests {
    @Test(
        "Bytes have one digit after the point and a decimal unit",
        arguments: [
            (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (43_478_765, "43.5 MB"), (999_949, "999.9 kB"),
            (999_950, "1.0 MB"), (UInt64.max, "18.4 EB"),
        ] as [(UInt64, String)])
    func bytes(value: UInt64, text: String) {
        #expect(Formatting.bytes(value) == text)
    }

    @Test(
        "Counts have commas", arguments: [(0, "0"), (999, "999"), (6026, "6,026"), (1_000_000, "1,000,000")])
    func counts(value: UInt64, text: String) {
        #expect(Formatting.count(value) == text)
    }

    @Test(
        "A text on one line has no controls",
        arguments: [
            ("plain", "plain"), ("a\tb\r\nc", "a b  c"), ("\u{1b}[31mred", "\u{b7}[31mred"),
            ("\u{9b}31m", "\u{b7}31m"), ("é\u{a0}x", "é\u{a0}x"), ("\u{7f}", "\u{b7}"),
        ])
    func oneLine(text: String, shown: String) {
        #expect(Formatting.oneLine(text) == shown)
    }

    @Test("Durations are rounded up", arguments: [(0.2, "1 s"), (61, "1 min 1 s"), (4200, "1 h 10 min")])
    func durations(seconds: Double, text: String) {
        #expect(Formatting.duration(seconds: seconds) == text)
    }
}

@Suite("XXH64")
struct XXH64Tests {
    @Test(
        "Known digests",
        arguments: [
            ("", "ef46db3751d8e999"), ("a", "d24ec4f1a98c6e5b"), ("abc", "44bc2cf5ad770999"),
            ("Nobody inspects the spammish repetition", "fbcea83c8a378bf1"),
        ])
    func known(text: String, digest: String) {
        var hash = XXH64()
        Array(text.utf8).withUnsafeBytes { hash.update($0) }
        #expect(hash.hexadecimal() == digest)
    }

    @Test("The digest doesn't depend on how the bytes are cut", arguments: [1, 3, 31, 32, 33, 64, 100])
    func pieces(size: Int) {
        let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        var whole = XXH64()
        bytes.withUnsafeBytes { whole.update($0) }
        var cut = XXH64()
        var rest = bytes[...]
        while !rest.isEmpty {
            Array(rest.prefix(size)).withUnsafeBytes { cut.update($0) }
            rest = rest.dropFirst(size)
        }
        #expect(cut.finish() == whole.finish())
    }
}
