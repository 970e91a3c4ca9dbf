import Testing
import VarveJSON

@Suite struct LineParserTests {
    /// A parser's answer with the kind as text, and the same through both ways in.
    static func parse(_ line: String, time: [String]? = nil, kind: [String]? = nil) -> (
        LineParser.Result, String?
    ) {
        let parser = LineParser(timeFields: time, kindFields: kind, defaultOffsetSeconds: 0)
        let padded = Array(line.utf8) + [UInt8](repeating: 0x22, count: 64)
        return padded.withUnsafeBytes { bytes in
            let bytes = UnsafeRawBufferPointer(rebasing: bytes[..<line.utf8.count])
            let copied = parser.parse(bytes, isPadded: false)
            let copiedKind = copied.kind.map { String(decoding: $0, as: UTF8.self) }
            let result = parser.parse(bytes, isPadded: true)
            let kind = result.kind.map { String(decoding: $0, as: UTF8.self) }
            #expect(
                copied.isJSON == result.isJSON && copied.timestamp == result.timestamp && copiedKind == kind)
            return (result, kind)
        }
    }

    @Test(
        "The time is the first usable one",
        arguments: [
            (#"{"timestamp":"1970-01-01T00:00:01Z","ts":5}"#, 1_000_000_000, 0),
            (#"{"ts":5,"timestamp":"1970-01-01T00:00:01Z"}"#, 1_000_000_000, 0),
            (#"{"timestamp":"yesterday","ts":5}"#, 5_000_000_000, 3),
            (
                #"{"timestamp":null,"@timestamp":{"a":1},"time":[2],"ts":"1970-01-01T00:00:00.5Z"}"#,
                500_000_000, 3
            ),
            (#"{"timestamp":true}"#, nil, -1),
            (#"{"timestamp":18446744073709551615,"time":1}"#, 1_000_000_000, 2),
            (
                #"{"a":"\"}{[","b":[1,[2,"]"],{"c":"}"}] , "time" : 1715000000.123456789 }"#,
                1_715_000_000_123_456_789, 2
            ),
            (#"{"time":1715000000.1234567890123456789012345}"#, 1_715_000_000_123_456_789, 2),
            (#"{"time":1.715000000123456789e9}"#, 1_715_000_000_123_456_789, 2),
            (#"{"time":1e300,"ts":2}"#, 2_000_000_000, 3),
            (#"{"tim\u0065":1.5}"#, 1_500_000_000, 2), (#"{"time":1.25,"time":2}"#, 1_250_000_000, 2),
            (#"{"times":1}"#, nil, -1), ("[1]", nil, -1), ("3.5", nil, -1), (#""timestamp""#, nil, -1),
            ("{}", nil, -1),
        ] as [(String, Int64?, Int)])
    func time(line: String, time: Int64?, field: Int) {
        let (result, _) = Self.parse(line)
        #expect(result.isJSON)
        #expect(result.timestamp == time)
        #expect(result.timeField == field)
    }

    @Test(
        "The kind is the first text or number, as it is written",
        arguments: [
            (#"{"type":"Console"}"#, "Console", 0), (#"{"event":"e","type":"t"}"#, "t", 0),
            (#"{"type":{"a":1},"kind":null,"event":4624}"#, "4624", 2), (#"{"type":-0}"#, "-0", 0),
            (#"{"x":{"type":9},"type":1.50e2 }"#, "1.50e2", 0),
            (#"{"type":18446744073709551615}"#, "18446744073709551615", 0),
            (#"{"type":"a\u00e9\n\ud83d\ude00"}"#, "aé\n😀", 0), (#"{"type":""}"#, "", 0),
            (#"{"type":true}"#, nil, -1),
            (#"{"a":1}"#, nil, -1),
        ] as [(String, String?, Int)])
    func kind(line: String, kind: String?, field: Int) {
        let (result, found) = Self.parse(line)
        #expect(result.isJSON)
        #expect(found == kind)
        #expect(result.kindField == field)
    }

    @Test("A path is a whole key before it is keys with dots between")
    func paths() {
        let nested = Self.parse(#"{"a":{"b":{"c":7.5}},"k":{"n":12}}"#, time: ["a.b.c"], kind: ["k.n"])
        #expect(nested.0.timestamp == 7_500_000_000)
        #expect(nested.1 == "12")
        let whole = Self.parse(#"{"a":{"b":1},"a.b":2}"#, time: ["a.b"], kind: ["a.b"])
        #expect(whole.0.timestamp == 2_000_000_000)
        #expect(whole.1 == "2")
        let missing = Self.parse(#"{"a":{"b":[1]},"x":1}"#, time: ["a.b.c", "a.c", "x.y"], kind: [""])
        #expect(missing.0.timestamp == nil)
        #expect(missing.1 == nil)
        #expect(Self.parse(#"{"":3,"x":{"":4}}"#, time: ["x."], kind: [""]).1 == "3")
        #expect(Self.parse(#"{"":3,"x":{"":4}}"#, time: ["x."], kind: [""]).0.timestamp == 4_000_000_000)
        let deep = String(repeating: "a.", count: 3000) + "a"
        #expect(Self.parse(#"{"a":{"a":1}}"#, time: [deep], kind: []).0.timestamp == nil)
    }

    @Test("Numbers wider than 64 bits or a double are JSON, and keep their text")
    func wideNumbers() {
        let big = "340282366920938463463374607431768211456"
        let (result, kind) = Self.parse(
            #"{"id":\#(big),"s":"1e999 \" 2","type":\#(big),"ts":1715000000,"l":[1e999,-7]}"#)
        #expect(result.isJSON)
        #expect(kind == big)
        #expect(result.timestamp == 1_715_000_000_000_000_000)
        #expect(Self.parse(#"{"ts":\#(big)}"#).0.isJSON)
        #expect(Self.parse(#"{"ts":\#(big)}"#).0.timestamp == nil)
        #expect(Self.parse(#"{"ts":1e999,"type":1E+999}"#).1 == "1E+999")
        #expect(
            Self.parse(#"{"x":1e999,"ts":1715000000.123456789}"#).0.timestamp == 1_715_000_000_123_456_789)
        #expect(Self.parse("-\(big)").0.isJSON)
    }

    @Test("A parser carries nothing from one line to the next")
    func noCarry() {
        let parser = LineParser(timeFields: nil, kindFields: nil, defaultOffsetSeconds: 0)
        #expect(
            raw(#"{"ts":1.5,"type":"a"}"#) { parser.parse($0, isPadded: false).timestamp } == 1_500_000_000)
        for line in ["{}", "{", "", #"{"ts":1.5"#, "[]"] {
            let result = raw(line) { parser.parse($0, isPadded: false) }
            #expect(
                result.timestamp == nil && result.timeField == -1 && result.kindField == -1
                    && result.kind == nil)
        }
    }
}

@Suite struct JSONTextTests {
    @Test(
        "What isn't one JSON document is refused",
        arguments: [
            "", " ", "{", "}", "[1", "[1]]", "[1] x", "{} {}", "1 2", "[1,]", "[,1]", "{\"a\":1,}", "{\"a\"}",
            "{a:1}",
            "{\"a\":}", "{'a':1}", "[1 2]", "nul", "nulll", "truex", "TRUE", "NaN", "Infinity", "-", "+1",
            "01", "-01", "1.",
            ".5", "1e", "1e+", "0x1", "1_000", "\"abc", "[1e999,--1]", "[1e999,-1e999x]", "[1e999 1]",
            "{1e999:1}", "[1e999,01]", "[1e999,tru1.5]", "[1e999,1.5.5]", "[1e999,\"1.5]", "\"a\\x\"",
            "\"\\u12\"", "\"\\u12g4\"", "\"a\tb\"",
            "\"a\nb\"",
            "\"\\ud800\"", "\"\\ud800x\"", "\"\\ud800\\u0041\"", "\"\\ud800\\ud800\"", "\"\\udc00\"",
            "\"a\\udfff\\ud800\"", "{\"\\udc00\":1}", "[\"\\\"]", "// c\n1", "\u{FEFF}{}", "\u{0}",
            "{}\u{0}",
        ])
    func refuses(text: String) {
        let validator = JSONValidator()
        #expect(!raw(text) { validator.isValid($0) })
        #expect(!raw(text) { JSONText.isValid($0) })
        let padded = Array(text.utf8) + [UInt8](repeating: 0x5D, count: 64)
        #expect(
            !padded.withUnsafeBytes {
                validator.isValid(.init(rebasing: $0[..<text.utf8.count]), isPadded: true)
            })
    }

    @Test(
        "What is one JSON document is taken",
        arguments: [
            "{}", "[]", "null", "true", "false", "0", "-0", "1.5e-7", "\"\"", " {\"a\" : [1, 2]} \n",
            "\"\\ud83d\\ude00\"",
            "\"\\/\\b\\f\\n\\r\\t\\\\\\\"\"", "18446744073709551615", "-9223372036854775808", "\"\u{7F}é😀\"",
        ])
    func takes(text: String) { #expect(raw(text) { JSONText.isValid($0) }) }

    @Test(
        "Bytes that aren't UTF-8 are no text and no JSON",
        arguments: [
            [0x80], [0xC3], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xFF], [0xE2, 0x82],
            [0xF8, 0x88, 0x80, 0x80, 0x80],
        ] as [[UInt8]])
    func badUTF8(bytes: [UInt8]) {
        #expect(!bytes.withUnsafeBytes { JSONText.isUTF8($0) })
        #expect(!([0x22] + bytes + [0x22]).withUnsafeBytes { JSONText.isValid($0) })
        #expect(raw("aé😀") { JSONText.isUTF8($0) })
        #expect(raw("") { JSONText.isUTF8($0) })
    }

    @Test("Nesting is taken to a depth, and refused beyond it without harm")
    func depth() {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(raw(nested(1000)) { JSONText.isValid($0) })
        #expect(!raw(nested(2000)) { JSONText.isValid($0) })
        #expect(!raw(nested(200_000)) { JSONText.isValid($0) })
        #expect(!raw(String(repeating: "{\"a\":", count: 100_000)) { JSONText.isValid($0) })
    }

    @Test("No cut of a document is a document")
    func cuts() {
        let text = Array(#"{"a":[1.5,true,null,"x\u00e9\\"],"b":{"c":-12e3,"d":"é"}}"#.utf8)
        let validator = JSONValidator()
        for end in 0..<text.count {
            #expect(!text[..<end].withUnsafeBytes { validator.isValid($0) }, "cut at \(end)")
        }
        #expect(text.withUnsafeBytes { validator.isValid($0) })
    }

    @Test(
        "Compact is valid without line breaks or white space around",
        arguments: [
            ("{}", true), ("{\"a\": 1}", true), (" {}", false), ("{} ", false), ("{\n}", false),
            ("{\r}", false), ("{", false),
            ("", false), ("7", true),
        ])
    func compact(text: String, is expected: Bool) {
        #expect(raw(text) { JSONText.isCompact($0) } == expected)
    }
}
