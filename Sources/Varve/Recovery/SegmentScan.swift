internal import VarveFormat
internal import VarveIO

/// A block that a scan has read whole.
struct ScannedBlock: Sendable {
    let header: BlockHeader
    let offset: UInt64
    let record: ControlBlock.Record?
    let tally: [(kind: UInt32, events: UInt64, bytes: UInt64)]
    let nextIndex: UInt64

    var end: UInt64 { offset + UInt64(header.blockLength) }
}

/// Bytes between two blocks, or after the last, that are no block.
struct UnreadableRange: Hashable, Sendable {
    var range: Range<UInt64>
    let reason: String
    /// The file ends before the block does, or has only zeros from somewhere in it on, as after a kill in the middle of a write.
    var isCutShort = false
    /// It starts with a block's header, and the block lies in the file: parts of it may be readable.
    var startsWithBlock = false
}

/// What a scan found in a segment without a footer. O(bytes).
struct SegmentScan: Sendable {
    let fileName: String
    let file: any File
    let header: SegmentHeader
    let headerBytes: UInt64
    private(set) var blocks: [ScannedBlock] = []
    /// Ascending; a torn end is the last one.
    private(set) var unreadable: [UnreadableRange] = []
    /// Where the scan ended, at the latest.
    private(set) var end: UInt64
    /// Why the system did not let it read on. What comes after is unknown: a writer must not take it for the log's end.
    private(set) var failure: IOFailure?
    /// The segment's dictionary, as it was verified; nil: none was read.
    private(set) var dictionary: [UInt8]?
    /// Zeros behind the last block, up to the end: blocks that are added overwrite them.
    private(set) var zeros: Range<UInt64>?

    /// A segment that is yet to be scanned.
    init(fileName: String, file: any File, header: SegmentHeader, headerBytes: UInt64) {
        self.fileName = fileName
        self.file = file
        self.header = header
        self.headerBytes = headerBytes
        end = headerBytes
    }

    /// Scans up to `limit` (nil: the end of the file). Every checksum is verified.
    mutating func run(upTo limit: UInt64? = nil) throws(IOFailure) {
        try run(upTo: limit, after: [], dictionary: nil)
    }

    /// Scans on where an earlier scan of the same segment, one with the same header, met what it could not read, or ended: blocks are only
    /// added. Scans it all where the last block known is not there any more. O(bytes since).
    mutating func run(upTo limit: UInt64? = nil, goingOnFrom earlier: SegmentScan) throws(IOFailure) {
        let readable = earlier.unreadable.first?.range.lowerBound ?? .max
        let known = earlier.blocks.prefix { $0.end <= readable }
        let hasDictionary = known.contains { $0.header.type == .dictionary }
        if let last = known.last, last.end <= limit ?? .max, try isThere(last) {
            try run(
                upTo: limit, after: Array(known), dictionary: hasDictionary ? earlier.dictionary : nil,
                zeros: earlier.zeros)
        } else {
            try run(upTo: limit)
        }
    }

    /// Whether a block's header stands where it was.
    private func isThere(_ block: ScannedBlock) throws(IOFailure) -> Bool {
        let bytes = try file.read(at: block.offset, count: BlockHeader.byteCount)
        guard bytes.count == BlockHeader.byteCount, try file.size() >= block.end else { return false }
        return bytes.withUnsafeBytes {
            (try? BlockHeader(decoding: $0, segment: header.segment, number: block.header.number))
                == block.header
        }
    }

    /// Whether something stands where zeros stood: a block was added, although the file did not grow.
    var hasMore: Bool {
        guard let zeros else { return false }
        return (try? file.read(at: zeros.lowerBound, count: 8))?.contains { $0 != 0 } ?? true
    }

    /// Whether what it ends with is no block, or none yet: it may have been read while it was being written.
    var endsInHole: Bool {
        unreadable.last.map { $0.range.lowerBound >= blocks.last?.end ?? headerBytes } ?? false
    }

