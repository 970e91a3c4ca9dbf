internal import Synchronization
internal import VarveFormat
internal import VarveIO

/// The way from the open batch to stable storage: a bounded queue, encoders, one writer at a time, syncs.
///
/// Items are encoded by any thread that works here and written strictly in order by the one that holds the writer's
/// role. Threads that wait for durability work too, so that a single durable append never changes threads.
///
/// Locks are taken in the order tail, pipeline, catalog.
final class Pipeline: @unchecked Sendable {
    let monitor = Monitor()
    private let writer: SegmentWriter
    private let settings: EncodingSettings
    private let diagnostics: (@Sendable (Diagnostic) -> Void)?

    // All below: guarded by the monitor.

    /// Handed over and not yet published in the catalog, in order.
    private(set) var pending: [PendingItem] = []
    private var freeBatches: [Batch]
    private let batchBytes: Int
    private let pendingMax: Int
    private var freeEncoders: [EventBlockEncoder] = []
    private var isWriting = false
    private var isSyncing = false
    /// One of those who wait for durability works for all of them.
    private var isLed = false
    /// The others, in the order in which they came.
    private var followers: [SyncWaiter] = []
    /// That one does what it hands over itself: no other thread is woken for it.
    private var leaderWorks = false
    /// Number of the last item handed over.
    private var enqueued: UInt64 = 0
    /// Numbers of the last item written, and synced.
    private(set) var written: UInt64 = 0
    private(set) var synced: UInt64 = 0
    private(set) var watermark: SegmentWriter.DurablePoint
    /// Why writing waits; appends are refused meanwhile.
    private(set) var stalled: StoreError?
    /// Whether that is being tried to be overcome: who knows of it is not told anew.
    private var isRetrying = false
    /// Why nothing is accepted any more.
    private(set) var poisoned: StoreError?
    /// Whether there is a reason of either kind. Any thread may read it: who must not be late asks for `failure`.
    let hasFailed = Atomic<Bool>(false)
    private var isStopping = false
    /// The background thread sleeps until it is woken.
    private var keeperSleeps = false
    private var durabilityWaiters = ItemWaiters()
    private var writtenWaiters = ItemWaiters()
    private var spaceWaiters: [@Sendable () -> Void] = []
    /// The dictionary of this opening; made from the first full batch where the options ask for one.
    private var dictionary: CompressionDictionary?
    private let wantsDictionary: Bool
    private var isDictionaryTaken = false

    init(
        writer: SegmentWriter, options: StoreOptions, watermark: SegmentWriter.DurablePoint,
        mapping: TailMapping?
    ) {
        self.writer = writer
        self.watermark = watermark
        diagnostics = options.diagnostics
        settings = writer.settings
        batchBytes = options.blockBytes
        pendingMax = options.queueBatches * 2
        wantsDictionary = options.usesDictionary
        freeBatches = (0..<options.queueBatches).map {
            Batch(payloadCapacity: options.blockBytes, in: mapping, slot: $0)
        }
    }

    /// Why an append must be refused now. Call with the monitor held.
    var failure: StoreError? { poisoned ?? stalled }

    /// Call with the monitor held, when a failure has come or gone.
    private func noteFailure() { hasFailed.store(failure != nil, ordering: .relaxed) }

    // MARK: Handing over

    /// An empty batch, or nil when all are on their way. Call with the monitor held.
    func takeFreeBatch() -> Batch? { freeBatches.popLast() }

    /// Whether a batch is free. Call with the monitor held.
    var hasFreeBatch: Bool { !freeBatches.isEmpty }

    /// Blocks until an item was written, working meanwhile, unless there is room already.
    func waitForRoom() {
        monitor.lock()
        defer { monitor.unlock() }
        let before = written
        while failure == nil, written == before, !(hasFreeBatch && hasRoom) {
            if let work = takeWork() { carryOut(work) } else { monitor.wait() }
        }
    }

