internal import VarveFormat
internal import VarveIO

/// Writes items to segment files, starts and seals segments.
///
/// `write` and `openActive` are called by the holder of the pipeline's writer role alone; `beginSync` under the pipeline's
/// monitor; `carryOut` by one thread at a time; `sealRetired` by any, with no monitor held.
final class SegmentWriter: @unchecked Sendable {
    /// What a sync makes durable.
    struct DurablePoint: Hashable, Sendable {
        var place: Watermark?
        var nextSequence: UInt64 = 0
        /// What was retained then.
        var retained = Retained()
    }

    /// A sync that is due: these files, then perhaps the directory, and then everything before the point is durable.
    struct SyncPass {
        fileprivate var files: [any File]
        fileprivate var syncsDirectory: Bool
        let point: DurablePoint
    }

    private let directory: String
    private let store: UniqueID
    private let epoch: UInt64
    let settings: EncodingSettings
    private let options: StoreOptions
    private let fileSystem: any FileSystem
    private let catalog: Catalog
    private let kinds: KindRegistry
    private let retention: Retention
    private let reclaimer: Reclaimer

    // The writer role's.
    private var file: (any File)?
    private var header: SegmentHeader?
    private var offset: UInt64 = 0
    /// Where the zeros end that were written ahead of the blocks.
    private var zeroEnd: UInt64 = 0
    /// No zeros are written before.
    private var zerosFrom: UInt64 = .max
    /// What the index of a block, and the header of a segment that is begun for it, take at most.
    private static let spareBytes: UInt64 = 8192
    private var blockNumber: UInt32 = 0
    private var kindsWritten = 0
    private var dictionary: CompressionDictionary?
    private var isTorn = false
    private var openedAt: UInt64 = 0
    /// The log where the next segment starts.
    private var predecessor: (segment: UniqueID, length: UInt64)
    private var ordinal: UInt64
    private var nextSequence: UInt64
    private var session: SessionBegin?
    private var sessionsBegun: UInt64
    private var checkpointsMade: UInt64
    /// What is retained of what was written, and of the item that is being written.
    private var retained: Retained

    // Shared between the writer role, syncs and sealing.
    private let monitor = Monitor()
    private var dirty: [(ordinal: UInt64, file: any File)] = []
    /// What the sync that runs was begun with.
    private var beingSynced: [(ordinal: UInt64, file: any File)] = []
    private var directoryIsDirty = false
    private var written = DurablePoint()
    private var retired: [OpenSegment] = []
    /// Held while segments are sealed, by the background thread or by a writer that must wait for it.
    private let sealing = Monitor()
    private let syncGate = Monitor()
    private var syncFailure: IOFailure?

    /// Where the log stood when the store was opened.
    struct Start {
        var predecessor: (segment: UniqueID, length: UInt64) = (.zero, 0)
        var ordinal: UInt64 = 0
        var position = LogPosition()
        var point = DurablePoint()
    }

    init(
        directory: String, store: UniqueID, options: StoreOptions, catalog: Catalog, kinds: KindRegistry,
        retention: Retention, reclaimer: Reclaimer, start: Start
    ) {
        self.directory = directory
        self.store = store
        self.options = options
        self.catalog = catalog
        self.kinds = kinds
        self.retention = retention
        self.reclaimer = reclaimer
        retained = retention.retained
        fileSystem = options.fileSystem
        settings = options.encodingSettings
        epoch = start.position.epoch
        predecessor = start.predecessor
        ordinal = start.ordinal
        nextSequence = start.position.nextSequence
        sessionsBegun = start.position.sessionsBegun
        checkpointsMade = start.position.checkpointsMade
        written = start.point
    }

    // MARK: Writing

    /// Writes an item, in a new segment where the active one is full, and shows it in the catalog.
    func write(_ item: PendingItem, durable: Watermark?) throws(IOFailure) {
        switch item.content {
        case .batch(let batch): try write(batch, item, durable)
        case .control(let record): try write(record, item, durable)
        }
    }

