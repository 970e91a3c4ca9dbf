import ArgumentParser
import Varve
import VarveJSON

/// `varve query STORE`.
struct QueryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "query",
        abstract: "Prints matching events.",
        discussion: """
            All filters combine by and. The exit code is 3 when a part of what was asked for can't be read: \
            standard error then lists the gaps.

            Examples: the last errors of two kinds; a file as it was recorded; whether anything happened.

              varve query flight.varve --kind Security --kind Sysmon --from -2h --reverse --limit 20
              varve query flight.varve --session-number -1 --output payload > capture.jsonl
              varve query flight.varve --from 2026-05-10T12:00:00Z --quiet && echo yes
            """)

    @Argument(help: "The store's directory.")
    var store: String

    @OptionGroup(title: "Filters")
    var filters: FilterOptions

    @Option(
        name: [.customLong("output"), .customShort("o")],
        help: "short: one line each; json: one object each; payload: the payloads' own bytes; table; csv.")
    var output: EventFormat = .short

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "With table and csv: values of JSON payloads in place of the payload.", valueName: "a,b.c"))
    var fields: String?

    @Flag(name: .customShort("0"), help: "With --output payload: end each with a NUL and not a newline.")
    var endsWithNUL = false

    @Flag(help: "Print how many events match, and nothing else.")
    var count = false

    @Flag(
        name: [.customLong("quiet"), .customShort("q")],
        help: "Print nothing: exit with 0 if an event matches, else with 4.")
    var quiet = false

    @Flag(help: "With --output json: a last line with the number of events, and the gaps.")
    var trailer = false

    @Flag(help: "Say on standard error what was pruned, decoded and read.")
    var explain = false

    func validate() throws {
        if fields != nil, output != .table, output != .csv {
            throw ValidationError("--fields needs --output table or csv")
        }
        if endsWithNUL, output != .payload { throw ValidationError("-0 needs --output payload") }
        if trailer, output != .json || count || quiet {
            throw ValidationError("--trailer needs --output json")
        }
        if count, quiet { throw ValidationError("--count and --quiet can't be used together") }
    }

    func run() throws {
        let snapshot = try EventStore.openReadOnly(store).snapshot()
        let selection = try Selection(filters, in: snapshot, now: wallClock())
        let output = Output()
        if count { return try printCount(selection, snapshot, output) }

        var matched: UInt64 = 0
        var gaps: [Gap] = []
        var statistics: QueryStatistics?
        var printer: EventPrinter?
        if !quiet {
            printer = try EventPrinter(
                self.output, fields: fields.map { $0.split(separator: ",").map(String.init) } ?? [],
                endsWithNUL: endsWithNUL, of: snapshot, to: output)
        }
        if !selection.isEmpty {
            var cursor = try snapshot.cursor(selection.query)
            while let event = try cursor.next() {
                guard selection.contains(index: event.index) else { continue }
                matched += 1
                try printer?.print(event)
                if quiet || matched == selection.limit { break }
            }
            gaps = cursor.coverage.gaps
            statistics = cursor.statistics
        }
        try printer?.finish()
        if trailer {
            try output.line { out in
                out.object { list, out in
                    list.number("events", matched, &out)
                    list.flag("complete", gaps.isEmpty, &out)
                    list.list("gaps", gaps, &out) { $1.gap($0) }
                }
            }
            try output.flush()
        }
        if explain, let statistics { Self.explain(statistics, matched: matched) }
        if quiet, matched > 0 { return }
        try Self.report(gaps)
        if quiet { throw ExitCode(ExitStatus.negative) }
    }

    private func printCount(_ selection: Selection, _ snapshot: Snapshot, _ output: Output) throws {
        var gaps: [Gap] = []
        var count: UInt64 = 0
        if !selection.isEmpty {
            if selection.indices == nil {
                let answer = try snapshot.countWithCoverage(selection.query)
                count = answer.events
                gaps = answer.coverage.gaps
            } else {
                var cursor = try snapshot.cursor(selection.query)
                while let event = try cursor.next() {
                    if selection.contains(index: event.index) { count += 1 }
                    if count == selection.limit { break }
                }
                gaps = cursor.coverage.gaps
            }
        }
        try output.line { $0.append(integer: count) }
        try output.flush()
        try Self.report(gaps)
    }

    /// Says what is missing.
    ///
    /// - Throws: `ExitCode` 3 when something is.
    static func report(_ gaps: [Gap]) throws {
        // Dropped by the limits that the store was given: known, and no loss.
        let losses = gaps.filter { $0.reason != .retention && $0.reason != .excluded }
        for gap in losses { Diagnostics.note("not complete: \(Formatting.gap(gap))") }
        if !losses.isEmpty { throw ExitCode(ExitStatus.loss) }
    }

    private static func explain(_ statistics: QueryStatistics, matched: UInt64) {
        let lines = [
            "segments: \(statistics.segments), \(statistics.segmentsPruned.total) pruned",
            "blocks: \(statistics.blocks), \(statistics.blocksPruned.total) pruned",
            "rows: \(Formatting.count(statistics.rowsDecoded)) decoded, "
                + "\(Formatting.count(statistics.rowsMatched)) matched, \(Formatting.count(matched)) printed",
            "sub-blocks decompressed: \(statistics.subBlocksDecoded)",
            "bytes: \(Formatting.bytes(statistics.bytesRead)) read, "
                + "\(Formatting.bytes(statistics.bytesDecoded)) decompressed",
        ]
        for line in lines { Diagnostics.plain(line) }
    }
}
