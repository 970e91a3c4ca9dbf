import Foundation
public import Varve
public import VarveJSON

/// Records the events of one session at a time, with state checkpoints among them, into a store.
///
/// Of the active session the last `maxEvents` events and `maxCheckpoints` checkpoints are *retained*: what the queries here and the
/// session that `stop` returns show. The store keeps all of it, as long as its own limits allow.
///
/// Any number of threads may record: indices are dense, and a checkpoint's `eventIndex` is exact.
public final class EventRecorder: @unchecked Sendable {
    /// Retained events, unless the caller says otherwise.
    public static let maxEventsDefault = 50_000
    /// Retained checkpoints, unless the caller says otherwise.
    public static let maxCheckpointsDefault = 1_000

    /// Where it records.
    public let store: EventStore
    private let maxEvents: UInt64
    private let maxCheckpoints: UInt64
    private let kinds: EventKinds
    /// Removed with the recorder; nil: the store is the caller's.
    private let temporaryDirectory: String?
    /// Held while a session begins or ends.
    private let lifecycle = NSLock()
    private let lock = NSLock()
    // Guarded by `lock`.
    private var active: Active?
    private var isImporting = false

    /// The session that is recorded.
    private struct Active {
        let session: Session
        /// Events that it had when it became the active one, those of an import, and the index of the next one then.
        var events: UInt64 = 0, firstIndex: UInt64 = 0
        /// Checkpoints that it has.
        var checkpoints: UInt64 = 0
        /// What it keeps: as much as the limits say, or as an import had.
        let limits: RetentionLimits

        /// Events that it has, retained or not; nil: it has ended.
        var recordedEvents: UInt64? { session.nextIndex.map { events + ($0 &- firstIndex) } }
    }

    // MARK: Making one

    /// A recorder on a store that the caller has opened and closes. A limit below 1 retains one.
    public init(
        store: EventStore, maxEvents: Int = maxEventsDefault, maxCheckpoints: Int = maxCheckpointsDefault
    ) {
        self.store = store
        self.maxEvents = UInt64(max(maxEvents, 1))
        self.maxCheckpoints = UInt64(max(maxCheckpoints, 1))
        temporaryDirectory = nil
        kinds = EventKinds(store: store)
        kinds.internKnown()
    }

    /// A recorder on a store of its own in the directory for temporary files, which goes with it. Errors: `RecorderError.store`.
    public init(
        maxEvents: Int = maxEventsDefault, maxCheckpoints: Int = maxCheckpointsDefault,
        options: StoreOptions = StoreOptions()
    ) throws(RecorderError) {
        let path = FileManager.default.temporaryDirectory
            .appendingPathComponent("varve-recorder-\(UUID().uuidString)").path
        store = try RecorderError.storing { () throws(StoreError) in
            try EventStore.open(path, options: options)
        }
        self.maxEvents = UInt64(max(maxEvents, 1))
        self.maxCheckpoints = UInt64(max(maxCheckpoints, 1))
        temporaryDirectory = path
        kinds = EventKinds(store: store)
        kinds.internKnown()
    }

    deinit {
        guard let temporaryDirectory else { return }
        // What it holds goes with it.
        try? store.close()
        try? FileManager.default.removeItem(atPath: temporaryDirectory)
    }

    // MARK: Sessions

    /// Begins a session. Errors: `sessionAlreadyActive`, and the running one goes on; `RecorderError.store`.
    public func start(
        _ sessionID: String, at timestamp: Int64? = nil, metadata: [String: String] = [:]
    ) throws(RecorderError) {
        lifecycle.lock()
        defer { lifecycle.unlock() }
        guard !isRecording else { throw .sessionAlreadyActive }
        let session = try RecorderError.storing { () throws(StoreError) in
            try store.startSession(sessionID, at: timestamp, metadata: metadata)
        }
        let limits = RetentionLimits(events: maxEvents, checkpoints: maxCheckpoints)
        replaceActive(with: Active(session: session, limits: limits))
    }