    private func write(_ batch: Batch, _ item: PendingItem, _ durable: Watermark?) throws(IOFailure) {
        let block = batch.encoded
        try makeRoom(for: block.bytes.count)
        if kindsWritten <= Int(batch.kindMax) { try writeKinds(item.position, durable) }
        if let needed = block.dictionary, needed !== dictionary {
            if dictionary != nil {
                try finishActive()
                try openActive()
            }
            try write(dictionary: needed, item.position, durable)
        }
        retained = retention.add(item)
        var header = BlockHeader(events: block)
        place(&header, item.position, durable)
        header.smallChecksum = block.sealChecksums(segment: header.segment, number: header.number)
        header.encode(into: block.bytes)
        let place = offset
        try put(UnsafeRawBufferPointer(block.bytes))
        nextSequence = header.nextSequence
        let nextIndex = batch.nextIndex
        session?.firstIndex = nextIndex
        session?.flags.insert(.used)
        finishWrite()
        catalog.update(item: item.number) {
            $0.add(events: header, at: place, tally: block.kindTally, nextIndex: nextIndex)
        }
    }

    private func write(_ record: ControlRecord, _ item: PendingItem, _ durable: Watermark?) throws(IOFailure)
    {
        var body = ByteWriter()
        var subBlocks: [ControlBlock.SubBlock] = []
        let type: BlockType
        let time: Int64?
        let shown: ControlBlock.Record
        switch record {
        case .sessionBegin(let begin):
            type = .sessionBegin
            time = begin.start
            begin.encode(to: &body)
            shown = .sessionBegin(begin)
        case .sessionEnd(let end):
            type = .sessionEnd
            time = end.end
            end.encode(to: &body)
            shown = .sessionEnd(end)
        case .checkpoint(let checkpoint, let state):
            type = .checkpoint
            time = checkpoint.timestamp
            checkpoint.encode(to: &body)
            let (method, stored) = StateCompressor.compress(state, settings: settings)
            subBlocks = [.init(method: method, rawBytes: state.count, stored: stored)]
            shown = .checkpoint(
                checkpoint,
                state: SubBlockDirectoryEntry(
                    eventCount: 0, rawBytes: UInt32(state.count), storedBytes: UInt32(stored.count),
                    method: method,
                    checksum: 0))
        case .ledger(let records):
            type = .ledger
            time = nil
            body.put(records)
            shown = .ledger(records)
        case .kinds:
            // It is no block of its own: its kinds come before the next one anyway, only now.
            try makeRoom(for: BlockHeader.byteCount)
            try writeKinds(item.position, durable)
            finishWrite()
            return catalog.update(item: item.number) { _ in }
        }
        try makeRoom(
            for: BlockHeader.byteCount + body.count + 32 + subBlocks.reduce(0) { $0 + $1.stored.count })
        retained = retention.add(item)
        var header = blockHeader(type, item.position, durable)
        // A ledger block's time is that of its writing.
        header.minTimestamp = time ?? header.writtenAt
        header.maxTimestamp = header.minTimestamp
        let (stored, bytes) = ControlBlock.assemble(header, record: body.bytes, subBlocks: subBlocks)
        let place = offset
        try bytes.withBytes { bytes throws(IOFailure) in try put(bytes) }
        sessionsBegun = item.position.sessionsBegun
        checkpointsMade = item.position.checkpointsMade
        switch record {
        case .sessionBegin(let begin): session = begin
        case .sessionEnd: session = nil
        case .checkpoint: session?.flags.insert(.used)
        case .ledger, .kinds: break
        }
        finishWrite()
        catalog.update(item: item.number) { $0.add(control: stored, at: place, shown) }
    }

    private func blockHeader(_ type: BlockType, _ position: LogPosition, _ durable: Watermark?) -> BlockHeader
    {
        var header = BlockHeader(type: type)
        place(&header, position, durable)
        header.minTimestamp = header.writtenAt
        header.maxTimestamp = header.writtenAt
        return header
    }

    /// Says in a header where its block stands: in the segment, and in the log.
    private func place(_ header: inout BlockHeader, _ position: LogPosition, _ durable: Watermark?) {
        header.segment = self.header?.segment ?? .zero
        header.number = blockNumber
        header.firstSequence = position.nextSequence
        header.epoch = position.epoch
        header.sessionOrdinal = position.sessionOrdinal
        if !header.flags.contains(.explicitIndices) { header.firstIndex = position.nextIndex }
        header.sessionsBegun = position.sessionsBegun
        header.checkpointsMade = position.checkpointsMade
        header.writtenAt = fileSystem.now()
        header.kindCount = UInt32(kindsWritten)
        header.headSequence = retained.headSequence
        header.headCheckpoint = retained.headCheckpoint
        header.durableSegment = durable?.segment ?? 0
        header.durableOffset = durable?.offset ?? 0
    }

