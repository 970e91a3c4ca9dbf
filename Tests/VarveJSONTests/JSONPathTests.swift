import Testing

@testable import VarveJSON

@Suite("A path into JSON")
struct JSONPathTests {
    private func tree(_ text: String) throws -> JSONTree {
        try Array(text.utf8).withUnsafeBytes { bytes in
            _ = try JSONNodeReader().parse(bytes)
            return JSONTree(validated: bytes)
        }
    }

    static let removals: [(path: String, value: String, rest: String)] = [
        ("a", #"{"a":1,"b":2}"#, #"{"b":2}"#),
        (".a", #"{"a":1,"b":2}"#, #"{"b":2}"#),
        ("a.b", #"{"a":{"b":1,"c":2}}"#, #"{"a":{"c":2}}"#),
        ("a[1]", #"{"a":[1,2,3]}"#, #"{"a":[1,null,3]}"#),
        ("a[].id", #"{"a":[{"id":1,"x":2},3,{"id":4}]}"#, #"{"a":[{"x":2},3,{}]}"#),
        ("[]", "[1,[2],3]", "[null,null,null]"),
        ("[0][1].x", #"[[0,{"x":1}],2]"#, "[[0,{}],2]"),
        (#"["a.b"]"#, #"{"a.b":1,"a":{"b":2}}"#, #"{"a":{"b":2}}"#),
        (#"["a.b"].c"#, #"{"a.b":{"c":1}}"#, #"{"a.b":{}}"#),
        (#"a["]\"é"]"#, #"{"a":{"]\"\u00e9":1}}"#, #"{"a":{}}"#),
        ("@timestamp", #"{"@timestamp":1}"#, "{}"),
        // What is not there is not missed.
        ("a.b.c", #"{"a":1}"#, #"{"a":1}"#), ("a", "[1]", "[1]"), ("[5]", "[1]", "[1]"),
        ("[0]", #"{"0":1}"#, #"{"0":1}"#),
    ]

    @Test("takes away what it names, and nothing else", arguments: removals)
    func removal(path: String, value: String, rest: String) throws {
        #expect(try tree(value).removing(JSONPath(path)) == tree(rest))
        #expect(try JSONPath(path).description == path)
    }

    @Test(
        "that is none is refused with the place of the fault",
        arguments: [
            ("", 1), (".", 2), ("a.", 3), ("a..b", 3), ("1a", 1), ("a b", 2), ("a[", 3), ("a[x]", 3),
            ("a[1", 4),
            ("a[\"x]", 6), ("a[\"x\"", 6), ("[\"\\q\"]", 2), ("a]", 2), ("é", 1),
            ("a[99999999999999999999]", 23),
            ("a[-1]", 3), ("a[\"\\", 5),
        ])
    func fault(text: String, column: Int) {
        #expect { try JSONPath(text) } throws: { error in
            (error as? JSONPath.Fault)?.column == column && (error as? JSONPath.Fault)?.path == text
        }
    }

    @Test(
        "is found for the first place where two values differ",
        arguments: [
            ("1", "1", nil), ("1", "1.0", ""), (#"{"a":1}"#, #"{"a":2}"#, "a"),
            (#"{"a":1}"#, #"{"b":1}"#, "a"),
            (#"{"a":{"b":[1,2]}}"#, #"{"a":{"b":[1,3]}}"#, "a.b[1]"),
            ("[1,[2,{\"x\":1}]]", "[1,[2,{\"x\":[]}]]", "[1][1].x"),
            ("[1]", "[1,2]", "[1]"), (#"{"x y":1}"#, #"{"x y":2}"#, #"["x y"]"#),
            (#"{"":1}"#, #"{"":2}"#, #"[""]"#),
            (#"{"a":{"x.y":1}}"#, #"{"a":{"x.y":2}}"#, #"a["x.y"]"#),
            (#"{"b":1,"a":1}"#, #"{"b":2,"a":2}"#, "a"),
            (#"{"a":1}"#, "[1]", ""), (#"{"[":{"a":1}}"#, #"{"[":{"a":2}}"#, #"["["].a"#),
        ] as [(String, String, String?)])
    func difference(left: String, right: String, path: String?) throws {
        #expect(try tree(left).firstDifference(from: tree(right)) == path)
        #expect(try tree(right).firstDifference(from: tree(left)) == path)
    }
}
