public import VarveFormat
public import VarveIO

/// A store: one directory, one writer at a time, any number of readers.
///
/// Any thread may call. `close` it: deinit is no place for errors, and leaves the session interrupted.
public final class EventStore: @unchecked Sendable {
    /// The directory.
    public let path: String
    /// Whether it was opened by `openReadOnly`.
    public let isReadOnly: Bool
    /// What opening found; nil after a store that was closed in order.
    public let recovery: RecoveryReport?
    private let options: StoreOptions
    private let identity: StoreIdentity?
    private let uuid: UniqueID
    let catalog: Catalog
    let cursorBuffers = CursorBufferPool()
    /// Held while pins change, until that is durable: one change at a time. Taken before all others.
    private let pinning = Monitor()
    /// Held while compaction is prepared.
    private let preparing = Monitor()
    /// Held while files are written beside the log.
    private let maintenance = Monitor()
    private let registry: KindRegistry
    private let writing: Writing?
    // Guarded by `monitor`.
    private let monitor = Monitor()
    private var isClosed = false
    /// Held while a reader looks at the directory again: by one thread at a time. Guards `memory`.
    private let looking = Monitor()
    private var memory = DirectoryMemory()
    private var seen: Seen

    /// What only a writer has.
    private final class Writing: @unchecked Sendable {
        let lock: any FileLock
        let writer: SegmentWriter
        let pipeline: Pipeline
        let tail: Tail
        var encoders: [WorkerThread] = []
        var keeper: WorkerThread?
        // Guarded by the pipeline's monitor.
        var isStopping = false
        let state: StateKeeper
        let retention: Retention
        let reclaimer: Reclaimer
        let compactor: Compactor
        var compaction: WorkerThread?

        init(
            lock: any FileLock, writer: SegmentWriter, pipeline: Pipeline, tail: Tail, state: StateKeeper,
            retention: Retention, reclaimer: Reclaimer, compactor: Compactor
        ) {
            self.lock = lock
            self.writer = writer
            self.pipeline = pipeline
            self.tail = tail
            self.state = state
            self.retention = retention
            self.reclaimer = reclaimer
            self.compactor = compactor
        }
    }

    // MARK: Opening

    /// Whether a directory looks like a store: it has a `STORE` file or a segment.
    public static func exists(at path: String, fileSystem: any FileSystem = POSIXFileSystem()) -> Bool {
        ((try? fileSystem.list(path)) ?? []).contains { $0.name == "STORE" || $0.name.hasSuffix(".seg") }
    }

    /// Opens a store for writing; creates it where the options allow. Recovers what an earlier writer left.
    ///
    /// Cost: proportional to the segments, plus the bytes of those without a footer. Errors: `alreadyOpen`, `notAStore`,
    /// `unknownVersion`, `onNetwork`, `cannotRead`, `cannotWrite`, `outOfSpace`, `damaged`.
    public static func open(_ path: String, options: StoreOptions = StoreOptions()) throws(StoreError)
        -> EventStore
    {
        let options = options.clamped
        let fileSystem = options.fileSystem
        try checkMetadata(options.metadata)
        return try StoreError.catching(at: path, StoreError.writing) {
            let isThere = try fileSystem.kind(of: path) != nil
            // Before anything is made.
            if let limits = options.limits {
                try StoreOptions.check(
                    limits, on: try? fileSystem.space(at: isThere ? path : parent(of: path)))
            }
            if !isThere {
                guard options.create else {
                    throw StoreError.notAStore(path: path, reason: "it does not exist")
                }
                try fileSystem.makeDirectory(path)
            } else if !exists(at: path, fileSystem: fileSystem) {
                let others = try fileSystem.list(path).filter {
                    $0.name != "LOCK" && !$0.name.hasSuffix(".tmp")
                }
                guard others.isEmpty, options.create else {
                    throw StoreError.notAStore(
                        path: path, reason: "there is no STORE file and no segment in it")
                }
            }
            if !options.allowsNetworkFileSystem, fileSystem.isOnNetwork(path) {
                throw StoreError.onNetwork(path: path)
            }
            let lock: any FileLock
            do throws(IOFailure) {
                lock = try fileSystem.lock(path + "/LOCK")
            } catch {
                if error.isWouldBlock { throw StoreError.alreadyOpen(path: path) }
                throw error
            }
            do {
                // A writer that was killed may have left names that only the page cache knows: a power cut would take
                // them, and what is built on them.
                if exists(at: path, fileSystem: fileSystem) {
                    if !Safeguard.openingNamesSync.isLeftOut { try fileSystem.syncDirectory(path) }
                } else {
                    if !Safeguard.storeParentSync.isLeftOut {
                        try fileSystem.syncDirectory(parent(of: path))
                    }
                    try create(path, options)
                }
                return try EventStore(writing: path, options, lock)
            } catch {
                lock.release()
                throw error
            }
        }
    }

    /// Opens a store for reading: takes no lock, writes nothing, works beside a writer.
    ///
    /// Errors: `notAStore`, `unknownVersion`, `cannotRead`, `damaged`.
    public static func openReadOnly(
        _ path: String, options: StoreOptions = StoreOptions()
    ) throws(StoreError) -> EventStore {
        try EventStore(reading: path, options.clamped)
    }

    static func parent(of path: String) -> String {
        var parts = path.split(separator: "/", omittingEmptySubsequences: false)
        while parts.last == "", parts.count > 1 { parts.removeLast() }
        parts.removeLast()
        if parts.isEmpty { return "." }
        let joined = parts.joined(separator: "/")
        return joined.isEmpty ? "/" : joined
    }

