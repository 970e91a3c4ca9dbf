internal import VarveFormat

/// Counts the events and checkpoints of a log that are retained, and moves the heads where the limits on their numbers ask for it: a
/// pure function of what was recorded up to a place.
///
/// Only the segment that the head of the events stands in is looked into. An import counts from its end on: one that never gets there
/// displaces nothing.
struct RetentionCount: Sendable {
    /// Neighbouring sequence numbers of a session, all of which have an event.
    struct Run: Hashable, Sendable {
        var sequences: Range<UInt64>
        var session: UInt64
    }

    /// Of a checkpoint what decides whether it is kept.
    private struct Mark: Sendable {
        let record: CheckpointRecord
        let isPinned: Bool
    }

    /// What an import has so far.
    private struct Held: Sendable {
        /// Ascending; neighbours are one.
        var runs: [Run] = []
        var checkpoints: [CheckpointRecord] = []

        mutating func add(_ run: Run) {
            if let last = runs.last, last.sequences.upperBound == run.sequences.lowerBound {
                runs[runs.count - 1].sequences = last.sequences.lowerBound..<run.sequences.upperBound
            } else {
                runs.append(run)
            }
        }
    }

    private(set) var limits: RetentionLimits
    private(set) var retained: Retained
    /// Retained events, those that pins keep included.
    private(set) var events: UInt64 = 0
    /// Events and checkpoints that are retained no more since counting began.
    private(set) var droppedEvents: UInt64 = 0, droppedCheckpoints: UInt64 = 0
    /// Whether pins keep more events, or checkpoints, than the limits allow.
    private(set) var keepsTooManyEvents = false, keepsTooManyCheckpoints = false
    /// From the head on, of the segment that it stands in.
    private var runs: [Run] = []
    private var nextRun = 0
    /// Retained checkpoints, where there is a limit on them: from `nextMark` on, with holes where pins keep some.
    private var marks: [Mark] = []
    private var nextMark = 0
    private var markCount: UInt64 = 0
    /// The imports that are not complete, by their ordinals: nothing of them is counted yet.
    private var held: [UInt64: Held] = [:]

    /// Counts a log. O(segments) without limits on numbers and without pins; else their indices are read, once.
    ///
    /// - Parameter unfinished: the imports that are not complete; nil: the footers tell.
    init(
        _ entries: [Catalog.Entry], limits: RetentionLimits, retained: Retained,
        unfinished: Set<UInt64>? = nil
    ) {
        self.limits = limits
        self.retained = retained
        if limits.events != nil || limits.checkpoints != nil {
            for session in unfinished ?? UnfinishedImports(after: entries).ordinals {
                held[session] = Held()
            }
        }
        for entry in entries {
            let summary = entry.summary
            let range = summary.sequences
            if retained.hidesAll(range) { continue }
            if !held.isEmpty {
                for run in RetentionCount.runs(of: entry) { count(run) }
            } else if retained.keepsAll(range) {
                events = events.addingClamped(summary.eventCount)
            } else {
                for run in RetentionCount.runs(of: entry) { count(run) }
            }
        }
        if limits.checkpoints != nil {
            for entry in entries where entry.summary.checkpointCount > 0 {
                // Where an index can't be read nobody sees its checkpoints either.
                guard let index = try? entry.load().index else { continue }
                for found in index.checkpoints where retained.keeps(found.record) { count(found.record) }
            }
        }
        var source = LogSource(entries)
        applyEventLimit(&source)
        applyCheckpointLimit()
    }

    /// The imports that are not complete.
    var unfinished: Set<UInt64> { Set(held.keys) }

    /// The runs of a segment's blocks; of one whose index can't be read what its summary says.
    static func runs(of entry: Catalog.Entry) -> [Run] {
        guard let index = try? entry.load().index else {
            let summary = entry.summary
            guard summary.nextSequence > summary.baseSequence else { return [] }
            return [Run(sequences: summary.sequences, session: 0)]
        }
        return index.entries.compactMap { block in
            guard block.type == .events, block.nextSequence > block.firstSequence else { return nil }
            return Run(sequences: block.sequences, session: block.sessionOrdinal)
        }
    }

    /// Goes on with the figures of an earlier count of the same log, with other pins.
    mutating func goOn(after earlier: RetentionCount) {
        // Its own are part of the difference.
        droppedEvents = earlier.droppedEvents + (earlier.events > events ? earlier.events - events : 0)
        droppedCheckpoints += earlier.droppedCheckpoints
    }

