import Testing
import Varve
import VarveIO
import VarveTestKit

@Suite("A crash while limits drop the oldest, and segments are written anew, loses nothing that is kept")
struct RetentionCrashTests {
    struct Scenario: Sendable, CustomTestStringConvertible {
        let name: String
        let limits: RetentionLimits
        let durability: Durability
        let events: Int
        var compactsInBackground = false
        /// Whether limits of bytes move the heads, of which only the engine knows where they stand.
        var isLimitedByBytes: Bool { limits.bytes != nil }
        var testDescription: String { name }
    }

    static let scenarios = [
        Scenario(
            name: "events and checkpoints, until close", limits: .init(events: 45, checkpoints: 4),
            durability: .none, events: 150),
        Scenario(
            name: "events, checkpoints outlive them, synced", limits: .init(events: 20, checkpoints: 30),
            durability: .synced, events: 90),
        Scenario(
            name: "checkpoints alone, at an interval", limits: .init(checkpoints: 2),
            durability: .interval(nanoseconds: 1_000_000), events: 120),
        Scenario(name: "bytes, until close", limits: .init(bytes: 1 << 20), durability: .none, events: 1_500),
        Scenario(
            name: "bytes and events", limits: .init(events: 700, checkpoints: 12, bytes: 1 << 20),
            durability: .none, events: 1_500),
        Scenario(name: "no limits", limits: .init(), durability: .none, events: 120),
        Scenario(
            name: "compaction in the background", limits: .init(events: 60, checkpoints: 6),
            durability: .interval(nanoseconds: 1_000_000), events: 240, compactsInBackground: true),
    ]

    static let path = "/data/store"
    static let statesWanted = environmentNumber("VARVE_CRASH_STATES") ?? 1_500

    static func options(_ scenario: Scenario, on system: SimulatedFileSystem) -> StoreOptions {
        var options = StoreOptions()
        options.fileSystem = system
        options.blockBytes = 4 << 10
        options.subBlockBytes = 1 << 10
        options.segmentBytes = scenario.isLimitedByBytes ? 96 << 10 : 12 << 10
        options.queueBatches = 2
        options.encoderThreads = 1
        options.durability = scenario.durability
        options.limits = scenario.limits
        options.compactsInBackground = scenario.compactsInBackground
        return options
    }

    static func payload(_ sequence: UInt64) -> [UInt8] {
        var random = SplitMix64(seed: sequence)
        return Array("event \(sequence) ".utf8)
            + (0..<700).map { $0 % 3 == 0 ? 7 : UInt8(truncatingIfNeeded: random.next()) }
    }

    /// What was recorded, and what of it is kept after each step.
    struct History {
        enum Item {
            case event(session: UInt64)
            case checkpoint(Checkpoint)
            case pin(session: UInt64, isPinned: Bool)
        }

        struct Kept: Equatable {
            var events: [UInt64]
            var checkpoints: [UInt64]
            /// Of the events, those that no limit drops.
            var pinned: Set<UInt64> = []

            static func == (left: Kept, right: Kept) -> Bool {
                left.events == right.events && left.checkpoints == right.checkpoints
            }
        }

        let limits: RetentionLimits
        private(set) var items: [Item] = []
        /// What is kept after so many items, as limits on numbers say.
        private(set) var kept = [Kept(events: [], checkpoints: [])]
        /// The engine's heads after so many items.
        var heads: [UInt64] = [0]
        private var sessions: [UInt64] = []
        private var made: [UInt64: Checkpoint] = [:]
        /// The heads when a session was pinned.
        private var pinned: [UInt64: (event: UInt64, checkpoint: UInt64)] = [:]
        private var head: UInt64 = 0, checkpointHead: UInt64 = 0

        private struct Stage {
            var head: UInt64 = 0, checkpointHead: UInt64 = 0
            var pinned: [UInt64: (event: UInt64, checkpoint: UInt64)] = [:]
            var events = 0
        }

        /// What decided after so many items.
        private var stages = [Stage()]

        init(_ limits: RetentionLimits) { self.limits = limits }

