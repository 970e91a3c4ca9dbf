import Foundation
import Testing
import VarveJSON
import VarveTestKit

@testable import VarveCLI

@Suite("varve top and varve fields")
struct TopAndFieldsTests {
    /// A JSON value of a test, and its text.
    private indirect enum Value {
        case null, bool(Bool), number(String), string(String)
        case array([Value])
        case object([(key: String, value: Value)])

        var text: String {
            switch self {
            case .null: "null"
            case .bool(let value): "\(value)"
            case .number(let text): text
            case .string(let text): Self.quoted(text)
            case .array(let values): "[" + values.map(\.text).joined(separator: ",") + "]"
            case .object(let members):
                "{" + members.map { Self.quoted($0.key) + ":" + $0.value.text }.joined(separator: ",") + "}"
            }
        }

        static func quoted(_ text: String) -> String {
            "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
        }

        /// As an answer tells it: containers by their type alone.
        var shown: String {
            switch self {
            case .array: "[]"
            case .object: "{}"
            default: text
            }
        }

        var type: String {
            switch self {
            case .null: "null"
            case .bool: "bool"
            case .number: "number"
            case .string: "string"
            case .array: "array"
            case .object: "object"
            }
        }

        /// The values at a path of names, `[]` for every element.
        func values(_ path: ArraySlice<String>) -> [Value] {
            guard let step = path.first else { return [self] }
            switch self {
            case .array(let values) where step == "[]": return values.flatMap { $0.values(path.dropFirst()) }
            case .object(let members):
                return members.last { $0.key == step }?.value.values(path.dropFirst()) ?? []
            default: return []
            }
        }
    }

    let harness: Harness
    let store: String

    init() throws {
        harness = try Harness()
        store = harness.path("store")
    }

    private func value(_ random: inout SplitMix64, depth: Int) -> Value {
        switch random.below(depth > 0 ? 9 : 6) {
        case 0: .null
        case 1: .bool(random.oneIn(2))
        case 2: .number("\(random.below(3))")
        case 3:
            .number(
                ["0.5", "0.50", "1e3", "-1", "18446744073709551616", "9007199254740993"].randomElement(
                    using: &random) ?? "")
        case 4, 5: .string(["", "1", "true", "a", "ä,\"\\", "null"].randomElement(using: &random) ?? "")
        case 6: .array((0..<random.below(4)).map { _ in value(&random, depth: depth - 1) })
        default: object(&random, depth: depth - 1)
        }
    }

    private func object(_ random: inout SplitMix64, depth: Int) -> Value {
        let keys = ["a", "b", "x y", "c.d", "kind"].filter { _ in !random.oneIn(3) }
        return .object(keys.map { ($0, value(&random, depth: depth)) })
    }

    /// Records random objects, and returns them.
    private func fill(_ random: inout SplitMix64) throws -> [Value] {
        let objects = (0..<300).map { _ in object(&random, depth: 3) }
        let lines = objects.map { $0.text + "\n" }.joined() + "no JSON\n"
        // The kind is not to be taken out of the payloads.
        try harness.succeed(
            "record", store, "--session", "s", "--kind-field", "none", input: Data(lines.utf8))
        return objects
    }

    private static let paths: [(text: String, steps: [String])] = [
        ("a", ["a"]), ("b", ["b"]), ("a.b", ["a", "b"]), (".kind", ["kind"]), ("[\"x y\"]", ["x y"]),
        ("a[]", ["a", "[]"]), ("a[].b", ["a", "[]", "b"]), ("b[\"c.d\"]", ["b", "c.d"]),
        ("b.[\"c.d\"].a", ["b", "c.d", "a"]), ("a[][]", ["a", "[]", "[]"]), ("none", ["none"]),
    ]

