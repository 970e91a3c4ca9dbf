internal import VarveFormat

/// A session that is being recorded. Any number of threads may append; sequence numbers and indices are dense.
///
/// The handle belongs to one beginning: after the session's end it can neither write to a later one nor end it.
public final class Session: Sendable {
    /// The id that the caller gave.
    public let id: String
    /// Its identity in the store.
    public let ordinal: UInt64
    /// When it was started, in nanoseconds since the Unix epoch.
    public let startedAt: Int64
    let store: EventStore
    private let tail: Tail
    private let beginning: UInt64
    private let isImported: Bool

    init(_ active: Tail.Active, store: EventStore, tail: Tail) {
        let begin = active.begin
        beginning = active.beginning
        id = begin.id
        ordinal = begin.ordinal
        startedAt = begin.start
        isImported = begin.flags.contains(.imported)
        self.store = store
        self.tail = tail
    }

    /// Whether it is still recorded.
    public var isActive: Bool { nextIndex != nil }

    /// The index that the next event gets; nil when it has ended.
    public var nextIndex: UInt64? {
        tail.nextIndex(of: beginning)
    }

    private func check(_ kind: EventKind) throws(StoreError) {
        guard kind.registry == store.registryID else { throw .foreignKind(name: kind.name) }
    }

    /// Records an event: copies the payload, and returns its sequence number.
    ///
    /// Returns before the event is durable, except with `Durability.synced`. O(bytes); no allocation, except for a payload larger
    /// than a block. `timestamp` nil: now. Blocks the calling thread while the queue is full and the options say `wait`: see
    /// `WhenFull`, and `appendWhenReady` for async callers.
    ///
    /// Errors: `sessionEnded`, `queueFull`, `dropped`, `outOfSpace`, `poisoned`, `beyondLimit`, `foreignKind`, `closed`. After an
    /// error the event is not recorded, with one exception: an append that waits for the disk (with `Durability.synced`, or of a
    /// payload larger than a block) may have recorded it when writing fails. After `outOfSpace` it is then written once there is
    /// space, unless the process ends before; after `poisoned` the next opening says whether it is there. `nextIndex` tells the two
    /// apart where one thread appends: it has gone up when the event was recorded, and appending it again would record it twice.
    @discardableResult
    public func append(_ payload: UnsafeRawBufferPointer, kind: EventKind, at timestamp: Int64? = nil)
        throws(StoreError) -> UInt64
    {
        try check(kind)
        return try tail.append(
            payload, kind: kind.number, timestamp: timestamp ?? store.now(), beginning: beginning, id: id,
            index: nil)
    }

    /// The same for a span of bytes.
    @discardableResult
    public func append(_ payload: RawSpan, kind: EventKind, at timestamp: Int64? = nil) throws(StoreError)
        -> UInt64
    {
        let result: Result<UInt64, StoreError> = payload.withUnsafeBytes { bytes in
            do throws(StoreError) {
                return .success(try append(bytes, kind: kind, at: timestamp))
            } catch { return .failure(error) }
        }
        return try result.get()
    }

    /// The same for an array of bytes.
    @discardableResult
    public func append(_ payload: [UInt8], kind: EventKind, at timestamp: Int64? = nil) throws(StoreError)
        -> UInt64
    {
        try payload.withBytes { bytes throws(StoreError) in try append(bytes, kind: kind, at: timestamp) }
    }

    /// The same for text.
    @discardableResult
    public func append(_ payload: String, kind: EventKind, at timestamp: Int64? = nil) throws(StoreError)
        -> UInt64
    {
        try append(Array(payload.utf8), kind: kind, at: timestamp)
    }

    /// Records an event of an imported session with the index that it came with. The next index is this one's plus 1.
    @discardableResult
    public func append(_ payload: [UInt8], kind: EventKind, at timestamp: Int64, index: UInt64)
        throws(StoreError) -> UInt64
    {
        try check(kind)
        guard isImported else { throw .invalid(what: "an index", reason: "session \(id) is not an import") }
        return try payload.withBytes { bytes throws(StoreError) in
            try tail.append(
                bytes, kind: kind.number, timestamp: timestamp, beginning: beginning, id: id, index: index)
        }
    }

    /// Records all events of a batch, and returns their numbers, which are consecutive unless others append at the same time.
    ///
    /// One lock a block's worth. When it throws, the events before the failure are recorded; of the last one before it `append` says
    /// what is known. With `WhenFull.dropAndCount` the last ones are dropped and counted when the queue is full; `dropped` is
    /// thrown only when all are.
    @discardableResult
    public func append(_ batch: EventBatch) throws(StoreError) -> Range<UInt64> {
        guard batch.isOf(registry: store.registryID) else { throw .foreignKind(name: "of the batch") }
        return try tail.append(batch, beginning: beginning, id: id)
    }

