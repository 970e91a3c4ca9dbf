internal import VarveFormat
internal import VarveIO

/// The background thread of a writer: hands idle batches over, syncs at the interval, seals complete segments, gives crashed
/// ones their footers, and tries again after a stall.
final class Keeper: @unchecked Sendable {
    /// How long a batch stays open at most; twice that is the most until it is written.
    private static let idleNanoseconds: UInt64 = 100_000_000

    private let pipeline: Pipeline
    private let tail: Tail
    private let writer: SegmentWriter
    private let catalog: Catalog
    private let reclaimer: Reclaimer
    private let compactor: Compactor
    private let directory: String
    private let options: StoreOptions
    /// Segments of earlier openings without a footer. Taken before anything is appended: one that this opening has just finished,
    /// and that waits for its footer, is none of them.
    private let crashed: [OpenSegment]
    /// When limits were last looked at that time alone makes due. The thread's own.
    private var lastLook: UInt64 = 0
    /// The same for the limit of age, and how long it may be until the next look.
    private var lastAged: UInt64 = 0
    private let agedInterval: UInt64

    init(
        pipeline: Pipeline, tail: Tail, writer: SegmentWriter, catalog: Catalog, reclaimer: Reclaimer,
        compactor: Compactor, directory: String, options: StoreOptions
    ) {
        self.pipeline = pipeline
        self.tail = tail
        self.writer = writer
        self.catalog = catalog
        self.reclaimer = reclaimer
        self.compactor = compactor
        self.directory = directory
        self.options = options
        crashed = catalog.unsealed.filter(\.isContiguous)
        // Each time that something goes is synced: a thousandth of the limit is exact enough, and a minute where that is less.
        agedInterval = min(max((options.limits?.ageNanoseconds ?? 0) / 1000, 1_000_000_000), 60_000_000_000)
    }

    /// Runs until `isStopping`, which is asked with the pipeline's monitor held.
    func run(isStopping: () -> Bool) {
        let interval: UInt64? =
            if case .interval(let nanoseconds) = options.durability { nanoseconds } else { nil }
        var lastSync = options.fileSystem.monotonic()
        // Gone through once.
        var crashed = crashed
        while true {
            let isAwaited = pipeline.monitor.withLock {
                pipeline.retireAged()
                return pipeline.awaitsOpenBatch
            }
            let isOpen = tail.handOverIfOlder(than: isAwaited ? 0 : Keeper.idleNanoseconds)
            var isPutOff = !seal()
            if !retain() { isPutOff = true }
            if !reclaimer.letGo() { isPutOff = true }
            pipeline.monitor.lock()
            if isStopping() {
                pipeline.monitor.unlock()
                return
            }
            pipeline.retryStalled()
            let now = options.fileSystem.monotonic()
            let isDue = interval.map { now &- lastSync >= $0 } ?? false
            if pipeline.hasDurabilityWaiters || (isDue && pipeline.needsSync) {
                lastSync = now
                pipeline.syncIfNeeded()
            }
            let isBusy =
                isOpen || isPutOff || pipeline.isBusy || pipeline.hasDurabilityWaiters
                || pipeline.stalled != nil
                || (interval != nil && pipeline.needsSync)
            if pipeline.isAwaited {
                // Somebody came while something was synced.
                pipeline.monitor.unlock()
            } else if isBusy || !crashed.isEmpty {
                pipeline.waitAsKeeper(
                    nanoseconds: min(interval ?? Keeper.idleNanoseconds, Keeper.idleNanoseconds))
                pipeline.monitor.unlock()
            } else {
                pipeline.monitor.unlock()
                if tail.letTickerSleep() {
                    pipeline.monitor.lock()
                    // What was opened before this was taken has cleared the mark, and is seen at the next round.
                    let isQuiet =
                        !pipeline.isBusy && !pipeline.hasDurabilityWaiters && pipeline.stalled == nil
                        && (interval == nil || !pipeline.needsSync)
                    if !isStopping(), isQuiet, tail.tickerMaySleep {
                        pipeline.waitAsKeeper(
                            nanoseconds: min(
                                60_000_000_000, max(options.segmentAgeNanoseconds ?? .max, 2_000_000_000)))
                    }
                    pipeline.monitor.unlock()
                }
            }
            if let segment = crashed.popLast(), isHealthy { reseal(segment) }
        }
    }

    /// No sync has failed: after one nothing is synced again.
    private var isHealthy: Bool { pipeline.monitor.withLock { pipeline.poisoned == nil } }

    /// False: somebody else seals or makes room, and it is put off. Syncs should not wait for it.
    private func seal() -> Bool {
        guard writer.hasRetired, isHealthy else { return true }
        if writer.isSealing { return false }
        do throws(IOFailure) {
            for sealed in try writer.sealRetired() {
                compactor.wake()
                options.diagnostics?(.sealed(segment: sealed.ordinal, bytes: sealed.dataBytes))
            }
        } catch {
            pipeline.poison(afterSync: error)
            // The data are synced and stay as they are; the footer is tried again.
            if error.operation != .sync { options.diagnostics?(.maintenanceFailed(error.description)) }
        }
        return true
    }

    /// Drops what the limits ask for, and removes what they have dropped. Where somebody changes files it is put off for a while: syncs
    /// should not wait. False: it is.
    private func retain() -> Bool {
        guard isHealthy else { return true }
        if reclaimer.isBusy, options.fileSystem.monotonic() &- lastLook < 5_000_000_000 { return false }
        do throws(IOFailure) {
            let now = options.fileSystem.monotonic()
            if now &- lastLook >= 1_000_000_000 {
                lastLook = now
                try reclaimer.removeLeftovers()
                if now &- lastAged >= agedInterval {
                    lastAged = now
                    try reclaimer.dropAged()
                }
                do throws(IOFailure) {
                    try reclaimer.leaveFree(path: directory)
                } catch {
                    guard error.isOverQuota else { throw error }
                }
            }
            try reclaimer.removeDead(pipeline.monitor.withLock { pipeline.watermark.retained })
        } catch {
            pipeline.poison(afterSync: error)
            options.diagnostics?(.maintenanceFailed(error.description))
        }
        reclaimer.reportUnreachable()
        reclaimer.tellLedger(tail.record)
        return true
    }

    private func reseal(_ segment: OpenSegment) {
        do throws(IOFailure) {
            let handle = try RecoveryWorker.reseal(
                segment, directory: directory, fileSystem: options.fileSystem)
            catalog.replace([handle.summary.ordinal], with: handle)
        } catch {
            pipeline.poison(afterSync: error)
            options.diagnostics?(.maintenanceFailed(error.description))
        }
    }
}