    /// Returns the one before.
    @discardableResult
    private func replaceActive(with next: Active?) -> Active? {
        lock.lock()
        defer { lock.unlock() }
        let before = active
        active = next
        return before
    }

    /// Ends the session and returns what is retained of it; nil: none was active. What it returns is on disk.
    ///
    /// Errors: `RecorderError.store`; with `outOfSpace` the session goes on.
    public func stop() throws(RecorderError) -> RecordedSession? {
        lifecycle.lock()
        defer { lifecycle.unlock() }
        return try stopActive()
    }

    private func stopActive() throws(RecorderError) -> RecordedSession? {
        guard let ended = replaceActive(with: nil) else { return nil }
        do throws(StoreError) {
            try ended.session.end()
        } catch {
            switch error {
            // Somebody has closed the store, or ended it there.
            case .sessionEnded, .closed: break
            default:
                // Where nothing more can be written it goes on: it can be stopped once that is over.
                if ended.session.isActive { replaceActive(with: ended) }
                throw .store(error)
            }
        }
        return try recorded(ended)
    }

    /// Whether a session is active.
    public var isRecording: Bool { current != nil }

    private var current: Active? { latest.flatMap { $0.session.isActive ? $0 : nil } }

    /// The same, also where its session has been ended behind the recorder's back.
    private var latest: Active? {
        lock.lock()
        defer { lock.unlock() }
        return active
    }

    private func recorded(_ session: Active) throws(RecorderError) -> RecordedSession {
        try RecordedSession(
            try RecorderError.storing { () throws(StoreError) in try store.snapshot() },
            ordinal: session.session.ordinal, retaining: session.limits)
    }

    /// The session so far; it goes on. Errors: `noActiveSession`, `RecorderError.store`.
    public func export() throws(RecorderError) -> RecordedSession {
        guard let current else { throw .noActiveSession }
        return try recorded(current)
    }

    // MARK: Recording

    /// Records an event; without an active session it does nothing. `timestamp` nil: now.
    ///
    /// Errors: `RecorderError.store` with `outOfSpace` or `poisoned`, or `beyondLimit` for an event larger than a store takes; in a store
    /// whose options say so also `queueFull` and `dropped`.
    public func record(_ event: AppEvent, at timestamp: Int64? = nil) throws(RecorderError) {
        guard let session = sessionToRecord() else { return }
        var json = ByteBuffer()
        event.appendJSON(to: &json)
        do throws(StoreError) {
            let kind = try kinds.kind(of: event)
            try json.withUnsafeBytes { bytes throws(StoreError) in
                _ = try session.append(bytes, kind: kind, at: timestamp)
            }
        } catch {
            switch error {
            case .sessionEnded, .closed: return
            default: throw .store(error)
            }
        }
    }

    /// The session to record into: while another takes its place it waits for that.
    private func sessionToRecord() -> Session? {
        lock.lock()
        let (session, waits) = (active?.session, isImporting)
        lock.unlock()
        guard waits else { return session }
        lifecycle.lock()
        defer { lifecycle.unlock() }
        return latest?.session
    }

    /// Records a checkpoint between the events recorded before and after it. `timestamp` nil: now.
    ///
    /// Errors: `noActiveSession`, `RecorderError.store`.
    @discardableResult
    public func checkpoint(
        _ id: String, label: String? = nil, state: RawJSON, at timestamp: Int64? = nil
    ) throws(RecorderError) -> Checkpoint {
        guard let session = sessionToRecord() else { throw .noActiveSession }
        do throws(StoreError) {
            let made = try session.checkpoint(id, label: label, state: state.bytes, at: timestamp)
            lock.lock()
            if active?.session === session { active?.checkpoints += 1 }
            lock.unlock()
            return made
        } catch {
            switch error {
            case .sessionEnded, .closed: throw .noActiveSession
            default: throw .store(error)
            }
        }
    }

    // MARK: What is retained

    /// Retained events; 0 when none is active. O(1).
    public var eventCount: UInt64 {
        guard let current, let count = current.recordedEvents else { return 0 }
        return min(count, current.limits.events)
    }

