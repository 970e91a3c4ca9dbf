internal import VarveFormat

/// Puts sessions together from what segments and pending records say of them: of each what retention keeps.
struct SessionFold {
    /// What is known of a session whatever is kept of it.
    private struct Origin {
        /// The number that its first event got, or would have got.
        var sequence: UInt64
        /// It never had an event or a checkpoint.
        var isEmpty: Bool
        /// Of all its events.
        var lastTime: Int64?
    }

    private let retained: Retained
    private var order: [UInt64] = []
    private var sessions: [UInt64: SessionInfo] = [:]
    /// By the sessions' ordinals.
    private var origins: [UInt64: Origin] = [:]
    private(set) var imports = UnfinishedImports()
    /// The session that is active so far.
    private var active: UInt64?
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
    init(_ entries: [Catalog.Entry], _ retained: Retained = Retained()) {
        self.retained = retained
        for entry in entries {
            do throws(StoreError) {
                if let segment = try entry.loadKept(by: retained) { add(segment) }
            } catch {
                unread.segments.append((entry.summary.lastSession, error))
            }
        }
    }

    /// The session with this ordinal, so far.
    func session(_ ordinal: UInt64) -> SessionInfo? { sessions[ordinal] }

    /// A session has ended where nobody sees it: in a segment that was dropped, or is lost.
    private mutating func endUnseen(_ ordinal: UInt64) {
        active = nil
        guard let info = sessions[ordinal] else { return }
        sessions[ordinal]?.state = .interrupted
        sessions[ordinal]?.endedAt =
            origins[ordinal]?.lastTime ?? info.timeRange?.upperBound ?? info.startedAt
        origins[ordinal]?.isEmpty = false
    }

    private mutating func begin(_ begin: SessionBegin, at sequence: UInt64) {
        if let active, active != begin.ordinal { endUnseen(active) }
        active = begin.ordinal
        if origins[begin.ordinal] == nil {
            // One that goes on had events where it has an index already; an import's say nothing.
            let isNew = begin.flags.isDisjoint(with: [.resumed, .continued]) || begin.firstIndex == 0
            origins[begin.ordinal] = Origin(
                sequence: sequence, isEmpty: isNew || begin.flags.contains(.imported))
        }
        // One that is begun again stands where that happened: what came before may be gone.
        origins[begin.ordinal]?.sequence = sequence
        if begin.flags.contains(.used) { origins[begin.ordinal]?.isEmpty = false }
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
        imports.begin(begin)
    }

    /// Adds what a segment has of sessions. Only where retention keeps a part of one its blocks are asked.
    private mutating func add(_ segment: LoadedSegment) {
        let header = segment.index.header
        if !header.isFromSummary, let active, header.session?.ordinal != active { endUnseen(active) }
        let checkpoints = segment.index.checkpoints
        let hidesCheckpoints = checkpoints.contains { !retained.keeps($0.record) }
        for var summary in segment.index.sessions {
            let ordinal = summary.begin.ordinal
            let range = Range(from: summary.firstSequence, upTo: summary.nextSequence)
            let (events, hadCheckpoints) = (summary.events, summary.checkpoints > 0)
            let isKept = events == 0 || !retained.hidesPart(of: range, session: ordinal)
            if !isKept { summary.events = 0 }
            if hidesCheckpoints { summary.checkpoints = 0 }
            add(summary)
            touch(ordinal, hasMore: events > 0 || hadCheckpoints, events > 0 ? summary.maxTimestamp : nil)
            if !isKept, !retained.parts(of: range, session: ordinal).isEmpty {
                add(segment.keptFigures(by: retained, session: ordinal, in: range), to: ordinal)
            }
        }
        guard hidesCheckpoints else { return }
        for checkpoint in checkpoints where retained.keeps(checkpoint.record) {
            sessions[checkpoint.record.session]?.checkpointCount &+= 1
        }
    }

