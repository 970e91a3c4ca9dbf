internal import VarveFormat

/// Reads the payloads of a segment's events, a sub-block at a time. One thread at a time.
final class PayloadWalk {
    /// The payloads of one sub-block. Valid while it is lent.
    struct SubBlock {
        fileprivate let columns: EventColumns
        fileprivate let part: EventColumns.SubBlock
        fileprivate let base: UnsafeRawPointer

        /// Bytes of all payloads.
        var rawBytes: Int { part.rawBytes }

        /// Calls `body` with each payload.
        @inline(__always)
        func forEachPayload(_ body: (UnsafeRawBufferPointer) -> Void) {
            var start = base
            for row in part.firstRow..<part.firstRow + part.eventCount {
                // SAFETY: the lengths of a sub-block's rows add up to its length: checked when the columns were loaded.
                let count = Int(columns.lengths[row])
                body(UnsafeRawBufferPointer(start: start, count: count))
                start += count
            }
        }
    }

    private let segment: LoadedSegment
    private let columns = EventColumns()
    private let buffer = SubBlockBuffer()
    private let scratch = ScratchBuffer()

    init(_ segment: LoadedSegment) {
        self.segment = segment
    }

    /// Calls `body` with each sub-block of a block of events, in order, all of it verified and decompressed. Throws where one can't be
    /// read. O(bytes of the block).
    func forEachSubBlock(
        of entry: BlockIndexEntry, _ body: (Int, SubBlock) -> Void
    ) throws(StoreError) {
        let bytes = try segment.bytes(at: entry.offset, count: Int(entry.length), scratch)
        do throws(FormatError) {
            let (header, small) = try segment.verified(bytes, entry)
            try columns.load(small, of: header)
            for number in 0..<columns.subBlockCount {
                let part = columns.subBlock(number)
                let start = BlockHeader.byteCount + part.offset
                let stored = UnsafeRawBufferPointer(rebasing: bytes[start..<start + part.storedBytes])
                try ControlBlock.verifySubBlock(
                    stored, number, checksum: part.checksum, segment: header.segment, block: header.number)
                let base = try buffer.decode(
                    stored: stored, method: part.method, rawBytes: part.rawBytes, wanted: part.rawBytes,
                    dictionary: segment.dictionary, dictionaryIdentity: segment.identity)
                body(number, SubBlock(columns: columns, part: part, base: base))
            }
        } catch {
            throw .decoding(error, file: segment.fileName, offset: entry.offset)
        }
    }
}
