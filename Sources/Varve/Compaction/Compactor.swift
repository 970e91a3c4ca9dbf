internal import VarveFormat
internal import VarveIO

/// Carries compaction out: writes segments anew, puts the new one in their place, and removes them. One at a time; any thread may call.
///
/// Until the new segment gets its name nothing has changed; from then on it hides those that it was made of, which are removed after.
final class Compactor: @unchecked Sendable {
    private let directory: String
    private let fileSystem: any FileSystem
    private let catalog: Catalog
    private let writer: SegmentWriter
    private let pipeline: Pipeline
    private let retention: Retention
    private let reclaimer: Reclaimer
    private let quota: DirectoryQuota?
    private let diagnostics: (@Sendable (Diagnostic) -> Void)?
    private let settings: RewriteSettings
    private let segmentBytes: UInt64
    private let bytesPerSecond: UInt64?
    private let maintenance: Monitor

    /// Held while one works.
    private let working = Monitor()
    private let monitor = Monitor()
    // Guarded by `monitor`.
    private var isStopping = false
    /// Somebody waits to work: what is done in the background makes way.
    private var waiters = 0
    private var hasNews = false
    // Guarded by `working`.
    /// Segments that can't be written anew.
    private var refused: Set<UniqueID> = []
    /// Those of groups that could not be written anew together.
    private var alone: Set<UniqueID> = []
    /// Those that could not be replaced in this pass.
    private var passedOver: Set<UniqueID> = []

    init(
        directory: String, options: StoreOptions, catalog: Catalog, writer: SegmentWriter, pipeline: Pipeline,
        retention: Retention, reclaimer: Reclaimer, quota: DirectoryQuota?, maintenance: Monitor
    ) {
        self.directory = directory
        fileSystem = options.fileSystem
        self.catalog = catalog
        self.writer = writer
        self.pipeline = pipeline
        self.retention = retention
        self.reclaimer = reclaimer
        self.quota = quota
        diagnostics = options.diagnostics
        settings = options.rewriteSettings
        segmentBytes = options.segmentBytes
        bytesPerSecond = options.compactionBytesPerSecond
        self.maintenance = maintenance
    }

    // MARK: The background thread

    /// Looks at the log whenever a segment was sealed, and every minute, until it is stopped.
    func run() {
        while true {
            monitor.lock()
            if !hasNews, !isStopping { monitor.waitAsKeeper(nanoseconds: 60_000_000_000) }
            hasNews = false
            let ends = isStopping
            monitor.unlock()
            if ends { return }
            do throws(StoreError) {
                try compactInBackground()
            } catch {
                diagnostics?(.maintenanceFailed(error.description))
            }
        }
    }

    /// A segment was sealed.
    func wake() {
        monitor.withLock {
            hasNews = true
            monitor.wakeKeeper()
        }
    }

    /// Ends what is going on, and the thread; returns when nothing is going on any more.
    func stop() {
        monitor.withLock {
            isStopping = true
            monitor.wakeKeeper()
        }
        working.withLock {}
    }

    private var isInterrupted: Bool { monitor.withLock { isStopping || waiters > 0 } }

    // MARK: Working

    /// Does everything that there is to do now; what is done in the background makes way. `goesOn` is asked at each block.
    func compactAll(
        _ report: inout CompactionReport, _ goesOn: @escaping (CompactionReport) -> Bool
    ) throws(StoreError) {
        monitor.withLock {
            waiters += 1
            monitor.wakeKeeper()
        }
        working.lock()
        defer {
            working.unlock()
            monitor.withLock { waiters -= 1 }
        }
        refused = []
        alone = []
        passedOver = []
        var step = Step.done
        while step == .done { step = try compactOnce(isExplicit: true, &report, goesOn) }
        report.isComplete = step == .nothing
    }

    private func compactInBackground() throws(StoreError) {
        working.lock()
        defer { working.unlock() }
        passedOver = []
        var report = CompactionReport()
        while !isInterrupted, try compactOnce(isExplicit: false, &report, { _ in true }) == .done {}
    }

    private enum Step {
        /// A plan was carried out, or given up for good.
        case done
        case nothing
        case stopped
    }

