import ArgumentParser
import Varve
import VarveJSON
import VarveRecorder

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// A store that is open for a recording, and what is said at its end.
final class Recording {
    let store: EventStore
    let startedAt: Int64
    var acknowledgments: Acknowledgments
    var progress: Progress
    private var before: StoreBefore
    private let isReceiptJSON: Bool

    /// Opens the store, making it where there is none.
    init(_ command: RecordCommand) throws {
        var options = StoreOptions()
        options.durability = command.durability.durability
        options.whenFull = command.whenFull == .drop ? .dropAndCount : .wait
        options.diagnostics = Diagnostics.tell
        startedAt = wallClock()
        before = try StoreBefore(command.store)
        options.limits = try command.limits.limits(of: before.info?.limits)
        store = try EventStore.open(command.store, options: options)
        before.nextSequence = store.nextSequence
        acknowledgments = Acknowledgments(isWanted: command.acks)
        progress = Progress(isWanted: command.progress.isWanted)
        isReceiptJSON = command.json
        if let recovery = store.recovery { Diagnostics.note(Self.text(recovery)) }
    }

    private static func text(_ recovery: RecoveryReport) -> String {
        var text = "the store was not closed in order: "
        text += Formatting.count(recovery.recoveredEvents, "event") + " recovered"
        if let session = recovery.interruptedSession { text += ", session \(session) is interrupted" }
        for gap in recovery.gaps { text += "; \(Formatting.gap(gap))" }
        return text
    }

    /// The id of a session that was given none.
    var defaultSessionID: String {
        var buffer = ByteBuffer()
        RFC3339.appendShortest(startedAt - startedAt % 1_000_000, to: &buffer)
        return buffer.withUnsafeBytes { String(decoding: $0, as: UTF8.self) } + "@" + hostName()
    }

    /// How long a wait for input may take: while numbers wait to be acknowledged, not long.
    var waitMilliseconds: Int32? { acknowledgments.arePending ? 20 : progress.waitMilliseconds }

    /// Prints the numbers of events that have become durable.
    func acknowledge(_ sequences: ClosedRange<UInt64>?) throws {
        acknowledgments.update(sequences)
        guard acknowledgments.arePending else { return }
        try acknowledgments.print(through: store.durableThrough)
    }

    /// Closes the store, prints the last acknowledgments, and the receipt.
    ///
    /// - Parameter sequences: of the recording, all of them durable once the store is closed.
    /// - Throws: `ExitCode` 3 when events were dropped.
    func finish(_ receipt: Receipt, sequences: ClosedRange<UInt64>?) throws {
        try store.close()
        acknowledgments.update(sequences)
        try acknowledgments.print(through: UInt64.max)
        progress.clear()
        try receipt.print(of: store, since: before, asJSON: isReceiptJSON)
        if receipt.droppedEvents > 0 { throw ExitCode(ExitStatus.loss) }
    }
}

/// Reads lines until the input ends or a signal comes.
enum LineLoop {
    /// Why reading ended.
    enum Ending: Equatable {
        case inputEnded
        case signal(Int32)
    }

    /// How much is read at once, at most.
    private static let bufferBytes = 1 << 20
    /// What is still read after a signal, when it is there already: the last output of a program that the same
    /// signal ended stands in the pipe.
    private static let drainBytesMax = 1 << 20

    /// Reads a descriptor, and after each read hands over the lines that are there.
    ///
    /// - Parameters:
    ///   - bytesMax: reads no further.
    ///   - lines: takes all lines of the splitter; with the time of their arrival.
    ///   - wait: before each wait: how long it may take.
    ///   - pause: after the lines of a read, or of none: whatever is to be done before the next wait. Its argument
    ///     is how many bytes were read so far.
    static func run(
        _ descriptor: Int32, name: String, bytesMax: UInt64?, lineBytesMax: Int,
        signals: SignalInbox,
        lines: (inout LineSplitter, Int64) throws -> Void, wait: () -> Int32?, pause: (UInt64) throws -> Void
    ) throws -> Ending {
        var splitter = LineSplitter(bufferBytes: bufferBytes, lineBytesMax: lineBytesMax)
        var bytes: UInt64 = 0
        var ending = Ending.inputEnded
        var drained = 0
        reading: while bytes < bytesMax ?? .max {
            let isEnding = ending != .inputEnded
            let ready = try waitUntilReadable(
                [descriptor, signals.readEnd.number], milliseconds: isEnding ? 0 : wait())
            if !isEnding, ready[1], let arrival = signals.next() {
                ending = .signal(arrival.number)
                // A second Ctrl-C ends the process even if the disk doesn't answer.
                SignalInbox.restoreDefault(SIGINT)
                if bytesMax != nil { break }
                continue
            }
            if ready[0] {
                let spare = splitter.spare()
                let room = Int(clamping: min(UInt64(spare.count), (bytesMax ?? .max) - bytes))
                let count = try readSome(
                    descriptor, into: UnsafeMutableRawBufferPointer(rebasing: spare[..<room]), name: name)
                if count == 0 { break }
                splitter.commit(count)
                bytes += UInt64(count)
                try lines(&splitter, wallClock())
                if isEnding {
                    drained += count
                    if drained >= drainBytesMax { break }
                }
            } else if isEnding {
                break
            }
            try pause(bytes)
        }
        splitter.finish()
        try lines(&splitter, wallClock())
        try pause(bytes)
        if let bytesMax, ending == .inputEnded, bytes < bytesMax {
            throw CommandFailure(
                "\(name) became shorter while it was read: \(bytes) of \(bytesMax) bytes are recorded")
        }
        return ending
    }
}

