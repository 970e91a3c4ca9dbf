internal import VarveFormat

/// What repair writes, in order, and what it leaves out: pure, from what the files hold to what is to be done.
///
/// The log's blocks go over in their order. In salvage, what lies beyond the log fills the holes in its numbers and goes on
/// after its end; it never takes the place of what the log has.
struct RepairPlan {
    enum Step {
        /// The kinds of a source keep their order.
        case kinds(source: Int)
        case events(source: Int, block: Int, rows: Range<Int>)
        case checkpoint(source: Int, block: Int)
        /// Events that only `TAIL` holds.
        case tail(slot: Int)
        /// A record of a session or the ledger. The header says its place, epoch, times and counters.
        case record(ControlBlock.Record, BlockHeader)
    }

    /// Numbers that were taken, and by which opening's events.
    private struct Taken {
        let sequences: Range<UInt64>
        let epoch: UInt64
        /// nil: they are in `TAIL`.
        let block: (source: Int, block: Int)?
    }

    /// What is left out of a file, although it can be read.
    struct LeftOut {
        /// Events that are in the new store already.
        var duplicates: UInt64 = 0
        /// Numbers that other events have in the new store.
        var conflicts: [ClosedRange<UInt64>] = []
    }

    private(set) var steps: [Step] = []
    /// Numbers that no step holds.
    private(set) var gaps: [Gap] = []
    private(set) var sessions = 0
    private(set) var checkpoints = 0
    private(set) var checkpointsMade: UInt64 = 0
    /// Events and checkpoints of imports that were never completed: no reader sees them, here as in the source.
    private(set) var hiddenEvents: UInt64 = 0
    private(set) var hiddenCheckpoints = 0
    /// By source: events and checkpoints kept.
    private(set) var keptEvents: [UInt64]
    private(set) var keptCheckpoints: [Int]
    private(set) var leftOut: [LeftOut]

    // What was given.
    private let sources: [RepairSource]
    private let logCount: Int
    private let isSalvaging: Bool
    private let time: Int64

    // What is known of sessions: by the log, and beyond it.
    private var logSessions = SessionFold([])
    private var otherSessions = SessionFold([])
    /// Sessions whose last end the log shows.
    private var endedInLog: Set<UInt64> = []
    /// The first number that the limits of the source kept.
    private var headSequence: UInt64 = 0

    // The end of what is planned so far.
    private var next: UInt64 = 0
    /// Above every number that is known to have been given.
    private var knownEnd: UInt64 = 0
    private var last = BlockHeader(type: .ledger)
    private var active: SessionBegin?
    /// By session: what is kept of it.
    private var sessionEvents: [UInt64: UInt64] = [:]
    private var sessionCheckpoints: [UInt64: Int] = [:]
    private var nextIndex: UInt64 = 0
    private var lastTimestamp: Int64?
    private var begun: Set<UInt64> = []
    private var unfinishedImports = UnfinishedImports()
    private var sessionsBegun: UInt64 = 0
    private var takenCheckpoints: Set<UInt64> = []
    private var taken: [Taken] = []
    private var ledger: [LedgerRecord] = []

    // What lies beyond the log, in the order of its numbers.
    private struct Piece {
        let source: Int
        let block: Int
        let rows: Range<Int>
        let sequences: Range<UInt64>
        let rank: (epoch: UInt64, generation: UInt32)
    }
    private var pieces: [Piece] = []
    private var nextPiece = 0
    private var openPieces: [Piece] = []
    private var controls: [(source: Int, block: Int)] = []
    private var nextControl = 0

