internal import VarveFormat
internal import VarveIO

/// Reads what can be read of a segment's blocks, part by part: a part that is damaged, or that the system refuses to read,
/// takes its own events with it and nothing else. One thread at a time.
final class RepairReader {
    private let file: any File
    private let segment: UniqueID
    private let scratch = ScratchBuffer()
    private let partScratch = ScratchBuffer()
    private let windowScratch = ScratchBuffer()
    private let columns = EventColumns()
    private let buffer = SubBlockBuffer()
    var dictionary: [UInt8]?
    /// The last refusal of the system.
    private(set) var failure: IOFailure?

    init(file: any File, segment: UniqueID, dictionary: [UInt8]? = nil) {
        self.file = file
        self.segment = segment
        self.dictionary = dictionary
    }

    // MARK: Bytes

    /// As many bytes as there are, at most the buffer's; nil when the system refuses.
    private func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int? {
        do throws(IOFailure) {
            return try file.read(at: offset, into: buffer)
        } catch {
            failure = error
            return nil
        }
    }

    /// A block's bytes: at once where that works, otherwise part by part.
    private struct Bytes {
        let offset: UInt64
        let whole: UnsafeRawBufferPointer?
    }

    private func bytes(of header: BlockHeader, at offset: UInt64) -> Bytes {
        let target = scratch.reserve(header.blockLength)
        let isWhole = read(at: offset, into: target) == target.count
        return Bytes(offset: offset, whole: isWhole ? UnsafeRawBufferPointer(target) : nil)
    }

    /// A part of a block; nil when it can't be read. Valid until the next call.
    private func part(_ bytes: Bytes, _ start: Int, _ count: Int) -> UnsafeRawBufferPointer? {
        if let whole = bytes.whole { return UnsafeRawBufferPointer(rebasing: whole[start..<start + count]) }
        let target = partScratch.reserve(count)
        guard read(at: bytes.offset + UInt64(start), into: target) == count else { return nil }
        return UnsafeRawBufferPointer(target)
    }

    /// Whether only zeros stand in a range.
    func isZero(_ range: Range<UInt64>) -> Bool {
        var offset = range.lowerBound
        while offset < range.upperBound {
            let target = windowScratch.reserve(Int(min(range.upperBound - offset, 1 << 20)))
            guard let count = read(at: offset, into: target), count > 0,
                allZero(UnsafeRawBufferPointer(rebasing: target[..<count]))
            else { return false }
            offset += UInt64(count)
        }
        return true
    }

    // MARK: Headers

    /// The header at a place, when it is one of this segment, with a number above `number`.
    func header(at offset: UInt64, end: UInt64, after number: UInt32?) -> BlockHeader? {
        guard end - offset >= UInt64(BlockHeader.byteCount) else { return nil }
        let target = partScratch.reserve(BlockHeader.byteCount)
        guard read(at: offset, into: target) == target.count else { return nil }
        return accepted(UnsafeRawBufferPointer(target), segment, after: number)
    }

    private func accepted(_ bytes: UnsafeRawBufferPointer, _ segment: UniqueID, after number: UInt32?)
        -> BlockHeader?
    {
        guard let header = try? BlockHeader(decoding: bytes, segment: segment, number: nil),
            number.map({ header.number > $0 }) ?? true,
            // Numbers that leave no room are none that a writer gave.
            header.nextSequence < .max >> 1, header.epoch < .max >> 1, header.sessionOrdinal < .max >> 1,
            header.sessionsBegun < .max >> 1, header.checkpointsMade < .max >> 1
        else { return nil }
        return header
    }

    /// The first header of this segment at or after a place, wherever it stands: what was cut out or put in before it may have
    /// moved it.
    func nextHeader(from start: UInt64, end: UInt64, after number: UInt32?) -> (
        offset: UInt64, header: BlockHeader
    )? {
        var found: (UInt64, BlockHeader)?
        forEachMagic(start, end) { offset, bytes in
            found = accepted(bytes, segment, after: number).map { (offset, $0) }
            return found == nil ? 1 : nil
        }
        return found
    }

    /// Calls `body` with each header in a file whose own header can't be read, whatever segment it belongs to. A segment inside a
    /// payload stands inside of a block, which is skipped as a whole.
    func forEachBlock(_ byteCount: UInt64, _ body: (BlockHeader) -> Void) {
        forEachMagic(0, byteCount) { _, bytes in
            guard let id = BlockHeader.namedSegment(in: bytes), let header = accepted(bytes, id, after: nil)
            else { return 1 }
            body(header)
            return UInt64(header.blockLength)
        }
    }

