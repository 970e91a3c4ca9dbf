import VarveJSON
import VarveRecorder
import VarveTestKit

/// Gives bytes in pieces.
func source(_ bytes: [UInt8], pieces: Int = .max) -> JSONStreamReader.Source {
    var position = 0
    return { room in
        let count = min(pieces, room.count, bytes.count - position)
        room.copyBytes(from: bytes[position..<position + count])
        position += count
        return count
    }
}

/// A session as a whole.
struct WholeSession: Equatable {
    var id = "s1"
    var startedAt: Int64 = 1_778_416_496_000_000_000
    var events: [RecordedEvent] = []
    var checkpoints: [StateCheckpoint] = []

    static func read(_ text: String, pieces: Int = .max) throws -> WholeSession {
        try read(Array(text.utf8), pieces: pieces)
    }

    static func read(_ bytes: [UInt8], pieces: Int = .max) throws -> WholeSession {
        let reader = SessionJSON.Reader(chunkBytes: 16, source: source(bytes, pieces: pieces))
        var session = WholeSession()
        while let item = try reader.next() {
            switch item {
            case .event(let event): session.events.append(event)
            case .checkpoint(let checkpoint): session.checkpoints.append(checkpoint)
            }
        }
        let summary = try SessionJSON.Reader(source: source(bytes)).validate()
        precondition(summary == reader.summary && summary.lastEventIndex == session.events.last?.index)
        precondition(summary.eventCount == session.events.count)
        precondition(summary.checkpointCount == session.checkpoints.count)
        session.id = summary.id
        session.startedAt = summary.startedAt
        return session
    }

    func written() throws -> String {
        var bytes: [UInt8] = []
        let writer = SessionJSON.Writer(id: id, startedAt: startedAt) { bytes += $0 }
        for event in events { try writer.append(event) }
        for checkpoint in checkpoints { try writer.append(checkpoint) }
        try writer.finish()
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension AppEvent {
    var json: String {
        var out = ByteBuffer()
        appendJSON(to: &out)
        return out.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }
}

/// Session JSON as the specification shows it.
enum Example {
    static let ipc =
        #"{"type":"Ipc","id":"c1","command":"get_settings","timestamp":"2026-05-10T12:34:56.123456789Z","duration_ms":5,"result":{"Ok":{"a":2.0,"b":1}},"arg_size_bytes":42,"webview_label":"main"}"#
    static let event =
        #"{"index":2,"timestamp":"2026-05-10T12:34:56.100Z","event":{"type":"WindowEvent","label":"main","event":"focus","timestamp":"2026-05-10T12:34:56.100Z"}}"#
    static let checkpoint =
        #"{"id":"cp1","label":null,"timestamp":"2026-05-10T12:34:57Z","state":{"n":1},"event_index":5}"#
    static let session =
        #"{"id":"s1","started_at":"2026-05-10T12:34:56Z","events":[\#(event)],"checkpoints":[\#(checkpoint)]}"#
}

extension SplitMix64 {
    mutating func text() -> String {
        var text = ""
        for _ in 0..<below(12) {
            let scalar = Unicode.Scalar(below(oneIn(3) ? 0x11_0000 : 128)) ?? "\u{FFFD}"
            text.unicodeScalars.append(scalar)
        }
        return text
    }

    mutating func time() -> Int64 {
        let time = Int64(truncatingIfNeeded: next())
        switch below(4) {
        case 0: return time / 1_000_000_000 * 1_000_000_000
        case 1: return time / 1_000_000 * 1_000_000
        case 2: return time / 1000 * 1000
        default: return time
        }
    }

    mutating func number() -> UInt64 { oneIn(4) ? .max : next() >> UInt64(below(64)) }

    mutating func json(depth: UInt32 = 3) -> String {
        switch below(depth == 0 ? 5 : 7) {
        case 0:
            return ["null", "true", "false", "-0.0", "1e999", "1.50", "18446744073709551616"][Int(below(7))]
        case 1: return "\(number())"
        case 2: return "-\(number())"
        case 3, 4: return quoted(text())
        case 5: return "[" + (0..<below(4)).map { _ in json(depth: depth - 1) }.joined(separator: " , ") + "]"
        default:
            return "{"
                + (0..<below(4)).map { _ in "\(quoted(text())):\(json(depth: depth - 1))" }.joined(
                    separator: ",")
                + "}"
        }
    }

    func quoted(_ text: String) -> String {
        var out = ByteBuffer()
        out.appendJSONString(text)
        return out.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }

    mutating func event() throws -> AppEvent {
        switch below(7) {
        case 0:
            let result: IpcCall.Result =
                oneIn(3) ? .pending : oneIn(2) ? .ok(try RawJSON(json())) : .error(text())
            return .ipc(
                IpcCall(
                    id: text(), command: text(), timestamp: time(),
                    durationMilliseconds: oneIn(2) ? number() : nil, result: result,
                    argumentBytes: UInt(number()), webviewLabel: text()))
        case 1:
            return .stateChange(
                StateChange(key: text(), timestamp: time(), causedBy: oneIn(2) ? text() : nil))
        case 2:
            return .domMutation(
                DomMutation(
                    webviewLabel: text(), timestamp: time(), mutationCount: UInt32(truncatingIfNeeded: next())
                ))
        case 3:
            let actions = DomInteraction.Action.allCases
            return .domInteraction(
                DomInteraction(
                    action: actions[Int(below(UInt32(actions.count)))], selector: text(),
                    value: oneIn(2) ? text() : nil, timestamp: time(), webviewLabel: text()))
        case 4: return .windowEvent(WindowEvent(label: text(), event: text(), timestamp: time()))
        case 5: return .console(Console(level: text(), message: text(), timestamp: time()))
        default:
            let members = "\"x\" : \(json()), \"type\":\(quoted("New" + text())), \"timestamp\":\(json())"
            return try AppEvent(json: Array("{ \(members) }".utf8))
        }
    }

    mutating func session() throws -> WholeSession {
        var session = WholeSession(id: text(), startedAt: time())
        for _ in 0..<below(20) {
            session.events.append(RecordedEvent(index: number(), timestamp: time(), event: try event()))
        }
        for _ in 0..<below(5) {
            session.checkpoints.append(
                StateCheckpoint(
                    id: text(), label: oneIn(2) ? text() : nil, timestamp: time(), state: try RawJSON(json()),
                    eventIndex: number()))
        }
        return session
    }
}