    /// Writes the identity: under a temporary name first, so that a crash leaves no half of it.
    private static func create(_ path: String, _ options: StoreOptions) throws(IOFailure) {
        let fileSystem = options.fileSystem
        let identity = StoreIdentity(
            store: try fileSystem.freshID(for: path), createdAt: fileSystem.now(), metadata: options.metadata)
        let temporary = path + "/STORE.tmp"
        try? fileSystem.unlink(temporary)
        let file = try fileSystem.open(temporary, .createExclusive)
        defer { file.close() }
        try file.write(identity.encode(), at: 0)
        if !Safeguard.storeSync.isLeftOut { try file.sync() }
        try fileSystem.rename(temporary, to: path + "/STORE", replacing: false)
        if !Safeguard.storeNameSync.isLeftOut { try fileSystem.syncDirectory(path) }
    }

    private init(reading path: String, _ options: StoreOptions) throws(StoreError) {
        self.path = path
        self.options = options
        isReadOnly = true
        let view = try EventStore.read(
            path, options, DirectoryMemory(), EventStore.appearance(of: path, options.fileSystem))
        memory = view.memory
        identity = view.directory.identity
        uuid = view.directory.identifier
        catalog = Catalog(view.entries)
        registry = KindRegistry(id: 0, definitions: [])
        writing = nil
        recovery = nil
        seen = view.seen
    }

    /// What reading the directory showed, beside the segments.
    private struct Seen {
        var gaps: [Gap]
        var position: LogPosition
        var retained = Retained()
        var limits = RetentionLimits()
        var isBeingWritten: Bool
        /// What `STATE` says of the last opening for writing: its epoch, and the first number that it could give.
        var opening: Opening?
        /// What a reader found in `TAIL`, and the kinds of it.
        var tailBatches: [Batch] = []
        var tailKinds: [KindDefinition] = []
    }

    private struct ReaderView {
        let directory: StoreDirectory
        let memory: DirectoryMemory
        let entries: [Catalog.Entry]
        let seen: Seen
    }

    /// How a store looks from outside.
    private struct Appearance: Equatable {
        let isLocked: Bool
        let files: [String: FileStamp]?
    }

    private static func appearance(of path: String, _ fileSystem: any FileSystem) -> Appearance {
        let isLocked = fileSystem.isLocked(path + "/LOCK")
        return Appearance(
            isLocked: isLocked, files: DirectoryMemory.files(of: path, fileSystem, withTail: !isLocked))
    }

    /// Reads a store's directory as a reader sees it, apart from what it knows of it already. It looked as `appearance` says before.
    private static func read(
        _ path: String, _ options: StoreOptions, _ known: DirectoryMemory, _ appearance: Appearance
    ) throws(StoreError) -> ReaderView {
        let fileSystem = options.fileSystem
        // Asked before the directory is read: a writer that ends in between has closed in order.
        var isBeingWritten = appearance.isLocked
        // What a killed writer had not written yet; a live one still has it to write. Before the directory too: what the next
        // writer takes over meanwhile is in a segment then.
        var contents: TailContents?
        if !isBeingWritten {
            contents = try TailContents.read(path, fileSystem: fileSystem)
            isBeingWritten = fileSystem.isLocked(path + "/LOCK")
            if isBeingWritten { contents = nil }
        }
        var directory: StoreDirectory
        var attempts = 0
        while true {
            do throws(StoreError) {
                directory = try StoreDirectory(path: path, fileSystem: fileSystem, memory: known)
                // What is retained now may be dropped, or written anew, while a snapshot is read.
                for case .sealed(let handle) in directory.segments {
                    do throws(IOFailure) { try handle.hold() } catch { throw .reading(error) }
                }
                break
            } catch {
                // A file went away between the listing and its opening: a segment was resealed. List again.
                attempts += 1
                guard attempts < 64, case .cannotRead(let file, _) = error,
                    ((try? fileSystem.kind(of: file)) ?? nil) == nil
                else { throw error }
            }
        }
        let plan = RecoveryPlan(directory.findings)
        let entries = directory.readableEntries(plan)
        var position = LogPosition()
        for entry in entries {
            let summary = entry.summary
            position.nextSequence = max(position.nextSequence, summary.nextSequence)
            position.epoch = max(position.epoch, summary.lastEpoch)
        }
        let tail = contents?.belonging(to: directory.identifier).map { TailPlan($0, after: LogEnd(entries)) }
        position.nextSequence = max(position.nextSequence, tail?.nextSequence ?? 0)
        var gaps = plan.gaps + (tail?.gaps ?? [])
        // At the end of a segment that is being written, bad bytes are in progress; a refused read is not.
        let unconfirmed =
            isBeingWritten && directory.refusal == nil ? 0 : plan.unconfirmedBytes(beside: tail)
        func addUnconfirmed(_ note: String) {
            let next = position.nextSequence
            gaps.append(Gap(sequences: next...next, reason: .unconfirmedTail, note: note))
        }
        if unconfirmed > 0, let cut = plan.cut {
            addUnconfirmed(
                "\(unconfirmed) bytes of segment \(cut.segment) from offset \(cut.offset) can't be read"
            )
        }
        if let tail, tail.unreadableBytes > 0 {
            addUnconfirmed("\(tail.unreadableBytes) bytes of TAIL can't be read")
        }
        let batches = tail?.batches() ?? []
        let orders = StandingOrders(entries)
        // The heads are durable in `STATE` before what they drop is removed: what it says now explains what was not there any more.
        var retained = Retained(entries, directory.state, pins: orders.pins)
        if EventStore.hasHole(in: entries, above: retained.headSequence),
            let later = StoreDirectory.state(path, of: directory.identifier, fileSystem)
        {
            let heads = Retained([], later, pins: [])
            retained.headSequence = max(retained.headSequence, heads.headSequence)
            retained.headCheckpoint = max(retained.headCheckpoint, heads.headCheckpoint)
        }
        var count = RetentionCount(entries, limits: orders.limits, retained: retained)
        var source = LogSource(entries)
        for batch in batches { count.add(batch.run(batch.count), &source) }
        var memory = directory.memory
        memory.files = isBeingWritten == appearance.isLocked ? appearance.files : nil
        return ReaderView(
            directory: directory, memory: memory, entries: entries,
            seen: Seen(
                gaps: gaps, position: position, retained: count.retained, limits: orders.limits,
                isBeingWritten: isBeingWritten,
                opening: directory.state.map { Opening(epoch: $0.epoch, nextSequence: $0.nextSequence) },
                tailBatches: batches, tailKinds: tail?.kinds ?? []))
    }

