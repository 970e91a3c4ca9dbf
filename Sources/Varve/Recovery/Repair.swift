public import VarveFormat
internal import VarveIO

/// How far a repair is.
public struct RepairProgress: Hashable, Sendable {
    /// Events read, and later written.
    public let events: UInt64
    /// Bytes done, and bytes to do in all: everything is read twice.
    public let bytesDone: UInt64, bytesTotal: UInt64
}

/// What a repair read, kept, and could not keep.
public struct RepairReport: Hashable, Sendable {
    /// A file of the source.
    public struct File: Hashable, Sendable {
        /// What was done with it.
        public enum Use: String, Hashable, Sendable {
            /// A reader of the store reads it; so does repair.
            case log
            /// It is not in the log, and events or checkpoints of it were salvaged.
            case salvaged
            /// Nothing of it was taken.
            case leftOut = "left out"
        }

        /// Its name.
        public let name: String
        /// What was done with it.
        public let use: Use
        /// Events and checkpoints of it in the new store.
        public let events: UInt64, checkpoints: Int
        /// Events that can be read, and are there from another file.
        public let duplicates: UInt64
        /// Numbers of events that can be read, and were left out: in the new store other events have them.
        public let conflicts: [ClosedRange<UInt64>]
        /// Why something of it was left out; empty: nothing was.
        public let note: String
    }

    /// UUIDs of the store that was read and of the one that was written.
    public let source: UniqueID, store: UniqueID
    /// The source's files, by name.
    public internal(set) var files: [File] = []
    /// Events, checkpoints and sessions in the new store.
    public internal(set) var events: UInt64 = 0, checkpoints = 0, sessions = 0
    /// Events of imports that were never completed: they went over, and stay hidden. Salvage ends such an import as interrupted, and
    /// counts its events.
    public internal(set) var unfinishedEvents: UInt64 = 0
    /// How many of the events were in no reader's sight: beyond the log of the source.
    public internal(set) var salvagedEvents: UInt64 = 0
    /// Checkpoints that were made and are in no file that can be read.
    public internal(set) var lostCheckpoints: UInt64 = 0
    /// Segments and bytes written.
    public internal(set) var segments = 0, bytes: UInt64 = 0
    /// What is damaged in the source.
    public internal(set) var damage: [Damage] = []
    /// Numbers that the new store does not hold.
    public internal(set) var gaps: [Gap] = []
    /// Bytes after the end of the log that can't be read by a reader.
    public internal(set) var unconfirmedBytes: UInt64 = 0
    /// Nothing was damaged, and nothing lost. What retention dropped, or a copy left out, is no loss.
    public var isIntact: Bool {
        damage.isEmpty && unconfirmedBytes == 0 && lostCheckpoints == 0
            && gaps.allSatisfy(\.reason.isMeant) && files.allSatisfy { $0.conflicts.isEmpty }
    }
}

extension EventStore {
    /// The key in a repaired store's metadata whose value is the UUID of the store it was made from.
    public static let repairedFromKey = "varve.repaired-from"

    /// Writes a new store with everything that can be read of one at rest. The source is not written, nor locked.
    ///
    /// Events keep their sequence numbers, epochs and indices, sessions and checkpoints their ordinals; what can't be read is
    /// named by gap records in the new store's ledger. A damaged sub-block loses its own events only, and every segment gets a new
    /// footer. Without `salvage` the log is copied up to where it ends for a reader. With it, what lies beyond fills the log's
    /// holes and follows its end: blocks after an unreadable tail, segments outside the chain, segments whose header is damaged.
    /// Where numbers collide, the log's events stay, and the others are reported.
    ///
    /// The new store is another store, with a UUID of its own: both may be written from now on, and would give the same numbers
    /// to different events. Its time of creation and metadata are the source's, and under ``repairedFromKey`` the metadata say where it
    /// comes from.
    ///
    /// The new store is put together in `NEW.tmp` and moved to its place once all of it is durable; after a failure `NEW.tmp` is
    /// emptied. Memory: a block, and about 300 bytes for each block of the source. O(bytes).
    ///
    /// Errors: `invalid` when the new path is taken or lies inside a store, `alreadyOpen` while the source is being written,
    /// `notAStore`, `unknownVersion`, `cannotRead`, `cannotWrite`, `outOfSpace`.
    public static func repair(
        _ source: String, into new: String, salvage: Bool = false, options: StoreOptions = StoreOptions(),
        progress: ((RepairProgress) -> Void)? = nil
    ) throws(StoreError) -> RepairReport {
        let options = options.clamped
        let fileSystem = options.fileSystem
        return try StoreError.catching(at: new, StoreError.writing) {
            let temporary = try preparedDirectory(for: new, "repair", fileSystem)
            if fileSystem.isLocked(source + "/LOCK") { throw StoreError.alreadyOpen(path: source) }
            var repair = try Repair(source, isSalvaging: salvage, options: options, progress: progress)
            return try make(new, in: temporary, fileSystem) { try repair.write(to: temporary) }
        }
    }

