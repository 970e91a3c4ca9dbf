internal import VarveFormat
internal import VarveIO

/// What a reader that looks again and again knows of a directory.
struct DirectoryMemory: Sendable {
    /// By the name of the file. Published files are immutable: with the same stamp it is the same.
    var sealed: [String: (handle: SegmentHandle, stamp: FileStamp?)] = [:]
    /// By the name of the file. Blocks are only added to them.
    var scans: [String: SegmentScan] = [:]
    /// Names and stamps of all files that the log is read from, as they were before that; nil: not known of all.
    var files: [String: FileStamp]?

    /// The files that a store is read from, with their stamps; nil where the file system has none, or one of them is just going away.
    /// `TAIL` counts only without a writer: what a live one has in it shows in segments later.
    static func files(
        of path: String, _ fileSystem: any FileSystem, withTail: Bool
    ) -> [String: FileStamp]? {
        guard let entries = try? fileSystem.list(path) else { return nil }
        var files: [String: FileStamp] = [:]
        for entry in entries where entry.kind == .regular {
            switch entry.name {
            case "STATE", "STORE": break
            case "TAIL": if !withTail { continue }
            case let name: if !name.hasSuffix(".seg") { continue }
            }
            guard let stamp = (try? fileSystem.stamp(of: path + "/" + entry.name)) ?? nil else { return nil }
            files[entry.name] = stamp
        }
        return files
    }
}

/// What stands in a store's directory: identity, cache, segments in the order of the log.
struct StoreDirectory: Sendable {
    enum Segment: Sendable {
        case sealed(SegmentHandle)
        case unsealed(SegmentScan)

        var ordinal: UInt64 {
            switch self {
            case .sealed(let handle): handle.summary.ordinal
            case .unsealed(let scan): scan.header.ordinal
            }
        }

        var uuid: UniqueID {
            switch self {
            case .sealed(let handle): handle.summary.segment
            case .unsealed(let scan): scan.header.segment
            }
        }

        var fileName: String {
            switch self {
            case .sealed(let handle): handle.fileName
            case .unsealed(let scan): scan.fileName
            }
        }

        var generation: UInt32 {
            switch self {
            case .sealed(let handle): handle.summary.generation
            case .unsealed(let scan): scan.header.generation
            }
        }

        /// The number of the first event that can stand in it.
        var baseSequence: UInt64 {
            switch self {
            case .sealed(let handle): handle.summary.baseSequence
            case .unsealed(let scan): scan.header.baseSequence
            }
        }

        /// The number after its last event.
        var nextSequence: UInt64 {
            switch self {
            case .sealed(let handle): handle.summary.nextSequence
            case .unsealed(let scan): scan.blocks.last?.header.nextSequence ?? scan.header.baseSequence
            }
        }

        var predecessor: (segment: UniqueID, length: UInt64) {
            switch self {
            case .sealed(let handle): (handle.summary.predecessor, handle.summary.predecessorLength)
            case .unsealed(let scan): (scan.header.predecessor, scan.header.predecessorLength)
            }
        }
    }

    /// A file that is no good segment of this store.
    struct Reject: Hashable, Sendable {
        let fileName: String
        let reason: String
        /// No writer of this store has left it.
        var isForeign = false
        /// What its blocks tell; nil for a foreign one, and for one whose name says that it is not the last.
        var remains: SegmentRemains?
    }

    let path: String
    var identity: StoreIdentity?
    let identifier: UniqueID
    var state: StateSlot?
    /// Why the system did not let `STATE` be read: an opening that only it knows of would get no numbers of its own.
    private(set) var stateRefusal: IOFailure?
    /// In the order of the log.
    var segments: [Segment] = []
    /// Segments that are not in the log: other generations, and what no segment of the log goes on from.
    private(set) var leftovers: [String] = []
    /// Segments that another one has replaced: all that is retained of them stands in that.
    private(set) var replaced: [String] = []
    /// What earlier recoveries left aside: only salvage reads it.
    private(set) var setAside: [String]
    private(set) var rejects: [Reject] = []
    /// Files that opening for writing removes: those with a temporary name, and segments that were not begun.
    private(set) var temporaries: [String]
    /// The highest ordinal that a segment has, or that a name claims and may have: the next segment comes after it.
    private(set) var ordinalMax: UInt64 = 0
    /// What of this need not be read again.
    private(set) var memory: DirectoryMemory

    /// What a name ends with once recovery has left its file aside.
    static let asideSuffix = ".cut"
    /// So far beyond the last segment a name is no writer's.
    private static let ordinalStepMax: UInt64 = 1 << 32

