/// A recorded session as one JSON document:
///
/// ```json
/// {"id":"s1","started_at":"2026-05-10T12:34:56Z",
///  "events":[{"index":2,"timestamp":"…","event":{"type":"WindowEvent","label":"main","event":"focus","timestamp":"…"}}],
///  "checkpoints":[{"id":"cp1","label":null,"timestamp":"…","state":{"n":1},"event_index":5}]}
/// ```
///
/// It is written and read piece by piece: ``Writer``, ``Reader``.
public enum SessionJSON {
    /// How many objects and arrays may be within each other, the document's own among them.
    public static let depthMax = 127

    /// What a session consists of, found by reading all of it.
    public struct Summary: Hashable, Sendable {
        /// The session's id: any text.
        public var id: String
        /// When it began, in nanoseconds since 1970 in UTC.
        public var startedAt: Int64
        /// How many events it has.
        public var eventCount: UInt64
        /// How many checkpoints it has.
        public var checkpointCount: UInt64
        /// The index of the last event in the file, which need not be the largest; nil without events.
        public var lastEventIndex: UInt64?
    }

    /// An element of a session.
    public enum Item: Hashable, Sendable {
        /// Of `events`.
        case event(RecordedEvent)
        /// Of `checkpoints`.
        case checkpoint(StateCheckpoint)
    }

    static let wrongTime = "not an RFC 3339 time with an offset, between 1677 and 2262"
}

/// Why a document is no session, or a part of one no event or checkpoint.
public struct SessionJSONError: Error, Hashable, CustomStringConvertible {
    /// Where what is wrong stands, counted from the first byte of the document.
    public var byteOffset: UInt64
    /// The value that is wrong, such as `events[17].event.duration_ms`; empty for the document itself.
    public var path: String
    /// What is wrong with it.
    public var reason: String

    /// An error.
    public init(byteOffset: UInt64, path: String, reason: String) {
        self.byteOffset = byteOffset
        self.path = path
        self.reason = reason
    }

    /// One line of text.
    public var description: String {
        "\(path.isEmpty ? "" : "\(path): ")\(reason) (byte \(byteOffset))"
    }

    /// The same of a value that is a part of a larger document.
    func moved(by offset: UInt64, under parent: String) -> SessionJSONError {
        SessionJSONError(
            byteOffset: byteOffset + offset, path: path.isEmpty ? parent : "\(parent).\(path)",
            reason: reason)
    }
}