    /// Puts a store together in a temporary directory, and moves it to its place once all of it is durable. After a failure the
    /// temporary directory is emptied.
    static func make<Report>(
        _ new: String, in temporary: String, _ fileSystem: any FileSystem, _ write: () throws -> Report
    ) throws -> Report {
        if try fileSystem.kind(of: temporary) == nil { try fileSystem.makeDirectory(temporary) }
        do {
            let report = try write()
            // Last: until here there is no store at the new path, and from here on it is complete.
            try fileSystem.rename(temporary, to: new, replacing: true)
            if !Safeguard.repairedParentSync.isLeftOut { try fileSystem.syncDirectory(parent(of: new)) }
            return report
        } catch {
            for entry in (try? fileSystem.list(temporary)) ?? [] {
                try? fileSystem.unlink(temporary + "/" + entry.name)
            }
            throw error
        }
    }

    /// Where the new store is put together. Throws unless the new path is free, and outside of any store.
    static func preparedDirectory(
        for new: String, _ what: String, _ fileSystem: any FileSystem
    ) throws -> String {
        func refused(_ reason: String) -> StoreError { .invalid(what: new, reason: reason) }
        var path = new
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        switch try fileSystem.kind(of: path) {
        case nil: break
        case .directory:
            guard try fileSystem.list(path).isEmpty else { throw refused("it exists, and is not empty") }
        default: throw refused("it exists, and is no directory")
        }
        // As far up as a path is likely to go; at the root it stays there.
        var ancestor = parent(of: path)
        for _ in 0..<32 {
            if exists(at: ancestor, fileSystem: fileSystem) { throw refused("it lies inside a store") }
            ancestor += "/.."
        }
        let temporary = path + ".tmp"
        switch try fileSystem.kind(of: temporary) {
        case nil: break
        case .directory:
            guard try fileSystem.list(temporary).isEmpty else {
                throw refused("\(temporary) is left of a \(what) that was cut off: remove it")
            }
        default: throw refused("\(temporary) is in the way")
        }
        return temporary
    }
}

/// Reads a source, plans, and writes.
struct Repair {
    private let path: String
    private let options: StoreOptions
    private let isSalvaging: Bool
    private let progress: ((RepairProgress) -> Void)?
    private let directory: StoreDirectory
    private let recovery: RecoveryPlan
    private let tail: TailPlan
    /// The log's, in order, and then what lies beyond.
    private var sources: [RepairSource] = []
    private var logCount = 0
    private var notes: [String: String] = [:]
    private var damage: [Damage] = []
    private var bytesDone: UInt64 = 0
    private var bytesTotal: UInt64 = 0

    init(
        _ path: String, isSalvaging: Bool, options: StoreOptions, progress: ((RepairProgress) -> Void)?
    ) throws {
        self.path = path
        self.options = options
        self.isSalvaging = isSalvaging
        self.progress = progress
        directory = try StoreDirectory(
            path: path, fileSystem: options.fileSystem, isSalvaging: isSalvaging)
        recovery = RecoveryPlan(directory.findings)
        let contents = try Repair.readTail(path, isSalvaging: isSalvaging, options)
        tail = TailPlan(
            contents?.belonging(to: directory.identifier),
            after: LogEnd(directory.readableEntries(recovery)))
        for name in allNames {
            let size = try? options.fileSystem.open(path + "/" + name, .read).size()
            bytesTotal += 2 * (size ?? 0)
        }
        if directory.identity == nil, try options.fileSystem.kind(of: path + "/STORE") != nil {
            damage.append(
                Damage(
                    file: path + "/STORE", offset: 0, sequences: nil,
                    reason: "it can't be read: the time of creation and the store's metadata are lost"))
        }
        try readLog()
        if isSalvaging {
            try readBeyond()
        } else {
            noteLeftOut()
        }
        resolveKinds()
    }

