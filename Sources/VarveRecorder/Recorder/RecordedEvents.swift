public import Varve

/// Events of one session as they were when they were asked for: nothing is read before it is needed.
public struct RecordedEvents: Sendable {
    let snapshot: Snapshot
    let query: Query
    /// Those with an index in it.
    var indices: Range<UInt64>?
    /// Whether the highest index is among them.
    var hasHighest = true
    /// Whether indices go up with sequence numbers.
    let isAscending: Bool

    /// Whether events that the limits have evicted belong here too.
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

    /// Steps through them as they are stored, whatever they are, until `body` says that it has enough.
    ///
    /// Returns what of them could not be read; what is known to be missing behind them does not count. Errors: `StoreError`, and what
    /// `body` throws.
    package func forEachStored(_ body: (borrowing EventView) throws -> Bool) throws -> [Gap] {
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
        return cursor.coverage.gaps.filter { $0.sequences.lowerBound < end }
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
        while true {
            let found: (sequence: UInt64, index: UInt64, result: Result<RecordedEvent, SessionJSONError>)?
            do throws(StoreError) {
                guard let view = try cursor.next() else { return nil }
                let index = view.index
                if events.ends(before: index) { return nil }
                guard events.includes(index) else { continue }
                let timestamp = view.timestamp
                let decoded: Result<AppEvent, SessionJSONError> = view.withUnsafeBytes { bytes in
                    do throws(SessionJSONError) {
                        return .success(try decoder.event(bytes))
                    } catch { return .failure(error) }
                }
                found = (
                    view.sequence, index,
                    decoded.map { RecordedEvent(index: index, timestamp: timestamp, event: $0) }
                )
            } catch {
                throw .store(error)
            }
            guard let found else { return nil }
            switch found.result {
            case .success(let event): return event
            case .failure(let error):
                throw .unreadable(sequence: found.sequence, reason: error.description)
            }
        }
    }

    /// Whether what was read is all there was, or what could not be read.
    public var coverage: Coverage { cursor.coverage }
}
