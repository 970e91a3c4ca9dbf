internal import VarveFormat
internal import VarveIO

/// The kinds of a segment, or of what waits to be written, by their numbers there.
struct SourceKinds {
    let kinds: [EventKind]
    /// No two are alike.
    let areDistinct: Bool

    init(_ definitions: [KindDefinition]) {
        kinds = definitions.map { EventKind($0) }
        areDistinct = Set(kinds).count == kinds.count
    }
}

/// A segment's bytes and index, loaded: what a cursor reads from. Immutable.
final class LoadedSegment: @unchecked Sendable {
    let index: SegmentIndex
    let fileName: String
    let file: any File
    private let region: (any MappedRegion)?
    private let filterSection: (offset: UInt64, byteCount: Int)?
    /// The segment's dictionary, read and verified; nil when it has none that can be read.
    let dictionary: [UInt8]?
    let kinds: SourceKinds

    /// `named` is the same file, where it has been opened to be read beside its blocks.
    init(
        index: SegmentIndex, file: any File, region: (any MappedRegion)?, named: (any File)? = nil,
        filterSection: (offset: UInt64, byteCount: Int)? = nil
    ) {
        self.index = index
        self.file = file
        self.filterSection = filterSection
        self.region = region.flatMap { $0.canPopulate ? $0 : nil }
        fileName = file.path
        var found = index.dictionary
        if found == nil, let position = index.dictionaryEntry {
            found = LoadedSegment.readDictionary(index, position, named ?? file)
        }
        dictionary = found
        kinds = SourceKinds(index.kinds.map(\.definition))
    }

    /// The segment's filters; nil when it has none that can be read: then nothing is ruled out by them. O(their bytes).
    func filters() -> TokenFilters? { (try? readFilters()) ?? nil }

    /// The segment's filters; nil when it has none. Errors: `damaged`, `unknownVersion` where they are a later version's, `cannotRead`.
    func readFilters() throws(StoreError) -> TokenFilters? {
        guard let filterSection else { return nil }
        let (offset, count) = filterSection
        do {
            if let region, let start = Int(exactly: offset), start <= region.bytes.count - count {
                try region.populate(start..<start + count)
                // The mapping lives as long as this object.
                return try decodeFilters(
                    UnsafeRawBufferPointer(rebasing: region.bytes[start..<start + count]), owner: self)
            }
            let owner = FilterBytes(try file.read(at: offset, count: count))
            return try decodeFilters(owner.bytes, owner: owner)
        } catch let error as FormatError {
            throw .decoding(error, file: fileName, offset: offset)
        } catch let error as IOFailure {
            throw .reading(error)
        } catch {
            throw .cannotRead(path: fileName, reason: "\(error)")
        }
    }

    private func decodeFilters(
        _ section: UnsafeRawBufferPointer, owner: any AnyObject & Sendable
    ) throws(FormatError) -> TokenFilters {
        let filters = try TokenFilters(
            decoding: try Footer.filterBody(in: section, segment: index.header.segment), owner: owner)
        guard filters.fit(index.entries) else {
            throw .invalid("the filters", reason: "they are not those of the segment's blocks")
        }
        return filters
    }

    /// Tells its dictionary from others'.
    var identity: UInt64 { index.header.segment.low ^ UInt64(index.header.generation) }

    /// Bytes of the file: in place where it is mapped (populated first, so that a bad page is an error and not a
    /// signal), otherwise read into `scratch`.
    func bytes(at offset: UInt64, count: Int, _ scratch: ScratchBuffer) throws(StoreError)
        -> UnsafeRawBufferPointer
    {
        if let region, let start = Int(exactly: offset), start <= region.bytes.count - count {
            do throws(IOFailure) {
                try region.populate(start..<start + count)
                return UnsafeRawBufferPointer(rebasing: region.bytes[start..<start + count])
            } catch {
                throw .damaged(file: fileName, offset: offset, reason: error.reason)
            }
        }
        let target = scratch.reserve(count)
        let length: Int
        do throws(IOFailure) {
            length = try file.read(at: offset, into: target)
        } catch {
            throw .damaged(file: fileName, offset: offset, reason: error.reason)
        }
        guard length == count else {
            throw .damaged(file: fileName, offset: offset, reason: "the file is cut short")
        }
        return UnsafeRawBufferPointer(target)
    }

