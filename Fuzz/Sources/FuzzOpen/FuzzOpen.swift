import FuzzSupport
import Varve
import VarveFormat

/// A whole directory: read, recovered, appended to, and read again.
///
/// An input is an archive of the directory's files. With `VARVE_FUZZ_SEEDS` naming a directory, seeds are written
/// there, and with `VARVE_FUZZ_STORES` from the stores in that one too.
@main
struct FuzzOpen {
    /// Events that are looked at: a block of a few hundred bytes can hold 65,536 empty ones.
    static let eventsMax = 2_000

    static func main() {
        if writeSeeds() { return }
        fuzz(allocating: { 512 * $0 + (8 << 20) }, mutation: mutateStore) { bytes in
            let files = Archive.unpack(Array(bytes))
            // By the input alone, so that a finding is one again.
            let question = Question(rawValue: Checksum.crc(bytes) % 4) ?? .counts
            if !files.isEmpty { exercise(files, question) }
        }
    }

    static func options(_ fileSystem: MemoryFileSystem) -> StoreOptions {
        var options = StoreOptions()
        options.fileSystem = fileSystem
        options.create = false
        options.encoderThreads = 1
        options.queueBatches = 2
        options.blockBytes = 4 << 10
        options.subBlockBytes = 1 << 10
        // So that the background thread does its work in the short life of this store.
        options.durability = .interval(nanoseconds: 1_000)
        // What the limits of an input drop is no loss; without them all that was answered is answered again.
        options.limits = RetentionLimits()
        options.compactsInBackground = false
        return options
    }

    /// What a reader is asked of this input, beside all events in both directions: a part of what there is to ask, since executions
    /// are slow, and most inputs differ little from others that are asked the rest.
    enum Question: UInt32 {
        /// And replays.
        case counts = 0
        case sessions = 1
        case checkpoints = 2
        /// And verification.
        case figures = 3
    }

    static func exercise(_ files: [String: [UInt8]], _ question: Question) {
        let fileSystem = MemoryFileSystem(files)
        let options = options(fileSystem)
        let path = MemoryFileSystem.directory
        let before = look(at: path, options, question)
        require(fileSystem.holds(files), "a reader changes nothing")

        do throws(StoreError) {
            let store = try EventStore.open(path, options: options)
            let snapshot = try store.snapshot()
            var recovered = try first(of: snapshot)
            recovered.isComplete = true
            if let before { check(before, then: recovered) }
            let appended = try append(to: store)
            try store.close()
            try checkAppended(appended, after: recovered, path, options)
        } catch {
            // A store that can't be written stays as readable as it was.
            guard let before else { return }
            guard let after = look(at: path, options, question) else {
                return require(false, "a store that could be read still can")
            }
            check(before, then: after)
        }
    }

    // MARK: Reading

    struct Answers {
        var events: [Event] = []
        var isComplete = false
        /// Nothing is missing but what limits have dropped.
        var isLossless = false
        /// The last number that limits have dropped, as the answer says.
        var dropped: UInt64?
    }

    /// All that a reader can ask. Nil: it can't be opened.
    static func look(at path: String, _ options: StoreOptions, _ question: Question) -> Answers? {
        guard let store = try? EventStore.openReadOnly(path, options: options) else { return nil }
        let answers = try? answers(of: store, question)
        if question == .figures, let report = try? store.verify(), let answers, report.isIntact {
            require(answers.isLossless, "of what is intact nothing is lost")
        }
        try? store.close()
        return answers
    }

    /// The first events.
    static func first(of snapshot: Snapshot) throws(StoreError) -> Answers {
        var cursor = try snapshot.cursor(Query().limit(UInt64(eventsMax)))
        var answers = Answers()
        while let event = try cursor.nextEvent() {
            if let last = answers.events.last {
                require(event.sequence > last.sequence, "sequence numbers ascend")
            }
            answers.events.append(event)
        }
        let gaps = cursor.coverage.gaps
        answers.isComplete = cursor.coverage.isComplete
        answers.isLossless = gaps.allSatisfy { $0.reason == .retention }
        answers.dropped = gaps.filter { $0.reason == .retention }.map(\.sequences.upperBound).max()
        return answers
    }

    static func answers(of store: EventStore, _ question: Question) throws(StoreError) -> Answers {
        let snapshot = try store.snapshot()
        let answers = try first(of: snapshot)
        var reversed = try snapshot.cursor(Query().reversed().limit(UInt64(eventsMax)))
        var last: UInt64?
        var position = answers.events.count
        let hasAll = position < eventsMax && answers.isComplete
        while let event = try reversed.next() {
            if let last { require(event.sequence < last, "sequence numbers descend in reverse") }
            last = event.sequence
            guard hasAll else { continue }
            position -= 1
            require(
                position >= 0 && answers.events[position].sequence == event.sequence,
                "the reverse order has the same events")
        }
        require(!hasAll || position == 0, "the reverse order has the same events")
        try ask(store, snapshot, question, first: answers.events.first)
        if question == .counts { checkReplay(of: snapshot, answers) }
        return answers
    }

