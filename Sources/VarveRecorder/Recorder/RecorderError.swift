public import Varve

/// Why a recorder did not do what it was asked for.
public enum RecorderError: Error, Hashable, CustomStringConvertible {
    /// A session is being recorded: it goes on.
    case sessionAlreadyActive
    /// There is no session to ask or to add to.
    case noActiveSession
    /// No retained checkpoint has this id.
    case checkpointNotFound(id: String)
    /// The session's last event has the highest index there is: none can follow it.
    case indicesUsedUp
    /// What the store said.
    case store(StoreError)
    /// An event or a state that can't be read as one: its sequence number, or that of the event after the checkpoint, and why.
    case unreadable(sequence: UInt64, reason: String)

    /// One line of text.
    public var description: String {
        switch self {
        case .sessionAlreadyActive: "recording session already active"
        case .noActiveSession: "no active recording session"
        case .checkpointNotFound(let id): "checkpoint not found: \(id)"
        case .indicesUsedUp: "no event can follow the last one: its index is the highest there is"
        case .store(let error): error.description
        case .unreadable(let sequence, let reason): "sequence number \(sequence): \(reason)"
        }
    }

    /// What `body` gives; what the store throws in it is thrown as such.
    static func storing<Result>(_ body: () throws(StoreError) -> Result) throws(RecorderError) -> Result {
        do throws(StoreError) {
            return try body()
        } catch {
            if case .sessionAlreadyActive = error { throw .sessionAlreadyActive }
            throw .store(error)
        }
    }
}
