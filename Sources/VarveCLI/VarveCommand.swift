import ArgumentParser

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

@main
struct VarveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "varve",
        abstract: "An event store and flight recorder.",
        discussion: """
            Example: record a capture, and ask it something.

              varve record flight.varve --input capture.jsonl --kind-field Channel
              varve query flight.varve --kind Security --from -2h --output json

            Exit codes: 0 done; 1 failed; 3 done, but damage or loss was found; 4 asked, and the answer is no; \
            64 wrong usage.
            """,
        version: "0.1.0",
        subcommands: [
            RecordCommand.self, SessionsCommand.self, InfoCommand.self, QueryCommand.self,
            HistogramCommand.self, TopCommand.self, FieldsCommand.self, TailCommand.self,
            CheckpointsCommand.self, StateCommand.self, ReplayCommand.self, DiffCommand.self,
            VerifyCommand.self, RepairCommand.self, CopyCommand.self, CompactCommand.self, PinCommand.self,
            UnpinCommand.self, ExportCommand.self, ImportCommand.self,
        ])

    static func main() {
        // A reader that went away is seen as EPIPE where it is written to, and is no error there.
        signal(SIGPIPE, SIG_IGN)
        // A file that may not grow is reported like a full disk.
        signal(SIGXFSZ, SIG_IGN)
        do {
            var command = try parseAsRoot(
                FilterOptions.withJoinedValues(Array(CommandLine.arguments.dropFirst())))
            try command.run()
        } catch {
            finish(error)
        }
    }

    /// Says what went wrong, if anything did, and exits with the status that belongs to it.
    static func finish(_ error: any Error) -> Never {
        switch error {
        case let code as ExitCode:
            endProcess(code.rawValue)
        case is ClosedPipe:
            endProcess(ExitStatus.done)
        default:
            let status = status(of: error)
            if status == ExitStatus.done { exit(withError: error) }  // Help, version, completions.
            Diagnostics.error(message(of: error))
            endProcess(status)
        }
    }

    /// The exit status of an error that isn't an `ExitCode`.
    static func status(of error: any Error) -> Int32 {
        if let failure = error as? CommandFailure { return failure.status }
        let code = exitCode(for: error)
        if code == .success { return ExitStatus.done }
        return code == .validationFailure ? ExitStatus.usage : ExitStatus.failed
    }

    /// The error in one line.
    static func message(of error: any Error) -> String {
        let text: String
        if let failure = error as? CommandFailure {
            text = failure.message
        } else if exitCode(for: error) == .validationFailure {
            text = message(for: error)
        } else {
            text = String(describing: error)
        }
        return text.split(separator: "\n", omittingEmptySubsequences: true).joined(separator: "; ")
    }
}

/// `exit(3)`, which `ParsableCommand.exit(withError:)` hides inside a command.
private func endProcess(_ status: Int32) -> Never { exit(status) }