    // MARK: Recording

    /// Counts events that were recorded. `source` has those before, and may have these.
    mutating func add(_ run: Run, _ source: inout LogSource) {
        guard !run.sequences.isEmpty else { return }
        count(run)
        guard limits.events != nil, held[run.session] == nil else { return }
        source.latest.append(run)
        applyEventLimit(&source)
    }

    /// Counts a checkpoint that was made.
    mutating func add(_ checkpoint: CheckpointRecord) {
        guard limits.checkpoints != nil else { return }
        count(checkpoint)
        applyCheckpointLimit()
    }

    /// A session begins, or goes on: as an import, nothing of it counts till its end.
    mutating func begin(_ begin: SessionBegin, _ source: inout LogSource) {
        guard limits.events != nil || limits.checkpoints != nil, begin.flags.contains(.imported),
            held[begin.ordinal] == nil
        else { return }
        held[begin.ordinal] = begin.flags.contains(.resumed) ? takeBack(begin.ordinal, source) : Held()
        forgetRuns()
    }

    /// A session ends: an import counts from now on.
    mutating func end(_ ordinal: UInt64, _ source: inout LogSource) { release(ordinal, &source) }

    /// Counts what was held back of a session.
    private mutating func release(_ ordinal: UInt64, _ source: inout LogSource) {
        guard let held = held.removeValue(forKey: ordinal) else { return }
        for run in held.runs {
            count(run)
            // Other limits may have dropped some meanwhile.
            droppedEvents +=
                UInt64(run.sequences.count) - retained.count(of: run.sequences, session: run.session)
        }
        for checkpoint in held.checkpoints {
            if retained.keeps(checkpoint) { count(checkpoint) } else { droppedCheckpoints += 1 }
        }
        // Those of a session that went on stand before others.
        marks.sort { $0.record.ordinal < $1.record.ordinal }
        findNextMark()
        forgetRuns()
        // Those that `source` has already are not looked up there again.
        source.latest = (source.latest + held.runs).sorted {
            $0.sequences.lowerBound < $1.sequences.lowerBound
        }
        applyEventLimit(&source)
        applyCheckpointLimit()
    }

    /// Counts nothing of a session any more; what it has.
    private mutating func takeBack(_ ordinal: UInt64, _ source: LogSource) -> Held {
        var held = Held()
        for run in source.runs(of: ordinal) {
            for part in retained.parts(of: run.sequences, session: ordinal) {
                events -= min(UInt64(part.count), events)
                held.add(Run(sequences: part, session: ordinal))
            }
        }
        held.checkpoints = marks.map(\.record).filter { $0.session == ordinal && retained.keeps($0) }
        marks.removeAll { $0.record.session == ordinal }
        markCount -= UInt64(held.checkpoints.count)
        findNextMark()
        return held
    }

    /// Counts what is retained of a run, unless it is held back.
    private mutating func count(_ run: Run) {
        if held[run.session] != nil {
            held[run.session]!.add(run)
        } else {
            events = events.addingClamped(retained.count(of: run.sequences, session: run.session))
        }
    }

    /// Counts a checkpoint that is retained, unless it is held back.
    private mutating func count(_ checkpoint: CheckpointRecord) {
        if held[checkpoint.session] != nil {
            held[checkpoint.session]!.checkpoints.append(checkpoint)
        } else {
            marks.append(
                Mark(record: checkpoint, isPinned: retained.pins.contains { $0.keeps(checkpoint) }))
            markCount += 1
        }
    }

    /// The marks are others now: the next one is the first from the head on.
    private mutating func findNextMark() {
        nextMark = marks.firstIndex { $0.record.ordinal >= retained.headCheckpoint } ?? marks.count
    }

    /// Other runs count now: they are looked up again.
    private mutating func forgetRuns() {
        runs = []
        nextRun = 0
    }

    // MARK: Dropping

    private mutating func applyEventLimit(_ source: inout LogSource) {
        guard let limit = limits.events, events > limit else {
            keepsTooManyEvents = false
            return
        }
        drop(events - limit, below: .max, &source)
        keepsTooManyEvents = events > limit
    }

