import Foundation
import Testing
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
            let limit = random.oneIn(2) ? 10 : Int(random.below(100))
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
            try harness.succeed("top", store, "--by", "n", "--from", "1049", "-r").text
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
        ])
    func split(text: String, parts: [String]) { #expect(TopColumn.split(text) == parts) }
}
