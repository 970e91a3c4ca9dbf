import ArgumentParser

/// A process for the crash tests: it uses the library, and says on standard output what the library told it.
@main
struct CrashWriter: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crash-writer",
        abstract: "Uses a store, and reports each answer of the library at once.",
        subcommands: [AppendCommand.self, RecordCommand.self, ReadCommand.self])
}