        private func isPinned(_ event: UInt64) -> Bool {
            pinned[sessions[Int(event)]].map { event >= $0.event } ?? false
        }

        private func isPinned(checkpoint: UInt64) -> Bool {
            made[checkpoint].flatMap { pinned[$0.sessionOrdinal] }.map { checkpoint >= $0.checkpoint }
                ?? false
        }

        mutating func add(_ item: Item) {
            items.append(item)
            var now = kept[kept.count - 1]
            switch item {
            case .event(let session):
                now.events.append(UInt64(sessions.count))
                sessions.append(session)
            case .checkpoint(let checkpoint):
                made[checkpoint.ordinal] = checkpoint
                now.checkpoints.append(checkpoint.ordinal)
            case .pin(let session, let isPinned): pinned[session] = isPinned ? (head, checkpointHead) : nil
            }
            while let limit = limits.events, now.events.count > limit,
                let oldest = now.events.first(where: { !isPinned($0) })
            {
                head = max(head, oldest + 1)
                now.events.removeAll { $0 < head && !isPinned($0) }
            }
            while let limit = limits.checkpoints, now.checkpoints.count > limit,
                let oldest = now.checkpoints.first(where: { !isPinned(checkpoint: $0) })
            {
                checkpointHead = max(checkpointHead, oldest + 1)
                now.checkpoints.removeAll { $0 < checkpointHead && !isPinned(checkpoint: $0) }
            }
            // Unpinned, what was dropped meanwhile goes.
            now.events.removeAll { $0 < head && !isPinned($0) }
            now.checkpoints.removeAll { $0 < checkpointHead && !isPinned(checkpoint: $0) }
            if !pinned.isEmpty {
                now.pinned = Set(now.events.filter { isPinned($0) })
            } else {
                now.pinned = []
            }
            kept.append(now)
            heads.append(heads[heads.count - 1])
            stages.append(
                Stage(head: head, checkpointHead: checkpointHead, pinned: pinned, events: sessions.count))
        }

        func prefix(_ count: Int) -> History {
            var history = self
            let stage = stages[count]
            history.items.removeSubrange(count...)
            history.kept.removeSubrange((count + 1)...)
            history.heads.removeSubrange((count + 1)...)
            history.stages.removeSubrange((count + 1)...)
            (history.head, history.checkpointHead, history.pinned) = (
                stage.head, stage.checkpointHead, stage.pinned
            )
            history.sessions.removeSubrange(stage.events...)
            return history
        }

        /// How many items a store shows the kept ones of, among those from `least` to `greatest`.
        func match(
            _ store: EventStore, _ least: Int, _ greatest: Int, isExact: Bool, isWriter: Bool = false
        ) throws -> Int {
            let snapshot = try store.snapshot()
            // What opening makes room for, and what is sealed anew after it, is dropped by the engine alone.
            let known = isWriter && !isExact ? try snapshot.info().headSequence : 0
            var shown = Kept(events: [], checkpoints: try snapshot.checkpoints().map(\.ordinal))
            var cursor = try snapshot.cursor()
            while let event = try cursor.nextEvent() {
                guard event.payload == RetentionCrashTests.payload(event.sequence) else {
                    throw Mismatch("event \(event.sequence) is another one")
                }
                shown.events.append(event.sequence)
            }
            for checkpoint in try snapshot.checkpoints() {
                guard made[checkpoint.ordinal] == checkpoint,
                    try snapshot.state(of: checkpoint) == Array("state \(checkpoint.sequence)".utf8)
                else { throw Mismatch("checkpoint \(checkpoint.ordinal) is another one") }
            }
            for gap in cursor.coverage.gaps where gap.reason != .retention && gap.reason != .unconfirmedTail {
                throw Mismatch("what was never durable, or dropped, is a gap: \(gap)")
            }
            let pins = Set(try snapshot.info().pins)
            let most = max(least, min(greatest, items.count))
            for count in stride(from: most, through: least, by: -1) {
                let isMet =
                    isExact
                    ? shown == kept[count]
                    : isEnd(
                        // What was dropped is noted now and then.
                        shown, of: kept[count], atMost: max(known, heads[min(greatest + 64, items.count)]))
                if isMet, pins == Set(stages[count].pinned.keys) { return count }
            }
            throw Mismatch(
                """
                it shows events \(RetentionCrashTests.ranges(shown.events)), checkpoints \(shown.checkpoints); with \
                \(least)...\(greatest) items it should be \(RetentionCrashTests.ranges(kept[least].events)), \
                \(kept[least].checkpoints) to \
                \(RetentionCrashTests.ranges(kept[min(greatest, items.count)].events)), \
                \(kept[min(greatest, items.count)].checkpoints), heads \(heads[min(greatest, items.count)])
                """)
        }

