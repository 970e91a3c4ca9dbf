internal import VarveFormat
internal import VarveIO

/// Writes the blocks of a segment that takes the place of others. One block of events is in memory at a time.
final class RewriteOutput {
    /// Rows in a block: more do not make a block's columns smaller, and its columns are unpacked as a whole.
    static let blockRowsMax = 16_384

    private let file: any File
    private let settings: RewriteSettings
    private let retained: Retained
    private let announce: (UInt64) throws(IOFailure) -> Bool
    private let encoder = EventBlockEncoder()
    private let encoded = EncodedBlock()
    private let dictionary: CompressionDictionary?
    private var filters: FilterCollector?
    private(set) var index: SegmentIndex
    /// Over the bytes written.
    private(set) var checksum: UInt32 = 0

    // The block of events that is being gathered.
    private var rows: [EventRow] = []
    private var payload: [UInt8] = []
    private var block = BlockHeader(type: .events)
    private var isExplicit = false
    private var nextSequence: UInt64 = 0
    private var nextIndex: UInt64 = 0
    private var written = (first: Int64.max, last: Int64.min)

    // The ledger block that is being gathered.
    private var ledger: [LedgerRecord] = []
    private var ledgerBytes = 0
    private var ledgerHeader = BlockHeader(type: .ledger)

