import CPOSIX

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// An operation on a file or directory that did not succeed.
///
/// Which operation, on which path, and why, so that a caller can act on the reason and a person can read it.
public struct IOFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was being done.
    public enum Operation: String, Hashable, Sendable {
        case makeDirectory = "make directory"
        case list
        case inspect
        case open
        case create
        case read
        case write
        case sync
        case allocate
        case truncate
        case map
        case populate
        case rename
        case unlink
        case lock
        case watch
        case measureSpace = "measure space"
    }

    /// The code of a failure that the system has no `errno` for: the path names a symbolic link, a directory,
    /// a FIFO, a socket or a device where only a regular file is accepted.
    public static let notRegularFileCode: Int32 = -1
    /// The code of a write that would exceed a ``DirectoryQuota``.
    public static let quotaCode: Int32 = -2

    /// What was being done.
    public var operation: Operation
    /// The path it was done to, as given by the caller.
    public var path: String
    /// The system's `errno`, ``notRegularFileCode``, or ``quotaCode``.
    public var code: Int32

    /// A failure of `operation` on `path` with the system's error `code`.
    public init(_ operation: Operation, path: String, code: Int32) {
        self.operation = operation
        self.path = path
        self.code = code
    }

    /// No room: the disk, the quota or the largest file size is used up. Freeing space can make a retry
    /// succeed.
    public var isOutOfSpace: Bool { code == ENOSPC || code == EDQUOT || code == EFBIG }
    /// The path, or a directory on the way to it, is not there.
    public var isNotFound: Bool { code == ENOENT }
    /// The path is already there.
    public var isExisting: Bool { code == EEXIST }
    /// Somebody else holds the lock.
    public var isWouldBlock: Bool { code == EWOULDBLOCK || code == EAGAIN }
    /// It would exceed what a ``DirectoryQuota`` allows.
    public var isOverQuota: Bool { code == IOFailure.quotaCode }
    /// The path is there, and is not a regular file.
    public var isNotRegularFile: Bool { code == IOFailure.notRegularFileCode }
    /// The caller may not do this: permissions, or a read-only file system.
    public var isNotPermitted: Bool { code == EACCES || code == EPERM || code == EROFS }
    /// The file system has no such operation.
    public var isUnsupported: Bool {
        code == ENODEV || code == ENOTSUP || code == EOPNOTSUPP || code == ENOSYS
    }
    /// The process or the system has no file descriptor left.
    public var isOutOfDescriptors: Bool { code == EMFILE || code == ENFILE }

    /// The reason alone, for people: `no space left on device`.
    public var reason: String {
        if isNotRegularFile { return "not a regular file" }
        if isOverQuota { return "the bytes that its directory may take are used up" }
        let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            // SAFETY: the call writes a terminated string of at most `buffer.count` bytes.
            buffer.baseAddress.map { base in
                varve_posix_error_text(code, base, buffer.count)
                return String(cString: base)
            } ?? ""
        }
        // The C library capitalises its texts; ours stand after a colon. "RPC struct is bad" keeps its
        // capitals.
        guard let first = text.first, let second = text.dropFirst().first, !second.isUppercase else {
            return text
        }
        return first.lowercased() + text.dropFirst()
    }

    /// The whole, for people: `write /a/b: no space left on device`.
    public var description: String { "\(operation.rawValue) \(path): \(reason)" }
}