    /// A second thread that decodes ahead changes nothing, and a store is the same as itself.
    private static func checkReplay(of snapshot: Snapshot, _ answers: Answers) {
        let query = Query().limit(UInt64(eventsMax))
        var events: [Event] = []
        guard
            let coverage = try? snapshot.replay(query, decodingAhead: true, { events.append($0.event) })
        else { return }
        require(events == answers.events, "what is decoded ahead is the same")
        require(coverage.isComplete == answers.isComplete, "and as complete")
        guard let result = try? snapshot.compare(query, with: snapshot, query) else { return }
        // What is stored alike on both sides is not decompressed: forged bytes that can't be are the same there, and no events here.
        require(
            result.divergence == nil && result.equalEvents >= UInt64(events.count),
            "a store is the same as itself")
    }

    /// What may be refused where a segment's index is damaged.
    private static func ask(
        _ store: EventStore, _ snapshot: Snapshot, _ question: Question, first: Event?
    ) throws(StoreError) {
        switch question {
        case .counts:
            _ = try? snapshot.countWithCoverage(Query())
            guard let first else { return }
            _ = try? snapshot.count(Query().kinds(first.kind.name))
            _ = try? snapshot.count(Query().session(first.sessionID).time(first.timestamp...first.timestamp))
        case .sessions:
            if let session = try? snapshot.sessions().last {
                _ = try? snapshot.rebuild(session: session.ordinal)
            }
            guard let first else { return }
            let found = try snapshot.event(sequence: first.sequence)
            // The search goes by the numbers of all blocks. A forged one misleads it: it finds nothing, or another event that has the
            // number too. That no two have it is not looked into for each question; verification says so.
            guard let found, found != first else { return }
            require(found.sequence == first.sequence, "no other number is found")
            require(
                (try? store.verify())?.isIntact != true, "two events with one number are named as damage")
        case .checkpoints:
            for checkpoint in ((try? snapshot.checkpoints()) ?? []).prefix(8) {
                let state = try? snapshot.state(of: checkpoint)
                require(
                    state == nil || state?.count == checkpoint.stateBytes, "a state is as long as it says")
            }
        case .figures:
            _ = try? snapshot.info()
            _ = try? snapshot.gaps()
        }
    }

    static func check(_ before: Answers, then after: Answers) {
        guard before.isComplete else { return }
        // A forged footer may hide heads that its blocks tell, which show once the segment is sealed anew.
        let left = before.events.filter { event in after.dropped.map { event.sequence > $0 } ?? true }
        let again = after.events.drop { event in left.first.map { event.sequence < $0.sequence } ?? true }
        require(again.starts(with: left), "what was answered is answered again")
    }

    // MARK: Writing

    struct Appended {
        var sequence: UInt64
        var session: UInt64
        var text: String
    }

    static func append(to store: EventStore) throws(StoreError) -> [Appended] {
        let session = try store.startSession("appended", at: 1)
        let kind = try store.kind("appended", .utf8)
        var events: [Appended] = []
        for text in ["first", "second"] {
            let sequence = try session.append(text, kind: kind, at: 2)
            events.append(Appended(sequence: sequence, session: session.ordinal, text: text))
        }
        try session.checkpoint("appended", state: Array("state".utf8), at: 3)
        let ended = try session.end(at: 4)
        require(
            ended.eventCount == 2 && ended.checkpointCount == 1 && ended.state == .closed,
            "a session that ends has all that was recorded in it")
        return events
    }

    static func checkAppended(
        _ events: [Appended], after recovered: Answers, _ path: String, _ options: StoreOptions
    ) throws(StoreError) {
        let snapshot = try EventStore.openReadOnly(path, options: options).snapshot()
        check(recovered, then: try first(of: snapshot))
        for event in events {
            let found = try snapshot.event(sequence: event.sequence)
            require(
                found?.payload == Array(event.text.utf8) && found?.sessionOrdinal == event.session
                    && found?.sessionID == "appended" && found?.timestamp == 2
                    && found?.kind.name == "appended",
                "what was appended is there")
        }
        // All of them are refused where one segment's index is damaged. Forged ones may have higher ordinals.
        if let checkpoints = try? snapshot.checkpoints() {
            let made = checkpoints.last { $0.id == "appended" && $0.sessionOrdinal == events.first?.session }
            guard let checkpoint = made else {
                return require(false, "the checkpoint that was made is there")
            }
            require(try snapshot.state(of: checkpoint) == Array("state".utf8), "its state is there")
        }
    }
}