    /// Whether numbers above the head are in no segment.
    private static func hasHole(in entries: [Catalog.Entry], above head: UInt64) -> Bool {
        var next: UInt64 = 0
        return entries.contains { entry in
            defer { next = entry.summary.nextSequence }
            return entry.summary.baseSequence > max(next, head)
        }
    }

    private init(writing path: String, _ options: StoreOptions, _ lock: any FileLock) throws(StoreError) {
        self.path = path
        isReadOnly = false
        var directory = try StoreDirectory(path: path, fileSystem: options.fileSystem)
        identity = directory.identity
        uuid = directory.identifier
        // What the system does not let it read may have been acknowledged: no place to go on from.
        if let refusal = directory.refusal ?? directory.stateRefusal { throw .reading(refusal) }
        var options = options
        let space = try StoreSpace(&directory, &options)
        self.options = options
        let fileSystem = options.fileSystem
        try directory.mendFooters(fileSystem)
        var plan = RecoveryPlan(directory.findings)
        let readable = directory.readableEntries(plan)
        let summaries = readable.map(\.summary)
        let lastEpoch = max(summaries.map(\.lastEpoch).max() ?? 0, directory.state?.epoch ?? 0, plan.epochMax)
        guard lastEpoch < .max >> 1 else {
            throw .damaged(file: path, offset: 0, reason: "its epoch is out of range")
        }
        let epoch = lastEpoch + 1
        // Counters that can't go on are no counters of ours.
        let counters = summaries.flatMap {
            [$0.sessionsBegun, $0.checkpointsMade, $0.nextSequence, $0.ordinal]
        }
        guard counters.allSatisfy({ $0 < .max >> 2 }), directory.ordinalMax < .max >> 2 else {
            throw .damaged(file: path, offset: 0, reason: "a segment's counters are out of range")
        }
        let contents = try TailContents.read(path, fileSystem: fileSystem)?.belonging(to: uuid)
        let tail = TailPlan(contents, after: LogEnd(readable))
        plan.leaveOut(kindsBeyond: tail.kinds.count)
        var worker = RecoveryWorker(
            directory: directory, plan: plan, found: plan, tail: tail, fileSystem: fileSystem, epoch: epoch,
            settings: options.encodingSettings)
        // A disk that was full again and again leaves many segments: their blocks may be too many for one.
        while worker.blockCount > min(2 * options.segmentBlocksMax, Limits.segmentBlocksMax) {
            try worker.checkCopies()
            guard try directory.sealFirstUnconfirmed(plan, fileSystem) else { break }
            plan = RecoveryPlan(directory.findings)
            plan.leaveOut(kindsBeyond: tail.kinds.count)
            worker.directory = directory
            worker.plan = plan
        }
        var (entries, report) = try worker.carryOut(readable: readable)
        // Nobody knows any more whether all that they hold was copied.
        let last = entries.map(\.ordinal).filter { $0 <= directory.ordinalMax }.max() ?? 0
        let ends = directory.lostEnds + directory.passedOver + directory.rejects(after: last)
        for name in Set(directory.leftovers + ends.map(\.fileName)) {
            try? fileSystem.setAside(path + "/" + name)
        }
        recovery = report
        try entries.readOrders(all: false)
        do throws(IOFailure) {
            let pins = StandingOrders(entries).pins
            entries = try space.keepNewest(
                of: entries, Retained(entries, directory.state, pins: pins), options, path)
        } catch {
            throw .writing(error)
        }
        catalog = Catalog(entries)
        var position = LogPosition()
        position.epoch = epoch
        position.nextSequence = max(
            entries.map(\.summary.nextSequence).max() ?? 0, directory.state?.nextSequence ?? 0,
            plan.sequenceMin,
            tail.nextSequence ?? 0)
        position.sessionsBegun = max(
            entries.map(\.summary.sessionsBegun).max() ?? 0, directory.state?.sessionsBegun ?? 0,
            plan.sessionsBegun)
        position.checkpointsMade = max(
            entries.map(\.summary.checkpointsMade).max() ?? 0, plan.checkpointsMade)
        try entries.readOrders(all: options.limits?.events != nil || options.limits?.checkpoints != nil)
        let standing = StandingOrders(entries)
        var orders = standing
        orders.limits = options.limits ?? RetentionLimits()
        let kept = Retained(entries, directory.state, pins: orders.pins)
        // What comes is not dropped already: what is known of the heads may have outlived the events that came before them.
        position.nextSequence = max(position.nextSequence, kept.headSequence)
        position.checkpointsMade = max(
            position.checkpointsMade, kept.headCheckpoint.checkedPredecessor ?? 0)
        let retention = Retention(
            catalog, orders, count: RetentionCount(entries, limits: orders.limits, retained: kept))
        seen = Seen(gaps: worker.found.gaps, position: position, isBeingWritten: true)
        // Before anything is recorded in this opening: after a power cut the next one must not have the same epoch.
        let state = space.state
        let (store, opened) = (uuid, position)
        let reclaimer = Reclaimer(
            directory: path, options: options, catalog: catalog, retention: retention, state: state,
            quota: space.quota, maintenance: maintenance, leftovers: space.clinging)
        do throws(IOFailure) {
            try state.write {
                $0 = StateSlot(
                    store: store, counter: $0.counter, nextSequence: opened.nextSequence, epoch: epoch,
                    sessionsBegun: opened.sessionsBegun, writtenAt: $0.writtenAt, isClosed: false,
                    last: entries.last?.summary)
                // All that is there is durable.
                $0.headSequence = retention.retained.headSequence
                $0.headCheckpoint = retention.retained.headCheckpoint
            }
            try reclaimer.dropAged()
            try reclaimer.removeDead(retention.retained)
            space.quota?.byteCountMax = orders.limits.bytes ?? .max
            do throws(IOFailure) {
                try reclaimer.makeRoom(for: UInt64(options.tailBytes), path: path)
            } catch {
                // What is pinned leaves too little room: then appends say so.
                guard error.isOverQuota else { throw error }
            }
        } catch {
            throw .writing(error)
        }
        // What the last one held is durable in a segment by now.
        let mapping = try EventStore.makeTail(path, store: uuid, epoch: epoch, options)
        let registryID = fileSystem.randomBytes(8).reduce(UInt64(1)) { $0 << 8 ^ UInt64($1) } | 1
        registry = KindRegistry(id: registryID, definitions: tail.kinds, mapping: mapping)

        var start = SegmentWriter.Start()
        if let last = entries.last?.summary {
            start.predecessor = (last.segment, last.dataBytes)
            start.ordinal = last.ordinal
            start.point = SegmentWriter.DurablePoint(
                place: Watermark(segment: last.ordinal, offset: last.dataBytes),
                nextSequence: position.nextSequence, retained: retention.retained)
        }
        start.ordinal = max(start.ordinal, directory.ordinalMax)
        start.position = position
        let writer = SegmentWriter(
            directory: path, store: uuid, options: options, catalog: catalog, kinds: registry,
            retention: retention, reclaimer: reclaimer, start: start)
        let pipeline = Pipeline(
            writer: writer, options: options, watermark: start.point, mapping: mapping)
        let ending = Tail(
            pipeline: pipeline, options: options, position: position, isMapped: mapping != nil)
        let compactor = Compactor(
            directory: path, options: options, catalog: catalog, writer: writer, pipeline: pipeline,
            retention: retention, reclaimer: reclaimer, quota: space.quota, maintenance: maintenance)
        // It has no cycle: the compactor outlives nothing that it works for.
        reclaimer.rewrite = { [unowned compactor] handles, retained throws(IOFailure) in
            try compactor.rewriteNow(handles, retained)
        }
        let writing = Writing(
            lock: lock, writer: writer, pipeline: pipeline, tail: ending, state: state,
            retention: retention, reclaimer: reclaimer, compactor: compactor)
        self.writing = writing
        for _ in 0..<options.encoderThreads {
            // What runs already is ended by deinit.
            guard let thread = WorkerThread({ pipeline.runEncoder() }) else { throw .noThreads }
            writing.encoders.append(thread)
        }
        let keeper = Keeper(
            pipeline: pipeline, tail: ending, writer: writer, catalog: catalog, reclaimer: reclaimer,
            compactor: compactor, directory: path, options: options)
        guard let thread = WorkerThread({ keeper.run { writing.isStopping } }) else { throw .noThreads }
        writing.keeper = thread
        if options.compactsInBackground {
            guard let thread = WorkerThread({ compactor.run() }) else { throw .noThreads }
            writing.compaction = thread
            compactor.wake()
        }
        if let report { options.diagnostics?(.recovered(report)) }
        // Pins that exceed a lowered limit do so from now on, even if they are gone before the keeper looks.
        reclaimer.reportUnreachable()
        if orders.limits != standing.limits { _ = try ending.recordWaiting([.limits(orders.limits)]) }
    }

