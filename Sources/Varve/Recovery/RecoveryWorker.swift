internal import VarveFormat
internal import VarveIO

/// Carries a recovery plan out: copies what is readable after the watermark into a new, sealed segment, ends the session that
/// was cut off, and only then removes what the copy replaces.
struct RecoveryWorker {
    let directory: StoreDirectory
    let plan: RecoveryPlan
    let fileSystem: any FileSystem
    let epoch: UInt64
    let settings: EncodingSettings

    /// The segments as they are for a reader: unsealed ones up to where the log ends.
    func readableEntries() -> [Catalog.Entry] {
        var entries: [Catalog.Entry] = []
        for segment in directory.segments {
            switch segment {
            case .sealed(let handle): entries.append(.sealed(handle))
            case .unsealed(let scan):
                if let cut = plan.cut, scan.header.ordinal > cut.segment { continue }
                let end = plan.cut.flatMap { $0.segment == scan.header.ordinal ? $0.offset : nil } ?? .max
                entries.append(.open(OpenSegment(file: scan.file, index: scan.index(upTo: end))))
            }
        }
        return entries
    }

    /// The segments that stay, without what is copied.
    private func keptEntries() -> [Catalog.Entry] {
        var entries: [Catalog.Entry] = []
        for (number, segment) in directory.segments.enumerated() {
            switch segment {
            case .sealed(let handle): entries.append(.sealed(handle))
            case .unsealed(let scan):
                guard let keep = plan.keep.first(where: { $0.segment == number }) else { continue }
                entries.append(.open(OpenSegment(file: scan.file, index: scan.index(upTo: keep.length))))
            }
        }
        return entries
    }

    /// Carries the plan out. `sessions` folds sessions over entries, for the totals of the one that was cut off.
    func carryOut(
        sessions: ([Catalog.Entry]) throws(StoreError) -> [SessionInfo]
    ) throws(StoreError) -> (entries: [Catalog.Entry], report: RecoveryReport?) {
        var entries = keptEntries()
        var last: LoadedSegment?
        if let entry = entries.last { last = try entry.load() }
        let activeBefore = last?.index.activeSession
        let unsealed = directory.segments.count {
            if case .unsealed = $0 { true } else { false }
        }
        // Does the log end inside a session?
        var active = activeBefore?.begin
        for copy in plan.copy {
            switch copy.block.record {
            case .sessionBegin(let begin): active = begin
            case .sessionEnd: active = nil
            default: break
            }
        }
        guard unsealed > 0 || active != nil else { return (entries, nil) }
        var report = RecoveryReport(
            unsealedSegments: unsealed,
            recoveredEvents: plan.copy.reduce(0) { $0 + UInt64($1.block.header.eventCount) },
            interruptedSession: active?.ordinal, unreadableBytes: plan.unreadableBytes, gaps: plan.gaps)
        if plan.copy.isEmpty, active == nil, plan.gaps.isEmpty, plan.unreadableBytes == 0, plan.remove.isEmpty
        {
            return (entries, report)
        }
        do throws(IOFailure) {
            let handle = try build(
                after: last, active: activeBefore, all: readableEntries(), sessions: sessions, &report)
            entries.append(.sealed(handle))
            for number in plan.remove {
                if case .unsealed(let scan) = directory.segments[number] {
                    try fileSystem.unlink(directory.path + "/" + scan.fileName)
                }
            }
            for name in directory.leftovers { try? fileSystem.unlink(directory.path + "/" + name) }
            try fileSystem.syncDirectory(directory.path)
        } catch {
            throw .writing(error)
        }
        return (entries, report)
    }