        /// Whether it is the end of what limits on numbers keep, with all that is pinned, and no more is missing than the engine has
        /// dropped.
        private func isEnd(_ shown: Kept, of kept: Kept, atMost head: UInt64) -> Bool {
            guard kept.pinned.isSubset(of: shown.events),
                kept.checkpoints.suffix(shown.checkpoints.count) == shown.checkpoints[...]
                    || !pinned.isEmpty || !kept.pinned.isEmpty
            else { return false }
            let free = kept.events.filter { !kept.pinned.contains($0) }
            let left = shown.events.filter { !kept.pinned.contains($0) }
            guard free.suffix(left.count) == left[...], let first = free.first, let last = free.last else {
                return left.isEmpty && free.isEmpty
            }
            return (left.first ?? last + 1) <= max(head, first)
        }
    }

    struct Mismatch: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    static func ranges(_ numbers: [UInt64]) -> String {
        var ranges: [ClosedRange<UInt64>] = []
        for number in numbers {
            if let last = ranges.last, last.upperBound + 1 == number {
                ranges[ranges.count - 1] = last.lowerBound...number
            } else {
                ranges.append(number...number)
            }
        }
        return "\(ranges)"
    }

    /// Records, and notes in the journal how far it has got: three marks an item.
    struct Recorder {
        let system: SimulatedFileSystem
        let isSynced: Bool
        var history: History
        enum Mark: Int { case begun, returned, durable, opened }

        func mark(_ mark: Mark, _ count: Int) { system.mark(count * 4 + mark.rawValue) }

        static func count(_ mark: Mark, in marks: [Int]) -> Int? {
            marks.filter { $0 % 4 == mark.rawValue }.map { $0 / 4 }.max()
        }

        mutating func record(isDurable: Bool = false, _ body: () throws -> History.Item) throws {
            mark(.begun, history.items.count + 1)
            history.add(try body())
            mark(.returned, history.items.count)
            if isDurable || isSynced { mark(.durable, history.items.count) }
        }

        mutating func note(_ store: EventStore) throws {
            history.heads[history.heads.count - 1] = try store.info().headSequence
        }

        mutating func run(_ store: EventStore, life: Int, events: Int, compacts: Bool) throws {
            let kind = try store.kind("telemetry", .binary)
            var session: Session?
            for number in 0..<events {
                if number % (events / 6 + 1) == 0 {
                    _ = try session?.end()
                    let fresh = try store.startSession("session \(life) \(number)")
                    session = fresh
                }
                guard let session else { return }
                let expected = UInt64(history.eventCount)
                try record {
                    let sequence = try session.append(
                        RetentionCrashTests.payload(store.nextSequence), kind: kind, at: Int64(number))
                    guard sequence == expected else {
                        throw Mismatch("event \(expected) got the number \(sequence)")
                    }
                    return .event(session: session.ordinal)
                }
                if number % 9 == 5 {
                    try record {
                        .checkpoint(
                            try session.checkpoint(
                                "cp", state: Array("state \(store.nextSequence)".utf8), at: Int64(number)))
                    }
                }
                if number % 31 == 30 {
                    try store.flush()
                    mark(.durable, history.items.count)
                }
                if number == events / 8 {
                    try record(isDurable: true) {
                        try store.pin(session: session.ordinal)
                        return .pin(session: session.ordinal, isPinned: true)
                    }
                }
                if number == events * 3 / 4, let pinned = history.pinnedSession {
                    try record(isDurable: true) {
                        try store.unpin(session: pinned)
                        return .pin(session: pinned, isPinned: false)
                    }
                }
                if compacts, number % (events / 3) == events / 3 - 1 {
                    let refused = try store.compact().refused
                    guard refused.isEmpty else { throw Mismatch("compaction refuses \(refused)") }
                    mark(.durable, history.items.count)
                }
                if history.limits.bytes != nil, number % 16 == 0 { try note(store) }
            }
            if history.limits.bytes != nil { try note(store) }
        }
    }

