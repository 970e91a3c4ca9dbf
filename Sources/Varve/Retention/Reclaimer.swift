internal import VarveFormat
internal import VarveIO

/// Drops what the limits on bytes, age and free disk ask for, and removes the segments that hold nothing that is retained.
///
/// Any thread may call, with no monitor held; one at a time works. It waits for no append: the holder of the writer role calls it
/// for room.
final class Reclaimer: @unchecked Sendable {
    private let directory: String
    private let fileSystem: any FileSystem
    private let catalog: Catalog
    private let retention: Retention
    private let state: StateKeeper
    private let quota: DirectoryQuota?
    /// Of the limit on bytes, what stays free for segments that are written anew.
    let reserveBytes: UInt64
    private let diagnostics: (@Sendable (Diagnostic) -> Void)?
    /// Held while files change. Taken before the catalog's monitor and retention's.
    private let maintenance: Monitor
    /// Held while the ledger is told: nothing is told twice. Taken before `maintenance` and the tail's monitor.
    private let telling = Monitor()
    /// Held while segments are let go. Taken before `maintenance`, and only where it is free.
    private let lettingGo = Monitor()
    /// Writes segments anew, where some of what they hold stays; false: it could not.
    var rewrite: (([SegmentHandle], Retained) throws(IOFailure) -> Bool)?

    // Guarded by `maintenance`.
    /// What may be removed: what is dropped durably, or was followed by something that is durable.
    private var floor: Retained
    /// Pins that protect what they keep: those of which it is not durable yet that they are gone, too.
    private var protected: [Pin]
    /// The heads that the ledger knows, with the figures then.
    private var recorded: Retained
    private var recordedFigures: (events: UInt64, checkpoints: UInt64) = (0, 0)
    private var records: [RetentionRecord] = []
    private var reported: Set<RetentionLimit> = []
    /// How long what was removed may take to show in the free space: another process may have it mapped.
    private static let removalNanoseconds: UInt64 = 60_000_000_000
    /// What was dropped for free space, and neither showed in it nor is known to be mapped; what was free or to come then; since when.
    private var hidden: (bytes: UInt64, coming: UInt64, time: UInt64)?
    /// A segment that was removed and may be mapped by who uses this store; the disk gets its bytes when it is not. (What a snapshot showed
    /// while it was still written it has open beside that, which is not known here.)
    private struct Freeing {
        let segment: UniqueID
        weak var handle: SegmentHandle?
        let bytes: UInt64
        let time: UInt64
    }
    private var freeing: [Freeing] = []
    /// Segments that were removed, and are mapped: see `letGo`.
    private var removed: [SegmentHandle] = []
    /// Files that hold nothing any more, and that the system did not let go so far.
    private var leftovers: [String]
    /// Segments of which little stays, that could not be written anew for want of disk space.
    private var unwritten: Set<UInt64> = []
    /// What `removeDead` found: unless the heads or pins come so far there is nothing new.
    private var found: (floor: Retained, due: UInt64)?

    init(
        directory: String, options: StoreOptions, catalog: Catalog, retention: Retention, state: StateKeeper,
        quota: DirectoryQuota?, maintenance: Monitor, leftovers: [String]
    ) {
        self.directory = directory
        fileSystem = options.fileSystem
        diagnostics = options.diagnostics
        self.catalog = catalog
        self.retention = retention
        self.state = state
        self.quota = quota
        reserveBytes = (retention.limits.bytes ?? 0) / 8
        self.maintenance = maintenance
        self.leftovers = leftovers
        recorded = retention.retained
        floor = Retained()
        protected = retention.retained.pins
    }

    /// Whether somebody changes files, which may take a while.
    var isBusy: Bool { maintenance.isTaken }

    // MARK: Bytes

    /// Whether so many bytes can be added to the directory although nothing is dropped.
    func hasRoom(for byteCount: UInt64) -> Bool { lacking(for: byteCount) == 0 }

