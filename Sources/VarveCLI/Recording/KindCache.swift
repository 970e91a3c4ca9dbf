import Varve

/// Kinds by the bytes of their names, so that a line costs a hash and a comparison and no string.
struct KindCache {
    struct Entry {
        var kind: EventKind
        var events: UInt64 = 0
        fileprivate var hash: UInt64
        fileprivate var name: [UInt8]
    }

    /// In order of appearance.
    private(set) var entries: [Entry] = []
    /// Open addressing with linear probing: positions in `entries`, or -1. A power of two, at most half full.
    private var slots = [Int32](repeating: -1, count: 64)
    private let encoding: PayloadEncoding

    /// - Parameter encoding: of all kinds in it.
    init(encoding: PayloadEncoding) { self.encoding = encoding }

    /// The kind of that name, with one more event counted.
    ///
    /// - Throws: what the store says when it is asked for a kind for the first time.
    mutating func kind(_ name: UnsafeRawBufferPointer, in store: EventStore) throws(StoreError) -> EventKind {
        let hash = Self.hash(name)
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while true {
            let position = Int(slots[slot])
            if position < 0 { break }
            if entries[position].hash == hash, Self.isEqual(entries[position].name, name) {
                entries[position].events += 1
                return entries[position].kind
            }
            slot = (slot + 1) & (slots.count - 1)
        }
        let kind = try store.kind(String(decoding: name, as: UTF8.self), encoding)
        slots[slot] = Int32(entries.count)
        entries.append(Entry(kind: kind, events: 1, hash: hash, name: Array(name)))
        if entries.count * 2 > slots.count { grow() }
        return kind
    }

    private mutating func grow() {
        slots = [Int32](repeating: -1, count: slots.count * 2)
        for (position, entry) in entries.enumerated() {
            var slot = Int(truncatingIfNeeded: entry.hash) & (slots.count - 1)
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
        name.count == bytes.count && name.withUnsafeBytes { own in own.elementsEqual(bytes) }
    }
}