    struct Case {
        let system: SimulatedFileSystem
        let history: History
        let required, possible: Int
        /// How many a power cut must leave.
        let durable: Int
        let wasOpened: Bool
        let isPowerLoss: Bool
    }

    static func examine(_ found: Case, _ scenario: Scenario, nested: UInt64?) throws {
        let options = options(scenario, on: found.system)
        let isExact = !scenario.isLimitedByBytes
        do {
            let reader = try EventStore.openReadOnly(path, options: options)
            _ = try found.history.match(reader, found.required, found.possible, isExact: isExact)
            try reader.close()
        } catch let error as StoreError {
            guard !found.wasOpened, case .notAStore = error else { throw error }
        }
        if nested != nil { found.system.record() }
        let writer = try EventStore.open(path, options: options)
        let count: Int
        do {
            count = try found.history.match(
                writer, found.required, found.possible, isExact: isExact, isWriter: true)
        } catch {
            throw Mismatch("for a writer: \(error)")
        }
        var recorder = Recorder(
            system: found.system, isSynced: scenario.durability == .synced,
            history: found.history.prefix(count))
        // Numbers of what was lost may be given to nobody.
        let isWhole = writer.nextSequence == UInt64(recorder.history.eventCount)
        recorder.mark(.opened, count)
        if isWhole {
            try recorder.run(writer, life: 9, events: 12, compacts: true)
        } else {
            _ = try writer.compact()
        }
        try writer.close()
        recorder.mark(.durable, recorder.history.items.count)
        let again = try EventStore.openReadOnly(path, options: self.options(scenario, on: found.system))
        var history = recorder.history
        if !isExact {
            let head = try again.info().headSequence
            for place in history.heads.indices { history.heads[place] = max(history.heads[place], head) }
        }
        _ = try history.match(again, history.items.count, history.items.count, isExact: isExact)
        let report = try again.verify()
        guard report.damage.isEmpty else { throw Mismatch("damage after recovery: \(report.damage)") }
        let strays = report.strays.filter {
            !$0.file.hasSuffix(".cut") && !$0.reason.hasPrefix("its footer is damaged")
                && !$0.reason.hasPrefix("its header can't be read")
        }
        guard strays.isEmpty else { throw Mismatch("left behind: \(strays)") }
        try again.close()
        if let nested, isWhole { try crashAgain(found, scenario, history, count, nested) }
    }

    private static func crashAgain(
        _ found: Case, _ scenario: Scenario, _ history: History, _ count: Int, _ seed: UInt64
    ) throws {
        guard let journal = found.system.journal else { return }
        var random = SplitMix64(seed: seed)
        let instant = Int(random.below(UInt32(journal.changeCount + 1)))
        let isPowerLoss = !random.oneIn(4)
        var cursor = journal.cursor()
        for _ in 0..<instant { _ = cursor.advance() }
        let state = random.next()
        let opened = Recorder.count(.opened, in: cursor.marks)
        // What a power cut has left is on the disk; what opening has recovered is durable.
        let certain = max(
            found.isPowerLoss ? count : found.durable, opened ?? 0,
            Recorder.count(.durable, in: cursor.marks) ?? 0)
        let next = Case(
            system: isPowerLoss ? cursor.afterPowerLoss(seed: state) : cursor.afterKill(cuttingWrite: state),
            history: history,
            required: isPowerLoss
                ? certain : max(certain, found.required, Recorder.count(.returned, in: cursor.marks) ?? 0),
            possible: max(count, Recorder.count(.begun, in: cursor.marks) ?? 0), durable: certain,
            wasOpened: found.wasOpened || opened != nil,
            isPowerLoss: found.isPowerLoss || isPowerLoss)
        do {
            try examine(next, scenario, nested: nil)
        } catch {
            throw Mismatch(
                "after a second crash (\(isPowerLoss ? "power" : "kill"), change \(instant) of \(journal.changeCount), seed \(state), required \(next.required), possible \(next.possible)): \(error)"
            )
        }
    }

