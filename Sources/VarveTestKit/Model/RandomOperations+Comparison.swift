internal import Varve

extension RandomOperations {
    mutating func compareEverything(in store: EventStore) throws {
        try compareAnswer(to: Query(), in: store)
        try compareAnswer(to: Query().reversed(), in: store)
        try compareCount(of: Query(), in: store)
        try compareSessions(in: store)
        try compareCheckpoints(in: store)
        let info = try store.info()
        try expect(info.eventCount == model.nextSequence, "info counts \(info.eventCount) events")
        try expect(
            Int(info.sessionCount) == model.sessions.count, "info counts \(info.sessionCount) sessions")
        try expect(
            Int(info.checkpointCount) == model.checkpoints.count,
            "info counts \(info.checkpointCount) checkpoints")
        let report = try store.verify()
        try expect(report.isIntact, "verify finds damage: \(report.damage)")
        try expect(report.events == model.nextSequence, "verify reads \(report.events) events")
    }

    mutating func compareAnswer(to query: Query, in store: EventStore) throws {
        summary.comparisons += 1
        let expected = model.answer(query)
        var cursor = try store.cursor(query)
        var position = 0
        while let view = try cursor.next() {
            guard position < expected.count else {
                throw diverged("\(query) yields more than \(expected.count) events")
            }
            let event = expected[position]
            let kind = view.kind
            let isEqual =
                view.sequence == event.sequence && view.index == event.index
                && view.sessionOrdinal == event.session && view.timestamp == event.timestamp
                && kind.name == event.kind.name && kind.encoding == event.kind.encoding
                && view.sessionID == model.id(ofSession: event.session)
                && view.copy() == event.payload
            try expect(
                isEqual, "\(query) yields another event at position \(position), number \(view.sequence)")
            position += 1
        }
        try expect(position == expected.count, "\(query) yields \(position) of \(expected.count) events")
        try expect(cursor.coverage.isComplete, "\(query) reports gaps: \(cursor.coverage.gaps)")
    }

    mutating func compareCount(of query: Query, in store: EventStore) throws {
        summary.comparisons += 1
        let (count, expected) = (try store.count(query), model.answer(query).count)
        try expect(count == expected, "\(query) counts \(count) instead of \(expected)")
    }

    mutating func comparePoint(in store: EventStore) throws {
        summary.comparisons += 1
        let sequence = random.next() % (model.nextSequence + 2)
        let event = try store.snapshot().event(sequence: sequence)
        guard sequence < model.nextSequence else {
            return try expect(event == nil, "there is an event \(sequence)")
        }
        let expected = model.events[Int(sequence)]
        let isEqual =
            event?.sequence == sequence && event?.index == expected.index
            && event?.sessionOrdinal == expected.session && event?.timestamp == expected.timestamp
            && event?.kind.name == expected.kind.name && event?.kind.encoding == expected.kind.encoding
            && event?.sessionID == model.id(ofSession: expected.session) && event?.payload == expected.payload
        try expect(isEqual, "event \(sequence) is another one")
    }

    mutating func compareSessions(in store: EventStore) throws {
        summary.comparisons += 1
        let sessions = try store.sessions()
        try expect(
            sessions.map(\.ordinal) == model.sessions.map(\.ordinal),
            "the sessions are \(sessions.map(\.ordinal)) instead of \(model.sessions.count)")
        let events = Dictionary(grouping: model.events, by: \.session)
        for (session, expected) in zip(sessions, model.sessions) {
            try compare(session, with: expected, events: events[expected.ordinal] ?? [])
        }
    }

    func compare(_ session: SessionInfo, with expected: ReferenceModel.Session) throws {
        try compare(session, with: expected, events: model.events.filter { $0.session == expected.ordinal })
    }

    private func compare(
        _ session: SessionInfo, with expected: ReferenceModel.Session, events: [ReferenceModel.Event]
    ) throws {
        let times = events.map(\.timestamp)
        func expectEqual<T: Equatable>(_ what: String, _ found: T, _ expected: T) throws {
            try expect(
                found == expected, "session \(session.ordinal): \(what) is \(found) instead of \(expected)")
        }
        try expectEqual("id", session.id, expected.id)
        try expectEqual("start", session.startedAt, expected.startedAt)
        try expectEqual("state", session.state, expected.isActive ? .active : .closed)
        if expected.isActive || expected.endedAt != nil {
            try expectEqual("end", session.endedAt, expected.endedAt)
        } else {
            try expect(session.endedAt != nil, "session \(session.ordinal) has no end")
        }
        try expectEqual("imported", session.isImported, expected.isImported)
        try expectEqual("count", session.eventCount, UInt64(events.count))
        try expectEqual(
            "checkpoints", Int(session.checkpointCount),
            model.checkpoints.count { $0.session == expected.ordinal })
        try expectEqual("next index", session.nextIndex, expected.nextIndex)
        try expectEqual("first", session.firstSequence, events.first?.sequence)
        try expectEqual("last", session.lastSequence, events.last?.sequence)
        try expectEqual("least time", session.timeRange?.lowerBound, times.min())
        try expectEqual("greatest time", session.timeRange?.upperBound, times.max())
        try expectEqual("bytes", session.payloadBytes, events.reduce(0) { $0 + UInt64($1.payload.count) })
        try expectEqual("metadata", session.metadata, expected.metadata)
    }

    mutating func compareCheckpoints(in store: EventStore) throws {
        summary.comparisons += 1
        // One snapshot: a reader beside a writer looks at every segment for each.
        let snapshot = try store.snapshot()
        let checkpoints = try snapshot.checkpoints()
        try expect(
            checkpoints.count == model.checkpoints.count,
            "there are \(checkpoints.count) checkpoints instead of \(model.checkpoints.count)")
        for (checkpoint, expected) in zip(checkpoints, model.checkpoints) {
            try compare(checkpoint, with: expected)
            try expect(
                try snapshot.state(of: checkpoint) == expected.state,
                "the state of checkpoint \(checkpoint.ordinal) differs")
        }
    }

    func compare(_ checkpoint: Checkpoint, with expected: ReferenceModel.Checkpoint) throws {
        let isEqual =
            checkpoint.ordinal == expected.ordinal && checkpoint.sessionOrdinal == expected.session
            && checkpoint.sessionID == model.id(ofSession: expected.session) && checkpoint.id == expected.id
            && checkpoint.label == expected.label && checkpoint.timestamp == expected.timestamp
            && checkpoint.eventIndex == expected.eventIndex && checkpoint.sequence == expected.sequence
            && checkpoint.stateBytes == expected.state.count
        try expect(isEqual, "checkpoint \(checkpoint.ordinal) is \(checkpoint) instead of \(expected)")
    }

    mutating func compareRebuilt(in store: EventStore) throws {
        guard !model.sessions.isEmpty else { return }
        summary.comparisons += 1
        let expected = model.sessions[Int(random.below(UInt32(model.sessions.count)))]
        let rebuilt = try store.rebuild(session: expected.ordinal)
        try compare(rebuilt.info, with: expected)
        let checkpoints = model.checkpoints.filter { $0.session == expected.ordinal }
        try expect(
            rebuilt.checkpoints.map(\.ordinal) == checkpoints.map(\.ordinal),
            "session \(expected.ordinal) is rebuilt with other checkpoints")
    }

    private func expect(_ condition: Bool, _ what: @autoclosure () -> String) throws {
        guard condition else { throw diverged(what()) }
    }
}
