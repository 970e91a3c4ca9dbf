import ArgumentParser
import Varve
import VarveJSON

/// How `query` prints events.
enum EventFormat: String, ExpressibleByArgument, CaseIterable {
    case short, json, payload, table, csv
}

/// Prints events, one after the other. No string is made for an event in the formats `short`, `json` and
/// `payload`.
final class EventPrinter {
    /// What is the same for all events of a kind.
    private struct KindTexts {
        var name: String
        var encoding: PayloadEncoding
        /// `","kind":"NAME",` as it stands after the timestamp in JSON, from the timestamp's closing quote on.
        var json: [UInt8]
        /// ` NAME `.
        var short: [UInt8]
    }

    /// What is the same for all events of a session.
    private struct SessionTexts {
        var id: String
        /// `,"session":"ID","session_number":N,"index":`.
        var json: [UInt8]
        /// ` ID`.
        var short: [UInt8]
    }

    private let format: EventFormat
    private let fields: [String]
    private let payloadEnd: UInt8
    private let output: Output
    private let validator = JSONValidator()
    private lazy var fieldReader = FieldReader()
    private var kinds: [KindTexts?] = []
    private var sessions: [UInt64: SessionTexts] = [:]
    /// The session of the last event: most events are of the one before's.
    private var lastSession: (ordinal: UInt64, texts: SessionTexts)?
    private var table: StreamedTable

    /// - Parameters:
    ///   - fields: paths into JSON payloads, in place of the payload (`table`, `csv`).
    ///   - endsWithNUL: `payload` ends each with a NUL byte and not with a newline.
    init(
        _ format: EventFormat, fields: [String], endsWithNUL: Bool, of snapshot: Snapshot, to output: Output
    ) throws {
        self.format = format
        self.fields = fields
        payloadEnd = endsWithNUL ? 0 : UInt8(ascii: "\n")
        self.output = output
        table = StreamedTable(
            ["sequence", "time", "session", "kind"] + (fields.isEmpty ? ["payload"] : fields),
            rightAligned: [0])
        for session in try snapshot.sessions() {
            sessions[session.ordinal] = Self.texts(id: session.id, ordinal: session.ordinal)
        }
        if format == .csv {
            output.buffer.append("sequence,session,session_number,index,timestamp,kind,")
            if fields.isEmpty { output.buffer.append("encoding,payload") }
            for (position, field) in fields.enumerated() {
                if position > 0 { output.buffer.append(UInt8(ascii: ",")) }
                appendCSV(field)
            }
            output.buffer.append("\r\n")
        }
    }

    func print(_ event: borrowing EventView) throws {
        learnSession(of: event)
        try event.withUnsafeBytes { payload in
            switch format {
            case .payload:
                output.buffer.append(payload)
                output.buffer.append(payloadEnd)
            case .json:
                appendJSON(event, payload)
                output.buffer.append(UInt8(ascii: "\n"))
            case .short:
                RFC3339.append(event.timestamp, to: &output.buffer)
                withSession(event.sessionOrdinal) { output.buffer.append(bytes: $0.short) }
                output.buffer.append(bytes: kind(of: event).short)
                output.buffer.appendReadable(payload)
                output.buffer.append(UInt8(ascii: "\n"))
            case .table:
                let session = withSession(event.sessionOrdinal) { $0.id }
                let kind = kind(of: event)
                let cells =
                    fields.isEmpty
                    ? [String(decoding: payload, as: UTF8.self)]
                    : fieldReader.values(fields, in: payload).map { $0 ?? "" }
                let lines = table.add(
                    [String(event.sequence), RFC3339.string(event.timestamp), session, kind.name] + cells)
                for line in lines { try output.text(line + "\n") }
            case .csv:
                appendCSV(event, payload)
            }
        }
        try output.flushIfFull()
    }

    /// Appends the object of an event to the output, without a line break: for one within another.
    func appendObject(_ event: borrowing EventView) {
        event.withUnsafeBytes { appendJSON(event, $0) }
    }