    @Test("At every operation, and another on the way of recovery", arguments: scenarios)
    func everyOperation(_ scenario: Scenario) throws {
        let seed = SplitMix64.freshSeed()
        let system = SimulatedFileSystem(seed: seed)
        try system.makeDirectory("/data")
        try system.syncDirectory("/")
        system.record()
        var recorder = Recorder(
            system: system, isSynced: scenario.durability == .synced, history: History(scenario.limits))
        for life in 0..<2 {
            let store = try EventStore.open(Self.path, options: Self.options(scenario, on: system))
            recorder.mark(.opened, recorder.history.items.count)
            try recorder.run(store, life: life, events: scenario.events / (life + 1), compacts: true)
            try store.close()
            // What closing made room for.
            if scenario.isLimitedByBytes {
                let reader = try EventStore.openReadOnly(
                    Self.path, options: Self.options(scenario, on: system))
                try recorder.note(reader)
                try reader.close()
            }
            recorder.mark(.durable, recorder.history.items.count)
        }
        let journal = try #require(system.journal)
        let wanted = Self.statesWanted / Self.scenarios.count
        var random = SplitMix64(seed: seed)
        var cursor = journal.cursor()
        var (states, failures) = (0, 0)
        let instants = journal.changeCount + 1
        repeat {
            // As many as are wanted, at instants spread over all of them.
            let chances = UInt32(clamping: instants * 100 / max(wanted, 1))
            guard chances <= 100 || random.below(chances) < 100 else { continue }
            let isPowerLoss = !random.oneIn(4)
            let (state, nested) = (random.next(), random.next())
            let marks = cursor.marks
            let durable = Recorder.count(.durable, in: marks) ?? 0
            let found = Case(
                system: isPowerLoss
                    ? cursor.afterPowerLoss(seed: state) : cursor.afterKill(cuttingWrite: state),
                history: recorder.history,
                required: isPowerLoss ? durable : max(durable, Recorder.count(.returned, in: marks) ?? 0),
                possible: Recorder.count(.begun, in: marks) ?? 0, durable: durable,
                wasOpened: Recorder.count(.opened, in: marks) != nil, isPowerLoss: isPowerLoss)
            let listing = found.system.listing
            states += 1
            do {
                try Self.examine(found, scenario, nested: states % 3 == 0 ? nested : nil)
            } catch {
                failures += 1
                Issue.record(
                    """
                    \(scenario.name), VARVE_SEED=\(seed): \(isPowerLoss ? "power cut" : "kill") after change \
                    \(cursor.changesMade) of \(journal.changeCount), state \(state), nested \(nested), required \
                    \(found.required), possible \(found.possible): \(error)
                    \(listing)
                    """)
                if failures == 3 { return }
            }
        } while cursor.advance()
        print("retention, \(scenario.name): \(states) crash states at \(instants) instants, seed \(seed)")
        tortureFigure(
            "crash states of retention and compaction, \(scenario.name)", asked: min(wanted, instants),
            reached: states, ["lost": 0])
        #expect(states > min(wanted, instants) / 2)
    }
}

extension RetentionCrashTests.History {
    var eventCount: Int { items.count { if case .event = $0 { true } else { false } } }
    /// The session that is pinned; nil: none.
    var pinnedSession: UInt64? {
        var pinned: UInt64?
        for case .pin(let session, let isPinned) in items { pinned = isPinned ? session : nil }
        return pinned
    }
}