    /// Reads the directory. O(segments), and O(bytes) of those without a footer. In salvage a segment of another version, or one that
    /// the system does not let it read, is as good as damaged: one flipped bit makes the one, a bad sector the other.
    /// What `memory` knows is not read again.
    init(
        path: String, fileSystem: any FileSystem, isSalvaging: Bool = false,
        memory: DirectoryMemory = DirectoryMemory()
    ) throws(StoreError) {
        self.path = path
        self.memory = memory
        // Before the listing: what it names was in the directory by then, also when a writer closes meanwhile.
        var stateBytes: [UInt8]?
        do throws(IOFailure) {
            stateBytes = try fileSystem.readWhole(path + "/STATE", byteCountMax: StateFile.byteCount)
        } catch {
            if !error.isNotFound, !error.isNotRegularFile { stateRefusal = error }
        }
        let entries = try StoreDirectory.list(path, fileSystem)
        let files = Set(entries.filter { $0.kind == .regular }.map(\.name))
        identity = files.contains("STORE") ? try StoreDirectory.identity(path, fileSystem) : nil
        let segmentNames = files.filter { $0.hasSuffix(".seg") }.sorted()
        temporaries = files.filter { $0.hasSuffix(".tmp") }.sorted()
        setAside = files.filter { $0.hasSuffix(StoreDirectory.asideSuffix) }.sorted()
        if identity == nil, segmentNames.isEmpty {
            throw .notAStore(
                path: path, reason: "there is no STORE file that can be read, and no segment in it")
        }
        var found: [Segment] = []
        var stores: Set<UniqueID> = []
        self.memory.sealed = [:]
        for name in segmentNames {
            do throws(StoreError) {
                let (segment, store) = try StoreDirectory.segment(
                    path, name, fileSystem, known: memory, &self.memory)
                if let identity, identity.store != store {
                    rejects.append(
                        Reject(
                            fileName: name, reason: "it belongs to another store (\(store))",
                            isForeign: true))
                    continue
                }
                guard segment.ordinal < .max >> 2 else {
                    rejects.append(
                        Reject(fileName: name, reason: "its ordinal is out of range", isForeign: true))
                    continue
                }
                stores.insert(store)
                found.append(segment)
            } catch {
                // A file that the system refuses to read is no reason to go on without it.
                switch error {
                case .unknownVersion, .cannotRead: if !isSalvaging { throw error }
                default: break
                }
                rejects.append(Reject(fileName: name, reason: error.description))
            }
        }
        if let identity {
            identifier = identity.store
        } else if stores.count == 1, let only = stores.first {
            identifier = only
        } else {
            let example = rejects.first.map { " (\($0.fileName): \($0.reason))" } ?? ""
            let reason =
                stores.isEmpty
                ? "no segment in it can be read\(example)"
                : "its segments belong to different stores, and there is no STORE file that can be read"
            throw .notAStore(path: path, reason: reason)
        }
        if let bytes = stateBytes {
            state = bytes.withUnsafeBytes { StateFile.latest(of: $0) }
            // It is a cache: one that says what can't be is ignored.
            if let found = state,
                found.store != identifier
                    || max(
                        found.nextSequence, found.epoch, found.sessionsBegun, found.counter,
                        found.watermarkSegment) >= .max >> 2
            {
                state = nil
            }
        }
        do throws(IOFailure) {
            try order(found, fileSystem)
            let names = entries.filter { $0.name.hasSuffix(".seg") }.map(\.name)
            try look(at: names, after: found.map(\.ordinal).max() ?? 0, fileSystem, isSalvaging)
        } catch {
            throw .reading(error)
        }
        temporaries += unbegun.map(\.fileName)
        self.memory.scans = Dictionary(
            segments.compactMap { segment -> (String, SegmentScan)? in
                guard case .unsealed(let scan) = segment else { return nil }
                return (scan.fileName, scan)
            }, uniquingKeysWith: { first, _ in first })
    }

    /// What `STATE` says now, where it can be read and is this store's.
    static func state(_ path: String, of store: UniqueID, _ fileSystem: any FileSystem) -> StateSlot? {
        let bytes = (try? fileSystem.readWhole(path + "/STATE", byteCountMax: StateFile.byteCount)) ?? nil
        let slot = bytes.flatMap { bytes in bytes.withUnsafeBytes { StateFile.latest(of: $0) } }
        return slot?.store == store ? slot : nil
    }

