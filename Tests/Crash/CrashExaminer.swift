import Varve
import VarveIO
import VarveTestKit

/// What must hold of a store that a crash has left.
struct CrashExaminer {
    static let path = "/data/store"

    /// How the store is recorded into.
    let options: StoreOptions
    /// Crash states looked at, those in which nothing was to be recovered included.
    private(set) var states = 0
    /// Items that were found again though nobody had promised it.
    private(set) var unpromised = 0

    var isSynced: Bool { options.durability == .synced }

    init(options: StoreOptions) { self.options = options }

    func options(on system: SimulatedFileSystem) -> StoreOptions {
        var options = options
        options.fileSystem = system
        return options
    }

    /// A store that a crash has left, and what is known of it.
    struct Case {
        let system: SimulatedFileSystem
        let history: CrashHistory
        /// How many items must be there, and how many may.
        let required, possible: Int
        /// How many of them a power cut must leave.
        let durable: Int
        /// Whether an opening of the store has ever succeeded.
        let wasOpened: Bool
        /// Whether it was a power cut: all that is there is durable.
        let isPowerLoss: Bool
    }

    /// Opens the store for reading, for writing, goes on recording, and opens it again; and crashes once more on the way.
    ///
    /// - Parameter nested: seed of one more crash; nil: none.
    mutating func examine(_ found: Case, nested: UInt64?) throws {
        states += 1
        let system = found.system
        let options = options(on: system)
        var seen: ClosedRange<Int>?
        do {
            let reader = try EventStore.openReadOnly(Self.path, options: options)
            let shown = try found.checked(try found.history.match(reader), "a reader")
            for gap in try reader.snapshot().gaps() where gap.reason != .unconfirmedTail {
                throw CrashHistory.Mismatch("to a reader, what was never durable is a gap: \(gap)")
            }
            try reader.close()
            seen = shown
        } catch let error as StoreError {
            guard !found.wasOpened, case .notAStore = error else { throw error }
        }

        if nested != nil { system.record() }
        let writer = try EventStore.open(Self.path, options: options)
        let recovered = try found.checked(try found.history.match(writer), "recovery")
        // What a reader saw of the end of a session may be told apart only by its end.
        if let seen, recovered.upperBound < seen.lowerBound {
            throw CrashHistory.Mismatch("a reader saw \(seen) items, recovery kept \(recovered)")
        }
        if let gap = writer.recovery?.gaps.first {
            throw CrashHistory.Mismatch("recovery takes what was never durable for lost: \(gap)")
        }
        let kept = recovered.lowerBound
        unpromised += max(0, kept - found.required)
        var recorder = CrashRecorder(
            writer, on: system, isSynced: isSynced, after: found.history.prefix(kept))
        let kind = try writer.kind("after", .utf8)
        try recorder.begin("after \(kept)", at: 5_000_000)
        for number in 0..<4 {
            try recorder.append(Array("after \(states) \(number)".utf8), kind, at: 5_000_000 + Int64(number))
            if number == 1 {
                try recorder.checkpoint("cp", state: Array("after \(states)".utf8), at: 5_000_002)
            }
            if number == 2 { try recorder.flush() }
        }
        try recorder.close()

        let again = try EventStore.openReadOnly(Self.path, options: self.options(on: system))
        let shown = try recorder.history.match(again)
        guard shown.upperBound == recorder.history.items.count else {
            throw CrashHistory.Mismatch("closed with \(recorder.history.items.count) items, shows \(shown)")
        }
        let damage = try again.verify().damage
        guard damage.isEmpty else { throw CrashHistory.Mismatch("damage after recovery: \(damage)") }
        try again.close()
        if let nested { try crashAgain(found, recorder.history, kept: kept, nested) }
    }

    private mutating func crashAgain(_ found: Case, _ history: CrashHistory, kept: Int, _ seed: UInt64) throws
    {
        guard let journal = found.system.journal else { return }
        var random = SplitMix64(seed: seed)
        let instant = Int(random.below(UInt32(journal.changeCount + 1)))
        let isPowerLoss = !random.oneIn(4)
        var cursor = journal.cursor()
        for _ in 0..<instant { _ = cursor.advance() }
        let state = random.next()
        let system = isPowerLoss ? cursor.afterPowerLoss(seed: state) : cursor.afterKill(cuttingWrite: state)
        let opened = CrashRecorder.count(.opened, in: cursor.marks)
        let acknowledged = CrashRecorder.count(.acknowledged, in: cursor.marks) ?? 0
        // What a power cut has left is on the disk; what opening has recovered is durable.
        let before = found.isPowerLoss ? kept : found.durable
        let durable = max(before, opened ?? 0, acknowledged)
        let returned = max(found.required, opened ?? 0, CrashRecorder.count(.returned, in: cursor.marks) ?? 0)
        let next = Case(
            system: system, history: history, required: isPowerLoss ? durable : returned,
            possible: max(kept, CrashRecorder.count(.begun, in: cursor.marks) ?? 0), durable: durable,
            wasOpened: found.wasOpened || opened != nil, isPowerLoss: found.isPowerLoss || isPowerLoss)
        do {
            try examine(next, nested: nil)
        } catch {
            throw CrashHistory.Mismatch(
                "after a second crash (\(isPowerLoss ? "power" : "kill"), change \(instant) of \(journal.changeCount), seed \(state), required \(next.required), possible \(next.possible)): \(error)"
            )
        }
    }
}

extension CrashExaminer.Case {
    func checked(_ shown: ClosedRange<Int>, _ who: String) throws -> ClosedRange<Int> {
        guard shown.upperBound >= required else {
            throw CrashHistory.Mismatch("\(required) items were acknowledged, \(who) shows \(shown)")
        }
        guard shown.lowerBound <= possible else {
            throw CrashHistory.Mismatch("\(possible) items were recorded, \(who) shows \(shown)")
        }
        return shown
    }
}
