internal import VarveFormat
internal import VarveIO

/// The room that a store has, as opening finds it: the limits in force, what keeps to them, and room for recovery.
struct StoreSpace {
    /// Counts the directory's bytes, where those are limited. Until opening has done its work it lets recovery have what it needs.
    let quota: DirectoryQuota?
    let state: StateKeeper
    /// Paths of segments that another one has replaced, and that the system does not let go.
    let clinging: [String]

    /// Finds the limits, and sets the options accordingly. Where recovery needs more room than is left, the oldest segments go: those
    /// would be the next. `directory` is read again then.
    init(_ directory: inout StoreDirectory, _ options: inout StoreOptions) throws(StoreError) {
        let path = directory.path
        let base = options.fileSystem
        for name in directory.temporaries { try? base.unlink(path + "/" + name) }
        // For good, before the segment that has replaced them is written anew: the new one says that it has replaced that one alone.
        var clinging: [String] = []
        if !directory.replaced.isEmpty {
            for replaced in directory.replaced.map({ path + "/" + $0 }) {
                do throws(IOFailure) { try base.unlinkIfThere(replaced) } catch { clinging.append(replaced) }
            }
            do throws(IOFailure) { try base.syncDirectory(path) } catch { throw .writing(error) }
        }
        self.clinging = clinging
        let entries = directory.readableEntries(RecoveryPlan(directory.findings))
        try entries.readOrders(all: false)
        let standing = StandingOrders(entries)
        let limits = options.limits ?? standing.limits
        options = options.keeping(limits)
        var slot = directory.state ?? StateSlot(store: directory.identifier, counter: 0)
        slot.headSequence = Retained.possible(slot.headSequence)
        slot.headCheckpoint = Retained.possible(slot.headCheckpoint)
        if directory.state == nil { slot.epoch = entries.map(\.summary.lastEpoch).max() ?? 0 }
        do throws(IOFailure) {
            guard let bytes = limits.bytes else {
                quota = nil
                state = StateKeeper(directory: path, fileSystem: base, slot: slot)
                return
            }
            let quota = try DirectoryQuota(path, byteCountMax: .max, on: base)
            options.fileSystem = quota
            self.quota = quota
            state = StateKeeper(directory: path, fileSystem: quota, slot: slot)
            // A crashed segment is copied, and may be sealed anew as well, for which there is the reserve of what is written anew; the old
            // `TAIL` goes only when the new one is there.
            var copies: UInt64 = 0
            for entry in entries {
                if case .open(let segment) = entry { copies += 2 * segment.index.dataEnd }
            }
            let need = UInt64(options.tailBytes) + 64 << 10 + max(copies, bytes / 8)
            if quota.usedBytes.addingClamped(need) <= bytes {
                quota.byteCountMax = bytes
                return
            }
            var (left, retained) = (entries, Retained(entries, directory.state, pins: standing.pins))
            while true {
                let lacking = quota.usedBytes.addingClamped(need)
                // Nothing goes for room that the system does not give back.
                guard lacking > bytes, clinging.isEmpty,
                    let plan = RetentionPolicy.toFree(
                        lacking - bytes, of: Reclaimer.describe(left, retained, findsWhatMayGo: true))
                else { break }
                let (used, before) = (quota.usedBytes, retained)
                (left, retained) = try dropFirst(plan, left, retained, quota, path, options.rewriteSettings)
                if quota.usedBytes >= used, retained == before { break }
            }
        } catch {
            throw .writing(error)
        }
        directory = try StoreDirectory(path: path, fileSystem: base)
    }

    /// Drops segments: those of which something is pinned, or the checkpoint that what is left starts from, are written anew. The segments
    /// then, and what is retained.
    private func dropFirst(
        _ plan: RetentionPolicy.Plan, _ entries: [Catalog.Entry], _ retained: Retained,
        _ quota: DirectoryQuota, _ path: String, _ settings: RewriteSettings
    ) throws(IOFailure) -> ([Catalog.Entry], Retained) {
        var kept = retained
        kept.headSequence = max(plan.head, kept.headSequence)
        kept.headCheckpoint = max(
            kept.headCheckpoint,
            Reclaimer.headCheckpoint(
                below: plan.head, checkpointsMade: plan.checkpointsMade, entries, retained))
        try state.raise(head: kept.headSequence, checkpoint: kept.headCheckpoint)
        let rest = try removeDead(entries, kept, quota, path)
        return (
            try rest.map { entry throws(IOFailure) in
                guard plan.segments.contains(entry.ordinal), case .sealed(let handle) = entry else {
                    return entry
                }
                return .sealed(try rewrite(handle, kept, quota, path, settings) ?? handle)
            }, kept
        )
    }