    private func writeKinds(_ position: LogPosition, _ durable: Watermark?) throws(IOFailure) {
        let definitions = kinds.definitions(from: kindsWritten)
        guard !definitions.isEmpty else { return }
        kindsWritten += definitions.count
        var body = ByteWriter()
        body.put(definitions)
        do throws(IOFailure) {
            try writeOwn(.kinds, body.bytes, [], .kinds(definitions), position, durable)
        } catch {
            kindsWritten -= definitions.count
            throw error
        }
    }

    private func write(
        dictionary: CompressionDictionary, _ position: LogPosition, _ durable: Watermark?
    ) throws(IOFailure) {
        let (copies, shown) = ControlBlock.parts(ofDictionary: dictionary.bytes)
        try writeOwn(.dictionary, [], copies, shown, position, durable)
        self.dictionary = dictionary
        catalog.update(item: nil) { $0.dictionary = dictionary.bytes }
    }

    /// Writes a block that is no item: it comes before the one that needs it.
    private func writeOwn(
        _ type: BlockType, _ record: [UInt8], _ subBlocks: [ControlBlock.SubBlock],
        _ shown: ControlBlock.Record,
        _ position: LogPosition, _ durable: Watermark?
    ) throws(IOFailure) {
        var header = blockHeader(type, position, durable)
        header.sessionsBegun = sessionsBegun
        header.checkpointsMade = checkpointsMade
        try putOwn(ControlBlock.assemble(header, record: record, subBlocks: subBlocks), shown)
    }

    /// Puts a block that is no item, and shows it in the catalog.
    private func putOwn(
        _ block: (header: BlockHeader, bytes: [UInt8]), _ shown: ControlBlock.Record
    ) throws(IOFailure) {
        let place = offset
        try block.bytes.withBytes { bytes throws(IOFailure) in try put(bytes) }
        catalog.update(item: nil) { $0.add(control: block.header, at: place, shown) }
    }

    /// Writes a block at the end. After a failure the segment is torn and must be abandoned.
    private func put(_ bytes: UnsafeRawBufferPointer) throws(IOFailure) {
        guard let file else { return }
        isTorn = true
        try file.write(bytes, at: offset)
        isTorn = false
        offset += UInt64(bytes.count)
        blockNumber += 1
        writeZeros(in: file)
    }

    /// Lets the blocks that follow overwrite what the file has already: then a sync has no metadata to write. It comes after the block,
    /// and nothing is dropped for it: what keeps zeros from being written keeps nothing else.
    private func writeZeros(in file: any File) {
        guard zeroEnd <= offset, offset >= zerosFrom, offset < options.segmentBytes else { return }
        let count = min(max(16 << 10, offset / 4 & ~4095), 1 << 20, (options.segmentBytes - offset) & ~7)
        // The index of the blocks in them takes less than they do.
        guard reclaimer.hasRoom(for: 2 * count + SegmentWriter.spareBytes) else {
            // To ask at each block costs something, too.
            zerosFrom = offset + (64 << 10)
            return
        }
        do throws(IOFailure) {
            try [UInt8](repeating: 0, count: Int(count)).withBytes { zeros throws(IOFailure) in
                try file.write(zeros, at: offset)
            }
            zeroEnd = offset + count
        } catch {
            zerosFrom = .max
            zeroEnd = (try? file.size()) ?? offset + count
        }
    }

    /// Makes the zeros that are left a block, so that the footer ends where the file does. Where they are fewer than a block takes, the
    /// footer reaches beyond them.
    private func fillZeros() throws(IOFailure) {
        let length = zeroEnd > offset ? Int(zeroEnd - offset + 7) & ~7 : 0
        guard length >= BlockHeader.byteCount else { return }
        let position = LogPosition(
            epoch: epoch, nextSequence: nextSequence, sessionOrdinal: session?.ordinal ?? 0,
            nextIndex: session?.firstIndex ?? 0, sessionsBegun: sessionsBegun,
            checkpointsMade: checkpointsMade)
        let header = blockHeader(.padding, position, nil)
        zerosFrom = .max
        try putOwn(ControlBlock.padding(header, length: length), .padding)
        // What comes after is durable only once this is.
        if !Safeguard.paddingSync.isLeftOut { finishWrite() }
    }

    private func finishWrite() {
        monitor.withLock {
            written = DurablePoint(
                place: Watermark(segment: ordinal, offset: offset), nextSequence: nextSequence,
                retained: retained)
            if let file, !dirty.contains(where: { $0.file === file }) { dirty.append((ordinal, file)) }
        }
    }

