internal import VarveFormat
internal import VarveIO

/// Something in a store's files that is not as it was written.
public struct Damage: Hashable, Sendable {
    /// The file.
    public let file: String
    /// Where in it.
    public let offset: UInt64
    /// The sequence numbers that can't be read for it; nil: none, or unknown.
    public let sequences: ClosedRange<UInt64>?
    /// What is wrong.
    public let reason: String
}

/// A name in a store's directory that is no part of its log.
public struct StrayFile: Hashable, Sendable {
    /// The path.
    public let file: String
    /// What it is, as far as that can be told.
    public let reason: String
}

/// How far a verification is.
public struct VerifyProgress: Hashable, Sendable {
    /// Events read.
    public let events: UInt64
    /// Bytes read, and bytes to read in all.
    public let bytesDone: UInt64, bytesTotal: UInt64
}

/// What a verification read, and what it found.
public struct VerificationReport: Hashable, Sendable {
    /// Files, segments, blocks and sub-blocks read.
    public internal(set) var files = 0, segments = 0, blocks = 0, subBlocks = 0
    /// Events and checkpoints in them.
    public internal(set) var events: UInt64 = 0, checkpoints: UInt64 = 0
    /// Bytes read.
    public internal(set) var bytes: UInt64 = 0
    /// What is damaged.
    public internal(set) var damage: [Damage] = []
    /// What stands in the directory and is no part of the log: leftovers, files of other stores, names that Varve does not know.
    /// Nothing is lost by them. Each segment file is verified, or named here or in `damage`.
    public internal(set) var strays: [StrayFile] = []
    /// Nothing is damaged, and nothing missing. Strays are no damage.
    public var isIntact: Bool { damage.isEmpty && gaps.isEmpty }
    /// Sequence numbers that no segment holds, without those that limits dropped or a copy left out.
    public internal(set) var gaps: [Gap] = []
}

extension EventStore {
    /// Checks every checksum in the store, decompresses every payload, and compares every index with the data. O(bytes).
    ///
    /// In a writer's process everything that was appended is flushed first. Damage is reported, not thrown. Errors: `cannotRead` when the directory can't be listed.
    public func verify(progress: ((VerifyProgress) -> Void)? = nil) throws(StoreError) -> VerificationReport {
        var verifier = Verifier(
            path: path, identifier: identifier, fileSystem: fileSystem, progress: progress)
        // What is appended and not yet written could not be verified.
        if !isReadOnly { try flush() }
        let snapshot = try snapshot()
        if !isReadOnly {
            // Retention may remove them while they are read.
            for case .sealed(let handle) in snapshot.entries { try? handle.hold() }
        }
        try verifier.run(snapshot.entries, isBeingWritten: !isReadOnly || fileSystem.isLocked(path + "/LOCK"))
        verifier.report.gaps = try snapshot.gaps().filter { !$0.reason.isMeant }
        return verifier.report
    }
}

/// Reads everything.
struct Verifier {
    let path: String
    let identifier: UniqueID
    let fileSystem: any FileSystem
    let progress: ((VerifyProgress) -> Void)?
    var report = VerificationReport()
    private var log = Log()
    private var total: UInt64 = 0

    init(
        path: String, identifier: UniqueID, fileSystem: any FileSystem, progress: ((VerifyProgress) -> Void)?
    ) {
        self.path = path
        self.identifier = identifier
        self.fileSystem = fileSystem
        self.progress = progress
    }

    private mutating func add(
        _ file: String, _ offset: UInt64, _ sequences: ClosedRange<UInt64>?, _ reason: String
    ) {
        report.damage.append(
            Damage(file: path + "/" + file, offset: offset, sequences: sequences, reason: reason))
    }

    mutating func run(_ entries: [Catalog.Entry], isBeingWritten: Bool) throws(StoreError) {
        let names: [DirectoryEntry]
        do throws(IOFailure) {
            names = try fileSystem.list(path).sorted { $0.name < $1.name }
        } catch {
            throw .reading(error)
        }
        for entry in names where entry.kind == .regular {
            if let file = try? fileSystem.open(path + "/" + entry.name, .read), let size = try? file.size() {
                total += size
            }
        }
        let listed = Set(names.map(\.name))
        log = Log(entries, prefix: path, isBeingWritten: isBeingWritten)
        for entry in entries {
            let name = log.name(of: entry)
            if listed.contains(name) || isBeingWritten && verifyHeld(name) { continue }
            add(name, 0, sequences(of: entry.summary), "the file is gone")
        }
        for entry in names {
            switch entry.kind {
            case .regular:
                report.files += 1
                file(entry.name)
            case .directory: addStray(entry.name, "a directory")
            case .symbolicLink: notRegular(entry.name, "a symbolic link: it is not followed")
            case .other: notRegular(entry.name, "a special file: it is not read")
            }
            progress?(VerifyProgress(events: report.events, bytesDone: report.bytes, bytesTotal: total))
        }
        order(of: entries)
    }

