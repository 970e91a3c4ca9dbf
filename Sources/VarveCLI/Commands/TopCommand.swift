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

    @Flag(help: "One JSON object a line.")
    var json = false

    @Flag(help: "CSV.")
    var csv = false

    /// More are not told apart: they take memory.
    private static let valuesMax = 1_000_000
    private static let defaultCount: UInt64 = 10

    func validate() throws {
        if json, csv { throw ValidationError("--json and --csv can't be used together") }
        try ShiftOptions.validate(stores)
        if stores.count > 1, filters.around != nil {
            throw ValidationError("--around: a sequence number is one store's: use --from and --to")
        }
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
        var counts: [[JSONPathReader.Value]: UInt64] = [:]
        var (events, without, untold) = (0 as UInt64, 0 as UInt64, 0 as UInt64)
        var gaps: [[Gap]] = []
        for source in list.opened {
            var selection = try source.selection(filters, now: now)
            // The limit is of values.
            if selection.query.limit != 0 { selection.query.limit = nil }
            let needsPayload = columns.contains { if case .path = $0 { true } else { false } }
            if !needsPayload, columns.count == 1 {
                try count(columns[0], source, selection, &counts, &events, &gaps)
                continue
            }
            var cursor = try source.snapshot.cursor(selection.query)
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
                let rows = Self.combinations(values)
                if rows.isEmpty { without += 1 }
                for row in rows {
                    if let known = counts[row] {
                        counts[row] = known + 1
                    } else if counts.count < Self.valuesMax {
                        counts[row] = 1
                    } else {
                        untold += 1
                    }
                }
            }
            before = events - before
            QueryCommand.note(selection, matched: before, in: [source.snapshot])
            gaps.append(cursor.coverage.gaps)
        }
        let output = Output()
        try print(Self.top(counts, Int(clamping: filters.limit ?? Self.defaultCount)), columns, output)
        try output.flush()
        if without > 0 {
            Diagnostics.note(
                "without a value: \(Formatting.count(without)) of \(Formatting.count(events, "event"))")
        }
        if untold > 0 {
            Diagnostics.note(
                "there are more than \(Formatting.count(UInt64(Self.valuesMax))) different values: "
                    + "\(Formatting.count(untold)) of those that came later are not counted")
        }
        try list.report(gaps)
    }

    /// Kinds and sessions are counted without the payloads.
    private func count(
        _ column: TopColumn, _ source: StoreList.Opened, _ selection: Selection,
        _ counts: inout [[JSONPathReader.Value]: UInt64], _ events: inout UInt64, _ gaps: inout [[Gap]]
    ) throws {
        let grouping: Tally.Grouping = if case .kind = column { .kind } else { .session }
        let tally = try source.snapshot.tally(selection.query, by: grouping)
        for (group, count) in tally.totals {
            let name: String
            switch group {
            case .kind(let kind): name = kind.name
            case .session(let ordinal): name = (try? source.snapshot.session(ordinal: ordinal).id) ?? ""
            case .all: continue
            }
            counts[[.string(name)], default: 0] += count
        }
        events += tally.total
        QueryCommand.note(selection, matched: tally.total, in: [source.snapshot])
        gaps.append(tally.coverage.gaps)
    }

    /// Each value of a column with each of the others, once each.
    private static func combinations(_ values: [[JSONPathReader.Value]]) -> [[JSONPathReader.Value]] {
        if values.allSatisfy({ $0.count == 1 }) { return [values.map { $0[0] }] }
        var rows: [[JSONPathReader.Value]] = [[]]
        for column in values {
            var distinct: [JSONPathReader.Value] = []
            for value in column where !distinct.contains(value) { distinct.append(value) }
            rows = rows.flatMap { row in distinct.map { row + [$0] } }
            // As many as there are values in a large array, and not their powers.
            if rows.count > 10_000 { rows = Array(rows.prefix(10_000)) }
        }
        return rows
    }

    /// The most frequent ones first; of equally frequent ones by what they look like.
    private static func top(
        _ counts: [[JSONPathReader.Value]: UInt64], _ countMax: Int
    ) -> [(key: [JSONPathReader.Value], value: UInt64)] {
        guard countMax > 0 else { return [] }
        var chosen = Array(counts)
        if counts.count > countMax {
            // Texts are made of those alone that may be among the first.
            let least = counts.values.sorted(by: >)[countMax - 1]
            chosen.removeAll { $0.value < least }
        }
        return chosen.map { (text: text($0.key), entry: $0) }
            .sorted { ($1.entry.value, $0.text) < ($0.entry.value, $1.text) }
            .prefix(countMax).map(\.entry)
    }

    private static func text(_ row: [JSONPathReader.Value]) -> String {
        row.map { $0.text(quoted: true) }.joined(separator: "\u{0}")
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
        for character in text {
            if character == ",", !isQuoted {
                parts.append("")
                continue
            }
            if character == "\"", !isEscaped { isQuoted.toggle() }
            isEscaped = character == "\\" && !isEscaped
            parts[parts.count - 1].append(character)
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
