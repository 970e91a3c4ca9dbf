internal import Synchronization
internal import VarveFormat
internal import VarveIO

/// The growing end of the log: gives numbers, copies events into the open batch, hands batches over.
///
/// Its monitor is held for the copy alone; nothing waits for the disk while holding it.
final class Tail: @unchecked Sendable {
    /// The active session, as the tail counts it.
    struct Active {
        /// Tells this beginning, new or resumed, from all others of this opening; from 1.
        var beginning: UInt64
        /// The item that says that it began.
        var item: UInt64
        var begin: SessionBegin
        var events: UInt64
        var checkpoints: UInt64
    }

    private struct Drops {
        var events: UInt64 = 0
        var bytes: UInt64 = 0
        var firstTime = Int64.max
        var lastTime = Int64.min
    }

    let monitor = Monitor()
    private let pipeline: Pipeline
    private let fileSystem: any FileSystem
    private let whenFull: WhenFull
    private let blockBytes: Int
    let payloadBytesMax: Int
    private let isSynced: Bool
    /// Whether what was appended outlives the process: then what the mapping does not hold is written before it returns.
    private let isMapped: Bool

    // SAFETY: guarded by the monitor; behind a pointer, so that no access is checked for exclusivity an event.
    private let state: UnsafeMutablePointer<State>

    private struct State {
        /// The active session's ordinal and next index stand here.
        var position: LogPosition
        var open: Batch?
        var openSince: UInt64 = 0
        var active: Active?
        /// The active session's; 0: none.
        var beginning: UInt64 = 0
        var beginnings: UInt64 = 0
        var nextItem: UInt64 = 1
        /// Batches opened so far.
        var batches: UInt64 = 0
        /// The last item that the mapping does not hold, and that what comes after it must not outlive: a session's beginning or
        /// end, a checkpoint, a payload larger than a block. Nothing is appended after it before it is written.
        var unkeptItem: UInt64 = 0
        var drops = Drops()
        var isClosed = false
        var tickerSleeps = false
        /// Somebody wants to be told of the next event.
        var isWatched = false
        var watches: [WeakWatch] = []
    }

    private struct WeakWatch {
        weak var watch: TailWatch?
    }

    init(pipeline: Pipeline, options: StoreOptions, position: LogPosition, isMapped: Bool) {
        self.pipeline = pipeline
        self.isMapped = isMapped
        fileSystem = options.fileSystem
        whenFull = options.whenFull
        blockBytes = options.blockBytes
        payloadBytesMax = options.payloadBytesMax
        isSynced = options.durability == .synced
        state = .allocate(capacity: 1)
        state.initialize(to: State(position: position))
    }

    deinit {
        state.deinitialize(count: 1)
        state.deallocate()
    }

    // MARK: Events

    /// What must happen before an append can be tried again.
    private enum Refusal {
        case full
        /// Something that the mapping does not hold is being written.
        case behind(item: UInt64)
        case failed(StoreError)

        /// Whether it is over once the disk has taken more.
        var passes: Bool { if case .failed = self { false } else { true } }
    }

    /// The open batch, when it takes the event as it is. Call with the monitor held.
    @inline(__always)
    private func openBatch(for byteCount: Int, beginning: UInt64, isExplicit: Bool) -> Batch? {
        guard state.pointee.beginning == beginning, let batch = state.pointee.open,
            batch.hasRoom(for: byteCount), batch.hasExplicitIndices == isExplicit,
            // Another thread's large payload is about to be put in: `TAIL` does not hold it.
            !batch.isOversized || byteCount > blockBytes
        else { return nil }
        // It stays open while it is made durable: who is refused is refused before the event is in it.
        if isSynced, pipeline.hasFailed.load(ordering: .relaxed) { return nil }
        return batch
    }

    /// The item that must be written or durable before the append returns that has just put an event into the open batch; 0: none. A
    /// large payload is handed over at once. Call with the monitor held.
    @inline(__always)
    private func itemToWaitFor(_ batch: Batch) -> UInt64 {
        if batch.isOversized { return handOverOpen() }
        return isSynced ? state.pointee.nextItem : 0
    }

