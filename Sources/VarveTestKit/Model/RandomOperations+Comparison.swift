internal import Varve

extension RandomOperations {
    mutating func compareEverything(in store: EventStore) throws {
        try compareAnswer(to: Query(), in: store)
        try compareAnswer(to: Query().reversed(), in: store)
        try compareCount(of: Query(), in: store)
        try compareSessions(in: store)
        try compareCheckpoints(in: store)
        let snapshot = try store.snapshot()
        let info = try snapshot.info()
        let kept = model.keptEvents
        try expect(info.eventCount == kept.count, "info counts \(info.eventCount) events")
        let sessions = try keptSessions(among: snapshot.sessions()).count
        try expect(
            Int(info.sessionCount) == sessions, "info counts \(info.sessionCount) sessions")
        try expect(
            Int(info.checkpointCount) == model.keptCheckpoints.count,
            "info counts \(info.checkpointCount) checkpoints")
        let report = try store.verify()
        try expect(report.isIntact, "verify finds damage: \(report.damage)")
        // What is dropped may be in the files still.
        try expect(
            report.events >= kept.count && report.events <= model.nextSequence,
            "verify reads \(report.events) events")
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
            guard !isEqual else {
                position += 1
                continue
            }
            throw diverged(
                """
                \(query) yields another event at position \(position), number \(view.sequence) of session \
                \(view.sessionOrdinal) instead of \(event.sequence) of \(event.session); heads \
                \(model.headSequence) \(model.headCheckpoint), pins \
                \(model.pinChanges.map { "\($0.session.map { "session \($0)" } ?? "") \($0.sequences) \($0.isPinned)" }), \
                \(try store.info().gaps) \(try store.info().pins) \(try store.info().pinnedRanges)
                """)
        }
        if position != expected.count {
            var again = try store.cursor(query)
            var there: Set<UInt64> = []
            while let view = try again.next() { there.insert(view.sequence) }
            let absent = expected.filter { !there.contains($0.sequence) }
            throw diverged(
                """
                \(query) yields \(position) of \(expected.count) events, not \
                \(absent.map { ($0.sequence, $0.session) }); heads \(model.headSequence) \(model.headCheckpoint), pins \
                \(model.pinChanges.map { "\($0.session.map { "session \($0)" } ?? "") \($0.sequences) \($0.isPinned)" }), \
                \(try store.info().gaps) \(try store.info().pins) \(try store.info().pinnedRanges)
                """)
        }
        try compareCoverage(cursor.coverage, of: query)
    }

    /// What was dropped of the range that was asked for is missing, and nothing else.
    private func compareCoverage(_ coverage: Coverage, of query: Query) throws {
        guard model.headSequence > 0, query.limit != 0 else {
            return try expect(coverage.isComplete, "\(query) reports gaps: \(coverage.gaps)")
        }
        let asked = query.sequences ?? 0...UInt64.max
        let kept = Set(model.keptEvents.map(\.sequence))
        let missing = (0..<model.headSequence).filter { asked.contains($0) && !kept.contains($0) }
        let reported = coverage.gaps.flatMap { Array($0.sequences) }
        if reported.sorted() == missing, coverage.gaps.allSatisfy({ $0.reason == .retention }) { return }
        let info = try store.info()
        throw diverged(
            """
            \(limits), head \(model.headSequence), \(kept.count) kept; the engine \(info.headSequence), \
            \(info.eventCount): \(query) reports \(coverage.gaps) where \(missing.count) numbers are dropped: too many \
            \(Set(reported).subtracting(missing).map { ($0, model.events[Int($0)].session) }), too few \
            \(Set(missing).subtracting(reported)), pins \(model.pinChanges)
            """)
    }

    /// The sessions that there should be. Of those without an event the ones that a limit of bytes has dropped with their segments are
    /// known to the engine alone.
    func keptSessions(among sessions: [SessionInfo]) -> [ReferenceModel.Session] {
        guard isFollowing else { return model.keptSessions }
        let alive = model.aliveSessions
        let there = Set(sessions.map(\.ordinal))
        return model.keptSessions.filter {
            $0.isActive || alive.contains($0.ordinal) || there.contains($0.ordinal)
        }
    }

    /// The sessions that do not go away in the background: under limits those in which something is kept.
    var stableSessions: [ReferenceModel.Session] {
        guard isFollowing else { return model.keptSessions }
        let alive = model.aliveSessions
        return model.keptSessions.filter { $0.isActive || alive.contains($0.ordinal) }
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
        guard model.isRetained(expected) else {
            return try expect(event == nil, "event \(sequence) was dropped and is there")
        }
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
        let kept = keptSessions(among: sessions)
        try expect(
            sessions.map(\.ordinal) == kept.map(\.ordinal),
            """
            the sessions are \(sessions.map(\.ordinal)) instead of \(kept.map(\.ordinal)): engine \
            \(sessions.filter { one in !kept.contains { $0.ordinal == one.ordinal } }), model \
            \(model.sessions.filter { one in sessions.contains { $0.ordinal == one.ordinal } != kept.contains { $0.ordinal == one.ordinal } }), \
            heads \(model.headSequence) \(model.headCheckpoint)
            """)
        let events = Dictionary(grouping: model.keptEvents, by: \.session)
        for (session, expected) in zip(sessions, kept) {
            try compare(session, with: expected, events: events[expected.ordinal] ?? [])
        }
    }

    func compare(_ session: SessionInfo, with expected: ReferenceModel.Session) throws {
        try compare(
            session, with: expected, events: model.keptEvents.filter { $0.session == expected.ordinal })
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
        // What was recorded of an import after it was resumed is as any other session's.
        if events.first?.sequence == model.events.first(where: { $0.session == expected.ordinal })?.sequence {
            try expectEqual("imported", session.isImported, expected.isImported)
        }
        try expectEqual("count", session.eventCount, UInt64(events.count))
        try expectEqual(
            "checkpoints", Int(session.checkpointCount),
            model.keptCheckpoints.count { $0.session == expected.ordinal })
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
            checkpoints.map(\.ordinal) == model.keptCheckpoints.map(\.ordinal),
            "the checkpoints are \(checkpoints.map(\.ordinal)) instead of \(model.keptCheckpoints.map(\.ordinal))"
        )
        for (checkpoint, expected) in zip(checkpoints, model.keptCheckpoints) {
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
        let kept = stableSessions
        guard !kept.isEmpty else { return }
        summary.comparisons += 1
        let expected = kept[Int(random.below(UInt32(kept.count)))]
        let rebuilt = try store.rebuild(session: expected.ordinal)
        try compare(rebuilt.info, with: expected)
        let checkpoints = model.keptCheckpoints.filter { $0.session == expected.ordinal }
        try expect(
            rebuilt.checkpoints.map(\.ordinal) == checkpoints.map(\.ordinal),
            "session \(expected.ordinal) is rebuilt with other checkpoints")
    }

    private func expect(_ condition: Bool, _ what: @autoclosure () -> String) throws {
        guard condition else { throw diverged(what()) }
    }
}
