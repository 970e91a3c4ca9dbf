import CSimdJSON

/// Reads the time and the kind out of JSON lines. Its memory is reused from line to line: use one for each thread.
public final class LineParser {
    /// The paths a time is looked for at, unless others are given.
    public static let defaultTimeFields = ["timestamp", "@timestamp", "time", "ts"]
    /// The paths a kind is looked for at, unless others are given.
    public static let defaultKindFields = ["type", "kind", "event"]

    /// What a line says.
    public struct Result {
        /// Whether the line is one valid JSON document.
        public var isJSON: Bool
        /// Nanoseconds since 1970; nil when no field has a usable time.
        public var timestamp: Int64?
        /// Which of the time fields gave it; -1 for none.
        public var timeField: Int
        /// Whether a time field holds anything but null, usable or not.
        public var hasTimeField: Bool
        /// Which of the kind fields gave the kind; -1 for none.
        public var kindField: Int
        /// A string's decoded bytes or a number's own text. Valid until the parser's next line, and no longer than the line.
        public var kind: UnsafeRawBufferPointer?
    }

    // Nil when there was no memory, or too many fields: then no line is JSON.
    private let parser: OpaquePointer?
    private let defaultOffsetSeconds: Int

    /// A parser for these fields. A field is a whole key of the line's object where there is one, else a path of keys with dots
    /// between.
    ///
    /// - Parameters:
    ///   - timeFields: where to look for a time, in order; nil for ``defaultTimeFields``. At most 32 fields are looked for in all.
    ///   - kindFields: where to look for a kind, in order; nil for ``defaultKindFields``.
    ///   - defaultOffsetSeconds: the offset from UTC of times without a zone.
    public init(timeFields: [String]? = nil, kindFields: [String]? = nil, defaultOffsetSeconds: Int = 0) {
        parser = varve_json_parser_new()
        self.defaultOffsetSeconds = defaultOffsetSeconds
        guard let parser else { return }
        for field in timeFields ?? Self.defaultTimeFields {
            _ = Array(field.utf8).withUnsafeBufferPointer {
                varve_json_add_time_path(parser, $0.baseAddress, $0.count)
            }
        }
        for field in kindFields ?? Self.defaultKindFields {
            _ = Array(field.utf8).withUnsafeBufferPointer {
                varve_json_add_kind_path(parser, $0.baseAddress, $0.count)
            }
        }
    }

    deinit { varve_json_parser_free(parser) }

    /// Reads one line. Linear in its length; no allocation once lines of that length have been seen.
    ///
    /// - Parameters:
    ///   - line: the bytes of one document; more than 64 MiB and 4 KiB are taken for no JSON.
    ///   - isPadded: whether 64 bytes after the line are readable too; without, the line is copied first.
    public func parse(_ line: UnsafeRawBufferPointer, isPadded: Bool) -> Result {
        var result = Result(
            isJSON: false, timestamp: nil, timeField: -1, hasTimeField: false, kindField: -1, kind: nil)
        guard let parser, let base = line.baseAddress else { return result }
        // SAFETY: `base` holds `line.count` bytes, and 64 more where the caller promises so.
        let found = varve_json_parse_line(
            parser, base.assumingMemoryBound(to: UInt8.self), line.count, isPadded)
        result.isJSON = found.valid
        if found.kind_index >= 0 {
            result.kindField = Int(found.kind_index)
            result.kind = UnsafeRawBufferPointer(start: found.kind_text, count: found.kind_length)
        }
        for index in 0..<found.time_count {
            // SAFETY: the parser holds `time_count` values until its next document.
            let value = found.times[index]
            if value.type != varve_json_missing && value.type != varve_json_null {
                result.hasTimeField = true
            }
            guard let time = time(of: value) else { continue }
            result.timestamp = time
            result.timeField = index
            break
        }
        return result
    }

    @inline(__always)
    private func time(of value: varve_json_value) -> Int64? {
        switch value.type {
        case varve_json_string:
            RFC3339.parse(
                UnsafeRawBufferPointer(start: value.text, count: value.length),
                defaultOffsetSeconds: defaultOffsetSeconds)
        case varve_json_int64: NumericTime.parse(integer: value.integer)
        case varve_json_double:
            NumericTime.parse(decimal: UnsafeRawBufferPointer(start: value.text, count: value.length))
        default: nil
        }
    }
}
