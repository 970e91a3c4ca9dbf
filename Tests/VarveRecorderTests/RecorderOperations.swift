import Varve
import VarveRecorder
import VarveTestKit

/// Performs random operations on a recorder and on an in-memory model of one, and compares every answer.
///
/// The same seed, count and limits make the same operations.
struct RecorderOperations {
    /// What was done, for a test that wants to see that everything was.
    struct Summary {
        var events = 0
        var evicted = 0
        var comparisons = 0
        var imports = 0
        var refusedImports = 0
        var openings = 0
    }

    /// The recorder and the model disagree.
    struct Divergence: Error, CustomStringConvertible {
        let description: String
    }

    private let seed: UInt64
    private let path: String
    private let options: StoreOptions
    private var random: SplitMix64
    private var model: ReferenceRecorder
    private var store: EventStore
    private var recorder: EventRecorder
    /// The engine's handle of a session that has ended.
    private var stale: Session?
    /// What was exported earlier, and must stay as it was.
    private var exported: (RecordedSession, ReferenceRecorder.Session)?
    private var clock: Int64 = 1_700_000_000_000_000_000
    private var step = 0
    private(set) var summary = Summary()

    /// A recorder on a new store in an existing directory.
    init(seed: UInt64, maxEvents: Int, maxCheckpoints: Int, directory: String) throws {
        self.seed = seed
        path = "\(directory)/recorder-\(String(seed, radix: 16))"
        random = SplitMix64(seed: seed)
        model = ReferenceRecorder(maxEvents: maxEvents, maxCheckpoints: maxCheckpoints)
        var options = StoreOptions()
        options.blockBytes = 4 << 10
        options.subBlockBytes = 1 << 10
        options.segmentBytes = 32 << 10
        options.queueBatches = 3
        self.options = options
        store = try EventStore.open(path, options: options)
        recorder = EventRecorder(store: store, maxEvents: maxEvents, maxCheckpoints: maxCheckpoints)
    }

    mutating func run(_ count: Int) throws -> Summary {
        do {
            while step < count {
                try performOne()
                try compareCounts()
                step += 1
            }
            try compareQueries()
            try reopen()
            try store.close()
        } catch let divergence as Divergence {
            throw Divergence(
                description: "VARVE_SEED=0x\(String(seed, radix: 16)), operation \(step): \(divergence)")
        } catch {
            throw Divergence(
                description: "VARVE_SEED=0x\(String(seed, radix: 16)), operation \(step) throws: \(error)")
        }
        return summary
    }

    private static func expect(_ isSo: Bool, _ otherwise: @autoclosure () -> String) throws {
        guard isSo else { throw Divergence(description: otherwise()) }
    }

    // MARK: Operations

    private mutating func performOne() throws {
        switch random.below(100) {
        case 0..<45: try record()
        case 45..<56: try checkpoint()
        case 56..<64: try start()
        case 64..<66: try stop()
        case 66..<69: try importSession()
        case 69: try importWhatIsNone()
        case 70: try reopen()
        case 71..<74: try useStaleHandle()
        case 74..<78: try keepExport()
        default: try compareQueries()
        }
    }

    private mutating func record() throws {
        for _ in 0..<1 + random.below(8) {
            var event = try random.event()
            if random.oneIn(60) {
                event = .console(
                    Console(level: "", message: String(repeating: "long ", count: 1_300), timestamp: 0))
            }
            let time = nextTime()
            try recorder.record(event, at: time)
            if model.active != nil { summary.events += 1 }
            let before = model.active?.evictedEvents
            model.record(event, at: time)
            if model.active?.evictedEvents != before { summary.evicted += 1 }
        }
    }

    private mutating func checkpoint() throws {
        let (id, label) = (randomID(), random.oneIn(2) ? random.text() : nil)
        let (state, time) = (try RawJSON(random.json()), nextTime())
        try Self.both("checkpoint") {
            try recorder.checkpoint(id, label: label, state: state, at: time)
        } model: { () throws(RecorderError) in
            try model.checkpoint(id, label: label, state: state, at: time)
        }
    }

    private mutating func start() throws {
        let (id, time) = (random.oneIn(3) ? random.text() : "again", nextTime())
        try Self.both("start") {
            try recorder.start(id, at: time)
        } model: { () throws(RecorderError) in
            try model.start(id, at: time)
        }
    }

    private mutating func stop() throws {
        let handle = store.activeSession
        try compareStopped(by: recorder)
        stale = handle ?? stale
    }

    private mutating func compareStopped(_ stopped: RecordedSession?, _ expected: ReferenceRecorder.Session?)
        throws
    {
        try Self.expect((stopped == nil) == (expected == nil), "stop gives \(stopped?.id ?? "nothing")")
        if let stopped, let expected { try compare(stopped, expected) }
    }

    private mutating func compareStopped(by recorder: EventRecorder) throws {
        try compareStopped(try recorder.stop(), model.stop())
    }

