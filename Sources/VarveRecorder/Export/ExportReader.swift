import Varve
import VarveJSON

/// Reads the lines of an export one after the other, and checks that each can follow those before it.
///
/// For one thread. After an error nothing more may be read with it.
package final class ExportReader {
    /// The version of the form that is read and written.
    package static let version: UInt64 = 1
    /// The longest line that can be read, without its newline: the longest payload as text of which every byte is
    /// escaped with six, and room for the record around it.
    package static let lineBytesMax = 6 * (64 << 20) + (1 << 20)

    private let object = JSONObjectReader()
    private var sequence = ExportSequence()
    /// Lines read.
    package private(set) var lineCount: UInt64 = 0

    package init() {}

    /// Takes the next line, without its newline.
    ///
    /// - Throws: ``ExportFormatError`` with the line's number.
    package func next(_ bytes: UnsafeRawBufferPointer) throws(ExportFormatError) -> ExportLine {
        lineCount += 1
        let line: ExportLine
        do {
            line = try parse(bytes)
        } catch {
            throw ExportFormatError(line: lineCount, reason: error.description)
        }
        if let reason = ExportLimits.violation(by: line) ?? sequence.accept(line) {
            throw ExportFormatError(line: lineCount, reason: reason)
        }
        return line
    }

    /// Says that there are no more lines.
    ///
    /// - Throws: ``ExportFormatError`` when something is still open: the end is missing.
    package func finish() throws(ExportFormatError) {
        if let reason = sequence.incompleteness() {
            throw ExportFormatError(line: lineCount + 1, reason: "the export ends early: \(reason)")
        }
    }

    private func parse(_ bytes: UnsafeRawBufferPointer) throws(JSONLineError) -> ExportLine {
        try object.parse(bytes)
        let record = try required(object.string("record"), "record")
        switch record {
        case "export":
            let version = try required(object.uint64("version"), "version")
            guard version == Self.version else {
                throw JSONLineError(
                    reason: "\(version) is unknown: this reads \(Self.version)", key: "version")
            }
            return .header(.init(store: try object.string("store"), metadata: try metadata()))
        case "session":
            return .session(
                .init(
                    number: try number("session"), id: try required(object.string("id"), "id"),
                    startedAt: try required(time("started_at"), "started_at"), metadata: try metadata()))
        case "pause": return .pause(session: try number("session"))
        case "resume": return .resume(session: try number("session"))
        case "end":
            let state = try required(object.string("state"), "state")
            guard let state = SessionState(rawValue: state) else {
                throw JSONLineError(reason: "not closed, interrupted or active", key: "state")
            }
            return .end(.init(number: try number("session"), endedAt: try time("ended_at"), state: state))
        case "kind":
            let encoding = try required(object.string("encoding"), "encoding")
            guard let encoding = PayloadEncoding(exportName: encoding) else {
                throw JSONLineError(reason: "not json, utf8 or binary", key: "encoding")
            }
            return .kind(
                .init(
                    number: try number("kind"), name: try required(object.string("name"), "name"),
                    encoding: encoding, metadata: try metadata()))
        case "event":
            return .event(
                .init(
                    session: try number("session"), index: try object.uint64("index"),
                    timestamp: try required(time("timestamp"), "timestamp"), kind: try number("kind"),
                    payload: try content("payload", "payload_text", "payload_base64", of: bytes)))
        case "checkpoint":
            return .checkpoint(
                .init(
                    session: try number("session"), id: try required(object.string("id"), "id"),
                    label: try object.string("label"),
                    timestamp: try required(time("timestamp"), "timestamp"),
                    eventIndex: try object.uint64("event_index"),
                    state: try content("state", "state_text", "state_base64", of: bytes)))
        case "gap":
            return .ledger(
                .gap(events: try number("events"), reason: try required(object.string("reason"), "reason")))
        case "drop":
            return .ledger(.drop(events: try number("events")))
        default:
            throw JSONLineError(reason: "\(record) is unknown", key: "record")
        }
    }

    private func required<Value>(_ value: Value?, _ key: String) throws(JSONLineError) -> Value {
        guard let value else { throw JSONLineError(reason: "missing", key: key) }
        return value
    }

    private func number(_ key: String) throws(JSONLineError) -> UInt64 {
        try required(object.uint64(key), key)
    }

    private func metadata() throws(JSONLineError) -> [String: String] {
        try object.stringMap("metadata") ?? [:]
    }

    private func time(_ key: String) throws(JSONLineError) -> Int64? {
        guard let text = try object.bytes(ofString: key) else { return nil }
        guard let time = text.withUnsafeBytes({ RFC3339.parse($0) }) else {
            throw JSONLineError(reason: "not an RFC 3339 time between 1677 and 2262", key: key)
        }
        return time
    }

    /// A payload or a state: the one of the three members that is there.
    private func content(
        _ inline: String, _ text: String, _ base64: String, of line: UnsafeRawBufferPointer
    ) throws(JSONLineError) -> [UInt8] {
        guard [inline, text, base64].count(where: object.has) == 1 else {
            throw JSONLineError(reason: "not exactly one of \(inline), \(text) and \(base64)")
        }
        if let range = object.rawValue(inline) { return Array(line[range]) }
        if let bytes = try object.bytes(ofString: text) { return bytes }
        let letters = try required(object.bytes(ofString: base64), base64)
        guard let bytes = letters.withUnsafeBytes(JSONText.decodeBase64) else {
            throw JSONLineError(reason: "not base64", key: base64)
        }
        return bytes
    }
}