    @Test("The most frequent values are those of a naive count, of one path and of two")
    func topModel() throws {
        let seed = SplitMix64.freshSeed()
        print("top: VARVE_SEED=0x\(String(seed, radix: 16))")
        var random = SplitMix64(seed: seed)
        let objects = try fill(&random)
        for round in 0..<40 {
            let first = Self.paths[round % Self.paths.count]
            let second = round < Self.paths.count ? nil : Self.paths.randomElement(using: &random)
            if second?.text == first.text { continue }
            // Of none nothing is read, and nothing said: another test has that.
            let limit = random.oneIn(2) ? 10 : 1 + Int(random.below(99))
            var counts: [String: Int] = [:]
            var without = 1
            for object in objects {
                let firsts = Set(object.values(first.steps[...]).map(\.shown))
                var rows = Set(firsts.map { "{\(Value.quoted(first.text)):\($0)" })
                if let second {
                    let seconds = Set(object.values(second.steps[...]).map(\.shown))
                    rows = Set(
                        rows.flatMap { row in seconds.map { "\(row),\(Value.quoted(second.text)):\($0)" } })
                }
                if rows.isEmpty { without += 1 }
                for row in rows { counts[row + "}", default: 0] += 1 }
            }
            var arguments = [
                "top", store, "--by", first.text + (second.map { ",\($0.text)" } ?? ""), "--json",
            ]
            if limit != 10 { arguments += ["--limit", "\(limit)"] }
            let outcome = try harness.succeed(arguments)
            let lines = outcome.lines
            #expect(lines.count == min(limit, counts.count), "\(arguments)")
            let found = lines.map { line -> (text: String, count: Int) in
                let parts = line.dropFirst(10).dropLast().split(separator: ",", maxSplits: 1)
                return (String(parts[1].dropFirst(9)), Int(parts[0]) ?? -1)
            }
            #expect(
                found.map(\.count) == counts.values.sorted(by: >).prefix(limit).map { $0 }, "\(arguments)")
            for (text, count) in found { #expect(counts[text] == count, "\(arguments): \(text)") }
            #expect(Set(found.map(\.text)).count == found.count)
            #expect(outcome.errors == "varve: note: without a value: \(without) of 301 events\n")
        }
    }

    @Test("The fields are those of a naive walk, with events and types, and paths that --by takes")
    func fieldsModel() throws {
        let seed = SplitMix64.freshSeed()
        print("fields: VARVE_SEED=0x\(String(seed, radix: 16))")
        var random = SplitMix64(seed: seed)
        let objects = try fill(&random)
        var counts: [String: (events: Set<Int>, types: [String: Int])] = [:]
        func walk(_ value: Value, _ path: String, _ number: Int) {
            if !path.isEmpty {
                counts[path, default: ([], [:])].events.insert(number)
                counts[path, default: ([], [:])].types[value.type, default: 0] += 1
            }
            switch value {
            case .array(let values): for value in values { walk(value, path + "[]", number) }
            case .object(let members):
                for (key, value) in members {
                    let isName = key.allSatisfy(\.isLetter)
                    let step =
                        isName
                        ? "\(path.isEmpty && key != "kind" ? "" : ".")\(key)" : "[\(Value.quoted(key))]"
                    walk(value, path + step, number)
                }
            default: break
            }
        }
        for (number, object) in objects.enumerated() { walk(object, "", number) }
        let outcome = try harness.succeed("fields", store, "--json")
        #expect(outcome.errors == "varve: note: no JSON: 1 of 301 events\n")
        let found = try harness.objects(outcome)
        #expect(Set(found.compactMap { $0["path"] as? String }) == Set(counts.keys))
        for object in found {
            let path = try #require(object["path"] as? String)
            #expect(object["events"] as? Int == counts[path]?.events.count, "\(path)")
            #expect(object["types"] as? [String: Int] == counts[path]?.types, "\(path)")
        }
        for object in found.prefix(25) {
            let path = try #require(object["path"] as? String)
            let top = try harness.succeed("top", store, "--by", path, "--limit", "1").errors
            let without = 301 - (object["events"] as? Int ?? 0)
            // What is found in each event is not a value where the array is empty.
            #expect(top == "varve: note: without a value: \(without) of 301 events\n", "\(path)")
        }
    }

