public import Varve
import VarveJSON

/// A session as it was when it was asked for, backed by a snapshot of its store: nothing is read before it is needed.
public struct RecordedSession: Sendable {
    /// The store's figures of it, without regard to a recorder's limits.
    public let info: SessionInfo
    /// The retained checkpoints, in the order made; their states are read on demand.
    public let checkpoints: [Checkpoint]
    /// How many events the recorder's limit has evicted.
    public let evictedEvents: UInt64
    /// How many checkpoints the recorder's limit has evicted.
    public let evictedCheckpoints: UInt64
    /// All checkpoints that the store has of it: a retained event may follow one that is not retained.
    let allCheckpoints: [Checkpoint]
    /// What the store's limits dropped of it.
    let dropped: DroppedParts
    /// The store as it was then: for queries, replays and partitions of `query`.
    public let snapshot: Snapshot

    /// The session with this ordinal, as a store has it. `retaining`: only its last ones.
    init(
        _ snapshot: Snapshot, ordinal: UInt64, retaining limits: RetentionLimits? = nil
    ) throws(RecorderError) {
        self.snapshot = snapshot
        let rebuilt = try RecorderError.storing { () throws(StoreError) in
            try snapshot.rebuild(session: ordinal)
        }
        info = rebuilt.info
        allCheckpoints = rebuilt.checkpoints
        let checkpointCount = UInt64(allCheckpoints.count)
        evictedCheckpoints = limits.map { checkpointCount - min($0.checkpoints, checkpointCount) } ?? 0
        checkpoints = Array(allCheckpoints.dropFirst(Int(evictedCheckpoints)))
        let eventCount = rebuilt.info.eventCount
        evictedEvents = limits.map { eventCount - min($0.events, eventCount) } ?? 0
        let info = info
        dropped = try RecorderError.storing { () throws(StoreError) in try DroppedParts(of: info, snapshot) }
    }

    /// The id its caller gave; ids may repeat.
    public var id: String { info.id }
    /// When it was started, in nanoseconds since the Unix epoch.
    public var startedAt: Int64 { info.startedAt }
    /// Whether the recorder's or the store's limits have dropped events of it.
    public var isPartial: Bool { evictedEvents > 0 || !dropped.isNothing }
    /// Retained events.
    public var eventCount: UInt64 { info.eventCount - evictedEvents }

    /// Whether indices go up with sequence numbers: those of an import are as they came.
    var isAscending: Bool { !info.isImported }

    /// The sequence numbers of what is retained; nil: nothing is.
    private var sequences: ClosedRange<UInt64>? {
        guard eventCount > 0, let first = info.firstSequence, let last = info.lastSequence, first <= last
        else { return nil }
        // Evicted from the front, one for one; its numbers follow each other but for what is dropped or damaged.
        let head =
            evictedEvents == 0 ? first : dropped.firstSequence(of: eventCount, endingWith: last) ?? first
        return max(first, head)...last
    }

    func events(
        in indices: Range<UInt64>? = nil, hasHighest: Bool = true, time: ClosedRange<Int64>? = nil,
        sequences: ClosedRange<UInt64>? = nil, isPartial: Bool
    ) -> RecordedEvents {
        var query = Query().session(ordinal: info.ordinal)
        query.time = time
        if let sequences = sequences ?? self.sequences {
            query.sequences = sequences
        } else {
            query.limit = 0
        }
        return RecordedEvents(
            snapshot: snapshot, query: query, indices: indices, hasHighest: hasHighest,
            isAscending: isAscending, isPartial: isPartial)
    }

    /// What the retained events are to the engine.
    public var query: Query { events.query }

    /// The retained events, in the order recorded.
    public var events: RecordedEvents { events(isPartial: isPartial) }

    /// Those with this index or a higher one. O(log) to the first one in a session that was recorded; an import is read through.
    public func events(since index: UInt64) -> RecordedEvents {
        events(
            in: index..<UInt64.max, isPartial: isEvicted(index) || dropped.overlaps(index..<UInt64.max))
    }

    /// Those recorded in this time, both ends included; reversed bounds give none.
    public func events(from start: Int64, to end: Int64) -> RecordedEvents {
        guard start <= end else { return none }
        return events(time: start...end, isPartial: isPartial)
    }

