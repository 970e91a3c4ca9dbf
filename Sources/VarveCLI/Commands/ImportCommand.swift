import ArgumentParser
import Varve
import VarveJSON
import VarveRecorder

/// `varve import STORE FILE`.
struct ImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Adds the sessions of an export to a store, which is created where there is none.",
        discussion: """
            Takes the JSON Lines that varve export writes, and a recorder's session JSON, and sees which of them the file is. \
            Sessions come with their ids, times, indices, kinds and checkpoints; sequence numbers are the \
            store's own. The whole file is checked before anything is added: if something is wrong, its place is \
            named, and nothing is kept. What comes from a pipe is kept in a temporary file meanwhile.

            Examples: make a copy of a store; add a session that an application has exported.

              varve export flight.varve > all.jsonl && varve import copy.varve all.jsonl
              varve import flight.varve session.json
            """)

    @Argument(help: "The store's directory.")
    var store: String

    @Argument(help: "The file; - for standard input.")
    var file: String

    @Option(help: "What the file is (default: what it looks like).")
    var format: ImportForm?

    @Flag(help: "One JSON object as the receipt, on standard output.")
    var json = false

    @OptionGroup(title: "Limits")
    var limits: LimitOptions

    @OptionGroup var progress: ProgressOptions

    func run() throws {
        let input = try RepeatableInput(file)
        var line = Progress(isWanted: progress.isWanted)
        defer { line.clear() }
        switch try format ?? ImportForm.recognise(input.read) {
        case .jsonl: try importLines(input, &line)
        case .session: try importSession(input, &line)
        case nil:
            throw CommandFailure(
                "cannot import \(input.name): neither session JSON nor JSON Lines as varve export writes them"
            )
        }
    }

    /// Opens the store, adds to it what `body` adds, closes it, and prints the receipt.
    ///
    /// Nothing is made of a store that does not exist before the whole input was found to be right.
    private func add(
        metadata: [String: String] = [:], _ progress: inout Progress,
        _ body: (EventStore, inout Progress) throws -> Receipt
    ) throws {
        var options = StoreOptions()
        options.metadata = metadata
        options.diagnostics = Diagnostics.tell
        var before = try StoreBefore(store)
        options.limits = try limits.limits(of: before.info?.limits)
        let store = try EventStore.open(store, options: options)
        before.nextSequence = store.nextSequence
        let receipt: Receipt
        do {
            receipt = try body(store, &progress)
            try store.close()
        } catch {
            try? store.close()
            throw error
        }
        progress.clear()
        try receipt.print(of: store, since: before, asJSON: json)
    }

    private static func failure(_ input: RepeatableInput, _ error: any Error) -> CommandFailure {
        CommandFailure("cannot import \(input.name): \(error)")
    }

    // MARK: Session JSON

    private func importSession(_ input: RepeatableInput, _ progress: inout Progress) throws {
        do {
            try input.rewind()
            let summary = try SessionImporter.validate(SessionJSON.Reader(source: input.read)) {
                progress.show(events: $0, bytes: input.position)
            }
            try input.rewind()
            try add(&progress) { store, progress in
                let importer = SessionImporter(store: store, kinds: EventKinds(store: store))
                let imported = try importer.add(SessionJSON.Reader(source: input.read), validated: summary) {
                    progress.show(events: $0.events, bytes: input.position)
                }
                var receipt = Receipt()
                receipt.events = imported.events
                receipt.sessions = 1
                receipt.checkpoints = imported.checkpoints
                receipt.rawBytes = imported.payloadBytes
                return receipt
            }
        } catch let error as SessionJSONError {
            throw Self.failure(input, error)
        } catch RecorderError.indicesUsedUp {
            throw Self.failure(input, RecorderError.indicesUsedUp)
        }
    }

    // MARK: JSON Lines

    private func importLines(_ input: RepeatableInput, _ progress: inout Progress) throws {
        let header = try check(input, &progress)
        var ledgerLines: UInt64 = 0
        try add(metadata: header?.metadata ?? [:], &progress) { store, progress in
            let reader = ExportReader()
            let applier = ExportApplier(store: store, mode: .importing)
            try Self.forEachLine(of: input) { bytes in
                try applier.apply(try Self.next(reader, bytes, input))
                progress.show(events: applier.events, bytes: input.position)
            }
            ledgerLines = applier.ledgerLines
            return applier.receipt
        }
        if ledgerLines > 0 {
            Diagnostics.note(
                "the exported store lacked events at \(Formatting.count(ledgerLines, "place")): "
                    + "its gaps and drops are not carried over")
        }
    }

    /// Reads everything once, so that nothing is added of a file that has a wrong line.
    private func check(
        _ input: RepeatableInput, _ progress: inout Progress
    ) throws -> ExportLine.Header? {
        let reader = ExportReader()
        var header: ExportLine.Header?
        try Self.forEachLine(of: input) { bytes in
            if case .header(let found) = try Self.next(reader, bytes, input) { header = found }
            progress.show(events: reader.lineCount, bytes: input.position)
        }
        do {
            try reader.finish()
        } catch {
            throw Self.failure(input, error)
        }
        return header
    }

    private static func next(
        _ reader: ExportReader, _ bytes: UnsafeRawBufferPointer, _ input: RepeatableInput
    ) throws -> ExportLine {
        do {
            return try reader.next(bytes)
        } catch {
            throw failure(input, error)
        }
    }

    /// Reads the input's lines from its beginning.
    private static func forEachLine(
        of input: RepeatableInput, _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        try input.rewind()
        var splitter = LineSplitter(bufferBytes: 1 << 20, lineBytesMax: ExportReader.lineBytesMax)
        var lines: UInt64 = 0
        var isAtEnd = false
        while !isAtEnd {
            let count = try input.read(into: splitter.spare())
            splitter.commit(count)
            isAtEnd = count == 0
            if isAtEnd { splitter.finish() }
            while let line = splitter.next() {
                lines += 1
                guard !line.isPiece else {
                    throw CommandFailure(
                        "cannot import \(input.name): line \(lines): longer than can be read")
                }
                try body(line.bytes)
            }
        }
    }
}
