import ArgumentParser
import Varve
import VarveJSON

/// `varve query STORE…`.
struct QueryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "query",
        abstract: "Prints matching events.",
        discussion: """
            All filters combine by and. Events come in the order recorded; those of several stores by their time, each with its \
            store's name. The exit code is 3 when a part of what was asked for can't be read: standard error then says what.

            Examples: the last events of two kinds; what a program did, with what came before; a file as it was recorded; whether \
            anything happened; two machines side by side.

              varve query flight.varve --kind Security --kind Sysmon --from -2h -r
              varve query flight.varve -B 5 --where 'Image endswith r"\\lsass.exe" nocase'
              varve query flight.varve --session-number -1 --output payload > capture.jsonl
              varve query flight.varve --from -1h --grep "access denied" -q && echo yes
              varve query web.varve db.varve --shift db.varve=-19h --from -2d --limit 50
            """)

    @Argument(help: ArgumentHelp("The stores' directories.", valueName: "store"))
    var stores: [String]

    @OptionGroup(title: "Filters")
    var filters: FilterOptions

    @Option(help: "sequence: as recorded (one store); time: by their timestamps.")
    var order: EventOrder?

    @OptionGroup(title: "Several stores")
    var shifts: ShiftOptions

    @Option(
        name: .customShort("A"), help: ArgumentHelp("Also so many events after each match.", valueName: "n"))
    var after: UInt64 = 0

    @Option(
        name: .customShort("B"), help: ArgumentHelp("Also so many events before each match.", valueName: "n"))
    var before: UInt64 = 0

    @Option(
        name: .customShort("C"),
        help: ArgumentHelp(
            "Both: events of its session, of any kind. What matches is marked with >, or told by a column.",
            valueName: "n"))
    var around: UInt64 = 0

    @OptionGroup(title: "Cursor")
    var cursors: CursorOptions

    @OptionGroup(title: "Output")
    var output: OutputOptions

    @Flag(help: "Print how many events match, and nothing else.")
    var count = false

    @Flag(
        name: [.customLong("quiet"), .customShort("q")],
        help: "Print nothing: exit with 0 if an event matches, else with 4.")
    var quiet = false

    @Flag(help: "With --output json: a last line with the number of events, the gaps, and the cursor.")
    var trailer = false

    @Flag(help: "Say on standard error what was asked, and what was pruned, read and decompressed for it.")
    var explain = false

    private var hasContext: Bool { after > 0 || before > 0 || around > 0 }

    private var isByTime: Bool { stores.count > 1 || order == .time }

    func validate() throws {
        if trailer, output.format != .json || count || quiet {
            throw ValidationError("--trailer needs --output json")
        }
        if count, quiet { throw ValidationError("--count and --quiet can't be used together") }
        if stores.count > 1, order == .sequence {
            throw ValidationError("--order sequence: the numbers of several stores say nothing of each other")
        }
        if isByTime {
            for (isUsed, name) in [
                (hasContext, "-A, -B and -C"), (cursors.isUsed, "a cursor"),
            ] where isUsed {
                throw ValidationError("\(name): needs one store, and the order of its sequence numbers")
            }
        }
        if !isByTime, !shifts.shifts.isEmpty {
            throw ValidationError("--shift: needs --order time, or several stores")
        }
        try shifts.validate(for: stores, filters)
    }

    func run() throws { try isByTime ? runByTime() : runBySequence() }

    private func printer(
        _ sources: [(label: String?, snapshot: Snapshot)], _ output: Output
    ) throws -> EventPrinter? {
        guard !quiet, !count else { return nil }
        return try EventPrinter(
            self.output, of: sources,
            marksContext: hasContext, to: output)
    }

    // MARK: One store

    private func runBySequence() throws {
        let startedAt = steadyClock()
        let snapshot = try EventStore.openReadOnly(stores[0]).snapshot()
        var selection = try Selection(filters, in: snapshot, now: wallClock())
        let start = try cursors.start()
        if let start { selection.query = try snapshot.query(selection.query, after: start) }
        let output = Output()
        // Where one got to is known of events that were seen.
        if count, !cursors.isKept {
            let answer = try snapshot.explainedCount(selection.query, decodingAhead: true)
            try output.line { $0.append(integer: answer.events) }
            try output.flush()
            if explain {
                Diagnostics.plain(snapshot.plan(selection.query).description)
                Self.explain(
                    answer.statistics, matched: nil, nanoseconds: steadyClock() - startedAt)
            }
            Self.note(selection, matched: answer.events, in: [snapshot])
            return try Self.report(answer.coverage.gaps)
        }
        let printer = try printer([(nil, snapshot)], output)
        var context = ContextPrinter(
            snapshot, isReversed: selection.query.isReversed, before: max(before, around),
            after: max(after, around))
        var matched: UInt64 = 0
        var position = start
        var cursor = try selection.cursor(in: snapshot)
        while let event = try cursor.next() {
            matched += 1
            position = event.position
            if let printer {
                if hasContext { try context.printBefore(event, printer) }
                try printer.print(event)
            }
            if quiet { break }
        }
        if hasContext, let printer { try context.finish(printer) }
        var gaps = cursor.coverage.gaps
        for gap in context.gaps where !gaps.contains(where: { $0.covers(gap) }) { gaps.append(gap) }
        try printer?.finish()
        if count { try output.line { $0.append(integer: matched) } }
        if trailer { try Self.printTrailer(matched, gaps, isComplete: gaps.isEmpty, position, output) }
        try output.flush()
        // Who asks whether there is something has not seen it.
        try cursors.finish(quiet ? start : position)
        if explain {
            Diagnostics.plain(snapshot.plan(selection.query).description)
            Self.explain(cursor.statistics, matched: matched, nanoseconds: steadyClock() - startedAt)
        }
        Self.note(selection, matched: matched, in: [snapshot])
        if quiet, matched > 0 { return }
        try Self.report(gaps)
        if quiet { throw ExitCode(ExitStatus.negative) }
    }

    private static func printTrailer(
        _ matched: UInt64, _ gaps: [Gap], isComplete: Bool, _ position: CursorPosition?, _ output: Output
    ) throws {
        try output.line { out in
            out.object { list, out in
                list.number("events", matched, &out)
                list.flag("complete", isComplete, &out)
                list.list("gaps", gaps, &out) { $1.gap($0) }
                if let position { list.text("cursor", position.description, &out) }
            }
        }
    }

    // MARK: By time

    private func runByTime() throws {
        let startedAt = steadyClock()
        let now = wallClock()
        let sources = try StoreList.open(stores)
        var queries: [MergedEvents.Source] = []
        var selections: [Selection] = []
        for source in sources.opened {
            let shift = shifts.shift(of: source.path)
            let selection = try source.selection(filters, now: now, shift: shift, isShiftedLater: true)
            selections.append(selection)
            queries.append(
                MergedEvents.Source(
                    label: source.label, snapshot: source.snapshot, query: selection.query, shift: shift))
        }
        let output = Output()
        let isAlone = stores.count == 1
        let printer = try printer(
            sources.opened.map { (isAlone ? nil : $0.label, $0.snapshot) }, output)
        let events = try MergedEvents(queries, limit: filters.limit)
        var matched: UInt64 = 0
        while let found = try events.next() {
            matched += 1
            try printer?.print(found.event, source: found.source, timestamp: found.timestamp)
            if quiet { break }
        }
        try printer?.finish()
        if count { try output.line { $0.append(integer: matched) } }
        let gaps = queries.indices.map { events.coverage(ofSource: $0).gaps }
        if trailer {
            let gaps = gaps.flatMap { $0 }
            try Self.printTrailer(
                matched, gaps, isComplete: gaps.isEmpty && sources.failures.isEmpty, nil, output)
        }
        try output.flush()
        if explain {
            for (source, query) in queries.enumerated() {
                if !isAlone { Diagnostics.plain("\(query.label):") }
                Diagnostics.plain(query.snapshot.plan(query.query).description)
                Self.explain(events.statistics(ofSource: source), matched: nil, nanoseconds: nil)
            }
            Diagnostics.plain(Self.time(steadyClock() - startedAt))
        }
        if let first = selections.first {
            Self.note(first, matched: matched, in: sources.opened.map(\.snapshot))
        }
        if quiet, matched > 0 { return }
        try sources.report(gaps)
        if quiet { throw ExitCode(ExitStatus.negative) }
    }

    // MARK: What is said besides

    /// Says what is missing.
    ///
    /// - Throws: `ExitCode` 3 when something is lost.
    static func report(_ gaps: [Gap], label: String? = nil) throws {
        if let text = droppedText(gaps) { Diagnostics.note((label.map { "\($0): " } ?? "") + text) }
        // Dropped by the limits that the store was given, or left out of an excerpt: known, and no loss.
        let losses = gaps.filter { !$0.reason.isMeant }
        for gap in losses {
            Diagnostics.note((label.map { "\($0): " } ?? "") + "not complete: \(Formatting.gap(gap))")
        }
        if !losses.isEmpty { throw ExitCode(ExitStatus.loss) }
    }

    /// What the limits dropped of what was asked for; `nil`: nothing.
    static func droppedText(_ gaps: [Gap]) -> String? {
        let dropped = gaps.filter { $0.reason == .retention }.map(\.sequences)
        guard !dropped.isEmpty else { return nil }
        let named = dropped.prefix(3).map(Formatting.sequences).joined(separator: ", ")
        return "dropped by the store's limits: \(named)"
            + (dropped.count > 3 ? ", and \(Formatting.count(UInt64(dropped.count - 3), "range")) more" : "")
    }

    /// Events that are looked at for the reason why nothing matched.
    private static let lookedAtMax: UInt64 = 5_000

    /// Says why conditions match nothing, as far as the types of values are the reason.
    static func note(_ selection: Selection, matched: UInt64, in snapshots: [Snapshot]) {
        guard matched == 0, !selection.conditions.isEmpty, !selection.isEmpty else { return }
        for condition in selection.conditions where condition.needsPayload {
            var diagnosis = WhereDiagnosis(condition)
            for snapshot in snapshots {
                var query = selection.unconditional
                query.limit = lookedAtMax
                query.isReversed = false
                guard var cursor = try? snapshot.cursor(query) else { continue }
                while let event = try? cursor.next() { event.withUnsafeBytes { diagnosis.look(at: $0) } }
            }
            for note in diagnosis.notes { Diagnostics.note("nothing matched: \(note)") }
        }
    }

    private static func time(_ nanoseconds: Int64) -> String {
        "time: \(Formatting.oneDecimal(Double(nanoseconds) / 1_000_000)) ms"
    }

    static func explain(_ statistics: QueryStatistics, matched: UInt64?, nanoseconds: Int64?) {
        func pruned(_ pruned: QueryStatistics.Pruned) -> String {
            let parts = PruneReason.allCases.compactMap { reason in
                pruned[reason] > 0 ? "\(pruned[reason]) by \(reason.rawValue)" : nil
            }
            return parts.isEmpty ? "none pruned" : "pruned \(parts.joined(separator: ", "))"
        }
        var lines = [
            "segments: \(statistics.segments), \(pruned(statistics.segmentsPruned))"
                + (statistics.segmentsCounted > 0
                    ? ", \(statistics.segmentsCounted) counted by the index" : ""),
            "blocks: \(statistics.blocks), \(pruned(statistics.blocksPruned)), "
                + "\(statistics.blocksCounted) counted by statistics, \(statistics.blocksRead) read "
                + "(\(statistics.blocksRead - statistics.blocksDecoded) of them the small column alone)",
            "rows: \(Formatting.count(statistics.rowsDecoded)) looked at, "
                + "\(Formatting.count(statistics.rowsMatched)) matched"
                + (matched.map { ", \(Formatting.count($0)) printed" } ?? ""),
            "sub-blocks: \(statistics.subBlocksDecoded) decompressed, "
                + "\(statistics.subBlocksPruned) pruned by filter in blocks that were read",
            "bytes: \(Formatting.bytes(statistics.bytesRead)) read, "
                + "\(Formatting.bytes(statistics.bytesDecoded)) decompressed",
        ]
        if let nanoseconds { lines.append(time(nanoseconds)) }
        for line in lines { Diagnostics.plain(line) }
    }
}

extension Gap {
    /// Whether it says all that the other one says.
    fileprivate func covers(_ other: Gap) -> Bool {
        reason == other.reason && note == other.note && sequences.lowerBound <= other.sequences.lowerBound
            && sequences.upperBound >= other.sequences.upperBound
    }
}

/// The order in which events come.
enum EventOrder: String, ExpressibleByArgument, CaseIterable {
    case sequence, time
}
