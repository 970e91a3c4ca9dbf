/// A UUID: 16 bytes, compared as they stand. Identifies a store or a segment.
public struct UniqueID: Hashable, Sendable {
    /// The first eight bytes, as a little-endian number.
    public var low: UInt64
    /// The last eight bytes, as a little-endian number.
    public var high: UInt64

    /// All zeros: none.
    public static let zero = UniqueID(low: 0, high: 0)

    /// From both halves, each read as a little-endian number.
    @inlinable
    public init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }

    /// A random UUID (RFC 9562, version 4) from 16 random bytes; nil when there are fewer.
    public init?(random bytes: [UInt8]) {
        guard bytes.count >= 16 else { return nil }
        var bytes = bytes
        bytes[6] = bytes[6] & 0x0F | 0x40
        bytes[8] = bytes[8] & 0x3F | 0x80
        low = bytes[0..<8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        high = bytes[8..<16].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// The 16 bytes.
    public var bytes: [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: low >> ($0 * 8)) }
            + (0..<8).map { UInt8(truncatingIfNeeded: high >> ($0 * 8)) }
    }
}

extension UniqueID: CustomStringConvertible {
    /// The usual form: 8-4-4-4-12 hexadecimal digits.
    public var description: String {
        var text = ""
        for (position, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(position) { text += "-" }
            if byte < 16 { text += "0" }
            text += String(byte, radix: 16)
        }
        return text
    }

    /// Reads the form that `description` gives, in either case; nil for anything else.
    public init?(_ text: String) {
        var digits: [UInt8] = []
        for (position, character) in text.utf8.enumerated() {
            if [8, 13, 18, 23].contains(position) {
                guard character == UInt8(ascii: "-") else { return nil }
            } else {
                guard let digit = Character(UnicodeScalar(character)).hexDigitValue else { return nil }
                digits.append(UInt8(digit))
            }
        }
        guard digits.count == 32 else { return nil }
        let bytes = (0..<16).map { digits[$0 * 2] << 4 | digits[$0 * 2 + 1] }
        low = bytes[0..<8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        high = bytes[8..<16].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