    /// A segment, as it is known or as its file says.
    private static func segment(
        _ path: String, _ name: String, _ fileSystem: any FileSystem, known: DirectoryMemory,
        _ memory: inout DirectoryMemory
    ) throws(StoreError) -> (segment: Segment, store: UniqueID) {
        let stamp: FileStamp?
        do throws(IOFailure) {
            // Before it is read: a change meanwhile shows next time.
            stamp = try fileSystem.stamp(of: path + "/" + name)
        } catch {
            throw .reading(error)
        }
        if let stamp, let (handle, old) = known.sealed[name], old == stamp {
            memory.sealed[name] = (handle, stamp)
            return (.sealed(handle), handle.summary.store)
        }
        let (segment, store) = try StoreDirectory.segment(path, name, fileSystem)
        guard case .sealed(var handle) = segment else { return (segment, store) }
        // The same footer: what was loaded of it stays.
        if let (old, _) = known.sealed[name], old.summary == handle.summary, old.trailer == handle.trailer {
            handle = old
        }
        memory.sealed[name] = (handle, stamp)
        return (.sealed(handle), store)
    }

    private static func list(_ path: String, _ fileSystem: any FileSystem) throws(StoreError)
        -> [DirectoryEntry]
    {
        do throws(IOFailure) {
            var names = try fileSystem.list(path)
            // Until two agree: one alone may miss a file that is renamed meanwhile.
            for _ in 0..<16 {
                let again = try fileSystem.list(path)
                if Set(again.map(\.name)) == Set(names.map(\.name)) { break }
                names = again
            }
            return names
        } catch {
            if error.isNotFound { throw .notAStore(path: path, reason: "it does not exist") }
            throw .reading(error)
        }
    }

    // MARK: The chain

    /// Puts the segments in the order of the log: the chain of predecessors, from the last one back. What is not in it is left over.
    private mutating func order(_ found: [Segment], _ fileSystem: any FileSystem) throws(IOFailure) {
        // Of several generations the highest counts, provided that it has a footer; of those without one the lowest.
        var byOrdinal: [UInt64: Segment] = [:]
        let (gone, unusable) = try findReplaced(found, fileSystem)
        let shown = found.filter { !gone.contains($0.uuid) && !unusable.contains($0.uuid) }
        replaced = found.filter { gone.contains($0.uuid) }.map(\.fileName)
        leftovers = found.filter { unusable.contains($0.uuid) && !gone.contains($0.uuid) }.map(\.fileName)
        for (ordinal, candidates) in Dictionary(grouping: shown, by: \.ordinal) {
            let ranked =
                candidates.count > 1
                ? candidates.sorted { rank($0, fileSystem) > rank($1, fileSystem) } : candidates
            byOrdinal[ordinal] = ranked[0]
            leftovers += ranked.dropFirst().map(\.fileName)
        }
        let ordered = byOrdinal.values.sorted { $0.ordinal > $1.ordinal }
        let known = Set(ordered.map(\.uuid))
        var chain: [Segment] = []
        for segment in ordered {
            guard let next = chain.last else {
                chain.append(try scanned(segment, limit: nil, fileSystem))
                continue
            }
            // The log's first segment has no predecessor.
            let (predecessor, length) = next.predecessor
            guard predecessor != .zero, segment.uuid == predecessor || !known.contains(predecessor) else {
                leftovers.append(segment.fileName)
                continue
            }
            chain.append(
                try scanned(segment, limit: segment.uuid == predecessor ? length : nil, fileSystem))
        }
        segments = chain.reversed()
    }

    /// The UUIDs of segments that stand beside one which has replaced them: after a crash, or just before they are removed. And of those
    /// that say they have replaced others, which are there, and whose footers can't be read: those are set aside.
    private func findReplaced(
        _ found: [Segment], _ fileSystem: any FileSystem
    ) throws(IOFailure) -> (replaced: Set<UniqueID>, unusable: Set<UniqueID>) {
        var (replaced, unusable) = (Set<UniqueID>(), Set<UniqueID>())
        let ordered = found.sorted { ($0.ordinal, $0.generation) < ($1.ordinal, $1.generation) }
        // The highest base sequence so far.
        var highest: UInt64?
        for (number, segment) in ordered.enumerated() {
            let earlier = highest
            highest = max(earlier ?? 0, segment.baseSequence)
            guard case .sealed(let handle) = segment, handle.summary.isSettled else { continue }
            let summary = handle.summary
            // Only those that reach into it: in a log that is in order there is none, and no footer is read.
            let sameOrdinal = ordered[(number + 1)...].prefix { $0.ordinal == summary.ordinal }
            guard
                earlier.map({ $0 >= summary.baseSequence }) ?? false
                    || sameOrdinal.contains(where: { $0.baseSequence >= summary.baseSequence })
            else { continue }
            let file = try fileSystem.open(handle.path, .read)
            defer { file.close() }
            do throws(StoreError) {
                let footer = try handle.readFooter(of: file, leavingOutFilters: true)
                replaced.formUnion(footer.replaces.map(\.segment))
            } catch {
                guard case .damaged = error else {
                    throw IOFailure(.read, path: handle.path, code: 5)
                }
                // Without its footer it has replaced nothing: where the first and the last of what it was made of are there, so are all.
                let others = ordered.filter { other in
                    other.uuid != summary.segment && other.ordinal <= summary.ordinal
                        && other.baseSequence >= summary.baseSequence
                }
                if others.contains(where: { $0.baseSequence == summary.baseSequence }),
                    others.contains(where: { $0.ordinal == summary.ordinal })
                {
                    unusable.insert(summary.segment)
                }
            }
        }
        return (replaced, unusable)
    }

