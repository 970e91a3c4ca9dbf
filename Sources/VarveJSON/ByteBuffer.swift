/// Bytes that grow at the end: what output lines are built in. Reusable, and never copied.
public struct ByteBuffer: ~Copyable {
    @usableFromInline internal var storage: UnsafeMutableRawBufferPointer
    /// Bytes that have been appended.
    public private(set) var count: Int

    /// An empty buffer with room for `capacity` bytes.
    public init(capacity: Int = 256) {
        storage = .allocate(byteCount: max(capacity, 32), alignment: 16)
        count = 0
    }

    deinit { storage.deallocate() }

    /// Forgets the content and keeps the room.
    public mutating func removeAll() { count = 0 }

    /// The bytes, valid during the call.
    public func withUnsafeBytes<Answer: ~Copyable, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Answer
    ) throws(Failure) -> Answer {
        try body(UnsafeRawBufferPointer(rebasing: storage[..<count]))
    }

    /// Makes sure that `additional` more bytes have room. Amortised constant a byte.
    @inline(__always)
    private mutating func reserve(_ additional: Int) {
        if storage.count - count < additional { grow(additional) }
    }

    @inline(never)
    private mutating func grow(_ additional: Int) {
        let larger = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(storage.count * 2, count + additional), alignment: 16)
        // SAFETY: both areas hold at least `count` bytes and are distinct allocations.
        larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: storage[..<count]))
        storage.deallocate()
        storage = larger
    }

    /// Appends one byte.
    public mutating func append(_ byte: UInt8) {
        reserve(1)
        storage[count] = byte
        count += 1
    }

    /// Appends bytes, which mustn't be this buffer's own.
    public mutating func append(_ raw: UnsafeRawBufferPointer) {
        guard let base = raw.baseAddress, raw.count > 0 else { return }
        reserve(raw.count)
        // SAFETY: `reserve` made room for `raw.count` bytes after `count`.
        storage.baseAddress.unsafelyUnwrapped.advanced(by: count).copyMemory(from: base, byteCount: raw.count)
        count += raw.count
    }

    /// Appends a literal's UTF-8.
    public mutating func append(_ text: StaticString) {
        text.withUTF8Buffer { append(UnsafeRawBufferPointer($0)) }
    }

    /// Appends a string's UTF-8.
    public mutating func append(string: String) {
        var text = string
        text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }

    /// Appends an integer in decimal.
    public mutating func append(integer: UInt64) {
        reserve(20)
        var digits = 1
        var rest = integer
        while rest >= 10 {
            rest /= 10
            digits += 1
        }
        rest = integer
        for place in stride(from: count + digits - 1, through: count, by: -1) {
            storage[place] = UInt8(48 + rest % 10)
            rest /= 10
        }
        count += digits
    }

    /// Appends an integer in decimal.
    public mutating func append(integer: Int64) {
        if integer < 0 { append(UInt8(ascii: "-")) }
        append(integer: integer.magnitude)
    }

    /// Appends an integer in decimal.
    public mutating func append(integer: Int) { append(integer: Int64(integer)) }

    /// Appends `value` with leading zeros to `digits` places.
    internal mutating func append(_ value: Int, digits: Int) {
        reserve(digits)
        var rest = value
        for place in stride(from: count + digits - 1, through: count, by: -1) {
            storage[place] = UInt8(48 + rest % 10)
            rest /= 10
        }
        count += digits
    }

    /// Appends a JSON string: quotes around the bytes, and `"`, `\` and controls below U+0020 escaped. The bytes should
    /// be UTF-8; they aren't checked.
    public mutating func appendJSONString(_ utf8: UnsafeRawBufferPointer) {
        reserve(utf8.count + 2)
        append(UInt8(ascii: "\""))
        var start = 0
        var index = 0
        while index < utf8.count {
            let byte = utf8[index]
            if byte >= 0x20 && byte != 0x22 && byte != 0x5C {
                index += 1
                continue
            }
            append(UnsafeRawBufferPointer(rebasing: utf8[start..<index]))
            appendEscape(byte)
            index += 1
            start = index
        }
        append(UnsafeRawBufferPointer(rebasing: utf8[start..<index]))
        append(UInt8(ascii: "\""))
    }

    /// Appends a JSON string.
    public mutating func appendJSONString(_ string: String) {
        var text = string
        text.withUTF8 { appendJSONString(UnsafeRawBufferPointer($0)) }
    }

    private mutating func appendEscape(_ byte: UInt8) {
        append(UInt8(ascii: "\\"))
        switch byte {
        case 0x08: append(UInt8(ascii: "b"))
        case 0x09: append(UInt8(ascii: "t"))
        case 0x0A: append(UInt8(ascii: "n"))
        case 0x0C: append(UInt8(ascii: "f"))
        case 0x0D: append(UInt8(ascii: "r"))
        case 0x22, 0x5C: append(byte)
        default:
            append("u00" as StaticString)
            append(hexadecimal(byte >> 4))
            append(hexadecimal(byte & 15))
        }
    }

    private func hexadecimal(_ nibble: UInt8) -> UInt8 { nibble < 10 ? 48 + nibble : 87 + nibble }

    /// Appends the bytes in base64 (RFC 4648, with padding).
    public mutating func appendBase64(_ raw: UnsafeRawBufferPointer) {
        let (groups, overflow) = ((raw.count + 2) / 3).multipliedReportingOverflow(by: 4)
        precondition(!overflow)
        reserve(groups)
        var index = 0
        while index < raw.count {
            let left = raw.count - index
            var bits = UInt32(raw[index]) << 16
            if left > 1 { bits |= UInt32(raw[index + 1]) << 8 }
            if left > 2 { bits |= UInt32(raw[index + 2]) }
            storage[count] = Base64.letter(bits >> 18)
            storage[count + 1] = Base64.letter(bits >> 12)
            storage[count + 2] = left > 1 ? Base64.letter(bits >> 6) : UInt8(ascii: "=")
            storage[count + 3] = left > 2 ? Base64.letter(bits) : UInt8(ascii: "=")
            count += 4
            index += 3
        }
    }
}

// A buffer owns its storage alone.
extension ByteBuffer: @unchecked Sendable {}

internal enum Base64 {
    @inline(__always)
    static func letter(_ bits: UInt32) -> UInt8 {
        let value = UInt8(truncatingIfNeeded: bits & 63)
        switch value {
        case 0..<26: return 65 + value
        case 26..<52: return 71 + value
        case 52..<62: return value - 4
        case 62: return UInt8(ascii: "+")
        default: return UInt8(ascii: "/")
        }
    }

    @inline(__always)
    static func value(_ letter: UInt8) -> UInt32? {
        switch letter {
        case 65...90: UInt32(letter - 65)
        case 97...122: UInt32(letter - 71)
        case 48...57: UInt32(letter + 4)
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }

    /// Strict: whole groups of four, padding only at the end, no unused bits set, nothing else.
    static func decode(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        var letters = text.count
        while letters > 0 && text.count - letters < 2 && text[letters - 1] == UInt8(ascii: "=") {
            letters -= 1
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 4 * 3)
        var bits: UInt32 = 0
        var held = 0
        for index in 0..<letters {
            guard let value = value(text[index]) else { return nil }
            bits = (bits << 6 | value) & 0xFFF
            held += 6
            if held >= 8 {
                held -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(held)))
            }
        }
        guard bits & ((1 << UInt32(held)) - 1) == 0 else { return nil }
        return bytes
    }
}