    /// A plan for the log's sources, in order, for what `TAIL` adds to them, and for what lies beyond: blocks of theirs that are not in the log, and the sources
    /// after the first `logCount`; they count only when `isSalvaging`.
    init(
        sources: [RepairSource], logCount: Int, isSalvaging: Bool, recovery: RecoveryPlan, tail: TailPlan,
        damage: [Damage], state: StateSlot?, time: Int64
    ) {
        self.sources = sources
        self.logCount = logCount
        self.isSalvaging = isSalvaging
        self.time = time
        keptEvents = Array(repeating: 0, count: sources.count)
        keptCheckpoints = Array(repeating: 0, count: sources.count)
        leftOut = Array(repeating: LeftOut(), count: sources.count)
        func raiseHead(_ head: UInt64) {
            // Those that no number reaches are none that a writer gave.
            if head < .max >> 2 { headSequence = max(headSequence, head) }
        }
        raiseHead(state?.headSequence ?? 0)
        for source in sources[..<logCount] {
            raiseHead(source.footer?.summary.headSequence ?? 0)
            for block in source.blocks { raiseHead(block.header.headSequence) }
            for summary in source.sessions(inLog: true) {
                logSessions.add(summary)
                if summary.state == .active {
                    endedInLog.remove(summary.begin.ordinal)
                } else {
                    endedInLog.insert(summary.begin.ordinal)
                }
            }
            ledger += RepairPlan.ledger(of: source).records
            for block in source.blocks where block.isInLog {
                if case .checkpoint(let record, _) = block.record {
                    takenCheckpoints.insert(record.ordinal)
                }
            }
            if let footer = source.footer {
                checkpointsMade = max(checkpointsMade, footer.summary.checkpointsMade)
                knownEnd = max(knownEnd, footer.summary.nextSequence)
            }
            checkpointsMade = max(checkpointsMade, source.header?.checkpointsMade ?? 0)
        }
        if isSalvaging { collectBeyond(state) }
        for number in 0..<logCount { addLog(number) }
        add(tail)
        fill(before: .max, place: (.max, .max))
        endActive()
        for (ordinal, count) in sessionEvents where unfinishedImports.ordinals.contains(ordinal) {
            hiddenEvents += count
        }
        for (ordinal, count) in sessionCheckpoints where unfinishedImports.ordinals.contains(ordinal) {
            hiddenCheckpoints += count
        }
        sessions = begun.subtracting(unfinishedImports.ordinals).count
        for gap in recovery.gaps + tail.gaps where gap.sequences.upperBound < .max >> 1 {
            knownEnd = max(knownEnd, gap.sequences.upperBound + 1)
        }
        knownEnd = max(knownEnd, next)
        if isSalvaging { countLeftOut() }
        addLedger(recovery, tail, damage + sources.flatMap(\.damage))
    }

    /// Checkpoints that were made, as the counters say, and are not kept; without those that retention dropped.
    var lostCheckpoints: UInt64 {
        let first = max(last.headCheckpoint, 1)
        guard checkpointsMade >= first else { return 0 }
        // An excerpt's counters are its source's: what it has itself is what its footers name.
        if isExcerpt {
            let named = sources[..<logCount].flatMap { $0.footer?.checkpoints.map(\.record.ordinal) ?? [] }
            return UInt64(Set(named).count { $0 >= first && !takenCheckpoints.contains($0) })
        }
        let kept = UInt64(takenCheckpoints.count { $0 >= first })
        return (checkpointsMade - first + 1) - min(kept, checkpointsMade - first + 1)
    }

    /// Whether events were left out when it was made.
    private var isExcerpt: Bool {
        ledger.contains { if case .gap(_, _, .leftOut, _, _) = $0 { true } else { false } }
    }

    /// Events that no reader of the source sees.
    var salvagedEvents: UInt64 {
        taken.reduce(0) { total, range in
            let isInLog =
                range.block.map { $0.source < logCount && sources[$0.source].blocks[$0.block].isInLog }
                ?? true
            return isInLog ? total : total + UInt64(range.sequences.count)
        }
    }

    // MARK: The log

    private mutating func addLog(_ number: Int) {
        let source = sources[number]
        steps.append(.kinds(source: number))
        // Sessions of which no block can be read: the footer alone knows them.
        let seen = Set(source.blocks.filter(\.isInLog).map(\.header.sessionOrdinal))
        var unseen = (source.footer?.sessions ?? []).filter {
            !$0.begin.flags.contains(.continued) && !seen.contains($0.begin.ordinal)
        }[...]
        var (lostLedger, isWhole) = RepairPlan.ledger(of: source)
        for (position, block) in source.blocks.enumerated() where block.isInLog {
            while let session = unseen.first, session.begin.ordinal < block.header.sessionOrdinal {
                unseen.removeFirst()
                activate(session.begin.ordinal, index: session.begin.firstIndex)
            }
            checkpointsMade = max(checkpointsMade, block.header.checkpointsMade)
            knownEnd = max(knownEnd, block.header.nextSequence)
            switch block.record {
            case nil:
                for rows in block.runs { add(number, position, rows) }
            case .ledger(let records):
                fill(before: block.header.firstSequence, place: (source.ordinal, block.offset))
                if isWhole {
                    put(.ledger(records), block.header)
                } else if !lostLedger.isEmpty {
                    put(.ledger(lostLedger), block.header)
                    lostLedger = []
                }
            default: addControl(number, position, isInLog: true)
            }
        }
        for session in unseen { activate(session.begin.ordinal, index: session.begin.firstIndex) }
        if !isWhole, !lostLedger.isEmpty { put(.ledger(lostLedger), header(.ledger)) }
    }