    /// That the blocks' numbers ascend through the log: good checksums don't say so.
    private mutating func order(of entries: [Catalog.Entry]) {
        var next: UInt64 = 0
        for entry in entries {
            // What can't be read was reported with its file.
            guard let segment = try? entry.load() else { continue }
            next = max(next, segment.index.header.baseSequence)
            for block in segment.index.entries where block.eventCount > 0 {
                if block.firstSequence < next || block.nextSequence > segment.index.nextSequence {
                    add(
                        String(segment.fileName.dropFirst(path.count + 1)), block.offset,
                        block.firstSequence...block.nextSequence - 1,
                        "its numbers are out of order")
                }
                next = max(next, block.nextSequence)
            }
        }
    }

    /// Verifies a segment whose file a writer has removed meanwhile; false where it is no such segment, or can't be read.
    private mutating func verifyHeld(_ name: String) -> Bool {
        do {
            if let handle = log.sealed[name] {
                try sealed(name, handle)
            } else if let segment = log.open[name] {
                // Sealed anew.
                var scan = SegmentScan(
                    fileName: name, file: segment.file, header: segment.index.header,
                    headerBytes: segment.index.headerBytes)
                try scan.run(upTo: segment.index.dataEnd)
                scanned(name, scan, end: segment.index.dataEnd, isBeingWritten: false)
            } else {
                return false
            }
            report.segments += 1
            return true
        } catch {
            return false
        }
    }

    private mutating func addStray(_ name: String, _ reason: String) {
        report.strays.append(StrayFile(file: path + "/" + name, reason: reason))
    }

    private mutating func file(_ name: String) {
        switch name {
        case "STORE", "STATE", "LOCK": small(name)
        case "TAIL":
            // What can't be read of it is a gap, unless a writer is using it or it is of another boot.
            break
        case let name where name.hasSuffix(".seg"): segment(name)
        case let name where name.hasSuffix(".tmp"):
            addStray(name, "an unfinished file: the next writer removes it")
        case let name where name.hasSuffix(StoreDirectory.asideSuffix):
            addStray(name, "recovery has left it aside, for salvage: it is not in the log")
        default: addStray(name, "not a name that Varve uses")
        }
    }

    /// In the place of one of the store's own files it is damage: what should be there is not.
    private mutating func notRegular(_ name: String, _ reason: String) {
        if ["STORE", "STATE", "TAIL", "LOCK"].contains(name) {
            add(name, 0, nil, reason)
        } else {
            addStray(name, reason)
        }
    }

    /// The segments that a reader of the store reads.
    private struct Log {
        var open: [String: OpenSegment] = [:]
        var sealed: [String: SegmentHandle] = [:]
        /// How long a segment without a footer was when the next one was begun, by its UUID.
        var lengths: [UniqueID: UInt64] = [:]
        var generations: [UInt64: UInt32] = [:]
        var names: Set<String> = []
        var last: UInt64 = 0
        /// Ordinals between two segments that follow each other: what has one of them is not in the log.
        var skipped: [Range<UInt64>] = []
        /// The last sealed segment of each epoch.
        var lastSealed: [UInt64: UInt64] = [:]
        var isBeingWritten = false
        private var prefix = ""

        init() {}

        init(_ entries: [Catalog.Entry], prefix: String, isBeingWritten: Bool) {
            self.isBeingWritten = isBeingWritten
            self.prefix = prefix
            var before: (segment: UniqueID, ordinal: UInt64) = (.zero, 0)
            for entry in entries {
                switch entry {
                case .open(let segment): open[name(of: entry)] = segment
                case .sealed(let handle):
                    sealed[handle.fileName] = handle
                    if handle.summary.firstEpoch == handle.summary.lastEpoch {
                        lastSealed[handle.summary.lastEpoch] = handle.summary.ordinal
                    }
                }
                names.insert(name(of: entry))
                generations[entry.ordinal] = entry.summary.generation
                last = max(last, entry.ordinal)
                lengths[entry.summary.predecessor] = entry.summary.predecessorLength
                if entry.summary.predecessor == before.segment, before.ordinal < entry.ordinal {
                    skipped.append(before.ordinal + 1..<entry.ordinal)
                }
                before = (entry.summary.segment, entry.ordinal)
            }
        }

