public import Varve
internal import VarveIO

/// Performs random operations on a store and on an in-memory model of one, and compares every answer.
///
/// The same seed, count and options make the same operations. Use small blocks and segments, so that rotation
/// and sealing happen often.
public struct RandomOperations: ~Copyable {
    /// What was done, for a test that wants to see that everything was.
    public struct Summary: Hashable, Sendable {
        /// Events appended.
        public internal(set) var events = 0
        /// Checkpoints made.
        public internal(set) var checkpoints = 0
        /// Sessions begun.
        public internal(set) var sessions = 0
        /// Openings for writing.
        public internal(set) var openings = 0
        /// Queries, counts, lookups and listings whose answers were compared.
        public internal(set) var comparisons = 0
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
    private var store: EventStore
    private var session: Session?
    /// A handle whose session has ended.
    private var ended: Session?
    private var clock: Int64 = 1_700_000_000_000_000_000

    private static let kinds = [
        ReferenceModel.Kind(name: "state", encoding: .json), .init(name: "log", encoding: .utf8),
        .init(name: "log", encoding: .binary), .init(name: "frame", encoding: .binary),
        .init(name: "größe", encoding: .utf8),
    ]
    private static let sessionIDs = ["morning", "flight", "", "nacht/../🌙"]

    /// Opens a new store in an existing directory.
    ///
    /// - Throws: `StoreError` when it can't be opened.
    public init(seed: UInt64, operations: Int, options: StoreOptions, directory: String) throws {
        self.seed = seed
        self.operations = operations
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
                try performOne()
                operation += 1
            }
            // Verification reads files: what is on its way to them must have arrived.
            try store.flush()
            try compareEverything(in: store)
            try reopen()
            try compareEverything(in: store)
            summary.segments = Int(try store.info().segmentCount)
            summary.sessions = model.sessions.count
            try store.close()
        } catch let error as StoreError {
            throw diverged("the engine throws: \(error)")
        }
        return summary
    }

    func diverged(_ what: String) -> Divergence { Divergence(seed: seed, operation: operation, what: what) }

    // MARK: Operations

    private mutating func performOne() throws {
        switch random.below(100) {
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
        case 67..<87: try compareAnswer(to: randomQuery(), in: store)
        case 87..<92: try compareCount(of: randomQuery(), in: store)
        case 92..<97: try comparePoint(in: store)
        case 97: try compareSessions(in: store)
        case 98: try compareCheckpoints(in: store)
        default: try compareRebuilt(in: store)
        }
    }

    private mutating func append() throws {
        guard let session else { return }
        let (payload, kind, timestamp) = (randomPayload(), randomKind(), nextTimestamp())
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
        let id = RandomOperations.sessionIDs[Int(random.below(UInt32(RandomOperations.sessionIDs.count)))]
        let metadata: [String: String] = random.oneIn(2) ? ["host": "h\(random.below(3))", "": "x"] : [:]
        let time = nextTimestamp()
        session = try store.startSession(id, at: time, metadata: metadata)
        model.start(id, at: time, metadata: metadata)
    }

    private mutating func end() throws {
        guard let active = session else { return }
        let time = nextTimestamp()
        let info = try active.end(at: time)
        model.end(at: time)
        (session, ended) = (nil, active)
        try compare(info, with: model.sessions[Int(active.ordinal) - 1])
    }

    private mutating func resume() throws {
        guard session == nil, !model.sessions.isEmpty else { return }
        let position = Int(random.below(UInt32(model.sessions.count)))
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

    private mutating func reopen() throws {
        try store.close()
        model.end(at: nil)
        (session, ended) = (nil, nil)
        if random.oneIn(3) { try compareEverything(in: try EventStore.openReadOnly(path, options: options)) }
        store = try EventStore.open(path, options: options)
        summary.openings += 1
        guard store.recovery == nil else { throw diverged("a closed store needed recovery") }
        guard store.nextSequence == model.nextSequence else {
            throw diverged("the next number is \(store.nextSequence) after opening")
        }
    }

    private mutating func readBesideTheWriter() throws {
        try store.flush()
        let reader = try EventStore.openReadOnly(path, options: options)
        for _ in 0..<4 { try compareAnswer(to: randomQuery(), in: reader) }
        try compareSessions(in: reader)
        try compareCheckpoints(in: reader)
        try reader.close()
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
        default: return Array("{\"n\":\(random.below(1_000)),\"text\":\"\(random.below(50)) of these\"}".utf8)
        }
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
