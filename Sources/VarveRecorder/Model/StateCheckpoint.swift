/// The application's state at a place in a recorded session.
public struct StateCheckpoint: Hashable, Sendable {
    /// Names the checkpoint; not always alone.
    public var id: String
    /// A text for people.
    public var label: String?
    /// When it was made, in nanoseconds since 1970 in UTC.
    public var timestamp: Int64
    /// The state.
    public var state: RawJSON
    /// The index of the event that came next.
    public var eventIndex: UInt64

    /// A checkpoint.
    public init(id: String, label: String?, timestamp: Int64, state: RawJSON, eventIndex: UInt64) {
        self.id = id
        self.label = label
        self.timestamp = timestamp
        self.state = state
        self.eventIndex = eventIndex
    }
}