    /// The header and the small part of a block whose bytes were read: both verified, the header also against the index.
    func verified(_ bytes: UnsafeRawBufferPointer, _ entry: BlockIndexEntry) throws(FormatError) -> (
        header: BlockHeader, small: UnsafeRawBufferPointer
    ) {
        let header = try BlockHeader(decoding: bytes, segment: index.header.segment, number: nil)
        guard Safeguard.indexAgreement.isLeftOut || BlockIndexEntry(header, offset: entry.offset) == entry,
            header.eventCount == 0 || header.kindCount <= index.kinds.count
        else {
            throw .invalid("a block", reason: "its header contradicts the index")
        }
        let end = BlockHeader.byteCount + Int(header.smallLength)
        let small = UnsafeRawBufferPointer(rebasing: bytes[BlockHeader.byteCount..<end])
        try ControlBlock.verifySmallPart(small, of: header)
        return (header, small)
    }

    /// The first of a dictionary's two copies that has its checksum. Each is read alone: a sector that can't be read takes one of
    /// them, and not both.
    private static func readDictionary(_ index: SegmentIndex, _ position: Int, _ file: any File) -> [UInt8]? {
        let entry = index.entries[position]
        let smallEnd = BlockHeader.byteCount + Int(entry.smallLength)
        guard smallEnd <= Int(entry.length), let front = try? file.read(at: entry.offset, count: smallEnd),
            front.count == smallEnd
        else { return nil }
        return front.withUnsafeBytes { front -> [UInt8]? in
            let small = UnsafeRawBufferPointer(rebasing: front[BlockHeader.byteCount...])
            guard
                let header = try? BlockHeader(
                    decoding: front, segment: index.header.segment, number: UInt32(position)),
                header.smallLength == entry.smallLength,
                (try? ControlBlock.verifySmallPart(small, of: header)) != nil,
                case .dictionary(let first, let second)? = try? ControlBlock.decode(small, of: header)
            else { return nil }
            var offset = entry.offset + UInt64(smallEnd)
            for (number, copy) in [first, second].enumerated() {
                if let stored = try? file.read(at: offset, count: Int(copy.storedBytes)),
                    (try? stored.withBytes({ bytes throws(FormatError) in
                        try ControlBlock.verifySubBlock(
                            bytes, number, checksum: copy.checksum, segment: header.segment,
                            block: header.number)
                    })) != nil
                {
                    return stored
                }
                offset += UInt64(copy.storedBytes)
            }
            return nil
        }
    }
}

/// Memory to read into, kept between reads. One thread at a time.
final class ScratchBuffer {
    private var storage: UnsafeMutableRawPointer?
    private var capacity = 0

    deinit { storage?.deallocate() }

    var byteCount: Int { capacity }

    /// At least `count` bytes; what was there before is gone.
    func reserve(_ count: Int) -> UnsafeMutableRawBufferPointer {
        if let storage, count <= capacity {
            return UnsafeMutableRawBufferPointer(start: storage, count: count)
        }
        storage?.deallocate()
        capacity = max(count, min(capacity * 2, 1 << 20), 4 << 10)
        let fresh = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 64)
        storage = fresh
        return UnsafeMutableRawBufferPointer(start: fresh, count: count)
    }
}

/// A sealed segment in the catalog: its summary, and the rest once it is needed. Any thread may call.
final class SegmentHandle: @unchecked Sendable {
    private let directory: String
    let fileName: String
    let summary: SegmentSummary
    let trailer: Trailer
    private let fileSystem: any FileSystem
    private let monitor = Monitor()
    private var loaded: LoadedSegment?
    /// What it has of each session, once it was asked for.
    private var sessionParts: [SessionSummary]?
    /// The file, once it must stay readable.
    private var held: (any File)?

    init(
        directory: String, fileName: String, trailer: Trailer, summary: SegmentSummary,
        fileSystem: any FileSystem
    ) {
        self.directory = directory
        self.fileName = fileName
        self.trailer = trailer
        self.summary = summary
        self.fileSystem = fileSystem
    }

    var path: String { directory + "/" + fileName }

    /// From now on it can be read, also when its file is removed: mapped, so that no descriptor is taken, or open where it can't be.
    func hold() throws(IOFailure) {
        monitor.lock()
        defer { monitor.unlock() }
        guard held == nil else { return }
        if let loaded {
            held = loaded.file
            return
        }
        let file = try fileSystem.open(path, .read)
        guard let region = try? file.map(), region.canPopulate else {
            held = file
            return
        }
        file.close()
        held = MappedFile(path: path, region)
    }

    /// The file, also when its name is gone and it was held before.
    func open() throws(IOFailure) -> any File {
        if let held = monitor.withLock({ held }) { return held }
        return try fileSystem.open(path, .read)
    }

    /// The segment's index and bytes; read at the first call.
    func load() throws(StoreError) -> LoadedSegment {
        monitor.lock()
        defer { monitor.unlock() }
        if let loaded { return loaded }
        let fresh = try read()
        loaded = fresh
        return fresh
    }

