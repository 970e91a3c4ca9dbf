import ArgumentParser
import Varve

/// `varve compact STORE --filters`.
struct CompactCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compact",
        abstract: "Builds text filters, by which searches pass over what can't match.",
        discussion: """
            Every sealed segment without filters is written anew with them. Queries with --grep, --regex and --where then decompress \
            only the parts that may hold what is looked for. Readers go on meanwhile; a writer must not be at it.

            Example:

              varve compact flight.varve --filters
            """)

    @Argument(help: "The store's directory.")
    var store: String

    @Flag(help: "Build the filters of sealed segments that have none.")
    var filters = false

    func validate() throws {
        guard filters else { throw ValidationError("nothing to do: say --filters") }
    }

    func run() throws {
        var options = StoreOptions()
        options.create = false
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
        try output.text(
            "\(Formatting.count(UInt64(report.built), "segment")) got filters "
                + "(\(Formatting.bytes(report.filterBytes)) for \(Formatting.bytes(report.rawBytes)) of payload), "
                + "\(Formatting.count(UInt64(report.present))) had them\n")
        try output.flush()
        for (file, reason) in report.refused.sorted(by: { $0.key < $1.key }) {
            Diagnostics.note("\(file) is left as it is: \(reason)")
        }
        if !report.refused.isEmpty { throw ExitCode(ExitStatus.loss) }
    }
}