    private mutating func run(
        upTo limit: UInt64?, after known: [ScannedBlock], dictionary: [UInt8]?,
        zeros earlier: Range<UInt64>? = nil
    ) throws(IOFailure) {
        blocks = known
        unreadable = []
        failure = nil
        zeros = nil
        end = min(try file.size(), limit ?? .max)
        var kindCount = header.kinds?.count ?? 0
        for block in known {
            if case .kinds? = block.record { kindCount = Int(block.header.kindCount) }
        }
        let reader = BlockReader(
            file: file, segment: header.segment, kindCount: kindCount, dictionary: dictionary)
        defer { self.dictionary = reader.dictionary }
        var offset = known.last?.end ?? headerBytes
        // Where a block was read again because the next one is there.
        var again: UInt64?
        while offset < end {
            do throws(FormatError) {
                let block = try reader.read(
                    at: offset, end: end, number: unreadable.isEmpty ? UInt32(blocks.count) : nil)
                blocks.append(block)
                offset = block.end
            } catch {
                if let failure = reader.failure {
                    self.failure = failure
                    unreadable.append(
                        UnreadableRange(range: offset..<end, reason: failure.reason))
                    break
                }
                // Zeros that were seen are overwritten in order.
                let isSeen = earlier.map { $0.upperBound == end && $0.contains(offset) } ?? false
                if try reader.isZero(offset..<(isSeen ? min(offset + 512, end) : end)) {
                    zeros = offset..<end
                    break
                }
                let next = try reader.nextBlock(after: offset, end: end, number: blocks.last?.header.number)
                // It may have been read while it was being written: once the next one is there, it is whole.
                if next != nil, again != offset {
                    again = offset
                    continue
                }
                var hole = UnreadableRange(range: offset..<(next ?? end), reason: error.description)
                if next == nil {
                    // Zeros at the file's end were written ahead.
                    hole.range = offset..<(try reader.contentEnd(hole.range))
                    hole.isCutShort = reader.isCutShort(hole.range, end: end)
                }
                hole.startsWithBlock = reader.hasBlock(at: offset, end: end)
                unreadable.append(hole)
                offset = next ?? end
            }
        }
    }

    /// The index of the blocks before `end`.
    func index(upTo end: UInt64 = .max) -> SegmentIndex {
        var index = SegmentIndex(header: header, headerBytes: headerBytes)
        for block in blocks where block.end <= end { index.add(block) }
        // So that nobody reads it again.
        if index.dictionaryEntry != nil { index.dictionary = dictionary }
        return index
    }
}

extension SegmentIndex {
    /// Adds a block that a scan has read.
    mutating func add(_ block: ScannedBlock) {
        if let record = block.record {
            add(control: block.header, at: block.offset, record)
        } else {
            add(events: block.header, at: block.offset, tally: block.tally, nextIndex: block.nextIndex)
        }
    }
}

/// Reads whole blocks and verifies every checksum in them. One thread at a time.
final class BlockReader {
    private let file: any File
    private let segment: UniqueID
    private let scratch = ScratchBuffer()
    private let columns = EventColumns()
    private let buffer = SubBlockBuffer()
    /// Kinds that were defined so far; nil: nobody knows.
    private var kindCount: Int?
    /// The segment's dictionary: the copy of it that has its checksum.
    private(set) var dictionary: [UInt8]?
    /// The last refusal of the system.
    private(set) var failure: IOFailure?
    /// For verification: also decompress the payloads, and take no dictionary with a damaged copy.
    var decompresses = false

    init(file: any File, segment: UniqueID, kindCount: Int?, dictionary: [UInt8]? = nil) {
        self.file = file
        self.segment = segment
        self.kindCount = kindCount
        self.dictionary = dictionary
    }

    private func bytes(at offset: UInt64, _ count: Int) throws(FormatError) -> UnsafeRawBufferPointer {
        let target = scratch.reserve(count)
        let length: Int
        do throws(IOFailure) {
            length = try file.read(at: offset, into: target)
        } catch {
            failure = error
            throw .invalid("a block", reason: "it can't be read: \(error.reason)")
        }
        guard length == count else { throw .truncated("a block") }
        return UnsafeRawBufferPointer(target)
    }

    /// Reads a block, and a copy of its bytes: the very ones whose checksums were verified.
    func readBytes(at offset: UInt64, end: UInt64, number: UInt32?) throws(FormatError) -> (
        block: ScannedBlock, bytes: [UInt8]
    ) {
        let block = try read(at: offset, end: end, number: number)
        return (block, Array(scratch.reserve(block.header.blockLength)))
    }