        func name(of entry: Catalog.Entry) -> String {
            switch entry {
            case .open(let segment): String(segment.file.path.dropFirst(prefix.count + 1))
            case .sealed(let handle): handle.fileName
            }
        }

        /// Whether the opening that wrote a segment has sealed a later one: it seals them in order, so that this one was.
        func sealedAfter(_ header: SegmentHeader) -> Bool {
            lastSealed[header.epoch].map { $0 > header.ordinal } ?? false
        }

        /// Why a segment whose header can't be read is no loss; nil: it is one.
        func reasonOutside(unreadable name: String, isZero: Bool) -> String? {
            guard let ordinal = SegmentName(fileName: name)?.ordinal else { return nil }
            if skipped.contains(where: { $0.contains(ordinal) }) {
                return "its header can't be read, and it is not in the chain of the log"
            }
            return isZero && ordinal > last
                ? "a segment that was never begun: the next writer removes it" : nil
        }

        /// Why a segment is not in the log; nil: it is, or a writer has begun or resealed it since.
        func reasonOutside(_ name: String, ordinal: UInt64, generation: UInt32) -> String? {
            if names.contains(name) { return nil }
            if let current = generations[ordinal] {
                if isBeingWritten, generation > current { return nil }
                return generation < current
                    ? "an older generation of segment \(ordinal)" : "another copy of segment \(ordinal)"
            }
            if ordinal > last {
                return isBeingWritten ? nil : "segment \(ordinal): it lies beyond the end of the log"
            }
            return
                "segment \(ordinal): it is not in the chain of the log: the next writer sets it aside, for salvage"
        }
    }

    private func sequences(of summary: SegmentSummary) -> ClosedRange<UInt64>? {
        summary.nextSequence > summary.baseSequence ? summary.baseSequence...summary.nextSequence - 1 : nil
    }

    private mutating func small(_ name: String) {
        let bytes: [UInt8]
        do throws(IOFailure) {
            guard let found = try fileSystem.readWhole(path + "/" + name, byteCountMax: Limits.headerBytesMax)
            else {
                return add(name, 0, nil, "it is too large")
            }
            bytes = found
        } catch {
            return add(name, 0, nil, error.reason)
        }
        report.bytes += UInt64(bytes.count)
        do throws(FormatError) {
            switch name {
            case "STORE":
                _ = try bytes.withBytes { bytes throws(FormatError) in try StoreIdentity(decoding: bytes) }
            case "STATE":
                // Its making was cut off.
                if bytes.isEmpty { break }
                guard bytes.count == StateFile.byteCount else {
                    throw .invalid(name, reason: "its length is \(bytes.count)")
                }
                try bytes.withReader(name) { reader throws(FormatError) in
                    for _ in 0..<2 { _ = try StateSlot.decode(try reader.take(StateSlot.stride)) }
                }
            default:
                guard bytes.isEmpty else { throw .invalid(name, reason: "it is not empty") }
            }
        } catch {
            add(name, 0, nil, error.description)
        }
    }

