import CSimdJSON

/// Reads one JSON document at a time, with the place of each value and key in its bytes. Its memory is reused: use one for each
/// thread.
///
/// Nodes are those of the last document that ``parse(_:isPadded:)`` took.
package final class JSONNodeReader {
    private let parser: OpaquePointer?

    package init() { parser = varve_json_parser_new_deep() }

    deinit { varve_json_parser_free(parser) }

    /// Takes a document, of any depth up to 1,000, and gives its root. Linear in its length.
    ///
    /// - Parameter isPadded: whether 64 bytes after them are readable too, and all of them stay until the next document;
    ///   otherwise they are copied.
    /// - Throws: where and why it is not valid JSON.
    package func parse(
        _ bytes: UnsafeRawBufferPointer, isPadded: Bool = false
    ) throws(JSONStreamError) -> JSONNode {
        var root = varve_json_part()
        guard let parser else { throw JSONStreamError(byteOffset: 0, reason: "out of memory") }
        // SAFETY: `bytes` holds as many as it says, and 64 more where the caller promises so.
        let isValid = varve_json_parse_root(
            parser, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count, isPadded, &root)
        if isValid { return JSONNode(part: root) }
        let reason = varve_json_error(parser).map { String(cString: $0) } ?? "not valid JSON"
        // Nothing can be asked of a document that was refused.
        _ = varve_json_parse(parser, nil, 0)
        throw JSONStreamError(byteOffset: UInt64(JSONFault.offset(in: bytes) ?? 0), reason: reason)
    }

    /// The members of an object in their order, those with the same key too; none of any other value.
    package func members(of node: JSONNode) -> Members { Members(parser, node) }

    /// The members that are still to come.
    package struct Members: IteratorProtocol {
        private let parser: OpaquePointer?
        private var walk = varve_json_walk()

        fileprivate init(_ parser: OpaquePointer?, _ node: JSONNode) {
            self.parser = parser
            withUnsafePointer(to: node.part) { varve_json_walk_begin($0, &walk) }
        }

        package mutating func next() -> JSONNode? {
            var part = varve_json_part()
            guard let parser, varve_json_walk_next(parser, &walk, &part) else { return nil }
            return JSONNode(part: part)
        }
    }

    /// Where the first bracket stands that opens a level beyond `depthMax`, if one does. Linear.
    package static func firstBracket(
        deeperThan depthMax: Int, in bytes: UnsafeRawBufferPointer
    ) -> Int? {
        guard let base = bytes.baseAddress else { return nil }
        // SAFETY: `base` holds `bytes.count` bytes.
        let found = varve_json_too_deep(
            base.assumingMemoryBound(to: UInt8.self), bytes.count, max(depthMax, 0))
        return found < bytes.count ? found : nil
    }
}

/// A value of a document, and the key that it has as a member.
package struct JSONNode {
    fileprivate let part: varve_json_part

    package enum Kind {
        case null, bool, number, string, array, object
    }

    package var kind: Kind {
        switch part.value.type {
        case varve_json_bool: .bool
        case varve_json_int64, varve_json_uint64, varve_json_double: .number
        case varve_json_string: .string
        case varve_json_array: .array
        case varve_json_object: .object
        default: .null
        }
    }

    /// Where it stands in the document, without white space around it.
    package var range: Range<Int> { part.start..<max(part.start, part.end) }

    /// The key's UTF-8. Valid until the reader's next document; empty for a root.
    package var key: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: part.key, count: part.key == nil ? 0 : part.key_length)
    }

    /// Where the key's opening quote stands.
    package var keyOffset: Int { part.key_start }

    /// A string's UTF-8. Valid until the reader's next document.
    package var string: UnsafeRawBufferPointer? {
        guard kind == .string else { return nil }
        return UnsafeRawBufferPointer(start: part.value.text, count: part.value.length)
    }

    /// A whole number that fits; `-0` is zero here.
    package var unsigned: UInt64? {
        switch part.value.type {
        case varve_json_uint64: UInt64(bitPattern: part.value.integer)
        case varve_json_int64: UInt64(exactly: part.value.integer)
        default: nil
        }
    }
}