/// Records lines of standard input or a file.
enum LineRecording {
    static func run(
        _ command: RecordCommand, _ recording: Recording, _ file: InputFile?, _ signals: SignalInbox
    ) throws {
        var metadata = file?.metadata ?? [:]
        metadata["host"] = hostName()
        let store = recording.store
        let session = try store.startSession(
            command.session ?? recording.defaultSessionID, at: recording.startedAt, metadata: metadata)
        let form =
            command.text
            ? LineRecorder.Form.text
            : .json(
                LineParsing {
                    LineParser(
                        timeFields: command.timeFields, kindFields: command.kindFields,
                        defaultOffsetSeconds: command.timeZone.flatMap(TimeZoneArgument.parse) ?? 0)
                })
        let recorder = LineRecorder(
            store: store, session: session, form: form, badLines: command.onBad,
            timeFallback: file == nil ? .arrival : .previous,
            startTime: file?.modifiedAt ?? recording.startedAt)
        var failure: (any Error)?
        do {
            let ending = try LineLoop.run(
                file?.descriptor.number ?? STDIN_FILENO, name: file?.path ?? "standard input",
                bytesMax: file?.content?.bytes, lineBytesMax: LineRecorder.lineBytesMax(of: store),
                signals: signals
            ) { splitter, arrival in
                try recorder.add(&splitter, arrival: arrival)
            } wait: {
                recording.waitMilliseconds
            } pause: { bytes in
                try recorder.flush()
                try recording.acknowledge(recorder.sequences)
                recording.progress.show(
                    events: recorder.counts.events, bytes: bytes, bytesTotal: file?.content?.bytes)
            }
            if case .signal(let number) = ending, let file {
                failure = CommandFailure("\(file.path) is recorded in part: stopped by \(signalName(number))")
            }
        } catch {
            failure = error
            // What came before is kept, if the store still takes it; if not, `error` says why.
            try? recorder.flush()
        }
        try recording.end(failure: failure, sequences: recorder.sequences) { recorder.receipt(command) }
    }
}

extension Recording {
    /// Ends a recording that did or did not fail.
    func end(failure: (any Error)?, sequences: ClosedRange<UInt64>?, receipt: () -> Receipt) throws {
        guard let failure else { return try finish(receipt(), sequences: sequences) }
        // The first failure is the one to report.
        try? finish(receipt(), sequences: sequences)
        throw failure
    }
}

extension LineRecorder {
    func receipt(_ command: RecordCommand) -> Receipt {
        var receipt = Receipt()
        receipt.events = counts.events
        receipt.sessions = 1
        receipt.rawBytes = counts.payloadBytes
        receipt.droppedEvents = counts.droppedEvents
        receipt.kinds = kindCount
        receipt.longLines = counts.long
        if command.command.isEmpty, !command.text {
            receipt.counts = counts
            receipt.timeFields = command.timeFields
            receipt.kindFields = command.kindFields
        }
        return receipt
    }
}

extension ExportApplier {
    /// What was applied.
    var receipt: Receipt {
        var receipt = Receipt()
        receipt.events = events
        receipt.sessions = sessions
        receipt.checkpoints = checkpoints
        receipt.rawBytes = payloadBytes
        return receipt
    }
}

extension Receipt {
    /// Prints it, with what the store, which is closed, has grown by, and what its limits dropped.
    func print(of store: EventStore, since before: StoreBefore, asJSON: Bool) throws {
        var receipt = self
        let info = try EventStore.openReadOnly(store.path).info()
        let storedBefore = before.info?.storedBytes ?? 0
        receipt.storedBytes = info.storedBytes > storedBefore ? info.storedBytes - storedBefore : 0
        receipt.limitsDropped = before.dropped(info, next: store.nextSequence, checkpoints: checkpoints)
        if asJSON {
            let output = Output()
            try output.line { receipt.append(to: &$0) }
            try output.flush()
        } else {
            Diagnostics.plain(receipt.line)
        }
    }
}

/// Records lines of the export form as they come.
enum ExportRecording {
    static func run(
        _ command: RecordCommand, _ recording: Recording, _ file: InputFile?, _ signals: SignalInbox
    ) throws {
        let reader = ExportReader()
        let applier = ExportApplier(store: recording.store, mode: .live)
        var failure: (any Error)?
        do {
            let ending = try LineLoop.run(
                file?.descriptor.number ?? STDIN_FILENO, name: file?.path ?? "standard input",
                bytesMax: file?.content?.bytes, lineBytesMax: ExportReader.lineBytesMax, signals: signals
            ) { splitter, _ in
                while let line = splitter.next() {
                    guard !line.isPiece else {
                        throw CommandFailure("line \(reader.lineCount + 1): longer than can be read")
                    }
                    do {
                        try applier.apply(try reader.next(line.bytes))
                    } catch let error as ExportApplyError {
                        throw CommandFailure("line \(reader.lineCount): \(error.reason)")
                    }
                }
            } wait: {
                recording.waitMilliseconds
            } pause: { bytes in
                try recording.acknowledge(applier.sequences)
                recording.progress.show(
                    events: applier.events, bytes: bytes, bytesTotal: file?.content?.bytes)
            }
            if case .signal(let number) = ending, let file {
                failure = CommandFailure("\(file.path) is recorded in part: stopped by \(signalName(number))")
            }
        } catch {
            failure = error
        }
        try recording.end(failure: failure, sequences: applier.sequences) {
            applier.receipt
        }
    }
}
