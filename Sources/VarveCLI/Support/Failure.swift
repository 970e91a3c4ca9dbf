/// The statuses that the command exits with.
enum ExitStatus {
    /// Done.
    static let done: Int32 = 0
    /// Failed.
    static let failed: Int32 = 1
    /// Done, but damage or loss was found.
    static let loss: Int32 = 3
    /// Asked, and the answer is no.
    static let negative: Int32 = 4
    /// Wrong usage (`EX_USAGE`).
    static let usage: Int32 = 64
    /// `record -- COMMAND`: the recording failed.
    static let recordingFailed: Int32 = 125
    /// `record -- COMMAND`: the command was found and can't be run.
    static let commandNotRunnable: Int32 = 126
    /// `record -- COMMAND`: there is no such command.
    static let commandNotFound: Int32 = 127
}

/// What was attempted and why it did not succeed, with the status to exit with.
struct CommandFailure: Error, CustomStringConvertible {
    /// One line: what failed, a colon, why.
    var message: String
    var status: Int32

    init(_ message: String, status: Int32 = ExitStatus.failed) {
        self.message = message
        self.status = status
    }

    var description: String { message }
}

/// The reader of standard output went away, as `| head` does. No error.
struct ClosedPipe: Error {}
