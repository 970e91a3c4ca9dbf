import Varve
import VarveIO

/// The system's files, where nothing tells of changes and nothing tells files apart.
struct UntoldFileSystem: ForwardingFileSystem {
    let base: any FileSystem = POSIXFileSystem()
    func stamp(of path: String) throws(IOFailure) -> FileStamp? { nil }
    func watch(_ directory: String) throws(IOFailure) -> any ChangeWatch { try PollingWatch(directory) }
}

extension Follower {
    /// Events up to this many, or to the end.
    func take(_ count: Int) throws -> [Event] {
        var events: [Event] = []
        while events.count < count,
            let batch = try nextBatch(eventsMax: count - events.count, bytesMax: .max)
        {
            events += batch.map(\.event)
        }
        return events
    }
}
