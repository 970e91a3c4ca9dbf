internal import VarveFormat
internal import VarveIO

/// A segment file as repair reads it: every block whose header and small part are whole, with the rows that can be read.
struct RepairSource {
    struct Block {
        let header: BlockHeader
        let offset: UInt64
        /// nil: it holds events.
        let record: ControlBlock.Record?
        /// Rows that can be read, ascending; those of one whole sub-block or of several in a row.
        let runs: [Range<Int>]
        /// Index after its last event.
        let nextIndex: UInt64
        /// Whether a reader of the store would look at it.
        var isInLog = false

        var end: UInt64 { offset + UInt64(header.blockLength) }
        var events: UInt64 { UInt64(header.eventCount) }
    }

    let fileName: String
    let file: any File
    let byteCount: UInt64
    let segment: UniqueID
    let ordinal: UInt64
    let generation: UInt32
    /// nil: it can't be read.
    let header: SegmentHeader?
    /// nil: there is none that can be read.
    let footer: Footer?
    /// Where blocks start and end, at the latest.
    let range: Range<UInt64>
    private(set) var blocks: [Block] = []
    /// What can't be read, and where.
    private(set) var damage: [Damage] = []
    /// Bytes between blocks, or after the last, that are no block.
    private(set) var unreadable: [UnreadableRange] = []
    private(set) var dictionary: [UInt8]?
    /// By id; nil where the definition can't be read.
    var kinds: [KindDefinition?] = []

    init(
        _ found: SegmentFile, segment: UniqueID, ordinal: UInt64, footer: Footer?
    ) {
        fileName = found.fileName
        file = found.file
        byteCount = found.byteCount
        self.segment = segment
        self.ordinal = ordinal
        generation = found.header?.generation ?? found.summary?.generation ?? 0
        header = found.header
        self.footer = footer
        let end = found.trailer?.footerOffset ?? byteCount
        range = min(found.header == nil ? 0 : found.headerBytes, end)..<end
    }

    /// The opening that the segment was started in.
    var epoch: UInt64 { header?.epoch ?? footer?.summary.firstEpoch ?? blocks.first?.header.epoch ?? 1 }

    /// Reads all blocks. `limit` is where the log ends in this file; 0: none of it is in the log. O(bytes).
    mutating func read(limit: UInt64) {
        let reader = RepairReader(file: file, segment: segment)
        var offset = range.lowerBound
        var number: UInt32?
        while offset < range.upperBound {
            guard let header = reader.header(at: offset, end: range.upperBound, after: number) else {
                if reader.isZero(offset..<range.upperBound) { break }
                let next = reader.nextHeader(from: offset + 1, end: range.upperBound, after: number)
                // Where the segment's own header can't be read, what comes first is that.
                let isHeader = header == nil && blocks.isEmpty && offset == 0
                addUnreadable(offset..<(next?.offset ?? range.upperBound), isHeader: isHeader)
                guard let next else { break }
                offset = next.offset
                continue
            }
            number = header.number
            let (block, found) = reader.examine(header, at: offset, end: range.upperBound)
            for (rows, reason) in found {
                let sequences = rows.map { rows in
                    header.firstSequence + UInt64(rows.lowerBound)...header.firstSequence
                        + UInt64(rows.upperBound) - 1
                }
                damage.append(
                    Damage(file: file.path, offset: offset, sequences: sequences, reason: reason))
            }
            if var block {
                block.isInLog = block.end <= limit
                blocks.append(block)
            }
            let end = offset + UInt64(header.blockLength)
            // A damaged block may not be as long as its header says: bytes may be missing from it.
            let next =
                found.isEmpty
                ? nil : reader.nextHeader(from: offset + 8, end: min(end, range.upperBound), after: number)
            offset = next?.offset ?? end
        }
        dictionary = reader.dictionary
        collectKinds()
    }

    private mutating func addUnreadable(_ bytes: Range<UInt64>, isHeader: Bool) {
        let reason = isHeader ? "the segment's header can't be read" : "no block can be read there"
        unreadable.append(UnreadableRange(range: bytes, reason: reason))
    }

    /// The damage that the bytes which are no block stand for: the numbers between their neighbours are lost with them.
    mutating func addDamageBetweenBlocks(after base: UInt64) {
        for hole in unreadable {
            let before = blocks.last { $0.offset < hole.range.lowerBound }?.header.nextSequence ?? base
            let after =
                blocks.first { $0.offset >= hole.range.upperBound }?.header.firstSequence
                ?? footer?.summary.nextSequence ?? before
            damage.append(
                Damage(
                    file: file.path, offset: hole.range.lowerBound,
                    sequences: after > before ? before...after - 1 : nil, reason: hole.reason))
        }
        damage.sort { $0.offset < $1.offset }
    }