    private func build(
        after last: LoadedSegment?, active: SessionSummary?, all: [Catalog.Entry],
        sessions: ([Catalog.Entry]) throws(StoreError) -> [SessionInfo], _ report: inout RecoveryReport
    ) throws(IOFailure) -> SegmentHandle {
        let now = fileSystem.now()
        let ordinal = (directory.segments.map(\.ordinal).max() ?? 0) + 1
        guard let uuid = UniqueID(random: fileSystem.randomBytes(16)) else {
            throw IOFailure(.create, path: directory.path, code: 5)
        }
        var header = SegmentHeader(
            store: directory.identifier, segment: uuid, ordinal: ordinal, epoch: epoch, createdAt: now,
            settings: settings)
        if let last {
            header.predecessor = last.index.header.segment
            header.predecessorLength = last.index.dataEnd
        }
        header.digestAlgorithm = 1
        header.baseSequence = max(
            last?.index.nextSequence ?? 0, plan.copy.isEmpty ? directory.state?.nextSequence ?? 0 : 0)
        header.sessionsBegun = last?.index.sessionsBegun ?? 0
        header.checkpointsMade = last?.index.checkpointsMade ?? 0
        header.kinds = RecoveryWorker.kinds(of: all)
        if let active {
            header.session = active.begin
            header.session?.firstIndex = active.nextIndex
            header.session?.flags.insert(.continued)
        }
        let headerBytes = header.encode()
        let name = SegmentName(baseSequence: header.baseSequence, ordinal: ordinal, generation: 0).fileName
        let temporary = directory.path + "/" + name + ".tmp"
        try? fileSystem.unlink(temporary)
        let file = try fileSystem.open(temporary, .createExclusive)
        try file.write(headerBytes, at: 0)
        var index = SegmentIndex(header: header, headerBytes: UInt64(headerBytes.count))

        var hasDictionary = false
        for copy in plan.copy {
            guard case .unsealed(let scan) = directory.segments[copy.segment] else { continue }
            let source = copy.block
            switch source.record {
            case .kinds: continue
            case .dictionary:
                if hasDictionary { continue }
                hasDictionary = true
            default:
                if source.header.flags.contains(.usesDictionary), !hasDictionary {
                    // Its dictionary stands before the watermark.
                    if let block = scan.blocks.first(where: { $0.header.type == .dictionary }) {
                        try put(block, from: scan, to: file, &index)
                    }
                    hasDictionary = true
                }
            }
            try put(source, from: scan, to: file, &index)
        }
        var records: [LedgerRecord] = plan.gaps.map { gap in
            .gap(
                first: gap.sequences.lowerBound, last: gap.sequences.upperBound, reason: .damage, time: now,
                note: gap.note)
        }
        let session = index.activeSession
        records.append(
            .interruption(
                epoch: index.lastEpoch, session: session?.begin.ordinal ?? 0, next: index.nextSequence,
                segment: plan.cut?.segment ?? 0, unreadable: plan.unreadableBytes, time: now))
        if let session {
            let totals = (try? sessions(all))?.first { $0.ordinal == session.begin.ordinal }
            let end = SessionEnd(
                ordinal: session.begin.ordinal, reason: .interrupted,
                end: totals?.timeRange?.upperBound ?? session.begin.start,
                events: totals?.eventCount ?? session.events,
                checkpoints: totals?.checkpointCount ?? session.checkpoints, nextIndex: session.nextIndex)
            var body = ByteWriter()
            end.encode(to: &body)
            try put(
                .sessionEnd, body.bytes, .sessionEnd(end), time: end.end, session: session, to: file, &index)
        }
        var body = ByteWriter()
        body.put(records)
        try put(.ledger, body.bytes, .ledger(records), time: nil, session: nil, to: file, &index)

        // Data first, then the footer that vouches for them; the name last: until then nothing has changed.
        try file.sync()
        let checksum = try storedChecksum(of: file, byteCount: index.dataEnd)
        let footer = index.footer(sealedAt: now, checksum: checksum, head: (0, 0)).encode()
        try file.write(footer, at: index.dataEnd)
        try file.sync()
        let length = index.dataEnd + UInt64(footer.count)
        file.close()
        try fileSystem.rename(temporary, to: directory.path + "/" + name, replacing: false)
        try fileSystem.syncDirectory(directory.path)
        let located = footer.withUnsafeBytes { try? SegmentSummary.locate(inLast: $0, fileLength: length) }
        guard let (trailer, summary) = located else {
            throw IOFailure(.read, path: directory.path + "/" + name, code: 5)
        }
        return SegmentHandle(
            directory: directory.path, fileName: name, trailer: trailer, summary: summary,
            fileSystem: fileSystem)
    }