    /// How many bytes must go before so many can be added.
    private func lacking(for byteCount: UInt64) -> UInt64 {
        guard let quota else { return 0 }
        let need = byteCount.addingClamped(catalog.footerBytesMax).addingClamped(reserveBytes)
        let free = quota.freeBytes
        if need <= free { return 0 }
        // What is being written anew is what the reserve is for.
        let used = min(quota.usedBytes(suffix: ".tmp").matching, reserveBytes)
        return need - free > used ? need - free - used : 0
    }

    /// Makes sure that so many bytes can be added to the directory, beside the footers that are still to be written and what is kept
    /// free; where something must go for that, the oldest goes. Throws where nothing more may.
    func makeRoom(for byteCount: UInt64, path: String) throws(IOFailure) {
        guard let quota, !hasRoom(for: byteCount) else { return }
        maintenance.lock()
        defer { maintenance.unlock() }
        while true {
            let bytes = lacking(for: byteCount)
            if bytes == 0 {
                // On a disk that is full otherwise there is no room before the system has freed it, for this and what comes next.
                let gone = removed.reduce(byteCount) { $0.addingClamped($1.trailer.fileLength) }
                if !removed.isEmpty, try fileSystem.space(at: directory).freeBytes < gone { letGoNow() }
                return
            }
            // Somebody may be writing segments anew meanwhile.
            let before = quota.usedBytes(suffix: ".tmp").others
            let heads = retention.retained
            // As long as what went before takes its room all the same nothing more goes for it.
            if !leftovers.isEmpty || !unwritten.isEmpty {
                if try isStuck() { throw IOFailure(.write, path: path, code: IOFailure.quotaCode) }
                continue
            }
            // What pins keep of a segment may take as much as all of it: then the next one goes.
            guard try drop(bytes, for: .bytes),
                quota.usedBytes(suffix: ".tmp").others < before || isDropped(since: heads)
            else {
                if leftovers.isEmpty { report(.bytes) }
                throw IOFailure(.write, path: path, code: IOFailure.quotaCode)
            }
        }
    }

    /// Where the disk has less than the bytes that the limits leave to others, drops as much of the oldest. Throws where nothing more may
    /// go. The disk gets what somebody has mapped only when that is done. Of snapshots of this store it is known, and counts as free: for a
    /// minute, and longer as long as half of the limit is free without it. Of readers in other processes it is not: what does not show
    /// counts as free until free space has grown, for a minute at most; what is missing then is dropped for.
    func leaveFree(path: String) throws(IOFailure) {
        guard let limit = retention.limits.freeBytes else { return }
        if try fileSystem.space(at: directory).freeBytes >= limit {
            guard maintenance.tryLock() else { return }
            defer { maintenance.unlock() }
            // It has grown: what is missing later is missing anew. Unless it was just dropped for, and does not show yet.
            if hidden != nil, try fileSystem.space(at: directory).freeBytes >= limit { hidden = nil }
            return
        }
        maintenance.lock()
        defer { maintenance.unlock() }
        let now = fileSystem.monotonic()
        if try isStuck() { throw IOFailure(.write, path: path, code: IOFailure.quotaCode) }
        // As long as it is mapped it takes its blocks.
        letGoNow()
        let free = try fileSystem.space(at: directory).freeBytes
        freeing.removeAll {
            (free < limit / 2 || $0.handle == nil) && now &- $0.time >= Self.removalNanoseconds
        }
        let coming = comingFreeBytes(free)
        if let earlier = hidden {
            let grown = coming > earlier.coming ? coming - earlier.coming : 0
            let isOver = grown >= earlier.bytes || now &- earlier.time >= Self.removalNanoseconds
            hidden = isOver ? nil : (earlier.bytes - grown, earlier.coming + grown, earlier.time)
        }
        let expected = coming.addingClamped(hidden?.bytes ?? 0)
        if expected >= limit { return }
        // What is sealed meanwhile is no part of it.
        let last = catalog.view().entries.last { if case .sealed = $0 { true } else { false } }?.ordinal ?? 0
        let before = segmentBytes(through: last)
        guard try drop(limit - expected, for: .freeBytes) else {
            report(.freeBytes)
            throw IOFailure(.write, path: path, code: IOFailure.quotaCode)
        }
        letGoNow()
        let left = comingFreeBytes(try fileSystem.space(at: directory).freeBytes)
        let after = segmentBytes(through: last)
        let removed = before.sealed - min(before.sealed, after.sealed)
        // What was written meanwhile is not hidden.
        let due = coming.addingClamped(before.all) - min(coming.addingClamped(before.all), after.all)
        let bytes = min(removed, due - min(due, left)).addingClamped(hidden?.bytes ?? 0)
        hidden = bytes == 0 ? nil : (bytes, left, hidden?.time ?? now)
    }

