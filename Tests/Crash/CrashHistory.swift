import Varve
import VarveTestKit

/// One thing that was recorded, as it must be found again.
enum Recorded: Hashable, Sendable {
    case begin(ordinal: UInt64, id: String)
    case event(RecordedEvent)
    case checkpoint(Checkpoint, state: [UInt8])
    case end(ordinal: UInt64)
    /// The whole of an import, from its beginning to its end: all of it is found, or nothing.
    case imported([Recorded])
    /// A session that had ended is recorded again.
    case resumed(ordinal: UInt64)
}

/// An event's facts.
struct RecordedEvent: Hashable, Sendable {
    let sequence, session, index: UInt64
    let sessionID: String
    let timestamp: Int64
    let kind: EventKind
    let payload: [UInt8]

    func isEqual(to event: Event) -> Bool {
        sequence == event.sequence && session == event.sessionOrdinal && index == event.index
            && sessionID == event.sessionID && timestamp == event.timestamp && kind == event.kind
            && payload == event.payload
    }
}

/// What was recorded into a store, in order, over the lives of several processes.
struct CrashHistory: Sendable {
    private(set) var items: [Recorded] = []

    /// The first `count` of them, as recovery leaves them.
    func prefix(_ count: Int) -> CrashHistory { CrashHistory(items: Array(items.prefix(count))) }

    mutating func add(_ item: Recorded) { items.append(item) }

    /// How far an event's number reaches into the history: it and what was recorded before it.
    func count(through sequence: UInt64) -> Int {
        let last = items.lastIndex {
            if case .event(let event) = $0 { event.sequence <= sequence } else { false }
        }
        return last.map { $0 + 1 } ?? 0
    }

    /// What a store shows, as a prefix of the history.
    ///
    /// - Returns: the least and the greatest count of items that show so. Items that can't be seen make the difference.
    /// - Throws: what is wrong.
    func match(_ store: EventStore) throws -> ClosedRange<Int> {
        let snapshot = try store.snapshot()
        let sessions = try snapshot.sessions()
        let checkpoints = try snapshot.checkpoints()
        let closed = Set(sessions.filter { $0.state == .closed }.map(\.ordinal))
        var cursor = try snapshot.cursor()
        var sessionsSeen = 0
        var checkpointsSeen = 0
        var (least, greatest) = (0, items.count)
        var isOver = false
        /// Whether it is there; nil: that can't be seen of it alone.
        func isFound(_ item: Recorded) throws -> Bool? {
            switch item {
            case .begin(let ordinal, let id):
                guard sessionsSeen < sessions.count else { return false }
                let session = sessions[sessionsSeen]
                guard session.ordinal == ordinal, session.id == id else {
                    throw Mismatch("session \(ordinal) \(id) is \(session)")
                }
                sessionsSeen += 1
                return true
            case .event(let expected):
                let event = isOver ? nil : try cursor.nextEvent()
                if let event, !expected.isEqual(to: event) {
                    throw Mismatch(
                        "event \(expected.sequence), \(expected.index) of session \(expected.session), is "
                            + "\(event.sequence), \(event.index) of session \(event.sessionOrdinal)")
                }
                isOver = event == nil
                return !isOver
            case .checkpoint(let expected, let state):
                guard checkpointsSeen < checkpoints.count else { return false }
                let checkpoint = checkpoints[checkpointsSeen]
                guard checkpoint == expected, try snapshot.state(of: checkpoint) == state else {
                    throw Mismatch("checkpoint \(expected) is \(checkpoint)")
                }
                checkpointsSeen += 1
                return true
            case .imported(let parts):
                let found = Set(try parts.compactMap(isFound))
                guard found.count == 1 else { throw Mismatch("of an import only a part is there") }
                return found.first
            case .end, .resumed: return nil
            }
        }
        for (position, item) in items.enumerated() {
            switch try isFound(item) {
            case true?: least = position + 1
            case false?: greatest = min(greatest, position)
            case nil: break
            }
        }
        if !isOver, let event = try cursor.nextEvent() {
            throw Mismatch("event \(event.sequence) of session \(event.sessionOrdinal) was never recorded")
        }
        guard sessionsSeen == sessions.count, checkpointsSeen == checkpoints.count else {
            throw Mismatch("there are sessions or checkpoints that were never recorded")
        }
        guard least <= greatest else {
            throw Mismatch("no prefix: item \(greatest) is missing, and item \(least - 1) is there")
        }
        // Ends are told by the sessions that have one.
        let counts = (least...greatest).filter { Self.ended(items.prefix($0)) == closed }
        guard let first = counts.first, let last = counts.last else {
            throw Mismatch("no prefix: with \(least)...\(greatest) items, sessions \(closed) have ended")
        }
        if let gap = cursor.coverage.gaps.first(where: { $0.reason != .unconfirmedTail }) {
            throw Mismatch("what was never durable is a gap: \(gap)")
        }
        return first...last
    }