    /// Copies a block as it is, but for its place: header and checksums are made anew.
    private func put(
        _ block: ScannedBlock, from scan: SegmentScan, to file: any File, _ index: inout SegmentIndex
    ) throws(IOFailure) {
        var bytes = try scan.file.read(at: block.offset, count: block.header.blockLength)
        guard bytes.count == block.header.blockLength else {
            throw IOFailure(.read, path: scan.file.path, code: 5)
        }
        var header = block.header
        header.segment = index.header.segment
        header.number = UInt32(index.entries.count)
        header.kindCount = UInt32(index.kinds.count)
        header.durableSegment = plan.watermark?.segment ?? 0
        header.durableOffset = plan.watermark?.offset ?? 0
        let smallLength = Int(header.smallLength)
        bytes.withUnsafeMutableBytes { whole in
            guard let base = whole.baseAddress else { return }
            let small = base + BlockHeader.byteCount
            var stored = small + smallLength
            for position in 0..<Int(header.subBlockCount) {
                let entry = small + position * SubBlockDirectoryEntry.byteCount
                let length = Int(
                    UInt32(littleEndian: entry.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
                let seed = Checksum.seed(
                    segment: header.segment, block: header.number, part: UInt32(2 + position))
                let checksum = Checksum.crc(UnsafeRawBufferPointer(start: stored, count: length), after: seed)
                entry.storeBytes(of: checksum.littleEndian, toByteOffset: 16, as: UInt32.self)
                stored += length
            }
            let seed = Checksum.seed(segment: header.segment, block: header.number, part: 1)
            header.smallChecksum = Checksum.crc(
                UnsafeRawBufferPointer(start: small, count: smallLength), after: seed)
            header.encode(into: whole)
        }
        try file.write(bytes, at: index.dataEnd)
        index.add(
            ScannedBlock(
                header: header, offset: index.dataEnd, record: block.record, tally: block.tally,
                nextIndex: block.nextIndex))
    }

    private func put(
        _ type: BlockType, _ record: [UInt8], _ shown: ControlBlock.Record, time: Int64?,
        session: SessionSummary?,
        to file: any File, _ index: inout SegmentIndex
    ) throws(IOFailure) {
        var header = BlockHeader(type: type)
        header.segment = index.header.segment
        header.number = UInt32(index.entries.count)
        header.firstSequence = index.nextSequence
        header.epoch = epoch
        header.sessionOrdinal = session?.begin.ordinal ?? 0
        header.firstIndex = session?.nextIndex ?? 0
        header.sessionsBegun = index.sessionsBegun
        header.checkpointsMade = index.checkpointsMade
        header.writtenAt = fileSystem.now()
        let time = time ?? header.writtenAt
        header.minTimestamp = time
        header.maxTimestamp = time
        header.kindCount = UInt32(index.kinds.count)
        header.durableSegment = plan.watermark?.segment ?? 0
        header.durableOffset = plan.watermark?.offset ?? 0
        let (stored, bytes) = ControlBlock.assemble(header, record: record)
        try file.write(bytes, at: index.dataEnd)
        index.add(control: stored, at: index.dataEnd, shown)
    }

    /// The kinds at the end of the log: those of its last segment.
    static func kinds(of entries: [Catalog.Entry]) -> [KindDefinition] {
        guard let last = entries.last, let loaded = try? last.load() else { return [] }
        return loaded.index.kinds.map(\.definition)
    }

    /// Gives a segment that has none a footer: a copy of its valid bytes, in a higher generation, that then takes its place.
    static func reseal(
        _ segment: OpenSegment, directory: String, fileSystem: any FileSystem
    ) throws(IOFailure) -> SegmentHandle {
        var index = segment.index
        index.header.generation += 1
        let headerBytes = index.header.encode()
        guard headerBytes.count == Int(index.headerBytes) else {
            throw IOFailure(.read, path: segment.file.path, code: 22)
        }
        let name = SegmentName(
            baseSequence: index.header.baseSequence, ordinal: index.header.ordinal,
            generation: index.header.generation
        ).fileName
        let temporary = directory + "/" + name + ".tmp"
        try? fileSystem.unlink(temporary)
        let file = try fileSystem.open(temporary, .createExclusive)
        defer { file.close() }
        try file.write(headerBytes, at: 0)
        let scratch = ScratchBuffer()
        var offset = index.headerBytes
        while offset < index.dataEnd {
            let buffer = scratch.reserve(Int(min(index.dataEnd - offset, 1 << 20)))
            guard try segment.file.read(at: offset, into: buffer) == buffer.count else {
                throw IOFailure(.read, path: segment.file.path, code: 5)
            }
            try file.write(UnsafeRawBufferPointer(buffer), at: offset)
            offset += UInt64(buffer.count)
        }
        try file.sync()
        let checksum = try storedChecksum(of: file, byteCount: index.dataEnd)
        let footer = index.footer(sealedAt: fileSystem.now(), checksum: checksum, head: (0, 0)).encode()
        try file.write(footer, at: index.dataEnd)
        try file.sync()
        try fileSystem.rename(temporary, to: directory + "/" + name, replacing: false)
        try fileSystem.syncDirectory(directory)
        try fileSystem.unlink(segment.file.path)
        try fileSystem.syncDirectory(directory)
        let length = index.dataEnd + UInt64(footer.count)
        let located = footer.withUnsafeBytes { try? SegmentSummary.locate(inLast: $0, fileLength: length) }
        guard let (trailer, summary) = located else {
            throw IOFailure(.read, path: directory + "/" + name, code: 5)
        }
        return SegmentHandle(
            directory: directory, fileName: name, trailer: trailer, summary: summary, fileSystem: fileSystem)
    }
}
