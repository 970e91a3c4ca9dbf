import Foundation
import Varve
import VarveIO
import VarveTestKit

/// The system's files, with a gate before the syncs of segments.
final class SyncGateFileSystem: ForwardingFileSystem, @unchecked Sendable {
    let base: any FileSystem = POSIXFileSystem()
    private let condition = NSCondition()
    // Guarded by the condition.
    private var isHeld = false
    private var isFailing = false
    private var writeCount = 0
    private var syncCount = 0

    /// No time passes: what is open is written when somebody asks for it.
    func monotonic() -> UInt64 { 0 }

    /// Lets no sync of a segment return until `release`, and counts from nothing.
    func hold() {
        condition.withLock {
            isHeld = true
            writeCount = 0
            syncCount = 0
        }
    }

    /// Lets all syncs return, or fail.
    func release(failing: Bool = false) {
        condition.withLock {
            isHeld = false
            isFailing = isFailing || failing
            condition.broadcast()
        }
    }

    /// Syncs of segments that were begun since `hold`.
    var syncs: Int { condition.withLock { syncCount } }

    /// Writes to segments since `hold`.
    var writes: Int { condition.withLock { writeCount } }

    /// Blocks until a sync was begun since `hold`, for `waitSecondsMax` at most.
    func waitForSync() {
        let end = Date(timeIntervalSinceNow: TimeInterval(waitSecondsMax))
        condition.withLock {
            while syncCount == 0, condition.wait(until: end) {}
        }
    }

    fileprivate func didWrite() { condition.withLock { writeCount += 1 } }

    fileprivate func passGate() throws(IOFailure) {
        let fails = condition.withLock {
            syncCount += 1
            condition.broadcast()
            while isHeld { condition.wait() }
            return isFailing
        }
        if fails { throw IOFailure(.sync, path: "a segment", code: EIO) }
    }

    func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        let file = try base.open(path, mode)
        return path.hasSuffix(".seg") ? SyncGateFile(base: file, system: self) : file
    }
}

private final class SyncGateFile: PassThroughFile {
    let base: any File
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
        try system.passGate()
        try base.sync()
    }
}
