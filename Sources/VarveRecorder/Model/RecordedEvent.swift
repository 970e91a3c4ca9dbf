/// An event of a recorded session.
public struct RecordedEvent: Hashable, Sendable {
    /// Its place in the session.
    public var index: UInt64
    /// When it was recorded, in nanoseconds since 1970 in UTC; not always the time within the event.
    public var timestamp: Int64
    /// What happened.
    public var event: AppEvent

    /// An event of a session.
    public init(index: UInt64, timestamp: Int64, event: AppEvent) {
        self.index = index
        self.timestamp = timestamp
        self.event = event
    }
}
