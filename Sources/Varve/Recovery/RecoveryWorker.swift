internal import VarveFormat
internal import VarveIO

/// Carries a recovery plan out: copies what is readable after the watermark into a new, sealed segment, ends the session that
/// was cut off, and only then removes what the copy replaces.
struct RecoveryWorker {
    var directory: StoreDirectory
    var plan: RecoveryPlan
    /// What the directory was like before anything was changed in it.
    let found: RecoveryPlan
    let tail: TailPlan
    let fileSystem: any FileSystem
    let epoch: UInt64
    let settings: EncodingSettings

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

    private var gaps: [Gap] { found.newGaps + tail.gaps }
    private var unreadableBytes: UInt64 {
        found.unconfirmedBytes(beside: tail).addingClamped(tail.unreadableBytes)
    }
    /// The number after the last event that is known to have been given, lost or not.
    private var knownEnd: UInt64 {
        max(directory.state?.nextSequence ?? 0, plan.sequenceMin, tail.nextSequence ?? 0)
    }

    /// Carries the plan out. `readable` are the segments as they are for a reader now.
    func carryOut(readable: [Catalog.Entry]) throws(StoreError) -> (
        entries: [Catalog.Entry], report: RecoveryReport?
    ) {
        var entries = keptEntries()
        try checkCounters(kept: entries)
        var last: LoadedSegment?
        if let entry = entries.last { last = try entry.load() }
        let activeBefore = last?.index.activeSession
        // What an earlier opening has recovered, and could not seal anew, is no finding of this one.
        let unsealed = found.crashedSegments
        // Does the log end inside a session?
        var active = activeBefore?.begin
        var lost = headerSessions
        for copy in plan.copy {
            switch copy.block.record {
            case .sessionBegin(let begin): active = begin
            case .sessionEnd: active = nil
            case .kinds, .dictionary: break
            default: active = lostBeginning(of: copy.block, after: active?.ordinal, &lost) ?? active
            }
        }
        // A number that can't be followed by another is none of ours.
        if let active, active.ordinal >= .max >> 1 {
            throw .damaged(file: directory.path, offset: 0, reason: "its session's number is out of range")
        }
        // An import that was cut off gets no end: without one it does not exist.
        if let begin = active, begin.flags.contains(.imported) { active = nil }
        let hasFindings =
            !gaps.isEmpty || found.unreadableBytes > 0 || tail.unreadableBytes > 0 || !tail.slots.isEmpty
        guard unsealed > 0 || active != nil || hasFindings else { return (entries, nil) }
        let report = RecoveryReport(
            unsealedSegments: unsealed,
            recoveredEvents: found.copy.reduce(tail.eventCount) { $0 + UInt64($1.block.header.eventCount) },
            interruptedSession: active?.ordinal, unreadableBytes: unreadableBytes, gaps: gaps)
        if plan.copy.isEmpty, active == nil, !hasFindings, plan.remove.isEmpty {
            return (entries, report)
        }
        try checkCopies()
        try checkOrder(after: last?.index.nextSequence ?? 0)
        guard blockCount <= Limits.segmentBlocksMax else {
            throw .beyondLimit(
                what: "the number of blocks to recover", value: UInt64(blockCount),
                limit: UInt64(Limits.segmentBlocksMax))
        }
        do throws(IOFailure) {
            let handle = try build(after: last, active: activeBefore, readable: readable)
            entries.append(.sealed(handle))
            for number in plan.remove {
                if case .unsealed(let scan) = directory.segments[number] {
                    try fileSystem.unlink(directory.path + "/" + scan.fileName)
                }
            }
            for number in plan.setAside {
                let path = directory.path + "/" + directory.segments[number].fileName
                try fileSystem.setAside(path)
            }
            if !Safeguard.recoveredRemovalSync.isLeftOut { try fileSystem.syncDirectory(directory.path) }
        } catch {
            throw .writing(error)
        }
        return (entries, report)
    }

    /// How many blocks are to be written at most.
    var blockCount: Int { plan.copy.count + 2 * tail.slots.count + headerSessions.count + 4 }

