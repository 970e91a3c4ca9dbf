import Testing
import VarveJSON
import VarveRecorder
import VarveTestKit

@Suite("Events") struct AppEventTests {
    static func read(_ text: String) throws -> AppEvent { try AppEvent(json: Array(text.utf8)) }

    static let time = #""timestamp":"2026-05-10T12:34:56Z""#
    /// An event of each type, as it is written.
    static let written = [
        Example.ipc,
        #"{"type":"Ipc","id":"","command":"c",\#(time),"duration_ms":null,"result":"Pending","arg_size_bytes":0,"webview_label":"w"}"#,
        #"{"type":"Ipc","id":"","command":"c",\#(time),"duration_ms":18446744073709551615,"result":{"Err":"no\n"},"arg_size_bytes":18446744073709551615,"webview_label":"w"}"#,
        #"{"type":"Ipc","id":"","command":"c",\#(time),"duration_ms":0,"result":{"Ok":null},"arg_size_bytes":0,"webview_label":"w"}"#,
        #"{"type":"Ipc","id":"","command":"c",\#(time),"duration_ms":0,"result":{"Ok":-0.0},"arg_size_bytes":0,"webview_label":"w"}"#,
        #"{"type":"StateChange","key":"theme",\#(time),"caused_by":null}"#,
        #"{"type":"StateChange","key":"theme",\#(time),"caused_by":"c1"}"#,
        #"{"type":"DomMutation","webview_label":"main",\#(time),"mutation_count":4294967295}"#,
        #"{"type":"DomInteraction","action":"Fill","selector":"\#\"a","value":"\u0000é😀",\#(time),"webview_label":"main"}"#,
        #"{"type":"DomInteraction","action":"Click","selector":"b","value":null,\#(time),"webview_label":"main"}"#,
        #"{"type":"WindowEvent","label":"main","event":"focus",\#(time)}"#,
        #"{"type":"Console","level":"warn","message":"m","timestamp":"1969-12-31T23:59:59.999999Z"}"#,
    ].map { $0.replacing("\"\\\"a\"", with: "\"\\\"a\"") }

