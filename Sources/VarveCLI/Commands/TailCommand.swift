import ArgumentParser
import Dispatch
import Varve

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// `varve tail STORE`.
struct TailCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tail",
        abstract: "Prints the last events, and follows a store that is being written.",
        discussion: """
            Events come in the order recorded. With --follow it goes on with every later event, whoever records it, \
            until it is interrupted. Where a cursor says where to go on, all events behind it come, and -n counts for \
            nothing. The exit code is 3 when a part of what was asked for can't be read; a follower says so when it \
            passes the place.

            Examples: what happens now; everything once, over restarts of the reader.

              varve tail flight.varve -n 20 --follow --kind Security
              varve tail flight.varve -f --cursor-file shipped --output json | ./ship
            """)

    @Argument(help: "The store's directory.")
    var store: String

    @OptionGroup(title: "Filters")
    var filters: FilterOptions

    @Option(
        name: .customShort("n"), help: ArgumentHelp("The last so many events that match.", valueName: "n"))
    var count: UInt64 = 10

    @Flag(
        name: [.customLong("follow"), .customShort("f")],
        help: "Go on with what is recorded later, until SIGINT or SIGTERM.")
    var follows = false

    @OptionGroup(title: "Cursor")
    var cursors: CursorOptions

    @OptionGroup(title: "Output")
    var output: OutputOptions

    func validate() throws {
        if filters.isReversed {
            throw ValidationError("--reverse: the last event comes last here: use query")
        }
        guard follows else { return }
        if output.format == .table {
            throw ValidationError("--output table needs all events at once: use short or csv with --follow")
        }
        if !filters.between.isEmpty {
            throw ValidationError("--between ends at a checkpoint: it can't be used with --follow")
        }
    }

    func run() throws {
        let store = try EventStore.openReadOnly(store)
        let snapshot = try store.snapshot()
        let selection = try Selection(filters, in: snapshot, now: wallClock())
        let start = try cursors.start()
        let output = Output()
        let printer = try EventPrinter(
            self.output, of: [(nil, snapshot)], to: output)
        var reached = Reached(cursors, at: start)
        do {
            if follows {
                try follow(
                    store, selection, from: start.map { .after($0) } ?? .last(count), printer, &reached)
                try printer.finish()
                try reached.finish()
            } else {
                let (printed, gaps) = try printLast(of: snapshot, selection, after: start, printer, &reached)
                try printer.finish()
                try reached.finish()
                QueryCommand.note(selection, matched: printed, in: [snapshot])
                try QueryCommand.report(gaps)
            }
        } catch let closed as ClosedPipe {
            // What was not taken comes again.
            try reached.finish()
            throw closed
        }
    }

    // MARK: What is there

    /// Prints the last events, or all behind a position. Returns how many, and what is missing among them.
    private func printLast(
        of snapshot: Snapshot, _ selection: Selection, after start: CursorPosition?, _ printer: EventPrinter,
        _ reached: inout Reached
    ) throws -> (printed: UInt64, gaps: [Gap]) {
        var query = selection.query
        if let start {
            query = try snapshot.query(query, after: start)
        } else if let first = try first(of: snapshot, selection) {
            let range = query.sequences ?? 0...UInt64.max
            query.sequences = max(first, range.lowerBound)...range.upperBound
        } else {
            return (0, [])
        }
        guard !selection.isEmpty else { return (0, []) }
        var printed: UInt64 = 0
        var position: CursorPosition?
        var cursor = try snapshot.cursor(query)
        while let event = try cursor.next() {
            try printer.print(event)
            position = event.position
            printed += 1
            if printed == selection.query.limit { break }
        }
        let gaps = cursor.coverage.gaps
        try printer.finish()
        try reached.advance(to: position)
        return (printed, gaps)
    }

    /// The number of the first of the last events that match; nil: there are none.
    private func first(of snapshot: Snapshot, _ selection: Selection) throws -> UInt64? {
        guard !selection.isEmpty, count > 0 else { return nil }
        var query = selection.query.reversed()
        let wanted = min(count, selection.query.limit ?? .max)
        query.limit = wanted
        var first: UInt64?
        var found: UInt64 = 0
        var cursor = try snapshot.cursor(query)
        while let event = try cursor.next() {
            first = event.sequence
            found += 1
            if found == wanted { break }
        }
        return first
    }

    // MARK: What comes

    private func follow(
        _ store: EventStore, _ selection: Selection, from start: FollowStart, _ printer: EventPrinter,
        _ reached: inout Reached
    ) throws {
        guard !selection.isEmpty else { return }
        let signals = try SignalInbox(catching: [SIGINT, SIGTERM, SIGHUP])
        let follower = try store.follower(selection.query, from: start)
        Self.cancel(follower, at: signals)
        try printer.flush()
        var told: Set<Gap> = []
        while try follower.next({ try printer.print($0) }) {
            try printer.flush()
            // Its numbers were those of one cursor.
            printer.forgetKinds()
            try reached.advance(to: follower.position)
            Self.tell(follower.coverage.gaps, &told)
        }
        try reached.advance(to: follower.position)
        Self.tell(follower.coverage.gaps, &told)
    }

    /// Says what is missing, as far as it was not said before.
    private static func tell(_ gaps: [Gap], _ told: inout Set<Gap>) {
        for gap in gaps where told.insert(gap).inserted {
            if let text = QueryCommand.droppedText([gap]) { Diagnostics.note(text) }
            if !gap.reason.isMeant { Diagnostics.note("not complete: \(Formatting.gap(gap))") }
        }
    }

    /// Cancels it once a signal comes or the reader of standard output has gone, on a thread that waits for both.
    private static func cancel(_ follower: Follower, at signals: SignalInbox) {
        DispatchQueue.global().async {
            while true {
                var both = [
                    pollfd(fd: signals.readEnd.number, events: Int16(POLLIN), revents: 0),
                    pollfd(fd: STDOUT_FILENO, events: 0, revents: 0),
                ]
                guard poll(&both, 2, -1) > 0 else { continue }
                if let signal = signals.next() { SignalInbox.restoreDefault(signal.number) }
                return follower.cancel()
            }
        }
    }
}

/// Where a reader got to: what it has written, and nobody need see again.
private struct Reached {
    /// A cursor is kept so often while following.
    private static let intervalNanoseconds: Int64 = 1_000_000_000
    private let cursors: CursorOptions
    private var position: CursorPosition?
    private var keptAt = steadyClock()

    init(_ cursors: CursorOptions, at position: CursorPosition?) {
        self.cursors = cursors
        self.position = position
    }

    /// Everything up to there has been written.
    mutating func advance(to next: CursorPosition?) throws {
        guard let next else { return }
        position = next
        let now = steadyClock()
        guard now - keptAt >= Self.intervalNanoseconds else { return }
        keptAt = now
        try cursors.keep(position)
    }

    func finish() throws { try cursors.finish(position) }
}
