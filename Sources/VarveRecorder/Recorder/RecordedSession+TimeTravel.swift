public import Varve
import VarveJSON

extension RecordedSession {
    /// A point in a session.
    public enum Moment: Hashable, Sendable {
        /// Before the event with this index: after all those with a lower one.
        case index(UInt64)
        /// After everything that was recorded up to this time.
        case time(Int64)

        /// After all indices that events before it may have.
        fileprivate var indexEnd: UInt64 {
            switch self {
            case .index(let index): index
            case .time: .max
            }
        }
    }

    /// The checkpoint nearest to a moment, at it or before it; nil: there is none, the session's own beginning is nearest.
    public func checkpoint(before moment: Moment) -> Checkpoint? { checkpoints(before: moment).first }

    /// All checkpoints at a moment or before it, the nearest first.
    private func checkpoints(before moment: Moment) -> [Checkpoint] {
        switch moment {
        case .index(let index):
            // Of several at the same index the last one made.
            allCheckpoints.enumerated().filter { $0.element.eventIndex <= index }
                .sorted { ($0.element.eventIndex, $0.offset) > ($1.element.eventIndex, $1.offset) }
                .map(\.element)
        case .time(let time): allCheckpoints.filter { $0.timestamp <= time }.reversed()
        }
    }

    /// The nearest checkpoint at a moment or before it whose state can be read, and those nearer ones whose can't.
    package func readableCheckpoint(before moment: Moment) throws(RecorderError) -> (
        found: (checkpoint: Checkpoint, state: [UInt8])?, damaged: [Checkpoint]
    ) {
        var damaged: [Checkpoint] = []
        for checkpoint in checkpoints(before: moment) {
            do throws(StoreError) {
                return ((checkpoint, try snapshot.state(of: checkpoint)), damaged)
            } catch {
                guard case .damaged = error else { throw .store(error) }
                damaged.append(checkpoint)
            }
        }
        return (nil, damaged)
    }

    /// What is known of a moment.
    public struct KnownState: Sendable {
        /// The nearest checkpoint at the moment or before it whose state can be read; nil: from the session's beginning.
        public let checkpoint: StateCheckpoint?
        /// The events since, up to the moment.
        public let events: RecordedEvents
        /// Checkpoints that are nearer, and damaged.
        public let damagedCheckpoints: [Checkpoint]
    }

    /// The nearest state at a moment or before it, and the events since. Errors: `RecorderError.store`; `unreadable` for a state that is
    /// no JSON.
    public func state(at moment: Moment) throws(RecorderError) -> KnownState {
        let (found, damaged) = try readableCheckpoint(before: moment)
        var checkpoint: StateCheckpoint?
        if let found { checkpoint = try StateCheckpoint(found.checkpoint, found.state) }
        return KnownState(
            checkpoint: checkpoint, events: events(after: found?.checkpoint, upTo: moment),
            damagedCheckpoints: damaged)
    }

    /// The events between a checkpoint (nil: the session's beginning) and a later moment, also those that a recorder's limits evicted.
    /// They are partial where the store's limits dropped some.
    public func events(after checkpoint: Checkpoint?, upTo moment: Moment) -> RecordedEvents {
        let start = checkpoint?.eventIndex ?? 0
        func isPartial(_ end: UInt64) -> Bool { start < end && dropped.overlaps(start..<end) }
        guard let first = info.firstSequence, let last = info.lastSequence else {
            return nothing(isPartial: isPartial(moment.indexEnd))
        }
        // The checkpoint of an import stands behind all events.
        let from = isAscending ? checkpoint?.sequence ?? first : first
        guard from <= last else { return nothing(isPartial: isPartial(moment.indexEnd)) }
        switch moment {
        case .index(let index):
            guard start < index else { return none }
            return events(
                in: start..<index, hasHighest: false, sequences: from...last, isPartial: isPartial(index))
        case .time(let time):
            return events(
                in: start..<UInt64.max, time: Int64.min...time, sequences: from...last,
                isPartial: isPartial(.max))
        }
    }