    /// Bytes of the sealed segments up to one, and of all segments.
    private func segmentBytes(through ordinal: UInt64) -> (sealed: UInt64, all: UInt64) {
        catalog.view().entries.reduce((0, 0)) { sum, entry in
            switch entry {
            case .sealed(let handle):
                let bytes = handle.trailer.fileLength
                return (
                    sum.sealed.addingClamped(entry.ordinal <= ordinal ? bytes : 0),
                    sum.all.addingClamped(bytes)
                )
            case .open(let segment):
                return (sum.sealed, sum.all.addingClamped(segment.index.summary.dataBytes))
            }
        }
    }

    /// What the disk's free bytes become when nobody who uses this store has mapped any more what was removed. Call with `maintenance`
    /// held.
    private func comingFreeBytes(_ free: UInt64) -> UInt64 {
        freeing.reduce(free) { $0.addingClamped($1.bytes) }
    }

    /// Whether what was dropped takes its room all the same; tries again to change that. Call with `maintenance` held.
    private func isStuck() throws(IOFailure) -> Bool {
        try retryLeftovers()
        // What hides them stays as it is, too.
        guard leftovers.isEmpty else { return true }
        let again = unwritten
        unwritten = []
        if !again.isEmpty {
            // As long as it is mapped it takes the space that is missing.
            letGoNow()
            try makeFloorDurable()
            _ = try dispose(of: again, dead: [], catalog.view().entries)
        }
        return !leftovers.isEmpty || !unwritten.isEmpty
    }

    /// Says once that a limit can't be kept. Call with `maintenance` held.
    private func report(_ limit: RetentionLimit) {
        if reported.insert(limit).inserted { diagnostics?(.limitUnreachable(limit)) }
    }

    /// Whether the heads have moved up.
    private func isDropped(since before: Retained) -> Bool {
        let now = retention.retained
        return now.headSequence > before.headSequence || now.headCheckpoint > before.headCheckpoint
    }

    /// Drops the oldest segments, so many bytes together; false where nothing may go. Call with `maintenance` held.
    private func drop(_ bytes: UInt64, for limit: RetentionLimit) throws(IOFailure) -> Bool {
        let entries = catalog.view().entries
        let retained = retention.retained
        let segments = Reclaimer.describe(entries, retained, findsWhatMayGo: true)
        guard let plan = RetentionPolicy.toFree(bytes, of: segments) else { return false }
        let checkpoint = Reclaimer.headCheckpoint(
            below: plan.head, checkpointsMade: plan.checkpointsMade, entries, retained)
        try drop(below: plan.head, checkpoint: checkpoint, entries, limit)
        // What held the checkpoint before, say, holds nothing any more.
        let dead = RetentionPolicy.dead(Reclaimer.describe(entries, floor))
        let isChanged = try dispose(of: Set(plan.segments), dead: Set(dead), entries)
        // Where nothing can be written anew, nothing is gained by going on either.
        return isChanged || rewrite != nil && isDropped(since: retained)
    }