    /// A source's ledger records, and whether its blocks hold all of them.
    private static func ledger(of source: RepairSource) -> (records: [LedgerRecord], isWhole: Bool) {
        var records: [LedgerRecord] = []
        for block in source.blocks where block.isInLog {
            if case .ledger(let found) = block.record { records += found }
        }
        guard let footer = source.footer, footer.ledger.count > records.count else { return (records, true) }
        return (footer.ledger, false)
    }

    /// Rows of a block that is in the log.
    private mutating func add(_ number: Int, _ position: Int, _ rows: Range<Int>) {
        let block = sources[number].blocks[position]
        let first = block.header.firstSequence + UInt64(rows.lowerBound)
        fill(before: first, place: (sources[number].ordinal, block.offset))
        let skipped = next > first ? Int(min(next - first, UInt64(rows.count))) : 0
        put(number, position, rows.lowerBound + skipped..<rows.upperBound)
    }

    /// What only `TAIL` holds: it goes on where the log ends.
    private mutating func add(_ tail: TailPlan) {
        for (number, slot) in tail.slots.enumerated() {
            fill(before: slot.firstSequence, place: (.max, .max))
            activate(slot.session, index: slot.firstIndex)
            steps.append(.tail(slot: number))
            let count = UInt64(slot.rows.count)
            let range = slot.firstSequence..<slot.firstSequence + count
            sessionEvents[slot.session, default: 0] += count
            taken.append(Taken(sequences: range, epoch: tail.epoch, block: nil))
            last.epoch = max(last.epoch, tail.epoch)
            next = range.upperBound
            nextIndex = slot.firstIndex + count
            for row in slot.rows { lastTimestamp = max(lastTimestamp ?? .min, row.timestamp) }
        }
        knownEnd = max(knownEnd, tail.nextSequence ?? 0)
    }

    // MARK: What lies beyond

    private mutating func collectBeyond(_ state: StateSlot?) {
        var head = state?.headSequence ?? 0
        var headCheckpoint = state?.headCheckpoint ?? 0
        for source in sources[..<logCount] {
            for block in source.blocks where block.isInLog {
                head = max(head, block.header.headSequence)
                headCheckpoint = max(headCheckpoint, block.header.headCheckpoint)
            }
        }
        for (number, source) in sources.enumerated() {
            for summary in source.sessions(inLog: false) {
                // A segment may be there in several generations.
                if logSessions.session(summary.begin.ordinal) == nil { otherSessions.add(summary) }
            }
            for (position, block) in source.blocks.enumerated() where !block.isInLog {
                switch block.record {
                case nil:
                    for rows in block.runs {
                        let first = block.header.firstSequence
                        // What retention dropped stays dropped.
                        let range =
                            max(
                                head, first + UInt64(rows.lowerBound))..<max(
                                head, first + UInt64(rows.upperBound))
                        guard !range.isEmpty else { continue }
                        pieces.append(
                            Piece(
                                source: number, block: position, rows: rows, sequences: range,
                                rank: (block.header.epoch, source.generation)))
                    }
                case .checkpoint(let record, _):
                    if record.ordinal >= headCheckpoint { controls.append((number, position)) }
                case .sessionBegin, .sessionEnd, .ledger: controls.append((number, position))
                case .dictionary, .kinds, .padding: break
                }
            }
        }
        pieces.sort {
            ($0.sequences.lowerBound, $0.source, $0.block) < ($1.sequences.lowerBound, $1.source, $1.block)
        }
        controls = controls.sorted { place(of: $0) < place(of: $1) }
    }

    private func place(of control: (source: Int, block: Int)) -> (UInt64, UInt64, UInt64) {
        let source = sources[control.source]
        let block = source.blocks[control.block]
        return (block.header.firstSequence, source.ordinal, block.offset)
    }

