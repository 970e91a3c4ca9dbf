import CSimdJSON

/// Tells whether bytes are JSON. Its memory is reused: use one for each thread.
public final class JSONValidator {
    private let parser: OpaquePointer?

    /// A validator.
    public init() { parser = varve_json_parser_new() }

    deinit { varve_json_parser_free(parser) }

    /// Whether the bytes are one valid JSON document of at most 64 MiB and 4 KiB. Linear.
    ///
    /// - Parameters:
    ///   - bytes: the document.
    ///   - isPadded: whether 64 bytes after them are readable too; without, they are copied first.
    public func isValid(_ bytes: UnsafeRawBufferPointer, isPadded: Bool = false) -> Bool {
        guard let parser, let base = bytes.baseAddress else { return false }
        // SAFETY: `base` holds `bytes.count` bytes, and 64 more where the caller promises so.
        return varve_json_valid(parser, base.assumingMemoryBound(to: UInt8.self), bytes.count, isPadded)
    }

    /// Whether the bytes can stand as a value within a line and be found again unchanged: valid JSON with no CR or LF, and no white
    /// space around it.
    public func isCompact(_ bytes: UnsafeRawBufferPointer, isPadded: Bool = false) -> Bool {
        guard let first = bytes.first, let last = bytes.last, first > 0x20, last > 0x20 else { return false }
        return !bytes.contains(0x0A) && !bytes.contains(0x0D) && isValid(bytes, isPadded: isPadded)
    }
}

/// Questions about text that need no state.
public enum JSONText {
    /// As ``JSONValidator/isValid(_:isPadded:)``, with a validator for this call alone.
    public static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool { JSONValidator().isValid(bytes) }

    /// As ``JSONValidator/isCompact(_:isPadded:)``, with a validator for this call alone.
    public static func isCompact(_ bytes: UnsafeRawBufferPointer) -> Bool { JSONValidator().isCompact(bytes) }

    /// Whether the bytes are valid UTF-8. Linear.
    public static func isUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return true }
        // SAFETY: `base` holds `bytes.count` bytes.
        return varve_json_utf8(base.assumingMemoryBound(to: UInt8.self), bytes.count)
    }

    /// The bytes that base64 text stands for; nil unless it is exactly what an encoder writes: padded, and nothing else in it.
    public static func decodeBase64(_ text: UnsafeRawBufferPointer) -> [UInt8]? { Base64.decode(text) }

    /// The bytes that base64 text stands for.
    public static func decodeBase64(_ text: String) -> [UInt8]? {
        var copy = text
        return copy.withUTF8 { Base64.decode(UnsafeRawBufferPointer($0)) }
    }
}
