/// The events of several stores in one order of time: `while let merged = try events.next()`.
///
/// Of events of one time those of the first source come first, and within a source the one recorded first; reversed queries give all of
/// it backwards. One thread uses it.
public final class MergedEvents {
    /// Where events come from.
    public struct Source: Sendable {
        /// What it is called.
        public var label: String
        /// The events of this view.
        public var snapshot: Snapshot
        /// That match this. Its `time` is in the time of all, and so moves with the shift; its limit is this source's own.
        public var query: Query
        /// Nanoseconds to add to this source's times: by how much its clock was slow.
        public var shift: Int64

        /// A source.
        public init(label: String, snapshot: Snapshot, query: Query = Query(), shift: Int64 = 0) {
            self.label = label
            self.snapshot = snapshot
            self.query = query
            self.shift = shift
        }
    }

    /// An event, and where and when it is in the whole.
    public struct Element: Hashable, Sendable {
        /// Which of the sources it comes from.
        public let source: Int
        /// The event as it was recorded, with its own time.
        public let event: Event
        /// Its time and the source's shift; held at the ends of what 64 bits hold.
        public let timestamp: Int64
    }

    private struct Head: Comparable {
        let time: Int64
        let source: Int
        let element: Element

        static func == (left: Head, right: Head) -> Bool {
            left.time == right.time && left.source == right.source
        }

        static func < (left: Head, right: Head) -> Bool {
            left.time != right.time ? left.time < right.time : left.source < right.source
        }
    }

    /// The sources, as they were given.
    public let sources: [Source]
    private let events: [TimeOrderedEvents]
    private let isReversed: Bool
    private var remaining: UInt64
    private var heads = Heap<Head>()
    /// Sources of which no event is among the heads, and that may have one.
    private var empty: [Int]

    /// At most `limit` events in all. Throws `invalid` when some queries are reversed and others are not; otherwise as
    /// `Snapshot.eventsByTime`.
    public init(_ sources: [Source], limit: UInt64? = nil) throws(StoreError) {
        isReversed = sources.first?.query.isReversed ?? false
        for source in sources where source.query.isReversed != isReversed {
            throw .invalid(what: "queries to merge", reason: "some are reversed, and others are not")
        }
        self.sources = sources
        var events: [TimeOrderedEvents] = []
        for source in sources {
            events.append(try source.snapshot.eventsByTime(source.query.timesShifted(by: source.shift)))
        }
        self.events = events
        remaining = limit ?? .max
        empty = Array(sources.indices)
    }

    /// The next event; nil after the last. Errors: as `TimeOrderedEvents.next`.
    public func next() throws(StoreError) -> Element? {
        guard remaining > 0 else { return nil }
        while let source = empty.last {
            if let event = try events[source].next() {
                let time = event.timestamp.addingClamped(sources[source].shift)
                heads.insert(
                    Head(
                        time: isReversed ? ~time : time, source: isReversed ? ~source : source,
                        element: Element(source: source, event: event, timestamp: time)))
            }
            // After it was read: where the system refuses, the next call tries again.
            empty.removeLast()
        }
        guard let head = heads.popFirst() else { return nil }
        empty.append(head.element.source)
        remaining -= 1
        return head.element
    }

    /// What was done for a source's part of the answer so far.
    public func statistics(ofSource source: Int) -> QueryStatistics { events[source].statistics }

    /// What is missing in a source's part of the answer so far.
    public func coverage(ofSource source: Int) -> Coverage { events[source].coverage }
}

extension Query {
    /// The query for a source whose times are that much less than the times meant.
    fileprivate func timesShifted(by shift: Int64) -> Query {
        guard let time, shift != 0 else { return self }
        // Ends that are none stay so.
        let (lower, isLowerOver) = time.lowerBound.subtractingReportingOverflow(shift)
        let (upper, isUpperOver) = time.upperBound.subtractingReportingOverflow(shift)
        // Too late for any event, or too early for any.
        if isLowerOver, shift < 0, time.lowerBound != .min { return limit(0) }
        if isUpperOver, shift > 0, time.upperBound != .max { return limit(0) }
        let first = time.lowerBound == .min || isLowerOver ? .min : lower
        let last = time.upperBound == .max || isUpperOver ? .max : upper
        return self.time(first...last)
    }
}

extension Int64 {
    /// The sum, or the end of the range that it is beyond.
    fileprivate func addingClamped(_ other: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other > 0 ? .max : .min) : sum
    }
}
