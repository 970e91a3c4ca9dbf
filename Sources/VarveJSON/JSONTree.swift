/// A JSON document as what it means, for comparing two of them: equal trees are the same value, and have the same hash.
///
/// - White space does not matter, nor how a string's characters are escaped. Strings and keys are compared by their code points:
///   `é` as one of them is not `e` and an accent.
/// - The order of an object's members does not matter. Of members with the same key the last counts.
/// - A number without a fraction and an exponent is a whole number, and never equal to one with either: `1` is not `1.0`. Both are
///   compared as decimal numbers, exactly and whatever their size: `18446744073709551615` is not `18446744073709551616`, while
///   `1.50`, `1.5` and `15e-1` are the same. The sign of zero counts: `-0.0` is not `0.0`, and `-0` not `0`. (Exponents of more than
///   18 digits are compared as they are written.)
package indirect enum JSONTree: Hashable, Sendable {
    case null
    case bool(Bool)
    case number(JSONNumber)
    /// UTF-8.
    case string([UInt8])
    case array([JSONTree])
    /// Members by the UTF-8 of their keys.
    case object([[UInt8]: JSONTree])

    /// The tree of a document that is known to be valid. Linear. The stack grows with its depth.
    package init(validated bytes: UnsafeRawBufferPointer) {
        var parser = Parser(bytes: bytes)
        self = parser.value()
    }
}

/// A number by its decimal value.
package struct JSONNumber: Hashable, Sendable {
    let isWhole: Bool
    let isNegative: Bool
    /// The digits of 0.D * 10^point, without zeros around them; none for zero.
    let digits: [UInt8]
    let point: Int

    /// The number that valid text stands for.
    init(_ text: UnsafeRawBufferPointer) {
        isNegative = text.first == UInt8(ascii: "-")
        var point = 0
        var digits: [UInt8] = []
        var index = isNegative ? 1 : 0
        var isInFraction = false
        while index < text.count {
            let byte = text[index]
            if byte == UInt8(ascii: ".") {
                isInFraction = true
            } else if byte &- 48 <= 9 {
                if byte != 48 || !digits.isEmpty {
                    digits.append(byte)
                    if !isInFraction { point += 1 }
                } else if isInFraction {
                    point -= 1
                }
            } else {
                break
            }
            index += 1
        }
        isWhole = !isInFraction && index == text.count
        while digits.last == 48 { digits.removeLast() }
        if digits.isEmpty {
            point = 0
        } else if index < text.count {
            let sign = text[min(index + 1, text.count - 1)]
            let exponent = text[index...].drop { !($0 &- 49 <= 8) }
            if exponent.count > 18 {
                digits = Array(text)
                point = 0
            } else {
                let size = exponent.reduce(0) { $0 * 10 + Int($1 &- 48) }
                point += sign == UInt8(ascii: "-") ? -size : size
            }
        }
        self.digits = digits
        self.point = point
    }
}

extension JSONTree {
    /// Walks text that is known to be valid.
    private struct Parser {
        let bytes: UnsafeRawBufferPointer
        var index = 0

        init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

        mutating func peek() -> UInt8 {
            while index < bytes.count, JSONFault.isSpace(bytes[index]) { index += 1 }
            return index < bytes.count ? bytes[index] : 0
        }

        /// Whether another member follows; otherwise the closing bracket is taken.
        mutating func hasMore(_ closing: UInt8) -> Bool {
            let byte = peek()
            if byte == UInt8(ascii: ",") { index += 1 }
            if byte != closing, index < bytes.count { return true }
            index += 1
            return false
        }

        mutating func value() -> JSONTree {
            switch peek() {
            case UInt8(ascii: "{"):
                index += 1
                var members: [[UInt8]: JSONTree] = [:]
                while hasMore(UInt8(ascii: "}")) {
                    _ = peek()
                    let key = string()
                    _ = peek()
                    index += 1
                    members[key] = value()
                }
                return .object(members)
            case UInt8(ascii: "["):
                index += 1
                var elements: [JSONTree] = []
                while hasMore(UInt8(ascii: "]")) { elements.append(value()) }
                return .array(elements)
            case UInt8(ascii: "\""): return .string(string())
            case UInt8(ascii: "n"):
                index += 4
                return .null
            case UInt8(ascii: "t"):
                index += 4
                return .bool(true)
            case UInt8(ascii: "f"):
                index += 5
                return .bool(false)
            default:
                let start = index
                while index < bytes.count, isOfNumber(bytes[index]) { index += 1 }
                return .number(JSONNumber(UnsafeRawBufferPointer(rebasing: bytes[start..<index])))
            }
        }

        private func isOfNumber(_ byte: UInt8) -> Bool {
            byte &- 48 <= 9 || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+")
                || byte == UInt8(ascii: ".") || byte | 0x20 == UInt8(ascii: "e")
        }

        /// The string whose opening quote comes next.
        mutating func string() -> [UInt8] {
            index += 1
            var text: [UInt8] = []
            while index < bytes.count {
                let byte = bytes[index]
                index += 1
                if byte == UInt8(ascii: "\"") { break }
                guard byte == UInt8(ascii: "\\"), index < bytes.count else {
                    text.append(byte)
                    continue
                }
                let escaped = bytes[index]
                index += 1
                switch escaped {
                case UInt8(ascii: "b"): text.append(0x08)
                case UInt8(ascii: "f"): text.append(0x0C)
                case UInt8(ascii: "n"): text.append(0x0A)
                case UInt8(ascii: "r"): text.append(0x0D)
                case UInt8(ascii: "t"): text.append(0x09)
                case UInt8(ascii: "u"): appendUnit(to: &text)
                default: text.append(escaped)
                }
            }
            return text
        }

        /// The character of the `\uXXXX`, or the two of them, whose digits come next.
        private mutating func appendUnit(to text: inout [UInt8]) {
            var code = JSONFault.unit(bytes, index - 2) ?? 0xFFFD
            index += 4
            if code & 0xFC00 == 0xD800, let low = JSONFault.unit(bytes, index) {
                code = 0x10000 + (code & 0x3FF) << 10 + (low & 0x3FF)
                index += 6
            }
            text.append(contentsOf: String(Unicode.Scalar(code) ?? "\u{FFFD}").utf8)
        }
    }
}