    func read(at offset: UInt64, end: UInt64, number: UInt32?) throws(FormatError) -> ScannedBlock {
        guard end - offset >= UInt64(BlockHeader.byteCount) else { throw .truncated("a block header") }
        let header = try BlockHeader(
            decoding: try bytes(at: offset, BlockHeader.byteCount), segment: segment, number: number)
        guard UInt64(header.blockLength) <= end - offset else { throw .truncated("a block") }
        let block = try bytes(at: offset, header.blockLength)
        let bodyStart = BlockHeader.byteCount
        let smallEnd = bodyStart + Int(header.smallLength)
        let bodyEnd = bodyStart + Int(header.bodyLength)
        let small = UnsafeRawBufferPointer(rebasing: block[bodyStart..<smallEnd])
        try ControlBlock.verifySmallPart(small, of: header)
        guard allZero(UnsafeRawBufferPointer(rebasing: block[bodyEnd...])) else {
            throw .invalid("a block", reason: "its padding is not zero")
        }
        func verify(
            _ position: Int, _ offset: Int, _ stored: Int, _ raw: Int, _ method: SubBlockMethod,
            _ checksum: UInt32
        ) throws(FormatError) {
            let bytes = UnsafeRawBufferPointer(rebasing: block[offset..<offset + stored])
            try ControlBlock.verifySubBlock(
                bytes, position, checksum: checksum, segment: segment, block: header.number)
            if decompresses {
                _ = try buffer.decode(
                    stored: bytes, method: method, rawBytes: raw, wanted: raw, dictionary: dictionary,
                    dictionaryIdentity: segment.low)
            }
        }
        guard header.type == .events else {
            let record = try ControlBlock.decode(small, of: header)
            switch record {
            case .checkpoint(_, let state):
                try verify(
                    0, smallEnd, Int(state.storedBytes), Int(state.rawBytes), state.method, state.checksum)
            case .dictionary(let first, let second):
                let length = Int(first.storedBytes)
                if decompresses {
                    try verify(0, smallEnd, length, length, .raw, first.checksum)
                    try verify(1, smallEnd + length, length, length, .raw, second.checksum)
                    guard
                        block[smallEnd..<smallEnd + length].elementsEqual(block[smallEnd + length..<bodyEnd])
                    else { throw .invalid("a dictionary block", reason: "its copies differ") }
                }
                let copies = [(0, smallEnd, first.checksum), (1, smallEnd + length, second.checksum)]
                let intact = copies.first { position, start, checksum in
                    (try? verify(position, start, length, length, .raw, checksum)) != nil
                }
                guard let (_, start, _) = intact else { throw .checksumMismatch("a dictionary") }
                dictionary = Array(block[start..<start + length])
            case .kinds(let definitions):
                guard kindCount.map({ $0 + definitions.count == Int(header.kindCount) }) ?? true else {
                    throw .invalid("a kinds block", reason: "its ids do not follow those before")
                }
                kindCount = Int(header.kindCount)
            case .padding:
                guard allZero(UnsafeRawBufferPointer(rebasing: block[bodyStart..<bodyEnd])) else {
                    throw .invalid("a padding block", reason: "it is not zero")
                }
            case .sessionBegin, .sessionEnd, .ledger: break
            }
            return ScannedBlock(header: header, offset: offset, record: record, tally: [], nextIndex: 0)
        }
        try columns.load(small, of: header)
        for position in 0..<columns.subBlockCount {
            let part = columns.subBlock(position)
            try verify(
                position, bodyStart + part.offset, part.storedBytes, part.rawBytes, part.method, part.checksum
            )
        }
        return ScannedBlock(
            header: header, offset: offset, record: nil, tally: try tally(header),
            nextIndex: columns.nextIndex(of: header))
    }

    /// Counts kinds, and checks the header's figures against the columns.
    private func tally(_ header: BlockHeader) throws(FormatError) -> [(
        kind: UInt32, events: UInt64, bytes: UInt64
    )] {
        var counts: [UInt32: (events: UInt64, bytes: UInt64)] = [:]
        for row in 0..<columns.count {
            counts[columns.kinds[row], default: (0, 0)].events += 1
            counts[columns.kinds[row], default: (0, 0)].bytes += UInt64(columns.lengths[row])
        }
        let set = counts.keys.reduce(UInt64(0)) { $0 | ($1 < 64 ? 1 << UInt64($1) : 0) }
        let isMany = header.flags.contains(.manyKinds)
        guard columns.haveTimesAndIndex(of: header), isMany == counts.keys.contains(where: { $0 >= 64 }),
            header.kindSet == (isMany ? .max : set)
        else { throw .invalid("an events block", reason: "its header contradicts its columns") }
        return counts.sorted { $0.key < $1.key }.map { ($0.key, $0.value.events, $0.value.bytes) }
    }