    private func build(
        after last: LoadedSegment?, active: SessionSummary?, readable: [Catalog.Entry]
    ) throws(IOFailure) -> SegmentHandle {
        let now = fileSystem.now()
        var header = SegmentHeader(
            store: directory.identifier, segment: try fileSystem.freshID(for: directory.path),
            ordinal: directory.ordinalMax + 1, epoch: epoch, createdAt: now, settings: settings)
        if let last {
            header.predecessor = last.index.header.segment
            header.predecessorLength = last.index.dataEnd
        }
        header.digestAlgorithm = 1
        header.baseSequence = last?.index.nextSequence ?? 0
        header.sessionsBegun = max(last?.index.sessionsBegun ?? 0, plan.sessionsBegun)
        header.checkpointsMade = max(last?.index.checkpointsMade ?? 0, plan.checkpointsMade)
        header.kinds = tail.kinds
        if let active {
            header.session = active.begin
            header.session?.firstIndex = active.nextIndex
            header.session?.flags.insert(.continued)
            if active.events > 0 || active.checkpoints > 0 { header.session?.flags.insert(.used) }
        }
        ordersBefore().put(into: &header)
        return try RecoveryWorker.publish(header, directory: directory.path, fileSystem: fileSystem) {
            file, index throws(IOFailure) in
            try copyBlocks(to: file, &index)
            let batches = tail.batches()
            try put(batches, to: file, &index)
            try putRecords(readable: readable, batches, now: now, to: file, &index)
        }
    }

    /// The limits and pins in force before what is copied. Where nothing is kept, the first segment that was left without a footer says so:
    /// its header goes with it.
    private func ordersBefore() -> StandingOrders {
        let kept = keptEntries()
        guard kept.isEmpty else { return StandingOrders(kept) }
        for case .unsealed(let scan) in directory.segments { return StandingOrders(scan.header) }
        return StandingOrders()
    }