    /// Writes anew what is kept of a segment; nil: it stays as it is, because it is damaged, or hides others that are there still.
    private func rewrite(
        _ handle: SegmentHandle, _ kept: Retained, _ quota: DirectoryQuota, _ path: String,
        _ settings: RewriteSettings
    ) throws(IOFailure) -> SegmentHandle? {
        guard clinging.isEmpty || !handle.summary.isSettled else { return nil }
        var settings = settings
        settings.buildsFilters = false
        do throws(RewriteError) {
            let rewriter = SegmentRewriter(
                sources: [handle], retained: kept, settings: settings, directory: path, fileSystem: quota,
                sync: { file throws(IOFailure) in try file.sync() }, announce: { _ in true })
            guard case .segment(let written) = try rewriter.run() else { return nil }
            return try RewriteError.onDisk { () throws(IOFailure) in
                let fresh = try written.takeName(in: path, quota)
                try quota.unlinkIfThere(handle.path)
                return fresh
            }
        } catch {
            if case .writing(let failure) = error { throw failure }
            return nil
        }
    }

    /// Removes the segments that hold nothing which is kept; the others. Call once the heads are durable.
    private func removeDead(
        _ entries: [Catalog.Entry], _ kept: Retained, _ quota: DirectoryQuota, _ path: String
    ) throws(IOFailure) -> [Catalog.Entry] {
        let dead = RetentionPolicy.dead(Reclaimer.describe(entries, kept))
        guard !dead.isEmpty else { return entries }
        for case .sealed(let handle) in entries where dead.contains(handle.summary.ordinal) {
            try quota.unlink(handle.path)
        }
        let rest = entries.filter { !dead.contains($0.ordinal) }
        try Reclaimer.removeAsides(path, olderThan: rest, quota)
        if !Safeguard.droppedRemovalSync.isLeftOut { try quota.syncDirectory(path) }
        return rest
    }

    /// Where the limit was set so low that it ends inside a large segment, writes the newest part of that segment anew, and drops the
    /// rest; the segments then. Whole segments, which go otherwise, might leave nothing. What is pinned is left as it is.
    func keepNewest(
        of entries: [Catalog.Entry], _ retained: Retained, _ options: StoreOptions, _ path: String
    ) throws(IOFailure) -> [Catalog.Entry] {
        guard let quota, let limit = options.limits?.bytes, retained.pins.isEmpty else { return entries }
        let others = UInt64(options.tailBytes) + 64 << 10
        var room = limit - limit / 8
        room -= min(others, room)
        // The one that does not fit beside those after it.
        guard
            let number = entries.lastIndex(where: { entry in
                guard case .sealed(let handle) = entry else { return true }
                if handle.trailer.fileLength > room { return true }
                room -= handle.trailer.fileLength
                return false
            }), case .sealed(let handle) = entries[number], handle.trailer.fileLength > limit / 4,
            !entries.isReliedOn(at: number), let segment = try? handle.load(),
            let head = StoreSpace.firstSequence(of: segment.index, fitting: room),
            head > retained.headSequence
        else { return entries }
        let made = Array(segment.writingTimes(of: Retained())).last { $0.nextSequence <= head }?
            .checkpointsMade
        var kept = retained
        kept.headSequence = head
        kept.headCheckpoint = max(
            retained.headCheckpoint,
            Reclaimer.headCheckpoint(
                below: head, checkpointsMade: made ?? segment.index.header.checkpointsMade, entries, retained)
        )
        try state.raise(head: kept.headSequence, checkpoint: kept.headCheckpoint)
        let rest = try removeDead(entries, kept, quota, path)
        // One that is damaged goes whole, or stays.
        guard let fresh = try rewrite(handle, kept, quota, path, options.rewriteSettings) else { return rest }
        return rest.map { $0.ordinal == handle.summary.ordinal ? .sealed(fresh) : $0 }
    }

    /// The first number of the blocks at a segment's end that take no more than so many bytes, footer included; nil: none does.
    private static func firstSequence(of index: SegmentIndex, fitting room: UInt64) -> UInt64? {
        var bytes = index.headerBytes.addingClamped(8192)
        var first: UInt64?
        for entry in index.entries.reversed() {
            bytes = bytes.addingClamped(UInt64(entry.length) + 256)
            if bytes > room { break }
            if entry.type == .events { first = entry.firstSequence }
        }
        return first
    }
}
