import Foundation
import Testing
import Varve
import VarveRecorder
import VarveTestKit

/// A process in which ten threads record through one recorder, and five of them make checkpoints, is killed, again and again.
@Suite("A killed recorder loses nothing that returned, and its checkpoints stand exactly between events")
struct RecorderKillTests {
    /// As many as `LibraryKillTests` makes.
    private static let kills = Machine.count("VARVE_KILLS", otherwise: 12) / 2
    private static let killsOfStore = 8

    @Test("by SIGKILL at any moment, at each durability level", .timeLimit(.minutes(60)))
    func kill() throws {
        let seed = SplitMix64.freshSeed()
        print("recorder kill test: VARVE_SEED=0x\(String(seed, radix: 16)), \(Self.kills) kills")
        var random = SplitMix64(seed: seed)
        let directory = try TemporaryDirectory()
        var (returned, lost, checkpoints) = (0, 0, 0)
        for number in 0..<Self.kills {
            let path = directory.path("store-\(number / Self.killsOfStore)")
            let lines = try Self.lines(ofRun: number, in: path, &random)
            let run = try RecorderRun(UInt64(number), in: path)
            lost += run.check(lines)
            returned += lines.count { $0.hasPrefix("recorded") }
            checkpoints += lines.count { $0.hasPrefix("marked") }
        }
        tortureFigure(
            "kills of a recorder", asked: Self.kills, reached: Self.kills,
            ["returned": returned, "checkpoints": checkpoints, "lost-returned": lost])
        #expect(lost == 0)
        #expect(Self.kills < 6 || (returned > 0 && checkpoints > 0))
        withExtendedLifetime(directory) {}
    }

    /// Runs the writer until it has said enough, or some milliseconds have passed, and kills it. What it has said.
    private static func lines(
        ofRun number: Int, in store: String, _ random: inout SplitMix64
    ) throws -> [String] {
        let durability = ["synced", "none", "interval"][number % 3]
        let child = try ChildProcess(
            BuiltProducts.url("crash-writer"),
            [
                "record", store, "--run", "\(number)", "--durability", durability, "--payload-bytes",
                "\(WriterRun.payloadBytes)",
            ])
        if random.oneIn(4) {
            child.read(milliseconds: Int(random.below(20)))
        } else {
            child.read(lines: Int(random.below(durability == "synced" ? 600 : 5_000)))
        }
        child.kill()
        try child.finish()
        return child.lines
    }
}

/// What a killed recorder has left of its session.
private struct RecorderRun {
    /// An event or a checkpoint after so many events: whose, and which.
    struct Key: Hashable {
        let thread, number: UInt64
    }

    private let run: UInt64
    private var indices: [Key: UInt64] = [:]
    private var sequences: [UInt64] = []
    private var checkpoints: [Key: Checkpoint] = [:]

    /// Reads the session after the next writer has recovered it. What must hold of it, whatever the killed process said, is checked.
    init(_ run: UInt64, in path: String) throws {
        self.run = run
        guard EventStore.exists(at: path) else { return }
        let store = try EventStore.open(path)
        guard let info = try store.sessions().last(where: { $0.id == "run-\(run)" }) else {
            try store.close()
            return
        }
        #expect(info.state == .interrupted)
        try readEvents(of: info, in: store)
        try readCheckpoints(of: info, in: store)
        let report = try store.verify()
        #expect(report.damage == [] && report.gaps == [], "run \(run): \(report.damage), \(report.gaps)")
        try store.close()
    }

