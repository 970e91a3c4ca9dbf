/// A file system that passes on to another one whatever it does not do itself.
public protocol ForwardingFileSystem: FileSystem {
    /// The other one.
    var base: any FileSystem { get }
}

// The protocol documents the methods.
// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension ForwardingFileSystem {
    public func makeDirectory(_ path: String) throws(IOFailure) { try base.makeDirectory(path) }
    public func list(_ directory: String) throws(IOFailure) -> [DirectoryEntry] { try base.list(directory) }
    public func kind(of path: String) throws(IOFailure) -> FileKind? { try base.kind(of: path) }
    public func stamp(of path: String) throws(IOFailure) -> FileStamp? { try base.stamp(of: path) }
    public func watch(_ directory: String) throws(IOFailure) -> any ChangeWatch { try base.watch(directory) }
    public func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        try base.open(path, mode)
    }
    public func rename(_ from: String, to: String, replacing: Bool) throws(IOFailure) {
        try base.rename(from, to: to, replacing: replacing)
    }
    public func unlink(_ path: String) throws(IOFailure) { try base.unlink(path) }
    public func syncDirectory(_ path: String) throws(IOFailure) { try base.syncDirectory(path) }
    public func lock(_ path: String) throws(IOFailure) -> any FileLock { try base.lock(path) }
    public func isLocked(_ path: String) -> Bool { base.isLocked(path) }
    public func isOnNetwork(_ path: String) -> Bool { base.isOnNetwork(path) }
    public func space(at path: String) throws(IOFailure) -> DiskSpace { try base.space(at: path) }
    public func now() -> Int64 { base.now() }
    public func monotonic() -> UInt64 { base.monotonic() }
    public func randomBytes(_ count: Int) -> [UInt8] { base.randomBytes(count) }
    public func bootIdentity() -> [UInt8] { base.bootIdentity() }
}
