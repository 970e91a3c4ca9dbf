import CPOSIX

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// The system's own disk, clocks and randomness.
public struct POSIXFileSystem: FileSystem {
    /// The file system of this machine; all values are the same.
    public init() {}

    /// See ``FileSystem/makeDirectory(_:)``.
    public func makeDirectory(_ path: String) throws(IOFailure) {
        _ = try call(.makeDirectory, path) { varve_posix_make_directory($0) }
    }

    /// See ``FileSystem/list(_:)``. Allocates for each entry; the time is that of reading the directory once.
    public func list(_ directory: String) throws(IOFailure) -> [DirectoryEntry] {
        var listing: UnsafeMutableRawPointer?
        _ = try call(.list, directory) { path in
            var failure: Int32 = 0
            listing = varve_posix_list_open(path, &failure)
            return failure
        }
        guard let listing else { return [] }
        defer { varve_posix_list_close(listing) }

        var entries: [DirectoryEntry] = []
        var name = [CChar](repeating: 0, count: 1024)
        while true {
            let kind = varve_posix_list_next(listing, &name, name.count)
            if kind == 0 { return entries }
            if kind < 0 { throw IOFailure(.list, path: directory, code: -kind) }
            let bytes = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            entries.append(
                DirectoryEntry(name: String(decoding: bytes, as: UTF8.self), kind: FileKind(posix: kind)))
        }
    }

    /// See ``FileSystem/kind(of:)``.
    public func kind(of path: String) throws(IOFailure) -> FileKind? {
        do throws(IOFailure) {
            return FileKind(posix: try call(.inspect, path) { varve_posix_kind($0) })
        } catch {
            if error.isNotFound { return nil }
            throw error
        }
    }

    /// See ``FileSystem/stamp(of:)``.
    public func stamp(of path: String) throws(IOFailure) -> FileStamp? {
        var found = varve_posix_stamp()
        do throws(IOFailure) {
            _ = try call(.inspect, path) { varve_posix_stamp_of($0, &found) }
        } catch {
            if error.isNotFound || error.isNotRegularFile { return nil }
            throw error
        }
        return FileStamp(
            byteCount: found.byte_count, device: found.device, number: found.inode,
            modifiedAt: found.modified_at, changedAt: found.changed_at)
    }

    /// See ``FileSystem/watch(_:)``. On Linux the kernel tells of changes (inotify); on a network, where it does not
    /// see those of others, without a watch to be had, and on Darwin, it looks after 50 ms.
    public func watch(_ directory: String) throws(IOFailure) -> any ChangeWatch {
        guard !isOnNetwork(directory) else { return try PollingWatch(directory) }
        do throws(IOFailure) {
            return try NotifiedWatch(directory, Descriptor(call(.watch, directory, varve_posix_watch_open)))
        } catch {
            if error.isNotFound { throw error }
            return try PollingWatch(directory)
        }
    }

    /// See ``FileSystem/open(_:_:)``. A file system without permissions (FAT, say) keeps the mode it has.
    public func open(_ path: String, _ mode: OpenMode) throws(IOFailure) -> any File {
        let number =
            switch mode {
            case .read: try call(.open, path) { varve_posix_open($0, Int32(varve_posix_open_read)) }
            case .readWrite:
                try call(.open, path) { varve_posix_open($0, Int32(varve_posix_open_read_write)) }
            case .createExclusive:
                try call(.create, path) { varve_posix_open($0, Int32(varve_posix_open_create_exclusive)) }
            }
        return POSIXFile(path: path, descriptor: Descriptor(number))
    }

    /// See ``FileSystem/rename(_:to:replacing:)``.
    public func rename(_ from: String, to: String, replacing: Bool) throws(IOFailure) {
        guard !to.utf8.contains(0) else { throw IOFailure(.rename, path: to, code: EINVAL) }
        _ = try call(.rename, from) { source in varve_posix_rename(source, to, replacing) }
    }

    /// See ``FileSystem/unlink(_:)``. Never removes a directory.
    public func unlink(_ path: String) throws(IOFailure) {
        _ = try call(.unlink, path) { varve_posix_unlink($0) }
    }

    /// See ``FileSystem/syncDirectory(_:)``.
    public func syncDirectory(_ path: String) throws(IOFailure) {
        _ = try call(.sync, path) { varve_posix_sync_directory($0) }
    }