    /// Copies what is readable after the watermark.
    private func copyBlocks(to file: any File, _ index: inout SegmentIndex) throws(IOFailure) {
        var hasDictionary = false
        var lost = headerSessions
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
                    // Its dictionary stands before the watermark. That it is the same in all segments was checked.
                    for case .unsealed(let scan) in directory.segments where !hasDictionary {
                        guard let block = scan.blocks.first(where: { $0.header.type == .dictionary }) else {
                            continue
                        }
                        try put(block, from: scan, to: file, &index)
                        hasDictionary = true
                    }
                }
            }
            if let begin = lostBeginning(of: source, after: index.activeSession?.begin.ordinal, &lost) {
                try put(begin, to: file, &index)
            }
            try put(source, from: scan, to: file, &index)
        }
    }

    /// The sessions that unsealed segments' headers say were active at their start. Those go with their segments: where a session's
    /// own block can't be read, nothing else tells of it.
    private var headerSessions: [UInt64: SessionBegin] {
        var sessions: [UInt64: SessionBegin] = [:]
        for case .unsealed(let scan) in directory.segments {
            guard let begin = scan.header.session else { continue }
            sessions[begin.ordinal] = sessions[begin.ordinal] ?? begin
        }
        return sessions
    }

    /// How a session goes on with this block, if the one that is active before it is another and a header tells of it: once.
    private func lostBeginning(
        of block: ScannedBlock, after active: UInt64?, _ sessions: inout [UInt64: SessionBegin]
    ) -> SessionBegin? {
        if case .sessionBegin? = block.record { return nil }
        let ordinal = block.header.sessionOrdinal
        guard ordinal > 0, ordinal != active, var begin = sessions.removeValue(forKey: ordinal) else {
            return nil
        }
        begin.flags.remove(.continued)
        begin.flags.insert(.resumed)
        begin.firstIndex = block.header.firstIndex
        return begin
    }

    /// Begins a session again whose beginning is lost.
    private func put(_ begin: SessionBegin, to file: any File, _ index: inout SegmentIndex) throws(IOFailure)
    {
        var body = ByteWriter()
        begin.encode(to: &body)
        try put(
            .sessionBegin, body.bytes, .sessionBegin(begin), time: begin.start,
            session: SessionSummary(begin: begin, sequence: index.nextSequence), next: index.nextSequence,
            to: file, &index)
    }

    /// Writes the events that only `TAIL` holds.
    private func put(_ batches: [Batch], to file: any File, _ index: inout SegmentIndex) throws(IOFailure) {
        let encoder = EventBlockEncoder()
        for batch in batches {
            encoder.encode(
                rows: batch.rows, count: batch.count,
                payload: UnsafeRawBufferPointer(start: batch.payload, count: batch.payloadBytes),
                explicitIndices: batch.hasExplicitIndices, settings: settings, dictionary: nil,
                into: batch.encoded)
            var header = BlockHeader(events: batch.encoded)
            place(&header, index)
            header.epoch = batch.start.epoch
            header.sessionOrdinal = batch.start.sessionOrdinal
            header.firstSequence = batch.start.nextSequence
            if !batch.hasExplicitIndices { header.firstIndex = batch.start.nextIndex }
            header.sessionsBegun = index.sessionsBegun
            header.checkpointsMade = index.checkpointsMade
            header.writtenAt = fileSystem.now()
            header.smallChecksum = batch.encoded.sealChecksums(segment: header.segment, number: header.number)
            header.encode(into: batch.encoded.bytes)
            try file.write(UnsafeRawBufferPointer(batch.encoded.bytes), at: index.dataEnd)
            index.add(
                events: header, at: index.dataEnd, tally: batch.encoded.kindTally, nextIndex: batch.nextIndex)
        }
    }

    /// Ends the session that was cut off, and says in the ledger what was found.
    private func putRecords(
        readable: [Catalog.Entry], _ batches: [Batch], now: Int64, to file: any File,
        _ index: inout SegmentIndex
    ) throws(IOFailure) {
        var records: [LedgerRecord] = gaps.map { gap in
            .gap(
                first: gap.sequences.lowerBound, last: gap.sequences.upperBound,
                reason: gap.reason == .unconfirmedTail ? .unconfirmedTail : .damage, time: now, note: gap.note
            )
        }
        let session = index.activeSession
        records.append(
            .interruption(
                epoch: index.lastEpoch, session: session?.begin.ordinal ?? 0, next: index.nextSequence,
                segment: plan.cut?.segment ?? 0, unreadable: unreadableBytes, time: now))
        if let session, !session.begin.flags.contains(.imported) {
            var fold = SessionFold(readable)
            for batch in batches { fold.add(batch) }
            let ordinal = session.begin.ordinal
            let totals = fold.unread.failure(of: ordinal) == nil ? fold.session(ordinal) : nil
            let end = SessionEnd(
                ordinal: ordinal, reason: .interrupted,
                end: totals?.timeRange?.upperBound ?? session.begin.start,
                events: totals?.eventCount ?? session.events,
                checkpoints: totals?.checkpointCount ?? session.checkpoints, nextIndex: session.nextIndex)
            var body = ByteWriter()
            end.encode(to: &body)
            try put(
                .sessionEnd, body.bytes, .sessionEnd(end), time: end.end, session: session,
                next: index.nextSequence, to: file, &index)
        }
        var body = ByteWriter()
        body.put(records)
        // Numbers that were given to events which are lost are not given again, whatever else is lost after this.
        try put(
            .ledger, body.bytes, .ledger(records), time: nil, session: nil,
            next: max(index.nextSequence, knownEnd), to: file, &index)
    }

    /// Writes a segment under a temporary name: its header, what `fill` adds, its footer. Its own name comes last: until then
    /// nothing has changed.
    private static func publish(
        _ header: SegmentHeader, directory: String, fileSystem: any FileSystem, filters: [UInt8] = [],
        _ fill: (any File, inout SegmentIndex) throws(IOFailure) -> Void
    ) throws(IOFailure) -> SegmentHandle {
        let bytes = header.encode()
        let name = header.fileName
        let path = directory + "/" + name
        let temporary = path + ".tmp"
        try? fileSystem.unlink(temporary)
        let file = try fileSystem.open(temporary, .createExclusive)
        defer { file.close() }
        let (trailer, summary): (Trailer, SegmentSummary)
        do throws(IOFailure) {
            try file.write(bytes, at: 0)
            var index = SegmentIndex(header: header, headerBytes: UInt64(bytes.count))
            try fill(file, &index)
            (trailer, summary) = try index.seal(file, at: fileSystem.now(), filters: filters) {
                file throws(IOFailure) in try file.sync()
            }
            try fileSystem.rename(temporary, to: path, replacing: false)
        } catch {
            // On a disk that is full it would take the room of what is recorded next.
            try? fileSystem.unlink(temporary)
            throw error
        }
        if !Safeguard.recoveredNameSync.isLeftOut { try fileSystem.syncDirectory(directory) }
        return SegmentHandle(
            directory: directory, fileName: name, trailer: trailer, summary: summary, fileSystem: fileSystem)
    }

    /// Copies a block as it is, but for its place: header and checksums are made anew.
    private func put(
        _ block: ScannedBlock, from scan: SegmentScan, to file: any File, _ index: inout SegmentIndex
    ) throws(IOFailure) {
        // Read once more, and verified once more: the checksums that it gets must not make bytes good which changed since.
        let reader = BlockReader(file: scan.file, segment: scan.header.segment, kindCount: nil)
        let found = try? reader.readBytes(at: block.offset, end: block.end, number: block.header.number)
        guard let found, found.block.header == block.header else {
            throw IOFailure(.read, path: scan.file.path, code: 5)
        }
        if let dictionary = reader.dictionary {
            return try put(dictionary, like: block.header, to: file, &index)
        }
        var bytes = found.bytes
        var header = block.header
        place(&header, index)
        bytes.withUnsafeMutableBytes { whole in
            guard let base = whole.baseAddress else { return }
            header.smallChecksum = Checksum.sealBody(
                base + BlockHeader.byteCount, smallLength: Int(header.smallLength),
                subBlockCount: Int(header.subBlockCount), segment: header.segment, block: header.number)
            header.encode(into: whole)
        }
        try file.write(bytes, at: index.dataEnd)
        index.add(
            ScannedBlock(
                header: header, offset: index.dataEnd, record: block.record, tally: block.tally,
                nextIndex: block.nextIndex))
    }

    /// Writes a dictionary, twice again.
    private func put(
        _ dictionary: [UInt8], like source: BlockHeader, to file: any File, _ index: inout SegmentIndex
    ) throws(IOFailure) {
        var header = source
        place(&header, index)
        let (copies, shown) = ControlBlock.parts(ofDictionary: dictionary)
        let (stored, bytes) = ControlBlock.assemble(header, record: [], subBlocks: copies)
        try file.write(bytes, at: index.dataEnd)
        index.add(control: stored, at: index.dataEnd, shown)
    }

    private func put(
        _ type: BlockType, _ record: [UInt8], _ shown: ControlBlock.Record, time: Int64?,
        session: SessionSummary?, next: UInt64, to file: any File, _ index: inout SegmentIndex
    ) throws(IOFailure) {
        var header = BlockHeader(type: type)
        place(&header, index)
        header.firstSequence = next
        header.epoch = epoch
        header.sessionOrdinal = session?.begin.ordinal ?? 0
        header.firstIndex = session?.nextIndex ?? 0
        header.sessionsBegun = index.sessionsBegun
        header.checkpointsMade = index.checkpointsMade
        header.writtenAt = fileSystem.now()
        let time = time ?? header.writtenAt
        header.minTimestamp = time
        header.maxTimestamp = time
        let (stored, bytes) = ControlBlock.assemble(header, record: record)
        try file.write(bytes, at: index.dataEnd)
        index.add(control: stored, at: index.dataEnd, shown)
    }

    /// Says in a header where its block stands: at the end of a segment that has this index.
    private func place(_ header: inout BlockHeader, _ index: SegmentIndex) {
        header.segment = index.header.segment
        header.number = UInt32(index.entries.count)
        header.kindCount = UInt32(index.kinds.count)
        header.durableSegment = plan.watermark?.segment ?? 0
        header.durableOffset = plan.watermark?.offset ?? 0
    }

    /// Gives a segment that has none a footer: a copy of its valid bytes, in a higher generation, that then takes its place.
    static func reseal(
        _ segment: OpenSegment, directory: String, fileSystem: any FileSystem, filters: [UInt8] = []
    ) throws(IOFailure) -> SegmentHandle {
        var index = segment.index
        guard segment.isContiguous else { throw IOFailure(.read, path: segment.file.path, code: 5) }
        guard index.header.generation < .max else {
            throw IOFailure(.read, path: segment.file.path, code: 5)
        }
        index.header.generation += 1
        guard index.header.encode().count == Int(index.headerBytes) else {
            throw IOFailure(.read, path: segment.file.path, code: 22)
        }
        // Blocks whose numbers contradict each other, which good checksums don't rule out, make a footer that is refused: the new
        // file would be worth less than the old one.
        let (footer, trailer) = index.footer(sealedAt: 0, checksum: nil, filters: filters)
            .encodeWithTrailer()
        guard
            footer.prefix(Int(trailer.footerLength)).withUnsafeBytes({
                try? Footer(decoding: $0, trailer: trailer)
            }) != nil,
            footer.suffix(4096).withUnsafeBytes({
                try? SegmentSummary.locate(inLast: $0, fileLength: trailer.fileLength)
            }) != nil
        else { throw IOFailure(.read, path: segment.file.path, code: 22) }
        let resealed = index
        let handle = try publish(
            index.header, directory: directory, fileSystem: fileSystem, filters: filters
        ) { file, index throws(IOFailure) in
            index = resealed
            try forEachChunk(of: segment.file, index.headerBytes..<index.dataEnd) {
                bytes, offset throws(IOFailure) in
                try file.write(bytes, at: offset)
            }
            // What was scanned may have been other bytes: a page cache forgets what a failed sync has left in it.
            var copied = SegmentScan(
                fileName: index.header.fileName, file: file, header: index.header,
                headerBytes: index.headerBytes)
            try copied.run(upTo: index.dataEnd)
            guard copied.index().entries == index.entries, copied.unreadable.isEmpty else {
                throw IOFailure(.read, path: segment.file.path, code: 5)
            }
        }
        if try holdsMore(segment) {
            try fileSystem.setAside(segment.file.path)
        } else {
            try fileSystem.unlink(segment.file.path)
        }
        if !Safeguard.resealedRemovalSync.isLeftOut { try fileSystem.syncDirectory(directory) }
        return handle
    }

    /// Whether something may be salvaged of a segment's file behind its end: a block of which parts may be readable, blocks behind
    /// bytes that can't be read, bytes that the system refuses to read. Blocks that follow its end right away were copied.
    private static func holdsMore(_ segment: OpenSegment) throws(IOFailure) -> Bool {
        let size = try segment.file.size()
        let reader = BlockReader(file: segment.file, segment: segment.index.header.segment, kindCount: nil)
        var end = segment.index.dataEnd
        while end < size, let block = try? reader.read(at: end, end: size, number: nil) { end = block.end }
        if end < size, reader.hasBlock(at: end, end: size) { return true }
        let rest = RepairReader(file: segment.file, segment: segment.index.header.segment)
        return rest.nextHeader(from: min(end + 1, size), end: size, after: nil) != nil || rest.failure != nil
    }
}

extension FileSystem {
    /// Removes a file, unless somebody else has.
    func unlinkIfThere(_ path: String) throws(IOFailure) {
        do throws(IOFailure) {
            try unlink(path)
        } catch {
            guard error.isNotFound else { throw error }
        }
    }

    /// Leaves a file aside that is in the log no more: under a name that only salvage and verification know.
    func setAside(_ path: String) throws(IOFailure) {
        for number in 0..<1000 {
            do throws(IOFailure) {
                let more = number == 0 ? "" : ".\(number)"
                return try rename(path, to: path + more + StoreDirectory.asideSuffix, replacing: false)
            } catch {
                guard error.isExisting, number < 999 else { throw error }
            }
        }
    }
}
