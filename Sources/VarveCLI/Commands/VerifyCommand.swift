import ArgumentParser
import Varve
import VarveJSON

/// `varve verify STORE`.
struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Checks every checksum of a store, and every index against the data.",
        discussion: """
            Prints one line for each damage: file, offset, sequence numbers, what is wrong; one for each \
            gap in the sequence numbers; one for each name that is no part of the log, such as leftovers and \
            segments of other stores; then a summary. The exit code is 3 when there is damage or a gap. Nothing \
            is written.

            Example: check a store in a script.

              varve verify flight.varve --json > report.json || echo "damaged or unreadable"
            """)

    @Argument(help: "The store's directory.")
    var store: String

    @Flag(help: "One JSON object.")
    var json = false

    @OptionGroup var progress: ProgressOptions

    func run() throws {
        let store = try EventStore.openReadOnly(store)
        var line = Progress(isWanted: progress.isWanted)
        let report = try store.verify {
            line.show(events: $0.events, bytes: $0.bytesDone, bytesTotal: $0.bytesTotal)
        }
        line.clear()
        let output = Output()
        if json {
            try output.line { $0.verification(report) }
        } else {
            for damage in report.damage { try output.text(Formatting.oneLine(Self.text(damage)) + "\n") }
            for gap in report.gaps { try output.text(Formatting.oneLine(Formatting.gap(gap)) + "\n") }
            for stray in report.strays {
                try output.text(
                    Formatting.oneLine("\(stray.file): no part of the log: \(stray.reason)") + "\n")
            }
            try output.text(Self.summary(report) + "\n")
        }
        try output.flush()
        if !report.isIntact { throw ExitCode(ExitStatus.loss) }
    }

    static func text(_ damage: Damage) -> String {
        let sequences = damage.sequences.map { Formatting.sequences($0) } ?? "no known sequence numbers"
        return "\(damage.file): offset \(damage.offset): \(sequences): \(damage.reason)"
    }

    private static func summary(_ report: VerificationReport) -> String {
        let places = UInt64(report.damage.count)
        let gaps = UInt64(report.gaps.count)
        let verdict =
            report.isIntact
            ? "intact" : Formatting.count(places, "damaged place") + ", " + Formatting.count(gaps, "gap")
        return verdict + ": "
            + [
                Formatting.count(UInt64(clamping: report.files), "file"),
                Formatting.count(UInt64(clamping: report.blocks), "block"),
                Formatting.count(report.events, "event"),
                Formatting.count(report.checkpoints, "checkpoint"),
                Formatting.bytes(report.bytes),
            ].joined(separator: ", ")
    }
}