    /// Moves the heads up, durably. Call with `maintenance` held.
    private func drop(
        below head: UInt64, checkpoint: UInt64, _ entries: [Catalog.Entry], _ limit: RetentionLimit
    ) throws(IOFailure) {
        let retained = retention.retained
        // What the limits on numbers have dropped before is theirs.
        noteNumbers()
        retention.raise(
            head: head, checkpoint: checkpoint,
            uncounted: retention.limits.checkpoints == nil
                ? Reclaimer.checkpointCount(
                    retained.headCheckpoint..<max(checkpoint, retained.headCheckpoint), entries, retained)
                : 0)
        note(limit)
        // What only the limits on numbers have dropped may have been dropped for events that are not durable yet.
        raiseFloor(head: head, checkpoint: checkpoint)
        try makeFloorDurable()
    }

    /// Before anything is removed: nobody may look for it. Call with `maintenance` held.
    private func makeFloorDurable() throws(IOFailure) {
        try state.raise(head: floor.headSequence, checkpoint: floor.headCheckpoint)
    }

    /// How many checkpoints with these ordinals there are that no pin keeps.
    private static func checkpointCount(
        _ ordinals: Range<UInt64>, _ entries: [Catalog.Entry], _ retained: Retained
    ) -> UInt64 {
        if ordinals.isEmpty { return 0 }
        let pinned = retained.pinnedAlone
        var count: UInt64 = 0
        for entry in entries {
            let summary = entry.summary
            guard summary.checkpointCount > 0, summary.checkpointsMade >= ordinals.lowerBound,
                let index = try? entry.load().index
            else { continue }
            for checkpoint in index.checkpoints.lazy.map(\.record)
            where ordinals.contains(checkpoint.ordinal) && !pinned.keeps(checkpoint) { count += 1 }
            if summary.checkpointsMade >= ordinals.upperBound { break }
        }
        return count
    }

    /// More may be removed from now on. Call with `maintenance` held.
    private func raiseFloor(head: UInt64, checkpoint: UInt64) {
        floor.headSequence = max(floor.headSequence, head)
        floor.headCheckpoint = max(floor.headCheckpoint, checkpoint)
        let pins = retention.retained.pins
        floor.pins = pins == protected ? pins : pins.joined(with: protected)
    }

    /// All changes of pins so far are durable.
    func pinsAreDurable() {
        maintenance.withLock { protected = retention.retained.pins }
    }

    /// The first checkpoint that stays when everything below `head` goes, with the checkpoints made up to there: the one after those, or
    /// the last of them that the first event left can be reached from.
    static func headCheckpoint(
        below head: UInt64, checkpointsMade: UInt64, _ entries: [Catalog.Entry], _ retained: Retained
    ) -> UInt64 {
        do throws(StoreError) {
            let base = try base(entries, head: max(head, retained.headSequence), retained)
            return min(base ?? .max, checkpointsMade.addingClamped(1))
        } catch {
            // What the system does not let be read now may be the one.
            return retained.headCheckpoint
        }
    }

    /// The index of a segment; nil: it is damaged.
    private static func index(of entry: Catalog.Entry) throws(StoreError) -> SegmentIndex? {
        do throws(StoreError) {
            return try entry.load().index
        } catch {
            if case .damaged = error { return nil }
            throw error
        }
    }

    /// The last checkpoint that the first event from `head` on can be reached from.
    private static func base(
        _ entries: [Catalog.Entry], head: UInt64, _ retained: Retained
    ) throws(StoreError) -> UInt64? {
        var session: UInt64?
        for entry in entries where session == nil && entry.summary.nextSequence > head {
            session = try index(of: entry)?.entries.first { $0.type == .events && $0.nextSequence > head }?
                .sessionOrdinal
        }
        if session == nil, let last = entries.last {
            session = try index(of: last)?.activeSession?.begin.ordinal
        }
        guard let session else { return nil }
        for entry in entries.reversed()
        where entry.summary.baseSequence <= head && entry.summary.checkpointCount > 0 {
            let found = try index(of: entry)?.checkpoints.last {
                $0.record.session == session && $0.record.sequence <= head && retained.keeps($0.record)
            }
            if let found { return found.record.ordinal }
        }
        return nil
    }

