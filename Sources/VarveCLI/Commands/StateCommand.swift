import ArgumentParser
import Varve
import VarveJSON
import VarveRecorder

/// `varve state STORE`.
struct StateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "state",
        abstract: "Shows the nearest state at or before a point of a session, and the events since.",
        discussion: """
            The session is the last one, or the last of those that --session or --session-number name. The state \
            is that of its last checkpoint at the point or before it; where there is none, the events since are \
            those from the session's beginning. A point outside of the session is no error: what is nearest is shown.

            With --json: one object, its `checkpoint` as varve checkpoints --json has it, or null; then \
            `session`, `session_number`, `events_since` (how many), `complete` (whether all of them can be \
            read) and `gaps`. With --events the events follow, one object a line, as varve query --output json \
            has them. The exit code is 3 when a part of what was asked for can't be read: standard error then lists the gaps.

            Examples: what led to an incident, from the last state before it; the state before an event.

              varve state flight.varve --at-time 2026-05-10T12:34:56Z
              varve state flight.varve --at-index 1042 --json | jq .checkpoint.state
            """)

    @Argument(help: "The store's directory.")
    var store: String

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "After all that was recorded up to this time: RFC 3339, epoch, or relative (-2h).",
            valueName: "time"))
    var atTime: String?

    @Option(help: ArgumentHelp("Before the event with this index.", valueName: "n"))
    var atIndex: UInt64?

    @Option(
        name: .customLong("session"), parsing: .unconditional,
        help: ArgumentHelp("The last session of this id.", valueName: "id"))
    var sessionID: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("The session of this ordinal, or counted from the last one: -1.", valueName: "n"))
    var sessionNumber: Int64?

    @Flag(help: "One JSON object.")
    var json = false

    @Flag(help: "With --json: the events too, as JSON Lines. (Without it they always are printed.)")
    var events = false

    @Option(
        help: ArgumentHelp("Print at most so many events; they are counted all the same.", valueName: "n"))
    var limit: UInt64?

    func validate() throws {
        guard (atTime == nil) != (atIndex == nil) else {
            throw ValidationError("give the point: either --at-time or --at-index")
        }
        _ = try moment(now: wallClock())
    }

    private func moment(now: Int64) throws -> RecordedSession.Moment {
        guard let atTime else { return .index(atIndex ?? 0) }
        return .time(try FilterOptions.time(atTime, now: now, option: "--at-time"))
    }

    func run() throws {
        let snapshot = try EventStore.openReadOnly(store).snapshot()
        let chosen = try Selection.sessions(
            ids: sessionID.map { [$0] } ?? [], numbers: sessionNumber.map { [$0] } ?? [], in: snapshot)
        let info = chosen[chosen.count - 1]
        let session = try snapshot.recordedSession(ordinal: info.ordinal)
        let moment = try moment(now: wallClock())
        let (found, damaged) = try session.readableCheckpoint(before: moment)
        let (checkpoint, state) = (found?.checkpoint, found?.state)
        for passed in damaged {
            Diagnostics.note(
                "checkpoint \(passed.id), before event index \(passed.eventIndex), is damaged: "
                    + "an earlier one is shown")
        }
        let since = try EventsSince(checkpoint, upTo: moment, in: session)

        let output = Output()
        if json {
            try output.line { $0.state(checkpoint, state: state, of: info, since) }
        } else {
            try output.text(Formatting.oneLine(Self.title(checkpoint, of: info)) + "\n")
            if let state {
                try output.line { out in state.withUnsafeBytes { out.appendReadable($0) } }
            }
            let count = Formatting.count(since.count, "event") + " since"
            try output.text(
                count + (since.isComplete ? "" : ", not complete") + (since.count == 0 ? "\n" : ":\n"))
        }
        if !json || events, limit != 0 {
            let printer = try EventPrinter(
                json ? .json : .short, fields: [], endsWithNUL: false, of: snapshot, to: output)
            var printed: UInt64 = 0
            _ = try since.events.forEachStored { event in
                try printer.print(event)
                printed += 1
                return printed != limit
            }
            try printer.finish()
        }
        try output.flush()
        try QueryCommand.report(since.gaps)
        if !damaged.isEmpty { throw ExitCode(ExitStatus.loss) }
    }

    private static func title(_ checkpoint: Checkpoint?, of session: SessionInfo) -> String {
        let name = "session \(session.id) (number \(session.ordinal)): "
        guard let checkpoint else { return name + "no checkpoint before: from the session's beginning" }
        let label = checkpoint.label.map { " (\($0))" } ?? ""
        return name + "checkpoint \(checkpoint.id)\(label), \(Formatting.time(checkpoint.timestamp)), "
            + "before event index \(checkpoint.eventIndex)"
    }
}

/// What lies between a checkpoint, or the session's beginning, and a later point, found by reading it.
struct EventsSince {
    let events: RecordedEvents
    let count: UInt64
    /// What can't be read.
    let gaps: [Gap]
    /// Whether there were no more than those that were read.
    let isComplete: Bool

    init(
        _ checkpoint: Checkpoint?, upTo moment: RecordedSession.Moment, in session: RecordedSession
    ) throws {
        events = session.events(after: checkpoint, upTo: moment)
        var found: UInt64 = 0
        let missing = try events.forEachStored { _ in
            found += 1
            return true
        }.gaps
        count = found
        (gaps, isComplete) = try session.losses(
            after: checkpoint, upTo: moment, count: count, gaps: missing)
    }
}

extension ByteBuffer {
    fileprivate mutating func state(
        _ checkpoint: Checkpoint?, state: [UInt8]?, of session: SessionInfo, _ since: EventsSince
    ) {
        object { list, out in
            list.key("checkpoint", &out)
            if let checkpoint, let state {
                out.checkpoint(checkpoint, state: state)
            } else {
                out.append("null")
            }
            list.text("session", session.id, &out)
            list.number("session_number", session.ordinal, &out)
            list.number("events_since", since.count, &out)
            list.flag("complete", since.isComplete, &out)
            list.list("gaps", since.gaps, &out) { $1.gap($0) }
        }
    }
}
