/// The plainest search: every place is tried.
struct Plain {
    private let text: [UInt32]
    private let fold: ([UInt8]) -> [UInt32]

    init(_ text: [UInt8], ignoringCase: Bool) {
        if ignoringCase, String(validating: text, as: UTF8.self) != nil {
            self.init(text) { Plain.lowered($0) }
        } else {
            self.init(text, ignoringASCIICase: ignoringCase)
        }
    }

    init(_ text: [UInt8], ignoringASCIICase: Bool) {
        self.init(text) { bytes in
            bytes.map { byte in
                let isUpper = byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z")
                return UInt32(ignoringASCIICase && isUpper ? byte + 32 : byte)
            }
        }
    }

    private init(_ text: [UInt8], _ fold: @escaping ([UInt8]) -> [UInt32]) {
        self.text = fold(text)
        self.fold = fold
    }

    func isFound(in payload: [UInt8], isJSON: Bool) -> Bool {
        ([payload] + (isJSON ? Plain.unescaped(payload) : [])).contains { bytes in
            let all = fold(bytes)
            return all.indices.contains { all[$0...].starts(with: text) }
        }
    }

    /// Characters in simple lower case; what is none of UTF-8 is a value that no character has.
    private static func lowered(_ bytes: [UInt8]) -> [UInt32] {
        var parser = Unicode.UTF8.ForwardParser()
        var source = bytes.makeIterator()
        var values: [UInt32] = []
        while true {
            switch parser.parseScalar(from: &source) {
            case .emptyInput: return values
            case .error: values.append(.max)
            case .valid(let encoded):
                let scalar = UTF8.decode(encoded)
                let lower = scalar.properties.lowercaseMapping.unicodeScalars
                let isSimple = lower.count == 1 && lower.first?.isASCII == scalar.isASCII
                values.append(isSimple ? lower.first?.value ?? 0 : scalar.value)
            }
        }
    }

    /// What the bytes mean: a text ends at an escape that means nothing.
    private static func unescaped(_ bytes: [UInt8]) -> [[UInt8]] {
        let short = Array("\"\\/bfnrt".utf8)
        let meanings: [UInt8] = [0x22, 0x5C, 0x2F, 0x08, 0x0C, 0x0A, 0x0D, 0x09]
        var texts: [[UInt8]] = [[]]
        var rest = bytes[...]
        while let byte = rest.first {
            if byte != UInt8(ascii: "\\") {
                texts[texts.count - 1].append(byte)
                rest = rest.dropFirst()
            } else if let letter = rest.dropFirst().first, let place = short.firstIndex(of: letter) {
                texts[texts.count - 1].append(meanings[place])
                rest = rest.dropFirst(2)
            } else if let high = unit(rest) {
                rest = rest.dropFirst(6)
                if let scalar = Unicode.Scalar(high) {
                    texts[texts.count - 1] += Array(String(Character(scalar)).utf8)
                } else if UTF16.isLeadSurrogate(high), let low = unit(rest), UTF16.isTrailSurrogate(low) {
                    rest = rest.dropFirst(6)
                    texts[texts.count - 1] += Array(String(decoding: [high, low], as: UTF16.self).utf8)
                } else {
                    texts.append([])
                }
            } else {
                rest = rest.dropFirst()
                texts.append([])
            }
        }
        return texts
    }

    private static func unit(_ bytes: ArraySlice<UInt8>) -> UInt16? {
        let digits = Array(bytes.prefix(6))
        guard digits.count == 6, digits.starts(with: "\\u".utf8) else { return nil }
        guard digits[2...].allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }) else { return nil }
        return UInt16(String(decoding: digits[2...], as: UTF8.self), radix: 16)
    }
}
