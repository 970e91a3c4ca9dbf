import Testing
import VarveFormat
import VarveTestKit

@testable import Varve

/// Whose payload begins with an even byte.
struct BeginsEven: EventPredicate {
    var needsPayload: Bool { true }
    var textRequirement: TextRequirement { .nothing }
    var description: String { "begins even" }

    static func holds(_ payload: [UInt8]) -> Bool { payload.first.map { $0 % 2 == 0 } ?? false }

    private final class Evaluator: PredicateEvaluator {
        func filter(_ rows: UnsafeMutableBufferPointer<UInt32>, of block: borrowing CandidateRows) -> Int {
            var kept = 0
            for row in rows where BeginsEven.holds(Array(block.payload(row).prefix(1))) {
                rows[kept] = row
                kept += 1
            }
            return kept
        }
    }

    func makeEvaluator() -> any PredicateEvaluator { Evaluator() }
}

/// What was recorded, in arrays: what retention keeps of it is a filter.
struct RetainedModel {
    struct Session {
        var ordinal: UInt64
        /// The number that its first event got, or would have got.
        var beginning: UInt64
        var nextIndex: UInt64 = 0
        var isActive = true
    }

    var events: [Event] = []
    var checkpoints: [(record: CheckpointRecord, state: [UInt8])] = []
    var sessions: [Session] = []
    var end: UInt64 { UInt64(events.count) }

    func events(_ retained: Retained) -> [Event] {
        events.filter { retained.keeps(sequence: $0.sequence, session: $0.sessionOrdinal) }
    }

    func checkpoints(_ retained: Retained) -> [CheckpointRecord] {
        checkpoints.map(\.record).filter { retained.keeps($0) }
    }

    func answer(_ query: Query, _ retained: Retained) -> [Event] {
        var found = events(retained).filter { event in
            query.time?.contains(event.timestamp) ?? true
                && query.sequences?.contains(event.sequence) ?? true
                && query.kindNames?.contains(event.kind.name) ?? true
                && query.sessionOrdinals?.contains(event.sessionOrdinal) ?? true
                && (query.predicates.isEmpty || BeginsEven.holds(event.payload))
        }
        if query.isReversed { found.reverse() }
        return Array(found.prefix(Int(query.limit ?? .max >> 1)))
    }

    /// The numbers of the log that are not kept, as ranges.
    func gaps(_ retained: Retained, in range: ClosedRange<UInt64> = 0 ... .max) -> [ClosedRange<UInt64>] {
        var gaps: [ClosedRange<UInt64>] = []
        for event in events where range.contains(event.sequence) {
            let number = event.sequence
            if retained.keeps(sequence: number, session: event.sessionOrdinal) { continue }
            if let last = gaps.last, last.upperBound + 1 == number {
                gaps[gaps.count - 1] = last.lowerBound...number
            } else {
                gaps.append(number...number)
            }
        }
        return gaps
    }

    /// The sessions that are left.
    func sessions(_ retained: Retained, isLive: Bool) -> [Session] {
        let recorded = Set(events.map(\.sessionOrdinal) + checkpoints.map(\.record.session))
        let kept = Set(events(retained).map(\.sessionOrdinal) + checkpoints(retained).map(\.session))
        return sessions.filter { session in
            if retained.isEverything || session.isActive && isLive { return true }
            return recorded.contains(session.ordinal)
                ? kept.contains(session.ordinal) : session.beginning >= retained.headSequence
        }
    }
}

/// Records sessions at random, resumed, empty and imported ones too, over several openings and segments.
struct RetainedRecording {
    private(set) var model = RetainedModel()
    private var random: SplitMix64
    private static let kindNames = ["one", "two", "three"]

    init(seed: UInt64) { random = SplitMix64(seed: seed) }

