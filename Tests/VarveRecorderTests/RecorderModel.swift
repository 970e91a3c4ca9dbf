import VarveRecorder

/// What a recorder must be, in its plainest form: arrays in memory.
struct ReferenceRecorder {
    /// A session, and how many of its first events and checkpoints are retained no more.
    struct Session {
        var whole: WholeSession
        var nextIndex: UInt64 = 0
        var isImported = false
        var evictedEvents = 0
        var evictedCheckpoints = 0

        var events: ArraySlice<RecordedEvent> { whole.events.dropFirst(evictedEvents) }
        var checkpoints: ArraySlice<StateCheckpoint> { whole.checkpoints.dropFirst(evictedCheckpoints) }
        var retained: WholeSession {
            WholeSession(
                id: whole.id, startedAt: whole.startedAt, events: Array(events),
                checkpoints: Array(checkpoints))
        }
    }

    struct Answer {
        var events: [RecordedEvent]
        /// Whether evicted events belong here too.
        var isPartial: Bool
    }

    let maxEvents: Int
    let maxCheckpoints: Int
    private(set) var active: Session?
    /// Those that have ended, with all that was ever recorded.
    private(set) var ended: [Session] = []

    init(maxEvents: Int, maxCheckpoints: Int) {
        self.maxEvents = maxEvents
        self.maxCheckpoints = maxCheckpoints
    }

    mutating func start(_ id: String, at time: Int64) throws(RecorderError) {
        guard active == nil else { throw .sessionAlreadyActive }
        active = Session(whole: WholeSession(id: id, startedAt: time))
    }

    mutating func stop() -> Session? {
        if let active { ended.append(active) }
        defer { active = nil }
        return active
    }

    mutating func record(_ event: AppEvent, at time: Int64) {
        guard var session = active else { return }
        if !session.events.isEmpty, session.events.count >= maxEvents { session.evictedEvents += 1 }
        session.whole.events.append(RecordedEvent(index: session.nextIndex, timestamp: time, event: event))
        session.nextIndex += 1
        active = session
    }

    mutating func checkpoint(
        _ id: String, label: String?, state: RawJSON, at time: Int64
    ) throws(RecorderError) {
        guard var session = active else { throw .noActiveSession }
        if !session.checkpoints.isEmpty, session.checkpoints.count >= maxCheckpoints {
            session.evictedCheckpoints += 1
        }
        session.whole.checkpoints.append(
            StateCheckpoint(
                id: id, label: label, timestamp: time, state: state, eventIndex: session.nextIndex))
        active = session
    }

    mutating func importSession(_ session: WholeSession) throws(RecorderError) {
        let last = session.events.last?.index
        guard last != .max else { throw .indicesUsedUp }
        _ = stop()
        active = Session(whole: session, nextIndex: last.map { $0 + 1 } ?? 0, isImported: true)
    }
}

extension ReferenceRecorder.Session {
    private func answer(_ isIncluded: (RecordedEvent) -> Bool) -> ReferenceRecorder.Answer {
        ReferenceRecorder.Answer(
            events: events.filter(isIncluded),
            isPartial: whole.events.prefix(evictedEvents).contains(where: isIncluded))
    }

    func events(since index: UInt64) -> ReferenceRecorder.Answer { answer { $0.index >= index } }

    func events(from start: Int64, to end: Int64) -> ReferenceRecorder.Answer {
        answer { start <= $0.timestamp && $0.timestamp <= end }
    }

    func events(
        betweenCheckpoint first: String, and second: String
    ) throws(RecorderError) -> ReferenceRecorder.Answer {
        var bounds: [UInt64] = []
        for id in [first, second] {
            guard let found = checkpoints.first(where: { $0.id.utf8.elementsEqual(id.utf8) }) else {
                throw .checkpointNotFound(id: id)
            }
            bounds.append(found.eventIndex)
        }
        bounds.sort()
        return answer { bounds[0] <= $0.index && $0.index < bounds[1] }
    }

    var ipcReplaySequence: [IpcCall] {
        events.compactMap { if case .ipc(let call) = $0.event { call } else { nil } }
    }

    /// The checkpoint that a state is made from, and the events that are applied to it: also those that are retained no more.
    func fold(at moment: RecordedSession.Moment) -> (checkpoint: StateCheckpoint?, events: [RecordedEvent]) {
        var nearest: StateCheckpoint?
        for checkpoint in whole.checkpoints {
            switch moment {
            case .index(let index):
                guard checkpoint.eventIndex <= index, checkpoint.eventIndex >= nearest?.eventIndex ?? 0 else {
                    continue
                }
            case .time(let time): guard checkpoint.timestamp <= time else { continue }
            }
            nearest = checkpoint
        }
        let events = whole.events.filter { event in
            guard event.index >= nearest?.eventIndex ?? 0 else { return false }
            switch moment {
            case .index(let index): return event.index < index
            case .time(let time): return event.timestamp <= time
            }
        }
        return (nearest, events)
    }
}
