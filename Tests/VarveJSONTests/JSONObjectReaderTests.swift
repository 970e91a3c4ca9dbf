import Testing
import VarveJSON

@Suite struct JSONObjectReaderTests {
    static func reader(_ line: String) throws -> JSONObjectReader {
        let reader = JSONObjectReader()
        try Array(line.utf8).withUnsafeBytes { try reader.parse($0) }
        return reader
    }

    @Test("Members are read exactly")
    func members() throws {
        let reader = try Self.reader(
            #"{"s":"a\u0000é","i":-9223372036854775808,"u":18446744073709551615,"t":true,"f":false,"n":null,"m":{"k":"v","":""}}"#
        )
        #expect(try reader.string("s") == "a\u{0}é")
        #expect(try reader.bytes(ofString: "s") == Array("a\u{0}é".utf8))
        #expect(try reader.int64("i") == .min)
        #expect(try reader.uint64("u") == .max)
        #expect(try reader.bool("t") == true)
        #expect(try reader.bool("f") == false)
        #expect(try reader.stringMap("m") == ["k": "v", "": ""])
        #expect(reader.has("n") && !reader.has("x"))
    }

    @Test("Missing and null members are nil")
    func missing() throws {
        let reader = try Self.reader(#"{"n":null}"#)
        for key in ["n", "x", ""] {
            #expect(try reader.string(key) == nil)
            #expect(try reader.bytes(ofString: key) == nil)
            #expect(try reader.int64(key) == nil)
            #expect(try reader.uint64(key) == nil)
            #expect(try reader.bool(key) == nil)
            #expect(try reader.stringMap(key) == nil)
        }
        #expect(reader.rawValue("x") == nil)
        #expect(reader.rawValue("n") == 5..<9)
    }

    @Test("A member of another type is an error that names it")
    func wrongType() throws {
        let reader = try Self.reader(
            #"{"s":"1","i":1,"u":18446744073709551615,"d":1.0,"neg":-1,"m":{"k":1},"a":[]}"#)
        for key in ["i", "d", "m", "a"] {
            let error = #expect(throws: JSONLineError.self) { try reader.string(key) }
            #expect(error?.key == key)
            #expect(throws: JSONLineError.self) { try reader.bytes(ofString: key) }
        }
        for key in ["s", "u", "d", "m"] { #expect(throws: JSONLineError.self) { try reader.int64(key) } }
        for key in ["s", "neg", "d"] { #expect(throws: JSONLineError.self) { try reader.uint64(key) } }
        for key in ["s", "i"] { #expect(throws: JSONLineError.self) { try reader.bool(key) } }
        for key in ["s", "a", "m"] { #expect(throws: JSONLineError.self) { try reader.stringMap(key) } }
    }

    @Test("A number that is too wide is an error, and its neighbours are still exact")
    func wideNumbers() throws {
        let reader = try Self.reader(
            #"{"big":18446744073709551616,"low":-9223372036854775809,"max":18446744073709551615,"i":-5}"#)
        for key in ["big", "low"] {
            #expect(throws: JSONLineError.self) { try reader.int64(key) }
            #expect(throws: JSONLineError.self) { try reader.uint64(key) }
        }
        #expect(try reader.uint64("max") == .max)
        #expect(try reader.int64("i") == -5)
        #expect(reader.rawValue("big") == 7..<27)
    }

    @Test(
        "A raw value is the member's exact bytes",
        arguments: [
            "1.50", "-0", "1e5", "true", "null", "\"a\\\"}\\\\\"", "{}", "[]",
            "{ \"a\" : [ 1 , {\"b\":\"]}\"} ] }", "[[[]],[{}]]",
            "\"é\"", "18446744073709551615", "[\"\\\\\"]",
        ])
    func rawValues(value: String) throws {
        for (before, after) in [("", ""), (" ", " "), ("\t\r\n", "\n ")] {
            for line in [
                "{\"p\":\(before)\(value)\(after)}",
                "{\"x\":{\"p\":[0,\"}\"]}, \"p\"\(before):\(before)\(value)\(after),\"q\":0}",
                " {\"\\\"\":\"\\\\\" ,\"p\":\(value)\(after)} ",
            ] {
                let range = try #require(try Self.reader(line).rawValue("p"))
                #expect(String(decoding: Array(line.utf8)[range], as: UTF8.self) == value)
            }
        }
    }

    @Test(
        "Only one object is taken, and a refused line leaves nothing behind",
        arguments: ["", "[]", "1", "{} {}", "{\"a\":1", "x"])
    func refused(line: String) throws {
        let reader = try Self.reader(#"{"a":"kept?"}"#)
        #expect(throws: JSONLineError.self) { try Array(line.utf8).withUnsafeBytes { try reader.parse($0) } }
        #expect(!reader.has("a"))
        #expect(try reader.string("a") == nil)
        #expect(reader.rawValue("a") == nil)
        #expect(try reader.stringMap("a") == nil)
    }
}