    /// The number of the item that holds an event, or of the last written one when it is written. Call with the monitor held.
    func item(holding sequence: UInt64) -> UInt64 {
        for item in pending {
            guard let batch = item.batch else { continue }
            if sequence < batch.start.nextSequence + UInt64(batch.count) { return item.number }
        }
        return written
    }

    /// Whether one more item may be queued. Call with the monitor held.
    var hasRoom: Bool { pending.count < pendingMax }

    /// Queues an item. Call with the monitor held, in order of the items' numbers.
    func enqueue(_ item: PendingItem) {
        pending.append(item)
        enqueued = item.number
        if !leaderWorks || pending.count > 1 { monitor.wakeWorker() }
        if keeperSleeps { monitor.wakeKeeper() }
    }

    /// Registers a closure to be called once when there may be room. Call with the monitor held.
    func whenRoom(_ resume: @escaping @Sendable () -> Void) { spaceWaiters.append(resume) }

    // MARK: Working

    private enum Work {
        case write
        case encode(PendingItem)
    }

    /// What can be done now; takes the role or the item. Call with the monitor held.
    private func takeWork() -> Work? {
        guard poisoned == nil else { return nil }
        if !isWriting, stalled == nil, let head = pending.first, head.stage == .ready {
            isWriting = true
            return .write
        }
        if let item = pending.first(where: { $0.stage == .queued }) {
            item.stage = .encoding
            return .encode(item)
        }
        return nil
    }

    /// Does one piece of work, giving the monitor up meanwhile. Call with the monitor held.
    private func carryOut(_ work: Work) {
        switch work {
        case .encode(let item): encode(item)
        case .write: writeReadyItems()
        }
        if !leaderWorks || pending.count > 1 { monitor.wakeWorker() }
        monitor.wakeAll()
    }

    private func encode(_ item: PendingItem) {
        guard let batch = item.batch else { return }
        let encoder = freeEncoders.popLast() ?? EventBlockEncoder()
        var dictionary = dictionary
        // One thread makes it: two would make two, and a segment has one.
        let makesDictionary =
            wantsDictionary && !isDictionaryTaken && batch.payloadBytes >= batchBytes / 2
        if makesDictionary { isDictionaryTaken = true }
        monitor.unlock()
        if makesDictionary {
            let payload = UnsafeRawBufferPointer(start: batch.payload, count: batch.payloadBytes)
            dictionary = DictionaryBuilder.build(from: payload)
                .map { CompressionDictionary($0, level: settings.level) }
        }
        encoder.encode(
            rows: batch.rows, count: batch.count,
            payload: UnsafeRawBufferPointer(start: batch.payload, count: batch.payloadBytes),
            explicitIndices: batch.hasExplicitIndices, settings: settings, dictionary: dictionary,
            into: batch.encoded)
        monitor.lock()
        if makesDictionary { self.dictionary = dictionary }
        freeEncoders.append(encoder)
        item.stage = .ready
    }

    /// False: one was refused.
    @discardableResult
    private func writeReadyItems() -> Bool {
        defer { isWriting = false }
        while poisoned == nil, stalled == nil || isRetrying, let item = pending.first, item.stage == .ready {
            let durable = watermark.place
            let failure = unlocked { () throws(IOFailure) in try writer.write(item, durable: durable) }
            if let failure {
                refuse(failure)
                return false
            }
            // The catalog shows the item by now: only then it may leave the queue.
            pending.removeFirst()
            written = item.number
            if let batch = item.batch { recycle(batch) }
            if hasDurabilityWaiters { monitor.wakeKeeper() }
            writtenWaiters.resume(through: written, nil)
            wakeSpaceWaiters()
            monitor.wakeAll()
        }
        return true
    }