    /// Indices are dense, and each thread's events in their order.
    private mutating func readEvents(of info: SessionInfo, in store: EventStore) throws {
        var nextOfThread: [UInt64: UInt64] = [:]
        var cursor = try store.cursor(Query().session(ordinal: info.ordinal))
        while let event = try cursor.nextEvent() {
            guard case .console(let console) = try AppEvent(json: event.payload),
                let payload = Data(base64Encoded: console.message),
                let content = NumberedEvent(payload: Array(payload), bytes: WriterRun.payloadBytes),
                content.run == run, event.index == UInt64(sequences.count),
                content.number == nextOfThread[content.thread, default: 0]
            else {
                Issue.record("run \(run): event \(event.index) is not what stands at \(sequences.count)")
                return
            }
            nextOfThread[content.thread] = content.number + 1
            indices[Key(thread: content.thread, number: content.number)] = event.index
            sequences.append(event.sequence)
        }
        #expect(info.eventCount == UInt64(sequences.count) && info.nextIndex == info.eventCount, "run \(run)")
        #expect(sequences == sequences.sorted(), "run \(run)")
    }

    /// Each stands between the events with lower indices and the others, and after exactly as many of its thread as its state says.
    private mutating func readCheckpoints(of info: SessionInfo, in store: EventStore) throws {
        let session = try store.recordedSession(ordinal: info.ordinal)
        for checkpoint in session.checkpoints {
            let words = checkpoint.id.split(separator: "-").compactMap { UInt64($0) }
            guard words.count == 3, words[0] == run else {
                Issue.record("run \(run): checkpoint \(checkpoint.id)")
                continue
            }
            let key = Key(thread: words[1], number: words[2])
            checkpoints[key] = checkpoint
            #expect(try session.state(of: checkpoint).state.description == "\(key.number)")
            let before = sequences.prefix { $0 < checkpoint.sequence }.count
            #expect(UInt64(before) == checkpoint.eventIndex, "run \(run): \(checkpoint)")
            let last = indices[Key(thread: key.thread, number: key.number - 1)]
            #expect(last.map { $0 < checkpoint.eventIndex } ?? false, "run \(run): \(checkpoint)")
            let next = indices[key]
            #expect(next.map { $0 >= checkpoint.eventIndex } ?? true, "run \(run): \(checkpoint)")
        }
        #expect(info.checkpointCount == UInt64(session.checkpoints.count), "run \(run)")
    }

    /// Compares it with what the killed process said, in that order.
    ///
    /// - Returns: how many events and checkpoints are lost though the calls that recorded them had returned.
    func check(_ lines: [String]) -> Int {
        var lost = 0
        var begun: Set<Key> = []
        // Of all threads: the indices that returned events and checkpoints have reached by now.
        var (eventsReached, checkpointsReached) = (UInt64(0), UInt64(0))
        /// What had been reached when the checkpoint was begun.
        var reachedAtMarking: [Key: UInt64] = [:]
        for line in lines {
            let words = line.split(separator: " ")
            let numbers = words.compactMap { UInt64($0) }
            guard numbers.count >= 2, numbers.count == words.count - 1 else {
                if line != "open" { Issue.record("the writer said: \(line)") }
                continue
            }
            let key = Key(thread: numbers[0], number: numbers[1])
            switch words[0] {
            case "recording":
                begun.insert(key)
                guard let index = indices[key] else { continue }
                #expect(index >= checkpointsReached, "run \(run): \(key) was begun after a checkpoint")
            case "recorded":
                guard let index = indices[key] else {
                    lost += 1
                    continue
                }
                eventsReached = max(eventsReached, index + 1)
            case "marking": reachedAtMarking[key] = eventsReached
            default:
                guard let found = checkpoints[key], numbers.count == 4, found.eventIndex == numbers[2],
                    found.sequence == numbers[3]
                else {
                    lost += 1
                    continue
                }
                checkpointsReached = max(checkpointsReached, found.eventIndex)
            }
        }
        for (key, checkpoint) in checkpoints {
            #expect(
                reachedAtMarking[key].map { $0 <= checkpoint.eventIndex } ?? false,
                "run \(run): \(checkpoint) was begun after \(reachedAtMarking[key] ?? 0) events")
        }
        #expect(indices.keys.allSatisfy(begun.contains), "run \(run): there are events that nobody recorded")
        return lost
    }
}
