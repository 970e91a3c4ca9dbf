import ArgumentParser
import Varve
import VarveJSON

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// `varve record STORE`.
struct RecordCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "record",
        abstract: "Records lines, or the output of a command, as a new session.",
        discussion: """
            Lines come from standard input, or with --input from a file. Each becomes an event whose payload is \
            the line's bytes, unchanged. JSON lines give their time and kind; other lines are kept as text. The \
            store is created where there is none. SIGINT, SIGTERM and SIGHUP end a recording in order.

            After -- a command is run, and its output lines are recorded as they come (kinds stdout and \
            stderr), between its start and its exit (kind process); the output is passed through. The exit code \
            is then the command's own: 128 + n for a signal, 125 when the recording failed, 126 or 127 when it \
            can't be run or found.

            With limits the store keeps the newest of what is recorded, and drops the oldest; they stay in force \
            until they are changed. What is pinned (varve pin) stays.

            Examples: record a capture; a live stream, of which a day is kept; a build.

              varve record flight.varve --input capture.jsonl --kind-field Channel
              journalctl -f -o json | varve record journal.varve --max-age 1d
              varve record builds.varve --session nightly -- make -j8
            """)

    enum InputFormat: String, ExpressibleByArgument, CaseIterable {
        case jsonl, export
    }

    enum FullQueue: String, ExpressibleByArgument, CaseIterable {
        case wait, drop
    }

    @Argument(help: "The store's directory.")
    var store: String

    @Option(
        help: ArgumentHelp(
            "Record this file instead of standard input. Its path, size and digest are kept.",
            valueName: "file"))
    var input: String?

    @Flag(help: "Take every line as text.")
    var text = false

    @Option(help: "What the input is: JSON Lines of any kind, or the form that export writes.")
    var format: InputFormat = .jsonl

    @Option(
        name: .customLong("time-field"), parsing: .unconditional,
        help: ArgumentHelp(
            "Where a line's time stands (default: the first usable one of timestamp, @timestamp, time, ts).",
            valueName: "path"))
    var timeField: String?

    @Option(
        name: .customLong("kind-field"), parsing: .unconditional,
        help: ArgumentHelp(
            "Where a line's kind stands (default: the first of type, kind, event that is text or a number).",
            valueName: "path"))
    var kindField: String?

    @Option(
        name: .customLong("time-zone"), parsing: .unconditional,
        help: ArgumentHelp(
            "The zone of times that name none, such as +02:00 (default: UTC).", valueName: "zone"))
    var timeZone: String?

    @Option(
        name: .customLong("on-bad"),
        help:
            "What to do with lines whose time can't be used, and with those over 64 MiB or an eighth of --max-bytes, which are split."
    )
    var onBad: LineRecorder.BadLines = .keep

    @Option(
        name: .customLong("session"), parsing: .unconditional,
        help: ArgumentHelp("The session's id (default: the time of start and the host).", valueName: "id"))
    var session: String?

    @Option(help: "When an event counts as durable: none (at the end), interval:200ms, synced (each batch).")
    var durability = DurabilityLevel(.interval(nanoseconds: 200_000_000))

    @Flag(help: "Print each event's sequence number on standard output once it is durable.")
    var acks = false

    @Option(
        name: .customLong("when-full"),
        help: "When the disk is too slow: wait, or drop events and count them.")
    var whenFull: FullQueue = .wait

    @OptionGroup(title: "Limits")
    var limits: LimitOptions

    @Flag(help: "Record the file also when the store has it already.")
    var again = false

    @Flag(help: "One JSON object as the receipt, on standard output.")
    var json = false

    @OptionGroup var progress: ProgressOptions

    @Flag(
        help: "Run the command with a pseudo-terminal for its output, since many programs buffer on a pipe.")
    var pty = false

    @Argument(parsing: .postTerminator, help: "The command to run, and its arguments.")
    var command: [String] = []

    func validate() throws {
        if let timeZone, TimeZoneArgument.parse(timeZone) == nil {
            throw ValidationError("--time-zone \(timeZone): not a zone: use Z, +02:00 or -0530")
        }
        if command.isEmpty {
            if pty {
                throw ValidationError("--pty belongs to a command: varve record STORE --pty -- COMMAND")
            }
        } else {
            for (isGiven, option) in [
                (input != nil, "--input"), (text, "--text"), (format == .export, "--format export"),
                (timeField != nil, "--time-field"), (kindField != nil, "--kind-field"),
                (timeZone != nil, "--time-zone"), (again, "--again"),
            ] where isGiven {
                throw ValidationError("\(option) can't be used with a command")
            }
            for (isGiven, option) in [(acks, "--acks"), (json, "--json")] where isGiven {
                throw ValidationError(
                    "\(option) can't be used with a command: standard output is the command's")
            }
        }
        for (isGiven, option) in [
            (timeField != nil, "--time-field"), (kindField != nil, "--kind-field"),
            (timeZone != nil, "--time-zone"), (text, "--text"),
        ] where isGiven && (format == .export || (text && option != "--text")) {
            throw ValidationError("\(option) can't be used with \(text ? "--text" : "--format export")")
        }
        if format == .export, session != nil {
            throw ValidationError(
                "--session can't be used with --format export, whose lines name their sessions")
        }
    }

    func run() throws {
        guard command.isEmpty else {
            let status = try CommandRecording.run(self)
            if status != ExitStatus.done { throw ExitCode(status) }
            return
        }
        // Before the store is made: a mistyped path leaves nothing behind.
        let file = try input.map { try InputFile($0) }
        let signals = try SignalInbox(catching: [SIGINT, SIGTERM, SIGHUP])
        let recording = try Recording(self)
        if !again, let file, let earlier = file.earlierSession(among: try recording.store.sessions()) {
            try recording.store.close()
            throw CommandFailure(
                "\(file.path) is in \(store) already, as session \(earlier.ordinal) (\(earlier.id)): "
                    + "--again records it once more")
        }
        switch format {
        case .jsonl: try LineRecording.run(self, recording, file, signals)
        case .export: try ExportRecording.run(self, recording, file, signals)
        }
    }

    /// Where a line's time is looked for.
    var timeFields: [String] { timeField.map { [$0] } ?? LineParser.defaultTimeFields }

    /// Where a line's kind is looked for.
    var kindFields: [String] { kindField.map { [$0] } ?? LineParser.defaultKindFields }
}

extension LineRecorder.BadLines: ExpressibleByArgument {}