    // MARK: Age

    /// Drops what was written more than the limit's age ago.
    func dropAged() throws(IOFailure) {
        guard let age = retention.limits.ageNanoseconds else { return }
        maintenance.lock()
        defer { maintenance.unlock() }
        let entries = catalog.view().entries
        let retained = retention.retained
        let now = fileSystem.now()
        var head: UInt64?
        var made: UInt64 = 0
        search: for entry in entries
        where entry.summary.nextSequence > retained.headSequence
            || entry.summary.checkpointCount > 0
                && entry.summary.checkpointsMade >= retained.headCheckpoint
        {
            let segment: LoadedSegment
            do throws(StoreError) {
                segment = try entry.load()
            } catch {
                // What nobody can read goes with what comes after it.
                if case .damaged = error { continue }
                break
            }
            for block in segment.writingTimes(of: retained) {
                switch RetentionPolicy.age(of: block, now: now, limit: age) {
                case .undecided: continue
                case .young: break search
                case .old: (head, made) = (block.nextSequence, block.checkpointsMade)
                }
            }
        }
        guard let head else { return }
        let checkpoint = Reclaimer.headCheckpoint(below: head, checkpointsMade: made, entries, retained)
        guard head > retained.headSequence || checkpoint > retained.headCheckpoint else { return }
        try drop(below: head, checkpoint: checkpoint, entries, .age)
    }

    // MARK: Files

    /// Removes the segments that hold nothing which `durable` retains: what it drops was followed by something that is on stable storage.
    func removeDead(_ durable: Retained) throws(IOFailure) {
        // Nothing was ever dropped: nobody waits for who holds the monitor.
        guard !retention.retained.isEverything else { return }
        maintenance.lock()
        defer { maintenance.unlock() }
        raiseFloor(head: durable.headSequence, checkpoint: durable.headCheckpoint)
        let entries = catalog.view().entries
        // Most of the time there is none.
        if let found, floor.headSequence < found.due, floor.headCheckpoint == found.floor.headCheckpoint,
            floor.pins == found.floor.pins
        {
            return
        }
        let segments = Reclaimer.describe(entries, floor)
        let dead = RetentionPolicy.dead(segments)
        // One that is relied on is asked about again.
        found =
            segments.contains { $0.isDead && !$0.isRemovable }
            ? nil
            : (floor, segments.map(\.sequences.upperBound).filter { $0 > floor.headSequence }.min() ?? 0)
        guard !dead.isEmpty else { return }
        noteNumbers()
        try makeFloorDurable()
        _ = try dispose(of: [], dead: Set(dead), entries)
    }

    /// What need not be written anew: what is dropped durably, or was followed by something that is on stable storage.
    func mayBeRemoved(_ durable: Retained) throws(IOFailure) -> Retained {
        maintenance.lock()
        defer { maintenance.unlock() }
        raiseFloor(head: durable.headSequence, checkpoint: durable.headCheckpoint)
        try makeFloorDurable()
        return floor
    }

    /// Removes the segments that are dead, and what is dropped of the others; false where nothing could be. What is below the floor is
    /// dropped durably. Call with `maintenance` held.
    private func dispose(
        of others: Set<UInt64>, dead: Set<UInt64>, _ entries: [Catalog.Entry]
    ) throws(IOFailure) -> Bool {
        /// Neighbours in the log: what lies between two segments stays between them.
        var kept: [[SegmentHandle]] = []
        var isNeighbour = false
        for entry in entries {
            guard others.contains(entry.ordinal) || dead.contains(entry.ordinal),
                case .sealed(let handle) = entry
            else {
                isNeighbour = false
                continue
            }
            if dead.contains(entry.ordinal) {
                try remove(handle)
            } else if isNeighbour {
                kept[kept.count - 1].append(handle)
            } else {
                kept.append([handle])
                isNeighbour = true
            }
        }
        var isChanged = !dead.isEmpty
        if isChanged {
            try Reclaimer.removeAsides(directory, olderThan: catalog.view().entries, fileSystem)
            if !Safeguard.droppedRemovalSync.isLeftOut { try fileSystem.syncDirectory(directory) }
        }
        guard let rewrite else { return isChanged }
        for group in kept {
            do throws(IOFailure) {
                if try rewrite(group, floor) { isChanged = true }
            } catch {
                // They stay as they are for now. Where the limit itself leaves no room for it, more of the oldest makes some.
                guard error.passesWithSpace || error.isOutOfDescriptors else { throw error }
                if !error.isOverQuota { unwritten.formUnion(group.map(\.summary.ordinal)) }
            }
        }
        return isChanged
    }

