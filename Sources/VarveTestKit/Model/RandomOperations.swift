public import Varve
internal import VarveIO

/// Performs random operations on a store and on an in-memory model of one, and compares every answer.
///
/// The same seed, count and options make the same operations. Use small blocks and segments, so that rotation
/// and sealing happen often.
public struct RandomOperations: ~Copyable {
    /// What was done, for a test that wants to see that everything was.
    public struct Summary: Hashable, Sendable {
        /// Events that random operations appended.
        public internal(set) var events = 0
        /// Checkpoints made.
        public internal(set) var checkpoints = 0
        /// Sessions begun.
        public internal(set) var sessions = 0
        /// Openings for writing.
        public internal(set) var openings = 0
        /// Queries, counts, lookups and listings whose answers were compared.
        public internal(set) var comparisons = 0
        /// Events and checkpoints that limits have dropped.
        public internal(set) var dropped = 0
        /// Pins made or taken away, and compactions.
        public internal(set) var pins = 0, compactions = 0
        /// Most bytes in the directory under a limit of them, of that limit: of random operations, and of appends alone after them.
        public internal(set) var fullest = 0.0, filled = 0.0
        /// Segments at the end.
        public internal(set) var segments = 0
    }

    /// The engine and the model disagree, or the engine refused what it must not.
    public struct Divergence: Error, CustomStringConvertible {
        /// The seed that shows it again.
        public let seed: UInt64
        /// The number of the operation, from 0.
        public let operation: Int
        /// What differs.
        public let what: String

        /// One line for people.
        public var description: String {
            "seed 0x\(String(seed, radix: 16)), operation \(operation): \(what)"
        }
    }

    let seed: UInt64
    let path: String
    let options: StoreOptions
    let operations: Int
    var random: SplitMix64
    var model = ReferenceModel()
    var summary = Summary()
    var operation = 0
    var store: EventStore
    private var session: Session?
    /// A handle whose session has ended.
    private var ended: Session?
    /// Measures the directory, where limits change from opening to opening.
    private let meter: DirectoryMeter?
    var limits = RetentionLimits()
    /// Most bytes of the directory since the model followed the engine's heads, and whether the store was opened since: with a lower limit,
    /// perhaps.
    private var peak: UInt64 = 0
    /// The same between the two times before: what is dropped may show a little late.
    private var earlierPeak: UInt64 = 0
    private var isReopened = true
    /// The largest block, and the footers of the segments without one.
    private static let blockRoom: UInt64 = 96 << 10
    /// What is being done, for a failure's message.
    private var doing = "opening"
    /// Whether the model takes the heads over from the engine.
    var isFollowing: Bool { meter != nil }
    private var clock: Int64 = 1_700_000_000_000_000_000

    private static let kinds = [
        ReferenceModel.Kind(name: "state", encoding: .json), .init(name: "log", encoding: .utf8),
        .init(name: "log", encoding: .binary), .init(name: "frame", encoding: .binary),
        .init(name: "größe", encoding: .utf8),
    ]
    private static let sessionIDs = ["morning", "flight", "", "nacht/../🌙"]

    /// Opens a new store in an existing directory. With `changesLimits` each opening may have other limits, sessions and ranges are
    /// pinned, and the store is compacted now and then.
    ///
    /// - Throws: `StoreError` when it can't be opened.
    public init(
        seed: UInt64, operations: Int, options: StoreOptions, directory: String, changesLimits: Bool = false
    ) throws {
        self.seed = seed
        self.operations = operations
        var options = options
        let meter = changesLimits ? DirectoryMeter(options.fileSystem) : nil
        if let meter { options.fileSystem = meter }
        self.meter = meter
        self.options = options
        path = "\(directory)/model-\(String(seed, radix: 16)).varve"
        random = SplitMix64(seed: seed)
        store = try EventStore.open(path, options: options)
        summary.openings = 1
    }

    /// Performs all operations, compares everything once more, and closes the store.
    ///
    /// - Throws: ``Divergence``.
    public consuming func run() throws -> Summary {
        do {
            while operation < operations {
                if meter != nil, random.oneIn(25) { try retain() } else { try performOne() }
                try keepPinsSmall()
                try checkBytes()
                operation += 1
            }
            // Verification reads files: what is on its way to them must have arrived.
            try store.flush()
            try followed { try $0.compareEverything(in: $0.store) }
            summary.dropped =
                model.events.count - model.keptEvents.count + model.checkpoints.count
                - model.keptCheckpoints.count
            try reopen()
            try followed { try $0.compareEverything(in: $0.store) }
            summary.segments = Int(try store.info().segmentCount)
            summary.sessions = model.sessions.count
            if meter != nil { try fillLimit() }
            try store.close()
        } catch let error as StoreError {
            throw diverged(
                "\(doing): the engine throws: \(error); limits \(limits), pinned \(model.pinnedBytesMax) bytes at most, heads \(model.headSequence) and \(model.headCheckpoint), files \(files)"
            )
        }
        return summary
    }