    /// Verifies a segment that is in the log, and names one that is not.
    private mutating func segment(_ name: String) {
        do {
            let (found, store) = try StoreDirectory.segment(path, name, fileSystem)
            guard store == identifier else {
                return addStray(name, "it belongs to another store (\(store))")
            }
            let outside = log.reasonOutside(name, ordinal: found.ordinal, generation: found.generation)
            if let outside { return addStray(name, outside) }
            // It came after the snapshot.
            if log.isBeingWritten, !log.names.contains(name) { return }
            report.segments += 1
            switch found {
            case .unsealed(var scan):
                try scan.run()
                let end = log.open[name]?.index.dataEnd ?? .max
                report.bytes += (try? scan.file.size()) ?? 0
                let isActive = log.isBeingWritten && scan.failure == nil && scan.header.ordinal >= log.last
                let length = log.open[name] == nil ? 0 : log.lengths[scan.header.segment] ?? 0
                scanned(name, scan, end: max(end, length), isBeingWritten: isActive)
                let size = (try? scan.file.size()) ?? 0
                if size < length { add(name, size, nil, "it ends here, and had \(length) bytes") }
                if log.sealedAfter(scan.header), hasFooter(scan, at: end) {
                    // Nothing is lost; a crash may leave it so until the segment is sealed anew.
                    addStray(name, "its footer is damaged or was cut off: it is read by its blocks")
                }
            case .sealed(let handle): try sealed(name, handle)
            }
        } catch let error as StoreError {
            if case .damaged(_, let offset, let reason) = error {
                let file = try? fileSystem.open(path + "/" + name, .read)
                let isZero =
                    file.flatMap { file in
                        (try? file.size()).map { RepairReader(file: file, segment: .zero).isZero(0..<$0) }
                    } ?? false
                if let outside = log.reasonOutside(unreadable: name, isZero: isZero) {
                    addStray(name, outside)
                } else {
                    add(name, offset, nil, reason)
                }
            } else if !log.isBeingWritten || !isGone(name) || log.names.contains(name) && !verifyHeld(name) {
                // Beside a writer a segment that is written anew goes away between the listing and its opening.
                add(name, 0, nil, error.description)
            }
        } catch {
            add(name, 0, nil, "\(error)")
        }
    }

    /// Whether there is no such file any more.
    private func isGone(_ name: String) -> Bool {
        do { return try fileSystem.kind(of: path + "/" + name) == nil } catch { return false }
    }

    /// Whether a footer begins where a segment's blocks end.
    private func hasFooter(_ scan: SegmentScan, at end: UInt64) -> Bool {
        guard let bytes = try? scan.file.read(at: end, count: 8) else { return false }
        return bytes.withUnsafeBytes { Footer.begins(at: $0) }
    }

    /// Counts the blocks that a scan has found, and lists what lies between them.
    private mutating func scanned(_ name: String, _ scan: SegmentScan, end: UInt64, isBeingWritten: Bool) {
        // The scan has verified the checksums, and decompressed nothing.
        let reader = BlockReader(
            file: scan.file, segment: scan.header.segment, kindCount: scan.header.kinds?.count ?? 0)
        reader.decompresses = true
        let kindCount = scan.index().kinds.count
        for block in scan.blocks where block.end <= end {
            do throws(FormatError) {
                let whole = try reader.read(at: block.offset, end: block.end, number: block.header.number)
                try checkKinds(of: whole.header, kindCount)
                count(whole)
            } catch {
                let header = block.header
                let range = header.eventCount > 0 ? header.firstSequence...header.nextSequence - 1 : nil
                add(name, block.offset, range, error.description)
            }
        }
        for hole in scan.unreadable {
            // What lies beyond the valid length is not in the log; the end of an active segment is in progress.
            if hole.range.lowerBound >= end || (isBeingWritten && hole == scan.unreadable.last) { continue }
            let after = scan.blocks.first { $0.offset >= hole.range.upperBound }?.header.firstSequence
            let before = scan.blocks.last { $0.end <= hole.range.lowerBound }?.header.nextSequence
            var range: ClosedRange<UInt64>?
            if let after, let before, after > before { range = before...after - 1 }
            add(name, hole.range.lowerBound, range, hole.reason)
        }
    }

    /// No query answers from a block of events that counts more kinds than there are.
    private func checkKinds(of header: BlockHeader, _ kindCount: Int) throws(FormatError) {
        guard header.eventCount == 0 || header.kindCount <= kindCount else {
            throw .invalid("a block", reason: "it counts more kinds than there are")
        }
    }

    private mutating func count(_ block: ScannedBlock) {
        report.blocks += 1
        report.subBlocks += Int(block.header.subBlockCount)
        report.events += UInt64(block.header.eventCount)
        if block.header.type == .checkpoint { report.checkpoints += 1 }
    }

