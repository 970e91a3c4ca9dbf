import ArgumentParser
import Varve
import VarveJSON

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// `varve compact STORE`.
struct CompactCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compact",
        abstract: "Applies the limits and makes a store smaller and faster to search, now.",
        discussion: """
            What the limits dropped is removed, small segments are joined, and all are compressed better and get text filters, by which \
            searches pass over what can't match. A recording does that in the background, as far as it is worth it; this does all of \
            it. Readers go on meanwhile; a writer must not be at it. It can be interrupted: what is done stays, and the next \
            run goes on.

            Segments that are damaged are left as they are, and the exit code is 3: varve repair saves what can be read.

            Examples: do everything now; keep 30 days from now on; filters alone.

              varve compact flight.varve
              varve compact flight.varve --max-age 30d
              varve compact flight.varve --filters
            """)

    @Argument(help: "The store's directory.")
    var store: String

    @OptionGroup(title: "Limits")
    var limits: LimitOptions

    @Flag(help: "Only build the filters of sealed segments that have none.")
    var filters = false

    @Flag(help: "One JSON object.")
    var json = false

    @OptionGroup var progress: ProgressOptions

    func validate() throws {
        if filters, limits.areNamed {
            throw ValidationError("--filters applies no limits: leave one of both out")
        }
    }

    func run() throws {
        var options = StoreOptions()
        options.create = false
        options.compactsInBackground = false
        options.diagnostics = Diagnostics.tell
        if filters { return try buildFilters(options) }
        let signals = try SignalInbox(catching: [SIGINT, SIGTERM, SIGHUP])
        var before = try StoreBefore(self.store)
        options.limits = try limits.limits(of: before.info?.limits)
        let store = try EventStore.open(self.store, options: options)
        before.nextSequence = store.nextSequence
        var stopped: Int32?
        var line = Progress(isWanted: progress.isWanted)
        let report: CompactionReport
        do {
            report = try store.compact { done in
                line.show(events: nil, bytes: done.bytesWritten)
                guard let arrival = signals.next() else { return true }
                stopped = arrival.number
                // A second one ends the process even if the disk doesn't answer.
                SignalInbox.restoreDefault(arrival.number)
                return false
            }
            line.clear()
        } catch {
            line.clear()
            try? store.close()
            throw error
        }
        try store.close()
        let result = Result(
            report: report, before: before, after: try EventStore.openReadOnly(self.store).info(),
            next: store.nextSequence)
        let output = Output()
        if json {
            try output.line { result.append(to: &$0) }
        } else {
            try output.text(result.line + "\n")
        }
        try output.flush()
        try conclude(report, stopped)
    }

    /// Says what was not done.
    private func conclude(_ report: CompactionReport, _ stopped: Int32?) throws {
        Self.tell(refused: report.refused)
        if let stopped {
            throw CommandFailure(
                "compaction was stopped by \(signalName(stopped)): what is done stays, and the next run goes on"
            )
        }
        if !report.isComplete {
            Diagnostics.note("not all is compacted: the limit of bytes leaves no room for new segments")
        }
        if !report.refused.isEmpty { throw ExitCode(ExitStatus.loss) }
    }

    private static func tell(refused: [String: String]) {
        for (file, reason) in refused.sorted(by: { $0.key < $1.key }) {
            Diagnostics.note("\(file) is left as it is: \(reason)")
        }
    }

    /// What compaction made of a store.
    private struct Result {
        let report: CompactionReport
        let before: StoreBefore
        let after: StoreInfo
        let next: UInt64

        private var dropped: (events: UInt64, checkpoints: UInt64) {
            before.dropped(after, next: next, checkpoints: 0)
        }

        /// `12 segments -> 1, 43.5 MB -> 2.8 MB; the limits dropped 990 events`.
        var line: String {
            let (segments, bytes) = (UInt64(before.info?.segmentCount ?? 0), before.info?.storedBytes ?? 0)
            let text =
                "\(Formatting.count(segments, "segment")) -> \(Formatting.count(UInt64(after.segmentCount))), "
                + "\(Formatting.bytes(bytes)) -> \(Formatting.bytes(after.storedBytes))"
            return [text, Receipt.text(dropped)].compactMap { $0 }.joined(separator: "; ")
        }

        func append(to out: inout ByteBuffer) {
            out.object { list, out in
                list.flag("complete", report.isComplete, &out)
                list.number("segments_before", before.info?.segmentCount ?? 0, &out)
                list.number("segments_after", after.segmentCount, &out)
                list.number("bytes_before", before.info?.storedBytes ?? 0, &out)
                list.number("bytes_after", after.storedBytes, &out)
                list.number("bytes_written", report.bytesWritten, &out)
                list.number("limits_dropped_events", dropped.events, &out)
                list.number("limits_dropped_checkpoints", dropped.checkpoints, &out)
                list.refused(report.refused, &out)
            }
        }
    }

    // MARK: Filters

    private func buildFilters(_ options: StoreOptions) throws {
        let store = try EventStore.open(self.store, options: options)
        let report: FilterReport
        do {
            report = try store.buildFilters()
        } catch {
            try? store.close()
            throw error
        }
        try store.close()
        let output = Output()
        if json {
            try output.line { out in
                out.object { list, out in
                    list.number("built", report.built, &out)
                    list.number("present", report.present, &out)
                    list.number("filter_bytes", report.filterBytes, &out)
                    list.number("raw_bytes", report.rawBytes, &out)
                    list.refused(report.refused, &out)
                }
            }
        } else {
            try output.text(
                "\(Formatting.count(UInt64(report.built), "segment")) got filters "
                    + "(\(Formatting.bytes(report.filterBytes)) for \(Formatting.bytes(report.rawBytes)) of payload), "
                    + "\(Formatting.count(UInt64(report.present))) had them\n")
        }
        try output.flush()
        Self.tell(refused: report.refused)
        if !report.refused.isEmpty { throw ExitCode(ExitStatus.loss) }
    }
}

extension JSONMembers {
    /// Files that were left as they are, in the order of their names.
    fileprivate mutating func refused(_ refused: [String: String], _ out: inout ByteBuffer) {
        list("refused", refused.sorted { $0.key < $1.key }, &out) { file, out in
            out.object { list, out in
                list.text("file", file.key, &out)
                list.text("reason", file.value, &out)
            }
        }
    }
}
