import ArgumentParser
import Varve
import VarveTestKit

/// Reads all events; after the first it prints `paused`, and waits for a byte on standard input.
///
/// It prints `event SEQUENCE` for each that is what its writer wrote, `gap FIRST LAST REASON` for what the cursor says is missing,
/// and `failed TEXT` when it is refused. What is no writer's event is `wrong SEQUENCE`.
struct ReadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "read")

    @Argument var store: String
    @Option var payloadBytes = 100

    func run() throws {
        do {
            let store = try EventStore.openReadOnly(store)
            var cursor = try store.cursor()
            var isFirst = true
            while let event = try cursor.nextEvent() {
                let isRight = NumberedEvent(payload: event.payload, bytes: payloadBytes) != nil
                Reports.line("\(isRight ? "event" : "wrong") \(event.sequence)")
                if isFirst {
                    Reports.line("paused")
                    Reports.waitForInput()
                    isFirst = false
                }
            }
            for gap in cursor.coverage.gaps {
                Reports.line(
                    "gap \(gap.sequences.lowerBound) \(gap.sequences.upperBound) \(gap.reason.rawValue)")
            }
        } catch {
            Reports.line("failed \(error)")
            throw ExitCode.failure
        }
    }
}
