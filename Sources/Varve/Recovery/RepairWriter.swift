internal import VarveFormat
internal import VarveIO

/// Writes a store's files into a directory that nobody knows yet: segment after segment, each sealed before the next is begun.
///
/// One block is in memory at a time.
final class RepairWriter {
    private let directory: String
    private let store: UniqueID
    private let options: StoreOptions
    private let fileSystem: any FileSystem
    private let registry = KindRegistry(id: 1, definitions: [])
    private let encoder = EventBlockEncoder()
    private let encoded = EncodedBlock()
    private var rows: [EventRow] = []
    private var payload: [UInt8] = []

    private var file: (any File)?
    private var index: SegmentIndex?
    private var previous: SegmentSummary?
    private var nextSequence: UInt64 = 0
    private var sessionsBegun: UInt64 = 0
    private var checkpointsMade: UInt64 = 0
    private var session: SessionBegin?
    private(set) var segments = 0
    private(set) var byteCount: UInt64 = 0

    init(directory: String, store: UniqueID, options: StoreOptions) {
        self.directory = directory
        self.store = store
        self.options = options
        fileSystem = options.fileSystem
    }

    // MARK: Kinds

    /// Gives a kind its number; the first definition of a name and encoding stands.
    func intern(_ kind: KindDefinition) throws(StoreError) -> UInt32 {
        try registry.intern(kind.name, kind.encoding, kind.metadata).kind.number
    }

    // MARK: Blocks

    /// Writes rows of a source's block, with the kind ids that `kinds` maps theirs to.
    func put(
        _ source: RepairSource, _ block: RepairSource.Block, _ range: Range<Int>, reader: RepairReader,
        kinds: (UInt32) throws(StoreError) -> UInt32
    ) throws(StoreError) {
        do throws(FormatError) {
            try reader.contents(of: block, range, rows: &rows, payload: &payload)
        } catch {
            // It could be read a moment ago.
            throw .cannotRead(path: source.file.path, reason: error.description)
        }
        for position in rows.indices { rows[position].kind = try kinds(rows[position].kind) }
        var header = block.header
        header.firstSequence = block.header.firstSequence + UInt64(range.lowerBound)
        try putRows(header, hasIndices: block.header.flags.contains(.explicitIndices))
    }

    /// Writes events that only `TAIL` holds; `kinds` are those that its rows name.
    func put(_ slot: TailSlot, epoch: UInt64, kinds: [KindDefinition]) throws(StoreError) {
        rows.removeAll(keepingCapacity: true)
        payload.removeAll(keepingCapacity: true)
        for row in slot.rows {
            rows.append(
                EventRow(
                    timestamp: row.timestamp, index: row.index, length: UInt32(row.payload.count),
                    kind: try intern(kinds[Int(row.kind)])))
            payload += row.payload
        }
        var header = BlockHeader(type: .events)
        header.epoch = epoch
        header.sessionOrdinal = slot.session
        header.firstSequence = slot.firstSequence
        header.writtenAt = fileSystem.now()
        try putRows(header, hasIndices: false)
    }

    /// Writes events that were read one by one: of one session and epoch, with numbers that follow each other. At least one. The arrays
    /// come back empty, with their room.
    func put(_ events: inout [EventRow], _ bytes: inout [UInt8], _ header: BlockHeader) throws(StoreError) {
        swap(&rows, &events)
        swap(&payload, &bytes)
        defer {
            swap(&rows, &events)
            swap(&payload, &bytes)
            events.removeAll(keepingCapacity: true)
            bytes.removeAll(keepingCapacity: true)
        }
        let first = rows[0].index
        let hasIndices = rows.indices.contains { rows[$0].index != first &+ UInt64($0) }
        try putRows(header, hasIndices: hasIndices)
    }