    /// What the segment has of each session. Where it is not loaded, that part of its footer alone is read, and the whole index where that
    /// is damaged.
    func sessions() throws(StoreError) -> [SessionSummary] {
        let found = monitor.withLock {
            if sessionParts == nil { sessionParts = loaded?.index.sessions ?? (try? readSessions()) }
            return sessionParts
        }
        if let found { return found }
        return try load().index.sessions
    }

    /// Call with the monitor held.
    private func readSessions() throws -> [SessionSummary]? {
        let file = try openNamed()
        defer { if held !== file { file.close() } }
        guard try file.size() == trailer.fileLength else { return nil }
        let end = trailer.footerOffset + trailer.footerLength
        // After the footer's magic.
        var offset = trailer.footerOffset + 8
        for _ in 0..<trailer.sectionCount where offset < end {
            let head = try readWhole(file, at: offset, Section.headerBytes)
            guard let section = head.withUnsafeBytes({ Section.outline(ofHead: $0) }),
                UInt64(section.byteCount) <= end - offset
            else { return nil }
            if section.type == SectionType.sessions {
                return try readWhole(file, at: offset, section.byteCount).withUnsafeBytes {
                    try Footer.sessions(inSection: $0, segment: summary.segment)
                }
            }
            offset += UInt64(section.byteCount)
        }
        return nil
    }

    private func read() throws(StoreError) -> LoadedSegment {
        try StoreError.catching(at: path, StoreError.reading) {
            let file = try openNamed()
            var isRead = false
            defer { if !isRead, held !== file { file.close() } }
            let size = try file.size()
            guard size == trailer.fileLength else {
                throw StoreError.damaged(file: path, offset: size, reason: "the file changed its length")
            }
            let index: SegmentIndex
            do throws(StoreError) {
                let (header, headerBytes) = try readHeader(of: file)
                index = try readIndex(of: file, header, headerBytes)
            } catch {
                // Without its header the footer says all that a reader needs.
                guard case .damaged(_, 0, _) = error, let footer = try? readFooter(of: file) else {
                    throw error
                }
                index = SegmentIndex(
                    header: SegmentHeader(summary),
                    headerBytes: footer.entries.first?.offset ?? summary.dataBytes,
                    footer: footer)
            }
            let filterBytes = try filterSectionBytes(of: file)
            isRead = true
            var lasting = held ?? file
            // Mapped, it takes no descriptor as long as it is loaded.
            if held == nil, let region = try? file.map(), region.canPopulate {
                lasting = MappedFile(path: path, region)
            }
            defer { if lasting !== file { file.close() } }
            return LoadedSegment(
                index: index, file: lasting, region: try? lasting.map(), named: file,
                filterSection: filterBytes > 0 ? (trailer.footerOffset + 8, filterBytes) : nil)
        }
    }

    /// The file by its name; by what is held of it where that is gone. Through a mapping the system reads far around what is asked for:
    /// of what stands beside the blocks that would be most of the blocks.
    private func openNamed() throws(IOFailure) -> any File {
        do throws(IOFailure) {
            return try fileSystem.open(path, .read)
        } catch {
            guard let held, error.isNotFound else { throw error }
            return held
        }
    }

    /// The header, which must be that of the footer's segment.
    func readHeader(of file: any File) throws(StoreError) -> (header: SegmentHeader, byteCount: UInt64) {
        let (header, byteCount): (SegmentHeader, UInt64)
        do throws(StoreError) {
            (header, byteCount) = try readSegmentHeader(of: file, length: trailer.fileLength)
        } catch {
            // The version stands in front of what says that it is as written. With this footer it can be no other one.
            guard case .unknownVersion = error, let version = try? file.read(at: 8, count: 2),
                version != [UInt8(Limits.formatVersion & 0xFF), UInt8(Limits.formatVersion >> 8)]
            else { throw error }
            throw .damaged(file: path, offset: 0, reason: "its version is not the one in its footer")
        }
        guard header.segment == summary.segment, header.store == summary.store,
            header.ordinal == summary.ordinal, header.baseSequence == summary.baseSequence,
            header.predecessor == summary.predecessor,
            header.predecessorLength == summary.predecessorLength,
            header.generation == summary.generation
        else {
            throw .damaged(file: path, offset: 0, reason: "its header contradicts its footer")
        }
        return (header, byteCount)
    }

    /// The index in the footer; where the footer is damaged, that of the blocks, which a scan finds. O(bytes) then. With blocks
    /// damaged too, it would count and list too little without a word: then the segment can't be read.
    private func readIndex(of file: any File, _ header: SegmentHeader, _ headerBytes: UInt64)
        throws(StoreError) -> SegmentIndex
    {
        let damage: StoreError
        do throws(StoreError) {
            return SegmentIndex(
                header: header, headerBytes: headerBytes,
                footer: try readFooter(of: file, leavingOutFilters: true))
        } catch {
            guard case .damaged = error else { throw error }
            damage = error
        }
        let index: SegmentIndex?
        do throws(IOFailure) {
            index = try scannedIndex(of: file, header, headerBytes)
        } catch {
            throw .reading(error)
        }
        guard let index else { throw damage }
        return index
    }