    /// Notes what there was of a session, kept or not.
    private mutating func touch(_ ordinal: UInt64, hasMore: Bool, _ time: Int64?) {
        guard !retained.isEverything, var origin = origins[ordinal] else { return }
        if hasMore { origin.isEmpty = false }
        if let time { origin.lastTime = max(origin.lastTime ?? time, time) }
        origins[ordinal] = origin
    }

    private mutating func add(_ figures: KeptFigures, to ordinal: UInt64) {
        guard let sequences = figures.sequences else { return }
        sessions[ordinal]?.eventCount &+= figures.events
        sessions[ordinal]?.payloadBytes &+= figures.bytes
        if sessions[ordinal]?.firstSequence == nil {
            sessions[ordinal]?.firstSequence = sequences.lowerBound
        }
        sessions[ordinal]?.lastSequence = sequences.upperBound
        if let times = figures.times { sessions[ordinal]?.timeRange.widen(to: times) }
    }

    /// Adds a segment's part of a session, all of which is kept.
    mutating func add(_ summary: SessionSummary) {
        let ordinal = summary.begin.ordinal
        begin(summary.begin, at: summary.firstSequence)
        if summary.events > 0 {
            sessions[ordinal]?.eventCount &+= summary.events
            sessions[ordinal]?.payloadBytes &+= summary.payloadBytes
            if sessions[ordinal]?.firstSequence == nil {
                sessions[ordinal]?.firstSequence = summary.firstSequence
            }
            sessions[ordinal]?.lastSequence = summary.nextSequence - 1
            sessions[ordinal]?.timeRange.widen(to: summary.minTimestamp...summary.maxTimestamp)
        }
        sessions[ordinal]?.checkpointCount &+= summary.checkpoints
        sessions[ordinal]?.nextIndex = summary.nextIndex
        switch summary.state {
        case .active: break
        case .closed: sessions[ordinal]?.state = .closed
        case .interrupted: sessions[ordinal]?.state = .interrupted
        }
        if summary.state != .active {
            active = nil
            sessions[ordinal]?.endedAt = summary.end
            imports.end(ordinal)
        }
    }

    /// Adds a record that no segment shows yet; `sequence` is the number of the event after it.
    mutating func add(_ record: ControlRecord, at sequence: UInt64) {
        switch record {
        case .sessionBegin(let record): begin(record, at: sequence)
        case .sessionEnd(let end):
            sessions[end.ordinal]?.state = end.reason == .closed ? .closed : .interrupted
            active = nil
            sessions[end.ordinal]?.endedAt = end.end
            sessions[end.ordinal]?.nextIndex = end.nextIndex
            imports.end(end.ordinal)
        case .checkpoint(let checkpoint, _):
            touch(checkpoint.session, hasMore: true, nil)
            if retained.keeps(checkpoint) { sessions[checkpoint.session]?.checkpointCount &+= 1 }
        case .ledger, .kinds: break
        }
    }

    /// Adds a batch that no segment shows yet.
    mutating func add(_ batch: Batch) {
        guard batch.count > 0 else { return }
        let ordinal = batch.start.sessionOrdinal
        add(KeptFigures(batch, retained), to: ordinal)
        if !retained.isEverything {
            touch(ordinal, hasMore: true, batch.timeRange?.upperBound)
        }
        sessions[ordinal]?.nextIndex = batch.nextIndex
    }

    /// The sessions in order. Without a writer, one that has no end was interrupted at its last event. One that has ended disappears with
    /// its last event and checkpoint, or where it never had any once the logical head has passed its beginning.
    func finish(isLive: Bool) -> [SessionInfo] {
        order.sorted().compactMap { ordinal in
            guard var info = sessions[ordinal] else { return nil }
            let origin = origins[ordinal]
            if info.state == .active, !isLive {
                info.state = .interrupted
                info.endedAt = origin?.lastTime ?? info.timeRange?.upperBound ?? info.startedAt
            }
            guard !retained.isEverything, info.state != .active, info.eventCount == 0,
                info.checkpointCount == 0, let origin
            else { return info }
            return origin.isEmpty && origin.sequence >= retained.headSequence ? info : nil
        }
    }
}
