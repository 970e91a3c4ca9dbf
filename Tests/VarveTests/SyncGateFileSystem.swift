import Foundation
import Varve
import VarveIO
import VarveTestKit

/// The system's files, with a gate before the syncs of segments.
final class SyncGateFileSystem: FileSystem, @unchecked Sendable {
    private let base = POSIXFileSystem()
    private let condition = NSCondition()
    // Guarded by the condition.
    private var isHeld = false
    private var writeCount = 0
    private var syncCount = 0

    /// Lets no sync of a segment return until `release`, and counts from nothing.
    func hold() {
        condition.withLock {
            isHeld = true
            writeCount = 0
            syncCount = 0
        }
    }

    func release() {
        condition.withLock {
            isHeld = false
            condition.broadcast()
        }
    }

    /// Syncs of segments that were begun since `hold`.
    var syncs: Int { condition.withLock { syncCount } }

    /// Blocks until segments were written `count` times since `hold`, and one of them waits for its sync.
    func wait(forWrites count: Int) {
        condition.withLock {
            while writeCount < count || syncCount == 0 { condition.wait() }
        }
    }

    fileprivate func didWrite() {
        condition.withLock {
            writeCount += 1
            condition.broadcast()
        }
    }

    fileprivate func passGate() {
        condition.withLock {
            syncCount += 1
            condition.broadcast()
            while isHeld { condition.wait() }
        }
    }

    func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        let file = try base.open(path, mode)
        return path.hasSuffix(".seg") ? SyncGateFile(base: file, system: self) : file
    }
    func now() -> Int64 { base.now() }
    func monotonic() -> UInt64 { base.monotonic() }
    func makeDirectory(_ path: String) throws(IOFailure) { try base.makeDirectory(path) }
    func list(_ directory: String) throws(IOFailure) -> [DirectoryEntry] { try base.list(directory) }
    func kind(of path: String) throws(IOFailure) -> FileKind? { try base.kind(of: path) }
    func rename(_ from: String, to: String, replacing: Bool) throws(IOFailure) {
        try base.rename(from, to: to, replacing: replacing)
    }
    func unlink(_ path: String) throws(IOFailure) { try base.unlink(path) }
    func syncDirectory(_ path: String) throws(IOFailure) { try base.syncDirectory(path) }
    func lock(_ path: String) throws(IOFailure) -> any FileLock { try base.lock(path) }
    func isLocked(_ path: String) -> Bool { base.isLocked(path) }
    func isOnNetwork(_ path: String) -> Bool { base.isOnNetwork(path) }
    func space(at path: String) throws(IOFailure) -> DiskSpace { try base.space(at: path) }
    func randomBytes(_ count: Int) -> [UInt8] { base.randomBytes(count) }
    func bootIdentity() -> [UInt8] { base.bootIdentity() }
}

private final class SyncGateFile: File {
    private let base: any File
    private let system: SyncGateFileSystem

    init(base: any File, system: SyncGateFileSystem) {
        self.base = base
        self.system = system
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOFailure) {
        try base.write(bytes, at: offset)
        system.didWrite()
    }
    func sync() throws(IOFailure) {
        system.passGate()
        try base.sync()
    }

    var path: String { base.path }
    func size() throws(IOFailure) -> UInt64 { try base.size() }
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(IOFailure) -> Int {
        try base.read(at: offset, into: buffer)
    }
    func allocate(_ range: Range<UInt64>) throws(IOFailure) -> Bool { try base.allocate(range) }
    func truncate(to byteCount: UInt64) throws(IOFailure) { try base.truncate(to: byteCount) }
    func map() throws(IOFailure) -> (any MappedRegion)? { try base.map() }
    func mapWritable(byteCount: Int) throws(IOFailure) -> any WritableRegion {
        try base.mapWritable(byteCount: byteCount)
    }
    func close() { base.close() }
}
