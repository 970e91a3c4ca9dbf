import Testing
import VarveJSON

@Suite("Documents that arrive in pieces") struct JSONStreamReaderTests {
    /// Gives the bytes in pieces.
    static func source(_ bytes: [UInt8], pieces: Int) -> JSONStreamReader.Source {
        var position = 0
        return { room in
            let count = min(pieces, room.count, bytes.count - position)
            room.copyBytes(from: bytes[position..<position + count])
            position += count
            return count
        }
    }

    static func reader(
        _ text: String, pieces: Int = .max, valueBytesMax: Int = JSONStreamReader.valueBytesMax
    ) -> JSONStreamReader {
        JSONStreamReader(
            chunkBytes: 16, valueBytesMax: valueBytesMax, source: source(Array(text.utf8), pieces: pieces))
    }

    /// The members of a document that is an object; those under `in` are stepped into, as arrays.
    static func walk(_ reader: JSONStreamReader) throws -> [String] {
        var found: [String] = []
        func add(_ what: String) throws {
            let value = try reader.value()
            found.append("\(what) \(String(decoding: value.bytes, as: UTF8.self)) \(value.byteOffset)")
        }
        try reader.beginObject()
        while let key = try reader.nextKey() {
            found.append("key \(key.name) \(key.byteOffset)")
            guard key.name == "in" else {
                try add("value")
                continue
            }
            try reader.beginArray()
            while try reader.nextElement() { try add("element") }
        }
        try reader.finish()
        return found
    }

    /// What is wrong with a document of any bytes.
    static func fault(_ bytes: [UInt8], pieces: Int = .max) -> JSONStreamError? {
        let reader = JSONStreamReader(chunkBytes: 16, source: source(bytes, pieces: pieces))
        return #expect(throws: JSONStreamError.self) { try walk(reader) }
    }

    static let example =
        #" {"a" : [1, "x\"]}", {"k":[]} ,null ], "in":[ 1,[2, 3 ] , {"x" : "é]\\"},"" ] ,"k\u0065y":{"b":{}}, "é": -1.5e3 ,"in":[]} "#

    @Test("A document is walked alike in pieces of any size")
    func pieces() throws {
        let expected = [
            "key a 2", #"value [1, "x\"]}", {"k":[]} ,null ] 8"#, "key in 39", "element 1 46",
            "element [2, 3 ] 48", #"element {"x" : "é]\\"} 58"#, #"element "" 74"#, "key key 80",
            #"value {"b":{}} 91"#, "key é 101", "value -1.5e3 107", "key in 115",
        ]
        for pieces in 1...Self.example.utf8.count {
            #expect(try Self.walk(Self.reader(Self.example, pieces: pieces)) == expected, "\(pieces)")
        }
    }

