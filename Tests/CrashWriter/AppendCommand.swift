import ArgumentParser
import Dispatch
import Varve
import VarveTestKit

/// Appends numbered events, from one thread or several.
///
/// It prints `open`, then `session ORDINAL`, for each event whose append returned `returned THREAD NUMBER SEQUENCE`, for each
/// checkpoint whose recording returned `checkpoint ID INDEX SEQUENCE`, now and then `durable SEQUENCE`, and at the end `closed`. A
/// failure is `failed TEXT`; then it tries `--insist` times more.
struct AppendCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "append")

    enum Level: String, ExpressibleByArgument {
        case none, interval, synced

        var durability: Durability {
            switch self {
            case .none: .none
            case .interval: .interval(nanoseconds: 5_000_000)
            case .synced: .synced
            }
        }
    }

    @Argument var store: String
    @Option(name: .customLong("run")) var runNumber: UInt64
    @Option var durability: Level
    /// Events of each thread.
    @Option var events: UInt64
    @Option var payloadBytes = 100
    @Option var threads: UInt64 = 1
    /// A checkpoint after so many events of the first thread.
    @Option var checkpointEvery: UInt64 = 50
    /// Another session after so many events; with one thread only.
    @Option var sessionEvents: UInt64 = .max
    @Option var blockBytes = 4 << 10
    @Option var segmentBytes: UInt64 = 64 << 10
    @Option var insist = 0
    /// Stay, with the store open, until standard input ends.
    @Flag var stay = false

    private func open() throws -> EventStore {
        var options = StoreOptions()
        options.blockBytes = blockBytes
        options.subBlockBytes = 1 << 10
        options.segmentBytes = segmentBytes
        options.durability = durability.durability
        return try EventStore.open(store, options: options)
    }

    func run() throws {
        let store: EventStore
        do {
            store = try open()
        } catch {
            Reports.line("failed \(error)")
            throw ExitCode.failure
        }
        Reports.line("open")
        var failed = false
        do {
            let kind = try store.kind("numbered", .binary)
            var session = try start(in: store)
            if threads == 1 {
                for number in 0..<events {
                    if number > 0, number % sessionEvents == 0 {
                        try session.end()
                        session = try start(in: store)
                    }
                    try append(number, thread: 0, to: session, of: store, kind)
                }
            } else {
                let all = session
                DispatchQueue.concurrentPerform(iterations: Int(clamping: threads)) { thread in
                    do {
                        for number in 0..<events {
                            try append(number, thread: UInt64(thread), to: all, of: store, kind)
                        }
                    } catch {
                        Reports.line("failed \(error)")
                    }
                }
            }
        } catch {
            failed = true
            Reports.line("failed \(error)")
        }
        if stay { Reports.waitForInput() }
        do {
            try store.close()
            Reports.line("closed")
        } catch {
            failed = true
            Reports.line("failed \(error)")
        }
        if failed { throw ExitCode.failure }
    }

    private func start(in store: EventStore) throws -> Session {
        let session = try store.startSession("run-\(runNumber)")
        Reports.line("session \(session.ordinal)")
        return session
    }

    private func append(
        _ number: UInt64, thread: UInt64, to session: Session, of store: EventStore, _ kind: EventKind
    ) throws {
        let event = NumberedEvent(run: runNumber, thread: thread, number: number)
        let sequence = try insisting {
            try session.append(event.payload(bytes: payloadBytes), kind: kind, at: Int64(number))
        }
        Reports.line("returned \(thread) \(number) \(sequence)")
        if number % 16 == 15, let durable = store.durableThrough { Reports.line("durable \(durable)") }
        if thread == 0, number % checkpointEvery == checkpointEvery - 1 {
            let id = "\(runNumber)-\(number)"
            let made = try insisting { try session.checkpoint(id, state: Array("state of \(id)".utf8)) }
            Reports.line("checkpoint \(id) \(made.eventIndex) \(made.sequence)")
        }
    }

    private func insisting<R>(_ body: () throws -> R) throws -> R {
        for _ in 0..<insist {
            do { return try body() } catch { Reports.line("failed \(error)") }
        }
        return try body()
    }
}
