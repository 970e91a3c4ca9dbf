/// Why bytes could not be read as what they should be.
///
/// Decoders throw it for anything that is not exactly as `Formats/` says; they never trap. Offsets are
/// added by the caller, which knows the file.
public enum FormatError: Error, Hashable, Sendable {
    /// The bytes end before the named structure does.
    case truncated(String)
    /// The magic of the named structure is not there.
    case notFound(String)
    /// A version that this library does not know.
    case unknownVersion(UInt16, of: String)
    /// Feature bits, or sections, that must be understood to read the named structure, and are not.
    case unknownFeatures(UInt64, of: String)
    /// The stored checksum of the named structure is not that of its bytes.
    case checksumMismatch(String)
    /// A field of the named structure has a value that it can't have.
    case invalid(String, reason: String)
    /// A field is beyond its limit.
    case beyondLimit(String, value: UInt64, limit: UInt64)
}

extension FormatError: CustomStringConvertible {
    /// What was wrong with the bytes, and what to do where that helps: a line of English.
    public var description: String {
        switch self {
        case .truncated(let what): "\(what) is cut short"
        case .notFound(let what): "no \(what) here"
        case .unknownVersion(let version, let what):
            "\(what) has format version \(version), which this program does not know: use a newer one"
        case .unknownFeatures(let bits, let what):
            "\(what) needs features that this program does not know (\(String(bits, radix: 16))): use a newer one"
        case .checksumMismatch(let what): "\(what) does not match its checksum"
        case .invalid(let what, let reason): "\(what) is invalid: \(reason)"
        case .beyondLimit(let what, let value, let limit): "\(what) is \(value), over the limit of \(limit)"
        }
    }
}
