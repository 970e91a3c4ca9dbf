import ArgumentParser
import Varve

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// `varve replay STORE`.
struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Plays events with the gaps that they were recorded with.",
        discussion: """
            Events come in the order recorded (with --reverse backwards), each as long after the one before as \
            their times say, divided by the speed. Disorder of up to a second changes nothing; where a clock was \
            set back, time goes on from there. The exit code is 3 when a part of what was asked for can't be read.

            Examples: an hour in a minute; everything to another program, without long silences.

              varve replay flight.varve --from -1h --speed 60
              varve replay flight.varve --output payload --gap-max 2s | ./consumer
            """)

    @Argument(help: "The store's directory.")
    var store: String

    @OptionGroup(title: "Filters")
    var filters: FilterOptions

    @Option(help: ArgumentHelp("So many times as fast as recorded; max: without gaps.", valueName: "n"))
    var speed = ReplaySpeed(factor: 1)

    @Option(help: ArgumentHelp("Cut gaps short that would last longer than this.", valueName: "duration"))
    var gapMax: ReplayGap?

    @Option(
        name: [.customLong("output"), .customShort("o")],
        help: "short: one line each; json: one object each; payload: the payloads' own bytes; csv.")
    var output: EventFormat = .short

    @Flag(name: .customShort("0"), help: "With --output payload: end each with a NUL and not with a newline.")
    var endsWithNUL = false

    func validate() throws {
        if output == .table {
            throw ValidationError("--output table needs all events at once: use short or csv")
        }
        if endsWithNUL, output != .payload { throw ValidationError("-0 needs --output payload") }
    }

    func run() throws {
        let snapshot = try EventStore.openReadOnly(store).snapshot()
        let selection = try Selection(filters, in: snapshot, now: wallClock())
        let output = Output()
        let printer = try EventPrinter(
            self.output, fields: [], endsWithNUL: endsWithNUL, of: snapshot, to: output)
        guard !selection.isEmpty else { return try printer.finish() }

        var pacing = try ReplayPacing(
            speed: speed.factor, gapMax: gapMax.map { .nanoseconds(Int64(clamping: $0.length.nanoseconds)) },
            isReversed: selection.query.isReversed)
        let clock = ContinuousClock()
        let start = clock.now
        var played: UInt64 = 0
        var cursor = try snapshot.cursor(selection.query)
        while let event = try cursor.next() {
            if speed.factor.isFinite {
                let timestamp = event.timestamp
                let due = pacing.due(timestamp, now: start.duration(to: clock.now))
                if due > start.duration(to: clock.now) {
                    // What was due before is seen before it waits.
                    try output.flush()
                    sleep(until: start.advanced(by: due), clock)
                }
                pacing.play(timestamp, due: due)
            }
            try printer.print(event)
            played += 1
            if played == selection.query.limit { break }
        }
        try printer.finish()
        try QueryCommand.report(cursor.coverage.gaps)
    }

    private func sleep(until instant: ContinuousClock.Instant, _ clock: ContinuousClock) {
        while true {
            let rest = clock.now.duration(to: instant)
            guard rest > .zero else { return }
            // In pieces: a century does not fit a timespec everywhere, and a signal may end it early.
            let (seconds, attoseconds) = min(rest, .seconds(86_400)).components
            var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
            nanosleep(&time, nil)
        }
    }
}

/// `--speed`: a number over 0, or `max`.
struct ReplaySpeed: ExpressibleByArgument, Equatable {
    var factor: Double

    init(factor: Double) { self.factor = factor }

    init?(argument: String) {
        if argument == "max" {
            factor = .infinity
            return
        }
        guard let factor = Double(argument), factor > 0, factor.isFinite else { return nil }
        self.factor = factor
    }

    var defaultValueDescription: String { factor == 1 ? "1" : "\(factor)" }
}

/// `--gap-max`: a duration.
struct ReplayGap: ExpressibleByArgument, Equatable {
    var length: DurationText

    init?(argument: String) {
        guard let length = DurationText(argument) else { return nil }
        self.length = length
    }
}