    @Test(
        "A table, JSON and CSV of the same values, where texts that look like something else are told apart")
    func forms() throws {
        let lines = #"""
            {"ts":1000,"v":"1","w":"a,\"b\"\nc"}
            {"ts":1000,"v":1,"w":null}
            {"ts":1000,"v":1,"w":null}
            {"ts":1000,"v":"","w":[1]}
            {"ts":1000,"v":true,"w":{}}
            {"ts":1000,"v":"true"}
            {"ts":1000,"v":1.0,"w":"null"}
            """#
        try harness.succeed("record", store, "--session", "s\"", input: Data(lines.utf8))
        #expect(
            try harness.succeed("top", store, "--by", "v").text == """
                events  v
                     2  1
                     1  ""
                     1  "1"
                     1  "true"
                     1  1.0
                     1  true

                """)
        #expect(
            try harness.succeed("top", store, "--by", "w,v", "--limit", "3", "--json").text == #"""
                {"events":2,"values":{"w":null,"v":1}}
                {"events":1,"values":{"w":"a,\"b\"\nc","v":"1"}}
                {"events":1,"values":{"w":"null","v":1.0}}

                """#)
        #expect(
            try harness.succeed("top", store, "--by", "w,v", "--csv").text
                == "events,w,v\r\n2,null,1\r\n1,\"a,\"\"b\"\"\nc\",1\r\n1,null,1.0\r\n1,(array),\r\n1,(object),true\r\n"
        )
        #expect(
            try harness.succeed("top", store, "--by", "w").text == """
                events  w
                     2  null
                     1  a,"b" c
                     1  "null"
                     1  (array)
                     1  (object)

                """)
        #expect(try harness.succeed("top", store, "--by", "kind").text == "events  kind\n     7  event\n")
        #expect(
            try harness.succeed("top", store, "--by", "session,kind", "--json").text
                == #"{"events":7,"values":{"session":"s\"","kind":"event"}}"# + "\n")
        #expect(
            try harness.succeed("top", store, "--by", "session,v", "--limit", "1", "--csv").text
                == "events,session,v\r\n2,\"s\"\"\",1\r\n")
        #expect(
            try harness.succeed("fields", store, "--sequence", "0..3").text == """
                events  path  types
                     4  ts    number
                     4  v     string 2, number 2
                     4  w     string 1, null 2, array 1
                     1  w[]   number

                """)
        #expect(
            try harness.succeed("fields", store, "--limit", "1", "--json").text == #"""
                {"path":"ts","events":1,"types":{"number":1}}
                {"path":"v","events":1,"types":{"string":1}}
                {"path":"w","events":1,"types":{"string":1}}

                """#)
    }

    @Test("The limit is of values and not of events, and the filters choose the events")
    func limits() throws {
        let lines = (0..<50).map { "{\"ts\":\(1000 + $0),\"type\":\"k\($0 % 2)\",\"n\":\($0 % 7)}\n" }
        try harness.succeed("record", store, input: Data(lines.joined().utf8))
        #expect(try harness.succeed("top", store, "--by", "n", "--limit", "3").lines.count == 4)
        #expect(
            try harness.succeed("top", store, "--by", "n", "--limit", "1", "--json").text.hasPrefix(
                #"{"events":8,"#))
        #expect(try harness.succeed("top", store, "--by", "n", "--limit", "0").text == "events  n\n")
        #expect(
            try harness.succeed("top", store, "--by", "kind", "--where", "n == 6", "--json").lines == [
                #"{"events":4,"values":{"kind":"k0"}}"#, #"{"events":3,"values":{"kind":"k1"}}"#,
            ])
        #expect(
            try harness.succeed("top", store, "--by", "n", "--from", "1049").text
                == "events  n\n     1  0\n")
        #expect(try harness.succeed("fields", store, "--limit", "0").text == "events  path  types\n")
        #expect(try harness.succeed("fields", store, "--kind", "none").lines.count == 1)
    }

    @Test("Sessions of one id count together, in one store and in several")
    func sessions() throws {
        let other = harness.path("other")
        for path in [store, store, other] {
            try harness.succeed("record", path, "--session", "s", input: Data("{\"n\":1}\n".utf8))
        }
        #expect(
            try harness.succeed("top", store, other, "--by", "session", "--json").text
                == #"{"events":3,"values":{"session":"s"}}"# + "\n")
        #expect(
            try harness.succeed("top", store, other, "--by", "session,n", "--json").text
                == #"{"events":3,"values":{"session":"s","n":1}}"# + "\n")
        #expect(try harness.succeed("fields", store, other).lines.last == "     3  n     number")
    }

    @Test(
        "What is no path is wrong usage, with the place in it",
        arguments: [
            ("[x", "--by [x: column 2: "), ("", "--by : column 1: "), ("a,,b", "--by : column 1: "),
            ("a.", "--by a.: column 3: "), ("a b", "--by a b: column 2: "), ("5", "--by 5: column 1: "),
            ("**", "--by **: column 1: "), ("a,a", "--by a: given twice"),
            ("kind,kind", "--by kind: given twice"),
            ("[\"a,b", "--by [\"a,b: column "), ("a.[0]", "--by a.[0]: column 3: "),
            // They counted members of those names, beside kind and session, which did not.
            ("sequence", "--by sequence: of what stands beside the payload only kind and session are "),
            ("a,index", "--by index: of what"), ("timestamp", "--by timestamp: of what"),
            ("length", "--by length: of what"),
        ])
    func wrongPaths(path: String, message: String) throws {
        let outcome = try harness.run("top", store, "--by", path)
        #expect(outcome.status == 64 && outcome.output.isEmpty)
        #expect(outcome.errors.hasPrefix("varve: error: \(message)"), "\(outcome.errors)")
        #expect(outcome.errors.split(separator: "\n").count == 1)
    }

    @Test(
        "Commas in quotes do not part paths",
        arguments: [
            ("a,b", ["a", "b"]), ("[\"a,b\"],c", ["[\"a,b\"]", "c"]), ("[\"a\\\",b\"]", ["[\"a\\\",b\"]"]),
            ("[\"a\\\\\"],b", ["[\"a\\\\\"]", "b"]), ("", [""]),
            ("[\"\u{301}a,b\"],c", ["[\"\u{301}a,b\"]", "c"]),
        ])
    func split(text: String, parts: [String]) { #expect(TopColumn.split(text) == parts) }

    // Keys that are words of --where were listed bare, and --where refused them or took them for something else; and --fields
    // took names with dots between alone.
    @Test("Every path that is listed is one of --where, --by and --fields, whatever the keys are")
    func roundTrip() throws {
        let keys = [
            "in", "null", "Null", "not", "NOT", "true", "false", "and", "or", "is", "exists", "contains",
            "has",
            "startswith", "endswith", "matches", "nocase", "any", "all", "size", "time", "number", "lower",
            "kind", "session", "sequence", "index", "timestamp", "length", "Kind", "r", "missing", "empty",
            "5",
            "a.b", "a b", "a-b", "", ".", "[]", "[0]", "a[0]", "\"", "\\", "\\\"", "a,b", "\"],[\"", "**",
            "*",
            "#", "@x", "$", "ä", "\u{301}", "\u{301},", "\n", "\u{1}", "r\"x", "it's", "-1", "(", "!", "_",
        ]
        // In braces and not, since some words mean something before a dot or a bracket alone.
        let inner = keys.map { Value.object([($0, .number("2"))]) }
        let members =
            keys.map { ($0, Value.number("1")) } + [
                ("deep", .array(inner)), ("it", .object([("id", .null)])),
            ]
        let text = Value.object(members).text.replacing("\n", with: "\\n")
            .replacing("\u{1}", with: "\\u0001")
        let nested = keys.map {
            Value.object([($0, .object([("x", .array([.string("y")]))]))]).text.replacing("\n", with: "\\n")
                .replacing("\u{1}", with: "\\u0001")
        }
        try harness.succeed(
            "record", store, "--kind-field", "none", "--time-field", "none",
            input: Data(([text] + nested).map { $0 + "\n" }.joined().utf8))
        let found = try harness.objects(try harness.succeed("fields", store, "--json"))
        let paths = try found.map { try #require($0["path"] as? String) }
        let counts = try found.map { try #require($0["events"] as? Int) }
        // A name of the flat object and of nested ones; its x; the elements of that; and the key within deep.
        #expect(paths.count == keys.count * 4 + 4, "\(paths)")
        for (path, count) in zip(paths, counts) {
            let condition = try WherePredicate("\(path) exists")
            #expect(condition.needsPayload, "\(path)")
            #expect(throws: Never.self, "\(path)") { try FieldColumn.columns(path) }
            // A process each takes long: the ones in depth are the same steps again.
            guard !path.hasPrefix("deep"), !path.hasSuffix("[]") else { continue }
            let matched = try harness.succeed("query", store, "--where", "\(path) exists", "--count").text
            #expect(matched == "\(count)\n", "\(path)")
        }
        let columns = paths.joined(separator: ",")
        let csv = try harness.succeed("query", store, "-o", "csv", "--fields", columns, "--limit", "1")
            .text
        let row = try #require(csv.components(separatedBy: "\r\n").dropLast().last)
        #expect(row.components(separatedBy: ",1").count > keys.count)
        for path in paths
        where !path.hasPrefix("deep") && !path.hasPrefix("it") && !path.hasSuffix("x")
            && !path.hasSuffix("[]")
        {
            let by = try harness.succeed("top", store, "--by", path, "--json").text
            #expect(by.contains(#""events":1,"values":{"#) && by.contains(":1}}"), "\(path): \(by)")
        }
    }

    @Test("A payload that is no object is listed as a dot, which is a path of all options")
    func root() throws {
        try harness.succeed(
            "record", store, "--format", "export",
            input: Data(
                #"""
                {"record":"export","version":1}
                {"record":"session","session":1,"id":"s","started_at":"2026-05-10T12:34:56Z"}
                {"record":"kind","kind":1,"name":"k","encoding":"json"}
                {"record":"event","session":1,"timestamp":"2026-05-10T12:34:56Z","kind":1,"payload_text":"5"}
                {"record":"event","session":1,"timestamp":"2026-05-10T12:34:56Z","kind":1,"payload_text":"[\"a\", 1]"}
                {"record":"event","session":1,"timestamp":"2026-05-10T12:34:56Z","kind":1,"payload_text":"{}"}
                """#.utf8))
        #expect(
            try harness.succeed("fields", store).text == """
                events  path  types
                     3  .     number 1, array 1, object 1
                     1  []    string 1, number 1

                """)
        #expect(try harness.succeed("fields", store, "--sequence", "2").lines.last == "     1  .     object")
        #expect(try harness.succeed("query", store, "--where", ". == 5", "--count").text == "1\n")
        #expect(
            try harness.succeed("top", store, "--by", ".", "--csv").text
                == "events,.\r\n1,5\r\n1,(array)\r\n1,(object)\r\n")
        let csv = try harness.succeed("query", store, "-o", "csv", "--fields", ".,[]").text
        let rows = csv.components(separatedBy: "\r\n").dropFirst().dropLast()
        #expect(
            rows.map { $0.components(separatedBy: ",k,").last } == [
                "5,", #""[""a"", 1]","[""a"",1]""#, "{},",
            ])
    }

    // The whole list was cut at 10,000 without a word, one column's also.
    @Test("What is more than can be counted is said")
    func limitsOfMemory() {
        var counts = ValueCounts(valuesMax: 3, bytesMax: 10, combinationsMax: 4)
        _ = counts.add([[.string("1234")]])
        _ = counts.add([[.string("123456"), .null, .null, .string("1")]])
        _ = counts.add([[.null]])
        let isWithout = !counts.add([[], [.null]])
        #expect(isWithout)
        let top = counts.top(10)
        #expect(top.first?.key == [.null] && top.first?.value == 2)
        #expect(counts.notes.count == 1)
        counts = ValueCounts(combinationsMax: 4)
        let values = (0..<3).map { JSONPathReader.Value.number("\($0)") }
        _ = counts.add([values, values + values, [.null]])
        #expect(counts.top(10).count == 4)
        #expect(
            counts.notes == ["of an event at most 4 combinations of values are counted: 5 are not"])
        _ = counts.add([values + values])
        #expect(counts.top(10).count == 7)
        counts = ValueCounts(valuesMax: 2, bytesMax: 5)
        for text in ["1234", "567", "8", "1234", "9"] { _ = counts.add([[.string(text)]]) }
        #expect(counts.top(5).map(\.value) == [2, 1])
        #expect(
            counts.notes == [
                "there are more different values than are kept (2, and 5 B): 2 of those that came later are not counted"
            ])
    }

    @Test("Clocks are corrected, the limit of fields is one of all stores, and there is no order to reverse")
    func severalStores() throws {
        let other = harness.path("other")
        for (path, lines) in [
            (store, #"{"ts":1000,"n":1}{"ts":1001,"n":2}"#), (other, #"{"ts":100,"n":3}{"ts":101,"m":4}"#),
        ] {
            try harness.succeed("record", path, input: Data(lines.replacing("}", with: "}\n").utf8))
        }
        let range = ["--from", "1001", "--shift", "other=900s"]
        #expect(
            try harness.succeed(["top", store, other, "--by", "n"] + range).text == "events  n\n     1  2\n")
        #expect(
            try harness.succeed(["top", store, other, "--by", "kind"] + range).lines.last == "     2  event")
        #expect(
            try harness.succeed(["fields", store, other] + range).lines.dropFirst() == [
                "     1  m     number", "     1  n     number", "     2  ts    number",
            ])
        let limited = try harness.succeed("fields", store, other, "--limit", "3").lines
        #expect(limited.dropFirst() == ["     3  n     number", "     3  ts    number"])
        for (arguments, message) in [
            (["top", store, "--by", "n", "-r"], "--reverse: "),
            (["top", store, "--by", "n", "--shift", "x=1s"], "--shift x: there is no such store"),
            (["fields", store, "--shift", "x=1s"], "--shift x: there is no such store"),
        ] {
            let outcome = try harness.run(arguments)
            #expect(outcome.status == 64)
            #expect(outcome.errors.hasPrefix("varve: error: \(message)"), "\(outcome.errors)")
        }
    }

    @Test("Columns are paths, or keys with dots in or between them, and keep the names they were given")
    func columns() throws {
        let line =
            #"{"a.b":1,"a":{"b":2,"c.d":{"e":-0}},"x y":"z","it":[{"id":1},{"id":"p; q"},{}],"# + "\n"
            + #" "w[0]":[true , false],"w":[1.50e1],"n":null,"timestamp":[ {"k" : "\"]"} , 12345678901234567890123]}"#
        try harness.succeed(
            "record", store, "--session", "s", "--kind-field", "none", "--time-field", "none",
            input: Data((line.replacing("\n", with: "") + "\n").utf8))
        for (column, cell) in [
            ("a.b", "1"), (".a.b", "2"), ("a[\"b\"]", "2"), ("[\"a.b\"]", "1"), ("a.c.d.e", "-0"),
            ("a[\"c.d\"].e", "-0"), ("x y", "z"), ("[\"x y\"]", "z"), ("it[].id", #"[1,"p; q"]"#),
            ("it[1].id", "p; q"), ("it[].none", ""), ("w[0]", "[true , false]"), (".w[0]", "1.50e1"),
            ("n", ""), (".timestamp", #"[ {"k" : "\"]"} , 12345678901234567890123]"#),
            ("timestamp[1]", "12345678901234567890123"), ("timestamp[0]", #"{"k" : "\"]"}"#), ("a.none", ""),
        ] {
            for command in ["query", "tail"] {
                let csv = try harness.succeed(command, store, "-o", "csv", "--fields", column).text
                func quoted(_ text: String) -> String {
                    text.contains { "\",".contains($0) } ? "\"\(text.replacing("\"", with: "\"\""))\"" : text
                }
                let rows = csv.components(separatedBy: "\r\n")
                #expect(rows[0].hasSuffix(",kind,\(quoted(column))"), "\(column)")
                #expect(rows[1].hasSuffix(",event,\(quoted(cell))"), "\(column): \(rows[1])")
            }
        }
        for (columns, message) in [
            ("a,,b", "--fields : column 1: "), ("a..b", "--fields a..b: column 3: "),
            ("x,a[", "--fields a[: column 3: "), (".a b", "--fields .a b: column 3: "),
            ("a.", "--fields a.: "),
        ] {
            let outcome = try harness.run("query", store, "-o", "table", "--fields", columns)
            #expect(outcome.status == 64)
            #expect(outcome.errors.hasPrefix("varve: error: \(message)"), "\(outcome.errors)")
        }
    }
}