    /// Writes `rows` with their payloads as a block that has this header's place, epoch, session and counters.
    private func putRows(_ source: BlockHeader, hasIndices: Bool) throws(StoreError) {
        encoder.encode(
            rows, payload: payload, explicitIndices: hasIndices, settings: options.encodingSettings,
            dictionary: nil, into: encoded)
        var header = source
        header.setContents(encoded)
        header.firstIndex = encoded.firstIndex
        let nextIndex =
            hasIndices ? rows[rows.count - 1].index &+ 1 : encoded.firstIndex &+ UInt64(rows.count)
        try writing { () throws(IOFailure) in
            try makeRoom(for: encoded.bytes.count, before: header)
            try putKinds(like: header)
            try place(&header)
            header.smallChecksum = encoded.sealChecksums(segment: header.segment, number: header.number)
            header.encode(into: encoded.bytes)
            let offset = try write(UnsafeRawBufferPointer(encoded.bytes))
            index?.add(events: header, at: offset, tally: encoded.kindTally, nextIndex: nextIndex)
        }
        session?.firstIndex = nextIndex
        nextSequence = header.nextSequence
    }

    /// Writes a checkpoint of a source.
    func put(_ source: RepairSource, checkpoint block: RepairSource.Block, reader: RepairReader)
        throws(StoreError)
    {
        guard case .checkpoint(let record, _) = block.record else { return }
        let state: [UInt8]
        do throws(FormatError) {
            state = try reader.state(of: block)
        } catch {
            throw .cannotRead(path: source.file.path, reason: error.description)
        }
        try put(record, state: state, block.header)
    }

    /// Writes a checkpoint with its state.
    func put(_ record: CheckpointRecord, state: [UInt8], _ source: BlockHeader) throws(StoreError) {
        var body = ByteWriter()
        record.encode(to: &body)
        let (method, stored) = StateCompressor.compress(state, settings: options.encodingSettings)
        let shown = SubBlockDirectoryEntry(
            eventCount: 0, rawBytes: UInt32(state.count), storedBytes: UInt32(stored.count), method: method)
        var header = source
        header.flags = []
        checkpointsMade = max(checkpointsMade, record.ordinal)
        try put(
            header, body.bytes, .checkpoint(record, state: shown),
            subBlocks: [.init(method: method, rawBytes: state.count, stored: stored)])
    }

    /// Writes a record of a session or the ledger.
    func put(_ record: ControlBlock.Record, _ header: BlockHeader) throws(StoreError) {
        var body = ByteWriter()
        switch record {
        case .sessionBegin(let begin): begin.encode(to: &body)
        case .sessionEnd(let end): end.encode(to: &body)
        case .ledger(let records): body.put(records)
        default: return
        }
        // The segment that the record may start begins without the session.
        if case .sessionBegin = record { session = nil }
        try put(header, body.bytes, record)
        switch record {
        case .sessionBegin(let begin): session = begin
        case .sessionEnd: session = nil
        default: break
        }
    }

    private func put(
        _ source: BlockHeader, _ body: [UInt8], _ shown: ControlBlock.Record,
        subBlocks: [ControlBlock.SubBlock] = []
    ) throws(StoreError) {
        try writing { () throws(IOFailure) in
            let stored = subBlocks.reduce(0) { $0 + $1.stored.count }
            try makeRoom(for: BlockHeader.byteCount + body.count + 32 + stored, before: source)
            try putHere(source, body, shown, subBlocks)
        }
    }

    /// Writes a control block into the segment that is open.
    private func putHere(
        _ source: BlockHeader, _ body: [UInt8], _ shown: ControlBlock.Record,
        _ subBlocks: [ControlBlock.SubBlock]
    ) throws(IOFailure) {
        var header = source
        header.firstSequence = max(header.firstSequence, nextSequence)
        try place(&header)
        let (stored, bytes) = ControlBlock.assemble(header, record: body, subBlocks: subBlocks)
        let offset = try bytes.withBytes { bytes throws(IOFailure) in try write(bytes) }
        index?.add(control: stored, at: offset, shown)
        nextSequence = header.firstSequence
    }

    private func putKinds(like source: BlockHeader) throws(IOFailure) {
        guard let index else { return }
        let definitions = registry.definitions(from: index.kinds.count)
        guard !definitions.isEmpty else { return }
        var body = ByteWriter()
        body.put(definitions)
        var header = BlockHeader(type: .kinds)
        header.epoch = source.epoch
        header.firstSequence = source.firstSequence
        header.sessionOrdinal = source.sessionOrdinal
        header.firstIndex = source.firstIndex
        header.writtenAt = source.writtenAt
        header.minTimestamp = source.writtenAt
        header.maxTimestamp = source.writtenAt
        header.headSequence = source.headSequence
        header.headCheckpoint = source.headCheckpoint
        header.kindCount = UInt32(index.kinds.count + definitions.count)
        try putHere(header, body.bytes, .kinds(definitions), [])
    }

