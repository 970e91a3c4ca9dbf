import ArgumentParser
import Varve
import VarveJSON

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// `varve histogram STORE…`.
struct HistogramCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "histogram",
        abstract: "Counts matching events by time, as a plot in the terminal.",
        discussion: """
            Without filters on payloads nothing is decompressed. With --by each kind or session has a line of its own, to its own \
            scale. Buckets begin at multiples of their width since 1970, UTC.

            Examples: when something happened; which kinds when; for another program.

              varve histogram flight.varve --grep "access denied"
              varve histogram flight.varve --by kind --from -24h
              varve histogram flight.varve --bucket 1m --json
            """)

    @Argument(help: ArgumentHelp("The stores' directories.", valueName: "store"))
    var stores: [String]

    @OptionGroup(title: "Filters")
    var filters: FilterOptions

    @OptionGroup(title: "Several stores")
    var shifts: ShiftOptions

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "The width of a bucket: 10s, 5m, 1h, 1d (default: what fits the terminal).",
            valueName: "duration"))
    var bucket: DurationText?

    @Option(help: "kind or session: what to tell apart.")
    var by: HistogramGrouping?

    @Flag(help: "One JSON object a line for each bucket that has events.")
    var json = false

    @Flag(help: "CSV, a line for each bucket that has events.")
    var csv = false

    @Flag(help: "Say on standard error what was pruned, counted and read for it.")
    var explain = false

    /// More are no plot.
    private static let linesMax: Int64 = 100_000
    private static let columnsMax: Int64 = 1_000

    func validate() throws {
        if json, csv { throw ValidationError("--json and --csv can't be used together") }
        if let bucket, bucket.nanoseconds == 0 || bucket.nanoseconds > UInt64(Int64.max) {
            throw ValidationError("--bucket: from 1ns to 292 years")
        }
        if filters.limit != nil { throw ValidationError("--limit: a histogram counts all events that match") }
        if filters.isReversed { throw ValidationError("--reverse: a histogram goes up in time") }
        try shifts.validate(for: stores, filters)
    }

    func run() throws {
        let startedAt = steadyClock()
        let now = wallClock()
        let list = try StoreList.open(stores)
        var queries: [(source: StoreList.Opened, selection: Selection, shift: Int64)] = []
        var range: ClosedRange<Int64>?
        for source in list.opened {
            let shift = shifts.shift(of: source.path)
            let selection = try source.selection(filters, now: now, shift: shift)
            queries.append((source, selection, shift))
            guard !selection.isEmpty, let found = try source.snapshot.timeRange(of: selection.query) else {
                continue
            }
            let times =
                found.lowerBound.saturating(adding: shift)...found.upperBound.saturating(adding: shift)
            range =
                range.map { min($0.lowerBound, times.lowerBound)...max($0.upperBound, times.upperBound) }
                ?? times
        }
        let columns = Terminal.columns(STDOUT_FILENO) ?? 100
        let width =
            bucket.map { Int64($0.nanoseconds) }
            ?? TimeBuckets.width(for: range, countMax: by == nil ? 40 : max(columns - 40, 20))
        var counts: [Int64: [HistogramKey: UInt64]] = [:]
        var gaps: [[Gap]] = []
        var lastTally: Tally?
        for (source, selection, shift) in queries {
            let tally = try source.snapshot.tally(
                selection.query, bucketNanoseconds: width, shiftNanoseconds: shift,
                by: by?.grouping ?? .none, decodingAhead: true)
            lastTally = tally
            for (bucket, groups) in tally.counts {
                for (group, count) in groups {
                    counts[bucket, default: [:]][key(group, source), default: 0] &+= count
                }
            }
            gaps.append(tally.coverage.gaps)
            QueryCommand.note(selection, matched: tally.total, in: [source.snapshot])
            if explain {
                if stores.count > 1 { Diagnostics.plain("\(source.label):") }
                Diagnostics.plain(source.snapshot.plan(selection.query).description)
                QueryCommand.explain(
                    tally.statistics, matched: nil, nanoseconds: steadyClock() - startedAt)
            }
        }
        let output = Output()
        if let lastTally {
            let histogram = Histogram(
                counts: counts, widthNanoseconds: width, by: by,
                start: { lastTally.times(ofBucket: $0).lowerBound })
            if json {
                try histogram.printJSON(to: output)
            } else if csv {
                try histogram.printCSV(to: output)
            } else {
                try plot(histogram, columns, output)
            }
        }
        try output.flush()
        try list.report(gaps)
    }

    private func plot(_ histogram: Histogram, _ columns: Int, _ output: Output) throws {
        guard let first = histogram.counts.keys.min(), let last = histogram.counts.keys.max() else {
            return try output.text("no event matches\n")
        }
        let (span, isOver) = last.subtractingReportingOverflow(first)
        let most = by == nil ? Self.linesMax : Self.columnsMax
        guard !isOver, span < most else {
            throw CommandFailure(
                "--bucket: that would be more than \(Formatting.count(UInt64(most))) "
                    + (by == nil ? "lines" : "columns")
                    + ": take wider ones, or --json, which leaves empty ones out")
        }
        try histogram.plot(first...last, columns: columns, to: output)
    }

    private func key(_ group: Tally.Group, _ source: StoreList.Opened) -> HistogramKey {
        switch group {
        case .all: return HistogramKey(name: "", number: 0)
        case .kind(let kind): return HistogramKey(name: kind.name, number: 0)
        case .session(let ordinal):
            let id = (try? source.snapshot.session(ordinal: ordinal).id) ?? ""
            return HistogramKey(
                store: stores.count > 1 ? source.label : nil, name: id, number: ordinal)
        }
    }
}

