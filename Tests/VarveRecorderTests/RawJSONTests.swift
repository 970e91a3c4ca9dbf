import Testing
import VarveJSON
import VarveRecorder

@Suite("JSON that is kept as given") struct RawJSONTests {
    @Test(
        "Any value is kept byte for byte, without the white space around it",
        arguments: [
            ("{ \"a\" : [1,\n2.0] }", "{ \"a\" : [1,\n2.0] }"), (" \t\r\n-0.0 ", "-0.0"), ("null", "null"),
            ("\"\\u0041\"", "\"\\u0041\""), ("18446744073709551616 ", "18446744073709551616"),
            (" 1e999", "1e999"),
        ])
    func kept(text: String, bytes: String) throws { #expect(try RawJSON(text).bytes == Array(bytes.utf8)) }

    @Test("Values are compared by what they mean, and hash alike then")
    func values() throws {
        let value = try RawJSON(#"{"a":[1,2.50],"b":"é"}"#)
        let same = try RawJSON(#"{ "b" : "\u00e9", "a" : [ 1, 2.5 ] }"#)
        #expect(value == same && value.hashValue == same.hashValue && value.bytes != same.bytes)
        #expect(value != (try RawJSON(#"{"a":[1.0,2.5],"b":"é"}"#)))
        #expect(try RawJSON("-0.0") != RawJSON("0.0"))
        #expect(try RawJSON("18446744073709551615") != RawJSON("18446744073709551614"))
    }

    @Test(
        "What is no JSON is refused, with its place",
        arguments: [
            ("", 0), (" ", 1), ("{", 1), ("{} {}", 3), ("[1,]", 3), ("tru", 3), ("{\"a\":01}", 6),
            ("\u{FEFF}1", 0),
        ])
    func refused(text: String, offset: UInt64) {
        let error = #expect(throws: JSONStreamError.self) { try RawJSON(text) }
        #expect(error?.byteOffset == offset)
    }

    @Test("Bytes that aren't UTF-8 are refused")
    func notUTF8() {
        #expect(throws: JSONStreamError.self) { try RawJSON([0x22, 0xFF, 0x22]) }
        #expect(throws: JSONStreamError.self) { try RawJSON([0xFF]) }
    }

    @Test("What is nested as deep as the limit fits any place of a session, and what is deeper is refused")
    func depth() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        let deepest = try RawJSON(nested(RawJSON.depthMax))
        let call = IpcCall(
            id: "", command: "", timestamp: 0, durationMilliseconds: nil, result: .ok(deepest),
            argumentBytes: 0,
            webviewLabel: "")
        let unknown = try AppEvent(json: Array(#"{"type":"x","x":\#(nested(RawJSON.depthMax))}"#.utf8))
        let session = WholeSession(
            events: [
                .init(index: 0, timestamp: 0, event: .ipc(call)),
                .init(index: 1, timestamp: 0, event: unknown),
            ],
            checkpoints: [.init(id: "", label: nil, timestamp: 0, state: deepest, eventIndex: 2)])
        #expect(try WholeSession.read(session.written()) == session)
        let error = #expect(throws: JSONStreamError.self) { try RawJSON(nested(RawJSON.depthMax + 1)) }
        #expect(error?.byteOffset == UInt64(RawJSON.depthMax))
        #expect(throws: JSONStreamError.self) { try RawJSON(nested(100_000)) }
    }
}