    /// Fills in what depends on where the block stands.
    private func place(_ header: inout BlockHeader) throws(IOFailure) {
        guard let index else { return }
        header.segment = index.header.segment
        header.number = UInt32(index.entries.count)
        if header.type != .kinds { header.kindCount = UInt32(index.kinds.count) }
        // Footers prove what is durable.
        header.durableSegment = 0
        header.durableOffset = 0
        sessionsBegun = max(sessionsBegun, header.sessionsBegun)
        checkpointsMade = max(checkpointsMade, header.checkpointsMade)
        header.sessionsBegun = sessionsBegun
        header.checkpointsMade = checkpointsMade
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws(IOFailure) -> UInt64 {
        guard let file, let index else { throw IOFailure(.write, path: directory, code: 9) }
        try file.write(bytes, at: index.dataEnd)
        return index.dataEnd
    }

    private func writing<R>(_ body: () throws(IOFailure) -> R) throws(StoreError) -> R {
        do throws(IOFailure) { return try body() } catch { throw .writing(error) }
    }

    // MARK: Segments

    private func makeRoom(for count: Int, before header: BlockHeader) throws(IOFailure) {
        if let index, !index.entries.isEmpty,
            index.dataEnd + UInt64(count) > options.segmentBytes
                || index.entries.count + 3 > options.segmentBlocksMax || index.controlBytes > 16 << 20
        {
            try seal()
        }
        if file == nil { try open(before: header) }
    }

    private func open(before block: BlockHeader) throws(IOFailure) {
        var header = SegmentHeader(
            store: store, segment: try fileSystem.freshID(for: directory),
            ordinal: (previous?.ordinal ?? 0) + 1, epoch: max(block.epoch, 1), createdAt: fileSystem.now(),
            settings: options.encodingSettings)
        header.predecessor = previous?.segment ?? .zero
        header.predecessorLength = previous?.dataBytes ?? 0
        header.digestAlgorithm = 1
        header.baseSequence = nextSequence
        header.sessionsBegun = sessionsBegun
        header.checkpointsMade = checkpointsMade
        header.kinds = registry.definitions()
        header.session = session
        header.session?.flags.insert(.continued)
        header.session?.flags.remove(.resumed)
        let bytes = header.encode()
        let made = try fileSystem.open(directory + "/" + header.fileName, .createExclusive)
        file = made
        try made.write(bytes, at: 0)
        index = SegmentIndex(header: header, headerBytes: UInt64(bytes.count))
        segments += 1
    }

    private func seal() throws(IOFailure) {
        guard let file, let index else { return }
        let (trailer, summary) = try index.seal(file, at: fileSystem.now()) { file throws(IOFailure) in
            try file.sync()
        }
        file.close()
        previous = summary
        byteCount += trailer.fileLength
        self.file = nil
        self.index = nil
    }

    /// Seals the last segment, and writes what stands beside the segments: the identity comes last.
    func finish(_ identity: StoreIdentity) throws(StoreError) {
        try writing { () throws(IOFailure) in
            try seal()
            let slot = StateSlot(
                store: store, counter: 1, nextSequence: nextSequence, epoch: previous?.lastEpoch ?? 0,
                sessionsBegun: sessionsBegun, writtenAt: fileSystem.now(), isClosed: true, last: previous)
            var state = slot.encode()
            state += Array(repeating: 0, count: StateFile.byteCount - state.count)
            try create("STATE", state)
            try create("STORE", identity.encode())
            if !Safeguard.repairedNamesSync.isLeftOut { try fileSystem.syncDirectory(directory) }
        }
    }

    private func create(_ name: String, _ bytes: [UInt8]) throws(IOFailure) {
        let file = try fileSystem.open(directory + "/" + name, .createExclusive)
        defer { file.close() }
        try file.write(bytes, at: 0)
        if !Safeguard.repairedFileSync.isLeftOut { try file.sync() }
    }
}
