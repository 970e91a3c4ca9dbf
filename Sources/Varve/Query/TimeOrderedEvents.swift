/// The events of a query by their time: `while let event = try events.next()`. Of events of one time the one recorded first comes first;
/// a reversed query gives all of it backwards.
///
/// It holds the events of those blocks whose times overlap: a block or two where times go up with few exceptions. A block with an event
/// that is far too early is held from then on. One thread uses it.
public final class TimeOrderedEvents {
    /// Where an event, or the first that a block may have, comes; less is sooner, in the direction of the query.
    private struct Key: Comparable {
        let time: Int64
        let sequence: UInt64

        init(_ time: Int64, _ sequence: UInt64, isReversed: Bool) {
            // The complement turns the order around, and never overflows.
            self.time = isReversed ? ~time : time
            self.sequence = isReversed ? ~sequence : sequence
        }

        static func < (left: Key, right: Key) -> Bool {
            left.time != right.time ? left.time < right.time : left.sequence < right.sequence
        }
    }

    private struct Held: Comparable {
        let key: Key
        /// Where the event is.
        let slot: Int

        static func < (left: Held, right: Held) -> Bool { left.key < right.key }
    }

    private let core: CursorCore
    private let isReversed: Bool
    private let blocks: [(start: Key, block: CursorCore.Candidate)]
    private var nextBlock = 0
    private var remaining: UInt64
    private var heap = Heap<Held>()
    private var events: [Event?] = []
    private var freeSlots: [Int] = []
    /// The most events that were held at a time.
    private(set) var heldMax = 0

    init(_ snapshot: Snapshot, _ query: Query) throws(StoreError) {
        let isReversed = query.isReversed
        var forward = query
        forward.isReversed = false
        forward.limit = nil
        let core = try CursorCore(snapshot, forward)
        self.core = core
        self.isReversed = isReversed
        remaining = query.limit ?? .max
        let time = query.time ?? Int64.min...Int64.max
        blocks = try core.candidateBlocks().map { block in
            let start =
                isReversed
                ? Key(
                    min(block.times.upperBound, time.upperBound), block.sequences.upperBound - 1,
                    isReversed: true)
                : Key(
                    max(block.times.lowerBound, time.lowerBound), block.sequences.lowerBound,
                    isReversed: false)
            return (start, block)
        }.sorted { $0.start < $1.start }
    }

    /// The next event; nil after the last. Damage is no error: see `coverage`. Throws `StoreError` when the system refuses to read.
    public func next() throws(StoreError) -> Event? {
        guard remaining > 0 else { return nil }
        // What an event that is held must come before is held too.
        while nextBlock < blocks.count, heap.first.map({ blocks[nextBlock].start < $0.key }) ?? true {
            try core.load(blocks[nextBlock].block) { hold($0.event) }
            nextBlock += 1
        }
        guard let first = heap.popFirst(), let event = events[first.slot] else { return nil }
        events[first.slot] = nil
        freeSlots.append(first.slot)
        remaining -= 1
        return event
    }

    private func hold(_ event: Event) {
        let slot: Int
        if let free = freeSlots.popLast() {
            slot = free
            events[slot] = event
        } else {
            slot = events.count
            events.append(event)
        }
        heap.insert(
            Held(key: Key(event.timestamp, event.sequence, isReversed: isReversed), slot: slot))
        heldMax = max(heldMax, heap.count)
    }

    /// What is missing in the answer so far: known gaps of the range asked for, and damage met on the way.
    public var coverage: Coverage { core.coverage }

    /// What the query did so far.
    public var statistics: QueryStatistics { core.statistics }
}

extension Snapshot {
    /// The events that match, by their time. O(blocks) before the first one; no block is read before its time comes.
    ///
    /// Errors: as `cursor`.
    public func eventsByTime(_ query: Query = Query()) throws(StoreError) -> TimeOrderedEvents {
        try TimeOrderedEvents(self, query)
    }
}