    /// Takes what there is beyond the log below a number, and what stands at it in an earlier place than `place`.
    private mutating func fill(before limit: UInt64, place: (UInt64, UInt64)) {
        while true {
            var stop = limit
            var control: (source: Int, block: Int)?
            if nextControl < controls.count {
                let (position, ordinal, offset) = self.place(of: controls[nextControl])
                if position < limit || position == limit && (ordinal, offset) < place {
                    control = controls[nextControl]
                    stop = position
                }
            }
            if let (piece, range) = nextEvents(before: stop) {
                let first = sources[piece.source].blocks[piece.block].header.firstSequence
                put(
                    piece.source, piece.block,
                    Int(range.lowerBound - first)..<Int(range.upperBound - first))
            } else if let control {
                nextControl += 1
                addControl(control.source, control.block, isInLog: false)
            } else {
                return
            }
        }
    }

    /// The next events beyond the log with numbers below `stop`: of several with the same number those of the latest opening.
    private mutating func nextEvents(before stop: UInt64) -> (piece: Piece, range: Range<UInt64>)? {
        while nextPiece < pieces.count, pieces[nextPiece].sequences.lowerBound <= next {
            openPieces.append(pieces[nextPiece])
            nextPiece += 1
        }
        let next = next
        openPieces.removeAll { $0.sequences.upperBound <= next }
        var from = openPieces.map { max(next, $0.sequences.lowerBound) }.min()
        if from == nil, nextPiece < pieces.count {
            let first = pieces[nextPiece].sequences.lowerBound
            from = first
            while nextPiece < pieces.count, pieces[nextPiece].sequences.lowerBound == first {
                openPieces.append(pieces[nextPiece])
                nextPiece += 1
            }
        }
        guard let from, from < stop else { return nil }
        let best = openPieces.filter { $0.sequences.lowerBound <= from }.max { $0.rank < $1.rank }
        return best.map { ($0, from..<min(stop, $0.sequences.upperBound)) }
    }

    // MARK: Steps

    private mutating func put(_ number: Int, _ position: Int, _ rows: Range<Int>) {
        guard !rows.isEmpty else { return }
        let block = sources[number].blocks[position]
        last = block.header
        let index = block.header.firstIndex &+ UInt64(rows.lowerBound)
        if block.header.sessionOrdinal > 0 { activate(block.header.sessionOrdinal, index: index) }
        steps.append(.events(source: number, block: position, rows: rows))
        let first = block.header.firstSequence
        let range = first + UInt64(rows.lowerBound)..<first + UInt64(rows.upperBound)
        sessionEvents[block.header.sessionOrdinal, default: 0] += UInt64(rows.count)
        taken.append(Taken(sequences: range, epoch: block.header.epoch, block: (number, position)))
        keptEvents[number] += UInt64(rows.count)
        next = range.upperBound
        nextIndex =
            rows.upperBound == Int(block.header.eventCount) ? block.nextIndex : index &+ UInt64(rows.count)
        lastTimestamp = max(lastTimestamp ?? .min, block.header.maxTimestamp)
    }

    private mutating func addControl(_ number: Int, _ position: Int, isInLog: Bool) {
        let source = sources[number]
        let block = source.blocks[position]
        if isInLog { fill(before: block.header.firstSequence, place: (source.ordinal, block.offset)) }
        last = block.header
        switch block.record {
        case .sessionBegin(let begin):
            let isKnown = !isInLog && logSessions.session(begin.ordinal) != nil
            guard !isKnown, active?.ordinal != begin.ordinal else { return }
            if begun.contains(begin.ordinal), !begin.flags.contains(.resumed) { return }
            endActive()
            self.begin(begin, block.header)
        case .sessionEnd(let end):
            let isEnded = !isInLog && endedInLog.contains(end.ordinal)
            if !isEnded, !begun.contains(end.ordinal), info(end.ordinal) != nil {
                activate(end.ordinal, index: end.nextIndex)
            }
            guard !isEnded, active?.ordinal == end.ordinal else { return }
            put(.sessionEnd(end), block.header)
            active = nil
        case .checkpoint(let record, _):
            if !isInLog, takenCheckpoints.contains(record.ordinal) { return }
            takenCheckpoints.insert(record.ordinal)
            next = max(next, block.header.firstSequence)
            activate(record.session, index: record.eventIndex)
            steps.append(.checkpoint(source: number, block: position))
            sessionCheckpoints[record.session, default: 0] += 1
            checkpoints += 1
            keptCheckpoints[number] += 1
            checkpointsMade = max(checkpointsMade, record.ordinal)
        case .ledger(let records):
            let fresh = records.filter { !ledger.contains($0) }
            ledger += fresh
            if !fresh.isEmpty { put(.ledger(fresh), block.header) }
        case .kinds, .dictionary, .padding, nil: break
        }
    }