    /// Writes everything that is not held back.
    func flush() throws { try output.flush() }

    /// The next events are another cursor's, which numbers kinds anew.
    func forgetKinds() { kinds = [] }

    /// Prints what is held back, and writes everything.
    func finish() throws {
        if format == .table {
            for line in table.finish() { try output.text(line + "\n") }
        }
        try output.flush()
    }

    private func appendJSON(_ event: borrowing EventView, _ payload: UnsafeRawBufferPointer) {
        let kind = kind(of: event)
        output.buffer.append("{\"sequence\":")
        output.buffer.append(integer: event.sequence)
        withSession(event.sessionOrdinal) { output.buffer.append(bytes: $0.json) }
        output.buffer.append(integer: event.index)
        output.buffer.append(",\"timestamp\":\"")
        RFC3339.append(event.timestamp, to: &output.buffer)
        output.buffer.append(bytes: kind.json)
        if kind.encoding == .json, validator.isValid(payload) {
            output.buffer.append("\"payload\":")
            output.buffer.appendJSONOnOneLine(payload)
        } else if kind.encoding != .binary, JSONText.isUTF8(payload) {
            output.buffer.append("\"payload\":")
            output.buffer.appendJSONString(payload)
        } else {
            output.buffer.append("\"payload_base64\":\"")
            output.buffer.appendBase64(payload)
            output.buffer.append(UInt8(ascii: "\""))
        }
        output.buffer.append("}")
    }

    private func appendCSV(_ event: borrowing EventView, _ payload: UnsafeRawBufferPointer) {
        let kind = kind(of: event)
        output.buffer.append(integer: event.sequence)
        output.buffer.append(UInt8(ascii: ","))
        withSession(event.sessionOrdinal) { appendCSV($0.id) }
        output.buffer.append(UInt8(ascii: ","))
        output.buffer.append(integer: event.sessionOrdinal)
        output.buffer.append(UInt8(ascii: ","))
        output.buffer.append(integer: event.index)
        output.buffer.append(UInt8(ascii: ","))
        RFC3339.append(event.timestamp, to: &output.buffer)
        output.buffer.append(UInt8(ascii: ","))
        appendCSV(kind.name)
        if !fields.isEmpty {
            for value in fieldReader.values(fields, in: payload) {
                output.buffer.append(UInt8(ascii: ","))
                appendCSV(value ?? "")
            }
        } else if kind.encoding != .binary, JSONText.isUTF8(payload) {
            output.buffer.append(kind.encoding == .json ? ",json," : ",utf8,")
            appendCSV(payload)
        } else {
            output.buffer.append(",base64,")
            output.buffer.appendBase64(payload)
        }
        output.buffer.append("\r\n")
    }

    private func appendCSV(_ text: String) {
        var text = text
        text.withUTF8 { appendCSV(UnsafeRawBufferPointer($0)) }
    }

    /// A field of RFC 4180: quoted where it has to be.
    private func appendCSV(_ bytes: UnsafeRawBufferPointer) {
        let quote = UInt8(ascii: "\"")
        guard bytes.contains(where: { $0 == quote || $0 == UInt8(ascii: ",") || $0 == 0x0A || $0 == 0x0D })
        else { return output.buffer.append(bytes) }
        output.buffer.append(quote)
        var rest = bytes
        while let found = position(of: quote, in: rest) {
            output.buffer.append(UnsafeRawBufferPointer(rebasing: rest[...found]))
            output.buffer.append(quote)
            rest = UnsafeRawBufferPointer(rebasing: rest[(found + 1)...])
        }
        output.buffer.append(rest)
        output.buffer.append(quote)
    }

    private func kind(of event: borrowing EventView) -> KindTexts {
        let number = Int(event.kindNumber)
        if number < kinds.count, let texts = kinds[number] { return texts }
        return addKind(number, event.kind)
    }

