internal import VarveFormat

/// Puts sessions together from what segments and pending records say of them.
struct SessionFold {
    private var order: [UInt64] = []
    private var sessions: [UInt64: SessionInfo] = [:]
    /// Imported sessions whose end is not recorded. One that was resumed afterwards, as any session is, counts.
    private(set) var importsWithoutEnd: Set<UInt64> = []
    /// What is left out.
    private(set) var unread = Unread()

    /// The segments whose indices could not be read.
    struct Unread: Sendable {
        fileprivate var segments: [(lastSession: UInt64, error: StoreError)] = []

        /// Why not all is known of this session, or of any (nil); nil: it is.
        func failure(of session: UInt64? = nil) -> StoreError? {
            segments.first { session ?? 0 <= $0.lastSession }?.error
        }
    }

    /// What the segments say.
    init(_ entries: [Catalog.Entry]) {
        for entry in entries {
            do throws(StoreError) {
                for summary in try entry.load().index.sessions { add(summary) }
            } catch {
                unread.segments.append((entry.summary.lastSession, error))
            }
        }
    }

    /// The session with this ordinal, so far.
    func session(_ ordinal: UInt64) -> SessionInfo? { sessions[ordinal] }

    private mutating func begin(_ begin: SessionBegin) {
        if sessions[begin.ordinal] == nil {
            order.append(begin.ordinal)
            sessions[begin.ordinal] = SessionInfo(
                ordinal: begin.ordinal, id: begin.id, startedAt: begin.start, endedAt: nil, state: .active,
                isImported: begin.flags.contains(.imported), eventCount: 0, checkpointCount: 0,
                nextIndex: begin.firstIndex, firstSequence: nil, lastSequence: nil, timeRange: nil,
                payloadBytes: 0,
                metadata: begin.metadata)
        } else {
            sessions[begin.ordinal]?.state = .active
            sessions[begin.ordinal]?.endedAt = nil
        }
        if begin.flags.contains(.imported) {
            importsWithoutEnd.insert(begin.ordinal)
        } else {
            importsWithoutEnd.remove(begin.ordinal)
        }
    }

    private mutating func widen(_ ordinal: UInt64, _ min: Int64, _ max: Int64) {
        let old = sessions[ordinal]?.timeRange
        sessions[ordinal]?.timeRange =
            old.map { Swift.min($0.lowerBound, min)...Swift.max($0.upperBound, max) } ?? min...max
    }

    /// Adds a segment's part of a session.
    mutating func add(_ summary: SessionSummary) {
        let ordinal = summary.begin.ordinal
        begin(summary.begin)
        if summary.events > 0 {
            sessions[ordinal]?.eventCount &+= summary.events
            sessions[ordinal]?.payloadBytes &+= summary.payloadBytes
            if sessions[ordinal]?.firstSequence == nil {
                sessions[ordinal]?.firstSequence = summary.firstSequence
            }
            sessions[ordinal]?.lastSequence = summary.nextSequence - 1
            widen(ordinal, summary.minTimestamp, summary.maxTimestamp)
        }
        sessions[ordinal]?.checkpointCount &+= summary.checkpoints
        sessions[ordinal]?.nextIndex = summary.nextIndex
        switch summary.state {
        case .active: break
        case .closed: sessions[ordinal]?.state = .closed
        case .interrupted: sessions[ordinal]?.state = .interrupted
        }
        if summary.state != .active {
            sessions[ordinal]?.endedAt = summary.end
            importsWithoutEnd.remove(ordinal)
        }
    }

    /// Adds a record that no segment shows yet.
    mutating func add(_ record: ControlRecord) {
        switch record {
        case .sessionBegin(let record): begin(record)
        case .sessionEnd(let end):
            sessions[end.ordinal]?.state = end.reason == .closed ? .closed : .interrupted
            sessions[end.ordinal]?.endedAt = end.end
            sessions[end.ordinal]?.nextIndex = end.nextIndex
            importsWithoutEnd.remove(end.ordinal)
        case .checkpoint(let checkpoint, _): sessions[checkpoint.session]?.checkpointCount &+= 1
        case .ledger, .kinds: break
        }
    }

    /// Adds a batch that no segment shows yet.
    mutating func add(_ batch: Batch) {
        let count = batch.count
        guard count > 0 else { return }
        let ordinal = batch.start.sessionOrdinal
        var bytes: UInt64 = 0
        var smallest = Int64.max
        var largest = Int64.min
        for row in 0..<count {
            bytes &+= UInt64(batch.rows[row].length)
            smallest = min(smallest, batch.rows[row].timestamp)
            largest = max(largest, batch.rows[row].timestamp)
        }
        sessions[ordinal]?.eventCount &+= UInt64(count)
        sessions[ordinal]?.payloadBytes &+= bytes
        if sessions[ordinal]?.firstSequence == nil {
            sessions[ordinal]?.firstSequence = batch.start.nextSequence
        }
        sessions[ordinal]?.lastSequence = batch.start.nextSequence &+ UInt64(count) &- 1
        sessions[ordinal]?.nextIndex =
            batch.hasExplicitIndices
            ? batch.rows[count - 1].index &+ 1 : batch.start.nextIndex &+ UInt64(count)
        widen(ordinal, smallest, largest)
    }

    /// The sessions in order. Without a writer, one that has no end was interrupted at its last event.
    func finish(isLive: Bool) -> [SessionInfo] {
        order.compactMap { ordinal in
            guard var info = sessions[ordinal] else { return nil }
            if info.state == .active, !isLive {
                info.state = .interrupted
                info.endedAt = info.timeRange?.upperBound ?? info.startedAt
            }
            return info
        }
    }
}
