internal import CTextSearch

/// What a pass over payloads looks for.
protocol PayloadNeedle: Sendable {
    /// How many bytes what is found has.
    var count: Int { get }

    /// Where it stands first, at or after `from`; `count` where it doesn't. Linear.
    func find(in start: UnsafeRawPointer, count: Int, from: Int) -> Int
}

/// Bytes to look for, made ready once. Case, where it is ignored, is that of ASCII letters.
final class ByteNeedle: PayloadNeedle {
    let count: Int
    // It is only read after it was made.
    private nonisolated(unsafe) let handle: OpaquePointer

    /// Of at least one byte.
    init(_ bytes: [UInt8], ignoringCase: Bool) {
        precondition(!bytes.isEmpty, "nothing to look for")
        guard let made = varve_needle_new(bytes, bytes.count, ignoringCase) else {
            fatalError("no memory for a text to look for")
        }
        count = bytes.count
        handle = made
    }

    deinit { varve_needle_free(handle) }

    func find(in start: UnsafeRawPointer, count: Int, from: Int) -> Int {
        // SAFETY: the caller lends `count` bytes; the search reads no others.
        varve_needle_find(handle, start.assumingMemoryBound(to: UInt8.self), count, from)
    }

    func isFound(in bytes: UnsafeRawBufferPointer) -> Bool {
        guard let start = bytes.baseAddress else { return false }
        return find(in: start, count: bytes.count, from: 0) < bytes.count
    }
}

/// Escapes of JSON that give a character by its number: those of some UTF-16 units.
struct UnitNeedle: PayloadNeedle {
    let count = 6
    // A bit for each unit.
    private var units = [UInt64](repeating: 0, count: 1 << 10)

    mutating func insert(_ unit: UInt16) { units[Int(unit >> 6)] |= 1 << UInt64(unit & 63) }

    func find(in start: UnsafeRawPointer, count: Int, from: Int) -> Int {
        // SAFETY: the caller lends `count` bytes; the search reads no others.
        varve_unit_find(units, start.assumingMemoryBound(to: UInt8.self), count, from)
    }
}
