/// An events block as it will be stored, but for what only the writer knows: its number and its place. Reusable; one thread
/// at a time.
public final class EncodedBlock: @unchecked Sendable {
    // SAFETY: `storage` has `capacity` bytes; `reserve` keeps the first `kept` when it grows.
    var storage: UnsafeMutableRawPointer
    private var capacity: Int

    public internal(set) var smallLength = 0
    public internal(set) var bodyLength = 0
    public internal(set) var subBlockCount = 0
    public internal(set) var eventCount = 0
    public internal(set) var rawBytes = 0
    public internal(set) var minTimestamp: Int64 = 0
    public internal(set) var maxTimestamp: Int64 = 0
    public internal(set) var kindSet: UInt64 = 0
    public internal(set) var hasManyKinds = false
    public internal(set) var hasExplicitIndices = false
    /// The first row's index where indices are explicit.
    public internal(set) var firstIndex: UInt64 = 0
    /// The dictionary that a sub-block uses; nil when none does.
    public internal(set) var dictionary: PreparedDictionary?
    /// Events and payload bytes of each kind that occurs, by ascending id.
    public internal(set) var kindTally: [(kind: UInt32, events: UInt64, bytes: UInt64)] = []

    public init() {
        capacity = 4096
        storage = .allocate(byteCount: capacity, alignment: 64)
    }

    deinit { storage.deallocate() }

    func reserve(_ byteCount: Int, keeping kept: Int) {
        guard byteCount > capacity else { return }
        let fresh = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 64)
        fresh.copyMemory(from: storage, byteCount: kept)
        storage.deallocate()
        storage = fresh
        capacity = byteCount
    }

    /// The whole block: room for its header, body, padding.
    public var bytes: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: storage, count: (BlockHeader.byteCount + bodyLength + 7) & ~7)
    }

    /// Fills in the checksums of the sub-blocks, and returns that of the small part.
    public func sealChecksums(segment: UniqueID, number: UInt32) -> UInt32 {
        let small = storage + BlockHeader.byteCount
        var stored = small + smallLength
        for position in 0..<subBlockCount {
            let entry = small + position * SubBlockDirectoryEntry.byteCount
            let length = Int(UInt32(littleEndian: entry.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
            let seed = Checksum.seed(segment: segment, block: number, part: UInt32(2 + position))
            let checksum = Checksum.crc(UnsafeRawBufferPointer(start: stored, count: length), after: seed)
            entry.storeBytes(
                of: checksum.littleEndian, toByteOffset: SubBlockDirectoryEntry.checksumOffset, as: UInt32.self)
            stored += length
        }
        let seed = Checksum.seed(segment: segment, block: number, part: 1)
        return Checksum.crc(UnsafeRawBufferPointer(start: small, count: smallLength), after: seed)
    }
}
