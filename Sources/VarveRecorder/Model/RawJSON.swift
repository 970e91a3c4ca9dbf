public import VarveJSON

/// A JSON value, kept byte for byte as it was given.
///
/// Two are equal when they are the same value, and then they hash alike:
///
/// - White space and the escaping of characters do not matter, nor does the order of an object's members. Of members with the same
///   key the last counts.
/// - Numbers are compared as decimals, exactly and at any size, whole numbers apart from those with a fraction or an exponent: `1`
///   is not `1.0`, `18446744073709551615` is not `18446744073709551616`, and `1.50` is `15e-1`. The sign of zero counts: `-0.0` is
///   not `0.0`, `-0` is not `0`.
/// - Strings are compared by their code points, without Unicode's equivalences.
///
/// Comparing the same bytes costs as much as comparing memory. Otherwise both are parsed, which is linear.
public struct RawJSON: Sendable {
    /// How many objects and arrays may be within each other: as many as still fit the ``SessionJSON/depthMax`` of a session where
    /// most is around them, in the result of an ``IpcCall``.
    public static let depthMax = SessionJSON.depthMax - 5

    /// The value as it was given, without white space around it.
    public let bytes: [UInt8]

    /// Takes one JSON value of any type. White space around it is left out. Linear.
    ///
    /// - Throws: where and why it is none, is nested deeper than ``depthMax``, or is longer than 385 MiB.
    public init(_ bytes: [UInt8]) throws(JSONStreamError) { try self.init(bytes, depthMax: Self.depthMax) }

    internal init(_ bytes: [UInt8], depthMax: Int) throws(JSONStreamError) {
        let range = try bytes.withBytes { raw throws(JSONStreamError) in
            // First, so that what is deeper than a parser goes is called so.
            if let deep = JSONNodeReader.firstBracket(deeperThan: depthMax, in: raw) {
                throw JSONStreamError(byteOffset: UInt64(deep), reason: "nested deeper than \(depthMax)")
            }
            return try JSONNodeReader().parse(raw).range
        }
        self.bytes = range.count == bytes.count ? bytes : Array(bytes[range])
    }

    /// Takes the text of one JSON value. See ``init(_:)-([UInt8])``.
    public init(_ text: String) throws(JSONStreamError) { try self.init(Array(text.utf8)) }

    /// Takes bytes that are known to be one valid value without white space around it.
    internal init(validated bytes: [UInt8]) { self.bytes = bytes }

    private var tree: JSONTree { bytes.withUnsafeBytes { JSONTree(validated: $0) } }
}

extension RawJSON: Hashable {
    /// Whether both are the same value.
    public static func == (left: RawJSON, right: RawJSON) -> Bool {
        left.bytes == right.bytes || left.tree == right.tree
    }

    /// Linear: the value is parsed.
    public func hash(into hasher: inout Hasher) { hasher.combine(tree) }
}

extension RawJSON: CustomStringConvertible {
    /// The value's text, as it was given.
    public var description: String { String(decoding: bytes, as: UTF8.self) }
}

extension [UInt8] {
    /// As `withUnsafeBytes`, with the error's type kept.
    internal func withBytes<Answer, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Answer
    ) throws(Failure) -> Answer {
        let result: Result<Answer, Failure> = withUnsafeBytes { bytes in
            do throws(Failure) { return .success(try body(bytes)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}
