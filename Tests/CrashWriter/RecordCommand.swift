import ArgumentParser
import Foundation
import Varve
import VarveRecorder
import VarveTestKit

/// Records numbered events and checkpoints through an `EventRecorder`, from several threads, until it is killed.
///
/// It prints `open`, and then, before and after each call: `recording THREAD NUMBER` and `recorded THREAD NUMBER` for an event,
/// `marking THREAD NUMBER` and `marked THREAD NUMBER INDEX SEQUENCE` for a checkpoint after so many events of its thread, which is
/// what its state says too. A failure is `failed TEXT`.
struct RecordCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "record")

    @Argument var store: String
    @Option(name: .customLong("run")) var runNumber: UInt64
    @Option var durability: AppendCommand.Level
    @Option var payloadBytes = 100
    @Option var threads: UInt64 = 10
    /// So many of the threads make checkpoints.
    @Option var checkpointing: UInt64 = 5
    /// A checkpoint after so many events of such a thread.
    @Option var checkpointEvery: UInt64 = 10

    func run() throws {
        var options = StoreOptions()
        options.blockBytes = 4 << 10
        options.subBlockBytes = 1 << 10
        options.segmentBytes = 64 << 10
        options.durability = durability.durability
        let recorder = EventRecorder(store: try EventStore.open(store, options: options))
        try recorder.start("run-\(runNumber)")
        Reports.line("open")
        let group = DispatchGroup()
        for thread in 0..<threads {
            group.enter()
            // Not more at a time than there are cores: that is what concurrentPerform would do.
            Thread.detachNewThread {
                do {
                    for number: UInt64 in 0... { try record(number, thread, in: recorder) }
                } catch {
                    Reports.line("failed \(error)")
                }
                group.leave()
            }
        }
        group.wait()
    }

    private func record(_ number: UInt64, _ thread: UInt64, in recorder: EventRecorder) throws {
        let content = NumberedEvent(run: runNumber, thread: thread, number: number)
        let event = AppEvent.console(
            Console(
                level: "\(thread)",
                message: Data(content.payload(bytes: payloadBytes)).base64EncodedString(),
                timestamp: Int64(number)))
        Reports.line("recording \(thread) \(number)")
        try recorder.record(event, at: Int64(number))
        Reports.line("recorded \(thread) \(number)")
        let count = number + 1
        guard thread < checkpointing, count % checkpointEvery == 0 else { return }
        let state = try RawJSON("\(count)")
        Reports.line("marking \(thread) \(count)")
        let made = try recorder.checkpoint("\(runNumber)-\(thread)-\(count)", state: state)
        Reports.line("marked \(thread) \(count) \(made.eventIndex) \(made.sequence)")
    }
}