    /// Indices as they come: gapped, repeated, unsorted, and sometimes the highest there is.
    private mutating func importSession() throws {
        let session = try randomSession()
        let json = Array(try session.written().utf8)
        let handle = store.activeSession
        try Self.both("import") {
            try recorder.importSession(json)
        } model: { () throws(RecorderError) in
            try model.importSession(session)
            stale = handle ?? stale
        }
        summary.imports += 1
    }

    private mutating func importWhatIsNone() throws {
        let json = Array(try randomSession().written().utf8)
        let isCut = random.oneIn(2)
        let end = isCut ? Int(random.below(UInt32(json.count - 1))) : json.count
        var readings = 0
        do {
            try recorder.importSession {
                readings += 1
                // What is not cut off is another document when it is read again.
                let other = Array("{\"x\":1,".utf8) + json.dropFirst().prefix(end / 2)
                return source(isCut ? Array(json[..<end]) : readings == 1 ? json : other)
            }
        } catch is SessionJSONError {
            summary.refusedImports += 1
            // By then the session before has made room.
            if readings == 2 { _ = model.stop() }
            return
        } catch RecorderError.indicesUsedUp {
            return try Self.expect(!isCut, "half an import is refused for its indices")
        }
        throw Divergence(description: "an import that is none is taken")
    }

    /// Closes the store, with or without the session, and opens it with a recorder of its own.
    private mutating func reopen() throws {
        let old = recorder
        try store.close()
        try Self.expect(!old.isRecording && old.eventCount == 0, "a recorder goes on in a closed store")
        try old.record(try random.event())
        try Self.both("checkpoint in a closed store") {
            try old.checkpoint("late", state: try RawJSON("1"))
        } model: { () throws(RecorderError) in
            throw .noActiveSession
        }
        // What is asked for only now was on disk when the store was closed.
        try compareStopped(by: old)
        try Self.expect(try old.stop() == nil, "a session is stopped twice")
        (stale, exported) = (nil, nil)
        store = try EventStore.open(path, options: options)
        try Self.expect(store.recovery == nil, "a closed store needed recovery")
        summary.openings += 1
        recorder = EventRecorder(
            store: store, maxEvents: model.maxEvents, maxCheckpoints: model.maxCheckpoints)
        try compareStored()
    }

    /// A handle from an earlier session can neither write to a later one nor end it.
    private mutating func useStaleHandle() throws {
        guard let stale else { return }
        let kind = try store.kind("Console", .json)
        let uses: [() throws -> Void] = [
            { try stale.append("{\"type\":\"T\"}", kind: kind) },
            { try stale.checkpoint("cp", state: Array("1".utf8)) }, { try stale.end() },
        ]
        do {
            try uses[Int(random.below(UInt32(uses.count)))]()
        } catch StoreError.sessionEnded(id: stale.id) {
            return
        }
        throw Divergence(description: "a handle of session \(stale.id) can be used after its end")
    }

    private mutating func keepExport() throws {
        if let (session, expected) = exported { try compare(session, expected) }
        exported = try model.active.map { (try recorder.export(), $0) }
    }

    // MARK: Comparison

    /// Does the same with both, and compares how they refuse it; nil: they do.
    @discardableResult
    private static func both<R>(
        _ what: String, recorder: () throws -> R, model: () throws(RecorderError) -> Void
    ) throws -> R? {
        var expected: RecorderError?
        do throws(RecorderError) { try model() } catch { expected = error }
        do {
            let answer = try recorder()
            try Self.expect(expected == nil, "\(what) is not refused: \(String(describing: expected))")
            return answer
        } catch let error as RecorderError {
            try Self.expect(
                error == expected, "\(what) is refused: \(error), not: \(String(describing: expected))")
            return nil
        }
    }

    private mutating func compareCounts() throws {
        let expected = model.active
        try Self.expect(recorder.isRecording == (expected != nil), "is recording: \(recorder.isRecording)")
        let counts = [recorder.eventCount, recorder.checkpointCount, recorder.evictedEventCount]
        let wanted = [
            expected?.events.count ?? 0, expected?.checkpoints.count ?? 0, expected?.evictedEvents ?? 0,
        ]
        try Self.expect(counts == wanted.map(UInt64.init), "retains and has evicted \(counts), not \(wanted)")
    }

    private mutating func compareQueries() throws {
        summary.comparisons += 1
        let recorder = recorder
        guard let expected = model.active else {
            for ask: () throws -> Any in [
                { try recorder.events(since: 0) }, { try recorder.export() }, { try recorder.checkpoints() },
                { try recorder.events(from: 0, to: 1) }, { try recorder.ipcReplaySequence() },
                { try recorder.events(betweenCheckpoint: "a", and: "b") },
            ] {
                try Self.both("a query", recorder: ask) { () throws(RecorderError) in
                    throw .noActiveSession
                }
            }
            return
        }
        let index = randomIndex(of: expected)
        try compare(
            recorder.events(since: index), expected.events(since: index), of: expected, "since \(index)")
        let (start, end) = (randomTime(of: expected), randomTime(of: expected))
        try compare(
            recorder.events(from: start, to: end), expected.events(from: start, to: end), of: expected,
            isExact: false, "from \(start) to \(end)")
        let (first, second) = (randomID(), randomID())
        var answer: ReferenceRecorder.Answer?
        let found = try Self.both("between \(first) and \(second)") {
            try recorder.events(betweenCheckpoint: first, and: second)
        } model: { () throws(RecorderError) in
            answer = try expected.events(betweenCheckpoint: first, and: second)
        }
        if let found, let answer {
            try compare(found, answer, of: expected, "between \(first) and \(second)")
        }
        try Self.expect(
            try recorder.ipcReplaySequence() == expected.ipcReplaySequence, "other calls to replay")
        try Self.expect(
            try recorder.checkpoints().map(\.eventIndex) == expected.checkpoints.map(\.eventIndex),
            "other checkpoints")
        try compare(try recorder.export(), expected)
    }