    // MARK: Sessions

    private func info(_ ordinal: UInt64) -> SessionInfo? {
        logSessions.session(ordinal) ?? otherSessions.session(ordinal)
    }

    /// Whether the session counts only with its end: not one that goes on after it, as far as its begin records tell.
    private func isImport(_ info: SessionInfo) -> Bool {
        let isUnfinished =
            logSessions.imports.ordinals.contains(info.ordinal)
            || otherSessions.imports.ordinals.contains(info.ordinal)
        return info.isImported && (info.state != .active || isUnfinished)
    }

    /// Makes the session the active one: what comes next belongs to it.
    private mutating func activate(_ ordinal: UInt64, index: UInt64) {
        guard active?.ordinal != ordinal else { return }
        endActive()
        var begin: SessionBegin
        if let info = info(ordinal) {
            begin = SessionBegin(
                ordinal: ordinal, flags: isImport(info) ? [.imported] : [], id: info.id,
                start: info.startedAt,
                metadata: info.metadata)
        } else {
            // Its begin record is lost.
            begin = SessionBegin(
                ordinal: ordinal, id: "unknown-session-\(ordinal)", start: last.minTimestamp)
        }
        begin.firstIndex = index
        if begun.contains(ordinal) { begin.flags.insert(.resumed) }
        var header = header(.sessionBegin)
        header.minTimestamp = begin.start
        header.maxTimestamp = begin.start
        self.begin(begin, header)
    }

    private mutating func begin(_ begin: SessionBegin, _ header: BlockHeader) {
        begun.insert(begin.ordinal)
        unfinishedImports.begin(begin)
        sessionsBegun = max(sessionsBegun, begin.ordinal)
        active = begin
        nextIndex = begin.firstIndex
        lastTimestamp = nil
        var header = header
        header.sessionOrdinal = begin.ordinal
        header.firstIndex = begin.firstIndex
        put(.sessionBegin(begin), header)
    }

    /// Ends the active session, whose end record is lost or was never written: as far as the store knows how it ended, so.
    private mutating func endActive() {
        guard let session = active else { return }
        active = nil
        let known = info(session.ordinal)
        let isClosed = known?.state == .closed
        // An import without its end does not exist. Salvage shows what there is of it.
        let hasEnded = known.map { $0.state != .active } ?? false
        if session.flags.contains(.imported), !hasEnded, !isSalvaging { return }
        let lastKnown = max(lastTimestamp ?? .min, known?.timeRange?.upperBound ?? .min)
        let interruptedAt = lastKnown == .min ? session.start : lastKnown
        let end = SessionEnd(
            ordinal: session.ordinal, reason: isClosed ? .closed : .interrupted,
            end: known?.endedAt ?? interruptedAt, events: known?.eventCount ?? 0,
            checkpoints: known?.checkpointCount ?? 0, nextIndex: max(nextIndex, known?.nextIndex ?? 0))
        var header = header(.sessionEnd)
        header.sessionOrdinal = session.ordinal
        header.firstIndex = end.nextIndex
        header.minTimestamp = end.end
        header.maxTimestamp = end.end
        put(.sessionEnd(end), header)
    }

    /// The header of a record that stands here and was in no block.
    private func header(_ type: BlockType) -> BlockHeader {
        var header = BlockHeader(type: type)
        header.epoch = max(last.epoch, 1)
        header.writtenAt = time
        header.minTimestamp = time
        header.maxTimestamp = time
        header.headSequence = last.headSequence
        header.headCheckpoint = last.headCheckpoint
        return header
    }

    private mutating func put(_ record: ControlBlock.Record, _ source: BlockHeader) {
        var header = source
        // Places ascend, also where it stands later than it did.
        next = max(next, header.firstSequence)
        header.firstSequence = next
        header.sessionsBegun = max(sessionsBegun, header.sessionsBegun)
        header.checkpointsMade = max(checkpointsMade, header.checkpointsMade)
        if case .sessionEnd(let end) = record { unfinishedImports.end(end.ordinal) }
        steps.append(.record(record, header))
    }

    // MARK: What is missing