    /// Appends an event. `index` nil: the session's next.
    @inline(__always)
    func append(
        _ bytes: UnsafeRawBufferPointer, kind: UInt32, timestamp: Int64, beginning: UInt64, id: String,
        index: UInt64?
    ) throws(StoreError) -> UInt64 {
        while true {
            monitor.lock()
            if let batch = openBatch(for: bytes.count, beginning: beginning, isExplicit: index != nil) {
                let sequence = add(bytes, kind, timestamp, index, to: batch)
                let item = itemToWaitFor(batch)
                monitor.unlock()
                if item > 0 { try wait(for: item) }
                return sequence
            }
            let refusal = prepare(for: bytes.count, beginning: beginning, id: id, isExplicit: index != nil)
            monitor.unlock()
            // An import has nobody who could not wait, and is worth nothing in part.
            if let refusal {
                try handle(
                    refusal, byteCount: bytes.count, timestamp: timestamp, alwaysWaits: index != nil)
            }
        }
    }

    /// Until an item is as safe as an append that returns promises. Call without the monitor.
    private func wait(for item: UInt64) throws(StoreError) {
        if isSynced {
            try waitUntilSynced(item)
        } else if isMapped, whenFull == .wait {
            // Who asked not to be blocked is not: what comes after the item is refused until it is written.
            try pipeline.waitUntilWritten(item)
        }
    }

    /// Until an item is durable; the open batch's is its number once it is handed over. Call without the monitor.
    func waitUntilSynced(_ item: UInt64) throws(StoreError) {
        try pipeline.waitUntilSynced(item) { () throws(StoreError) in _ = try handOver() }
    }

    /// Appends all rows of a batch, which may take several blocks; returns their numbers. Not atomic: a failure on the
    /// way leaves the rows before it recorded.
    func append(_ batch: EventBatch, beginning: UInt64, id: String) throws(StoreError) -> Range<UInt64> {
        var first: UInt64?
        var next: UInt64 = 0
        var row = 0
        var offset = 0
        while row < batch.count {
            monitor.lock()
            var refusal: Refusal?
            // What must be written, or durable, before it goes on.
            var item: UInt64 = 0
            while row < batch.count {
                let entry = batch.rows[row]
                let bytes = batch.payload(offset, Int(entry.length))
                if let open = openBatch(for: bytes.count, beginning: beginning, isExplicit: false) {
                    let sequence = add(bytes, entry.kind, entry.timestamp, nil, to: open)
                    if first == nil { first = sequence }
                    next = sequence + 1
                    row += 1
                    offset += bytes.count
                    item = itemToWaitFor(open)
                    guard open.isOversized else { continue }
                    break
                }
                refusal = prepare(for: bytes.count, beginning: beginning, id: id, isExplicit: false)
                if refusal != nil { break }
            }
            monitor.unlock()
            if let refusal {
                if refusal.passes, whenFull == .dropAndCount {
                    countDrops(of: batch, from: row)
                    if first == nil { throw .dropped }
                    if isSynced { try waitUntilSynced(try handOver()) }
                    break
                }
                try handle(
                    refusal, byteCount: Int(batch.rows[row].length), timestamp: batch.rows[row].timestamp)
            } else if item > 0 {
                try wait(for: item)
            }
        }
        guard let first else {
            let position = monitor.withLock { state.pointee.position.nextSequence }
            return position..<position
        }
        return first..<next
    }

    @inline(__always)
    private func add(
        _ bytes: UnsafeRawBufferPointer, _ kind: UInt32, _ timestamp: Int64, _ index: UInt64?, to batch: Batch
    ) -> UInt64 {
        let sequence = state.pointee.position.nextSequence
        batch.add(bytes, timestamp: timestamp, index: index ?? 0, kind: kind)
        state.pointee.position.nextSequence = sequence &+ 1
        state.pointee.position.nextIndex = (index ?? state.pointee.position.nextIndex) &+ 1
        state.pointee.active!.events &+= 1
        if state.pointee.isWatched { tellWatches() }
        return sequence
    }