    /// Makes `TAIL`, or removes it where it is not wanted, or not to be had.
    private static func makeTail(
        _ path: String, store: UniqueID, epoch: UInt64, _ options: StoreOptions
    ) throws(StoreError) -> TailMapping? {
        let fileSystem = options.fileSystem
        do throws(IOFailure) {
            if options.keepsTail {
                func make() throws(IOFailure) -> TailMapping {
                    try TailMapping(directory: path, store: store, epoch: epoch, options: options)
                }
                do throws(IOFailure) {
                    do throws(IOFailure) {
                        return try make()
                    } catch {
                        guard error.isOverQuota else { throw error }
                        // The room of the old one may do.
                        try fileSystem.unlinkIfThere(path + "/TAIL")
                        return try make()
                    }
                } catch {
                    // What is pinned may take more than the limit: without room for this nobody could unpin it.
                    guard error.isUnsupported || error.isOverQuota else { throw error }
                    options.diagnostics?(.withoutTail(error.description))
                }
            }
            try fileSystem.unlinkIfThere(path + "/TAIL")
            return nil
        } catch {
            throw .writing(error)
        }
    }

    deinit {
        // Not closed: the threads must still end, and the lock must not outlive the object.
        stopThreads()
        writing?.lock.release()
    }

    private func stopThreads() {
        guard let writing else { return }
        writing.compactor.stop()
        writing.compaction?.join()
        writing.compaction = nil
        if let keeper = writing.keeper {
            writing.pipeline.monitor.withLock {
                writing.isStopping = true
                writing.pipeline.monitor.wakeKeeper()
            }
            keeper.join()
            writing.keeper = nil
        }
        writing.pipeline.stop()
        for encoder in writing.encoders { encoder.join() }
        writing.encoders = []
    }