    init(
        _ header: SegmentHeader, file: any File, settings: RewriteSettings, retained: Retained,
        dictionary: CompressionDictionary?, samples: [[UInt8]],
        announce: @escaping (UInt64) throws(IOFailure) -> Bool
    ) throws(RewriteError) {
        self.file = file
        self.settings = settings
        self.retained = retained
        self.dictionary = dictionary
        self.announce = announce
        filters =
            settings.buildsFilters
            ? FilterCollector(keysMax: settings.filterKeysMax, samples: samples) : nil
        let bytes = header.encode()
        guard bytes.count <= Limits.headerBytesMax else {
            throw .doesNotFit("its header would be longer than \(Limits.headerBytesMax) bytes")
        }
        index = SegmentIndex(header: header, headerBytes: 0)
        try bytes.withBytes { bytes throws(RewriteError) in try write(bytes) }
        index.headerBytes = UInt64(bytes.count)
        index.dataEnd = index.headerBytes
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws(RewriteError) {
        guard index.entries.count < Limits.segmentBlocksMax else {
            throw .doesNotFit("it would have more than \(Limits.segmentBlocksMax) blocks")
        }
        let goesOn = try RewriteError.onDisk { () throws(IOFailure) in try announce(UInt64(bytes.count)) }
        guard goesOn else { throw .cancelled }
        try RewriteError.onDisk { () throws(IOFailure) in try file.write(bytes, at: index.dataEnd) }
        checksum = Checksum.crc(bytes, after: checksum)
    }

    // MARK: Events

    /// Adds rows of the block that `source` has loaded, in as few blocks as they may stand in; `kinds` are the ids that theirs become.
    func add(_ run: RewriteSource.Run, of header: BlockHeader, _ source: RewriteSource, kinds: [UInt32])
        throws(RewriteError)
    {
        try putLedger()
        let columns = source.columns
        let hasIndices = columns.indices != nil
        var start =
            try RewriteError.reading { () throws(StoreError) in
                try source.payload(ofSubBlock: run.subBlock)
            } + run.offset
        for row in run.rows {
            let length = Int(columns.lengths[row])
            let sequence = header.firstSequence &+ UInt64(row)
            let index = columns.indices?[row] ?? header.firstIndex &+ UInt64(row)
            if !rows.isEmpty, !fits(header, sequence, index, hasIndices, length) { try putEvents() }
            if rows.isEmpty {
                block = header
                isExplicit = hasIndices
                written = (header.writtenAt, header.writtenAt)
            }
            rows.append(
                EventRow(
                    timestamp: columns.timestamps[row], index: index, length: UInt32(length),
                    kind: kinds[Int(columns.kinds[row])]))
            // SAFETY: the lengths of a sub-block's rows add up to its length: checked when the columns were loaded.
            payload.append(contentsOf: UnsafeRawBufferPointer(start: start, count: length))
            start += length
            nextSequence = sequence &+ 1
            nextIndex = index &+ 1
            // What the latest block that it is made of says. The durable place stays the first one's: a later one proves no less.
            written = (min(written.first, header.writtenAt), max(written.last, header.writtenAt))
            block.sessionsBegun = header.sessionsBegun
            block.checkpointsMade = header.checkpointsMade
            block.headSequence = max(block.headSequence, header.headSequence)
            block.headCheckpoint = max(block.headCheckpoint, header.headCheckpoint)
        }
    }

    /// Whether a row may stand in the block that is being gathered.
    private func fits(
        _ header: BlockHeader, _ sequence: UInt64, _ index: UInt64, _ hasIndices: Bool, _ length: Int
    ) -> Bool {
        guard sequence == nextSequence, hasIndices == isExplicit, hasIndices || index == nextIndex,
            header.sessionOrdinal == block.sessionOrdinal, header.epoch == block.epoch,
            rows.count < Self.blockRowsMax,
            payload.count + length <= Int(settings.encoding.blockBytes)
        else { return false }
        guard let spanMax = settings.spanMax else { return true }
        // Of any two times the difference fits an unsigned number.
        let span = UInt64(
            bitPattern: max(written.last, header.writtenAt) &- min(written.first, header.writtenAt))
        return span <= spanMax
    }

    /// Writes the block that was gathered.
    private func putEvents() throws(RewriteError) {
        guard !rows.isEmpty else { return }
        if let dictionary, index.dictionaryEntry == nil { try put(dictionary) }
        encoder.encode(
            rows, payload: payload, explicitIndices: isExplicit, settings: settings.encoding,
            dictionary: dictionary, into: encoded)
        var header = block
        header.setContents(encoded)
        header.firstSequence = nextSequence - UInt64(rows.count)
        header.firstIndex = rows[0].index
        header.writtenAt = written.last
        place(&header)
        header.smallChecksum = encoded.sealChecksums(segment: header.segment, number: header.number)
        header.encode(into: encoded.bytes)
        let offset = index.dataEnd
        try write(UnsafeRawBufferPointer(encoded.bytes))
        index.add(events: header, at: offset, tally: encoded.kindTally, nextIndex: nextIndex)
        payload.withUnsafeBytes { filters?.add(encoded, rows, $0) }
        // Room for a payload larger than a block is not kept.
        let keepsRoom = payload.capacity <= 4 * Int(settings.encoding.blockBytes)
        rows.removeAll(keepingCapacity: true)
        payload.removeAll(keepingCapacity: keepsRoom)
    }

    private func put(_ dictionary: CompressionDictionary) throws(RewriteError) {
        var header = BlockHeader(type: .dictionary)
        header.epoch = block.epoch
        header.firstSequence = nextSequence - UInt64(rows.count)
        header.sessionOrdinal = block.sessionOrdinal
        header.firstIndex = rows[0].index
        header.sessionsBegun = index.sessionsBegun
        header.checkpointsMade = index.checkpointsMade
        header.writtenAt = block.writtenAt
        header.minTimestamp = block.writtenAt
        header.maxTimestamp = block.writtenAt
        header.durableSegment = block.durableSegment
        header.durableOffset = block.durableOffset
        let (copies, shown) = ControlBlock.parts(ofDictionary: dictionary.bytes)
        try assemble(header, [], shown, copies)
    }

    // MARK: Other blocks

    /// Adds the records of a source's ledger block: those of blocks that follow each other become one block.
    func add(_ records: [LedgerRecord], _ header: BlockHeader) throws(RewriteError) {
        try putEvents()
        ledgerHeader = header
        for record in records {
            if let last = ledger.last, let joined = last.joined(with: record) {
                ledger[ledger.count - 1] = joined
                continue
            }
            var writer = ByteWriter()
            record.encode(to: &writer)
            // A block's small part is bounded, and a source's may be as large as that.
            if !ledger.isEmpty, ledgerBytes + writer.count > 1 << 20 { try putLedger() }
            ledgerBytes += writer.count
            ledger.append(record)
        }
    }

    private func putLedger() throws(RewriteError) {
        guard !ledger.isEmpty else { return }
        var body = ByteWriter()
        body.put(ledger)
        let records = ledger
        ledger = []
        ledgerBytes = 0
        var header = ledgerHeader
        header.minTimestamp = header.writtenAt
        header.maxTimestamp = header.writtenAt
        try assemble(header, body.bytes, .ledger(records))
    }

    /// Writes a checkpoint as it was made; only its state is compressed anew.
    func put(_ record: CheckpointRecord, state: [UInt8], _ source: BlockHeader) throws(RewriteError) {
        try finishBlock()
        var body = ByteWriter()
        record.encode(to: &body)
        let (method, stored) = StateCompressor.compress(state, settings: settings.encoding)
        let shown = SubBlockDirectoryEntry(
            eventCount: 0, rawBytes: UInt32(state.count), storedBytes: UInt32(stored.count), method: method)
        try assemble(
            source, body.bytes, .checkpoint(record, state: shown),
            [.init(method: method, rawBytes: state.count, stored: stored)])
    }

    /// Writes a session's beginning or end.
    func put(_ record: ControlBlock.Record, _ source: BlockHeader) throws(RewriteError) {
        try finishBlock()
        var body = ByteWriter()
        switch record {
        case .sessionBegin(let begin): begin.encode(to: &body)
        case .sessionEnd(let end): end.encode(to: &body)
        default: break
        }
        try assemble(source, body.bytes, record)
    }

    private func assemble(
        _ source: BlockHeader, _ body: [UInt8], _ shown: ControlBlock.Record,
        _ subBlocks: [ControlBlock.SubBlock] = []
    ) throws(RewriteError) {
        var header = source
        header.flags = []
        place(&header)
        let (stored, bytes) = ControlBlock.assemble(header, record: body, subBlocks: subBlocks)
        let offset = index.dataEnd
        try bytes.withBytes { bytes throws(RewriteError) in try write(bytes) }
        index.add(control: stored, at: offset, shown)
        filters?.addControl()
    }

    /// Says in a header where its block stands. No block names lower heads than those that were applied.
    private func place(_ header: inout BlockHeader) {
        header.segment = index.header.segment
        header.number = UInt32(index.entries.count)
        header.kindCount = UInt32(index.kinds.count)
        header.headSequence = max(header.headSequence, retained.headSequence)
        header.headCheckpoint = max(header.headCheckpoint, retained.headCheckpoint)
    }

    // MARK: The end

    /// Writes what was gathered: nothing that comes later stands in one block with it.
    func finishBlock() throws(RewriteError) {
        try putEvents()
        try putLedger()
    }

    /// Writes the footer behind the blocks, and syncs both: the data first, so that the footer proves them.
    func seal(
        at sealedAt: Int64, replaces: [ReplacedSegment], droppedRanges: [DroppedRange], heads: Retained,
        sync: (any File) throws(IOFailure) -> Void
    ) throws(RewriteError) -> (footer: Footer, trailer: Trailer, withoutFilter: Int) {
        index.replaces = replaces
        index.droppedRanges = droppedRanges
        index.isSettled = true
        index.headSequence = max(index.headSequence, heads.headSequence)
        index.headCheckpoint = max(index.headCheckpoint, heads.headCheckpoint)
        let withoutFilter = filters?.leftOut ?? 0
        let filterBytes = filters?.finish() ?? []
        filters = nil
        let footer = index.footer(sealedAt: sealedAt, checksum: checksum, filters: filterBytes)
        let (bytes, trailer) = footer.encodeWithTrailer()
        // A footer that would be refused is none to write: of many sources together a section may become too long.
        guard let length = Int(exactly: trailer.footerLength),
            bytes.withUnsafeBytes({ whole in
                try? Footer(decoding: UnsafeRawBufferPointer(rebasing: whole[..<length]), trailer: trailer)
            }) != nil
        else { throw .doesNotFit("its footer would be beyond a limit") }
        let goesOn = try RewriteError.onDisk { () throws(IOFailure) in
            if !Safeguard.dataSync.isLeftOut { try sync(file) }
            return try announce(UInt64(bytes.count))
        }
        guard goesOn else { throw .cancelled }
        try RewriteError.onDisk { () throws(IOFailure) in
            try file.write(bytes, at: index.dataEnd)
            if !Safeguard.footerSync.isLeftOut { try sync(file) }
        }
        return (footer, trailer, withoutFilter)
    }
}
