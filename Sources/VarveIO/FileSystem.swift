/// The seam between the engine and disk, clock and randomness.
///
/// The engine reaches all three only through here, so that a test can put a simulated disk, clock or fault in
/// their place. It is crossed once a block, never once an event.
///
/// Contract of every method, unless its own comment says otherwise:
///
/// - **Threads**: any thread may call, also at the same time. Calls may block on the disk; none may be made
///   from Swift's cooperative pool where that matters to the caller.
/// - **Buffers** are the caller's. They are borrowed until the call returns and never kept.
/// - **Paths** are the caller's strings, relative ones to the process's working directory. A path with a zero
///   byte is refused (`EINVAL`) and not cut short.
/// - **After a throw** nothing on disk has changed, except where a comment says what may have.
/// - **Interruptions** by signals are retried inside, and not seen by the caller.
/// - **Durability**: a name that was made, moved or removed is durable after ``syncDirectory(_:)`` of its
///   directory; the bytes of a file after ``File/sync()``.
public protocol FileSystem: Sendable {
    /// Makes one directory, mode 0700 whatever the umask. Its parent must be there.
    ///
    /// - Throws: ``IOFailure``; `isExisting` when the path is there already, as anything. If it is another
    ///   failure, the directory may have been made, empty.
    func makeDirectory(_ path: String) throws(IOFailure)

    /// What is in a directory, in no particular order, without `.` and `..`.
    ///
    /// Entries made or removed while the call runs may or may not be in the answer. Names that are not UTF-8
    /// come repaired, and so name no file. A symbolic link is reported as one, and not followed.
    func list(_ directory: String) throws(IOFailure) -> [DirectoryEntry]

    /// What a path names, or `nil` when nothing is there. A symbolic link in the last component is reported
    /// as one.
    func kind(of path: String) throws(IOFailure) -> FileKind?

    /// What tells a regular file, and its content at a time, from another; `nil` when nothing, or no regular file,
    /// is there. A file system that can't tell leaves it to the default, which always answers `nil`.
    func stamp(of path: String) throws(IOFailure) -> FileStamp?

    /// What waits for changes of a directory: of names in it, and of the files that they name. What changes after
    /// this returned is not missed: begin to watch, then read.
    ///
    /// The default looks after 50 ms: it says that something may have changed, and leaves it to the caller to find
    /// out.
    ///
    /// - Throws: ``IOFailure`` when the system has no descriptor left.
    func watch(_ directory: String) throws(IOFailure) -> any ChangeWatch

    /// Opens a regular file, close-on-exec. A symbolic link in the last component is never followed; it, and
    /// anything else that is no regular file, is refused (`isNotRegularFile`) without waiting, also a FIFO.
    ///
    /// - Throws: ``IOFailure``; `isNotFound` for an absent file, `isExisting` for
    ///   ``OpenMode/createExclusive`` on a path that is there. After another failure of
    ///   ``OpenMode/createExclusive`` the file is not there, as far as it could be removed.
    func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File

    /// Moves a name, atomically: at every instant a reader finds the old or the new file at `to`.
    ///
    /// - Parameter replacing: whether a file at `to` is replaced; if `false`, it is a failure (`isExisting`).
    /// - Throws: ``IOFailure``. Where the file system can't rename without replacing, a file is linked to the
    ///   new name and the old one unlinked, so that a crash or a failure between the two leaves both names; a
    ///   directory is not moved there.
    func rename(_ from: String, to: String, replacing: Bool) throws(IOFailure)

    /// Removes the name of a file. Open descriptors and mappings of it stay usable.
    func unlink(_ path: String) throws(IOFailure)

    /// Makes the directory's names durable. The path itself may be a symbolic link to a directory.
    ///
    /// A file system that has no such operation (`EINVAL`) counts as having done it. After a throw it is
    /// unknown which changes of names are durable; as with ``File/sync()``, calling again proves nothing.
    func syncDirectory(_ path: String) throws(IOFailure)

    /// Takes the exclusive lock on a whole file, at once or not at all; makes the file, 0600, if it is
    /// absent.
    ///
    /// The lock belongs to the returned object, not to the process: a second call conflicts within a process
    /// as well. It ends with ``FileLock/release()``, the object's end, or the process's, however that ends. A
    /// file that is made stays, also after a throw.
    ///
    /// - Throws: ``IOFailure``; `isWouldBlock` while somebody else holds it.
    func lock(_ path: String) throws(IOFailure) -> any FileLock

