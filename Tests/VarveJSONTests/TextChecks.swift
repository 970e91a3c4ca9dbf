import Varve

/// A requirement held against bytes, in the plainest way.
func mayHold(_ requirement: TextRequirement, in payload: [UInt8], isJSON: Bool) -> Bool {
    switch requirement {
    case .nothing: true
    case .text(let text, let startsToken, let endsToken):
        (isJSON ? [payload] + plainUnescaped(payload) : [payload]).contains { bytes in
            holds(asciiLowered(text), in: asciiLowered(bytes), startsToken: startsToken, endsToken: endsToken)
        }
    case .all(let parts): parts.allSatisfy { mayHold($0, in: payload, isJSON: isJSON) }
    case .any(let parts): parts.contains { mayHold($0, in: payload, isJSON: isJSON) }
    case .combination(let parts, let test): test(parts.map { mayHold($0, in: payload, isJSON: isJSON) })
    }
}

/// Where one array stands in another.
func places(of needle: [UInt8], in bytes: [UInt8]) -> [Int] {
    guard bytes.count >= needle.count else { return [] }
    return (0...(bytes.count - needle.count)).filter { bytes[$0..<($0 + needle.count)].elementsEqual(needle) }
}

func asciiLowered(_ bytes: [UInt8]) -> [UInt8] {
    bytes.map { $0 >= UInt8(ascii: "A") && $0 <= UInt8(ascii: "Z") ? $0 + 32 : $0 }
}

private func holds(_ text: [UInt8], in bytes: [UInt8], startsToken: Bool, endsToken: Bool) -> Bool {
    let isToken = { (byte: UInt8) in
        byte >= 0x80 || (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
            || (0x61...0x7A).contains(byte)
    }
    return places(of: text, in: bytes).contains { start in
        let end = start + text.count
        return (!startsToken || start == 0 || !isToken(bytes[start - 1]))
            && (!endsToken || end == bytes.count || !isToken(bytes[end]))
    }
}

/// The texts that a payload's bytes mean when the escapes of JSON are undone, in the plainest way. At an
/// escape that is none a text ends and the next one begins.
func plainUnescaped(_ bytes: [UInt8]) -> [[UInt8]] {
    let short: [UInt8: UInt8] = [
        UInt8(ascii: "\""): 0x22, UInt8(ascii: "\\"): 0x5C, UInt8(ascii: "/"): 0x2F, UInt8(ascii: "b"): 0x08,
        UInt8(ascii: "f"): 0x0C, UInt8(ascii: "n"): 0x0A, UInt8(ascii: "r"): 0x0D, UInt8(ascii: "t"): 0x09,
    ]
    var texts: [[UInt8]] = []
    var text: [UInt8] = []
    var rest = bytes[...]
    func unit(_ bytes: ArraySlice<UInt8>) -> UInt16? {
        let digits = bytes.prefix(6)
        guard digits.count == 6, digits.starts(with: "\\u".utf8) else { return nil }
        let isHex = digits.dropFirst(2).allSatisfy { Character(UnicodeScalar($0)).isHexDigit }
        return isHex ? UInt16(String(decoding: digits.dropFirst(2), as: UTF8.self), radix: 16) : nil
    }
    while let byte = rest.first {
        guard byte == UInt8(ascii: "\\") else {
            text.append(byte)
            rest = rest.dropFirst()
            continue
        }
        if let meant = rest.dropFirst().first.flatMap({ short[$0] }) {
            text.append(meant)
            rest = rest.dropFirst(2)
        } else if let high = unit(rest) {
            if let scalar = Unicode.Scalar(high) {
                text += Array(String(Character(scalar)).utf8)
                rest = rest.dropFirst(6)
            } else if UTF16.isLeadSurrogate(high), let low = unit(rest.dropFirst(6)),
                UTF16.isTrailSurrogate(low)
            {
                text += Array(String(decoding: [high, low], as: UTF16.self).utf8)
                rest = rest.dropFirst(12)
            } else {
                texts.append(text)
                text = []
                rest = rest.dropFirst(6)
            }
        } else {
            texts.append(text)
            text = []
            rest = rest.dropFirst()
        }
    }
    return texts + [text]
}