    private var files: [String] {
        let system = options.fileSystem
        return ((try? system.list(path)) ?? []).map { file in
            "\(file.name): \((try? system.stamp(of: path + "/" + file.name))??.byteCount ?? 0)"
        }.sorted()
    }

    func diverged(_ what: String) -> Divergence { Divergence(seed: seed, operation: operation, what: what) }

    // MARK: Operations

    private mutating func performOne() throws {
        let choice = random.below(100)
        doing = "operation of kind \(choice)"
        switch choice {
        case 0..<38: try append()
        case 38..<48: try appendBatch()
        case 48..<52: try makeCheckpoint()
        case 52..<56: try start()
        case 56..<58: try end()
        case 58..<60: try resume()
        case 60: try importSession()
        case 61..<63: try flush()
        case 63: try reopen()
        case 64: try readBesideTheWriter()
        case 65..<67: try expectRefusals()
        case let comparison:
            let query = randomQuery()
            let start = random
            try followed { operations in
                operations.random = start
                switch comparison {
                case 67..<87: try operations.compareAnswer(to: query, in: operations.store)
                case 87..<92: try operations.compareCount(of: query, in: operations.store)
                case 92..<97: try operations.comparePoint(in: operations.store)
                case 97: try operations.compareSessions(in: operations.store)
                case 98: try operations.compareCheckpoints(in: operations.store)
                default: try operations.compareRebuilt(in: operations.store)
                }
            }
        }
    }

    /// Compares once the model has followed the engine; again, where a limit of bytes has moved the heads meanwhile: what is dropped is told
    /// to the ledger, which takes room too.
    private mutating func followed(_ compare: (inout RandomOperations) throws -> Void) throws {
        while true {
            try followLimits()
            do {
                return try compare(&self)
            } catch let divergence as Divergence {
                guard limits.bytes != nil else { throw divergence }
                let info = try store.info()
                if info.headSequence == model.headSequence, info.headCheckpoint == model.headCheckpoint {
                    throw divergence
                }
            }
        }
    }

    // MARK: Retention

    /// Pins something, or no more; or compacts.
    private mutating func retain() throws {
        // Nothing may be dropped between the engine's look at the heads and the model's.
        try followLimits()
        let isPinned = random.oneIn(2)
        switch random.below(4) {
        case 0: try reopen()
        case 1:
            doing = "compacting"
            let report = try store.compact()
            guard report.refused.isEmpty else { throw diverged("compaction refuses \(report.refused)") }
            summary.compactions += 1
        case 2:
            let kept = stableSessions.filter { $0.ordinal % 3 == 0 || random.oneIn(3) }
            guard !kept.isEmpty else { return }
            let session = kept[Int(random.below(UInt32(kept.count)))].ordinal
            doing =
                "pinning session \(session), \(isPinned), limits \(limits), heads \(model.headSequence) \(model.headCheckpoint)"
            if isPinned { try store.pin(session: session) } else { try store.unpin(session: session) }
            try followLimits()
            model.pin(session: session, 0...(.max), isPinned: isPinned)
            summary.pins += 1
        default:
            let first = random.next() % (model.nextSequence + 20)
            let range = first...first + UInt64(random.below(isPinned ? 60 : 3_000))
            if isPinned, range.upperBound < model.headSequence {
                let error = StoreError.invalid(
                    what: "the range \(range.lowerBound) to \(range.upperBound)",
                    reason: "was dropped before: the first number that is kept is \(model.headSequence)")
                try expectRefusal("a pin of what was dropped", error) { try store.pin(sequences: range) }
                return
            }
            if isPinned { try store.pin(sequences: range) } else { try store.unpin(sequences: range) }
            try followLimits()
            model.pin(range, isPinned: isPinned)
            summary.pins += 1
        }
    }

    /// What is pinned leaves the limit of bytes room enough, and fits into the eighth that is kept free, whatever large segment of another
    /// limit's time it stands in: that there may be none has tests of its own.
    private mutating func keepPinsSmall() throws {
        guard let bytes = limits.bytes, model.pinnedBytesMax > bytes / 16 else { return }
        try unpinEverything()
    }