    /// Retained checkpoints; 0 when none is active. O(1).
    public var checkpointCount: UInt64 { current.map { min($0.checkpoints, $0.limits.checkpoints) } ?? 0 }

    /// How many events of the active session the limit has evicted.
    public var evictedEventCount: UInt64 {
        guard let current, let count = current.recordedEvents else { return 0 }
        return count - min(count, current.limits.events)
    }

    /// Retained events with this index or a higher one. Errors: `noActiveSession`, `RecorderError.store`.
    public func events(since index: UInt64) throws(RecorderError) -> RecordedEvents {
        try export().events(since: index)
    }

    /// Retained events recorded in this time, both ends included. Errors: `noActiveSession`, `RecorderError.store`.
    public func events(from start: Int64, to end: Int64) throws(RecorderError) -> RecordedEvents {
        try export().events(from: start, to: end)
    }

    /// Retained events between two checkpoints: as `RecordedSession.events`. Errors: `noActiveSession`, `checkpointNotFound`,
    /// `RecorderError.store`.
    public func events(
        betweenCheckpoint first: String, and second: String
    ) throws(RecorderError) -> RecordedEvents {
        try export().events(betweenCheckpoint: first, and: second)
    }

    /// The nearest state of the active session at a moment or before it, and the events since: as `RecordedSession.state`. Errors:
    /// `noActiveSession`, and those.
    public func state(at moment: RecordedSession.Moment) throws(RecorderError) -> RecordedSession.KnownState {
        try export().state(at: moment)
    }

    /// Retained checkpoints in the order made. Errors: `noActiveSession`, `RecorderError.store`.
    public func checkpoints() throws(RecorderError) -> [Checkpoint] { try export().checkpoints }

    /// The retained events that are calls, in order. Errors: `noActiveSession`, and as `RecordedEventCursor.next`.
    public func ipcReplaySequence() throws(RecorderError) -> [IpcCall] { try export().ipcReplaySequence() }

    // MARK: Import

    /// Makes a session of session JSON the active one; the one that was active is ended, and kept. Its events keep their order and
    /// their indices, and nothing of them is evicted before more are recorded.
    ///
    /// The document is read twice: first all of it is validated, then it is recorded, while other threads that record wait. `open`
    /// begins reading it anew; what it gives must not call the recorder. When it throws, nothing of the import is kept, and the
    /// active session goes on unless the import had begun to be recorded. (Where the disk refuses the very last step, the end of the
    /// import, the next opening says whether it is there: whole, or not at all.)
    ///
    /// Errors: `SessionJSONError` with the place of what is wrong, `RecorderError`, and what `open` and its source throw.
    public func importSession(
        valueBytesMax: Int = JSONStreamReader.valueBytesMax,
        from open: () throws -> JSONStreamReader.Source
    ) throws {
        let summary = try SessionImporter.validate(
            SessionJSON.Reader(valueBytesMax: valueBytesMax, source: try open()))
        let reader = SessionJSON.Reader(valueBytesMax: valueBytesMax, source: try open())
        lifecycle.lock()
        defer { lifecycle.unlock() }
        setImporting(true)
        defer { setImporting(false) }
        _ = try stopActive()
        let imported = try SessionImporter(store: store, kinds: kinds).add(reader, validated: summary)
        let session = try RecorderError.storing { () throws(StoreError) in
            try store.resume(session: imported.ordinal)
        }
        replaceActive(
            with: Active(
                session: session, events: summary.eventCount, firstIndex: session.nextIndex ?? 0,
                checkpoints: summary.checkpointCount,
                limits: RetentionLimits(
                    events: max(maxEvents, summary.eventCount),
                    checkpoints: max(maxCheckpoints, summary.checkpointCount))))
    }

    /// The same for a document in memory.
    public func importSession(_ json: [UInt8]) throws {
        try importSession {
            var position = 0
            return { room in
                let count = min(room.count, json.count - position)
                room.copyBytes(from: json[position..<position + count])
                position += count
                return count
            }
        }
    }

    private func setImporting(_ value: Bool) {
        lock.lock()
        isImporting = value
        lock.unlock()
    }
}