    /// The segment as far as it belongs to the log, with its blocks where it has no footer, or where that names too many of them.
    private func scanned(
        _ segment: Segment, limit: UInt64?, _ fileSystem: any FileSystem
    ) throws(IOFailure) -> Segment {
        switch segment {
        case .unsealed(var scan):
            if let earlier = memory.scans[scan.fileName], earlier.header == scan.header,
                earlier.headerBytes == scan.headerBytes
            {
                try scan.run(upTo: limit, goingOnFrom: earlier)
            } else {
                try scan.run(upTo: limit)
            }
            return .unsealed(scan)
        case .sealed(let handle):
            guard let limit, handle.summary.dataBytes > limit else { return segment }
            let file = try fileSystem.open(handle.path, .read)
            guard let (header, headerBytes) = try? readSegmentHeader(of: file, length: try file.size()),
                header.segment == handle.summary.segment
            else { return segment }
            var scan = SegmentScan(
                fileName: handle.fileName, file: file, header: header, headerBytes: headerBytes)
            try scan.run(upTo: limit)
            return .unsealed(scan)
        }
    }

    /// A footer counts when all of its sections can be read.
    private func rank(_ segment: Segment, _ fileSystem: any FileSystem) -> (Int, Int64) {
        switch segment {
        case .sealed(let handle):
            let footer = (try? fileSystem.open(handle.path, .read)).flatMap { try? handle.readFooter(of: $0) }
            return (footer == nil ? 0 : 1, Int64(handle.summary.generation))
        case .unsealed(let scan): return (0, -Int64(scan.header.generation))
        }
    }

    // MARK: What can't be read

    /// Looks at what stands after the last segment, by its name or without one.
    private mutating func look(
        at names: [String], after highest: UInt64, _ fileSystem: any FileSystem, _ isSalvaging: Bool
    ) throws(IOFailure) {
        let last = segments.last?.ordinal ?? 0
        for number in rejects.indices {
            let name = SegmentName(fileName: rejects[number].fileName)
            guard !rejects[number].isForeign, name.map({ $0.ordinal > last }) ?? true
            else { continue }
            let file: any File
            do throws(IOFailure) {
                file = try fileSystem.open(path + "/" + rejects[number].fileName, .read)
            } catch {
                if isSalvaging { continue }
                throw error
            }
            defer { file.close() }
            rejects[number].remains = try SegmentRemains(
                of: file, rejects[number].fileName, ignoresRefusals: isSalvaging)
        }
        ordinalMax = highest
        for name in names {
            guard let ordinal = SegmentName(fileName: name)?.ordinal, ordinal > highest,
                ordinal - highest <= StoreDirectory.ordinalStepMax
            else { continue }
            ordinalMax = max(ordinalMax, ordinal)
        }
    }

    /// Segments after the last one whose file is all zeros: a power cut came before their header was synced, or they are just
    /// being made. There was never anything in them that could be missed.
    var unbegun: [Reject] {
        let last = max(segments.last?.ordinal ?? 0, state?.watermarkSegment ?? 0)
        return rejects.filter { $0.remains.map { $0.isZero && $0.name?.ordinal ?? 0 > last } ?? false }
    }

    /// Files whose header can't be read, and that may hold the log's end: by their name, or by their blocks.
    var lostEnds: [Reject] {
        let last = segments.last?.ordinal ?? 0
        return rejects.filter { reject in
            guard let remains = reject.remains, !remains.isZero else { return false }
            // A damaged copy of a segment that is there.
            if let segment = remains.segment, segments.contains(where: { $0.uuid == segment }) {
                return false
            }
            guard let name = remains.name else { return remains.segment != nil }
            return name.ordinal > last && name.ordinal <= ordinalMax
        }
    }

