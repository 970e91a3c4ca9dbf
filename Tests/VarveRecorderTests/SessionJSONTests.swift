import Testing
import VarveJSON
import VarveRecorder
import VarveTestKit

@Suite("Session JSON") struct SessionJSONTests {
    /// What is wrong with a document of any bytes.
    static func fault(_ text: String, pieces: Int = .max) -> SessionJSONError? {
        fault(Array(text.utf8), pieces: pieces)
    }

    static func fault(_ bytes: [UInt8], pieces: Int = .max) -> SessionJSONError? {
        #expect(throws: SessionJSONError.self) { try WholeSession.read(bytes, pieces: pieces) }
    }

    static let head = #"{"id":"s","started_at":"2026-05-10T12:34:56Z","#

    @Test("A session that is read and written again has the same bytes")
    func bytes() throws {
        #expect(try WholeSession.read(Example.session).written() == Example.session)
        let all = AppEventTests.written.enumerated().map {
            #"{"index":\#($0),"timestamp":"2026-05-10T12:34:56.000001Z","event":\#($1)}"#
        }
        let session = Example.session.replacing(Example.event, with: all.joined(separator: ","))
        #expect(try WholeSession.read(session).written() == session)
        let empty = #"{"id":"","started_at":"2026-05-10T12:34:56Z","events":[],"checkpoints":[]}"#
        #expect(try WholeSession.read(empty).written() == empty)
    }

