import ArgumentParser
import Varve
import VarveJSON
import VarveRecorder

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// `varve import STORE FILE`.
struct ImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Adds the sessions of an export to a store, which is created where there is none.",
        discussion: """
            Sessions come with their ids, times, indices, kinds and checkpoints; sequence numbers are the \
            store's own. The whole file is checked before anything is added: if a line is wrong, it is named, \
            and nothing is kept. What comes from a pipe is kept in a temporary file meanwhile.

            Example: make a copy of a store.

              varve export flight.varve > flight.jsonl && varve import copy.varve flight.jsonl
            """)

    @Argument(help: "The store's directory.")
    var store: String

    @Argument(help: "The file; - for standard input.")
    var file: String

    @Flag(help: "One JSON object as the receipt, on standard output.")
    var json = false

    @OptionGroup var progress: ProgressOptions

    func run() throws {
        let name = file == "-" ? "standard input" : file
        let input = file == "-" ? OwnedDescriptor(dup(STDIN_FILENO)) : try OwnedDescriptor(reading: file)
        guard input.number >= 0 else { throw CommandFailure("cannot read \(name): \(errorText(errno))") }
        let status = try FileStatus(input.number, name: name)
        var line = Progress(isWanted: progress.isWanted)
        defer { line.clear() }

        // A pipe can be read only once.
        let isKept = status.isRegular && lseek(input.number, 0, SEEK_CUR) == 0
        let spool = isKept ? nil : try OwnedDescriptor.temporary()
        let header = try check(input, name, spool: spool, &line)
        let source = spool ?? input
        guard lseek(source.number, 0, SEEK_SET) == 0 else {
            throw CommandFailure("cannot read \(name) again: \(errorText(errno))")
        }
        try add(source, name, header, &line)
    }

    /// Reads everything once, so that nothing is added of a file that has a wrong line.
    private func check(
        _ input: OwnedDescriptor, _ name: String, spool: OwnedDescriptor?, _ progress: inout Progress
    ) throws -> ExportLine.Header? {
        let reader = ExportReader()
        var header: ExportLine.Header?
        try Self.forEachLine(of: input, name, spool: spool) { bytes, count in
            if case .header(let found) = try Self.next(reader, bytes, name) { header = found }
            progress.show(events: reader.lineCount, bytes: count)
        }
        do {
            try reader.finish()
        } catch {
            throw CommandFailure("cannot import \(name): \(error)")
        }
        return header
    }

    private func add(
        _ source: OwnedDescriptor, _ name: String, _ header: ExportLine.Header?, _ progress: inout Progress
    ) throws {
        var options = StoreOptions()
        options.metadata = header?.metadata ?? [:]
        let store = try EventStore.open(store, options: options)
        let storedBytes = try store.info().storedBytes
        let reader = ExportReader()
        let applier = ExportApplier(store: store, mode: .importing)
        do {
            try Self.forEachLine(of: source, name, spool: nil) { bytes, count in
                try applier.apply(try Self.next(reader, bytes, name))
                progress.show(events: applier.events, bytes: count)
            }
            try store.close()
        } catch {
            try? store.close()
            throw error
        }
        progress.clear()
        try applier.receipt.print(of: store, storedBytesBefore: storedBytes, asJSON: json)
        if applier.ledgerLines > 0 {
            Diagnostics.note(
                "the exported store lacked events at \(Formatting.count(applier.ledgerLines, "place")): "
                    + "its gaps and drops are not carried over")
        }
    }

    private static func next(_ reader: ExportReader, _ bytes: UnsafeRawBufferPointer, _ name: String) throws
        -> ExportLine
    {
        do {
            return try reader.next(bytes)
        } catch {
            throw CommandFailure("cannot import \(name): \(error)")
        }
    }

    /// Reads lines, and writes what was read to the spool.
    private static func forEachLine(
        of input: OwnedDescriptor, _ name: String, spool: OwnedDescriptor?,
        _ body: (UnsafeRawBufferPointer, UInt64) throws -> Void
    ) throws {
        var splitter = LineSplitter(bufferBytes: 1 << 20, lineBytesMax: ExportReader.lineBytesMax)
        var lines: UInt64 = 0
        var bytes: UInt64 = 0
        var isAtEnd = false
        while !isAtEnd {
            let spare = splitter.spare()
            let count = try readSome(input.number, into: spare, name: name)
            if let spool {
                try writeAll(
                    spool.number, UnsafeRawBufferPointer(rebasing: spare[..<count]),
                    name: "the temporary file")
            }
            splitter.commit(count)
            bytes += UInt64(count)
            isAtEnd = count == 0
            if isAtEnd { splitter.finish() }
            while let line = splitter.next() {
                lines += 1
                guard !line.isPiece else {
                    throw CommandFailure("cannot import \(name): line \(lines): longer than can be read")
                }
                try body(line.bytes, bytes)
            }
        }
    }
}