    /// Removes a segment's file. Snapshots that show it have it mapped before it goes.
    private func remove(_ handle: SegmentHandle) throws(IOFailure) {
        do throws(IOFailure) {
            try handle.hold()
        } catch {
            // It goes another time.
            if error.isOutOfDescriptors { return }
            // Somebody else has removed it.
            guard error.isNotFound else { throw error }
        }
        catalog.remove(handle.summary.ordinal)
        unlink(handle)
        diagnostics?(.dropped(segment: handle.summary.ordinal, bytes: handle.trailer.fileLength))
    }

    /// Lets go of the segments that were removed. With its last mapping the system frees a file's blocks, and may take tens of
    /// milliseconds for it: an append that waits for room does not wait for that, unless the disk is full. False: somebody changes files,
    /// or does the same, and it is put off.
    @discardableResult
    func letGo() -> Bool {
        guard lettingGo.tryLock() else { return false }
        defer { lettingGo.unlock() }
        guard maintenance.tryLock() else { return false }
        let gone = removed
        removed = []
        maintenance.unlock()
        _ = consume gone
        // Not before: what is being let go does not show yet.
        guard maintenance.tryLock() else { return false }
        freeing.removeAll { $0.handle == nil }
        maintenance.unlock()
        return true
    }

    /// The same for who holds `maintenance` and needs the space. What another thread is letting go of does not show yet.
    private func letGoNow() {
        let segments = Set(removed.map(\.summary.segment))
        removed = []
        freeing.removeAll { $0.handle == nil && segments.contains($0.segment) }
    }

    /// Removes the file of a segment that nothing shows any more, at once or as soon as the system lets it go. The disk gets its bytes
    /// when nobody has it mapped. Call with `maintenance` held.
    func unlink(_ handle: SegmentHandle) {
        do throws(IOFailure) {
            try fileSystem.unlinkIfThere(handle.path)
        } catch {
            diagnostics?(.maintenanceFailed(error.description))
            leftovers.append(handle.path)
        }
        removed.append(handle)
        freeing.append(
            Freeing(
                segment: handle.summary.segment, handle: handle, bytes: handle.trailer.fileLength,
                time: fileSystem.monotonic()))
    }

    /// Tries again to remove what the system did not let go. Call with `maintenance` held.
    private func retryLeftovers() throws(IOFailure) {
        let before = leftovers.count
        leftovers.removeAll { path in
            do throws(IOFailure) {
                try fileSystem.unlinkIfThere(path)
                return true
            } catch {
                return false
            }
        }
        if leftovers.count < before { try fileSystem.syncDirectory(directory) }
    }

    /// The same, for who does not hold `maintenance`; true: all are gone, for good.
    @discardableResult
    func removeLeftovers() throws(IOFailure) -> Bool {
        try maintenance.withLock { () throws(IOFailure) in
            try retryLeftovers()
            return leftovers.isEmpty
        }
    }