    private mutating func collectKinds() {
        if let footer {
            kinds = footer.kinds.map(\.definition)
            return
        }
        kinds = header?.kinds ?? []
        for block in blocks {
            guard case .kinds(let definitions) = block.record else { continue }
            let first = Int(block.header.kindCount) - definitions.count
            guard first >= 0 else { continue }
            while kinds.count < Int(block.header.kindCount) { kinds.append(nil) }
            for (position, definition) in definitions.enumerated() { kinds[first + position] = definition }
        }
    }

    /// Events whose kind nobody knows can't be told from others: they are lost.
    mutating func loseBlocksOfUnknownKinds() {
        blocks = blocks.map { block in
            guard block.record == nil, !block.runs.isEmpty, !knowsKinds(of: block) else { return block }
            damage.append(
                Damage(
                    file: file.path, offset: block.offset,
                    sequences: block.header.firstSequence...block.header.nextSequence - 1,
                    reason: "the kinds of its events can't be read"))
            return Block(
                header: block.header, offset: block.offset, record: nil, runs: [],
                nextIndex: block.nextIndex, isInLog: block.isInLog)
        }
    }

    /// Whether the name of every kind in the block is known.
    private func knowsKinds(of block: Block) -> Bool {
        if block.header.kindCount <= kinds.count, !kinds.contains(where: { $0 == nil }) { return true }
        if block.header.flags.contains(.manyKinds) {
            return block.header.kindCount <= kinds.count
                && kinds[..<Int(block.header.kindCount)].allSatisfy { $0 != nil }
        }
        return (0..<64).allSatisfy {
            block.header.kindSet >> UInt64($0) & 1 == 0 || $0 < kinds.count && kinds[$0] != nil
        }
    }

    /// What the file says of sessions: its footer, or the blocks that are in the log or beyond it.
    func sessions(inLog: Bool) -> [SessionSummary] {
        if inLog, let footer { return footer.sessions }
        let shown =
            header
            ?? SegmentHeader(
                store: .zero, segment: segment, ordinal: 1, epoch: 1, createdAt: 0,
                settings: EncodingSettings(blockBytes: 0, subBlockBytes: 0, level: 0))
        var index = SegmentIndex(header: shown, headerBytes: 0)
        for block in blocks where block.isInLog == inLog {
            if let record = block.record {
                index.add(control: block.header, at: block.offset, record)
            } else {
                index.add(events: block.header, at: block.offset, tally: [], nextIndex: block.nextIndex)
            }
        }
        return index.sessions + (inLog ? [] : footer?.sessions ?? [])
    }
}

/// A segment's file with what its two ends say, as far as they can be read.
struct SegmentFile {
    let fileName: String
    let file: any File
    let byteCount: UInt64
    let trailer: Trailer?
    let summary: SegmentSummary?
    let header: SegmentHeader?
    let headerBytes: UInt64

    init(directory: String, fileName: String, fileSystem: any FileSystem) throws(IOFailure) {
        self.fileName = fileName
        file = try fileSystem.open(directory + "/" + fileName, .read)
        byteCount = try file.size()
        let endCount = Int(min(byteCount, 4096))
        let end = try? file.read(at: byteCount - UInt64(endCount), count: endCount)
        let length = byteCount
        let located = end.flatMap { end in
            try? end.withBytes { bytes throws(FormatError) in
                try SegmentSummary.locate(inLast: bytes, fileLength: length)
            }
        }
        trailer = located?.trailer
        summary = located?.summary
        var found = try? readSegmentHeader(of: file, length: byteCount)
        // A header of another segment than the footer's is as good as none.
        if let read = found?.header, let summary,
            read.segment != summary.segment || read.store != summary.store || read.ordinal != summary.ordinal
        {
            found = nil
        }
        header = found?.header
        headerBytes = found?.byteCount ?? 0
    }

    /// The store that it says it belongs to.
    var store: UniqueID? { header?.store ?? summary?.store }

    /// The footer, where it can be read.
    func footer() -> Footer? {
        guard let trailer, let count = Int(exactly: trailer.footerLength),
            let bytes = try? file.read(at: trailer.footerOffset, count: count)
        else { return nil }
        return try? bytes.withBytes { bytes throws(FormatError) in
            try Footer(decoding: bytes, trailer: trailer)
        }
    }
}