    /// Reads every block at the place that the index says, rebuilds the index from them, and compares.
    private mutating func sealed(_ name: String, _ handle: SegmentHandle) throws {
        let file = try handle.open()
        let footer: Footer
        do throws(StoreError) {
            footer = try handle.readFooter(of: file, leavingOutFilters: true)
        } catch {
            guard case .damaged(_, let offset, let reason) = error else { throw error }
            add(name, offset, nil, reason)
            let (header, headerBytes) = try readSegmentHeader(of: file, length: try file.size())
            var scan = SegmentScan(fileName: name, file: file, header: header, headerBytes: headerBytes)
            try scan.run(upTo: handle.summary.dataBytes)
            report.bytes += handle.summary.dataBytes
            return scanned(name, scan, end: .max, isBeingWritten: false)
        }
        let loaded = try handle.load()
        var isComplete = true
        do throws(StoreError) {
            _ = try handle.readHeader(of: file)
        } catch {
            guard case .damaged(_, let offset, let reason) = error else { throw error }
            add(name, offset, nil, reason)
            isComplete = false
        }
        // Which kinds the header defines is not known without it.
        let reader = BlockReader(
            file: file, segment: handle.summary.segment,
            kindCount: isComplete ? loaded.index.header.kinds?.count ?? 0 : nil)
        reader.decompresses = true
        var rebuilt = SegmentIndex(header: loaded.index.header, headerBytes: loaded.index.headerBytes)
        var offset = loaded.index.headerBytes
        for (number, entry) in loaded.index.entries.enumerated() {
            if entry.offset != offset {
                add(name, offset, nil, "the index leaves bytes out before block \(number)")
            }
            offset = entry.offset + UInt64(entry.length)
            do throws(FormatError) {
                let block = try reader.read(
                    at: entry.offset, end: handle.summary.dataBytes, number: UInt32(number))
                guard BlockIndexEntry(block.header, offset: entry.offset) == entry else {
                    throw .invalid("the block index", reason: "it contradicts block \(number)")
                }
                try checkKinds(of: block.header, loaded.index.kinds.count)
                count(block)
                rebuilt.add(block)
            } catch {
                isComplete = false
                let range = entry.eventCount > 0 ? entry.firstSequence...entry.nextSequence - 1 : nil
                add(name, entry.offset, range, error.description)
            }
            report.bytes += UInt64(entry.length)
            if number % 64 == 0 {
                progress?(VerifyProgress(events: report.events, bytesDone: report.bytes, bytesTotal: total))
            }
        }
        if offset != handle.summary.dataBytes {
            add(name, offset, nil, "the index leaves bytes out before the footer")
        }
        report.bytes += handle.trailer.footerLength
        checkFilters(name, handle, loaded, comparing: isComplete)
        guard isComplete else { return }
        let expected = rebuilt.footer(beside: footer)
        if expected != footer {
            add(
                name, handle.trailer.footerOffset, nil,
                "the footer contradicts the blocks: \(difference(expected, footer))")
        }
        if footer.digest.algorithm == 1, footer.digest.scope == 1 {
            let checksum = try storedChecksum(of: file, byteCount: handle.summary.dataBytes)
            if Digest(storedBytesChecksum: checksum) != footer.digest, !Safeguard.digest.isLeftOut {
                add(name, handle.trailer.footerOffset, nil, "the digest is not that of the stored bytes")
            }
        }
    }

    /// That the filters can be read, and rule out nothing that is there: not where blocks are damaged, of which that can't be said.
    private mutating func checkFilters(
        _ name: String, _ handle: SegmentHandle, _ segment: LoadedSegment, comparing: Bool
    ) {
        let place = handle.trailer.footerOffset + 8
        do throws(StoreError) {
            guard let filters = try segment.readFilters(), comparing else { return }
            for block in try FilterBuilding.missedBlocks(of: segment, filters) {
                add(name, place, nil, "its filters miss texts of block \(block)")
            }
        } catch {
            switch error {
            case .damaged(_, let offset, let reason): add(name, offset, nil, reason)
            // A reader goes without those of a later version.
            case .unknownVersion: break
            default: add(name, place, nil, error.description)
            }
        }
    }

    private func difference(_ expected: Footer, _ found: Footer) -> String {
        var parts: [String] = []
        if expected.pyramid != found.pyramid { parts.append("time pyramid") }
        if expected.kinds != found.kinds { parts.append("kinds") }
        if expected.blockKinds != found.blockKinds { parts.append("kinds of blocks") }
        if expected.sessions != found.sessions { parts.append("sessions") }
        if expected.checkpoints != found.checkpoints { parts.append("checkpoints") }
        if expected.ledger != found.ledger { parts.append("ledger") }
        if expected.summary != found.summary { parts.append("summary") }
        return parts.joined(separator: ", ")
    }
}