    private mutating func append(
        _ count: Int, to session: Session, in store: EventStore, isImport: Bool
    ) throws {
        let encodings: [PayloadEncoding] = [.binary, .utf8, .json]
        let kinds = try zip(Self.kindNames, encodings).map { try store.kind($0, $1) }
        let place = try #require(model.sessions.firstIndex { $0.ordinal == session.ordinal })
        var kind = kinds[0]
        for _ in 0..<count {
            if random.oneIn(20) { kind = kinds[Int(random.below(3))] }
            if random.oneIn(25) {
                let state = noise(random.next(), Int(random.below(300)))
                let made = try session.checkpoint("cp", label: nil, state: state, at: Int64(model.end))
                model.checkpoints.append(
                    (
                        CheckpointRecord(
                            ordinal: made.ordinal, session: session.ordinal, id: made.id, label: nil,
                            timestamp: made.timestamp, eventIndex: made.eventIndex, sequence: made.sequence),
                        state
                    ))
            }
            let payload = noise(random.next(), Int(random.below(200)))
            let time = Int64(model.end) + Int64(random.below(200))
            var index = model.sessions[place].nextIndex
            let sequence: UInt64
            if isImport {
                index += UInt64(random.below(3))
                sequence = try session.append(payload, kind: kind, at: time, index: index)
            } else {
                sequence = try session.append(payload, kind: kind, at: time)
            }
            model.sessions[place].nextIndex = index + 1
            #expect(sequence == model.end)
            model.events.append(
                Event(
                    sequence: sequence, sessionOrdinal: session.ordinal, sessionID: "s\(session.ordinal)",
                    index: index, timestamp: time, kind: kind, payload: payload))
        }
    }

    private mutating func end(_ session: Session) throws {
        try session.end(at: Int64(model.end))
        let place = try #require(model.sessions.firstIndex { $0.ordinal == session.ordinal })
        model.sessions[place].isActive = false
    }

    private mutating func start(in store: EventStore, isImported: Bool = false) throws -> Session {
        let id = "s\(model.sessions.count + 1)"
        let session =
            isImported ? try store.startImportedSession(id, at: 0) : try store.startSession(id, at: 0)
        model.sessions.append(RetainedModel.Session(ordinal: session.ordinal, beginning: model.end))
        return session
    }

    /// Ends with a session that is active, and a few events in memory.
    mutating func record(_ path: String, _ options: StoreOptions) throws -> EventStore {
        var store = try EventStore.open(path, options: options)
        for opening in 0..<3 {
            if opening > 0 {
                try store.close()
                store = try EventStore.open(path, options: options)
            }
            for part in 0..<3 {
                let past = model.sessions.filter { $0.nextIndex > 0 }
                let session: Session
                let isImport = opening == 1 && part == 0
                if part == 2, let last = past.randomElement(using: &random) {
                    session = try store.resume(session: last.ordinal)
                    let place = try #require(
                        model.sessions.firstIndex { $0.ordinal == session.ordinal })
                    model.sessions[place].isActive = true
                } else {
                    session = try start(in: store, isImported: isImport)
                }
                try append(Int(random.below(120)), to: session, in: store, isImport: isImport)
                if part < 2 || opening < 2 { try end(session) }
                if part < 2, random.oneIn(2) { try end(try start(in: store)) }
            }
        }
        return store
    }
}

extension Retained {
    /// Heads in blocks, at their edges and beyond the end, and pins of sessions and ranges.
    static func random(_ random: inout SplitMix64, _ model: RetainedModel, edges: [UInt64]) -> Retained {
        func number() -> UInt64 {
            random.oneIn(3) && !edges.isEmpty
                ? edges[Int(random.below(UInt32(edges.count)))] : UInt64(random.below(UInt32(model.end) + 20))
        }
        var retained = Retained()
        retained.headSequence = random.oneIn(12) ? .max : random.oneIn(8) ? 0 : number()
        retained.headCheckpoint =
            random.oneIn(12) ? .max : UInt64(random.below(UInt32(model.checkpoints.count) + 3))
        for _ in 0..<(random.oneIn(2) ? 0 : random.below(4) + 1) {
            if random.oneIn(2) {
                retained.pins.append(
                    Pin(
                        session: UInt64(random.below(UInt32(model.sessions.count) + 1)) + 1,
                        first: random.oneIn(2) ? 0 : number(), firstCheckpoint: UInt64(random.below(10))))
            } else {
                let (one, other) = (number(), random.oneIn(10) ? .max : number())
                retained.pins.append(
                    Pin(
                        session: 0, first: min(one, other), last: max(one, other),
                        firstCheckpoint: UInt64(random.below(10))))
            }
        }
        retained.pins.sort { ($0.session, $0.first) < ($1.session, $1.first) }
        return retained
    }
}
