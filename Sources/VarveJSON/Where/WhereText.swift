internal import CTextSearch

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// Texts as the language compares and searches them: by their bytes.
enum WhereText {
    static func isEqual(_ left: WhereValue, _ right: WhereValue) -> Bool {
        guard left.count == right.count else { return false }
        guard left.count > 0, let a = left.bytes, let b = right.bytes else { return true }
        return memcmp(a, b, left.count) == 0
    }

    static func order(_ left: WhereValue, _ right: WhereValue) -> WhereOrder {
        let count = min(left.count, right.count)
        if count > 0, let a = left.bytes, let b = right.bytes {
            let sign = memcmp(a, b, count)
            if sign != 0 { return WhereOrder(sign, 0) }
        }
        return WhereOrder(left.count, right.count)
    }

    /// `needle`: the wanted text made ready to be looked for, where it is the same for all events.
    static func fulfils(
        _ text: WhereValue, _ textOperator: WhereTextOperator, _ wanted: WhereValue,
        needle: OpaquePointer? = nil
    ) -> Bool {
        guard wanted.count > 0, let bytes = wanted.bytes else { return true }
        guard text.count >= wanted.count, let start = text.bytes else { return false }
        switch textOperator {
        case .startswith: return memcmp(start, bytes, wanted.count) == 0
        case .endswith: return memcmp(start + (text.count - wanted.count), bytes, wanted.count) == 0
        case .contains, .has:
            // Without one it is made for this text alone.
            let made = needle == nil ? varve_needle_new(bytes, wanted.count, false) : nil
            defer { if let made { varve_needle_free(made) } }
            guard let needle = needle ?? made else { return false }
            var from = 0
            while true {
                // SAFETY: `start` holds as many bytes as the text has.
                let place = varve_needle_find(needle, start, text.count, from)
                if place >= text.count { return false }
                let end = start + text.count
                let isWhole =
                    isBoundary(start + place, start, end)
                    && isBoundary(start + place + wanted.count, start, end)
                if textOperator == .contains || isWhole { return true }
                from = place + 1
                guard isOfToken(bytes[0]) else { continue }
                // Where a token goes on no place is a boundary: each would be found and dropped.
                while from < text.count, isOfToken(start[from - 1]) { from += 1 }
            }
        }
    }

    /// Whether no token goes on across a place.
    private static func isBoundary(
        _ place: UnsafePointer<UInt8>, _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
    ) -> Bool {
        place == start || place == end || !isOfToken(place[-1]) || !isOfToken(place[0])
    }

    /// Whether a byte is part of a token: a letter or a digit of ASCII, or of a character beyond it.
    static func isOfToken(_ byte: UInt8) -> Bool {
        byte >= 0x80 || byte &- 48 <= 9 || (byte | 0x20) &- 97 < 26
    }

    /// Code points.
    static func size(_ text: WhereValue) -> UInt64 {
        text.raw.reduce(0) { $1 & 0xC0 == 0x80 ? $0 : $0 + 1 }
    }

    /// In lower case: letters of ASCII to letters of ASCII, others to what Unicode has as their simple lower
    /// case, where that is one character beyond ASCII. So the Kelvin sign is no k. Bytes that are no UTF-8
    /// stay. `room` is called once, with how many bytes the text may take.
    static func lower(_ text: WhereValue, room: (Int) -> UnsafeMutablePointer<UInt8>) -> WhereValue {
        guard text.count > 0, let bytes = text.bytes else { return text }
        // A character of two bytes can become one of three.
        let to = room(text.count * 2)
        var index = 0
        while index < text.count {
            let byte = bytes[index]
            if byte >= 0x80 { break }
            to[index] = byte &- 65 < 26 ? byte | 0x20 : byte
            index += 1
        }
        if index == text.count { return .text(to, index) }
        var count = index
        let rest = UnsafeBufferPointer(start: bytes + index, count: text.count - index)
        var position = 0
        while position < rest.count {
            let byte = rest[position]
            if byte < 0x80 {
                to[count] = byte &- 65 < 26 ? byte | 0x20 : byte
                count += 1
                position += 1
                continue
            }
            let length = byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4
            let end = min(position + length, rest.count)
            if let lowered = loweredCharacter(rest[position..<end]) {
                for unit in UTF8.encode(lowered).unsafelyUnwrapped {
                    to[count] = unit
                    count += 1
                }
            } else {
                for place in position..<end {
                    to[count] = rest[place]
                    count += 1
                }
            }
            position = end
        }
        return .text(to, count)
    }

    /// The other character that a character's bytes are in lower case.
    private static func loweredCharacter(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) -> Unicode.Scalar? {
        var decoder = UTF8()
        var units = bytes.makeIterator()
        guard case .scalarValue(let scalar) = decoder.decode(&units) else { return nil }
        let lowered = scalar.simpleLowerCase
        return lowered == scalar ? nil : lowered
    }
}