    /// The header, one of this segment, that stands at a place.
    private func header(at offset: UInt64) -> BlockHeader? {
        guard let bytes = try? bytes(at: offset, BlockHeader.byteCount) else { return nil }
        return try? BlockHeader(decoding: bytes, segment: segment, number: nil)
    }

    /// Whether a header of this segment stands at a place, whose block ends in the file.
    func hasBlock(at offset: UInt64, end: UInt64) -> Bool {
        header(at: offset).map { UInt64($0.blockLength) <= end - offset } ?? false
    }

    /// Whether a range, behind which are at most zeros up to the file's end, holds less than the block that it starts with.
    ///
    /// A block may end in zeros of its own. One of events then counts as cut short, though it be damaged: what it held is in `TAIL`, or else
    /// nobody asks. One of another type has to lack all of its last page: the system copies page by page, and is killed between two.
    func isCutShort(_ range: Range<UInt64>, end: UInt64) -> Bool {
        let length = range.upperBound - range.lowerBound
        guard let header = header(at: range.lowerBound) else { return length < UInt64(BlockHeader.byteCount) }
        if UInt64(header.blockLength) > end - range.lowerBound { return true }
        let bodyEnd = range.lowerBound.addingClamped(
            UInt64(BlockHeader.byteCount) + UInt64(header.bodyLength))
        if header.type == .events { return range.upperBound < bodyEnd }
        let lastPage = (bodyEnd - 1) & ~4095
        return range.upperBound <= lastPage
    }

    /// Where the zeros begin that a range ends with. O(bytes).
    func contentEnd(_ range: Range<UInt64>) throws(IOFailure) -> UInt64 {
        var reached = range.lowerBound
        try forEachChunk(range) { bytes, offset in
            if let last = bytes.lastIndex(where: { $0 != 0 }) { reached = offset + UInt64(last) + 1 }
            return true
        }
        return reached
    }

    /// Whether only zeros stand in a range.
    func isZero(_ range: Range<UInt64>) throws(IOFailure) -> Bool {
        var isZero = true
        try forEachChunk(range) { bytes, _ in
            isZero = allZero(bytes)
            return isZero
        }
        return isZero
    }

    /// Hands over a range in chunks with their offsets, up to the file's end, as long as the body wants more.
    private func forEachChunk(
        _ range: Range<UInt64>, _ body: (UnsafeRawBufferPointer, UInt64) -> Bool
    ) throws(IOFailure) {
        var offset = range.lowerBound
        while offset < range.upperBound {
            let buffer = scratch.reserve(Int(min(range.upperBound - offset, 1 << 20)))
            let count = try file.read(at: offset, into: buffer)
            guard count > 0, body(UnsafeRawBufferPointer(rebasing: buffer[..<count]), offset) else { return }
            offset += UInt64(count)
        }
    }

    /// The next place after `offset` with a valid block header of this segment whose number is higher.
    func nextBlock(after offset: UInt64, end: UInt64, number: UInt32?) throws(IOFailure) -> UInt64? {
        var start = offset + 8
        let window = 1 << 20
        while start + UInt64(BlockHeader.byteCount) <= end {
            let buffer = scratch.reserve(Int(min(end - start, UInt64(window + BlockHeader.byteCount))))
            let count = try file.read(at: start, into: buffer)
            var position = 0
            while position + BlockHeader.byteCount <= count {
                let rest = UnsafeRawBufferPointer(rebasing: buffer[position..<count])
                if BlockHeader.hasMagic(rest),
                    let header = try? BlockHeader(decoding: rest, segment: segment, number: nil),
                    number.map({ header.number > $0 }) ?? true,
                    UInt64(header.blockLength) <= end - start - UInt64(position)
                {
                    return start + UInt64(position)
                }
                position += 8
            }
            guard count == buffer.count, position > 0 else { return nil }
            start += UInt64(position)
        }
        return nil
    }
}

extension EventColumns {
    /// The index after the last event of the block that is loaded.
    func nextIndex(of header: BlockHeader) -> UInt64 {
        indices.map { $0[count - 1] &+ 1 } ?? header.firstIndex &+ UInt64(header.eventCount)
    }

    /// Whether the times and the first index of the block that is loaded are those that its header says.
    func haveTimesAndIndex(of header: BlockHeader) -> Bool {
        let times = UnsafeBufferPointer(start: timestamps, count: count)
        return times.min() == header.minTimestamp && times.max() == header.maxTimestamp
            && indices.map { $0[0] == header.firstIndex } ?? true
    }
}
