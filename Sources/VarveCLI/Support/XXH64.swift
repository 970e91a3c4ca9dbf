/// XXH64, a fast 64-bit digest (seed 0) of bytes that come in pieces, as `xxhsum -H64` prints it.
///
/// It tells files apart, at several GB/s; it is no proof against somebody who wants two to look the same.
struct XXH64 {
    private static let prime1: UInt64 = 0x9E37_79B1_85EB_CA87
    private static let prime2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
    private static let prime3: UInt64 = 0x1656_67B1_9E37_79F9
    private static let prime4: UInt64 = 0x85EB_CA77_C2B2_AE63
    private static let prime5: UInt64 = 0x27D4_EB2F_1656_67C5

    private var lane1 = prime1 &+ prime2
    private var lane2 = prime2
    private var lane3: UInt64 = 0
    private var lane4 = 0 &- prime1
    private var byteCount: UInt64 = 0
    /// The bytes after the last whole stripe: fewer than 32.
    private var rest: [UInt8] = []

    init() { rest.reserveCapacity(32) }

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        byteCount &+= UInt64(bytes.count)
        var bytes = bytes
        if !rest.isEmpty {
            let taken = min(32 - rest.count, bytes.count)
            rest.append(contentsOf: bytes[..<taken])
            bytes = UnsafeRawBufferPointer(rebasing: bytes[taken...])
            guard rest.count == 32 else { return }
            let stripe = rest
            stripe.withUnsafeBytes { consumeStripes($0) }
            rest.removeAll(keepingCapacity: true)
        }
        let whole = bytes.count & ~31
        consumeStripes(UnsafeRawBufferPointer(rebasing: bytes[..<whole]))
        rest.append(contentsOf: bytes[whole...])
    }

    /// Takes a multiple of 32 bytes.
    private mutating func consumeStripes(_ bytes: UnsafeRawBufferPointer) {
        var (one, two, three, four) = (lane1, lane2, lane3, lane4)
        var offset = 0
        while offset < bytes.count {
            one = Self.round(one, Self.word(bytes, offset))
            two = Self.round(two, Self.word(bytes, offset + 8))
            three = Self.round(three, Self.word(bytes, offset + 16))
            four = Self.round(four, Self.word(bytes, offset + 24))
            offset += 32
        }
        (lane1, lane2, lane3, lane4) = (one, two, three, four)
    }

    /// The digest of everything so far.
    func finish() -> UInt64 {
        var hash: UInt64
        if byteCount >= 32 {
            hash = Self.rotate(lane1, 1) &+ Self.rotate(lane2, 7) &+ Self.rotate(lane3, 12)
            hash = hash &+ Self.rotate(lane4, 18)
            for lane in [lane1, lane2, lane3, lane4] {
                hash = (hash ^ Self.round(0, lane)) &* Self.prime1 &+ Self.prime4
            }
        } else {
            hash = Self.prime5
        }
        hash = hash &+ byteCount
        rest.withUnsafeBytes { bytes in
            var offset = 0
            while offset + 8 <= bytes.count {
                hash ^= Self.round(0, Self.word(bytes, offset))
                hash = Self.rotate(hash, 27) &* Self.prime1 &+ Self.prime4
                offset += 8
            }
            if offset + 4 <= bytes.count {
                let word = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
                hash ^= UInt64(word) &* Self.prime1
                hash = Self.rotate(hash, 23) &* Self.prime2 &+ Self.prime3
                offset += 4
            }
            while offset < bytes.count {
                hash ^= UInt64(bytes[offset]) &* Self.prime5
                hash = Self.rotate(hash, 11) &* Self.prime1
                offset += 1
            }
        }
        hash = (hash ^ (hash >> 33)) &* Self.prime2
        hash = (hash ^ (hash >> 29)) &* Self.prime3
        return hash ^ (hash >> 32)
    }

    /// The digest in sixteen hexadecimal digits.
    func hexadecimal() -> String {
        let digits = String(finish(), radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    @inline(__always)
    private static func word(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    @inline(__always)
    private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
        rotate(lane &+ word &* prime2, 31) &* prime1
    }

    @inline(__always)
    private static func rotate(_ value: UInt64, _ bits: UInt64) -> UInt64 {
        (value << bits) | (value >> (64 - bits))
    }
}