    // MARK: Segments

    /// Makes sure that there is an active segment with room for a block.
    private func makeRoom(for byteCount: Int) throws(IOFailure) {
        if file != nil {
            let isFull =
                offset + UInt64(byteCount) > options.segmentBytes
                || Int(blockNumber) + 4 > options.segmentBlocksMax
            if blockNumber > 0, isFull || isOld || catalog.activeControlBytes > 16 << 20 {
                // At most one complete segment waits for its footer: recovery relies on it.
                _ = try sealRetired()
                try finishActive()
            }
        }
        // Zeros have their room already.
        let zeros = file != nil && zeroEnd > offset ? zeroEnd - offset : 0
        let need = UInt64(byteCount) - min(UInt64(byteCount), zeros) + SegmentWriter.spareBytes
        if !reclaimer.hasRoom(for: need) {
            // While a footer is being written and synced it counts twice: as a file's bytes, and as what is still to come.
            sealing.lock()
            defer { sealing.unlock() }
            try reclaimer.makeRoom(for: need, path: file?.path ?? directory)
        }
        if file == nil { try openActive() }
    }

    private var isOld: Bool {
        options.segmentAgeNanoseconds.map { fileSystem.monotonic() &- openedAt >= $0 } ?? false
    }

    /// Whether the active segment is to be ended because it is too old. The caller holds the writer role, or nobody does.
    var isAged: Bool {
        // At most one complete segment waits for its footer.
        file != nil && blockNumber > 0 && isOld && !hasRetired
    }

    /// A new file for a segment. Where somebody has put something else under its name, the next ordinal serves as well.
    private func create(_ header: inout SegmentHeader) throws(IOFailure) -> any File {
        var attempts = 0
        while true {
            do throws(IOFailure) {
                return try fileSystem.open(directory + "/" + header.fileName, .createExclusive)
            } catch {
                attempts += 1
                guard error.isExisting, attempts < 1000 else { throw error }
                header.ordinal += 1
            }
        }
    }

    /// Starts a segment. The file and the directory are synced before anything in it is acknowledged.
    func openActive() throws(IOFailure) {
        guard file == nil else { return }
        try reclaimer.leaveFree(path: directory)
        var fresh = SegmentHeader(
            store: store, segment: try fileSystem.freshID(for: directory), ordinal: ordinal + 1, epoch: epoch,
            createdAt: fileSystem.now(),
            settings: settings)
        fresh.predecessor = predecessor.segment
        fresh.predecessorLength = predecessor.length
        fresh.digestAlgorithm = 1
        fresh.baseSequence = nextSequence
        fresh.sessionsBegun = sessionsBegun
        fresh.checkpointsMade = checkpointsMade
        fresh.kinds = kinds.definitions()
        fresh.session = session
        fresh.session?.flags.insert(.continued)
        retention.standing.put(into: &fresh)
        let made = try create(&fresh)
        let bytes = fresh.encode()
        do throws(IOFailure) {
            try made.write(bytes, at: 0)
        } catch {
            // Nothing in it was shown to anybody.
            made.close()
            try? fileSystem.unlink(directory + "/" + fresh.fileName)
            throw error
        }
        file = made
        header = fresh
        ordinal = fresh.ordinal
        offset = UInt64(bytes.count)
        blockNumber = 0
        kindsWritten = fresh.kinds?.count ?? 0
        zeroEnd = 0
        zerosFrom = options.durability == .synced ? 0 : .max
        dictionary = nil
        openedAt = fileSystem.monotonic()
        monitor.withLock {
            directoryIsDirty = true
            dirty.append((ordinal, made))
        }
        catalog.begin(made, SegmentIndex(header: fresh, headerBytes: UInt64(bytes.count)))
    }

    /// Ends the active segment: the background thread seals it. Where that fails the segment is given up.
    func finishActive() throws(IOFailure) {
        guard let header else { return }
        if isTorn { return abandonActive() }
        do throws(IOFailure) {
            try fillZeros()
        } catch {
            abandonActive()
            throw error
        }
        predecessor = (header.segment, offset)
        file = nil
        self.header = nil
        guard let segment = catalog.retireActive() else { return }
        monitor.withLock { retired.append(segment) }
    }