    /// See ``FileSystem/lock(_:)``. An open-file-description lock on Linux, also seen by other programs'
    /// `fcntl` locks.
    public func lock(_ path: String) throws(IOFailure) -> any FileLock {
        let number = try call(.lock, path) { varve_posix_lock($0) }
        return POSIXFileLock(path: path, descriptor: Descriptor(number))
    }

    /// See ``FileSystem/isLocked(_:)``.
    public func isLocked(_ path: String) -> Bool {
        !path.utf8.contains(0) && varve_posix_is_locked(path) == 1
    }

    /// See ``FileSystem/isOnNetwork(_:)``. NFS, SMB, AFS, Coda, Ceph, 9P, Lustre and GPFS; on Darwin, what is
    /// not local.
    public func isOnNetwork(_ path: String) -> Bool {
        !path.utf8.contains(0) && varve_posix_is_on_network(path) == 1
    }

    /// See ``FileSystem/space(at:)``.
    public func space(at path: String) throws(IOFailure) -> DiskSpace {
        var space = DiskSpace(freeBytes: 0, totalBytes: 0)
        _ = try call(.measureSpace, path) { varve_posix_space($0, &space.freeBytes, &space.totalBytes) }
        return space
    }

    /// See ``FileSystem/now()``. A clock outside 1677...2262 is held at the nearer end.
    public func now() -> Int64 {
        varve_posix_wall_clock()
    }

    /// See ``FileSystem/monotonic()``. Stands still while a Linux machine is suspended.
    public func monotonic() -> UInt64 {
        varve_posix_monotonic_clock()
    }

    /// See ``FileSystem/randomBytes(_:)``.
    public func randomBytes(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }

    /// See ``FileSystem/bootIdentity()``. Linux' `boot_id`; Darwin's `kern.bootsessionuuid`.
    public func bootIdentity() -> [UInt8] {
        POSIXFileSystem.sharedBootIdentity
    }

    /// A boot's identity doesn't change while a process lives.
    private static let sharedBootIdentity: [UInt8] = {
        var text = [CChar](repeating: 0, count: 64)
        if varve_posix_boot_identity(&text, text.count) == 0 {
            let bytes = text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            if let identity = uuidBytes(String(decoding: bytes, as: UTF8.self)) { return identity }
        }
        return POSIXFileSystem().randomBytes(16)
    }()

    /// Calls `body` with a path that C can read whole, and turns a negated `errno` into a failure.
    private func call(
        _ operation: IOFailure.Operation, _ path: String, _ body: (UnsafePointer<CChar>) -> Int32
    ) throws(IOFailure) -> Int32 {
        // C would stop at a zero byte, and use another path.
        guard !path.utf8.contains(0) else { throw IOFailure(operation, path: path, code: EINVAL) }
        let result = path.withCString(body)
        if result == varve_posix_not_regular {
            throw IOFailure(operation, path: path, code: IOFailure.notRegularFileCode)
        }
        if result < 0 { throw IOFailure(operation, path: path, code: -result) }
        return result
    }
}

/// The 16 bytes of a UUID's text, dashes and a final line feed ignored; `nil` if it is none, or all zeros.
package func uuidBytes(_ text: String) -> [UInt8]? {
    let digits = text.filter { $0 != "-" && $0 != "\n" }.map { $0.isASCII ? $0.hexDigitValue : nil }
    guard digits.count == 32 else { return nil }
    var bytes: [UInt8] = []
    for index in stride(from: 0, to: 32, by: 2) {
        guard let high = digits[index], let low = digits[index + 1] else { return nil }
        bytes.append(UInt8(high << 4 | low))
    }
    return bytes.contains { $0 != 0 } ? bytes : nil
}

/// A lock of ``POSIXFileSystem``. It belongs to the descriptor, and to the copies that a child process has
/// between its start and its `exec`: so it is given up in so many words, and not by closing alone.
final class POSIXFileLock: FileLock {
    let path: String
    private let descriptor: Descriptor

    init(path: String, descriptor: Descriptor) {
        self.path = path
        self.descriptor = descriptor
    }

    deinit {
        release()
    }

    func release() {
        _ = descriptor.use { number in
            varve_posix_unlock(number)
            return Int32(0)
        }
        descriptor.close()
    }
}

extension FileKind {
    fileprivate init(posix kind: Int32) {
        switch Int(kind) {
        case Int(varve_posix_regular): self = .regular
        case Int(varve_posix_directory): self = .directory
        case Int(varve_posix_symbolic_link): self = .symbolicLink
        default: self = .other
        }
    }
}