    /// Carries out the plan that is most worth it. Call with `working` held.
    private func compactOnce(
        isExplicit: Bool, _ report: inout CompactionReport, _ goesOn: @escaping (CompactionReport) -> Bool
    ) throws(StoreError) -> Step {
        // First, and so last: what is below holds segments.
        defer { reclaimer.letGo() }
        let (poisoned, durable) = pipeline.monitor.withLock {
            (pipeline.poisoned, pipeline.watermark.retained)
        }
        if monitor.withLock({ isStopping }) { return .stopped }
        // After a sync that failed nothing is synced again, and nothing removed.
        if let poisoned {
            if isExplicit { throw poisoned }
            return .stopped
        }
        // First: of what comes later it is not known whether its sources are gone.
        let entries = catalog.view().entries
        let retained: Retained
        let isRidOfSources: Bool
        do throws(IOFailure) {
            isRidOfSources = try reclaimer.removeLeftovers()
            retained = try reclaimer.mayBeRemoved(durable)
        } catch {
            pipeline.poison(afterSync: error)
            throw .writing(error)
        }
        let plans = CompactionPolicy.plans(
            for: describe(entries, retained, settledMayGo: isRidOfSources),
            context(entries, retained, isExplicit: isExplicit))
        for plan in plans {
            var handles = entries[plan.segments].compactMap { entry -> SegmentHandle? in
                if case .sealed(let handle) = entry { handle } else { nil }
            }
            guard handles.count == plan.segments.count else { continue }
            if plan.segments.upperBound == entries.count, handles.count > 1, Compactor.addsKinds(handles) {
                handles.removeLast()
            }
            // Together they can't be written anew: each for itself, and never joined.
            if handles.count > 1, !alone.isDisjoint(with: handles.map(\.summary.segment)) {
                if plan.reason == .merge { continue }
                return try carryOutAlone(handles, retained, isExplicit: isExplicit, &report, goesOn)
            }
            return try carryOut(handles, retained, isExplicit: isExplicit, &report, goesOn)
        }
        return .nothing
    }

    /// Writes segments anew as one; where one of them can't be read, each for itself. Call with `working` held.
    private func carryOut(
        _ handles: [SegmentHandle], _ retained: Retained, isExplicit: Bool, _ report: inout CompactionReport,
        _ goesOn: @escaping (CompactionReport) -> Bool
    ) throws(StoreError) -> Step {
        func areThere() -> Bool { Compactor.areThere(handles, in: catalog.view().entries) }
        let reason: String
        do throws(RewriteError) {
            let before = report
            var done: UInt64 = 0
            let written = try rewrite(handles, retained, isExplicit: isExplicit) { bytes throws(IOFailure) in
                done += bytes
                var now = before
                now.bytesWritten += done
                // What was dropped meanwhile takes its blocks as long as it is read.
                if !isExplicit, !areThere() { return false }
                return self.mayWrite(bytes, isExplicit: isExplicit) && goesOn(now)
            }
            if let written {
                report.add(handles, written)
                // Where nothing was gained nothing would be the next time.
                if case .segment(let segment) = written,
                    segment.byteCount >= handles.reduce(0, { $0.addingClamped($1.trailer.fileLength) })
                {
                    passedOver.insert(segment.summary.segment)
                }
                return .done
            }
            // Something has changed meanwhile, or the log's end holds nothing and stays: not again in this pass.
            passedOver.formUnion(handles.map(\.summary.segment))
            return isExplicit ? .done : .stopped
        } catch {
            switch error {
            case .cancelled: return isExplicit || areThere() ? .stopped : .done
            case .source(let error): reason = error.description
            case .unfaithful(let found), .doesNotFit(let found): reason = found
            case .writing(let failure):
                pipeline.poison(afterSync: failure)
                if !isExplicit, failure.passesWithSpace { return .stopped }
                throw .writing(failure)
            }
        }
        // One that was dropped meanwhile could not be opened: what is left is planned for anew.
        if !areThere() { return .done }
        if handles.count == 1 {
            refuse(handles[0], reason, &report)
            return .done
        }
        alone.formUnion(handles.map(\.summary.segment))
        return try carryOutAlone(handles, retained, isExplicit: isExplicit, &report, goesOn)
    }

    /// Writes each of some segments anew. Call with `working` held.
    private func carryOutAlone(
        _ handles: [SegmentHandle], _ retained: Retained, isExplicit: Bool, _ report: inout CompactionReport,
        _ goesOn: @escaping (CompactionReport) -> Bool
    ) throws(StoreError) -> Step {
        for handle in handles {
            let step = try carryOut([handle], retained, isExplicit: isExplicit, &report, goesOn)
            if step == .stopped { return .stopped }
        }
        return .done
    }

    /// Leaves a segment as it is from now on.
    private func refuse(_ handle: SegmentHandle, _ reason: String, _ report: inout CompactionReport) {
        refused.insert(handle.summary.segment)
        report.refused[handle.fileName] = reason
        diagnostics?(.maintenanceFailed("\(handle.fileName) is not compacted: \(reason)"))
    }