    // MARK: Identity

    /// The store's UUID.
    public var identifier: UniqueID { uuid }
    /// Time of creation, in nanoseconds since the Unix epoch; nil when the file that says so is lost.
    public var createdAt: Int64? { identity?.createdAt }
    /// User metadata.
    public var metadata: [String: String] { identity?.metadata ?? [:] }

    var registryID: UInt64 { registry.id }
    var isSynced: Bool { options.durability == .synced }
    func now() -> Int64 { options.fileSystem.now() }
    var fileSystem: any FileSystem { options.fileSystem }

    /// Writes files beside the log. After a failed sync nothing is synced any more, here as elsewhere.
    func maintain<R>(_ body: () throws(IOFailure) -> R) throws(StoreError) -> R {
        // Closing waits for it: without the store's lock nothing is written.
        maintenance.lock()
        defer { maintenance.unlock() }
        let pipeline = try writer().pipeline
        if let failure = pipeline.monitor.withLock({ pipeline.poisoned }) { throw failure }
        do throws(IOFailure) {
            return try body()
        } catch {
            pipeline.poison(afterSync: error)
            throw .writing(error)
        }
    }

    /// The limits in force: for a reader those of its last look at the store.
    public var limits: RetentionLimits { writing?.retention.limits ?? monitor.withLock { seen.limits } }

    /// Limits that can't be kept because of pins. Empty in a store that was opened read-only.
    public var unreachableLimits: [RetentionLimit] { writing?.retention.unreachable ?? [] }

    /// Keeps something from now on, or no more, and returns when that is durable.
    func pin(isPinned: Bool, _ change: (Retained) -> Pin?) throws(StoreError) {
        let writing = try writer()
        pinning.lock()
        defer { pinning.unlock() }
        // What is dropped by now stays dropped: all that was appended counts. Where a limit leaves no room for it, unpinning makes some.
        var full: StoreError?
        do throws(StoreError) {
            try flush()
        } catch {
            guard case .limitReached = error, !isPinned else { throw error }
            full = error
        }
        let before = writing.retention.standing.pins
        let change = writing.pipeline.asWriter { writing.retention.pin(change, isPinned: isPinned) }
        guard let record = change else {
            // An earlier call may have changed it, and not have seen that become durable.
            if let full { throw full }
            return writing.reclaimer.pinsAreDurable()
        }
        var item: UInt64?
        for attempt in 0... {
            do throws(StoreError) {
                if item == nil { item = try writing.tail.recordWaiting([record]) }
                if let item { try writing.tail.waitUntilSynced(item) }
                return writing.reclaimer.pinsAreDurable()
            } catch {
                if case .limitReached = error, !isPinned, attempt < 1_000 {
                    // What it has kept may go before that is recorded: a crash in between leaves a pin on nothing.
                    writing.reclaimer.pinsAreDurable()
                    pinning.waitAsKeeper(nanoseconds: 10_000_000)
                    continue
                }
                if item == nil { writing.pipeline.asWriter { writing.retention.restore(before) } }
                throw error
            }
        }
    }

    /// Applies the limits and compacts everything now: the active segment is sealed, what the limits dropped is removed, and all that is
    /// not settled is written anew. Appends and readers go on meanwhile. Restartable: what is done when it is cancelled or fails stays.
    ///
    /// `goesOn` is called at each block with what was done so far, on the calling thread; false cancels. Segments that are damaged stay as
    /// they are. Errors: `readOnly`, `closed`, `poisoned`; what the system refuses to write. O(bytes of what is not settled).
    public func compact(
        _ goesOn: @escaping (CompactionReport) -> Bool = { _ in true }
    ) throws(StoreError) -> CompactionReport {
        let writing = try writer()
        try prepareCompaction(writing)
        var report = CompactionReport()
        try writing.compactor.compactAll(&report, goesOn)
        let figures = writing.retention.figures
        report.droppedEvents = figures.droppedEvents
        report.droppedCheckpoints = figures.droppedCheckpoints
        return report
    }

    /// Seals what is recorded, and removes what the limits have dropped.
    private func prepareCompaction(_ writing: Writing) throws(StoreError) {
        var sealed: [SegmentSummary] = []
        defer {
            for segment in sealed {
                options.diagnostics?(.sealed(segment: segment.ordinal, bytes: segment.dataBytes))
            }
        }
        // Closing waits for it.
        preparing.lock()
        defer { preparing.unlock() }
        try flush()
        do throws(IOFailure) {
            try writing.pipeline.asWriter { () throws(IOFailure) in
                // At most one complete segment waits for its footer.
                _ = try writing.writer.sealRetired()
                try writing.writer.finishActive()
            }
            sealed = try writing.writer.sealRetired()
            try writing.reclaimer.removeLeftovers()
            try writing.reclaimer.dropAged()
            try writing.reclaimer.removeDead(
                writing.pipeline.monitor.withLock { writing.pipeline.watermark.retained })
            writing.reclaimer.letGo()
        } catch {
            writing.pipeline.poison(afterSync: error)
            throw .writing(error)
        }
    }

