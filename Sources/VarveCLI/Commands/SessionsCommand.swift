import ArgumentParser
import Varve
import VarveJSON

/// `varve sessions STORE`.
struct SessionsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sessions",
        abstract: "Lists the sessions of a store.",
        discussion: """
            Their ordinals, ids, start and end, how they ended (closed, interrupted; active while they are \
            recorded), and how much they hold.

            Example: the ids of all sessions that were not closed.

              varve sessions flight.varve --json | jq -r 'select(.state != "closed").id'
            """)

    @Argument(help: "The store's directory.")
    var store: String

    @Flag(help: "JSON Lines, one object a session.")
    var json = false

    func run() throws {
        let snapshot = try EventStore.openReadOnly(store).snapshot()
        let sessions = try snapshot.sessions()
        let output = Output()
        if json {
            for session in sessions { try output.line { $0.session(session) } }
        } else {
            var table = TextTable(
                ["number", "id", "start", "end", "state", "events", "checkpoints", "span"],
                rightAligned: [0, 5, 6])
            for session in sessions {
                table.add([
                    String(session.ordinal), session.id, Formatting.time(session.startedAt),
                    session.endedAt.map(Formatting.time) ?? "-", session.state.rawValue,
                    Formatting.count(session.eventCount), Formatting.count(session.checkpointCount),
                    Self.span(session.timeRange),
                ])
            }
            for line in table.lines() { try output.text(line + "\n") }
        }
        try output.flush()
    }

    /// From the first event to the last by time.
    private static func span(_ range: ClosedRange<Int64>?) -> String {
        guard let range else { return "-" }
        let (nanoseconds, tooLong) = range.upperBound.subtractingReportingOverflow(range.lowerBound)
        return Formatting.duration(seconds: tooLong ? .infinity : Double(nanoseconds) / 1e9)
    }
}