    /// Removes what recovery has set aside of segments older than all that are left.
    static func removeAsides(
        _ directory: String, olderThan left: [Catalog.Entry], _ fileSystem: any FileSystem
    ) throws(IOFailure) {
        guard let ordinal = left.map(\.ordinal).min(), let base = left.map(\.summary.baseSequence).min()
        else {
            return
        }
        for file in try fileSystem.list(directory) where file.name.hasSuffix(StoreDirectory.asideSuffix) {
            guard let segment = SegmentName(asideName: file.name), segment.ordinal < ordinal,
                segment.baseSequence < base
            else { continue }
            // One that can't be removed is found again.
            try? fileSystem.unlinkIfThere(directory + "/" + file.name)
        }
    }

    /// Whether no event and no checkpoint in a segment is retained, and it tells of no session of `alive`, whose events and checkpoints
    /// stand before it.
    private static func isDead(_ entry: Catalog.Entry, _ retained: Retained, _ alive: Set<UInt64>) -> Bool {
        let summary = entry.summary
        // One without events goes when what was recorded after it is dropped.
        guard summary.nextSequence <= retained.headSequence, summary.baseSequence < retained.headSequence
        else { return false }
        let mayKeepCheckpoints =
            summary.checkpointCount > 0 && summary.checkpointsMade >= retained.headCheckpoint
        guard mayKeepCheckpoints || !retained.pins.isEmpty || !alive.isEmpty else { return true }
        let index: SegmentIndex
        do throws(StoreError) {
            index = try entry.load().index
        } catch {
            // Of one that is damaged only salvage gets something, which is kept for pins; one that the system does not let be read may hold all.
            guard case .damaged = error else { return false }
            return retained.hidesAll(summary.sequences)
        }
        return kept(index, retained).isEmpty
            && !index.sessions.contains { $0.state != .active && alive.contains($0.begin.ordinal) }
    }

    /// The sessions of which a segment holds events or checkpoints that are retained.
    private static func kept(_ index: SegmentIndex, _ retained: Retained) -> Set<UInt64> {
        var sessions = Set(index.checkpoints.filter { retained.keeps($0.record) }.map(\.record.session))
        for block in index.entries where block.type == .events {
            if !retained.hidesAll(block) { sessions.insert(block.sessionOrdinal) }
        }
        return sessions
    }

    /// The segments as a policy sees them. What may go that is not dropped yet is found out only on request: with pins all indices are
    /// read for it.
    static func describe(
        _ entries: [Catalog.Entry], _ retained: Retained, findsWhatMayGo: Bool = false
    ) -> [RetentionPolicy.Segment] {
        let pinned = retained.pinnedAlone
        // Checkpoints before this one may go, also where the events beside them are dropped already.
        var needed: UInt64 = 0
        if findsWhatMayGo, entries.contains(where: { $0.summary.checkpointCount > 0 }) {
            needed = headCheckpoint(below: 0, checkpointsMade: .max, entries, retained)
        }
        // Sessions of which something is retained in a segment all of whose events are dropped.
        var alive: Set<UInt64> = []
        return entries.enumerated().map { number, entry in
            let summary = entry.summary
            let before = number > 0 ? entries[number - 1].summary.checkpointsMade : 0
            let mayLoseCheckpoints =
                summary.checkpointCount > 0 && summary.checkpointsMade >= retained.headCheckpoint
                && max(retained.headCheckpoint, before.addingClamped(1)) < needed
            var segment = RetentionPolicy.Segment(
                ordinal: summary.ordinal,
                sequences: summary.sequences,
                checkpointsMade: summary.checkpointsMade, fileBytes: 0, isRemovable: false,
                isDropped: summary.nextSequence <= retained.headSequence && !mayLoseCheckpoints,
                isDead: false, isPinned: false)
            guard case .sealed(let handle) = entry else { return segment }
            segment.fileBytes = handle.trailer.fileLength
            // The log's end stays.
            segment.isRemovable = number + 1 < entries.count && !entries.isReliedOn(at: number)
            segment.isDead = isDead(entry, retained, alive)
            if !segment.isDead, summary.nextSequence <= retained.headSequence,
                let index = try? entry.load().index
            {
                alive.formUnion(kept(index, retained))
            }
            segment.isPinned = findsWhatMayGo && !retained.pins.isEmpty && keepsAll(entry, pinned)
            return segment
        }
    }