    @Test("A session is read exactly")
    func exact() throws {
        let session = try WholeSession.read(Example.session)
        let window = WindowEvent(label: "main", event: "focus", timestamp: 1_778_416_496_100_000_000)
        #expect(
            session.events == [
                RecordedEvent(index: 2, timestamp: 1_778_416_496_100_000_000, event: .windowEvent(window))
            ])
        #expect(
            session.checkpoints == [
                StateCheckpoint(
                    id: "cp1", label: nil, timestamp: 1_778_416_497_000_000_000,
                    state: try RawJSON(#"{"n":1}"#),
                    eventIndex: 5)
            ])
        #expect(session.id == "s1" && session.startedAt == 1_778_416_496_000_000_000)
    }

    @Test("The keys of a session come in any order, with white space and unknown keys among them")
    func orders() throws {
        let expected = try WholeSession.read(Example.session)
        let members = [
            #""id" : "s1""#, #""started_at":"2026-05-10T14:34:56+02:00""#, "\"events\":[ \(Example.event) ]",
            "\"checkpoints\":\n[\(Example.checkpoint)\t]",
        ]
        for first in 0..<4 {
            for second in 0..<4 where second != first {
                for third in 0..<4 where third != first && third != second {
                    let order = [first, second, third, 6 - first - second - third].map { members[$0] }
                    let text =
                        "\u{FEFF} { \"x\":{\"id\":[]}, \(order.joined(separator: " ,\"x\":1e999, ")) } \n"
                    #expect(try WholeSession.read(text) == expected)
                }
            }
        }
    }

    @Test("A session is read alike in pieces of any size")
    func pieces() throws {
        let expected = try WholeSession.read(Example.session)
        for pieces in 1...Example.session.utf8.count {
            #expect(try WholeSession.read(Example.session, pieces: pieces) == expected)
        }
    }

    @Test("A session that is cut at any byte is refused, there")
    func cuts() {
        let bytes = Array(Example.session.utf8)
        for cut in 0..<bytes.count {
            for pieces in [1, .max] {
                #expect(
                    Self.fault(Array(bytes[..<cut]), pieces: pieces)?.byteOffset == UInt64(cut),
                    "cut at \(cut)")
            }
        }
    }

    @Test(
        "Indices may be gapped, unsorted, repeated and as large as they get",
        arguments: [[5, 9, 2], [3, 3], [.max, 0], [0]])
    func indices(indices: [UInt64]) throws {
        let events = indices.map { Example.event.replacing("\"index\":2", with: "\"index\":\($0)") }
        let text = Example.session.replacing(Example.event, with: events.joined(separator: ","))
            .replacing("\"event_index\":5", with: "\"event_index\":\(UInt64.max)")
        let session = try WholeSession.read(text)
        #expect(session.events.map(\.index) == indices && session.checkpoints[0].eventIndex == .max)
        #expect(try session.written() == text)
    }

    @Test(
        "An index that is negative, too large, fractional or no number is refused, with its path and place",
        arguments: ["-1", "-0", "18446744073709551616", "2.0", "2e0", "\"2\"", "null", "[]", "{}"])
    func wrongIndices(index: String) throws {
        let event = Self.fault(Example.session.replacing("\"index\":2", with: "\"index\":\(index)"))
        #expect(event?.path == "events[0].index" && event?.byteOffset == 66)
        #expect(event?.reason == "not a whole number from 0 to 18446744073709551615")
        let checkpoint = Self.fault(
            Example.session.replacing("\"event_index\":5", with: "\"event_index\":\(index)"))
        #expect(checkpoint?.path == "checkpoints[0].event_index")
    }

    @Test(
        "What does not fit is named with its path, its place and what is wrong",
        arguments: [
            ("", "", 0, "ends early"), ("[]", "", 0, "not an object"), ("{}", "id", 1, "missing"),
            ("null", "", 0, "not an object"), (#"{"id":"s"}"#, "started_at", 9, "missing"),
            (#"{"id":5}"#, "id", 6, "not a string"), (#"{"id":null}"#, "id", 6, "not a string"),
            (#"{"id":"s","id":"s"}"#, "id", 10, "second"), (#"{"id":"s","\u0069d":"s"}"#, "id", 10, "second"),
            (#"{"id":"\ud800"}"#, "id", 7, ""),
            (#"{"started_at":"2026-05-10T12:34:56"}"#, "started_at", 14, "offset"),
            (#"{"started_at":1778416496}"#, "started_at", 14, "not a string"),
            (#"{"events":null}"#, "events", 10, "not an array"),
            (#"{"events":{}}"#, "events", 10, "not an array"),
            (#"{"checkpoints":1}"#, "checkpoints", 15, "not an array"),
            (#"{"events":[],"events":[]}"#, "events", 13, "second"),
            (#"{"events":[1]}"#, "events[0]", 11, "not an object"),
            (#"{"events":[{}]}"#, "events[0].index", 11, "missing"),
            (#"{"events":[,]}"#, "events[0]", 11, "a value"),
            (#"{"events":[{"index":1 2}]}"#, "events[0]", 22, ""),
            (#"{"events":[{"index":1,"index":1}]}"#, "events[0].index", 22, "second"),
            (#"{"events":[{"index":1,"timestamp":"x"}]}"#, "events[0].timestamp", 34, "RFC 3339"),
            (
                #"{"events":[{"index":1,"timestamp":"2026-05-10T12:34:56Z","event":[]}]}"#, "events[0].event",
                65,
                "not an object"
            ),
            (
                #"{"events":[{"index":1,"timestamp":"2026-05-10T12:34:56Z","event":{}}]}"#,
                "events[0].event.type", 65,
                "missing"
            ),
            (
                #"{"checkpoints":[{"id":"","timestamp":"2026-05-10T12:34:56Z"}]}"#, "checkpoints[0].state",
                16, "missing"
            ),
            (#"{"x":[1,]}"#, "x", 8, ""), (#"{"x":tru}"#, "x", 8, ""), (#"{"x":1 "y":2}"#, "", 7, "a comma"),
        ] as [(String, String, UInt64, String)])
    func wrong(text: String, path: String, offset: UInt64, reason: String) {
        for pieces in [1, .max] {
            let error = Self.fault(text, pieces: pieces)
            #expect(error?.path == path && error?.byteOffset == offset)
            #expect(reason.isEmpty || error?.reason.contains(reason) == true)
        }
    }

    @Test("Each of the four keys is missed", arguments: ["id", "started_at", "events", "checkpoints"])
    func missing(key: String) {
        let error = Self.fault(
            Example.session.replacing("\"\(key)\":", with: "\"_\(key)\":", maxReplacements: 1))
        // The first "id" is the session's own.
        #expect(error?.path == key && error?.reason == "missing")
        // The other key is a byte longer, and the closing brace the last one.
        #expect(error?.byteOffset == UInt64(Example.session.utf8.count))
    }

    @Test("A fault within a later event has its number, and is one line of text")
    func later() {
        let call = Example.ipc.replacing("\"duration_ms\":5", with: "\"duration_ms\":-5")
        let wrong = #"{"index":3,"timestamp":"2026-05-10T12:34:56Z","event":\#(call)}"#
        let error = Self.fault(
            Example.session.replacing(Example.event, with: "\(Example.event),\(Example.event),\(wrong)"))
        #expect(error?.path == "events[2].event.duration_ms")
        #expect(
            error?.description
                == "events[2].event.duration_ms: not a whole number from 0 to 18446744073709551615 (byte 523)"
        )
    }

    @Test("Nesting is taken to 127, the document's own levels included, and not deeper")
    func depth() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        for (before, levels) in [("\"state\":{\"n\":1}", 3), ("\"id\":\"s1\"", 1)] {
            let key = levels == 3 ? "\"state\":" : "\"id\":\"s1\",\"x\":"
            let deepest = Example.session.replacing(
                before, with: key + nested(127 - levels), maxReplacements: 1)
            #expect(try WholeSession.read(deepest).id == "s1")
            let deeper = Example.session.replacing(
                before, with: key + nested(128 - levels), maxReplacements: 1)
            #expect(Self.fault(deeper)?.reason == "nested deeper than 127")
            #expect(Self.fault(deeper)?.path == (levels == 3 ? "checkpoints[0]" : "x"))
        }
        let event = Example.session.replacing("\"label\":\"main\"", with: "\"label\":\(nested(200_000))")
        #expect(Self.fault(event)?.path == "events[0]")
    }

    @Test("Bytes that aren't UTF-8 are refused wherever they stand")
    func notUTF8() {
        let bytes = Array(Example.session.utf8)
        for index in 0...bytes.count {
            for wrong: [UInt8] in [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0x80]] {
                let error = Self.fault(Array(bytes[..<index]) + wrong + Array(bytes[index...]))
                #expect((error?.byteOffset).map { $0 <= UInt64(bytes.count + 3) } == true)
            }
        }
    }

    @Test("A byte that is another one never traps, and is read alike in pieces of any size")
    func changedBytes() {
        let seed = SplitMix64.freshSeed()
        var random = SplitMix64(seed: seed)
        let bytes = Array(Example.session.utf8)
        for _ in 0..<3000 {
            var changed = bytes
            for _ in 0...random.below(2) {
                changed[Int(random.below(UInt32(bytes.count)))] = UInt8(random.below(256))
            }
            let pieces = 1 + Int(random.below(40))
            let whole = Result { try WholeSession.read(changed) }
            let other = Result { try WholeSession.read(changed, pieces: pieces) }
            switch (whole, other) {
            case (.success(let whole), .success(let other)): #expect(whole == other, "seed \(seed)")
            case (.failure(let whole), .failure(let other)):
                #expect(whole as? SessionJSONError == other as? SessionJSONError, "seed \(seed)")
            default: Issue.record("seed \(seed): \(changed)")
            }
        }
    }

    @Test("An error stays the reader's answer")
    func after() throws {
        let reader = SessionJSON.Reader(source: source(Array("{\"id\":5}".utf8)))
        let first = try #require(throws: SessionJSONError.self) { try reader.next() }
        #expect(throws: first) { try reader.next() }
        #expect(throws: first) { try reader.validate() }
        #expect(reader.summary == nil)
    }

    @Test("Any session comes back as it was, and is written with the same bytes")
    func roundTrips() throws {
        let seed = SplitMix64.freshSeed()
        var random = SplitMix64(seed: seed)
        for _ in 0..<300 {
            let session = try random.session()
            let text = try session.written()
            let again = try WholeSession.read(text, pieces: 1 + Int(random.below(100)))
            #expect(again == session, "seed \(seed)")
            #expect(try again.written() == text, "seed \(seed)")
        }
    }

    @Test("What is stored as JSON is written as the model is")
    func raw() throws {
        let session = try WholeSession.read(Example.session)
        var bytes: [UInt8] = []
        let writer = SessionJSON.Writer(id: session.id, startedAt: session.startedAt) { bytes += $0 }
        for event in session.events {
            try Array(event.event.json.utf8).withUnsafeBytes {
                try writer.appendEvent(index: event.index, timestamp: event.timestamp, json: $0)
            }
        }
        for checkpoint in session.checkpoints {
            try checkpoint.state.bytes.withUnsafeBytes {
                try writer.appendCheckpoint(
                    id: checkpoint.id, label: checkpoint.label, timestamp: checkpoint.timestamp, state: $0,
                    eventIndex: checkpoint.eventIndex)
            }
        }
        try writer.finish()
        #expect(String(decoding: bytes, as: UTF8.self) == Example.session)
    }

    @Test("100,000 events are written and read in the memory of a few")
    func memory() throws {
        let count = 100_000
        var random = SplitMix64(seed: 1)
        let events = try (0..<100).map { _ in RecordedEvent(index: 0, timestamp: 0, event: try random.event())
        }
        var document: [UInt8] = []
        var largestPiece = 0
        let writer = SessionJSON.Writer(id: "s", startedAt: 0) { piece in
            largestPiece = max(largestPiece, piece.count)
            document += piece
        }
        for index in 0..<count {
            var event = events[index % events.count]
            event.index = UInt64(index)
            try writer.append(event)
        }
        try writer.finish()
        let reader = SessionJSON.Reader(source: source(document))
        var largest = 0
        var next: UInt64 = 0
        while let item = try reader.next() {
            guard case .event(let event) = item, event.index == next else { break }
            next += 1
            largest = max(largest, reader.bufferBytes)
        }
        #expect(reader.summary?.eventCount == UInt64(count) && next == UInt64(count))
        #expect(document.count > 100 * largest && largest < 128 << 10 && largestPiece < 128 << 10)
    }

    @Test("A value over the limit is refused, and named")
    func enormous() {
        let huge = String(repeating: "x", count: 2 << 20)
        let text = Example.session.replacing("\"n\":1", with: "\"n\":\"\(huge)\"")
        let reader = SessionJSON.Reader(valueBytesMax: 1 << 20, source: source(Array(text.utf8)))
        let error = #expect(throws: SessionJSONError.self) { try reader.validate() }
        #expect(error?.path == "checkpoints[0]" && error?.reason == "longer than 1048576 bytes")
        #expect(reader.bufferBytes < 2 << 20)
    }
}
