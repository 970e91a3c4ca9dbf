import Foundation
import Testing
import VarveTestKit

@testable import VarveCLI

@Suite("varve histogram")
struct HistogramTests {
    let harness: Harness
    let store: String

    init() throws {
        harness = try Harness()
        store = harness.path("store")
    }

    private func record(_ events: [(time: String, kind: String)], session: String = "s") throws {
        let lines = events.map {
            "{\"ts\":\"\($0.time)\",\"type\":\"\($0.kind.replacing("\"", with: "\\\""))\"}\n"
        }
        try harness.succeed("record", store, "--session", session, input: Data(lines.joined().utf8))
    }

    /// 1, 4 and 0 events of `a`, 0, 2 and 2 of `b`, in three minutes; the last one is another session's.
    private func fill() throws {
        try record([
            ("2026-05-10T12:00:59.999999999Z", "a"), ("2026-05-10T12:01:00Z", "a"),
            ("2026-05-10T12:01:01Z", "a"), ("2026-05-10T12:01:02Z", "a"), ("2026-05-10T12:01:59Z", "a"),
            ("2026-05-10T12:01:30Z", "b,\"x\""), ("2026-05-10T12:01:31Z", "b,\"x\""),
            ("2026-05-10T12:03:00Z", "b,\"x\""),
        ])
        try record([("2026-05-10T12:03:59.5Z", "b,\"x\"")], session: "s")
    }

    @Test("A line for each bucket, also the empty ones, with bars to one scale")
    func bars() throws {
        try fill()
        let full = 100 - 20 - 1 - 3
        #expect(
            try harness.succeed("histogram", store, "--bucket", "1m").text == """
                2026-05-10T12:00:00Z 1 \(Histogram.bar(1, of: 6, full))
                2026-05-10T12:01:00Z 6 \(String(repeating: "█", count: full))
                2026-05-10T12:02:00Z 0
                2026-05-10T12:03:00Z 2 \(Histogram.bar(2, of: 6, full))
                9 events, 1 min a line

                """)
    }

    @Test("A line for each kind, the most frequent first, or for each session, to scales of their own")
    func lines() throws {
        try fill()
        #expect(
            try harness.succeed("histogram", store, "--bucket", "1m", "--by", "kind").text == """
                a     5 ▃█
                b,"x" 4  █ █
                        from 2026-05-10T12:00:00Z to 2026-05-10T12:03:00Z
                9 events, 1 min a column

                """)
        #expect(
            try harness.succeed("histogram", store, "--bucket", "1m", "--by", "session").text == """
                1 s 8 ▂█ ▂
                2 s 1    █
                      from 2026-05-10T12:00:00Z to 2026-05-10T12:03:00Z
                9 events, 1 min a column

                """)
    }

    @Test("JSON and CSV have a line for each bucket and group that has events")
    func programs() throws {
        try fill()
        #expect(
            try harness.succeed("histogram", store, "--bucket", "1m", "--json").text == """
                {"time":"2026-05-10T12:00:00.000000000Z","nanoseconds":60000000000,"events":1}
                {"time":"2026-05-10T12:01:00.000000000Z","nanoseconds":60000000000,"events":6}
                {"time":"2026-05-10T12:03:00.000000000Z","nanoseconds":60000000000,"events":2}

                """)
        #expect(
            try harness.succeed("histogram", store, "--bucket", "2m", "--json", "--by", "kind").lines == [
                #"{"time":"2026-05-10T12:00:00.000000000Z","nanoseconds":120000000000,"kind":"a","events":5}"#,
                #"{"time":"2026-05-10T12:00:00.000000000Z","nanoseconds":120000000000,"kind":"b,\"x\"","events":2}"#,
                #"{"time":"2026-05-10T12:02:00.000000000Z","nanoseconds":120000000000,"kind":"b,\"x\"","events":2}"#,
            ])
        #expect(
            try harness.succeed("histogram", store, "--bucket", "1d", "--json", "--by", "session").lines == [
                #"{"time":"2026-05-10T00:00:00.000000000Z","nanoseconds":86400000000000,"session":"s","session_number":1,"events":8}"#,
                #"{"time":"2026-05-10T00:00:00.000000000Z","nanoseconds":86400000000000,"session":"s","session_number":2,"events":1}"#,
            ])
        #expect(
            try harness.succeed("histogram", store, "--bucket", "1m", "--csv").text
                == "time,events\r\n2026-05-10T12:00:00.000000000Z,1\r\n"
                + "2026-05-10T12:01:00.000000000Z,6\r\n2026-05-10T12:03:00.000000000Z,2\r\n")
        #expect(
            try harness.succeed("histogram", store, "--bucket", "1d", "--csv", "--by", "kind").text
                == "time,kind,events\r\n2026-05-10T00:00:00.000000000Z,a,5\r\n"
                + "2026-05-10T00:00:00.000000000Z,\"b,\"\"x\"\"\",4\r\n")
        #expect(
            try harness.succeed("histogram", store, "--bucket", "1d", "--csv", "--by", "session").text
                == "time,session,session_number,events\r\n2026-05-10T00:00:00.000000000Z,s,1,8\r\n"
                + "2026-05-10T00:00:00.000000000Z,s,2,1\r\n")
    }

    @Test("Counts are those of a naive model, with any filter, width and shift")
    func model() throws {
        let seed = SplitMix64.freshSeed()
        print("histogram: VARVE_SEED=0x\(String(seed, radix: 16))")
        var random = SplitMix64(seed: seed)
        let events = (0..<400).map { number in
            (time: 1_000_000 + number * 7 + Int(random.below(900)), kind: "k\(random.below(3))")
        }
        let lines = events.map { "{\"ts\":\($0.time),\"type\":\"\($0.kind)\"}\n" }
        try harness.succeed("record", store, "--session", "s", input: Data(lines.joined().utf8))
        for _ in 0..<20 {
            let width = [1, 7, 60, 100, 3600][Int(random.below(5))]
            let shift = random.oneIn(2) ? Int(random.below(2_000_000)) - 1_500_000 : 0
            let first = 1_000_000 + Int(random.below(2000))
            var expected: [String: Int] = [:]
            for event in events where event.time >= first && event.kind != "k2" {
                let time = event.time + shift
                let bucket = time < 0 ? -((-time + width - 1) / width) : time / width
                expected["\(bucket * width) \(event.kind)", default: 0] += 1
            }
            let outcome = try harness.succeed(
                "histogram", store, "--by", "kind", "--bucket", "\(width)s", "--json", "--shift",
                "store=\(shift)s", "--from", "\(first + shift)", "--grep", "k", "--kind", "k0", "--kind", "k1"
            )
            let formatter = ISO8601DateFormatter()
            var found: [String: Int] = [:]
            for object in try harness.objects(outcome) {
                let text = try #require(object["time"] as? String).prefix(19) + "Z"
                let time = Int(try #require(formatter.date(from: String(text))).timeIntervalSince1970)
                found["\(time) \(object["kind"] as? String ?? "")"] = object["events"] as? Int
            }
            #expect(found == expected, "\(width) \(shift) \(first)")
        }
    }

    @Test(
        "Widths are chosen so that they can be read",
        arguments: [
            (0, 1_000_000_000), (1, 1), (38, 1), (39, 2), (1_000_000_000, 50_000_000),
            (60 * 1_000_000_000, 2_000_000_000), (86_400 * 1_000_000_000, 3_600 * 1_000_000_000),
            (Int64.max, 315_360_000_000_000_000),
        ] as [(Int64, Int64)])
    func widths(span: Int64, width: Int64) {
        #expect(TimeBuckets.width(for: 0...span, countMax: 40) == width)
    }

    @Test("A range from end to end of what 64 bits hold has a width, and so has none at all")
    func extremeWidths() {
        // The number of the narrowest buckets overflowed.
        #expect(TimeBuckets.width(for: .min ... .max, countMax: 40) == 3_153_600_000_000_000_000)
        #expect(TimeBuckets.width(for: nil, countMax: 40) == 1_000_000_000)
        #expect(TimeBuckets.width(for: .max ... .max, countMax: 20) == 1_000_000_000)
    }

    @Test(
        "Widths are told in the largest unit that fits",
        arguments: [
            (1, "1 ns"), (1_500, "1500 ns"), (2_000, "2 µs"), (5_000_000, "5 ms"), (90_000_000_000, "90 s"),
            (120_000_000_000, "2 min"), (3_600_000_000_000, "1 h"), (604_800_000_000_000, "7 d"),
        ] as [(Int64, String)])
    func widthTexts(width: Int64, text: String) {
        #expect(TimeBuckets.text(width) == text)
    }

    @Test(
        "A bar is in eighths, full for the largest, and never nothing",
        arguments: [
            (8, 8, 2, "██"), (4, 8, 2, "█"), (5, 8, 2, "█▎"), (1, 8, 1, "▏"), (1, 1_000_000, 10, "▏"),
            (UInt64.max, UInt64.max, 3, "███"), (7, 8, 1, "▉"),
        ] as [(UInt64, UInt64, Int, String)])
    func bar(count: UInt64, largest: UInt64, room: Int, bar: String) {
        #expect(Histogram.bar(count, of: largest, room) == bar)
    }

    @Test(
        "A line has eight heights, and spaces for nothing up to the last block",
        arguments: [
            ([0, 1, 2, 3, 4, 5, 6, 7, 8], " ▂▃▄▅▆▇██"), ([1, 0, 1000, 0, 0], "▁ █"), ([], ""), ([0], ""),
            ([UInt64.max, 1], "█▁"),
        ] as [([UInt64], String)])
    func line(values: [UInt64], line: String) {
        #expect(Histogram.line(values) == line)
    }

    @Test("Times at the ends of what 64 bits hold, and buckets narrow and wide")
    func extremes() throws {
        let export = """
            {"record":"export","version":1}
            {"record":"session","session":1,"id":"s","started_at":"1970-01-01T00:00:00Z"}
            {"record":"kind","kind":1,"name":"k","encoding":"json"}
            {"record":"event","session":1,"timestamp":"1677-09-21T00:12:43.145224192Z","kind":1,"payload":0}
            {"record":"event","session":1,"timestamp":"1970-01-01T00:00:00Z","kind":1,"payload":1}
            {"record":"event","session":1,"timestamp":"2262-04-11T23:47:16.854775807Z","kind":1,"payload":2}
            """
        try harness.succeed("record", store, "--format", "export", input: Data(export.utf8))
        for arguments in [
            [], ["--bucket", "106751d"], ["--bucket", "100000d", "--by", "kind"], ["--by", "session"],
        ] {
            let outcome = try harness.succeed(["histogram", store] + arguments)
            #expect(outcome.lines.last?.hasPrefix("3 events, ") == true)
        }
        #expect(
            try harness.succeed("histogram", store, "--bucket", "1ns", "--json").lines == [
                #"{"time":"1677-09-21T00:12:43.145224192Z","nanoseconds":1,"events":1}"#,
                #"{"time":"1970-01-01T00:00:00.000000000Z","nanoseconds":1,"events":1}"#,
                #"{"time":"2262-04-11T23:47:16.854775807Z","nanoseconds":1,"events":1}"#,
            ])
        for (arguments, what) in [([], "100,000 lines"), (["--by", "kind"], "1,000 columns")] {
            let outcome = try harness.run(["histogram", store, "--bucket", "1ns"] + arguments)
            #expect(outcome.status == 1 && outcome.output.isEmpty)
            #expect(
                outcome.errors
                    == "varve: error: --bucket: that would be more than \(what): take wider ones, or --json, "
                    + "which leaves empty ones out\n")
        }
        // A shift that takes times beyond the ends holds them there, and --from and --to too.
        for (arguments, events) in [
            (["--shift", "store=106751d"], 3), (["--shift", "store=-106751d"], 3),
            (["--shift", "store=-1h", "--from", "2262-04-11T23:47:16Z"], 0),
            (["--shift", "store=1h", "--to", "1677-09-21T00:12:44Z"], 0),
            (["--shift", "store=1h", "--from", "2262-04-11T23:47:16Z"], 1),
            (["--shift", "store=-1h", "--to", "1677-09-21T00:12:44Z"], 1),
        ] {
            let counted = try harness.objects(
                harness.succeed(["histogram", store, "--bucket", "1h", "--json"] + arguments))
            #expect(counted.reduce(0) { $0 + ($1["events"] as? Int ?? 0) } == events, "\(arguments)")
            let queried = try harness.succeed(["query", store, "--order", "time", "--count"] + arguments)
            #expect(queried.text == "\(events)\n", "\(arguments)")
        }
    }

    @Test("Of nothing it says that nothing matches, and programs get nothing but the header")
    func nothing() throws {
        try harness.succeed("record", store, input: Data())
        for arguments in [[], ["--by", "kind"], ["--bucket", "1d", "--by", "session"], ["--kind", "x"]] {
            #expect(try harness.succeed(["histogram", store] + arguments).text == "no event matches\n")
        }
        #expect(try harness.succeed("histogram", store, "--json").output.isEmpty)
        #expect(try harness.succeed("histogram", store, "--csv").text == "time,events\r\n")
        try fill()
        for filter in [
            ["--kind", "x"], ["--from", "2026-05-10T12:10:00Z"], ["--from", "5", "--to", "4"], ["-g", "zz"],
        ] {
            #expect(try harness.succeed(["histogram", store] + filter).text == "no event matches\n")
        }
        #expect(
            try harness.succeed("histogram", store, "--sequence", "0").text
                == "2026-05-10T12:00:55Z 1 \(String(repeating: "█", count: 76))\n1 event, 5 s a line\n")
    }

    @Test("Several stores are counted together by kind, and apart by session")
    func several() throws {
        try fill()
        let other = harness.path("other")
        try harness.succeed(
            "record", other, "--session", "s",
            input: Data("{\"ts\":\"2026-05-10T12:01:00Z\",\"type\":\"a\"}\n".utf8))
        let histogram = ["histogram", store, other, "--bucket", "1d"]
        #expect(try harness.succeed(histogram + ["--csv"]).rows.last == "2026-05-10T00:00:00.000000000Z,10")
        #expect(
            try harness.succeed(histogram + ["--csv", "--by", "kind"]).rows.dropFirst().first
                == "2026-05-10T00:00:00.000000000Z,a,6")
        #expect(
            try harness.succeed(histogram + ["--csv", "--by", "session"]).text
                == "time,store,session,session_number,events\r\n"
                + "2026-05-10T00:00:00.000000000Z,other,s,1,1\r\n"
                + "2026-05-10T00:00:00.000000000Z,store,s,1,8\r\n"
                + "2026-05-10T00:00:00.000000000Z,store,s,2,1\r\n")
        #expect(
            try harness.succeed(histogram + ["--json", "--by", "session"]).lines[0]
                == #"{"time":"2026-05-10T00:00:00.000000000Z","nanoseconds":86400000000000,"store":"other","session":"s","session_number":1,"events":1}"#
        )
        #expect(
            try harness.succeed(histogram + ["--by", "session"]).lines.prefix(3) == [
                "other 1 s 1 █", "store 1 s 8 █", "store 2 s 1 █",
            ])
        let shifted = try harness.succeed(histogram + ["--csv", "--shift", "other=24h"]).rows
        #expect(shifted.last == "2026-05-11T00:00:00.000000000Z,1")
    }

    @Test("What it can't do is wrong usage, and --explain says what was counted from where")
    func usage() throws {
        try fill()
        for arguments in [
            ["--json", "--csv"], ["--bucket", "0s"], ["--bucket", "5"], ["--bucket", "-1s"],
            ["--limit", "1"],
            ["--reverse"], ["--by", "size"], ["--shift", "x=1s"], ["--bucket", "213503d"],
        ] {
            let outcome = try harness.run(["histogram", store] + arguments)
            #expect(outcome.status == 64 && outcome.output.isEmpty, "\(arguments)")
            #expect(
                outcome.errors.hasPrefix("varve: error: ") && outcome.errors.split(separator: "\n").count == 1
            )
        }
        let explained = try harness.succeed("histogram", store, "--explain", "--bucket", "1d").errors
        for line in ["segments: ", "blocks: ", "rows: ", "bytes: ", "time: "] {
            #expect(explained.contains(line))
        }
        #expect(explained.contains("0 B decompressed"))
    }
}