/// `--by`.
enum HistogramGrouping: String, ExpressibleByArgument, CaseIterable {
    case kind, session

    var grouping: Tally.Grouping { self == .kind ? .kind : .session }
}

/// What has a line of its own.
struct HistogramKey: Hashable, Comparable {
    var store: String?
    /// The kind's name, or the session's id.
    var name: String
    /// The session's ordinal.
    var number: UInt64

    static func < (left: HistogramKey, right: HistogramKey) -> Bool {
        (left.store ?? "", left.number, left.name) < (right.store ?? "", right.number, right.name)
    }
}

/// Widths of buckets that people like.
enum TimeBuckets {
    private static let second: Int64 = 1_000_000_000
    private static let niceSeconds: [Int64] = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400,
        172_800, 604_800, 1_209_600, 2_419_200, 7_257_600, 31_536_000, 315_360_000, 3_153_600_000,
    ]

    /// The narrowest nice width of which so many cover the range.
    static func width(for range: ClosedRange<Int64>?, countMax: Int) -> Int64 {
        // Of one moment any width is as good: one that can be read.
        guard let range, range.lowerBound < range.upperBound else { return second }
        var widths: [Int64] = []
        var step: Int64 = 1
        while step < second {
            widths += [step, 2 * step, 5 * step]
            step *= 10
        }
        widths += niceSeconds.map { $0 * second }
        let span = UInt64(bitPattern: range.upperBound &- range.lowerBound)
        return widths.first { span / UInt64($0) <= UInt64(countMax - 2) } ?? 3_153_600_000 * second
    }

    /// `10 s`, `5 min`, `1 d`.
    static func text(_ width: Int64) -> String {
        let units: [(Int64, String)] = [
            (86_400 * second, "d"), (3_600 * second, "h"), (60 * second, "min"), (second, "s"),
            (1_000_000, "ms"), (1_000, "µs"), (1, "ns"),
        ]
        let (size, name) = units.first { width % $0.0 == 0 } ?? (1, "ns")
        return "\(width / size) \(name)"
    }
}
