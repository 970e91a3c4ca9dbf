// SAFETY: unchecked, because a block is handed from the thread that encodes to the one that writes.
/// An events block as `EventBlockEncoder` leaves it: complete but for its header and its checksums.
///
/// The memory is reused from one block to the next. One thread at a time.
public final class EncodedBlock: @unchecked Sendable {
    /// Room for the header at the start of `bytes`.
    public static let headerRoom = BlockHeader.byteCount

    private var memory: UnsafeMutableRawPointer
    private var capacity: Int

    /// Bytes of the small part: directory and columns.
    public internal(set) var smallLength = 0
    /// Bytes of the body: the small part and the stored sub-blocks, without padding.
    public internal(set) var bodyLength = 0
    /// Sub-blocks.
    public internal(set) var subBlockCount = 0
    /// Events.
    public internal(set) var eventCount = 0
    /// Payload bytes before compression.
    public internal(set) var rawBytes = 0
    /// Smallest timestamp.
    public internal(set) var minTimestamp: Int64 = 0
    /// Largest timestamp.
    public internal(set) var maxTimestamp: Int64 = 0
    /// Bit *k* for kind id *k*; all ones with `hasManyKinds`.
    public internal(set) var kindSet: UInt64 = 0
    /// Whether kind ids beyond 63 occur.
    public internal(set) var hasManyKinds = false
    /// Whether the block has a column of indices.
    public internal(set) var hasExplicitIndices = false
    /// The first row's index.
    public internal(set) var firstIndex: UInt64 = 0
    /// The dictionary, when at least one sub-block was compressed with it.
    public internal(set) var dictionary: CompressionDictionary?
    /// Events and payload bytes of each kind id that occurs, in ascending order.
    public internal(set) var kindTally: [(kind: UInt32, events: UInt64, bytes: UInt64)] = []

    /// An empty block.
    public init() {
        capacity = 4 << 10
        memory = .allocate(byteCount: capacity, alignment: 64)
    }

    deinit { memory.deallocate() }

    /// The whole block: room for the header, the body, zeros up to a multiple of 8. Valid until the next
    /// block is encoded into this object, which must be kept alive meanwhile.
    public var bytes: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: memory, count: (Self.headerRoom + bodyLength + 7) & ~7)
    }

    /// Fills in the checksums of the directory, and returns the small part's. May be done again for another
    /// segment or number. O(bodyLength).
    public func sealChecksums(segment: UniqueID, number: UInt32) -> UInt32 {
        Checksum.sealBody(
            memory + Self.headerRoom, smallLength: smallLength, subBlockCount: subBlockCount,
            segment: segment,
            block: number)
    }

    /// Makes room for `count` bytes, whose contents are then undefined.
    func reserve(_ count: Int) -> UnsafeMutableRawPointer {
        if count > capacity {
            memory.deallocate()
            capacity = count + count / 4
            memory = .allocate(byteCount: capacity, alignment: 64)
        }
        return memory
    }
}

extension BlockHeader {
    /// The header of an encoded block, as far as its contents decide it: where it stands is left to be filled in.
    public init(events block: EncodedBlock) {
        self.init(type: .events)
        setContents(block)
    }

    /// Says what an encoded block holds, and leaves everything else as it is.
    public mutating func setContents(_ block: EncodedBlock) {
        flags = []
        if block.hasManyKinds { flags.insert(.manyKinds) }
        if block.hasExplicitIndices { flags.insert(.explicitIndices) }
        if block.dictionary != nil { flags.insert(.usesDictionary) }
        bodyLength = UInt32(block.bodyLength)
        smallLength = UInt32(block.smallLength)
        subBlockCount = UInt32(block.subBlockCount)
        eventCount = UInt32(block.eventCount)
        if block.hasExplicitIndices { firstIndex = block.firstIndex }
        minTimestamp = block.minTimestamp
        maxTimestamp = block.maxTimestamp
        kindSet = block.kindSet
        rawBytes = UInt32(block.rawBytes)
    }
}
