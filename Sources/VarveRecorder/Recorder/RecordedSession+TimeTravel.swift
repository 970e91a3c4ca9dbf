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
    ///   - initial: the state at the session's beginning, where no checkpoint is nearer.
    ///   - restore: makes a state from a checkpoint's.
    ///   - apply: applies one event.
    /// - Throws: `RecorderError`, and what the closures throw.
    public func fold<State>(
        at moment: Moment, from initial: @autoclosure () throws -> State,
        restore: (StateCheckpoint) throws -> State, apply: (inout State, RecordedEvent) throws -> Void
    ) throws -> Fold<State> {
        let checkpoint = checkpoint(before: moment)
        let state = if let checkpoint { try restore(try self.state(of: checkpoint)) } else { try initial() }
        var cursor = try events(after: checkpoint, upTo: moment).cursor()
        var fold = Folding(self, state, checkpoint, moment)
        while let event = try cursor.next() {
            try apply(&fold.state, event)
            fold.count(event.index)
        }
        return fold.finish(cursor.coverage)
    }

    /// The same for a session of any store, whatever its payloads are: `restore` gets a state's bytes, and `apply` events as they are
    /// lent.
    ///
    /// - Throws: `RecorderError`, and what the closures throw.
    public func foldPayloads<State>(
        at moment: Moment, from initial: @autoclosure () throws -> State,
        restore: (Checkpoint, [UInt8]) throws -> State, apply: (inout State, EventView) throws -> Void
    ) throws -> Fold<State> {
        let checkpoint = checkpoint(before: moment)
        let state: State
        if let checkpoint {
            let bytes = try RecorderError.storing { () throws(StoreError) in
                try snapshot.state(of: checkpoint)
            }
            state = try restore(checkpoint, bytes)
        } else {
            state = try initial()
        }
        let events = events(after: checkpoint, upTo: moment)
        var fold = Folding(self, state, checkpoint, moment)
        do {
            var cursor = try snapshot.cursor(events.query)
            while let view = try cursor.next() {
                let index = view.index
                if events.ends(before: index) { break }
                guard events.includes(index) else { continue }
                try apply(&fold.state, view)
                fold.count(index)
            }
            return fold.finish(cursor.coverage)
        } catch let error as StoreError {
            throw RecorderError.store(error)
        }
    }

    /// A fold on its way.
    private struct Folding<State> {
        private let session: RecordedSession
        private let checkpoint: Checkpoint?
        private let moment: Moment
        var state: State
        private var applied: UInt64 = 0
        private var next: UInt64
        private var isDense = true

        init(_ session: RecordedSession, _ state: State, _ checkpoint: Checkpoint?, _ moment: Moment) {
            self.session = session
            self.state = state
            self.checkpoint = checkpoint
            self.moment = moment
            next = checkpoint?.eventIndex ?? 0
        }

        mutating func count(_ index: UInt64) {
            applied += 1
            if session.isAscending, index != next, case .index = moment { isDense = false }
            next = index &+ 1
        }

        func finish(_ coverage: Coverage) -> Fold<State> {
            var isDense = isDense
            // As many as there were, where that is known.
            if session.isAscending, case .index(let index) = moment, next < min(index, session.info.nextIndex)
            {
                isDense = false
            }
            return Fold(
                state: state, checkpoint: checkpoint, eventsApplied: applied, coverage: coverage,
                isComplete: isDense && coverage.isComplete)
        }
    }
}
