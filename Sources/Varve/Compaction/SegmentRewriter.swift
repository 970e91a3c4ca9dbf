internal import VarveFormat
internal import VarveIO

/// Writes sealed segments that follow each other in the log anew, as one settled segment: without what retention dropped, in full blocks,
/// compressed well, with a dictionary and text filters.
///
/// The order of everything kept stays as it is, and so do numbers, epochs, sessions, indices, times and payload bytes. The new file gets
/// a temporary name, is synced, and is read back and compared with what was read from the sources; its own name, and the removal of the
/// sources, are the caller's. Sources are only read.
///
/// Memory: a block of the sources and one of the new segment, their indices, a compressor's state, and four bytes for each key of the
/// filters (`RewriteSettings.filterKeysMax`, 24 MiB); besides, twice the largest payload or state. Nothing grows with the payload.
struct SegmentRewriter {
    /// In the order of the log.
    let sources: [SegmentHandle]
    /// What is kept.
    let retained: Retained
    let settings: RewriteSettings
    let directory: String
    let fileSystem: any FileSystem
    /// Makes a file's bytes durable.
    let sync: (any File) throws(IOFailure) -> Void
    /// Called before anything is written with how many bytes, the footer's too, and with 0 before each block that is read back: false
    /// cancels, and so does a failure.
    let announce: (UInt64) throws(IOFailure) -> Bool

    /// Does all of it. O(bytes of the sources).
    func run() throws(RewriteError) -> RewriteOutcome {
        guard !sources.isEmpty else { return .nothing }
        let opened = try open()
        defer { for source in opened { source.close() } }
        let survey = RewriteSurvey(opened.map(\.index), retained)
        guard survey.keepsAnything else { return .nothing }
        let kinds = try KindUnion(opened.map(\.index))
        let header = try header(opened, kinds, survey)
        let (samples, dictionary) = try RewriteError.reading {
            () throws(StoreError) -> ([[UInt8]], CompressionDictionary?) in
            guard settings.usesDictionary || settings.buildsFilters else { return ([], nil) }
            let samples = try survey.sampling.samples(opened)
            guard settings.usesDictionary else { return (samples, nil) }
            return (samples, try survey.sampling.dictionary(from: samples, opened, settings.encoding))
        }
        // Of its own: two may be writing the same segments anew, of which one is too late.
        let name = "\(header.fileName).\(header.segment).tmp"
        let temporary = directory + "/" + name
        let file = try RewriteError.onDisk { () throws(IOFailure) in
            try fileSystem.open(temporary, .createExclusive)
        }
        defer { file.close() }
        do throws(RewriteError) {
            let output = try RewriteOutput(
                header, file: file, settings: settings, retained: retained, dictionary: dictionary,
                samples: samples, announce: announce)
            let digest = try copy(opened, survey, kinds, to: output)
            try finish(opened, survey, output)
            let sealed = try output.seal(
                at: fileSystem.now(), replaces: replaces(opened),
                droppedRanges: survey.droppedRanges,
                heads: Retained(
                    headSequence: opened.map(\.index.headSequence).reduce(retained.headSequence, max),
                    headCheckpoint: opened.map(\.index.headCheckpoint).reduce(retained.headCheckpoint, max)),
                sync: sync)
            try readBack(name, header, sealed, digest)
            return .segment(
                RewrittenSegment(
                    temporaryPath: temporary, fileName: header.fileName, trailer: sealed.trailer,
                    summary: sealed.footer.summary, byteCount: sealed.trailer.fileLength,
                    usesDictionary: output.index.dictionaryEntry != nil,
                    subBlocksWithoutFilter: sealed.withoutFilter))
        } catch {
            // On a disk that is full it would take the room of what is recorded next.
            try? fileSystem.unlink(temporary)
            throw error
        }
    }

    // MARK: Sources

    private func open() throws(RewriteError) -> [RewriteSource] {
        var opened: [RewriteSource] = []
        var isDone = false
        defer { if !isDone { for source in opened { source.close() } } }
        for handle in sources {
            let source = try RewriteError.reading { () throws(StoreError) in
                try RewriteSource(handle, fileSystem)
            }
            if let before = opened.last?.index, let reason = Self.contradiction(before, source.index) {
                source.close()
                throw .source(.damaged(file: handle.path, offset: 0, reason: reason))
            }
            opened.append(source)
        }
        isDone = true
        return opened
    }

    /// Why a segment can't come after another one in the log.
    private static func contradiction(_ before: SegmentIndex, _ after: SegmentIndex) -> String? {
        if after.header.store != before.header.store { return "it belongs to another store" }
        if after.header.ordinal <= before.header.ordinal { return "its ordinal is not above the one before" }
        if after.header.baseSequence < before.nextSequence {
            return "its numbers begin before those of the segment before end"
        }
        return nil
    }

