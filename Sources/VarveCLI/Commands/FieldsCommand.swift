import ArgumentParser
import Varve
import VarveJSON

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// `varve fields STORE…`.
struct FieldsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fields",
        abstract: "Lists the fields that occur in JSON payloads, with types and counts.",
        discussion: """
            The paths are those of --where, --by and --fields; . is a payload that is no object. Each is listed with the number of events that have it and the types of its \
            values.

            Examples:

              varve fields flight.varve --kind Security
              varve fields flight.varve --limit 1000 --json
            """)

    @Argument(help: ArgumentHelp("The stores' directories.", valueName: "store"))
    var stores: [String]

    @OptionGroup(title: "Filters")
    var filters: FilterOptions

    @OptionGroup(title: "Several stores")
    var shifts: ShiftOptions

    @Flag(help: "One JSON object a line.")
    var json = false

    func validate() throws {
        try shifts.validate(for: stores, filters)
    }

    func run() throws {
        let list = try StoreList.open(stores)
        let now = wallClock()
        let reader = JSONPathReader()
        let shape = JSONPathReader.Shape()
        var (events, others) = (0 as UInt64, 0 as UInt64)
        var gaps: [[Gap]] = []
        for source in list.opened {
            var selection = try source.selection(
                filters, now: now, shift: shifts.shift(of: source.path))
            // The limit is of all stores together.
            selection.query.limit = selection.query.limit.map { $0 - min($0, events) }
            var cursor = try selection.cursor(in: source.snapshot)
            var found: UInt64 = 0
            while let event = try cursor.next() {
                found += 1
                if event.withUnsafeBytes({ reader.parse($0) }) { shape.add(reader) } else { others += 1 }
            }
            events += found
            QueryCommand.note(selection, matched: found, in: [source.snapshot])
            gaps.append(cursor.coverage.gaps)
        }
        let output = Output()
        var rows: [(path: String, node: JSONPathReader.Shape.Node)] = []
        // The root is a field only where it is more than a place for fields.
        if !shape.root.isPlainObject { rows.append((JSONPath.root.description, shape.root)) }
        Self.list(shape.root, "", &rows)
        if json {
            for (path, node) in rows { try output.line { Self.describe(path, node, &$0) } }
        } else {
            var table = TextTable(
                ["events", "path", "types"], rightAligned: [0], columnsMax: Terminal.columns(STDOUT_FILENO))
            for (path, node) in rows { table.add([Formatting.count(node.payloads), path, Self.types(node)]) }
            for line in table.lines() { try output.text(line + "\n") }
        }
        try output.flush()
        if others > 0 {
            Diagnostics.note("no JSON: \(Formatting.count(others)) of \(Formatting.count(events, "event"))")
        }
        if shape.isCutOff { Diagnostics.note("there are more fields than are listed: too many to keep") }
        try list.report(gaps)
    }

    private static func list(
        _ node: JSONPathReader.Shape.Node, _ path: String,
        _ rows: inout [(path: String, node: JSONPathReader.Shape.Node)]
    ) {
        if !path.isEmpty { rows.append((path, node)) }
        if let elements = node.elements { list(elements, path + "[]", &rows) }
        for (key, member) in node.members.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            let step = JSONTree.step(key)
            // Words of --where and names of attributes mean those at the beginning.
            let first = WherePredicate.isReserved(step) ? "." + step : step
            list(member, path.isEmpty ? first : step.hasPrefix("[") ? path + step : "\(path).\(step)", &rows)
        }
    }

    /// `string`, or `string 1,200, number 3`.
    private static func types(_ node: JSONPathReader.Shape.Node) -> String {
        let found = JSONPathReader.Shape.Kind.allCases.filter { node.counts[$0.rawValue] > 0 }
        if found.count == 1 { return "\(found[0])" }
        return found.map { "\($0) \(Formatting.count(node.counts[$0.rawValue]))" }.joined(separator: ", ")
    }

    private static func describe(
        _ path: String, _ node: JSONPathReader.Shape.Node, _ out: inout ByteBuffer
    ) {
        out.object { list, out in
            list.text("path", path, &out)
            list.number("events", node.payloads, &out)
            let types = JSONPathReader.Shape.Kind.allCases.filter { node.counts[$0.rawValue] > 0 }
                .map { "\"\($0)\":\(node.counts[$0.rawValue])" }.joined(separator: ",")
            list.raw("types", "{\(types)}", &out)
        }
    }
}

extension JSONPathReader.Shape.Node {
    /// Whether all that is here are objects with members, or nothing.
    fileprivate var isPlainObject: Bool {
        let objects = counts[JSONPathReader.Shape.Kind.object.rawValue]
        return counts.reduce(0, +) == objects && (objects == 0 || !members.isEmpty)
    }
}
