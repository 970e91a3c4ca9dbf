/// Looks for a text character by character, case ignored: in the bytes as they are, and in JSON also in those
/// that they mean.
///
/// Each character is brought to its simple lower case: one character to one. ASCII and what is beyond it
/// never become each other, so the Kelvin sign is no `k`. Bytes that are part of no character match nothing.
struct FoldedSearch: TextSearch {
    private let scalars: [UInt32]
    /// For each beginning: the longest beginning that is also its end (Knuth, Morris, Pratt).
    private let shorter: [Int]
    /// A part of the text that is ASCII: what does not hold it need not be looked at further.
    private let part: ByteSearch?

    /// Of a text with a character beyond ASCII.
    init(_ text: String) {
        let scalars = Self.lowerCase.withUnsafeBufferPointer { lowerCase in
            text.unicodeScalars.map { Self.lowered($0.value, lowerCase) }
        }
        var shorter = [Int](repeating: 0, count: scalars.count)
        var same = 0
        for index in scalars.indices.dropFirst() {
            while same > 0 && scalars[index] != scalars[same] { same = shorter[same - 1] }
            if scalars[index] == scalars[same] { same += 1 }
            shorter[index] = same
        }
        self.scalars = scalars
        self.shorter = shorter
        part = Self.parts(of: text).max { $0.count < $1.count }.map { ByteSearch($0, ignoringCase: true) }
    }

    /// The runs of ASCII in a text.
    static func parts(of text: String) -> [[UInt8]] { text.utf8.split { $0 >= 0x80 }.map(Array.init) }

    // Lower case may have fewer bytes than upper case: only the number of characters is sure.
    var byteCountMin: Int { scalars.count }

    func mark(_ list: inout PayloadList, with unescaper: JSONUnescaper) {
        if let part {
            part.mark(&list, with: unescaper)
            list.replace(.found, with: .maybe)
        } else {
            list.replace(.open, with: .maybe)
        }
        list.decide(.maybe) { item in
            let hasBeyond =
                Self.firstBeyond(item.bytes, from: 0) < item.bytes.count
                || item.isJSON && Self.numbered.isFound(in: item.bytes)
            guard hasBeyond else { return false }
            return isFound(in: item.bytes)
                || item.isJSON && unescaper.contains(item.bytes) { isFound(in: $0) }
        }
    }

    // The text has a character beyond ASCII, which a payload holds as it is or by its number.
    private static let numbered = ByteNeedle(Array("\\u".utf8), ignoringCase: false)

    /// Whether it stands in bytes of UTF-8. Linear.
    func isFound(in bytes: UnsafeRawBufferPointer) -> Bool {
        scalars.withUnsafeBufferPointer { scalars in
            Self.lowerCase.withUnsafeBufferPointer { lowerCase in
                isFound(scalars, in: bytes, lowerCase)
            }
        }
    }

    private func isFound(
        _ scalars: UnsafeBufferPointer<UInt32>, in bytes: UnsafeRawBufferPointer,
        _ lowerCase: UnsafeBufferPointer<UInt32>
    ) -> Bool {
        let beginsBeyond = scalars[0] >= 0x80
        var same = 0
        var position = 0
        while position < bytes.count {
            // Most bytes are ASCII.
            if same == 0, beginsBeyond, bytes[position] < 0x80 {
                position = Self.firstBeyond(bytes, from: position)
                if position == bytes.count { return false }
            }
            guard let (scalar, length) = Self.scalar(bytes, at: position) else {
                same = 0
                position += 1
                continue
            }
            position += length
            let lowered = Self.lowered(scalar, lowerCase)
            while same > 0 && scalars[same] != lowered { same = shorter[same - 1] }
            if scalars[same] == lowered { same += 1 }
            if same == scalars.count { return true }
        }
        return false
    }

    /// Where the first byte beyond ASCII stands, at or after `from`; the count where none does.
    private static func firstBeyond(_ bytes: UnsafeRawBufferPointer, from: Int) -> Int {
        var position = from
        while position + 8 <= bytes.count,
            bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
        {
            position += 8
        }
        while position < bytes.count, bytes[position] < 0x80 { position += 1 }
        return position
    }

    /// The character that begins at a place, and its bytes; nil where none does.
    @inline(__always)
    private static func scalar(_ bytes: UnsafeRawBufferPointer, at position: Int) -> (UInt32, Int)? {
        let first = bytes[position]
        if first < 0x80 { return (UInt32(first), 1) }
        let length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2
        guard first >= 0xC2, first <= 0xF4, position + length <= bytes.count else { return nil }
        var value = UInt32(first) & (0x7F >> UInt32(length))
        for next in (position + 1)..<(position + length) {
            guard bytes[next] & 0xC0 == 0x80 else { return nil }
            value = value << 6 | UInt32(bytes[next] & 0x3F)
        }
        // Written longer than it need be, half of a surrogate pair, or beyond all characters.
        let smallest: UInt32 = length == 4 ? 0x10000 : length == 3 ? 0x800 : 0x80
        guard value >= smallest, Unicode.Scalar(value) != nil else { return nil }
        return (value, length)
    }

    /// A character's simple lower case.
    @inline(__always)
    private static func lowered(_ scalar: UInt32, _ lowerCase: UnsafeBufferPointer<UInt32>) -> UInt32 {
        if scalar < 0x80 { return scalar >= 0x41 && scalar <= 0x5A ? scalar + 0x20 : scalar }
        return scalar < UInt32(lowerCase.count) ? lowerCase[Int(scalar)] : scalar
    }

    /// Of all characters up to the last alphabet that has case.
    private static let lowerCase: [UInt32] = (0..<0x1F000).map { value in
        guard value >= 0x80, let scalar = Unicode.Scalar(UInt32(value)) else { return UInt32(value) }
        return scalar.simpleLowerCase.value
    }
}

extension Unicode.Scalar {
    /// The lower case of a character beyond ASCII where that is one character beyond ASCII; itself otherwise. So the Kelvin sign is no k.
    var simpleLowerCase: Unicode.Scalar {
        let mapping = properties.lowercaseMapping.unicodeScalars
        guard mapping.count == 1, let lower = mapping.first, !lower.isASCII else { return self }
        return lower
    }
}