    private mutating func unpinEverything() throws {
        doing = "unpinning everything"
        try followLimits()
        for session in try store.info().pins {
            try store.unpin(session: session)
            try followLimits()
            model.pin(session: session, 0...(.max), isPinned: false)
        }
        try store.unpin(sequences: 0...(.max))
        try followLimits()
        model.pin(0...(.max), isPinned: false)
    }

    /// Fills a limit of bytes until the oldest goes for what is appended: how full random operations make the directory depends on their
    /// seed.
    private mutating func fillLimit() throws {
        try unpinEverything()
        let done = summary
        var limits = RetentionLimits()
        limits.bytes = 4 << 20
        doing = "filling \(limits)"
        try reopen(limits: limits)
        let session = try startNewSession()
        try followLimits()
        let head = model.headSequence
        summary.fullest = 0
        // Ends: more than the limit is a divergence.
        while model.headSequence == head {
            for _ in 0..<8 { try append(randomBytes(4 << 10), to: session) }
            try followLimits()
        }
        try followed { try $0.compareEverything(in: $0.store) }
        let filled = summary.fullest
        summary = done
        summary.filled = filled
    }

    /// Limits of their number the model keeps by itself; which segments are the oldest when bytes are short, only the engine knows.
    private mutating func followLimits() throws {
        guard meter != nil else { return }
        if let bytes = limits.bytes {
            try store.flush()
            let info = try store.info()
            try checkBytes()
            // Nothing goes before the directory is so full that the reserve, a block and the footers have no room beside it.
            let isEarly =
                !isReopened && max(peak, earlierPeak) < bytes - bytes / 8 - RandomOperations.blockRoom
            if isEarly, model.isBelow(head: info.headSequence, checkpoint: info.headCheckpoint) {
                throw diverged(
                    "the heads moved from \(model.headSequence) and \(model.headCheckpoint) to \(info.headSequence) and \(info.headCheckpoint) with \(peak) bytes, under \(limits)"
                )
            }
            (earlierPeak, peak, isReopened) = (peak, 0, false)
            if let wrong = model.follow(head: info.headSequence, checkpoint: info.headCheckpoint) {
                throw diverged(wrong)
            }
        }
    }

    private mutating func checkBytes() throws {
        guard let meter, let bytes = limits.bytes else { return }
        let peak = meter.takePeak(of: path)
        self.peak = max(self.peak, peak)
        summary.fullest = max(summary.fullest, Double(peak) / Double(bytes))
        if peak > bytes { throw diverged("the directory has taken \(peak) bytes of \(bytes)") }
    }

    /// Other limits, now and then.
    private mutating func randomLimits() -> RetentionLimits? {
        guard meter != nil, random.oneIn(2) else { return nil }
        var limits = RetentionLimits()
        if random.oneIn(2) { limits.events = UInt64(random.below(3_000)) + 1 }
        if random.oneIn(2) { limits.checkpoints = UInt64(random.below(20)) + 1 }
        if random.oneIn(2) {
            limits.bytes = max(1 << 20 + UInt64(random.below(3 << 20)), model.pinnedBytesMax * 16)
        }
        return limits
    }

    private mutating func append() throws {
        guard let session else { return }
        try append(randomPayload(), to: session)
    }

    private mutating func append(_ payload: [UInt8], to session: Session) throws {
        let (kind, timestamp) = (randomKind(), nextTimestamp())
        let sequence = try session.append(
            payload, kind: try store.kind(kind.name, kind.encoding), at: timestamp)
        guard sequence == model.nextSequence else {
            throw diverged("append returned \(sequence) instead of \(model.nextSequence)")
        }
        model.append(payload, kind: kind, at: timestamp)
        summary.events += 1
    }

    private mutating func appendBatch() throws {
        guard let session else { return }
        let batch = EventBatch()
        let first = model.nextSequence
        for _ in 0..<random.below(60) {
            let (payload, kind, timestamp) = (randomPayload(), randomKind(), nextTimestamp())
            try batch.add(payload, kind: try store.kind(kind.name, kind.encoding), at: timestamp)
            model.append(payload, kind: kind, at: timestamp)
            summary.events += 1
        }
        let sequences = try session.append(batch)
        guard sequences == first..<model.nextSequence else {
            throw diverged("a batch got \(sequences) instead of \(first..<model.nextSequence)")
        }
    }

    private mutating func makeCheckpoint() throws {
        guard let session else { return }
        let id = "cp-\(random.below(20))"
        let label: String? = random.oneIn(2) ? "before \(random.below(9))" : nil
        let (state, timestamp) = (randomPayload(), nextTimestamp())
        let made = try session.checkpoint(id, label: label, state: state, at: timestamp)
        model.checkpoint(id, label: label, state: state, at: timestamp)
        summary.checkpoints += 1
        try compare(made, with: model.checkpoints[model.checkpoints.count - 1])
    }