    @Test("An event that is read and written again has the same bytes", arguments: written)
    func bytes(json: String) throws { #expect(try Self.read(json).json == json) }

    @Test("The members of an event are read exactly")
    func members() throws {
        let call = IpcCall(
            id: "c1", command: "get_settings", timestamp: 1_778_416_496_123_456_789, durationMilliseconds: 5,
            result: .ok(try RawJSON(#"{"b":1,"a":2.0}"#)), argumentBytes: 42, webviewLabel: "main")
        let event = try Self.read(Example.ipc)
        #expect(event == .ipc(call))
        #expect(event.type == "Ipc" && event.timestamp == 1_778_416_496_123_456_789)
    }

    @Test("All actions are read by their names", arguments: DomInteraction.Action.allCases)
    func actions(action: DomInteraction.Action) throws {
        let event = AppEvent.domInteraction(
            DomInteraction(action: action, selector: "s", value: nil, timestamp: 0, webviewLabel: "w"))
        #expect(try Self.read(event.json) == event)
    }

    @Test("Keys come in any order, unknown ones are ignored, and an optional one may be missing")
    func lenient() throws {
        let event = try Self.read(
            #" { "x" : {"type":1}, "arg_size_bytes":42,"result" : {"new":1,"Ok" : {"a":2.0, "b":1}},"x":2,"#
                + #""webview_label":"main", "level":1, "level":2, "id":"c1","\u0063ommand":"get_settings","#
                + #""timestamp":"2026-05-10 14:34:56.1234567899+02:00","type":"Ipc" } "#)
        guard case .ipc(let call) = event else { throw JSONStreamError(byteOffset: 0, reason: "not a call") }
        #expect(
            call.durationMilliseconds == nil && call.command == "get_settings" && call.argumentBytes == 42)
        #expect(call.timestamp == 1_778_416_496_123_456_789)
        #expect(call.result == .ok(try RawJSON(#"{"a":2.0,"b":1}"#)))
    }

    @Test(
        "Times are written with the fewest of 0, 3, 6 and 9 fraction digits that are exact",
        arguments: [
            (0, "1970-01-01T00:00:00Z"), (100_000_000, "1970-01-01T00:00:00.100Z"),
            (1000, "1970-01-01T00:00:00.000001Z"),
            (1, "1970-01-01T00:00:00.000000001Z"), (-1, "1969-12-31T23:59:59.999999999Z"),
            (Int64.max, "2262-04-11T23:47:16.854775807Z"), (Int64.min, "1677-09-21T00:12:43.145224192Z"),
        ])
    func times(time: Int64, text: String) throws {
        let event = AppEvent.windowEvent(WindowEvent(label: "", event: "", timestamp: time))
        #expect(event.json.contains("\"\(text)\""))
        #expect(try Self.read(event.json) == event)
    }

    @Test(
        "An event of an unknown type is kept byte for byte, whatever it has",
        arguments: [
            #"{"type":"New"}"#, #"{ "a":1, "a" : 2.50,"type" : "New" , "timestamp":5}"#,
            #"{"type":"ipc","id":1,"id":2}"#,
            #"{"type":"","x":[1e999,-0]}"#, #"{"ty\u0070e":"N\u0065w"}"#,
        ])
    func unknown(json: String) throws {
        let event = try Self.read(" \(json)\n")
        #expect(event.json == json && event.timestamp == nil)
        guard case .unknown(let unknown) = event else {
            throw JSONStreamError(byteOffset: 0, reason: "known")
        }
        #expect(unknown.type == event.type && ["New", "ipc", ""].contains(event.type))
        #expect(try Self.read(event.json) == event)
    }

    @Test("An unknown event has the time of its timestamp, where that is one")
    func unknownTime() throws {
        #expect(
            try Self.read(#"{"type":"New","timestamp":"1970-01-01T00:00:01Z"}"#).timestamp == 1_000_000_000)
        #expect(try Self.read(#"{"type":"New","timestamp":"1970-01-01T00:00:01"}"#).timestamp == nil)
        #expect(
            try Self.read(#"{"type":"New","timestamp":"1970-01-01T00:00:01Z","timestamp":1}"#).timestamp
                == nil)
    }

    private static func call(_ members: String) -> String {
        #"{"type":"Ipc","id":"","command":"","timestamp":"2026-05-10T12:34:56Z","webview_label":"","#
            + "\"result\":\"Pending\",\"arg_size_bytes\":0,\(members)}"
    }

    @Test(
        "What does not fit is named with its path, its place and what is wrong",
        arguments: [
            ("[]", "", 0, "not an object"), ("null", "", 0, "not an object"), ("", "", 0, ""),
            ("{", "", 1, ""),
            ("{} {}", "", 3, ""), ("{\"type\":\"\u{1}\"}", "", 9, ""), ("{}", "type", 0, "missing"),
            (#" {"a":1}"#, "type", 1, "missing"), (#"{"type":5}"#, "type", 8, "not a string"),
            (#"{"type":null}"#, "type", 8, "not a string"),
            (#"{"type":"New","type":"New"}"#, "type", 14, "second"),
            (#"{"type":"Console","level":"","message":""}"#, "timestamp", 0, "missing"),
            (#"{"type":"Console","level":"","message":"","timestamp":1}"#, "timestamp", 54, "not a string"),
            (
                #"{"type":"Console","level":"","message":"","timestamp":null}"#, "timestamp", 54,
                "not a string"
            ),
            (
                #"{"type":"Console","level":"","message":"","timestamp":"2026-05-10T12:34:56"}"#, "timestamp",
                54,
                "offset"
            ),
            (
                #"{"type":"Console","level":"","message":"","timestamp":"2262-04-12T00:00:00Z"}"#,
                "timestamp", 54,
                "between"
            ),
            (#"{"type":"Console","level":null,"message":""}"#, "level", 26, "not a string"),
            (#"{"type":"Console","level":"a","\u006cevel":"b"}"#, "level", 30, "second"),
            (
                #"{"type":"StateChange","key":"","timestamp":"2026-05-10T12:34:56Z","caused_by":1}"#,
                "caused_by", 78, "string"
            ),
            (#"{"type":"DomInteraction","action":"Hover"}"#, "action", 34, "Click, DoubleClick"),
            (#"{"type":"DomInteraction","action":"click"}"#, "action", 34, "none of"),
            (
                #"{"type":"DomMutation","webview_label":"","timestamp":"2026-05-10T12:34:56Z","mutation_count":4294967296}"#,
                "mutation_count", 93, "0 to 4294967295"
            ),
            (
                #"{"type":"DomMutation","webview_label":"","timestamp":"2026-05-10T12:34:56Z","mutation_count":-1}"#,
                "mutation_count", 93, "0 to 4294967295"
            ),
        ] as [(String, String, UInt64, String)])
    func wrong(json: String, path: String, offset: UInt64, reason: String) {
        let error = #expect(throws: SessionJSONError.self) { try Self.read(json) }
        #expect(error?.path == path && error?.byteOffset == offset)
        #expect(reason.isEmpty || error?.reason.contains(reason) == true)
    }

    @Test(
        "A number of a call that is none from 0 up, or a key twice, is refused",
        arguments: [
            "-1", "-0", "5.0", "5e0", "18446744073709551616", "\"5\"", "true", "[]", "{}",
            "5,\"duration_ms\":5",
            "null,\"duration_ms\":5",
        ])
    func wrongDuration(value: String) {
        let error = #expect(throws: SessionJSONError.self) {
            try Self.read(Self.call("\"duration_ms\":\(value)"))
        }
        #expect(error?.path == "duration_ms")
    }

    @Test(
        "A result is one of three forms",
        arguments: [
            ("\"Ok\"", "result"), ("\"pending\"", "result"), ("null", "result"), ("[]", "result"),
            ("{}", "result"),
            (#"{"Ok":1,"Err":"x"}"#, "result"), (#"{"Pending":null}"#, "result"),
            (#"{"Err":1}"#, "result.Err"),
            (#"{"Err":null}"#, "result.Err"), (#"{"Ok":1,"Ok":1}"#, "result.Ok"), ("5", "result"),
        ])
    func wrongResult(result: String, path: String) {
        let json = Self.call("\"duration_ms\":1").replacing("\"Pending\"", with: result)
        let error = #expect(throws: SessionJSONError.self) { try Self.read(json) }
        #expect(error?.path == path)
    }

    @Test("Each required key of each type is missed, and a cut event is none")
    func required() throws {
        for json in Self.written {
            let event = try Self.read(json)
            for cut in 0..<json.utf8.count {
                let error = #expect(throws: SessionJSONError.self) {
                    try AppEvent(json: Array(json.utf8.prefix(cut)))
                }
                // A cut escape, or a cut character of several bytes, is wrong where it begins.
                #expect((error?.byteOffset).map { $0 <= UInt64(cut) && $0 + 12 > UInt64(cut) } == true)
            }
            for key in json.matches(of: /"(\w+)":/).map({ String($0.1) }) {
                let other = json.replacing("\"\(key)\":", with: "\"_\(key)\":", maxReplacements: 1)
                if ["duration_ms", "caused_by", "value"].contains(key) {
                    if json.contains("\"\(key)\":null") { #expect(try Self.read(other) == event) }
                } else if other != json, !["a", "b", "Ok", "Err"].contains(key) {
                    let error = #expect(throws: SessionJSONError.self) { try Self.read(other) }
                    #expect(error?.path == key && error?.reason == "missing")
                }
            }
        }
    }

    @Test("A decoder carries nothing from one event to the next")
    func noCarry() throws {
        let decoder = EventDecoder()
        for text in [Example.ipc, "{", #"{"type":"Ipc"}"#, Example.ipc, "", #"{"type":"Console"}"#] {
            let alone = try? Self.read(text)
            #expect((try? Array(text.utf8).withUnsafeBytes { try decoder.event($0) }) == alone)
        }
    }

    @Test("Any event comes back as it was")
    func roundTrips() throws {
        let seed = SplitMix64.freshSeed()
        var random = SplitMix64(seed: seed)
        let decoder = EventDecoder()
        for _ in 0..<5000 {
            let event = try random.event()
            let again = try Array(event.json.utf8).withUnsafeBytes { try decoder.event($0) }
            #expect(again == event && again.json == event.json, "seed \(seed)")
        }
    }
}