    @inline(never)
    private func addKind(_ number: Int, _ kind: EventKind) -> KindTexts {
        var json = ByteBuffer()
        json.append("\",\"kind\":")
        json.appendJSONString(kind.name)
        json.append(UInt8(ascii: ","))
        let texts = KindTexts(
            name: kind.name, encoding: kind.encoding, json: json.withUnsafeBytes { Array($0) },
            short: Array(" \(Formatting.oneLine(kind.name)) ".utf8))
        while kinds.count <= number { kinds.append(nil) }
        kinds[number] = texts
        return texts
    }

    /// A session may have begun after the snapshot.
    private func learnSession(of event: borrowing EventView) {
        let ordinal = event.sessionOrdinal
        if lastSession?.ordinal == ordinal || sessions[ordinal] != nil { return }
        sessions[ordinal] = Self.texts(id: event.sessionID, ordinal: ordinal)
    }

    private func withSession<Answer>(_ ordinal: UInt64, _ body: (SessionTexts) -> Answer) -> Answer {
        if let lastSession, lastSession.ordinal == ordinal { return body(lastSession.texts) }
        let texts = sessions[ordinal] ?? Self.texts(id: "", ordinal: ordinal)
        lastSession = (ordinal, texts)
        return body(texts)
    }

    private static func texts(id: String, ordinal: UInt64) -> SessionTexts {
        var json = ByteBuffer()
        json.append(",\"session\":")
        json.appendJSONString(id)
        json.append(",\"session_number\":")
        json.append(integer: ordinal)
        json.append(",\"index\":")
        return SessionTexts(
            id: id, json: json.withUnsafeBytes { Array($0) }, short: Array(" \(Formatting.oneLine(id))".utf8))
    }
}

extension ByteBuffer {
    mutating func append(bytes: [UInt8]) { bytes.withUnsafeBytes { append($0) } }

    /// Text for people on one line: tabs and line breaks as spaces, other controls as `·`, what is no UTF-8
    /// repaired.
    mutating func appendReadable(_ bytes: UnsafeRawBufferPointer) {
        guard JSONText.isUTF8(bytes) else {
            var repaired = String(decoding: bytes, as: UTF8.self)
            return repaired.withUTF8 { appendReadable(UnsafeRawBufferPointer($0)) }
        }
        var start = 0
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            if byte >= 0x20, byte != 0x7f, byte != 0xc2 {
                index += 1
                continue
            }
            // The controls from U+0080 to U+009F are two bytes; others that start with 0xC2 are none.
            let isWide = byte == 0xc2
            if isWide, index + 1 < bytes.count, bytes[index + 1] > 0x9f {
                index += 2
                continue
            }
            append(UnsafeRawBufferPointer(rebasing: bytes[start..<index]))
            if byte == 0x09 || byte == 0x0A || byte == 0x0D {
                append(UInt8(ascii: " "))
            } else {
                append("\u{b7}")
            }
            index += isWide ? 2 : 1
            start = min(index, bytes.count)
        }
        append(UnsafeRawBufferPointer(rebasing: bytes[start...]))
    }
}

/// A table whose rows come one after the other: the first ones settle the widths.
struct StreamedTable {
    private static let heldRows = 200
    private let rightAligned: Set<Int>
    private var held: [[String]]
    private var widths: [Int]?

    init(_ header: [String], rightAligned: Set<Int>) {
        held = [header]
        self.rightAligned = rightAligned
    }

    /// - Returns: the lines that are ready.
    mutating func add(_ cells: [String]) -> [String] {
        let cells = cells.map(Formatting.oneLine)
        if let widths { return [TableLayout.line(cells, widths, rightAligned)] }
        held.append(cells)
        return held.count > Self.heldRows ? finish() : []
    }

    /// - Returns: the lines that were held back.
    mutating func finish() -> [String] {
        guard widths == nil else { return [] }
        let settled = TableLayout.widths(of: held)
        defer { held = [] }
        widths = settled
        return held.map { TableLayout.line($0, settled, rightAligned) }
    }
}
