#if canImport(Darwin)
internal import Darwin
#else
internal import Glibc
#endif

/// Undoes the escapes of JSON in a payload as a whole, wherever they stand.
///
/// An escape that is none, or half of a surrogate pair, stands for nothing that can be searched for: a text
/// ends there and the next begins after it.
final class JSONUnescaper {
    private var room = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 12, alignment: 16)
    // A payload of the largest size is not kept room for.
    private static let kept = 1 << 20

    deinit { room.deallocate() }

    /// Whether one of the texts that the payload means is what `isWanted` looks for. Linear.
    func contains(_ payload: UnsafeRawBufferPointer, where isWanted: (UnsafeRawBufferPointer) -> Bool) -> Bool
    {
        // What is written is never longer than what was read.
        if room.count < payload.count || room.count > Self.kept && payload.count <= Self.kept {
            room.deallocate()
            room = .allocate(byteCount: max(payload.count, 1 << 12), alignment: 16)
        }
        guard let source = payload.baseAddress, let target = room.baseAddress else {
            return isWanted(payload)
        }
        let end = payload.count
        var position = 0
        var count = 0
        while position < end {
            let backslash = memchr(source + position, 0x5C, end - position)
            let plain = backslash.map { UnsafeRawPointer($0) - (source + position) } ?? end - position
            // SAFETY: `count` is at most `position`, so that what is left of the payload has room.
            (target + count).copyMemory(from: source + position, byteCount: plain)
            count += plain
            position += plain
            guard position < end else { break }
            let rest = UnsafeRawBufferPointer(rebasing: payload[position...])
            if let byte = Self.short(rest) {
                target.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
                count += 1
                position += 2
            } else if let unit = Self.unit(rest) {
                var scalar = Unicode.Scalar(unit)
                position += 6
                if UTF16.isLeadSurrogate(unit),
                    let low = Self.unit(UnsafeRawBufferPointer(rebasing: payload[position...])),
                    UTF16.isTrailSurrogate(low)
                {
                    scalar = Unicode.Scalar(0x10000 + (UInt32(unit) & 0x3FF) << 10 + UInt32(low) & 0x3FF)
                    position += 6
                }
                if let scalar {
                    for byte in UTF8.encode(scalar).unsafelyUnwrapped {
                        target.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
                        count += 1
                    }
                } else {
                    if isWanted(UnsafeRawBufferPointer(start: target, count: count)) { return true }
                    count = 0
                }
            } else {
                if isWanted(UnsafeRawBufferPointer(start: target, count: count)) { return true }
                count = 0
                position += 1
            }
        }
        return isWanted(UnsafeRawBufferPointer(start: target, count: count))
    }

    /// What an escape of two bytes stands for, from its backslash.
    private static func short(_ bytes: UnsafeRawBufferPointer) -> UInt8? {
        guard bytes.count >= 2 else { return nil }
        switch bytes[1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return bytes[1]
        default: return shortEscapes.first { $0.letter == bytes[1] }?.meaning
        }
    }

    /// Letters after a backslash that stand for control characters.
    static let shortEscapes: [(letter: UInt8, meaning: UInt8)] = [
        (UInt8(ascii: "n"), 0x0A), (UInt8(ascii: "t"), 0x09), (UInt8(ascii: "r"), 0x0D),
        (UInt8(ascii: "b"), 0x08), (UInt8(ascii: "f"), 0x0C),
    ]

    /// The UTF-16 unit of an escape of six bytes, from its backslash.
    static func unit(_ bytes: UnsafeRawBufferPointer) -> UInt16? {
        guard bytes.count >= 6, bytes[0] == UInt8(ascii: "\\"), bytes[1] == UInt8(ascii: "u") else {
            return nil
        }
        var unit: UInt16 = 0
        for index in 2..<6 {
            let digit: UInt8
            switch bytes[index] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = bytes[index] - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = bytes[index] - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = bytes[index] - UInt8(ascii: "A") + 10
            default: return nil
            }
            unit = unit << 4 | UInt16(digit)
        }
        return unit
    }
}
