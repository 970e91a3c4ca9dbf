public import Varve

/// Events of one session as they were when they were asked for: nothing is read before it is needed.
public struct RecordedEvents: AsyncSequence, Sendable {
    /// Events as they were recorded.
    public typealias Element = RecordedEvent
    /// What is thrown when an event can't be read.
    public typealias Failure = RecorderError

    let snapshot: Snapshot
    let query: Query
    /// Those with an index in it.
    var indices: Range<UInt64>?
    /// Whether the highest index is among them.
    var hasHighest = true
    /// Whether indices go up with sequence numbers.
    let isAscending: Bool

    /// Whether events that the recorder's limits have evicted, or the store's dropped, belong here too.
    public let isPartial: Bool

    /// Reads them, in the order recorded.
    ///
    /// Errors: `RecorderError.store` when a segment's index can't be read for a reason other than damage.
    public func cursor() throws(RecorderError) -> RecordedEventCursor {
        do throws(StoreError) {
            return RecordedEventCursor(cursor: try snapshot.cursor(query), events: self)
        } catch {
            throw .store(error)
        }
    }

    /// Hands them over one after the other. Errors: as `RecordedEventCursor.next`, and what `body` throws.
    public func forEach(_ body: (RecordedEvent) throws -> Void) throws {
        var cursor = try cursor()
        while let event = try cursor.next() { try body(event) }
    }

    /// All of them, in memory. Errors: as `RecordedEventCursor.next`.
    public func all() throws(RecorderError) -> [RecordedEvent] {
        var events: [RecordedEvent] = []
        var cursor = try cursor()
        while let event = try cursor.next() { events.append(event) }
        return events
    }

    /// Hands them over as `for try await event in events`, with reading and decoding between the events on the caller's thread.
    /// Copies share a position.
    public struct AsyncIterator: AsyncIteratorProtocol {
        private final class Reader {
            var cursor: RecordedEventCursor
            init(_ cursor: consuming RecordedEventCursor) { self.cursor = cursor }
        }

        private let events: RecordedEvents
        private var reader: Reader?

        init(_ events: RecordedEvents) { self.events = events }

        /// The next event; nil after the last. Errors: as `RecordedEventCursor.next`.
        public mutating func next() async throws(RecorderError) -> RecordedEvent? {
            try await next(isolation: nil)
        }

        /// The same, without leaving the caller's actor.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(RecorderError)
            -> RecordedEvent?
        {
            if reader == nil { reader = Reader(try events.cursor()) }
            return try reader?.cursor.next()
        }
    }

    /// Starts at the first event; iterators don't share a position.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(self) }

    /// Steps through them as they are stored, whatever they are, until `body` says that it has enough.
    ///
    /// Returns what of them could not be read, and what was done for it; what is known to be missing behind them does not count.
    /// Errors: `StoreError`, and what `body` throws.
    package func forEachStored(_ body: (borrowing EventView) throws -> Bool) throws -> (
        gaps: [Gap], statistics: QueryStatistics
    ) {
        var cursor = try snapshot.cursor(query)
        var end = UInt64.max
        while let event = try cursor.next() {
            if ends(before: event.index) {
                end = event.sequence
                break
            }
            guard includes(event.index) else { continue }
            if try !body(event) { break }
        }
        return (cursor.coverage.gaps.filter { $0.sequences.lowerBound < end }, cursor.statistics)
    }

    func includes(_ index: UInt64) -> Bool {
        guard let indices else { return true }
        return index >= indices.lowerBound
            && (index < indices.upperBound || (hasHighest && indices.upperBound == .max))
    }

    /// Whether no later event can be among them.
    func ends(before index: UInt64) -> Bool {
        guard isAscending, let indices else { return false }
        return index >= indices.upperBound && !(hasHighest && indices.upperBound == .max)
    }
}

/// Steps through recorded events. For one thread.
public struct RecordedEventCursor: ~Copyable {
    private var cursor: EventCursor
    private let events: RecordedEvents
    private let decoder = EventDecoder()

    init(cursor: consuming EventCursor, events: RecordedEvents) {
        self.cursor = cursor
        self.events = events
    }

    /// The next event; nil after the last.
    ///
    /// Errors: `RecorderError.store` when the system refuses to read; `unreadable` for an event that is none of a recorder's: JSON with
    /// a `type` and what belongs to that.
    public mutating func next() throws(RecorderError) -> RecordedEvent? {
        let (events, decoder) = (events, decoder)
        do {
            while let view = try cursor.next() {
                let index = view.index
                if events.ends(before: index) { return nil }
                if events.includes(index) { return try view.recordedEvent(decoder) }
            }
            return nil
        } catch let error as RecorderError {
            throw error
        } catch {
            // The cursor throws nothing else.
            throw .store(error as? StoreError ?? .closed)
        }
    }

    /// Whether what was read is all there was, or what could not be read.
    public var coverage: Coverage { cursor.coverage }
}

extension EventView {
    /// The event as a recorder's. Errors: `unreadable` for one that is none: JSON with a `type` and what belongs to that.
    func recordedEvent(_ decoder: EventDecoder) throws(RecorderError) -> RecordedEvent {
        do throws(SessionJSONError) {
            let event = try withUnsafeBytes { bytes throws(SessionJSONError) in try decoder.event(bytes) }
            return RecordedEvent(index: index, timestamp: timestamp, event: event)
        } catch {
            throw .unreadable(sequence: sequence, reason: error.description)
        }
    }
}