    /// Whether so many bytes may be written now. Waits where the rate is limited.
    private func mayWrite(_ bytes: UInt64, isExplicit: Bool) -> Bool {
        if !isExplicit {
            if let rate = bytesPerSecond, rate > 0, bytes > 0 {
                let nanoseconds = Double(bytes) / Double(rate) * 1e9
                monitor.lock()
                if !isStopping, waiters == 0 {
                    monitor.waitAsKeeper(nanoseconds: UInt64(min(nanoseconds, 1e10)))
                }
                monitor.unlock()
            }
            if isInterrupted { return false }
        } else if monitor.withLock({ isStopping }) {
            return false
        }
        // What is recorded comes first.
        guard let quota else { return true }
        return quota.freeBytes >= bytes.addingClamped(catalog.footerBytesMax)
    }

    /// Writes segments anew and removes them; nil: they changed meanwhile. What `retained` does not keep may be removed by now.
    private func rewrite(
        _ handles: [SegmentHandle], _ retained: Retained, isExplicit: Bool,
        _ announce: @escaping (UInt64) throws(IOFailure) -> Bool
    ) throws(RewriteError) -> RewriteOutcome? {
        let rewriter = rewriter(handles, retained, settings, announce)
        // Not what follows: locks are held for that.
        let outcome = isExplicit ? try rewriter.run() : try atLowestPriority(rewriter.run)
        let isLast = catalog.view().entries.last?.ordinal == handles.last?.summary.ordinal
        let isDone = try RewriteError.onDisk { () throws(IOFailure) in
            // What follows the log's last segment names it.
            if isLast {
                return try pipeline.asWriter { () throws(IOFailure) in
                    try maintenance.withLock { () throws(IOFailure) in try publish(handles, outcome) }
                }
            }
            return try maintenance.withLock { () throws(IOFailure) in try publish(handles, outcome) }
        }
        return isDone ? outcome : nil
    }

    private func rewriter(
        _ handles: [SegmentHandle], _ retained: Retained, _ settings: RewriteSettings,
        _ announce: @escaping (UInt64) throws(IOFailure) -> Bool
    ) -> SegmentRewriter {
        SegmentRewriter(
            sources: handles, retained: retained, settings: settings, directory: directory,
            fileSystem: fileSystem, sync: { file throws(IOFailure) in try file.sync() }, announce: announce)
    }

    /// The same for who holds `maintenance`, in a hurry: little is kept of these segments.
    func rewriteNow(_ handles: [SegmentHandle], _ retained: Retained) throws(IOFailure) -> Bool {
        var settings = RewriteSettings()
        settings.encoding.level = 0
        settings.usesDictionary = false
        settings.buildsFilters = false
        do throws(RewriteError) {
            let outcome = try rewriter(handles, retained, settings, { _ in true }).run()
            return try RewriteError.onDisk { () throws(IOFailure) in try publish(handles, outcome) }
        } catch {
            switch error {
            case .writing(let failure): throw failure
            case .source, .unfaithful, .doesNotFit, .cancelled: return false
            }
        }
    }

    /// Puts what was written in the place of its sources; false, and nothing has changed, where one of those is not there any more, or
    /// a segment that is being written relies on it. Call with `maintenance` held.
    private func publish(_ handles: [SegmentHandle], _ outcome: RewriteOutcome) throws(IOFailure) -> Bool {
        let entries = catalog.view().entries
        let isPoisoned = pipeline.monitor.withLock { pipeline.poisoned != nil }
        func giveUp() {
            if case .segment(let written) = outcome { try? fileSystem.unlink(written.temporaryPath) }
        }
        guard !isPoisoned, Compactor.areThere(handles, in: entries) else {
            giveUp()
            return false
        }
        do throws(IOFailure) {
            // Who has them in a snapshot goes on reading.
            for handle in handles { try handle.hold() }
        } catch {
            giveUp()
            throw error
        }
        let ordinals = Set(handles.map(\.summary.ordinal))
        switch outcome {
        case .nothing:
            // Its numbers stay known by what comes after.
            guard entries.last?.ordinal != handles.last?.summary.ordinal else { return false }
            for ordinal in ordinals { catalog.remove(ordinal) }
        case .segment(let written):
            let handle = try written.takeName(in: directory, fileSystem)
            if entries.last?.ordinal == handles.last?.summary.ordinal { writer.follow(written.summary) }
            catalog.replace(ordinals, with: handle)
            diagnostics?(
                .compacted(
                    segments: ordinals.sorted(),
                    bytesBefore: handles.reduce(0) { $0 + $1.trailer.fileLength },
                    bytesAfter: written.byteCount))
        }
        for handle in handles { reclaimer.unlink(handle) }
        try fileSystem.syncDirectory(directory)
        return true
    }