    /// In salvage a `TAIL` that the system does not let it read is as good as damaged.
    private static func readTail(_ path: String, isSalvaging: Bool, _ options: StoreOptions)
        throws(StoreError)
        -> TailContents?
    {
        do throws(StoreError) {
            return try TailContents.read(path, fileSystem: options.fileSystem)
        } catch {
            guard isSalvaging else { throw error }
            let size = try? options.fileSystem.open(path + "/TAIL", .read).size()
            return TailContents(store: nil, epoch: .max >> 2, kinds: [], slots: [], damagedBytes: size ?? 0)
        }
    }

    private var allNames: [String] {
        directory.segments.map(\.fileName) + directory.leftovers + directory.setAside
            + directory.rejects.map(\.fileName)
    }

    // MARK: Reading

    private mutating func readLog() throws {
        for segment in directory.segments {
            let limit: UInt64
            switch segment {
            case .sealed: limit = .max
            case .unsealed(let scan):
                let cut = recovery.cut
                if let cut, cut.segment < scan.header.ordinal {
                    limit = 0
                } else if let cut, cut.segment == scan.header.ordinal {
                    limit = cut.offset
                } else {
                    limit = scan.end
                }
            }
            let found = try open(segment.fileName)
            let footer = found.footer()
            // Without the header the footer says whose blocks these are.
            guard
                let (id, ordinal) = found.header.map({ ($0.segment, $0.ordinal) })
                    ?? footer.map({ ($0.summary.segment, $0.summary.ordinal) })
            else {
                let summary = found.summary
                let range = summary.flatMap { summary in
                    summary.nextSequence > summary.baseSequence
                        ? summary.baseSequence...summary.nextSequence - 1 : nil
                }
                damage.append(
                    Damage(
                        file: found.file.path, offset: 0, sequences: range,
                        reason: "the segment's header can't be read"))
                notes[found.fileName] = "its header can't be read: its blocks are left to salvage"
                continue
            }
            var source = RepairSource(found, segment: id, ordinal: ordinal, footer: footer)
            read(&source, limit: limit)
            if found.trailer != nil, source.footer == nil {
                damage.append(
                    Damage(
                        file: found.file.path, offset: source.range.upperBound, sequences: nil,
                        reason: "the footer can't be read"))
            }
            sources.append(source)
        }
        logCount = sources.count
    }

    private func open(_ name: String) throws -> SegmentFile {
        do throws(IOFailure) {
            return try SegmentFile(directory: path, fileName: name, fileSystem: options.fileSystem)
        } catch {
            throw StoreError.reading(error)
        }
    }

    private mutating func read(_ source: inout RepairSource, limit: UInt64) {
        source.read(limit: limit)
        source.addDamageBetweenBlocks(
            after: source.header?.baseSequence ?? source.footer?.summary.baseSequence ?? .max)
        bytesDone += source.byteCount
        progress?(
            RepairProgress(
                events: sources.reduce(0) { $0 + $1.blocks.reduce(0) { $0 + $1.events } },
                bytesDone: bytesDone, bytesTotal: bytesTotal))
    }

    /// The segment files that are not in the log, as far as they are this store's.
    private mutating func readBeyond() throws {
        var inLog = Set(sources.map(\.fileName))
        for name in allNames where inLog.insert(name).inserted {
            let found: SegmentFile
            do throws(IOFailure) {
                found = try SegmentFile(directory: path, fileName: name, fileSystem: options.fileSystem)
            } catch {
                damage.append(
                    Damage(file: path + "/" + name, offset: 0, sequences: nil, reason: error.reason))
                notes[name] = error.reason
                continue
            }
            if let store = found.store, store != directory.identifier {
                notes[name] = "it belongs to another store (\(store))"
                continue
            }
            if found.header == nil, notes[name] == nil {
                damage.append(
                    Damage(
                        file: found.file.path, offset: 0, sequences: nil,
                        reason: "the segment's header can't be read"))
            }
            guard
                let segment = found.header?.segment ?? found.summary?.segment
                    ?? RepairReader(file: found.file, segment: .zero).dominantSegment(
                        byteCount: found.byteCount)
            else {
                notes[name] = "no block of a segment can be read in it"
                continue
            }
            var source = RepairSource(
                found, segment: segment,
                ordinal: found.header?.ordinal ?? found.summary?.ordinal ?? ordinal(of: segment, name),
                footer: found.footer())
            read(&source, limit: 0)
            if let reason = reasonToRefuse(source, found) {
                notes[name] = reason
                continue
            }
            notes[name] = found.header == nil ? "its header can't be read" : "it is not in the log"
            sources.append(source)
        }
    }

