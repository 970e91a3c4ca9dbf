import ArgumentParser
import Varve
import VarveJSON
import VarveRecorder

/// `varve export STORE`.
struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Writes what a store has as JSON Lines, as session JSON or as CSV.",
        discussion: """
            jsonl: sessions, events, checkpoints and kinds as JSON Lines. Nothing is lost on the way out and in: \
            `varve import` makes an equal store of it. Filters choose events; sessions and checkpoints come with them.

            session: one session as the recorder's session JSON, which `varve import` takes too: the last one, or the \
            last of those that --session or --session-number name. Other filters can't be used. All its events must be \
            a recorder's: JSON objects with a `type`, and the members that belong to it.

            csv: the events as query --output csv prints them.

            The exit code is 3 when a part of what was asked for can't be read.

            Examples: carry a session to another machine; keep one as a document.

              varve export flight.varve --session s1 | ssh other varve import s1.varve -
              varve export flight.varve --format session --session s1 > s1.json
            """)

    enum Format: String, ExpressibleByArgument, CaseIterable {
        case jsonl, session, csv
    }

    @Argument(help: "The store's directory.")
    var store: String

    @OptionGroup(title: "Filters")
    var filters: FilterOptions

    @Option(help: "The form.")
    var format: Format = .jsonl

    @OptionGroup var progress: ProgressOptions

    func validate() throws {
        if filters.isReversed {
            throw ValidationError("--reverse can't be used: an export has the order of the log")
        }
        guard format == .session else { return }
        for (isGiven, option) in [
            (filters.from != nil, "--from"), (filters.to != nil, "--to"),
            (filters.sequence != nil, "--sequence"), (!filters.between.isEmpty, "--between"),
            (!filters.kinds.isEmpty, "--kind"), (filters.limit != nil, "--limit"),
        ] where isGiven {
            throw ValidationError(
                "\(option) can't be used with --format session, which is a whole session: choose it with "
                    + "--session or --session-number")
        }
    }

    func run() throws {
        let store = try EventStore.openReadOnly(store)
        let snapshot = try store.snapshot()
        let gaps: [Gap]
        switch format {
        case .jsonl:
            var exporter = try Exporter(
                store, snapshot, try Selection(filters, in: snapshot, now: wallClock()),
                progress: Progress(isWanted: progress.isWanted))
            gaps = try exporter.run()
        case .session: gaps = try exportSession(of: snapshot)
        case .csv: gaps = try exportTable(of: snapshot)
        }
        try QueryCommand.report(gaps)
    }

    private func exportSession(of snapshot: Snapshot) throws -> [Gap] {
        let chosen = try Selection.sessions(
            ids: filters.sessionIDs, numbers: filters.sessionNumbers, in: snapshot)
        let info = chosen[chosen.count - 1]
        if chosen.count > 1 {
            Diagnostics.note(
                "of \(Formatting.count(UInt64(chosen.count), "session")) the last one is exported: "
                    + "number \(info.ordinal), \(info.id)")
        }
        let session = try snapshot.recordedSession(ordinal: info.ordinal)
        let output = Output()
        var line = Progress(isWanted: progress.isWanted)
        defer { line.clear() }
        var bytes: UInt64 = 0
        do {
            let coverage = try session.writeJSON { piece in
                output.buffer.append(piece)
                try output.flushIfFull()
                bytes += UInt64(piece.count)
                line.show(events: nil, bytes: bytes)
            }
            try output.flush()
            return coverage.gaps
        } catch RecorderError.unreadable(let sequence, let reason) {
            throw CommandFailure(
                "cannot export session \(info.id) as session JSON: sequence number \(sequence): \(reason): "
                    + "use --format jsonl, which takes everything")
        }
    }

    private func exportTable(of snapshot: Snapshot) throws -> [Gap] {
        let selection = try Selection(filters, in: snapshot, now: wallClock())
        let output = Output()
        let printer = try EventPrinter(.csv, fields: [], endsWithNUL: false, of: snapshot, to: output)
        var line = Progress(isWanted: progress.isWanted)
        defer { line.clear() }
        var gaps: [Gap] = []
        if !selection.isEmpty {
            var cursor = try selection.cursor(in: snapshot)
            var (events, bytes) = (0 as UInt64, 0 as UInt64)
            while let event = try cursor.next() {
                try printer.print(event)
                events += 1
                bytes += UInt64(event.payloadByteCount)
                if events & 1023 == 0 { line.show(events: events, bytes: bytes) }
                if events == selection.query.limit { break }
            }
            gaps = cursor.coverage.gaps
        }
        try printer.finish()
        return gaps
    }
}
