public import Varve

extension RecordedSession {
    /// A point in a session.
    public enum Moment: Hashable, Sendable {
        /// Before the event with this index: after all those with a lower one.
        case index(UInt64)
        /// After everything that was recorded up to this time.
        case time(Int64)
    }

    /// The checkpoint nearest to a moment, at it or before it; nil: there is none, the session's own beginning is nearest.
    public func checkpoint(before moment: Moment) -> Checkpoint? {
        switch moment {
        case .index(let index):
            // Of several at the same index the last one made.
            allCheckpoints.filter { $0.eventIndex <= index }.enumerated()
                .max { ($0.element.eventIndex, $0.offset) < ($1.element.eventIndex, $1.offset) }?.element
        case .time(let time): allCheckpoints.last { $0.timestamp <= time }
        }
    }

    /// The events between a checkpoint (nil: the session's beginning) and a later moment, also those that are retained no more.
    public func events(after checkpoint: Checkpoint?, upTo moment: Moment) -> RecordedEvents {
        guard let first = info.firstSequence, let last = info.lastSequence else { return none }
        let start = checkpoint?.eventIndex ?? 0
        // The checkpoint of an import stands behind all events.
        let from = isAscending ? checkpoint?.sequence ?? first : first
        guard from <= last else { return none }
        switch moment {
        case .index(let index):
            guard start < index else { return none }
            return events(in: start..<index, hasHighest: false, sequences: from...last, isPartial: false)
        case .time(let time):
            return events(
                in: start..<UInt64.max, time: Int64.min...time, sequences: from...last, isPartial: false)
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
        /// Which of those could not be read.
        public let coverage: Coverage
        /// Whether every event between the two was applied, as far as indices and what is known of gaps tell.
        public let isComplete: Bool
    }

    /// The checkpoint with the state that the retained events begin with, or that is nearest before them; nil: there is none.
    ///
    /// A recorder's limits evict checkpoints from what is retained, never from the store: the state at any retained event is known.
    public var baseCheckpoint: Checkpoint? {
        guard evictedEvents > 0 else { return checkpoint(before: .index(0)) }
        return checkpoint(before: .index(info.nextIndex - min(eventCount, info.nextIndex)))
    }

    /// The state at a moment: the nearest checkpoint's at it or before it, and each event after that applied to it. O(events after the
    /// checkpoint): blocks before it are not read, except in an import.
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
        return try foldStored(at: moment, from: try initial()) { checkpoint in
            try restore(try self.state(of: checkpoint))
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
        try foldStored(at: moment, from: try initial()) { checkpoint in
            let bytes = try RecorderError.storing { () throws(StoreError) in
                try snapshot.state(of: checkpoint)
            }
            return try restore(checkpoint, bytes)
        } apply: { state, view in
            try apply(&state, view)
        }
    }

    private func foldStored<State>(
        at moment: Moment, from initial: @autoclosure () throws -> State,
        restore: (Checkpoint) throws -> State, apply: (inout State, borrowing EventView) throws -> Void
    ) throws -> Fold<State> {
        let checkpoint = checkpoint(before: moment)
        var state = if let checkpoint { try restore(checkpoint) } else { try initial() }
        var applied: UInt64 = 0
        var next = checkpoint?.eventIndex ?? 0
        var isDense = true
        let gaps: [Gap]
        do {
            gaps = try events(after: checkpoint, upTo: moment).forEachStored { view in
                let index = view.index
                try apply(&state, view)
                applied += 1
                if isAscending, index != next, case .index = moment { isDense = false }
                next = index &+ 1
                return true
            }
        } catch let error as StoreError {
            throw RecorderError.store(error)
        }
        // As many as there were, where that is known.
        if isAscending, case .index(let index) = moment, next < min(index, info.nextIndex) { isDense = false }
        return Fold(
            state: state, checkpoint: checkpoint, eventsApplied: applied, coverage: Coverage(gaps: gaps),
            isComplete: isDense && gaps.isEmpty)
    }
}