    private mutating func start() throws {
        guard session == nil else { return }
        session = try startNewSession()
    }

    private mutating func startNewSession() throws -> Session {
        let id = RandomOperations.sessionIDs[Int(random.below(UInt32(RandomOperations.sessionIDs.count)))]
        let metadata: [String: String] = random.oneIn(2) ? ["host": "h\(random.below(3))", "": "x"] : [:]
        let time = nextTimestamp()
        let session = try store.startSession(id, at: time, metadata: metadata)
        model.start(id, at: time, metadata: metadata)
        return session
    }

    private mutating func end() throws {
        guard let active = session else { return }
        let time = nextTimestamp()
        let info = try active.end(at: time)
        model.end(at: time)
        (session, ended) = (nil, active)
        let position = Int(active.ordinal) - 1
        guard limits.bytes != nil else { return try compare(info, with: model.sessions[position]) }
        // For what was written last something may have gone.
        try followed { operations in
            guard operations.model.aliveSessions.contains(active.ordinal) else { return }
            try operations.compare(
                operations.store.snapshot().session(ordinal: active.ordinal),
                with: operations.model.sessions[position])
        }
    }

    private mutating func resume() throws {
        guard session == nil else { return }
        try followLimits()
        let kept = stableSessions
        guard !kept.isEmpty else { return }
        let position = Int(kept[Int(random.below(UInt32(kept.count)))].ordinal) - 1
        session = try store.resume(session: model.sessions[position].ordinal)
        model.resume(position)
    }

    /// An imported session: indices as they come, gapped, repeated and unsorted.
    private mutating func importSession() throws {
        guard session == nil else { return }
        let time = nextTimestamp()
        let imported = try store.startImportedSession("imported", at: time, metadata: [:])
        model.start("imported", at: time, metadata: [:], isImported: true)
        for _ in 0..<random.below(40) {
            let (payload, kind, timestamp) = (randomPayload(), randomKind(), nextTimestamp())
            let index = random.oneIn(50) ? random.next() >> 1 : UInt64(random.below(1_000))
            try imported.append(
                payload, kind: try store.kind(kind.name, kind.encoding), at: timestamp, index: index)
            model.append(payload, kind: kind, at: timestamp, index: index)
            summary.events += 1
        }
        let end = nextTimestamp()
        try imported.end(at: end)
        model.end(at: end)
    }

    private mutating func flush() throws {
        try store.flush()
        let last = model.events.last?.sequence
        guard store.durableThrough == last else {
            throw diverged("durable through \(String(describing: store.durableThrough)) after a flush")
        }
    }

    private mutating func reopen(limits newLimits: RetentionLimits? = nil) throws {
        try store.close()
        model.end(at: nil)
        (session, ended) = (nil, nil)
        // Closing told the ledger, for which something may have gone.
        let comparesReader = random.oneIn(3)
        if comparesReader || limits.bytes != nil {
            let reader = try EventStore.openReadOnly(path, options: options)
            if limits.bytes != nil { try follow(reader) }
            if comparesReader { try compareEverything(in: reader) }
        }
        var options = options
        if let changed = newLimits ?? randomLimits() {
            limits = changed
            options.limits = changed
        }
        store = try EventStore.open(path, options: options)
        summary.openings += 1
        isReopened = true
        (peak, earlierPeak) = (0, 0)
        _ = meter?.takePeak(of: path)
        if limits.bytes != nil { try follow(store) }
        model.limit(to: limits)
        guard store.recovery == nil else { throw diverged("a closed store needed recovery") }
        guard store.nextSequence == model.nextSequence else {
            throw diverged("the next number is \(store.nextSequence) after opening")
        }
    }

    private mutating func follow(_ store: EventStore) throws {
        let info = try store.info()
        if let wrong = model.follow(head: info.headSequence, checkpoint: info.headCheckpoint) {
            throw diverged(wrong)
        }
    }

    private mutating func readBesideTheWriter() throws {
        try store.flush()
        try followed { operations in
            let reader = try EventStore.openReadOnly(operations.path, options: operations.options)
            for _ in 0..<4 { try operations.compareAnswer(to: operations.randomQuery(), in: reader) }
            try operations.compareSessions(in: reader)
            try operations.compareCheckpoints(in: reader)
            try reader.close()
        }
    }