    /// The sessions that have ended, and were not resumed.
    private static func ended(_ items: some Sequence<Recorded>) -> Set<UInt64> {
        var ended: Set<UInt64> = []
        for item in items {
            switch item {
            case .end(let ordinal): ended.insert(ordinal)
            case .resumed(let ordinal): ended.remove(ordinal)
            case .imported(let parts): ended.formUnion(Self.ended(parts))
            case .begin, .event, .checkpoint: break
            }
        }
        return ended
    }

    struct Mismatch: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }
}

/// Records into an open store, and notes in the journal how far it has got.
struct CrashRecorder {
    /// What a mark says of a count of items.
    enum Progress: Int, CaseIterable {
        /// No more than these were begun to be recorded.
        case begun
        /// The calls that recorded them returned.
        case returned
        /// The store said that they are durable.
        case acknowledged
        /// The store is open; the count is that of what it recovered.
        case opened
    }

    let system: SimulatedFileSystem
    let store: EventStore
    /// Whether every call returns after its sync.
    let isSynced: Bool
    private(set) var history: CrashHistory
    private var session: Session?
    private var nextIndex: UInt64 = 0

    init(_ store: EventStore, on system: SimulatedFileSystem, isSynced: Bool, after history: CrashHistory) {
        self.system = system
        self.store = store
        self.isSynced = isSynced
        self.history = history
        mark(.opened)
    }

    private func mark(_ progress: Progress, _ count: Int? = nil) {
        system.mark((count ?? history.items.count) * Progress.allCases.count + progress.rawValue)
    }

    /// The greatest count of items of which the marks say so.
    static func count(_ progress: Progress, in marks: [Int]) -> Int? {
        marks.filter { $0 % Progress.allCases.count == progress.rawValue }.map {
            $0 / Progress.allCases.count
        }.max()
    }

    /// Notes that one more item is about to be recorded, or several.
    func willRecord(_ count: Int = 1) { mark(.begun, history.items.count + count) }

    /// Notes that the call that recorded it has returned.
    mutating func didRecord(_ item: Recorded, isDurable: Bool) {
        history.add(item)
        mark(.returned)
        if isDurable { mark(.acknowledged) }
    }

    mutating func begin(_ id: String, at timestamp: Int64) throws {
        willRecord()
        let session = try store.startSession(id, at: timestamp)
        self.session = session
        nextIndex = 0
        didRecord(.begin(ordinal: session.ordinal, id: id), isDurable: false)
    }

    mutating func append(_ payload: [UInt8], _ kind: EventKind, at timestamp: Int64) throws {
        guard let session else { return }
        willRecord()
        let sequence = try session.append(payload, kind: kind, at: timestamp)
        didRecord(
            .event(
                RecordedEvent(
                    sequence: sequence, session: session.ordinal, index: nextIndex, sessionID: session.id,
                    timestamp: timestamp, kind: kind, payload: payload)), isDurable: isSynced)
        nextIndex += 1
        if let durable = store.durableThrough { mark(.acknowledged, history.count(through: durable)) }
    }

    mutating func checkpoint(_ id: String, state: [UInt8], at timestamp: Int64) throws {
        guard let session else { return }
        willRecord()
        didRecord(
            .checkpoint(try session.checkpoint(id, label: "l", state: state, at: timestamp), state: state),
            isDurable: isSynced)
    }

    mutating func flush() throws {
        try store.flush()
        mark(.acknowledged)
    }

    mutating func end(at timestamp: Int64) throws {
        guard let session else { return }
        willRecord()
        _ = try session.end(at: timestamp)
        didRecord(.end(ordinal: session.ordinal), isDurable: true)
        self.session = nil
    }

    /// Closes the store, which ends the session.
    mutating func close() throws {
        if session != nil { willRecord() }
        try store.close()
        if let session { didRecord(.end(ordinal: session.ordinal), isDurable: true) }
    }
}