    private func writer() throws(StoreError) -> Writing {
        guard let writing else { throw .readOnly }
        if monitor.withLock({ isClosed }) { throw .closed }
        return writing
    }

    // MARK: Recording

    /// The kind with this name and encoding, interned once; the metadata of the first call stand, also in later openings. It is
    /// good for this object alone. O(1).
    ///
    /// With `StoreOptions.keepsTail` it also lasts beyond a kill when it returns: the first 64 KiB of definitions stand in `TAIL`. A
    /// kind beyond those is written to the log first, whatever the options say of a full queue: such a call blocks the
    /// calling thread until all that was appended before is written. When that fails the kind is known, but not returned:
    /// the next call for it tries again.
    ///
    /// Errors: `beyondLimit`, `invalid`, `readOnly`, `closed`; of a kind that is written first also `outOfSpace` and `poisoned`.
    public func kind(_ name: String, _ encoding: PayloadEncoding, metadata: [String: String] = [:])
        throws(StoreError) -> EventKind
    {
        let writing = try writer()
        let (kind, isKept) = try registry.intern(name, encoding, metadata)
        if !isKept {
            try writing.tail.writeKinds()
            registry.markLogged(kind)
        }
        return kind
    }

    /// Begins a session. `timestamp` nil: now. Errors: `sessionAlreadyActive`, and as `Session.append`.
    public func startSession(_ id: String, at timestamp: Int64? = nil, metadata: [String: String] = [:])
        throws(StoreError) -> Session
    {
        try start(id, at: timestamp, metadata, [])
    }

    /// Begins a session whose events come with their own indices. It counts only once it has ended.
    public func startImportedSession(_ id: String, at timestamp: Int64, metadata: [String: String] = [:])
        throws(StoreError) -> Session
    {
        try start(id, at: timestamp, metadata, [.imported])
    }

    private func start(
        _ id: String, at timestamp: Int64?, _ metadata: [String: String], _ flags: SessionBegin.Flags
    ) throws(StoreError) -> Session {
        let writing = try writer()
        try checkID(id, "the length of a session's id")
        try checkMetadata(metadata)
        let active = try writing.tail.begin(
            id: id, start: timestamp ?? now(), metadata: metadata, flags: flags)
        return Session(active, store: self, tail: writing.tail)
    }

    /// Goes on with a session that has ended, at its last index + 1. An import that goes on is recorded like any other session.
    ///
    /// Errors: `noSuchSession`, `sessionAlreadyActive`, and as `Session.append`.
    public func resume(session ordinal: UInt64) throws(StoreError) -> Session {
        try resume(ordinal, [])
    }

    /// Goes on with an import, whose events come with their own indices: the session counts again once it has ended.
    package func resumeImport(session ordinal: UInt64) throws(StoreError) -> Session {
        try resume(ordinal, [.imported])
    }

    private func resume(_ ordinal: UInt64, _ flags: SessionBegin.Flags) throws(StoreError) -> Session {
        let writing = try writer()
        if let active = writing.tail.active { throw .sessionAlreadyActive(id: active.begin.id) }
        let info = try snapshot().session(ordinal: ordinal)
        let active = try writing.tail.begin(
            id: info.id, start: info.startedAt, metadata: info.metadata, flags: flags, resuming: info)
        return Session(active, store: self, tail: writing.tail)
    }

    /// The session that is being recorded through this object; nil when there is none, in a read-only store, and where the store
    /// is poisoned before its beginning is written.
    ///
    /// A new handle each time, equal in effect to the one that began it. With `StoreOptions.keepsTail` it blocks the calling
    /// thread while another thread's `startSession` or `resume` waits for the beginning to be written; where writing has stopped
    /// for want of space it returns the session all the same.
    public var activeSession: Session? {
        guard let writing, let active = writing.tail.active else { return nil }
        return Session(active, store: self, tail: writing.tail)
    }

    // MARK: Durability

    func wait(forItem item: UInt64) throws(StoreError) {
        try writer().tail.waitUntilSynced(item)
    }

    func waitUntilWritten(_ item: UInt64) async throws(StoreError) {
        let pipeline = try writer().pipeline
        try await suspend { pipeline.notifyWhenWritten(item, $0) }
    }

    /// Suspends until what `register` is given is called.
    private func suspend(
        _ register: (@escaping @Sendable (StoreError?) -> Void) -> Void
    ) async throws(StoreError) {
        let failure: StoreError? = await withCheckedContinuation { continuation in
            register { continuation.resume(returning: $0) }
        }
        if let failure { throw failure }
    }

    /// Blocks until everything that was appended is durable.
    public func flush() throws(StoreError) {
        let writing = try writer()
        try writing.tail.waitUntilSynced(try writing.tail.handOver())
    }

    /// Blocks until the event is durable; shares the sync with whoever else waits. Errors: `poisoned`, `outOfSpace`,
    /// `invalid` for a number that was not given.
    public func blockUntilDurable(through sequence: UInt64) throws(StoreError) {
        let writing = try writer()
        try writing.tail.waitUntilSynced(try item(holding: sequence, writing))
    }