    /// Makes an open batch that takes the event, or says why not. Call with the monitor held.
    private func prepare(for byteCount: Int, beginning: UInt64, id: String, isExplicit: Bool) -> Refusal? {
        if state.pointee.isClosed { return .failed(.closed) }
        guard state.pointee.beginning == beginning else { return .failed(.sessionEnded(id: id)) }
        guard byteCount <= payloadBytesMax else {
            return .failed(
                .beyondLimit(
                    what: "the size of a payload", value: UInt64(byteCount),
                    limit: UInt64(payloadBytesMax)))
        }
        guard state.pointee.position.nextSequence < UInt64.max - 1 else {
            return .failed(.beyondLimit(what: "the sequence number", value: .max, limit: .max))
        }
        let nextIndex = state.pointee.position.nextIndex
        guard isExplicit || nextIndex <= .max - UInt64(Limits.blockEventsMax) else {
            return .failed(.beyondLimit(what: "the index", value: nextIndex, limit: .max))
        }
        pipeline.monitor.lock()
        defer { pipeline.monitor.unlock() }
        if let failure = pipeline.failure { return .failed(failure) }
        if isBehindUnkept { return .behind(item: state.pointee.unkeptItem) }
        if state.pointee.open != nil { _ = handOverOpenLocked() }
        if state.pointee.drops.events > 0 {
            guard pipeline.hasRoom else { return .full }
            // Nothing waits for it: with each wait more would be dropped, and so on for good.
            enqueueDrops()
        }
        let batch: Batch
        if byteCount > blockBytes {
            guard pipeline.hasRoom else { return .full }
            batch = Batch(rowCapacity: 1, payloadCapacity: byteCount, isOversized: true)
        } else {
            guard let free = pipeline.takeFreeBatch() else { return .full }
            batch = free
        }
        state.pointee.batches += 1
        batch.reset(
            start: state.pointee.position, explicitIndices: isExplicit, number: state.pointee.batches)
        state.pointee.open = batch
        state.pointee.openSince = fileSystem.monotonic()
        if state.pointee.tickerSleeps {
            state.pointee.tickerSleeps = false
            pipeline.monitor.wakeKeeper()
        }
        return nil
    }

    /// Whether what must be written before the next event is still to be written. Call with both monitors held.
    private var isBehindUnkept: Bool { isMapped && state.pointee.unkeptItem > pipeline.written }

    /// Waits for room, or throws. Call without the monitor.
    private func handle(
        _ refusal: Refusal, byteCount: Int, timestamp: Int64, alwaysWaits: Bool = false
    ) throws(StoreError) {
        if case .failed(let error) = refusal { throw error }
        switch alwaysWaits ? .wait : whenFull {
        case .wait:
            if case .behind(let item) = refusal {
                try pipeline.waitUntilWritten(item)
            } else {
                pipeline.waitForRoom()
            }
        case .fail: throw .queueFull
        case .dropAndCount:
            monitor.lock()
            defer { monitor.unlock() }
            countDrop(byteCount: byteCount, timestamp: timestamp)
            throw .dropped
        }
    }

    /// Counts the rows of a batch from one on as dropped. Call without the monitor.
    private func countDrops(of batch: EventBatch, from first: Int) {
        monitor.lock()
        defer { monitor.unlock() }
        for row in first..<batch.count {
            countDrop(byteCount: Int(batch.rows[row].length), timestamp: batch.rows[row].timestamp)
        }
    }

    /// Call with the monitor held.
    private func countDrop(byteCount: Int, timestamp: Int64) {
        state.pointee.drops.events += 1
        state.pointee.drops.bytes += UInt64(byteCount)
        state.pointee.drops.firstTime = min(state.pointee.drops.firstTime, timestamp)
        state.pointee.drops.lastTime = max(state.pointee.drops.lastTime, timestamp)
        wakeTicker()
    }

    /// Wakes the background thread where it sleeps until something is opened or dropped. Call with the monitor held, and not the
    /// pipeline's.
    private func wakeTicker() {
        guard state.pointee.tickerSleeps else { return }
        pipeline.monitor.withLock {
            state.pointee.tickerSleeps = false
            pipeline.monitor.wakeKeeper()
        }
    }

    /// Calls `resume` when an append may find room: now, or later.
    func whenRoom(_ resume: @escaping @Sendable () -> Void) {
        monitor.lock()
        pipeline.monitor.lock()
        let hasRoom = pipeline.hasFreeBatch && pipeline.hasRoom && !isBehindUnkept
        let resumesNow = hasRoom || pipeline.failure != nil
        if !resumesNow { pipeline.whenRoom(resume) }
        pipeline.monitor.unlock()
        monitor.unlock()
        if resumesNow { resume() }
    }

