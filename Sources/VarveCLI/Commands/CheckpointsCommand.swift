import ArgumentParser
import Varve
import VarveJSON

/// `varve checkpoints STORE`.
struct CheckpointsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "checkpoints",
        abstract: "Lists the checkpoints of a store.",
        discussion: """
            In the order in which they were made, with the index that the next event had. With --json their \
            states too: as `state` when they are JSON, else as `state_text` or `state_base64`.

            Example: the state at the last checkpoint of the last session.

              varve checkpoints flight.varve --session-number -1 --json | tail -n 1
            """)

    @Argument(help: "The store's directory.")
    var store: String

    @Option(
        name: .customLong("session"), parsing: .unconditionalSingleValue,
        help: ArgumentHelp("Of sessions of this id (repeatable).", valueName: "id"))
    var sessionIDs: [String] = []

    @Option(
        name: .customLong("session-number"), parsing: .unconditionalSingleValue,
        help: ArgumentHelp("Of the session of this ordinal; -1: the last one (repeatable).", valueName: "n"))
    var sessionNumbers: [Int64] = []

    @Flag(help: "JSON Lines, one object a checkpoint.")
    var json = false

    func run() throws {
        let snapshot = try EventStore.openReadOnly(store).snapshot()
        var checkpoints = try snapshot.checkpoints()
        if !sessionIDs.isEmpty { checkpoints.removeAll { !sessionIDs.contains($0.sessionID) } }
        if !sessionNumbers.isEmpty {
            let sessions = try snapshot.sessions()
            let ordinals = Set(try sessionNumbers.map { try Selection.ordinal($0, of: sessions) })
            checkpoints.removeAll { !ordinals.contains($0.sessionOrdinal) }
        }
        let output = Output()
        if json {
            for checkpoint in checkpoints {
                let state = try snapshot.state(of: checkpoint)
                try output.line { $0.checkpoint(checkpoint, state: state) }
            }
        } else {
            var table = TextTable(
                ["number", "session", "id", "label", "time", "event index", "state"], rightAligned: [0, 5, 6])
            for checkpoint in checkpoints {
                table.add([
                    String(checkpoint.ordinal), checkpoint.sessionID, checkpoint.id, checkpoint.label ?? "-",
                    Formatting.time(checkpoint.timestamp), String(checkpoint.eventIndex),
                    Formatting.bytes(UInt64(clamping: checkpoint.stateBytes)),
                ])
            }
            for line in table.lines() { try output.text(line + "\n") }
        }
        try output.flush()
    }
}