    /// What must be refused, and must leave no trace.
    private mutating func expectRefusals() throws {
        let kind = try store.kind("log", .utf8)
        if let ended, !ended.isActive {
            try expectRefusal("an append to an ended session", .sessionEnded(id: ended.id)) {
                try ended.append([1, 2, 3], kind: kind, at: 0)
            }
        }
        if let session {
            try expectRefusal("a second session", .sessionAlreadyActive(id: session.id)) {
                try store.startSession("second")
            }
        }
        let absent = UInt64(model.sessions.count) + 1
        try expectRefusal(
            "resuming an absent session",
            session.map { .sessionAlreadyActive(id: $0.id) } ?? .noSuchSession(ordinal: absent)
        ) {
            try store.resume(session: absent)
        }
        try expectRefusal("a second writer", .alreadyOpen(path: path)) {
            try EventStore.open(path, options: options)
        }
    }

    private func expectRefusal<R>(_ what: String, _ expected: StoreError, _ body: () throws -> R) throws {
        do {
            _ = try body()
        } catch let error as StoreError {
            guard error == expected else { throw diverged("\(what) is refused with: \(error)") }
            return
        }
        throw diverged("\(what) is not refused")
    }

    // MARK: Values

    /// Mostly forward, sometimes back, rarely to either end of time.
    private mutating func nextTimestamp() -> Int64 {
        switch random.below(500) {
        case 0: return .min
        case 1: return .max
        case 2..<30: clock -= Int64(random.below(5_000_000))
        default: clock += Int64(random.below(1_000_000))
        }
        return clock
    }

    private mutating func randomKind() -> ReferenceModel.Kind {
        // The last kind only now and then, so that some blocks and segments do not know it.
        if random.oneIn(200) { return RandomOperations.kinds[4] }
        return RandomOperations.kinds[Int(random.below(4))]
    }

    /// Mostly short and repetitive; sometimes empty, random, or larger than a block.
    private mutating func randomPayload() -> [UInt8] {
        switch random.below(400) {
        case 0:
            return [UInt8](
                repeating: UInt8(random.below(256)), count: options.blockBytes + Int(random.below(9_000)))
        case 1: return (0..<random.below(8_000)).map { _ in UInt8(random.below(256)) }
        case 2..<20: return []
        case 20..<60: return (0..<random.below(100)).map { _ in UInt8(random.below(256)) }
        // Limits of bytes are to be reached.
        case 60..<160 where meter != nil:
            return randomBytes(8 * Int(random.below(800)))
        default: return Array("{\"n\":\(random.below(1_000)),\"text\":\"\(random.below(50)) of these\"}".utf8)
        }
    }

    private mutating func randomBytes(_ count: Int) -> [UInt8] {
        (0..<count / 8).flatMap { _ in withUnsafeBytes(of: random.next()) { Array($0) } }
    }

    private mutating func randomQuery() -> Query {
        var query = Query()
        if random.oneIn(3) { query.sequences = randomRange(upTo: model.nextSequence + 5) }
        if random.oneIn(3) { query.time = randomTimeRange() }
        if random.oneIn(4) {
            query.kindNames = [RandomOperations.kinds[Int(random.below(5))].name]
            if random.oneIn(3) { query.kindNames?.insert(random.oneIn(2) ? "state" : "never seen") }
        }
        if random.oneIn(5) { query.sessionIDs = [RandomOperations.sessionIDs[Int(random.below(4))]] }
        if random.oneIn(5) {
            query.sessionOrdinals = [UInt64(random.below(UInt32(model.sessions.count + 2)))]
        }
        if random.oneIn(3) { query.limit = UInt64(random.below(random.oneIn(2) ? 4 : 1_000)) }
        query.isReversed = random.oneIn(2)
        return query
    }

    private mutating func randomRange(upTo end: UInt64) -> ClosedRange<UInt64> {
        let lower = random.next() % end
        switch random.below(3) {
        case 0: return lower...lower + UInt64(random.below(30))
        case 1: return lower...lower + UInt64(random.below(3_000))
        default: return lower...(random.oneIn(4) ? .max : max(lower, random.next() % end))
        }
    }

    private mutating func randomTimeRange() -> ClosedRange<Int64> {
        guard !model.events.isEmpty else { return .min ... .max }
        func timestamp(_ draw: UInt64) -> Int64 {
            model.events[Int(draw % UInt64(model.events.count))].timestamp
        }
        let (first, second) = (timestamp(random.next()), timestamp(random.next()))
        switch random.below(6) {
        case 0: return first...first
        case 1: return .min...first
        case 2: return first ... .max
        case 3: return first...(first > .max - 50_000_000 ? .max : first + 50_000_000)
        default: return min(first, second)...max(first, second)
        }
    }
}