    /// Does `body` while nobody writes: as the holder of the writer's role. Not by its holder.
    func asWriter<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        monitor.lock()
        while isWriting { monitor.wait() }
        isWriting = true
        monitor.unlock()
        defer {
            monitor.withLock {
                isWriting = false
                monitor.wakeWorker()
                monitor.wakeAll()
            }
        }
        return try body()
    }

    /// Does `body` with the monitor given up, and says how it failed. Call with the monitor held.
    private func unlocked(_ body: () throws(IOFailure) -> Void) -> IOFailure? {
        monitor.unlock()
        defer { monitor.lock() }
        do throws(IOFailure) {
            try body()
            return nil
        } catch {
            return error
        }
    }

    /// Takes a batch back. Call with the monitor held.
    func recycle(_ batch: Batch) {
        guard !batch.isOversized else { return }
        batch.isReleased = batch.pins > 0
        if !batch.isReleased { freeBatches.append(batch) }
    }

    /// A write failed. Call with the monitor held.
    private func refuse(_ failure: IOFailure) {
        if failure.passesWithSpace {
            stall(.writing(failure))
        } else {
            poison(.writing(failure))
        }
    }

    private func stall(_ error: StoreError) {
        stalled = error
        noteFailure()
        writer.abandonActive()
        if !isRetrying { diagnostics?(.stalled(error.description)) }
        failWaiters(error)
        wakeSpaceWaiters()
    }

    private func poison(_ error: StoreError) {
        guard poisoned == nil else { return }
        poisoned = .poisoned(reason: error.description)
        stalled = nil
        noteFailure()
        diagnostics?(.poisoned(error.description))
        failWaiters(.poisoned(reason: error.description))
        wakeSpaceWaiters()
        monitor.wakeAll()
    }

    private func failWaiters(_ error: StoreError) {
        durabilityWaiters.resume(through: .max, error)
        writtenWaiters.resume(through: .max, error)
    }

    private func wakeSpaceWaiters() {
        let waiters = spaceWaiters
        spaceWaiters = []
        for resume in waiters { resume() }
    }

    /// Tries to write again after a stall, which lasts until all that is ready was written. Call with the monitor held.
    func retryStalled() {
        // What is first and not compressed yet comes the next time.
        guard stalled != nil, poisoned == nil, !isWriting, pending.first.map({ $0.stage == .ready }) ?? true
        else { return }
        (isWriting, isRetrying) = (true, true)
        let isOvercome: Bool
        if pending.isEmpty {
            // Nothing waits: see whether a file can be made at all.
            let failure = unlocked(writer.openActive)
            if let failure { refuse(failure) }
            isOvercome = failure == nil
            isWriting = false
        } else {
            isOvercome = writeReadyItems()
        }
        isRetrying = false
        if isOvercome { stalled = nil }
        noteFailure()
        monitor.wakeWorkers()
        monitor.wakeAll()
        if failure == nil { diagnostics?(.resumed) }
    }

    // MARK: Syncing

    /// Syncs what is written, unless another thread does. Call with the monitor held; it is given up meanwhile.
    private func syncWritten() {
        isSyncing = true
        let target = written
        let pass = writer.beginSync()
        let failure = unlocked { () throws(IOFailure) in try writer.carryOut(pass) }
        isSyncing = false
        if let failure {
            // After a failed sync the page cache can't be believed: never sync again, never acknowledge.
            poison(.writing(failure))
        } else if poisoned == nil {
            synced = max(synced, target)
            if pass.point.place.map({ new in watermark.place.map { new > $0 } ?? true }) ?? false {
                watermark = pass.point
            }
            durabilityWaiters.resume(through: synced, nil)
        }
        if hasDurabilityWaiters { monitor.wakeKeeper() }
        monitor.wakeAll()
    }

    /// Whether something written is not yet synced. Call with the monitor held.
    var needsSync: Bool { synced < written }

    /// Syncs what is written, if anything is and nobody else does. Call with the monitor held.
    func syncIfNeeded() {
        guard needsSync, !isSyncing, poisoned == nil else { return }
        syncWritten()
    }

    /// Blocks until item `number` is durable. Of all that wait one leads: `handOver` hands over what is open, it works until that is
    /// written, and syncs it. What others append meanwhile is for the next one, which is the first of them.
    func waitUntilSynced(
        _ number: UInt64, handOver: () throws(StoreError) -> Void
    ) throws(StoreError) {
        monitor.lock()
        if synced >= number { return monitor.unlock() }
        if isLed {
            let follower = SyncWaiter(number)
            followers.append(follower)
            monitor.unlock()
            switch follower.wait() {
            case .isDurable: return
            case .failed(let failure): throw failure
            case .leads: monitor.lock()
            }
        }
        isLed = true
        leaderWorks = true
        defer { endLead() }
        // What the others wait for, too.
        if synced < number, enqueued < max(number, followers.last?.item ?? 0) {
            monitor.unlock()
            defer { monitor.lock() }
            try handOver()
        }
        try sync(through: number)
    }

    /// Tells those who waited for what is durable now, and who leads next. Call with the monitor held, as the one who leads; it is given up.
    private func endLead() {
        leaderWorks = false
        // What others have handed over meanwhile.
        if !pending.isEmpty { monitor.wakeWorker() }
        var told: [(SyncWaiter, SyncWaiter.Outcome)] = []
        if let failure {
            told = followers.map { ($0, $0.item <= synced ? .isDurable : .failed(failure)) }
            followers = []
        } else {
            followers.removeAll { follower in
                guard follower.item <= synced else { return false }
                told.append((follower, .isDurable))
                return true
            }
        }
        if followers.isEmpty { isLed = false } else { told.insert((followers.removeFirst(), .leads), at: 0) }
        monitor.unlock()
        for (follower, outcome) in told { follower.tell(outcome) }
    }

    /// Works until item `number`, which was handed over, is durable. Call with the monitor held, as the one who leads.
    private func sync(through number: UInt64) throws(StoreError) {
        while synced < number {
            if let failure { throw failure }
            if written >= number, !isSyncing {
                // What else is queued is for others.
                leaderWorks = false
                if !pending.isEmpty { monitor.wakeWorker() }
                syncWritten()
            } else if let work = takeWork() {
                carryOut(work)
            } else {
                leaderWorks = false
                monitor.wait()
            }
        }
    }

    /// Blocks until item `number` is written, working meanwhile.
    func waitUntilWritten(_ number: UInt64) throws(StoreError) {
        monitor.lock()
        defer { monitor.unlock() }
        while written < number {
            if let failure { throw failure }
            if let work = takeWork() { carryOut(work) } else { monitor.wait() }
        }
    }

    /// Calls `resume` once item `number` is written, or can't be.
    func notifyWhenWritten(_ number: UInt64, _ resume: @escaping @Sendable (StoreError?) -> Void) {
        monitor.withLock {
            if !settled(number, by: written, resume) { writtenWaiters.add(number, resume) }
        }
    }

    /// Calls `resume` once item `number` is durable, or can't be. The background thread syncs.
    func notifyWhenSynced(_ number: UInt64, _ resume: @escaping @Sendable (StoreError?) -> Void) {
        monitor.withLock {
            if settled(number, by: synced, resume) { return }
            durabilityWaiters.add(number, resume)
            monitor.wakeAll()
            monitor.wakeKeeper()
        }
    }

    /// Calls `resume` now when the items up to `reached` settle what it waits for, or a failure does. Call with the monitor held.
    private func settled(
        _ number: UInt64, by reached: UInt64, _ resume: @Sendable (StoreError?) -> Void
    ) -> Bool {
        guard reached >= number || failure != nil else { return false }
        resume(reached >= number ? nil : failure)
        return true
    }

    /// Whether an async caller waits for a sync. Call with the monitor held.
    var hasDurabilityWaiters: Bool { durabilityWaiters.contains(through: written) }

    /// Whether an async caller waits for the open batch to be durable. Call with the monitor held.
    var awaitsOpenBatch: Bool { durabilityWaiters.last > enqueued }

    /// Whether an async caller waits for what can be done now. Call with the monitor held.
    var isAwaited: Bool { awaitsOpenBatch || hasDurabilityWaiters && needsSync && !isSyncing }

    /// Whether items are on their way. Call with the monitor held.
    var isBusy: Bool { !pending.isEmpty }

    /// Ends the active segment when it has grown too old and nobody writes. Call with the monitor held; it is given up meanwhile.
    func retireAged() {
        guard !isWriting, poisoned == nil, stalled == nil, writer.isAged else { return }
        isWriting = true
        if let failure = unlocked(writer.finishActive) { refuse(failure) }
        isWriting = false
        monitor.wakeWorker()
        monitor.wakeAll()
    }

    /// Takes nothing more where the failure that another part of the writer saw is that of a sync.
    func poison(afterSync failure: IOFailure) {
        guard failure.operation == .sync else { return }
        monitor.withLock { poison(.writing(failure)) }
    }

    /// Sleeps for at most `nanoseconds`, or until there is something for the background thread. Call with the monitor held.
    func waitAsKeeper(nanoseconds: UInt64) {
        keeperSleeps = nanoseconds > 1_000_000_000
        monitor.waitAsKeeper(nanoseconds: nanoseconds)
        keeperSleeps = false
    }

    // MARK: Threads

    /// The life of an encoder thread.
    func runEncoder() {
        // Woken by an append, it would often run in its caller's place until a block is compressed.
        workInBatches()
        monitor.lock()
        defer { monitor.unlock() }
        while true {
            if let work = takeWork() {
                carryOut(work)
            } else if isStopping {
                return
            } else {
                monitor.waitAsWorker()
            }
        }
    }

    /// Ends the encoder threads once nothing can be done.
    func stop() {
        monitor.withLock {
            isStopping = true
            failWaiters(.closed)
            wakeSpaceWaiters()
            monitor.wakeWorkers()
            monitor.wakeAll()
        }
    }

    // MARK: Snapshots

    /// The queued items beyond `written`, their batches pinned. Call with the monitor held.
    func pinPending() -> [PendingItem] {
        for item in pending { item.batch?.pins += 1 }
        return pending
    }

    /// Gives pinned batches back.
    func unpin(_ batches: [Batch]) {
        monitor.withLock {
            var hasFreed = false
            for batch in batches {
                batch.pins -= 1
                guard batch.pins == 0, batch.isReleased else { continue }
                batch.isReleased = false
                freeBatches.append(batch)
                hasFreed = true
            }
            if hasFreed {
                wakeSpaceWaiters()
                monitor.wakeAll()
            }
        }
    }
}