    /// What became of a state.
    public struct Fold<State> {
        /// The state at the moment asked for.
        public let state: State
        /// The checkpoint that it began from; nil: from the session's beginning.
        public let checkpoint: Checkpoint?
        /// How many events were applied after it.
        public let eventsApplied: UInt64
        /// What is missing between the two.
        public let coverage: Coverage
        /// Whether every event between the two was applied, as far as indices and what is known of gaps tell.
        public let isComplete: Bool
        /// What was read for it.
        public let statistics: QueryStatistics
    }

    /// The checkpoint with the state that the retained events begin with, or that is nearest before them; nil: there is none.
    ///
    /// A recorder's limits evict checkpoints from what is retained, never from the store: the state at any retained event is known.
    /// Reads the first retained event. Errors: `RecorderError.store`.
    public func baseCheckpoint() throws(RecorderError) -> Checkpoint? {
        var first: UInt64?
        do throws(StoreError) {
            var cursor = try snapshot.cursor(query)
            first = try cursor.next()?.index
        } catch {
            throw .store(error)
        }
        return checkpoint(before: .index(first ?? info.nextIndex))
    }

    /// The state at a moment: the nearest checkpoint's at it or before it, and each event after that applied to it. O(events after the
    /// checkpoint): blocks before it are not read, except in an import. A checkpoint whose state is damaged is passed over: from the one
    /// before it the fold is longer, and gives the same.
    ///
    /// - Parameters:
    ///   - moment: where in the session.
    ///   - initial: the state at the session's beginning, where no checkpoint is nearer.
    ///   - restore: makes a state from a checkpoint's.
    ///   - apply: applies one event.
    /// - Throws: `RecorderError`, and what the closures throw.
    public func fold<State>(
        at moment: Moment, from initial: @autoclosure () throws -> State,
        restore: (StateCheckpoint) throws -> State, apply: (inout State, RecordedEvent) throws -> Void
    ) throws -> Fold<State> {
        let decoder = EventDecoder()
        return try foldStored(at: moment, from: try initial()) { checkpoint, bytes in
            try restore(try StateCheckpoint(checkpoint, bytes))
        } apply: { state, view in
            try apply(&state, try view.recordedEvent(decoder))
        }
    }

    /// The same for a session of any store, whatever its payloads are: `restore` gets a state's bytes, and `apply` events as they are
    /// lent.
    ///
    /// - Throws: `RecorderError`, and what the closures throw.
    public func foldPayloads<State>(
        at moment: Moment, from initial: @autoclosure () throws -> State,
        restore: (Checkpoint, [UInt8]) throws -> State, apply: (inout State, EventView) throws -> Void
    ) throws -> Fold<State> {
        try foldStored(at: moment, from: try initial(), restore: restore) { state, view in
            try apply(&state, view)
        }
    }

    private func foldStored<State>(
        at moment: Moment, from initial: @autoclosure () throws -> State,
        restore: (Checkpoint, [UInt8]) throws -> State,
        apply: (inout State, borrowing EventView) throws -> Void
    ) throws -> Fold<State> {
        let found = try readableCheckpoint(before: moment).found
        var state = if let found { try restore(found.checkpoint, found.state) } else { try initial() }
        var applied: UInt64 = 0
        let read: (gaps: [Gap], statistics: QueryStatistics)
        do {
            read = try events(after: found?.checkpoint, upTo: moment).forEachStored { view in
                try apply(&state, view)
                applied += 1
                return true
            }
        } catch let error as StoreError {
            throw RecorderError.store(error)
        }
        let (gaps, isComplete) = try losses(
            after: found?.checkpoint, upTo: moment, count: applied, gaps: read.gaps)
        return Fold(
            state: state, checkpoint: found?.checkpoint, eventsApplied: applied,
            coverage: Coverage(gaps: gaps), isComplete: isComplete, statistics: read.statistics)
    }
}

extension StateCheckpoint {
    /// A stored one. Errors: `unreadable` for a state that is no JSON.
    init(_ checkpoint: Checkpoint, _ state: [UInt8]) throws(RecorderError) {
        do throws(JSONStreamError) {
            self.init(
                id: checkpoint.id, label: checkpoint.label, timestamp: checkpoint.timestamp,
                state: try RawJSON(state, depthMax: SessionJSON.depthMax - 3),
                eventIndex: checkpoint.eventIndex)
        } catch {
            throw .unreadable(
                sequence: checkpoint.sequence, reason: "the state of checkpoint \(checkpoint.id): \(error)")
        }
    }
}
