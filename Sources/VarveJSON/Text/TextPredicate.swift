public import Varve

/// Finds events whose payload holds a text.
///
/// The text is found as its exact bytes. In payloads of a JSON kind it is also found in the text that the
/// bytes mean, with the escapes of JSON undone: `C:\Windows` is in `"C:\\Windows"`, `é` in `"\u00e9"`, `a/b`
/// in `"a\/b"`. Keys, values and what stands between them are one text to it.
///
/// Where case is ignored, characters are brought to their simple lower case, one character to one. ASCII
/// letters and characters beyond ASCII never mean each other. Bytes that are not UTF-8 are found as they are;
/// of them only the case of ASCII letters is ignored.
public struct TextPredicate: EventPredicate {
    /// There was nothing to look for.
    public struct EmptyText: Error, Hashable, CustomStringConvertible {
        /// For people.
        public var description: String { "there is no text to look for: an empty text is in every event" }
    }

    /// What is looked for.
    public let bytes: [UInt8]
    /// Whether upper and lower case are the same.
    public let isIgnoringCase: Bool

    private let search: any TextSearch

    /// Looks for a text. Throws where it is empty.
    public init(_ text: String, ignoringCase: Bool = false) throws(EmptyText) {
        try self.init(bytes: Array(text.utf8), ignoringCase: ignoringCase)
    }

    /// Looks for bytes. Throws where there are none.
    public init(bytes: [UInt8], ignoringCase: Bool = false) throws(EmptyText) {
        if bytes.isEmpty { throw EmptyText() }
        self.bytes = bytes
        isIgnoringCase = ignoringCase
        if ignoringCase, bytes.contains(where: { $0 >= 0x80 }),
            let text = String(validating: bytes, as: UTF8.self)
        {
            search = FoldedSearch(text)
        } else {
            search = ByteSearch(bytes, ignoringCase: ignoringCase)
        }
    }

    /// `contains "text"`, with what is no UTF-8 in hexadecimal.
    public var description: String {
        "contains \(shown)\(isIgnoringCase ? " nocase" : "")"
    }

    private var shown: String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            return "0x" + bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        }
        var quoted = ByteBuffer()
        quoted.appendJSONString(text)
        return quoted.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }

    /// Always.
    public var needsPayload: Bool { true }

    /// The text itself; where case is ignored, its parts in ASCII.
    public var textRequirement: TextRequirement {
        guard isIgnoringCase, let text = String(validating: bytes, as: UTF8.self) else { return .text(bytes) }
        let parts = FoldedSearch.parts(of: text)
        if parts.first?.count == bytes.count { return .text(bytes) }
        return parts.isEmpty ? .nothing : .all(parts.map { .text($0) })
    }

    /// What evaluates it.
    public func makeEvaluator() -> any PredicateEvaluator { TextEvaluator(search) }
}
