import ArgumentParser
import Varve
import VarveJSON

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

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
    private let fields: [FieldColumn]
    private let payloadEnd: UInt8
    private let marksContext: Bool
    private let output: Output
    private let validator = JSONValidator()
    private lazy var fieldReader = FieldReader()
    private var kinds: [KindTexts?] = []
    private var kindsByKey: [EventKind: KindTexts] = [:]
    private var sessions: [SessionKey: SessionTexts] = [:]
    /// The session of the last event: most events are of the one before's.
    private var lastSession: (key: SessionKey, texts: SessionTexts)?
    private var table: StreamedTable
    /// What the stores are called, where there are several.
    private let labels: [Label]

    /// A store's name as it stands in the formats.
    private struct Label {
        var name: String
        /// `"store":"NAME",`.
        var json: [UInt8]
        /// ` NAME`.
        var short: [UInt8]
    }

    private struct SessionKey: Hashable {
        var source: Int
        var ordinal: UInt64
    }

    /// What stands beside a payload.
    private struct Row {
        var sequence: UInt64
        var session: SessionKey
        var index: UInt64
        var timestamp: Int64
        var kind: KindTexts
        var isContext = false
    }

    /// - Parameters:
    ///   - fields: columns of JSON payloads, in place of the payload (`table`, `csv`).
    ///   - endsWithNUL: `payload` ends each with a NUL byte and not with a newline.
    convenience init(
        _ format: EventFormat, fields: [FieldColumn], endsWithNUL: Bool, of snapshot: Snapshot,
        to output: Output
    ) throws {
        try self.init(
            format, fields: fields, endsWithNUL: endsWithNUL, of: [(nil, snapshot)], to: output)
    }

    /// As the options say.
    convenience init(
        _ options: OutputOptions, of sources: [(label: String?, snapshot: Snapshot)],
        marksContext: Bool = false, to output: Output
    ) throws {
        try self.init(
            options.format, fields: FieldColumn.columns(options.fields), endsWithNUL: options.endsWithNUL,
            of: sources, marksContext: marksContext, to: output)
    }

    /// - Parameters:
    ///   - sources: the stores; with their names where there are several.
    ///   - marksContext: whether events that match are told from those around them also in the formats that have no names for it.
    init(
        _ format: EventFormat, fields: [FieldColumn], endsWithNUL: Bool,
        of sources: [(label: String?, snapshot: Snapshot)], marksContext: Bool = false, to output: Output
    ) throws {
        self.format = format
        self.marksContext = marksContext
        self.fields = fields
        payloadEnd = endsWithNUL ? 0 : UInt8(ascii: "\n")
        self.output = output
        labels = sources.compactMap(\.label).map { name in
            var json = ByteBuffer()
            json.append("\"store\":")
            json.appendJSONString(name)
            json.append(UInt8(ascii: ","))
            return Label(
                name: name, json: json.withUnsafeBytes { Array($0) },
                short: Array(" \(Formatting.oneLine(name))".utf8))
        }
        let first = (marksContext ? [" "] : []) + (labels.isEmpty ? [] : ["store"])
        table = StreamedTable(
            first + ["sequence", "time", "session", "kind"]
                + (fields.isEmpty ? ["payload"] : fields.map(\.name)),
            rightAligned: [first.count], uncut: [first.count, first.count + 1],
            columnsMax: Terminal.columns(STDOUT_FILENO))
        for (source, (_, snapshot)) in sources.enumerated() {
            for session in try snapshot.sessions() {
                sessions[SessionKey(source: source, ordinal: session.ordinal)] = Self.texts(
                    id: session.id, ordinal: session.ordinal)
            }
        }
        if format == .csv {
            if !labels.isEmpty { output.buffer.append("store,") }
            output.buffer.append("sequence,session,session_number,index,timestamp,kind,")
            if marksContext { output.buffer.append("context,") }
            if fields.isEmpty { output.buffer.append("encoding,payload") }
            for (position, field) in fields.enumerated() {
                if position > 0 { output.buffer.append(UInt8(ascii: ",")) }
                appendCSV(field.name)
            }
            output.buffer.append("\r\n")
        }
    }

    /// - Parameter isContext: it does not match itself.
    func print(_ event: borrowing EventView, isContext: Bool = false) throws {
        let row = row(event, isContext: isContext)
        try event.withUnsafeBytes { try print(row, $0) }
    }

    /// - Parameters:
    ///   - source: the number of its store.
    ///   - timestamp: in place of its own.
    func print(_ event: Event, source: Int = 0, timestamp: Int64? = nil, isContext: Bool = false) throws {
        let kind = kindsByKey[event.kind] ?? Self.texts(of: event.kind)
        kindsByKey[event.kind] = kind
        let row = Row(
            sequence: event.sequence, session: SessionKey(source: source, ordinal: event.sessionOrdinal),
            index: event.index, timestamp: timestamp ?? event.timestamp, kind: kind, isContext: isContext)
        if sessions[row.session] == nil {
            sessions[row.session] = Self.texts(id: event.sessionID, ordinal: event.sessionOrdinal)
        }
        try event.payload.withUnsafeBytes { try print(row, $0) }
    }

    /// Between groups of events that do not follow each other, in the formats for people.
    func separate() throws {
        if format == .short { try output.text("--\n") }
    }

    private func row(_ event: borrowing EventView, isContext: Bool = false) -> Row {
        learnSession(of: event)
        return Row(
            sequence: event.sequence, session: SessionKey(source: 0, ordinal: event.sessionOrdinal),
            index: event.index, timestamp: event.timestamp, kind: kind(of: event), isContext: isContext)
    }

    private func print(_ row: Row, _ payload: UnsafeRawBufferPointer) throws {
        switch format {
        case .payload:
            output.buffer.append(payload)
            output.buffer.append(payloadEnd)
        case .json:
            appendJSON(row, payload)
            output.buffer.append(UInt8(ascii: "\n"))
        case .short:
            if marksContext { output.buffer.append(row.isContext ? "  " : "> ") }
            RFC3339.append(row.timestamp, to: &output.buffer)
            if !labels.isEmpty { output.buffer.append(bytes: labels[row.session.source].short) }
            withSession(row.session) { output.buffer.append(bytes: $0.short) }
            output.buffer.append(bytes: row.kind.short)
            output.buffer.appendReadable(payload)
            output.buffer.append(UInt8(ascii: "\n"))
        case .table:
            let session = withSession(row.session) { $0.id }
            let cells =
                fields.isEmpty
                ? [String(decoding: payload, as: UTF8.self)]
                : fieldReader.values(fields, in: payload)
            let mark = marksContext ? [row.isContext ? " " : ">"] : []
            let first = mark + (labels.isEmpty ? [] : [labels[row.session.source].name])
            let lines = table.add(
                first + [String(row.sequence), RFC3339.string(row.timestamp), session, row.kind.name] + cells)
            for line in lines { try output.text(line + "\n") }
        case .csv: appendCSV(row, payload)
        }
        try output.flushIfFull()
    }

    /// Appends the object of an event to the output, without a line break: for one within another.
    func appendObject(_ event: borrowing EventView) {
        let row = row(event)
        event.withUnsafeBytes { appendJSON(row, $0) }
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

    private func appendJSON(_ row: Row, _ payload: UnsafeRawBufferPointer) {
        let kind = row.kind
        output.buffer.append(UInt8(ascii: "{"))
        if !labels.isEmpty { output.buffer.append(bytes: labels[row.session.source].json) }
        output.buffer.append("\"sequence\":")
        output.buffer.append(integer: row.sequence)
        withSession(row.session) { output.buffer.append(bytes: $0.json) }
        output.buffer.append(integer: row.index)
        output.buffer.append(",\"timestamp\":\"")
        RFC3339.append(row.timestamp, to: &output.buffer)
        output.buffer.append(bytes: kind.json)
        if row.isContext { output.buffer.append("\"context\":true,") }
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

    private func appendCSV(_ row: Row, _ payload: UnsafeRawBufferPointer) {
        let kind = row.kind
        if !labels.isEmpty {
            appendCSV(labels[row.session.source].name)
            output.buffer.append(UInt8(ascii: ","))
        }
        output.buffer.append(integer: row.sequence)
        output.buffer.append(UInt8(ascii: ","))
        withSession(row.session) { appendCSV($0.id) }
        output.buffer.append(UInt8(ascii: ","))
        output.buffer.append(integer: row.session.ordinal)
        output.buffer.append(UInt8(ascii: ","))
        output.buffer.append(integer: row.index)
        output.buffer.append(UInt8(ascii: ","))
        RFC3339.append(row.timestamp, to: &output.buffer)
        output.buffer.append(UInt8(ascii: ","))
        appendCSV(kind.name)
        if marksContext { output.buffer.append(row.isContext ? ",true" : ",false") }
        if !fields.isEmpty {
            for value in fieldReader.values(fields, in: payload) {
                output.buffer.append(UInt8(ascii: ","))
                appendCSV(value)
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

    private func appendCSV(_ text: String) { output.buffer.appendCSV(text) }

    private func appendCSV(_ bytes: UnsafeRawBufferPointer) { output.buffer.appendCSV(bytes) }

    private func kind(of event: borrowing EventView) -> KindTexts {
        let number = Int(event.kindNumber)
        if number < kinds.count, let texts = kinds[number] { return texts }
        return addKind(number, event.kind)
    }

    @inline(never)
    private func addKind(_ number: Int, _ kind: EventKind) -> KindTexts {
        let texts = Self.texts(of: kind)
        while kinds.count <= number { kinds.append(nil) }
        kinds[number] = texts
        return texts
    }

    private static func texts(of kind: EventKind) -> KindTexts {
        var json = ByteBuffer()
        json.append("\",\"kind\":")
        json.appendJSONString(kind.name)
        json.append(UInt8(ascii: ","))
        return KindTexts(
            name: kind.name, encoding: kind.encoding, json: json.withUnsafeBytes { Array($0) },
            short: Array(" \(Formatting.oneLine(kind.name)) ".utf8))
    }

    /// A session may have begun after the snapshot.
    private func learnSession(of event: borrowing EventView) {
        let key = SessionKey(source: 0, ordinal: event.sessionOrdinal)
        if lastSession?.key == key || sessions[key] != nil { return }
        sessions[key] = Self.texts(id: event.sessionID, ordinal: key.ordinal)
    }

    private func withSession<Answer>(_ key: SessionKey, _ body: (SessionTexts) -> Answer) -> Answer {
        if let lastSession, lastSession.key == key { return body(lastSession.texts) }
        let texts = sessions[key] ?? Self.texts(id: "", ordinal: key.ordinal)
        lastSession = (key, texts)
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
    /// A field of RFC 4180.
    mutating func appendCSV(_ text: String) {
        var text = text
        text.withUTF8 { appendCSV(UnsafeRawBufferPointer($0)) }
    }

    /// A field of RFC 4180: quoted where it has to be.
    mutating func appendCSV(_ bytes: UnsafeRawBufferPointer) {
        let quote = UInt8(ascii: "\"")
        guard bytes.contains(where: { $0 == quote || $0 == UInt8(ascii: ",") || $0 == 0x0A || $0 == 0x0D })
        else { return append(bytes) }
        append(quote)
        var rest = bytes
        while let found = position(of: quote, in: rest) {
            append(UnsafeRawBufferPointer(rebasing: rest[...found]))
            append(quote)
            rest = UnsafeRawBufferPointer(rebasing: rest[(found + 1)...])
        }
        append(rest)
        append(quote)
    }

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
    private let uncut: Set<Int>
    private let columnsMax: Int?
    private var held: [[String]]
    private var widths: [Int]?

    /// - Parameters:
    ///   - uncut: columns whose cells are never cut.
    ///   - columnsMax: what a line may take; cells are cut for that. `nil`: as much as there is.
    init(_ header: [String], rightAligned: Set<Int>, uncut: Set<Int> = [], columnsMax: Int? = nil) {
        held = [header.map(Formatting.oneLine)]
        self.rightAligned = rightAligned
        self.uncut = uncut
        self.columnsMax = columnsMax
    }

    /// - Returns: the lines that are ready.
    mutating func add(_ cells: [String]) -> [String] {
        let cells = cells.map(Formatting.oneLine)
        if let widths { return [line(cells, widths)] }
        held.append(cells)
        return held.count > Self.heldRows ? finish() : []
    }

    /// - Returns: the lines that were held back.
    mutating func finish() -> [String] {
        guard widths == nil else { return [] }
        let needed = TableLayout.widths(of: held)
        let settled = columnsMax.map { TableLayout.fitting(needed, $0, uncut: uncut) } ?? needed
        defer { held = [] }
        widths = settled
        return held.map { line($0, settled) }
    }

    private func line(_ cells: [String], _ widths: [Int]) -> String {
        guard columnsMax != nil else { return TableLayout.line(cells, widths, rightAligned) }
        return TableLayout.line(TableLayout.cut(cells, widths, uncut: uncut), widths, rightAligned)
    }
}
