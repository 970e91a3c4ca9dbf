/// How a text is looked for in payloads: made once for a predicate, used by all its evaluators.
protocol TextSearch: Sendable {
    /// Payloads of fewer bytes can't hold the text.
    var byteCountMin: Int { get }

    /// Marks the open items that hold the text as found.
    func mark(_ list: inout PayloadList, with unescaper: JSONUnescaper)
}

/// Looks for bytes as they are, and in JSON also for those that they mean; case is that of ASCII letters.
///
/// Undoing escapes takes several times as long as looking for bytes. So it is done only for the payloads in
/// which the text may stand in no other way: where an escape is found that may be part of it.
struct ByteSearch: TextSearch {
    private let needle: ByteNeedle
    /// With each backslash doubled; nil where there is none. In the texts that JSON means every backslash was
    /// written so, or by its number.
    private let doubled: ByteNeedle?
    /// Escapes of two bytes, other than that, that stand for a byte of the text.
    private let escapes: [ByteNeedle]
    /// Escapes that give one of its characters by its number, or the first half of one.
    private let numbered: UnitNeedle

    /// Of at least one byte.
    init(_ bytes: [UInt8], ignoringCase: Bool) {
        needle = ByteNeedle(bytes, ignoringCase: ignoringCase)
        let backslash = UInt8(ascii: "\\")
        doubled =
            bytes.contains(backslash)
            ? ByteNeedle(
                bytes.flatMap { $0 == backslash ? [backslash, backslash] : [$0] }, ignoringCase: ignoringCase)
            : nil
        let written =
            JSONUnescaper.shortEscapes.filter { bytes.contains($0.meaning) }.map(\.letter)
            + [UInt8(ascii: "\""), UInt8(ascii: "/")].filter { bytes.contains($0) }
        escapes = written.map { ByteNeedle([backslash, $0], ignoringCase: false) }
        let text = String(validating: bytes, as: UTF8.self)
        var numbered = UnitNeedle()
        for scalar in (text ?? String(decoding: bytes, as: UTF8.self)).unicodeScalars {
            numbered.insert(UTF16.encode(scalar).unsafelyUnwrapped.first.unsafelyUnwrapped)
            guard ignoringCase, scalar.isASCII, scalar.properties.isAlphabetic else { continue }
            numbered.insert(UInt16(scalar.value) ^ 0x20)
        }
        // Without whole characters a part of any may be a part of it.
        if text == nil { (0x80...0xFFFF).forEach { numbered.insert($0) } }
        self.numbered = numbered
    }

    var byteCountMin: Int { needle.count }

    func mark(_ list: inout PayloadList, with unescaper: JSONUnescaper) {
        list.scan(needle, mark: .found, where: { $0.mark == .open })
        if let doubled { list.scan(doubled, mark: .maybe, where: \.isOpenJSON) }
        for escape in escapes { list.scan(escape, mark: .maybe, where: \.isOpenJSON) }
        list.scan(numbered, mark: .maybe, where: \.isOpenJSON)
        list.decide(.maybe) { item in
            unescaper.contains(item.bytes) { needle.isFound(in: $0) }
        }
    }
}
