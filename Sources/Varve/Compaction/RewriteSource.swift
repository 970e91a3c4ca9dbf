internal import VarveFormat
internal import VarveIO

/// A sealed segment as compaction reads it: block after block, each part verified before it is used, by plain reads of the file, so that
/// nothing that was checked can change afterwards. One thread at a time.
final class RewriteSource {
    /// Rows of one sub-block that follow each other.
    struct Run {
        var subBlock: Int
        var rows: Range<Int>
        /// Where their payloads start in the sub-block, and how many bytes they are.
        var offset: Int
        var byteCount: Int
    }

    let index: SegmentIndex
    /// What stands for each kind in a `ContentDigest`.
    let kindIdentities: [UInt32]
    let footer: Footer
    let file: any File
    private let segment: LoadedSegment
    let columns = EventColumns()
    private let buffer = SubBlockBuffer()
    private let scratch = ScratchBuffer()
    // The block that was read last.
    private var entry: BlockIndexEntry?
    private var bytes = UnsafeRawBufferPointer(start: nil, count: 0)
    private var decoded: (number: Int, payload: UnsafeRawPointer)?
    // What the blocks say, to be held against what the footer says.
    private var rebuilt: SegmentIndex
    private var blocksRead = 0
    private var tally: [(events: UInt64, bytes: UInt64)]

    /// Opens a segment: its header and its footer must be as they were written, since what stands only in them is copied.
    init(_ handle: SegmentHandle, _ fileSystem: any FileSystem) throws(StoreError) {
        do throws(IOFailure) {
            file = try fileSystem.open(handle.path, .read)
            let size = try file.size()
            guard size == handle.trailer.fileLength else {
                throw IOFailure(.read, path: handle.path, code: 5)
            }
        } catch {
            throw .reading(error)
        }
        let (header, headerBytes) = try handle.readHeader(of: file)
        footer = try handle.readFooter(of: file, leavingOutFilters: true)
        index = SegmentIndex(header: header, headerBytes: headerBytes, footer: footer)
        kindIdentities = index.kinds.map { ContentDigest.identity(of: $0.definition) }
        segment = LoadedSegment(index: index, file: file, region: nil)
        rebuilt = SegmentIndex(header: header, headerBytes: headerBytes)
        tally = Array(repeating: (0, 0), count: index.kinds.count)
        guard OpenSegment(file: file, index: index).isContiguous,
            index.entries.last.map({ $0.offset + UInt64($0.length) }) ?? headerBytes == index.dataEnd
        else { throw damaged(headerBytes, "its index leaves bytes out") }
    }

    func close() { file.close() }

    private func damaged(_ offset: UInt64, _ reason: String) -> StoreError {
        .damaged(file: file.path, offset: offset, reason: reason)
    }

    private func decoding<R>(_ body: () throws(FormatError) -> R) throws(StoreError) -> R {
        do throws(FormatError) { return try body() } catch {
            throw .decoding(error, file: file.path, offset: entry?.offset ?? 0)
        }
    }

    // MARK: Blocks

    private func read(_ number: Int) throws(StoreError) -> (BlockHeader, UnsafeRawBufferPointer) {
        let entry = index.entries[number]
        self.entry = entry
        decoded = nil
        bytes = try segment.bytes(at: entry.offset, count: Int(entry.length), scratch)
        return try decoding { () throws(FormatError) in
            let (header, small) = try segment.verified(bytes, entry)
            guard header.number == UInt32(number), header.kindCount <= index.kinds.count else {
                throw .invalid("a block", reason: "its header contradicts the index")
            }
            return (header, small)
        }
    }

    /// Reads a block of events: its columns, and no payload yet.
    func loadEvents(_ number: Int) throws(StoreError) -> BlockHeader {
        let (header, small) = try read(number)
        try decoding { () throws(FormatError) in
            try columns.load(small, of: header)
            guard columns.haveTimesAndIndex(of: header) else {
                throw .invalid("an events block", reason: "its header contradicts its columns")
            }
        }
        return header
    }

    /// Holds the block of events that was loaded last against the footer; once for each, in order.
    func count(_ header: BlockHeader, at offset: UInt64) {
        var kinds: [UInt32] = []
        for row in 0..<columns.count {
            // Below the header's count of kinds, which is no higher than the index's.
            let kind = columns.kinds[row]
            if tally[Int(kind)].events == 0 { kinds.append(kind) }
            tally[Int(kind)].events += 1
            tally[Int(kind)].bytes += UInt64(columns.lengths[row])
        }
        let counts = kinds.sorted().map { kind in
            (kind: kind, events: tally[Int(kind)].events, bytes: tally[Int(kind)].bytes)
        }
        for kind in kinds { tally[Int(kind)] = (0, 0) }
        rebuilt.add(events: header, at: offset, tally: counts, nextIndex: columns.nextIndex(of: header))
        blocksRead += 1
    }

