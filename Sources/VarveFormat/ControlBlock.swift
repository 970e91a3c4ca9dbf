/// Blocks other than events: assembled whole, and read whole.
public enum ControlBlock {
    /// A sub-block to be stored.
    public struct SubBlock {
        /// How the stored bytes were made of the raw ones.
        public var method: SubBlockMethod
        /// Bytes before compression.
        public var rawBytes: Int
        /// What stands in the file.
        public var stored: [UInt8]

        /// Takes the bytes as given: the caller has compressed them.
        public init(method: SubBlockMethod, rawBytes: Int, stored: [UInt8]) {
            self.method = method
            self.rawBytes = rawBytes
            self.stored = stored
        }
    }

    /// A complete block: `header` with lengths, counts of sub-blocks and checksums filled in, the directory, `record`,
    /// the sub-blocks, padding. Returns the header as it was stored.
    public static func assemble(
        _ header: BlockHeader, record: [UInt8], subBlocks: [SubBlock] = []
    ) -> (header: BlockHeader, bytes: [UInt8]) {
        var header = header
        var small = ByteWriter()
        for (position, subBlock) in subBlocks.enumerated() {
            small.put(UInt32(0))
            small.put(UInt32(subBlock.rawBytes))
            small.put(UInt32(subBlock.stored.count))
            small.put(subBlock.method.rawValue)
            small.putZeros(3)
            let seed = Checksum.seed(
                segment: header.segment, block: header.number, part: UInt32(2 + position))
            small.put(subBlock.stored.withUnsafeBytes { Checksum.crc($0, after: seed) })
        }
        small.putRaw(record)
        header.smallLength = UInt32(small.count)
        header.subBlockCount = UInt32(subBlocks.count)
        header.bodyLength = UInt32(small.count + subBlocks.reduce(0) { $0 + $1.stored.count })
        header.rawBytes = UInt32(subBlocks.reduce(0) { $0 + $1.rawBytes })
        let seed = Checksum.seed(segment: header.segment, block: header.number, part: 1)
        header.smallChecksum = small.bytes.withUnsafeBytes { Checksum.crc($0, after: seed) }
        var writer = ByteWriter()
        writer.bytes.reserveCapacity(header.blockLength)
        writer.putZeros(BlockHeader.byteCount)
        writer.putRaw(small.bytes)
        for subBlock in subBlocks { writer.putRaw(subBlock.stored) }
        writer.pad8()
        writer.bytes.withUnsafeMutableBytes { header.encode(into: $0) }
        return (header, writer.bytes)
    }

    /// A padding block that takes `length` bytes in all: a multiple of 8, and at least a header's.
    public static func padding(_ header: BlockHeader, length: Int) -> (header: BlockHeader, bytes: [UInt8]) {
        var header = header
        header.bodyLength = UInt32(length - BlockHeader.byteCount)
        header.smallChecksum = Checksum.seed(segment: header.segment, block: header.number, part: 1)
        var bytes = [UInt8](repeating: 0, count: length)
        bytes.withUnsafeMutableBytes { header.encode(into: $0) }
        return (header, bytes)
    }

    /// Throws unless the small part has its checksum.
    public static func verifySmallPart(_ small: UnsafeRawBufferPointer, of header: BlockHeader)
        throws(FormatError)
    {
        let seed = Checksum.seed(segment: header.segment, block: header.number, part: 1)
        guard
            Safeguard.smallPartChecksum.isLeftOut || Checksum.crc(small, after: seed) == header.smallChecksum
        else {
            throw .checksumMismatch("a block's small part")
        }
    }

    /// Throws unless the stored bytes of sub-block `position` have the checksum.
    public static func verifySubBlock(
        _ stored: UnsafeRawBufferPointer, _ position: Int, checksum: UInt32, segment: UniqueID, block: UInt32
    ) throws(FormatError) {
        let seed = Checksum.seed(segment: segment, block: block, part: UInt32(2 + position))
        guard Safeguard.subBlockChecksum.isLeftOut || Checksum.crc(stored, after: seed) == checksum else {
            throw .checksumMismatch("sub-block \(position)")
        }
    }

    /// What the small part of a control block says.
    public enum Record: Hashable, Sendable {
        case checkpoint(CheckpointRecord, state: SubBlockDirectoryEntry)
        case sessionBegin(SessionBegin)
        case sessionEnd(SessionEnd)
        case ledger([LedgerRecord])
        case dictionary(SubBlockDirectoryEntry, copy: SubBlockDirectoryEntry)
        case kinds([KindDefinition])
        case padding
    }

    /// Reads a control block's small part, whose checksum was verified.
    public static func decode(_ small: UnsafeRawBufferPointer, of header: BlockHeader) throws(FormatError)
        -> Record
    {
        var reader = ByteReader(small, header.type.what)
        var entries: [SubBlockDirectoryEntry] = []
        var stored = 0
        var raw = 0
        for _ in 0..<header.subBlockCount {
            let entry = try SubBlockDirectoryEntry(
                decoding: try reader.take(SubBlockDirectoryEntry.byteCount))
            guard entry.eventCount == 0 else {
                throw .invalid(header.type.what, reason: "its sub-block has events")
            }
            stored += Int(entry.storedBytes)
            raw += Int(entry.rawBytes)
            entries.append(entry)
        }
        guard
            Safeguard.controlBlockLengths.isLeftOut
                || (header.type == .padding || Int(header.smallLength) + stored == Int(header.bodyLength))
                    && raw == Int(header.rawBytes)
        else { throw .invalid(header.type.what, reason: "its lengths do not add up") }
        let record: Record
        switch header.type {
        case .checkpoint:
            guard raw <= Limits.payloadBytesMax else {
                throw .beyondLimit("a state", value: UInt64(raw), limit: UInt64(Limits.payloadBytesMax))
            }
            guard entries[0].method != .lz4WithDictionary || header.flags.contains(.usesDictionary) else {
                throw .invalid(
                    "a checkpoint block", reason: "it uses a dictionary, and its header does not say so")
            }
            record = .checkpoint(try CheckpointRecord(from: &reader), state: entries[0])
        case .sessionBegin:
            let begin = try SessionBegin(from: &reader)
            guard !begin.flags.contains(.continued) else {
                throw .invalid("a session begin block", reason: "its session is a continued one")
            }
            record = .sessionBegin(begin)
        case .sessionEnd: record = .sessionEnd(try SessionEnd(from: &reader))
        case .ledger: record = .ledger(try reader.ledgerRecords())
        case .kinds:
            let kinds = try reader.kindDefinitions()
            guard !kinds.isEmpty, kinds.count <= Int(header.kindCount) else {
                throw .invalid("a kinds block", reason: "its count does not fit its header")
            }
            record = .kinds(kinds)
        case .dictionary:
            guard entries[0].rawBytes == entries[1].rawBytes,
                (1...Limits.dictionaryBytesMax).contains(Int(entries[0].rawBytes)),
                entries.allSatisfy({ $0.method == .raw })
            else {
                throw .invalid("a dictionary block", reason: "its copies have other sizes or are not raw")
            }
            record = .dictionary(entries[0], copy: entries[1])
        case .padding: record = .padding
        case .events: throw .invalid("a control block", reason: "it holds events")
        }
        try reader.finish()
        return record
    }
}