    /// Appends unless the queue is full; nil when it is. For async callers, which must not wait here. `largeItem`: what must be
    /// written before the append returns.
    func tryAppend(
        _ bytes: UnsafeRawBufferPointer, kind: UInt32, timestamp: Int64, beginning: UInt64, id: String
    ) throws(StoreError) -> (sequence: UInt64, largeItem: UInt64?)? {
        while true {
            monitor.lock()
            if let batch = openBatch(for: bytes.count, beginning: beginning, isExplicit: false) {
                let sequence = add(bytes, kind, timestamp, nil, to: batch)
                let isLarge = batch.isOversized
                let item = itemToWaitFor(batch)
                monitor.unlock()
                return (sequence, isLarge && isMapped ? item : nil)
            }
            let refusal = prepare(for: bytes.count, beginning: beginning, id: id, isExplicit: false)
            monitor.unlock()
            switch refusal {
            case .failed(let error): throw error
            case .full, .behind: return nil
            case nil: continue
            }
        }
    }

    // MARK: Handing over

    /// Hands the open batch over; returns the number of the last item. Call with the monitor held.
    private func handOverOpen() -> UInt64 {
        pipeline.monitor.lock()
        defer { pipeline.monitor.unlock() }
        return handOverOpenLocked()
    }

    /// The same, with the pipeline's monitor held too.
    private func handOverOpenLocked() -> UInt64 {
        if let batch = state.pointee.open {
            state.pointee.open = nil
            if batch.count > 0 {
                pipeline.enqueue(PendingItem(number: state.pointee.nextItem, batch: batch))
                if batch.isOversized { state.pointee.unkeptItem = state.pointee.nextItem }
                state.pointee.nextItem += 1
            } else {
                pipeline.recycle(batch)
            }
        }
        return state.pointee.nextItem - 1
    }

    /// Waits until a control record is written, since the mapping does not hold it: the events after it would be nothing without
    /// it. It is recorded already: where writing waits for space it is written once there is some.
    private func waitUntilKept(_ item: UInt64) throws(StoreError) {
        guard isMapped else { return }
        do throws(StoreError) {
            try pipeline.waitUntilWritten(item)
        } catch .outOfSpace {}
    }

    /// Writes the kinds that the mapping has no room for.
    func writeKinds() throws(StoreError) {
        try pipeline.waitUntilWritten(try enqueueWaiting(.kinds))
    }

    private func enqueueControl(_ record: ControlRecord) {
        if record.holdsBackEvents { state.pointee.unkeptItem = state.pointee.nextItem }
        pipeline.enqueue(
            PendingItem(number: state.pointee.nextItem, record: record, position: state.pointee.position))
        state.pointee.nextItem += 1
    }

    private func enqueueDrops() {
        let drops = state.pointee.drops
        state.pointee.drops = Drops()
        enqueueControl(
            .ledger([
                .drop(
                    events: drops.events, bytes: drops.bytes, session: state.pointee.position.sessionOrdinal,
                    before: state.pointee.position.nextSequence, firstTime: drops.firstTime,
                    lastTime: drops.lastTime,
                    reason: .queueFull)
            ]))
    }

    /// Has the ledger told, in its place; false where there is no room now.
    func record(_ records: [LedgerRecord]) -> Bool {
        monitor.lock()
        defer { monitor.unlock() }
        pipeline.monitor.lock()
        defer { pipeline.monitor.unlock() }
        guard !state.pointee.isClosed, pipeline.failure == nil, pipeline.hasRoom else { return false }
        _ = handOverOpenLocked()
        enqueueControl(.ledger(records))
        return true
    }

    /// The same, waiting for room; the number of the item.
    func recordWaiting(_ records: [LedgerRecord]) throws(StoreError) -> UInt64 {
        try enqueueWaiting(.ledger(records))
    }

    private func enqueueWaiting(_ record: ControlRecord) throws(StoreError) -> UInt64 {
        try withRoom { () throws(StoreError) in
            enqueueControl(record)
            return state.pointee.nextItem - 1
        }
    }

    /// Hands over what is open and pending; returns the number of the last item.
    func handOver() throws(StoreError) -> UInt64 {
        monitor.lock()
        defer { monitor.unlock() }
        pipeline.monitor.lock()
        defer { pipeline.monitor.unlock() }
        // Closing has handed over what there was, and what comes after is not written any more.
        if state.pointee.isClosed { throw .closed }
        if let failure = pipeline.failure { throw failure }
        return handOverAllLocked()
    }

    /// Hands over the open batch and what is to be said of drops. Call with both monitors held.
    private func handOverAllLocked() -> UInt64 {
        _ = handOverOpenLocked()
        if state.pointee.drops.events > 0 { enqueueDrops() }
        return state.pointee.nextItem - 1
    }