    private func compare(
        _ found: RecordedEvents, _ expected: ReferenceRecorder.Answer, of session: ReferenceRecorder.Session,
        isExact: Bool = true, _ what: String
    ) throws {
        let events = try found.all()
        try Self.expect(
            events == expected.events,
            "\(what): \(events.map(\.index)) instead of \(expected.events.map(\.index))")
        // By time, and in an import, it may say that it is partial when something else was evicted.
        let isExact = (isExact && !session.isImported) || session.evictedEvents == 0
        try Self.expect(
            found.isPartial == expected.isPartial || (!isExact && found.isPartial),
            "\(what): is partial: \(found.isPartial)")
    }

    /// A session as a whole, as it is exported and as it can be travelled.
    private mutating func compare(
        _ session: RecordedSession, _ expected: ReferenceRecorder.Session
    ) throws {
        var text: [UInt8] = []
        let coverage = try session.writeJSON { text += $0 }
        let found = try WholeSession.read(text)
        try Self.expect(
            found == expected.retained, "another session: \(found)\ninstead of \(expected.retained)")
        try Self.expect(coverage.isComplete, "gaps: \(coverage.gaps)")
        try Self.expect(
            session.evictedEvents == UInt64(expected.evictedEvents)
                && session.evictedCheckpoints == UInt64(expected.evictedCheckpoints)
                && session.eventCount == UInt64(expected.events.count),
            "evicted: \(session.evictedEvents) events, \(session.evictedCheckpoints) checkpoints")
        let moments: [RecordedSession.Moment] = [
            .index(randomIndex(of: expected)), .time(randomTime(of: expected)),
        ]
        for moment in moments {
            let wanted = expected.fold(at: moment)
            let fold = try session.fold(
                at: moment, from: (nil as StateCheckpoint?, [RecordedEvent]()), restore: { ($0, []) },
                apply: { $0.1.append($1) })
            try Self.expect(
                fold.state.0 == wanted.checkpoint && fold.state.1 == wanted.events,
                "at \(moment): from \(String(describing: fold.state.0)) by \(fold.state.1.map(\.index))"
            )
            try Self.expect(fold.isComplete, "at \(moment): not complete")
        }
    }

    /// The sessions as the store has them, with all that the limits have evicted.
    private mutating func compareStored() throws {
        let sessions = try store.sessions()
        try Self.expect(
            sessions.map(\.id) == model.ended.map(\.whole.id), "the store has \(sessions.map(\.id))")
        for (info, expected) in zip(sessions, model.ended) {
            var whole = expected
            (whole.evictedEvents, whole.evictedCheckpoints) = (0, 0)
            try compare(try store.recordedSession(ordinal: info.ordinal), whole)
        }
    }

    // MARK: Values

    /// Mostly forward, sometimes back, rarely anywhere.
    private mutating func nextTime() -> Int64 {
        switch random.below(50) {
        case 0: return random.time()
        case 1..<5: clock -= Int64(random.below(5_000_000))
        default: clock += Int64(random.below(1_000_000))
        }
        return clock
    }

    /// Two of them look alike, and are not the same.
    private mutating func randomID() -> String { ["a", "b", "", "\u{E1}", "a\u{301}"][Int(random.below(5))] }

    private mutating func randomIndex(of session: ReferenceRecorder.Session) -> UInt64 {
        switch random.below(4) {
        case 0: return random.number()
        case 1: return session.nextIndex &- 1 &+ UInt64(random.below(3))
        default: return UInt64(random.below(UInt32(clamping: session.nextIndex &+ 3)))
        }
    }

    private mutating func randomTime(of session: ReferenceRecorder.Session) -> Int64 {
        guard !random.oneIn(8), let event = session.whole.events.randomElement(using: &random) else {
            return random.oneIn(2) ? .min : .max
        }
        return event.timestamp
    }

    private mutating func randomSession() throws -> WholeSession {
        var session = try random.session()
        for position in session.events.indices where !random.oneIn(20) {
            session.events[position].index =
                random.oneIn(3) ? UInt64(random.below(30)) : UInt64(position) + 5
        }
        for position in session.checkpoints.indices {
            session.checkpoints[position].id = randomID()
            if !random.oneIn(4) { session.checkpoints[position].eventIndex = UInt64(random.below(30)) }
        }
        return session
    }
}