    @Test("A document that is cut at any byte ends early, there")
    func cuts() {
        let bytes = Array(Self.example.utf8).dropLast()
        for cut in 0..<bytes.count {
            for pieces in [1, 7, .max] {
                #expect(
                    Self.fault(Array(bytes[..<cut]), pieces: pieces)?.byteOffset == UInt64(cut),
                    "cut at \(cut)")
            }
        }
    }

    @Test(
        "What is wrong is said with its place",
        arguments: [
            ("", 0, "ends early"), (" \n", 2, "ends early"), ("[]", 0, "not an object"),
            ("1", 0, "not an object"), ("x", 0, ""), ("{,}", 1, "a key"), ("{a:1}", 1, "a key"),
            (#"{"a" 1}"#, 5, "a colon"), (#"{"a":}"#, 5, "a value"), (#"{"a":,}"#, 5, "a value"),
            (#"{"a":1 "b":2}"#, 7, "a comma"), (#"{"a":1,}"#, 7, "after a comma"),
            (#"{"a":1]"#, 6, "a comma"),
            (#"{"a":tru}"#, 8, ""), (#"{"a":01}"#, 6, ""), (#"{"a":1x}"#, 6, ""),
            (#"{"a":1 x}"#, 7, "a comma"),
            (#"{"a":1}x"#, 7, "the end"), (#"{"a":1}{}"#, 7, "the end"), (#"{"a":[1}"#, 7, ""),
            (#"{"a":[1,]}"#, 8, ""), (#"{"a":{"b" 1}}"#, 10, ""), ("{\"a\":\"\u{1}\"}", 6, ""),
            (#"{"a":"\x"}"#, 6, ""), (#"{"a":"\ud800"}"#, 6, ""), (#"{"\ud800":1}"#, 2, ""),
            (#"{"in":{}}"#, 6, "not an array"), (#"{"in":[1,]}"#, 9, "after a comma"),
            (#"{"in":[,1]}"#, 7, "a value"), (#"{"in":[1 2]}"#, 9, "a comma"), ("{\"a\":\u{0}}", 5, ""),
            ("\u{FEFF}{\"a\":tru}", 11, ""), ("\u{FEFF}\u{FEFF}{}", 3, ""), ("{}\u{FEFF}", 2, "the end"),
        ] as [(String, UInt64, String)])
    func wrong(text: String, offset: UInt64, reason: String) {
        for pieces in [1, 2, 5, .max] {
            let error = Self.fault(Array(text.utf8), pieces: pieces)
            #expect(error?.byteOffset == offset)
            #expect(reason.isEmpty || error?.reason.contains(reason) == true)
            #expect(error?.reason.isEmpty == false)
        }
    }

    @Test(
        "Bytes that aren't UTF-8 are refused in keys, strings and elsewhere, with their place",
        arguments: [
            ("{\"", "\":1}"), ("{\"a\":\"é", "\"}"), ("{\"a\":[\"", "\"]}"), ("{\"a\":", "}"), ("{", "}"),
        ])
    func notUTF8(before: String, after: String) {
        for bytes: [UInt8] in [
            [0x80], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82],
        ] {
            let error = Self.fault(Array(before.utf8) + bytes + Array(after.utf8))
            #expect(error?.byteOffset == UInt64(before.utf8.count))
        }
    }

    @Test("Objects and arrays may be nested 127 deep, the document's own included, and not deeper")
    func depth() throws {
        func nested(_ depth: Int, in key: String = "a") -> String {
            "{\"\(key)\":" + String(repeating: "[", count: depth - 1)
                + String(repeating: "]", count: depth - 1)
                + "}"
        }
        _ = try Self.walk(Self.reader(nested(127)))
        _ = try Self.walk(Self.reader(nested(127, in: "in")))
        for pieces in [1, .max] {
            #expect(Self.fault(Array(nested(128).utf8), pieces: pieces)?.byteOffset == 5 + 126)
            #expect(Self.fault(Array(nested(128, in: "in").utf8), pieces: pieces)?.byteOffset == 6 + 126)
        }
        #expect(Self.fault(Array(String(repeating: "{\"a\":", count: 100_000).utf8))?.byteOffset == 127 * 5)
    }

    @Test("Stepping into the 128th level is refused")
    func depthOfSteps() throws {
        let reader = Self.reader(String(repeating: "[", count: 128))
        for _ in 0..<127 {
            try reader.beginArray()
            _ = try reader.nextElement()
        }
        let error = #expect(throws: JSONStreamError.self) { try reader.beginArray() }
        #expect(error?.byteOffset == 127)
    }

    @Test(
        "A value may be as long as the limit, and no longer, in pieces of any size",
        arguments: ["\"123456\"", "[1,2,34]", "12345678", "{\"a\": 1}"])
    func longest(value: String) throws {
        let longer = value.replacing("1", with: "11", maxReplacements: 1)
        for pieces in 1...16 {
            _ = try Self.walk(Self.reader("{\"a\":\(value)}", pieces: pieces, valueBytesMax: 8))
            let error = #expect(throws: JSONStreamError.self) {
                try Self.walk(Self.reader("{\"a\":\(longer)}", pieces: pieces, valueBytesMax: 8))
            }
            #expect(error?.byteOffset == 5)
            #expect(error?.reason == "longer than 8 bytes")
        }
    }

    @Test("An endless value is refused once it is over the limit, and never held")
    func endless() throws {
        for start in ["{\"a\":\"", "{\"a\":[", "{\"a\":1", "{\""] {
            var given = 0
            let reader = JSONStreamReader(valueBytesMax: 1 << 20) { room in
                room.initializeMemory(as: UInt8.self, repeating: UInt8(ascii: "1"))
                if given == 0 { room.copyBytes(from: start.utf8) }
                given += room.count
                return room.count
            }
            #expect(throws: JSONStreamError.self) { try Self.walk(reader) }
            #expect(reader.bufferBytes <= (1 << 20) + (128 << 10) && given <= 2 << 20)
        }
    }

    @Test("A byte order mark before the document is skipped, and counted")
    func byteOrderMark() throws {
        for pieces in 1...4 {
            #expect(
                try Self.walk(Self.reader("\u{FEFF} {\"a\":1}", pieces: pieces)) == ["key a 5", "value 1 9"])
        }
    }

    @Test("Memory does not grow with the document, and that of one huge value is given back")
    func memory() throws {
        let huge = String(repeating: "x", count: 5 << 20)
        var left = 200_000
        var piece = Array("{\"in\":[\"\(huge)\"".utf8)
        var largest = 0
        let reader = JSONStreamReader { room in
            if piece.isEmpty, left > 0 {
                piece = Array((left == 1 ? "]}" : ",\(left)").utf8)
                left -= 1
            }
            let count = min(piece.count, room.count)
            room.copyBytes(from: piece[..<count])
            piece.removeFirst(count)
            return count
        }
        try reader.beginObject()
        #expect(try reader.nextKey()?.name == "in")
        try reader.beginArray()
        #expect(try reader.nextElement())
        #expect(try reader.value().bytes.count == huge.utf8.count + 2)
        #expect(reader.bufferBytes > 5 << 20)
        for _ in 0..<20_000 where try reader.nextElement() { _ = try reader.value() }
        while try reader.nextElement() {
            _ = try reader.value()
            largest = max(largest, reader.bufferBytes)
        }
        #expect(largest < 128 << 10)
        #expect(try reader.nextKey() == nil)
        try reader.finish()
    }

    @Test("What the source throws comes out as it is")
    func sourceError() {
        struct Broken: Error {}
        let reader = JSONStreamReader { _ in throw Broken() }
        #expect(throws: Broken.self) { try reader.beginObject() }
    }
}
