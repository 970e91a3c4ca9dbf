import Foundation
import Testing
import VarveTestKit

@Suite("Several stores at once, and the order of time")
struct SeveralStoresTests {
    let harness: Harness

    init() throws { harness = try Harness() }

    /// Records one event for each time, in seconds, and returns the store's path.
    @discardableResult
    private func record(_ name: String, _ times: [Int], kind: String = "k") throws -> String {
        let path = harness.path(name)
        try FileManager.default.createDirectory(
            at: URL(fileURLWithPath: path).deletingLastPathComponent(), withIntermediateDirectories: true)
        let lines = times.enumerated().map { "{\"ts\":\($1),\"type\":\"\(kind)\",\"n\":\($0)}\n" }
        try harness.succeed("record", path, "--session", name, input: Data(lines.joined().utf8))
        return path
    }

    /// `STORE/SEQUENCE` of each line.
    private func places(_ outcome: Harness.Outcome) throws -> [String] {
        try harness.objects(outcome).map {
            "\($0["store"] as? String ?? "")/\($0["sequence"] as? Int ?? -1)"
        }
    }

    @Test("Events come by time, then by store, then by number: as a naive model says")
    func model() throws {
        let seed = SplitMix64.freshSeed()
        print("several stores: VARVE_SEED=0x\(String(seed, radix: 16))")
        var random = SplitMix64(seed: seed)
        let names = ["a", "b", "c"]
        var times: [[Int]] = []
        for name in names {
            // Mostly upwards, with steps back, and many at one time.
            var time = 1000
            let own = (0..<40).map { _ -> Int in
                time += Int(random.below(4))
                if random.oneIn(6) { time -= Int(random.below(20)) }
                return time
            }
            times.append(own)
            try record(name, own)
        }
        for round in 0..<40 {
            let count = 1 + Int(random.below(3))
            let shifts = (0..<count).map { _ in random.oneIn(2) ? Int(random.below(60)) - 30 : 0 }
            let isReversed = random.oneIn(2)
            let limit = random.oneIn(3) ? Int(random.below(30)) : nil
            let from = random.oneIn(3) ? 1000 + Int(random.below(60)) : nil
            let to = random.oneIn(3) ? 1000 + Int(random.below(80)) : nil
            var expected: [(time: Int, store: Int, sequence: Int)] = []
            for store in 0..<count {
                for (sequence, own) in times[store].enumerated() {
                    let time = own + shifts[store]
                    guard time >= from ?? .min, time <= to ?? .max else { continue }
                    expected.append((time, store, sequence))
                }
            }
            expected.sort { $0 < $1 }
            if isReversed { expected.reverse() }
            let chosen = expected.prefix(limit ?? .max)
            var arguments = ["query", "-o", "json", "--order", "time"]
            arguments += names.prefix(count).map { harness.path($0) }
            for (store, shift) in shifts.enumerated() where shift != 0 {
                arguments += ["--shift", "\(names[store])=\(shift)s"]
            }
            if isReversed { arguments.append("-r") }
            if let limit { arguments += ["--limit", "\(limit)"] }
            if let from { arguments += ["--from", "\(from)"] }
            if let to { arguments += ["--to", "\(to)"] }
            let outcome = try harness.succeed(arguments)
            #expect(
                try places(outcome) == chosen.map { "\(count > 1 ? names[$0.store] : "")/\($0.sequence)" },
                "round \(round): \(arguments)")
            let stamps = try harness.objects(outcome).compactMap { $0["timestamp"] as? String }
            #expect(stamps == (isReversed ? stamps.sorted(by: >) : stamps.sorted()))
            let counted = try harness.succeed(arguments.filter { $0 != "-o" && $0 != "json" } + ["--count"])
            #expect(counted.text == "\(chosen.count)\n")
        }
    }

    @Test("Each event says its store in every format but that of payloads")
    func formats() throws {
        let (a, b) = (try record("a", [1000, 1002]), try record("b", [1001]))
        let short = try harness.succeed("query", a, b).lines
        #expect(
            short == [
                #"1970-01-01T00:16:40.000000000Z a a k {"ts":1000,"type":"k","n":0}"#,
                #"1970-01-01T00:16:41.000000000Z b b k {"ts":1001,"type":"k","n":0}"#,
                #"1970-01-01T00:16:42.000000000Z a a k {"ts":1002,"type":"k","n":1}"#,
            ])
        let json = try harness.succeed("query", a, b, "-o", "json", "--limit", "1", "--trailer").lines
        #expect(
            json == [
                #"{"store":"a","sequence":0,"session":"a","session_number":1,"index":0,"#
                    + #""timestamp":"1970-01-01T00:16:40.000000000Z","kind":"k","#
                    + #""payload":{"ts":1000,"type":"k","n":0}}"#,
                #"{"events":1,"complete":true,"gaps":[]}"#,
            ])
        #expect(
            try harness.succeed("query", a, b, "-o", "csv", "--fields", "n", "--shift", "b=-1s").text
                == "store,sequence,session,session_number,index,timestamp,kind,n\r\n"
                + "a,0,a,1,0,1970-01-01T00:16:40.000000000Z,k,0\r\n"
                + "b,0,b,1,0,1970-01-01T00:16:40.000000000Z,k,0\r\n"
                + "a,1,a,1,1,1970-01-01T00:16:42.000000000Z,k,1\r\n")
        let table = try harness.succeed("query", a, b, "-o", "table", "--fields", "n").lines
        #expect(
            table == [
                "store  sequence  time                            session  kind  n",
                "a             0  1970-01-01T00:16:40.000000000Z  a        k     0",
                "b             0  1970-01-01T00:16:41.000000000Z  b        k     0",
                "a             1  1970-01-01T00:16:42.000000000Z  a        k     1",
            ])
        #expect(
            try harness.succeed("query", a, b, "-o", "payload").lines.map { $0.contains("1001") }
                == [false, true, false])
    }

    @Test("Stores whose last parts are the same are called by their paths, and shifted by them alone")
    func sameNames() throws {
        let (a, b) = (try record("one/s", [1000]), try record("two/s", [1001]))
        let plain = try harness.succeed("query", a, b, "-o", "json")
        #expect(try places(plain) == ["\(a)/0", "\(b)/0"])
        let shifted = try harness.succeed("query", a, b + "/", "-o", "json", "--shift", "\(b)=-5s")
        #expect(try places(shifted) == ["\(b)//0", "\(a)/0"])
        let unclear = try harness.run("query", a, b, "--shift", "s=1h")
        #expect(unclear.status == 64)
        #expect(
            unclear.errors
                == "varve: error: --shift s: that is the name of several stores: give the path\n")
        for again in [a, a + "/"] {
            for command in [["query"], ["histogram"], ["top", "--by", "n"], ["fields"]] {
                let outcome = try harness.run(command + [a, again])
                #expect(outcome.status == 64 && outcome.errors == "varve: error: \(again): given twice\n")
            }
        }
    }

    @Test("A store that is missing leaves the answer of the others, a note, and status 3")
    func missing() throws {
        let (a, none) = (try record("a", [1000]), harness.path("none"))
        let note = "varve: note: not complete: \(none) is not a store: it does not exist\n"
        for command in [
            ["query"], ["query", "--count"], ["query", "-o", "csv"], ["histogram"], ["histogram", "--json"],
            ["top", "--by", "n"], ["top", "--by", "kind"], ["fields"],
        ] {
            let outcome = try harness.run(command + [a, none])
            #expect(outcome.status == 3 && outcome.errors == note && !outcome.output.isEmpty, "\(command)")
            let alone = try harness.run(command + [none])
            #expect(alone.status == 1 && alone.output.isEmpty, "\(command): \(alone.text)")
            #expect(alone.errors == "varve: error: \(none) is not a store: it does not exist\n")
            let both = try harness.run(command + [none, none + "2"])
            #expect(both.status == 1 && both.output.isEmpty)
            #expect(
                both.errors.split(separator: "\n").map(String.init) == [
                    "varve: error: \(none) is not a store: it does not exist",
                    "varve: error: \(none)2 is not a store: it does not exist",
                ])
        }
        // The trailer called an answer complete that lacked a whole store.
        let trailer = try harness.run("query", a, none, "-o", "json", "--trailer", "--kind", "x")
        #expect(trailer.text == #"{"events":0,"complete":false,"gaps":[]}"# + "\n" && trailer.status == 3)
        #expect(try harness.run("query", a, none, "--quiet").status == 0)
        #expect(try harness.run("query", a, none, "--quiet", "--kind", "x").status == 3)
    }

    @Test("A store that is damaged is named with what is missing of it, in every command")
    func damage() throws {
        var random = SplitMix64(seed: 7)
        let lines = (0..<3000).map { number in
            let noise = (0..<12).map { _ in String(random.next(), radix: 36) }.joined()
            return "{\"ts\":\(1000 + number),\"n\":\(number),\"noise\":\"\(noise)\"}\n"
        }
        let bad = harness.path("bad")
        try harness.succeed("record", bad, input: Data(lines.joined().utf8))
        let good = try record("good", [1000, 5000])
        let file = try harness.changeByte(at: 150_000, inLargestFileOf: bad)
        for command in [
            ["query"], ["query", "-r"], ["query", "--count", "-g", "noise"], ["query", "--order", "time"],
            ["histogram", "-g", "noise"], ["top", "--by", "n"], ["fields"],
        ] {
            for stores in [[bad], [good, bad]] {
                let outcome = try harness.run(command + stores)
                let label = stores.count > 1 ? "bad: " : ""
                #expect(outcome.status == 3, "\(command)")
                #expect(
                    outcome.errors.hasPrefix("varve: note: \(label)not complete: sequences "),
                    "\(outcome.errors)")
                #expect(outcome.errors.contains(": damage: \(file): "))
                #expect(outcome.errors.split(separator: "\n").count == 1)
            }
        }
        let trailer = try harness.run(["query", bad, "-o", "json", "--trailer"]).lines.last ?? ""
        #expect(trailer.contains(#","complete":false,"gaps":[{"sequences":["#))
        #expect(trailer.contains(#","reason":"damage","note":""#))
        // Where nothing of it was asked for, nothing is missing.
        #expect(try harness.run("query", bad, "--sequence", "0..5").status == 0)
    }

    @Test("Sessions are asked for in each store, and a store that lacks one is named")
    func sessions() throws {
        let (a, b) = (try record("a", [1000]), try record("b", [1001]))
        #expect(try places(harness.succeed("query", a, b, "--session", "b", "-o", "json")) == ["b/0"])
        #expect(
            try places(harness.succeed("query", a, b, "--session-number", "-1", "-o", "json"))
                == ["a/0", "b/0"])
        try harness.succeed("record", a, input: Data("{\"ts\":1002}\n".utf8))
        let outcome = try harness.run("query", a, b, "--session-number", "2")
        #expect(outcome.status == 1)
        #expect(
            outcome.errors
                == "varve: error: b: --session-number 2: no such session: the store has 1 (see varve sessions)\n"
        )
    }

    @Test("What makes no sense for several stores is wrong usage")
    func usage() throws {
        let (a, b) = (try record("a", [1000]), try record("b", [1001]))
        for arguments in [
            ["--order", "sequence"], ["--around", "0"], ["-A", "1"], ["--show-cursor"], ["--after", "x"],
            ["--cursor-file", "x"], ["--shift", "c=1h"], ["--shift", "a=1h", "--shift", "\(a)=1h"],
        ] {
            let outcome = try harness.run(["query", a, b] + arguments)
            #expect(outcome.status == 64 && outcome.output.isEmpty, "\(arguments)")
            #expect(outcome.errors.split(separator: "\n").count == 1)
        }
        let alone = try harness.run("query", a, "--shift", "a=1h")
        #expect(alone.status == 64)
        #expect(alone.errors == "varve: error: --shift: needs --order time, or several stores\n")
    }

    @Test(
        "One store by time: context of the shift for --from, --to and --around; --where means the store's own"
    )
    func shiftOfOne() throws {
        let a = try record("a", [1000, 1010, 1020, 1015])
        let query = ["query", a, "--order", "time", "-o", "json"]
        for (arguments, sequences) in [
            (["--shift", "a=1h"], [0, 1, 3, 2]), (["--shift", "a=1h", "--from", "4610"], [1, 3, 2]),
            (["--shift", "a=-10s", "--to", "1000"], [0, 1]),
            (["--shift", "a=1h", "--around", "1", "--window", "5s"], [1, 3]),
            (["--shift", "a=1h", "--where", "timestamp <= time(\"1970-01-01T00:16:50Z\")"], [0, 1]),
            (
                [
                    "--shift", "a=1h", "--from", "4610", "--where",
                    "timestamp <= time(\"1970-01-01T00:16:50Z\")",
                ], [1]
            ),
        ] {
            let found = try harness.objects(harness.succeed(query + arguments)).map { $0["sequence"] as? Int }
            #expect(found == sequences, "\(arguments)")
        }
        let stamp = try harness.objects(harness.succeed(query + ["--shift", "a=1h", "--limit", "1"]))
        #expect(stamp.first?["timestamp"] as? String == "1970-01-01T01:16:40.000000000Z")
        for (arguments, events) in [
            (["--shift", "a=1h", "--from", "4610"], 3),
            (["--shift", "a=1h", "--around", "1", "--window", "5s"], 2),
        ] {
            let total = try harness.succeed(["histogram", a, "--bucket", "1d", "--csv"] + arguments).rows.last
            #expect(total?.hasSuffix(",\(events)") == true, "\(arguments): \(total ?? "")")
        }
    }
}
