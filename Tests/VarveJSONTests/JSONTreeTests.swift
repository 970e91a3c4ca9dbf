import Testing

@testable import VarveJSON

@Suite("Values of JSON") struct JSONTreeTests {
    static func tree(_ text: String) throws -> JSONTree {
        try #require(raw(text) { JSONText.isValid($0) }, "\(text)")
        return raw(text) { JSONTree(validated: $0) }
    }

    @Test(
        "What means the same is equal, and has the same hash",
        arguments: [
            (#"{"a":1,"b":[2,3]}"#, " { \"b\" : [ 2 , 3 ] ,\n\"a\" : 1 } "), ("\"é\"", #""\u00e9""#),
            (#""\/\b\f\n\r\t\"\\""#, #""/\u0008\u000C\u000a\u000d\u0009\u0022\u005c""#),
            ("\"😀\"", #""\uD83D\uDE00""#), (#"{"\u0061":1}"#, #"{"a":1}"#), ("1.5", "1.50"), ("1.5", "15e-1"),
            ("1.5", "0.15E+1"), ("1e2", "100.0"), ("100e0", "1e002"), ("0.0", "0e5"),
            ("0.0", "0.000e999999999999999999999"),
            ("-0.0", "-0e0"), ("1e999", "10e998"), ("0.001", "1e-3"), (#"{"a":1,"a":2}"#, #"{"a":2}"#),
            ("[ ]", "[]"),
            ("{ }", "{}"), ("1e99999999999999999999", "1e99999999999999999999"),
        ])
    func equal(left: String, right: String) throws {
        #expect(try Self.tree(left) == Self.tree(right))
        #expect(try Self.tree(left).hashValue == Self.tree(right).hashValue)
    }

    @Test(
        "What does not mean the same is not equal",
        arguments: [
            ("1", "1.0"), ("1", "1e0"), ("0", "-0"), ("0.0", "-0.0"), ("0", "0.0"), ("1", "\"1\""),
            ("1", "-1"),
            ("18446744073709551615", "18446744073709551614"),
            ("18446744073709551615", "18446744073709551616"),
            ("9007199254740992", "9007199254740993"), ("0.1", "0.1000000000000000055511151231257827"),
            ("10", "100"),
            ("1e999", "1e998"), ("1e99999999999999999999", "1e99999999999999999998"), ("null", "false"),
            ("true", "false"), ("\"\"", "null"), ("[]", "{}"), ("[1,2]", "[2,1]"), ("[1]", "[1,1]"),
            ("[[]]", "[]"),
            (#"{"a":1}"#, #"{"a":2}"#), (#"{"a":1}"#, #"{"b":1}"#), (#"{"a":1}"#, #"{"a":1,"b":null}"#),
            ("\"\u{E9}\"", "\"e\u{301}\""), ("{\"\u{E9}\":1}", "{\"e\u{301}\":1}"), ("\"a\"", "\"A\""),
            ("\"\\u0000\"", "\"\""),
        ])
    func unequal(left: String, right: String) throws {
        #expect(try Self.tree(left) != Self.tree(right))
        #expect(try Self.tree(left) == Self.tree(left))
    }
}

@Suite("Nodes of a document") struct JSONNodeReaderTests {
    @Test("Members come in their order with their places, those with the same key too")
    func members() throws {
        let text =
            #" { "a" : 1.50 , "é\n":{"a":[]}, "a":"x\"}" ,"":18446744073709551616,"b":-5,"c":18446744073709551615 } "#
        let bytes = Array(text.utf8)
        try bytes.withUnsafeBytes { document in
            let reader = JSONNodeReader()
            let root = try reader.parse(document)
            #expect(root.kind == .object && root.range == 1..<bytes.count - 1)
            var found: [String] = []
            var members = reader.members(of: root)
            while let member = members.next() {
                let value = String(decoding: document[member.range], as: UTF8.self)
                found.append(
                    "\(String(decoding: member.key, as: UTF8.self))=\(value) \(member.unsigned ?? 0)")
                #expect(document[member.keyOffset] == UInt8(ascii: "\""))
            }
            #expect(
                found == [
                    "a=1.50 0", "é\n={\"a\":[]} 0", "a=\"x\\\"}\" 0", "=18446744073709551616 0", "b=-5 0",
                    "c=18446744073709551615 18446744073709551615",
                ])
        }
    }

    @Test(
        "Values that are no objects have no members", arguments: ["[1]", "1", "\"\"", "null", "{}", "true"])
    func none(text: String) throws {
        try Array(text.utf8).withUnsafeBytes { document in
            let reader = JSONNodeReader()
            var members = reader.members(of: try reader.parse(document))
            #expect(members.next() == nil)
        }
    }

    @Test("The place of what is wrong is found wherever simdjson refuses a document, and nowhere else")
    func faults() {
        let seed = UInt64.random(in: .min ... .max)
        var random = Seeded(state: seed)
        let documents = [
            #"{"a":[1.5,true,null,"x\u00e9\ud83d\ude00\\"],"b":{"c":-12e3,"d":"é😀€"},"e":false}"#,
            "[1,[],{},\"\"]",
        ].map { Array($0.utf8) }
        let bytes: [UInt8] =
            Array("{}[]\",:\\u0dDeE.+-1tfn \t\n".utf8) + [0, 0x1F, 0x7F, 0x80, 0xC3, 0xE2, 0xED, 0xF0, 0xFF]
        let validator = JSONValidator()
        var wrong = 0
        for _ in 0..<40_000 {
            var document = documents[Int(random.next() % 2)]
            for _ in 0...random.next() % 3 {
                let index = Int(random.next() % UInt64(document.count))
                let byte = bytes[Int(random.next() % UInt64(bytes.count))]
                switch random.next() % 4 {
                case 0: document.insert(byte, at: index)
                case 1: document.remove(at: index)
                case 2: document.removeLast(min(document.count - 1, index / 8))
                default: document[index] = byte
                }
            }
            document.withUnsafeBytes { raw in
                let fault = JSONFault.offset(in: raw)
                #expect((fault == nil) == validator.isValid(raw), "seed \(seed): \(document)")
                if fault != nil { wrong += 1 }
            }
        }
        #expect(wrong > 10_000)
    }
}