    /// The place in the log of a segment that does not say it itself: before the one that names it, or as its file's name says.
    private func ordinal(of segment: UniqueID, _ name: String) -> UInt64 {
        if let next = sources.first(where: { $0.header?.predecessor == segment }) { return next.ordinal - 1 }
        return SegmentName(fileName: name)?.ordinal ?? .max
    }

    /// Why a file with neither header nor footer, whose blocks do not name their store, can't be this store's; nil: nothing
    /// speaks against it.
    private func reasonToRefuse(_ source: RepairSource, _ found: SegmentFile) -> String? {
        guard found.store == nil else { return nil }
        // Another segment, or the cache, names it.
        if sources.contains(where: {
            $0.header?.predecessor == source.segment || $0.segment == source.segment
        })
            || directory.state?.watermarkUUID == source.segment
        {
            return nil
        }
        // Nobody does: then its counters must fit between its neighbours'.
        guard let first = source.blocks.first?.header, let last = source.blocks.last?.header else {
            return nil
        }
        let reason = "neither its header nor its footer can be read, and its numbers don't fit this store's"
        for other in sources[..<logCount] {
            guard let begin = other.blocks.first?.header, let end = other.blocks.last?.header else {
                continue
            }
            let fits =
                other.ordinal < source.ordinal
                ? end.epoch <= first.epoch && end.sessionsBegun <= first.sessionsBegun
                    && end.checkpointsMade <= first.checkpointsMade
                    && end.nextSequence <= first.firstSequence
                : other.ordinal > source.ordinal && begin.epoch >= last.epoch
                    && begin.sessionsBegun >= last.sessionsBegun
                    && begin.checkpointsMade >= last.checkpointsMade
                    && begin.firstSequence >= last.nextSequence
            if !fits { return reason }
        }
        return nil
    }

    private mutating func noteLeftOut() {
        for name in directory.leftovers + directory.setAside { notes[name] = "it is not in the log" }
        for reject in directory.rejects {
            notes[reject.fileName] = reject.reason
            let found = try? SegmentFile(
                directory: path, fileName: reject.fileName, fileSystem: options.fileSystem)
            // A segment of another store is nothing that this one lost.
            if found?.store == nil {
                damage.append(
                    Damage(
                        file: path + "/" + reject.fileName, offset: 0, sequences: nil, reason: reject.reason))
            }
        }
    }

    /// Ids are those of one registry an opening: what one segment does not know of its kinds another one may. In salvage what
    /// nobody knows gets a name.
    private mutating func resolveKinds() {
        var known: [UInt64: [KindDefinition?]] = [:]
        for source in sources {
            var kinds = known[source.epoch] ?? []
            for (id, kind) in source.kinds.enumerated() {
                if id == kinds.count { kinds.append(nil) }
                kinds[id] = kinds[id] ?? kind
            }
            known[source.epoch] = kinds
        }
        for number in sources.indices {
            let kinds = known[sources[number].epoch] ?? []
            sources[number].resolveKinds(kinds, placeholders: isSalvaging)
        }
    }

    // MARK: Writing

