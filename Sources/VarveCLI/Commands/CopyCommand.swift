import ArgumentParser
import Varve

/// `varve copy STORE NEW`.
struct CopyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "copy",
        abstract: "Makes a store of its own of the events that match: an excerpt to hand over.",
        discussion: """
            Sequence numbers, sessions, kinds and checkpoints are kept; what was left out is recorded as gaps, so that the excerpt \
            never looks like the whole. The exit code is 3 when a part of what was asked for can't be read.

            Without filters, or with none but on sessions, sessions without events are copied with their checkpoints; otherwise \
            those of which an event matches.

            Examples: what happened around an event; what one program did.

              varve copy flight.varve case-17.varve --around 4711 --window 10m
              varve copy flight.varve case-18.varve --where 'ProcessId == "4084"'
            """)

    @Argument(help: "The store's directory.")
    var store: String

    @Argument(help: "The new store's directory: nothing, or an empty one.")
    var new: String

    @OptionGroup(title: "Filters")
    var filters: FilterOptions

    @OptionGroup(title: "Progress")
    var progress: ProgressOptions

    func validate() throws {
        if filters.isReversed { throw ValidationError("--reverse: a store keeps the order recorded") }
    }

    func run() throws {
        let snapshot = try EventStore.openReadOnly(store).snapshot()
        let selection = try Selection(filters, in: snapshot, now: wallClock())
        var line = Progress(isWanted: progress.isWanted)
        let report: CopyReport
        do {
            defer { line.clear() }
            report = try snapshot.copy(selection.query, to: new) { line.show(events: $0, bytes: $1) }
        }
        let output = Output()
        try output.text(
            [
                Formatting.count(report.events, "event"),
                Formatting.count(UInt64(report.sessions), "session"),
                Formatting.count(UInt64(report.checkpoints), "checkpoint"),
                Formatting.bytes(report.bytes),
            ].joined(separator: ", ")
                + (report.leftOut > 0
                    ? "; \(Formatting.count(report.leftOut, "sequence number")) left out" : "")
                + "\n")
        try output.flush()
        QueryCommand.note(selection, matched: report.events, in: [snapshot])
        if report.lostCheckpoints > 0 {
            Diagnostics.note(
                "not complete: \(Formatting.count(UInt64(report.lostCheckpoints), "checkpoint")) can't be read"
            )
        }
        try QueryCommand.report(report.gaps)
        if !report.isIntact { throw ExitCode(ExitStatus.loss) }
    }
}