    /// The item after which event `sequence` is written, which may still be open. Nil for a number that was not given yet.
    func item(holding sequence: UInt64) -> UInt64? {
        monitor.lock()
        defer { monitor.unlock() }
        guard sequence < state.pointee.position.nextSequence else { return nil }
        if let open = state.pointee.open, open.count > 0, sequence >= open.start.nextSequence {
            return state.pointee.nextItem
        }
        pipeline.monitor.lock()
        defer { pipeline.monitor.unlock() }
        return pipeline.item(holding: sequence)
    }

    /// Hands the open batch over when it has been open for `nanoseconds` (0: always), and what is to be said of drops. Returns
    /// whether something waits to be handed over.
    func handOverIfOlder(than nanoseconds: UInt64) -> Bool {
        monitor.lock()
        defer { monitor.unlock() }
        if state.pointee.open != nil {
            guard fileSystem.monotonic() &- state.pointee.openSince >= nanoseconds else { return true }
            _ = handOverOpen()
        }
        guard state.pointee.drops.events > 0 else { return false }
        // No append need follow: until the record is written a kill takes the count.
        pipeline.monitor.lock()
        defer { pipeline.monitor.unlock() }
        guard pipeline.failure == nil, pipeline.hasRoom else { return true }
        enqueueDrops()
        return false
    }

    /// Says that the background thread sleeps until something is opened or dropped; false when something is. The pipeline's
    /// monitor must not be held.
    func letTickerSleep() -> Bool {
        monitor.withLock {
            guard state.pointee.open == nil, state.pointee.drops.events == 0 else { return false }
            state.pointee.tickerSleeps = true
            return true
        }
    }

    /// Whether nothing was opened or dropped since `letTickerSleep`. Read without the monitor by design: the mark is cleared under the
    /// pipeline's, which the caller holds.
    var tickerMaySleep: Bool { state.pointee.tickerSleeps }

    // MARK: Sessions and checkpoints

    /// Does `body` where the log is complete and there is room for a record, waiting for both.
    private func withRoom<R>(_ body: () throws(StoreError) -> R) throws(StoreError) -> R {
        while true {
            monitor.lock()
            pipeline.monitor.lock()
            if state.pointee.isClosed || pipeline.failure != nil || pipeline.hasRoom {
                defer {
                    pipeline.monitor.unlock()
                    monitor.unlock()
                }
                if state.pointee.isClosed { throw .closed }
                if let failure = pipeline.failure { throw failure }
                _ = handOverAllLocked()
                return try body()
            }
            pipeline.monitor.unlock()
            monitor.unlock()
            pipeline.waitForRoom()
        }
    }

    /// Begins a session, or goes on with one (`resuming`).
    func begin(
        id: String, start: Int64, metadata: [String: String], flags: SessionBegin.Flags,
        resuming info: SessionInfo? = nil
    ) throws(StoreError) -> Active {
        let active = try withRoom { () throws(StoreError) in
            if let active = state.pointee.active { throw .sessionAlreadyActive(id: active.begin.id) }
            var begin: SessionBegin
            if let info {
                begin = SessionBegin(
                    ordinal: info.ordinal,
                    flags: flags.union(
                        info.nextIndex > 0 || info.checkpointCount > 0 ? [.resumed, .used] : .resumed),
                    id: info.id, start: info.startedAt,
                    firstIndex: info.nextIndex, metadata: info.metadata)
            } else {
                state.pointee.position.sessionsBegun += 1
                begin = SessionBegin(
                    ordinal: state.pointee.position.sessionsBegun, flags: flags, id: id, start: start,
                    metadata: metadata)
            }
            state.pointee.position.sessionOrdinal = begin.ordinal
            state.pointee.position.nextIndex = begin.firstIndex
            enqueueControl(.sessionBegin(begin))
            state.pointee.beginnings += 1
            state.pointee.beginning = state.pointee.beginnings
            let active = Active(
                beginning: state.pointee.beginning, item: state.pointee.nextItem - 1, begin: begin,
                events: info?.eventCount ?? 0,
                checkpoints: info?.checkpointCount ?? 0)
            state.pointee.active = active
            return active
        }
        try waitUntilKept(active.item)
        return active
    }

