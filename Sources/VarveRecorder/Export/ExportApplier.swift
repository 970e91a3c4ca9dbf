package import Varve

/// Carries out the lines of an export on a store, in their order.
///
/// For one thread. The store has no active session at first, and nobody else starts one meanwhile.
package final class ExportApplier {
    /// How sessions are made.
    package enum Mode {
        /// With the indices of the lines, whatever they are. A session without its end does not survive.
        case importing
        /// As they are recorded: an event's index, where given, must be the session's next one.
        case live
    }

    private struct Begun {
        let begin: ExportLine.SessionBegin
        let ordinal: UInt64
    }

    private let store: EventStore
    private let mode: Mode
    private var session: Session?
    /// The sessions of the export, by their numbers there.
    private var begun: [UInt64: Begun] = [:]
    private var kinds: [UInt64: EventKind] = [:]
    /// The latest line of the session: where it ends when its end line has no time.
    private var lastTimestamp: Int64 = 0

    /// What was made so far.
    package private(set) var events: UInt64 = 0
    package private(set) var checkpoints: UInt64 = 0
    package private(set) var sessions: UInt64 = 0
    package private(set) var payloadBytes: UInt64 = 0
    /// Lines about what the exported store lacks, which can't be made again.
    package private(set) var ledgerLines: UInt64 = 0
    /// The sequence numbers that the store gave, from the first to the last.
    package private(set) var sequences: ClosedRange<UInt64>?
    /// The id of the session at hand.
    package var sessionID: String? { session?.id }

    package init(store: EventStore, mode: Mode) {
        self.store = store
        self.mode = mode
    }

    /// Carries out a line that ``ExportReader`` gave.
    package func apply(_ line: ExportLine) throws {
        switch line {
        case .header: break
        case .session(let begin):
            session = try start(begin)
            lastTimestamp = begin.startedAt
            sessions += 1
        case .pause:
            try end()
        case .resume(let number):
            guard let earlier = begun[number] else { return }
            session = try resume(earlier)
        case .end(let end):
            try self.end(at: end.endedAt, as: end.state)
        case .kind(let kind):
            kinds[kind.number] = try store.kind(kind.name, kind.encoding, metadata: kind.metadata)
        case .event(let event):
            guard let session, let kind = kinds[event.kind] else { return }
            let index = try checked(event.index, next: session.nextIndex, what: "index")
            let sequence =
                switch mode {
                case .importing:
                    try session.append(event.payload, kind: kind, at: event.timestamp, index: index)
                case .live: try session.append(event.payload, kind: kind, at: event.timestamp)
                }
            sequences = (sequences?.lowerBound ?? sequence)...sequence
            lastTimestamp = event.timestamp
            events += 1
            payloadBytes += UInt64(event.payload.count)
        case .checkpoint(let checkpoint):
            guard let session else { return }
            let index = try checked(checkpoint.eventIndex, next: session.nextIndex, what: "event_index")
            try session.checkpoint(
                checkpoint.id, label: checkpoint.label, state: checkpoint.state, at: checkpoint.timestamp,
                eventIndex: mode == .importing ? index : nil)
            lastTimestamp = checkpoint.timestamp
            checkpoints += 1
        case .ledger:
            ledgerLines += 1
        }
    }

    private func start(_ begin: ExportLine.SessionBegin) throws -> Session {
        let new =
            switch mode {
            case .importing:
                try store.startImportedSession(begin.id, at: begin.startedAt, metadata: begin.metadata)
            case .live: try store.startSession(begin.id, at: begin.startedAt, metadata: begin.metadata)
            }
        begun[begin.number] = Begun(begin: begin, ordinal: new.ordinal)
        return new
    }

    private func resume(_ earlier: Begun) throws -> Session {
        guard case .importing = mode else { return try store.resume(session: earlier.ordinal) }
        do {
            return try store.resumeImport(session: earlier.ordinal)
        } catch StoreError.noSuchSession {
            // The store's limits have dropped all of it: what follows is a session like it.
            return try start(earlier.begin)
        }
    }

    /// Ends the session at hand, if there is one; it is durable then.
    package func end(at time: Int64? = nil, as state: SessionState = .closed) throws {
        guard let session else { return }
        self.session = nil
        // A session that was active when it was exported goes on elsewhere: here it was cut off.
        try session.end(at: time ?? lastTimestamp, isInterrupted: state != .closed)
    }

    /// The index of a line, or the next one.
    private func checked(_ index: UInt64?, next: UInt64?, what: String) throws -> UInt64 {
        let next = next ?? 0
        guard let index, index != next else { return next }
        if case .importing = mode { return index }
        throw ExportApplyError(
            reason: "\(what) is \(index) where \(next) comes next: indices as they are given need an import")
    }
}

/// Why a line that is right in itself can't be carried out.
package struct ExportApplyError: Error, CustomStringConvertible {
    package var reason: String
    package var description: String { reason }
}