    /// Writes down which numbers no step holds, but for those that the ledger names already.
    private mutating func addLedger(_ recovery: RecoveryPlan, _ tail: TailPlan, _ damage: [Damage]) {
        var records: [LedgerRecord] = []
        let knownGaps = NamedGaps(knownGaps)
        for hole in RepairPlan.holes(in: taken.map(\.sequences), end: knownEnd) {
            for (range, known) in hole.parts(named: knownGaps) {
                if let known {
                    gaps.append(Gap(sequences: range, reason: known.reason, note: known.note))
                    continue
                }
                let found = damage.filter { $0.sequences?.overlaps(range) ?? false }
                // What limits have dropped is no loss, whether or not the ledger tells.
                var range = range
                if found.isEmpty, range.lowerBound < headSequence {
                    let end = min(range.upperBound, headSequence - 1)
                    gaps.append(
                        Gap(sequences: range.lowerBound...end, reason: .retention, note: Gap.droppedNote))
                    if end == range.upperBound { continue }
                    range = end + 1...range.upperBound
                }
                var gap = Gap(
                    sequences: range, reason: .lostSegment, note: "no segment holds these numbers")
                if let first = found.first {
                    let more = found.count > 1 ? ", and \(found.count - 1) more" : ""
                    let name = first.file.split(separator: "/").last.map(String.init) ?? first.file
                    gap = Gap(
                        sequences: range, reason: .damage,
                        note: "\(name) at \(first.offset): \(first.reason)\(more)")
                } else if let known = (recovery.gaps + tail.gaps).first(where: {
                    $0.sequences.overlaps(range)
                }) {
                    gap = Gap(sequences: range, reason: .damage, note: known.note)
                }
                gaps.append(gap)
                records.append(
                    .gap(
                        first: range.lowerBound, last: range.upperBound,
                        reason: gap.reason == .damage ? .damage : .lostSegment, time: time, note: gap.note))
            }
        }
        let unreadable = recovery.unconfirmedBytes(beside: tail).addingClamped(tail.unreadableBytes)
        if unreadable > 0 {
            records.append(
                .interruption(
                    epoch: max(last.epoch, 1), session: 0, next: next, segment: recovery.cut?.segment ?? 0,
                    unreadable: unreadable, time: time))
        }
        next = knownEnd
        for start in stride(from: 0, to: records.count, by: 1000) {
            put(.ledger(Array(records[start..<min(start + 1000, records.count)])), header(.ledger))
        }
    }

    /// What lies between ranges that ascend, up to `end`.
    static func holes(in ranges: [Range<UInt64>], end: UInt64) -> [ClosedRange<UInt64>] {
        var holes: [ClosedRange<UInt64>] = []
        var next: UInt64 = 0
        for range in ranges {
            if range.lowerBound > next { holes.append(next...range.lowerBound - 1) }
            next = max(next, range.upperBound)
        }
        if end > next { holes.append(next...end - 1) }
        return holes
    }

    /// What the ledger says is missing.
    private var knownGaps: [(range: ClosedRange<UInt64>, reason: GapReason, note: String)] {
        ledger.compactMap { record in
            switch record {
            case .gap(let first, let last, let reason, _, let note): (first...last, GapReason(reason), note)
            case .retention(let record):
                record.headBefore < record.head
                    ? (record.headBefore...record.head - 1, .retention, "") : nil
            default: nil
            }
        }
    }

    /// What of the events beyond the log was not taken, because its numbers were.
    private mutating func countLeftOut() {
        for piece in pieces {
            var low = taken.partitioningIndex { $0.sequences.upperBound > piece.sequences.lowerBound }
            while low < taken.count, taken[low].sequences.lowerBound < piece.sequences.upperBound {
                let other = taken[low]
                low += 1
                if let block = other.block, block == (piece.source, piece.block) { continue }
                let common = other.sequences.clamped(to: piece.sequences)
                if other.epoch == piece.rank.epoch {
                    leftOut[piece.source].duplicates += UInt64(common.count)
                } else {
                    leftOut[piece.source].add(conflict: common.lowerBound...common.upperBound - 1)
                }
            }
        }
    }
}

extension RepairPlan.LeftOut {
    /// Adds numbers that others have; neighbours become one range.
    mutating func add(conflict range: ClosedRange<UInt64>) {
        if let last = conflicts.last, range.lowerBound > 0, last.upperBound == range.lowerBound - 1 {
            conflicts[conflicts.count - 1] = last.lowerBound...range.upperBound
        } else {
            conflicts.append(range)
        }
    }
}
