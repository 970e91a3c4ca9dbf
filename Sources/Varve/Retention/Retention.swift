internal import VarveFormat

/// What a writer knows of retention: limits, pins, and what they keep of what was recorded. Any thread may call.
///
/// Its monitor is taken last, with none of the catalog's; an index may be read while it is held.
final class Retention: @unchecked Sendable {
    private let monitor = Monitor()
    private let catalog: Catalog
    // Guarded by the monitor.
    private var count: RetentionCount
    private var orders: StandingOrders
    /// The last item that is counted.
    private var countedItem: UInt64 = 0
    /// The number after its last event that is counted.
    private var countedSequence: UInt64 = 0
    /// The last events that are counted: the catalog may not show them yet.
    private var countedRun: RetentionCount.Run?

    init(_ catalog: Catalog, _ orders: StandingOrders, count: RetentionCount) {
        self.catalog = catalog
        self.orders = orders
        self.count = count
    }

    /// The limits in force. They do not change while the store is open.
    var limits: RetentionLimits { monitor.withLock { orders.limits } }
    /// Limits and pins in force.
    var standing: StandingOrders { monitor.withLock { orders } }
    /// What is retained of what was written.
    var retained: Retained { monitor.withLock { count.retained } }
    /// Retained events, and those dropped since opening.
    var figures: (events: UInt64, droppedEvents: UInt64, droppedCheckpoints: UInt64) {
        monitor.withLock { (count.events, count.droppedEvents, count.droppedCheckpoints) }
    }
    /// Limits that pins make unreachable.
    var unreachable: [RetentionLimit] {
        monitor.withLock {
            (count.keepsTooManyEvents ? [.events] : [])
                + (count.keepsTooManyCheckpoints ? [.checkpoints] : [])
        }
    }

    /// Counts an item that is about to be written, once; what is retained after it. The catalog shows all items before it.
    func add(_ item: PendingItem) -> Retained {
        monitor.withLock {
            if item.number > countedItem {
                countedItem = item.number
                if let batch = item.batch {
                    countedSequence = batch.start.nextSequence + UInt64(batch.count)
                    countedRun = batch.run(batch.count)
                }
                var source = LogSource(lazily: catalog)
                Retention.add(item, to: &count, &source)
            }
            return count.retained
        }
    }

    private static func add(_ item: PendingItem, to count: inout RetentionCount, _ source: inout LogSource) {
        switch item.content {
        case .batch(let batch): count.add(batch.run(batch.count), &source)
        case .control(.checkpoint(let record, _)): count.add(record)
        case .control(.sessionBegin(let begin)): count.begin(begin, &source)
        case .control(.sessionEnd(let end)): count.end(end.ordinal, &source)
        case .control: break
        }
    }

    /// What the catalog shows, and what is retained once these are written, too. Nil where something is counted that is neither in the catalog
    /// nor among these: it is being written, and was queued after they were looked at.
    func view(
        with items: [PendingItem], open: (batch: Batch, count: Int)?
    ) -> (entries: [Catalog.Entry], item: UInt64, retained: Retained)? {
        monitor.withLock {
            let (entries, shown) = catalog.view()
            guard countedItem <= max(shown, items.last?.number ?? 0) else { return nil }
            var ahead = count
            var source = LogSource(lazily: catalog)
            if let countedRun { source.latest.append(countedRun) }
            for item in items where item.number > countedItem { Retention.add(item, to: &ahead, &source) }
            // It may have been handed over, and counted, since it was looked at.
            if let open, open.batch.start.nextSequence >= countedSequence {
                ahead.add(open.batch.run(open.count), &source)
            }
            return (entries, shown, ahead.retained)
        }
    }

    /// Moves the heads up to these. Without a limit on checkpoints those that go are not counted here: they are `uncounted`.
    func raise(head: UInt64, checkpoint: UInt64, uncounted: UInt64) {
        monitor.withLock {
            var source = LogSource(lazily: catalog)
            count.raise(head: head, checkpoint: checkpoint, uncounted: uncounted, &source)
        }
    }

    /// Pins or unpins something from what is retained now on; the record to be written, nil where that changes nothing. Call in the writer's
    /// turn, with all written that was appended before.
    func pin(_ change: (Retained) -> Pin?, isPinned: Bool) -> LedgerRecord? {
        monitor.withLock {
            guard let pin = change(count.retained) else { return nil }
            let before = orders.pins
            orders.pins.apply(pin, isPinned: isPinned)
            guard orders.pins != before else { return nil }
            recount()
            return .pin(pin, isPinned: isPinned)
        }
    }

    /// Pins what was pinned before a change that could not be recorded. Call in the writer's turn.
    func restore(_ pins: [Pin]) {
        monitor.withLock {
            orders.pins = pins
            recount()
        }
    }

    /// Counts again what the catalog shows, with the pins in force. Call with the monitor held, in the writer's turn: what is counted and
    /// not shown is counted when it is written.
    private func recount() {
        var retained = count.retained
        retained.pins = orders.pins
        // Unpinned, what lies below the heads goes at once.
        let earlier = count
        let (entries, item) = catalog.view()
        count = RetentionCount(
            entries, limits: orders.limits, retained: retained, unfinished: earlier.unfinished)
        count.goOn(after: earlier)
        countedItem = item
        countedSequence = entries.map(\.summary.nextSequence).max() ?? 0
    }
}

extension Batch {
    /// Its first events.
    func run(_ count: Int) -> RetentionCount.Run {
        RetentionCount.Run(
            sequences: start.nextSequence..<start.nextSequence + UInt64(count), session: start.sessionOrdinal)
    }
}
