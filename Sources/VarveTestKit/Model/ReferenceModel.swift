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
        /// The number that the next event had when it was begun last.
        var firstSequence: UInt64
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

    /// Something that is kept, or kept no more: of a session, or of a range of sequence numbers.
    struct PinChange {
        var session: UInt64?
        var sequences: ClosedRange<UInt64>
        var firstCheckpoint: UInt64
        var isPinned: Bool
    }

    var limits = RetentionLimits()
    /// All below was dropped, but for what is pinned.
    private(set) var headSequence: UInt64 = 0, headCheckpoint: UInt64 = 0
    /// In the order in which they were made.
    private(set) var pinChanges: [PinChange] = []
    private var retainedEvents = 0
    /// Of each event whether a pin keeps it: looked up often.
    private var isPinned: [Bool] = []
    /// Bytes of those that one keeps.
    private var pinnedBytes = 0
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
                firstSequence: nextSequence, metadata: metadata))
    }

    mutating func resume(_ position: Int) {
        sessions[position].isActive = true
        sessions[position].endedAt = nil
        sessions[position].firstSequence = nextSequence
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
        isPinned.append(isPinned(session: sessions[active].ordinal, nextSequence - 1, checkpoint: nil))
        if isPinned[isPinned.count - 1] { pinnedBytes += payload.count + 40 }
        retainedEvents += 1
        trimEvents()
    }

    mutating func checkpoint(_ id: String, label: String?, state: [UInt8], at timestamp: Int64) {
        guard let active else { return }
        checkpoints.append(
            Checkpoint(
                ordinal: UInt64(checkpoints.count) + 1, session: sessions[active].ordinal, id: id,
                label: label,
                timestamp: timestamp, eventIndex: sessions[active].nextIndex, sequence: nextSequence,
                state: state))
        trimCheckpoints()
    }

    // MARK: Retention

    private func isPinned(session: UInt64, _ sequence: UInt64, checkpoint: UInt64?) -> Bool {
        // The latest change decides, for sessions and for ranges.
        func decides(_ change: PinChange) -> Bool {
            if let ordinal = change.session {
                guard ordinal == session else { return false }
                if !change.isPinned { return true }
                return checkpoint.map { $0 >= change.firstCheckpoint } ?? change.sequences.contains(sequence)
            }
            guard change.sequences.contains(sequence) else { return false }
            return !change.isPinned || checkpoint.map { $0 >= change.firstCheckpoint } ?? true
        }
        let ofSession = pinChanges.last { $0.session != nil && decides($0) }
        let ofRange = pinChanges.last { $0.session == nil && decides($0) }
        return ofSession?.isPinned ?? false || ofRange?.isPinned ?? false
    }

    func isRetained(_ event: Event) -> Bool {
        event.sequence >= headSequence || isPinned[Int(event.sequence)]
    }

    func isRetained(_ checkpoint: Checkpoint) -> Bool {
        checkpoint.ordinal >= headCheckpoint
            || isPinned(session: checkpoint.session, checkpoint.sequence, checkpoint: checkpoint.ordinal)
    }

    var keptEvents: [Event] { headSequence == 0 ? events : events.filter(isRetained) }
    var keptCheckpoints: [Checkpoint] { checkpoints.filter(isRetained) }

    /// The sessions of which something is kept.
    var aliveSessions: Set<UInt64> {
        Set(keptEvents.map(\.session)).union(keptCheckpoints.map(\.session))
    }

    /// A session goes with its last event and checkpoint; one that had none when what was recorded after it is dropped.
    var keptSessions: [Session] {
        let alive = aliveSessions
        let full = Set(events.map(\.session)).union(checkpoints.map(\.session))
        return sessions.filter { session in
            session.isActive || alive.contains(session.ordinal)
                || !full.contains(session.ordinal) && session.firstSequence >= headSequence
        }
    }

    private mutating func trimEvents() {
        guard let limit = limits.events else { return }
        while retainedEvents > limit, headSequence < nextSequence {
            let event = events[Int(headSequence)]
            headSequence += 1
            if !isPinned[Int(event.sequence)] { retainedEvents -= 1 }
        }
    }

    private mutating func trimCheckpoints() {
        guard let limit = limits.checkpoints else { return }
        while keptCheckpoints.count > limit {
            guard
                let oldest = checkpoints.first(where: {
                    isRetained($0) && !isPinned(session: $0.session, $0.sequence, checkpoint: $0.ordinal)
                })
            else { break }
            headCheckpoint = oldest.ordinal + 1
        }
    }

    mutating func limit(to limits: RetentionLimits) {
        self.limits = limits
        trimEvents()
        trimCheckpoints()
    }

    mutating func pin(session: UInt64? = nil, _ sequences: ClosedRange<UInt64>, isPinned: Bool) {
        let first = isPinned ? max(sequences.lowerBound, headSequence) : sequences.lowerBound
        pinChanges.append(
            PinChange(
                session: session, sequences: first...sequences.upperBound, firstCheckpoint: headCheckpoint,
                isPinned: isPinned))
        for event in events where session ?? event.session == event.session {
            self.isPinned[Int(event.sequence)] = self.isPinned(
                session: event.session, event.sequence, checkpoint: nil)
        }
        pinnedBytes = zip(events, self.isPinned).reduce(0) { $1.1 ? $0 + $1.0.payload.count + 40 : $0 }
        retainedEvents = keptEvents.count
        trimEvents()
        trimCheckpoints()
    }

    /// Bytes that the pinned events and checkpoints take at most.
    var pinnedBytesMax: UInt64 {
        if pinChanges.isEmpty { return 0 }
        let checkpoints = checkpoints.filter {
            isPinned(session: $0.session, $0.sequence, checkpoint: $0.ordinal)
        }
        return UInt64(pinnedBytes + checkpoints.reduce(0) { $0 + $1.state.count + 200 })
    }

    /// Whether heads are above its own, past what is pinned.
    func isBelow(head: UInt64, checkpoint: UInt64) -> Bool {
        keptCheckpoints.contains {
            $0.ordinal < checkpoint && !isPinned(session: $0.session, $0.sequence, checkpoint: $0.ordinal)
        }
            || head > headSequence
                && isPinned[Int(headSequence)..<min(Int(head), isPinned.count)].contains(false)
    }

    /// Takes over the heads that limits have moved of which nobody but the engine knows what they ask for; nil: what is wrong with them.
    mutating func follow(head: UInt64, checkpoint: UInt64) -> String? {
        // Past what is pinned a head may stand or not.
        var head = head
        while head < headSequence,
            isPinned[Int(head)]
        {
            head += 1
        }
        guard head >= headSequence, head <= nextSequence, checkpoint >= headCheckpoint,
            checkpoint <= UInt64(checkpoints.count) + 1
        else {
            return "the heads are \(head) and \(checkpoint) after \(headSequence) and \(headCheckpoint)"
        }
        (headSequence, headCheckpoint) = (head, checkpoint)
        retainedEvents = keptEvents.count
        return nil
    }

    func matches(_ event: Event, _ query: Query) -> Bool {
        query.sequences?.contains(event.sequence) ?? true
            && query.time?.contains(event.timestamp) ?? true
            && query.kindNames?.contains(event.kind.name) ?? true
            && query.sessionOrdinals?.contains(event.session) ?? true
            && query.sessionIDs?.contains(id(ofSession: event.session)) ?? true
    }

    func answer(_ query: Query) -> [Event] {
        let matching = keptEvents.filter { matches($0, query) }
        let ordered = query.isReversed ? matching.reversed() : matching
        return query.limit.map { Array(ordered.prefix(Int(clamping: $0))) } ?? ordered
    }
}