    private mutating func applyCheckpointLimit() {
        guard let limit = limits.checkpoints else { return }
        // What a pin keeps is passed over only on the way to something that goes.
        while markCount > limit, let oldest = marks[nextMark...].firstIndex(where: { !$0.isPinned }) {
            nextMark = oldest + 1
            retained.headCheckpoint = max(
                retained.headCheckpoint, marks[oldest].record.ordinal.addingClamped(1))
            markCount -= 1
            droppedCheckpoints += 1
        }
        keepsTooManyCheckpoints = markCount > limit
        // Those that are not retained any more.
        let gone = marks.count - Int(markCount)
        if gone > 1024, gone > marks.count / 2 {
            marks.removeAll { !retained.keeps($0.record) }
            findNextMark()
        }
    }

    /// Moves the head of the events up, past so many that no pin keeps, and no further than to `end`.
    private mutating func drop(_ count: UInt64, below end: UInt64, _ source: inout LogSource) {
        let pinned = retained.pinnedAlone
        var excess = count
        // Where runs are looked for: what does not count is passed over, and the head stays before it till more goes.
        var place = retained.headSequence
        while excess > 0, retained.headSequence < end {
            if nextRun == runs.count {
                runs = source.runs(from: place)
                nextRun = 0
                if runs.isEmpty { break }
            }
            let run = runs[nextRun]
            if held[run.session] != nil {
                if run.sequences.lowerBound >= end { break }
                place = max(place, run.sequences.upperBound)
                nextRun += 1
                continue
            }
            let low = max(run.sequences.lowerBound, retained.headSequence)
            let high = min(run.sequences.upperBound, end)
            guard low < high else {
                if run.sequences.lowerBound >= end { break }
                nextRun += 1
                continue
            }
            var position = low
            for kept in pinned.parts(of: low..<high, session: run.session) + [high..<high] {
                let dropped = min(excess, kept.lowerBound - position)
                excess -= dropped
                events -= min(dropped, events)
                droppedEvents += dropped
                position += dropped
                guard position == kept.lowerBound else { break }
                // What a pin keeps is passed over only on the way to something that goes.
                if excess > 0 || end != .max { position = kept.upperBound }
            }
            retained.headSequence = max(retained.headSequence, position)
            place = max(place, position)
            if position == run.sequences.upperBound { nextRun += 1 }
        }
        if end != .max { retained.headSequence = max(retained.headSequence, end) }
    }

    /// Moves the heads up to these, whatever the limits are.
    mutating func raise(
        head: UInt64, checkpoint: UInt64, uncounted: UInt64 = 0, _ source: inout LogSource
    ) {
        if head > retained.headSequence { drop(.max, below: head, &source) }
        guard checkpoint > retained.headCheckpoint else { return }
        retained.headCheckpoint = checkpoint
        guard limits.checkpoints != nil else {
            droppedCheckpoints += uncounted
            return
        }
        while nextMark < marks.count, marks[nextMark].record.ordinal < checkpoint {
            if !marks[nextMark].isPinned {
                markCount -= 1
                droppedCheckpoints += 1
            }
            nextMark += 1
        }
    }
}

/// Where runs are found: in the segments, then among what none of them shows yet.
struct LogSource {
    private let entries: () -> [Catalog.Entry]
    /// What is recorded after the entries, or at their end.
    var latest: [RetentionCount.Run] = []

    init(_ entries: [Catalog.Entry]) { self.entries = { entries } }

    /// The segments of a catalog as they are when they are needed: seldom.
    init(lazily catalog: Catalog) { entries = { catalog.view().entries } }

    /// Those of the first segment that reaches beyond a number; empty: there is none.
    func runs(from head: UInt64) -> [RetentionCount.Run] {
        for entry in entries() {
            guard entry.summary.nextSequence > head, entry.summary.eventCount > 0 else { continue }
            let runs = RetentionCount.runs(of: entry).filter { $0.sequences.upperBound > head }
            if !runs.isEmpty { return runs }
        }
        return latest.filter { $0.sequences.upperBound > head }
    }

    /// Those of a session.
    func runs(of session: UInt64) -> [RetentionCount.Run] {
        let entries = entries()
        let end = entries.map(\.summary.nextSequence).max() ?? 0
        let shown = entries.flatMap { RetentionCount.runs(of: $0) }
        return (shown + latest.filter { $0.sequences.lowerBound >= end }).filter { $0.session == session }
    }
}
