import ArgumentParser
import Varve
import VarveJSON
import VarveRecorder

/// `varve diff STORE SESSION SESSION`.
struct DiffCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        abstract: "Finds where two sessions first diverge, and how.",
        discussion: """
            Events are compared in the order recorded, one with one: their kinds and payloads, and not their times. \
            JSON payloads are compared as values, without what --ignore names. A session is named by its id (the last \
            one of that id) or, where none has it, by its number, which counts from the last one when negative.

            The exit code is 0 when they are the same, 4 when they are not, and 3 when a part can't be read.

            Examples: the last two runs; two captures, with ids that are others in each.

              varve diff flight.varve -- -2 -1
              varve diff flight.varve before after --ignore 'spans[].id' --context 5
            """)

    @Argument(help: "The store's directory.")
    var store: String

    @Argument(help: "The first session: its id or number.")
    var first: String

    @Argument(help: "The second session.")
    var second: String

    @Option(help: ArgumentHelp("The store of the second session, if it is another one.", valueName: "store"))
    var with: String?

    @Option(
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "A place in JSON payloads that does not count: a.b, items[].id, [\"x y\"] (repeatable).",
            valueName: "path"), transform: { try JSONPath($0) })
    var ignore: [JSONPath] = []

    @Flag(help: "Times count too.")
    var compareTime = false

    @Option(help: ArgumentHelp("Events to show before and after the difference.", valueName: "n"))
    var context = 3

    @Flag(help: "One JSON object.")
    var json = false

    func validate() throws {
        if context < 0 { throw ValidationError("--context is 0 or more") }
    }

    func run() throws {
        let snapshot = try EventStore.openReadOnly(store).snapshot()
        let other = try with.map { try EventStore.openReadOnly($0).snapshot() } ?? snapshot
        let sides = [
            Side(snapshot, try Self.session(first, in: snapshot, store)),
            Side(other, try Self.session(second, in: other, with ?? store)),
        ]
        var comparison = SessionComparison()
        comparison.ignoredPaths = ignore
        comparison.comparesTime = compareTime
        comparison.contextCount = context
        let difference = try comparison.compare(
            sides[0].info.ordinal, in: snapshot, with: sides[1].info.ordinal, in: other)
        let output = Output()
        if json {
            try print(difference, sides, asJSONTo: output)
        } else {
            try print(difference, sides, to: output)
        }
        try output.flush()
        try QueryCommand.report(difference.firstCoverage.gaps + difference.secondCoverage.gaps)
        if difference.divergence != nil { throw ExitCode(ExitStatus.negative) }
    }

    private struct Side {
        let snapshot: Snapshot
        let info: SessionInfo

        init(_ snapshot: Snapshot, _ info: SessionInfo) {
            self.snapshot = snapshot
            self.info = info
        }

        /// Hands over events of it again, to be printed.
        func forEach(_ events: [Event], _ body: (EventView) throws -> Void) throws {
            guard let first = events.first, let last = events.last else { return }
            var cursor = try snapshot.cursor(
                Query().session(ordinal: info.ordinal).sequences(first.sequence...last.sequence))
            while let event = try cursor.next() { try body(event) }
        }

        func printer(_ format: EventFormat, to output: Output) throws -> EventPrinter {
            try EventPrinter(format, fields: [], endsWithNUL: false, of: snapshot, to: output)
        }
    }

    private static func session(_ name: String, in snapshot: Snapshot, _ store: String) throws -> SessionInfo
    {
        let sessions = try snapshot.sessions()
        if let named = sessions.last(where: { $0.id == name }) { return named }
        if let number = Int64(name), let ordinal = try? Selection.ordinal(number, of: sessions),
            let found = sessions.first(where: { $0.ordinal == ordinal })
        {
            return found
        }
        throw CommandFailure("\(store): no session \(name): there are \(sessions.count) (see varve sessions)")
    }

    private func print(_ difference: SessionDifference, _ sides: [Side], to output: Output) throws {
        let names = sides.map { "\($0.info.ordinal) (\(Formatting.oneLine($0.info.id)))" }
        let equal = Formatting.count(difference.equalEvents, "event")
        guard let divergence = difference.divergence else {
            return try output.text("sessions \(names[0]) and \(names[1]) are the same: \(equal)\n")
        }
        let place: String
        switch (divergence.first, divergence.second) {
        case (nil, _): place = "then session \(names[0]) ends"
        case (_, nil): place = "then session \(names[1]) ends"
        case (let first?, let second?) where first.kind != second.kind:
            place =
                "then other kinds: \(Formatting.oneLine(first.kind.name)), \(Formatting.oneLine(second.kind.name))"
        default:
            place =
                "then other at \(difference.path.map { $0.isEmpty ? "the whole payload" : $0 } ?? "the payload")"
        }
        try output.text("sessions \(names[0]) and \(names[1]): \(equal) the same, \(place)\n")
        let shown = [
            (difference.firstContext, divergence.first, "-"),
            (difference.secondContext, divergence.second, "+"),
        ]
        for (side, (events, different, mark)) in zip(sides, shown) {
            let head =
                "\(mark)\(mark)\(mark) session \(side.info.ordinal) (\(Formatting.oneLine(side.info.id)))"
            try output.text("\(head)\n")
            let printer = try side.printer(.short, to: output)
            try side.forEach(events) { event in
                output.buffer.append(string: event.sequence == different?.sequence ? "\(mark) " : "  ")
                try printer.print(event)
            }
            if different == nil { try output.text("\(mark) (it ends)\n") }
        }
    }

    private func print(_ difference: SessionDifference, _ sides: [Side], asJSONTo output: Output) throws {
        let divergence = difference.divergence
        output.buffer.append("{\"same\":")
        output.buffer.append(divergence == nil ? "true" : "false")
        output.buffer.append(",\"equal_events\":")
        output.buffer.append(integer: difference.equalEvents)
        output.buffer.append(",\"path\":")
        if let path = difference.path {
            output.buffer.appendJSONString(path)
        } else {
            output.buffer.append("null")
        }
        let shown = [
            (difference.firstContext, divergence?.first, difference.firstCoverage),
            (difference.secondContext, divergence?.second, difference.secondCoverage),
        ]
        for (number, (side, (events, different, coverage))) in zip(sides, shown).enumerated() {
            output.buffer.append(number == 0 ? ",\"first\":{" : ",\"second\":{")
            var list = JSONMembers()
            list.text("session", side.info.id, &output.buffer)
            list.number("session_number", side.info.ordinal, &output.buffer)
            list.number("sequence", different?.sequence, &output.buffer)
            list.list("gaps", coverage.gaps, &output.buffer) { $1.gap($0) }
            list.key("events", &output.buffer)
            output.buffer.append("[")
            var isFirst = true
            let printer = try side.printer(.json, to: output)
            try side.forEach(events) { event in
                if !isFirst { output.buffer.append(",") }
                isFirst = false
                printer.appendObject(event)
            }
            output.buffer.append("]}")
        }
        output.buffer.append("}\n")
    }
}
