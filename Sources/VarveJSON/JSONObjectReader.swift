import CSimdJSON

/// Why a line isn't what it should be.
public struct JSONLineError: Error, Equatable, CustomStringConvertible {
    /// What is wrong.
    public var reason: String
    /// The member it is about, if any.
    public var key: String?

    /// An error.
    public init(reason: String, key: String? = nil) {
        self.reason = reason
        self.key = key
    }

    /// One line of text.
    public var description: String { key.map { "\($0): \(reason)" } ?? reason }
}

/// Reads the members of one JSON object at a time. Its memory is reused: use one for each thread.
///
/// The members are those of the last line that ``parse(_:)`` took. Of members with the same key the first counts. A member that is
/// missing or null gives nil, and one of another type an error.
public final class JSONObjectReader {
    private let parser: OpaquePointer?

    /// A reader.
    public init() { parser = varve_json_parser_new_deep() }

    deinit { varve_json_parser_free(parser) }

    /// Takes one line, which must be one JSON object; it is copied. Linear in its length.
    public func parse(_ line: UnsafeRawBufferPointer) throws(JSONLineError) {
        guard let parser else { throw JSONLineError(reason: "out of memory") }
        // SAFETY: `line` holds `line.count` bytes; a null address has none.
        let type = varve_json_parse(parser, line.baseAddress?.assumingMemoryBound(to: UInt8.self), line.count)
        if type == varve_json_object { return }
        guard type == varve_json_missing else {
            // Nothing can be asked of a document that was refused.
            _ = varve_json_parse(parser, nil, 0)
            throw JSONLineError(reason: "not a JSON object")
        }
        throw JSONLineError(reason: varve_json_error(parser).map { String(cString: $0) } ?? "not valid JSON")
    }

    private func withKey<Answer>(_ key: String, _ body: (OpaquePointer, UnsafePointer<UInt8>?, Int) -> Answer)
        -> Answer?
    {
        guard let parser else { return nil }
        var copy = key
        return copy.withUTF8 { body(parser, $0.baseAddress, $0.count) }
    }

    private func member(_ key: String) -> varve_json_value? {
        guard let value = withKey(key, varve_json_member), value.type != varve_json_missing,
            value.type != varve_json_null
        else { return nil }
        return value
    }

    private static func text(_ value: varve_json_value) -> UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: value.text, count: value.length)
    }

    /// Whether there is such a member, null or not.
    public func has(_ key: String) -> Bool {
        (withKey(key, varve_json_member)?.type ?? varve_json_missing) != varve_json_missing
    }

    /// A string.
    public func string(_ key: String) throws(JSONLineError) -> String? {
        guard let value = member(key) else { return nil }
        guard value.type == varve_json_string else { throw JSONLineError(reason: "not a string", key: key) }
        return String(decoding: Self.text(value), as: UTF8.self)
    }

    /// The UTF-8 of a string.
    public func bytes(ofString key: String) throws(JSONLineError) -> [UInt8]? {
        guard let value = member(key) else { return nil }
        guard value.type == varve_json_string else { throw JSONLineError(reason: "not a string", key: key) }
        return Array(Self.text(value))
    }

    /// A whole number within Int64.
    public func int64(_ key: String) throws(JSONLineError) -> Int64? {
        guard let value = member(key) else { return nil }
        guard value.type == varve_json_int64 else {
            throw JSONLineError(reason: "not a whole number of 64 bits with sign", key: key)
        }
        return value.integer
    }

    /// A whole number within UInt64.
    public func uint64(_ key: String) throws(JSONLineError) -> UInt64? {
        guard let value = member(key) else { return nil }
        if value.type == varve_json_uint64 { return UInt64(bitPattern: value.integer) }
        guard value.type == varve_json_int64, value.integer >= 0 else {
            throw JSONLineError(reason: "not a whole number of 64 bits from zero up", key: key)
        }
        return UInt64(value.integer)
    }

    /// A boolean.
    public func bool(_ key: String) throws(JSONLineError) -> Bool? {
        guard let value = member(key) else { return nil }
        guard value.type == varve_json_bool else {
            throw JSONLineError(reason: "neither true nor false", key: key)
        }
        return value.integer != 0
    }

    /// Where the member's value stands in the line, without white space around it; null is a value here. Linear in the line.
    public func rawValue(_ key: String) -> Range<Int>? {
        var start = 0
        var end = 0
        guard withKey(key, { varve_json_member_range($0, $1, $2, &start, &end) }) == true, start <= end else {
            return nil
        }
        return start..<end
    }

    /// An object whose members are all strings; of members with the same key the last counts.
    public func stringMap(_ key: String) throws(JSONLineError) -> [String: String]? {
        guard let parser, let type = withKey(key, varve_json_members_begin), type != varve_json_missing,
            type != varve_json_null
        else { return nil }
        guard type == varve_json_object else { throw JSONLineError(reason: "not an object", key: key) }
        var map: [String: String] = [:]
        var name: UnsafePointer<UInt8>?
        var length = 0
        var value = varve_json_value()
        while varve_json_members_next(parser, &name, &length, &value) {
            let text = String(decoding: UnsafeBufferPointer(start: name, count: length), as: UTF8.self)
            guard value.type == varve_json_string else {
                throw JSONLineError(reason: "not a string", key: "\(key).\(text)")
            }
            map[text] = String(decoding: Self.text(value), as: UTF8.self)
        }
        return map
    }
}
