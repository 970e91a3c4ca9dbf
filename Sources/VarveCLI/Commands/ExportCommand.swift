import ArgumentParser
import Varve
import VarveJSON
import VarveRecorder

/// `varve export STORE`.
struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Writes sessions, events, checkpoints and kinds as JSON Lines that can be imported again.",
        discussion: """
            Nothing is lost on the way out and in: `varve import` makes an equal store of it. Filters choose \
            events; sessions and checkpoints come with them. The exit code is 3 when a part of what was asked for \
            can't be read.

            Example: carry the last session to another machine.

              varve export flight.varve --session-number -1 | ssh other varve import flight.varve -
            """)

    enum Format: String, ExpressibleByArgument, CaseIterable {
        case jsonl
    }

    @Argument(help: "The store's directory.")
    var store: String

    @OptionGroup(title: "Filters")
    var filters: FilterOptions

    @Option(help: "The form: JSON Lines.")
    var format: Format = .jsonl

    @OptionGroup var progress: ProgressOptions

    func validate() throws {
        if filters.isReversed {
            throw ValidationError("--reverse can't be used: an export has the order of the log")
        }
    }

    func run() throws {
        let store = try EventStore.openReadOnly(store)
        let snapshot = try store.snapshot()
        let selection = try Selection(filters, in: snapshot, now: wallClock())
        var exporter = try Exporter(
            store, snapshot, selection, progress: Progress(isWanted: progress.isWanted))
        let gaps = try exporter.run()
        try QueryCommand.report(gaps)
    }
}
