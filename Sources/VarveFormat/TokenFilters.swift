/// Says which sub-blocks of a segment can't hold a text: a Bloom filter each, over the tokens and the runs of letters in its payloads.
/// `Formats/segment.md#filters`.
///
/// A token is a longest run of ASCII letters, digits, and bytes from 0x80 on. Those of three bytes and more have a key, and so has every
/// four bytes of a run of letters (bytes from 0x80 on are letters too), so that parts of words are found. ASCII letters count as
/// lower case. Keys that most sub-blocks have stand in one filter that is common to all.
///
/// Bloom filters, and not binary fuse ones: a sub-block has some hundred to a thousand keys, where those need as many bits and another
/// try now and then; and a text has several keys, so that 2 % of false hits a key are 0.04 % and less a text.
public struct TokenFilters: Sendable {
    /// Bits a key, and hashes: 2.2 % of the keys that are not there seem to be.
    static let bitsPerKey = 8
    static let hashCount = 5
    /// The common filter is asked first, for all sub-blocks at once: 0.14 %.
    static let commonBitsPerKey = 16
    /// Shorter tokens have no key.
    public static let tokenBytesMin = 3
    /// Bytes of the pieces that a run of letters is cut into.
    public static let gramBytes = 4
    /// Of a sub-block's payload bytes the part that its filter may take: what needs more holds keys without end, and has none.
    static let shareMax = 16
    /// What every filter may take besides: the last sub-block of a block is often a small one.
    static let bytesAllowed = 512
    private static let version: UInt8 = 1
    private static let fixedBytes = 16

    // SAFETY: `owner` keeps the bytes where they are; the tables at their start were checked against the length, once, in `init`.
    private nonisolated(unsafe) let bytes: UnsafeRawBufferPointer
    private let owner: any AnyObject & Sendable
    /// Blocks of the segment, of all types.
    public let blockCount: Int
    /// Filters, of all blocks.
    public let filterCount: Int
    private let common: Range<Int>
    private let offsets: Int
    private let data: Int

    /// Reads the section's body, which `owner` keeps in place. Those of a later version are an `unknownVersion`: what a reader that does
    /// not know it does is to go without. O(sub-blocks).
    public init(decoding bytes: UnsafeRawBufferPointer, owner: any AnyObject & Sendable) throws(FormatError) {
        var reader = ByteReader(bytes, "the filters")
        let version = try reader.u8()
        guard version == Self.version else { throw .unknownVersion(UInt16(version), of: "the filters") }
        let hashes = try reader.u8()
        let grams = try reader.u8()
        let tokens = try reader.u8()
        guard Int(hashes) == Self.hashCount, Int(grams) == Self.gramBytes, Int(tokens) == Self.tokenBytesMin
        else { throw .invalid("the filters", reason: "their keys are not this version's") }
        let blocks = try reader.u32()
        let filters = try reader.u32()
        let commonBytes = try reader.u32()
        guard blocks <= Limits.segmentBlocksMax else {
            throw .beyondLimit(
                "the filters' blocks", value: UInt64(blocks), limit: UInt64(Limits.segmentBlocksMax))
        }
        // 2^32 times four, and some: no overflow.
        let tables = (Int(blocks) + 1 + Int(filters) + 1) * 4
        guard
            Safeguard.filterLengths.isLeftOut
                || tables <= reader.remaining && Int(commonBytes) <= reader.remaining - tables
        else { throw .truncated("the filters") }
        self.bytes = bytes
        self.owner = owner
        blockCount = Int(blocks)
        filterCount = Int(filters)
        offsets = Self.fixedBytes + (blockCount + 1) * 4
        let dataStart = offsets + (filterCount + 1) * 4
        common = dataStart..<dataStart + Int(commonBytes)
        data = common.upperBound
        var previous: UInt32 = 0
        for block in 0...blockCount {
            let first = Self.word(bytes, Self.fixedBytes + block * 4)
            guard first >= previous, first <= filters, block > 0 || first == 0 else {
                throw .invalid("the filters", reason: "the blocks' places are out of order")
            }
            previous = first
        }
        guard previous == filters else {
            throw .invalid("the filters", reason: "they are not as many as their blocks have")
        }
        previous = 0
        for filter in 0...filterCount {
            let offset = Self.word(bytes, offsets + filter * 4)
            guard offset >= previous, filter > 0 || offset == 0 else {
                throw .invalid("the filters", reason: "their places are out of order")
            }
            previous = offset
        }
        guard Int(previous) == bytes.count - data else {
            throw .invalid("the filters", reason: "they do not fill their section")
        }
    }