    private func header(
        _ opened: [RewriteSource], _ kinds: KindUnion, _ survey: RewriteSurvey
    ) throws(RewriteError) -> SegmentHeader {
        guard let first = opened.first?.index.header, let last = opened.last?.index.header else {
            throw .cancelled
        }
        let generation = opened.map(\.index.header.generation).reduce(0, max)
        guard generation < .max else { throw .doesNotFit("its generation would be too high") }
        let segment = try RewriteError.onDisk { () throws(IOFailure) in
            try fileSystem.freshID(for: directory)
        }
        var header = SegmentHeader(
            store: first.store, segment: segment, ordinal: last.ordinal, epoch: first.epoch,
            createdAt: first.createdAt, settings: settings.encoding)
        header.generation = generation + 1
        header.predecessor = first.predecessor
        header.predecessorLength = first.predecessorLength
        header.digestAlgorithm = 1
        header.baseSequence = first.baseSequence
        header.sessionsBegun = first.sessionsBegun
        header.checkpointsMade = first.checkpointsMade
        header.session = first.session.map(survey.begin)
        // What is in force at the end: records that change it may stand in segments that are gone.
        StandingOrders(opened.map(\.index)).put(into: &header)
        header.kinds = kinds.definitions
        return header
    }

    private func replaces(_ opened: [RewriteSource]) -> [ReplacedSegment] {
        opened.map(\.index.header).map {
            ReplacedSegment(segment: $0.segment, ordinal: $0.ordinal, generation: $0.generation)
        }
    }

    // MARK: Copying

    /// Copies what is kept, and returns the digest of it.
    private func copy(
        _ opened: [RewriteSource], _ survey: RewriteSurvey, _ kinds: KindUnion, to output: RewriteOutput
    ) throws(RewriteError) -> ContentDigest {
        var digest = ContentDigest()
        for (position, source) in opened.enumerated() {
            try endUnseen(before: source.index, opened[..<position], output)
            try goOn(source.index, survey, output)
            var next = source.index.header.baseSequence
            for (number, entry) in source.index.entries.enumerated() {
                if entry.type == .events {
                    // Numbers that go back are none that a writer gave.
                    guard entry.firstSequence >= next else {
                        throw .source(
                            .damaged(
                                file: source.file.path, offset: entry.offset, reason: "its numbers go back"))
                    }
                    next = entry.nextSequence
                    try copyEvents(number, source, kinds.ids[position], to: output, &digest)
                } else {
                    try copyRecord(number, source, survey, to: output, &digest)
                }
            }
            try RewriteError.reading { () throws(StoreError) in try source.checkFooter() }
        }
        try output.finishBlock()
        return digest
    }

    private func copyEvents(
        _ number: Int, _ source: RewriteSource, _ kinds: [UInt32], to output: RewriteOutput,
        _ digest: inout ContentDigest
    ) throws(RewriteError) {
        let entry = source.index.entries[number]
        let parts = retained.parts(
            of: entry.sequences, session: entry.sessionOrdinal)
        // What is all dropped is not read: damage in it is no reason to keep it.
        guard !parts.isEmpty else { return }
        let header = try RewriteError.reading { () throws(StoreError) in try source.loadEvents(number) }
        source.count(header, at: entry.offset)
        for run in source.runs(header, parts) {
            try RewriteError.reading { () throws(StoreError) in
                try digest.add(run, of: header, source)
            }
            try output.add(run, of: header, source, kinds: kinds)
        }
    }

    private func copyRecord(
        _ number: Int, _ source: RewriteSource, _ survey: RewriteSurvey, to output: RewriteOutput,
        _ digest: inout ContentDigest
    ) throws(RewriteError) {
        let (header, record) = try RewriteError.reading { () throws(StoreError) in
            try source.control(number)
        }
        switch record {
        case .checkpoint(let checkpoint, let entry):
            guard retained.keeps(checkpoint) else { return }
            let state = try RewriteError.reading { () throws(StoreError) in
                try source.state(header, entry)
            }
            digest.add(checkpoint, state: state)
            try output.put(checkpoint, state: state, header)
        case .sessionBegin(let begin):
            if !survey.droppedSessions.contains(begin.ordinal) {
                try output.put(.sessionBegin(survey.begin(begin)), header)
            }
        case .sessionEnd(let end):
            if !survey.droppedSessions.contains(end.ordinal) { try output.put(record, header) }
        case .ledger(let records):
            // Limits and pins stand in the header.
            let kept = records.filter { record in
                switch record {
                case .limits, .pin: false
                default: true
                }
            }
            if !kept.isEmpty { try output.add(kept, header) }
        case .kinds, .dictionary, .padding: break
        }
    }