    /// Files whose header can't be read, and that the log goes on without: a crash came before an opening that had done without them
    /// had put them aside. Once segments around them are merged, nobody could tell any more.
    var passedOver: [Reject] {
        let skipped = zip(segments, segments.dropFirst()).compactMap { before, after in
            after.predecessor.segment == before.uuid && before.ordinal < after.ordinal
                ? before.ordinal + 1..<after.ordinal : nil
        }
        return rejects.filter { reject in
            guard !reject.isForeign, let ordinal = SegmentName(fileName: reject.fileName)?.ordinal else {
                return false
            }
            return skipped.contains { $0.contains(ordinal) }
        }
    }

    /// Files whose header can't be read, by their names behind the end that recovery has found: in a hole, behind which others were set
    /// aside. Once this opening has merged what is around them, nobody could tell any more.
    func rejects(after last: UInt64) -> [Reject] {
        rejects.filter { reject in
            guard !reject.isForeign, let ordinal = SegmentName(fileName: reject.fileName)?.ordinal else {
                return false
            }
            return ordinal > last && ordinal <= ordinalMax
        }
    }

    /// Why the system did not let an unsealed segment be read to its end; nil when it did.
    var refusal: IOFailure? {
        for case .unsealed(let scan) in segments {
            if let failure = scan.failure { return failure }
        }
        return nil
    }

    private static func identity(_ path: String, _ fileSystem: any FileSystem) throws(StoreError)
        -> StoreIdentity?
    {
        let file = path + "/STORE"
        let bytes: [UInt8]?
        do throws(IOFailure) {
            bytes = try fileSystem.readWhole(file, byteCountMax: Limits.headerBytesMax)
        } catch {
            throw .reading(error)
        }
        // A damaged one counts as missing: the segments say whose they are. Verification names it.
        guard let bytes else { return nil }
        do throws(FormatError) {
            return try bytes.withBytes { bytes throws(FormatError) in try StoreIdentity(decoding: bytes) }
        } catch {
            let error = StoreError.decoding(error, file: file, offset: 0)
            if case .damaged = error { return nil }
            throw error
        }
    }

    /// Opens one segment file: by its summary or, without one, by its header. Its blocks are yet to be scanned then.
    static func segment(_ directory: String, _ name: String, _ fileSystem: any FileSystem) throws(StoreError)
        -> (
            segment: Segment, store: UniqueID
        )
    {
        let path = directory + "/" + name
        return try StoreError.catching(at: path, StoreError.reading) {
            let file = try fileSystem.open(path, .read)
            let length = try file.size()
            let endCount = Int(min(length, 4096))
            let end = try file.read(at: length - UInt64(endCount), count: endCount)
            do throws(FormatError) {
                let (trailer, summary) = try end.withBytes { bytes throws(FormatError) in
                    try SegmentSummary.locate(inLast: bytes, fileLength: length)
                }
                file.close()
                let handle = SegmentHandle(
                    directory: directory, fileName: name, trailer: trailer, summary: summary,
                    fileSystem: fileSystem)
                return (.sealed(handle), summary.store)
            } catch .unknownVersion(let version, let what) {
                throw StoreError.decoding(.unknownVersion(version, of: what), file: path, offset: 0)
            } catch {
                // No footer, or none that can be read: the blocks say what there is.
            }
            let (header, headerBytes) = try readSegmentHeader(of: file, length: length)
            let scan = SegmentScan(fileName: name, file: file, header: header, headerBytes: headerBytes)
            return (.unsealed(scan), header.store)
        }
    }

    /// The segments as they are for a reader: unsealed ones up to where the log ends.
    func readableEntries(_ plan: RecoveryPlan) -> [Catalog.Entry] {
        segments.compactMap { segment in
            switch segment {
            case .sealed(let handle): return .sealed(handle)
            case .unsealed(let scan):
                if let cut = plan.cut, scan.header.ordinal > cut.segment { return nil }
                let end = plan.cut.flatMap { $0.segment == scan.header.ordinal ? $0.offset : nil } ?? .max
                return .open(OpenSegment(file: scan.file, index: scan.index(upTo: end)))
            }
        }
    }
}

extension SegmentName {
    /// The name that a file had which was set aside.
    init?(asideName name: String) {
        guard name.hasSuffix(StoreDirectory.asideSuffix) else { return nil }
        let parts = name.dropLast(StoreDirectory.asideSuffix.count).split(separator: ".")
        guard parts.count == 2 || parts.count == 3 && UInt64(parts[2]) != nil else { return nil }
        self.init(fileName: parts[0] + "." + parts[1])
    }
}