    private static func word(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt32 {
        UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    /// Whether there is one for each sub-block of each block of events, and none for other blocks. Those that do not fit would rule out
    /// what nobody has looked at. O(blocks).
    public func fit(_ entries: [BlockIndexEntry]) -> Bool {
        if Safeguard.filterAgreement.isLeftOut { return true }
        guard entries.count == blockCount else { return false }
        return entries.indices.allSatisfy {
            let count = entries[$0].type == .events ? Int(entries[$0].subBlockCount) : 0
            return filters(ofBlock: $0).count == count
        }
    }

    /// The filters of a block's sub-blocks, in their order. Empty for a block that has none.
    public func filters(ofBlock number: Int) -> Range<Int> {
        guard number >= 0, number < blockCount else { return 0..<0 }
        let place = Self.fixedBytes + number * 4
        return Int(Self.word(bytes, place))..<Int(Self.word(bytes, place + 4))
    }

    /// Bytes of a filter; 0: it rules nothing out.
    public func byteCount(ofFilter number: Int) -> Int {
        Int(Self.word(bytes, offsets + number * 4 + 4) - Self.word(bytes, offsets + number * 4))
    }

    /// A filter's bytes; those of the common one without a number. Valid as long as `owner` lives.
    func storedBytes(ofFilter number: Int? = nil) -> UnsafeRawBufferPointer {
        guard let number else { return UnsafeRawBufferPointer(rebasing: bytes[common]) }
        let start = data + Int(Self.word(bytes, offsets + number * 4))
        return UnsafeRawBufferPointer(rebasing: bytes[start..<start + byteCount(ofFilter: number)])
    }

    /// Whether the key may stand in any sub-block.
    public func mayHoldEverywhere(_ key: UInt32) -> Bool { Self.mayHold(bytes, common, key) }

    /// Whether the sub-block of this filter may have a key that the common filter does not have. O(1).
    public func mayHold(_ key: UInt32, filter number: Int) -> Bool {
        let start = data + Int(Self.word(bytes, offsets + number * 4))
        let end = data + Int(Self.word(bytes, offsets + number * 4 + 4))
        return start == end || Self.mayHold(bytes, start..<end, key)
    }

    private static func mayHold(
        _ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, _ key: UInt32
    ) -> Bool {
        guard !range.isEmpty else { return false }
        var hash = Hash(key, bitCount: range.count * 8)
        for _ in 0..<hashCount {
            let bit = hash.next()
            if bytes[range.lowerBound + bit >> 3] & (1 << UInt8(bit & 7)) == 0 { return false }
        }
        return true
    }

    /// The bits that stand for a key.
    struct Hash {
        private var position: UInt32
        private let step: UInt32
        private let bitCount: UInt64

        init(_ key: UInt32, bitCount: Int) {
            let mixed = TextKeys.mix(UInt64(key))
            position = UInt32(truncatingIfNeeded: mixed)
            step = UInt32(truncatingIfNeeded: mixed >> 32) | 1
            self.bitCount = UInt64(bitCount)
        }

        mutating func next() -> Int {
            defer { position &+= step }
            // Shifts bind closer than products do.
            return Int((UInt64(position) &* bitCount) >> 32)
        }
    }

    // MARK: Writing

    /// The section's body, of the keys of each sub-block of each block; nil for a sub-block that gets no filter. `known` are keys that
    /// were found to be common before, and left out of those of the sub-blocks: they stand in the common filter.
    public static func encode(
        _ blocks: [[[UInt32]?]], common known: [UInt32] = [], to writer: inout ByteWriter
    ) {
        let parts = blocks.flatMap { $0 }
        let common = commonKeys(parts) + known
        let isCommon = Set(common)
        writer.put(version)
        writer.put(UInt8(hashCount))
        writer.put(UInt8(gramBytes))
        writer.put(UInt8(tokenBytesMin))
        writer.put(UInt32(blocks.count))
        writer.put(UInt32(parts.count))
        let commonFilter = common.isEmpty ? [] : filter(common, bitsPerKey: commonBitsPerKey)
        writer.put(UInt32(commonFilter.count))
        var first: UInt32 = 0
        writer.put(first)
        for block in blocks {
            first += UInt32(block.count)
            writer.put(first)
        }
        var data: [UInt8] = []
        writer.put(UInt32(0))
        for part in parts {
            if let part { data += filter(part.filter { !isCommon.contains($0) }, bitsPerKey: bitsPerKey) }
            writer.put(UInt32(data.count))
        }
        writer.putRaw(commonFilter)
        writer.putRaw(data)
    }

    /// The keys that more than half of the sub-blocks with filters have. O(keys).
    private static func commonKeys(_ parts: [[UInt32]?]) -> [UInt32] {
        let known = parts.compactMap { $0 }
        guard known.count > 2 else { return [] }
        // What more than half have a sample of 32 has a few times, but for chance.
        var counts: [UInt32: Int] = [:]
        let stride = max(known.count / 32, 1)
        var sampled = 0
        for number in Swift.stride(from: 0, to: known.count, by: stride) {
            sampled += 1
            for key in known[number] { counts[key, default: 0] += 1 }
        }
        var exact: [UInt32: Int] = [:]
        for (key, count) in counts where count * 4 > sampled { exact[key] = 0 }
        for part in known {
            for key in part where exact[key] != nil { exact[key]! += 1 }
        }
        return exact.filter { $0.value * 2 > known.count }.keys.sorted()
    }

    private static func filter(_ keys: [UInt32], bitsPerKey: Int) -> [UInt8] {
        // One byte of zeros where there is no key: it rules everything out.
        var bits = [UInt8](repeating: 0, count: max((keys.count * bitsPerKey + 7) / 8, 1))
        for key in keys {
            var hash = Hash(key, bitCount: bits.count * 8)
            for _ in 0..<hashCount {
                let bit = hash.next()
                bits[bit >> 3] |= 1 << UInt8(bit & 7)
            }
        }
        return bits
    }
}

/// Bytes that filters are read from, where no mapping has them.
public final class FilterBytes: Sendable {
    // SAFETY: allocated here, written once, freed with the object.
    private nonisolated(unsafe) let memory: UnsafeMutableRawBufferPointer

    /// A copy of the bytes.
    public init(_ bytes: [UInt8]) {
        memory = .allocate(byteCount: bytes.count, alignment: 8)
        memory.copyBytes(from: bytes)
    }

    deinit { memory.deallocate() }

    /// The bytes, as long as the object lives.
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(memory) }
}
