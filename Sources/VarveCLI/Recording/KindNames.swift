import Varve

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// Numbers for the bytes of names, so that a line costs a hash and a comparison and no string.
struct KindNames {
    /// Names are given no number beyond this many: no store takes more kinds.
    private static let countMax = 1 << 16
    /// Longer ones are no names.
    private static let byteCountMax = 255

    /// In order of appearance.
    private(set) var names: [[UInt8]] = []
    private var hashes: [UInt64] = []
    /// Open addressing with linear probing: positions in `names`, or -1. A power of two, at most half full.
    private var slots = [Int32](repeating: -1, count: 64)

    /// The name's number, dense from 0; nil for what can't be a kind's name. O(bytes).
    mutating func number(of name: UnsafeRawBufferPointer) -> Int32? {
        guard name.count > 0, name.count <= Self.byteCountMax else { return nil }
        let hash = Self.hash(name)
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] >= 0 {
            let position = Int(slots[slot])
            if hashes[position] == hash, Self.isEqual(names[position], name) { return slots[slot] }
            slot = (slot + 1) & (slots.count - 1)
        }
        guard names.count < Self.countMax else { return nil }
        let number = Int32(names.count)
        slots[slot] = number
        names.append(Array(name))
        hashes.append(hash)
        if names.count * 2 > slots.count { grow() }
        return number
    }

    private mutating func grow() {
        slots = [Int32](repeating: -1, count: slots.count * 2)
        for (position, hash) in hashes.enumerated() {
            var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
            slots[slot] = Int32(position)
        }
    }

    /// FNV-1a: names are short.
    private static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return hash ^ (hash >> 32)
    }

    private static func isEqual(_ name: [UInt8], _ bytes: UnsafeRawBufferPointer) -> Bool {
        name.withUnsafeBytes { own in
            guard own.count == bytes.count, let left = own.baseAddress, let right = bytes.baseAddress else {
                return false
            }
            return memcmp(left, right, own.count) == 0
        }
    }
}

/// The few kinds that are named in the code, of one encoding.
struct KindTable {
    private let encoding: PayloadEncoding
    private var names: [StaticString] = []
    /// In order of appearance.
    private(set) var kinds: [EventKind] = []

    init(encoding: PayloadEncoding) { self.encoding = encoding }

    /// The kind of that name. Throws what the store says when it is asked for it.
    mutating func kind(_ name: StaticString, in store: EventStore) throws(StoreError) -> EventKind {
        for (position, known) in names.enumerated() where known.utf8CodeUnitCount == name.utf8CodeUnitCount {
            if memcmp(known.utf8Start, name.utf8Start, name.utf8CodeUnitCount) == 0 { return kinds[position] }
        }
        let kind = try store.kind(String(describing: name), encoding)
        names.append(name)
        kinds.append(kind)
        return kind
    }
}