    /// The log's last segment was written anew as another one, with none after it. The caller holds the writer role.
    func follow(_ segment: SegmentSummary) {
        guard file == nil else { return }
        predecessor = (segment.segment, segment.dataBytes)
    }

    /// Gives the active segment up after a failed write: what was written before stays valid, and the next segment's
    /// header says how far.
    func abandonActive() {
        guard let header, isTorn else { return }
        isTorn = false
        predecessor = (header.segment, offset)
        file = nil
        self.header = nil
        // Its end is torn: it is resealed as a copy of its valid bytes.
        _ = catalog.retireActive()
    }

    // MARK: Syncing

    /// What a sync that starts now makes durable.
    func beginSync() -> SyncPass {
        monitor.withLock {
            let pass = SyncPass(files: dirty.map(\.file), syncsDirectory: directoryIsDirty, point: written)
            beingSynced = dirty
            dirty = []
            directoryIsDirty = false
            return pass
        }
    }

    /// Syncs the files in the order of the log, then the directory.
    func carryOut(_ pass: SyncPass) throws(IOFailure) {
        for file in pass.files where !Safeguard.segmentSync.isLeftOut {
            try sync { () throws(IOFailure) in try file.sync() }
        }
        if pass.syncsDirectory, !Safeguard.segmentNameSync.isLeftOut {
            try sync { () throws(IOFailure) in try fileSystem.syncDirectory(directory) }
        }
        monitor.withLock { beingSynced = [] }
    }

    /// The one gate to syncs: after the first that fails there is no other, since the page cache can't be believed then.
    private func sync(_ body: () throws(IOFailure) -> Void) throws(IOFailure) {
        syncGate.lock()
        defer { syncGate.unlock() }
        if let syncFailure { throw syncFailure }
        do throws(IOFailure) {
            try body()
        } catch {
            syncFailure = error
            throw error
        }
    }

    /// Whether a segment waits to be sealed.
    var hasRetired: Bool { monitor.withLock { !retired.isEmpty } }

    /// Whether somebody seals segments, or makes room: that may take a while.
    var isSealing: Bool { sealing.isTaken }

    /// Seals the segments that are complete: sync, footer, sync. Returns what was sealed, or throws the failure of a sync.
    func sealRetired() throws(IOFailure) -> [SegmentSummary] {
        sealing.lock()
        defer { sealing.unlock() }
        var sealed: [SegmentSummary] = []
        while let segment = monitor.withLock({ retired.first }) {
            try seal(segment)
            monitor.withLock { _ = retired.removeFirst() }
            sealed.append(segment.index.summary)
        }
        return sealed
    }

    private func seal(_ segment: OpenSegment) throws(IOFailure) {
        // A footer proves all segments before its own, which may have been given up without one, and that all of them have names.
        let ordinal = segment.index.header.ordinal
        let earlier = monitor.withLock { (beingSynced + dirty).filter { $0.ordinal < ordinal } }
        for (_, file) in earlier where !Safeguard.earlierSegmentSync.isLeftOut {
            try sync { () throws(IOFailure) in try file.sync() }
        }
        if !Safeguard.sealedNamesSync.isLeftOut {
            try sync { () throws(IOFailure) in try fileSystem.syncDirectory(directory) }
        }
        let (trailer, summary) = try segment.index.seal(segment.file, at: fileSystem.now()) {
            file throws(IOFailure) in
            try sync { () throws(IOFailure) in try file.sync() }
        }
        catalog.replace(
            [segment.index.header.ordinal],
            with: SegmentHandle(
                directory: directory, fileName: String(segment.file.path.dropFirst(directory.count + 1)),
                trailer: trailer, summary: summary, fileSystem: fileSystem))
    }
}

extension ControlBlock {
    /// What the block of a dictionary holds: the dictionary, twice.
    static func parts(ofDictionary bytes: [UInt8]) -> (copies: [SubBlock], shown: Record) {
        let copy = SubBlock(method: .raw, rawBytes: bytes.count, stored: bytes)
        let count = UInt32(bytes.count)
        let entry = SubBlockDirectoryEntry(
            eventCount: 0, rawBytes: count, storedBytes: count, method: .raw, checksum: 0)
        return ([copy, copy], .dictionary(entry, copy: entry))
    }
}

extension [UInt8] {
    /// Like `withUnsafeBytes`, for bodies that throw typed errors.
    func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        let result: Result<R, E> = withUnsafeBytes { bytes in
            do throws(E) { return .success(try body(bytes)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}