    /// Ends the session; returns the number of the item that says so, and what it was.
    func end(beginning: UInt64, id: String, at time: Int64, reason: SessionEnd.Reason = .closed)
        throws(StoreError) -> (item: UInt64, begin: SessionBegin, nextIndex: UInt64)
    {
        try withRoom { () throws(StoreError) in
            guard let active = state.pointee.active, active.beginning == beginning else {
                throw .sessionEnded(id: id)
            }
            enqueueControl(
                .sessionEnd(
                    SessionEnd(
                        ordinal: active.begin.ordinal, reason: reason, end: time, events: active.events,
                        checkpoints: active.checkpoints, nextIndex: state.pointee.position.nextIndex)))
            let nextIndex = state.pointee.position.nextIndex
            state.pointee.active = nil
            state.pointee.beginning = 0
            state.pointee.position.sessionOrdinal = 0
            state.pointee.position.nextIndex = 0
            return (state.pointee.nextItem - 1, active.begin, nextIndex)
        }
    }

    /// Leaves an import without its end: it does not exist then.
    func abandon(beginning: UInt64) {
        monitor.lock()
        defer { monitor.unlock() }
        guard state.pointee.active?.beginning == beginning else { return }
        _ = handOverOpen()
        state.pointee.active = nil
        state.pointee.beginning = 0
        state.pointee.position.sessionOrdinal = 0
        state.pointee.position.nextIndex = 0
    }

    /// Records a checkpoint in order with the events.
    func checkpoint(
        beginning: UInt64, sessionID: String, id: String, label: String?, state bytes: [UInt8],
        at time: Int64,
        eventIndex: UInt64?
    ) throws(StoreError) -> (CheckpointRecord, item: UInt64) {
        let (record, item) = try withRoom { () throws(StoreError) in
            guard state.pointee.beginning == beginning else { throw .sessionEnded(id: sessionID) }
            state.pointee.position.checkpointsMade += 1
            let record = CheckpointRecord(
                ordinal: state.pointee.position.checkpointsMade,
                session: state.pointee.position.sessionOrdinal, id: id, label: label,
                timestamp: time, eventIndex: eventIndex ?? state.pointee.position.nextIndex,
                sequence: state.pointee.position.nextSequence)
            enqueueControl(.checkpoint(record, state: bytes))
            state.pointee.active!.checkpoints += 1
            return (record, state.pointee.nextItem - 1)
        }
        try waitUntilKept(item)
        return (record, item)
    }

    // MARK: State

    /// The index that the next event of that beginning gets; nil when it has ended.
    func nextIndex(of beginning: UInt64) -> UInt64? {
        monitor.withLock {
            state.pointee.beginning == beginning ? state.pointee.position.nextIndex : nil
        }
    }

    /// The active session; nil, too, where the disk does not take its beginning.
    var active: Active? {
        guard let active = monitor.withLock({ state.pointee.active }) else { return nil }
        // Another thread may be about to begin it: what is appended to it must not come before.
        return (try? waitUntilKept(active.item)) == nil ? nil : active
    }
    var position: LogPosition { monitor.withLock { state.pointee.position } }

    /// Takes nothing more.
    func close() {
        monitor.withLock {
            state.pointee.isClosed = true
            tellWatches()
        }
    }

    /// Whether it takes nothing more.
    var isClosed: Bool { monitor.withLock { state.pointee.isClosed } }

    // MARK: Watches

    /// Tells this watch, too, of what is appended; as long as it lives.
    func add(_ watch: TailWatch) {
        monitor.withLock {
            state.pointee.watches.removeAll { $0.watch == nil }
            state.pointee.watches.append(WeakWatch(watch: watch))
            state.pointee.isWatched = true
        }
    }

    /// Tells the watches of the next event.
    func arm() { monitor.withLock { state.pointee.isWatched = true } }

    /// Call with the monitor held.
    @inline(never)
    private func tellWatches() {
        state.pointee.isWatched = false
        for watch in state.pointee.watches { watch.watch?.tell() }
    }

    // MARK: Snapshots

    /// What has been recorded and is not in the catalog yet, pinned: the queue, then the open batch as far as it is filled.
    func pin() -> (items: [PendingItem], open: (batch: Batch, count: Int)?, position: LogPosition) {
        monitor.lock()
        defer { monitor.unlock() }
        pipeline.monitor.lock()
        defer { pipeline.monitor.unlock() }
        let items = pipeline.pinPending()
        var open: (batch: Batch, count: Int)?
        if let batch = state.pointee.open, batch.count > 0 {
            batch.pins += 1
            open = (batch, batch.count)
        }
        return (items, open, state.pointee.position)
    }
}