    /// Whether pins keep all that a segment holds.
    private static func keepsAll(_ entry: Catalog.Entry, _ pinned: Retained) -> Bool {
        guard let index = try? entry.load().index, index.eventCount > 0 || !index.checkpoints.isEmpty else {
            return false
        }
        return index.checkpoints.allSatisfy { pinned.keeps($0.record) }
            && !index.entries.contains { $0.type == .events && pinned.hidesPart(of: $0) }
    }

    // MARK: The ledger

    /// Notes what was dropped since the last note, and why. Call with `maintenance` held.
    private func note(_ limit: RetentionLimit) {
        let retained = retention.retained
        let figures = retention.figures
        guard
            retained.headSequence > recorded.headSequence || retained.headCheckpoint > recorded.headCheckpoint
        else { return }
        records.append(
            RetentionRecord(
                limit: limit, headBefore: recorded.headSequence, head: retained.headSequence,
                checkpointBefore: recorded.headCheckpoint, checkpoint: retained.headCheckpoint,
                events: figures.droppedEvents - recordedFigures.events,
                checkpoints: figures.droppedCheckpoints - recordedFigures.checkpoints, time: fileSystem.now())
        )
        recorded = retained
        recordedFigures = (figures.droppedEvents, figures.droppedCheckpoints)
    }

    /// Reports the limits on numbers that pins exceed. Any thread may call, with no monitor held.
    func reportUnreachable() {
        let unreachable = retention.unreachable
        guard !unreachable.isEmpty else { return }
        maintenance.withLock {
            for limit in unreachable { report(limit) }
        }
    }

    /// Notes what the limits on numbers have dropped so far, so that the ledger is told. Any thread may call, with no monitor held.
    func noteDropped() {
        maintenance.withLock { noteNumbers() }
    }

    /// The same for who holds `maintenance`.
    private func noteNumbers() {
        note(retention.retained.headSequence > recorded.headSequence ? .events : .checkpoints)
    }

    /// What the ledger is to be told; until `body` returns true it stays to be told. Any thread may call, with no monitor held.
    func tellLedger(_ body: ([LedgerRecord]) -> Bool) {
        guard !retention.retained.isEverything else { return }
        telling.lock()
        defer { telling.unlock() }
        let due = maintenance.withLock { records }
        guard !due.isEmpty, body(due.map { .retention($0) }) else { return }
        maintenance.withLock { records.removeFirst(due.count) }
    }
}

extension LoadedSegment {
    /// When its blocks of events and checkpoints were written that the heads keep some of, read as it is asked for. What can't be read is
    /// not decided by itself.
    func writingTimes(of retained: Retained) -> some Sequence<RetentionPolicy.Written> {
        let scratch = ScratchBuffer()
        let firstCheckpoint = index.checkpoints.first { $0.record.ordinal >= retained.headCheckpoint }?.block
        return index.entries.enumerated().lazy.compactMap { number, entry in
            switch entry.type {
            case .events where entry.nextSequence > retained.headSequence: break
            case .checkpoint where firstCheckpoint.map { number >= Int($0) } ?? false: break
            default: return nil
            }
            let header = (try? self.bytes(at: entry.offset, count: BlockHeader.byteCount, scratch)).flatMap {
                try? BlockHeader(decoding: $0, segment: self.index.header.segment, number: UInt32(number))
            }
            return RetentionPolicy.Written(
                nextSequence: entry.nextSequence, checkpointsMade: header?.checkpointsMade ?? 0,
                time: header?.writtenAt ?? .max)
        }
    }
}

extension [Pin] {
    /// What these or others keep.
    fileprivate func joined(with others: [Pin]) -> [Pin] {
        (self + others.filter { !contains($0) }).sorted { ($0.session, $0.first) < ($1.session, $1.first) }
    }
}
