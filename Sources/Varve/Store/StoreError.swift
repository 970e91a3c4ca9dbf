internal import VarveFormat
internal import VarveIO

/// Why the store could not do what was asked. Each description is one line: what failed, where, and what to
/// do where there is something to do.
public enum StoreError: Error, Hashable, Sendable {
    /// There is no store at the path.
    case notAStore(path: String, reason: String)
    /// Another writer holds the store.
    case alreadyOpen(path: String)
    /// A file has a version or features that this library does not know.
    case unknownVersion(path: String, reason: String)
    /// The system refused to read or list a file.
    case cannotRead(path: String, reason: String)
    /// The system refused to write, create or rename a file.
    case cannotWrite(path: String, reason: String)
    /// No space is left; appends go on when there is some.
    ///
    /// What was appended before stays recorded, and is written then. So is an event whose own append waited for the disk when it
    /// threw this: `Session.append` says which do.
    case outOfSpace(path: String)
    /// The limit of the store's bytes is reached, and nothing more can be dropped to make room: it is pinned, or needed. Appends go on
    /// when something is unpinned, or the limit is raised. What was appended stands as with `outOfSpace`.
    case limitReached(path: String)
    /// A sync failed earlier: nothing more is accepted until the store is opened again.
    case poisoned(reason: String)
    /// Bytes of a file are not what was written. Nothing is lost by reporting it: readable data stay readable.
    case damaged(file: String, offset: UInt64, reason: String)
    /// The store was closed.
    case closed
    /// The store was opened read-only.
    case readOnly
    /// The store lies on a network file system, and the options do not allow that.
    case onNetwork(path: String)
    /// A session is active already.
    case sessionAlreadyActive(id: String)
    /// The session has ended: the handle is of no more use.
    case sessionEnded(id: String)
    /// No session has this ordinal.
    case noSuchSession(ordinal: UInt64)
    /// No checkpoint has this ordinal.
    case noSuchCheckpoint(ordinal: UInt64)
    /// A value is beyond its limit.
    case beyondLimit(what: String, value: UInt64, limit: UInt64)
    /// A value is not allowed.
    case invalid(what: String, reason: String)
    /// The kind belongs to another store.
    case foreignKind(name: String)
    /// The queue is full, or something that must come first is being written, and the options say `fail`.
    case queueFull
    /// The queue is full, or something that must come first is being written, and the options say `dropAndCount`; the drop was counted.
    case dropped
    /// The system gives no more threads.
    case noThreads
}

extension StoreError: CustomStringConvertible {
    /// What went wrong, where, and often what to do about it: a line of English, without a period.
    public var description: String {
        switch self {
        case .notAStore(let path, let reason): "\(path) is not a store: \(reason)"
        case .alreadyOpen(let path):
            "\(path) is being written by another writer: wait for it, or read beside it"
        case .unknownVersion(let path, let reason): "\(path): \(reason)"
        case .cannotRead(let path, let reason): "can't read \(path): \(reason)"
        case .cannotWrite(let path, let reason): "can't write \(path): \(reason)"
        case .outOfSpace(let path): "no space left for \(path): free some, and appends go on"
        case .limitReached(let path):
            "the store's limits leave no room for \(path), and nothing that may be dropped is left: unpin something, or change the limit of bytes or of free disk space"
        case .poisoned(let reason): "an earlier sync failed (\(reason)): close the store and open it again"
        case .damaged(let file, let offset, let reason): "\(file) is damaged at offset \(offset): \(reason)"
        case .closed: "the store is closed"
        case .readOnly: "the store was opened read-only"
        case .onNetwork(let path):
            "\(path) is on a network file system, where syncs and locks can't be trusted"
        case .sessionAlreadyActive(let id): "recording session already active: \(id)"
        case .sessionEnded(let id): "session \(id) has ended"
        case .noSuchSession(let ordinal): "there is no session number \(ordinal)"
        case .noSuchCheckpoint(let ordinal): "there is no checkpoint number \(ordinal)"
        case .beyondLimit(let what, let value, let limit): "\(what) is \(value), over the limit of \(limit)"
        case .invalid(let what, let reason): "\(what): \(reason)"
        case .foreignKind(let name): "kind \(name) belongs to another store: ask this one for it"
        case .queueFull: "the queue to the disk is full"
        case .dropped: "the queue to the disk is full: the event was dropped and counted"
        case .noThreads: "the system gives no more threads"
        }
    }
}

extension StoreError {
    /// A failure while reading.
    static func reading(_ failure: IOFailure) -> StoreError {
        .cannotRead(path: failure.path, reason: failure.reason)
    }

    /// A failure while writing.
    static func writing(_ failure: IOFailure) -> StoreError {
        failure.isOverQuota
            ? .limitReached(path: failure.path)
            : failure.passesWithSpace
                ? .outOfSpace(path: failure.path) : .cannotWrite(path: failure.path, reason: failure.reason)
    }

    /// Does `body`; failures of the file system become what `convert` makes of them.
    static func catching<R>(
        at path: String, _ convert: (IOFailure) -> StoreError, _ body: () throws -> R
    ) throws(StoreError) -> R {
        do {
            return try body()
        } catch let failure as IOFailure {
            throw convert(failure)
        } catch let error as StoreError {
            throw error
        } catch {
            throw .cannotRead(path: path, reason: "\(error)")
        }
    }

    /// Bytes that could not be decoded.
    static func decoding(_ error: FormatError, file: String, offset: UInt64) -> StoreError {
        switch error {
        case .unknownVersion, .unknownFeatures: .unknownVersion(path: file, reason: error.description)
        default: .damaged(file: file, offset: offset, reason: error.description)
        }
    }
}

extension IOFailure {
    /// Whether the same may succeed once there is space. Not so a sync: what it was to make durable may be lost for good.
    var passesWithSpace: Bool { isOverQuota || isOutOfSpace && operation != .sync }
}
