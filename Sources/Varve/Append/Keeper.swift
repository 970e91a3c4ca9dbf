internal import VarveFormat
internal import VarveIO

/// The background thread of a writer: hands idle batches over, syncs at the interval, seals complete segments, gives crashed
/// ones their footers, and tries again after a stall.
final class Keeper: Sendable {
    /// How long a batch stays open at most; twice that is the most until it is written.
    private static let idleNanoseconds: UInt64 = 100_000_000

    private let pipeline: Pipeline
    private let tail: Tail
    private let writer: SegmentWriter
    private let catalog: Catalog
    private let directory: String
    private let options: StoreOptions
    /// Segments of earlier openings without a footer. Taken before anything is appended: one that this opening has just finished,
    /// and that waits for its footer, is none of them.
    private let crashed: [OpenSegment]

    init(
        pipeline: Pipeline, tail: Tail, writer: SegmentWriter, catalog: Catalog, directory: String,
        options: StoreOptions
    ) {
        self.pipeline = pipeline
        self.tail = tail
        self.writer = writer
        self.catalog = catalog
        self.directory = directory
        self.options = options
        crashed = catalog.unsealed.filter(\.isContiguous)
    }

    /// Runs until `isStopping`, which is asked with the pipeline's monitor held.
    func run(isStopping: () -> Bool) {
        let interval: UInt64? =
            if case .interval(let nanoseconds) = options.durability { nanoseconds } else { nil }
        var lastSync = options.fileSystem.monotonic()
        // Gone through once.
        var crashed = crashed
        while true {
            let isOpen = tail.handOverIfOlder(than: Keeper.idleNanoseconds)
            pipeline.monitor.withLock { pipeline.retireAged() }
            seal()
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
                isOpen || pipeline.isBusy || pipeline.hasDurabilityWaiters || pipeline.stalled != nil
                || (interval != nil && pipeline.needsSync)
            if isBusy || !crashed.isEmpty {
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

    private func seal() {
        guard writer.hasRetired, isHealthy else { return }
        do throws(IOFailure) {
            for sealed in try writer.sealRetired() {
                options.diagnostics?(.sealed(segment: sealed.ordinal, bytes: sealed.dataBytes))
            }
        } catch {
            if error.operation == .sync {
                pipeline.poisonAfter(error)
            } else {
                // The data are synced and stay as they are; the footer is tried again.
                options.diagnostics?(.maintenanceFailed(error.description))
            }
        }
    }

    private func reseal(_ segment: OpenSegment) {
        do throws(IOFailure) {
            let handle = try RecoveryWorker.reseal(
                segment, directory: directory, fileSystem: options.fileSystem)
            catalog.replace(handle.summary.ordinal, with: handle)
        } catch {
            if error.operation == .sync { pipeline.poisonAfter(error) }
            options.diagnostics?(.maintenanceFailed(error.description))
        }
    }
}