    /// The index of the blocks, which a scan finds; nil when not all of them can be read. O(bytes). Throws when the system refuses.
    func scannedIndex(of file: any File, _ header: SegmentHeader, _ headerBytes: UInt64) throws(IOFailure)
        -> SegmentIndex?
    {
        var scan = SegmentScan(fileName: fileName, file: file, header: header, headerBytes: headerBytes)
        try scan.run(upTo: summary.dataBytes)
        if let failure = scan.failure { throw failure }
        let index = scan.index()
        guard scan.unreadable.isEmpty, scan.blocks.count == Int(summary.blockCount),
            index.eventCount == summary.eventCount, index.nextSequence == summary.nextSequence
        else { return nil }
        return index
    }

    /// Reads the footer. Filters, which may be most of it, are left out on request.
    func readFooter(of file: any File, leavingOutFilters: Bool = false) throws(StoreError) -> Footer {
        let left = leavingOutFilters ? try filterSectionBytes(of: file) : 0
        var bytes = try readWhole(file, at: trailer.footerOffset, left > 0 ? 8 : Int(trailer.footerLength))
        if left > 0 {
            bytes += try readWhole(
                file, at: trailer.footerOffset + 8 + UInt64(left), Int(trailer.footerLength) - 8 - left)
        }
        do throws(FormatError) {
            return try bytes.withBytes { bytes throws(FormatError) in
                try Footer(decoding: bytes, trailer: trailer, leavingOutFilters: left > 0)
            }
        } catch {
            throw .decoding(error, file: path, offset: trailer.footerOffset)
        }
    }

    /// Bytes of the footer's section with the filters, which is its first; 0: it has none that fits in it.
    private func filterSectionBytes(of file: any File) throws(StoreError) -> Int {
        let first = try readWhole(file, at: trailer.footerOffset, Int(min(trailer.footerLength, 24)))
        let count = first.withUnsafeBytes { Footer.filterSectionBytes(inFirst: $0) }
        return UInt64(count) + 8 <= trailer.footerLength ? count : 0
    }
}

extension SegmentHeader {
    /// What a footer's summary says of a segment whose header can't be read.
    init(_ summary: SegmentSummary) {
        self.init(
            store: summary.store, segment: summary.segment, ordinal: summary.ordinal,
            epoch: summary.firstEpoch,
            createdAt: summary.createdAt,
            settings: EncodingSettings(blockBytes: 0, subBlockBytes: 0, level: 0))
        generation = summary.generation
        baseSequence = summary.baseSequence
        predecessor = summary.predecessor
        predecessorLength = summary.predecessorLength
    }

    /// Whether it was made so: no writer's blocks are of no size.
    var isFromSummary: Bool { settings.blockBytes == 0 && settings.subBlockBytes == 0 }
}

/// The header at the start of a segment's file of `length` bytes, and its own length.
func readSegmentHeader(
    of file: any File, length: UInt64
) throws(StoreError) -> (header: SegmentHeader, byteCount: UInt64) {
    func decode<R>(_ body: () throws(FormatError) -> R) throws(StoreError) -> R {
        do throws(FormatError) { return try body() } catch {
            throw .decoding(error, file: file.path, offset: 0)
        }
    }
    let prefix = try readWhole(file, at: 0, Int(min(length, UInt64(SegmentHeader.fixedBytes))))
    let byteCount = try decode { () throws(FormatError) in
        let count = try prefix.withBytes { bytes throws(FormatError) in
            try SegmentHeader.byteCount(ofPrefix: bytes)
        }
        guard UInt64(count) <= length else { throw .truncated("a segment header") }
        return count
    }
    let whole = try readWhole(file, at: 0, byteCount)
    let header = try decode { () throws(FormatError) in
        try whole.withBytes { bytes throws(FormatError) in try SegmentHeader(decoding: bytes) }
    }
    return (header, UInt64(byteCount))
}

/// Exactly `count` bytes. A system that refuses to read is told from a file that is too short.
private func readWhole(_ file: any File, at offset: UInt64, _ count: Int) throws(StoreError) -> [UInt8] {
    let bytes: [UInt8]
    do throws(IOFailure) {
        bytes = try file.read(at: offset, count: count)
    } catch {
        throw .reading(error)
    }
    guard bytes.count == count else {
        throw .damaged(file: file.path, offset: offset + UInt64(bytes.count), reason: "the file is cut short")
    }
    return bytes
}
