import Testing
import Varve
import VarveJSON

@testable import VarveRecorder

@Suite("The export form")
struct ExportFormTests {
    private func read(_ lines: [String]) throws -> [ExportLine] {
        let reader = ExportReader()
        let result = try lines.map { line in try Array(line.utf8).withUnsafeBytes { try reader.next($0) } }
        try reader.finish()
        return result
    }

    private static let header = #"{"record":"export","version":1}"#
    private static let session =
        #"{"record":"session","session":1,"id":"s","started_at":"2026-05-10T12:34:56Z"}"#
    private static let kind = #"{"record":"kind","kind":1,"name":"k","encoding":"utf8"}"#
    private static let event =
        #"{"record":"event","session":1,"timestamp":"2026-05-10T12:34:56Z","kind":1,"payload":1}"#
    private static let end = #"{"record":"end","session":1,"ended_at":null,"state":"active"}"#

    @Test("Keys come in any order, unknown ones are ignored, and white space is no part of a payload")
    func lenient() throws {
        let lines = try read([
            Self.header, Self.session, Self.kind,
            #" { "payload" : {"a" : 1} , "new": [1], "kind": 1, "index": 7, "timestamp": "2026-05-10T14:34:56+02:00", "#
                + #""session": 1, "record": "event" } "#,
            Self.end,
        ])
        #expect(
            lines[3]
                == .event(
                    .init(
                        session: 1, index: 7, timestamp: 1_778_416_496_000_000_000, kind: 1,
                        payload: Array(#"{"a" : 1}"#.utf8))))
    }

    @Test(
        "A wrong line is named with what is wrong",
        arguments: [
            (["{}"], 1, "record: missing"),
            ([#"{"record":"export","version":2}"#], 1, "version: 2 is unknown"),
            ([Self.session], 1, "no export header"),
            ([Self.header, Self.header], 2, "a second export header"),
            ([Self.header, "[]"], 2, "not a JSON object"),
            ([Self.header, "{"], 2, ""),
            ([Self.header, ""], 2, ""),
            ([Self.header, #"{"record":"else"}"#], 2, "record: else is unknown"),
            ([Self.header, Self.event], 2, "session 1 is not the one at hand"),
            ([Self.header, Self.session, Self.event], 3, "kind 1 is not defined"),
            ([Self.header, Self.session, Self.session], 3, "session 1 has not ended"),
            ([Self.header, Self.session, Self.end, Self.session], 4, "a second session 1"),
            ([Self.header, Self.session, Self.end, Self.end], 4, "session 1 is not the one at hand"),
            ([Self.header, Self.kind, Self.kind], 3, "a second kind 1"),
            ([Self.header, Self.session], 3, "the export ends early: session 1 has no end line"),
            (
                [Self.header, Self.session, #"{"record":"pause","session":1}"#], 4,
                "session 1 has no end line"
            ),
            ([Self.header, #"{"record":"resume","session":1}"#], 2, "session 1 is not paused"),
            ([], 1, "no export header"),
            ([Self.header, #"{"record":"kind","kind":1,"name":"","encoding":"json"}"#], 2, "name: empty"),
            ([Self.header, #"{"record":"kind","kind":1,"name":"k","encoding":"xml"}"#], 2, "encoding"),
            ([Self.header, #"{"record":"kind","kind":-1,"name":"k","encoding":"json"}"#], 2, "kind"),
            (
                [Self.header, #"{"record":"session","session":1,"id":"s","started_at":5}"#], 2,
                "started_at: not a string"
            ),
            (
                [Self.header, #"{"record":"session","session":1,"id":"s","started_at":"today"}"#], 2,
                "started_at"
            ),
            (
                [
                    Self.header,
                    #"{"record":"session","session":1,"id":"s","started_at":"2026-05-10T12:34:56Z","metadata":[]}"#,
                ],
                2, "metadata"
            ),
        ] as [([String], UInt64, String)])
    func wrong(lines: [String], number: UInt64, reason: String) {
        #expect {
            try read(lines)
        } throws: { error in
            guard let error = error as? ExportFormatError else { return false }
            return error.line == number && (reason.isEmpty || error.reason.contains(reason))
        }
    }

    @Test(
        "A payload is exactly one of three members",
        arguments: [
            "", #","payload":1,"payload_text":"x""#, #","payload_base64":"x""#, #","payload_base64":"/w""#,
            #","payload_text":1"#, #","payload_text":null"#,
        ])
    func wrongPayload(members: String) {
        let event = #"{"record":"event","session":1,"timestamp":"2026-05-10T12:34:56Z","kind":1\#(members)}"#
        #expect(throws: ExportFormatError.self) {
            try read([Self.header, Self.session, Self.kind, event, Self.end])
        }
    }

    @Test("Texts over the store's limits are refused, those at the limit are not")
    func limits() throws {
        func session(_ id: Int, metadata: Int) -> String {
            #"{"record":"session","session":1,"id":"\#(String(repeating: "i", count: id))","#
                + #""started_at":"2026-05-10T12:34:56Z","metadata":{"k":"\#(String(repeating: "m", count: metadata))"}}"#
        }
        // One pair: a count, a length and a key of one byte each, and a length of three bytes.
        _ = try read([Self.header, session(65_536, metadata: 65_536 - 6), Self.end])
        #expect(throws: ExportFormatError.self) {
            try read([Self.header, session(65_537, metadata: 0), Self.end])
        }
        #expect(throws: ExportFormatError.self) {
            try read([Self.header, session(1, metadata: 65_536 - 5), Self.end])
        }
        func kind(_ count: Int) -> String {
            #"{"record":"kind","kind":1,"name":"\#(String(repeating: "k", count: count))","encoding":"json"}"#
        }
        _ = try read([Self.header, kind(255)])
        #expect(throws: ExportFormatError.self) { try read([Self.header, kind(256)]) }
    }

    @Test("What is written is read back as it was, whatever the bytes", arguments: [1, 2, 3] as [UInt64])
    func roundTrip(seed: UInt64) throws {
        var state = seed
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(truncatingIfNeeded: (state >> 33)) % bound
        }
        let alphabet: [[UInt8]] = [
            [0x22], [0x5c], [0x0a], [0x0d], [0x00], [0x7f], [0xff], [0xc3, 0xbc], [0xe2, 0x80, 0xa8],
            Array("{\"a\":1}".utf8),
            Array("[".utf8), Array("]".utf8), [0x20], Array("1".utf8),
        ]
        for _ in 0..<500 {
            let payload = Array((0..<random(5)).flatMap { _ in alphabet[random(alphabet.count)] })
            let isJSON = random(2) == 0
            let time = Int64(random(1 << 30)) * 1_234_567_891 - 600_000_000_000_000_000
            var buffer = ByteBuffer()
            let writer = ExportWriter()
            payload.withUnsafeBytes {
                writer.event(
                    session: 1, index: UInt64.max, timestamp: time, kind: 1, isJSON: isJSON, payload: $0,
                    to: &buffer)
            }
            let line = buffer.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
            #expect(line.count { $0 == "\n" } == 1 && line.hasSuffix("\n"))
            let lines = try read([Self.header, Self.session, Self.kind, String(line.dropLast()), Self.end])
            #expect(
                lines[3]
                    == .event(
                        .init(session: 1, index: UInt64.max, timestamp: time, kind: 1, payload: payload)),
                "seed \(seed): \(payload)")
        }
    }
}