    /// Suspends until the event is durable.
    public func waitUntilDurable(through sequence: UInt64) async throws(StoreError) {
        let writing = try writer()
        let item = try item(holding: sequence, writing)
        try await suspend { writing.pipeline.notifyWhenSynced(item, $0) }
    }

    private func item(holding sequence: UInt64, _ writing: Writing) throws(StoreError) -> UInt64 {
        guard let item = writing.tail.item(holding: sequence) else {
            throw .invalid(what: "sequence number \(sequence)", reason: "was not given yet")
        }
        return item
    }

    /// What is known to be on stable storage, as a place in the log.
    public var watermark: Watermark? {
        guard let writing else {
            return catalog.view().entries.compactMap { entry -> Watermark? in
                guard case .sealed(let handle) = entry else { return nil }
                return Watermark(segment: handle.summary.ordinal, offset: handle.summary.dataBytes)
            }.max()
        }
        return writing.pipeline.monitor.withLock { writing.pipeline.watermark.place }
    }

    /// The last event that is known to be durable; nil: none.
    public var durableThrough: UInt64? {
        guard let writing else {
            return catalog.view().entries.map(\.summary.nextSequence).max()?.checkedPredecessor
        }
        return writing.pipeline.monitor.withLock {
            writing.pipeline.watermark.nextSequence.checkedPredecessor
        }
    }

    /// The number that the next event gets.
    public var nextSequence: UInt64 {
        if let writing { return writing.tail.position.nextSequence }
        return monitor.withLock { seen.position.nextSequence }
    }

    /// Ends the active session (an import that is under way is given up), makes everything durable, seals the active segment, and
    /// gives the lock up. Idempotent.
    ///
    /// When it throws, the store is closed all the same, and what was not durable is left to recovery.
    public func close() throws(StoreError) {
        let isFirst = monitor.withLock {
            defer { isClosed = true }
            return !isClosed
        }
        guard isFirst, let writing else { return }
        maintenance.withLock {}
        preparing.withLock {}
        var failure: StoreError?
        do throws(StoreError) {
            if let active = writing.tail.active {
                // An import exists only whole, and this one is under way.
                if active.begin.flags.contains(.imported) {
                    writing.tail.abandon(beginning: active.beginning)
                }
                do throws(StoreError) {
                    _ = try writing.tail.end(beginning: active.beginning, id: active.begin.id, at: now())
                } catch .sessionEnded {
                    // Another thread has just ended it.
                }
            }
            writing.reclaimer.reportUnreachable()
            // Written first, so that what that drops is told with the rest.
            try writing.pipeline.waitUntilWritten(try writing.tail.handOver())
            writing.reclaimer.noteDropped()
            writing.reclaimer.tellLedger(writing.tail.record)
            try writing.tail.waitUntilSynced(try writing.tail.handOver())
        } catch {
            failure = error
        }
        writing.tail.close()
        stopThreads()
        if failure == nil {
            do throws(IOFailure) {
                try writing.writer.finishActive()
            } catch {
                failure = .writing(error)
            }
            do throws(IOFailure) {
                for sealed in try writing.writer.sealRetired() {
                    options.diagnostics?(.sealed(segment: sealed.ordinal, bytes: sealed.dataBytes))
                }
            } catch {
                failure = failure ?? .writing(error)
            }
        }
        if failure == nil {
            let position = writing.tail.position
            // Without it a later loss of the log's very end would not be noticed, and no more.
            do throws(IOFailure) {
                let retained = writing.retention.retained
                try writing.reclaimer.removeDead(retained)
                try writing.state.write {
                    $0 = StateSlot(
                        store: uuid, counter: $0.counter, nextSequence: position.nextSequence,
                        epoch: position.epoch, sessionsBegun: position.sessionsBegun,
                        writtenAt: $0.writtenAt, isClosed: true, last: catalog.view().entries.last?.summary)
                    $0.headSequence = retained.headSequence
                    $0.headCheckpoint = retained.headCheckpoint
                }
            } catch {
                options.diagnostics?(.maintenanceFailed(error.description))
            }
            // All that it holds is durable: left behind, it would only take room.
            try? options.fileSystem.unlink(path + "/TAIL")
        }
        writing.reclaimer.letGo()
        writing.lock.release()
        if let failure { throw failure }
    }

    // MARK: Reading

    /// An immutable view of the store as it is now.
    ///
    /// In a read-only store it shows what other processes have written since, and reads no more than that. What a killed one had only in `TAIL` shows as long as
    /// nobody writes, and again once the next writer has taken it over. Errors: `cannotRead`; `notAStore` when another store is in its
    /// place.
    public func snapshot() throws(StoreError) -> Snapshot {
        if let writing {
            // The queue first, the segments after: what is written in between shows in both, and is told apart by its number.
            let (items, open, position) = writing.tail.pin()
            let pinned = items.compactMap(\.batch) + (open.map { [$0.batch] } ?? [])
            defer { writing.pipeline.unpin(pinned) }
            guard let (entries, shown, retained) = writing.retention.view(with: items, open: open) else {
                // What is being written now is in the queue the next time.
                return try snapshot()
            }
            // Copied: the memory of a batch is used again once it is written.
            var batches: [Batch] = []
            var records: [(ControlRecord, LogPosition)] = []
            for item in items where item.number > shown {
                switch item.content {
                case .batch(let batch): batches.append(batch.copy(count: batch.count))
                case .control(let record): records.append((record, item.position))
                }
            }
            // It has no number yet. Written meanwhile, it shows in the segments.
            let written = entries.map(\.summary.nextSequence).max() ?? 0
            if let open, open.batch.start.nextSequence >= written {
                batches.append(open.batch.copy(count: open.count))
            }
            return Snapshot(
                store: self, entries: entries, batches: batches, records: records,
                pendingKinds: registry.definitions(), position: position, retained: retained,
                isBeingWritten: true,
                knownGaps: seen.gaps, isRecorders: true)
        }
        return try sight().snapshot
    }

