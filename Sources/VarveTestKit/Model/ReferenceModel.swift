internal import Varve

/// What a store must be, in its plainest form: arrays in memory. The engine must agree with it after any
/// sequence of operations.
struct ReferenceModel {
    struct Kind: Hashable {
        var name: String
        var encoding: PayloadEncoding
    }

    struct Event {
        var sequence: UInt64
        var session: UInt64
        var index: UInt64
        var timestamp: Int64
        var kind: Kind
        var payload: [UInt8]
    }

    struct Session {
        var ordinal: UInt64
        var id: String
        var startedAt: Int64
        /// nil while it is active, and where the engine chose the time.
        var endedAt: Int64?
        var isActive = true
        var isImported = false
        var nextIndex: UInt64 = 0
        var metadata: [String: String]
    }

    struct Checkpoint {
        var ordinal: UInt64
        var session: UInt64
        var id: String
        var label: String?
        var timestamp: Int64
        var eventIndex: UInt64
        var sequence: UInt64
        var state: [UInt8]
    }

    /// Position is the sequence number.
    private(set) var events: [Event] = []
    /// Position is the ordinal - 1.
    private(set) var sessions: [Session] = []
    private(set) var checkpoints: [Checkpoint] = []

    var nextSequence: UInt64 { UInt64(events.count) }
    /// Position of the active session.
    var active: Int? { sessions.firstIndex { $0.isActive } }

    func id(ofSession ordinal: UInt64) -> String { sessions[Int(ordinal) - 1].id }

    mutating func start(_ id: String, at time: Int64, metadata: [String: String], isImported: Bool = false) {
        sessions.append(
            Session(
                ordinal: UInt64(sessions.count) + 1, id: id, startedAt: time, isImported: isImported,
                metadata: metadata))
    }

    mutating func resume(_ position: Int) {
        sessions[position].isActive = true
        sessions[position].endedAt = nil
    }

    mutating func end(at time: Int64?) {
        guard let active else { return }
        sessions[active].isActive = false
        sessions[active].endedAt = time
    }

    mutating func append(_ payload: [UInt8], kind: Kind, at timestamp: Int64, index: UInt64? = nil) {
        guard let active else { return }
        let index = index ?? sessions[active].nextIndex
        sessions[active].nextIndex = index + 1
        events.append(
            Event(
                sequence: nextSequence, session: sessions[active].ordinal, index: index, timestamp: timestamp,
                kind: kind, payload: payload))
    }

    mutating func checkpoint(_ id: String, label: String?, state: [UInt8], at timestamp: Int64) {
        guard let active else { return }
        checkpoints.append(
            Checkpoint(
                ordinal: UInt64(checkpoints.count) + 1, session: sessions[active].ordinal, id: id,
                label: label,
                timestamp: timestamp, eventIndex: sessions[active].nextIndex, sequence: nextSequence,
                state: state))
    }

    func matches(_ event: Event, _ query: Query) -> Bool {
        query.sequences?.contains(event.sequence) ?? true
            && query.time?.contains(event.timestamp) ?? true
            && query.kindNames?.contains(event.kind.name) ?? true
            && query.sessionOrdinals?.contains(event.session) ?? true
            && query.sessionIDs?.contains(id(ofSession: event.session)) ?? true
    }

    func answer(_ query: Query) -> [Event] {
        let matching = events.filter { matches($0, query) }
        let ordered = query.isReversed ? matching.reversed() : matching
        return query.limit.map { Array(ordered.prefix(Int(clamping: $0))) } ?? ordered
    }
}