    /// The segment that most bytes of such a file belong to by their blocks.
    func dominantSegment(byteCount: UInt64) -> UniqueID? {
        var bytesBySegment: [UniqueID: UInt64] = [:]
        var order: [UniqueID] = []
        forEachBlock(byteCount) { header in
            if bytesBySegment[header.segment] == nil { order.append(header.segment) }
            bytesBySegment[header.segment, default: 0] += UInt64(header.blockLength)
        }
        return order.max { bytesBySegment[$0, default: 0] < bytesBySegment[$1, default: 0] }
    }

    /// Calls `body` with each place that starts like a block's header, and goes on as many bytes after it as that says; nil: enough.
    private func forEachMagic(
        _ start: UInt64, _ end: UInt64, _ body: (UInt64, UnsafeRawBufferPointer) -> UInt64?
    ) {
        let byteCount = UInt64(BlockHeader.byteCount)
        var start = start
        while start < end, end - start >= byteCount {
            var target = windowScratch.reserve(Int(min(end - start, 1 << 20)))
            var count = read(at: start, into: target)
            if count == nil {
                target = windowScratch.reserve(Int(min(end - start, 4096)))
                count = read(at: start, into: target)
            }
            guard let count else {
                // A sector that can't be read.
                start = (start / 4096 + 1) * 4096
                continue
            }
            guard count >= Int(byteCount) else { return }
            let window = UnsafeRawBufferPointer(rebasing: target[..<count])
            var position = 0
            while position + Int(byteCount) <= count {
                guard window[position] == UInt8(ascii: "V") else {
                    position += 1
                    continue
                }
                let rest = UnsafeRawBufferPointer(rebasing: window[position...])
                guard BlockHeader.hasMagic(rest) else {
                    position += 1
                    continue
                }
                guard let step = body(start + UInt64(position), rest) else { return }
                guard step < UInt64(count) else {
                    position += Int(clamping: min(step, 1 << 40))
                    break
                }
                position += Int(step)
            }
            start += UInt64(position)
        }
    }

    // MARK: Blocks

    /// What can be read of a block, and what can't: rows (nil: none are concerned) and why. No block when nothing can.
    func examine(_ header: BlockHeader, at offset: UInt64, end: UInt64) -> (
        block: RepairSource.Block?, damage: [(rows: Range<Int>?, reason: String)]
    ) {
        let bytes = bytes(of: header, at: offset)
        let all = header.eventCount > 0 ? 0..<Int(header.eventCount) : nil
        var damage: [(rows: Range<Int>?, reason: String)] = []
        if end - offset < UInt64(header.blockLength) {
            damage.append((nil, "the block is cut short"))
        } else if let whole = bytes.whole {
            let bodyEnd = BlockHeader.byteCount + Int(header.bodyLength)
            if !allZero(UnsafeRawBufferPointer(rebasing: whole[bodyEnd...])) {
                damage.append((nil, "the block's padding is not zero"))
            }
        }
        do throws(FormatError) {
            guard header.type == .events else {
                let record = try control(header, bytes, &damage)
                let block = RepairSource.Block(
                    header: header, offset: offset, record: record, runs: [], nextIndex: header.firstIndex)
                return (block, damage)
            }
            try loadColumns(header, bytes)
        } catch {
            return (nil, damage + [(all, error.description)])
        }
        var runs: [Range<Int>] = []
        for position in 0..<columns.subBlockCount {
            let sub = columns.subBlock(position)
            let rows = sub.firstRow..<sub.firstRow + sub.eventCount
            do throws(FormatError) {
                _ = try payload(of: position, header, bytes)
                if let last = runs.last, last.upperBound == rows.lowerBound {
                    runs[runs.count - 1] = last.lowerBound..<rows.upperBound
                } else if !rows.isEmpty {
                    runs.append(rows)
                }
            } catch {
                damage.append((rows.isEmpty ? nil : rows, error.description))
            }
        }
        let block = RepairSource.Block(
            header: header, offset: offset, record: nil, runs: runs, nextIndex: columns.nextIndex(of: header))
        return (block, damage)
    }

    private func small(_ header: BlockHeader, _ bytes: Bytes) throws(FormatError) -> UnsafeRawBufferPointer {
        guard let small = part(bytes, BlockHeader.byteCount, Int(header.smallLength)) else {
            throw .truncated("a block's small part")
        }
        try ControlBlock.verifySmallPart(small, of: header)
        return small
    }

    private func loadColumns(_ header: BlockHeader, _ bytes: Bytes) throws(FormatError) {
        try columns.load(try small(header, bytes), of: header)
    }