    /// A source's header may tell that the session before it has ended: in a segment that is gone. What tells of that goes with the
    /// header, and so it is written. An import has no other end than its own.
    private func endUnseen(
        before index: SegmentIndex, _ sources: ArraySlice<RewriteSource>, _ output: RewriteOutput
    ) throws(RewriteError) {
        guard let active = output.index.activeSession, active.begin.ordinal != index.header.session?.ordinal,
            !active.begin.flags.contains(.imported)
        else { return }
        let parts = sources.flatMap(\.index.sessions).filter { $0.begin.ordinal == active.begin.ordinal }
        let end = SessionEnd(
            ordinal: active.begin.ordinal, reason: .interrupted,
            end: parts.filter { $0.events > 0 }.map(\.maxTimestamp).max() ?? active.begin.start,
            events: parts.reduce(0) { $0.addingClamped($1.events) },
            checkpoints: parts.reduce(0) { $0.addingClamped($1.checkpoints) },
            nextIndex: max(active.nextIndex, parts.map(\.nextIndex).max() ?? 0))
        var header = place(index, .sessionEnd)
        header.sessionOrdinal = end.ordinal
        header.firstIndex = end.nextIndex
        header.minTimestamp = end.end
        header.maxTimestamp = end.end
        try output.put(.sessionEnd(end), header)
    }

    /// Of a block at the beginning of a source.
    private func place(_ index: SegmentIndex, _ type: BlockType) -> BlockHeader {
        var header = BlockHeader(type: type)
        header.epoch = index.header.epoch
        header.firstSequence = index.header.baseSequence
        header.sessionsBegun = index.header.sessionsBegun
        header.checkpointsMade = index.header.checkpointsMade
        header.writtenAt = index.header.createdAt
        return header
    }

    /// A source's header may tell of a session that nothing before it tells of: its beginning was lost. Then it goes on here.
    private func goOn(_ index: SegmentIndex, _ survey: RewriteSurvey, _ output: RewriteOutput)
        throws(RewriteError)
    {
        guard let begin = index.header.session, !survey.droppedSessions.contains(begin.ordinal) else {
            return
        }
        guard output.index.activeSession?.begin.ordinal != begin.ordinal else { return }
        try putAgain(
            survey.begin(begin), at: begin.firstIndex, place(index, .sessionBegin), output)
    }

    private func putAgain(
        _ session: SessionBegin, at index: UInt64, _ place: BlockHeader, _ output: RewriteOutput
    ) throws(RewriteError) {
        var begin = session
        begin.flags.remove(.continued)
        begin.flags.insert(.resumed)
        begin.firstIndex = index
        var header = place
        header.type = .sessionBegin
        header.sessionOrdinal = begin.ordinal
        header.firstIndex = index
        header.minTimestamp = begin.start
        header.maxTimestamp = begin.start
        try output.put(.sessionBegin(begin), header)
    }

    /// Lets the blocks say how far the log has come at the end of the sources, where those that would say it were dropped: numbers are
    /// not given again, also when the footer is lost.
    private func finish(_ opened: [RewriteSource], _ survey: RewriteSurvey, _ output: RewriteOutput)
        throws(RewriteError)
    {
        guard let last = opened.last?.index else { return }
        var header = BlockHeader(type: .padding)
        header.firstSequence = opened.map(\.index.nextSequence).reduce(0, max)
        header.epoch = opened.map(\.index.lastEpoch).reduce(0, max)
        header.sessionsBegun = opened.map(\.index.sessionsBegun).reduce(0, max)
        header.checkpointsMade = opened.map(\.index.checkpointsMade).reduce(0, max)
        header.writtenAt = last.header.createdAt
        header.minTimestamp = header.writtenAt
        header.maxTimestamp = header.writtenAt
        let reached = output.index
        if let expected = last.activeSession, let found = reached.activeSession,
            expected.begin.ordinal == found.begin.ordinal, expected.nextIndex != found.nextIndex
        {
            // Its last events were dropped, and it goes on: no index is given again.
            return try putAgain(survey.begin(expected.begin), at: expected.nextIndex, header, output)
        }
        guard
            reached.nextSequence < header.firstSequence || reached.lastEpoch < header.epoch
                || reached.sessionsBegun < header.sessionsBegun
                || reached.checkpointsMade < header.checkpointsMade
        else { return }
        if let session = last.activeSession {
            header.sessionOrdinal = session.begin.ordinal
            header.firstIndex = session.nextIndex
        }
        try output.put(.padding, header)
    }
}
