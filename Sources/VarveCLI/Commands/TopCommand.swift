import ArgumentParser
import Varve
import VarveJSON

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// `varve top STORE… --by PATH`.
struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Counts the most frequent values of fields in JSON payloads.",
        discussion: """
            --by takes paths as --where does (a.b, a[].b, ["a.b"]), and kind and session for what stands beside the payload (.kind for \
            a field of that name). Of a path with [] every value counts, once an event; several paths count together. Events without \
            a value are counted apart.

            Examples:

              varve top flight.varve --by EventID
              varve top flight.varve --by EventID,Hostname --kind Security --limit 20
              varve top flight.varve --by kind --from -1h --json
            """)

    @Argument(help: ArgumentHelp("The stores' directories.", valueName: "store"))
    var stores: [String]

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("What to count by.", valueName: "path[,path]"))
    var by: String

    @OptionGroup(title: "Filters")
    var filters: FilterOptions

    @OptionGroup(title: "Several stores")
    var shifts: ShiftOptions

    @Flag(help: "One JSON object a line.")
    var json = false

    @Flag(help: "CSV.")
    var csv = false

    private static let defaultCount: UInt64 = 10

    func validate() throws {
        if json, csv { throw ValidationError("--json and --csv can't be used together") }
        if filters.isReversed {
            throw ValidationError("--reverse: the most frequent values come first")
        }
        try shifts.validate(for: stores, filters)
        let names = try columns().map(\.name)
        for (place, name) in names.enumerated() where names[..<place].contains(name) {
            throw ValidationError("--by \(name): given twice")
        }
    }

    private func columns() throws -> [TopColumn] {
        try TopColumn.split(by).map { text throws in
            switch text {
            case "kind": return .kind
            case "session": return .session
            case ".": return .path(.root)
            case let name where WherePredicate.attributeNames.contains(name):
                throw ValidationError(
                    "--by \(name): of what stands beside the payload only kind and session are counted; "
                        + "write .\(name) for the field of the payload")
            default:
                do throws(JSONPath.Fault) {
                    return .path(try JSONPath(text))
                } catch {
                    throw ValidationError("--by \(error)")
                }
            }
        }
    }

    func run() throws {
        let columns = try columns()
        let list = try StoreList.open(stores)
        let now = wallClock()
        let reader = JSONPathReader()
        var counts = ValueCounts()
        var (events, without) = (0 as UInt64, 0 as UInt64)
        var gaps: [[Gap]] = []
        for source in list.opened {
            var selection = try source.selection(
                filters, now: now, shift: shifts.shift(of: source.path))
            // The limit is of values.
            if selection.query.limit != 0 { selection.query.limit = nil }
            let needsPayload = columns.contains { if case .path = $0 { true } else { false } }
            if !needsPayload, columns.count == 1 {
                try count(columns[0], source, selection, &counts, &events, &gaps)
                continue
            }
            var cursor = try selection.cursor(in: source.snapshot)
            var before = events
            while let event = try cursor.next() {
                events += 1
                let isJSON = !needsPayload || event.withUnsafeBytes { reader.parse($0) }
                let values = columns.map { column -> [JSONPathReader.Value] in
                    switch column {
                    case .kind: [.string(event.kind.name)]
                    case .session: [.string(event.sessionID)]
                    case .path(let path): isJSON ? reader.values(path) : []
                    }
                }
                if !counts.add(values) { without += 1 }
            }
            before = events - before
            QueryCommand.note(selection, matched: before, in: [source.snapshot])
            gaps.append(cursor.coverage.gaps)
        }
        let output = Output()
        try print(counts.top(Int(clamping: filters.limit ?? Self.defaultCount)), columns, output)
        try output.flush()
        if without > 0 {
            Diagnostics.note(
                "without a value: \(Formatting.count(without)) of \(Formatting.count(events, "event"))")
        }
        for note in counts.notes { Diagnostics.note(note) }
        try list.report(gaps)
    }

    /// Kinds and sessions are counted without the payloads.
    private func count(
        _ column: TopColumn, _ source: StoreList.Opened, _ selection: Selection,
        _ counts: inout ValueCounts, _ events: inout UInt64, _ gaps: inout [[Gap]]
    ) throws {
        let grouping: Tally.Grouping = if case .kind = column { .kind } else { .session }
        let tally = try source.snapshot.tally(selection.query, by: grouping, decodingAhead: true)
        for (group, count) in tally.totals {
            let name: String
            switch group {
            case .kind(let kind): name = kind.name
            case .session(let ordinal): name = (try? source.snapshot.session(ordinal: ordinal).id) ?? ""
            case .all: continue
            }
            counts.add([.string(name)], count)
        }
        events += tally.total
        QueryCommand.note(selection, matched: tally.total, in: [source.snapshot])
        gaps.append(tally.coverage.gaps)
    }

    private func print(
        _ top: [(key: [JSONPathReader.Value], value: UInt64)], _ columns: [TopColumn], _ output: Output
    ) throws {
        if json {
            for (row, count) in top {
                try output.line { out in
                    out.object { list, out in
                        list.number("events", count, &out)
                        var values = ByteBuffer()
                        for (place, (column, value)) in zip(columns, row).enumerated() {
                            values.append(place == 0 ? "{" : ",")
                            values.appendJSONString(column.name)
                            values.append(UInt8(ascii: ":"))
                            values.append(string: value.text(quoted: true))
                        }
                        values.append("}")
                        list.raw(
                            "values", values.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }, &out)
                    }
                }
            }
        } else if csv {
            output.buffer.append("events")
            for column in columns {
                output.buffer.append(UInt8(ascii: ","))
                output.buffer.appendCSV(column.name)
            }
            output.buffer.append("\r\n")
            for (row, count) in top {
                output.buffer.append(integer: count)
                for value in row {
                    output.buffer.append(UInt8(ascii: ","))
                    output.buffer.appendCSV(value.text(quoted: false))
                }
                output.buffer.append("\r\n")
                try output.flushIfFull()
            }
        } else {
            var table = TextTable(
                ["events"] + columns.map(\.name), rightAligned: [0],
                columnsMax: Terminal.columns(STDOUT_FILENO))
            for (row, count) in top {
                // Where a text looks like another value it has its quotes.
                table.add([Formatting.count(count)] + row.map { $0.text(quoted: $0.looksLikeAnother) })
            }
            for line in table.lines() { try output.text(line + "\n") }
        }
    }
}

