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

        var generation: UInt32 {
            switch self {
            case .sealed(let handle): handle.summary.generation
            case .unsealed(let scan): scan.header.generation
            }
        }

        var uuid: UniqueID {
            switch self {
            case .sealed(let handle): handle.summary.segment
            case .unsealed(let scan): scan.header.segment
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
    var temporaries: [String]

    /// Reads the directory. O(segments), and O(bytes) of those without a footer.
    init(path: String, fileSystem: any FileSystem) throws(StoreError) {
        self.path = path
        let names: [DirectoryEntry]
        do throws(IOFailure) {
            names = try fileSystem.list(path)
        } catch {
            if error.isNotFound { throw .notAStore(path: path, reason: "it does not exist") }
            throw .reading(error)
        }
        let files = Set(names.filter { $0.kind == .regular }.map(\.name))
        identity = files.contains("STORE") ? try StoreDirectory.identity(path, fileSystem) : nil
        let segmentNames = files.filter { $0.hasSuffix(".seg") }.sorted()
        temporaries = files.filter { $0.hasSuffix(".tmp") }.sorted()
        if identity == nil, segmentNames.isEmpty {
            throw .notAStore(path: path, reason: "there is no STORE file and no segment in it")
        }
        rejects = []
        leftovers = []
        var found: [(name: String, segment: Segment)] = []
        var stores: Set<UniqueID> = []
        for name in segmentNames {
            do throws(StoreError) {
                let (segment, store) = try StoreDirectory.segment(path, name, fileSystem, limits: [:])
                if let identity, identity.store != store {
                    rejects.append(Reject(fileName: name, reason: "it belongs to another store (\(store))"))
                    continue
                }
                stores.insert(store)
                found.append((name, segment))
            } catch {
                if case .unknownVersion = error { throw error }
                rejects.append(Reject(fileName: name, reason: error.description))
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
        if let bytes = try? fileSystem.readWhole(path + "/STATE", byteCountMax: StateFile.byteCount) {
            state = bytes.withUnsafeBytes { StateFile.latest(of: $0) }
            if state?.store != identifier { state = nil }
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
        for (name, segment) in ordered {
            if let expected, known.contains(expected.segment), segment.uuid != expected.segment {
                hidden.append(name)
                continue
            }
            var segment = segment
            if let expected, segment.uuid == expected.segment, case .unsealed(let scan) = segment {
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
        }
        segments = chain.reversed()
        leftovers += hidden
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
        guard let bytes else { throw .damaged(file: file, offset: 0, reason: "it is too large") }
        do throws(FormatError) {
            return try bytes.withReader("STORE") { reader throws(FormatError) in
                try StoreIdentity(decoding: try reader.take(reader.remaining))
            }
        } catch {
            throw .decoding(error, file: file, offset: 0)
        }
    }

    /// Opens one segment file: by its summary, or by a scan.
    static func segment(
        _ directory: String, _ name: String, _ fileSystem: any FileSystem, limits: [UniqueID: UInt64]
    ) throws(StoreError) -> (segment: Segment, store: UniqueID) {
        let path = directory + "/" + name
        do {
            let file = try fileSystem.open(path, .read)
            let length = try file.size()
            let endCount = Int(min(length, 4096))
            let end = try file.read(at: length - UInt64(endCount), count: endCount)
            let located: Result<(trailer: Trailer, summary: SegmentSummary), FormatError> =
                end.withUnsafeBytes { bytes in
                    do throws(FormatError) {
                        return .success(try SegmentSummary.locate(inLast: bytes, fileLength: length))
                    } catch { return .failure(error) }
                }
            switch located {
            case .success(let (trailer, summary)):
                file.close()
                let handle = SegmentHandle(
                    directory: directory, fileName: name, trailer: trailer, summary: summary,
                    fileSystem: fileSystem)
                return (.sealed(handle), summary.store)
            case .failure(let error):
                if case .unknownVersion = error { throw StoreError.decoding(error, file: path, offset: 0) }
            }
            let prefix = try file.read(at: 0, count: SegmentHeader.fixedBytes)
            let header: SegmentHeader
            let headerBytes: Int
            do throws(FormatError) {
                headerBytes = try prefix.withReader("a segment header") { reader throws(FormatError) in
                    try SegmentHeader.byteCount(ofPrefix: try reader.take(reader.remaining))
                }
                guard UInt64(headerBytes) <= length else { throw FormatError.truncated("a segment header") }
                guard let whole = try? file.read(at: 0, count: headerBytes) else {
                    throw FormatError.truncated("a segment header")
                }
                header = try whole.withReader("a segment header") { reader throws(FormatError) in
                    try SegmentHeader(decoding: try reader.take(reader.remaining))
                }
            } catch {
                throw StoreError.decoding(error, file: path, offset: 0)
            }
            let scan = try SegmentScan(
                fileName: name, file: file, header: header, headerBytes: UInt64(headerBytes),
                limit: limits[header.segment])
            return (.unsealed(scan), header.store)
        } catch let failure as IOFailure {
            throw .reading(failure)
        } catch let error as StoreError {
            throw error
        } catch {
            throw .cannotRead(path: path, reason: "\(error)")
        }
    }
}