    /// What a follower sees at a time.
    struct Sight {
        let snapshot: Snapshot
        let isBeingWritten: Bool
        let opening: Opening?
    }

    /// An opening for writing, as `STATE` says it.
    struct Opening: Hashable, Sendable {
        let epoch: UInt64
        /// The first number that it could give.
        let nextSequence: UInt64
    }

    /// How thoroughly a reader looks for what has changed.
    enum Look {
        /// Where nobody wrote and nobody writes, as far as can be told, nothing is read.
        case usual
        /// Only where the file system says that no file has changed, nothing is read.
        case thorough
        /// What is in progress, or can't be read, is read again at any rate.
        case again
    }

    /// A snapshot, and what it was taken of. Only what has been written since the last one is read. Errors: `cannotRead`, `notAStore`
    /// when the directory is another store's by now.
    func sight(_ look: Look = .usual) throws(StoreError) -> Sight {
        if writing != nil {
            return Sight(snapshot: try snapshot(), isBeingWritten: true, opening: nil)
        }
        looking.lock()
        defer { looking.unlock() }
        let wasWritten = monitor.withLock { seen.isBeingWritten }
        let appearance = EventStore.appearance(of: path, fileSystem)
        let isKnown =
            appearance == Appearance(isLocked: wasWritten, files: memory.files)
            && !memory.scans.values.contains { $0.hasMore || appearance.isLocked && $0.endsInHole }
        let canTell = appearance.files != nil && memory.files != nil
        let isQuiet = !wasWritten && !appearance.isLocked
        // Without a writer, what has only gone away was taken by somebody else: what is known of it stays.
        // Where nothing is known, all is news.
        let hasNews = appearance.files?.contains { memory.files?[$0.key] != $0.value } ?? false
        let isRead =
            switch look {
            case .usual: isQuiet ? hasNews : !canTell || !isKnown
            case .thorough: !canTell || !isKnown
            case .again: true
            }
        if isRead {
            let view = try EventStore.read(path, options, memory, appearance)
            guard view.directory.identifier == uuid else {
                throw .notAStore(
                    path: path, reason: "another one, \(view.directory.identifier), took the place of \(uuid)"
                )
            }
            memory = view.memory
            monitor.withLock { seen = view.seen }
            catalog.replaceAll(view.entries)
        }
        let now = monitor.withLock { seen }
        let snapshot = Snapshot(
            store: self, entries: catalog.view().entries, batches: now.tailBatches,
            pendingKinds: now.tailKinds, position: now.position, retained: now.retained,
            isBeingWritten: now.isBeingWritten,
            knownGaps: now.gaps, isRecorders: false)
        return Sight(snapshot: snapshot, isBeingWritten: now.isBeingWritten, opening: now.opening)
    }

    /// What tells of events to come: of appends in the writer's own process, of changes of the directory elsewhere.
    func watch() throws(StoreError) -> any ChangeWatch {
        if let writing { return TailWatch(writing.tail) }
        do throws(IOFailure) {
            return try fileSystem.watch(path)
        } catch {
            throw .reading(error)
        }
    }

    /// Whether nothing is appended through this object any more.
    var isOver: Bool { writing?.tail.isClosed ?? false }

    /// The sessions, on a fresh snapshot.
    public func sessions() throws(StoreError) -> [SessionInfo] { try snapshot().sessions() }

    /// The checkpoints, on a fresh snapshot.
    public func checkpoints(inSession ordinal: UInt64? = nil) throws(StoreError) -> [Checkpoint] {
        try snapshot().checkpoints(inSession: ordinal)
    }

    /// A checkpoint's state, on a fresh snapshot.
    public func state(of checkpoint: Checkpoint) throws(StoreError) -> [UInt8] {
        try snapshot().state(of: checkpoint)
    }

    /// A cursor, on a fresh snapshot.
    public func cursor(
        _ query: Query = Query(), decodingAhead: Bool = false
    ) throws(StoreError) -> EventCursor {
        try snapshot().cursor(query, decodingAhead: decodingAhead)
    }

    /// How many events match, on a fresh snapshot.
    public func count(_ query: Query = Query(), decodingAhead: Bool = false) throws(StoreError) -> UInt64 {
        try snapshot().count(query, decodingAhead: decodingAhead)
    }

    /// The events that match, on a fresh snapshot.
    public func events(_ query: Query = Query()) throws(StoreError) -> EventSequence {
        try snapshot().events(query)
    }

    /// A session as it was recorded, on a fresh snapshot.
    public func rebuild(session ordinal: UInt64) throws(StoreError) -> RebuiltSession {
        try snapshot().rebuild(session: ordinal)
    }

    /// The store in figures, on a fresh snapshot.
    public func info() throws(StoreError) -> StoreInfo { try snapshot().info() }
}

extension UInt64 {
    var checkedPredecessor: UInt64? { self == 0 ? nil : self - 1 }
}