    /// The payload of a sub-block of the loaded block. Valid until the next call.
    private func payload(of position: Int, _ header: BlockHeader, _ bytes: Bytes) throws(FormatError)
        -> UnsafeRawBufferPointer
    {
        let sub = columns.subBlock(position)
        guard let stored = part(bytes, BlockHeader.byteCount + sub.offset, sub.storedBytes) else {
            throw .truncated("sub-block \(position)")
        }
        try ControlBlock.verifySubBlock(
            stored, position, checksum: sub.checksum, segment: segment, block: header.number)
        let base = try buffer.decode(
            stored: stored, method: sub.method, rawBytes: sub.rawBytes, wanted: sub.rawBytes,
            dictionary: dictionary, dictionaryIdentity: segment.low)
        return UnsafeRawBufferPointer(start: base, count: sub.rawBytes)
    }

    /// A control block's record; throws where it, or a checkpoint's state, can't be read.
    private func control(
        _ header: BlockHeader, _ bytes: Bytes, _ damage: inout [(rows: Range<Int>?, reason: String)]
    ) throws(FormatError) -> ControlBlock.Record {
        guard header.type != .padding else { return .padding }
        let record = try ControlBlock.decode(try small(header, bytes), of: header)
        switch record {
        case .checkpoint(_, let entry): _ = try state(entry, header, bytes)
        case .dictionary(let first, let second):
            let start = BlockHeader.byteCount + Int(header.smallLength)
            let copies = [(0, first, start), (1, second, start + Int(first.storedBytes))].map {
                dictionaryCopy($0, $1, at: $2, header, bytes)
            }
            guard let found = copies[0] ?? copies[1] else { throw .checksumMismatch("a dictionary") }
            if copies.contains(nil) { damage.append((nil, "a copy of the dictionary can't be read")) }
            dictionary = found
        default: break
        }
        return record
    }

    /// One of a dictionary's two copies: a sector that can't be read takes one of them, and not both.
    private func dictionaryCopy(
        _ position: Int, _ entry: SubBlockDirectoryEntry, at start: Int, _ header: BlockHeader, _ bytes: Bytes
    ) -> [UInt8]? {
        guard let stored = part(bytes, start, Int(entry.storedBytes)),
            (try? ControlBlock.verifySubBlock(
                stored, position, checksum: entry.checksum, segment: segment, block: header.number)) != nil
        else { return nil }
        return Array(stored)
    }

    private func state(_ entry: SubBlockDirectoryEntry, _ header: BlockHeader, _ bytes: Bytes)
        throws(FormatError) -> [UInt8]
    {
        let start = BlockHeader.byteCount + Int(header.smallLength)
        guard let stored = part(bytes, start, Int(entry.storedBytes)) else { throw .truncated("a state") }
        try ControlBlock.verifySubBlock(
            stored, 0, checksum: entry.checksum, segment: segment, block: header.number)
        return try LZ4Block.decompress(
            stored, method: entry.method, rawBytes: Int(entry.rawBytes), dictionary: dictionary)
    }

    // MARK: Contents

    /// A checkpoint's state.
    func state(of block: RepairSource.Block) throws(FormatError) -> [UInt8] {
        guard case .checkpoint(_, let entry) = block.record else { throw .notFound("checkpoint") }
        return try state(entry, block.header, bytes(of: block.header, at: block.offset))
    }

    /// Rows of a block with their payloads, one after the other. `rows` lie in one of its runs.
    func contents(
        of block: RepairSource.Block, _ rows: Range<Int>, rows target: inout [EventRow],
        payload: inout [UInt8]
    ) throws(FormatError) {
        target.removeAll(keepingCapacity: true)
        payload.removeAll(keepingCapacity: true)
        let bytes = bytes(of: block.header, at: block.offset)
        try loadColumns(block.header, bytes)
        for row in rows {
            let index = columns.indices.map { $0[row] } ?? block.header.firstIndex &+ UInt64(row)
            target.append(
                EventRow(
                    timestamp: columns.timestamps[row], index: index, length: columns.lengths[row],
                    kind: columns.kinds[row]))
        }
        for position in 0..<columns.subBlockCount {
            let sub = columns.subBlock(position)
            let wanted = rows.clamped(to: sub.firstRow..<sub.firstRow + sub.eventCount)
            guard !wanted.isEmpty else { continue }
            var start = 0
            for row in sub.firstRow..<wanted.lowerBound { start += Int(columns.lengths[row]) }
            var count = 0
            for row in wanted { count += Int(columns.lengths[row]) }
            // The lengths were checked against the sub-block's when the columns were loaded.
            let whole = try self.payload(of: position, block.header, bytes)
            payload.append(contentsOf: whole[start..<start + count])
        }
    }
}