    /// Writes the store into an empty directory.
    mutating func write(to target: String) throws -> RepairReport {
        let fileSystem = options.fileSystem
        let now = fileSystem.now()
        let plan = RepairPlan(
            sources: sources, logCount: logCount, isSalvaging: isSalvaging, recovery: recovery,
            tail: tail, damage: damage, state: directory.state, time: now)
        let store = try fileSystem.freshID(for: target)
        let writer = RepairWriter(directory: target, store: store, options: options)
        var report = RepairReport(source: directory.identifier, store: store)
        var current: (number: Int, reader: RepairReader, kinds: [UInt32?])?
        func reader(_ number: Int) -> RepairReader {
            if let current, current.number == number { return current.reader }
            let source = sources[number]
            let fresh = RepairReader(
                file: source.file, segment: source.segment, dictionary: source.dictionary)
            current = (number, fresh, Array(repeating: nil, count: source.kinds.count))
            return fresh
        }
        for step in plan.steps {
            switch step {
            case .kinds(let number):
                for case .some(let kind) in sources[number].kinds { _ = try writer.intern(kind) }
            case .events(let number, let position, let rows):
                let (source, reader) = (sources[number], reader(number))
                try writer.put(source, source.blocks[position], rows, reader: reader) {
                    id throws(StoreError) in
                    if let mapped = current?.kinds[Int(id)] { return mapped }
                    // Blocks whose kinds are not known were left out.
                    let kind = source.kinds[Int(id)] ?? RepairSource.placeholder(id)
                    let mapped = try writer.intern(kind)
                    current?.kinds[Int(id)] = mapped
                    return mapped
                }
                report.events += UInt64(rows.count)
                bytesDone += UInt64(source.blocks[position].header.blockLength)
                progress?(
                    RepairProgress(
                        events: report.events, bytesDone: min(bytesDone, bytesTotal), bytesTotal: bytesTotal))
            case .checkpoint(let number, let position):
                try writer.put(
                    sources[number], checkpoint: sources[number].blocks[position], reader: reader(number))
            case .tail(let number):
                try writer.put(tail.slots[number], epoch: tail.epoch, kinds: tail.kinds)
                report.events += UInt64(tail.slots[number].rows.count)
            case .record(let record, let header): try writer.put(record, header)
            }
        }
        var metadata = directory.identity?.metadata ?? [:]
        let kept = metadata
        metadata[EventStore.repairedFromKey] = directory.identifier.description
        // There may be no room for one more.
        if (try? checkMetadata(metadata)) == nil { metadata = kept }
        try writer.finish(
            StoreIdentity(store: store, createdAt: directory.identity?.createdAt ?? now, metadata: metadata))
        report.segments = writer.segments
        report.bytes = writer.byteCount
        describe(plan, &report)
        return report
    }

    private func describe(_ plan: RepairPlan, _ report: inout RepairReport) {
        report.events -= plan.hiddenEvents
        report.unfinishedEvents = plan.hiddenEvents
        report.checkpoints = plan.checkpoints - plan.hiddenCheckpoints
        report.sessions = plan.sessions
        report.salvagedEvents = plan.salvagedEvents
        report.lostCheckpoints = plan.lostCheckpoints
        report.gaps = plan.gaps
        report.unconfirmedBytes = recovery.unconfirmedBytes(beside: tail).addingClamped(tail.unreadableBytes)
        report.damage = (damage + sources.flatMap(\.damage)).sorted {
            ($0.file, $0.offset) < ($1.file, $1.offset)
        }
        for (number, source) in sources.enumerated() {
            let (events, checkpoints) = (plan.keptEvents[number], plan.keptCheckpoints[number])
            let left = plan.leftOut[number]
            var note = notes[source.fileName] ?? ""
            let beyond = source.blocks.reduce(0) { $0 + ($1.isInLog ? 0 : $1.events) }
            if note.isEmpty, !isSalvaging, beyond > 0 {
                note = "\(beyond) events lie beyond the log: they are left to salvage"
            }
            report.files.append(
                RepairReport.File(
                    name: source.fileName,
                    use: number < logCount ? .log : events > 0 || checkpoints > 0 ? .salvaged : .leftOut,
                    events: events, checkpoints: checkpoints, duplicates: left.duplicates,
                    conflicts: left.conflicts, note: note))
        }
        let described = Set(sources.map(\.fileName))
        for name in allNames where !described.contains(name) {
            report.files.append(
                RepairReport.File(
                    name: name, use: .leftOut, events: 0, checkpoints: 0, duplicates: 0, conflicts: [],
                    note: notes[name] ?? ""))
        }
        if tail.eventCount > 0 || tail.unreadableBytes > 0 {
            let note = tail.unreadableBytes > 0 ? "\(tail.unreadableBytes) bytes of it can't be read" : ""
            report.files.append(
                RepairReport.File(
                    name: "TAIL", use: .log, events: tail.eventCount, checkpoints: 0, duplicates: 0,
                    conflicts: [], note: note))
        }
        report.files.sort { $0.name < $1.name }
    }
}

extension RepairSource {
    /// The name of a kind that nobody knows any more.
    static func placeholder(_ id: UInt32) -> KindDefinition {
        KindDefinition(name: "unknown-\(id)", encoding: .binary)
    }

    /// Fills in kinds that the file itself does not know; takes events away whose kinds are not known then.
    mutating func resolveKinds(_ known: [KindDefinition?], placeholders: Bool) {
        let count = blocks.map { Int($0.header.kindCount) }.max() ?? 0
        while kinds.count < count { kinds.append(nil) }
        for id in kinds.indices where kinds[id] == nil {
            kinds[id] = id < known.count ? known[id] : nil
            if kinds[id] == nil, placeholders { kinds[id] = RepairSource.placeholder(UInt32(id)) }
        }
        loseBlocksOfUnknownKinds()
    }
}