    /// Whether the last of the segments lacks kinds of the others. The log's last segment must keep the kinds it has: what `TAIL` holds
    /// goes on counting from there.
    private static func addsKinds(_ handles: [SegmentHandle]) -> Bool {
        func kinds(_ handle: SegmentHandle) -> [EventKind]? {
            (try? handle.load().index).map { $0.kinds.map { EventKind($0.definition) } }
        }
        guard let last = handles.last.flatMap(kinds) else { return true }
        let known = Set(last)
        return handles.dropLast().contains { !(kinds($0).map { known.isSuperset(of: $0) } ?? false) }
    }

    private static func areThere(_ handles: [SegmentHandle], in entries: [Catalog.Entry]) -> Bool {
        handles.allSatisfy { handle in
            entries.position(of: handle).map { !entries.isReliedOn(at: $0) } ?? false
        }
    }

    // MARK: The policy's view

    /// A settled segment hides what it was made of, as long as that is there: it stays until then.
    private func describe(
        _ entries: [Catalog.Entry], _ retained: Retained, settledMayGo: Bool
    ) -> [CompactionPolicy.Segment] {
        entries.enumerated().map { number, entry in
            let summary = entry.summary
            var segment = CompactionPolicy.Segment(
                ordinal: summary.ordinal, fileBytes: summary.dataBytes, dataBytes: summary.dataBytes,
                rawBytes: summary.rawBytes, eventCount: summary.eventCount, liveEvents: summary.eventCount,
                liveBytes: summary.dataBytes, blockCount: summary.blockCount,
                eventBlockCount: summary.eventBlockCount, isSettled: summary.isSettled,
                writtenAt: summary.sealedAt, baseSequence: summary.baseSequence,
                nextSequence: summary.nextSequence, isPinnedDown: true)
            guard case .sealed(let handle) = entry, !refused.contains(summary.segment),
                !passedOver.contains(summary.segment), settledMayGo || !summary.isSettled
            else { return segment }
            segment.fileBytes = handle.trailer.fileLength
            if entries.isReliedOn(at: number) { return segment }
            segment.isPinnedDown = false
            let mayBeDead =
                !retained.keepsAll(summary.sequences)
                || summary.checkpointCount > 0 && summary.checkpointsMade < retained.headCheckpoint
            guard mayBeDead, let index = try? entry.load().index else { return segment }
            let live = SegmentRewriter.live(index, retained)
            (segment.liveBytes, segment.liveEvents) = (live.bytes, live.events)
            return segment
        }
    }

    private func context(
        _ entries: [Catalog.Entry], _ retained: Retained, isExplicit: Bool
    ) -> CompactionPolicy.Context {
        let limits = retention.limits
        var context = CompactionPolicy.Context()
        context.targetBytes = segmentBytes
        context.byteLimit = limits.bytes.map { $0 - reclaimer.reserveBytes }
        context.usedBytes = quota?.usedBytes ?? 0
        context.eventLimit = limits.events
        context.headSequence = retained.headSequence
        context.nextSequence = entries.map(\.summary.nextSequence).max() ?? 0
        context.ageLimit = limits.ageNanoseconds
        context.now = fileSystem.now()
        context.isExplicit = isExplicit
        if let quota {
            let footers = catalog.footerBytesMax
            context.temporaryBytesMax = quota.freeBytes > footers ? quota.freeBytes - footers : 0
        }
        return context
    }
}

/// What compaction has done.
public struct CompactionReport: Hashable, Sendable {
    /// Segments that were written anew, and what they became.
    public internal(set) var segmentsBefore = 0, segmentsAfter = 0
    /// Bytes of their files, before and after.
    public internal(set) var bytesBefore: UInt64 = 0, bytesAfter: UInt64 = 0
    /// Bytes written so far.
    public internal(set) var bytesWritten: UInt64 = 0
    /// Events and checkpoints that the limits have dropped since the store was opened.
    public internal(set) var droppedEvents: UInt64 = 0, droppedCheckpoints: UInt64 = 0
    /// Files that were left as they are, and why.
    public internal(set) var refused: [String: String] = [:]
    /// Whether there was nothing left to do: false when it was cancelled.
    public internal(set) var isComplete = false

    init() {}

    mutating func add(_ handles: [SegmentHandle], _ outcome: RewriteOutcome) {
        segmentsBefore += handles.count
        bytesBefore += handles.reduce(0) { $0 + $1.trailer.fileLength }
        if case .segment(let written) = outcome {
            segmentsAfter += 1
            bytesAfter += written.byteCount
            bytesWritten += written.byteCount
        }
    }
}
