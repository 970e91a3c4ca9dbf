import ArgumentParser
import Varve
import VarveJSON

/// `varve repair STORE --into NEW`.
struct RepairCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "repair",
        abstract: "Writes a new store with everything that can be read of another.",
        discussion: """
            Events keep their sequence numbers and indices, sessions and checkpoints their ordinals; what can't be \
            read becomes gaps in the new store. The source is never written, and must not be open for writing. \
            Without --salvage the log is copied up to where it ends for a reader. With it, what lies beyond is \
            taken too: blocks after bytes that can't be read, segments that the log has left behind, segments \
            whose header is damaged. Where numbers collide the log's events stay, and the others are named.

            Prints a line for each damage, each gap and each file of which something was left out; then a \
            summary. The exit code is 3 when there was damage or loss.

            Example: save what can be saved of a store, and look at what is missing.

              varve repair flight.varve --into saved.varve --salvage; varve info saved.varve
            """)

    @Argument(help: "The store's directory.")
    var store: String

    @Option(help: "The new store's directory: an empty one, or none yet.")
    var into: String

    @Flag(help: "Also take what lies beyond the log.")
    var salvage = false

    @Flag(help: "One JSON object.")
    var json = false

    @OptionGroup var progress: ProgressOptions

    func run() throws {
        var line = Progress(isWanted: progress.isWanted)
        defer { line.clear() }
        let report = try EventStore.repair(store, into: into, salvage: salvage) {
            line.show(events: $0.events, bytes: $0.bytesDone, bytesTotal: $0.bytesTotal)
        }
        line.clear()
        let output = Output()
        if json {
            try output.line { $0.repair(report) }
        } else {
            for text in Self.lines(report) { try output.text(Formatting.oneLine(text) + "\n") }
        }
        try output.flush()
        if !report.isIntact { throw ExitCode(ExitStatus.loss) }
    }

    private static func lines(_ report: RepairReport) -> [String] {
        var lines = report.damage.map(VerifyCommand.text)
        lines += report.gaps.map(Formatting.gap)
        if report.unconfirmedBytes > 0 {
            lines.append(
                "\(Formatting.bytes(report.unconfirmedBytes)) after the end of the log can't be read by a reader"
            )
        }
        if report.lostCheckpoints > 0 {
            lines.append("\(Formatting.count(report.lostCheckpoints, "checkpoint")) lost")
        }
        if report.unfinishedEvents > 0 {
            lines.append(
                "\(Formatting.count(report.unfinishedEvents, "event")) of imports that were not completed stay hidden"
            )
        }
        for file in report.files {
            var parts: [String] = []
            if file.use == .salvaged {
                parts.append("\(Formatting.count(file.events, "event")) salvaged")
            } else if file.use == .leftOut {
                parts.append("left out")
            }
            if file.duplicates > 0 {
                parts.append("\(Formatting.count(file.duplicates, "event")) are there from another file")
            }
            for range in file.conflicts {
                parts.append("\(Formatting.sequences(range)) left out: other events have these numbers")
            }
            if !file.note.isEmpty { parts.append(file.note) }
            if !parts.isEmpty { lines.append("\(file.name): " + parts.joined(separator: "; ")) }
        }
        var summary = [
            Formatting.count(report.events, "event")
                + (report.salvagedEvents > 0 ? " (\(Formatting.count(report.salvagedEvents)) salvaged)" : ""),
            Formatting.count(UInt64(clamping: report.sessions), "session"),
            Formatting.count(UInt64(clamping: report.checkpoints), "checkpoint"),
            Formatting.count(UInt64(clamping: report.segments), "segment"), Formatting.bytes(report.bytes),
        ]
        if !report.gaps.isEmpty {
            summary.append(Formatting.count(UInt64(clamping: report.gaps.count), "gap"))
        }
        lines.append((report.isIntact ? "kept all: " : "kept: ") + summary.joined(separator: ", "))
        return lines
    }
}