    /// The rows of the loaded block that are in the ranges, by sub-blocks. O(rows).
    func runs(_ header: BlockHeader, _ parts: [Range<UInt64>]) -> [Run] {
        var runs: [Run] = []
        for number in 0..<columns.subBlockCount {
            let subBlock = columns.subBlock(number)
            let end = subBlock.firstRow + subBlock.eventCount
            var (row, offset) = (subBlock.firstRow, 0)
            for part in parts {
                // The parts lie within the block's numbers, of which there are at most 65,536.
                let low = max(Int(part.lowerBound - header.firstSequence), subBlock.firstRow)
                let high = min(Int(part.upperBound - header.firstSequence), end)
                guard low < high else { continue }
                while row < low {
                    offset += Int(columns.lengths[row])
                    row += 1
                }
                let start = offset
                while row < high {
                    offset += Int(columns.lengths[row])
                    row += 1
                }
                runs.append(Run(subBlock: number, rows: low..<high, offset: start, byteCount: offset - start))
            }
        }
        return runs
    }

    /// The payloads of a sub-block of the loaded block, verified and decompressed. Valid until another one is asked for.
    func payload(ofSubBlock number: Int) throws(StoreError) -> UnsafeRawPointer {
        if let decoded, decoded.number == number { return decoded.payload }
        let part = columns.subBlock(number)
        let start = BlockHeader.byteCount + part.offset
        // The lengths of the sub-blocks add up to the body's: checked when the columns were loaded.
        let stored = UnsafeRawBufferPointer(rebasing: bytes[start..<start + part.storedBytes])
        let block = UInt32(
            littleEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt32.self))
        let payload = try decoding { () throws(FormatError) in
            try ControlBlock.verifySubBlock(
                stored, number, checksum: part.checksum, segment: index.header.segment, block: block)
            return try buffer.decode(
                stored: stored, method: part.method, rawBytes: part.rawBytes, wanted: part.rawBytes,
                dictionary: segment.dictionary, dictionaryIdentity: segment.identity)
        }
        decoded = (number, payload)
        return payload
    }

    /// Reads a block of another type.
    func control(_ number: Int) throws(StoreError) -> (header: BlockHeader, record: ControlBlock.Record) {
        let (header, small) = try read(number)
        let record = try decoding { () throws(FormatError) in try ControlBlock.decode(small, of: header) }
        rebuilt.add(control: header, at: index.entries[number].offset, record)
        blocksRead += 1
        return (header, record)
    }

    /// The state of the checkpoint whose block was read last.
    func state(_ header: BlockHeader, _ entry: SubBlockDirectoryEntry) throws(StoreError) -> [UInt8] {
        let start = BlockHeader.byteCount + Int(header.smallLength)
        let stored = UnsafeRawBufferPointer(rebasing: bytes[start..<start + Int(entry.storedBytes)])
        return try decoding { () throws(FormatError) in
            try ControlBlock.verifySubBlock(
                stored, 0, checksum: entry.checksum, segment: index.header.segment, block: header.number)
            return try LZ4Block.decompress(
                stored, method: entry.method, rawBytes: Int(entry.rawBytes), dictionary: segment.dictionary)
        }
    }

    /// Throws when the blocks that were read are not those that the footer tells of: by good checksums nothing rules that out. Blocks
    /// that were not read have nothing in them that is kept, so of their figures nothing is asked.
    func checkFooter() throws(StoreError) {
        let agrees: Bool
        if blocksRead == index.entries.count {
            agrees = rebuilt.footer(beside: footer) == footer
        } else {
            // Its number in the rebuilt index is not its number in the file when one before it was left out.
            agrees =
                rebuilt.ledger == index.ledger
                && rebuilt.checkpoints.map(\.record) == index.checkpoints.map(\.record)
                && rebuilt.kinds.map(\.definition) == index.kinds.map(\.definition)
                && rebuilt.sessions.map(\.begin) == index.sessions.map(\.begin)
                && rebuilt.sessions.map(\.state) == index.sessions.map(\.state)
        }
        guard agrees else { throw damaged(index.dataEnd, "its footer contradicts its blocks") }
    }
}