    /// Records an event; suspends while the queue is full or something must be written first, and until the event is durable with
    /// `Durability.synced`, or written when it is larger than a block. Errors: as `append`, without `queueFull` and `dropped`.
    @discardableResult
    public func appendWhenReady(_ payload: [UInt8], kind: EventKind, at timestamp: Int64? = nil)
        async throws(StoreError) -> UInt64
    {
        try check(kind)
        let time = timestamp ?? store.now()
        while true {
            let placed = try payload.withBytes { bytes throws(StoreError) in
                try tail.tryAppend(bytes, kind: kind.number, timestamp: time, beginning: beginning, id: id)
            }
            if let placed {
                if store.isSynced {
                    try await store.waitUntilDurable(through: placed.sequence)
                } else if let item = placed.largeItem {
                    try await store.waitUntilWritten(item)
                }
                return placed.sequence
            }
            await withCheckedContinuation { continuation in tail.whenRoom { continuation.resume() } }
        }
    }

    /// Records a checkpoint in order with the events: its `eventIndex` is the index of the next one, except that a checkpoint
    /// of an imported session may bring its own.
    ///
    /// Blocks the calling thread while the queue is full, and with `StoreOptions.keepsTail` until it is written; where writing
    /// stops meanwhile for want of space it returns, and is written once there is some. Errors: as `append`, without `queueFull` and
    /// `dropped`; `invalid` for an index in a session that is no import.
    @discardableResult
    public func checkpoint(
        _ id: String, label: String? = nil, state: [UInt8], at timestamp: Int64? = nil,
        eventIndex: UInt64? = nil
    ) throws(StoreError) -> Checkpoint {
        guard eventIndex == nil || isImported else {
            throw .invalid(what: "an index", reason: "session \(self.id) is not an import")
        }
        try checkID(id, "the length of a checkpoint's id")
        try checkID(label ?? "", "the length of a label")
        guard state.count <= tail.payloadBytesMax else {
            throw .beyondLimit(
                what: "the size of a state", value: UInt64(state.count), limit: UInt64(tail.payloadBytesMax))
        }
        let (record, item) = try tail.checkpoint(
            beginning: beginning, sessionID: self.id, id: id, label: label, state: state,
            at: timestamp ?? store.now(),
            eventIndex: eventIndex)
        if store.isSynced { try store.wait(forItem: item) }
        return Checkpoint(
            ordinal: record.ordinal, sessionOrdinal: ordinal, sessionID: self.id, id: id, label: label,
            timestamp: record.timestamp, eventIndex: record.eventIndex, sequence: record.sequence,
            stateBytes: state.count)
    }

    /// Gives an import up: without its end it does not exist, nor does anything of it. No other session can be given up.
    package func abandon() {
        precondition(isImported)
        tail.abandon(beginning: beginning)
    }

    /// Ends the session; what was recorded is durable when it returns. Errors: `sessionEnded` when it has
    /// ended already; `damaged` when a segment that may hold some of it can't be read any more: it has ended all the same.
    ///
    /// - Parameters:
    ///   - timestamp: when it ended; nil: now.
    ///   - isInterrupted: whether it stands as interrupted afterwards, as an import of an interrupted session does.
    @discardableResult
    public func end(at timestamp: Int64? = nil, isInterrupted: Bool = false) throws(StoreError) -> SessionInfo
    {
        let time = timestamp ?? store.now()
        let ended = try tail.end(
            beginning: beginning, id: id, at: time, reason: isInterrupted ? .interrupted : .closed)
        try store.wait(forItem: ended.item)
        do throws(StoreError) {
            return try store.snapshot().session(ordinal: ordinal)
        } catch .noSuchSession {
            // The limits have dropped all of it: nothing knows of it any more.
            return SessionInfo(
                ordinal: ordinal, id: id, startedAt: ended.begin.start, endedAt: time,
                state: isInterrupted ? .interrupted : .closed,
                isImported: ended.begin.flags.contains(.imported), eventCount: 0, checkpointCount: 0,
                nextIndex: ended.nextIndex, firstSequence: nil, lastSequence: nil, timeRange: nil,
                payloadBytes: 0, metadata: ended.begin.metadata)
        }
    }
}
