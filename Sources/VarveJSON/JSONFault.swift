/// Finds the place for a message: simdjson says that a document is wrong, and not where.
package enum JSONFault {
    private enum Expected {
        case value
        /// A value, or the end of an array that has none.
        case firstValue
        case key
        /// A key, or the end of an object that has none.
        case firstKey
        case colon
        /// A comma or the end of what is open, or the end of the document where nothing is.
        case more
    }

    /// Where the first byte stands that no valid JSON has there, the document's length when it ends early; nil when it is
    /// valid. Linear, with a byte for each open level.
    package static func offset(in bytes: UnsafeRawBufferPointer) -> Int? {
        var open: [UInt8] = []
        var expected = Expected.value
        var index = 0
        while true {
            while index < bytes.count, isSpace(bytes[index]) { index += 1 }
            guard index < bytes.count else {
                if case .more = expected, open.isEmpty { return nil }
                return index
            }
            let byte = bytes[index]
            switch expected {
            case .more:
                guard let bracket = open.last else { return index }
                if byte == UInt8(ascii: ",") {
                    expected = bracket == UInt8(ascii: "{") ? .key : .value
                } else if byte == bracket + 2 {
                    // In ASCII a closing bracket is two after its opening one.
                    open.removeLast()
                } else {
                    return index
                }
                index += 1
            case .colon:
                guard byte == UInt8(ascii: ":") else { return index }
                expected = .value
                index += 1
            case .firstKey where byte == UInt8(ascii: "}"), .firstValue where byte == UInt8(ascii: "]"):
                open.removeLast()
                expected = .more
                index += 1
            case .key, .firstKey:
                guard byte == UInt8(ascii: "\"") else { return index }
                if let wrong = string(bytes, &index) { return wrong }
                expected = .colon
            case .value, .firstValue:
                switch byte {
                case UInt8(ascii: "{"), UInt8(ascii: "["):
                    open.append(byte)
                    expected = byte == UInt8(ascii: "{") ? .firstKey : .firstValue
                    index += 1
                case UInt8(ascii: "\""):
                    if let wrong = string(bytes, &index) { return wrong }
                    expected = .more
                default:
                    if let wrong = scalar(bytes, &index) { return wrong }
                    expected = .more
                }
            }
        }
    }

    package static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte &- 48 <= 9 }

    /// Past the word or number at `index`; or where it goes wrong.
    private static func scalar(_ bytes: UnsafeRawBufferPointer, _ index: inout Int) -> Int? {
        for word: StaticString in ["null", "true", "false"] where bytes[index] == word.utf8Start[0] {
            for place in 0..<word.utf8CodeUnitCount {
                guard index < bytes.count, bytes[index] == word.utf8Start[place] else { return index }
                index += 1
            }
            return nil
        }
        if bytes[index] == UInt8(ascii: "-") { index += 1 }
        func digits() -> Bool {
            let start = index
            while index < bytes.count, isDigit(bytes[index]) { index += 1 }
            return index > start
        }
        let isZero = index < bytes.count && bytes[index] == 48
        if isZero { index += 1 } else if !digits() { return index }
        if index < bytes.count, bytes[index] == UInt8(ascii: ".") {
            index += 1
            if !digits() { return index }
        }
        if index < bytes.count, bytes[index] | 0x20 == UInt8(ascii: "e") {
            index += 1
            if index < bytes.count, bytes[index] == UInt8(ascii: "+") || bytes[index] == UInt8(ascii: "-") {
                index += 1
            }
            if !digits() { return index }
        }
        return nil
    }

    /// Past the string whose opening quote is at `index`; or where it goes wrong.
    private static func string(_ bytes: UnsafeRawBufferPointer, _ index: inout Int) -> Int? {
        index += 1
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "\""):
                index += 1
                return nil
            case ..<0x20: return index
            case UInt8(ascii: "\\"):
                guard let length = escape(bytes, index) else { return index }
                index += length
            case ..<0x80: index += 1
            default:
                guard let length = character(bytes, index) else { return index }
                index += length
            }
        }
        return index
    }

    /// The length of the escape at `start`, a surrogate pair being one; nil when it is none.
    private static func escape(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> Int? {
        guard start + 1 < bytes.count else { return nil }
        switch bytes[start + 1] {
        case UInt8(ascii: "u"): break
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"),
            UInt8(ascii: "f"), UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            return 2
        default: return nil
        }
        guard let unit = unit(bytes, start) else { return nil }
        switch unit {
        case 0xDC00..<0xE000: return nil
        case 0xD800..<0xDC00:
            guard let low = Self.unit(bytes, start + 6), (0xDC00..<0xE000).contains(low) else { return nil }
            return 12
        default: return 6
        }
    }

    /// The code unit of `\uXXXX` at `start`.
    package static func unit(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> UInt32? {
        guard start + 6 <= bytes.count, bytes[start] == UInt8(ascii: "\\"),
            bytes[start + 1] == UInt8(ascii: "u")
        else { return nil }
        var value: UInt32 = 0
        for digit in bytes[start + 2..<start + 6] {
            let letter = (digit | 0x20) &- UInt8(ascii: "a")
            guard isDigit(digit) || letter < 6 else { return nil }
            value = value << 4 | UInt32(isDigit(digit) ? digit - 48 : letter + 10)
        }
        return value
    }

    /// The length of the character of several bytes at `start`; nil when it is not UTF-8.
    private static func character(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> Int? {
        var second: ClosedRange<UInt8> = 0x80...0xBF
        let length: Int
        switch bytes[start] {
        case 0xC2...0xDF: length = 2
        case 0xE0...0xEF:
            length = 3
            if bytes[start] == 0xE0 { second = 0xA0...0xBF }
            if bytes[start] == 0xED { second = 0x80...0x9F }
        case 0xF0...0xF4:
            length = 4
            if bytes[start] == 0xF0 { second = 0x90...0xBF }
            if bytes[start] == 0xF4 { second = 0x80...0x8F }
        default: return nil
        }
        guard start + length <= bytes.count, second.contains(bytes[start + 1]) else { return nil }
        return bytes[start + 2..<start + length].allSatisfy { $0 & 0xC0 == 0x80 } ? length : nil
    }
}
