internal import VarveFormat
internal import VarveIO

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
        /// What its blocks tell; nil for a segment of another store.
        let remains: SegmentRemains?
    }

    let path: String
    var identity: StoreIdentity?
    let identifier: UniqueID
    var state: StateSlot?
    /// In the order of the log.
    var segments: [Segment]
    /// Files that the log has left behind: older generations, copied tails.
    var leftovers: [String]
    var rejects: [Reject]
    /// Files that opening for writing removes: those with a temporary name, and segments that were not begun.
    var temporaries: [String]
    /// The highest ordinal that a segment has, or that the name of any file claims: the next segment's name must be new.
    let ordinalMax: UInt64

    /// Reads the directory. O(segments), and O(bytes) of those without a footer. In salvage a segment of another version, or one that
    /// the system does not let it read, is as good as damaged: one flipped bit makes the one, a bad sector the other.
    init(path: String, fileSystem: any FileSystem, isSalvaging: Bool = false) throws(StoreError) {
        self.path = path
        // Before the listing: what it names was in the directory by then, also when a writer closes meanwhile.
        let stateBytes = try? fileSystem.readWhole(path + "/STATE", byteCountMax: StateFile.byteCount)
        var names: [DirectoryEntry]
        do throws(IOFailure) {
            names = try fileSystem.list(path)
            // Until two agree: one alone may miss a file that is renamed meanwhile.
            for _ in 0..<16 {
                let again = try fileSystem.list(path)
                if Set(again.map(\.name)) == Set(names.map(\.name)) { break }
                names = again
            }
        } catch {
            if error.isNotFound { throw .notAStore(path: path, reason: "it does not exist") }
            throw .reading(error)
        }
        let files = Set(names.filter { $0.kind == .regular }.map(\.name))
        identity = files.contains("STORE") ? try StoreDirectory.identity(path, fileSystem) : nil
        let segmentNames = files.filter { $0.hasSuffix(".seg") }.sorted()
        temporaries = files.filter { $0.hasSuffix(".tmp") }.sorted()
        if identity == nil, segmentNames.isEmpty {
            throw .notAStore(
                path: path, reason: "there is no STORE file that can be read, and no segment in it")
        }
        rejects = []
        leftovers = []
        var found: [(name: String, segment: Segment)] = []
        var stores: Set<UniqueID> = []
        for name in segmentNames {
            do throws(StoreError) {
                let (segment, store) = try StoreDirectory.segment(path, name, fileSystem)
                if let identity, identity.store != store {
                    rejects.append(
                        Reject(
                            fileName: name, reason: "it belongs to another store (\(store))", remains: nil))
                    continue
                }
                stores.insert(store)
                found.append((name, segment))
            } catch {
                // A file that the system refuses to read is no reason to go on without it.
                switch error {
                case .unknownVersion, .cannotRead: if !isSalvaging { throw error }
                default: break
                }
                do throws(IOFailure) {
                    let file = try fileSystem.open(path + "/" + name, .read)
                    defer { file.close() }
                    let remains = try SegmentRemains(of: file, name)
                    rejects.append(Reject(fileName: name, reason: error.description, remains: remains))
                } catch {
                    throw .reading(error)
                }
            }
        }
        if let identity {
            identifier = identity.store
        } else if stores.count == 1, let only = stores.first {
            identifier = only
        } else {
            let reason =
                stores.isEmpty
                ? rejects.first.map { "no segment in it can be read (\($0.fileName): \($0.reason))" }
                    ?? "it is empty"
                : "its segments belong to different stores, and there is no STORE file"
            throw .notAStore(path: path, reason: reason)
        }
        if let bytes = stateBytes ?? nil {
            state = bytes.withUnsafeBytes { StateFile.latest(of: $0) }
            // It is a cache: one that says what can't be is ignored.
            if let found = state,
                found.store != identifier || found.nextSequence > .max >> 1 || found.epoch > .max >> 2
                    || found.sessionsBegun > .max >> 1
            {
                state = nil
            }
        }

        // Of several generations the highest counts, provided that it has a footer.
        var byOrdinal: [UInt64: (name: String, segment: Segment)] = [:]
        for candidate in found {
            guard let current = byOrdinal[candidate.segment.ordinal] else {
                byOrdinal[candidate.segment.ordinal] = candidate
                continue
            }
            let wins = StoreDirectory.rank(candidate.segment) > StoreDirectory.rank(current.segment)
            byOrdinal[candidate.segment.ordinal] = wins ? candidate : current
            leftovers.append(wins ? current.name : candidate.name)
        }
        // The chain of predecessors, from the last segment back: what stands between is not in the log.
        var chain: [Segment] = []
        var hidden: [String] = []
        var expected: (segment: UniqueID, length: UInt64)?
        let ordered = byOrdinal.values.sorted { $0.segment.ordinal > $1.segment.ordinal }
        let known = Set(ordered.map(\.segment.uuid))
        var hasEnded = false
        for (name, segment) in ordered {
            // The log's first segment has no predecessor: what is older was copied, and is about to be removed.
            if hasEnded {
                hidden.append(name)
                continue
            }
            if let expected, known.contains(expected.segment), segment.uuid != expected.segment {
                hidden.append(name)
                continue
            }
            var segment = segment
            if let expected, segment.uuid == expected.segment, case .unsealed(let scan) = segment,
                scan.end > expected.length
            {
                do throws(IOFailure) {
                    segment = .unsealed(
                        try SegmentScan(
                            fileName: scan.fileName, file: scan.file, header: scan.header,
                            headerBytes: scan.headerBytes, limit: expected.length))
                } catch {
                    throw .reading(error)
                }
            }
            chain.append(segment)
            expected = segment.predecessor.segment == .zero ? nil : segment.predecessor
            hasEnded = expected == nil
        }
        segments = chain.reversed()
        leftovers += hidden
        // Hidden ones too, and what only a name says: the next segment's name must be new.
        let claimed =
            found.map(\.segment.ordinal) + rejects.compactMap { $0.remains?.name?.ordinal }
        ordinalMax = claimed.filter { $0 < .max >> 1 }.max() ?? 0
        temporaries += unbegun.map(\.fileName)
    }

    /// Segments after the last one whose file is all zeros: a power cut came before their header was synced, or they are just
    /// being made. There was never anything in them that could be missed.
    var unbegun: [Reject] {
        let last = max(
            segments.last?.ordinal ?? 0, state.map { $0.isClosed ? $0.watermarkSegment : 0 } ?? 0)
        return rejects.filter { $0.remains.map { $0.isZero && $0.name?.ordinal ?? 0 > last } ?? false }
    }

    /// Files whose header can't be read, and that may hold the log's end.
    var lostEnds: [Reject] {
        let last = segments.last?.ordinal ?? 0
        return rejects.filter { reject in
            guard let remains = reject.remains, !remains.isZero else { return false }
            return remains.name.map { $0.ordinal > last } ?? true
        }
    }

    /// Why the system did not let an unsealed segment be read to its end; nil when it did.
    var refusal: IOFailure? {
        for case .unsealed(let scan) in segments {
            if let failure = scan.failure { return failure }
        }
        return nil
    }

    private static func rank(_ segment: Segment) -> (Int, UInt32) {
        switch segment {
        case .sealed(let handle): (1, handle.summary.generation)
        case .unsealed(let scan): (0, scan.header.generation)
        }
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

    /// Opens one segment file: by its summary, or by a scan.
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
            let scan = try SegmentScan(
                fileName: name, file: file, header: header, headerBytes: headerBytes, limit: nil)
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
