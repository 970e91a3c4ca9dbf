/// Where following begins.
public enum FollowStart: Hashable, Sendable {
    /// With the first event that is recorded after the call.
    case now
    /// With the first event that is there.
    case beginning
    /// With the last so many of the events that match, or all where there are fewer.
    case last(UInt64)
    /// Behind a position.
    case after(CursorPosition)
}
