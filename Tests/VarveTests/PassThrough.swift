import VarveIO

/// A file system that leaves to the system's what it does not do itself.
protocol PassThroughFileSystem: FileSystem {
    var base: POSIXFileSystem { get }
}

extension PassThroughFileSystem {
    func makeDirectory(_ path: String) throws(IOFailure) { try base.makeDirectory(path) }
    func list(_ directory: String) throws(IOFailure) -> [DirectoryEntry] { try base.list(directory) }
    func kind(of path: String) throws(IOFailure) -> FileKind? { try base.kind(of: path) }
    func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File { try base.open(path, mode) }
    func rename(_ from: String, to: String, replacing: Bool) throws(IOFailure) {
        try base.rename(from, to: to, replacing: replacing)
    }
    func unlink(_ path: String) throws(IOFailure) { try base.unlink(path) }
    func syncDirectory(_ path: String) throws(IOFailure) { try base.syncDirectory(path) }
    func lock(_ path: String) throws(IOFailure) -> any FileLock { try base.lock(path) }
    func stamp(of path: String) throws(IOFailure) -> FileStamp? { try base.stamp(of: path) }
    func watch(_ directory: String) throws(IOFailure) -> any ChangeWatch { try base.watch(directory) }
    func isLocked(_ path: String) -> Bool { base.isLocked(path) }
    func isOnNetwork(_ path: String) -> Bool { base.isOnNetwork(path) }
    func space(at path: String) throws(IOFailure) -> DiskSpace { try base.space(at: path) }
    func now() -> Int64 { base.now() }
    func monotonic() -> UInt64 { base.monotonic() }
    func randomBytes(_ count: Int) -> [UInt8] { base.randomBytes(count) }
    func bootIdentity() -> [UInt8] { base.bootIdentity() }
}

/// A file that leaves to another what it does not do itself.
protocol PassThroughFile: File {
    var base: any File { get }
}

extension PassThroughFile {
    var path: String { base.path }
    func size() throws(IOFailure) -> UInt64 { try base.size() }
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        try base.read(at: offset, into: buffer)
    }
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOFailure) {
        try base.write(bytes, at: offset)
    }
    func sync() throws(IOFailure) { try base.sync() }
    func allocate(_ range: Range<UInt64>) throws(IOFailure) -> Bool { try base.allocate(range) }
    func truncate(to byteCount: UInt64) throws(IOFailure) { try base.truncate(to: byteCount) }
    func map() throws(IOFailure) -> (any MappedRegion)? { try base.map() }
    func mapWritable(byteCount: Int) throws(IOFailure) -> any WritableRegion {
        try base.mapWritable(byteCount: byteCount)
    }
    func close() { base.close() }
}