    /// Those between two checkpoints, from the earlier one's `eventIndex` up to the later one's. Of checkpoints with the same id,
    /// byte for byte, the first retained one counts. Errors: `checkpointNotFound`.
    public func events(
        betweenCheckpoint first: String, and second: String
    ) throws(RecorderError) -> RecordedEvents {
        let (one, other) = (try checkpoint(first).eventIndex, try checkpoint(second).eventIndex)
        guard one != other else { return none }
        let indices = min(one, other)..<max(one, other)
        return events(
            in: indices, hasHighest: false,
            isPartial: isEvicted(indices.lowerBound) || dropped.overlaps(indices))
    }

    /// The events that are calls, in order.
    public func ipcReplaySequence() throws(RecorderError) -> [IpcCall] {
        var calls: [IpcCall] = []
        var query = events.query
        // Where the store had no room for more kinds.
        query.kindNames = ["Ipc", EventKinds.other]
        let events = RecordedEvents(
            snapshot: snapshot, query: query, isAscending: isAscending, isPartial: isPartial)
        var cursor = try events.cursor()
        while let event = try cursor.next() {
            if case .ipc(let call) = event.event { calls.append(call) }
        }
        return calls
    }

    var none: RecordedEvents { nothing(isPartial: false) }

    /// No events; `isPartial`: there were some.
    func nothing(isPartial: Bool) -> RecordedEvents {
        var query = Query()
        query.limit = 0
        return RecordedEvents(snapshot: snapshot, query: query, isAscending: true, isPartial: isPartial)
    }

    /// Whether the event with this index, or one after it, was evicted.
    private func isEvicted(_ index: UInt64) -> Bool {
        guard evictedEvents > 0 else { return false }
        guard isAscending, let last = info.nextIndex.subtractingChecked(1) else { return true }
        guard eventCount > 0 else { return true }
        return index < dropped.firstIndex(of: eventCount, endingWith: last) ?? 0
    }

    private func checkpoint(_ id: String) throws(RecorderError) -> Checkpoint {
        // Two spellings of what Unicode takes for one text are two ids.
        guard let found = checkpoints.first(where: { $0.id.utf8.elementsEqual(id.utf8) }) else {
            throw .checkpointNotFound(id: id)
        }
        return found
    }

    /// A checkpoint with its state. Errors: `RecorderError.store`; `unreadable` for a state that is no JSON.
    public func state(of checkpoint: Checkpoint) throws(RecorderError) -> StateCheckpoint {
        try StateCheckpoint(
            checkpoint,
            try RecorderError.storing { () throws(StoreError) in try snapshot.state(of: checkpoint) })
    }

    /// Writes it as session JSON, in memory that does not depend on its length: what is retained of it.
    ///
    /// Returns what of it could not be read. Errors: `RecorderError`, and what `sink` throws.
    @discardableResult
    public func writeJSON(to sink: @escaping SessionJSON.Writer.Sink) throws -> Coverage {
        let writer = SessionJSON.Writer(id: id, startedAt: startedAt, sink: sink)
        var cursor = try events.cursor()
        while let event = try cursor.next() { try writer.append(event) }
        for checkpoint in checkpoints { try writer.append(try state(of: checkpoint)) }
        try writer.finish()
        return try coverage(cursor.coverage)
    }
}

/// How many events and checkpoints are retained.
struct RetentionLimits: Sendable {
    var events: UInt64
    var checkpoints: UInt64
}

extension UInt64 {
    func subtractingChecked(_ other: UInt64) -> UInt64? { self >= other ? self - other : nil }
}

extension EventStore {
    /// A session as session JSON and time travel see it. Errors: `RecorderError.store`.
    public func recordedSession(ordinal: UInt64) throws(RecorderError) -> RecordedSession {
        try RecorderError.storing { () throws(StoreError) in try snapshot() }.recordedSession(
            ordinal: ordinal)
    }
}

extension Snapshot {
    /// The same of a store as it was. Errors: `RecorderError.store`.
    public func recordedSession(ordinal: UInt64) throws(RecorderError) -> RecordedSession {
        try RecordedSession(self, ordinal: ordinal)
    }
}