/// A thread that waits for what another one does.
private final class SyncWaiter: @unchecked Sendable {
    enum Outcome {
        case isDurable
        case failed(StoreError)
        /// It is its turn to work.
        case leads
    }

    /// What it waits for.
    let item: UInt64
    private let gate = Gate()
    private var outcome = Outcome.isDurable

    init(_ item: UInt64) { self.item = item }

    /// Sleeps until it is told.
    func wait() -> Outcome {
        gate.wait()
        return outcome
    }

    /// Call once.
    func tell(_ outcome: Outcome) {
        self.outcome = outcome
        gate.open()
    }
}

/// Async callers, each waiting for an item to get somewhere. Guarded by the pipeline's monitor.
private struct ItemWaiters {
    private var waiters: [(item: UInt64, resume: @Sendable (StoreError?) -> Void)] = []
    /// The last item that anybody has waited for.
    private(set) var last: UInt64 = 0

    mutating func add(_ item: UInt64, _ resume: @escaping @Sendable (StoreError?) -> Void) {
        waiters.append((item, resume))
        last = max(last, item)
    }

    /// Whether anybody waits for an item up to this one.
    func contains(through item: UInt64) -> Bool { waiters.contains { $0.item <= item } }

    /// Calls back, once, those that wait for items up to this one.
    mutating func resume(through item: UInt64, _ failure: StoreError?) {
        guard contains(through: item) else { return }
        let due = waiters.filter { $0.item <= item }
        waiters.removeAll { $0.item <= item }
        for waiter in due { waiter.resume(failure) }
    }
}