    /// Whether somebody (also this process) holds the lock on a file. Takes nothing and changes nothing;
    /// `false` when the file is absent or can't be read. The answer may be out of date when it arrives.
    func isLocked(_ path: String) -> Bool

    /// Whether an existing path lies on a network file system, where locks, mappings and syncs can't be
    /// relied on. FUSE doesn't count as one. `false` when it can't be told.
    func isOnNetwork(_ path: String) -> Bool

    /// Bytes that this user may still write, and bytes in all, on the file system of an existing path.
    func space(at path: String) throws(IOFailure) -> DiskSpace

    /// The wall clock: nanoseconds since the Unix epoch, UTC. May jump, also backwards.
    func now() -> Int64

    /// A clock that never goes backwards: nanoseconds since some instant of this boot.
    func monotonic() -> UInt64

    /// Unpredictable bytes, fit for identities.
    func randomBytes(_ count: Int) -> [UInt8]

    /// 16 bytes that are the same for every process until the machine starts again, and never again after.
    /// Where the system has no such value: random ones, the same within this process only, so that nothing of
    /// another process is ever taken for this boot's.
    func bootIdentity() -> [UInt8]
}

extension FileSystem {
    /// `nil`: it can't be told.
    public func stamp(of path: String) throws(IOFailure) -> FileStamp? { nil }

    /// A watch that looks after 50 ms.
    public func watch(_ directory: String) throws(IOFailure) -> any ChangeWatch {
        try PollingWatch(directory)
    }
}

/// What tells a file, and its content at a time, from another: equal stamps of a path say that its file did not grow,
/// and that no other took its place. Where bytes are overwritten that may not show: clocks of file systems stand
/// still for up to 10 ms (Linux before 6.13). Only compared.
public struct FileStamp: Hashable, Sendable {
    /// The file's size.
    public var byteCount: UInt64
    /// Which file it is: its device, and its number there.
    public var device: UInt64, number: UInt64
    /// When its content, and when anything of it was changed: nanoseconds on the file system's clock.
    public var modifiedAt: Int64, changedAt: Int64

    /// A stamp with these values.
    public init(byteCount: UInt64, device: UInt64, number: UInt64, modifiedAt: Int64, changedAt: Int64) {
        self.byteCount = byteCount
        self.device = device
        self.number = number
        self.modifiedAt = modifiedAt
        self.changedAt = changedAt
    }
}

/// How a file is opened.
public enum OpenMode: Hashable, Sendable {
    /// An existing file, for reading.
    case read
    /// An existing file, for reading and writing.
    case readWrite
    /// A new file, for reading and writing, mode 0600 whatever the umask; fails if the path is there.
    case createExclusive
}

/// What a path names.
public enum FileKind: Hashable, Sendable {
    /// A regular file.
    case regular
    /// A directory.
    case directory
    /// A symbolic link, wherever it leads.
    case symbolicLink
    /// A FIFO, socket or device.
    case other
}

/// One name in a directory.
public struct DirectoryEntry: Hashable, Sendable {
    /// The name, without the directory.
    public var name: String
    /// What it names.
    public var kind: FileKind

    /// An entry of that name and kind.
    public init(name: String, kind: FileKind) {
        self.name = name
        self.kind = kind
    }
}

/// The room on a file system.
public struct DiskSpace: Hashable, Sendable {
    /// Bytes that an unprivileged user may still write.
    public var freeBytes: UInt64
    /// Bytes in all.
    public var totalBytes: UInt64

    /// That much free out of that much in all.
    public init(freeBytes: UInt64, totalBytes: UInt64) {
        self.freeBytes = freeBytes
        self.totalBytes = totalBytes
    }
}

/// A held lock. See ``FileSystem/lock(_:)``.
public protocol FileLock: AnyObject, Sendable {
    /// The locked file, as given to ``FileSystem/lock(_:)``.
    var path: String { get }

    /// Gives the lock up; again is harmless. The file stays. The object's end does the same.
    func release()
}

extension FileSystem {
    /// ``File/size()`` and all bytes of a small file.
    ///
    /// - Parameter byteCountMax: the most that is read and allocated.
    /// - Returns: the bytes, or `nil` when the file is larger than `byteCountMax`.
    /// - Throws: ``IOFailure`` as ``open(_:_:)`` and ``File/read(at:into:)`` do.
    public func readWhole(_ path: String, byteCountMax: Int) throws(IOFailure) -> [UInt8]? {
        let file = try open(path, .read)
        defer { file.close() }
        let size = try file.size()
        guard let count = Int(exactly: size), count <= byteCountMax else { return nil }
        return try file.read(at: 0, count: count)
    }
}