/// What is counted by.
enum TopColumn {
    case kind, session
    case path(JSONPath)

    var name: String {
        switch self {
        case .kind: "kind"
        case .session: "session"
        case .path(let path): path.description
        }
    }

    /// The parts between commas that stand outside of quotes.
    static func split(_ text: String) -> [String] {
        var parts = [""]
        var isQuoted = false
        var isEscaped = false
        // An accent behind a quote is no part of it.
        for character in text.unicodeScalars {
            if character == ",", !isQuoted {
                parts.append("")
                continue
            }
            if character == "\"", !isEscaped { isQuoted.toggle() }
            isEscaped = isQuoted && character == "\\" && !isEscaped
            parts[parts.count - 1].unicodeScalars.append(character)
        }
        return parts
    }
}

extension JSONPathReader.Value {
    /// As in JSON; a text without quotes on request.
    func text(quoted: Bool) -> String {
        switch self {
        case .null: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .number(let text): return text
        case .array: return quoted ? "[]" : "(array)"
        case .object: return quoted ? "{}" : "(object)"
        case .string(let text):
            guard quoted else { return text }
            var buffer = ByteBuffer(capacity: text.utf8.count + 2)
            buffer.appendJSONString(text)
            return buffer.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        }
    }

    /// A text that reads as a number, a word of JSON, or nothing.
    var looksLikeAnother: Bool {
        guard case .string(let text) = self else { return false }
        return text.isEmpty || ["null", "true", "false", "(array)", "(object)"].contains(text)
            || Double(text) != nil
    }
}
