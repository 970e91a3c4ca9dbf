import Foundation
import Testing
import Varve
import VarveTestKit

/// What a `crash-writer append` said before its end.
struct WriterRun {
    struct Returned: Hashable {
        let event: NumberedEvent
        let sequence: UInt64
    }

    struct ReturnedCheckpoint: Hashable {
        let id: String
        let index: UInt64
        let sequence: UInt64
    }

    static let payloadBytes = 100

    /// Events whose append returned, and which are not known to be lost.
    var returned: [Returned] = []
    var checkpoints: [ReturnedCheckpoint] = []
    /// Whether an append that returned is durable by that.
    let isSynced: Bool
    /// Everything up to here was said to be durable.
    var durableThrough: UInt64?
    var failures: [String] = []
    /// Events that returned after the first failure.
    var returnedAfterFailure = 0
    var isClosed = false

    init(run: UInt64, isSynced: Bool, lines: [String]) {
        self.isSynced = isSynced
        for line in lines {
            let words = line.split(separator: " ")
            let numbers = words.map { UInt64($0) }
            switch words.first {
            case "open", "session": break
            case "closed": isClosed = true
            case "failed": failures.append(line)
            case "durable" where words.count == 2: durableThrough = numbers[1]
            case "checkpoint" where words.count == 4:
                guard let index = numbers[2], let sequence = numbers[3] else { fallthrough }
                checkpoints.append(
                    ReturnedCheckpoint(id: String(words[1]), index: index, sequence: sequence))
            case "returned" where words.count == 4:
                guard let thread = numbers[1], let number = numbers[2], let sequence = numbers[3] else {
                    fallthrough
                }
                let event = NumberedEvent(run: run, thread: thread, number: number)
                returned.append(Returned(event: event, sequence: sequence))
                returnedAfterFailure += failures.isEmpty ? 0 : 1
            default: Issue.record("the writer said: \(line)")
            }
        }
    }

    /// Arguments of a run that is to be cut off.
    static func arguments(
        _ store: String, run: UInt64, durability: String, events: UInt64 = 1_000_000, _ more: String...
    ) -> [String] {
        [
            "append", store, "--run", "\(run)", "--durability", durability, "--events", "\(events)",
            "--payload-bytes", "\(payloadBytes)",
        ] + more
    }

    func isAcknowledged(_ sequence: UInt64) -> Bool {
        isSynced || durableThrough.map { sequence <= $0 } ?? false
    }
}

/// What is not there any more of what writers were told.
struct Losses: Equatable {
    /// Events and checkpoints that were said to be durable.
    var acknowledged = 0
    /// Those whose append returned, the acknowledged ones among them.
    var returned = 0

    static func += (left: inout Losses, right: Losses) {
        left.acknowledged += right.acknowledged
        left.returned += right.returned
    }
}

/// Compares a whole store with what its writers said, one after the other.
struct StoreComparison {
    private(set) var losses = Losses()
    private let name: String

    /// Reads everything. What is lost is taken out of `runs`, since its numbers may be given again.
    init(_ store: EventStore, _ runs: inout [WriterRun], _ name: String) throws {
        self.name = name
        var found: [UInt64: NumberedEvent] = [:]
        var nextOfThread: [[UInt64]: UInt64] = [:]
        var nextOfSession: [UInt64: UInt64] = [:]
        var sequence: UInt64 = 0
        var cursor = try store.cursor()
        while let event = try cursor.nextEvent() {
            guard let content = NumberedEvent(payload: event.payload, bytes: WriterRun.payloadBytes) else {
                Issue.record("\(name): event \(event.sequence) is nobody's")
                break
            }
            let isNext =
                event.sequence == sequence
                && event.index == nextOfSession[event.sessionOrdinal, default: 0]
                && content.number == nextOfThread[[content.run, content.thread], default: 0]
                && event.sessionID == "run-\(content.run)" && event.timestamp == Int64(content.number)
            guard isNext else {
                Issue.record("\(name): event \(event.sequence) follows \(sequence), and is \(content)")
                break
            }
            nextOfThread[[content.run, content.thread]] = content.number + 1
            nextOfSession[event.sessionOrdinal] = event.index + 1
            found[event.sequence] = content
            sequence += 1
        }
        try compareCheckpoints(of: store, nextOfSession, &runs)
        for position in runs.indices {
            let run = runs[position]
            let lost = run.returned.filter { found[$0.sequence] != $0.event }
            guard !lost.isEmpty else { continue }
            losses.returned += lost.count
            let acknowledged = lost.filter { run.isAcknowledged($0.sequence) }
            losses.acknowledged += acknowledged.count
            if let first = acknowledged.first {
                print(
                    "\(name): lost \(acknowledged.count) acknowledged events, the first \(first), of \(sequence) found"
                )
            }
            let gone = Set(lost)
            runs[position].returned.removeAll { gone.contains($0) }
        }
    }

    private mutating func compareCheckpoints(
        of store: EventStore, _ nextOfSession: [UInt64: UInt64], _ runs: inout [WriterRun]
    ) throws {
        var byID: [String: Checkpoint] = [:]
        for checkpoint in try store.checkpoints() {
            #expect(checkpoint.eventIndex <= nextOfSession[checkpoint.sessionOrdinal, default: 0], "\(name)")
            let state = try store.state(of: checkpoint)
            #expect(state == Array("state of \(checkpoint.id)".utf8), "\(name): \(checkpoint)")
            byID[checkpoint.id] = checkpoint
        }
        for position in runs.indices {
            let run = runs[position]
            let lost = run.checkpoints.filter { made in
                guard let found = byID[made.id] else { return true }
                return found.eventIndex != made.index || found.sequence != made.sequence
            }
            guard !lost.isEmpty else { continue }
            losses.returned += lost.count
            // Of a checkpoint before event N it is known that it is durable when N is.
            let acknowledged = lost.filter { run.isAcknowledged($0.sequence) }
            losses.acknowledged += acknowledged.count
            if let first = acknowledged.first {
                print("\(name): lost \(acknowledged.count) acknowledged checkpoints, the first \(first)")
            }
            let gone = Set(lost)
            runs[position].checkpoints.removeAll { gone.contains($0) }
        }
    }

    /// Compares as a reader sees the store and then, where it is wanted, after a writer's recovery.
    static func check(_ path: String, recover: Bool, _ runs: inout [WriterRun], _ name: String) throws
        -> Losses
    {
        var losses = Losses()
        guard EventStore.exists(at: path) else {
            for position in runs.indices {
                losses.returned += runs[position].returned.count
                losses.acknowledged += runs[position].returned.count {
                    runs[position].isAcknowledged($0.sequence)
                }
                runs[position].returned = []
                runs[position].checkpoints = []
            }
            return losses
        }
        // A reader must see what was acknowledged; what was only appended may wait for the recovery.
        var copies = runs
        let reader = try EventStore.openReadOnly(path)
        losses.acknowledged += try StoreComparison(reader, &copies, name + ", a reader").losses.acknowledged
        let seen = try reader.verify().damage
        #expect(seen == [], "\(name)")
        try reader.close()
        if recover {
            let writer = try EventStore.open(path)
            losses += try StoreComparison(writer, &runs, name + ", after recovery").losses
            try writer.close()
            let sealed = try EventStore.openReadOnly(path)
            losses += try StoreComparison(sealed, &runs, name + ", sealed").losses
            let report = try sealed.verify()
            #expect(report.damage == [], "\(name)")
            #expect(report.gaps == [], "\(name)")
            try sealed.close()
        }
        return losses
    }
}
